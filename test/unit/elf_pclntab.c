// SPDX-License-Identifier: Apache-2.0
// Go's function table in its four versions, where its text is found, and tables that lie.
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "../../modules/elf/gofind.c"
#include "../../modules/elf/pclntab.c"
#include "elf_image.h"

#define TABLE_ADDRESS 0x40000
static struct image m;
static struct go_functions functions;
static uint8_t table[1 << 16];
static const uint8_t versions[] = {0xfb, 0xfa, 0xf0, 0xf1};

// COUNT functions of 16 bytes; their names carry escapes.
static void make_functions(unsigned count)
{
	functions.count = count;
	for (unsigned i = 0; i < count; i++) {
		functions.at[i] = 16 * i;
		snprintf(functions.names[i], sizeof(functions.names[i]), "a.b/yaml%%2ev%u.F", i);
	}
	functions.at[count] = 16 * count;
}

// An image with the table in section NAME (NULL: no sections at all), of SIZE bytes.
static void make_image(const char *name, size_t size)
{
	image_begin(&m);
	if (!name)
		m.size += 24; // a scan must not count on the offset's alignment to more than 8
	size_t at = image_data_section(&m, name ? name : "x", TABLE_ADDRESS, table, size);
	image_load(&m, at, size, TABLE_ADDRESS, PF_R);
}

static int find_table(struct elf_file *f, struct view *view, struct pclntab *t)
{
	view_memory(view, m.at, m.size);
	assert_int_equal(file_open(f, view), 0);
	struct gofind *g = gofind_new(f);
	assert_non_null(g);
	int r;
	do
		r = gofind_step(g, t, 0);
	while (r == 1);
	gofind_free(g);
	return r;
}

static void expect_all(const struct pclntab *t)
{
	char name[ELF_NAME_MAX], truth[64];
	uint64_t start, end;
	for (unsigned i = 0; i < functions.count; i++)
		for (unsigned k = 0; k < 16; k += 15) {
			assert_int_equal(pclntab_find(t, TEXT_ADDRESS + 16 * i + k, &start, &end,
					     name, sizeof(name)),
			    0);
			snprintf(truth, sizeof(truth), "a.b/yaml.v%u.F", i);
			assert_string_equal(name, truth);
			assert_true(start == TEXT_ADDRESS + 16 * i && end == start + 16);
		}
	assert_int_equal(
	    pclntab_find(t, TEXT_ADDRESS - 1, &start, &end, name, sizeof(name)), -ENOENT);
	assert_int_equal(
	    pclntab_find(t, TEXT_ADDRESS + 16 * functions.count, &start, &end, name, sizeof(name)),
	    -ENOENT);
}

static void all_versions_in_sections_and_scanned(void **state)
{
	(void)state;
	static const char *const sections[] = {".gopclntab", ".data.rel.ro.gopclntab", NULL};
	static const unsigned counts[] = {1, 2, 127, 128, 129, 130, 299};
	for (unsigned v = 0; v < sizeof(versions); v++)
		for (unsigned c = 0; c < sizeof(counts) / sizeof(*counts); c++)
			for (unsigned s = 0; s < 3; s++) {
				struct elf_file f;
				struct view view;
				struct pclntab t;
				make_functions(counts[c]);
				size_t size = image_pclntab(
				    table, versions[v], &functions, TEXT_ADDRESS, TEXT_ADDRESS);
				make_image(sections[s], size);
				image_end(&m);
				if (!sections[s]) {
					image_header(&m)->e_shoff = 0;
					image_header(&m)->e_shnum = 0;
				}
				assert_int_equal(find_table(&f, &view, &t), 0);
				expect_all(&t);
				file_close(&f);
			}
	assert_int_equal(mem_used(ACCOUNT_ELF), 0);
}

enum { IN_MODULE, IN_RELA, IN_HEADER_RELA, IN_DATA, NOWHERE, WRONG_TABLE };

// Since 1.26 the header does not say where the text begins.
static void text_without_the_header(void **state)
{
	(void)state;
	for (int where = IN_MODULE; where <= WRONG_TABLE; where++) {
		struct elf_file f;
		struct view view;
		struct pclntab t;
		uint64_t module[23] = {}, addresses = 0x50000;
		make_functions(200);
		make_image(".gopclntab", image_pclntab(table, 0xf1, &functions, TEXT_ADDRESS, 0));
		if (where == IN_MODULE || where == IN_DATA || where == WRONG_TABLE) {
			module[0] = TABLE_ADDRESS + (where == WRONG_TABLE ? 8 : 0);
			module[1] = TABLE_ADDRESS + 80;
			module[22] = TEXT_ADDRESS;
		}
		unsigned s = image_section(&m, where == IN_DATA ? ".noptrdata" : ".go.module",
		    (Elf64_Shdr){
			.sh_type = SHT_PROGBITS, .sh_flags = SHF_ALLOC, .sh_addr = addresses},
		    module, sizeof(module));
		image_load(&m, m.sections[s].sh_offset, sizeof(module), addresses, PF_R | PF_W);
		Elf64_Rela rela[3] = {{.r_offset = 8, .r_addend = TEXT_ADDRESS + 8},
		    {.r_offset = where == IN_RELA ? addresses + 176 : 16, .r_addend = TEXT_ADDRESS},
		    {.r_offset = where == IN_HEADER_RELA ? TABLE_ADDRESS + 24 : 32,
			.r_addend = TEXT_ADDRESS}};
		image_section(&m, ".rela", (Elf64_Shdr){.sh_type = SHT_RELA}, rela, sizeof(rela));
		image_end(&m);
		int r = find_table(&f, &view, &t);
		assert_int_equal(r, where >= NOWHERE ? -ENOENT : 0);
		if (!r)
			expect_all(&t);
		file_close(&f);
	}
}

static void tables_that_lie(void **state)
{
	(void)state;
	static const struct {
		size_t at;
		uint64_t value;
	} lies[] = {
	    {8, 0},
	    {8, COUNT_MAX + 1ull},
	    {8, 201},
	    {8, UINT64_MAX}, // nfunc
	    {24, TEXT_ADDRESS + TEXT_SIZE},
	    {24, UINT64_MAX - 8},
	    {24, 1}, // textStart
	    {32, UINT64_MAX},
	    {32, 1 << 20},
	    {64, UINT64_MAX},
	    {64, 1 << 20},
	    {64, 8}, // names, functab
	    {0, 0x08010000fffffff5},
	    {0, 0x04010000fffffff1},
	    {0, 0x08030000fffffff1},
	    {0, 0x08010001fffffff1},
	};
	for (size_t i = 0; i < sizeof(lies) / sizeof(*lies); i++) {
		struct elf_file f;
		struct view view;
		struct pclntab t;
		make_functions(200);
		size_t size = image_pclntab(table, 0xf1, &functions, TEXT_ADDRESS, TEXT_ADDRESS);
		put64(table + lies[i].at, lies[i].value);
		make_image(".gopclntab", size);
		image_end(&m);
		assert_int_equal(find_table(&f, &view, &t), -ENOENT);
		file_close(&f);
	}
}

// An entry that its function's record does not repeat, an unsorted middle, a name with no end.
static void lies_behind_a_good_front(void **state)
{
	(void)state;
	struct elf_file f;
	struct view view;
	struct pclntab t;
	char name[64];
	uint64_t start, end, functab;
	make_functions(299);
	size_t size = image_pclntab(table, 0xf1, &functions, TEXT_ADDRESS, TEXT_ADDRESS);
	memcpy(&functab, table + 64, 8);
	put32(table + functab + 150 * 8, 16 * 149); // not increasing, where no sample is taken
	uint32_t record;
	memcpy(&record, table + functab + 160 * 8 + 4, 4);
	put32(table + functab + record, 7); // the record is another function's
	memcpy(&record, table + functab + 170 * 8 + 4, 4);
	put32(table + functab + record + 4, (uint32_t)size); // name outside
	make_image(".gopclntab", size);
	image_end(&m);
	assert_int_equal(find_table(&f, &view, &t), 0);
	for (unsigned i = 0; i < 299; i++) {
		int r =
		    pclntab_find(&t, TEXT_ADDRESS + 16 * i + 8, &start, &end, name, sizeof(name));
		if (i == 149 || i == 150 || i == 160 || i == 170)
			assert_true(r == -EBADMSG || (start <= TEXT_ADDRESS + 16 * i + 8));
		else
			assert_int_equal(r, 0);
		if (i >= 160)
			assert_int_equal(r, i == 160 || i == 170 ? -EBADMSG : 0);
	}
	file_close(&f);
}

static void names_are_unescaped(void **state)
{
	(void)state;
	static const char *const truth[][2] = {
	    {"gopkg.in/yaml%2ev3.T", "gopkg.in/yaml.v3.T"},
	    {"a%", "a%"},
	    {"a%2", "a%2"},
	    {"%2E%25", ".%"},
	    {"%00%0a%7f", "%00%0a%7f"},
	    {"%zz%2g", "%zz%2g"},
	    {"main.F[go.shape.int]", "main.F[go.shape.int]"},
	    {"%c3%a9.f", "\xc3\xa9.f"},
	    {"", ""},
	};
	for (size_t i = 0; i < sizeof(truth) / sizeof(*truth); i++) {
		char s[64];
		text_copy(s, sizeof(s), truth[i][0]);
		unescape(s);
		assert_string_equal(s, truth[i][1]);
	}
}

// A file full of magics without tables behind them: the scan gives up, and stays in its slices.
static void decoys(void **state)
{
	(void)state;
	struct elf_file f;
	struct view view;
	struct pclntab t;
	for (size_t i = 0; i < sizeof(table); i += 8)
		put64(table + i, 0x08010000fffffff1);
	make_image(NULL, sizeof(table));
	image_end(&m);
	image_header(&m)->e_shoff = 0;
	assert_int_equal(find_table(&f, &view, &t), -ENOENT);
	file_close(&f);
	assert_int_equal(mem_used(ACCOUNT_ELF), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(all_versions_in_sections_and_scanned),
	    cmocka_unit_test(text_without_the_header),
	    cmocka_unit_test(tables_that_lie),
	    cmocka_unit_test(lies_behind_a_good_front),
	    cmocka_unit_test(names_are_unescaped),
	    cmocka_unit_test(decoys),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
