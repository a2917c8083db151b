// SPDX-License-Identifier: Apache-2.0
// The index of the unwind table against a search through all functions, and lying ones.
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>

#include "../../modules/elf/frames.c"
#include "elf_answers.h"

#define HDR 0x40000 // addresses of the two sections
#define EH 0x41000
#define FUNCTIONS 40
enum form { NARROW, WIDE, ABSOLUTE, FORMS };

static struct function {
	uint64_t start, size;
} functions[FUNCTIONS];
static uint8_t header[HEADER_SIZE + FUNCTIONS * sizeof(struct entry)];
static uint8_t frames[FUNCTIONS * 32];
static struct elf_file f;

// An .eh_frame of FUNCTIONS entries without their CIE, which is not read, and its index.
static void make_sections(enum form form)
{
	memset(frames, 0, sizeof(frames));
	memcpy(header, (uint8_t[]){1, 0x1b, U32, TABLE_I32}, 4);
	put32(header + 8, FUNCTIONS);
	for (unsigned i = 0; i < FUNCTIONS; i++) {
		uint8_t *fde = frames + i * 32, *row = header + HEADER_SIZE + i * 8;
		uint64_t start = functions[i].start, at = EH + i * 32 + 8;
		put32(fde, 28);
		if (form == NARROW) {
			put32(fde + 8, (uint32_t)(start - at));
			put32(fde + 12, (uint32_t)functions[i].size);
		} else {
			put64(fde + 8, form == WIDE ? start - at : start);
			put64(fde + 16, functions[i].size);
		}
		put32(row, (uint32_t)(start - HDR));
		put32(row + 4, (uint32_t)(EH + i * 32 - HDR));
	}
}

static void put_sections(struct image *to)
{
	image_section(to, ".eh_frame_hdr",
	    (Elf64_Shdr){.sh_type = SHT_PROGBITS, .sh_flags = SHF_ALLOC, .sh_addr = HDR}, header,
	    sizeof(header));
	image_section(to, ".eh_frame",
	    (Elf64_Shdr){.sh_type = SHT_PROGBITS, .sh_flags = SHF_ALLOC, .sh_addr = EH}, frames,
	    sizeof(frames));
}

static void open_image(void)
{
	struct view view;
	image_begin(&m);
	put_sections(&m);
	image_end(&m);
	view_memory(&view, m.at, m.size);
	assert_int_equal(file_open(&f, &view), 0);
}

static void make_functions(uint64_t seed)
{
	uint64_t at = T + 0x100;
	for (unsigned i = 0; i < FUNCTIONS; i++) {
		seed = hash_mix(seed + 1);
		functions[i] = (struct function){at, 1 + seed % 60};
		at += functions[i].size + (seed >> 32) % 3 * 20;
	}
}

static void the_same_as_a_search_through_all(void **state)
{
	(void)state;
	for (unsigned round = 0; round < 30; round++) {
		make_functions(round);
		make_sections(round % FORMS);
		open_image();
		for (uint64_t at = T + 0x80; at < T + 0x1000; at++) {
			uint64_t end, want = UINT64_MAX;
			bool held = false;
			for (unsigned i = FUNCTIONS; i-- > 0;) {
				const struct function *x = &functions[i];
				if (x->start > at)
					want = x->start;
				else if (at - x->start < x->size)
					held = true, want = x->start + x->size;
			}
			assert_int_equal(frames_end(&f, at, &end), held);
			assert_int_equal(end, want);
		}
		file_close(&f);
	}
	assert_int_equal(mem_used(ACCOUNT_ELF), 0);
}

// What is not understood or lies gives no end, or that where the next function begins: never one at
// or below the address, never one beyond the next function.
static void forms_that_are_not_known(void **state)
{
	(void)state;
	uint64_t end;
	static const struct {
		unsigned at;
		uint8_t byte;
	} bad[] = {{0, 2}, {1, 0x1c}, {2, 0x0b}, {3, 0x1b}, {8, 0}};
	make_functions(1);
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		make_sections(NARROW);
		header[bad[i].at] = bad[i].byte;
		open_image();
		assert_false(frames_end(&f, functions[5].start, &end));
		assert_int_equal(end, UINT64_MAX);
		file_close(&f);
	}
	// A count beyond the section; the entry in no section; one that tells of another function.
	static const struct {
		uint8_t *at;
		uint32_t value;
		bool held;
	} lies[] = {{header + 8, UINT32_MAX, true},
	    {header + HEADER_SIZE + 5 * 8 + 4, 0x7fffffff, false},
	    {header + HEADER_SIZE + 5 * 8 + 4, EH + 6 * 32 - HDR, false},
	    {frames + 5 * 32 + 12, 0, false}, {frames + 5 * 32 + 12, UINT32_MAX, false},
	    {frames + 5 * 32 + 12, INT32_MAX, true}};
	for (size_t i = 0; i < sizeof(lies) / sizeof(*lies); i++) {
		make_sections(NARROW);
		put32(lies[i].at, lies[i].value);
		open_image();
		assert_int_equal(frames_end(&f, functions[5].start, &end), lies[i].held);
		assert_int_equal(
		    end, i == 0 ? functions[5].start + functions[5].size : functions[6].start);
		file_close(&f);
	}
	uint64_t seed = 3;
	for (unsigned round = 0; round < 2000; round++) {
		make_sections(round % FORMS);
		for (unsigned k = 0; k < 4; k++) {
			seed = hash_mix(seed + 1);
			header[HEADER_SIZE + seed % (sizeof(header) - HEADER_SIZE)] ^= seed >> 32;
			frames[(seed >> 16) % sizeof(frames)] ^= seed >> 40;
		}
		open_image();
		for (uint64_t at = T + 0x80; at < T + 0x800; at += 7) {
			frames_end(&f, at, &end);
			assert_true(end > at);
		}
		file_close(&f);
	}
}

static void sections_that_are_cut(void **state)
{
	(void)state;
	uint64_t end, start;
	make_functions(1);
	make_sections(NARROW);
	start = functions[FUNCTIONS - 1].start;
	open_image();
	f.eh_frame.size = (FUNCTIONS - 1) * 32 + 16; // just enough of the last entry
	assert_true(frames_end(&f, start, &end));
	f.eh_frame.size--;
	assert_false(frames_end(&f, start, &end));
	assert_int_equal(end, UINT64_MAX);
	f.frames.size = HEADER_SIZE + 10 * 8 + 7; // ten whole rows are left
	assert_true(frames_end(&f, functions[9].start, &end));
	assert_false(frames_end(&f, functions[12].start, &end));
	f.frames.size = HEADER_SIZE - 1;
	assert_false(frames_end(&f, functions[0].start, &end));
	f.frames.size = sizeof(header);
	f.view.size = f.frames.offset + HEADER_SIZE; // the file shrank
	assert_false(frames_end(&f, functions[0].start, &end));
	file_close(&f);
}

// A label names its own function, not the nameless one behind it; what no unwind table knows, only
// so far.
static void labels_end_with_their_functions(void **state)
{
	(void)state;
	for (unsigned i = 0; i < FUNCTIONS; i++)
		functions[i] = (struct function){T + 0x100 + i * 0x40, 0x30};
	make_sections(NARROW);
	image_begin(&m);
	put_sections(&m);
	image_code_section(&m, ".more", HDR + 0x10000, 0x10000);
	image_symbol(&m, "frame_dummy", T + 0xe0, 0, STB_LOCAL, STT_FUNC); // has no entry
	image_symbol(&m, "assembly", T + 0x180, 0, STB_GLOBAL, STT_NOTYPE);
	image_symbol(&m, "inside", T + 0x1a0, 0, STB_LOCAL, STT_NOTYPE);
	image_symbol(&m, "bare", HDR + 0x10100, 0, STB_GLOBAL, STT_FUNC);
	image_table(&m, SHT_SYMTAB);
	image_end(&m);
	const struct {
		uint64_t at, start, end;
		const char *name;
	} want[] = {
	    {T + 0xff, T + 0xe0, T + 0x100, "frame_dummy"},
	    {T + 0x100, T + 0x100, T + 0x180, "?"},
	    {T + 0x19f, T + 0x180, T + 0x1a0, "assembly"},
	    {T + 0x1af, T + 0x1a0, T + 0x1b0, "inside"},
	    {T + 0x1b0, T + 0x1b0, END, "?"},
	    {T + 0x1c0, T + 0x1b0, END, "?"},
	    {HDR + 0x10100 + 16383, HDR + 0x10100, HDR + 0x10100 + 16384, "bare"},
	    {HDR + 0x10100 + 16384, HDR + 0x10100 + 16384, HDR + 0x20000, "?"},
	};
	enum { N = sizeof(want) / sizeof(*want) };
	uint64_t addresses[N];
	for (unsigned i = 0; i < N; i++)
		addresses[i] = want[i].at;
	int fd = image_fd(&m, m.size);
	for (unsigned slices = 0; slices < 2; slices++) {
		ask_fd(fd, addresses, N, &(struct elf_lookup_options){.debug_fd = -1},
		    slices ? 0 : UINT64_MAX);
		for (unsigned i = 0; i < N; i++) {
			assert_string_equal(a.of[i].name, want[i].name);
			assert_int_equal(a.of[i].start, want[i].start);
			assert_int_equal(a.of[i].end, want[i].end);
		}
	}
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(the_same_as_a_search_through_all),
	    cmocka_unit_test(forms_that_are_not_known),
	    cmocka_unit_test(sections_that_are_cut),
	    cmocka_unit_test(labels_end_with_their_functions),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
