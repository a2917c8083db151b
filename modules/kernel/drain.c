// SPDX-License-Identifier: Apache-2.0
// The BPF ring, and its records handed up between perf's events in the order of their time. Layout:
// kernel/bpf/ringbuf.c, Documentation/bpf/ringbuf.rst:
//
//   map fd   | consumer page | producer page | data | the same data again |     positions only grow
//   data     ... | u32 length, BUSY and DISCARD bits; u32 | record, padded to 8 | ...
//
// libbpf's own reader gives no look at a record before it takes it. Here one is needed: what
// happened before a sample is to be told first, and no turn may take more than it was allowed.
#include "private.h"

#include <errno.h>
#include <linux/bpf.h>
#include <sys/mman.h>

int drain_open(struct kernel *k, int map_fd, uint32_t bytes)
{
	struct ring *r = &k->ring;
	r->bytes = bytes;
	r->consumer = mmap(NULL, k->page, PROT_READ | PROT_WRITE, MAP_SHARED, map_fd, 0);
	if (r->consumer == MAP_FAILED) {
		r->consumer = NULL;
		return -errno;
	}
	r->producer = mmap(NULL, k->page + 2ul * bytes, PROT_READ, MAP_SHARED, map_fd, k->page);
	if (r->producer == MAP_FAILED) {
		r->producer = NULL;
		return -errno;
	}
	r->at = __atomic_load_n(r->consumer, __ATOMIC_ACQUIRE);
	return 0;
}

void drain_close(struct kernel *k)
{
	struct ring *r = &k->ring;
	if (r->consumer)
		munmap(r->consumer, k->page);
	if (r->producer)
		munmap((void *)r->producer, k->page + 2ul * r->bytes);
	*r = (struct ring){0};
}

static uint64_t waiting(const struct ring *r)
{
	return __atomic_load_n(r->producer, __ATOMIC_ACQUIRE) - r->at;
}

static void pass(struct ring *r, uint32_t length)
{
	r->at += (BPF_RINGBUF_HDR_SZ + (uint64_t)length + 7) & ~7ull;
	__atomic_store_n(r->consumer, r->at, __ATOMIC_RELEASE);
}

// The oldest record and its length, or NULL: there is none, or it is still being written.
static const struct record *next_record(struct kernel *k, uint32_t *length)
{
	struct ring *r = &k->ring;
	while (waiting(r) >= BPF_RINGBUF_HDR_SZ) {
		// The data are mapped twice in a row, so that no record is torn by their end.
		const uint8_t *at =
		    (const uint8_t *)r->producer + k->page + (r->at & (r->bytes - 1));
		uint32_t word = __atomic_load_n((const uint32_t *)at, __ATOMIC_ACQUIRE);
		if (word & BPF_RINGBUF_BUSY_BIT)
			return NULL;
		*length = word & ~BPF_RINGBUF_DISCARD_BIT;
		if (*length >
		    waiting(r) - BPF_RINGBUF_HDR_SZ) { // nobody knows where the next begins
			count_add(COUNT_RECORDS_BAD, 1);
			r->at += waiting(r);
			__atomic_store_n(r->consumer, r->at, __ATOMIC_RELEASE);
			return NULL;
		}
		const struct record *record = (const void *)(at + BPF_RINGBUF_HDR_SZ);
		bool sound = *length >= sizeof(*record) && record->size <= *length;
		if (!(word & BPF_RINGBUF_DISCARD_BIT) && sound)
			return record;
		if (!(word & BPF_RINGBUF_DISCARD_BIT))
			count_add(COUNT_RECORDS_BAD, 1);
		pass(r, *length);
	}
	return NULL;
}

static unsigned use(const struct kernel *k)
{
	uint64_t ring = waiting(&k->ring) * 100 / k->ring.bytes;
	unsigned side = perf_ring_use(k);
	return ring > side ? (unsigned)ring : side;
}

int kernel_drain(struct kernel *k, int max)
{
	uint64_t now = clock_now();
	// What is younger than a millisecond may still be followed by an older sample.
	uint64_t settled = k->started ? now - NS_PER_MS : UINT64_MAX - 1;
	if (k->started && now >= k->cpus_looked + CPUS_NS)
		kernel_rescan_cpus(k); // of trouble the caller learns when he calls it himself
	if (k->started)
		memory_look(k, now);
	unsigned full = use(k);
	k->ring_use = k->more && k->ring_use > full ? k->ring_use : full;
	k->left = max;
	while (k->left > 0) {
		uint32_t length;
		uint64_t looked = clock_now();
		const struct record *r = next_record(k, &length);
		if (!r && !waiting(&k->ring))
			k->drained_ns = looked - NS_PER_MS; // one may be on its way into it
		// What was mapped before the sample was taken is told first.
		perf_drain(k, r ? r->time_ns : settled);
		if (!r || k->left <= 0)
			break;
		trim_hand(k, r);
		if (r->time_ns > k->drained_ns + NS_PER_MS)
			k->drained_ns = r->time_ns - NS_PER_MS;
		pass(&k->ring, length);
		k->left--;
	}
	k->more = k->left <= 0;
	return k->more ? max : max - k->left;
}

uint64_t kernel_drained(const struct kernel *k)
{
	return k->drained_ns;
}

unsigned kernel_ring_use(const struct kernel *k)
{
	return k->more ? 100 : k->ring_use;
}
