// SPDX-License-Identifier: Apache-2.0
// Errands: what blocks in the kernel is done by a process that lives for it alone.
//
//   we      clone ---------- loop goes on ---------- pidfd is readable: reap, done()
//   errand       `- work(): system calls ... exit -'
//
// It shares our memory and our descriptors, so that what it closes is closed, and copies neither:
// clone takes 20 to 70 us. A fork takes 0.5 ms for 15 MB, holds each descriptor open once more, and
// waits, in us, for the kernel's lock on mappings whenever probes come or go anywhere
// (uprobe_start_dup_mmap), which is just what errands are about. No signal is handled in it: all
// are blocked, so that the handlers, which write into our memory, run in us alone. It is no child
// that a wait for any would find, for its end sends no signal (__WALL).
#include "private.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define STACK_BYTES (16u << 10)

struct errand {
	_Alignas(16) char stack[STACK_BYTES];
	void (*work)(void *arg);
	void (*done)(void *arg);
	void *arg;
	struct watch *watch;
	pid_t pid;
	int fd; // pidfd
};

// glibc's clone makes of the return the exit of this process only. No handler of exit runs.
__attribute__((no_sanitize("address", "undefined"))) static int run(void *arg)
{
	const struct errand *e = arg;
	e->work(e->arg);
	return 0;
}

// False: it has not ended yet (WNOHANG).
static bool reap(struct errand *e, int flags)
{
	struct rusage used;
	pid_t pid;
	do
		pid = wait4(e->pid, NULL, __WALL | flags, &used);
	while (pid < 0 && errno == EINTR);
	if (pid <= 0)
		return pid < 0; // there is none
	count_add(
	    COUNT_ERRANDS_NS, (uint64_t)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) * NS_PER_S +
				  (uint64_t)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) * 1000);
	return true;
}

static void gone(struct errand *e)
{
	watch_free(e->watch);
	close(e->fd);
	mem_free(e);
}

static void on_end(void *arg, int events)
{
	struct errand *e = arg;
	void (*done)(void *arg) = e->done;
	(void)events;
	if (!reap(e, WNOHANG))
		return;
	arg = e->arg;
	gone(e);
	done(arg);
}

static pid_t start(struct errand *e)
{
	sigset_t all, before;
	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, &before);
	pid_t pid =
	    clone(run, e->stack + STACK_BYTES, CLONE_VM | CLONE_FILES | CLONE_PIDFD, e, &e->fd);
	int error = errno;
	sigprocmask(SIG_SETMASK, &before, NULL);
	errno = error;
	return pid;
}

struct errand *loop_errand(
    struct loop *loop, void (*work)(void *arg), void (*done)(void *arg), void *arg)
{
	struct errand *e = mem_alloc(ACCOUNT_LOOP, sizeof(*e));
	if (!e)
		return NULL;
	e->work = work;
	e->done = done;
	e->arg = arg;
	e->watch = watch_new(loop, e); // before, as it could not be called back
	e->pid = e->watch ? start(e) : -1;
	if (e->pid < 0) {
		int error = errno;
		watch_free(e->watch);
		mem_free(e);
		return errno = error, NULL;
	}
	watch_begin(e->watch, e->fd, LOOP_READ, on_end);
	return e;
}

void errand_free(struct errand *e)
{
	if (!e)
		return;
	reap(e, 0);
	gone(e);
}
