// SPDX-License-Identifier: Apache-2.0
// Go's pclntab as a stream of functions and of depths of the stack in them.
//
//   functab: {entry, record} ...           read in pieces of PCLNTAB_ENTRIES
//   record:  entry | name | ... | pcsp | ... | id flags
//   pctab:   ... | value up, code on | value up, code on | ... | 0 | ...     from record.pcsp on
//
// Layouts: Go's runtime/symtab.go and runtime/runtime2.go; numbers are varints, the first of each
// pair with its sign in its lowest bit.
#include "elf.h"
#include "gofind.h"

#include "../base/base.h"

#include <errno.h>
#include <string.h>

#define PIECE 4096u	       // of the table, read at once
#define DEPTHS_MAX (16u << 10) // of one function; the most that was seen are 793
#define NAME_SIZE 64	       // of a function; longer ones are cut

// What was read last of a part of the table.
struct piece {
	uint64_t at; // in the table
	uint32_t have;
	uint8_t bytes[PIECE];
};

struct elf_go {
	struct elf_file file;
	struct gofind *find; // NULL: it is over
	struct pclntab table;
	uint32_t next; // function, behind that which ends at `end`
	uint32_t first, count;
	uint64_t address[PCLNTAB_ENTRIES + 1], record[PCLNTAB_ENTRIES + 1]; // from `first` on
	struct piece records, names, values;
	uint64_t at, end;  // code of the function at hand of which the depth was not yet told
	uint64_t value_at; // in the table; 0: there are no depths (any more)
	uint32_t depth, told;
	char name[NAME_SIZE];
};

struct elf_go *elf_go_new(int fd)
{
	struct view view;
	int err = -ENOMEM;
	struct elf_go *g = mem_alloc(ACCOUNT_ELF, sizeof(*g));
	if (!g)
		goto fail;
	err = view_file(&view, fd);
	if (!err)
		err = file_open(&g->file, &view);
	if (err)
		goto fail;
	g->find = gofind_new(&g->file);
	if (g->find)
		return g;
	err = -ENOMEM;
fail:
	if (err == -EBADMSG)
		count_add(COUNT_ELF_BAD, 1);
	elf_go_free(g);
	return errno = -err, NULL;
}

void elf_go_free(struct elf_go *g)
{
	if (!g)
		return;
	gofind_free(g->find);
	file_close(&g->file);
	mem_free(g);
}

int elf_go_find(struct elf_go *g, uint64_t budget_ns, uint64_t *start, uint64_t *end)
{
	int r = g->table.count ? 0 : -ENOENT;
	if (g->find) {
		r = gofind_step(g->find, &g->table, clock_now() + budget_ns);
		if (r == 1)
			return 1;
		gofind_free(g->find);
		g->find = NULL;
		if (r)
			g->table = (struct pclntab){};
	}
	*start = g->table.start;
	*end = g->table.end;
	return r;
}

// N bytes (at most PIECE) at OFFSET of the table, or NULL.
static const uint8_t *get(struct elf_go *g, struct piece *p, uint64_t offset, uint32_t n, int *err)
{
	const struct pclntab *t = &g->table;
	if (offset >= p->at && offset - p->at <= p->have && n <= p->have - (offset - p->at))
		return p->bytes + (offset - p->at);
	*err = -EBADMSG;
	if (offset > t->size || n > t->size - offset)
		return NULL;
	uint64_t left = t->size - offset;
	uint32_t want = left < PIECE ? (uint32_t)left : PIECE;
	p->have = 0;
	*err = view_read(t->view, t->offset + offset, p->bytes, want);
	if (*err)
		return NULL;
	p->at = offset;
	p->have = want;
	return p->bytes;
}

// Entries from FIRST on; the one behind them says where the last of them ends.
static int load_entries(struct elf_go *g, uint32_t first)
{
	uint32_t left = g->table.count - first;
	uint32_t n = left < PCLNTAB_ENTRIES ? left : PCLNTAB_ENTRIES;
	g->count = 0;
	int err = pclntab_entries(&g->table, first, n + 1, g->address, g->record);
	if (err)
		return err;
	g->first = first;
	g->count = n;
	return 0;
}

// The first function that ends behind ADDRESS becomes the next.
static int seek(struct elf_go *g, uint64_t address)
{
	uint32_t low = 0, high = g->table.count;
	uint64_t end, none;
	while (low < high) {
		uint32_t middle = low + (high - low) / 2;
		int err = pclntab_entries(&g->table, middle + 1, 1, &end, &none);
		if (err)
			return err;
		if (end <= address)
			low = middle + 1;
		else
			high = middle;
	}
	g->next = low;
	return 0;
}

// Up to NAME_SIZE - 1 bytes; a name that is not there is empty.
static int read_name(struct elf_go *g, uint32_t offset)
{
	uint64_t at = g->table.names + offset;
	uint32_t n = 0;
	int err = 0;
	for (; n < NAME_SIZE - 1; n++) {
		const uint8_t *c = get(g, &g->names, at + n, 1, &err);
		if (!c)
			return err;
		if (!*c)
			break;
		g->name[n] = (char)*c;
	}
	g->name[n] = 0;
	return 0;
}

// Where a record has what, bytes. In 1.16 the flags are there, and 0.
struct layout {
	uint8_t size, entry, name, pcsp, flags; // flags 0: there are none
};
static const struct layout layouts[] = {
    [PCLNTAB_12] = {.size = 40, .entry = 8, .name = 8, .pcsp = 20},
    [PCLNTAB_116] = {.size = 44, .entry = 8, .name = 8, .pcsp = 20, .flags = 41},
    [PCLNTAB_118] = {.size = 40, .entry = 4, .name = 4, .pcsp = 16, .flags = 37},
    [PCLNTAB_120] = {.size = 44, .entry = 4, .name = 4, .pcsp = 16, .flags = 41},
};
enum { FLAG_TOP = 1, FLAG_SWITCHES = 2, FLAG_ASSEMBLY = 4 };

static int read_record(struct elf_go *g, uint64_t record, struct elf_go_function *f)
{
	const struct pclntab *t = &g->table;
	const struct layout *l = &layouts[t->version];
	uint64_t entry = 0;
	uint32_t name, pcsp;
	int err;
	if (record > t->size)
		return -EBADMSG;
	const uint8_t *at = get(g, &g->records, t->functions + record, l->size, &err);
	if (!at)
		return err;
	memcpy(&entry, at, l->entry);
	memcpy(&name, at + l->name, sizeof(name));
	memcpy(&pcsp, at + l->pcsp, sizeof(pcsp));
	uint8_t flags = l->flags ? at[l->flags] : 0;
	if (entry + (l->entry == 4 ? t->text : 0) != f->start)
		return -EBADMSG;
	f->top = flags & FLAG_TOP;
	f->switches = flags & FLAG_SWITCHES;
	g->value_at = pcsp ? t->pctab + pcsp : 0;
	if (t->version >= PCLNTAB_118 && !(flags & FLAG_ASSEMBLY))
		return 0;
	f->name = g->name;
	return read_name(g, name);
}

int elf_go_function(struct elf_go *g, uint64_t address, struct elf_go_function *f)
{
	int err = 0;
	g->value_at = 0;
	// Mostly they are asked for one after the other.
	if (!g->end || address != g->end)
		err = seek(g, address);
	g->end = 0;
	if (!err && g->next >= g->table.count)
		return 0;
	if (!err && g->next - g->first >= g->count)
		err = load_entries(g, g->next);
	if (err)
		return err;
	uint32_t i = g->next - g->first;
	*f = (struct elf_go_function){.start = g->address[i], .end = g->address[i + 1]};
	// The table's ends were found to be code, and all lies between them as long as it is
	// sorted.
	if (f->start >= f->end || f->start < g->table.start || f->end > g->table.end)
		return -EBADMSG;
	err = read_record(g, g->record[i], f);
	if (err)
		return err;
	g->next++;
	g->at = f->start;
	g->end = f->end;
	g->depth = UINT32_MAX; // values are told as differences, beginning with -1
	g->told = 0;
	return 1;
}

static int read_number(struct elf_go *g, uint32_t *value)
{
	*value = 0;
	for (unsigned shift = 0; shift < 35; shift += 7) {
		int err;
		const uint8_t *byte = get(g, &g->values, g->value_at, 1, &err);
		if (!byte)
			return err;
		g->value_at++;
		*value |= (uint32_t)(*byte & 0x7f) << shift;
		if (*byte < 0x80)
			return 0;
	}
	return -EBADMSG;
}

int elf_go_depth(struct elf_go *g, uint64_t *end, int32_t *depth)
{
	uint32_t change, on;
	if (!g->value_at || g->at >= g->end)
		return 0;
	int err = read_number(g, &change);
	if (!err && !change && g->told) {
		g->value_at = 0;
		return 0;
	}
	if (!err)
		err = read_number(g, &on);
	if (err)
		return err;
	if (!on || ++g->told > DEPTHS_MAX)
		return -EBADMSG;
	g->depth += change & 1 ? ~(change >> 1) : change >> 1;
	uint64_t bytes = (uint64_t)on * g->table.quantum;
	g->at = bytes < g->end - g->at ? g->at + bytes : g->end;
	*end = g->at;
	*depth = (int32_t)g->depth;
	return 1;
}
