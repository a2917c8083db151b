// SPDX-License-Identifier: Apache-2.0
// Metrics out: ExportMetricsServiceRequest (opentelemetry.proto.collector.metrics.v1), cumulative.
//
//   ADD    each sample to its series                                          once for a profile
//   PLAN   plan[]: as many points as a body holds, and how long they are      for each body
//   WRITE  ResourceMetrics { resource, ScopeMetrics { scope, metrics } } for each run of one owner,
//          Metric { name, sum or histogram { points } } for each run of one metric in it
//
// All series of the profile's type are sent, also those with nothing new: that is what cumulative
// means.
#include "metrics.h"

#include <errno.h>
#include <string.h>

enum { REQUEST_RESOURCE_METRICS = 1 };
enum { RESOURCE_METRICS_RESOURCE = 1, RESOURCE_METRICS_SCOPE_METRICS = 2 };
enum { SCOPE_METRICS_SCOPE = 1, SCOPE_METRICS_METRICS = 2 };
enum {
	METRIC_NAME = 1,
	METRIC_DESCRIPTION = 2,
	METRIC_UNIT = 3,
	METRIC_SUM = 7,
	METRIC_HISTOGRAM = 9
};
enum { DATA_POINTS = 1, DATA_TEMPORALITY = 2, DATA_MONOTONIC = 3 }; // of a Sum, of a Histogram
enum { CUMULATIVE = 2 };
enum {
	SETS_MAX = 9,	       // more than there are types with metrics
	CONTAINER_DIGITS = 12, // that the Go agent writes
	RUN_HEADS = 64,	       // at most: tags and lengths around a resource and around a metric
	POINT_HEAD = 6,
	SAMPLE_WORK = 100, // in units of slice_over
	POINT_WORK = 30,
};

static const double usual_seconds[] = {
    0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60};
static const double usual_bytes[] = {
    64, 256, 1024, 4096, 16384, 65536, 262144, 1048576, 4194304, 16777216, 67108864};
#define COUNT_OF(array) (sizeof(array) / sizeof(*(array)))

enum metrics_state { ADD, PLAN, WRITE, CLOSE };
struct planned {
	uint32_t series, metric, size;
};
struct metrics {
	struct requests r;
	struct series_set sets[SETS_MAX];
	// Of the profile:
	struct series_set *set; // NULL: its type has no metrics
	enum metrics_state state;
	uint32_t sample;
	uint32_t owner, metric, series; // the first point that is in no plan yet; series + 1
	struct planned *plan;
	uint32_t plan_count, plan_cap, written;
	uint64_t plan_bytes, start_ns;
	struct attributes attributes, resource, scope;
	uint32_t resource_of; // the label set that `resource` is of
	bool has_resource;
	struct facts_buffers buffers;
};

// The set of TYPE, made where it is new: 0 or -ENOMEM.
static int find_set(struct metrics *m, const struct agent_type *type)
{
	const struct requests_options *o = &m->r.options;
	const struct profile_header *h = profile_header_of(m->r.p);
	const double *bounds = type->memory ? o->bytes : o->seconds;
	uint32_t count = type->memory ? o->bytes_count : o->seconds_count, i = 0;
	m->set = NULL;
	if (!type->metric_count)
		return 0;
	while (*m->sets[i].name && strcmp(m->sets[i].name, type->name))
		i++; // types of ours that have metrics are fewer than places
	if (!*m->sets[i].name) {
		if (!count) {
			bounds = type->memory ? usual_bytes : usual_seconds;
			count = type->memory ? COUNT_OF(usual_bytes) : COUNT_OF(usual_seconds);
		}
		int error =
		    series_set_init(&m->sets[i], type, h->type && h->type->state, bounds, count);
		if (error)
			return error;
	}
	m->set = &m->sets[i];
	return 0;
}

static int start(struct requests *r)
{
	struct metrics *m = (struct metrics *)r;
	const struct profile_header *h = profile_header_of(r->p);
	struct agent_type type = agent_type_of(r->p);
	memset(&m->set, 0, sizeof(*m) - offsetof(struct metrics, set));
	m->buffers.function = m->buffers.deployment = TEXT(ACCOUNT_EXPORT);
	// A stream has to begin before it is seen, also where a profile is of one moment.
	m->start_ns = h->time_ns && !h->duration_ns ? h->time_ns - 1 : h->time_ns;
	int error = find_set(m, &type);
	if (error || !m->set)
		return error;
	if (attributes_new(&m->attributes) || attributes_new(&m->resource) ||
	    attributes_new(&m->scope))
		return -ENOMEM;
	attributes_scope(
	    &m->scope, "github.com/mirastacklabs-ai/telegen/profiler", r->options.version);
	if (m->scope.text.error)
		return m->scope.text.error;
	series_begin(m->set, m->start_ns, h->time_ns + h->duration_ns);
	return 0;
}

static void stop(struct requests *r)
{
	struct metrics *m = (struct metrics *)r;
	attributes_free(&m->attributes);
	attributes_free(&m->resource);
	attributes_free(&m->scope);
	text_free(&m->buffers.function);
	text_free(&m->buffers.deployment);
	mem_free(m->plan);
	m->plan = NULL;
}

static void gone(struct requests *r)
{
	struct metrics *m = (struct metrics *)r;
	for (uint32_t i = 0; i < SETS_MAX; i++)
		series_set_free(&m->sets[i]);
}

// ---- ADD

static void make_attributes(struct attributes *a, const struct sample_facts *f)
{
	const struct requests_options *o = &f->r->options;
	char container[CONTAINER_DIGITS + 1];
	attributes_reset(a);
#define PUT(key, value) attribute_text(a, POINT_ATTRIBUTES, key, value)
	PUT("profile.type", f->type->name);
	PUT("app.name", f->app);
	if (o->process_attributes && f->process)
		attribute_number(a, POINT_ATTRIBUTES, "process.pid", f->process);
	PUT("process.executable.name", f->executable);
	text_copy(container, sizeof(container), f->container_id);
	PUT("container.id", o->go ? container : f->container_id);
	if (o->stack_attributes)
		PUT("code.function", f->function);
	PUT("block.reason", f->reason);
	if (f->type->memory) {
		const char *allocation = sample_label(f, "allocationType");
		PUT("allocation.type", *allocation ? allocation : "unknown");
	}
#undef PUT
}

static int add_sample(struct metrics *m, uint32_t index)
{
	const struct profile_sample *sample = profile_sample(m->r.p, index);
	struct sample_facts f;
	if (export_is_zero(m->r.p, sample))
		return 0;
	int error = sample_facts(&f, &m->r, &m->set->type, sample, &m->buffers);
	uint32_t of = m->r.options.go ? 0 : f.who->resource;
	if (!m->has_resource || m->resource_of != of) {
		attributes_resource(&m->resource, &m->r, of);
		m->resource_of = of;
		m->has_resource = !m->resource.text.error;
	}
	make_attributes(&m->attributes, &f);
	if (error) // the text of a name: the sample goes where those go that find no place
		m->attributes.text.error = error;
	struct series *s = series_find(m->set, &m->resource.text, &m->attributes.text, m->start_ns);
	int64_t weight = request_weight(&m->r, sample);
	s->fresh += weight > 0 ? (uint64_t)weight : 0;
	series_add(m->set, s, f.count, f.value,
	    f.type->memory ? (double)f.value : (double)f.duration_ns / (double)NS_PER_S);
	return 0;
}

static struct point point_of(const struct metrics *m, uint32_t series, uint32_t metric)
{
	return (struct point){m->set, series_at(m->set, series), &m->set->type.metrics[metric]};
}

// ---- PLAN

// The overflow comes last, under the agent's own name.
static uint32_t owner_of(const struct metrics *m, uint32_t series)
{
	return series == SERIES_NONE ? m->set->owner_count : m->set->series[series].owner;
}

static bool first_of_owner(struct metrics *m)
{
	if (m->owner == m->set->owner_count)
		m->series = m->set->overflow.start_ns ? SERIES_NONE : 0;
	else
		m->series = m->set->owners[m->owner].series;
	return m->series;
}

static uint32_t series_here(const struct metrics *m)
{
	return m->owner == m->set->owner_count ? SERIES_NONE : m->series - 1;
}

// The cursor goes to the first point of an owner that has any, from this one on.
static void find_owner(struct metrics *m)
{
	while (m->owner <= m->set->owner_count && !first_of_owner(m))
		m->owner++;
}

static void next_point(struct metrics *m)
{
	uint32_t next = m->owner < m->set->owner_count ? m->set->series[m->series - 1].next : 0;
	if (next) {
		m->series = next;
	} else if (++m->metric < m->set->type.metric_count) {
		first_of_owner(m);
	} else {
		m->metric = 0;
		m->owner++;
		find_owner(m);
	}
}

static int add(struct metrics *m, struct slice *slice)
{
	uint32_t count = profile_sample_count(m->r.p);
	while (m->sample < count) {
		int error = add_sample(m, m->sample++);
		if (error)
			return error;
		if (slice_over(slice, SAMPLE_WORK))
			return 1;
	}
	series_chain(m->set);
	m->state = PLAN;
	find_owner(m);
	return 1;
}

static bool is_new_owner(const struct metrics *m, uint32_t i)
{
	return !i || owner_of(m, m->plan[i].series) != owner_of(m, m->plan[i - 1].series);
}

static bool is_new_metric(const struct metrics *m, uint32_t i)
{
	return is_new_owner(m, i) || m->plan[i].metric != m->plan[i - 1].metric;
}

// The Resource of an owner; that of the overflow is made in `resource`.
static struct wire_in resource_of(struct metrics *m, uint32_t owner)
{
	if (owner < m->set->owner_count) {
		const uint8_t *at = (const uint8_t *)m->set->owners[owner].bytes;
		return (struct wire_in){at, at + m->set->owners[owner].length};
	}
	if (!m->has_resource || m->resource_of) {
		attributes_resource(&m->resource, &m->r, 0);
		m->resource_of = 0;
		m->has_resource = !m->resource.text.error;
	}
	const uint8_t *at = (const uint8_t *)m->resource.text.at;
	return (struct wire_in){at, at + m->resource.text.len};
}

static uint64_t length_of(struct wire_in in)
{
	return (uint64_t)(in.end - in.at);
}

// 1: the point is in the plan or left out; 0: it wants another body; -ENOMEM.
static int plan_one(struct metrics *m)
{
	uint32_t series = series_here(m);
	struct point p = point_of(m, series, m->metric);
	if (!export_grow(&m->plan, &m->plan_cap, m->plan_count, sizeof(*m->plan)))
		return m->plan_count ? 0 : -ENOMEM;
	uint64_t size = wire_size(m->scope.out, point_fill, &p), bytes = size + POINT_HEAD;
	m->plan[m->plan_count] = (struct planned){series, m->metric, (uint32_t)size};
	if (is_new_owner(m, m->plan_count)) {
		struct wire_in resource = resource_of(m, m->owner);
		if (m->owner == m->set->owner_count && !m->has_resource)
			return -ENOMEM;
		bytes += length_of(resource) + m->scope.text.len;
	}
	if (is_new_metric(m, m->plan_count))
		bytes += strlen(p.metric->name) + strlen(p.metric->description) +
			 strlen(p.metric->unit) + RUN_HEADS;
	if (m->plan_count && m->plan_bytes + bytes > m->r.options.bytes_max)
		return 0;
	if (bytes > m->r.options.bytes_max) {
		if (!m->metric)
			m->r.left_out += p.series->fresh;
		return 1;
	}
	m->plan_count++;
	m->plan_bytes += bytes;
	return 1;
}

static int plan(struct metrics *m, struct slice *slice)
{
	while (m->owner <= m->set->owner_count) {
		int took = plan_one(m);
		if (took < 0)
			return took;
		if (!took)
			break;
		next_point(m);
		if (slice_over(slice, POINT_WORK))
			return 1;
	}
	if (!m->plan_count) {
		series_expire(m->set);
		return 0;
	}
	m->written = 0;
	m->state = WRITE;
	int error = request_open(&m->r);
	return error ? error : 1;
}

// ---- WRITE

static bool is_monotonic(const struct metrics *m, const struct metric *metric)
{
	return metric->kind != METRIC_DISTRIBUTION && !m->set->state;
}

// Size of the Sum or the Histogram whose points begin at plan[*I], which then is the first of
// another one.
static uint64_t data_size(const struct metrics *m, uint32_t *i)
{
	const struct metric *metric = &m->set->type.metrics[m->plan[*i].metric];
	uint64_t size = 2 + (is_monotonic(m, metric) ? 2 : 0);
	do {
		size += field_size(m->plan[*i].size);
	} while (++*i < m->plan_count && !is_new_metric(m, *i));
	return size;
}

static uint64_t metric_size(const struct metric *metric, uint64_t data)
{
	return field_size(strlen(metric->name)) + field_size(strlen(metric->description)) +
	       field_size(strlen(metric->unit)) + field_size(data);
}

static int write_resource(struct metrics *m)
{
	struct wire_out *out = m->r.out;
	struct wire_in resource = resource_of(m, owner_of(m, m->plan[m->written].series));
	uint64_t scope_metrics = field_size(m->scope.text.len);
	if (!resource.at)
		return -ENOMEM;
	for (uint32_t i = m->written;
	     i < m->plan_count && (i == m->written || !is_new_owner(m, i));) {
		const struct metric *metric = &m->set->type.metrics[m->plan[i].metric];
		scope_metrics += field_size(metric_size(metric, data_size(m, &i)));
	}
	wire_head(out, REQUEST_RESOURCE_METRICS,
	    field_size(length_of(resource)) + field_size(scope_metrics));
	wire_bytes(out, RESOURCE_METRICS_RESOURCE, resource.at, length_of(resource));
	wire_head(out, RESOURCE_METRICS_SCOPE_METRICS, scope_metrics);
	wire_bytes(out, SCOPE_METRICS_SCOPE, m->scope.text.at, m->scope.text.len);
	return 0;
}

static void write_metric(struct metrics *m)
{
	struct wire_out *out = m->r.out;
	const struct metric *metric = &m->set->type.metrics[m->plan[m->written].metric];
	uint32_t end = m->written;
	uint64_t data = data_size(m, &end);
	wire_head(out, SCOPE_METRICS_METRICS, metric_size(metric, data));
	wire_bytes(out, METRIC_NAME, metric->name, strlen(metric->name));
	wire_bytes(out, METRIC_DESCRIPTION, metric->description, strlen(metric->description));
	wire_bytes(out, METRIC_UNIT, metric->unit, strlen(metric->unit));
	wire_head(out, metric->kind == METRIC_DISTRIBUTION ? METRIC_HISTOGRAM : METRIC_SUM, data);
	wire_varint(out, DATA_TEMPORALITY, CUMULATIVE);
	wire_varint(out, DATA_MONOTONIC, is_monotonic(m, metric));
}

static int write_body(struct metrics *m, struct slice *slice)
{
	while (m->written < m->plan_count) {
		const struct planned *x = &m->plan[m->written];
		struct point p = point_of(m, x->series, x->metric);
		int error = is_new_owner(m, m->written) ? write_resource(m) : 0;
		if (error)
			return error;
		if (is_new_metric(m, m->written))
			write_metric(m);
		wire_message(m->r.out, DATA_POINTS, point_fill, &p);
		error = wire_out_error(m->r.out);
		if (error)
			return error;
		if (!x->metric)
			m->r.facts.samples += p.series->fresh;
		m->written++;
		if (slice_over(slice, POINT_WORK))
			return 1;
	}
	m->state = CLOSE;
	return 1;
}

static int close_body(struct metrics *m)
{
	int result = request_close(&m->r);
	if (result)
		return result;
	m->plan_count = 0;
	m->plan_bytes = 0;
	m->state = PLAN;
	return 1;
}

static int step(struct requests *r, struct slice *slice)
{
	struct metrics *m = (struct metrics *)r;
	if (!m->set)
		return 0;
	switch (m->state) {
	case ADD:
		return add(m, slice);
	case PLAN:
		return plan(m, slice);
	case WRITE:
		return write_body(m, slice);
	case CLOSE:
		return close_body(m);
	}
	return 0;
}

const struct request_encoder metrics_requests = {
    sizeof(struct metrics), "application/x-protobuf", NULL, start, step, stop, gone};
