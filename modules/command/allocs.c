// SPDX-License-Identifier: Apache-2.0
// Which processes have their allocators probed: of a capture those that it is of, where --alloc was
// given; of the agent those of profiling.alloc.
#include "allocs.h"
#include "command.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define ALLOC_TYPES (1u << PATH_ALLOCS | 1u << PATH_HEAP)

bool allocs_wanted(const struct hall_options *o)
{
	const struct config *c = o->config;
	return !o->source &&
	       (o->alloc || (o->keeps && (c->profiling_alloc_pids.count ||
					     c->profiling_alloc_process_names.count)));
}

void allocs_options(const struct hall_options *o, struct path_options *po)
{
	const struct config *c = o->config;
	po->leak_age_ns = c->profiling_alloc_leak_age;
	if (!allocs_wanted(o))
		return;
	po->alloc_period = c->profiling_alloc_sample_bytes;
	po->alloc_live = (uint32_t)c->profiling_alloc_live_max;
	if (!o->alloc)
		po->alloc_names = (const char *const *)c->profiling_alloc_process_names.items;
}

static int fail(struct hall *h, int error, uint32_t pid, char *why, size_t size)
{
	snprintf(why, size, "process %u: allocations: %s%s", pid,
	    error == -ENOSPC ? "at most 64 processes" : strerror(-error),
	    h->options.alloc ? "" : ": it is left out");
	return h->options.alloc ? EXIT_FAILED : 0;
}

// All that can be told of what the capture is of is told before it begins.
static int add_now(struct hall *h, uint32_t pid, char *why, size_t size)
{
	char cause[256];
	int error = heap_add(h->heap, pid, false);
	if (error && error != -EEXIST)
		return fail(h, error, pid, why, size);
	while (heap_step(h->heap, 100 * NS_PER_MS) > 0)
		;
	if (heap_probes(h->heap, pid, cause, sizeof(cause)))
		return 0;
	snprintf(why, size, "--alloc: process %u: %s", pid, cause);
	bool forbidden = strstr(cause, strerror(EPERM)) || strstr(cause, strerror(EACCES));
	return forbidden ? EXIT_FORBIDDEN : EXIT_FAILED;
}

static void add_configured(struct hall *h)
{
	const struct config_list *pids = &h->options.config->profiling_alloc_pids;
	char why[256] = "";
	for (uint32_t i = 0; i < pids->count; i++) {
		uint64_t pid;
		int error = text_number(pids->items[i], strlen(pids->items[i]), 10, &pid);
		if (!error)
			error = heap_add(h->heap, (uint32_t)pid, false);
		if (!error || error == -EEXIST)
			continue;
		fail(h, error, (uint32_t)pid, why, sizeof(why));
		log_warn("%s", why);
	}
}

int allocs_start(struct hall *h, char *why, size_t size)
{
	const struct hall_options *o = &h->options;
	const char *lacks = kernel_alloc_why(h->kernel);
	int status = 0;
	if (!allocs_wanted(o) || !(h->types & ALLOC_TYPES))
		return 0;
	if (lacks && o->alloc) {
		snprintf(why, size, "--alloc: %s", lacks);
		return EXIT_FORBIDDEN;
	}
	if (lacks) {
		log_warn("profiling.alloc is left out: %s", lacks);
		return 0;
	}
	struct heap_options ho = {
	    .kernel = h->kernel,
	    .proc = h->proc,
	    .loop = h->loop,
	    .time_ns = o->alloc ? 0 : o->config->profiling_alloc_time_limit,
	    .on_over = path_heap_over,
	    .arg = h->path,
	    .times = o->heap_times,
	};
	h->heap = heap_new(&ho);
	if (!h->heap) {
		snprintf(why, size, "allocations: %s", strerror(errno));
		return EXIT_FAILED;
	}
	path_set_heap(h->path, h->heap);
	log_info("registered profiler: allocs, heap");
	if (!o->alloc) {
		add_configured(h);
		return 0;
	}
	for (uint32_t i = 0; i < o->pid_count && !status; i++)
		status = o->pids[i] == o->child ? heap_add(h->heap, o->child, true)
						: add_now(h, o->pids[i], why, size);
	if (status < 0)
		status = fail(h, status, o->child, why, size);
	return status;
}

void allocs_say(const struct hall *h)
{
	char why[256];
	for (uint32_t i = 0; h->heap && h->options.alloc && i < h->options.pid_count; i++)
		if (!heap_was_probed(h->heap, h->options.pids[i], why, sizeof(why)))
			log_warn("--alloc: process %u: %s", h->options.pids[i],
			    *why ? why : "it executed nothing that has an allocator");
}
