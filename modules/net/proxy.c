// SPDX-License-Identifier: Apache-2.0
// The environment's names and NO_PROXY's grammar are nowhere a standard: this is what curl and Go
// agree on.
#include "url.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

struct ip {
	unsigned bits; // 32 or 128; 0: that is none
	uint8_t bytes[16];
};

static struct ip ip_of(const char *s)
{
	struct ip ip = {0};
	if (inet_pton(AF_INET, s, ip.bytes) == 1)
		ip.bits = 32;
	else if (inet_pton(AF_INET6, s, ip.bytes) == 1)
		ip.bits = 128;
	return ip;
}

static bool same_network(const struct ip *a, const struct ip *b, unsigned bits)
{
	unsigned whole = bits / 8, rest = bits % 8;
	if (!a->bits || a->bits != b->bits || bits > a->bits || memcmp(a->bytes, b->bytes, whole))
		return false;
	return !rest || !((a->bytes[whole] ^ b->bytes[whole]) >> (8 - rest));
}

static bool name_matches(const char *entry, const char *host)
{
	size_t n = strlen(host);
	while (*entry == '*' || *entry == '.') // "*.example", ".example": what is below, and itself
		entry++;
	size_t m = strlen(entry);
	n -= n && host[n - 1] == '.';
	m -= m && entry[m - 1] == '.';
	return m && n >= m && strncasecmp(host + n - m, entry, m) == 0 &&
	       (n == m || host[n - m - 1] == '.');
}

static bool matches(char *entry, const struct url *to)
{
	if (strcmp(entry, "*") == 0)
		return true;
	struct ip host = ip_of(to->host), ip;
	uint64_t number;
	char *slash = strchr(entry, '/');
	if (slash) {
		*slash = 0;
		ip = ip_of(entry);
		return text_number(slash + 1, strlen(slash + 1), 10, &number) == 0 &&
		       number <= 128 && same_network(&ip, &host, (unsigned)number);
	}
	char *bracket = *entry == '[' ? strchr(entry, ']') : NULL;
	char *colon = strchr(bracket ? bracket : entry, ':');
	bool port = colon && (bracket || !strchr(colon + 1, ':'));
	if (port && (text_number(colon + 1, strlen(colon + 1), 10, &number) || number != to->port))
		return false;
	if (port)
		*colon = 0;
	if (bracket) {
		*bracket = 0;
		entry++;
	}
	ip = ip_of(entry);
	return ip.bits ? same_network(&ip, &host, ip.bits)
		       : !host.bits && name_matches(entry, to->host);
}

bool proxy_excepts(const char *list, const struct url *to)
{
	static const char between[] = ", \t";
	char entry[HOST_MAX + 10];
	for (list += strspn(list, between); *list; list += strspn(list, between)) {
		size_t n = strcspn(list, between);
		if (n < sizeof(entry)) {
			text_copy(entry, n + 1, list);
			if (matches(entry, to))
				return true;
		}
		list += n;
	}
	return false;
}

// The first of two variables that says something.
static const char *either(const char *lower, const char *upper, const char **name)
{
	const char *value = getenv(lower);
	*name = value && *value ? lower : upper;
	if (!value || !*value)
		value = getenv(upper);
	return value && *value ? value : NULL;
}

// NULL: it is spoken to, over http://, which also stands where there is no scheme. Else what may be
// shown of it: what is before the last @ is secret.
static const char *other_scheme(const char *value, size_t *scheme)
{
	const char *sign = strstr(value, "://");
	*scheme = sign ? (size_t)(sign - value) : 0;
	if (!sign || (*scheme == 4 && strncasecmp(value, "http", 4) == 0))
		return NULL;
	const char *at = strrchr(sign, '@');
	return at ? at + 1 : sign + 3;
}

static int refuse_scheme(const char *name, const char *value, size_t scheme, const char *host,
    const struct url *to, char *why, size_t why_size)
{
	bool variable = strcmp(name, "proxy") != 0;
	snprintf(why, why_size,
	    "%s %.*s://%.*s: a proxy is spoken to over http:// alone (CONNECT): name such a "
	    "one, or %s%s%s",
	    name, (int)(scheme < 32 ? scheme : 32), value, (int)strcspn(host, "/?#"), host,
	    variable ? "except " : "leave it empty for none", variable ? to->host : "",
	    variable ? " in NO_PROXY" : "");
	return -EINVAL;
}

int proxy_choose(
    struct url *proxy, const char *option, const struct url *to, char *why, size_t why_size)
{
	const char *name = "proxy", *ignored;
	*proxy = (struct url){0};
	if (!option) {
		const char *excepted = either("no_proxy", "NO_PROXY", &ignored);
		option = to->tls ? either("https_proxy", "HTTPS_PROXY", &name)
				 : either("http_proxy", "HTTP_PROXY", &name);
		if (!option || (excepted && proxy_excepts(excepted, to)))
			return 0;
	}
	if (!*option)
		return 0;
	size_t scheme;
	const char *other = other_scheme(option, &scheme);
	if (other)
		return refuse_scheme(name, option, scheme, other, to, why, why_size);
	struct text url = TEXT(ACCOUNT_NET);
	text_printf(&url, "%s%s", strstr(option, "://") ? "" : "http://", option);
	int error = url.error;
	if (error)
		snprintf(why, why_size, "%s: no memory", name);
	else
		error = url_parse(proxy, name, url.at, why, why_size);
	text_free(&url);
	return error ? error : 1;
}
