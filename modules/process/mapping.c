// SPDX-License-Identifier: Apache-2.0
// Mappings of a process, and what an address in them means.
#include "private.h"
#include "../proc/proc.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#define MAPPINGS_MAX 16384u // executable ones, of one process
#define READ_NOW_NS 300000u // spent on the spot on reading a process's mappings

// What kind of memory a mapping is, by its path as /proc/PID/maps and perf write it.
uint32_t mapping_kind_of(const char *path, bool has_build_id)
{
	static const char *const anonymous[] = {"/memfd:", "/dev/zero", "/dev/shm/", "/SYSV",
	    "/anon_hugepage", "//anon", "/dev/"};
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
	struct process_mapping *m = cap > MAPPINGS_MAX
	    ? NULL
	    : mem_resize(ACCOUNT_PROCESS, e->mappings, cap * sizeof(*m));
	if (!m)
		return false;
	e->mappings = m;
	e->cap = cap;
	return true;
}

// Puts M in its place; what it covers of older mappings is cut away. Where memory fails the mapping
// is missing, and its addresses read as unmapped.
void mapping_put(struct entry *e, const struct process_mapping *m)
{
	if (!make_room(e, 2))
		return;
	uint32_t i = first_above(e, m->start);
	// An older mapping that reaches over both ends is split; its tail comes after M.
	if (i < e->count && e->mappings[i].start < m->start) {
		struct process_mapping *old = &e->mappings[i];
		if (old->end > m->end) {
			memmove(old + 1, old, (e->count - i) * sizeof(*old));
			e->count++;
			old[1].offset += m->end - old[1].start;
			old[1].start = m->end;
		}
		old->end = m->start;
		i++;
	}
	uint32_t last = i;
	while (last < e->count && e->mappings[last].end <= m->end)
		last++;
	if (last < e->count && e->mappings[last].start < m->end) {
		e->mappings[last].offset += m->end - e->mappings[last].start;
		e->mappings[last].start = m->end;
	}
	memmove(&e->mappings[i + 1], &e->mappings[last], (e->count - last) * sizeof(*m));
	e->count = e->count - (last - i) + 1;
	e->mappings[i] = *m;
}

void mappings_copy(struct entry *to, const struct entry *from)
{
	to->count = 0;
	for (uint32_t i = 0; i < from->count; i++)
		mapping_put(to, &from->mappings[i]);
}

struct read_state {
	struct processes *t;
	struct entry *into;
};

static int on_map(void *arg, const struct proc_map *pm)
{
	struct read_state *s = arg;
	if (!pm->executable || pm->end <= pm->start)
		return 0;
	struct process_mapping m = {
	    .start = pm->start,
	    .end = pm->end,
	    .offset = pm->offset,
	    .inode = pm->inode,
	    .kind = mapping_kind_of(pm->path, false),
	    .path = names_add(s->t->paths, pm->path, strlen(pm->path)),
	    .deleted = pm->deleted,
	};
	mapping_put(s->into, &m);
	return 0;
}

// Keeps what earlier reads found out about files: the same range of the same file is the same.
static void carry_over(struct entry *e, const struct process_mapping *old, uint32_t count)
{
	for (uint32_t i = 0, k = 0; i < e->count; i++) {
		struct process_mapping *m = &e->mappings[i];
		while (k < count && old[k].start < m->start)
			k++;
		if (k < count && old[k].start == m->start && old[k].offset == m->offset &&
		    old[k].path == m->path && (!old[k].inode || old[k].inode == m->inode)) {
			m->binary = old[k].binary;
			m->build_id = old[k].build_id;
		}
	}
}

// A child that never ran exec shares its parent's program.
static void inherit(struct processes *t, struct entry *e)
{
	struct entry *parent = entry_by_pid(t, e->p.ppid);
	if (parent && parent != e && strncmp(parent->p.comm, e->p.comm, sizeof(e->p.comm)) == 0)
		mappings_copy(e, parent);
}

// What was read takes the place of what was known; nothing read means that the process is ending,
// and what was known before is better than nothing.
static void take_over(struct entry *e, struct entry *fresh, uint64_t began)
{
	if (fresh->count) {
		carry_over(fresh, e->mappings, e->count);
		mem_free(e->mappings);
		e->mappings = fresh->mappings;
		e->count = fresh->count;
		e->cap = fresh->cap;
	} else {
		mem_free(fresh->mappings);
	}
	*fresh = (struct entry){0};
	e->maps_read = true;
	e->stale = false;
	e->losses = count_get(COUNT_MMAP_LOST);
	// A reader of thousands of mappings may cost 1 % of a CPU, not more.
	e->next_read_ns = clock_now() + 100 * (clock_now() - began) + 10 * NS_PER_MS;
}

void reading_end(struct processes *t)
{
	proc_maps_free(t->reading.job);
	mem_free(t->reading.fresh.mappings);
	t->reading = (struct reading){0};
}

int processes_read(struct processes *t, uint64_t budget_ns)
{
	struct reading *r = &t->reading;
	struct entry *e = (struct entry *)process_by_id(t, r->id);
	if (!r->job)
		return 0;
	struct read_state s = {.t = t, .into = &r->fresh};
	int more = e ? proc_maps_step(r->job, budget_ns, on_map, &s) : 0;
	if (more > 0)
		return 1;
	if (e) {
		bool events = r->events;
		take_over(e, &r->fresh, r->began_ns);
		e->stale = events;
	}
	reading_end(t);
	return 0;
}

// A process with few mappings is read at once; one with many goes on in processes_read.
static void read_maps(struct processes *t, struct entry *e)
{
	uint64_t began = clock_now();
	struct proc_stat st;
	struct entry fresh = {.count = 0};
	struct read_state s = {.t = t, .into = &fresh};
	if (began < e->next_read_ns || t->reading.id == e->p.id)
		return;
	// The pid may belong to another process by now, or to another program after exec.
	bool same = proc_stat(t->options.proc, e->p.pid, &st) == 0 && st.start_ticks == e->p.start_ticks &&
		    strncmp(st.comm, e->p.comm, sizeof(st.comm)) == 0;
	if (!same) {
		if (!e->count)
			inherit(t, e);
		e->maps_read = true;
		e->stale = false;
		e->next_read_ns = began + NS_PER_S;
		return;
	}
	struct proc_maps_job *job = proc_maps_new(t->options.proc, e->p.pid);
	int more = job ? proc_maps_step(job, READ_NOW_NS, on_map, &s) : 0;
	if (more <= 0) {
		take_over(e, &fresh, began);
	} else if (!t->reading.job) {
		t->reading = (struct reading){.job = job, .fresh = fresh, .id = e->p.id, .began_ns = began};
		if (t->options.on_busy)
			t->options.on_busy(t->options.arg);
		return;
	} else { // another one is being read: later
		mem_free(fresh.mappings);
		e->next_read_ns = clock_now() + 50 * NS_PER_MS;
	}
	proc_maps_free(job);
}

static void pin_process(struct processes *t, struct entry *e)
{
	if (e->p.root_fd >= 0 || e->p.ns_pid || t->options.offline || t->pinned >= t->options.pinned_max)
		return;
	e->p.root_fd = proc_root_open(t->options.proc, e->p.pid);
	if (e->p.root_fd >= 0)
		t->pinned++;
	if (proc_status(t->options.proc, e->p.pid, &e->p.ns_pid, &e->p.euid) < 0)
		e->p.ns_pid = e->p.pid; // gone already: it has no map that could be found
}

struct place process_place(struct processes *t, struct process *p, uint64_t address)
{
	struct entry *e = (struct entry *)p;
	if (e->losses != count_get(COUNT_MMAP_LOST))
		e->stale = true;
	struct process_mapping *m = mapping_at(e, address);
	bool ask = e->stale || (!m && !e->maps_read);
	if (ask && !t->options.offline && !p->kernel_thread) {
		read_maps(t, e);
		m = mapping_at(e, address);
	}
	if (!m && !e->maps_read && !t->options.offline && !p->exit_ns)
		return (struct place){.kind = PLACE_PENDING, .owner = p->id, .address = address};
	if (!m)
		return (struct place){.kind = PLACE_UNMAPPED, .owner = p->id, .address = address};
	if (m->kind == PLACE_VDSO)
		return (struct place){.kind = PLACE_VDSO, .address = address - m->start + m->offset};
	if (m->kind == PLACE_ANON) {
		pin_process(t, e);
		return (struct place){.kind = PLACE_ANON, .owner = p->id, .address = address};
	}
	if (!m->binary) {
		m->binary = binary_of(t, e, m);
		if (m->binary && t->options.on_mapping)
			t->options.on_mapping(t->options.arg, p, m);
	}
	struct binary *b = binary_by_id(t, m->binary);
	uint64_t offset = address - m->start + m->offset, vaddr;
	if (b && elf_vaddr(&b->facts, offset, &vaddr) == 0)
		return (struct place){.kind = PLACE_FILE, .owner = b->id, .address = vaddr};
	return (struct place){.kind = PLACE_OFFSET, .owner = m->binary, .address = offset};
}
