// SPDX-License-Identifier: Apache-2.0
// Mapped files: found once per identity, pinned by a descriptor while that may still be needed.
#include "private.h"
#include "../proc/proc.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

uint64_t build_id_hash(const uint8_t *id, size_t n)
{
	uint64_t h = hash_bytes(id, n, 0x6275696c64); // a seed of its own, apart from inode keys
	return h == MAP_NONE || !h ? 1 : h;
}

static uint64_t stat_hash(const struct stat *st)
{
	uint64_t words[] = {st->st_dev, st->st_ino, (uint64_t)st->st_size, (uint64_t)st->st_mtim.tv_sec,
	    (uint64_t)st->st_mtim.tv_nsec};
	uint64_t h = hash_bytes(words, sizeof(words), 0x737461);
	return h == MAP_NONE ? 1 : h;
}

#define UNTAUGHT_FIRST 0x80000000u

static struct binary_entry *entry_of(struct processes *t, uint32_t id)
{
	uint64_t v;
	return map_get(&t->binaries, id, &v) ? (struct binary_entry *)(uintptr_t)v : NULL;
}

struct binary *binary_by_id(struct processes *t, uint32_t id)
{
	struct binary_entry *b = entry_of(t, id);
	if (!b)
		return NULL;
	b->used_ns = t->now_ns;
	b->b.path = names_get(t->paths, b->path);
	return &b->b;
}

static void unpin(struct processes *t, struct binary_entry *b)
{
	if (b->b.fd < 0)
		return;
	close(b->b.fd);
	b->b.fd = -1;
	t->pinned--;
}

void binary_drop(struct processes *t, struct binary_entry *b)
{
	uint64_t v;
	unpin(t, b);
	if (b->build_id && map_get(&t->by_build_id, b->build_id, &v) && v == b->b.id)
		map_remove(&t->by_build_id, b->build_id);
	map_remove(&t->binaries, b->b.id);
	map_remove(&t->by_key, b->key);
	mem_free(b);
	count_set(COUNT_BINARIES, t->binaries.count);
}

static struct binary_entry *oldest(struct processes *t, bool pinned)
{
	struct map_slot s;
	struct binary_entry *found = NULL;
	for (uint32_t i = 0; map_next(&t->binaries, &i, &s);) {
		struct binary_entry *b = (struct binary_entry *)(uintptr_t)s.value;
		if ((!pinned || b->b.fd >= 0) && (!found || b->used_ns < found->used_ns))
			found = b;
	}
	return found;
}

// Takes FD into B, making room among the pinned descriptors.
static void pin(struct processes *t, struct binary_entry *b, int fd)
{
	if (t->pinned >= t->options.pinned_max) {
		struct binary_entry *old = oldest(t, true);
		if (!old) { // all taken by roots of processes with JIT code
			close(fd);
			return;
		}
		unpin(t, old);
	}
	b->b.fd = fd;
	t->pinned++;
}

void binaries_sweep(struct processes *t)
{
	while (t->binaries.count > t->options.binaries_max) {
		struct binary_entry *b = oldest(t, false);
		if (!b)
			return;
		binary_drop(t, b);
	}
}

static struct binary_entry *add(struct processes *t, uint64_t key, uint32_t path)
{
	if (t->binaries.count >= t->options.binaries_max + 64) // the sweep's slack
		binary_drop(t, oldest(t, false));
	struct binary_entry *b = mem_alloc(ACCOUNT_PROCESS, sizeof(*b));
	if (!b)
		return NULL;
	b->b.id = t->next_binary;
	b->b.fd = -1;
	b->key = key;
	b->path = path;
	b->used_ns = t->now_ns;
	if (map_put(&t->binaries, b->b.id, (uintptr_t)b) < 0) {
		mem_free(b);
		return NULL;
	}
	if (map_put(&t->by_key, key, b->b.id) < 0) {
		binary_drop(t, b);
		return NULL;
	}
	t->next_binary++;
	count_set(COUNT_BINARIES, t->binaries.count);
	return b;
}

int root_of(struct processes *t, uint32_t pid, uint32_t mnt_ns)
{
	struct root *oldest_root = &t->roots[0];
	for (int i = 0; i < ROOTS_MAX; i++) {
		struct root *r = &t->roots[i];
		if (r->fd >= 0 && r->mnt_ns == mnt_ns && mnt_ns) {
			r->used_ns = t->now_ns;
			return r->fd;
		}
		if (r->fd < 0 || r->used_ns < oldest_root->used_ns)
			oldest_root = r->fd < 0 && oldest_root->fd < 0 ? oldest_root : r;
	}
	int fd = proc_root_open(t->options.proc, pid);
	if (fd < 0)
		return fd;
	if (oldest_root->fd >= 0)
		close(oldest_root->fd);
	*oldest_root = (struct root){mnt_ns, fd, t->now_ns};
	return fd;
}

// Does the open file hold what the mapping says it maps?
static bool is_file_of(const struct process_mapping *m, int fd, struct stat *st, struct elf_facts *facts)
{
	if (fstat(fd, st) < 0)
		return false;
	memset(facts, 0, sizeof(*facts));
	int error = elf_facts(fd, facts);
	if (m->build_id)
		return !error && build_id_hash(facts->build_id, facts->build_id_len) == m->build_id;
	return !m->inode || m->inode == st->st_ino;
}

// Opens the file behind M: the mapped file itself where the kernel lets us, else by its path in the
// process's own root, else in another root of the same mount namespace (the process is gone).
static int open_mapped(struct processes *t, struct entry *e, const struct process_mapping *m,
    const char *path, struct stat *st, struct elf_facts *facts)
{
	int fd = e->p.exit_ns ? -ESRCH : proc_map_file_open(t->options.proc, e->p.pid, m->start, m->end);
	if (fd >= 0) {
		// The range may be another mapping by now; the inode or build-id decides.
		if (is_file_of(m, fd, st, facts))
			return fd;
		close(fd);
	}
	for (int again = 0; again < 2 && !m->deleted; again++) {
		int own = again || e->p.exit_ns ? -1 : proc_root_open(t->options.proc, e->p.pid);
		int root = own >= 0 ? own : root_of(t, e->p.ppid, e->p.mnt_ns);
		fd = root < 0 ? root : proc_open_beneath(root, path);
		if (own >= 0)
			close(own);
		if (fd >= 0 && is_file_of(m, fd, st, facts))
			return fd;
		if (fd >= 0) {
			close(fd);
			fd = -ESTALE;
		}
	}
	return fd < 0 ? fd : -ENOENT;
}

// A file that cannot be read still has a name for its frames: by path and what is known of it.
static uint32_t unread(struct processes *t, const struct process_mapping *m, const char *path)
{
	uint64_t v, key = hash_bytes(path, strlen(path), m->build_id ^ m->inode ^ 0x756e72);
	if (key == MAP_NONE)
		key = 1;
	if (map_get(&t->by_key, key, &v))
		return (uint32_t)v;
	struct binary_entry *b = add(t, key, m->path);
	return b ? b->b.id : 0;
}

uint32_t binary_of(struct processes *t, struct entry *e, struct process_mapping *m)
{
	struct stat st;
	struct elf_facts facts;
	uint64_t v;
	// A copy: interned text moves when more is added.
	char path[4096 + 64];
	text_copy(path, sizeof(path), names_get(t->paths, m->path));
	if (t->options.offline)
		return unread(t, m, path);
	root_of(t, e->p.pid, e->p.mnt_ns); // while it lives: the next of its kind may not
	int fd = open_mapped(t, e, m, path, &st, &facts);
	if (fd < 0) {
		// Gone, but a file with this build-id was seen before.
		if (m->build_id && map_get(&t->by_build_id, m->build_id, &v))
			return (uint32_t)v;
		count_add(COUNT_PIN_FAILED, 1);
		return unread(t, m, path);
	}
	// The size too: anyone can write another file's build-id into his own.
	uint64_t build_id = facts.build_id_len ? build_id_hash(facts.build_id, facts.build_id_len) : 0;
	uint64_t key = build_id ? hash_mix(build_id ^ (uint64_t)st.st_size) : stat_hash(&st);
	if (key == MAP_NONE)
		key = 1;
	struct binary_entry *b = map_get(&t->by_key, key, &v) ? entry_of(t, (uint32_t)v) : add(t, key, m->path);
	if (!b || b->b.fd >= 0) {
		close(fd);
		return b ? b->b.id : 0;
	}
	b->b.facts = facts;
	b->b.size = (uint64_t)st.st_size;
	b->b.last_pid = e->p.pid;
	b->dev = st.st_dev;
	b->inode = st.st_ino;
	b->mtime_ns = (uint64_t)st.st_mtim.tv_sec * NS_PER_S + (uint64_t)st.st_mtim.tv_nsec;
	b->mnt_ns = e->p.mnt_ns;
	b->build_id = build_id;
	if (build_id)
		map_put(&t->by_build_id, build_id, b->b.id); // a shortcut: may fail
	pin(t, b, fd);
	return b->b.id;
}

int binary_fd(struct processes *t, struct binary *binary)
{
	struct binary_entry *b = (struct binary_entry *)binary;
	struct stat st;
	if (b->b.fd >= 0)
		return b->b.fd;
	if (t->options.offline || !b->b.facts.exec_count)
		return -ENOENT;
	char path[4096 + 64];
	text_copy(path, sizeof(path), names_get(t->paths, b->path));
	int root = root_of(t, b->b.last_pid, b->mnt_ns);
	int fd = root < 0 ? root : proc_open_beneath(root, path);
	if (fd < 0)
		return fd;
	struct elf_facts facts;
	bool same = fstat(fd, &st) == 0 && (uint64_t)st.st_size == b->b.size && elf_facts(fd, &facts) == 0 &&
		    facts.build_id_len == b->b.facts.build_id_len &&
		    !memcmp(facts.build_id, b->b.facts.build_id, facts.build_id_len) &&
		    (facts.build_id_len || st.st_ino == b->inode);
	if (!same) {
		close(fd);
		return -ESTALE;
	}
	pin(t, b, fd);
	return b->b.fd < 0 ? -EMFILE : b->b.fd;
}

int binary_open_beside(struct processes *t, const struct binary *binary, const char *path)
{
	const struct binary_entry *b = (const struct binary_entry *)binary;
	if (t->options.offline)
		return -ENOENT;
	int root = root_of(t, b->b.last_pid, b->mnt_ns);
	return root < 0 ? root : proc_open_beneath(root, path);
}

int process_teach(struct processes *t, const struct process *taught)
{
	struct entry *e = (struct entry *)process_by_id(t, taught->id);
	if (!e) {
		struct entry *old = entry_by_pid(t, taught->pid);
		if (old)
			map_remove(&t->by_pid, taught->pid);
		t->next_id = taught->id;
		e = entry_add(t, taught->pid, taught->start_ticks);
	}
	// What the replay itself makes up (records of processes that were never told) must not collide.
	t->next_id = UNTAUGHT_FIRST + t->by_id.count;
	if (!e)
		return -ENOMEM;
	e->p = *taught;
	return 0;
}

int process_teach_mapping(struct processes *t, uint32_t pid, uint64_t start_ticks,
    const struct process_mapping *m, const struct binary *taught)
{
	struct entry *e = entry_by_pid(t, pid);
	if (!e || (e->p.start_ticks && e->p.start_ticks != start_ticks))
		return 0; // its process is over
	struct process_mapping copy = *m;
	copy.path = names_add(t->paths, taught->path, strlen(taught->path));
	copy.binary = taught->id;
	if (!entry_of(t, taught->id)) {
		uint64_t words[] = {taught->id, 0x746170};
		t->next_binary = taught->id;
		struct binary_entry *b = add(t, hash_bytes(words, sizeof(words), 1), copy.path);
		t->next_binary = UNTAUGHT_FIRST + t->binaries.count;
		if (!b)
			return -ENOMEM;
		b->b.facts = taught->facts;
		b->b.size = taught->size;
	}
	e->maps_read = true;
	mapping_put(e, &copy);
	return 0;
}
