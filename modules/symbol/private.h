// SPDX-License-Identifier: Apache-2.0
// A job, as the room's files share it:
//
//   items  [ answered ... | group: same kind and owner, by address | not yet looked at ... ]
//                           ^from                                  ^to
//   in a group, items that the cache did not answer move to its front; their addresses go to one
//   source, which answers by index
#pragma once
#include "symbol.h"

#include "../base/base.h"
#include "cache.h"

#define SHOWN_MAX 512 // bytes of a name, with its NUL

struct symbol {
	struct symbol_options options;
	struct cache *cache;
	struct map debug_files; // binary id -> 0: has none, else the file's identity
	bool kernel_hidden;	// and that was said
};

struct item {
	uint64_t address;
	uint32_t owner;
	uint32_t index : 28, kind : 4;
};
#define ITEM_ANSWERED 15 // as kind

struct source {
	int (*step)(void *state, uint64_t budget_ns); // 1 more, 0 all answered, -errno
	void (*free)(void *state);
	void *state;
	int fd, debug_fd; // owned, -1: none
};

struct symbol_job {
	struct symbol *s;
	void (*found)(void *arg, uint32_t index, const struct symbol_answer *answer);
	void *arg;
	struct item *items;
	uint32_t count;
	enum { JOB_SORT, JOB_GROUP, JOB_LOOK, JOB_SOURCE, JOB_LEFT } phase;
	uint32_t heap, end;		     // of the sort
	uint32_t from, to, at, misses, left; // of the group
	uint32_t kind, owner;
	bool fresh;	     // of the misses one was never looked up
	uint64_t *addresses; // of the misses
	struct source source;
};

// Opens what can name the group's misses. False: nothing can.
bool source_open(struct symbol_job *job);
// The source has answered all that it can: RESULT of its step.
void source_done(struct symbol_job *job, int result);
// What it left gets stand-ins, until clock_now() reaches DEADLINE: false, there is more.
bool source_left(struct symbol_job *job, uint64_t deadline);
void source_free(struct symbol_job *job);
// Forgets what the cache knows of the group and may be wrong by now.
void source_freshen(struct symbol_job *job);
// May newer code than the cache knows be in the group's perf map? A source without misses tells it.
bool source_grows(const struct symbol_job *job);

// Gives the answer: what SYMBOL says, and the cache keeps it.
void answer_symbol(struct symbol_job *job, struct item *item, const struct elf_symbol *symbol);
// Gives the answer that the cache holds.
void answer_cached(
    struct symbol_job *job, struct item *item, struct owner *o, const struct range *r);
// Gives a stand-in: what is known of an address without a name.
void answer_unnamed(struct symbol_job *job, struct item *item);

// Kernel names from the kernel itself (ask.c); as a source.
bool ask_possible(const struct symbol *s);
void *ask_new(struct symbol_job *job);
int ask_step(void *state, uint64_t budget_ns);
void ask_free(void *state);
// The separate debug file of the binary (open as FD), or -ENOENT.
int debug_open(struct symbol *s, uint32_t binary, int fd);
// Our own vdso, the same for every process. NULL where there is none.
const void *vdso_image(size_t *size);
// How long an owner that has no symbols is left in peace; 0: it never is.
uint64_t retry_after(uint32_t kind);
// May an address without a name get one later?
bool changes(uint32_t kind);
