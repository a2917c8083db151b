// SPDX-License-Identifier: Apache-2.0
// Where variables lie, told by the code that loads them.
#pragma once
#include "elf.h"
#include "file.h"

#define FIND_MAX 8
#define FIND_NAME_MAX 64
#define FIND_CHUNK (64u << 10)

struct gocode;
struct gocode *gocode_new(const struct elf_file *file, struct elf_variable *wanted, uint32_t count);
void gocode_free(struct gocode *c);
int gocode_step(struct gocode *c, uint64_t deadline); // 1 more, 0 done, -ENOENT, -errno
uint32_t gocode_minor(const struct gocode *c);
// NAME between two NULs in S..S+N: where it begins, or -1.
int64_t find_name(const char *s, size_t n, const char *name);
