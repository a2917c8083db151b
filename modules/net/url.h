// SPDX-License-Identifier: Apache-2.0
// Where a request goes, read out of "https://[user:password@]host[:port]/path?query" (RFC 3986),
// and which proxy it goes through. Knows no socket.
#pragma once
#include "../base/base.h"

#define HOST_MAX 254 // a name of DNS, with its NUL

struct url {
	bool tls;
	uint16_t port;
	char host[HOST_MAX]; // a name or an IP address, without brackets
	char where[HOST_MAX +
		   10]; // "collector:4318", "[::1]:4318": for lines to humans, and CONNECT
	char authority[HOST_MAX + 10]; // the same without the scheme's own port: for Host
	char *path;		       // with the query; "/" at least
	char *basic;		       // "Basic dXNlcjpwYXNzd29yZA==" of user:password@, or NULL
};
// WHAT is the option's name for WHY, which never shows user and password. 0, -EINVAL, -ENOMEM.
int url_parse(struct url *u, const char *what, const char *s, char *why, size_t why_size);
void url_free(struct url *u);

// Reads the proxy for TO into PROXY: OPTION where it is not NULL ("": none), else of the
// environment. 1: there is one; 0: none; -EINVAL, -ENOMEM with WHY.
int proxy_choose(
    struct url *proxy, const char *option, const struct url *to, char *why, size_t why_size);
// Whether LIST, as NO_PROXY has it, names TO: "*", names and what is below them, IP addresses,
// networks (10.0.0.0/8), each perhaps with a port.
bool proxy_excepts(const char *list, const struct url *to);
