// SPDX-License-Identifier: Apache-2.0
// gRPC over one HTTP/2 connection, as bytes in memory: it knows no socket and no TLS. Unary calls, one after the
// other. Private to this room.
//
//   grpc_start -> { grpc_output -> grpc_sent, grpc_feed } until grpc_done -> grpc_start ...
//
// grpc_output is asked after each grpc_feed too, also between calls: answers to PING and SETTINGS come there.
// Formats: RFC 9113 (nghttp2), the gRPC project's PROTOCOL-HTTP2, google/rpc/status.proto and error_details.proto.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct http_post;
struct http_result;
struct grpc_call; // one connection's HTTP/2 session

// All is copied. HEADERS: "Name: value", ends in NULL, or NULL; what HTTP/2 or gRPC sets itself is passed over;
// values are never kept in the compressor's table. SCHEME: "http" or "https". NULL + errno (EINVAL: a header that
// is none). Memory: about 28 KiB.
struct grpc_call *grpc_new(const char *authority, const char *path, const char *scheme, const char *const *headers,
    const char *user_agent);
void grpc_free(struct grpc_call *g);

// Begins a call. POST is borrowed until grpc_done says that the call has ended (its done is not called here). The
// message gets its prefix of 5 bytes; it is marked compressed where content_encoding is "gzip". The time limit is
// the caller's. 0; -EBUSY: a call is under way; -ENOTCONN: not grpc_usable; -EFBIG: over 4 GiB; -ENOMEM.
int grpc_start(struct grpc_call *g, const struct http_post *post);
// Bytes from the peer: 0; -EPROTO: that is not HTTP/2; -ENOMEM. After an error the call has ended and the connection
// is to be closed.
int grpc_feed(struct grpc_call *g, const void *bytes, size_t n);
// What is to be sent now: how much at *BYTES, valid until the next call of grpc_output or grpc_sent; 0: nothing;
// -errno of post->read (the call has ended, the connection is still good) or -ENOMEM, -EPROTO (close it).
int64_t grpc_output(struct grpc_call *g, const void **bytes);
void grpc_sent(struct grpc_call *g, size_t n); // how much of it went out

// Whether the call has ended; then RESULT (may be NULL) is filled, its strings and body valid until the next
// grpc_start or grpc_free. `error` is 0 where the peer answered: grpc_status then is the answer's (or what gRPC
// says an HTTP status means; of 200 UNKNOWN), `why` its name and message: "UNAVAILABLE: try later".
// -ECONNRESET: the call was reset. `retry_after_ns`: RetryInfo, or HTTP's Retry-After. `reached` is
// left as it is, but cleared where the peer said that it took nothing (REFUSED_STREAM, GOAWAY before the call).
bool grpc_done(const struct grpc_call *g, struct http_result *result);
bool grpc_usable(const struct grpc_call *g); // another call may go over it (no GOAWAY, no error)
