// SPDX-License-Identifier: Apache-2.0
// Any profile that can be read from pprof as OTLP: bodies stay small enough, keep every rule of
// receivers, and say as many samples as there were. Its first byte chooses the options.
#include "../../modules/export/otlp.c"
#include "otlp.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char why[200];
	if (!size)
		return 0;
	struct profile *p = profiles_import(data + 1, size - 1, why);
	if (!p)
		return 0;
	struct requests_options options = {
	    .bytes_max = data[0] & 1 ? 0 : 300 + 8u * data[0],
	    .previous = data[0] & 2,
	    .service = data[0] & 4 ? "agent" : NULL,
	};
	struct otlp_receiver x = {.reader.brief = true};
	uint64_t all = 0, left_out;
	struct requests r = {.p = p};
	MUST_OTLP(!otlp_send(&x, &options, p, data[0] & 8 ? 0 : UINT64_MAX, &left_out));
	for (uint32_t i = 0; i < profile_sample_count(p); i++)
		all += (uint64_t)request_weight(&r, profile_sample(p, i));
	MUST_OTLP(x.samples + left_out == all);
	MUST_OTLP(x.largest < (options.bytes_max ? options.bytes_max : REQUEST_BYTES_MAX));
	otlp_receiver_free(&x);
	profile_free(p);
	MUST_OTLP(
	    mem_used(ACCOUNT_PROFILE) + mem_used(ACCOUNT_EXPORT) + mem_used(ACCOUNT_WIRE) == 0);
	return 0;
}
