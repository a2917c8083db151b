// SPDX-License-Identifier: Apache-2.0
// Any bytes as what a process says of itself: its attributes, its arguments, names with versions,
// its cgroup.
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "../../modules/label/label.h"
#include "../../modules/process/runtime.c"

static void is_sound(const struct gathered *g)
{
	for (int fact = 0; fact < FACT_COUNT; fact++)
		if (!text_utf8_valid(g->at[fact], strnlen(g->at[fact], FACT_MAX + 1)) ||
		    strlen(g->at[fact]) > FACT_MAX)
			abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct gathered g = {0};
	char uid[LABEL_POD_UID], *text = malloc(size + 1);
	if (!text)
		return 0;
	memcpy(text, data, size);
	text[size] = 0;
	gather_attributes(&g, text);
	gather_set(&g, FACT_COMMAND, text, size);
	is_sound(&g);
	size_t at = 0, n = runtime_version(text, &at);
	if (at + n > strlen(text))
		abort();
	if (label_pod_uid(text, uid) && strlen(uid) != LABEL_POD_UID - 1)
		abort();
	struct arguments a = {.runtime = size ? data[0] % (RUNTIME_RUBY + 1) : 0};
	for (const char *s = text; s < text + size; s += strlen(s) + 1)
		runtime_argument(&a, strlen(s) > 64 ? NULL : s);
	if (a.found && (!*a.program || strlen(a.program) > FACT_MAX))
		abort();
	enum runtime runtime = runtime_of_executable(text);
	runtime_tell(&g, runtime, runtime_jvm(text), text);
	is_sound(&g);
	free(text);
	return 0;
}
