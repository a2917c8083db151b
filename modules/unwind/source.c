// SPDX-License-Identifier: Apache-2.0
#include "source.h"
#include "go.h"

#include "../base/base.h"

#include <elf.h>
#include <errno.h>

// Entries of 24 bytes at least, one for every function: less than this share of the code's size can
// describe next to nothing of it (musl's libc: the .plt alone).
#define TOO_LITTLE 256
#define ENTRY_MIN 16

static int read_file(int fd, const uint8_t *image, uint64_t offset, void *to, uint32_t n)
{
	struct bytes b;
	bytes_open(&b, fd, image, offset, n);
	const uint8_t *at = bytes_get(&b, 0, n);
	int error = at ? 0 : b.error;
	if (at)
		memcpy(to, at, n);
	bytes_close(&b);
	return error;
}

int rows_source_read(const struct source *s, uint64_t offset, void *to, uint32_t n)
{
	return read_file(s->fd, s->image, offset, to, n);
}

void rows_source_open(const struct source_part *s, struct part *part)
{
	*part = (struct part){.vaddr = s->vaddr, .debug = s->debug};
	bytes_open(&part->bytes, s->fd, s->image, s->offset, s->size);
}

static void add_part(struct source *s, const struct source_part *part)
{
	if (part->size >= ENTRY_MIN)
		s->part[s->part_count++] = *part;
}

static int add_debug_frame(
    struct source *s, int fd, const uint8_t *image, const struct elf_frames *f)
{
	struct source_part part = {.fd = fd,
	    .image = image,
	    .offset = f->debug_frame.offset,
	    .size = f->debug_frame.size,
	    .debug = true};
	Elf64_Chdr head;
	if (f->debug_frame_zipped && part.size < sizeof(head))
		return 0;
	if (f->debug_frame_zipped) {
		int err = read_file(fd, image, part.offset, &head, sizeof(head));
		if (err || head.ch_type != ELFCOMPRESS_ZLIB || !head.ch_size ||
		    head.ch_size > UNZIPPED_MAX)
			return err;
		part.offset += sizeof(head);
		part.size -= sizeof(head);
		part.unzipped = head.ch_size;
	}
	add_part(s, &part);
	return 0;
}

// version 1 | encodings: of the pointer to .eh_frame, of the count, of the table
static int find_table(struct source *s)
{
	enum { UDATA4 = 0x03, DATAREL_SDATA4 = 0x3b, HEAD = 12, ENTRY = 8 };
	const struct elf_part *part = &s->elf.eh_frame_hdr;
	uint8_t hdr[HEAD];
	uint32_t count;
	if (part->size < HEAD)
		return 0;
	int err = rows_source_read(s, part->offset, hdr, HEAD);
	if (err)
		return err;
	memcpy(&count, hdr + 8, sizeof(count));
	bool pointer_of_4 = (hdr[1] & 0x07) == UDATA4; // or sdata4
	if (hdr[0] != 1 || !pointer_of_4 || hdr[2] != UDATA4 || hdr[3] != DATAREL_SDATA4 ||
	    count > (part->size - HEAD) / ENTRY)
		return 0;
	s->table_offset = part->offset + HEAD;
	s->table_base = part->vaddr;
	s->table_count = count;
	s->table_partial = count < (part->size - HEAD) / ENTRY;
	return 0;
}

static uint64_t code_size(const struct elf_frames *f)
{
	uint64_t size = 0;
	for (unsigned i = 0; i < f->exec_count; i++)
		size += f->exec[i].size; // each lies inside the file
	return size;
}

enum rule_kind rows_source_gap(const struct source *s)
{
	uint64_t others = code_size(&s->elf) - (s->go_end - s->go_start);
	bool little = !s->part_count || s->elf.eh_frame.size < others / TOO_LITTLE;
	return little ? RULE_FRAME : RULE_NONE;
}

// Finds the parts that describe the file. Go says it better elsewhere.
static int find_parts(struct source *s, int debug_fd)
{
	const struct elf_frames *f = &s->elf;
	struct elf_frames debug;
	add_part(s, &(struct source_part){.fd = s->fd,
			.image = s->image,
			.offset = f->eh_frame.offset,
			.size = f->eh_frame.size,
			.vaddr = f->eh_frame.vaddr});
	unsigned before = s->part_count;
	s->gap = f->go ? RULE_FRAME : RULE_NONE;
	int err = f->go ? 0 : add_debug_frame(s, s->fd, s->image, f);
	if (!err && !f->go && s->part_count == before && debug_fd >= 0 &&
	    !elf_frames(debug_fd, NULL, 0, &debug) && debug.is_64 && debug.machine == f->machine) {
		err = add_debug_frame(s, debug_fd, NULL, &debug);
		s->unchecked = s->part_count > before;
		s->debug_fd = debug_fd;
	}
	return err || !before ? err : find_table(s);
}

int rows_source_check(struct source *s, uint64_t budget_ns)
{
	if (!s->unchecked)
		return 0;
	int r = elf_debug_check(&s->check, s->fd, s->debug_fd, budget_ns);
	if (r == 1)
		return 1;
	s->unchecked = false;
	if (r)
		s->part_count--;
	return r == -EBADMSG ? 0 : r;
}

// Where nobody called what is run. Many a library names its first function as its entry, though
// nobody enters it there: what is entered takes the stack pointer for its arguments, or clears the
// frame pointer.
static int find_entry(struct source *s)
{
	Elf64_Ehdr head;
	int r = rows_source_read(s, 0, &head, sizeof(head));
	if (r)
		return r;
	s->entry = head.e_entry;
	for (unsigned i = 0; i < s->machine->entered_count && r == 0; i++) {
		r = rows_source_is(s, s->entry, &s->machine->entered[i]);
		if (r == 1)
			s->entered = &s->machine->entered[i];
	}
	return r < 0 ? r : 0;
}

// 0: there is something to tell.
static int find_any(struct source *s, int debug_fd)
{
	int err = elf_frames(s->fd, s->image, s->image_size, &s->elf);
	if (err)
		return err;
	s->machine = machine_find(s->elf.machine);
	if (!s->elf.is_64 || !s->machine)
		return -ENOTSUP;
	err = find_entry(s);
	if (!err)
		err = find_parts(s, debug_fd);
	if (err || s->part_count || s->elf.go || s->entered)
		return err;
	// A small file that describes nothing may still have landmarks (musl).
	uint64_t at;
	const struct landmark *what;
	if (code_size(&s->elf) > WINDOW_BYTES)
		return -ENODATA;
	err = rows_source_landmark(s, s->elf.low, s->elf.high, &at, &what);
	return err < 0 ? err : err ? 0 : -ENODATA;
}

struct source *rows_source_new(int fd, const void *image, size_t image_size, int debug_fd)
{
	struct source *s = mem_alloc(ACCOUNT_UNWIND, sizeof(*s));
	if (!s)
		return NULL;
	s->fd = fd;
	s->image = fd < 0 ? image : NULL;
	s->image_size = image_size;
	s->debug_fd = -1;
	int err = fd < 0 && (!image || image_size > UINT32_MAX) ? -EINVAL : find_any(s, debug_fd);
	if (err) {
		rows_source_free(s);
		return errno = -err, NULL;
	}
	return s;
}

void rows_source_free(struct source *s)
{
	if (s)
		go_free(s->go);
	mem_free(s);
}

// The first landmark in N bytes; NULL: none.
static const uint8_t *first(
    const struct machine *m, const uint8_t *bytes, size_t n, const struct landmark **what)
{
	const uint8_t *found = NULL;
	for (unsigned i = 0; i < m->landmark_count; i++) {
		const struct landmark *l = &m->landmark[i];
		const uint8_t *hit = memmem(bytes, n, l->bytes, l->size);
		if (hit && (!found || hit < found)) {
			found = hit;
			*what = l;
		}
	}
	return found;
}

// Looks for landmarks in N bytes at OFFSET of the file.
static int search(
    const struct source *s, uint64_t offset, uint64_t n, uint64_t *at, const struct landmark **what)
{
	enum { PIECE = 16u << 10 };
	struct bytes b;
	int result = 0;
	bytes_open(&b, s->fd, s->image, offset, n);
	for (uint64_t done = 0; !result && done < n; done += PIECE - LANDMARK_MAX + 1) {
		uint32_t piece = n - done < PIECE ? (uint32_t)(n - done) : PIECE;
		const uint8_t *bytes = bytes_get(&b, done, piece);
		const uint8_t *hit = bytes ? first(s->machine, bytes, piece, what) : NULL;
		if (hit)
			*at = done + (uint64_t)(hit - bytes);
		result = hit ? 1 : bytes ? 0 : b.error;
	}
	bytes_close(&b);
	return result;
}

int rows_source_landmark(
    const struct source *s, uint64_t from, uint64_t to, uint64_t *at, const struct landmark **what)
{
	for (unsigned i = 0; i < s->elf.exec_count; i++) {
		const struct elf_part *x = &s->elf.exec[i];
		uint64_t begin = from > x->vaddr ? from : x->vaddr;
		uint64_t end = to < x->vaddr + x->size ? to : x->vaddr + x->size;
		if (begin >= end)
			continue;
		int r = search(s, x->offset + (begin - x->vaddr), end - begin, at, what);
		if (r)
			return *at += begin, r;
	}
	return 0;
}

int rows_source_is(const struct source *s, uint64_t address, const struct landmark *l)
{
	for (unsigned i = 0; i < s->elf.exec_count; i++) {
		const struct elf_part *x = &s->elf.exec[i];
		uint8_t there[LANDMARK_MAX];
		if (address < x->vaddr || address - x->vaddr >= x->size ||
		    x->size - (address - x->vaddr) < l->size)
			continue;
		int err = rows_source_read(s, x->offset + (address - x->vaddr), there, l->size);
		return err ? err : !memcmp(there, l->bytes, l->size);
	}
	return 0;
}
