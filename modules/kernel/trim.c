// SPDX-License-Identifier: Apache-2.0
// A stack that is taken at a tracepoint begins with the way to our program, which is not the
// thread's:
//
//   bpf_prog_..._off_switch   bpf_trace_run4   (__traceiter_sched_switch)   __schedule   ...
//
// How many frames that are depends on who else uses the tracepoint. The kernel is asked for the
// names of these few addresses, once for each.
#include "private.h"

#include <stdio.h>
#include <string.h>

#define OWN_DEPTH 5 // frames that may be ours
#define OWN_MAX 256 // addresses that are remembered
#define RECORD_MAX (sizeof(struct record_sample) + 8 * (KERNEL_FRAMES_MAX + FRAMES_MAX))

struct asked {
	struct kernel *k;
	uint64_t addresses[OWN_DEPTH];
};

static bool is_own(const char *name)
{
	static const char *const ours[] = {
	    "bpf_prog_", "bpf_trace_run", "__bpf_trace_", "__traceiter_", "bpf_trampoline_"};
	for (size_t i = 0; i < sizeof(ours) / sizeof(*ours); i++)
		if (!strncmp(name, ours[i], strlen(ours[i])))
			return true;
	return false;
}

static void on_name(
    void *arg, uint32_t index, uint64_t start, uint64_t end, const char *name, const char *module)
{
	struct asked *a = arg;
	(void)start;
	(void)end;
	(void)module;
	map_put(&a->k->own, a->addresses[index], name && is_own(name)); // or it is asked for again
}

// How many frames of R, from the leaf on, are ours.
static uint32_t count_own(struct kernel *k, const struct record_sample *r)
{
	struct asked a = {.k = k};
	uint32_t n = r->kernel_frames < OWN_DEPTH ? r->kernel_frames : OWN_DEPTH, unknown = 0,
		 own = 0;
	uint64_t is;
	if (k->own.count > OWN_MAX)
		map_clear(&k->own);
	for (uint32_t i = 0; i < n; i++)
		if (!map_get(&k->own, r->frames[i], &is))
			a.addresses[unknown++] = r->frames[i];
	if (unknown && kernel_name(k, a.addresses, unknown, on_name, &a))
		return 0; // told; the frames are then all there
	while (own < n && map_get(&k->own, r->frames[own], &is) && is)
		own++;
	return own;
}

void trim_hand(struct kernel *k, const struct record *r)
{
	const struct record_sample *s = (const struct record_sample *)r;
	uint32_t own = 0;
	if (r->kind == RECORD_SAMPLE && r->size >= sizeof(*s) && s->kernel_frames &&
	    (s->source == SOURCE_OFF_CPU || s->source == SOURCE_LOCK ||
		(s->source == SOURCE_MEMORY && s->reason != MEMORY_FAULT)) &&
	    r->size <= RECORD_MAX && r->size >= sizeof(*s) + 8ull * s->kernel_frames)
		own = count_own(k, s);
	if (own && !k->trimmed)
		k->trimmed = mem_alloc(ACCOUNT_KERNEL, RECORD_MAX);
	if (own && k->trimmed) {
		struct record_sample *to = (void *)k->trimmed;
		*to = *s;
		to->kernel_frames -= (uint16_t)own;
		to->head.size -= 8 * own;
		memcpy(to->frames, s->frames + own, to->head.size - sizeof(*s));
		if (to->kernel_frames)
			to->frames[0]--; // of a leaf the address itself counts: now in its call
		r = &to->head;
	}
	k->options.on_record(k->options.arg, r);
}
