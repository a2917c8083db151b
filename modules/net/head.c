// SPDX-License-Identifier: Apache-2.0
// The head of a request (RFC 9112, 3) out of the URL and the headers that the user gave.
#include "client.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define HEADERS_MAX 64
#define HEADERS_BYTES_MAX (32u << 10)

// RFC 9110, 5.6.2: what a header's name is made of.
static bool is_token(char c)
{
	return (c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'z') ||
	       (c && strchr("!#$%&'*+-.^_`|~", c));
}

static bool is_named(const char *line, size_t n, const char *name)
{
	return n == strlen(name) && strncasecmp(line, name, n) == 0;
}

static bool is_ours(const char *line, size_t n)
{
	static const char *const names[] = {"connection", "content-encoding", "content-length",
	    "content-type", "expect", "host", "keep-alive", "te", "trailer", "transfer-encoding",
	    "upgrade"};
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		if (is_named(line, n, names[i]))
			return true;
	return false;
}

// LINE's name is N long. NULL, or what is wrong with it.
static const char *wrong(const char *line, size_t n)
{
	if (!n || line[n] != ':')
		return "it is not written \"Name: value\"";
	for (const char *c = line + n; *c; c++)
		if (*c == '\r' || *c == '\n')
			return "its value has a line break in it: is there one at the end of its "
			       "file?";
		else if (((unsigned char)*c < ' ' && *c != '\t') || *c == 0x7f)
			return "its value has a control character in it";
	return is_ours(line, n) ? "it is made from the request itself: leave it out" : NULL;
}

static void add(struct http_client *c, const char *name, size_t n, const char *value)
{
	text_printf(&c->headers, "%.*s: %s\r\n", (int)n, name, value);
}

static int copy(struct http_client *c, const char *const *headers, bool *authorized, bool *named,
    char *why, size_t why_size)
{
	for (unsigned i = 0; headers && headers[i]; i++) {
		size_t n = 0;
		while (is_token(headers[i][n]))
			n++;
		const char *value = headers[i] + n + (headers[i][n] == ':');
		const char *what = wrong(headers[i], n);
		if (!what &&
		    (i >= HEADERS_MAX || c->headers.len + strlen(value) > HEADERS_BYTES_MAX))
			what = "there are too many headers, or they are too long";
		if (what) {
			// What is no name may be a secret: it is not shown.
			bool show = headers[i][n] == ':' && n < 64;
			snprintf(why, why_size, "header %u%s%.*s%s: %s", i + 1, show ? " (" : "",
			    show ? (int)n : 0, headers[i], show ? ")" : "", what);
			return -EINVAL;
		}
		*authorized |= is_named(headers[i], n, "authorization");
		*named |= is_named(headers[i], n, "user-agent");
		add(c, headers[i], n, value + strspn(value, " \t"));
	}
	return 0;
}

// gRPC takes the lines as they were given.
static int split(struct http_client *c)
{
	size_t count = 0, i = 0;
	for (const char *s = c->headers.at; s && *s; s = strchr(s, '\n') + 1)
		count++;
	c->lines = mem_alloc(ACCOUNT_NET, (count + 1) * sizeof(*c->lines));
	if (!c->lines)
		return -ENOMEM;
	for (char *s = c->headers.at, *end; i < count; s = end + 2) {
		end = strchr(s, '\r');
		*end = 0;
		c->lines[i++] = s;
	}
	return 0;
}

int client_headers(struct http_client *c, const char *const *headers, const char *user_agent,
    char *why, size_t why_size)
{
	bool authorized = false, named = false;
	int error = copy(c, headers, &authorized, &named, why, why_size);
	if (error)
		return error;
	if (c->to.basic && !authorized)
		add(c, "Authorization", strlen("Authorization"), c->to.basic);
	if (c->proxied && c->proxy.basic && !c->to.tls && !c->grpc_wanted)
		add(c, "Proxy-Authorization", strlen("Proxy-Authorization"), c->proxy.basic);
	if (user_agent && *user_agent && !named && !c->grpc_wanted)
		add(c, "User-Agent", strlen("User-Agent"), user_agent);
	if (c->headers.error || (c->grpc_wanted && split(c))) {
		snprintf(why, why_size, "%s: no memory", c->to.where);
		return -ENOMEM;
	}
	return 0;
}

int client_head(struct http_client *c)
{
	const struct http_post *p = &c->post;
	// A proxy that gets the request itself is told the whole URL (RFC 9112, 3.2.2).
	bool absolute = c->proxied && !c->to.tls;
	text_reset(&c->head);
	text_printf(&c->head, "POST %s%s%s HTTP/1.1\r\nHost: %s\r\n%s", absolute ? "http://" : "",
	    absolute ? c->to.authority : "", c->to.path, c->to.authority,
	    c->headers.at ? c->headers.at : "");
	if (p->content_type)
		text_printf(&c->head, "Content-Type: %s\r\n", p->content_type);
	if (p->content_encoding)
		text_printf(&c->head, "Content-Encoding: %s\r\n", p->content_encoding);
	return text_printf(&c->head, "Content-Length: %llu\r\n\r\n", (unsigned long long)p->size);
}
