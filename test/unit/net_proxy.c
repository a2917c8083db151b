// SPDX-License-Identifier: Apache-2.0
// Which proxy is taken, and the way through it.
#include "../../modules/net/proxy.c"

#include "net_layers.h"

static void a_proxy_gets_plain_requests_whole(void **state)
{
	(void)state;
	scene();
	client_of(
	    "http://u:p@collector.test/v1?x", &(struct http_client_options){.proxy = proxy_url()});
	ask();
	assert_int_equal(s.result.status, 200);
	assert_int_equal(s.dns_asked, 0); // the proxy asks
	const char *head =
	    "POST http://collector.test/v1?x HTTP/1.1\r\nHost: collector.test\r\n"
	    "Authorization: Basic dTpw\r\nProxy-Authorization: Basic cHU6czNjcjN0\r\n";
	assert_memory_equal(s.request.at, head, strlen(head));
	s.script.answer = "HTTP/1.1 407 X\r\nContent-Length: 0\r\n\r\n";
	ask();
	assert_int_equal(s.result.status, 407);
	assert_int_equal(s.accepted, 1);
	strike();
}

static void a_proxy_lets_tls_through(void **state)
{
	(void)state;
	scene();
	s.script.tunnels = true;
	struct http_client_options o = secure_;
	o.proxy = proxy_url();
	o.tls.server_name = "inner.test";
	client_of("https://collector.test/x", &o);
	assert_int_equal(post_now(), 0);
	UNTIL(s.requests == 1);
	assert_string_equal(s.request.at,
	    "CONNECT collector.test:443 HTTP/1.1\r\nHost: collector.test:443\r\n"
	    "User-Agent: test/1\r\nProxy-Authorization: Basic cHU6czNjcjN0\r\n\r\n");
	UNTIL(s.done);
	assert_int_equal(s.result.status, 200);
	assert_string_equal(tls_.host, "inner.test");
	assert_memory_equal(s.request.at, "POST /x HTTP/1.1\r\nHost: collector.test\r\n", 40);
	assert_null(strstr(s.request.at, "Proxy"));
	ask();
	assert_int_equal(s.accepted, 1);
	strike();
}

static void a_proxy_that_does_not(void **state)
{
	(void)state;
	static const struct {
		struct script script;
		int error;
		const char *why;
	} rows[] = {
	    {{.answer = "HTTP/1.1 407 X\r\nContent-Length: 500\r\n\r\n"}, -EACCES,
		"the proxy wants credentials (407): are user:password@ in the proxy's URL right?"},
	    {{.answer = "HTTP/1.1 403 X\r\nContent-Length: 0\r\n\r\n"}, -ECONNREFUSED,
		"the proxy does not let it through (403): does it allow CONNECT to there?"},
	    {{.answer = "SSH-2.0-OpenSSH\r\n"}, -EPROTO,
		"the proxy's answer is no HTTP/1.1: is it a proxy for HTTP?"},
	    {{.answer = "HTT", .hangs_up = true}, -ECONNRESET,
		"the proxy closed the connection without an answer"},
	    {{.mute = true}, -ETIMEDOUT, "the proxy did not answer in time"},
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		scene();
		s.script = rows[i].script;
		struct http_client_options o = secure_;
		o.proxy = proxy_url();
		o.timeout_ns = 100 * NS_PER_MS;
		client_of("https://collector.test/x", &o);
		ask();
		assert_int_equal(s.result.error, rows[i].error);
		assert_int_equal(s.result.status, 0);
		assert_false(s.result.reached);
		char why[300];
		snprintf(why, sizeof(why),
		    "connect to collector.test:443 through the proxy 127.0.0.1:%u: %s", s.port,
		    rows[i].why);
		assert_string_equal(s.why, why);
		strike();
	}
	// 32 KiB of head and more, a byte's piece at a time.
	scene();
	struct text endless = TEXT(ACCOUNT_WIRE);
	text_puts(&endless, "HTTP/1.1 200 X\r\n");
	while (endless.len < 50000)
		text_puts(&endless, "A: b\r\n");
	s.script.answer = endless.at;
	struct http_client_options o = secure_;
	o.proxy = proxy_url();
	client_of("https://collector.test/x", &o);
	ask();
	assert_int_equal(s.result.error, -EPROTO);
	strike();
	text_free(&endless);
}

static void which_proxy_is_taken(void **state)
{
	(void)state;
	static const struct {
		const char *url, *variables[4], *proxy;
	} rows[] = {
	    {"https://h/",
		{"https_proxy=http://a:1", "HTTPS_PROXY=http://b:2", "http_proxy=http://c:3"},
		"a:1"},
	    {"https://h/", {"https_proxy=", "HTTPS_PROXY=b:2"}, "b:2"},
	    {"http://h/", {"HTTP_PROXY=http://c", "HTTPS_PROXY=http://b:2"}, "c:80"},
	    {"http://h/", {"HTTPS_PROXY=http://b:2"}, NULL},
	    {"http://h/", {"http_proxy=http://c:3", "NO_PROXY=x, h"}, NULL},
	    {"http://h/", {"http_proxy=http://c:3", "no_proxy=x", "NO_PROXY=h"}, "c:3"},
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		const char *names[] = {"http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY",
		    "no_proxy", "NO_PROXY"};
		for (size_t j = 0; j < 6; j++)
			unsetenv(names[j]);
		for (size_t j = 0; rows[i].variables[j]; j++)
			putenv((char *)rows[i].variables[j]);
		struct url to, proxy;
		char why[200];
		assert_int_equal(url_parse(&to, "url", rows[i].url, why, sizeof(why)), 0);
		assert_int_equal(
		    proxy_choose(&proxy, NULL, &to, why, sizeof(why)), rows[i].proxy != NULL);
		assert_string_equal(proxy.where, rows[i].proxy ? rows[i].proxy : "");
		url_free(&proxy);
		assert_int_equal(proxy_choose(&proxy, "", &to, why, sizeof(why)), 0);
		setenv(to.tls ? "https_proxy" : "http_proxy", "http://u:" SECRET "@p:x", 1);
		setenv("no_proxy", "none", 1);
		assert_int_equal(proxy_choose(&proxy, NULL, &to, why, sizeof(why)), -EINVAL);
		assert_string_equal(why,
		    to.tls ? "https_proxy http://p:x: its port is not a number from 1 to 65535"
			   : "http_proxy http://p:x: its port is not a number from 1 to 65535");
		url_free(&to);
		for (size_t j = 0; j < 6; j++)
			unsetenv(names[j]);
	}
	assert_int_equal(mem_used(ACCOUNT_NET), 0);
}

static void a_proxy_of_another_kind_is_refused(void **state)
{
	(void)state;
	static const struct {
		const char *value, *shown;
	} rows[] = {
	    {"socks5://p:1080", "socks5://p:1080"},
	    {"socks5h://u:" SECRET "@p:1080/x", "socks5h://p:1080"},
	    {"SOCKS4://u:" SECRET "/@p", "SOCKS4://p"},
	    {"https://u:" SECRET "@p:3128", "https://p:3128"},
	    {"://p", "://p"},
	};
	struct url to, proxy;
	char why[300], wanted[300];
	assert_int_equal(url_parse(&to, "url", "https://a.test:4318/", why, sizeof(why)), 0);
	for (size_t i = 0; i < 2 * sizeof(rows) / sizeof(*rows); i++) {
		bool variable = i & 1;
		setenv("HTTPS_PROXY", variable ? rows[i / 2].value : "", 1);
		assert_int_equal(proxy_choose(&proxy, variable ? NULL : rows[i / 2].value, &to, why,
				     sizeof(why)),
		    -EINVAL);
		snprintf(wanted, sizeof(wanted),
		    "%s %s: a proxy is spoken to over http:// alone (CONNECT): name such a one, or "
		    "%s",
		    variable ? "HTTPS_PROXY" : "proxy", rows[i / 2].shown,
		    variable ? "except a.test in NO_PROXY" : "leave it empty for none");
		assert_string_equal(why, wanted);
		assert_null(proxy.path);
	}
	unsetenv("HTTPS_PROXY");
	url_free(&to);
	assert_int_equal(mem_used(ACCOUNT_NET), 0);
}

static void what_no_proxy_excepts(void **state)
{
	(void)state;
	static const struct {
		const char *list, *url;
		bool excepts;
	} rows[] = {
	    {"*", "http://a/", true},
	    {"", "http://a/", false},
	    {" , ", "http://a/", false},
	    {"a", "http://A/", true},
	    {"b,a", "http://a/", true},
	    {"b a", "http://a/", true},
	    {"a.test", "http://x.a.test/", true},
	    {"a.test", "http://xa.test/", false},
	    {".a.test", "http://x.a.test/", true},
	    {".a.test", "http://a.test/", true},
	    {"*.a.test", "http://x.a.test/", true},
	    {"a.test.", "http://a.test/", true},
	    {"a.test", "http://a.test./", true},
	    {".", "http://a/", false},
	    {"x.a.test", "http://a.test/", false},
	    {"a:80", "http://a/", true},
	    {"a:443", "https://a/", true},
	    {"a:81", "http://a/", false},
	    {"a:x", "http://a/", false},
	    {"10.1.2.3", "http://10.1.2.3/", true},
	    {"10.1.2.3:80", "http://10.1.2.3/", true},
	    {"10.1.2.3:8", "http://10.1.2.3/", false},
	    {"1.2.3", "http://10.1.2.3/", false},
	    {"10.0.0.0/8", "http://10.1.2.3/", true},
	    {"10.1.2.0/23", "http://10.1.3.3/", true},
	    {"10.1.2.0/24", "http://10.1.3.3/", false},
	    {"0.0.0.0/0", "http://10.1.3.3/", true},
	    {"0.0.0.0/0", "http://[::1]/", false},
	    {"0.0.0.0/0", "http://a/", false},
	    {"10.0.0.0/33", "http://10.0.0.0/", false},
	    {"10.0.0.0/x", "http://10.0.0.0/", false},
	    {"::1", "http://[::1]/", true},
	    {"[::1]", "http://[::1]/", true},
	    {"[::1]:80", "http://[::1]/", true},
	    {"[::1]:81", "http://[::1]/", false},
	    {"fd00::/8", "http://[fd12::1]/", true},
	    {"fd00::/9", "http://[fd80::1]/", false},
	    {"::/129", "http://[::1]/", false},
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct url to;
		char why[200];
		assert_int_equal(url_parse(&to, "url", rows[i].url, why, sizeof(why)), 0);
		if (proxy_excepts(rows[i].list, &to) != rows[i].excepts)
			fail_msg("\"%s\" and %s", rows[i].list, rows[i].url);
		url_free(&to);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_proxy_gets_plain_requests_whole),
	    cmocka_unit_test(a_proxy_lets_tls_through),
	    cmocka_unit_test(a_proxy_that_does_not),
	    cmocka_unit_test(which_proxy_is_taken),
	    cmocka_unit_test(a_proxy_of_another_kind_is_refused),
	    cmocka_unit_test(what_no_proxy_excepts),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
