// SPDX-License-Identifier: Apache-2.0
// Variables by their names: where the names lie in the table of strings, and then which symbols
// have them. Both tables are read once, from one end to the other, and nothing is kept of them.
// What they do not tell, code may.
#include "find.h"

#include "../base/base.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

enum stage { STRINGS, SYMBOLS, CODE };

struct elf_find {
	int fd; // our own
	struct elf_file file;
	struct elf_variable *wanted;
	uint32_t count;
	enum stage stage;
	uint64_t names[FIND_MAX]; // offsets of the names in the table of strings, 0: not found
	uint64_t at;		  // bytes done of the table
	struct gocode *code;
	_Alignas(8) char chunk[FIND_CHUNK];
};

static bool is_sound(const char *name)
{
	return !name || strlen(name) < FIND_NAME_MAX;
}

struct elf_find *elf_find_new(int fd, struct elf_variable *wanted, uint32_t count)
{
	struct view view;
	int err = -EINVAL;
	struct elf_find *f = NULL;
	for (uint32_t i = 0; i < count; i++) {
		wanted[i].address = 0;
		if (i >= FIND_MAX || !is_sound(wanted[i].name) || !is_sound(wanted[i].in[0]) ||
		    !is_sound(wanted[i].in[1]))
			goto fail;
	}
	err = -ENOMEM;
	f = mem_alloc(ACCOUNT_ELF, sizeof(*f));
	if (!f)
		goto fail;
	f->wanted = wanted;
	f->count = count;
	f->fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	err = f->fd < 0 ? -errno : view_file(&view, f->fd);
	if (!err)
		err = file_open(&f->file, &view);
	if (!err)
		return f;
fail:
	if (err == -EBADMSG)
		count_add(COUNT_ELF_BAD, 1);
	elf_find_free(f);
	return errno = -err, NULL;
}

void elf_find_free(struct elf_find *f)
{
	if (!f)
		return;
	gocode_free(f->code);
	file_close(&f->file);
	if (f->fd >= 0)
		close(f->fd);
	mem_free(f);
}

uint32_t elf_find_minor(const struct elf_find *f)
{
	return f->code ? gocode_minor(f->code) : 0;
}

static void look_at_symbol(struct elf_find *f, const Elf64_Sym *symbol)
{
	for (uint32_t i = 0; i < f->count; i++)
		if (symbol->st_name == f->names[i] && f->names[i] && symbol->st_shndx &&
		    ELF64_ST_TYPE(symbol->st_info) == STT_OBJECT)
			f->wanted[i].address = symbol->st_value;
}

static void look_at_strings(struct elf_find *f, size_t n)
{
	for (uint32_t i = 0; i < f->count; i++) {
		int64_t found = f->names[i] ? -1 : find_name(f->chunk, n, f->wanted[i].name);
		if (found >= 0)
			f->names[i] = f->at + (uint64_t)found;
	}
}

// A piece of a table: 1 more, 0 it was the last, -errno.
static int read_piece(struct elf_find *f)
{
	bool symbols = f->stage == SYMBOLS;
	const struct section *s = symbols ? &f->file.symtab : &f->file.symtab_names;
	size_t item = symbols ? sizeof(Elf64_Sym) : 1, overlap = symbols ? 0 : FIND_NAME_MAX + 2;
	uint64_t left = s->size - f->at;
	size_t n = left < FIND_CHUNK ? left : FIND_CHUNK;
	n -= n % item;
	if (!n)
		return 0;
	int err = view_read(&f->file.view, s->offset + f->at, f->chunk, n);
	if (err)
		return err;
	if (!symbols)
		look_at_strings(f, n);
	for (size_t i = 0; symbols && i < n; i += item) {
		Elf64_Sym symbol;
		memcpy(&symbol, f->chunk + i, sizeof(symbol));
		look_at_symbol(f, &symbol);
	}
	if (n == left)
		return 0;
	f->at += n - overlap;
	return 1;
}

static int read_code(struct elf_find *f, uint64_t deadline)
{
	if (!f->code)
		f->code = gocode_new(&f->file, f->wanted, f->count);
	return f->code ? gocode_step(f->code, deadline) : -errno;
}

static int read_tables(struct elf_find *f)
{
	int more = f->file.symtab.size && f->file.symtab_names.size ? read_piece(f) : 0;
	if (more)
		return more;
	if (f->stage == SYMBOLS)
		for (uint32_t i = 0; i < f->count; i++)
			if (f->wanted[i].address)
				return 0;
	f->stage++;
	f->at = 0;
	return 1;
}

int elf_find_step(struct elf_find *f, uint64_t budget_ns)
{
	uint64_t end = clock_now() + budget_ns;
	int more;
	do {
		more = f->stage == CODE ? read_code(f, end) : read_tables(f);
	} while (more > 0 && clock_now() < end);
	return more;
}
