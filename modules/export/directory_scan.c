// SPDX-License-Identifier: Apache-2.0
#include "directory.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define TIME_LENGTH 16 // 20261123T101500Z

void file_name_make(
    char name[FILE_NAME_MAX], const struct profile *p, enum export_format format, unsigned n)
{
	const struct profile_header *h = profile_header_of(p);
	const char *from = h->type ? h->type->name : profile_name(p, h->value_types[0]);
	time_t seconds = (time_t)(h->time_ns / NS_PER_S);
	char type[24], when[32] = "19700101T000000Z", again[16] = "";
	text_copy(type, sizeof(type), *from ? from : "profile");
	for (char *c = type; *c; c++)
		if (!islower((unsigned char)*c) && !isdigit((unsigned char)*c))
			*c = '_';
	struct tm tm;
	if (gmtime_r(&seconds, &tm) && tm.tm_year < 8100 && tm.tm_year >= 0)
		strftime(when, sizeof(when), "%Y%m%dT%H%M%SZ", &tm);
	if (n > 1)
		snprintf(again, sizeof(again), "-%u", n);
	uint64_t lasted = (h->duration_ns + NS_PER_S / 2) / NS_PER_S;
	snprintf(name, FILE_NAME_MAX, "%s-%s-%llus%s.%s", type, when,
	    (unsigned long long)(lasted ? lasted : 1), again, export_suffix(format));
}

static size_t digits(const char *s)
{
	return strspn(s, "0123456789");
}

const char *file_name_time(const char *name)
{
	size_t type = strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_");
	const char *time = name + type + 1, *at = time;
	if (!type || name[type] != '-' || strlen(name) >= FILE_NAME_MAX)
		return NULL;
	if (digits(at) != 8 || at[8] != 'T' || digits(at + 9) != 6 || at[15] != 'Z' ||
	    at[16] != '-')
		return NULL;
	at += TIME_LENGTH + 1;
	size_t n = digits(at);
	if (!n || at[n] != 's')
		return NULL;
	at += n + 1;
	if (*at == '-' && digits(at + 1))
		at += 1 + digits(at + 1);
	if (*at != '.')
		return NULL;
	for (enum export_format f = EXPORT_PPROF; f <= EXPORT_FLAME; f++)
		if (!strcmp(at + 1, export_suffix(f)))
			return time;
	return NULL;
}

static DIR *open_stream(int directory)
{
	int fd = openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *stream = fd < 0 ? NULL : fdopendir(fd);
	if (!stream && fd >= 0)
		close(fd);
	return stream;
}

int file_scan_start(struct file_scan *s, int directory)
{
	*s = (struct file_scan){.stream = open_stream(directory)};
	return s->stream ? 0 : -errno;
}

void file_scan_stop(struct file_scan *s)
{
	if (s->stream)
		closedir(s->stream);
	s->stream = NULL;
}

static int compare(const char *a, const char *b)
{
	int order = memcmp(file_name_time(a), file_name_time(b), TIME_LENGTH);
	return order ? order : strcmp(a, b);
}

static void keep_if_old(struct file_scan *s, const char *name, uint64_t size)
{
	uint32_t most = sizeof(s->oldest) / sizeof(*s->oldest), at = s->count;
	while (at && compare(name, s->oldest[at - 1].name) < 0)
		at--;
	if (at == most)
		return;
	s->count += s->count < most;
	memmove(s->oldest + at + 1, s->oldest + at, (s->count - at - 1) * sizeof(*s->oldest));
	s->oldest[at].size = size;
	text_copy(s->oldest[at].name, sizeof(s->oldest[at].name), name);
}

int file_scan_step(struct file_scan *s, struct slice *slice)
{
	struct dirent *d;
	while (errno = 0, (d = readdir(s->stream))) {
		struct stat st;
		if (file_name_time(d->d_name) &&
		    fstatat(dirfd(s->stream), d->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
		    S_ISREG(st.st_mode)) {
			s->total += (uint64_t)st.st_size;
			keep_if_old(s, d->d_name, (uint64_t)st.st_size);
		}
		if (slice_over(slice, 20))
			return 1;
	}
	return -errno;
}

void file_remove_temporary(int directory)
{
	DIR *stream = open_stream(directory);
	size_t prefix = strlen(FILE_TEMPORARY);
	for (struct dirent *d; stream && (d = readdir(stream));)
		if (!strncmp(d->d_name, FILE_TEMPORARY, prefix) &&
		    file_name_time(d->d_name + prefix))
			unlinkat(directory, d->d_name, 0);
	if (stream)
		closedir(stream);
}
