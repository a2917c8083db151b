// SPDX-License-Identifier: Apache-2.0
// Samples of memory that becomes resident, against a child that touches so much: small pages, huge
// ones, pages of a file. And the hook for huge pages, which is there while they are. Needs root.
#include <stdlib.h>

#include "../../modules/kernel/memory.c"
#include "kernel_scene.h"

#include <bpf/btf.h>

#define BYTES (128ul << 20)
#define PERIOD (1ul << 20)
#define HUGE (2ul << 20)

static uint32_t child;
static uint64_t samples[MEMORY_KINDS], bytes[MEMORY_KINDS], elsewhere, kernel_frames;
static char *area;

static BARE void touch(void)
{
	for (size_t i = 0; i < BYTES; i += 4096)
		((volatile char *)area)[i] = 1;
}

static BARE void look(void)
{
	for (size_t i = 0; i < BYTES; i += 4096)
		(void)((volatile char *)area)[i];
}

static void on_record(void *arg, const struct record *record)
{
	const struct record_sample *s = (const void *)record;
	(void)arg;
	if (record->kind != RECORD_SAMPLE || s->pid != child)
		return;
	assert_int_equal(s->source, SOURCE_MEMORY);
	assert_true(s->reason < MEMORY_KINDS);
	const u64 *leaf = s->frames + s->kernel_frames;
	bool here =
	    s->user_frames && (*leaf - (uintptr_t)touch < 256 || *leaf - (uintptr_t)look < 256);
	if (s->reason == MEMORY_FAULT &&
	    (s->object < (uintptr_t)area || s->object >= (uintptr_t)area + BYTES)) {
		elsewhere++;
		return;
	}
	if (!here)
		return;
	kernel_frames += s->kernel_frames;
	samples[s->reason]++;
	bytes[s->reason] += s->value;
}

static bool governed;

static struct kernel *start(uint64_t period)
{
	struct kernel_options o = {.max_depth = 127,
	    .memory_period = period,
	    .governed = governed,
	    .on_record = on_record};
	struct kernel *k = scene_permitted(&o);
	if (!k)
		skip();
	scene_start(k);
	assert_null(kernel_memory_why(k));
	assert_null(kernel_off_cpu_why(k)); // not asked for
	return k;
}

// In a child, whose samples are taken; the sum of what they stand for.
static uint64_t told_of(struct kernel *k, void (*work)(void))
{
	int go, status;
	memset(samples, 0, sizeof(samples));
	memset(bytes, 0, sizeof(bytes));
	elsewhere = kernel_frames = 0;
	pid_t pid = scene_child(work, &go);
	child = (uint32_t)pid;
	assert_int_equal(write(go, "", 1), 1);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	scene_drain(k);
	close(go);
	uint64_t all = bytes[MEMORY_FAULT] + bytes[MEMORY_BEYOND] + bytes[MEMORY_BEFORE];
	print_message("%lu MiB touched, told %lu: %lu samples of faults, %lu beyond, %lu before; "
		      "%lu elsewhere\n",
	    BYTES >> 20, all >> 20, samples[MEMORY_FAULT], samples[MEMORY_BEYOND],
	    samples[MEMORY_BEFORE], elsewhere);
	return all;
}

static void end(struct kernel *k)
{
	scene_free(k);
	munmap(area, BYTES);
}

// Aligned for huge pages.
static void map(int advice)
{
	char *p =
	    mmap(NULL, BYTES + HUGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_true(p != MAP_FAILED);
	area = (char *)(((uintptr_t)p + HUGE - 1) & ~(HUGE - 1));
	munmap(p, (size_t)(area - p));
	munmap(area + BYTES, (size_t)(p + HUGE - area));
	assert_int_equal(madvise(area, BYTES, advice), 0);
}

static bool huge_pages_are_there(void)
{
	char text[128] = "";
	uint64_t pages;
	return says(SIZES "/enabled", text, sizeof(text)) && !strstr(text, "[never]") &&
	       handed_out(&pages);
}

static void what_is_touched_is_told(void **state)
{
	(void)state;
	map(MADV_NOHUGEPAGE);
	struct kernel *k = start(PERIOD);
	uint64_t told = told_of(k, touch);
	// A period may be left on each CPU, and others' faults count towards it.
	assert_in_range(told, BYTES * 90 / 100, BYTES * 110 / 100);
	assert_int_equal(bytes[MEMORY_FAULT], samples[MEMORY_FAULT] * PERIOD);
	assert_in_range(samples[MEMORY_BEYOND] + samples[MEMORY_BEFORE], 0, 1);
	end(k);
}

static void huge_pages_count_as_what_they_are(void **state)
{
	(void)state;
	if (!huge_pages_are_there())
		skip();
	map(MADV_HUGEPAGE);
	struct kernel *k = start(PERIOD);
	uint64_t told = told_of(k, touch);
	assert_in_range(told, BYTES * 95 / 100, BYTES * 105 / 100);
	assert_in_range(samples[MEMORY_BEYOND], 60, 64);
	assert_int_equal(kernel_frames, 0); // no call touched it
	end(k);
}

// One of eight stacks bears what eight do.
static void fewer_stacks_bear_more(void **state)
{
	(void)state;
	const uint64_t period = PERIOD / 32, every = 8;
	bool huge = huge_pages_are_there();
	governed = true;
	for (int of_huge = 0; of_huge <= huge; of_huge++) {
		map(of_huge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
		struct kernel *k = start(period);
		kernel_set_rates(k, every);
		uint64_t told = told_of(k, touch);
		assert_int_equal(bytes[MEMORY_FAULT], samples[MEMORY_FAULT] * period * every);
		if (of_huge) // 64 in all
			assert_int_equal(
			    bytes[MEMORY_BEYOND], samples[MEMORY_BEYOND] * (HUGE - 4096) * every);
		else // 512 are left of 4,096
			assert_in_range(told, BYTES * 75 / 100, BYTES * 125 / 100);
		end(k);
	}
	governed = false;
}

// A sample of more than one of them, and of less.
static void pages_around_the_one_that_is_touched_count(void **state)
{
	(void)state;
	struct btf *btf = btf__load_vmlinux_btf();
	bool traced = btf && btf__find_by_name_kind(
				 btf, "btf_trace_mm_filemap_map_pages", BTF_KIND_TYPEDEF) > 0;
	btf__free(btf);
	if (!traced)
		skip();
	static const uint64_t periods[] = {PERIOD, 8192};
	int fd = memfd_create("pages", MFD_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, BYTES), 0);
	map(MADV_NOHUGEPAGE);
	for (size_t i = 0; i < BYTES; i += 1 << 20)
		assert_int_equal(pwrite(fd, area, 1 << 20, (off_t)i), 1 << 20);
	munmap(area, BYTES);
	for (size_t i = 0; i < 2; i++) {
		area = mmap(NULL, BYTES, PROT_READ, MAP_SHARED, fd, 0);
		assert_true(area != MAP_FAILED);
		struct kernel *k = start(periods[i]);
		uint64_t told = 0;
		// In a ring of 256 KiB there is no room for all of these.
		if (i == 0) {
			told = told_of(k, look);
			assert_in_range(told, BYTES * 95 / 100, BYTES * 105 / 100);
			assert_true(samples[MEMORY_BEYOND] > samples[MEMORY_FAULT]);
		} else {
			uint64_t c[KERNEL_COUNTER_COUNT];
			told = told_of(k, look);
			assert_int_equal(kernel_counters(k, c), 0);
			assert_true(c[KERNEL_MEMORY_LOST]);
			// Of others too.
			assert_true(told + c[KERNEL_MEMORY_LOST_BYTES] >= BYTES * 95 / 100);
		}
		end(k);
	}
	close(fd);
}

static void the_hook_is_there_while_huge_pages_are(void **state)
{
	(void)state;
	if (!huge_pages_are_there() || has_sizes_between(huge_bytes()))
		skip();
	map(MADV_HUGEPAGE);
	struct kernel *k = start(PERIOD);
	assert_non_null(k->huge.link);
	uint64_t now = clock_now();
	memory_look(k, now + LOOK_NS); // nothing is wrong with a look
	// Others may get some meanwhile.
	for (int i = 0; i < 100 && k->huge.link; i++)
		memory_look(k, now += QUIET_NS + LOOK_NS);
	assert_null(k->huge.link);
	uint64_t unseen = count_get(COUNT_HUGE_UNSEEN);
	k->huge.looked_ns = UINT64_MAX / 2; // draining does not look
	assert_in_range(told_of(k, touch), 0, PERIOD);
	memory_look(k, UINT64_MAX);
	assert_non_null(k->huge.link);
	assert_true(count_get(COUNT_HUGE_UNSEEN) >= unseen + BYTES / HUGE);
	uint64_t unseen_bytes, pages = kernel_huge_unseen(k, &unseen_bytes);
	assert_int_equal(pages, count_get(COUNT_HUGE_UNSEEN) - unseen);
	assert_int_equal(unseen_bytes, pages * HUGE);
	k->huge.looked_ns = UINT64_MAX / 2;
	assert_in_range(told_of(k, touch), BYTES * 95 / 100, BYTES * 105 / 100);
	kernel_stop(k);
	assert_null(k->huge.link);
	end(k);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(what_is_touched_is_told),
	    cmocka_unit_test(huge_pages_count_as_what_they_are),
	    cmocka_unit_test(fewer_stacks_bear_more),
	    cmocka_unit_test(pages_around_the_one_that_is_touched_count),
	    cmocka_unit_test(the_hook_is_there_while_huge_pages_are),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
