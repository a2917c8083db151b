// SPDX-License-Identifier: Apache-2.0
// /proc/kallsyms is vmlinux sorted by address, then modules, trampolines and BPF programs in any
// order; there are no sizes. Between two neighbouring addresses that we ask for, only the highest
// symbol matters to the upper one, and only the lowest to the lower one:
//
//   addresses            a0        a1                a2
//   symbols         s0 s1    s2         s3  s4  s5
//   slots            a0: start s1, next s2 |  a1: start s2, next s3 | a2: start s5
//
// so one slot an address is all that a pass keeps. An address without a symbol in its slot lies in
// the function of the one below.
#include "kernel.h"

#include "../base/base.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define CHUNK 16384
// The last function of a module has no symbol after it that belongs to it. What lies behind its
// memory begins no nearer, as an empty page is kept between the two.
#define MODULE_END 4096
#define BPF_END 65536 // BPF programs are all listed, so that only the last one ends here
#define NAMES_MAX (4u << 20)
// None of so many code symbols has an address: they are hidden.
#define HIDDEN_AFTER 4096

struct slot {
	uint64_t start,
	    next; // start 0: no symbol; next: lowest symbol above the address, UINT64_MAX: none
	uint32_t name; // in names: "name\0module\0"; 0: no symbol
	char type;
};

struct kernel_pass {
	int fd;
	uint32_t count;
	const uint64_t *addresses;
	void (*found)(void *arg, uint32_t index, const struct elf_symbol *symbol);
	void *arg;
	struct slot *slots;
	struct text names;
	uint64_t text_start, text_end; // of vmlinux
	uint64_t offset;
	uint32_t have, pos; // bytes in buffer, and those that are done
	uint32_t answered, carry;
	uint64_t code;
	bool seen_address, skipping, eof, pending;
	uint32_t pending_slot;
	struct kernel_line best, line; // best: of the slot where the pass stands, not yet stored
	char buffer[CHUNK];
};

bool kernel_line(const char *line, size_t n, struct kernel_line *l)
{
	const char *end = line + n, *p = memchr(line, ' ', n);
	if (!p || text_number(line, (size_t)(p - line), 16, &l->address) < 0 || end - p < 4 ||
	    p[2] != ' ')
		return false;
	l->type = p[1];
	const char *name = p + 3, *name_end = memchr(name, '\t', (size_t)(end - name));
	const char *module = name_end ? name_end + 1 : end;
	if (!name_end)
		name_end = end;
	size_t len = (size_t)(name_end - name), module_len = (size_t)(end - module);
	if (!len || len >= sizeof(l->name) || memchr(name, 0, n - (size_t)(name - line)))
		return false;
	if (module_len) {
		if (module_len < 3 || module[0] != '[' || end[-1] != ']' ||
		    module_len >= sizeof(l->module))
			return false;
		module++;
		module_len -= 2;
	}
	memcpy(l->name, name, len);
	l->name[len] = 0;
	memcpy(l->module, module, module_len);
	l->module[module_len] = 0;
	return true;
}

bool kernel_is_code(const struct kernel_line *l)
{
	return (l->type | 0x20) == 't' || (l->type | 0x20) == 'w'
		   ? strncmp(l->name, "__pfx_", 6) != 0 && strncmp(l->name, "__cfi_", 6) != 0 &&
			 l->name[0] != '$'
		   : false;
}

// The order of perf's choice among aliases: not weak, global, fewer leading underscores, longer,
// not the wrapper of a system call; then any that is always the same.
bool kernel_better(char type, const char *name, char than_type, const char *than)
{
	int d = ((than_type | 0x20) == 'w') - ((type | 0x20) == 'w');
	if (!d)
		d = (type == 'T') - (than_type == 'T');
	if (!d)
		d = (int)strspn(than, "_") - (int)strspn(name, "_");
	if (!d)
		d = (int)strlen(name) - (int)strlen(than);
	if (!d)
		d = (!strncmp(than, "SyS", 3) || !strncmp(than, "compat_SyS", 10)) -
		    (!strncmp(name, "SyS", 3) || !strncmp(name, "compat_SyS", 10));
	return d ? d > 0 : strcmp(name, than) < 0;
}

struct kernel_pass *kernel_pass_new(int fd, const uint64_t *addresses, uint32_t count,
    void (*found)(void *arg, uint32_t index, const struct elf_symbol *symbol), void *arg)
{
	struct kernel_pass *k = mem_alloc(ACCOUNT_SYMBOL, sizeof(*k));
	if (!k)
		return NULL;
	k->slots = mem_alloc(ACCOUNT_SYMBOL, count * sizeof(*k->slots));
	if (!k->slots) {
		mem_free(k);
		return errno = ENOMEM, NULL;
	}
	for (uint32_t i = 0; i < count; i++)
		k->slots[i].next = UINT64_MAX;
	k->fd = fd;
	k->addresses = addresses;
	k->count = count;
	k->found = found;
	k->arg = arg;
	k->names = TEXT(ACCOUNT_SYMBOL);
	text_add(&k->names, "", 1); // offset 0 means none
	count_add(COUNT_KALLSYMS_READS, 1);
	return k;
}

void kernel_pass_free(void *pass)
{
	struct kernel_pass *k = pass;
	if (!k)
		return;
	text_free(&k->names);
	mem_free(k->slots);
	mem_free(k);
}

// Where the pass crosses one of our addresses, the best symbol below it is kept.
static void store_pending(struct kernel_pass *k)
{
	struct slot *s = &k->slots[k->pending_slot];
	const struct kernel_line *b = &k->best;
	if (!k->pending)
		return;
	k->pending = false;
	if (s->start > b->address)
		return;
	if (s->start == b->address && s->name &&
	    !kernel_better(b->type, b->name, s->type, k->names.at + s->name))
		return;
	size_t at = k->names.len;
	if (at > NAMES_MAX || text_add(&k->names, b->name, strlen(b->name) + 1) < 0 ||
	    text_add(&k->names, b->module, strlen(b->module) + 1) < 0)
		at = 0; // no memory: no name, rather than that of a lower function
	s->name = (uint32_t)at;
	s->start = b->address;
	s->type = b->type;
}

// The lowest of our addresses that is not below ADDRESS.
static uint32_t slot_of(const struct kernel_pass *k, uint64_t address)
{
	uint32_t low = 0, high = k->count, at = k->pending_slot;
	if (k->pending && address <= k->addresses[at] && (!at || address > k->addresses[at - 1]))
		return at;
	while (low < high) {
		uint32_t mid = low + (high - low) / 2;
		if (k->addresses[mid] >= address)
			high = mid;
		else
			low = mid + 1;
	}
	return low;
}

static void note_bounds(struct kernel_pass *k, const struct kernel_line *l)
{
	if (l->module[0] || l->name[0] != '_')
		return;
	if (!strcmp(l->name, "_stext") || !strcmp(l->name, "_text"))
		k->text_start =
		    k->text_start && k->text_start < l->address ? k->text_start : l->address;
	else if (!strcmp(l->name, "_etext"))
		k->text_end = l->address;
}

static void take_line(struct kernel_pass *k, const char *line, size_t n)
{
	struct kernel_line *l = &k->line;
	if (!kernel_line(line, n, l) || !kernel_is_code(l))
		return;
	k->code++;
	k->seen_address |= l->address != 0;
	note_bounds(k, l);
	uint32_t at = slot_of(k, l->address);
	if (at && l->address < k->slots[at - 1].next)
		k->slots[at - 1].next = l->address;
	if (k->pending && at != k->pending_slot)
		store_pending(k);
	if (at < k->count &&
	    (!k->pending || l->address > k->best.address ||
		(l->address == k->best.address &&
		    kernel_better(l->type, l->name, k->best.type, k->best.name)))) {
		k->best = *l;
		k->pending = true;
		k->pending_slot = at;
	}
	// Below here vmlinux is in order: once past the last address, the rest says nothing.
	if (!l->module[0] && k->text_start && k->text_start <= k->addresses[0] && at == k->count)
		k->eof = true;
}

// Reads a chunk and takes its whole lines; kallsyms gives a page at a time.
static int read_chunk(struct kernel_pass *k)
{
	ssize_t n = pread(k->fd, k->buffer + k->have, CHUNK - k->have, (off_t)k->offset);
	if (n < 0)
		return errno == EINTR ? 0 : -errno;
	k->eof = !n;
	k->offset += (uint64_t)n;
	k->have += (uint32_t)n;
	char *line = k->buffer, *end = k->buffer + k->have, *newline;
	while (!k->eof && (newline = memchr(line, '\n', (size_t)(end - line)))) {
		if (!k->skipping)
			take_line(k, line, (size_t)(newline - line));
		k->skipping = false;
		line = newline + 1;
	}
	k->have = (uint32_t)(end - line);
	if (k->have == CHUNK) { // a line of 16 KiB is none
		k->skipping = true;
		k->have = 0;
	}
	memmove(k->buffer, line, k->have);
	return 0;
}

static void answer(struct kernel_pass *k, uint32_t i, uint64_t next)
{
	const struct slot *s = &k->slots[k->carry];
	uint64_t address = k->addresses[i];
	struct elf_symbol symbol = {.start = s->start, .end = next};
	char name[sizeof(k->best.name) + sizeof(k->best.module) + 4];
	const char *plain = s->name ? k->names.at + s->name : NULL;
	const char *module = plain ? plain + strlen(plain) + 1 : "";
	uint64_t limit = UINT64_MAX, most = strcmp(module, "bpf") ? MODULE_END : BPF_END;
	if (plain && *module)
		limit = s->start < UINT64_MAX - most ? s->start + most : UINT64_MAX;
	else if (plain && k->text_end)
		// What was init text is freed and may be anything now.
		limit =
		    s->start < k->text_end && s->start >= k->text_start ? k->text_end : s->start;
	if (plain && address < limit) {
		snprintf(name, sizeof(name), *module ? "%s [%s]" : "%s", plain, module);
		symbol.name = name;
		symbol.end = next < limit ? next : limit;
	} else if (plain) {
		symbol.start = limit;
	}
	k->found(k->arg, i, &symbol);
}

// Carries the symbols up to the addresses above, and what follows down to those below.
static void settle(struct kernel_pass *k)
{
	store_pending(k);
	for (uint32_t i = k->count; i-- > 1;)
		if (k->slots[i].next < k->slots[i - 1].next)
			k->slots[i - 1].next = k->slots[i].next;
}

int kernel_pass_step(void *pass, uint64_t budget_ns)
{
	struct kernel_pass *k = pass;
	uint64_t deadline = clock_now() + budget_ns;
	while (!k->eof) {
		int error = read_chunk(k);
		if (error)
			return error;
		if (!k->seen_address && (k->code > HIDDEN_AFTER || (k->eof && k->code)))
			return -EPERM;
		if (k->eof)
			settle(k);
		if (clock_now() >= deadline)
			return 1;
	}
	while (k->answered < k->count) {
		uint32_t i = k->answered++;
		if (k->slots[i].start)
			k->carry = i;
		answer(k, i, k->slots[i].next);
		if (i % 16 == 15 && clock_now() >= deadline)
			return 1;
	}
	return 0;
}
