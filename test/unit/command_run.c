// SPDX-License-Identifier: Apache-2.0
// How long receivers are waited for at the end.
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "../../modules/command/hall.h"
#include "../../modules/deliver/deliver.h"
#include "../../modules/path/path.h"

static uint64_t asked_ns;
#define deliver_finish(d, timeout_ns, done, arg) (asked_ns = (timeout_ns))
#define path_finish(path, done, arg) (void)0 // shipping goes on; its end is the test's to tell
#include "../../modules/command/run.c"
#undef deliver_finish
#undef path_finish

static struct run r;

static uint64_t after(uint64_t encoding_ns)
{
	r = (struct run){.hall.deliver = (struct deliver *)&r};
	on_end(&r, SIGTERM);
	r.told_ns -= encoding_ns;
	on_finished(&r);
	return asked_ns;
}

static void what_naming_and_encoding_took_is_not_waited_again(void **state)
{
	(void)state;
	assert_in_range(after(0), 4 * NS_PER_S, 5 * NS_PER_S);
	assert_in_range(after(3 * NS_PER_S), NS_PER_S, 2 * NS_PER_S);
}

static void receivers_always_get_a_moment(void **state)
{
	(void)state;
	assert_int_equal(after(9 * NS_PER_S), NS_PER_S);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(what_naming_and_encoding_took_is_not_waited_again),
	    cmocka_unit_test(receivers_always_get_a_moment),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
