// SPDX-License-Identifier: Apache-2.0
// Any bytes as the memory of a Go program: nothing is told twice, no reading goes on for ever.
//
//   3 words: heads | rates | buckets ...        at 0x1000; the second half of the bytes is the
//   memory a reading later
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../../modules/goprof/goprof.c"

#define BASE 0x1000

static void told(void *arg, const struct goprof_sample *s)
{
	(void)arg;
	if (s->depth > GOPROF_DEPTH_MAX || s->list >= GOPROF_LISTS || s->count < 0 ||
	    s->value < 0 || s->held < 0 || s->held_value < 0)
		abort();
	for (uint32_t i = 0; i < s->depth; i++)
		if (!s->stack[i])
			abort();
}

static void read_once(struct goprof *g, const uint8_t *data, size_t size, bool whole)
{
	struct goprof_target t = {.process = 1,
	    .binary = 1,
	    .program = -1,
	    .memory = memfd_create("fuzz", MFD_CLOEXEC),
	    .whole = whole};
	if (t.memory < 0 || pwrite(t.memory, data, size, BASE) != (ssize_t)size)
		abort();
	if (goprof_begin(g, &t))
		abort();
	for (unsigned n = 0; goprof_step(g, 100 * NS_PER_US, told, NULL) == 1; n++)
		if (n > 100000)
			abort();
	goprof_end(g);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct goprof *g = goprof_new(&(struct goprof_options){.marks_max = 4096, .lists = 7});
	if (!g)
		abort();
	g->program = (struct program){.kind = GOPROF_READABLE, .minor = size % 2 ? 22 : 19};
	for (int v = 0; v < VARIABLE_COUNT; v++)
		g->program.at[v] = BASE + 8u * (unsigned)v;
	g->target.binary = 1;
	remember(g);
	read_once(g, data, size / 2, size % 3);
	read_once(g, data + size / 2, size - size / 2, size % 3);
	read_once(g, data + size / 2, size - size / 2, size % 3);
	goprof_free(g);
	if (mem_used(ACCOUNT_GOPROF))
		abort();
	return 0;
}
