// SPDX-License-Identifier: Apache-2.0
#include "text.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static int reserve(struct text *t, size_t more)
{
	if (t->error)
		return t->error;
	if (more > SIZE_MAX / 4)
		return t->error = -ENOMEM;
	size_t need = t->len + more + 1;
	if (need <= t->cap)
		return 0;
	size_t cap = t->cap ? t->cap * 2 : 64;
	if (cap < need)
		cap = need;
	char *at = mem_resize(t->account, t->at, cap);
	if (!at)
		return t->error = -ENOMEM;
	t->at = at;
	t->cap = cap;
	return 0;
}

int text_add(struct text *t, const void *bytes, size_t n)
{
	int error = reserve(t, n);
	if (error)
		return error;
	if (n)
		memcpy(t->at + t->len, bytes, n);
	t->len += n;
	t->at[t->len] = 0;
	return 0;
}

int text_puts(struct text *t, const char *s)
{
	return text_add(t, s, strlen(s));
}

int text_printf(struct text *t, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	va_list again;
	va_copy(again, args);
	int n = vsnprintf(NULL, 0, format, args);
	va_end(args);
	int error = n < 0 ? (t->error = -EINVAL) : reserve(t, (size_t)n);
	if (!error) {
		vsnprintf(t->at + t->len, (size_t)n + 1, format, again);
		t->len += (size_t)n;
	}
	va_end(again);
	return error;
}

void text_reset(struct text *t)
{
	t->len = 0;
	t->error = 0;
	if (t->at)
		t->at[0] = 0;
}

void text_free(struct text *t)
{
	mem_free(t->at);
	*t = TEXT(t->account);
}

size_t text_copy(char *to, size_t size, const char *from)
{
	if (!size)
		return 0;
	size_t n = strnlen(from, size - 1);
	memcpy(to, from, n);
	to[n] = 0;
	return n;
}

int text_number(const char *s, size_t n, int base, uint64_t *value)
{
	uint64_t v = 0;
	if (!n)
		return -EINVAL;
	for (size_t i = 0; i < n; i++) {
		int d = s[i] >= '0' && s[i] <= '9'   ? s[i] - '0'
			: s[i] >= 'a' && s[i] <= 'f' ? s[i] - 'a' + 10
			: s[i] >= 'A' && s[i] <= 'F' ? s[i] - 'A' + 10
						     : 99;
		if (d >= base)
			return -EINVAL;
		if (v > (UINT64_MAX - (uint64_t)d) / (uint64_t)base)
			return -ERANGE;
		v = v * (uint64_t)base + (uint64_t)d;
	}
	*value = v;
	return 0;
}

unsigned text_distance(const char *a, const char *b, unsigned max)
{
	size_t n = strlen(a), m = strlen(b);
	unsigned row[128];
	if (m >= 127 || n >= 127)
		return max;
	for (size_t j = 0; j <= m; j++)
		row[j] = (unsigned)j;
	for (size_t i = 1; i <= n; i++) {
		unsigned diagonal = row[0];
		row[0] = (unsigned)i;
		for (size_t j = 1; j <= m; j++) {
			unsigned above = row[j];
			unsigned best = diagonal + (a[i - 1] != b[j - 1]);
			if (above + 1 < best)
				best = above + 1;
			if (row[j - 1] + 1 < best)
				best = row[j - 1] + 1;
			diagonal = above;
			row[j] = best;
		}
	}
	return row[m] < max ? row[m] : max;
}

bool text_utf8_valid(const char *s, size_t n)
{
	for (size_t i = 0; i < n;) {
		unsigned char c = (unsigned char)s[i];
		size_t more = c < 0x80		       ? 0
			      : c >= 0xc2 && c <= 0xdf ? 1
			      : (c & 0xf0) == 0xe0     ? 2
			      : c >= 0xf0 && c <= 0xf4 ? 3
						       : 9;
		if (more == 9 || i + more >= n)
			return false;
		for (size_t k = 1; k <= more; k++)
			if (((unsigned char)s[i + k] & 0xc0) != 0x80)
				return false;
		unsigned char d = more ? (unsigned char)s[i + 1] : 0;
		if ((c == 0xe0 && d < 0xa0) || (c == 0xed && d > 0x9f) || (c == 0xf0 && d < 0x90) ||
		    (c == 0xf4 && d > 0x8f))
			return false;
		i += more + 1;
	}
	return true;
}
