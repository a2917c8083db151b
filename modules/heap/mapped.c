// SPDX-License-Identifier: Apache-2.0
#include "mapped.h"

#include "../base/base.h"
#include "../elf/elf.h"
#include "../proc/proc.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

void mapped_set(struct mapped *to, const struct proc_map *m)
{
	*to = (struct mapped){.start = m->start,
	    .end = m->end,
	    .offset = m->offset,
	    .inode = m->inode,
	    .major = m->dev_major,
	    .minor = m->dev_minor};
	if (strlen(m->path) < sizeof(to->path))
		text_copy(to->path, sizeof(to->path), m->path);
}

const char *mapped_name(const struct mapped *m)
{
	const char *slash = strrchr(m->path, '/');
	return slash ? slash + 1 : *m->path ? m->path : "a file";
}

int mapped_open(struct proc *proc, uint32_t pid, const struct mapped *m)
{
	struct stat st;
	int fd = proc_map_file_open(proc, pid, m->start, m->end);
	if (fd != -EPERM && fd != -EACCES)
		return fd;
	int root = proc_root_open(proc, pid), error = fd;
	fd = root < 0 ? root : proc_open_beneath(root, m->path);
	if (root >= 0)
		close(root);
	if (fd < 0)
		return error;
	if (fstat(fd, &st) == 0 && st.st_ino == m->inode)
		return fd;
	close(fd);
	return error;
}

struct search {
	int roots[2]; // the process's and ours, or -errno
	struct elf_facts facts;
};

static int candidate(void *arg, const char *path)
{
	const struct search *s = arg;
	struct elf_facts facts;
	for (int i = 0; i < 2; i++) {
		int fd = s->roots[i] < 0 ? -1 : proc_open_beneath(s->roots[i], path);
		if (fd < 0)
			continue;
		if (!elf_facts(fd, &facts) && facts.build_id_len == s->facts.build_id_len &&
		    !memcmp(facts.build_id, s->facts.build_id, facts.build_id_len))
			return fd;
		close(fd);
	}
	return 0;
}

int mapped_debug_open(struct proc *proc, uint32_t pid, int fd, const struct mapped *m)
{
	struct search s;
	int found = elf_facts(fd, &s.facts);
	if (found || !s.facts.build_id_len)
		return found ? found : -ENOENT;
	s.roots[0] = proc_root_open(proc, pid);
	s.roots[1] = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	found = elf_debug_paths(fd, m->path, candidate, &s);
	for (int i = 0; i < 2; i++)
		if (s.roots[i] >= 0)
			close(s.roots[i]);
	return found ? found : -ENOENT;
}
