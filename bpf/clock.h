/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0 */
/*
 * The scheduler's clock of a CPU as CLOCK_MONOTONIC, which only a helper knows. How far the two are apart is found
 * anew each CLOCK_NS. It compiles in user space too, where it is tested.
 *
 *   the scheduler's    |--since--|      of a switch: read before now, so it lies in the past, never in the future
 *   CLOCK_MONOTONIC    |---------|~~|   ~~ what went by until it was asked: it makes them seem further apart
 *
 * So of what was found the least is true. Further apart they get only as far as clocks drift while one of them is set
 * right; what seems to be more is believed when so many in a row say so, for then one is set right faster than that.
 */
#pragma once
#include <stdbool.h>
#include "types.h"

#define CLOCK_NS 1000000
#define CLOCK_DRIFT 2000 /* nanoseconds in which clocks drift one apart */
#define CLOCK_DOUBTS 8

struct switch_clock {
	u64 clock_ns, apart_ns; /* of the scheduler's clock: when that was found; 0: never */
	u64 more_ns;		/* by what was not believed in a row, at least */
	u64 doubts;		/* so many */
};

static inline bool clock_is_due(const struct switch_clock *c, u64 clock)
{
	return clock - c->clock_ns >= CLOCK_NS;
}

/* The scheduler's clock tells CLOCK; asked later, CLOCK_MONOTONIC told NOW. */
static inline void clock_found(struct switch_clock *c, u64 clock, u64 now)
{
	u64 apart = now - clock, most = c->apart_ns + (clock - c->clock_ns) / CLOCK_DRIFT;
	u64 more = apart - most;
	if (!c->clock_ns || (s64)more <= 0) {
		c->apart_ns = apart;
		c->doubts = 0;
	} else {
		c->apart_ns = most;
		if (!c->doubts || more < c->more_ns)
			c->more_ns = more;
		if (++c->doubts == CLOCK_DOUBTS) {
			c->apart_ns += c->more_ns;
			c->doubts = 0;
		}
	}
	c->clock_ns = clock;
}
