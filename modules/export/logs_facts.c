// SPDX-License-Identifier: Apache-2.0
// A sample of ours as the Go agent describes its own.
//
// What requests_options.go brings back, where a dashboard may depend on it; everything else that
// the agent does wrong stays mended:
//
//   what                               by default             with `go`
//   resource, serviceName              of the process         of the agent, one for all
//   metrics: service.version           of the process         of the agent
//   metrics: telemetry.sdk.language    native                 go
//   metrics: container.id              whole                  its first 12 digits
//   thread.id, threadId                thread                 process (off-cpu: thread)
//   thread.tid, tid                    thread                 thread (off-cpu: process)
//   process.pid, pid                   process                process (off-cpu: thread)
//   process.executable.name (attr.)    process                thread
//   order of frames                    kernel's, user's       user's, kernel's
//   code.function, topFunction         the leaf               the leaf of the user's frames
//   functions without a name           [libc.so.6+0x12]       [unresolved] 0x12, [unknown] 0x12
//   k8s.deployment.name out of a pod   where it looks like    of any pod with a '-' that fits
//   <, >, & and U+2028 in a body       as they are            \u003c, \u003e, \u0026, \u2028
#include "logs.h"

#include <errno.h>
#include <string.h>

static const struct metric of_cpu[] = {
    {"profiler.cpu.samples", "Number of CPU profile samples", "1", METRIC_COUNT},
    {"profiler.cpu.duration_seconds", "Distribution of on-CPU time", "s", METRIC_DISTRIBUTION},
};
static const struct metric of_offcpu[] = {
    {"profiler.offcpu.samples", "Number of off-CPU profile samples (blocked threads)", "1",
	METRIC_COUNT},
    {"profiler.offcpu.duration_seconds", "Distribution of blocked/off-CPU time", "s",
	METRIC_DISTRIBUTION},
};
static const struct metric of_memory[] = {
    {"profiler.memory.allocations", "Number of memory allocations", "1", METRIC_COUNT},
    {"profiler.memory.allocation_bytes", "Total bytes allocated", "By", METRIC_VALUE},
    {"profiler.memory.allocation_size_bytes", "Distribution of allocation sizes", "By",
	METRIC_DISTRIBUTION},
};
static const struct metric of_mutex[] = {
    {"profiler.mutex.contentions", "Number of mutex contentions", "1", METRIC_COUNT},
    {"profiler.mutex.wait_time_seconds", "Distribution of mutex wait time", "s",
	METRIC_DISTRIBUTION},
};
static const struct metric of_wall[] = {
    {"profiler.wall.samples", "Number of wall clock samples", "1", METRIC_COUNT},
    {"profiler.wall.duration_seconds", "Distribution of wall clock time per sample", "s",
	METRIC_DISTRIBUTION},
};

#define CPU "CPU Samples", "bpf/profiler/cpu_profiler.c"
#define OFF "Off-CPU Time", "bpf/profiler/offcpu_profiler.c"
#define MEMORY "Memory Allocations", "bpf/profiler/alloc_profiler.c"
#define LOCK "Mutex Contention", "bpf/profiler/mutex_profiler.c"
static const struct agent_type types[] = {
    {"cpu", "cpu", "ebpf.CPUSample", CPU, of_cpu, 2, false},
    {"offcpu", "off-cpu", "ebpf.OffCPUSample", OFF, of_offcpu, 2, false},
    {"wall", "wall", "ebpf.WallSample", CPU, of_wall, 2, false},
    {"mutex", "mutex", "ebpf.MutexSample", LOCK, of_mutex, 2, false},
    {"memory", "memory", "ebpf.AllocationSample", MEMORY, of_memory, 3, true},
    {"allocs", "allocs", "ebpf.AllocsSample", MEMORY, of_memory, 3, true},
    // What is alive is no sum of what was seen in each window: it has no distribution that grows.
    {"heap", "heap", "ebpf.HeapSample", MEMORY, of_memory, 2, true},
    {"goblock", "block", "ebpf.BlockSample", LOCK, NULL, 0, false},
    {"mapped", "mapped", "ebpf.MappedSample", MEMORY, of_memory, 3, true},
};

struct agent_type agent_type_of(const struct profile *p)
{
	const struct profile_header *h = profile_header_of(p);
	for (size_t i = 0; h->type && i < sizeof(types) / sizeof(*types); i++)
		if (!strcmp(types[i].ours, h->type->name))
			return types[i];
	uint32_t v = h->default_value < h->value_count ? h->default_value : 0;
	const char *name = h->type ? h->type->name : profile_name(p, h->value_types[v]);
	return (struct agent_type){name, name, "ebpf.Sample", CPU, NULL, 0,
	    !strcmp(profile_name(p, h->value_units[v]), "bytes")};
}

// The default value is what a type measures; cpu alone is counted in samples.
static void take_values(struct sample_facts *f, const struct profile *p)
{
	const struct profile_header *h = profile_header_of(p);
	const int64_t *values = f->sample->values;
	bool counted = false;
	uint32_t v = h->default_value < h->value_count ? h->default_value : 0;
	f->value = values[v];
	for (uint32_t i = 0; i < h->value_count; i++) {
		const char *unit = profile_name(p, h->value_units[i]);
		if (!counted && !strcmp(unit, "count")) {
			f->count = values[i];
			counted = true;
		} else if (!f->duration_ns && !strcmp(unit, "nanoseconds")) {
			f->duration_ns = values[i];
		}
	}
	if (!counted)
		f->count = 1;
	if (!strcmp(f->type->name, "cpu"))
		f->value = f->count;
}

// Process and thread, in the fields where the agent says them.
static void take_ids(struct sample_facts *f)
{
	f->process = f->who->pid;
	f->thread = f->thread_id = f->who->tid;
	if (!f->r->options.go)
		return;
	if (!strcmp(f->type->name, "off-cpu")) {
		f->process = f->who->tid;
		f->thread = f->who->pid;
	}
	f->thread_id = f->process;
}

static void take_frames(struct sample_facts *f, struct text *function)
{
	const struct profile *p = f->r->p;
	f->frames = profile_stack(p, f->sample->stack, &f->depth);
	for (uint32_t i = 0; i < f->depth; i++)
		if (profile_frame(p, f->frames[i])->kind == FRAME_KERNEL) {
			f->kernel_count++;
			f->kernel = i + 1;
		}
	f->function = "";
	text_reset(function);
	if (!f->depth)
		return;
	const struct profile_frame *first = sample_frame(f, 0);
	sample_function(f, first, function);
	f->function = function->at ? function->at : "";
	f->resolved =
	    first->kind != FRAME_MARK && first->name && *profile_name(p, first->name) != '[';
}

// The letters that Kubernetes makes random names of.
static size_t random_part(const char *s)
{
	return strspn(s, "bcdfghjklmnpqrstvwxz2456789");
}

// "web-7d4b9c6f5d-x2x4z" -> "web". The agent takes the number off "db-0" too, which is of no
// deployment.
static const char *deployment_of(const char *pod, bool go, struct text *to)
{
	const char *last = strrchr(pod, '-'), *before = NULL;
	for (const char *c = pod; last && c < last; c++)
		if (*c == '-')
			before = c;
	size_t keep = 0;
	if (last && go && last[1] && !last[1 + strspn(last + 1, "0123456789")])
		keep = (size_t)(last - pod);
	else if (before &&
		 (go || (random_part(last + 1) == 5 && !last[6] &&
			    before + 1 + random_part(before + 1) == last && last - before >= 6)))
		keep = (size_t)(before - pod);
	text_reset(to);
	text_add(to, pod, keep);
	return to->at ? to->at : "";
}

static const char *either(const char *a, const char *b)
{
	return *a ? a : b;
}

static void take_owner(struct sample_facts *f, struct text *deployment)
{
	const struct requests *r = f->r;
	const struct profile *p = r->p;
	uint32_t set = f->who->resource;
	f->service = r->options.go
			 ? r->options.service
			 : either(resource_value(r, set, "service.name"), r->options.service);
	f->version = resource_value(r, set, "service.version");
	f->pod = resource_value(r, set, "k8s.pod.name");
	f->namespace = resource_value(r, set, "k8s.namespace.name");
	f->container = resource_value(r, set, "k8s.container.name");
	f->node = resource_value(r, set, "k8s.node.name");
	f->deployment = either(resource_value(r, set, "k8s.deployment.name"),
	    deployment_of(f->pod, r->options.go, deployment));
	f->host = either(resource_value(r, set, "host.name"), r->options.host);
	f->comm = profile_name(p, f->who->comm);
	const char *process = either(profile_name(p, f->who->process), f->comm);
	f->executable = r->options.go ? f->comm : process;
	f->app = either(resource_value(r, set, "app.name"), resource_value(r, set, "service.name"));
	f->app = either(f->app, process);
	f->container_id = profile_name(p, f->who->container);
	f->reason = !strcmp(f->type->name, "off-cpu") ? either(sample_label(f, "reason"), "unknown")
		    : !strcmp(f->type->name, "block") ? "block"
						      : "";
}

int sample_facts(struct sample_facts *f, const struct requests *r, const struct agent_type *type,
    const struct profile_sample *s, struct facts_buffers *buffers)
{
	*f = (struct sample_facts){
	    .r = r, .type = type, .sample = s, .who = profile_subject(r->p, s->subject)};
	take_values(f, r->p);
	take_ids(f);
	take_frames(f, &buffers->function);
	take_owner(f, &buffers->deployment);
	return buffers->function.error ? buffers->function.error : buffers->deployment.error;
}

const struct profile_frame *sample_frame(const struct sample_facts *f, uint32_t i)
{
	uint32_t user = f->depth - f->kernel;
	if (f->r->options.go)
		i = i < user ? i + f->kernel : i - user;
	return profile_frame(f->r->p, f->frames[i]);
}

void sample_function(
    const struct sample_facts *f, const struct profile_frame *frame, struct text *to)
{
	const struct profile *p = f->r->p;
	const char *name = profile_name(p, frame->name);
	text_reset(to);
	if (f->r->options.go && frame->kind != FRAME_MARK && (!*name || *name == '['))
		text_printf(to, "[%s] 0x%llx", frame->mapping ? "unresolved" : "unknown",
		    (unsigned long long)frame->address);
	else
		export_frame_name(to, p, frame);
}

const char *sample_short(const char *function)
{
	const char *from = function;
	uint32_t depth = 0;
	for (const char *c = function; *c; c++) {
		switch (*c) {
		case '(':
		case '<':
		case '[':
		case '{':
			depth++;
			break;
		case ')':
		case '>':
		case ']':
		case '}':
			depth -= depth && c[-1] != '-';
			break;
		case 'o': // brackets after it need not be pairs
			if (!depth && !strncmp(c, "operator", 8))
				return from;
			break;
		case ' ': // places in files; clones
			if (!depth)
				return from;
			break;
		case ':':
			if (!depth && c[1] != ':')
				return from;
			c += c[1] == ':';
			if (!depth && c[1])
				from = c + 1;
			break;
		case '/':
			if (!depth && c[1])
				from = c + 1;
			break;
		}
	}
	return from;
}

const char *sample_label(const struct sample_facts *f, const char *key)
{
	uint32_t count;
	const struct profile_label *l = profile_labels(f->r->p, f->who->labels, &count);
	for (uint32_t i = 0; l && i < count; i++)
		if (l[i].str && !strcmp(profile_name(f->r->p, l[i].key), key))
			return profile_name(f->r->p, l[i].str);
	return "";
}
