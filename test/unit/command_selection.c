// SPDX-License-Identifier: Apache-2.0
// Whom a capture selects, and how that is told.
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "../../modules/command/selection.c"

#define LIST(...) ((const char *const[]){__VA_ARGS__, NULL})

static struct config *configuration(const char *const *flags)
{
	struct config_source source = {.flags = (char *const *)flags};
	struct config *c = config_load(&source, NULL, NULL);
	assert_non_null(c);
	return c;
}

static bool wants(const struct filter *f, uint32_t pid, const char *comm, const char *cgroup)
{
	struct filter_subject s = {
	    .pid = pid, .comm = comm, .executable = "/bin/x", .cgroup = cgroup, .container = ""};
	return filter_wants(f, &s);
}

static void the_command_line_goes_before_the_configuration(void **state)
{
	(void)state;
	char why[256];
	struct config *c = configuration(LIST("--profiling.target_pid=7",
	    "--profiling.target_pids=8,9", "--profiling.target_process_names=redis"));
	struct {
		struct hall_options options;
		const char *told;
		bool seven, nine, redis, nginx;
	} rows[] = {
	    {{.config = c},
		"profiling.target_pid 7 or profiling.target_pids 8,9 or "
		"profiling.target_process_names redis",
		true, true, true, false},
	    {{.config = c, .all = true}, "", true, true, true, true},
	    {{.config = c, .comms = LIST("nginx", "x")}, "--comm nginx,x", false, false, false,
		true},
	    {{.config = c, .comms = LIST("x"), .cgroups = LIST("/a", "/b")},
		"--comm x or --cgroup /a,/b", false, false, true, false},
	    {{.config = c, .containers = LIST("01234567")}, "--container 01234567", false, false,
		false, false},
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct text told = TEXT(ACCOUNT_COMMAND);
		struct filter *f = selection_filter(&rows[i].options, why, sizeof(why));
		assert_non_null(f);
		assert_int_equal(wants(f, 7, "a", ""), rows[i].seven);
		assert_int_equal(wants(f, 9, "a", ""), rows[i].nine);
		assert_int_equal(wants(f, 1, "redis", "/a/c"), rows[i].redis);
		assert_int_equal(wants(f, 1, "nginx", "/c"), rows[i].nginx);
		selection_describe(&rows[i].options, &told);
		assert_string_equal(told.at ? told.at : "", rows[i].told);
		text_free(&told);
		filter_free(f);
	}
	config_free(c);
	assert_int_equal(mem_used(ACCOUNT_COMMAND) + mem_used(ACCOUNT_FILTER), 0);
}

static void what_is_wrong_is_said(void **state)
{
	(void)state;
	char why[256];
	struct config *c = configuration(LIST("--profiling.target_pids=8,9"));
	struct hall_options o = {.config = c, .cgroups = LIST("a")};
	assert_null(selection_filter(&o, why, sizeof(why)));
	assert_int_equal(errno, EINVAL);
	assert_string_equal(why, "cgroup \"a\" does not begin with a slash");
	o.cgroups = NULL;
	for (uint64_t nth = 1;; nth++) {
		mem_fail_at(nth);
		struct filter *f = selection_filter(&o, why, sizeof(why));
		int error = errno;
		bool over = mem_fail_seen() < nth;
		mem_fail_at(0);
		filter_free(f);
		if (over)
			break;
		assert_null(f);
		assert_int_equal(error, ENOMEM);
		assert_non_null(strstr(why, "memory"));
	}
	config_free(c);
	assert_int_equal(mem_used(ACCOUNT_COMMAND) + mem_used(ACCOUNT_FILTER), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(the_command_line_goes_before_the_configuration),
	    cmocka_unit_test(what_is_wrong_is_said),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
