// SPDX-License-Identifier: Apache-2.0
#include "perfmap_file.h"

#include "../base/base.h"
#include "../proc/proc.h"
#include "../process/process.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define TAIL 64
#define TICKS_PER_S 100 // USER_HZ, of /proc/PID/stat
#define SLACK_S 2	// a file's time is that of the last clock tick, and clocks are set

// PATTERN with every {pid} or <pid> replaced.
static int expand(const char *pattern, uint32_t pid, char *path, size_t size)
{
	size_t n = 0;
	while (*pattern && n < size) {
		if (!strncmp(pattern, "{pid}", 5) || !strncmp(pattern, "<pid>", 5)) {
			n += (size_t)snprintf(path + n, size - n, "%u", pid);
			pattern += 5;
		} else {
			path[n++] = *pattern++;
		}
	}
	path[n < size ? n : size - 1] = 0;
	if (n >= size)
		return -ENAMETOOLONG;
	return 0;
}

// A map that was last written before the process started is that of another one with the same pid.
static bool stale(const struct process *p, const struct stat *st)
{
	struct timespec boot;
	clock_gettime(CLOCK_BOOTTIME, &boot);
	int64_t booted = (int64_t)(clock_wall() / NS_PER_S) - boot.tv_sec;
	return st->st_mtime + SLACK_S < booted + (int64_t)(p->start_ticks / TICKS_PER_S);
}

static int open_one(
    const struct process *p, const char *path, struct map_seen *seen, uint64_t *bytes)
{
	struct stat st;
	int fd = proc_open_beneath(p->root_fd, path);
	if (fd < 0)
		return fd;
	int error = fstat(fd, &st) < 0 ? -errno : 0;
	if (!error && !S_ISREG(st.st_mode))
		error = -EINVAL;
	if (!error && st.st_uid != p->euid && st.st_uid != 0)
		error = -EPERM;
	if (!error && stale(p, &st))
		error = -ESTALE;
	if (error) {
		close(fd);
		return error;
	}
	*seen = (struct map_seen){.dev = st.st_dev, .ino = st.st_ino};
	*bytes = st.st_size > 0 ? (uint64_t)st.st_size : 0;
	return fd;
}

// What stands at PATH itself, a symbolic link too: its mode, 0: unknown.
static mode_t kind_of(int root_fd, const char *path)
{
	struct open_how how = {
	    .flags = O_PATH | O_NOFOLLOW | O_CLOEXEC,
	    .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS,
	};
	struct stat st;
	int fd = (int)syscall(SYS_openat2, root_fd, path, &how, sizeof(how));
	mode_t mode = fd >= 0 && fstat(fd, &st) == 0 ? st.st_mode & S_IFMT : 0;
	if (fd >= 0)
		close(fd);
	return mode;
}

// Why PATH is not read, in words; NULL: nothing is there, which is the rule.
static const char *reason(int root_fd, const char *path, int error)
{
	mode_t kind = error == -ENOENT || error == -EINVAL ? kind_of(root_fd, path) : 0;
	if (error == -ENOENT)
		return S_ISLNK(kind) ? "a symbolic link that leads nowhere" : NULL;
	if (error == -EINVAL)
		return S_ISFIFO(kind)  ? "a FIFO, not a file"
		       : S_ISDIR(kind) ? "a directory, not a file"
		       : S_ISLNK(kind) ? "a symbolic link to what is no file"
				       : "not a file";
	if (error == -ELOOP)
		return "a symbolic link that goes round in a circle";
	if (error == -EPERM)
		return "it belongs neither to the process's user nor to root";
	return error == -ESTALE ? "it is older than the process" : strerror(-error);
}

int perfmap_open(const struct process *p, const char *const *paths, char *path, size_t size,
    struct map_seen *seen, uint64_t *bytes)
{
	const char *pattern = "/tmp/perf-{pid}.map";
	int fd = -ENOENT;
	if (p->root_fd < 0 || !p->ns_pid)
		return fd;
	while (pattern) {
		int got = expand(pattern, p->ns_pid, path, size);
		if (!got)
			got = open_one(p, path, seen, bytes);
		if (got >= 0)
			return got;
		const char *why = reason(p->root_fd, path, got);
		if (why)
			log_seldom(LOG_LEVEL_INFO,
			    "%s of process %u: %s: its JIT code stays unnamed", path, p->pid, why);
		fd = got;
		pattern = paths && *paths ? *paths++ : NULL;
	}
	return fd;
}

uint64_t perfmap_tail(int fd, uint64_t offset)
{
	char bytes[TAIL];
	size_t want = offset < TAIL ? (size_t)offset : TAIL;
	ssize_t n = pread(fd, bytes, want, (off_t)(offset - want));
	return n == (ssize_t)want && n > 0 ? hash_bytes(bytes, want, offset) : 0;
}

bool perfmap_continues(
    int fd, const struct map_seen *before, const struct map_seen *now, uint64_t bytes)
{
	return before->ino && before->ino == now->ino && before->dev == now->dev &&
	       bytes >= before->offset && perfmap_tail(fd, before->offset) == before->tail;
}
