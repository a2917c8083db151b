// SPDX-License-Identifier: Apache-2.0
// A call tree of a profile (and of a second one to compare with), made in slices; private to this
// room.
//
//   node 0..     {parent, what}   parent before child
//   first level  what = process   (parent TREE_NONE)
//   below        what = frame
//   values       node x width     its own ("self") values; with a base: the profile's, then the
//   base's
//
// Samples with a label that says why (reason, lockClass) end in a mark of that name, so that what
// is below one function but of several classes stays apart.
//
// Frames are merged by their text, kind and mapping; processes as the options say. What finds no
// memory, or comes after NODES_MAX nodes, is kept under "[rest: N stacks]", so that totals hold.
#pragma once
#include "job.h"
#include "whose.h"

#define TREE_NONE UINT32_MAX
#define FLAME_NODES_MAX 200000 // more than a page can draw

enum tree_processes {
	TREE_BY_PID,	   // each, by pid, name and container
	TREE_BY_CONTAINER, // all of a name, container, pod and service are one
	TREE_BY_POD,	   // all of a name and pod, "java (shop/cart-7d4f)", where that is known
	TREE_BY_NAME,	   // all of a name (always so with a base: pids and containers say nothing
			   // there)
};
struct tree_options {
	enum tree_processes processes;
	bool counted; // where several are one: count them
	bool classes; // stacks end in their class
	// Adds what frame F shall be called to T; NULL: its name, kept apart by kind and mapping.
	void (*call_frame)(struct text *t, const struct profile *p, const struct profile_frame *f);
	uint32_t nodes_max;
};
struct tree_node {
	uint32_t parent, what;
};
struct tree_frame {
	uint32_t name, kind, mapping;
	bool class; // a mark that says why: what the label of a sample says
};
struct tree_process {
	uint32_t pid, name, container, whose; // whose: see tree.whose
	uint32_t next;	    // of the same pid and name, 0: none
	uint32_t counts[2]; // pids in it, of each side, where they are counted
};

struct tree {
	struct tree_options options;
	const struct profile *sides[2]; // the profile, its base
	uint32_t width, value_count;
	struct names *names;
	struct tree_frame *frames;
	struct tree_process *processes;
	struct tree_node *nodes;
	int64_t *values;
	uint32_t frame_count, frame_cap, process_count, process_cap, node_count, node_cap;
	struct map frame_ids, process_ids;
	struct map pids;	     // pid << 32 | process << 1 | side, where they are counted
	bool uncounted;		     // no memory for one of them
	uint32_t *index, index_mask; // nodes + 1 by (parent, what)
	uint32_t *wider, wider_mask, moved;    // the index being made wider, nodes moved so far
	uint32_t *frame_of[2], *process_of[2]; // the profiles' ids -> ours + 1
	// What is known of processes: 0 nothing, others by their names. Without memory for one: 0.
	struct tree_whose {
		uint32_t at[WHOSE_COUNT];
	} * whose;
	uint32_t whose_count, whose_cap;
	struct map whose_ids;
	struct whose_keys whose_keys[2];
	uint32_t labels, class;		       // the last set of labels, and its class + 1; 0: none
	uint32_t side, next;		       // sample
	uint64_t rest_stacks;
	int64_t rest[PROFILE_VALUES_MAX * 2];
	struct text text;
};

int tree_start(struct tree *t, const struct profile *p, const struct profile *base,
    const struct tree_options *options);
int tree_step(struct tree *t, struct slice *slice); // 1 more, 0 done
void tree_stop(struct tree *t);
static inline const int64_t *tree_values(const struct tree *t, uint32_t node)
{
	return t->values + (size_t)node * t->width;
}
// The way from the first level down to NODE: its length, at most PROFILE_STACK_MAX + 2 nodes.
uint32_t tree_path(const struct tree *t, uint32_t node, uint32_t *path);
#define TREE_PATH_MAX (PROFILE_STACK_MAX + 2)
// The name of NODE.
const char *tree_name(const struct tree *t, uint32_t node);
