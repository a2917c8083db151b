// SPDX-License-Identifier: Apache-2.0
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "../../modules/filter/filter.c"

#define A "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define LIST(...) ((const char *const[]){__VA_ARGS__, NULL})

// A simple, exponential truth for glob.
static bool slow_glob(const char *p, const char *s)
{
	if (!*p)
		return !*s;
	if (*p == '*')
		return slow_glob(p + 1, s) || (*s && slow_glob(p, s + 1));
	return *s && (*p == '?' || *p == *s) && slow_glob(p + 1, s + 1);
}

static void every_short_pattern_matches_as_it_should(void **state)
{
	(void)state;
	static const char in_pattern[] = "ab*?", in_name[] = "ab*";
	for (int i = 0; i < 4096; i++)
		for (int j = 0; j < 729; j++) {
			char pattern[7] = "", name[7] = "";
			int a = i, b = j;
			for (int k = 0; k < i % 7; k++, a /= 4)
				pattern[k] = in_pattern[a % 4];
			for (int k = 0; k < j % 7; k++, b /= 3)
				name[k] = in_name[b % 3];
			if (glob(pattern, name) != slow_glob(pattern, name))
				fail_msg("%s %s", pattern, name);
		}
}

static void no_name_makes_a_pattern_slow(void **state)
{
	(void)state;
	static char path[65536];
	memset(path, 'a', sizeof(path) - 1);
	char pattern[ITEM_LENGTH_MAX + 1];
	for (int i = 0; i < ITEM_LENGTH_MAX; i++)
		pattern[i] = i & 1 ? 'a' : '*';
	pattern[ITEM_LENGTH_MAX - 1] = 'b';
	pattern[ITEM_LENGTH_MAX] = 0;
	uint64_t from = clock_now();
	assert_false(glob(pattern, path));
	assert_true(clock_now() - from < NS_PER_S);
}

static struct filter *make(struct filter_options options)
{
	char why[200] = "";
	struct filter *f = filter_new(&options, why, sizeof(why));
	if (!f)
		fail_msg("%s", why);
	return f;
}

static const struct filter_subject redis = {
    .pid = 42,
    .comm = "redis-server",
    .executable = "/usr/bin/redis-check-rdb",
    .cgroup = "/system.slice/redis.service",
    .container = A,
};
static const struct filter_subject unknown = {
    .pid = 43, .comm = "", .executable = "", .cgroup = "", .container = ""};

static void each_list_takes_its_own(void **state)
{
	(void)state;
	const struct {
		struct filter_options options;
		bool wanted;
	} cases[] = {
	    {{.pids = (const uint32_t[]){7, 42}, .pid_count = 2}, true},
	    {{.pids = (const uint32_t[]){7, 8}, .pid_count = 2}, false},
	    {{.container_ids = LIST("01234567")}, true},
	    {{.container_ids = LIST("0123456789ABCDEF")}, true},
	    {{.container_ids = LIST(A)}, true},
	    {{.container_ids = LIST("11234567", "123456789")}, false},
	    {{.names = LIST("redis-server")}, true},
	    {{.names = LIST("redis")}, false},
	    {{.names = LIST("nginx", "redis-*")}, true},
	    {{.names = LIST("*")}, true},
	    {{.names = LIST("redis?server")}, true},
	    {{.executables = LIST("redis-check-rdb")}, true},
	    {{.executables = LIST("redis-*")}, true},
	    {{.executables = LIST("/usr/bin/redis-check-rdb")}, true},
	    {{.executables = LIST("/usr/*/redis-*")}, true},
	    {{.executables = LIST("*/bin/*")}, true},
	    {{.executables = LIST("bin/redis-check-rdb")}, false},
	    {{.executables = LIST("redis-server")}, false},
	    {{.cgroups = LIST("/system.slice")}, true},
	    {{.cgroups = LIST("/system.slice/")}, true},
	    {{.cgroups = LIST("/system.slice/redis.service")}, true},
	    {{.cgroups = LIST("/")}, true},
	    {{.cgroups = LIST("/system.slic")}, false},
	    {{.cgroups = LIST("/system.slice/redis.service/x")}, false},
	    {{.cgroups = LIST("/user.slice"), .names = LIST("nginx", "redis-server")}, true},
	    {{.cgroups = LIST("/user.slice"), .names = LIST("nginx")}, false},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct filter *f = make(cases[i].options);
		assert_true(filter_asks(f));
		assert_false(filter_matched(f));
		if (filter_wants(f, &redis) != cases[i].wanted)
			fail_msg("case %zu", i);
		assert_int_equal(filter_matched(f), cases[i].wanted);
		bool all = cases[i].options.names && !strcmp(cases[i].options.names[0], "*");
		assert_int_equal(filter_wants(f, &unknown), all);
		filter_free(f);
	}
	assert_int_equal(mem_used(ACCOUNT_FILTER), 0);
}

static void without_a_list_everything_is_wanted(void **state)
{
	(void)state;
	struct filter *f = make((struct filter_options){.names = (const char *const[]){NULL}});
	assert_false(filter_asks(f));
	assert_true(filter_wants(f, &redis));
	assert_true(filter_wants(f, &unknown));
	assert_false(filter_matched(f)); // by no list
	assert_false(filter_needs_cgroup(f));
	assert_false(filter_needs_executable(f));
	filter_free(f);
	filter_free(NULL);
	f = make((struct filter_options){.executables = LIST("x")});
	assert_true(filter_needs_executable(f));
	assert_false(filter_needs_cgroup(f));
	filter_free(f);
	f = make((struct filter_options){.container_ids = LIST("01234567")});
	assert_true(filter_needs_cgroup(f));
	filter_free(f);
	f = make((struct filter_options){.cgroups = LIST("/x")});
	assert_true(filter_needs_cgroup(f));
	filter_free(f);
}

static void a_name_longer_than_the_kernel_keeps_still_matches(void **state)
{
	(void)state;
	struct filter *f = make((struct filter_options){.names = LIST("systemd-journald-remote")});
	struct filter_subject s = unknown;
	s.comm = "systemd-journal";
	assert_true(filter_wants(f, &s));
	filter_free(f);
}

static void a_bad_item_is_named(void **state)
{
	(void)state;
	static char huge[5000];
	memset(huge, '/', sizeof(huge) - 1);
	static const char *many[ITEMS_MAX + 2];
	for (int i = 0; i <= ITEMS_MAX; i++)
		many[i] = "x";
	const struct {
		struct filter_options options;
		const char *why;
	} cases[] = {
	    {{.container_ids = LIST("01234567", "0123456")},
		"container \"0123456\" is not 8 to 64 hexadecimal digits"},
	    {{.container_ids = LIST("my-container")},
		"container \"my-container\" is not 8 to 64 hexadecimal digits"},
	    {{.container_ids = LIST(A "0")},
		"container \"" A "0\" is not 8 to 64 hexadecimal digits"},
	    {{.names = LIST("a", "")}, "process name \"\" is empty"},
	    {{.cgroups = LIST("system.slice")},
		"cgroup \"system.slice\" does not begin with a slash"},
	    {{.names = many}, "process names: more than 1024"},
	    {{.pids = (const uint32_t[]){1, 0}, .pid_count = 2}, "pid 0 is no process"},
	    {{.pids = (const uint32_t[]){1}, .pid_count = 5000}, "pids: more than 1024"},
	};
	char why[200];
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_null(filter_new(&cases[i].options, why, sizeof(why)));
		assert_int_equal(errno, EINVAL);
		assert_string_equal(why, cases[i].why);
	}
	assert_null(
	    filter_new(&(struct filter_options){.executables = LIST(huge)}, why, sizeof(why)));
	assert_non_null(strstr(why, "is longer than 255 bytes"));
	assert_null(filter_new(&(struct filter_options){.cgroups = LIST(huge)}, why, sizeof(why)));
	assert_non_null(strstr(why, "is longer than 4095 bytes"));
	assert_null(filter_new(&(struct filter_options){.names = LIST("")}, why, 8));
	assert_string_equal(why, "process");
	assert_int_equal(mem_used(ACCOUNT_FILTER), 0);
}

static void a_failed_allocation_leaves_nothing(void **state)
{
	(void)state;
	const struct filter_options options = {
	    .pids = (const uint32_t[]){1},
	    .pid_count = 1,
	    .container_ids = LIST("01234567"),
	    .names = LIST("a", "b"),
	    .executables = LIST("a"),
	    .cgroups = LIST("/a", "/b"),
	};
	char why[100];
	int n = 1;
	for (;; n++) {
		mem_fail_at((uint64_t)n);
		struct filter *f = filter_new(&options, why, sizeof(why));
		mem_fail_at(0);
		filter_free(f);
		assert_int_equal(mem_used(ACCOUNT_FILTER), 0);
		if (f)
			break;
		assert_int_equal(errno, ENOMEM);
		assert_string_equal(why, "Cannot allocate memory");
	}
	assert_int_equal(n, 1 + 1 + 4 + 6 + 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(every_short_pattern_matches_as_it_should),
	    cmocka_unit_test(no_name_makes_a_pattern_slow),
	    cmocka_unit_test(each_list_takes_its_own),
	    cmocka_unit_test(without_a_list_everything_is_wanted),
	    cmocka_unit_test(a_name_longer_than_the_kernel_keeps_still_matches),
	    cmocka_unit_test(a_bad_item_is_named),
	    cmocka_unit_test(a_failed_allocation_leaves_nothing),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
