/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0 */
/*
 * A walk over a user stack, and where BPF keeps it while it builds the sample: per CPU, for 512
 * bytes of BPF stack are too few.
 *
 *   scratch[cpu] = { busy, walking, wake_ns, memory, gate, walk, record_sample, frames }
 */
#pragma once
#include "clock.h"
#include "record.h"
#include "table.h"

/* DWARF's numbers: x86-64 0..15 and rip; arm64 x0..x30, sp, and here pc. */
#define WALK_REGISTERS 33
enum {
	X86_FP = 6,
	X86_SP = 7,
	X86_PC = 16,
	ARM64_FP = 29,
	ARM64_LR = 30,
	ARM64_SP = 31,
	ARM64_PC = 32,
};

/* x86-64: DWARF's number, index in the kernel's pt_regs, index in the signal frame. */
#define X86_REGISTERS(X, ...)                                                                      \
	X(0, 10, 13, ##__VA_ARGS__)                                                                \
	X(1, 12, 12, ##__VA_ARGS__)                                                                \
	X(2, 11, 14, ##__VA_ARGS__)                                                                \
	X(3, 5, 11, ##__VA_ARGS__)                                                                 \
	X(4, 13, 9, ##__VA_ARGS__)                                                                 \
	X(5, 14, 8, ##__VA_ARGS__)                                                                 \
	X(6, 4, 10, ##__VA_ARGS__)                                                                 \
	X(7, 19, 15, ##__VA_ARGS__)                                                                \
	X(8, 9, 0, ##__VA_ARGS__)                                                                  \
	X(9, 8, 1, ##__VA_ARGS__)                                                                  \
	X(10, 7, 2, ##__VA_ARGS__)                                                                 \
	X(11, 6, 3, ##__VA_ARGS__)                                                                 \
	X(12, 3, 4, ##__VA_ARGS__)                                                                 \
	X(13, 2, 5, ##__VA_ARGS__)                                                                 \
	X(14, 1, 6, ##__VA_ARGS__)                                                                 \
	X(15, 0, 7, ##__VA_ARGS__)                                                                 \
	X(16, 16, 16, ##__VA_ARGS__)

#define WALK_PIECE_WORDS 64
struct walk {
	u64 reg[WALK_REGISTERS]; /* of the innermost frame, or of one that a signal interrupted */
	u64 known;		 /* bit per register: the frame being left still has it */
	u64 raw[WALK_REGISTERS + 1]; /* what was read last: registers, a saved pair */
	u64 piece[WALK_PIECE_WORDS]; /* of the stack, from piece_at on */
	u64 piece_at, piece_bytes;
	u64 pc, sp, fp;		     /* of the frame being left */
	u64 frame;		     /* the last one found, as the record has it */
	u64 place;		     /* of the process; 0: not in the table */
	struct mapping mapping;	     /* the last one found */
	u32 pid, mm_id;
	u32 seconds;	/* now, for window.used */
	u32 frames_max; /* at most FRAMES_MAX */
	u32 n;		/* frames found */
	u32 by_fp;	/* of their callers: found by frame pointer for want of rows */
	u32 switches;	/* times that a frame pointer led to another stack */
	u32 zero;	/* always; the verifier does not know that */
	u64 copy;	/* of a part of the stack, where that is not the current task's; else 0 */
	u64 copy_at, copy_bytes; /* what it is of */
	u64 missed_at;		 /* an address that was wanted outside of it; 0: none */
	u64 task;		 /* whose walk it is, while it begins */
	u64 word;		 /* the rule of the frame being left */
	u64 code_at, missed_code; /* likewise of the code that lies behind the copy */
	u16 rule;		 /* the rule's number, on its way through memory: see row_in */
	u16 need_at;		 /* as in record_sample */
	u8 need, end;		 /* likewise; end: enum walk_end, valid when a step returned 1 */
	u8 exact;		 /* pc is where the CPU was: no call lies before it */
	u8 fp_known;
	u8 sp_known; /* arm64: a frame pointer says where a frame is, not where it ends */
	u8 guess;    /* the end of the walk where pc, found by frame pointer, is no code; 0: none */
	u8 guessed;  /* the first guess of the walk */
	u8 loading;  /* rows were not there: what the walk's end is called then; 0: all were */
	u8 pad[4];
};

struct scratch {
	u32 busy;    /* a sample is being taken; guards against one that interrupts it */
	u32 walking; /* its user stack is to be walked */
	u64 wake_ns; /* from then on a sample may wake user space again */
	u64 memory_bytes; /* in no sample yet, see memory.bpf.h */
	/* see gate.bpf.h */
	u64 gate_ns, gate_likely;
	u32 gate_us, gate_sum;
	u64 switches, random;
	u32 ticks, pick; /* of those that one stands for: seen so far, and the one that is taken */
	u32 runs;	 /* of off_switch */
	u64 wakers_until_ns; /* see wake.bpf.h */
	u32 wakers, ring_full; /* the latter: see gate.bpf.h */
	u64 growths_until_ns; /* see mapped.bpf.h */
	u64 growths;
	struct switch_clock clock;
	struct walk walk;
	u64 words[]; /* a record_sample with its frames */
};

#define SCRATCH_SIZE(user_frames)                                                                  \
	(sizeof(struct scratch) + sizeof(struct record_sample) +                                   \
	    8 * (KERNEL_FRAMES_MAX + (user_frames)))
