// SPDX-License-Identifier: Apache-2.0
// pprof: there and back with nothing lost; the conventions of its readers; slices; memory and sinks
// that fail.
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "profiles.h"

#include "../../modules/export/pprof.c"

static void there_and_back(void **state)
{
	(void)state;
	struct profile *p = profiles_node(3000, 1);
	struct text t = TEXT(ACCOUNT_BASE);
	char why[200];
	assert_int_equal(profiles_export(p, NULL, EXPORT_PPROF, &t), 0);
	struct profile *q = profiles_import(t.at, t.len, why);
	assert_string_equal(why, "");
	char *a = profiles_dump(p), *b = profiles_dump(q);
	assert_string_equal(a, b);
	assert_true(strlen(a) > 100000);
	const struct profile_header *h = profile_header_of(q), *was = profile_header_of(p);
	assert_ptr_equal(h->type, was->type);
	assert_true(h->time_ns == was->time_ns && h->duration_ns == was->duration_ns);
	assert_true(h->period == was->period && h->default_value == 1 && h->value_count == 2);
	assert_string_equal(profile_name(q, h->period_unit), "nanoseconds");
	// And once more: what was read is written as it was.
	struct text again = TEXT(ACCOUNT_BASE);
	assert_int_equal(profiles_export(q, NULL, EXPORT_PPROF, &again), 0);
	struct profile *r = profiles_import(again.at, again.len, why);
	char *c = profiles_dump(r);
	assert_string_equal(a, c);
	free(a);
	free(b);
	free(c);
	text_free(&t);
	text_free(&again);
	profile_free(p);
	profile_free(q);
	profile_free(r);
	assert_int_equal(
	    mem_used(ACCOUNT_EXPORT) + mem_used(ACCOUNT_WIRE) + mem_used(ACCOUNT_PROFILE), 0);
}

// Of a resource the labels that scrapers' users ask for; they come back as labels, and stay.
static void whose_it_is_comes_as_labels(void **state)
{
	(void)state;
	static const char *const facts[][2] = {{"service.name", "cart"}, {"k8s.pod.uid", "u-1"},
	    {"k8s.pod.name", "cart-1"}, {"k8s.namespace.name", "shop"}, {"language", "java"},
	    {"k8s.container.name", "main"}};
	struct profile *p = profile_new(ACCOUNT_PROFILE, profile_type_find("cpu"));
	struct profile_label l[6],
	    reason = {.key = profile_add_name(p, "reason"), .str = profile_add_name(p, "io")};
	for (int i = 0; i < 6; i++)
		l[i] = (struct profile_label){.key = profile_add_name(p, facts[i][0]),
		    .str = profile_add_name(p, facts[i][1])};
	uint32_t frame = profile_add_mark(p, "[f]"), stack = profile_add_stack(p, &frame, 1);
	struct profile_subject who = {.pid = 1,
	    .tid = 1,
	    .resource = profile_add_labels(p, l, 6),
	    .labels = profile_add_labels(p, &reason, 1)};
	profile_add(p, stack, profile_add_subject(p, &who), (int64_t[]){1, 10});
	who = (struct profile_subject){.pid = 2, .tid = 2};
	profile_add(p, stack, profile_add_subject(p, &who), (int64_t[]){1, 10});
	profile_seal(p);
	struct profile *from = p;
	for (int turn = 0; turn < 2; turn++) {
		struct text t = TEXT(ACCOUNT_BASE);
		char why[200];
		assert_int_equal(profiles_export(from, NULL, EXPORT_PPROF, &t), 0);
		struct profile *q = profiles_import(t.at, t.len, why);
		char *dump = profiles_dump(q);
		assert_string_equal(dump,
		    "1 1    service_name=cart0 namespace=shop0 pod=cart-10 container=main0 "
		    "k8s_pod_uid=u-10 reason=io0|[f]  3 0   1 10\n2 2   |[f]  3 0   1 10\n");
		free(dump);
		text_free(&t);
		profile_free(from);
		from = q;
	}
	profile_free(from);
}

// The plain protobuf of P.
static struct text plain(const struct profile *p)
{
	struct text t = TEXT(ACCOUNT_BASE), out = TEXT(ACCOUNT_BASE);
	assert_int_equal(profiles_export(p, NULL, EXPORT_PPROF, &t), 0);
	struct wire_gunzip *z = wire_gunzip_new(&(struct wire_sink){profiles_take, &out}, 1 << 28);
	assert_int_equal(wire_gunzip_feed(z, t.at, t.len), 0);
	assert_int_equal(wire_gunzip_finish(z), 0);
	wire_gunzip_free(z);
	text_free(&t);
	return out;
}

static uint64_t number(struct wire_in in, uint32_t field)
{
	struct wire_field f;
	while (wire_next(&in, &f) == 1)
		if (f.number == field)
			return f.value;
	return 0;
}

static void ids_run_from_one(void **state)
{
	(void)state;
	struct profile *p = profiles_node(500, 2);
	struct text t = plain(p);
	struct wire_in in = {(uint8_t *)t.at, (uint8_t *)t.at + t.len};
	struct wire_field f;
	uint64_t next[8] = {0};
	while (wire_next(&in, &f) == 1) {
		if (f.number == PROFILE_MAPPING || f.number == PROFILE_LOCATION ||
		    f.number == PROFILE_FUNCTION)
			assert_int_equal(number(f.bytes, 1), ++next[f.number]);
		if (f.number == PROFILE_STRING_TABLE && !next[f.number]++)
			assert_ptr_equal(f.bytes.at, f.bytes.end);
	}
	assert_int_equal(next[PROFILE_MAPPING], 10); // 8 files, the kernel, JIT code
	assert_int_equal(next[PROFILE_LOCATION], profile_frame_count(p));
	assert_true(
	    next[PROFILE_FUNCTION] > 100 && next[PROFILE_FUNCTION] < next[PROFILE_LOCATION]);
	text_free(&t);
	profile_free(p);
}

static struct profile *one(
    uint64_t address, const char *name, const struct profile_mapping *mapping, enum frame_kind kind)
{
	struct profile *p = profile_new(ACCOUNT_PROFILE, profile_type_find("cpu"));
	struct profile_mapping m = mapping ? *mapping : (struct profile_mapping){0};
	m.file = profile_add_name(p, "/bin/a");
	struct profile_frame f = {.address = address,
	    .kind = kind,
	    .name = profile_add_name(p, name),
	    .mapping = mapping ? profile_add_mapping(p, &m) : 0};
	uint32_t frame = profile_add_frame(p, &f);
	struct profile_subject s = {.pid = 9};
	profile_add(
	    p, profile_add_stack(p, &frame, 1), profile_add_subject(p, &s), (int64_t[]){1, -2});
	profile_seal(p);
	return p;
}

static struct wire_in first(const struct text *t, uint32_t number)
{
	struct wire_in in = {(uint8_t *)t->at, (uint8_t *)t->at + t->len};
	struct wire_field f;
	while (wire_next(&in, &f) == 1)
		if (f.number == number)
			return f.bytes;
	return (struct wire_in){0};
}

static void mappings_keep_the_conventions(void **state)
{
	(void)state;
	static const struct {
		uint64_t address;
		const char *name;
		struct profile_mapping have, want;
		int has_functions;
	} rows[] = {
	    {0x1500, "main", {.start = 0x1000, .limit = 0x2000, .offset = 0x1000},
		{.start = 0x1000, .limit = 0x2000, .offset = 0x1000}, 1},
	    {0x1500, "[a+0x1500]", {.start = 0x1000, .limit = 0x2000},
		{.start = 0x1000, .limit = 0x2000}, 0},
	    {0x1500, "", {.start = 0x1000, .limit = 0x2000}, {.start = 0x1000, .limit = 0x2000}, 0},
	    {0x2500, "main", {.start = 0x1000, .limit = 0x2000}, {.start = 0x1000, .limit = 0x2501},
		1},
	    {0x800, "main", {.start = 0x1000, .limit = 0x2000, .offset = 0x900},
		{.start = 0x800, .limit = 0x2000, .offset = 0x100}, 1},
	    {UINT64_MAX, "main", {.start = 0x1000, .limit = 0x2000},
		{.start = 0x1000, .limit = UINT64_MAX}, 1},
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct profile *p = one(rows[i].address, rows[i].name, &rows[i].have, FRAME_NATIVE);
		struct text t = plain(p);
		// The lost sample's frame lies in no mapping and does not count.
		struct wire_in m = first(&t, PROFILE_MAPPING);
		assert_int_equal(number(m, MAPPING_MEMORY_START), rows[i].want.start);
		assert_int_equal(number(m, MAPPING_MEMORY_LIMIT), rows[i].want.limit);
		assert_int_equal(number(m, MAPPING_FILE_OFFSET), rows[i].want.offset);
		assert_int_equal(number(m, MAPPING_HAS_FUNCTIONS), rows[i].has_functions);
		text_free(&t);
		profile_free(p);
	}
}

static void bad_utf8_is_mended(void **state)
{
	(void)state;
	struct profile *p = one(1, "bad\xff\xc3name\xe2\x82\xac", NULL, FRAME_JIT);
	struct text t = TEXT(ACCOUNT_BASE);
	char why[200];
	profiles_export(p, NULL, EXPORT_PPROF, &t);
	struct profile *q = profiles_import(t.at, t.len, why);
	bool found = false;
	for (uint32_t i = 1; i <= profile_frame_count(q); i++)
		found |= !strcmp(profile_name(q, profile_frame(q, i)->name),
		    "bad\xef\xbf\xbd\xef\xbf\xbdname\xe2\x82\xac");
	assert_true(found);
	text_free(&t);
	profile_free(p);
	profile_free(q);
}

static void slices_are_short(void **state)
{
	(void)state;
	struct profile *p = profiles_node(10000, 3);
	struct text t = TEXT(ACCOUNT_BASE), raw = plain(p);
	struct export_job *j =
	    export_new(p, NULL, EXPORT_PPROF, "", &(struct wire_sink){profiles_take, &t});
	uint64_t longest = 0, whole = profiles_ran(), peak = 0;
	uint32_t steps = 0;
	for (int more = 1; more; steps++) {
		uint64_t start = profiles_ran();
		more = export_step(j, 100 * NS_PER_US);
		assert_true(more >= 0);
		uint64_t took = profiles_ran() - start,
			 used = mem_used(ACCOUNT_EXPORT) + mem_used(ACCOUNT_WIRE);
		longest = took > longest ? took : longest;
		peak = used > peak ? used : peak;
	}
	print_message("10,000 samples, %u frames: %zu bytes (%zu unpacked) in %.1f ms, %u steps, "
		      "longest %.2f ms, %lu KiB held\n",
	    profile_frame_count(p), t.len, raw.len, (double)(profiles_ran() - whole) / 1e6, steps,
	    (double)longest / 1e6, peak / 1024);
	assert_true(steps > 20);
	export_job_free(j);
	text_free(&t);
	text_free(&raw);
	profile_free(p);
}

static int refuse(void *arg, const void *bytes, size_t n)
{
	(void)bytes;
	size_t *left = arg;
	if (n > *left)
		return -ENOSPC;
	*left -= n;
	return 0;
}

static void errors_come_back(void **state)
{
	(void)state;
	struct profile *p = profiles_node(300, 4);
	for (size_t left = 0; left < 8000; left += 500) {
		size_t l = left;
		assert_int_equal(
		    export_all(p, NULL, EXPORT_PPROF, "", &(struct wire_sink){refuse, &l}),
		    -ENOSPC);
	}
	uint64_t n = 1, asked;
	do {
		struct text t = TEXT(ACCOUNT_BASE);
		t.at = mem_alloc(ACCOUNT_BASE,
		    t.cap = 1 << 20); // the sink's own memory is not what is tried here
		mem_fail_at(n);
		int error = profiles_export(p, NULL, EXPORT_PPROF, &t);
		asked = mem_fail_seen();
		mem_fail_at(0);
		assert_int_equal(error, asked >= n ? -ENOMEM : 0);
		text_free(&t);
	} while (asked >= n++);
	assert_true(n > 8);
	profile_free(p);
	assert_int_equal(mem_used(ACCOUNT_EXPORT) + mem_used(ACCOUNT_WIRE), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(there_and_back),
	    cmocka_unit_test(whose_it_is_comes_as_labels),
	    cmocka_unit_test(ids_run_from_one),
	    cmocka_unit_test(mappings_keep_the_conventions),
	    cmocka_unit_test(bad_utf8_is_mended),
	    cmocka_unit_test(slices_are_short),
	    cmocka_unit_test(errors_come_back),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
