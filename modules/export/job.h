// SPDX-License-Identifier: Apache-2.0
// What all encoders have in common; private to this room.
//
//   export_new -> encoder->start -> encoder->step, step, ... -> sink
//
// An encoder keeps its state in a structure that begins with a struct export_job.
#pragma once
#include "export.h"

struct slice { // the time that one step may take
	uint64_t start, budget;
	uint32_t work;
};
static inline struct slice slice_begin(uint64_t budget_ns)
{
	return (struct slice){clock_now(), budget_ns, 0};
}
// Counts WORK done (about 100 ns each); true when the time is over.
static inline bool slice_over(struct slice *s, uint32_t work)
{
	s->work += work;
	if (s->work < 256)
		return false;
	s->work = 0;
	return clock_now() - s->start >= s->budget;
}

struct export_job {
	const struct encoder *encoder;
	const struct profile *p, *base;
	const char *title;
	struct wire_sink sink;
	struct text out; // of the formats made of text: what the sink did not get yet
	int result;	 // of the last step
};
struct encoder {
	size_t size; // of its state
	int (*start)(struct export_job *job);
	int (*step)(struct export_job *job, struct slice *slice); // 1 more, 0 done, -errno
	void (*stop)(struct export_job *job);
};
extern const struct encoder pprof_encoder, folded_encoder, speedscope_encoder, flame_encoder,
    html_encoder;

// Gives `out` to the sink once it is worth a call (or ALL of it): 0 or -errno.
int export_flush(struct export_job *job, bool all);
bool export_is_zero(const struct profile *p, const struct profile_sample *s);
// What a frame is called where it has to have a name: "main", "[libfoo.so+0x12]", "[unknown]".
void export_frame_name(struct text *to, const struct profile *p, const struct profile_frame *f);
// Adds S with everything that is not UTF-8 replaced by U+FFFD.
void export_utf8(struct text *to, const char *s);
// S of *LENGTH bytes where it is UTF-8, else what export_utf8 makes of it in TO; "" where that has an error then.
const char *export_valid(struct text *to, const char *s, size_t *length);
// Room for COUNT + 1 items of SIZE bytes in the array that the pointer at ITEMS points to and that has room for *CAP.
bool export_grow(void *items, uint32_t *cap, uint32_t count, size_t size);
