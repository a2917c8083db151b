// SPDX-License-Identifier: Apache-2.0
// What the queue and its two stores share; private to this room.
//
//   first -> body -> body -> ... -> last       oldest to newest
//   writing: one more, not in the queue yet
//
//   memory  a body is a list of chunks, the last one cut to what it holds
//   files   DIRECTORY/00000000000000000042.spool (.tmp-... until it is whole): a head of 64 bytes,
//   the body
#pragma once
#include "spool.h"
#include "../base/base.h"

struct chunk {
	struct chunk *next;
	uint32_t room, used;
	uint8_t bytes[];
};
struct body {
	struct body *next; // a newer one
	struct spool_entry entry;
	uint64_t room;		    // bytes that it really takes
	struct chunk *first, *last; // of memory
};
struct spool {
	struct spool_options options; // the directory's name is ours
	struct body *first, *last;
	uint32_t count;
	bool held;		// the first is
	uint64_t room, samples; // of all in the queue
	struct body *writing;	// NULL: none
	uint64_t next_id, damaged;
	// Files. Descriptors are -1 where they are not open.
	int directory, file, reading; // being written, being read
	uint8_t *buffer;	      // of the file being written
	uint32_t buffered, crc;	      // bytes in it; of what the file holds
	bool syncing, named;	      // the file being written has its name, which is synchronised
	struct sync sync;
	uint64_t checked; // of the body being read, from its start
	uint32_t checked_crc;
};

// Lets the oldest go that is not held: false where there is none.
bool spool_drop(struct spool *s);
void spool_append(struct spool *s, struct body *b);

int spool_memory_write(struct spool *s, const void *bytes, size_t n);
uint64_t spool_memory_room(const struct body *b, size_t n); // that B takes with N bytes more
void spool_memory_end(struct spool *s);
void spool_memory_free(struct body *b);
int64_t spool_memory_read(const struct body *b, uint64_t at, void *bytes, size_t size);

int files_open(
    struct spool *s, char *why, size_t why_size); // 0 or -errno; takes over what is there
void files_close(struct spool *s);
int files_begin(struct spool *s);
int files_write(struct spool *s, const void *bytes, size_t n);
int files_end(struct spool *s); // 1 more, 0 in its place, -errno
void files_abort(struct spool *s);
void files_remove(struct spool *s, const struct body *b);
int64_t files_read(struct spool *s, const struct body *b, uint64_t at, void *bytes, size_t size);
void files_let_go(struct spool *s);
uint64_t files_room(uint64_t size); // that a body of SIZE bytes takes on a disk
