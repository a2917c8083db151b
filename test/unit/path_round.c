// SPDX-License-Identifier: Apache-2.0
// Profiles that programs keep of themselves, through the whole path and a recording of it: whose,
// how much, in which window. The program and its memory are made up.
#include "../../modules/path/round.c"
#include "path_sim.h"
#include "elf_image.h"

#include <sys/mman.h>
#include <sys/sysmacros.h>

#define SELF (1u << PATH_ALLOCS | 1u << PATH_HEAP | 1u << PATH_MUTEX | 1u << PATH_GO_BLOCK)
#define BIAS 0x400000ull
#define DATA 0x30000ull // variables, link-time
#define BUCKETS (BIAS + DATA + 0x100)

static struct image m;
static char maps[512], program[128];

// A Go program with symbols, and nothing in it.
static void make_program(void)
{
	static const char *const names[] = {"runtime.mbuckets", "runtime.xbuckets",
	    "runtime.bbuckets", "runtime.MemProfileRate", "runtime.mutexprofilerate"};
	struct stat st;
	image_begin(&m);
	m.size = TEXT_SIZE;
	image_section(&m, ".go.buildinfo", (Elf64_Shdr){.sh_type = SHT_PROGBITS}, "x", 1);
	image_function(&m, "main.f", TEXT_ADDRESS + 0x1000, 0x100);
	for (unsigned i = 0; i < 5; i++)
		image_symbol(&m, names[i], DATA + 8 * i, 8, STB_LOCAL, STT_OBJECT);
	image_table(&m, SHT_SYMTAB);
	image_end(&m);
	snprintf(program, sizeof(program), "%s/program", fakeproc_root);
	int fd = open(program, O_RDWR | O_CREAT, 0700);
	assert_int_equal(write(fd, m.at, m.size), m.size);
	fstat(fd, &st);
	close(fd);
	snprintf(maps, sizeof(maps), "410000-412000 r-xp 00000000 %02x:%02x %lu %s\n",
	    major(st.st_dev), minor(st.st_dev), st.st_ino, program);
}

static void poke(unsigned pid, uint64_t address, const uint64_t *words, unsigned n)
{
	char path[128];
	snprintf(path, sizeof(path), "%s/%u/mem", fakeproc_root, pid);
	int fd = open(path, O_RDWR | O_CREAT, 0600);
	assert_int_equal(pwrite(fd, words, 8 * n, (off_t)address), 8 * n);
	close(fd);
}

// Process PID has allocated so much in main.f, and waited there.
static void set(unsigned pid, uint64_t objects, uint64_t bytes, uint64_t waits)
{
	uint64_t variables[] = {BUCKETS, BUCKETS + 0x200, 0, 1, 1};
	uint64_t heap[24] = {0, 0, 1, 0, bytes / (objects ? objects : 1), 2, 0x411020, 0x411040,
	    objects, 0, bytes, 0};
	double count = (double)waits;
	uint64_t mutex[] = {0, 0, 3, 0, 0, 2, 0x411060, 0x411040, 0, 1000000 * waits};
	memcpy(&mutex[8], &count, sizeof(count));
	poke(pid, BIAS + DATA, variables, 5);
	poke(pid, BUCKETS, heap, 24);
	poke(pid, BUCKETS + 0x200, mutex, 10);
}

static bool start(int fd)
{
	sim.dumps = true;
	sim.options.types = 1u << PATH_CPU | SELF;
	make_program();
	fakeproc_add(42, 1, "app", 700, maps);
	fakeproc_add(44, 42, "child", 800, maps);
	fakeproc_add(45, 1, "other", 900, "400000-401000 r-xp 00000000 08:01 5 /gone/c\n");
	set(42, 10, 1000, 2);
	set(44, 1, 64, 0);
	if (!sim_make() || sim_start(fd) < 0)
		return false;
	sim_turns();
	return true;
}

static void replayed_is_the_same(int fd)
{
	sim.options.types = 0; // the tape says
	sim_replays_the_same(fd);
}

static void what_happened_in_the_window(void **state)
{
	(void)state;
	int fd = memfd_create("tape", 0);
	assert_true(start(fd));
	set(42, 15, 1500, 5);
	sim_ship();
	assert_int_equal(sim.totals[PATH_ALLOCS][0], 5);
	assert_int_equal(sim.totals[PATH_ALLOCS][1], 500);
	assert_int_equal(sim.totals[PATH_HEAP][0], 16); // and that of the child
	assert_int_equal(sim.totals[PATH_HEAP][1], 1564);
	assert_int_equal(sim.totals[PATH_MUTEX][0], 3);
	assert_int_equal(sim.totals[PATH_GO_BLOCK][0], 0);
	assert_non_null(strstr(sim.dump.at, "lockClass=go mutex"));
	assert_null(strstr(sim.dump.at, "lockClass=futex")); // what it is called is known
	assert_non_null(strstr(sim.dump.at, "main.f"));
	set(42, 16, 1600, 5);
	fakeproc_remove(44);
	feed_exit(44, 800);
	sim_ship();
	assert_int_equal(sim.totals[PATH_ALLOCS][0], 6);
	assert_int_equal(sim.totals[PATH_HEAP][0], 16 + 16); // of two windows
	assert_int_equal(sim.totals[PATH_MUTEX][0], 3);
	replayed_is_the_same(fd);
	close(fd);
}

static void of_those_that_were_named(void **state)
{
	(void)state;
	static const uint32_t child = 44, parent = 42;
	sim.options.pids = &child;
	sim.options.pid_count = 1;
	assert_true(start(-1));
	set(42, 15, 1500, 5);
	set(44, 4, 256, 0);
	sim_ship();
	assert_int_equal(sim.totals[PATH_ALLOCS][0], 3);
	assert_int_equal(sim.totals[PATH_HEAP][0], 4);
	text_free(&sim.dump);
	sim_close();
	sim.options.pids = &parent;
	assert_true(start(-1));
	set(42, 15, 1500, 5);
	set(44, 4, 256, 0);
	sim_ship();
	assert_int_equal(sim.totals[PATH_ALLOCS][0], 5 + 3);
	text_free(&sim.dump);
	sim_close();
}

// The capture ends in the middle of a window: that is the last reading.
static void the_end_is_a_window(void **state)
{
	(void)state;
	assert_true(start(-1));
	set(42, 15, 1500, 5);
	sim_finish(1000);
	assert_int_equal(sim.totals[PATH_HEAP][0], 16);
	assert_int_equal(sim.totals[PATH_ALLOCS][0], 5);
	text_free(&sim.dump);
	sim_close();
}

static void nothing_of_its_own_kind(void **state)
{
	(void)state;
	assert_true(start(-1));
	static const uint64_t wild[] = {0x41, 8};
	poke(42, BIAS + DATA, wild, 2); // lists that are none
	uint64_t bad = count_get(COUNT_GO_BAD);
	sim_ship();
	assert_int_equal(count_get(COUNT_GO_BAD), bad + 1);
	assert_int_equal(sim.totals[PATH_HEAP][0], 1); // of the other
	assert_false(sim.path->told_types & 1u << PATH_GO_BLOCK);
	text_free(&sim.dump);
	sim_close();
}

static bool untold(enum path_type type, const char *words)
{
	char why[256];
	bool met = path_untold(sim.path, type, why, sizeof(why));
	if (!strstr(why, words))
		fail_msg("\"%s\" is not in: %s", words, why);
	return met;
}

// Why there is none of a profile: it was not read yet, it is kept and empty, it is not kept.
static void what_is_not_told_has_a_reason(void **state)
{
	(void)state;
	assert_true(start(-1));
	assert_false(untold(
	    PATH_HEAP, "no Go program was there when Go's own profiles were read, every 10 s"));
	assert_true(
	    untold(PATH_GO_BLOCK, " keeps none of Go's own block profiles: runtime.SetBlock"));
	sim_ship();
	assert_true(untold(PATH_ALLOCS, "Go's own heap profile of "));
	text_free(&sim.dump);
	sim_close();
	static const uint64_t off = 0;
	assert_true(start(-1));
	fakeproc_remove(44);
	feed_exit(44, 800);
	poke(42, BIAS + DATA + 24, &off, 1);
	sim_ship();
	assert_int_equal(sim.totals[PATH_HEAP][0], 0);
	assert_true(untold(PATH_HEAP, "app (42) keeps none of Go's own heap profiles: "));
	text_free(&sim.dump);
	sim_close();
}

static void any_allocation_may_fail(void **state)
{
	(void)state;
	for (uint64_t n = 1;; n += n < 300 ? 1 : 7) {
		fakeproc_remove(44);
		mem_fail_at(n);
		sim.options.types = 0;
		bool made = start(-1);
		if (made) {
			set(42, 15, 1500, 5);
			sim_ship();
		}
		bool failed = mem_fail_seen() >= n;
		mem_fail_at(0);
		assert_true(sim.totals[PATH_ALLOCS][0] <= 5);
		text_free(&sim.dump);
		sim_close();
		assert_int_equal(mem_used(ACCOUNT_GOPROF), 0);
		assert_int_equal(mem_used(ACCOUNT_PATH), 0);
		if (!failed)
			break;
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(what_happened_in_the_window, sim_setup, sim_teardown),
	    cmocka_unit_test_setup_teardown(of_those_that_were_named, sim_setup, sim_teardown),
	    cmocka_unit_test_setup_teardown(the_end_is_a_window, sim_setup, sim_teardown),
	    cmocka_unit_test_setup_teardown(nothing_of_its_own_kind, sim_setup, sim_teardown),
	    cmocka_unit_test_setup_teardown(what_is_not_told_has_a_reason, sim_setup, sim_teardown),
	    cmocka_unit_test_setup_teardown(any_allocation_may_fail, sim_setup, sim_teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
