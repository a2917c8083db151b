// SPDX-License-Identifier: Apache-2.0
// Any bytes as call frame information of a file that has nothing else: as .eh_frame, with a table
// that leads to it or without, or as .debug_frame. The rows that come of it must be sorted, each
// different from the one before, and of the window.
//
//   bits: 1 arm64, 2 .debug_frame, 4 table | entries of the table | table | .eh_frame
#include <stdlib.h>

#include "../../modules/unwind/job.c"
#include "../unit/unwind_image.h"
#include "rows.h"

static struct image m;
static struct entries e;

static void put_table(const uint8_t *table, uint32_t count)
{
	uint8_t hdr[12 + 255 * 8] = {1, 0x1b, 0x03, 0x3b};
	put32(hdr + 4, FRAMES_ADDRESS - (TABLE_ADDRESS + 4));
	put32(hdr + 8, count);
	memcpy(hdr + 12, table, count * 8);
	size_t at = image_put(&m, hdr, 12 + count * 8);
	image_load(&m, at, 12 + count * 8, TABLE_ADDRESS, PF_R);
	m.segments[m.segment_count - 1].p_type = PT_GNU_EH_FRAME;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 2 || size > sizeof(e.at) / 2)
		return 0;
	uint32_t count = data[0] & 4 ? data[1] : 0;
	if (size - 2 < count * 8)
		return 0;
	image_begin(&m);
	memcpy(m.at + 0x1000, "\x48\xc7\xc0\x0f\0\0\0\x0f\x05", 9);
	m.size = TEXT_SIZE;
	e.debug = data[0] & 2;
	e.size = size - 2 - count * 8;
	memcpy(e.at, data + 2 + count * 8, e.size);
	image_frames(&m, &e, -1);
	if (count)
		put_table(data + 2, count);
	image_end(&m);
	if (data[0] & 1)
		image_header(&m)->e_machine = EM_AARCH64;

	struct source *source = rows_source_new(-1, m.at, m.size, -1);
	for (uint64_t start = 0; source && start <= TEXT_ADDRESS + 0x80;
	     start += TEXT_ADDRESS + 0x80) {
		struct rows_job *job;
		const struct rows *rows;
		if (!make_rows(source, start, 10 * NS_PER_US, &job, &rows))
			check(rows);
		rows_job_free(job);
	}
	rows_source_free(source);
	if (mem_used(ACCOUNT_UNWIND))
		abort();
	return 0;
}
