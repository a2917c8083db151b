// SPDX-License-Identifier: Apache-2.0
// The pprof reader on any bytes: it ends, within memory, says why it refuses, what it takes can be
// written and read again with the same totals, and how much memory that takes is known.
#include "../../modules/export/import.c"

#include "profiles.h"

#define MUST(condition)                                                                            \
	do {                                                                                       \
		if (!(condition))                                                                  \
			abort();                                                                   \
	} while (0)

static struct profile *read_back(const void *bytes, size_t n, uint64_t budget_ns)
{
	struct import_job *j = import_new(ACCOUNT_PROFILE, 1 << 20);
	int error = import_feed(j, bytes, n / 2);
	if (!error)
		error = import_feed(j, (const char *)bytes + n / 2, n - n / 2);
	while (!error && (error = import_step(j, budget_ns)) == 1)
		error = 0;
	struct profile *p = error ? NULL : import_take(j);
	MUST(!p == (*import_why(j) != 0));
	import_free(j);
	return p;
}

static void must_be_the_same(const struct profile *p, const struct profile *q)
{
	int64_t a[PROFILE_VALUES_MAX], b[PROFILE_VALUES_MAX];
	profile_totals(p, a);
	profile_totals(q, b);
	MUST(!memcmp(a, b, sizeof(a)));
	MUST(profile_sample_count(p) >= profile_sample_count(q)); // without those of nothing
}
static void must_be_counted(const void *bytes, size_t n, bool read)
{
	struct export_need need;
	struct export_need_job *j = export_need_new(1 << 20);
	export_need_feed(j, bytes, n);
	MUST(!export_need(j, EXPORT_HTML, true, &need) || !read); // an error of a feed stays
	export_need_free(j);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct text t = TEXT(ACCOUNT_BASE);
	struct profile *p = read_back(data, size, UINT64_MAX), *again;
	must_be_counted(data, size, p);
	if (p) {
		again = read_back(data, size, 0);
		must_be_the_same(p, again);
		profile_free(again);
		MUST(profiles_export(p, NULL, EXPORT_PPROF, &t) == 0);
		again = read_back(t.at, t.len, UINT64_MAX);
		MUST(again || t.len > 1 << 18);
		if (again)
			must_be_the_same(p, again);
		profile_free(again);
		for (enum export_format f = EXPORT_FOLDED; f <= EXPORT_FLAME; f++) {
			text_reset(&t);
			MUST(profiles_export(p, p, f, &t) == 0);
		}
	}
	profile_free(p);
	text_free(&t);
	MUST(mem_used(ACCOUNT_PROFILE) + mem_used(ACCOUNT_EXPORT) == 0);
	return 0;
}
