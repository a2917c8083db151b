// SPDX-License-Identifier: Apache-2.0
// Arguments, environment and mounts, faked: as the kernel writes them, and as nobody should.
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "../../modules/base/base.h"
#include "../../modules/proc/strings.c"
#include "proc_fake.h"

static char seen[4096];
static unsigned count;

static int each_one(void *arg, const char *s)
{
	(void)arg;
	size_t n = strlen(seen);
	count++;
	snprintf(seen + n, sizeof(seen) - n, "%.20s|", s ? s : "LONG");
	return s && !strcmp(s, "stop");
}

static int listed(int (*lists)(struct proc *, uint32_t, int (*)(void *, const char *), void *))
{
	struct proc *p = proc_new(fake_root);
	int before = fake_open_descriptors();
	count = 0;
	*seen = 0;
	int error = lists(p, 42, each_one, NULL);
	assert_int_equal(fake_open_descriptors(), before);
	proc_free(p);
	return error;
}

static void arguments_are_told_one_by_one(void **state)
{
	(void)state;
	assert_int_equal(listed(proc_arguments), -ENOENT);
	fake_write("42/cmdline", "a\0b c\0\0d\n\0", 10);
	assert_int_equal(listed(proc_arguments), 0);
	assert_string_equal(seen, "a|b c||d\n|");
	fake_write("42/cmdline", "a\0stop\0b\0", 9);
	assert_int_equal(listed(proc_arguments), 0);
	assert_string_equal(seen, "a|stop|");
	fake_puts("42/cmdline", "");
	assert_int_equal(listed(proc_arguments), 0);
	assert_string_equal(seen, "");
}

static void what_is_too_long_is_said_or_left_out(void **state)
{
	(void)state;
	static char big[200000];
	memset(big, 'x', sizeof(big));
	memcpy(big, "a", 2);
	memcpy(big + 30000, "\0b\0", 3);
	fake_write("42/cmdline", big, 30003);
	assert_int_equal(listed(proc_arguments), 0);
	assert_string_equal(seen, "a|LONG|b|");
	fake_write("42/environ", big, 30003);
	assert_int_equal(listed(proc_environment), 0);
	assert_string_equal(seen, "a|b|");
	// A single one that never ends, and many: so much is read, and no more.
	memset(big, 'x', sizeof(big));
	fake_write("42/environ", big, sizeof(big));
	assert_int_equal(listed(proc_environment), 0);
	assert_int_equal(count, 0);
	memset(big, 0, sizeof(big));
	fake_write("42/environ", big, sizeof(big));
	assert_int_equal(listed(proc_environment), 0);
	assert_int_equal(count, STRINGS_LIMIT);
}

static void mounts_show_directories(void **state)
{
	(void)state;
	fake_puts("42/mountinfo", "36 35 98:0 /a /b rw - ext3 /dev/x rw\n"
				  "37 35 0:4 net:[4026531840] /run/netns/x rw - nsfs nsfs rw\n"
				  "bad\n\n1 2 3\n1 2 3 /x\n"
				  "38 35 98:0 /c\\040d /b rw - ext3 /dev/x rw\n");
	assert_int_equal(listed(proc_mounts), 0);
	assert_string_equal(seen, "/a|/c\\040d|");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(arguments_are_told_one_by_one, fake_begin, fake_end),
	    cmocka_unit_test_setup_teardown(
		what_is_too_long_is_said_or_left_out, fake_begin, fake_end),
	    cmocka_unit_test_setup_teardown(mounts_show_directories, fake_begin, fake_end),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
