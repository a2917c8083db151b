// SPDX-License-Identifier: Apache-2.0
#include "targets.h"
#include "command.h"
#include "../base/base.h"
#include "../loop/loop.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static bool has_ended(int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};
	return poll(&p, 1, 0) == 1;
}

int targets_open(struct targets *t, const char *verb, const uint32_t *pids, uint32_t count)
{
	*t = (struct targets){.verb = verb, .pids = pids};
	for (; t->count < count; t->count++) {
		uint32_t pid = pids[t->count];
		int fd = (int)syscall(SYS_pidfd_open, pid, 0);
		int error = fd < 0 ? errno : has_ended(fd) ? ESRCH : 0;
		t->at[t->count] = (struct target){.all = t, .fd = fd};
		if (!error)
			continue;
		if (fd >= 0)
			close(fd);
		if (error == ESRCH)
			log_error("%s: -p: %u: has ended already: see `ps`", verb, pid);
		else
			log_error("%s: -p: %u: its end cannot be watched: %s", verb, pid,
			    strerror(error));
		return error == ESRCH ? EXIT_USAGE : EXIT_FAILED;
	}
	return 0;
}

static void on_end(void *arg, int events)
{
	struct target *one = arg;
	struct targets *t = one->all;
	(void)events;
	watch_free(one->watch);
	one->watch = NULL;
	if (--t->left)
		return;
	if (t->count == 1)
		log_info("%s: process %u has ended", t->verb, t->pids[0]);
	else
		log_info("%s: the last of the %u processes has ended", t->verb, t->count);
	t->ended(t->arg);
}

int targets_watch(struct targets *t, struct loop *loop, void (*ended)(void *arg), void *arg)
{
	t->ended = ended;
	t->arg = arg;
	for (; t->left < t->count; t->left++) {
		struct target *one = &t->at[t->left];
		one->watch = loop_watch(loop, one->fd, LOOP_READ, on_end, one);
		if (!one->watch)
			return -ENOMEM;
	}
	return 0;
}

void targets_close(struct targets *t)
{
	for (uint32_t i = 0; i < t->count; i++) {
		watch_free(t->at[i].watch);
		close(t->at[i].fd);
	}
	t->count = 0;
}
