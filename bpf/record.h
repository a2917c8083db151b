/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0 */
/*
 * UP: everything the kernel tells us. One ring carries records of these kinds, each a `struct
 * record` head and the rest by kind; sizes are multiples of 8.
 *
 *   | head 16 B | fixed part by kind | variable part (frames, path) |
 *
 * RECORD_EXEC and RECORD_MMAP are made by modules/kernel from perf's own events; they never pass
 * the ring. A fork says nothing that the child's first sample (with its parent's id) does not.
 */
#pragma once
#include "counter.h"
#include "reason.h"
#include "types.h"

#pragma GCC diagnostic push
#pragma GCC diagnostic error "-Wpadded"

enum record_kind {
	RECORD_SAMPLE = 1,
	RECORD_EXEC,
	RECORD_EXIT,
	RECORD_MMAP,
	RECORD_BLOCK,
	RECORD_FREE,
};

/* What a sample measures. */
enum sample_source {
	SOURCE_CPU,	/* value: nanoseconds */
	SOURCE_OFF_CPU, /* value: see record_block */
	SOURCE_MEMORY,	/* value: bytes that became resident */
	SOURCE_LOCK,	/* value: nanoseconds that it waited for a lock of the kernel */
	SOURCE_ALLOC,	/* value: bytes that the call that was sampled stands for, not weighted */
	SOURCE_WAKER,	/* value: none; who ends the block `block` of `object` */
	SOURCE_MAPPED,	/* value: bytes by which what may be written grew, where it never was so much */
	SOURCE_COUNT,
};

enum memory_kind {
	MEMORY_FAULT,  /* of page faults: each a page */
	MEMORY_BEYOND, /* what faults brought beside these */
	MEMORY_BEFORE, /* likewise, of files, by faults of the process before this one */
	MEMORY_KINDS,
};

enum mapped_kind {
	MAPPED_GROWTH, /* with the stack that made it grow */
	MAPPED_REST,   /* what was left too little for a sample when a process let go of its memory */
	MAPPED_KINDS,
};

/* Who wakes. In an interrupt no thread does: then a sample has neither stack nor pid. */
enum waker_kind {
	WAKER_NONE,
	WAKER_THREAD,
	WAKER_INTERRUPT,
	WAKER_UNTOLD, /* one of both: modules/kernel finds out which before it hands it up */
};

struct record {
	u16 kind; /* enum record_kind */
	u16 pad;
	u32 size;    /* of the whole record, bytes */
	u64 time_ns; /* CLOCK_MONOTONIC */
};

#define COMM_LEN 16
#define FRAMES_MAX 1024 /* user frames at most, by configuration; the kernel part has its own */
#define KERNEL_FRAMES_MAX 127

/* A user frame: kind in the top byte, payload (an address so far) below. */
#define FRAME_PAYLOAD_BITS 56
enum {
	FRAME_RETURN = 0, /* a return address (of the first frame: where the CPU was) */
	FRAME_EXACT = 1,  /* where a signal interrupted, or returns to: no call lies before it */
};

/* What the walk missed; user space brings it for the next one. */
enum {
	NEED_PROCESS = 1, /* the process is not in the table */
	NEED_WINDOW = 2,  /* the rows of the code at user frame `need_at` */
	NEED_MAPPING = 4, /* no mapping covers user frame `need_at` */
};

struct record_sample {
	struct record head;
	u64 start_ns; /* of the process's first thread, CLOCK_BOOTTIME: identity with pid */
	u64 value;    /* weight of this sample, in the unit of its source */
	u64 object;   /* OFF_MUTEX: the futex; SOURCE_MEMORY (0: not known), _ALLOC: the address; _LOCK: the lock.
		     * _MAPPED: how many growths are in it.
		     * Of an ALLOC_JAVA_ kind: the size of one object, 0: not known.
		     * _WAKER: pid << 32 | tid of the thread that is woken */
	u64 cgroup;   /* id in the cgroup v2 tree */
	u32 pid;      /* process (tgid), in the initial pid namespace, as all ids here */
	u32 tid;
	u32 ppid;
	u32 mnt_ns;	/* inode number of the mount namespace; 0: it has left it (exiting) */
	u32 exec_pages; /* mm->exec_vm: changes with executable mappings; 0: no mm (any more) */
	u32 cpu;
	u32 mm_id; /* tells programs apart that one process was, one after the other */
	u16 need_at;
	u8 need;    /* NEED_* */
	u8 in_user; /* 1: taken while user code ran */
	u16 kernel_frames;
	u16 user_frames;
	u8 source;     /* enum sample_source */
	u8 walk_end;   /* enum walk_end */
	u8 kernel_cut; /* 1: the kernel part may be longer than what was walked */
	u8 kernel_thread;
	/* SOURCE_OFF_CPU, _WAKER: see record_block. SOURCE_ALLOC: 1 where a record_free will tell
	 * its end */
	u32 block;
	u8 reason; /* enum off_reason; SOURCE_ALLOC: alloc_kind; _LOCK: kernel_lock; _MEMORY:
		      memory_kind; _MAPPED: mapped_kind; _WAKER: waker_kind */
	u8 looked; /* 1: by a look, before what the ring holds of the same thread's past */
	u8 pad[2];
	char comm[COMM_LEN];	     /* of the thread */
	char process_comm[COMM_LEN]; /* of the process's first thread */
	u64 frames[];		     /* kernel frames leaf to root, then user frames leaf to root */
};

/*
 * Time off the CPU comes apart from the stack, which stands still while a thread is blocked, and is
 * taken once a block: when the block begins, or later from outside.
 *
 *   sample of block 7, value 0    record_block 7: 10 s so far    record_block 7: the rest, last
 *        |------------------------------|------------------------------|
 *
 * With block 0 a sample has no stack and bears time itself: VALUE ns of OBJECT blocks that no stack
 * was taken of, for a reason from OFF_WITH_STACK on. All times of a thread add up to the time that
 * it was not on a CPU. How much of what is OFF_UNSAMPLED a stack may stand for can be estimated
 * from how likely it was to be taken.
 */
#define BLOCK_CHANCE_ONE 65536

struct record_block {
	struct record head;
	u64 blocked_ns;	 /* for `reason` */
	u64 runnable_ns; /* OFF_PREEMPTED, OFF_CGROUP or, after a block, OFF_SCHEDULER */
	u64 whole_ns;	 /* of a block that is over: with what was told of it before */
	u32 pid;
	u32 tid;
	u32 block;  /* of this thread, never 0 */
	u32 count;  /* 1; 0 where that was told */
	u32 chance; /* last: of BLOCK_CHANCE_ONE, how likely a stack of it was taken */
	u8 reason;  /* enum off_reason, below OFF_SHORT */
	u8 last;    /* 1: the block is over, its stack is no longer needed */
	u8 pad[2];
};

struct record_free { /* a block that a sample of SOURCE_ALLOC told of */
	struct record head;
	u64 address;
	u32 pid;
	u32 pad;
};

struct record_task { /* RECORD_EXEC, RECORD_EXIT: of processes */
	struct record head;
	u64 start_ns; /* 0 for RECORD_EXEC */
	u32 pid;
	u32 tid;
	char comm[COMM_LEN];
};

#define BUILD_ID_MAX 20
#define MMAP_PATH_MAX 4096

struct record_mmap { /* an executable mapping appeared */
	struct record head;
	u64 start;
	u64 length;
	u64 offset; /* in the file, bytes */
	u64 inode;  /* 0 where build_id_len is not */
	u32 pid;
	u32 dev_major;
	u32 dev_minor;
	u16 path_len; /* bytes at path, without the NUL that follows */
	u8 build_id_len;
	u8 build_id[BUILD_ID_MAX];
	u8 pad[5];
	char path[]; /* NUL-terminated, the record padded to 8 */
};

/* DOWN: values of the table of processes that were chosen. */
enum { UNWANTED = 1, LISTED = 2 };

/* DOWN and back up: addresses that the kernel is asked to name. */
#define KERNEL_NAMES_MAX 16
#define KERNEL_NAME_LEN 248

struct kernel_names {
	u64 address[KERNEL_NAMES_MAX]; /* 0: none */
	char text[KERNEL_NAMES_MAX][KERNEL_NAME_LEN];
};

#pragma GCC diagnostic pop
