// SPDX-License-Identifier: Apache-2.0
// A static arm64 program under qemu-aarch64, driven through its gdb stub (GDB's remote serial
// protocol: $packet#checksum, acknowledged by +). Its mappings are its program headers.
#include "target.h"

#include <elf.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define PACKET 4000

static int signal_pending;

static int put(int fd, const char *text)
{
	char packet[PACKET];
	unsigned sum = 0;
	for (const char *c = text; *c; c++)
		sum += (uint8_t)*c;
	int n = snprintf(packet, sizeof(packet), "$%s#%02x", text, sum & 255);
	return write(fd, packet, (size_t)n) == n ? 0 : -1;
}

// The next packet's text, acknowledged. Buffered: a read may hold more than one.
static int get(int fd, char *to, size_t size)
{
	static char buffer[PACKET];
	static size_t at, filled;
	size_t n = 0;
	int state = 0; // 0 before $, 1 in it, 2 and 3 in the checksum
	for (;;) {
		if (at == filled) {
			ssize_t got = read(fd, buffer, sizeof(buffer));
			if (got <= 0)
				return -1;
			filled = (size_t)got;
			at = 0;
		}
		char c = buffer[at++];
		if (state == 0)
			state = c == '$';
		else if (state == 1 && c != '#')
			to[n < size - 1 ? n++ : n] = c;
		else if (++state == 4)
			break;
	}
	to[n] = 0;
	return write(fd, "+", 1) == 1 ? 0 : -1;
}

static int ask(int fd, const char *text, char *to, size_t size)
{
	return put(fd, text) || get(fd, to, size) ? -1 : 0;
}

static int bytes_of(const char *hex, void *to, size_t size)
{
	for (size_t i = 0; i < size; i++) {
		unsigned v;
		if (sscanf(hex + 2 * i, "%2x", &v) != 1)
			return -1;
		((uint8_t *)to)[i] = (uint8_t)v;
	}
	return 0;
}

int qemu_read(struct target *t, uint64_t address, void *to, size_t size)
{
	char text[64], reply[PACKET];
	for (size_t done = 0; done < size; done += 1024) {
		size_t n = size - done < 1024 ? size - done : 1024;
		snprintf(text, sizeof(text), "m%lx,%zx", (unsigned long)(address + done), n);
		if (ask(t->fd, text, reply, sizeof(reply)) || strlen(reply) != 2 * n ||
		    bytes_of(reply, (char *)to + done, n))
			return -1;
	}
	return 0;
}

static int registers(struct target *t)
{
	char reply[PACKET];
	t->page_at = 1;
	return ask(t->fd, "g", reply, sizeof(reply)) || strlen(reply) < 33 * 16
		   ? -1
		   : bytes_of(reply, t->reg, 33 * 8);
}

int qemu_step(struct target *t)
{
	char text[16] = "s", reply[PACKET];
	if (signal_pending)
		snprintf(text, sizeof(text), "vCont;S%02x", signal_pending);
	signal_pending = 0;
	if (ask(t->fd, text, reply, sizeof(reply)) || *reply != 'T')
		return 1;
	unsigned number;
	if (sscanf(reply, "T%2x", &number) == 1 && number != SIGTRAP)
		signal_pending = (int)number;
	return registers(t);
}

// The page that a signal's handler returns to begins with the way back (a kernel has it in its
// vdso, behind an instruction, since a return address is looked for one byte before). It lies
// behind the stack. Here it is a mapping that begins a page early.
static void map_restorer(struct target *t)
{
	static const uint8_t code[] = {0x68, 0x11, 0x80, 0xd2, 0x01, 0x00, 0x00, 0xd4};
	uint8_t there[sizeof(code)];
	struct area *m = t->maps + t->map_count;
	for (uint64_t at = t->reg[31] & ~4095ull, i = 0; i < 64; i++, at += 4096)
		if (!qemu_read(t, at, there, sizeof(there)) && !memcmp(code, there, sizeof(code))) {
			*m = (struct area){.start = at - 4096, .end = at + 4096, .exec = true};
			strcpy(m->path, QEMU_RESTORER);
			t->map_count++;
			return;
		}
}

int qemu_run_to(struct target *t, uint64_t address)
{
	char text[64], reply[PACKET];
	snprintf(text, sizeof(text), "Z0,%lx,4", (unsigned long)address);
	if (ask(t->fd, text, reply, sizeof(reply)) || strcmp(reply, "OK") ||
	    ask(t->fd, "c", reply, sizeof(reply)) || *reply != 'T')
		return -1;
	*text = 'z';
	return ask(t->fd, text, reply, sizeof(reply)) || registers(t) ? -1 : 0;
}

static int map_program(struct target *t, const char *path)
{
	Elf64_Ehdr header;
	Elf64_Phdr p;
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -1;
	if (pread(fd, &header, sizeof(header), 0) != sizeof(header) || header.e_type != ET_EXEC ||
	    header.e_machine != EM_AARCH64)
		goto fail;
	t->maps = calloc(header.e_phnum + 1u, sizeof(*t->maps));
	for (int i = 0; i < header.e_phnum && t->maps; i++) {
		if (pread(fd, &p, sizeof(p), (off_t)(header.e_phoff + (uint64_t)i * sizeof(p))) !=
		    sizeof(p))
			goto fail;
		if (p.p_type != PT_LOAD)
			continue;
		struct area *m = t->maps + t->map_count++;
		m->start = p.p_vaddr & ~4095ull;
		m->end = (p.p_vaddr + p.p_memsz + 4095) & ~4095ull;
		m->offset = p.p_offset & ~4095ull;
		m->exec = p.p_flags & PF_X;
		m->inode = 1;
		snprintf(m->path, sizeof(m->path), "%s", path);
	}
	close(fd);
	return t->map_count ? 0 : -1;
fail:
	close(fd);
	return -1;
}

struct target *target_of_qemu(char **argv)
{
	struct sockaddr_un name = {.sun_family = AF_UNIX};
	char *arguments[32] = {"qemu-aarch64", "-g", name.sun_path};
	int n = 3;
	snprintf(name.sun_path, sizeof(name.sun_path), "/tmp/walktruth-%d", (int)getpid());
	for (; *argv && n < 31; n++)
		arguments[n] = *argv++;
	struct target *t = calloc(1, sizeof(*t));
	if (!t || map_program(t, arguments[3]))
		goto fail;
	t->machine = EM_AARCH64;
	pid_t pid = fork();
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (freopen("/dev/null", "r", stdin) && freopen("/dev/null", "w", stdout))
			execvp(*arguments, arguments);
		_exit(127);
	}
	t->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	for (int i = 0; pid > 0 && i < 500; i++) {
		if (!connect(t->fd, (struct sockaddr *)&name, sizeof(name))) {
			unlink(name.sun_path);
			if (registers(t))
				break;
			map_restorer(t);
			return t;
		}
		nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
	}
fail:
	if (t)
		free(t->maps);
	free(t);
	return NULL;
}
