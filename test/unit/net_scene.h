// SPDX-License-Identifier: Apache-2.0
// A receiver with one script on a loopback socket, a DNS server on another, and the client between,
// all driven turn by turn in one thread.
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "../../modules/loop/loop.h"
#include "../../modules/net/client.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define PEERS 8
#define SECRET "s3cr3t"

// What the receiver does with a connection. Zeroes: it reads a request, answers 200, and goes on.
struct script {
	const char *answer; // NULL: 200 with "{}"
	size_t answer_size; // 0: strlen
	bool mute;	    // never answers
	bool early;	    // answers when the request's head is here
	bool hangs_up;	    // closes behind the answer
	bool drops_second;  // closes when the second request of a connection is here, without an
			    // answer
	bool stands;	    // reads nothing at all
	size_t sip;	    // reads so many bytes a turn; 0: all
	size_t reset_in;    // resets behind so many bytes of the request, less one; 0: never
	size_t reset_out;   // and of the answer
	bool tunnels;	    // what comes behind the head of a CONNECT is another request
};

struct peer {
	int fd;
	unsigned requests;
	struct text in;
	const char *out;
	size_t left, read, sent;
};

static struct {
	struct loop *loop;
	struct http_client *client;
	int listener, dns;
	uint16_t port, dns_port;
	struct script script;
	struct peer peers[PEERS];
	unsigned accepted, requests;
	struct text request; // the last whole one
	uint64_t size, most; // of the body; how much of it was read
	int64_t read_error;
	// What DONE told.
	unsigned done;
	struct http_result result;
	char why[1100];
	char *body; // NUL behind it
	bool frees, posts;
	// DNS: mode and addresses; each as 4 or 16 bytes.
	enum { DNS_ANSWERS, DNS_SILENT, DNS_UNKNOWN, DNS_EMPTY, DNS_GARBAGE } dns_mode;
	unsigned dns_asked, v4_count, v6_count;
	uint8_t v4[4][4], v6[4][16];
} s;

static char letter(uint64_t at)
{
	return (char)('a' + at % 23);
}

static int64_t read_body_(void *arg, uint64_t at, void *bytes, size_t size)
{
	(void)arg;
	assert_true(size && size <= CLIENT_PIECE && at + size <= s.size);
	if (s.read_error && at >= s.size / 2)
		return s.read_error;
	size = size > 1000 ? size - 1 : size; // it may give less than is asked for
	for (size_t i = 0; i < size; i++)
		((char *)bytes)[i] = letter(at + i);
	s.most = at + size > s.most ? at + size : s.most;
	return (int64_t)size;
}

static void on_done(void *arg, const struct http_result *result);
static const struct http_post post_ = {.content_type = "application/x-protobuf",
    .content_encoding = "gzip",
    .read = read_body_,
    .done = on_done};

static int post_now(void)
{
	struct http_post post = post_;
	post.size = s.size;
	return http_client_post(s.client, &post);
}

static void on_done(void *arg, const struct http_result *result)
{
	(void)arg;
	s.done++;
	s.result = *result;
	assert_null(strstr(result->why, SECRET));
	assert_null(strchr(result->why, '\n'));
	assert_true(strlen(result->why) < sizeof(s.why));
	text_copy(s.why, sizeof(s.why), result->why);
	// A request that failed says why and to whom.
	assert_true(!result->error || *result->why);
	if (s.posts) {
		s.posts = false;
		assert_int_equal(post_now(), 0);
	}
	if (s.frees) {
		http_client_free(s.client);
		s.client = NULL;
		s.result.body = NULL;
		return;
	}
	free(s.body);
	s.body = calloc(1, result->size + 1);
	if (result->size)
		memcpy(s.body, result->body, result->size);
}

static int bound(int family, int type, const char *ip, uint16_t *port)
{
	struct sockaddr_storage a = {.ss_family = (sa_family_t)family};
	struct sockaddr_in *v4 = (struct sockaddr_in *)&a;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&a;
	socklen_t n = family == AF_INET ? sizeof(*v4) : sizeof(*v6);
	inet_pton(family, ip, family == AF_INET ? (void *)&v4->sin_addr : (void *)&v6->sin6_addr);
	v4->sin_port = htons(*port); // at the same place in both
	int fd = socket(family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	assert_true(fd >= 0);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int));
	assert_int_equal(bind(fd, (struct sockaddr *)&a, n), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &n), 0);
	*port = ntohs(v4->sin_port);
	return fd;
}

static void hang_up_(struct peer *p, bool reset)
{
	if (reset)
		setsockopt(p->fd, SOL_SOCKET, SO_LINGER, &(struct linger){.l_onoff = 1},
		    sizeof(struct linger));
	close(p->fd);
	text_free(&p->in);
	*p = (struct peer){.fd = -1};
}

// The receiver itself does not run out of memory where a test says that the client does.
static void add_(struct text *t, const char *bytes, size_t n)
{
	while (text_add(t, bytes, n))
		t->error = 0;
}

static void answer_(struct peer *p)
{
	static const char ok[] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}";
	p->requests++;
	s.requests++;
	text_reset(&s.request);
	add_(&s.request, p->in.at, p->in.len);
	bool connects = s.script.tunnels && strncmp(p->in.at, "CONNECT ", 8) == 0;
	text_reset(&p->in);
	p->out = connects	   ? "HTTP/1.1 200 Established\r\n\r\n"
		 : s.script.answer ? s.script.answer
				   : ok;
	p->left = !connects && s.script.answer_size ? s.script.answer_size : strlen(p->out);
	if (s.script.mute || (s.script.drops_second && p->requests == 2))
		p->left = 0;
	if (s.script.drops_second && p->requests == 2)
		hang_up_(p, false);
}

static void listen_to(struct peer *p)
{
	char bytes[65536];
	size_t most = s.script.sip ? s.script.sip : sizeof(bytes);
	if (s.script.reset_in && most > s.script.reset_in - 1 - p->read)
		most = s.script.reset_in - 1 - p->read;
	ssize_t n = most ? recv(p->fd, bytes, most, 0) : 0;
	if (n < 0 && errno == EAGAIN)
		return;
	if (n <= 0) {
		hang_up_(p, s.script.reset_in != 0);
		return;
	}
	p->read += (size_t)n;
	// What stands in for TLS in a test begins with H and is answered with h.
	bool hello = !p->in.len && bytes[0] == 'H';
	if (hello && send(p->fd, "h", 1, MSG_NOSIGNAL) != 1)
		fail_msg("no handshake");
	if (hello && !--n)
		return;
	memmove(bytes, bytes + hello, (size_t)n);
	add_(&p->in, bytes, (size_t)n);
	char *end = strstr(p->in.at, "\r\n\r\n"),
	     *length = strcasestr(p->in.at, "content-length: ");
	uint64_t size = length && length < end ? strtoull(length + 16, NULL, 10) : 0;
	if (end &&
	    (s.script.early ? p->requests == 0 : p->in.len >= size + (size_t)(end + 4 - p->in.at)))
		answer_(p);
}

static void speak_to(struct peer *p)
{
	size_t most = p->left;
	if (s.script.reset_out && most > s.script.reset_out - 1 - p->sent)
		most = s.script.reset_out - 1 - p->sent;
	ssize_t n = most ? send(p->fd, p->out, most, MSG_NOSIGNAL) : 0;
	if (n < 0 && errno != EAGAIN) {
		hang_up_(p, false);
		return;
	}
	n = n < 0 ? 0 : n;
	p->out += n;
	p->left -= (size_t)n;
	p->sent += (size_t)n;
	if (s.script.reset_out && p->sent == s.script.reset_out - 1)
		hang_up_(p, true);
	else if (!p->left && s.script.hangs_up)
		hang_up_(p, false);
}

// The question is answered with all addresses of its type (RFC 1035, 4.1).
static void dns_step(void)
{
	uint8_t q[512], a[1024];
	struct sockaddr_in from;
	socklen_t n = sizeof(from);
	ssize_t size = recvfrom(s.dns, q, sizeof(q), 0, (struct sockaddr *)&from, &n);
	if (size < 17)
		return;
	s.dns_asked++;
	if (s.dns_mode == DNS_SILENT)
		return;
	size_t end = 12 + strlen((char *)q + 12) + 5;
	bool v6 = q[end - 3] == 28;
	unsigned count = s.dns_mode != DNS_ANSWERS ? 0 : v6 ? s.v6_count : s.v4_count;
	memset(a, 0, sizeof(a));
	memcpy(a, q, end);
	a[2] = 0x81;
	a[3] = s.dns_mode == DNS_UNKNOWN ? 0x83 : 0x80;
	a[7] = (uint8_t)count;
	memset(a + 8, 0, 4);
	for (unsigned i = 0; i < count; i++) {
		size_t bytes = v6 ? 16 : 4;
		const uint8_t head[] = {
		    0xc0, 12, 0, v6 ? 28 : 1, 0, 1, 0, 0, 0, 0, 0, (uint8_t)bytes};
		memcpy(a + end, head, sizeof(head));
		memcpy(a + end + sizeof(head), v6 ? s.v6[i] : s.v4[i], bytes);
		end += sizeof(head) + bytes;
	}
	if (s.dns_mode == DNS_GARBAGE)
		memset(a + 4, 0xff, end - 4);
	sendto(s.dns, a, end, 0, (struct sockaddr *)&from, n);
}

static void serve(void)
{
	int fd =
	    s.script.stands ? -1 : accept4(s.listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	for (unsigned i = 0; i < PEERS; i++) {
		struct peer *p = &s.peers[i];
		if (fd >= 0 && p->fd < 0) {
			*p = (struct peer){.fd = fd, .in = TEXT(ACCOUNT_BASE)};
			fd = -1;
			s.accepted++;
		}
		if (p->fd >= 0)
			listen_to(p);
		if (p->fd >= 0 && (p->left || (s.script.reset_out && p->requests)))
			speak_to(p);
	}
	dns_step();
}

static void step(void)
{
	loop_turn(s.loop);
	serve();
}

#define UNTIL(condition)                                                                           \
	for (uint64_t end_ = clock_now() + 20 * NS_PER_S; !(condition); usleep(20)) {              \
		step();                                                                            \
		if (clock_now() > end_)                                                            \
			fail_msg("waited in vain for %s", #condition);                             \
	}

__attribute__((unused)) static void steps(unsigned n)
{
	while (n--) {
		step();
		usleep(20);
	}
}

static void scene(void)
{
	free(s.body);
	memset(&s, 0, sizeof(s));
	for (unsigned i = 0; i < PEERS; i++)
		s.peers[i].fd = -1;
	s.loop = loop_new();
	s.request = TEXT(ACCOUNT_BASE);
	s.size = 20;
	s.listener = bound(AF_INET, SOCK_STREAM, "127.0.0.1", &s.port);
	assert_int_equal(listen(s.listener, 16), 0);
	s.dns = bound(AF_INET, SOCK_DGRAM, "127.0.0.1", &s.dns_port);
	s.v4_count = 1;
	inet_pton(AF_INET, "127.0.0.1", s.v4[0]);
}

// Reads URL with %u for the receiver's port.
static struct http_client *client_of(const char *url, const struct http_client_options *o)
{
	static char servers[40];
	char text[300], why[300] = "";
	struct http_client_options options = o ? *o : (struct http_client_options){0};
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
	snprintf(text, sizeof(text), url, s.port);
	options.url = text;
	options.proxy = options.proxy ? options.proxy : "";
	options.user_agent = options.user_agent ? options.user_agent : "test/1";
	s.client = http_client_new(s.loop, &options, why, sizeof(why));
	if (!s.client && !mem_fail_seen())
		fail_msg("%s", why);
	snprintf(servers, sizeof(servers), "127.0.0.1:%u", s.dns_port);
	if (s.client)
		s.client->transport->options.servers = servers;
	return s.client;
}

static void ask(void)
{
	unsigned before = s.done;
	s.most = 0;
	assert_int_equal(post_now(), 0);
	UNTIL(s.done > before);
}

static void strike(void)
{
	http_client_free(s.client);
	s.client = NULL;
	for (unsigned i = 0; i < PEERS; i++)
		if (s.peers[i].fd >= 0)
			hang_up_(&s.peers[i], false);
	close(s.listener);
	close(s.dns);
	text_free(&s.request);
	loop_free(s.loop);
	free(s.body);
	s.body = NULL;
	assert_int_equal(mem_used(ACCOUNT_NET), 0);
	assert_int_equal(mem_used(ACCOUNT_BASE), 0);
}
