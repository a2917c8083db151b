// SPDX-License-Identifier: Apache-2.0
// A stopped process, as both unwinders see it: registers, memory, mappings. Either of this machine
// (ptrace) or one of another that qemu-user runs (its gdb stub).
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define STACK_MAX 1024

struct stack {
	uint32_t count;
	uint64_t pc[STACK_MAX + 1];
	bool exact[STACK_MAX + 1]; // ours: what a signal interrupted
	const char *end;	   // why it ended, in its unwinder's words
	bool complete;
};

// Registers by DWARF's numbers. x86-64: 6 rbp, 7 rsp, 16 rip. arm64: 29 fp, 30 lr, 31 sp; 32 is pc
// here.
#define REGISTERS 33
struct area {
	uint64_t start, end, offset, inode;
	bool exec;
	char path[256]; // "[vdso]"; "" is anonymous
};

struct target {
	uint16_t machine; // EM_X86_64, EM_AARCH64
	pid_t pid;	  // 0: behind a gdb stub
	int fd;		  // /proc/PID/mem or the stub's connection
	uint64_t reg[REGISTERS];
	struct area *maps; // executable or not, by address
	uint32_t map_count;
	uint64_t maps_hash;
	// Called for each 8 bytes that were read for our walker; NULL: nobody asks.
	void (*on_read)(void *arg, uint64_t address, uint64_t value);
	void *on_read_arg;
	// What was read last, valid while it is stopped.
	uint64_t page_at;
	uint8_t page[4096];
};

int target_pc(const struct target *t); // the number of the program counter
int target_sp(const struct target *t);
int target_fp(const struct target *t);

// 0 or -1. Never across an unmapped page.
int target_read(struct target *t, uint64_t address, void *to, size_t size);
// Reads the mappings again; 1 when they changed since the last time, 0, or -1.
int target_maps(struct target *t);
const struct area *target_map(const struct target *t, uint64_t address);

// Of a stopped thread TID of t->pid: the registers.
int target_registers(struct target *t, pid_t tid);
struct target *target_of_process(pid_t pid);
void target_free(struct target *t);

#define QEMU_RESTORER "[sigreturn]"
// PROGRAM (static, for arm64) run by qemu-aarch64, stopped before its first instruction.
struct target *target_of_qemu(char **argv);
int qemu_step(struct target *t); // 0; 1 it has ended; -1
int qemu_run_to(struct target *t, uint64_t address);
// Memory of a qemu target; 0 or -1.
int qemu_read(struct target *t, uint64_t address, void *to, size_t size);
