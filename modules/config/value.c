// SPDX-License-Identifier: Apache-2.0
// Single values: text into a field of struct config, with its limits, and comparing.
#include "option.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <strings.h>

#define MAP_NAME_MAX 256 // bytes; YAML takes no longer ones on one line than 1024

static void *field(const struct option *o, const struct config *c)
{
	return (char *)c + o->at;
}

void text_add_quoted(struct text *t, const char *s, size_t most)
{
	size_t n = strlen(s), shown = n > most ? most - 3 : n;
	bool utf8 = text_utf8_valid(s, n);
	while (utf8 && shown < n && ((unsigned char)s[shown] & 0xc0) == 0x80)
		shown--;
	for (size_t i = 0; i < shown; i++) {
		unsigned char b = (unsigned char)s[i];
		text_add(t, b < 32 || b == 127 || (b > 127 && !utf8) ? "?" : &s[i], 1);
	}
	if (shown < n)
		text_puts(t, "...");
}

static int refuse(struct text *why, const char *value, const char *is)
{
	if (*value)
		text_add_quoted(why, value, QUOTED_MAX);
	else
		text_puts(why, "an empty value");
	text_puts(why, is);
	return -EINVAL;
}

void option_print_number(const struct option *o, uint64_t value, struct text *t)
{
	if (o->type == OPTION_IS_BYTES)
		size_print(value, t);
	else if (o->type == OPTION_IS_SHARE)
		share_print(value, t);
	else if (o->type == OPTION_IS_DURATION)
		duration_print(value, t);
	else
		text_printf(t, "%" PRIu64, value);
}

static int refuse_range(const struct option *o, const char *value, struct text *why)
{
	refuse(why, value, " is not in ");
	option_print_number(o, o->min, why);
	text_puts(why, "..");
	option_print_number(o, o->max, why);
	return -EINVAL;
}

static int parse_bool(const char *value, bool *to, struct text *why)
{
	static const char *const words[] = {"false", "true", "no", "yes", "off", "on", "0", "1"};
	for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++) {
		if (strcasecmp(value, words[i]))
			continue;
		*to = i & 1;
		return 0;
	}
	return refuse(why, value, " is not true or false");
}

static int parse_number(const struct option *o, const char *value, uint64_t *to, struct text *why)
{
	const char *digits = value + (*value == '-');
	uint64_t n;
	int error = o->type == OPTION_IS_BYTES	    ? size_parse(digits, &n)
		    : o->type == OPTION_IS_SHARE    ? share_parse(digits, &n)
		    : o->type == OPTION_IS_DURATION ? duration_parse(digits, &n)
						    : text_number(digits, strlen(digits), 10, &n);
	if (error == -EINVAL)
		return refuse(why, value,
		    o->type == OPTION_IS_BYTES	 ? " is not a size such as 48MB"
		    : o->type == OPTION_IS_SHARE ? " is not a share such as 2%"
		    : o->type == OPTION_IS_DURATION
			? " is not a duration such as 10s, 500ms or 1m30s"
			: " is not a whole number");
	if (error || digits != value || n < o->min || n > o->max)
		return refuse_range(o, value, why);
	*to = n;
	return 0;
}

// CHOICES is "one|two=also two|three".
static int parse_choice(const char *choices, const char *value, int *to, struct text *why)
{
	int index = 0;
	for (const char *c = choices;; c++) {
		size_t n = strcspn(c, "|=");
		if (strlen(value) == n && !strncasecmp(value, c, n)) {
			*to = index;
			return 0;
		}
		c += n;
		if (!*c)
			break;
		index += *c == '|';
	}
	refuse(why, value, " is not one of ");
	for (const char *c = choices; *c; c += strcspn(c, "|"), c += *c == '|') {
		text_puts(why, c == choices ? "" : ", ");
		text_add(why, c, strcspn(c, "|="));
	}
	return -EINVAL;
}

static int parse_text(const char *value, char **to, struct text *why)
{
	if (strlen(value) >= VALUE_MAX)
		return refuse(why, value, " is longer than 4095 bytes");
	if (!text_utf8_valid(value, strlen(value)))
		return refuse(why, value, " is not valid UTF-8");
	char *copy = mem_strdup(ACCOUNT_CONFIG, value);
	if (!copy)
		return -ENOMEM;
	mem_free(*to);
	*to = copy;
	return 0;
}

int list_add(struct config_list *list, const char *s, size_t n)
{
	if (list->count == ITEMS_MAX)
		return -E2BIG;
	char **items = mem_resize(ACCOUNT_CONFIG, list->items, (list->count + 2) * sizeof(*items));
	if (!items)
		return -ENOMEM;
	list->items = items;
	items[list->count] = mem_alloc(ACCOUNT_CONFIG, n + 1);
	items[list->count + 1] = NULL;
	if (!items[list->count])
		return -ENOMEM;
	memcpy(items[list->count++], s, n);
	return 0;
}

void list_free(struct config_list *list)
{
	for (uint32_t i = 0; i < list->count; i++)
		mem_free(list->items[i]);
	mem_free(list->items);
	*list = (struct config_list){0};
}

static bool is_decimal(const char *s)
{
	size_t whole = strspn(s, "0123456789");
	const char *rest = s + whole;
	size_t part = *rest == '.' ? strspn(rest + 1, "0123456789") : 0;
	rest += *rest == '.' ? part + 1 : 0;
	if (!whole && !part)
		return false;
	if (*rest == 'e' || *rest == 'E') {
		rest += 1 + (rest[1] == '-' || rest[1] == '+');
		size_t digits = strspn(rest, "0123456789");
		rest += digits;
		if (!digits)
			return false;
	}
	return !*rest;
}

static int check_item(const struct option *o, const char *item, struct text *why)
{
	const char *equals = strchr(item, '=');
	uint64_t n;
	const char *shown = o->marks & SECRET ? "an item, which is not shown," : item;
	if (!*item)
		return refuse(why, item, " stands in the list");
	if (strlen(item) >= VALUE_MAX)
		return refuse(why, shown, " is longer than 4095 bytes");
	if (!text_utf8_valid(item, strlen(item)))
		return refuse(why, shown, " is not valid UTF-8");
	if (o->type == OPTION_IS_MAP && (!equals || equals == item))
		return refuse(why, shown, " is not NAME=VALUE");
	if (o->type == OPTION_IS_MAP && equals - item > MAP_NAME_MAX)
		return refuse(why, shown, " has a name longer than 256 bytes");
	if (o->marks & DECIMALS && !is_decimal(item))
		return refuse(why, item, " is not a number");
	return o->marks & NUMBERS ? parse_number(o, item, &n, why) : 0;
}

int option_set_list(
    const struct option *o, struct config *c, struct config_list *list, struct text *why)
{
	for (uint32_t i = 0; i < list->count; i++) {
		int error = check_item(o, list->items[i], why);
		if (error)
			return error;
	}
	list_free(field(o, c));
	*(struct config_list *)field(o, c) = *list;
	*list = (struct config_list){0};
	return 0;
}

static int parse_list(const struct option *o, struct config *c, const char *value, struct text *why)
{
	struct config_list list = {0};
	int error = 0;
	for (const char *s = value + strspn(value, " "); *s && !error;) {
		size_t n = strcspn(s, ","), used = n;
		while (used && s[used - 1] == ' ')
			used--;
		error = list_add(&list, s, used);
		s += n;
		// A comma at the very end would hide that something is missing behind it.
		if (*s == ',' && !s[1 + strspn(s + 1, " ")] && !error)
			error = list_add(&list, "", 0);
		s += *s == ',';
		s += strspn(s, " ");
	}
	if (error == -E2BIG) {
		text_printf(why, "more than %d items", ITEMS_MAX);
		error = -EINVAL;
	}
	if (!error)
		error = option_set_list(o, c, &list, why);
	list_free(&list);
	return error;
}

int option_set(const struct option *o, struct config *c, const char *value, struct text *why)
{
	switch (o->type) {
	case OPTION_IS_BOOL:
		return parse_bool(value, field(o, c), why);
	case OPTION_IS_TEXT:
		return parse_text(value, field(o, c), why);
	case OPTION_IS_CHOICE:
		return parse_choice(o->choices, value, field(o, c), why);
	case OPTION_IS_LIST:
	case OPTION_IS_MAP:
		return parse_list(o, c, value, why);
	default:
		return parse_number(o, value, field(o, c), why);
	}
}

void option_clear(const struct option *o, struct config *c)
{
	if (o->type == OPTION_IS_TEXT) {
		mem_free(*(char **)field(o, c));
		*(char **)field(o, c) = NULL;
	} else if (o->type == OPTION_IS_LIST || o->type == OPTION_IS_MAP) {
		list_free(field(o, c));
	}
}

static bool lists_equal(const struct config_list *a, const struct config_list *b)
{
	if (a->count != b->count)
		return false;
	for (uint32_t i = 0; i < a->count; i++)
		if (strcmp(a->items[i], b->items[i]))
			return false;
	return true;
}

bool option_equal(const struct option *o, const struct config *a, const struct config *b)
{
	const void *x = field(o, a), *y = field(o, b);
	switch (o->type) {
	case OPTION_IS_BOOL:
		return *(const bool *)x == *(const bool *)y;
	case OPTION_IS_TEXT:
		return !strcmp(*(char *const *)x, *(char *const *)y);
	case OPTION_IS_CHOICE:
		return *(const int *)x == *(const int *)y;
	case OPTION_IS_LIST:
	case OPTION_IS_MAP:
		return lists_equal(x, y);
	default:
		return *(const uint64_t *)x == *(const uint64_t *)y;
	}
}
