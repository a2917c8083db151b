// SPDX-License-Identifier: Apache-2.0
#include "frames.h"

#include "../base/base.h"

#include <errno.h>

#define ENTRY 8	 // bytes of one in the table
#define BEHIND 8 // entries before the window's first that are looked at, for what overlaps it
#define PIECE 64 // entries walked at once

// Entry I: where a function is, and where its FDE, both as distances.
static int read_table(struct frames *f, uint32_t i, uint64_t *function, uint64_t *fde)
{
	int32_t distance[2] = {};
	const uint8_t *at = bytes_get(&f->table, (uint64_t)i * ENTRY, ENTRY);
	if (at)
		memcpy(distance, at, sizeof(distance));
	*function = f->source->table_base + (uint64_t)(int64_t)distance[0];
	*fde = f->source->table_base + (uint64_t)(int64_t)distance[1];
	return at ? 0 : f->table.error;
}

static int find_first(struct frames *f)
{
	uint32_t lo = 0, hi = f->source->table_count;
	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;
		uint64_t address, at;
		int err = read_table(f, mid, &address, &at);
		if (err)
			return err;
		if (address <= f->start)
			lo = mid + 1;
		else
			hi = mid;
	}
	f->next = lo > BEHIND ? lo - BEHIND : 0;
	return 0;
}

int frames_open(
    struct frames *f, const struct source *s, uint64_t start, uint64_t end, const uint8_t *unzipped)
{
	*f = (struct frames){.source = s, .start = start, .end = end};
	for (unsigned i = 0; i < s->part_count; i++) {
		rows_source_open(&s->part[i], &f->part[i]);
		if (s->part[i].unzipped)
			bytes_open(&f->part[i].bytes, -1, unzipped, 0, s->part[i].unzipped);
	}
	bytes_open(&f->table, s->fd, s->image, s->table_offset, (uint64_t)s->table_count * ENTRY);
	f->use_table = s->table_count;
	return f->use_table ? find_first(f) : 0;
}

void frames_close(struct frames *f)
{
	for (unsigned i = 0; i < SOURCE_PARTS; i++)
		bytes_close(&f->part[i].bytes);
	bytes_close(&f->table);
	mem_free(f->heap);
	*f = (struct frames){};
}

static int find_cie(struct frames *f, unsigned part, uint64_t offset, const struct cie **cie)
{
	unsigned i = (uint32_t)((uint32_t)(offset >> 2) * 2654435761u) >> 29;
	*cie = &f->cies[i];
	if (f->cie_part[i] == part + 1 && f->cies[i].offset == offset)
		return 0;
	struct entry e;
	f->cie_part[i] = 0;
	int r = entry_read(&f->part[part], offset, &e);
	if (r <= 0)
		return r ? r : -EBADMSG;
	r = cie_read(&f->part[part], f->source->machine, &e, &f->cies[i]);
	if (!r)
		f->cie_part[i] = part + 1;
	return r;
}

// The FDE that is entry E of PART, cut to the file's code. 1; 0: it is none, or touches no code of
// the window (a function that was left out when the file was linked is at address 0); -errno.
static int take_fde(
    struct frames *f, unsigned part, const struct entry *e, struct fde *fde, const struct cie **cie)
{
	const struct elf_frames *elf = &f->source->elf;
	if (e->is_cie)
		return 0;
	int err = find_cie(f, part, e->cie, cie);
	if (!err)
		err = fde_read(&f->part[part], e, *cie, fde);
	if (err)
		return err == -EBADMSG ? 0 : err;
	if (fde->end > elf->high)
		fde->end = elf->high;
	return fde->begin >= elf->low && fde->begin < fde->end && fde->begin < f->end &&
	       fde->end > f->start;
}

static int read_and_take(
    struct frames *f, unsigned part, uint64_t offset, struct fde *fde, const struct cie **cie)
{
	struct entry e;
	int r = entry_read(&f->part[part], offset, &e);
	if (r <= 0)
		return r == -EBADMSG ? 0 : r;
	return take_fde(f, part, &e, fde, cie);
}

// The table lies, as one does in which a bit has flipped: all of the part is walked instead. What
// was told already is sound, for it was compared.
static int distrust(struct frames *f)
{
	f->use_table = false;
	f->count = 0;
	return -EAGAIN;
}

// The FDE that the table has for the function at ADDRESS. 1; 0: it does not touch the window;
// -EBADMSG: there is none, or it is another function's; -errno.
static int of_table(struct frames *f, uint64_t address, struct fde *fde, const struct cie **cie)
{
	struct entry e;
	fde->begin = ~address;
	int r = entry_read(&f->part[0], f->offset, &e);
	if (r == 1)
		r = take_fde(f, 0, &e, fde, cie);
	return r >= 0 && fde->begin != address ? -EBADMSG : r;
}

static int next_of_table(struct frames *f, struct fde *fde, const struct cie **cie)
{
	for (unsigned i = 0; i < PIECE; i++) {
		uint64_t address, at;
		if (f->next == f->source->table_count)
			return f->source->table_partial ? distrust(f) : 0;
		int r = read_table(f, f->next, &address, &at);
		if (r)
			return r;
		if (++f->looked > FDES_MAX)
			return -EBADMSG;
		f->offset = at - f->part[0].vaddr;
		// The first is to lie before the window: bisection may have been led astray.
		bool skips = f->next && f->looked == 1 && address > f->start;
		r = skips || address < f->last ? -EBADMSG : of_table(f, address, fde, cie);
		if (r == -EBADMSG)
			return distrust(f);
		if (r < 0 || address >= f->end)
			return r < 0 ? r : 0;
		f->last = address;
		f->next++;
		if (r)
			return r;
	}
	return -EAGAIN;
}

static bool before(const struct found *a, const struct found *b)
{
	if (a->at != b->at)
		return a->at < b->at;
	return a->part != b->part ? a->part < b->part : a->offset < b->offset;
}

// Entries are nearly sorted, so that most stay where they are put.
static int push(struct frames *f, const struct found *x)
{
	if (f->count == FDES_MAX)
		return -EBADMSG;
	if (f->count == f->cap) {
		uint32_t cap = f->cap ? f->cap * 2 : 256;
		struct found *more = mem_resize(ACCOUNT_UNWIND, f->heap, cap * sizeof(*more));
		if (!more)
			return -ENOMEM;
		f->heap = more;
		f->cap = cap;
	}
	uint32_t i = f->count++;
	for (; i && before(x, &f->heap[(i - 1) / 2]); i = (i - 1) / 2)
		f->heap[i] = f->heap[(i - 1) / 2];
	f->heap[i] = *x;
	return 0;
}

static struct found pop(struct frames *f)
{
	struct found top = f->heap[0], last = f->heap[--f->count];
	uint32_t i = 0;
	for (;;) {
		uint32_t child = 2 * i + 1;
		if (child >= f->count)
			break;
		if (child + 1 < f->count && before(&f->heap[child + 1], &f->heap[child]))
			child++;
		if (!before(&f->heap[child], &last))
			break;
		f->heap[i] = f->heap[child];
		i = child;
	}
	f->heap[i] = last;
	return top;
}

static int keep(struct frames *f, const struct fde *fde, uint64_t offset)
{
	uint32_t at = fde->begin > f->start ? (uint32_t)(fde->begin - f->start) : 0;
	return push(f, &(struct found){.at = at, .part = f->walked, .offset = offset});
}

// Walks a piece of the part: 1 there may be more of it, 0 it ends here.
static int walk(struct frames *f)
{
	for (unsigned i = 0; i < PIECE; i++) {
		struct entry e;
		struct fde fde;
		const struct cie *cie;
		int r = f->at < WALK_MAX ? entry_read(&f->part[f->walked], f->at, &e) : -EBADMSG;
		if (r <= 0)
			return r == -EBADMSG ? 0 : r; // what was found before is sound
		f->at += e.size;
		r = take_fde(f, f->walked, &e, &fde, &cie);
		if (r == 1)
			r = keep(f, &fde, e.offset);
		if (r < 0)
			return r;
	}
	return 1;
}

// The same for part 0, by the table.
static int walk_table(struct frames *f)
{
	struct fde fde;
	const struct cie *cie;
	for (unsigned i = 0; i < PIECE; i++) {
		int r = next_of_table(f, &fde, &cie);
		if (r == 1)
			r = keep(f, &fde, f->offset);
		else if (r == 0)
			return 0;
		if (r < 0)
			return r;
	}
	return 1;
}

int frames_next(struct frames *f, struct fde *fde, const struct cie **cie)
{
	if (f->use_table && f->source->part_count == 1)
		return next_of_table(f, fde, cie);
	if (f->walked < f->source->part_count) {
		int r = f->use_table && !f->walked ? walk_table(f) : walk(f);
		if (r < 0)
			return r;
		if (r == 0) {
			f->walked++;
			f->at = 0;
		}
		return -EAGAIN;
	}
	if (!f->count)
		return 0;
	struct found x = pop(f);
	int r = read_and_take(f, x.part, x.offset, fde, cie);
	return r ? r : -EAGAIN; // 0: the file has changed meanwhile
}
