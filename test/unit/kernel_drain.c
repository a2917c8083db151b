// SPDX-License-Identifier: Apache-2.0
// The BPF ring made up in memory, beside one of perf's: what comes first, how much at once.
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "../../modules/kernel/drain.c"

#include <linux/perf_event.h>

#define PAGE 4096u
#define DATA 8192u
#define SIDE 16384u

static struct kernel k;
static uint64_t now, consumer, written, side_written;
static uint8_t *memory; // producer page, data, data again
static struct {
	uint16_t kind;
	uint64_t time;
	uint32_t size;
	uint8_t last;
} handed[5000];
static unsigned count;

static void on_record(void *arg, const struct record *r)
{
	(void)arg;
	assert_true(count < 5000);
	handed[count].kind = r->kind;
	handed[count].time = r->time_ns;
	handed[count].size = r->size;
	handed[count++].last = ((const uint8_t *)r)[r->size - 1];
}

static int setup(void **state)
{
	(void)state;
	memory = mem_alloc(ACCOUNT_KERNEL, PAGE + 2 * DATA);
	k = (struct kernel){.cpu_count = 1, .page = PAGE, .side_bytes = SIDE, .started = true};
	k.options.on_record = on_record;
	k.ring = (struct ring){&consumer, (uint64_t *)memory, 0, DATA};
	k.event = mem_alloc(ACCOUNT_KERNEL, EVENT_MAX);
	k.cpus = mem_alloc(ACCOUNT_KERNEL, sizeof(*k.cpus));
	k.cpus[0] = (struct cpu){
	    .tick_fd = -1, .side_fd = -1, .side = mem_alloc(ACCOUNT_KERNEL, PAGE + SIDE)};
	consumer = written = side_written = count = 0;
	now = 1000 * NS_PER_S;
	k.cpus_looked = now; // real CPUs are no matter here
	clock_fake(&now, NULL);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	mem_free(k.cpus[0].side);
	mem_free(k.cpus);
	mem_free(k.event);
	mem_free(memory);
	clock_fake(NULL, NULL);
	return mem_used(ACCOUNT_KERNEL) != 0;
}

static void begin_at(uint64_t at)
{
	k.ring.at = consumer = written = at;
	__atomic_store_n(k.ring.producer, written, __ATOMIC_RELEASE);
}

// As the kernel maps the data: what is written appears twice.
static void put(uint64_t at, const void *bytes, size_t n)
{
	for (size_t i = 0; i < n; i++)
		for (int twice = 0; twice < 2; twice++)
			memory[PAGE + (at + i) % DATA + twice * DATA] = ((const uint8_t *)bytes)[i];
}

// A record of SIZE bytes; LENGTH is what its header says. Where it was put.
static uint64_t push(uint64_t time, uint32_t size, uint32_t length)
{
	uint8_t bytes[4096] = {0};
	struct record r = {.kind = RECORD_EXIT, .size = size, .time_ns = time};
	uint32_t header[2] = {length, 0};
	uint64_t at = written;
	memcpy(bytes, &r, sizeof(r));
	bytes[size - 1] = (uint8_t)time;
	put(at, header, sizeof(header));
	put(at + 8, bytes, size);
	written += (8 + size + 7) & ~7ull;
	assert_true(written - k.ring.at <= DATA);
	__atomic_store_n(k.ring.producer, written, __ATOMIC_RELEASE);
	return at;
}

// An exec event in perf's ring.
static void push_side(uint64_t time)
{
	struct {
		struct perf_event_header h;
		uint32_t pid, tid;
		char comm[8];
		uint32_t id[2];
		uint64_t time;
	} e = {{PERF_RECORD_COMM, PERF_RECORD_MISC_COMM_EXEC, sizeof(e)}, 1, 1, "x", {1, 1}, time};
	struct perf_event_mmap_page *page = k.cpus[0].side;
	for (size_t i = 0; i < sizeof(e); i++)
		((uint8_t *)k.cpus[0].side)[PAGE + (side_written + i) % SIDE] = ((uint8_t *)&e)[i];
	side_written += sizeof(e);
	__atomic_store_n(&page->data_head, side_written, __ATOMIC_RELEASE);
}

static void records_in_order_and_over_the_end(void **state)
{
	(void)state;
	for (uint64_t before = 0; before <= 128; before += 8) {
		begin_at(7 * DATA - before);
		count = 0;
		for (uint64_t i = 1; i <= 5; i++)
			push(i, 16 + 8 * (uint32_t)i + 1, 16 + 8 * (uint32_t)i + 1);
		assert_int_equal(kernel_drain(&k, 64), 5);
		assert_int_equal(count, 5);
		for (unsigned i = 0; i < 5; i++) {
			assert_int_equal(handed[i].time, i + 1);
			assert_int_equal(handed[i].last, i + 1);
		}
		assert_int_equal(consumer, written); // the kernel may have the room again
	}
	assert_int_equal(kernel_drain(&k, 64), 0);
}

static void one_that_is_being_written_is_waited_for(void **state)
{
	(void)state;
	push(1, 40, 40);
	uint64_t at = push(2, 40, 40 | BPF_RINGBUF_BUSY_BIT);
	push(3, 40, 40);
	assert_int_equal(kernel_drain(&k, 64), 1);
	assert_int_equal(consumer, at);
	uint32_t length = 40;
	put(at, &length, sizeof(length));
	assert_int_equal(kernel_drain(&k, 64), 2);
	assert_int_equal(handed[1].time, 2);
	assert_int_equal(handed[2].time, 3);
}

static void what_is_none_is_passed_over(void **state)
{
	(void)state;
	uint64_t bad = count_get(COUNT_RECORDS_BAD);
	push(1, 40, 40 | BPF_RINGBUF_DISCARD_BIT);
	push(2, 40, 40);
	assert_int_equal(kernel_drain(&k, 64), 1);
	assert_int_equal(handed[0].time, 2);
	assert_int_equal(count_get(COUNT_RECORDS_BAD), bad);
	push(3, 16, 8); // too short to be a record
	written -= 8;
	__atomic_store_n(k.ring.producer, written, __ATOMIC_RELEASE);
	push(4, 64, 64);
	put(written - 72 + 8 + offsetof(struct record, size), &(uint32_t){65},
	    4); // larger than itself
	push(5, 40, 40);
	assert_int_equal(kernel_drain(&k, 64), 1);
	assert_int_equal(handed[1].time, 5);
	assert_int_equal(count_get(COUNT_RECORDS_BAD), bad + 2);
	// A length beyond what was written: from there on nothing can be followed.
	push(6, 40, 4000);
	assert_int_equal(kernel_drain(&k, 64), 0);
	assert_int_equal(consumer, written);
	push(7, 40, 40);
	assert_int_equal(kernel_drain(&k, 64), 1);
	assert_int_equal(count_get(COUNT_RECORDS_BAD), bad + 3);
}

static void what_was_mapped_before_a_sample_is_told_before_it(void **state)
{
	(void)state;
	uint64_t t = now - NS_PER_S;
	push_side(t + 1);
	push(t + 2, 40, 40);
	push_side(t + 3);
	push_side(t + 4);
	push(t + 4, 40, 40);
	push_side(t + 5);
	push_side(now - 100); // younger than a millisecond: an older sample may still come
	assert_int_equal(kernel_drain(&k, 64), 6);
	for (unsigned i = 1; i < 6; i++)
		assert_true(handed[i - 1].time <= handed[i].time);
	assert_int_equal(handed[3].kind, RECORD_EXEC); // of two of one time the mapping
	assert_int_equal(handed[4].kind, RECORD_EXIT);
	push(now - 200, 40, 40); // there it is
	assert_int_equal(kernel_drain(&k, 64), 1);
	assert_int_equal(handed[6].time, now - 200);
	now += 2 * NS_PER_MS;
	assert_int_equal(kernel_drain(&k, 64), 1);
	k.started = false; // at the end all of it
	push_side(now + 5);
	assert_int_equal(kernel_drain(&k, 64), 1);
	assert_int_equal(count, 9);
}

static void no_more_at_once_than_asked_for(void **state)
{
	(void)state;
	uint64_t t = now - NS_PER_S;
	for (uint64_t i = 0; i < 100; i++) { // three mappings to a sample
		push_side(t + 4 * i);
		push_side(t + 4 * i + 1);
		push_side(t + 4 * i + 2);
		push(t + 4 * i + 3, 40, 40);
	}
	unsigned got = 0;
	for (int n = 64; n == 64; got += (unsigned)n) {
		n = kernel_drain(&k, 64);
		assert_true(n <= 64);
		assert_int_equal(count, got + (unsigned)n);
		assert_int_equal(kernel_ring_use(&k) == 100, n == 64);
	}
	assert_int_equal(got, 400);
	for (unsigned i = 0; i < 400; i++)
		assert_int_equal(handed[i].time, t + i);
	// One at a time too.
	now += 10 * NS_PER_MS;
	push_side(now - 3 * NS_PER_MS);
	push(now - 2 * NS_PER_MS, 40, 40);
	assert_int_equal(kernel_drain(&k, 1), 1);
	assert_int_equal(handed[400].kind, RECORD_EXEC);
	assert_int_equal(kernel_drain(&k, 1), 1);
	assert_int_equal(handed[401].kind, RECORD_EXIT);
	assert_int_equal(kernel_drain(&k, 1), 0);
}

static void up_to_when_it_is_drained(void **state)
{
	(void)state;
	uint64_t t = now - NS_PER_S;
	for (uint64_t i = 0; i < 3; i++)
		push(t + i * 100 * NS_PER_MS, 40, 40);
	kernel_drain(&k, 2); // one that was taken before may still come
	assert_int_equal(kernel_drained(&k), t + 99 * NS_PER_MS);
	kernel_drain(&k, 1);
	assert_int_equal(kernel_drained(&k), t + 199 * NS_PER_MS);
	kernel_drain(&k, 1); // nothing is left
	assert_int_equal(kernel_drained(&k), now - NS_PER_MS);
}

static void how_full_it_was(void **state)
{
	(void)state;
	kernel_drain(&k, 64);
	assert_int_equal(kernel_ring_use(&k), 0);
	for (int i = 0; i < 4; i++)
		push(1, 1016, 1016);
	kernel_drain(&k, 64);
	assert_int_equal(kernel_ring_use(&k), 50);
	kernel_drain(&k, 64);
	assert_int_equal(kernel_ring_use(&k), 0);
	for (int i = 0; i < 6; i++) // in pieces: the fullest of them
		push(1, 1016, 1016);
	kernel_drain(&k, 5);
	assert_int_equal(kernel_ring_use(&k), 100); // more is there
	kernel_drain(&k, 5);
	assert_int_equal(kernel_ring_use(&k), 75);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(records_in_order_and_over_the_end, setup, teardown),
	    cmocka_unit_test_setup_teardown(
		one_that_is_being_written_is_waited_for, setup, teardown),
	    cmocka_unit_test_setup_teardown(what_is_none_is_passed_over, setup, teardown),
	    cmocka_unit_test_setup_teardown(
		what_was_mapped_before_a_sample_is_told_before_it, setup, teardown),
	    cmocka_unit_test_setup_teardown(no_more_at_once_than_asked_for, setup, teardown),
	    cmocka_unit_test_setup_teardown(up_to_when_it_is_drained, setup, teardown),
	    cmocka_unit_test_setup_teardown(how_full_it_was, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
