/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0 */
/*
 * The gate: of which blocks a stack is taken as they begin. Its aim is so many stacks of a CPU in GATE_NS; it spends
 * them where they tell most.
 *
 *   block ends --expect--> what the thread's next one will matter --gate--> how likely its stack is taken
 */
#pragma once
#include "thread.bpf.h"

/* Set before loading. */
const volatile u32 gate_least_us = 245; /* a fourth of off_min_ns: see gate_turn */
const volatile u32 gate_stacks = GATE_STACKS;
const volatile u32 off_every = 0; /* tests: the gate takes one of so many; 0: as it fits */

#define EXPECT_MOST 200000 /* us: then a look sees the block surely */

/*
 * The root of the mean square of what the last blocks were, those that are too short none of it,
 * and this one US: to take stacks as likely makes the least error with so many of them (Neyman
 * 1934), also where a few long waits are among many short ones.
 *
 *   sqrt(15/16 * EXPECT^2 + 1/16 * US^2), as the larger one or 7/8 of it and half the other
 */
static __always_inline u32 expect(u32 expect_us, u32 us)
{
	u32 old = (u32)((u64)expect_us * 31 / 32), new = us / 4;
	u32 large = old > new ? old : new, both = large - large / 8 + (old ^ new ^ large) / 2;
	return both > large ? both : large;
}

/* The gate takes a stack of one in US blocks that are expected to matter 1 us; US is not 0. */
static __always_inline void gate_set(struct scratch *x, u32 us)
{
	x->gate_us = us;
	x->gate_likely = (1ull << 32) / us;
}

/* So many stacks in GATE_NS. */
static __always_inline u64 gate_aim(void)
{
	u64 n = governed ? gate_stacks / rates_every() : gate_stacks;
	return n ? n : 1;
}

/*
 * The gate begins to count anew: as if what comes is what was. Blocks that are taken surely count
 * as one, however long they are, so that all others get what these leave. But what is hardly
 * expected to matter is not taken for want of better.
 */
static __always_inline void gate_turn(struct scratch *x, u64 now)
{
	u64 us = x->gate_sum / gate_aim();
	/* After a pause what was before says nothing. */
	bool fits = now >= x->gate_ns + GATE_NS || us < gate_least_us;
	gate_set(x, fits ? gate_least_us : (u32)us);
	x->gate_ns = now + GATE_NS;
	x->gate_sum = 0;
	count(KERNEL_SWITCHES, x->switches);
	x->switches = 0;
}

/*
 * Draws whether the block is one of those that are taken, LIKELY / 2^32 so: of a thread's blocks,
 * laid end to end by how likely they are, each turn of 2^32 has just one. So what a thread did for
 * a while has its share of the stacks, not by chance more or less; where in its turn the one is
 * is random, that nothing that comes again and again goes unseen.
 *
 *   |  block  |block|  block  | block |  ...    turn: how far the current one is; odd: it has its one
 *   |<---------- a turn ---------->|<--- ...
 *
 * A block over a turn's end has a part in both. The first turn takes it if it had none yet; else the
 * next may, RAN_OVER of the LIKELY that were left: both together are LIKELY, as the first had none
 * as often as LIKELY - RAN_OVER says.
 */
static __always_inline bool gate_draws(struct off *o, u32 likely, u32 random)
{
	u32 at = o->turn & ~1u, end = at + (likely & ~1u);
	bool had = o->turn & 1, taken;
	if (end >= at) {
		taken = !had && (random * ((1ull << 32) - at)) >> 32 < likely;
		had |= taken;
	} else {
		u32 ran_over = end;
		bool next = ((u64)random * at) >> 32 < ran_over;
		taken = !had || next;
		had = had && next;
	}
	o->turn = end | had;
	return taken;
}

/*
 * Does the gate take this block's stack? The more the block is expected to matter, the likelier, so
 * that all stacks stand for about as much, and that all together keep within the gate's aim.
 */
static __always_inline bool gate(struct scratch *x, struct off *o, u64 now)
{
	u32 us = o->expect_us + 1;
	x->switches++;
	if (now >= x->gate_ns)
		gate_turn(x, now);
	x->gate_sum += us < x->gate_us ? us : x->gate_us;
	if (x->gate_sum > 2 * gate_aim() * x->gate_us)
		gate_set(x, x->gate_us * 2);
	u64 likely = off_every ? GATE_SURE / off_every : us * x->gate_likely;
	o->gate = likely < GATE_SURE ? (u32)likely : GATE_SURE;
	/* Knuth's MMIX; a helper would cost more than all of this. */
	x->random = (x->random ^ now) * 6364136223846793005ull + 1442695040888963407ull;
	bool drawn = o->gate == GATE_SURE || gate_draws(o, o->gate, x->random >> 32);
	/* Blocks that are not drawn need to know too that they had no chance, but do not ask each time. */
	if (!drawn && !x->ring_full)
		return false;
	/* Half of the ring is left to times: a stack that is missing costs less than one of these. */
	x->ring_full = bpf_ringbuf_query(&ring, BPF_RB_AVAIL_DATA) >
		       bpf_ringbuf_query(&ring, BPF_RB_RING_SIZE) / 2;
	if (!x->ring_full)
		return drawn;
	o->gate = 0;
	if (drawn)
		count(KERNEL_GATE_LOST, 1);
	return false;
}
