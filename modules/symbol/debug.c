// SPDX-License-Identifier: Apache-2.0
// Separate debug files: looked for once a binary, in the root of a process that maps it, then in
// the host's. That there is none is remembered; of one that was checked, which it was.
#include "private.h"

#include "../proc/proc.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#define REMEMBERED_MAX 4096

struct search {
	struct symbol *s;
	uint32_t binary; // by id: an allocation may make the process table drop it
	int fd, host_root;
	uint64_t wanted; // identity of the file that was checked before, 0: none was
	uint64_t identity;
	int found;
};

static uint64_t identity_of(int fd)
{
	struct stat st;
	if (fstat(fd, &st) < 0)
		return 0;
	uint64_t facts[] = {st.st_dev, st.st_ino, (uint64_t)st.st_size, (uint64_t)st.st_mtim.tv_sec,
	    (uint64_t)st.st_mtim.tv_nsec};
	return hash_bytes(facts, sizeof(facts), 0) | 1;
}

static bool take(struct search *search, int fd)
{
	if (fd < 0)
		return false;
	search->identity = identity_of(fd);
	if (search->identity &&
	    (search->identity == search->wanted || elf_debug_matches(search->fd, fd))) {
		search->found = fd;
		return true;
	}
	close(fd);
	return false;
}

static int candidate(void *arg, const char *path)
{
	struct search *search = arg;
	struct processes *processes = search->s->options.processes;
	const struct binary *b = binary_by_id(processes, search->binary);
	return (b && take(search, binary_open_beside(processes, b, path))) ||
	       (search->host_root >= 0 && take(search, proc_open_beneath(search->host_root, path)));
}

int debug_open(struct symbol *s, uint32_t binary, int fd)
{
	char path[4096];
	uint64_t known = 0;
	const struct binary *b = binary_by_id(s->options.processes, binary);
	if (!b || (map_get(&s->debug_files, binary, &known) && !known))
		return -ENOENT;
	text_copy(path, sizeof(path), b->path);
	struct search search = {.s = s, .binary = binary, .fd = fd, .wanted = known, .found = -1};
	search.host_root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	elf_debug_paths(fd, path, candidate, &search);
	if (search.host_root >= 0)
		close(search.host_root);
	if (s->debug_files.count >= REMEMBERED_MAX)
		map_clear(&s->debug_files);
	// Where there is no memory to remember it, it is looked for again.
	map_put(&s->debug_files, binary, search.found >= 0 ? search.identity : 0);
	return search.found >= 0 ? search.found : -ENOENT;
}
