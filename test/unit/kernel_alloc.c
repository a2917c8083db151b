// SPDX-License-Identifier: Apache-2.0
// Probes on an allocator, which here are functions of this very program in a child. Needs root.
#include <stdlib.h>
#include <string.h>
#include <fcntl.h>
#include <math.h>

#include "../../bpf/alloc.h"
#include "../../modules/kernel/alloc.c"
#include "kernel_scene.h"

static char *volatile next; // what the allocator hands out next; NULL: nothing

static __attribute__((noinline)) void *get(size_t size)
{
	char *p = next;
	next = p ? p + size : NULL;
	return p;
}

static __attribute__((noinline)) void *get_cleared(size_t n, size_t size)
{
	char *p = get(n * size); // not counted once more
	asm volatile("" ::: "memory");
	return p;
}

static __attribute__((noinline)) void drop(void *p)
{
	asm volatile("" ::"r"(p) : "memory");
}

static __attribute__((noinline)) void *get_again(void *old, size_t size)
{
	char *p = get(size);
	drop(old);
	return p;
}

static __attribute__((noinline)) void *get_aligned(size_t alignment, size_t size)
{
	char *p = get(size + alignment);
	asm volatile("" ::: "memory");
	return p;
}

static __attribute__((noinline)) int get_posix(void **to, size_t alignment, size_t size)
{
	*to = get(size + alignment);
	return *to ? 0 : ENOMEM;
}

static struct seen {
	uint64_t address, value;
	uint32_t kind, followed;
	bool freed;
} seen[100000];
static unsigned blocks, frees;
static uint32_t child;
static uint64_t in_work, samples;
static void work(void);
static uint32_t ring_bytes = 8 << 20;

static void on_record(void *arg, const struct record *record)
{
	const struct record_sample *s = (const void *)record;
	const struct record_free *f = (const void *)record;
	(void)arg;
	if (record->kind == RECORD_FREE) {
		assert_int_equal(f->pid, child);
		unsigned i = blocks;
		while (i && (seen[i - 1].address != f->address || seen[i - 1].freed))
			i--;
		assert_true(i > 0);
		seen[i - 1].freed = true;
		frees++;
		return;
	}
	if (record->kind != RECORD_SAMPLE || s->source != SOURCE_ALLOC)
		return;
	assert_int_equal(s->pid, child);
	samples++;
	if (blocks < 100000)
		seen[blocks++] = (struct seen){.address = s->object,
		    .value = s->value,
		    .kind = s->reason,
		    .followed = s->block};
	const u64 *leaf = s->frames + s->kernel_frames;
	in_work += s->user_frames && *leaf - (uintptr_t)work < 1024;
}

// Where FUNCTION lies in this program's file.
static uint64_t offset_of(void *function)
{
	uint64_t from, to, offset, found = 0;
	char line[512];
	FILE *f = fopen("/proc/self/maps", "r");
	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "%lx-%lx %*s %lx", &from, &to, &offset) == 3 &&
		    (uintptr_t)function >= from && (uintptr_t)function < to)
			found = (uintptr_t)function - from + offset;
	fclose(f);
	return found;
}

static struct kernel *begin(uint64_t period, uint32_t live, void (*run)(void), int *go)
{
	struct kernel_options o = {.max_depth = 127,
	    .alloc_period = period,
	    .ring_bytes = ring_bytes,
	    .alloc_live = live,
	    .on_record = on_record};
	blocks = frees = 0;
	in_work = samples = 0;
	struct kernel *k = scene_permitted(&o);
	if (!k)
		skip();
	scene_start(k);
	if (kernel_alloc_why(k)) {
		kernel_free(k);
		skip();
	}
	child = (uint32_t)scene_child(run, go);
	return k;
}

static void probe(struct kernel *k, int links[KERNEL_PROBE_LINKS])
{
	struct kernel_probe probes[] = {{offset_of(get), ALLOC_MALLOC},
	    {offset_of(get_cleared), ALLOC_CALLOC}, {offset_of(get_again), ALLOC_REALLOC},
	    {offset_of(get_aligned), ALLOC_ALIGNED}, {offset_of(get_posix), ALLOC_POSIX},
	    {offset_of(drop), ALLOC_FREE}};
	int fd = open("/proc/self/exe", O_RDONLY);
	assert_true(fd >= 0);
	int error = kernel_probe(k, child, fd, probes, 6, links);
	close(fd);
	if (error)
		fail_msg("%s", strerror(-error));
}

static void end(struct kernel *k, int go, int links[KERNEL_PROBE_LINKS])
{
	int status;
	assert_int_equal(write(go, "", 1), 1);
	while (waitpid((pid_t)child, &status, WNOHANG) == 0) {
		kernel_drain(k, 1000);
		usleep(500);
	}
	assert_int_equal(status, 0);
	kernel_unprobe(links);
	scene_drain(k);
	close(go);
}

static __attribute__((noinline)) void work(void)
{
	void *p;
	next = (char *)0x1000000;
	char *a = get(1000);
	char *b = get_cleared(10, 200);
	drop(a);
	b = get_again(b, 3000);
	get_aligned(64, 4000);
	get_posix(&p, 64, 5000);
	drop(p);
	drop(NULL);
	drop((void *)0x77); // was never handed out
	next = NULL;
	get(6000); // there is none
	get_posix(&p, 64, 5000);
}

static void every_call_is_counted_once(void **state)
{
	static const struct seen want[] = {{0x1000000, 1000, ALLOC_MALLOC, 1, true},
	    {0x1000000 + 1000, 2000, ALLOC_CALLOC, 1, true},
	    {0x1000000 + 3000, 3000, ALLOC_REALLOC, 1, false},
	    {0x1000000 + 6000, 4000, ALLOC_ALIGNED, 1, false},
	    {0x1000000 + 10064, 5000, ALLOC_POSIX, 1, true}};
	uint64_t counters[KERNEL_COUNTER_COUNT];
	int go, links[KERNEL_PROBE_LINKS];
	(void)state;
	struct kernel *k = begin(1, 100, work, &go);
	probe(k, links);
	end(k, go, links);
	assert_int_equal(blocks, 5);
	for (int i = 0; i < 5; i++) {
		assert_int_equal(seen[i].address, want[i].address);
		assert_int_equal(seen[i].value, want[i].value);
		assert_int_equal(seen[i].kind, want[i].kind);
		assert_int_equal(seen[i].followed, want[i].followed);
		assert_int_equal(seen[i].freed, want[i].freed);
		assert_int_equal(kernel_block_lives(k, child, want[i].address), !want[i].freed);
	}
	assert_int_equal(in_work, 5); // the caller, not the allocator
	kernel_block_forget(k, child, want[2].address);
	assert_false(kernel_block_lives(k, child, want[2].address));
	assert_int_equal(kernel_counters(k, counters), 0);
	assert_int_equal(counters[KERNEL_ALLOC_CALLS], 7);
	assert_int_equal(
	    counters[KERNEL_ALLOC_BYTES], 1000 + 2000 + 3000 + 4000 + 5000 + 6000 + 5000);
	assert_int_equal(counters[KERNEL_ALLOC_STACKS], 5);
	assert_int_equal(counters[KERNEL_ALLOC_LOST], 0);
	scene_free(k);
}

#define MANY 40000
static void many(void)
{
	static const size_t sizes[] = {16, 100, 4000, 100000};
	for (int i = 0; i < MANY; i++) {
		next = (char *)0x1000000;
		drop(get(sizes[i % 4]));
	}
}

// The weights that user space gives make the whole of it again, for each size by itself.
static void samples_stand_for_all(void **state)
{
	static const size_t sizes[] = {16, 100, 4000, 100000};
	uint64_t counters[KERNEL_COUNTER_COUNT];
	int go, links[KERNEL_PROBE_LINKS];
	(void)state;
	struct kernel *k = begin(1000, 100, many, &go);
	probe(k, links);
	end(k, go, links);
	assert_int_equal(kernel_counters(k, counters), 0);
	assert_int_equal(counters[KERNEL_ALLOC_LOST] + counters[KERNEL_ALLOC_FREE_RING], 0);
	assert_int_equal(frees, blocks);
	for (int s = 0; s < 4; s++) {
		double n = 0, chance = -expm1(-(double)sizes[s] / 1000), all = MANY / 4;
		for (unsigned i = 0; i < blocks; i++)
			n += seen[i].value == sizes[s];
		double spread = sqrt(all * chance * (1 - chance));
		if (fabs(n - all * chance) > 5 * spread + 1e-9)
			fail_msg("%zu bytes: %.0f samples, not %.1f +- %.1f", sizes[s], n,
			    all * chance, spread);
	}
	kernel_free(k);
}

static void leak(void)
{
	next = (char *)0x1000000;
	for (int i = 0; i < 50; i++)
		get(1000);
}

static void a_full_table_is_told(void **state)
{
	uint64_t counters[KERNEL_COUNTER_COUNT];
	int go, links[KERNEL_PROBE_LINKS];
	unsigned followed = 0;
	(void)state;
	struct kernel *k = begin(1, 20, leak, &go);
	probe(k, links);
	end(k, go, links);
	assert_int_equal(blocks, 50);
	for (unsigned i = 0; i < blocks; i++)
		followed += seen[i].followed;
	assert_int_equal(followed, 20);
	assert_int_equal(kernel_counters(k, counters), 0);
	assert_int_equal(counters[KERNEL_ALLOC_FULL], 30);
	kernel_free(k);
}

static void leak_and_free(void)
{
	leak();
	for (int i = 0; i < 50; i++)
		drop((char *)0x1000000 + i * 1000);
}

// What the ring has no room for is counted, and leaves nothing behind.
static void a_full_ring_is_told(void **state)
{
	uint64_t counters[KERNEL_COUNTER_COUNT];
	int go, links[KERNEL_PROBE_LINKS];
	unsigned lives = 0;
	(void)state;
	for (int round = 0; round < 2; round++) {
		ring_bytes = 4096;
		struct kernel *k = begin(1, 1000, round ? leak_and_free : leak, &go);
		ring_bytes = 8 << 20;
		probe(k, links);
		assert_int_equal(write(go, "", 1), 1);
		assert_int_equal(waitpid((pid_t)child, NULL, 0), child);
		kernel_unprobe(links);
		lives = 0;
		for (unsigned i = 0; i < 50; i++)
			lives += kernel_block_lives(k, child, 0x1000000 + i * 1000);
		scene_drain(k);
		assert_int_equal(kernel_counters(k, counters), 0);
		assert_true(counters[KERNEL_ALLOC_LOST] > 0);
		assert_int_equal(counters[KERNEL_ALLOC_LOST] + blocks, 50);
		assert_int_equal(counters[KERNEL_ALLOC_LOST_BYTES], 1000 * (50 - blocks));
		assert_int_equal(lives, round ? 0 : blocks);
		if (round)
			assert_int_equal(counters[KERNEL_ALLOC_FREE_RING] + frees, blocks);
		kernel_free(k);
		close(go);
	}
}

// Threads that lost their CPU while their stack was taken keep no other from its own: each CPU's
// place is held here, then all.
static void a_place_that_is_held_is_no_loss(void **state)
{
	uint64_t counters[KERNEL_COUNTER_COUNT];
	int go, links[KERNEL_PROBE_LINKS];
	(void)state;
	for (int all = 0; all < 2; all++) {
		struct kernel *k = begin(1, 1000, leak, &go);
		int map = bpf_map__fd(k->bpf->maps.alloc_scratches);
		uint32_t held = k->cpu_count + (all ? ALLOC_SPARE : ALLOC_SPARE - 1);
		uint32_t size = bpf_map__value_size(k->bpf->maps.alloc_scratches);
		struct scratch *x = calloc(1, size);
		x->busy = 1;
		for (uint32_t i = 0; i < held; i++)
			assert_int_equal(bpf_map_update_elem(map, &i, x, BPF_ANY), 0);
		free(x);
		probe(k, links);
		end(k, go, links);
		assert_int_equal(kernel_counters(k, counters), 0);
		assert_int_equal(blocks, all ? 0 : 50);
		assert_int_equal(counters[KERNEL_ALLOC_LOST], 0);
		assert_int_equal(counters[KERNEL_ALLOC_MANY], all ? 50 : 0);
		assert_int_equal(counters[KERNEL_ALLOC_MANY_BYTES], all ? 50 * 1000 : 0);
		kernel_free(k);
	}
}

static __attribute__((noinline)) void *get_and_die(size_t size, size_t n)
{
	(void)n;
	kill(getpid(), SIGKILL);
	return get(size);
}

static void die(void)
{
	get_and_die(10, 10);
}

static void a_process_may_end_in_a_call(void **state)
{
	int go, links[KERNEL_PROBE_LINKS], status;
	struct kernel_probe inside = {offset_of(get_and_die), ALLOC_CALLOC};
	uint32_t key;
	(void)state;
	struct kernel *k = begin(1, 1000, die, &go);
	int fd = open("/proc/self/exe", O_RDONLY);
	assert_int_equal(kernel_probe(k, child, fd, &inside, 1, links), 0);
	close(fd);
	assert_int_equal(write(go, "", 1), 1);
	assert_int_equal(waitpid((pid_t)child, &status, 0), child);
	int calls = bpf_map__fd(k->bpf->maps.alloc_calls);
	assert_int_equal(bpf_map_get_next_key(calls, NULL, &key), 0);
	assert_int_equal(key, child);
	kernel_calls_forget(k, child + 1);
	assert_int_equal(bpf_map_get_next_key(calls, NULL, &key), 0);
	kernel_calls_forget(k, child);
	assert_true(bpf_map_get_next_key(calls, NULL, &key) < 0);
	kernel_unprobe(links);
	kernel_free(k);
	close(go);
}

// A child of the process that was asked for has its memory, and its probes, but is another one.
static void fork_and_leak(void)
{
	int status;
	pid_t pid = fork();
	leak();
	if (pid)
		waitpid(pid, &status, 0);
	_exit(0);
}

static void children_are_not_counted(void **state)
{
	int go, links[KERNEL_PROBE_LINKS];
	(void)state;
	struct kernel *k = begin(1, 1000, fork_and_leak, &go);
	probe(k, links);
	end(k, go, links);
	assert_int_equal(samples, 50);
	kernel_free(k);
}

// As HotSpot keeps them, and the functions that it calls.
static struct java {
	uint64_t unused[4], allocated, start, top;
} java = {.start = 0x5000};

static __attribute__((noinline)) void java_tlab(
    void *class, void *object, size_t buffer, size_t size, struct java *thread)
{
	asm volatile("" ::"r"(class), "r"(object), "r"(buffer), "r"(size), "r"(thread) : "memory");
}
static __attribute__((noinline)) void java_outside(
    void *class, void *object, size_t size, struct java *thread)
{
	asm volatile("" ::"r"(class), "r"(object), "r"(size), "r"(thread) : "memory");
}
static __attribute__((noinline)) void java_end(struct java *thread)
{
	asm volatile("" ::"r"(thread) : "memory");
}

static void java_allocated(uint64_t before, uint64_t in_buffer)
{
	java.allocated = before;
	java.top = java.start + in_buffer;
}

static void work_java(void)
{
	java_outside(0, 0, 77, &java); // nothing is known of the thread
	java_allocated(5000, 0);
	java_tlab(0, 0, 1000, 16, &java); // by now it is
	java_allocated(6000, 0);
	java_tlab(0, 0, 1000, 24, &java); // 1000
	java_allocated(10000, 10);
	java_outside(0, 0, 4000, &java); // fits into no buffer
	java_allocated(10200, 900);
	java_outside(0, 0, 200, &java); // stands for a buffer's bytes
	java_allocated(10320, 950);
	java_outside(0, 0, 120, &java); // the second that did not fit
	java_allocated(11300, 0);
	java_tlab(0, 0, 1000, 32, &java); // the third: 204 are left to the next
	java_allocated(11590, 700);
	java_outside(0, 0, 290, &java); // the first again
	java_allocated(12500, 0);
	java_tlab(0, 0, 1000, 40, &java); // 232 are left
	java_allocated(12900, 0);
	java_tlab(0, 0, 1000, 48, &java); // after a collection
	java_allocated(13500, 0);
	java_tlab(0, 0, 5000, 4000, &java); // so large that no buffer holds it
	java_allocated(18250, 0);
	java_tlab(0, 0, 1000, 64, &java); // without it, and with what was left
	java_allocated(18250, 750);
	java_end(&java);
	java_end(&java); // it has ended
	java_outside(0, 0, 1ull << 41, &java);
	java_tlab(0, 0, 1000, 56, (struct java *)8); // not to be read
}

static void java_is_counted_by_thread(void **state)
{
	static const struct seen want[] = {{77, 77, ALLOC_JAVA_OUTSIDE, 0, false},
	    {24, 1000, ALLOC_JAVA_TLAB, 0, false}, {4000, 4000, ALLOC_JAVA_OUTSIDE, 0, false},
	    {200, 976, ALLOC_JAVA_OUTSIDE, 0, false}, {120, 120, ALLOC_JAVA_OUTSIDE, 0, false},
	    {290, 1172, ALLOC_JAVA_OUTSIDE, 0, false}, {48, 632, ALLOC_JAVA_TLAB, 0, false},
	    {4000, 4000, ALLOC_JAVA_TLAB, 0, false}, {64, 1350, ALLOC_JAVA_TLAB, 0, false},
	    {0, 750, ALLOC_JAVA_END, 0, false}, {56, 1000, ALLOC_JAVA_TLAB, 0, false}};
	uint32_t where = ALLOC_JAVA_KIND(0, offsetof(struct java, allocated),
	    offsetof(struct java, start), offsetof(struct java, top));
	struct kernel_probe probes[] = {{offset_of(java_tlab), ALLOC_JAVA_TLAB | where},
	    {offset_of(java_outside), ALLOC_JAVA_OUTSIDE | where},
	    {offset_of(java_end), ALLOC_JAVA_END | where}};
	int go, links[KERNEL_PROBE_LINKS], fd = open("/proc/self/exe", O_RDONLY);
	(void)state;
	struct kernel *k = begin(1, 100, work_java, &go);
	assert_int_equal(kernel_probe(k, child, fd, probes, 3, links), 0);
	assert_int_equal(links[1], -1); // nobody wants the return
	end(k, go, links);
	close(fd);
	assert_int_equal(blocks, 11);
	for (unsigned i = 0; i < 11; i++) {
		assert_int_equal(seen[i].address, want[i].address);
		assert_int_equal(seen[i].value, want[i].value);
		assert_int_equal(seen[i].kind, want[i].kind);
		assert_int_equal(seen[i].followed, 0);
	}
	struct java_thread key, left = {.address = 0x1234, .pid = child};
	int threads = bpf_map__fd(k->bpf->maps.java_threads);
	struct {
		uint64_t bytes, buffer, fitted;
	} told = {0};
	assert_true(bpf_map_get_next_key(threads, NULL, &key) < 0); // they went with their ends
	assert_int_equal(bpf_map_update_elem(threads, &left, &told, BPF_ANY), 0);
	kernel_calls_forget(k, child + 1);
	assert_int_equal(bpf_map_get_next_key(threads, NULL, &key), 0);
	kernel_calls_forget(k, child);
	assert_true(bpf_map_get_next_key(threads, NULL, &key) < 0);
	scene_free(k);
}

static void probes_that_cannot_be_are_refused(void **state)
{
	int go, links[KERNEL_PROBE_LINKS], fd = open("/proc/self/exe", O_RDONLY);
	struct kernel_probe one = {offset_of(get), ALLOC_MALLOC},
			    beyond = {1ull << 40, ALLOC_MALLOC};
	(void)state;
	struct kernel *k = begin(1, 1000, leak, &go);
	assert_int_equal(kernel_probe(k, child, fd, &one, 0, links), -EINVAL);
	assert_int_equal(kernel_probe(k, child, fd, &one, KERNEL_PROBES_MAX + 1, links), -EINVAL);
	assert_true(kernel_probe(k, 0x3ffffff, fd, &one, 1, links) < 0);
	assert_true(kernel_probe(k, child, -1, &one, 1, links) < 0);
	assert_true(kernel_probe(k, child, fd, &beyond, 1, links) < 0);
	assert_int_equal(links[0], -1);
	assert_int_equal(links[1], -1);
	end(k, go, links);
	close(fd);
	assert_int_equal(samples, 0);
	kernel_free(k);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(every_call_is_counted_once),
	    cmocka_unit_test(samples_stand_for_all),
	    cmocka_unit_test(a_full_table_is_told),
	    cmocka_unit_test(a_full_ring_is_told),
	    cmocka_unit_test(a_place_that_is_held_is_no_loss),
	    cmocka_unit_test(a_process_may_end_in_a_call),
	    cmocka_unit_test(children_are_not_counted),
	    cmocka_unit_test(java_is_counted_by_thread),
	    cmocka_unit_test(probes_that_cannot_be_are_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
