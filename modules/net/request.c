// SPDX-License-Identifier: Apache-2.0
// RFC 9112 (messages), RFC 3986 (URLs).
#include "request.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

enum part { PART_URL, PART_NAME, PART_VALUE };

static int refuse(struct request *r, int status, const char *why)
{
	r->status = status;
	r->why = why;
	return -1;
}

static bool is_space(char c)
{
	return c == ' ' || c == '\t';
}

// The parser lets a NUL pass at a value's start; in `raw` it would make one string two.
static int add(struct request *r, enum part part, const char *at, size_t n)
{
	if (memchr(at, 0, n))
		return refuse(r, 400, "NUL in a header");
	if (part != r->part) {
		while (r->part == PART_VALUE && is_space(r->raw.at[r->raw.len - 1]))
			r->raw.len--;
		text_add(&r->raw, "", 1);
		r->part = part;
		r->headers += part == PART_NAME;
	}
	return text_add(&r->raw, at, n) ? refuse(r, 503, "no memory for the request") : 0;
}

static int on_url(http_parser *p, const char *at, size_t n)
{
	return add(p->data, PART_URL, at, n);
}

static int on_name(http_parser *p, const char *at, size_t n)
{
	return add(p->data, PART_NAME, at, n);
}

static int on_value(http_parser *p, const char *at, size_t n)
{
	return add(p->data, PART_VALUE, at, n);
}

static int on_headers(http_parser *p)
{
	struct request *r = p->data;
	add(r, PART_NAME, "", 0); // ends the last value
	r->headers--;
	if (p->http_major != 1 || p->http_minor > 1)
		return refuse(r, 505, "only HTTP/1.0 and HTTP/1.1 are spoken");
	if (p->method != HTTP_GET && p->method != HTTP_HEAD)
		return refuse(r, 405, "only GET and HEAD are answered");
	if (request_header(r, "transfer-encoding") ||
	    ((p->flags & F_CONTENTLENGTH) && p->content_length))
		return refuse(r, 413, "a request may not carry a body");
	return r->status ? -1 : 0;
}

static int hex(char c)
{
	return c >= '0' && c <= '9'		    ? c - '0'
	       : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10
						    : -1;
}

// Adds S decoded to `decoded`. Control characters never belong into a path or a parameter here.
static int decode(struct request *r, const char *s, size_t n, bool plus_is_space)
{
	for (size_t i = 0; i < n; i++) {
		int c = (unsigned char)s[i];
		if (c == '%') {
			int high = n - i > 2 ? hex(s[i + 1]) : -1;
			int low = high < 0 ? -1 : hex(s[i + 2]);
			if (low < 0)
				return refuse(r, 400, "bad percent-encoding in the URL");
			c = high * 16 + low;
			i += 2;
		} else if (c == '+' && plus_is_space) {
			c = ' ';
		}
		if (c < 0x20 || c == 0x7f)
			return refuse(r, 400, "control character in the URL");
		text_add(&r->decoded, &(char){(char)c}, 1);
	}
	return text_add(&r->decoded, "", 1) ? refuse(r, 503, "no memory for the request") : 0;
}

// Removes empty, "." and ".." segments of the path in place. The NUL that ends it moves with it.
static int normalise(struct request *r)
{
	char *path = r->decoded.at;
	size_t out = 0;
	for (char *s = path, *next; *s; s = next) {
		char *end = strchrnul(++s, '/');
		size_t n = (size_t)(end - s);
		next = end;
		bool up = n == 2 && s[0] == '.' && s[1] == '.';
		if (up && !out)
			return refuse(r, 400, "the path leaves the root");
		if (up)
			while (path[--out] != '/')
				;
		if (n && !up && !(n == 1 && s[0] == '.')) {
			path[out++] = '/';
			memmove(path + out, s, n);
			out += n;
		} else if (!*end) {
			path[out++] = '/'; // "/a/", "/a/." and "/a/b/.." name the folder
		}
	}
	path[out] = 0;
	r->decoded.len = out + 1;
	return 0;
}

static int decode_query(struct request *r, const char *s, size_t n)
{
	for (const char *end = s + n; s < end;) {
		const char *stop = memchr(s, '&', (size_t)(end - s));
		stop = stop ? stop : end;
		const char *equal = memchr(s, '=', (size_t)(stop - s));
		const char *value = equal ? equal + 1 : stop;
		if (stop > s) {
			if (decode(r, s, (size_t)((equal ? equal : stop) - s), true) ||
			    decode(r, value, (size_t)(stop - value), true))
				return -1;
			r->parameters++;
		}
		s = stop + 1;
	}
	return 0;
}

// The host decides whether a browser was led here by a forged name, so there must be exactly one;
// that of an absolute URL goes before the header (RFC 9112 3.2.2).
static int find_host(struct request *r, const struct http_parser_url *u)
{
	const char *s = r->raw.at;
	unsigned hosts = 0;
	for (uint32_t i = 0; i < 2 * r->headers; i++) {
		s += strlen(s) + 1;
		hosts += i % 2 == 0 && strcasecmp(s, "host") == 0;
	}
	if (hosts > 1 || (!hosts && r->parser.http_minor == 1))
		return refuse(r, 400, "a request needs one Host header");
	if (!(u->field_set & 1 << UF_HOST))
		return 0;
	r->host = (uint32_t)r->decoded.len;
	text_add(&r->decoded, r->raw.at + u->field_data[UF_HOST].off, u->field_data[UF_HOST].len);
	return text_add(&r->decoded, "", 1) ? refuse(r, 503, "no memory for the request") : 0;
}

static int understand(struct request *r)
{
	struct http_parser_url u;
	http_parser_url_init(&u);
	const char *url = r->raw.at ? r->raw.at : "";
	if (http_parser_parse_url(url, strlen(url), 0, &u) || u.field_set & 1 << UF_USERINFO)
		return refuse(r, 400, "bad URL");
	const char *path = u.field_set & 1 << UF_PATH ? url + u.field_data[UF_PATH].off : "/";
	size_t n = u.field_set & 1 << UF_PATH ? u.field_data[UF_PATH].len : 1;
	if (*path != '/')
		return refuse(r, 400, "the path must start with /");
	if (decode(r, path, n, false) || normalise(r))
		return -1;
	if (u.field_set & 1 << UF_QUERY &&
	    decode_query(r, url + u.field_data[UF_QUERY].off, u.field_data[UF_QUERY].len))
		return -1;
	return find_host(r, &u);
}

static int on_complete(http_parser *p)
{
	struct request *r = p->data;
	if (understand(r) == 0)
		r->status = 200;
	http_parser_pause(p, 1); // what follows is the next request's
	return 0;
}

static const http_parser_settings settings = {
    .on_url = on_url,
    .on_header_field = on_name,
    .on_header_value = on_value,
    .on_headers_complete = on_headers,
    .on_message_complete = on_complete,
};

void request_init(struct request *r, size_t bytes_max)
{
	*r = (struct request){
	    .bytes_max = bytes_max, .raw = TEXT(ACCOUNT_NET), .decoded = TEXT(ACCOUNT_NET)};
	http_parser_init(&r->parser, HTTP_REQUEST);
	r->parser.data = r;
}

void request_reset(struct request *r)
{
	text_free(&r->raw);
	text_free(&r->decoded);
	request_init(r, r->bytes_max);
}

size_t request_feed(struct request *r, const char *bytes, size_t n)
{
	size_t room = r->bytes_max - r->bytes;
	if (!n || r->status)
		return 0;
	size_t used = http_parser_execute(&r->parser, &settings, bytes, n < room ? n : room);
	r->bytes += used;
	enum http_errno error = HTTP_PARSER_ERRNO(&r->parser);
	if (r->status)
		return used;
	if (error == HPE_HEADER_OVERFLOW || (error == HPE_OK && r->bytes >= r->bytes_max))
		refuse(r, 431, "the request's headers are too large");
	else if (error != HPE_OK)
		refuse(r, 400, http_errno_description(error));
	return used;
}

bool request_is_head(const struct request *r)
{
	return r->parser.method == HTTP_HEAD;
}

// The string after the COUNT pairs' key that SAME finds equal to KEY.
static const char *pair(
    const char *s, uint32_t count, const char *key, int (*same)(const char *, const char *))
{
	for (s += strlen(s) + 1; count--; s += strlen(s) + 1) {
		const char *value = s + strlen(s) + 1;
		if (same(s, key) == 0)
			return value;
		s = value;
	}
	return NULL;
}

const char *request_header(const struct request *r, const char *name)
{
	if (r->host && strcasecmp(name, "host") == 0)
		return r->decoded.at + r->host;
	return r->headers ? pair(r->raw.at, r->headers, name, strcasecmp) : NULL;
}

const char *request_parameter(const struct request *r, const char *key)
{
	return r->parameters ? pair(r->decoded.at, r->parameters, key, strcmp) : NULL;
}

const char *request_parameter_key(const struct request *r, uint32_t index)
{
	if (index >= r->parameters)
		return NULL;
	const char *s = r->decoded.at + strlen(r->decoded.at) + 1;
	for (; index--; s += strlen(s) + 1)
		s += strlen(s) + 1;
	return s;
}
