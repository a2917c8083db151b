// SPDX-License-Identifier: Apache-2.0
// A stopped process of this machine: ptrace gives the registers, /proc the rest.
#include "target.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <unistd.h>

int target_pc(const struct target *t)
{
	return t->machine == EM_X86_64 ? 16 : 32;
}
int target_sp(const struct target *t)
{
	return t->machine == EM_X86_64 ? 7 : 31;
}
int target_fp(const struct target *t)
{
	return t->machine == EM_X86_64 ? 6 : 29;
}

static int read_page(struct target *t, uint64_t at)
{
	if (t->page_at == at)
		return 0;
	t->page_at = 1; // no page
	if (t->pid ? pread(t->fd, t->page, 4096, (off_t)at) != 4096
		   : qemu_read(t, at, t->page, 4096))
		return -1;
	t->page_at = at;
	return 0;
}

int target_read(struct target *t, uint64_t address, void *to, size_t size)
{
	for (size_t done = 0; done < size;) {
		uint64_t at = address + done, in = at & 4095;
		size_t n = size - done < 4096 - in ? size - done : 4096 - in;
		if (at >> 47 || read_page(t, at - in))
			return -1;
		memcpy((char *)to + done, t->page + in, n);
		done += n;
	}
	return 0;
}

int target_maps(struct target *t)
{
	char path[64], line[1024];
	snprintf(path, sizeof(path), "/proc/%d/maps", (int)t->pid);
	FILE *f = fopen(path, "re");
	if (!f)
		return -1;
	uint64_t hash = 14695981039346656037u;
	uint32_t count = 0, cap = 0;
	struct area *maps = NULL;
	while (fgets(line, sizeof(line), f)) {
		char perms[8] = "";
		int name = 0;
		if (count == cap) {
			cap = cap ? cap * 2 : 64;
			maps = realloc(maps, cap * sizeof(*maps));
			if (!maps)
				abort();
		}
		struct area *m = maps + count;
		memset(m, 0, sizeof(*m));
		if (sscanf(line, "%lx-%lx %7s %lx %*s %lu %n", &m->start, &m->end, perms,
			&m->offset, &m->inode, &name) < 5 ||
		    m->start >> 47)
			continue;
		m->exec = perms[2] == 'x';
		if (name)
			snprintf(m->path, sizeof(m->path), "%.*s", (int)strcspn(line + name, "\n"),
			    line + name);
		if (m->exec)
			for (const char *c = line; *c; c++)
				hash = (hash ^ (uint8_t)*c) * 1099511628211u;
		count++;
	}
	fclose(f);
	free(t->maps);
	t->maps = maps;
	t->map_count = count;
	bool changed = hash != t->maps_hash;
	t->maps_hash = hash;
	return changed;
}

const struct area *target_map(const struct target *t, uint64_t address)
{
	for (uint32_t i = 0; i < t->map_count; i++)
		if (address >= t->maps[i].start && address < t->maps[i].end)
			return t->maps + i;
	return NULL;
}

int target_registers(struct target *t, pid_t tid)
{
	struct user_regs_struct r;
	struct iovec v = {&r, sizeof(r)};
	if (ptrace(PTRACE_GETREGSET, tid, (void *)NT_PRSTATUS, &v))
		return -1;
	t->page_at = 1;
#ifdef __x86_64__
	const uint64_t reg[REGISTERS] = {r.rax, r.rdx, r.rcx, r.rbx, r.rsi, r.rdi, r.rbp, r.rsp,
	    r.r8, r.r9, r.r10, r.r11, r.r12, r.r13, r.r14, r.r15, r.rip};
	memcpy(t->reg, reg, sizeof(reg));
#else
	memcpy(t->reg, r.regs, 31 * 8);
	t->reg[31] = r.sp;
	t->reg[32] = r.pc;
#endif
	return 0;
}

struct target *target_of_process(pid_t pid)
{
	char path[64];
	struct target *t = calloc(1, sizeof(*t));
	if (!t)
		abort();
	snprintf(path, sizeof(path), "/proc/%d/mem", (int)pid);
	t->fd = open(path, O_RDONLY | O_CLOEXEC);
	t->pid = pid;
	t->page_at = 1;
#ifdef __x86_64__
	t->machine = EM_X86_64;
#else
	t->machine = EM_AARCH64;
#endif
	if (t->fd >= 0)
		return t;
	free(t);
	return NULL;
}

void target_free(struct target *t)
{
	if (!t)
		return;
	close(t->fd);
	free(t->maps);
	free(t);
}
