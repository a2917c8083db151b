// SPDX-License-Identifier: Apache-2.0
// Windows come when they are hit.
#include "unwind_programs.h"

#include "../../modules/unwind/load.c"

static void one_file_at_a_time(void **state)
{
	(void)state;
	fake_unwind(8 << 20);
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
	fake_unwind(8 << 20);
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
	    {0, 0, 80000, WINDOW_FRAME, 1, 0}, // 13 bytes apart: more blocks than a region may have
	    {-EMFILE, 0, 1, WINDOW_FULL, 0, 1},
	    {0, -ENOMEM, 1, WINDOW_FULL, 0, 1},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		fake_unwind(32 << 20);
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

// Stacks through 40 windows, of which each walk misses the next: few walks are enough, and of a
// file that few walks miss anything of no more is loaded than they missed.
static void neighbours(void **state)
{
	(void)state;
	uint32_t samples = 0, n = 0;
	fake_unwind(8 << 20);
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
	fake.tables.pages_max[PAGE_ROWS] = 2 * fake.pages[PAGE_ROWS] - 1;
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
	fake_unwind(8 << 20);
	fake.tables.pages_max[PAGE_ROWS] = 12 * PAGES_OF_30000;
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

static void files_are_forgotten(void **state)
{
	(void)state;
	fake_unwind(8 << 20);
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
	assert_int_equal(figures().pages, 0);
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
		fake_unwind(sizes[size]);
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
				fake.put_error = draw(2) ? 0 : -ENOMEM;
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
		fake.put_error = 0;
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
	    cmocka_unit_test(neighbours),
	    cmocka_unit_test(newly_hot),
	    cmocka_unit_test(files_are_forgotten),
	    cmocka_unit_test(storm),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
