// SPDX-License-Identifier: Apache-2.0
// Strings and attributes of a profile, each once.
#include "otlp.h"

#include <errno.h>
#include <string.h>

bool otlp_grow(struct otlp_job *j, void *items, uint32_t *cap, uint32_t count, size_t size)
{
	bool room = export_grow(items, cap, count, size);
	if (!room)
		j->error = -ENOMEM;
	return room;
}

uint32_t otlp_first_like(struct otlp_job *j, struct map *seen, uint64_t hash, uint32_t item,
    bool (*same)(const struct otlp_job *j, uint32_t a, uint32_t b))
{
	uint64_t have;
	for (;; hash++) {
		hash = hash == MAP_NONE ? 0 : hash;
		if (!map_get(seen, hash, &have))
			break;
		if (same(j, (uint32_t)have, item))
			return (uint32_t)have;
	}
	if (map_put(seen, hash, item) == 0)
		return item;
	j->error = -ENOMEM;
	return 0;
}

uint32_t otlp_text(struct otlp_job *j, const char *s)
{
	size_t n;
	s = export_valid(&j->text, s, &n);
	if (j->text.error) {
		j->error = j->text.error;
		return 0;
	}
	uint32_t id = profile_find_name(j->r.p, s);
	if (id || !n)
		return id;
	id = names_add(j->more, s, n);
	if (id)
		return j->names + id - 1;
	j->error = -ENOMEM;
	return 0;
}

uint32_t otlp_string(struct otlp_job *j, uint32_t name)
{
	const char *s = profile_name(j->r.p, name);
	uint64_t have;
	if (j->tables[OTLP_STRINGS].at[name] || text_utf8_valid(s, strlen(s)))
		return name;
	if (map_get(&j->mended, name, &have))
		return (uint32_t)have;
	uint32_t string = otlp_text(j, s);
	if (!j->error && map_put(&j->mended, name, string) < 0)
		j->error = -ENOMEM;
	return string;
}

const char *otlp_string_get(const struct otlp_job *j, uint32_t string)
{
	return string < j->names ? profile_name(j->r.p, string)
				 : names_get(j->more, string - j->names + 1);
}

static bool same_attribute(const struct otlp_job *j, uint32_t a, uint32_t b)
{
	return !memcmp(&j->attributes[a], &j->attributes[b], sizeof(*j->attributes));
}

uint32_t otlp_attribute(struct otlp_job *j, const struct otlp_attribute *a)
{
	uint32_t id = j->attribute_count + 1;
	if (!otlp_grow(j, &j->attributes, &j->attribute_cap, id, sizeof(*a)))
		return 0;
	j->attributes[id] = *a;
	uint32_t first = otlp_first_like(
	    j, &j->attribute_ids, hash_bytes(a, sizeof(*a), j->seed), id, same_attribute);
	if (first == id)
		j->attribute_count = id;
	return first;
}

void otlp_fill_value(struct wire_out *o, const void *arg)
{
	const struct otlp_job *j = ((const struct otlp_item *)arg)->j;
	const struct otlp_attribute *a = &j->attributes[((const struct otlp_item *)arg)->item];
	if (a->number) {
		wire_number(o, ANY_INT, (uint64_t)a->num);
	} else {
		const char *s = otlp_string_get(j, a->str);
		wire_bytes(o, ANY_STRING, s, strlen(s));
	}
}
