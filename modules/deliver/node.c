// SPDX-License-Identifier: Apache-2.0
// Who we are: the configuration, then OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES (OpenTelemetry
// specification, "General SDK Configuration"; its list is "key=value,..." with '%XX').
#include "private.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ATTRIBUTES_MAX 128
#define SERVICE "service.name"
#define VARIABLE "OTEL_RESOURCE_ATTRIBUTES"

static bool has(const struct node *n, const char *key)
{
	for (uint32_t i = 0; i < n->count; i += 2)
		if (!strcmp(n->resource[i], key))
			return true;
	return false;
}

// What is there already is left as it is.
static int add(struct node *n, const char *key, const char *value)
{
	if (!strcmp(key, SERVICE)) {
		if (!n->service && *value && !(n->service = mem_strdup(ACCOUNT_DELIVER, value)))
			return -ENOMEM;
		return 0;
	}
	if (has(n, key) || n->count == 2 * ATTRIBUTES_MAX)
		return 0;
	if (!n->resource)
		n->resource = mem_alloc(ACCOUNT_DELIVER, (2 * ATTRIBUTES_MAX + 1) * sizeof(char *));
	char *k = n->resource ? mem_strdup(ACCOUNT_DELIVER, key) : NULL;
	char *v = k ? mem_strdup(ACCOUNT_DELIVER, value) : NULL;
	if (!v) {
		mem_free(k);
		return -ENOMEM;
	}
	n->resource[n->count++] = k;
	n->resource[n->count++] = v;
	return 0;
}

static int add_configured(struct node *n, const struct config *c)
{
	int error = 0;
	for (uint32_t i = 0; i < c->resource.count && !error; i++) {
		char key[4096];
		const char *item = c->resource.items[i], *equals = strchr(item, '=');
		text_copy(key, (size_t)(equals - item) + 1, item);
		error = add(n, key, equals + 1);
	}
	return error;
}

static int hex(char c)
{
	return isdigit((unsigned char)c)    ? c - '0'
	       : isxdigit((unsigned char)c) ? tolower((unsigned char)c) - 'a' + 10
					    : -1;
}

// Decodes S[0..n) in its place, blanks around it cut; NULL where it is wrong.
static char *decode(char *s, size_t n)
{
	size_t to = 0;
	s[n] = 0;
	for (; *s == ' ' || *s == '\t'; s++, n--)
		;
	while (n && (s[n - 1] == ' ' || s[n - 1] == '\t'))
		n--;
	for (size_t i = 0; i < n; i++) {
		int high = 0, low = 0;
		if (s[i] != '%') {
			s[to++] = s[i];
			continue;
		}
		if (i + 2 >= n || (high = hex(s[i + 1])) < 0 || (low = hex(s[i + 2])) < 0 ||
		    !(high | low))
			return NULL;
		s[to++] = (char)(high << 4 | low);
		i += 2;
	}
	s[to] = 0;
	return text_utf8_valid(s, to) ? s : NULL;
}

// One wrong pair, and the whole variable does not count.
static int add_variable(struct node *n, char *list, bool check)
{
	int error = 0;
	for (char *pair = list; *pair && !error;) {
		size_t length = strcspn(pair, ","), name = strcspn(pair, "=");
		bool last = !pair[length];
		if (name >= length)
			return -EINVAL;
		char *value = decode(pair + name + 1, length - name - 1);
		char *key = decode(pair, name);
		if (!key || !*key || !value)
			return -EINVAL;
		error = check ? 0 : add(n, key, value);
		pair += last ? length : length + 1;
	}
	return error;
}

static int add_environment(struct node *n)
{
	const char *service = getenv("OTEL_SERVICE_NAME"), *list = getenv(VARIABLE);
	int error = service ? add(n, SERVICE, service) : 0;
	for (int pass = 0; pass < 2 && list && *list && !error; pass++) {
		char *copy = mem_strdup(ACCOUNT_DELIVER, list);
		error = copy ? add_variable(n, copy, pass == 0) : -ENOMEM;
		mem_free(copy);
	}
	if (error != -EINVAL)
		return error;
	log_warn(VARIABLE ": not a list of key=value parted by commas, with other bytes as %%XX: "
			  "none of it is used");
	return 0;
}

int node_open(struct node *n, const struct config *c)
{
	*n = (struct node){.count = 0};
	if (gethostname(n->host, sizeof(n->host) - 1) < 0)
		*n->host = 0;
	int error = *c->service_name ? add(n, SERVICE, c->service_name) : 0;
	if (!error)
		error = add_configured(n, c);
	if (!error)
		error = add_environment(n);
	if (!error)
		error = add(n, SERVICE, "telegen");
	if (error)
		node_close(n);
	return error;
}

void node_close(struct node *n)
{
	for (uint32_t i = 0; i < n->count; i++)
		mem_free(n->resource[i]);
	mem_free(n->resource);
	mem_free(n->service);
	*n = (struct node){.count = 0};
}
