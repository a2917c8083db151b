// SPDX-License-Identifier: Apache-2.0
// Mappings of a process, and what an address in them means.
#include "private.h"

#include <errno.h>
#include <string.h>

#define MAPPINGS_MAX 16384u // executable ones, of one process
// Live paths are rarely a tenth of this; beyond it a mapping has no path, until the next sweep.
#define PATHS_BYTES_MAX (4u << 20)

// What kind of memory a mapping is, by its path as /proc/PID/maps and perf write it.
uint32_t mapping_kind_of(const char *path, bool has_build_id)
{
	static const char *const anonymous[] = {
	    "/memfd:", "/dev/", "/SYSV", "/anon_hugepage", "//anon"};
	if (strcmp(path, "[vdso]") == 0)
		return PLACE_VDSO;
	if (path[0] != '/')
		return PLACE_ANON;
	if (has_build_id)
		return PLACE_FILE;
	for (size_t i = 0; i < sizeof(anonymous) / sizeof(*anonymous); i++)
		if (strncmp(path, anonymous[i], strlen(anonymous[i])) == 0)
			return PLACE_ANON;
	// jit-PID.dump is mapped as a marker by runtimes that write one; it is not code.
	const char *base = strrchr(path, '/') + 1;
	size_t n = strlen(base);
	if (strncmp(base, "jit-", 4) == 0 && n > 5 && strcmp(base + n - 5, ".dump") == 0)
		return PLACE_ANON;
	return PLACE_FILE;
}

int path_add(struct processes *t, const char *path, size_t n, uint32_t *id)
{
	bool full = names_bytes(t->paths) > PATHS_BYTES_MAX;
	*id = full ? names_find(t->paths, path, n) : names_add(t->paths, path, n);
	return *id || full || !n ? 0 : -ENOMEM;
}

// First mapping that ends above ADDRESS.
static uint32_t first_above(const struct entry *e, uint64_t address)
{
	uint32_t lo = 0, hi = e->count;
	while (lo < hi) {
		uint32_t mid = (lo + hi) / 2;
		if (e->mappings[mid].end > address)
			hi = mid;
		else
			lo = mid + 1;
	}
	return lo;
}

struct process_mapping *mapping_at(struct entry *e, uint64_t address)
{
	uint32_t i = first_above(e, address);
	return i < e->count && e->mappings[i].start <= address ? &e->mappings[i] : NULL;
}

static bool make_room(struct entry *e, uint32_t more)
{
	if (e->count + more <= e->cap)
		return true;
	uint32_t cap = e->cap ? e->cap * 2 : 16;
	struct process_mapping *m =
	    cap > MAPPINGS_MAX ? NULL : mem_resize(ACCOUNT_PROCESS, e->mappings, cap * sizeof(*m));
	if (!m)
		return false;
	e->mappings = m;
	e->cap = cap;
	return true;
}

// Takes [start, end) out of the mappings; returns where in the order it was. What reaches over both
// ends is split; where there is no room for that, its tail is lost.
static uint32_t cut(struct entry *e, uint64_t start, uint64_t end)
{
	uint32_t i = first_above(e, start);
	if (i < e->count && e->mappings[i].start < start) {
		struct process_mapping *old = &e->mappings[i];
		if (old->end > end && e->count < e->cap) {
			memmove(old + 1, old, (e->count - i) * sizeof(*old));
			e->count++;
			old[1].offset += end - old[1].start;
			old[1].start = end;
		}
		old->end = start;
		i++;
	}
	uint32_t last = i;
	while (last < e->count && e->mappings[last].end <= end)
		last++;
	if (last < e->count && e->mappings[last].start < end) {
		e->mappings[last].offset += end - e->mappings[last].start;
		e->mappings[last].start = end;
	}
	if (last > i)
		memmove(
		    &e->mappings[i], &e->mappings[last], (e->count - last) * sizeof(*e->mappings));
	e->count -= last - i;
	return i;
}

// Puts M in its place; what it covers of older mappings is cut away. Without room for it they are
// cut all the same, so that its addresses read as unmapped, not as what lay there before.
int mapping_put(struct entry *e, const struct process_mapping *m)
{
	bool room = make_room(e, 2);
	uint32_t i = cut(e, m->start, m->end);
	if (!room)
		return -ENOMEM;
	memmove(&e->mappings[i + 1], &e->mappings[i], (e->count - i) * sizeof(*m));
	e->count++;
	e->mappings[i] = *m;
	return 0;
}

int mappings_copy(struct entry *to, const struct entry *from)
{
	int error = 0;
	to->count = 0;
	for (uint32_t i = 0; i < from->count && !error; i++)
		error = mapping_put(to, &from->mappings[i]);
	return error;
}

static struct place place_in_file(
    struct processes *t, struct entry *e, struct process_mapping *m, uint64_t address)
{
	struct binary *b = m->binary ? binary_by_id(t, m->binary) : NULL;
	if (!b) { // not asked for yet, or forgotten since
		uint32_t before = m->binary;
		m->binary = binary_of(t, e, m);
		m->told = m->told && m->binary == before;
		b = m->binary ? binary_by_id(t, m->binary) : NULL;
	}
	uint64_t offset = address - m->start + m->offset, vaddr;
	if (b && elf_vaddr(&b->facts, offset, &vaddr) == 0)
		return (struct place){.kind = PLACE_FILE, .owner = b->id, .address = vaddr};
	return (struct place){.kind = PLACE_OFFSET, .owner = m->binary, .address = offset};
}

static struct place place_in_vdso(const struct process_mapping *m, uint64_t address)
{
	// A 32-bit process has another image than we have: an offset that ours does not reach.
	uint64_t other = m->start >> 32 ? 0 : 1ull << 32;
	return (struct place){
	    .kind = PLACE_VDSO, .address = address - m->start + m->offset + other};
}

// Are the mappings to be read? LEAF: the address is where the CPU was, so there is code; a caller
// that is in no mapping is more likely no address at all.
static bool must_read(const struct processes *t, const struct entry *e, bool found, bool leaf)
{
	if (e->tried || t->options.offline || e->p.kernel_thread)
		return false;
	if (e->losses != count_get(COUNT_MMAP_LOST))
		return true;
	return !found && (leaf || e->stale || !e->maps_read);
}

static struct place place_of(struct processes *t, struct entry *e, uint64_t address)
{
	struct place nowhere = {.kind = PLACE_UNMAPPED, .owner = e->p.id, .address = address};
	struct place place;
	if (e->late)
		return nowhere;
	struct process_mapping *m = mapping_at(e, address);
	bool leaf = !e->asked;
	e->asked = true;
	if (must_read(t, e, m, leaf)) {
		e->tried = true;
		read_maps(t, e);
		m = mapping_at(e, address);
	}
	if (!m && !e->maps_read && !t->options.offline && !e->p.exit_ns)
		nowhere.kind = PLACE_PENDING;
	if (!m)
		return nowhere;
	if (m->kind == PLACE_VDSO) {
		place = place_in_vdso(m, address);
	} else if (m->kind == PLACE_ANON) {
		jit_pin(t, e);
		place = (struct place){.kind = PLACE_ANON, .owner = e->p.id, .address = address};
	} else {
		place = place_in_file(t, e, m, address);
	}
	if (!m->told && t->options.on_mapping) {
		m->told = true;
		t->options.on_mapping(t->options.arg, &e->p, m);
	}
	return place;
}

struct place process_place(struct processes *t, struct process *p, uint64_t address)
{
	t->busy++;
	struct place place = place_of(t, (struct entry *)p, address);
	t->busy--;
	return place;
}
