// SPDX-License-Identifier: Apache-2.0
// A listening socket from an address as the configuration writes it.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// The socket (nonblocking, close-on-exec) or -errno, then WHY names the address and the way out.
// Addresses are numeric (or "localhost"), so nothing waits for a name server.
int listen_open(const char *address, char *why, size_t why_size);
// The path of "unix:/path", else NULL.
const char *listen_unix_path(const char *address);
// 0, or -EINVAL with WHY, where ADDRESS is none.
int listen_check(const char *address, char *why, size_t why_size);
uint16_t listen_port(int fd);
struct sockaddr_storage;
bool listen_is_local(const struct sockaddr_storage *peer);
