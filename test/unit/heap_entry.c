// SPDX-License-Identifier: Apache-2.0
// Where a probe is cheap, for the beginnings of real functions, and of any bytes at all.
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <elf.h>

#include "../../modules/heap/entry.c"

static const struct {
	const char *what, *bytes; // hexadecimal
	unsigned arguments;
	int at;
} known[] = {
    {"push", "41 54 55 53", 1, 0},
    {"endbr64, push", "f3 0f 1e fa 41 54", 1, 4},
    {"endbr64, sub rsp", "f3 0f 1e fa 48 83 ec 18 e8 00 00 00 00", 1, -ENOTSUP},
    {"sub rsp", "48 81 ec 88 00 00 00 55", 1, -ENOTSUP},
    {"lea rsp", "48 8d 64 24 f8 55", 1, -ENOTSUP},
    {"free of glibc: test, je", "48 85 ff 0f 84 a7 00 00 00 55", 1, 3},
    {"aligned_alloc of glibc: cmpb, je", "80 3d 71 0e 14 00 00 74 07 e9 2b f6 ff ff", 2, 7},
    {"malloc of jemalloc: cmp, ja", "48 81 ff 00 10 00 00 0f 87 93 00 00 00", 1, 7},
    {"malloc of tcmalloc: mov, test, jne", "48 8b 05 59 ab 00 00 48 85 c0 75 75", 1, 10},
    {"mov of a segment: mov fs, push", "64 48 8b 04 25 28 00 00 00 55", 1, 9},
    {"jmp", "e9 6b 19 00 00", 1, 0},
    {"jmp near", "eb 10", 1, 0},
    {"call", "e8 6b 19 00 00", 1, 0},
    {"nop", "90 48 83 ec 08", 1, 0},
    {"jmp with a prefix, not emulated", "66 e9 6b 19 00 00", 1, -ENOTSUP},
    {"xor, jmp", "31 c9 e9 a9 14 ff ff", 2, 2},
    {"mov to the argument", "bf 00 10 00 00 e9 a3 49", 1, -ENOTSUP},
    {"mov to the second of one", "48 89 fe 55", 1, 3},
    {"mov to the second of two", "48 89 fe 55", 2, -ENOTSUP},
    {"mov to the third of three", "49 89 d4 48 31 d2 55", 3, -ENOTSUP},
    {"cmov to the argument", "48 0f 44 f8 55", 1, -ENOTSUP},
    {"movzx, sete, shr, neg, push", "0f b6 c1 0f 94 c0 48 c1 e8 1a 48 f7 d8 53", 1, 13},
    {"mov of 64 bits, push", "48 b8 01 02 03 04 05 06 07 08 53", 1, 10},
    {"store to the stack, push", "48 89 5c 24 f8 53", 1, 5},
    {"lea of sib with disp32, push", "4c 8d 84 c3 00 01 00 00 53", 1, 8},
    {"nop of 10 bytes, push", "66 2e 0f 1f 84 00 00 00 00 00 53", 1, 10},
    {"ret", "c3 90 90", 1, -ENOTSUP},
    {"jmp through memory", "ff 25 00 00 00 00", 1, -ENOTSUP},
    {"push rax with rex.w", "48 50 90", 1, -ENOTSUP},
    {"mul writes two", "48 f7 e6 55", 1, -ENOTSUP},
    {"what is cut", "48 8b 05 59 ab", 1, -ENOTSUP},
    {"nothing", "", 1, -ENOTSUP},
};

static size_t bytes_of(const char *hex, uint8_t *to)
{
	size_t n = 0;
	for (char *end; *hex; hex = *end ? end + 1 : end)
		to[n++] = (uint8_t)strtoul(hex, &end, 16);
	return n;
}

static void beginnings_of_functions(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(known) / sizeof(*known); i++) {
		uint8_t code[64];
		char why[64] = "";
		size_t n = bytes_of(known[i].bytes, code);
		int at = entry_offset(EM_X86_64, code, n, known[i].arguments, why, sizeof(why));
		if (at != known[i].at)
			fail_msg("%s: %d, not %d", known[i].what, at, known[i].at);
		assert_true(at >= 0 || *why);
		assert_int_equal(entry_offset(EM_AARCH64, code, n, 1, why, sizeof(why)), 0);
	}
}

static void the_reason_shows_the_instruction(void **state)
{
	uint8_t code[64];
	char why[64];
	(void)state;
	size_t n = bytes_of("f3 0f 1e fa 48 83 ec 18 c3", code);
	entry_offset(EM_X86_64, code, n, 1, why, sizeof(why));
	assert_string_equal(why, "48 83 ec 18 c3");
	entry_offset(EM_X86_64, code, n, 1, why, 7);
	assert_string_equal(why, "48 83");
}

static void any_bytes(void **state)
{
	(void)state;
	srand(1);
	for (int i = 0; i < 2000000; i++) {
		size_t n = (size_t)rand() % (ENTRY_BYTES + 1);
		uint8_t *code = malloc(n ? n : 1); // its end is watched where sanitizers are
		char why[32];
		for (size_t b = 0; b < n; b++)
			code[b] = (uint8_t)(rand() >> 8);
		int at = entry_offset(EM_X86_64, code, n, (unsigned)i % 5, why, sizeof(why));
		assert_true(at == -ENOTSUP || (at >= 0 && (size_t)at < n));
		free(code);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(beginnings_of_functions),
	    cmocka_unit_test(the_reason_shows_the_instruction),
	    cmocka_unit_test(any_bytes),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
