// SPDX-License-Identifier: Apache-2.0
// Mapped files: found once per identity, pinned by a descriptor while that may still be needed.
#include "private.h"
#include "../proc/proc.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define LOOKS 64 // candidates among which the one not used for longest is let go

static uint64_t key_of(const struct processes *t, const void *bytes, size_t n, uint64_t what)
{
	uint64_t h = hash_bytes(bytes, n, t->seed ^ what);
	return h == MAP_NONE || !h ? 1 : h;
}

uint64_t build_id_hash(const struct processes *t, const uint8_t *id, size_t n)
{
	return key_of(t, id, n, 'b');
}

static uint64_t mtime_of(const struct stat *st)
{
	return (uint64_t)st->st_mtim.tv_sec * NS_PER_S + (uint64_t)st->st_mtim.tv_nsec;
}

// One file, wherever it is seen. Anyone can write another file's build-id into his own, so the size
// and where the code lies in it must be the same too.
static uint64_t file_key(
    const struct processes *t, const struct stat *st, const struct elf_facts *facts)
{
	if (facts->build_id_len) {
		uint64_t id =
		    build_id_hash(t, facts->build_id, facts->build_id_len) ^ (uint64_t)st->st_size;
		return key_of(
		    t, facts->exec, facts->exec_count * sizeof(*facts->exec), hash_mix(id));
	}
	uint64_t words[] = {st->st_dev, st->st_ino, (uint64_t)st->st_size, mtime_of(st)};
	return key_of(t, words, sizeof(words), 's');
}

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

void binary_unpin(struct processes *t, struct binary_entry *b)
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
	binary_unpin(t, b);
	if (b->build_id && map_get(&t->by_build_id, b->build_id, &v) && v == b->b.id)
		map_remove(&t->by_build_id, b->build_id);
	map_remove(&t->binaries, b->b.id);
	if (map_get(&t->by_key, b->key, &v) && v == b->b.id)
		map_remove(&t->by_key, b->key);
	mem_free(b);
	count_set(COUNT_BINARIES, t->binaries.count);
}

// Of the next LOOKS binaries (of those that are PINNED) the one not used for longest.
static struct binary_entry *oldest(struct processes *t, bool pinned)
{
	struct map_slot s;
	struct binary_entry *found = NULL;
	for (uint32_t n = 0, all = 0; all < t->binaries.count && (n < LOOKS || !found);
	     n++, all++) {
		if (!map_next(&t->binaries, &t->look_binary, &s)) {
			t->look_binary = 0;
			map_next(&t->binaries, &t->look_binary, &s);
		}
		struct binary_entry *b = (struct binary_entry *)(uintptr_t)s.value;
		if (pinned && b->b.fd < 0)
			continue;
		if (!found || b->used_ns < found->used_ns)
			found = b;
	}
	return found;
}

// Takes FD into B, making room among the pinned descriptors.
static void pin(struct processes *t, struct binary_entry *b, int fd)
{
	uint32_t max = t->options.pinned_max - t->options.pinned_max / 4; // the rest is for roots
	if (t->pinned >= max)
		binary_unpin(t, oldest(t, true));
	b->b.fd = fd;
	t->pinned++;
}

struct binary_entry *binary_add(struct processes *t, uint32_t id, uint64_t key, uint32_t path)
{
	if (t->binaries.count >= t->options.binaries_max)
		binary_drop(t, oldest(t, false));
	struct binary_entry *b = mem_alloc(ACCOUNT_PROCESS, sizeof(*b));
	if (!b)
		return NULL;
	b->b.id = id ? id : id_next(&t->binaries, &t->next_binary);
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
	count_set(COUNT_BINARIES, t->binaries.count);
	return b;
}

// Does the open file hold what the mapping says it maps?
static bool is_file_of(const struct processes *t, const struct process_mapping *m, int fd,
    struct stat *st, struct elf_facts *facts)
{
	if (fstat(fd, st) < 0)
		return false;
	if (elf_facts(fd, facts) < 0)
		memset(facts, 0, sizeof(*facts));
	if (m->build_id)
		return build_id_hash(t, facts->build_id, facts->build_id_len) == m->build_id;
	return m->inode && m->inode == st->st_ino;
}

// FD itself, or -ESTALE (and FD closed) where it is not the mapped file.
static int checked(const struct processes *t, const struct process_mapping *m, int fd,
    struct stat *st, struct elf_facts *facts)
{
	if (fd < 0 || is_file_of(t, m, fd, st, facts))
		return fd;
	close(fd);
	return -ESTALE;
}

// Opens the file behind M: the mapped file itself where the kernel lets us, else by its path in the
// process's own root, else in another root of the same mount namespace (the process is gone).
static int open_mapped(struct processes *t, const struct entry *e, const struct process_mapping *m,
    const char *path, struct stat *st, struct elf_facts *facts)
{
	struct proc *proc = t->options.proc;
	int fd = -ESRCH;
	// The range, or the pid, may be another's by now; the inode or build-id decides.
	if (!e->p.exit_ns)
		fd = checked(
		    t, m, proc_map_file_open(proc, entry_reader(e), m->start, m->end), st, facts);
	if (fd >= 0 || m->deleted)
		return fd;
	int own = e->p.exit_ns ? -ESRCH : proc_root_open(proc, entry_reader(e));
	if (own >= 0) {
		fd = checked(t, m, proc_open_beneath(own, path), st, facts);
		close(own);
	}
	if (fd >= 0)
		return fd;
	int root = root_of(t, e->p.ppid, e->p.mnt_ns);
	return root < 0 ? root : checked(t, m, proc_open_beneath(root, path), st, facts);
}

// A file that cannot be read still has a name for its frames: by path and what is known of it.
static uint32_t unread(struct processes *t, const struct process_mapping *m, const char *path)
{
	uint64_t v,
	    key = key_of(t, path, strlen(path), hash_mix(m->build_id ^ m->inode) << 8 | 'u');
	if (map_get(&t->by_key, key, &v))
		return (uint32_t)v;
	struct binary_entry *b = binary_add(t, 0, key, m->path);
	return b ? b->b.id : 0;
}

uint32_t binary_of_name(struct processes *t, const struct process_mapping *m)
{
	struct process_mapping name = {.path = m->path};
	char path[4096 + 64];
	text_copy(path, sizeof(path), names_get(t->paths, m->path));
	return unread(t, &name, path);
}

static void note_build_id(struct processes *t, struct binary_entry *b)
{
	uint64_t v;
	b->build_id = 0;
	if (!b->b.facts.build_id_len)
		return;
	b->build_id = build_id_hash(t, b->b.facts.build_id, b->b.facts.build_id_len);
	if (t->by_build_id.count > 2 * t->options.binaries_max)
		map_clear(&t->by_build_id); // the ambiguous outlive their binaries
	bool other = map_get(&t->by_build_id, b->build_id, &v) && v != b->b.id;
	map_put(&t->by_build_id, b->build_id, other ? AMBIGUOUS : b->b.id); // a shortcut: may fail
}

uint32_t binary_of(struct processes *t, struct entry *e, const struct process_mapping *m)
{
	struct stat st;
	struct elf_facts facts;
	uint64_t v;
	// A copy: interned text moves when more is added.
	char path[4096 + 64];
	text_copy(path, sizeof(path), names_get(t->paths, m->path));
	if (t->options.offline)
		return unread(t, m, path);
	if (!e->p.exit_ns)
		root_of(t, entry_reader(e),
		    e->p.mnt_ns); // while it lives: the next of its kind may not
	int fd = open_mapped(t, e, m, path, &st, &facts);
	if (fd == -EMFILE || fd == -ENFILE || fd == -ENOMEM)
		return 0; // for now
	if (fd < 0) {
		// Gone, but a file with this build-id was seen before.
		if (m->build_id && map_get(&t->by_build_id, m->build_id, &v) && v != AMBIGUOUS)
			return (uint32_t)v;
		count_add(COUNT_PIN_FAILED, 1);
		return unread(t, m, path);
	}
	uint64_t key = file_key(t, &st, &facts);
	struct binary_entry *b = map_get(&t->by_key, key, &v) ? entry_of(t, (uint32_t)v)
							      : binary_add(t, 0, key, m->path);
	if (!b || b->b.fd >= 0) {
		close(fd);
		return b ? b->b.id : 0;
	}
	b->b.facts = facts;
	b->b.size = (uint64_t)st.st_size;
	b->b.last_pid = e->p.pid;
	b->mtime_ns = mtime_of(&st);
	b->mnt_ns = e->p.mnt_ns;
	b->path = m->path ? m->path : b->path;
	b->used_ns = t->now_ns;
	note_build_id(t, b);
	pin(t, b, fd);
	return b->b.id;
}

// A file that was overwritten in place has other symbols than when its facts were read.
static bool unchanged(const struct binary_entry *b, const struct stat *st)
{
	return (uint64_t)st->st_size == b->b.size && mtime_of(st) == b->mtime_ns;
}

int binary_fd(struct processes *t, struct binary *binary)
{
	struct binary_entry *b = (struct binary_entry *)binary;
	struct elf_facts facts;
	struct stat st;
	if (b->b.fd >= 0 && fstat(b->b.fd, &st) == 0 && unchanged(b, &st))
		return b->b.fd;
	binary_unpin(t, b);
	if (t->options.offline || !b->b.facts.exec_count)
		return -ENOENT;
	char path[4096 + 64];
	text_copy(path, sizeof(path), names_get(t->paths, b->path));
	int root = root_of(t, b->b.last_pid, b->mnt_ns);
	int fd = root < 0 ? root : proc_open_beneath(root, path);
	if (fd < 0)
		return fd;
	if (fstat(fd, &st) < 0 || elf_facts(fd, &facts) < 0 || file_key(t, &st, &facts) != b->key) {
		close(fd);
		return -ESTALE;
	}
	b->mtime_ns = mtime_of(&st); // of a file with a build-id it may be a copy
	pin(t, b, fd);
	return fd;
}

int binary_open_beside(struct processes *t, const struct binary *binary, const char *path)
{
	const struct binary_entry *b = (const struct binary_entry *)binary;
	if (t->options.offline)
		return -ENOENT;
	int root = root_of(t, b->b.last_pid, b->mnt_ns);
	return root < 0 ? root : proc_open_beneath(root, path);
}
