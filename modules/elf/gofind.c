// SPDX-License-Identifier: Apache-2.0
// The table's section is .gopclntab, or .data.rel.ro.gopclntab in position independent programs up
// to Go 1.25; where an outside linker merged it, or where there are no sections, only its bytes
// tell. Since 1.18 entries are relative to the text's start, which the header has (with a
// relocation in position independent programs) until 1.25, and only the module's own record, the
// moduledata, since.
#include "gofind.h"

#include "../base/base.h"

#include <elf.h>
#include <errno.h>
#include <string.h>

#define CHUNK (64u << 10)
#define SCAN_MAX (128ull << 20) // bytes of a file scanned in one search
#define TRIES_MAX 64		// places that looked like a table and were not

// Words of the moduledata (runtime/symtab.go): 0 pcHeader, 1 the names, 22 the text's start.
enum { MODULE_TABLE = 0, MODULE_NAMES = 1, MODULE_TEXT = 22, MODULE_WORDS = 23 };

enum stage { SECTION, SCAN_TABLE, TEXT, SCAN_RELA, SCAN_MODULE };

struct gofind {
	const struct elf_file *file;
	struct pclntab table;
	enum stage stage;
	unsigned region; // of a scan: see region()
	uint64_t at;	 // bytes done of the region, or of the relocations
	uint64_t scanned;
	unsigned tries;
	_Alignas(8) uint8_t chunk[CHUNK];
};

struct gofind *gofind_new(const struct elf_file *f)
{
	struct gofind *g = mem_alloc(ACCOUNT_ELF, sizeof(*g));
	if (g)
		g->file = f;
	return g;
}

void gofind_free(struct gofind *g)
{
	mem_free(g);
}

// What is scanned, in order: the section where an outside linker puts the table, then the segments
// of data, then those of code (linkers told so put read-only data there).
static bool region(const struct elf_file *f, unsigned i, struct segment *r)
{
	if (i == 0) {
		*r = (struct segment){f->relro.offset, f->relro.size, f->relro.vaddr, 0};
		return true;
	}
	unsigned segment = (i - 1) % FILE_SEGMENTS_MAX;
	if (i > 2 * FILE_SEGMENTS_MAX)
		return false;
	*r = (struct segment){};
	bool code = i > FILE_SEGMENTS_MAX;
	if (segment < f->segment_count && !!(f->segments[segment].flags & PF_X) == code)
		*r = f->segments[segment];
	return true;
}

// Reads the next chunk of the regions. Returns its bytes, 0 at the end, -errno. Chunks overlap by
// OVERLAP bytes, so that what is looked for is never cut.
static int64_t next_chunk(struct gofind *g, size_t overlap, struct segment *r)
{
	while (g->scanned < SCAN_MAX && region(g->file, g->region, r)) {
		if (g->at + overlap >= r->size) {
			g->region++;
			g->at = 0;
			continue;
		}
		size_t n = r->size - g->at < CHUNK ? r->size - g->at : CHUNK;
		int err = view_read(&g->file->view, r->offset + g->at, g->chunk, n);
		if (err)
			return err;
		g->scanned += n;
		return (int64_t)n;
	}
	return 0;
}

static int try_table(struct gofind *g, const struct segment *r, uint64_t at)
{
	int err =
	    pclntab_open(&g->table, &g->file->view, r->offset + at, r->size - at, r->vaddr + at);
	if (!err && !pclntab_needs_text(&g->table))
		err = pclntab_check(&g->table, g->file);
	return err;
}

static bool looks_like_table(const uint8_t *p)
{
	return p[1] == 0xff && p[2] == 0xff && p[3] == 0xff && !p[4] && !p[5] && p[7] == 8 &&
	       (p[0] == 0xfb || p[0] == 0xfa || p[0] == 0xf0 || p[0] == 0xf1);
}

// One chunk: 1 more to scan, 0 found, -ENOENT or -errno.
static int scan_table(struct gofind *g)
{
	struct segment r;
	int64_t n = next_chunk(g, 7, &r);
	if (n <= 0)
		return n < 0 ? (int)n : -ENOENT;
	// Aligned in memory, so by the address and not by the offset.
	size_t i = (8 - (r.vaddr + g->at) % 8) % 8;
	for (; i + 8 <= (size_t)n; i += 8) {
		if (!looks_like_table(g->chunk + i))
			continue;
		if (!try_table(g, &r, g->at + i))
			return 0;
		if (++g->tries >= TRIES_MAX)
			return -ENOENT;
		g->at += i + 8; // on behind it, in a next turn
		return 1;
	}
	g->at += (size_t)n == CHUNK ? (uint64_t)CHUNK - 8 : (uint64_t)n;
	return 1;
}

static bool accept_text(struct gofind *g, uint64_t text)
{
	g->table.text = text;
	if (text && !pclntab_check(&g->table, g->file))
		return true;
	g->table.text = 0;
	return false;
}

// The moduledata has had a section of its own since 1.26. Its words may be 0 in the file, where the
// linker left them to relocations.
static bool text_from_module(struct gofind *g)
{
	uint64_t words[MODULE_WORDS];
	const struct section *s = &g->file->go_module;
	if (s->size < sizeof(words) || view_read(&g->file->view, s->offset, words, sizeof(words)))
		return false;
	return words[MODULE_TABLE] == g->table.vaddr && accept_text(g, words[MODULE_TEXT]);
}

static int scan_rela(struct gofind *g)
{
	const struct section *s = &g->file->rela;
	if (g->at >= s->size || g->scanned >= SCAN_MAX)
		return -ENOENT;
	size_t n = CHUNK / sizeof(Elf64_Rela) * sizeof(Elf64_Rela);
	if (n > s->size - g->at)
		n = s->size - g->at;
	int err = view_read(&g->file->view, s->offset + g->at, g->chunk, n);
	if (err)
		return err;
	g->at += n;
	g->scanned += n;
	uint64_t header = g->table.vaddr + 24; // textStart
	uint64_t module = g->file->go_module.vaddr + MODULE_TEXT * sizeof(uint64_t);
	for (size_t i = 0; i + sizeof(Elf64_Rela) <= n; i += sizeof(Elf64_Rela)) {
		Elf64_Rela rela;
		memcpy(&rela, g->chunk + i, sizeof(rela));
		if ((rela.r_offset == header ||
			(g->file->go_module.size && rela.r_offset == module)) &&
		    accept_text(g, (uint64_t)rela.r_addend))
			return 0;
	}
	return 1;
}

static int scan_module(struct gofind *g)
{
	struct segment r;
	int64_t n = next_chunk(g, MODULE_WORDS * sizeof(uint64_t) - 1, &r);
	if (n <= 0)
		return n < 0 ? (int)n : -ENOENT;
	size_t i = (8 - (r.vaddr + g->at) % 8) % 8, need = MODULE_WORDS * sizeof(uint64_t);
	for (; i + need <= (size_t)n; i += 8) {
		uint64_t words[MODULE_WORDS];
		memcpy(words, g->chunk + i, 2 * sizeof(*words));
		if (words[MODULE_TABLE] != g->table.vaddr ||
		    words[MODULE_NAMES] != g->table.vaddr + g->table.names)
			continue;
		memcpy(words, g->chunk + i, need);
		if (accept_text(g, words[MODULE_TEXT]))
			return 0;
		if (++g->tries >= TRIES_MAX)
			return -ENOENT;
	}
	g->at += (size_t)n == CHUNK ? (uint64_t)CHUNK - need : (uint64_t)n;
	return 1;
}

static void enter(struct gofind *g, enum stage stage)
{
	g->stage = stage;
	g->region = 0;
	g->at = g->scanned = 0;
	g->tries = 0;
}

// One piece of work: 1 more, 0 found, -ENOENT or -errno.
static int advance(struct gofind *g)
{
	const struct section *s = &g->file->pclntab;
	const struct segment whole = {s->offset, s->size, s->vaddr, 0};
	int r;
	switch (g->stage) {
	case SECTION:
		if (s->size) {
			r = try_table(g, &whole, 0);
			if (r)
				return r == -EBADMSG ? -ENOENT : r;
			enter(g, TEXT);
			return 1;
		}
		// Nothing of Go's in a file with sections: no need to look further.
		if (g->file->has_sections && !g->file->go)
			return -ENOENT;
		enter(g, SCAN_TABLE);
		return 1;
	case SCAN_TABLE:
		r = scan_table(g);
		if (!r)
			enter(g, TEXT);
		return r ? r : 1;
	case TEXT:
		if (!pclntab_needs_text(&g->table) || text_from_module(g))
			return 0;
		enter(g, SCAN_RELA);
		return 1;
	case SCAN_RELA:
		r = scan_rela(g);
		if (r != -ENOENT)
			return r;
		enter(g, SCAN_MODULE);
		return 1;
	case SCAN_MODULE:
		return scan_module(g);
	}
	return -ENOENT;
}

int gofind_step(struct gofind *g, struct pclntab *table, uint64_t deadline)
{
	for (;;) {
		int r = advance(g);
		if (r != 1) {
			*table = g->table;
			return r;
		}
		if (clock_now() >= deadline)
			return 1;
	}
}
