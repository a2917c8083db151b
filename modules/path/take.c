// SPDX-License-Identifier: Apache-2.0
// Take: a sample came up from the kernel. Whose is it, what does each address mean, add it.
#include "private.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define STACK_MAX (KERNEL_FRAMES_MAX + FRAMES_MAX + 2) // frames and marks
#define VALUE_MAX (1000 * NS_PER_S) // of one sample; a thousand times the longest period

int take_window_new(struct path *p, uint64_t began_ns)
{
	struct profile *fresh = profile_new(ACCOUNT_PROFILE, profile_type_find("cpu"));
	if (!fresh)
		return -ENOMEM;
	profile_header(fresh)->period = (int64_t)p->options.period_ns;
	p->current = fresh;
	map_clear(&p->mappings);
	p->kernel_mapping = 0;
	p->window_began = began_ns;
	p->window_wall = clock_wall() - (clock_now() - began_ns);
	return 0;
}

static uint32_t mapping_of_kernel(struct path *p)
{
	if (!p->kernel_mapping) {
		struct profile_mapping m = {
		    .key = UINT64_MAX, .file = profile_add_name(p->current, "[kernel.kallsyms]")};
		p->kernel_mapping = profile_add_mapping(p->current, &m);
	}
	return p->kernel_mapping;
}

static uint32_t mapping_of_binary(struct path *p, uint32_t id)
{
	uint64_t have;
	if (map_get(&p->mappings, id, &have))
		return (uint32_t)have;
	struct binary *b = binary_by_id(p->processes, id);
	if (!b)
		return 0;
	struct profile_mapping m = {.key = id, .file = profile_add_name(p->current, b->path)};
	char hex[2 * ELF_BUILD_ID_MAX + 1] = "";
	for (uint8_t i = 0; i < b->facts.build_id_len; i++)
		snprintf(hex + 2 * i, 3, "%02x", b->facts.build_id[i]);
	m.build_id = profile_add_name(p->current, hex);
	for (uint8_t i = 0; i < b->facts.exec_count; i++) {
		const struct elf_exec *x = &b->facts.exec[i];
		if (!i || x->vaddr < m.start) {
			m.start = x->vaddr;
			m.offset = x->offset;
		}
		if (x->vaddr + x->size > m.limit)
			m.limit = x->vaddr + x->size;
	}
	uint32_t mapping = profile_add_mapping(p->current, &m);
	if (mapping && m.file)
		map_put(
		    &p->mappings, id, mapping); // only a shortcut: interned again where it fails
	return mapping;
}

static uint32_t frame_of_place(
    struct path *p, const struct process *process, const struct place *place)
{
	struct profile_frame f = {
	    .address = place->address, .owner = place->owner, .place = place->kind};
	if (place->kind == PLACE_KERNEL) {
		f.kind = FRAME_KERNEL;
		f.mapping = mapping_of_kernel(p);
	} else if (place->kind == PLACE_FILE || place->kind == PLACE_OFFSET) {
		f.mapping = mapping_of_binary(p, place->owner);
	} else if (place->kind == PLACE_ANON) {
		f.kind = FRAME_JIT;
		f.mapping = mapping_of_binary(p, process_binary_at(process, place->address));
	}
	return profile_add_frame(p->current, &f);
}

// Why a stack ends early beyond what the walker knows.
enum end {
	END_NONE,
	END_KERNEL_CUT,
	END_EXECVE,
	END_READING,
	END_UNKNOWN,
	END_UNTOLD,
	END_NOT_CODE
};
static const struct {
	const char *label;
	enum count count;
} ends[] = {
    [END_KERNEL_CUT] = {"kernel stack", COUNT_STACKS_KERNEL_CUT},
    [END_EXECVE] = {"execve", COUNT_STACKS_EXECVE},
    [END_READING] = {"mappings being read", COUNT_STACKS_READING},
    [END_UNKNOWN] = {"mappings not known", COUNT_STACKS_UNKNOWN},
    [END_UNTOLD] = {"mapping not told yet", COUNT_STACKS_UNTOLD},
    [END_NOT_CODE] = {"caller in no mapping", COUNT_STACKS_NOT_CODE},
};

bool path_end(uint32_t i, const char **label, const char **text)
{
	if (i >= sizeof(ends) / sizeof(*ends) - 1)
		return false;
	*label = ends[i + 1].label;
	*text = count_help(ends[i + 1].count);
	return true;
}

static uint32_t put_truncated(struct path *p, const char *why, uint32_t *out)
{
	char text[64];
	snprintf(text, sizeof(text), "[truncated: %s]", why);
	*out = profile_add_mark(p->current, text);
	return 1;
}

// The mark at the root end of a stack, if it wants one: OWN, or what the walker said.
static uint32_t put_end(struct path *p, enum end own, uint32_t walk_end, uint32_t *out)
{
	if (own) {
		count_add(ends[own].count, 1);
		return put_truncated(p, ends[own].label, out);
	}
	if (walk_end <= WALK_END_COMPLETE)
		return 0;
	return put_truncated(p, kernel_counter_label(KERNEL_WALK(walk_end)), out);
}

// The user part of the stack into OUT, and at its root end a mark where the walk did not get there.
static uint32_t user_frames_of(
    struct path *p, struct process *process, const struct record_sample *r, uint32_t *out)
{
	uint32_t n = 0, leaf = PLACE_NONE;
	bool by_fp = r->walk_end == WALK_END_LOADING || r->walk_end == WALK_END_FULL;
	bool not_code = r->walk_end == WALK_END_NOT_CODE || r->walk_end == WALK_END_UNMAPPED;
	// Code by now that the walker had not been told of: a library that was just loaded.
	enum end end = not_code && r->need & NEED_MAPPING ? END_UNTOLD : END_NONE;
	for (uint32_t i = 0; i < r->user_frames; i++) {
		uint64_t frame = r->frames[r->kernel_frames + i];
		uint64_t address = frame & ((1ull << FRAME_PAYLOAD_BITS) - 1);
		bool is_return = i > 0 && frame >> FRAME_PAYLOAD_BITS != FRAME_EXACT;
		struct place place = process_place(p->processes, process, address - is_return);
		if (place.kind == PLACE_PENDING) {
			end = END_READING;
			break;
		}
		// A caller that is no code: the frame pointer was none. What follows is noise.
		// Where the leaf is in no mapping either, it is the mappings that are not known.
		if (i > 0 && place.kind == PLACE_UNMAPPED) {
			end = leaf == PLACE_UNMAPPED ? END_UNKNOWN
			      : by_fp || not_code    ? END_NONE
						     : END_NOT_CODE;
			break;
		}
		leaf = i ? leaf : place.kind;
		if (leaf == PLACE_UNMAPPED) // a jump to nowhere
			end = END_NONE;
		if (place.kind == PLACE_TOO_MANY) { // a caller is perhaps none, as above
			out[n++] = profile_add_mark(p->current, "[unmapped: too many mappings]");
			if (i > 0)
				return n;
			continue;
		}
		if (!process->in_exec || place.kind != PLACE_UNMAPPED)
			out[n++] = frame_of_place(p, process, &place);
		if (process->in_exec) { // what its callers were went with the old stack
			end = END_EXECVE;
			break;
		}
	}
	return n + put_end(p, end, r->walk_end, out + n);
}

// Frames leaf first: the kernel part, then the user part.
static uint32_t frames_of(
    struct path *p, struct process *process, const struct record_sample *r, uint32_t *out)
{
	uint32_t n = 0;
	for (uint32_t i = 0; i < r->kernel_frames; i++) {
		// A return address lies behind its call; the instruction before it is the call.
		struct place place = {.kind = PLACE_KERNEL, .address = r->frames[i] - (i > 0)};
		out[n++] = frame_of_place(p, process, &place);
	}
	if (r->kernel_cut && r->kernel_frames)
		n += put_end(p, END_KERNEL_CUT, WALK_END_NONE, out + n);
	n += user_frames_of(p, process, r, out + n);
	if (!n)
		out[n++] = profile_add_mark(p->current, "[no stack]");
	return n;
}

static uint32_t subject_of(
    struct path *p, const struct process *process, const struct record_sample *r)
{
	char comm[COMM_LEN + 1] = "", leader[COMM_LEN + 1] = "";
	memcpy(comm, r->comm, COMM_LEN);
	memcpy(leader, r->process_comm, COMM_LEN);
	struct profile_subject s = {
	    .pid = r->pid,
	    .tid = r->tid,
	    .comm = profile_add_name(p->current, comm),
	    .process = profile_add_name(p->current, leader),
	    .container = profile_add_name(p->current, process->container),
	};
	return profile_add_subject(p->current, &s);
}

// A sample that has no place of its own stays in the totals under MARK.
static void lose(struct path *p, const char *mark)
{
	int64_t values[PROFILE_VALUES_MAX] = {1, (int64_t)p->options.period_ns};
	p->totals.lost++;
	profile_add_lost(p->current, mark, values);
	tape_put_lost(p, mark, 1);
}

static bool is_sound(const struct record_sample *r)
{
	return r->head.size >= sizeof(*r) && r->kernel_frames <= KERNEL_FRAMES_MAX &&
	       r->user_frames <= FRAMES_MAX &&
	       r->head.size >= sizeof(*r) + 8ull * (r->kernel_frames + r->user_frames) &&
	       r->source < SOURCE_COUNT && r->walk_end < WALK_END_COUNT &&
	       (!r->need || r->need_at <= r->user_frames) && r->value <= VALUE_MAX;
}

// Takes a sample: true where it belongs onto a tape.
static bool take_sample(struct path *p, const struct record_sample *r)
{
	uint32_t frames[STACK_MAX];
	count_add(COUNT_SAMPLES, 1);
	if (!is_sound(r)) {
		count_add(COUNT_RECORDS_BAD, 1);
		lose(p, "[lost: bad record]");
		return false;
	}
	struct process *process = process_of(p->processes, r);
	if (!process) {
		lose(p, "[lost: process table full]");
		return false;
	}
	if (!process->wanted) {
		count_add(COUNT_SAMPLES_FILTERED, 1);
		p->totals.filtered++;
		return false;
	}
	uint32_t n = frames_of(p, process, r, frames);
	if (p->unwind && r->need && !process->in_exec)
		unwind_need(p->unwind, process, r);
	uint32_t stack = profile_add_stack(p->current, frames, n);
	int64_t values[PROFILE_VALUES_MAX] = {1, (int64_t)r->value};
	if (profile_add(p->current, stack, subject_of(p, process, r), values) < 0)
		p->totals.lost++;
	else
		p->totals.delivered++;
	return true;
}

// A record of another kind: false where it makes no sense.
static bool learn_record(struct path *p, const struct record *r)
{
	const struct record_mmap *m = (const struct record_mmap *)r;
	switch (r->kind) {
	case RECORD_EXEC:
		if (r->size < sizeof(struct record_task))
			return false;
		process_execed(p->processes, (const struct record_task *)r);
		learn_unwind(p, r);
		return true;
	case RECORD_EXIT:
		if (r->size < sizeof(struct record_task))
			return false;
		learn_unwind(p, r);
		process_exited(p->processes, (const struct record_task *)r);
		return true;
	case RECORD_MMAP:
		if (r->size < sizeof(*m) || sizeof(*m) + m->path_len >= r->size ||
		    m->path[m->path_len] || m->build_id_len > BUILD_ID_MAX)
			return false;
		process_mapped(p->processes, m);
		learn_unwind(p, r);
		return true;
	default:
		return false;
	}
}

void path_record(void *arg, const struct record *r)
{
	struct path *p = arg;
	bool taped;
	count_add(COUNT_RECORDS, 1);
	p->drained_bytes += r->size;
	if (p->close_at && r->time_ns > p->close_at)
		ship_drained(p);
	if (r->kind == RECORD_SAMPLE) {
		taped = take_sample(p, (const struct record_sample *)r);
	} else {
		taped = learn_record(p, r);
		if (!taped)
			count_add(COUNT_RECORDS_BAD, 1);
	}
	if (taped)
		tape_put_record(p, r);
}
