// SPDX-License-Identifier: Apache-2.0
// The kernel's "name+0xOFFSET/0xSIZE [module]", and texts that only look like it.
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "../../modules/kernel/name.c"

static const struct row {
	const char *text;
	uint64_t address;
	const char *name; // NULL: none
	uint64_t start, end;
	const char *module;
} rows[] = {
    {"do_sys_open+0x1f/0x80", 0x100f, "do_sys_open", 0xff0, 0x1070, ""},
    {"f+0x0/0x1", 0x5000, "f", 0x5000, 0x5001, ""},
    {"ext4_map+0x10/0x20 [ext4]", 0x1010, "ext4_map", 0x1000, 0x1020, "ext4"},
    {"ext4_map+0x10/0x20 [ext4 4c5a0b]", 0x1010, "ext4_map", 0x1000, 0x1020, "ext4"},
    {"bpf_prog_6deef7357e7b4530_x+0x5/0x99 [bpf]", 0x1005, "bpf_prog_6deef7357e7b4530_x", 0x1000,
	0x1099, "bpf"},
    {"f.cold.12+0xa/0xb", 0x100a, "f.cold.12", 0x1000, 0x100b, ""},
    // Names and modules with what the cutter looks for in them.
    {"operator+0x+0x4/0x8", 0x1004, "operator+0x", 0x1000, 0x1008, ""},
    {"a/b+0x4/0x8", 0x1004, "a/b", 0x1000, 0x1008, ""},
    {"f+0x4/0x8 [c++mod]", 0x1004, "f", 0x1000, 0x1008, "c++mod"},
    {"_RNvCs1_4core+0x4/0x8", 0x1004, "_RNvCs1_4core", 0x1000, 0x1008, ""},
    // No names.
    {"", 0x1000, NULL, 0, 0, NULL},
    {"0xffffffff81000000", 0xffffffff81000000, NULL, 0, 0, NULL},
    {"+0x1/0x2", 0x1000, NULL, 0, 0, NULL},
    {"f", 0x1000, NULL, 0, 0, NULL},
    {"f+1/2", 0x1000, NULL, 0, 0, NULL},
    {"f+0x1", 0x1000, NULL, 0, 0, NULL},
    {"f+0x1/", 0x1000, NULL, 0, 0, NULL},
    {"f+0x1/0x", 0x1000, NULL, 0, 0, NULL},
    {"f+0x/0x8", 0x1000, NULL, 0, 0, NULL},
    {"f+0xzz/0x8", 0x1000, NULL, 0, 0, NULL},
    {"f+0x8/0x8", 0x1008, NULL, 0, 0, NULL}, // behind its end
    {"f+0x9/0x8", 0x1009, NULL, 0, 0, NULL},
    {"f+0x0/0x0", 0x1000, NULL, 0, 0, NULL},
    {"f+0x2000/0x4000", 0x1000, NULL, 0, 0, NULL}, // begins below 0
    {"f+0x11111111111111111/0x22222222222222222", 0x1000, NULL, 0, 0, NULL},
    {"f+0x1/0xffffffffffffffff", UINT64_MAX - 5, NULL, 0, 0, NULL}, // ends above all there is
    // Cut off by the end of the text: the size, or the module, may be half of it.
    {"f+0x1/0x20 [ex", 0x1001, NULL, 0, 0, NULL},
    {"f+0x1/0x20 [", 0x1001, NULL, 0, 0, NULL},
    {"f+0x1/0x20 ", 0x1001, NULL, 0, 0, NULL},
    {"f+0x1/0x20 []", 0x1001, NULL, 0, 0, NULL},
    {"f+0x1/0x20 [a] b", 0x1001, NULL, 0, 0, NULL},
    {"f+0x1/0x20garbage", 0x1001, NULL, 0, 0, NULL},
};

static void texts(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		const struct row *r = &rows[i];
		uint64_t start = 0, end = 0;
		const char *module = NULL;
		char *text = mem_strdup(ACCOUNT_BASE, r->text); // to its last byte
		bool named = cut(text, r->address, &start, &end, &module);
		if (named != (r->name != NULL))
			fail_msg("%s", r->text);
		if (named) {
			assert_string_equal(text, r->name);
			assert_int_equal(start, r->start);
			assert_int_equal(end, r->end);
			assert_string_equal(module, r->module);
		}
		mem_free(text);
	}
}

static void any_text(void **state)
{
	(void)state;
	static const char letters[] = "+0x/[] af1";
	uint64_t seed = 1;
	for (int i = 0; i < 300000; i++) {
		char text[24] = "";
		for (size_t k = 0; k < sizeof(text) - 1; k++)
			text[k] = letters[(seed = hash_mix(seed + 1)) % sizeof(letters)];
		uint64_t start, end, address = seed >> 50;
		const char *module;
		if (cut(text, address, &start, &end, &module))
			assert_true(start <= address && address < end && *text &&
				    strlen(module) < sizeof(text));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(texts),
	    cmocka_unit_test(any_text),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
