// SPDX-License-Identifier: Apache-2.0
// Adding one profile to another. Ids of FROM are translated when first met and remembered:
//
//   mappings[] frames[] stacks[] subjects[]   id in FROM -> id in INTO, 0: not met yet (or no
//   memory)
#include "store.h"

#include <errno.h>
#include <string.h>

#define UNWANTED UINT32_MAX // in subjects[]

struct profile_merge {
	struct profile *into;
	const struct profile *from;
	int scale;
	bool (*wanted)(void *arg, const struct profile *from, const struct profile_subject *s);
	void *arg;
	const char *without; // label that is left out; NULL: none is
	bool no_resources;
	const char *label; // NULL: none is added
	const char *(*value)(void *arg, const struct profile *from, uint32_t stack);
	void *value_arg;
	uint32_t *mappings, *frames, *stacks, *subjects;
	const uint32_t *samples; // NULL: all
	uint32_t count, next;	 // samples
	uint32_t depth;		 // of stacks, 0: any
	uint32_t work;		 // frames and samples looked at since the clock was
};

static bool measures_the_same(const struct profile *a, const struct profile *b)
{
	if (a->header.value_count != b->header.value_count)
		return false;
	for (uint32_t v = 0; v < a->header.value_count; v++)
		if (strcmp(profile_name(a, a->header.value_types[v]),
			profile_name(b, b->header.value_types[v])) ||
		    strcmp(profile_name(a, a->header.value_units[v]),
			profile_name(b, b->header.value_units[v])))
			return false;
	return true;
}

static void merge_headers(struct profile_header *into, const struct profile_header *from)
{
	if (!into->time_ns || (from->time_ns && from->time_ns < into->time_ns))
		into->time_ns = from->time_ns;
	if (__builtin_add_overflow(into->duration_ns, from->duration_ns, &into->duration_ns))
		into->duration_ns = UINT64_MAX;
	if (!into->period)
		into->period = from->period;
}

struct profile_merge *profile_merge_new(struct profile *into, const struct profile *from, int scale,
    bool (*wanted)(void *arg, const struct profile *from, const struct profile_subject *s),
    void *arg)
{
	if (into->sealed || !measures_the_same(into, from))
		return errno = EINVAL, NULL;
	uint32_t mappings = profile_mapping_count(from) + 1, frames = profile_frame_count(from) + 1,
		 stacks = profile_stack_count(from) + 1, subjects = profile_subject_count(from) + 1;
	size_t ids = (size_t)mappings + frames + stacks + subjects;
	struct profile_merge *m = mem_alloc(into->account, sizeof(*m) + ids * sizeof(uint32_t));
	if (!m)
		return NULL;
	*m = (struct profile_merge){.into = into,
	    .from = from,
	    .scale = scale,
	    .wanted = wanted,
	    .arg = arg,
	    .count = profile_sample_count(from),
	    .mappings = (uint32_t *)(m + 1)};
	m->frames = m->mappings + mappings;
	m->stacks = m->frames + frames;
	m->subjects = m->stacks + stacks;
	if (scale > 0)
		merge_headers(&into->header, &from->header);
	return m;
}

void profile_merge_label(struct profile_merge *m, const char *key,
    const char *(*value)(void *arg, const struct profile *from, uint32_t stack), void *arg)
{
	m->label = key;
	m->value = value;
	m->value_arg = arg;
}

void profile_merge_without(struct profile_merge *m, const char *key)
{
	m->without = key;
}

void profile_merge_without_resources(struct profile_merge *m)
{
	m->no_resources = true;
}

void profile_merge_only(
    struct profile_merge *m, const uint32_t *samples, uint32_t count, uint32_t depth)
{
	m->samples = samples;
	m->count = count;
	m->depth = depth;
}

void profile_merge_free(struct profile_merge *m)
{
	mem_free(m);
}

// NAME of FROM in INTO: false where there was no memory for it.
static bool name_over(struct profile_merge *m, uint32_t name, uint32_t *id)
{
	*id = name ? profile_add_name(m->into, profile_name(m->from, name)) : 0;
	return *id || !name;
}

static uint32_t mapping_over(struct profile_merge *m, uint32_t id)
{
	const struct profile_mapping *old = profile_mapping(m->from, id);
	if (m->mappings[id])
		return m->mappings[id];
	struct profile_mapping new = *old;
	new.key = 0;
	if (!name_over(m, old->file, &new.file) || !name_over(m, old->build_id, &new.build_id))
		return 0;
	return m->mappings[id] = profile_add_mapping(m->into, &new);
}

static uint32_t frame_over(struct profile_merge *m, uint32_t id)
{
	const struct profile_frame *old = profile_frame(m->from, id);
	if (m->frames[id])
		return m->frames[id];
	struct profile_frame new = {.address = old->address, .kind = old->kind};
	if (!name_over(m, old->name, &new.name) ||
	    !name_over(m, old->system_name, &new.system_name) ||
	    (old->mapping && !(new.mapping = mapping_over(m, old->mapping))))
		return 0;
	return m->frames[id] = profile_add_frame(m->into, &new);
}

static uint32_t stack_over(struct profile_merge *m, uint32_t id)
{
	uint32_t count, n = 0, over[PROFILE_STACK_MAX];
	if (m->stacks[id])
		return m->stacks[id];
	const uint32_t *frames = profile_stack(m->from, id, &count);
	m->work += count;
	// What is left of a stack that is too deep: where it came from, and where it was.
	uint32_t cut = m->depth && count > m->depth ? count - m->depth + 1 : 0,
		 at = cut ? (count - cut) / 2 : count;
	for (uint32_t i = 0; i < count; i++, n++) {
		over[n] = i == at ? profile_add_mark(m->into, "[truncated: too deep]")
				  : frame_over(m, frames[i]);
		if (!over[n])
			return 0;
		if (i == at)
			i += cut - 1;
	}
	return m->stacks[id] = profile_add_stack(m->into, over, n);
}

// WITHOUT: the label of a sample that is not wanted, or NULL.
static bool labels_over(struct profile_merge *m, uint32_t id, const char *without, uint32_t *set)
{
	uint32_t count, n = 0;
	struct profile_label over[PROFILE_LABELS_MAX];
	const struct profile_label *labels = profile_labels(m->from, id, &count);
	for (uint32_t i = 0; i < count; i++) {
		if (without && !strcmp(profile_name(m->from, labels[i].key), without))
			continue;
		over[n] = (struct profile_label){.num = labels[i].num};
		if (!name_over(m, labels[i].key, &over[n].key) ||
		    !name_over(m, labels[i].str, &over[n].str) ||
		    !name_over(m, labels[i].num_unit, &over[n].num_unit))
			return false;
		n++;
	}
	*set = n ? profile_add_labels(m->into, over, n) : 0; // 0: it has none
	return *set || !n;
}

static uint32_t subject_over(struct profile_merge *m, uint32_t id)
{
	if (m->subjects[id])
		return m->subjects[id];
	const struct profile_subject *old = profile_subject(m->from, id);
	if (m->wanted && !m->wanted(m->arg, m->from, old))
		return m->subjects[id] = UNWANTED;
	struct profile_subject new = {.pid = old->pid, .tid = old->tid};
	if (!name_over(m, old->comm, &new.comm) || !name_over(m, old->process, &new.process) ||
	    !name_over(m, old->container, &new.container) ||
	    (old->labels && !labels_over(m, old->labels, m->without, &new.labels)) ||
	    (old->resource && !m->no_resources &&
		!labels_over(m, old->resource, NULL, &new.resource)))
		return 0;
	return m->subjects[id] = profile_add_subject(m->into, &new);
}

// SUBJECT of INTO with the label VALUE: a subject of INTO, 0 without memory.
static uint32_t labelled(struct profile_merge *m, uint32_t subject, const char *value)
{
	uint32_t count;
	struct profile_label with[PROFILE_LABELS_MAX];
	struct profile_subject s = *profile_subject(m->into, subject);
	const struct profile_label *labels = profile_labels(m->into, s.labels, &count);
	if (count == PROFILE_LABELS_MAX) // as many as there can be: it stays without
		return subject;
	if (count)
		memcpy(with, labels, count * sizeof(*with));
	with[count] = (struct profile_label){
	    .key = profile_add_name(m->into, m->label), .str = profile_add_name(m->into, value)};
	if (!with[count].key || !with[count].str ||
	    !(s.labels = profile_add_labels(m->into, with, count + 1)))
		return 0;
	return profile_add_subject(m->into, &s);
}

static bool has_label(const struct profile *p, uint32_t subject, const char *key)
{
	uint32_t count;
	const struct profile_label *l =
	    profile_labels(p, profile_subject(p, subject)->labels, &count);
	for (uint32_t i = 0; i < count; i++)
		if (!strcmp(profile_name(p, l[i].key), key))
			return true;
	return false;
}

static void sample_over(struct profile_merge *m, const struct profile_sample *s)
{
	int64_t values[PROFILE_VALUES_MAX], any = 0;
	for (uint32_t v = 0; v < m->from->header.value_count; v++) {
		if (__builtin_mul_overflow(s->values[v], m->scale, &values[v]))
			values[v] = INT64_MAX;
		any |= values[v];
	}
	if (!any)
		return;
	uint32_t subject = subject_over(m, s->subject);
	bool asks = m->label && !has_label(m->from, s->subject, m->label);
	const char *value = subject && subject != UNWANTED && asks
				? m->value(m->value_arg, m->from, s->stack)
				: NULL;
	if (asks && subject && !value)
		return;
	if (value)
		subject = labelled(m, subject, value);
	if (subject != UNWANTED)
		store_add(m->into, subject ? stack_over(m, s->stack) : 0, subject, values);
}

int profile_merge_step(struct profile_merge *m, uint64_t budget_ns)
{
	uint64_t start = clock_now();
	while (m->next < m->count) {
		uint32_t i = m->next++;
		sample_over(m, profile_sample(m->from, m->samples ? m->samples[i] : i));
		if (++m->work < 256)
			continue;
		m->work = 0;
		if (clock_now() - start >= budget_ns)
			return 1;
	}
	return 0;
}
