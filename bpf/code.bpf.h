/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0 */
/*
 * What code says to the walker (walk.bpf.h, which includes this) where no rows do: a few bytes of
 * it around an address tell whether it may be returned to, or is where a thread begins.
 */
#pragma once

/*
 * Do these 8 bytes of code end with an instruction that calls? x86-64 (Intel's manual, CALL and
 * 2.1.5): E8 rel32, or FF /2, whose size its ModRM tells; prefixes lie before. arm64: BL, BLR, and
 * BLRAA and its like, that authenticate.
 */
WALK bool ends_in_call(struct walk *w, u64 code)
{
	/* Of FF /2: the ModRM without its middle, a bit each, that may begin so many bytes. */
	static const u32 of_size[8] = {
	    [2] = 0xff0000cf, [3] = 0xef10, [4] = 0x1000, [6] = 0xef0020, [7] = 0x100010};
	(void)w;
	if (WALK_ARM64) {
		u32 word = (u32)(code >> 32);
		return word >> 26 == 0x25 || (word & 0xfffffc1f) == 0xd63f0000 ||
		       (word & 0xfffff81f) == 0xd63f081f || (word & 0xfffff800) == 0xd73f0800;
	}
	WALK_UNROLL
	for (u32 size = 2; size < 8; size++) {
		u32 at = (u32)(code >> (64 - 8 * size)), modrm = at >> 8 & 0xff;
		/* One jump each, for the verifier goes both ways. */
		if (!(((at & 0x38ff) ^ 0x10ff) |
			(~(of_size[size] >> (modrm >> 6 << 3 | (modrm & 7))) & 1)))
			return true;
	}
	return (code >> 24 & 0xff) == 0xe8;
}

/*
 * Code at PC that is returned to though no call lies in the 8 bytes BEFORE it: the way back from
 * a signal and the start of a coroutine, as modules/unwind/state.c has them, and that of a
 * goroutine: nop (arm64: mov x0, x0), then a call that does not return.
 */
WALK bool only_returned_to(struct walk *w, u64 before, u64 pc)
{
	if (!walk_code(w, w->raw, pc))
		return false;
	u64 code = w->raw[0];
	if (WALK_ARM64)
		return code == 0xd4000001d2801168 || code == 0xaa1303e0d503201f ||
		       (before >> 32 == 0xaa0003e0 && (code >> 26 & 63) == 0x25);
	return code == 0x0f0000000fc0c748 || code == 0x48243c8b48dc8948 ||
	       code == 0x48dc8948fa1e0ff3 ||
	       (before >> 56 == 0x90 && (code & 0xff00000000ff) == 0x9000000000e8);
}

/*
 * Is PC, which was guessed, an address that may be returned to? What cannot be read is none. The
 * interpreters of run times leave other addresses than those behind calls, all in code that they
 * made.
 */
WALK int plausible(struct walk *w, u64 pc)
{
	u64 before = 0;
	if (w->guess == WALK_END_JIT && MAPPING_KIND(&w->mapping) == MAPPING_ANON)
		return true;
	if (walk_code(w, w->raw, pc - 8))
		before = w->raw[0];
	return ends_in_call(w, before) || only_returned_to(w, before, pc);
}

APART(plausible)

/*
 * A thread begins behind the system call that made it, which gave 0, on a stack with nothing on it.
 * What the C library does next is to tell it from its parent, in an instruction or two.
 */
WALK bool is_new_thread(struct walk *w)
{
	if (w->n != 1 || w->reg[0] || !walk_code(w, w->raw, w->pc - 8))
		return false;
	u64 code = w->raw[0];
	if (WALK_ARM64)
		return code >> 32 == 0xd4000001 || (u32)code == 0xd4000001;
	WALK_UNROLL
	for (int i = 0; i < 7; i++)
		if ((code >> 8 * i & 0xffff) == 0x050f)
			return true;
	return false;
}
