// SPDX-License-Identifier: Apache-2.0
// Our unwinder: the walker of bpf/walk.bpf.h compiled in user space, over rows that modules/unwind
// reads out of the target's files.
#pragma once
#include "../../bpf/counter.h"
#include "../../modules/unwind/rows.h"
#include "target.h"

struct ours; // files, rows, tables; shared by targets
struct ours *ours_new(void);
void ours_free(struct ours *o);
// The mappings of T are new, or changed.
int ours_maps(struct ours *o, struct target *t);
// Loads what is missing, walks again, until nothing is missing. Returns why it ended.
enum walk_end ours_walk(struct ours *o, struct target *t, struct stack *s);
const char *ours_label(enum walk_end end);
// The rows that cover PC: their window, the offset of PC in it, and the mapping; NULL where none.
const struct rows *ours_rows(
    struct ours *o, const struct target *t, uint64_t pc, uint32_t *window, uint32_t *at);
// The mapping that covers PC as it was published; 0 or -1.
int ours_mapping(struct ours *o, const struct target *t, uint64_t pc, struct mapping *m);

struct ours_figures {
	uint64_t files, windows, rows, blocks, failed;
};
void ours_figures(const struct ours *o, struct ours_figures *f);
