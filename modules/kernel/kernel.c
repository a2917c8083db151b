// SPDX-License-Identifier: Apache-2.0
// Loading, attaching, draining, counting.
#include "private.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <linux/perf_event.h>
#include <stdarg.h>
#include <sys/ioctl.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../../bpf/walk.h"
#include "telegen.skel.h"

#define PRESENT "/sys/devices/system/cpu/present"
#define ONLINE "/sys/devices/system/cpu/online"
#define CPUS_MAX 4096u
#define STACK_MAX "/proc/sys/kernel/perf_event_max_stack"
#define STACK_MAX_DEFAULT 127
// Between two samples that wake us: of one CPU, and divided among all of them.
#define WAKE_CPU_NS (20 * NS_PER_MS)
#define WAKE_ALL_NS (5 * NS_PER_MS)
#define KERNEL_STACK 16384 // of a task, bytes, where the kernel itself does not tell (before 5.15)
#define INITIAL_PIDS                                                                               \
	0xEFFFFFFCu // inode of the initial pid namespace (PROC_PID_INIT_INO, linux/proc_ns.h)

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
}

// Each program of steps calls the next one through this map.
static int link_steps(struct kernel *k)
{
	uint32_t zero = 0;
	int next = bpf_program__fd(k->bpf->progs.cpu_more_steps);
	return k->steps &&
		       bpf_map_update_elem(bpf_map__fd(k->bpf->maps.more), &zero, &next, BPF_ANY)
		   ? -errno
		   : 0;
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

static int explain(int error, char *why, size_t size, const char *what)
{
	if (error == -EPERM || error == -EACCES)
		snprintf(why, size,
		    "%s: not permitted: run as root, or with CAP_BPF and CAP_PERFMON "
		    "(CAP_SYS_ADMIN before Linux 5.8)%s%s",
		    what, *first_warning ? ": " : "", first_warning);
	else if (error == -ENOMEM)
		snprintf(why, size,
		    "%s: no memory within memory_limit: raise it, or see `telegen check`", what);
	else
		snprintf(why, size, "%s: %s%s%s: see `telegen check`", what, strerror(-error),
		    *first_warning ? ": " : "", first_warning);
	return error;
}

static int load(struct kernel *k, char *why, size_t size)
{
	struct rlimit unlimited = {RLIM_INFINITY, RLIM_INFINITY};
	setrlimit(RLIMIT_MEMLOCK,
	    &unlimited); // needed before 5.11 only; refused without CAP_SYS_RESOURCE
	libbpf_set_print(on_print);
	*first_warning = 0;
	k->bpf = telegen_bpf__open();
	if (!k->bpf)
		return explain(-errno, why, size, "BPF object");
	set_sizes(k);
	choose_programs(k);
	uint64_t refused = count_get(COUNT_MEM_REFUSED);
	int error = telegen_bpf__load(k->bpf);
	if (error && count_get(COUNT_MEM_REFUSED) > refused)
		error = -ENOMEM; // whatever libbpf made of it
	if (error)
		return explain(error, why, size, "loading BPF");
	error = link_steps(k);
	if (error)
		return explain(error, why, size, "BPF programs");
	error = charge_maps(k);
	if (error)
		return explain(error, why, size, "BPF maps");
	error = table_open(k);
	if (error)
		return explain(error, why, size, "unwind tables");
	int ring = bpf_map__fd(k->bpf->maps.ring);
	error = drain_open(k, ring, bpf_map__max_entries(k->bpf->maps.ring));
	// There nearly always is something in the ring; it matters only when a sample wakes us.
	struct epoll_event event = {.events = EPOLLIN | EPOLLET};
	if (!error && epoll_ctl(k->wake_fd, EPOLL_CTL_ADD, ring, &event) < 0)
		error = -errno;
	return error ? explain(error, why, size, "BPF ring") : 0;
}

// In another pid namespace perf tells of processes by ids of that one, while samples carry those of
// the initial one: what happened to one process would be told of another.
bool kernel_pids_are_foreign(void)
{
	struct stat st;
	return stat("/proc/self/ns/pid", &st) == 0 && st.st_ino != INITIAL_PIDS;
}

static int count_cpus(struct kernel *k)
{
	k->cpu_count = perf_cpu_list(PRESENT, NULL, CPUS_MAX);
	int possible =
	    libbpf_num_possible_cpus(); // the kernel fills a value for each, whatever we think
	if (!k->cpu_count || possible <= 0)
		return possible < 0 ? possible : -ENOENT;
	k->possible = (uint32_t)possible;
	k->side_bytes = SIDE_MOST;
	while (k->side_bytes > SIDE_LEAST && (uint64_t)k->side_bytes * k->cpu_count > SIDE_ALL)
		k->side_bytes /= 2;
	if (k->side_bytes < k->page)
		k->side_bytes = k->page;
	return 0;
}

static int make_room(struct kernel *k)
{
	k->cpus = mem_alloc(ACCOUNT_KERNEL, k->cpu_count * sizeof(*k->cpus));
	k->event = mem_alloc(ACCOUNT_KERNEL, EVENT_MAX);
	k->counter_values =
	    mem_alloc(ACCOUNT_KERNEL, k->possible * KERNEL_COUNTER_COUNT * sizeof(uint64_t));
	for (uint32_t i = 0; k->cpus && i < k->cpu_count; i++)
		k->cpus[i] = (struct cpu){.tick_fd = -1, .side_fd = -1};
	return k->cpus && k->event && k->counter_values ? 0 : -ENOMEM;
}

struct kernel *kernel_new(const struct kernel_options *options, char *why, size_t size)
{
	struct kernel *k = mem_alloc(ACCOUNT_KERNEL, sizeof(*k));
	int error = -ENOMEM;
	if (!k)
		return explain(error, why, size, "kernel"), NULL;
	k->options = *options;
	if (k->options.max_depth > FRAMES_MAX)
		k->options.max_depth = FRAMES_MAX;
	k->page = (uint32_t)sysconf(_SC_PAGESIZE);
	k->foreign = kernel_pids_are_foreign();
	k->wake_fd = epoll_create1(EPOLL_CLOEXEC);
	error = k->wake_fd < 0 ? -errno : count_cpus(k);
	if (k->wake_fd < 0)
		error = explain(error, why, size, "epoll");
	else if (error)
		error = explain(error, why, size, "CPUs in /sys/devices/system/cpu");
	else if ((error = make_room(k)))
		error = explain(error, why, size, "kernel");
	else
		error = load(k, why, size);
	if (error) {
		kernel_free(k);
		return errno = -error, NULL;
	}
	return k;
}

void kernel_free(struct kernel *k)
{
	if (!k)
		return;
	kernel_stop(k);
	bpf_link__destroy(k->exit_link);
	bpf_link__destroy(k->fork_link);
	for (uint32_t i = 0; k->cpus && i < k->cpu_count; i++)
		perf_close_cpu(k, i);
	if (k->wake_fd >= 0)
		close(k->wake_fd);
	drain_close(k);
	table_close(k);
	telegen_bpf__destroy(k->bpf);
	mem_charge(ACCOUNT_MAPS, -(int64_t)k->map_bytes);
	mem_free(k->asked);
	mem_free(k->counter_values);
	mem_free(k->event);
	mem_free(k->cpus);
	mem_free(k);
}

static int attach_cpu(struct kernel *k, uint32_t cpu)
{
	int error = perf_open_cpu(k, cpu);
	if (error == -ENODEV)
		return 0; // it went offline just now
	if (error)
		return error;
	// bpf_link came in 5.15; the ioctl serves every kernel and dies with the descriptor too.
	int tick = k->cpus[cpu].tick_fd;
	int program =
	    bpf_program__fd(k->steps ? k->bpf->progs.cpu_tick_steps : k->bpf->progs.cpu_tick);
	if (tick >= 0 && ioctl(tick, PERF_EVENT_IOC_SET_BPF, program) < 0)
		error = -errno;
	else if (k->started)
		error = perf_enable(k, cpu, true);
	if (error)
		perf_close_cpu(k, cpu);
	return error;
}

static void detach_cpu(struct kernel *k, uint32_t cpu)
{
	// Mapping events that nobody read go with it.
	count_add(COUNT_MMAP_LOST, 1);
	perf_close_cpu(k, cpu);
}

int kernel_rescan_cpus(struct kernel *k)
{
	uint8_t online[CPUS_MAX] = {0};
	uint32_t top = perf_cpu_list(ONLINE, online, CPUS_MAX);
	k->cpus_looked = clock_now();
	if (!top)
		return -ENOENT;
	// One that was not there when the BPF maps got their size has no place in them.
	int error = top > k->cpu_count ? -ENOSPC : 0;
	for (uint32_t i = 0; i < k->cpu_count; i++) {
		struct cpu *c = &k->cpus[i];
		if (c->side_fd >= 0 && (!online[i] || (k->started && !perf_alive(k, i))))
			detach_cpu(k, i);
		if (online[i] && c->side_fd < 0) {
			int e = attach_cpu(k, i);
			error = error ? error : e;
		}
	}
	return error;
}

int kernel_start(struct kernel *k, char *why, size_t size)
{
	*first_warning = 0;
	k->exit_link = bpf_program__attach(k->bpf->progs.task_exit);
	if (!k->exit_link)
		return explain(-errno, why, size, "tracepoint sched_process_exit");
	if (k->options.only_listed) {
		k->fork_link = bpf_program__attach(k->bpf->progs.task_fork);
		if (!k->fork_link)
			return explain(-errno, why, size, "tracepoint sched_process_fork");
	}
	k->started = true;
	if (k->foreign)
		log_warn("not in the host's pid namespace (hostPID: true, --pid=host): "
			 "user code of processes stays unnamed");
	int error = kernel_rescan_cpus(k);
	return error ? explain(error, why, size, "perf events on each CPU") : 0;
}

void kernel_stop(struct kernel *k)
{
	if (!k->started)
		return;
	k->started = false;
	for (uint32_t i = 0; i < k->cpu_count; i++) {
		int error = perf_enable(k, i, false);
		if (error)
			log_warn(
			    "perf events of CPU %u: could not be stopped: %s", i, strerror(-error));
	}
}

int kernel_wake_fd(const struct kernel *k)
{
	return k->wake_fd;
}

void kernel_woken(struct kernel *k)
{
	struct epoll_event events[16];
	// Asking clears what perf noted; the events themselves say nothing more.
	while (epoll_wait(k->wake_fd, events, 16, 0) == 16)
		;
}

int kernel_want(struct kernel *k, uint32_t pid, int want)
{
	int fd = bpf_map__fd(k->bpf->maps.listed);
	uint32_t value = k->options.only_listed ? LISTED : UNWANTED;
	bool put = k->options.only_listed ? want : !want;
	if (!put)
		return bpf_map_delete_elem(fd, &pid) && errno != ENOENT ? -errno : 0;
	return bpf_map_update_elem(fd, &pid, &value, BPF_ANY) ? -errno : 0;
}

int kernel_counters(struct kernel *k, uint64_t counters[KERNEL_COUNTER_COUNT])
{
	uint32_t zero = 0;
	memset(counters, 0, KERNEL_COUNTER_COUNT * sizeof(*counters));
	if (bpf_map_lookup_elem(bpf_map__fd(k->bpf->maps.counters), &zero, k->counter_values))
		return -errno;
	for (uint32_t cpu = 0; cpu < k->possible; cpu++)
		for (uint32_t i = 0; i < KERNEL_COUNTER_COUNT; i++)
			counters[i] += k->counter_values[cpu * KERNEL_COUNTER_COUNT + i];
	return 0;
}

static const struct {
	const char *label, *text;
} counter_rows[] = {
#define X(id, label, text) {label, text},
    KERNEL_COUNTERS(X)
#undef X
};

const char *kernel_counter_label(enum kernel_counter c)
{
	return counter_rows[c].label;
}

const char *kernel_counter_text(enum kernel_counter c)
{
	return counter_rows[c].text;
}

uint32_t kernel_cpus(const struct kernel *k)
{
	uint32_t n = 0;
	for (uint32_t i = 0; i < k->cpu_count; i++)
		n += k->cpus[i].side_fd >= 0;
	return n;
}

uint64_t kernel_map_bytes(const struct kernel *k)
{
	return k->map_bytes;
}

uint64_t kernel_run_time(const struct kernel *k, uint64_t *runs)
{
	uint64_t ns = 0;
	struct bpf_program *p;
	*runs = 0;
	bpf_object__for_each_program(p, k->bpf->obj)
	{
		struct bpf_prog_info info = {0};
		uint32_t size = sizeof(info);
		if (bpf_program__fd(p) < 0 ||
		    bpf_obj_get_info_by_fd(bpf_program__fd(p), &info, &size))
			continue;
		ns += info.run_time_ns;
		*runs += info.run_cnt;
	}
	return ns;
}
