// SPDX-License-Identifier: Apache-2.0
// gzip there and back in pieces of every size; bombs, cuts and garbage.
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "../../modules/wire/gzip.c"

struct place {
	uint8_t bytes[300000];
	size_t len;
	int refuse;
};

static int keep(void *arg, const void *bytes, size_t n)
{
	struct place *p = arg;
	if (p->refuse)
		return p->refuse;
	assert_true(p->len + n <= sizeof(p->bytes));
	memcpy(p->bytes + p->len, bytes, n);
	p->len += n;
	return 0;
}

static struct place packed, unpacked;
static uint8_t plain[200000];

static size_t pack(size_t n, size_t piece)
{
	packed.len = 0;
	struct wire_gzip *z = wire_gzip_new(&(struct wire_sink){keep, &packed});
	struct wire_sink sink = wire_gzip_sink(z);
	for (size_t i = 0; i < n; i += piece)
		assert_int_equal(sink.write(sink.arg, plain + i, n - i < piece ? n - i : piece), 0);
	assert_int_equal(wire_gzip_finish(z), 0);
	wire_gzip_free(z);
	return packed.len;
}

static int unpack(size_t n, size_t piece, uint64_t max)
{
	unpacked.len = 0;
	struct wire_gunzip *z = wire_gunzip_new(&(struct wire_sink){keep, &unpacked}, max);
	int error = 0;
	for (size_t i = 0; i < n && !error; i += piece)
		error = wire_gunzip_feed(z, packed.bytes + i, n - i < piece ? n - i : piece);
	if (!error)
		error = wire_gunzip_finish(z);
	wire_gunzip_free(z);
	return error;
}

static void there_and_back(void **state)
{
	(void)state;
	uint64_t seed = 5;
	for (size_t i = 0; i < sizeof(plain); i++) // half of it noise
		plain[i] = (uint8_t)(i % 7 ? i / 300 : (seed = hash_mix(seed + 1)));
	static const size_t sizes[] = {0, 1, 100, 4095, 4096, 4097, 200000},
			    pieces[] = {1, 7, 4096, 1000000};
	for (int s = 0; s < 7; s++)
		for (int p = 0; p < 4; p++) {
			size_t n = pack(sizes[s], pieces[p]);
			assert_int_equal(unpack(n, pieces[3 - p], sizes[s]), 0);
			assert_int_equal(unpacked.len, sizes[s]);
			assert_memory_equal(unpacked.bytes, plain, sizes[s]);
		}
	assert_int_equal(mem_used(ACCOUNT_WIRE), 0);
	assert_int_equal(mem_used(ACCOUNT_LIBRARY), 0);
}

static void two_members_are_one_stream(void **state)
{
	(void)state;
	size_t n = pack(1000, 1000);
	memmove(packed.bytes + n, packed.bytes, n);
	assert_int_equal(unpack(2 * n, 13, 2000), 0);
	assert_int_equal(unpacked.len, 2000);
	packed.bytes[n] = 'x';
	assert_int_equal(unpack(2 * n, 13, 2000), -EBADMSG);
}

static void bombs_and_cuts(void **state)
{
	(void)state;
	memset(plain, 0, sizeof(plain));
	size_t n = pack(sizeof(plain), 4096);
	assert_true(n < 1000);
	assert_int_equal(unpack(n, n, sizeof(plain) - 1), -EFBIG);
	assert_true(unpacked.len < sizeof(plain));
	for (size_t cut = 0; cut < n; cut++)
		assert_int_equal(unpack(cut, 5, sizeof(plain)), -EBADMSG);
	for (size_t i = 0; i < n;
	     i++) { // a damaged byte is never a crash, and passes only where it changes nothing
		if (i >= 4 &&
		    i <= 9) // time, flags and system in the header say nothing of the content
			continue;
		packed.bytes[i] ^= 0x55;
		assert_true(unpack(n, 64, sizeof(plain)) < 0 ||
			    (unpacked.len == sizeof(plain) &&
				!memcmp(unpacked.bytes, plain, sizeof(plain))));
		packed.bytes[i] ^= 0x55;
	}
}

static void errors_of_sink_and_memory(void **state)
{
	(void)state;
	size_t n = pack(100000, 4096);
	unpacked.refuse = -ENOSPC;
	assert_int_equal(unpack(n, n, sizeof(plain)), -ENOSPC);
	struct wire_gzip *z = wire_gzip_new(&(struct wire_sink){keep, &unpacked});
	struct wire_sink sink = wire_gzip_sink(z);
	assert_int_equal(sink.write(sink.arg, plain, 10), -ENOSPC);
	assert_int_equal(wire_gzip_finish(z), -ENOSPC);
	assert_int_equal(wire_gzip_finish(z), -ENOSPC);
	print_message(
	    "deflate holds %lu bytes\n", mem_used(ACCOUNT_LIBRARY) + mem_used(ACCOUNT_WIRE));
	wire_gzip_free(z);
	unpacked.refuse = 0;
	for (uint64_t limit = 1; limit <= 120000; limit += 1000) {
		mem_limit(mem_total() + limit);
		struct wire_sink out = {keep, &unpacked};
		z = wire_gzip_new(&out);
		wire_gzip_free(z);
		struct wire_gunzip *u = wire_gunzip_new(&out, 10);
		if (u)
			assert_true(wire_gunzip_feed(u, packed.bytes, n) < 0);
		wire_gunzip_free(u);
		mem_limit(0);
	}
	wire_gzip_free(NULL);
	wire_gunzip_free(NULL);
	assert_int_equal(mem_used(ACCOUNT_WIRE), 0);
	assert_int_equal(mem_used(ACCOUNT_LIBRARY), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(there_and_back),
	    cmocka_unit_test(two_members_are_one_stream),
	    cmocka_unit_test(bombs_and_cuts),
	    cmocka_unit_test(errors_of_sink_and_memory),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
