// SPDX-License-Identifier: Apache-2.0
// Root directories held open: one a mount namespace, for the files of processes that are gone, and
// those of processes with JIT code, whose perf maps are looked for when a window is named.
#include "private.h"
#include "../proc/proc.h"

#include <errno.h>
#include <unistd.h>

uint32_t entry_reader(const struct entry *e)
{
	return e->by_tid && e->tid ? e->tid : e->p.pid;
}

// Opens the root of PID if that lives in mount namespace MNT_NS. The pid may be another process's
// by now, and may become one's while we look: what is opened first and asked then is of one
// process.
static int open_root(struct proc *proc, uint32_t pid, uint32_t mnt_ns)
{
	uint32_t ns;
	int fd = proc_root_open(proc, pid);
	if (fd < 0)
		return fd;
	int error = proc_mount_ns(proc, pid, &ns);
	if (!error && ns != mnt_ns)
		error = -ESTALE;
	if (!error)
		return fd;
	close(fd);
	return error;
}

int root_of(struct processes *t, uint32_t pid, uint32_t mnt_ns)
{
	if (!mnt_ns)
		return -ENOENT;
	struct root *place = &t->roots[0]; // a free one, else the one not used for longest
	for (struct root *r = t->roots; r < t->roots + ROOTS_MAX; r++) {
		if (r->fd >= 0 && r->mnt_ns == mnt_ns) {
			r->used_ns = t->now_ns;
			return r->fd;
		}
		if (place->fd >= 0 && (r->fd < 0 || r->used_ns < place->used_ns))
			place = r;
	}
	struct proc *proc = t->options.proc;
	uint32_t ns;
	int fd = -ENOENT;
	// Of the first process: it never ends, and has its root where its namespace has.
	if (proc_mount_ns(proc, 1, &ns) == 0 && ns == mnt_ns)
		fd = open_root(proc, 1, mnt_ns);
	if (fd < 0)
		fd = open_root(proc, pid, mnt_ns);
	if (fd < 0)
		return fd;
	if (place->fd >= 0)
		close(place->fd);
	*place = (struct root){mnt_ns, fd, t->now_ns};
	return fd;
}

void roots_close(struct processes *t, uint64_t unused_since)
{
	for (struct root *r = t->roots; r < t->roots + ROOTS_MAX; r++)
		if (r->fd >= 0 && r->used_ns < unused_since) {
			close(r->fd);
			*r = (struct root){.fd = -1};
		}
}

void jit_unpin(struct processes *t, struct entry *e)
{
	for (uint32_t i = 0; i < t->jit_count; i++)
		if (t->jits[i] == e) {
			close(e->p.root_fd);
			t->jits[i] = t->jits[--t->jit_count];
			break;
		}
	e->p.root_fd = -1;
	e->p.ns_pid = 0;
}

static bool goes_before(const struct entry *a, const struct entry *b)
{
	if (!a->p.exit_ns != !b->p.exit_ns) // the root of a living one can be opened again
		return !a->p.exit_ns;
	return a->seen_ns < b->seen_ns;
}

// A place in `jits`, made by letting the root go that is missed least.
static void make_place(struct processes *t)
{
	uint32_t max = t->options.pinned_max / 4;
	if (t->jit_count < (max < 1 ? 1 : max > JITS_MAX ? JITS_MAX : max))
		return;
	struct entry *out = t->jits[0];
	for (uint32_t i = 1; i < t->jit_count; i++)
		if (goes_before(t->jits[i], out))
			out = t->jits[i];
	jit_unpin(t, out);
}

void jit_pin(struct processes *t, struct entry *e)
{
	e->jit = true;
	if (e->p.root_fd >= 0 || e->p.ns_pid || e->p.exit_ns || t->options.offline)
		return;
	uint32_t ns_pid;
	int fd = proc_root_open(t->options.proc, entry_reader(e));
	int error = fd < 0 ? fd : proc_status(t->options.proc, e->p.pid, &ns_pid, &e->p.euid);
	// Opened first and asked then, as above: of another process no perf map may be taken.
	if (error || entry_alive(t, e) > RENAMED) {
		if (fd >= 0)
			close(fd);
		e->p.ns_pid = e->p.pid; // not tried again: it has no map that could be found
		return;
	}
	make_place(t);
	e->p.root_fd = fd;
	e->p.ns_pid = ns_pid;
	t->jits[t->jit_count++] = e;
}
