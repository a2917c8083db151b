// SPDX-License-Identifier: Apache-2.0
// The eyes of the walker in user space: see bpf/walk.bpf.h.
#include "walker.h"

#define WALK_ARM64 (user(w)->in->arm64)
#include "../bpf/walk.h"

struct user_walk {
	struct walk walk; // first
	const struct walker_input *in;
	struct walked *out;
};
static inline const struct user_walk *user(const struct walk *w)
{
	return (const struct user_walk *)w;
}

static inline bool walk_read(struct walk *w, void *to, uint32_t size, uint64_t address)
{
	return user(w)->in->read(user(w)->in->arg, address, to, size) == 0;
}

static inline bool walk_code(struct walk *w, void *to, uint64_t address)
{
	return walk_read(w, to, 8, address);
}

static inline bool walk_put(struct walk *w, uint32_t n, uint64_t frame)
{
	struct walked *out = user(w)->out;
	if (n >= WALKER_FRAMES)
		return false;
	out->pc[n] = frame & ((1ull << FRAME_PAYLOAD_BITS) - 1);
	out->exact[n] = frame >> FRAME_PAYLOAD_BITS == FRAME_EXACT;
	return true;
}

#define walk_process(w, place) tables_slot(user(w)->in->tables, (w)->pid, (w)->mm_id, place)
#define walk_window(w, index) tables_window(user(w)->in->tables, index)
#define walk_page(w, kind, page) tables_page(user(w)->in->tables, kind, page)
#define walk_recent(w, slot) (user(w)->in->tables->recent + (slot))

#include "../bpf/walk.bpf.h"

void walker_walk(const struct walker_input *in, struct walked *out)
{
	struct user_walk u = {.in = in, .out = out};
	memset(out, 0, sizeof(*out));
	memcpy(u.walk.reg, in->reg, sizeof(in->reg));
	u.walk.known = ~0ull;
	u.walk.pid = in->pid;
	u.walk.mm_id = in->mm_id;
	u.walk.seconds = 1;
	u.walk.frames_max = in->frames_max < WALKER_FRAMES ? in->frames_max : WALKER_FRAMES;
	walk_begin(&u.walk, true);
	for (uint32_t i = 0; i <= 2 * WALKER_FRAMES; i++)
		if (walk_step(&u.walk, false))
			break;
	out->count = u.walk.n;
	out->end = u.walk.end;
	out->need_window = u.walk.need & NEED_WINDOW;
	out->need_at = u.walk.need_at;
	out->by_fp = u.walk.by_fp;
}
