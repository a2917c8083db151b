// SPDX-License-Identifier: Apache-2.0
// Replay: a tape goes through the same path as the kernel's records do, its facts in place of /proc
// and the files. The tape may be anybody's: what makes no sense ends it like a cut; what finds no
// memory is passed over, as it is when the path meets it live.
#include "private.h"
#include "recording.h"

#include <errno.h>
#include <string.h>

#define LOST_MAX (1ull << 50) // in one fact

static int get_meta(struct path *p, const struct tape_meta *m)
{
	if (m->version != TAPE_VERSION)
		return -EPROTONOSUPPORT;
	bool ticks = m->types & (1u << PATH_CPU | 1u << PATH_WALL);
	if ((ticks && !m->period_ns) || m->period_ns > NS_PER_S || p->began || !m->types ||
	    m->types >= 1u << PATH_TYPE_COUNT || m->memory_period > LOST_MAX ||
	    m->alloc_period > LOST_MAX || m->alloc_live > LIVE_MAX ||
	    m->wakers >= 1u << PATH_TYPE_COUNT)
		return -EBADMSG;
	p->began = true;
	p->options.types = m->types;
	p->options.period_ns = m->period_ns;
	p->options.memory_period = m->memory_period;
	p->options.alloc_period = m->alloc_period;
	p->options.alloc_live = m->alloc_live;
	p->options.leak_age_ns = m->leak_age_ns;
	p->options.wakers = m->wakers;
	p->tape_wall = m->wall_ns;
	p->tape_offset = m->wall_ns - m->clock_ns;
	take_window_free(p);
	return stack_open(p) < 0 || off_open(p) < 0 || alloc_open(p) < 0 ||
		       take_window_new(p, clock_now()) < 0
		   ? -ENOMEM
		   : 0;
}

static int get_record(struct path *p, const void *at, size_t size)
{
	// The longest that the kernel sends fits.
	union {
		struct record head;
		uint8_t bytes[16 << 10];
	} record;
	const struct record *r = &record.head;
	if (size > sizeof(record))
		return -EBADMSG;
	memcpy(&record, at, size);
	if (r->size != size)
		return -EBADMSG;
	if (!p->tape_first_ns)
		p->tape_first_ns = r->time_ns;
	if (r->time_ns > p->tape_last_ns)
		p->tape_last_ns = r->time_ns;
	p->tape_at = p->tape_last_ns + p->tape_offset;
	const struct record_sample *s = (const struct record_sample *)r;
	if (r->kind == RECORD_SAMPLE && r->size >= sizeof(*s) && s->source == SOURCE_CPU)
		p->totals.taken += take_ticks(p, s);
	path_record(p, r);
	return 0;
}

static int get_process(struct path *p, const struct tape_process *m)
{
	struct process s = {.id = m->id,
	    .pid = m->pid,
	    .ppid = m->ppid,
	    .mnt_ns = m->mnt_ns,
	    .start_ticks = m->start_ticks,
	    .cgroup = m->cgroup,
	    .wanted = m->wanted != 0,
	    .kernel_thread = m->kernel_thread != 0};
	text_copy(s.comm, sizeof(s.comm), m->comm);
	text_copy(s.container, sizeof(s.container), m->container);
	return process_teach(p->processes, &s);
}

static int get_mapping(struct path *p, const struct tape_mapping *m, const char *path)
{
	struct process_mapping map = {
	    .start = m->start, .end = m->end, .offset = m->offset, .kind = m->kind};
	uint8_t is_64;
	memcpy(&is_64, &m->facts.is_64, 1); // any byte, while a bool is 0 or 1
	if (is_64 > 1)
		return -EBADMSG;
	struct binary b = {
	    .id = m->binary, .fd = -1, .path = path, .size = m->size, .facts = m->facts};
	return process_teach_mapping(p->processes, m->pid, m->start_ticks, &map, &b);
}

static int get_name(struct path *p, const struct tape_name *m, const char *names, size_t size)
{
	struct place place = {.address = m->address, .owner = m->owner, .kind = m->kind};
	if (m->name_len + 1ull >= size || names[m->name_len] || !*names)
		return -EBADMSG;
	if (m->address < m->start || m->address >= m->end || m->kind == PLACE_NONE ||
	    m->kind > PLACE_UNMAPPED)
		return -EBADMSG;
	const char *system_name = names + m->name_len + 1;
	// Stand-ins are names here: what it was called then it is called now.
	struct symbol_answer a = {.start = m->start,
	    .end = m->end,
	    .name = names,
	    .system_name = *system_name ? system_name : NULL,
	    .named = true};
	return symbol_teach(p->symbol, &place, &a);
}

static int get_lost(struct path *p, const struct tape_lost *m, const char *mark)
{
	if (m->count > LOST_MAX || m->value > LOST_MAX || m->type >= PATH_TYPE_COUNT ||
	    *mark != '[')
		return -EBADMSG;
	take_lost(p, m->type, mark, m->count, m->value);
	p->totals.taken += m->type == PATH_CPU ? m->count : 0;
	return 0;
}

static int get_window(struct path *p, const struct tape_window *m)
{
	if (p->sealed) // its names have not passed
		return -EBADMSG;
	p->names_wait = true;
	ship_seal(p, m->wall_ns, m->duration_ns);
	p->names_wait = p->sealed; // without memory for a new window this one goes on
	p->tape_wall = p->tape_at = m->wall_ns + m->duration_ns;
	if (p->tape_last_ns)
		processes_sweep(p->processes, p->tape_last_ns);
	p->tape_first_ns = p->tape_last_ns = 0;
	return 0;
}

static int get_bucket(struct path *p, const struct tape_bucket *b, const void *at, size_t size)
{
	struct place places[GOPROF_DEPTH_MAX];
	if (b->count > GOPROF_DEPTH_MAX || size != b->count * sizeof(*places))
		return -EBADMSG;
	bool own =
	    b->type < PATH_TYPE_COUNT && 1u << b->type & (PATH_TOLD_TYPES | 1u << PATH_MUTEX);
	for (int v = 0; v < 2; v++)
		own = own && b->values[v] >= 0 && (uint64_t)b->values[v] <= LOST_MAX;
	memcpy(places, at, size);
	for (uint32_t i = 0; i < b->count; i++)
		own = own && (places[i].kind == PLACE_FILE || places[i].kind == PLACE_NONE);
	if (!own)
		return -EBADMSG;
	round_taped(p, b, places);
	return 0;
}

// One frame of the tape. Its payload lies anywhere in memory; the fixed part is copied to where it
// may be read.
static int get(struct path *p, uint16_t kind, const uint8_t *at, size_t size)
{
	union {
		struct tape_meta meta;
		struct record record;
		struct tape_process process;
		struct tape_mapping mapping;
		struct tape_name name;
		struct tape_lost lost;
		struct tape_window window;
		struct tape_bucket bucket;
	} fact;
	static const size_t fixed[] = {
	    [TAPE_META] = sizeof(struct tape_meta),
	    [TAPE_RECORD] = sizeof(struct record),
	    [TAPE_PROCESS] = sizeof(struct tape_process),
	    [TAPE_MAPPING] = sizeof(struct tape_mapping),
	    [TAPE_NAME] = sizeof(struct tape_name),
	    [TAPE_LOST] = sizeof(struct tape_lost),
	    [TAPE_WINDOW] = sizeof(struct tape_window),
	    [TAPE_NAMED] = 0,
	    [TAPE_BUCKET] = sizeof(struct tape_bucket),
	};
	if (kind < TAPE_META || kind > TAPE_BUCKET || size < fixed[kind] ||
	    (kind != TAPE_META && !p->began))
		return -EBADMSG;
	const char *tail = (const char *)at + fixed[kind];
	size_t tail_size = size - fixed[kind];
	bool text = kind == TAPE_MAPPING || kind == TAPE_NAME || kind == TAPE_LOST;
	if (text && (!tail_size || tail[tail_size - 1]))
		return -EBADMSG;
	memcpy(&fact, at, fixed[kind]);
	switch (kind) {
	case TAPE_META:
		return get_meta(p, &fact.meta);
	case TAPE_RECORD:
		return get_record(p, at, size);
	case TAPE_PROCESS:
		return get_process(p, &fact.process);
	case TAPE_MAPPING:
		return get_mapping(p, &fact.mapping, tail);
	case TAPE_NAME:
		return get_name(p, &fact.name, tail, tail_size);
	case TAPE_LOST:
		return get_lost(p, &fact.lost, tail);
	case TAPE_WINDOW:
		return get_window(p, &fact.window);
	case TAPE_BUCKET:
		return get_bucket(p, &fact.bucket, tail, tail_size);
	default:
		ship_named(p);
		return 0;
	}
}

// 1 more, 0 at the end, -errno.
static int read_one(struct path *p)
{
	uint16_t kind;
	const uint8_t *payload;
	size_t size;
	int got = tape_read(p->reader, &kind, &payload, &size);
	if (got <= 0)
		return got;
	int error = get(p, kind, payload, size);
	if (error == -EBADMSG || error == -EPROTONOSUPPORT || (error && kind == TAPE_META))
		return error;
	if (error == -EINVAL) // what no recording says
		return -EBADMSG;
	if (error)
		log_seldom(LOG_LEVEL_WARN, "recording: %s: something of it is not known by name",
		    strerror(-error));
	return 1;
}

static int replay_step(void *arg, uint64_t budget_ns)
{
	struct path *p = arg;
	uint64_t end = clock_now() + budget_ns;
	do {
		// The window before must be shipped before the next one closes.
		if (p->sealed && !p->names_wait)
			return 1;
		p->replay_result = read_one(p);
		if (p->replay_result <= 0)
			return 0;
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
	path_finish(p, replay_over, p);
}

uint64_t path_replayed_to(const struct path *p)
{
	return p->tape_at;
}

int path_replay(
    struct path *p, struct tape_reader *tape, void (*done)(void *arg, int result), void *arg)
{
	p->reader = tape;
	p->replayed = done;
	p->replayed_arg = arg;
	p->scanned = true;
	p->replay_slice = loop_slice(p->options.loop, replay_step, replay_done, p);
	return p->replay_slice ? 0 : -ENOMEM;
}
