// SPDX-License-Identifier: Apache-2.0
#include "tls.h"

#include <arpa/inet.h>
#include <errno.h>
#include <mbedtls/ssl.h>
#include <mbedtls/ssl_internal.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../base/base.h"
#include "../loop/loop.h"
#include "identity.h"
#include "net.h"
#include "trust.h"

#define HOST_MAX 256

// Forward secrecy and authenticated encryption, nothing else. AES first: the library has it in
// hardware.
static const int suites[] = {MBEDTLS_TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
    MBEDTLS_TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, MBEDTLS_TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
    MBEDTLS_TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
    MBEDTLS_TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
    MBEDTLS_TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256, 0};
// The cheapest for this library first. P-521 would cost three times as much, and servers of this
// library choose it.
static const mbedtls_ecp_group_id curves[] = {MBEDTLS_ECP_DP_CURVE25519, MBEDTLS_ECP_DP_SECP256R1,
    MBEDTLS_ECP_DP_SECP384R1, MBEDTLS_ECP_DP_NONE};
static const char *const alpn_h2[] = {"h2", NULL};
static const char *const alpn_http[] = {"http/1.1", NULL};

enum file { CA, CERT, KEY, FILES };

struct stamp { // whether a file is another than it was
	dev_t dev;
	ino_t ino;
	off_t size;
	struct timespec at;
};

struct tls_context {
	char *path[FILES], *server_name;
	bool insecure, h2;
	struct stamp stamp[FILES];
	// The last session, for a short handshake: with the same host and the same files only.
	mbedtls_ssl_session session;
	char session_host[HOST_MAX]; // "": none
};

struct tls {
	struct tls_context *context;
	int fd, wants;
	int error;	  // sticky
	int alert;	  // that the peer left behind when it closed; 0: none
	int io_error;	  // of the descriptor
	size_t pending;	  // bytes that are encrypted but not yet told as written
	bool up, checked; // the handshake is done; the peer's certificate passed
	char host[HOST_MAX], why[512];
	mbedtls_ssl_config config;
	mbedtls_ssl_context ssl;
	struct identity own;
	struct trust *trust; // while the check may still come
};

struct tls_context *tls_context_new(
    const struct http_tls *options, bool h2, char *why, size_t why_size)
{
	const char *from[] = {options->ca_file, options->cert_file, options->key_file};
	bool cert = from[CERT] && *from[CERT], key = from[KEY] && *from[KEY];
	if (cert != key) {
		snprintf(why, why_size, "%s without %s: a client certificate needs both",
		    cert ? "tls_cert_file" : "tls_key_file",
		    cert ? "tls_key_file" : "tls_cert_file");
		return errno = EINVAL, NULL;
	}
	struct tls_context *c = mem_alloc(ACCOUNT_NET, sizeof(*c));
	if (!c)
		goto fail;
	mbedtls_ssl_session_init(&c->session);
	c->insecure = options->insecure;
	c->h2 = h2;
	for (int i = 0; i < FILES; i++)
		if (from[i] && !(c->path[i] = mem_strdup(ACCOUNT_NET, from[i])))
			goto fail;
	if (options->server_name &&
	    !(c->server_name = mem_strdup(ACCOUNT_NET, options->server_name)))
		goto fail;
	return c;
fail:
	tls_context_free(c);
	snprintf(why, why_size, "out of memory");
	return errno = ENOMEM, NULL;
}

void tls_context_free(struct tls_context *c)
{
	if (!c)
		return;
	mbedtls_ssl_session_free(&c->session);
	for (int i = 0; i < FILES; i++)
		mem_free(c->path[i]);
	mem_free(c->server_name);
	mem_free(c);
}

static void forget_session(struct tls_context *c)
{
	mbedtls_ssl_session_free(&c->session);
	c->session_host[0] = '\0';
}

static void stamped(struct tls_context *c, enum file file, const struct stat *st)
{
	struct stamp *old = &c->stamp[file];
	if (old->dev != st->st_dev || old->ino != st->st_ino || old->size != st->st_size ||
	    old->at.tv_sec != st->st_mtim.tv_sec || old->at.tv_nsec != st->st_mtim.tv_nsec)
		forget_session(c);
	*old = (struct stamp){st->st_dev, st->st_ino, st->st_size, st->st_mtim};
}

static int rng(void *arg, unsigned char *to, size_t n)
{
	(void)arg;
	while (n) {
		ssize_t got = getrandom(to, n, GRND_NONBLOCK);
		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0) // early at boot: the next try finds it
			return MBEDTLS_ERR_SSL_HW_ACCEL_FAILED;
		to += got;
		n -= (size_t)got;
	}
	return 0;
}

// A peer that refuses says why and closes: then our next write fails, and its words are still to be
// read. They are in clear as long as it has not confirmed the keys.
//   21 | version 2 | length 2 | level | alert
static void last_words(struct tls *t)
{
	uint8_t record[7];
	ssize_t n = -1;
	for (int i = 0; i < 2 && n < 0 && !t->up; i++) // the first may give the error alone
		n = recv(t->fd, record, sizeof(record), MSG_DONTWAIT);
	if (n == sizeof(record) && record[0] == MBEDTLS_SSL_MSG_ALERT && record[3] == 0 &&
	    record[4] == 2)
		t->alert = record[6];
}

static int give(void *arg, const unsigned char *bytes, size_t n)
{
	struct tls *t = arg;
	ssize_t put = send(t->fd, bytes, n, MSG_NOSIGNAL | MSG_DONTWAIT);
	if (put >= 0)
		return (int)put;
	if (errno == EAGAIN || errno == EINTR)
		return MBEDTLS_ERR_SSL_WANT_WRITE;
	t->io_error = -errno;
	last_words(t);
	return t->alert ? MBEDTLS_ERR_SSL_FATAL_ALERT_MESSAGE : MBEDTLS_ERR_SSL_INTERNAL_ERROR;
}

static int take(void *arg, unsigned char *bytes, size_t n)
{
	struct tls *t = arg;
	ssize_t got = recv(t->fd, bytes, n, MSG_DONTWAIT);
	if (got >= 0)
		return (int)got;
	if (errno == EAGAIN || errno == EINTR)
		return MBEDTLS_ERR_SSL_WANT_READ;
	t->io_error = -errno;
	return MBEDTLS_ERR_SSL_INTERNAL_ERROR;
}

static bool has_own(const struct tls *t)
{
	return t->context->path[CERT] && *t->context->path[CERT];
}

static int load_own(struct tls *t, char *why, size_t why_size)
{
	struct tls_context *c = t->context;
	struct stat st[2];
	if (!has_own(t))
		return 0;
	int error = identity_read(&t->own, c->path[CERT], c->path[KEY], st, why, why_size);
	if (error)
		return error;
	stamped(c, CERT, &st[0]);
	stamped(c, KEY, &st[1]);
	return mbedtls_ssl_conf_own_cert(&t->config, &t->own.cert, &t->own.key) ? -ENOMEM : 0;
}

static int set_host(struct tls *t, const char *host, char *why, size_t why_size)
{
	const char *wanted = t->context->server_name;
	if (wanted && *wanted)
		host = wanted;
	size_t n = strlen(host);
	bool brackets = n > 2 && host[0] == '[' && host[n - 1] == ']';
	host += brackets;
	n -= 2 * brackets;
	if (n > 1 && host[n - 1] == '.') // the root of DNS: no certificate names it
		n--;
	if (!n || n >= sizeof(t->host)) {
		snprintf(why, why_size, "tls_server_name: not a host name");
		return -EINVAL;
	}
	memcpy(t->host, host, n);
	uint8_t address[16];
	if (inet_pton(AF_INET, t->host, address) == 1 || inet_pton(AF_INET6, t->host, address) == 1)
		return 0; // RFC 6066: no literals in SNI
	return mbedtls_ssl_set_hostname(&t->ssl, t->host) ? -ENOMEM : 0;
}

static int set_up(struct tls *t, const char *host, char *why, size_t why_size)
{
	struct tls_context *c = t->context;
	struct stat st;
	if (mbedtls_ssl_config_defaults(&t->config, MBEDTLS_SSL_IS_CLIENT,
		MBEDTLS_SSL_TRANSPORT_STREAM, MBEDTLS_SSL_PRESET_DEFAULT))
		return -ENOMEM;
	mbedtls_ssl_conf_min_version(
	    &t->config, MBEDTLS_SSL_MAJOR_VERSION_3, MBEDTLS_SSL_MINOR_VERSION_3);
	mbedtls_ssl_conf_ciphersuites(&t->config, suites);
	mbedtls_ssl_conf_curves(&t->config, curves);
	// Not by the library: see certificate_check.
	mbedtls_ssl_conf_authmode(&t->config, MBEDTLS_SSL_VERIFY_NONE);
	mbedtls_ssl_conf_rng(&t->config, rng, NULL);
	if (mbedtls_ssl_conf_alpn_protocols(
		&t->config, (const char **)(c->h2 ? alpn_h2 : alpn_http)))
		return -ENOMEM;
	if (!c->insecure) {
		t->trust = trust_new(c->path[CA], &st, why, why_size);
		if (!t->trust)
			return -errno;
		stamped(c, CA, &st);
	}
	int error = load_own(t, why, why_size);
	if (!error && mbedtls_ssl_setup(&t->ssl, &t->config))
		error = -ENOMEM;
	if (!error)
		error = set_host(t, host, why, why_size);
	if (error)
		return error;
	mbedtls_ssl_set_bio(&t->ssl, t, give, take, NULL);
	// A certificate that has expired since is asked for again.
	if (strcmp(c->session_host, t->host) == 0 &&
	    (c->insecure || (c->session.peer_cert &&
				!mbedtls_x509_time_is_past(&c->session.peer_cert->valid_to))))
		mbedtls_ssl_set_session(&t->ssl, &c->session); // without it: the long handshake
	return 0;
}

struct tls *tls_new(struct tls_context *c, int fd, const char *host, char *why, size_t why_size)
{
	int error = -ENOMEM;
	if (why_size)
		why[0] = '\0';
	struct tls *t = mem_alloc(ACCOUNT_NET, sizeof(*t));
	if (t) {
		t->context = c;
		t->fd = fd;
		t->wants = LOOP_WRITE;
		t->checked = c->insecure;
		mbedtls_ssl_config_init(&t->config);
		mbedtls_ssl_init(&t->ssl);
		identity_init(&t->own);
		error = set_up(t, host, why, why_size);
	}
	if (!error)
		return t;
	if (why_size && !why[0])
		snprintf(why, why_size, "out of memory");
	tls_free(t);
	return errno = -error, NULL;
}

void tls_free(struct tls *t)
{
	if (!t)
		return;
	if (t->up && !t->error && !t->pending)
		mbedtls_ssl_close_notify(&t->ssl); // as far as it goes: nobody waits for it
	mbedtls_ssl_free(&t->ssl);
	mbedtls_ssl_config_free(&t->config);
	identity_free(&t->own);
	trust_free(t->trust);
	mem_free(t);
}

#define WANTS_CLIENT "it wants a client certificate: give tls_cert_file and tls_key_file"

static void explain_alert(struct tls *t)
{
	unsigned alert = t->alert ? (unsigned)t->alert : t->ssl.in_msg ? t->ssl.in_msg[1] : 0;
	if (!t->up && t->ssl.client_auth && !has_own(t))
		snprintf(t->why, sizeof(t->why), WANTS_CLIENT);
	else if (!t->up && t->ssl.client_auth)
		snprintf(t->why, sizeof(t->why),
		    "it refused the certificate in tls_cert_file %s (alert %u)",
		    t->context->path[CERT], alert);
	else if (alert == MBEDTLS_SSL_ALERT_MSG_PROTOCOL_VERSION)
		snprintf(t->why, sizeof(t->why), "it refuses TLS 1.2");
	else if (alert == MBEDTLS_SSL_ALERT_MSG_HANDSHAKE_FAILURE && !t->up)
		snprintf(t->why, sizeof(t->why),
		    "it shares no cipher of TLS 1.2 with this client (ECDHE with AES-GCM or "
		    "ChaCha20)");
	else if (alert == MBEDTLS_SSL_ALERT_MSG_UNRECOGNIZED_NAME)
		snprintf(t->why, sizeof(t->why), "it does not know the name %s", t->host);
	else if (alert == MBEDTLS_SSL_ALERT_MSG_NO_APPLICATION_PROTOCOL)
		snprintf(t->why, sizeof(t->why), "it does not speak %s",
		    t->context->h2 ? "HTTP/2 over TLS, which gRPC needs" : "HTTP/1.1");
	else
		snprintf(t->why, sizeof(t->why), "it ended TLS with alert %u", alert);
}

// What a return value of the library means: -EAGAIN, or the end of it.
static int failed(struct tls *t, int code)
{
	if (code == MBEDTLS_ERR_SSL_WANT_READ || code == MBEDTLS_ERR_SSL_WANT_WRITE) {
		t->wants = code == MBEDTLS_ERR_SSL_WANT_READ ? LOOP_READ : LOOP_WRITE;
		return -EAGAIN;
	}
	int state = t->ssl.state;
	if (!t->up)
		forget_session(t->context); // whatever it was, the next handshake is a whole one
	t->error = -EPROTO;
	bool eof = code == MBEDTLS_ERR_SSL_CONN_EOF || code == MBEDTLS_ERR_SSL_PEER_CLOSE_NOTIFY;
	if (eof || (t->io_error && !t->alert)) {
		t->error = eof ? -ECONNRESET : t->io_error;
		snprintf(t->why, sizeof(t->why), "%s%s%s",
		    eof ? "it closed the connection" : strerror(-t->io_error),
		    t->up ? "" : " during the TLS handshake",
		    t->up || !t->ssl.client_auth || has_own(t) ? "" : ": " WANTS_CLIENT);
	} else if (code == MBEDTLS_ERR_SSL_FATAL_ALERT_MESSAGE) {
		explain_alert(t);
	} else if (code == MBEDTLS_ERR_SSL_ALLOC_FAILED || code == MBEDTLS_ERR_MPI_ALLOC_FAILED ||
		   code == MBEDTLS_ERR_X509_ALLOC_FAILED || code == MBEDTLS_ERR_ECP_ALLOC_FAILED) {
		t->error = -ENOMEM;
		snprintf(t->why, sizeof(t->why), "out of memory");
	} else if (code == MBEDTLS_ERR_SSL_BAD_HS_PROTOCOL_VERSION) {
		snprintf(t->why, sizeof(t->why), "it does not speak TLS 1.2");
	} else if (!t->up && state <= MBEDTLS_SSL_SERVER_HELLO) {
		snprintf(t->why, sizeof(t->why),
		    "it does not speak TLS (Mbed TLS -0x%04x): is its URL "
		    "http://?",
		    (unsigned)-code);
	} else {
		snprintf(t->why, sizeof(t->why), "TLS failed (Mbed TLS -0x%04x)", (unsigned)-code);
	}
	return t->error;
}

// The library was told not to check. It is done here as soon as the certificates are there, before
// the key exchange: nothing of ours was sent by then but the first greeting. A resumed session was
// checked when it was made.
static int certificate_check(struct tls *t)
{
	if (t->ssl.handshake && t->ssl.handshake->resume) {
		t->checked = true;
		return 0;
	}
	mbedtls_x509_crt *chain =
	    t->ssl.session_negotiate ? t->ssl.session_negotiate->peer_cert : NULL;
	unsigned char alert = MBEDTLS_SSL_ALERT_MSG_NO_CERT;
	int error = -EACCES;
	if (chain && chain->raw.p)
		error = trust_step(
		    t->trust, chain, t->host, LOOP_SLICE_NS, t->why, sizeof(t->why), &alert);
	else
		snprintf(t->why, sizeof(t->why), "it showed no certificate");
	if (!error) {
		t->checked = true;
		trust_free(t->trust);
		t->trust = NULL;
	} else if (error == -EAGAIN) {
		t->wants = LOOP_WRITE;
	} else {
		t->error = error;
		forget_session(t->context);
		mbedtls_ssl_send_alert_message(&t->ssl, MBEDTLS_SSL_ALERT_LEVEL_FATAL, alert);
	}
	return error;
}

static int finish(struct tls *t)
{
	struct tls_context *c = t->context;
	const char *alpn = mbedtls_ssl_get_alpn_protocol(&t->ssl);
	if (!t->checked) { // no way through the states leads here unchecked
		snprintf(t->why, sizeof(t->why), "its certificate was not checked");
		return t->error = -EACCES;
	}
	if (c->h2 && (!alpn || strcmp(alpn, "h2") != 0)) {
		snprintf(t->why, sizeof(t->why),
		    "it does not speak HTTP/2 over TLS (no ALPN \"h2\"), which gRPC needs");
		return t->error = -EPROTO;
	}
	t->up = true;
	trust_free(t->trust);
	t->trust = NULL;
	forget_session(c);
	if (mbedtls_ssl_get_session(&t->ssl, &c->session) == 0)
		text_copy(c->session_host, sizeof(c->session_host), t->host);
	else
		forget_session(c); // no memory: a long handshake the next time
	return 0;
}

int tls_handshake(struct tls *t)
{
	uint64_t start = clock_now();
	if (t->error || t->up)
		return t->error;
	while (t->ssl.state != MBEDTLS_SSL_HANDSHAKE_OVER) {
		bool checks = !t->checked && t->ssl.state > MBEDTLS_SSL_SERVER_CERTIFICATE;
		int error = checks ? certificate_check(t) : mbedtls_ssl_handshake_step(&t->ssl);
		if (error)
			return checks ? error : failed(t, error);
		if (clock_now() - start >= LOOP_SLICE_NS) {
			t->wants = LOOP_WRITE;
			return -EAGAIN;
		}
	}
	return finish(t);
}

static size_t at_most(size_t n)
{
	return n < MBEDTLS_SSL_MAX_CONTENT_LEN ? n : MBEDTLS_SSL_MAX_CONTENT_LEN;
}

int64_t tls_read(struct tls *t, void *bytes, size_t n)
{
	if (t->error || !t->up || !n)
		return t->error ? t->error : -EINVAL;
	int got = mbedtls_ssl_read(&t->ssl, bytes, at_most(n));
	if (got >= 0 || got == MBEDTLS_ERR_SSL_PEER_CLOSE_NOTIFY)
		return got < 0 ? 0 : got;
	return failed(t, got);
}

int64_t tls_write(struct tls *t, const void *bytes, size_t n)
{
	if (t->error || !t->up || !n || n < t->pending)
		return t->error ? t->error : -EINVAL;
	size_t size = t->pending ? t->pending : at_most(n);
	int put = mbedtls_ssl_write(&t->ssl, bytes, size);
	t->pending = put < 0 ? size : 0;
	return put >= 0 ? put : failed(t, put);
}

int tls_wants(const struct tls *t)
{
	return t->wants;
}

const char *tls_why(const struct tls *t)
{
	return t->why;
}
