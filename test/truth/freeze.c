// SPDX-License-Identifier: Apache-2.0
#include "freeze.h"

#include <elf.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "../frozen.h"

#define WORDS 8192
#define ROWS 8192

struct frost {
	FILE *to;
	struct ours *o;
	struct theirs *u;
	struct target *t;
	struct {
		uint64_t at, value;
	} word[WORDS];
	uint32_t words;
	struct frozen_row {
		uint32_t window, at;
		struct rule rule;
	} row[ROWS];
	uint32_t rows;
	uint64_t symbols[STACK_MAX]; // starts of those written
	uint32_t symbol_count;
};

static void on_read(void *arg, uint64_t at, uint64_t value)
{
	struct frost *f = arg;
	for (uint32_t i = 0; i < f->words; i++)
		if (f->word[i].at == at)
			return;
	if (f->words == WORDS)
		abort();
	f->word[f->words].at = at;
	f->word[f->words++].value = value;
}

static int by_address(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
	return x < y ? -1 : x > y;
}

static void keep_row(struct frost *f, uint32_t window, uint32_t at, const struct rule *rule)
{
	if (f->rows == ROWS)
		abort();
	f->row[f->rows++] = (struct frozen_row){window, at, *rule};
}

// By window and offset; of two at one offset, a function's first row before the end of another.
static int by_offset(const void *a, const void *b)
{
	const struct frozen_row *x = a, *y = b;
	if (x->window != y->window)
		return x->window < y->window ? -1 : 1;
	if (x->at != y->at)
		return x->at < y->at ? -1 : 1;
	return (x->rule.kind == RULE_NONE) - (y->rule.kind == RULE_NONE);
}

static void put_rows(struct frost *f)
{
	qsort(f->row, f->rows, sizeof(*f->row), by_offset);
	for (uint32_t i = 0; i < f->rows; i++) {
		const struct frozen_row *r = f->row + i;
		if (!i || r->window != r[-1].window || r->at != r[-1].at)
			frozen_put_row(f->to, r->window, r->at, &r->rule);
	}
}

// The rows in force in [from, to) of PC's window, and that nothing is known behind them.
static void keep_rows(struct frost *f, uint64_t pc, uint64_t from, uint64_t to)
{
	uint32_t window, at, last = UINT32_MAX;
	const struct rows *rows = ours_rows(f->o, f->t, pc, &window, &at);
	if (!rows)
		return;
	uint32_t low = at - (uint32_t)(pc - from), high = at + (uint32_t)(to - pc);
	if (low > at)
		low = 0;
	for (uint32_t i = 0; i <= rows->count; i++) {
		const struct row *r = rows->row + i;
		if (i < rows->count && r->at <= low) {
			last = r->rule;
			continue;
		}
		if (last != UINT32_MAX) {
			keep_row(f, window, low, rows->rules + last);
			last = UINT32_MAX;
		}
		if (i == rows->count || r->at >= high)
			break;
		keep_row(f, window, r->at, rows->rules + r->rule);
	}
	if (high < WINDOW_BYTES)
		keep_row(f, window, high, &(struct rule){.kind = RULE_NONE});
}

// The function at PC, once.
static void put_function(struct frost *f, uint64_t pc)
{
	struct place at;
	theirs_name(f->u, pc, &at);
	uint64_t start = at.symbol_at ? at.symbol_at : pc & ~15ull;
	uint64_t end = at.symbol_end > pc ? at.symbol_end : pc + 16;
	for (uint32_t i = 0; i < f->symbol_count; i++)
		if (f->symbols[i] == start)
			return;
	f->symbols[f->symbol_count++] = start;
	if (at.symbol_at)
		fprintf(f->to, "symbol %" PRIx64 " %" PRIx64 " %s!%s\n", start, end, at.file,
		    at.symbol);
	keep_rows(f, pc, start, end);
}

static void put_mappings(struct frost *f, const struct stack *s)
{
	static const char *const kinds[] = {"file", "anon", "plain"};
	uint64_t done[STACK_MAX];
	uint32_t count = 0;
	for (uint32_t i = 0; i < s->count; i++) {
		struct mapping m;
		uint32_t k = 0;
		if (ours_mapping(f->o, f->t, s->pc[i], &m))
			continue;
		while (k < count && done[k] != m.start)
			k++;
		if (k < count)
			continue;
		done[count++] = m.start;
		fprintf(f->to, "map %" PRIx64 " %" PRIx32 " %s %u %" PRIx32 "\n",
		    (uint64_t)MAPPING_PAGE(&m) << 12, m.pages, kinds[MAPPING_KIND(&m)],
		    MAPPING_WINDOW(&m), m.file_page);
	}
}

static void put_stack(struct frost *f)
{
	qsort(f->word, f->words, sizeof(*f->word), by_address);
	for (uint32_t i = 0, in = 0; i < f->words; i++) {
		if (i && f->word[i].at == f->word[i - 1].at + 8 && ++in < 4)
			fprintf(f->to, " %" PRIx64, f->word[i].value);
		else
			in = 0, fprintf(f->to, "%sstack %" PRIx64 " %" PRIx64, i ? "\n" : "",
				    f->word[i].at, f->word[i].value);
	}
	fprintf(f->to, "\n");
}

int freeze(FILE *to, const char *comment, struct ours *o, struct theirs *u, struct target *t)
{
	static struct stack s;
	struct frost *f = calloc(1, sizeof(*f));
	if (!f)
		abort();
	*f = (struct frost){.to = to, .o = o, .u = u, .t = t};
	ours_walk(o, t, &s); // loads
	t->on_read = on_read;
	t->on_read_arg = f;
	enum walk_end end = ours_walk(o, t, &s);
	t->on_read = NULL;
	fprintf(to, "# %s\nmachine %s\n", comment, t->machine == EM_X86_64 ? "x86-64" : "arm64");
	for (int i = 0; i < REGISTERS; i++)
		if (t->reg[i] && (t->machine != EM_X86_64 || i <= 16))
			fprintf(to, "register %d %" PRIx64 "\n", i, t->reg[i]);
	put_mappings(f, &s);
	for (uint32_t i = 0; i < s.count; i++)
		put_function(f, s.pc[i] - !!i);
	put_rows(f);
	put_stack(f);
	fprintf(to, "end %s\n", ours_label(end));
	for (uint32_t i = 0; i < s.count; i++) {
		struct place at;
		theirs_name(u, s.pc[i] - !!i, &at);
		if (at.symbol_at)
			fprintf(to, "frame %s!%s+%" PRIx64 "\n", at.file, at.symbol,
			    s.pc[i] - at.symbol_at);
		else
			fprintf(to, "frame %" PRIx64 "\n", s.pc[i]);
	}
	free(f);
	return ferror(to) ? -1 : 0;
}
