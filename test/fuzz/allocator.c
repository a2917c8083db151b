// SPDX-License-Identifier: Apache-2.0
// Any bytes as a file that may hold an allocator: names, places in the file, first instructions.
#include <stdlib.h>
#include <sys/mman.h>

#include "../../modules/heap/allocator.c"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static int fd = -1; // one file, written over
	struct allocator a;
	char why[32];
	if (fd < 0 && (fd = memfd_create("fuzz", MFD_CLOEXEC)) < 0)
		abort();
	if (ftruncate(fd, 0) || pwrite(fd, data, size, 0) != (ssize_t)size)
		abort();
	struct allocator_search *s = allocator_search_new(fd, fd, &a);
	while (s && allocator_search_step(s, 100 * NS_PER_US) == 1)
		;
	allocator_search_free(s);
	if (a.count > KERNEL_PROBES_MAX || (*a.why && a.count))
		abort();
	for (uint32_t i = 0; i < a.count; i++)
		if (a.probes[i].kind >= ALLOC_KINDS)
			abort();
	int at =
	    entry_offset(62, data, size < ENTRY_BYTES ? size : ENTRY_BYTES, 3, why, sizeof(why));
	if (at >= 0 && (size_t)at >= size)
		abort();
	if (mem_used(ACCOUNT_ELF) + mem_used(ACCOUNT_HEAP))
		abort();
	return 0;
}
