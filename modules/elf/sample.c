// SPDX-License-Identifier: Apache-2.0
// A checksum of some pages of a file, for telling files apart that claim to be one:
//
//   header | section table | pages of each table of `tables` | pages all over the file
//
// A table that is short is taken whole; else it is cut in equal parts, and of each part a page is
// taken that only the secret tells. Names are what a forger is after, so most pages are theirs.
//
// The sum is a polynomial over the integers modulo 2^61 - 1, of the bytes in words of 7, at the
// secret point: of two inputs of n words at most n points give both the same sum (Carter and
// Wegman, "Universal classes of hash functions", 1979). Four lanes side by side, each in the fourth
// power, keep the multiplier busy.
#include "elf.h"
#include "view.h"

#include "../base/base.h"

#include <elf.h>
#include <fcntl.h>
#include <string.h>

#define PAGE 4096u
#define SECTIONS_MAX 128u // of the section table; linked programs have about forty
#define PAGES_ALL_OVER 8u
#define PAGES_MAX 64u // all tables once; what a strange file has more is passed over

#define LANES 4
#define WORD 7
#define BLOCK (LANES * WORD)
#define PRIME ((1ull << 61) - 1)

struct sample {
	struct view view;
	const struct elf_secret *secret;
	uint64_t lane[LANES], power; // POWER: of the point, to the LANES
	uint32_t count;
	uint64_t pages[PAGES_MAX]; // offsets
};

// How many pages are taken of what names and unwind rows come from; of a symbol table's strings one
// more than of itself.
static const struct {
	const char *name; // NULL: by type
	uint32_t type, pages;
} tables[] = {
    {NULL, SHT_SYMTAB, 7},
    {NULL, SHT_DYNSYM, 4},
    {".gopclntab", SHT_PROGBITS, 8},
    {".data.rel.ro.gopclntab", SHT_PROGBITS, 8},
    {".gnu_debugdata", SHT_PROGBITS, 4},
    {".eh_frame_hdr", SHT_PROGBITS, 1},
    {".eh_frame", SHT_PROGBITS, 3},
    {".debug_frame", SHT_PROGBITS, 3},
};

// Below 2^61 + 8, for A below 2^63 and B below 2^61 + 8.
static uint64_t multiply(uint64_t a, uint64_t b)
{
	unsigned __int128 product = (unsigned __int128)a * b;
	uint64_t sum = ((uint64_t)product & PRIME) + (uint64_t)(product >> 61);
	return (sum & PRIME) + (sum >> 61);
}

// The N bytes AT, which were read at OFFSET. Behind them there is room for BLOCK + 1 more.
static void absorb(struct sample *s, uint64_t offset, uint8_t *at, size_t n)
{
	const uint64_t mask = (1ull << 8 * WORD) - 1;
	const uint64_t head[LANES] = {n, offset & mask, offset >> 8 * WORD};
	memset(at + n, 0, BLOCK + 1);
	for (int i = 0; i < LANES; i++)
		s->lane[i] = multiply(s->lane[i], s->power) + head[i];
	for (const uint8_t *block = at; block < at + n; block += BLOCK) {
#pragma GCC unroll 4
		for (int i = 0; i < LANES; i++) {
			uint64_t word;
			memcpy(&word, block + i * WORD, sizeof(word));
			s->lane[i] = multiply(s->lane[i], s->power) + (word & mask);
		}
	}
}

// Chooses COUNT pages (one more where they are not aligned) of the part of the file.
static void choose(struct sample *s, uint64_t offset, uint64_t size, uint32_t count)
{
	if (!size || offset >= s->view.size || size > s->view.size - offset ||
	    s->count + count + 1 > PAGES_MAX)
		return;
	bool whole = size <= (uint64_t)count * PAGE;
	uint64_t part = whole ? PAGE : size / count, at = offset & ~(uint64_t)(PAGE - 1);
	if (whole) {
		for (; at < offset + size; at += PAGE)
			s->pages[s->count++] = at;
		return;
	}
	for (uint32_t i = 0; i < count; i++) {
		uint64_t random = hash_mix(s->secret->place ^ hash_mix(offset + i * part));
		at = offset + i * part + random % part;
		s->pages[s->count++] = at & ~(uint64_t)(PAGE - 1);
	}
}

static void choose_of_section(
    struct sample *s, const Elf64_Shdr *all, uint32_t count, uint32_t i, const char *name)
{
	const Elf64_Shdr *h = &all[i];
	for (size_t k = 0; k < sizeof(tables) / sizeof(*tables); k++) {
		if (tables[k].name ? strcmp(name, tables[k].name) : h->sh_type != tables[k].type)
			continue;
		choose(s, h->sh_offset, h->sh_size, tables[k].pages);
		if (!tables[k].name && h->sh_link < count)
			choose(s, all[h->sh_link].sh_offset, all[h->sh_link].sh_size,
			    tables[k].pages + 1);
		return;
	}
}

// The names of the sections into NAMES, ended with a NUL: their size, or -errno.
static int64_t read_names(struct sample *s, const Elf64_Shdr *h, uint8_t names[PAGE + BLOCK + 1])
{
	uint64_t size = h->sh_size < PAGE ? h->sh_size : PAGE;
	if (h->sh_offset > s->view.size || size > s->view.size - h->sh_offset)
		return 0;
	int error = view_read(&s->view, h->sh_offset, names, size);
	if (error)
		return error;
	absorb(s, h->sh_offset, names, size);
	return (int64_t)size;
}

// The tables that the section table tells of; without one there is none.
static int choose_tables(struct sample *s, const Elf64_Ehdr *e)
{
	union {
		Elf64_Shdr at[SECTIONS_MAX + 1];
		uint8_t bytes[(SECTIONS_MAX + 1) * sizeof(Elf64_Shdr)];
	} all;
	uint8_t names[PAGE + BLOCK + 1];
	uint32_t count = e->e_shnum < SECTIONS_MAX ? e->e_shnum : SECTIONS_MAX;
	uint64_t size = count * sizeof(*all.at);
	if (e->e_shentsize != sizeof(*all.at) || e->e_shoff > s->view.size ||
	    size > s->view.size - e->e_shoff)
		return 0;
	int error = view_read(&s->view, e->e_shoff, all.bytes, size);
	if (error)
		return error;
	absorb(s, e->e_shoff, all.bytes, size);
	int64_t named = e->e_shstrndx < count ? read_names(s, &all.at[e->e_shstrndx], names) : 0;
	if (named < 0)
		return (int)named;
	for (uint32_t i = 1; i < count; i++) {
		uint32_t name = all.at[i].sh_name;
		choose_of_section(
		    s, all.at, count, i, name < named ? (const char *)names + name : "");
	}
	return 0;
}

static int read_pages(struct sample *s)
{
	uint8_t page[PAGE + BLOCK + 1];
	// Those that are not in memory are fetched side by side.
	for (uint32_t i = 0; i < s->count; i++)
		posix_fadvise(s->view.fd, (off_t)s->pages[i], PAGE, POSIX_FADV_WILLNEED);
	for (uint32_t i = 0; i < s->count; i++) {
		uint64_t left = s->view.size - s->pages[i];
		size_t n = left < PAGE ? left : PAGE;
		int error = view_read(&s->view, s->pages[i], page, n);
		if (error)
			return error;
		absorb(s, s->pages[i], page, n);
	}
	return 0;
}

int elf_sample(int fd, uint64_t size, const struct elf_secret *secret, uint64_t *sum)
{
	struct sample s = {.view = {.fd = fd, .size = size}, .secret = secret};
	union {
		Elf64_Ehdr e;
		uint8_t bytes[sizeof(Elf64_Ehdr) + BLOCK + 1];
	} head;
	uint64_t point = secret->point >> 3, square = multiply(point, point);
	s.power = multiply(square, square);
	int error = view_read(&s.view, 0, head.bytes, sizeof(head.e));
	if (error)
		return error;
	absorb(&s, 0, head.bytes, sizeof(head.e));
	choose(&s, 0, size, PAGES_ALL_OVER);
	error = choose_tables(&s, &head.e);
	if (!error)
		error = read_pages(&s);
	*sum = 0;
	for (int i = 0; i < LANES; i++)
		*sum = multiply(*sum, point) + s.lane[i];
	*sum %= PRIME;
	return error;
}
