/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0 */
/*
 * Why a thread is not on a CPU: from its state and from the system call that it is in, whose number
 * lies with its user registers. Numbers: arch/x86/entry/syscalls/syscall_64.tbl and
 * include/uapi/asm-generic/unistd.h of Linux.
 */
#pragma once
#include "take.bpf.h"

#define TASK_INTERRUPTIBLE 1
#define TASK_UNINTERRUPTIBLE 2

#define S_IFMT 0170000
#define S_IFSOCK 0140000
#define S_IFCHR 0020000
#define S_IFIFO 0010000
#define ANON_INODES 0x09041934 /* magic number of eventfd's, timerfd's and such */

/* Its reason is what its first argument, a descriptor, is of. */
#define OF_FD OFF_COUNT

/* arm64 (-1: it has none), x86-64, reason */
/* clang-format off */
#define BLOCKING_CALLS(X)                                                                          \
	X(101, 35, OFF_SLEEP) /* nanosleep */ X(115, 230, OFF_SLEEP) /* clock_nanosleep */         \
	X(98, 202, OFF_MUTEX) /* futex */ X(455, 455, OFF_MUTEX) /* futex_wait */                  \
	X(449, 449, OFF_MUTEX) /* futex_waitv */                                                   \
	X(-1, 7, OFF_WAITING) /* poll */ X(-1, 23, OFF_WAITING) /* select */                       \
	X(73, 271, OFF_WAITING) /* ppoll */ X(72, 270, OFF_WAITING) /* pselect6 */                 \
	X(-1, 232, OFF_WAITING) /* epoll_wait */ X(22, 281, OFF_WAITING) /* epoll_pwait */         \
	X(441, 441, OFF_WAITING) /* epoll_pwait2 */ X(426, 426, OFF_WAITING) /* io_uring_enter */  \
	X(4, 208, OFF_IO) /* io_getevents */ X(292, 333, OFF_IO) /* io_pgetevents */               \
	X(202, 43, OFF_NETWORK) /* accept */ X(242, 288, OFF_NETWORK) /* accept4 */                \
	X(203, 42, OFF_NETWORK) /* connect */                                                      \
	X(206, 44, OFF_NETWORK) /* sendto */ X(207, 45, OFF_NETWORK) /* recvfrom */                \
	X(211, 46, OFF_NETWORK) /* sendmsg */ X(212, 47, OFF_NETWORK) /* recvmsg */                \
	X(269, 307, OFF_NETWORK) /* sendmmsg */ X(243, 299, OFF_NETWORK) /* recvmmsg */            \
	X(63, 0, OF_FD) /* read */ X(64, 1, OF_FD) /* write */                                     \
	X(65, 19, OF_FD) /* readv */ X(66, 20, OF_FD) /* writev */                                 \
	X(67, 17, OF_FD) /* pread64 */ X(68, 18, OF_FD) /* pwrite64 */                             \
	X(69, 295, OF_FD) /* preadv */ X(70, 296, OF_FD) /* pwritev */                             \
	X(286, 327, OF_FD) /* preadv2 */ X(287, 328, OF_FD) /* pwritev2 */                         \
	X(76, 275, OF_FD) /* splice */ X(77, 276, OF_FD) /* tee */ X(75, 278, OF_FD) /* vmsplice */ \
	X(71, 40, OF_FD) /* sendfile */ X(285, 326, OF_FD) /* copy_file_range */                   \
	X(56, 257, OFF_IO) /* openat */ X(-1, 2, OFF_IO) /* open */ X(82, 74, OFF_IO) /* fsync */  \
	X(83, 75, OFF_IO) /* fdatasync */ X(61, 217, OFF_IO) /* getdents64 */                      \
	X(260, 61, OFF_SYNC) /* wait4 */ X(95, 247, OFF_SYNC) /* waitid */                         \
	X(-1, 58, OFF_SYNC) /* vfork */ X(220, 56, OFF_SYNC) /* clone: vfork's too */              \
	X(435, 435, OFF_SYNC) /* clone3 */ X(-1, 34, OFF_SYNC) /* pause */                         \
	X(137, 128, OFF_SYNC) /* rt_sigtimedwait */ X(133, 130, OFF_SYNC) /* rt_sigsuspend */      \
	X(193, 65, OFF_SYNC) /* semop */ X(192, 220, OFF_SYNC) /* semtimedop */                    \
	X(188, 70, OFF_SYNC) /* msgrcv */ X(189, 69, OFF_SYNC) /* msgsnd */                        \
	X(183, 243, OFF_SYNC) /* mq_timedreceive */ X(182, 242, OFF_SYNC) /* mq_timedsend */       \
	X(32, 73, OFF_SYNC) /* flock */
/* clang-format on */

#if defined(__TARGET_ARCH_arm64)
#define CALL_NUMBER(regs) ((regs)->syscallno)
#define CALL_ARGUMENT(regs) ((regs)->orig_x0)
#define CALL_CASE(arm64, x86, reason)                                                              \
	if (number == (arm64))                                                                     \
		return reason;
#else
#define CALL_NUMBER(regs) ((int)(regs)->orig_ax)
#define CALL_ARGUMENT(regs) ((regs)->di)
#define CALL_CASE(arm64, x86, reason)                                                              \
	case x86:                                                                                  \
		return reason;
#endif

static __always_inline u8 reason_of_call(int number)
{
#if defined(__TARGET_ARCH_arm64)
	BLOCKING_CALLS(CALL_CASE)
#else
	switch (number) {
		BLOCKING_CALLS(CALL_CASE)
	}
#endif
	return OFF_SYSCALL;
}

/* RAW: a word to read to. What kind of file the descriptor FD of TASK is. */
static __always_inline u8 reason_of_fd(struct task_struct *task, u32 fd, u64 *raw)
{
	struct fdtable *table = BPF_CORE_READ(task, files, fdt);
	struct file **files = BPF_CORE_READ(table, fd);
	if (!table || fd >= BPF_CORE_READ(table, max_fds) ||
	    bpf_probe_read_kernel(raw, sizeof(*raw), files + fd))
		return OFF_IO;
	struct inode *inode = BPF_CORE_READ((struct file *)*raw, f_inode);
	u32 kind = BPF_CORE_READ(inode, i_mode) & S_IFMT;
	if (kind == S_IFSOCK)
		return OFF_NETWORK;
	if (kind == S_IFIFO)
		return OFF_CHANNEL;
	/* Terminals, eventfd and timerfd wait for whatever comes. */
	if (kind == S_IFCHR || BPF_CORE_READ(inode, i_sb, s_magic) == ANON_INODES)
		return OFF_WAITING;
	return OFF_IO;
}

static __always_inline bool is_throttled(struct task_struct *task)
{
	struct task_struct___throttled *t = (void *)task;
	if (bpf_core_field_exists(t->throttled))
		return BPF_CORE_READ(t, throttled);
	return bpf_core_field_exists(task->se.cfs_rq->throttle_count) &&
	       BPF_CORE_READ(task, se.cfs_rq, throttle_count) > 0;
}

/* Of TASK, which went off its CPU in STATE; OBJECT gets the futex. RAW: a word to read to. */
static __always_inline u8 reason_of(
    struct task_struct *task, bool runnable, u32 state, u64 *raw, u64 *object)
{
	if (runnable)
		return is_throttled(task) ? OFF_CGROUP : OFF_PREEMPTED;
	const struct pt_regs *regs = (void *)bpf_task_pt_regs(task);
	int number = CALL_NUMBER(regs);
	u32 reason = number < 0 ? OFF_UNKNOWN : reason_of_call(number);
	HIDE(reason); /* or the verifier follows the rest for each of them */
	if (reason == OFF_SYNC)
		return (u8)reason; /* the wait for vfork's child looks like one for a disk */
	if (BPF_CORE_READ_BITFIELD(task, in_iowait) || state & TASK_UNINTERRUPTIBLE)
		return OFF_IO;
	if (!(state & TASK_INTERRUPTIBLE))
		return OFF_UNKNOWN;
	if (reason == OFF_MUTEX)
		*object = CALL_ARGUMENT(regs);
	if (reason == OF_FD)
		return reason_of_fd(task, (u32)CALL_ARGUMENT(regs), raw);
	return (u8)reason;
}
