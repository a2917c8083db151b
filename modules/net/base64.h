// SPDX-License-Identifier: Apache-2.0
// base64 in (RFC 4648, both alphabets), a character at a time. Private to this room.
#pragma once
#include <stdint.h>

struct base64 {
	uint32_t bits; // the last characters' bits; COUNT of them make no byte yet
	uint32_t count;
};

// 1: *BYTE is the next byte; 0: none yet; -1: C is not of the alphabet ('=' and white space are not).
static inline int base64_in(struct base64 *b, char c, uint8_t *byte)
{
	uint32_t v;
	if (c >= 'A' && c <= 'Z')
		v = (uint32_t)(c - 'A');
	else if (c >= 'a' && c <= 'z')
		v = (uint32_t)(c - 'a') + 26;
	else if (c >= '0' && c <= '9')
		v = (uint32_t)(c - '0') + 52;
	else if (c == '+' || c == '-')
		v = 62;
	else if (c == '/' || c == '_')
		v = 63;
	else
		return -1;
	b->bits = b->bits << 6 | v;
	b->count += 6;
	if (b->count < 8)
		return 0;
	b->count -= 8;
	*byte = (uint8_t)(b->bits >> b->count);
	return 1;
}
