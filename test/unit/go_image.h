// SPDX-License-Identifier: Apache-2.0
// Go's pclntab with depths of the stack, made by hand in an image of elf_image.h.
#pragma once
#include "elf_image.h"

#define GO_CODE 0x1000				   // offset of the first function in the file
#define GO_TEXT (TEXT_ADDRESS + (uint64_t)GO_CODE) // and its address
#define GO_TABLE 0x40000
#define GO_DEPTHS 8
#define GO_NONE UINT32_MAX // as depths[0].size: nothing is told

static const uint8_t go_versions[] = {0xfb, 0xfa, 0xf0, 0xf1}; // 1.2, 1.16, 1.18, 1.20

struct go_code {
	const char *name;
	uint8_t flags; // 1 top, 2 switches, 4 assembly
	struct {
		uint32_t size;
		int32_t depth;
	} depths[GO_DEPTHS]; // up to a size of 0
	uint32_t size;	     // 0: that of the depths
	const char *bytes;   // hexadecimal, as they stand in the file; spaces and | are left out
};

static inline uint32_t go_size(const struct go_code *g)
{
	uint32_t size = g->size;
	for (unsigned i = 0; !g->size && i < GO_DEPTHS && g->depths[i].size != GO_NONE; i++)
		size += g->depths[i].size;
	return size;
}

static inline uint8_t *go_number(uint8_t *to, uint32_t n)
{
	for (; n >= 0x80; n >>= 7)
		*to++ = (uint8_t)(n | 0x80);
	*to++ = (uint8_t)n;
	return to;
}

static inline uint8_t *go_depths(uint8_t *to, const struct go_code *g, unsigned quantum)
{
	int32_t depth = -1;
	for (unsigned i = 0; i < GO_DEPTHS && g->depths[i].size; i++) {
		int32_t change = g->depths[i].depth - depth;
		to = go_number(to, (uint32_t)change << 1 ^ (uint32_t)(change >> 31));
		to = go_number(to, g->depths[i].size / quantum);
		depth = g->depths[i].depth;
	}
	*to++ = 0;
	return to;
}

static inline void go_bytes(uint8_t *to, const char *hex)
{
	unsigned byte;
	for (; hex && *hex; hex++)
		if (*hex != ' ' && *hex != '|' && sscanf(hex++, "%2x", &byte) == 1)
			*to++ = (uint8_t)byte;
}

// The table of COUNT functions, one behind the other, at TO: its size.
static inline size_t go_table(
    uint8_t *to, uint8_t version, const struct go_code *g, unsigned count, unsigned quantum)
{
	bool narrow = version >= 0xf0 && version <= 0xf1, old = version == 0xfb;
	unsigned entry = narrow ? 8 : 16, word = entry / 2;
	unsigned flags = version == 0xf1 || version == 0xfa ? 41 : 37;
	size_t functab = old ? 16 : 80, at = functab + count * entry + word, names, pctab;
	uint32_t name[512], pcsp[512], code = 0;
	memset(to, 0, 1 << 15);
	names = at;
	for (unsigned i = 0; i < count; i++) {
		name[i] = (uint32_t)(at - (old ? 0 : names));
		strcpy((char *)to + at, g[i].name);
		at += strlen(g[i].name) + 1;
	}
	pctab = at++; // 0 is no table
	for (unsigned i = 0; i < count; i++) {
		pcsp[i] = g[i].depths[0].size == GO_NONE ? 0 : (uint32_t)(at - (old ? 0 : pctab));
		if (pcsp[i])
			at = (size_t)(go_depths(to + at, &g[i], quantum) - to);
	}
	at = (at + 7) & ~(size_t)7;
	for (unsigned i = 0; i <= count; i++) {
		uint8_t *e = to + functab + i * entry;
		memcpy(e, &(uint64_t){narrow ? code : GO_TEXT + code}, word);
		if (i == count)
			break;
		memcpy(e + word, &(uint64_t){at - (old ? 0 : functab)}, word);
		memcpy(to + at, &(uint64_t){narrow ? code : GO_TEXT + code}, word);
		memcpy(to + at + word, &name[i], 4);
		memcpy(to + at + (narrow ? 16 : 20), &pcsp[i], 4);
		to[at + flags] = old ? 0 : g[i].flags;
		at += 56;
		code += go_size(&g[i]);
	}
	put32(to, 0xffffff00u | version);
	to[6] = (uint8_t)quantum, to[7] = 8;
	put64(to + 8, count);
	if (version == 0xfa)
		put64(to + 24, names), put64(to + 48, pctab), put64(to + 56, functab);
	else if (!old)
		put64(to + 24, GO_TEXT), put64(to + 32, names), put64(to + 56, pctab),
		    put64(to + 64, functab);
	return at;
}

// A Go program of these functions, with TABLE (SIZE bytes), not ended.
static inline void go_image(
    struct image *m, const struct go_code *g, unsigned count, const uint8_t *table, size_t size)
{
	uint32_t code = GO_CODE;
	image_begin(m);
	for (unsigned i = 0; i < count; code += go_size(&g[i++]))
		go_bytes(m->at + code, g[i].bytes);
	m->size = TEXT_SIZE;
	image_section(m, ".go.buildinfo", (Elf64_Shdr){.sh_type = SHT_PROGBITS}, "x", 1);
	size_t at = image_data_section(m, ".gopclntab", GO_TABLE, table, size);
	image_load(m, at, size, GO_TABLE, PF_R);
}
