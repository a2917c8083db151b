// SPDX-License-Identifier: Apache-2.0
// The first line is a variable's value, the second a flag, the rest the file. What is accepted must
// print as YAML that reads back the same; nothing may leak, whatever is refused.
#include "../../modules/config/option.h"

#include <stdlib.h>
#include <string.h>

static struct config *load(const char *yaml, size_t n, char *const *environment, char *const *flags)
{
	struct text told = TEXT(ACCOUNT_CONFIG);
	struct load l = {.config = config_standard(), .why = &told, .warnings = &told};
	load_yaml(&l, "fuzz", yaml, n);
	if (!l.error)
		load_environment(&l, environment);
	if (!l.error)
		load_flags(&l, flags);
	// Lines are for a terminal and a log: no control characters.
	for (size_t i = 0; i < told.len; i++)
		if (((unsigned char)told.at[i] < 32 && told.at[i] != '\n') || told.at[i] == 127)
			abort();
	if (l.problems && !told.len)
		abort(); // refused without a word
	text_free(&told);
	if (!l.error && !l.problems)
		return l.config;
	config_free(l.config);
	return NULL;
}

static char *line(const char **at, const char *end)
{
	const char *stop = memchr(*at, '\n', (size_t)(end - *at));
	size_t n = (size_t)((stop ? stop : end) - *at);
	char *copy = mem_alloc(ACCOUNT_BASE, n + 1);
	memcpy(copy, *at, n);
	*at += n + (stop != NULL);
	return copy;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static char *none[] = {NULL};
	const char *at = (const char *)data, *end = at + size;
	if (!size)
		return 0;
	char *variable = line(&at, end), *flag = line(&at, end);
	char *environment[] = {variable, NULL}, *flags[] = {flag, NULL};
	struct config *c = load(at, (size_t)(end - at), environment, *flag ? flags : none), *back;
	struct text yaml = TEXT(ACCOUNT_CONFIG);
	if (c && !config_print(c, &yaml)) {
		back = load(yaml.at, yaml.len, none, none);
		for (const struct option *o = options; o < options + option_count; o++)
			if (!back || (!(o->marks & SECRET) && !option_equal(o, c, back)))
				abort();
		config_free(back);
	}
	config_free(c);
	text_free(&yaml);
	mem_free(variable);
	mem_free(flag);
	if (mem_used(ACCOUNT_CONFIG) || mem_used(ACCOUNT_LIBRARY))
		abort();
	return 0;
}
