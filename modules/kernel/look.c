// SPDX-License-Identifier: Apache-2.0
// Time off the CPU: what of it this kernel lets us have, and looks at all threads.
//
//   read(16)     | head |                        of the first record that a look writes
//   read(rest)   | ... | record | record | ...    what it writes of the same thread
//
// An iterator goes on from thread to thread until something was written, then read() returns: so
// each piece of a look ends with a thread, and a pause is a head of kind 0 (bpf/look.bpf.h).
#include "private.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../../bpf/look.h"
#include "../../bpf/walk.h"
#include "telegen.skel.h"

// What a thread that is followed costs: the sizes that the kernel's allocator gives for a struct
// bpf_local_storage, which all BPF programs share, and for an element of it with our value.
#define STORAGE_BYTES (192 + 192)
// One sample with all frames, and what comes with it.
#define LOOK_RECORDS 512

// Helpers of tracing programs alone cannot be asked for: these are found out by loading.
enum off_level off_level(const struct kernel *k)
{
	static const int helpers[] = {
	    BPF_FUNC_get_current_task_btf, BPF_FUNC_task_pt_regs, BPF_FUNC_loop};
	for (size_t i = 0; i < sizeof(helpers) / sizeof(*helpers); i++)
		if (k->options.no_loop || !kernel_has_helper(BPF_PROG_TYPE_PERF_EVENT, helpers[i]))
			return OFF_NONE;
	return OFF_LOOKS;
}

// May a program that runs under the scheduler's locks make room for a thread? Not before Linux 6.4.
static bool switch_creates(const struct kernel *k)
{
	LIBBPF_OPTS(bpf_test_run_opts, run);
	int error = bpf_prog_test_run_opts(bpf_program__fd(k->bpf->progs.off_creates), &run);
	return !error && run.retval;
}

void off_choose(struct kernel *k)
{
	struct telegen_bpf *b = k->bpf;
	const struct kernel_options *o = &k->options;
	bool any = k->off_level != OFF_NONE;
	struct bpf_map *maps[] = {b->maps.offs, b->maps.look_controls, b->maps.look_areas};
	for (size_t i = 0; i < sizeof(maps) / sizeof(*maps); i++)
		bpf_map__set_autocreate(maps[i], any);
	bpf_program__set_autoload(b->progs.off_switch, any);
	bpf_program__set_autoload(b->progs.off_exit, any);
	bpf_program__set_autoload(b->progs.off_fork, any);
	bpf_program__set_autoload(b->progs.off_creates, any);
	bpf_program__set_autoload(b->progs.look_whole, k->off_level == OFF_LOOKS);
	bpf_program__set_autoload(b->progs.look_times, k->off_level == OFF_TIMES);
	b->rodata->off_min_ns = o->off_cpu_min_ns;
	uint64_t least = o->off_cpu_min_ns / 4096 + 1;
	b->rodata->gate_least_us = least < INT32_MAX ? (uint32_t)least : INT32_MAX;
	b->rodata->off_kernel = o->off_cpu_kernel;
	uint32_t gate = (uint32_t)(o->off_cpu_stacks / (NS_PER_S / GATE_NS) / k->cpu_count);
	b->rodata->gate_stacks = gate > GATE_STACKS ? gate : GATE_STACKS;
	b->rodata->off_every = o->off_cpu_every;
	b->rodata->off_look_ns = k->off_level == OFF_LOOKS ? LOOK_NS : 0;
	uint32_t scratch = bpf_map__value_size(b->maps.scratches),
		 longest = (uint32_t)SCRATCH_SIZE(FRAMES_MAX);
	if (k->off_level == OFF_LOOKS)
		bpf_map__set_value_size(b->maps.look_areas,
		    bpf_map__value_size(b->maps.look_areas) - longest + scratch);
}

int off_attach(struct kernel *k)
{
	struct telegen_bpf *b = k->bpf;
	struct look *l = &k->look;
	if (k->off_level == OFF_NONE)
		return 0;
	void *p = mmap(NULL, k->page, PROT_READ | PROT_WRITE, MAP_SHARED,
	    bpf_map__fd(b->maps.look_controls), 0);
	if (p == MAP_FAILED)
		return -errno;
	l->control = p;
	l->size = (uint32_t)(sizeof(struct record_sample) +
			     8 * (KERNEL_FRAMES_MAX + k->options.max_depth) + LOOK_RECORDS);
	l->records = mem_alloc(ACCOUNT_KERNEL, l->size);
	if (!l->records)
		return -ENOMEM;
	l->control->first_ns = l->control->since_ns = clock_now();
	l->exit_link = bpf_program__attach(b->progs.off_exit);
	bool forks = !switch_creates(k);
	if (l->exit_link && forks)
		l->fork_link = bpf_program__attach(b->progs.off_fork);
	if (l->exit_link && (l->fork_link || !forks))
		l->switch_link = bpf_program__attach(b->progs.off_switch);
	if (l->switch_link)
		l->link = bpf_program__attach_iter(
		    k->off_level == OFF_LOOKS ? b->progs.look_whole : b->progs.look_times, NULL);
	return l->link ? 0 : -errno;
}

void off_stop(struct kernel *k)
{
	bpf_link__destroy(k->look.fork_link);
	bpf_link__destroy(k->look.switch_link);
	k->look.fork_link = k->look.switch_link = NULL;
}

void off_close(struct kernel *k)
{
	struct look *l = &k->look;
	off_stop(k);
	if (l->fd > 0)
		close(l->fd);
	bpf_link__destroy(l->link);
	bpf_link__destroy(l->exit_link);
	mem_free(l->records);
	if (l->control)
		munmap(l->control, k->page);
	mem_charge(ACCOUNT_MAPS, -(int64_t)l->charged);
	*l = (struct look){0};
}

const char *kernel_off_cpu_why(const struct kernel *k)
{
	return *k->off_why ? k->off_why : NULL;
}

// Threads that are followed are charged when they have been counted; where the limit refuses, no
// more are.
static void charge_storages(struct kernel *k)
{
	uint64_t counters[KERNEL_COUNTER_COUNT];
	struct look *l = &k->look;
	if (kernel_counters(k, counters))
		return;
	uint64_t live = counters[KERNEL_STORAGES] - counters[KERNEL_STORAGES_ENDED];
	int64_t more = (int64_t)(live * STORAGE_BYTES) - (int64_t)l->charged;
	bool refused = mem_charge(ACCOUNT_MAPS, more) != 0;
	if (!refused)
		l->charged += (uint64_t)more;
	l->control->full = refused;
}

static int begin(struct kernel *k, uint64_t until, enum look_again again)
{
	struct look *l = &k->look;
	if (l->fd > 0)
		close(l->fd);
	l->fd = bpf_iter_create(bpf_link__fd(l->link));
	if (l->fd < 0) {
		int error = -errno;
		l->fd = 0;
		return error;
	}
	l->began_ns = clock_now();
	l->until = l->control->until_ns = until;
	l->control->again = again;
	l->control->drained_ns = k->drained_ns;
	return 0;
}

static int end(struct kernel *k, int error)
{
	struct look *l = &k->look;
	close(l->fd);
	l->fd = 0;
	if (!error) {
		l->control->since_ns = l->began_ns;
		charge_storages(k);
	}
	return error;
}

// What was mapped before a stack was taken is told before it.
static void hand(struct kernel *k, const struct record *r)
{
	k->left = INT_MAX;
	perf_drain(k, r->time_ns);
	trim_hand(k, r);
}

// The records of one thread. How many bytes, 0: the look is through, or -errno.
static ssize_t read_thread(struct look *l)
{
	ssize_t first, rest;
	do
		first = read(l->fd, l->records, sizeof(struct record));
	while (first < 0 && (errno == EINTR || errno == EAGAIN));
	if (first <= 0)
		return first < 0 ? -errno : 0;
	if (first < (ssize_t)sizeof(struct record))
		return -EIO;
	const struct record *r = (const void *)l->records;
	if (r->size == sizeof(*r) && r->kind == 0)
		return first;
	rest = read(l->fd, l->records + first, l->size - (size_t)first);
	return rest < 0 ? -errno : first + rest;
}

static int hand_thread(struct kernel *k, size_t bytes)
{
	for (size_t at = 0; at < bytes;) {
		const struct record *r = (const void *)(k->look.records + at);
		if (bytes - at < sizeof(*r) || r->size < sizeof(*r) || r->size > bytes - at) {
			count_add(COUNT_RECORDS_BAD, 1);
			return -EIO;
		}
		if (r->kind)
			hand(k, r);
		at += r->size;
	}
	return 0;
}

static int look(struct kernel *k, uint64_t until, enum look_again again, uint64_t budget_ns)
{
	struct look *l = &k->look;
	uint64_t pause = clock_now() + budget_ns;
	if (!l->link)
		return 0;
	if (l->fd <= 0 || until != l->until || again != l->control->again) {
		int error = begin(k, until, again);
		if (error)
			return error;
	}
	l->control->pause_ns = pause;
	do {
		ssize_t n = read_thread(l);
		int error = n > 0 ? hand_thread(k, (size_t)n) : (int)n;
		if (n <= 0 || error)
			return end(k, error);
	} while (clock_now() < pause);
	return 1;
}

int kernel_look(struct kernel *k, uint64_t until, uint64_t budget_ns)
{
	return look(k, until, LOOK_ANEW, budget_ns);
}

int kernel_look_again(struct kernel *k, bool lost, uint64_t budget_ns)
{
	if (k->off_level != OFF_LOOKS)
		return 0;
	return look(k, 0, lost ? LOOK_WHATEVER : LOOK_LACKING, budget_ns);
}
