// SPDX-License-Identifier: Apache-2.0
// options.def as a table, and how to find a row.
#include "option.h"

#include <string.h>

#define ROW(field, key_, standard_, choices_, min_, max_, type_, marks_, help_)                    \
	{.key = key_,                                                                              \
	    .standard = standard_,                                                                 \
	    .choices = choices_,                                                                   \
	    .help = help_,                                                                         \
	    .min = min_,                                                                           \
	    .max = max_,                                                                           \
	    .at = offsetof(struct config, field),                                                  \
	    .type = type_,                                                                         \
	    .marks = marks_},
#define OPTION_BOOL(field, key, standard, marks, help)                                             \
	ROW(field, key, standard, NULL, 0, 0, OPTION_IS_BOOL, marks, help)
#define OPTION_INT(field, key, standard, min, max, marks, help)                                    \
	ROW(field, key, standard, NULL, min, max, OPTION_IS_INT, marks, help)
#define OPTION_BYTES(field, key, standard, min, max, marks, help)                                  \
	ROW(field, key, standard, NULL, min, max, OPTION_IS_BYTES, marks, help)
#define OPTION_SHARE(field, key, standard, min, max, marks, help)                                  \
	ROW(field, key, standard, NULL, min, max, OPTION_IS_SHARE, marks, help)
#define OPTION_DURATION(field, key, standard, min, max, marks, help)                               \
	ROW(field, key, standard, NULL, min, max, OPTION_IS_DURATION, marks, help)
#define OPTION_TEXT(field, key, standard, marks, help)                                             \
	ROW(field, key, standard, NULL, 0, 0, OPTION_IS_TEXT, marks, help)
#define OPTION_CHOICE(field, key, standard, choices, marks, help)                                  \
	ROW(field, key, standard, choices, 0, 0, OPTION_IS_CHOICE, marks, help)
#define OPTION_LIST(field, key, standard, min, max, marks, help)                                   \
	ROW(field, key, standard, NULL, min, max, OPTION_IS_LIST, marks, help)
#define OPTION_MAP(field, key, standard, marks, help)                                              \
	ROW(field, key, standard, NULL, 0, 0, OPTION_IS_MAP, marks, help)
const struct option options[] = {
#include "options.def"
};
const size_t option_count = sizeof(options) / sizeof(*options);
_Static_assert(sizeof(options) / sizeof(*options) <= OPTIONS_MAX, "load_yaml marks each");

const struct option *option_find(const char *key)
{
	for (const struct option *o = options; o < options + option_count; o++)
		if (!strcmp(o->key, key))
			return o;
	return NULL;
}

bool option_is_section(const char *key)
{
	size_t n = strlen(key);
	for (const struct option *o = options; o < options + option_count; o++)
		if (!strncmp(o->key, key, n) && o->key[n] == '.')
			return true;
	return false;
}

bool option_nearest(const char *parent, const char *name, unsigned limit, char nearest[KEY_MAX])
{
	size_t above = parent ? strlen(parent) : 0;
	unsigned best = limit + 1;
	for (const struct option *o = options; o < options + option_count; o++) {
		char key[KEY_MAX];
		text_copy(key, sizeof(key), o->key);
		if (above && (strncmp(key, parent, above) || key[above] != '.'))
			continue;
		char *part = key + above + (above != 0);
		if (parent)
			part[strcspn(part, ".")] = 0;
		size_t a = strlen(part), b = strlen(name);
		if (limit <= b && (a > b ? a - b : b - a) >= best)
			continue; // spares the distance, which is no less
		// Where any key will do, one that contains the name ("rate") is meant.
		unsigned distance =
		    limit > b && b > 2 && strstr(part, name) ? 1 : text_distance(part, name, best);
		if (distance >= best)
			continue;
		best = distance;
		text_copy(nearest, KEY_MAX, key);
	}
	return best <= limit;
}
