// SPDX-License-Identifier: Apache-2.0
// The flame page's data, and the page with its data in it.
//
//   {"v":1, "title", "banner", "type", "unit", "values":[[type,unit]...], "shown", "period",
//   "time_ns",
//    "duration_ns", ("base":true, "base_duration_ns"),
//    "names":["", ...], "frames":[[name,kind,mapping]...],
//    "whose":[[service,namespace,pod,container,pod_uid]...],
//    "processes":[[pid,name,container,whose]...] or [[0,name,container,whose,count]...],
//    "nodes":[[parent,frame,process,self...(,1)]...]}
//
// Processes stand one by one, which lets the page put them together and apart again; where that
// makes too many nodes, and with a base, all of a name and container (of a base: of a name) are one
// with their number (of a base: its number behind), 0 where it is not known. Whose they are is the
// row of `whose`, of which the first is empty: not known.
//
// A frame's kind is that of the profile's frames, 4: a mark that says why or which (a reason, a
// class of locks).
//
// Nodes: parent before child, -1 where there is none; the first level are processes (frame -1).
// Self values are one for each value, with a base the base's behind them. Behind those of a reason
// stands 1 where the thread only waits for work there. Nanoseconds since 1970 are text: they pass
// 2^53.
#include "tree.h"
#include "../label/label.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#define KIND_CLASS 4
#define MARK_BEGIN "/*telegen:data*/"
#define MARK_END "/*:telegen*/"

enum part {
	PART_TREE,
	PART_PAGE_HEAD,
	PART_NAMES,
	PART_FRAMES,
	PART_WHOSE,
	PART_PROCESSES,
	PART_NODES,
	PART_PAGE_TAIL,
	PART_END
};

struct flame_job {
	struct export_job job;
	struct tree tree;
	enum part part;
	uint32_t next;		 // item of the part
	const char *head, *tail; // of the page, where the data is to be in one
	size_t head_size, tail_size;
};

static int start_tree(struct flame_job *j, enum tree_processes processes)
{
	struct tree_options options = {.processes = processes,
	    .counted = processes != TREE_BY_PID,
	    .classes = true,
	    .nodes_max = FLAME_NODES_MAX};
	return tree_start(&j->tree, j->job.p, j->job.base, &options);
}

static int start(struct export_job *job)
{
	return start_tree((struct flame_job *)job, job->base ? TREE_BY_NAME : TREE_BY_PID);
}

// A node may start thousands of processes a second: once more with all of a name as one rather than
// a tree that leaves out.
static int grow_tree(struct flame_job *j, struct slice *slice)
{
	int error = tree_step(&j->tree, slice);
	if (error || !j->tree.rest_stacks || j->tree.options.processes != TREE_BY_PID)
		return error;
	tree_stop(&j->tree);
	error = start_tree(j, TREE_BY_CONTAINER);
	return error ? error : 1;
}

static int start_html(struct export_job *job)
{
	struct flame_job *j = (struct flame_job *)job;
	size_t size;
	j->head = flame_page(&size);
	const char *begin = memmem(j->head, size, MARK_BEGIN, strlen(MARK_BEGIN));
	const char *end =
	    begin ? memmem(begin, size - (size_t)(begin - j->head), MARK_END, strlen(MARK_END))
		  : NULL;
	if (!end)
		return -EINVAL;
	j->head_size = (size_t)(begin - j->head);
	j->tail = end + strlen(MARK_END);
	j->tail_size = (size_t)(j->head + size - j->tail);
	return start(job);
}

static void add_string(struct text *t, const char *s)
{
	json_string(t, s, strlen(s));
}

static void add_head(struct flame_job *j)
{
	const struct profile *p = j->job.p;
	const struct profile_header *h = profile_header_of(p);
	struct text *t = &j->job.out;
	uint32_t shown = h->default_value < h->value_count ? h->default_value : 0;
	text_puts(t, "{\"v\":1,\"title\":");
	add_string(t, j->job.title);
	text_puts(t, ",\"banner\":");
	if (h->comments)
		add_string(t, profile_name(p, h->comments));
	else
		text_puts(t, "null");
	text_puts(t, ",\"type\":");
	add_string(t, h->type ? h->type->name : profile_name(p, h->value_types[shown]));
	text_puts(t, ",\"unit\":");
	add_string(t, profile_name(p, h->value_units[shown]));
	text_puts(t, ",\"values\":[");
	for (uint32_t v = 0; v < h->value_count; v++) {
		text_puts(t, v ? ",[" : "[");
		add_string(t, profile_name(p, h->value_types[v]));
		text_puts(t, ",");
		add_string(t, profile_name(p, h->value_units[v]));
		text_puts(t, "]");
	}
	text_printf(t,
	    "],\"shown\":%u,\"period\":%" PRId64 ",\"time_ns\":\"%" PRIu64
	    "\",\"duration_ns\":\"%" PRIu64 "\",",
	    shown, h->period, h->time_ns, h->duration_ns);
	if (j->job.base)
		text_printf(t, "\"base\":true,\"base_duration_ns\":\"%" PRIu64 "\",",
		    profile_header_of(j->job.base)->duration_ns);
}

// Whether NODE is a reason, and who is off the CPU for that on its stack only waits for work.
static bool is_idle(const struct flame_job *j, const struct tree_node *node)
{
	const struct tree *t = &j->tree;
	const struct profile_type *type = profile_header_of(j->job.p)->type;
	const char *names[LOCK_DEPTH_MAX];
	char reason[32];
	uint32_t count = 0;
	if (!type || (strcmp(type->name, "offcpu") && strcmp(type->name, "wall")) ||
	    node->parent == TREE_NONE || !t->frames[node->what].class)
		return false;
	const struct tree_node *n = &t->nodes[node->parent];
	for (; n->parent != TREE_NONE; n = &t->nodes[n->parent]) {
		const struct tree_frame *f = &t->frames[n->what];
		const char *name = names_get(t->names, f->name);
		if (f->kind == FRAME_MARK && label_is_waker(name))
			count = 0; // so far it was who woke it
		else if (f->kind != FRAME_KERNEL && count < LOCK_DEPTH_MAX)
			names[count++] = name;
	}
	text_copy(reason, sizeof(reason), names_get(t->names, t->frames[node->what].name) + 1);
	reason[strcspn(reason, "]")] = 0;
	return label_is_idle(reason, names, count);
}

static void add_node(struct flame_job *j, uint32_t i)
{
	const struct tree_node *n = &j->tree.nodes[i];
	struct text *t = &j->job.out;
	bool process = n->parent == TREE_NONE;
	if (process)
		text_printf(t, "[-1,-1,%u", n->what);
	else
		text_printf(t, "[%u,%u,-1", n->parent, n->what);
	for (uint32_t v = 0; v < j->tree.width; v++)
		text_printf(t, ",%" PRId64, tree_values(&j->tree, i)[v]);
	text_puts(t, is_idle(j, n) ? ",1]" : "]");
}

static void add_process(struct flame_job *j, const struct tree_process *p)
{
	struct text *t = &j->job.out;
	const struct tree *tree = &j->tree;
	text_printf(t, "[%u,%u,%u,%u", p->pid, p->name, p->container, p->whose);
	if (tree->options.counted)
		text_printf(t, ",%u", tree->uncounted ? 0 : p->counts[0]);
	if (tree->options.counted && tree->sides[1])
		text_printf(t, ",%u", tree->uncounted ? 0 : p->counts[1]);
	text_puts(t, "]");
}

static void add_whose(struct text *t, const struct tree_whose *w)
{
	for (int i = 0; i < WHOSE_COUNT; i++)
		text_printf(t, i ? ",%u" : "[%u", w->at[i]);
	text_puts(t, "]");
}

static uint32_t count_of(const struct flame_job *j)
{
	switch (j->part) {
	case PART_NAMES:
		return names_count(j->tree.names);
	case PART_FRAMES:
		return j->tree.frame_count;
	case PART_WHOSE:
		return j->tree.whose_count;
	case PART_PROCESSES:
		return j->tree.process_count;
	case PART_NODES:
		return j->tree.node_count;
	default:
		return 0;
	}
}

static void add_item(struct flame_job *j, uint32_t i)
{
	struct text *t = &j->job.out;
	const struct tree_frame *f = &j->tree.frames[i];
	const struct tree_process *p = &j->tree.processes[i];
	switch (j->part) {
	case PART_NAMES:
		add_string(t, names_get(j->tree.names, i));
		break;
	case PART_FRAMES:
		text_printf(t, "[%u,%u,%u]", f->name, f->class ? KIND_CLASS : f->kind, f->mapping);
		break;
	case PART_WHOSE:
		add_whose(t, &j->tree.whose[i]);
		break;
	case PART_PROCESSES:
		add_process(j, p);
		break;
	case PART_NODES:
		add_node(j, i);
		break;
	default:
		break;
	}
}

// To look at a stack takes about 20 us.
static uint32_t work_of(const struct flame_job *j, uint32_t i)
{
	const struct tree_node *n = j->part == PART_NODES ? &j->tree.nodes[i] : NULL;
	return n && n->parent != TREE_NONE && j->tree.frames[n->what].class ? 128 : 4;
}

static int add_list(struct flame_job *j, struct slice *slice)
{
	static const char *const keys[] = {
	    [PART_NAMES] = "\"names\":[",
	    [PART_FRAMES] = "],\"frames\":[",
	    [PART_WHOSE] = "],\"whose\":[",
	    [PART_PROCESSES] = "],\"processes\":[",
	    [PART_NODES] = "],\"nodes\":[",
	};
	struct text *t = &j->job.out;
	for (; j->next < count_of(j); j->next++) {
		if (slice_over(slice, work_of(j, j->next)))
			return 1;
		text_puts(t, j->next ? "," : keys[j->part]);
		add_item(j, j->next);
		int error = export_flush(&j->job, false);
		if (error)
			return error;
	}
	if (!j->next) // an empty list
		text_puts(t, keys[j->part]);
	j->next = 0;
	return 0;
}

static int run_part(struct flame_job *j, struct slice *slice)
{
	struct export_job *job = &j->job;
	int error = 0;
	switch (j->part) {
	case PART_TREE:
		return grow_tree(j, slice);
	case PART_PAGE_HEAD:
		if (j->head)
			error = job->sink.write(job->sink.arg, j->head, j->head_size);
		add_head(j);
		return error;
	case PART_PAGE_TAIL:
		text_puts(&job->out, "]}");
		error = export_flush(job, true);
		if (j->head && !error)
			error = job->sink.write(job->sink.arg, j->tail, j->tail_size);
		return error;
	case PART_END:
		return 0;
	default:
		return add_list(j, slice);
	}
}

static int step(struct export_job *job, struct slice *slice)
{
	struct flame_job *j = (struct flame_job *)job;
	for (; j->part < PART_END; j->part++) {
		int error = run_part(j, slice);
		if (error)
			return error;
	}
	return 0;
}

static void stop(struct export_job *job)
{
	tree_stop(&((struct flame_job *)job)->tree);
}

const struct encoder flame_encoder = {sizeof(struct flame_job), start, step, stop};
const struct encoder html_encoder = {sizeof(struct flame_job), start_html, step, stop};
