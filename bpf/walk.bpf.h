/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0 */
/*
 * The walk over a user stack by the rows of table.h, frame by frame:
 *
 *   pc -> mapping -> window -> row -> rule -> the caller's pc, sp, fp
 *
 * It compiles in user space too, where it is tested and single-stepped. Whoever includes it gives
 * it its eyes (W tells whose walk it is), and may say WALK_ARM64 (0, 1, or there an expression):
 *
 *   bool walk_read(W, to, size, address)           user memory; false: cannot be read
 *   bool walk_code(W, to, address)                 8 bytes of code, likewise
 *   bool walk_put(W, n, frame)                     frame N of the record; false: no room
 *   struct process_slot *walk_process(W, &place)   of W->pid, W->mm_id; NULL: none
 *   struct window *walk_window(W, index)           NULL: none
 *   struct block *walk_page(W, kind, page)         NULL: not there (any more)
 *   struct recent_row *walk_recent(W, slot)        of RECENT_ROWS
 *
 * The verifier follows every path of a program for all values that a register may have, unless that
 * no longer matters. So what is carried from one turn of a loop to the next lies in memory, of
 * which it knows nothing, or never becomes a part of an address.
 */
#pragma once
#include <stdbool.h>
#include "walk.h"

/* The compiler makes no jumps of what it knows of X. */
#define HIDE(x) asm volatile("" : "+r"(x))

#ifdef __BPF__
#define WALK static __always_inline
#define WALK_UNROLL _Pragma("unroll")
#else
#define WALK static inline
#define WALK_UNROLL
#endif
#ifndef WALK_ARM64
#if defined(__TARGET_ARCH_arm64) || defined(__aarch64__)
#define WALK_ARM64 1
#else
#define WALK_ARM64 0
#endif
#endif
#ifndef WALK_ADDRESS_BITS
#define WALK_ADDRESS_BITS 48 /* arm64: those above are a signature of the return address */
#endif

/* 0, of which the verifier knows nothing, nor then of what it is added to. */
#define UNKNOWN(w) (*(const volatile u32 *)&(w)->zero)

#define WALK_PAGE_SHIFT 12
#define WALK_SWITCHES 4 /* stacks that frame pointers may lead through, as Go's do */
/* Halvings of as many pages as there are in a region, and of the blocks in one. */
#define SEARCH_PAGES(kind) ((kind) == PAGE_ROWS ? 8 : 10)
#define SEARCH_BLOCKS(kind) ((kind) == PAGE_ROWS ? 5 : 3)
#define ROWS_PER_BLOCK 30
#define PIECE_BYTES (8 * WALK_PIECE_WORDS)
#define PIECE_ALIGN 4096u /* no page is smaller */
/* Registers that a frame has whose code was interrupted, a bit each. */
#define WALK_KNOWN (WALK_ARM64 ? 0xffffffffull : 0xffffull)
#define MAPPING_PAGE_MASK ((1ull << 45) - 1)

/* Where the kernel's rt_sigframe has the registers, from sp at its end (the restorer). */
#define X86_SIGNAL_AT 40
#define X86_SIGNAL_WORDS 17
#define ARM64_SIGNAL_AT 312
#define ARM64_SIGNAL_WORDS 33

/*
 * A part of the walk as a function F_apart that the verifier checks by itself, once for a program: what it would know
 * elsewhere it would follow again and again. PART calls it, or what is APART from nobody (before Linux 5.12) F itself.
 */
#ifdef __BPF__
#define APART(f)                                                                                   \
	__attribute__((noinline)) int f##_apart(struct walk *w, u64 x)                             \
	{                                                                                          \
		return w ? f(w, x) : 1;                                                            \
	}
#define PART(f, w, x, apart) ((apart) ? f##_apart(w, x) : f(w, x))
#else
#define APART(f)
#define PART(f, w, x, apart) ((void)(apart), f(w, x))
#endif

WALK u64 rule_word(struct rule r)
{
	return (u32)r.cfa | (u64)(u16)r.fp << 32 | (u64)r.kind << 48 | (u64)r.how << 56;
}

WALK struct rule rule_of(u64 word)
{
	return (struct rule){(s32)word, (s16)(word >> 32), (u8)(word >> 48), (u8)(word >> 56)};
}

#include "code.bpf.h"

WALK bool ended(struct walk *w, u8 end)
{
	w->end = w->loading ? w->loading : end;
	return true;
}

/* What was guessed is not said to be anything worse than a guess. */
WALK bool failed(struct walk *w, u8 end)
{
	return ended(w, w->guess ? w->guess : end);
}

/* The stack makes no sense: where anything was guessed before, that is why. */
WALK bool lost(struct walk *w, u8 end)
{
	return failed(w, w->guessed ? w->guessed : end);
}

WALK void missed(struct walk *w, u8 what, u32 frame)
{
	if (!w->need) {
		w->need = what;
		w->need_at = (u16)frame;
	}
}

/* The caller is looked for by frame pointer, for want of rows. */
WALK struct rule guess(struct walk *w, u8 otherwise)
{
	struct rule r = {.kind = RULE_FRAME};
	w->guess = otherwise;
	if (!w->guessed)
		w->guessed = otherwise;
	w->by_fp++;
	return r;
}

WALK struct rule without_rows(struct walk *w, u8 end)
{
	if (w->loading != WALK_END_LOADING)
		w->loading = end;
	return guess(w, end);
}

/* From registers in w->reg. */
WALK void resume_at(struct walk *w)
{
	w->pc = w->reg[WALK_ARM64 ? ARM64_PC : X86_PC];
	w->sp = w->reg[WALK_ARM64 ? ARM64_SP : X86_SP];
	w->fp = w->reg[WALK_ARM64 ? ARM64_FP : X86_FP];
	w->exact = w->fp_known = w->sp_known = 1;
}

/* The caller has filled reg and known, pid, mm_id, seconds and frames_max. */
WALK void walk_begin(struct walk *w, bool tables)
{
	resume_at(w);
	w->mapping.start = 0;
	w->mapping.pages = w->mapping.file_page = 0;
	w->n = w->by_fp = w->switches = w->zero = 0;
	w->need = w->guess = w->guessed = w->loading = 0;
	w->piece_bytes = 0;
	w->need_at = 0;
	w->end = WALK_END_NONE;
	w->place = 0;
	if (tables && !walk_process(w, &w->place)) {
		w->place = 0;
		w->need = NEED_PROCESS;
		w->loading = WALK_END_LOADING;
	}
}

#include "rows.bpf.h"

/* The last block of mappings of which one begins at or before PAGE; NULL: none. */
WALK const struct block *find_mappings(struct walk *w, u64 page)
{
	u32 first = PLACE_PAGE(w->place), size = MAPPING_PAGE_BLOCKS;
	u32 count = (PLACE_MAPPINGS(w->place) + MAPPINGS_PER_BLOCK - 1) / MAPPINGS_PER_BLOCK;
	u32 low = UNKNOWN(w), high = PAGE_OF_BLOCK(PAGE_MAPPINGS, count - 1) + UNKNOWN(w);
	const struct block *b;
	for (int i = 0; i < SEARCH_PAGES(PAGE_MAPPINGS) && low < high; i++) {
		u32 middle = (low + high + 1) / 2 + UNKNOWN(w);
		b = walk_page(w, PAGE_MAPPINGS, first + middle);
		if (!b)
			return 0;
		u32 above = not_above(b->words[0] & MAPPING_PAGE_MASK, page);
		low += above * (middle - low) + UNKNOWN(w);
		high = middle - 1 + above * (high - middle + 1) + UNKNOWN(w);
	}
	b = walk_page(w, PAGE_MAPPINGS, first + low);
	count -= low * size;
	return b ? search(
		       w, PAGE_MAPPINGS, b, 0, count < size ? count : size, MAPPING_PAGE_MASK, page)
		 : 0;
}

enum { FOUND, NOT_FOUND, CHANGED };

/*
 * The mapping of ADDRESS, a byte before w->pc or w->pc itself, into w->mapping, where who calls
 * has looked already. A mapping that begins at w->pc will do: where code has no byte before it, as the page
 * that a signal handler returns to, nothing was called from there.
 */
WALK int find_mapping(struct walk *w, u64 address)
{
	u64 page = address >> WALK_PAGE_SHIFT, last = w->pc >> WALK_PAGE_SHIFT, now = 0;
	int found = NOT_FOUND;
	const struct block *b = find_mappings(w, last);
	WALK_UNROLL
	for (int i = 0; b && i < MAPPINGS_PER_BLOCK; i++) {
		struct mapping m = {
		    b->words[2 * i], (u32)b->words[2 * i + 1], (u32)(b->words[2 * i + 1] >> 32)};
		if (page - MAPPING_PAGE(&m) < m.pages || last - MAPPING_PAGE(&m) < m.pages) {
			w->mapping = m;
			found = FOUND;
		}
	}
	return walk_process(w, &now) && now == w->place ? found : CHANGED;
}

APART(find_mapping)

/* Into w->word. True: what the rows were read from was replaced meanwhile, and the walk has ended. */
WALK int rule_of_file(struct walk *w, u64 address)
{
	u64 page = (address >> WALK_PAGE_SHIFT) - MAPPING_PAGE(&w->mapping) + w->mapping.file_page;
	u64 at = page << WALK_PAGE_SHIFT | (address & ((1 << WALK_PAGE_SHIFT) - 1));
	/* WINDOW_UNKNOWN lies beyond them all. */
	u32 index = MAPPING_WINDOW(&w->mapping) + (u32)(at >> WINDOW_SHIFT);
	struct window *window = walk_window(w, index);
	u64 place = window ? *(volatile u64 *)&window->place : 0;
	u32 state = PLACE_STATE(place);
	if (window && state == WINDOW_ROWS) {
		u64 word;
		if (!rule_of_window(w, window, index, (u32)at & (WINDOW_BYTES - 1), place, &word))
			return ended(w, WALK_END_REPLACED);
		/* Once a second at most, so that CPUs do not fight over it. */
		if (window->used != w->seconds)
			window->used = w->seconds;
		w->word = word;
	} else if (window && state == WINDOW_FRAME) {
		w->word = rule_word(guess(w, WALK_END_NO_ROWS));
	} else {
		missed(w, NEED_WINDOW, w->n - 1);
		w->word = rule_word(
		    without_rows(w, state == WINDOW_FULL ? WALK_END_FULL : WALK_END_LOADING));
	}
	return false;
}

APART(rule_of_file)

/*
 * A word of the stack. A call that reads user memory costs more than its bytes: it reads a piece, as far as the page
 * goes, and frames above have theirs from it. The copy of another task's stack is piece enough.
 */
WALK bool stack_word(struct walk *w, u64 *to, u64 at)
{
	u64 offset = at - w->piece_at;
	if (w->copy || at & 7)
		return walk_read(w, to, 8, at);
	if (offset >= w->piece_bytes) {
		u32 bytes = PIECE_ALIGN - (u32)at % PIECE_ALIGN;
		if (bytes > PIECE_BYTES)
			bytes = PIECE_BYTES;
		w->piece_bytes = 0;
		if (!walk_read(w, w->piece, bytes, at))
			return walk_read(w, to, 8, at);
		w->piece_at = at;
		w->piece_bytes = bytes;
		offset = 0;
	}
	*to = w->piece[offset / 8 % WALK_PIECE_WORDS];
	return true;
}

/* The CFA that RULE gives. False: it cannot be had, and the walk has ended. */
WALK bool find_cfa(struct walk *w, struct rule rule, u64 *cfa)
{
	s64 offset = rule.cfa;
	u64 base = w->sp;
	bool deref = rule.kind == RULE_SP_DEREF || rule.kind == RULE_FP_DEREF;
	if (rule.kind == RULE_FP || rule.kind == RULE_FP_DEREF) {
		if (!w->fp_known)
			return !failed(w, WALK_END_FP_LOST);
		base = w->fp;
	} else if (rule.kind == RULE_REGISTER) {
		if (!(w->known >> (rule.cfa & 31) & 1))
			return !failed(w, WALK_END_REGISTER);
		base = w->reg[rule.cfa & 31];
		offset >>= 8;
	} else if (rule.kind == RULE_PLT) {
		offset = (s64)(w->pc & 15) >= rule.cfa ? 16 : 8;
	} else if (rule.kind != RULE_SP && rule.kind != RULE_SP_DEREF) {
		return !failed(w, WALK_END_UNSUPPORTED);
	}
	if (deref) {
		if (!stack_word(w, w->raw, base + (u64)(offset >> 8)))
			return !lost(w, WALK_END_UNREADABLE);
		base = w->raw[0];
		offset = (s8)rule.cfa * 8;
	}
	*cfa = base + (u64)offset;
	return true;
}

/* Of a leaf, or what a signal interrupted. */
WALK bool ra_in_register(struct walk *w, struct rule rule)
{
	(void)w; /* where WALK_ARM64 does not ask it */
	return WALK_ARM64 ? (rule.how & 0xf0) == HOW_RA_IN_LR : HOW_RA_REGISTER(rule.how);
}

/*
 * The caller's frame pointer into w->fp, where RULE says that it was saved, and the return address into raw[1].
 * Without the frame pointer the walk goes on: many a caller has no need of it, and where gcc leaves a realigned stack
 * its rows still tell of one after it was restored.
 */
WALK bool find_saved(struct walk *w, struct rule rule, u64 cfa)
{
	u32 how_fp = rule.how & 15, how_ra = rule.how & 0xf0;
	bool saved = how_fp == HOW_FP_AT_CFA || how_fp == HOW_FP_AT_FP;
	if (how_fp == HOW_FP_AT_FP && !w->fp_known)
		return !failed(w, WALK_END_FP_LOST);
	u64 at = (how_fp == HOW_FP_AT_FP ? w->fp : cfa) + (u64)((s64)rule.fp * 8);
	u64 ra_at = !WALK_ARM64 ? cfa - 8 : how_ra == HOW_RA_PAIR ? at + 8 : at;
	if (how_fp != HOW_FP_SAME)
		w->fp_known = 0;
	if (saved && stack_word(w, w->raw, at)) {
		w->fp = w->raw[0];
		w->fp_known = 1;
	}
	if (ra_in_register(w, rule)) {
		u32 ra = WALK_ARM64 ? ARM64_LR : HOW_RA_REGISTER(rule.how);
		if (!(w->known >> ra & 1))
			return !failed(w, WALK_END_REGISTER);
		w->raw[1] = w->reg[ra];
	} else if (!stack_word(w, w->raw + 1, ra_at)) {
		/* A new thread may not have touched its stack. Of another task it is to be copied first. */
		bool begins = !w->copy && is_new_thread(w);
		return !lost(w, begins ? WALK_END_COMPLETE : WALK_END_UNREADABLE);
	}
	return true;
}

/* From the restorer that a handler returns to (exact: the kernel set it) to where a signal came. */
WALK bool leave_signal(struct walk *w)
{
	if (w->n > 1)
		walk_put(w, w->n - 1, w->pc | (u64)FRAME_EXACT << FRAME_PAYLOAD_BITS);
	if (WALK_ARM64) {
		if (!walk_read(w, w->reg, ARM64_SIGNAL_WORDS * 8, w->sp + ARM64_SIGNAL_AT))
			return lost(w, WALK_END_UNREADABLE);
	} else {
		if (!walk_read(w, w->raw, X86_SIGNAL_WORDS * 8, w->sp + X86_SIGNAL_AT))
			return lost(w, WALK_END_UNREADABLE);
#define X(dwarf, regs, signal) w->reg[dwarf] = w->raw[signal];
		X86_REGISTERS(X)
#undef X
	}
	w->known = WALK_KNOWN;
	resume_at(w);
	return false;
}

/* A pair of frame pointer and return address where the frame pointer points to. */
WALK bool frame_rule(struct walk *w, struct rule *rule)
{
	*rule = (struct rule){.cfa = 16, .fp = -2, .kind = RULE_FP, .how = HOW_FP_AT_CFA};
	if (WALK_ARM64)
		rule->how |= HOW_RA_PAIR;
	if (!w->fp_known)
		return !failed(w, WALK_END_FP_LOST);
	if (!w->fp)
		return !lost(w, WALK_END_NO_CALLER);
	if (w->guess && w->fp & 7)
		return !lost(w, WALK_END_NO_PROGRESS);
	return true;
}

/* From the frame at w->pc to its caller's, by the rule WORD. */
WALK int leave(struct walk *w, u64 word)
{
	struct rule rule = rule_of(word);
	u64 cfa;
	bool of_sp = rule.kind == RULE_SP || rule.kind == RULE_SP_DEREF;
	if (rule.kind == RULE_STOP)
		return ended(w, WALK_END_COMPLETE);
	if (rule.kind == RULE_SIGNAL)
		return leave_signal(w);
	if (rule.kind == RULE_NONE)
		rule = guess(w, WALK_END_NO_ROWS);
	else if (WALK_ARM64 && of_sp && !w->sp_known)
		rule = guess(w, WALK_END_FP_LOST);
	bool frame = rule.kind == RULE_FRAME;
	if (frame && !frame_rule(w, &rule))
		return true;
	if (!find_cfa(w, rule, &cfa))
		return true;
	/* A leaf whose return address is in a register may have nothing on the stack. */
	bool grows = cfa > w->sp || (ra_in_register(w, rule) && cfa == w->sp);
	/* Go's frame pointers lead from the system's stack to a goroutine's, often below. */
	if (!grows && (!frame || w->guess || ++w->switches > WALK_SWITCHES))
		return lost(w, WALK_END_NO_PROGRESS);
	if (!find_saved(w, rule, cfa))
		return true;
	u64 ra = w->raw[1];
	if (WALK_ARM64)
		ra &= (1ull << WALK_ADDRESS_BITS) - 1;
	/* Nobody called this frame, but that is for its code to say: code has such bugs as well. */
	if (!ra)
		return lost(w, is_new_thread(w) ? WALK_END_COMPLETE : WALK_END_NO_CALLER);
	w->pc = ra;
	w->sp = cfa;
	w->sp_known = !WALK_ARM64 || !frame;
	w->known = 0;
	w->exact = 0;
	return false;
}

APART(leave)

/* One frame: it is put into the record, and its caller looked for. True: the walk has ended. */
WALK bool walk_step(struct walk *w, bool apart)
{
	u64 address = w->pc - !w->exact;
	int found = NOT_FOUND;
	if (w->pc >> FRAME_PAYLOAD_BITS)
		return lost(w, WALK_END_NOT_CODE);
	if (w->place) {
		u64 page = (address >> WALK_PAGE_SHIFT) - MAPPING_PAGE(&w->mapping);
		found = page < w->mapping.pages ? FOUND : PART(find_mapping, w, address, apart);
		if (found == CHANGED)
			return ended(w, WALK_END_REPLACED);
		if (found == NOT_FOUND && w->guess)
			return ended(w, w->guess);
		if (found == FOUND && address >> WALK_PAGE_SHIFT < MAPPING_PAGE(&w->mapping))
			address = w->pc;
	}
	/* Without tables nobody tells where code is that was made. */
	if (w->guess && (w->place || w->loading) && !PART(plausible, w, w->pc, apart))
		return ended(w, w->guess);
	u64 kind = w->exact && w->n ? FRAME_EXACT : FRAME_RETURN;
	if (w->n >= w->frames_max || !walk_put(w, w->n, w->pc | kind << FRAME_PAYLOAD_BITS))
		return ended(w, WALK_END_TRUNCATED);
	w->n++;
	w->guess = 0;
	if (!w->place) {
		w->word = rule_word(
		    w->loading ? without_rows(w, w->loading) : guess(w, WALK_END_NO_ROWS));
	} else if (found == NOT_FOUND) {
		/* A file that was loaded since the table was written, perhaps. */
		missed(w, NEED_MAPPING, w->n - 1);
		if (w->n > 1)
			return lost(w, WALK_END_NOT_CODE);
		w->word = rule_word(without_rows(w, WALK_END_UNMAPPED));
	} else if (MAPPING_KIND(&w->mapping) == MAPPING_FILE) {
		if (PART(rule_of_file, w, address, apart))
			return true;
	} else if (MAPPING_KIND(&w->mapping) == MAPPING_ANON) {
		w->word = rule_word(guess(w, WALK_END_JIT));
	} else {
		w->word = rule_word(guess(w, WALK_END_NO_ROWS));
	}
	return PART(leave, w, w->word, apart);
}
