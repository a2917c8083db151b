// SPDX-License-Identifier: Apache-2.0
// When windows end: a kernel of the test's own hands up samples late, as a ring does that is
// drained now and then. Each sample is in the window in which it was taken.
#include "../../modules/path/path.c"
#include "path_sim.h"

#define RING 1000

// The kernel: samples that wait in the ring, the oldest first.
static struct kernel {
	uint64_t times[RING];
	uint32_t count, next;
	uint64_t counters[KERNEL_COUNTER_COUNT];
	uint64_t huge; // pages, unseen
	int wake[2];
	bool sample, young; // what kernel_woken and kernel_young say
	bool stopped;
	bool looks; // can be had
	unsigned looked, looked_again, looked_lost;
	bool lacks; // such looks find that rows are lacking still
} ring;

static void blocked(enum walk_end end);

static struct {
	uint64_t wall, duration;
	int64_t samples, value;
	enum path_type type;
} windows[64];
static int closed;

static void pass(uint64_t ns)
{
	now += ns;
	wall += ns;
}

int kernel_drain(struct kernel *k, int max)
{
	int n = 0;
	for (; n < max && k->next < k->count; n++) {
		uint64_t user[] = {0x400010}, ago = now - k->times[k->next++];
		now -= ago;
		wall -= ago;
		feed_stack(100, 1, 5, "feeder", user, 1);
		now += ago;
		wall += ago;
	}
	return n;
}

int kernel_wake_fd(const struct kernel *k)
{
	return k->wake[0];
}

bool kernel_woken(struct kernel *k)
{
	char byte;
	assert_int_equal(read(k->wake[0], &byte, 1), 1);
	return k->sample;
}

bool kernel_young(const struct kernel *k)
{
	return k->young;
}

uint64_t kernel_drained(const struct kernel *k)
{
	(void)k;
	return 0;
}

unsigned kernel_ring_use(const struct kernel *k)
{
	return (k->count - k->next) * 100 / RING;
}

void kernel_stop(struct kernel *k)
{
	k->stopped = true;
}

int kernel_rescan_cpus(struct kernel *k)
{
	(void)k;
	return 0;
}

const char *kernel_off_cpu_why(const struct kernel *k)
{
	return k->looks ? NULL : "not here";
}

int kernel_look(struct kernel *k, uint64_t until, uint64_t budget_ns)
{
	(void)until, (void)budget_ns;
	k->looked++;
	return 0;
}

int kernel_look_again(struct kernel *k, bool lost, uint64_t budget_ns)
{
	(void)budget_ns;
	k->looked_lost += lost;
	k->looked_again++;
	pass(NS_PER_MS); // so long it takes
	if (k->lacks)
		blocked(WALK_END_LOADING);
	return 0;
}

int kernel_counters(struct kernel *k, uint64_t counters[KERNEL_COUNTER_COUNT])
{
	memcpy(counters, k->counters, sizeof(k->counters));
	return 0;
}

uint64_t kernel_huge_unseen(const struct kernel *k, uint64_t *bytes)
{
	*bytes = k->huge << 21;
	return k->huge;
}

const char *kernel_counter_label(enum kernel_counter c)
{
	return c == KERNEL_LOST_RING ? "ring full" : "other";
}

int kernel_want(struct kernel *k, uint32_t pid, int want)
{
	(void)k, (void)pid, (void)want;
	return 0;
}

void kernel_unlist(struct kernel *k, uint32_t pid)
{
	(void)k, (void)pid;
}

int kernel_classify(struct kernel *k, struct map *m, const uint64_t *addresses, uint32_t count,
    uint64_t (*class_of)(const char *name))
{
	(void)k, (void)m, (void)addresses, (void)count, (void)class_of;
	return -EOPNOTSUPP;
}

static void on_closed(void *arg, enum path_type type, const struct profile *p)
{
	int64_t totals[PROFILE_VALUES_MAX];
	profile_totals(p, totals);
	windows[closed].wall = profile_header_of(p)->time_ns;
	windows[closed].duration = profile_header_of(p)->duration_ns;
	windows[closed].type = type;
	windows[closed].value = totals[1];
	windows[closed++].samples = totals[0];
	sim_on_window(arg, type, p);
}

static void open_all(void)
{
	ring = (struct kernel){.count = 0};
	closed = 0;
	assert_int_equal(pipe(ring.wake), 0);
	assert_true(sim_make());
	sim.path->options.on_window = on_closed;
	assert_int_equal(path_start(sim.path, &ring), 0);
	sim_turns();
}

static void close_all(void)
{
	sim_close();
	close(ring.wake[0]);
	close(ring.wake[1]);
	sim_nothing_left();
}

static void sampled(uint64_t ago_ns)
{
	assert_true(ring.count < RING);
	ring.times[ring.count++] = now - ago_ns;
}

// As many turns as it takes to be at rest, without any time that passes.
static void turns(void)
{
	for (int i = 0; i < 200; i++)
		loop_turn(sim.loop);
}

static void finish(void)
{
	sim_finish(20000);
	assert_true(ring.stopped);
}

static void a_sample_is_of_the_window_in_which_it_was_taken(void **state)
{
	(void)state;
	open_all();
	uint64_t began = now, wall_began = wall;
	pass(NS_PER_S);
	for (uint64_t i = 1; i <= 30; i++) // in the ring, not drained yet
		sampled(i * 10 * NS_PER_MS);
	path_flush(sim.path);
	pass(300 * NS_PER_US);
	sampled(400 * NS_PER_US); // was being walked when the window ended
	sampled(100 * NS_PER_US); // of the next one
	sampled(100 * NS_PER_US);
	pass(3 * NS_PER_MS);
	turns();
	assert_int_equal(closed, 1);
	assert_int_equal(windows[0].samples, 31);
	assert_int_equal(windows[0].wall, wall_began);
	assert_int_equal(windows[0].duration, NS_PER_S);
	assert_int_equal(sim.path->window_began, began + NS_PER_S);
	assert_int_equal(sim.path->window_wall, wall_began + NS_PER_S);
	pass(NS_PER_S - 3300 * NS_PER_US);
	path_flush(sim.path);
	pass(3 * NS_PER_MS); // nothing was sampled meanwhile
	turns();
	assert_int_equal(closed, 2);
	assert_int_equal(windows[1].samples, 2);
	assert_int_equal(windows[1].duration, NS_PER_S);
	finish();
	totals_match();
	close_all();
}

// The end stands still however long the ring takes; what is asked for meanwhile comes after.
static void a_slow_ring_moves_no_end(void **state)
{
	(void)state;
	open_all();
	pass(NS_PER_S);
	for (uint64_t i = 1; i <= 200; i++)
		sampled(NS_PER_MS);
	path_flush(sim.path);
	pass(NS_PER_MS);
	on_drain(sim.path);
	assert_int_equal(closed, 0); // one may still be on its way
	assert_true(sim.path->close_at && ring.next == ring.count);
	pass(500 * NS_PER_MS);
	path_flush(sim.path); // another end is wanted
	turns();
	assert_int_equal(closed, 1);
	assert_int_equal(windows[0].samples, 200);
	assert_int_equal(windows[0].duration, NS_PER_S);
	sampled(100 * NS_PER_MS);
	pass(3 * NS_PER_MS);
	turns();
	assert_int_equal(closed, 2);
	assert_int_equal(windows[1].samples, 1);
	assert_int_equal(windows[1].duration, 501 * NS_PER_MS);
	finish();
	totals_match();
	close_all();
}

static void losses_are_of_the_window_in_which_they_happened(void **state)
{
	(void)state;
	open_all();
	pass(NS_PER_S);
	sim.fed += ring.counters[KERNEL_LOST_RING] = 7;
	path_flush(sim.path);
	sim.fed += 5;
	ring.counters[KERNEL_LOST_RING] += 5;
	pass(3 * NS_PER_MS);
	turns();
	assert_int_equal(windows[0].samples, 7);
	finish();
	assert_int_equal(closed, 2);
	assert_int_equal(windows[1].samples, 5);
	totals_match();
	close_all();
}

static void growth_too_small_for_a_sample_is_in_the_totals(void **state)
{
	struct path_totals t;
	int64_t bytes = 0;
	(void)state;
	sim.options.types = 1u << PATH_CPU | 1u << PATH_MAPPED;
	open_all();
	ring.counters[KERNEL_MAPPED_BYTES] = 5 * 4096;
	ring.counters[KERNEL_MAPPED_LOST_BYTES] = 2 * 4096;
	ring.counters[KERNEL_MAPPED_LOST] = 1;
	pass(NS_PER_S);
	finish();
	for (int i = 0; i < closed; i++)
		bytes += windows[i].type == PATH_MAPPED ? windows[i].value : 0;
	assert_int_equal(bytes, 5 * 4096);
	path_totals(sim.path, &t);
	assert_int_equal(t.mapped_bytes, 3 * 4096);
	close_all();
}

static void huge_pages_unseen_are_in_the_profile(void **state)
{
	int64_t pages = 0, bytes = 0;
	(void)state;
	sim.options.types = 1u << PATH_CPU | 1u << PATH_MEMORY;
	open_all();
	for (int i = 0; i < 2; i++) {
		ring.huge += 3;
		pass(NS_PER_S);
		path_flush(sim.path);
		pass(3 * NS_PER_MS);
		turns();
	}
	finish();
	for (int i = 0; i < closed; i++)
		if (windows[i].type == PATH_MEMORY) {
			pages += windows[i].samples;
			bytes += windows[i].value;
		}
	assert_int_equal(pages, 6);
	assert_int_equal(bytes, 6 << 21);
	close_all();
}

// Ended while a window is waiting for its last samples, at any moment of it.
static void an_end_within_an_end(void **state)
{
	(void)state;
	for (int way = 0; way < 4; way++) {
		open_all();
		pass(NS_PER_S);
		sampled(NS_PER_MS);
		path_flush(sim.path);
		pass(NS_PER_MS);
		sampled(NS_PER_MS / 2);
		if (way & 1)
			path_flush(sim.path);
		if (way & 2)
			loop_turn(sim.loop);
		uint64_t stopped = now;
		finish();
		assert_int_equal(closed, 2);
		assert_int_equal(windows[0].samples, 1);
		assert_int_equal(windows[1].samples, 1);
		assert_int_equal(windows[0].duration, NS_PER_S);
		assert_int_equal(sim.path->stopped_ns, stopped);
		assert_int_equal(windows[1].duration, NS_PER_MS);
		totals_match();
		close_all();
	}
	open_all(); // and nothing came after it
	pass(NS_PER_S);
	path_flush(sim.path);
	pass(NS_PER_MS);
	finish();
	assert_int_equal(closed, 1);
	assert_int_equal(windows[0].duration, NS_PER_S + NS_PER_MS);
	close_all();
}

// Who has just started waits for the first sample; later there is no hurry while the ring is empty.
static void the_first_sample_comes_soon(void **state)
{
	(void)state;
	open_all();
	pass(11 * NS_PER_MS);
	turns(); // none yet
	sampled(0);
	for (int i = 0; i < 15; i++) {
		pass(NS_PER_MS);
		loop_turn(sim.loop);
	}
	assert_int_equal(ring.next, 1);
	for (int i = 0; i < 3000; i++) {
		pass(NS_PER_MS);
		loop_turn(sim.loop);
	}
	assert_int_equal(sim.path->drain_ns, DRAIN_MAX_NS);
	finish();
	totals_match();
	close_all();
}

static void woken(bool sample)
{
	ring.sample = sample;
	assert_int_equal(write(ring.wake[1], "w", 1), 1);
	loop_turn(sim.loop);
}

// What a sample asks for is looked at at once, a mapping when it and what follows it have settled.
static void who_wakes_rests(void **state)
{
	(void)state;
	open_all();
	for (int i = 0; i < 100; i++) {
		pass(50 * NS_PER_MS);
		turns();
	}
	timer_set(sim.path->drain_timer, NS_PER_S, 0);
	pass(10 * NS_PER_MS);
	sampled(0);
	woken(true);
	assert_int_equal(ring.next, 1);
	assert_true(sim.path->resting);
	sampled(0);
	woken(true); // again, too soon
	assert_int_equal(ring.next, 1);
	pass(5 * NS_PER_MS);
	turns();
	assert_int_equal(ring.next, 2);
	assert_false(sim.path->resting);

	timer_set(sim.path->drain_timer, NS_PER_S, 0);
	pass(10 * NS_PER_MS);
	sampled(0);
	woken(false);
	assert_int_equal(ring.next, 2);
	assert_true(sim.path->resting);
	pass(4 * NS_PER_MS); // as the loop tells at the end of a rest
	ring.young = true;
	woken(false);
	assert_int_equal(ring.next, 3);
	assert_true(sim.path->resting); // some were too young
	sampled(0);
	ring.young = false;
	pass(5 * NS_PER_MS);
	turns();
	assert_int_equal(ring.next, 4);
	assert_false(sim.path->resting);
	woken(false);
	finish();
	assert_false(sim.path->resting);
	totals_match();
	close_all();
}

// Windows end at any time beside samples that come up at any time: nothing is lost, nothing is
// twice, and no window has more than its time allows.
static void no_window_has_more_than_its_time(void **state)
{
	(void)state;
	uint64_t seed = 7, due = 0;
	open_all();
	for (int i = 0; i < 20000; i++) {
		seed = hash_mix(seed + 1);
		pass(100 * NS_PER_US);
		if (now >= due) { // one CPU, a sample each 10 ms
			due = now + 10 * NS_PER_MS;
			sampled(0);
		}
		if (ring.next == ring.count)
			ring.next = ring.count = 0;
		if (seed % 500 == 0 && closed < 60)
			path_flush(sim.path);
		loop_turn(sim.loop);
	}
	finish();
	assert_true(closed > 20);
	for (int i = 0; i < closed; i++)
		assert_true(
		    (uint64_t)windows[i].samples <= windows[i].duration / (10 * NS_PER_MS) + 1);
	totals_match();
	close_all();
}

// A block's stack that lacked rows, or not.
static void blocked(enum walk_end end)
{
	struct record_sample r = {
	    .head = {.kind = RECORD_SAMPLE, .size = sizeof(r), .time_ns = now},
	    .start_ns = 5 * TICK,
	    .pid = 100,
	    .tid = 100,
	    .ppid = 1,
	    .source = SOURCE_OFF_CPU,
	    .block = 1,
	    .walk_end = end,
	    .comm = "blocked",
	    .process_comm = "blocked"};
	path_record(sim.path, &r.head);
}

// A piece of its time, LAST or not: of a block that there is no stack of.
static void nothing_known(bool last)
{
	struct record_block b = {.head = {.kind = RECORD_BLOCK, .size = sizeof(b), .time_ns = now},
	    .blocked_ns = NS_PER_MS,
	    .whole_ns = NS_PER_MS,
	    .pid = 100,
	    .tid = 100,
	    .block = 2,
	    .count = 1,
	    .chance = BLOCK_CHANCE_ONE,
	    .reason = OFF_SLEEP,
	    .last = last};
	path_record(sim.path, &b.head);
}

static void wait_ms(int ms)
{
	for (int i = 0; i < ms; i++) {
		pass(NS_PER_MS);
		loop_turn(sim.loop);
	}
}

// A second of usual looks.
static void open_looking(void)
{
	sim.options.types = 1u << PATH_CPU | 1u << PATH_OFF_CPU;
	ring = (struct kernel){.looks = true};
	closed = 0;
	assert_int_equal(pipe(ring.wake), 0);
	assert_true(sim_make());
	assert_int_equal(path_start(sim.path, &ring), 0);
	wait_ms(1000);
}

static void stacks_that_lacked_rows_are_taken_again_soon(void **state)
{
	(void)state;
	open_looking();
	unsigned usual = ring.looked;
	assert_in_range(usual, 4, 7);
	assert_int_equal(ring.looked_again, 0);
	blocked(WALK_END_COMPLETE); // lacks nothing
	look_loaded(sim.path);
	wait_ms(10);
	assert_int_equal(ring.looked_again, 0);
	blocked(WALK_END_LOADING); // and the rows are not there yet
	wait_ms(10);
	assert_int_equal(ring.looked_again, 0);
	look_loaded(sim.path);
	wait_ms(2);
	assert_int_equal(ring.looked_again, 1);
	look_loaded(sim.path); // all were
	wait_ms(2);
	assert_int_equal(ring.looked_again, 1);
	blocked(WALK_END_LOADING);
	ring.lacks = true; // it wants more of them, which do not come by themselves
	look_loaded(sim.path);
	wait_ms(20);
	assert_int_equal(ring.looked_again, 2);
	ring.lacks = false;
	// However often some are loaded, the usual looks are what they were, and the others rest.
	usual = ring.looked;
	for (int i = 0; i < 1000; i++) {
		blocked(WALK_END_LOADING);
		look_loaded(sim.path);
		wait_ms(1);
	}
	assert_in_range(ring.looked - usual, 4, 7);
	assert_in_range(ring.looked_again, 5, 30);
	close_all();
}

static void stacks_that_were_lost_are_taken_again(void **state)
{
	(void)state;
	open_looking();
	nothing_known(true); // it is over: nothing can be taken
	wait_ms(500);
	assert_int_equal(ring.looked_again, 0);
	nothing_known(false);
	wait_ms(500);
	assert_int_equal(ring.looked_lost, 1);
	blocked(WALK_END_LOADING); // the next is for rows alone
	look_loaded(sim.path);
	wait_ms(1000);
	assert_int_equal(ring.looked_lost, 1);
	// However often, these rest, too.
	for (int i = 0; i < 1000; i++) {
		nothing_known(false);
		wait_ms(1);
	}
	assert_in_range(ring.looked_lost, 2, 7);
	close_all();
}

int main(void)
{
	log_set_level(LOG_LEVEL_ERROR);
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(
		a_sample_is_of_the_window_in_which_it_was_taken, sim_setup, sim_teardown),
	    cmocka_unit_test_setup_teardown(a_slow_ring_moves_no_end, sim_setup, sim_teardown),
	    cmocka_unit_test_setup_teardown(
		losses_are_of_the_window_in_which_they_happened, sim_setup, sim_teardown),
	    cmocka_unit_test_setup_teardown(
		growth_too_small_for_a_sample_is_in_the_totals, sim_setup, sim_teardown),
	    cmocka_unit_test_setup_teardown(
		huge_pages_unseen_are_in_the_profile, sim_setup, sim_teardown),
	    cmocka_unit_test_setup_teardown(an_end_within_an_end, sim_setup, sim_teardown),
	    cmocka_unit_test_setup_teardown(the_first_sample_comes_soon, sim_setup, sim_teardown),
	    cmocka_unit_test_setup_teardown(who_wakes_rests, sim_setup, sim_teardown),
	    cmocka_unit_test_setup_teardown(
		stacks_that_lacked_rows_are_taken_again_soon, sim_setup, sim_teardown),
	    cmocka_unit_test_setup_teardown(
		stacks_that_were_lost_are_taken_again, sim_setup, sim_teardown),
	    cmocka_unit_test_setup_teardown(
		no_window_has_more_than_its_time, sim_setup, sim_teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
