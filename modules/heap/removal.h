// SPDX-License-Identifier: Apache-2.0
// Probes that come off: for each link the kernel waits until nobody runs in them, 30 ms and more,
// so that errands let them go.
#pragma once
#include "../kernel/kernel.h"

#include <stdbool.h>
#include <stdint.h>

struct removal;
struct removals {
	struct loop *loop;	      // NULL: they come off at once, while everything waits
	struct removal *first, *last; // in the order in which they were added
	uint32_t count, going;
	void (*done)(void *arg, uint32_t pid); // the last of PID is off
	void *arg;
};

// Takes over the LINKS of PID, which are none any more. DONE comes from the loop, never from here.
void removals_add(struct removals *r, uint32_t pid, int links[KERNEL_PROBE_LINKS]);
bool removals_has(const struct removals *r, uint32_t pid); // some are still on
void removals_end(struct removals *r);			   // all are off then
