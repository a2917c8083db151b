// SPDX-License-Identifier: Apache-2.0
// Bytes out of files and images, and the numbers in them.
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <sys/mman.h>

#include "../../modules/unwind/bytes.c"

static uint8_t content[200000];

static int file(size_t size)
{
	for (size_t i = 0; i < sizeof(content); i++)
		content[i] = (uint8_t)(i * 2654435761u >> 24);
	int fd = memfd_create("bytes", MFD_CLOEXEC);
	assert_int_equal(write(fd, content, size), size);
	return fd;
}

static void anywhere_in_a_part(void **state)
{
	(void)state;
	enum { BASE = 1000, SIZE = 190000 };
	int fd = file(sizeof(content));
	for (unsigned image = 0; image < 2; image++) {
		struct bytes b;
		bytes_open(&b, image ? -1 : fd, image ? content : NULL, BASE, SIZE);
		uint32_t seed = 1;
		for (unsigned i = 0; i < 20000; i++) {
			seed = seed * 1664525 + 1013904223;
			uint64_t at = i % 4 ? b.at + (seed >> 20) : seed % SIZE;
			uint32_t n = i % 100 ? seed >> 8 & 63 : seed % (BYTES_MAX + 1);
			const uint8_t *p = bytes_get(&b, at, n);
			if (at > SIZE || n > SIZE - at) {
				assert_null(p);
				assert_int_equal(b.error, -EBADMSG);
			} else {
				assert_memory_equal(p, content + BASE + at, n);
			}
		}
		assert_null(bytes_get(&b, UINT64_MAX, 1));
		assert_null(bytes_get(&b, SIZE - 1, 2));
		assert_non_null(bytes_get(&b, SIZE, 0));
		assert_true(mem_used(ACCOUNT_UNWIND) <= (image ? 0 : BYTES_MAX + 16));
		bytes_close(&b);
		assert_int_equal(mem_used(ACCOUNT_UNWIND), 0);
	}
	close(fd);
}

static void a_file_that_shrinks(void **state)
{
	(void)state;
	int fd = file(50000);
	struct bytes b;
	bytes_open(&b, fd, NULL, 0, 50000);
	assert_non_null(bytes_get(&b, 100, 50));
	assert_int_equal(ftruncate(fd, 20000), 0);
	assert_null(bytes_get(&b, 19000, 4000)); // part of it was read
	assert_int_equal(b.error, -EBADMSG);
	assert_memory_equal(bytes_get(&b, 100, 50), content + 100, 50); // nothing stale is left
	close(fd);
	assert_null(bytes_get(&b, 10000, 4));
	assert_int_equal(b.error, -EBADF);
	bytes_close(&b);
}

static void no_memory(void **state)
{
	(void)state;
	int fd = file(sizeof(content));
	struct bytes b;
	bytes_open(&b, fd, NULL, 0, sizeof(content));
	mem_fail_at(1);
	assert_null(bytes_get(&b, 0, 4));
	assert_int_equal(b.error, -ENOMEM);
	mem_fail_at(0);
	assert_memory_equal(bytes_get(&b, 0, 4), content, 4);
	mem_fail_at(1);
	assert_null(bytes_get(&b, 0, BYTES_MAX));
	mem_fail_at(0);
	assert_memory_equal(bytes_get(&b, 5, 4), content + 5, 4);
	bytes_close(&b);
	close(fd);
	assert_int_equal(mem_used(ACCOUNT_UNWIND), 0);
}

static void numbers(void **state)
{
	(void)state;
	static const struct {
		uint8_t bytes[12];
		uint8_t n;
		bool fits, fits_signed;
		uint64_t value;
		int64_t signed_value;
	} cases[] = {
	    {{0x02}, 1, true, true, 2, 2},
	    {{0x7f}, 1, true, true, 127, -1},
	    {{0x80, 0x01}, 2, true, true, 128, 128},
	    {{0x80, 0x7f}, 2, true, true, 16256, -128},
	    {{0xff, 0x00}, 2, true, true, 127, 127},
	    {{0x80}, 1, false, false, 0, 0}, // cut
	    {{0}, 0, false, false, 0, 0},
	    {{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01}, 10, true, false,
		UINT64_MAX, 0},
	    {{0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x02}, 10, false, false, 0, 0},
	    {{0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x7f}, 10, false, true, 0,
		INT64_MIN},
	    {{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x00}, 10, true, true,
		INT64_MAX, INT64_MAX},
	    {{0x81, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x00}, 11, true, false, 1,
		0},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct cursor c = {.at = cases[i].bytes, .end = cases[i].bytes + cases[i].n};
		struct cursor d = c;
		assert_true(cursor_uleb(&c) == cases[i].value && c.bad == !cases[i].fits);
		assert_true(
		    cursor_sleb(&d) == cases[i].signed_value && d.bad == !cases[i].fits_signed);
		assert_ptr_equal(c.at, c.end);
	}
	static const uint8_t eight[] = {1, 2, 3, 4, 5, 6, 7, 0x88};
	struct cursor c = {.at = eight, .end = eight + 8};
	assert_true(cursor_fixed(&c, 2) == 0x0201 && !c.bad);
	struct cursor cut = cursor_cut(&c, 4);
	assert_true(cut.at == eight + 2 && cut.end == eight + 6 && !c.bad);
	cut = cursor_cut(&c, 3);
	assert_true(c.bad && cut.bad && cut.at == cut.end);
	c = (struct cursor){.at = eight, .end = eight + 8};
	assert_true(cursor_fixed(&c, 8) == 0x8807060504030201);
	assert_true(cursor_fixed(&c, 1) == 0 && c.bad);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(anywhere_in_a_part),
	    cmocka_unit_test(a_file_that_shrinks),
	    cmocka_unit_test(no_memory),
	    cmocka_unit_test(numbers),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
