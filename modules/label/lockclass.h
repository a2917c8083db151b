// SPDX-License-Identifier: Apache-2.0
// What a thread that sleeps on a futex (OFF_MUTEX) waits for, told by the names of its frames: the
// kernel sees the same system call for a lock that is held and for a pool's thread without work.
#pragma once
#include <stdbool.h>
#include <stdint.h>

// id, name, what it waits for: for a HOLDER, another thread that has it (what a mutex profile
// counts); for WORK, whatever comes or another thread hands it; for OTHERS that are at the same
// work. Of a futex that no known function waits on NOBODY can tell.
/* clang-format off */
#define LOCK_CLASSES(X)                                                                            \
	X(FUTEX, "futex", NOBODY)                                                                  \
	X(MUTEX, "mutex", HOLDER)                                                                  \
	X(RWLOCK, "rwlock", HOLDER)                                                                \
	X(ONCE, "once", HOLDER)		/* another thread initialises */                           \
	X(CONDVAR, "condvar", WORK)	/* its mutex, taken back afterwards, is a mutex */         \
	X(SEMAPHORE, "semaphore", WORK)                                                            \
	X(BARRIER, "barrier", OTHERS)                                                              \
	X(JOIN, "join", WORK)                                                                      \
	X(PARK, "park", WORK)		/* executors, queues, latches: Java's and Rust's */        \
	X(MONITOR, "monitor", HOLDER)	/* Java's synchronized */                                  \
	X(MONITOR_WAIT, "monitor wait", WORK)                                                      \
	X(JAVA_LOCK, "java lock", HOLDER) /* parked by java.util.concurrent.locks */               \
	X(GO_LOCK, "go runtime", HOLDER)/* the runtime's own locks, not sync.Mutex */              \
	X(GO_IDLE, "go idle", WORK)	/* a thread without a goroutine */                         \
	X(PYTHON_GIL, "python gil", HOLDER)                                                        \
	X(PYTHON_LOCK, "python lock", HOLDER) /* RLock, the import lock, a file's */               \
	X(PYTHON_WAIT, "python wait", WORK) /* Lock, and Condition, Event, Queue made of it */
/* clang-format on */

enum lock_class {
#define X(id, name, waits_for) LOCK_##id,
	LOCK_CLASSES(X)
#undef X
	    LOCK_CLASS_COUNT
};

// Of the user part of a stack, leaf first, as the resolver names it (NULL: no name). Never fails:
// LOCK_FUTEX. Takes microseconds; looks at LOCK_DEPTH_MAX frames at most.
#define LOCK_DEPTH_MAX 32
enum lock_class lockclass_of(const char *const *names, uint32_t count);
// The class of a leaf's mark like "[kernel mutex]", or NULL: it is none.
const char *lockclass_of_kernel(const char *mark);
const char *lockclass_name(enum lock_class c);
bool lockclass_is_contention(enum lock_class c);
// Whether a mark is what stands between the stack that waits and, towards the leaf, the stack of who
// ended the wait: "[woken by x]", "[held by x]".
bool label_is_waker(const char *mark);

// Whether a thread that was off the CPU for REASON ("mutex": a name of bpf/reason.h), with the user
// part of its stack as lockclass_of takes it, only waited for work: for whatever comes, or as a
// thread of a pool, which another wakes.
bool label_is_idle(const char *reason, const char *const *names, uint32_t count);
