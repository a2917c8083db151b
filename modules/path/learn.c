// SPDX-License-Identifier: Apache-2.0
// Learn: the world changed. A process became known, or what lies behind one of its mappings.
#include "private.h"

#include <errno.h>
#include <fnmatch.h>
#include <string.h>

static void label_cgroup(struct process *process, const char *cgroup)
{
	label_container_id(cgroup, process->container);
	if (!label_pod_uid(cgroup, process->pod))
		*process->pod = 0;
}

// The kernel is told too, so that what nobody wants is not even walked. It forgets who ends; but
// one that is ending already may be past that, and its pid then the next one's.
static void tell_kernel(struct path *p, const struct process *process)
{
	struct proc_stat stat;
	if (kernel_want(p->kernel, process->pid, process->wanted) < 0)
		log_seldom(LOG_LEVEL_WARN, "filter: the kernel's table of processes is full: "
					   "others are dropped after they came up");
	if (process->wanted)
		return;
	if (proc_stat(p->options.proc, process->pid, &stat) < 0 || stat.exiting ||
	    stat.start_ticks != process->start_ticks)
		kernel_unlist(p->kernel, process->pid);
}

// Whose process is it, and is it wanted? Asked once per process and again after exec.
void learn_process(void *arg, struct process *process)
{
	struct path *p = arg;
	char cgroup[1024] = "", executable[1024] = "";
	if (p->options.offline)
		return;
	// The pid of one that has ended may be another's by now.
	bool ended = process->exit_ns != 0;
	if (!ended && !process->kernel_thread &&
	    proc_cgroup(p->options.proc, process->pid, cgroup, sizeof(cgroup)) == 0)
		label_cgroup(process, cgroup);
	if (!*process->container && !*cgroup) {
		// Gone already: it ran where its parent runs.
		const struct process *parent = process_by_pid(p->processes, process->ppid);
		if (parent) {
			text_copy(
			    process->container, sizeof(process->container), parent->container);
			text_copy(process->pod, sizeof(process->pod), parent->pod);
		}
	}
	process->wanted = true;
	if (p->options.filter && filter_asks(p->options.filter)) {
		if (ended || !filter_needs_executable(p->options.filter) ||
		    proc_exe(p->options.proc, process->pid, executable, sizeof(executable)) < 0)
			*executable = 0;
		struct filter_subject s = {
		    process->pid, process->comm, executable, cgroup, process->container};
		process->wanted = filter_wants(p->options.filter, &s);
		if (p->kernel && !ended)
			tell_kernel(p, process);
	}
	for (const char *const *name = p->options.alloc_names; p->heap && name && *name; name++)
		if (!ended && !process->kernel_thread && fnmatch(*name, process->comm, 0) == 0 &&
		    heap_add(p->heap, process->pid, false) == -ENOSPC)
			log_seldom(LOG_LEVEL_WARN,
			    "profiling.alloc.process_names: %s: too many processes: not all are "
			    "probed",
			    *name);
	tape_put_process(p, process);
}

void learn_mapping(void *arg, const struct process *process, const struct process_mapping *m)
{
	struct path *p = arg;
	// The walker was perhaps told of another file with the same build-id.
	if (p->unwind)
		unwind_changed(p->unwind, process);
	tape_put_mapping(p, process, m);
}

int learn_scan_step(void *arg, uint64_t budget_ns)
{
	struct path *p = arg;
	int more = processes_scan(p->processes, budget_ns);
	if (more <= 0) {
		p->scanned = true;
		p->scan_slice = NULL;
		round_mark(p);
		if (more < 0)
			log_warn(
			    "/proc: %s: processes are learned from their samples", strerror(-more));
	}
	return more > 0;
}

static int read_step(void *arg, uint64_t budget_ns)
{
	struct path *p = arg;
	return processes_read(p->processes, budget_ns);
}

static void read_done(void *arg, int result)
{
	struct path *p = arg;
	(void)result;
	p->read_slice = NULL;
}

// A process has too many mappings for one turn. Without memory for a slice they stay half read, and
// its samples say so.
void learn_busy(void *arg)
{
	struct path *p = arg;
	if (!p->read_slice)
		p->read_slice = loop_slice(p->options.loop, read_step, read_done, p);
}

static int unwind_tables_step(void *arg, uint64_t budget_ns)
{
	struct path *p = arg;
	return unwind_step(p->unwind, budget_ns);
}

static void unwind_done(void *arg, int result)
{
	struct path *p = arg;
	(void)result;
	p->unwind_slice = NULL;
	look_loaded(p);
}

// Without memory for a slice the tables wait; the next sample that misses something asks again.
void path_unwind_busy(void *arg)
{
	struct path *p = arg;
	if (!p->unwind_slice)
		p->unwind_slice = loop_slice(p->options.loop, unwind_tables_step, unwind_done, p);
}

// What the walker is told of a process follows what became of it.
void learn_unwind(struct path *p, const struct record *r)
{
	uint32_t pid = r->kind == RECORD_MMAP ? ((const struct record_mmap *)r)->pid
					      : ((const struct record_task *)r)->pid;
	const struct process *process = p->unwind ? process_by_pid(p->processes, pid) : NULL;
	// Of a filter's processes it is not known before their first sample whether this is one.
	bool any = !p->options.filter || !filter_asks(p->options.filter);
	if (!process)
		return;
	if (r->kind == RECORD_MMAP)
		unwind_changed(p->unwind, process);
	else if (r->kind == RECORD_EXEC && any)
		unwind_execed(p->unwind, process, r->time_ns);
	else
		unwind_gone(p->unwind, process);
}
