// SPDX-License-Identifier: Apache-2.0
// Environment: TELEGEN_ and the key in capitals, with '_' for '.'.
#include "option.h"

#include <ctype.h>
#include <string.h>

static void variable_of(const struct option *o, char name[KEY_MAX])
{
	size_t n = text_copy(name, KEY_MAX, "TELEGEN_");
	n += text_copy(name + n, KEY_MAX - n, o->key);
	for (size_t i = 0; i < n; i++)
		name[i] = name[i] == '.' ? '_' : (char)toupper((unsigned char)name[i]);
}

// Another program may own the variable, so an unknown one is no error.
static void warn_unknown(struct load *l, const char *name)
{
	unsigned best = (unsigned)strlen(name) / 3;
	char nearest[KEY_MAX] = "", candidate[KEY_MAX];
	for (const struct option *o = options; o < options + option_count; o++) {
		variable_of(o, candidate);
		unsigned distance = text_distance(name, candidate, best);
		if (distance < best) {
			best = distance;
			text_copy(nearest, sizeof(nearest), candidate);
		}
	}
	load_warning(l, name, "no such option%s%s", *nearest ? "; the nearest is " : "", nearest);
}

void load_environment(struct load *l, char *const *environment)
{
	for (; *environment && !l->error; environment++) {
		const char *entry = *environment, *equals = strchr(entry, '=');
		char name[256], variable[KEY_MAX];
		const struct option *o = options;
		if (strncmp(entry, "TELEGEN_", strlen("TELEGEN_")) || !equals)
			continue;
		size_t n = (size_t)(equals - entry);
		text_copy(name, n < sizeof(name) ? n + 1 : sizeof(name), entry);
		for (; o < options + option_count; o++) {
			variable_of(o, variable);
			if (!strcmp(variable, name))
				break;
		}
		if (o == options + option_count)
			warn_unknown(l, name);
		else
			load_value(l, name, 0, o, equals + 1);
	}
}
