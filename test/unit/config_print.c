// SPDX-License-Identifier: Apache-2.0
// What is printed reads back; the example, the help and the man page say what the table says.
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "../../modules/config/print.c"

#include <ctype.h>
#include <stdio.h>

static struct text why, warnings;

static int setup(void **state)
{
	(void)state;
	why = warnings = TEXT(ACCOUNT_CONFIG);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	text_free(&why);
	text_free(&warnings);
	return mem_used(ACCOUNT_CONFIG) || mem_used(ACCOUNT_LIBRARY);
}

static struct config *load_fine(const char *yaml)
{
	struct load l = {.config = config_standard(), .why = &why, .warnings = &warnings};
	text_reset(&why);
	text_reset(&warnings);
	load_yaml(&l, "test", yaml, strlen(yaml));
	if (l.error || l.problems)
		fail_msg("%s", why.at);
	return l.config;
}

static void assert_same(const struct config *a, const struct config *b)
{
	for (const struct option *o = options; o < options + option_count; o++)
		if (!option_equal(o, a, b))
			fail_msg("%s differs", o->key);
}

#define TEXTS 29
// Every option at a value that is not its default; texts (beginning with the Kth) and lists of what
// needs quotes.
static struct config *unusual(size_t k)
{
	static const char *const texts[TEXTS] = {"", "null", "~", "true", "5", "a: b", "# c", " x ",
	    "- d", "\"q\\", "'", "line\nline\r\n\ttab",
	    "caf\xc3\xa9 \xe2\x80\xa8 \xef\xbb\xbf \xf0\x9f\x94\xa5 \xc2\x85", "{a}", "*x", "&y",
	    "!z", "%2", "\x01\x1f\x7f", "a,b", "/plain/path-1.2_x", "1.5", "0x1f", "No", "?", "|",
	    ">", "@", "`"};
	size_t n = TEXTS;
	struct config *c = config_standard();
	struct text item = TEXT(ACCOUNT_CONFIG);
	for (const struct option *o = options; o < options + option_count; o++) {
		void *at = (char *)c + o->at;
		struct config_list list = {0};
		if (o->type == OPTION_IS_BOOL) {
			*(bool *)at = !*(bool *)at;
		} else if (o->type == OPTION_IS_CHOICE) {
			*(int *)at = !*(int *)at;
		} else if (o->type == OPTION_IS_TEXT) {
			assert_int_equal(option_set(o, c, texts[k++ % n], &why), 0);
		} else if (o->type == OPTION_IS_LIST || o->type == OPTION_IS_MAP) {
			for (size_t i = 1; i < n && !(o->marks & SECRET); i++) {
				text_reset(&item);
				if (o->type == OPTION_IS_MAP)
					text_printf(&item, "n: %zu=", i);
				text_puts(&item, texts[i]);
				const char *s = o->marks & (NUMBERS | DECIMALS) ? "17" : item.at;
				assert_int_equal(list_add(&list, s, strlen(s)), 0);
			}
			assert_int_equal(option_set_list(o, c, &list, &why), 0);
		} else {
			*(uint64_t *)at = o->max - o->min / 3;
		}
	}
	text_free(&item);
	return c;
}

static void what_is_printed_reads_back(void **state)
{
	(void)state;
	struct text yaml = TEXT(ACCOUNT_CONFIG);
	for (size_t round = 0; round < TEXTS; round++) {
		struct config *c = unusual(round);
		// These would be refused together.
		c->profiling_exclude_user = false;
		c->profiling_upload_interval = c->profiling_collection_interval + 1;
		text_reset(&yaml);
		assert_int_equal(config_print(c, &yaml), 0);
		struct config *back = load_fine(yaml.at);
		assert_same(c, back);
		config_free(c);
		config_free(back);
	}
	text_free(&yaml);
}

static void values_of_headers_are_not_printed(void **state)
{
	(void)state;
	struct config *c = load_fine(
	    "profile_export: {otlp: {headers: [Authorization=Bearer sesame, \"X\\n: y=sesame\"]}}");
	struct text yaml = TEXT(ACCOUNT_CONFIG);
	assert_int_equal(config_print(c, &yaml), 0);
	assert_null(strstr(yaml.at, "sesame"));
	assert_non_null(
	    strstr(yaml.at, "headers: {} # values are not shown: Authorization, X?: y\n"));
	struct config *back = load_fine(yaml.at);
	assert_int_equal(back->profile_export_otlp_headers.count, 0);
	config_free(c);
	config_free(back);
	text_free(&yaml);
}

static void passwords_in_urls_are_not_printed(void **state)
{
	(void)state;
	struct config *c =
	    load_fine("profile_export: {otlp: {endpoint: \"http://me:s3same@h:1/a:b\", proxy: "
		      "\"http://you:s3same@p:2\"}, parca: {endpoint: \"me:s3@same@h\"}, "
		      "pyroscope: {endpoint: \"http://you:s3/same@b\"}}");
	struct text yaml = TEXT(ACCOUNT_CONFIG);
	assert_int_equal(config_print(c, &yaml), 0);
	assert_null(strstr(yaml.at, "same"));
	assert_non_null(
	    strstr(yaml.at, "endpoint: \"http://me@h:1/a:b\" # its password is not shown\n"));
	assert_non_null(strstr(yaml.at, "proxy: \"http://you@p:2\" # its"));
	assert_non_null(strstr(yaml.at, "endpoint: \"me@h\" # its"));
	assert_non_null(strstr(yaml.at, "endpoint: \"http://you@b\" # its"));
	struct config *back = load_fine(yaml.at);
	config_free(c);
	config_free(back);
	text_free(&yaml);
	// Nor are values told that are wrong.
	struct text reason = TEXT(ACCOUNT_CONFIG);
	c = config_standard();
	assert_int_equal(
	    option_set(option_find("profile_export.otlp.headers"), c, "s3same", &reason), -EINVAL);
	assert_string_equal(reason.at, "an item, which is not shown, is not NAME=VALUE");
	config_free(c);
	text_free(&reason);
}

static void the_example_is_the_defaults(void **state)
{
	(void)state;
	struct text yaml = TEXT(ACCOUNT_CONFIG);
	struct config *standard = config_standard(), *c;
	assert_int_equal(config_example(&yaml), 0);
	c = load_fine(yaml.at);
	assert_same(c, standard);
	config_free(c);
	// The same with every value taken in: "#key" becomes " key"... the key alone.
	char *to = yaml.at;
	for (const char *s = yaml.at; *s; s++)
		if (*s != '#' || !islower((unsigned char)s[1]) ||
		    (s > yaml.at && s[-1] != ' ' && s[-1] != '\n'))
			*to++ = *s;
	*to = 0;
	assert_non_null(strstr(yaml.at, "\n    sample_rate: 99\n"));
	c = load_fine(yaml.at);
	assert_same(c, standard);
	assert_int_equal(warnings.len, 0);
	config_free(c);
	config_free(standard);
	text_free(&yaml);
}

static void help_and_man_name_every_option(void **state)
{
	(void)state;
	struct text help = TEXT(ACCOUNT_CONFIG), man = TEXT(ACCOUNT_CONFIG);
	assert_int_equal(config_help(&help), 0);
	assert_int_equal(config_man(&man), 0);
	for (const struct option *o = options; o < options + option_count; o++) {
		char flag[KEY_MAX], item[KEY_MAX];
		snprintf(flag, sizeof(flag), o->marks & LATER ? "--%s" : "  --%s=", o->key);
		snprintf(item, sizeof(item), "\n.It Ic %s :", o->key);
		assert_non_null(strstr(help.at, flag));
		const char *apart = strstr(man.at, ".Sh COMPATIBILITY"), *at = strstr(man.at, item);
		assert_non_null(at);
		assert_int_equal(at > apart, (o->marks & LATER) != 0);
	}
	text_free(&help);
	text_free(&man);
}

static void numbers_with_units(void **state)
{
	(void)state;
	static const struct {
		const char *s;
		int error;
		uint64_t value;
	} sizes[] = {{"0", 0, 0}, {"48MB", 0, 48 << 20}, {"48MiB", 0, 48 << 20},
	    {"48m", 0, 48 << 20}, {"48 Mi", 0, 48 << 20}, {"1b", 0, 1}, {"2T", 0, 2ull << 40},
	    {"3kB", 0, 3072}, {"1.5M", -EINVAL, 0}, {"", -EINVAL, 0}, {"MB", -EINVAL, 0},
	    {"5MBx", -EINVAL, 0}, {"5i", -EINVAL, 0}, {"16777216T", -ERANGE, 0},
	    {"99999999999999999999", -ERANGE, 0}, {"+5", -EINVAL, 0}},
	  times[] = {{"0", 0, 0}, {"10s", 0, 10 * NS_PER_S}, {"1m30s", 0, 90 * NS_PER_S},
	      {"500ms", 0, 500 * NS_PER_MS}, {"1.5h", 0, 5400 * NS_PER_S},
	      {"0.25s", 0, 250 * NS_PER_MS}, {"7us", 0, 7000}, {"7\xc2\xb5s", 0, 7000},
	      {"3ns", 0, 3}, {"1.999999999999s", 0, 1999999999}, {"10", -EINVAL, 0},
	      {"", -EINVAL, 0}, {"s", -EINVAL, 0}, {"1.s", 0, NS_PER_S}, {".5s", -EINVAL, 0},
	      {"1d", -EINVAL, 0}, {"1 s", -EINVAL, 0}, {"5s3", -EINVAL, 0},
	      {"99999999999h", -ERANGE, 0}, {"18446744073s999999999999ns", -ERANGE, 0}};
	static const struct {
		const char *s;
		int error;
		uint64_t value;
	} shares[] = {{"0", 0, 0}, {"0%", 0, 0}, {"2%", 0, 20000}, {"0.5%", 0, 5000},
	    {"12.3456%", 0, 123456}, {"1.23456%", 0, 12345}, {"2", -EINVAL, 0}, {"2 %", -EINVAL, 0},
	    {"", -EINVAL, 0}, {"%", -EINVAL, 0}, {".5%", -EINVAL, 0}, {"2%%", -EINVAL, 0},
	    {"1000001%", -ERANGE, 0}};
	uint64_t got, back;
	struct text t = TEXT(ACCOUNT_CONFIG);
	for (size_t i = 0; i < sizeof(shares) / sizeof(*shares); i++) {
		assert_int_equal(share_parse(shares[i].s, &got), shares[i].error);
		assert_true(shares[i].error || got == shares[i].value);
	}
	for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		assert_int_equal(size_parse(sizes[i].s, &got), sizes[i].error);
		assert_true(sizes[i].error || got == sizes[i].value);
	}
	for (size_t i = 0; i < sizeof(times) / sizeof(*times); i++) {
		assert_int_equal(duration_parse(times[i].s, &got), times[i].error);
		assert_true(times[i].error || got == times[i].value);
	}
	for (uint64_t seed = 1, n; seed < 2000; seed++) {
		n = hash_mix(seed) >> (seed % 64);
		n -= seed & 1 ? n % 1024 : 0;
		text_reset(&t);
		size_print(n, &t);
		assert_true(!size_parse(t.at, &back) && back == n);
		text_reset(&t);
		share_print(n % 1000000000, &t);
		assert_true(!share_parse(t.at, &back) && back == n % 1000000000);
		text_reset(&t);
		duration_print(n, &t);
		assert_true(!duration_parse(t.at, &back) && back == n);
	}
	text_free(&t);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(what_is_printed_reads_back),
	    TEST(values_of_headers_are_not_printed),
	    TEST(passwords_in_urls_are_not_printed),
	    TEST(the_example_is_the_defaults),
	    TEST(help_and_man_name_every_option),
	    TEST(numbers_with_units),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
