// SPDX-License-Identifier: Apache-2.0
// The report of what has been in use for long.
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "../../modules/command/leaks.c"

static struct profile *p;

static void add(uint32_t pid, const char *leaf, const char *age, int64_t objects, int64_t bytes)
{
	struct profile_label l = {
	    .key = profile_add_name(p, "age"), .str = profile_add_name(p, age)};
	struct profile_subject s = {.pid = pid, .labels = profile_add_labels(p, &l, 1)};
	uint32_t frames[] = {profile_add_mark(p, leaf), profile_add_mark(p, "main")};
	int64_t values[] = {objects, bytes};
	profile_add(p, profile_add_stack(p, frames, 2), profile_add_subject(p, &s), values);
}

static void the_largest_come_first(void **state)
{
	struct text t = TEXT(ACCOUNT_BASE);
	(void)state;
	p = profile_new(ACCOUNT_PROFILE, profile_type_find("heap"));
	add(1, "small", ">=10s", 1, 100);
	add(1, "large", ">=10s", 2, 5000);
	add(1, "young", "<10s", 9, 9000);
	profile_seal(p);
	assert_int_equal(leaks_put(p, "10s", &t), 0);
	assert_string_equal(t.at,
	    "in use for 10s or longer, since the capture began: 5100 B in 3 blocks, from 2 "
	    "places\n\n5000 B in 2 blocks\n    large\n    main\n\n100 B in 1 blocks\n    small\n"
	    "    main\n");
	text_free(&t);
	profile_free(p);
}

static void processes_are_told_apart(void **state)
{
	struct text t = TEXT(ACCOUNT_BASE);
	(void)state;
	p = profile_new(ACCOUNT_PROFILE, profile_type_find("heap"));
	for (uint32_t i = 0; i < 30; i++)
		add(1 + i, "f", ">=1s", 1, 1000 + i);
	profile_seal(p);
	assert_int_equal(leaks_put(p, "1s", &t), 0);
	assert_non_null(strstr(t.at, "from 30 places, the largest 20:\n"));
	assert_non_null(strstr(t.at, "1029 B in 1 blocks of process 30\n"));
	assert_null(strstr(t.at, "1009 B"));
	text_free(&t);
	profile_free(p);
}

static void nothing_and_no_memory(void **state)
{
	struct text t = TEXT(ACCOUNT_BASE);
	(void)state;
	p = profile_new(ACCOUNT_PROFILE, profile_type_find("heap"));
	profile_seal(p);
	assert_int_equal(leaks_put(p, "1m", &t), 0);
	assert_string_equal(t.at,
	    "in use for 1m or longer, since the capture began: 0 B in 0 blocks, from 0 places\n");
	for (uint64_t n = 1; n < 3; n++) {
		text_free(&t);
		t = TEXT(ACCOUNT_BASE);
		mem_fail_at(n);
		assert_int_equal(leaks_put(p, "1m", &t), -ENOMEM);
		mem_fail_at(0);
	}
	text_free(&t);
	profile_free(p);
	assert_int_equal(mem_used(ACCOUNT_COMMAND), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(the_largest_come_first),
	    cmocka_unit_test(processes_are_told_apart),
	    cmocka_unit_test(nothing_and_no_memory),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
