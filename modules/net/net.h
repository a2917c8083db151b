// SPDX-License-Identifier: Apache-2.0
// Sockets and HTTP on the loop. An HTTP/1.1 server with bounds on everything: connections, header
// bytes, bodies (none taken), time to send a request, time to take an answer, queued bytes. And a client of
// one receiver, over TLS and proxies where they are wanted.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct loop;
struct http_server;
struct http_request;

struct http_options {
	const char *listen;	    // "127.0.0.1:19090", "[::1]:19090", "unix:/run/telegen.sock", ":19090"
	uint32_t connections_max;   // 0: 64
	uint32_t header_bytes_max;  // 0: 8192
	uint64_t request_ns_max;    // 0: 10 s from connection to complete request
	uint64_t stall_ns_max;	    // 0: 30 s without progress of an answer
	void (*handle)(void *arg, struct http_request *r);
	void *arg;
};
// NULL + errno, WHY gets one line that names the address and the way out.
struct http_server *http_server_new(struct loop *loop, const struct http_options *options, char *why, size_t why_size);
void http_server_free(struct http_server *s); // closes all connections; unanswered requests are told ON_GONE
uint16_t http_server_port(const struct http_server *s);
// Where it is reached: "http://127.0.0.1:19090/" with the port it really has, or "unix:/path".
void http_server_url(const struct http_server *s, char *url, size_t size);
// Whether ADDRESS can be listened on as far as its writing goes: 0, or -EINVAL with WHY as above.
int http_address_check(const char *address, char *why, size_t why_size);

const char *http_method(const struct http_request *r);
const char *http_path(const struct http_request *r); // decoded, without the query
// Value of a query parameter, decoded, or NULL.
const char *http_query(const struct http_request *r, const char *key);
// The key of the query parameter at INDEX, decoded, or NULL past the last.
const char *http_query_key(const struct http_request *r, uint32_t index);
const char *http_header(const struct http_request *r, const char *name); // or NULL
bool http_peer_is_local(const struct http_request *r); // loopback or unix socket

// An answer: begin, any number of writes, end; or http_answer for all at once. HEADERS: extra lines, each
// ending in "\r\n", or NULL. Without a length the body is chunked. A request that was handled must be answered, at
// once or later; ON_GONE tells that the peer left (then the request is dead and must not be touched).
void http_answer(struct http_request *r, int status, const char *content_type, const char *headers, const void *body,
    size_t size);
void http_begin(struct http_request *r, int status, const char *content_type, const char *headers);
// 0; -EAGAIN: queued, but wait for ON_DRAIN before the next; -ENOMEM: nothing queued.
int http_write(struct http_request *r, const void *bytes, size_t n);
void http_end(struct http_request *r);
// Ends an answer that was begun and cannot be completed: the peer sees a cut body, not a short one.
void http_abort(struct http_request *r);
void http_on(struct http_request *r, void (*on_drain)(void *arg), void (*on_gone)(void *arg), void *arg);

// A client of one receiver: one request at a time, over a connection that is kept open between them. The
// addresses of its name (c-ares, IPv6 and IPv4) are tried in turn. HTTP/1.1, or gRPC over HTTP/2.
struct http_client;
struct http_tls {	       // each may be NULL or ""
	const char *ca_file;   // the system's store
	const char *cert_file; // PEM of this client and its key; read again when they change
	const char *key_file;
	const char *server_name; // the URL's host
	bool insecure;		 // the peer is not checked at all
};
struct http_client_options { // all of it is copied
	const char *url;     // "https://[user:password@]host[:port]/path"; with gRPC the method's path
	const char *const *headers; // "Name: value", ends in NULL; or NULL. Secrets: never logged
	const char *proxy;   // "http://[user:password@]host:port"; "": none; NULL: HTTPS_PROXY, HTTP_PROXY, NO_PROXY
	const char *user_agent;
	bool grpc;
	struct http_tls tls;
	uint64_t timeout_ns; // of a whole request; 0: 10 s
};
#define HTTP_ANSWER_MAX 65536u // bytes of an answer that are kept
struct http_result {
	int error;    // 0: the peer answered; else -errno
	bool reached; // some of the request was sent: it may have been taken
	int status;   // of HTTP, 0: none
	int grpc_status;	 // -1: none
	uint64_t retry_after_ns; // 0: not told
	const void *body;	 // without gRPC's prefix; valid during the call; none where the answer was cut
	size_t size;
	const char *why; // where it failed, one line for humans: who, what, the way out; else ""
};
struct http_post {
	const char *content_type;     // borrowed until DONE, as all of this
	const char *content_encoding; // "gzip", or NULL
	uint64_t size;		      // of the body
	// Reads at most SIZE bytes of the body at AT: how many (1 at least), or -errno, which ends the request.
	int64_t (*read)(void *arg, uint64_t at, void *bytes, size_t size);
	void (*done)(void *arg, const struct http_result *result);
	void *arg;
};
// NULL + errno with a line in WHY that names the option's value and the way out; no file or name is looked up yet.
struct http_client *http_client_new(
    struct loop *loop, const struct http_client_options *options, char *why, size_t why_size);
void http_client_free(struct http_client *c); // a request that is under way ends without DONE
int http_client_post(struct http_client *c, const struct http_post *post); // 0, -EBUSY, -ENOMEM: no DONE then
