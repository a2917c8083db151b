// SPDX-License-Identifier: Apache-2.0
// One HTTP/1.x answer, parsed while its bytes come in. Knows no socket, so that tests and the
// fuzzer feed it directly. 1xx answers before it are passed over; its body is kept up to
// HTTP_ANSWER_MAX.
#pragma once
#include <http_parser.h>

#include "../base/base.h"

struct answer {
	http_parser parser;
	bool connect;		 // it is a proxy's to CONNECT: a 2xx ends with its head
	bool headed, done;	 // the head is whole, the answer is whole
	bool keep;		 // then: the connection carries another request
	int status;		 // once HEADED
	uint64_t retry_after_ns; // 0: not told
	struct text body;
	size_t head_bytes;   // of this head and the 1xx before it
	uint64_t body_bytes; // that came in
	const char *why;     // what is wrong with it, a constant, or NULL
	bool in_value;
	char name[16], value[48]; // of the header that it is in, cut
};

void answer_init(struct answer *a, bool connect);
void answer_reset(struct answer *a); // ready for the next one; keeps no memory
// Takes bytes until the answer is whole: how many, or -EPROTO with WHY.
int64_t answer_feed(struct answer *a, const char *bytes, size_t n);
// The peer closed the connection: 0: that was the answer's end (DONE); -ECONNRESET: it is cut. The
// status of a cut one whose head is whole still counts: the peer has decided.
int answer_end(struct answer *a);
// "120" or a date (RFC 9110, 10.2.3) as ns from NOW_NS of clock_wall(), a day at most; 0: past, or
// neither.
uint64_t answer_retry_after(const char *value, uint64_t now_ns);
