// SPDX-License-Identifier: Apache-2.0
// What an answer means, by the OTLP specification 1.11 ("OTLP/HTTP Response", "Failures");
// Pyroscope and Parca mean the same by these codes.
#include "private.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define BACKOFF_MIN_NS NS_PER_S
#define BACKOFF_MAX_NS (60 * NS_PER_S)
#define RETRY_AFTER_MAX_NS (3600 * NS_PER_S)

enum { // google.rpc.Code
	CANCELLED = 1,
	DEADLINE_EXCEEDED = 4,
	RESOURCE_EXHAUSTED = 8,
	ABORTED = 10,
	OUT_OF_RANGE = 11,
	UNAVAILABLE = 14,
	DATA_LOSS = 15,
};

static enum verdict judge_grpc(const struct http_result *r)
{
	switch (r->grpc_status) {
	case 0:
		return VERDICT_SENT;
	case CANCELLED:
	case DEADLINE_EXCEEDED:
	case ABORTED:
	case OUT_OF_RANGE:
	case UNAVAILABLE:
	case DATA_LOSS:
		return VERDICT_AGAIN;
	case RESOURCE_EXHAUSTED: // only where it says when; else the request is too large
		return r->retry_after_ns ? VERDICT_AGAIN : VERDICT_TOO_LARGE;
	default:
		return VERDICT_REFUSED;
	}
}

// What stands between, a login or a page of errors, answers 200 too. No message of protobuf and no
// JSON begins so.
bool answer_is_page(const struct http_result *r)
{
	const char *at = r->body;
	size_t n = at ? r->size : 0;
	for (; n && strchr(" \t\r\n", *at) && *at; n--)
		at++;
	return n && *at == '<';
}

// Pyroscope says so while it starts or ends, in the JSON of Connect, under the status 500.
static bool is_unavailable(const struct http_result *r)
{
	static const char words[] = "code = Unavailable";
	return r->body && memmem(r->body, r->size, words, sizeof(words) - 1);
}

enum verdict answer_judge(enum requests_kind kind, bool grpc, const struct http_result *r)
{
	if (r->error)
		return VERDICT_AGAIN;
	if (grpc && r->grpc_status >= 0)
		return judge_grpc(r);
	switch (r->status) {
	case 429:
	case 502:
	case 503:
	case 504:
		return VERDICT_AGAIN;
	case 413:
		return VERDICT_TOO_LARGE;
	case 500:
		return kind == REQUESTS_PYROSCOPE && is_unavailable(r) ? VERDICT_AGAIN
								       : VERDICT_REFUSED;
	default:
		return !grpc && r->status >= 200 && r->status < 300 && !answer_is_page(r)
			   ? VERDICT_SENT
			   : VERDICT_REFUSED;
	}
}

static void copy_line(char *text, size_t size, const void *bytes, size_t n)
{
	size_t at = 0;
	bool utf8 = text_utf8_valid(bytes, n);
	for (size_t i = 0; i < n && at + 1 < size; i++) {
		unsigned char b = ((const unsigned char *)bytes)[i];
		text[at++] = b < 32 || b == 127 || (b > 127 && !utf8) ? ' ' : (char)b;
	}
	while (utf8 && !text_utf8_valid(text, at))
		at--; // no half of a letter at its end
	while (at && text[at - 1] == ' ')
		at--;
	text[at] = 0;
}

static bool is_otlp(enum requests_kind kind)
{
	return kind == REQUESTS_OTLP || kind == REQUESTS_LOGS || kind == REQUESTS_METRICS;
}

// The field NUMBER of the message IN that is bytes: false where there is none, or it is no message.
static bool bytes_field(struct wire_in in, uint32_t number, struct wire_in *bytes)
{
	struct wire_field f;
	bool found = false;
	int more;
	while ((more = wire_next(&in, &f)) == 1) {
		if (f.number != number || f.type != 2)
			continue;
		*bytes = f.bytes;
		found = true;
	}
	return found && more == 0;
}

static struct wire_in body_of(const struct http_result *r)
{
	const uint8_t *at = r->body;
	return (struct wire_in){at, at ? at + r->size : at};
}

// OTLP: google.rpc.Status {1 code, 2 message, 3 details}; others: text, or JSON.
void answer_text(enum requests_kind kind, const struct http_result *r, char *text, size_t size)
{
	struct wire_in message = body_of(r);
	if (is_otlp(kind))
		bytes_field(body_of(r), 2, &message);
	copy_line(text, size, message.at, (size_t)(message.end - message.at));
	if (!*text && r->why &&
	    (r->error || r->grpc_status > 0)) // else it is the status, once more
		copy_line(text, size, r->why, strlen(r->why));
}

// Export*ServiceResponse {1 partial_success {1 rejected, 2 error_message}}. It counts profiles,
// records or points, not the samples in them, and does not say which: all of the request count.
uint64_t answer_rejected(
    enum requests_kind kind, const struct http_result *r, uint64_t samples, char *text, size_t size)
{
	struct wire_in partial = {NULL}, message = {NULL}, in;
	struct wire_field f;
	uint64_t rejected = 0;
	*text = 0;
	if (!is_otlp(kind) || !bytes_field(body_of(r), 1, &partial))
		return 0;
	in = partial;
	while (wire_next(&in, &f) == 1)
		if (f.number == 1 && f.type == 0)
			rejected = f.value;
	if ((int64_t)rejected < 0)
		rejected = 0;
	if (bytes_field(partial, 2, &message))
		copy_line(text, size, message.at, (size_t)(message.end - message.at));
	if (rejected && !*text)
		snprintf(text, size, "it does not say why");
	return rejected ? samples : 0;
}

uint64_t answer_backoff(uint32_t n, uint64_t retry_after_ns, uint64_t random)
{
	uint64_t wait = BACKOFF_MIN_NS;
	if (retry_after_ns) { // never before, and not all agents at once
		wait = retry_after_ns < RETRY_AFTER_MAX_NS ? retry_after_ns : RETRY_AFTER_MAX_NS;
		return wait + random % (wait / 10 + 1);
	}
	while (n-- > 1 && wait < BACKOFF_MAX_NS)
		wait *= 2;
	if (wait > BACKOFF_MAX_NS)
		wait = BACKOFF_MAX_NS;
	return wait / 2 + random % wait;
}
