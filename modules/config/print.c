// SPDX-License-Identifier: Apache-2.0
// struct config as YAML: `telegen config`, and the commented default file.
#include "option.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <strings.h>

// Whether S means itself without quotes, for any YAML reader: no number, no word with a meaning, no
// sign.
static bool is_plain(const char *s)
{
	static const char *const words[] = {
	    "null", "true", "false", "yes", "no", "on", "off", "y", "n"};
	static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
	for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++)
		if (!strcasecmp(s, words[i]))
			return false;
	size_t first = strspn(s, letters);
	size_t all =
	    strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./");
	return (first || *s == '/') && !s[all];
}

// The code point at S, which is valid UTF-8; *N is its length.
static uint32_t decode(const char *s, size_t *n)
{
	unsigned char b = (unsigned char)*s;
	*n = b < 0x80 ? 1 : b < 0xe0 ? 2 : b < 0xf0 ? 3 : 4;
	uint32_t c = *n == 1 ? b : b & (0x7fu >> *n);
	for (size_t i = 1; i < *n; i++)
		c = c << 6 | ((unsigned char)s[i] & 0x3f);
	return c;
}

// What YAML 1.1 (5.1, 5.4) does not take as it is, or takes as the end of a line.
static bool needs_escape(uint32_t c)
{
	return c < 32 || c == '"' || c == '\\' || (c >= 0x7f && c < 0xa0) || c == 0x2028 ||
	       c == 0x2029 || c == 0xfeff || c == 0xfffe || c == 0xffff;
}

static void print_string(const char *s, size_t n, struct text *t)
{
	text_puts(t, "\"");
	for (size_t i = 0, step; i < n; i += step) {
		uint32_t c = decode(s + i, &step);
		if (!needs_escape(c))
			text_add(t, s + i, step);
		else if (c == '"' || c == '\\')
			text_printf(t, "\\%c", (int)c);
		else if (c == '\n')
			text_puts(t, "\\n");
		else
			text_printf(t, c < 0x100 ? "\\x%02" PRIx32 : "\\u%04" PRIx32, c);
	}
	text_puts(t, "\"");
}

static void print_text(const char *s, struct text *t)
{
	if (is_plain(s))
		text_puts(t, s);
	else
		print_string(s, strlen(s), t);
}

// A URL, "http://user:password@host": the password is left out, also one that has a "/" which
// should have been %2F in it.
static void print_url(const char *s, struct text *t)
{
	struct text shown = TEXT(t->account);
	const char *scheme = strstr(s, "://"), *at = scheme ? scheme + 3 : s;
	const char *end = strrchr(at, '@');
	const char *colon = end ? memchr(at, ':', (size_t)(end - at)) : NULL;
	if (!colon) {
		print_text(s, t);
		return;
	}
	text_add(&shown, s, (size_t)(colon - s));
	text_puts(&shown, end);
	print_text(shown.at ? shown.at : "", t);
	text_puts(t, " # its password is not shown");
	t->error = t->error ? t->error : shown.error;
	text_free(&shown);
}

static void print_list(const struct option *o, const struct config_list *list, struct text *t)
{
	text_puts(t, "[");
	for (uint32_t i = 0; i < list->count; i++) {
		text_puts(t, i ? ", " : "");
		if (o->marks & (NUMBERS | DECIMALS))
			text_puts(t, list->items[i]);
		else
			print_text(list->items[i], t);
	}
	text_puts(t, "]");
}

static void print_map(const struct option *o, const struct config_list *list, struct text *t)
{
	bool secret = o->marks & SECRET && list->count;
	text_puts(t, secret ? "{} # values are not shown: " : "{");
	for (uint32_t i = 0; i < list->count; i++) {
		const char *name = list->items[i], *equals = strchr(name, '=');
		char shown[VALUE_MAX];
		text_puts(t, i ? ", " : "");
		if (!secret) {
			print_string(name, (size_t)(equals - name), t);
			text_puts(t, ": ");
			print_string(equals + 1, strlen(equals + 1), t);
			continue;
		}
		text_copy(shown, (size_t)(equals - name) + 1, name);
		text_add_quoted(t, shown, QUOTED_MAX);
	}
	text_puts(t, secret ? "" : "}");
}

void option_print(const struct option *o, const struct config *c, struct text *t)
{
	const void *value = (const char *)c + o->at;
	if (o->type == OPTION_IS_BOOL) {
		text_puts(t, *(const bool *)value ? "true" : "false");
	} else if (o->type == OPTION_IS_TEXT) {
		(o->marks & SECRET ? print_url : print_text)(*(char *const *)value, t);
	} else if (o->type == OPTION_IS_LIST) {
		print_list(o, value, t);
	} else if (o->type == OPTION_IS_MAP) {
		print_map(o, value, t);
	} else if (o->type == OPTION_IS_CHOICE) {
		const char *choice = o->choices;
		for (int i = *(const int *)value; i > 0; i--)
			choice += strcspn(choice, "|") + 1;
		text_add(t, choice, strcspn(choice, "|="));
	} else {
		option_print_number(o, *(const uint64_t *)value, t);
	}
}

// The heads of the sections of KEY that BEFORE was not in; returns the last part of KEY, *INDENT is
// its depth.
static const char *open_sections(const char *key, const char *before, int *indent, struct text *t)
{
	bool same = true;
	*indent = 0;
	for (size_t n; key[n = strcspn(key, ".")]; key += n + 1, before += same ? n + 1 : 0) {
		same = same && !strncmp(key, before, n + 1);
		if (!same)
			text_printf(t, "%*s%.*s:\n", 2 * *indent, "", (int)n, key);
		++*indent;
	}
	return key;
}

int config_print(const struct config *c, struct text *out)
{
	const char *before = "";
	for (const struct option *o = options; o < options + option_count; before = (o++)->key) {
		int indent;
		const char *name = open_sections(o->key, before, &indent, out);
		text_printf(out, "%*s%s: ", 2 * indent, "", name);
		option_print(o, c, out);
		text_puts(out, "\n");
	}
	return out->error;
}

int config_example(struct text *out)
{
	const char *before = "";
	struct config *standard = config_standard();
	if (!standard)
		return -ENOMEM;
	text_puts(out, "# telegen.yaml: what is not set here has the value shown behind its #. See "
		       "telegen.yaml(5).\n");
	for (const struct option *o = options; o < options + option_count; o++) {
		int indent;
		if (o->marks & LATER)
			continue;
		const char *name = open_sections(o->key, before, &indent, out);
		text_printf(
		    out, "%*s# %s.\n%*s#%s: ", 2 * indent, "", o->help, 2 * indent, "", name);
		option_print(o, standard, out);
		text_puts(out, "\n");
		before = o->key;
	}
	config_free(standard);
	return out->error;
}
