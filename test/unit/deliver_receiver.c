// SPDX-License-Identifier: Apache-2.0
// What the configuration says of a receiver: endpoints, secrets, who we are; and what is wrong in
// it is one line with the key, the value and a way out.
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../../modules/deliver/receiver.c"

static struct config *config;
static char why[400], place[64], headers[2000], proxy[200];
static bool refuses;

struct http_client *http_client_new(
    struct loop *loop, const struct http_client_options *o, char *reason, size_t size)
{
	static int client;
	(void)loop;
	*headers = 0;
	for (const char *const *h = o->headers; *h; h++) {
		strcat(headers, *h);
		strcat(headers, "|");
	}
	snprintf(proxy, sizeof(proxy), "%s", o->proxy ? o->proxy : "(env)");
	snprintf(reason, size, "%s: wrong; write another", o->url);
	errno = EINVAL;
	return refuses ? NULL : (struct http_client *)&client;
}

void http_client_free(struct http_client *c)
{
	(void)c;
}

int http_client_post(struct http_client *c, const struct http_post *post)
{
	(void)c;
	(void)post;
	return -EBUSY;
}

static void load(const char *const *flags)
{
	struct text problems = TEXT(ACCOUNT_COMMAND);
	struct config_source source = {.flags = (char *const *)flags};
	config_free(config);
	config = config_load(&source, NULL, &problems);
	if (!config)
		fail_msg("%s", problems.at);
	text_free(&problems);
}

static int open_it(enum receiver_id id, struct receiver *r)
{
	*why = *headers = 0;
	receiver_of(r, config, id);
	int error = receiver_open(r, why, sizeof(why));
	if (!error && !receiver_connect(r, NULL, "telegen", why, sizeof(why)))
		error = -errno;
	return error;
}

#define FLAGS(...) ((const char *const[]){__VA_ARGS__, NULL})

static void endpoints_become_urls(void **state)
{
	(void)state;
	const struct {
		enum receiver_id id;
		const char *flag, *more, *url, *shown;
	} cases[] = {
	    {RECEIVER_OTLP, "--profile_export.otlp.enabled",
		"--listen=", "http://localhost:4318/v1development/profiles", NULL},
	    {RECEIVER_OTLP, "--profile_export.otlp.enabled", "--profile_export.otlp.protocol=grpc",
		"http://localhost:4317" GRPC_PROFILES, NULL},
	    {RECEIVER_OTLP, "--profile_export.otlp.endpoint=h:4318",
		"--profile_export.otlp.tls=true", "https://h:4318/v1development/profiles", NULL},
	    {RECEIVER_OTLP, "--profile_export.otlp.endpoint=https://[::1]:1/",
		"--listen=", "https://[::1]:1/v1development/profiles", NULL},
	    {RECEIVER_OTLP, "--profile_export.otlp.endpoint=http://h/mine",
		"--listen=", "http://h/mine", NULL},
	    {RECEIVER_OTLP, "--profile_export.otlp.endpoint=http://me:s3same@h/p%40q",
		"--listen=", "http://me:s3same@h/p%40q", "http://h/p%40q"},
	    {RECEIVER_PYROSCOPE, "--profile_export.pyroscope.endpoint=http://h/under/",
		"--listen=", "http://h/under/push.v1.PusherService/Push", NULL},
	    {RECEIVER_PYROSCOPE,
		"--profile_export.pyroscope.endpoint=http://h/push.v1.PusherService/Push",
		"--listen=", "http://h/push.v1.PusherService/Push", NULL},
	    {RECEIVER_PARCA, "--profile_export.parca.endpoint=h:7070", "--listen=",
		"http://h:7070/parca.profilestore.v1alpha1.ProfileStoreService/WriteRaw", NULL},
	    {RECEIVER_LOGS, "--profiling.log_export.enabled",
		"--listen=", "http://localhost:4318/v1/logs", NULL},
	    {RECEIVER_METRICS, "--profiling.metrics_export.enabled",
		"--profiling.metrics_export.endpoint=h:1", "http://h:1/v1/metrics", NULL},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct receiver r;
		load(FLAGS(cases[i].flag, cases[i].more));
		assert_int_equal(open_it(cases[i].id, &r), 0);
		assert_true(r.enabled);
		assert_string_equal(r.url.at, cases[i].url);
		assert_string_equal(r.shown.at, cases[i].shown ? cases[i].shown : cases[i].url);
		receiver_close(&r);
	}
}

static void a_receiver_that_is_disabled_has_an_endpoint(void **state)
{
	(void)state;
	const char *const endpoints[] = {"--profile_export.otlp.endpoint=h",
	    "--profile_export.pyroscope.endpoint=h", "--profile_export.parca.endpoint=h"};
	const char *const off[] = {"--profile_export.otlp.enabled=false",
	    "--profile_export.pyroscope.enabled=false", "--profile_export.parca.enabled=false"};
	for (int i = 0; i < 3; i++) {
		struct receiver r;
		load(FLAGS(endpoints[i], off[i]));
		receiver_of(&r, config, (enum receiver_id)i);
		assert_false(r.enabled);
	}
}

static const char *file(const char *name, const char *bytes)
{
	static char paths[4][200];
	static int n;
	char *path = paths[n++ % 4];
	snprintf(path, sizeof(paths[0]), "%s/%s", place, name);
	FILE *f = fopen(path, "w");
	fputs(bytes, f);
	fclose(f);
	return path;
}

static void secrets_come_from_where_they_are(void **state)
{
	(void)state;
	char flag[300], password[300];
	struct receiver r;
	setenv("TEST_SECRET", "sesame", 1);
	snprintf(flag, sizeof(flag),
	    "--profile_export.pyroscope.headers=X-A=${env:TEST_SECRET}!$,X-B=a${file:%s}b",
	    file("secret", "open\n"));
	snprintf(password, sizeof(password), "--profile_export.pyroscope.password_file=%s",
	    file("password", "open sesame\r\n"));
	load(FLAGS(flag, password, "--profile_export.pyroscope.user=Aladdin",
	    "--profile_export.pyroscope.tenant=t1", "--profile_export.pyroscope.proxy="));
	assert_int_equal(open_it(RECEIVER_PYROSCOPE, &r), 0);
	assert_string_equal(headers,
	    "X-A: sesame!$|X-B: aopenb|X-Scope-OrgID: t1|"
	    "Authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==|"); // RFC 7617
	assert_string_equal(proxy, "");
	receiver_close(&r);
}

#define OTLP "--profile_export.otlp."
static void what_is_wrong_is_one_line(void **state)
{
	(void)state;
	char nobody[200], lines[200], empty[200];
	snprintf(nobody, sizeof(nobody), OTLP "token_file=%s/nobody", place);
	snprintf(lines, sizeof(lines), OTLP "token_file=%s", file("lines", "a\nb\n"));
	snprintf(empty, sizeof(empty), OTLP "token_file=%s", file("empty", "\n"));
	const struct {
		const char *flag, *more, *says;
	} cases[] = {
	    {OTLP "endpoint=ftp://h/",
		"--listen=", "endpoint: ftp://h/: begins neither with http://"},
	    {OTLP "endpoint=http://",
		"--listen=", "endpoint: http://...: not http://host:port/path"},
	    {OTLP "endpoint=http://h/?a=b",
		"--listen=", "endpoint: http://...: not http://host:port/path"},
	    {OTLP "endpoint=http://h x/", "--listen=", "endpoint: a blank stands in it"},
	    {OTLP "endpoint=me:a/s3same@h", "--listen=", "are written %2F"},
	    {OTLP "endpoint=me:a?s3same@h", "--listen=", "are written %2F"},
	    {OTLP "endpoint=ftp://me:a/s3same@h", "--listen=", "are written %2F"},
	    {OTLP "tls_ca_file=/nobody/ca.pem",
		"--listen=", "tls_ca_file: /nobody/ca.pem: No such file or directory; name a file"},
	    {OTLP "tls_cert_file=/etc/passwd",
		"--listen=", "tls_cert_file: /etc/passwd: give its key"},
	    {OTLP "tls_key_file=/etc/passwd",
		"--listen=", "tls_key_file: /etc/passwd: give the cert"},
	    {nobody, "--listen=", "nobody: No such file or directory; name a file"},
	    {lines, "--listen=", "it holds one line"},
	    {empty, "--listen=", "is empty"},
	    {OTLP "user=me", "--listen=", "user: me: give the password too"},
	    {OTLP "password_file=/etc/passwd", "--listen=", "give the user too"},
	    {OTLP "user=me", OTLP "token_file=/etc/passwd",
		"together with user me: leave one of them out"},
	    {OTLP "headers=authorization=x", OTLP "token_file=/etc/passwd",
		"with the header Authorization"},
	    {OTLP "headers=X A=s3same", "--listen=", "headers: X A: a header of HTTP is a name"},
	    {OTLP "headers=X=s3same\r\nY: z",
		"--listen=", "headers: X: a header of HTTP is a name"},
	    {OTLP "headers=X=${env:TEST_NOBODY}", "--listen=", "no such variable; set it"},
	    {OTLP "headers=X=${exec:rm}", "--listen=", "write ${env:NAME} or ${file:/path}"},
	    {OTLP "headers=X=${env:A", "--listen=", "without its }"},
	    {OTLP "headers=X=${file:/nobody}", "--listen=", "/nobody: No such file"},
	};
	unsetenv("TEST_NOBODY");
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct receiver r;
		load(FLAGS(cases[i].flag, cases[i].more));
		assert_int_equal(open_it(RECEIVER_OTLP, &r), -EINVAL);
		if (!strstr(why, cases[i].says) || strncmp(why, "profile_export.otlp.", 20) ||
		    strchr(why, '\n') || strstr(why, "s3same"))
			fail_msg("%s: %s", cases[i].flag, why);
		receiver_close(&r);
	}
	struct receiver p;
	load(FLAGS("--profile_export.pyroscope.tenant=a",
	    "--profile_export.pyroscope.headers=x-scope-orgid=b"));
	assert_int_equal(open_it(RECEIVER_PYROSCOPE, &p), -EINVAL);
	assert_non_null(strstr(why, "tenant: a: together with the header X-Scope-OrgID"));
	receiver_close(&p);
	refuses = true; // the client does
	struct receiver r;
	load(FLAGS("--listen="));
	assert_int_equal(open_it(RECEIVER_OTLP, &r), -EINVAL);
	assert_non_null(strstr(
	    why, "profile_export.otlp: http://localhost:4318/v1development/profiles: wrong"));
	receiver_close(&r);
	refuses = false;
}

static void tls_without_effect_is_told(void **state)
{
	(void)state;
	const struct {
		const char *flag, *endpoint, *option;
	} cases[] = {
	    {OTLP "tls=true", OTLP "endpoint=http://h", "tls"},
	    {OTLP "tls=true", OTLP "endpoint=h:1", NULL},
	    {OTLP "tls_ca_file=/etc/passwd", OTLP "endpoint=h:1", "tls_ca_file"},
	    {OTLP "tls_ca_file=/etc/passwd", OTLP "endpoint=https://h", NULL},
	    {OTLP "tls_server_name=n", OTLP "endpoint=HTTP://h", "tls_server_name"},
	    {OTLP "timeout=1s", OTLP "endpoint=http://h", NULL},
	};
	log_set_level(LOG_LEVEL_ERROR);
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct receiver r;
		load(FLAGS(cases[i].flag, cases[i].endpoint));
		assert_int_equal(open_it(RECEIVER_OTLP, &r), 0);
		const char *option = tls_in_vain(&r);
		assert_string_equal(option ? option : "", cases[i].option ? cases[i].option : "");
		receiver_close(&r);
	}
	log_set_level(LOG_LEVEL_INFO);
}

static const char *attribute(const struct node *n, const char *key)
{
	for (uint32_t i = 0; i < n->count; i += 2)
		if (!strcmp(n->resource[i], key))
			return n->resource[i + 1];
	return "";
}

static void we_are_who_we_are_said_to_be(void **state)
{
	(void)state;
	struct node n;
	unsetenv("OTEL_SERVICE_NAME");
	unsetenv("OTEL_RESOURCE_ATTRIBUTES");
	load(FLAGS("--resource=a=1,b=2"));
	assert_int_equal(node_open(&n, config), 0);
	assert_string_equal(n.service, "telegen");
	assert_true(*n.host);
	assert_string_equal(attribute(&n, "b"), "2");
	assert_null(n.resource[4]);
	node_close(&n);
	setenv("OTEL_RESOURCE_ATTRIBUTES", "service.name=theirs, b=3 ,c=%41%2C%3d,d=", 1);
	assert_int_equal(node_open(&n, config), 0);
	assert_string_equal(n.service, "theirs");
	assert_string_equal(attribute(&n, "b"), "2"); // the configuration counts
	assert_string_equal(attribute(&n, "c"), "A,=");
	assert_int_equal(n.count, 8);
	node_close(&n);
	setenv("OTEL_SERVICE_NAME", "named", 1);
	assert_int_equal(node_open(&n, config), 0);
	assert_string_equal(n.service, "named");
	node_close(&n);
	static const char *const wrong[] = {"a=1,b", "=1", "e=%4", "e=%zz", "e=%00", "e=%ff"};
	log_set_level(LOG_LEVEL_ERROR);
	for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
		char list[100];
		snprintf(list, sizeof(list), "x=1,%s", wrong[i]);
		setenv("OTEL_RESOURCE_ATTRIBUTES", list, 1);
		assert_int_equal(node_open(&n, config), 0);
		assert_int_equal(n.count, 4); // none of it
		node_close(&n);
	}
	setenv("OTEL_RESOURCE_ATTRIBUTES", "x=1", 1);
	load(FLAGS("--service_name=mine", "--resource=service.name=other"));
	assert_int_equal(node_open(&n, config), 0);
	assert_string_equal(n.service, "mine");
	node_close(&n);
	for (uint64_t i = 1, failed = 1; failed; i++) {
		mem_fail_at(i);
		int error = node_open(&n, config);
		failed = mem_fail_seen() >= i;
		mem_fail_at(0);
		assert_int_equal(error, failed ? -ENOMEM : 0);
		node_close(&n);
	}
}

static void each_allocation_may_fail(void **state)
{
	(void)state;
	char flag[300];
	snprintf(flag, sizeof(flag), OTLP "token_file=%s", file("token", "t"));
	load(FLAGS(flag, OTLP "headers=a=b,c=$d"));
	for (uint64_t i = 1, failed = 1; failed; i++) {
		struct receiver r;
		mem_fail_at(i);
		int error = open_it(RECEIVER_OTLP, &r);
		failed = mem_fail_seen() >= i;
		mem_fail_at(0);
		assert_int_equal(error, failed ? -ENOMEM : 0);
		receiver_close(&r);
		assert_int_equal(mem_used(ACCOUNT_DELIVER), 0);
	}
	config_free(config);
	config = NULL;
	assert_int_equal(mem_used(ACCOUNT_DELIVER) + mem_used(ACCOUNT_CONFIG), 0);
}

static int setup(void **state)
{
	(void)state;
	strcpy(place, "/tmp/telegen-receiver-XXXXXX");
	return mkdtemp(place) ? 0 : -1;
}

static int teardown(void **state)
{
	char command[100];
	(void)state;
	snprintf(command, sizeof(command), "rm -rf %s", place);
	return system(command);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(endpoints_become_urls),
	    cmocka_unit_test(a_receiver_that_is_disabled_has_an_endpoint),
	    cmocka_unit_test(secrets_come_from_where_they_are),
	    cmocka_unit_test(what_is_wrong_is_one_line),
	    cmocka_unit_test(tls_without_effect_is_told),
	    cmocka_unit_test(we_are_who_we_are_said_to_be),
	    cmocka_unit_test(each_allocation_may_fail),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
