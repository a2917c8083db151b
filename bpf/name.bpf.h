/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0 */
/*
 * Names of kernel addresses, asked of the kernel itself: "name+0xOFFSET/0xSIZE [module]" each,
 * about a microsecond, where a pass over /proc/kallsyms takes 50 to 100 ms. Run from user space, by
 * itself.
 */
#pragma once
#include "take.bpf.h"

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct kernel_names);
} names SEC(".maps");

SEC("syscall")
int name_kernel(void *ctx)
{
	u32 zero = 0;
	struct kernel_names *n = bpf_map_lookup_elem(&names, &zero);
	if (!n)
		return 1;
	for (u32 i = 0; i < KERNEL_NAMES_MAX; i++) {
		u64 address = n->address[i];
		if (address)
			BPF_SNPRINTF(n->text[i], sizeof(n->text[i]), "%pS", address);
	}
	return 0;
}
