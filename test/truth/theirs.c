// SPDX-License-Identifier: Apache-2.0
#include "theirs.h"

#include <elf.h>
#include <elfutils/libdw.h>
#include <elfutils/libdwfl.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct theirs {
	struct target *t;
	Dwfl *dwfl;
	int fd; // of the program
	Elf *elf;
	bool attached;
	struct stack *to;
};

static pid_t next_thread(Dwfl *dwfl, void *arg, void **thread)
{
	(void)dwfl;
	if (*thread)
		return 0;
	*thread = arg;
	return 1;
}

static bool get_thread(Dwfl *dwfl, pid_t tid, void *arg, void **thread)
{
	(void)dwfl;
	*thread = arg;
	return tid == 1;
}

static bool memory_read(Dwfl *dwfl, Dwarf_Addr address, Dwarf_Word *result, void *arg)
{
	(void)dwfl;
	struct theirs *u = arg;
	uint64_t word;
	if (target_read(u->t, address, &word, 8))
		return false;
	*result = word;
	return true;
}

static bool set_registers(Dwfl_Thread *thread, void *arg)
{
	const struct theirs *u = arg;
	Dwarf_Word reg[REGISTERS];
	for (int i = 0; i < REGISTERS; i++)
		reg[i] = u->t->reg[i];
	if (!dwfl_thread_state_registers(thread, 0, u->t->machine == EM_X86_64 ? 17 : 32, reg))
		return false;
	if (u->t->machine != EM_X86_64)
		dwfl_thread_state_register_pc(thread, u->t->reg[32]);
	return true;
}

static const Dwfl_Thread_Callbacks threads = {
    .next_thread = next_thread,
    .get_thread = get_thread,
    .memory_read = memory_read,
    .set_initial_registers = set_registers,
};

// What lies in the files themselves, as our own unwinder reads it.
static int no_debug_file(Dwfl_Module *m, void **data, const char *name, Dwarf_Addr base,
    const char *file, const char *link, GElf_Word crc, char **found)
{
	(void)m, (void)data, (void)name, (void)base, (void)file, (void)link, (void)crc;
	*found = NULL;
	return -1;
}
static const Dwfl_Callbacks of_process = {
    .find_elf = dwfl_linux_proc_find_elf,
    .find_debuginfo = no_debug_file,
};
static const Dwfl_Callbacks of_file = {
    .find_elf = dwfl_build_id_find_elf,
    .find_debuginfo = no_debug_file,
};

int theirs_maps(struct theirs *u)
{
	dwfl_report_begin(u->dwfl);
	int rc = 0;
	if (u->t->pid)
		rc = dwfl_linux_proc_report(u->dwfl, u->t->pid);
	else
		rc = -!dwfl_report_elf(
		    u->dwfl, "program", u->t->maps->path, -1, u->t->maps->start, false);
	dwfl_report_end(u->dwfl, NULL, NULL);
	// Without an ELF file here libdw borrows from its first module what it knows of the
	// machine, and goes on to use it when that module is freed: V8 maps a part of node's file
	// once more, which then is another module.
	if (!u->attached)
		u->attached =
		    dwfl_attach_state(u->dwfl, u->elf, u->t->pid ? u->t->pid : 1, &threads, u);
	return rc || !u->attached ? -1 : 0;
}

struct theirs *theirs_new(struct target *t)
{
	char path[64];
	struct theirs *u = calloc(1, sizeof(*u));
	if (!u)
		abort();
	u->t = t;
	snprintf(path, sizeof(path), "/proc/%d/exe", (int)t->pid);
	u->fd = open(t->pid ? path : t->maps->path, O_RDONLY | O_CLOEXEC);
	elf_version(EV_CURRENT);
	u->elf = elf_begin(u->fd, ELF_C_READ, NULL);
	u->dwfl = dwfl_begin(t->pid ? &of_process : &of_file);
	if (u->dwfl && u->elf)
		return u;
	theirs_free(u);
	return NULL;
}

void theirs_free(struct theirs *u)
{
	if (!u)
		return;
	dwfl_end(u->dwfl);
	elf_end(u->elf);
	if (u->fd >= 0)
		close(u->fd);
	free(u);
}

static int frame(Dwfl_Frame *f, void *arg)
{
	struct stack *s = arg;
	Dwarf_Addr pc;
	if (!dwfl_frame_pc(f, &pc, NULL))
		return DWARF_CB_ABORT;
	s->pc[s->count++] = pc;
	return s->count <= STACK_MAX ? DWARF_CB_OK : DWARF_CB_ABORT;
}

void theirs_walk(struct theirs *u, struct stack *s)
{
	s->count = 0;
	int rc = dwfl_getthread_frames(u->dwfl, 1, frame, s);
	s->complete = rc == 0;
	s->end = rc ? dwfl_errmsg(-1) : "complete";
}

void theirs_name(struct theirs *u, uint64_t pc, struct place *place)
{
	memset(place, 0, sizeof(*place));
	place->file = place->symbol = "?";
	Dwfl_Module *m = dwfl_addrmodule(u->dwfl, pc);
	if (!m)
		return;
	const char *file = NULL;
	const char *name = dwfl_module_info(m, NULL, NULL, NULL, NULL, NULL, &file, NULL);
	file = file ? file : name;
	place->file = strrchr(file, '/') ? strrchr(file, '/') + 1 : file;
	GElf_Sym sym;
	GElf_Off offset = 0;
	const char *symbol = dwfl_module_addrinfo(m, pc, &offset, &sym, NULL, NULL, NULL);
	if (!symbol)
		return;
	place->symbol = symbol;
	place->offset = offset;
	place->symbol_at = pc - offset;
	place->symbol_end = sym.st_size ? place->symbol_at + sym.st_size : 0;
}

static Dwarf_Frame *row_of(struct theirs *u, uint64_t pc)
{
	Dwfl_Module *m = dwfl_addrmodule(u->dwfl, pc);
	Dwarf_Addr bias = 0;
	Dwarf_CFI *cfi = m ? dwfl_module_eh_cfi(m, &bias) : NULL;
	Dwarf_Frame *frame = NULL;
	return cfi && !dwarf_cfi_addrframe(cfi, pc - bias, &frame) ? frame : NULL;
}

bool theirs_describes(struct theirs *u, uint64_t pc)
{
	Dwarf_Frame *frame = row_of(u, pc);
	free(frame);
	return frame;
}

bool theirs_starts(struct theirs *u, uint64_t pc)
{
	Dwarf_Frame *frame = row_of(u, pc);
	Dwarf_Op memory[3], *ops;
	size_t n;
	if (!frame)
		return false;
	int column = dwarf_frame_info(frame, NULL, NULL, NULL);
	bool undefined = column >= 0 && !dwarf_frame_register(frame, column, memory, &ops, &n) &&
			 !n && ops == memory;
	free(frame);
	return undefined;
}

uint64_t theirs_entry(struct theirs *u, uint64_t pc)
{
	Dwfl_Module *m = dwfl_addrmodule(u->dwfl, pc);
	GElf_Addr bias;
	Elf *elf = m ? dwfl_module_getelf(m, &bias) : NULL;
	GElf_Ehdr header;
	return elf && gelf_getehdr(elf, &header) && header.e_entry ? header.e_entry + bias : 0;
}

uint64_t theirs_symbol(struct theirs *u, uint64_t pc, const char *name)
{
	Dwfl_Module *m = dwfl_addrmodule(u->dwfl, pc);
	int count = m ? dwfl_module_getsymtab(m) : 0;
	for (int i = 0; i < count; i++) {
		GElf_Sym sym;
		GElf_Addr address;
		const char *is = dwfl_module_getsym_info(m, i, &sym, &address, NULL, NULL, NULL);
		if (is && !strcmp(is, name))
			return address;
	}
	return 0;
}
