// SPDX-License-Identifier: Apache-2.0
#include "trust.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <mbedtls/asn1.h>
#include <mbedtls/oid.h>
#include <mbedtls/ssl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "../base/base.h"
#include "base64.h"

#define DER_MAX 16384 // of one root; the biggest of today's stores are 2 KiB
#define ROOTS_MAX 16  // that bear a wanted name
#define CERTIFICATES_MAX 20000

static const char begin_line[] = "-----BEGIN CERTIFICATE-----";
static const char end_line[] = "-----END CERTIFICATE-----";

// Where systems keep their roots, the most common first.
static const char *const stores[] = {"/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem", "/etc/ssl/ca-bundle.pem"};

struct trust {
	int fd;
	char *path;
	uint64_t at; // of the file
	bool walked; // all of it was read
	// The line that is being read: its first characters, enough to know a marker.
	char line[40];
	size_t line_len; // of the whole line
	bool inside;	 // between the two markers
	struct base64 base64;
	uint8_t *der;
	size_t der_len; // DER_MAX + 1: too big, passed over
	uint32_t seen, kept;
	mbedtls_x509_crt roots; // the kept ones
	// The first thing that is wrong with the chain, counted from its end: flags of Mbed TLS.
	const mbedtls_x509_crt *bad;
	uint32_t flags;
	int depth;
};

int trust_open(const char *path, uint64_t max, struct stat *st)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0)
		return -errno;
	int error = fstat(fd, st) ? -errno : !S_ISREG(st->st_mode) ? -EINVAL : 0;
	if (!error && (uint64_t)st->st_size > max)
		error = -EFBIG;
	if (error) {
		close(fd);
		return error;
	}
	return fd;
}

static const char *said(int error)
{
	if (error == EINVAL)
		return "not a regular file";
	return error == EFBIG ? "too big" : strerror(error);
}

static int find_store(
    const char *ca_file, const char **path, struct stat *st, char *why, size_t why_size)
{
	if (ca_file && *ca_file) {
		*path = ca_file;
		int fd = trust_open(ca_file, TRUST_FILE_MAX, st);
		if (fd < 0)
			snprintf(why, why_size, "tls_ca_file %s: %s", ca_file, said(-fd));
		return fd;
	}
	for (size_t i = 0; i < sizeof(stores) / sizeof(stores[0]); i++) {
		int fd = trust_open(stores[i], TRUST_FILE_MAX, st);
		*path = stores[i];
		if (fd >= 0)
			return fd;
		if (fd != -ENOENT && fd != -ENOTDIR) {
			snprintf(why, why_size, "%s: %s; name another file with tls_ca_file",
			    stores[i], said(-fd));
			return fd;
		}
	}
	snprintf(why, why_size,
	    "this system has no CA certificates (%s and others looked for): mount them there or "
	    "name a PEM file with tls_ca_file",
	    stores[0]);
	return -ENOENT;
}

struct trust *trust_new(const char *ca_file, struct stat *st, char *why, size_t why_size)
{
	const char *path;
	int error = ENOMEM, fd = find_store(ca_file, &path, st, why, why_size);
	if (fd < 0)
		return errno = -fd, NULL;
	struct trust *t = mem_alloc(ACCOUNT_NET, sizeof(*t));
	if (t) {
		t->fd = fd;
		mbedtls_x509_crt_init(&t->roots);
		t->path = mem_strdup(ACCOUNT_NET, path);
		t->der = mem_alloc(ACCOUNT_NET, DER_MAX);
		if (t->path && t->der)
			return t;
		trust_free(t);
	} else {
		close(fd);
	}
	snprintf(why, why_size, "out of memory");
	return errno = error, NULL;
}

void trust_free(struct trust *t)
{
	if (!t)
		return;
	close(t->fd);
	mbedtls_x509_crt_free(&t->roots);
	mem_free(t->der);
	mem_free(t->path);
	mem_free(t);
}

// The subject of a certificate as it is encoded (RFC 5280, 4.1), or NULL:
//   SEQUENCE { SEQUENCE { [0] version, serial, algorithm, issuer, validity, subject, ... } ... }
static const uint8_t *subject(const uint8_t *der, size_t n, size_t *size)
{
	enum { SEQUENCE = MBEDTLS_ASN1_CONSTRUCTED | MBEDTLS_ASN1_SEQUENCE };
	static const struct {
		int tag;
		bool optional;
	} before[] = {{MBEDTLS_ASN1_CONTEXT_SPECIFIC | MBEDTLS_ASN1_CONSTRUCTED, true},
	    {MBEDTLS_ASN1_INTEGER, false}, {SEQUENCE, false}, {SEQUENCE, false}, {SEQUENCE, false}};
	unsigned char *p = (unsigned char *)der;
	const unsigned char *end = der + n;
	size_t len;
	if (mbedtls_asn1_get_tag(&p, end, &len, SEQUENCE) ||
	    mbedtls_asn1_get_tag(&p, end, &len, SEQUENCE))
		return NULL;
	end = p + len;
	for (size_t i = 0; i < sizeof(before) / sizeof(before[0]); i++) {
		if (before[i].optional && p < end && *p != before[i].tag)
			continue;
		if (mbedtls_asn1_get_tag(&p, end, &len, before[i].tag))
			return NULL;
		p += len;
	}
	const uint8_t *from = p;
	if (mbedtls_asn1_get_tag(&p, end, &len, SEQUENCE))
		return NULL;
	*size = (size_t)(p + len - from);
	return from;
}

// Names are compared as they are encoded: who signs copies its own subject into what it signs.
static bool may_have_signed(const uint8_t *name, size_t n, const mbedtls_x509_crt *chain)
{
	for (const mbedtls_x509_crt *c = chain; c; c = c->next)
		if (c->issuer_raw.len == n && memcmp(c->issuer_raw.p, name, n) == 0)
			return true;
	return false;
}

static int take_root(struct trust *t, const mbedtls_x509_crt *chain)
{
	size_t n;
	if (t->der_len > DER_MAX || t->seen++ >= CERTIFICATES_MAX)
		return 0;
	const uint8_t *name = subject(t->der, t->der_len, &n);
	if (!name || t->kept >= ROOTS_MAX || !may_have_signed(name, n, chain))
		return 0;
	int error = mbedtls_x509_crt_parse_der(&t->roots, t->der, t->der_len);
	if (error == MBEDTLS_ERR_X509_ALLOC_FAILED)
		return -ENOMEM;
	t->kept += !error; // a root that the library cannot read signs nothing
	return 0;
}

static int end_of_line(struct trust *t, const mbedtls_x509_crt *chain)
{
	while (t->line_len && t->line_len <= sizeof(t->line) &&
	       strchr(" \t\r", t->line[t->line_len - 1]))
		t->line_len--;
	size_t n = t->line_len;
	t->line_len = 0;
	if (n == sizeof(begin_line) - 1 && memcmp(t->line, begin_line, n) == 0) {
		t->inside = true;
		t->der_len = 0;
		t->base64 = (struct base64){0};
	} else if (t->inside && n == sizeof(end_line) - 1 && memcmp(t->line, end_line, n) == 0) {
		t->inside = false;
		return take_root(t, chain);
	}
	return 0;
}

static int take_block(struct trust *t, const char *bytes, size_t n, const mbedtls_x509_crt *chain)
{
	for (size_t i = 0; i < n; i++) {
		char c = bytes[i];
		if (c == '\n') {
			int error = end_of_line(t, chain);
			if (error)
				return error;
			continue;
		}
		if (t->line_len < sizeof(t->line))
			t->line[t->line_len] = c;
		t->line_len++;
		uint8_t byte;
		if (!t->inside || t->line[0] == '-' || base64_in(&t->base64, c, &byte) != 1)
			continue;
		if (t->der_len < DER_MAX)
			t->der[t->der_len] = byte;
		t->der_len++;
	}
	return 0;
}

// 0: the whole file was walked; -EAGAIN; -errno.
static int walk(
    struct trust *t, const mbedtls_x509_crt *chain, uint64_t until, char *why, size_t why_size)
{
	char block[4096];
	while (!t->walked) {
		ssize_t n = pread(t->fd, block, sizeof(block), (off_t)t->at);
		int error = n < 0 ? -errno : 0;
		if (n > 0 && t->at < TRUST_FILE_MAX)
			error = take_block(t, block, (size_t)n, chain);
		else if (!error) {
			error = end_of_line(t, chain);
			t->walked = true;
		}
		if (error == -EINTR)
			continue;
		if (error) {
			snprintf(why, why_size, "tls_ca_file %s: %s", t->path, strerror(-error));
			return error;
		}
		t->at += (uint64_t)n;
		if (clock_now() >= until)
			return -EAGAIN;
	}
	if (t->seen)
		return 0;
	snprintf(why, why_size, "tls_ca_file %s: no certificate in it (PEM is expected)", t->path);
	return -EINVAL;
}

static int note(void *arg, mbedtls_x509_crt *crt, int depth, uint32_t *flags)
{
	struct trust *t = arg;
	if (*flags) { // from the root to the peer's own, which is told about first
		t->bad = crt;
		t->flags = *flags;
		t->depth = depth;
	}
	return 0;
}

static void one_line(char *s)
{
	for (; *s; s++)
		if (*s < 0x20 || *s == 0x7f)
			*s = '?';
}

// The names that a certificate is for, at most four: "a.example, *.b.example, 10.0.0.1".
static void names(const mbedtls_x509_crt *crt, char *to, size_t size)
{
	unsigned count = 0;
	size_t len = 0;
	bool listed = crt->ext_types & MBEDTLS_X509_EXT_SUBJECT_ALT_NAME;
	to[0] = '\0';
	for (const mbedtls_x509_sequence *s = &crt->subject_alt_names; listed && s; s = s->next) {
		char address[INET6_ADDRSTRLEN] = "";
		int tag = s->buf.tag & MBEDTLS_ASN1_TAG_VALUE_MASK, n = (int)s->buf.len;
		if (tag == MBEDTLS_X509_SAN_IP_ADDRESS && (n == 4 || n == 16))
			inet_ntop(n == 4 ? AF_INET : AF_INET6, s->buf.p, address, sizeof(address));
		else if (tag != MBEDTLS_X509_SAN_DNS_NAME)
			continue;
		if (count == 4 || len + 80 >= size) {
			len += (size_t)snprintf(to + len, size - len, ", ...");
			break;
		}
		len += (size_t)snprintf(to + len, size - len, "%s%.*s", count++ ? ", " : "",
		    *address ? (int)strlen(address)
		    : n < 64 ? n
			     : 64,
		    *address ? address : (const char *)s->buf.p);
	}
	if (!listed) {
		const mbedtls_asn1_named_data *cn =
		    mbedtls_asn1_find_named_data((mbedtls_asn1_named_data *)&crt->subject,
			MBEDTLS_OID_AT_CN, MBEDTLS_OID_SIZE(MBEDTLS_OID_AT_CN));
		if (cn)
			snprintf(to, size, "%.*s", cn->val.len < 64 ? (int)cn->val.len : 64,
			    (const char *)cn->val.p);
	}
	if (!to[0])
		snprintf(to, size, "no host");
	one_line(to);
}

// Mbed TLS 2.28 compares DNS names alone.
static bool bears_address(const mbedtls_x509_crt *crt, const uint8_t *address, size_t n)
{
	if (!(crt->ext_types & MBEDTLS_X509_EXT_SUBJECT_ALT_NAME))
		return false;
	for (const mbedtls_x509_sequence *s = &crt->subject_alt_names; s; s = s->next)
		if ((s->buf.tag & MBEDTLS_ASN1_TAG_VALUE_MASK) == MBEDTLS_X509_SAN_IP_ADDRESS &&
		    s->buf.len == n && memcmp(s->buf.p, address, n) == 0)
			return true;
	return false;
}

static void date(const mbedtls_x509_time *at, char to[16])
{
	snprintf(to, 16, "%04u-%02u-%02u", (unsigned)at->year % 10000, (unsigned)at->mon % 100,
	    (unsigned)at->day % 100);
}

// Whether a root of the name that signed C is there.
static bool may_sign(const struct trust *t, const mbedtls_x509_crt *c)
{
	for (const mbedtls_x509_crt *r = t->kept ? &t->roots : NULL; r; r = r->next)
		if (r->subject_raw.len == c->issuer_raw.len &&
		    memcmp(r->subject_raw.p, c->issuer_raw.p, c->issuer_raw.len) == 0)
			return true;
	return false;
}

static void explain(
    const struct trust *t, const char *host, char *why, size_t size, unsigned char *alert)
{
	const mbedtls_x509_crt *c = t->bad;
	char name[160] = "?", day[16], whose[200] = "its certificate";
	uint32_t f = t->flags;
	*alert = MBEDTLS_SSL_ALERT_MSG_BAD_CERT;
	if (t->depth > 0) {
		mbedtls_x509_dn_gets(name, sizeof(name), &c->subject);
		one_line(name);
		snprintf(whose, sizeof(whose), "the certificate of its issuer (%s)", name);
	}
	if (f & MBEDTLS_X509_BADCERT_NOT_TRUSTED) {
		*alert = MBEDTLS_SSL_ALERT_MSG_UNKNOWN_CA;
		if (mbedtls_x509_dn_gets(name, sizeof(name), &c->issuer) < 0)
			snprintf(name, sizeof(name), "a long name");
		one_line(name);
		if (may_sign(t, c))
			snprintf(
			    why, size, "%s is not signed by the %s in %s", whose, name, t->path);
		else
			snprintf(why, size,
			    "%s is signed by %s, which is not in %s: name its CA with tls_ca_file",
			    whose, name, t->path);
	} else if (f & MBEDTLS_X509_BADCERT_EXPIRED) {
		*alert = MBEDTLS_SSL_ALERT_MSG_CERT_EXPIRED;
		date(&c->valid_to, day);
		snprintf(why, size, "%s expired on %s", whose, day);
	} else if (f & MBEDTLS_X509_BADCERT_FUTURE) {
		date(&c->valid_from, day);
		snprintf(why, size, "%s is valid from %s on only: is a clock wrong?", whose, day);
	} else if (f & MBEDTLS_X509_BADCERT_CN_MISMATCH) {
		names(c, name, sizeof(name));
		snprintf(why, size, "its certificate is for %s, not %s", name, host);
	} else if (f & (MBEDTLS_X509_BADCERT_BAD_MD | MBEDTLS_X509_BADCERT_BAD_PK |
			   MBEDTLS_X509_BADCERT_BAD_KEY)) {
		*alert = MBEDTLS_SSL_ALERT_MSG_UNSUPPORTED_CERT;
		snprintf(why, size, "%s has a weak key or signature (RSA under 2048 bits, SHA-1)",
		    whose);
	} else {
		*alert = MBEDTLS_SSL_ALERT_MSG_UNSUPPORTED_CERT;
		snprintf(why, size, "%s is not one for servers", whose);
	}
}

static int verify(struct trust *t, mbedtls_x509_crt *chain, const char *host, char *why,
    size_t size, unsigned char *alert)
{
	uint8_t address[16];
	size_t n = inet_pton(AF_INET, host, address) == 1    ? 4
		   : inet_pton(AF_INET6, host, address) == 1 ? 16
							     : 0;
	uint32_t flags;
	int error = mbedtls_x509_crt_verify_with_profile(chain, t->kept ? &t->roots : NULL, NULL,
	    &mbedtls_x509_crt_profile_default, n ? NULL : host, &flags, note, t);
	if (error && error != MBEDTLS_ERR_X509_CERT_VERIFY_FAILED) {
		// A chain that is too long, or no memory.
		snprintf(why, size, "its certificates could not be checked (Mbed TLS -0x%04x)",
		    (unsigned)-error);
		return error == MBEDTLS_ERR_X509_FATAL_ERROR ? -EACCES : -ENOMEM;
	}
	if (!t->bad) {
		t->bad = chain;
		if (n && !bears_address(chain, address, n))
			t->flags = MBEDTLS_X509_BADCERT_CN_MISMATCH;
		else if (mbedtls_x509_crt_check_extended_key_usage(chain, MBEDTLS_OID_SERVER_AUTH,
			     MBEDTLS_OID_SIZE(MBEDTLS_OID_SERVER_AUTH)) ||
			 mbedtls_x509_crt_check_key_usage(chain, MBEDTLS_X509_KU_DIGITAL_SIGNATURE))
			t->flags = MBEDTLS_X509_BADCERT_EXT_KEY_USAGE;
		else if (error || flags) // none is told that NOTE did not see
			t->flags = MBEDTLS_X509_BADCERT_OTHER;
	}
	if (!t->flags)
		return 0;
	explain(t, host, why, size, alert);
	return -EACCES;
}

int trust_step(struct trust *t, mbedtls_x509_crt *chain, const char *host, uint64_t budget_ns,
    char *why, size_t why_size, unsigned char *alert)
{
	uint64_t start = clock_now();
	bool walked = t->walked;
	*alert = MBEDTLS_SSL_ALERT_MSG_INTERNAL_ERROR;
	int error = walk(t, chain, start + budget_ns, why, why_size);
	if (!error && !walked && clock_now() - start > budget_ns / 4)
		return -EAGAIN; // the signatures get a turn of their own: a millisecond each with
				// P-256
	return error ? error : verify(t, chain, host, why, why_size, alert);
}
