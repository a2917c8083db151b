// SPDX-License-Identifier: Apache-2.0
// Certificates that a test makes for itself: a CA, and what it signs, in PEM.
#pragma once
#include <assert.h>
#include <mbedtls/ecp.h>
#include <mbedtls/rsa.h>
#include <mbedtls/pk.h>
#include <mbedtls/x509_crt.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#define DAY 86400

struct certificate {
	mbedtls_pk_context key;
	char name[64], pem[4096], key_pem[4096];
};
struct certificate_spec {
	const char *name;	     // "CN=collector.example"
	const char *dns, *dns2;	     // or NULL
	const uint8_t *ip;	     // of ip_len bytes, or NULL
	size_t ip_len;
	int from_days, to_days;	     // from now; both 0: yesterday to in a month
	bool ca, client, rsa, sha1;
	int below;    // how many CAs may stand below this one, and 1; 0: any number
	bool limited; // with a critical extension: name constraints
};

static int test_rng(void *arg, unsigned char *to, size_t n)
{
	(void)arg;
	return getrandom(to, n, 0) == (ssize_t)n ? 0 : -1;
}

static void stamp_text(char to[16], int days)
{
	time_t at = time(NULL) + (time_t)days * DAY;
	struct tm tm;
	gmtime_r(&at, &tm);
	strftime(to, 16, "%Y%m%d%H%M%S", &tm);
}

static size_t add_name(uint8_t *to, uint8_t tag, const void *name, size_t n)
{
	to[0] = tag;
	to[1] = (uint8_t)n;
	memcpy(to + 2, name, n);
	return n + 2;
}

// Signed by ISSUER, or by itself (NULL).
static void certificate_make(
    struct certificate *c, const struct certificate_spec *s, struct certificate *issuer)
{
	char from[16], to[16];
	uint8_t san[160];
	size_t n = 2;
	static int serial;
	mbedtls_x509write_cert w;
	mbedtls_mpi number;
	mbedtls_pk_init(&c->key);
	snprintf(c->name, sizeof(c->name), "%s", s->name);
	assert(!mbedtls_pk_setup(
	    &c->key, mbedtls_pk_info_from_type(s->rsa ? MBEDTLS_PK_RSA : MBEDTLS_PK_ECKEY)));
	assert(!(s->rsa ? mbedtls_rsa_gen_key(mbedtls_pk_rsa(c->key), test_rng, NULL, 2048, 65537)
			: mbedtls_ecp_gen_key(MBEDTLS_ECP_DP_SECP256R1, mbedtls_pk_ec(c->key),
			      test_rng, NULL)));
	mbedtls_x509write_crt_init(&w);
	mbedtls_mpi_init(&number);
	assert(!mbedtls_mpi_lset(&number, ++serial));
	stamp_text(from, s->from_days || s->to_days ? s->from_days : -1);
	stamp_text(to, s->from_days || s->to_days ? s->to_days : 30);
	mbedtls_x509write_crt_set_version(&w, MBEDTLS_X509_CRT_VERSION_3);
	mbedtls_x509write_crt_set_md_alg(&w, s->sha1 ? MBEDTLS_MD_SHA1 : MBEDTLS_MD_SHA256);
	mbedtls_x509write_crt_set_subject_key(&w, &c->key);
	mbedtls_x509write_crt_set_issuer_key(&w, issuer ? &issuer->key : &c->key);
	assert(!mbedtls_x509write_crt_set_subject_name(&w, s->name));
	assert(!mbedtls_x509write_crt_set_issuer_name(&w, issuer ? issuer->name : s->name));
	assert(!mbedtls_x509write_crt_set_serial(&w, &number));
	assert(!mbedtls_x509write_crt_set_validity(&w, from, to));
	if (s->ca)
		assert(!mbedtls_x509write_crt_set_basic_constraints(&w, 1, s->below - 1));
	if (s->limited) // permitted: dNSName "b"
		assert(!mbedtls_x509write_crt_set_extension(&w, "\x55\x1d\x1e", 3, 1,
		    (const uint8_t *)"\x30\x07\xa0\x05\x30\x03\x82\x01" "b", 9));
	if (s->client)
		assert(!mbedtls_x509write_crt_set_extension(&w, "\x55\x1d\x25", 3, 0,
		    (const uint8_t *)"\x30\x0a\x06\x08\x2b\x06\x01\x05\x05\x07\x03\x02", 12));
	if (s->dns)
		n += add_name(san + n, 0x82, s->dns, strlen(s->dns));
	if (s->dns2)
		n += add_name(san + n, 0x82, s->dns2, strlen(s->dns2));
	if (s->ip)
		n += add_name(san + n, 0x87, s->ip, s->ip_len);
	san[0] = 0x30;
	san[1] = (uint8_t)(n - 2);
	assert(n < 130);
	if (n > 2)
		assert(!mbedtls_x509write_crt_set_extension(&w, "\x55\x1d\x11", 3, 0, san, n));
	assert(!mbedtls_x509write_crt_pem(
	    &w, (unsigned char *)c->pem, sizeof(c->pem), test_rng, NULL));
	assert(!mbedtls_pk_write_key_pem(&c->key, (unsigned char *)c->key_pem, sizeof(c->key_pem)));
	mbedtls_x509write_crt_free(&w);
	mbedtls_mpi_free(&number);
}

static void certificate_free(struct certificate *c)
{
	mbedtls_pk_free(&c->key);
}
