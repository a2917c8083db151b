// SPDX-License-Identifier: Apache-2.0
// What a thread that sleeps on a futex (OFF_MUTEX) waits for, told by the names of its frames: the
// kernel sees the same system call for a lock that is held and for a pool's thread without work.
#pragma once
#include <stdbool.h>
#include <stdint.h>

// id, name, whether another thread holds what it waits for (what a mutex profile counts). The
// others wait for something to happen; of a futex that no known function waits on nobody can tell.
/* clang-format off */
#define LOCK_CLASSES(X)                                                                            \
	X(FUTEX, "futex", false)                                                                   \
	X(MUTEX, "mutex", true)                                                                    \
	X(RWLOCK, "rwlock", true)                                                                  \
	X(ONCE, "once", true)		      /* another thread initialises */                     \
	X(CONDVAR, "condvar", false)	      /* its mutex, taken back afterwards, is a mutex */   \
	X(SEMAPHORE, "semaphore", false)                                                           \
	X(BARRIER, "barrier", false)                                                               \
	X(JOIN, "join", false)                                                                     \
	X(PARK, "park", false)		      /* executors, queues, latches: Java's and Rust's */  \
	X(MONITOR, "monitor", true)	      /* Java's synchronized */                            \
	X(MONITOR_WAIT, "monitor wait", false)                                                     \
	X(JAVA_LOCK, "java lock", true)	      /* parked by java.util.concurrent.locks */           \
	X(GO_LOCK, "go runtime", true)	      /* the runtime's own locks, not sync.Mutex */        \
	X(GO_IDLE, "go idle", false)	      /* a thread without a goroutine */                   \
	X(PYTHON_GIL, "python gil", true)                                                          \
	X(PYTHON_LOCK, "python lock", true)   /* RLock, the import lock, a file's */               \
	X(PYTHON_WAIT, "python wait", false)  /* Lock, and Condition, Event, Queue made of it */
/* clang-format on */

enum lock_class {
#define X(id, name, contention) LOCK_##id,
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
