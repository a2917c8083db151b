// SPDX-License-Identifier: Apache-2.0
#include "grpc_status.h"

#include <stdio.h>
#include <string.h>

#include "../base/base.h"
#include "../wire/wire.h"
#include "base64.h"

#define DETAILS_MAX 8192 // bytes of a status that are read
#define DELAY_MAX_S 86400

const char *grpc_status_name(int status)
{
	static const char *const names[] = {"OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT",
	    "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS", "PERMISSION_DENIED",
	    "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED",
	    "INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED"};
	return status >= 0 && status <= GRPC_UNAUTHENTICATED ? names[status] : "status";
}

int grpc_status_number(const char *s, size_t n)
{
	uint64_t value;
	return text_number(s, n, 10, &value) || value > INT32_MAX ? GRPC_UNKNOWN : (int)value;
}

int grpc_status_of_http(int status)
{
	enum { PERMISSION_DENIED = 7, UNIMPLEMENTED = 12, INTERNAL = 13, UNAVAILABLE = 14 };
	switch (status) {
	case 400:
		return INTERNAL;
	case 401:
		return GRPC_UNAUTHENTICATED;
	case 403:
		return PERMISSION_DENIED;
	case 404:
		return UNIMPLEMENTED;
	case 429:
	case 502:
	case 503:
	case 504:
		return UNAVAILABLE;
	default:
		return GRPC_UNKNOWN;
	}
}

static int hex(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

void grpc_message_text(const char *s, size_t n, char *to, size_t size)
{
	size_t len = 0;
	for (size_t i = 0; i < n && len + 1 < size; i++) {
		unsigned char c = (unsigned char)s[i];
		if (c == '%' && i + 2 < n && hex(s[i + 1]) >= 0 && hex(s[i + 2]) >= 0) {
			c = (unsigned char)(hex(s[i + 1]) << 4 | hex(s[i + 2]));
			i += 2;
		}
		to[len++] = c < 0x20 || c == 0x7f ? ' ' : (char)c;
	}
	to[len] = '\0';
	// A character that was cut for want of room goes; what is no UTF-8 all the same keeps its
	// ASCII.
	size_t shortest = len + 1 < size || len < 3 ? len : len - 3;
	for (size_t cut = len; cut >= shortest; cut--) {
		if (text_utf8_valid(to, cut)) {
			to[cut] = '\0';
			return;
		}
		if (!cut)
			break;
	}
	for (size_t i = 0; i < len; i++)
		if (to[i] & 0x80)
			to[i] = '?';
}

//   Duration { 1 seconds, 2 nanos }
static uint64_t duration(struct wire_in in)
{
	struct wire_field f;
	uint64_t seconds = 0, nanos = 0;
	while (wire_next(&in, &f) == 1) {
		if (f.type == 0 && f.number == 1)
			seconds = f.value;
		else if (f.type == 0 && f.number == 2)
			nanos = f.value;
	}
	if ((int64_t)seconds < 0 || (int64_t)nanos < 0 || nanos >= NS_PER_S)
		return 0;
	return seconds < DELAY_MAX_S ? seconds * NS_PER_S + nanos : DELAY_MAX_S * NS_PER_S;
}

//   Any { 1 type_url "type.googleapis.com/google.rpc.RetryInfo", 2 value: RetryInfo { 1 retry_delay
//   } }
static uint64_t detail(struct wire_in in)
{
	static const char type[] = "/google.rpc.RetryInfo";
	struct wire_field f;
	struct wire_in value = {0};
	uint64_t delay = 0;
	bool known = false;
	while (wire_next(&in, &f) == 1) {
		size_t n = f.type == 2 ? (size_t)(f.bytes.end - f.bytes.at) : 0;
		if (f.type == 2 && f.number == 1)
			known = n >= sizeof(type) - 1 && memcmp(f.bytes.end - (sizeof(type) - 1),
							     type, sizeof(type) - 1) == 0;
		else if (f.type == 2 && f.number == 2)
			value = f.bytes;
	}
	while (known && value.at && wire_next(&value, &f) == 1)
		if (f.type == 2 && f.number == 1)
			delay = duration(f.bytes);
	return delay;
}

//   Status { 1 code, 2 message, 3 details: repeated Any }
uint64_t grpc_retry_delay(const char *base64, size_t n)
{
	uint8_t bytes[DETAILS_MAX];
	size_t len = 0;
	struct base64 b = {0};
	while (n && base64[n - 1] == '=')
		n--;
	for (size_t i = 0; i < n && len < sizeof(bytes); i++) {
		int got = base64_in(&b, base64[i], &bytes[len]);
		if (got < 0)
			return 0;
		len += (size_t)got;
	}
	struct wire_in in = {bytes, bytes + len};
	struct wire_field f;
	uint64_t delay = 0;
	while (!delay && wire_next(&in, &f) == 1)
		if (f.type == 2 && f.number == 3)
			delay = detail(f.bytes);
	return delay;
}
