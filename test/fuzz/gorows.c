// SPDX-License-Identifier: Apache-2.0
// Any bytes as the pclntab of a Go program, and any as its code. The rows that come of them must be
// sorted, each different from the one before, and of the window.
//
//   1 arm64 | 256 bytes of code | pclntab
#include <stdlib.h>

#include "../../modules/unwind/go.c"
#include "../unit/go_image.h"
#undef TABLE_ADDRESS
#include "../unit/unwind_image.h"
#include "rows.h"

#define CODE 256

static struct image m;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 1 + CODE || size > sizeof(m.at) / 2)
		return 0;
	go_image(&m, NULL, 0, data + 1 + CODE, size - 1 - CODE);
	memcpy(m.at + GO_CODE, data + 1, CODE);
	image_end(&m);
	if (data[0] & 1)
		image_header(&m)->e_machine = EM_AARCH64;
	int fd = image_fd(&m, m.size);
	struct source *source = rows_source_new(fd, NULL, 0, -1);
	// The second begins in the midst of a function.
	for (uint64_t start = TEXT_ADDRESS; source && start <= GO_TEXT + 20;
	     start += GO_CODE + 20) {
		struct rows_job *job;
		const struct rows *rows;
		if (!make_rows(source, start, 10 * NS_PER_US, &job, &rows))
			check(rows);
		rows_job_free(job);
	}
	rows_source_free(source);
	close(fd);
	if (mem_used(ACCOUNT_UNWIND) || mem_used(ACCOUNT_ELF))
		abort();
	return 0;
}
