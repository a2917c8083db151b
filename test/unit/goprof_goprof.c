// SPDX-License-Identifier: Apache-2.0
// Lists of buckets in a made-up memory: what is told, once and scaled; and lists that lie.
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <sys/mman.h>
#include <unistd.h>

// The memory may change between two readings of it.
static void (*meanwhile)(void);
static ssize_t reading(int fd, void *to, size_t n, off_t at)
{
	if (meanwhile)
		meanwhile();
	return pread(fd, to, n, at);
}
#define pread reading
#include "../../modules/goprof/memory.c"
#undef pread
#include "../../modules/goprof/goprof.c"
#include "../../modules/goprof/list.c"

#define BIAS 0x10000
#define HEADS 0x3000 // the variables, one a word, in VARIABLE order
#define SPACE 0x100000
#define LOADED 7 // the binary's id

static uint8_t image[SPACE];
static int memory, most_steps; // 0: to the end
static struct goprof *g;
static uint64_t end; // of the buckets
static struct {
	uint32_t count[GOPROF_LISTS];
	int64_t sums[GOPROF_LISTS][4];
	uint64_t leaf, depth;
} told;

static void on_told(void *arg, const struct goprof_sample *s)
{
	(void)arg;
	assert_true(s->depth <= GOPROF_DEPTH_MAX);
	assert_true(s->count >= 0 && s->value >= 0 && s->held >= 0 && s->held_value >= 0);
	told.count[s->list]++;
	told.sums[s->list][0] += s->count;
	told.sums[s->list][1] += s->value;
	told.sums[s->list][2] += s->held;
	told.sums[s->list][3] += s->held_value;
	told.leaf = s->depth ? s->stack[0] : 0;
	told.depth = s->depth;
}

static uint64_t *word_at(uint64_t at)
{
	return (uint64_t *)(image + (at - BIAS));
}

static void put_variable(enum variable v, uint64_t value)
{
	*word_at(BIAS + HEADS + 8u * v) = value;
}

// Puts a bucket in front of LIST: its record's address.
static uint64_t *put_bucket(enum goprof_list list, uint64_t size, const uint64_t *stack, uint32_t n)
{
	static const uint64_t types[] = {1, 3, 2};
	uint64_t at = end, *b = word_at(at), *head = word_at(BIAS + HEADS + 8u * list);
	uint64_t words[] = {0, *head, types[list], 0, size, n};
	memcpy(b, words, sizeof(words));
	memcpy(b + 6, stack, n * sizeof(*stack));
	*head = at;
	end += 48 + 8ull * n + 128;
	return b + 6 + n;
}

static void begin(void)
{
	memset(image, 0, sizeof(image));
	memset(&told, 0, sizeof(told));
	end = BIAS + 0x8000;
	meanwhile = NULL;
	put_variable(VARIABLE_HEAP_RATE, 1); // every object
}

static void open_all(uint64_t marks_max)
{
	g = goprof_new(&(struct goprof_options){.marks_max = marks_max, .lists = 7});
	if (!g)
		return;
	g->program = (struct program){.kind = GOPROF_READABLE, .minor = 22};
	for (int v = 0; v < VARIABLE_COUNT; v++)
		g->program.at[v] = v == VARIABLE_VERSION ? 0 : HEADS + 8u * (unsigned)v;
	g->target.binary = LOADED;
	remember(g);
	g->target.binary = 0;
}

static int read_process(uint32_t process, bool whole)
{
	struct goprof_target t = {.process = process,
	    .binary = LOADED,
	    .program = -1,
	    .memory = memfd_create("memory", 0),
	    .bias = BIAS,
	    .whole = whole};
	memset(&told, 0, sizeof(told));
	assert_int_equal(pwrite(t.memory, image, SPACE, BIAS), SPACE);
	memory = t.memory;
	int more = goprof_begin(g, &t);
	for (int n = 0; !more || more == 1; n++) {
		more = goprof_step(g, 0, on_told, NULL);
		if (more != 1 || (most_steps && n + 1 == most_steps))
			break;
		assert_true(n < 1000000);
	}
	goprof_end(g);
	return more;
}

static void close_all(void)
{
	goprof_free(g);
	g = NULL;
	assert_int_equal(mem_used(ACCOUNT_GOPROF), 0);
}

static const uint64_t stack[] = {0x401000, 0x402000, 0x403000};

static void what_happened_is_told_once(void **state)
{
	(void)state;
	begin();
	open_all(0);
	uint64_t *one = put_bucket(GOPROF_HEAP, 64, stack, 3), *two;
	one[0] = 10, one[1] = 4, one[2] = 640, one[3] = 256; // published
	one[4] = 1, one[6] = 64;			     // not yet
	assert_int_equal(read_process(1, true), 0);
	assert_int_equal(told.sums[GOPROF_HEAP][0], 11);
	assert_int_equal(told.sums[GOPROF_HEAP][1], 704);
	assert_int_equal(told.sums[GOPROF_HEAP][2], 6);
	assert_int_equal(told.sums[GOPROF_HEAP][3], 384);
	assert_int_equal(told.leaf, 0x401000);
	assert_int_equal(told.depth, 3);
	// Nothing new: what is in use is still there.
	assert_int_equal(read_process(1, true), 0);
	assert_int_equal(told.sums[GOPROF_HEAP][0], 0);
	assert_int_equal(told.sums[GOPROF_HEAP][2], 6);
	// A new bucket in front, and more in the old one.
	two = put_bucket(GOPROF_HEAP, 100, stack, 2);
	two[8] = 3, two[10] = 300;
	one[4] = 0, one[6] = 0, one[0] += 5, one[2] += 320;
	assert_int_equal(read_process(1, true), 0);
	assert_int_equal(told.sums[GOPROF_HEAP][0], 3 + 4);
	assert_int_equal(told.sums[GOPROF_HEAP][1], 300 + 256);
	assert_int_equal(told.count[GOPROF_HEAP], 2);
	// In one that was there before only the future counts; what is in use counts.
	assert_int_equal(read_process(2, false), 0);
	assert_int_equal(told.sums[GOPROF_HEAP][0], 0);
	assert_int_equal(told.sums[GOPROF_HEAP][2], 11);
	two[8]++, two[10] += 100;
	assert_int_equal(read_process(2, false), 0);
	assert_int_equal(told.sums[GOPROF_HEAP][1], 100);
	put_bucket(GOPROF_HEAP, 8, stack, 1)[0] = 9; // a new place: all of it is new
	assert_int_equal(read_process(2, false), 0);
	assert_int_equal(told.sums[GOPROF_HEAP][0], 9);
	close_all();
}

static void before_the_first_collection_all_is_in_use(void **state)
{
	(void)state;
	begin();
	open_all(0);
	for (int i = 0; i < 100; i++) {
		uint64_t *r = put_bucket(GOPROF_HEAP, 8, stack, 1);
		r[8] = 2, r[10] = 16, r[5] = 1, r[7] = 8;
	}
	assert_int_equal(read_process(1, true), 0);
	assert_int_equal(told.sums[GOPROF_HEAP][2], 100);
	assert_int_equal(told.sums[GOPROF_HEAP][3], 800);
	assert_int_equal(told.sums[GOPROF_HEAP][0], 200);
	close_all();
}

static void samples_stand_for_more(void **state)
{
	(void)state;
	begin();
	open_all(0);
	put_variable(VARIABLE_HEAP_RATE, 512 << 10);
	uint64_t *r = put_bucket(GOPROF_HEAP, 1024, stack, 1);
	r[0] = 2, r[2] = 2048;
	assert_int_equal(read_process(1, true), 0);
	// 1 / (1 - exp(-1024 / 524288)) = 512.5
	assert_int_equal(told.sums[GOPROF_HEAP][2], 1025);
	assert_in_range(told.sums[GOPROF_HEAP][3], 1049600 - 2, 1049600 + 2);
	r = put_bucket(GOPROF_HEAP, 0, stack, 1); // of nothing
	r[0] = 2;
	assert_int_equal(read_process(2, true), 0);
	assert_int_equal(told.sums[GOPROF_HEAP][2], 1025);
	close_all();
}

// What lies there is of before the program turned it off, perhaps before its main.
static void a_heap_that_is_turned_off_tells_nothing(void **state)
{
	(void)state;
	begin();
	open_all(0);
	put_variable(VARIABLE_HEAP_RATE, 0);
	uint64_t *r = put_bucket(GOPROF_HEAP, 1024, stack, 1);
	r[0] = 2, r[2] = 2048;
	put_bucket(GOPROF_BLOCK, 0, stack, 3)[0] = 5;
	assert_int_equal(read_process(1, true), 0);
	assert_int_equal(told.count[GOPROF_HEAP], 0);
	assert_int_equal(told.sums[GOPROF_BLOCK][0], 5); // a list of its own
	assert_int_equal(goprof_rates(g)->heap, 0);
	close_all();
}

static uint64_t bits(double d)
{
	uint64_t b;
	memcpy(&b, &d, sizeof(b));
	return b;
}

static void waits_have_counts_and_time(void **state)
{
	(void)state;
	begin();
	open_all(0);
	static const uint64_t padded[] = {UINT64_MAX, 0x401000, 0, 5};
	uint64_t *m = put_bucket(GOPROF_MUTEX, 0, padded, 4),
		 *b = put_bucket(GOPROF_BLOCK, 0, stack, 3);
	m[0] = bits(4), m[1] = 1000000000;
	b[0] = 5, b[1] = 3000000000; // an old one's: an integer
	uint64_t ticks = ticks_now(), ns = clock_now();
	while (clock_now() - ns < 20 * NS_PER_MS)
		;
	double per_tick = (double)(clock_now() - ns) / (double)(ticks_now() - ticks);
	assert_int_equal(read_process(1, true), 0);
	assert_int_equal(told.sums[GOPROF_MUTEX][0], 4);
	assert_int_equal(told.sums[GOPROF_BLOCK][0], 5);
	assert_in_range(told.sums[GOPROF_MUTEX][1], 1e9 * per_tick * 0.98, 1e9 * per_tick * 1.02);
	assert_in_range(told.sums[GOPROF_BLOCK][1], 3e9 * per_tick * 0.98, 3e9 * per_tick * 1.02);
	m[0] = bits(6.5);
	assert_int_equal(read_process(1, true), 0);
	assert_int_equal(told.count[GOPROF_MUTEX], 1);
	assert_int_equal(told.sums[GOPROF_MUTEX][0], 2);
	assert_int_equal(told.leaf, 0x401000); // what pads a stack is none of it
	assert_int_equal(told.depth, 1);
	close_all();
	// Until 1.19 what is kept was not scaled up.
	open_all(0);
	uint64_t known;
	assert_true(map_get(&g->programs, LOADED, &known));
	((struct program *)(uintptr_t)known)->minor = 19;
	put_variable(VARIABLE_MUTEX_RATE, 10);
	assert_int_equal(read_process(1, true), 0);
	assert_int_equal(told.sums[GOPROF_MUTEX][0], 60);
	close_all();
}

static void another_program_begins_anew(void **state)
{
	(void)state;
	begin();
	open_all(0);
	uint64_t *r = put_bucket(GOPROF_HEAP, 8, stack, 1);
	r[0] = 5, r[2] = 40;
	assert_int_equal(read_process(1, true), 0);
	begin(); // it ran exec
	end += 0x4000;
	r = put_bucket(GOPROF_HEAP, 8, stack, 1);
	r[0] = 3, r[2] = 24;
	assert_int_equal(read_process(1, true), 0);
	assert_int_equal(told.sums[GOPROF_HEAP][0], 3);
	assert_int_equal(read_process(1, true), 0);
	assert_int_equal(told.sums[GOPROF_HEAP][0], 0);
	close_all();
}

static bool nobody_else(void *arg, uint32_t process)
{
	(void)arg;
	return process == 2;
}

static void who_is_gone_is_forgotten(void **state)
{
	(void)state;
	begin();
	open_all(0);
	put_bucket(GOPROF_HEAP, 8, stack, 1);
	for (uint32_t process = 1; process < 50; process++)
		assert_int_equal(read_process(process, true), 0);
	uint64_t bytes = g->marks_bytes;
	goprof_sweep(g, nobody_else, NULL);
	assert_int_equal(g->processes.count, 1);
	assert_int_equal(g->marks_bytes, bytes / 49);
	close_all();
}

// Without room for marks nothing is told twice, and what has marks is told on.
static void marks_are_bounded(void **state)
{
	(void)state;
	begin();
	open_all(100 * sizeof(struct mark));
	uint64_t unmarked = count_get(COUNT_GO_UNMARKED);
	uint64_t *old = put_bucket(GOPROF_HEAP, 8, stack, 1);
	old[0] = 7;
	assert_int_equal(read_process(1, true), 0);
	assert_int_equal(told.sums[GOPROF_HEAP][0], 7);
	for (int i = 0; i < 200; i++)
		put_bucket(GOPROF_HEAP, 8, stack, 1)[0] = 1;
	for (int i = 0; i < 5; i++) {
		old[0]++;
		assert_int_equal(read_process(1, true), 0);
		assert_true(g->marks_bytes <= 100 * sizeof(struct mark));
		assert_int_equal(told.sums[GOPROF_HEAP][0], 1);
	}
	assert_int_equal(count_get(COUNT_GO_UNMARKED), unmarked + 5);
	// With room again the others are told from then on.
	g->options.marks_max = MARKS_MAX;
	assert_int_equal(read_process(1, true), 0);
	assert_int_equal(told.sums[GOPROF_HEAP][0], 0);
	put_bucket(GOPROF_HEAP, 8, stack, 1)[0] = 3;
	assert_int_equal(read_process(1, true), 0);
	assert_int_equal(told.sums[GOPROF_HEAP][0], 3);
	close_all();
}

// A reading that ends in the middle, wherever, costs nothing: the next one tells the rest.
static void a_reading_that_is_cut_short(void **state)
{
	(void)state;
	for (int steps = 1; steps < 50; steps++) {
		begin();
		open_all(0);
		uint64_t *old = put_bucket(GOPROF_HEAP, 8, stack, 1);
		old[0] = 5;
		assert_int_equal(read_process(1, false), 0);
		assert_int_equal(told.sums[GOPROF_HEAP][0], 0);
		for (int i = 0; i < 9; i++)
			put_bucket(GOPROF_HEAP, 8, stack, 1)[0] = 1;
		old[0] += 20;
		most_steps = steps;
		read_process(1, false);
		most_steps = 0;
		int64_t before = told.sums[GOPROF_HEAP][0];
		assert_true(before == 29 || steps < 25);
		assert_int_equal(read_process(1, false), 0);
		assert_int_equal(before + told.sums[GOPROF_HEAP][0], 29);
		close_all();
	}
}

// As does one that meets what it cannot read.
static void a_reading_that_fails(void **state)
{
	(void)state;
	begin();
	open_all(0);
	uint64_t *old = put_bucket(GOPROF_HEAP, 8, stack, 1);
	old[0] = 5;
	assert_int_equal(read_process(1, false), 0);
	uint64_t *mid = put_bucket(GOPROF_HEAP, 8, stack, 1);
	for (int i = 0; i < 9; i++)
		put_bucket(GOPROF_HEAP, 8, stack, 1)[0] = 1;
	mid[0] = 100, old[0] += 1000;
	// In the first walk, then in the second.
	mid[-5] = 99;
	assert_int_equal(read_process(1, false), -EBADMSG);
	assert_int_equal(told.sums[GOPROF_HEAP][0], 0);
	mid[-5] = 1;
	old[-5] = 99;
	assert_int_equal(read_process(1, false), -EBADMSG);
	assert_int_equal(told.sums[GOPROF_HEAP][0], 109);
	old[-5] = 1;
	assert_int_equal(read_process(1, false), 0);
	assert_int_equal(told.sums[GOPROF_HEAP][0], 1000);
	close_all();
}

static uint64_t *changing;
static void change(void)
{
	++*changing;
	assert_int_equal(pwrite(memory, changing, 8, BIAS + ((uint8_t *)changing - image)), 8);
}

// A bucket that is never the same twice is left for the next reading, the others are told.
static void what_changes_meanwhile(void **state)
{
	(void)state;
	begin();
	open_all(0);
	put_bucket(GOPROF_HEAP, 8, stack, 1)[0] = 7;
	changing = put_bucket(GOPROF_HEAP, 8, stack, 1);
	put_bucket(GOPROF_HEAP, 8, stack, 1)[0] = 70;
	meanwhile = change;
	assert_int_equal(read_process(1, true), 0);
	meanwhile = NULL;
	assert_int_equal(told.sums[GOPROF_HEAP][0], 77);
	assert_int_equal(read_process(1, true), 0);
	*changing += 3;
	assert_int_equal(read_process(1, true), 0);
	assert_int_equal(told.sums[GOPROF_HEAP][0], 3);
	close_all();
}

static void lists_that_lie(void **state)
{
	(void)state;
	static const struct {
		uint64_t word, value;
		int result;
	} lies[] = {
	    {1, 3, -EBADMSG},						    // allnext, crooked
	    {1, 0x7fffffffff00, -EFAULT},				    // nowhere
	    {1, UINT64_MAX - 7, -EFAULT},				    // negative
	    {2, 2, -EBADMSG},						    // typ
	    {2, UINT64_MAX, -EBADMSG}, {5, GOPROF_DEPTH_MAX + 1, -EBADMSG}, // depth
	    {5, UINT64_MAX / 8, -EBADMSG}, {5, GOPROF_DEPTH_MAX, 0}, {4, UINT64_MAX, 0}, // size
	    {7, UINT64_MAX, 0},								 // allocs
	    {9, UINT64_MAX, 0},								 // bytes
	};
	for (size_t i = 0; i < sizeof(lies) / sizeof(*lies); i++) {
		begin();
		open_all(0);
		put_variable(VARIABLE_HEAP_RATE, i % 2 ? UINT64_MAX : 1);
		put_bucket(GOPROF_HEAP, 8, stack, 1)[0] = 1;
		uint64_t *r = put_bucket(GOPROF_HEAP, 8, stack, 1);
		r[0] = 1;
		r[-7 + (int64_t)lies[i].word] = lies[i].value;
		uint64_t *m = put_bucket(GOPROF_MUTEX, 0, stack, 1);
		m[0] = bits(1);
		int result = read_process(1, true);
		if (result != lies[i].result)
			fail_msg("lie %zu: %d", i, result);
		assert_int_equal(told.sums[GOPROF_MUTEX][0], 1); // the others are read all the same
		assert_int_equal(read_process(1, true), lies[i].result);
		close_all();
	}
	static const double counts[] = {-1, 1e300, 0.0 / 0.0, 1.0 / 0.0};
	for (size_t i = 0; i < 4; i++) {
		begin();
		open_all(0);
		uint64_t *m = put_bucket(GOPROF_MUTEX, 0, stack, 1);
		m[0] = bits(counts[i]), m[1] = UINT64_MAX - 5;
		assert_int_equal(read_process(1, true), 0);
		assert_int_equal(told.sums[GOPROF_MUTEX][0], 0);
		close_all();
	}
}

static void a_list_without_end(void **state)
{
	(void)state;
	begin();
	open_all(0);
	uint64_t cut = count_get(COUNT_GO_CUT);
	put_bucket(GOPROF_HEAP, 8, stack, 1)[0] = 1;
	uint64_t at = end, *r = put_bucket(GOPROF_HEAP, 8, stack, 1);
	r[0] = 1;
	r[-6] = at; // it is its own next
	assert_int_equal(read_process(1, true), 0);
	assert_true(told.count[GOPROF_HEAP] <= GOPROF_BUCKETS_MAX);
	assert_int_equal(count_get(COUNT_GO_CUT), cut + 1);
	// Nothing published, so that even the first look goes round.
	r[0] = 0;
	assert_int_equal(read_process(2, true), 0);
	assert_int_equal(count_get(COUNT_GO_CUT), cut + 2);
	close_all();
	// The memory ends where a bucket does, and within one.
	begin();
	open_all(0);
	end = BIAS + SPACE - 48 - 8 - 128;
	put_bucket(GOPROF_HEAP, 8, stack, 1)[0] = 1;
	assert_int_equal(read_process(1, true), 0);
	assert_int_equal(told.sums[GOPROF_HEAP][0], 1);
	put_variable(VARIABLE_HEAP, BIAS + SPACE - 24);
	assert_int_equal(read_process(2, true), -EFAULT);
	put_variable(VARIABLE_HEAP, 8);
	assert_int_equal(read_process(3, true), -EBADMSG);
	close_all();
}

static void any_allocation_may_fail(void **state)
{
	(void)state;
	for (uint64_t n = 1;; n++) {
		begin();
		for (int i = 0; i < 40; i++)
			put_bucket(i % 3, 8, stack, 1)[0] = i % 3 ? bits(1) : 1;
		mem_fail_at(n);
		open_all(0);
		int64_t all = 0;
		for (int i = 0; g && i < 3 && goprof_kind(g, LOADED) != GOPROF_UNKNOWN; i++) {
			assert_int_equal(read_process(1, true), 0);
			all += told.sums[GOPROF_HEAP][0];
		}
		bool failed = mem_fail_seen() >= n;
		mem_fail_at(0);
		assert_in_range(all, 0, 14); // nothing twice
		close_all();
		if (!failed) {
			assert_int_equal(all, 14);
			break;
		}
	}
}

static void programs_that_are_none(void **state)
{
	(void)state;
	int fd = memfd_create("program", 0);
	assert_int_equal(write(fd, image, 4096), 4096);
	g = goprof_new(&(struct goprof_options){.lists = 7});
	struct goprof_target t = {.process = 1, .binary = 3, .program = fd, .memory = dup(fd)};
	assert_int_equal(goprof_kind(g, 3), GOPROF_UNKNOWN);
	assert_int_equal(goprof_begin(g, &t), 0);
	assert_int_equal(goprof_step(g, 0, on_told, NULL), -ENOENT);
	assert_int_equal(goprof_kind(g, 3), GOPROF_NONE);
	close_all();
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(what_happened_is_told_once),
	    cmocka_unit_test(before_the_first_collection_all_is_in_use),
	    cmocka_unit_test(samples_stand_for_more),
	    cmocka_unit_test(a_heap_that_is_turned_off_tells_nothing),
	    cmocka_unit_test(waits_have_counts_and_time),
	    cmocka_unit_test(another_program_begins_anew),
	    cmocka_unit_test(who_is_gone_is_forgotten),
	    cmocka_unit_test(marks_are_bounded),
	    cmocka_unit_test(a_reading_that_is_cut_short),
	    cmocka_unit_test(a_reading_that_fails),
	    cmocka_unit_test(what_changes_meanwhile),
	    cmocka_unit_test(lists_that_lie),
	    cmocka_unit_test(a_list_without_end),
	    cmocka_unit_test(any_allocation_may_fail),
	    cmocka_unit_test(programs_that_are_none),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
