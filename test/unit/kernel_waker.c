// SPDX-License-Identifier: Apache-2.0
// Who wakes, against the truth: threads of a child that one function alone wakes, or a timer, and
// two that wake each other as often as they can. Needs root; skipped without.
#include <string.h>
#include <linux/futex.h>
#include <sys/prctl.h>
#include <time.h>

#include "kernel_scene.h"

enum { READER, LOCKER, SLEEPER, PING, PONG, KINDS };

static struct shared {
	uint32_t tid[KINDS];
	uint32_t word;
} * shared;
static int pipes[3][2];
static uint32_t child;

static __attribute__((noinline)) void feeds_it(void)
{
	scene_call(SYS_write, pipes[0][1], (long)"", 1, 0);
}
static __attribute__((noinline)) void lets_go(void)
{
	__atomic_add_fetch(&shared->word, 1, __ATOMIC_SEQ_CST);
	scene_call(SYS_futex, (long)&shared->word, FUTEX_WAKE, 1, 0);
}

static void ping_pong(int in, int out)
{
	char c = 0;
	while (read(in, &c, 1) == 1 && write(out, &c, 1) == 1)
		;
}

static void *thread(void *arg)
{
	long kind = (long)arg;
	char c;
	shared->tid[kind] = (uint32_t)gettid();
	while (kind == READER)
		(void)!read(pipes[0][0], &c, 1);
	while (kind == LOCKER) {
		uint32_t was = __atomic_load_n(&shared->word, __ATOMIC_SEQ_CST);
		scene_call(SYS_futex, (long)&shared->word, FUTEX_WAIT, was, 0);
	}
	while (kind == SLEEPER)
		usleep(25000);
	if (kind == PING)
		ping_pong(pipes[1][0], pipes[2][1]);
	if (kind == PONG)
		ping_pong(pipes[2][0], pipes[1][1]);
	return NULL;
}

static void begin(unsigned kinds)
{
	shared = scene_share(sizeof(*shared), pipes, 3);
	pid_t pid = fork();
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		prctl(PR_SET_NAME, "feeder");
		scene_threads(kinds, thread);
		if (kinds >> PING & 1)
			(void)!write(pipes[1][1], "", 1);
		for (;;) {
			usleep(20000);
			feeds_it();
			lets_go();
		}
	}
	assert_true(pid > 0);
	child = (uint32_t)pid;
	usleep(50000);
}

static void end(void)
{
	scene_end((pid_t)child, shared, sizeof(*shared), pipes, 3);
}

static struct told {
	uint64_t ns; // off the CPU
	uint32_t stacks, ends;
	uint32_t threads, interrupts; // that woke it
	uint32_t right;		      // in the function that does
	uint32_t early, late;	      // before its stack, after its end
	uint32_t block;		      // kept when the rest begins anew
} told[KINDS];

static struct told *told_of(uint32_t pid, uint32_t tid)
{
	static struct told others;
	for (int i = 0; i < KINDS && pid == child; i++)
		if (shared->tid[i] == tid)
			return &told[i];
	return &others;
}

static void on_waker(const struct record_sample *s)
{
	struct told *t = told_of((uint32_t)(s->object >> 32), (uint32_t)s->object);
	uint64_t pc = s->user_frames ? s->frames[0] : 0;
	uint64_t from = t == &told[READER] ? (uintptr_t)feeds_it : (uintptr_t)lets_go;
	assert_in_range(s->reason, WAKER_THREAD, WAKER_INTERRUPT);
	assert_int_equal(s->kernel_frames, 0); // they were for the judgement alone
	t->early += s->block > t->block;
	t->late += s->block < t->block;
	if (s->reason == WAKER_INTERRUPT) {
		assert_true(!s->pid && !s->tid && !s->user_frames && !*s->comm);
		t->interrupts++;
		return;
	}
	t->threads++;
	t->right += s->pid == child && s->tid == child && !strcmp(s->comm, "feeder") && pc > from &&
		    pc - from < 64;
}

static void on_record(void *arg, const struct record *record)
{
	const struct record_sample *s = (const void *)record;
	const struct record_block *b = (const void *)record;
	(void)arg;
	if (record->kind == RECORD_BLOCK) {
		struct told *t = told_of(b->pid, b->tid);
		t->ns += b->blocked_ns + b->runnable_ns;
		t->ends += b->last;
	} else if (record->kind == RECORD_SAMPLE && s->source == SOURCE_WAKER) {
		on_waker(s);
	} else if (record->kind == RECORD_SAMPLE && s->source == SOURCE_OFF_CPU) {
		struct told *t = told_of(s->pid, s->tid);
		t->ns += s->value;
		t->stacks += s->block != 0;
		t->block = s->block ? s->block : t->block;
	}
}

static void turn(struct kernel *k)
{
	scene_drain(k);
	uint64_t until = clock_now();
	while (kernel_look(k, until, NS_PER_MS) == 1)
		;
	scene_drain(k);
}

static uint64_t ran(uint32_t tid)
{
	uint64_t ns = 0, delayed;
	assert_true(scene_ran(child, tid, &ns, &delayed));
	return ns;
}

// Watches the threads of KINDS for a second; counters into C. All times of each are what they are.
static void watch(struct kernel_options o, unsigned kinds, uint64_t c[KERNEL_COUNTER_COUNT])
{
	uint64_t from[KINDS], began;
	begin(kinds);
	o.on_record = on_record;
	struct kernel *k = scene_off_cpu(o, child);
	if (!k) {
		end();
		skip();
	}
	if (kernel_off_cpu_why(k) || kernel_wakers_why(k))
		fail_msg("%s", kernel_wakers_why(k));
	for (int i = 0; i < 3; i++, usleep(100000))
		turn(k);
	turn(k);
	for (int i = 0; i < KINDS; i++)
		memset(&told[i], 0, offsetof(struct told, block));
	began = clock_now();
	for (int i = 0; i < KINDS; i++)
		from[i] = kinds >> i & 1 ? ran(shared->tid[i]) : 0;
	for (int i = 0; i < 10; i++, usleep(100000))
		turn(k);
	turn(k);
	uint64_t whole = clock_now() - began;
	for (int i = 0; i < KINDS; i++) {
		struct told *t = &told[i];
		if (!(kinds >> i & 1))
			continue;
		uint64_t off = whole - (ran(shared->tid[i]) - from[i]);
		print_message("%d: off %.1f told %.1f: %u stacks, %u ends, woken by threads %u "
			      "(%u right), interrupts %u; %u late %u early\n",
		    i, (double)off / 1e6, (double)t->ns / 1e6, t->stacks, t->ends, t->threads,
		    t->right, t->interrupts, t->late, t->early);
		assert_in_range(t->ns, off - whole / 20, off + whole / 20);
	}
	assert_int_equal(kernel_counters(k, c), 0);
	scene_free(k);
	end();
}

#define QUIET (1u << READER | 1u << LOCKER | 1u << SLEEPER)

// It comes after the stack of the wait and before its end.
static void who_wakes(void **state)
{
	uint64_t c[KERNEL_COUNTER_COUNT];
	(void)state;
	watch((struct kernel_options){.off_cpu_wakers = KERNEL_WAKERS_ALL}, QUIET, c);
	for (int i = READER; i <= LOCKER; i++) {
		// On a busy machine some blocks are waits for a CPU, which nobody ends.
		assert_true(told[i].threads > 10 && told[i].threads * 2 >= told[i].ends);
		assert_int_equal(told[i].right, told[i].threads);
		assert_int_equal(told[i].interrupts, 0);
	}
	assert_true(told[SLEEPER].interrupts > 10);
	assert_true(told[SLEEPER].interrupts * 2 >= told[SLEEPER].ends);
	assert_int_equal(told[SLEEPER].threads, 0);
	for (int i = READER; i <= SLEEPER; i++)
		assert_int_equal(told[i].late + told[i].early, 0);
	assert_int_equal(c[KERNEL_WAKERS_LOST] + c[KERNEL_WAKERS_LEFT], 0);
}

static void who_ends_waits_for_futexes_alone(void **state)
{
	uint64_t c[KERNEL_COUNTER_COUNT];
	(void)state;
	watch((struct kernel_options){.off_cpu_wakers = KERNEL_WAKERS_OF_LOCKS}, QUIET, c);
	assert_true(told[LOCKER].right > 10);
	assert_int_equal(told[READER].threads + told[SLEEPER].interrupts, 0);
}

static void nobody_where_it_is_not_asked_for(void **state)
{
	uint64_t c[KERNEL_COUNTER_COUNT];
	(void)state;
	watch((struct kernel_options){0}, QUIET, c);
	assert_true(told[READER].ends > 10);
	assert_int_equal(told[READER].threads + told[LOCKER].threads + told[SLEEPER].interrupts, 0);
	assert_int_equal(c[KERNEL_WAKERS] + c[KERNEL_WAKERS_LEFT] + c[KERNEL_WAKERS_LOST], 0);
}

// More at a time than are taken are counted.
static void not_without_end(void **state)
{
	uint64_t c[KERNEL_COUNTER_COUNT];
	(void)state;
	watch(
	    (struct kernel_options){
		.off_cpu_wakers = KERNEL_WAKERS_ALL, .off_cpu_min_ns = 1, .off_cpu_every = 1},
	    1u << PING | 1u << PONG, c);
	print_message("%lu wakers, %lu left\n", c[KERNEL_WAKERS], c[KERNEL_WAKERS_LEFT]);
	assert_true(c[KERNEL_WAKERS] > 0 && c[KERNEL_WAKERS_LEFT] > c[KERNEL_WAKERS]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(who_wakes),
	    cmocka_unit_test(who_ends_waits_for_futexes_alone),
	    cmocka_unit_test(nobody_where_it_is_not_asked_for),
	    cmocka_unit_test(not_without_end),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
