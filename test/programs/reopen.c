// SPDX-License-Identifier: Apache-2.0
// Two libraries, one after the other at the same address, whose code is laid out differently:
//   reopen SECONDS LIBRARY...: opens, calls `work` (see reopened.c) for SECONDS and closes each in
//   turn, and says "same address" when all lay at one.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv)
{
	ElfW(Addr) first = 0;
	int same = 1;
	for (int i = 2; i < argc; i++) {
		void *library = dlopen(argv[i], RTLD_NOW | RTLD_LOCAL);
		struct link_map *map = NULL;
		if (!library || dlinfo(library, RTLD_DI_LINKMAP, &map)) {
			fprintf(stderr, "reopen: %s\n", dlerror());
			return 1;
		}
		void (*work)(double) = (void (*)(double))dlsym(library, "work");
		if (!work)
			return 1;
		same = same && (i == 2 || map->l_addr == first);
		first = i == 2 ? map->l_addr : first;
		work(atof(argv[1]));
		dlclose(library);
	}
	puts(same ? "same address" : "different addresses");
	return 0;
}
