// SPDX-License-Identifier: Apache-2.0
// Processes: learned from samples, events and /proc; forgotten after a grace time.
#include "private.h"
#include "../proc/proc.h"
#include "../../bpf/record.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#define TICK_NS 10000000ull // /proc counts start times in USER_HZ, 100 a second on every Linux
#define UNSAMPLED_NS (20 * NS_PER_S) // what nobody sampled for so long is read again when needed
#define PATHS_BYTES_MAX (512u << 10)

struct processes *processes_new(const struct process_options *options)
{
	struct processes *t = mem_alloc(ACCOUNT_PROCESS, sizeof(*t));
	if (!t)
		return NULL;
	t->options = *options;
	if (!t->options.processes_max)
		t->options.processes_max = 16384;
	if (!t->options.binaries_max)
		t->options.binaries_max = 2048;
	if (!t->options.pinned_max)
		t->options.pinned_max = 256;
	if (!t->options.grace_ns)
		t->options.grace_ns = 30 * NS_PER_S;
	t->by_pid = t->by_id = t->binaries = t->by_key = t->by_build_id = MAP(ACCOUNT_PROCESS);
	t->next_id = t->next_binary = 1;
	for (int i = 0; i < ROOTS_MAX; i++)
		t->roots[i].fd = -1;
	t->paths = names_new(ACCOUNT_PROCESS);
	if (!t->paths) {
		processes_free(t);
		return errno = ENOMEM, NULL;
	}
	return t;
}

void processes_free(struct processes *t)
{
	struct map_slot s;
	if (!t)
		return;
	reading_end(t);
	for (uint32_t i = 0; map_next(&t->by_id, &i, &s); i = 0)
		entry_free(t, (struct entry *)(uintptr_t)s.value);
	for (uint32_t i = 0; map_next(&t->binaries, &i, &s); i = 0)
		binary_drop(t, (struct binary_entry *)(uintptr_t)s.value);
	for (int i = 0; i < ROOTS_MAX; i++)
		if (t->roots[i].fd >= 0)
			close(t->roots[i].fd);
	proc_scan_free(t->scan);
	map_clear(&t->by_pid);
	map_clear(&t->by_id);
	map_clear(&t->binaries);
	map_clear(&t->by_key);
	map_clear(&t->by_build_id);
	names_free(t->paths);
	mem_free(t);
}

struct entry *entry_by_pid(struct processes *t, uint32_t pid)
{
	uint64_t v;
	return map_get(&t->by_pid, pid, &v) ? (struct entry *)(uintptr_t)v : NULL;
}

struct process *process_by_pid(struct processes *t, uint32_t pid)
{
	struct entry *e = entry_by_pid(t, pid);
	return e ? &e->p : NULL;
}

struct process *process_by_id(struct processes *t, uint32_t id)
{
	uint64_t v;
	return map_get(&t->by_id, id, &v) ? &((struct entry *)(uintptr_t)v)->p : NULL;
}

void entry_free(struct processes *t, struct entry *e)
{
	if (entry_by_pid(t, e->p.pid) == e)
		map_remove(&t->by_pid, e->p.pid);
	map_remove(&t->by_id, e->p.id);
	if (e->p.root_fd >= 0) {
		close(e->p.root_fd);
		t->pinned--;
	}
	mem_free(e->mappings);
	mem_free(e);
	count_set(COUNT_PROCESSES, t->by_id.count);
}

// The table is full: the one not seen for longest goes, the exited and never sampled before others.
static bool evict(struct processes *t)
{
	struct map_slot s;
	struct entry *worst = NULL;
	uint64_t worst_age = 0;
	for (uint32_t i = 0; map_next(&t->by_id, &i, &s);) {
		struct entry *e = (struct entry *)(uintptr_t)s.value;
		uint64_t age = t->now_ns - e->seen_ns;
		if (!e->sampled || e->p.exit_ns)
			age += UINT64_MAX / 2;
		if (!worst || age > worst_age) {
			worst = e;
			worst_age = age;
		}
	}
	if (!worst)
		return false;
	count_add(COUNT_PROCESSES_FULL, 1);
	entry_free(t, worst);
	return true;
}

struct entry *entry_add(struct processes *t, uint32_t pid, uint64_t start_ticks)
{
	if (t->by_id.count >= t->options.processes_max && !evict(t))
		return errno = ENOSPC, NULL;
	struct entry *e = mem_alloc(ACCOUNT_PROCESS, sizeof(*e));
	if (!e)
		return NULL;
	e->p = (struct process){.id = t->next_id, .pid = pid, .start_ticks = start_ticks, .root_fd = -1,
	    .wanted = true};
	e->seen_ns = t->now_ns;
	e->losses = count_get(COUNT_MMAP_LOST);
	if (map_put(&t->by_id, e->p.id, (uintptr_t)e) < 0) {
		mem_free(e);
		return errno = ENOMEM, NULL;
	}
	if (map_put(&t->by_pid, pid, (uintptr_t)e) < 0) {
		entry_free(t, e);
		return errno = ENOMEM, NULL;
	}
	t->next_id++;
	count_set(COUNT_PROCESSES, t->by_id.count);
	return e;
}

static void announce(struct processes *t, struct entry *e)
{
	if (t->options.on_new)
		t->options.on_new(t->options.arg, &e->p);
}

// Another process has taken this pid: the old one is over, whatever became of its exit event.
static void retire(struct processes *t, struct entry *e, uint64_t now)
{
	if (!e->p.exit_ns)
		e->p.exit_ns = now;
	if (entry_by_pid(t, e->p.pid) == e)
		map_remove(&t->by_pid, e->p.pid);
	if (!e->sampled)
		entry_free(t, e);
}

static bool comm_is(const struct process *p, const char *comm)
{
	return strncmp(p->comm, comm, sizeof(p->comm)) == 0;
}

static void learn_new(struct processes *t, struct entry *e, const struct record_sample *r)
{
	e->p.ppid = r->ppid;
	e->p.mnt_ns = r->mnt_ns;
	e->p.cgroup = r->cgroup;
	e->p.kernel_thread = !r->exec_pages && !r->user_frames;
	text_copy(e->p.comm, sizeof(e->p.comm), r->process_comm);
	announce(t, e);
}

struct process *process_of(struct processes *t, const struct record_sample *r)
{
	uint64_t ticks = r->start_ns / TICK_NS;
	t->now_ns = r->head.time_ns;
	struct entry *e = entry_by_pid(t, r->pid);
	// Made by an exec event: the start time comes with the first sample.
	if (e && !e->p.start_ticks) {
		e->p.start_ticks = ticks;
		learn_new(t, e, r);
	} else if (e && e->p.start_ticks != ticks) {
		retire(t, e, r->head.time_ns);
		e = NULL;
	}
	if (!e) {
		e = entry_add(t, r->pid, ticks);
		if (!e)
			return NULL;
		learn_new(t, e, r);
	} else if (!e->sampled || !comm_is(&e->p, r->process_comm)) {
		bool renamed = !comm_is(&e->p, r->process_comm);
		e->p.mnt_ns = r->mnt_ns;
		e->p.cgroup = r->cgroup;
		e->p.ppid = r->ppid;
		text_copy(e->p.comm, sizeof(e->p.comm), r->process_comm);
		if (renamed)
			announce(t, e);
	}
	if (e->exec_pages != r->exec_pages) {
		// Executable memory came or went; if no event told what, read the mappings again.
		if (e->sampled && !e->event_since)
			e->stale = true;
		e->exec_pages = r->exec_pages;
	}
	e->event_since = false;
	e->sampled = true;
	e->seen_ns = r->head.time_ns;
	return &e->p;
}

// The process of an event, made if need be. Only pid is known then.
static struct entry *entry_of_event(struct processes *t, uint32_t pid, uint64_t time)
{
	t->now_ns = time;
	struct entry *e = entry_by_pid(t, pid);
	return e ? e : entry_add(t, pid, 0);
}

void process_execed(struct processes *t, const struct record_task *r)
{
	struct entry *e = entry_of_event(t, r->pid, r->head.time_ns);
	if (!e)
		return;
	// What ran before is gone; the events that follow bring every mapping of the new program.
	e->count = 0;
	e->maps_read = e->stale = false;
	if (t->reading.id == e->p.id)
		reading_end(t);
	e->event_since = true;
	e->losses = count_get(COUNT_MMAP_LOST);
	e->next_read_ns = 0;
	e->seen_ns = r->head.time_ns;
	bool known = e->p.start_ticks != 0;
	text_copy(e->p.comm, sizeof(e->p.comm), r->comm);
	if (known)
		announce(t, e);
}

void process_mapped(struct processes *t, const struct record_mmap *r)
{
	struct entry *e = entry_by_pid(t, r->pid);
	// A process that was never seen is read whole when a sample needs it.
	if (!e || (!e->maps_read && !e->event_since && !e->count && e->p.start_ticks))
		return;
	struct process_mapping m = {
	    .start = r->start,
	    .end = r->start + r->length,
	    .offset = r->offset,
	    .inode = r->inode,
	    .build_id = r->build_id_len ? build_id_hash(r->build_id, r->build_id_len) : 0,
	    .kind = mapping_kind_of(r->path, r->build_id_len > 0),
	    .path = names_add(t->paths, r->path, r->path_len),
	};
	e->event_since = true;
	e->seen_ns = r->head.time_ns;
	if (t->reading.id == e->p.id)
		t->reading.events = true;
	if (m.end > m.start)
		mapping_put(e, &m);
}

void process_exited(struct processes *t, const struct record_task *r)
{
	struct entry *e = entry_by_pid(t, r->pid);
	t->now_ns = r->head.time_ns;
	if (!e || (e->p.start_ticks && e->p.start_ticks != r->start_ns / TICK_NS))
		return;
	retire(t, e, r->head.time_ns);
}

static void learn_from_proc(struct processes *t, uint32_t pid)
{
	struct proc_stat st;
	struct entry *e = entry_by_pid(t, pid);
	if (proc_stat(t->options.proc, pid, &st) < 0 || (e && e->p.start_ticks == st.start_ticks))
		return;
	if (e)
		retire(t, e, t->now_ns);
	e = entry_add(t, pid, st.start_ticks);
	if (!e)
		return;
	e->p.ppid = st.ppid;
	e->p.kernel_thread = st.kernel_thread;
	text_copy(e->p.comm, sizeof(e->p.comm), st.comm);
	if (!st.kernel_thread) {
		proc_mount_ns(t->options.proc, pid, &e->p.mnt_ns); // 0 where not permitted
		announce(t, e);
	}
}

int processes_scan(struct processes *t, uint64_t budget_ns)
{
	uint64_t end = clock_now() + budget_ns;
	t->now_ns = clock_now();
	if (!t->scan)
		t->scan = proc_scan_new(t->options.proc);
	if (!t->scan)
		return -errno;
	int more;
	do {
		uint32_t pid;
		more = proc_scan_next(t->scan, &pid);
		if (more > 0)
			learn_from_proc(t, pid);
	} while (more > 0 && clock_now() < end);
	if (more <= 0) {
		proc_scan_free(t->scan);
		t->scan = NULL;
	}
	return more;
}

// Paths that nobody maps any more are let go by interning the live ones anew.
static void compact_paths(struct processes *t)
{
	struct map_slot s;
	struct names *fresh = names_new(ACCOUNT_PROCESS);
	if (!fresh)
		return;
	for (uint32_t i = 0; map_next(&t->by_id, &i, &s);) {
		struct entry *e = (struct entry *)(uintptr_t)s.value;
		for (uint32_t k = 0; k < e->count; k++) {
			const char *path = names_get(t->paths, e->mappings[k].path);
			e->mappings[k].path = names_add(fresh, path, strlen(path));
		}
	}
	for (uint32_t i = 0; map_next(&t->binaries, &i, &s);) {
		struct binary_entry *b = (struct binary_entry *)(uintptr_t)s.value;
		const char *path = names_get(t->paths, b->path);
		b->path = names_add(fresh, path, strlen(path));
	}
	names_free(t->paths);
	t->paths = fresh;
}

void processes_sweep(struct processes *t, uint64_t now)
{
	struct map_slot s;
	t->now_ns = now;
	for (uint32_t i = 0; map_next(&t->by_id, &i, &s);) {
		struct entry *e = (struct entry *)(uintptr_t)s.value;
		bool over = e->p.exit_ns && now > e->p.exit_ns + t->options.grace_ns;
		bool idle = !e->sampled && now > e->seen_ns + UNSAMPLED_NS;
		if (over || (idle && !e->p.start_ticks)) {
			entry_free(t, e);
			i = 0; // removal moves slots
		} else if (idle && e->count) {
			mem_free(e->mappings);
			e->mappings = NULL;
			e->count = e->cap = 0;
			e->maps_read = false;
		}
	}
	binaries_sweep(t);
	if (names_bytes(t->paths) > PATHS_BYTES_MAX)
		compact_paths(t);
	count_set(COUNT_PINNED, t->pinned);
}

uint64_t processes_shrink(void *arg, uint64_t need)
{
	struct processes *t = arg;
	uint64_t before = mem_used(ACCOUNT_PROCESS);
	struct map_slot s;
	// Mappings can be read again; the ones not used for longest are as good as any, so simply the
	// processes without a sample in the last seconds.
	for (uint32_t i = 0; map_next(&t->by_id, &i, &s) && before - mem_used(ACCOUNT_PROCESS) < need;) {
		struct entry *e = (struct entry *)(uintptr_t)s.value;
		if (e->p.exit_ns || t->now_ns < e->seen_ns + 2 * NS_PER_S)
			continue;
		mem_free(e->mappings);
		e->mappings = NULL;
		e->count = e->cap = 0;
		e->maps_read = false;
	}
	return before - mem_used(ACCOUNT_PROCESS);
}
