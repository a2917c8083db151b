// SPDX-License-Identifier: Apache-2.0
// The program before. While a program is being replaced its memory is gone, but its registers are
// not (fs/exec.c, fs/binfmt_elf.c):
//
//   execve | new memory | exec event | its mappings, an event each | start_thread | the new program
//   -------- user registers: where the old program called execve --------->|
//
// A sample taken between the event and start_thread has one user frame, and the mappings in which
// that lies are no more: those of the same process before, or, where it had forked and this was its
// first exec, its parent's. That the frame is not the new program's is told by its address: what
// is executed is mapped, and all that was mapped has been told. Where both programs have code
// there, as two that are linked to a fixed address may, it is nobody's.
#include "private.h"
#include "../../bpf/reason.h"
#include "../../bpf/record.h"

#include <errno.h>
#include <sys/auxv.h>

#define EXEC_NS (5 * NS_PER_S)	  // no execve takes longer
#define FORKED_NS (10 * NS_PER_S) // what a process did since its start so long ago is all known
#define FIXED_MAX (1ull << 32)	  // below it programs lie where they were linked to

void exec_begin(struct processes *t, struct entry *e, uint64_t now)
{
	bool whole = e->losses == count_get(COUNT_MMAP_LOST);
	mappings_free(&e->before);
	e->before_ns = e->exec_ns;
	e->execing = !t->options.offline; // a recording tells what the frames of such samples are
	e->heir = e->execing && whole && !e->exec_ns;
	if (e->execing && whole)
		e->before = e->now;
	else
		mappings_free(&e->now);
	e->now = (struct mappings){0};
	e->exec_ns = now;
}

void exec_settle(struct entry *e)
{
	mappings_free(&e->before);
	e->execing = e->heir = false;
}

// Is E a fork of its parent that had run no exec before the one at hand, and the parent none since?
static bool is_heir(struct processes *t, const struct entry *e, const struct record_sample *r)
{
	uint64_t start = monotonic_of_boot(r->start_ns);
	if (!entry_began_since(t, r->start_ns) || r->head.time_ns > start + FORKED_NS)
		return false;
	const struct entry *parent = entry_parent(t, e);
	return parent && !parent->p.exit_ns && parent->exec_ns < start &&
	       parent->losses == count_get(COUNT_MMAP_LOST);
}

// Does the thread wait for what no program waits for that is being loaded? Blocked threads come
// without the kernel's part of their stacks, which would tell.
static bool waits_itself(const struct record_sample *r)
{
	if (r->source != SOURCE_OFF_CPU)
		return false;
	switch (r->reason) {
	case OFF_SLEEP:
	case OFF_MUTEX:
	case OFF_CHANNEL:
	case OFF_NETWORK:
	case OFF_SYNC:
	case OFF_WAITING:
		return true;
	default:
		return false;
	}
}

static int is_loading(
    const struct processes *t, const struct entry *e, const struct record_sample *r)
{
	if (e->bare) // nothing to execute is mapped yet
		return 1;
	if (r->in_user || waits_itself(r))
		return 0;
	return t->options.is_loading ? t->options.is_loading(t->options.arg, r) : -ENOSYS;
}

// Looks at a sample that is not older than the newest exec event.
void exec_sample(struct processes *t, struct entry *e, const struct record_sample *r)
{
	e->bare = !r->exec_pages && !t->options.offline;
	if (t->options.offline) {
		if (!e->taught)
			mappings_free(&e->before);
		e->taught = false;
	} else if (e->execing) {
		int loading = is_loading(t, e, r);
		e->loading = loading > 0;
		if (!loading || r->head.time_ns > e->exec_ns + EXEC_NS ||
		    e->losses != count_get(COUNT_MMAP_LOST))
			exec_settle(e);
	}
	if (e->execing || (e->bare && !e->exec_ns))
		e->heir = (e->heir || !e->exec_ns) && is_heir(t, e, r);
}

// The last that is mapped for a new program is its vdso. Where there is one, and a program is being
// loaded, it is the next.
static bool has_vdso(const struct mappings *m)
{
	for (uint32_t i = 0; i < m->count; i++)
		if (m->at[i].kind == PLACE_VDSO)
			return true;
	return false;
}

// Is the program that is being loaded, if one is, the one of the newest exec event? Nobody can tell
// on a machine without a vdso.
static bool is_newest(const struct entry *e)
{
	return !e->now.count || (getauxval(AT_SYSINFO_EHDR) && !has_vdso(&e->now));
}

// What the program before had at ADDRESS, and whose mapping that is. *KNOWN: its mappings are.
static struct process_mapping *mapping_before(
    struct processes *t, struct entry *e, uint64_t address, struct entry **owner, bool *known)
{
	const struct mappings *own = &e->before;
	*owner = e;
	*known = false;
	// With new memory, but before the event, what is known is of the program before.
	if (e->bare && !(e->execing && is_newest(e)))
		own = &e->now;
	if (e->bare && e->execing && own == &e->now && !has_vdso(own))
		return NULL;
	if (e->late && t->now_ns < e->before_ns)
		return NULL; // older than what is kept
	*known = own->count > 0;
	struct entry *parent = e->heir && !e->late && !*known ? entry_by_pid(t, e->p.ppid) : NULL;
	if (!parent)
		return mapping_at(own, address);
	read_parent(t, parent);
	*owner = parent;
	*known = parent->now.count > 0;
	return mapping_at(&parent->now, address);
}

static struct place place_before(
    struct processes *t, struct entry *e, struct process_mapping *m, uint64_t address)
{
	if (m && m->kind == PLACE_FILE)
		return place_in_file(t, e, m, address);
	if (m && m->kind == PLACE_VDSO)
		return place_in_vdso(m, address);
	return (struct place){.kind = PLACE_UNMAPPED, .owner = e->p.id, .address = address};
}

static void tell_before(
    struct processes *t, const struct entry *e, const struct process_mapping *m, uint64_t address)
{
	struct process_mapping nowhere = {
	    .start = address, .end = address + 1, .kind = PLACE_UNMAPPED};
	struct process_mapping told = m ? *m : nowhere;
	told.kind |= MAPPING_BEFORE;
	if (t->options.on_mapping)
		t->options.on_mapping(t->options.arg, &e->p, &told);
}

static bool same_place(const struct place *a, const struct place *b)
{
	return a->kind == b->kind && a->owner == b->owner && a->address == b->address;
}

// False where the sample at hand is of the program that runs now.
static bool is_before(struct processes *t, struct entry *e, struct process_mapping *before,
    bool known, uint64_t address, struct place *place)
{
	struct process_mapping *now = mapping_at(&e->now, address);
	if (!now && !e->now.stale && !e->now.full)
		return true;
	if (!now || !before) {
		if (now && !known && address < FIXED_MAX)
			return true;
		exec_settle(e);
		return false;
	}
	struct place fresh = place_before(t, e, now, address);
	if (same_place(&fresh, place))
		return false; // the same file in the same place: it is the same code
	if (e->loading && is_newest(e))
		return true;
	*place = place_before(t, e, NULL, address);
	return true;
}

// The place of a sample that is of the program before; false where it is not. A sample from before
// the exec event that is only handed over after it has a whole stack, one from inside execve a
// leaf.
bool exec_place(struct processes *t, struct entry *e, uint64_t address, struct place *place)
{
	struct entry *owner;
	bool known;
	if (!e->late && !e->execing && !e->bare && !e->before.count)
		return false;
	struct process_mapping *m = mapping_before(t, e, address, &owner, &known);
	if (t->options.offline && !m)
		return e->late ? *place = place_before(t, e, NULL, address), true : false;
	*place = place_before(t, m ? owner : e, m, address);
	if (!e->late && !e->bare && !t->options.offline &&
	    !is_before(t, e, m, known, address, place))
		return false;
	e->p.in_exec = !e->late;
	if (!t->options.offline)
		tell_before(t, e, place->kind == PLACE_UNMAPPED ? NULL : m, address);
	return true;
}
