// SPDX-License-Identifier: Apache-2.0
#include "sink.h"
#include "command.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static bool is_special(const char *path)
{
	struct stat st;
	return stat(path, &st) == 0 && !S_ISREG(st.st_mode);
}

int file_sink_open(struct file_sink *s, const char *path, unsigned mode)
{
	*s = (struct file_sink){.fd = STDOUT_FILENO};
	if (!strcmp(path, "-"))
		return 0;
	if (strlen(path) >= sizeof(s->path))
		return -ENAMETOOLONG;
	if (is_special(path)) {
		s->fd = open(path, O_WRONLY | O_CLOEXEC);
		s->direct = true;
	} else {
		snprintf(s->temporary, sizeof(s->temporary), "%s.tmp-%d", path, (int)getpid());
		s->fd = open(s->temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
	}
	if (s->fd < 0)
		return -errno;
	text_copy(s->path, sizeof(s->path), path);
	return 0;
}

static int sink_write(void *arg, const void *bytes, size_t n)
{
	struct file_sink *s = arg;
	const char *at = bytes;
	while (n && !s->error) {
		ssize_t w = write(s->fd, at, n);
		if (w < 0 && errno == EINTR)
			continue;
		if (w < 0)
			return s->error = -errno;
		at += w;
		n -= (size_t)w;
		s->bytes += (uint64_t)w;
	}
	return s->error;
}

struct wire_sink file_sink_sink(struct file_sink *s)
{
	return (struct wire_sink){sink_write, s};
}

void file_sink_place(struct file_sink *s)
{
	if (!s->direct && *s->path &&
	    renameat2(AT_FDCWD, s->temporary, AT_FDCWD, s->path, RENAME_NOREPLACE) == 0)
		text_copy(s->temporary, sizeof(s->temporary), s->path);
}

int file_sink_close(struct file_sink *s, int error)
{
	if (!error)
		error = s->error;
	if (!*s->path)
		return error;
	// What cannot be synchronised (a pipe, some file systems) needs no such thing.
	if (!error && fsync(s->fd) < 0 && errno != EINVAL && errno != EROFS)
		error = -errno;
	if (close(s->fd) < 0 && !error)
		error = -errno;
	if (!s->direct && !error && rename(s->temporary, s->path) < 0)
		error = -errno;
	if (!s->direct && error)
		unlink(s->temporary);
	*s->path = 0;
	return error;
}

bool file_sink_is_directory(const char *path)
{
	struct stat st;
	return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

int file_sink_check(const char *path)
{
	char directory[sizeof(((struct file_sink *)0)->path)];
	const char *slash = strrchr(path, '/');
	if (!strcmp(path, "-"))
		return 0;
	if (strlen(path) >= sizeof(directory))
		return -ENAMETOOLONG;
	if (file_sink_is_directory(path))
		return -EISDIR;
	if (is_special(path))
		return access(path, W_OK) < 0 ? -errno : 0;
	// One that is only readable can be replaced; one that is immutable cannot.
	if (access(path, W_OK) < 0 && errno == EPERM)
		return -errno;
	text_copy(directory, slash ? (size_t)(slash - path) + 2 : 2, slash ? path : ".");
	if (access(directory, W_OK | X_OK) < 0)
		return -errno;
	// Some file systems (/proc, NFS of another's root) refuse only when it is done.
	struct file_sink s;
	int error = file_sink_open(&s, path, 0600);
	return error ? error : (file_sink_close(&s, -ECANCELED), 0);
}

const char *sink_name(const char *path)
{
	return strcmp(path, "-") ? path : "standard output";
}

int write_profile(const struct profile *p, const struct profile *base, const char *path,
    const char *title, bool partly)
{
	const char *name = sink_name(path);
	enum export_format format = EXPORT_FOLDED;
	struct file_sink s;
	bool short_of_memory = false;
	if (strcmp(path, "-"))
		export_format_of(
		    path, &format); // the suffix was checked when the argument was read
	int error = file_sink_open(&s, path, 0644);
	if (!error) {
		uint64_t refused = count_get(COUNT_MEM_REFUSED);
		struct wire_sink sink = file_sink_sink(&s);
		error = export_all(p, base, format, title, &sink);
		short_of_memory = !error && count_get(COUNT_MEM_REFUSED) != refused;
		error = file_sink_close(&s, short_of_memory && !partly ? -ENOMEM : error);
	}
	if (!error && short_of_memory)
		log_warn("%s: memory_limit: stacks without memory are [rest: ...]: raise it with "
			 "--memory_limit",
		    name);
	if (!error || (error == -EPIPE && !strcmp(path, "-"))) // who reads the pipe has seen enough
		return 0;
	if (error == -ENOMEM)
		return error;
	log_error(
	    "%s: %s: nothing was kept of it; choose another place with -o", name, strerror(-error));
	return EXIT_FAILED;
}

int write_text(const struct text *t)
{
	if (t->error) {
		log_error("memory: %s", strerror(-t->error));
		return EXIT_FAILED;
	}
	bool whole = fwrite(t->at, 1, t->len, stdout) == t->len;
	if ((fflush(stdout) == 0 && whole) || errno == EPIPE) // the reader may have seen enough
		return EXIT_DONE;
	log_error("standard output: %s", strerror(errno));
	return EXIT_FAILED;
}

const char *human_bytes(uint64_t bytes, char *buffer, size_t size)
{
	if (bytes < 10000)
		snprintf(buffer, size, "%lu B", bytes);
	else if (bytes < 10000000)
		snprintf(buffer, size, "%.1f kB", (double)bytes / 1000);
	else
		snprintf(buffer, size, "%.1f MB", (double)bytes / 1e6);
	return buffer;
}
