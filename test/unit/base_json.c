// SPDX-License-Identifier: Apache-2.0
// Strings as JSON: whatever the bytes, what comes out is valid and may stand in a script.
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <errno.h>
#include <cmocka.h>

#include "../../modules/base/json.c"
#include "../../modules/base/map.h"

static void rows(void **state)
{
	(void)state;
	static const struct {
		const char *bytes;
		size_t n;
		const char *json;
	} row[] = {
	    {"", 0, "\"\""},
	    {"plain text", 10, "\"plain text\""},
	    {"a\"b\\c", 5, "\"a\\\"b\\\\c\""},
	    {"\n\t\r\b\x01\x1f\x7f", 7, "\"\\u000a\\u0009\\u000d\\u0008\\u0001\\u001f\\u007f\""},
	    {"a\0b", 3, "\"a\\u0000b\""},
	    {"</script><!--", 13, "\"\\u003c/script>\\u003c!--\""},
	    {"caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80", 14,
		"\"caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80\""},
	    {"\xff", 1, "\"\xef\xbf\xbd\""},
	    {"a\x80z", 3, "\"a\xef\xbf\xbdz\""},
	    {"\xc3", 1, "\"\xef\xbf\xbd\""},			   // cut at its end
	    {"\xe2\x82\"", 3, "\"\xef\xbf\xbd\xef\xbf\xbd\\\"\""}, // a quote is not its third byte
	    {"\xed\xa0\x80", 3, "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\""},
	    {"\xc0\xaf", 2, "\"\xef\xbf\xbd\xef\xbf\xbd\""},
	};
	for (size_t i = 0; i < sizeof(row) / sizeof(*row); i++) {
		struct text t = TEXT(ACCOUNT_BASE);
		char *copy = mem_alloc(ACCOUNT_WIRE, row[i].n);
		memcpy(copy, row[i].bytes, row[i].n);
		assert_int_equal(json_string(&t, copy, row[i].n), 0);
		assert_string_equal(t.at, row[i].json);
		text_free(&t);
		mem_free(copy);
	}
}

// A strict reader of one string: 0 where it is none. Counts what it stands for.
static size_t read_string(const char *s, size_t n)
{
	size_t i = 1, chars = 0;
	if (n < 2 || s[0] != '"' || s[n - 1] != '"' || !text_utf8_valid(s, n))
		return 0;
	for (; i < n - 1; chars++) {
		unsigned char c = (unsigned char)s[i];
		if (c < 0x20 || c == '"' || c == '<')
			return 0;
		if (c != '\\') {
			i++;
			while (i < n - 1 && ((unsigned char)s[i] & 0xc0) == 0x80)
				i++;
			continue;
		}
		uint64_t code;
		if (s[i + 1] == 'u' && i + 6 < n && text_number(s + i + 2, 4, 16, &code) == 0)
			i += 6;
		else if (s[i + 1] == '"' || s[i + 1] == '\\')
			i += 2;
		else
			return 0;
	}
	return i == n - 1 ? chars + 1 : 0;
}

static void any_bytes(void **state)
{
	(void)state;
	uint64_t seed = 1;
	struct text t = TEXT(ACCOUNT_BASE);
	for (int round = 0; round < 20000; round++) {
		char bytes[24];
		size_t n = (seed = hash_mix(seed + 1)) % sizeof(bytes);
		for (size_t i = 0; i < n; i++) {
			seed = hash_mix(seed + 1);
			// Every other byte one of those that matter.
			bytes[i] = seed & 1 ? (char)(seed >> 8)
					    : "\"\\</\xe2\x82\xac\xf0\x9f"[(seed >> 8) % 9];
		}
		text_reset(&t);
		assert_int_equal(json_string(&t, bytes, n), 0);
		assert_true(read_string(t.at, t.len) >= 1);
		assert_true(read_string(t.at, t.len) <= n + 1);
	}
	text_free(&t);
}

static void without_memory_it_says_so(void **state)
{
	(void)state;
	struct text t = TEXT(ACCOUNT_BASE);
	mem_fail_at(1);
	assert_int_equal(json_string(&t, "x\"", 2), -ENOMEM);
	mem_fail_at(0);
	text_free(&t);
	assert_int_equal(mem_used(ACCOUNT_BASE), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(rows),
	    cmocka_unit_test(any_bytes),
	    cmocka_unit_test(without_memory_it_says_so),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
