// SPDX-License-Identifier: Apache-2.0
// CRC-32 (ISO 3309, ITU-T V.42; RFC 1952 section 8): the reflected polynomial 0xedb88320, half a
// byte at a time, so that the table is 64 bytes and not 1 KiB: recordings are small, the table
// shares the cache with the agent.
#include "crc.h"

static const uint32_t half_bytes[16] = {
    0x00000000,
    0x1db71064,
    0x3b6e20c8,
    0x26d930ac,
    0x76dc4190,
    0x6b6b51f4,
    0x4db26158,
    0x5005713c,
    0xedb88320,
    0xf00f9344,
    0xd6d6a3e8,
    0xcb61b38c,
    0x9b64c2b0,
    0x86d3d2d4,
    0xa00ae278,
    0xbdbdf21c,
};

uint32_t crc32_add(uint32_t crc, const void *bytes, size_t n)
{
	const uint8_t *b = bytes;
	crc = ~crc;
	for (size_t i = 0; i < n; i++) {
		crc = half_bytes[(crc ^ b[i]) & 15] ^ (crc >> 4);
		crc = half_bytes[(crc ^ b[i] >> 4) & 15] ^ (crc >> 4);
	}
	return ~crc;
}
