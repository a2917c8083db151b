/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0 */
/*
 * What Java allocates in HotSpot. A thread carves objects out of a buffer of its own (TLAB), which
 * no probe sees. HotSpot calls a function of its AllocTracer where one did not fit: for the first
 * object of a new buffer, and for each that it puts elsewhere, as it is large, or as too much of
 * the buffer would be wasted (memAllocator.cpp; JDK 8u262 and later).
 *
 *   bytes of a thread  |aaabaacaaaaaabaaa|cabaaaab..
 *                                         c did not fit: it stands for a buffer's bytes
 *
 * An object of s bytes is the one that does not fit with a chance in proportion to s, so that an
 * object that stands for the bytes since the last one that did is without bias (where buffers hold
 * many objects: one nearly as large as a buffer is hit up to a sixth too often). These are not
 * estimated: HotSpot counts what each thread has allocated (Thread::_allocated_bytes, and what it
 * used of its buffer), so that all that a thread tells adds up, whatever the garbage collector
 * leaves of buffers. Of objects elsewhere one that is larger than a buffer stands for itself, as it
 * never fits; a smaller one for a buffer's bytes, or, where it is not the first that did not fit
 * into this one, for itself.
 *
 * The first buffer of a thread begins the count, and what it allocated in its last one is told at
 * its end. What so comes up is sampled as blocks are: one in so many bytes. Where the counts cannot
 * be read a new buffer stands for its own size.
 */
#pragma once

#define JAVA_THREADS 2048	    /* of which it is known what they had allocated */
#define JAVA_BYTES_MAX (1ull << 40) /* more is not believed */

struct java_thread {
	u64 address;
	u32 pid;
	u32 pad;
};

struct java_told {
	u64 bytes;  /* of those that it has allocated */
	u64 buffer; /* size of the one that it took last, without the first object */
	u64 fitted; /* 1: all objects have fitted into it */
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, JAVA_THREADS);
	__type(key, struct java_thread);
	__type(value, struct java_told);
} java_threads SEC(".maps");

static __always_inline bool java_read(u64 *to, u64 thread, u32 offset)
{
	return offset && !bpf_probe_read_user(to, sizeof(*to), (void *)(thread + offset));
}

/* What THREAD has allocated up to now, and how much of its buffer that uses, which its own count
 * knows only when that is full. */
static __always_inline bool java_allocated(u64 *to, u64 *used, u64 thread, u64 cookie)
{
	u64 start, top;
	if (!java_read(to, thread, ALLOC_JAVA_ALLOCATED(cookie)) ||
	    !java_read(&start, thread, ALLOC_JAVA_START(cookie)) ||
	    !java_read(&top, thread, ALLOC_JAVA_TOP(cookie)))
		return false;
	*used = top > start ? top - start : 0;
	*to += *used;
	return true;
}

/*
 * THREAD takes a new buffer of SIZE bytes, the first OBJECT bytes of which go to the one that did
 * not fit; all of its last one is counted. How many bytes that stands for: those, or where
 * something else did not fit before, none, as they are left to the next; of an object that never
 * fits itself.
 */
static __always_inline u64 java_tlab(u64 thread, u64 size, u64 object, u64 cookie, u32 pid)
{
	struct java_thread key = {.address = thread, .pid = pid};
	struct java_told now = {.buffer = size > object ? size - object : 0, .fitted = 1}, *told;
	bool never = object >= now.buffer;
	u64 left = 0;
	if (!java_read(&now.bytes, thread, ALLOC_JAVA_ALLOCATED(cookie)))
		return size;
	told = bpf_map_lookup_elem(&java_threads, &key);
	if (told && told->bytes < now.bytes) /* else another thread was there */
		left = now.bytes - told->bytes;
	if (never || (told && left < told->buffer && !told->fitted)) {
		now.bytes -= left;
		left = 0;
	}
	if (never) { /* it is not counted yet */
		now.bytes += object;
		left = object;
	}
	if (told)
		*told = now;
	else if (bpf_map_update_elem(&java_threads, &key, &now, BPF_ANY))
		return size;
	return left;
}

/*
 * An object of SIZE bytes, which are counted, went elsewhere. The first that did not fit stands for
 * all but what of it lies beyond the buffer.
 */
static __always_inline u64 java_outside(u64 thread, u64 size, u64 cookie, u32 pid)
{
	struct java_thread key = {.address = thread, .pid = pid};
	struct java_told *told = bpf_map_lookup_elem(&java_threads, &key);
	u64 allocated, used, bytes = size;
	if (!told)
		return size;
	if (size < told->buffer && java_allocated(&allocated, &used, thread, cookie) &&
	    allocated > told->bytes) {
		u64 left = allocated - told->bytes;
		u64 beyond = used + size > told->buffer ? used + size - told->buffer : 0;
		if (told->fitted && left > beyond)
			bytes = left - beyond;
		else if (left >= told->buffer)
			bytes = told->buffer;
		told->fitted = 0;
	}
	told->bytes += bytes;
	return bytes;
}

static __always_inline u64 java_end(u64 thread, u64 cookie, u32 pid)
{
	struct java_thread key = {.address = thread, .pid = pid};
	struct java_told *told = bpf_map_lookup_elem(&java_threads, &key);
	u64 allocated, used, before;
	if (!told)
		return 0;
	before = told->bytes;
	bpf_map_delete_elem(&java_threads, &key);
	if (!java_allocated(&allocated, &used, thread, cookie))
		return 0;
	return before < allocated ? allocated - before : 0;
}

static __always_inline void java_enter(
    const u64 *ctx, u64 cookie, u32 pid, struct alloc_taken *taken)
{
	u64 first = ALLOC_ARGUMENT(ctx, 0), third = ALLOC_ARGUMENT(ctx, 2);
	u64 fourth = ALLOC_ARGUMENT(ctx, 3), fifth = ALLOC_ARGUMENT(ctx, 4);
	u32 kind = (u8)cookie;
	u64 size = kind == ALLOC_JAVA_TLAB	? java_tlab(fifth, third, fourth, cookie, pid)
		   : kind == ALLOC_JAVA_OUTSIDE ? java_outside(fourth, third, cookie, pid)
						: java_end(first, cookie, pid);
	if (!size || size > JAVA_BYTES_MAX)
		return;
	count(KERNEL_ALLOC_CALLS, 1);
	count(KERNEL_ALLOC_BYTES, size);
	if (!alloc_due(size))
		return;
	taken->object = kind == ALLOC_JAVA_TLAB ? fourth : kind == ALLOC_JAVA_OUTSIDE ? third : 0;
	taken->size = size;
	taken->kind = kind;
}
