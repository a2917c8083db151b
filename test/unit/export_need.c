// SPDX-License-Identifier: Apache-2.0
// How much memory a profile takes: what is told suffices, for every format, and is no multiple of
// it; bytes that come in any pieces, packed or not; what is damaged or too long; no memory for it.
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "profiles.h"

#include "../../modules/export/need.c"

static int need_of(
    const char *bytes, size_t n, size_t piece, enum export_format format, struct export_need *need)
{
	struct export_need_job *j = export_need_new(256 << 20);
	int error = j ? 0 : -ENOMEM;
	for (size_t at = 0; at < n && !error; at += piece)
		error = export_need_feed(j, bytes + at, n - at < piece ? n - at : piece);
	if (!error)
		error = export_need(j, format, false, need);
	export_need_free(j);
	return error;
}

static int nowhere(void *arg, const void *bytes, size_t n)
{
	(void)arg, (void)bytes, (void)n;
	return 0;
}

static bool converts(const struct text *file, enum export_format format, uint64_t limit)
{
	char why[200];
	uint64_t refused = count_get(COUNT_MEM_REFUSED);
	mem_limit(mem_total() + limit);
	struct profile *p = profiles_import(file->at, file->len, why);
	bool done = p && !export_all(p, NULL, format, "t", &(struct wire_sink){nowhere, NULL});
	profile_free(p);
	mem_limit(0);
	return done && count_get(COUNT_MEM_REFUSED) == refused;
}

// A profile of SAMPLES stacks of DEPTH frames out of FUNCTIONS, each with a label of its own.
static void make(struct text *t, uint32_t samples, uint32_t depth, uint32_t functions, bool labels)
{
	struct profile *p = profile_new(ACCOUNT_PROFILE, profile_type_find("cpu"));
	uint32_t frames[200];
	uint64_t seed = 1;
	char name[80];
	for (uint32_t i = 0; i < samples; i++) {
		for (uint32_t k = 0; k < depth; k++) {
			uint32_t n = (uint32_t)(seed = hash_mix(seed + 1)) % functions;
			snprintf(name, sizeof(name), "some::class_of_it::function_number_%u", n);
			struct profile_frame f = {
			    .address = 0x1000 + n, .name = profile_add_name(p, name)};
			frames[k] = profile_add_frame(p, &f);
		}
		struct profile_label l = {.key = profile_add_name(p, "bytes"), .num = i + 1};
		struct profile_subject s = {.pid = 1 + i % 7};
		s.comm = s.process = profile_add_name(p, i % 2 ? "one" : "other");
		s.labels = labels ? profile_add_labels(p, &l, 1) : 0;
		profile_add(p, profile_add_stack(p, frames, depth), profile_add_subject(p, &s),
		    (int64_t[]){1, 10101010});
	}
	profile_seal(p);
	*t = TEXT(ACCOUNT_BASE);
	assert_int_equal(profiles_export(p, NULL, EXPORT_PPROF, t), 0);
	profile_free(p);
}

static void what_is_told_suffices(void **state)
{
	(void)state;
	static const struct {
		uint32_t samples, depth, functions;
		bool labels;
	} shapes[] = {{20000, 3, 1000, false}, {2000, 150, 100, false}, {3000, 20, 50000, false},
	    {50000, 1, 100, true}, {60000, 30, 5, false}};
	for (size_t i = 0; i < sizeof(shapes) / sizeof(*shapes); i++) {
		struct text file;
		struct export_need need, other;
		make(&file, shapes[i].samples, shapes[i].depth, shapes[i].functions,
		    shapes[i].labels);
		for (enum export_format f = EXPORT_PPROF; f <= EXPORT_HTML; f++) {
			assert_int_equal(need_of(file.at, file.len, 65536, f, &need), 0);
			assert_int_equal(need_of(file.at, file.len, 1000, f, &other), 0);
			assert_memory_equal(&need, &other, sizeof(need));
			uint64_t write = need.held + need.writing,
				 most = need.reading > write ? need.reading : write;
			most += most / 16 + (1 << 20);
			if (!converts(&file, f, most) || converts(&file, f, most / 4))
				fail_msg("shape %zu, format %d: %lu MB", i, f, most >> 20);
		}
		text_free(&file);
	}
	assert_int_equal(mem_used(ACCOUNT_EXPORT) + mem_used(ACCOUNT_PROFILE), 0);
}

static void distinct_items_are_estimated(void **state)
{
	(void)state;
	static const uint32_t counts[] = {1, 4096, 5000, 300000};
	for (int i = 0; i < 4; i++) {
		struct distinct d = {.weights = MAP(ACCOUNT_EXPORT)};
		for (uint64_t k = 0; k < counts[i] * 3ull; k++)
			assert_int_equal(distinct_add(&d, hash_mix(k % counts[i] + 1), 5), 0);
		assert_in_range(
		    distinct_count(&d), counts[i] - counts[i] / 12, counts[i] + counts[i] / 12);
		assert_int_equal(distinct_weight(&d), distinct_count(&d) * 5);
		assert_true(d.weights.count <= KEPT_MAX);
		map_clear(&d.weights);
	}
}

static void what_is_no_profile_is_not_known(void **state)
{
	(void)state;
	struct export_need need;
	struct text file;
	static char zeros[3 << 20];
	make(&file, 100, 10, 50, false);
	file.at[file.len / 2] ^= 0x55;
	assert_int_equal(need_of(file.at, file.len, 100, EXPORT_HTML, &need), -EBADMSG);
	text_free(&file);
	assert_int_equal(need_of(zeros, sizeof(zeros), 65536, EXPORT_HTML, &need), -E2BIG);
	// A string of 2 MB is not kept.
	memcpy(zeros, "\x32\x80\x80\x80\x01", 5);
	assert_int_equal(need_of(zeros, sizeof(zeros), 65536, EXPORT_HTML, &need), -E2BIG);
	struct export_need_job *j = export_need_new(1000);
	assert_int_equal(export_need_feed(j, zeros, 1001), -EFBIG);
	assert_int_equal(export_need_feed(j, zeros, 1), -EFBIG);
	export_need_free(j);
	assert_int_equal(mem_used(ACCOUNT_EXPORT), 0);
}

static void no_memory_for_it_is_told(void **state)
{
	(void)state;
	struct export_need need;
	struct text file;
	uint64_t n = 1, asked;
	int error, failed = 0;
	make(&file, 5000, 5, 50, true);
	do {
		mem_fail_at(n);
		error = need_of(file.at, file.len, 65536, EXPORT_FOLDED, &need);
		asked = mem_fail_seen();
		mem_fail_at(0);
		assert_true(asked < n ? !error : error == -ENOMEM);
		failed += error != 0;
		assert_int_equal(mem_used(ACCOUNT_EXPORT), 0);
	} while (asked >= n++);
	assert_true(failed > 10);
	text_free(&file);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(what_is_told_suffices),
	    cmocka_unit_test(distinct_items_are_estimated),
	    cmocka_unit_test(what_is_no_profile_is_not_known),
	    cmocka_unit_test(no_memory_for_it_is_told),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
