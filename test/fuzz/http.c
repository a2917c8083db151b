// SPDX-License-Identifier: Apache-2.0
// Requests as they come from the network: whole and in pieces they mean the same, and what is
// accepted keeps what request.h promises.
#include "../../modules/net/request.c"

#include <stdlib.h>

#define MUST(condition)                                                                            \
	do {                                                                                       \
		if (!(condition))                                                                  \
			abort();                                                                   \
	} while (0)

static size_t feed(struct request *r, const char *bytes, size_t size, size_t piece)
{
	size_t used = 0;
	while (used < size && !r->status) {
		size_t n = size - used < piece ? size - used : piece;
		size_t took = request_feed(r, bytes + used, n);
		MUST(took <= n && (took == n || r->status));
		used += took;
	}
	MUST(r->bytes == used && r->raw.len <= r->bytes + 2 * r->headers + 1);
	return used;
}

static size_t strings(const struct text *t)
{
	size_t n = 0;
	for (size_t i = 0; i < t->len; i++)
		n += !t->at[i];
	return n;
}

static void promises(const struct request *r)
{
	const char *path = r->decoded.at;
	MUST(
	    path[0] == '/' && !strstr(path, "//") && !strstr(path, "/../") && !strstr(path, "/./"));
	for (size_t i = 0; i < r->decoded.len; i++)
		MUST(!path[i] || ((unsigned char)path[i] >= 0x20 && path[i] != 0x7f));
	MUST(strings(&r->decoded) == 1 + 2 * r->parameters + (r->host != 0));
	MUST(strings(&r->raw) == 1 + 2 * r->headers);
	request_header(r, "host");
	MUST(!request_header(r, "transfer-encoding"));
	request_parameter(r, "a");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct request whole, pieces;
	if (!size)
		return 0;
	request_init(&whole, 2048);
	request_init(&pieces, 2048);
	const char *bytes = (const char *)data + 1;
	size_t used = feed(&whole, bytes, size - 1, size);
	MUST(feed(&pieces, bytes, size - 1, 1 + data[0] % 16) == used || whole.status != 200);
	MUST(whole.status == pieces.status);
	if (whole.status == 200) {
		promises(&whole);
		MUST(whole.decoded.len == pieces.decoded.len &&
		     !memcmp(whole.decoded.at, pieces.decoded.at, whole.decoded.len));
	}
	request_reset(&whole);
	request_reset(&pieces);
	MUST(mem_used(ACCOUNT_NET) == 0);
	return 0;
}
