// SPDX-License-Identifier: Apache-2.0
// Names of kernel addresses: one pass over kallsyms for many addresses, memory in proportion to
// them.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../elf/elf.h"

struct kernel_line {
	uint64_t address;
	char type;
	char name[512];	 // kernel's KSYM_NAME_LEN
	char module[64]; // "" for vmlinux
};
// Takes one line apart (without its newline): "ffffffff81000000 T _stext" or "... t foo\t[mod]".
bool kernel_line(const char *line, size_t n, struct kernel_line *l);
// Does L begin a function that can be sampled? Padding and CFI stubs do not.
bool kernel_is_code(const struct kernel_line *l);
// Of two names of one address the one that perf shows.
bool kernel_better(char type, const char *name, char than_type, const char *than);

struct kernel_pass;
// FD (borrowed) is kallsyms; ADDRESSES sorted ascending, borrowed. FOUND as in elf.h, all at the
// end; a name of a module or BPF program is "name [module]". NULL + errno.
struct kernel_pass *kernel_pass_new(int fd, const uint64_t *addresses, uint32_t count,
    void (*found)(void *arg, uint32_t index, const struct elf_symbol *symbol), void *arg);
// 1: more to do; 0: every address was answered; -EPERM: the kernel hides its addresses; -errno.
int kernel_pass_step(void *pass, uint64_t budget_ns);
void kernel_pass_free(void *pass);
