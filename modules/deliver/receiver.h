// SPDX-License-Identifier: Apache-2.0
// What the configuration says: of us, of each receiver, and where its secrets are.
#pragma once
#include "../base/base.h"
#include "../config/config.h"
#include "../export/export.h"
#include "../loop/loop.h"
#include "../net/net.h"

// node.c: who we are, to every receiver.
struct node {
	char host[65];
	char *service;
	char **resource; // "key", "value", ..., NULL; NULL: none
	uint32_t count;	 // of strings
};
int node_open(struct node *n, const struct config *c); // 0 or -ENOMEM
void node_close(struct node *n);

// receiver.c: what the configuration says of one receiver.
enum receiver_id {
	RECEIVER_OTLP,
	RECEIVER_PYROSCOPE,
	RECEIVER_PARCA,
	RECEIVER_LOGS,
	RECEIVER_METRICS,
	RECEIVER_COUNT
};
struct receiver {	  // strings without a word are the configuration's
	const char *name; // "otlp"
	const char *key;  // "profile_export.otlp"
	enum requests_kind kind;
	bool enabled, grpc, gzip, tls, tls_insecure;
	const char *endpoint, *standard; // standard: where the endpoint is empty
	const char *path;		 // where the endpoint has none
	bool below;			 // PATH goes below that of the endpoint
	const struct config_list *headers;
	const char *tenant; // or NULL
	const char *token_file, *user, *password_file;
	const char *tls_ca_file, *tls_cert_file, *tls_key_file, *tls_server_name, *proxy;
	uint64_t timeout_ns;
	struct text url;   // ours
	struct text shown; // ours; for messages: without a user
	uint64_t token;	   // hash of the last one that was read
};
void receiver_of(struct receiver *r, const struct config *c, enum receiver_id id);
// Checks all that can be checked without the net: 0, -EINVAL with WHY, -ENOMEM.
int receiver_open(struct receiver *r, char *why, size_t why_size);
void receiver_close(struct receiver *r);
// Its secrets are read now. NULL + errno with WHY.
struct http_client *receiver_connect(
    struct receiver *r, struct loop *loop, const char *agent, char *why, size_t why_size);

// secret.c: values with ${env:NAME} and ${file:/path}, and files that hold one line. 0, -EINVAL
// with a reason added to WHY, or -ENOMEM.
int secret_expand(const char *value, struct text *to, struct text *why);
int secret_read(const char *path, struct text *to, struct text *why);
void secret_base64(struct text *to, const char *bytes, size_t n);
void secret_free(struct text *t); // and its bytes are overwritten
