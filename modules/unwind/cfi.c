// SPDX-License-Identifier: Apache-2.0
#include "cfi.h"

#include <errno.h>

#define ADDRESS_BYTES 8

// DW_EH_PE_*
enum {
	PE_ULEB = 0x01,
	PE_UDATA2 = 0x02,
	PE_UDATA4 = 0x03,
	PE_UDATA8 = 0x04,
	PE_SLEB = 0x09,
	PE_SDATA2 = 0x0a,
	PE_SDATA4 = 0x0b,
	PE_SDATA8 = 0x0c,
	PE_FORMAT = 0x0f,
	PE_PCREL = 0x10,
};

int entry_read(struct part *p, uint64_t offset, struct entry *e)
{
	struct bytes *b = &p->bytes;
	if (offset > b->size || b->size - offset < 4)
		return 0;
	const uint8_t *at = bytes_get(b, offset, 4);
	if (!at)
		return b->error;
	struct cursor c = {.at = at, .end = at + 4};
	uint64_t size = cursor_fixed(&c, 4);
	if (!size)
		return 0;
	*e = (struct entry){.offset = offset, .wide = size == 0xffffffff};
	uint32_t length = e->wide ? 12 : 4;
	// The mark of .eh_frame has 4 bytes in both formats.
	e->head = length + (e->wide && p->debug ? 8 : 4);
	at = bytes_get(b, offset, e->head);
	if (!at)
		return b->error;
	c = (struct cursor){.at = at + 4, .end = at + e->head};
	if (e->wide)
		size = cursor_fixed(&c, 8);
	uint64_t mark = cursor_fixed(&c, e->head - length);
	if (size < e->head - length || size > b->size - offset - length)
		return -EBADMSG;
	e->size = length + size;
	if (p->debug) {
		e->is_cie = mark == (e->wide ? UINT64_MAX : UINT32_MAX);
		e->cie = mark;
	} else {
		e->is_cie = !mark;
		e->cie = offset + length - mark; // before the part: there is none
	}
	return 1;
}

uint64_t cursor_pointer(struct cursor *c, uint8_t encoding, uint64_t vaddr)
{
	uint64_t value = 0;
	switch (encoding & PE_FORMAT) {
	case 0:
	case PE_UDATA8:
	case PE_SDATA8:
		value = cursor_fixed(c, 8);
		break;
	case PE_UDATA4:
		value = cursor_fixed(c, 4);
		break;
	case PE_SDATA4:
		value = (uint64_t)(int32_t)cursor_fixed(c, 4);
		break;
	case PE_UDATA2:
		value = cursor_fixed(c, 2);
		break;
	case PE_SDATA2:
		value = (uint64_t)(int16_t)cursor_fixed(c, 2);
		break;
	case PE_ULEB:
		value = cursor_uleb(c);
		break;
	case PE_SLEB:
		value = (uint64_t)cursor_sleb(c);
		break;
	default:
		c->bad = true;
	}
	return encoding & PE_PCREL ? value + vaddr : value;
}

// Absolute or relative to itself. What else can be written (relative to data that only the running
// program knows, or a pointer to the pointer) no linker writes for code.
static bool known_encoding(uint8_t encoding)
{
	return (encoding & ~(PE_FORMAT | PE_PCREL)) == 0;
}

// The augmentation: letters, and in the order of those the data. What follows an unknown letter is
// skipped: 'z' says how much it is.
static void take_augmentation(struct cursor *c, const char *letters, struct cie *cie)
{
	if (!letters[0])
		return;
	if (letters[0] != 'z') {
		c->bad = true;
		return;
	}
	cie->augmented = true;
	struct cursor data = cursor_cut(c, cursor_uleb(c));
	for (const char *l = letters + 1; *l && !data.bad; l++) {
		if (*l == 'R') {
			cie->encoding = (uint8_t)cursor_fixed(&data, 1);
		} else if (*l == 'P') {
			uint8_t encoding = (uint8_t)cursor_fixed(&data, 1);
			cursor_pointer(&data, encoding, 0);
		} else if (*l == 'L') {
			cursor_fixed(&data, 1);
		} else if (*l == 'S') {
			cie->signal = true;
		} else if (*l != 'B' && *l != 'G') { // arm64: signed, tagged stack
			break;
		}
	}
	c->bad |= data.bad || !known_encoding(cie->encoding);
}

static void take_head(struct cursor *c, const struct machine *m, struct cie *cie)
{
	uint8_t version = (uint8_t)cursor_fixed(c, 1);
	const char *letters = (const char *)c->at;
	const uint8_t *end = memchr(c->at, 0, (size_t)(c->end - c->at));
	if (!end || (version != 1 && version != 3 && version != 4)) {
		c->bad = true;
		return;
	}
	c->at = end + 1;
	if (version == 4) // sizes of an address and of a segment
		c->bad |= cursor_fixed(c, 1) != ADDRESS_BYTES || cursor_fixed(c, 1) != 0;
	cie->code_align = cursor_uleb(c);
	cie->data_align = cursor_sleb(c);
	uint64_t ra = version == 1 ? cursor_fixed(c, 1) : cursor_uleb(c);
	cie->strange = ra != m->ra;
	take_augmentation(c, letters, cie);
}

int cie_read(struct part *p, const struct machine *m, const struct entry *e, struct cie *cie)
{
	if (!e->is_cie || e->size > CIE_MAX)
		return -EBADMSG;
	const uint8_t *at = bytes_get(&p->bytes, e->offset, (uint32_t)e->size);
	if (!at)
		return p->bytes.error;
	struct cursor c = {.at = at + e->head, .end = at + e->size};
	*cie = (struct cie){.offset = e->offset};
	take_head(&c, m, cie);
	if (c.bad)
		return -EBADMSG;
	cie->initial.kind = RULE_UNSUPPORTED; // until the program says what the CFA is
	struct run r;
	run_begin(&r, m, cie, &(struct fde){.end = 1, .program = c});
	uint64_t from, to;
	struct rule rule;
	run_next(&r, &from, &to, &rule);
	if (r.bad && !cie->strange)
		return -EBADMSG;
	cie->initial = r.state;
	return 0;
}

int fde_read(struct part *p, const struct entry *e, const struct cie *cie, struct fde *fde)
{
	enum { HEAD = 64 }; // more than two addresses and the augmentation's length
	bool whole = e->size <= BYTES_MAX;
	uint32_t n = whole ? (uint32_t)e->size : HEAD;
	const uint8_t *at = bytes_get(&p->bytes, e->offset, n);
	if (!at)
		return p->bytes.error;
	struct cursor c = {.at = at + e->head, .end = at + n};
	fde->begin = cursor_pointer(&c, cie->encoding, p->vaddr + e->offset + e->head);
	uint64_t size = cursor_pointer(&c, cie->encoding & PE_FORMAT, 0);
	if (cie->augmented)
		cursor_cut(&c, whole ? cursor_uleb(&c) : 0);
	if (c.bad || size > UINT64_MAX - fde->begin)
		return -EBADMSG;
	fde->end = fde->begin + size;
	fde->program = whole ? c : (struct cursor){};
	fde->program_vaddr = p->vaddr + e->offset + (uint64_t)(c.at - at);
	return 0;
}
