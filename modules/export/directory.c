// SPDX-License-Identifier: Apache-2.0
// A bounded directory of windows. A file takes this way, in slices:
//
//   .tmp-NAME written -> synchronised -> the oldest removed until it fits -> renamed to NAME
#include "directory.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum phase {
	PHASE_IDLE,
	PHASE_OPEN,
	PHASE_WRITE,
	PHASE_SYNC,
	PHASE_LOOK,
	PHASE_REMOVE,
	PHASE_RENAME
};

struct directory {
	char *path;
	int directory, file; // descriptors
	uint64_t max_size;   // 0: no limit
	enum export_format format;
	enum phase phase;
	const struct profile *p;
	struct export_job *job;
	struct sync sync;
	struct file_scan scan;
	uint32_t removed; // of scan.oldest
	uint64_t size;	  // of the file being written
	char name[FILE_NAME_MAX];
	char temporary[FILE_NAME_MAX + sizeof(FILE_TEMPORARY)];
};

// Permission is not enough: /proc and others have directories that nobody can make a file in. A
// disk that is full now may have room later.
static bool can_be_written(int directory)
{
	char name[32];
	snprintf(name, sizeof(name), FILE_TEMPORARY "try-%d", (int)getpid());
	int fd =
	    openat(directory, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return errno == ENOSPC || errno == EDQUOT || errno == EEXIST;
	close(fd);
	return unlinkat(directory, name, 0) == 0;
}

struct directory *directory_new(
    const char *path, uint64_t max_size, enum export_format format, char *why, size_t why_size)
{
	struct directory *d = mem_alloc(ACCOUNT_EXPORT, sizeof(*d));
	if (!d) {
		snprintf(why, why_size, "output.directory: not enough memory");
		return NULL;
	}
	*d =
	    (struct directory){.directory = -1, .file = -1, .max_size = max_size, .format = format};
	sync_open(&d->sync);
	d->path = mem_strdup(ACCOUNT_EXPORT, path);
	if (d->path && (mkdir(path, 0750) == 0 || errno == EEXIST))
		d->directory = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int error = d->path ? 0 : ENOMEM;
	if (!error && (d->directory < 0 || !can_be_written(d->directory)))
		error = errno;
	if (error) {
		snprintf(why, why_size,
		    "output.directory: %s: %s; name a directory that can be written to", path,
		    strerror(error));
		directory_free(d);
		return errno = error, NULL;
	}
	file_remove_temporary(d->directory);
	return d;
}

// Back to rest; what was not renamed is removed.
static void leave(struct directory *d)
{
	export_job_free(d->job);
	d->job = NULL;
	file_scan_stop(&d->scan);
	if (d->file >= 0) {
		close(d->file);
		if (d->phase != PHASE_IDLE)
			unlinkat(d->directory, d->temporary, 0);
	}
	d->file = -1;
	d->phase = PHASE_IDLE;
}

void directory_free(struct directory *d)
{
	if (!d)
		return;
	leave(d);
	sync_close(&d->sync);
	if (d->directory >= 0)
		close(d->directory);
	mem_free(d->path);
	mem_free(d);
}

int directory_put(struct directory *d, const struct profile *p)
{
	if (d->phase != PHASE_IDLE)
		return -EBUSY;
	d->p = p;
	d->phase = PHASE_OPEN;
	return 0;
}

static int write_all(void *arg, const void *bytes, size_t n)
{
	struct directory *d = arg;
	const char *at = bytes;
	while (n) {
		ssize_t w = write(d->file, at, n);
		if (w < 0 && errno == EINTR)
			continue;
		if (w <= 0)
			return w ? -errno : -ENOSPC;
		at += w;
		n -= (size_t)w;
		d->size += (uint64_t)w;
	}
	return 0;
}

// A name that is free: windows shorter than a second, and a clock set back, meet one that is there.
static int choose_name(struct directory *d)
{
	struct stat st;
	for (unsigned n = 1; n < 100; n++) {
		file_name_make(d->name, d->p, d->format, n);
		if (fstatat(d->directory, d->name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			return errno == ENOENT ? 0 : -errno;
	}
	return -EEXIST;
}

static int open_file(struct directory *d)
{
	int error = choose_name(d);
	if (error)
		return error;
	snprintf(d->temporary, sizeof(d->temporary), FILE_TEMPORARY "%s", d->name);
	d->file = openat(
	    d->directory, d->temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0640);
	if (d->file < 0)
		return -errno;
	d->size = 0;
	d->job = export_new(d->p, NULL, d->format, d->name, &(struct wire_sink){write_all, d});
	return d->job ? 0 : -errno;
}

static bool fits(const struct directory *d)
{
	return !d->max_size || d->scan.total + d->size <= d->max_size;
}

// Removes what the scan called the oldest; where that was not enough, the next scan tells what is
// left.
static int remove_oldest(struct directory *d)
{
	while (!fits(d)) {
		if (d->removed == d->scan.count) {
			d->phase = PHASE_LOOK;
			return d->removed ? 1 : -EFBIG;
		}
		const struct file_entry *e = &d->scan.oldest[d->removed++];
		if (unlinkat(d->directory, e->name, 0) < 0 && errno != ENOENT)
			return -errno;
		d->scan.total -= e->size;
		count_add(COUNT_FILES_REMOVED, 1);
	}
	return 0;
}

static int look(struct directory *d, struct slice *slice)
{
	int error = 0;
	if (d->max_size && d->size > d->max_size)
		return -EFBIG;
	if (!d->scan.stream) {
		d->removed = 0;
		error = file_scan_start(&d->scan, d->directory);
	}
	if (!error)
		error = file_scan_step(&d->scan, slice);
	if (error != 1)
		file_scan_stop(&d->scan);
	return error;
}

static int run_phase(struct directory *d, struct slice *slice)
{
	int error;
	switch (d->phase) {
	case PHASE_OPEN:
		return open_file(d);
	case PHASE_WRITE:
		error = export_step(d->job, slice->budget);
		return error ? error : sync_start(&d->sync, d->file);
	case PHASE_SYNC:
		return sync_step(&d->sync, slice->budget);
	case PHASE_LOOK:
		return look(d, slice);
	case PHASE_REMOVE:
		return remove_oldest(d);
	case PHASE_RENAME:
		return renameat(d->directory, d->temporary, d->directory, d->name) < 0 ? -errno : 0;
	case PHASE_IDLE:
		break;
	}
	return 0;
}

int directory_step(struct directory *d, uint64_t budget_ns)
{
	struct slice slice = slice_begin(budget_ns);
	if (d->phase == PHASE_IDLE)
		return 0;
	int error = run_phase(d, &slice);
	if (error > 0)
		return 1;
	if (error < 0) {
		count_add(COUNT_FILES_FAILED, 1);
		log_seldom(LOG_LEVEL_ERROR, "output.directory: %s/%s was not kept: %s", d->path,
		    d->name,
		    error == -EFBIG && d->phase > PHASE_SYNC ? "it is larger than output.max_size"
							     : strerror(-error));
		leave(d);
		return error;
	}
	if (d->phase++ < PHASE_RENAME)
		return 1;
	count_add(COUNT_FILES_WRITTEN, 1);
	d->phase = PHASE_IDLE;
	leave(d);
	return 0;
}
