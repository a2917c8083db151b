/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0 */
/* The one BPF object: maps and programs, each in a header of its own concern. */
#include "tables.bpf.h"
#include "take.bpf.h"
#include "cpu.bpf.h"
#include "memory.bpf.h"
#include "mapped.bpf.h"
#include "task.bpf.h"
#include "name.bpf.h"
#include "off.bpf.h"
#include "look.bpf.h"
#include "wake.bpf.h"
#include "lock.bpf.h"
#include "alloc.bpf.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";
