// SPDX-License-Identifier: Apache-2.0
#include "url.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define URL_MAX 4096
#define USERINFO_MAX 1024

static int refuse(const char *what, const char *shown, const char *reason, char *why, size_t size)
{
	snprintf(why, size, "%s %s: %s", what, shown, reason);
	return -EINVAL;
}

static int hex(char c)
{
	return c >= '0' && c <= '9'		    ? c - '0'
	       : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10
						    : -1;
}

// Percent-decodes S[0..N) into TO, which has room for N: how many bytes, or -EINVAL.
static int64_t decode(unsigned char *to, const char *s, size_t n)
{
	size_t at = 0;
	for (size_t i = 0; i < n; i++) {
		int high = s[i] == '%' && n - i > 2 ? hex(s[i + 1]) : -1;
		int low = high < 0 ? -1 : hex(s[i + 2]);
		if (s[i] == '%' && low < 0)
			return -EINVAL;
		to[at++] = (unsigned char)(s[i] == '%' ? high * 16 + low : s[i]);
		i += s[i] == '%' ? 2 : 0;
	}
	return (int64_t)at;
}

// RFC 7617, over RFC 4648's base64.
static char *basic(const unsigned char *bytes, size_t n)
{
	static const char digits[] =
	    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	char *to = mem_alloc(ACCOUNT_NET, sizeof("Basic ") + (n + 2) / 3 * 4);
	if (!to)
		return NULL;
	char *c = to + text_copy(to, sizeof("Basic "), "Basic ");
	for (size_t i = 0; i < n; i += 3) {
		uint32_t three = (uint32_t)bytes[i] << 16 |
				 (i + 1 < n ? (uint32_t)bytes[i + 1] << 8 : 0) |
				 (i + 2 < n ? bytes[i + 2] : 0);
		*c++ = digits[three >> 18];
		*c++ = digits[three >> 12 & 63];
		*c++ = i + 1 < n ? digits[three >> 6 & 63] : '=';
		*c++ = i + 2 < n ? digits[three & 63] : '=';
	}
	return to; // mem_alloc zeroed the rest
}

static int take_userinfo(struct url *u, const char *s, size_t n)
{
	unsigned char bytes[USERINFO_MAX];
	if (n > sizeof(bytes))
		return -EINVAL;
	int64_t size = decode(bytes, s, n);
	if (size < 0)
		return -EINVAL;
	// A user without a password still has the colon.
	if (!memchr(s, ':', n)) {
		if ((size_t)size == sizeof(bytes))
			return -EINVAL;
		bytes[size++] = ':';
	}
	u->basic = basic(bytes, (size_t)size);
	return u->basic ? 0 : -ENOMEM;
}

static bool is_name(const char *s)
{
	size_t label = 0;
	for (; *s; s++) {
		if (*s == '.' ? !label
			      : !((*s >= '0' && *s <= '9') || *s == '-' || *s == '_' ||
				    ((*s | 32) >= 'a' && (*s | 32) <= 'z')))
			return false;
		label = *s == '.' ? 0 : label + 1;
		if (label > 63)
			return false;
	}
	return true;
}

// "host", "host:80", "[::1]", "[::1]:80". NULL, or what is wrong with it.
static const char *take_host(struct url *u, const char *s, size_t n)
{
	const char *end = s + n, *colon, *host = s;
	bool brackets = n && *s == '[';
	if (brackets) {
		const char *close = memchr(s, ']', n);
		if (!close || (close + 1 < end && close[1] != ':'))
			return "an IPv6 address stands in brackets: http://[::1]:4318/";
		host++;
		colon = close + 1 < end ? close + 1 : NULL;
		n = (size_t)(close - host);
	} else {
		colon = memchr(s, ':', n);
		n = colon ? (size_t)(colon - s) : n;
	}
	if (!n || n >= sizeof(u->host))
		return n ? "its host is too long" : "it names no host";
	memcpy(u->host, host, n);
	u->host[n] = 0;
	struct in6_addr address;
	if (brackets ? inet_pton(AF_INET6, u->host, &address) != 1 : !is_name(u->host))
		return brackets ? "that is no IPv6 address"
				: "its host is neither a name (punycode beyond ASCII) nor an IP "
				  "address";
	uint64_t port = u->tls ? 443 : 80;
	if (colon && (text_number(colon + 1, (size_t)(end - colon) - 1, 10, &port) || !port ||
			 port > UINT16_MAX))
		return "its port is not a number from 1 to 65535";
	u->port = (uint16_t)port;
	const char *open = brackets ? "[" : "", *shut = brackets ? "]" : "";
	snprintf(u->where, sizeof(u->where), "%s%s%s:%u", open, u->host, shut, u->port);
	snprintf(u->authority, sizeof(u->authority), "%s%s%s", open, u->host, shut);
	if (u->port != (u->tls ? 443 : 80))
		text_copy(u->authority, sizeof(u->authority), u->where);
	return NULL;
}

static int take_path(struct url *u, const char *s)
{
	struct text path = TEXT(ACCOUNT_NET);
	text_puts(&path, *s == '/' ? "" : "/");
	text_puts(&path, s);
	if (path.error)
		text_free(&path);
	u->path = path.at;
	return path.at ? 0 : -ENOMEM;
}

int url_parse(struct url *u, const char *what, const char *s, char *why, size_t why_size)
{
	*u = (struct url){0};
	const char *rest = strstr(s, "://");
	size_t scheme = rest ? (size_t)(rest - s) : 0;
	if (scheme == 4 && strncasecmp(s, "http", 4) == 0)
		u->tls = false;
	else if (scheme == 5 && strncasecmp(s, "https", 5) == 0)
		u->tls = true;
	else
		return refuse(
		    what, "(not shown)", "it must begin with http:// or https://", why, why_size);
	rest += 3;
	for (const char *c = rest; *c; c++)
		if ((unsigned char)*c <= ' ' || (unsigned char)*c >= 0x7f || *c == '#')
			return refuse(what, "(not shown)",
			    "a space, \"#\", control or non-ASCII character in it: write it as %XX",
			    why, why_size);
	size_t n = strcspn(rest, "/?");
	if (strlen(rest) > URL_MAX)
		return refuse(what, "(not shown)", "it is too long", why, why_size);
	// What is before the last @ is secret, also in what is refused, also where a "/" that
	// should have been %2F cut it.
	if (strchr(rest + n, '@'))
		return refuse(what, "(not shown)",
		    "\"/\", \"?\" and \"@\" in user, password and path are written %2F, %3F and "
		    "%40",
		    why, why_size);
	const char *at = memrchr(rest, '@', n), *host = at ? at + 1 : rest;
	char shown[200];
	snprintf(
	    shown, sizeof(shown), "%.*s%.*s", (int)scheme + 3, s, (int)(rest + n - host), host);
	const char *wrong = take_host(u, host, (size_t)(rest + n - host));
	if (wrong)
		return refuse(what, shown, wrong, why, why_size);
	int error = at ? take_userinfo(u, rest, (size_t)(at - rest)) : 0;
	if (error == -EINVAL)
		refuse(what, shown,
		    "its user and password are too long, or a \"%\" in them is not %25", why,
		    why_size);
	else if (error || (error = take_path(u, rest + n)))
		snprintf(why, why_size, "%s %s: no memory", what, shown);
	if (error)
		url_free(u);
	return error;
}

void url_free(struct url *u)
{
	mem_free(u->path);
	mem_free(u->basic);
	*u = (struct url){0};
}
