/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0 */
/* DOWN: what a look at all threads is told, one element of a mapped array. */
#pragma once
#include "types.h"

#define LOOK_NS 200000000ull /* between the beginnings of two looks */
#define GATE_NS 100000000ull /* the gate counts so long, and aims at so many stacks of a CPU */
#define GATE_STACKS 20	     /* at least */
/* A look's own room: stacks are copied in pieces of so many bytes, at most so many of a stack. */
#define LOOK_COPY 4096
#define LOOK_COPIES 64
#define LOOK_CODE 16 /* bytes of code around a return address, behind the piece */

enum look_again {
	LOOK_ANEW,     /* stacks of those that have none */
	LOOK_LACKING,  /* only again, of those that lacked rows */
	LOOK_WHATEVER, /* only again, of all: what user space had was let go */
};

struct look_control {
	u64 since_ns;	/* a thread that was never seen before has been off its CPU since then */
	u64 first_ns;	/* all threads are followed since then */
	u64 pause_ns;	/* then the look makes a pause: it writes a head of kind 0 */
	u64 until_ns;	/* not 0: what comes later is left, and up to then also the time of blocks
			   that go on, and what no stack bears */
	u64 drained_ns; /* stacks of blocks that began before then have left the ring */
	u64 full;	/* 1: no room for more threads */
	u64 again;	/* enum look_again */
};
