// SPDX-License-Identifier: Apache-2.0
// PushRequest and WriteRawRequest differ in field numbers, in the labels (series_labels.c) and in
// what a receiver refuses (series_part.c).
//
//   Pyroscope  PushRequest {1 series {1 labels {1 name, 2 value}.., 2 samples {1 raw_profile, 2
//   ID}}..} Parca      WriteRawRequest {2 series {1 {1 labels {1 name, 2 value}..}, 2 samples {1
//   raw_profile}}..,
//              3 normalized}
#include "series.h"

#include <errno.h>
#include <string.h>

enum { PUSH_SERIES = 1, WRITE_SERIES = 2, WRITE_NORMALIZED = 3 };
enum { SERIES_LABELS = 1, SERIES_SAMPLES = 2 };
enum { LABEL_SET_LABELS = 1 };
enum { PAIR_NAME = 1, PAIR_VALUE };
enum { RAW_PROFILE = 1, RAW_ID };

static struct series_job *job_of(struct requests *r)
{
	return (struct series_job *)r;
}

static uint64_t left_of(const struct slice *slice)
{
	uint64_t gone = clock_now() - slice->start;
	return gone < slice->budget ? slice->budget - gone : 0;
}

static void fill_label(struct wire_out *o, const void *arg)
{
	const char *const *pair = arg;
	wire_bytes(o, PAIR_NAME, pair[0], strlen(pair[0]));
	wire_bytes(o, PAIR_VALUE, pair[1], strlen(pair[1]));
}

static void fill_labels(struct wire_out *o, const void *arg)
{
	const struct series_labels *l = arg;
	_Static_assert((int)LABEL_SET_LABELS == (int)SERIES_LABELS, "the same in both");
	for (uint32_t i = 0; i < l->count; i++)
		wire_message(o, SERIES_LABELS, fill_label,
		    (const char *[]){l->text.at + l->at[i].name, l->text.at + l->at[i].value});
}

static void fill_sample(struct wire_out *o, const void *arg)
{
	const struct series_job *j = arg;
	wire_bytes(o, RAW_PROFILE, j->pprof.at, j->pprof.len);
	if (!series_is_parca(j))
		wire_bytes(o, RAW_ID, j->id, strlen(j->id));
}

static void fill_series(struct wire_out *o, const void *arg)
{
	const struct series_job *j = arg;
	if (series_is_parca(j))
		wire_message(o, SERIES_LABELS, fill_labels, &j->labels);
	else
		fill_labels(o, &j->labels);
	wire_message(o, SERIES_SAMPLES, fill_sample, j);
}

// At most so many bytes of a body does the part take.
static uint64_t size_of(const struct series_job *j)
{
	enum { PER_LABEL = 16, PER_SERIES = 128 };
	return j->labels.text.len + j->labels.count * PER_LABEL + j->pprof.len + PER_SERIES;
}

static uint64_t weight_of(const struct series_job *j, uint32_t first, uint32_t count)
{
	uint64_t weight = 0;
	for (uint32_t i = 0; i < count; i++) {
		const struct profile_sample *s = profile_sample(j->r.p, j->order[first + i]);
		weight += (uint64_t)request_weight(&j->r, s);
	}
	return weight;
}

static int start(struct requests *r)
{
	struct series_job *j = job_of(r);
	uint32_t samples = profile_sample_count(r->p), subjects = profile_subject_count(r->p);
	j->phase = SERIES_SUBJECTS;
	j->next = j->group_count = j->group = 0;
	j->count = j->part = 0;
	j->seed = hash_mix(clock_wall() ^ clock_now() ^ (uintptr_t)j);
	j->whose = j->labelled = MAP(ACCOUNT_EXPORT);
	j->labels.text = j->others.text = j->pprof = TEXT(ACCOUNT_EXPORT);
	j->group_of = mem_alloc(ACCOUNT_EXPORT, (subjects + 1ull) * sizeof(*j->group_of));
	j->order = mem_alloc(ACCOUNT_EXPORT, (samples + 1ull) * sizeof(*j->order));
	return j->group_of && j->order ? 0 : -ENOMEM;
}

static void stop(struct requests *r)
{
	struct series_job *j = job_of(r);
	series_part_free(j);
	map_clear(&j->whose);
	map_clear(&j->labelled);
	text_free(&j->labels.text);
	text_free(&j->others.text);
	text_free(&j->pprof);
	mem_free(j->group_of);
	mem_free(j->order);
	mem_free(j->groups);
	j->group_of = j->order = NULL;
	j->groups = NULL;
	j->group_cap = 0;
}

static uint32_t group_of(const struct series_job *j, const struct profile_sample *s)
{
	return export_is_zero(j->r.p, s) ? 0 : j->group_of[s->subject];
}

// Counts sample I for its group, or leaves it out.
static void count_sample(struct series_job *j, uint32_t i)
{
	const struct profile_sample *s = profile_sample(j->r.p, i);
	uint32_t group = group_of(j, s);
	if (group)
		j->groups[group - 1].count++;
	else if (!export_is_zero(j->r.p, s))
		j->r.left_out += (uint64_t)request_weight(&j->r, s);
}

// Counting sort: each group's samples come to stand where those before it end.
static void begin_order(struct series_job *j)
{
	uint32_t at = 0;
	for (uint32_t i = 0; i < j->group_count; i++) {
		j->groups[i].first = at;
		at += j->groups[i].count;
		j->groups[i].count = 0;
	}
}

static void order_sample(struct series_job *j, uint32_t i)
{
	uint32_t group = group_of(j, profile_sample(j->r.p, i));
	if (group) {
		struct series_group *g = &j->groups[group - 1];
		j->order[g->first + g->count++] = i;
	}
}

// One item of the phases that look at the whole profile; false: there was none left, the next phase
// begins.
static bool look_at(struct series_job *j)
{
	uint32_t i = j->next++;
	if (j->phase == SERIES_SUBJECTS && i < profile_subject_count(j->r.p)) {
		series_group_of(j, i + 1);
		return true;
	}
	if (j->phase != SERIES_SUBJECTS && i < profile_sample_count(j->r.p)) {
		if (j->phase == SERIES_COUNT)
			count_sample(j, i);
		else
			order_sample(j, i);
		return true;
	}
	if (j->phase == SERIES_COUNT)
		begin_order(j);
	j->phase++;
	j->next = 0;
	j->from = 0;
	j->most = SERIES_SAMPLES_MAX;
	return false;
}

// As many of the group's next samples as should stay under the limit: a location's id is three
// bytes at most, and the rest of a sample about 64.
static uint32_t part_size(const struct series_job *j, uint32_t left)
{
	uint32_t count = 0, depth;
	for (uint64_t bytes = 0; count < left && count < j->most; count++) {
		const struct profile_sample *s = profile_sample(j->r.p, j->order[j->from + count]);
		profile_stack(j->r.p, s->stack, &depth);
		bytes += 64 + 3ull * depth;
		if (count && bytes > SERIES_PPROF_MAX / 4 * 3)
			break;
	}
	return count;
}

static void leave_out(struct series_job *j)
{
	j->r.left_out += weight_of(j, j->from, j->count);
	j->from += j->count;
	j->phase = SERIES_PART;
}

static void close_before(struct series_job *j, enum series_phase after)
{
	j->phase = SERIES_CLOSE;
	j->after = after;
}

// The part at work does not fit: fewer samples, or none.
static void make_smaller(struct series_job *j)
{
	if (j->count == 1)
		leave_out(j);
	else
		j->most = (j->count + 1) / 2;
	j->phase = SERIES_PART;
}

static int next_part(struct series_job *j)
{
	while (j->group < j->group_count) {
		const struct series_group *g = &j->groups[j->group];
		uint32_t left = g->first + g->count - j->from;
		if (left) {
			j->count = part_size(j, left);
			j->phase = SERIES_PPROF;
			if (!series_labels_of(j, g->subject, &j->labels) && !series_part_new(j))
				return 1;
			series_part_free(j);
			leave_out(j);
			continue;
		}
		j->group++;
		j->part = 0;
		j->most = SERIES_SAMPLES_MAX;
	}
	j->phase = SERIES_END;
	if (j->r.open)
		close_before(j, SERIES_END);
	return 1;
}

static int step_pprof(struct series_job *j, struct slice *slice)
{
	int more = series_part_step(j, left_of(slice));
	if (more == 1)
		return 1;
	series_part_free(j);
	if (more == -EFBIG)
		make_smaller(j);
	else if (more == -ENOMEM)
		leave_out(j);
	else
		j->phase = SERIES_WRITE;
	return more == -EFBIG || more == -ENOMEM ? 1 : more < 0 ? more : 1;
}

static int write_part(struct series_job *j)
{
	struct requests *r = &j->r;
	uint64_t size = size_of(j);
	if (size > r->options.bytes_max) {
		make_smaller(j);
		return 1;
	}
	if (r->open && r->bytes + size > r->options.bytes_max) {
		close_before(j, SERIES_WRITE);
		return 1;
	}
	if (!r->open) {
		int error = request_open(r);
		if (error)
			return error;
		// Addresses are those of the files, not of where they were loaded.
		if (series_is_parca(j))
			wire_varint(r->out, WRITE_NORMALIZED, true);
	}
	wire_message(r->out, series_is_parca(j) ? WRITE_SERIES : PUSH_SERIES, fill_series, j);
	r->facts.samples += weight_of(j, j->from, j->count);
	j->from += j->count;
	j->part++;
	j->phase = SERIES_PART;
	int error = wire_out_error(r->out);
	return error ? error : 1;
}

static int close_body(struct series_job *j)
{
	int more = request_close(&j->r);
	if (more)
		return more;
	j->phase = j->after;
	return 0;
}

static int step(struct requests *r, struct slice *slice)
{
	enum { WORK = 64 };
	struct series_job *j = job_of(r);
	for (int more = 1; j->phase != SERIES_END;) {
		switch (j->phase) {
		case SERIES_SUBJECTS:
		case SERIES_COUNT:
		case SERIES_ORDER:
			look_at(j);
			if (slice_over(slice, 4))
				return 1;
			continue;
		case SERIES_PART:
			more = next_part(j);
			break;
		case SERIES_PPROF:
			more = step_pprof(j, slice);
			break;
		case SERIES_WRITE:
			more = write_part(j);
			break;
		case SERIES_CLOSE:
			more = close_body(j);
			if (more)
				return more;
			break;
		case SERIES_END:
			break;
		}
		if (more < 0)
			return more;
		if (slice_over(slice, WORK) || !left_of(slice))
			return 1;
	}
	return 0;
}

const struct request_encoder pyroscope_requests = {
    .size = sizeof(struct series_job),
    .content_type = "application/proto",
    .start = start,
    .step = step,
    .stop = stop,
};
// Its receiver speaks gRPC alone.
const struct request_encoder parca_requests = {
    .size = sizeof(struct series_job),
    .content_type = "application/grpc",
    .start = start,
    .step = step,
    .stop = stop,
};
