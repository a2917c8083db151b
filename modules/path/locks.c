// SPDX-License-Identifier: Apache-2.0
// Which waits for a futex are waits for a lock shows in the names of their stacks. So when they are
// named, the profile of locks is made anew: each sample with its class, and without those that wait
// for something to happen, which the profile of time off the CPU has.
#include "private.h"
#include "../label/label.h"

#include <errno.h>
#include <string.h>

// Where the stack of the thread that waits begins: above it may be that of who woke it, to a mark.
static uint32_t past_waker(const struct profile *p, const uint32_t *frames, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		const struct profile_frame *f = profile_frame(p, frames[i]);
		if (f->kind == FRAME_MARK && label_is_waker(profile_name(p, f->name)))
			return i + 1;
	}
	return 0;
}

static const char *class_of(void *arg, const struct profile *p, uint32_t stack)
{
	const char *names[LOCK_DEPTH_MAX];
	uint32_t count, n = 0;
	const uint32_t *frames = profile_stack(p, stack, &count);
	(void)arg;
	uint32_t first = past_waker(p, frames, count);
	for (uint32_t i = first; i < count && n < LOCK_DEPTH_MAX; i++) {
		const struct profile_frame *f = profile_frame(p, frames[i]);
		const char *kernel = !i && f->kind == FRAME_MARK
					 ? lockclass_of_kernel(profile_name(p, f->name))
					 : NULL;
		if (kernel)
			return kernel;
		if (count == 1 && f->kind == FRAME_MARK)
			return "unknown"; // no stack: lost, or without memory
		if (f->kind != FRAME_KERNEL)
			names[n++] = profile_name(p, f->name);
	}
	if (first == count)
		return "unknown";
	enum lock_class c = lockclass_of(names, n);
	return lockclass_is_contention(c) || c == LOCK_FUTEX ? lockclass_name(c) : NULL;
}

static int begin(struct path *p)
{
	p->classified = profile_new_like(ACCOUNT_PROFILE, p->sealed);
	if (p->classified)
		p->merge = profile_merge_new(p->classified, p->sealed, 1, NULL, NULL);
	if (p->merge) {
		profile_merge_label(p->merge, "lockClass", class_of, p);
		return 0;
	}
	profile_free(p->classified);
	p->classified = NULL;
	return -ENOMEM;
}

int locks_step(struct path *p, uint64_t budget_ns)
{
	int error = p->merge ? 0 : begin(p);
	if (error) {
		log_seldom(LOG_LEVEL_WARN, "memory_limit: no memory to tell locks from other "
					   "waits: all of them are there");
		return 0;
	}
	if (profile_merge_step(p->merge, budget_ns) > 0)
		return 1;
	profile_merge_free(p->merge);
	p->merge = NULL;
	profile_seal(p->classified);
	profile_free(p->sealed);
	p->sealed = p->classified;
	p->classified = NULL;
	return 0;
}
