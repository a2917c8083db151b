// SPDX-License-Identifier: Apache-2.0
// Tapes made of what a fuzzer says.
#pragma once
#include "../../modules/base/crc.c"
#include "../../modules/tape/local.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define MUST(condition) ((condition) ? (void)0 : abort())

// A file of DATA, the checksums of its frames made right.
static inline int tape_of(const uint8_t *data, size_t size)
{
	uint8_t *bytes = malloc(size + 1);
	memcpy(bytes, data, size);
	for (size_t n, at = TAPE_MAGIC_SIZE; size >= at + TAPE_HEAD_SIZE;
	     at += TAPE_HEAD_SIZE + n) {
		n = tape_get(bytes + at, 4);
		if (n > size - at - TAPE_HEAD_SIZE)
			break;
		uint32_t crc = crc32_add(0, bytes + at, 8);
		tape_put(bytes + at + 8, crc32_add(crc, bytes + at + TAPE_HEAD_SIZE, n), 4);
	}
	int fd = memfd_create("tape", MFD_CLOEXEC);
	MUST(fd >= 0 && write(fd, bytes, size) == (ssize_t)size && !lseek(fd, 0, SEEK_SET));
	free(bytes);
	return fd;
}
