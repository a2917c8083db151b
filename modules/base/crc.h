// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <stddef.h>
#include <stdint.h>

// CRC-32 as Ethernet, gzip and zip count it; begin with 0, go on with what the last call gave.
uint32_t crc32_add(uint32_t crc, const void *bytes, size_t n);
