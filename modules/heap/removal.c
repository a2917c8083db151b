// SPDX-License-Identifier: Apache-2.0
#include "removal.h"

#include "../base/base.h"
#include "../loop/loop.h"

#include <errno.h>
#include <string.h>

// At once: they share the waiting. 64 links took 2.1 s one after the other, 0.8 s four at a time
// and 0.5 s eight at a time.
#define GOING_MAX 8
#define QUEUE_MAX 512 // then the loop has to wait

struct removal {
	struct removals *all;
	struct removal *next;
	struct errand *errand; // NULL: it waits for its turn
	uint32_t pid;
	int links[KERNEL_PROBE_LINKS];
};

static void unlink_one(struct removal *one)
{
	struct removals *r = one->all;
	struct removal **at = &r->first, *before = NULL;
	for (; *at != one; at = &before->next)
		before = *at;
	*at = one->next;
	if (r->last == one)
		r->last = before;
	r->count--;
	mem_free(one);
}

static void let_go(void *arg)
{
	struct removal *one = arg;
	kernel_unprobe(one->links);
}

static bool are_off(const int links[KERNEL_PROBE_LINKS])
{
	for (int i = 0; i < KERNEL_PROBE_LINKS; i++)
		if (links[i] >= 0)
			return false;
	return true;
}

static void finish(struct removal *one)
{
	struct removals *r = one->all;
	uint32_t pid = one->pid;
	unlink_one(one);
	if (!removals_has(r, pid))
		r->done(r->arg, pid);
}

static void on_off(void *arg);

// False: it did not begin, and nothing goes on that could begin it later.
static bool begin_one(struct removal *one)
{
	struct removals *r = one->all;
	if (r->going == GOING_MAX)
		return true;
	one->errand = loop_errand(r->loop, let_go, on_off, one);
	r->going += one->errand != NULL;
	if (!r->going)
		log_debug("process %u: probes come off while all else waits: %s", one->pid,
		    strerror(errno));
	return r->going;
}

static void begin_waiting(struct removals *r)
{
	for (struct removal *one = r->first; one; one = one->next)
		if (!one->errand && (r->going == GOING_MAX || !begin_one(one)))
			return;
}

// Where the errand was killed the links that it had not come to go with another one.
static void on_off(void *arg)
{
	struct removal *one = arg;
	struct removals *r = one->all;
	one->errand = NULL;
	r->going--;
	if (are_off(one->links))
		finish(one);
	begin_waiting(r);
	while (r->first && !r->going) {
		kernel_unprobe(r->first->links);
		finish(r->first);
	}
}

void removals_add(struct removals *r, uint32_t pid, int links[KERNEL_PROBE_LINKS])
{
	if (are_off(links))
		return;
	struct removal *one =
	    r->loop && r->count < QUEUE_MAX ? mem_alloc(ACCOUNT_HEAP, sizeof(*one)) : NULL;
	if (!one) {
		kernel_unprobe(links);
		return;
	}
	one->all = r;
	one->pid = pid;
	for (int i = 0; i < KERNEL_PROBE_LINKS; i++) {
		one->links[i] = links[i];
		links[i] = -1;
	}
	*(r->last ? &r->last->next : &r->first) = one;
	r->last = one;
	r->count++;
	if (begin_one(one))
		return;
	kernel_unprobe(one->links);
	unlink_one(one);
}

bool removals_has(const struct removals *r, uint32_t pid)
{
	for (const struct removal *one = r->first; one; one = one->next)
		if (one->pid == pid)
			return true;
	return false;
}

void removals_end(struct removals *r)
{
	while (r->first) {
		struct removal *one = r->first;
		r->going -= one->errand != NULL;
		errand_free(one->errand);
		kernel_unprobe(one->links);
		unlink_one(one);
		begin_waiting(r);
	}
}
