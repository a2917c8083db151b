// SPDX-License-Identifier: Apache-2.0
// Windows in memory: kept, bounded, asked for by time and process, gone while they are read.
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "profiles.h"

#include "../../modules/export/history.c"

static struct profile *window_of(uint64_t second, const char *type)
{
	struct profile *p = profile_new(ACCOUNT_PROFILE, profile_type_find(type));
	struct profile_header *h = profile_header(p);
	h->time_ns = second * NS_PER_S;
	h->duration_ns = 10 * NS_PER_S;
	h->period = 10;
	for (uint32_t i = 0; i < 300; i++) {
		char name[40];
		uint32_t frames[2];
		for (int k = 0; k < 2; k++) {
			snprintf(name, sizeof(name), "f%u", k ? 0 : i);
			struct profile_frame f = {.address = i, .name = profile_add_name(p, name)};
			frames[k] = profile_add_frame(p, &f);
		}
		struct profile_subject s = {.pid = 1 + i % 3};
		profile_add(p, profile_add_stack(p, frames, 2), profile_add_subject(p, &s),
		    (int64_t[]){1, 10});
	}
	profile_seal(p);
	return p;
}

static int put(struct history *h, uint64_t second, const char *type)
{
	struct profile *p = window_of(second, type);
	int error = history_put(h, p);
	if (!error)
		assert_int_equal(history_put(h, p), -EBUSY);
	while (!error && (error = history_step(h, 1000)) == 1)
		error = 0;
	profile_free(p);
	return error;
}

static int64_t ask(struct history *h, const char *type, uint64_t from, uint64_t to,
    bool (*wanted)(void *arg, const struct profile *from, const struct profile_subject *s),
    void *arg)
{
	struct history_query *q =
	    history_query_new(h, type, from * NS_PER_S, to * NS_PER_S, wanted, arg);
	int more;
	while ((more = history_query_step(q, 1000)) == 1)
		;
	assert_int_equal(more, 0);
	struct profile *p = history_query_take(q);
	int64_t totals[PROFILE_VALUES_MAX] = {0};
	if (p)
		profile_totals(p, totals);
	else
		assert_int_equal(errno, ENOENT);
	profile_free(p);
	history_query_free(q);
	return totals[0];
}

static bool is_pid(void *arg, const struct profile *from, const struct profile_subject *s)
{
	(void)from;
	return s->pid == *(uint32_t *)arg;
}

static void windows_are_found(void **state)
{
	(void)state;
	struct history *h = history_new(1 << 20);
	for (uint64_t i = 0; i < 10; i++)
		assert_int_equal(put(h, 1000 + i * 10, i % 5 ? "cpu" : "wall"), 0);
	assert_int_equal(history_count(h), 10);
	const struct history_entry *e = history_entry(h, 3);
	assert_string_equal(e->type, "cpu");
	assert_int_equal(e->time_ns, 1030 * NS_PER_S);
	assert_int_equal(e->total, 3000);
	assert_true(e->id == 4 && e->bytes > 100);
	assert_null(history_entry(h, 10));
	assert_int_equal(ask(h, "cpu", 0, 5000, NULL, NULL), 8 * 300);
	assert_int_equal(ask(h, "wall", 0, 5000, NULL, NULL), 2 * 300);
	assert_int_equal(ask(h, "mutex", 0, 5000, NULL, NULL), 0);
	assert_int_equal(ask(h, "cpu", 1020, 1030, NULL, NULL), 300);
	assert_int_equal(ask(h, "cpu", 1029, 1031, NULL, NULL), 600);
	uint32_t pid = 2;
	assert_int_equal(ask(h, "cpu", 1020, 1030, is_pid, &pid), 100);
	history_free(h);
	assert_int_equal(mem_used(ACCOUNT_EXPORT) + mem_used(ACCOUNT_PROFILE), 0);
}

// What is in use is so at a moment: windows of it are no sum.
static void of_a_state_the_last_holds(void **state)
{
	(void)state;
	struct history *h = history_new(1 << 20);
	for (uint64_t i = 0; i < 3; i++)
		assert_int_equal(put(h, 1000 + i * 10, "heap"), 0);
	assert_int_equal(put(h, 1030, "allocs"), 0);
	assert_int_equal(ask(h, "heap", 0, 5000, NULL, NULL), 300);
	assert_int_equal(ask(h, "heap", 0, 1015, NULL, NULL), 300);
	assert_int_equal(ask(h, "heap", 1030, 5000, NULL, NULL), 0);
	history_free(h);
}

static void the_oldest_go_first(void **state)
{
	(void)state;
	struct history *h = history_new(60000);
	for (uint64_t i = 0; i < 50; i++) {
		assert_int_equal(put(h, 1000 + i * 10, "cpu"), 0);
		assert_true(mem_used(ACCOUNT_EXPORT) < 60000 + 2000);
		assert_int_equal(history_entry(h, history_count(h) - 1)->id, i + 1);
	}
	uint32_t count = history_count(h);
	assert_true(count > 3 && count < 50);
	assert_int_equal(history_entry(h, 0)->id, 50 - count + 1);
	// A query holds the window that it reads, however the memory is wanted back.
	struct history_query *q = history_query_new(h, "cpu", 0, UINT64_MAX, NULL, NULL);
	assert_int_equal(history_query_step(q, 0), 1);
	assert_true(history_shrink(h, 1) > 0);
	assert_true(history_shrink(h, UINT64_MAX) > 0);
	assert_int_equal(history_count(h), 0);
	while (history_query_step(q, 1000) == 1)
		;
	struct profile *p = history_query_take(q);
	int64_t totals[PROFILE_VALUES_MAX];
	profile_totals(p, totals);
	assert_int_equal(totals[0], 300);
	profile_free(p);
	history_query_free(q);
	history_free(h);
	h = history_new(100);
	assert_int_equal(put(h, 1, "cpu"), -EFBIG);
	history_free(h);
	assert_int_equal(mem_used(ACCOUNT_EXPORT) + mem_used(ACCOUNT_PROFILE), 0);
}

static void memory_fails(void **state)
{
	(void)state;
	struct profile *p = window_of(5, "cpu");
	uint64_t n = 1, asked;
	do {
		mem_fail_at(n);
		struct history *h = history_new(1 << 20);
		int error = h ? history_put(h, p) : -ENOMEM;
		while (!error && (error = history_step(h, UINT64_MAX)) == 1)
			error = 0;
		struct history_query *q =
		    h ? history_query_new(h, "cpu", 0, UINT64_MAX, NULL, NULL) : NULL;
		int more = 1;
		while (q && (more = history_query_step(q, UINT64_MAX)) == 1)
			;
		asked = mem_fail_seen();
		mem_fail_at(0);
		struct profile *answer = q && !more ? history_query_take(q) : NULL;
		if (answer) {
			int64_t totals[PROFILE_VALUES_MAX];
			profile_totals(answer, totals);
			assert_int_equal(totals[0], 300);
		} else {
			assert_true(!q || error == -ENOMEM || more == -ENOMEM);
		}
		profile_free(answer);
		history_query_free(q);
		history_free(h);
	} while (asked >= n++);
	assert_true(n > 50);
	profile_free(p);
	assert_int_equal(
	    mem_used(ACCOUNT_EXPORT) + mem_used(ACCOUNT_PROFILE) + mem_used(ACCOUNT_WIRE), 0);
}

static void formats_by_name(void **state)
{
	(void)state;
	static const struct {
		const char *name;
		enum export_format format;
	} rows[] = {{"a.pb.gz", EXPORT_PPROF}, {"/x/y.pprof", EXPORT_PPROF},
	    {"a.folded", EXPORT_FOLDED}, {"a.collapsed", EXPORT_FOLDED}, {"a.txt", EXPORT_FOLDED},
	    {"a.json", EXPORT_SPEEDSCOPE}, {"a.speedscope.json", EXPORT_SPEEDSCOPE},
	    {"a.html", EXPORT_HTML}};
	enum export_format f;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		assert_int_equal(export_format_of(rows[i].name, &f), 0);
		assert_int_equal(f, rows[i].format);
	}
	assert_int_equal(export_format_of("a.png", &f), -EINVAL);
	assert_int_equal(export_format_of("", &f), -EINVAL);
	assert_string_equal(export_suffix(EXPORT_PPROF), "pb.gz");
	assert_string_equal(export_content_type(EXPORT_HTML), "text/html; charset=utf-8");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(windows_are_found),
	    cmocka_unit_test(of_a_state_the_last_holds),
	    cmocka_unit_test(the_oldest_go_first),
	    cmocka_unit_test(memory_fails),
	    cmocka_unit_test(formats_by_name),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
