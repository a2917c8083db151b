// SPDX-License-Identifier: Apache-2.0
// One line of a perf map, whoever wrote it:
//   OpenJ9    00007F12A4C0B3F8 2A4 java/lang/String.hashCode()I_warm
//   HotSpot   0x00007f83ad1e5f80 0x0000000000000138 void Spin$$Lambda/0x00007fad94000c18.run()
//   V8        7fcde77c6180 180 JS:*fib /srv/app/s.js:1:13
//   CPython   7ff1d2a557bc b py::fib:/srv/app/s.py
#include "perfmap.h"

#include <string.h>

static int digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

// A hexadecimal number with or without 0x, and the blanks after it. NULL where there is none.
static const char *number(const char *p, const char *end, uint64_t *value)
{
	if (end - p > 2 && p[0] == '0' && (p[1] | 0x20) == 'x')
		p += 2;
	const char *start = p;
	for (*value = 0; p < end && digit(*p) >= 0 && p - start < 17; p++)
		*value = *value << 4 | (uint64_t)digit(*p);
	if (p == start || p - start > 16 || p == end || (*p != ' ' && *p != '\t'))
		return NULL;
	while (p < end && (*p == ' ' || *p == '\t'))
		p++;
	return p;
}

// The length of OpenJ9's "_hotness" (and "_fsd") at the name's end, 0 where there is none.
static size_t hotness(const char *name, size_t n)
{
	static const char *const levels[] = {
	    "_no-opt", "_cold", "_warm", "_hot", "_very-hot", "_scorching", "_unknown"};
	size_t fsd = n > 4 && !memcmp(name + n - 4, "_fsd", 4) ? 4 : 0;
	for (size_t i = 0; i < sizeof(levels) / sizeof(*levels); i++) {
		size_t len = strlen(levels[i]);
		if (n > fsd + len && !memcmp(name + n - fsd - len, levels[i], len))
			return fsd + len;
	}
	return 0;
}

static bool sixteen_upper(const char *line)
{
	for (int i = 0; i < 16; i++)
		if (digit(line[i]) < 0 || line[i] >= 'a')
			return false;
	return line[16] == ' ';
}

static bool is_interpreted(const char *name, size_t n)
{
	const char *colon = memchr(name, ':', n < 16 ? n : 16);
	if (!colon || colon + 1 == name + n || colon[1] != '~')
		return false;
	for (const char *p = name; p < colon; p++)
		if ((*p | 0x20) < 'a' || (*p | 0x20) > 'z')
			return false;
	return true;
}

bool perfmap_line(const char *line, size_t n, struct perfmap_entry *e)
{
	const char *end = line + n, *p;
	uint64_t size;
	while (end > line && (end[-1] == '\r' || end[-1] == ' ' || end[-1] == '\t'))
		end--;
	p = number(line, end, &e->start);
	p = p ? number(p, end, &size) : NULL;
	if (!p || p == end)
		return false;
	// A size of 0 is what some runtimes write for stubs: the one address is all that is known.
	e->end = e->start + (size ? size : 1);
	if (e->end <= e->start)
		return false;
	e->name = p;
	e->len = (size_t)(end - p);
	e->openj9 =
	    end - line > 17 && sixteen_upper(line) && memchr(p, '(', e->len) && hotness(p, e->len);
	e->interpreted = is_interpreted(p, e->len);
	return true;
}

// The length of "/0x00007fad94000c18" (or "+0x...") at P, 0 where there is none: HotSpot's hidden
// classes, which are numbered anew in every run.
static size_t hidden_class(const char *p, const char *end)
{
	size_t n = 3;
	if (end - p < 11 || (p[0] != '/' && p[0] != '+') || p[1] != '0' || p[2] != 'x')
		return 0;
	while (p + n < end && digit(p[n]) >= 0)
		n++;
	return n >= 11 && n <= 19 ? n : 0;
}

void perfmap_name(const struct perfmap_entry *e, char *name, size_t size)
{
	size_t len = e->len - (e->openj9 ? hotness(e->name, e->len) : 0), out = 0;
	const char *end = e->name + len;
	for (const char *p = e->name; p < end && out + 1 < size; p++) {
		size_t skip = hidden_class(p, end);
		if (skip)
			p += skip - 1;
		else
			name[out++] = *p;
	}
	name[out] = 0;
}
