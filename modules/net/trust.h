// SPDX-License-Identifier: Apache-2.0
// Whether a peer's certificates are to be trusted: signed by a root of the CA file, in time, for its name.
// The CA file is walked one certificate at a time, and only roots that can have signed one of the peer's are parsed
// and kept: a system's store of 150 roots costs its reading (a few slices) and no memory. Private to this room.
#pragma once
#include <mbedtls/x509_crt.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#define TRUST_FILE_MAX (4u << 20)

// Opens a regular file for reading, and never waits for a pipe or a device: its descriptor, or -errno (-EFBIG: over
// MAX bytes).
int trust_open(const char *path, uint64_t max, struct stat *st);

struct trust;
// CA_FILE: NULL or "" for the system's. NULL + errno with a line in WHY. ST: of the file.
struct trust *trust_new(const char *ca_file, struct stat *st, char *why, size_t why_size);
void trust_free(struct trust *t);

// Checks CHAIN (the peer's certificates, its own first; the same at every call) for HOST, a DNS name or IP literal.
// 0: it may be trusted; -EAGAIN: BUDGET_NS is spent, call again; -EACCES: no, with a line in WHY and the TLS alert to
// answer with; another -errno: could not be checked.
int trust_step(struct trust *t, mbedtls_x509_crt *chain, const char *host, uint64_t budget_ns, char *why,
    size_t why_size, unsigned char *alert);
