// SPDX-License-Identifier: Apache-2.0
// The clocks, in nanoseconds. Tests replace them with clock_fake.
#pragma once
#include <stdint.h>

uint64_t clock_now(void);  // CLOCK_MONOTONIC: what BPF's bpf_ktime_get_ns counts too
uint64_t clock_boot(void); // CLOCK_BOOTTIME: clock_now and the time that the machine was suspended
uint64_t clock_wall(void); // CLOCK_REALTIME: since 1970
uint64_t clock_cpu(
    void); // CPU time of this thread: our own work, whoever else had the CPU meanwhile
// From now on the clocks stand at *MONOTONIC and *WALL (both NULL: the real ones again).
void clock_fake(const uint64_t *monotonic, const uint64_t *wall);

#define NS_PER_S 1000000000ull
#define NS_PER_MS 1000000ull
#define NS_PER_US 1000ull
