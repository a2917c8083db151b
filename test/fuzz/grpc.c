// SPDX-License-Identifier: Apache-2.0
// Any bytes as what the peer of a gRPC call says: no end of the call is told twice or without its
// words, the body is read in its bounds, and nothing stays.
//
//   how it is cut and how long our body is 1 | bytes of the peer
#include "../../modules/net/grpc.c"

#include <stdlib.h>

#define MUST(condition)                                                                            \
	do {                                                                                       \
		if (!(condition))                                                                  \
			abort();                                                                   \
	} while (0)

static int64_t read_body(void *arg, uint64_t at, void *bytes, size_t size)
{
	const struct http_post *post = arg;
	MUST(size && at < post->size && size <= post->size - at);
	memset(bytes, 'b', size);
	return at % 3000 == 2999 ? -EIO : (int64_t)(size < 1500 ? size : 1500);
}

static void promises(const struct grpc_call *g)
{
	struct http_result r = {.reached = true};
	MUST(grpc_done(g, &r));
	MUST(r.error <= 0 && (r.error || r.grpc_status >= 0));
	MUST((r.error == 0 && r.grpc_status == 0) == (r.why[0] == '\0'));
	for (const char *s = r.why; *s; s++)
		MUST((unsigned char)*s >= 0x20 && *s != 0x7f);
	MUST(text_utf8_valid(r.why, strlen(r.why)) && r.size <= HTTP_ANSWER_MAX);
	MUST(r.retry_after_ns <= 86400 * NS_PER_S && (r.body || !r.size));
}

static int64_t drain(struct grpc_call *g)
{
	const void *bytes;
	int64_t n;
	uint64_t all = 0;
	while ((n = grpc_output(g, &bytes)) > 0) {
		MUST((all += (uint64_t)n) < 1 << 20);
		grpc_sent(g, n > 100 ? (size_t)n / 2 : (size_t)n);
	}
	return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const headers[] = {"authorization: x", NULL};
	if (!size)
		return 0;
	size_t piece = data[0] & 1 ? 1 + (data[0] >> 1) % 16 : size;
	struct http_post post = {.size = (data[0] >> 4) * 9000u, .read = read_body, .arg = &post};
	struct grpc_call *g = grpc_new("a", "/b", "http", headers, "c");
	MUST(g && grpc_start(g, &post) == 0);
	drain(g);
	for (size_t at = 1; at < size; at += piece) {
		int error = grpc_feed(g, data + at, size - at < piece ? size - at : piece);
		MUST(!error || (grpc_done(g, NULL) && !grpc_usable(g)));
		drain(g);
		if (grpc_done(g, NULL))
			promises(g);
		if (grpc_done(g, NULL) && grpc_usable(g))
			MUST(grpc_start(g, &post) == 0);
	}
	grpc_free(g);
	MUST(mem_used(ACCOUNT_NET) == 0);
	return 0;
}
