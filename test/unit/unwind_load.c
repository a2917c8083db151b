// SPDX-License-Identifier: Apache-2.0
// Windows come when they are hit and go when they are the longest unused, within the limit.
#include "unwind_fake.h"

#include "../../modules/unwind/load.c"

#include <dirent.h>

#define MIB (1ull << WINDOW_SHIFT)
#define AT 0x7f0000000000ull
#define STAY_S 300 // rows of a file that no process has any more

static struct rule rule;
static uint64_t seed = 5;

static uint32_t draw(uint32_t below)
{
	seed = hash_mix(seed + 1);
	return (uint32_t)(seed % below);
}

static int sample(uint32_t pid, uint64_t address)
{
	return fake_sample(pid, 1, address, &rule);
}

static struct unwind_figures figures(void)
{
	struct unwind_figures f;
	unwind_figures(fake.u, &f);
	return f;
}

static uint32_t descriptors(void)
{
	DIR *d = opendir("/proc/self/fd");
	uint32_t n = 0;
	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

// A process that maps file ID (of MIBS windows, ROWS each), published.
static void program(uint32_t pid, uint32_t id, uint32_t mibs, uint32_t rows)
{
	world_file(id, 0x400000, 0, mibs)->rows = rows;
	world_map(pid, 0, id, AT, true);
	sample(pid, AT);
	fake_steps();
}

static void one_file_at_a_time(void **state)
{
	(void)state;
	fake_unwind(64, 8 << 20);
	uint32_t before = descriptors();
	program(1, 1, 5, 1000);
	program(2, 2, 5, 1000);
	for (uint32_t i = 0; i < 5; i++)
		for (int twice = 0; twice < 2; twice++) {
			sample(1, AT + i * MIB);
			sample(2, AT + i * MIB);
		}
	assert_int_equal(fake.u->queued, 10);
	fake_steps();
	assert_int_equal(figures().loads, 10);
	assert_int_equal(world.jobs, 10);
	assert_int_equal(world.sources, 2);
	assert_int_equal(world.opens, 2);
	for (uint32_t i = 0; i < 5; i++) {
		assert_int_equal(sample(2, AT + i * MIB), WINDOW_ROWS);
		assert_int_equal(rule.cfa, 2);
		assert_int_equal(rule.fp, i);
	}
	// The descriptors were its own, and are closed: 2 are the files'.
	assert_int_equal(descriptors(), before + 2);
	struct unwind_figures f = figures();
	assert_int_equal(f.rows, 10000);
	assert_int_equal(f.built_rows, 10000);
	assert_true(
	    f.row_bytes > 20000 && f.row_bytes < 60000); // every gap is 1,048: 4 bytes a row
	fake_end();
}

static void a_queue_with_an_end(void **state)
{
	(void)state;
	fake_unwind(64, 8 << 20);
	program(1, 1, 600, 10);
	for (uint32_t i = 0; i < 600; i++)
		sample(1, AT + i * MIB);
	assert_int_equal(fake.u->queued, QUEUE_MAX);
	fake_steps();
	assert_int_equal(figures().loads, QUEUE_MAX + AHEAD_MAX);
	for (uint32_t i = 0; i < 600; i++)
		sample(1, AT + i * MIB);
	fake_steps();
	assert_int_equal(figures().loads, 2 * (QUEUE_MAX + AHEAD_MAX));
	// It goes while they wait, and while one of its windows is being built.
	for (uint32_t i = 0; i < 600; i++)
		sample(1, AT + i * MIB);
	world.file[1].rows = 50000;
	assert_int_equal(unwind_step(fake.u, 0), 1);
	assert_int_equal(unwind_step(fake.u, NS_PER_MS / 10), 1);
	struct file *f = fake.u->load.file;
	assert_non_null(f);
	assert_int_equal(f->refs, 1);
	unwind_gone(fake.u, &world.process[1]);
	assert_int_equal(f->refs, 0);
	file_free(fake.u, f);
	assert_int_equal(fake.u->queued, 0);
	assert_int_equal(figures().windows, 0);
	fake_end();
}

static void what_cannot_be_had(void **state)
{
	(void)state;
	static const struct {
		int fd_error, error;
		uint32_t rows;
		int found;
		uint32_t failed, refused;
	} cases[] = {
	    {0, 0, 0, WINDOW_FRAME, 0, 0}, // it describes nothing
	    {-ENOENT, 0, 1, WINDOW_FRAME, 1, 0},
	    {-ESTALE, 0, 1, WINDOW_FRAME, 1, 0},
	    {0, -EBADMSG, 1, WINDOW_FRAME, 1, 0},
	    {0, -E2BIG, 1, WINDOW_FRAME, 1, 0},
	    {0, 0, 80000, WINDOW_FRAME, 1, 0}, // 13 bytes apart: does not fit a chunk, see below
	    {-EMFILE, 0, 1, WINDOW_FULL, 0, 1},
	    {0, -ENOMEM, 1, WINDOW_FULL, 0, 1},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		fake_unwind(64, 32 << 20);
		program(1, 1, 2, cases[i].rows);
		world.file[1].fd_error = cases[i].fd_error;
		world.file[1].error = cases[i].error;
		world.file[1].wide = cases[i].rows == 80000;
		sample(1, AT);
		fake_steps();
		struct unwind_figures f = figures();
		assert_int_equal(fake_walk(1, 1, AT, &rule), cases[i].found);
		assert_int_equal(f.failed, cases[i].failed);
		assert_int_equal(f.refused, cases[i].refused);
		assert_int_equal(f.loads, 0);
		// What will pass is tried again, a second later, and only then.
		world.file[1].fd_error = world.file[1].error = 0;
		sample(1, AT);
		fake_steps();
		assert_int_equal(fake_walk(1, 1, AT, &rule), cases[i].found);
		fake_pass(NS_PER_S);
		sample(1, AT);
		fake_steps();
		assert_int_equal(fake_walk(1, 1, AT, &rule),
		    cases[i].found == WINDOW_FULL ? WINDOW_ROWS : WINDOW_FRAME);
		fake_end();
	}
}

// Windows of a quarter of a chunk in three chunks; the longest unused goes first.
static void the_longest_unused_goes(void **state)
{
	(void)state;
	fake_unwind(3, 8 << 20);
	for (uint32_t id = 1; id <= 16; id++)
		program(id, id, 1, 30000);
	uint32_t loaded = 0;
	for (uint32_t id = 1; id <= 16; id++) {
		sample(id, AT);
		fake_steps();
		loaded += fake_walk(id, 1, AT, &rule) == WINDOW_ROWS;
	}
	assert_int_equal(loaded, 12);
	// All were loaded just now: nothing may go.
	assert_int_equal(figures().evicted, 0);
	assert_int_equal(figures().refused, 16 - loaded);
	assert_int_equal(fake_walk(16, 1, AT, &rule), WINDOW_FULL);
	fake_steps();
	assert_int_equal(world.jobs, 12); // nothing is built without hope of room
	// In two seconds only those that are used stay.
	for (int i = 0; i < 4; i++) {
		for (uint32_t id = 3; id <= loaded; id++)
			assert_int_equal(sample(id, AT), WINDOW_ROWS);
		fake_pass(NS_PER_S);
	}
	// The others went ahead of need, for they must rest: one more finds room at once.
	uint32_t jobs = world.jobs;
	assert_int_equal(figures().evicted, 2);
	assert_int_equal(fake_walk(1, 1, AT, &rule), WINDOW_ASK);
	fake_pass(TURN_NS);
	fake_pass(TURN_NS);
	assert_int_equal(sample(16, AT), WINDOW_FULL);
	fake_steps();
	assert_int_equal(sample(16, AT), WINDOW_ROWS);
	assert_int_equal(rule.cfa, 16);
	assert_int_equal(world.jobs, jobs + 1);
	assert_int_equal(figures().evicted, 2); // nothing that is in use
	for (uint32_t id = 3; id <= loaded; id++)
		assert_int_equal(sample(id, AT), WINDOW_ROWS);
	// All in use, one more wants in: it costs nothing to ask again and again.
	for (int i = 0; i < 1000; i++) {
		for (uint32_t id = 3; id <= loaded; id++)
			assert_int_equal(sample(id, AT), WINDOW_ROWS);
		assert_int_equal(sample(16, AT), WINDOW_ROWS);
		sample(15, AT);
		sample(14, AT);
		fake_pass(10 * NS_PER_MS);
	}
	assert_true(world.jobs < jobs + 30);
	fake_end();
}

// Stacks through 40 windows, of which each walk misses the next: few walks are enough, and of a
// file that few walks miss anything of no more is loaded than they missed.
static void neighbours(void **state)
{
	(void)state;
	uint32_t samples = 0, n = 0;
	fake_unwind(64, 8 << 20);
	program(1, 1, 40, 1000);
	program(2, 2, 40, 1000);
	for (uint32_t i = 0; i < 2; i++) {
		sample(2, AT + 20 * i * MIB);
		fake_steps();
	}
	assert_int_equal(figures().loads, 2);
	for (; n < 40; samples++) {
		n = 0;
		while (n < 40 && sample(1, AT + n * MIB) == WINDOW_ROWS)
			n++;
		fake_steps();
	}
	assert_in_range(samples, 5, 10);
	// Neighbours take no more than half of the memory.
	uint64_t loads = figures().loads;
	fake.u->store.memory = 2 * store_bytes(&fake.u->store) - 1;
	for (uint32_t i = 0; i < 5; i++)
		sample(2, AT + (10 + i) * MIB);
	fake_steps();
	assert_int_equal(figures().loads, loads + 5);
	fake_end();
}

// All is full of what nobody uses. A program whose stacks go through many windows, of which each
// walk misses the next, has them within a second.
static void newly_hot(void **state)
{
	(void)state;
	fake_unwind(3, 8 << 20);
	for (uint32_t id = 1; id <= 12; id++) {
		program(id, id, 1, 30000);
		sample(id, AT);
		fake_steps();
	}
	program(20, 20, 8, 30000);
	assert_true(figures().windows >= 11);
	fake_pass(3 * NS_PER_S);
	uint32_t complete = 0;
	for (int i = 0; i < 100; i++) {
		uint32_t n = 0;
		while (n < 8 && sample(20, AT + n * MIB) == WINDOW_ROWS)
			n++;
		complete += n == 8;
		fake_pass(10 * NS_PER_MS);
	}
	assert_int_equal(figures().refused, 0);
	assert_true(complete > 0);
	fake_end();
}

// A large window among small ones of which every second is the longest unused: neighbours go.
static void neighbours_make_room(void **state)
{
	(void)state;
	fake_unwind(1, 8 << 20);
	for (uint32_t id = 1; id <= 11; id++) {
		program(id, id, 1, 10000);
		sample(id, AT);
		fake_steps();
	}
	program(20, 20, 1, 30000);
	assert_int_equal(figures().windows, 11);
	fake_now += NS_PER_S;
	for (uint32_t id = 2; id <= 10; id += 2)
		assert_int_equal(sample(id, AT), WINDOW_ROWS);
	for (int i = 0; i < 40; i++) {
		sample(20, AT);
		fake_pass(TURN_NS);
	}
	assert_int_equal(sample(20, AT), WINDOW_ROWS);
	assert_in_range(figures().evicted, 3, 5);
	fake_end();
}

// What ended makes room before what runs, and need not be unused for long.
static void what_ended_goes_first(void **state)
{
	(void)state;
	fake_unwind(3, 8 << 20);
	for (uint32_t id = 1; id <= 10; id++) {
		program(id, id, 1, 30000);
		sample(id, AT);
		fake_steps();
	}
	fake_pass(NS_PER_S);
	for (uint32_t id = 1; id <= 10; id++)
		assert_int_equal(sample(id, AT), WINDOW_ROWS);
	unwind_gone(fake.u, &world.process[9]);
	unwind_gone(fake.u, &world.process[10]);
	for (uint32_t id = 11; id <= 13; id++)
		program(id, id, 1, 30000);
	for (int i = 0; i < 13; i++) {
		for (uint32_t id = 11; id <= 13; id++)
			sample(id, AT);
		fake_pass(100 * NS_PER_MS);
	}
	for (uint32_t id = 11; id <= 13; id++)
		assert_int_equal(sample(id, AT), WINDOW_ROWS);
	for (uint32_t id = 1; id <= 8; id++)
		assert_int_equal(sample(id, AT), WINDOW_ROWS);
	fake_end();
}

// A window denser than what chunks leave free: those that nobody uses are closed for it.
static void dense_when_full(void **state)
{
	(void)state;
	fake_unwind(64, 2 << 20);
	program(30, 30, 1, 90000);
	for (uint32_t id = 1; id <= 20; id++) {
		program(id, id, 1, 30000);
		sample(id, AT);
		fake_steps();
	}
	assert_true(figures().chunks >= 4);
	fake_pass(3 * NS_PER_S);
	for (int i = 0; i < 100; i++) {
		sample(30, AT);
		fake_pass(10 * NS_PER_MS);
	}
	assert_int_equal(sample(30, AT), WINDOW_ROWS);
	assert_true(fake.most <= 2 << 20);
	fake_end();
}

// A window whose rows are too many for what memory there is.
static void dense(void **state)
{
	(void)state;
	fake_unwind(64, 1 << 20);
	program(1, 1, 1, 100000);
	program(2, 2, 1, 3000);
	for (int i = 0; i < 95; i++) {
		sample(1, AT);
		sample(2, AT);
		fake_pass(100 * NS_PER_MS);
	}
	assert_int_equal(world.jobs, 2);
	assert_int_equal(fake_walk(1, 1, AT, &rule), WINDOW_FULL);
	assert_int_equal(fake_walk(2, 1, AT, &rule), WINDOW_ROWS);
	fake_pass(NS_PER_S);
	sample(1, AT);
	fake_steps();
	assert_int_equal(world.jobs, 3);
	assert_true(fake.most <= 1 << 20);
	fake_end();
}

// Three hundred programs of several MiB each want more than there is; five are always in use.
static void three_hundred(void **state)
{
	(void)state;
	uint32_t before = descriptors(), complete = 0, all = 0, some = 0, waited = 0;
	fake_unwind(64, 2 << 20);
	for (uint32_t id = 1; id <= 300; id++)
		program(id, id, 4, 2000 + draw(30000));
	for (int i = 0; i < 4000; i++) {
		for (uint32_t id = 1; id <= 5; id++) {
			int found = sample(id, AT + 100);
			complete += i > 100 && found == WINDOW_ROWS;
			all += i > 100;
			assert_true(found != WINDOW_ROWS || (rule.cfa == (int)id && rule.fp == 0));
		}
		// One that becomes hot does not wait behind all that were hit once.
		int late = i >= 2000 && sample(299, AT + MIB) != WINDOW_ROWS;
		waited += late;
		assert_true(!late || i < 2500);
		uint32_t id = 6 + draw(293), window = draw(4);
		int found = sample(id, AT + window * MIB + draw(1 << 20));
		assert_true(
		    found != WINDOW_ROWS || (rule.cfa == (int)id && rule.fp == (int)window));
		some += found == WINDOW_ROWS;
		fake_pass(10 * NS_PER_MS);
	}
	struct unwind_figures f = figures();
	print_message(
	    "hot %u of %u, others %u of 4000; loads %lu evicted %lu refused %lu failed %lu "
	    "chunks %lu of %lu KiB, most %lu KiB, newly hot after %u0 ms\n",
	    complete, all, some, f.loads, f.evicted, f.refused, f.failed, f.chunks, f.bytes / 1024,
	    fake.most / 1024, waited);
	assert_int_equal(complete, all);
	assert_true(f.evicted > 30 && f.loads > 50);
	assert_int_equal(f.failed, 0);
	assert_true(fake.most <= 2 << 20);
	// They end: what they had is let go after a while, and nothing stays open.
	for (uint32_t id = 1; id <= 300; id++) {
		unwind_gone(fake.u, &world.process[id]);
		world.process[id].pid = 0;
	}
	for (int i = 0; i < STAY_S + 10; i++)
		fake_pass(NS_PER_S);
	f = figures();
	assert_int_equal(f.chunks + f.windows + f.processes + f.rows + f.row_bytes, 0);
	assert_int_equal(fake.u->files.count, 0);
	assert_int_equal(descriptors(), before + 300);
	fake_end();
}

static void windows_run_out(void **state)
{
	(void)state;
	fake_unwind(64, 8 << 20);
	for (uint32_t id = 1; id <= 60; id++) {
		world_file(id, 0x400000, 0, 100)->rows = 10;
		world_map(id, 0, id, AT, false);
		sample(id, AT);
		fake_steps();
		sample(id, AT);
		fake_steps();
	}
	// 40 times 100 are 4,096; none was unused for long.
	assert_int_equal(fake.u->files.count, 40);
	assert_int_equal(figures().loads, 40);
	fake_pass(3 * NS_PER_S);
	for (uint32_t id = 11; id <= 40; id++)
		assert_int_equal(sample(id, AT), WINDOW_ROWS);
	for (int i = 0; i < 5; i++) {
		for (uint32_t id = 11; id <= 40; id++)
			assert_int_equal(sample(id, AT), WINDOW_ROWS);
		sample(60, AT);
		fake_pass(NS_PER_S);
	}
	assert_int_equal(sample(60, AT), WINDOW_ROWS);
	assert_int_equal(rule.cfa, 60);
	// The processes of the one that went ask again.
	uint32_t gone = 0;
	for (uint32_t id = 1; id <= 10; id++)
		gone += sample(id, AT) == NO_PROCESS;
	assert_int_equal(gone, 1);
	// A file of more than there is.
	world_file(70, 0x400000, 0, 1010);
	world_map(70, 0, 70, AT, false);
	for (int i = 0; i < 20; i++) {
		for (uint32_t id = 11; id <= 40; id++)
			assert_int_equal(sample(id, AT), WINDOW_ROWS);
		int found = sample(70, AT);
		assert_true(found == NO_PROCESS || found == UNKNOWN);
		fake_pass(NS_PER_S);
	}
	fake_end();
}

static void shrinks(void **state)
{
	(void)state;
	fake_unwind(64, 8 << 20);
	for (uint32_t id = 1; id <= 30; id++) {
		program(id, id, 1, 30000);
		sample(id, AT);
		fake_steps();
	}
	uint64_t chunks = figures().chunks;
	assert_true(chunks >= 7);
	assert_int_equal(unwind_shrink(fake.u, 1), 0); // all were used just now
	fake_pass(3 * NS_PER_S);
	for (uint32_t id = 1; id <= 4; id++)
		sample(id, AT);
	uint64_t maps = mem_used(ACCOUNT_MAPS);
	uint64_t freed = unwind_shrink(fake.u, 1);
	assert_int_equal(figures().chunks, chunks - 1);
	assert_true(freed >= maps - mem_used(ACCOUNT_MAPS) && freed > 256 << 10);
	fake.u->busy++; // inside an allocation of our own
	assert_int_equal(unwind_shrink(fake.u, 1 << 30), 0);
	fake.u->busy--;
	freed = unwind_shrink(fake.u, 1 << 30);
	// The processes were published just now, too: only their chunk stays.
	assert_true(figures().chunks >= 1 && figures().chunks <= 3);
	for (uint32_t id = 1; id <= 4; id++)
		assert_int_equal(sample(id, AT), WINDOW_ROWS);
	fake_end();
}

static void files_are_forgotten(void **state)
{
	(void)state;
	fake_unwind(64, 8 << 20);
	program(1, 1, 1, 100);
	program(2, 1, 1, 100);
	sample(1, AT);
	fake_steps();
	unwind_gone(fake.u, &world.process[1]);
	for (int i = 0; i < STAY_S + 5; i++)
		fake_pass(NS_PER_S);
	assert_int_equal(sample(2, AT), WINDOW_ROWS); // another has it
	unwind_gone(fake.u, &world.process[2]);
	fake_pass(100 * NS_PER_S);
	program(3, 1, 1, 100);
	assert_int_equal(sample(3, AT), WINDOW_ROWS); // started again
	unwind_gone(fake.u, &world.process[3]);
	for (int i = 0; i < STAY_S + 5; i++)
		fake_pass(NS_PER_S);
	assert_int_equal(fake.u->files.count, 0);
	assert_int_equal(figures().chunks, 0);
	// The process room forgot the file: it gets a new id when it is asked for again.
	program(4, 4, 2, 100);
	sample(4, AT);
	fake_steps();
	world.file[4].b.id = 0;
	world_file(5, 0x400000, 0, 2);
	world.mapping[4][0].path = 5;
	assert_int_equal(sample(4, AT + MIB), WINDOW_ASK);
	fake_pass(NS_PER_S);
	sample(4, AT + MIB);
	fake_pass(NS_PER_S);
	assert_int_equal(sample(4, AT + MIB), WINDOW_ROWS);
	assert_int_equal(rule.cfa, 5);
	fake_end();
}

// Anything at any time, with little memory and some of it refused: every walk that finds rows finds
// those of the file that is mapped there.
static void storm(void **state)
{
	(void)state;
	enum { PROCESSES = 150, FILES = 120 };
	static uint32_t maps[PROCESSES + 1][2]; // pid -> file of its two mappings
	uint32_t found_rows = 0, stale = 0;
	static const uint64_t sizes[] = {0, 900 << 10, 1200 << 10, 2 << 20, 3 << 20, 64 << 20};
	for (size_t size = 0; size < sizeof(sizes) / sizeof(*sizes); size++) {
		fake_unwind(8, sizes[size]);
		for (uint32_t id = 1; id <= FILES; id++)
			world_file(id, draw(40) << 12, 0, 1 + draw(6))->rows =
			    1 + draw(draw(9) ? 9000 : 120000);
		for (int i = 0; i < 5000; i++) {
			uint32_t pid = 1 + draw(PROCESSES), n = draw(2), what = draw(100);
			struct process *p = &world.process[pid];
			if (!p->pid || what == 0) {
				if (p->pid)
					unwind_gone(fake.u, p);
				world.count[pid] = 0;
				for (n = 0; n < 2; n++) {
					maps[pid][n] = 1 + draw(FILES);
					world_map(pid, n, maps[pid][n], AT + n * 64 * MIB, draw(2));
				}
				p->id = (uint32_t)i + 100000;
			} else if (what < 3) { // another file in its place
				maps[pid][n] = 1 + draw(FILES);
				uint32_t its = p->id;
				world_map(pid, n, maps[pid][n], AT + n * 64 * MIB, draw(2));
				p->id = its;
				unwind_gone(fake.u, p);
			} else if (what < 5) {
				unwind_changed(fake.u, p);
			} else if (what == 5) {
				unwind_shrink(fake.u, 1 + draw(1 << 20));
			} else if (what == 6) {
				fake.write_error = draw(2) ? 0 : -ENOMEM;
				fake.open_error = draw(4) ? 0 : -ENOMEM;
				world.file[1 + draw(FILES)].fd_error = draw(3) ? 0 : -EMFILE;
				world.file[1 + draw(FILES)].error = draw(40) ? 0 : -EBADMSG;
			}
			uint64_t at = draw(7 << 20);
			mem_fail_at(draw(8) ? 0 : 1 + draw(30));
			int found = fake_sample(pid, 1, AT + n * 64 * MIB + at, &rule);
			if (found == WINDOW_ROWS) {
				const struct elf_exec *x = world.file[maps[pid][n]].b.facts.exec;
				uint64_t low = x->vaddr & ~(uint64_t)(WINDOW_BYTES - 1);
				found_rows++;
				stale += rule.cfa != (int)maps[pid][n];
				assert_int_equal(rule.fp, (x->vaddr + at - low) >> WINDOW_SHIFT);
			}
			fake_look();
			if (draw(2))
				unwind_step(fake.u, draw(NS_PER_MS));
			mem_fail_at(0);
			fake_now += draw(30 * NS_PER_MS);
		}
		fake.write_error = fake.open_error = 0;
		assert_true(fake.most <= sizes[size] || !sizes[size]);
		fake_end();
	}
	assert_int_equal(stale, 0);
	assert_true(found_rows > 1000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(one_file_at_a_time),
	    cmocka_unit_test(a_queue_with_an_end),
	    cmocka_unit_test(what_cannot_be_had),
	    cmocka_unit_test(the_longest_unused_goes),
	    cmocka_unit_test(neighbours),
	    cmocka_unit_test(newly_hot),
	    cmocka_unit_test(neighbours_make_room),
	    cmocka_unit_test(what_ended_goes_first),
	    cmocka_unit_test(dense_when_full),
	    cmocka_unit_test(dense),
	    cmocka_unit_test(three_hundred),
	    cmocka_unit_test(windows_run_out),
	    cmocka_unit_test(shrinks),
	    cmocka_unit_test(files_are_forgotten),
	    cmocka_unit_test(storm),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
