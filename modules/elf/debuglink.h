// SPDX-License-Identifier: Apache-2.0
// Separate debug files: which file belongs to which.
#pragma once
#include "file.h"

// False: DEBUG_FD is not the debug file of FD. True with *BY_CRC false: it is, their build-ids are
// equal. True with *BY_CRC: it is if the CRC32 of its bytes is *CRC.
bool debuglink_fits(int fd, int debug_fd, bool *by_crc, uint32_t *crc);

// CRC32 of all of VIEW in slices, until clock_now() reaches DEADLINE; *AT and *CRC begin as 0.
// 1: more to do, 0: done, -errno.
int debuglink_crc(const struct view *view, uint64_t *at, uint32_t *crc, uint64_t deadline);
