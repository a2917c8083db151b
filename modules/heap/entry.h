// SPDX-License-Identifier: Apache-2.0
// Where in a function a probe is cheap. The kernel carries out a few instructions itself when a
// probe stands in their place: push, nop, call, jmp and conditional jumps (about 1 us). Any other
// is run elsewhere in a single step, which takes a second trap: 13 us (Linux,
// arch/x86/kernel/uprobes.c).
#pragma once
#include <stddef.h>
#include <stdint.h>

#define ENTRY_BYTES 64 // that are looked at

// CODE: the first N bytes of the function, of an ELF file for MACHINE, that takes its first
// ARGUMENTS in registers. How many bytes behind its start the probe goes, where stack and arguments
// still are as at the start and every call comes by; or -ENOTSUP and WHY in a few words.
int entry_offset(
    uint16_t machine, const uint8_t *code, size_t n, unsigned arguments, char *why, size_t size);
