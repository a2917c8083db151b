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
 *   bool walk_put(W, n, frame)                     frame N of the record; false: no room
 *   struct process_slot *walk_process(W, &place)   of W->pid, W->mm_id; NULL: none
 *   struct window *walk_window(W, index)           NULL: none
 *   struct block *walk_page(W, kind, page)         NULL: not there (any more)
 *   struct recent_row *walk_recent(W, slot)        NULL: none
 *
 * The verifier follows every path of a program for all values that a register may have, unless that
 * no longer matters. So what is carried from one turn of a loop to the next lies in memory, of
 * which it knows nothing, or never becomes a part of an address.
 */
#pragma once
#include <stdbool.h>
#include "walk.h"

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
#define SAVED_BYTES 128 /* from a saved frame pointer to the return address, read at once */
/* Registers that a frame has whose code was interrupted, a bit each. */
#define WALK_KNOWN (WALK_ARM64 ? 0xffffffffull : 0xffffull)
#define MAPPING_PAGE_MASK ((1ull << 45) - 1)

/* Where the kernel's rt_sigframe has the registers, from sp at its end (the restorer). */
#define X86_SIGNAL_AT 40
#define X86_SIGNAL_WORDS 17
#define ARM64_SIGNAL_AT 312
#define ARM64_SIGNAL_WORDS 33

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
	w->need_at = 0;
	w->end = WALK_END_NONE;
	w->place = 0;
	if (tables && !walk_process(w, &w->place)) {
		w->place = 0;
		w->need = NEED_PROCESS;
		w->loading = WALK_END_LOADING;
	}
}

/* The last of blocks [LOW, HIGH) of PAGE whose first word under MASK is not above KEY; NULL: none.
 */
WALK const struct block *search(struct walk *w, enum page_kind kind, const struct block *page,
    u32 low, u32 high, u64 mask, u64 key)
{
	low += UNKNOWN(w);
	high += UNKNOWN(w);
	u32 bottom = low;
	for (int i = 0; i < SEARCH_BLOCKS(kind) && low < high; i++) {
		u32 middle = (low + high) / 2 + UNKNOWN(w);
		if (middle >= PAGE_BLOCKS(kind))
			return 0;
		if ((page[middle].words[0] & mask) <= key)
			low = middle + 1;
		else
			high = middle;
	}
	u32 last = low - 1 + UNKNOWN(w);
	return low > bottom && last < PAGE_BLOCKS(kind) ? page + last : 0;
}

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
		if ((b->words[0] & MAPPING_PAGE_MASK) <= page)
			low = middle;
		else
			high = middle - 1 + UNKNOWN(w);
	}
	b = walk_page(w, PAGE_MAPPINGS, first + low);
	count -= low * size;
	return b ? search(
		       w, PAGE_MAPPINGS, b, 0, count < size ? count : size, MAPPING_PAGE_MASK, page)
		 : 0;
}

enum { FOUND, NOT_FOUND, CHANGED };

/*
 * The mapping of ADDRESS, a byte before w->pc or w->pc itself, into w->mapping, where it often is
 * already. A mapping that begins at w->pc will do: where code has no byte before it, as the page
 * that a signal handler returns to, nothing was called from there.
 */
WALK int find_mapping(struct walk *w, u64 address)
{
	u64 page = address >> WALK_PAGE_SHIFT, last = w->pc >> WALK_PAGE_SHIFT, now = 0;
	int found = NOT_FOUND;
	if (page - MAPPING_PAGE(&w->mapping) < w->mapping.pages)
		return FOUND;
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

/*
 * The number of the rule that a block of rows has for OFFSET (from the block's base), RULES_MAX or
 * more: none. `at` stays within the block whatever is written in it; 0: behind its end.
 */
WALK u32 row_in(struct walk *w, const struct block *b, u32 offset)
{
	u32 at = (ROWS_STREAM + UNKNOWN(w)) % BLOCK_BYTES, delta = 0, rule = RULES_MAX;
	for (int i = 0; i < ROWS_PER_BLOCK && delta <= offset; i++) {
		offset -= delta;
		rule = b->bytes[at];
		at = (at + 1) % BLOCK_BYTES;
		if (rule == ESCAPE) {
			rule = b->bytes[at] | (u32)b->bytes[(at + 1) % BLOCK_BYTES] << 8;
			at = (at + 2) % BLOCK_BYTES;
		}
		delta = b->bytes[at];
		if (!at || !delta)
			break;
		at = (at + 1) % BLOCK_BYTES;
		if (delta == ESCAPE) {
			delta = b->bytes[at] | (u32)b->bytes[(at + 1) % BLOCK_BYTES] << 8;
			at = (at + 2) % BLOCK_BYTES;
		}
	}
	return rule;
}

/* By the index in page ROOT: the last of the rows' COUNT pages that has a row for OFFSET. */
WALK u32 page_of_row(struct walk *w, const struct block *root, u32 count, u32 offset)
{
	u32 low = UNKNOWN(w), high = count - 1 + UNKNOWN(w);
	for (int i = 0; i < SEARCH_PAGES(PAGE_ROWS) && low < high; i++) {
		u32 middle = (low + high + 1) / 2 + UNKNOWN(w), at = middle - 1;
		if (at >= ROW_PAGE_BLOCKS * BASES_PER_BLOCK)
			return 0;
		if (root[at / BASES_PER_BLOCK].bases[at % BASES_PER_BLOCK] <= offset)
			low = middle + UNKNOWN(w);
		else
			high = at + UNKNOWN(w);
	}
	return low;
}

/* The rule that the rows at PLACE have for OFFSET in their window, as a word. */
WALK u64 find_row(struct walk *w, u64 place, u32 offset)
{
	u32 first = PLACE_PAGE(place), index = PLACE_INDEX(place), rules = PLACE_RULES(place);
	u32 from = index + rules, end = from + PLACE_ROWS(place);
	const struct block *root = walk_page(w, PAGE_ROWS, first), *b = root;
	if (!root)
		return 0;
	u32 page = page_of_row(w, root, PAGE_OF_BLOCK(PAGE_ROWS, end - 1) + 1, offset);
	u32 start = page * ROW_PAGE_BLOCKS;
	if (page)
		b = walk_page(w, PAGE_ROWS, first + page);
	if (b)
		b = search(w, PAGE_ROWS, b, from > start ? from - start : 0,
		    end - start < ROW_PAGE_BLOCKS ? end - start : ROW_PAGE_BLOCKS, 0xffffffff,
		    offset);
	if (!b)
		return 0;
	*(volatile u16 *)&w->rule = (u16)row_in(w, b, offset - (u32)b->words[0]);
	u32 rule = *(volatile u16 *)&w->rule, at = rule / RULES_PER_BLOCK;
	if (at >= rules)
		return 0;
	at += index;
	page = PAGE_OF_BLOCK(PAGE_ROWS, at);
	at -= page * ROW_PAGE_BLOCKS;
	b = page ? walk_page(w, PAGE_ROWS, first + page) : root;
	return b && at < ROW_PAGE_BLOCKS ? b[at].words[rule % RULES_PER_BLOCK] : 0;
}

/* The rule for OFFSET in WINDOW, whose number is INDEX, as a word. False: the rows were replaced meanwhile. */
WALK bool rule_of_window(
    struct walk *w, const struct window *window, u32 index, u32 offset, u64 place, u64 *word)
{
	u64 hash = recent_hash(index, offset, *(const volatile u32 *)&window->generation);
	struct recent_row *recent = walk_recent(w, RECENT_SLOT(hash));
	u64 rule = recent ? *(volatile u64 *)&recent->rule : 0;
	if (recent && (*(volatile u64 *)&recent->check ^ rule) == hash) {
		*word = rule;
		return true;
	}
	*word = find_row(w, place, offset);
	if (*(const volatile u64 *)&window->place != place)
		return false;
	if (recent) {
		*(volatile u64 *)&recent->check = hash ^ *word;
		*(volatile u64 *)&recent->rule = *word;
	}
	return true;
}

/* False: what the rows were read from was replaced meanwhile, and the walk has ended. */
WALK bool rule_of_file(struct walk *w, u64 address, struct rule *rule)
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
			return !ended(w, WALK_END_REPLACED);
		/* Once a second at most, so that CPUs do not fight over it. */
		if (window->used != w->seconds)
			window->used = w->seconds;
		*rule =
		    (struct rule){(s32)word, (s16)(word >> 32), (u8)(word >> 48), (u8)(word >> 56)};
	} else if (window && state == WINDOW_FRAME) {
		*rule = guess(w, WALK_END_NO_ROWS);
	} else {
		missed(w, NEED_WINDOW, w->n - 1);
		*rule = without_rows(w, state == WINDOW_FULL ? WALK_END_FULL : WALK_END_LOADING);
	}
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
		if (!walk_read(w, w->raw, 8, base + (u64)(offset >> 8)))
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
 * The caller's frame pointer into w->fp, where RULE says that it was saved, and the return address
 * into raw[1]. They mostly lie close together and are read at once: the calls cost more than the
 * bytes. Without the frame pointer the walk goes on: many a caller has no need of it, and where gcc
 * leaves a realigned stack its rows still tell of one after it was restored.
 */
WALK bool find_saved(struct walk *w, struct rule rule, u64 cfa)
{
	u32 how_fp = rule.how & 15, how_ra = rule.how & 0xf0;
	bool saved = how_fp == HOW_FP_AT_CFA || how_fp == HOW_FP_AT_FP;
	bool in_register = ra_in_register(w, rule);
	if (how_fp == HOW_FP_AT_FP && !w->fp_known)
		return !failed(w, WALK_END_FP_LOST);
	u64 at = (how_fp == HOW_FP_AT_FP ? w->fp : cfa) + (u64)((s64)rule.fp * 8);
	u64 ra_at = !WALK_ARM64 ? cfa - 8 : how_ra == HOW_RA_PAIR ? at + 8 : at;
	u64 size = ra_at + 8 - at;
	if (how_fp != HOW_FP_SAME)
		w->fp_known = 0;
	if (saved && !in_register && size >= 16 && size <= SAVED_BYTES && !(size & 7) &&
	    walk_read(w, w->raw, (u32)size, at)) {
		w->raw[1] = w->raw[size / 8 - 1];
		w->fp = w->raw[0];
		w->fp_known = 1;
		return true;
	}
	if (saved && walk_read(w, w->raw, 8, at)) {
		w->fp = w->raw[0];
		w->fp_known = 1;
	}
	if (in_register) {
		u32 ra = WALK_ARM64 ? ARM64_LR : HOW_RA_REGISTER(rule.how);
		if (!(w->known >> ra & 1))
			return !failed(w, WALK_END_REGISTER);
		w->raw[1] = w->reg[ra];
	} else if (!walk_read(w, w->raw + 1, 8, ra_at)) {
		return !lost(w, WALK_END_UNREADABLE);
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

/* From the frame at w->pc to its caller's. */
WALK bool leave(struct walk *w, struct rule rule)
{
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

/* One frame: it is put into the record, and its caller looked for. True: the walk has ended. */
WALK bool walk_step(struct walk *w)
{
	u64 address = w->pc - !w->exact;
	int found = NOT_FOUND;
	if (w->pc >> FRAME_PAYLOAD_BITS)
		return lost(w, WALK_END_NOT_CODE);
	if (w->place) {
		found = find_mapping(w, address);
		if (found == CHANGED)
			return ended(w, WALK_END_REPLACED);
		if (found == NOT_FOUND && w->guess)
			return ended(w, w->guess);
		if (found == FOUND && address >> WALK_PAGE_SHIFT < MAPPING_PAGE(&w->mapping))
			address = w->pc;
	}
	/* Without tables nobody tells where code is that was made. */
	if (w->guess && (w->place || w->loading) && !plausible(w))
		return ended(w, w->guess);
	u64 kind = w->exact && w->n ? FRAME_EXACT : FRAME_RETURN;
	if (w->n >= w->frames_max || !walk_put(w, w->n, w->pc | kind << FRAME_PAYLOAD_BITS))
		return ended(w, WALK_END_TRUNCATED);
	w->n++;
	w->guess = 0;
	struct rule rule;
	if (!w->place) {
		rule = w->loading ? without_rows(w, w->loading) : guess(w, WALK_END_NO_ROWS);
	} else if (found == NOT_FOUND) {
		/* A file that was loaded since the table was written, perhaps. */
		missed(w, NEED_MAPPING, w->n - 1);
		if (w->n > 1)
			return lost(w, WALK_END_NOT_CODE);
		rule = without_rows(w, WALK_END_UNMAPPED);
	} else if (MAPPING_KIND(&w->mapping) == MAPPING_FILE) {
		if (!rule_of_file(w, address, &rule))
			return true;
	} else if (MAPPING_KIND(&w->mapping) == MAPPING_ANON) {
		rule = guess(w, WALK_END_JIT);
	} else {
		rule = guess(w, WALK_END_NO_ROWS);
	}
	return leave(w, rule);
}
