// SPDX-License-Identifier: Apache-2.0
// Looks at many threads: what they find is what the gate finds, none is held up long, threads that
// come and go lose nothing, and a gate that takes one of fifty stays just. Needs root.
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>

#include "kernel_scene.h"

#define MANY 2000
#define SLEEPERS 48
#define SPREAD 4
#define DEEP 90 // calls, of which each takes a good part of a page
#define FRAMES 200
#define MS(ns) ((double)(ns) / 1e6)

static struct shared {
	uint64_t sleep_ns[3], off_ns; // truth: of the sleepers, of threads that came and went
	uint32_t threads;
	uint32_t stop;
} * shared;

static uint64_t now_ns(clockid_t clock)
{
	struct timespec t;
	clock_gettime(clock, &t);
	return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
}

static __attribute__((noinline)) void nap(long ms)
{
	struct timespec t = {0, ms * 1000000};
	nanosleep(&t, NULL);
	__asm__ volatile("" ::: "memory");
}

// The write after the call keeps it a call, and the frame pointer's chain leads over it.
#define SLEEPS(name, ms)                                                                           \
	static __attribute__((noinline)) void name(void)                                           \
	{                                                                                          \
		nap(ms);                                                                           \
		__asm__ volatile("" ::: "memory");                                                 \
	}
SLEEPS(sleep70, 70)
SLEEPS(sleep20, 20)
SLEEPS(sleep10, 10)

static void sleeper(void)
{
	static void (*const parts[])(void) = {sleep70, sleep20, sleep10};
	usleep((useconds_t)(hash_mix((uint64_t)gettid()) % 100000)); // not in step
	for (int i = gettid() % 3;; i++) {
		uint64_t began = now_ns(CLOCK_MONOTONIC);
		parts[i % 3]();
		__atomic_fetch_add(
		    &shared->sleep_ns[i % 3], now_ns(CLOCK_MONOTONIC) - began, __ATOMIC_RELAXED);
	}
}

static __attribute__((noinline)) void dive(int depth)
{
	char room[1500];
	__asm__ volatile("" ::"r"(room) : "memory");
	if (depth)
		dive(depth - 1);
	while (!shared->stop)
		sleep20();
	__asm__ volatile("" ::"r"(room) : "memory");
}

static void *thread(void *arg)
{
	void (*run)(void) = (void (*)(void))(uintptr_t)arg;
	__atomic_add_fetch(&shared->threads, 1, __ATOMIC_RELEASE);
	run();
	return NULL;
}

// One thread's long waits stand among many that are too short to count, nine wait long each time.
static void one_is_rare(void)
{
	static uint32_t first;
	bool rare = !__atomic_fetch_add(&first, 1, __ATOMIC_RELAXED);
	for (;;) {
		for (int i = 0; rare && i < 10; i++)
			usleep(50);
		(rare ? sleep10 : sleep20)();
	}
}

static void still(void)
{
	for (;;)
		pause();
}

static void deep(void)
{
	dive(DEEP);
}

// How long this thread has waited for a CPU so far.
static uint64_t waited(void)
{
	uint64_t ns = 0;
	FILE *f = fopen("/proc/thread-self/schedstat", "re");
	if (!f)
		return 0;
	if (fscanf(f, "%*u %lu", &ns) != 1)
		ns = 0;
	fclose(f);
	return ns;
}

static void short_lived(void)
{
	__atomic_fetch_add(&shared->off_ns, waited(), __ATOMIC_RELAXED);
	uint64_t began = now_ns(CLOCK_MONOTONIC), cpu = now_ns(CLOCK_THREAD_CPUTIME_ID);
	for (int i = 0; i < 3; i++)
		nap(3);
	uint64_t off = now_ns(CLOCK_MONOTONIC) - began - (now_ns(CLOCK_THREAD_CPUTIME_ID) - cpu);
	__atomic_fetch_add(&shared->off_ns, off, __ATOMIC_RELAXED);
}

static void spawn(void (*run)(void))
{
	pthread_attr_t small;
	pthread_t t;
	pthread_attr_init(&small);
	pthread_attr_setstacksize(&small, 256 << 10);
	pthread_attr_setdetachstate(&small, PTHREAD_CREATE_DETACHED);
	while (pthread_create(&t, &small, thread, (void *)(uintptr_t)run))
		usleep(1000);
	pthread_attr_destroy(&small);
}

static uint32_t child;

// COUNT threads that RUN; 0: until it is stopped, one each millisecond.
static void begin(unsigned count, void (*run)(void))
{
	shared = scene_share(sizeof(*shared), NULL, 0);
	pid_t pid = fork();
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (unsigned i = 0; i < count; i++)
			spawn(run);
		while (!count && !shared->stop) {
			usleep(1000);
			spawn(run);
		}
		still();
	}
	assert_true(pid > 0);
	child = (uint32_t)pid;
	while (__atomic_load_n(&shared->threads, __ATOMIC_ACQUIRE) < count)
		usleep(10000);
	usleep(100000);
}

static void end(void)
{
	scene_end((pid_t)child, shared, sizeof(*shared), NULL, 0);
}

// What was told of the child's threads but its first.
static struct told {
	uint32_t tid, block;
	int function;
} threads[8192];
static uint64_t sum, unsampled, shorts, by_function[3], first_told;
static uint32_t samples, blocks_unknown;
static uint32_t least_gap, most_gap; // blocks between two stacks of a thread
static uint64_t frames[FRAMES];	     // of the last sample that is as deep
static uint32_t frame_count, deeper_than;
static uint8_t walk_end;

// Return addresses lie in the function that slept.
static int function_of(const struct record_sample *s)
{
	const uintptr_t f[] = {(uintptr_t)sleep70, (uintptr_t)sleep20, (uintptr_t)sleep10};
	for (uint32_t i = 0; i < s->user_frames && i < 6; i++)
		for (int j = 0; j < 3; j++)
			if (s->frames[s->kernel_frames + i] - f[j] < 32)
				return j;
	return -1;
}

static void on_record(void *arg, const struct record *record)
{
	const struct record_sample *s = (const void *)record;
	const struct record_block *b = (const void *)record;
	(void)arg;
	if (record->kind == RECORD_SAMPLE && s->source == SOURCE_OFF_CPU && s->pid == child) {
		if (s->tid == child) {
			first_told += s->value;
			return;
		}
		sum += s->value;
		*(s->reason == OFF_SHORT ? &shorts : &unsampled) += s->value;
		if (!s->block)
			return;
		const struct told *last = &threads[s->tid % 8192];
		uint32_t gap = last->tid == s->tid ? s->block - last->block : 0;
		most_gap = gap > most_gap ? gap : most_gap;
		least_gap = gap && gap < least_gap ? gap : least_gap;
		threads[s->tid % 8192] = (struct told){s->tid, s->block, function_of(s)};
		samples++;
		if (s->user_frames > deeper_than && s->user_frames <= FRAMES) {
			frame_count = s->user_frames;
			walk_end = s->walk_end;
			memcpy(frames, s->frames + s->kernel_frames, 8 * frame_count);
		}
	} else if (record->kind == RECORD_BLOCK && b->pid == child && b->tid != child) {
		const struct told *t = &threads[b->tid % 8192];
		uint64_t ns = b->blocked_ns + b->runnable_ns;
		sum += ns;
		if (t->tid != b->tid || t->block != b->block)
			blocks_unknown++;
		else if (t->function >= 0) // with what it stands for
			by_function[t->function] +=
			    ns + (b->last ? b->whole_ns * (BLOCK_CHANCE_ONE - b->chance) / b->chance
					  : 0);
	}
}

static void forget(void)
{
	sum = unsampled = shorts = first_told = 0;
	samples = blocks_unknown = frame_count = most_gap = 0;
	least_gap = UINT32_MAX;
	memset(by_function, 0, sizeof(by_function));
}

static uint32_t stacks_wanted; // a second; 0: as an agent does

static struct kernel *start(uint32_t every)
{
	forget();
	struct kernel *k = scene_off_cpu((struct kernel_options){.off_cpu_every = every,
					     .off_cpu_stacks = stacks_wanted,
					     .ring_bytes = 1 << 20,
					     .on_record = on_record},
	    child);
	if (k)
		assert_null(kernel_off_cpu_why(k));
	return k;
}

static uint64_t longest; // CPU time of one call

static unsigned turn(struct kernel *k, bool times, uint64_t budget)
{
	int more;
	unsigned pieces = 0;
	scene_drain(k);
	uint64_t until = times ? clock_now() : 0;
	do {
		uint64_t began = now_ns(CLOCK_THREAD_CPUTIME_ID);
		more = kernel_look(k, until, budget);
		uint64_t took = now_ns(CLOCK_THREAD_CPUTIME_ID) - began;
		longest = took > longest ? took : longest;
		pieces++;
	} while (more == 1);
	assert_int_equal(more, 0);
	return pieces;
}

static void stop(struct kernel *k)
{
	scene_free(k);
	end();
}

static void many_threads_in_pieces(void **state)
{
	(void)state;
	uint64_t c[KERNEL_COUNTER_COUNT];
	begin(MANY, still);
	struct kernel *k = start(0);
	if (!k) {
		end();
		skip();
	}
	longest = 0;
	uint64_t began = now_ns(CLOCK_THREAD_CPUTIME_ID);
	usleep(5000); // longer than what is told as short
	unsigned pieces = turn(k, false, 500000);
	uint64_t first = now_ns(CLOCK_THREAD_CPUTIME_ID) - began;
	assert_int_equal(samples, MANY);
	assert_true(pieces > 3);
	began = now_ns(CLOCK_THREAD_CPUTIME_ID);
	turn(k, false, 500000); // each has its stack
	uint64_t second = now_ns(CLOCK_THREAD_CPUTIME_ID) - began;
	assert_int_equal(samples, MANY);
	usleep(100000);
	forget();
	began = now_ns(CLOCK_THREAD_CPUTIME_ID);
	turn(k, true, 500000);
	uint64_t third = now_ns(CLOCK_THREAD_CPUTIME_ID) - began;
	assert_true(sum >= MANY * 100 * NS_PER_MS && !samples && !blocks_unknown);
	assert_int_equal(kernel_counters(k, c), 0);
	print_message("%u threads: stacks %.1f us each (%u pieces), nothing %.2f us each, times "
		      "%.1f us each; longest piece %.2f ms of CPU; %.0f bytes of maps a thread\n",
	    MANY, (double)first / 1e3 / MANY, pieces, (double)second / 1e3 / MANY,
	    (double)third / 1e3 / MANY, MS(longest),
	    (double)(k ? mem_used(ACCOUNT_MAPS) : 0) / MANY);
	assert_true(longest < 2 * NS_PER_MS);
	stop(k);
}

static void looks_find_what_the_gate_finds(void **state)
{
	(void)state;
	void (*const runs[])(void) = {deep, still, sleeper};
	for (int i = 0; i < 2; i++) {
		uint64_t seen[FRAMES];
		uint32_t count;
		deeper_than = i ? 0 : DEEP;
		begin(1, runs[i]);
		struct kernel *k = start(i ? 1u << 30 : 1);
		if (!k) {
			end();
			skip();
		}
		if (i) { // it moves no more: only looks see it
			usleep(5000);
			int more;
			while ((more = kernel_look_again(k, false, NS_PER_S)) == 1)
				;
			assert_int_equal(more + (int)samples, 0); // it lacks no rows, but all
			turn(k, false, NS_PER_S);
			assert_int_equal(samples, 1);
			while ((more = kernel_look_again(k, false, NS_PER_S)) == 1)
				;
			assert_int_equal(more + (int)samples, 1);
			while ((more = kernel_look_again(k, true, NS_PER_S)) == 1)
				;
			assert_int_equal(more + (int)samples, 2); // what was taken is gone
			assert_true(frame_count > 1);
			stop(k);
			continue;
		}
		usleep(100000);
		scene_drain(k);
		assert_true(samples > 2);
		assert_true(frame_count > DEEP);
		count = frame_count;
		uint8_t ended = walk_end;
		memcpy(seen, frames, sizeof(seen));
		kernel_free(k);
		k = start(1u << 30);
		for (int tries = 0; !samples && tries < 100; tries++) {
			usleep(5000);
			turn(k, false, NS_PER_S);
		}
		assert_int_equal(frame_count, count);
		assert_int_equal(walk_end, ended);
		assert_memory_equal(frames, seen, 8 * count);
		stop(k);
	}
	deeper_than = 0;
}

static void threads_that_come_and_go(void **state)
{
	(void)state;
	begin(0, short_lived);
	struct kernel *k = start(0);
	if (!k) {
		end();
		skip();
	}
	uint64_t off_before = shared->off_ns;
	uint32_t before = shared->threads;
	for (int i = 1; i <= 10; i++) {
		usleep(200000);
		turn(k, i % 3 == 0, NS_PER_MS);
	}
	shared->stop = 1;
	usleep(200000);
	turn(k, true, NS_PER_S);
	turn(k, true, NS_PER_S);
	uint64_t c[KERNEL_COUNTER_COUNT];
	assert_int_equal(kernel_counters(k, c), 0);
	print_message(
	    "%u threads came and went: off %.1f ms, told %.1f ms (%.1f short, %.1f unsampled); "
	    "%lu of %lu followed to their end\n",
	    shared->threads - before, MS(shared->off_ns - off_before), MS(sum), MS(shorts),
	    MS(unsampled), c[KERNEL_STORAGES_ENDED], c[KERNEL_STORAGES]);
	assert_true(shared->threads - before > 300);
	// They measure from their first instruction on, and how long they waited for a CPU before;
	// what comes after is told too.
	uint64_t off = shared->off_ns - off_before;
	assert_true(sum >= off * 99 / 100 - 20 * NS_PER_MS);
	assert_true(sum <= off * 110 / 100);
	assert_int_equal(c[KERNEL_LOST_RING], 0);
	// On a busy machine the kernel may have no room at once: the next switch finds some.
	assert_true(c[KERNEL_STORAGES_FAILED] <= c[KERNEL_STORAGES] / 100);
	assert_true(c[KERNEL_STORAGES_ENDED] >= shared->threads - before);
	stop(k);
}

static void one_of_fifty_is_just(void **state)
{
	(void)state;
	begin(SLEEPERS, sleeper);
	struct kernel *k = start(50);
	if (!k) {
		end();
		skip();
	}
	usleep(150000);
	turn(k, true, NS_PER_S);
	forget();
	uint64_t from[3], truth = 0, stacks = 0;
	memcpy(from, shared->sleep_ns, sizeof(from));
	for (int i = 1; i <= 30; i++) {
		// Not in step with the threads, which go round in 100 ms.
		usleep((useconds_t)(100000 + rand() % 200000));
		turn(k, i % 15 == 0, NS_PER_S);
	}
	for (int i = 0; i < 3; i++) {
		truth += from[i] = shared->sleep_ns[i] - from[i];
		stacks += by_function[i];
	}
	print_message("one of 50: %u stacks stand for %.0f%% of the time\n", samples,
	    100.0 * (double)stacks / (double)sum);
	assert_true(stacks > sum * 7 / 10 && stacks < sum * 13 / 10);
	for (int i = 0; i < 3; i++)
		print_message("  %.1f%% told %.1f%%\n", 100.0 * (double)from[i] / (double)truth,
		    100.0 * (double)by_function[i] / (double)stacks);
	for (int i = 0; i < 3; i++) {
		double wrong =
		    (double)by_function[i] / (double)stacks - (double)from[i] / (double)truth;
		assert_true(wrong > -0.07 && wrong < 0.07);
	}
	stop(k);
}

static void naps(void)
{
	for (;;)
		nap(1);
}

// Of eight blocks one after the other the gate takes one: never long none of a thread's, nor many.
static void what_is_drawn_is_spread(void **state)
{
	(void)state;
	begin(SPREAD, naps);
	struct kernel *k = start(8);
	if (!k) {
		end();
		skip();
	}
	for (int i = 0; i < 100; i++) {
		usleep(10000);
		scene_drain(k);
	}
	print_message(
	    "%u stacks, at least %u and at most %u blocks apart\n", samples, least_gap, most_gap);
	assert_true(samples > 100);
	assert_true(least_gap < 8 && most_gap > 8 && most_gap <= 16);
	stop(k);
}

// Fewer blocks begin than the gate may take: then it takes those that count, however rare.
static void the_gate_takes_what_counts(void **state)
{
	(void)state;
	begin(6, one_is_rare);
	stacks_wanted = 4000;
	struct kernel *k = start(0);
	stacks_wanted = 0;
	if (!k) {
		end();
		skip();
	}
	for (int i = 0; i < 20; i++) {
		if (i == 4) { // by now it knows them
			turn(k, true, NS_PER_S);
			forget();
		}
		usleep(100000);
		scene_drain(k);
	}
	turn(k, true, NS_PER_S);
	print_message("%u stacks; %.1f ms, of these %.1f short, %.1f unsampled\n", samples, MS(sum),
	    MS(shorts), MS(unsampled));
	assert_true(samples > 100 && unsampled < sum / 25);
	stop(k);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(many_threads_in_pieces),
	    cmocka_unit_test(looks_find_what_the_gate_finds),
	    cmocka_unit_test(threads_that_come_and_go),
	    cmocka_unit_test(one_of_fifty_is_just),
	    cmocka_unit_test(what_is_drawn_is_spread),
	    cmocka_unit_test(the_gate_takes_what_counts),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
