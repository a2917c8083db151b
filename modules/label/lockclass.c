// SPDX-License-Identifier: Apache-2.0
// Names as stacks of waiting threads show them: glibc 2.36, libstdc++ 12, Rust 1.95, HotSpot 17,
// Go 1.26, CPython 3.8, 3.11 and 3.13. Those of other versions, of musl, libc++, libgomp, abseil,
// parking_lot and OpenJ9 are out of their sources.
#include "lockclass.h"

#include <ctype.h>
#include <stddef.h>
#include <string.h>
#include <strings.h>

#include "../../bpf/reason.h"

#define NAME_SIZE 256 // of a longer one the beginning

// How a name is compared, so that one row says it for every compiler and every version:
//
//   __GI___lll_lock_wait                                   lll_lock_wait
//   ___pthread_cond_timedwait64, pthread_mutex_lock@plt    pthread_cond_timedwait, ...
//   __new_sem_wait_slow64.constprop.0                      new_sem_wait_slow
//   void std::call_once<void (&)()>(std::once_flag&)       std.call_once
//   <std::sys::sync::mutex::futex::Mutex>::lock_contended  std.sys.sync.mutex.futex.Mutex....
//   Ljava/util/concurrent/locks/LockSupport;::park         Ljava.util.concurrent.locks....
//
// A row's name with a star at its end holds for what begins with it, with one in front for what
// ends with it.
//
// Of several frames with a row the one of the highest rank decides, and of equal ranks the one
// nearest to the leaf: a condition variable that takes its mutex back waits for the mutex, but a
// condition variable that a JVM's monitor is made of is a monitor. So only functions may have a
// rank that call nobody's code but that of lower ranks.
enum rank {
	SYSTEM,	 // stands between a wait and the kernel
	INITIAL, // calls what it was given: waits itself only where SYSTEM is all above it
	LIBRARY, // what libraries and languages bring, made of a futex
	RUNTIME, // a runtime's own, made of those
	REFINED, // tells two uses of one of a runtime's apart
};

struct row {
	const char *name;
	uint8_t len, class, rank;
};
#define ROW(name, class, rank)                                                                     \
	{                                                                                          \
		name, sizeof(name) - 1, class, rank                                                \
	}
static const struct row rows[] = {
    ROW("syscall", LOCK_FUTEX, SYSTEM),
    ROW("futex_wait*", LOCK_FUTEX, SYSTEM),
    ROW("futex_abstimed_wait*", LOCK_FUTEX, SYSTEM),
    ROW("*.futex.futex_wait", LOCK_FUTEX, SYSTEM),  // Rust
    ROW("*.ThreadParker.park", LOCK_FUTEX, SYSTEM), // parking_lot

    ROW("lll_lock_wait*", LOCK_MUTEX, LIBRARY),
    ROW("lll_mutex_lock*", LOCK_MUTEX, LIBRARY),
    ROW("lll_timedlock_wait", LOCK_MUTEX, LIBRARY),
    ROW("lll_clocklock_wait", LOCK_MUTEX, LIBRARY),
    ROW("lll_robust_*", LOCK_MUTEX, LIBRARY),
    ROW("futex_lock_pi*", LOCK_MUTEX, LIBRARY),
    ROW("pthread_mutex_lock*", LOCK_MUTEX, LIBRARY),
    ROW("pthread_mutex_timedlock", LOCK_MUTEX, LIBRARY),
    ROW("pthread_mutex_clocklock*", LOCK_MUTEX, LIBRARY),
    ROW("pthread_mutex_cond_lock*", LOCK_MUTEX, LIBRARY),
    ROW("mtx_lock", LOCK_MUTEX, LIBRARY),
    ROW("mtx_timedlock", LOCK_MUTEX, LIBRARY),
    ROW("gomp_mutex_lock*", LOCK_MUTEX, LIBRARY),
    ROW("*.mutex.lock", LOCK_MUTEX, LIBRARY), // std::mutex, std::__1::mutex
    ROW("*.recursive_mutex.lock", LOCK_MUTEX, LIBRARY),
    ROW("*.timed_mutex.lock", LOCK_MUTEX, LIBRARY),
    ROW("*.Mutex.lock_contended", LOCK_MUTEX, LIBRARY),
    ROW("*.ReentrantMutex.lock", LOCK_MUTEX, LIBRARY),
    ROW("*.RawMutex.lock_slow", LOCK_MUTEX, LIBRARY),
    ROW("*.WordLock.lock_slow", LOCK_MUTEX, LIBRARY),
    ROW("*.SpinLock.SlowLock", LOCK_MUTEX, LIBRARY),
    ROW("*.Mutex.LockSlow", LOCK_MUTEX, LIBRARY),
    ROW("*.Mutex.LockSlowLoop", LOCK_MUTEX, LIBRARY),
    ROW("*.Mutex.LockSlowWithDeadline", LOCK_MUTEX, LIBRARY),
    ROW("*.Mutex.AwaitCommon", LOCK_CONDVAR, RUNTIME), // a condition, made of LockSlowLoop

    ROW("LWLockAcquire*", LOCK_MUTEX, RUNTIME), // PostgreSQL's, made of a semaphore
    ROW("LWLockWaitForVar", LOCK_MUTEX, RUNTIME),

    ROW("pthread_rwlock_*", LOCK_RWLOCK, LIBRARY),
    ROW("*.shared_mutex.lock", LOCK_RWLOCK, LIBRARY),
    ROW("*.shared_mutex.lock_shared", LOCK_RWLOCK, LIBRARY),
    ROW("*.shared_timed_mutex.lock", LOCK_RWLOCK, LIBRARY),
    ROW("*.shared_timed_mutex.lock_shared", LOCK_RWLOCK, LIBRARY),
    ROW("*.RwLock.read_contended", LOCK_RWLOCK, LIBRARY),
    ROW("*.RwLock.write_contended", LOCK_RWLOCK, LIBRARY),
    ROW("*.RawRwLock.lock_shared_slow", LOCK_RWLOCK, LIBRARY),
    ROW("*.RawRwLock.lock_exclusive_slow", LOCK_RWLOCK, LIBRARY),
    ROW("*.RawRwLock.lock_upgradable_slow", LOCK_RWLOCK, LIBRARY),
    ROW("*.RawRwLock.lock_common", LOCK_RWLOCK, LIBRARY),
    ROW("*.RawRwLock.upgrade_slow", LOCK_RWLOCK, LIBRARY),
    ROW("*.RawRwLock.wait_for_readers", LOCK_RWLOCK, LIBRARY),

    ROW("pthread_cond_wait*", LOCK_CONDVAR, LIBRARY),
    ROW("pthread_cond_timedwait", LOCK_CONDVAR, LIBRARY),
    ROW("pthread_cond_clockwait", LOCK_CONDVAR, LIBRARY),
    ROW("cnd_wait", LOCK_CONDVAR, LIBRARY),
    ROW("cnd_timedwait", LOCK_CONDVAR, LIBRARY),
    ROW("*.condition_variable.wait", LOCK_CONDVAR, LIBRARY),
    ROW("*.__condvar.wait", LOCK_CONDVAR, LIBRARY),
    ROW("*.Condvar.wait", LOCK_CONDVAR, LIBRARY),
    ROW("*.Condvar.wait_timeout", LOCK_CONDVAR, LIBRARY),
    ROW("*.Condvar.wait_optional_timeout", LOCK_CONDVAR, LIBRARY),
    ROW("*.Condvar.wait_until_internal", LOCK_CONDVAR, LIBRARY),
    ROW("*.CondVar.WaitCommon", LOCK_CONDVAR, LIBRARY),
    ROW("*.__atomic_futex_unsigned_base._M_futex_wait_until", LOCK_CONDVAR, LIBRARY), // std::future
    ROW("*.__atomic_futex_unsigned_base._M_futex_wait_until_steady", LOCK_CONDVAR, LIBRARY),

    ROW("sem_wait", LOCK_SEMAPHORE, LIBRARY),
    ROW("sem_timedwait", LOCK_SEMAPHORE, LIBRARY),
    ROW("sem_clockwait", LOCK_SEMAPHORE, LIBRARY),
    ROW("new_sem_wait*", LOCK_SEMAPHORE, LIBRARY),
    ROW("old_sem_wait", LOCK_SEMAPHORE, LIBRARY),
    ROW("gomp_sem_wait*", LOCK_SEMAPHORE, LIBRARY),
    ROW("*.__atomic_semaphore._M_acquire", LOCK_SEMAPHORE, LIBRARY),
    ROW("*.counting_semaphore.acquire", LOCK_SEMAPHORE, LIBRARY),
    ROW("*.counting_semaphore.try_acquire_for", LOCK_SEMAPHORE, LIBRARY),
    ROW("*.counting_semaphore.try_acquire_until", LOCK_SEMAPHORE, LIBRARY),

    ROW("pthread_barrier_wait", LOCK_BARRIER, LIBRARY),
    ROW("gomp_barrier_wait*", LOCK_BARRIER, LIBRARY),
    ROW("gomp_team_barrier_wait*", LOCK_BARRIER, LIBRARY),
    ROW("*.__tree_barrier.wait", LOCK_BARRIER, LIBRARY),
    ROW("*.barrier.wait", LOCK_BARRIER, LIBRARY),
    ROW("*.barrier.arrive_and_wait", LOCK_BARRIER, LIBRARY),
    ROW("*.latch.wait", LOCK_BARRIER, LIBRARY),
    ROW("*.barrier.Barrier.wait", LOCK_BARRIER, RUNTIME),

    ROW("pthread_join", LOCK_JOIN, LIBRARY),
    ROW("pthread_timedjoin*", LOCK_JOIN, LIBRARY),
    ROW("pthread_clockjoin*", LOCK_JOIN, LIBRARY),
    ROW("thrd_join", LOCK_JOIN, LIBRARY),
    ROW("*.thread.join", LOCK_JOIN, LIBRARY),
    ROW("*.Thread.join", LOCK_JOIN, LIBRARY),

    ROW("pthread_once*", LOCK_ONCE, INITIAL),
    ROW("call_once", LOCK_ONCE, INITIAL),
    ROW("std.call_once", LOCK_ONCE, INITIAL),
    ROW("cxa_guard_acquire", LOCK_ONCE, LIBRARY),
    ROW("*.Once.call", LOCK_ONCE, INITIAL),
    ROW("*.Once.call_inner", LOCK_ONCE, INITIAL),
    ROW("*.Once.call_once_slow", LOCK_ONCE, INITIAL),
    ROW("*.Once.wait", LOCK_ONCE, LIBRARY),

    ROW("Unsafe_Park", LOCK_PARK, RUNTIME),
    ROW("*Parker.park", LOCK_PARK, RUNTIME), // HotSpot's and Rust's
    ROW("*Parker.park_timeout", LOCK_PARK, RUNTIME),
    ROW("*.Unsafe.park", LOCK_PARK, RUNTIME),
    ROW("*.LockSupport.park", LOCK_PARK, RUNTIME),
    ROW("*.LockSupport.parkNanos", LOCK_PARK, RUNTIME),
    ROW("*.LockSupport.parkUntil", LOCK_PARK, RUNTIME),
    ROW("omrthread_park", LOCK_PARK, RUNTIME),
    ROW("*.Thread.park", LOCK_PARK, RUNTIME),
    ROW("*.Thread.park_timeout", LOCK_PARK, RUNTIME),
    ROW("std.thread.park*", LOCK_PARK, RUNTIME),
    ROW("std.thread.functions.park*", LOCK_PARK, RUNTIME),
    ROW("*.context.Context.wait_until", LOCK_PARK, RUNTIME), // Rust's channels
    ROW("*.locks.ReentrantLock.lock", LOCK_JAVA_LOCK, REFINED),
    ROW("*.ReentrantLock.lockInterruptibly", LOCK_JAVA_LOCK, REFINED),
    ROW("*.ReentrantLock.tryLock", LOCK_JAVA_LOCK, REFINED),
    ROW("*.ReentrantLock$Sync.lock", LOCK_JAVA_LOCK, REFINED),
    ROW("*.ReentrantLock$NonfairSync.lock", LOCK_JAVA_LOCK, REFINED),
    ROW("*.ReentrantLock$FairSync.lock", LOCK_JAVA_LOCK, REFINED),
    ROW("*.ReentrantReadWriteLock$ReadLock.lock", LOCK_JAVA_LOCK, REFINED),
    ROW("*.ReentrantReadWriteLock$WriteLock.lock", LOCK_JAVA_LOCK, REFINED),
    // What compiled code has of these, which are short and so inlined; a semaphore has others.
    ROW("*.AbstractQueuedSynchronizer.acquire(int)", LOCK_JAVA_LOCK, REFINED),
    ROW("*.AbstractQueuedSynchronizer.acquireQueued", LOCK_JAVA_LOCK, REFINED), // before 17
    ROW("*.AbstractQueuedSynchronizer.acquireInterruptibly", LOCK_JAVA_LOCK, REFINED),
    ROW("*.AbstractQueuedSynchronizer.doAcquireInterruptibly", LOCK_JAVA_LOCK, REFINED),
    ROW("*.AbstractQueuedSynchronizer.tryAcquireNanos", LOCK_JAVA_LOCK, REFINED),
    ROW("*.AbstractQueuedSynchronizer.doAcquireNanos", LOCK_JAVA_LOCK, REFINED),
    ROW("*.StampedLock.acquireRead", LOCK_JAVA_LOCK, REFINED),
    ROW("*.StampedLock.acquireWrite", LOCK_JAVA_LOCK, REFINED),

    // Waiting ends with taking the monitor back, by one of those that enter.
    ROW("ObjectMonitor.enter*", LOCK_MONITOR, RUNTIME),
    ROW("ObjectMonitor.reenter*", LOCK_MONITOR, RUNTIME),
    ROW("ObjectMonitor.EnterI", LOCK_MONITOR, RUNTIME),
    ROW("ObjectMonitor.ReenterI", LOCK_MONITOR, RUNTIME),
    ROW("ObjectSynchronizer.enter*", LOCK_MONITOR, RUNTIME),
    ROW("ObjectSynchronizer.jni_enter", LOCK_MONITOR, RUNTIME),
    ROW("ObjectSynchronizer.fast_enter", LOCK_MONITOR, RUNTIME),
    ROW("ObjectSynchronizer.slow_enter", LOCK_MONITOR, RUNTIME),
    ROW("JvmtiRawMonitor.raw_enter", LOCK_MONITOR, RUNTIME),
    ROW("JvmtiRawMonitor.simple_enter", LOCK_MONITOR, RUNTIME),
    ROW("omrthread_monitor_enter*", LOCK_MONITOR, RUNTIME),
    ROW("monitor_enter_three_tier", LOCK_MONITOR, RUNTIME),
    ROW("objectMonitorEnter*", LOCK_MONITOR, REFINED), // made of a wait
    ROW("ObjectMonitor.wait", LOCK_MONITOR_WAIT, RUNTIME),
    ROW("ObjectSynchronizer.wait*", LOCK_MONITOR_WAIT, RUNTIME),
    ROW("JVM_MonitorWait", LOCK_MONITOR_WAIT, RUNTIME),
    ROW("JvmtiRawMonitor.raw_wait", LOCK_MONITOR_WAIT, RUNTIME),
    ROW("JvmtiRawMonitor.simple_wait", LOCK_MONITOR_WAIT, RUNTIME),
    ROW("omrthread_monitor_wait*", LOCK_MONITOR_WAIT, RUNTIME),

    // Every thread of Go's sleeps in futexsleep; only lock2 (lock before 1.15) waits for another,
    // all other ways there are stopm, mPark, stoplockedm, findRunnable, templateThread, sysmon.
    ROW("runtime.lock2", LOCK_GO_LOCK, RUNTIME),
    ROW("runtime.lock", LOCK_GO_LOCK, RUNTIME),
    ROW("runtime.lockWithRank*", LOCK_GO_LOCK, RUNTIME),
    ROW("runtime.futex*", LOCK_GO_IDLE, LIBRARY),
    ROW("runtime.notesleep", LOCK_GO_IDLE, LIBRARY),
    ROW("runtime.notetsleep*", LOCK_GO_IDLE, LIBRARY),
    ROW("runtime.stopm", LOCK_GO_IDLE, LIBRARY), // where the assembler's frames have no name

    ROW("take_gil", LOCK_PYTHON_GIL, RUNTIME),
    ROW("drop_gil*", LOCK_PYTHON_GIL, RUNTIME), // waits until another has taken it
    ROW("PyEval_RestoreThread", LOCK_PYTHON_GIL, RUNTIME),
    ROW("PyEval_AcquireThread", LOCK_PYTHON_GIL, RUNTIME),
    ROW("PyEval_AcquireLock", LOCK_PYTHON_GIL, RUNTIME),
    ROW("PyThread_acquire_lock*", LOCK_PYTHON_WAIT, RUNTIME),
    ROW("PyParkingLot_Park", LOCK_PYTHON_WAIT, RUNTIME),
    ROW("PyMutex_LockTimed", LOCK_PYTHON_WAIT, RUNTIME),
    ROW("ThreadHandle_join", LOCK_JOIN, REFINED),
    ROW("rlock_acquire*", LOCK_PYTHON_LOCK, REFINED),
    ROW("PyImport_AcquireLock", LOCK_PYTHON_LOCK, REFINED),
    ROW("enter_buffered_busy", LOCK_PYTHON_LOCK, REFINED),
    ROW("PyRecursiveMutex_LockTimed", LOCK_PYTHON_LOCK, REFINED),
    ROW("PyMutex_Lock", LOCK_PYTHON_LOCK, REFINED), // the interpreter's own
    ROW("PyMutex_LockFlags", LOCK_PYTHON_LOCK, REFINED),
    ROW("PyMutex_LockSlow", LOCK_PYTHON_LOCK, REFINED),
    ROW("PyRWMutex_RLock", LOCK_PYTHON_LOCK, REFINED),
    ROW("PyRWMutex_Lock", LOCK_PYTHON_LOCK, REFINED),
};

// What compilers put behind a function that they cloned. Others are part of a name: Go's have dots.
static bool is_clone(const char *dot)
{
	static const char *const marks[] = {
	    ".isra.", ".constprop.", ".part.", ".cold", ".lto_priv.", ".llvm.", ".localalias"};
	for (size_t i = 0; i < sizeof(marks) / sizeof(*marks); i++)
		if (!strncmp(dot, marks[i], strlen(marks[i])))
			return true;
	return false;
}

// The qualified name alone, with dots, into OUT: without the type that it returns, without the
// arguments of functions and templates.
static void name_alone(const char *name, char out[NAME_SIZE])
{
	size_t n = 0;
	uint32_t nested = 0;
	for (const char *c = name; *c && n < NAME_SIZE - 1; c++) {
		if (*c == '<') { // "<T>::f" is of T; later they are arguments
			nested += nested || n;
		} else if (*c == '>') {
			nested -= nested > 0;
		} else if (nested || *c == ';') {
			continue;
		} else if (*c == '(' || *c == '@' || (*c == ' ' && (c[1] == '[' || c[1] == '('))) {
			break;
		} else if (*c == ' ') {
			n = 0;
		} else if (*c == '.' || *c == '/' || (*c == ':' && c[1] == ':')) {
			if (is_clone(c))
				break;
			c += *c == ':';
			if (n && out[n - 1] != '.')
				out[n++] = '.';
		} else {
			out[n++] = *c;
		}
	}
	n -= n && out[n - 1] == '.';
	out[n] = 0;
}

// NAME as rows write it, in BUFFER.
static const char *plain(const char *name, char buffer[NAME_SIZE])
{
	name_alone(name, buffer);
	char *p = buffer + strspn(buffer, "_");
	if (p > buffer && !strncmp(p, "GI_", 3))
		p += 3 + strspn(p + 3, "_");
	size_t n = strlen(p);
	if (n > 2 && !strcmp(p + n - 2, "64") && !strchr(p, '.'))
		p[n - 2] = 0;
	// Of two of HotSpot's of this name the other one is a semaphore's too.
	static const char own[] = "AbstractQueuedSynchronizer.acquire(int)";
	size_t behind = sizeof("(int)") - 1, whole = strlen(name);
	if (whole >= sizeof(own) && !strcmp(name + whole - (sizeof(own) - 1), own) &&
	    n + behind < NAME_SIZE - (size_t)(p - buffer))
		memcpy(p + n, "(int)", behind + 1);
	return p;
}

static const struct row *row_of(const char *name)
{
	size_t n = strlen(name);
	for (size_t i = 0; n && i < sizeof(rows) / sizeof(*rows); i++) {
		const char *want = rows[i].name;
		size_t len = rows[i].len;
		if (want[0] == '*') {
			if (n >= len - 1 && !memcmp(name + n - (len - 1), want + 1, len - 1))
				return &rows[i];
		} else if (want[len - 1] == '*') {
			if (!strncmp(name, want, len - 1))
				return &rows[i];
		} else if (n == len && !memcmp(name, want, n)) {
			return &rows[i];
		}
	}
	return NULL;
}

enum lock_class lockclass_of(const char *const *names, uint32_t count)
{
	const struct row *best = NULL;
	bool at_leaf = true; // so far nothing that could wait by itself
	for (uint32_t i = 0; i < count && i < LOCK_DEPTH_MAX; i++) {
		char buffer[NAME_SIZE];
		bool named = names[i] && *names[i] && *names[i] != '[';
		const char *name = named ? plain(names[i], buffer) : "";
		// A signal's handler waits: what was interrupted does not.
		if (!strcmp(name, "restore_rt") || !strcmp(name, "kernel_rt_sigreturn"))
			break;
		const struct row *row = row_of(name);
		at_leaf = at_leaf && (row || !named);
		if (row && (row->rank != INITIAL || at_leaf) && (!best || row->rank > best->rank))
			best = row;
	}
	return best ? best->class : LOCK_FUTEX;
}

const char *lockclass_of_kernel(const char *mark)
{
	static const char *const names[] = {
#define X(id, name) name,
	    KERNEL_LOCKS(X)
#undef X
	};
	size_t n = strlen(mark);
	for (size_t i = 0; n > 2 && i < sizeof(names) / sizeof(*names); i++)
		if (strlen(names[i]) == n - 2 && !memcmp(mark + 1, names[i], n - 2))
			return names[i];
	return NULL;
}

enum waits_for { NOBODY, HOLDER, WORK, OTHERS };
static const struct {
	const char *name;
	enum waits_for waits_for;
} classes[] = {
#define X(id, name, waits_for) {name, waits_for},
    LOCK_CLASSES(X)
#undef X
};

const char *lockclass_name(enum lock_class c)
{
	return classes[c].name;
}

bool lockclass_is_contention(enum lock_class c)
{
	return classes[c].waits_for == HOLDER;
}

// Whether NAME is WAIT, or ends in it behind something else than a letter.
static bool ends_in(const char *name, const char *wait)
{
	size_t n = strlen(wait), len = strlen(name);
	return len >= n && !strcasecmp(name + len - n, wait) &&
	       (len == n || !isalpha((unsigned char)name[len - n - 1]));
}

// Whether one of the first DEPTH names is one of WAITS, as it is written (Go's methods) or plain.
static bool is_in(
    const char *const *names, uint32_t count, uint32_t depth, const char *const *waits)
{
	for (uint32_t i = 0; i < count && i < depth; i++) {
		char buffer[NAME_SIZE];
		const char *name = names[i] ? plain(names[i], buffer) : "";
		for (const char *const *wait = waits; names[i] && *wait; wait++)
			if (ends_in(name, *wait) || ends_in(names[i], *wait))
				return true;
	}
	return false;
}

bool label_is_waker(const char *mark)
{
	return !strncmp(mark, "[held by ", 9) || !strncmp(mark, "[woken by ", 10);
}

bool label_is_idle(const char *reason, const char *const *names, uint32_t count)
{
	static const char *const accepts[] = {"accept", "accept4", NULL};
	static const char *const ends[] = {"wait4", "waitid", "waitpid", "sigwait", "sigwaitinfo",
	    "sigtimedwait", "sigsuspend", "pause", NULL};
	if (!strcmp(reason, "waiting"))
		return true;
	if (!strcmp(reason, "network"))
		return is_in(names, count, 6, accepts);
	if (!strcmp(reason, "sync"))
		return is_in(names, count, 4, ends);
	return !strcmp(reason, "mutex") && classes[lockclass_of(names, count)].waits_for == WORK;
}
