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

static uint64_t is_own(const char *name)
{
	static const char *const ours[] = {"bpf_prog_", "bpf_trace_run", "__bpf_trace_",
	    "__traceiter_", "bpf_trampoline_", "__mmap_lock_do_trace_"};
	for (size_t i = 0; i < sizeof(ours) / sizeof(*ours); i++)
		if (!strncmp(name, ours[i], strlen(ours[i])))
			return true;
	return false;
}

// How many frames of R, from the leaf on, are ours.
static uint32_t count_own(struct kernel *k, const struct record_sample *r)
{
	uint64_t addresses[OWN_DEPTH];
	uint32_t n = r->kernel_frames < OWN_DEPTH ? r->kernel_frames : OWN_DEPTH, unknown = 0,
		 own = 0;
	uint64_t is;
	if (k->own.count > OWN_MAX)
		map_clear(&k->own);
	for (uint32_t i = 0; i < n; i++)
		if (!map_get(&k->own, r->frames[i], &is))
			addresses[unknown++] = r->frames[i];
	if (unknown && kernel_classify(k, &k->own, addresses, unknown, is_own))
		return 0; // told; the frames are then all there
	while (own < n && map_get(&k->own, r->frames[own], &is) && is)
		own++;
	return own;
}

// R without the first OWN of its kernel frames. NULL: no memory.
static struct record_sample *without(struct kernel *k, const struct record_sample *r, uint32_t own)
{
	if (!k->trimmed)
		k->trimmed = mem_alloc(ACCOUNT_KERNEL, RECORD_MAX);
	struct record_sample *to = (void *)k->trimmed;
	if (!to)
		return NULL;
	*to = *r;
	to->kernel_frames -= (uint16_t)own;
	to->head.size -= 8 * own;
	memcpy(to->frames, r->frames + own, to->head.size - sizeof(*r));
	if (to->kernel_frames)
		to->frames[0]--; // of a leaf the address itself counts: now in its call
	else
		to->kernel_cut = 0;
	return to;
}

// A waker whose kernel frames were taken to tell whether it is one. NULL: it is not known, or there
// is no memory.
static const struct record_sample *judged(struct kernel *k, const struct record_sample *r)
{
	enum waker_kind kind = wake_kind(k, r);
	if (kind == WAKER_NONE)
		return NULL;
	bool kept = kind == WAKER_THREAD && k->options.off_cpu_kernel;
	struct record_sample *to = without(k, r, kept ? count_own(k, r) : r->kernel_frames);
	if (to && kind == WAKER_INTERRUPT)
		*to =
		    (struct record_sample){.head = {RECORD_SAMPLE, 0, sizeof(*to), r->head.time_ns},
			.object = r->object,
			.source = SOURCE_WAKER,
			.block = r->block};
	if (to)
		to->reason = (uint8_t)kind;
	return to;
}

void trim_hand(struct kernel *k, const struct record *r)
{
	const struct record_sample *s = (const struct record_sample *)r;
	bool sound = r->kind == RECORD_SAMPLE && r->size >= sizeof(*s) && r->size <= RECORD_MAX &&
		     r->size >= sizeof(*s) + 8ull * s->kernel_frames;
	if (sound && s->source == SOURCE_WAKER && s->reason == WAKER_UNTOLD) {
		s = judged(k, s);
		if (!s)
			return;
		r = &s->head;
	} else if (sound && s->kernel_frames &&
		   (s->source == SOURCE_OFF_CPU || s->source == SOURCE_LOCK ||
		       s->source == SOURCE_MAPPED ||
		       (s->source == SOURCE_MEMORY && s->reason != MEMORY_FAULT))) {
		uint32_t own = count_own(k, s);
		const struct record_sample *to = own ? without(k, s, own) : NULL;
		r = to ? &to->head : r;
	}
	k->options.on_record(k->options.arg, r);
}
