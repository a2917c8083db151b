// SPDX-License-Identifier: Apache-2.0
// DONE is called at the very end of what the loop called: it may post the next request or free the
// client.
#include "client.h"
#include "grpc.h"

#include "../loop/loop.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define TIMEOUT_NS (10 * NS_PER_S)

static void drop_connection(struct http_client *c)
{
	transport_close(c->transport);
	grpc_free(c->grpc);
	c->grpc = NULL;
	c->kept = c->begun = false;
	c->left = 0;
}

// RESULT's body may lie in c->answer.
static void finish(struct http_client *c, const struct http_result *result)
{
	struct http_post post = c->post;
	struct text body = c->answer.body;
	c->answer.body = TEXT(ACCOUNT_NET);
	timer_free(c->timer);
	c->timer = NULL;
	c->busy = c->begun = false;
	text_free(&c->head);
	if (!c->grpc) {
		mem_free(c->buffer);
		c->buffer = NULL;
	}
	post.done(post.arg, result);
	text_free(&body);
}

void client_fail(struct http_client *c, int error, const char *why)
{
	struct http_result result = {
	    .error = error, .reached = c->reached, .grpc_status = -1, .why = why};
	drop_connection(c);
	finish(c, &result);
}

// The way out for what HTTP answers; NULL: its own name says all.
static const char *advice(int status)
{
	switch (status) {
	case 401:
	case 403:
		return "are the credentials in its URL or headers right?";
	case 404:
	case 405:
		return "is the path of its URL right?";
	case 407:
		return "are user:password@ in the proxy's URL right?";
	case 413:
		return "it does not take requests of this size";
	case 415:
		return "it does not take this format or compression";
	default:
		return status >= 300 && status < 400 ? "it leads elsewhere, which is not followed: "
						       "give the URL that it leads to"
						     : NULL;
	}
}

static void explain(const struct http_client *c, int status, char *why, size_t why_size)
{
	const char *name = http_status_str((enum http_status)status), *way = advice(status);
	if (status >= 200 && status < 300)
		*why = 0;
	else
		snprintf(why, why_size, "send to %s: it answered %d%s%s%s%s", c->to.where, status,
		    *name == '<' ? "" : " ", *name == '<' ? "" : name, way ? ": " : "",
		    way ? way : "");
}

static void answered_grpc(
    struct http_client *c, struct http_result *result, char *why, size_t why_size)
{
	*why = 0;
	grpc_done(c->grpc, result);
	if (result->why && *result->why)
		snprintf(why, why_size, "send to %s: %s", c->to.where, result->why);
}

void client_answered(struct http_client *c, bool keep)
{
	char why[1024];
	struct answer *a = &c->answer;
	struct http_result result = {.grpc_status = -1, .reached = c->reached};
	struct grpc_call *grpc = c->grpc; // holds the result's body
	if (grpc) {
		answered_grpc(c, &result, why, sizeof(why));
		keep = keep && grpc_usable(grpc);
	} else {
		if (!a->done)
			text_free(&a->body); // half a body would be read as a whole one
		result.status = a->status;
		result.retry_after_ns = a->retry_after_ns;
		result.body = a->body.at;
		result.size = a->body.error ? 0 : a->body.len;
		keep = keep && a->keep;
		explain(c, a->status, why, sizeof(why));
	}
	result.why = why;
	if (keep) {
		c->kept = true;
		c->begun = false;
		// A session of gRPC may have something to say to what came last.
		transport_wait(c->transport, LOOP_READ | (grpc ? LOOP_WRITE : 0), false);
		finish(c, &result);
		return;
	}
	c->grpc = NULL;
	drop_connection(c);
	finish(c, &result);
	grpc_free(grpc);
}

void client_again(struct http_client *c)
{
	drop_connection(c);
	uint64_t now = clock_now(), left = c->deadline > now ? c->deadline - now : 0;
	int error = transport_open(c->transport, left);
	if (error)
		client_fail(c, error, c->transport->why);
}

static void on_timeout(void *arg)
{
	struct http_client *c = arg;
	char why[sizeof(c->transport->why)];
	if (c->begun && !c->grpc && c->answer.headed) {
		client_answered(c, false);
		return;
	}
	transport_late(c->transport);
	text_copy(why, sizeof(why), c->transport->why);
	client_fail(c, -ETIMEDOUT, why);
}

static void on_event(void *arg)
{
	struct http_client *c = arg;
	char why[sizeof(c->transport->why)];
	if (c->transport->stage == CLOSED) {
		text_copy(why, sizeof(why), c->transport->why);
		client_fail(c, c->transport->error, why);
		return;
	}
	if (!c->begun && c->kept && !client_idle(c)) {
		// Nothing was sent: to open another connection costs no attempt.
		if (c->busy)
			client_again(c);
		else
			drop_connection(c);
		return;
	}
	if (!c->busy)
		return;
	int error = c->begun ? 0 : client_begin(c);
	if (error) {
		snprintf(why, sizeof(why), "send to %s: %s", c->to.where,
		    error == -ENOMEM ? "no memory" : strerror(-error));
		client_fail(c, error, why);
		return;
	}
	client_exchange(c);
}

int http_client_post(struct http_client *c, const struct http_post *post)
{
	if (c->busy)
		return -EBUSY;
	c->timer = loop_timer(c->loop, c->timeout_ns, 0, on_timeout, c);
	if (!c->timer)
		return -ENOMEM;
	c->deadline = clock_now() + c->timeout_ns;
	c->post = *post;
	c->busy = true;
	c->begun = c->reached = false;
	if (c->transport->stage == OPEN) {
		transport_wait(c->transport, LOOP_READ | LOOP_WRITE, false);
		return 0;
	}
	int error = transport_open(c->transport, c->timeout_ns);
	if (!error)
		return 0;
	timer_free(c->timer);
	c->timer = NULL;
	c->busy = false;
	return error;
}

static int copy(char **to, const char *from)
{
	*to = from && *from ? mem_strdup(ACCOUNT_NET, from) : NULL;
	return from && *from && !*to ? -ENOMEM : 0;
}

// What is read, but for files and names.
static int configure(
    struct http_client *c, const struct http_client_options *o, char *why, size_t why_size)
{
	int error = url_parse(&c->to, "url", o->url, why, why_size);
	if (error)
		return error;
	int proxied = proxy_choose(&c->proxy, o->proxy, &c->to, why, why_size);
	if (proxied < 0)
		return proxied;
	c->proxied = proxied == 1;
	error = client_headers(c, o->headers, o->user_agent, why, why_size);
	if (error)
		return error;
	if (copy(&c->user_agent, o->user_agent) || copy(&c->ca_file, o->tls.ca_file) ||
	    copy(&c->cert_file, o->tls.cert_file) || copy(&c->key_file, o->tls.key_file) ||
	    copy(&c->server_name, o->tls.server_name))
		return -ENOMEM;
	if (!c->to.tls)
		return 0;
	struct http_tls tls = {
	    c->ca_file, c->cert_file, c->key_file, c->server_name, o->tls.insecure};
	c->tls = tls_context_new(&tls, o->grpc, why, why_size);
	return c->tls ? 0 : errno ? -errno : -EIO;
}

struct http_client *http_client_new(
    struct loop *loop, const struct http_client_options *options, char *why, size_t why_size)
{
	int error = ENOMEM;
	snprintf(why, why_size, "no memory for the client of a receiver");
	struct http_client *c = mem_alloc(ACCOUNT_NET, sizeof(*c));
	if (!c)
		goto fail;
	*c = (struct http_client){.loop = loop,
	    .headers = TEXT(ACCOUNT_NET),
	    .head = TEXT(ACCOUNT_NET),
	    .timeout_ns = options->timeout_ns ? options->timeout_ns : TIMEOUT_NS,
	    .grpc_wanted = options->grpc};
	answer_init(&c->answer, false);
	error = -configure(c, options, why, why_size);
	if (error)
		goto fail;
	c->transport = transport_new(&(struct transport_options){.loop = loop,
	    .to = &c->to,
	    .proxy = c->proxied ? &c->proxy : NULL,
	    .tunnel = c->proxied && (c->to.tls || c->grpc_wanted),
	    .tls = c->tls,
	    .tls_host = c->server_name ? c->server_name : c->to.host,
	    .user_agent = c->user_agent,
	    .event = on_event,
	    .arg = c});
	if (!c->transport) {
		error = errno;
		goto fail;
	}
	return c;
fail:
	http_client_free(c);
	errno = error;
	return NULL;
}

void http_client_free(struct http_client *c)
{
	if (!c)
		return;
	transport_free(c->transport);
	grpc_free(c->grpc);
	tls_context_free(c->tls);
	timer_free(c->timer);
	answer_reset(&c->answer);
	text_free(&c->headers);
	text_free(&c->head);
	mem_free(c->lines);
	mem_free(c->buffer);
	mem_free(c->user_agent);
	mem_free(c->ca_file);
	mem_free(c->cert_file);
	mem_free(c->key_file);
	mem_free(c->server_name);
	url_free(&c->to);
	url_free(&c->proxy);
	mem_free(c);
}
