// SPDX-License-Identifier: Apache-2.0
// What is known of a whole profile before its first body: which of its items are written alike
// (they may differ by what only its owner knows: a dictionary holds nothing twice), and the samples
// by the resource that they are of.
#include "otlp.h"

#include <errno.h>
#include <string.h>

uint32_t otlp_look_frames(struct otlp_job *j)
{
	if (j->next++ == profile_frame_count(j->r.p))
		return 0;
	j->error = pprof_count_frame(&j->base, j->next);
	return 1;
}

static bool same_function(const struct otlp_job *j, uint32_t a, uint32_t b)
{
	const struct function *f = &j->base.function[a - 1], *g = &j->base.function[b - 1];
	return f->name == g->name && f->system_name == g->system_name;
}

uint32_t otlp_look_functions(struct otlp_job *j)
{
	if (j->next == j->base.function_count) {
		map_clear(&j->seen);
		return 0;
	}
	struct function *f = &j->base.function[j->next++];
	f->name = otlp_string(j, f->name);
	f->system_name = otlp_string(j, f->system_name);
	f->id = otlp_first_like(j, &j->seen,
	    hash_mix(((uint64_t)f->name << 32 | f->system_name) ^ j->seed), j->next, same_function);
	return 4;
}

static bool same_mapping(const struct otlp_job *j, uint32_t a, uint32_t b)
{
	const struct otlp_mapping *m = &j->mappings[a], *n = &j->mappings[b];
	return m->start == n->start && m->limit == n->limit && m->offset == n->offset &&
	       m->file == n->file && m->build_id == n->build_id;
}

uint32_t otlp_look_mappings(struct otlp_job *j)
{
	uint32_t id = ++j->next;
	if (id > j->base.jit_mapping) {
		map_clear(&j->seen);
		return 0;
	}
	struct profile_mapping m;
	if (!j->base.facts[id].any || !pprof_mapping(&j->base, id, &m))
		return 1;
	const struct mapping_facts *facts =
	    &j->base.facts[id]; // of made ones too: what is read may lie anywhere
	if (facts->min < m.start)
		m.start = facts->min;
	if (facts->max >= m.limit)
		m.limit = facts->max == UINT64_MAX ? UINT64_MAX : facts->max + 1;
	struct otlp_mapping *to = &j->mappings[id];
	*to = (struct otlp_mapping){.start = m.start,
	    .limit = m.limit,
	    .offset = m.offset,
	    .file = m.file < j->names ? otlp_string(j, m.file)
				      : otlp_text(j, pprof_extra[m.file - j->names]),
	    .build_id = otlp_build_id(j, m.build_id)};
	if (to->start >= to->limit) // its only code is at the last address there is
		to->start = to->limit - 1;
	uint64_t what[] = {
	    to->start, to->limit, to->offset, (uint64_t)to->file << 32 | to->build_id};
	to->first =
	    otlp_first_like(j, &j->seen, hash_bytes(what, sizeof(what), j->seed), id, same_mapping);
	return 6;
}

struct otlp_location otlp_location(const struct otlp_job *j, uint32_t frame)
{
	const struct profile_frame *f = profile_frame(j->r.p, frame);
	uint32_t function = j->base.function_of[frame];
	return (struct otlp_location){f->address, j->mappings[pprof_mapping_of(&j->base, f)].first,
	    function ? j->base.function[function - 1].id : 0, j->frame_types[f->kind], 0};
}

static bool same_location(const struct otlp_job *j, uint32_t a, uint32_t b)
{
	struct otlp_location l = otlp_location(j, a), m = otlp_location(j, b);
	return !memcmp(&l, &m, sizeof(l));
}

// A location that says nothing at all is the empty one.
uint32_t otlp_look_locations(struct otlp_job *j)
{
	if (j->next++ == profile_frame_count(j->r.p)) {
		map_clear(&j->seen);
		return 0;
	}
	struct otlp_location l = otlp_location(j, j->next);
	static const struct otlp_location nothing;
	if (memcmp(&l, &nothing, sizeof(l)))
		j->location_of[j->next] = otlp_first_like(
		    j, &j->seen, hash_bytes(&l, sizeof(l), j->seed), j->next, same_location);
	return 2;
}

static bool same_stack(const struct otlp_job *j, uint32_t a, uint32_t b)
{
	uint32_t n, m;
	const uint32_t *f = profile_stack(j->r.p, a, &n), *g = profile_stack(j->r.p, b, &m);
	for (uint32_t i = 0; n == m && i < n; i++)
		if (j->location_of[f[i]] != j->location_of[g[i]])
			return false;
	return n == m;
}

uint32_t otlp_look_stacks(struct otlp_job *j)
{
	if (j->next++ == profile_stack_count(j->r.p)) {
		map_clear(&j->seen);
		return 0;
	}
	uint32_t count;
	const uint32_t *frames = profile_stack(j->r.p, j->next, &count);
	uint64_t hash = j->seed;
	for (uint32_t i = 0; i < count; i++)
		hash = hash_mix(hash ^ j->location_of[frames[i]]);
	if (!count) // as the empty one
		return 1;
	uint32_t first = otlp_first_like(j, &j->seen, hash, j->next, same_stack);
	j->stack_of[j->next] = first;
	if (!j->error && first != j->next && map_put(&j->shared, first, 1) < 0)
		j->error = -ENOMEM;
	return 2 + count / 16;
}

static bool same_group(const struct otlp_job *j, uint32_t a, uint32_t b)
{
	const struct profile_subject *s = profile_subject(j->r.p, a),
				     *t = profile_subject(j->r.p, b);
	return s->pid == t->pid && s->resource == t->resource && s->container == t->container &&
	       otlp_process_name(s) == otlp_process_name(t);
}

uint32_t otlp_look_subjects(struct otlp_job *j)
{
	if (j->next++ == profile_subject_count(j->r.p)) {
		map_clear(&j->seen);
		return 0;
	}
	const struct profile_subject *s = profile_subject(j->r.p, j->next);
	uint32_t what[] = {s->pid, s->resource, s->container, otlp_process_name(s)};
	uint32_t first = otlp_first_like(
	    j, &j->seen, hash_bytes(what, sizeof(what), j->seed), j->next, same_group);
	if (j->error)
		return 0;
	if (first != j->next) {
		j->group_of[j->next] = j->group_of[first];
	} else if (otlp_grow(j, &j->groups, &j->group_cap, j->group_count, sizeof(*j->groups))) {
		j->group_of[j->next] = j->group_count;
		j->groups[j->group_count++] = (struct otlp_group){.subject = j->next};
	}
	return 2;
}

static struct otlp_twin *twin_of(const struct otlp_job *j, const struct profile_sample *s)
{
	uint32_t stack = j->stack_of[s->stack];
	uint64_t have;
	if (!map_get(&j->shared, stack, &have) ||
	    !map_get(&j->twin_ids, (uint64_t)stack << 32 | s->subject, &have))
		return NULL;
	return &j->twins[have - 1];
}

const int64_t *otlp_sample_values(
    const struct otlp_job *j, const struct profile_sample *s, uint64_t *weight)
{
	const struct otlp_twin *t = twin_of(j, s);
	*weight = t ? t->weight : (uint64_t)request_weight(&j->r, s);
	return t ? t->values : s->values;
}

// Counts S, sample I, as what others may be one with.
static void join_twins(struct otlp_job *j, const struct profile_sample *s, uint32_t i)
{
	struct otlp_twin *t = twin_of(j, s);
	uint32_t stack = j->stack_of[s->stack];
	uint64_t have;
	if (!t) {
		if (!map_get(&j->shared, stack, &have) ||
		    !otlp_grow(j, &j->twins, &j->twin_cap, j->twin_count, sizeof(*t)))
			return;
		if (map_put(&j->twin_ids, (uint64_t)stack << 32 | s->subject, j->twin_count + 1) <
		    0) {
			j->error = -ENOMEM;
			return;
		}
		t = &j->twins[j->twin_count++];
		*t = (struct otlp_twin){.sample = i};
	}
	for (uint32_t v = 0; v < profile_header_of(j->r.p)->value_count; v++)
		if (__builtin_add_overflow(t->values[v], s->values[v], &t->values[v]))
			t->values[v] = s->values[v] < 0 ? INT64_MIN : INT64_MAX;
	t->weight += (uint64_t)request_weight(&j->r, s);
}

// The first of those that are one stands for them all.
uint32_t otlp_join_samples(struct otlp_job *j)
{
	uint32_t i = j->next++;
	if (!j->shared.count || i == profile_sample_count(j->r.p))
		return 0;
	join_twins(j, profile_sample(j->r.p, i), i);
	return 1;
}

static bool has_place(const struct otlp_job *j, uint32_t i)
{
	const struct profile_sample *s = profile_sample(j->r.p, i);
	const struct otlp_twin *t = twin_of(j, s);
	return !t || t->sample == i;
}

static bool is_sent(const struct otlp_job *j, const int64_t *values)
{
	for (uint32_t v = 0; v < profile_header_of(j->r.p)->value_count; v++)
		if (j->values[v].sent && values[v])
			return true;
	return false;
}

uint32_t otlp_count_samples(struct otlp_job *j)
{
	uint32_t i = j->next++;
	if (i == profile_sample_count(j->r.p)) {
		for (uint32_t g = 0; g < j->group_count; g++) {
			j->groups[g].at = j->order_count;
			j->order_count += j->groups[g].count;
			j->groups[g].count = 0;
		}
		return 0;
	}
	const struct profile_sample *s = profile_sample(j->r.p, i);
	uint64_t weight;
	const int64_t *values = otlp_sample_values(j, s, &weight);
	if (!has_place(j, i))
		return 1;
	if (is_sent(j, values)) {
		j->groups[j->group_of[s->subject]].count++;
		return 1;
	}
	j->r.left_out += weight; // of something, but of nothing that is told
	j->r.untold += weight;
	return 1;
}

uint32_t otlp_order_samples(struct otlp_job *j)
{
	uint32_t i = j->next++;
	if (i == profile_sample_count(j->r.p))
		return 0;
	const struct profile_sample *s = profile_sample(j->r.p, i);
	uint64_t weight;
	struct otlp_group *g = &j->groups[j->group_of[s->subject]];
	if (has_place(j, i) && is_sent(j, otlp_sample_values(j, s, &weight)))
		j->order[g->at + g->count++] = i;
	return 1;
}
