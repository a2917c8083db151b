// SPDX-License-Identifier: Apache-2.0
#include "resolve.h"

#include "../loop/loop.h"

#include <ares.h>
#include <arpa/inet.h>
#include <errno.h>
#include <limits.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#define SOCKETS 16 // of c-ares at once: a server's UDP and TCP, a few servers
#define TRIES 3

struct resolve {
	struct loop *loop;
	ares_channel channel; // NULL: an IP address
	struct timer *timer;
	struct resolve_socket {
		struct resolve *resolve;
		struct watch *watch; // NULL: free
		ares_socket_t fd;
	} sockets[SOCKETS];
	bool finished, unwatched, freeing;
	unsigned count;
	struct address addresses[ADDRESSES_MAX];
	char why[160];
	resolve_fn *fn;
	void *arg;
};

// Arms the timer for what comes next: the answer's delivery, or what c-ares waits for.
static void arm(struct resolve *r)
{
	struct timeval tv = {0};
	if (!r->finished && !ares_timeout(r->channel, NULL, &tv))
		return;
	timer_set(r->timer, (uint64_t)tv.tv_sec * NS_PER_S + (uint64_t)tv.tv_usec * NS_PER_US, 0);
}

static void on_timer(void *arg)
{
	struct resolve *r = arg;
	if (r->finished) {
		r->fn(r->arg, r->addresses, r->count, r->why);
		return;
	}
	ares_process_fd(r->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
	arm(r);
}

static void on_socket(void *arg, int events)
{
	struct resolve_socket *s = arg;
	struct resolve *r = s->resolve;
	ares_process_fd(r->channel, events & LOOP_READ ? s->fd : ARES_SOCKET_BAD,
	    events & LOOP_WRITE ? s->fd : ARES_SOCKET_BAD);
	arm(r);
}

// c-ares tells which of its sockets it waits for, and before it closes one.
static void on_state(void *arg, ares_socket_t fd, int readable, int writable)
{
	struct resolve *r = arg;
	struct resolve_socket *s = NULL;
	for (unsigned i = 0; i < SOCKETS; i++)
		if (r->sockets[i].watch && r->sockets[i].fd == fd)
			s = &r->sockets[i];
	int events = (readable ? LOOP_READ : 0) | (writable ? LOOP_WRITE : 0);
	if (s && events) {
		watch_set(s->watch, events);
	} else if (s) {
		watch_free(s->watch);
		s->watch = NULL;
	} else if (events) {
		for (unsigned i = 0; i < SOCKETS && !s; i++)
			if (!r->sockets[i].watch)
				s = &r->sockets[i];
		if (s) {
			*s = (struct resolve_socket){.resolve = r, .fd = fd};
			s->watch = loop_watch(r->loop, fd, events, on_socket, s);
		}
		// Its answer would not be seen: c-ares' time passes, and then the line says why.
		r->unwatched |= !s || !s->watch;
	}
}

static void keep(struct resolve *r, const struct ares_addrinfo_node *n)
{
	if (r->count < ADDRESSES_MAX && n->ai_addrlen <= sizeof(struct sockaddr_storage)) {
		struct address *a = &r->addresses[r->count++];
		memcpy(&a->at, n->ai_addr, n->ai_addrlen);
		a->size = n->ai_addrlen;
	}
}

static const struct ares_addrinfo_node *next_of(
    const struct ares_addrinfo_node *n, int family, bool same)
{
	while (n && ((n->ai_family == family) != same ||
			(n->ai_family != AF_INET && n->ai_family != AF_INET6)))
		n = n->ai_next;
	return n;
}

// The family of the first address (RFC 6724 sorted them) and the other by turns, as RFC 8305 has
// it: where one family is dead, the second attempt is of the other.
static void keep_by_turns(struct resolve *r, const struct ares_addrinfo_node *first)
{
	int family = first ? first->ai_family : 0;
	const struct ares_addrinfo_node *a = next_of(first, family, true);
	const struct ares_addrinfo_node *b = next_of(first, family, false);
	while (a || b) {
		if (a) {
			keep(r, a);
			a = next_of(a->ai_next, family, true);
		}
		if (b) {
			keep(r, b);
			b = next_of(b->ai_next, family, false);
		}
	}
}

static const char *reason(const struct resolve *r, int status)
{
	if (r->unwatched || status == ARES_ENOMEM)
		return "no memory to ask for its address";
	switch (status) {
	case ARES_ENOTFOUND:
	case ARES_ENONAME:
		return "the name is not known to DNS: is it spelt right?";
	case ARES_ENODATA:
		return "DNS knows the name but no address of it: is it the right name?";
	case ARES_ETIMEOUT:
		return "the DNS server does not answer: is /etc/resolv.conf right, and the server "
		       "up?";
	case ARES_ECONNREFUSED:
		return "the DNS server refuses: is /etc/resolv.conf right, and the server up?";
	default:
		return NULL;
	}
}

static void on_answer(void *arg, int status, int timeouts, struct ares_addrinfo *info)
{
	struct resolve *r = arg;
	(void)timeouts;
	if (status == ARES_SUCCESS && !r->freeing)
		keep_by_turns(r, info->nodes);
	if (info)
		ares_freeaddrinfo(info);
	r->finished = true;
	if (r->count)
		return;
	const char *why = reason(r, status == ARES_SUCCESS ? ARES_ENODATA : status);
	snprintf(
	    r->why, sizeof(r->why), "%s%s", why ? why : "DNS: ", why ? "" : ares_strerror(status));
}

static bool literal(struct resolve *r, const char *host, uint16_t port)
{
	struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(port)};
	struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
	struct address *a = &r->addresses[0];
	if (inet_pton(AF_INET, host, &v4.sin_addr) == 1) {
		memcpy(&a->at, &v4, a->size = sizeof(v4));
	} else if (inet_pton(AF_INET6, host, &v6.sin6_addr) == 1) {
		memcpy(&a->at, &v6, a->size = sizeof(v6));
	} else {
		return false;
	}
	r->count = 1;
	r->finished = true;
	return true;
}

static int ask(
    struct resolve *r, const char *host, uint16_t port, uint64_t timeout_ns, const char *servers)
{
	// c-ares doubles the time of each try: 1 + 2 + 4 parts, and none is longer than told.
	uint64_t first_ms = timeout_ns / NS_PER_MS / ((1u << TRIES) - 1);
	struct ares_options options = {
	    .timeout = first_ms > INT_MAX / 8 ? INT_MAX / 8
		       : first_ms < 10	      ? 10
					      : (int)first_ms,
	    .tries = TRIES,
	    .sock_state_cb = on_state,
	    .sock_state_cb_data = r,
	};
	int status = ares_init_options(
	    &r->channel, &options, ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_SOCK_STATE_CB);
	if (status == ARES_SUCCESS && servers)
		status = ares_set_servers_ports_csv(r->channel, servers);
	if (status != ARES_SUCCESS)
		return status == ARES_ENOMEM ? -ENOMEM : -EIO;
	char service[8];
	snprintf(service, sizeof(service), "%u", port);
	// CARES_HOSTS names another /etc/hosts.
	struct ares_addrinfo_hints hints = {.ai_family = AF_UNSPEC,
	    .ai_socktype = SOCK_STREAM,
	    .ai_flags = ARES_AI_NUMERICSERV | ARES_AI_ENVHOSTS};
	ares_getaddrinfo(r->channel, host, service, &hints, on_answer, r);
	return 0;
}

struct resolve *resolve_new(struct loop *loop, const char *host, uint16_t port, uint64_t timeout_ns,
    const char *servers, resolve_fn *fn, void *arg)
{
	int error = ENOMEM;
	struct resolve *r = mem_alloc(ACCOUNT_NET, sizeof(*r));
	if (!r)
		goto fail;
	*r = (struct resolve){.loop = loop, .fn = fn, .arg = arg};
	r->timer = loop_timer(loop, UINT64_MAX, 0, on_timer, r);
	if (!r->timer)
		goto fail;
	if (!literal(r, host, port) && (error = -ask(r, host, port, timeout_ns, servers)))
		goto fail;
	arm(r);
	return r;
fail:
	resolve_free(r);
	errno = error;
	return NULL;
}

void resolve_free(struct resolve *r)
{
	if (!r)
		return;
	r->freeing = true;
	if (r->channel)
		ares_destroy(r->channel);
	for (unsigned i = 0; i < SOCKETS; i++)
		watch_free(r->sockets[i].watch);
	timer_free(r->timer);
	mem_free(r);
}
