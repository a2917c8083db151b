// SPDX-License-Identifier: Apache-2.0
// Adding to a profile: every table interns.
#include "store.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

static uint32_t hash_of(const struct profile *p, const void *bytes, size_t n)
{
	return (uint32_t)hash_bytes(bytes, n, p->seed);
}

// The id of ITEM, which is put into the table as it is where SAME finds none equal to it.
static uint32_t intern(struct table *t, uint32_t hash,
    bool (*same)(const void *item, const void *key), const void *item)
{
	uint32_t id = table_find(t, hash, same, item);
	if (id)
		return id;
	if (table_reserve(t) < 0)
		return errno = ENOMEM, 0;
	id = table_push(t, hash);
	memcpy(table_item(t, id), item, t->items.item_size);
	return id;
}

uint32_t profile_add_name(struct profile *p, const char *s)
{
	return names_add(p->names, s, strlen(s));
}

static bool same_mapping(const void *item, const void *key)
{
	return !memcmp(item, key, sizeof(struct profile_mapping));
}

uint32_t profile_add_mapping(struct profile *p, const struct profile_mapping *m)
{
	assert(!p->sealed);
	return intern(&p->mappings, hash_of(p, m, sizeof(*m)), same_mapping, m);
}

static bool same_frame(const void *item, const void *key)
{
	const struct profile_frame *a = item, *b = key;
	if (a->place != b->place || a->owner != b->owner || a->address != b->address)
		return false;
	return a->place || !memcmp(a, b, sizeof(*a));
}

uint32_t profile_add_frame(struct profile *p, const struct profile_frame *f)
{
	assert(!p->sealed);
	const uint64_t place[] = {f->address, (uint64_t)f->place << 32 | f->owner};
	uint32_t hash = f->place ? hash_of(p, place, sizeof(place)) : hash_of(p, f, sizeof(*f));
	return intern(&p->frames, hash, same_frame, f);
}

uint32_t profile_add_mark(struct profile *p, const char *name)
{
	struct profile_frame f = {.kind = FRAME_MARK, .name = profile_add_name(p, name)};
	return f.name ? profile_add_frame(p, &f) : 0;
}

// A run of items of a pool (a stack, a label set) that is looked for.
struct wanted_run {
	const struct chunks *pool;
	const void *items;
	uint32_t count;
};

static bool same_run(const void *item, const void *key)
{
	const struct run *r = item;
	const struct wanted_run *w = key;
	return r->count == w->count && (!w->count || !memcmp(chunks_at(w->pool, r->at), w->items,
							 (size_t)w->count * w->pool->item_size));
}

static uint32_t intern_run(
    struct profile *p, struct table *t, struct chunks *pool, const void *items, uint32_t count)
{
	assert(!p->sealed);
	struct wanted_run wanted = {pool, items, count};
	uint32_t hash = hash_of(p, count ? items : "", (size_t)count * pool->item_size);
	uint32_t id = table_find(t, hash, same_run, &wanted);
	if (id)
		return id;
	if (table_reserve(t) < 0 || (count && chunks_reserve(pool, count) < 0))
		return errno = ENOMEM, 0;
	uint32_t at = count ? chunks_push(pool, count) : 0;
	if (count)
		memcpy(chunks_at(pool, at), items, (size_t)count * pool->item_size);
	id = table_push(t, hash);
	*(struct run *)table_item(t, id) = (struct run){at, count};
	return id;
}

uint32_t profile_add_stack(struct profile *p, const uint32_t *frames, uint32_t count)
{
	if (count > PROFILE_STACK_MAX)
		return errno = E2BIG, 0;
	for (uint32_t i = 0; i < count; i++)
		if (!frames[i])
			return errno = ENOMEM, 0;
	return intern_run(p, &p->stacks, &p->stack_frames, frames, count);
}

uint32_t profile_add_labels(struct profile *p, const struct profile_label *labels, uint32_t count)
{
	if (count > PROFILE_LABELS_MAX)
		return errno = E2BIG, 0;
	return intern_run(p, &p->label_sets, &p->labels, labels, count);
}

static bool same_subject(const void *item, const void *key)
{
	return !memcmp(item, key, sizeof(struct profile_subject));
}

uint32_t profile_add_subject(struct profile *p, const struct profile_subject *s)
{
	assert(!p->sealed);
	return intern(&p->subjects, hash_of(p, s, sizeof(*s)), same_subject, s);
}

static bool same_sample(const void *item, const void *key)
{
	return !memcmp(item, key, sizeof(struct profile_sample));
}

int store_add(struct profile *p, uint32_t stack, uint32_t subject, const int64_t *values)
{
	assert(!p->sealed);
	struct profile_sample key = {.stack = stack, .subject = subject};
	uint32_t hash = hash_of(p, &key, sizeof(key)), id = 0;
	if (stack && subject) {
		id = table_find(&p->samples, hash, same_sample, &key);
		if (!id && table_reserve(&p->samples) == 0) {
			id = table_push(&p->samples, hash);
			memcpy(table_item(&p->samples, id), &key, sizeof(key));
		}
	}
	struct profile_sample *s = table_item(&p->samples, id ? id : SAMPLE_LOST);
	for (uint32_t v = 0; v < p->header.value_count; v++)
		if (__builtin_add_overflow(s->values[v], values[v], &s->values[v]))
			s->values[v] = values[v] < 0 ? INT64_MIN : INT64_MAX;
	return id ? 0 : -ENOMEM;
}

int profile_add(struct profile *p, uint32_t stack, uint32_t subject, const int64_t *values)
{
	int error = store_add(p, stack, subject, values);
	if (error)
		count_add(COUNT_SAMPLES_STORE_FULL, 1);
	return error;
}

int profile_add_lost(struct profile *p, const char *mark, const int64_t *values)
{
	uint32_t frame = profile_add_mark(p, mark);
	return profile_add(p, frame ? profile_add_stack(p, &frame, 1) : 0, SUBJECT_NOBODY, values);
}

int profile_set_frame_name(
    struct profile *p, uint32_t frame, const char *name, const char *system_name)
{
	struct profile_frame *f = table_item(&p->frames, frame);
	uint32_t id = profile_add_name(p, name);
	if (!id && *name) {
		f->name = p->unnamed;
		f->system_name = 0;
		return -ENOMEM;
	}
	f->name = id;
	f->system_name = 0;
	if (!system_name || !strcmp(name, system_name))
		return 0;
	f->system_name = profile_add_name(p, system_name);
	return f->system_name || !*system_name ? 0 : -ENOMEM;
}
