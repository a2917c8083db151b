// SPDX-License-Identifier: Apache-2.0
// The clock of switches against a CLOCK_MONOTONIC that is set right, seen late, and idle for long.
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "../../bpf/clock.h"
#include "../../modules/base/base.h"

#define APART 123456789012ull
#define USUAL_NS 1000 // at most, until CLOCK_MONOTONIC is asked

static struct {
	struct switch_clock clock;
	uint64_t now;	   // of the scheduler's clock
	double monotonic;  // by how much it is further than APART says
	double rate;	   // nanoseconds that it gains in one
	int64_t ahead, behind; // at most
	unsigned random;
} it;

static void begin(double rate)
{
	memset(&it, 0, sizeof(it));
	it.now = 3600 * NS_PER_S;
	it.rate = rate;
	it.random = 1;
}

static void forget_worst(void)
{
	it.ahead = it.behind = 0;
}

// A switch GAP after the last one; CLOCK_MONOTONIC is asked LATE after the scheduler's clock.
static void switched(uint64_t gap, uint64_t late)
{
	it.now += gap;
	it.monotonic += (double)gap * it.rate;
	uint64_t truth = it.now + APART + (uint64_t)(int64_t)it.monotonic;
	if (clock_is_due(&it.clock, it.now))
		clock_found(&it.clock, it.now, truth + late);
	int64_t off = (int64_t)(it.now + it.clock.apart_ns - truth);
	it.ahead = off > it.ahead ? off : it.ahead;
	it.behind = -off > it.behind ? -off : it.behind;
}

static uint64_t some(uint64_t most)
{
	it.random = it.random * 1103515245 + 12345;
	return it.random / 65536 % most;
}

// So long, with a switch each 100 us about.
static void run(uint64_t ns)
{
	for (uint64_t end = it.now + ns; it.now < end;)
		switched(some(200000), some(USUAL_NS));
}

static void test_follows(void **state)
{
	(void)state;
	begin(0);
	run(10 * NS_PER_S);
	assert_true(it.ahead <= USUAL_NS);
	assert_int_equal(it.behind, 0);
}

static void test_what_is_seen_late_is_not_believed(void **state)
{
	(void)state;
	begin(0);
	run(NS_PER_S);
	for (int i = 0; i < 5; i++) {
		forget_worst();
		switched(CLOCK_NS, 20 * NS_PER_MS);
		run(3 * CLOCK_NS);
		assert_true(it.ahead < 4 * USUAL_NS);
	}
	forget_worst();
	switched(100 * NS_PER_MS, 20 * NS_PER_MS); // as far as they may have drifted meanwhile
	run(NS_PER_S);
	assert_true(it.ahead < (int64_t)(100 * NS_PER_MS / CLOCK_DRIFT) + 2 * USUAL_NS);
	forget_worst();
	run(NS_PER_S);
	assert_true(it.ahead <= USUAL_NS);
}

static void test_a_drift_is_followed(void **state)
{
	(void)state;
	const double rates[] = {1.0 / CLOCK_DRIFT, -1.0 / CLOCK_DRIFT, -0.083};
	for (int i = 0; i < 3; i++) {
		begin(rates[i]);
		run(10 * NS_PER_S);
		// By a clock that runs faster until it is asked again, and as one is not believed at once.
		assert_true(it.ahead < USUAL_NS + 1.2 * CLOCK_NS * (rates[i] < 0 ? -rates[i] : 0));
		assert_true(it.behind < 5 * USUAL_NS);
		it.rate = 0;
		run(NS_PER_S / 100);
		forget_worst();
		run(NS_PER_S);
		assert_true(it.ahead <= USUAL_NS);
	}
}

// As chrony lets it run, 8.3 % faster, to make up for half a second.
static void test_a_clock_set_right_fast_is_not_lost(void **state)
{
	(void)state;
	begin(0);
	run(NS_PER_S);
	it.rate = 0.083;
	run(6 * NS_PER_S);
	assert_true(it.behind < 2.3 * CLOCK_DOUBTS * CLOCK_NS * 0.083);
	it.rate = 0;
	run(20 * NS_PER_MS);
	forget_worst();
	run(NS_PER_S);
	assert_true(it.behind < USUAL_NS);
	assert_true(it.ahead <= USUAL_NS);
}

static void test_an_idle_cpu_finds_its_time_again(void **state)
{
	(void)state;
	begin(1.0 / CLOCK_DRIFT);
	run(NS_PER_S);
	forget_worst();
	switched(3600 * NS_PER_S, 100);
	run(NS_PER_S);
	assert_true(it.ahead <= USUAL_NS);
	assert_true(it.behind < 5 * USUAL_NS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_follows),
	    cmocka_unit_test(test_what_is_seen_late_is_not_believed),
	    cmocka_unit_test(test_a_drift_is_followed),
	    cmocka_unit_test(test_a_clock_set_right_fast_is_not_lost),
	    cmocka_unit_test(test_an_idle_cpu_finds_its_time_again),
	};
	return cmocka_run_group_tests_name("kernel_clock", tests, NULL, NULL);
}
