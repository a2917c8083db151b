// SPDX-License-Identifier: Apache-2.0
// Files and their windows.
//
//   file { low, first, count } -> windows[first .. first + count), one for each MiB from `low` on
#include "private.h"

#include <errno.h>
#include <link.h>
#include <sys/auxv.h>

#define VDSO_MAX 65536
#define PAGE 4096u // addresses in mappings and files are told in these
#define GOES_AT_ONCE 8
// A file that no process has any more is forgotten so long after it was last used.
#define LOADED_STAY_S 300
#define EMPTY_STAY_S 10

static uint64_t floor_of(uint64_t address)
{
	return address & ~(uint64_t)(WINDOW_BYTES - 1);
}

// The span of the code: link-time addresses [*LOW, *HIGH), LOW where a window starts.
static void span_of(const struct elf_facts *facts, uint64_t *low, uint64_t *high)
{
	*low = UINT64_MAX;
	*high = 0;
	for (uint32_t i = 0; i < facts->exec_count; i++) {
		const struct elf_exec *x = &facts->exec[i];
		if (!x->size)
			continue;
		*low = x->vaddr < *low ? x->vaddr : *low;
		*high = x->vaddr + x->size > *high ? x->vaddr + x->size : *high;
	}
	*low = floor_of(*low);
}

bool facts_usable(const struct elf_facts *facts)
{
	uint64_t low, high;
	if (!facts->is_64)
		return false;
	for (uint32_t i = 0; i < facts->exec_count; i++)
		if ((facts->exec[i].vaddr - facts->exec[i].offset) % PAGE)
			return false; // it could not be mapped as it says
	span_of(facts, &low, &high);
	return low < high && (high - low - 1) / WINDOW_BYTES < FILE_WINDOWS_MAX;
}

struct file *file_of(const struct unwind *u, uint64_t key)
{
	uint64_t v;
	return map_get(&u->files, key, &v) ? (struct file *)(uintptr_t)v : NULL;
}

// Seconds when anything of F was last used.
static uint32_t used_of(const struct unwind *u, const struct file *f)
{
	uint32_t used = f->used;
	for (uint32_t i = f->first; i < f->first + (uint32_t)f->count; i++)
		if (u->options.tables->windows[i].used > used)
			used = u->options.tables->windows[i].used;
	return used;
}

void file_free(struct unwind *u, struct file *f)
{
	load_forget(u, f);
	for (uint32_t i = f->first; i < f->first + (uint32_t)f->count; i++) {
		window_unload(u, i);
		window_set(u, i, WINDOW_ASK);
		u->options.tables->windows[i].used = 0;
		u->owner[i] = NULL;
	}
	pool_rest(u->windows, f->first, f->count);
	map_remove(&u->files, f->key);
	mem_free(f);
}

// What is published of processes that have F goes, then F itself.
static void let_go(struct unwind *u, struct file *f)
{
	struct map_slot s;
	for (uint32_t i = 0; f->refs && map_next(&u->publications, &i, &s);) {
		struct publication *p = (struct publication *)(uintptr_t)s.value;
		if (!publication_has(p, f))
			continue;
		publication_free(u, p);
		i--; // another may lie in its place now
	}
	file_free(u, f);
}

// The file unused for longest, one that nobody has if there is any. NULL: all are in use.
static struct file *oldest(const struct unwind *u)
{
	struct file *found = NULL;
	uint32_t used = 0, now = now_s();
	struct map_slot s;
	for (uint32_t i = 0; map_next(&u->files, &i, &s);) {
		struct file *f = (struct file *)(uintptr_t)s.value;
		uint32_t its = used_of(u, f);
		bool free = !f->refs, other_free = found && !found->refs;
		if (its > now || now - its <= RECENT_S)
			continue;
		if (!found || (free && !other_free) || (free == other_free && its < used)) {
			found = f;
			used = its;
		}
	}
	return found;
}

// Sees to it that COUNT windows in a row are free once they have rested.
static void make_room(struct unwind *u, uint32_t count)
{
	for (uint32_t n = 0; n < GOES_AT_ONCE; n++) {
		if (pool_find(u->windows, count, true) != POOL_NONE)
			return;
		struct file *f = oldest(u);
		if (!f)
			return;
		let_go(u, f);
	}
}

static struct file *make(struct unwind *u, uint64_t key, uint64_t low, uint32_t count, bool force)
{
	uint32_t first = pool_find(u->windows, count, false);
	if (first == POOL_NONE) {
		if (force)
			make_room(u, count);
		return NULL;
	}
	struct file *f = NULL;
	size_t bytes = sizeof(*f) + count * sizeof(*f->windows);
	if (unwind_room(u, &u->files, bytes))
		f = mem_alloc(ACCOUNT_UNWIND, bytes);
	if (!f)
		return NULL;
	*f = (struct file){.key = key, .low = low, .used = now_s()};
	f->first = (uint16_t)first;
	f->count = (uint16_t)count;
	if (map_put(&u->files, key, (uintptr_t)f) < 0) {
		mem_free(f);
		return NULL;
	}
	pool_take(u->windows, first, count);
	for (uint32_t i = 0; i < count; i++)
		u->owner[first + i] = f;
	return f;
}

struct file *file_make(struct unwind *u, const struct binary *b, bool force)
{
	struct file *f = file_of(u, b->id);
	uint64_t low, high;
	if (f)
		return f;
	span_of(&b->facts, &low, &high);
	return make(u, b->id, low, (uint32_t)((high - low - 1) / WINDOW_BYTES) + 1, force);
}

bool vdso_is_ours(const struct process_mapping *m)
{
	return m->kind == PLACE_VDSO && m->start >> 32;
}

// Our own image is that of all. The section headers are the last thing in it.
static void find_vdso(struct unwind *u)
{
	const char *image = (const char *)getauxval(AT_SYSINFO_EHDR);
	if (!image)
		return;
	const ElfW(Ehdr) *header = (const ElfW(Ehdr) *)image;
	const ElfW(Phdr) *segment = (const ElfW(Phdr) *)(image + header->e_phoff);
	size_t end = header->e_shoff + (size_t)header->e_shnum * header->e_shentsize;
	for (unsigned i = 0; i < header->e_phnum; i++, segment++) {
		if (segment->p_type != PT_LOAD)
			continue;
		if (segment->p_offset + segment->p_filesz > end)
			end = segment->p_offset + segment->p_filesz;
		u->vdso_delta = segment->p_vaddr - segment->p_offset;
	}
	if (end > VDSO_MAX)
		return;
	u->vdso = image;
	u->vdso_size = end;
}

struct file *file_make_vdso(struct unwind *u)
{
	struct file *f = file_of(u, FILE_VDSO);
	if (f)
		return f;
	if (!u->vdso)
		find_vdso(u);
	// Two, for it may reach over the end of one.
	return u->vdso ? make(u, FILE_VDSO, floor_of(u->vdso_delta), 2, true) : NULL;
}

void files_sweep(struct unwind *u)
{
	struct map_slot s;
	uint32_t now = now_s();
	for (uint32_t i = 0; map_next(&u->files, &i, &s);) {
		struct file *f = (struct file *)(uintptr_t)s.value;
		// Rows stay for a while: a program that ended may be started again.
		uint32_t stay = f->loaded ? LOADED_STAY_S : EMPTY_STAY_S;
		if (f->refs || used_of(u, f) + stay >= now)
			continue;
		file_free(u, f);
		i--; // another may lie in its place now
	}
}
