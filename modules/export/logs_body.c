// SPDX-License-Identifier: Apache-2.0
// The JSON of a log record's body, with the keys of the Go agent's records in its order.
#include "logs.h"
#include "pprof.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <time.h>

enum { PATH_FRAMES = 5 };

struct body {
	struct text *to, *scratch;
	const struct sample_facts *f;
	bool go, more; // another key went before
};

// A byte that stands for itself. Go's escapes begin with the last four.
static bool is_plain(char c, bool go)
{
	return (unsigned char)c >= ' ' && c != '"' && c != '\\' &&
	       !(go && (c == '<' || c == '>' || c == '&' || c == '\xe2'));
}

// base/json.h would escape every '<', which stands in most C++ names.
static void put_string(struct body *b, const char *s)
{
	struct text *t = b->to;
	if (!text_utf8_valid(s, strlen(s))) { // then S is none of ours in `scratch`
		struct text valid = TEXT(ACCOUNT_EXPORT);
		export_utf8(&valid, s);
		if (valid.error)
			t->error = valid.error;
		else
			put_string(b, valid.at);
		text_free(&valid);
		return;
	}
	text_add(t, "\"", 1);
	for (size_t n; *s; s += n) {
		unsigned char c = (unsigned char)*s;
		for (n = 0; is_plain(s[n], b->go);)
			n++;
		if (n) {
			text_add(t, s, n);
			continue;
		}
		n = 1;
		if (c == '"' || c == '\\') {
			text_printf(t, "\\%c", c);
		} else if (c != 0xe2) {
			text_printf(t, "\\u%04x", c);
		} else if (!strncmp(s, "\u2028", 3) || !strncmp(s, "\u2029", 3)) {
			text_printf(t, "\\u%04x", s[2] == '\xa8' ? 0x2028 : 0x2029);
			n = 3;
		} else {
			text_add(t, s, 1);
		}
	}
	text_add(t, "\"", 1);
}

static void put_key(struct body *b, const char *key)
{
	text_puts(b->to, b->more ? ",\"" : "\"");
	text_puts(b->to, key);
	text_puts(b->to, "\":");
	b->more = true;
}

static void put_text(struct body *b, const char *key, const char *value)
{
	if (!*value)
		return;
	put_key(b, key);
	put_string(b, value);
}

static void put_digits(struct body *b, bool negative, uint64_t value)
{
	char digits[24], *at = digits + sizeof(digits);
	do {
		*--at = (char)('0' + value % 10);
		value /= 10;
	} while (value);
	if (negative)
		*--at = '-';
	text_add(b->to, at, (size_t)(digits + sizeof(digits) - at));
}

static void put_number(struct body *b, const char *key, int64_t value)
{
	if (!value)
		return;
	put_key(b, key);
	put_digits(b, value < 0, value < 0 ? -(uint64_t)value : (uint64_t)value);
}

// RFC 3339 with as many digits as it takes, in UTC.
static void put_time(struct body *b)
{
	const struct profile_header *h = profile_header_of(b->f->r->p);
	uint64_t ns = h->time_ns + h->duration_ns;
	time_t seconds = (time_t)(ns / NS_PER_S);
	struct tm tm;
	char text[64], fraction[16] = "";
	if (!gmtime_r(&seconds, &tm) || !strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &tm))
		text[0] = 0;
	if (ns % NS_PER_S) {
		int n = snprintf(fraction, sizeof(fraction), ".%09u", (unsigned)(ns % NS_PER_S));
		while (fraction[n - 1] == '0')
			fraction[--n] = 0;
	}
	put_key(b, "timestamp");
	text_printf(b->to, "\"%s%sZ\"", text, fraction);
}

static const char *named(struct body *b, uint32_t i)
{
	sample_function(b->f, sample_frame(b->f, i), b->scratch);
	if (b->scratch->error)
		b->to->error = b->scratch->error;
	return b->scratch->at ? b->scratch->at : "";
}

// "leaf <- caller <- its caller"
static void put_path(struct body *b)
{
	struct text path = TEXT(ACCOUNT_EXPORT);
	for (uint32_t i = 0; i < b->f->depth && i < PATH_FRAMES; i++) {
		if (i)
			text_puts(&path, " <- ");
		text_puts(&path, sample_short(named(b, i)));
	}
	if (path.error)
		b->to->error = path.error;
	else if (path.len)
		put_text(b, "stackPath", path.at);
	text_free(&path);
}

static const char *module_of(const struct profile *p, const struct profile_frame *frame)
{
	const struct profile_mapping *m = profile_mapping(p, frame->mapping);
	if (m && m->file)
		return profile_name(p, m->file);
	return frame->kind == FRAME_KERNEL ? pprof_extra[EXTRA_KALLSYMS]
	       : frame->kind == FRAME_JIT  ? pprof_extra[EXTRA_JIT]
					   : "";
}

static void put_frame(struct body *b, uint32_t i)
{
	const struct profile_frame *frame = sample_frame(b->f, i);
	const char *function = named(b, i), *module = module_of(b->f->r->p, frame);
	text_puts(b->to, i ? ",{" : "{");
	b->more = false;
	put_key(b, "function");
	put_string(b, function);
	put_number(b, "depth", i);
	put_text(b, "class", module);
	put_text(b, "method", sample_short(function));
	if (frame->address) {
		put_key(b, "address");
		put_digits(b, false, frame->address);
	}
	put_text(b, "module", module);
	if (frame->kind == FRAME_KERNEL) {
		put_key(b, "isKernel");
		text_puts(b->to, "true");
	}
	text_puts(b->to, "}");
}

// A record has to find place in a body: of a monstrous stack the frames far from the leaf are not
// told.
static void put_frames(struct body *b)
{
	if (!b->f->depth)
		return;
	put_key(b, "stackFrames");
	text_puts(b->to, "[");
	for (uint32_t i = 0; i < b->f->depth; i++) {
		if (b->to->len > b->f->r->options.bytes_max / 4 || b->to->error)
			break;
		put_frame(b, i);
	}
	text_puts(b->to, "]");
	b->more = true;
}

static void put_stack(struct body *b)
{
	const struct sample_facts *f = b->f;
	put_text(b, "topFunction", f->function);
	put_text(b, "topMethod", sample_short(f->function));
	put_path(b);
	put_number(b, "stackDepth", f->depth);
	if (f->r->options.stack_traces)
		put_frames(b);
	put_text(b, "resolutionStatus", f->resolved ? "resolved" : "unresolved");
}

static void put_owner(struct body *b)
{
	const struct sample_facts *f = b->f;
	put_time(b);
	put_text(b, "eventType", f->type->event);
	put_key(b, "serviceName");
	put_string(b, f->service);
	put_text(b, "serviceVersion", f->version);
	put_text(b, "profileType", f->type->name);
	put_text(b, "profileSource", "ebpf");
	put_text(b, "k8s_pod_name", f->pod);
	put_text(b, "k8s_namespace", f->namespace);
	put_text(b, "k8s_container_name", f->container);
	put_text(b, "k8s_node_name", f->node);
	put_text(b, "k8s_deployment", f->deployment);
	put_text(b, "hostname", f->host);
	put_text(b, "appName", f->app);
	put_text(b, "threadName", f->comm);
	put_number(b, "threadId", f->thread_id);
}

// What the agent calls runtimes that are known under other names too.
static const struct runtime {
	const char *name, *language, *vendor;
} runtimes[] = {{"hotspot", "java", "Oracle"}, {"openj9", "java", "IBM"},
    {"graalvm", "java", "Oracle"}, {"openjdk runtime environment", "java", "Oracle"},
    {"java", "java", "Oracle"}, {"go", "go", "Google"},
    {"cpython", "python", "Python Software Foundation"},
    {"pypy", "python", "Python Software Foundation"},
    {"python", "python", "Python Software Foundation"}, {"node.js", "node", "Node.js Foundation"},
    {"nodejs", "node", "Node.js Foundation"}, {"node", "node", "Node.js Foundation"},
    {"ruby", "ruby", "Ruby Core Team"}};

static void put_process(struct body *b)
{
	const struct sample_facts *f = b->f;
	uint32_t set = f->who->resource;
	static const struct runtime unknown = {"", "", ""};
	const struct runtime *runtime = &unknown;
	const char *name = resource_value(f->r, set, "process.runtime.name");
	const char *vendor = resource_value(f->r, set, "process.runtime.vendor");
	const char *path = resource_value(f->r, set, "process.executable.path");
	const char *executable = resource_value(f->r, set, "process.executable.name");
	const char *slash = strrchr(path, '/');
	for (size_t i = 0; i < sizeof(runtimes) / sizeof(*runtimes); i++)
		if (!strcasecmp(runtimes[i].name, name))
			runtime = &runtimes[i];
	put_text(b, "appBinary", set ? f->app : "");
	put_text(b, "appVersion", f->version);
	put_text(b, "language", runtime->language);
	put_text(b, "process.runtime.name", name);
	put_text(
	    b, "process.runtime.version", resource_value(f->r, set, "process.runtime.version"));
	put_text(b, "process.runtime.vendor", *vendor ? vendor : runtime->vendor);
	put_text(b, "process.executable.name", *executable ? executable : slash ? slash + 1 : path);
	put_text(b, "process.executable.path", path);
	put_text(b, "process.command_line", resource_value(f->r, set, "process.command_line"));
}

void logs_body(struct text *to, struct text *scratch, const struct sample_facts *f)
{
	struct body b = {to, scratch, f, f->r->options.go, false};
	text_reset(to);
	text_puts(to, "{");
	put_owner(&b);
	put_stack(&b);
	put_key(&b, "sampleWeight");
	text_printf(to, "%" PRId64, f->value);
	put_number(&b, "durationNs", f->duration_ns);
	put_number(&b, "totalSamples", f->count);
	put_number(&b, "allocationSize", f->type->memory ? f->value : 0);
	put_number(&b, "pid", f->process);
	put_number(&b, "tid", f->thread);
	put_text(&b, "comm", f->comm);
	put_text(&b, "containerId", f->container_id);
	put_text(&b, "blockReason", f->reason);
	put_number(&b, "kernelFrames", f->kernel_count);
	put_number(&b, "userFrames", f->depth - f->kernel_count);
	put_text(&b, "lockAddress", sample_label(f, "lockAddress"));
	put_text(&b, "lockClass", sample_label(f, "lockClass"));
	put_text(&b, "allocationType", sample_label(f, "allocationType"));
	put_process(&b);
	put_text(&b, "age", sample_label(f, "age")); // ours alone: how long the memory is held
	text_puts(to, "}");
}
