// SPDX-License-Identifier: Apache-2.0
// Who wakes: what the kernel's frames say of it, without a kernel; the truth is in kernel_off.c.
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "../../modules/kernel/wake.c"

#define NAMES_MAX 8

static struct kernel kernel = {.functions = MAP(ACCOUNT_KERNEL)};

// Return addresses, as if the kernel had been asked for the names of their calls, leaf first.
static enum waker_kind kind_of(uint32_t count, const char *const *names, bool cut)
{
	struct {
		struct record_sample r;
		uint64_t frames[NAMES_MAX];
	} s = {.r = {.source = SOURCE_WAKER,
		   .reason = WAKER_UNTOLD,
		   .kernel_frames = (uint16_t)count,
		   .kernel_cut = cut}};
	for (uint32_t i = 0; i < count; i++) {
		s.frames[i] = 0xffffffff81000000 + i * 16;
		assert_int_equal(
		    map_put(&kernel.functions, s.frames[i] - 1, function_of(names[i])), 0);
	}
	enum waker_kind kind = wake_kind(&kernel, &s.r);
	map_clear(&kernel.functions);
	return kind;
}

#define KIND(...)                                                                                  \
	({                                                                                         \
		const char *names_[] = {__VA_ARGS__};                                              \
		kind_of(sizeof(names_) / sizeof(*names_), names_, false);                          \
	})

static void threads_wake(void **state)
{
	(void)state;
	assert_int_equal(
	    KIND("try_to_wake_up", "pipe_write", "entry_SYSCALL_64_after_hwframe"), WAKER_THREAD);
	assert_int_equal(KIND("try_to_wake_up", "el0_svc", "el0t_64_sync"), WAKER_THREAD);
	assert_int_equal(
	    KIND("try_to_wake_up", "worker_thread", "ret_from_fork_asm"), WAKER_THREAD);
	assert_int_equal(KIND("try_to_wake_up", "asm_exc_page_fault"), WAKER_THREAD);
	assert_int_equal(KIND("try_to_wake_up", "ret_from_fork"), WAKER_THREAD);
}

static void interrupts_wake(void **state)
{
	(void)state;
	assert_int_equal(KIND("hrtimer_wakeup", "asm_sysvec_apic_timer_interrupt", "vfs_read",
			     "entry_SYSCALL_64_after_hwframe"),
	    WAKER_INTERRUPT);
	assert_int_equal(
	    KIND("hrtimer_wakeup", "asm_sysvec_apic_timer_interrupt"), WAKER_INTERRUPT);
	assert_int_equal(KIND("end_io", "asm_common_interrupt"), WAKER_INTERRUPT);
	assert_int_equal(KIND("end_io", "el1h_64_irq", "el0t_64_sync"), WAKER_INTERRUPT);
	assert_int_equal(KIND("end_io", "el0t_64_irq"), WAKER_INTERRUPT);
	assert_int_equal(KIND("end_io", "handle_softirqs", "run_ksoftirqd", "ret_from_fork_asm"),
	    WAKER_INTERRUPT);
}

// A packet to this machine itself is carried by who sends it; but not by who is interrupted.
static void some_softirqs_are_a_threads_own(void **state)
{
	(void)state;
	assert_int_equal(
	    KIND("tcp_v4_rcv", "process_backlog", "handle_softirqs", "do_softirq.part.0",
		"__local_bh_enable_ip", "tcp_sendmsg", "entry_SYSCALL_64_after_hwframe"),
	    WAKER_THREAD);
	assert_int_equal(KIND("tcp_v4_rcv", "process_backlog", "__do_softirq",
			     "__local_bh_enable_ip", "el0t_64_sync"),
	    WAKER_THREAD);
	assert_int_equal(KIND("process_timeout", "handle_softirqs", "__local_bh_enable_ip",
			     "entry_SYSCALL_64_after_hwframe"),
	    WAKER_INTERRUPT);
	assert_int_equal(KIND("tcp_v4_rcv", "process_backlog", "handle_softirqs", "irq_exit_rcu",
			     "asm_sysvec_call_function_single", "entry_SYSCALL_64_after_hwframe"),
	    WAKER_INTERRUPT);
}

// Nobody is named who may not have been it.
static void it_may_not_be_known(void **state)
{
	(void)state;
	const char *thread[] = {"try_to_wake_up", "entry_SYSCALL_64_after_hwframe"};
	assert_int_equal(kind_of(2, thread, false), WAKER_THREAD);
	assert_int_equal(kind_of(2, thread, true), WAKER_NONE);
	assert_int_equal(kind_of(0, NULL, false), WAKER_NONE);
	assert_int_equal(KIND("try_to_wake_up", "pipe_write"), WAKER_NONE);
	// This one is asked for names, and has none.
	struct {
		struct record_sample r;
		uint64_t frames[2];
	} s = {.r = {.reason = WAKER_UNTOLD, .kernel_frames = 2}, .frames = {16, 32}};
	assert_int_equal(wake_kind(&kernel, &s.r), WAKER_NONE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(threads_wake),
	    cmocka_unit_test(interrupts_wake),
	    cmocka_unit_test(some_softirqs_are_a_threads_own),
	    cmocka_unit_test(it_may_not_be_known),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
