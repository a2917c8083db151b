/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0 */
/*
 * What the probes on an allocator share with user space. A probe's cookie says which function it
 * stands in and of which process:
 *
 *   | pid, 32 bits | TLAB's top, 8 | its start, 8 | allocated bytes, 8 | enum alloc_kind, 8 |
 *
 * Of HotSpot's functions it also says where in a thread these lie, in words; 0: not known.
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
	/* HotSpot's, which hand out nothing that is told of again: see java.bpf.h. */
	ALLOC_JAVA_TLAB,    /* (class, object, size of the new TLAB, of the object, thread) */
	ALLOC_JAVA_OUTSIDE, /* (class, object, its size, thread): outside of TLABs */
	ALLOC_JAVA_END,	    /* (thread) */
	ALLOC_KINDS,
};
#define ALLOC_IS_JAVA(kind) ((kind) > ALLOC_FREE)
#define ALLOC_COOKIE(pid, kind) ((unsigned long long)(pid) << 32 | (kind))
/* A kind of HotSpot's, with byte offsets that are multiples of 8 and below 2048. */
#define ALLOC_JAVA_KIND(kind, allocated, start, top)                                               \
	((unsigned int)(kind) | (unsigned int)(allocated) / 8 << 8 |                               \
	    (unsigned int)(start) / 8 << 16 | (unsigned int)(top) / 8 << 24)
#define ALLOC_JAVA_ALLOCATED(cookie) (((unsigned int)(cookie) >> 8 & 0xff) * 8)
#define ALLOC_JAVA_START(cookie) (((unsigned int)(cookie) >> 16 & 0xff) * 8)
#define ALLOC_JAVA_TOP(cookie) (((unsigned int)(cookie) >> 24 & 0xff) * 8)

/* Places to take a stack in, beside one of each CPU: threads that lost their CPU there hold them. */
#define ALLOC_SPARE 32

/* ln 2 times the logarithm to base 2 of the entries' middle: see alloc.bpf.h. */
#define ALLOC_LOG_BITS 8
#define ALLOC_LOG_SHIFT 24
