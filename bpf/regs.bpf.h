/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0 */
/*
 * The user's registers of the task that a sample interrupted: those of the sample where the CPU ran
 * user code, else what the kernel put aside when it was entered, at the top of the task's kernel
 * stack. struct pt_regs begins like the one of the user ABI, 64-bit words:
 *
 *   x86-64  r15 r14 r13 r12 rbp rbx r11 r10 r9 r8 rax rcx rdx rsi rdi orig_rax rip cs flags rsp ss
 *   arm64   x0..x30 sp pc pstate
 *
 * They are read as whole words: where they are bit fields (x86-64 with FRED: cs) the verifier
 * refuses narrow reads of the sample's.
 */
#pragma once
#include <linux/bpf.h>
#include <stdbool.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>

#include "kernel_types.h"
#include "walk.h"

/* Set before loading. */
const volatile bool use_task_btf = false;      /* the kernel has bpf_get_current_task_btf (5.11) */
const volatile bool use_task_regs = false;     /* and bpf_task_pt_regs (5.15) */
const volatile u32 kernel_stack_bytes = 16384; /* of a task, for kernels that have not */

/*
 * Word I of a sample's registers. The verifier wants such a load to say its offset itself, which
 * the compiler, left alone, adds to the pointer first.
 */
#define OF_SAMPLE(regs, i)                                                                         \
	({                                                                                         \
		u64 v_;                                                                            \
		asm volatile("%0 = *(u64 *)(%1 + %2)" : "=r"(v_) : "r"(regs), "i"((i)*8));         \
		v_;                                                                                \
	})
#define OF_KERNEL(regs, i) ((regs)[i])

enum user_mode { MODE_KERNEL, MODE_USER, MODE_COMPAT };

#if defined(__TARGET_ARCH_arm64)
#define REGS_WORDS 34
#define REGS_MODE 33 /* pstate */
static __always_inline enum user_mode mode_of(u64 pstate)
{
	return pstate & 15 ? MODE_KERNEL : pstate & 16 ? MODE_COMPAT : MODE_USER;
}
#define COPY_REGISTERS(w, regs, word)                                                              \
	_Pragma("unroll") for (int i_ = 0; i_ < WALK_REGISTERS; i_++)(w)->reg[i_] = word(regs, i_)
#define KNOWN_IN_KERNEL WALK_KNOWN
#else
#define REGS_WORDS 21
#define REGS_MODE 17 /* cs: the low bits are the privilege, 0x23 is the segment of 32-bit code */
static __always_inline enum user_mode mode_of(u64 cs)
{
	return !(cs & 3) ? MODE_KERNEL : (cs & 0xffff) == 0x23 ? MODE_COMPAT : MODE_USER;
}
#define COPY_REGISTERS(w, regs, word)                                                              \
	do {                                                                                       \
		X86_REGISTERS(COPY_REGISTER, w, regs, word)                                        \
	} while (0)
#define COPY_REGISTER(dwarf, index, signal, w, regs, word) (w)->reg[dwarf] = word(regs, index);
/* The syscall instruction itself overwrites rcx (2) and r11. */
#define KNOWN_IN_KERNEL (WALK_KNOWN & ~(1ull << 2 | 1ull << 11))
#endif

/* Where the kernel put TASK's user registers aside. Of another task than the current one its type
 * must be known. */
static __always_inline const void *task_regs(struct task_struct *task)
{
	if (use_task_regs)
		return (const void *)bpf_task_pt_regs(task);
	return BPF_CORE_READ(task, stack) + kernel_stack_bytes - bpf_core_type_size(struct pt_regs);
}

/*
 * Fills reg and known of W. REGS are those of the sample, IN_USER says that they are the user's.
 * MODE_KERNEL: there are none.
 */
static __always_inline enum user_mode user_registers(
    struct walk *w, const u64 *regs, bool in_user, struct task_struct *task)
{
	enum user_mode mode;
	if (in_user) {
		mode = mode_of(OF_SAMPLE(regs, REGS_MODE));
		COPY_REGISTERS(w, regs, OF_SAMPLE);
		w->known = WALK_KNOWN;
	} else {
		if (bpf_probe_read_kernel(w->raw, 8 * REGS_WORDS, task_regs(task)))
			return MODE_KERNEL;
		mode = mode_of(w->raw[REGS_MODE]);
		COPY_REGISTERS(w, w->raw, OF_KERNEL);
		w->known = KNOWN_IN_KERNEL;
	}
	return mode;
}
