// SPDX-License-Identifier: Apache-2.0
#include "private.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#define PAGE 4096u

void memory_forget(struct memory *m)
{
	m->have = 0;
}

static bool load_at(struct memory *m, uint64_t from, uint32_t n)
{
	ssize_t once = pread(m->fd, m->once, n, (off_t)from);
	ssize_t again = once > 0 ? pread(m->fd, m->again, (size_t)once, (off_t)from) : once;
	m->at = from;
	m->have = again > 0 ? (uint32_t)again : 0;
	return m->have;
}

// Buckets lie side by side, so the whole block around ADDRESS is read, or where that is not all
// mapped the part from its page on.
static bool load(struct memory *m, uint64_t address)
{
	uint64_t block = address & ~(uint64_t)(BLOCK - 1), page = address & ~(uint64_t)(PAGE - 1);
	if (load_at(m, block, BLOCK) && address - block < m->have)
		return true;
	return load_at(m, page, (uint32_t)(block + BLOCK - page)) && address - page < m->have;
}

int memory_read(struct memory *m, uint64_t address, void *to, void *again, size_t n)
{
	if (address > INT64_MAX - BLOCK || n > BLOCK)
		return -EFAULT;
	for (size_t done = 0; done < n;) {
		uint64_t at = address + done;
		if ((at < m->at || at - m->at >= m->have) && !load(m, at))
			return -EFAULT;
		size_t here = m->have - (size_t)(at - m->at),
		       piece = n - done < here ? n - done : here;
		memcpy((char *)to + done, m->once + (at - m->at), piece);
		if (again)
			memcpy((char *)again + done, m->again + (at - m->at), piece);
		done += piece;
	}
	return 0;
}
