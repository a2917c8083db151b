// SPDX-License-Identifier: Apache-2.0
// Threads that are off the CPU, with the stack that was taken once of their block: the kernel tells
// the time that it bears later, in pieces, perhaps windows later.
//
//   tid -> thread: block, whose it is, reason, object
//            -> stack: places of its frames, leaf first, and the marks at its ends;
//               shared by threads that wait alike
//
// Once it is woken, where that is asked for, who did is a part of its stack, above the rest:
//
//   places   [ waker's, leaf first | the thread's own, leaf first ]      waker_kind, waker_comm
//             0 ...                  waker_count ...          count
//
// A stack that a look took comes at once, while the ring still holds what was before it, of the
// same thread too: it does not replace what came in order, nor is replaced by that.
//
// Places, not addresses: what an address means was asked when the stack was taken, and does not
// change while the thread stands still. Bounded in bytes; the thread not heard of for longest goes
// first, and what is told of it later finds nothing (OFF_UNSEEN).
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../../bpf/record.h"
#include "../process/process.h"

#define BLOCKED_MARKS 4 // of a waker's stack the first two

struct blocked;
// Equal content is one stack: what profiles know it by is the same for all of its threads.
struct blocked_stack {
	uint32_t count; // places
	// The caller's: what profiles of the window numbered `window` know it by; 0 of a new stack.
	uint32_t window, stack_id;
	// Ends, as path/take.c numbers them, behind frame `at`: marks[0] of the kernel part,
	// marks[1] of the user part; 0: none. Of one that was woken the next two are these.
	uint8_t marks[BLOCKED_MARKS];
	uint16_t mark_at[BLOCKED_MARKS];
	uint16_t waker_count;
	uint8_t waker_kind; // enum waker_kind; WAKER_NONE: the rest of it is empty
	char waker_comm[COMM_LEN];
	struct place places[];
};
struct blocked_thread {
	uint32_t pid, tid, block;
	uint32_t process; // process.id
	uint64_t object;
	struct blocked_stack *stack;
	uint32_t window, subject_id; // the caller's, as those of the stack; 0 after blocked_put
	uint8_t reason;		     // enum off_reason
	char comm[COMM_LEN], process_comm[COMM_LEN]; // as in the record: perhaps without a NUL
};

// Takes at most BYTES of ACCOUNT_PATH. NULL + ENOMEM, or EINVAL: BYTES hold not even nothing.
struct blocked *blocked_new(uint64_t bytes);
void blocked_free(struct blocked *b);
// The thread of SAMPLE stands at the places (copied, HEAD's count of them, its marks as above; what
// is the caller's is not looked at). Replaces what was known of it, or, where a look took it, of
// that block. NULL + ENOMEM: then nothing is known of it; NULL + EINVAL: a sample of no block, more
// than PROFILE_STACK_MAX places, or marks beyond them. Valid until the next blocked_put, _find or
// _forget, also across allocations.
struct blocked_thread *blocked_put(struct blocked *b, const struct record_sample *sample,
    uint32_t process, const struct blocked_stack *head, const struct place *places);
// T, which blocked_find gave, was woken: by the one that stands at PLACES (HEAD's count of them;
// its marks, waker_kind and waker_comm; what lies behind them, up to PLACES_MAX, is written to).
// Once of each block. False + ENOMEM, or EINVAL as above: it stays what it was. T is not valid any
// more.
bool blocked_wake(struct blocked *b, struct blocked_thread *t, const struct blocked_stack *head,
    struct place *places, uint32_t places_max);
// NULL: nothing is known of that block. Valid as above.
struct blocked_thread *blocked_find(struct blocked *b, uint32_t pid, uint32_t tid, uint32_t block);
// That block is over. BLOCK 0: the last one that came in order.
void blocked_forget(struct blocked *b, uint32_t tid, uint32_t block);
// STACK stays until it is released as often; false: those that do take half of the room already.
bool blocked_hold(struct blocked *b, struct blocked_stack *stack);
void blocked_release(struct blocked *b, struct blocked_stack *stack);
uint32_t blocked_count(const struct blocked *b);   // threads
uint32_t blocked_stacks(const struct blocked *b);  // different ones among them
uint64_t blocked_bytes(const struct blocked *b);   // held
uint64_t blocked_evicted(const struct blocked *b); // threads, since the start, for want of room
// For budget: the longest unheard go, but never the thread that was given last; bytes freed.
uint64_t blocked_shrink(void *b, uint64_t need);
