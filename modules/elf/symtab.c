// SPDX-License-Identifier: Apache-2.0
// Which symbols count: functions (STT_FUNC, STT_GNU_IFUNC) and untyped ones in executable sections
// (assembly). Which wins where several cover an address: the innermost sized one; of several with
// the same start the one that perf would choose (typed, not weak, global, fewest leading
// underscores, longest name), so that results compare.
#include "symtab.h"
#include "elf.h"
#include "frames.h"

#include "../base/base.h"

#include <elf.h>
#include <errno.h>
#include <string.h>

#define CHUNK_SYMBOLS 2730		 // 64 KiB
#define SYMBOLS_BYTES_MAX (256ull << 20) // 11 million symbols
#define WORK_MAX (1ull << 28)		 // places updated in one pass: nested lies would square it
#define NAMES_MAX 65536			 // names read during a pass, to judge a symbol by
#define VERDICTS 64			 // remembered names of local labels, by offset
// Behind a label that no unwind table knows: assembly's longest functions are a little shorter.
#define LABEL_MAX 16384

enum { RANK_GLOBAL = 1, RANK_NOT_WEAK = 2, RANK_TYPED = 4 };

struct symtab_pass {
	struct symtab_options options;
	const struct code *code; // the range that held the last symbol: most are in .text
	uint64_t at, end;	 // of the table, in the file
	uint32_t filled, next;	 // symbols in `chunk`
	uint64_t seen, work;
	uint32_t names_read;
	struct {
		uint32_t name;
		bool known, marker;
	} verdicts[VERDICTS];
	char names[2][ELF_NAME_MAX + 1];
	Elf64_Sym chunk[CHUNK_SYMBOLS];
};

struct symtab_pass *symtab_pass_new(const struct symtab_options *options)
{
	if (options->symbols->size > SYMBOLS_BYTES_MAX)
		return errno = EBADMSG, NULL;
	struct symtab_pass *p = mem_alloc(ACCOUNT_ELF, sizeof(*p));
	if (!p)
		return NULL;
	p->options = *options;
	p->at = options->symbols->offset;
	p->end = p->at + options->symbols->size / sizeof(Elf64_Sym) * sizeof(Elf64_Sym);
	return p;
}

void symtab_pass_free(struct symtab_pass *p)
{
	mem_free(p);
}

uint64_t symtab_pass_seen(const struct symtab_pass *p)
{
	return p->seen;
}

int symbol_name(
    const struct strings *strings, const struct symbol_candidate *c, char *to, size_t size)
{
	const struct strings *s = &strings[c->table];
	int len = view_string(s->view, s->offset + c->name, s->limit, to, size);
	if (len < 0)
		return len;
	char *version = memchr(to, '@', (size_t)len);
	if (version)
		*version = 0;
	return version ? (int)(version - to) : len;
}

// Marks that assemblers and compiler plugins leave in the code, not functions: .L*, .annobin* and
// the mapping symbols $a $d $t $x of ARM and RISC-V. Their names repeat, so most verdicts are
// remembered.
static bool is_marker(struct symtab_pass *p, uint32_t name)
{
	unsigned slot = name % VERDICTS;
	if (!p->verdicts[slot].known || p->verdicts[slot].name != name) {
		if (p->names_read >= NAMES_MAX)
			return false;
		p->names_read++;
		char s[sizeof(".annobin")] = {};
		struct symbol_candidate c = {.name = name, .table = p->options.table};
		p->verdicts[slot].marker = symbol_name(p->options.strings, &c, s, sizeof(s)) < 0 ||
					   !strncmp(s, ".L", 2) || !strcmp(s, ".annobin") ||
					   (s[0] == '$' && s[1] && strchr("adtx", s[1]));
		p->verdicts[slot].name = name;
		p->verdicts[slot].known = true;
	}
	return p->verdicts[slot].marker;
}

// > 0: A is the better name.
static int compare_names(const char *a, const char *b)
{
	size_t under_a = strspn(a, "_"), under_b = strspn(b, "_");
	if (under_a != under_b)
		return under_a < under_b ? 1 : -1;
	size_t len_a = strlen(a), len_b = strlen(b);
	if (len_a != len_b)
		return len_a > len_b ? 1 : -1;
	return strcmp(b, a);
}

static bool better(
    struct symtab_pass *p, const struct symbol_candidate *new, const struct symbol_candidate *old)
{
	if (!old->end || new->start != old->start)
		return !old->end || new->start > old->start;
	if (new->rank != old->rank)
		return new->rank > old->rank;
	if ((new->name == old->name &&new->table == old->table) || p->names_read >= NAMES_MAX)
		return false;
	p->names_read++;
	const struct strings *strings = p->options.strings;
	return symbol_name(strings, new, p->names[0], sizeof(p->names[0])) > 0 &&
	       (symbol_name(strings, old, p->names[1], sizeof(p->names[1])) <= 0 ||
		   compare_names(p->names[0], p->names[1]) > 0);
}

static uint32_t first_place_from(const struct symtab_pass *p, uint64_t address)
{
	uint32_t lo = 0, hi = p->options.count;
	while (lo < hi) {
		uint32_t mid = (lo + hi) / 2;
		if (p->options.places[mid].address < address)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static void raise(uint64_t *value, uint64_t to)
{
	if (*value < to)
		*value = to;
}

static void add_label(struct symtab_pass *p, uint32_t i, struct symbol_candidate *c)
{
	struct place *places = p->options.places;
	if (!p->options.dynamic) {
		c->end = LABEL_OPEN; // as far as the next symbol: known when the pass is over
		if (better(p, c, &places[i].label))
			places[i].label = *c;
		return;
	}
	c->end = c->start + 1;
	for (; i < p->options.count && places[i].address == c->start; i++, p->work++)
		if (better(p, c, &places[i].label))
			places[i].label = *c;
	if (i < p->options.count)
		raise(&places[i].floor, c->end);
}

static void add(
    struct symtab_pass *p, const Elf64_Sym *s, struct symbol_candidate *c, bool local_label)
{
	struct place *places = p->options.places;
	uint32_t count = p->options.count, i = first_place_from(p, c->start);
	bool near =
	    (i > 0 && c->start < places[i - 1].next) || (i < count && c->start >= places[i].last);
	if (local_label && (!near || is_marker(p, c->name)))
		return;
	if (i > 0 && c->start < places[i - 1].next)
		places[i - 1].next = c->start;
	if (i == count)
		return;
	raise(&places[i].last, c->start);
	if (!s->st_size) {
		add_label(p, i, c);
		return;
	}
	c->end = s->st_size < p->code->end - c->start ? c->start + s->st_size : p->code->end;
	for (; i < count && places[i].address < c->end; i++, p->work++)
		if (better(p, c, &places[i].sized))
			places[i].sized = *c;
	if (i < count)
		raise(&places[i].floor, c->end);
}

static void take(struct symtab_pass *p, const Elf64_Sym *s)
{
	unsigned type = ELF64_ST_TYPE(s->st_info), bind = ELF64_ST_BIND(s->st_info);
	bool typed = type == STT_FUNC || type == STT_GNU_IFUNC;
	const struct strings *names = &p->options.strings[p->options.table];
	if ((!typed && type != STT_NOTYPE) || s->st_shndx == SHN_UNDEF ||
	    s->st_shndx >= SHN_LORESERVE || !s->st_name ||
	    s->st_name >= names->limit - names->offset)
		return;
	// What its section is, its address says: st_shndx is stale in files whose sections were
	// moved.
	if (!p->code || s->st_value < p->code->start || s->st_value >= p->code->end)
		p->code = file_code(p->options.file, s->st_value);
	if (!p->code)
		return;
	p->seen += typed || bind != STB_LOCAL;
	struct symbol_candidate c = {
	    .start = s->st_value,
	    .name = s->st_name,
	    .table = p->options.table,
	    .rank = (uint8_t)((typed ? RANK_TYPED : 0) | (bind != STB_WEAK ? RANK_NOT_WEAK : 0) |
			      (bind == STB_GLOBAL ? RANK_GLOBAL : 0)),
	};
	add(p, s, &c, !typed && bind == STB_LOCAL);
}

static int refill(struct symtab_pass *p)
{
	size_t n = p->end - p->at < sizeof(p->chunk) ? p->end - p->at : sizeof(p->chunk);
	int err = view_read(&p->options.file->view, p->at, p->chunk, n);
	if (err)
		return err;
	p->at += n;
	p->filled = (uint32_t)(n / sizeof(Elf64_Sym));
	p->next = 0;
	return 0;
}

int symtab_pass_step(struct symtab_pass *p, uint64_t deadline)
{
	for (unsigned n = 1;; n++) {
		if (p->next == p->filled) {
			if (p->at == p->end)
				return 0;
			int err = refill(p);
			if (err)
				return err;
		}
		uint32_t names_read = p->names_read;
		take(p, &p->chunk[p->next++]);
		if (p->work > WORK_MAX)
			return -EBADMSG;
		// Symbols are cheap to pass by; one whose name had to be read is not.
		if ((n % 64 == 0 || p->names_read != names_read) && clock_now() >= deadline)
			return 1;
	}
}

void places_reset(struct place *places, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		places[i] = (struct place){
		    .address = places[i].address, .index = places[i].index, .next = UINT64_MAX};
}

void places_settle(struct place *places, uint32_t count)
{
	for (uint32_t i = 1; i < count; i++) {
		raise(&places[i].floor, places[i - 1].floor);
		raise(&places[i].last, places[i - 1].last);
		if (places[i - 1].label.end &&
		    (!places[i].label.end || places[i].label.start < places[i - 1].label.start))
			places[i].label = places[i - 1].label;
	}
	for (uint32_t i = count; i-- > 1;)
		if (places[i - 1].next > places[i].next)
			places[i - 1].next = places[i].next;
}

uint64_t label_end(const struct elf_file *f, uint64_t label)
{
	uint64_t end;
	if (!frames_end(f, label, &end) && end - label > LABEL_MAX)
		return label + LABEL_MAX;
	return end;
}

const struct symbol_candidate *place_decide(
    const struct place *p, const struct elf_file *f, uint64_t *start, uint64_t *end)
{
	const struct symbol_candidate *c = &p->sized;
	*start = p->floor;
	*end = p->next;
	if (!c->end) {
		// A label reaches to its end or the next symbol, in its own section; not where it
		// lies inside a sized symbol that has ended since.
		const struct code *code = file_code(f, p->address);
		c = &p->label;
		if (c->end <= p->address)
			raise(start, c->end);
		if (c->end <= p->address || p->last > c->start || p->floor > c->start || !code ||
		    c->start < code->start)
			c = NULL;
	}
	if (c) {
		raise(start, c->start);
		if (*end > c->end)
			*end = c->end;
	}
	file_clip(f, p->address, start, end);
	return c;
}
