// SPDX-License-Identifier: Apache-2.0
#include "hall.h"
#include "allocs.h"
#include "command.h"
#include "hurry.h"
#include "reach.h"
#include "sampling.h"
#include "selection.h"
#include "wanted.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define HISTORY_SHARE 6 // of memory_limit
#define SECONDS_MAX 300
#define LOOK_NS (20 * NS_PER_MS) // between looks whether the first scan is through

int hall_fail(char *why, size_t size, int status, const char *what, int error)
{
	snprintf(why, size, "%s: %s", what, strerror(error));
	return status;
}

static int open_filter(struct hall *h, char *why, size_t size)
{
	h->filter = selection_filter(&h->options, why, size);
	return h->filter ? 0 : errno == EINVAL ? EXIT_USAGE : EXIT_FAILED;
}

static int ask_kernel(void *arg, const uint64_t *addresses, uint32_t count,
    void (*named)(void *arg, uint32_t index, uint64_t start, uint64_t end, const char *name,
	const char *module),
    void *named_arg)
{
	struct hall *h = arg;
	return h->kernel ? kernel_name(h->kernel, addresses, count, named, named_arg) : -EOPNOTSUPP;
}

static int open_symbol(struct hall *h, char *why, size_t size)
{
	const struct config *c = h->options.config;
	struct symbol_options so = {
	    .processes = path_processes(h->path),
	    .proc = h->proc,
	    .cache_size = (uint32_t)c->profiling_symbols_cache_size,
	    .demangle = c->profiling_symbols_demangling_enabled,
	    .kernel = c->profiling_symbols_kernel_symbols,
	    .go = c->profiling_symbols_go_symbols,
	    .debug_files = c->profiling_symbols_debug_info_enabled,
	    .perf_map_paths = (const char *const *)c->profiling_symbols_perf_map_paths.items,
	    .ask_kernel = ask_kernel,
	    .ask_arg = h,
	    .offline = h->options.source != NULL,
	};
	if (so.offline && so.cache_size < 1000000)
		so.cache_size = 1000000; // all names of a recording, within memory_limit
	h->symbol = symbol_new(&so);
	if (!h->symbol)
		return hall_fail(why, size, EXIT_FAILED, "symbol resolver", errno);
	path_set_symbol(h->path, h->symbol);
	return 0;
}

static int open_source(struct hall *h, char *why, size_t size)
{
	const char *from = h->options.source;
	struct stat st;
	int fd = open(from, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd >= 0 && fstat(fd, &st) == 0 && S_ISDIR(st.st_mode)) {
		close(fd);
		return hall_fail(why, size, EXIT_FAILED, from, EISDIR);
	}
	h->source = fd < 0 ? NULL : tape_reader_new(fd);
	if (h->source)
		return 0;
	if (errno != EBADMSG)
		return hall_fail(why, size, EXIT_FAILED, from, errno);
	snprintf(
	    why, size, "%s: not a recording: make one with `telegen record -o FILE.rec`", from);
	return EXIT_FAILED;
}

static int health(void *arg, char *why, size_t size)
{
	struct hall *h = arg;
	if (mem_limit_get() && mem_total() > mem_limit_get() * 95 / 100) {
		snprintf(
		    why, size, "memory_limit: %lu of %lu bytes used", mem_total(), mem_limit_get());
		return -ENOMEM;
	}
	return h->path ? 0 : -EAGAIN;
}

static int ready(void *arg, char *why, size_t size)
{
	struct hall *h = arg;
	if (path_scanned(h->path))
		return 0;
	snprintf(why, size, "the first scan of /proc is not through");
	return -EAGAIN;
}

static void flush(void *arg)
{
	struct hall *h = arg;
	path_flush(h->path);
}

static int open_keepers(struct hall *h, char *why, size_t size)
{
	const struct config *c = h->options.config;
	static const enum export_format formats[] = {
	    EXPORT_PPROF, EXPORT_FOLDED, EXPORT_SPEEDSCOPE};
	if (!h->history)
		h->history = history_new(budget_limit(h->budget) / HISTORY_SHARE);
	if (!h->history)
		return hall_fail(why, size, EXIT_FAILED, "history of windows", errno);
	budget_add(h->budget, 3, "history", history_shrink, h->history);
	if (h->options.source)
		return 0; // a recording goes nowhere
	struct deliver_options wanted = {
	    .loop = h->loop, .budget = h->budget, .config = c, .version = command_agent_version};
	h->deliver = deliver_new(&wanted, why, size);
	if (!h->deliver && errno)
		return errno == EINVAL ? EXIT_USAGE : EXIT_FAILED;
	deliver_go_on(h->deliver, h->retired);
	h->retired = NULL;
	// Where there are receivers, half of the space is for what waits for them.
	uint64_t left = deliver_left(c), half = c->output_max_size / 2;
	uint64_t most = h->deliver ? half : c->output_max_size - (left < half ? left : half);
	if (*c->output_directory) {
		h->directory = directory_new(
		    c->output_directory, most, formats[c->profiling_output_format], why, size);
		if (!h->directory)
			return EXIT_FAILED;
	}
	return 0;
}

static bool profiled(void *arg, const char *type)
{
	const struct hall *h = arg;
	for (int t = 0; t < PATH_TYPE_COUNT; t++)
		if (h->types & 1u << t && !strcmp(path_type_name((enum path_type)t), type))
			return true;
	return false;
}

static int open_serve(struct hall *h, char *why, size_t size)
{
	const struct config *c = h->options.config;
	char banner[512] = "", url[256];
	if (h->options.source)
		snprintf(banner, sizeof(banner), "This is a recording (%s), not this machine",
		    h->options.source);
	struct serve_options so = {
	    .loop = h->loop,
	    .listen = c->listen,
	    .token_file = c->listen_token_file,
	    .history = h->history,
	    .banner = *banner ? banner : NULL,
	    .seconds_max = SECONDS_MAX,
	    .collection_ns = c->profiling_collection_interval,
	    .health = health,
	    .ready = ready,
	    .profiled = h->options.source ? NULL : profiled,
	    .metrics = hall_metrics,
	    .flush = flush,
	    .arg = h,
	};
	if (!*c->listen) {
		log_info("listen is empty: there is no flame page and no endpoint");
		return 0;
	}
	h->serve = serve_new(&so, why, size);
	if (!h->serve)
		return EXIT_FAILED;
	serve_url(h->serve, url, sizeof(url));
	log_info("flame page, pprof, metrics and health at %s", url);
	return 0;
}

// Only receivers ask for all that there is: to read that takes a hundred system calls.
static uint32_t resources_of(const struct hall *h)
{
	if (h->deliver)
		return PROCESS_RESOURCES |
		       (h->options.config->profiling_command_lines ? PROCESS_COMMAND_LINES : 0);
	return h->options.keeps ? PROCESS_OWNERS : h->options.labels ? PROCESS_OWNERS_NOW : 0;
}

static void on_budget(void *arg)
{
	struct hall *h = arg;
	uint64_t next = budget_look(h->budget);
	if (next)
		timer_set(h->budget_timer, next, 0);
}

// 0 or -ENOMEM.
static int watch_budget(struct hall *h)
{
	uint64_t first = budget_look(h->budget);
	h->budget_timer = first ? loop_timer(h->loop, first, 0, on_budget, h) : NULL;
	return first && !h->budget_timer ? -ENOMEM : 0;
}

int hall_open(struct hall *h, const struct hall_options *options, char *why, size_t size)
{
	const struct config *c = options->config;
	int status;
	*h = (struct hall){.options = *options,
	    .history = options->history,
	    .retired = options->deliver,
	    .tape = options->tape};
	int none = wanted_types(options, &h->types, why, size);
	h->period_ns = sampling_cpu_ns(c, h->types, !options->keeps);
	if (!options->source)
		hurry_begin(&h->hurry);
	h->budget = budget_new(c->memory_limit, "/sys/fs/cgroup", "/proc/self/cgroup");
	h->loop = loop_new();
	h->proc = proc_new("/proc");
	if (!h->budget || !h->loop || !h->proc || watch_budget(h))
		return hall_fail(why, size, EXIT_FAILED, "starting", errno);
	if (none)
		return none;
	if (options->source && (status = open_source(h, why, size)))
		return status;
	if ((status = open_filter(h, why, size)))
		return status;
	if (options->keeps && (status = open_keepers(h, why, size)))
		return status;
	struct path_options po = {
	    .loop = h->loop,
	    .proc = h->proc,
	    // Processes and what they fork are the kernel's matter.
	    .filter = options->pid_count ? NULL : h->filter,
	    .history = h->history,
	    .directory = h->directory,
	    .deliver = h->deliver,
	    .collection_ns =
		options->window_ns ? options->window_ns : c->profiling_collection_interval,
	    .upload_ns = c->profiling_upload_interval,
	    .types = h->types,
	    .period_ns = h->period_ns,
	    .cpu_limit = (uint32_t)c->cpu_limit,
	    .memory_period = sampling_memory_bytes(h),
	    .lock_min_ns = c->profiling_mutex_contention_threshold_ns,
	    .wakers = wanted_wakers(c) & h->types,
	    .pids = options->pids,
	    .pid_count = options->pid_count,
	    .resources = resources_of(h),
	    .offline = options->source != NULL,
	    .on_window = options->on_window,
	    .arg = options->arg,
	};
	allocs_options(options, &po);
	h->path = path_new(&po);
	if (!h->path && errno == ENOMEM && po.alloc_live) {
		snprintf(why, size,
		    "memory_limit has no room for %u live blocks: raise it, or lower "
		    "profiling.alloc.live_max",
		    po.alloc_live);
		return EXIT_FAILED;
	}
	if (!h->path)
		return hall_fail(why, size, EXIT_FAILED, "starting", errno);
	if (!options->source && (status = sampling_open(h, why, size)))
		return status;
	if ((status = open_symbol(h, why, size)))
		return status;
	if (h->tape)
		path_tape(h->path, h->tape);
	budget_add(h->budget, 1, "processes", processes_shrink, path_processes(h->path));
	budget_add(h->budget, 2, "symbols", symbol_shrink, h->symbol);
	budget_add(h->budget, 4, "window", path_shrink, h->path);
	return options->keeps ? open_serve(h, why, size) : 0;
}

bool hall_matched(const struct hall *h)
{
	// Processes that were named by pid are the kernel's matter, and were there at the start.
	return h->options.source || h->options.pid_count || !filter_asks(h->filter) ||
	       !path_scanned(h->path) || filter_matched(h->filter);
}

void hall_say_unmatched(const struct hall *h, const char *verb)
{
	struct text selection = TEXT(ACCOUNT_COMMAND);
	selection_describe(&h->options, &selection);
	log_error("%s: nothing was captured: no process that matches %s used the CPU", verb,
	    selection.at ? selection.at : "the selection");
	text_free(&selection);
}

// Whether anything that runs is selected shows when the first scan of /proc is through.
static void on_look(void *arg)
{
	struct hall *h = arg;
	struct text selection = TEXT(ACCOUNT_COMMAND);
	if (!path_scanned(h->path))
		return;
	timer_free(h->look);
	h->look = NULL;
	if (hall_matched(h))
		return;
	selection_describe(&h->options, &selection);
	log_warn("no process matches %s now; waiting for one to start",
	    selection.at ? selection.at : "the selection");
	text_free(&selection);
}

const char *hall_left_out(const struct hall *h, enum path_type type)
{
	return (1u << type) & OFF_CPU ? kernel_off_cpu_why(h->kernel)
	       : type == PATH_MEMORY  ? kernel_memory_why(h->kernel)
	       : type == PATH_MAPPED  ? kernel_mapped_why(h->kernel)
				      : NULL;
}

// Each profiler starts by itself: what one lacks keeps no other from running. False where none is
// left.
static bool register_profilers(struct hall *h)
{
	for (int t = 0; t < PATH_TYPE_COUNT; t++) {
		const char *why = hall_left_out(h, t);
		if (!(h->types & 1u << t))
			continue;
		if (why) {
			log_warn("profiler %s is left out: %s", path_type_name(t), why);
			h->types &= ~(1u << t);
			path_leave_out(h->path, 1u << t);
		} else if (!(path_types_beside(h->types & ((1u << t) - 1)) & 1u << t)) {
			log_info("registered profiler: %s", path_type_name(t));
			if (t == PATH_MUTEX && kernel_locks_why(h->kernel))
				log_warn("mutex: locks of the kernel are left out: %s",
				    kernel_locks_why(h->kernel));
		}
	}
	if (h->types & OFF_CPU && kernel_wakers_why(h->kernel))
		log_warn("who wakes is left out: %s", kernel_wakers_why(h->kernel));
	return h->types;
}

int hall_start(
    struct hall *h, void (*replayed)(void *arg, int result), void *arg, char *why, size_t size)
{
	int error;
	if (h->source) {
		error = path_replay(h->path, h->source, replayed, arg);
		return error ? hall_fail(why, size, EXIT_FAILED, h->options.source, -error) : 0;
	}
	error = kernel_start(h->kernel, why, size);
	if (error)
		return error == -EPERM || error == -EACCES ? EXIT_FORBIDDEN : EXIT_FAILED;
	if (!register_profilers(h)) {
		snprintf(why, size, "no profiler is left to run: see `telegen check`");
		return EXIT_FORBIDDEN;
	}
	int status = allocs_start(h, why, size);
	if (status)
		return status;
	reach_say(h->proc, h->options.pids, h->options.pid_count);
	error = path_start(h->path, h->kernel);
	if (!error)
		error = hurry_ends(&h->hurry, h->loop);
	if (!error && !h->options.pid_count && filter_asks(h->filter)) {
		h->look = loop_timer(h->loop, LOOK_NS, LOOK_NS, on_look, h);
		error = h->look ? 0 : -ENOMEM;
	}
	return error ? hall_fail(why, size, EXIT_FAILED, "starting", -error) : 0;
}

struct history *hall_take_history(struct hall *h)
{
	struct history *history = h->history;
	serve_free(h->serve); // it and the path borrow the history
	h->serve = NULL;
	path_free_jobs(h->path);
	if (h->budget)
		budget_remove(h->budget, history);
	h->history = NULL;
	return history;
}

struct deliver *hall_take_deliver(struct hall *h)
{
	path_free_jobs(h->path); // it may be at an upload
	struct deliver *before = h->deliver ? deliver_retire(h->deliver) : h->retired;
	h->deliver = h->retired = NULL;
	return before;
}

void hall_close(struct hall *h)
{
	timer_free(h->look);
	timer_free(h->budget_timer);
	hurry_end(&h->hurry);
	serve_free(h->serve);
	if (h->budget) {
		budget_remove(h->budget, h->path);
		budget_remove(h->budget, h->unwind);
		budget_remove(h->budget, h->symbol);
		budget_remove(h->budget, h->history);
		if (h->path)
			budget_remove(h->budget, path_processes(h->path));
	}
	// The path's jobs hold the resolver, the resolver holds the path's processes.
	path_free_jobs(h->path);
	directory_free(h->directory);
	deliver_free(h->deliver); // it may be at the path's upload
	deliver_free(h->retired);
	symbol_free(h->symbol);
	heap_free(h->heap);
	unwind_free(h->unwind); // it looks at the path's processes and at the kernel's tables
	path_free(h->path);
	kernel_free(h->kernel);
	tape_reader_free(h->source);
	tape_writer_close(h->tape); // where it still is there the capture has failed anyway
	history_free(h->history);
	filter_free(h->filter);
	proc_free(h->proc);
	loop_free(h->loop);
	budget_free(h->budget);
	*h = (struct hall){0};
}
