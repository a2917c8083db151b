// SPDX-License-Identifier: Apache-2.0
// A lookup is a list of stages, worked off in slices. Addresses that Go's table answers leave the
// list at once; the others collect what the symbol tables say, and are answered when all were read.
//
//   open -> go: find, names -> .symtab | debug file | .gnu_debugdata + .dynsym -> answer
//
// A table that held functions ends the search: .symtab is a superset of the sources after it.
#include "elf.h"
#include "debugdata.h"
#include "debuglink.h"
#include "gofind.h"
#include "symtab.h"

#include "../base/base.h"

#include <errno.h>
#include <string.h>

#define MEMORY_MAX (64u << 10)

struct elf_lookup {
	struct view view;
	struct elf_lookup_options options;
	void (*found)(void *arg, uint32_t index, const struct elf_symbol *symbol);
	void *arg;
	int fd;
	int missing; // -errno of a source that could not be read: no gap is proven then
	unsigned stage;
	bool have;			   // a source held functions
	struct elf_file file, debug, mini; // the file, its debug file, its unpacked .gnu_debugdata
	struct view debug_view, mini_view;
	struct gofind *gofind;
	struct pclntab go;
	bool has_go;
	struct debugdata *debugdata;
	struct symtab_pass *pass;
	struct strings strings[STRINGS_MAX];
	bool checking, by_crc; // of the debug file
	uint32_t crc, crc_wanted;
	uint64_t crc_at;
	uint64_t label, label_end;  // the last label looked at, 0: none yet
	uint32_t count, next, kept; // places; those done and kept of a stage that walks them
	uint64_t name_at;	    // what `name` holds, for neighbours with the same symbol
	bool name_known;
	uint8_t name_table;
	char name[ELF_NAME_MAX + 1];
	struct place places[];
};

static struct elf_lookup *lookup_new(const uint64_t *addresses, uint32_t count,
    void (*found)(void *arg, uint32_t index, const struct elf_symbol *symbol), void *arg)
{
	for (uint32_t i = 1; i < count; i++)
		if (addresses[i] < addresses[i - 1])
			return errno = EINVAL, NULL;
	struct elf_lookup *l = mem_alloc(ACCOUNT_ELF, sizeof(*l) + count * sizeof(*l->places));
	if (!l)
		return NULL;
	for (uint32_t i = 0; i < count; i++) {
		l->places[i].address = addresses[i];
		l->places[i].index = i;
	}
	places_reset(l->places, count);
	l->count = count;
	l->found = found;
	l->arg = arg;
	l->fd = -1;
	l->options.debug_fd = -1;
	return l;
}

struct elf_lookup *elf_lookup_new(int fd, const uint64_t *addresses, uint32_t count,
    const struct elf_lookup_options *options,
    void (*found)(void *arg, uint32_t index, const struct elf_symbol *symbol), void *arg)
{
	struct elf_lookup *l = lookup_new(addresses, count, found, arg);
	if (!l)
		return NULL;
	l->fd = fd;
	l->options = *options;
	return l;
}

void elf_lookup_free(struct elf_lookup *l)
{
	if (!l)
		return;
	symtab_pass_free(l->pass);
	gofind_free(l->gofind);
	file_close(&l->mini);
	debugdata_free(l->debugdata);
	file_close(&l->debug);
	file_close(&l->file);
	mem_free(l);
}

// A source that cannot be read for now (memory, I/O) may have held the name: no gap is proven. One
// that is not what it claims never will: it is as if it were not there.
static int without(struct elf_lookup *l, int err)
{
	if (err == -EBADMSG || err == -ENOTSUP)
		count_add(COUNT_ELF_BAD, 1);
	else
		l->missing = err;
	return 0;
}

static int open_file(struct elf_lookup *l, uint64_t deadline)
{
	(void)deadline;
	int err = l->view.image ? 0 : view_file(&l->view, l->fd);
	return err ? err : file_open(&l->file, &l->view);
}

static int find_go(struct elf_lookup *l, uint64_t deadline)
{
	if (!l->options.go)
		return 0;
	if (!l->gofind)
		l->gofind = gofind_new(&l->file);
	int r = l->gofind ? gofind_step(l->gofind, &l->go, deadline) : -ENOMEM;
	if (r == 1)
		return 1;
	l->has_go = !r;
	gofind_free(l->gofind);
	l->gofind = NULL;
	return r && r != -ENOENT ? without(l, r) : 0;
}

static int name_go(struct elf_lookup *l, uint64_t deadline)
{
	while (l->has_go && l->next < l->count) {
		struct elf_symbol s = {.name = l->name};
		const struct place *p = &l->places[l->next++];
		int err =
		    pclntab_find(&l->go, p->address, &s.start, &s.end, l->name, sizeof(l->name));
		if (!err)
			l->found(l->arg, p->index, &s);
		else
			l->places[l->kept++] = *p;
		if (err && err != -ENOENT && err != -EBADMSG)
			l->missing = err;
		if (clock_now() >= deadline)
			return 1;
	}
	if (l->has_go)
		l->count = l->kept;
	return 0;
}

// A pass over one symbol table of F, whose names are l->strings[TABLE].
static int read_table(
    struct elf_lookup *l, const struct elf_file *f, bool dynamic, uint8_t table, uint64_t deadline)
{
	const struct section *symbols = dynamic ? &f->dynsym : &f->symtab;
	const struct section *names = dynamic ? &f->dynsym_names : &f->symtab_names;
	if (!symbols->size || !l->count)
		return 0;
	if (!l->pass) {
		l->strings[table] = (struct strings){.view = &f->view,
		    .offset = names->offset,
		    .limit = names->offset + names->size};
		l->pass = symtab_pass_new(&(struct symtab_options){.file = f,
		    .symbols = symbols,
		    .dynamic = dynamic,
		    .places = l->places,
		    .count = l->count,
		    .strings = l->strings,
		    .table = table});
	}
	int r = l->pass ? symtab_pass_step(l->pass, deadline) : -errno;
	if (r == 1)
		return 1;
	bool seen = l->pass && symtab_pass_seen(l->pass);
	symtab_pass_free(l->pass);
	l->pass = NULL;
	l->have |= !r && seen;
	if (!r && !seen && !dynamic)
		places_reset(l->places, l->count); // stray labels: the next source takes the place
	return r;
}

// As read_table, for tables that stand in for a missing .symtab: trouble with them leaves the
// others.
static int read_other_table(
    struct elf_lookup *l, const struct elf_file *f, bool dynamic, uint8_t table, uint64_t deadline)
{
	int r = read_table(l, f, dynamic, table, deadline);
	if (r >= 0)
		return r;
	places_reset(l->places, l->count); // half a table proves nothing
	return without(l, r);
}

static int read_symtab(struct elf_lookup *l, uint64_t deadline)
{
	return read_table(l, &l->file, false, 0, deadline);
}

static int check_debug(struct elf_lookup *l, uint64_t deadline)
{
	int r = 0;
	if (l->have || !l->count || !l->options.separate || l->options.debug_fd < 0)
		return 0;
	if (!l->checking) {
		if (!debuglink_fits(l->fd, l->options.debug_fd, &l->by_crc, &l->crc_wanted) ||
		    (r = view_file(&l->debug_view, l->options.debug_fd)))
			return r ? without(l, r) : 0;
		l->checking = true;
	}
	if (l->by_crc)
		r = debuglink_crc(&l->debug_view, &l->crc_at, &l->crc, deadline);
	if (r == 1)
		return 1;
	if (!r && l->by_crc && l->crc != l->crc_wanted)
		return 0;
	if (!r)
		r = file_open(&l->debug, &l->debug_view);
	return r ? without(l, r) : 0;
}

static int read_debug(struct elf_lookup *l, uint64_t deadline)
{
	return l->have ? 0 : read_other_table(l, &l->debug, false, 0, deadline);
}

static int unpack_mini(struct elf_lookup *l, uint64_t deadline)
{
	if (l->have || !l->count || !l->file.debugdata.size)
		return 0;
	if (!l->debugdata)
		l->debugdata = debugdata_new(&l->file.view, &l->file.debugdata);
	int r = l->debugdata ? debugdata_step(l->debugdata, deadline) : -errno;
	if (r == 1)
		return 1;
	if (!r) {
		debugdata_image(l->debugdata, &l->mini_view);
		r = file_open(&l->mini, &l->mini_view);
	}
	return r ? without(l, r) : 0;
}

static int read_mini(struct elf_lookup *l, uint64_t deadline)
{
	return read_other_table(l, &l->mini, false, 0, deadline);
}

// .gnu_debugdata leaves out what .dynsym has: the two are one table.
static int read_dynsym(struct elf_lookup *l, uint64_t deadline)
{
	if (l->have && !l->mini.symtab.size)
		return 0;
	return read_other_table(l, &l->file, true, 1, deadline);
}

static int settle(struct elf_lookup *l, uint64_t deadline)
{
	(void)deadline;
	places_settle(l->places, l->count);
	l->next = 0;
	return 0;
}

// Code of Go's lies in no symbol table of a stripped file: a gap there ends where Go begins.
static void clip_to_go(const struct elf_lookup *l, uint64_t address, struct elf_symbol *s)
{
	if (!l->has_go)
		return;
	if (address < l->go.start && s->end > l->go.start)
		s->end = l->go.start;
	if (address >= l->go.end && s->start < l->go.end)
		s->start = l->go.end;
}

static int read_name(struct elf_lookup *l, const struct symbol_candidate *c)
{
	if (l->name_known && l->name_at == c->name && l->name_table == c->table)
		return 0;
	l->name_known = false;
	int len = symbol_name(l->strings, c, l->name, sizeof(l->name));
	if (len <= 0)
		return len < 0 ? len : -EBADMSG;
	l->name_known = true;
	l->name_at = c->name;
	l->name_table = c->table;
	return 0;
}

// Neighbours have one label: its end is looked up once.
static void end_label(struct elf_lookup *l, struct place *p)
{
	if (p->sized.end || p->label.end != LABEL_OPEN)
		return;
	if (!l->label_end || l->label != p->label.start) {
		l->label = p->label.start;
		l->label_end = label_end(&l->file, l->label);
	}
	p->label.end = l->label_end;
}

static void answer_one(struct elf_lookup *l, struct place *p)
{
	struct elf_symbol s = {};
	end_label(l, p);
	const struct symbol_candidate *c = place_decide(p, &l->file, &s.start, &s.end);
	int err = c ? read_name(l, c) : l->missing;
	clip_to_go(l, p->address, &s);
	if (err) {
		l->missing = err;
		return;
	}
	const struct code *code = file_code(&l->file, p->address);
	if (c)
		s.name = l->name;
	else if (code && code->plt)
		s.name = "[plt]";
	l->found(l->arg, p->index, &s);
}

static int answer(struct elf_lookup *l, uint64_t deadline)
{
	while (l->next < l->count) {
		answer_one(l, &l->places[l->next++]);
		if (clock_now() >= deadline)
			return 1;
	}
	return l->missing;
}

// Each returns 1 (more to do), 0 (on to the next) or -errno (the lookup ends).
static int (*const stages[])(struct elf_lookup *l, uint64_t deadline) = {
    open_file,
    find_go,
    name_go,
    read_symtab,
    check_debug,
    read_debug,
    unpack_mini,
    read_mini,
    read_dynsym,
    settle,
    answer,
};
#define STAGES (sizeof(stages) / sizeof(*stages))

int elf_lookup_step(struct elf_lookup *l, uint64_t budget_ns)
{
	uint64_t now = clock_now();
	uint64_t deadline = budget_ns < UINT64_MAX - now ? now + budget_ns : UINT64_MAX;
	while (l->stage < STAGES) {
		int r = stages[l->stage](l, deadline);
		if (r == 1)
			return 1;
		if (r < 0) {
			l->stage = STAGES;
			l->missing = r;
			if (r == -EBADMSG || r == -ENOTSUP)
				count_add(COUNT_ELF_BAD, 1);
			return r;
		}
		if (++l->stage < STAGES && clock_now() >= deadline)
			return 1;
	}
	return l->missing;
}

int elf_lookup_memory(const void *image, size_t size, const uint64_t *addresses, uint32_t count,
    void (*found)(void *arg, uint32_t index, const struct elf_symbol *symbol), void *arg)
{
	if (size > MEMORY_MAX)
		return -EBADMSG;
	struct elf_lookup *l = lookup_new(addresses, count, found, arg);
	if (!l)
		return -errno;
	view_memory(&l->view, image, size);
	int r = elf_lookup_step(l, UINT64_MAX);
	elf_lookup_free(l);
	return r;
}
