// SPDX-License-Identifier: Apache-2.0
// A profile is filled from a seeded stream and compared with plain arrays; then again with each
// allocation failing in turn: totals must hold always.
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>

#include "../../modules/profile/add.c"

static struct profile *new_cpu(void)
{
	return profile_new(ACCOUNT_PROFILE, profile_type_find("cpu"));
}

static uint32_t add_function(struct profile *p, uint64_t address)
{
	struct profile_frame f = {.address = address, .owner = 3, .place = 2};
	return profile_add_frame(p, &f);
}

static void equal_things_get_equal_ids(void **state)
{
	(void)state;
	struct profile *p = new_cpu();
	uint32_t a = add_function(p, 0x1000), b = add_function(p, 0x2000);
	assert_int_not_equal(a, b);
	assert_int_equal(add_function(p, 0x1000), a);
	struct profile_frame named = {.address = 0x1000, .name = profile_add_name(p, "main")};
	uint32_t c = profile_add_frame(p, &named);
	assert_int_not_equal(c, a);
	assert_int_equal(profile_add_frame(p, &named), c);
	named.name = profile_add_name(p, "other");
	assert_int_not_equal(profile_add_frame(p, &named), c);

	uint32_t ab = profile_add_stack(p, (uint32_t[]){a, b}, 2);
	assert_int_equal(profile_add_stack(p, (uint32_t[]){a, b}, 2), ab);
	assert_int_not_equal(profile_add_stack(p, (uint32_t[]){b, a}, 2), ab);
	assert_int_not_equal(profile_add_stack(p, (uint32_t[]){a}, 1), ab);
	uint32_t empty = profile_add_stack(p, NULL, 0), count;
	assert_int_not_equal(empty, 0);
	assert_null(profile_stack(p, empty, &count));
	assert_int_equal(count, 0);
	assert_int_equal(profile_add_stack(p, (uint32_t[]){a, 0}, 2), 0);
	const uint32_t *frames = profile_stack(p, ab, &count);
	assert_int_equal(count, 2);
	assert_true(frames[0] == a && frames[1] == b);

	struct profile_label label = {.key = profile_add_name(p, "k"), .num = 5};
	uint32_t set = profile_add_labels(p, &label, 1);
	assert_int_equal(profile_add_labels(p, &label, 1), set);
	struct profile_subject s = {.pid = 1, .tid = 2, .labels = set};
	uint32_t subject = profile_add_subject(p, &s);
	assert_int_equal(profile_add_subject(p, &s), subject);
	s.tid++;
	assert_int_not_equal(profile_add_subject(p, &s), subject);

	assert_int_equal(profile_add(p, ab, subject, (int64_t[]){1, 10}), 0);
	assert_int_equal(profile_add(p, ab, subject, (int64_t[]){2, 20}), 0);
	assert_int_equal(profile_sample_count(p), 2);
	assert_int_equal(profile_sample(p, 1)->values[1], 30);
	assert_null(profile_sample(p, 2));
	assert_null(profile_frame(p, 0));
	assert_null(profile_frame(p, 1000));
	profile_free(p);
	assert_int_equal(mem_used(ACCOUNT_PROFILE), 0);
}

static void many_samples_add_up(void **state)
{
	(void)state;
	enum { STACKS = 5000, SUBJECTS = 60, ADDS = 60000 };
	struct profile *p = new_cpu();
	static int64_t truth[STACKS + 1][SUBJECTS + 1];
	static uint32_t stack_ids[STACKS + 1], subject_ids[SUBJECTS + 1];
	uint64_t seed = 7;
	for (int i = 0; i < ADDS; i++) {
		seed = hash_mix(seed + 1);
		uint32_t stack = 1 + (uint32_t)(seed % STACKS),
			 who = 1 + (uint32_t)(seed >> 32) % SUBJECTS;
		uint32_t frames[40], depth = 10 + stack % 30;
		for (uint32_t k = 0; k < depth; k++)
			frames[k] = add_function(p, k ? (stack / k) % 977 : stack);
		struct profile_subject s = {
		    .pid = who, .tid = who, .comm = profile_add_name(p, "c")};
		stack_ids[stack] = profile_add_stack(p, frames, depth);
		subject_ids[who] = profile_add_subject(p, &s);
		assert_int_equal(profile_add(p, stack_ids[stack], subject_ids[who],
				     (int64_t[]){1, (int64_t)stack}),
		    0);
		truth[stack][who]++;
	}
	int64_t totals[PROFILE_VALUES_MAX], cpu = 0;
	size_t before = profile_bytes(p);
	profile_seal(p);
	assert_true(profile_bytes(p) < before && mem_used(ACCOUNT_PROFILE) >= profile_bytes(p));
	for (uint32_t i = 1; i < profile_sample_count(p); i++) {
		const struct profile_sample *s = profile_sample(p, i);
		uint32_t who = profile_subject(p, s->subject)->pid, count;
		const uint32_t *frames = profile_stack(p, s->stack, &count);
		uint32_t stack = (uint32_t)profile_frame(p, frames[0])->address;
		assert_int_equal(count, 10 + stack % 30);
		assert_int_equal(s->values[0], truth[stack][who]);
		assert_int_equal(s->values[1], truth[stack][who] * stack);
		cpu += s->values[1];
		truth[stack][who] = 0;
	}
	for (int i = 0; i <= STACKS; i++)
		for (int k = 0; k <= SUBJECTS; k++)
			assert_int_equal(truth[i][k], 0);
	profile_totals(p, totals);
	assert_int_equal(totals[0], ADDS);
	assert_int_equal(totals[1], cpu);
	print_message("%u stacks, %u samples: %zu bytes open, %zu sealed, %zu a sample\n",
	    profile_stack_count(p), profile_sample_count(p), before, profile_bytes(p),
	    before / profile_sample_count(p));
	profile_free(p);
}

static void names_come_after_the_seal(void **state)
{
	(void)state;
	struct profile *p = new_cpu();
	uint32_t f = add_function(p, 0x10);
	profile_seal(p);
	assert_int_equal(profile_set_frame_name(p, f, "f()", "_Z1fv"), 0);
	assert_string_equal(profile_name(p, profile_frame(p, f)->name), "f()");
	assert_string_equal(profile_name(p, profile_frame(p, f)->system_name), "_Z1fv");
	assert_int_equal(profile_set_frame_name(p, f, "g", "g"), 0);
	assert_int_equal(profile_frame(p, f)->system_name, 0);
	static char long_name[100000];
	memset(long_name, 'x', sizeof(long_name) - 1);
	mem_fail_at(1);
	assert_int_equal(profile_set_frame_name(p, f, long_name, NULL), -ENOMEM);
	mem_fail_at(0);
	assert_string_equal(profile_name(p, profile_frame(p, f)->name), "[unnamed: memory]");
	profile_free(p);
}

// 300 samples of fresh stacks, subjects, marks and labels; returns how many were added.
static int64_t fill(struct profile *p)
{
	int64_t added = 0;
	for (uint32_t i = 0; i < 300; i++) {
		char name[300];
		snprintf(name, sizeof(name), "%0*u", (int)(i % 290) + 1, i);
		uint32_t file = profile_add_name(p, name);
		struct profile_mapping m = {.key = i, .file = file};
		struct profile_frame f = {
		    .address = i, .mapping = profile_add_mapping(p, &m), .name = file};
		uint32_t frames[100];
		for (int k = 0; k < 100; k++)
			frames[k] =
			    k < 99 ? add_function(p, i + (uint64_t)k) : profile_add_frame(p, &f);
		struct profile_label l[20] = {{.key = i}};
		struct profile_subject s = {.pid = i, .labels = profile_add_labels(p, l, 20)};
		profile_add(p, profile_add_stack(p, frames, 100), profile_add_subject(p, &s),
		    (int64_t[]){1, 2});
		added++;
		if (i % 10 == 0) {
			profile_add_lost(p, name, (int64_t[]){1, 2});
			added++;
		}
	}
	return added;
}

static void totals_hold_when_memory_fails(void **state)
{
	(void)state;
	uint64_t sites = 0, lossy = 0;
	for (uint64_t n = 1;; n++) {
		mem_fail_at(n);
		struct profile *p = new_cpu();
		if (!p) {
			assert_int_equal(errno, ENOMEM);
			assert_int_equal(mem_used(ACCOUNT_PROFILE), 0);
			continue;
		}
		int64_t totals[PROFILE_VALUES_MAX], added = fill(p);
		sites = mem_fail_seen();
		mem_fail_at(0);
		profile_totals(p, totals);
		assert_int_equal(totals[0], added);
		assert_int_equal(totals[1], 2 * added);
		lossy += profile_sample(p, 0)->values[0] != 0;
		profile_free(p);
		assert_int_equal(mem_used(ACCOUNT_PROFILE), 0);
		if (sites < n)
			break;
	}
	assert_true(sites > 50 && lossy > 5);
	// And when nothing at all is to be had any more.
	struct profile *p = new_cpu();
	uint64_t counted = count_get(COUNT_SAMPLES_STORE_FULL);
	mem_limit(1);
	int64_t totals[PROFILE_VALUES_MAX], added = fill(p);
	mem_limit(0);
	profile_totals(p, totals);
	assert_int_equal(totals[0], added);
	int64_t lost = profile_sample(p, 0)->values[0];
	assert_true(lost > 0);
	assert_int_equal(count_get(COUNT_SAMPLES_STORE_FULL) - counted, lost);
	uint32_t count;
	const uint32_t *frames = profile_stack(p, profile_sample(p, 0)->stack, &count);
	assert_string_equal(profile_name(p, profile_frame(p, *frames)->name), "[lost: store full]");
	profile_free(p);
}

static void sums_do_not_wrap(void **state)
{
	(void)state;
	struct profile *p = new_cpu();
	uint32_t f = add_function(p, 1), stack = profile_add_stack(p, &f, 1);
	for (int i = 0; i < 2; i++)
		profile_add(p, stack, SUBJECT_NOBODY, (int64_t[]){INT64_MAX, INT64_MIN});
	assert_int_equal(profile_sample(p, 1)->values[0], INT64_MAX);
	assert_int_equal(profile_sample(p, 1)->values[1], INT64_MIN);
	profile_free(p);
}

static void types_are_found(void **state)
{
	(void)state;
	const struct profile_type *cpu = profile_type_find("cpu");
	assert_null(profile_type_find("nothing"));
	assert_ptr_equal(profile_type_match(cpu->values, 2), cpu);
	assert_null(profile_type_match(cpu->values, 1));
	struct profile *p = profile_new(ACCOUNT_PROFILE, cpu);
	const struct profile_header *h = profile_header_of(p);
	assert_string_equal(profile_name(p, h->value_types[0]), "samples");
	assert_string_equal(profile_name(p, h->value_units[1]), "nanoseconds");
	assert_string_equal(profile_name(p, h->period_type), "cpu");
	profile_free(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(equal_things_get_equal_ids),
	    cmocka_unit_test(many_samples_add_up),
	    cmocka_unit_test(names_come_after_the_seal),
	    cmocka_unit_test(totals_hold_when_memory_fails),
	    cmocka_unit_test(sums_do_not_wrap),
	    cmocka_unit_test(types_are_found),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
