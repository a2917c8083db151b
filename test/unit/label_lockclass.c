// SPDX-License-Identifier: Apache-2.0
// What threads wait for, by stacks as they were seen in real programs, and names as they are
// written.
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>

#include "../../modules/base/base.h"
#include "../../modules/label/lockclass.c"

static const struct {
	enum lock_class class;
	const char *stack; // leaf first
} stacks[] = {
    // glibc, with the symbols of its debug file, and stripped, and static.
    {LOCK_MUTEX, "futex_wait|__GI___lll_lock_wait|___pthread_mutex_lock|f0|start_thread|clone3"},
    {LOCK_MUTEX, "[libc.so.6+0x85610]|pthread_mutex_lock|worker|[libc.so.6+0x89044]"},
    {LOCK_MUTEX, "__lll_lock_wait|pthread_mutex_lock@plt|worker|start_thread"},
    {LOCK_MUTEX, "__futex_lock_pi64|__pthread_mutex_lock_full|___pthread_mutex_lock|f12"},
    {LOCK_MUTEX, "__futex_abstimed_wait_common|__GI___futex_abstimed_wait64|__futex_clocklock64|"
		 "__pthread_mutex_clocklock_common|___pthread_mutex_timedlock64|f1"},
    {LOCK_RWLOCK, "__futex_abstimed_wait_common|__pthread_rwlock_wrlock_full64|"
		  "___pthread_rwlock_timedwrlock64|f15"},
    {LOCK_RWLOCK, "__futex_abstimed_wait_common|pthread_rwlock_rdlock|f2"},
    {LOCK_CONDVAR, "__futex_abstimed_wait_common64|__futex_abstimed_wait_common|"
		   "__GI___futex_abstimed_wait_cancelable64|__pthread_cond_wait_common|"
		   "___pthread_cond_clockwait64|f6"},
    {LOCK_CONDVAR, "[libc.so.6+0x85d36]|pthread_cond_timedwait|pool"},
    {LOCK_MUTEX, "__lll_lock_wait|__pthread_mutex_cond_lock|pthread_cond_wait|pool"},
    {LOCK_SEMAPHORE, "__futex_abstimed_wait_common|__new_sem_wait_slow64.constprop.0|f7"},
    {LOCK_SEMAPHORE, "__futex_abstimed_wait_common64|do_futex_wait.constprop.1|sem_timedwait|f8"},
    {LOCK_BARRIER, "futex_wait|___pthread_barrier_wait|f9"},
    {LOCK_JOIN, "__futex_abstimed_wait_common|__pthread_clockjoin_ex|f11"},
    {LOCK_ONCE, "futex_wait|futex_wait_simple|__pthread_once_slow|___pthread_once|f10"},
    {LOCK_ONCE, "[libc.so.6+0x85610]|[libc.so.6+0x8f3a2]|pthread_once|f10"},
    {LOCK_FUTEX, "syscall|own_wait|slow|__pthread_once_slow|___pthread_once|f10"},
    {LOCK_FUTEX, "syscall|handler|__restore_rt|pthread_cond_wait|pool"},
    // C++
    {LOCK_MUTEX, "__lll_lock_wait|pthread_mutex_lock|std::mutex::lock()|main::{lambda()#1}"},
    {LOCK_MUTEX, "[app+0x12]|std::__1::mutex::lock()|work(std::condition_variable&)"},
    {LOCK_MUTEX, "[app+0x12]|std::recursive_mutex::lock()|work()"},
    {LOCK_RWLOCK, "[app+0x12]|std::shared_mutex::lock_shared()|work()"},
    {LOCK_CONDVAR, "pthread_cond_wait@@GLIBC_2.3.2|"
		   "std::condition_variable::wait(std::unique_lock<std::mutex>&)|work()"},
    {LOCK_CONDVAR, "[app+0x12]|std::condition_variable::wait(std::unique_lock<std::mutex>&)|work"},
    {LOCK_CONDVAR, "[app+0x1]|void std::_V2::condition_variable::wait<std::unique_lock<std::mutex> "
		   ">(std::unique_lock<std::mutex>&)|work"},
    {LOCK_CONDVAR, "syscall|std::__atomic_futex_unsigned_base::_M_futex_wait_until(unsigned int*, "
		   "unsigned int, "
		   "bool, std::chrono::duration<long, std::ratio<1l, 1l> >)|get"},
    {LOCK_JOIN, "[libc.so.6+0x8a3b3]|std::thread::join()|main"},
    {LOCK_ONCE, "syscall|__cxa_guard_acquire|getinit()|main::{lambda()#2}::operator()() const"},
    {LOCK_ONCE, "__pthread_once_slow|void std::call_once<void (&)()>(std::once_flag&, void (&)())"},
    {LOCK_BARRIER, "syscall|void std::__atomic_wait_address<int, std::latch::wait() "
		   "const::{lambda()#1}>(int const*, std::latch::wait() const::{lambda()#1})|"
		   "std::latch::wait() const|work"},
    {LOCK_SEMAPHORE, "syscall|std::__atomic_semaphore::_M_acquire()|work"},
    {LOCK_MUTEX, "AbslInternalPerThreadSemWait_lts_20240116|absl::lts_20240116::Mutex::Block(a*)|"
		 "absl::lts_20240116::Mutex::LockSlowLoop(a*, int)|work"},
    {LOCK_CONDVAR, "absl::Mutex::LockSlowLoop(a*, int)|absl::Mutex::AwaitCommon(a const&, b)|work"},
    {LOCK_FUTEX, "syscall|void wait_on<std::mutex>(std::mutex::lock*)|work"},
    // Rust, by both manglings
    {LOCK_MUTEX, "syscall|std::sys::sync::mutex::futex::Mutex::lock_contended|ru::main"},
    {LOCK_MUTEX, "syscall|<std::sys::sync::mutex::futex::Mutex>::lock_contended|ru::main"},
    {LOCK_ONCE, "syscall|std::sys::pal::unix::futex::futex_wait|<std::sync::futex::Once>::call|a"},
    {LOCK_MUTEX, "syscall|<parking_lot::raw_mutex::RawMutex>::lock_slow|ru::main"},
    {LOCK_RWLOCK, "syscall|std::sys::sync::rwlock::futex::RwLock::write_contended|ru::main"},
    {LOCK_CONDVAR, "syscall|std::sys::sync::condvar::futex::Condvar::wait_optional_timeout|"
		   "std::sync::poison::condvar::Condvar::wait_timeout::<i32>|ru::main"},
    {LOCK_BARRIER, "syscall|<std::sys::sync::condvar::futex::Condvar>::wait|"
		   "<std::sync::barrier::Barrier>::wait|ru::main"},
    {LOCK_ONCE, "syscall|std::sys::sync::once::futex::Once::call|ru::main"},
    {LOCK_FUTEX, "syscall|std::sys::pal::unix::futex::futex_wait|own|"
		 "std::sys::sync::once::futex::Once::call|ru::main"},
    {LOCK_PARK, "syscall|std::thread::thread::Thread::park|std::thread::functions::park|ru::main"},
    {LOCK_PARK, "syscall|<std::sync::mpmc::context::Context>::wait_until|ru::main"},
    {LOCK_PARK, "pthread_cond_wait|tokio::runtime::park::Parker::park|worker"},
    {LOCK_JOIN, "__pthread_clockjoin_ex|std::sys::thread::unix::Thread::join|ru::main"},
    // Java
    {LOCK_MONITOR,
	"__pthread_cond_wait_common|___pthread_cond_timedwait64|"
	"os::PlatformEvent::park(long)|ObjectMonitor::EnterI(JavaThread*)|"
	"ObjectMonitor::enter(JavaThread*)|ObjectSynchronizer::enter(Handle, BasicLock*, "
	"JavaThread*)|InterpreterRuntime::monitorenter(JavaThread*, BasicObjectLock*)"},
    {LOCK_MONITOR_WAIT, "pthread_cond_wait|os::PlatformEvent::park()|ObjectMonitor::wait(long, "
			"bool, JavaThread*)|ObjectSynchronizer::wait(Handle, long, JavaThread*)|"
			"JVM_MonitorWait|java.lang.Object.wait(long)"},
    {LOCK_MONITOR,
	"pthread_cond_wait|os::PlatformEvent::park()|ObjectMonitor::ReenterI(JavaThread*, "
	"ObjectWaiter*)|ObjectMonitor::wait(long, bool, JavaThread*)|JVM_MonitorWait"},
    {LOCK_PARK, "___pthread_cond_wait|Parker::park(bool, long)|Unsafe_Park|[anon]"},
    {LOCK_PARK,
	"pthread_cond_wait|Parker::park(bool, long) [clone .part.0]|Unsafe_Park|"
	"void jdk.internal.misc.Unsafe.park(boolean, long)|"
	"void java.util.concurrent.locks.LockSupport.park(java.lang.Object)|"
	"boolean java.util.concurrent.locks.AbstractQueuedSynchronizer$ConditionObject.block()"},
    {LOCK_PARK, "[jit]|Ljava/util/concurrent/locks/LockSupport;::park|Lapp/Main;::run"},
    {LOCK_JAVA_LOCK, "pthread_cond_wait|Parker::park(bool, long)|Unsafe_Park|"
		     "void java.util.concurrent.locks.LockSupport.park(java.lang.Object)|"
		     "int java.util.concurrent.locks.AbstractQueuedSynchronizer.acquire(int)|"
		     "void java.util.concurrent.locks.ReentrantLock.lock()|void app.Main.run()"},
    {LOCK_JAVA_LOCK,
	"Unsafe_Park|java/util/concurrent/locks/ReentrantReadWriteLock$ReadLock.lock()V"},
    // lock() and its like are inlined into their callers.
    {LOCK_JAVA_LOCK,
	"Unsafe_Park|void jdk.internal.misc.Unsafe.park(boolean, long)|"
	"int java.util.concurrent.locks.AbstractQueuedSynchronizer.acquire("
	"java.util.concurrent.locks.AbstractQueuedSynchronizer$Node, int, boolean, boolean, "
	"boolean, long)|"
	"void java.util.concurrent.locks.AbstractQueuedSynchronizer.acquire(int)|void "
	"app.Main.run()"},
    {LOCK_JAVA_LOCK,
	"Unsafe_Park|void jdk.internal.misc.Unsafe.park(boolean, long)|"
	"boolean java.util.concurrent.locks.AbstractQueuedSynchronizer.acquireQueued("
	"java.util.concurrent.locks.AbstractQueuedSynchronizer$Node, int)|void app.Main.run()"},
    {LOCK_PARK,
	"Unsafe_Park|void jdk.internal.misc.Unsafe.park(boolean, long)|"
	"int java.util.concurrent.locks.AbstractQueuedSynchronizer.acquire("
	"java.util.concurrent.locks.AbstractQueuedSynchronizer$Node, int, boolean, boolean, "
	"boolean, long)|"
	"void app.Main.semaphore()"},
    {LOCK_CONDVAR, "pthread_cond_wait|os::PlatformMonitor::wait(long)|Monitor::wait(long)|"
		   "CompileQueue::get()|CompileBroker::compiler_thread_loop()"},
    {LOCK_SEMAPHORE,
	"do_futex_wait|__new_sem_wait_slow64|PosixSemaphore::wait()|GangWorker::loop()"},
    {LOCK_MONITOR, "pthread_cond_wait|omrthread_monitor_wait_timed|objectMonitorEnterBlocking"},
    // Go
    {LOCK_GO_IDLE, "runtime.futex|runtime.futexsleep|runtime.notesleep|runtime.mPark|runtime.stopm|"
		   "runtime.findRunnable|runtime.schedule|runtime.park_m|runtime.mcall"},
    {LOCK_GO_IDLE, "runtime.futex|runtime.futexsleep|runtime.notetsleep_internal|"
		   "runtime.notetsleep|runtime.sysmon"},
    {LOCK_GO_LOCK, "runtime.futex.abi0|runtime.futexsleep|runtime.semasleep|runtime.lock2|"
		   "runtime.findRunnable|runtime.schedule"},
    {LOCK_GO_LOCK, "runtime.futex|runtime.futexsleep|runtime.lock|runtime.addInitializedTimer"},
    // Python
    {LOCK_PYTHON_GIL, "___pthread_cond_timedwait64|PyCOND_TIMEDWAIT|take_gil|_PyEval_AcquireLock"},
    {LOCK_PYTHON_GIL, "__lll_lock_wait|pthread_mutex_lock|take_gil|_PyEval_EvalFrameDefault"},
    {LOCK_PYTHON_GIL, "pthread_cond_timedwait|PyEval_RestoreThread|time_sleep"},
    {LOCK_PYTHON_WAIT, "do_futex_wait|__new_sem_wait_slow64|___sem_clockwait64|"
		       "PyThread_acquire_lock_timed|acquire_timed|lock_PyThread_acquire_lock"},
    {LOCK_PYTHON_LOCK, "__new_sem_wait|PyThread_acquire_lock_timed|acquire_timed|rlock_acquire"},
    {LOCK_PYTHON_WAIT, "__new_sem_wait|_PySemaphore_Wait|_PyParkingLot_Park|"
		       "_queue_SimpleQueue_get_impl"},
    {LOCK_JOIN, "__new_sem_wait|_PySemaphore_Wait|_PyParkingLot_Park|PyEvent_WaitTimed|"
		"ThreadHandle_join|PyThreadHandleObject_join"},
    // Nothing that is known.
    {LOCK_FUTEX, ""},
    {LOCK_FUTEX, "syscall|futex_wait|main"},
    {LOCK_FUTEX, "[libfoo.so+0x1]|[anon]"},
    {LOCK_FUTEX, "my_pthread_mutex_lock|pthread_mutex_unlock|pthread_cond_signal|sem_post"},
};

static enum lock_class class_of(const char *stack)
{
	static char text[4096];
	const char *names[LOCK_DEPTH_MAX + 8];
	uint32_t n = 0;
	assert_true(strlen(stack) < sizeof(text));
	strcpy(text, stack);
	for (char *rest = text; rest && n < LOCK_DEPTH_MAX + 8;)
		names[n++] = strsep(&rest, "|");
	return lockclass_of(names, n);
}

static void stacks_of_programs(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(stacks) / sizeof(*stacks); i++) {
		enum lock_class c = class_of(stacks[i].stack);
		if (c != stacks[i].class)
			fail_msg("%s: %s, not %s", stacks[i].stack, lockclass_name(c),
			    lockclass_name(stacks[i].class));
	}
	uint64_t from = clock_now(), n = 0;
	for (int round = 0; getenv("BENCH") && round < 1000; round++)
		for (size_t i = 0; i < sizeof(stacks) / sizeof(*stacks); i++, n++)
			(void)class_of(stacks[i].stack);
	if (n)
		print_message("%.0f ns a stack\n", (double)(clock_now() - from) / (double)n);
}

static void names_are_made_plain(void **state)
{
	(void)state;
	static const char *const names[][2] = {
	    {"__GI___lll_lock_wait", "lll_lock_wait"},
	    {"___pthread_cond_timedwait64", "pthread_cond_timedwait"},
	    {"__new_sem_wait_slow64.constprop.0.isra.0", "new_sem_wait_slow"},
	    {"pthread_mutex_lock@@GLIBC_2.2.5", "pthread_mutex_lock"},
	    {"void std::call_once<void (&)(), int>(std::once_flag&)", "std.call_once"},
	    {"<std::sys::Mutex>::lock_contended", "std.sys.Mutex.lock_contended"},
	    {"<a::B<T> as c::D<U>>::f::<V>", "c.D.f"},
	    {"a::f::<b<c>, d>", "a.f"},
	    {"Ljava/util/LockSupport;::park", "Ljava.util.LockSupport.park"},
	    {"void a.B.c(int, d.E)", "a.B.c"},
	    {"Parker::park(bool, long) [clone .part.0]", "Parker.park"},
	    {"park [clone .cold]", "park"},
	    {"park (int)", "park"},
	    {"runtime.(*rwmutex).rlock", "runtime"},
	    {"(anonymous namespace)::f()", ""},
	    {"a<b", "a"},
	    {"a>b", "ab"},
	    {">>>><<<<", ""},
	    {"<<<a", "a"},
	    {"____", ""},
	    {"__GI_", ""},
	    {"64", "64"},
	    {"_64", "64"},
	    {"...", ""},
	    {"", ""},
	};
	char buffer[NAME_SIZE];
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		assert_string_equal(plain(names[i][0], buffer), names[i][1]);
}

static void hostile_names_are_bounded(void **state)
{
	(void)state;
	static char huge[100000];
	for (int c = 1; c < 256; c++) {
		memset(huge, c, sizeof(huge) - 1);
		assert_int_equal(lockclass_of((const char *const[]){huge}, 1), LOCK_FUTEX);
	}
	memset(huge, 'a', sizeof(huge) - 1);
	memcpy(huge + sizeof(huge) - 13, ".mutex.lock()", 13);
	huge[sizeof(huge) - 1] = 0;
	assert_int_equal(lockclass_of((const char *const[]){huge}, 1), LOCK_FUTEX);
	char seed[64];
	for (uint64_t i = 0, x = 1; i < 200000; i++) {
		for (size_t k = 0; k < sizeof(seed) - 1; k++)
			seed[k] = "<>(): ._;/@64[*GIab"[(x = hash_mix(x + 1)) % 19];
		seed[x >> 32 & 63] = 0;
		seed[63] = 0;
		(void)lockclass_of((const char *const[]){seed, NULL}, 2);
	}
	// No names, and a stack deeper than is looked at.
	assert_int_equal(lockclass_of(NULL, 0), LOCK_FUTEX);
	assert_int_equal(lockclass_of((const char *const[]){NULL, "sem_wait"}, 2), LOCK_SEMAPHORE);
	const char *deep[LOCK_DEPTH_MAX + 1];
	for (uint32_t i = 0; i <= LOCK_DEPTH_MAX; i++)
		deep[i] = i < LOCK_DEPTH_MAX ? "f" : "sem_wait";
	assert_int_equal(lockclass_of(deep, LOCK_DEPTH_MAX + 1), LOCK_FUTEX);
	deep[LOCK_DEPTH_MAX - 1] = "sem_wait";
	assert_int_equal(lockclass_of(deep, LOCK_DEPTH_MAX + 1), LOCK_SEMAPHORE);
}

// Each row can be met: what it says is plain, and none before it takes all that it stands for.
static void rows_are_sound(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		char name[NAME_SIZE] = "", buffer[NAME_SIZE];
		const char *want = rows[i].name, *stars = strchr(want, '*');
		assert_true(!stars || stars == want || !stars[1]); // one, at an end
		assert_null(stars ? strchr(stars + 1, '*') : NULL);
		assert_true(rows[i].class < LOCK_CLASS_COUNT);
		assert_true((rows[i].class == LOCK_FUTEX) == (rows[i].rank == SYSTEM));
		strcpy(name, stars == want ? "x" : "");
		strcat(name, want + (stars == want));
		name[strcspn(name, "*")] = 0;
		assert_string_equal(plain(name, buffer), name);
		assert_ptr_equal(row_of(name), &rows[i]);
	}
	bool seen[LOCK_CLASS_COUNT] = {0};
	for (size_t i = 0; i < sizeof(stacks) / sizeof(*stacks); i++)
		seen[stacks[i].class] = true;
	for (int c = 0; c < LOCK_CLASS_COUNT; c++) {
		assert_true(seen[c]);
		assert_true(*lockclass_name(c));
	}
	assert_true(lockclass_is_contention(LOCK_MUTEX) && lockclass_is_contention(LOCK_GO_LOCK));
	assert_false(lockclass_is_contention(LOCK_CONDVAR) || lockclass_is_contention(LOCK_FUTEX));
}

static const struct {
	const char *reason, *stack; // leaf first
	bool idle;
} waits[] = {
    {"waiting", "poll", true},
    {"waiting", "", true},
    {"network", "accept4|serve", true},
    {"network", "__libc_accept64|serve", true},
    {"network", "internal/poll.(*FD).Accept|net.(*netFD).accept", true},
    {"network", "std::net::tcp::TcpListener::accept|serve", true},
    {"network", "acceptor::accept(int)|serve", true},
    {"network", "recv|a|b|c|d|e|accept", false}, // too far away
    {"network", "recv|accept_loop", false},
    {"network", "read|inaccept", false},
    {"io", "accept4", false},
    {"sleep", "pthread_cond_wait", false},
    {"channel", "read", false},
    {"sync", "__GI___wait4|waitchld", true},
    {"sync", "__sigtimedwait", true},
    {"sync", "[libc.so.6+0x12]|__libc_pause", true},
    {"sync", "semop", false},
    {"mutex", "__futex_abstimed_wait_common|pthread_cond_wait|uv_cond_wait|worker", true},
    {"mutex", "__new_sem_wait_slow64.constprop.0|sem_wait|worker", true},
    {"mutex", "std::sys::sync::condvar::futex::Condvar::wait_optional_timeout|work", true},
    {"mutex", "std::condition_variable::wait(std::unique_lock<std::mutex>&)|work", true},
    {"mutex", "runtime.futex|runtime.futexsleep|runtime.notesleep|runtime.mPark|runtime.stopm",
	true},
    {"mutex",
	"pthread_cond_timedwait|Parker::park|Unsafe_Park|"
	"Ljava/util/concurrent/locks/LockSupport;::parkNanos|ForkJoinPool.awaitWork",
	true},
    {"mutex",
	"pthread_cond_wait|Parker::park|Unsafe_Park|Ljava/util/concurrent/locks/LockSupport;::park|"
	"Ljava/util/concurrent/locks/ReentrantLock$NonfairSync;::lock",
	false},
    {"mutex", "pthread_cond_wait|ObjectMonitor::EnterI|ObjectMonitor::enter", false},
    {"mutex", "pthread_cond_wait|ObjectMonitor::wait|Object.wait", true},
    {"mutex", "__lll_lock_wait|pthread_mutex_lock|f", false},
    {"mutex", "futex_wait|__GI___lll_lock_wait|__pthread_mutex_cond_lock|pthread_cond_wait", false},
    {"mutex", "std::sys::sync::mutex::futex::Mutex::lock_contended|f", false},
    {"mutex", "runtime.futexsleep|runtime.lock2|runtime.mallocgc", false},
    {"mutex", "pthread_cond_timedwait|take_gil|PyEval_RestoreThread", false},
    {"mutex", "sem_wait|PyThread_acquire_lock_timed|lock_PyThread_acquire_lock", true},
    {"mutex", "futex_wait|LWLockAcquire", false},
    {"mutex", "sem_wait|PGSemaphoreLock|LWLockAcquire|heap_insert", false},
    {"mutex", "futex_wait|pthread_barrier_wait|work", false}, // for others at the same work
    {"mutex", "__pthread_clockjoin_ex|main", true},
    {"mutex", "[anon]|[anon]", false},
    {"mutex", "", false},
    {"of a later version", "pthread_cond_wait", false},
    {"", "poll", false},
};

static void who_waits_for_work_is_idle(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(waits) / sizeof(*waits); i++) {
		char copy[512], *rest = copy;
		const char *names[LOCK_DEPTH_MAX];
		uint32_t n = 0;
		text_copy(copy, sizeof(copy), waits[i].stack);
		for (char *name; *waits[i].stack && (name = strsep(&rest, "|"));)
			names[n++] = name;
		if (label_is_idle(waits[i].reason, names, n) != waits[i].idle)
			fail_msg("%s: %s", waits[i].reason, waits[i].stack);
	}
	assert_false(label_is_idle("network", (const char *const[]){NULL, NULL}, 2));
	assert_false(label_is_idle("sync", NULL, 0));
	assert_true(label_is_waker("[woken by an interrupt]") && label_is_waker("[held by x]"));
	assert_false(
	    label_is_waker("[mutex]") || label_is_waker("") || label_is_waker("held by x"));
	for (int c = 0; c < LOCK_CLASS_COUNT; c++) // both cannot be
		assert_false(classes[c].waits_for == WORK && lockclass_is_contention(c));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(stacks_of_programs),
	    cmocka_unit_test(names_are_made_plain),
	    cmocka_unit_test(hostile_names_are_bounded),
	    cmocka_unit_test(rows_are_sound),
	    cmocka_unit_test(who_waits_for_work_is_idle),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
