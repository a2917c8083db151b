// SPDX-License-Identifier: Apache-2.0
// Attributes (opentelemetry.proto.common.v1.KeyValue) and resources of logs and metrics.
#include "logs.h"
#include "otlp_fields.h"

#include <errno.h>
#include <string.h>

struct attribute {
	const char *key, *text; // NULL: a number or a truth
	size_t length;
	int64_t number;
	bool truth;
};

// What went wrong is kept in the text, which can be used again.
static int to_text(void *arg, const void *bytes, size_t n)
{
	text_add(arg, bytes, n);
	return 0;
}

int attributes_new(struct attributes *a)
{
	a->text = TEXT(ACCOUNT_EXPORT);
	a->valid = TEXT(ACCOUNT_EXPORT);
	a->out = wire_out_new(&(struct wire_sink){to_text, &a->text});
	return a->out ? 0 : -ENOMEM;
}

void attributes_free(struct attributes *a)
{
	wire_out_free(a->out);
	text_free(&a->text);
	text_free(&a->valid);
	a->out = NULL;
}

void attributes_reset(struct attributes *a)
{
	text_reset(&a->text);
}

static void fill_value(struct wire_out *o, const void *arg)
{
	const struct attribute *x = arg;
	if (x->text)
		wire_bytes(o, ANY_STRING, x->text, x->length);
	else if (x->truth)
		wire_number(o, ANY_BOOL, 1);
	else
		wire_number(o, ANY_INT, (uint64_t)x->number);
}

static void fill_attribute(struct wire_out *o, const void *arg)
{
	const struct attribute *x = arg;
	wire_bytes(o, KEY_VALUE_KEY, x->key, strlen(x->key));
	wire_message(o, KEY_VALUE_VALUE, fill_value, x);
}

static const char *valid(struct attributes *a, const char *text, size_t *length)
{
	text = export_valid(&a->valid, text, length);
	if (a->valid.error)
		a->text.error = a->valid.error;
	return text;
}

void attribute_text(struct attributes *a, uint32_t field, const char *key, const char *value)
{
	if (!*value)
		return;
	struct attribute x = {.key = key};
	x.text = valid(a, value, &x.length);
	wire_message(a->out, field, fill_attribute, &x);
}

void attribute_number(struct attributes *a, uint32_t field, const char *key, int64_t value)
{
	wire_message(
	    a->out, field, fill_attribute, &(struct attribute){.key = key, .number = value});
}

void attribute_true(struct attributes *a, uint32_t field, const char *key)
{
	wire_message(a->out, field, fill_attribute, &(struct attribute){.key = key, .truth = true});
}

// Keys that are written by name; the first of them differ between logs and metrics.
static const char *const named[] = {"service.name", "service.version", "service.namespace",
    "telemetry.sdk.name", "telemetry.sdk.language", "telemetry.sdk.version", "host.name",
    "k8s.namespace.name", "k8s.pod.name", "k8s.container.name", "k8s.node.name", "k8s.cluster.name",
    "k8s.deployment.name"};

// A key that is not of its own process already, nor one of a single process where points of many
// are added up.
static bool is_more(const struct requests *r, const char *key)
{
	for (size_t i = 0; i < sizeof(named) / sizeof(*named); i++)
		if (!strcmp(named[i], key))
			return false;
	return *key && (r->options.kind != REQUESTS_METRICS ||
			   (strncmp(key, "process.", 8) && strncmp(key, "container.", 10)));
}

static void add_more(struct attributes *a, const struct requests *r, uint32_t set)
{
	uint32_t count = 0;
	const struct profile_label *l = set ? profile_labels(r->p, set, &count) : NULL;
	for (uint32_t i = 0; l && i < count; i++) {
		const char *key = profile_name(r->p, l[i].key),
			   *text = profile_name(r->p, l[i].str);
		size_t length;
		if (!is_more(r, key))
			continue;
		if (l[i].str)
			attribute_text(a, RESOURCE_ATTRIBUTES, key, text);
		else if (text_utf8_valid(key, length = strlen(key)) && length)
			attribute_number(a, RESOURCE_ATTRIBUTES, key, l[i].num);
	}
	for (const char *const *pair = r->options.resource; pair && pair[0] && pair[1]; pair += 2)
		if (is_more(r, pair[0]) && !*resource_own(r, set, pair[0]))
			attribute_text(a, RESOURCE_ATTRIBUTES, pair[0], pair[1]);
}

void attributes_resource(struct attributes *a, const struct requests *r, uint32_t set)
{
	const struct requests_options *o = &r->options;
	bool metrics = o->kind == REQUESTS_METRICS;
	uint32_t of = o->go ? 0 : set; // whose service and pod
	const char *service = resource_own(r, of, "service.name");
	const char *space = resource_value(r, of, "service.namespace");
	attributes_reset(a);
#define PUT(key, value) attribute_text(a, RESOURCE_ATTRIBUTES, key, value)
	PUT("service.name", *service ? service : o->service);
	// The agent says the version of the first record's process with logs, its own with metrics.
	PUT("service.version",
	    metrics && o->go ? o->version : resource_own(r, set, "service.version"));
	if (!*space && !metrics)
		space = resource_value(r, of, "k8s.namespace.name");
	PUT("service.namespace", space);
	PUT("telemetry.sdk.name", "telegen");
	PUT("telemetry.sdk.language", metrics && o->go ? "go" : "native");
	PUT("telemetry.sdk.version", o->version);
	const char *host = resource_value(r, of, "host.name");
	PUT("host.name", metrics && !*host ? o->host : host);
	for (size_t i = 7; i < sizeof(named) / sizeof(*named); i++)
		PUT(named[i], resource_value(r, of, named[i]));
#undef PUT
	add_more(a, r, of);
}

void attributes_scope(struct attributes *a, const char *name, const char *version)
{
	attributes_reset(a);
	wire_bytes(a->out, SCOPE_NAME, name, strlen(name));
	size_t length;
	version = valid(a, version, &length);
	if (length)
		wire_bytes(a->out, SCOPE_VERSION, version, length);
}
