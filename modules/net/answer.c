// SPDX-License-Identifier: Apache-2.0
// RFC 9112 (messages).
#include "answer.h"
#include "net.h"

#include <errno.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#define HEAD_MAX (32u << 10)
#define BODY_MAX (4u << 20) // is read, to keep the connection; beyond, it is closed
#define DAY_NS (86400 * NS_PER_S)

static int refuse(struct answer *a, const char *why)
{
	if (!a->why)
		a->why = why;
	return -1;
}

uint64_t answer_retry_after(const char *value, uint64_t now_ns)
{
	// RFC 9110, 5.6.7: the form that is sent and the two old ones.
	static const char *const formats[] = {
	    "%a, %d %b %Y %H:%M:%S GMT", "%A, %d-%b-%y %H:%M:%S GMT", "%a %b %d %H:%M:%S %Y"};
	uint64_t seconds;
	size_t n = strlen(value), digits = strspn(value, "0123456789");
	if (n && digits == n)
		return text_number(value, n, 10, &seconds) || seconds > DAY_NS / NS_PER_S
			   ? DAY_NS
			   : seconds * NS_PER_S;
	for (size_t i = 0; i < sizeof(formats) / sizeof(*formats); i++) {
		struct tm tm = {0};
		const char *end = strptime(value, formats[i], &tm);
		if (!end || *end)
			continue;
		int64_t then = timegm(&tm), now = (int64_t)(now_ns / NS_PER_S);
		if (then <= now)
			return 0;
		return (uint64_t)(then - now) > DAY_NS / NS_PER_S
			   ? DAY_NS
			   : (uint64_t)then * NS_PER_S - now_ns;
	}
	return 0;
}

static int on_begin(http_parser *p)
{
	struct answer *a = p->data;
	a->name[0] = a->value[0] = 0;
	a->in_value = false;
	a->retry_after_ns = 0;
	return 0;
}

// Of a header that is longer than what is looked for, the beginning is kept: it equals nothing. The
// parser lets a NUL pass at a value's start.
static int append(struct answer *a, char *to, size_t size, const char *at, size_t n)
{
	size_t have = strlen(to);
	if (memchr(at, 0, n))
		return refuse(a, "NUL in a header of its answer");
	if (n > size - 1 - have)
		n = size - 1 - have;
	memcpy(to + have, at, n);
	to[have + n] = 0;
	return 0;
}

static void header_ends(struct answer *a)
{
	size_t n = strlen(a->value);
	while (n && (a->value[n - 1] == ' ' || a->value[n - 1] == '\t'))
		a->value[--n] = 0;
	if (strcasecmp(a->name, "retry-after") == 0)
		a->retry_after_ns = answer_retry_after(a->value, clock_wall());
	a->name[0] = a->value[0] = 0;
	a->in_value = false;
}

static int on_name(http_parser *p, const char *at, size_t n)
{
	struct answer *a = p->data;
	if (a->headed) // behind a chunked body: nothing that is looked for
		return 0;
	if (a->in_value)
		header_ends(a);
	return append(a, a->name, sizeof(a->name), at, n);
}

static int on_value(http_parser *p, const char *at, size_t n)
{
	struct answer *a = p->data;
	if (a->headed)
		return 0;
	a->in_value = true;
	return append(a, a->value, sizeof(a->value), at, n);
}

static int on_headers(http_parser *p)
{
	struct answer *a = p->data;
	header_ends(a);
	if (p->http_major != 1 || p->http_minor > 1)
		return refuse(a, "it speaks another version of HTTP than 1.1");
	if (p->status_code == 101)
		return refuse(a, "it changes to another protocol (101)");
	if (p->status_code < 200)
		return 0;
	a->status = (int)p->status_code;
	a->headed = true;
	if (a->connect && a->status < 300)
		return 2; // neither a body nor another message follows
	return a->status == 204 || a->status == 304; // 1: no body, whatever its length (6.3)
}

static int on_body(http_parser *p, const char *at, size_t n)
{
	struct answer *a = p->data;
	a->body_bytes += n;
	size_t room = HTTP_ANSWER_MAX - a->body.len;
	// Without memory the status is told all the same.
	text_add(&a->body, at, n < room ? n : room);
	return 0;
}

static int on_complete(http_parser *p)
{
	struct answer *a = p->data;
	if (!a->headed)
		return 0; // a 1xx; the parser goes on to what follows
	a->done = true;
	a->keep = http_should_keep_alive(p);
	http_parser_pause(p, 1);
	return 0;
}

static const http_parser_settings settings = {
    .on_message_begin = on_begin,
    .on_header_field = on_name,
    .on_header_value = on_value,
    .on_headers_complete = on_headers,
    .on_body = on_body,
    .on_message_complete = on_complete,
};

void answer_init(struct answer *a, bool connect)
{
	*a = (struct answer){.connect = connect, .body = TEXT(ACCOUNT_NET)};
	http_parser_init(&a->parser, HTTP_RESPONSE);
	a->parser.data = a;
}

void answer_reset(struct answer *a)
{
	text_free(&a->body);
	answer_init(a, a->connect);
}

int64_t answer_feed(struct answer *a, const char *bytes, size_t n)
{
	if (a->done || a->why || !n)
		return 0;
	size_t used = 0;
	enum http_errno error;
	do { // at most twice: up to the bound of the head, and where it ended before, the rest
		bool headed = a->headed;
		size_t rest = n - used, room = HEAD_MAX - a->head_bytes;
		size_t got = http_parser_execute(
		    &a->parser, &settings, bytes + used, headed || rest < room ? rest : room);
		used += got;
		a->head_bytes += headed ? 0 : got;
		error = HTTP_PARSER_ERRNO(&a->parser);
	} while (error == HPE_OK && a->headed && used < n);
	if (a->done)
		return (int64_t)used;
	if (error == HPE_HEADER_OVERFLOW ||
	    (error == HPE_OK && !a->headed && a->head_bytes >= HEAD_MAX))
		refuse(a, "the head of its answer does not end within 32 KiB");
	else if (error != HPE_OK)
		refuse(a, "its answer is no HTTP/1.1");
	if (a->why)
		return -EPROTO;
	if (a->body_bytes <= BODY_MAX)
		return (int64_t)used;
	a->done = true;
	return (int64_t)n;
}

int answer_end(struct answer *a)
{
	if (!a->done)
		http_parser_execute(&a->parser, &settings, NULL, 0);
	a->keep = false;
	if (!a->done)
		text_free(&a->body); // half a body would be read as a whole one
	return a->done ? 0 : -ECONNRESET;
}
