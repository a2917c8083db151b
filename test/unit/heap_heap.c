// SPDX-License-Identifier: Apache-2.0
// Which processes are probed, and when their probes come off. The kernel's part is made up; the
// process that is looked at is this one.
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <cmocka.h>

#include "elf_image.h"
#include "../../bpf/alloc.h"
#include "../../modules/kernel/kernel.h"
#define kernel_probe(...) probe_for_test(__VA_ARGS__)
#define kernel_unprobe(...) unprobe_for_test(__VA_ARGS__)
static int probe_for_test(struct kernel *k, uint32_t pid, int fd, const struct kernel_probe *probes,
    uint32_t count, int links[KERNEL_PROBE_LINKS]);
static void unprobe_for_test(int links[KERNEL_PROBE_LINKS]);
#include "../../modules/base/base.h"
#undef log_warn
#define log_warn(...) warn_for_test(__VA_ARGS__)
static void warn_for_test(const char *format, ...) __attribute__((format(printf, 1, 2)));
#include "../../modules/heap/heap.c"
#include "../../modules/heap/removal.c"
#include "../../modules/heap/search.c"

static int refuses, on, over, warnings;
static char warning[512];

static void warn_for_test(const char *format, ...)
{
	va_list list;
	va_start(list, format);
	vsnprintf(warning, sizeof(warning), format, list);
	va_end(list);
	warnings++;
}
static uint32_t last_count, java_count, java_kind, me;
static int hold[2] = {-1, -1}, beside; // a byte lets one go on; how often we did not wait
static int lasts[2] = {-1, -1};	       // likewise, when they are on
static uint64_t now, wall;

static int probe_for_test(struct kernel *k, uint32_t pid, int fd, const struct kernel_probe *probes,
    uint32_t count, int links[KERNEL_PROBE_LINKS])
{
	char c;
	(void)k;
	assert_int_equal(pid, me);
	assert_true(fd >= 0);
	links[0] = -1;
	if (hold[0] >= 0 && read(hold[0], &c, 1) != 1)
		return -EIO;
	beside += getpid() != (pid_t)me;
	links[0] = refuses ? -1 : 1000;
	links[1] = -1;
	if (ALLOC_IS_JAVA(probes[0].kind & 0xff)) {
		java_count = count;
		java_kind = probes[0].kind;
		links[0] = -1;
		return -EINVAL; // they are no functions
	}
	last_count = count;
	on += !refuses;
	if (lasts[0] >= 0 && read(lasts[0], &c, 1) != 1)
		return -EIO;
	return refuses;
}

static int gate[2] = {-1, -1}, elsewhere; // a byte lets one come off; how often we did not wait

static void unprobe_for_test(int links[KERNEL_PROBE_LINKS])
{
	char c;
	if (links[0] < 0)
		return;
	if (gate[0] >= 0 && read(gate[0], &c, 1) != 1)
		return;
	__sync_fetch_and_add(&elsewhere, getpid() != (pid_t)me);
	links[0] = -1;
	__sync_fetch_and_sub(&on, 1);
}

static void on_over(void *arg, uint32_t pid)
{
	(void)arg;
	assert_int_equal(pid, getpid());
	over++;
}

static struct heap *heap;
static struct loop *loop;
static struct proc *proc;

static int begin(void **state)
{
	(void)state;
	beside = on = over = refuses = warnings = elsewhere = 0;
	*warning = 0;
	now = clock_now();
	wall = clock_wall();
	me = (uint32_t)getpid();
	proc = proc_new("/proc");
	loop = loop_new();
	clock_fake(&now, &wall);
	return 0;
}

static int end(void **state)
{
	(void)state;
	int *pipes[] = {gate, hold, lasts};
	for (int i = 0; i < 3; i++) // a check has failed: nobody else lets go who waits there
		if (pipes[i][0] >= 0) {
			close(pipes[i][0]);
			close(pipes[i][1]);
			pipes[i][0] = -1;
		}
	heap_free(heap);
	heap = NULL;
	loop_free(loop);
	proc_free(proc);
	clock_fake(NULL, NULL);
	assert_int_equal(on, 0);
	assert_int_equal(mem_used(ACCOUNT_HEAP), 0);
	return 0;
}

static void make_for(bool loops, uint64_t time_ns)
{
	struct heap_options o = {
	    .proc = proc, .loop = loops ? loop : NULL, .time_ns = time_ns, .on_over = on_over};
	heap = heap_new(&o);
	assert_non_null(heap);
}

static void make(bool loops)
{
	make_for(loops, 5 * NS_PER_S);
}

static void step_all(void)
{
	while (heap_step(heap, 0) > 0)
		;
}

static void its_allocators_are_found(void **state)
{
	char why[256];
	(void)state;
	make(false);
	assert_int_equal(heap_add(heap, me, false), 0);
	assert_int_equal(heap_add(heap, me, false), -EEXIST);
	assert_int_equal(heap_probes(heap, me, why, sizeof(why)), 0);
	assert_string_equal(why, ""); // not known yet
	step_all();
	assert_int_equal(heap_probes(heap, me, why, sizeof(why)), last_count);
	assert_true(last_count >= 4);
	assert_int_equal(on, 1);
	heap_changed(heap, me, false); // nothing new
	step_all();
	assert_int_equal(on, 1);
	heap_changed(heap, me, true); // another program
	assert_int_equal(on, 0);
	step_all();
	assert_int_equal(on, 1);
	heap_ended(heap, me);
	assert_int_equal(on, 0);
	assert_false(heap_has(heap, me));
}

// A program that goes on mapping while its files are looked through, of which one may be large.
static void a_search_is_not_cut_short(void **state)
{
	char why[256];
	(void)state;
	make(false);
	assert_int_equal(heap_add(heap, me, false), 0);
	for (int i = 0; i < 100000 && !on; i++) {
		heap_step(heap, 0);
		if (heap->search)
			heap_changed(heap, me, false);
	}
	assert_int_equal(on, 1);
	step_all();
	assert_int_equal(heap_probes(heap, me, why, sizeof(why)), last_count);
	assert_int_equal(on, 1);
}

static void image_code(struct image *m, const char *name)
{
	image_function(m, name, TEXT_ADDRESS + image_put(m, "\x55\xc3", 2), 2);
}

static struct image m;

static void *map_image(void)
{
	image_table(&m, SHT_SYMTAB);
	image_end(&m);
	int fd = image_fd(&m, m.size);
	void *at = mmap(NULL, TEXT_SIZE, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0);
	close(fd);
	assert_true(at != MAP_FAILED);
	return at;
}

// Maps what looks like a Java machine, with or without names.
static void *map_machine(bool names)
{
	image_begin(&m);
	image_code(&m, "JNI_CreateJavaVM");
	if (names) {
		image_code(&m,
		    "_ZN11AllocTracer27send_allocation_in_new_tlabEP5KlassP8HeapWordmmP6Thread");
		image_code(&m,
		    "_ZN11AllocTracer28send_allocation_outside_tlabEP5KlassP8HeapWordmP6Thread");
		image_code(&m, "_ZN10JavaThread4exitEbNS_8ExitTypeE");
	}
	return map_image();
}

// Its tables are waited for, then it is probed without them.
static void a_java_machine_is_found(void **state)
{
	(void)state;
	for (int names = 0; names < 2; names++) {
		void *at = map_machine(names);
		java_count = on = 0;
		make(false);
		assert_int_equal(heap_add(heap, me, false), 0);
		step_all();
		assert_int_equal(java_count, names ? 2 : 0); // nor what a thread has at its end
		assert_int_equal(on, 1);		     // libc
		assert_int_equal(heap->targets[0]->looks, names ? TRIES_MAX + 1 : 1);
		heap_free(heap);
		heap = NULL;
		munmap(at, TEXT_SIZE);
	}
	assert_int_equal(java_kind, ALLOC_JAVA_TLAB);
}

static void the_reason_is_told(void **state)
{
	char why[256];
	(void)state;
	make(false);
	refuses = -EPERM;
	assert_int_equal(heap_add(heap, me, false), 0);
	step_all();
	assert_int_equal(heap_probes(heap, me, why, sizeof(why)), 0);
	assert_non_null(strstr(why, "libc.so"));
	assert_non_null(strstr(why, "run as root"));
	assert_int_equal(heap_add(heap, 0x3fffff, false), 0);
	step_all();
	heap_probes(heap, 0x3fffff, why, sizeof(why));
	assert_non_null(strstr(why, "mappings: No such"));
	heap_probes(heap, 1, why, sizeof(why));
	assert_string_equal(why, "not asked for");
}

// Beside libc, which is probed, an allocator that is not: what is missing would not be noticed.
static void an_allocator_that_is_refused_is_told(void **state)
{
	(void)state;
	image_begin(&m);
	image_function(
	    &m, "malloc", TEXT_ADDRESS + image_put(&m, "\x48\x83\xec\x18", 4), 4); // sub $24,%rsp
	image_code(&m, "free");
	void *at = map_image();
	make(false);
	assert_int_equal(heap_add(heap, me, false), 0);
	step_all();
	assert_int_equal(on, 1);
	heap_changed(heap, me, false); // nothing new
	step_all();
	munmap(at, TEXT_SIZE);
	assert_int_equal(warnings, 1);
	assert_non_null(strstr(warning, "not probed"));
	assert_non_null(strstr(warning, "malloc begins with instructions that a probe would cost"));
}

static void turn_until(bool (*there)(void))
{
	for (int i = 0; i < 5000 && !there(); i++, usleep(200)) {
		now += NS_PER_MS / 10;
		loop_turn(loop);
	}
	assert_true(there());
}

static bool is_told(void)
{
	char why[256];
	heap_probes(heap, me, why, sizeof(why));
	return *why;
}

// Nobody else asks an agent why.
static void an_agent_tells_why_nothing_is_probed(void **state)
{
	(void)state;
	make(true);
	refuses = -EPERM;
	assert_int_equal(heap_add(heap, me, false), 0);
	turn_until(is_told);
	for (int i = 0; i < 100; i++) {
		now += 100 * NS_PER_MS;
		loop_turn(loop);
	}
	assert_int_equal(over, 1);
	assert_int_equal(warnings, 1);
	assert_non_null(strstr(warning, "none is probed: libc.so"));
	assert_non_null(strstr(warning, "run as root"));
}

static void a_command_is_looked_at_when_it_is_executed(void **state)
{
	char why[256];
	(void)state;
	make(false);
	assert_int_equal(heap_add(heap, me, true), 0);
	step_all();
	assert_int_equal(on, 0);
	assert_false(heap_was_probed(heap, me, why, sizeof(why)));
	heap_changed(heap, me, true);
	step_all();
	assert_int_equal(on, 1);
	assert_true(heap_was_probed(heap, me, why, sizeof(why)));
	heap_stop(heap);
	assert_int_equal(on, 0);
	heap_changed(heap, me, false);
	step_all();
	assert_int_equal(on, 0);
}

static void why_a_command_was_not_probed_outlives_it(void **state)
{
	char why[256];
	(void)state;
	make_for(false, 0);
	refuses = -EPERM;
	assert_int_equal(heap_add(heap, me, true), 0);
	heap_changed(heap, me, true);
	step_all();
	heap_ended(heap, me);
	assert_false(heap_was_probed(heap, me, why, sizeof(why)));
	assert_non_null(strstr(why, "run as root"));
	assert_int_equal(heap_add(heap, 1000000, true), 0);
	heap_changed(heap, 1000000, true); // it ends before it is looked at
	heap_ended(heap, 1000000);
	step_all();
	assert_false(heap_was_probed(heap, 1000000, why, sizeof(why)));
	assert_non_null(strstr(why, "it ended before"));
}

static bool is_on(void)
{
	char why[256];
	return on && heap_probes(heap, me, why, sizeof(why));
}

static bool goes_on(void)
{
	return heap->attach.errand;
}

static bool is_off_now(void)
{
	return !on && !heap->removals.count;
}

static void let_off(int n)
{
	while (n--)
		assert_int_equal(write(gate[1], "", 1), 1);
}

static void the_time_limit_takes_them_off(void **state)
{
	(void)state;
	make(true);
	assert_int_equal(heap_add(heap, me, false), 0);
	turn_until(is_on);
	now += 3 * NS_PER_S;
	loop_turn(loop);
	assert_int_equal(on, 1);
	now += 2 * NS_PER_S;
	turn_until(is_off_now);
	assert_int_equal(over, 1);
	heap_changed(heap, me, true); // it stays so
	for (int i = 0; i < 100; i++) {
		now += NS_PER_MS;
		loop_turn(loop);
	}
	assert_int_equal(on, 0);
}

// The kernel takes its time: the loop goes on, and what is still on is not yet over.
static void probes_come_off_beside_the_loop(void **state)
{
	(void)state;
	assert_int_equal(pipe(gate), 0);
	make(true);
	assert_int_equal(heap_add(heap, me, false), 0);
	turn_until(is_on);
	now += 5 * NS_PER_S;
	for (int i = 0; i < 20; i++, usleep(1000))
		loop_turn(loop);
	assert_int_equal(on, 1);
	assert_int_equal(over, 0);
	let_off(1);
	turn_until(is_off_now);
	assert_int_equal(over, 1);
	assert_int_equal(elsewhere, 1);
	close(gate[0]);
	close(gate[1]);
	gate[0] = -1;
}

// The probes of before would count what the new program does once more.
static void another_program_waits_for_the_probes_of_before(void **state)
{
	(void)state;
	assert_int_equal(pipe(gate), 0);
	make_for(true, 0);
	assert_int_equal(heap_add(heap, me, false), 0);
	turn_until(is_on);
	heap_changed(heap, me, true);
	for (int i = 0; i < 50; i++, usleep(1000)) {
		now += NS_PER_MS;
		loop_turn(loop);
	}
	assert_int_equal(on, 1);
	assert_int_equal(heap->targets[0]->probes, 0);
	let_off(1);
	turn_until(is_off_now);
	turn_until(is_on);
	assert_int_equal(heap->targets[0]->probes, last_count);
	let_off(1);
	heap_stop(heap);
	turn_until(is_off_now);
	assert_int_equal(elsewhere, 2);
	close(gate[0]);
	close(gate[1]);
	gate[0] = -1;
}

// Of the processes of our memory one.
static void kill_a_child(void)
{
	char path[64], list[256] = "";
	snprintf(path, sizeof(path), "/proc/self/task/%d/children", getpid());
	int fd = open(path, O_RDONLY);
	assert_true(read(fd, list, sizeof(list) - 1) > 0);
	close(fd);
	kill(atoi(list), SIGKILL);
}

// The kernel takes its time there too: the loop goes on, and nothing else is looked at.
static void probes_go_on_beside_the_loop(void **state)
{
	char why[256];
	(void)state;
	assert_int_equal(pipe(hold), 0);
	make_for(true, 0);
	assert_int_equal(heap_add(heap, me, false), 0);
	turn_until(goes_on);
	heap_changed(heap, me, false); // this is seen to later
	for (int i = 0; i < 20; i++, usleep(1000)) {
		now += NS_PER_MS;
		loop_turn(loop);
	}
	assert_true(goes_on());
	assert_int_equal(heap_probes(heap, me, why, sizeof(why)) + on, 0);
	assert_string_equal(why, "");
	assert_int_equal(write(hold[1], "", 1), 1);
	turn_until(is_on);
	assert_int_equal(heap_probes(heap, me, why, sizeof(why)), last_count);

	heap_changed(heap, me, true); // another program, and before it is probed one more
	turn_until(goes_on);
	assert_int_equal(on, 0);
	heap_changed(heap, me, true);
	assert_int_equal(write(hold[1], "..", 2), 2);
	turn_until(is_on); // those of the program that is no more go on, and come off, before
	assert_int_equal(beside, 3);
	assert_int_equal(heap_probes(heap, me, why, sizeof(why)), last_count);

	heap_changed(heap, me, true); // it is killed
	turn_until(goes_on);
	kill_a_child();
	turn_until(is_told);
	assert_int_equal(heap_probes(heap, me, why, sizeof(why)) + on, 0);
	assert_non_null(strstr(why, "probes: Interrupted"));

	heap_changed(heap, me, true); // it ends
	turn_until(goes_on);
	heap_ended(heap, me);
	assert_int_equal(write(hold[1], "", 1), 1);
	for (int i = 0; i < 5000 && goes_on(); i++, usleep(200))
		loop_turn(loop);
	turn_until(is_off_now);
	assert_int_equal(beside, 4);

	for (int stop = 0; stop < 2; stop++) { // the end waits for it
		assert_int_equal(heap_add(heap, me, false), 0);
		turn_until(goes_on);
		assert_int_equal(write(hold[1], "", 1), 1);
		stop ? heap_free(heap) : heap_stop(heap);
		assert_int_equal(beside, 5 + stop);
		assert_int_equal(on, 0);
		if (!stop) {
			heap_free(heap);
			make_for(true, 0);
		}
	}
	heap = NULL;
	close(hold[0]);
	close(hold[1]);
	hold[0] = -1;
}

static bool is_half_on(void)
{
	return on && heap->attach.errand;
}

// Of probes that the kernel has, but whose helper did not come to tell so.
static void a_helper_that_is_killed_leaves_no_probes(void **state)
{
	char why[256];
	(void)state;
	assert_int_equal(pipe(lasts), 0);
	make_for(true, 0);
	assert_int_equal(heap_add(heap, me, false), 0);
	turn_until(is_half_on);
	kill_a_child();
	turn_until(is_off_now);
	assert_int_equal(heap_probes(heap, me, why, sizeof(why)), 0);
	assert_non_null(strstr(why, "probes: Interrupted"));
	heap_changed(heap, me, true); // who wanted them does no more
	turn_until(is_half_on);
	heap_ended(heap, me);
	kill_a_child();
	turn_until(is_off_now);
	heap_free(heap);

	make_for(true, 0); // nobody does
	assert_int_equal(heap_add(heap, me, false), 0);
	turn_until(is_half_on);
	kill_a_child();
	heap_free(heap);
	assert_int_equal(on, 0);
	heap = NULL;
	close(lasts[0]);
	close(lasts[1]);
	lasts[0] = -1;
}

// The time limit comes while probes go on: what they see until they are off is seen to its end.
static void what_goes_on_at_the_limit_is_over_when_it_is_off(void **state)
{
	(void)state;
	for (int fails = 0; fails < 2; fails++) {
		assert_int_equal(pipe(hold), 0);
		over = 0;
		make(true);
		assert_int_equal(heap_add(heap, me, false), 0);
		turn_until(goes_on);
		now += 3 * NS_PER_S;
		loop_turn(loop);
		now += 3 * NS_PER_S;
		for (int i = 0; i < 20; i++, usleep(1000))
			loop_turn(loop);
		assert_true(heap->targets[0]->over && goes_on());
		assert_int_equal(over, 0);
		refuses = fails ? -EPERM : 0;
		assert_int_equal(write(hold[1], "", 1), 1);
		for (int i = 0; i < 5000 && !over; i++, usleep(200))
			loop_turn(loop);
		assert_int_equal(over, 1);
		assert_int_equal(on, 0);
		heap_free(heap);
		heap = NULL;
		close(hold[0]);
		close(hold[1]);
		hold[0] = -1;
	}
}

// A heap that follows another, as where the configuration was read again.
static void time_goes_on_in_the_next_life(void **state)
{
	struct heap_times times;
	struct heap_options o = {.proc = proc, .loop = loop, .on_over = on_over, .times = &times};
	(void)state;
	make_for(true, 5 * NS_PER_S);
	assert_int_equal(heap_add(heap, me, false), 0);
	assert_int_equal(heap_add(heap, 1000000, true), 0);
	turn_until(is_on);
	now += 3 * NS_PER_S;
	heap_times(heap, &times);
	assert_int_equal(times.count, 2);
	heap_free(heap);
	assert_int_equal(on, 0);
	o.time_ns = 5 * NS_PER_S;
	heap = heap_new(&o);
	heap_ended(heap, 1000000); // who has the number after it is another
	assert_int_equal(heap_add(heap, 1000000, true), 0);
	assert_int_equal(heap_add(heap, me, false), 0);
	turn_until(is_on);
	now += 2 * NS_PER_S;
	turn_until(is_off_now);
	assert_int_equal(over, 1);
	assert_true(heap->targets[0]->until > now + 29 * NS_PER_S / 10);
	heap_times(heap, &times);
	heap_free(heap);
	heap = heap_new(&o);
	assert_int_equal(heap_add(heap, me, false), 0); // over
	heap_changed(heap, me, true);
	step_all();
	assert_int_equal(on, 0);
	assert_true(heap_has(heap, me));
	heap_times(heap, &times);
	heap_free(heap);
	o.time_ns = 60 * NS_PER_S; // changed
	heap = heap_new(&o);
	assert_int_equal(heap_add(heap, me, false), 0);
	step_all();
	assert_int_equal(on, 1);
}

static unsigned removed_count;

static void removed(void *arg, uint32_t pid)
{
	(void)arg;
	removed_count += pid >= 7;
}

// More than can be under way at a time, one of which is killed; and the end waits for all.
static void many_come_off_and_a_helper_may_be_killed(void **state)
{
	struct removals r = {.loop = loop, .done = removed};
	int links[KERNEL_PROBE_LINKS];
	(void)state;
	for (int round = 0; round < 2; round++) {
		assert_int_equal(pipe(gate), 0);
		removed_count = 0;
		for (uint32_t i = 0; i < 3 * GOING_MAX; i++) {
			links[0] = 1000;
			links[1] = -1;
			removals_add(&r, 7 + i / 2, links);
			assert_int_equal(links[0], -1);
		}
		on = 3 * GOING_MAX;
		assert_int_equal(r.going, GOING_MAX);
		assert_true(removals_has(&r, 7));
		kill_a_child();
		let_off(3 * GOING_MAX + 1); // the one that was killed may have had its byte
		for (int i = 0; i < 5000 && r.count && !round; i++, usleep(200))
			loop_turn(loop);
		removals_end(&r);
		assert_int_equal(on, 0);
		assert_int_equal(r.going + r.count, 0);
		assert_int_equal(removed_count, round ? 0 : 3 * GOING_MAX / 2);
		close(gate[0]);
		close(gate[1]);
	}
	gate[0] = -1;
}

static void without_a_helper_the_loop_waits(void **state)
{
	struct removals r = {.loop = loop, .done = removed};
	(void)state;
	for (int n = 1; n <= 3; n++) { // the entry, the errand, its watch
		int links[KERNEL_PROBE_LINKS] = {1000, -1};
		on = 1;
		mem_fail_at((uint64_t)n);
		removals_add(&r, 7, links);
		mem_fail_at(0);
		assert_int_equal(on, 0);
		assert_int_equal(r.count, 0);
		assert_false(removals_has(&r, 7));
	}
}

static void there_is_a_bound(void **state)
{
	(void)state;
	make(false);
	for (uint32_t i = 0; i < TARGETS_MAX; i++)
		assert_int_equal(heap_add(heap, 1000000 + i, true), 0);
	assert_int_equal(heap_add(heap, me, true), -ENOSPC);
	heap_ended(heap, 1000000);
	assert_int_equal(heap_add(heap, me, true), 0);
}

static bool is_settled(void)
{
	return (on || is_told()) && !heap->attach.errand;
}

static void memory_ends_anywhere(struct loop *in)
{
	bool last = false;
	for (uint64_t n = 1; !last; n++) {
		struct heap_options o = {.proc = proc, .loop = in};
		char why[256];
		mem_fail_at(n);
		heap = heap_new(&o);
		int error = heap ? heap_add(heap, me, false) : -ENOMEM;
		if (!error && !in)
			step_all();
		// Without a timer nothing begins before something changes.
		for (int i = 0; !error && in && i < 5000 && heap->rest && !is_settled(); i++) {
			now += NS_PER_MS / 10 + (heap->slice ? 0 : NS_PER_S);
			loop_turn(loop);
			usleep(100);
		}
		last = mem_fail_seen() < n;
		mem_fail_at(0);
		if (last)
			assert_true(heap_probes(heap, me, why, sizeof(why)) > 0);
		heap_free(heap);
		heap = NULL;
		assert_int_equal(mem_used(ACCOUNT_HEAP) + mem_used(ACCOUNT_ELF), 0);
		assert_int_equal(on, 0);
	}
}

static void memory_may_end_anywhere(void **state)
{
	(void)state;
	memory_ends_anywhere(NULL);
	memory_ends_anywhere(loop);
	assert_true(beside > 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
	const struct CMUnitTest tests[] = {
	    TEST(its_allocators_are_found),
	    TEST(a_search_is_not_cut_short),
	    TEST(a_java_machine_is_found),
	    TEST(the_reason_is_told),
	    TEST(an_allocator_that_is_refused_is_told),
	    TEST(an_agent_tells_why_nothing_is_probed),
	    TEST(a_command_is_looked_at_when_it_is_executed),
	    TEST(why_a_command_was_not_probed_outlives_it),
	    TEST(the_time_limit_takes_them_off),
	    TEST(probes_come_off_beside_the_loop),
	    TEST(probes_go_on_beside_the_loop),
	    TEST(a_helper_that_is_killed_leaves_no_probes),
	    TEST(what_goes_on_at_the_limit_is_over_when_it_is_off),
	    TEST(another_program_waits_for_the_probes_of_before),
	    TEST(many_come_off_and_a_helper_may_be_killed),
	    TEST(without_a_helper_the_loop_waits),
	    TEST(time_goes_on_in_the_next_life),
	    TEST(there_is_a_bound),
	    TEST(memory_may_end_anywhere),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
