// SPDX-License-Identifier: Apache-2.0
// Our own blocks carry a 16-byte head {account, size}; the libraries' blocks (through --wrap) carry
// none and are charged what malloc really gave them.
#include "mem.h"
#include "count.h"

#include <errno.h>
#include <malloc.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

struct head {
	uint64_t size;
	uint32_t account;
	uint32_t magic;
};
_Static_assert(sizeof(struct head) == 16, "keeps malloc's alignment");
#define HEAD_MAGIC 0x6d656d21u

static struct {
	uint64_t used[ACCOUNT_COUNT];
	uint64_t total, peak, limit;
	uint64_t asked, fail_at;
	uint64_t (*squeeze)(void *arg, uint64_t need);
	void *squeeze_arg;
	bool squeezing;
} mem;

void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t size);
void __real_free(void *p);

static void charge(enum account account, int64_t delta)
{
	// A block that libc made behind the wrap may be freed through it: never below zero.
	if (delta < 0 && mem.used[account] < (uint64_t)-delta)
		delta = -(int64_t)mem.used[account];
	mem.used[account] += (uint64_t)delta;
	mem.total += (uint64_t)delta;
	if (mem.total > mem.peak)
		mem.peak = mem.total;
}

// True where NEED more bytes are within the limit.
static bool fits(uint64_t need)
{
	return !mem.limit || (mem.total <= mem.limit && need <= mem.limit - mem.total);
}

static void squeeze_for(uint64_t need)
{
	if (fits(need) || !mem.squeeze || mem.squeezing || need > mem.limit)
		return;
	mem.squeezing = true;
	count_add(COUNT_MEM_SQUEEZED, mem.squeeze(mem.squeeze_arg, mem.total + need - mem.limit));
	mem.squeezing = false;
}

static bool room_for(uint64_t need)
{
	squeeze_for(need);
	if (fits(need))
		return true;
	count_add(COUNT_MEM_REFUSED, 1);
	return false;
}

static bool fails_now(void)
{
	mem.asked++;
	return mem.fail_at && mem.asked == mem.fail_at;
}

void *mem_alloc(enum account account, size_t size)
{
	return mem_resize(account, NULL, size);
}

void *mem_resize(enum account account, void *p, size_t size)
{
	struct head *old = p ? (struct head *)p - 1 : NULL;
	if (old && old->magic != HEAD_MAGIC)
		abort(); // our own bug: a pointer that mem_alloc never gave
	uint64_t before = old ? old->size + sizeof(*old) : 0, after = size + sizeof(*old);
	if (size > SIZE_MAX / 2 || fails_now() || (after > before && !room_for(after - before)))
		return errno = ENOMEM, NULL;
	struct head *h = old ? __real_realloc(old, after) : __real_calloc(1, after);
	if (!h)
		return errno = ENOMEM, NULL;
	if (!old)
		*h = (struct head){.account = account, .magic = HEAD_MAGIC};
	h->size = size;
	charge(h->account, (int64_t)(after - before));
	return h + 1;
}

char *mem_strdup(enum account account, const char *s)
{
	size_t n = strlen(s) + 1;
	char *copy = mem_alloc(account, n);
	return copy ? memcpy(copy, s, n) : NULL;
}

void mem_free(void *p)
{
	if (!p)
		return;
	struct head *h = (struct head *)p - 1;
	if (h->magic != HEAD_MAGIC)
		abort(); // our own bug: freed twice, or never ours
	h->magic = 0;
	charge(h->account, -(int64_t)(h->size + sizeof(*h)));
	__real_free(h);
}

int mem_charge(enum account account, int64_t delta)
{
	if (delta > 0 && (fails_now() || !room_for((uint64_t)delta)))
		return -ENOMEM;
	charge(account, delta);
	return 0;
}

uint64_t mem_used(enum account account)
{
	return mem.used[account];
}

uint64_t mem_total(void)
{
	return mem.total;
}

uint64_t mem_peak(void)
{
	return mem.peak;
}

const char *mem_account_name(enum account account)
{
	static const char *const names[] = {
#define X(id, name) name,
	    ACCOUNTS(X)
#undef X
	};
	return account < ACCOUNT_COUNT ? names[account] : "unknown";
}

void mem_limit(uint64_t bytes)
{
	mem.limit = bytes;
}

uint64_t mem_limit_get(void)
{
	return mem.limit;
}

void mem_squeeze(void)
{
	squeeze_for(0);
}

void mem_trim(void)
{
	malloc_trim(0);
}

void mem_on_squeeze(uint64_t (*squeeze)(void *arg, uint64_t need), void *arg)
{
	mem.squeeze = squeeze;
	mem.squeeze_arg = arg;
}

void mem_fail_at(uint64_t nth)
{
	mem.asked = 0;
	mem.fail_at = nth;
}

uint64_t mem_fail_seen(void)
{
	return mem.asked;
}

// The libraries' malloc, by the linker's --wrap. They ask malloc_usable_size, so that what is
// charged is what is given back.
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t size);
void __wrap_free(void *p);

void *__wrap_malloc(size_t size)
{
	if (!room_for(size))
		return errno = ENOMEM, NULL;
	void *p = __real_malloc(size);
	if (p)
		charge(ACCOUNT_LIBRARY, (int64_t)malloc_usable_size(p));
	return p;
}

void *__wrap_calloc(size_t n, size_t size)
{
	if (size && n > SIZE_MAX / size)
		return errno = ENOMEM, NULL;
	if (!room_for(n * size))
		return errno = ENOMEM, NULL;
	void *p = __real_calloc(n, size);
	if (p)
		charge(ACCOUNT_LIBRARY, (int64_t)malloc_usable_size(p));
	return p;
}

void *__wrap_realloc(void *p, size_t size)
{
	size_t before = p ? malloc_usable_size(p) : 0;
	if (size > before && !room_for(size - before))
		return errno = ENOMEM, NULL;
	void *q = __real_realloc(p, size);
	if (q || !size)
		charge(ACCOUNT_LIBRARY, (int64_t)(q ? malloc_usable_size(q) : 0) - (int64_t)before);
	return q;
}

void __wrap_free(void *p)
{
	if (p)
		charge(ACCOUNT_LIBRARY, -(int64_t)malloc_usable_size(p));
	__real_free(p);
}
