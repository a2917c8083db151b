// SPDX-License-Identifier: Apache-2.0
// page/flame.html in the binary, by the assembler; the path is from where make runs.
#include "export.h"

__asm__(".pushsection .rodata.flame_page, \"a\", %progbits\n"
	".global telegen_flame_page_begin, telegen_flame_page_end\n"
	".hidden telegen_flame_page_begin, telegen_flame_page_end\n"
	"telegen_flame_page_begin: .incbin \"modules/export/page/flame.html\"\n"
	"telegen_flame_page_end: .byte 0\n"
	".popsection\n");

extern const char telegen_flame_page_begin[], telegen_flame_page_end[];

const char *flame_page(size_t *size)
{
	*size = (size_t)(telegen_flame_page_end - telegen_flame_page_begin);
	return telegen_flame_page_begin;
}
