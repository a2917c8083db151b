// SPDX-License-Identifier: Apache-2.0
// Made, started, stopped; CPUs that come and go; counters.
#include "private.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <linux/perf_event.h>
#include <sys/ioctl.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <unistd.h>

#include "telegen.skel.h"

#define PRESENT "/sys/devices/system/cpu/present"
#define ONLINE "/sys/devices/system/cpu/online"
#define CPUS_MAX 4096u
#define INITIAL_PIDS                                                                               \
	0xEFFFFFFCu // inode of the initial pid namespace (PROC_PID_INIT_INO, linux/proc_ns.h)

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
	k->own = k->functions = MAP(ACCOUNT_KERNEL);
	k->counter_values =
	    mem_alloc(ACCOUNT_KERNEL, k->possible * KERNEL_COUNTER_COUNT * sizeof(uint64_t));
	for (uint32_t i = 0; k->cpus && i < k->cpu_count; i++)
		k->cpus[i] = (struct cpu){.tick_fd = -1, .side_fd = -1, .memory_fd = -1};
	return k->cpus && k->event && k->counter_values ? 0 : -ENOMEM;
}

struct kernel *kernel_new(const struct kernel_options *options, char *why, size_t size)
{
	struct kernel *k = mem_alloc(ACCOUNT_KERNEL, sizeof(*k));
	int error = -ENOMEM;
	if (!k)
		return kernel_explain(error, why, size, "kernel"), NULL;
	k->options = *options;
	if (k->options.max_depth > FRAMES_MAX)
		k->options.max_depth = FRAMES_MAX;
	k->page = (uint32_t)sysconf(_SC_PAGESIZE);
	k->foreign = kernel_pids_are_foreign();
	k->wake_fd = epoll_create1(EPOLL_CLOEXEC);
	error = k->wake_fd < 0 ? -errno : count_cpus(k);
	if (k->wake_fd < 0)
		error = kernel_explain(error, why, size, "epoll");
	else if (error)
		error = kernel_explain(error, why, size, "CPUs in /sys/devices/system/cpu");
	else if ((error = make_room(k)))
		error = kernel_explain(error, why, size, "kernel");
	else
		error = kernel_load(k, why, size);
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
	wake_stop(k);
	off_close(k);
	rates_close(k);
	locks_stop(k);
	memory_stop(k);
	mapped_stop(k);
	bpf_link__destroy(k->exit_link);
	bpf_link__destroy(k->fork_link);
	for (uint32_t i = 0; k->cpus && i < k->cpu_count; i++)
		perf_close_cpu(k, i);
	if (k->wake_fd >= 0)
		close(k->wake_fd);
	drain_close(k);
	map_clear(&k->own);
	map_clear(&k->functions);
	mem_free(k->trimmed);
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
	int memory = k->cpus[cpu].memory_fd;
	int program =
	    bpf_program__fd(k->steps ? k->bpf->progs.cpu_tick_steps : k->bpf->progs.cpu_tick);
	int faults = k->memory ? bpf_program__fd(k->bpf->progs.memory_tick) : -1;
	if (tick >= 0 && ioctl(tick, PERF_EVENT_IOC_SET_BPF, program) < 0)
		error = -errno;
	else if (memory >= 0 && ioctl(memory, PERF_EVENT_IOC_SET_BPF, faults) < 0)
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
	kernel_forget_warning();
	int error = rates_open(k);
	if (error)
		return kernel_explain(error, why, size, "rates");
	if (k->options.only_listed) {
		k->fork_link = bpf_program__attach(k->bpf->progs.task_fork);
		if (!k->fork_link)
			return kernel_explain(-errno, why, size, "tracepoint sched_process_fork");
	}
	// Behind what lists new processes, before what tells the end of one.
	error = off_attach(k);
	if (error) {
		kernel_explain(error, k->off_why, sizeof(k->off_why), "off-CPU profiles");
		off_close(k);
	}
	error = wake_attach(k);
	if (error)
		kernel_explain(
		    error, k->wakes_why, sizeof(k->wakes_why), "tracepoint sched_waking");
	error = locks_attach(k);
	if (error)
		kernel_explain(
		    error, k->locks_why, sizeof(k->locks_why), "tracepoint contention_begin");
	memory_attach(k);
	error = mapped_attach(k);
	if (error == -ENOENT)
		text_copy(k->mapped_why, sizeof(k->mapped_why),
		    "this kernel does not trace locks of address spaces: needs Linux 5.11 with "
		    "CONFIG_TRACING");
	else if (error)
		kernel_explain(
		    error, k->mapped_why, sizeof(k->mapped_why), "tracepoint mmap_lock_released");
	k->exit_link = bpf_program__attach(k->bpf->progs.task_exit);
	if (!k->exit_link)
		return kernel_explain(-errno, why, size, "tracepoint sched_process_exit");
	k->started = true;
	if (k->foreign)
		log_warn("not in the host's pid namespace (hostPID: true, --pid=host): "
			 "user code of processes stays unnamed");
	error = kernel_rescan_cpus(k);
	return error ? kernel_explain(error, why, size, "perf events on each CPU") : 0;
}

void kernel_stop(struct kernel *k)
{
	if (!k->started)
		return;
	k->started = false;
	wake_stop(k);
	off_stop(k);
	locks_stop(k);
	memory_stop(k);
	mapped_stop(k);
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

bool kernel_woken(struct kernel *k)
{
	struct epoll_event events[16];
	bool sample = false;
	int n;
	do {
		// Asking clears what perf noted, whose events say nothing more.
		n = epoll_wait(k->wake_fd, events, 16, 0);
		for (int i = 0; i < n; i++)
			sample |= events[i].data.u32 == WAKE_SAMPLE;
	} while (n == 16);
	return sample;
}

bool kernel_young(const struct kernel *k)
{
	return perf_ring_left(k);
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

void kernel_unlist(struct kernel *k, uint32_t pid)
{
	bpf_map_delete_elem(bpf_map__fd(k->bpf->maps.listed), &pid); // most are not there
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
	return k->map_bytes + k->look.charged;
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
