// SPDX-License-Identifier: Apache-2.0
// One receiver's client. A request's life:
//
//   idle --http_client_post--> busy: open a connection unless one is kept -> BEGUN: send while
//   listening
//     ^                          '--no connection, timeout--.            |        '--peer closed a
//     kept one |                                                     v            v before any
//     answer: once
//     '----------------------- DONE ------------------- fail_request  answered        again, on a
//     new one
#pragma once
#include "../base/base.h"
#include "answer.h"
#include "net.h"
#include "transport.h"

struct grpc_call;

#define CLIENT_PIECE (16u << 10)

struct http_client {
	struct loop *loop;
	struct url to, proxy;
	char *user_agent, *ca_file, *cert_file, *key_file, *server_name;
	bool proxied, grpc_wanted;
	uint64_t timeout_ns, deadline;
	struct text headers; // "Name: value\r\n" each, also Authorization and Proxy-Authorization
			     // of the URLs
	char **lines;	     // gRPC: the same without "\r\n", ends in NULL
	struct tls_context *tls;
	struct transport *transport;
	struct grpc_call *grpc; // of the connection

	// The request under way.
	bool busy;	     // until DONE
	bool begun;	     // on this connection
	bool kept;	     // the connection carried a request before
	bool reached, heard; // a byte of it was sent, a byte of an answer came in
	bool stopped;	 // nothing more is sent: all is, or the answer is here before the end, or
			 // writing failed
	bool headed_out; // the head is in `piece`, or behind it
	struct http_post post;
	uint64_t taken; // bytes of the body that were read
	struct timer *timer;
	struct text head;
	char *buffer;	   // CLIENT_PIECE bytes
	const char *piece; // what goes out next: [piece, piece + left)
	size_t left;
	struct answer answer;
};

// head.c: reads the options' headers into C. 0, -EINVAL, -ENOMEM with WHY.
int client_headers(struct http_client *c, const char *const *headers, const char *user_agent,
    char *why, size_t why_size);
int client_head(struct http_client *c); // the request's head into C->head: 0, -ENOMEM

// exchange.c: what the connection is ready for. It ends in client_answered, client_fail or
// client_again.
int client_begin(struct http_client *c); // 0, -errno
void client_exchange(struct http_client *c);
// Whether the kept connection, on which no request is, is still one.
bool client_idle(struct http_client *c);

// client.c: these end the request, or the connection; C may be gone behind them.
void client_answered(struct http_client *c, bool keep);
void client_fail(struct http_client *c, int error, const char *why);
void client_again(struct http_client *c);
