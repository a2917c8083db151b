// SPDX-License-Identifier: Apache-2.0
// The kernel's side of the hall: which samples are taken, and the tables of the walker.
#pragma once
#include "hall.h"

#define OFF_CPU (1u << PATH_OFF_CPU | 1u << PATH_WALL | 1u << PATH_MUTEX) // what needs it

// How often the CPU's clock ticks: for cpu, or where only wall wants it, for that; a capture is
// asked for one rate, whatever it is of. Between two ticks of the CPU's clock for TYPES (1 << enum
// path_type), ns; 0: there are none. CAPTURE: of one, not of the agent.
uint64_t sampling_cpu_ns(const struct config *c, uint32_t types, bool capture);
uint64_t sampling_memory_bytes(const struct hall *h); // that become resident between two stacks
// Makes h->kernel and h->unwind, whose options, types, filter and path are there. 0; or an exit
// status, with one line in WHY.
int sampling_open(struct hall *h, char *why, size_t size);
// WHY: WHAT and the text of ERROR; gives STATUS.
int hall_fail(char *why, size_t size, int status, const char *what, int error);
