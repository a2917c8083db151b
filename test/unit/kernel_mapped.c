// SPDX-License-Identifier: Apache-2.0
// Samples of growth of mapped memory, against what the kernel says that a child has (VmData of
// /proc/PID/status, which is what the marks are of): to the byte. Needs root.
#include <stdlib.h>
#include <fcntl.h>

#include "../../modules/kernel/mapped.c"
#include "kernel_scene.h"

#define MIB (1ul << 20)

static uint32_t child;
static uint64_t growth, rest, growths, samples, here, kernel_frames;
static struct {
	uint64_t most; // VmData
} * said;

static void on_record(void *arg, const struct record *record)
{
	const struct record_sample *s = (const void *)record;
	(void)arg;
	if (record->kind != RECORD_SAMPLE || s->pid != child)
		return;
	assert_int_equal(s->source, SOURCE_MAPPED);
	assert_in_range(s->object, s->reason == MAPPED_GROWTH, 1 << 20);
	growths += s->object;
	samples++;
	if (s->reason == MAPPED_REST) {
		assert_int_equal(s->kernel_frames + s->user_frames, 0);
		rest += s->value;
		return;
	}
	assert_int_equal(s->reason, MAPPED_GROWTH);
	assert_true(s->value >= LEAST_PAGES * (uint64_t)sysconf(_SC_PAGESIZE));
	growth += s->value;
	kernel_frames += s->kernel_frames;
	here += s->user_frames > 0 ? s->value : 0;
}

static struct kernel *start(bool mapped)
{
	struct kernel_options o = {.max_depth = 127,
	    .mapped = mapped,
	    .memory_period = MIB,
	    .ring_bytes = MIB,
	    .on_record = on_record};
	if (mapped)
		o.memory_period = 0;
	struct kernel *k = scene_permitted(&o);
	if (!k)
		skip();
	scene_start(k);
	if (mapped && kernel_mapped_why(k)) {
		print_message("%s\n", kernel_mapped_why(k));
		kernel_free(k);
		skip();
	}
	return k;
}

static void end(struct kernel *k)
{
	scene_free(k);
}

// Bytes; no memory is asked for to read it.
static BARE uint64_t data_of(const char *status)
{
	static char text[8192];
	uint64_t kilobytes = 0;
	int fd = open(status, O_RDONLY | O_CLOEXEC);
	ssize_t n = read(fd, text, sizeof(text) - 1);
	close(fd);
	text[n > 0 ? n : 0] = 0;
	const char *at = strstr(text, "VmData:");
	for (at = at ? at + 7 : ""; *at == '\t' || *at == ' '; at++)
		;
	for (; *at >= '0' && *at <= '9'; at++)
		kilobytes = kilobytes * 10 + (uint64_t)(*at - '0');
	return kilobytes << 10;
}

static BARE void look_here(void)
{
	uint64_t now = data_of("/proc/self/status");
	if (now > said->most)
		said->most = now;
}

static BARE char *map(size_t size, int protection)
{
	char *at = mmap(NULL, size, protection, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	look_here();
	return at;
}

// What was told of the child PID, which is at GO, when it has ended: bytes.
static uint64_t told_of(struct kernel *k, pid_t pid, int go)
{
	int status;
	growth = rest = growths = samples = here = kernel_frames = 0;
	child = (uint32_t)pid;
	assert_int_equal(write(go, "", 1), 1);
	close(go);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	scene_drain(k);
	print_message("told %lu KiB of %lu growths in %lu samples, %lu KiB the rest\n",
	    growth >> 10, growths, samples, rest >> 10);
	return growth + rest;
}

static BARE void grow_in_all_ways(void)
{
	char *large = map(10 * MIB, PROT_READ | PROT_WRITE);
	for (int i = 0; i < 20; i++)
		map(8192, PROT_READ | PROT_WRITE);
	char *none = map(64 * MIB, PROT_NONE); // nothing yet
	mprotect(none, 5 * MIB, PROT_READ | PROT_WRITE);
	look_here();
	(void)!sbrk(3 * MIB);
	look_here();
	large = mremap(large, 10 * MIB, 12 * MIB, MREMAP_MAYMOVE);
	look_here();
	munmap(large, 12 * MIB);
	map(8 * MIB, PROT_READ | PROT_WRITE); // below the mark
}

static void what_is_told_is_the_growth_of_the_highest(void **state)
{
	(void)state;
	struct kernel *k = start(true);
	uint64_t c[KERNEL_COUNTER_COUNT];
	int go;
	uint64_t before = said->most = data_of("/proc/self/status");
	pid_t pid = scene_child(grow_in_all_ways, &go);
	uint64_t told = told_of(k, pid, go);
	assert_int_equal(told, said->most - before);
	assert_in_range(growth + rest, 20 * MIB, 21 * MIB);
	assert_in_range(growths, 24, 30);
	assert_in_range(samples, 4 + 2, 4 + 4);
	assert_int_equal(here, growth);	      // all have a stack
	assert_true(kernel_frames > samples); // of a call
	assert_int_equal(kernel_counters(k, c), 0);
	assert_int_equal(c[KERNEL_MAPPED_LOST], 0);
	assert_int_equal(c[KERNEL_MAPPED_UNSEEN], 0);
	assert_true(c[KERNEL_MAPPED_BYTES] >= c[KERNEL_MAPPED_TOLD_BYTES]);
	end(k);
}

static BARE void churn(void)
{
	for (int i = 0; i < 1000; i++)
		munmap(map(4 * MIB, PROT_READ | PROT_WRITE), 4 * MIB);
}

static void churn_is_told_once(void **state)
{
	(void)state;
	struct kernel *k = start(true);
	int go;
	uint64_t before = said->most = data_of("/proc/self/status");
	pid_t pid = scene_child(churn, &go);
	uint64_t told = told_of(k, pid, go);
	assert_int_equal(told, said->most - before);
	assert_in_range(growth, 4 * MIB, 4 * MIB);
	assert_int_equal(samples, 1);
	end(k);
}

static BARE void storm(void)
{
	for (int i = 0; i < 20000; i++)
		mmap(NULL, 128 * 1024, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	look_here();
}

// The ring would not hold them all.
static void of_very_many_growths_samples_bear_several(void **state)
{
	(void)state;
	struct kernel *k = start(true);
	uint64_t c[KERNEL_COUNTER_COUNT];
	int go;
	uint64_t before = said->most = data_of("/proc/self/status");
	pid_t pid = scene_child(storm, &go);
	uint64_t told = told_of(k, pid, go);
	assert_int_equal(told, said->most - before);
	assert_int_equal(growths, 20000);
	assert_in_range(samples, 32, 5000);
	assert_in_range(rest, 0, growth / 10);
	assert_int_equal(kernel_counters(k, c), 0);
	assert_int_equal(c[KERNEL_MAPPED_LOST], 0);
	end(k);
}

// One that was there before, by the look at the start.
static void a_process_that_was_there_is_followed(void **state)
{
	(void)state;
	int go;
	uint64_t before = said->most = data_of("/proc/self/status");
	pid_t pid = scene_child(grow_in_all_ways, &go);
	struct kernel *k = start(true);
	uint64_t told = told_of(k, pid, go);
	assert_int_equal(told, said->most - before);
	end(k);
}

static void *sleep_a_little(void *arg)
{
	usleep(1000);
	return arg;
}

static BARE void start_threads(void)
{
	pthread_t t[4];
	pthread_attr_t a;
	pthread_attr_init(&a);
	pthread_attr_setstacksize(&a, MIB);
	for (int i = 0; i < 4; i++)
		pthread_create(&t[i], &a, sleep_a_little, NULL);
	look_here();
	for (int i = 0; i < 4; i++)
		pthread_join(t[i], NULL);
	if (!fork()) // another's
		_exit(!map(MIB, PROT_READ | PROT_WRITE));
	wait(NULL);
}

static void stacks_of_threads_are_growth_and_forks_are_none(void **state)
{
	(void)state;
	struct kernel *k = start(true);
	int go;
	uint64_t before = said->most = data_of("/proc/self/status");
	pid_t pid = scene_child(start_threads, &go);
	uint64_t told = told_of(k, pid, go);
	// A sanitizer maps more for each, and lets go of it; what is seen here is between.
	assert_in_range(told, 4 * MIB, said->most - before + MIB);
	end(k);
}

static BARE void run_a_program(void)
{
	map(2 * MIB, PROT_READ | PROT_WRITE);
	execl("/bin/cat", "cat", "/proc/self/status", NULL);
	_exit(1);
}

// What it has is all told, be it by the small: it begins at 0. Read from what it prints.
static void a_program_begins_at_nothing(void **state)
{
	(void)state;
	struct kernel *k = start(true);
	char path[] = "/tmp/telegen-mapped-XXXXXX";
	int go, out = mkstemp(path), old = dup(1);
	uint64_t before = said->most = data_of("/proc/self/status");
	dup2(out, 1);
	pid_t pid = scene_child(run_a_program, &go);
	dup2(old, 1);
	close(old);
	uint64_t told = told_of(k, pid, go);
	uint64_t has = data_of(path), of_child = said->most - before;
	unlink(path);
	close(out);
	assert_true(has > 0);
	assert_in_range(told, of_child + has, of_child + has + 256 * 1024); // it let go of some
	end(k);
}

static uint32_t marks_of(struct kernel *k, uint32_t pid)
{
	struct {
		uint64_t pages, rest, growths;
		uint32_t pid, pad;
	} mark;
	int fd = bpf_map__fd(k->bpf->maps.marks);
	uint64_t key, *at = NULL;
	uint32_t n = 0;
	for (; !bpf_map_get_next_key(fd, at, &key); at = &key)
		n += !pid || (!bpf_map_lookup_elem(fd, &key, &mark) && mark.pid == pid);
	return n;
}

static void marks_go_with_their_memory(void **state)
{
	(void)state;
	struct kernel *k = start(true);
	int go;
	pid_t pid = scene_child(grow_in_all_ways, &go);
	assert_true(marks_of(k, 0) > 1);
	told_of(k, pid, go);
	assert_int_equal(marks_of(k, (uint32_t)pid), 0);
	end(k);
}

static void too_many_are_counted(void **state)
{
	(void)state;
	struct kernel *k = start(true);
	uint64_t c[KERNEL_COUNTER_COUNT], value[4] = {0}, key = 1;
	int go, fd = bpf_map__fd(k->bpf->maps.marks);
	while (!bpf_map_update_elem(fd, &key, value, BPF_ANY))
		key++;
	assert_int_equal(errno, E2BIG);
	pid_t pid = scene_child(churn, &go);
	assert_int_equal(told_of(k, pid, go), 0);
	assert_int_equal(kernel_counters(k, c), 0);
	assert_true(c[KERNEL_MAPPED_UNSEEN]);
	end(k);
}

static void what_is_not_asked_for_is_not_there(void **state)
{
	(void)state;
	struct kernel *k = start(false);
	assert_null(kernel_mapped_why(k));
	assert_true(bpf_program__fd(k->bpf->progs.memory_mapped) < 0);
	assert_true(bpf_program__fd(k->bpf->progs.mapped_before) < 0);
	assert_true(bpf_map__fd(k->bpf->maps.marks) < 0);
	end(k);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(what_is_told_is_the_growth_of_the_highest),
	    cmocka_unit_test(churn_is_told_once),
	    cmocka_unit_test(of_very_many_growths_samples_bear_several),
	    cmocka_unit_test(a_process_that_was_there_is_followed),
	    cmocka_unit_test(stacks_of_threads_are_growth_and_forks_are_none),
	    cmocka_unit_test(a_program_begins_at_nothing),
	    cmocka_unit_test(marks_go_with_their_memory),
	    cmocka_unit_test(too_many_are_counted),
	    cmocka_unit_test(what_is_not_asked_for_is_not_there),
	};
	said = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
