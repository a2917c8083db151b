// SPDX-License-Identifier: Apache-2.0
// What writer and reader share.
#pragma once
#include "tape.h"
#include "../base/base.h"

#define TAPE_MAGIC "TELEGENREC1\n"
#define TAPE_MAGIC_SIZE (sizeof(TAPE_MAGIC) - 1)
#define TAPE_HEAD_SIZE 12
#define TAPE_KIND_END UINT16_MAX
#define TAPE_BUFFER (64u << 10)
// Recordings are made and played by the path between kernel and profile; their buffers are charged
// to it.
#define TAPE_ACCOUNT ACCOUNT_PATH

static inline void tape_put(uint8_t *to, uint32_t value, int bytes)
{
	for (int i = 0; i < bytes; i++)
		to[i] = (uint8_t)(value >> 8 * i);
}

static inline uint32_t tape_get(const uint8_t *from, int bytes)
{
	uint32_t value = 0;
	for (int i = 0; i < bytes; i++)
		value |= (uint32_t)from[i] << 8 * i;
	return value;
}
