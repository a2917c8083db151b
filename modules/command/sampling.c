// SPDX-License-Identifier: Apache-2.0
// What the kernel samples, and how its walker's tables are filled, from a configuration.
#include "sampling.h"
#include "allocs.h"
#include "command.h"
#include "wanted.h"

#include <errno.h>
#include <unistd.h>

#define LISTED_MAX 8192u	   // processes in the kernel's table, where a filter wants one
#define MEMORY_PERIOD (1ull << 20) // bytes that become resident between two stacks, about
// A capture is short, and wants to be just all the same: as many bytes, and stacks a second of
// threads that are blocked.
#define CAPTURE_PERIOD (1ull << 18)
#define CAPTURE_STACKS 4000
#define CAPTURE_RING (1u << 20) // bytes: so many stacks, where others have the CPU for a while

uint64_t sampling_cpu_ns(const struct config *c, uint32_t types, bool capture)
{
	bool cpu = types & 1u << PATH_CPU, wall = types & 1u << PATH_WALL;
	return cpu || (wall && capture) ? NS_PER_S / c->profiling_cpu_sample_rate
	       : wall			? NS_PER_S / c->profiling_wall_sample_rate
					: 0;
}

// A prime number of pages: what touches memory in pieces of powers of two would keep step with one
// of those.
uint64_t sampling_memory_bytes(const struct hall *h)
{
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
	uint64_t n = (h->options.keeps ? MEMORY_PERIOD : CAPTURE_PERIOD) / page;
	for (uint64_t divisor = 2; divisor * divisor <= n;) {
		if (n % divisor) {
			divisor++;
		} else {
			n--;
			divisor = 2;
		}
	}
	return (n ? n : 1) * page;
}

static int open_kernel(struct hall *h, char *why, size_t size)
{
	const struct hall_options *o = &h->options;
	const struct config *c = o->config;
	uint32_t wakers = wanted_wakers(c) & h->types;
	struct kernel_options ko = {
	    .off_cpu = h->types & OFF_CPU,
	    .off_cpu_min_ns = c->profiling_off_cpu_min_block_time_ns,
	    .off_cpu_kernel = c->profiling_off_cpu_kernel_stacks,
	    .off_cpu_wakers = !wakers			   ? KERNEL_WAKERS_NONE
			      : wakers == 1u << PATH_MUTEX ? KERNEL_WAKERS_OF_LOCKS
							   : KERNEL_WAKERS_ALL,
	    .off_cpu_stacks = o->keeps ? 0 : CAPTURE_STACKS,
	    .ring_bytes = !o->keeps && h->types & OFF_CPU ? CAPTURE_RING : 0,
	    .memory_period = h->types & 1u << PATH_MEMORY ? sampling_memory_bytes(h) : 0,
	    .memory_huge_stays = !o->keeps,
	    .mapped = h->types & 1u << PATH_MAPPED,
	    .locks = h->types & 1u << PATH_MUTEX,
	    .lock_min_ns = c->profiling_mutex_contention_threshold_ns,
	    .alloc_period = allocs_wanted(o) ? c->profiling_alloc_sample_bytes : 0,
	    .alloc_live = allocs_wanted(o) ? (uint32_t)c->profiling_alloc_live_max : 0,
	    .cpu_period_ns = h->period_ns,
	    .governed = c->cpu_limit > 0,
	    .cycles = c->profiling_cpu_event == 1,
	    .max_depth = (uint32_t)c->profiling_cpu_max_stack_depth,
	    .no_kernel_frames = c->profiling_exclude_kernel,
	    .no_user_frames = c->profiling_exclude_user,
	    .unwind_memory = c->profiling_exclude_user ? 0 : c->unwind_memory,
	    .only_listed = o->pid_count > 0,
	    .wanted_max = o->pid_count || filter_asks(h->filter) ? LISTED_MAX : 0,
	    .on_record = path_record,
	    .arg = h->path,
	};
	h->kernel = kernel_new(&ko, why, size);
	if (!h->kernel)
		return errno == EPERM || errno == EACCES ? EXIT_FORBIDDEN : EXIT_FAILED;
	for (uint32_t i = 0; i < o->pid_count; i++) {
		int error = kernel_want(h->kernel, o->pids[i], 1);
		if (error)
			return hall_fail(why, size, EXIT_FAILED, "table of processes", -error);
	}
	return 0;
}

static int open_unwind(struct hall *h, char *why, size_t size)
{
	int error = kernel_tables(h->kernel, &h->tables);
	if (error == -EOPNOTSUPP)
		return 0;
	if (error)
		return hall_fail(why, size, EXIT_FAILED, "unwind tables", -error);
	struct unwind_options uo = {
	    .tables = &h->tables,
	    .processes = path_processes(h->path),
	    .memory = h->options.config->unwind_memory,
	    .on_busy = path_unwind_busy,
	    .arg = h->path,
	};
	h->unwind = unwind_new(&uo);
	if (!h->unwind)
		return hall_fail(why, size, EXIT_FAILED, "unwind tables", errno);
	path_set_unwind(h->path, h->unwind);
	budget_add(h->budget, 6, "unwind", unwind_shrink, h->unwind); // 5: spools in memory
	return 0;
}

int sampling_open(struct hall *h, char *why, size_t size)
{
	int status = open_kernel(h, why, size);
	return status ? status : open_unwind(h, why, size);
}
