// SPDX-License-Identifier: Apache-2.0
// The walker's tables in the running kernel: pages come, hold what is written, go, and are
// charged; where all of them are there from the start, too. Needs root; without it the test is
// skipped.
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "../../modules/kernel/table.c"

static void nothing(void *arg, const struct record *r)
{
	(void)arg, (void)r;
}

static struct kernel *start_as(uint64_t memory, bool fixed)
{
	char why[512] = "";
	struct kernel_options options = {
	    .max_depth = 127, .unwind_memory = memory, .no_loop = fixed, .on_record = nothing};
	struct kernel *k = kernel_new(&options, why, sizeof(why));
	if (!k) {
		print_message("%s\n", why);
		assert_true(geteuid() != 0);
		skip();
	}
	return k;
}

static struct kernel *start(uint64_t memory)
{
	return start_as(memory, false);
}

// Is page PAGE there, and the first COUNT of its blocks as they are told, the others zero?
static bool is_page(struct kernel *k, enum page_kind kind, uint32_t page,
    const struct block *blocks, uint32_t count)
{
	static const struct block zero[ROW_PAGE_BLOCKS];
	struct block got[ROW_PAGE_BLOCKS];
	memset(got, 0xee, sizeof(got));
	if (bpf_map_lookup_elem(bpf_map__fd(map_of(k, kind)), &page, got))
		return false;
	return !memcmp(got, blocks, count * sizeof(*got)) &&
	       !memcmp(got + count, zero, (PAGE_BLOCKS(kind) - count) * sizeof(*got));
}

static void pages_of(struct kernel *k, const struct kernel_tables *t, enum page_kind kind)
{
	static struct block blocks[ROW_PAGE_BLOCKS + 1];
	uint64_t maps = mem_used(ACCOUNT_MAPS), all = kernel_map_bytes(k);
	uint32_t size = PAGE_BLOCKS(kind), last = UINT32_MAX, n = 0;
	for (uint32_t i = 0; i <= ROW_PAGE_BLOCKS; i++)
		memset(&blocks[i], (int)i + 1, sizeof(blocks[i]));
	assert_false(is_page(k, kind, 3, blocks, size));
	assert_int_equal(t->put(t->arg, kind, 3, blocks, size), 0);
	assert_int_equal(t->put(t->arg, kind, last, blocks, 1), 0);
	assert_true(is_page(k, kind, 3, blocks, size));
	assert_true(is_page(k, kind, last, blocks, 1));
	assert_int_equal(mem_used(ACCOUNT_MAPS), maps + 2 * t->page_bytes[kind]);
	assert_int_equal(kernel_map_bytes(k), all + 2 * t->page_bytes[kind]);
	// It never changes.
	assert_int_equal(t->put(t->arg, kind, 3, blocks + 1, 1), -EEXIST);
	assert_true(is_page(k, kind, 3, blocks, size));
	assert_int_equal(t->put(t->arg, kind, 4, blocks, size + 1), -EINVAL);
	assert_int_equal(t->put(t->arg, kind, 4, blocks, 0), -EINVAL);
	t->drop(t->arg, kind, 3);
	t->drop(t->arg, kind, 3); // is not there
	assert_false(is_page(k, kind, 3, blocks, size));
	assert_int_equal(t->put(t->arg, kind, 3, blocks, 1), 0); // nothing of the old one is left
	assert_true(is_page(k, kind, 3, blocks, 1));
	t->drop(t->arg, kind, 3);
	t->drop(t->arg, kind, last);
	assert_int_equal(mem_used(ACCOUNT_MAPS), maps);
	// As many as are told, and no more; each call takes microseconds.
	uint64_t longest = 0, sum = 0, before = clock_now();
	for (int error = 0; !error; n += !error) {
		error = t->put(t->arg, kind, n, blocks + n % 2, size);
		assert_true(!error || error == -ENOSPC);
		uint64_t now = clock_now(), took = now - before;
		longest = took > longest ? took : longest;
		sum += took;
		before = now;
	}
	assert_int_equal(n, t->pages_max[kind]);
	assert_true(sum / n < NS_PER_MS); // what waits for walks takes 5 ms and much more
	print_message("%u pages of %u blocks: put %lu ns, longest %lu us; ", n, size, sum / n,
	    longest / 1000);
	for (uint32_t i = 0; i < n; i += 7)
		assert_true(is_page(k, kind, i, blocks + i % 2, size));
	before = clock_now();
	for (uint32_t i = 0; i < n; i++)
		t->drop(t->arg, kind, i);
	sum = clock_now() - before;
	print_message("drop %lu ns\n", sum / n);
	assert_true(sum / n < NS_PER_MS);
	assert_int_equal(mem_used(ACCOUNT_MAPS), maps);
	// What is there when all ends goes with it.
	assert_int_equal(t->put(t->arg, kind, 5, blocks, size), 0);
}

static void pages(void **state)
{
	(void)state;
	for (int twice = 0; twice < 2; twice++) {
		struct kernel *k = start_as(2 << 20, twice);
		bool fixed = k->tables.fixed; // always where the kernel is older than 6.1
		struct kernel_tables t;
		assert_int_equal(kernel_tables(k, &t), 0);
		assert_true(fixed || !twice);
		assert_int_equal(t.page_bytes[PAGE_ROWS], fixed ? 0 : 2048);
		assert_int_equal(t.page_bytes[PAGE_MAPPINGS], fixed ? 0 : 512);
		assert_int_equal(t.pages_max[PAGE_ROWS], fixed ? 540 : 1024);
		assert_int_equal(t.pages_max[PAGE_MAPPINGS], fixed ? 432 : 1024);
		uint64_t least = WINDOWS_BYTES + PROCESSES_BYTES;
		least += fixed ? (uint64_t)t.pages_max[0] * 2048 + t.pages_max[1] * 512 : 0;
		assert_in_range(t.fixed_bytes, least, least + (120 << 10));
		assert_true(mem_used(ACCOUNT_MAPS) >= t.fixed_bytes);
		pages_of(k, &t, PAGE_ROWS);
		pages_of(k, &t, PAGE_MAPPINGS);
		kernel_free(k);
		assert_int_equal(mem_used(ACCOUNT_MAPS), 0);
		assert_int_equal(mem_used(ACCOUNT_KERNEL), 0);
	}
}

static void what_is_mapped_is_what_bpf_sees(void **state)
{
	(void)state;
	struct kernel *k = start(1 << 20);
	struct kernel_tables t;
	struct window w = {};
	struct process_slot s = {};
	uint32_t last_window = WINDOWS_MAX - 1, last_slot = PROCESS_SLOTS - 1;
	assert_int_equal(kernel_tables(k, &t), 0);
	t.windows[last_window] = (struct window){.place = 42, .used = 7};
	t.processes[last_slot] = (struct process_slot){.pid = 1, .mm_id = 2, .place = 3};
	assert_int_equal(
	    bpf_map_lookup_elem(bpf_map__fd(k->bpf->maps.windows), &last_window, &w), 0);
	assert_int_equal(
	    bpf_map_lookup_elem(bpf_map__fd(k->bpf->maps.process_slots), &last_slot, &s), 0);
	assert_int_equal(w.place + w.used, 49);
	assert_int_equal(s.pid + s.mm_id * 10 + s.place * 100, 321);
	kernel_free(k);
}

static void without_tables(void **state)
{
	(void)state;
	struct kernel *k = start(0);
	struct kernel_tables t;
	assert_int_equal(kernel_tables(k, &t), -EOPNOTSUPP);
	assert_true(kernel_map_bytes(k) < (1 << 20));
	kernel_free(k);
	assert_int_equal(mem_used(ACCOUNT_MAPS), 0);
}

static void the_limit_refuses(void **state)
{
	(void)state;
	struct kernel *k = start(8 << 20);
	struct kernel_tables t;
	assert_int_equal(kernel_tables(k, &t), 0);
	uint64_t maps = mem_used(ACCOUNT_MAPS);
	struct block block = {};
	mem_limit(mem_total() + t.page_bytes[PAGE_ROWS] - 1);
	assert_int_equal(t.put(t.arg, PAGE_ROWS, 0, &block, 1), -ENOMEM);
	mem_limit(0);
	assert_int_equal(mem_used(ACCOUNT_MAPS), maps);
	assert_int_equal(t.put(t.arg, PAGE_ROWS, 0, &block, 1), 0);
	kernel_free(k);
	assert_int_equal(mem_used(ACCOUNT_MAPS), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(pages),
	    cmocka_unit_test(what_is_mapped_is_what_bpf_sees),
	    cmocka_unit_test(without_tables),
	    cmocka_unit_test(the_limit_refuses),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
