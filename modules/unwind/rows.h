// SPDX-License-Identifier: Apache-2.0
// The rows of one window: from .eh_frame, .debug_frame or Go's pclntab, in slices.
//
//   row[]   { at: offset in the window, rule: index in rules[] } by `at`, equal neighbours merged
//   rules[] each once; RULE_NONE marks where nothing describes the code
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../../bpf/table.h"

struct row {
	uint32_t at;
	uint32_t rule;
};
struct rows {
	struct row *row;
	struct rule *rules;
	uint32_t count, cap, rule_count, rule_cap;
	uint16_t *slots; // rules[] by hash: index and 1, 0 is free; at least twice as many as rules
	uint32_t slot_count;
};

#define ROWS_MAX (128u << 10) // of a window; the densest seen has 93,000

// 0, -ENOMEM, -E2BIG (over ROWS_MAX rows or RULES_MAX rules), -EINVAL (AT lies before the last).
// At the same place as the last row it takes its place.
int rows_add(struct rows *r, uint32_t at, const struct rule *rule);
void rows_clear(struct rows *r);

// Where the bytes of a file are, found once per file (facts of elf_frames).
struct source;
// FD is borrowed until rows_source_free; IMAGE (the vdso) likewise, then FD is -1. DEBUG_FD (-1:
// none), borrowed too, is a separate debug file that elf_debug_matches, whose .debug_frame is used
// where the file has none. NULL + errno, of which
//   ENODATA: a sound file that describes nothing: frame pointers are all there is;
//   ENOTSUP: 32-bit, or of a machine that is not known.
struct source *rows_source_new(int fd, const void *image, size_t image_size, int debug_fd);
void rows_source_free(struct source *s);

// The rows of link-time addresses [start, start + WINDOW_BYTES). SOURCE is borrowed.
struct rows_job;
struct rows_job *rows_job_new(struct source *source, uint64_t start);
// 1 more; 0 done: rows_job_rows has them, one at least; -errno: nothing is to be had (-EBADMSG: the
// file lies).
int rows_job_step(struct rows_job *job, uint64_t budget_ns);
const struct rows *rows_job_rows(const struct rows_job *job);
void rows_job_free(struct rows_job *job);
