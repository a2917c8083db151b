// SPDX-License-Identifier: Apache-2.0
// The listening side: accepts, bounds the number of connections, and keeps their deadlines.
#include "net.h"

#include "../loop/loop.h"
#include "connection.h"
#include "listen.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define ACCEPTS_A_TURN 4 // each costs some 50 us
#define EXPIRED_A_TURN 8
#define PAUSE_NS NS_PER_S // no descriptors or memory: somebody has to give some back first

static void arm(struct http_server *s, uint64_t ns)
{
	if (!s->timing)
		timer_set(s->timer, ns, 0);
	s->timing = true;
}

static void pause_accepting(struct http_server *s)
{
	log_seldom(LOG_LEVEL_WARN, "listen: %s: no room for more connections: %s", s->listen,
	    strerror(errno));
	count_add(COUNT_HTTP_REFUSED, 1);
	s->paused = true;
	watch_set(s->watch, 0);
	timer_set(s->timer, PAUSE_NS, 0);
	s->timing = true;
}

static void on_timer(void *arg)
{
	struct http_server *s = arg;
	uint64_t now = clock_now();
	int expired = 0;
	s->timing = false;
	if (s->paused)
		watch_set(s->watch, LOOP_READ);
	s->paused = false;
	for (struct http_request *c = s->connections, *next; c && expired < EXPIRED_A_TURN;
	     c = next) {
		next = c->next;
		if (!c->deadline || now < c->deadline)
			continue;
		connection_expired(c);
		expired++;
	}
	if (s->connections)
		arm(s, expired < EXPIRED_A_TURN ? s->sweep_ns : 1);
}

// Makes room by closing the connection that is missed least: who asks for /healthz is heard though
// others hold every place and say nothing, half a request, or do not read their answers.
static bool make_room(struct http_server *s)
{
	struct http_request *victim = NULL;
	unsigned most = 0;
	for (struct http_request *c = s->connections; c; c = c->next) {
		unsigned spare = connection_spare(c);
		if (spare && spare >= most) { // the oldest of its kind is the last in the list
			most = spare;
			victim = c;
		}
	}
	if (!victim)
		return false;
	count_add(COUNT_HTTP_REFUSED, most < SPARE_ANSWERED);
	victim->failed |= victim->state == HANDLING; // a cut answer must not look like a short one
	connection_free(victim);
	return true;
}

static void refuse(int fd)
{
	static const char busy[] =
	    "HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/plain\r\n"
	    "Retry-After: 1\r\nConnection: close\r\nContent-Length: 21\r\n\r\n"
	    "too many connections\n";
	// A fresh socket takes this much; where it does not, closing says the same.
	if (send(fd, busy, sizeof(busy) - 1, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
		log_debug("listen: refusal not sent: %s", strerror(errno));
	count_add(COUNT_HTTP_REFUSED, 1);
	close(fd);
}

static void on_accept(void *arg, int events)
{
	struct http_server *s = arg;
	(void)events;
	for (int i = 0; i < ACCEPTS_A_TURN; i++) {
		struct sockaddr_storage peer = {0};
		socklen_t size = sizeof(peer);
		int fd =
		    accept4(s->fd, (struct sockaddr *)&peer, &size, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd < 0) {
			if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS ||
			    errno == ENOMEM)
				pause_accepting(s);
			return; // nobody left, or one who left again before we came
		}
		if (s->count >= s->options.connections_max && !make_room(s)) {
			refuse(fd);
			continue;
		}
		if (peer.ss_family != AF_UNIX)
			setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
		if (!connection_new(s, fd, listen_is_local(&peer))) {
			pause_accepting(s);
			return;
		}
		arm(s, s->sweep_ns);
	}
}

static void set_bounds(struct http_server *s, const struct http_options *o)
{
	s->options = *o;
	s->options.connections_max = o->connections_max ? o->connections_max : 64;
	s->options.header_bytes_max = o->header_bytes_max ? o->header_bytes_max : 8192;
	s->options.request_ns_max = o->request_ns_max ? o->request_ns_max : 10 * NS_PER_S;
	s->options.stall_ns_max = o->stall_ns_max ? o->stall_ns_max : 30 * NS_PER_S;
	uint64_t least = s->options.request_ns_max < s->options.stall_ns_max
			     ? s->options.request_ns_max
			     : s->options.stall_ns_max;
	s->sweep_ns = least / 4 < NS_PER_S ? least / 4 : NS_PER_S;
}

struct http_server *http_server_new(
    struct loop *loop, const struct http_options *options, char *why, size_t why_size)
{
	struct http_server *s = mem_alloc(ACCOUNT_NET, sizeof(*s));
	int error = ENOMEM;
	snprintf(why, why_size, "listen: %s: not enough memory", options->listen);
	if (!s)
		return errno = ENOMEM, NULL;
	s->loop = loop;
	s->fd = -1;
	set_bounds(s, options);
	s->listen = mem_strdup(ACCOUNT_NET, options->listen);
	if (!s->listen)
		goto fail;
	s->options.listen = s->listen;
	s->fd = listen_open(s->listen, why, why_size);
	if (s->fd < 0) {
		error = -s->fd;
		goto fail;
	}
	s->watch = loop_watch(loop, s->fd, LOOP_READ, on_accept, s);
	s->timer = s->watch ? loop_timer(loop, PAUSE_NS, 0, on_timer, s) : NULL;
	if (s->timer)
		return s;
	snprintf(why, why_size, "listen: %s: not enough memory", s->listen);
fail:
	http_server_free(s);
	errno = error;
	return NULL;
}

void http_server_free(struct http_server *s)
{
	if (!s)
		return;
	while (s->connections)
		connection_free(s->connections);
	timer_free(s->timer);
	watch_free(s->watch);
	if (s->fd >= 0) {
		close(s->fd);
		const char *path = listen_unix_path(s->listen);
		if (path && unlink(path) && errno != ENOENT)
			log_warn("listen: %s: socket not removed: %s", s->listen, strerror(errno));
	}
	mem_free(s->listen);
	mem_free(s);
}

uint16_t http_server_port(const struct http_server *s)
{
	return listen_port(s->fd);
}

// An address that means every one of this machine is reached by the loopback's.
void http_server_url(const struct http_server *s, char *url, size_t size)
{
	const char *colon = strrchr(s->listen, ':');
	int host = colon ? (int)(colon - s->listen) : 0;
	if (listen_unix_path(s->listen))
		text_copy(url, size, s->listen);
	else if (!host || !strncmp(s->listen, "0.0.0.0:", 8) || !strncmp(s->listen, "[::]:", 5))
		snprintf(url, size, "http://localhost:%u/", http_server_port(s));
	else
		snprintf(url, size, "http://%.*s:%u/", host, s->listen, http_server_port(s));
}

int http_address_check(const char *address, char *why, size_t why_size)
{
	return listen_check(address, why, why_size);
}
