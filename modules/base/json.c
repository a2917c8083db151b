// SPDX-License-Identifier: Apache-2.0
#include "json.h"

#include <string.h>

// Length of the valid UTF-8 sequence at S (0 where it is none).
static size_t sequence(const char *s, size_t n)
{
	unsigned char c = (unsigned char)*s;
	size_t len = c < 0x80 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
	return len <= n && text_utf8_valid(s, len) ? len : 0;
}

// How many bytes from S on stand for themselves.
static size_t plain(const char *s, size_t n)
{
	size_t i = 0;
	while (i < n && s[i] >= 0x20 && s[i] < 0x7f && s[i] != '"' && s[i] != '\\' && s[i] != '<')
		i++;
	return i;
}

int json_string(struct text *t, const char *s, size_t n)
{
	text_add(t, "\"", 1);
	while (n) {
		unsigned char c = (unsigned char)*s;
		size_t len = plain(s, n);
		if (len) {
			text_add(t, s, len);
		} else if (!(len = sequence(s, n))) {
			text_puts(t, "\xef\xbf\xbd");
			len = 1;
		} else if (c == '"' || c == '\\') {
			text_printf(t, "\\%c", c);
		} else if (c < 0x20 || c == '<' || c == 0x7f) {
			text_printf(t, "\\u%04x", c);
		} else {
			text_add(t, s, len);
		}
		s += len;
		n -= len;
	}
	return text_add(t, "\"", 1);
}
