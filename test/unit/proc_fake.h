// SPDX-License-Identifier: Apache-2.0
// A directory that stands for /proc, filled file by file.
#pragma once
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char fake_root[32];

static int fake_remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st, (void)type, (void)ftw;
	return remove(path);
}

static int fake_begin(void **state)
{
	(void)state;
	strcpy(fake_root, "/tmp/proc-XXXXXX");
	return mkdtemp(fake_root) ? 0 : -1;
}

static int fake_end(void **state)
{
	(void)state;
	return nftw(fake_root, fake_remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

// The path of NAME below the root, its directories made.
static const char *fake_path(const char *name)
{
	static char path[4400];
	snprintf(path, sizeof(path), "%s/%s", fake_root, name);
	for (char *s = path + strlen(fake_root) + 1; (s = strchr(s, '/')); s++) {
		*s = 0;
		mkdir(path, 0755);
		*s = '/';
	}
	return path;
}

static void fake_write(const char *name, const void *bytes, size_t n)
{
	int fd = open(fake_path(name), O_WRONLY | O_CREAT | O_TRUNC, 0644);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, bytes, n), n);
	close(fd);
}

static inline void fake_puts(const char *name, const char *s)
{
	fake_write(name, s, strlen(s));
}

static inline void fake_link(const char *name, const char *target)
{
	const char *path = fake_path(name);
	unlink(path);
	assert_int_equal(symlink(target, path), 0);
}

static inline int fake_open_descriptors(void)
{
	DIR *d = opendir("/proc/self/fd");
	int n = 0;
	while (readdir(d))
		n++;
	closedir(d);
	return n;
}
