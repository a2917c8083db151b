// SPDX-License-Identifier: Apache-2.0
// Folded stacks ("collapsed"): "root;caller;leaf COUNT\n", one line for each stack, for
// flamegraph.pl and its kin. With a base: "stack BASE COUNT\n", as difffolded.pl writes it.
#include "tree.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

struct folded_job {
	struct export_job job;
	struct tree tree;
	uint32_t value; // index of the value that is written
	uint32_t next;	// node
	uint32_t path[TREE_PATH_MAX];
};

// A frame's text: its name with nothing that the format means something by, "_[k]" or "_[j]" behind
// it.
static void call_frame(struct text *t, const struct profile *p, const struct profile_frame *f)
{
	export_frame_name(t, p, f);
	if (t->error)
		return;
	for (char *c = t->at; *c; c++)
		*c = *c == ';' ? ':' : (unsigned char)*c < ' ' ? ' ' : *c;
	const char *space = strrchr(t->at, ' ');
	if (f->kind == FRAME_KERNEL)
		text_puts(t, "_[k]");
	else if (f->kind == FRAME_JIT)
		text_puts(t, "_[j]");
	else if (space && space[1] && !space[1 + strspn(space + 1, "0123456789.")])
		text_puts(t, "_"); // readers would take the number for a count
}

// Readers make a sample of each count, so samples go before nanoseconds where there are both.
static uint32_t value_of(const struct profile *p)
{
	const struct profile_header *h = profile_header_of(p);
	bool samples = h->value_count && !strcmp(profile_name(p, h->value_types[0]), "samples");
	return samples || h->default_value >= h->value_count ? 0 : h->default_value;
}

static int start(struct export_job *job)
{
	struct folded_job *j = (struct folded_job *)job;
	struct tree_options options = {
	    .processes = TREE_BY_POD, .call_frame = call_frame, .nodes_max = TREE_NONE};
	j->value = value_of(job->p);
	return tree_start(&j->tree, job->p, job->base, &options);
}

static void add_process(struct text *t, const char *name)
{
	for (; *name; name++) {
		char c = *name == ';' ? ':' : (unsigned char)*name < ' ' ? ' ' : *name;
		text_add(t, &c, 1);
	}
}

static uint32_t add_line(struct folded_job *j, uint32_t node)
{
	struct text *t = &j->job.out;
	const int64_t *values = tree_values(&j->tree, node);
	int64_t now = values[j->value],
		before = j->job.base ? values[j->tree.value_count + j->value] : 0;
	// A difference may be below zero; the format has no such counts.
	now = now > 0 ? now : 0;
	before = before > 0 ? before : 0;
	if (!now && !before)
		return 1;
	uint32_t length = tree_path(&j->tree, node, j->path);
	size_t line = t->len;
	for (uint32_t i = 0; i < length; i++) {
		if (t->len > line)
			text_puts(t, ";");
		if (!i)
			add_process(t, tree_name(&j->tree, j->path[i]));
		else
			text_puts(t, tree_name(&j->tree, j->path[i]));
	}
	if (j->job.base)
		text_printf(t, " %" PRId64, before);
	text_printf(t, " %" PRId64 "\n", now);
	return length + 4;
}

static int step(struct export_job *job, struct slice *slice)
{
	struct folded_job *j = (struct folded_job *)job;
	if (tree_step(&j->tree, slice))
		return 1;
	while (j->next < j->tree.node_count) {
		uint32_t work = add_line(j, j->next++);
		int error = export_flush(job, false);
		if (error)
			return error;
		if (slice_over(slice, work))
			return 1;
	}
	return export_flush(job, true);
}

static void stop(struct export_job *job)
{
	tree_stop(&((struct folded_job *)job)->tree);
}

const struct encoder folded_encoder = {sizeof(struct folded_job), start, step, stop};
