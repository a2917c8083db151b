// SPDX-License-Identifier: Apache-2.0
// The limit of a cgroup in trees made for the test, and who is asked to shrink in which order.
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "../../modules/budget/budget.c"

#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#define MB (1ull << 20)

static char root[64], self[80];

static int setup(void **state)
{
	(void)state;
	strcpy(root, "/tmp/telegen-budget-XXXXXX");
	if (!mkdtemp(root))
		return -1;
	snprintf(self, sizeof(self), "%s/self", root);
	return 0;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static int teardown(void **state)
{
	(void)state;
	return nftw(root, remove_one, 16, FTW_DEPTH | FTW_PHYS) || mem_used(ACCOUNT_BASE);
}

// Writes CONTENT to ROOT/PATH and makes the directories on the way.
static void put(const char *path, const char *content)
{
	char full[512];
	snprintf(full, sizeof(full), "%s/%s", root, path);
	for (char *slash = full + strlen(root) + 1; (slash = strchr(slash, '/')); slash++) {
		*slash = 0;
		mkdir(full, 0755);
		*slash = '/';
	}
	FILE *f = fopen(full, "w");
	assert_non_null(f);
	fputs(content, f);
	assert_int_equal(fclose(f), 0);
}

static void expect(uint64_t asked, uint64_t cgroup, uint64_t in_force)
{
	struct budget *b = budget_new(asked, root, self);
	assert_non_null(b);
	assert_int_equal(budget_cgroup_limit(b), cgroup);
	assert_int_equal(budget_limit(b), in_force);
	assert_int_equal(mem_limit_get(), in_force);
	budget_free(b);
	assert_int_equal(mem_limit_get(), 0);
}

static void v2_takes_the_smallest_on_the_way_up(void **state)
{
	(void)state;
	put("self", "0::/system.slice/telegen.service\n");
	put("system.slice/telegen.service/memory.max", "max\n");
	expect(48 * MB, 0, 48 * MB);
	put("system.slice/memory.max", "41943040\n");
	expect(48 * MB, 40 * MB, 30 * MB);
	put("system.slice/telegen.service/memory.max", "33554432\n");
	expect(48 * MB, 32 * MB, 24 * MB);
	put("memory.max", "16777216");
	expect(48 * MB, 16 * MB, 12 * MB);
	expect(8 * MB, 16 * MB, 8 * MB);
	expect(0, 16 * MB, 12 * MB);
}

static void v1_and_its_huge_default(void **state)
{
	(void)state;
	put("self", "12:cpuset:/docker/4f1e\n7:cpu,memory:/docker/4f1e\n4:mem:/other\n3:memoryx:/"
		    "other\n1:name=systemd:/x\n");
	put("memory/other/memory.limit_in_bytes", "1048576\n");
	put("memory/memory.limit_in_bytes", "9223372036854771712\n");
	put("memory/docker/4f1e/memory.limit_in_bytes", "9223372036854771712\n");
	expect(48 * MB, 0, 48 * MB);
	put("memory/docker/4f1e/memory.limit_in_bytes", "25165824\n");
	expect(48 * MB, 24 * MB, 18 * MB);
}

static void both_versions_mounted(void **state)
{
	(void)state;
	put("self", "5:memory:/a\n0::/a\n");
	put("memory/a/memory.limit_in_bytes", "33554432\n");
	put("a/memory.max", "16777216\n");
	expect(48 * MB, 16 * MB, 12 * MB);
}

static void inside_a_container_the_root_is_the_group(void **state)
{
	(void)state;
	put("memory.max", "16777216\n");
	put("self", "0::/kubepods/pod1/4f1e\n"); // the host's path, not to be seen from here
	expect(48 * MB, 16 * MB, 12 * MB);
	put("self", "0::/\n");
	expect(48 * MB, 16 * MB, 12 * MB);
}

static void a_group_beside_the_namespace_is_not_looked_at(void **state)
{
	(void)state;
	char inside[80];
	snprintf(inside, sizeof(inside), "%s/inside", root);
	put("inside/memory.max", "16777216\n");
	put("outside/memory.max", "1048576\n");
	put("self", "0::/../outside\n");
	struct budget *b = budget_new(48 * MB, inside, self);
	assert_int_equal(budget_cgroup_limit(b), 16 * MB);
	budget_free(b);
}

static void nonsense_is_no_limit(void **state)
{
	(void)state;
	char lines[9000];
	expect(48 * MB, 0, 48 * MB); // no such file
	put("memory.max", "16777216\n");
	static const char *const bad[] = {
	    "", "\n", "0", "0:", "0::", "0::relative\n", ":memory", "::::\n"};
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		put("self", bad[i]);
		expect(48 * MB, 0, 48 * MB);
	}
	put("self", "0::/\n");
	static const char *const limits[] = {
	    "", "-1\n", "16M\n", "99999999999999999999\n", "0\n", "0x10\n"};
	for (size_t i = 0; i < sizeof(limits) / sizeof(*limits); i++) {
		put("memory.max", limits[i]);
		expect(48 * MB, 0, 48 * MB);
	}
	// A path longer than any file name is passed over; the root is read.
	put("memory.max", "16777216\n");
	memset(lines, 'a', sizeof(lines));
	memcpy(lines, "0::/", 4);
	lines[sizeof(lines) - 1] = 0;
	put("self", lines);
	expect(48 * MB, 16 * MB, 12 * MB);
}

struct cache {
	char letter;
	uint64_t holds, asked;
};
static char order[16];

static uint64_t shrink(void *arg, uint64_t need)
{
	struct cache *c = arg;
	uint64_t some = c->holds < need ? c->holds : need;
	order[strlen(order)] = c->letter;
	c->asked = need;
	c->holds -= some;
	assert_int_equal(mem_charge(ACCOUNT_SYMBOL, -(int64_t)some), 0);
	return some;
}

static void caches_give_by_rank_and_only_what_is_needed(void **state)
{
	(void)state;
	struct cache a = {'a', 2 * MB, 0}, b = {'b', 3 * MB, 0}, c = {'c', 4 * MB, 0};
	put("self", "");
	struct budget *budget = budget_new(10 * MB, root, self);
	assert_int_equal(budget_add(budget, 20, "b", shrink, &b), 0);
	assert_int_equal(budget_add(budget, 10, "a", shrink, &a), 0);
	assert_int_equal(budget_add(budget, 20, "c", shrink, &c), 0);
	assert_int_equal(mem_charge(ACCOUNT_SYMBOL, 9 * MB), 0);
	uint64_t over = mem_total() + 5 * MB - 10 * MB;
	assert_int_equal(mem_charge(ACCOUNT_BASE, 5 * MB), 0);
	assert_string_equal(order, "ab");
	assert_int_equal(b.asked, over - 2 * MB);
	assert_int_equal(a.holds, 0);
	assert_int_equal(c.holds, 4 * MB);
	// More than all can give is refused.
	assert_int_equal(mem_charge(ACCOUNT_BASE, 9 * MB), -ENOMEM);
	assert_string_equal(order, "ababc");
	const char *name;
	uint64_t freed, sum = 0;
	for (uint32_t i = 0; budget_next(budget, &i, &name, &freed); sum += freed)
		assert_string_equal(name, i == 1 ? "a" : i == 2 ? "b" : "c");
	assert_int_equal(sum, 9 * MB);
	budget_remove(budget, &b);
	memset(order, 0, sizeof(order));
	assert_int_equal(mem_charge(ACCOUNT_BASE, 9 * MB), -ENOMEM);
	assert_string_equal(order, "ac");
	mem_charge(ACCOUNT_BASE, -5 * (int64_t)MB);
	budget_free(budget);
	assert_int_equal(mem_charge(ACCOUNT_BASE, 100 * MB), 0);
	mem_charge(ACCOUNT_BASE, -100 * (int64_t)MB);
}

// What it holds, in MB, of this FILES, of these SHARED.
static void holds(bool v1, unsigned all, unsigned files, unsigned shared)
{
	char text[200];
	snprintf(text, sizeof(text), "%llu\n", all * MB);
	put(v1 ? "memory/me/memory.usage_in_bytes" : "me/memory.current", text);
	snprintf(text, sizeof(text),
	    v1 ? "cache 1\nshmem 2\ntotal_cache %llu\ntotal_rss 7\ntotal_shmem %llu\n"
	       : "anon 9\nfile %llu\nkernel 3\nshmem %llu\nfile_mapped 5\n",
	    files * MB, shared * MB);
	put(v1 ? "memory/me/memory.stat" : "me/memory.stat", text);
}

static void what_the_group_holds_lowers_the_limit(void **state)
{
	(void)state;
	for (int v1 = 0; v1 < 2; v1++) {
		struct cache a = {.letter = 'a', .holds = 4 * MB};
		memset(order, 0, sizeof(order));
		put("self", v1 ? "3:memory:/me\n" : "0::/me\n");
		put(v1 ? "memory/me/memory.limit_in_bytes" : "me/memory.max", "167772160\n");
		holds(v1, 60, 0, 0);
		struct budget *b = budget_new(0, root, self);
		assert_int_equal(budget_limit(b), 120 * MB);
		assert_int_equal(budget_add(b, 1, "a", shrink, &a), 0);
		assert_int_equal(mem_charge(ACCOUNT_SYMBOL, (int64_t)(50 * MB)), 0);
		uint64_t own = mem_total() - 50 * MB;
		assert_int_equal(budget_look(b), LOOK_NS);
		assert_int_equal(mem_limit_get(), 120 * MB); // 140 would be left
		holds(v1, 130, 30, 10);			     // 150 at most: 40 more
		assert_int_equal(budget_look(b), LOOK_SOON_NS);
		assert_int_equal(mem_limit_get(), 90 * MB + own);
		holds(v1, 145, 0, 0);
		assert_int_equal(budget_look(b), LOOK_SOON_NS);
		assert_int_equal(mem_limit_get(), 55 * MB + own);
		assert_string_equal(order, "");
		holds(v1, 152, 0, 0); // 2 too much: somebody has to give them
		assert_int_equal(budget_look(b), LOOK_SOON_NS);
		assert_int_equal(mem_limit_get(), 48 * MB + own);
		assert_string_equal(order, "a");
		assert_int_equal(a.holds, 2 * MB);
		holds(v1, 159, 0, 0);
		mem_charge(ACCOUNT_SYMBOL, -(int64_t)(20 * MB));
		assert_int_equal(budget_look(b), LOOK_SOON_NS);
		assert_int_equal(
		    mem_limit_get(), 30 * MB); // so much stays ours, whoever has the rest
		holds(v1, 40, 0, 0);
		assert_int_equal(budget_look(b), LOOK_NS);
		assert_int_equal(mem_limit_get(), 120 * MB);
		mem_charge(ACCOUNT_SYMBOL, -(int64_t)(mem_used(ACCOUNT_SYMBOL)));
		budget_free(b);
	}
	put("self", "0::/nowhere\n"); // no limit
	struct budget *b = budget_new(MB, root, self);
	assert_int_equal(budget_look(b), 0);
	budget_free(b);
}

static void there_is_an_end_to_shrinks(void **state)
{
	(void)state;
	struct cache a = {'a', 0, 0};
	struct budget *b = budget_new(MB, root, self);
	for (int i = 0; i < SHRINKS_MAX; i++)
		assert_int_equal(budget_add(b, i, "a", shrink, &a), 0);
	assert_int_equal(budget_add(b, 1, "a", shrink, &a), -ENOSPC);
	budget_remove(b, &a);
	assert_int_equal(b->count, 0);
	budget_free(b);
	budget_free(NULL);
}

static void every_allocation_may_fail(void **state)
{
	(void)state;
	put("self", "0::/\n");
	for (uint64_t n = 1; n <= 3; n++) {
		mem_fail_at(n);
		assert_null(budget_new(MB, root, self));
		assert_int_equal(errno, ENOMEM);
		assert_int_equal(mem_used(ACCOUNT_BASE), 0);
	}
	mem_fail_at(4);
	expect(MB, 0, MB);
	assert_int_equal(mem_fail_seen(), 3);
	mem_fail_at(0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(v2_takes_the_smallest_on_the_way_up),
	    TEST(v1_and_its_huge_default),
	    TEST(both_versions_mounted),
	    TEST(inside_a_container_the_root_is_the_group),
	    TEST(a_group_beside_the_namespace_is_not_looked_at),
	    TEST(nonsense_is_no_limit),
	    TEST(caches_give_by_rank_and_only_what_is_needed),
	    TEST(what_the_group_holds_lowers_the_limit),
	    TEST(there_is_an_end_to_shrinks),
	    TEST(every_allocation_may_fail),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
