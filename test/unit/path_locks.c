// SPDX-License-Identifier: Apache-2.0
// The class of a lock is told by the stack that waits, whatever stands above it.
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "../../modules/path/locks.c"

static struct profile *profile;

static int make(void **state)
{
	(void)state;
	profile = profile_new(ACCOUNT_PROFILE, profile_type_find("mutex"));
	return !profile;
}

static int end(void **state)
{
	(void)state;
	profile_free(profile);
	return mem_used(ACCOUNT_PROFILE) != 0;
}

// Of frames of these names, leaf first; marks are in brackets.
static const char *class_over(uint32_t count, const char *const *names)
{
	uint32_t ids[8];
	for (uint32_t i = 0; i < count; i++) {
		struct profile_frame f = {
		    .address = 16 + i, .name = profile_add_name(profile, names[i])};
		ids[i] = *names[i] == '[' ? profile_add_mark(profile, names[i])
					  : profile_add_frame(profile, &f);
	}
	return class_of(NULL, profile, profile_add_stack(profile, ids, count));
}

#define CLASS(...)                                                                                 \
	({                                                                                         \
		const char *names_[] = {__VA_ARGS__};                                              \
		class_over(sizeof(names_) / sizeof(*names_), names_);                              \
	})

static void who_held_it_tells_nothing(void **state)
{
	(void)state;
	assert_string_equal(CLASS("pthread_mutex_lock", "waits"), "mutex");
	assert_null(CLASS("pthread_cond_wait", "waits"));
	assert_string_equal(CLASS("pthread_cond_wait", "lets_go", "[held by holder]",
				"pthread_mutex_lock", "waits"),
	    "mutex");
	assert_null(CLASS(
	    "pthread_mutex_lock", "lets_go", "[held by holder]", "pthread_cond_wait", "waits"));
	assert_null(CLASS("[woken by an interrupt]", "pthread_cond_wait", "waits"));
	assert_string_equal(CLASS("[woken by an interrupt]", "pthread_mutex_lock"), "mutex");
}

static void there_may_be_no_stack(void **state)
{
	(void)state;
	assert_string_equal(CLASS("[lost: store full]"), "unknown");
	assert_string_equal(CLASS("pthread_mutex_lock", "[held by holder]"), "unknown");
	assert_string_equal(CLASS("[kernel rwsem]", "down_read"), "kernel rwsem");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(who_held_it_tells_nothing, make, end),
	    cmocka_unit_test_setup_teardown(there_may_be_no_stack, make, end),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
