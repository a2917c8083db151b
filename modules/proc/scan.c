// SPDX-License-Identifier: Apache-2.0
// The pids of /proc, read with getdents64 so that a scan is one block of known size and no more.
#include "local.h"
#include "../base/base.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

struct proc_scan {
	int fd;
	int at, end; // in `entries`, bytes
	_Alignas(struct dirent64) char entries[4096];
};

struct proc_scan *proc_scan_new(struct proc *p)
{
	struct proc_scan *s = mem_alloc(ACCOUNT_PROC, sizeof(*s));
	if (!s)
		return NULL;
	s->fd = openat(p->root, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (s->fd >= 0)
		return s;
	int error = errno;
	mem_free(s);
	errno = error;
	return NULL;
}

void proc_scan_free(struct proc_scan *s)
{
	if (!s)
		return;
	close(s->fd);
	mem_free(s);
}

int proc_scan_next(struct proc_scan *s, uint32_t *pid)
{
	for (;;) {
		if (s->at >= s->end) {
			s->at = 0;
			s->end =
			    (int)syscall(SYS_getdents64, s->fd, s->entries, sizeof(s->entries));
			if (s->end <= 0)
				return s->end < 0 ? -errno : 0;
		}
		const struct dirent64 *entry = (const void *)(s->entries + s->at);
		s->at += entry->d_reclen;
		uint64_t number;
		if (!text_number(entry->d_name, strlen(entry->d_name), 10, &number) && number &&
		    number <= INT32_MAX) {
			*pid = (uint32_t)number;
			return 1;
		}
	}
}
