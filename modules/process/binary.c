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

static uint64_t time_of(const struct timespec *at)
{
	return (uint64_t)at->tv_sec * NS_PER_S + (uint64_t)at->tv_nsec;
}

// One file in one place.
static uint64_t inode_key(const struct processes *t, const struct stat *st)
{
	uint64_t words[] = {st->st_dev, st->st_ino, (uint64_t)st->st_size, time_of(&st->st_mtim)};
	return key_of(t, words, sizeof(words), 's');
}

// One file, wherever it is seen: by its build-id, and as anyone can write another file's build-id
// into his own, by its size, where the code lies in it, and a sample of its content. Where that
// cannot be read, as where there is no build-id, it is one with itself only.
static uint64_t content_key(
    const struct processes *t, int fd, const struct stat *st, const struct elf_facts *facts)
{
	uint64_t sum;
	if (!facts->build_id_len)
		return inode_key(t, st);
	int error = elf_sample(fd, (uint64_t)st->st_size, &t->secret, &sum);
	if (error) {
		log_seldom(LOG_LEVEL_DEBUG, "a file's content: %s: it is taken for no other's",
		    strerror(-error));
		return inode_key(t, st);
	}
	uint64_t words[] = {
	    build_id_hash(t, facts->build_id, facts->build_id_len), (uint64_t)st->st_size, sum};
	return key_of(t, facts->exec, facts->exec_count * sizeof(*facts->exec),
	    key_of(t, words, sizeof(words), 'f'));
}

// As content_key, but a program that runs a thousand times is not read a thousand times: a file
// with the times that it had is taken to be as it was. Who can hide a change from its times only
// shows his own frames under another's names; before names are read for all, is_same looks again.
static uint64_t times_key(const struct processes *t, const struct stat *st)
{
	uint64_t words[] = {st->st_dev, st->st_ino, (uint64_t)st->st_size, time_of(&st->st_mtim),
	    time_of(&st->st_ctim)};
	return key_of(t, words, sizeof(words), 'c');
}

static uint64_t file_key(
    struct processes *t, int fd, const struct stat *st, const struct elf_facts *facts)
{
	uint64_t seen = times_key(t, st), key;
	if (!facts->build_id_len)
		return inode_key(t, st);
	if (map_get(&t->sampled, seen, &key))
		return key;
	key = content_key(t, fd, st, facts);
	if (t->sampled.count > 2 * t->options.binaries_max)
		map_clear(&t->sampled);
	map_put(&t->sampled, seen, key); // a shortcut: may fail
	return key;
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

static uint64_t apart_key(const struct processes *t, uint64_t key, uint32_t mnt_ns)
{
	return key_of(t, &mnt_ns, sizeof(mnt_ns), hash_mix(key) ^ 'm');
}

// Of KEY, as processes in MNT_NS are to see it, or NULL.
static struct binary_entry *find(struct processes *t, uint64_t key, uint32_t mnt_ns)
{
	uint64_t v;
	bool found =
	    map_get(&t->by_key, apart_key(t, key, mnt_ns), &v) || map_get(&t->by_key, key, &v);
	return found ? entry_of(t, (uint32_t)v) : NULL;
}

// Nobody finds B any more.
static void hide(struct processes *t, struct binary_entry *b)
{
	uint64_t v, key = b->apart ? apart_key(t, b->key, b->mnt_ns) : b->key;
	if (b->build_id && map_get(&t->by_build_id, b->build_id, &v) && v == b->b.id)
		map_remove(&t->by_build_id, b->build_id);
	if (map_get(&t->by_key, key, &v) && v == b->b.id)
		map_remove(&t->by_key, key);
}

void binary_drop(struct processes *t, struct binary_entry *b)
{
	binary_unpin(t, b);
	hide(t, b);
	map_remove(&t->binaries, b->b.id);
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

// The file behind a mapping: one that is known, or open and new.
struct found {
	struct binary_entry *known;
	int fd; // where none is
	struct stat st;
	struct elf_facts facts;
};

// Does the file hold what the mapping says it maps?
static bool is_file_of(const struct processes *t, const struct process_mapping *m,
    const struct stat *st, const struct elf_facts *facts)
{
	if (m->build_id)
		return build_id_hash(t, facts->build_id, facts->build_id_len) == m->build_id;
	return m->inode && m->inode == st->st_ino;
}

// Where programs start all the time, it is the same few files that they map: of one that is as it
// was, see file_key, nothing is read again.
static struct binary_entry *as_it_was(struct processes *t, const struct entry *e,
    const struct process_mapping *m, const struct stat *st)
{
	uint64_t key;
	if (!S_ISREG(st->st_mode) || !map_get(&t->sampled, times_key(t, st), &key))
		return NULL;
	struct binary_entry *b = find(t, key, e->p.mnt_ns);
	return b && b->b.fd >= 0 && is_file_of(t, m, st, &b->b.facts) ? b : NULL;
}

// Looks at PLACE, which is closed: 0, or -ESTALE where it is not the mapped file, or -errno.
static int look_at(struct processes *t, const struct entry *e, const struct process_mapping *m,
    int place, struct found *f)
{
	if (place < 0)
		return place;
	f->known = fstat(place, &f->st) < 0 ? NULL : as_it_was(t, e, m, &f->st);
	if (f->known) {
		close(place);
		return 0;
	}
	f->fd = proc_reopen(place);
	if (f->fd < 0)
		return f->fd;
	if (elf_facts(f->fd, &f->facts) < 0)
		memset(&f->facts, 0, sizeof(f->facts));
	if (fstat(f->fd, &f->st) == 0 && is_file_of(t, m, &f->st, &f->facts))
		return 0;
	close(f->fd);
	return -ESTALE;
}

// Finds the file behind M: the mapped file itself where the kernel lets us, else by its path in the
// process's own root, else in another root of the same mount namespace (the process is gone).
static int find_mapped(struct processes *t, const struct entry *e, const struct process_mapping *m,
    const char *path, struct found *f)
{
	struct proc *proc = t->options.proc;
	int error = -ESRCH;
	// The range, or the pid, may be another's by now; the inode or build-id decides.
	if (!e->p.exit_ns)
		error = look_at(
		    t, e, m, proc_map_file_place(proc, entry_reader(e), m->start, m->end), f);
	if (!error || m->deleted)
		return error;
	int own = e->p.exit_ns ? -ESRCH : proc_root_open(proc, entry_reader(e));
	if (own >= 0) {
		error = look_at(t, e, m, proc_place_beneath(own, path), f);
		close(own);
	}
	if (!error)
		return 0;
	int root = root_of(t, e->p.ppid, e->p.mnt_ns);
	return root < 0 ? root : look_at(t, e, m, proc_place_beneath(root, path), f);
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
	bool fresh = !b->build_id;
	b->build_id = 0;
	if (!b->b.facts.build_id_len || b->apart)
		return;
	b->build_id = build_id_hash(t, b->b.facts.build_id, b->b.facts.build_id_len);
	if (t->by_build_id.count > 2 * t->options.binaries_max)
		map_clear(&t->by_build_id); // the ambiguous outlive their binaries
	bool other = map_get(&t->by_build_id, b->build_id, &v) && v != b->b.id;
	map_put(&t->by_build_id, b->build_id, other ? AMBIGUOUS : b->b.id); // a shortcut: may fail
	if (!other || !fresh)
		return;
	count_add(COUNT_BINARIES_UNLIKE, 1);
	log_seldom(LOG_LEVEL_DEBUG, "%s: differs from another file with its build-id",
	    names_get(t->paths, b->path));
}

static uint32_t used_by(struct binary_entry *b, const struct entry *e)
{
	b->shared |= b->b.last_pid && b->mnt_ns != e->p.mnt_ns;
	return b->b.id;
}

// The file with M's build-id that was seen before, 0 where there is not one.
static uint32_t seen_before(
    struct processes *t, const struct entry *e, const struct process_mapping *m)
{
	uint64_t v;
	if (!m->build_id || !map_get(&t->by_build_id, m->build_id, &v) || v == AMBIGUOUS)
		return 0;
	struct binary_entry *b = entry_of(t, (uint32_t)v);
	return b ? used_by(b, e) : 0;
}

uint32_t binary_of(struct processes *t, struct entry *e, const struct process_mapping *m)
{
	struct found f = {.fd = -1};
	// A copy: interned text moves when more is added.
	char path[4096 + 64];
	text_copy(path, sizeof(path), names_get(t->paths, m->path));
	if (t->options.offline)
		return unread(t, m, path);
	if (!e->p.exit_ns)
		root_of(t, entry_reader(e),
		    e->p.mnt_ns); // while it lives: the next of its kind may not
	int error = find_mapped(t, e, m, path, &f);
	if (error == -EMFILE || error == -ENFILE || error == -ENOMEM)
		return 0; // for now
	if (!error && f.known)
		return used_by(f.known, e);
	if (error) {
		uint32_t gone = seen_before(t, e, m);
		if (gone)
			return gone;
		count_add(COUNT_PIN_FAILED, 1);
		return unread(t, m, path);
	}
	uint64_t key = file_key(t, f.fd, &f.st, &f.facts);
	struct binary_entry *b = find(t, key, e->p.mnt_ns);
	if (!b)
		b = binary_add(t, 0, key, m->path);
	uint32_t id = b ? used_by(b, e) : 0;
	if (!b || b->b.fd >= 0) {
		close(f.fd);
		return id;
	}
	b->b.facts = f.facts;
	b->b.size = (uint64_t)f.st.st_size;
	b->b.last_pid = e->p.pid;
	b->mnt_ns = e->p.mnt_ns;
	b->path = m->path ? m->path : b->path;
	b->used_ns = t->now_ns;
	note_build_id(t, b);
	pin(t, b, f.fd);
	return id;
}

// Is FD still, or again, the file that B is? One that was written to since, or another one at its
// path, has other symbols.
static bool is_same(const struct processes *t, const struct binary_entry *b, int fd)
{
	struct elf_facts facts;
	struct stat st;
	return fstat(fd, &st) == 0 && elf_facts(fd, &facts) == 0 &&
	       (inode_key(t, &st) == b->key || content_key(t, fd, &st, &facts) == b->key);
}

int binary_fd(struct processes *t, struct binary *binary)
{
	struct binary_entry *b = (struct binary_entry *)binary;
	if (b->b.fd >= 0 && is_same(t, b, b->b.fd))
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
	if (!is_same(t, b, fd)) {
		close(fd);
		return -ESTALE;
	}
	pin(t, b, fd);
	return fd;
}

// What lies beside a file in a container is that container's word alone: from now on B is what is
// seen in there, and whoever maps the same file elsewhere gets another. Without memory for its key
// the next in there gets another, too.
static void keep_apart(struct processes *t, struct binary_entry *b)
{
	hide(t, b);
	b->build_id = 0;
	b->apart = true;
	map_put(&t->by_key, apart_key(t, b->key, b->mnt_ns), b->b.id);
}

int binary_open_beside(struct processes *t, const struct binary *binary, const char *path)
{
	struct binary_entry *b = entry_of(t, binary->id);
	uint32_t host = 0;
	if (t->options.offline || !b)
		return -ENOENT;
	int error = proc_mount_ns(t->options.proc, 1, &host);
	bool own = !b->shared && (error || b->mnt_ns != host);
	int root = own ? root_of(t, b->b.last_pid, b->mnt_ns) : root_of(t, 1, host);
	int fd = root < 0 ? root : proc_open_beneath(root, path);
	if (fd >= 0 && own && !b->apart)
		keep_apart(t, b);
	return fd;
}
