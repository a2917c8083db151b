// SPDX-License-Identifier: Apache-2.0
// From Go's functions to rows: prologues of all kinds, functions that change stacks, and how they
// stand beside .eh_frame.
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "../../modules/unwind/go.c"
#include "go_image.h"
#undef TABLE_ADDRESS
#include "unwind_image.h"

static struct image m;
static struct entries e;
static uint8_t table[1 << 15];
static struct rows_job *job;
static const struct rows *rows;
static struct source *source;
static int fd;

static void make(const struct go_code *g, unsigned count, uint8_t version, unsigned quantum)
{
	go_image(&m, g, count, table, go_table(table, version, g, count, quantum));
	memset(&e, 0, sizeof(e));
}

// The rows of image M for the window at START.
static int finish(uint64_t start, uint64_t budget)
{
	image_end(&m);
	image_header(&m)->e_machine = m.at[GO_CODE - 1] ? EM_AARCH64 : EM_X86_64;
	fd = image_fd(&m, m.size);
	source = rows_source_new(fd, NULL, 0, -1);
	assert_non_null(source);
	return make_rows(source, start, budget, &job, &rows);
}

static void done(void)
{
	rows_job_free(job);
	rows_source_free(source);
	close(fd);
	assert_int_equal(mem_used(ACCOUNT_UNWIND), 0);
	assert_int_equal(mem_used(ACCOUNT_ELF), 0);
}

struct expected {
	uint32_t at; // from GO_TEXT
	uint8_t kind;
	int32_t cfa;
	int16_t fp;
	uint8_t how;
};

// The rows from GO_TEXT on, up to the last that is expected.
static void expect(const struct expected *x, unsigned count)
{
	uint32_t base = (uint32_t)(GO_TEXT - TEXT_ADDRESS), i = 0;
	while (i < rows->count && rows->row[i].at < base + x->at)
		i++;
	for (unsigned k = 0; k < count; k++, i++) {
		assert_true(i < rows->count);
		const struct rule *r = &rows->rules[rows->row[i].rule];
		if (rows->row[i].at != base + x[k].at || r->kind != x[k].kind ||
		    r->cfa != x[k].cfa || r->fp != x[k].fp || r->how != x[k].how)
			fail_msg("row %u: at %x kind %u cfa %d fp %d how %x", k,
			    rows->row[i].at - base, r->kind, r->cfa, r->fp, r->how);
	}
}
#define EXPECT(...)                                                                                \
	expect((const struct expected[]){__VA_ARGS__},                                             \
	    sizeof((const struct expected[]){__VA_ARGS__}) / sizeof(struct expected))
#define AT_CFA HOW_FP_AT_CFA

static void is(const struct go_code *g, unsigned count, uint8_t version)
{
	make(g, count, version, 1);
	m.at[GO_CODE - 1] = 0;
	assert_int_equal(finish(TEXT_ADDRESS, NS_PER_MS), 0);
	assert_int_equal(rows->row[0].at, 0);
	assert_int_equal(rows->rules[rows->row[0].rule].kind, RULE_FRAME); // before Go's code
}

// push rbp; mov rbp, rsp; sub rsp, 0x20; ...; add; pop; ret | more
static const struct go_code pushes = {"main.f", 0,
    {{8, 0}, {1, 0}, {7, 8}, {16, 40}, {1, 8}, {1, 0}, {14, 40}},
    .bytes = "49 3b 66 10 76 20 90 90 | 55 | 48 89 e5"};
// sub rsp, 0x28; mov [rsp+0x20], rbp; lea rbp, [rsp+0x20]; ...
static const struct go_code moves = {"main.g", 0, {{4, 0}, {40, 40}, {4, 0}},
    .bytes = "48 83 ec 28 | 48 89 6c 24 20 | 48 8d 6c 24 20"};

static void prologues(void **state)
{
	(void)state;
	static struct go_code both[2];
	both[0] = pushes, both[0].depths[0].size = 9, both[0].depths[1] = both[0].depths[2];
	memmove(&both[0].depths[1], &both[0].depths[2], 5 * sizeof(*both[0].depths));
	both[0].depths[6].size = 0;
	both[1] = moves;
	for (unsigned v = 0; v < sizeof(go_versions); v++) {
		is(both, 2, go_versions[v]);
		EXPECT({0, RULE_SP, 8}, {9, RULE_SP, 16, -2, AT_CFA}, {16, RULE_SP, 48, -2, AT_CFA},
		    {32, RULE_SP, 16, -2, AT_CFA}, {33, RULE_SP, 8}, {34, RULE_SP, 48, -2, AT_CFA},
		    {48, RULE_SP, 8}, {52, RULE_SP, 48}, {57, RULE_SP, 48, -2, AT_CFA},
		    {92, RULE_SP, 8});
		done();
	}
	// In 4 and 8 bytes; and what looks like it but is not.
	static const struct go_code others[] = {
	    {"a", 0, {{4, 0}, {28, 8}}, .bytes = "48 83 ec 08 | 48 89 2c 24"},
	    {"b", 0, {{7, 0}, {25, 0x208}},
		.bytes = "48 81 ec 08 02 00 00 | 48 89 ac 24 00 02 00 00"},
	    {"c", 0, {{4, 0}, {28, 16}}, .bytes = "48 83 ec 10 | 48 89 6c 24 10"},
	    {"d", 0, {{1, 0}, {31, 8}}, .bytes = "50 | 48 89 e5"},
	    {"e", 0, {{2, 0}, {30, 16}}, .bytes = "50 55 | 48 89 e5"},
	    {"f", 4, {{32, 24}}, .bytes = "90"},
	    {"g", 4, {{16, 0}, {16, -8}}},
	    {"h", 4, {{GO_NONE, 0}}, .size = 32},
	};
	is(others, 8, 0xf1);
	EXPECT({0, RULE_SP, 8}, {4, RULE_SP, 16}, {8, RULE_SP, 16, -2, AT_CFA}, {32, RULE_SP, 8},
	    {39, RULE_SP, 0x210}, {47, RULE_SP, 0x210, -2, AT_CFA}, {64, RULE_SP, 8},
	    {68, RULE_SP, 24}, {96, RULE_SP, 8}, {97, RULE_SP, 16}, {128, RULE_SP, 8},
	    {130, RULE_SP, 24}, {160, RULE_SP, 32}, {192, RULE_SP, 8}, {208, RULE_FRAME},
	    {224, RULE_NONE}, {256, RULE_FRAME});
	done();
}

#define RSP_LOAD "48 8b 62 38"
// The functions of Go 1.26, as far as they matter, and of older ones.
static void roles(void **state)
{
	(void)state;
	static const struct go_code since_121[] = {
	    {"runtime.goexit", 5, {{16, 0}}},
	    // push; mov; 8 bytes; the load; push; call
	    {"runtime.mcall", 6, {{1, 0}, {15, 8}, {16, 16}},
		.bytes = "55 4889e5 9090909090909090 " RSP_LOAD},
	    {"runtime.systemstack", 6, {{1, 0}, {15, 8}, {1, 0}, {15, 8}},
		.bytes = "55 4889e5 90909090 " RSP_LOAD},
	    {"runtime.sigtramp", 7, {{32, 0}}}, {"runtime.sigreturn__sigaction", 4, {{32, 0}}},
	    {"runtime.newer", 6, {{1, 0}, {15, 8}, {16, 24}},
		.bytes = "55 4889e5 90909090 " RSP_LOAD},
	    {"runtime.clone", 6, {{32, 0}}, .bytes = "90909090 4889f4"},
	    {"runtime.systemstack", 0, {{32, 0}}, .bytes = RSP_LOAD}, // the compiler's
	};
	is(since_121, 8, 0xf1);
	EXPECT({0, RULE_STOP}, {16, RULE_SP, 8}, {17, RULE_SP, 16, -2, AT_CFA}, {32, RULE_STOP},
	    {48, RULE_SP, 8}, {49, RULE_SP, 16, -2, AT_CFA}, {52, RULE_FRAME}, {64, RULE_SP, 8},
	    {65, RULE_FRAME}, {80, RULE_SP, 8}, {111, RULE_SIGNAL}, {144, RULE_SP, 8},
	    {145, RULE_SP, 16, -2, AT_CFA}, {148, RULE_FRAME}, {176, RULE_SP, 8}, {183, RULE_STOP},
	    {208, RULE_SP, 8}, {240, RULE_FRAME});
	done();
	static const struct go_code before[] = {
	    {"runtime.systemstack", 6, {{32, 0}}, .bytes = "90909090 4889dc"},
	    {"runtime.asmcgocall", 6, {{16, 0}, {16, 64}}, .bytes = "90909090 90909090 4883e4f0"},
	    {"runtime.nanotime1", 6, {{4, 0}, {24, 24}, {4, 0}},
		.bytes = "4883ec18 48896c2410 488d6c2410 " RSP_LOAD},
	    {"runtime.morestack", 6, {{32, 0}}, .bytes = "9090 498b6638"},
	    {"gogo", 6, {{32, 0}}, .bytes = "9090 488b23"},
	    {"runtime.walltime1", 6, {{4, 0}, {24, 24}, {4, 0}},
		.bytes = "4883ec18 48896c2410 488d6c2410 4889e5 " RSP_LOAD},
	};
	static const uint8_t versions[] = {0xf0, 0xfa, 0xfb};
	for (unsigned v = 0; v < sizeof(versions); v++) {
		is(before, 6, versions[v]);
		EXPECT({0, RULE_SP, 8}, {7, RULE_FRAME}, {32, RULE_SP, 8}, {44, RULE_FRAME},
		    {64, RULE_SP, 8}, {68, RULE_SP, 32}, {73, RULE_SP, 32, -2, AT_CFA},
		    {78, RULE_FRAME}, {88, RULE_SP, 32}, {92, RULE_SP, 8}, {102, RULE_STOP},
		    {128, RULE_SP, 8}, {133, RULE_STOP}, {160, RULE_SP, 8}, {164, RULE_SP, 32},
		    {169, RULE_SP, 32, -2, AT_CFA}, {177, RULE_FP, 32, -2, AT_CFA},
		    {184, RULE_SP, 32}, {188, RULE_SP, 8}, {192, RULE_FRAME});
		done();
	}
}

#define ARM64 m.at[GO_CODE - 1] = 1
static void arm64(void **state)
{
	(void)state;
	static const struct go_code code[] = {
	    // str x30, [sp, -32]!; stur x29, [sp, -8]; sub x29, sp, 8; ...; ldp; add; ret
	    {"main.f", 0, {{4, 0}, {24, 32}, {4, 0}}, .bytes = "fe0f1ef8 fd831ff8 fd2300d1"},
	    // sub x20, sp, n; stp x29, x30, [x20, -8]; mov sp, x20
	    {"main.g", 0, {{12, 0}, {20, 4096}}, .bytes = "f40740d1 9dfa3fa9 9f020091"},
	    {"main.h", 4, {{4, 0}, {28, 16}}, .bytes = "fe0f1ff8"},
	    {"runtime.systemstack", 6, {{4, 0}, {24, 16}, {4, 0}},
		.bytes = "fe0f1ff8 fd831ff8 fd2300d1 7f000091"},
	    {"runtime.mcall", 6, {{32, 0}}, .bytes = "1f2003d5 ff030091 1f000091"},
	    {"main.large", 0, {{12, 0}, {20, 1 << 19}}, .bytes = "f40740d1 9dfa3fa9 9f020091"},
	};
	make(code, 6, 0xf1, 4);
	ARM64;
	assert_int_equal(finish(TEXT_ADDRESS, NS_PER_MS), 0);
	EXPECT({0, RULE_SP, 0}, {4, RULE_SP, 32, -4, HOW_RA_ALONE},
	    {8, RULE_SP, 32, -5, AT_CFA | HOW_RA_PAIR}, {28, RULE_SP, 0},
	    {44, RULE_SP, 4096, -513, AT_CFA | HOW_RA_PAIR}, {64, RULE_SP, 0},
	    {68, RULE_SP, 16, -2, HOW_RA_ALONE}, {96, RULE_SP, 0},
	    {100, RULE_SP, 16, -2, HOW_RA_ALONE}, {104, RULE_SP, 16, -3, AT_CFA | HOW_RA_PAIR},
	    {108, RULE_FRAME}, {120, RULE_SP, 16, -2, HOW_RA_ALONE}, {124, RULE_SP, 0},
	    {140, RULE_STOP}, {160, RULE_SP, 0}, {172, RULE_UNSUPPORTED}, {192, RULE_FRAME});
	done();
}

// A window that begins and ends within functions, in steps as short as they get.
static void windows(void **state)
{
	(void)state;
	static struct go_code code[60];
	for (unsigned i = 0; i < 60; i++)
		code[i] = (struct go_code){
		    "main.f", 0, {{1, 0}, {15, 8}, {1, 0}, {15, 8}}, .bytes = "55 4889e5"};
	make(code, 60, 0xf1, 1);
	m.at[GO_CODE - 1] = 0;
	assert_int_equal(finish(GO_TEXT + 5, 0), 0);
	assert_int_equal(rows->count, 60 * 4 - 1 + 2); // and what lies behind
	for (uint32_t i = 0; i < 60 * 16; i++) {
		struct rule r = rule_at(rows, i);
		assert_int_equal(r.cfa, (i + 5) % 16 ? 16 : 8);
	}
	done();
	// It ends in the 31st, behind its prologue.
	const uint64_t high = 0x300000;
	make(code, 60, 0xf1, 1);
	m.at[GO_CODE - 1] = 0;
	image_load(&m, 0, TEXT_SIZE, high, PF_R | PF_X);
	put64(m.at + m.sections[m.section_count - 1].sh_offset + 24, high + GO_CODE);
	assert_int_equal(finish(high + GO_CODE + 30 * 32 + 20 - WINDOW_BYTES, 0), 0);
	uint32_t before = WINDOW_BYTES - 30 * 32 - 20;
	assert_int_equal(rows->row[rows->count - 1].at, before + 30 * 32 + 17);
	for (uint32_t i = 0; i < 30 * 32 + 20; i++)
		assert_int_equal(rule_at(rows, before + i).cfa, i % 16 ? 16 : 8);
	done();
}

// C's functions before, between and behind; .eh_frame goes before where both say something.
static void beside_eh_frame(void **state)
{
	(void)state;
	static const uint8_t push[] = {0x41, 0x0e, 16};
	for (int with = -1; with <= 3; with += 4) {
		make(&moves, 1, 0xf1, 1); // 48 bytes
		m.at[GO_CODE - 1] = 0;
		memcpy(m.at + 0x800, "\x48\xc7\xc0\x0f\0\0\0\x0f\x05", 9);
		size_t cie = put_cie(&e, "zR", 16, amd64_cie, sizeof(amd64_cie));
		put_fde(&e, cie, GO_TEXT - 0x40, 0x20, push, 3);
		put_fde(&e, cie, GO_TEXT + 24, 16, push, 3);
		put_fde(&e, cie, GO_TEXT + 0x100, 0x20, push, 3);
		image_frames(&m, &e, with);
		assert_int_equal(finish(TEXT_ADDRESS, NS_PER_MS), 0);
		assert_int_equal(rule_at(rows, 0x7fe).kind, RULE_NONE);
		assert_int_equal(rule_at(rows, 0x7ff).kind, RULE_SIGNAL);
		assert_int_equal(rule_at(rows, 0x809).kind, RULE_NONE);
		assert_int_equal(rule_at(rows, GO_CODE - 0x3f).cfa, 16);
		assert_int_equal(rule_at(rows, GO_CODE - 0x20).kind, RULE_NONE);
		EXPECT({0, RULE_SP, 8}, {4, RULE_SP, 48}, {9, RULE_SP, 48, -2, AT_CFA},
		    {24, RULE_SP, 8}, {25, RULE_SP, 16}, {40, RULE_SP, 48, -2, AT_CFA},
		    {44, RULE_SP, 8}, {48, RULE_NONE}, {0x100, RULE_SP, 8}, {0x101, RULE_SP, 16},
		    {0x120, RULE_NONE});
		done();
	}
}

static void tables_that_lie(void **state)
{
	(void)state;
	// None, or one that is none: frame pointers, as before.
	make(&moves, 1, 0xf1, 1);
	m.at[GO_CODE - 1] = 0;
	put32(m.at + m.sections[m.section_count - 1].sh_offset, 0);
	assert_int_equal(finish(TEXT_ADDRESS, NS_PER_MS), 0);
	EXPECT({TEXT_SIZE - GO_CODE, RULE_NONE});
	assert_int_equal(rule_at(rows, GO_CODE).kind, RULE_FRAME);
	assert_null(source->go);
	done();
	// One that is found out on the way.
	static const struct go_code two[] = {{"a", 0, {{16, 0}}}, {"b", 0, {{16, 0}}}};
	make(two, 2, 0xf1, 1);
	m.at[GO_CODE - 1] = 0;
	uint8_t *at = m.at + m.sections[m.section_count - 1].sh_offset;
	uint64_t functab;
	memcpy(&functab, at + 64, 8);
	put32(at + functab + 12, 1u << 30); // record of b
	assert_int_equal(finish(TEXT_ADDRESS, NS_PER_MS), -EBADMSG);
	done();
}

static void memory_fails(void **state)
{
	(void)state;
	unsigned n = 0, failed = 0;
	for (int r = -ENOMEM; r < 0; n++) {
		make(&moves, 1, 0xf1, 1);
		m.at[GO_CODE - 1] = 0;
		image_end(&m);
		fd = image_fd(&m, m.size);
		mem_fail_at(n + 1);
		source = rows_source_new(fd, NULL, 0, -1);
		job = NULL;
		r = source ? make_rows(source, TEXT_ADDRESS, NS_PER_MS, &job, &rows) : -errno;
		mem_fail_at(0);
		assert_true(r == 0 || r == -ENOMEM);
		failed += r != 0;
		if (r == 0)
			EXPECT({0, RULE_SP, 8}, {4, RULE_SP, 48}, {9, RULE_SP, 48, -2, AT_CFA});
		done();
		assert_true(n < 100);
	}
	assert_true(failed > 6);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(prologues),
	    cmocka_unit_test(roles),
	    cmocka_unit_test(arm64),
	    cmocka_unit_test(windows),
	    cmocka_unit_test(beside_eh_frame),
	    cmocka_unit_test(tables_that_lie),
	    cmocka_unit_test(memory_fails),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
