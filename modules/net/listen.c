// SPDX-License-Identifier: Apache-2.0
#include "listen.h"

#include "../base/base.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define BACKLOG 64

struct target {
	struct sockaddr_storage address;
	socklen_t size;
	bool any; // ":port": IPv6 that takes IPv4 too, or IPv4 where there is no IPv6
};

const char *listen_unix_path(const char *address)
{
	return strncmp(address, "unix:", 5) == 0 ? address + 5 : NULL;
}

static int say(char *why, size_t size, const char *address, int error)
{
	const char *reason = strerror(-error), *out = "set listen to another address";
	if (error == -EADDRINUSE) {
		reason = "address in use";
		out = listen_unix_path(address)
			  ? "another telegen runs, or something else is there? set listen"
			  : "another telegen runs? stop it or set listen";
	} else if (error == -EADDRNOTAVAIL) {
		reason = "this machine has no such address";
	} else if (error == -EACCES || error == -EPERM) {
		reason = "not permitted";
		out = "use a port from 1024 up, or run as root";
	} else if (error == -EINVAL) {
		reason = "not an address";
		out = "write 127.0.0.1:19090, [::1]:19090, :19090 or unix:/run/telegen.sock";
	}
	snprintf(why, size, "listen: %s: %s: %s", address, reason, out);
	return error;
}

static int parse_unix(const char *path, struct target *t)
{
	struct sockaddr_un *un = (struct sockaddr_un *)&t->address;
	size_t n = strlen(path);
	if (path[0] != '/' || n >= sizeof(un->sun_path))
		return -EINVAL;
	un->sun_family = AF_UNIX;
	memcpy(un->sun_path, path, n + 1);
	t->size = sizeof(*un);
	return 0;
}

static int parse_ip(const char *address, struct target *t)
{
	struct sockaddr_in *four = (struct sockaddr_in *)&t->address;
	struct sockaddr_in6 *six = (struct sockaddr_in6 *)&t->address;
	const char *colon = strrchr(address, ':');
	char host[INET6_ADDRSTRLEN + 2];
	uint64_t port;
	if (!colon || (size_t)(colon - address) >= sizeof(host) ||
	    text_number(colon + 1, strlen(colon + 1), 10, &port) || port > UINT16_MAX)
		return -EINVAL;
	memcpy(host, address, (size_t)(colon - address));
	host[colon - address] = 0;
	size_t n = strlen(host);
	if (n >= 2 && host[0] == '[' && host[n - 1] == ']') {
		host[n - 1] = 0;
		six->sin6_family = AF_INET6;
		six->sin6_port = htons((uint16_t)port);
		t->size = sizeof(*six);
		return inet_pton(AF_INET6, host + 1, &six->sin6_addr) == 1 ? 0 : -EINVAL;
	}
	if (!n) {
		six->sin6_family = AF_INET6;
		six->sin6_port = htons((uint16_t)port);
		six->sin6_addr = in6addr_any;
		t->size = sizeof(*six);
		t->any = true;
		return 0;
	}
	four->sin_family = AF_INET;
	four->sin_port = htons((uint16_t)port);
	t->size = sizeof(*four);
	return inet_pton(
		   AF_INET, strcmp(host, "localhost") ? host : "127.0.0.1", &four->sin_addr) == 1
		   ? 0
		   : -EINVAL;
}

// A socket file that nobody listens on any more is left by an agent that was killed: it is in the
// way of bind and of no use to anyone. Anything else at that path stays.
static void remove_stale(const struct target *t)
{
	const char *path = ((const struct sockaddr_un *)&t->address)->sun_path;
	struct stat st;
	if (lstat(path, &st) || !S_ISSOCK(st.st_mode))
		return;
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return;
	if (connect(fd, (const struct sockaddr *)&t->address, t->size) && errno == ECONNREFUSED)
		unlink(path);
	close(fd);
}

static int open_target(const struct target *t)
{
	int family = t->address.ss_family, on = 1, off = 0;
	int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	mode_t mask = 0;
	if (family == AF_UNIX) {
		remove_stale(t);
		mask = umask(0117); // who may open the file may see profiles: owner and group
	} else {
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
		if (family == AF_INET6)
			setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, t->any ? &off : &on, sizeof(on));
	}
	int error = bind(fd, (const struct sockaddr *)&t->address, t->size) ? -errno : 0;
	if (family == AF_UNIX)
		umask(mask);
	if (!error && listen(fd, BACKLOG))
		error = -errno;
	if (error) {
		close(fd);
		return error;
	}
	return fd;
}

static int parse(const char *address, struct target *t)
{
	const char *path = listen_unix_path(address);
	return path ? parse_unix(path, t) : parse_ip(address, t);
}

int listen_check(const char *address, char *why, size_t why_size)
{
	struct target t = {0};
	int error = parse(address, &t);
	return error ? say(why, why_size, address, error) : 0;
}

int listen_open(const char *address, char *why, size_t why_size)
{
	struct target t = {0};
	int error = parse(address, &t);
	if (error)
		return say(why, why_size, address, error);
	int fd = open_target(&t);
	if (t.any && (fd == -EAFNOSUPPORT || fd == -EADDRNOTAVAIL)) {
		in_port_t port = ((struct sockaddr_in6 *)&t.address)->sin6_port;
		t = (struct target){.size = sizeof(struct sockaddr_in)};
		*(struct sockaddr_in *)&t.address =
		    (struct sockaddr_in){.sin_family = AF_INET, .sin_port = port};
		fd = open_target(&t);
	}
	return fd < 0 ? say(why, why_size, address, fd) : fd;
}

uint16_t listen_port(int fd)
{
	struct sockaddr_storage a;
	socklen_t size = sizeof(a);
	if (getsockname(fd, (struct sockaddr *)&a, &size))
		return 0;
	return a.ss_family == AF_INET	 ? ntohs(((struct sockaddr_in *)&a)->sin_port)
	       : a.ss_family == AF_INET6 ? ntohs(((struct sockaddr_in6 *)&a)->sin6_port)
					 : 0;
}

bool listen_is_local(const struct sockaddr_storage *peer)
{
	if (peer->ss_family == AF_UNIX)
		return true;
	if (peer->ss_family == AF_INET)
		return ntohl(((const struct sockaddr_in *)peer)->sin_addr.s_addr) >> 24 == 127;
	const struct in6_addr *six = &((const struct sockaddr_in6 *)peer)->sin6_addr;
	return peer->ss_family == AF_INET6 &&
	       (IN6_IS_ADDR_LOOPBACK(six) ||
		   (IN6_IS_ADDR_V4MAPPED(six) && six->s6_addr[12] == 127));
}
