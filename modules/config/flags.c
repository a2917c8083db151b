// SPDX-License-Identifier: Apache-2.0
// Flags: --key=value, --key value, and --key alone where it is a BOOL.
#include "option.h"

#include <string.h>

// The option of "--key" or "--key=value"; *VALUE is behind the '=', or NULL.
static const struct option *option_of(const char *arg, char key[KEY_MAX], const char **value)
{
	size_t n = strcspn(arg, "=");
	*key = 0;
	*value = arg[n] ? arg + n + 1 : NULL;
	if (strncmp(arg, "--", 2) || n - 2 >= KEY_MAX)
		return NULL;
	text_copy(key, n - 1, arg + 2);
	return option_find(key);
}

int config_flag(const char *arg)
{
	char key[KEY_MAX];
	const char *value;
	const struct option *o = option_of(arg, key, &value);
	return !o ? 0 : value || o->type == OPTION_IS_BOOL ? 1 : 2;
}

static void refuse_unknown(struct load *l, const char *arg, const char *key)
{
	char nearest[KEY_MAX];
	struct text name = TEXT(ACCOUNT_CONFIG);
	text_add_quoted(&name, arg, QUOTED_MAX);
	if (name.at)
		name.at[strcspn(name.at, "=")] = 0;
	if (strncmp(arg, "--", 2))
		load_problem(l, arg, 0, NULL, "flags begin with --");
	else if (option_nearest(NULL, key, (unsigned)strlen(key) / 2, nearest))
		load_problem(l, name.at, 0, NULL, "no such option; the nearest is --%s", nearest);
	else
		load_problem(l, name.at, 0, NULL, "no such option; telegen --help lists all");
	text_free(&name);
}

void load_flags(struct load *l, char *const *flags)
{
	for (; *flags && !l->error; flags++) {
		char key[KEY_MAX], name[KEY_MAX + 2] = "--";
		const char *value;
		const struct option *o = option_of(*flags, key, &value);
		text_copy(name + 2, KEY_MAX, key);
		if (!o) {
			refuse_unknown(l, *flags, key);
			continue;
		}
		if (!value && o->type == OPTION_IS_BOOL)
			value = "true";
		else if (!value)
			value = *++flags;
		if (!value) {
			load_problem(l, name, 0, NULL, "no value behind it");
			return;
		}
		load_value(l, name, 0, o, value);
	}
}
