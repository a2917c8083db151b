// SPDX-License-Identifier: Apache-2.0
// The kernel gives every 64-bit process the same vdso, so ours tells the names of all.
#include "private.h"

#include <link.h>
#include <sys/auxv.h>

#define VDSO_MAX 65536

const void *vdso_image(size_t *size)
{
	const char *image = (const char *)getauxval(AT_SYSINFO_EHDR);
	if (!image)
		return NULL;
	const ElfW(Ehdr) *header = (const ElfW(Ehdr) *)image;
	const ElfW(Phdr) *segments = (const ElfW(Phdr) *)(image + header->e_phoff);
	// The section headers are the last thing in the image.
	size_t end = header->e_shoff + (size_t)header->e_shnum * header->e_shentsize;
	for (unsigned i = 0; i < header->e_phnum; i++)
		if (segments[i].p_type == PT_LOAD &&
		    segments[i].p_offset + segments[i].p_filesz > end)
			end = segments[i].p_offset + segments[i].p_filesz;
	*size = end;
	return end <= VDSO_MAX ? image : NULL;
}
