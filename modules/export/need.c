// SPDX-License-Identifier: Apache-2.0
// How much memory a pprof file takes to be read and written, counted while its bytes go by.
//
// What is there once for each item is counted. What the profile holds once however often it comes
// (stacks, label sets, the nodes of a call tree) is estimated by distinct sampling (P. Gibbons,
// VLDB 2001): of the hashes those are kept whose last `level` bits are 0, and a bit more is asked
// for where they become too many; what is kept stands for 2^level times as much.
#include "pprof.h"
#include "import.h"
#include "tree.h"

#include <errno.h>
#include <string.h>

#define KEPT_MAX 4096	       // hashes: an error of about 2 %
#define MESSAGE_MAX (1u << 20) // one longer is not looked into: the need is not known

struct distinct {
	struct map weights; // by hash
	uint32_t level;
};

struct export_need_job {
	uint64_t bytes_max, unpacked;
	int error;
	bool unknown; // a message is too long
	bool begun;
	struct wire_gunzip *gunzip;
	struct text rest; // bytes of a message that is not whole yet
	uint64_t strings, string_bytes, mappings, functions, locations, lines, samples, values;
	uint64_t frames, deepest; // locations in all samples, in one of them
	struct distinct stacks, labels, nodes;
	uint64_t stack[PROFILE_STACK_MAX];
};

// ---- Counting

static int distinct_add(struct distinct *d, uint64_t hash, uint64_t weight)
{
	struct map_slot slot;
	uint64_t known;
	hash &= INT64_MAX; // never MAP_NONE
	if (hash & ((1ull << d->level) - 1) || map_get(&d->weights, hash, &known))
		return 0;
	if (map_put(&d->weights, hash, weight) < 0)
		return -ENOMEM;
	while (d->weights.count > KEPT_MAX && d->level < 60) {
		d->level++;
		for (uint32_t i = 0; map_next(&d->weights, &i, &slot);)
			if (slot.key & ((1ull << d->level) - 1)) {
				map_remove(&d->weights, slot.key);
				i--;
			}
	}
	return 0;
}

static uint64_t distinct_count(const struct distinct *d)
{
	return (uint64_t)d->weights.count << d->level;
}

static uint64_t distinct_weight(const struct distinct *d)
{
	struct map_slot slot;
	uint64_t sum = 0;
	for (uint32_t i = 0; map_next(&d->weights, &i, &slot);)
		sum += slot.value;
	return sum << d->level;
}

// ---- Samples

struct met { // of one sample
	uint32_t depth, labels;
	uint64_t label_hash, text_hash; // of all labels, of those that are text
};

static void meet_location(struct export_need_job *j, struct met *m, uint64_t id)
{
	if (m->depth < PROFILE_STACK_MAX)
		j->stack[m->depth++] = id;
}

static void meet_label(struct met *m, struct wire_in in)
{
	struct wire_field f;
	uint64_t hash = hash_bytes(in.at, (size_t)(in.end - in.at), 1);
	m->labels++;
	m->label_hash = hash_mix(m->label_hash ^ hash);
	while (wire_next(&in, &f) == 1)
		if (f.number == LABEL_STR && f.type == 0 && f.value)
			m->text_hash = hash_mix(m->text_hash ^ hash);
}

// A tree has a node for each way from a process down to a frame. Processes are known by their
// labels of text (the process's name, the container), for the strings may come after the samples.
static int add_sample(struct export_need_job *j, const struct met *m)
{
	uint64_t stack = 2, node = m->text_hash;
	int error = distinct_add(&j->labels, m->label_hash, m->labels);
	if (!error)
		error = distinct_add(&j->nodes, hash_mix(node), 1);
	for (uint32_t i = m->depth; i > 0 && !error; i--) {
		stack = hash_mix(stack ^ hash_mix(j->stack[i - 1] + 1));
		error = distinct_add(&j->nodes, hash_mix(stack ^ node), 1);
	}
	j->frames += m->depth;
	j->deepest = m->depth > j->deepest ? m->depth : j->deepest;
	return error ? error : distinct_add(&j->stacks, stack, m->depth);
}

static int count_sample(struct export_need_job *j, struct wire_in in)
{
	struct met m = {0};
	struct wire_field f;
	uint64_t id;
	j->samples++;
	while (wire_next(&in, &f) == 1)
		if (f.number == SAMPLE_LOCATION_ID && f.type == 0)
			meet_location(j, &m, f.value);
		else if (f.number == SAMPLE_LOCATION_ID && f.type == 2)
			while (wire_next_varint(&f.bytes, &id) == 1)
				meet_location(j, &m, id);
		else if (f.number == SAMPLE_LABEL && f.type == 2)
			meet_label(&m, f.bytes);
	return add_sample(j, &m);
}

static int count_field(struct export_need_job *j, const struct wire_field *f)
{
	struct wire_field inner;
	struct wire_in in = f->bytes;
	switch (f->type == 2 ? f->number : 0) {
	case PROFILE_SAMPLE_TYPE:
		j->values++;
		return 0;
	case PROFILE_SAMPLE:
		return count_sample(j, in);
	case PROFILE_MAPPING:
		j->mappings++;
		return 0;
	case PROFILE_LOCATION:
		j->locations++;
		j->lines++;
		for (uint32_t lines = 0; wire_next(&in, &inner) == 1;)
			j->lines += inner.number == LOCATION_LINE && lines++;
		return 0;
	case PROFILE_FUNCTION:
		j->functions++;
		return 0;
	case PROFILE_STRING_TABLE:
		j->strings++;
		j->string_bytes += (uint64_t)(in.end - in.at) + 1;
		return 0;
	default:
		return 0;
	}
}

// ---- Bytes

// The fields that are whole are counted; what is left waits for more.
static int take(void *arg, const void *bytes, size_t n)
{
	struct export_need_job *j = arg;
	struct wire_field f;
	int error = 0;
	j->unpacked += n;
	if (j->unpacked > j->bytes_max)
		return -EFBIG;
	if (j->unknown)
		return 0;
	if ((error = text_add(&j->rest, bytes, n)))
		return error;
	const uint8_t *at = (const uint8_t *)j->rest.at;
	struct wire_in in = {at, at + j->rest.len};
	while (!error && wire_next(&in, &f) == 1) {
		error = count_field(j, &f);
		at = in.at;
	}
	size_t done = (size_t)(at - (const uint8_t *)j->rest.at);
	memmove(j->rest.at, at, j->rest.len - done);
	j->rest.len -= done;
	j->unknown = j->rest.len > MESSAGE_MAX;
	return error;
}

struct export_need_job *export_need_new(uint64_t bytes_max)
{
	struct export_need_job *j = mem_alloc(ACCOUNT_EXPORT, sizeof(*j));
	if (!j)
		return errno = ENOMEM, NULL;
	j->bytes_max = bytes_max;
	j->rest = TEXT(ACCOUNT_EXPORT);
	j->stacks.weights = j->labels.weights = j->nodes.weights = MAP(ACCOUNT_EXPORT);
	return j;
}

void export_need_free(struct export_need_job *j)
{
	if (!j)
		return;
	wire_gunzip_free(j->gunzip);
	text_free(&j->rest);
	map_clear(&j->stacks.weights);
	map_clear(&j->labels.weights);
	map_clear(&j->nodes.weights);
	mem_free(j);
}

int export_need_feed(struct export_need_job *j, const void *bytes, size_t n)
{
	const uint8_t *head = bytes;
	if (!j->error && !j->begun && n > 1 && head[0] == 0x1f && head[1] == 0x8b) { // RFC 1952
		j->gunzip = wire_gunzip_new(&(struct wire_sink){take, j}, j->bytes_max);
		j->error = j->gunzip ? 0 : -ENOMEM;
	}
	j->begun = true;
	if (!j->error)
		j->error = j->gunzip ? wire_gunzip_feed(j->gunzip, bytes, n) : take(j, bytes, n);
	return j->error;
}

// ---- What it comes to

// Arrays that are doubled may be half empty; a hash table has at most 8/3 slots for an item, and
// half as many again while it grows.
#define DOUBLED(size) (2ull * (size))
#define SLOTS(size) (4ull * (size))
#define INDEX_SLOT 8 // of a profile's tables
#define RUN 8

static uint64_t names_bytes_of(const struct export_need_job *j)
{
	return DOUBLED(j->string_bytes) + j->strings * (DOUBLED(4) + SLOTS(4));
}

// What LOCATIONS of stacks are in frames: one has a frame for each line.
static uint64_t with_lines(const struct export_need_job *j, uint64_t locations)
{
	return j->locations ? locations * j->lines / j->locations : locations;
}

static uint64_t held_bytes(const struct export_need_job *j)
{
	uint64_t in_stacks = with_lines(j, distinct_weight(&j->stacks));
	// Where the next stack does not fit into a chunk, the chunk's end stays empty.
	in_stacks += in_stacks * j->deepest / PROFILE_STACK_MAX;
	return names_bytes_of(j) + j->mappings * sizeof(struct profile_mapping) +
	       j->lines * sizeof(struct profile_frame) + in_stacks * sizeof(uint32_t) +
	       distinct_count(&j->stacks) * RUN +
	       distinct_count(&j->labels) * (sizeof(struct profile_subject) + RUN) +
	       distinct_weight(&j->labels) * sizeof(struct profile_label) +
	       j->samples * (sizeof(struct profile_sample) + j->values * sizeof(int64_t));
}

static uint64_t reading_bytes(const struct export_need_job *j)
{
	uint64_t raw = j->unpacked + j->unpacked / 4;
	uint64_t tables = j->strings * sizeof(struct import_string) +
			  j->mappings * sizeof(struct import_mapping) +
			  j->functions * sizeof(struct import_function) +
			  j->locations * sizeof(struct import_location) +
			  j->lines * DOUBLED(sizeof(uint32_t));
	uint64_t indexed = j->mappings + j->lines + distinct_count(&j->stacks) +
			   2 * distinct_count(&j->labels) + j->samples;
	uint64_t read = j->unpacked + tables + held_bytes(j) + indexed * SLOTS(INDEX_SLOT);
	return read > raw ? read : raw;
}

static uint64_t pprof_bytes(const struct export_need_job *j)
{
	return j->mappings * sizeof(struct mapping_facts) + j->lines * sizeof(uint32_t) +
	       j->lines * (DOUBLED(sizeof(struct function)) + SLOTS(sizeof(struct map_slot)));
}

// A flame page tells processes apart by pid, but has a bound.
static uint64_t nodes_of(const struct export_need_job *j, enum export_format format)
{
	bool page = format == EXPORT_HTML || format == EXPORT_FLAME;
	uint64_t ways = page ? j->frames + j->samples : distinct_count(&j->nodes);
	uint64_t nodes = with_lines(j, ways);
	return page && nodes > FLAME_NODES_MAX ? FLAME_NODES_MAX : nodes;
}

static uint64_t tree_bytes(const struct export_need_job *j, enum export_format format, bool based)
{
	uint64_t nodes = nodes_of(j, format);
	uint64_t values = j->values * (based ? 2 : 1) * sizeof(int64_t);
	return nodes * (DOUBLED(sizeof(struct tree_node) + values) + 6 * sizeof(uint32_t)) +
	       names_bytes_of(j) +
	       j->lines * (sizeof(uint32_t) + DOUBLED(sizeof(struct tree_frame)) +
			      SLOTS(sizeof(struct map_slot))) +
	       distinct_count(&j->labels) *
		   (sizeof(uint32_t) + DOUBLED(sizeof(struct tree_process)) +
		       SLOTS(2 * sizeof(struct map_slot)));
}

int export_need(const struct export_need_job *j, enum export_format format, bool based,
    struct export_need *need)
{
	*need = (struct export_need){.unpacked = j->unpacked};
	if (j->error || j->unknown)
		return j->error ? j->error : -E2BIG;
	need->reading = reading_bytes(j);
	need->held = held_bytes(j);
	need->writing = format == EXPORT_PPROF ? pprof_bytes(j) : tree_bytes(j, format, based);
	return 0;
}
