// SPDX-License-Identifier: Apache-2.0
// One image, its entries and the rows that are made of it: begin(), put something in, image_end()
// or image_fd(), take the source, make_rows(), done().
#pragma once
#include "unwind_image.h"

static struct image m;
static struct entries e;
static struct source *source;
static struct rows_job *job;
static const struct rows *rows;

static inline void begin(void)
{
	image_begin(&m);
	memset(&e, 0, sizeof(e));
}

// The source of what is in memory.
static inline void take_source(void)
{
	source = rows_source_new(-1, m.at, m.size, -1);
	assert_non_null(source);
}

static inline void done(void)
{
	rows_job_free(job);
	rows_source_free(source);
	assert_int_equal(mem_used(ACCOUNT_UNWIND), 0);
}

// The rows of the image that ended, from a file, with each allocation refused in turn.
static inline void rows_without_memory(void)
{
	int fd = image_fd(&m, m.size), r = -1;
	for (uint64_t n = 1; r; n++) {
		mem_fail_at(n);
		source = rows_source_new(fd, NULL, 0, -1);
		r = source ? make_rows(source, TEXT_ADDRESS, NS_PER_MS, &job, &rows) : -errno;
		bool asked = mem_fail_seen() >= n;
		mem_fail_at(0);
		assert_int_equal(r, asked ? -ENOMEM : 0);
		if (source)
			rows_job_free(job);
		rows_source_free(source);
		assert_int_equal(mem_used(ACCOUNT_UNWIND) + mem_used(ACCOUNT_WIRE), 0);
	}
	close(fd);
}
