// SPDX-License-Identifier: Apache-2.0
// Lookups in the hand-made files of elf_image.h, and what they are expected to answer. For tests
// that include lookup.c.
#pragma once
#include "elf_image.h"

// What a lookup answered.
#define ANSWERS_MAX 64
struct answers {
	struct {
		uint64_t start, end;
		char name[64]; // "?": no symbol
		unsigned calls;
	} of[ANSWERS_MAX];
	unsigned count;
	int result;
};

static inline void answers_found(void *arg, uint32_t index, const struct elf_symbol *s)
{
	struct answers *a = arg;
	a->of[index].start = s->start;
	a->of[index].end = s->end;
	text_copy(a->of[index].name, sizeof(a->of[index].name), s->name ? s->name : "?");
	a->of[index].calls++;
	a->count++;
}

static inline void answers_finish(struct answers *a, struct elf_lookup *l, uint64_t budget)
{
	do
		a->result = l ? elf_lookup_step(l, budget) : -ENOMEM;
	while (a->result == 1);
	elf_lookup_free(l);
}

#define T TEXT_ADDRESS
#define END (TEXT_ADDRESS + TEXT_SIZE)

static struct image m;
static struct answers a;

static struct answers *ask_fd(int fd, const uint64_t *addresses, uint32_t n,
    const struct elf_lookup_options *options, uint64_t budget)
{
	memset(&a, 0, sizeof(a));
	assert_true(fd >= 0 && n <= ANSWERS_MAX);
	answers_finish(&a, elf_lookup_new(fd, addresses, n, options, answers_found, &a), budget);
	assert_int_equal(mem_used(ACCOUNT_ELF), 0);
	return &a;
}
