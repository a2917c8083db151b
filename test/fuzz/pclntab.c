// SPDX-License-Identifier: Apache-2.0
// Any bytes as Go's function table, behind a file that has nothing else: found as a section or by
// the scan, and asked for addresses all over the code it claims.
#include <elf.h>
#include <stdlib.h>

#include "../../modules/elf/gofind.c"
#include "../../modules/elf/pclntab.c"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint64_t text = 0x10000, code = 1 << 20, data_at = 0x400000;
	struct elf_file f = {.segment_count = 2, .has_sections = true};
	struct pclntab t;
	char name[256];
	view_memory(&f.view, data, size);
	// The code has no bytes: a scan that comes to it finds the end of the file.
	f.segments[0] = (struct segment){.size = code, .vaddr = text, .flags = PF_X};
	f.segments[1] = (struct segment){.size = size, .vaddr = data_at, .flags = PF_R};
	for (unsigned scan = 0; scan < 2; scan++) {
		f.go = scan;
		f.pclntab =
		    scan ? (struct section){} : (struct section){.size = size, .vaddr = data_at};
		f.go_module = f.pclntab;
		struct gofind *g = gofind_new(&f);
		int r = g ? 1 : -ENOMEM;
		while (r == 1)
			r = gofind_step(g, &t, 0);
		gofind_free(g);
		if (r)
			continue;
		for (unsigned i = 0; i < 64; i++) {
			uint64_t start, end, address = t.start + (t.end - t.start) / 64 * i;
			if (!pclntab_find(&t, address, &start, &end, name, sizeof(name)) &&
			    (start > address || end <= address || !name[0] ||
				strlen(name) >= sizeof(name)))
				abort();
		}
	}
	if (mem_used(ACCOUNT_ELF))
		abort();
	return 0;
}
