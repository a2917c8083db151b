// SPDX-License-Identifier: Apache-2.0
// A Go function, as the assembler makes it, and how deep its stack is, in bytes:
//
//   amd64 since 1.21: push rbp | mov rbp, rsp | sub rsp, n | ... | add rsp, n | pop rbp | ret
//                   0          8                           n+8                8         0
//   amd64 before: sub rsp, n | mov [rsp+n-8], rbp | lea rbp, [rsp+n-8] | ... | mov | add | ret
//               0            n                                                           0
//   arm64: str x30, [sp, -n]! | stur x29, [sp, -8] | sub x29, sp, 8 | ... | ldp | add | ret
//        0                    n                                                       0
//
// Where the depth is not 0 the caller's frame pointer is saved, if the first instructions save it.
// The stack pointer leads on with no need of it but where a function changes to another stack:
// there the frame pointer, set before, leads from the new stack back to the old one.
#include "go.h"

#include "../base/base.h"

#include <elf.h>
#include <errno.h>
#include <string.h>

#define FUNCTIONS_AT_ONCE 16 // some 50 us
#define DEPTHS_AT_ONCE 1024
#define LOOK_BEFORE 8 // bytes of code looked at around the end of a prologue
#define LOOK_BEHIND 24
#define SWITCH_MAX 1024 // bytes of a function in which a change of stacks is looked for

enum role {
	PLAIN,
	STARTS,	  // nobody called it
	LEAVES,	  // puts another stack in the place of the caller's
	SWITCHES, // calls on another stack
	RETURNS,  // from a signal's handler
};

struct go {
	const struct source *source;
	struct elf_go *elf;
	bool arm64;
	struct bytes code; // of the segment that has it
	uint64_t code_at;
};

// The function at hand, and the rows that it gets.
struct work {
	struct go *go;
	struct rows *rows;
	uint64_t window, from, to; // what is told goes into [from, to)
	struct elf_go_function f;
	uint32_t depths; // told
	enum role role;
	uint64_t switched; // from there on it runs on another stack; UINT64_MAX: nowhere
	bool begun;	   // the prologue was seen
	int32_t first;	   // the depth behind it
	uint64_t saved;	 // from there on the caller's frame pointer is in memory; UINT64_MAX: never
	uint64_t framed; // from there on the frame pointer points to it
	uint8_t restored; // bytes before the depth is 0 again where it does not any more
	bool sp_kept;	  // the frame pointer is what sp was before the change of stacks
};

struct go *go_new(const struct source *s)
{
	struct go *g = mem_alloc(ACCOUNT_UNWIND, sizeof(*g));
	if (!g)
		return NULL;
	g->source = s;
	g->arm64 = s->elf.machine == EM_AARCH64;
	g->elf = elf_go_new(s->fd);
	if (g->elf)
		return g;
	int err = errno;
	go_free(g);
	return errno = err, NULL;
}

void go_free(struct go *g)
{
	if (!g)
		return;
	elf_go_free(g->elf);
	bytes_close(&g->code);
	mem_free(g);
}

int go_find(struct go *g, uint64_t budget_ns, uint64_t *start, uint64_t *end)
{
	int r = elf_go_find(g->elf, budget_ns, start, end);
	const struct elf_frames *f = &g->source->elf;
	for (unsigned i = 0; r == 0 && i < f->exec_count; i++)
		if (*start >= f->exec[i].vaddr && *end - f->exec[i].vaddr <= f->exec[i].size) {
			bytes_close(&g->code);
			bytes_open(
			    &g->code, g->source->fd, NULL, f->exec[i].offset, f->exec[i].size);
			g->code_at = f->exec[i].vaddr;
			return 0;
		}
	return r ? r : -ENOENT;
}

// Up to N bytes of code at AT, of the function at hand only, at TO; what is not had is 0.
static int read_code(const struct work *w, uint64_t at, uint8_t *to, uint32_t n)
{
	memset(to, 0, n);
	uint64_t from = at < w->f.start ? w->f.start : at;
	uint64_t end = at + n < w->f.end ? at + n : w->f.end;
	if (from >= end)
		return 0;
	const uint8_t *code =
	    bytes_get(&w->go->code, from - w->go->code_at, (uint32_t)(end - from));
	if (!code)
		return w->go->code.error;
	memcpy(to + (from - at), code, end - from);
	return 0;
}

// A rule from AT on. Of what lies before `from` the last one is told.
static int add(const struct work *w, uint64_t at, struct rule rule)
{
	if (at >= w->to)
		return 0;
	if (at < w->from)
		at = w->from;
	return rows_add(w->rows, (uint32_t)(at - w->window), &rule);
}

static int add_kind(const struct work *w, uint64_t at, enum rule_kind kind)
{
	return add(w, at, (struct rule){.kind = (uint8_t)kind});
}

static uint32_t word_at(const uint8_t *at)
{
	uint32_t word;
	memcpy(&word, at, sizeof(word));
	return word;
}

// The length of mov [rsp+OFFSET], rbp; 0: that is not at CODE.
static uint8_t save_size(const uint8_t *code, int32_t offset)
{
	if (code[0] != 0x48 || code[1] != 0x89)
		return 0;
	if (!offset && code[2] == 0x2c && code[3] == 0x24)
		return 4;
	if (code[2] == 0x6c && code[3] == 0x24 && (int8_t)code[4] == offset)
		return 5;
	return code[2] == 0xac && code[3] == 0x24 && (int32_t)word_at(code + 4) == offset ? 8 : 0;
}

static const uint8_t mov_rbp_rsp[] = {0x48, 0x89, 0xe5};

// AT: where the depth is not 0 any more. CODE: the bytes there, and before.
static void look_amd64(struct work *w, const uint8_t *code, uint64_t at, int32_t depth)
{
	uint8_t size = save_size(code, depth - 8);
	if (code[-1] == 0x55 && depth == 8 && !memcmp(code, mov_rbp_rsp, sizeof(mov_rbp_rsp))) {
		w->saved = at;
		w->framed = at + sizeof(mov_rbp_rsp);
	} else if (size) {
		w->saved = at + size;
		w->framed = at + 2u * size; // lea rbp, of the same size
		w->restored = depth <= INT8_MAX ? 4 : 7;
		// Go 1.15 asks for the time on another stack like this.
		w->sp_kept = !memcmp(code + 2u * size, mov_rbp_rsp, sizeof(mov_rbp_rsp));
		if (w->sp_kept)
			w->framed += sizeof(mov_rbp_rsp);
	}
}

static void look_arm64(struct work *w, const uint8_t *code, uint64_t at)
{
	enum {
		STUR_FP = 0xf81f83fd,	 // stur x29, [sp, -8]
		STP_PAIR = 0xa93ffa9d,	 // stp x29, x30, [x20, -8]
		MOV_SP_X20 = 0x9100029f, // mov sp, x20
		PUSH_LR = 0xf8000ffe,	 // str x30, [sp, N]!
		PUSH_LR_MASK = 0xffe00fff,
	};
	uint32_t before = word_at(code - 4);
	if (before == MOV_SP_X20 && word_at(code - 8) == STP_PAIR)
		w->saved = at;
	else if ((before & PUSH_LR_MASK) == PUSH_LR && word_at(code) == STUR_FP)
		w->saved = at + 4;
	if (w->saved != UINT64_MAX) {
		w->framed = w->saved + 4; // sub x29, sp, 8
		w->restored = 4;
	}
}

static int look_at_prologue(struct work *w, uint64_t at, int32_t depth)
{
	uint8_t code[LOOK_BEFORE + LOOK_BEHIND];
	int err = read_code(w, at - LOOK_BEFORE, code, sizeof(code));
	if (err)
		return err;
	w->begun = true;
	w->first = depth;
	if (w->go->arm64)
		look_arm64(w, code + LOOK_BEFORE, at);
	else
		look_amd64(w, code + LOOK_BEFORE, at, depth);
	return 0;
}

// The length of an instruction that sets the stack pointer to something else; 0: there is none at
// CODE.
static uint8_t switch_size(bool arm64, const uint8_t *code)
{
	if (arm64) { // mov sp, xN
		uint32_t word = word_at(code);
		return (word & 0xfffffc1f) == 0x9100001f && word != 0x910003ff ? 4 : 0;
	}
	uint8_t rex = code[0], modrm = code[2], mod = modrm >> 6, rm = modrm & 7;
	if ((rex & 0xf8) != 0x48)
		return 0;
	// and rsp, n; mov rsp, register
	if (rex == 0x48 && code[1] == 0x83 && modrm == 0xe4)
		return 4;
	if (!(rex & 1) && code[1] == 0x89 && mod == 3 && rm == 4)
		return 3;
	if (code[1] != 0x8b || (rex & 4) || (modrm >> 3 & 7) != 4)
		return 0;
	// mov rsp, register or memory
	uint8_t displacement = mod == 1 ? 1 : mod == 2 || (mod == 0 && rm == 5) ? 4 : 0;
	return mod == 3 ? 3 : (uint8_t)(3 + (rm == 4) + displacement);
}

static int find_switch(struct work *w)
{
	uint8_t code[SWITCH_MAX + LOOK_BEHIND];
	uint64_t size = w->f.end - w->f.start;
	if (size > SWITCH_MAX)
		size = SWITCH_MAX;
	int err = read_code(w, w->f.start, code, (uint32_t)size);
	memset(code + size, 0, LOOK_BEHIND);
	for (uint64_t i = 0; !err && i < size; i += w->go->arm64 ? 4 : 1) {
		uint8_t length = switch_size(w->go->arm64, code + i);
		if (length) {
			w->switched = w->f.start + i + length;
			break;
		}
	}
	return err;
}

// By name where the marks are not there or not enough. A stack that mcall or gogo left may be in
// use on another CPU, and what morestack left is grown: they end the walk as they end Go's own.
static enum role role_of(const struct elf_go_function *f)
{
	static const struct {
		const char *name;
		enum role role;
	} roles[] = {
	    {"runtime.goexit", STARTS},
	    {"runtime.mstart", STARTS},
	    {"runtime.rt0_go", STARTS},
	    {"_rt0_amd64_linux", STARTS},
	    {"_rt0_amd64", STARTS},
	    {"_rt0_arm64_linux", STARTS},
	    {"runtime.sigreturn", RETURNS},
	    {"runtime.sigreturn__sigaction", RETURNS},
	    {"runtime.sigtramp", PLAIN}, // called by the kernel
	    {"runtime.mcall", LEAVES},
	    {"runtime.gogo", LEAVES},
	    {"gogo", LEAVES},
	    {"runtime.morestack", LEAVES},
	    {"runtime.clone", LEAVES}, // the new thread
	    {"runtime.systemstack", SWITCHES},
	    {"runtime.asmcgocall", SWITCHES},
	    {"runtime.cgocallback", SWITCHES},
	    {"runtime.cgocallback_gofunc", SWITCHES},
	    {"runtime.nanotime1", SWITCHES},
	    {"runtime.walltime", SWITCHES},
	    {"runtime.walltime1", SWITCHES},
	    {"time.now", SWITCHES},
	    {"runtime.sigfwd", SWITCHES},
	};
	for (unsigned i = 0; f->name && i < sizeof(roles) / sizeof(*roles); i++)
		if (!strcmp(f->name, roles[i].name))
			return roles[i].role;
	return f->top ? STARTS : f->switches ? SWITCHES : PLAIN;
}

// How to come from DEPTH to the caller. SAVED: the caller's frame pointer is in memory.
static struct rule rule_of(const struct work *w, int32_t depth, bool saved)
{
	struct rule r = {.kind = RULE_SP, .cfa = depth, .how = HOW_FP_SAME};
	// syscall.rawVforkSyscall takes the return address off the stack: the frame pointer leads
	// on from its caller.
	if (depth < 0)
		return (struct rule){.kind = RULE_FRAME};
	if (depth > INT32_MAX - 8)
		return (struct rule){.kind = RULE_UNSUPPORTED};
	if (!w->go->arm64) {
		r.cfa = depth + 8;
		if (saved && depth >= 8) {
			r.how = HOW_FP_AT_CFA;
			r.fp = -2;
		}
		return r;
	}
	if (!depth)
		return r; // the return address is in its register
	int32_t at = w->first + (saved ? 8 : 0);
	if (at % 8 || at > -8 * INT16_MIN)
		return (struct rule){.kind = RULE_UNSUPPORTED};
	r.fp = (int16_t)(-at / 8);
	r.how = saved ? HOW_FP_AT_CFA | HOW_RA_PAIR : HOW_RA_ALONE;
	return r;
}

// Code [AT, END) of DEPTH. LAST: behind it the depth is 0.
static int add_depth(struct work *w, uint64_t at, uint64_t end, int32_t depth, bool last)
{
	bool keeps = w->role == SWITCHES && w->saved != UINT64_MAX, framed = keeps && depth > 0;
	if (at >= w->switched && !keeps)
		return 0; // add_function tells it
	int err = add(w, at, rule_of(w, depth, at >= w->saved));
	if (!err && at < w->saved && w->saved < end)
		err = add(w, w->saved, rule_of(w, depth, true));
	if (err || !framed || w->framed >= end)
		return err;
	struct rule frame = {.kind = RULE_FRAME};
	if (w->sp_kept) // the walk follows it as far as the stack grows
		frame = (struct rule){
		    .kind = RULE_FP, .cfa = w->first + 8, .fp = -2, .how = HOW_FP_AT_CFA};
	err = add(w, w->framed > at ? w->framed : at, frame);
	if (!err && last && end - at > w->restored && end - w->restored > w->framed && w->restored)
		err = add(w, end - w->restored, rule_of(w, depth, false));
	return err;
}

// All depths of the function; each is told when the next one is known.
static int add_depths(struct work *w)
{
	uint64_t at = w->f.start, end = at, next;
	int32_t depth = 0, told;
	int r;
	while ((r = elf_go_depth(w->go->elf, &next, &told)) == 1) {
		w->depths++;
		int err = end > at ? add_depth(w, at, end, depth, !told) : 0;
		if (!err && !w->begun && told > 0)
			err = look_at_prologue(w, end, told);
		if (err)
			return err;
		at = end;
		end = next;
		depth = told;
		if (at >= w->to)
			return 0;
	}
	if (r)
		return r;
	// Of C's functions that were linked in nothing is told.
	return end > at ? add_depth(w, at, end, depth, false) : add_kind(w, w->f.start, RULE_NONE);
}

static int add_function(struct work *w)
{
	int err = 0;
	w->role = role_of(&w->f);
	w->switched = w->saved = w->framed = UINT64_MAX;
	if (w->role == STARTS)
		return add_kind(w, w->f.start, RULE_STOP);
	if (w->role == RETURNS) {
		// Looked for as a return address is: one byte before.
		if (w->from == w->f.start && w->from > w->window)
			w->from--;
		return add_kind(w, w->from, RULE_SIGNAL);
	}
	if (w->role == LEAVES || w->role == SWITCHES)
		err = find_switch(w);
	if (!err)
		err = add_depths(w);
	if (err || w->switched == UINT64_MAX)
		return err;
	if (w->role == LEAVES)
		return add_kind(w, w->switched, RULE_STOP);
	return w->saved == UINT64_MAX ? add_kind(w, w->switched, RULE_FRAME) : 0;
}

int go_add(struct go *g, struct rows *rows, uint64_t start, uint64_t *at, uint64_t end)
{
	uint32_t depths = 0;
	for (unsigned i = 0; i < FUNCTIONS_AT_ONCE && *at < end && depths < DEPTHS_AT_ONCE; i++) {
		struct work w = {.go = g, .rows = rows, .window = start, .from = *at, .to = end};
		int r = elf_go_function(g->elf, *at, &w.f);
		if (r <= 0)
			return r ? r : -EBADMSG; // its end is the end of the code
		int err = add_function(&w);
		if (err)
			return err;
		*at = w.f.end < end ? w.f.end : end;
		depths += w.depths;
	}
	return 0;
}
