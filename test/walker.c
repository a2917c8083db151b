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

static inline bool walk_put(struct walk *w, uint32_t n, uint64_t frame)
{
	struct walked *out = user(w)->out;
	if (n >= WALKER_FRAMES)
		return false;
	out->pc[n] = frame & ((1ull << FRAME_PAYLOAD_BITS) - 1);
	out->exact[n] = frame >> FRAME_PAYLOAD_BITS == FRAME_EXACT;
	return true;
}

static inline struct process_slot *walk_process(struct walk *w, u64 *place)
{
	const struct tables *t = user(w)->in->tables;
	for (uint32_t i = 0; i < PROCESS_PROBES; i++) {
		const struct process_slot *s =
		    t->processes + (process_hash(w->pid, w->mm_id) + i) % PROCESS_SLOTS;
		if (s->place && s->pid == w->pid && s->mm_id == w->mm_id) {
			*place = s->place;
			return (struct process_slot *)s;
		}
	}
	return NULL;
}

static inline struct window *walk_window(struct walk *w, uint32_t index)
{
	const struct tables *t = user(w)->in->tables;
	return index < WINDOWS_MAX ? (struct window *)t->windows + index : NULL;
}

static inline void *walk_chunk(struct walk *w, uint32_t chunk)
{
	const struct tables *t = user(w)->in->tables;
	return chunk < CHUNKS_MAX ? t->chunk[chunk] : NULL;
}

static inline struct block *walk_block(struct walk *w, void *chunk, uint32_t index)
{
	(void)w;
	return index < CHUNK_BLOCKS ? (struct block *)chunk + index : NULL;
}

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
		if (walk_step(&u.walk))
			break;
	out->count = u.walk.n;
	out->end = u.walk.end;
	out->need_window = u.walk.need & NEED_WINDOW;
	out->need_at = u.walk.need_at;
	out->by_fp = u.walk.by_fp;
}
