// SPDX-License-Identifier: Apache-2.0
// What tests against the running kernel share: its programs where they are permitted, a child that
// waits for a word or whose threads are known by their kind, and what the kernel itself says of a
// thread's times.
#pragma once
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <cmocka.h>

#include "../../modules/base/base.h"
#include "../../modules/kernel/kernel.h"

// A sanitizer would touch its own memory beside what such a function touches.
#define BARE __attribute__((noinline, no_sanitize("address")))

// The call stands in its function, which has a frame pointer: so the leaf frame tells it.
#if defined(__x86_64__)
static inline __attribute__((always_inline)) long scene_call(long n, long a, long b, long c, long d)
{
	register long r10 __asm__("r10") = d;
	long r;
	__asm__ volatile("syscall"
			 : "=a"(r)
			 : "a"(n), "D"(a), "S"(b), "d"(c), "r"(r10)
			 : "rcx", "r11", "memory");
	return r;
}
#else
static inline __attribute__((always_inline)) long scene_call(long n, long a, long b, long c, long d)
{
	register long x8 __asm__("x8") = n, x0 __asm__("x0") = a, x1 __asm__("x1") = b,
			 x2 __asm__("x2") = c, x3 __asm__("x3") = d;
	__asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3) : "memory");
	return x0;
}
#endif

// NULL (it is said why) where BPF is not permitted; what else is wrong fails the test.
static inline struct kernel *scene_permitted(const struct kernel_options *o)
{
	char why[512] = "";
	struct kernel *k = kernel_new(o, why, sizeof(why));
	if (!k && (errno == EPERM || errno == EACCES)) {
		print_message("%s\n", why);
		return NULL;
	}
	if (!k)
		fail_msg("%s", why);
	return k;
}

static inline void scene_start(struct kernel *k)
{
	char why[512] = "";
	if (kernel_start(k, why, sizeof(why)))
		fail_msg("%s", why);
}

// Started, for time off the CPU of the process PID alone, whatever else runs here. NULL: as above.
static inline struct kernel *scene_off_cpu(struct kernel_options o, uint32_t pid)
{
	o.max_depth = 127;
	o.off_cpu = o.only_listed = true;
	o.wanted_max = 16;
	o.off_cpu_min_ns = o.off_cpu_min_ns ? o.off_cpu_min_ns : NS_PER_MS;
	struct kernel *k = scene_permitted(&o);
	if (!k)
		return NULL;
	assert_int_equal(kernel_want(k, pid, 1), 0);
	scene_start(k);
	return k;
}

static inline void scene_drain(struct kernel *k)
{
	while (kernel_drain(k, 64) == 64)
		;
}

// Frees K: nothing of it stays behind.
static inline void scene_free(struct kernel *k)
{
	kernel_free(k);
	assert_int_equal(mem_used(ACCOUNT_MAPS), 0);
	assert_int_equal(mem_used(ACCOUNT_KERNEL), 0);
}

// ---- a child and its threads

// SIZE bytes that the child will share, and COUNT pipes for its threads.
static inline void *scene_share(size_t size, int (*pipes)[2], int count)
{
	void *at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_true(at != MAP_FAILED);
	for (int i = 0; i < count; i++)
		assert_int_equal(pipe(pipes[i]), 0);
	return at;
}

// In the child: RUN with the number of each bit of KINDS, in a thread of its own.
static inline void scene_threads(unsigned kinds, void *(*run)(void *))
{
	for (long i = 0; kinds >> i; i++) {
		pthread_t t;
		if (kinds >> i & 1 && pthread_create(&t, NULL, run, (void *)i))
			_exit(1);
	}
}

// A child that does WORK once a byte comes through *GO, which is the caller's to close, and ends.
static inline pid_t scene_child(void (*work)(void), int *go)
{
	int ends[2];
	assert_int_equal(pipe(ends), 0);
	pid_t pid = fork();
	if (!pid) {
		char c;
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		(void)!read(ends[0], &c, 1);
		work();
		_exit(0);
	}
	assert_true(pid > 0);
	close(ends[0]);
	*go = ends[1];
	return pid;
}

// Ends the child PID, and what scene_share gave.
static inline void scene_end(pid_t pid, void *shared, size_t size, int (*pipes)[2], int count)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	for (int i = 0; i < 2 * count; i++)
		close(pipes[i / 2][i % 2]);
	munmap(shared, size);
}

// How long the thread TID of PID ran, and waited for a CPU, so far. False: there is none.
static inline bool scene_ran(uint32_t pid, uint32_t tid, uint64_t *ran_ns, uint64_t *delayed_ns)
{
	char path[64];
	snprintf(path, sizeof(path), "/proc/%u/task/%u/schedstat", pid, tid);
	FILE *f = fopen(path, "re");
	if (!f)
		return false;
	assert_int_equal(fscanf(f, "%lu %lu", ran_ns, delayed_ns), 2);
	fclose(f);
	return true;
}
