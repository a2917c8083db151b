// SPDX-License-Identifier: Apache-2.0
// TLS against a server of the same library over a socketpair, with certificates made here.
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "../../modules/net/trust.c"
#include "../../modules/net/identity.c"
static unsigned trust_steps; // of certificates: none where a session was resumed
#define trust_step(...) (trust_steps++, trust_step(__VA_ARGS__))
#include "../../modules/net/tls.c"
#undef trust_step

#include <fcntl.h>
#include <mbedtls/ssl_ticket.h>
#include <stdlib.h>

#include "net_certificates.h"

#define HOST "collector.example"
static const uint8_t v4[] = {10, 1, 2, 3};
static const uint8_t v6[] = {0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7};

enum {
	CA_OK,
	CA_TWIN,
	CA_OTHER,
	GOOD,
	EXPIRED,
	FUTURE,
	WRONG,
	UNKNOWN,
	TWIN,
	ADDRESSES,
	WILD,
	CN,
	CLIENT,
	CLIENT2,
	FOR_CLIENTS,
	SELF,
	MIDDLE,
	LEAF,
	OLD_MIDDLE,
	OLD_LEAF,
	PAIR_RSA,
	FORGED,
	LAST_CA,
	BELOW_LAST,
	FAR,
	SHA1_SIGNED,
	LIMITED,
	CERTIFICATES
};
static const struct {
	struct certificate_spec spec;
	int issuer; // -1: itself
} made[CERTIFICATES] = {
    [CA_OK] = {{"CN=Test Root", .ca = true}, -1},
    [CA_TWIN] = {{"CN=Test Root", .ca = true}, -1}, // the same name, another key
    [CA_OTHER] = {{"CN=Other Root", .ca = true}, -1},
    [GOOD] = {{"CN=x", .dns = "a.example", .dns2 = HOST}, CA_OK},
    [EXPIRED] = {{"CN=x", .dns = HOST, .from_days = -30, .to_days = -3}, CA_OK},
    [FUTURE] = {{"CN=x", .dns = HOST, .from_days = 3, .to_days = 30}, CA_OK},
    [WRONG] = {{"CN=" HOST, .dns = "other.example", .ip = v4, .ip_len = 4}, CA_OK},
    [UNKNOWN] = {{"CN=x", .dns = HOST}, CA_OTHER},
    [TWIN] = {{"CN=x", .dns = HOST}, CA_TWIN},
    [ADDRESSES] = {{"CN=10.9.9.9", .dns = "10.8.8.8", .ip = v6, .ip_len = 16}, CA_OK},
    [WILD] = {{"CN=x", .dns = "*.example"}, CA_OK},
    [CN] = {{"CN=" HOST}, CA_OK},
    [CLIENT] = {{"CN=client"}, CA_OK},
    [CLIENT2] = {{"CN=client two"}, CA_OK},
    [FOR_CLIENTS] = {{"CN=x", .dns = HOST, .client = true}, CA_OK},
    [SELF] = {{"CN=self", .dns = HOST}, -1},
    [MIDDLE] = {{"CN=Middle", .ca = true}, CA_OK},
    [LEAF] = {{"CN=x", .dns = HOST}, MIDDLE},
    [OLD_MIDDLE] = {{"CN=Old", .ca = true, .from_days = -30, .to_days = -2}, CA_OK},
    [OLD_LEAF] = {{"CN=x", .dns = HOST}, OLD_MIDDLE},
    [PAIR_RSA] = {{"CN=x", .dns = HOST, .rsa = true}, CA_OK},
    [FORGED] = {{"CN=y", .dns = HOST}, GOOD}, // by a certificate that is no CA's
    [LAST_CA] = {{"CN=Last", .ca = true, .below = 1}, CA_OK},
    [BELOW_LAST] = {{"CN=Below", .ca = true}, LAST_CA},
    [FAR] = {{"CN=x", .dns = HOST}, BELOW_LAST},
    [SHA1_SIGNED] = {{"CN=x", .dns = HOST, .sha1 = true}, CA_OK},
    [LIMITED] = {{"CN=Limited", .ca = true, .limited = true}, CA_OK},
};
static struct certificate cert[CERTIFICATES];
static char folder[] = "/tmp/net_tls.XXXXXX";
static char path_text[8][64];

static const char *path(const char *name)
{
	static unsigned turn;
	char *to = path_text[turn++ % 8];
	snprintf(to, sizeof(path_text[0]), "%s/%s", folder, name);
	return to;
}

static void put(const char *name, const char *a, const char *b)
{
	FILE *f = fopen(path(name), "w");
	assert_non_null(f);
	fprintf(f, "%s%s", a, b);
	fclose(f);
}

// A server at the other end, and what it is to do.
struct server {
	mbedtls_ssl_context ssl;
	mbedtls_ssl_config config;
	mbedtls_x509_crt cert, ca;
	mbedtls_ssl_ticket_context *tickets;
	int fd;
	bool done, dead, one_byte;
	int64_t quota; // bytes that it sends before it goes; -1: all
};

static int server_give(void *arg, const unsigned char *bytes, size_t n)
{
	struct server *s = arg;
	if (s->quota == 0) {
		s->dead = true;
		return MBEDTLS_ERR_SSL_WANT_WRITE;
	}
	if (s->one_byte)
		n = 1;
	if (s->quota > 0 && n > (size_t)s->quota)
		n = (size_t)s->quota;
	ssize_t put_ = send(s->fd, bytes, n, MSG_NOSIGNAL | MSG_DONTWAIT);
	if (put_ > 0 && s->quota > 0)
		s->quota -= put_;
	return put_ >= 0 ? (int)put_ : errno == EAGAIN ? MBEDTLS_ERR_SSL_WANT_WRITE : -1;
}

static int server_take(void *arg, unsigned char *bytes, size_t n)
{
	struct server *s = arg;
	ssize_t got = recv(s->fd, bytes, s->one_byte ? 1 : n, MSG_DONTWAIT);
	return got >= 0 ? (int)got : errno == EAGAIN ? MBEDTLS_ERR_SSL_WANT_READ : -1;
}

static void server_init(struct server *s, int fd, int which, int with)
{
	static const char *protocols[] = {"http/1.1", NULL};
	memset(s, 0, sizeof(*s));
	s->fd = fd;
	s->quota = -1;
	mbedtls_ssl_init(&s->ssl);
	mbedtls_ssl_config_init(&s->config);
	mbedtls_x509_crt_init(&s->cert);
	mbedtls_x509_crt_init(&s->ca);
	assert_int_equal(mbedtls_ssl_config_defaults(&s->config, MBEDTLS_SSL_IS_SERVER,
			     MBEDTLS_SSL_TRANSPORT_STREAM, MBEDTLS_SSL_PRESET_DEFAULT),
	    0);
	mbedtls_ssl_conf_rng(&s->config, test_rng, NULL);
	mbedtls_ssl_conf_alpn_protocols(&s->config, protocols);
	assert_int_equal(mbedtls_x509_crt_parse(
			     &s->cert, (uint8_t *)cert[which].pem, strlen(cert[which].pem) + 1),
	    0);
	if (with >= 0)
		assert_int_equal(mbedtls_x509_crt_parse(&s->cert, (uint8_t *)cert[with].pem,
				     strlen(cert[with].pem) + 1),
		    0);
	assert_int_equal(mbedtls_ssl_conf_own_cert(&s->config, &s->cert, &cert[which].key), 0);
}

static void server_wants_client(struct server *s)
{
	assert_int_equal(
	    mbedtls_x509_crt_parse(&s->ca, (uint8_t *)cert[CA_OK].pem, strlen(cert[CA_OK].pem) + 1),
	    0);
	mbedtls_ssl_conf_ca_chain(&s->config, &s->ca, NULL);
	mbedtls_ssl_conf_authmode(&s->config, MBEDTLS_SSL_VERIFY_REQUIRED);
}

static void server_start(struct server *s)
{
	assert_int_equal(mbedtls_ssl_setup(&s->ssl, &s->config), 0);
	mbedtls_ssl_set_bio(&s->ssl, s, server_give, server_take, NULL);
}

static void server_free(struct server *s)
{
	mbedtls_ssl_free(&s->ssl);
	mbedtls_ssl_config_free(&s->config);
	mbedtls_x509_crt_free(&s->cert);
	mbedtls_x509_crt_free(&s->ca);
}

static struct pair {
	int fd[2];
	struct server server;
	struct tls_context *context;
	struct tls *tls;
	char why[512];
	unsigned turns;
} p;

static void pair_open(struct tls_context *c, const char *host, int which, int with)
{
	p.why[0] = '\0';
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, p.fd), 0);
	server_init(&p.server, p.fd[1], which, with);
	p.context = c;
	p.tls = tls_new(c, p.fd[0], host, p.why, sizeof(p.why));
}

static void pair_close(void)
{
	tls_free(p.tls);
	p.tls = NULL;
	server_free(&p.server);
	close(p.fd[0]);
	if (p.fd[1] >= 0)
		close(p.fd[1]);
}

// Both ends in turn until the client is through or has failed.
static int shake(void)
{
	int error = -EAGAIN;
	if (!p.tls)
		return -errno;
	for (p.turns = 0; p.turns < 100000 && error == -EAGAIN; p.turns++) {
		error = tls_handshake(p.tls);
		assert_true(error != -EAGAIN || tls_wants(p.tls) == LOOP_READ ||
			    tls_wants(p.tls) == LOOP_WRITE);
		if (!p.server.done && !p.server.dead) {
			int r = mbedtls_ssl_handshake(&p.server.ssl);
			p.server.done = r == 0;
			if (r && r != MBEDTLS_ERR_SSL_WANT_READ && r != MBEDTLS_ERR_SSL_WANT_WRITE)
				p.server.dead = true;
		}
		if (p.server.dead && p.fd[1] >= 0) {
			close(p.fd[1]);
			p.fd[1] = -1;
		}
	}
	for (int i = 0; !error && i < 100 && !p.server.done; i++)
		p.server.done = mbedtls_ssl_handshake(&p.server.ssl) == 0;
	if (error)
		snprintf(p.why, sizeof(p.why), "%s", tls_why(p.tls));
	return error;
}

static struct tls_context *context(const char *ca, const char *own, bool h2)
{
	char why[256] = "", own_cert[64], own_key[64];
	snprintf(own_cert, sizeof(own_cert), "%s/%s.crt", folder, own ? own : "");
	snprintf(own_key, sizeof(own_key), "%s/%s.key", folder, own ? own : "");
	struct http_tls options = {.ca_file = ca ? path(ca) : NULL,
	    .cert_file = own ? own_cert : NULL,
	    .key_file = own ? own_key : NULL,
	    .insecure = !ca};
	struct tls_context *c = tls_context_new(&options, h2, why, sizeof(why));
	assert_non_null(c);
	return c;
}

static int meet(const char *ca, const char *host, int which, int with)
{
	struct tls_context *c = context(ca, NULL, false);
	pair_open(c, host, which, with);
	server_start(&p.server);
	int error = shake();
	pair_close();
	tls_context_free(c);
	assert_int_equal(mem_used(ACCOUNT_NET), 0);
	return error;
}

static void says(const char *words)
{
	if (!strstr(p.why, words))
		fail_msg("\"%s\" is not in \"%s\"", words, p.why);
	assert_null(strchr(p.why, '\n'));
}

static void test_good(void **state)
{
	(void)state;
	assert_int_equal(meet("ca.pem", HOST, GOOD, -1), 0);
	assert_int_equal(meet("ca.pem", "COLLECTOR.example.", GOOD, -1), 0);
	assert_int_equal(meet("ca.pem", HOST, WILD, -1), 0);
	assert_int_equal(meet("ca.pem", HOST, CN, -1), 0);
	assert_int_equal(meet("ca.pem", "[2001:db8::7]", ADDRESSES, -1), 0);
	assert_int_equal(meet("ca.pem", "10.1.2.3", WRONG, -1), 0);
	assert_int_equal(meet("ca.pem", HOST, LEAF, MIDDLE), 0);
	assert_int_equal(meet("ca.pem", HOST, PAIR_RSA, -1), 0);
	assert_int_equal(meet("all.pem", HOST, UNKNOWN, -1), 0);
	assert_int_equal(meet("all.pem", HOST, TWIN, -1), 0);
	assert_int_equal(meet("both.pem", HOST, TWIN, -1), 0); // a root and its successor
	assert_int_equal(meet("odd.pem", HOST, GOOD, -1), 0);
	assert_int_equal(meet("self.pem", HOST, SELF, -1), 0);
	for (int i = GOOD; i <= SELF; i++) // insecure
		assert_int_equal(i == FOR_CLIENTS ? 0 : meet(NULL, HOST, i, -1), 0);
}

static void test_refused(void **state)
{
	(void)state;
	char day[16], words[200];
	stamp_text(day, -3);
	snprintf(words, sizeof(words), "its certificate expired on %.4s-%.2s-%.2s", day, day + 4,
	    day + 6);
	assert_int_equal(meet("ca.pem", HOST, EXPIRED, -1), -EACCES);
	says(words);
	stamp_text(day, 3);
	snprintf(words, sizeof(words), "its certificate is valid from %.4s-%.2s-%.2s on", day,
	    day + 4, day + 6);
	assert_int_equal(meet("ca.pem", HOST, FUTURE, -1), -EACCES);
	says(words);
	assert_int_equal(meet("ca.pem", HOST, WRONG, -1), -EACCES);
	says("its certificate is for other.example, 10.1.2.3, not " HOST);
	assert_int_equal(meet("ca.pem", "b.example", CN, -1), -EACCES);
	says("its certificate is for " HOST ", not b.example");
	assert_int_equal(meet("ca.pem", "a.b.example", WILD, -1), -EACCES);
	says("its certificate is for *.example, not a.b.example");
	assert_int_equal(meet("ca.pem", "example", WILD, -1), -EACCES);
	assert_int_equal(meet("ca.pem", HOST, UNKNOWN, -1), -EACCES);
	says("is signed by CN=Other Root, which is not in /tmp/");
	says("with tls_ca_file");
	assert_int_equal(meet("ca.pem", HOST, TWIN, -1), -EACCES);
	says("is not signed by the CN=Test Root in ");
	assert_int_equal(meet("ca.pem", HOST, SELF, -1), -EACCES);
	says("is signed by CN=self");
	assert_int_equal(meet("ca.pem", HOST, LEAF, -1), -EACCES); // its issuer is not sent
	says("is signed by CN=Middle");
	assert_int_equal(meet("ca.pem", HOST, LEAF, OLD_MIDDLE), -EACCES);
	says("is signed by CN=Middle, which is not in");
	assert_int_equal(meet("ca.pem", HOST, OLD_LEAF, OLD_MIDDLE), -EACCES);
	says("the certificate of its issuer (CN=Old) expired on");
	// A number is no name: neither the CN nor a DNS name that reads as the address will do.
	assert_int_equal(meet("ca.pem", "10.9.9.9", ADDRESSES, -1), -EACCES);
	says("not 10.9.9.9");
	assert_int_equal(meet("ca.pem", "10.8.8.8", ADDRESSES, -1), -EACCES);
	assert_int_equal(meet("ca.pem", "2001:db8::8", ADDRESSES, -1), -EACCES);
	says("2001:db8::7, not 2001:db8::8");
}

// Chains as an attacker makes them, whose signatures are all right.
static void test_forged(void **state)
{
	(void)state;
	static const struct {
		int chain[4], error;
	} tries[] = {{{LEAF, MIDDLE, -1}, 0},
	    {{FORGED, GOOD, -1}, -EACCES}, // issuers that are none
	    {{FORGED, GOOD, CA_OK, -1}, -EACCES}, {{FAR, BELOW_LAST, LAST_CA, -1}, -EACCES},
	    {{SHA1_SIGNED, -1}, -EACCES}, {{SELF, CA_OK, -1}, -EACCES},
	    {{MIDDLE, LEAF, -1}, -EACCES}, // what is shown first has to bear the name
	    {{CA_OK, -1}, -EACCES}};
	mbedtls_x509_crt chain;
	for (size_t i = 0; i < sizeof(tries) / sizeof(tries[0]); i++) {
		struct stat st;
		unsigned char alert;
		int error;
		mbedtls_x509_crt_init(&chain);
		for (const int *c = tries[i].chain; *c >= 0; c++)
			assert_int_equal(mbedtls_x509_crt_parse(&chain, (uint8_t *)cert[*c].pem,
					     strlen(cert[*c].pem) + 1),
			    0);
		struct trust *t = trust_new(path("ca.pem"), &st, p.why, sizeof(p.why));
		assert_non_null(t);
		while ((error = trust_step(
			    t, &chain, HOST, NS_PER_S, p.why, sizeof(p.why), &alert)) == -EAGAIN)
			;
		if (error != tries[i].error)
			fail_msg("%zu: %d", i, error);
		trust_free(t);
		mbedtls_x509_crt_free(&chain);
	}
	// What the library does not understand and must not pass over ends the handshake.
	mbedtls_x509_crt_init(&chain);
	assert_int_not_equal(mbedtls_x509_crt_parse(&chain, (uint8_t *)cert[LIMITED].pem,
				 strlen(cert[LIMITED].pem) + 1),
	    0);
	mbedtls_x509_crt_free(&chain);
}

// What the server of the library would not show; and a walk in slices of a block each.
static void test_trust(void **state)
{
	(void)state;
	static const struct {
		int which, error;
		const char *host, *why;
	} tries[] = {{GOOD, 0, HOST, ""}, {FOR_CLIENTS, -EACCES, HOST, "not one for servers"},
	    {UNKNOWN, 0, HOST, ""}, {EXPIRED, -EACCES, HOST, "expired"},
	    {GOOD, -EACCES, "", ", not "}};
	for (size_t i = 0; i < sizeof(tries) / sizeof(tries[0]); i++) {
		mbedtls_x509_crt chain;
		struct stat st;
		unsigned char alert;
		unsigned slices = 0;
		int error;
		mbedtls_x509_crt_init(&chain);
		assert_int_equal(mbedtls_x509_crt_parse(&chain, (uint8_t *)cert[tries[i].which].pem,
				     strlen(cert[tries[i].which].pem) + 1),
		    0);
		struct trust *t = trust_new(path("long.pem"), &st, p.why, sizeof(p.why));
		assert_non_null(t);
		p.why[0] = '\0';
		while ((error = trust_step(
			    t, &chain, tries[i].host, 0, p.why, sizeof(p.why), &alert)) == -EAGAIN)
			slices++;
		assert_int_equal(error, tries[i].error);
		says(tries[i].why);
		assert_true(slices >= 20);
		assert_int_equal(t->kept, 1);
		assert_int_equal(t->seen, 202);
		trust_free(t);
		mbedtls_x509_crt_free(&chain);
	}
}

static void test_files(void **state)
{
	(void)state;
	assert_int_equal(meet("none.pem", HOST, GOOD, -1), -ENOENT);
	says("none.pem: No such file");
	assert_int_equal(meet("", HOST, GOOD, -1), -EINVAL);
	says("not a regular file");
	assert_int_equal(meet("pipe", HOST, GOOD, -1), -EINVAL);
	assert_int_equal(meet("big.pem", HOST, GOOD, -1), -EFBIG);
	says("too big");
	assert_int_equal(meet("empty.pem", HOST, GOOD, -1), -EINVAL);
	says("no certificate in it");
	assert_int_equal(meet("server.key", HOST, GOOD, -1), -EINVAL);
	char why[256];
	struct http_tls options = {.cert_file = "/x"};
	assert_null(tls_context_new(&options, false, why, sizeof(why)));
	assert_non_null(strstr(why, "tls_cert_file without tls_key_file"));
	static const struct {
		const char *own, *words;
		int error;
	} bad[] = {{"mixed", "is not the key of tls_cert_file", -EINVAL},
	    {"none", "No such file", -ENOENT}, {"nokey", "no private key", -EINVAL},
	    {"nocert", "no certificate", -EINVAL}, {"locked", "passphrase", -EINVAL},
	    {"pipes", "not a regular file", -EINVAL}};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct tls_context *c = context("ca.pem", bad[i].own, false);
		pair_open(c, HOST, GOOD, -1);
		assert_null(p.tls);
		assert_int_equal(errno, -bad[i].error);
		says(bad[i].words);
		pair_close();
		tls_context_free(c);
	}
	assert_int_equal(mem_used(ACCOUNT_NET), 0);
}

static int client(const char *own, const char **peer)
{
	static char name[64];
	struct tls_context *c = context("ca.pem", own, false);
	pair_open(c, HOST, GOOD, -1);
	server_wants_client(&p.server);
	server_start(&p.server);
	int error = shake();
	const mbedtls_x509_crt *seen = mbedtls_ssl_get_peer_cert(&p.server.ssl);
	name[0] = '\0';
	if (seen)
		mbedtls_x509_dn_gets(name, sizeof(name), &seen->subject);
	*peer = name;
	pair_close();
	tls_context_free(c);
	return error;
}

static void test_client(void **state)
{
	(void)state;
	const char *peer;
	assert_int_equal(client("client", &peer), 0);
	assert_string_equal(peer, "CN=client");
	assert_true(client(NULL, &peer) < 0);
	says("it wants a client certificate: give tls_cert_file and tls_key_file");
	assert_int_equal(client("self", &peer), -EPROTO);
	says("it refused the certificate in tls_cert_file");
}

// Bytes both ways through small buffers; a write that waits is taken up again.
static void test_bytes(void **state)
{
	(void)state;
	static char out[100000], in[100000];
	for (size_t i = 0; i < sizeof(out); i++)
		out[i] = (char)(i * 7);
	struct tls_context *c = context("ca.pem", NULL, false);
	pair_open(c, HOST, GOOD, -1);
	server_start(&p.server);
	p.server.one_byte = true;
	int small = 1; // the kernel rounds it up
	setsockopt(p.fd[0], SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
	assert_int_equal(shake(), 0);
	assert_int_equal(tls_read(p.tls, in, sizeof(in)), -EAGAIN);
	assert_int_equal(tls_wants(p.tls), LOOP_READ);
	p.server.one_byte = false;
	size_t sent = 0, got = 0;
	unsigned waits = 0;
	bool again = false;
	for (int i = 0; i < 100000 && got < sizeof(out); i++) {
		size_t n = sizeof(out) - sent;
		if (!again && n > 3000) // what waits is told more the next time
			n = 3000;
		int64_t put_ = n ? tls_write(p.tls, out + sent, n) : -EAGAIN;
		assert_true(put_ > 0 || put_ == -EAGAIN);
		again = put_ < 0;
		if (put_ > 0) {
			sent += (size_t)put_;
			continue;
		}
		if (n) {
			waits++;
			assert_int_equal(tls_wants(p.tls), LOOP_WRITE);
			assert_int_equal(tls_write(p.tls, out + sent, 1), -EINVAL);
		}
		int r = mbedtls_ssl_read(&p.server.ssl, (uint8_t *)in + got, 777);
		got += r > 0 ? (size_t)r : 0;
	}
	assert_true(waits > 0);
	assert_memory_equal(in, out, sizeof(out));
	memset(in, 0, sizeof(in));
	sent = got = 0;
	for (int i = 0; i < 100000 && got < 50000; i++) {
		int r = sent < 50000
			    ? mbedtls_ssl_write(&p.server.ssl, (uint8_t *)out + sent, 50000 - sent)
			    : 0;
		sent += r > 0 ? (size_t)r : 0;
		int64_t n;
		while ((n = tls_read(p.tls, in + got, i % 3 ? 1 : 5000)) > 0)
			got += (size_t)n;
		assert_int_equal(n, -EAGAIN);
	}
	assert_memory_equal(in, out, 50000);
	assert_int_equal(mbedtls_ssl_close_notify(&p.server.ssl), 0);
	assert_int_equal(tls_read(p.tls, in, 10), 0);
	assert_string_equal(tls_why(p.tls), "");
	pair_close();
	tls_context_free(c);
	assert_int_equal(mem_used(ACCOUNT_NET), 0);
}

// The peer goes after any number of bytes, sent one at a time.
static void test_cut(void **state)
{
	(void)state;
	uint64_t library = mem_used(ACCOUNT_LIBRARY);
	unsigned cut = 0;
	for (int64_t n = 0;; n++) {
		struct tls_context *c = context("ca.pem", NULL, false);
		pair_open(c, HOST, GOOD, -1);
		server_start(&p.server);
		p.server.quota = n;
		p.server.one_byte = n % 16 == 0; // slow, and no more is learnt by it each time
		int error = shake();
		if (error) {
			assert_true(error == -ECONNRESET || error == -EPIPE);
			assert_true(p.why[0] != '\0');
			assert_int_equal(tls_handshake(p.tls), error);
			assert_int_equal(tls_read(p.tls, p.why, 1), error);
			cut++;
		}
		pair_close();
		tls_context_free(c);
		if (!error)
			break;
		n += n < 100 ? 0 : 2;
	}
	assert_true(cut > 200);
	assert_int_equal(mem_used(ACCOUNT_NET), 0);
	assert_int_equal(mem_used(ACCOUNT_LIBRARY), library);
}

// Every byte that the server says is made another.
static void test_garbage(void **state)
{
	(void)state;
	static const char *const said[] = {"HTTP/1.1 400 Bad Request\r\n\r\n",
	    "\x15\x03\x03\x00\x02\x02\x46", "\x15\x03\x01\x00\x02\x02\x28",
	    "\x16\x03\x03\xff\xff\x02\x00", "\x80\x80\x01\x03\x01"};
	static const char *const words[] = {
	    "it does not speak TLS", "it refuses TLS 1.2", "no cipher", "", ""};
	static const size_t sizes[] = {28, 7, 7, 7, 5};
	for (size_t i = 0; i < 5; i++) {
		struct tls_context *c = context("ca.pem", NULL, false);
		pair_open(c, HOST, GOOD, -1);
		p.server.dead = true;
		assert_int_equal(write(p.fd[1], said[i], sizes[i]), sizes[i]);
		assert_true(shake() < 0);
		says(words[i]);
		pair_close();
		tls_context_free(c);
	}
	for (size_t at = 0; at < 2000; at += 1 + at / 50) {
		struct tls_context *c = context("ca.pem", NULL, false);
		pair_open(c, HOST, GOOD, -1);
		server_start(&p.server);
		char bytes[8192];
		size_t seen = 0;
		int middle[2], error = -EAGAIN;
		assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, middle), 0);
		p.server.fd = middle[1];
		for (int i = 0; i < 1000 && error == -EAGAIN; i++) {
			error = tls_handshake(p.tls);
			ssize_t n = recv(p.fd[1], bytes, sizeof(bytes), MSG_DONTWAIT);
			if (n > 0)
				send(middle[0], bytes, (size_t)n, MSG_NOSIGNAL);
			if (!p.server.done)
				p.server.done = mbedtls_ssl_handshake(&p.server.ssl) == 0;
			n = recv(middle[0], bytes, sizeof(bytes), MSG_DONTWAIT);
			if (n > 0 && at >= seen && at < seen + (size_t)n)
				bytes[at - seen] ^= 0x41;
			if (n > 0)
				send(p.fd[1], bytes, (size_t)n, MSG_NOSIGNAL);
			seen += n > 0 ? (size_t)n : 0;
		}
		assert_true(error != 0 || at >= seen);
		close(middle[0]);
		close(middle[1]);
		pair_close();
		tls_context_free(c);
	}
	assert_int_equal(mem_used(ACCOUNT_NET), 0);
}

static bool resumed(
    struct tls_context *c, mbedtls_ssl_ticket_context *tickets, const char *host, int which)
{
	pair_open(c, host, which, -1);
	mbedtls_ssl_conf_session_tickets_cb(
	    &p.server.config, mbedtls_ssl_ticket_write, mbedtls_ssl_ticket_parse, tickets);
	server_start(&p.server);
	int error = -EAGAIN;
	trust_steps = 0;
	for (int i = 0; i < 1000 && (error == -EAGAIN || !p.server.done); i++) {
		error = tls_handshake(p.tls);
		p.server.done |= mbedtls_ssl_handshake(&p.server.ssl) == 0;
	}
	assert_int_equal(error, 0);
	char byte;
	assert_int_equal(tls_write(p.tls, "x", 1), 1);
	assert_int_equal(mbedtls_ssl_read(&p.server.ssl, (uint8_t *)&byte, 1), 1);
	pair_close();
	return trust_steps == 0;
}

static void test_resume(void **state)
{
	(void)state;
	mbedtls_ssl_ticket_context tickets;
	mbedtls_ssl_ticket_init(&tickets);
	assert_int_equal(
	    mbedtls_ssl_ticket_setup(&tickets, test_rng, NULL, MBEDTLS_CIPHER_AES_256_GCM, 3600),
	    0);
	struct tls_context *c = context("re.pem", "re", false);
	put("re.pem", cert[CA_OK].pem, "");
	put("re.crt", cert[CLIENT].pem, "");
	put("re.key", cert[CLIENT].key_pem, "");
	assert_false(resumed(c, &tickets, HOST, GOOD));
	assert_true(resumed(c, &tickets, HOST, GOOD));
	assert_true(resumed(c, &tickets, HOST, GOOD));
	assert_false(resumed(c, &tickets, "a.example", GOOD)); // another host is checked
	assert_true(resumed(c, &tickets, "a.example", GOOD));
	put("re.pem", cert[CA_OTHER].pem, cert[CA_OK].pem); // files changed: all anew
	assert_false(resumed(c, &tickets, "a.example", GOOD));
	assert_true(resumed(c, &tickets, "a.example", GOOD));
	usleep(20000);					    // a tick of the file system's clock
	put("re.pem", cert[CA_OTHER].pem, cert[CA_OK].pem); // as long as before
	assert_false(resumed(c, &tickets, "a.example", GOOD));
	put("re.crt", cert[CLIENT2].pem, cert[CA_OK].pem);
	put("re.key", cert[CLIENT2].key_pem, "");
	assert_false(resumed(c, &tickets, "a.example", GOOD));
	// A root that is gone is trusted no more, whatever session is held.
	put("re.pem", cert[CA_OTHER].pem, "");
	pair_open(c, "a.example", GOOD, -1);
	mbedtls_ssl_conf_session_tickets_cb(
	    &p.server.config, mbedtls_ssl_ticket_write, mbedtls_ssl_ticket_parse, &tickets);
	server_start(&p.server);
	assert_int_equal(shake(), -EACCES);
	pair_close();
	tls_context_free(c);
	mbedtls_ssl_ticket_free(&tickets);
	assert_int_equal(mem_used(ACCOUNT_NET), 0);
}

static void test_reload(void **state)
{
	(void)state;
	const char *peer;
	put("turn.crt", cert[CLIENT].pem, "");
	put("turn.key", cert[CLIENT].key_pem, "");
	assert_int_equal(client("turn", &peer), 0);
	assert_string_equal(peer, "CN=client");
	struct tls_context *c = context("ca.pem", "turn", false);
	for (int i = 0; i < 2; i++) {
		pair_open(c, HOST, GOOD, -1);
		server_wants_client(&p.server);
		server_start(&p.server);
		assert_int_equal(shake(), 0);
		char name[64];
		mbedtls_x509_dn_gets(
		    name, sizeof(name), &mbedtls_ssl_get_peer_cert(&p.server.ssl)->subject);
		assert_string_equal(name, i ? "CN=client two" : "CN=client");
		pair_close();
		put("turn.crt", cert[CLIENT2].pem, "");
		put("turn.key", cert[CLIENT2].key_pem, "");
	}
	tls_context_free(c);
}

static void test_protocols(void **state)
{
	(void)state;
	static const char *both[] = {"h2", "http/1.1", NULL};
	for (int i = 0; i < 3; i++) {
		struct tls_context *c = context("ca.pem", NULL, true);
		pair_open(c, HOST, GOOD, -1);
		if (i)
			mbedtls_ssl_conf_alpn_protocols(&p.server.config, both);
		if (i == 2)
			p.server.config.alpn_list = NULL;
		server_start(&p.server);
		assert_int_equal(shake(), i == 1 ? 0 : -EPROTO);
		if (i != 1)
			says("it does not speak HTTP/2");
		pair_close();
		tls_context_free(c);
	}
	// Old versions and weak ciphers: no common ground.
	static const int weak[] = {MBEDTLS_TLS_RSA_WITH_AES_128_CBC_SHA,
	    MBEDTLS_TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256, 0};
	for (int i = 0; i < 2; i++) {
		struct tls_context *c = context("ca.pem", NULL, false);
		pair_open(c, HOST, GOOD, -1);
		if (i)
			mbedtls_ssl_conf_ciphersuites(&p.server.config, weak);
		else
			mbedtls_ssl_conf_max_version(
			    &p.server.config, 3, MBEDTLS_SSL_MINOR_VERSION_2);
		server_start(&p.server);
		assert_int_equal(shake(), -EPROTO);
		says(i ? "no cipher" : "TLS 1.2");
		pair_close();
		tls_context_free(c);
	}
}

// Without memory at each site in turn: an error or, where it can do without, none; never a leak.
static void test_memory(void **state)
{
	(void)state;
	uint64_t library = mem_used(ACCOUNT_LIBRARY);
	struct http_tls options = {.ca_file = path("ca.pem"), .server_name = HOST};
	unsigned failures = 0;
	for (uint64_t n = 1;; n++) {
		char why[256] = "";
		mem_fail_at(n);
		struct tls_context *c = tls_context_new(&options, false, why, sizeof(why));
		int error = -ENOMEM;
		if (c) {
			pair_open(c, "x", GOOD, -1);
			server_start(&p.server);
			error = shake();
			pair_close();
		}
		bool all = mem_fail_seen() < n;
		mem_fail_at(0);
		tls_context_free(c);
		assert_int_equal(mem_used(ACCOUNT_NET), 0);
		if (error) {
			failures++;
			assert_int_equal(error, -ENOMEM);
			assert_true(why[0] || p.why[0]);
		}
		if (all)
			break;
	}
	assert_true(failures >= 4);
	// The library's own allocations, by a limit that is reached somewhere on the way.
	failures = 0;
	for (uint64_t room = 500;; room += room < 90000 ? 1500 : 400) {
		struct tls_context *c = context("ca.pem", NULL, false);
		assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, p.fd), 0);
		server_init(&p.server, p.fd[1], GOOD, -1);
		server_start(&p.server);
		p.tls = NULL;
		p.why[0] = '\0';
		mem_limit(mem_total() + room);
		p.tls = tls_new(c, p.fd[0], HOST, p.why, sizeof(p.why));
		int error = shake();
		mem_limit(0);
		if (error) {
			failures++;
			assert_true(error < 0 && error != -EAGAIN);
		}
		pair_close();
		tls_context_free(c);
		assert_int_equal(mem_used(ACCOUNT_NET), 0);
		assert_int_equal(mem_used(ACCOUNT_LIBRARY), library);
		if (!error)
			break;
	}
	assert_true(failures > 20);
}

static int prepare(void **state)
{
	(void)state;
	if (!mkdtemp(folder))
		return -1;
	for (int i = 0; i < CERTIFICATES; i++)
		certificate_make(
		    &cert[i], &made[i].spec, made[i].issuer < 0 ? NULL : &cert[made[i].issuer]);
	put("ca.pem", "# roots\r\n", cert[CA_OK].pem);
	put("both.pem", cert[CA_OK].pem, cert[CA_TWIN].pem);
	put("all.pem", cert[CA_OTHER].pem, cert[CA_TWIN].pem);
	put("self.pem", cert[SELF].pem, "");
	put("server.key", cert[GOOD].key_pem, "");
	put("client.crt", cert[CLIENT].pem, "");
	put("client.key", cert[CLIENT].key_pem, "");
	put("self.crt", cert[SELF].pem, "");
	put("self.key", cert[SELF].key_pem, "");
	put("mixed.crt", cert[SELF].pem, "");
	put("mixed.key", cert[CLIENT].key_pem, "");
	put("nokey.crt", cert[CLIENT].pem, "");
	put("nokey.key", cert[CLIENT].pem, "");
	put("nocert.crt", cert[CLIENT].key_pem, "");
	put("nocert.key", cert[CLIENT].key_pem, "");
	put("locked.crt", cert[CLIENT].pem, "");
	put("locked.key",
	    "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n"
	    "DEK-Info: AES-128-CBC,00112233445566778899AABBCCDDEEFF\n\nAAAA\n"
	    "-----END RSA PRIVATE KEY-----\n",
	    "");
	put("pipes.key", "", "");
	put("empty.pem", "\n", "-----BEGIN CERTIFICATE-----\nAAAA");
	put("big.pem", "", "");
	if (truncate(path("big.pem"), TRUST_FILE_MAX + 1) || mkfifo(path("pipe"), 0600) ||
	    mkfifo(path("pipes.crt"), 0600))
		return -1;
	FILE *f = fopen(path("long.pem"), "w");
	for (int i = 0; i < 200; i++)
		fprintf(f, "# a comment\n%s", cert[SELF].pem);
	fprintf(f, "%s%s", cert[CA_OK].pem, cert[CA_OTHER].pem);
	fclose(f);
	// CRLF, one long line, garbage around and between, and no newline at the end.
	f = fopen(path("odd.pem"), "w");
	fprintf(f,
	    "-----BEGIN CERTIFICATE-----\nnot\n-----BEGIN JUNK-----\n-----END CERTIFICATE-----\n");
	fprintf(f, "-----BEGIN CERTIFICATE-----\r\n%.*s\r\n", 100000, "MIIB");
	for (int i = 0; i < 30000; i++)
		fputc('A', f);
	fprintf(f, "\n-----END CERTIFICATE-----  \r\n-----BEGIN CERTIFICATE-----\r\n");
	const char *at = strchr(cert[CA_OK].pem, '\n') + 1, *end = strstr(at, "-----END");
	for (; at < end; at++)
		if (*at != '\n')
			fputc(*at, f);
	fprintf(f, "\r\n-----END CERTIFICATE-----");
	fclose(f);
	return 0;
}

static int tidy(void **state)
{
	(void)state;
	char command[64];
	for (int i = 0; i < CERTIFICATES; i++)
		certificate_free(&cert[i]);
	snprintf(command, sizeof(command), "rm -rf %s", folder);
	return system(command);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_good),
	    cmocka_unit_test(test_refused),
	    cmocka_unit_test(test_forged),
	    cmocka_unit_test(test_trust),
	    cmocka_unit_test(test_files),
	    cmocka_unit_test(test_client),
	    cmocka_unit_test(test_bytes),
	    cmocka_unit_test(test_cut),
	    cmocka_unit_test(test_garbage),
	    cmocka_unit_test(test_resume),
	    cmocka_unit_test(test_reload),
	    cmocka_unit_test(test_protocols),
	    cmocka_unit_test(test_memory),
	};
	return cmocka_run_group_tests(tests, prepare, tidy);
}
