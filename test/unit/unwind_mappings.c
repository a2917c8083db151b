// SPDX-License-Identifier: Apache-2.0
// What is written of mappings: of which kind they are, and where in a file's rows.
#include "unwind_programs.h"

#include "../../modules/unwind/publish.c"

#include <stdlib.h>
#include <sys/auxv.h>

static void kinds(void **state)
{
	(void)state;
	fake_unwind(8 << 20);
	struct fake_file *f = world_file(5, 0x1000, 0x1000, 1);
	world_map(7, 0, 5, AT, true);
	world_map(7, 1, 5, AT + 0x10000000, true);
	world_map(7, 2, 5, AT + 0x20000000, true);
	world.mapping[7][1].kind = PLACE_ANON;
	// Made at run time, in pieces that touch.
	world.mapping[7][2].kind = PLACE_ANON;
	world.mapping[7][2].start = world.mapping[7][1].end;
	world.mapping[7][2].end = world.mapping[7][1].end + 0x1000;
	fake_need(7, 1, NEED_PROCESS, AT);
	fake_steps();
	assert_int_equal(fake_walk(7, 1, AT + 0x10000000, &rule), ANON);
	assert_int_equal(fake_walk(7, 1, AT + 0x10100000, &rule), ANON);
	assert_int_equal(PLACE_MAPPINGS(fake.slots[process_hash(7, 1)].place), 2);
	// Files that never have rows: unreadable, 32-bit, mapped in no way that the kernel could,
	// of more code than there is, empty.
	struct elf_facts good = f->b.facts;
	for (uint32_t i = 0; i < 5; i++) {
		uint32_t pid = 20 + i, id = 50 + i;
		world_file(id, 0x1000, 0x1000, 1);
		world_map(pid, 0, id, AT, true);
		struct elf_facts *facts = &world.file[id].b.facts;
		if (i == 0)
			facts->exec_count = 0;
		if (i == 1)
			facts->is_64 = false;
		if (i == 2)
			facts->exec[0].vaddr += 0x234;
		if (i == 3)
			facts->exec[0].size = (FILE_WINDOWS_MAX + 1ull) << WINDOW_SHIFT;
		if (i == 4)
			facts->exec[0].size = 0;
		fake_need(pid, 1, NEED_PROCESS, AT);
		fake_steps();
		assert_int_equal(fake_walk(pid, 1, AT, &rule), PLAIN);
		// Also where that is known only later.
		world_map(pid + 10, 0, id, AT, false);
		world.mapping[pid + 10][0].end = AT + 0x1000;
		fake_need(pid + 10, 1, NEED_PROCESS, AT);
		fake_steps();
		assert_int_equal(sample(pid + 10, AT), UNKNOWN);
		fake_pass(NS_PER_S);
		assert_int_equal(fake_walk(pid + 10, 1, AT, &rule), PLAIN);
	}
	f->b.facts = good;
	fake_end();
}

static void only_code(void **state)
{
	(void)state;
	fake_unwind(8 << 20);
	// Two segments that share a page of the file (0x5000), each mapped by itself.
	struct fake_file *f = world_file(5, 0x201000, 0x1000, 1);
	f->b.facts.exec_count = 2;
	f->b.facts.exec[0] = (struct elf_exec){0x1000, 0x4400, 0x201000};
	f->b.facts.exec[1] = (struct elf_exec){0x5400, 0x3000, 0x306400};
	world_map(7, 0, 5, AT, true);
	world_map(7, 1, 5, AT + 0x105000, true);
	world.mapping[7][0] = (struct process_mapping){.start = AT,
	    .end = AT + 0x5000,
	    .offset = 0x1000,
	    .kind = PLACE_FILE,
	    .binary = 5,
	    .path = 5};
	world.mapping[7][1] = world.mapping[7][0];
	world.mapping[7][1].start = AT + 0x105000;
	world.mapping[7][1].end = AT + 0x109000;
	world.mapping[7][1].offset = 0x5000;
	fake_need(7, 1, NEED_PROCESS, AT);
	fake_steps();
	for (int i = 0; i < 3; i++) {
		sample(7, AT);
		sample(7, AT + 0x105000);
		fake_pass(NS_PER_S);
	}
	assert_int_equal(sample(7, AT + 0x4fff), WINDOW_ROWS);
	assert_int_equal(rule.fp, 0);
	assert_int_equal(sample(7, AT + 0x105000), WINDOW_ROWS); // window of 0x306000
	assert_int_equal(rule.fp, 1);
	assert_int_equal(sample(7, AT + 0x108fff), WINDOW_ROWS);
	assert_int_equal(rule.fp, 1);
	// The whole file mapped as code, with what lies around it: no window of another file.
	world_map(8, 0, 5, AT, true);
	world.mapping[8][0].offset = 0;
	world.mapping[8][0].start = AT;
	world.mapping[8][0].end = AT + (100ull << WINDOW_SHIFT);
	fake_need(8, 1, NEED_PROCESS, AT);
	fake_steps();
	assert_int_equal(fake_walk(8, 1, AT + 0xfff, &rule), NO_MAPPING);
	assert_int_equal(fake_walk(8, 1, AT + 0x1000, &rule), WINDOW_ROWS);
	assert_int_equal(rule.fp, 0);
	assert_int_equal(fake_walk(8, 1, AT + 0x6000, &rule), WINDOW_ROWS);
	assert_int_equal(rule.fp, 1);
	assert_int_equal(fake_walk(8, 1, AT + 0x8fff, &rule), WINDOW_ROWS);
	assert_int_equal(fake_walk(8, 1, AT + 0x9000, &rule), NO_MAPPING);
	// A mapping of anything else in it has no code.
	world_map(9, 0, 5, AT, true);
	world.mapping[9][0].offset = 0x100000;
	fake_need(9, 1, NEED_PROCESS, AT);
	fake_steps();
	assert_int_equal(fake_walk(9, 1, AT, &rule), NO_PROCESS);
	fake_end();
}

// Segments that say anything.
static void hostile_segments(void **state)
{
	(void)state;
	uint64_t bits = 1;
	fake_unwind(8 << 20);
	for (uint32_t round = 0; round < 3000; round++) {
		uint32_t id = 1 + round % 300, pid = 1 + round % 50;
		struct fake_file *f = world_file(id, 0, 0, 1);
		f->b.facts.exec_count = 1 + round % ELF_EXEC_MAX;
		for (uint32_t i = 0; i < f->b.facts.exec_count; i++) {
			bits = hash_mix(bits + 1);
			struct elf_exec *x = &f->b.facts.exec[i];
			*x = (struct elf_exec){.offset = bits % 40 * 0x777,
			    .size = (bits >> 16) % 5 * 0x1777,
			    .vaddr = (bits >> 32) % 64 << 12};
			x->vaddr += x->offset % 4096;
			if (bits >> 60 == 0)
				*x = (struct elf_exec){bits >> 2, bits >> 3, bits << 12};
			if (x->vaddr > UINT64_MAX - x->size)
				x->size = 0;
		}
		world_map(pid, 0, id, AT, true);
		world.mapping[pid][0].end = AT + (bits >> 8) % 80 * 0x1000 + 0x1000;
		world.mapping[pid][0].offset = (bits >> 20) % 30 * 0x1000;
		fake_need(pid, round, NEED_PROCESS, AT);
		fake_steps();
		for (uint64_t at = AT - 0x1000; at < AT + 81 * 0x1000; at += 0x1000) {
			fake_walk(pid, round, at, &rule);
			const struct file *file = file_of(fake.u, id);
			assert_true(!file || file->count <= FILE_WINDOWS_MAX);
		}
		fake_now += 300 * NS_PER_MS;
	}
	fake_end();
}

static void the_vdso(void **state)
{
	(void)state;
	if (!getauxval(AT_SYSINFO_EHDR))
		skip();
	fake_unwind(8 << 20);
	for (uint32_t pid = 7; pid <= 8; pid++) {
		world_map(pid, 0, 5, AT, false);
		world.mapping[pid][0] =
		    (struct process_mapping){.start = AT, .end = AT + 0x2000, .kind = PLACE_VDSO};
	}
	world.mapping[8][0].start = 0xf7fc0000;
	world.mapping[8][0].end = 0xf7fc2000;
	sample(7, AT + 0x10);
	sample(8, 0xf7fc0010);
	fake_steps();
	assert_int_equal(sample(7, AT + 0x10), UNKNOWN);
	assert_int_equal(sample(8, 0xf7fc0010), PLAIN); // another image, of 32-bit programs
	fake_pass(NS_PER_S);
	assert_int_equal(sample(7, AT + 0x10), WINDOW_ROWS);
	assert_int_equal(rule.cfa, 0);
	assert_int_equal(sample(7, AT + 0x1fff), WINDOW_ROWS);
	fake_end();
}

static void too_many_mappings(void **state)
{
	(void)state;
	fake_unwind(2 << 20);
	uint32_t most = store_share(&fake.u->store) * MAPPINGS_PER_BLOCK, n = 20000;
	assert_true(most > 1000 && most < n);
	world_file(5, 0x1000, 0x1000, 1);
	world_map(7, 0, 5, AT, true);
	world.many = calloc(n, sizeof(*world.many));
	world.many_pid = 7;
	world.many_count = n;
	for (uint32_t i = 0; i < n; i++)
		world.many[i] = (struct process_mapping){.start = AT + i * 0x3000ull,
		    .end = AT + i * 0x3000ull + 0x1000,
		    .offset = 0x1000,
		    .kind = i % 20 ? PLACE_ANON : PLACE_FILE,
		    .binary = i % 20 ? 0 : 5};
	fake_need(7, 1, NEED_PROCESS, AT);
	fake_steps();
	// Of code made at run time nothing but "it is" could be said.
	assert_int_equal(PLACE_MAPPINGS(fake.slots[process_hash(7, 1)].place), n / 20);
	assert_int_equal(fake_walk(7, 1, AT + 19980 * 0x3000ull, &rule), WINDOW_ASK);
	// It is written the less often the more it is.
	for (int i = 0; i < 900; i++) {
		world.many[0].offset = 0x1000 + (uint64_t)(i % 193) * 0x1000;
		unwind_changed(fake.u, &world.process[7]);
		fake_pass(NS_PER_MS);
	}
	uint32_t pages = store_pages(PAGE_MAPPINGS, n / 20 / MAPPINGS_PER_BLOCK);
	assert_in_range(fake.writes / pages, 9, 14);
	for (uint32_t i = 0; i < n; i++) {
		world.many[i].kind = PLACE_FILE;
		world.many[i].binary = 5;
	}
	unwind_changed(fake.u, &world.process[7]);
	fake_pass(3 * NS_PER_S);
	assert_int_equal(PLACE_MAPPINGS(fake.slots[process_hash(7, 1)].place), most);
	free(world.many);
	fake_end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(kinds),
	    cmocka_unit_test(only_code),
	    cmocka_unit_test(hostile_segments),
	    cmocka_unit_test(the_vdso),
	    cmocka_unit_test(too_many_mappings),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
