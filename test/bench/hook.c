// SPDX-License-Identifier: Apache-2.0
// A BPF program that does nothing at each switch between threads, until it is ended: what whoever
// follows switches pays before any work of their own.
#include <linux/bpf.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

int main(void)
{
	const struct bpf_insn nothing[] = {
	    {.code = BPF_ALU64 | BPF_MOV | BPF_K}, {.code = BPF_JMP | BPF_EXIT}};
	union bpf_attr load = {.prog_type = BPF_PROG_TYPE_RAW_TRACEPOINT,
	    .insns = (__u64)nothing,
	    .insn_cnt = sizeof(nothing) / sizeof(*nothing),
	    .license = (__u64) "GPL"};
	int program = (int)syscall(SYS_bpf, BPF_PROG_LOAD, &load, sizeof(load));
	union bpf_attr open = {
	    .raw_tracepoint = {.name = (__u64) "sched_switch", .prog_fd = (__u32)program}};
	if (program < 0 || syscall(SYS_bpf, BPF_RAW_TRACEPOINT_OPEN, &open, sizeof(open)) < 0) {
		perror("sched_switch");
		return 1;
	}
	pause();
	return 0;
}
