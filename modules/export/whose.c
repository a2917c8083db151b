// SPDX-License-Identifier: Apache-2.0
#include "whose.h"

#include <string.h>

const char *const whose_labels[WHOSE_COUNT] = {
#define X(id, label, attribute) [WHOSE_##id] = label,
    WHOSE(X)
#undef X
};
static const char *const attributes[WHOSE_COUNT] = {
#define X(id, label, attribute) [WHOSE_##id] = attribute,
    WHOSE(X)
#undef X
};

void whose_keys_of(const struct profile *p, struct whose_keys *keys)
{
	*keys = (struct whose_keys){0};
	for (int i = 0; i < WHOSE_COUNT; i++) {
		keys->label[i] = profile_find_name(p, whose_labels[i]);
		keys->attribute[i] = profile_find_name(p, attributes[i]);
		keys->any |= keys->label[i] || keys->attribute[i];
	}
}

// Of two labels with one key the first counts.
static bool look(const struct profile *p, uint32_t set, const uint32_t keys[WHOSE_COUNT],
    uint32_t names[WHOSE_COUNT])
{
	uint32_t count = 0;
	const struct profile_label *l = profile_labels(p, set, &count);
	bool any = false;
	for (uint32_t i = 0; i < count; i++)
		for (int k = 0; l[i].str && k < WHOSE_COUNT; k++)
			if (l[i].key == keys[k] && !names[k]) {
				names[k] = l[i].str;
				any = true;
			}
	return any;
}

bool whose_of(const struct profile *p, const struct whose_keys *keys,
    const struct profile_subject *s, bool labels, uint32_t names[WHOSE_COUNT])
{
	bool any = false;
	memset(names, 0, WHOSE_COUNT * sizeof(*names));
	if (keys->any && s->resource)
		any |= look(p, s->resource, keys->attribute, names);
	if (keys->any && labels && s->labels)
		any |= look(p, s->labels, keys->label, names);
	return any;
}
