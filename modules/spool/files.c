// SPDX-License-Identifier: Apache-2.0
// Bodies in files of a directory, little endian:
//
//   0 "TLGSPOOL" | 8 crc32 of all that follows in the head | 12 crc32 of the body | 16 u64 its size
//   | 24 u64 samples | 32 u64 time, ns | 40 type, 16 bytes | 56 0 | 64 the body
//
// The head is written last, then the file is synchronised, then it gets its name: what has one is
// whole, whenever we are killed. Then the directory is synchronised, or a power failure might take
// the name again (without asynchronous I/O it still might, of the last seconds). A file that a
// failing disk has changed is known by its sums.
#include "private.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define HEAD 64
#define TYPE_AT 40
#define BLOCK 4096u // what file systems give out
#define BUFFER 16384u
#define SYNC_WAIT_NS (200 * NS_PER_US) // in one step
#define DIGITS 20
#define NAME_MAX_ 40
#define TEMPORARY ".tmp-"
#define SUFFIX ".spool"

static const char magic[8] = "TLGSPOOL";

static void put(uint8_t *to, uint64_t value, int bytes)
{
	for (int i = 0; i < bytes; i++)
		to[i] = (uint8_t)(value >> 8 * i);
}

static uint64_t get(const uint8_t *from, int bytes)
{
	uint64_t value = 0;
	for (int i = 0; i < bytes; i++)
		value |= (uint64_t)from[i] << 8 * i;
	return value;
}

uint64_t files_room(uint64_t size)
{
	return (HEAD + size + BLOCK - 1) / BLOCK * BLOCK;
}

static void make_name(char name[NAME_MAX_], const char *prefix, uint64_t id)
{
	snprintf(name, NAME_MAX_, "%s%0*" PRIu64 SUFFIX, prefix, DIGITS, id);
}

static bool is_ours(const char *name, uint64_t *id)
{
	return strspn(name, "0123456789") == DIGITS && !strcmp(name + DIGITS, SUFFIX) &&
	       text_number(name, DIGITS, 10, id) == 0;
}

static bool is_regular(int directory, const char *name, uint64_t *size)
{
	struct stat st;
	if (fstatat(directory, name, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISREG(st.st_mode))
		return false;
	*size = (uint64_t)st.st_size;
	return true;
}

static void head_make(uint8_t head[HEAD], const struct spool_entry *e, uint32_t crc)
{
	memset(head, 0, HEAD);
	memcpy(head, magic, sizeof(magic));
	put(head + 12, crc, 4);
	put(head + 16, e->size, 8);
	put(head + 24, e->facts.samples, 8);
	put(head + 32, e->facts.time_ns, 8);
	memcpy(head + TYPE_AT, e->facts.type, sizeof(e->facts.type));
	put(head + 8, crc32_add(0, head + 12, HEAD - 12), 4);
}

static bool head_read(const uint8_t head[HEAD], struct spool_entry *e)
{
	if (memcmp(head, magic, sizeof(magic)) ||
	    get(head + 8, 4) != crc32_add(0, head + 12, HEAD - 12))
		return false;
	e->size = get(head + 16, 8);
	e->facts.samples = get(head + 24, 8);
	e->facts.time_ns = get(head + 32, 8);
	memcpy(e->facts.type, head + TYPE_AT, sizeof(e->facts.type));
	e->facts.type[sizeof(e->facts.type) - 1] = 0;
	return true;
}

static int open_at(const struct spool *s, const char *name)
{
	return openat(s->directory, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
}

// The file NAME of an earlier run: 0 where E tells of it, -EBADMSG where it is not whole, -errno.
static int look_into(const struct spool *s, const char *name, uint64_t size, struct spool_entry *e)
{
	uint8_t head[HEAD];
	int fd = open_at(s, name);
	if (fd < 0)
		return -errno;
	ssize_t n = pread(fd, head, HEAD, 0);
	int error = n < 0 ? -errno : n < HEAD || !head_read(head, e) ? -EBADMSG : 0;
	close(fd);
	if (!error && e->size != size - HEAD)
		error = -EBADMSG;
	return error;
}

struct list {
	struct body **at;
	uint32_t count, room;
};

static int list_add(struct list *l, const struct spool_entry *e)
{
	if (l->count == l->room) {
		uint32_t room = l->room ? 2 * l->room : 64;
		struct body **more = mem_resize(ACCOUNT_SPOOL, l->at, room * sizeof(*more));
		if (!more)
			return -ENOMEM;
		l->at = more;
		l->room = room;
	}
	struct body *b = mem_alloc(ACCOUNT_SPOOL, sizeof(*b));
	if (!b)
		return -ENOMEM;
	b->entry = *e;
	b->room = files_room(e->size);
	l->at[l->count++] = b;
	return 0;
}

static int by_id(const void *a, const void *b)
{
	uint64_t x = (*(struct body *const *)a)->entry.id, y = (*(struct body *const *)b)->entry.id;
	return x < y ? -1 : x > y;
}

// One name of the directory: leftovers go, whole bodies are listed, everything else is left alone.
static int take_over(struct spool *s, const char *name, struct list *l)
{
	struct spool_entry e = {.id = 0};
	uint64_t size;
	size_t prefix = strlen(TEMPORARY);
	bool temporary = !strncmp(name, TEMPORARY, prefix);
	if (!is_ours(temporary ? name + prefix : name, &e.id) ||
	    !is_regular(s->directory, name, &size))
		return 0;
	int error = temporary ? -EBADMSG : look_into(s, name, size, &e);
	if (error == -EBADMSG) {
		s->damaged += !temporary;
		return unlinkat(s->directory, name, 0) < 0 ? -errno : 0;
	}
	if (error == -ENOENT)
		return 0;
	return error ? error : list_add(l, &e);
}

static int take_over_all(struct spool *s)
{
	struct list l = {NULL};
	int fd = openat(s->directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *stream = fd < 0 ? NULL : fdopendir(fd);
	int error = stream ? 0 : -errno;
	if (!stream && fd >= 0)
		close(fd);
	for (struct dirent *d; !error && (errno = 0, d = readdir(stream));)
		error = take_over(s, d->d_name, &l);
	if (!error && errno)
		error = -errno;
	if (stream)
		closedir(stream);
	if (l.count)
		qsort(l.at, l.count, sizeof(*l.at), by_id);
	for (uint32_t i = 0; i < l.count; i++) {
		if (error) {
			mem_free(l.at[i]);
			continue;
		}
		s->next_id = l.at[i]->entry.id + 1;
		spool_append(s, l.at[i]);
	}
	mem_free(l.at);
	return error;
}

uint64_t spool_left(const char *directory, uint32_t *bodies)
{
	uint64_t id, size, bytes = 0;
	int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	DIR *stream = fd < 0 ? NULL : fdopendir(fd);
	if (!stream && fd >= 0)
		close(fd);
	*bodies = 0;
	for (struct dirent *d; stream && (d = readdir(stream));) {
		if (!is_ours(d->d_name, &id) || !is_regular(fd, d->d_name, &size))
			continue;
		++*bodies;
		bytes += size > HEAD ? files_room(size - HEAD) : BLOCK;
	}
	if (stream)
		closedir(stream);
	return bytes;
}

int files_open(struct spool *s, char *why, size_t why_size)
{
	const char *path = s->options.directory;
	sync_open(&s->sync);
	if (mkdir(path, 0700) == 0 || errno == EEXIST)
		s->directory = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	int error = s->directory < 0 ? -errno : 0;
	if (!error && flock(s->directory, LOCK_EX | LOCK_NB) < 0 && errno == EWOULDBLOCK) {
		snprintf(why, why_size,
		    "%s: another telegen uses it; name another output.directory for one of them",
		    path);
		return -EBUSY;
	}
	if (!error)
		error =
		    faccessat(s->directory, ".", W_OK | X_OK, 0) < 0 ? -errno : take_over_all(s);
	if (error)
		snprintf(why, why_size, "%s: %s; name an output.directory that can be written to",
		    path, strerror(-error));
	return error;
}

void files_let_go(struct spool *s)
{
	if (s->reading >= 0)
		close(s->reading);
	s->reading = -1;
}

void files_close(struct spool *s)
{
	files_let_go(s);
	sync_close(&s->sync);
	if (s->directory >= 0)
		close(s->directory);
	s->directory = -1;
}

int files_begin(struct spool *s)
{
	char name[NAME_MAX_];
	s->buffer = mem_alloc(ACCOUNT_SPOOL, BUFFER);
	if (!s->buffer)
		return -ENOMEM;
	s->buffered = s->crc = 0;
	s->syncing = s->named = false;
	make_name(name, TEMPORARY, s->writing->entry.id);
	do {
		s->file = openat(
		    s->directory, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	} while (s->file < 0 && (errno == ENOSPC || errno == EDQUOT) && spool_drop(s));
	return s->file < 0 ? -errno : 0;
}

// On a full disk the oldest go first.
static int write_at(struct spool *s, const uint8_t *bytes, size_t n, uint64_t at)
{
	while (n) {
		ssize_t w = pwrite(s->file, bytes, n, (off_t)at);
		if (w < 0 && errno == EINTR)
			continue;
		if (w <= 0) {
			int error = w ? -errno : -ENOSPC;
			if ((error != -ENOSPC && error != -EDQUOT) || !spool_drop(s))
				return error == -EDQUOT ? -ENOSPC : error;
			continue;
		}
		bytes += w;
		at += (uint64_t)w;
		n -= (size_t)w;
	}
	return 0;
}

static int flush(struct spool *s)
{
	uint32_t n = s->buffered;
	s->buffered = 0;
	s->crc = crc32_add(s->crc, s->buffer, n);
	return write_at(s, s->buffer, n, HEAD + s->writing->entry.size - n);
}

int files_write(struct spool *s, const void *bytes, size_t n)
{
	for (const uint8_t *at = bytes; n;) {
		size_t room = BUFFER - s->buffered, some = room < n ? room : n;
		memcpy(s->buffer + s->buffered, at, some);
		s->buffered += (uint32_t)some;
		s->writing->entry.size += some;
		at += some;
		n -= some;
		int error = s->buffered == BUFFER ? flush(s) : 0;
		if (error)
			return error;
	}
	return 0;
}

static void stop_writing(struct spool *s)
{
	if (s->file >= 0)
		close(s->file);
	s->file = -1;
	mem_free(s->buffer);
	s->buffer = NULL;
}

static int end_file(struct spool *s)
{
	uint8_t head[HEAD];
	int error = flush(s);
	if (error)
		return error;
	head_make(head, &s->writing->entry, s->crc);
	if ((error = write_at(s, head, HEAD, 0)) || (error = sync_start(&s->sync, s->file)))
		return error;
	s->syncing = true;
	return 1;
}

static int give_name(struct spool *s)
{
	char temporary[NAME_MAX_], name[NAME_MAX_];
	make_name(temporary, TEMPORARY, s->writing->entry.id);
	make_name(name, "", s->writing->entry.id);
	if (renameat(s->directory, temporary, s->directory, name) < 0)
		return -errno;
	s->named = true;
	sync_start_aside(&s->sync, s->directory);
	return 1;
}

int files_end(struct spool *s)
{
	if (!s->syncing)
		return end_file(s);
	int error = sync_step(&s->sync, SYNC_WAIT_NS);
	if (error == 1)
		return 1;
	if (!s->named)
		return error ? error : give_name(s);
	if (error) // it is whole all the same
		log_seldom(LOG_LEVEL_WARN, "%s: synchronising it: %s", s->options.directory,
		    strerror(-error));
	s->writing->room = files_room(s->writing->entry.size);
	stop_writing(s);
	return 0;
}

void files_abort(struct spool *s)
{
	char name[NAME_MAX_];
	bool begun = s->file >= 0;
	while (s->sync.fd >= 0 && sync_step(&s->sync, NS_PER_MS) == 1)
		; // the kernel still has the descriptor
	stop_writing(s);
	make_name(name, s->named ? "" : TEMPORARY, s->writing->entry.id);
	if (begun)
		unlinkat(s->directory, name, 0);
}

void files_remove(struct spool *s, const struct body *b)
{
	char name[NAME_MAX_];
	make_name(name, "", b->entry.id);
	if (unlinkat(s->directory, name, 0) < 0 && errno != ENOENT)
		log_seldom(LOG_LEVEL_WARN, "%s/%s: %s: it will be sent again after the next start",
		    s->options.directory, name, strerror(errno));
}

// What was read so far is summed up when it is read from the start on, so that it costs no reading
// of its own.
int64_t files_read(struct spool *s, const struct body *b, uint64_t at, void *bytes, size_t size)
{
	char name[NAME_MAX_];
	uint8_t head[HEAD];
	make_name(name, "", b->entry.id);
	if (s->reading < 0) {
		s->reading = open_at(s, name);
		s->checked = UINT64_MAX; // not from the start
	}
	if (s->reading < 0)
		return -errno;
	if (size > b->entry.size - at)
		size = b->entry.size - at;
	ssize_t n;
	do {
		n = pread(s->reading, bytes, size, (off_t)(HEAD + at));
	} while (n < 0 && errno == EINTR);
	if (n <= 0)
		return n ? -errno : -EBADMSG; // it was cut
	if (at == 0)
		s->checked = s->checked_crc = 0;
	if (at != s->checked)
		return n;
	s->checked += (uint64_t)n;
	s->checked_crc = crc32_add(s->checked_crc, bytes, (size_t)n);
	if (s->checked < b->entry.size)
		return n;
	if (pread(s->reading, head, HEAD, 0) != HEAD || get(head + 12, 4) != s->checked_crc)
		return -EBADMSG;
	return n;
}
