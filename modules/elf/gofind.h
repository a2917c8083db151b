// SPDX-License-Identifier: Apache-2.0
// Where Go's pclntab lies in a file, in slices: its section, or a scan of the data for its magic;
// and the start of the text that its entries are relative to.
#pragma once
#include "pclntab.h"

struct gofind;

struct gofind *gofind_new(const struct elf_file *f);
void gofind_free(struct gofind *g);
// Until clock_now() reaches DEADLINE: 1 more to do, 0 found (TABLE is usable), -ENOENT (no such
// table), -errno.
int gofind_step(struct gofind *g, struct pclntab *table, uint64_t deadline);
