// SPDX-License-Identifier: Apache-2.0
// Replay: a recording in place of /proc. What it says may be made up by anyone.
#include "private.h"

#include <errno.h>
#include <string.h>

int process_teach(struct processes *t, const struct process *taught)
{
	if (!taught->id || taught->id >= UNTAUGHT_FIRST)
		return -EINVAL;
	struct entry *e = entry_by_id(t, taught->id), *had = entry_by_pid(t, taught->pid);
	if (e && e->p.pid != taught->pid)
		return -EINVAL; // an id is one process's for ever
	if (had && had != e)
		entry_retire(t, had, t->now_ns);
	if (!e)
		e = entry_add(t, taught->id, taught->pid);
	if (!e || map_put(&t->by_pid, taught->pid, (uintptr_t)e) < 0)
		return -ENOMEM;
	e->p = *taught;
	e->p.root_fd = -1;
	e->p.exit_ns = 0;
	e->p.comm[sizeof(e->p.comm) - 1] = 0;
	e->p.container[sizeof(e->p.container) - 1] = 0;
	e->known = true;
	return 0;
}

static int teach_binary(struct processes *t, const struct binary *taught, uint32_t path)
{
	uint64_t have, id = taught->id;
	if (map_get(&t->binaries, id, &have))
		return 0;
	struct binary_entry *b =
	    binary_add(t, taught->id, hash_mix(id ^ t->seed) >> 1, path); // >> 1: never MAP_NONE
	if (!b)
		return -ENOMEM;
	b->b.facts = taught->facts;
	b->b.size = taught->size;
	return 0;
}

static int teach_mapping(struct processes *t, struct entry *e, const struct process_mapping *m,
    const struct binary *taught)
{
	struct process_mapping copy = *m;
	copy.binary = taught->id;
	copy.build_id = copy.inode = 0;
	copy.deleted = false;
	copy.told = true;
	int error = path_add(t, taught->path, strlen(taught->path), &copy.path);
	if (!error && taught->id)
		error = teach_binary(t, taught, copy.path);
	e->maps_read = true;
	bool before = copy.kind & MAPPING_BEFORE;
	copy.kind &= ~MAPPING_BEFORE;
	e->taught |= before;
	if (!error)
		error = mapping_put(before ? &e->before : &e->now, &copy);
	return error == -ENOSPC ? 0 : error; // too many, as they were when it was recorded
}

static bool is_kind(uint32_t kind)
{
	switch (kind) {
	case PLACE_FILE:
	case PLACE_VDSO:
	case PLACE_ANON:
	case PLACE_TOO_MANY:
	case PLACE_FILE | MAPPING_BEFORE:
	case PLACE_VDSO | MAPPING_BEFORE:
	case PLACE_UNMAPPED | MAPPING_BEFORE:
		return true;
	default:
		return false;
	}
}

int process_teach_mapping(struct processes *t, uint32_t pid, uint64_t start_ticks,
    const struct process_mapping *m, const struct binary *taught)
{
	struct entry *e = entry_by_pid(t, pid);
	bool sound = m->end > m->start && taught->id < UNTAUGHT_FIRST &&
		     taught->facts.exec_count <= ELF_EXEC_MAX &&
		     taught->facts.build_id_len <= ELF_BUILD_ID_MAX && is_kind(m->kind);
	if (!sound)
		return -EINVAL;
	if (!e || (e->known && e->p.start_ticks != start_ticks))
		return 0; // its process is over
	t->busy++;
	int error = teach_mapping(t, e, m, taught);
	t->busy--;
	return error;
}
