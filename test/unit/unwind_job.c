// SPDX-License-Identifier: Apache-2.0
// From files to rows: windows, gaps, overlaps, signal frames; slices and memory.
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "../../modules/unwind/job.c"
#include "unwind_scene.h"

// What image M (TABLE as in image_frames) has for the window at START.
static int finish(int table, uint64_t start)
{
	image_frames(&m, &e, table);
	image_end(&m);
	take_source();
	return make_rows(source, start, NS_PER_MS, &job, &rows);
}

struct expected {
	uint32_t at;
	uint8_t kind;
	int32_t cfa;
};

static void expect(const struct expected *x, unsigned count)
{
	assert_int_equal(rows->count, count);
	for (unsigned i = 0; i < count; i++) {
		const struct rule *r = &rows->rules[rows->row[i].rule];
		if (rows->row[i].at != x[i].at || r->kind != x[i].kind || r->cfa != x[i].cfa)
			fail_msg(
			    "row %u: at %x kind %u cfa %d", i, rows->row[i].at, r->kind, r->cfa);
	}
}
#define EXPECT(...)                                                                                \
	expect((const struct expected[]){__VA_ARGS__},                                             \
	    sizeof((const struct expected[]){__VA_ARGS__}) / sizeof(struct expected))

static size_t plain_cie(void)
{
	return put_cie(&e, "zR", 16, amd64_cie, sizeof(amd64_cie));
}

static void gaps_and_padding(void **state)
{
	(void)state;
	static const uint8_t push[] = {0x41, 0x0e, 16};
	for (int table = -1; table <= 3; table += 4) {
		begin();
		size_t cie = plain_cie();
		put_fde(&e, cie, TEXT_ADDRESS + 0x10, 0x10, push, 3);
		put_fde(&e, cie, TEXT_ADDRESS + 0x2f, 0x11, push, 3); // 15 bytes of padding
		put_fde(&e, cie, TEXT_ADDRESS + 0x50, 0x10, push, 3); // 16: a gap
		assert_int_equal(finish(table, TEXT_ADDRESS), 0);
		EXPECT({0, RULE_NONE, 0}, {0x10, RULE_SP, 8}, {0x11, RULE_SP, 16},
		    {0x2f, RULE_SP, 8}, {0x30, RULE_SP, 16}, {0x40, RULE_NONE, 0},
		    {0x50, RULE_SP, 8}, {0x51, RULE_SP, 16}, {0x60, RULE_NONE, 0});
		done();
	}
}

static void a_function_over_two_windows(void **state)
{
	(void)state;
	for (int table = -1; table <= 2; table += 3) {
		begin();
		size_t cie = plain_cie();
		put_fde(&e, cie, TEXT_ADDRESS, 0x100, push_rbp, sizeof(push_rbp));
		put_fde(&e, cie, TEXT_ADDRESS + 0x100, 0x100, push_rbp, sizeof(push_rbp));
		// In the midst of the first: its rows before are not of the window.
		assert_int_equal(finish(table, TEXT_ADDRESS + 2), 0);
		EXPECT({0, RULE_SP, 16}, {2, RULE_FP, 16}, {0x12, RULE_SP, 8}, {0xff, RULE_SP, 16},
		    {0x102, RULE_FP, 16}, {0x112, RULE_SP, 8}, {0x1fe, RULE_NONE, 0});
		done();
	}
	// The window ends in the midst of the second.
	for (int table = -1; table <= 2; table += 3) {
		const uint64_t high = 0x300000;
		begin();
		image_load(&m, 0, TEXT_SIZE, high, PF_R | PF_X);
		size_t cie = plain_cie();
		put_fde(&e, cie, high, 0x100, push_rbp, sizeof(push_rbp));
		put_fde(&e, cie, high + 0x100, 0x100, push_rbp, sizeof(push_rbp));
		assert_int_equal(finish(table, high + 0x102 - WINDOW_BYTES), 0);
		uint32_t at = WINDOW_BYTES - 0x102;
		EXPECT({0, RULE_NONE, 0}, {at, RULE_SP, 8}, {at + 1, RULE_SP, 16},
		    {at + 4, RULE_FP, 16}, {at + 0x14, RULE_SP, 8}, {at + 0x101, RULE_SP, 16});
		done();
	}
}

static void the_first_of_those_that_overlap(void **state)
{
	(void)state;
	static const uint8_t other[] = {0x0e, 64};
	for (int table = -1; table <= 5; table += 6) {
		begin();
		size_t cie = plain_cie();
		put_fde(&e, cie, TEXT_ADDRESS, 0, other, 2); // empty
		put_fde(&e, cie, TEXT_ADDRESS, 0x40, NULL, 0);
		put_fde(&e, cie, TEXT_ADDRESS + 0x10, 0x10, other, 2); // within
		put_fde(&e, cie, TEXT_ADDRESS + 0x30, 0x20, other, 2); // its end sticks out
		put_fde(&e, cie, TEXT_ADDRESS + 0x30, UINT64_MAX / 2, NULL, 0); // to the code's end
		assert_int_equal(finish(table, TEXT_ADDRESS), 0);
		EXPECT({0, RULE_SP, 8}, {0x40, RULE_SP, 64}, {0x50, RULE_SP, 8},
		    {TEXT_SIZE, RULE_NONE, 0});
		done();
	}
}

static void out_of_order(void **state)
{
	(void)state;
	begin();
	size_t cie = plain_cie();
	for (unsigned i = 0; i < 200; i++) {
		uint8_t program[] = {0x0e, (uint8_t)(8 + i % 120)};
		unsigned place = i * 73 % 200; // each once
		put_fde(&e, cie, TEXT_ADDRESS + 16 * place, 16, program, 2);
	}
	put_fde(&e, cie, 0, 0x100000, NULL, 0); // left out by the linker: at address 0
	assert_int_equal(finish(-1, TEXT_ADDRESS), 0);
	assert_int_equal(rows->count, 201);
	for (unsigned i = 0; i < 200; i++)
		assert_int_equal(rule_at(rows, 16 * (i * 73 % 200)).cfa, 8 + i % 120);
	done();
}

static void signal_frames(void **state)
{
	(void)state;
	static const uint8_t restorer[] = {0x48, 0xc7, 0xc0, 0x0f, 0, 0, 0, 0x0f, 0x05};
	static const uint8_t program[] = {0x0f, 4, 0x77, 0xa0, 1, 0x06, 0x10, 16, 3, 0x77, 0xa8, 1};
	for (int table = -1; table <= 3; table += 4) {
		begin();
		size_t cie = plain_cie();
		size_t signal = put_cie(&e, "zRS", 16, amd64_cie, sizeof(amd64_cie));
		put_fde(&e, cie, TEXT_ADDRESS + 0x400, 0x100, NULL, 0);
		put_fde(&e, signal, TEXT_ADDRESS + 0x500, 9, program, sizeof(program)); // covered
		put_fde(&e, signal, TEXT_ADDRESS + 0x600, 9, program, sizeof(program));
		memcpy(m.at + 0x800, restorer, 9); // musl's: nothing describes it
		memcpy(m.at + TEXT_SIZE - 9, restorer, 9);
		m.size = TEXT_SIZE;
		assert_int_equal(finish(table, TEXT_ADDRESS), 0);
		EXPECT({0, RULE_NONE, 0}, {0x400, RULE_SP, 8}, {0x500, RULE_SIGNAL, 0},
		    {0x509, RULE_NONE, 0}, {0x5ff, RULE_SIGNAL, 0}, {0x609, RULE_NONE, 0},
		    {0x7ff, RULE_SIGNAL, 0}, {0x809, RULE_NONE, 0},
		    {TEXT_SIZE - 10, RULE_SIGNAL, 0}, {TEXT_SIZE, RULE_NONE, 0});
		done();
	}
}

// Where musl begins a program and a thread, and glibc a coroutine: nobody called what is there.
static void beginnings(void **state)
{
	(void)state;
	static const char start[] = "\x48\x31\xed\x48\x89\xe7\x48\x8d\x35\xc0\x2d\0\0"
				    "\x48\x83\xe4\xf0\xe8\x07\0\0\0";
	static const char thread[] = "\x31\xed\x5f\x41\xff\xd1\x89\xc7";
	static const char coroutine[] = "\x48\x89\xdc\x48\x8b\x3c\x24\x48\x85\xff";
	static const uint64_t entry[] = {0, 0x523, 0x6c0, 0x7f0, 0x6c0};
	for (int k = 0; k < 5; k++) {
		int table = k % 2 ? 7 : -1;
		begin();
		size_t cie = plain_cie();
		put_fde(&e, cie, TEXT_ADDRESS + 0x400, 0x123, NULL, 0); // up to the start
		put_fde(&e, cie, TEXT_ADDRESS + 0x700, 0xb9, NULL, 0);
		put_fde(&e, cie, TEXT_ADDRESS + 0x7c0, 0x1a, NULL, 0); // after 7 bytes of padding
		// Neither those of another size, nor with a frame of their own, nor with other
		// code.
		put_fde(&e, cie, TEXT_ADDRESS + 0x7e0, 0x40, NULL, 0);
		put_fde(&e, cie, TEXT_ADDRESS + 0x820, 0x1a, push_rbp, sizeof(push_rbp));
		put_fde(&e, cie, TEXT_ADDRESS + 0x840, 0x1a, NULL, 0);
		memcpy(m.at + 0x523, start, sizeof(start) - 1);
		memcpy(m.at + 0x600, thread, sizeof(thread) - 1);
		for (unsigned at = 0x7c0; at < 0x840; at += 0x20)
			memcpy(m.at + at, coroutine, 10);
		memcpy(m.at + 0x841, coroutine, 10);
		memcpy(m.at + 0x900, coroutine, 10);
		put_fde(&e, cie, TEXT_ADDRESS + 0xa00, 0x1e, NULL, 0);
		memcpy(m.at + 0xa00, "\xf3\x0f\x1e\xfa", 4);
		memcpy(m.at + 0xa04, coroutine, 10);
		m.size = TEXT_SIZE;
		image_frames(&m, &e, table);
		image_end(&m);
		image_header(&m)->e_entry = TEXT_ADDRESS + entry[k];
		if (k == 2)
			memcpy(m.at + 0x6c0, "\x48\x89\xe7", 3);
		take_source();
		assert_int_equal(make_rows(source, TEXT_ADDRESS, NS_PER_MS, &job, &rows), 0);
		if (k == 2) {
			// Anywhere else what is behind it belongs to it too, up to a function.
			assert_int_equal(rule_at(rows, 0x6bf).kind, RULE_NONE);
			assert_int_equal(rule_at(rows, 0x6c0).kind, RULE_STOP);
			assert_int_equal(rule_at(rows, 0x6ff).kind, RULE_STOP);
			assert_int_equal(rule_at(rows, 0x700).kind, RULE_SP);
			done();
			continue;
		}
		EXPECT({0, RULE_NONE, 0}, {0x400, RULE_SP, 8}, {0x523, RULE_STOP, 0},
		    {0x539, RULE_NONE, 0}, {0x600, RULE_STOP, 0}, {0x606, RULE_NONE, 0},
		    {0x700, RULE_SP, 8}, {0x7bf, RULE_STOP, 0}, {0x7e0, RULE_SP, 8},
		    {0x821, RULE_SP, 16}, {0x824, RULE_FP, 16}, {0x834, RULE_SP, 8},
		    {0x85a, RULE_NONE, 0}, {0x8ff, RULE_STOP, 0}, {0x91a, RULE_NONE, 0},
		    {0x9ff, RULE_STOP, 0}, {0xa1e, RULE_NONE, 0});
		done();
	}
	begin();
	static const uint8_t arm64_cie[] = {0x0c, 31, 0};
	put_fde(&e, put_cie(&e, "zR", 30, arm64_cie, 3), TEXT_ADDRESS + 0x100, 16, NULL, 0);
	memcpy(m.at + 0x100, "\x1f\x20\x03\xd5\xe0\x03\x13\xaa", 8);
	m.size = TEXT_SIZE;
	image_frames(&m, &e, 1);
	image_end(&m);
	image_header(&m)->e_machine = EM_AARCH64;
	take_source();
	assert_int_equal(make_rows(source, TEXT_ADDRESS, NS_PER_MS, &job, &rows), 0);
	EXPECT({0, RULE_NONE, 0}, {0xff, RULE_STOP, 0}, {0x110, RULE_NONE, 0});
	done();
}

// A restorer wherever it lies to the pieces in which code is searched.
static void restorer_between_pieces(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 3; i++)
		for (unsigned k = 0; k < 20; k++) {
			uint64_t piece = i == 0 ? 0 : i == 1 ? 16u << 10 : SCAN_PIECE;
			uint64_t at = 0x4000 + piece - (piece ? 10 : 0) + k; // in the file
			image_begin(&m);
			memcpy(m.at + at, "\x48\xc7\xc0\x0f\0\0\0\x0f\x05", 9);
			m.size = 0x10000;
			image_load(&m, 0x4000, m.size - 0x4000, 0x100000, PF_R | PF_X);
			image_end(&m);
			take_source(); // nothing but this is to be told of it
			assert_int_equal(make_rows(source, 0x100000, NS_PER_MS, &job, &rows), 0);
			uint32_t offset = (uint32_t)(at - 0x4000);
			if (offset > 1)
				assert_int_equal(rule_at(rows, offset - 2).kind, RULE_NONE);
			if (offset)
				assert_int_equal(rule_at(rows, offset - 1).kind, RULE_SIGNAL);
			assert_int_equal(rule_at(rows, offset).kind, RULE_SIGNAL);
			assert_int_equal(rule_at(rows, offset + 8).kind, RULE_SIGNAL);
			assert_int_equal(rule_at(rows, offset + 9).kind, RULE_NONE);
			assert_int_equal(rule_at(rows, 0xc000).kind, RULE_NONE);
			done();
		}
}

static void too_much_work(void **state)
{
	(void)state;
	begin();
	put_fde(&e, plain_cie(), TEXT_ADDRESS, 0x40, push_rbp, sizeof(push_rbp));
	assert_int_equal(finish(1, TEXT_ADDRESS), 0);
	rows_job_free(job);
	job = rows_job_new(source, TEXT_ADDRESS);
	job->programs = PROGRAMS_MAX - sizeof(push_rbp);
	assert_int_equal(rows_job_step(job, NS_PER_MS), -EBADMSG);
	rows_job_free(job);
	job = rows_job_new(source, TEXT_ADDRESS);
	assert_int_equal(one(job), 1);
	job->frames.looked = FDES_MAX;
	assert_int_equal(rows_job_step(job, NS_PER_MS), -EBADMSG);
	done();
}

static void nothing_in_the_window(void **state)
{
	(void)state;
	begin();
	put_fde(&e, plain_cie(), TEXT_ADDRESS, 0x40, NULL, 0);
	assert_int_equal(finish(1, 0x40000000), 0);
	EXPECT({0, RULE_NONE, 0});
	rows_job_free(job);
	assert_int_equal(make_rows(source, UINT64_MAX - 100, NS_PER_MS, &job, &rows), 0);
	EXPECT({0, RULE_NONE, 0});
	done();
}

// Many functions, with a clock that moves a ms at every look: each step does little.
static void in_slices(void **state)
{
	(void)state;
	begin();
	e.encoding = 0x1b;
	size_t cie = plain_cie();
	for (unsigned i = 0; i < 250; i++)
		put_fde(&e, cie, TEXT_ADDRESS + 32 * i, 32, push_rbp, sizeof(push_rbp));
	image_frames(&m, &e, 250);
	image_end(&m);
	int fd = image_fd(&m, m.size);
	source = rows_source_new(fd, NULL, 0, -1);
	assert_non_null(source);
	uint64_t now = 1;
	clock_fake(&now, &now);
	job = rows_job_new(source, TEXT_ADDRESS);
	unsigned steps = 1;
	while (rows_job_step(job, 0) == 1)
		steps++;
	clock_fake(NULL, NULL);
	assert_in_range(steps, 5, 20); // 1,250 pieces of work, 256 between two looks
	rows = rows_job_rows(job);
	assert_int_equal(rows->count, 2 + 250 * 3);
	done();
	close(fd);
}

static void memory_that_is_refused(void **state)
{
	(void)state;
	for (unsigned kind = 0; kind < 2; kind++) {
		begin();
		size_t cie = plain_cie();
		for (unsigned i = 0; i < 100; i++)
			put_fde(&e, cie, TEXT_ADDRESS + 64 * i, 32, push_rbp, sizeof(push_rbp));
		image_frames(&m, &e, kind ? 100 : -1);
		image_end(&m);
		rows_without_memory();
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(gaps_and_padding),
	    cmocka_unit_test(a_function_over_two_windows),
	    cmocka_unit_test(the_first_of_those_that_overlap),
	    cmocka_unit_test(out_of_order),
	    cmocka_unit_test(signal_frames),
	    cmocka_unit_test(beginnings),
	    cmocka_unit_test(restorer_between_pieces),
	    cmocka_unit_test(too_much_work),
	    cmocka_unit_test(nothing_in_the_window),
	    cmocka_unit_test(in_slices),
	    cmocka_unit_test(memory_that_is_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
