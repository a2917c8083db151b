// SPDX-License-Identifier: Apache-2.0
// Requests on their way out: a bounded queue of bodies, in memory or in files of a directory that
// outlive us. What is not whole is never seen again: a body that was not ended (kill -9, a full
// disk) is gone at the next start.
//
//   being written --spool_end--> [oldest] ... [newest] --spool_remove--> gone (delivered, or given
//   up)
//                                 '--dropped to make room, told by on_drop
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct spool;
// What a body holds, for the accounts of what was sent, is waiting, and was dropped.
struct spool_facts {
	uint64_t samples; // of profiles
	uint64_t time_ns; // wall clock at the window's start
	char type[16];	  // of the profile: "cpu"
};
struct spool_options {
	const char *directory; // made where it is not there; NULL: memory
	uint64_t bytes_max;    // of all bodies; the oldest go when it would be passed
	// A body is dropped to make room, unsent (F is valid during the call).
	void (*on_drop)(void *arg, const struct spool_facts *f);
	void *arg;
};
// NULL + errno with a line in WHY. Whole bodies that an earlier run left in DIRECTORY are taken
// over, in their order; what is beyond BYTES_MAX of them is dropped already here.
struct spool *spool_new(const struct spool_options *options, char *why, size_t why_size);
void spool_free(struct spool *s); // bodies in files stay
// In DIRECTORY, which no spool has open: bytes that whole bodies take there, and how many they are.
uint64_t spool_left(const char *directory, uint32_t *bodies);
// Of memory: OPTIONS hold from now on; what is beyond their BYTES_MAX is dropped.
void spool_go_on(struct spool *s, const struct spool_options *options);
// For budget: of memory, drops the oldest that is not being read. ON_DROP must not allocate.
uint64_t spool_shrink(void *s, uint64_t need);

// One body is written at a time. 0; -ENOMEM, -ENOSPC, -EFBIG (larger than all the room): then abort
// it.
int spool_begin(struct spool *s);
int spool_write(struct spool *s, const void *bytes, size_t n);
void spool_abort(struct spool *s);
// In the queue once it is on the disk: 1 more (call again), 0 done, -errno (aborted).
int spool_end(struct spool *s, const struct spool_facts *f);

struct spool_entry {
	uint64_t id;   // grows
	uint64_t note; // spool_put_behind's; 0
	uint64_t size;
	struct spool_facts facts;
};
uint32_t spool_count(const struct spool *s);
uint64_t spool_bytes(const struct spool *s);   // what they really take
uint64_t spool_samples(const struct spool *s); // of all bodies
uint64_t spool_damaged(
    const struct spool *s); // files that were not whole when they were taken over; removed
// The oldest, NULL where there is none; held until spool_remove or spool_let_go: it is not dropped
// meanwhile.
const struct spool_entry *spool_oldest(struct spool *s);
// Of the oldest: how many of SIZE bytes at AT, 0 at its end, -errno. Read from its start on, the
// last bytes are only given where all of it is as it was written; else -EBADMSG.
int64_t spool_read(struct spool *s, uint64_t at, void *bytes, size_t size);
void spool_remove(struct spool *s); // the oldest
void spool_let_go(struct spool *s);
// The oldest is let go, and is the last from now on (until the next start, of files); NOTE is kept
// in its entry.
void spool_put_behind(struct spool *s, uint64_t note);
