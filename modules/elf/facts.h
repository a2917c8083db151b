// SPDX-License-Identifier: Apache-2.0
// Notes, for the parts of this room that find them by section.
#pragma once
#include "elf.h"
#include "view.h"

// Looks for the GNU build-id in the notes at OFFSET, padded to ALIGN (4 or 8). 0 (found or not) or
// -errno.
int facts_notes(
    const struct view *v, uint64_t offset, uint64_t size, uint64_t align, struct elf_facts *facts);
