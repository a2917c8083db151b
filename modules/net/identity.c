// SPDX-License-Identifier: Apache-2.0
#include "identity.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "../base/base.h"
#include "trust.h"

#define PEM_MAX (256u << 10)

void identity_init(struct identity *i)
{
	mbedtls_x509_crt_init(&i->cert);
	mbedtls_pk_init(&i->key);
}

void identity_free(struct identity *i)
{
	mbedtls_x509_crt_free(&i->cert);
	mbedtls_pk_free(&i->key);
}

// The whole file with the NUL that the library wants after it: mem_free's, wiped by the caller.
static int read_pem(const char *path, struct stat *st, char **bytes, size_t *size)
{
	int error = 0, fd = trust_open(path, PEM_MAX, st);
	if (fd < 0)
		return fd;
	size_t n = (size_t)st->st_size, at = 0;
	*bytes = mem_alloc(ACCOUNT_NET, n + 1);
	if (!*bytes)
		error = -ENOMEM;
	while (!error && at < n) {
		ssize_t got = pread(fd, *bytes + at, n - at, (off_t)at);
		if (got < 0 && errno != EINTR)
			error = -errno;
		else if (got == 0)
			error = -EBUSY; // it was cut meanwhile: somebody writes it
		else if (got > 0)
			at += (size_t)got;
	}
	close(fd);
	if (error) {
		if (*bytes)
			explicit_bzero(*bytes, n);
		mem_free(*bytes);
		return error;
	}
	*size = n + 1;
	return 0;
}

static int parse_cert(struct identity *i, const char *bytes, size_t size, const char **said)
{
	int error = mbedtls_x509_crt_parse(&i->cert, (const unsigned char *)bytes, size);
	if (!error)
		return 0;
	*said = "holds no certificate that can be read (PEM is expected)";
	return error == MBEDTLS_ERR_X509_ALLOC_FAILED ? -ENOMEM : -EINVAL;
}

static int parse_key(struct identity *i, const char *bytes, size_t size, const char **said)
{
	int error = mbedtls_pk_parse_key(&i->key, (const unsigned char *)bytes, size, NULL, 0);
	if (!error)
		return 0;
	*said = error == MBEDTLS_ERR_PK_PASSWORD_REQUIRED
		    ? "has a passphrase: give the key without one"
		    : "holds no private key that can be read (PEM is expected)";
	return error == MBEDTLS_ERR_PK_ALLOC_FAILED ? -ENOMEM : -EINVAL;
}

static int read_one(struct identity *i, const char *option, const char *path, struct stat *st,
    int (*parse)(struct identity *i, const char *bytes, size_t size, const char **said), char *why,
    size_t why_size)
{
	char *bytes;
	size_t size;
	const char *said = NULL;
	int error = read_pem(path, st, &bytes, &size);
	if (!error) {
		error = parse(i, bytes, size, &said);
		explicit_bzero(bytes, size);
		mem_free(bytes);
	} else if (error == -EFBIG || error == -EINVAL) {
		said = error == -EFBIG ? "is too big" : "is not a regular file";
	}
	if (error == -ENOMEM || (error && !said))
		snprintf(why, why_size, "%s %s: %s", option, path, strerror(-error));
	else if (error)
		snprintf(why, why_size, "%s %s %s", option, path, said);
	return error;
}

int identity_read(struct identity *i, const char *cert_file, const char *key_file,
    struct stat st[2], char *why, size_t why_size)
{
	int error = read_one(i, "tls_cert_file", cert_file, &st[0], parse_cert, why, why_size);
	if (!error)
		error = read_one(i, "tls_key_file", key_file, &st[1], parse_key, why, why_size);
	if (!error && mbedtls_pk_check_pair(&i->cert.pk, &i->key)) {
		snprintf(why, why_size, "tls_key_file %s is not the key of tls_cert_file %s",
		    key_file, cert_file);
		error = -EINVAL;
	}
	return error;
}
