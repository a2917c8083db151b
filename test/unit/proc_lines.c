// SPDX-License-Identifier: Apache-2.0
// Lines against a file held whole in memory, with lengths about every bound of the buffer.
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "../../modules/proc/lines.c"
#include "../../modules/base/base.h"
#include <stdlib.h>
#include <sys/mman.h>

static int file_of(const char *bytes, size_t n)
{
	int fd = memfd_create("lines", 0);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, bytes, n), n);
	return fd;
}

// Every line of BYTES as lines_next must give it.
static void compare(const char *bytes, size_t n)
{
	int fd = file_of(bytes, n);
	struct lines lines;
	char *line;
	size_t len;
	lines_start(&lines, fd, UINT64_MAX);
	for (const char *at = bytes, *end = bytes + n; at < end;) {
		const char *newline = memchr(at, '\n', (size_t)(end - at));
		size_t truth = (size_t)((newline ? newline : end) - at);
		bool whole = newline && truth <= LINES_LINE_MAX && !memchr(at, 0, truth);
		assert_int_equal(lines_next(&lines, &line, &len), whole ? 1 : -EBADMSG);
		if (whole) {
			assert_int_equal(len, truth);
			assert_memory_equal(line, at, truth);
			assert_int_equal(line[len], 0);
		}
		at += truth + 1;
	}
	assert_int_equal(lines_next(&lines, &line, &len), 0);
	assert_int_equal(lines_next(&lines, &line, &len), 0);
	close(fd);
}

static void lines_of_every_length(void **state)
{
	(void)state;
	enum { SIZE = 400000 };
	char *bytes = malloc(SIZE);
	static const size_t near[] = {0, 1, LINES_LINE_MAX - 1, LINES_LINE_MAX, LINES_LINE_MAX + 1,
	    LINES_BUFFER - 1, LINES_BUFFER, LINES_BUFFER + 1, 3 * LINES_BUFFER};
	uint64_t seed = 1;
	for (int round = 0; round < 200; round++) {
		size_t n = 0;
		for (int i = 0; i < 12; i++) {
			seed = hash_mix(seed + 1);
			size_t len = near[seed % 9] + (seed >> 32) % 3 * (seed >> 40) % 50;
			memset(bytes + n, 'a' + i, len);
			if (seed >> 61 == 0 && len)
				bytes[n + len / 2] = 0;
			n += len;
			bytes[n++] = '\n';
		}
		compare(bytes, n);
		compare(bytes, n - 1); // the last one torn (or gone, where it was empty)
	}
	free(bytes);
	compare("", 0);
	compare("\n\n", 2);
}

static void the_limit_ends_it(void **state)
{
	(void)state;
	int fd = file_of("one\ntwo\nthree\n", 14);
	struct lines lines;
	char *line;
	size_t len;
	lines_start(&lines, fd, 9);
	assert_int_equal(lines_next(&lines, &line, &len), 1);
	assert_int_equal(lines_next(&lines, &line, &len), 1);
	assert_string_equal(line, "two");
	assert_int_equal(lines_next(&lines, &line, &len), -EFBIG);
	close(fd);
	assert_int_equal(lines_next(&lines, &line, &len), -EFBIG);
	lines_start(&lines, fd, 9);
	assert_int_equal(lines_next(&lines, &line, &len), -EBADF);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(lines_of_every_length),
	    cmocka_unit_test(the_limit_ends_it),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
