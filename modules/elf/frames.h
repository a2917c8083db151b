// SPDX-License-Identifier: Apache-2.0
// Where functions end, by the unwind tables: what bounds a symbol without size.
#pragma once
#include "file.h"

// *END: the first address that cannot belong to the function that a label at ADDRESS begins, as far
// as the unwind table tells; UINT64_MAX where it tells nothing. True if an entry of the table holds
// ADDRESS, so that *END is the function's own end and not only the next one's start.
bool frames_end(const struct elf_file *f, uint64_t address, uint64_t *end);
