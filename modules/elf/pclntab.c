// SPDX-License-Identifier: Apache-2.0
// Layout: Go's runtime/symtab.go and cmd/link/internal/ld/pcln.go, by the four magic numbers: 1.2,
// 1.16, 1.18 and 1.20 (to this day).
#include "pclntab.h"

#include <errno.h>
#include <string.h>

#define COUNT_MAX (16u << 20)
#define BLOCK PCLNTAB_ENTRIES // functab entries read at once at the end of a search
#define SAMPLE 100	      // entries checked at each end of the table

// The entry sizes: {pc, offset} were two words until 1.17, two u32 since.
static unsigned entry_size(const struct pclntab *t)
{
	return t->version >= PCLNTAB_118 ? 8 : 16;
}

static int read_at(const struct pclntab *t, uint64_t offset, void *to, size_t n)
{
	if (offset > t->size || n > t->size - offset)
		return -EBADMSG;
	return view_read(t->view, t->offset + offset, to, n);
}

int pclntab_open(
    struct pclntab *t, const struct view *view, uint64_t offset, uint64_t size, uint64_t vaddr)
{
	static const uint8_t magics[] = {
	    [PCLNTAB_12] = 0xfb, [PCLNTAB_116] = 0xfa, [PCLNTAB_118] = 0xf0, [PCLNTAB_120] = 0xf1};
	*t = (struct pclntab){.view = view, .offset = offset, .size = size, .vaddr = vaddr};
	uint64_t h[9]; // magic, nfunc, then by version
	int err = read_at(t, 0, h, sizeof(h));
	if (err)
		return err;
	const uint8_t *magic = (const uint8_t *)h; // LE magic, 0, 0, pc quantum, pointer size
	unsigned version = 0;
	while (version < sizeof(magics) && magics[version] != magic[0])
		version++;
	if (version == sizeof(magics) || memcmp(magic + 1, "\xff\xff\xff\0\0", 5) ||
	    (magic[6] != 1 && magic[6] != 2 && magic[6] != 4) || magic[7] != 8)
		return -EBADMSG;
	t->version = version;
	t->quantum = magic[6];
	if (!h[1] || h[1] > COUNT_MAX)
		return -EBADMSG;
	t->count = (uint32_t)h[1];
	if (version == PCLNTAB_12) {
		t->functab = 16;
	} else if (version == PCLNTAB_116) {
		t->names = h[3];
		t->pctab = h[6];
		t->functab = t->functions = h[7];
	} else {
		t->text = h[3];
		t->names = h[4];
		t->pctab = h[7];
		t->functab = t->functions = h[8];
	}
	uint64_t bytes = (uint64_t)t->count * entry_size(t) + entry_size(t) / 2;
	if (t->names >= size || t->pctab >= size || t->functab >= size || bytes > size - t->functab)
		return -EBADMSG;
	return 0;
}

bool pclntab_needs_text(const struct pclntab *t)
{
	return t->version >= PCLNTAB_118 && !t->text;
}

int pclntab_entries(
    const struct pclntab *t, uint32_t first, uint32_t n, uint64_t *address, uint64_t *function)
{
	union {
		uint64_t wide[(BLOCK + 1) * 2];
		uint32_t narrow[(BLOCK + 1) * 2];
	} raw;
	bool end = first + n > t->count; // the last entry has no function
	size_t size = (size_t)n * entry_size(t) - (end ? entry_size(t) / 2 : 0);
	int err = read_at(t, t->functab + (uint64_t)first * entry_size(t), &raw, size);
	if (err)
		return err;
	for (uint32_t i = 0; i < n; i++) {
		bool last = end && i == n - 1;
		if (entry_size(t) == 8) {
			address[i] = t->text + raw.narrow[2 * i];
			function[i] = last ? 0 : raw.narrow[2 * i + 1];
		} else {
			address[i] = raw.wide[2 * i];
			function[i] = last ? 0 : raw.wide[2 * i + 1];
		}
	}
	return 0;
}

static int check_increasing(const struct pclntab *t, uint32_t first, uint32_t n)
{
	uint64_t address[BLOCK + 1], function[BLOCK + 1];
	int err = pclntab_entries(t, first, n, address, function);
	for (uint32_t i = 1; !err && i < n; i++)
		if (address[i] <= address[i - 1])
			err = -EBADMSG;
	return err;
}

static int unhex(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

// Go's linker writes %2e for a dot (and so on) in the last element of a package's path.
static void unescape(char *s)
{
	char *to = s;
	for (; *s; s++) {
		int high = *s == '%' ? unhex(s[1]) : -1, low = high >= 0 ? unhex(s[2]) : -1;
		int c = low >= 0 ? high * 16 + low : 0;
		if (c >= ' ' && c != 0x7f) {
			*to++ = (char)c;
			s += 2;
		} else {
			*to++ = *s;
		}
	}
	*to = 0;
}

// A function's record begins with its entry (a word until 1.17, u32 since), then its name's offset.
static int read_name(
    const struct pclntab *t, uint64_t address, uint64_t function, char *name, size_t size)
{
	uint8_t record[12];
	size_t entry = t->version >= PCLNTAB_118 ? 4 : 8;
	if (function > t->size)
		return -EBADMSG;
	int err = read_at(t, t->functions + function, record, entry + 4);
	if (err)
		return err;
	uint64_t at = 0;
	uint32_t offset;
	memcpy(&at, record, entry);
	memcpy(&offset, record + entry, 4);
	if (at + (entry == 4 ? t->text : 0) != address || offset >= t->size - t->names)
		return -EBADMSG;
	int len =
	    view_string(t->view, t->offset + t->names + offset, t->offset + t->size, name, size);
	if (len <= 0)
		return len < 0 ? len : -EBADMSG;
	for (int i = 0; i < len; i++)
		if ((unsigned char)name[i] < ' ')
			return -EBADMSG;
	unescape(name);
	return 0;
}

int pclntab_check(struct pclntab *t, const struct elf_file *f)
{
	uint64_t first, last, function, none;
	char name[64];
	uint32_t n = t->count + 1 < SAMPLE ? t->count + 1 : SAMPLE;
	int err = pclntab_entries(t, 0, 1, &first, &function);
	if (!err)
		err = pclntab_entries(t, t->count, 1, &last, &none);
	if (!err && (first < t->text || !file_executable(f, first, last)))
		err = -EBADMSG;
	if (!err)
		err = check_increasing(t, 0, n);
	if (!err)
		err = check_increasing(t, t->count + 1 - n, n);
	if (!err)
		err = read_name(t, first, function, name, sizeof(name));
	if (err)
		return err;
	t->start = first;
	t->end = last;
	return 0;
}

int pclntab_find(const struct pclntab *t, uint64_t address, uint64_t *start, uint64_t *end,
    char *name, size_t size)
{
	uint64_t entries[BLOCK + 1], functions[BLOCK + 1];
	if (address < t->start || address >= t->end)
		return -ENOENT;
	uint32_t lo = 0, hi = t->count; // entry lo <= address < entry hi
	int err;
	while (hi - lo > BLOCK) {
		uint32_t mid = lo + (hi - lo) / 2;
		err = pclntab_entries(t, mid, 1, entries, functions);
		if (err)
			return err;
		if (entries[0] <= address)
			lo = mid;
		else
			hi = mid;
	}
	err = pclntab_entries(t, lo, hi - lo + 1, entries, functions);
	if (err)
		return err;
	uint32_t i = 0;
	while (i + 1 < hi - lo && entries[i + 1] <= address)
		i++;
	if (entries[i] > address || entries[i + 1] <= address)
		return -EBADMSG; // not sorted after all
	*start = entries[i];
	*end = entries[i + 1];
	return read_name(t, *start, functions[i], name, size);
}
