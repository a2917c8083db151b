/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0 */
/* The one BPF object: maps and programs, each in a header of its own concern. */
#include "tables.bpf.h"
#include "take.bpf.h"
#include "cpu.bpf.h"
#include "task.bpf.h"
#include "name.bpf.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";
