// SPDX-License-Identifier: Apache-2.0
// Functions looked for by name: one streaming pass over .dynsym, one over .symtab.
#include "elf.h"
#include "file.h"

#include "../base/base.h"

#include <elf.h>
#include <errno.h>
#include <string.h>

#define CHUNK_SYMBOLS 1024
#define SYMBOLS_BYTES_MAX (256ull << 20)
#define NAME_SIZE 128 // names that are looked for are shorter

struct elf_seek {
	struct view view;
	struct elf_file file;
	struct map names; // hash of a name -> index; equal hashes of two names would be one of ours
	const char *const *wanted;
	void (*found)(void *arg, uint32_t name, uint64_t vaddr, uint64_t offset);
	void *arg;
	uint64_t at, end; // of the table at hand, in the file
	uint64_t functions;
	uint32_t filled, next;
	int table; // 0 .dynsym, 1 .symtab, 2: through
	bool open;
	Elf64_Sym chunk[CHUNK_SYMBOLS];
};

struct elf_seek *elf_seek_new(int fd, const char *const *names,
    void (*found)(void *arg, uint32_t name, uint64_t vaddr, uint64_t offset), void *arg)
{
	struct elf_seek *s = mem_alloc(ACCOUNT_ELF, sizeof(*s));
	if (!s)
		return NULL;
	s->names = MAP(ACCOUNT_ELF);
	s->wanted = names;
	s->found = found;
	s->arg = arg;
	s->table = -1;
	int error = view_file(&s->view, fd);
	for (uint32_t i = 0; !error && names[i]; i++)
		error = map_put(&s->names, hash_bytes(names[i], strlen(names[i]), 0) >> 1, i);
	if (!error) {
		error = file_open(&s->file, &s->view);
		s->open = !error;
	}
	if (!error)
		return s;
	if (error == -EBADMSG)
		count_add(COUNT_ELF_BAD, 1);
	elf_seek_free(s);
	return errno = -error, NULL;
}

void elf_seek_free(struct elf_seek *s)
{
	if (!s)
		return;
	if (s->open)
		file_close(&s->file);
	map_clear(&s->names);
	mem_free(s);
}

uint64_t elf_seek_functions(const struct elf_seek *s)
{
	return s->functions;
}

static void take(struct elf_seek *s, const Elf64_Sym *symbol)
{
	const struct section *names = s->table ? &s->file.symtab_names : &s->file.dynsym_names;
	char name[NAME_SIZE];
	uint64_t index;
	if (ELF64_ST_TYPE(symbol->st_info) != STT_FUNC || symbol->st_shndx == SHN_UNDEF ||
	    symbol->st_shndx >= SHN_LORESERVE || !symbol->st_name)
		return;
	s->functions++;
	int n = view_string(&s->view, names->offset + symbol->st_name, names->offset + names->size,
	    name, sizeof(name));
	if (n <= 0)
		return;
	name[strcspn(name, "@")] = 0;
	if (!map_get(&s->names, hash_bytes(name, strlen(name), 0) >> 1, &index) ||
	    strcmp(s->wanted[index], name))
		return;
	for (uint32_t i = 0; i < s->file.segment_count; i++) {
		const struct segment *p = &s->file.segments[i];
		if (p->flags & PF_X && symbol->st_value >= p->vaddr &&
		    symbol->st_value - p->vaddr < p->size) {
			s->found(s->arg, (uint32_t)index, symbol->st_value,
			    symbol->st_value - p->vaddr + p->offset);
			return;
		}
	}
	s->found(s->arg, (uint32_t)index, symbol->st_value, 0);
}

static int next_table(struct elf_seek *s)
{
	if (++s->table == 2)
		return 0;
	const struct section *t = s->table ? &s->file.symtab : &s->file.dynsym;
	if (t->size > SYMBOLS_BYTES_MAX)
		return -EBADMSG;
	s->at = t->offset;
	s->end = t->offset + t->size / sizeof(Elf64_Sym) * sizeof(Elf64_Sym);
	return 1;
}

int elf_seek_step(struct elf_seek *s, uint64_t budget_ns)
{
	uint64_t deadline = clock_now() + budget_ns;
	while (s->table < 2) {
		if (s->next < s->filled) {
			take(s, &s->chunk[s->next++]);
			if (s->next % 64 == 0 && clock_now() >= deadline)
				return 1;
			continue;
		}
		if (s->at == s->end) {
			int more = next_table(s);
			if (more <= 0)
				return more;
			continue;
		}
		uint64_t n = s->end - s->at < sizeof(s->chunk) ? s->end - s->at : sizeof(s->chunk);
		int error = view_read(&s->view, s->at, s->chunk, n);
		if (error)
			return error;
		s->at += n;
		s->filled = (uint32_t)(n / sizeof(Elf64_Sym));
		s->next = 0;
	}
	return 0;
}
