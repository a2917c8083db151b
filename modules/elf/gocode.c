// SPDX-License-Identifier: Apache-2.0
// A stripped Go program still has its table of functions. Some functions of the runtime load one
// variable and no other; its address is that of the instruction's end and a distance:
//
//   names -> offsets of the wanted names -> records that have them -> code -> REX.W 8b /r, mod 0
//   r/m 5
//
// Layout of the table as in pclntab.c; the encoding is that of mov r64, [rip + disp32] in the
// x86-64 manual. What loads several variables tells none.
#include "find.h"
#include "gofind.h"

#include "../base/base.h"

#include <elf.h>
#include <errno.h>
#include <string.h>

#define CODE_MAX 8192u	      // bytes of a function
#define DATA_MAX (1ull << 32) // behind the start of a segment of variables

enum stage { TABLE, NAMES, FUNCTIONS, DONE };

struct gocode {
	const struct elf_file *file;
	struct elf_variable *wanted;
	uint32_t count;
	enum stage stage;
	struct gofind *find;
	struct pclntab table;
	uint64_t names[FIND_MAX][2]; // offsets behind table.names, 0: not found
	uint8_t from[FIND_MAX];	     // 1 + which of the functions told the address
	uint64_t at;		     // bytes done of the names
	uint32_t next;		     // function
	uint64_t address[PCLNTAB_ENTRIES + 1], record[PCLNTAB_ENTRIES + 1];
	_Alignas(8) char chunk[FIND_CHUNK];
};

struct gocode *gocode_new(const struct elf_file *file, struct elf_variable *wanted, uint32_t count)
{
	struct gocode *c = mem_alloc(ACCOUNT_ELF, sizeof(*c));
	if (!c)
		return NULL;
	*c = (struct gocode){.file = file, .wanted = wanted, .count = count};
	c->find = gofind_new(file);
	if (c->find)
		return c;
	mem_free(c);
	return errno = ENOMEM, NULL;
}

void gocode_free(struct gocode *c)
{
	if (!c)
		return;
	gofind_free(c->find);
	mem_free(c);
}

uint32_t gocode_minor(const struct gocode *c)
{
	static const uint8_t minors[] = {
	    [PCLNTAB_12] = 2, [PCLNTAB_116] = 16, [PCLNTAB_118] = 18, [PCLNTAB_120] = 20};
	return c->stage == TABLE ? 0 : minors[c->table.version];
}

int64_t find_name(const char *s, size_t n, const char *name)
{
	char between[FIND_NAME_MAX + 2] = "";
	size_t size = strlen(name) + 2;
	memcpy(between + 1, name, size - 1);
	const char *found = memmem(s, n, between, size);
	return found ? found - s + 1 : -1;
}

static int find_table(struct gocode *c, uint64_t deadline)
{
	int more = gofind_step(c->find, &c->table, deadline);
	if (!more)
		c->stage = NAMES;
	return more ? more : 1;
}

static int find_names(struct gocode *c)
{
	const struct pclntab *t = &c->table;
	uint64_t left = t->size - t->names - c->at;
	size_t n = left < FIND_CHUNK ? left : FIND_CHUNK;
	int err = view_read(t->view, t->offset + t->names + c->at, c->chunk, n);
	if (err)
		return err;
	for (uint32_t i = 0; i < c->count; i++)
		for (int k = 0; k < 2; k++) {
			const char *name = c->wanted[i].in[k];
			int64_t found = name && !c->names[i][k] ? find_name(c->chunk, n, name) : -1;
			if (found >= 0)
				c->names[i][k] = c->at + (uint64_t)found;
		}
	c->at += n - (FIND_NAME_MAX + 2);
	if (n == left || n <= FIND_NAME_MAX + 2)
		c->stage = FUNCTIONS;
	return 1;
}

static bool is_variable(const struct elf_file *f, uint64_t address)
{
	for (uint32_t i = 0; i < f->segment_count; i++) {
		const struct segment *s = &f->segments[i];
		if (s->flags & PF_W && address >= s->vaddr && address - s->vaddr < DATA_MAX)
			return true;
	}
	return false;
}

// The one variable that the code loads, 0: none or several.
static uint64_t loaded_by(const struct elf_file *f, uint64_t start, const uint8_t *code, size_t n)
{
	uint64_t one = 0;
	for (size_t i = 0; i + 7 <= n; i++) {
		int32_t distance;
		if ((code[i] & 0xfb) != 0x48 || code[i + 1] != 0x8b || (code[i + 2] & 0xc7) != 5)
			continue;
		memcpy(&distance, code + i + 3, sizeof(distance));
		uint64_t address = start + i + 7 + (uint64_t)(int64_t)distance;
		if (!is_variable(f, address) || address % 8)
			continue;
		if (one && one != address)
			return 0;
		one = address;
	}
	return one;
}

// The bytes at link-time address START, that many as there are, at most N.
static size_t read_code(const struct elf_file *f, uint64_t start, uint8_t *code, size_t n)
{
	for (uint32_t i = 0; i < f->segment_count; i++) {
		const struct segment *s = &f->segments[i];
		if (!(s->flags & PF_X) || start < s->vaddr || start - s->vaddr >= s->size)
			continue;
		uint64_t at = start - s->vaddr, left = s->size - at;
		int64_t got = view_some(&f->view, s->offset + at, code, n < left ? n : left);
		return got > 0 ? (size_t)got : 0;
	}
	return 0;
}

static void look_at(struct gocode *c, uint32_t name, uint64_t start, uint64_t end)
{
	uint8_t code[CODE_MAX];
	for (uint32_t i = 0; i < c->count; i++)
		for (uint8_t k = 0; k < 2; k++) {
			if (!c->names[i][k] || c->names[i][k] != name || end - start > CODE_MAX ||
			    (c->from[i] && c->from[i] <= k + 1))
				continue;
			size_t n = read_code(c->file, start, code, end - start);
			uint64_t address = loaded_by(c->file, start, code, n);
			if (!address)
				continue;
			c->wanted[i].address = address;
			c->from[i] = k + 1;
		}
}

static int find_functions(struct gocode *c)
{
	const struct pclntab *t = &c->table;
	uint32_t left = t->count - c->next, n = left < PCLNTAB_ENTRIES ? left : PCLNTAB_ENTRIES;
	size_t field = t->version >= PCLNTAB_118 ? 4 : 8; // the name stands behind the entry
	if (!n) {
		c->stage = DONE;
		return 0;
	}
	int err = pclntab_entries(t, c->next, n + 1, c->address, c->record);
	for (uint32_t i = 0; !err && i < n; i++) {
		uint32_t name;
		uint64_t at = t->functions + c->record[i] + field;
		if (c->record[i] > t->size || at > t->size - sizeof(name))
			return -EBADMSG;
		// Records follow one another: those that come next are read along.
		uint64_t have = c->at;
		if (!have || at < have || at + sizeof(name) > have + FIND_CHUNK) {
			int64_t got = view_some(t->view, t->offset + at, c->chunk, FIND_CHUNK);
			if (got < (int64_t)sizeof(name))
				return got < 0 ? (int)got : -EBADMSG;
			memset(c->chunk + got, 0, FIND_CHUNK - (size_t)got);
			have = c->at = at;
		}
		memcpy(&name, c->chunk + (at - have), sizeof(name));
		if (c->address[i] < c->address[i + 1] && c->address[i] >= t->start &&
		    c->address[i + 1] <= t->end)
			look_at(c, name, c->address[i], c->address[i + 1]);
	}
	c->next += n;
	return err ? err : 1;
}

int gocode_step(struct gocode *c, uint64_t deadline)
{
	int more;
	do {
		switch (c->stage) {
		case TABLE:
			more = find_table(c, deadline);
			break;
		case NAMES:
			more = find_names(c);
			if (c->stage == FUNCTIONS)
				c->at = 0;
			break;
		case FUNCTIONS:
			more = find_functions(c);
			break;
		default:
			return 0;
		}
	} while (more > 0 && clock_now() < deadline);
	return more;
}
