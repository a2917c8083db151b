// SPDX-License-Identifier: Apache-2.0
// Which symbol wins, how far an answer reaches, and which source is asked.
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "../../modules/elf/lookup.c"
#include "elf_answers.h"

struct truth {
	uint64_t address, start, end;
	const char *name;
};

// Asks M for the addresses of TRUTH (sorted), whole and in the smallest slices.
static void expect(const struct truth *truth, unsigned n, bool go)
{
	uint64_t addresses[ANSWERS_MAX];
	const struct elf_lookup_options options = {.go = go, .debug_fd = -1};
	for (unsigned i = 0; i < n; i++)
		addresses[i] = truth[i].address;
	int fd = image_fd(&m, m.size);
	for (unsigned slices = 0; slices < 2; slices++) {
		ask_fd(fd, addresses, n, &options, slices ? 0 : UINT64_MAX);
		assert_int_equal(a.result, 0);
		for (unsigned i = 0; i < n; i++) {
			assert_int_equal(a.of[i].calls, 1);
			assert_string_equal(a.of[i].name, truth[i].name);
			assert_int_equal(a.of[i].start, truth[i].start);
			assert_int_equal(a.of[i].end, truth[i].end);
		}
	}
	close(fd);
}
#define EXPECT(truth, go) expect(truth, sizeof(truth) / sizeof(*(truth)), go)

static void the_innermost_symbol_and_gaps(void **state)
{
	(void)state;
	image_begin(&m);
	image_function(&m, "outer", T + 0x100, 0x100);
	image_function(&m, "inner", T + 0x140, 0x20);
	image_function(&m, "innermost", T + 0x150, 8);
	image_function(&m, "beyond", T + 0x1f00, UINT64_MAX); // cut at the section's end
	image_function(&m, "outside", T + 0x10000, 0x100);
	image_function(&m, "overlap_a", T + 0x400, 0x40);
	image_function(&m, "overlap_b", T + 0x420, 0x40);
	image_table(&m, SHT_SYMTAB);
	image_end(&m);
	const struct truth truth[] = {
	    {0, 0, T, "?"},
	    {T, T, T + 0x100, "?"},
	    {T + 0x100, T + 0x100, T + 0x140, "outer"},
	    {T + 0x140, T + 0x140, T + 0x150, "inner"},
	    {T + 0x150, T + 0x150, T + 0x158, "innermost"},
	    {T + 0x157, T + 0x150, T + 0x158, "innermost"},
	    {T + 0x158, T + 0x158, T + 0x160, "inner"},
	    {T + 0x160, T + 0x160, T + 0x200, "outer"},
	    {T + 0x200, T + 0x200, T + 0x400, "?"},
	    {T + 0x41f, T + 0x400, T + 0x420, "overlap_a"},
	    {T + 0x420, T + 0x420, T + 0x460, "overlap_b"},
	    {T + 0x43f, T + 0x420, T + 0x460, "overlap_b"},
	    {T + 0x440, T + 0x440, T + 0x460, "overlap_b"},
	    {T + 0x1fff, T + 0x1f00, END, "beyond"},
	    {END, END, UINT64_MAX, "?"},
	};
	EXPECT(truth, true);
}

static void the_best_of_aliases(void **state)
{
	(void)state;
	image_begin(&m);
	// Pairs at one start: the first wins by the rule that the second column names.
	static const struct {
		const char *best, *worse;
		uint64_t size_best, size_worse;
		unsigned bind_best, bind_worse, type_best, type_worse;
	} pairs[] = {
	    {"sized", "zero_with_a_long_name", 16, 0, STB_LOCAL, STB_GLOBAL, STT_NOTYPE, STT_FUNC},
	    {"typed", "untyped_long_name", 16, 16, STB_WEAK, STB_GLOBAL, STT_FUNC, STT_NOTYPE},
	    {"_ifunc", "untyped", 16, 16, STB_LOCAL, STB_GLOBAL, STT_GNU_IFUNC, STT_NOTYPE},
	    {"_local", "weak_long_name", 16, 16, STB_LOCAL, STB_WEAK, STT_FUNC, STT_FUNC},
	    {"_global", "local_long_name", 16, 16, STB_GLOBAL, STB_LOCAL, STT_FUNC, STT_FUNC},
	    {"malloc", "__libc_malloc", 16, 16, STB_GLOBAL, STB_GLOBAL, STT_FUNC, STT_FUNC},
	    {"longer", "short", 16, 16, STB_GLOBAL, STB_GLOBAL, STT_FUNC, STT_FUNC},
	    {"aaaa", "aaab", 16, 16, STB_GLOBAL, STB_GLOBAL, STT_FUNC, STT_FUNC},
	    {"versioned", "_x@@A_MUCH_LONGER_1.2", 16, 16, STB_GLOBAL, STB_GLOBAL, STT_FUNC,
		STT_FUNC},
	};
	enum { N = sizeof(pairs) / sizeof(*pairs) };
	struct truth truth[2 * N];
	for (unsigned i = 0; i < N; i++)
		for (unsigned order = 0; order < 2; order++) {
			uint64_t at = T + 0x100 + 0x20 * (2 * i + order);
			for (unsigned k = 0; k < 2; k++)
				if (k == order)
					image_symbol(&m, pairs[i].best, at, pairs[i].size_best,
					    pairs[i].bind_best, pairs[i].type_best);
				else
					image_symbol(&m, pairs[i].worse, at, pairs[i].size_worse,
					    pairs[i].bind_worse, pairs[i].type_worse);
			truth[2 * i + order] = (struct truth){at + 8, at, at + 16, pairs[i].best};
		}
	image_table(&m, SHT_SYMTAB);
	image_end(&m);
	EXPECT(truth, false);
}

static void what_is_no_function(void **state)
{
	(void)state;
	image_begin(&m);
	image_symbol(&m, "object", T + 0x100, 0x1000, STB_GLOBAL, STT_OBJECT);
	image_symbol(&m, "section", T + 0x100, 0x1000, STB_LOCAL, STT_SECTION);
	image_function(&m, "undefined", T + 0x100, 0x1000);
	m.symbols[m.symbol_count - 1].st_shndx = SHN_UNDEF;
	image_function(&m, "absolute", T + 0x100, 0x1000);
	m.symbols[m.symbol_count - 1].st_shndx = SHN_ABS;
	image_function(&m, "", T + 0x100, 0x1000);
	m.symbols[m.symbol_count - 1].st_name = 0;
	image_function(&m, "name beyond the table", T + 0x100, 0x1000);
	m.symbols[m.symbol_count - 1].st_name = 1 << 20;
	image_symbol(&m, "$x", T + 0x180, 0, STB_LOCAL, STT_NOTYPE);
	image_symbol(&m, "$d.17", T + 0x190, 0, STB_LOCAL, STT_NOTYPE);
	image_symbol(&m, ".L99", T + 0x1a0, 0, STB_LOCAL, STT_NOTYPE);
	image_symbol(&m, ".annobin_unit.c", T + 0x1a4, 0, STB_LOCAL, STT_NOTYPE);
	image_function(&m, "$dollar", T + 0x300, 0x10);
	image_function(&m, "memcpy@@GLIBC_2.14", T + 0x310, 0x10);
	image_function(&m, "memcpy@GLIBC_2.2", T + 0x320, 0x10);
	image_table(&m, SHT_SYMTAB);
	image_end(&m);
	const struct truth truth[] = {
	    {T + 0x1a8, T, T + 0x300, "?"},
	    {T + 0x300, T + 0x300, T + 0x310, "$dollar"},
	    {T + 0x310, T + 0x310, T + 0x320, "memcpy"},
	    {T + 0x320, T + 0x320, T + 0x330, "memcpy"},
	};
	EXPECT(truth, false);
}

static void symbols_without_size(void **state)
{
	(void)state;
	for (unsigned type = SHT_SYMTAB;; type = SHT_DYNSYM) {
		bool dynamic = type == SHT_DYNSYM;
		image_begin(&m);
		image_code_section(&m, ".other", END + 0x100, 0x100);
		image_symbol(&m, "_start", T + 0x100, 0, STB_GLOBAL, STT_NOTYPE);
		image_symbol(&m, "asm_loop", T + 0x140, 0, STB_LOCAL, STT_NOTYPE);
		image_function(&m, "sized", T + 0x200, 0x100);
		image_symbol(&m, "entry", T + 0x280, 0, STB_GLOBAL, STT_FUNC);
		image_symbol(&m, "last", T + 0x1f00, 0, STB_GLOBAL, STT_FUNC);
		image_table(&m, type);
		image_end(&m);
		const struct truth whole[] = {
		    {T + 0xff, T, T + 0x100, "?"}, {T + 0x100, T + 0x100, T + 0x140, "_start"},
		    {T + 0x13f, T + 0x100, T + 0x140, "_start"},
		    {T + 0x1ff, T + 0x140, T + 0x200, "asm_loop"},
		    {T + 0x27f, T + 0x200, T + 0x280, "sized"},
		    {T + 0x280, T + 0x200, T + 0x300, "sized"},
		    {T + 0x300, T + 0x300, T + 0x1f00, "?"}, // not `entry`: it ended with `sized`
		    {END - 1, T + 0x1f00, END, "last"}, {END + 0x50, END, END + 0x100, "?"},
		    {END + 0x180, END + 0x100, END + 0x200, "?"}, // not `last`: another section
		};
		// In .dynsym a symbol without size says nothing about what follows it.
		const struct truth exact[] = {
		    {T + 0xff, T, T + 0x100, "?"},
		    {T + 0x100, T + 0x100, T + 0x101, "_start"},
		    {T + 0x13f, T + 0x101, T + 0x140, "?"},
		    {T + 0x1ff, T + 0x141, T + 0x200, "?"},
		    {T + 0x27f, T + 0x200, T + 0x280, "sized"},
		    {T + 0x280, T + 0x200, T + 0x300, "sized"},
		    {T + 0x300, T + 0x300, T + 0x1f00, "?"},
		    {T + 0x1f00, T + 0x1f00, T + 0x1f01, "last"},
		    {END - 1, T + 0x1f01, END, "?"},
		};
		if (dynamic) {
			EXPECT(exact, false);
			break;
		}
		EXPECT(whole, false);
	}
}

static void plt_sections_have_a_name(void **state)
{
	(void)state;
	image_begin(&m);
	image_code_section(&m, ".plt.sec", T + TEXT_SIZE, 0x40);
	image_function(&m, "f", END - 16, 16);
	image_table(&m, SHT_DYNSYM);
	image_end(&m);
	const struct truth truth[] = {
	    {END - 1, END - 16, END, "f"},
	    {END, END, END + 0x40, "[plt]"},
	    {END + 0x3f, END, END + 0x40, "[plt]"},
	    {END + 0x40, END + 0x40, UINT64_MAX, "?"},
	};
	EXPECT(truth, false);
}

static uint8_t table[1 << 12];
static const struct go_functions go = {
    .count = 2, .at = {0, 0x10, 0x20}, .names = {"main.main", "main.%2e"}};

// Go's part of a cgo program is in Go's table only, C's part in the symbols only.
static void go_beside_c(void **state)
{
	(void)state;
	image_begin(&m);
	size_t size = image_pclntab(table, 0xf1, &go, T + 0x1000, T + 0x1000);
	image_data_section(&m, ".gopclntab", 0x40000, table, size);
	image_function(&m, "c_function", T + 0x100, 0x10);
	image_function(&m, "go_too", T + 0x1000, 0x10);
	image_table(&m, SHT_DYNSYM);
	image_end(&m);
	const struct truth with[] = {
	    {T + 0x100, T + 0x100, T + 0x110, "c_function"},
	    {T + 0x800, T + 0x110, T + 0x1000, "?"},
	    {T + 0x1000, T + 0x1000, T + 0x1010, "main.main"},
	    {T + 0x101f, T + 0x1010, T + 0x1020, "main.."},
	    {T + 0x1020, T + 0x1020, END, "?"},
	};
	EXPECT(with, true);
	const struct truth without_go[] = {
	    {T + 0x1000, T + 0x1000, T + 0x1010, "go_too"}, {T + 0x101f, T + 0x1010, END, "?"}};
	EXPECT(without_go, false);
}

static void the_order_of_sources(void **state)
{
	(void)state;
	// .symtab is there: .dynsym is not asked, even for what .symtab lacks.
	image_begin(&m);
	image_function(&m, "from_symtab", T + 0x100, 0x10);
	image_table(&m, SHT_SYMTAB);
	image_function(&m, "from_dynsym", T + 0x200, 0x10);
	image_table(&m, SHT_DYNSYM);
	image_end(&m);
	const struct truth first[] = {
	    {T + 0x100, T + 0x100, T + 0x110, "from_symtab"}, {T + 0x200, T + 0x110, END, "?"}};
	EXPECT(first, false);
	// A .symtab without functions is none.
	image_begin(&m);
	image_symbol(&m, "data", T + 0x100, 0x10, STB_GLOBAL, STT_OBJECT);
	image_symbol(&m, "stray", T + 0x180, 0, STB_LOCAL, STT_NOTYPE);
	image_table(&m, SHT_SYMTAB);
	image_function(&m, "from_dynsym", T + 0x200, 0x10);
	image_table(&m, SHT_DYNSYM);
	image_end(&m);
	const struct truth second[] = {
	    {T + 0x180, T, T + 0x200, "?"}, {T + 0x200, T + 0x200, T + 0x210, "from_dynsym"}};
	EXPECT(second, false);
	// Nothing but segments.
	image_begin(&m);
	image_end(&m);
	image_header(&m)->e_shoff = 0;
	const struct truth bare[] = {{T - 1, 0, T, "?"}, {T + 5, T, END, "?"}};
	EXPECT(bare, true);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(the_innermost_symbol_and_gaps),
	    cmocka_unit_test(the_best_of_aliases),
	    cmocka_unit_test(what_is_no_function),
	    cmocka_unit_test(symbols_without_size),
	    cmocka_unit_test(plt_sections_have_a_name),
	    cmocka_unit_test(go_beside_c),
	    cmocka_unit_test(the_order_of_sources),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
