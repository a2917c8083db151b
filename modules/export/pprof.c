// SPDX-License-Identifier: Apache-2.0
// pprof out: perftools.profiles (google/pprof's profile.proto), gzip. Fields of the top level are
// independent of each other, so the tables are streamed one message at a time:
//
//   sample types | strings | mappings | functions | locations | samples | time, duration, period
//
// Ids are the profile's own, which already run from 1: location = frame, string = name; strings of
// the format itself follow the names. Only functions are made here, of the pairs (name, system
// name) of all frames.
#include "pprof.h"

#include <errno.h>
#include <string.h>

static void fill_value_type(struct wire_out *o, const void *arg)
{
	const uint32_t *pair = arg;
	wire_varint(o, VALUE_TYPE_TYPE, pair[0]);
	wire_varint(o, VALUE_TYPE_UNIT, pair[1]);
}

static void put_value_types(struct pprof_job *j)
{
	const struct profile_header *h = profile_header_of(j->job.p);
	for (uint32_t v = 0; v < h->value_count; v++) {
		uint32_t pair[] = {h->value_types[v], h->value_units[v]};
		wire_message(j->out, PROFILE_SAMPLE_TYPE, fill_value_type, pair);
	}
}

static void put_string(struct pprof_job *j, uint32_t i)
{
	const char *s = i < j->names ? profile_name(j->job.p, i) : pprof_extra[i - j->names];
	size_t n;
	s = export_valid(&j->job.out, s, &n);
	if (j->job.out.error)
		j->error = j->job.out.error;
	else
		wire_bytes(j->out, PROFILE_STRING_TABLE, s, n);
}

static void fill_mapping(struct wire_out *o, const void *arg)
{
	const struct profile_mapping *m = arg; // `key` holds {id, all named}
	wire_varint(o, MAPPING_ID, m->key >> 1);
	wire_varint(o, MAPPING_MEMORY_START, m->start);
	wire_varint(o, MAPPING_MEMORY_LIMIT, m->limit);
	wire_varint(o, MAPPING_FILE_OFFSET, m->offset);
	wire_varint(o, MAPPING_FILENAME, m->file);
	wire_varint(o, MAPPING_BUILD_ID, m->build_id);
	wire_varint(o, MAPPING_HAS_FUNCTIONS, m->key & 1);
}

static void put_mapping(struct pprof_job *j, uint32_t id)
{
	struct mapping_facts *facts = &j->facts[id];
	struct profile_mapping m;
	if (!pprof_mapping(j, id, &m))
		return;
	m.key = (uint64_t)facts->id << 1 | (facts->any && !facts->unnamed);
	wire_message(j->out, PROFILE_MAPPING, fill_mapping, &m);
}

static void fill_function(struct wire_out *o, const void *arg)
{
	const struct function *f = arg;
	wire_varint(o, FUNCTION_ID, f->id);
	wire_varint(o, FUNCTION_NAME, f->name);
	wire_varint(o, FUNCTION_SYSTEM_NAME, f->system_name);
}

// What the fill functions of two levels need to know.
struct location {
	const struct pprof_job *j;
	uint32_t id;
};

static void fill_line(struct wire_out *o, const void *arg)
{
	wire_varint(o, LINE_FUNCTION_ID, *(const uint32_t *)arg);
}

static void fill_location(struct wire_out *o, const void *arg)
{
	const struct location *l = arg;
	const struct profile_frame *f = profile_frame(l->j->job.p, l->id);
	wire_varint(o, LOCATION_ID, l->id);
	wire_varint(o, LOCATION_MAPPING_ID, l->j->facts[pprof_mapping_of(l->j, f)].id);
	wire_varint(o, LOCATION_ADDRESS, f->address);
	if (l->j->function_of[l->id])
		wire_message(o, LOCATION_LINE, fill_line, &l->j->function_of[l->id]);
}

static void fill_label(struct wire_out *o, const void *arg)
{
	const struct profile_label *l = arg;
	wire_varint(o, LABEL_KEY, l->key);
	wire_varint(o, LABEL_STR, l->str);
	wire_varint(o, LABEL_NUM, (uint64_t)l->num);
	wire_varint(o, LABEL_NUM_UNIT, l->num_unit);
}

static void put_text_label(
    const struct pprof_job *j, struct wire_out *o, enum pprof_extra_string key, uint32_t str)
{
	if (str)
		wire_message(o, SAMPLE_LABEL, fill_label,
		    &(struct profile_label){.key = j->names + key, .str = str});
}

static void put_number_label(
    const struct pprof_job *j, struct wire_out *o, enum pprof_extra_string key, uint32_t num)
{
	if (num)
		wire_message(o, SAMPLE_LABEL, fill_label,
		    &(struct profile_label){.key = j->names + key, .num = num});
}

static uint64_t nth_frame(const void *arg, uint32_t i)
{
	return ((const uint32_t *)arg)[i];
}

static uint64_t nth_value(const void *arg, uint32_t i)
{
	return (uint64_t)((const int64_t *)arg)[i];
}

// What a resource says of service and pod; labels of samples are written as they came.
static void put_whose(
    const struct pprof_job *j, struct wire_out *o, const struct profile_subject *s)
{
	uint32_t names[WHOSE_COUNT];
	if (!whose_of(j->job.p, &j->whose, s, false, names))
		return;
	for (uint32_t i = 0; i < WHOSE_COUNT; i++)
		put_text_label(j, o, EXTRA_WHOSE + i, names[i]);
}

struct sample {
	const struct pprof_job *j;
	const struct profile_sample *s;
};

static void fill_sample(struct wire_out *o, const void *arg)
{
	const struct pprof_job *j = ((const struct sample *)arg)->j;
	const struct profile_sample *s = ((const struct sample *)arg)->s;
	const struct profile *p = j->job.p;
	uint32_t count;
	const uint32_t *frames = profile_stack(p, s->stack, &count);
	wire_packed(o, SAMPLE_LOCATION_ID, count, nth_frame, frames);
	wire_packed(o, SAMPLE_VALUE, profile_header_of(p)->value_count, nth_value, s->values);
	const struct profile_subject *subject = profile_subject(p, s->subject);
	put_number_label(j, o, EXTRA_PID, subject->pid);
	put_number_label(j, o, EXTRA_TID, subject->tid);
	put_text_label(j, o, EXTRA_COMM, subject->comm);
	put_text_label(j, o, EXTRA_CONTAINER, subject->container);
	if (subject->process != subject->comm)
		put_text_label(j, o, EXTRA_PROCESS, subject->process);
	put_whose(j, o, subject);
	const struct profile_label *labels = profile_labels(p, subject->labels, &count);
	for (uint32_t i = 0; i < count; i++)
		wire_message(o, SAMPLE_LABEL, fill_label, &labels[i]);
}

static uint32_t put_sample(struct pprof_job *j, uint32_t i)
{
	struct sample sample = {j, profile_sample(j->job.p, i)};
	uint32_t depth;
	if (export_is_zero(j->job.p, sample.s))
		return 1;
	wire_message(j->out, PROFILE_SAMPLE, fill_sample, &sample);
	profile_stack(j->job.p, sample.s->stack, &depth);
	return depth + 8;
}

static uint64_t comment_of(const void *arg, uint32_t i)
{
	(void)i;
	return *(const uint32_t *)arg;
}

static void put_header(struct pprof_job *j)
{
	const struct profile_header *h = profile_header_of(j->job.p);
	wire_varint(j->out, PROFILE_TIME_NANOS, h->time_ns);
	wire_varint(j->out, PROFILE_DURATION_NANOS, h->duration_ns);
	if (h->period_type) {
		uint32_t pair[] = {h->period_type, h->period_unit};
		wire_message(j->out, PROFILE_PERIOD_TYPE, fill_value_type, pair);
	}
	wire_varint(j->out, PROFILE_PERIOD, (uint64_t)h->period);
	if (h->comments)
		wire_packed(j->out, PROFILE_COMMENT, 1, comment_of, &h->comments);
	if (h->default_value < h->value_count)
		wire_varint(j->out, PROFILE_DEFAULT_SAMPLE_TYPE, h->value_types[h->default_value]);
}

static int error_of(const struct pprof_job *j)
{
	return j->error ? j->error : wire_out_error(j->out);
}

// Writes item NEXT of the phase (the first phase only looks) and says what work it was; 0: there
// was none left.
static uint32_t put_next(struct pprof_job *j)
{
	const struct profile *p = j->job.p;
	uint32_t i = j->next++, id = i + 1;
	switch (j->phase) {
	case PPROF_TABLES:
		if (id > profile_frame_count(p)) {
			pprof_number_mappings(j);
			return 0;
		}
		j->error = pprof_count_frame(j, id);
		return 1;
	case PPROF_STRINGS:
		if (i == j->names + EXTRA_COUNT)
			return 0;
		put_string(j, i);
		return 2;
	case PPROF_MAPPINGS:
		if (id > j->jit_mapping)
			return 0;
		put_mapping(j, id);
		return 4;
	case PPROF_FUNCTIONS:
		if (i == j->function_count)
			return 0;
		wire_message(j->out, PROFILE_FUNCTION, fill_function, &j->function[i]);
		return 3;
	case PPROF_LOCATIONS:
		if (id > profile_frame_count(p))
			return 0;
		wire_message(j->out, PROFILE_LOCATION, fill_location, &(struct location){j, id});
		return 5;
	case PPROF_SAMPLES:
		return i == profile_sample_count(p) ? 0 : put_sample(j, i);
	case PPROF_END:
		break;
	}
	return 0;
}

static int step(struct export_job *job, struct slice *slice)
{
	struct pprof_job *j = (struct pprof_job *)job;
	int error;
	for (; j->phase < PPROF_END; j->phase++, j->next = 0)
		for (uint32_t work; (work = put_next(j));) {
			if ((error = error_of(j)))
				return error;
			if (slice_over(slice, work))
				return 1;
		}
	put_header(j);
	error = error_of(j);
	return error ? error : wire_gzip_finish(j->gzip);
}

static int start(struct export_job *job)
{
	struct pprof_job *j = (struct pprof_job *)job;
	int error = pprof_tables_new(j);
	if (error)
		return error;
	j->gzip = wire_gzip_new(&job->sink);
	if (!j->gzip)
		return -errno;
	struct wire_sink sink = wire_gzip_sink(j->gzip);
	j->out = wire_out_new(&sink);
	if (!j->out)
		return -errno;
	put_value_types(j);
	return error_of(j);
}

static void stop(struct export_job *job)
{
	struct pprof_job *j = (struct pprof_job *)job;
	wire_out_free(j->out);
	wire_gzip_free(j->gzip);
	pprof_tables_free(j);
}

const struct encoder pprof_encoder = {sizeof(struct pprof_job), start, step, stop};
