// SPDX-License-Identifier: Apache-2.0
// io_submit(2) with IOCB_CMD_FDSYNC, which the kernel runs in a work queue (Linux 4.18 and later).
// Where it is not to be had, fdatasync(2) does it at once.
#include "sync.h"

#include "clock.h"

#include <errno.h>
#include <linux/aio_abi.h>
#include <stdbool.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

void sync_open(struct sync *s)
{
	*s = (struct sync){.fd = -1};
	if (syscall(SYS_io_setup, 1, &s->context) < 0)
		s->context = 0;
}

void sync_close(struct sync *s)
{
	if (s->context)
		syscall(SYS_io_destroy, s->context);
	s->context = 0;
}

static int sync_now(int fd)
{
	// A file system without the call has nothing to be synchronised.
	return fdatasync(fd) == 0 || errno == EINVAL ? 0 : -errno;
}

static bool submit(struct sync *s, int fd)
{
	struct iocb command = {.aio_lio_opcode = IOCB_CMD_FDSYNC, .aio_fildes = (uint32_t)fd};
	struct iocb *list[] = {&command};
	if (!s->context || syscall(SYS_io_submit, s->context, 1, list) != 1)
		return false;
	s->fd = fd;
	return true;
}

int sync_start(struct sync *s, int fd)
{
	return submit(s, fd) ? 0 : sync_now(fd);
}

void sync_start_aside(struct sync *s, int fd)
{
	submit(s, fd);
}

int sync_step(struct sync *s, uint64_t budget_ns)
{
	struct io_event event;
	struct timespec wait = {0, (long)(budget_ns < NS_PER_MS ? budget_ns : NS_PER_MS)};
	if (s->fd < 0)
		return 0;
	long got = syscall(SYS_io_getevents, s->context, 1, 1, &event, &wait);
	if (got == 0 || (got < 0 && errno == EINTR))
		return 1;
	int fd = s->fd;
	s->fd = -1;
	if (got < 0 || event.res == -EINVAL)
		return sync_now(fd);
	return (int)event.res;
}
