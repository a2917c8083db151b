/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0 */
/*
 * What the probes on an allocator share with user space. A probe's cookie says which function it
 * stands in and of which process:
 *
 *   | pid, 32 bits | 24 bits free | enum alloc_kind, 8 bits |
 */
#pragma once

/* How a function of an allocator takes its arguments. */
enum alloc_kind {
	ALLOC_MALLOC,  /* (size); calls none of the others */
	ALLOC_NEW,     /* (size); may do so, as valloc and operator new */
	ALLOC_CALLOC,  /* (count, size) */
	ALLOC_REALLOC, /* (block, size) */
	ALLOC_ALIGNED, /* (alignment, size) */
	ALLOC_POSIX,   /* (where to put the block, alignment, size); returns an error */
	ALLOC_FREE,    /* (block) */
	ALLOC_KINDS,
};
#define ALLOC_COOKIE(pid, kind) ((unsigned long long)(pid) << 32 | (kind))

/* ln 2 times the logarithm to base 2 of the entries' middle: see alloc.bpf.h. */
#define ALLOC_LOG_BITS 8
#define ALLOC_LOG_SHIFT 24
