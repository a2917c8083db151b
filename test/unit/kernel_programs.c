// SPDX-License-Identifier: Apache-2.0
// The programs of both kinds of kernel on this one: with bpf_loop, and with steps and tail calls.
// They are verified, and walk stacks of 120 and 300 frames; one that wants rows wakes us.
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <unistd.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <cmocka.h>

#include "../../modules/base/base.h"
#include "../../modules/kernel/kernel.h"

static volatile unsigned long work;

// Built with frame pointers, as all of this is. The write after the call keeps it a call.
static __attribute__((noinline)) void dive(int depth)
{
	if (depth > 1)
		dive(depth - 1);
	else
		while (getppid() > 1)
			for (int i = 0; i < 1000000; i++)
				work++;
	work += (unsigned long)depth;
}

struct seen {
	pid_t pid;
	int dives;
	unsigned samples, whole, cut, loading; // of pid; with all its dives in a row
	uint32_t frames_max, frames;	       // may be, and were
};

static void on_record(void *arg, const struct record *record)
{
	struct seen *seen = arg;
	const struct record_sample *r = (const void *)record;
	if (record->kind != RECORD_SAMPLE || r->pid != (uint32_t)seen->pid)
		return;
	const u64 *frame = r->frames + r->kernel_frames;
	uint32_t in_a_row = 0;
	for (uint32_t i = 1; i + 1 < r->user_frames; i++)
		in_a_row += frame[i] == frame[i + 1];
	seen->samples++;
	seen->whole += (int)in_a_row + 2 == seen->dives;
	seen->cut += r->walk_end == WALK_END_TRUNCATED;
	seen->frames = r->user_frames;
	seen->loading += r->walk_end == WALK_END_LOADING && r->need == NEED_PROCESS;
	assert_true(r->user_frames <= seen->frames_max);
}

static pid_t begin(int dives)
{
	pid_t pid = fork();
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		dive(dives);
		_exit(0);
	}
	assert_true(pid > 0);
	return pid;
}

static void end(pid_t pid)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

// One capture, until some samples came. False: this machine forbids it.
static bool capture(
    const char *what, const struct kernel_options *options, struct seen *seen, bool *woken)
{
	char why[256];
	struct kernel_options o = *options;
	o.cpu_period_ns = 5 * NS_PER_MS;
	o.on_record = on_record;
	o.arg = seen;
	seen->frames_max = o.max_depth;
	struct kernel *k = kernel_new(&o, why, sizeof(why));
	if (!k && (errno == EPERM || errno == EACCES)) {
		printf("[  SKIPPED ] %s: %s\n", what, why);
		return false;
	}
	if (!k)
		fail_msg("%s: %s", what, why);
	seen->pid = begin(seen->dives);
	if (kernel_start(k, why, sizeof(why)))
		fail_msg("%s: %s", what, why);
	struct pollfd wake = {.fd = kernel_wake_fd(k), .events = POLLIN};
	uint64_t until = clock_now() + 20 * NS_PER_S;
	*woken = false;
	while (seen->samples < 30 && clock_now() < until) {
		*woken |= poll(&wake, 1, 20) == 1;
		kernel_woken(k);
		kernel_drain(k, 1000);
	}
	kernel_stop(k);
	end(seen->pid);
	kernel_free(k);
	assert_int_equal(mem_used(ACCOUNT_KERNEL), 0);
	assert_int_equal(mem_used(ACCOUNT_MAPS), 0);
	return true;
}

static void walks(bool no_loop)
{
	struct seen seen = {.dives = 120};
	struct kernel_options o = {.max_depth = 127, .no_loop = no_loop};
	bool woken;
	if (!capture(no_loop ? "steps" : "loop", &o, &seen, &woken))
		skip();
	assert_true(seen.samples >= 30);
	assert_true(seen.whole >= seen.samples - 3); // the first may come before the dive
	o.max_depth = 50;
	seen = (struct seen){.dives = 120};
	assert_true(capture("cut", &o, &seen, &woken));
	assert_true(seen.cut >= seen.samples - 3 && seen.samples >= 30 && seen.frames == 50);
	// Tail calls end before the stack does.
	o.max_depth = FRAMES_MAX;
	seen = (struct seen){.dives = 300};
	assert_true(capture("deep", &o, &seen, &woken));
	assert_true(seen.samples >= 30);
	assert_true((no_loop ? seen.cut : seen.whole) >= seen.samples - 3 ||
		    (!no_loop && seen.cut >= seen.samples - 3)); // this kernel has no loop
	assert_true(seen.frames > 250);
}

static void with_loop(void **state)
{
	(void)state;
	walks(false);
}

static void with_steps(void **state)
{
	(void)state;
	walks(true);
}

static void wakes(void **state)
{
	(void)state;
	for (int no_loop = 0; no_loop < 2; no_loop++) {
		struct seen seen = {0};
		struct kernel_options o = {
		    .max_depth = 127, .no_loop = no_loop, .unwind_memory = 1 << 20};
		bool woken;
		if (!capture("tables", &o, &seen, &woken))
			skip();
		assert_true(seen.samples >= 30);
		assert_int_equal(seen.loading, seen.samples);
		assert_true(woken);
		o.unwind_memory = 0;
		assert_true(capture("no tables", &o, &seen, &woken));
		assert_false(woken);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(with_loop),
	    cmocka_unit_test(with_steps),
	    cmocka_unit_test(wakes),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
