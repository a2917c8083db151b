// SPDX-License-Identifier: Apache-2.0
// String interner: one copy of every string, small ids. Id 0 is the empty string, always there.
//
//   bytes  [\0 m a i n \0 f o o \0 ...]   one block, ids are indexes into `at`
//   at     [0, 1, 6, ...]                 where each string starts
//   table  open addressing, hash -> id
#pragma once
#include "mem.h"

struct names;

struct names *names_new(enum account account);
void names_free(struct names *n);
// The id of S[0..len), which is not one of N's own strings (bytes after a NUL are cut). 0 with
// errno ENOMEM where it could not be kept (and for the empty string, errno untouched).
uint32_t names_add(struct names *n, const char *s, size_t len);
// The id if it is there, else 0.
uint32_t names_find(const struct names *n, const char *s, size_t len);
// Valid until the next names_add; unknown ids are "".
const char *names_get(const struct names *n, uint32_t id);
uint32_t names_count(const struct names *n); // the empty string included
size_t names_bytes(const struct names *n);   // memory held
