// SPDX-License-Identifier: Apache-2.0
// A /proc made of plain files in a temporary directory: what a test says is what the agent reads.
#pragma once
#include <ftw.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char fakeproc_root[64];

static inline void fakeproc_open(void)
{
	strcpy(fakeproc_root, "/tmp/telegen-proc-XXXXXX");
	if (!mkdtemp(fakeproc_root))
		abort();
}

static inline void fakeproc_write(unsigned pid, const char *name, const char *text)
{
	char path[256];
	snprintf(path, sizeof(path), "%s/%u", fakeproc_root, pid);
	mkdir(path, 0755);
	snprintf(path, sizeof(path), "%s/%u/%s", fakeproc_root, pid, name);
	FILE *f = fopen(path, "w");
	if (!f)
		abort();
	fputs(text, f);
	fclose(f);
}

// A process with COMM, start time TICKS, MAPS text, its root being the real root.
static inline void fakeproc_add(unsigned pid, unsigned ppid, const char *comm, unsigned long ticks, const char *maps)
{
	char text[512], path[256];
	snprintf(text, sizeof(text),
	    "%u (%s) S %u 1 1 0 -1 4194304 0 0 0 0 0 0 0 0 20 0 1 0 %lu 0 0 18446744073709551615 0 0 0 0 0 0 0 0 0\n",
	    pid, comm, ppid, ticks);
	fakeproc_write(pid, "stat", text);
	fakeproc_write(pid, "maps", maps);
	fakeproc_write(pid, "cgroup", "0::/\n");
	snprintf(path, sizeof(path), "%s/%u/root", fakeproc_root, pid);
	if (symlink("/", path) && access(path, F_OK))
		abort();
}

static inline int fakeproc_rm(const char *path, const struct stat *st, int type, struct FTW *f)
{
	(void)st;
	(void)type;
	(void)f;
	return remove(path);
}

static inline void fakeproc_remove(unsigned pid)
{
	char path[256];
	snprintf(path, sizeof(path), "%s/%u", fakeproc_root, pid);
	nftw(path, fakeproc_rm, 16, FTW_DEPTH | FTW_PHYS);
}

static inline void fakeproc_close(void)
{
	nftw(fakeproc_root, fakeproc_rm, 16, FTW_DEPTH | FTW_PHYS);
}
