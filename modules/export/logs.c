// SPDX-License-Identifier: Apache-2.0
// Logs out: ExportLogsServiceRequest (opentelemetry.proto.collector.logs.v1), a record for each
// sample.
//
//   GROUP  next[]: the samples of each process's resource, chained          once for a profile
//   PLAN   plan[]: as many samples as a body holds, and how long they are   for each body
//   WRITE  ResourceLogs { resource, ScopeLogs { scope, records } } for each run of one resource in
//   the plan
//
// A record is made twice, to be measured and to be written, so that no more than one is ever in
// memory.
#include "logs.h"
#include "otlp_fields.h"

#include <errno.h>
#include <string.h>

enum { REQUEST_RESOURCE_LOGS = 1 };
enum { RESOURCE_LOGS_RESOURCE = 1, RESOURCE_LOGS_SCOPE_LOGS = 2 };
enum { SCOPE_LOGS_SCOPE = 1, SCOPE_LOGS_RECORDS = 2 };
enum {
	RECORD_TIME = 1,
	RECORD_SEVERITY = 2,
	RECORD_SEVERITY_TEXT = 3,
	RECORD_BODY = 5,
	RECORD_ATTRIBUTES = 6,
	RECORD_OBSERVED = 11,
};
enum { SEVERITY_INFO = 9 };
enum {
	RECORDS_USUAL = 100,
	RUN_HEADS = 32,	   // at most: tags and lengths around a resource, its scope and its records
	RECORD_HEAD = 6,   // of one record
	RECORD_WORK = 200, // of a record, in units of slice_over
	FRAME_WORK = 8,
};

enum logs_state { GROUP, PLAN, WRITE, CLOSE };
struct group {
	uint32_t set, first, last; // samples + 1
};
struct planned {
	uint32_t sample, size;
};
struct logs {
	struct requests r;
	struct agent_type type;
	enum logs_state state;
	uint32_t *next; // by sample: the next one of its group + 1
	struct map group_of;
	struct group *groups;
	uint32_t group_count, group_cap;
	uint32_t scanned;	// samples that are in groups
	uint32_t group, sample; // the first that is in no plan yet; sample + 1
	struct planned *plan;
	uint32_t plan_count, plan_cap, written;
	uint64_t plan_bytes;
	uint64_t time_ns, observed_ns;
	struct attributes record, resource, scope;
	struct text body, scratch;
	struct facts_buffers buffers;
};

static int start(struct requests *r)
{
	struct logs *l = (struct logs *)r;
	const struct profile_header *h = profile_header_of(r->p);
	memset((char *)l + sizeof(*r), 0, sizeof(*l) - sizeof(*r));
	l->type = agent_type_of(r->p);
	l->group_of = MAP(ACCOUNT_EXPORT);
	l->body = l->scratch = l->buffers.function = l->buffers.deployment = TEXT(ACCOUNT_EXPORT);
	l->time_ns = h->time_ns + h->duration_ns;
	l->observed_ns = clock_wall();
	l->next = mem_alloc(ACCOUNT_EXPORT, profile_sample_count(r->p) * sizeof(*l->next));
	if (!l->next || attributes_new(&l->record) || attributes_new(&l->resource) ||
	    attributes_new(&l->scope))
		return -ENOMEM;
	attributes_scope(&l->scope, "telegen.profiler", r->options.version);
	return l->scope.text.error;
}

static void stop(struct requests *r)
{
	struct logs *l = (struct logs *)r;
	attributes_free(&l->record);
	attributes_free(&l->resource);
	attributes_free(&l->scope);
	text_free(&l->body);
	text_free(&l->scratch);
	text_free(&l->buffers.function);
	text_free(&l->buffers.deployment);
	map_clear(&l->group_of);
	mem_free(l->groups);
	mem_free(l->next);
	mem_free(l->plan);
	l->groups = NULL;
	l->next = NULL;
	l->plan = NULL;
}

// Whose records SAMPLE is among: the agent puts all under its own name.
static uint32_t set_of(const struct logs *l, uint32_t sample)
{
	const struct profile *p = l->r.p;
	if (l->r.options.go)
		return 0;
	return profile_subject(p, profile_sample(p, sample)->subject)->resource;
}

static int add_to_group(struct logs *l, uint32_t sample)
{
	uint64_t at;
	uint32_t set = set_of(l, sample);
	if (export_is_zero(l->r.p, profile_sample(l->r.p, sample)))
		return 0;
	if (!map_get(&l->group_of, set, &at)) {
		at = l->group_count;
		if (!export_grow(&l->groups, &l->group_cap, at, sizeof(*l->groups)) ||
		    map_put(&l->group_of, set, at) < 0)
			return -ENOMEM;
		l->groups[l->group_count++] = (struct group){.set = set};
	}
	struct group *g = &l->groups[at];
	if (g->last)
		l->next[g->last - 1] = sample + 1;
	else
		g->first = sample + 1;
	g->last = sample + 1;
	return 0;
}

static int group(struct logs *l, struct slice *slice)
{
	uint32_t count = profile_sample_count(l->r.p);
	while (l->scanned < count) {
		int error = add_to_group(l, l->scanned++);
		if (error)
			return error;
		if (slice_over(slice, 1))
			return 1;
	}
	l->state = PLAN;
	l->sample = l->group_count ? l->groups[0].first : 0;
	return 1;
}

static void put_attributes(struct attributes *a, const struct sample_facts *f)
{
#define TEXT_OF(key, value) attribute_text(a, RECORD_ATTRIBUTES, key, value)
#define NUMBER_OF(key, value)                                                                      \
	((value) > 0 ? attribute_number(a, RECORD_ATTRIBUTES, key, value) : (void)0)
	TEXT_OF("profile.type", f->type->name);
	TEXT_OF("profile.event_type", f->type->event);
	TEXT_OF("profile.source", "ebpf");
	TEXT_OF("profile.resolution_status", f->resolved ? "resolved" : "unresolved");
	TEXT_OF("app.name", f->app);
	TEXT_OF("host.name", f->host);
	TEXT_OF("k8s.deployment.name", f->deployment);
	TEXT_OF("k8s.pod.name", f->pod);
	TEXT_OF("k8s.node.name", f->node);
	TEXT_OF("k8s.namespace.name", f->namespace);
	TEXT_OF("thread.name", f->comm);
	NUMBER_OF("thread.id", f->thread_id);
	TEXT_OF("code.function", f->function);
	NUMBER_OF("profile.stack_depth", f->depth);
	attribute_number(a, RECORD_ATTRIBUTES, "profile.sample_weight", f->value);
	NUMBER_OF("profile.duration_ns", f->duration_ns);
	NUMBER_OF("profile.total_samples", f->count);
	NUMBER_OF("process.pid", f->process);
	NUMBER_OF("thread.tid", f->thread);
	TEXT_OF("process.executable.name", f->executable);
	TEXT_OF("container.id", f->container_id);
	TEXT_OF("profile.block_reason", f->reason);
	TEXT_OF("telegen.signal.category", "Profiling Metrics");
	TEXT_OF("telegen.signal.subcategory", f->type->subcategory);
	TEXT_OF("telegen.source.module", "internal/profiler");
	TEXT_OF("telegen.bpf.component", f->type->component);
	TEXT_OF("telegen.collector.type", "ebpf");
#undef TEXT_OF
#undef NUMBER_OF
}

static void fill_body(struct wire_out *o, const void *arg)
{
	const struct text *body = arg;
	wire_bytes(o, ANY_STRING, body->at, body->len);
}

// Makes the record of SAMPLE in `record`: 0 or -ENOMEM. WORK: how much that was.
static int make_record(struct logs *l, uint32_t sample, uint32_t *work)
{
	struct attributes *a = &l->record;
	struct sample_facts f;
	attributes_reset(a);
	int error = sample_facts(&f, &l->r, &l->type, profile_sample(l->r.p, sample), &l->buffers);
	*work = RECORD_WORK + f.depth * FRAME_WORK;
	if (error)
		return error;
	logs_body(&l->body, &l->scratch, &f);
	if (l->body.error)
		return l->body.error;
	wire_fixed64(a->out, RECORD_TIME, l->time_ns);
	wire_varint(a->out, RECORD_SEVERITY, SEVERITY_INFO);
	wire_bytes(a->out, RECORD_SEVERITY_TEXT, "INFO", 4);
	wire_message(a->out, RECORD_BODY, fill_body, &l->body);
	put_attributes(a, &f);
	wire_fixed64(a->out, RECORD_OBSERVED, l->observed_ns);
	return a->text.error;
}

static int64_t weight_of(const struct logs *l, uint32_t sample)
{
	return request_weight(&l->r, profile_sample(l->r.p, sample));
}

// The resource of SAMPLE into `resource`: 0 or -ENOMEM.
static int make_resource(struct logs *l, uint32_t sample)
{
	const struct profile *p = l->r.p;
	attributes_resource(
	    &l->resource, &l->r, profile_subject(p, profile_sample(p, sample)->subject)->resource);
	return l->resource.text.error;
}

static bool is_new_run(const struct logs *l, uint32_t planned)
{
	return !planned ||
	       set_of(l, l->plan[planned].sample) != set_of(l, l->plan[planned - 1].sample);
}

// 1: SAMPLE is in the plan; 0: it wants another body. What cannot be told is left out.
static int plan_one(struct logs *l, uint32_t sample, uint32_t *work)
{
	uint32_t max = l->r.options.records ? l->r.options.records : RECORDS_USUAL;
	if (l->plan_count >= max)
		return 0;
	int error = make_record(l, sample, work);
	if (!error && !export_grow(&l->plan, &l->plan_cap, l->plan_count, sizeof(*l->plan))) {
		if (l->plan_count)
			return 0;
		error = -ENOMEM;
	}
	uint64_t bytes = 0;
	if (!error) {
		l->plan[l->plan_count] = (struct planned){sample, (uint32_t)l->record.text.len};
		bytes = l->record.text.len + RECORD_HEAD;
	}
	if (!error && is_new_run(l, l->plan_count)) {
		error = make_resource(l, sample);
		bytes += l->resource.text.len + l->scope.text.len + RUN_HEADS;
	}
	if (!error && l->plan_count && l->plan_bytes + bytes > l->r.options.bytes_max)
		return 0;
	if (error || bytes > l->r.options.bytes_max) {
		int64_t weight = weight_of(l, sample);
		l->r.left_out += weight > 0 ? (uint64_t)weight : 0;
		return 1;
	}
	l->plan_count++;
	l->plan_bytes += bytes;
	return 1;
}

static int plan(struct logs *l, struct slice *slice)
{
	while (l->sample) {
		uint32_t work = RECORD_WORK;
		if (!plan_one(l, l->sample - 1, &work))
			break;
		l->sample = l->next[l->sample - 1];
		if (!l->sample && ++l->group < l->group_count)
			l->sample = l->groups[l->group].first;
		if (slice_over(slice, work))
			return 1;
	}
	if (!l->plan_count)
		return 0; // of the profile nothing is left
	l->written = 0;
	l->state = WRITE;
	int error = request_open(&l->r);
	return error ? error : 1;
}

static int write_heads(struct logs *l)
{
	struct wire_out *out = l->r.out;
	uint64_t scope_logs = field_size(l->scope.text.len);
	int error = make_resource(l, l->plan[l->written].sample);
	if (error)
		return error;
	for (uint32_t i = l->written; i < l->plan_count && (i == l->written || !is_new_run(l, i));
	     i++)
		scope_logs += field_size(l->plan[i].size);
	wire_head(
	    out, REQUEST_RESOURCE_LOGS, field_size(l->resource.text.len) + field_size(scope_logs));
	wire_bytes(out, RESOURCE_LOGS_RESOURCE, l->resource.text.at, l->resource.text.len);
	wire_head(out, RESOURCE_LOGS_SCOPE_LOGS, scope_logs);
	wire_bytes(out, SCOPE_LOGS_SCOPE, l->scope.text.at, l->scope.text.len);
	return 0;
}

static int write_body(struct logs *l, struct slice *slice)
{
	for (; l->written < l->plan_count; l->written++) {
		const struct planned *x = &l->plan[l->written];
		uint32_t work;
		int error = is_new_run(l, l->written) ? write_heads(l) : 0;
		if (!error)
			error = make_record(l, x->sample, &work);
		if (!error && l->record.text.len != x->size)
			error = -EIO; // a name was set meanwhile: what was said of its length holds
				      // no more
		if (error)
			return error;
		wire_bytes(l->r.out, SCOPE_LOGS_RECORDS, l->record.text.at, x->size);
		error = wire_out_error(l->r.out);
		if (error)
			return error;
		int64_t weight = weight_of(l, x->sample);
		l->r.facts.samples += weight > 0 ? (uint64_t)weight : 0;
		if (slice_over(slice, work)) {
			l->written++;
			return 1;
		}
	}
	l->state = CLOSE;
	return 1;
}

static int close_body(struct logs *l)
{
	int result = request_close(&l->r);
	if (result)
		return result;
	l->plan_count = 0;
	l->plan_bytes = 0;
	l->state = PLAN;
	return 1;
}

static int step(struct requests *r, struct slice *slice)
{
	struct logs *l = (struct logs *)r;
	switch (l->state) {
	case GROUP:
		return group(l, slice);
	case PLAN:
		return plan(l, slice);
	case WRITE:
		return write_body(l, slice);
	case CLOSE:
		return close_body(l);
	}
	return 0;
}

const struct request_encoder logs_requests = {
    sizeof(struct logs), "application/x-protobuf", NULL, start, step, stop, NULL};
