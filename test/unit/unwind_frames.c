// SPDX-License-Identifier: Apache-2.0
// Entries that lie: their lengths, their CIEs, the table that leads to them; and the heap.
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "../../modules/unwind/cfi.c"
#include "../../modules/unwind/frames.c"
#include "unwind_image.h"

static struct image m;
static struct entries e;
static struct rows_job *job;
static const struct rows *rows;

static int finish(int table)
{
	image_frames(&m, &e, table);
	image_end(&m);
	struct source *s = rows_source_new(-1, m.at, m.size, -1);
	assert_non_null(s);
	int r = make_rows(s, TEXT_ADDRESS, NS_PER_MS, &job, &rows);
	rows_source_free(s);
	return r;
}

static void begin(void)
{
	rows_job_free(job);
	job = NULL;
	assert_int_equal(mem_used(ACCOUNT_UNWIND), 0);
	image_begin(&m);
	memset(&e, 0, sizeof(e));
}

// A sound function at +0x100 and one that CASE has spoilt, before it.
static void entries_that_lie(void **state)
{
	(void)state;
	enum { LENGTH, LENGTH_64, NO_CIE, CIE_AHEAD, CIE_IS_FDE, SIZE, COUNT };
	for (int table = -1; table <= 2; table += 3)
		for (unsigned i = 0; i < COUNT; i++) {
			begin();
			size_t cie = put_cie(&e, "zR", 16, amd64_cie, sizeof(amd64_cie));
			size_t good = put_fde(&e, cie, TEXT_ADDRESS + 0x100, 0x20, NULL, 0);
			size_t bad = put_fde(&e, cie, TEXT_ADDRESS + 0x80, 0x20, NULL, 0);
			if (table > 0) { // it is sorted
				e.fde[0].begin = TEXT_ADDRESS + 0x80, e.fde[0].at = bad;
				e.fde[1].begin = TEXT_ADDRESS + 0x100, e.fde[1].at = good;
			}
			if (i == LENGTH)
				put32(e.at + bad, 0x7fffffff);
			if (i == LENGTH_64) {
				put32(e.at + bad, 0xffffffff);
				put64(e.at + bad + 4, UINT64_MAX - 3);
			}
			if (i == NO_CIE)
				put32(e.at + bad + 4, 0xfffffff0);
			if (i == CIE_AHEAD)
				put32(e.at + bad + 4, (uint32_t)-8);
			if (i == CIE_IS_FDE)
				put32(e.at + bad + 4, (uint32_t)(bad + 4 - good));
			if (i == SIZE)
				put64(e.at + bad + 16, UINT64_MAX);
			e.size += 128; // so that what is told too long has bytes
			assert_int_equal(finish(table), 0);
			assert_int_equal(rule_at(rows, 0x80).kind, RULE_NONE);
			assert_int_equal(rule_at(rows, 0x100).kind, RULE_SP);
			assert_int_equal(rows->count, 3);
		}
	begin();
}

static void cies_that_are_not_understood(void **state)
{
	(void)state;
	static const struct {
		const char *augmentation;
		size_t at; // in the CIE, and what is put there
		uint8_t value;
		uint8_t kind; // of the function's row
	} cases[] = {
	    {"zR", 0, 0x14, RULE_SP}, {"zR", 8, 3, RULE_SP}, {"zR", 8, 2, RULE_NONE}, // version
	    {"zRq", 0, 0x14, RULE_SP}, {"zRB", 0, 0x14, RULE_SP}, {"eh", 0, 0x14, RULE_NONE},
	    {"zR", 14, 17, RULE_UNSUPPORTED}, // another return address
	    {"zR", 15, 0x7f, RULE_NONE},      // augmentation data beyond the end
	    {"zR", 16, 0x80, RULE_NONE},      // indirect
	    {"zR", 16, 0x30, RULE_NONE},      // relative to data
	    {"zR", 16, 0x0f, RULE_NONE},      // no such format
	    {"zR", 17, 0x3f, RULE_NONE},      // no such instruction
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		begin();
		size_t cie = put_cie(&e, cases[i].augmentation, 16, amd64_cie, sizeof(amd64_cie));
		put_fde(&e, cie, TEXT_ADDRESS, 0x20, NULL, 0);
		if (cases[i].at)
			e.at[cases[i].at] = cases[i].value;
		assert_int_equal(finish(1), 0);
		assert_int_equal(rule_at(rows, 0).kind, cases[i].kind);
	}
	begin();
}

// Every encoding that is known, in FDEs made by hand.
static void encodings(void **state)
{
	(void)state;
	static const struct {
		uint8_t encoding, size;
	} cases[] = {{0x00, 8}, {0x02, 2}, {0x03, 4}, {0x04, 8}, {0x0a, 2}, {0x0b, 4}, {0x0c, 8},
	    {0x1b, 4}, {0x1c, 8}, {0x10, 8}, {0x01, 3}, {0x09, 3}};
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		uint8_t bytes[8] = {}, encoding = cases[i].encoding, format = encoding & 15;
		const uint64_t vaddr = 0x50000, target = cases[i].size == 2 ? 0x7123 : 0x112233;
		uint64_t value = encoding & 0x10 ? target - vaddr : target;
		memcpy(bytes, &value, 8);
		if (format == 1 || format == 9) // 7 bits each
			for (unsigned k = 0; k < 4; k++)
				bytes[k] = (uint8_t)((target >> 7 * k & 0x7f) | (k < 3 ? 0x80 : 0));
		struct cursor c = {.at = bytes, .end = bytes + 8};
		assert_true(cursor_pointer(&c, encoding, vaddr) == target && !c.bad);
		struct cursor cut = {.at = bytes, .end = bytes + cases[i].size - 1};
		cursor_pointer(&cut, encoding, vaddr);
		assert_true(cut.bad);
	}
	static const uint8_t negative[] = {0xff, 0xff, 0xff, 0xff};
	struct cursor c = {.at = negative, .end = negative + 4};
	assert_true(cursor_pointer(&c, 0x1b, 0x1000) == 0xfff);
	c = (struct cursor){.at = negative, .end = negative + 4};
	assert_true(cursor_pointer(&c, 0x0a, 0) == UINT64_MAX);
}

// The table leads to places that are no entries, is not sorted, or says the same again and again.
static void tables_that_lie(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 4; i++) {
		begin();
		size_t cie = put_cie(&e, "zR", 16, amd64_cie, sizeof(amd64_cie));
		for (unsigned k = 0; k < 100; k++)
			put_fde(&e, cie, TEXT_ADDRESS + 0x20 * k, 0x20, NULL, 0);
		for (unsigned k = 0; k < 100; k++) {
			if (i == 1)
				e.fde[k].at = e.fde[50].at;
			if (i == 2)
				e.fde[k].at = e.fde[99 - k].at;
			if (i == 3)
				e.fde[k].at += k * 0x1234567;
		}
		assert_int_equal(finish(100), 0);
		assert_int_equal(rule_at(rows, 0x20 * (i == 2	   ? 99
							  : i == 1 ? 50
								   : 0))
				     .kind,
		    RULE_SP);
		for (uint32_t k = 1; k < rows->count; k++)
			assert_true(rows->row[k].at > rows->row[k - 1].at);
	}
	begin();
}

// Any one bit of .eh_frame_hdr is wrong, in any window: the rows are the same.
static void a_table_with_a_flipped_bit(void **state)
{
	(void)state;
	static const uint64_t starts[] = {0, 0x250, 0x600, 0xb80};
	begin();
	size_t cie = put_cie(&e, "zR", 16, amd64_cie, sizeof(amd64_cie));
	for (unsigned k = 0; k < 60; k++)
		put_fde(&e, cie, TEXT_ADDRESS + 0x40 * k, 0x30, NULL, 0);
	image_frames(&m, &e, 60);
	image_end(&m);
	size_t hdr = 0, size = 0;
	for (unsigned i = 0; i < m.segment_count; i++)
		if (m.segments[i].p_type == PT_GNU_EH_FRAME)
			hdr = m.segments[i].p_offset, size = m.segments[i].p_filesz;
	for (size_t s = 0; s < sizeof(starts) / sizeof(*starts); s++) {
		struct rows_job *sound_job;
		const struct rows *sound;
		for (size_t bit = 0; bit <= size * 8; bit++) {
			if (bit)
				m.at[hdr + (bit - 1) / 8] ^= (uint8_t)(1 << bit % 8);
			struct source *source = rows_source_new(-1, m.at, m.size, -1);
			assert_non_null(source);
			assert_int_equal(make_rows(source, TEXT_ADDRESS + starts[s], NS_PER_MS,
					     bit ? &job : &sound_job, bit ? &rows : &sound),
			    0);
			rows_source_free(source);
			if (!bit)
				continue;
			m.at[hdr + (bit - 1) / 8] ^= (uint8_t)(1 << bit % 8);
			if (rows->count != sound->count ||
			    memcmp(rows->row, sound->row, sound->count * sizeof(*rows->row)))
				fail_msg("bit %zu of byte %zu, from %lx: %u rows, not %u", bit % 8,
				    (bit - 1) / 8, starts[s], rows->count, sound->count);
			rows_job_free(job);
		}
		assert_true(sound->count > 20);
		rows_job_free(sound_job);
	}
	job = NULL;
	begin();
}

static void a_program_that_is_too_long(void **state)
{
	(void)state;
	static uint8_t nops[BYTES_MAX];
	begin();
	size_t cie = put_cie(&e, "zR", 16, amd64_cie, sizeof(amd64_cie));
	put_fde(&e, cie, TEXT_ADDRESS + 0x100, 0x20, NULL, 0);
	put_fde(&e, cie, TEXT_ADDRESS, 0x20, nops, sizeof(nops) - 200);
	assert_int_equal(finish(-1), 0);
	assert_int_equal(rule_at(rows, 0).kind, RULE_SP);
	begin();
	static struct entries *big = &e;
	cie = put_cie(big, "zR", 16, amd64_cie, sizeof(amd64_cie));
	size_t long_one = put_fde(big, cie, TEXT_ADDRESS, 0x20, nops, 100);
	put32(e.at + long_one, BYTES_MAX + 100); // all of it lies in the section
	e.size = sizeof(e.at);
	image_frames(&m, &e, 1);
	m.sections[m.section_count - 1].sh_size += 1000;
	m.size += 1000;
	image_end(&m);
	struct source *s = rows_source_new(-1, m.at, m.size, -1);
	assert_int_equal(make_rows(s, TEXT_ADDRESS, NS_PER_MS, &job, &rows), 0);
	assert_int_equal(rule_at(rows, 0x1f).kind, RULE_UNSUPPORTED);
	assert_int_equal(rule_at(rows, 0x20).kind, RULE_NONE);
	rows_source_free(s);
	begin();
}

static void the_heap_sorts(void **state)
{
	(void)state;
	static const uint32_t steps[] = {1, 7919, 9999, 5000, 3};
	for (unsigned s = 0; s < 5; s++) {
		struct frames f = {};
		for (uint32_t i = 0; i < 10000; i++)
			assert_int_equal(
			    push(&f, &(struct found){.at = i * steps[s] % 10000, .offset = i}), 0);
		struct found last = pop(&f);
		for (uint32_t i = 1; i < 10000; i++) {
			struct found x = pop(&f);
			assert_true(x.at > last.at || (x.at == last.at && x.offset > last.offset));
			last = x;
		}
		assert_int_equal(f.count, 0);
		mem_free(f.heap);
	}
	struct frames f = {};
	for (uint32_t i = 0; i < FDES_MAX; i++)
		assert_int_equal(push(&f, &(struct found){.at = i}), 0);
	assert_int_equal(push(&f, &(struct found){}), -EBADMSG);
	mem_free(f.heap);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(entries_that_lie),
	    cmocka_unit_test(cies_that_are_not_understood),
	    cmocka_unit_test(encodings),
	    cmocka_unit_test(tables_that_lie),
	    cmocka_unit_test(a_table_with_a_flipped_bit),
	    cmocka_unit_test(a_program_that_is_too_long),
	    cmocka_unit_test(the_heap_sorts),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
