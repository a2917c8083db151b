/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0 */
/* DOWN: how often stacks are taken, one element of a mapped array. Only where the agent's CPU has a limit. */
#pragma once
#include "types.h"

/*
 * What comes by a rate comes at 1/every of it, and bears as many times as much:
 *
 *   ticks of the CPU's clock   one of so many on each CPU is taken by chance, and bears the time of all of them
 *   samples of memory          one of so many is taken by chance, and bears that many times its bytes
 *   stacks at switches         the gate aims at so many fewer: each tells how likely it was
 *   looks at blocked threads   so many times as far apart: likewise
 */
struct rates {
	u64 every; /* 1: full rates */
};
#define RATES_LEAST 64 /* every, at most */
