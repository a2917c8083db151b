// SPDX-License-Identifier: Apache-2.0
// Recording: what the path meets goes onto the tape.
#include "private.h"
#include "recording.h"

#include <string.h>

#define NAME_MAX_BYTES 4096 // more than the resolver gives

static void put(
    struct path *p, uint16_t kind, const void *a, size_t a_size, const void *b, size_t b_size)
{
	if (p->tape && tape_write(p->tape, kind, a, a_size, b, b_size))
		p->tape = NULL; // its owner's flush or close tells why
}

void tape_put_meta(struct path *p)
{
	struct tape_meta m = {.version = TAPE_VERSION,
	    .types = p->options.types,
	    .period_ns = p->options.period_ns,
	    .memory_period = p->options.memory_period,
	    .alloc_period = p->options.alloc_period,
	    .leak_age_ns = p->options.leak_age_ns,
	    .alloc_live = p->options.alloc_live,
	    .wakers = p->options.wakers,
	    .wall_ns = clock_wall(),
	    .clock_ns = clock_now()};
	put(p, TAPE_META, &m, sizeof(m), NULL, 0);
}

void tape_put_record(struct path *p, const struct record *r)
{
	put(p, TAPE_RECORD, r, r->size, NULL, 0);
}

void tape_put_process(struct path *p, const struct process *s)
{
	struct tape_process m = {.id = s->id,
	    .pid = s->pid,
	    .ppid = s->ppid,
	    .mnt_ns = s->mnt_ns,
	    .start_ticks = s->start_ticks,
	    .cgroup = s->cgroup,
	    .wanted = s->wanted,
	    .kernel_thread = s->kernel_thread};
	memcpy(m.comm, s->comm, sizeof(m.comm));
	memcpy(m.container, s->container, sizeof(s->container));
	put(p, TAPE_PROCESS, &m, sizeof(m), NULL, 0);
}

void tape_put_mapping(struct path *p, const struct process *s, const struct process_mapping *map)
{
	const struct binary *b = map->binary ? binary_by_id(p->processes, map->binary) : NULL;
	if (!p->tape || (map->kind == PLACE_FILE && !b))
		return;
	struct tape_mapping m = {.pid = s->pid,
	    .kind = map->kind,
	    .start_ticks = s->start_ticks,
	    .start = map->start,
	    .end = map->end,
	    .offset = map->offset};
	if (b) {
		m.binary = b->id;
		m.size = b->size;
		m.facts = b->facts;
	}
	const char *path = b ? b->path : "";
	put(p, TAPE_MAPPING, &m, sizeof(m), path, strlen(path) + 1);
}

void tape_put_name(struct path *p, const struct profile_frame *f, const struct symbol_answer *a)
{
	struct tape_name m = {.address = f->address,
	    .owner = f->owner,
	    .kind = f->place,
	    .start = a->start,
	    .end = a->end};
	char names[2 * NAME_MAX_BYTES];
	if (!p->tape)
		return;
	m.name_len = (uint32_t)text_copy(names, NAME_MAX_BYTES, a->name);
	size_t n = m.name_len + 1;
	n += text_copy(names + n, NAME_MAX_BYTES, a->system_name ? a->system_name : "") + 1;
	put(p, TAPE_NAME, &m, sizeof(m), names, n);
}

void tape_put_lost(
    struct path *p, enum path_type type, const char *mark, uint64_t count, uint64_t value)
{
	struct tape_lost m = {.type = type, .count = count, .value = value};
	put(p, TAPE_LOST, &m, sizeof(m), mark, strlen(mark) + 1);
}

void tape_put_window(struct path *p, uint64_t wall_ns, uint64_t duration_ns)
{
	struct tape_window m = {wall_ns, duration_ns};
	put(p, TAPE_WINDOW, &m, sizeof(m), NULL, 0);
}

void tape_put_named(struct path *p)
{
	put(p, TAPE_NAMED, NULL, 0, NULL, 0);
}

void tape_put_bucket(struct path *p, const struct tape_bucket *b, const struct place *places)
{
	put(p, TAPE_BUCKET, b, sizeof(*b), places, b->count * sizeof(*places));
}
