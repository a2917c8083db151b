// SPDX-License-Identifier: Apache-2.0
// OTEL_RESOURCE_ATTRIBUTES: "key=value,key=value", where ',' and '=' and what else is special are
// percent-encoded (OpenTelemetry specification, resource SDK). One that cannot be decoded counts
// for nothing, whole.
#include "gather.h"
#include "../base/base.h"

#include <errno.h>
#include <string.h>

static const struct {
	const char *key;
	enum fact fact;
} wanted[] = {
    {"service.name", FACT_SERVICE_NAME},
    {"service.namespace", FACT_SERVICE_NAMESPACE},
    {"service.version", FACT_SERVICE_VERSION},
    {"service.instance.id", FACT_INSTANCE_ID},
    {"deployment.environment.name", FACT_ENVIRONMENT_NAME},
    {"k8s.pod.name", FACT_POD_NAME},
    {"k8s.namespace.name", FACT_NAMESPACE_NAME},
    {"k8s.container.name", FACT_CONTAINER_NAME},
    {"k8s.deployment.name", FACT_DEPLOYMENT_NAME},
};
#define WANTED (sizeof(wanted) / sizeof(*wanted))

struct piece {
	const char *at;
	size_t n;
};

static struct piece trimmed(const char *s, size_t n)
{
	while (n && (*s == ' ' || *s == '\t')) {
		s++;
		n--;
	}
	while (n && (s[n - 1] == ' ' || s[n - 1] == '\t'))
		n--;
	return (struct piece){s, n};
}

static int digit(char c)
{
	return c >= '0' && c <= '9'   ? c - '0'
	       : c >= 'a' && c <= 'f' ? c - 'a' + 10
	       : c >= 'A' && c <= 'F' ? c - 'A' + 10
				      : -1;
}

// Into TO, which has room for FACT_MAX bytes and one more: the length, FACT_MAX + 1 where there is
// more, or -EBADMSG.
static int decode(struct piece p, char *to)
{
	int n = 0;
	for (size_t i = 0; i < p.n; i++) {
		int c = (unsigned char)p.at[i];
		if (c == '%') {
			int high = i + 2 < p.n ? digit(p.at[i + 1]) : -1;
			int low = high < 0 ? -1 : digit(p.at[i + 2]);
			c = low < 0 ? 0 : high << 4 | low;
			i += 2;
			if (!c)
				return -EBADMSG;
		}
		if (n <= FACT_MAX)
			to[n++] = (char)c;
	}
	return n;
}

// One "key=value". 0 or -EBADMSG.
static int take(struct gathered *found, struct piece pair)
{
	char key[FACT_MAX + 1], value[FACT_MAX + 1];
	const char *equals = memchr(pair.at, '=', pair.n);
	if (!equals)
		return pair.n ? -EBADMSG : 0;
	size_t before = (size_t)(equals - pair.at);
	int k = decode(trimmed(pair.at, before), key);
	int v = decode(trimmed(equals + 1, pair.n - before - 1), value);
	if (k <= 0 || v < 0 || (v <= FACT_MAX && !text_utf8_valid(value, (size_t)v)))
		return -EBADMSG;
	for (size_t i = 0; i < WANTED; i++)
		if ((size_t)k == strlen(wanted[i].key) && !memcmp(key, wanted[i].key, (size_t)k))
			gather_set(found, wanted[i].fact, value, (size_t)v);
	return 0;
}

void gather_attributes(struct gathered *g, const char *variable)
{
	struct gathered found;
	for (size_t i = 0; i < WANTED; i++)
		found.at[wanted[i].fact][0] = 0;
	for (const char *s = variable; *s;) {
		size_t n = strcspn(s, ",");
		if (take(&found, trimmed(s, n)) < 0)
			return;
		s += n + (s[n] == ',');
	}
	for (size_t i = 0; i < WANTED; i++) {
		const char *value = found.at[wanted[i].fact];
		if (*value && !*g->at[wanted[i].fact])
			text_copy(g->at[wanted[i].fact], sizeof(g->at[0]), value);
	}
}
