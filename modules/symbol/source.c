// SPDX-License-Identifier: Apache-2.0
// Where names come from, by the kind of the place.
#include "private.h"

#include "../proc/proc.h"
#include "kernel.h"
#include "perfmap.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

bool changes(uint32_t kind)
{
	return kind == PLACE_KERNEL || kind == PLACE_ANON;
}

uint64_t retry_after(uint32_t kind)
{
	switch (kind) {
	case PLACE_KERNEL: // a pass costs tens of milliseconds
		return 60 * NS_PER_S;
	case PLACE_FILE: // a file's symbols do not change, but it may become readable
		return 60 * NS_PER_S;
	case PLACE_ANON: // JIT compilers write all the time
		return 10 * NS_PER_S;
	default:
		return 0;
	}
}

static void found_symbol(void *arg, uint32_t index, const struct elf_symbol *symbol)
{
	struct symbol_job *job = arg;
	if (index >= job->misses)
		return;
	struct item *item = &job->items[job->from + index];
	if (item->kind != ITEM_ANSWERED)
		answer_symbol(job, item, symbol);
}

// Modules and BPF programs come and go, and others may lie there then.
static bool of_module(const char *name)
{
	size_t n = strlen(name);
	return n && name[n - 1] == ']';
}

void source_freshen(struct symbol_job *job)
{
	struct owner *o = job->kind == PLACE_KERNEL
			      ? cache_owner(job->s->cache, job->kind, job->owner, false)
			      : NULL;
	if (o && clock_now() >= o->retry_ns)
		cache_forget(job->s->cache, o, of_module);
}

bool source_grows(const struct symbol_job *job)
{
	const struct owner *o = job->kind == PLACE_ANON && !job->s->options.offline
				    ? cache_owner(job->s->cache, job->kind, job->owner, false)
				    : NULL;
	return o && o->seen.ino && (!o->absent || clock_now() >= o->retry_ns);
}

static int open_file(struct symbol_job *job)
{
	struct symbol *s = job->s;
	struct binary *b = binary_by_id(s->options.processes, job->owner);
	if (!b)
		return -ENOENT;
	int fd = binary_fd(s->options.processes, b);
	if (fd < 0)
		return fd;
	// Ours: the table may close its own between two steps.
	job->source.fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (job->source.fd < 0)
		return -errno;
	if (s->options.debug_files)
		job->source.debug_fd = debug_open(s, job->owner, job->source.fd);
	struct elf_lookup_options options = {
	    .go = s->options.go,
	    .separate = job->source.debug_fd >= 0,
	    .debug_fd = job->source.debug_fd >= 0 ? job->source.debug_fd : -1,
	};
	job->source.state = elf_lookup_new(
	    job->source.fd, job->addresses, job->misses, &options, found_symbol, job);
	return job->source.state ? 0 : -errno;
}

static int step_file(void *state, uint64_t budget_ns)
{
	return elf_lookup_step(state, budget_ns);
}

static void free_file(void *state)
{
	elf_lookup_free(state);
}

static void hidden(struct symbol *s, int error)
{
	if (!s->kernel_hidden && error == -EPERM)
		log_warn("kernel addresses are hidden: kernel frames show as [kernel]; run with "
			 "CAP_SYSLOG, and with /proc/sys/kernel/kptr_restrict at 0 or 1, not 2");
	else if (!s->kernel_hidden)
		log_warn("/proc/kallsyms: %s: kernel frames show as [kernel]", strerror(-error));
	s->kernel_hidden = true;
}

static int open_kernel(struct symbol_job *job)
{
	if (!job->s->options.kernel)
		return -ENOTSUP;
	job->source.fd = proc_file_open(job->s->options.proc, "kallsyms");
	if (job->source.fd < 0)
		return job->source.fd;
	job->source.state =
	    kernel_pass_new(job->source.fd, job->addresses, job->misses, found_symbol, job);
	return job->source.state ? 0 : -errno;
}

// Newer code lies in [start, end): what the cache knows there is no more.
static void changed(void *arg, uint64_t start, uint64_t end)
{
	struct symbol_job *job = arg;
	struct owner *o = cache_owner(job->s->cache, PLACE_ANON, job->owner, false);
	if (o)
		cache_cut(job->s->cache, o, start, end);
}

static int open_map(struct symbol_job *job)
{
	struct symbol *s = job->s;
	uint32_t id = job->owner;
	const struct process *p = process_by_id(s->options.processes, id);
	if (!p)
		return -ENOENT;
	const struct owner *o = cache_owner(s->cache, PLACE_ANON, id, false);
	struct perfmap_options options = {
	    .process = p,
	    .paths = s->options.perf_map_paths,
	    .bytes_max = s->options.perf_map_bytes_max,
	    .fresh = job->fresh,
	    .addresses = job->addresses,
	    .count = job->misses,
	    .found = found_symbol,
	    .changed = changed,
	    .arg = job,
	};
	if (o)
		options.seen = o->seen;
	job->source.state = perfmap_new(&options);
	return job->source.state ? 0 : -errno;
}

static int ask_vdso(struct symbol_job *job)
{
	size_t size;
	const void *image = vdso_image(&size);
	return image
		   ? elf_lookup_memory(image, size, job->addresses, job->misses, found_symbol, job)
		   : -ENOENT;
}

static int nothing_left(void *state, uint64_t budget_ns)
{
	(void)state;
	(void)budget_ns;
	return 0;
}

static int open_source(struct symbol_job *job)
{
	struct source *source = &job->source;
	job->addresses = mem_alloc(ACCOUNT_SYMBOL, job->misses * sizeof(*job->addresses));
	if (!job->addresses)
		return -ENOMEM;
	for (uint32_t i = 0; i < job->misses; i++)
		job->addresses[i] = job->items[job->from + i].address;
	switch (job->kind) {
	case PLACE_FILE:
		source->step = step_file;
		source->free = free_file;
		return open_file(job);
	case PLACE_KERNEL:
		if (job->s->options.kernel && ask_possible(job->s)) {
			source->step = ask_step;
			source->free = ask_free;
			source->state = ask_new(job);
			return source->state ? 0 : -ENOMEM;
		}
		source->step = kernel_pass_step;
		source->free = kernel_pass_free;
		return open_kernel(job);
	case PLACE_ANON:
		source->step = perfmap_step;
		source->free = perfmap_free;
		return open_map(job);
	default: // PLACE_VDSO
		source->step = nothing_left;
		return ask_vdso(job);
	}
}

// The time from which "no symbol" is asked again moves on only when it has come, or answers that
// come every window would put it off for ever.
static void note_result(struct symbol_job *job, int result)
{
	uint64_t after = retry_after(job->kind), now = clock_now();
	struct owner *o = after && result != -ENOMEM && result != -EMFILE
			      ? cache_owner(job->s->cache, job->kind, job->owner, true)
			      : NULL;
	if (!o)
		return;
	if (now >= o->retry_ns)
		o->retry_ns = now + after;
	o->absent = result < 0;
	if (job->kind == PLACE_ANON && !result)
		o->seen = perfmap_seen(job->source.state);
}

void source_free(struct symbol_job *job)
{
	struct source *source = &job->source;
	if (source->state)
		source->free(source->state);
	if (source->fd >= 0)
		close(source->fd);
	if (source->debug_fd >= 0)
		close(source->debug_fd);
	*source = (struct source){.fd = -1, .debug_fd = -1};
	mem_free(job->addresses);
	job->addresses = NULL;
}

void source_done(struct symbol_job *job, int result)
{
	if (job->kind == PLACE_KERNEL && !result)
		job->s->kernel_hidden = false;
	else if (job->kind == PLACE_KERNEL && result != -ENOTSUP && result != -ENOMEM)
		hidden(job->s, result);
	note_result(job, result);
	job->left = 0;
}

bool source_left(struct symbol_job *job, uint64_t deadline)
{
	while (job->left < job->misses) {
		struct item *item = &job->items[job->from + job->left++];
		if (item->kind != ITEM_ANSWERED)
			answer_unnamed(job, item);
		if (job->left % 64 == 0 && clock_now() >= deadline)
			return false;
	}
	return true;
}

bool source_open(struct symbol_job *job)
{
	int error = open_source(job);
	if (error)
		source_done(job, error);
	return !error;
}
