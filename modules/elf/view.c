// SPDX-License-Identifier: Apache-2.0
#include "view.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int view_file(struct view *v, int fd)
{
	struct stat st;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EINVAL;
	*v = (struct view){.fd = fd, .size = (uint64_t)st.st_size};
	return 0;
}

void view_memory(struct view *v, const void *image, size_t size)
{
	*v = (struct view){.fd = -1, .image = image, .size = size};
}

int64_t view_some(const struct view *v, uint64_t offset, void *to, size_t n)
{
	if (offset >= v->size)
		return 0;
	if (n > v->size - offset)
		n = v->size - offset;
	if (v->image) {
		memcpy(to, v->image + offset, n);
		return (int64_t)n;
	}
	size_t done = 0;
	while (done < n) {
		ssize_t got = pread(v->fd, (char *)to + done, n - done, (off_t)(offset + done));
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -errno;
		if (got == 0)
			break;
		done += (size_t)got;
	}
	return (int64_t)done;
}

int view_read(const struct view *v, uint64_t offset, void *to, size_t n)
{
	int64_t got = view_some(v, offset, to, n);
	if (got < 0)
		return (int)got;
	return (size_t)got == n ? 0 : -EBADMSG;
}

int view_string(const struct view *v, uint64_t offset, uint64_t limit, char *to, size_t size)
{
	// Most names are short: a first small read, then the rest only where it is needed.
	size_t len = 0;
	while (len < size - 1) {
		size_t want = len ? size - 1 - len : 128;
		if (want > size - 1 - len)
			want = size - 1 - len;
		if (offset + len >= limit)
			return -EBADMSG;
		if (want > limit - offset - len)
			want = limit - offset - len;
		int64_t got = view_some(v, offset + len, to + len, want);
		if (got < 0)
			return (int)got;
		if (got == 0)
			return -EBADMSG;
		char *nul = memchr(to + len, 0, (size_t)got);
		if (nul)
			return (int)(nul - to);
		len += (size_t)got;
	}
	to[len] = 0;
	return (int)len;
}
