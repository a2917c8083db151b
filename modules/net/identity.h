// SPDX-License-Identifier: Apache-2.0
// The certificate of this client and its private key, from PEM files. Private to this room.
#pragma once
#include <mbedtls/pk.h>
#include <mbedtls/x509_crt.h>
#include <stddef.h>
#include <sys/stat.h>

struct identity {
	mbedtls_x509_crt cert; // and what the file holds of its issuers
	mbedtls_pk_context key;
};

void identity_init(struct identity *i);
// Reads both files, a regular file of at most 256 KiB each. -errno with a line in WHY that names the file and the way
// out: also for a key that is another certificate's. ST: of the certificate's file and the key's.
int identity_read(struct identity *i, const char *cert_file, const char *key_file, struct stat st[2],
    char *why, size_t why_size);
void identity_free(struct identity *i); // wipes the key
