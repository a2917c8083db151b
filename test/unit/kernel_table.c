// SPDX-License-Identifier: Apache-2.0
// The walker's tables in the running kernel: chunks come, hold what is written, go, and are
// charged. Needs root; without it the test is skipped.
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

static struct kernel *start(uint64_t memory)
{
	char why[512] = "";
	struct kernel_options options = {
	    .max_depth = 127, .unwind_memory = memory, .on_record = nothing};
	struct kernel *k = kernel_new(&options, why, sizeof(why));
	if (!k) {
		print_message("%s\n", why);
		assert_true(geteuid() != 0);
		skip();
	}
	return k;
}

static void read_back(struct kernel *k, uint32_t chunk, uint32_t i, struct block *block)
{
	memset(block, 0xee, sizeof(*block));
	assert_int_equal(bpf_map_lookup_elem(k->tables.fds[chunk], &i, block), 0);
}

static void chunks(void **state)
{
	(void)state;
	static struct block blocks[CHUNK_BLOCKS];
	struct kernel *k = start(2 << 20);
	struct kernel_tables t;
	struct block b, zero = {};
	uint32_t inner = 0, id = 3;
	assert_int_equal(kernel_tables(k, &t), 0);
	assert_int_equal(t.chunks_max, 8);
	assert_in_range(t.chunk_bytes, CHUNK_BYTES, CHUNK_BYTES + 16384);
	assert_in_range(t.fixed_bytes, WINDOWS_BYTES + PROCESSES_BYTES, 300 << 10);
	uint64_t maps = mem_used(ACCOUNT_MAPS), all = kernel_map_bytes(k);
	int outer = bpf_map__fd(k->bpf->maps.chunks);
	assert_true(bpf_map_lookup_elem(outer, &id, &inner) < 0);
	uint64_t began = clock_now();
	assert_int_equal(t.open(t.arg, 3), 0);
	uint64_t opened = clock_now();
	assert_int_equal(mem_used(ACCOUNT_MAPS), maps + t.chunk_bytes);
	assert_int_equal(kernel_map_bytes(k), all + t.chunk_bytes);
	assert_int_equal(bpf_map_lookup_elem(outer, &id, &inner), 0);
	assert_int_equal(t.open(t.arg, 3), -EINVAL);
	assert_int_equal(t.open(t.arg, 8), -EINVAL);
	// In the middle, over pages, and at both ends.
	for (uint32_t i = 0; i < CHUNK_BLOCKS; i++)
		memset(&blocks[i], (int)(i % 251) + 1, sizeof(blocks[i]));
	uint64_t writes = clock_now();
	assert_int_equal(t.write(t.arg, 3, 1003, blocks, 1000), 0);
	uint64_t written = clock_now();
	for (uint32_t i = 0; i < CHUNK_BLOCKS; i++) {
		read_back(k, 3, i, &b);
		bool in = i >= 1003 && i < 2003;
		assert_memory_equal(&b, in ? &blocks[i - 1003] : &zero, sizeof(b));
	}
	assert_int_equal(t.write(t.arg, 3, 0, blocks, CHUNK_BLOCKS), 0);
	assert_int_equal(t.write(t.arg, 3, CHUNK_BLOCKS - 1, blocks, 1), 0);
	read_back(k, 3, CHUNK_BLOCKS - 1, &b);
	assert_memory_equal(&b, &blocks[0], sizeof(b));
	assert_int_equal(t.write(t.arg, 3, CHUNK_BLOCKS - 1, blocks, 2), -EINVAL);
	assert_int_equal(t.write(t.arg, 3, UINT32_MAX, blocks, 2), -EINVAL);
	assert_int_equal(t.write(t.arg, 2, 0, blocks, 1), -EINVAL);
	uint64_t closes = clock_now();
	t.close(t.arg, 3);
	uint64_t closed = clock_now();
	assert_true(bpf_map_lookup_elem(outer, &id, &inner) < 0);
	assert_int_equal(mem_used(ACCOUNT_MAPS), maps);
	t.close(t.arg, 3);
	assert_int_equal(mem_used(ACCOUNT_MAPS), maps);
	// Made anew it is empty; what is open when all ends goes with it.
	assert_int_equal(t.open(t.arg, 3), 0);
	read_back(k, 3, 5, &b);
	assert_memory_equal(&b, &zero, sizeof(b));
	print_message("open %lu us, write of 1,000 blocks %lu us, close %lu us\n",
	    (opened - began) / 1000, (written - writes) / 1000, (closed - closes) / 1000);
	kernel_free(k);
	assert_int_equal(mem_used(ACCOUNT_MAPS), 0);
	assert_int_equal(mem_used(ACCOUNT_KERNEL), 0);
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
	mem_limit(mem_total() + t.chunk_bytes - 1);
	assert_int_equal(t.open(t.arg, 0), -ENOMEM);
	mem_limit(0);
	assert_int_equal(mem_used(ACCOUNT_MAPS), maps);
	assert_int_equal(t.open(t.arg, 0), 0);
	kernel_free(k);
	assert_int_equal(mem_used(ACCOUNT_MAPS), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(chunks),
	    cmocka_unit_test(what_is_mapped_is_what_bpf_sees),
	    cmocka_unit_test(without_tables),
	    cmocka_unit_test(the_limit_refuses),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
