// SPDX-License-Identifier: Apache-2.0
// HotSpot's table of its structures' fields, which it exports for debuggers (vmStructs.hpp); an
// entry without a type is the last:
//
//   | type * | field * | type of the field * | static, 4 bytes | offset, 8 | address, 8 |
#include "hotspot.h"
#include "mapped.h"

#include "../../bpf/alloc.h"
#include "../base/base.h"
#include "../elf/elf.h"
#include "../proc/proc.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#define ENTRIES_MAX 4096 // there are some 800
#define ENTRIES_READ 32
#define READS_MAX 800	// of names, some 250 in 0.4 ms
#define OFFSET_END 2048 // that a probe can be told (bpf/alloc.h)

struct entry {
	uint64_t type, field, field_type;
	uint32_t is_static, pad;
	uint64_t offset, address;
};

enum { ALLOCATED, TLAB, START, TOP, FIELDS };
static const struct {
	const char *types[2], *name; // newer ones have the first, or the second
} fields[FIELDS] = {
    [ALLOCATED] = {{"Thread", "JavaThread"}, "_allocated_bytes"},
    [TLAB] = {{"Thread", "JavaThread"}, "_tlab"},
    [START] = {{"ThreadLocalAllocBuffer", "ThreadLocalAllocBuffer"}, "_start"},
    [TOP] = {{"ThreadLocalAllocBuffer", "ThreadLocalAllocBuffer"}, "_top"},
};

struct reading {
	int memory;
	uint64_t offsets[FIELDS];
	uint32_t found; // bit per field
	uint32_t reads;
	uint64_t type; // the address that was read last, and
	char name[32]; // what stands there
};

static bool read_text(struct reading *r, uint64_t at, char *to, size_t size)
{
	r->reads++;
	ssize_t n = at > INT64_MAX ? -1 : pread(r->memory, to, size - 1, (off_t)at);
	to[n > 0 ? n : 0] = 0;
	return n > 0;
}

static void look_at(struct reading *r, const struct entry *e)
{
	char field[32];
	bool read = false;
	if (r->type != e->type)
		read_text(r, e->type, r->name, sizeof(r->name));
	r->type = e->type;
	for (int f = 0; f < FIELDS; f++) {
		if (strcmp(r->name, fields[f].types[0]) && strcmp(r->name, fields[f].types[1]))
			continue;
		if (!read && !read_text(r, e->field, field, sizeof(field)))
			return;
		read = true;
		if (strcmp(field, fields[f].name) || e->is_static)
			continue;
		r->offsets[f] = e->offset;
		r->found |= 1u << f;
	}
}

static void read_table(struct reading *r, uint64_t pointer)
{
	struct entry e[ENTRIES_READ];
	uint64_t at;
	if (pointer > INT64_MAX || pread(r->memory, &at, sizeof(at), (off_t)pointer) != sizeof(at))
		return;
	for (int i = 0; i < ENTRIES_MAX / ENTRIES_READ && at < INT64_MAX; i++, at += sizeof(e)) {
		ssize_t n = pread(r->memory, e, sizeof(e), (off_t)at);
		for (size_t k = 0; n > 0 && k < (size_t)n / sizeof(*e); k++) {
			if (!e[k].type || r->reads > READS_MAX)
				return;
			look_at(r, &e[k]);
		}
		if (n != sizeof(e))
			return;
	}
}

// A field at OFFSET that a probe can be told.
static bool fits(uint64_t offset)
{
	return offset && offset < OFFSET_END && offset % 8 == 0;
}

static void fit(struct allocator *a, const struct reading *r)
{
	uint64_t allocated = r->offsets[ALLOCATED], tlab = r->offsets[TLAB];
	uint64_t start = tlab + r->offsets[START], top = tlab + r->offsets[TOP];
	bool last = r->found == (1u << FIELDS) - 1 && fits(start) && fits(top) && fits(allocated);
	uint32_t kept = 0;
	for (uint32_t i = 0; i < a->count; i++) {
		struct kernel_probe p = a->probes[i];
		if (!last && p.kind == ALLOC_JAVA_END) // it could not tell anything
			continue;
		p.kind = ALLOC_JAVA_KIND(
		    p.kind, fits(allocated) ? allocated : 0, last ? start : 0, last ? top : 0);
		a->probes[kept++] = p;
	}
	a->count = kept;
}

// How far above its link-time addresses FD's code lies where it is mapped as M says.
static bool bias_of(int fd, const struct mapped *m, uint64_t *bias)
{
	struct elf_facts facts;
	if (elf_facts(fd, &facts))
		return false;
	for (uint8_t i = 0; i < facts.exec_count; i++) {
		const struct elf_exec *x = &facts.exec[i];
		if (x->offset + x->size <= m->offset ||
		    x->offset >= m->offset + (m->end - m->start))
			continue;
		*bias = m->start - m->offset - (x->vaddr - x->offset);
		return true;
	}
	return false;
}

bool hotspot_fit(
    struct allocator *a, struct proc *proc, uint32_t pid, int fd, const struct mapped *m)
{
	struct reading r = {.memory = proc_memory_open(proc, pid)};
	uint64_t bias;
	if (r.memory >= 0 && a->tables && bias_of(fd, m, &bias))
		read_table(&r, bias + a->tables);
	if (r.memory >= 0)
		close(r.memory);
	fit(a, &r);
	return fits(r.offsets[ALLOCATED]);
}
