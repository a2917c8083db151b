// SPDX-License-Identifier: Apache-2.0
// Lower rates in a real kernel: fewer samples, each bears as much more, and counters count ticks
// all the same.
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <errno.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <cmocka.h>

#include "../../modules/base/base.h"
#include "../../modules/kernel/kernel.h"
#include "../../bpf/counter.h"

#define PERIOD NS_PER_MS

struct seen {
	uint32_t pid, every;
	unsigned samples, odd; // odd: they bear something else
	uint64_t value, all;   // of pid; of all processes, in periods
	uint64_t from, until;  // 0: for ever
};

static void on_record(void *arg, const struct record *record)
{
	struct seen *seen = arg;
	const struct record_sample *r = (const void *)record;
	if (record->kind != RECORD_SAMPLE || r->source != SOURCE_CPU)
		return;
	seen->all += r->value / PERIOD;
	if (r->pid != seen->pid || record->time_ns < seen->from ||
	    (seen->until && record->time_ns > seen->until))
		return;
	seen->samples++;
	seen->value += r->value;
	seen->odd += r->value != PERIOD * seen->every;
}

static pid_t begin(void)
{
	pid_t pid = fork();
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (volatile unsigned long n = 0;; n++)
			;
	}
	assert_true(pid > 0);
	return pid;
}

static uint64_t cpu_of(pid_t pid)
{
	clockid_t clock;
	struct timespec t;
	assert_int_equal(clock_getcpuclockid(pid, &clock), 0);
	assert_int_equal(clock_gettime(clock, &t), 0);
	return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
}

static void drain(struct kernel *k, uint64_t ns)
{
	uint64_t until = clock_now() + ns;
	while (clock_now() < until) {
		kernel_drain(k, 1000);
		usleep(10000);
	}
}

static void fewer_bear_more(bool no_loop)
{
	char why[256];
	struct seen seen = {.every = 1};
	struct kernel_options o = {.max_depth = 127,
	    .cpu_period_ns = PERIOD,
	    .no_loop = no_loop,
	    .governed = true,
	    .on_record = on_record,
	    .arg = &seen};
	struct kernel *k = kernel_new(&o, why, sizeof(why));
	if (!k && (errno == EPERM || errno == EACCES)) {
		printf("[  SKIPPED ] %s\n", why);
		skip();
	}
	if (!k)
		fail_msg("%s", why);
	pid_t pid = begin();
	seen.pid = (uint32_t)pid;
	if (kernel_start(k, why, sizeof(why)))
		fail_msg("%s", why);
	for (int i = 0; i < 100 && seen.samples < 20; i++)
		drain(k, NS_PER_S / 10);
	assert_true(seen.samples >= 20 && !seen.odd);
	static const uint32_t rates[] = {8, 64, 2, 1};
	for (size_t i = 0; i < sizeof(rates) / sizeof(*rates); i++) {
		kernel_set_rates(k, rates[i]);
		drain(k, NS_PER_S / 10); // what was under way
		seen.every = rates[i];
		seen.samples = seen.odd = 0;
		seen.value = 0;
		seen.until = 0;
		seen.from = clock_now();
		uint64_t began = cpu_of(pid);
		drain(k, NS_PER_S);
		uint64_t ran = cpu_of(pid) - began;
		seen.until = clock_now();
		drain(k, NS_PER_S / 20);
		assert_int_equal(seen.odd, 0);
		// Whose tick it is that is taken is chance, where it shares its CPU.
		uint64_t off = ran / 5 + 6 * rates[i] * PERIOD;
		assert_in_range(seen.value, off < ran ? ran - off : 0, ran + off);
		assert_in_range(seen.samples, 1, (ran + off) / PERIOD / rates[i]);
	}
	kernel_set_rates(k, 1000); // too low: as if nothing had been said
	drain(k, NS_PER_S / 10);
	seen.odd = 0;
	seen.until = 0;
	drain(k, NS_PER_S / 5);
	assert_int_equal(seen.odd, 0);
	kernel_stop(k);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	while (kernel_drain(k, 1000))
		;
	uint64_t counters[KERNEL_COUNTER_COUNT];
	assert_int_equal(kernel_counters(k, counters), 0);
	assert_int_equal(counters[KERNEL_EMITTED], seen.all);
	uint64_t lost = 0;
	for (int i = KERNEL_LOST_FIRST; i <= KERNEL_LOST_LAST; i++)
		lost += counters[i];
	assert_int_equal(counters[KERNEL_TAKEN], seen.all + lost);
	assert_true(counters[KERNEL_STACKS_NS] > 100 * 500);
	kernel_free(k);
	assert_int_equal(mem_used(ACCOUNT_MAPS), 0);
}

static void with_loop(void **state)
{
	(void)state;
	fewer_bear_more(false);
}

static void with_steps(void **state)
{
	(void)state;
	fewer_bear_more(true);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(with_loop), cmocka_unit_test(with_steps)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
