// SPDX-License-Identifier: Apache-2.0
// Time off the CPU against the truth: threads of a child whose waits are known, and what
// /proc/PID/task/TID/schedstat says of them. Needs root; skipped without.
#include <stdlib.h>
#include <string.h>
#include <sched.h>
#include <linux/futex.h>
#include <sys/prctl.h>
#include <time.h>

#include "kernel_scene.h"

#define PERIOD (200 * NS_PER_MS)

#define SLEEPS(name, ms)                                                                           \
	static __attribute__((noinline)) void name(void)                                           \
	{                                                                                          \
		struct timespec t = {0, ms * 1000000l};                                            \
		scene_call(SYS_nanosleep, (long)&t, 0, 0, 0);                                      \
	}
SLEEPS(sleep70, 70)
SLEEPS(sleep20, 20)
SLEEPS(sleep10, 10)
SLEEPS(sleep2, 2)

enum { SLEEPER, READER, WAITER, PING, PONG, SPINNER, YIELDER, STILL, KINDS };
static const char *const names[KINDS] = {
    "sleeper", "reader", "waiter", "ping", "pong", "spinner", "yielder", "still"};

// Shared with the child: what its threads are known by.
static struct shared {
	uint32_t tid[KINDS];
	uint32_t word, ready;
	uint64_t sleep_ns[3]; // truth of the sleeper
	uint32_t sleeps;
} * shared;
static int pipes[4][2];

static __attribute__((noinline)) void reader_waits(void)
{
	char c;
	scene_call(SYS_read, pipes[0][0], (long)&c, 1, 0);
}
static __attribute__((noinline)) void waiter_waits(void)
{
	struct timespec t = {0, 30000000};
	scene_call(SYS_futex, (long)&shared->word, FUTEX_WAIT, 0, (long)&t);
}
static __attribute__((noinline)) void still_waits(void)
{
	char c;
	scene_call(SYS_read, pipes[3][0], (long)&c, 1, 0);
}

static void ping_pong(int in, int out)
{
	char c = 0;
	for (;;) {
		if (scene_call(SYS_read, in, (long)&c, 1, 0) != 1 ||
		    scene_call(SYS_write, out, (long)&c, 1, 0) != 1)
			return;
		if (shared->ready == 2) // from time to time, so that others run
			sleep2();
	}
}

static void sleeper(void)
{
	for (;;) {
		uint64_t a = clock_now();
		sleep70();
		uint64_t b = clock_now();
		sleep20();
		uint64_t c = clock_now();
		sleep10();
		shared->sleep_ns[0] += b - a;
		shared->sleep_ns[1] += c - b;
		shared->sleep_ns[2] += clock_now() - c;
		shared->sleeps++;
	}
}

static void *thread(void *arg)
{
	long kind = (long)arg;
	volatile unsigned long work = 0;
	shared->tid[kind] = (uint32_t)gettid();
	prctl(PR_SET_NAME, names[kind]);
	if (kind == SLEEPER)
		sleeper();
	while (kind == READER)
		reader_waits();
	while (kind == WAITER)
		waiter_waits();
	if (kind == PING)
		ping_pong(pipes[1][0], pipes[2][1]);
	if (kind == PONG)
		ping_pong(pipes[2][0], pipes[1][1]);
	while (kind == SPINNER)
		work++;
	for (; kind == YIELDER; work++)
		if (work % 1000 == 0)
			sched_yield();
	while (kind == STILL)
		still_waits();
	return NULL;
}

static pid_t begin(unsigned kinds)
{
	shared = scene_share(sizeof(*shared), pipes, 4);
	pid_t pid = fork();
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		scene_threads(kinds, thread);
		if (kinds >> PING & 1)
			(void)!write(pipes[1][1], "", 1);
		for (;;) { // a byte each 45 ms
			usleep(45000);
			(void)!write(pipes[0][1], "", 1);
		}
	}
	assert_true(pid > 0);
	usleep(100000);
	return pid;
}

static void end(pid_t pid)
{
	scene_end(pid, shared, sizeof(*shared), pipes, 4);
}

// What was told of each thread.
static struct told {
	uint64_t blocked, runnable, shorts, unsampled, reasons[OFF_COUNT], by_function[3];
	uint32_t samples, lasts, lost, count;
	// Of the last stack, and kept when the rest begins anew.
	uint32_t block;
	uint8_t reason;
	int function;
	uint64_t frames[8], object;
} told[KINDS];
static uint32_t child;
static uint64_t others;

static int kind_of(uint32_t tid)
{
	for (int i = 0; i < KINDS; i++)
		if (shared && shared->tid[i] == tid)
			return i;
	return -1;
}

static int function_of(uint64_t pc)
{
	const uintptr_t f[] = {(uintptr_t)sleep70, (uintptr_t)sleep20, (uintptr_t)sleep10};
	int best = -1;
	for (int i = 0; i < 3; i++)
		if (pc > f[i] && pc - f[i] < 256 && (best < 0 || f[i] > f[best]))
			best = i;
	return best;
}

static void on_record(void *arg, const struct record *record)
{
	const struct record_sample *s = (const void *)record;
	const struct record_block *b = (const void *)record;
	(void)arg;
	if (record->kind == RECORD_SAMPLE && s->source == SOURCE_OFF_CPU && s->pid == child) {
		int kind = kind_of(s->tid);
		struct told *t = kind < 0 ? NULL : &told[kind];
		others += kind < 0;
		if (!t)
			return;
		if (!s->block) {
			assert_true(s->reason == OFF_SHORT || s->reason == OFF_UNSAMPLED);
			*(s->reason == OFF_SHORT ? &t->shorts : &t->unsampled) += s->value;
			return;
		}
		assert_int_equal(s->value, 0);
		t->block = s->block;
		t->reason = s->reason;
		t->samples++;
		t->object = s->object;
		t->function = s->user_frames ? function_of(s->frames[s->kernel_frames]) : -1;
		for (uint32_t i = 0; i < 8 && i < s->user_frames; i++)
			t->frames[i] = s->frames[s->kernel_frames + i];
	} else if (record->kind == RECORD_BLOCK && b->pid == child) {
		int kind = kind_of(b->tid);
		struct told *t = kind < 0 ? NULL : &told[kind];
		if (!t)
			return;
		t->blocked += b->blocked_ns;
		t->runnable += b->runnable_ns;
		t->count += b->count;
		t->lasts += b->last;
		if (t->block != b->block) {
			t->lost++;
			return;
		}
		assert_int_equal(b->reason, t->reason);
		t->reasons[b->reason] += b->blocked_ns + b->runnable_ns;
		if (t->function >= 0)
			t->by_function[t->function] += b->blocked_ns + b->runnable_ns;
	}
}

struct spent {
	uint64_t at, run, delay;
};
static struct spent spent_of(uint32_t tid)
{
	struct spent s = {.at = clock_now()};
	if (!scene_ran(child, tid, &s.run, &s.delay))
		s.at = 0;
	return s;
}

static uint64_t longest;
static void turn(struct kernel *k, bool times)
{
	int more;
	scene_drain(k);
	uint64_t until = times ? clock_now() : 0;
	do {
		uint64_t began = clock_now();
		more = kernel_look(k, until, NS_PER_MS);
		uint64_t took = clock_now() - began;
		longest = took > longest ? took : longest;
	} while (more == 1);
	assert_int_equal(more, 0);
}

static void run(struct kernel *k, unsigned tenths, unsigned window)
{
	for (unsigned i = 1; i <= tenths; i++) {
		usleep((useconds_t)(100000 + rand() % 20000 - 10000));
		if (i % 2 == 0 || i == tenths)
			turn(k, i % window == 0 || i == tenths);
	}
}

// All is told of all threads, at about one time: not where others took the CPU from us meanwhile.
static void settle(struct kernel *k)
{
	uint64_t began;
	int tries = 0;
	do {
		turn(k, true);
		usleep(2000);
		began = clock_now();
		turn(k, true);
		scene_drain(k); // what ended between the drain and the look
	} while (clock_now() - began > 5 * NS_PER_MS && ++tries < 50);
}

#define SUM(t) ((t)->blocked + (t)->runnable + (t)->shorts + (t)->unsampled)
#define MS(ns) ((double)(ns) / 1e6)

#define ALL ((1u << KINDS) - 1)
#define QUIET (1u << SLEEPER | 1u << READER | 1u << WAITER | 1u << STILL)

static struct spent from[KINDS], to[KINDS];
static double shares[3], truths[3];

static void show(int i)
{
	const struct told *t = &told[i];
	uint64_t wall = to[i].at - from[i].at, off = wall - (to[i].run - from[i].run);
	print_message("%-8s off %8.1f told %8.1f (%+.2f%%): blocked %.1f runnable %.1f short %.1f "
		      "unsampled %.1f; run delay %.1f; %u stacks, %u ends, %u blocks, %u unknown\n",
	    names[i], MS(off), MS(SUM(t)), 100.0 * (double)(int64_t)(SUM(t) - off) / (double)wall,
	    MS(t->blocked), MS(t->runnable), MS(t->shorts), MS(t->unsampled),
	    MS(to[i].delay - from[i].delay), t->samples, t->lasts, t->count, t->lost);
}

// All of a thread's times, and what was told of its waits for a CPU.
static void times_are_whole(unsigned kinds)
{
	for (int i = 0; i < KINDS; i++) {
		if (!(kinds >> i & 1))
			continue;
		const struct told *t = &told[i];
		uint64_t wall = to[i].at - from[i].at, off = wall - (to[i].run - from[i].run);
		// The readings that this is held against are 5 ms apart at most.
		uint64_t delay = to[i].delay - from[i].delay, slack = wall / 100 + 10 * NS_PER_MS;
		show(i);
		assert_in_range(SUM(t), off > slack ? off - slack : 0, off + slack);
		assert_true(t->runnable <= delay + slack);
		assert_true(t->runnable + t->shorts + t->unsampled + slack >= delay);
	}
}

static void count_shares(const uint64_t *before)
{
	double sum = 0, told_sum = 0;
	for (int i = 0; i < 3; i++) {
		sum += MS(shared->sleep_ns[i] - before[i]);
		told_sum += MS(told[SLEEPER].by_function[i]);
	}
	for (int i = 0; i < 3; i++) {
		truths[i] = MS(shared->sleep_ns[i] - before[i]) / sum;
		shares[i] = MS(told[SLEEPER].by_function[i]) / told_sum;
		print_message(
		    "sleep %d: %.1f%% told %.1f%%\n", i, 100 * truths[i], 100 * shares[i]);
	}
}

// False: BPF is not to be had.
static bool watch(struct kernel_options o, unsigned kinds, unsigned tenths, unsigned window)
{
	child = (uint32_t)begin(kinds);
	o.on_record = on_record;
	struct kernel *k = scene_off_cpu(o, child);
	if (!k) {
		end((pid_t)child);
		return false;
	}
	assert_null(kernel_off_cpu_why(k));
	run(k, 4, 4);
	settle(k);
	for (int i = 0; i < KINDS; i++)
		memset(&told[i], 0, offsetof(struct told, block));
	longest = 0;
	uint64_t sleeps[3], c[KERNEL_COUNTER_COUNT];
	memcpy(sleeps, shared->sleep_ns, sizeof(sleeps));
	for (int i = 0; i < KINDS; i++)
		from[i] = spent_of(shared->tid[i]);
	run(k, tenths, window);
	settle(k);
	for (int i = 0; i < KINDS; i++)
		to[i] = spent_of(shared->tid[i]);
	count_shares(sleeps);
	assert_int_equal(kernel_counters(k, c), 0);
	assert_int_equal(
	    c[KERNEL_TAKEN], c[KERNEL_EMITTED] + c[KERNEL_LOST_RING] + c[KERNEL_LOST_NESTED]);
	assert_int_equal(c[KERNEL_OFF_LOST], 0);
	assert_true(c[KERNEL_STORAGES] > c[KERNEL_STORAGES_ENDED]);
	assert_true(mem_used(ACCOUNT_MAPS) > (c[KERNEL_STORAGES] - c[KERNEL_STORAGES_ENDED]) * 384);
	print_message("%lu switches, %lu blocks, stacks: %lu at switches, %lu by looks, %lu gone; "
		      "longest piece %.2f ms\n",
	    c[KERNEL_SWITCHES], c[KERNEL_BLOCKS], c[KERNEL_GATE_STACKS], c[KERNEL_LOOK_STACKS],
	    c[KERNEL_LOOK_GONE], MS(longest));
	scene_free(k);
	end((pid_t)child);
	return true;
}

static void waits_are_what_they_are(void **state)
{
	(void)state;
	const int reasons[KINDS] = {[SLEEPER] = OFF_SLEEP,
	    [READER] = OFF_CHANNEL,
	    [WAITER] = OFF_MUTEX,
	    [STILL] = OFF_CHANNEL};
	if (!watch((struct kernel_options){.cpu_period_ns = 10101010}, QUIET, 30, 10))
		skip();
	times_are_whole(QUIET);
	for (int i = 0; i < KINDS; i++)
		if (QUIET >> i & 1)
			assert_true(told[i].reasons[reasons[i]] >
				    (told[i].blocked + told[i].runnable) * 95 / 100);
	assert_int_equal(told[WAITER].object, (uintptr_t)&shared->word);
	for (int i = 0; i < 3; i++)
		assert_true(shares[i] > truths[i] - 0.05 && shares[i] < truths[i] + 0.05);
	// Blocked all the time, over several windows: one stack (taken before), never over.
	assert_int_equal(told[STILL].samples + told[STILL].lasts, 0);
	assert_int_equal(told[STILL].runnable + told[STILL].shorts + told[STILL].unsampled, 0);
}

static void a_busy_machine_too(void **state)
{
	(void)state;
	if (!watch((struct kernel_options){0}, ALL, 30, 10)) // no ticks
		skip();
	times_are_whole(ALL);
	assert_true(told[SPINNER].reasons[OFF_PREEMPTED] + told[SPINNER].reasons[OFF_CGROUP] ==
		    told[SPINNER].runnable + told[SPINNER].blocked);
	assert_int_equal(told[SPINNER].blocked, 0);
	assert_true(told[PING].shorts > 0 && told[PONG].shorts > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(waits_are_what_they_are),
	    cmocka_unit_test(a_busy_machine_too),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
