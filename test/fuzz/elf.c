// SPDX-License-Identifier: Apache-2.0
// Any bytes as an ELF file: its facts, its debug files, and a lookup of addresses all over it in
// small slices. An answer must hold the address that it is for.
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../../modules/elf/lookup.c"

#define ADDRESSES 48

static uint64_t addresses[ADDRESSES];
static unsigned answered;

static void found(void *arg, uint32_t index, const struct elf_symbol *s)
{
	(void)arg;
	answered++;
	if (index >= ADDRESSES || s->start > addresses[index] || s->end <= addresses[index] ||
	    (s->name && (!s->name[0] || strlen(s->name) > ELF_NAME_MAX)))
		abort();
}

static int each (void *arg, const char *candidate)
{
	(void)arg;
	if (candidate[0] != '/' || strlen(candidate) >= 4096)
		abort();
	return 0;
}

static void find(int fd)
{
	struct elf_variable wanted[] = {{"main", {"runtime.main", "main"}}, {"x", {"main.main"}}};
	struct elf_find *f = elf_find_new(fd, wanted, 2);
	while (f && elf_find_step(f, 100 * NS_PER_US) == 1)
		;
	elf_find_free(f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct elf_facts facts;
	uint64_t vaddr = 0, sum;
	// One file, written over: a new one for every input would be all that is measured.
	static int fd = -1;
	if (fd < 0 && (fd = memfd_create("fuzz", MFD_CLOEXEC)) < 0)
		abort();
	if (ftruncate(fd, 0) || pwrite(fd, data, size, 0) != (ssize_t)size)
		abort();
	elf_facts(fd, &facts);
	elf_sample(fd, size, &(struct elf_secret){size, 1ull << 40}, &sum);
	for (unsigned i = 0; i < ADDRESSES; i++)
		addresses[i] = 0x10000 + i * 0xaa;
	if (!elf_vaddr(&facts, 0x40, &vaddr) && vaddr >= addresses[ADDRESSES - 2])
		addresses[ADDRESSES - 1] = vaddr;
	find(fd);
	elf_debug_paths(fd, "/usr/lib/x/y.so", each, NULL);

	answered = 0;
	struct elf_lookup *l = elf_lookup_new(fd, addresses, ADDRESSES,
	    &(struct elf_lookup_options){.go = true, .separate = true, .debug_fd = fd}, found,
	    NULL);
	int r;
	while ((r = elf_lookup_step(l, 100 * NS_PER_US)) == 1)
		;
	if ((r == 0 && answered != ADDRESSES) || answered > ADDRESSES)
		abort();
	elf_lookup_free(l);
	elf_lookup_memory(data, size, addresses, ADDRESSES, found, NULL);
	if (mem_used(ACCOUNT_ELF))
		abort();
	return 0;
}
