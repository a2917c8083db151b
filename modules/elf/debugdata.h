// SPDX-License-Identifier: Apache-2.0
// .gnu_debugdata ("minidebuginfo"): an xz-compressed ELF file that holds the function symbols that
// .dynsym lacks. Unpacked in slices to memory, for one lookup.
#pragma once
#include "file.h"

struct debugdata;

// NULL + errno: EBADMSG (not what it claims, or over 16 MiB), ENOMEM.
struct debugdata *debugdata_new(const struct view *view, const struct section *section);
void debugdata_free(struct debugdata *d);
// Until clock_now() reaches DEADLINE: 1 more to do, 0 unpacked, -errno.
int debugdata_step(struct debugdata *d, uint64_t deadline);
// The unpacked image, valid until debugdata_free.
void debugdata_image(const struct debugdata *d, struct view *image);
