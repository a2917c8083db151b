// SPDX-License-Identifier: Apache-2.0
// TLS 1.2 over a connected, non-blocking descriptor (Mbed TLS). Private to this room.
//
//   tls_new -> tls_handshake until 0 -> tls_read, tls_write -> tls_free
//
// The peer's certificates are checked here between two steps of the handshake, because the library would want
// every trusted root parsed before (400 KiB, 3 ms); see trust.h. A call that has computed for LOOP_SLICE_NS
// returns -EAGAIN and wants LOOP_WRITE, which is at hand at once: the loop's other work goes between.
//
// Memory of a connection: about 40 KiB, most of it the library's two record buffers, and some 20 more while it
// shakes hands. What cannot be cut in pieces is one operation with a key: see tls_handshake.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct http_tls;
struct tls_context; // certificates of one receiver; files are read again when they changed
struct tls;

// Copies OPTIONS; reads no file. NULL + errno with a line in WHY. H2: ALPN "h2" and nothing else will do; else
// "http/1.1".
struct tls_context *tls_context_new(const struct http_tls *options, bool h2, char *why, size_t why_size);
void tls_context_free(struct tls_context *c); // after its connections

// FD is borrowed and must stay open until tls_free. HOST: for SNI and the check of the name (DNS name or IP
// literal, with or without brackets), unless the options name another. Opens the CA file and reads the client's
// certificate and key: NULL + errno with a line in WHY that names the file and the way out.
struct tls *tls_new(struct tls_context *c, int fd, const char *host, char *why, size_t why_size);
// 0: done; -EAGAIN: again when the descriptor is ready for tls_wants; -errno: over, with tls_why. -EACCES is a peer
// whose certificate did not pass (nothing of a request was sent). One call ends in at most one operation with a
// key, which the library cannot interrupt: 1 ms with P-256, 2 with P-384, one a certificate for the check of a
// chain. A session of the same receiver is resumed where it can be.
int tls_handshake(struct tls *t);

// > 0 bytes; 0 the end; -EAGAIN; -errno with tls_why. Read until -EAGAIN: what is decrypted already wakes no
// descriptor. A peer that closes without TLS's farewell is an end too: who reads knows from its framing whether
// something is missing.
int64_t tls_read(struct tls *t, void *bytes, size_t n);
// As write. After -EAGAIN the next call must begin with the same bytes and hold at least as many (they may lie
// elsewhere): they are encrypted already.
int64_t tls_write(struct tls *t, const void *bytes, size_t n);
int tls_wants(const struct tls *t); // LOOP_READ or LOOP_WRITE: what the last -EAGAIN waits for
// One line, without the receiver's name: "its certificate expired on 2024-01-02". "" where nothing failed.
const char *tls_why(const struct tls *t);
void tls_free(struct tls *t); // says farewell where that does not block; the descriptor stays open
