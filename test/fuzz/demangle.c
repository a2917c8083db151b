// SPDX-License-Identifier: Apache-2.0
// The demanglers: the input is a name. The answer fits, ends, and takes little time.
#include <assert.h>

#include "../../modules/base/base.h"
#include "../../modules/symbol/demangle.c"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char name[3000], buffer[512];
	size = size < sizeof(name) - 1 ? size : sizeof(name) - 1;
	memcpy(name, data, size);
	name[size] = 0;
	memset(buffer, 'x', sizeof(buffer));
	uint64_t before = mem_total();
	const char *got = symbol_demangle(name, buffer, sizeof(buffer));
	assert(got == name || got == buffer);
	assert(got == name || strnlen(buffer, sizeof(buffer)) < sizeof(buffer));
	assert(mem_total() == before);
	return 0;
}
