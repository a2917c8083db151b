// SPDX-License-Identifier: Apache-2.0
#include "private.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SECRET_MAX 16384u // bytes of a file

void secret_free(struct text *t)
{
	if (t->at)
		explicit_bzero(t->at, t->cap);
	text_free(t);
}

// The first line of a file: what editors leave at the end is no part of it.
int secret_read(const char *path, struct text *to, struct text *why)
{
	char *bytes = mem_alloc(ACCOUNT_DELIVER, SECRET_MAX);
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	ssize_t n = -1;
	if (bytes && fd >= 0)
		n = pread(fd, bytes, SECRET_MAX, 0);
	int error = !bytes ? -ENOMEM : fd < 0 || n < 0 ? -errno : 0;
	if (fd >= 0)
		close(fd);
	while (n > 0 && strchr("\r\n \t", bytes[n - 1]))
		n--;
	if (error && error != -ENOMEM) {
		text_printf(why, "%s: %s; name a file that can be read", path, strerror(-error));
		error = -EINVAL;
	} else if (!error && (n == 0 || n == SECRET_MAX)) {
		text_printf(why, "%s: %s; it holds one line", path, n ? "is too long" : "is empty");
		error = -EINVAL;
	} else if (!error) {
		error = text_add(to, bytes, (size_t)n);
	}
	if (bytes)
		explicit_bzero(bytes, SECRET_MAX);
	mem_free(bytes);
	return error;
}

// Of WHAT, "env:NAME" or "file:/path".
static int expand_one(const char *what, struct text *to, struct text *why)
{
	if (!strncmp(what, "file:", 5))
		return secret_read(what + 5, to, why);
	if (strncmp(what, "env:", 4)) {
		text_printf(why, "${%s}: write ${env:NAME} or ${file:/path}", what);
		return -EINVAL;
	}
	const char *value = getenv(what + 4);
	if (value)
		return text_puts(to, value);
	text_printf(why, "${%s}: the environment has no such variable; set it", what);
	return -EINVAL;
}

int secret_expand(const char *value, struct text *to, struct text *why)
{
	int error = 0;
	while (*value && !error) {
		size_t plain = strcspn(value, "$");
		error = text_add(to, value, plain);
		value += plain;
		if (!*value || error)
			break;
		if (value[1] != '{') {
			error = text_add(to, value++, 1);
			continue;
		}
		char what[4096];
		size_t n = strcspn(value, "}");
		if (!value[n] || n - 2 >= sizeof(what)) {
			text_puts(why, "${ without its }; write ${env:NAME} or ${file:/path}");
			return -EINVAL;
		}
		text_copy(what, n - 1, value + 2);
		error = expand_one(what, to, why);
		value += n + 1;
	}
	return error;
}

// RFC 4648, section 4.
void secret_base64(struct text *to, const char *bytes, size_t n)
{
	static const char digits[] =
	    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	for (size_t i = 0; i < n; i += 3) {
		uint32_t three = 0;
		char four[4];
		for (size_t k = 0; k < 3; k++)
			three = three << 8 | (i + k < n ? (unsigned char)bytes[i + k] : 0);
		for (int k = 0; k < 4; k++)
			four[k] = digits[three >> (18 - 6 * k) & 63];
		for (size_t k = n - i; k < 3; k++)
			four[k + 1] = '=';
		text_add(to, four, 4);
	}
}
