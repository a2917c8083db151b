// SPDX-License-Identifier: Apache-2.0
// Mappings of a process, and what an address in them means.
#include "private.h"

#include <errno.h>
#include <string.h>

#define MAPPINGS_MAX 16384u // executable ones, of one process
#define MEMFD "/memfd:"
#define MEMFD_MAX 256u // of MFD_NAME_MAX_LEN, memfd_create(2): 249 bytes after the prefix
// Live paths are rarely a tenth of this; beyond it a mapping has no path, until the next sweep.
#define PATHS_BYTES_MAX (4u << 20)

// What kind of memory a mapping is, by its path as /proc/PID/maps and perf write it.
uint32_t mapping_kind_of(const char *path, bool has_build_id)
{
	static const char *const anonymous[] = {
	    MEMFD, "/dev/", "/SYSV", "/anon_hugepage", "//anon"};
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

// Where MEMFD is what its maker called it, "[memfd:NAME]" fit to be shown.
static int path_add_memfd(struct processes *t, const char *path, size_t n, uint32_t *id)
{
	char text[MEMFD_MAX + 2] = "[";
	bool utf8 = text_utf8_valid(path, n);
	n = n < MEMFD_MAX ? n : MEMFD_MAX;
	for (size_t i = 1; i < n; i++) {
		unsigned char c = (unsigned char)path[i];
		text[i] = c < ' ' || c == 127 || (c > 127 && !utf8) ? '?' : path[i];
	}
	text[n] = ']';
	return path_add(t, text, n + 1, id);
}

int path_of_mapping(struct processes *t, struct process_mapping *m, const char *path, size_t n)
{
	if (m->kind == PLACE_ANON && strncmp(path, MEMFD, strlen(MEMFD)) == 0)
		return path_add_memfd(t, path, n, &m->path);
	return m->kind == PLACE_FILE ? path_add(t, path, n, &m->path) : 0;
}

// First mapping that ends above ADDRESS.
static uint32_t first_above(const struct mappings *in, uint64_t address)
{
	uint32_t lo = 0, hi = in->count;
	while (lo < hi) {
		uint32_t mid = (lo + hi) / 2;
		if (in->at[mid].end > address)
			hi = mid;
		else
			lo = mid + 1;
	}
	return lo;
}

struct process_mapping *mapping_at(const struct mappings *in, uint64_t address)
{
	uint32_t i = first_above(in, address);
	return i < in->count && in->at[i].start <= address ? &in->at[i] : NULL;
}

static int make_room(struct mappings *to, uint32_t more)
{
	if (to->count + more <= to->cap)
		return 0;
	uint32_t cap = to->cap ? to->cap * 2 : 16;
	if (cap > MAPPINGS_MAX) {
		to->full = true;
		return -ENOSPC;
	}
	struct process_mapping *m = mem_resize(ACCOUNT_PROCESS, to->at, cap * sizeof(*m));
	if (!m) {
		to->stale = true;
		return -ENOMEM;
	}
	to->at = m;
	to->cap = cap;
	return 0;
}

// Takes [start, end) out of the mappings; returns where in the order it was. What reaches over both
// ends is split; where there is no room for that, its tail is lost.
static uint32_t cut(struct mappings *in, uint64_t start, uint64_t end)
{
	uint32_t i = first_above(in, start);
	if (i < in->count && in->at[i].start < start) {
		struct process_mapping *old = &in->at[i];
		if (old->end > end && in->count < in->cap) {
			memmove(old + 1, old, (in->count - i) * sizeof(*old));
			in->count++;
			old[1].offset += end - old[1].start;
			old[1].start = end;
		}
		old->end = start;
		i++;
	}
	uint32_t last = i;
	while (last < in->count && in->at[last].end <= end)
		last++;
	if (last < in->count && in->at[last].start < end) {
		in->at[last].offset += end - in->at[last].start;
		in->at[last].start = end;
	}
	if (last > i)
		memmove(&in->at[i], &in->at[last], (in->count - last) * sizeof(*in->at));
	in->count -= last - i;
	return i;
}

// Puts M in its place; what it covers of older mappings is cut away. Without room for it they are
// cut all the same, so that its addresses read as unmapped, not as what lay there before.
int mapping_put(struct mappings *to, const struct process_mapping *m)
{
	int error = make_room(to, 2);
	uint32_t i = cut(to, m->start, m->end);
	if (error)
		return error;
	memmove(&to->at[i + 1], &to->at[i], (to->count - i) * sizeof(*m));
	to->count++;
	to->at[i] = *m;
	return 0;
}

void mappings_copy(struct mappings *to, const struct mappings *from)
{
	to->count = 0;
	for (uint32_t i = 0; i < from->count; i++) {
		struct process_mapping m = from->at[i];
		m.told = false;
		if (mapping_put(to, &m) < 0)
			break;
	}
	to->full |= from->full;
}

void mappings_free(struct mappings *m)
{
	mem_free(m->at);
	*m = (struct mappings){0};
}

struct place place_in_file(
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

const struct process_mapping *process_mappings(
    struct processes *t, struct process *p, uint32_t *count)
{
	const struct entry *e = (struct entry *)p;
	(void)t;
	*count = e->maps_read && !e->late && !e->bare && !p->kernel_thread ? e->now.count : 0;
	return e->now.at;
}

uint32_t process_mapping_guess(const struct processes *t, const struct process_mapping *m)
{
	uint64_t id;
	if (m->binary || m->kind != PLACE_FILE || !m->build_id)
		return m->binary;
	return map_get(&t->by_build_id, m->build_id, &id) && id != AMBIGUOUS ? (uint32_t)id : 0;
}

uint32_t process_mapping_binary(struct processes *t, struct process *p, uint64_t address)
{
	struct entry *e = (struct entry *)p;
	t->busy++;
	struct process_mapping *m = mapping_at(&e->now, address);
	if (m && m->kind == PLACE_FILE)
		place_in_file(t, e, m, address);
	uint32_t binary = m && m->kind == PLACE_FILE ? m->binary : 0;
	t->busy--;
	return binary;
}

const struct process_mapping *process_program(struct processes *t, struct process *p)
{
	struct entry *e = (struct entry *)p;
	struct process_mapping *m = NULL;
	t->busy++;
	if (!e->maps_read && !t->options.offline && !p->exit_ns)
		read_maps(t, e);
	for (uint32_t i = 0; e->maps_read && !m && i < e->now.count; i++)
		if (e->now.at[i].kind == PLACE_FILE)
			m = &e->now.at[i];
	if (m)
		place_in_file(t, e, m, m->start);
	t->busy--;
	return m && m->binary ? m : NULL;
}

struct place place_in_vdso(const struct process_mapping *m, uint64_t address)
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
	bool whole = e->maps_read && !e->now.stale;
	return !found && (!whole || (leaf && !e->now.full));
}

// The name under which JIT code in a memfd is shown.
static void name_memfd(struct processes *t, struct process_mapping *m)
{
	if (m->path && (!m->binary || !binary_by_id(t, m->binary)))
		m->binary = binary_of_name(t, m);
}

static void tell(struct processes *t, struct entry *e, struct process_mapping *m)
{
	if (m->told || !t->options.on_mapping)
		return;
	m->told = true;
	t->options.on_mapping(t->options.arg, &e->p, m);
}

// In no mapping that is known. A recording says why.
static struct place place_nowhere(struct processes *t, struct entry *e, uint64_t address)
{
	struct place place = {.kind = PLACE_UNMAPPED, .owner = e->p.id, .address = address};
	struct process_mapping m = {.start = address, .end = address + 1, .kind = PLACE_TOO_MANY};
	if (!e->maps_read && !t->options.offline && !e->p.exit_ns) {
		place.kind = PLACE_PENDING;
	} else if (e->now.full) {
		place.kind = PLACE_TOO_MANY;
		count_add(COUNT_MAPPINGS_FULL, 1);
		tell(t, e, &m);
	}
	return place;
}

static struct place place_of(struct processes *t, struct entry *e, uint64_t address)
{
	struct place place;
	bool leaf = !e->asked;
	e->asked = true;
	if ((leaf || e->late) && exec_place(t, e, address, &place))
		return place;
	struct process_mapping *m = mapping_at(&e->now, address);
	if (must_read(t, e, m, leaf)) {
		e->tried = true;
		read_maps(t, e);
		m = mapping_at(&e->now, address);
	}
	if (!m)
		return place_nowhere(t, e, address);
	switch (m->kind) {
	case PLACE_VDSO:
		place = place_in_vdso(m, address);
		break;
	case PLACE_ANON:
		jit_pin(t, e);
		name_memfd(t, m);
		place = (struct place){.kind = PLACE_ANON, .owner = e->p.id, .address = address};
		break;
	case PLACE_FILE:
		place = place_in_file(t, e, m, address);
		break;
	default: // a recording says so
		return (struct place){.kind = m->kind, .owner = e->p.id, .address = address};
	}
	tell(t, e, m);
	return place;
}

struct place process_place(struct processes *t, struct process *p, uint64_t address)
{
	t->busy++;
	struct place place = place_of(t, (struct entry *)p, address);
	t->busy--;
	return place;
}

uint32_t process_binary_at(const struct process *p, uint64_t address)
{
	const struct process_mapping *m = mapping_at(&((const struct entry *)p)->now, address);
	return m ? m->binary : 0;
}
