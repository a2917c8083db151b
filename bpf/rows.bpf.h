/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0 */
/*
 * How the walker (walk.bpf.h, which includes this) finds the row for an address in the blocks and pages of table.h:
 *
 *   window -> rules found last
 *          '-> index of its pages -> page -> block -> row -> rule
 */
#pragma once

/* 1: A is not above B, else 0; both below 2^63. No jump: the verifier would go both ways at each halving. */
WALK u32 not_above(u64 a, u64 b)
{
	u64 apart = a - b - 1;
	HIDE(apart);
	return (u32)(apart >> 63);
}

/* The last of blocks [LOW, HIGH) of PAGE whose first word under MASK is not above KEY; NULL: none.
 */
WALK const struct block *search(struct walk *w, enum page_kind kind, const struct block *page,
    u32 low, u32 high, u64 mask, u64 key)
{
	low += UNKNOWN(w);
	high += UNKNOWN(w);
	u32 bottom = low;
	for (int i = 0; i < SEARCH_BLOCKS(kind) && low < high; i++) {
		u32 middle = (low + high) / 2 + UNKNOWN(w);
		if (middle >= PAGE_BLOCKS(kind))
			return 0;
		u32 above = not_above(page[middle].words[0] & mask, key);
		low += above * (middle + 1 - low) + UNKNOWN(w);
		high = middle + above * (high - middle) + UNKNOWN(w);
	}
	u32 last = low - 1 + UNKNOWN(w);
	return low > bottom && last < PAGE_BLOCKS(kind) ? page + last : 0;
}

/* A number of a row at *AT: a byte, or behind an ESCAPE two. No jump: the verifier would go both ways, row by row. */
WALK u32 row_number(const struct block *b, u32 *at)
{
	u32 i = *at, low = b->bytes[i];
	u32 wide = b->bytes[(i + 1) % BLOCK_BYTES] | (u32)b->bytes[(i + 2) % BLOCK_BYTES] << 8;
	u32 escaped = (low + (256 - ESCAPE)) >> 8;
	HIDE(escaped);
	*at = (i + 1 + 2 * escaped) % BLOCK_BYTES;
	return low + escaped * (wide - low);
}

/*
 * The number of the rule that a block of rows has for OFFSET (from the block's base), RULES_MAX or
 * more: none. `at` stays within the block whatever is written in it; 0: behind its end.
 */
WALK u32 row_in(struct walk *w, const struct block *b, u32 offset)
{
	u32 at = (ROWS_STREAM + UNKNOWN(w)) % BLOCK_BYTES, delta = 0, rule = RULES_MAX;
	for (int i = 0; i < ROWS_PER_BLOCK && delta <= offset; i++) {
		offset -= delta;
		rule = row_number(b, &at);
		delta = b->bytes[at];
		if (!at || !delta)
			break;
		delta = row_number(b, &at);
	}
	return rule;
}

/* By the index in page ROOT: the last of the rows' COUNT pages that has a row for OFFSET. */
WALK u32 page_of_row(struct walk *w, const struct block *root, u32 count, u32 offset)
{
	u32 low = UNKNOWN(w), high = count - 1 + UNKNOWN(w);
	for (int i = 0; i < SEARCH_PAGES(PAGE_ROWS) && low < high; i++) {
		u32 middle = (low + high + 1) / 2 + UNKNOWN(w), at = middle - 1;
		if (at >= ROW_PAGE_BLOCKS * BASES_PER_BLOCK)
			return 0;
		u32 above = not_above(root[at / BASES_PER_BLOCK].bases[at % BASES_PER_BLOCK], offset);
		low += above * (middle - low) + UNKNOWN(w);
		high = at + above * (high - at) + UNKNOWN(w);
	}
	return low;
}

/* The rule that the rows at PLACE have for OFFSET in their window, as a word. */
WALK u64 find_row(struct walk *w, u64 place, u32 offset)
{
	u32 first = PLACE_PAGE(place), index = PLACE_INDEX(place), rules = PLACE_RULES(place);
	u32 from = index + rules, end = from + PLACE_ROWS(place);
	const struct block *root = walk_page(w, PAGE_ROWS, first), *b = root;
	if (!root)
		return 0;
	u32 page = page_of_row(w, root, PAGE_OF_BLOCK(PAGE_ROWS, end - 1) + 1, offset);
	u32 start = page * ROW_PAGE_BLOCKS;
	if (page)
		b = walk_page(w, PAGE_ROWS, first + page);
	if (b)
		b = search(w, PAGE_ROWS, b, from > start ? from - start : 0,
		    end - start < ROW_PAGE_BLOCKS ? end - start : ROW_PAGE_BLOCKS, 0xffffffff,
		    offset);
	if (!b)
		return 0;
	*(volatile u16 *)&w->rule = (u16)row_in(w, b, offset - (u32)b->words[0]);
	u32 rule = *(volatile u16 *)&w->rule, at = rule / RULES_PER_BLOCK;
	if (at >= rules)
		return 0;
	at += index;
	page = PAGE_OF_BLOCK(PAGE_ROWS, at);
	at -= page * ROW_PAGE_BLOCKS;
	b = page ? walk_page(w, PAGE_ROWS, first + page) : root;
	return b && at < ROW_PAGE_BLOCKS ? b[at].words[rule % RULES_PER_BLOCK] : 0;
}

/* The rule for OFFSET in WINDOW, whose number is INDEX, as a word. False: the rows were replaced meanwhile. */
WALK bool rule_of_window(
    struct walk *w, const struct window *window, u32 index, u32 offset, u64 place, u64 *word)
{
	/* Nothing sets the highest bit of a place; it makes arm64 read the generation after the place. */
	const volatile u32 *generation = (const void *)&window->generation + (place >> 63);
	u64 hash = recent_hash(index, offset, *generation);
	struct recent_row *recent = walk_recent(w, RECENT_SLOT(hash));
	if (!recent)
		return false; /* cannot be: the hash names no other */
	u64 rule = *(volatile u64 *)&recent->rule;
	if ((*(volatile u64 *)&recent->check ^ rule) == hash) {
		*word = rule;
		return true;
	}
	*word = find_row(w, place, offset);
	if (*(const volatile u64 *)&window->place != place)
		return false;
	*(volatile u64 *)&recent->check = hash ^ *word;
	*(volatile u64 *)&recent->rule = *word;
	return true;
}
