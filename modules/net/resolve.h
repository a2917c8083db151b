// SPDX-License-Identifier: Apache-2.0
// A name's addresses, asked by c-ares on the loop: /etc/hosts, then the servers of
// /etc/resolv.conf, both read anew each time. An IP address is itself.
#pragma once
#include "../base/base.h"

#include <sys/socket.h>

struct loop;
struct resolve;

#define ADDRESSES_MAX 8
struct address {
	struct sockaddr_storage at;
	socklen_t size;
};
// COUNT addresses in the order to try them (IPv6 and IPv4 by turns), or 0 and why not, without the
// name.
typedef void resolve_fn(
    void *arg, const struct address *addresses, unsigned count, const char *why);

// FN is called once, never from inside. TIMEOUT_NS: until c-ares gives up. SERVERS:
// "127.0.0.1:5353" instead of the system's, or NULL. NULL + errno. resolve_free is allowed inside
// FN, and before it (then FN is not called).
struct resolve *resolve_new(struct loop *loop, const char *host, uint16_t port, uint64_t timeout_ns,
    const char *servers, resolve_fn *fn, void *arg);
void resolve_free(struct resolve *r);
