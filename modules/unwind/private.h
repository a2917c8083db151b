// SPDX-License-Identifier: Apache-2.0
// What the files of the store share.
#pragma once
#include "unwind.h"
#include "block.h"
#include "load.h"
#include "publish.h"
#include "store.h"
#include "../base/base.h"
#include "../kernel/kernel.h"

// Rest is one to two turns. A walk checks the place that it read by once it is done, so that rest
// only spares it a second try.
#define TURN_NS (100 * NS_PER_MS)
#define SWEEP_NS NS_PER_S
#define RECENT_S 2     // what was used or loaded since is never let go
#define PUBLISHED_S 60 // a process counts as used so long after it was published: nobody tells
#define QUEUE_MAX 256

struct unwind {
	struct unwind_options options;
	struct store store;
	struct pool *windows, *slots;
	struct map files;		 // key -> struct file
	struct file *owner[WINDOWS_MAX]; // of each window
	struct map publications;	 // pid -> struct publication
	struct publication *changed, **changed_last, *publishing;
	uint32_t changed_count;
	uint16_t queue[QUEUE_MAX]; // windows, first in first out
	uint32_t queued;
	struct load load;
	const void *vdso;
	size_t vdso_size;
	uint64_t vdso_delta; // its link-time addresses less the offsets in it
	uint32_t mark;
	uint64_t turn_ns, sweep_ns; // when the next is due
	int busy;		    // something is in hand: unwind_shrink must leave all alone
	bool told;		    // on_busy was called
	uint64_t page;
	struct unwind_figures figures; // those that are sums
};

uint32_t now_s(void);

// unwind.c
void unwind_tell(struct unwind *u);
// Lets go the longest unused window, or process for PAGE_MAPPINGS; false: none may go. Any: a
// window if there is one, for a process is small, and nobody knows if it is in use.
bool unwind_evict(struct unwind *u, enum page_kind kind);
bool unwind_evict_any(struct unwind *u);
uint32_t unwind_idle_pages(const struct unwind *u); // of rows that may go
// One file must not hold all: of the one that has most pages of rows a window goes for one of F
// that takes PAGES, though it is in use, unless F would have more than the other then.
bool unwind_take(struct unwind *u, const struct file *f, uint32_t pages);
uint32_t unwind_spare_pages(const struct unwind *u, const struct file *f); // that may go so
// Is there room for BYTES of our own, and for one more in M (NULL: none)? If not, something goes.
bool unwind_room(struct unwind *u, const struct map *m, uint64_t bytes);
void window_set(struct unwind *u, uint32_t window, enum window_state state);
void window_load(struct unwind *u, uint32_t window, const struct region *r, uint32_t dictionary);
void window_unload(struct unwind *u, uint32_t window);
