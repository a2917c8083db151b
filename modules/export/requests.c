// SPDX-License-Identifier: Apache-2.0
#include "requests.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static const struct request_encoder *const encoders[] = {
    [REQUESTS_OTLP] = &otlp_requests,
    [REQUESTS_LOGS] = &logs_requests,
    [REQUESTS_METRICS] = &metrics_requests,
    [REQUESTS_PYROSCOPE] = &pyroscope_requests,
    [REQUESTS_PARCA] = &parca_requests,
};

const char *requests_content_type(enum requests_kind kind)
{
	return encoders[kind]->content_type;
}

static int to_sink(void *arg, const void *bytes, size_t n)
{
	struct requests *r = arg;
	return r->sink.write(r->sink.arg, bytes, n);
}

// Before compression.
static int to_body(void *arg, const void *bytes, size_t n)
{
	struct requests *r = arg;
	r->bytes += n;
	if (!r->gzip)
		return to_sink(r, bytes, n);
	struct wire_sink z = wire_gzip_sink(r->gzip);
	return z.write(z.arg, bytes, n);
}

static void forget_body(struct requests *r)
{
	wire_out_free(r->out);
	wire_gzip_free(r->gzip);
	r->out = NULL;
	r->gzip = NULL;
	r->open = r->closing = false;
}

int request_open(struct requests *r)
{
	const struct profile_header *h = profile_header_of(r->p);
	struct wire_sink sink = {to_sink, r}, body = {to_body, r};
	int error = r->sink.begin(r->sink.arg);
	if (error)
		return error;
	r->open = true;
	r->bytes = 0;
	r->facts =
	    (struct requests_facts){.time_ns = h->time_ns, .type = h->type ? h->type->name : ""};
	if (r->options.gzip && !(r->gzip = wire_gzip_new(&sink)))
		return -errno;
	r->out = wire_out_new(&body);
	return r->out ? 0 : -errno;
}

int request_close(struct requests *r)
{
	int error = wire_out_error(r->out);
	if (!error && !r->closing && r->gzip)
		error = wire_gzip_finish(r->gzip);
	r->closing = true;
	if (!error)
		error = r->sink.end(r->sink.arg, &r->facts);
	if (error == 0) {
		r->sent += r->facts.samples;
		forget_body(r);
	}
	return error;
}

struct requests *requests_new(
    const struct requests_options *options, const struct requests_out *out)
{
	const struct request_encoder *encoder = encoders[options->kind];
	struct requests *r = mem_alloc(ACCOUNT_EXPORT, encoder->size);
	if (!r)
		return NULL;
	r->encoder = encoder;
	r->options = *options;
	r->sink = *out;
	if (!r->options.bytes_max)
		r->options.bytes_max = REQUEST_BYTES_MAX;
	int error = encoder->born ? encoder->born(r) : 0;
	if (error) {
		requests_free(r);
		return errno = -error, NULL;
	}
	return r;
}

int64_t request_weight(const struct requests *r, const struct profile_sample *s)
{
	const struct profile_header *h = profile_header_of(r->p);
	for (uint32_t v = 0; v < h->value_count; v++)
		if (!strcmp(profile_name(r->p, h->value_units[v]), "count"))
			return s->values[v];
	return !export_is_zero(r->p, s);
}

const char *resource_own(const struct requests *r, uint32_t set, const char *key)
{
	uint32_t count;
	const struct profile_label *l = set ? profile_labels(r->p, set, &count) : NULL;
	for (uint32_t i = 0; l && i < count; i++)
		if (l[i].str && !strcmp(profile_name(r->p, l[i].key), key))
			return profile_name(r->p, l[i].str);
	return "";
}

const char *resource_value(const struct requests *r, uint32_t set, const char *key)
{
	const char *value = resource_own(r, set, key);
	const char *const *pair = r->options.resource;
	for (; !*value && pair && pair[0] && pair[1]; pair += 2)
		if (!strcmp(pair[0], key))
			value = pair[1];
	return value;
}

void request_unknown_service(char name[static REQUEST_SERVICE_MAX], const char *comm)
{
	int n = (int)strcspn(comm, "/");
	if (!n || n > 200) // a path is no worker of something
		n = 200;
	snprintf(name, REQUEST_SERVICE_MAX, "unknown_service%s%.*s", *comm ? ":" : "", n, comm);
}

static void stop(struct requests *r)
{
	if (!r->p)
		return;
	if (r->result < 0) { // all that no body holds
		r->left_out = 0 - r->sent;
		r->untold = 0;
		for (uint32_t i = 0; i < profile_sample_count(r->p); i++)
			r->left_out += (uint64_t)request_weight(r, profile_sample(r->p, i));
	}
	r->encoder->stop(r);
	forget_body(r);
	r->p = NULL;
}

void requests_free(struct requests *r)
{
	if (!r)
		return;
	stop(r);
	if (r->encoder->gone)
		r->encoder->gone(r);
	mem_free(r);
}

int requests_put(struct requests *r, const struct profile *p)
{
	stop(r);
	r->p = p;
	r->sent = r->left_out = r->untold = 0;
	r->result = r->encoder->start(r);
	if (r->result < 0) {
		stop(r);
		return r->result;
	}
	r->result = 1;
	return 0;
}

int requests_step(struct requests *r, uint64_t budget_ns)
{
	struct slice slice = slice_begin(budget_ns);
	if (r->result == 1)
		r->result = r->encoder->step(r, &slice);
	if (r->result != 1)
		stop(r);
	return r->result;
}

uint64_t requests_left_out(const struct requests *r)
{
	return r->left_out;
}

uint64_t requests_untold(const struct requests *r)
{
	return r->untold;
}
