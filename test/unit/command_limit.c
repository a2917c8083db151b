// SPDX-License-Identifier: Apache-2.0
// memory_limit outside of the hall: what is in force, and what is said where it is too small.
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "../../modules/command/limit.c"

#include <sys/mman.h>
#include <unistd.h>

static char said[512];

static const char *say(const struct config *c, const char *done, uint64_t need)
{
	int saved = dup(2), to = memfd_create("stderr", MFD_CLOEXEC);
	dup2(to, 2);
	limit_say(c, "x.pb.gz", done, need);
	dup2(saved, 2);
	ssize_t n = pread(to, said, sizeof(said) - 1, 0);
	said[n > 0 ? n : 0] = 0;
	close(saved);
	close(to);
	return said;
}

static void what_would_do_is_told(void **state)
{
	(void)state;
	struct config c = {.memory_limit = 48 << 20};
	mem_limit(48 << 20);
	assert_string_equal(say(&c, "reading it", 0),
	    "telegen: error: x.pb.gz: reading it takes more than memory_limit, 48 MB: raise it: "
	    "--memory_limit=96MB or more\n");
	assert_string_equal(say(&c, "writing it", 30 << 20), // that much it had
	    "telegen: error: x.pb.gz: writing it takes more than memory_limit, 48 MB: raise it: "
	    "--memory_limit=96MB or more\n");
	assert_string_equal(say(&c, "reading it", 96 << 20),
	    "telegen: error: x.pb.gz: reading it takes more than memory_limit, 48 MB: raise it: "
	    "--memory_limit=96MB\n");
	assert_string_equal(say(&c, "reading it", 100 << 20),
	    "telegen: error: x.pb.gz: reading it takes more than memory_limit, 48 MB: raise it: "
	    "--memory_limit=112MB\n");
	mem_limit(24 << 20); // the cgroup's own limit is 32 MB
	assert_string_equal(say(&c, "reading it", 100 << 20),
	    "telegen: error: x.pb.gz: reading it takes more than 24 MB, 3/4 of the cgroup's own "
	    "limit: raise that limit\n");
	mem_limit(0);
}

static void the_limit_is_held(void **state)
{
	(void)state;
	struct config c = {.memory_limit = 1 << 20};
	limit_hold(&c);
	assert_int_equal(mem_limit_get(), 1 << 20);
	assert_null(mem_alloc(ACCOUNT_COMMAND, 1 << 20));
	mem_fail_at(1); // the cgroup's cannot be found out
	limit_hold(&c);
	mem_fail_at(0);
	assert_int_equal(mem_limit_get(), 1 << 20);
	mem_limit(0);
	assert_int_equal(mem_used(ACCOUNT_BASE) + mem_used(ACCOUNT_COMMAND), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(what_would_do_is_told),
	    cmocka_unit_test(the_limit_is_held),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
