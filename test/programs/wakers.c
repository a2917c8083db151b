// SPDX-License-Identifier: Apache-2.0
// Waits that one function alone ends, each of another thread: wakers SECONDS. For what is printed
// see truth.h.
//
//   waits in        ended by          of thread
//   pipe_waits      feeds_it          feeder
//   lock_waits      holds_it          holder      (futex)
//   socket_waits    sends_it          sender      (TCP on this machine: carried by a softirq)
//   naps            an interrupt
#define _GNU_SOURCE
#include "truth.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <sys/socket.h>

#define MS 1000000ull
#define KEEP() __asm__ volatile("") // no call at the end becomes a jump

static uint64_t until;
static int pipe_ends[2], sockets[2];
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static volatile int turn; // 1: the holder has the lock

static int going(void)
{
	return clock_ns(CLOCK_MONOTONIC) < until;
}

#define FUNCTION(name)                                                                             \
	NOINLINE void name(void);                                                                  \
	NOINLINE void name(void)

static void moves(int fd, int in)
{
	char c = 0;
	if ((in ? read(fd, &c, 1) : write(fd, &c, 1)) != 1)
		abort();
	KEEP();
}
FUNCTION(pipe_waits)
{
	moves(pipe_ends[0], 1);
	KEEP();
}
FUNCTION(feeds_it)
{
	moves(pipe_ends[1], 0);
	KEEP();
}
FUNCTION(socket_waits)
{
	moves(sockets[0], 1);
	KEEP();
}
FUNCTION(sends_it)
{
	moves(sockets[1], 0);
	KEEP();
}
FUNCTION(holds_it)
{
	pthread_mutex_lock(&mutex);
	turn = 1;
	sleep_ns(15 * MS);
	turn = 0;
	pthread_mutex_unlock(&mutex);
	KEEP();
}
FUNCTION(lock_waits)
{
	pthread_mutex_lock(&mutex);
	KEEP();
}
FUNCTION(naps)
{
	sleep_ns(12 * MS);
	KEEP();
}

#define THREAD(name, comm, ...)                                                                    \
	static void *name(void *arg)                                                               \
	{                                                                                          \
		(void)arg;                                                                         \
		truth_begin(comm);                                                                 \
		while (going()) {                                                                  \
			__VA_ARGS__;                                                               \
		}                                                                                  \
		truth_end();                                                                       \
		return NULL;                                                                       \
	}

THREAD(reads, "reader", MEASURE(pipe_waits))
THREAD(receives, "receiver", MEASURE(socket_waits))
THREAD(nap, "napper", MEASURE(naps))
THREAD(waits, "waiter", while (!turn && going()) sleep_ns(MS / 4); MEASURE(lock_waits);
       pthread_mutex_unlock(&mutex))
THREAD(holds, "holder", holds_it(); sleep_ns(5 * MS))

// They end last, with one more for who began to wait just before, so that nobody waits for ever.
static void *feeds(void *arg)
{
	prctl(PR_SET_NAME, "feeder");
	for (; clock_ns(CLOCK_MONOTONIC) < until + 100 * MS; sleep_ns(20 * MS))
		feeds_it();
	feeds_it();
	return arg;
}
static void *sends(void *arg)
{
	prctl(PR_SET_NAME, "sender");
	for (; clock_ns(CLOCK_MONOTONIC) < until + 100 * MS; sleep_ns(20 * MS))
		sends_it();
	sends_it();
	return arg;
}

static void connects(void)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t size = sizeof(at);
	int one = 1, listener = socket(AF_INET, SOCK_STREAM, 0);
	sockets[1] = socket(AF_INET, SOCK_STREAM, 0);
	if (bind(listener, (void *)&at, size) || listen(listener, 1) ||
	    getsockname(listener, (void *)&at, &size) || connect(sockets[1], (void *)&at, size) ||
	    setsockopt(sockets[1], IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)))
		abort();
	sockets[0] = accept(listener, NULL, NULL);
}

int main(int argc, char **argv)
{
	void *(*const threads[])(void *) = {feeds, sends, holds, reads, receives, nap, waits};
	pthread_t ids[sizeof(threads) / sizeof(*threads)];
	until =
	    clock_ns(CLOCK_MONOTONIC) + (argc > 1 ? strtoull(argv[1], NULL, 10) : 4) * 1000 * MS;
	if (pipe(pipe_ends))
		abort();
	connects();
	for (size_t i = 0; i < sizeof(threads) / sizeof(*threads); i++)
		if (pthread_create(&ids[i], NULL, threads[i], NULL))
			abort();
	for (size_t i = 0; i < sizeof(threads) / sizeof(*threads); i++)
		pthread_join(ids[i], NULL);
	return 0;
}
