// SPDX-License-Identifier: Apache-2.0
// Is a program being loaded? Between the exec event and start_thread a process has the new
// program's memory and the old one's user registers (fs/exec.c, fs/binfmt_elf.c); all the while its
// kernel stack is in the loader of its file format:
//
//   [0] elf_load   [1] load_elf_binary   bprm_execve   __x64_sys_execve   [n-1] entry_SYSCALL_64
//
// The kernel is asked for the names of these few return addresses, once for each.
#include "private.h"

#include <errno.h>
#include <string.h>

#define FUNCTIONS_MAX 4096 // remembered; return addresses near the root are some hundreds

enum kernel_function { OTHER, ENTRY, LOADER, STARTER };

static uint64_t function_of(const char *name)
{
	static const char *const entries[] = {"entry_", "asm_", "ret_from_fork", "el0"};
	if (strncmp(name, "load_", 5) == 0 && strstr(name, "_binary"))
		return LOADER;
	if (strncmp(name, "start_thread", 12) == 0)
		return STARTER;
	for (size_t i = 0; i < sizeof(entries) / sizeof(*entries); i++)
		if (strncmp(name, entries[i], strlen(entries[i])) == 0)
			return ENTRY;
	return OTHER;
}

// A return address lies behind its call.
static uint64_t address_of(const struct record_sample *r, uint32_t i)
{
	return r->frames[i] - (i > 0);
}

// Learns what the frames from FIRST on are: 0 or -errno.
static int ask(struct path *p, const struct record_sample *r, uint32_t first)
{
	uint64_t addresses[KERNEL_NAMES_MAX], have;
	uint32_t count = 0;
	if (p->kernel_functions.count > FUNCTIONS_MAX)
		map_clear(&p->kernel_functions);
	for (uint32_t i = first; i < r->kernel_frames; i++)
		if (!map_get(&p->kernel_functions, address_of(r, i), &have))
			addresses[count++] = address_of(r, i);
	return count
		   ? kernel_classify(p->kernel, &p->kernel_functions, addresses, count, function_of)
		   : 0;
}

int take_is_loading(void *arg, const struct record_sample *r)
{
	struct path *p = arg;
	uint32_t n = r->kernel_frames, first = n > KERNEL_NAMES_MAX ? n - KERNEL_NAMES_MAX : 0;
	uint64_t function = OTHER, caller = OTHER;
	if (!p->kernel || !n || r->kernel_cut)
		return -EOPNOTSUPP;
	int error = ask(p, r, first);
	for (uint32_t i = n; i > first && !error; i--) {
		if (!map_get(&p->kernel_functions, address_of(r, i - 1), &function))
			error = -ENOMEM;
		else if (i == n && function != ENTRY) // the root is missing
			error = -ENODATA;
		else if (caller == LOADER)
			return function == STARTER ? -EAGAIN : 1;
		caller = function;
	}
	// The loader itself has perhaps just called start_thread.
	return error ? error : caller == LOADER ? -EAGAIN : 0;
}
