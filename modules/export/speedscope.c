// SPDX-License-Identifier: Apache-2.0
// speedscope's JSON (its file-format-schema.json): one "sampled" profile for each value, over
// shared frames.
//
//   {"$schema", "shared":{"frames":[processes..., frames...]}, "profiles":[{..., "samples":[[...]],
//   "weights":[...]}]}
#include "tree.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

enum part { PART_TREE, PART_PROCESSES, PART_FRAMES, PART_SAMPLES, PART_WEIGHTS, PART_END };

struct speedscope_job {
	struct export_job job;
	struct tree tree;
	enum part part;
	uint32_t next;	// process, frame or node of the part
	uint32_t value; // profile being written
	bool comma;
	int64_t sum;
	uint32_t path[TREE_PATH_MAX];
};

static int start(struct export_job *job)
{
	struct speedscope_job *j = (struct speedscope_job *)job;
	struct tree_options options = {.processes = TREE_BY_POD, .nodes_max = TREE_NONE};
	return tree_start(&j->tree, job->p, NULL, &options);
}

static void add_string(struct text *t, const char *s)
{
	json_string(t, s, strlen(s));
}

static void add_frame(struct speedscope_job *j, const char *name, const char *file)
{
	struct text *t = &j->job.out;
	text_puts(t, j->comma ? ",{\"name\":" : "{\"name\":");
	add_string(t, name);
	if (*file) {
		text_puts(t, ",\"file\":");
		add_string(t, file);
	}
	text_puts(t, "}");
	j->comma = true;
}

// What nodes come to in the profile of one value; below zero cannot be drawn.
static int64_t weight(const struct speedscope_job *j, uint32_t node)
{
	int64_t value = tree_values(&j->tree, node)[j->value];
	return value > 0 ? value : 0;
}

static void add_sample(struct speedscope_job *j, uint32_t node)
{
	struct text *t = &j->job.out;
	uint32_t length = tree_path(&j->tree, node, j->path);
	text_puts(t, j->comma ? ",[" : "[");
	for (uint32_t i = 0; i < length; i++) {
		uint32_t what = j->tree.nodes[j->path[i]].what;
		text_printf(t, i ? ",%u" : "%u", i ? what + j->tree.process_count : what);
	}
	text_puts(t, "]");
	j->comma = true;
}

// Units of the schema; what it does not know is a plain number.
static const char *unit_of(const char *unit)
{
	static const char *const known[] = {
	    "nanoseconds", "microseconds", "milliseconds", "seconds", "bytes"};
	for (size_t i = 0; i < sizeof(known) / sizeof(*known); i++)
		if (!strcmp(known[i], unit))
			return unit;
	return "none";
}

static void begin_profile(struct speedscope_job *j)
{
	const struct profile *p = j->job.p;
	const struct profile_header *h = profile_header_of(p);
	struct text *t = &j->job.out;
	text_puts(
	    t, j->value ? ",{\"type\":\"sampled\",\"name\":" : "{\"type\":\"sampled\",\"name\":");
	add_string(t, profile_name(p, h->value_types[j->value]));
	text_printf(t, ",\"unit\":\"%s\",\"startValue\":0,\"samples\":[",
	    unit_of(profile_name(p, h->value_units[j->value])));
	j->sum = 0;
}

// One item of the part; 0: there was none left, and what stands between two parts was written.
static uint32_t put_next(struct speedscope_job *j)
{
	struct tree *t = &j->tree;
	struct text *out = &j->job.out;
	uint32_t i = j->next++;
	switch (j->part) {
	case PART_PROCESSES:
		if (i == t->process_count)
			return 0;
		add_frame(j, names_get(t->names, t->processes[i].name), "");
		return 2;
	case PART_FRAMES:
		if (i < t->frame_count) {
			add_frame(j, names_get(t->names, t->frames[i].name),
			    names_get(t->names, t->frames[i].mapping));
			return 4;
		}
		text_puts(out, "]},\"profiles\":[");
		begin_profile(j);
		return 0;
	case PART_SAMPLES:
		if (i < t->node_count) {
			if (weight(j, i))
				add_sample(j, i);
			return 8;
		}
		text_puts(out, "],\"weights\":[");
		return 0;
	case PART_WEIGHTS:
		if (i < t->node_count) {
			if (weight(j, i)) {
				text_printf(out, j->comma ? ",%" PRId64 : "%" PRId64, weight(j, i));
				j->comma = true;
				j->sum += weight(j, i);
			}
			return 2;
		}
		text_printf(out, "],\"endValue\":%" PRId64 "}", j->sum);
		return 0;
	default:
		return 0;
	}
}

static void next_part(struct speedscope_job *j)
{
	if (j->part != PART_PROCESSES) // frames follow processes in one list
		j->comma = false;
	j->next = 0;
	if (j->part == PART_WEIGHTS && ++j->value < j->tree.value_count) {
		begin_profile(j);
		j->part = PART_SAMPLES;
	} else {
		j->part++;
	}
}

static int step(struct export_job *job, struct slice *slice)
{
	struct speedscope_job *j = (struct speedscope_job *)job;
	if (j->part == PART_TREE) {
		if (tree_step(&j->tree, slice))
			return 1;
		text_puts(&job->out,
		    "{\"$schema\":\"https://www.speedscope.app/file-format-schema.json\","
		    "\"exporter\":\"telegen\",\"name\":");
		add_string(&job->out, job->title);
		uint32_t shown = profile_header_of(job->p)->default_value;
		text_printf(&job->out, ",\"activeProfileIndex\":%u,\"shared\":{\"frames\":[",
		    shown < j->tree.value_count ? shown : 0);
		next_part(j);
	}
	while (j->part < PART_END) {
		uint32_t work = put_next(j);
		if (!work)
			next_part(j);
		int error = export_flush(job, false);
		if (error)
			return error;
		if (slice_over(slice, work))
			return 1;
	}
	text_puts(&job->out, "]}\n");
	return export_flush(job, true);
}

static void stop(struct export_job *job)
{
	tree_stop(&((struct speedscope_job *)job)->tree);
}

const struct encoder speedscope_encoder = {sizeof(struct speedscope_job), start, step, stop};
