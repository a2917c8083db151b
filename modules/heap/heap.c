// SPDX-License-Identifier: Apache-2.0
// Processes that are probed, one search at a time among them.
#include "heap.h"
#include "allocator.h"
#include "hotspot.h"
#include "mapped.h"

#include "../base/base.h"
#include "../kernel/kernel.h"
#include "../loop/loop.h"
#include "../proc/proc.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define TARGETS_MAX 64
#define FILES_MAX 256 // of a process, that are executable
#define PROBED_MAX 8  // of these, allocators
// A program maps its libraries one after the other; one that goes on and on is looked at seldom.
#define REST_NS (NS_PER_MS)
#define REST_LONG_NS NS_PER_S
#define LOOKS_SOON 50
#define TRIES_MAX 20 // to read what a file that was just mapped holds in memory
// An agent tells after so long of what it cannot probe: until then it may be starting.
#define TELL_NS (2 * NS_PER_S)

struct file {
	struct mapped at;
	bool seen; // looked through
	uint32_t tries;
};

struct target {
	uint32_t pid, probes, file_count, next; // files[next] is the next to be looked through
	uint32_t probed_count, looks;
	bool wanted;	   // its mappings are to be read (again)
	bool found, named; // an allocator, whether or not probed; any function at all
	bool go, go_told;  // its program is Go's
	bool ever;	   // it had probes
	bool untold;	   // why one of its allocators is not probed
	bool over;	   // the time limit took the probes off
	uint64_t until;	   // clock_now() time, 0: no limit
	int links[PROBED_MAX][KERNEL_PROBE_LINKS];
	struct timer *limit;
	struct heap *heap;
	char why[256];
	struct file *files; // FILES_MAX
};

struct heap {
	struct heap_options options;
	struct target *targets[TARGETS_MAX];
	struct target *at; // the one that is being looked at, NULL: none
	struct proc_maps_job *maps;
	struct allocator_search *search;
	struct allocator allocator;
	int fd, debug; // of the file that is being looked through, and its debug file or -1
	struct slice *slice;
	struct timer *rest;
};

static void take_off(struct target *t)
{
	for (uint32_t i = 0; i < t->probed_count; i++)
		kernel_unprobe(t->links[i]);
	t->probed_count = t->probes = 0;
}

static void end_search(struct heap *h)
{
	proc_maps_free(h->maps);
	allocator_search_free(h->search);
	if (h->fd >= 0)
		close(h->fd);
	if (h->debug >= 0)
		close(h->debug);
	h->maps = NULL;
	h->search = NULL;
	h->fd = h->debug = -1;
}

static void target_free(struct target *t)
{
	take_off(t);
	timer_free(t->limit);
	mem_free(t->files);
	mem_free(t);
}

struct heap *heap_new(const struct heap_options *options)
{
	struct heap *h = mem_alloc(ACCOUNT_HEAP, sizeof(*h));
	if (!h)
		return NULL;
	h->options = *options;
	h->fd = h->debug = -1;
	return h;
}

void heap_free(struct heap *h)
{
	if (!h)
		return;
	slice_free(h->slice);
	timer_free(h->rest);
	end_search(h);
	for (int i = 0; i < TARGETS_MAX; i++)
		if (h->targets[i])
			target_free(h->targets[i]);
	mem_free(h);
}

static struct target **find(const struct heap *h, uint32_t pid)
{
	for (int i = 0; i < TARGETS_MAX; i++)
		if (h->targets[i] && h->targets[i]->pid == pid)
			return (struct target **)&h->targets[i];
	return NULL;
}

bool heap_has(const struct heap *h, uint32_t pid)
{
	return find(h, pid);
}

static int on_slice(void *arg, uint64_t budget_ns)
{
	return heap_step(arg, budget_ns);
}

static void on_done(void *arg, int result)
{
	struct heap *h = arg;
	(void)result;
	h->slice = NULL;
}

static void on_rest(void *arg)
{
	struct heap *h = arg;
	if (!h->slice)
		h->slice = loop_slice(h->options.loop, on_slice, on_done, h);
	if (!h->slice && h->rest)
		timer_set(h->rest, NS_PER_S, 0); // no memory now
}

// Looks at T soon.
static void busy(struct heap *h, const struct target *t)
{
	uint64_t rest = t->looks < LOOKS_SOON ? REST_NS : REST_LONG_NS;
	if (!h->options.loop || h->slice)
		return;
	if (!h->rest)
		h->rest = loop_timer(h->options.loop, rest, 0, on_rest, h);
	else
		timer_set(h->rest, rest, 0);
}

static void on_limit(void *arg)
{
	struct target *t = arg;
	uint64_t now = clock_now();
	if (now < t->until) {
		timer_set(t->limit, t->until - now, 0);
		if (!t->probes && *t->why)
			log_warn("process %u: allocations: none is probed: %s", t->pid, t->why);
		return;
	}
	timer_free(t->limit);
	t->limit = NULL;
	if (t == t->heap->at) {
		end_search(t->heap);
		t->heap->at = NULL;
	}
	log_info(
	    "process %u: allocations: the time is over: %u probes came off", t->pid, t->probes);
	take_off(t);
	t->over = true;
	t->wanted = false;
	if (t->heap->options.on_over)
		t->heap->options.on_over(t->heap->options.arg, t->pid);
}

int heap_add(struct heap *h, uint32_t pid, bool later)
{
	int i = 0;
	if (find(h, pid))
		return -EEXIST;
	while (i < TARGETS_MAX && h->targets[i])
		i++;
	if (i == TARGETS_MAX)
		return -ENOSPC;
	struct target *t = mem_alloc(ACCOUNT_HEAP, sizeof(*t));
	if (t)
		t->files = mem_alloc(ACCOUNT_HEAP, FILES_MAX * sizeof(*t->files));
	if (!t || !t->files) {
		mem_free(t);
		return -ENOMEM;
	}
	t->pid = pid;
	t->heap = h;
	t->wanted = !later;
	if (h->options.loop && h->options.time_ns) {
		uint64_t half = h->options.time_ns / 2;
		t->until = clock_now() + h->options.time_ns;
		t->limit =
		    loop_timer(h->options.loop, half < TELL_NS ? half : TELL_NS, 0, on_limit, t);
	}
	if (h->options.loop && h->options.time_ns && !t->limit) {
		target_free(t);
		return -ENOMEM;
	}
	h->targets[i] = t;
	if (!later)
		busy(h, t);
	return 0;
}

void heap_stop(struct heap *h)
{
	slice_free(h->slice);
	timer_free(h->rest);
	h->slice = NULL;
	h->rest = NULL;
	end_search(h);
	h->at = NULL;
	h->options.loop = NULL;
	for (int i = 0; i < TARGETS_MAX; i++) {
		struct target *t = h->targets[i];
		if (!t)
			continue;
		take_off(t);
		timer_free(t->limit);
		t->limit = NULL;
		t->over = true;
		t->wanted = false;
	}
}

void heap_ended(struct heap *h, uint32_t pid)
{
	struct target **at = find(h, pid), *t = at ? *at : NULL;
	if (!t)
		return;
	if (t == h->at) {
		end_search(h);
		h->at = NULL;
	}
	if (t->ever || h->options.time_ns) {
		target_free(t);
		*at = NULL;
		return;
	}
	t->over = true;
	t->wanted = false;
	if (!*t->why)
		text_copy(t->why, sizeof(t->why), "it ended before an allocator was found in it");
}

void heap_changed(struct heap *h, uint32_t pid, bool execed)
{
	struct target **at = find(h, pid);
	if (!at || (*at)->over)
		return;
	struct target *t = *at;
	if (execed) {
		take_off(t);
		t->file_count = t->next = 0;
		t->found = t->named = t->go = false;
		*t->why = 0;
	}
	// What was read of it may be of before; a file that is looked through stays what it is, and
	// a program that goes on mapping would never see the end of a large one.
	if (t == h->at && (execed || h->maps)) {
		end_search(h);
		h->at = NULL;
	}
	t->wanted = true;
	busy(h, t);
}

uint32_t heap_probes(const struct heap *h, uint32_t pid, char *why, size_t size)
{
	struct target **at = find(h, pid);
	text_copy(why, size, at ? (*at)->why : "not asked for");
	return at ? (*at)->probes : 0;
}

bool heap_was_probed(const struct heap *h, uint32_t pid, char *why, size_t size)
{
	struct target **at = find(h, pid);
	text_copy(why, size, at ? (*at)->why : "");
	return !at || (*at)->ever;
}

static int on_map(void *arg, const struct proc_map *m)
{
	struct target *t = arg;
	if (!m->executable || !m->inode)
		return 0;
	for (uint32_t i = 0; i < t->file_count; i++) {
		struct mapped *f = &t->files[i].at;
		if (f->inode == m->inode && f->major == m->dev_major && f->minor == m->dev_minor)
			return mapped_set(f, m), 0;
	}
	if (t->file_count == FILES_MAX)
		return 1;
	struct file *f = &t->files[t->file_count++];
	*f = (struct file){0};
	mapped_set(&f->at, m);
	return 0;
}

static void say(struct target *t, const struct file *f, const char *what)
{
	snprintf(t->why, sizeof(t->why), "%.80s: %s", mapped_name(&f->at), what);
	t->untold = true;
}

// The Java machine that was found in F: can it be probed?
static bool fit_java(struct heap *h, struct target *t, struct file *f)
{
	const char *name = mapped_name(&f->at);
	if (!h->allocator.names) {
		log_warn("process %u: " HEAP_NO_JAVA, t->pid);
		return false;
	}
	bool fits = hotspot_fit(&h->allocator, h->options.proc, t->pid, h->fd, &f->at);
	if (!fits && f->tries++ < TRIES_MAX) { // its loader may not be through with it
		f->seen = false;
		t->wanted = true;
		busy(h, t);
		return false;
	}
	log_info(
	    "process %u: %.80s: what Java allocates is probed where threads take new TLABs, or "
	    "none%s; what of it is in use (heap) is not told: the garbage collector frees it",
	    t->pid, name, fits ? "" : ", which count with their whole size");
	return true;
}

// The allocator that was found in F.
static void probe(struct heap *h, struct target *t, struct file *f)
{
	const struct allocator *a = &h->allocator;
	char what[128];
	if (a->jvm && !a->has && !fit_java(h, t, f))
		return;
	t->found = t->found || a->has;
	if (*a->why)
		say(t, f, a->why);
	if (!a->count)
		return;
	if (*a->without)
		log_info("process %u: %s: %s", t->pid, mapped_name(&f->at), a->without);
	if (t->probed_count == PROBED_MAX) {
		say(t, f, "more than 8 allocators");
		return;
	}
	int error = kernel_probe(
	    h->options.kernel, t->pid, h->fd, a->probes, a->count, t->links[t->probed_count]);
	if (error) {
		snprintf(what, sizeof(what), "probes: %s%s", strerror(-error),
		    error == -EPERM || error == -EACCES
			? ": run as root, or with CAP_BPF, CAP_PERFMON and CAP_SYS_ADMIN"
			: "");
		say(t, f, what);
		return;
	}
	t->probed_count++;
	t->probes += a->count;
	t->ever = true;
	log_info("process %u: %s: %u functions of its %s are probed", t->pid, mapped_name(&f->at),
	    a->count, a->has ? "allocator" : "Java machine");
}

static void open_file(struct heap *h, struct target *t, struct file *f)
{
	f->seen = true;
	h->fd = mapped_open(h->options.proc, t->pid, &f->at);
	if (h->fd < 0) {
		char what[96];
		snprintf(what, sizeof(what), "%s%s", strerror(-h->fd),
		    h->fd == -EPERM || h->fd == -EACCES ? ": needs CAP_SYS_PTRACE" : "");
		if (!t->probes && h->fd != -ENOENT)
			say(t, f, what);
		h->fd = -1;
		return;
	}
	h->search = allocator_search_new(h->fd, h->fd, &h->allocator);
	if (!h->search && errno == ENOMEM)
		say(t, f, "no memory within memory_limit");
	t->go = t->go || (h->search && f == t->files && h->allocator.go);
	if (!h->search)
		end_search(h);
}

// Nothing is left to look through.
static void conclude(struct heap *h)
{
	struct target *t = h->at;
	h->at = NULL;
	if (t->go && t->probes && !t->go_told)
		log_warn("process %u: %.80s: " HEAP_GO "; probed is what C code in it allocates",
		    t->pid, mapped_name(&t->files[0].at));
	t->go_told = t->go && t->probes;
	if (t->probes && t->untold)
		log_warn("process %u: one of its allocators is not probed: %s", t->pid, t->why);
	t->untold = t->untold && !t->probes;
	if (t->probes || *t->why)
		return;
	if (!t->file_count)
		text_copy(t->why, sizeof(t->why),
		    "it maps no file: has it ended, or is it the kernel's?");
	else
		snprintf(t->why, sizeof(t->why), "%.80s: %s", mapped_name(&t->files[0].at),
		    t->go      ? HEAP_GO
		    : t->named ? HEAP_NO_ALLOCATOR
			       : HEAP_NO_NAMES);
}

static bool next_target(struct heap *h)
{
	for (int i = 0; i < TARGETS_MAX && !h->at; i++)
		if (h->targets[i] && h->targets[i]->wanted)
			h->at = h->targets[i];
	if (!h->at)
		return false;
	h->at->wanted = false;
	h->at->looks++;
	h->at->next = 0;
	h->maps = proc_maps_new(h->options.proc, h->at->pid);
	if (!h->maps) {
		snprintf(h->at->why, sizeof(h->at->why), "mappings: %s", strerror(errno));
		h->at = NULL;
	}
	return true;
}

static void step_maps(struct heap *h, uint64_t budget_ns)
{
	int more = proc_maps_step(h->maps, budget_ns, on_map, h->at);
	if (more > 0)
		return;
	proc_maps_free(h->maps);
	h->maps = NULL;
	if (more < 0 && !h->at->file_count)
		snprintf(h->at->why, sizeof(h->at->why), "mappings: %s", strerror(-more));
}

// Begins with the separate debug file of F, where that has the names of a Java machine.
static bool search_debug(struct heap *h, uint32_t pid, const struct file *f)
{
	if (!h->allocator.jvm || h->allocator.names || h->debug >= 0)
		return false;
	h->debug = mapped_debug_open(h->options.proc, pid, h->fd, &f->at);
	if (h->debug < 0)
		return false;
	allocator_search_free(h->search);
	h->search = allocator_search_new(h->fd, h->debug, &h->allocator);
	h->allocator.jvm = true;
	return h->search;
}

static void step_search(struct heap *h, uint64_t budget_ns)
{
	struct target *t = h->at;
	int more = allocator_search_step(h->search, budget_ns);
	if (more > 0)
		return;
	t->named = t->named || allocator_search_functions(h->search) > 0;
	if (!more && search_debug(h, t->pid, &t->files[t->next - 1]))
		return;
	if (!more || h->debug >= 0)
		probe(h, t, &t->files[t->next - 1]);
	end_search(h);
}

int heap_step(struct heap *h, uint64_t budget_ns)
{
	uint64_t deadline = clock_now() + budget_ns;
	do {
		if (!h->at && !next_target(h))
			return 0;
		struct target *t = h->at;
		if (!t)
			;
		else if (h->maps)
			step_maps(h, budget_ns);
		else if (h->search)
			step_search(h, budget_ns);
		else if (t->next == t->file_count)
			conclude(h);
		else if (!t->files[t->next++].seen)
			open_file(h, t, &t->files[t->next - 1]);
	} while (clock_now() < deadline);
	return 1;
}
