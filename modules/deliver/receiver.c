// SPDX-License-Identifier: Apache-2.0
// What the configuration says of one receiver, checked; each problem is one line with the key, the
// value and the way out. Values that may be secrets are not shown.
#include "private.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#define HEADERS_MAX 1100 // of the list, and ours

#define CONNECTION(c, f)                                                                           \
	.tls = (c)->f##_tls, .tls_insecure = (c)->f##_tls_insecure, .endpoint = (c)->f##_endpoint, \
	.headers = &(c)->f##_headers, .token_file = (c)->f##_token_file, .user = (c)->f##_user,    \
	.password_file = (c)->f##_password_file, .tls_ca_file = (c)->f##_tls_ca_file,              \
	.tls_cert_file = (c)->f##_tls_cert_file, .tls_key_file = (c)->f##_tls_key_file,            \
	.tls_server_name = (c)->f##_tls_server_name, .proxy = (c)->f##_proxy,                      \
	.timeout_ns = (c)->f##_timeout
#define GRPC_PROFILES "/opentelemetry.proto.collector.profiles.v1development.ProfilesService/Export"

void receiver_of(struct receiver *r, const struct config *c, enum receiver_id id)
{
	bool grpc = c->profile_export_otlp_protocol == 1;
	const struct receiver all[] = {
	    [RECEIVER_OTLP] = {.name = "otlp",
		.key = "profile_export.otlp",
		.kind = REQUESTS_OTLP,
		.enabled = c->profile_export_otlp_enabled,
		.grpc = grpc,
		.gzip = c->profile_export_otlp_compression == CONFIG_GZIP,
		.standard = grpc ? "http://localhost:4317" : "http://localhost:4318",
		.path = grpc ? GRPC_PROFILES : "/v1development/profiles",
		.below = grpc,
		CONNECTION(c, profile_export_otlp)},
	    [RECEIVER_PYROSCOPE] = {.name = "pyroscope",
		.key = "profile_export.pyroscope",
		.kind = REQUESTS_PYROSCOPE,
		.enabled = c->profile_export_pyroscope_enabled,
		.standard = "http://localhost:4040",
		.path = "/push.v1.PusherService/Push",
		.below = true,
		.tenant = c->profile_export_pyroscope_tenant,
		CONNECTION(c, profile_export_pyroscope)},
	    [RECEIVER_PARCA] = {.name = "parca",
		.key = "profile_export.parca",
		.kind = REQUESTS_PARCA,
		.enabled = c->profile_export_parca_enabled,
		.grpc = true,
		.standard = "http://localhost:7070",
		.path = "/parca.profilestore.v1alpha1.ProfileStoreService/WriteRaw",
		.below = true,
		CONNECTION(c, profile_export_parca)},
	    [RECEIVER_LOGS] = {.name = "logs",
		.key = "profiling.log_export",
		.kind = REQUESTS_LOGS,
		.enabled = c->profiling_log_export_enabled,
		.gzip = c->profiling_log_export_compression == CONFIG_GZIP,
		.standard = "http://localhost:4318",
		.path = "/v1/logs",
		CONNECTION(c, profiling_log_export)},
	    [RECEIVER_METRICS] = {.name = "metrics",
		.key = "profiling.metrics_export",
		.kind = REQUESTS_METRICS,
		.enabled = c->profiling_metrics_export_enabled,
		.gzip = c->profiling_metrics_export_compression == CONFIG_GZIP,
		.standard = "http://localhost:4318",
		.path = "/v1/metrics",
		CONNECTION(c, profiling_metrics_export)},
	};
	*r = all[id];
	r->url = r->shown = TEXT(ACCOUNT_DELIVER);
}

__attribute__((format(printf, 5, 6))) static int refuse(
    const struct receiver *r, char *why, size_t size, const char *name, const char *format, ...)
{
	int n = snprintf(why, size, "%s.%s: ", r->key, name);
	va_list args;
	va_start(args, format);
	if (n >= 0 && (size_t)n < size)
		vsnprintf(why + n, size - (size_t)n, format, args);
	va_end(args);
	return -EINVAL;
}

// Where the parts of an endpoint are: "http://user:password@host:port/path".
struct parts {
	const char *authority, *host, *path;
	size_t scheme;
};

static struct parts parts_of(const char *url)
{
	const char *scheme = strstr(url, "://");
	struct parts p = {.scheme = scheme ? (size_t)(scheme - url) : 0};
	p.authority = p.host = scheme ? scheme + 3 : url;
	p.path = p.authority + strcspn(p.authority, "/?#");
	const char *at = memrchr(p.authority, '@', (size_t)(p.path - p.authority));
	if (at)
		p.host = at + 1;
	return p;
}

static bool scheme_is(const char *url, size_t n, const char *scheme)
{
	return n == strlen(scheme) && !strncasecmp(url, scheme, n);
}

static int make_url(struct receiver *r, char *why, size_t size)
{
	const char *endpoint = *r->endpoint ? r->endpoint : r->standard;
	struct parts p = parts_of(endpoint);
	if (strchr(p.path, '@')) // all before it may be a password, and is not shown
		return refuse(r, why, size, "endpoint",
		    "\"/\", \"?\", \"#\" and \"@\" in user, password and path are written %%2F, "
		    "%%3F, %%23 and %%40");
	if (strpbrk(p.path, "?#") || p.host == p.path)
		return refuse(r, why, size, "endpoint", "%.*s%s: not http://host:port/path",
		    (int)p.scheme, p.scheme ? endpoint : "", p.scheme ? "://..." : p.host);
	for (const char *c = endpoint; *c; c++)
		if ((unsigned char)*c <= ' ' || *c == 0x7f)
			return refuse(r, why, size, "endpoint", "a blank stands in it: remove it");
	if (!p.scheme)
		text_puts(&r->url, r->tls ? "https://" : "http://");
	else if (!scheme_is(endpoint, p.scheme, "http") && !scheme_is(endpoint, p.scheme, "https"))
		return refuse(r, why, size, "endpoint",
		    "%.*s://%s: begins neither with http:// nor with https://",
		    (int)(p.scheme < 32 ? p.scheme : 32), endpoint, p.host);
	const char *path = p.path;
	size_t n = strlen(path), more = strlen(r->path);
	bool bare = n == 0 || !strcmp(path, "/");
	bool whole = n >= more && !strcmp(path + n - more, r->path);
	text_add(&r->url, endpoint, (size_t)(p.path - endpoint));
	if (r->below && !whole)
		while (n && path[n - 1] == '/')
			n--;
	if (!bare)
		text_add(&r->url, path, n);
	if (bare || (r->below && !whole))
		text_puts(&r->url, r->path);
	if (r->url.error)
		return r->url.error;
	p = parts_of(r->url.at);
	text_add(&r->shown, r->url.at, (size_t)(p.authority - r->url.at));
	text_puts(&r->shown, p.host);
	return r->shown.error;
}

static int check_file(
    const struct receiver *r, const char *name, const char *path, char *why, size_t size)
{
	if (!*path || access(path, R_OK) == 0)
		return 0;
	return refuse(
	    r, why, size, name, "%s: %s; name a file that can be read", path, strerror(errno));
}

static int check_files(const struct receiver *r, char *why, size_t size)
{
	const struct {
		const char *name, *path;
	} files[] = {{"tls_ca_file", r->tls_ca_file}, {"tls_cert_file", r->tls_cert_file},
	    {"tls_key_file", r->tls_key_file}, {"token_file", r->token_file},
	    {"password_file", r->password_file}};
	for (size_t i = 0; i < sizeof(files) / sizeof(*files); i++) {
		int error = check_file(r, files[i].name, files[i].path, why, size);
		if (error)
			return error;
	}
	if (*r->tls_cert_file && !*r->tls_key_file)
		return refuse(r, why, size, "tls_cert_file",
		    "%s: give its key too, in tls_key_file", r->tls_cert_file);
	if (*r->tls_key_file && !*r->tls_cert_file)
		return refuse(r, why, size, "tls_key_file",
		    "%s: give the certificate too, in tls_cert_file", r->tls_key_file);
	return 0;
}

// Of what asks for TLS, the option that an endpoint with http:// leaves without effect.
static const char *tls_in_vain(const struct receiver *r)
{
	const struct {
		const char *name;
		bool given;
	} options[] = {{"tls", r->tls}, {"tls_ca_file", *r->tls_ca_file},
	    {"tls_cert_file", *r->tls_cert_file}, {"tls_server_name", *r->tls_server_name}};
	for (size_t i = 0; i < sizeof(options) / sizeof(*options); i++)
		if (options[i].given && !strncasecmp(r->url.at, "http://", 7))
			return options[i].name;
	return NULL;
}

static bool has_header(const struct receiver *r, const char *name)
{
	size_t n = strlen(name);
	for (uint32_t i = 0; i < r->headers->count; i++)
		if (!strncasecmp(r->headers->items[i], name, n) && r->headers->items[i][n] == '=')
			return true;
	return false;
}

static int check_who(const struct receiver *r, char *why, size_t size)
{
	if (*r->token_file && *r->user)
		return refuse(r, why, size, "token_file",
		    "%s: together with user %s: leave one of them out", r->token_file, r->user);
	if (*r->user && !*r->password_file)
		return refuse(
		    r, why, size, "user", "%s: give the password too, in password_file", r->user);
	if (*r->password_file && !*r->user)
		return refuse(r, why, size, "password_file", "%s: give the user too, in user",
		    r->password_file);
	if (strchr(r->user, ':'))
		return refuse(r, why, size, "user", "%s: may hold no colon (RFC 7617)", r->user);
	if (has_header(r, "X-Scope-OrgID") && r->tenant && *r->tenant)
		return refuse(r, why, size, "tenant",
		    "%s: together with the header X-Scope-OrgID: leave one of them out", r->tenant);
	if (has_header(r, "Authorization") && (*r->token_file || *r->user))
		return refuse(r, why, size, *r->user ? "user" : "token_file",
		    "%s: together with the header Authorization: leave one of them out",
		    *r->user ? r->user : r->token_file);
	return 0;
}

struct headers {
	struct text lines[HEADERS_MAX];
	const char *at[HEADERS_MAX + 1];
	uint32_t count;
};

static void headers_free(struct headers *h)
{
	for (uint32_t i = 0; h && i < h->count; i++)
		secret_free(&h->lines[i]);
	mem_free(h);
}

// A header's name is a token, its value has no line in it (RFC 9110, 5.1 and 5.5).
static bool is_header(const char *name, size_t n, const char *value, size_t size)
{
	static const char token[] =
	    "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
	if (!n || strspn(name, token) < n)
		return false;
	for (size_t i = 0; i < size; i++)
		if (((unsigned char)value[i] < 32 && value[i] != '\t') || value[i] == 127)
			return false;
	return true;
}

static struct text *header_begin(struct headers *h, const char *name, size_t n)
{
	struct text *t = &h->lines[h->count++];
	*t = TEXT(ACCOUNT_DELIVER);
	text_add(t, name, n);
	text_puts(t, ": ");
	return t;
}

static int add_configured(struct receiver *r, struct headers *h, char *why, size_t size)
{
	for (uint32_t i = 0; i < r->headers->count; i++) {
		const char *item = r->headers->items[i], *equals = strchr(item, '=');
		size_t n = (size_t)(equals - item);
		struct text *t = header_begin(h, item, n), reason = TEXT(ACCOUNT_DELIVER);
		int error = secret_expand(equals + 1, t, &reason);
		if (error == -EINVAL)
			refuse(r, why, size, "headers", "%.*s: %s", (int)n, item,
			    reason.at ? reason.at : "");
		text_free(&reason);
		if (!error && t->error)
			error = t->error;
		if (!error && !is_header(item, n, t->at + n + 2, t->len - n - 2))
			error = refuse(r, why, size, "headers",
			    "%.*s: a header of HTTP is a name without blanks, and one line",
			    (int)(n < 80 ? n : 80), item);
		if (error)
			return error;
	}
	return 0;
}

static int add_who(struct receiver *r, struct headers *h, char *why, size_t size)
{
	struct text secret = TEXT(ACCOUNT_DELIVER), reason = TEXT(ACCOUNT_DELIVER);
	const char *name = *r->token_file ? "token_file" : "password_file";
	const char *path = *r->token_file ? r->token_file : r->password_file;
	int error = 0;
	if (!*path)
		return 0;
	if (*r->user)
		text_printf(&secret, "%s:", r->user);
	error = secret_read(path, &secret, &reason);
	if (error == -EINVAL)
		refuse(r, why, size, name, "%s", reason.at ? reason.at : "");
	if (!error && !is_header("x", 1, secret.at, secret.len))
		error = refuse(r, why, size, name, "%s: it holds one line", path);
	if (!error) {
		struct text *t = header_begin(h, "Authorization", 13);
		r->token = hash_bytes(secret.at, secret.len, 1);
		text_puts(t, *r->user ? "Basic " : "Bearer ");
		if (*r->user)
			secret_base64(t, secret.at, secret.len);
		else
			text_puts(t, secret.at);
		error = t->error;
	}
	secret_free(&secret);
	text_free(&reason);
	return error;
}

static int headers_read(struct receiver *r, struct headers *h, char *why, size_t size)
{
	int error = add_configured(r, h, why, size);
	if (!error && r->tenant && *r->tenant) {
		struct text *t = header_begin(h, "X-Scope-OrgID", 13);
		text_puts(t, r->tenant);
		error = t->error;
		if (!error && !is_header("x", 1, r->tenant, strlen(r->tenant)))
			error = refuse(r, why, size, "tenant", "a header of HTTP is one line");
	}
	if (!error)
		error = add_who(r, h, why, size);
	for (uint32_t i = 0; i < h->count; i++)
		h->at[i] = h->lines[i].at;
	return error;
}

int receiver_open(struct receiver *r, char *why, size_t size)
{
	int error = make_url(r, why, size);
	if (!error)
		error = check_who(r, why, size);
	if (!error)
		error = check_files(r, why, size);
	if (!error && tls_in_vain(r))
		log_warn("%s.%s: without effect, nothing is encrypted on the way to %s: write "
			 "https:// in the endpoint",
		    r->key, tls_in_vain(r), r->shown.at);
	return error;
}

void receiver_close(struct receiver *r)
{
	secret_free(&r->url);
	text_free(&r->shown);
}

struct http_client *receiver_connect(
    struct receiver *r, struct loop *loop, const char *agent, char *why, size_t size)
{
	char reason[400] = "";
	struct headers *h = mem_alloc(ACCOUNT_DELIVER, sizeof(*h));
	int error = h ? headers_read(r, h, why, size) : -ENOMEM;
	struct http_client *client = NULL;
	if (!error) {
		const struct http_client_options options = {
		    .url = r->url.at,
		    .headers = h->at,
		    .proxy = strcmp(r->proxy, "env") ? r->proxy : NULL,
		    .user_agent = agent,
		    .grpc = r->grpc,
		    .tls = {.ca_file = r->tls_ca_file,
			.cert_file = r->tls_cert_file,
			.key_file = r->tls_key_file,
			.server_name = r->tls_server_name,
			.insecure = r->tls_insecure},
		    .timeout_ns = r->timeout_ns,
		};
		client = http_client_new(loop, &options, reason, sizeof(reason));
		error = client ? 0 : -errno;
		if (error)
			snprintf(why, size, "%s: %s", r->key, reason);
	}
	headers_free(h);
	if (error == -ENOMEM)
		snprintf(why, size, "%s: not enough memory", r->key);
	return client ? client : (errno = -error, NULL);
}
