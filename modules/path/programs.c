// SPDX-License-Identifier: Apache-2.0
// Programs that keep profiles of themselves: where they lie, and for `telegen check` which of them
// keep which.
#include "private.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define CHECK_NS (2 * NS_PER_S)
#define PIDS_MAX 4096
#define NAMED_MAX 4 // programs in a line

static const struct elf_exec *segment_of(const struct binary *b, const struct process_mapping *m)
{
	for (uint8_t i = 0; i < b->facts.exec_count; i++) {
		const struct elf_exec *x = &b->facts.exec[i];
		if (x->offset < m->offset + (m->end - m->start) && x->offset + x->size > m->offset)
			return x;
	}
	return NULL;
}

int target_of(struct processes *processes, struct proc *proc, const struct goprof *g,
    struct process *process, struct goprof_target *target, struct process_mapping *m)
{
	const struct process_mapping *found = process_program(processes, process);
	if (!found)
		return -ENOENT;
	*m = *found;
	if (goprof_kind(g, m->binary) == GOPROF_NONE)
		return -ENOENT;
	struct binary *b = binary_by_id(processes, m->binary);
	const struct elf_exec *x = b ? segment_of(b, m) : NULL;
	enum goprof_kind kind = x ? goprof_kind(g, b->id) : GOPROF_NONE;
	if (kind == GOPROF_NONE || kind == GOPROF_HIDDEN)
		return -ENOENT;
	*target = (struct goprof_target){.process = process->id,
	    .binary = b->id,
	    .program = kind == GOPROF_UNKNOWN ? binary_fd(processes, b) : -1,
	    .bias = m->start - m->offset - (x->vaddr - x->offset)};
	if (kind == GOPROF_UNKNOWN && target->program < 0)
		return target->program;
	target->memory = proc_memory_open(proc, process->pid);
	if (target->memory < 0)
		return target->memory;
	// Opened first, looked at then: it is of this process and no later one with its pid.
	if (process_learn(processes, process->pid) == process)
		return 0;
	close(target->memory);
	return -ESRCH;
}

static const struct {
	const char *what, *how;
} lists[] = {
    [GOPROF_HEAP] = {"heap",
	"they are kept where runtime/pprof is used and runtime.MemProfileRate is not 0"},
    [GOPROF_MUTEX] = {"mutex", "runtime.SetMutexProfileFraction turns them on"},
    [GOPROF_BLOCK] = {"block", "runtime.SetBlockProfileRate turns them on"},
};

void kept_who(char who[WHO_LEN], const struct process *process)
{
	snprintf(who, WHO_LEN, "%.15s (%u)", process->comm, process->pid);
}

void kept_read(struct round *r, const struct process *process)
{
	const struct goprof_rates *rates = goprof_rates(r->goprof);
	const uint64_t rate[] = {[GOPROF_HEAP] = rates->heap,
	    [GOPROF_MUTEX] = rates->mutex,
	    [GOPROF_BLOCK] = rates->block};
	for (int l = 0; l < GOPROF_LISTS; l++)
		if (!rate[l])
			kept_who(r->kept.none[l], process);
		else if (!r->marks)
			kept_who(r->kept.keeps[l], process);
}

bool path_untold(const struct path *p, enum path_type type, char *why, size_t size)
{
	const struct kept *k = &p->round.kept;
	enum goprof_list l = type == PATH_GO_BLOCK ? GOPROF_BLOCK : GOPROF_HEAP;
	if (*k->keeps[l])
		snprintf(why, size, "Go's own %s profile of %s told nothing", lists[l].what,
		    k->keeps[l]);
	else if (*k->none[l])
		snprintf(why, size, "%s keeps none of Go's own %s profiles: %s", k->none[l],
		    lists[l].what, lists[l].how);
	else if (*k->hidden)
		snprintf(why, size,
		    "%s is a Go program without symbols (built with -ldflags=-s) in which its own "
		    "profiles are not found",
		    k->hidden);
	else if (*k->refused)
		snprintf(why, size, "the memory of %s may not be read: needs CAP_SYS_PTRACE",
		    k->refused);
	else
		snprintf(why, size,
		    "no Go program was there when Go's own profiles were read, every %.3g s "
		    "(profiling.collection_interval) and at the end",
		    (double)p->options.collection_ns / 1e9);
	return *k->keeps[l] || *k->none[l] || *k->hidden || *k->refused;
}

struct tally {
	uint32_t none;
	char names[160];
};
struct check {
	struct processes *processes;
	struct proc *proc;
	struct goprof *goprof;
	uint32_t programs, hidden, refused;
	struct tally tallies[GOPROF_LISTS];
};

static void tally(struct tally *t, const struct process *p, uint64_t rate)
{
	size_t n = strlen(t->names);
	if (rate || t->none++ >= NAMED_MAX)
		return;
	snprintf(
	    t->names + n, sizeof(t->names) - n, "%s%.16s (%u)", n ? ", " : "", p->comm, p->pid);
}

static void look_at(struct check *c, uint32_t pid)
{
	struct process *process = process_learn(c->processes, pid);
	struct process_mapping m;
	struct goprof_target target;
	int error =
	    process ? target_of(c->processes, c->proc, c->goprof, process, &target, &m) : -ESRCH;
	c->refused += error == -EPERM || error == -EACCES;
	if (error || goprof_begin(c->goprof, &target))
		return;
	while ((error = goprof_step(c->goprof, NS_PER_S, NULL, NULL)) == 1)
		;
	const struct goprof_rates *rates = goprof_rates(c->goprof);
	c->hidden += goprof_kind(c->goprof, target.binary) == GOPROF_HIDDEN;
	if (!error) {
		c->programs++;
		tally(&c->tallies[GOPROF_HEAP], process, rates->heap);
		tally(&c->tallies[GOPROF_MUTEX], process, rates->mutex);
		tally(&c->tallies[GOPROF_BLOCK], process, rates->block);
	}
	goprof_end(c->goprof);
}

static void say(const struct check *c, struct text *out)
{
	if (!c->programs && !c->hidden && !c->refused)
		return; // nothing to say
	for (int l = 0; l < GOPROF_LISTS && c->programs; l++) {
		const struct tally *t = &c->tallies[l];
		text_printf(out,
		    "%s  Go's own %s profiles: ", t->none < c->programs ? "yes" : "no ",
		    lists[l].what);
		if (!t->none) {
			text_printf(out, "kept by all of %u programs\n", c->programs);
			continue;
		}
		text_printf(out, "%u of %u programs keep none (%s): %s", t->none, c->programs,
		    lists[l].how, t->names);
		if (t->none > NAMED_MAX)
			text_printf(out, " and %u more", t->none - NAMED_MAX);
		text_puts(out, "\n");
	}
	if (c->hidden)
		text_printf(out,
		    "no   Go's own profiles: of %u programs without symbols not found\n",
		    c->hidden);
	if (c->refused)
		text_printf(out,
		    "no   the memory of %u processes may not be read: needs CAP_SYS_PTRACE: Go's "
		    "own profiles of those are missing\n",
		    c->refused);
}

void path_check_programs(struct proc *proc, struct text *out)
{
	struct process_options po = {.proc = proc};
	struct goprof_options go = {.lists = 0};
	struct check c = {.proc = proc, .processes = processes_new(&po), .goprof = goprof_new(&go)};
	uint32_t *pids = mem_alloc(ACCOUNT_PATH, PIDS_MAX * sizeof(*pids));
	uint64_t end = clock_now() + CHECK_NS;
	if (c.processes && c.goprof && pids) {
		while (processes_scan(c.processes, NS_PER_S) > 0 && clock_now() < end)
			;
		uint32_t count = processes_list(c.processes, pids, PIDS_MAX);
		for (uint32_t i = 0; i < count && clock_now() < end; i++)
			look_at(&c, pids[i]);
		say(&c, out);
	}
	mem_free(pids);
	goprof_free(c.goprof);
	processes_free(c.processes);
}
