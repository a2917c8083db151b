// SPDX-License-Identifier: Apache-2.0
// Processes that are probed, and for how long.
#include "private.h"

#include "../base/base.h"
#include "../loop/loop.h"

#include <errno.h>
#include <string.h>

// An agent tells after so long of what it cannot probe: until then it may be starting.
#define TELL_NS (2 * NS_PER_S)

static void take_off(struct target *t)
{
	for (uint32_t i = 0; i < t->probed_count; i++)
		removals_add(&t->heap->removals, t->pid, t->links[i]);
	t->probed_count = t->probes = 0;
}

static void target_free(struct target *t)
{
	take_off(t);
	timer_free(t->limit);
	mem_free(t->files);
	mem_free(t);
}

void heap_free(struct heap *h)
{
	if (!h)
		return;
	slice_free(h->slice);
	timer_free(h->rest);
	heap_end_search(h);
	heap_end_attach(h);
	for (int i = 0; i < TARGETS_MAX; i++)
		if (h->targets[i])
			target_free(h->targets[i]);
	removals_end(&h->removals);
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

void heap_off(struct heap *h, uint32_t pid)
{
	struct target **at = find(h, pid), *t = at ? *at : NULL;
	if (h->attach.errand && h->attach.pid == pid)
		return; // there is more to come off
	if (t && t->untold_over && h->options.on_over)
		h->options.on_over(h->options.arg, pid);
	if (t)
		t->untold_over = false;
	if (t && t->wanted)
		heap_busy(h, t);
}

static void on_removed(void *arg, uint32_t pid)
{
	heap_off(arg, pid);
}

struct heap *heap_new(const struct heap_options *options)
{
	struct heap *h = mem_alloc(ACCOUNT_HEAP, sizeof(*h));
	if (!h)
		return NULL;
	h->options = *options;
	if (options->times)
		h->before = *options->times;
	h->fd = h->debug = -1;
	h->removals = (struct removals){.loop = options->loop, .done = on_removed, .arg = h};
	return h;
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
		heap_end_search(t->heap);
		t->heap->at = NULL;
	}
	if (t->probes)
		log_info("process %u: allocations: the time is over: %u probes come off", t->pid,
		    t->probes);
	take_off(t);
	t->over = true;
	t->wanted = false;
	t->untold_over = true;
	if (!removals_has(&t->heap->removals, t->pid))
		heap_off(t->heap, t->pid);
}

void heap_times(const struct heap *h, struct heap_times *times)
{
	times->count = 0;
	for (int i = 0; i < TARGETS_MAX; i++)
		if (h->targets[i]) {
			times->of[times->count].pid = h->targets[i]->pid;
			times->of[times->count++].began_ns = h->targets[i]->began;
		}
}

// When PID began to be probed: once only, whoever has the number after it begins anew.
static uint64_t began(struct heap *h, uint32_t pid)
{
	for (uint32_t i = 0; i < h->before.count; i++)
		if (h->before.of[i].pid == pid) {
			h->before.of[i].pid = 0;
			return h->before.of[i].began_ns;
		}
	return clock_now();
}

// 0 or -ENOMEM.
static int limit(struct heap *h, struct target *t)
{
	uint64_t now = clock_now(), first = h->options.time_ns / 2;
	if (!h->options.loop || !h->options.time_ns)
		return 0;
	t->until = t->began + h->options.time_ns;
	if (t->until <= now) {
		t->over = true;
		t->wanted = false;
		log_info(
		    "process %u: allocations: the time was over before: it is not probed again",
		    t->pid);
		return 0;
	}
	if (first > TELL_NS)
		first = TELL_NS;
	if (first > t->until - now)
		first = t->until - now;
	t->limit = loop_timer(h->options.loop, first, 0, on_limit, t);
	return t->limit ? 0 : -ENOMEM;
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
	t->began = began(h, pid);
	if (limit(h, t)) {
		target_free(t);
		return -ENOMEM;
	}
	h->targets[i] = t;
	if (t->wanted)
		heap_busy(h, t);
	return 0;
}

void heap_stop(struct heap *h)
{
	slice_free(h->slice);
	timer_free(h->rest);
	h->slice = NULL;
	h->rest = NULL;
	heap_end_search(h);
	heap_end_attach(h);
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
	began(h, pid);
	if (!t)
		return;
	if (t == h->at) {
		heap_end_search(h);
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
		heap_end_search(h);
		h->at = NULL;
	}
	t->wanted = true;
	heap_busy(h, t);
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
