// SPDX-License-Identifier: Apache-2.0
// The way to a receiver: its name, its addresses, and what lies between, TLS and gRPC.
#include "net_layers.h"

#include "../../modules/net/transport.c"

static void names_are_asked_for(void **state)
{
	(void)state;
	scene();
	client_of("http://collector.test:%u/", NULL);
	uint64_t start = clock_now();
	ask();
	assert_true(clock_now() - start < 500 * NS_PER_MS);
	assert_int_equal(s.result.status, 200);
	assert_true(s.dns_asked >= 1);
	unsigned asked = s.dns_asked;
	ask();
	assert_int_equal(s.dns_asked, asked); // the connection is kept
	// The name moves: the next connection asks again.
	hang_up_(&s.peers[0], false);
	s.v4[0][3] = 2;
	ask();
	assert_true(s.dns_asked > asked);
	assert_int_equal(s.result.error, -ECONNREFUSED);
	assert_false(s.result.reached);
	why_is("connect to collector.test:%u: connection refused: is it running there?");
	s.v4[0][3] = 1;
	ask();
	assert_int_equal(s.result.status, 200);
	strike();
}

static void names_that_have_no_address(void **state)
{
	(void)state;
	static const struct {
		int mode;
		const char *why;
	} rows[] = {
	    {DNS_UNKNOWN,
		"connect to collector.test:%u: the name is not known to DNS: is it spelt right?"},
	    {DNS_EMPTY, "connect to collector.test:%u: DNS knows the name but no address of it: is "
			"it the right name?"},
	    {DNS_SILENT, NULL},
	    {DNS_GARBAGE, NULL},
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		scene();
		s.dns_mode = rows[i].mode;
		client_of("http://collector.test:%u/",
		    &(struct http_client_options){.timeout_ns = 150 * NS_PER_MS});
		ask();
		if (rows[i].why)
			why_is(rows[i].why);
		else
			assert_non_null(strstr(s.why, "DNS server"));
		assert_true(s.result.error == -EHOSTUNREACH || s.result.error == -ETIMEDOUT);
		assert_int_equal(s.accepted, 0);
		s.dns_mode = DNS_ANSWERS;
		ask();
		assert_int_equal(s.result.status, 200);
		s.dns_mode = DNS_SILENT; // and freed while it is asked
		hang_up_(&s.peers[0], false);
		steps(20);
		assert_int_equal(post_now(), 0);
		steps(5);
		strike();
	}
}

static void the_hosts_file_is_read_first(void **state)
{
	(void)state;
	char path[] = "/tmp/net_hosts.XXXXXX";
	int fd = mkstemp(path);
	assert_true(fd >= 0 && write(fd, "127.0.0.1 here.test\n", 20) == 20);
	close(fd);
	setenv("CARES_HOSTS", path, 1);
	scene();
	s.dns_mode = DNS_UNKNOWN;
	client_of("http://here.test:%u/", NULL);
	ask();
	assert_int_equal(s.result.status, 200);
	strike();
	unsetenv("CARES_HOSTS");
	unlink(path);
}

static void addresses_are_tried_in_turn(void **state)
{
	(void)state;
	for (int first = 0; first < 2; first++) {
		scene();
		s.v4_count = 2;
		memcpy(s.v4[1], s.v4[0], 4);
		s.v4[first][3] = 2; // nobody listens there
		client_of("http://collector.test:%u/", NULL);
		ask();
		assert_int_equal(s.result.status, 200);
		strike();
	}
	scene();
	s.v6_count = 1; // ::1, where nobody listens
	s.v6[0][15] = 1;
	client_of("http://collector.test:%u/", NULL);
	ask();
	assert_int_equal(s.result.status, 200);
	strike();
}

static void a_black_hole_gets_a_share_of_the_time(void **state)
{
	(void)state;
	scene();
	// A listener whose queue is full drops what comes: 127.0.0.3.
	int hole = bound(AF_INET, SOCK_STREAM, "127.0.0.3", &s.port), fill[3];
	assert_int_equal(listen(hole, 0), 0);
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(s.port)};
	inet_pton(AF_INET, "127.0.0.3", &a.sin_addr);
	for (int i = 0; i < 3; i++) {
		fill[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
		connect(fill[i], (struct sockaddr *)&a, sizeof(a));
	}
	s.v4_count = 2;
	memcpy(s.v4[1], s.v4[0], 4);
	s.v4[0][3] = 3;
	client_of("http://collector.test:%u/",
	    &(struct http_client_options){.timeout_ns = 600 * NS_PER_MS});
	uint64_t start = clock_now();
	ask();
	assert_int_equal(s.result.status, 200);
	assert_true(clock_now() - start < 500 * NS_PER_MS);
	hang_up_(&s.peers[0], false);
	s.v4_count = 1; // nothing but the hole
	ask();
	assert_int_equal(s.result.error, -ETIMEDOUT);
	assert_false(s.result.reached);
	why_is("connect to collector.test:%u: no connection in time: is it reachable from here, is "
	       "a firewall between?");
	for (int i = 0; i < 3; i++)
		close(fill[i]);
	close(hole);
	strike();
}

static void addresses_as_they_are_written(void **state)
{
	(void)state;
	int probe = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct sockaddr_in6 one = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
	bool none = bind(probe, (struct sockaddr *)&one, sizeof(one)) != 0;
	close(probe);
	if (none) {
		print_message("skip: no IPv6 here\n");
		skip();
	}
	scene();
	close(s.listener);
	s.port = 0;
	s.listener = bound(AF_INET6, SOCK_STREAM, "::1", &s.port);
	assert_int_equal(listen(s.listener, 16), 0);
	client_of("http://[::1]:%u/", NULL);
	ask();
	assert_int_equal(s.result.status, 200);
	char host[40];
	snprintf(host, sizeof(host), "\r\nHost: [::1]:%u\r\n", s.port);
	assert_non_null(strstr(s.request.at, host));
	assert_int_equal(s.dns_asked, 0);
	http_client_free(s.client);
	client_of("http://127.0.0.1:%u/", NULL); // only IPv6 is listened on
	ask();
	why_is("connect to 127.0.0.1:%u: connection refused: is it running there?");
	strike();
}

static void tls_lies_between(void **state)
{
	(void)state;
	scene();
	s.script.sip = 3000;
	s.size = 200000;
	client_of("https://localhost:%u/x", &secure_);
	ask();
	ask();
	assert_int_equal(s.result.status, 200);
	assert_string_equal(s.body, "{}");
	assert_int_equal(s.accepted, 1);
	assert_string_equal(tls_.host, "localhost");
	assert_int_equal(
	    s.request.len, 200000 + (size_t)(strstr(s.request.at, "\r\n\r\n") + 4 - s.request.at));
	hang_up_(&s.peers[0], false);
	s.size = 9;
	ask();
	assert_int_equal(s.accepted, 2);
	assert_int_equal(s.result.status, 200);
	hang_up_(&s.peers[0], false);
	tls_.wrong_certificate = true;
	ask();
	assert_int_equal(s.result.error, -EPROTO);
	assert_false(s.result.reached);
	why_is("connect to localhost:%u: its certificate is for other.example, not collector.test");
	tls_.wrong_certificate = false;
	s.script.stands = true;
	s.client->timeout_ns = 30 * NS_PER_MS;
	ask();
	why_is("connect to localhost:%u: the TLS handshake did not end in time: does it speak TLS "
	       "on this port?");
	strike();
	assert_int_equal(tls_.contexts + tls_.sessions, 0);
	tls_.refuses = true;
	char why[100];
	struct http_client_options o = secure_;
	o.url = "https://h/";
	o.proxy = "";
	assert_null(http_client_new(NULL, &o, why, sizeof(why)));
	assert_int_equal(errno, ENOENT);
	assert_string_equal(why, "tls_ca_file /ca.pem: no such thing");
	tls_.refuses = false;
}

static void grpc_is_carried(void **state)
{
	(void)state;
	scene();
	const char *headers[] = {"a: b", "c:d", NULL};
	s.script = (struct script){.answer = "DONE"};
	s.size = 40000;
	client_of("http://u:p@localhost:%u/svc/Export",
	    &(struct http_client_options){.grpc = true, .headers = headers});
	ask();
	assert_int_equal(s.result.status, 200);
	assert_int_equal(s.result.grpc_status, 0);
	assert_true(s.result.reached);
	assert_string_equal(s.body, "DONE");
	char head[200];
	snprintf(head, sizeof(head),
	    "http://localhost:%u/svc/Export test/1 [a: b] [c: d] [Authorization: Basic dTpw]",
	    s.port);
	assert_string_equal(grpc_head, head);
	ask();
	assert_int_equal(s.accepted, 1);
	// A PING while nothing is under way is answered.
	assert_int_equal(send(s.peers[0].fd, "PING", 4, 0), 4);
	s.script.mute = true;
	UNTIL(s.requests == 3);
	assert_string_equal(s.request.at, "PONG\r\n\r\n");
	s.script.mute = false;
	// And one that came with an answer, when the call is done.
	s.script.answer = "PING DONE";
	ask();
	s.script.mute = true;
	UNTIL(s.requests == 5);
	assert_string_equal(s.request.at, "PONG\r\n\r\n");
	s.script.mute = false;
	// GOAWAY: the answer counts, the next call has a new connection; also while nothing is
	// under way.
	s.script.answer = "BUSY GOAWAY DONE";
	ask();
	assert_int_equal(s.result.grpc_status, 14);
	why_is("send to localhost:%u: UNAVAILABLE");
	assert_int_equal(s.client->transport->stage, CLOSED);
	s.script.answer = "DONE";
	ask();
	assert_int_equal(s.accepted, 2);
	for (unsigned i = 0; i < PEERS; i++)
		if (s.peers[i].fd >= 0)
			send(s.peers[i].fd, "GOAWAY", 6, MSG_NOSIGNAL);
	steps(20);
	assert_int_equal(s.client->transport->stage, CLOSED);
	strike();
}

// The body's end is asked for when the peer has made room for it.
static void a_body_that_cannot_be_read_behind_a_window_ends_the_call(void **state)
{
	(void)state;
	scene();
	s.script = (struct script){.mute = true};
	s.size = 8000;
	s.read_error = -EBADMSG;
	grpc_window = 4000;
	client_of("http://localhost:%u/svc/Export", &(struct http_client_options){.grpc = true});
	assert_int_equal(post_now(), 0);
	UNTIL(s.client->grpc && s.client->grpc->taken >= 4000);
	steps(20);
	assert_int_equal(s.done, 0);
	for (unsigned i = 0; i < PEERS; i++)
		if (s.peers[i].fd >= 0)
			send(s.peers[i].fd, "MORE", 4, MSG_NOSIGNAL);
	steps(60);
	assert_int_equal(s.done, 1);
	assert_int_equal(s.result.error, -EBADMSG);
	grpc_window = 0;
	strike();
}

static void grpc_that_fails(void **state)
{
	(void)state;
	scene();
	s.script = (struct script){.answer = "DONE", .drops_second = true};
	client_of("http://localhost:%u/svc", &(struct http_client_options){.grpc = true});
	ask();
	ask();
	assert_int_equal(s.result.status, 200);
	assert_int_equal(s.accepted, 2);
	// A kept session that does not take the call: once more, on a new one. A new one that does
	// not is a failure.
	s.script = (struct script){.answer = "UNTAKEN"};
	ask();
	assert_int_equal(s.accepted, 3);
	assert_int_equal(s.result.error, -ECONNRESET);
	assert_false(s.result.reached);
	why_is("send to localhost:%u: it goes away");
	s.script = (struct script){.answer = "X", .hangs_up = true};
	ask();
	assert_int_equal(s.result.error, -EPROTO);
	assert_true(s.result.reached);
	why_is("send to localhost:%u: it does not speak HTTP/2");
	s.script = (struct script){.answer = "DONE"};
	s.read_error = -EBADMSG;
	s.size = 40000;
	ask();
	assert_int_equal(s.result.error, -EBADMSG);
	s.script = (struct script){.answer = "DON", .hangs_up = true};
	s.read_error = 0;
	ask();
	assert_int_equal(s.result.error, -ECONNRESET);
	why_is("send to localhost:%u: it closed the connection in the middle of its answer");
	strike();
	// Through a proxy it always is a tunnel.
	scene();
	s.script = (struct script){.answer = "DONE", .tunnels = true};
	client_of("http://collector.test/svc",
	    &(struct http_client_options){.grpc = true, .proxy = proxy_url()});
	ask();
	assert_int_equal(s.result.status, 200);
	assert_int_equal(s.requests, 2);
	strike();
}

static void every_allocation_may_fail(void **state)
{
	(void)state;
	for (int grpc = 0; grpc < 2; grpc++) {
		for (uint64_t n = 1;; n++) {
			scene();
			s.script = (struct script){.tunnels = true, .answer = grpc ? "DONE" : NULL};
			struct http_client_options o = secure_;
			o.grpc = grpc;
			o.proxy = proxy_url();
			mem_fail_at(n);
			client_of("https://u:p@collector.test/x", &o);
			int error = s.client ? post_now() : -ENOMEM;
			for (unsigned i = 0; !error && !s.done && i < 20000; i++)
				steps(1);
			bool more = mem_fail_seen() >= n;
			mem_fail_at(0);
			assert_true(!s.client || error || s.done);
			if (s.client) {
				ask();
				assert_int_equal(s.result.status, 200);
			}
			strike();
			if (!more)
				break;
		}
	}
}

static void c_ares_may_have_no_memory(void **state)
{
	(void)state;
	unsigned failed = 0;
	for (uint64_t room = 0; room < 140000; room += 1000) {
		scene();
		client_of("http://collector.test:%u/",
		    &(struct http_client_options){.timeout_ns = 150 * NS_PER_MS});
		mem_limit(mem_total() + room);
		int error = post_now();
		for (unsigned i = 0; !error && !s.done && i < 50000; i++) {
			loop_turn(s.loop);
			uint64_t limit = mem_limit_get();
			mem_limit(0); // not for what stands around the client
			serve();
			mem_limit(limit);
			usleep(20);
		}
		mem_limit(0);
		assert_true(error || s.done);
		failed += error || s.result.error;
		if (!error && s.result.error)
			assert_true(s.result.error == -EHOSTUNREACH || s.result.error == -ENOMEM ||
				    s.result.error == -ETIMEDOUT);
		ask();
		assert_int_equal(s.result.status, 200);
		strike();
	}
	assert_true(failed > 10 && failed < 135);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(names_are_asked_for),
	    cmocka_unit_test(names_that_have_no_address),
	    cmocka_unit_test(the_hosts_file_is_read_first),
	    cmocka_unit_test(addresses_are_tried_in_turn),
	    cmocka_unit_test(a_black_hole_gets_a_share_of_the_time),
	    cmocka_unit_test(addresses_as_they_are_written),
	    cmocka_unit_test(tls_lies_between),
	    cmocka_unit_test(grpc_is_carried),
	    cmocka_unit_test(a_body_that_cannot_be_read_behind_a_window_ends_the_call),
	    cmocka_unit_test(grpc_that_fails),
	    cmocka_unit_test(every_allocation_may_fail),
	    cmocka_unit_test(c_ares_may_have_no_memory),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
