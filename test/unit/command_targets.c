// SPDX-License-Identifier: Apache-2.0
// The processes of -p: real ones, with the real loop.
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "../../modules/command/targets.c"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>

static char said[1024];
static int saved, to;

static void listen_to_stderr(void)
{
	saved = dup(2);
	to = memfd_create("stderr", MFD_CLOEXEC);
	dup2(to, 2);
}

static void listened(void)
{
	dup2(saved, 2);
	ssize_t n = pread(to, said, sizeof(said) - 1, 0);
	said[n > 0 ? n : 0] = 0;
	close(saved);
	close(to);
}

static pid_t begin(void)
{
	pid_t parent = getpid(), pid = fork();
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL); // also where a test fails
		while (getppid() == parent)
			pause();
		_exit(0);
	}
	assert_true(pid > 0);
	return pid;
}

static void stop(pid_t pid) // it stays a zombie: its parent has not asked yet
{
	assert_int_equal(kill(pid, SIGKILL), 0);
	siginfo_t info;
	assert_int_equal(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), 0);
}

static unsigned ends;
static void on_ended(void *arg)
{
	(void)arg;
	ends++;
}

static void turns(struct loop *loop)
{
	for (int i = 0; i < 5; i++)
		loop_turn(loop);
}

static void the_last_end_is_told_once(void **state)
{
	(void)state;
	struct loop *loop = loop_new();
	struct targets t;
	pid_t a = begin(), b = begin();
	uint32_t pids[] = {(uint32_t)a, (uint32_t)b, (uint32_t)a};
	char wanted[128];
	for (uint32_t count = 1; count <= 3; count += 2) {
		ends = 0;
		assert_int_equal(
		    targets_open(&t, "record", count == 1 ? pids + 1 : pids, count), 0);
		assert_int_equal(targets_watch(&t, loop, on_ended, NULL), 0);
		listen_to_stderr();
		turns(loop);
		assert_int_equal(ends, 0);
		if (count == 3) {
			stop(a);
			turns(loop);
			assert_int_equal(ends, 0); // B is there
		}
		stop(b);
		turns(loop);
		listened();
		assert_int_equal(ends, 1);
		if (count == 1)
			snprintf(
			    wanted, sizeof(wanted), "telegen: record: process %d has ended\n", b);
		else
			snprintf(wanted, sizeof(wanted),
			    "telegen: record: the last of the 3 processes has ended\n");
		assert_string_equal(said, wanted);
		targets_close(&t);
		targets_close(&t);
		waitpid(b, NULL, 0);
		b = begin();
		pids[1] = (uint32_t)b;
	}
	stop(b);
	waitpid(b, NULL, 0);
	waitpid(a, NULL, 0);
	loop_free(loop);
}

static void one_that_is_gone_is_refused(void **state)
{
	(void)state;
	struct targets t;
	char wanted[64];
	pid_t zombie = begin(), gone = begin(), here = begin();
	stop(zombie);
	stop(gone);
	waitpid(gone, NULL, 0);
	const uint32_t rows[][2] = {{(uint32_t)zombie, (uint32_t)here},
	    {(uint32_t)here, (uint32_t)gone}, {(uint32_t)gone, (uint32_t)gone}};
	for (int i = 0; i < 3; i++) {
		listen_to_stderr();
		assert_int_equal(targets_open(&t, "top", rows[i], 2), EXIT_USAGE);
		listened();
		snprintf(wanted, sizeof(wanted), "telegen: error: top: -p: %d: has ended already",
		    i ? gone : zombie);
		assert_ptr_equal(strstr(said, wanted), said);
		targets_close(&t);
	}
	assert_int_equal(targets_open(&t, "top", NULL, 0), 0);
	assert_int_equal(targets_watch(&t, NULL, on_ended, NULL), 0); // never
	targets_close(&t);
	stop(here);
	waitpid(here, NULL, 0);
	waitpid(zombie, NULL, 0);
}

static void without_memory_nothing_stays(void **state)
{
	(void)state;
	struct loop *loop = loop_new();
	struct targets t;
	pid_t a = begin();
	uint32_t pids[] = {(uint32_t)a, (uint32_t)a};
	int before = dup(0);
	close(before);
	for (uint64_t nth = 1;; nth++) {
		assert_int_equal(targets_open(&t, "top", pids, 2), 0);
		mem_fail_at(nth);
		int error = targets_watch(&t, loop, on_ended, NULL);
		bool over = mem_fail_seen() < nth;
		mem_fail_at(0);
		assert_true(error == 0 || (error == -ENOMEM && !over)); // the loop may do without
		targets_close(&t);
		if (over)
			break;
	}
	int after = dup(0);
	close(after);
	assert_int_equal(after, before);
	loop_free(loop);
	assert_int_equal(mem_used(ACCOUNT_LOOP), 0);
	stop(a);
	waitpid(a, NULL, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(the_last_end_is_told_once),
	    cmocka_unit_test(one_that_is_gone_is_refused),
	    cmocka_unit_test(without_memory_nothing_stays),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
