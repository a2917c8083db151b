// SPDX-License-Identifier: Apache-2.0
// The reader of perf's rings, on rings that are made up in memory.
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "../../modules/kernel/perf.c"

#define CPUS 4
#define PAGE 4096u
#define DATA 8192u

static struct kernel k;
static uint64_t now, heads[CPUS];
static struct handed {
	uint16_t kind;
	uint32_t pid;
	uint64_t time;
	char text[64];
	struct record_mmap map;
} handed[2000];
static unsigned count;

static void on_record(void *arg, const struct record *r)
{
	struct handed *h = &handed[count++];
	assert_ptr_equal(arg, &k);
	assert_true(count < 2000);
	assert_int_equal((uintptr_t)r % 8, 0);
	assert_int_equal(r->size % 8, 0);
	*h = (struct handed){.kind = r->kind, .time = r->time_ns};
	if (r->kind == RECORD_EXEC) {
		const struct record_task *t = (const struct record_task *)r;
		assert_int_equal(r->size, sizeof(*t));
		h->pid = t->pid;
		text_copy(h->text, sizeof(h->text), t->comm);
	} else {
		const struct record_mmap *m = (const struct record_mmap *)r;
		assert_int_equal(r->kind, RECORD_MMAP);
		assert_true(sizeof(*m) + m->path_len < r->size);
		assert_int_equal(m->path[m->path_len], 0);
		h->pid = m->pid;
		h->map = *m;
		text_copy(h->text, sizeof(h->text), m->path);
	}
}

static int setup(void **state)
{
	(void)state;
	k = (struct kernel){.cpu_count = CPUS, .page = PAGE, .side_bytes = DATA, .left = 1000};
	k.options.on_record = on_record;
	k.options.arg = &k;
	k.event = mem_alloc(ACCOUNT_KERNEL, EVENT_MAX);
	k.cpus = mem_alloc(ACCOUNT_KERNEL, CPUS * sizeof(*k.cpus));
	for (int i = 0; i < CPUS; i++) {
		// One CPU is offline.
		k.cpus[i] = (struct cpu){.tick_fd = -1, .side_fd = -1, .memory_fd = -1};
		k.cpus[i].side = i == 2 ? NULL : mem_alloc(ACCOUNT_KERNEL, PAGE + DATA);
		heads[i] = 0;
	}
	count = 0;
	now = 1000000;
	clock_fake(&now, NULL);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	for (int i = 0; i < CPUS; i++)
		mem_free(k.cpus[i].side);
	mem_free(k.cpus);
	mem_free(k.event);
	clock_fake(NULL, NULL);
	return mem_used(ACCOUNT_KERNEL) != 0;
}

static struct perf_event_mmap_page *page_of(int cpu)
{
	return k.cpus[cpu].side;
}

// Both ends of CPU's ring to AT, as after so many bytes.
static void begin_at(int cpu, uint64_t at)
{
	heads[cpu] = k.cpus[cpu].tail = page_of(cpu)->data_head = page_of(cpu)->data_tail = at;
}

static void push(int cpu, const void *bytes, size_t n)
{
	uint8_t *data = (uint8_t *)k.cpus[cpu].side + PAGE;
	for (size_t i = 0; i < n; i++)
		data[(heads[cpu] + i) % DATA] = ((const uint8_t *)bytes)[i];
	heads[cpu] += n;
	assert_true(heads[cpu] - k.cpus[cpu].tail <= DATA);
	__atomic_store_n(&page_of(cpu)->data_head, heads[cpu], __ATOMIC_RELEASE);
}

// As the kernel writes it: header, body, {pid, tid, time}. SIZE 0: what it is.
static void event(
    int cpu, uint32_t type, uint16_t misc, const void *body, size_t n, uint64_t time, uint16_t size)
{
	uint8_t bytes[9000];
	uint16_t whole = (uint16_t)(8 + n + 16);
	struct perf_event_header h = {.type = type, .misc = misc, .size = size ? size : whole};
	struct id_tail tail = {77, 77, time};
	memcpy(bytes, &h, 8);
	memcpy(bytes + 8, body, n);
	memcpy(bytes + 8 + n, &tail, 16);
	push(cpu, bytes, whole);
}

static void comm(int cpu, uint32_t pid, const char *name, bool exec, uint64_t time)
{
	struct {
		uint32_t pid, tid;
		char comm[16];
	} body = {pid, pid, ""};
	text_copy(body.comm, sizeof(body.comm), name);
	size_t n = 8 + ((strlen(body.comm) + 8) & ~7ul); // padded to 8
	event(cpu, PERF_RECORD_COMM, exec ? PERF_RECORD_MISC_COMM_EXEC : 0, &body, n, time, 0);
}

static void map(int cpu, uint32_t pid, const char *path, const uint8_t *build_id, uint64_t time)
{
	uint8_t bytes[5200] = {0};
	struct mmap2 *m = (struct mmap2 *)bytes;
	*m = (struct mmap2){
	    .pid = pid, .tid = pid, .start = 0x1000, .length = 0x2000, .offset = 0x3000};
	if (build_id) {
		m->build_id_size = 20;
		memcpy(m->build_id, build_id, 20);
	} else {
		m->major = 8;
		m->minor = 1;
		m->inode = 4242;
	}
	strcpy(m->path, path);
	size_t n = sizeof(*m) + ((strlen(path) + 8) & ~7ul);
	event(cpu, PERF_RECORD_MMAP2, build_id ? PERF_RECORD_MISC_MMAP_BUILD_ID : 0, m, n, time, 0);
}

static void what_is_handed_up(void **state)
{
	(void)state;
	uint8_t id[20] = "0123456789abcdefghi";
	map(0, 5, "/bin/with inode", NULL, 10);
	map(0, 6, "/bin/x", id, 11);
	comm(0, 7, "fifteen_letters", true, 12);
	comm(0, 8, "only renamed", false, 13);
	event(0, PERF_RECORD_FORK, 0, id, 16, 14, 0);
	perf_drain(&k, 100);
	assert_int_equal(count, 3);
	assert_int_equal(handed[0].pid, 5);
	assert_int_equal(handed[0].time, 10);
	assert_string_equal(handed[0].text, "/bin/with inode");
	assert_int_equal(handed[0].map.start, 0x1000);
	assert_int_equal(handed[0].map.length, 0x2000);
	assert_int_equal(handed[0].map.offset, 0x3000);
	assert_int_equal(handed[0].map.inode, 4242);
	assert_int_equal(handed[0].map.dev_major, 8);
	assert_int_equal(handed[0].map.build_id_len, 0);
	assert_int_equal(handed[1].map.build_id_len, 20);
	assert_memory_equal(handed[1].map.build_id, id, 20);
	assert_int_equal(handed[1].map.inode, 0);
	assert_int_equal(handed[2].kind, RECORD_EXEC);
	assert_string_equal(handed[2].text, "fifteen_letters");
	assert_int_equal(page_of(0)->data_tail, heads[0]);
}

static void records_that_wrap(void **state)
{
	(void)state;
	// At each distance from the ring's end, its very end included, and where the counters wrap.
	for (uint64_t before = 0; before <= 160; before += 8) {
		char path[64];
		begin_at(0, 5 * DATA - before);
		begin_at(1, UINT64_MAX - DATA + 1 - before);
		snprintf(path, sizeof(path), "/lib/%lu", before);
		map(0, (uint32_t)before, path, NULL, ++now);
		map(1, (uint32_t)before, path, NULL, ++now);
		count = 0;
		perf_drain(&k, now);
		assert_int_equal(count, 2);
		for (int i = 0; i < 2; i++) {
			assert_int_equal(handed[i].pid, before);
			assert_string_equal(handed[i].text, path);
		}
	}
}

static void oldest_first_over_all_cpus(void **state)
{
	(void)state;
	uint64_t seed = 9;
	unsigned made = 0;
	uint64_t at[CPUS] = {0};
	for (int i = 0; i < 150; i++) {
		int cpu = (int)((seed = hash_mix(seed + 1)) % CPUS);
		if (cpu == 2)
			continue;
		at[cpu] += 1 + (seed >> 20) % 50; // on one CPU in order
		comm(cpu, ++made, "x", true, at[cpu]);
	}
	perf_drain(&k, 200); // in two goes
	unsigned first = count;
	assert_true(first > 0 && first < made);
	assert_true(handed[first - 1].time <= 200);
	perf_drain(&k, UINT64_MAX - 1);
	assert_int_equal(count, made);
	assert_true(handed[first].time > 200);
	for (unsigned i = 1; i < made; i++)
		assert_true(handed[i - 1].time <= handed[i].time);
	assert_int_equal(k.left, 1000 - (int)made);
}

static void what_came_since_the_last_look_is_seen(void **state)
{
	(void)state;
	comm(0, 1, "a", true, now + 50);
	perf_drain(&k, now + 10); // too early
	assert_int_equal(count, 0);
	now += 100;
	comm(1, 2, "b", true, now - 5); // since
	perf_drain(&k, now - 1);
	assert_int_equal(count, 2);
	perf_drain(&k, now);
	comm(3, 3, "c", true, now + 1);
	now += 2;
	perf_drain(&k, now);
	assert_int_equal(count, 3);
}

static void a_bound_is_kept_and_nothing_lost_by_it(void **state)
{
	(void)state;
	for (uint32_t i = 0; i < 60; i++)
		comm((int)(i % 2), i, "x", true, 100 + i);
	for (unsigned want = 7; want < 60; want += 7) {
		k.left = 7;
		perf_drain(&k, UINT64_MAX - 1);
		assert_int_equal(count, want);
		assert_int_equal(k.left, 0);
	}
	k.left = 7;
	perf_drain(&k, UINT64_MAX - 1);
	assert_int_equal(count, 60);
	assert_int_equal(k.left, 3);
	for (uint32_t i = 0; i < 60; i++)
		assert_int_equal(handed[i].pid, i);
	k.left = 0;
	comm(0, 99, "x", true, 500);
	perf_drain(&k, UINT64_MAX - 1);
	assert_int_equal(count, 60);
}

static void lost_ones_are_counted(void **state)
{
	(void)state;
	uint64_t before = count_get(COUNT_MMAP_LOST), body[2] = {1, 37};
	event(1, PERF_RECORD_LOST, 0, body, 16, 5, 0);
	event(1, PERF_RECORD_LOST, 0, body, 8, 6, 0); // too short to say how many
	perf_drain(&k, 10);
	assert_int_equal(count_get(COUNT_MMAP_LOST) - before, 37);
	assert_int_equal(count, 0);
}

static void nonsense_sizes(void **state)
{
	(void)state;
	static const uint16_t sizes[] = {1, 7, 8, 23, 60000};
	uint8_t body[32] = {0};
	for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		uint64_t bad = count_get(COUNT_RECORDS_BAD), lost = count_get(COUNT_MMAP_LOST);
		count = 0;
		event(0, PERF_RECORD_COMM, PERF_RECORD_MISC_COMM_EXEC, body, 16, 5, sizes[i]);
		comm(0, 3, "behind", true, 6);
		comm(1, 4, "elsewhere", true, 7);
		now++;
		perf_drain(&k, now);
		assert_int_equal(count, 1); // where the next record begins nobody knows
		assert_int_equal(handed[0].pid, 4);
		assert_int_equal(count_get(COUNT_RECORDS_BAD), bad + 1);
		assert_int_equal(count_get(COUNT_MMAP_LOST), lost + 1); // so all is read again
		comm(0, 5, "later", true, 8);
		now++;
		perf_drain(&k, now);
		assert_int_equal(count, 2);
		assert_int_equal(handed[1].pid, 5);
	}
}

static void bodies_that_are_too_short(void **state)
{
	(void)state;
	uint8_t body[64];
	memset(body, 'A', sizeof(body));
	for (size_t n = 0; n < sizeof(struct mmap2); n += 8)
		event(0, PERF_RECORD_MMAP2, 0, body, n, 5, 0);
	event(0, PERF_RECORD_COMM, PERF_RECORD_MISC_COMM_EXEC, body, 0, 6, 0);
	perf_drain(&k, 10);
	assert_int_equal(count, 0);
	event(0, PERF_RECORD_COMM, PERF_RECORD_MISC_COMM_EXEC, body, 8, 7, 0); // no name at all
	now++;
	perf_drain(&k, now);
	assert_int_equal(count, 1);
	assert_string_equal(handed[0].text, "");
	event(0, PERF_RECORD_COMM, PERF_RECORD_MISC_COMM_EXEC, body, 40, 8, 0); // no end to it
	// A path without its NUL, and one with a build-id of no such length.
	event(0, PERF_RECORD_MMAP2, 0, body, 64, 9, 0);
	struct mmap2 m = {.pid = 3, .build_id_size = 200};
	event(0, PERF_RECORD_MMAP2, PERF_RECORD_MISC_MMAP_BUILD_ID, &m, sizeof(m), 10, 0);
	now++;
	perf_drain(&k, now);
	assert_int_equal(count, 4);
	assert_string_equal(handed[1].text, "AAAAAAAAAAAAAAA");
	assert_int_equal(handed[2].map.path_len, 64 - sizeof(struct mmap2));
	assert_int_equal(handed[3].map.build_id_len, 0);
	assert_int_equal(handed[3].map.path_len, 0);
}

static void paths_of_any_length(void **state)
{
	(void)state;
	char path[4200];
	uint64_t bad = count_get(COUNT_RECORDS_BAD);
	for (size_t n = 4080; n < 4100; n++) {
		memset(path, 'p', n);
		path[n] = 0;
		count = 0;
		map(3, 1, path, NULL, ++now);
		perf_drain(&k, now);
		assert_int_equal(count, n < MMAP_PATH_MAX);
		if (count)
			assert_int_equal(handed[0].map.path_len, n);
	}
	assert_int_equal(count_get(COUNT_RECORDS_BAD), bad + 4);
	// Longer than any record that is taken: passed over, what follows is found.
	uint8_t body[8200] = {0};
	k.side_bytes = 2 * DATA;
	mem_free(k.cpus[3].side);
	k.cpus[3].side = mem_alloc(ACCOUNT_KERNEL, PAGE + 2 * DATA);
	heads[3] = k.cpus[3].tail = 0;
	uint8_t *data = (uint8_t *)k.cpus[3].side + PAGE;
	struct perf_event_header h = {.type = PERF_RECORD_MMAP2, .size = 8 + sizeof(body) + 16};
	struct id_tail tail = {1, 1, ++now};
	memcpy(data, &h, 8);
	memcpy(data + h.size - 16, &tail, 16);
	page_of(3)->data_head = h.size;
	count = 0;
	perf_drain(&k, now);
	assert_int_equal(count, 0);
	assert_int_equal(count_get(COUNT_RECORDS_BAD), bad + 5);
	assert_int_equal(page_of(3)->data_tail, h.size);
}

static void in_another_pid_namespace_nothing_is_told(void **state)
{
	(void)state;
	uint64_t before = count_get(COUNT_MMAP_LOST), body[2] = {1, 3};
	k.foreign = true;
	comm(0, 7, "x", true, 5);
	map(0, 7, "/bin/x", NULL, 6);
	event(0, PERF_RECORD_LOST, 0, body, 16, 7, 0);
	perf_drain(&k, 10);
	assert_int_equal(count, 0);
	assert_int_equal(count_get(COUNT_MMAP_LOST) - before, 3);
	assert_int_equal(page_of(0)->data_tail, heads[0]);
}

static void how_full(void **state)
{
	(void)state;
	assert_int_equal(perf_ring_use(&k), 0);
	uint8_t body[2048 - 24] = {0};
	begin_at(1, 3 * DATA - 100);
	event(1, PERF_RECORD_FORK, 0, body, sizeof(body), 5, 0);
	assert_int_equal(perf_ring_use(&k), 25);
	event(3, PERF_RECORD_FORK, 0, body, sizeof(body), 5, 0);
	event(3, PERF_RECORD_FORK, 0, body, sizeof(body), 5, 0);
	assert_int_equal(perf_ring_use(&k), 50);
	perf_drain(&k, 10);
	assert_int_equal(perf_ring_use(&k), 0);
}

static void any_bytes(void **state)
{
	(void)state;
	uint64_t seed = 3;
	for (int round = 0; round < 20000; round++) {
		uint8_t bytes[256];
		for (size_t i = 0; i < sizeof(bytes); i++)
			bytes[i] = (uint8_t)(seed = hash_mix(seed + 1));
		size_t n = 8 + seed % 240;
		uint16_t size = (uint16_t)(seed >> 16 & 1 ? n : seed >> 20 & 0xffff);
		uint32_t type = seed >> 40 & 15;
		memcpy(bytes, &type, 4);
		memcpy(bytes + 6, &size, 2);
		push((int)(seed >> 56 & 1), bytes, n);
		now += seed >> 60;
		count = 0;
		k.left = 1000;
		perf_drain(&k, UINT64_MAX - 1);
		for (int i = 0; i < CPUS; i++) // times of UINT64_MAX stay: nobody asks for them
			if (k.cpus[i].side && heads[i] - k.cpus[i].tail > DATA - 300)
				begin_at(i, heads[i]);
	}
}

static void cpu_lists(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		uint32_t top;
		const char *online;
	} rows[] = {
	    {"0\n", 1, "10000000"},
	    {"0-3\n", 4, "11110000"},
	    {"0-1,4,6-7\n", 8, "11001011"},
	    {"2-3", 4, "00110000"},
	    {"", 0, "00000000"},
	    {"\n", 0, "00000000"},
	    {"x", 0, "00000000"},
	    {"0-99999999999999999999\n", 8, "11111111"},
	    {"5-2\n", 0, "00000000"},
	    {"0,,2", 1, "10000000"},
	    {"7,8,100\n", 8, "00000001"},
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		uint8_t online[9] = {0};
		char path[] = "/tmp/cpus-XXXXXX", got[9] = "";
		int fd = mkstemp(path);
		assert_int_equal(
		    write(fd, rows[i].text, strlen(rows[i].text)), strlen(rows[i].text));
		close(fd);
		assert_int_equal(perf_cpu_list(path, online, 8), rows[i].top);
		assert_int_equal(perf_cpu_list(path, NULL, 8), rows[i].top);
		for (int c = 0; c < 8; c++)
			got[c] = online[c] ? '1' : '0';
		assert_string_equal(got, rows[i].online);
		assert_int_equal(online[8], 0);
		unlink(path);
	}
	assert_int_equal(perf_cpu_list("/no/such/file", NULL, 8), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(what_is_handed_up, setup, teardown),
	    cmocka_unit_test_setup_teardown(records_that_wrap, setup, teardown),
	    cmocka_unit_test_setup_teardown(oldest_first_over_all_cpus, setup, teardown),
	    cmocka_unit_test_setup_teardown(what_came_since_the_last_look_is_seen, setup, teardown),
	    cmocka_unit_test_setup_teardown(
		a_bound_is_kept_and_nothing_lost_by_it, setup, teardown),
	    cmocka_unit_test_setup_teardown(lost_ones_are_counted, setup, teardown),
	    cmocka_unit_test_setup_teardown(nonsense_sizes, setup, teardown),
	    cmocka_unit_test_setup_teardown(bodies_that_are_too_short, setup, teardown),
	    cmocka_unit_test_setup_teardown(paths_of_any_length, setup, teardown),
	    cmocka_unit_test_setup_teardown(
		in_another_pid_namespace_nothing_is_told, setup, teardown),
	    cmocka_unit_test_setup_teardown(how_full, setup, teardown),
	    cmocka_unit_test_setup_teardown(any_bytes, setup, teardown),
	    cmocka_unit_test(cpu_lists),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
