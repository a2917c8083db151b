// SPDX-License-Identifier: Apache-2.0
// The loop on a fake clock: timers, slices, descriptors, and everything freed inside its own
// callback.
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "../../modules/loop/loop.c"
#include "../../modules/loop/timer.c"
static int no_process;
#include <sched.h>
#define clone(...) (no_process ? (errno = EAGAIN, -1) : (clone)(__VA_ARGS__))
#include "../../modules/loop/errand.c"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static uint64_t now, wall;
static struct loop *loop;
static char story[256]; // what ran, one letter each

static int setup(void **state)
{
	(void)state;
	now = 1000 * NS_PER_S;
	clock_fake(&now, &wall);
	loop = loop_new();
	memset(story, 0, sizeof(story));
	return loop ? 0 : -1;
}

static int teardown(void **state)
{
	(void)state;
	loop_free(loop);
	clock_fake(NULL, NULL);
	return mem_used(ACCOUNT_LOOP) != 0;
}

static void note(const char *letter)
{
	strncat(story, letter, sizeof(story) - strlen(story) - 1);
}

static void run_letter(void *arg)
{
	note(arg);
}

static void timers_run_in_the_order_they_are_due(void **state)
{
	(void)state;
	struct timer *c = loop_timer(loop, 30, 0, run_letter, "c");
	struct timer *a = loop_timer(loop, 10, 0, run_letter, "a");
	struct timer *b = loop_timer(loop, 20, 0, run_letter, "b");
	struct timer *far = loop_timer(loop, UINT64_MAX, UINT64_MAX, run_letter, "x");
	loop_turn(loop);
	assert_string_equal(story, "");
	now += 20;
	loop_turn(loop);
	assert_string_equal(story, "ab");
	timer_set(a, 10, 0);
	now += 10;
	loop_turn(loop);
	loop_turn(loop);
	assert_string_equal(story, "abca");
	timer_free(a);
	timer_free(b);
	timer_free(c);
	timer_free(far);
	timer_free(NULL);
}

static void a_period_does_not_drift_and_missed_ones_are_left_out(void **state)
{
	(void)state;
	struct timer *t = loop_timer(loop, 100, 100, run_letter, "p");
	for (int i = 0; i < 10; i++) {
		now += 103; // every turn a little late
		loop_turn(loop);
	}
	assert_string_equal(story, "pppppppppp");
	now += 1000;
	loop_turn(loop);
	assert_string_equal(story, "ppppppppppp");
	assert_int_equal((t->due_ns - 1000 * NS_PER_S) % 100, 0);
	assert_in_range(t->due_ns, now + 1, now + 100);
	timer_free(t);
}

static struct timer *self, *other;

static void free_both(void *arg)
{
	note(arg);
	timer_free(self);
	timer_free(other);
	self = other = NULL;
}

static void set_again(void *arg)
{
	note(arg);
	timer_set(self, 0, 0);
}

static void timers_may_free_and_set_themselves(void **state)
{
	(void)state;
	self = loop_timer(loop, 10, 10, free_both, "f");
	other = loop_timer(loop, 11, 0, run_letter, "o");
	now += 50;
	loop_turn(loop);
	assert_string_equal(story, "f");
	self = loop_timer(loop, 0, 0, set_again, "s");
	loop_turn(loop);
	assert_string_equal(story, "fs"); // due at once again, and yet not in the same turn
	loop_turn(loop);
	assert_string_equal(story, "fss");
	timer_free(self);
}

struct pipe_end {
	int fd[2];
	struct watch *watch, *also;
	int seen, events;
};

static void on_pipe(void *arg, int events)
{
	struct pipe_end *p = arg;
	p->seen++;
	p->events = events;
	note("w");
}

static void free_watches(void *arg, int events)
{
	struct pipe_end *p = arg;
	on_pipe(arg, events);
	watch_free(p->watch);
	watch_free(p->also);
	p->watch = p->also = NULL;
}

static void pipe_open(struct pipe_end *p)
{
	memset(p, 0, sizeof(*p));
	assert_int_equal(pipe2(p->fd, O_NONBLOCK | O_CLOEXEC), 0);
}

static void watches_are_told_pause_and_free_each_other(void **state)
{
	(void)state;
	struct pipe_end p;
	pipe_open(&p);
	p.watch = loop_watch(loop, p.fd[0], LOOP_READ, on_pipe, &p);
	loop_turn(loop);
	assert_int_equal(p.seen, 0);
	assert_int_equal(write(p.fd[1], "x", 1), 1);
	loop_turn(loop);
	assert_int_equal(p.seen, 1);
	assert_int_equal(p.events, LOOP_READ);
	watch_set(p.watch, 0);
	loop_turn(loop);
	assert_int_equal(p.seen, 1);
	watch_set(p.watch, LOOP_READ);
	loop_turn(loop);
	assert_int_equal(p.seen, 2);
	watch_free(p.watch);
	// Both are ready; the first that runs frees both.
	p.watch = loop_watch(loop, p.fd[0], LOOP_READ, free_watches, &p);
	p.also = loop_watch(loop, p.fd[1], LOOP_WRITE, free_watches, &p);
	loop_turn(loop);
	loop_turn(loop);
	assert_int_equal(p.seen, 3);
	watch_free(NULL);
	errno = 0;
	assert_null(loop_watch(loop, -1, LOOP_READ, on_pipe, &p));
	assert_int_equal(errno, EBADF);
	close(p.fd[0]);
	assert_null(loop_watch(loop, p.fd[0], LOOP_READ, on_pipe, &p));
	assert_int_equal(errno, EBADF);
	close(p.fd[1]);
}

struct job {
	const char *letter;
	int steps, result;
	bool free_in_step, free_in_done;
	struct slice *slice;
	int got;
};

static int job_step(void *arg, uint64_t budget_ns)
{
	struct job *j = arg;
	assert_int_equal(budget_ns, LOOP_SLICE_NS);
	note(j->letter);
	if (j->free_in_step)
		slice_free(j->slice);
	return --j->steps > 0 ? 1 : j->result;
}

static void job_done(void *arg, int result)
{
	struct job *j = arg;
	j->got = result;
	note("!");
	if (j->free_in_done)
		slice_free(j->slice);
}

static void slices_take_turns_one_step_a_turn_behind_descriptors(void **state)
{
	(void)state;
	struct job a = {.letter = "a", .steps = 3}, b = {.letter = "b", .steps = 2, .result = -EIO};
	struct pipe_end p;
	pipe_open(&p);
	p.watch = loop_watch(loop, p.fd[1], LOOP_WRITE, on_pipe, &p);
	a.slice = loop_slice(loop, job_step, job_done, &a);
	b.slice = loop_slice(loop, job_step, job_done, &b);
	for (int i = 0; i < 6; i++)
		loop_turn(loop);
	assert_string_equal(story, "wawbwawb!wa!w");
	assert_int_equal(a.got, 0);
	assert_int_equal(b.got, -EIO);
	watch_free(p.watch);
	close(p.fd[0]);
	close(p.fd[1]);
}

static void slices_may_be_freed_at_any_time(void **state)
{
	(void)state;
	struct job inside = {.letter = "i", .steps = 9, .free_in_step = true};
	struct job done = {.letter = "d", .steps = 1, .free_in_done = true};
	struct job quiet = {.letter = "q", .steps = 1};
	struct job never = {.letter = "n", .steps = 1};
	inside.slice = loop_slice(loop, job_step, job_done, &inside);
	done.slice = loop_slice(loop, job_step, job_done, &done);
	quiet.slice = loop_slice(loop, job_step, NULL, &quiet);
	never.slice = loop_slice(loop, job_step, job_done, &never);
	slice_free(never.slice);
	slice_free(NULL);
	for (int i = 0; i < 5; i++)
		loop_turn(loop);
	assert_string_equal(story, "id!q");
}

static void take_long(void *arg)
{
	now += *(uint64_t *)arg;
}

static void turns_are_timed_without_the_waiting(void **state)
{
	(void)state;
	uint64_t takes = 1500000, before = count_get(COUNT_TURNS_LONG);
	count_set(COUNT_TURN_MAX_NS, 0);
	struct timer *t = loop_timer(loop, 0, 0, take_long, &takes);
	loop_turn(loop);
	assert_int_equal(count_get(COUNT_TURN_MAX_NS), 1500000);
	assert_int_equal(count_get(COUNT_TURNS_LONG), before + 1);
	now += 5 * NS_PER_S; // between the turns
	takes = 1000000;
	timer_set(t, 0, 0);
	loop_turn(loop);
	assert_int_equal(count_get(COUNT_TURN_MAX_NS), 1500000);
	assert_int_equal(count_get(COUNT_TURNS_LONG), before + 1);
	timer_free(t);
}

static void step_long(void *arg)
{
	note("t");
	take_long(arg);
}

static void watch_long(void *arg, int events)
{
	struct pipe_end *p = arg;
	on_pipe(p, events);
	now += 100 * NS_PER_US;
}

static int slice_budgets(void *arg, uint64_t budget_ns)
{
	*(uint64_t *)arg = budget_ns;
	note("s");
	return 1;
}

// However many are ready, a turn stays short, each has its turn, and none is forgotten.
static void a_turn_is_short_and_everybody_has_a_turn(void **state)
{
	(void)state;
	enum { MANY = 40 };
	struct pipe_end p[MANY];
	uint64_t takes = 150 * NS_PER_US, budget = 0, before = count_get(COUNT_TURNS_LONG);
	for (int i = 0; i < MANY; i++) { // each of them ready all the time
		pipe_open(&p[i]);
		p[i].watch = loop_watch(loop, p[i].fd[1], LOOP_WRITE, watch_long, &p[i]);
	}
	struct timer *timers[5];
	for (int i = 0; i < 5; i++)
		timers[i] = loop_timer(loop, 0, 0, step_long, &takes);
	struct slice *s = loop_slice(loop, slice_budgets, NULL, &budget);
	count_set(COUNT_TURN_MAX_NS, 0);
	loop_turn(loop);
	assert_string_equal(story, "wwwts"); // 300 us, 450 us
	assert_int_equal(budget, 350 * NS_PER_US);
	loop_turn(loop);
	assert_string_equal(story, "wwwtswwwts");
	for (int i = 0; i < 11; i++)
		loop_turn(loop);
	for (int i = 0; i < MANY; i++) // 39 in 13 turns
		assert_in_range(p[i].seen, 0, 1);
	for (int i = 0; i < 13; i++)
		loop_turn(loop);
	for (int i = 0; i < MANY; i++)
		assert_in_range(p[i].seen, 1, 2);
	assert_int_equal(count_get(COUNT_TURNS_LONG), before);
	assert_in_range(count_get(COUNT_TURN_MAX_NS), 1, NS_PER_MS);
	// One that takes all of it keeps the slice waiting for one turn, not for two.
	takes = 900 * NS_PER_US;
	for (int i = 0; i < MANY; i++)
		watch_set(p[i].watch, 0);
	for (int i = 0; i < 5; i++)
		timer_set(timers[i], 0, 0);
	*story = 0;
	for (int i = 0; i < 5; i++)
		loop_turn(loop);
	assert_string_equal(story, "ttsttst");
	slice_free(s);
	for (int i = 0; i < 5; i++)
		timer_free(timers[i]);
	for (int i = 0; i < MANY; i++) {
		watch_free(p[i].watch);
		close(p[i].fd[0]);
		close(p[i].fd[1]);
	}
}

// A watch that waits in the line is paused, changed or freed: it is told nothing of before.
static void what_waits_in_the_line_may_go(void **state)
{
	(void)state;
	struct pipe_end p[6];
	for (int i = 0; i < 6; i++) {
		pipe_open(&p[i]);
		p[i].watch = loop_watch(loop, p[i].fd[1], LOOP_WRITE, watch_long, &p[i]);
	}
	loop_turn(loop);
	int told = 0, left = 0;
	for (int i = 0; i < 6; i++)
		told += p[i].seen;
	assert_int_equal(told, 3);
	assert_non_null(loop->ready);
	for (int i = 0; i < 6; i++) {
		if (p[i].seen)
			continue;
		if (left == 0)
			watch_set(p[i].watch, 0);
		else if (left == 1)
			watch_set(p[i].watch, LOOP_READ);
		else
			watch_free(p[i].watch);
		if (left++ == 2)
			p[i].watch = NULL;
	}
	assert_null(loop->ready);
	assert_null(loop->ready_last);
	for (int i = 0; i < 4; i++)
		loop_turn(loop);
	for (int i = 0, n = 0; i < 6; i++) {
		n += p[i].seen > 0;
		assert_true(i < 5 || n == 3);
		watch_free(p[i].watch);
		close(p[i].fd[0]);
		close(p[i].fd[1]);
	}
}

static void stop(void *arg)
{
	(void)arg;
	loop_stop(loop);
}

static void an_idle_loop_sleeps(void **state)
{
	(void)state;
	clock_fake(NULL, NULL);
	uint64_t began = clock_now(), turns = loop->turn;
	struct timer *t = loop_timer(loop, 40 * NS_PER_MS, 0, stop, NULL);
	struct timer *far = loop_timer(loop, 3600 * NS_PER_S, 0, stop, NULL);
	loop_run(loop);
	assert_in_range(clock_now() - began, 40 * NS_PER_MS, 2 * NS_PER_S);
	assert_in_range(loop->turn - turns, 1, 3);
	loop_stop(loop);
	loop_run(loop); // returns at once
	timer_free(t);
	timer_free(far);
}

static void count_byte(void *arg, int events)
{
	char byte;
	(void)events;
	assert_int_equal(read(*(int *)arg, &byte, 1), 1);
	note("w");
}

// While it rests it is woken once for all that comes; a timer that is due comes at its time.
static void a_loop_that_rests_is_woken_once(void **state)
{
	(void)state;
	int fd[2];
	assert_int_equal(pipe(fd), 0);
	assert_int_equal(write(fd[1], "x", 1), 1);
	clock_fake(NULL, NULL);
	struct watch *w = loop_watch(loop, fd[0], LOOP_READ, count_byte, &fd[0]);
	struct timer *t = loop_timer(loop, 40 * NS_PER_MS, 0, stop, NULL);
	uint64_t began = clock_now();
	loop_rest(loop, NS_PER_S);
	loop_run(loop);
	assert_in_range(clock_now() - began, 40 * NS_PER_MS, NS_PER_S - 1);
	assert_string_equal(story, "w");
	assert_in_range(loop->turn, 1, 3);
	loop_rest(loop, 0);
	began = clock_now();
	assert_int_equal(write(fd[1], "x", 1), 1);
	timer_set(t, 5 * NS_PER_S, 0);
	while (strcmp(story, "ww"))
		ev_run(loop->ev, EVRUN_ONCE);
	assert_in_range(clock_now() - began, 0, 4 * NS_PER_S);
	watch_free(w);
	timer_free(t);
	close(fd[0]);
	close(fd[1]);
}

static void stop_when_done(void *arg, int result)
{
	job_done(arg, result);
	loop_stop(loop);
}

static void slices_do_not_wait_for_timers(void **state)
{
	(void)state;
	struct job j = {.letter = "j", .steps = 100};
	clock_fake(NULL, NULL);
	uint64_t began = clock_now();
	struct timer *far = loop_timer(loop, 5 * NS_PER_S, 0, stop, NULL);
	j.slice = loop_slice(loop, job_step, stop_when_done, &j);
	loop_run(loop);
	assert_int_equal(j.steps, 0);
	assert_in_range(clock_now() - began, 0, 4 * NS_PER_S);
	timer_free(far);
}

static void stop_on_signal(void *arg, int signo)
{
	*(int *)arg = signo;
	loop_stop(loop);
}

static void signals_come_through_the_loop(void **state)
{
	(void)state;
	int seen = 0;
	struct watch *w = loop_signal(loop, SIGUSR1, stop_on_signal, &seen);
	assert_int_equal(kill(getpid(), SIGUSR1), 0);
	loop_run(loop);
	assert_int_equal(seen, SIGUSR1);
	watch_free(w);
	assert_null(loop_signal(loop, 0, stop_on_signal, &seen));
	assert_null(loop_signal(loop, NSIG, stop_on_signal, &seen));
}

// What a caller builds; everything that was made is given back where something was refused.
static bool build_all(void)
{
	struct job j = {.letter = "j", .steps = 1};
	struct pipe_end p;
	pipe_open(&p);
	int high = fcntl(p.fd[0], F_DUPFD_CLOEXEC, 300); // libev's table of descriptors grows
	struct loop *l = loop_new();
	struct watch *w = l ? loop_watch(l, high, LOOP_READ, on_pipe, &p) : NULL;
	struct watch *s = w ? loop_signal(l, SIGUSR2, stop_on_signal, &p.seen) : NULL;
	struct timer *t = s ? loop_timer(l, 1, 1, run_letter, "t") : NULL;
	struct slice *i = t ? loop_slice(l, job_step, NULL, &j) : NULL;
	bool whole = i;
	if (i)
		loop_turn(l);
	timer_free(t);
	watch_free(s);
	watch_free(w);
	loop_free(l);
	close(high);
	close(p.fd[0]);
	close(p.fd[1]);
	return whole;
}

static void every_allocation_may_fail(void **state)
{
	(void)state;
	uint64_t before = mem_used(ACCOUNT_LOOP), n = 1;
	unsigned refused = 0;
	for (;; n++) {
		mem_fail_at(n);
		refused += !build_all();
		assert_int_equal(mem_used(ACCOUNT_LOOP), before);
		if (mem_fail_seen() < n)
			break;
	}
	mem_fail_at(0);
	assert_int_equal(
	    refused, 5); // the loop, two watches, timer, slice; never libev's own blocks
	assert_true(n > 6);
}

static void libev_passes_the_limit_and_is_counted(void **state)
{
	(void)state;
	struct pipe_end p;
	pipe_open(&p);
	int high = fcntl(p.fd[0], F_DUPFD_CLOEXEC, 700);
	p.watch = loop_watch(loop, high, 0, on_pipe, &p);
	uint64_t before = mem_used(ACCOUNT_LOOP);
	mem_limit(1);
	watch_set(p.watch, LOOP_READ);
	assert_null(loop_timer(loop, 1, 1, run_letter, "t"));
	assert_int_equal(mem_limit_get(), 1);
	mem_limit(0);
	assert_true(mem_used(ACCOUNT_LOOP) > before);
	watch_free(p.watch);
	close(high);
	close(p.fd[0]);
	close(p.fd[1]);
}

static pid_t us;
struct deed {
	int gate[2], to_close;
	bool through, told;
	bool ours;
};

static void block(void *arg) // in a process of its own
{
	struct deed *d = arg;
	char c;
	d->ours = getpid() == us;
	if (read(d->gate[0], &c, 1) != 1)
		return;
	close(d->to_close);
	d->through = true;
}

static void told(void *arg)
{
	((struct deed *)arg)->told = true;
}

static void deed_open(struct deed *d)
{
	*d = (struct deed){.to_close = dup(0)};
	assert_int_equal(pipe(d->gate), 0);
	us = getpid();
}

static void deed_close(struct deed *d)
{
	close(d->gate[0]);
	close(d->gate[1]);
}

static void on_user_signal(void *arg, int signo)
{
	(void)arg;
	(void)signo;
	note("s");
}

static void work_hard(void *arg)
{
	(void)arg;
	struct timespec t;
	do // not the C library's clock(): its process is another
		syscall(SYS_clock_gettime, CLOCK_PROCESS_CPUTIME_ID, &t);
	while (t.tv_sec == 0 && t.tv_nsec < 20000000);
}

// The loop goes on while an errand is blocked; what that closes is closed.
static void an_errand_blocks_nobody(void **state)
{
	struct deed d;
	(void)state;
	deed_open(&d);
	struct errand *e = loop_errand(loop, block, told, &d);
	assert_non_null(e);
	struct watch *w = loop_signal(loop, SIGUSR1, on_user_signal, NULL);
	kill(e->pid, SIGUSR1); // is not ours, nor handled in it
	for (int i = 0; i < 20; i++, usleep(1000))
		loop_turn(loop);
	assert_false(d.told);
	assert_string_equal(story, "");
	assert_true(fcntl(d.to_close, F_GETFD) >= 0);
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1); // nobody's child
	assert_int_equal(write(d.gate[1], "x", 1), 1);
	for (int i = 0; i < 1000 && !d.told; i++, usleep(1000))
		loop_turn(loop);
	assert_true(d.told);
	assert_true(d.through);
	assert_false(d.ours);
	assert_true(fcntl(d.to_close, F_GETFD) < 0);
	watch_free(w);
	deed_close(&d);
}

static void an_errand_may_be_killed_or_waited_for(void **state)
{
	struct deed d;
	(void)state;
	deed_open(&d);
	struct errand *e = loop_errand(loop, work_hard, told, &d);
	uint64_t before = count_get(COUNT_ERRANDS_NS);
	errand_free(e);
	uint64_t used = count_get(COUNT_ERRANDS_NS) - before;
	assert_in_range(used, 20 * NS_PER_MS, 30 * NS_PER_MS); // its CPU time is told
	e = loop_errand(loop, block, told, &d);
	kill(e->pid, SIGKILL);
	for (int i = 0; i < 1000 && !d.told; i++, usleep(1000))
		loop_turn(loop);
	assert_true(d.told);
	assert_false(d.through);
	d.told = false;
	e = loop_errand(loop, block, told, &d);
	assert_int_equal(write(d.gate[1], "x", 1), 1);
	errand_free(e);
	assert_true(d.through);
	assert_false(d.told);
	errand_free(NULL);
	deed_close(&d);
}

static void an_errand_may_not_begin(void **state)
{
	struct deed d;
	(void)state;
	deed_open(&d);
	uint64_t before = mem_used(ACCOUNT_LOOP);
	for (int n = 1; n < 3; n++) {
		mem_fail_at(n);
		assert_null(loop_errand(loop, block, told, &d));
		assert_int_equal(errno, ENOMEM);
		mem_fail_at(0);
	}
	no_process = true;
	assert_null(loop_errand(loop, block, told, &d));
	assert_int_equal(errno, EAGAIN);
	no_process = false;
	assert_int_equal(mem_used(ACCOUNT_LOOP), before);
	close(d.to_close);
	deed_close(&d);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(timers_run_in_the_order_they_are_due),
	    TEST(a_period_does_not_drift_and_missed_ones_are_left_out),
	    TEST(timers_may_free_and_set_themselves),
	    TEST(watches_are_told_pause_and_free_each_other),
	    TEST(slices_take_turns_one_step_a_turn_behind_descriptors),
	    TEST(slices_may_be_freed_at_any_time),
	    TEST(turns_are_timed_without_the_waiting),
	    TEST(a_turn_is_short_and_everybody_has_a_turn),
	    TEST(what_waits_in_the_line_may_go),
	    TEST(an_idle_loop_sleeps),
	    TEST(a_loop_that_rests_is_woken_once),
	    TEST(slices_do_not_wait_for_timers),
	    TEST(signals_come_through_the_loop),
	    TEST(an_errand_blocks_nobody),
	    TEST(an_errand_may_be_killed_or_waited_for),
	    TEST(an_errand_may_not_begin),
	    TEST(every_allocation_may_fail),
	    TEST(libev_passes_the_limit_and_is_counted),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
