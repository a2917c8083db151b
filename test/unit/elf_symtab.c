// SPDX-License-Identifier: Apache-2.0
// One pass over a symbol table: against a slow and simple truth, and its bounds.
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "../../modules/elf/symtab.c"
#include "elf_image.h"

static struct image m;
static struct elf_file f;
static struct view view;
static struct strings strings[STRINGS_MAX];
static struct place places[64];

static struct symtab_pass *begin(const uint64_t *addresses, uint32_t n)
{
	view_memory(&view, m.at, m.size);
	assert_int_equal(file_open(&f, &view), 0);
	strings[0] = (struct strings){
	    &f.view, f.symtab_names.offset, f.symtab_names.offset + f.symtab_names.size};
	for (uint32_t i = 0; i < n; i++)
		places[i] = (struct place){.address = addresses[i], .index = i};
	places_reset(places, n);
	return symtab_pass_new(&(struct symtab_options){
	    .file = &f, .symbols = &f.symtab, .places = places, .count = n, .strings = strings});
}

static void end(struct symtab_pass *p)
{
	symtab_pass_free(p);
	file_close(&f);
	assert_int_equal(mem_used(ACCOUNT_ELF), 0);
}

static struct {
	uint64_t start, size;
} random_symbols[60];

// The innermost sized symbol around ADDRESS: its start, or 0.
static uint64_t truth_at(unsigned n, uint64_t address)
{
	uint64_t best = 0;
	for (unsigned i = 0; i < n; i++)
		if (random_symbols[i].start <= address &&
		    address - random_symbols[i].start < random_symbols[i].size &&
		    random_symbols[i].start > best)
			best = random_symbols[i].start;
	return best;
}

// Random nests of symbols, no two with one start: every answer, and its whole range, is right.
static void the_same_as_a_slow_search(void **state)
{
	(void)state;
	uint64_t seed = 11;
	for (unsigned round = 0; round < 300; round++) {
		unsigned n = 1 + round % 60;
		image_begin(&m);
		for (unsigned i = 0; i < n; i++) {
			seed = hash_mix(seed + 1);
			// Distinct starts, in random order of the table.
			random_symbols[i].start = TEXT_ADDRESS + 1 + (i * 37 + round) % 61 * 5;
			random_symbols[i].size = 1 + seed % (seed >> 62 ? 12 : 200);
			char name[16];
			snprintf(name, sizeof(name), "s%u", i);
			image_function(&m, name, random_symbols[i].start, random_symbols[i].size);
		}
		image_table(&m, SHT_SYMTAB);
		image_end(&m);
		uint64_t addresses[40];
		for (unsigned i = 0; i < 40; i++)
			addresses[i] = TEXT_ADDRESS + 9 * i + round % 7;
		struct symtab_pass *p = begin(addresses, 40);
		while (symtab_pass_step(p, 0) == 1)
			;
		places_settle(places, 40);
		for (unsigned i = 0; i < 40; i++) {
			uint64_t start, stop, truth = truth_at(n, addresses[i]);
			const struct symbol_candidate *c =
			    place_decide(&places[i], &f, &start, &stop);
			assert_int_equal(c ? c->start : 0, truth);
			assert_true(start <= addresses[i] && addresses[i] < stop);
			for (uint64_t at = start; at < stop && at < TEXT_ADDRESS + 0x400; at++)
				assert_int_equal(truth_at(n, at), truth);
		}
		end(p);
	}
}

static void work_is_bounded(void **state)
{
	(void)state;
	const uint64_t address = TEXT_ADDRESS + 0x108;
	image_begin(&m);
	image_function(&m, "first", TEXT_ADDRESS + 0x100, 16);
	image_function(&m, "second", TEXT_ADDRESS + 0x100, 16);
	image_table(&m, SHT_SYMTAB);
	image_end(&m);
	struct symtab_pass *p = begin(&address, 1);
	p->work = WORK_MAX - 1;
	assert_int_equal(symtab_pass_step(p, UINT64_MAX), -EBADMSG);
	end(p);
	// When too many names were read to choose, the first stays.
	p = begin(&address, 1);
	p->names_read = NAMES_MAX;
	assert_int_equal(symtab_pass_step(p, UINT64_MAX), 0);
	assert_int_equal(places[0].sized.name, 1);
	end(p);
	p = begin(&address, 1);
	assert_int_equal(symtab_pass_step(p, UINT64_MAX), 0);
	assert_int_equal(places[0].sized.name, 1 + sizeof("first"));
	assert_int_equal(symtab_pass_seen(p), 2);
	end(p);
	assert_int_equal(file_open(&f, &view), 0);
	const struct section huge = {.size = SYMBOLS_BYTES_MAX + 1};
	errno = 0;
	assert_null(symtab_pass_new(&(struct symtab_options){.file = &f, .symbols = &huge}));
	assert_int_equal(errno, EBADMSG);
	end(NULL);
}

// A slice ends by the clock, also where every symbol's name must be read.
static void slices_end(void **state)
{
	(void)state;
	const uint64_t address = TEXT_ADDRESS + 0x108;
	image_begin(&m);
	for (unsigned i = 0; i < 500; i++) {
		char name[16];
		snprintf(name, sizeof(name), "n%03u", i);
		image_function(&m, name, TEXT_ADDRESS + 0x100, 16);
	}
	image_table(&m, SHT_SYMTAB);
	image_end(&m);
	struct symtab_pass *p = begin(&address, 1);
	unsigned steps = 0;
	while (symtab_pass_step(p, 0) == 1)
		steps++;
	assert_true(steps >= 499);
	char name[16];
	assert_int_equal(symbol_name(strings, &places[0].sized, name, sizeof(name)), 4);
	assert_string_equal(name, "n000");
	end(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(the_same_as_a_slow_search),
	    cmocka_unit_test(work_is_bounded),
	    cmocka_unit_test(slices_end),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
