// SPDX-License-Identifier: Apache-2.0
// kallsyms: the input is the file; every address is answered once, and never by a symbol above it.
#include <assert.h>
#include <sys/mman.h>

#include "../../modules/symbol/kernel.c"

static const uint64_t addresses[] = {
    1, 0x1000, 0xffffffff81000000, 0xffffffff81000100, 0xffffffffc0000010, UINT64_MAX};
#define COUNT (sizeof(addresses) / sizeof(*addresses))
static int answered[COUNT];

static void found(void *arg, uint32_t index, const struct elf_symbol *symbol)
{
	(void)arg;
	assert(index < COUNT && !answered[index]++);
	assert(
	    !symbol->name || (symbol->start <= addresses[index] && addresses[index] < symbol->end));
	assert(!symbol->name || *symbol->name);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	int file = memfd_create("kallsyms", MFD_CLOEXEC), result;
	memset(answered, 0, sizeof(answered));
	if (pwrite(file, data, size, 0) == (ssize_t)size) {
		struct kernel_pass *k = kernel_pass_new(file, addresses, COUNT, found, NULL);
		while ((result = kernel_pass_step(k, 0)) == 1)
			;
		for (size_t i = 0; i < COUNT; i++)
			assert(answered[i] == (result == 0));
		kernel_pass_free(k);
	}
	close(file);
	return 0;
}
