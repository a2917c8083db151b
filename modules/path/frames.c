// SPDX-License-Identifier: Apache-2.0
// Frames: the addresses of a sample become places, and the places frames of a profile.
#include "private.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static uint32_t mapping_of_kernel(struct filling *f)
{
	if (!f->kernel_mapping) {
		struct profile_mapping m = {
		    .key = UINT64_MAX, .file = profile_add_name(f->profile, "[kernel.kallsyms]")};
		f->kernel_mapping = profile_add_mapping(f->profile, &m);
	}
	return f->kernel_mapping;
}

static uint32_t mapping_of_binary(struct path *p, struct filling *f, uint32_t id)
{
	uint64_t have;
	if (map_get(&f->mappings, id, &have))
		return (uint32_t)have;
	struct binary *b = binary_by_id(p->processes, id);
	if (!b)
		return 0;
	struct profile_mapping m = {.key = id, .file = profile_add_name(f->profile, b->path)};
	char hex[2 * ELF_BUILD_ID_MAX + 1] = "";
	for (uint8_t i = 0; i < b->facts.build_id_len; i++)
		snprintf(hex + 2 * i, 3, "%02x", b->facts.build_id[i]);
	m.build_id = profile_add_name(f->profile, hex);
	for (uint8_t i = 0; i < b->facts.exec_count; i++) {
		const struct elf_exec *x = &b->facts.exec[i];
		if (!i || x->vaddr < m.start) {
			m.start = x->vaddr;
			m.offset = x->offset;
		}
		if (x->vaddr + x->size > m.limit)
			m.limit = x->vaddr + x->size;
	}
	uint32_t mapping = profile_add_mapping(f->profile, &m);
	if (mapping && m.file)
		map_put(
		    &f->mappings, id, mapping); // only a shortcut: interned again where it fails
	return mapping;
}

static uint32_t frame_of_place(
    struct path *p, struct filling *f, const struct process *process, const struct place *place)
{
	struct profile_frame frame = {
	    .address = place->address, .owner = place->owner, .place = place->kind};
	if (place->kind == PLACE_TOO_MANY)
		return profile_add_mark(f->profile, "[unmapped: too many mappings]");
	if (place->kind == PLACE_KERNEL) {
		frame.kind = FRAME_KERNEL;
		frame.mapping = mapping_of_kernel(f);
	} else if (place->kind == PLACE_FILE || place->kind == PLACE_OFFSET) {
		frame.mapping = mapping_of_binary(p, f, place->owner);
	} else if (place->kind == PLACE_ANON) {
		frame.kind = FRAME_JIT;
		frame.mapping =
		    process ? mapping_of_binary(p, f, process_binary_at(process, place->address))
			    : 0;
	}
	return profile_add_frame(f->profile, &frame);
}

// Why a stack ends early beyond what the walker knows.
enum end {
	END_NONE,
	END_KERNEL_CUT,
	END_EXECVE,
	END_READING,
	END_UNKNOWN,
	END_UNTOLD,
	END_NOT_CODE,
	END_WALK // + enum walk_end: what the walker said
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

// The mark MARK_AT the end of a part of S: OWN, or what the walker said.
static void put_end(struct blocked_stack *s, int part, enum end own, uint32_t walk_end)
{
	if (own)
		count_add(ends[own].count, 1);
	else if (walk_end > WALK_END_COMPLETE)
		own = END_WALK + walk_end;
	s->marks[part] = (uint8_t)own;
	s->mark_at[part] = (uint16_t)s->count;
}

// The user part of the stack, and at its root end a mark where the walk did not get there.
static void user_places(
    struct path *p, struct process *process, const struct record_sample *r, struct blocked_stack *s)
{
	uint32_t leaf = PLACE_NONE;
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
			s->places[s->count++] = place;
			if (i > 0)
				return;
			continue;
		}
		if (!process->in_exec || place.kind != PLACE_UNMAPPED)
			s->places[s->count++] = place;
		if (process->in_exec) { // what its callers were went with the old stack
			end = END_EXECVE;
			break;
		}
	}
	put_end(s, 1, end, r->walk_end);
}

int stack_open(struct path *p)
{
	uint32_t room = p->options.wakers ? WOKEN_MAX : STACK_MAX;
	if (p->stack_room == room)
		return 0;
	void *stack = mem_alloc(ACCOUNT_PATH, sizeof(*p->stack) + room * sizeof(struct place));
	if (!stack)
		return -ENOMEM;
	mem_free(p->stack);
	p->stack = stack;
	p->stack_room = room;
	return 0;
}

// Leaf first: the kernel part, then the user part.
void frames_of(struct path *p, struct process *process, const struct record_sample *r)
{
	struct blocked_stack *s = p->stack;
	*s = (struct blocked_stack){.count = 0};
	for (uint32_t i = 0; i < r->kernel_frames; i++) {
		// A return address lies behind its call; the instruction before it is the call.
		s->places[s->count++] =
		    (struct place){.kind = PLACE_KERNEL, .address = r->frames[i] - (i > 0)};
	}
	if (r->kernel_cut && r->kernel_frames)
		put_end(s, 0, END_KERNEL_CUT, WALK_END_NONE);
	user_places(p, process, r, s);
}

static uint32_t add_end(struct filling *f, uint8_t end)
{
	char text[64];
	snprintf(text, sizeof(text), "[truncated: %s]",
	    end < END_WALK ? ends[end].label : kernel_counter_label(KERNEL_WALK(end - END_WALK)));
	return profile_add_mark(f->profile, text);
}

static uint32_t add_waker(struct filling *f, const struct blocked_stack *s, const char *done)
{
	char text[64], comm[COMM_LEN + 1] = "";
	memcpy(comm, s->waker_comm, COMM_LEN);
	snprintf(text, sizeof(text), "[%s by %s]", done, comm);
	return profile_add_mark(
	    f->profile, s->waker_kind == WAKER_THREAD ? text : "[woken by an interrupt]");
}

// JIT code where the waker of S stands is of its own process.
static const struct process *waker_process(struct path *p, const struct blocked_stack *s)
{
	for (uint32_t i = 0; i < s->waker_count; i++)
		if (s->places[i].kind == PLACE_ANON)
			return process_by_id(p->processes, s->places[i].owner);
	return NULL;
}

struct frames {
	uint32_t ids[WOKEN_MAX + BLOCKED_MARKS + 2], count;
};

// The places of S in [FROM, TO), with its marks MARK and MARK + 1.
static void add_part(struct path *p, struct filling *f, const struct process *process,
    const struct blocked_stack *s, int mark, uint32_t from, uint32_t to, struct frames *frames)
{
	for (uint32_t i = from; i <= to; i++) {
		for (int part = mark; part < mark + 2; part++)
			if (s->marks[part] && s->mark_at[part] == i)
				frames->ids[frames->count++] = add_end(f, s->marks[part]);
		if (i < to)
			frames->ids[frames->count++] = frame_of_place(p, f, process, &s->places[i]);
	}
}

// Of all that makes a stack of a profile: a place is one frame there, whoever's it is.
static uint64_t stack_key(
    const struct path *p, const struct blocked_stack *s, const char *leaf, const char *done)
{
	uint64_t key = filling_hash(leaf, p->seed);
	key = hash_bytes(s->marks, sizeof(s->marks), key);
	key = hash_bytes(s->mark_at, sizeof(s->mark_at), key);
	if (s->waker_kind) {
		key = hash_bytes(s->waker_comm, COMM_LEN, key + s->waker_kind);
		key = filling_hash(done, key + ((uint64_t)s->waker_count << 32));
	}
	return s->count ? hash_bytes(s->places, s->count * sizeof(*s->places), key) : key;
}

static uint32_t stack_add(struct path *p, struct filling *f, const struct process *process,
    const struct blocked_stack *s, const char *leaf, const char *done)
{
	struct frames frames;
	frames.count = 0;
	if (leaf)
		frames.ids[frames.count++] = profile_add_mark(f->profile, leaf);
	if (s->waker_kind && done) {
		add_part(p, f, waker_process(p, s), s, 0, 0, s->waker_count, &frames);
		frames.ids[frames.count++] = add_waker(f, s, done);
	}
	add_part(p, f, process, s, s->waker_kind ? 2 : 0, s->waker_count, s->count, &frames);
	if (!frames.count)
		frames.ids[frames.count++] = profile_add_mark(f->profile, "[no stack]");
	return profile_add_stack(f->profile, frames.ids, frames.count);
}

uint32_t frames_add(struct path *p, struct filling *f, const struct process *process,
    const struct blocked_stack *s, const char *leaf, const char *done)
{
	uint64_t key = stack_key(p, s, leaf, done), have;
	if (map_get(&f->stacks, key, &have))
		return (uint32_t)have;
	uint32_t id = stack_add(p, f, process, s, leaf, done);
	filling_note(&f->stacks, key, id);
	return id;
}
