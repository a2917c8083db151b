// SPDX-License-Identifier: Apache-2.0
// Loading: what of the BPF object this kernel gets, with which sizes.
#include "private.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <unistd.h>

#include "../../bpf/walk.h"
#include "telegen.skel.h"

#define STACK_MAX "/proc/sys/kernel/perf_event_max_stack"
#define STACK_MAX_DEFAULT 127
// Between two samples that wake us: of one CPU, and divided among all of them.
#define WAKE_CPU_NS (20 * NS_PER_MS)
#define WAKE_ALL_NS (5 * NS_PER_MS)
#define KERNEL_STACK 16384 // of a task, bytes, where the kernel itself does not tell (before 5.15)
#define NEEDS_LOOP "this kernel lacks bpf_loop: needs Linux 5.17"

// libbpf tells causes only in print, and has no argument for it; of a call that fails the first
// warning says most.
static char first_warning[256];

static int on_print(enum libbpf_print_level level, const char *format, va_list args)
{
	char line[512];
	if (level == LIBBPF_DEBUG)
		return 0;
	int n = vsnprintf(line, sizeof(line), format, args);
	line[strcspn(line, "\n")] = 0;
	if (level == LIBBPF_WARN && !*first_warning && strncmp(line, "libbpf: ", 8) == 0)
		text_copy(first_warning, sizeof(first_warning), line + 8);
	log_debug("%s", line);
	return n;
}

// How deep the kernel walks at most.
static uint32_t stack_max(void)
{
	char text[16] = "";
	uint64_t value = 0;
	int fd = open(STACK_MAX, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? 0 : read(fd, text, sizeof(text) - 1);
	if (fd >= 0)
		close(fd);
	if (n <= 0 || text_number(text, strcspn(text, "\n"), 10, &value) || value > UINT32_MAX)
		return STACK_MAX_DEFAULT;
	return (uint32_t)value;
}

static void set_sizes(struct kernel *k)
{
	const struct kernel_options *o = &k->options;
	struct telegen_bpf *b = k->bpf;
	b->rodata->user_frames_max = o->max_depth;
	b->rodata->no_kernel_frames = o->no_kernel_frames;
	b->rodata->no_user_frames = o->no_user_frames;
	b->rodata->only_listed = o->only_listed;
	b->rodata->use_listed = o->wanted_max > 0;
	b->rodata->cpu_period_ns = o->cpu_period_ns;
	b->rodata->kernel_stack_max = stack_max();
	bpf_map__set_max_entries(b->maps.ring, o->ring_bytes ? o->ring_bytes : 256 * 1024);
	bpf_map__set_max_entries(b->maps.listed, o->wanted_max ? o->wanted_max : 1);
	bpf_map__set_max_entries(b->maps.scratches, k->cpu_count);
	bpf_map__set_value_size(b->maps.scratches, (uint32_t)SCRATCH_SIZE(o->max_depth));
	// In all so many that the loop stays free for other things.
	uint64_t gap = WAKE_ALL_NS * k->cpu_count;
	b->rodata->wake_gap_ns = gap > WAKE_CPU_NS ? gap : WAKE_CPU_NS;
	b->rodata->kernel_stack_bytes = KERNEL_STACK;
#if defined(__aarch64__)
	if (k->page > KERNEL_STACK)
		b->rodata->kernel_stack_bytes = k->page;
	// Our own stack lies at the top of what a process can have.
	b->rodata->address_bits = 64 - (uint32_t)__builtin_clzll((uintptr_t)&gap);
#endif
	table_sizes(k);
}

bool kernel_has_helper(int type, int helper)
{
	// Of a program type that it has not, libbpf finds no complaint about the helper.
	return libbpf_probe_bpf_prog_type((enum bpf_prog_type)type, NULL) == 1 &&
	       libbpf_probe_bpf_helper((enum bpf_prog_type)type, (enum bpf_func_id)helper, NULL) ==
		   1;
}

// What the kernel lets us do it is asked; its version says nothing of what was ported back.
static void choose_programs(struct kernel *k)
{
	struct telegen_bpf *b = k->bpf;
	k->steps =
	    k->options.no_loop || !kernel_has_helper(BPF_PROG_TYPE_PERF_EVENT, BPF_FUNC_loop);
	bpf_program__set_autoload(b->progs.cpu_tick, !k->steps);
	bpf_program__set_autoload(b->progs.take_tick, !k->steps);
	bpf_map__set_autocreate(b->maps.tick_takers, !k->steps);
	bool raw = k->beyond || k->locks || k->mapped;
	bpf_program__set_autoload(b->progs.take_raw, raw);
	bpf_map__set_autocreate(b->maps.raw_takers, raw);
	bpf_program__set_autoload(b->progs.cpu_tick_steps, k->steps);
	bpf_program__set_autoload(b->progs.cpu_more_steps, k->steps);
	bpf_map__set_autocreate(b->maps.more, k->steps);
	b->rodata->use_task_btf = !k->options.no_loop && kernel_has_helper(BPF_PROG_TYPE_PERF_EVENT,
							     BPF_FUNC_get_current_task_btf);
	b->rodata->use_task_regs =
	    b->rodata->use_task_btf &&
	    kernel_has_helper(BPF_PROG_TYPE_PERF_EVENT, BPF_FUNC_task_pt_regs);
	bpf_program__set_autoload(b->progs.task_fork, k->options.only_listed);
	k->names = kernel_has_helper(BPF_PROG_TYPE_SYSCALL, BPF_FUNC_snprintf);
	bpf_program__set_autoload(b->progs.name_kernel, k->names);
	off_choose(k);
	wake_choose(k);
	b->rodata->lock_min_ns = k->options.lock_min_ns;
	bpf_program__set_autoload(b->progs.lock_begins, k->locks);
	bpf_program__set_autoload(b->progs.lock_ends, k->locks);
	bpf_program__set_autoload(b->progs.lock_leaves, k->locks);
	bpf_map__set_autocreate(b->maps.lock_waits, k->locks);
	alloc_choose(k);
	rates_choose(k);
	memory_choose(k);
	mapped_choose(k);
}

// Puts PROGRAM into MAP, by which others go on with it; one that was not loaded is none.
static int link_one(const struct bpf_map *map, const struct bpf_program *program)
{
	uint32_t zero = 0;
	int fd = bpf_program__fd(program);
	return fd >= 0 && bpf_map_update_elem(bpf_map__fd(map), &zero, &fd, BPF_ANY) ? -errno : 0;
}

static int link_programs(struct kernel *k)
{
	const struct telegen_bpf *b = k->bpf;
	int error = link_one(b->maps.more, b->progs.cpu_more_steps);
	if (!error)
		error = link_one(b->maps.tick_takers, b->progs.take_tick);
	return error ? error : link_one(b->maps.raw_takers, b->progs.take_raw);
}

// What a map costs is what the kernel says in fdinfo (memlock), page tables aside.
uint64_t map_cost(int fd)
{
	char path[64], line[256];
	uint64_t bytes = 0;
	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	FILE *f = fopen(path, "re");
	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "memlock: %lu", (unsigned long *)&bytes) == 1)
			break;
	if (f)
		fclose(f);
	return bytes;
}

static int charge_maps(struct kernel *k)
{
	struct bpf_map *m;
	bpf_object__for_each_map(m, k->bpf->obj)
	{
		if (bpf_map__fd(m) >= 0)
			k->map_bytes += table_cost(k, m);
	}
	int error = mem_charge(ACCOUNT_MAPS, (int64_t)k->map_bytes);
	if (error)
		k->map_bytes = 0;
	return error;
}

void kernel_forget_warning(void)
{
	*first_warning = 0;
}

int kernel_explain(int error, char *why, size_t size, const char *what)
{
	if (error == -EPERM || error == -EACCES)
		snprintf(why, size,
		    "%s: not permitted: run as root, or with CAP_BPF and CAP_PERFMON "
		    "(CAP_SYS_ADMIN before Linux 5.8)%s%s: see `telegen check`",
		    what, *first_warning ? ": " : "", first_warning);
	else if (error == -ENOMEM)
		snprintf(why, size,
		    "%s: no memory within memory_limit: raise it, or see `telegen check`", what);
	else if (error == -EMFILE)
		snprintf(
		    why, size, "%s: %s: raise their limit: `ulimit -n`", what, strerror(-error));
	else
		snprintf(why, size, "%s: %s%s%s: see `telegen check`", what, strerror(-error),
		    *first_warning ? ": " : "", first_warning);
	return error;
}

// What of all that was asked for there may be, as far as it shows before loading.
static void choose_profilers(struct kernel *k)
{
	int memory = k->options.memory_period ? perf_try_memory(k) : 0;
	bool loops =
	    !k->options.no_loop && kernel_has_helper(BPF_PROG_TYPE_PERF_EVENT, BPF_FUNC_loop);
	k->memory = k->beyond = k->options.memory_period && !memory && loops;
	if (memory)
		kernel_explain(memory, k->memory_why, sizeof(k->memory_why), "page fault events");
	else if (k->options.memory_period && !loops)
		text_copy(k->memory_why, sizeof(k->memory_why), NEEDS_LOOP);
	k->mapped = k->options.mapped && loops;
	if (k->options.mapped && !loops)
		text_copy(k->mapped_why, sizeof(k->mapped_why), NEEDS_LOOP);
	k->locks = k->options.locks && loops;
	if (k->options.locks && !loops)
		text_copy(k->locks_why, sizeof(k->locks_why), NEEDS_LOOP);
	k->off_level = k->options.off_cpu ? off_level(k) : OFF_NONE;
	if (k->options.off_cpu && k->off_level == OFF_NONE)
		text_copy(k->off_why, sizeof(k->off_why), NEEDS_LOOP);
	k->wakes = k->options.off_cpu_wakers && k->off_level != OFF_NONE;
	k->alloc_level = k->options.alloc_live && loops ? alloc_level() : ALLOC_NONE;
	if (k->options.alloc_live && k->alloc_level == ALLOC_NONE)
		alloc_lacks_links(k);
}

// Without what the kernel refuses to load, if CPU profiles come so.
static int load_some(struct kernel *k, char *why, size_t size)
{
	choose_profilers(k);
	for (;;) {
		*first_warning = 0;
		k->bpf = telegen_bpf__open();
		if (!k->bpf)
			return kernel_explain(-errno, why, size, "BPF object");
		set_sizes(k);
		choose_programs(k);
		uint64_t refused = count_get(COUNT_MEM_REFUSED);
		int error = telegen_bpf__load(k->bpf);
		if (error && count_get(COUNT_MEM_REFUSED) > refused)
			error = -ENOMEM; // whatever libbpf made of it
		bool raw = strstr(first_warning, "'take_raw'");
		bool untraced =
		    error && k->locks && (raw || strstr(first_warning, "contention_"));
		if (error && k->mapped && (raw || strstr(first_warning, "mapped"))) {
			k->mapped = false;
			kernel_explain(error, k->mapped_why, sizeof(k->mapped_why), "loading BPF");
			telegen_bpf__destroy(k->bpf);
			continue;
		}
		if (error && k->beyond && (raw || strstr(first_warning, "'memory_"))) {
			log_warn("huge pages count as small ones: %s", first_warning);
			k->beyond = false;
			telegen_bpf__destroy(k->bpf);
			continue;
		}
		if (!error || error == -ENOMEM ||
		    (k->off_level == OFF_NONE && k->alloc_level == ALLOC_NONE && !k->locks))
			return error ? kernel_explain(error, why, size, "loading BPF") : 0;
		if (!untraced && k->wakes) {
			k->wakes = false;
			kernel_explain(error, k->wakes_why, sizeof(k->wakes_why), "loading BPF");
		} else if (!untraced && k->alloc_level != ALLOC_NONE) {
			k->alloc_level = ALLOC_NONE;
			kernel_explain(error, k->alloc_why, sizeof(k->alloc_why), "loading BPF");
		} else if (untraced || k->off_level == OFF_NONE) {
			k->locks = false;
			text_copy(k->locks_why, sizeof(k->locks_why),
			    untraced && !raw ? "this kernel does not trace them: needs Linux 5.19"
					     : first_warning);
		} else if (--k->off_level == OFF_NONE) {
			kernel_explain(error, k->off_why, sizeof(k->off_why), "loading BPF");
		}
		telegen_bpf__destroy(k->bpf);
	}
}

int kernel_load(struct kernel *k, char *why, size_t size)
{
	struct rlimit unlimited = {RLIM_INFINITY, RLIM_INFINITY};
	setrlimit(RLIMIT_MEMLOCK,
	    &unlimited); // needed before 5.11 only; refused without CAP_SYS_RESOURCE
	libbpf_set_print(on_print);
	int error = load_some(k, why, size);
	if (error)
		return error;
	error = link_programs(k);
	if (error)
		return kernel_explain(error, why, size, "BPF programs");
	error = charge_maps(k);
	if (!error)
		error = alloc_begin(k);
	if (error)
		return kernel_explain(error, why, size, "BPF maps");
	error = table_open(k);
	if (error)
		return kernel_explain(error, why, size, "unwind tables");
	int ring = bpf_map__fd(k->bpf->maps.ring);
	error = drain_open(k, ring, bpf_map__max_entries(k->bpf->maps.ring));
	// There nearly always is something in the ring; it matters only when a sample wakes us.
	struct epoll_event event = {.events = EPOLLIN | EPOLLET, .data.u32 = WAKE_SAMPLE};
	if (!error && epoll_ctl(k->wake_fd, EPOLL_CTL_ADD, ring, &event) < 0)
		error = -errno;
	return error ? kernel_explain(error, why, size, "BPF ring") : 0;
}
