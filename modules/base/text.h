// SPDX-License-Identifier: Apache-2.0
// A growable byte buffer. Errors stick: after a failed allocation `error` is -ENOMEM and further
// adds do nothing, so a writer checks once at its end.
#pragma once
#include "mem.h"
#include <stdarg.h>
#include <stdbool.h>

struct text {
	char *at;   // always NUL-terminated once anything was added; NULL before
	size_t len; // bytes without the NUL
	size_t cap;
	enum account account;
	int error;
};

#define TEXT(acct) ((struct text){.account = (acct)})

int text_add(struct text *t, const void *bytes, size_t n);
int text_puts(struct text *t, const char *s);
int text_printf(struct text *t, const char *format, ...) __attribute__((format(printf, 2, 3)));
// Keeps the memory, forgets the content and the error.
void text_reset(struct text *t);
void text_free(struct text *t);

// Copies at most SIZE-1 bytes and terminates; returns the bytes copied.
size_t text_copy(char *to, size_t size, const char *from);
// Strict unsigned number of BASE filling all of S[0..n): 0 or -EINVAL / -ERANGE.
int text_number(const char *s, size_t n, int base, uint64_t *value);
// Edit distance, at most MAX (for "did you mean").
unsigned text_distance(const char *a, const char *b, unsigned max);
bool text_utf8_valid(const char *s, size_t n);
