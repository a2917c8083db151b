// SPDX-License-Identifier: Apache-2.0
// The report of record --leaks.
#pragma once

struct profile;
struct text;

// What the sealed heap profile P says is older than AGE (as the user wrote it). 0 or -ENOMEM.
int leaks_put(const struct profile *p, const char *age, struct text *out);
