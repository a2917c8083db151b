// SPDX-License-Identifier: Apache-2.0
// Off-CPU time in the form of Go's block profile (runtime/pprof): contentions/count,
// delay/nanoseconds, with a period of one contention. Who reads, merges or compares Go's takes it
// as it is, and what is in it is alike: time in which threads could not go on. wish.c leaves out
// the time in which they could, and waited for a CPU.
#include "private.h"

#include <errno.h>
#include <string.h>

static bool name(struct profile *p, const char *s, uint32_t *id)
{
	*id = names_add(profile_names(p), s, strlen(s));
	return *id;
}

int block_make(struct profile *p)
{
	struct profile_header *h = profile_header(p);
	if (h->value_count != 2 || !name(p, "contentions", &h->value_types[0]) ||
	    !name(p, "count", &h->value_units[0]) || !name(p, "delay", &h->value_types[1]) ||
	    !name(p, "nanoseconds", &h->value_units[1]))
		return h->value_count != 2 ? -EINVAL : -ENOMEM;
	h->type = NULL;
	h->period_type = h->value_types[0];
	h->period_unit = h->value_units[0];
	h->period = 1;
	h->default_value = 1;
	return 0;
}
