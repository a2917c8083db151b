// SPDX-License-Identifier: Apache-2.0
// A caller that the walker guesses by frame pointer is one only behind an instruction that calls.
#include "walk_scene.h"

// BYTES end where the caller is to go on.
static void before(const char *bytes, size_t size)
{
	memset(text, 0x90, 8);
	memcpy((char *)text + 8 - size, bytes, size);
}
#define BEFORE(bytes) before(bytes, sizeof(bytes) - 1)

// From code without rows at 0x900010 to CODE, and on from there.
static void from_code_without_rows(uint64_t code)
{
	registers(0x900010, S(10), S(20));
	put(S(20), S(30));
	put(S(21), code);
	put(S(30), S(40));
	put(S(31), CODE(STOP));
}

static void calls(void **state)
{
	(void)state;
	static const struct {
		const char *bytes;
		size_t size;
	} yes[] =
	    {
#define B(bytes) {bytes, sizeof(bytes) - 1}
		B("\xe8\x11\x22\x33\x44"),	       // call 44332216
		B("\xff\xd0"),			       // call *%rax
		B("\x41\xff\xd7"),		       // call *%r15
		B("\xff\x13"),			       // call *(%rbx)
		B("\xff\x14\xd8"),		       // call *(%rax,%rbx,8)
		B("\x41\xff\x54\x24\x10"),	       // call *0x10(%r12)
		B("\xff\x50\x28"),		       // call *0x28(%rax)
		B("\xff\x15\x11\x22\x33\x44"),	       // call *0x44332211(%rip)
		B("\xff\x90\x00\x01\x00\x00"),	       // call *0x100(%rax)
		B("\xff\x94\xd8\x00\x01\x00\x00"),     // call *0x100(%rax,%rbx,8)
		B("\x42\xff\x14\xfd\x00\x01\x00\x00"), // call *0x100(,%r15,8)
		B("\x3e\xff\xd2"),		       // notrack call *%rdx
	    },
	  no[] = {
	      B(""),
	      B("\xe9\x11\x22\x33\x44"),     // jmp
	      B("\xe8\x11\x22\x33\x44\x90"), // call; nop
	      B("\xff\xe0"),		     // jmp *%rax
	      B("\xff\x25\x11\x22\x33\x44"), // jmp *0x44332211(%rip)
	      B("\xff\x54"),		     // too short for its ModRM
	      B("\xff\x15\x11"),
	      B("\xff\x50\x28\x90"), // call; nop
	      B("\xff\xd0\xc3"),     // call; ret
	      B("\xc3"),
	  };
	from_code_without_rows(CODE(STOP));
	for (size_t i = 0; i < sizeof(yes) / sizeof(*yes); i++) {
		before(yes[i].bytes, yes[i].size);
		EXPECT(COMPLETE, 0x900010, CODE(STOP));
	}
	for (size_t i = 0; i < sizeof(no) / sizeof(*no); i++) {
		before(no[i].bytes, no[i].size);
		EXPECT(NO_ROWS, 0x900010);
	}
}

// All of FF /2, by another way than the walker's: from the front.
static void every_length(void **state)
{
	(void)state;
	for (unsigned modrm = 0; modrm < 0x100; modrm++) {
		unsigned mod = modrm >> 6, rm = modrm & 7, sibs = mod < 3 && rm == 4 ? 256 : 1;
		if ((modrm >> 3 & 7) != 2)
			continue;
		for (unsigned sib = 0; sib < sibs; sib++) {
			uint8_t code[16] = {0xff, (uint8_t)modrm, sibs > 1 ? (uint8_t)sib : 0};
			size_t size = 2 + (sibs > 1);
			if (mod == 1)
				size += 1;
			else if (mod == 2 || (mod == 0 && (rm == 5 || (sibs > 1 && sib % 8 == 5))))
				size += 4;
			before((const char *)code, size);
			assert_true(ends_in_call(&it, text[0]));
		}
	}
}

static void arm64_calls(void **state)
{
	(void)state;
	static const uint32_t yes[] =
	    {
		0x94000001, // bl
		0x97ffffff, // bl, backwards
		0xd63f0000, // blr x0
		0xd63f03c0, // blr x30
		0xd63f081f, // blraaz x0
		0xd63f0fdf, // blrabz x30
		0xd73f0801, // blraa x0, x1
		0xd73f0fdf, // blrab x30, sp
	    },
			      no[] = {
				  0,
				  0x14000001, // b
				  0xd61f0000, // br x0
				  0xd65f03c0, // ret
				  0xd503201f, // nop
				  0xd71f0801, // braa x0, x1
			      };
	from_code_without_rows(CODE(STOP));
	for (size_t i = 0; i < sizeof(yes) / sizeof(*yes); i++) {
		text[0] = (uint64_t)yes[i] << 32 | 0xd503201f;
		EXPECT(COMPLETE, 0x900010, CODE(STOP));
	}
	for (size_t i = 0; i < sizeof(no) / sizeof(*no); i++) {
		text[0] = (uint64_t)no[i] << 32 | 0x94000001;
		EXPECT(NO_ROWS, 0x900010);
	}
}

// Code that is returned to though nobody called from there.
static void returned_to(void **state)
{
	(void)state;
	static const char *const known[] = {
	    "\x48\xc7\xc0\x0f\x00\x00\x00\x0f", // mov $15, %rax; syscall
	    "\x48\x89\xdc\x48\x8b\x3c\x24\x48", // mov %rbx, %rsp; mov (%rsp), %rdi
	    "\xf3\x0f\x1e\xfa\x48\x89\xdc\x48", // the same behind an endbr64
	    "\xe8\x11\x22\x33\x44\x90\xcc\xcc", // nop; call; nop
	};
	from_code_without_rows(CODE(STOP));
	BEFORE("");
	for (size_t i = 0; i < sizeof(known) / sizeof(*known); i++) {
		memcpy(&text[1], known[i], 8);
		EXPECT(COMPLETE, 0x900010, CODE(STOP));
	}
	gap = CODE(STOP) - 8; // where a mapping begins
	memcpy(&text[1], known[0], 8);
	EXPECT(COMPLETE, 0x900010, CODE(STOP));
	gap = CODE(STOP);
	EXPECT(NO_ROWS, 0x900010);
	gap = 0;
	BEFORE("\xc3"); // no nop
	memcpy(&text[1], known[3], 8);
	EXPECT(NO_ROWS, 0x900010);
}

static void arm64_returned_to(void **state)
{
	(void)state;
	from_code_without_rows(CODE(STOP));
	text[0] = 0xaa0003e0d65f03c0; // ret; mov x0, x0
	text[1] = 0xd4000001d2801168; // mov x8, #139; svc #0
	EXPECT(COMPLETE, 0x900010, CODE(STOP));
	text[1] = 0xaa1303e0d503201f; // nop; mov x0, x19
	EXPECT(COMPLETE, 0x900010, CODE(STOP));
	text[1] = 0x94000000; // nop; bl
	EXPECT(COMPLETE, 0x900010, CODE(STOP));
	text[0] = 0xd65f03c0d503201f;
	EXPECT(NO_ROWS, 0x900010);
}

// Whatever the reason is for which a caller is guessed.
static void every_guess(void **state)
{
	(void)state;
	static const struct {
		uint64_t code;
		enum walk_end end;
	} of[] = {{CODE(NONE), WALK_END_NO_ROWS}, {0x800010, WALK_END_NO_ROWS},
	    {0xa00010, WALK_END_LOADING}, {0xb00010, WALK_END_FULL}, {0x700010, WALK_END_JIT},
	    {0x12345678, WALK_END_UNMAPPED}};
	for (size_t i = 0; i < sizeof(of) / sizeof(*of); i++) {
		from_code_without_rows(CODE(STOP));
		registers(of[i].code, S(10), S(20));
		BEFORE("\xc3");
		expect(of[i].end, 1, &of[i].code);
		BEFORE("\xff\xd0");
		walk();
		assert_int_equal(it.n, 2);
		assert_int_equal(frames[1], CODE(STOP));
	}
	// Rows know better.
	BEFORE("\xc3");
	registers(CODE(SP16), S(10), 0);
	put(S(11), CODE(STOP));
	EXPECT(COMPLETE, CODE(SP16), CODE(STOP));
	registers(CODE(FRAME), S(10), S(20));
	EXPECT(COMPLETE, CODE(FRAME), CODE(STOP));
}

// Interpreters have code that they made return to places of their own.
static void made_code_returns_anywhere(void **state)
{
	(void)state;
	BEFORE("\xc3");
	registers(0x700010, S(10), S(20));
	put(S(20), S(30));
	put(S(21), 0x700020);
	put(S(31), CODE(STOP));
	EXPECT(JIT, 0x700010, 0x700020);
	registers(0x900010, S(10), S(20));
	EXPECT(NO_ROWS, 0x900010);
}

// Of a process whose mappings are not told yet the same; where there are no tables nothing tells
// what was made.
static void without_tables(void **state)
{
	(void)state;
	from_code_without_rows(CODE(STOP));
	it.mm_id++;
	BEFORE("\xc3");
	EXPECT(LOADING, 0x900010);
	walk_begin(&it, false);
	while (!walk_step(&it, false))
		;
	assert_int_equal(it.n, 3);
}

// A new thread has nobody that called it, up to where its rows say so.
static void new_threads(void **state)
{
	(void)state;
	registers(CODE(SP16), S(10), 0);
	BEFORE("\x0f\x05"); // syscall
	EXPECT(COMPLETE, CODE(SP16));
	BEFORE("\x0f\x05\x48\x85\xc0\x7c\x18"); // syscall; test %rax, %rax; jl
	EXPECT(COMPLETE, CODE(SP16));
	it.reg[0] = 7; // the one that made it
	EXPECT(NO_CALLER, CODE(SP16));
	it.reg[0] = 0;
	BEFORE("\x48\x85\xc0");
	EXPECT(NO_CALLER, CODE(SP16));
	BEFORE("\x0f\x05");
	put(S(11), CODE(SP16)); // a caller
	EXPECT(NO_CALLER, CODE(SP16), CODE(SP16));
	registers(CODE(NONE), S(10), 0); // rbp may be 0 for any reason
	EXPECT(NO_ROWS, CODE(NONE));
	registers(CODE(SP16), 0x123000, 0); // a stack that it has not touched
	BEFORE("\x0f\x05");
	EXPECT(COMPLETE, CODE(SP16));
	it.reg[0] = 7;
	EXPECT(UNREADABLE, CODE(SP16));
}

static void arm64_new_threads(void **state)
{
	(void)state;
	registers(CODE(PAIR), S(10), 0);
	text[0] = 0xd4000001d2801b88; // mov x8, #220; svc #0
	EXPECT(COMPLETE, CODE(PAIR));
	text[0] = 0xf100001fd4000001; // svc #0; cmp x0, #0
	EXPECT(COMPLETE, CODE(PAIR));
	text[0] = 0xf100001fd2801b88;
	EXPECT(NO_CALLER, CODE(PAIR));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    X86(calls),
	    X86(every_length),
	    ARM64(arm64_calls),
	    X86(returned_to),
	    ARM64(arm64_returned_to),
	    X86(every_guess),
	    X86(made_code_returns_anywhere),
	    X86(without_tables),
	    X86(new_threads),
	    ARM64(arm64_new_threads),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
