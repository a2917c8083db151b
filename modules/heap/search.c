// SPDX-License-Identifier: Apache-2.0
// The look for allocators in what processes map, one search at a time among them.
#include "private.h"
#include "hotspot.h"

#include "../base/base.h"
#include "../loop/loop.h"
#include "../proc/proc.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

// A program maps its libraries one after the other; one that goes on and on is looked at seldom.
#define REST_NS (NS_PER_MS)
#define REST_LONG_NS NS_PER_S
#define LOOKS_SOON 50
#define TRIES_MAX 20 // to read what a file that was just mapped holds in memory

void heap_end_search(struct heap *h)
{
	proc_maps_free(h->maps);
	allocator_search_free(h->search);
	h->attach.unfit = true;
	if (h->fd >= 0)
		close(h->fd);
	if (h->debug >= 0)
		close(h->debug);
	h->maps = NULL;
	h->search = NULL;
	h->fd = h->debug = -1;
}

static int step(struct heap *h, uint64_t budget_ns, bool waits);

static int on_slice(void *arg, uint64_t budget_ns)
{
	return step(arg, budget_ns, false);
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

void heap_busy(struct heap *h, const struct target *t)
{
	uint64_t rest = t->looks < LOOKS_SOON ? REST_NS : REST_LONG_NS;
	if (!h->options.loop || h->slice)
		return;
	if (!h->rest)
		h->rest = loop_timer(h->options.loop, rest, 0, on_rest, h);
	else
		timer_set(h->rest, rest, 0);
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
		heap_busy(h, t);
		return false;
	}
	log_info(
	    "process %u: %.80s: what Java allocates is probed where threads take new TLABs, or "
	    "none%s; what of it is in use (heap) is not told: the garbage collector frees it",
	    t->pid, name, fits ? "" : ", which count with their whole size");
	return true;
}

// The functions that were found in F are probed, or not for ERROR.
static void probed(struct heap *h, struct target *t, const struct file *f, int error,
    const int links[KERNEL_PROBE_LINKS])
{
	const struct allocator *a = &h->allocator;
	if (error) {
		char what[128];
		snprintf(what, sizeof(what), "probes: %s%s", strerror(-error),
		    error == -EPERM || error == -EACCES
			? ": run as root, or with CAP_BPF, CAP_PERFMON and CAP_SYS_ADMIN"
			: "");
		say(t, f, what);
		return;
	}
	memcpy(t->links[t->probed_count++], links, sizeof(*t->links));
	t->probes += a->count;
	t->ever = true;
	log_info("process %u: %s: %u functions of its %s are probed", t->pid, mapped_name(&f->at),
	    a->count, a->has ? "allocator" : "Java machine");
}

// The allocator that was found in F: is it to be probed?
static bool wants_probes(struct heap *h, struct target *t, struct file *f)
{
	const struct allocator *a = &h->allocator;
	if (a->jvm && !a->has && !fit_java(h, t, f))
		return false;
	t->found = t->found || a->has;
	if (*a->why)
		say(t, f, a->why);
	if (!a->count)
		return false;
	if (*a->without)
		log_info("process %u: %s: %s", t->pid, mapped_name(&f->at), a->without);
	if (t->probed_count < PROBED_MAX)
		return true;
	say(t, f, "more than 8 allocators");
	return false;
}

static void attach(void *arg)
{
	struct heap *h = arg;
	struct attach *a = &h->attach;
	a->error = kernel_probe(
	    h->options.kernel, a->pid, a->fd, h->allocator.probes, h->allocator.count, a->links);
}

static void on_attached(void *arg)
{
	struct heap *h = arg;
	struct attach *a = &h->attach;
	struct target *t = h->at;
	a->errand = NULL;
	close(a->fd);
	if (!a->unfit)
		probed(h, t, &t->files[t->next - 1], a->error, a->links);
	if (a->unfit || a->error) // some may be on where it was killed
		removals_add(&h->removals, a->pid, a->links);
	if (a->unfit && !removals_has(&h->removals, a->pid))
		heap_off(h, a->pid);
	on_rest(h);
}

void heap_end_attach(struct heap *h)
{
	struct attach *a = &h->attach;
	if (!a->errand)
		return;
	errand_free(a->errand);
	a->errand = NULL;
	close(a->fd);
	kernel_unprobe(a->links);
}

// The allocator that was found in F, which then is not read any more.
static void probe(struct heap *h, struct target *t, struct file *f, bool waits)
{
	struct attach *a = &h->attach;
	if (!wants_probes(h, t, f)) {
		heap_end_search(h);
		return;
	}
	*a = (struct attach){
	    .pid = t->pid, .fd = h->fd, .error = -EINTR, .links = {-1, -1}}; // should it be killed
	h->fd = -1;
	heap_end_search(h);
	a->unfit = false;
	if (!waits)
		a->errand = loop_errand(h->options.loop, attach, on_attached, h);
	if (a->errand)
		return;
	attach(h);
	close(a->fd);
	probed(h, t, f, a->error, a->links);
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
		heap_end_search(h);
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

// What is still probed from before, as a program that executed another, would be probed twice.
static bool next_target(struct heap *h)
{
	for (int i = 0; i < TARGETS_MAX && !h->at; i++)
		if (h->targets[i] && h->targets[i]->wanted &&
		    !removals_has(&h->removals, h->targets[i]->pid))
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

static void step_search(struct heap *h, uint64_t budget_ns, bool waits)
{
	struct target *t = h->at;
	int more = allocator_search_step(h->search, budget_ns);
	if (more > 0)
		return;
	t->named = t->named || allocator_search_functions(h->search) > 0;
	if (!more && search_debug(h, t->pid, &t->files[t->next - 1]))
		return;
	if (!more || h->debug >= 0)
		probe(h, t, &t->files[t->next - 1], waits);
	else
		heap_end_search(h);
}

// WAITS: for the kernel to probe; else that goes on behind it.
static int step(struct heap *h, uint64_t budget_ns, bool waits)
{
	uint64_t deadline = clock_now() + budget_ns;
	do {
		if (h->attach.errand || (!h->at && !next_target(h)))
			return 0;
		struct target *t = h->at;
		if (!t)
			;
		else if (h->maps)
			step_maps(h, budget_ns);
		else if (h->search)
			step_search(h, budget_ns, waits);
		else if (t->next == t->file_count)
			conclude(h);
		else if (!t->files[t->next++].seen)
			open_file(h, t, &t->files[t->next - 1]);
	} while (clock_now() < deadline);
	return 1;
}

int heap_step(struct heap *h, uint64_t budget_ns)
{
	return step(h, budget_ns, true);
}
