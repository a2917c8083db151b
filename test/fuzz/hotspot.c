// SPDX-License-Identifier: Apache-2.0
// Any bytes as the memory of a Java machine: what its probes are told of it fits, and a reading
// does not go on for ever.
//
//   address of the table | the table, its names ...        at 0x1000
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../../modules/heap/hotspot.c"

#define BASE 0x1000

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct reading r = {.memory = memfd_create("fuzz", MFD_CLOEXEC)};
	struct allocator a = {.count = 2, .probes = {{1, ALLOC_JAVA_TLAB}, {2, ALLOC_JAVA_END}}};
	if (r.memory < 0 || pwrite(r.memory, data, size, BASE) != (ssize_t)size)
		abort();
	read_table(&r, BASE);
	fit(&a, &r);
	close(r.memory);
	if (!a.count || (a.probes[0].kind & 0xff) != ALLOC_JAVA_TLAB)
		abort();
	uint32_t kind = a.probes[0].kind;
	if (a.count == 2 &&
	    (!ALLOC_JAVA_ALLOCATED(kind) || !ALLOC_JAVA_START(kind) || !ALLOC_JAVA_TOP(kind)))
		abort();
	return 0;
}
