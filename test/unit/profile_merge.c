// SPDX-License-Identifier: Apache-2.0
// Merging: sums, differences, filters, equality by name, slices, and memory that fails.
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>

#include "../../modules/profile/merge.c"

// A window as the agent fills it: KEY stands for the caller's own ids, which differ from window to
// window.
static struct profile *window(uint32_t key, uint32_t stacks)
{
	struct profile *p = profile_new(ACCOUNT_PROFILE, profile_type_find("cpu"));
	struct profile_header *h = profile_header(p);
	h->time_ns = 1000 - key;
	h->duration_ns = 10;
	h->period = 99;
	profile_add_name(p, key % 2 ? "odd" : "even"); // so that name ids differ
	struct profile_mapping m = {.key = key,
	    .start = 0x1000,
	    .limit = 0x9000,
	    .file = profile_add_name(p, "/bin/app"),
	    .build_id = profile_add_name(p, "abcd")};
	uint32_t mapping = profile_add_mapping(p, &m);
	for (uint32_t i = 0; i < stacks; i++) {
		char name[32];
		uint32_t frames[20];
		for (uint32_t k = 0; k < 20; k++) {
			uint32_t n = (i >> k) % 64;
			struct profile_frame f = {
			    .address = 0x1000 + n, .owner = key, .place = 2, .mapping = mapping};
			snprintf(name, sizeof(name), "function_%u", n);
			frames[k] = profile_add_frame(p, &f);
			profile_set_frame_name(p, frames[k], name, k % 2 ? "_Z1" : NULL);
		}
		struct profile_label label = {
		    .key = profile_add_name(p, "key"), .str = profile_add_name(p, "v")};
		struct profile_label service = {.key = profile_add_name(p, "service.name"),
		    .str = profile_add_name(p, i % 3 ? "shop" : "cart")};
		struct profile_subject s = {.pid = 1 + i % 3,
		    .tid = i % 7,
		    .comm = profile_add_name(p, "comm"),
		    .labels = profile_add_labels(p, &label, 1),
		    .resource = profile_add_labels(p, &service, 1)};
		profile_add(p, profile_add_stack(p, frames, 20), profile_add_subject(p, &s),
		    (int64_t[]){1, i});
	}
	profile_add_lost(p, "[lost: ring full]", (int64_t[]){5, 500});
	profile_seal(p);
	return p;
}

static int64_t total(const struct profile *p)
{
	int64_t totals[PROFILE_VALUES_MAX];
	profile_totals(p, totals);
	return totals[0];
}

static void run(struct profile *into, const struct profile *from, int scale)
{
	struct profile_merge *m = profile_merge_new(into, from, scale, NULL, NULL);
	assert_non_null(m);
	while (profile_merge_step(m, UINT64_MAX))
		;
	profile_merge_free(m);
}

static void equal_code_of_two_windows_is_one(void **state)
{
	(void)state;
	struct profile *a = window(1, 200), *b = window(2, 200);
	struct profile *sum = profile_new_like(ACCOUNT_PROFILE, a);
	run(sum, a, 1);
	uint32_t frames = profile_frame_count(sum), stacks = profile_stack_count(sum),
		 samples = profile_sample_count(sum), subjects = profile_subject_count(sum);
	run(sum, b, 1);
	assert_int_equal(profile_frame_count(sum), frames);
	assert_int_equal(profile_stack_count(sum), stacks);
	assert_int_equal(profile_sample_count(sum), samples);
	assert_int_equal(profile_subject_count(sum), subjects);
	assert_int_equal(profile_mapping_count(sum), 1);
	assert_int_equal(total(sum), total(a) + total(b));
	for (uint32_t i = 1; i < samples; i++)
		assert_int_equal(profile_sample(sum, i)->values[0] % 2, 0);
	const struct profile_header *h = profile_header_of(sum);
	assert_int_equal(h->time_ns, 998);
	assert_int_equal(h->duration_ns, 20);
	assert_int_equal(h->period, 99);
	run(sum, a, -1);
	run(sum, b, -1);
	for (uint32_t i = 0; i < profile_sample_count(sum); i++)
		assert_int_equal(profile_sample(sum, i)->values[0], 0);
	profile_free(a);
	profile_free(b);
	profile_free(sum);
	assert_int_equal(mem_used(ACCOUNT_PROFILE), 0);
}

static bool is_pid(void *arg, const struct profile *from, const struct profile_subject *s)
{
	(void)from;
	return s->pid == *(uint32_t *)arg;
}

static void only_what_is_wanted(void **state)
{
	(void)state;
	struct profile *a = window(1, 300), *sum = profile_new_like(ACCOUNT_PROFILE, a);
	uint32_t pid = 2;
	struct profile_merge *m = profile_merge_new(sum, a, 1, is_pid, &pid);
	while (profile_merge_step(m, UINT64_MAX))
		;
	profile_merge_free(m);
	assert_int_equal(total(sum), 100);
	for (uint32_t i = 1; i < profile_sample_count(sum); i++) {
		const struct profile_subject *s =
		    profile_subject(sum, profile_sample(sum, i)->subject);
		uint32_t count;
		const struct profile_label *l = profile_labels(sum, s->labels, &count);
		assert_int_equal(s->pid, 2);
		assert_int_equal(count, 1);
		assert_string_equal(profile_name(sum, l->str), "v");
	}
	profile_free(a);
	profile_free(sum);
}

// Two windows, one process: its resource is one, and stays with its process.
static void resources_are_kept(void **state)
{
	(void)state;
	struct profile *a = window(1, 50), *b = window(2, 50),
		       *sum = profile_new_like(ACCOUNT_PROFILE, a);
	uint32_t sets[4] = {0}, count;
	run(sum, a, 1);
	run(sum, b, 1);
	for (uint32_t i = 2; i < profile_sample_count(sum); i++) {
		const struct profile_subject *s =
		    profile_subject(sum, profile_sample(sum, i)->subject);
		if (!s->pid)
			continue; // lost
		const struct profile_label *l = profile_labels(sum, s->resource, &count);
		assert_int_equal(count, 1);
		assert_string_equal(profile_name(sum, l->key), "service.name");
		assert_string_equal(profile_name(sum, l->str), s->pid == 1 ? "cart" : "shop");
		if (!sets[s->pid])
			sets[s->pid] = s->resource;
		assert_int_equal(s->resource, sets[s->pid]);
	}
	assert_int_equal(sets[2], sets[3]);
	assert_int_not_equal(sets[1], sets[2]);
	profile_free(a);
	profile_free(b);
	profile_free(sum);
}

static void what_differs_is_refused(void **state)
{
	(void)state;
	struct profile *cpu = window(1, 1);
	struct profile *wall = profile_new(ACCOUNT_PROFILE, profile_type_find("mutex"));
	assert_null(profile_merge_new(wall, cpu, 1, NULL, NULL));
	assert_int_equal(errno, EINVAL);
	struct profile *sealed = window(2, 1);
	assert_null(profile_merge_new(sealed, cpu, 1, NULL, NULL));
	assert_int_equal(errno, EINVAL);
	profile_free(sealed);
	profile_free(cpu);
	profile_free(wall);
}

static void slices_are_short(void **state)
{
	(void)state;
	struct profile *a = window(1, 20000), *sum = profile_new_like(ACCOUNT_PROFILE, a);
	struct profile_merge *m = profile_merge_new(sum, a, 1, NULL, NULL);
	uint64_t longest = 0, steps = 0, whole = clock_now();
	for (int more = 1; more; steps++) {
		uint64_t start = clock_now();
		more = profile_merge_step(m, 100 * NS_PER_US);
		uint64_t took = clock_now() - start;
		longest = took > longest ? took : longest;
	}
	assert_true(steps > 3);
	print_message("%u samples merged in %lu us, %lu steps, longest %lu us\n",
	    profile_sample_count(a), (clock_now() - whole) / 1000, steps, longest / 1000);
	assert_int_equal(total(sum), total(a));
	profile_merge_free(m);
	profile_free(a);
	profile_free(sum);
}

static void totals_hold_when_memory_fails(void **state)
{
	(void)state;
	struct profile *a = window(1, 2000);
	uint64_t sites = 0, n = 1;
	do {
		mem_fail_at(n);
		struct profile *sum = profile_new_like(ACCOUNT_PROFILE, a);
		struct profile_merge *m = sum ? profile_merge_new(sum, a, 1, NULL, NULL) : NULL;
		while (m && profile_merge_step(m, UINT64_MAX))
			;
		sites = mem_fail_seen();
		mem_fail_at(0);
		if (m)
			assert_int_equal(total(sum), total(a));
		profile_merge_free(m);
		profile_free(sum);
	} while (sites >= n++);
	assert_true(n > 40);
	profile_free(a);
	assert_int_equal(mem_used(ACCOUNT_PROFILE), 0);
}

// Some samples alone; and of a stack that is too deep both ends, in as many frames as were asked
// for.
static void only_some_samples(void **state)
{
	(void)state;
	struct profile *from = window(1, 200), *into = profile_new_like(ACCOUNT_PROFILE, from);
	static const uint32_t some[] = {7, 3, 150};
	for (uint32_t depth = 0; depth <= 20; depth += 5) {
		struct profile_merge *m = profile_merge_new(into, from, 1, NULL, NULL);
		profile_merge_only(m, some, 3, depth);
		assert_int_equal(profile_merge_step(m, UINT64_MAX), 0);
		profile_merge_free(m);
	}
	assert_int_equal(total(into), 5 * 3);
	uint32_t cut = 0;
	for (uint32_t id = 2; id <= profile_stack_count(into); id++) { // 1 is the lost one
		uint32_t count, had, marks = 0;
		const uint32_t *frames = profile_stack(into, id, &count);
		for (uint32_t i = 0; i < count; i++) {
			const struct profile_frame *f = profile_frame(into, frames[i]);
			marks += f->kind == FRAME_MARK;
			if (f->kind == FRAME_MARK)
				assert_string_equal(
				    profile_name(into, f->name), "[truncated: too deep]");
		}
		assert_true(count == 20 ? !marks : marks == 1 && count % 5 == 0);
		if (count == 20)
			continue;
		cut++;
		// Its ends are those of a whole one.
		const uint32_t *whole = profile_stack(into, 2 + (id - 2) % 3, &had);
		assert_int_equal(had, 20);
		assert_int_equal(frames[0], whole[0]);
		assert_int_equal(frames[1], whole[1]);
		assert_int_equal(frames[count - 1], whole[19]);
		assert_int_equal(frames[count - 2], whole[18]);
	}
	assert_int_equal(cut, 9);
	profile_free(from);
	profile_free(into);
	assert_int_equal(mem_used(ACCOUNT_PROFILE), 0);
}

// Samples that only that label told apart become one; its name elsewhere stays.
static void a_label_may_be_left_out(void **state)
{
	(void)state;
	struct profile *from = profile_new(ACCOUNT_PROFILE, profile_type_find("cpu"));
	struct profile_label where = {.key = profile_add_name(from, "where")},
			     kind = {.key = profile_add_name(from, "kind"),
				 .str = profile_add_name(from, "rw")};
	uint32_t frame = profile_add_mark(from, "f"), stack = profile_add_stack(from, &frame, 1);
	for (uint32_t i = 0; i < 8; i++) { // four places; half of them with a second label
		char place[16];
		snprintf(place, sizeof(place), "0x%x", i / 2);
		where.str = profile_add_name(from, place);
		const struct profile_label labels[] = {where, kind};
		struct profile_subject s = {.pid = 1,
		    .labels = profile_add_labels(from, labels, 1 + i % 2),
		    .resource = profile_add_labels(from, &where, 1)};
		s.resource = i < 6 ? 0 : s.resource;
		profile_add(from, stack, profile_add_subject(from, &s), (int64_t[]){1, 10});
	}
	profile_seal(from);
	for (int without = 0; without < 3; without++) {
		struct profile *into = profile_new_like(ACCOUNT_PROFILE, from);
		struct profile_merge *m = profile_merge_new(into, from, 1, NULL, NULL);
		if (without)
			profile_merge_without(m, "where");
		if (without == 2)
			profile_merge_without_resources(m);
		assert_int_equal(profile_merge_step(m, UINT64_MAX), 0);
		profile_merge_free(m);
		assert_int_equal(total(into), 8);
		assert_int_equal(profile_sample_count(into), 1 + (without == 2 ? 2
								     : without ? 4
									       : 8));
		for (uint32_t i = 1; without == 2 && i < 3; i++)
			assert_int_equal(
			    profile_subject(into, profile_sample(into, i)->subject)->resource, 0);
		for (uint32_t i = 1; without == 1 && i < 5; i++) {
			const struct profile_sample *x = profile_sample(into, i);
			const struct profile_subject *s = profile_subject(into, x->subject);
			uint32_t count = 0;
			const struct profile_label *l = profile_labels(into, s->labels, &count);
			assert_int_equal(x->values[0], i < 3 ? 3 : 1);
			assert_int_equal(count, i % 2 ? 0 : 1);
			if (count)
				assert_string_equal(profile_name(into, l->key), "kind");
			assert_true(i < 3 ? !s->resource : s->resource);
		}
		profile_free(into);
	}
	profile_free(from);
	assert_int_equal(mem_used(ACCOUNT_PROFILE), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(equal_code_of_two_windows_is_one),
	    cmocka_unit_test(only_what_is_wanted),
	    cmocka_unit_test(resources_are_kept),
	    cmocka_unit_test(what_differs_is_refused),
	    cmocka_unit_test(only_some_samples),
	    cmocka_unit_test(a_label_may_be_left_out),
	    cmocka_unit_test(slices_are_short),
	    cmocka_unit_test(totals_hold_when_memory_fails),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
