// SPDX-License-Identifier: Apache-2.0
// Stopped processes as text (test/frozen/*.txt), walked again by the walker of bpf/walk.bpf.h: it
// gives the frames that the text expects. With TELEGEN_FREEZE=1 in the environment what it gives is
// written into the texts instead, to be read before it is committed.
#include <dirent.h>
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "../../modules/base/base.h"
#include "../frozen.h"
#include "../walker.c"

#define FOLDER "test/frozen"
#define PID 1
#define MM_ID 2
#define MAPPINGS 64
#define SYMBOLS 512
#define WORDS 16384
#define TEXTS 100

struct scene {
	struct walker_input in;
	struct mapping mapping[MAPPINGS];
	uint32_t mappings, windows, symbols, words;
	struct {
		uint32_t window;
		struct rows rows;
	} window[MAPPINGS];
	struct {
		uint64_t start, end;
		char name[120];
	} symbol[SYMBOLS];
	struct {
		uint64_t at, value;
	} word[WORDS];
	char head[1 << 20], expected[1 << 16], got[1 << 16]; // text before and from "end"
};

static int read_word(void *arg, uint64_t at, void *to, size_t size)
{
	const struct scene *s = arg;
	for (size_t done = 0; done < size; done += 8) {
		uint32_t low = 0, high = s->words;
		while (low < high) {
			uint32_t middle = (low + high) / 2;
			if (s->word[middle].at < at + done)
				low = middle + 1;
			else
				high = middle;
		}
		if (low == s->words || s->word[low].at != at + done)
			return -1;
		memcpy((char *)to + done, &s->word[low].value, size - done < 8 ? size - done : 8);
	}
	return 0;
}

static struct rows *rows_of(struct scene *s, uint32_t window)
{
	uint32_t i = 0;
	while (i < s->windows && s->window[i].window != window)
		i++;
	assert_true(i < MAPPINGS);
	if (i == s->windows)
		s->window[s->windows++].window = window;
	return &s->window[i].rows;
}

static void take_map(struct scene *s, const char *line)
{
	static const char *const kinds[] = {"file", "anon", "plain"};
	uint64_t start;
	uint32_t pages, window, file_page, k = 0;
	char kind[8];
	assert_int_equal(
	    sscanf(line, "map %lx %x %7s %u %x", &start, &pages, kind, &window, &file_page), 5);
	while (k < 3 && strcmp(kind, kinds[k]))
		k++;
	assert_true(k < 3 && s->mappings < MAPPINGS);
	s->mapping[s->mappings++] = (struct mapping){
	    .start = MAPPING_START(start >> 12, k, window), .pages = pages, .file_page = file_page};
}

static void take_row(struct scene *s, const char *line)
{
	uint32_t window, at, k = 0;
	int cfa, fp, how;
	char kind[16];
	assert_int_equal(
	    sscanf(line, "row %u %x %15s %d %d %d", &window, &at, kind, &cfa, &fp, &how), 6);
	while (k < FROZEN_KINDS && strcmp(kind, frozen_kinds[k]))
		k++;
	assert_true(k < FROZEN_KINDS);
	struct rule rule = {.cfa = cfa, .fp = (int16_t)fp, .kind = (uint8_t)k, .how = (uint8_t)how};
	assert_int_equal(rows_add(rows_of(s, window), at, &rule), 0);
}

static void take_stack(struct scene *s, const char *line)
{
	uint64_t at, value;
	int used;
	assert_int_equal(sscanf(line, "stack %lx%n", &at, &used), 1);
	for (line += used; sscanf(line, "%lx%n", &value, &used) == 1; line += used, at += 8) {
		assert_true(s->words < WORDS && (!s->words || s->word[s->words - 1].at < at));
		s->word[s->words].at = at;
		s->word[s->words++].value = value;
	}
}

static void take_line(struct scene *s, const char *line)
{
	unsigned number;
	uint64_t value;
	if (*line == '#' || *line == '\n')
		return;
	if (!strncmp(line, "machine ", 8))
		s->in.arm64 = !strcmp(line + 8, "arm64\n");
	else if (sscanf(line, "register %u %lx", &number, &value) == 2 && number < 33)
		s->in.reg[number] = value;
	else if (!strncmp(line, "map ", 4))
		take_map(s, line);
	else if (sscanf(line, "window %u frame", &number) == 1)
		tables_state((struct tables *)s->in.tables, number, WINDOW_FRAME);
	else if (!strncmp(line, "symbol ", 7) && s->symbols < SYMBOLS &&
		 sscanf(line, "symbol %lx %lx %119s", &s->symbol[s->symbols].start,
		     &s->symbol[s->symbols].end, s->symbol[s->symbols].name) == 3)
		s->symbols++;
	else if (!strncmp(line, "row ", 4))
		take_row(s, line);
	else if (!strncmp(line, "stack ", 6))
		take_stack(s, line);
	else
		fail_msg("no such line: %s", line);
}

static int by_start(const void *a, const void *b)
{
	uint64_t x = MAPPING_PAGE((const struct mapping *)a),
		 y = MAPPING_PAGE((const struct mapping *)b);
	return x < y ? -1 : x > y;
}

static struct scene *scene_read(const char *path)
{
	static char line[4096];
	struct scene *s = calloc(1, sizeof(*s));
	struct tables *t = calloc(1, sizeof(*t));
	FILE *f = fopen(path, "r");
	assert_true(s && t && f);
	s->in = (struct walker_input){.tables = t,
	    .pid = PID,
	    .mm_id = MM_ID,
	    .frames_max = WALKER_FRAMES,
	    .read = read_word,
	    .arg = s};
	bool expected = false;
	while (fgets(line, sizeof(line), f)) {
		expected = expected || !strncmp(line, "end ", 4);
		char *to = expected ? s->expected : s->head;
		size_t used = strlen(to), size = expected ? sizeof(s->expected) : sizeof(s->head);
		assert_true(used + strlen(line) < size);
		strcpy(to + used, line);
		if (!expected)
			take_line(s, line);
	}
	fclose(f);
	qsort(s->mapping, s->mappings, sizeof(*s->mapping), by_start);
	assert_int_equal(tables_process(t, PID, MM_ID, s->mapping, s->mappings), 0);
	for (uint32_t i = 0; i < s->windows; i++) {
		assert_int_equal(tables_rows(t, s->window[i].window, &s->window[i].rows), 0);
		rows_clear(&s->window[i].rows);
	}
	return s;
}

static void scene_free(struct scene *s)
{
	tables_free((struct tables *)s->in.tables);
	free(s);
}

static const char *label_of(enum walk_end end)
{
	static const char *const labels[] = {[WALK_END_NONE] = "none",
#define X(id, label, text) [WALK_END_##id] = label,
	    WALK_ENDS(X)
#undef X
	};
	return labels[end];
}

static void walk_scene(struct scene *s)
{
	static struct walked w;
	walker_walk(&s->in, &w);
	size_t n = (size_t)snprintf(s->got, sizeof(s->got), "end %s\n", label_of(w.end));
	for (uint32_t i = 0; i < w.count; i++) {
		uint64_t pc = w.pc[i], at = pc - (i && !w.exact[i]);
		uint32_t k = 0;
		while (k < s->symbols && (at < s->symbol[k].start || at >= s->symbol[k].end))
			k++;
		if (k < s->symbols)
			n += (size_t)snprintf(s->got + n, sizeof(s->got) - n, "frame %s+%lx\n",
			    s->symbol[k].name, pc - s->symbol[k].start);
		else
			n += (size_t)snprintf(s->got + n, sizeof(s->got) - n, "frame %lx\n", pc);
		assert_true(n < sizeof(s->got));
	}
}

static void freeze_again(const char *path, const struct scene *s)
{
	FILE *f = fopen(path, "w");
	assert_non_null(f);
	fputs(s->head, f);
	fputs(s->got, f);
	assert_int_equal(fclose(f), 0);
}

static void one(void **state)
{
	const char *path = *state;
	struct scene *s = scene_read(path);
	walk_scene(s);
	if (getenv("TELEGEN_FREEZE"))
		freeze_again(path, s);
	else
		assert_string_equal(s->got, s->expected);
	scene_free(s);
	assert_int_equal(mem_used(ACCOUNT_UNWIND), 0);
}

// Each word of the stack is spoiled in turn, and the stack is cut behind each: the walk ends, with
// a reason, within its bound.
static void spoiled(void **state)
{
	struct scene *s = scene_read(*state);
	static struct walked w;
	uint32_t words = s->words, step = words > 400 ? words / 400 : 1;
	for (uint32_t i = 0; i < words; i += step) {
		uint64_t value = s->word[i].value;
		for (int k = 0; k < 4; k++) {
			s->word[i].value = k == 0   ? 0
					   : k == 1 ? ~0ull
					   : k == 2 ? s->word[i].at
						    : value ^ 8;
			walker_walk(&s->in, &w);
			assert_true(w.count <= WALKER_FRAMES && w.end > WALK_END_NONE &&
				    w.end < WALK_END_COUNT);
		}
		s->word[i].value = value;
	}
	for (uint32_t i = 0; i < words; i += step) {
		s->words = i;
		walker_walk(&s->in, &w);
		assert_true(
		    w.count <= WALKER_FRAMES && w.end > WALK_END_NONE && w.end < WALK_END_COUNT);
	}
	s->words = words;
	scene_free(s);
}

static int is_text(const struct dirent *e)
{
	const char *dot = strrchr(e->d_name, '.');
	return dot && !strcmp(dot, ".txt");
}

int main(void)
{
	static struct CMUnitTest tests[2 * TEXTS];
	static char path[TEXTS][300], name[2 * TEXTS][300];
	struct dirent **found;
	int n = scandir(FOLDER, &found, is_text, alphasort), count = 0;
	for (int i = 0; i < n; i++) {
		if (i < TEXTS) {
			snprintf(path[i], sizeof(path[i]), FOLDER "/%s", found[i]->d_name);
			snprintf(name[count], sizeof(*name), "%s", found[i]->d_name);
			snprintf(name[count + 1], sizeof(*name), "%s, spoiled", found[i]->d_name);
			for (int k = 0; k < 2; k++, count++)
				tests[count] = (struct CMUnitTest){.name = name[count],
				    .test_func = k ? spoiled : one,
				    .initial_state = path[i]};
		}
		free(found[i]);
	}
	if (n >= 0)
		free(found);
	if (!count) {
		fprintf(stderr, "walk_frozen: nothing in " FOLDER "\n");
		return 1;
	}
	return _cmocka_run_group_tests("walk_frozen", tests, (size_t)count, NULL, NULL);
}
