// SPDX-License-Identifier: Apache-2.0
// The walker of bpf/walk.bpf.h over tables that miss something, change meanwhile, are large or
// spoiled.
#include "walk_scene.h"

static void loading(void **state)
{
	(void)state;
	static const struct {
		uint64_t code;
		enum walk_end end;
	} of[] = {
	    {0xa00010, WALK_END_LOADING}, {0xb00010, WALK_END_FULL}, {0xc00010, WALK_END_LOADING}};
	for (int i = 0; i < 3; i++) {
		registers(CODE(SP16), S(10), S(20));
		put(S(11), of[i].code);
		put(S(20), S(30));
		put(S(21), CODE(STOP));
		expect(of[i].end, 3, (uint64_t[]){CODE(SP16), of[i].code, CODE(STOP)});
		needs(NEED_WINDOW, 1);
		by_fp(1);
		put(S(20), 0);
		put(S(21), 0x123456);
		expect(of[i].end, 2, (uint64_t[]){CODE(SP16), of[i].code});
		registers(of[i].code, S(10), 0);
		expect(of[i].end, 1, (uint64_t[]){of[i].code});
		needs(NEED_WINDOW, 0);
	}
	// What is loaded soon tells more than what is not.
	registers(0xb00010, S(10), S(20));
	put(S(20), S(30));
	put(S(21), 0xa00010);
	put(S(31), CODE(STOP));
	EXPECT(LOADING, 0xb00010, 0xa00010, CODE(STOP));
	needs(NEED_WINDOW, 0);
	registers(0xa00010, S(10), S(20));
	put(S(21), 0xb00010);
	EXPECT(LOADING, 0xa00010, 0xb00010, CODE(STOP));
}

static void unknown_process(void **state)
{
	(void)state;
	registers(CODE(SP16), S(10), S(20));
	put(S(20), S(30));
	put(S(21), 0xdddd00);
	put(S(31), 0xeeee00);
	it.mm_id++;
	EXPECT(LOADING, CODE(SP16), 0xdddd00, 0xeeee00);
	needs(NEED_PROCESS, 0);
	by_fp(3);
	put(S(30), S(25)); // below
	EXPECT(LOADING, CODE(SP16), 0xdddd00, 0xeeee00);
	put(S(30), S(30));
	EXPECT(LOADING, CODE(SP16), 0xdddd00, 0xeeee00);
	// No tables at all: frame pointers are all there ever is.
	put(S(30), 0);
	walk_begin(&it, false);
	while (!walk_step(&it, false))
		;
	assert_int_equal(it.end, WALK_END_NO_ROWS);
	assert_int_equal(it.n, 3);
	needs(0, 0);
}

static void unmapped(void **state)
{
	(void)state;
	registers(0x12345678, S(10), S(20));
	put(S(20), 0);
	put(S(21), CODE(STOP));
	EXPECT(UNMAPPED, 0x12345678, CODE(STOP));
	needs(NEED_MAPPING, 0);
	registers(CODE(SP16), S(10), S(20));
	put(S(11), 0x12345678);
	EXPECT(NOT_CODE, CODE(SP16), 0x12345678);
	needs(NEED_MAPPING, 1);
	put(S(11), 0x8012345678ffffff); // no address at all
	EXPECT(NOT_CODE, CODE(SP16));
	static const uint64_t edges[] = {
	    0x3fffff, 0x410000, 0x4fffff, 0x510000, 0xc10000, 0, 1ull << 55};
	for (size_t i = 0; i < sizeof(edges) / sizeof(*edges); i++) {
		registers(edges[i], S(10), 0);
		EXPECT(UNMAPPED, edges[i]);
		needs(NEED_MAPPING, 0);
	}
	registers(0x40ffff, S(10), 0);
	EXPECT(NO_PROGRESS, 0x40ffff); // the last row holds to the end: CFA = x9 (0)
	assert_int_equal(rules[RULES - 1].kind, RULE_REGISTER);
}

static void replaced(void **state)
{
	(void)state;
	unsigned reads;
	registers(CODE(SP16), S(10), 0);
	put(S(11), CODE(STOP));
	page_reads = 0;
	EXPECT(COMPLETE, CODE(SP16), CODE(STOP));
	reads = page_reads;
	assert_true(reads >= 3 && reads < 30);
	for (uint32_t i = 1; i <= reads; i++) {
		replace_in = i;
		walk();
		// What was not looked at yet may change.
		assert_true(
		    it.end == WALK_END_REPLACED || (it.end == WALK_END_COMPLETE && it.n == 2));
		tables_free(store);
		setup(NULL);
		registers(CODE(SP16), S(10), 0);
		put(S(11), CODE(STOP));
	}
	replace_in = reads; // the last frame's row
	EXPECT(REPLACED, CODE(SP16), CODE(STOP));
	replace_process_in = 1;
	walk();
	assert_int_equal(it.end, WALK_END_REPLACED);
	assert_int_equal(it.n, 0);
}

// Blocks that no encoder makes are read without leaving them.
static void spoiled_blocks(void **state)
{
	(void)state;
	uint32_t seed = 1;
	uint64_t place = store->windows[3].place;
	struct block *b = store->page[PAGE_ROWS][PLACE_PAGE(place)];
	for (int i = 0; i < 20000; i++) {
		for (uint32_t k = 4; k < BLOCK_BYTES; k++) {
			seed = seed * 1664525 + 1013904223;
			b[PLACE_INDEX(place) + PLACE_RULES(place)].bytes[k] =
			    seed >> 8 & 1 ? (uint8_t)(seed >> 24) : 255;
		}
		registers(0x400000 + (seed >> 8) % 0x10000, S(10), S(20));
		walk();
		assert_in_range(it.end, WALK_END_COMPLETE, WALK_END_COUNT - 1);
	}
}

// Every offset of a window of odd rows has the rule that the encoder says.
static void every_row(void **state)
{
	(void)state;
	struct rows rows = {0};
	uint32_t seed = 7, at = 100;
	for (uint32_t i = 0; i < 3000; i++) {
		seed = seed * 1664525 + 1013904223;
		struct rule r = {
		    .cfa = (int32_t)(seed >> 20) % 700, .kind = seed >> 9 & 1 ? RULE_SP : RULE_FP};
		assert_int_equal(rows_add(&rows, at, &r), 0);
		at += (seed >> 13) % (i % 50 ? 300 : 70000) + 1;
		if (at >= WINDOW_BYTES)
			break;
	}
	assert_int_equal(tables_rows(store, 20, &rows), 0);
	uint64_t place = store->windows[20].place;
	walk_begin(&it, true);
	for (uint32_t k = 0, i = 0; k < (at < WINDOW_BYTES ? at : WINDOW_BYTES); k++) {
		while (i < rows.count && rows.row[i].at <= k)
			i++;
		struct rule want = i ? rows.rules[rows.row[i - 1].rule] : (struct rule){0};
		uint64_t got = find_row(&it, place, k), word;
		memcpy(&word, &want, sizeof(word));
		if (got != word)
			print_error("offset %u\n", k);
		assert_int_equal(got, word);
	}
	rows_clear(&rows);
}

// Each of both is once what a walk finds, and once what it remembers.
static void remembered_rows(void **state)
{
	struct window *w = &store->windows[3], *other = &store->windows[20];
	(void)state;
	remembers = true;
	walk_begin(&it, true);
	*other = *w; // the same rows under another number: nothing of one is the other's
	for (int turn = 0; turn < 3; turn++)
		for (uint32_t k = 0; k < RULES * 0x100; k += 0x40) {
			u64 word, want;
			memcpy(&want, &rules[k / 0x100], sizeof(want));
			struct window *of = k & 0x40 ? other : w;
			page_reads = 0;
			assert_true(rule_of_window(&it, of, of == w ? 3 : 20, k, of->place, &word));
			assert_int_equal(word, want);
			assert_true(turn || page_reads > 0);
		}
	u64 word;
	assert_true(rule_of_window(&it, w, 3, 0, w->place, &word));
	page_reads = 0;
	assert_true(rule_of_window(&it, w, 3, 0, w->place, &word));
	assert_int_equal(page_reads, 0);
	// Half of another's entry, as two CPUs leave it that write at once.
	uint64_t hash = recent_hash(3, 0, w->generation);
	struct recent_row *slot = &store->recent[RECENT_SLOT(hash)], whole = *slot;
	slot->rule ^= 0x30;
	assert_true(rule_of_window(&it, w, 3, 0, w->place, &word));
	assert_int_equal(word, whole.rule);
	assert_true(page_reads > 0);
	slot->check ^= 1ull << 40;
	page_reads = 0;
	assert_true(rule_of_window(&it, w, 3, 0, w->place, &word));
	assert_true(word == whole.rule && page_reads > 0);
	// Rows that were replaced are not remembered, nor is what changed while it was looked for.
	struct rows rows = {0};
	assert_int_equal(rows_add(&rows, 0, &rules[SP32]), 0);
	assert_int_equal(tables_rows(store, 3, &rows), 0);
	rows_clear(&rows);
	replace_in = 1;
	assert_false(rule_of_window(&it, w, 3, 0, w->place, &word));
	w->place -= 1ull << 60;
	page_reads = 0;
	assert_true(rule_of_window(&it, w, 3, 0, w->place, &word));
	assert_int_equal(memcmp(&word, &rules[SP32], sizeof(word)), 0);
	assert_true(page_reads > 0);
}

static void many_mappings(void **state)
{
	(void)state;
	static struct mapping many[5001];
	for (uint32_t n = 1; n <= 5001; n = n < 20 ? n + 1 : n * 3 + 1) {
		for (uint32_t i = 0; i < n; i++)
			many[i] = (struct mapping){
			    MAPPING_START(0x1000 + 5 * i, MAPPING_PLAIN, 0), 1 + i % 5, 0};
		assert_int_equal(tables_process(store, PID, MM_ID, many, n), 0);
		walk_begin(&it, true);
		for (uint64_t page = 0xff0; page < 0x1010 + 5 * n; page++) {
			uint64_t i = (page - 0x1000) / 5;
			bool in = page >= 0x1000 && i < n && (page - 0x1000) % 5 < 1 + i % 5;
			it.pc = page << 12 | 17;
			assert_int_equal(find_mapping(&it, it.pc), in ? FOUND : NOT_FOUND);
			it.pc = page << 12; // is returned to
			bool before = page > 0x1000 && (i = (page - 0x1001) / 5) < n &&
				      (page - 0x1001) % 5 < 1 + i % 5;
			assert_int_equal(
			    find_mapping(&it, it.pc - 1), in || before ? FOUND : NOT_FOUND);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    X86(loading),
	    X86(unknown_process),
	    X86(unmapped),
	    X86(replaced),
	    X86(spoiled_blocks),
	    X86(every_row),
	    X86(remembered_rows),
	    X86(many_mappings),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
