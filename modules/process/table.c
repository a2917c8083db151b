// SPDX-License-Identifier: Apache-2.0
// Processes: learned from samples, events and /proc; who is who.
#include "private.h"
#include "../proc/proc.h"
#include "../../bpf/record.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#define ATTACH_NS (100 * NS_PER_MS) // after the first record events come of every CPU

static void set_defaults(struct process_options *o)
{
	if (!o->processes_max)
		o->processes_max = 16384;
	if (!o->binaries_max)
		o->binaries_max = 2048;
	if (!o->pinned_max)
		o->pinned_max = 256;
	if (!o->grace_ns)
		o->grace_ns = 30 * NS_PER_S;
}

static int draw_secrets(struct processes *t)
{
	uint64_t random[3];
	ssize_t got = getrandom(random, sizeof(random), 0);
	if (got != sizeof(random))
		return got < 0 ? -errno : -EIO;
	t->seed = random[0];
	t->secret = (struct elf_secret){.place = random[1], .point = random[2]};
	return 0;
}

struct processes *processes_new(const struct process_options *options)
{
	struct processes *t = mem_alloc(ACCOUNT_PROCESS, sizeof(*t));
	if (!t)
		return NULL;
	t->options = *options;
	set_defaults(&t->options);
	t->by_pid = t->by_id = t->binaries = t->by_key = t->by_build_id = t->sampled =
	    t->resources = MAP(ACCOUNT_PROCESS);
	t->next_id = t->next_binary = options->offline ? UNTAUGHT_FIRST : 1;
	for (int i = 0; i < ROOTS_MAX; i++)
		t->roots[i].fd = -1;
	t->paths = names_new(ACCOUNT_PROCESS);
	int error = t->paths ? draw_secrets(t) : -ENOMEM;
	if (error) {
		processes_free(t);
		return errno = -error, NULL;
	}
	return t;
}

void processes_free(struct processes *t)
{
	struct map_slot s;
	if (!t)
		return;
	reading_end(t);
	for (uint32_t i = 0; map_next(&t->by_id, &i, &s); i--)
		entry_free(t, (struct entry *)(uintptr_t)s.value);
	for (uint32_t i = 0; map_next(&t->binaries, &i, &s); i--)
		binary_drop(t, (struct binary_entry *)(uintptr_t)s.value);
	roots_close(t, UINT64_MAX);
	proc_scan_free(t->scan);
	map_clear(&t->by_pid);
	map_clear(&t->by_id);
	map_clear(&t->binaries);
	map_clear(&t->by_key);
	map_clear(&t->by_build_id);
	map_clear(&t->sampled);
	map_clear(&t->resources);
	names_free(t->paths);
	mem_free(t);
}

struct entry *entry_by_pid(struct processes *t, uint32_t pid)
{
	uint64_t v;
	return map_get(&t->by_pid, pid, &v) ? (struct entry *)(uintptr_t)v : NULL;
}

struct entry *entry_by_id(struct processes *t, uint32_t id)
{
	uint64_t v;
	return map_get(&t->by_id, id, &v) ? (struct entry *)(uintptr_t)v : NULL;
}

struct process *process_by_pid(struct processes *t, uint32_t pid)
{
	struct entry *e = entry_by_pid(t, pid);
	return e && !e->p.exit_ns ? &e->p : NULL;
}

struct process *process_by_id(struct processes *t, uint32_t id)
{
	struct entry *e = entry_by_id(t, id);
	if (e && e->jit)
		jit_pin(t, e);
	return e ? &e->p : NULL;
}

// The next id that nobody has; *NEXT counts round.
uint32_t id_next(const struct map *taken, uint32_t *next)
{
	uint64_t v;
	uint32_t id;
	do
		id = (*next)++;
	while (!id || map_get(taken, id, &v));
	return id;
}

void entry_free(struct processes *t, struct entry *e)
{
	if (entry_by_pid(t, e->p.pid) == e)
		map_remove(&t->by_pid, e->p.pid);
	map_remove(&t->by_id, e->p.id);
	if (t->at_hand == e)
		t->at_hand = NULL;
	jit_unpin(t, e);
	resource_drop(t, e);
	mappings_free(&e->now);
	mappings_free(&e->before);
	mem_free(e);
	count_set(COUNT_PROCESSES, t->by_id.count);
}

struct entry *entry_add(struct processes *t, uint32_t id, uint32_t pid)
{
	if (t->by_id.count >= t->options.processes_max && !entry_evict(t))
		return errno = ENOSPC, NULL;
	struct entry *e = mem_alloc(ACCOUNT_PROCESS, sizeof(*e));
	if (!e)
		return NULL;
	e->p = (struct process){.id = id ? id : id_next(&t->by_id, &t->next_id),
	    .pid = pid,
	    .root_fd = -1,
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
	count_set(COUNT_PROCESSES, t->by_id.count);
	return e;
}

static void announce(struct processes *t, struct entry *e)
{
	if (t->options.on_new)
		t->options.on_new(t->options.arg, &e->p);
}

// Another process has taken this pid: the old one is over, whatever became of its exit event.
void entry_retire(struct processes *t, struct entry *e, uint64_t now)
{
	if (!e->p.exit_ns)
		e->p.exit_ns = now;
	if (entry_by_pid(t, e->p.pid) == e)
		map_remove(&t->by_pid, e->p.pid);
	if (!e->sampled)
		entry_free(t, e);
}

static struct ended *ended_at(struct processes *t, uint32_t pid)
{
	return &t->ended[pid % ENDED_MAX];
}

// By the other clock; 0 where it does not reach back. Suspended time since then makes it look
// earlier than it was, never later.
uint64_t monotonic_of_boot(uint64_t boot_ns)
{
	uint64_t now = clock_now(), suspended = clock_boot() - now; // in this order: never negative
	return boot_ns > suspended ? boot_ns - suspended : 0;
}

// Has E run its program before a process that started at START_NS (CLOCK_BOOTTIME)?
static bool execed_before(const struct processes *t, const struct entry *e, uint64_t start_ns)
{
	return !t->options.offline && monotonic_of_boot(start_ns) > e->exec_ns;
}

// The entry of the process that started then, or NULL; what else had this pid is over.
static struct entry *entry_started(
    struct processes *t, uint32_t pid, uint64_t start_ns, uint64_t now)
{
	struct entry *e = entry_by_pid(t, pid);
	if (!e)
		return NULL;
	bool same =
	    e->known ? e->p.start_ticks == start_ns / TICK_NS : !execed_before(t, e, start_ns);
	if (same)
		return e;
	entry_retire(t, e, now);
	return NULL;
}

static bool comm_is(const struct process *p, const char *comm)
{
	return strncmp(p->comm, comm, sizeof(p->comm)) == 0;
}

static void update(struct processes *t, struct entry *e, const struct record_sample *r)
{
	bool renamed = !comm_is(&e->p, r->process_comm), fresh = !e->known;
	bool moved = e->p.cgroup != r->cgroup && e->sampled;
	// Executable memory came or went; if no event told what, the mappings are read again.
	bool changed = e->sampled && !e->event_since && r->exec_pages && e->exec_pages &&
		       e->exec_pages != r->exec_pages;
	// Where events were lost as well, it was perhaps an exec.
	if ((changed || (renamed && !e->event_since)) && e->losses != count_get(COUNT_MMAP_LOST))
		entry_forget(t, e);
	e->now.stale |= changed;
	if (r->exec_pages)
		e->exec_pages = r->exec_pages;
	e->event_since = false;
	e->known = true;
	e->p.start_ticks = r->start_ns / TICK_NS;
	e->p.ppid = r->ppid;
	e->p.cgroup = r->cgroup;
	e->p.kernel_thread = r->kernel_thread;
	if (r->mnt_ns)
		e->p.mnt_ns = r->mnt_ns;
	text_copy(e->p.comm, sizeof(e->p.comm), r->process_comm);
	// Of one that has ended /proc can say no more, or it is another's with that pid.
	if (fresh || ((renamed || moved) && !e->p.exit_ns))
		announce(t, e);
}

struct process *process_of(struct processes *t, const struct record_sample *r)
{
	uint64_t now = t->now_ns = r->head.time_ns;
	t->since_ns = t->since_ns ? t->since_ns : now;
	struct entry *e = entry_started(t, r->pid, r->start_ns, now);
	if (!e) {
		e = entry_add(t, 0, r->pid);
		if (!e)
			return NULL;
		struct ended *ended = ended_at(t, r->pid);
		if (ended->pid == r->pid && ended->start_ticks == r->start_ns / TICK_NS)
			e->p.exit_ns = now;
	}
	t->at_hand = e;
	e->late = now < e->exec_ns;
	e->bare = e->loading = e->p.in_exec = false;
	if (!e->late) {
		update(t, e, r);
		exec_sample(t, e, r);
	}
	e->tid = r->tid;
	e->asked = e->tried = false;
	e->sampled = true;
	e->seen_ns = now;
	return &e->p;
}

void process_execed(struct processes *t, const struct record_task *r)
{
	struct entry *e = entry_by_pid(t, r->pid);
	t->now_ns = r->head.time_ns;
	t->since_ns = t->since_ns ? t->since_ns : t->now_ns;
	if (e && e->p.exit_ns) {
		entry_retire(t, e, r->head.time_ns);
		e = NULL;
	}
	if (!e)
		e = entry_add(t, 0, r->pid);
	if (!e)
		return;
	// What ran before is gone; the events that follow bring every mapping of the new program.
	if (t->reading.id == e->p.id)
		reading_end(t);
	jit_unpin(t, e);
	exec_begin(t, e, r->head.time_ns);
	e->maps_read = true;
	e->by_tid = e->jit = false;
	e->p.kernel_thread = false;
	e->p.exec_seen = true;
	e->event_since = true;
	e->seen_ns = r->head.time_ns;
	e->losses = count_get(COUNT_MMAP_LOST);
	e->next_read_ns = e->resource_due_ns = 0;
	text_copy(e->p.comm, sizeof(e->p.comm), r->comm);
	if (e->known)
		announce(t, e);
}

// As the kernel writes the path of a file that was deleted before it was mapped.
static size_t without_deleted(const char *path, size_t n, bool *deleted)
{
	static const char mark[] = " (deleted)";
	size_t m = sizeof(mark) - 1;
	*deleted = n > m && memcmp(path + n - m, mark, m) == 0;
	return *deleted ? n - m : n;
}

void process_mapped(struct processes *t, const struct record_mmap *r)
{
	struct entry *e = entry_by_pid(t, r->pid);
	bool reading = e && t->reading.id == e->p.id;
	// A process of which nothing is known yet is read whole when a sample needs it.
	if (!e || e->p.exit_ns || (!e->maps_read && !reading))
		return;
	struct process_mapping m = {
	    .start = r->start,
	    .end = r->start + r->length,
	    .offset = r->offset,
	    .inode = r->inode,
	    .build_id = r->build_id_len ? build_id_hash(t, r->build_id, r->build_id_len) : 0,
	    .kind = mapping_kind_of(r->path, r->build_id_len > 0),
	};
	e->event_since = true;
	e->seen_ns = t->now_ns = r->head.time_ns;
	if (m.end <= m.start)
		return;
	t->busy++;
	size_t n = without_deleted(r->path, r->path_len, &m.deleted);
	if (path_of_mapping(t, &m, r->path, n) < 0)
		e->now.stale = true;
	mapping_put(&e->now, &m);
	if (reading)
		mapping_put(&t->reading.fresh, &m);
	t->busy--;
}

// Of those that ended and were never sampled only the newest are kept.
static void leave(struct processes *t, struct entry *e)
{
	uint32_t *id = &t->leaving[t->leaving_at++ % LEAVING_MAX];
	struct entry *other = entry_by_id(t, *id);
	if (other && other != e && other->p.exit_ns && !other->sampled)
		entry_free(t, other);
	*id = e->p.id;
}

void process_exited(struct processes *t, const struct record_task *r)
{
	uint64_t ticks = r->start_ns / TICK_NS;
	struct entry *e = entry_by_pid(t, r->pid);
	t->now_ns = r->head.time_ns;
	*ended_at(t, r->pid) = (struct ended){r->pid, ticks};
	if (!e || e->p.exit_ns || (e->known && e->p.start_ticks != ticks))
		return;
	// It keeps its place: a last sample may come after its exit.
	e->p.exit_ns = r->head.time_ns;
	if (!e->sampled)
		leave(t, e);
}

// The entry of the process that runs as PID, or NULL.
struct entry *entry_learn(struct processes *t, uint32_t pid)
{
	struct proc_stat st;
	if (proc_stat(t->options.proc, pid, &st) < 0)
		return NULL;
	struct entry *e = entry_by_pid(t, pid);
	if (e && e->known && e->p.start_ticks == st.start_ticks)
		return e;
	e = entry_started(t, pid, st.start_ticks * TICK_NS, t->now_ns);
	if (!e)
		e = entry_add(t, 0, pid);
	if (!e)
		return NULL;
	e->known = true;
	e->p.start_ticks = st.start_ticks;
	e->p.ppid = st.ppid;
	e->p.kernel_thread = st.kernel_thread;
	text_copy(e->p.comm, sizeof(e->p.comm), st.comm);
	if (!st.kernel_thread)
		proc_mount_ns(t->options.proc, pid, &e->p.mnt_ns); // stays 0 where not permitted
	announce(t, e);
	return e;
}

struct process *process_learn(struct processes *t, uint32_t pid)
{
	t->now_ns = clock_now();
	struct entry *e = entry_learn(t, pid);
	return e && !e->p.exit_ns ? &e->p : NULL;
}

uint32_t processes_list(const struct processes *t, uint32_t *pids, uint32_t max)
{
	struct map_slot s;
	uint32_t count = 0;
	for (uint32_t i = 0; count < max && map_next(&t->by_id, &i, &s);) {
		const struct entry *e = (struct entry *)(uintptr_t)s.value;
		if (!e->p.exit_ns && !e->p.kernel_thread)
			pids[count++] = e->p.pid;
	}
	return count;
}

// Of one that was never sampled only its exec was told, and when that was.
static bool is_older(const struct entry *parent, const struct entry *e)
{
	if (parent->known)
		return parent->p.start_ticks <= e->p.start_ticks;
	uint64_t start = monotonic_of_boot((e->p.start_ticks + 1) * TICK_NS);
	return parent->exec_ns && parent->exec_ns < start;
}

struct entry *entry_parent(struct processes *t, const struct entry *e)
{
	struct entry *parent = entry_by_pid(t, e->p.ppid);
	if (!parent && e->p.ppid && !t->options.offline)
		parent = entry_learn(t, e->p.ppid); // forked, and never sampled
	bool sound = parent && parent != e && !parent->p.kernel_thread && is_older(parent, e);
	return sound ? parent : NULL;
}

bool entry_began_since(const struct processes *t, uint64_t start_ns)
{
	return t->since_ns && monotonic_of_boot(start_ns) > t->since_ns + ATTACH_NS;
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
			entry_learn(t, pid);
	} while (more > 0 && clock_now() < end);
	if (more <= 0) {
		proc_scan_free(t->scan);
		t->scan = NULL;
	}
	return more;
}
