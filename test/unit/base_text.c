// SPDX-License-Identifier: Apache-2.0
// The buffer whose errors stick, and the small judges of strings.
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "../../modules/base/text.c"

static void grows_and_stays_terminated(void **state)
{
	(void)state;
	struct text t = TEXT(ACCOUNT_BASE);
	char truth[20016] = "";
	for (int i = 0; i < 2000; i++) {
		assert_int_equal(text_printf(&t, "%d,", i % 10), 0);
		assert_int_equal(text_puts(&t, "ab"), 0);
		assert_int_equal(text_add(&t, "c", 1), 0);
		snprintf(truth + 5 * i, 16, "%d,abc", i % 10);
		assert_int_equal(t.len, 5 * (i + 1));
		assert_int_equal(t.at[t.len], 0);
	}
	assert_string_equal(t.at, truth);
	assert_int_equal(text_add(&t, NULL, 0), 0);
	text_reset(&t);
	assert_int_equal(t.len, 0);
	assert_string_equal(t.at, "");
	assert_int_equal(text_add(&t, "\0x", 2), 0); // bytes, not strings
	assert_int_equal(t.len, 2);
	text_free(&t);
	assert_null(t.at);
	assert_int_equal(mem_used(ACCOUNT_BASE), 0);
}

static void an_error_sticks_until_reset(void **state)
{
	(void)state;
	struct text t = TEXT(ACCOUNT_BASE);
	text_puts(&t, "before");
	mem_fail_at(1);
	char big[500];
	memset(big, 'x', sizeof(big));
	assert_int_equal(text_add(&t, big, sizeof(big)), -ENOMEM);
	mem_fail_at(0);
	assert_int_equal(text_puts(&t, "y"), -ENOMEM); // there is memory again, and still
	assert_int_equal(text_printf(&t, "%d", 1), -ENOMEM);
	assert_int_equal(t.error, -ENOMEM);
	assert_string_equal(t.at, "before");
	text_reset(&t);
	assert_int_equal(text_puts(&t, "after"), 0);
	assert_string_equal(t.at, "after");
	assert_int_equal(text_add(&t, "", SIZE_MAX - 2), -ENOMEM);
	text_free(&t);
	mem_fail_at(1);
	assert_int_equal(text_puts(&t, "nothing"), -ENOMEM);
	mem_fail_at(0);
	assert_null(t.at);
	text_free(&t);
	assert_int_equal(mem_used(ACCOUNT_BASE), 0);
}

static void copies_are_bounded(void **state)
{
	(void)state;
	char to[4] = "zzz";
	assert_int_equal(text_copy(to, 0, "abc"), 0);
	assert_string_equal(to, "zzz");
	assert_int_equal(text_copy(to, 4, "abcdef"), 3);
	assert_string_equal(to, "abc");
	assert_int_equal(text_copy(to, 1, "abc"), 0);
	assert_string_equal(to, "");
	assert_int_equal(text_copy(to, 4, "a"), 1);
	assert_string_equal(to, "a");
}

static void numbers_are_strict(void **state)
{
	(void)state;
	static const struct {
		const char *s;
		int base, error;
		uint64_t value;
	} rows[] = {
	    {"0", 10, 0, 0},
	    {"18446744073709551615", 10, 0, UINT64_MAX},
	    {"18446744073709551616", 10, -ERANGE, 0},
	    {"99999999999999999999", 10, -ERANGE, 0},
	    {"ffffffffffffffff", 16, 0, UINT64_MAX},
	    {"10000000000000000", 16, -ERANGE, 0},
	    {"DeadBeef", 16, 0, 0xdeadbeef},
	    {"", 10, -EINVAL, 0},
	    {" 1", 10, -EINVAL, 0},
	    {"1 ", 10, -EINVAL, 0},
	    {"-1", 10, -EINVAL, 0},
	    {"+1", 10, -EINVAL, 0},
	    {"0x10", 16, -EINVAL, 0},
	    {"12a", 10, -EINVAL, 0},
	    {"8", 8, -EINVAL, 0},
	    {"777", 8, 0, 511},
	    {"000000000000000000000000001", 10, 0, 1},
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		uint64_t value = 0;
		assert_int_equal(
		    text_number(rows[i].s, strlen(rows[i].s), rows[i].base, &value), rows[i].error);
		assert_int_equal(value, rows[i].value);
	}
	uint64_t value = 0;
	assert_int_equal(text_number("123456", 3, 10, &value), 0);
	assert_int_equal(value, 123);
	assert_int_equal(text_number("1\0002", 3, 10, &value), -EINVAL);
}

static void distances(void **state)
{
	(void)state;
	char long_one[200];
	memset(long_one, 'a', 199);
	long_one[199] = 0;
	assert_int_equal(text_distance("listen", "listen", 9), 0);
	assert_int_equal(text_distance("lisen", "listen", 9), 1);
	assert_int_equal(text_distance("kitten", "sitting", 9), 3);
	assert_int_equal(text_distance("", "abc", 9), 3);
	assert_int_equal(text_distance("abcdef", "uvwxyz", 4), 4);
	assert_int_equal(text_distance(long_one, long_one, 7), 7); // not looked at
	long_one[126] = 0;
	assert_int_equal(text_distance(long_one, long_one, 7), 0);
}

static void utf8(void **state)
{
	(void)state;
	static const struct {
		const char *s;
		bool valid;
	} rows[] = {
	    {"", true},
	    {"plain", true},
	    {"\xc3\xa9", true},
	    {"\xe2\x82\xac", true},
	    {"\xf0\x9f\x98\x80", true},
	    {"\xf4\x8f\xbf\xbf", true},
	    {"\xee\x80\x80", true},
	    {"\x80", false},
	    {"\xc0\xaf", false},
	    {"\xc1\xbf", false},
	    {"\xc3", false},
	    {"\xe2\x82", false},
	    {"\xf0\x9f\x98", false},
	    {"\xe0\x9f\xbf", false}, // overlong
	    {"\xf0\x8f\xbf\xbf", false},
	    {"\xed\xa0\x80", false}, // a surrogate
	    {"\xf4\x90\x80\x80", false},
	    {"\xf5\x80\x80\x80", false},
	    {"\xff", false},
	    {"\xc3\xc3\xa9", false},
	    {"a\xe2\x28\xa1", false},
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		// On the heap to its last byte, so that a look behind it is seen.
		size_t n = strlen(rows[i].s);
		char *copy = mem_alloc(ACCOUNT_BASE, n);
		memcpy(copy, rows[i].s, n);
		assert_int_equal(text_utf8_valid(copy, n), rows[i].valid);
		mem_free(copy);
	}
	assert_true(text_utf8_valid("\0\0", 2));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(grows_and_stays_terminated),
	    cmocka_unit_test(an_error_sticks_until_reset),
	    cmocka_unit_test(copies_are_bounded),
	    cmocka_unit_test(numbers_are_strict),
	    cmocka_unit_test(distances),
	    cmocka_unit_test(utf8),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
