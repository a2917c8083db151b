// SPDX-License-Identifier: Apache-2.0
// Unpacking .gnu_debugdata: every shape that xz makes, and what is not xz.
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>

#include "../../modules/elf/debugdata.c"

static uint8_t plain[3 << 20], packed[4 << 20];
static size_t packed_size;

static int unpack_all(size_t offset, size_t size, size_t plain_size)
{
	struct view v, image;
	view_memory(&v, packed, sizeof(packed));
	const struct section s = {.offset = offset, .size = size};
	errno = 0;
	struct debugdata *d = debugdata_new(&v, &s);
	int r = d ? 1 : -errno;
	while (r == 1)
		r = debugdata_step(d, 0);
	if (!r) {
		debugdata_image(d, &image);
		assert_int_equal(image.size, plain_size);
		assert_memory_equal(image.image, plain, plain_size);
	}
	debugdata_free(d);
	assert_int_equal(mem_used(ACCOUNT_ELF), 0);
	return r;
}

static void pack(size_t size, uint32_t preset, size_t block)
{
	lzma_options_lzma lzma2;
	lzma_lzma_preset(&lzma2, preset);
	lzma_filter filters[] = {
	    {LZMA_FILTER_X86, NULL}, {LZMA_FILTER_LZMA2, &lzma2}, {LZMA_VLI_UNKNOWN, NULL}};
	lzma_stream s = LZMA_STREAM_INIT;
	assert_int_equal(lzma_stream_encoder(&s, filters, LZMA_CHECK_CRC64), LZMA_OK);
	s.next_out = packed;
	s.avail_out = sizeof(packed);
	lzma_ret r = LZMA_OK;
	for (size_t at = 0; at < size && r != LZMA_DATA_ERROR; at += block) {
		s.next_in = plain + at;
		s.avail_in = size - at < block ? size - at : block;
		do
			r = lzma_code(&s, LZMA_FULL_FLUSH);
		while (r == LZMA_OK);
		assert_int_equal(r, LZMA_STREAM_END);
	}
	do
		r = lzma_code(&s, LZMA_FINISH);
	while (r == LZMA_OK);
	assert_int_equal(r, LZMA_STREAM_END);
	packed_size = sizeof(packed) - s.avail_out;
	lzma_end(&s);
}

static void fill(void)
{
	for (size_t i = 0; i < sizeof(plain); i++)
		plain[i] = (uint8_t)(hash_mix(i / 7) % 5);
}

static void all_shapes(void **state)
{
	(void)state;
	static const size_t sizes[] = {1, 4095, 4096, PIECE, PIECE + 1, 300000, sizeof(plain)};
	fill();
	for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		pack(sizes[i], 6, sizes[i]);
		assert_int_equal(unpack_all(0, packed_size, sizes[i]), 0);
	}
	pack(300000, 6, 40000); // several blocks
	assert_int_equal(unpack_all(0, packed_size, 300000), 0);
	memmove(packed + 1001, packed, packed_size);
	assert_int_equal(unpack_all(1001, packed_size, 300000), 0);
}

// What is asked for the dictionary follows the size of the data, not what the header claims.
static void memory_in_proportion(void **state)
{
	(void)state;
	fill();
	pack(100000, 9, 100000); // a dictionary of 64 MiB
	mem_limit(mem_total() + (512 << 10));
	assert_int_equal(unpack_all(0, packed_size, 100000), 0);
	mem_limit(0);
}

static void cut_and_torn(void **state)
{
	(void)state;
	fill();
	pack(20000, 6, 7000);
	for (size_t size = 0; size < packed_size; size++)
		assert_int_equal(unpack_all(0, size, 20000), -EBADMSG);
	for (size_t i = 0; i < packed_size; i++) {
		packed[i] ^= 0x41;
		int r = unpack_all(0, packed_size, 20000);
		assert_int_equal(r, -EBADMSG); // every byte is under a checksum
		packed[i] ^= 0x41;
	}
	memset(packed, 0, 4096);
	assert_int_equal(unpack_all(0, 4096, 0), -EBADMSG);
}

static void allocations_that_fail(void **state)
{
	(void)state;
	fill();
	pack(20000, 6, 7000);
	mem_fail_at(0);
	assert_int_equal(unpack_all(0, packed_size, 20000), 0);
	uint64_t asked = mem_fail_seen();
	assert_true(asked > 5);
	for (uint64_t n = 1; n <= asked; n++) {
		mem_fail_at(n);
		assert_int_equal(unpack_all(0, packed_size, 20000), -ENOMEM);
		mem_fail_at(0);
	}
}

static void larger_than_is_borne(void **state)
{
	(void)state;
	uint8_t *zeros = calloc(1, IMAGE_MAX + 1);
	assert_non_null(zeros);
	packed_size = 0;
	assert_int_equal(lzma_easy_buffer_encode(0, LZMA_CHECK_CRC32, NULL, zeros, IMAGE_MAX + 1,
			     packed, &packed_size, sizeof(packed)),
	    LZMA_OK);
	assert_int_equal(unpack_all(0, packed_size, 0), -EBADMSG);
	free(zeros);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(all_shapes),
	    cmocka_unit_test(memory_in_proportion),
	    cmocka_unit_test(cut_and_torn),
	    cmocka_unit_test(allocations_that_fail),
	    cmocka_unit_test(larger_than_is_borne),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
