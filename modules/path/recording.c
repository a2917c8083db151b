// SPDX-License-Identifier: Apache-2.0
// Recording and replay: the kernel's records and the facts that /proc and the files gave, in the order in
// which the path met them. A fact always comes before the record that needs it; names come after the window
// that asks for them and before TAPE_NAMED. Numbers are little endian, as the machine writes them.
//
//   META, then per window: (PROCESS | MAPPING)* RECORD ... LOST* WINDOW NAME* NAMED
//
// Names of one window may lie among the records of the next: the sealed window waits for its NAMED.
#include "private.h"

#include <errno.h>
#include <string.h>

struct tape_meta {
	uint32_t version, pad;
	uint64_t period_ns;
};
struct tape_process {
	uint32_t id, pid, ppid, mnt_ns;
	uint64_t start_ticks, cgroup;
	uint8_t wanted, kernel_thread, pad[6];
	char comm[16], container[72];
};
struct tape_mapping {
	uint32_t pid, kind;
	uint64_t start_ticks, start, end, offset;
	uint32_t binary, path_len;
	uint64_t size;
	struct elf_facts facts;
};
struct tape_name {
	uint64_t address, start, end;
	uint32_t owner, kind, named, name_len;
};
struct tape_lost {
	uint64_t samples;
};
struct tape_window {
	uint64_t wall_ns, duration_ns;
};
#define TAPE_VERSION 1

static void put(struct path *p, uint16_t kind, const void *a, size_t a_size, const void *b, size_t b_size)
{
	int error = p->tape ? tape_write(p->tape, kind, a, a_size, b, b_size) : 0;
	if (error) {
		log_error("recording: %s: it ends here", strerror(-error));
		p->tape = NULL; // the owner's close tells the same error
	}
}

void tape_put_meta(struct path *p)
{
	struct tape_meta m = {.version = TAPE_VERSION, .period_ns = p->options.period_ns};
	put(p, TAPE_META, &m, sizeof(m), NULL, 0);
}

void tape_put_record(struct path *p, const struct record *r)
{
	if (p->tape)
		put(p, TAPE_RECORD, r, r->size, NULL, 0);
}

void tape_put_process(struct path *p, const struct process *s)
{
	struct tape_process m = {.id = s->id, .pid = s->pid, .ppid = s->ppid, .mnt_ns = s->mnt_ns,
	    .start_ticks = s->start_ticks, .cgroup = s->cgroup, .wanted = s->wanted,
	    .kernel_thread = s->kernel_thread};
	if (!p->tape)
		return;
	memcpy(m.comm, s->comm, sizeof(m.comm));
	memcpy(m.container, s->container, sizeof(s->container));
	put(p, TAPE_PROCESS, &m, sizeof(m), NULL, 0);
}

void tape_put_mapping(struct path *p, const struct process *s, const struct process_mapping *map)
{
	const struct binary *b = binary_by_id(p->processes, map->binary);
	if (!p->tape || !b)
		return;
	struct tape_mapping m = {.pid = s->pid, .kind = map->kind, .start_ticks = s->start_ticks,
	    .start = map->start, .end = map->end, .offset = map->offset, .binary = map->binary,
	    .path_len = (uint32_t)strlen(b->path), .size = b->size, .facts = b->facts};
	put(p, TAPE_MAPPING, &m, sizeof(m), b->path, m.path_len + 1);
}

void tape_put_name(struct path *p, const struct place *place, const struct symbol_answer *a)
{
	struct tape_name m = {.address = place->address, .owner = place->owner, .kind = place->kind,
	    .start = a->start, .end = a->end, .named = a->named, .name_len = (uint32_t)strlen(a->name)};
	char names[2 * 4096 + 2];
	if (!p->tape)
		return;
	size_t n = text_copy(names, 4097, a->name);
	m.name_len = (uint32_t)n;
	n += 1 + text_copy(names + n + 1, 4097, a->system_name ? a->system_name : "");
	put(p, TAPE_NAME, &m, sizeof(m), names, n + 1);
}

void tape_put_lost(struct path *p, const char *mark, uint64_t samples)
{
	struct tape_lost m = {samples};
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

static int get_process(struct path *p, const struct tape_process *m)
{
	struct process s = {.id = m->id, .pid = m->pid, .ppid = m->ppid, .mnt_ns = m->mnt_ns,
	    .start_ticks = m->start_ticks, .cgroup = m->cgroup, .wanted = m->wanted,
	    .kernel_thread = m->kernel_thread, .root_fd = -1};
	text_copy(s.comm, sizeof(s.comm), m->comm);
	s.comm[sizeof(s.comm) - 1] = 0;
	text_copy(s.container, sizeof(s.container), m->container);
	return process_teach(p->processes, &s);
}

static int get_mapping(struct path *p, const struct tape_mapping *m, const char *path)
{
	struct process_mapping map = {.start = m->start, .end = m->end, .offset = m->offset, .kind = m->kind};
	struct binary b = {.id = m->binary, .fd = -1, .path = path, .size = m->size, .facts = m->facts};
	if (m->end <= m->start || b.facts.exec_count > ELF_EXEC_MAX ||
	    b.facts.build_id_len > ELF_BUILD_ID_MAX)
		return -EBADMSG;
	return process_teach_mapping(p->processes, m->pid, m->start_ticks, &map, &b);
}

static int get_name(struct path *p, const struct tape_name *m, const char *names, size_t size)
{
	struct place place = {.address = m->address, .owner = m->owner, .kind = m->kind};
	if (m->name_len + 1ull >= size || names[m->name_len])
		return -EBADMSG;
	const char *system_name = names + m->name_len + 1;
	struct symbol_answer a = {.start = m->start, .end = m->end, .name = names, .named = m->named,
	    .system_name = *system_name ? system_name : NULL};
	return symbol_teach(p->symbol, &place, &a);
}

static int get_lost(struct path *p, const struct tape_lost *m, const char *mark)
{
	int64_t values[PROFILE_VALUES_MAX] = {(int64_t)m->samples, (int64_t)(m->samples * p->options.period_ns)};
	profile_add_lost(p->current, mark, values);
	p->totals.lost += m->samples;
	return 0;
}

static int get_meta(struct path *p, const struct tape_meta *m)
{
	if (m->version != TAPE_VERSION || !m->period_ns || m->period_ns > NS_PER_S)
		return -EBADMSG;
	p->options.period_ns = m->period_ns;
	profile_header(p->current)->period = (int64_t)m->period_ns;
	return 0;
}

static int get_record(struct path *p, const struct record *r, size_t size)
{
	if (size < sizeof(*r) || r->size > size)
		return -EBADMSG;
	p->totals.taken += r->kind == RECORD_SAMPLE;
	path_record(p, r);
	return 0;
}

static int get_window(struct path *p, const struct tape_window *m)
{
	p->names_wait = true;
	ship_seal(p, m->wall_ns, m->duration_ns);
	return 0;
}

// One frame of the tape. Its payload is aligned by the reader as malloc aligns.
static int get(struct path *p, uint16_t kind, const void *at, size_t size)
{
	static const size_t fixed[] = {
	    [TAPE_META] = sizeof(struct tape_meta),	  [TAPE_RECORD] = sizeof(struct record),
	    [TAPE_PROCESS] = sizeof(struct tape_process), [TAPE_MAPPING] = sizeof(struct tape_mapping),
	    [TAPE_NAME] = sizeof(struct tape_name),	  [TAPE_LOST] = sizeof(struct tape_lost),
	    [TAPE_WINDOW] = sizeof(struct tape_window),	  [TAPE_NAMED] = 0,
	};
	if (kind < TAPE_META || kind > TAPE_NAMED || size < fixed[kind])
		return -EBADMSG;
	const char *tail = (const char *)at + fixed[kind];
	size_t tail_size = size - fixed[kind];
	bool text = kind == TAPE_MAPPING || kind == TAPE_NAME || kind == TAPE_LOST;
	if (text && (!tail_size || tail[tail_size - 1]))
		return -EBADMSG;
	switch (kind) {
	case TAPE_META:
		return get_meta(p, at);
	case TAPE_RECORD:
		return get_record(p, at, size);
	case TAPE_PROCESS:
		return get_process(p, at);
	case TAPE_MAPPING:
		return get_mapping(p, at, tail);
	case TAPE_NAME:
		return get_name(p, at, tail, tail_size);
	case TAPE_LOST:
		return get_lost(p, at, tail);
	case TAPE_WINDOW:
		return get_window(p, at);
	default:
		ship_named(p);
		return 0;
	}
}

static int replay_step(void *arg, uint64_t budget_ns)
{
	struct path *p = arg;
	uint64_t end = clock_now() + budget_ns;
	do {
		uint16_t kind;
		const uint8_t *payload;
		size_t size;
		// The window before must be shipped before the next one closes.
		if (p->sealed && !p->names_wait)
			return 1;
		int got = tape_read(p->reader, &kind, &payload, &size);
		if (got > 0)
			got = get(p, kind, payload, size) < 0 ? -EBADMSG : 1;
		if (got <= 0) {
			p->replay_result = got;
			return 0;
		}
	} while (clock_now() < end);
	return 1;
}

static void replay_over(void *arg)
{
	struct path *p = arg;
	if (p->replayed)
		p->replayed(p->replayed_arg, p->replay_result);
}

static void replay_done(void *arg, int result)
{
	struct path *p = arg;
	(void)result;
	p->replay_slice = NULL;
	ship_named(p); // a cut tape: the last window is named with what was taught
	path_finish(p, replay_over, p);
}

int path_replay(struct path *p, struct tape_reader *tape, void (*done)(void *arg, int result), void *arg)
{
	p->reader = tape;
	p->replayed = done;
	p->replayed_arg = arg;
	p->scanned = true;
	p->replay_slice = loop_slice(p->options.loop, replay_step, replay_done, p);
	return p->replay_slice ? 0 : -ENOMEM;
}
