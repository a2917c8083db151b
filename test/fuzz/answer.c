// SPDX-License-Identifier: Apache-2.0
// Answers as they come from a receiver or a proxy: whole and in pieces they mean the same, and what
// is kept of them stays bounded.
#include "../../modules/net/answer.c"

#include <stdlib.h>

#define MUST(condition)                                                                            \
	do {                                                                                       \
		if (!(condition))                                                                  \
			abort();                                                                   \
	} while (0)

// How many bytes were taken, or -EPROTO.
static int64_t feed(struct answer *a, const char *bytes, size_t size, size_t piece)
{
	size_t used = 0;
	while (used < size && !a->done) {
		size_t n = size - used < piece ? size - used : piece;
		int64_t took = answer_feed(a, bytes + used, n);
		MUST((took == -EPROTO) == (a->why != NULL));
		if (took < 0)
			return took;
		MUST(took <= (int64_t)n && (took == (int64_t)n || a->done));
		used += (size_t)took;
	}
	return (int64_t)used;
}

static void promises(const struct answer *a)
{
	MUST(!a->done || a->headed);
	MUST(!a->headed || (a->status >= 200 && a->status <= 999));
	MUST(a->body.len <= HTTP_ANSWER_MAX && a->body.len <= a->body_bytes);
	MUST(a->retry_after_ns <= DAY_NS);
	MUST(strlen(a->name) < sizeof(a->name) && strlen(a->value) < sizeof(a->value));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint64_t wall = 784111777 * NS_PER_S;
	struct answer whole, pieces;
	if (!size)
		return 0;
	clock_fake(NULL, &wall);
	answer_init(&whole, data[0] & 1);
	answer_init(&pieces, data[0] & 1);
	const char *bytes = (const char *)data + 1;
	int64_t used = feed(&whole, bytes, size - 1, size);
	MUST(feed(&pieces, bytes, size - 1, 1 + data[0] / 2 % 16) == used);
	promises(&whole);
	promises(&pieces);
	if (used >= 0)
		MUST(answer_end(&whole) == answer_end(&pieces));
	MUST(whole.status == pieces.status && whole.done == pieces.done &&
	     whole.headed == pieces.headed);
	MUST(!whole.headed || whole.retry_after_ns == pieces.retry_after_ns);
	MUST(whole.body.len == pieces.body.len &&
	     (!whole.body.len || !memcmp(whole.body.at, pieces.body.at, whole.body.len)));
	answer_reset(&whole);
	answer_reset(&pieces);
	MUST(mem_used(ACCOUNT_NET) == 0);
	return 0;
}
