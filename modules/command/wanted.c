// SPDX-License-Identifier: Apache-2.0
#include "wanted.h"
#include "allocs.h"
#include "command.h"
#include "selection.h"

#include <errno.h>
#include <stdio.h>

// What the configuration wants profiles of.
static uint32_t configured(const struct config *c)
{
	return path_types_beside((uint32_t)c->profiling_cpu_enabled << PATH_CPU |
				 (uint32_t)c->profiling_off_cpu_enabled << PATH_OFF_CPU |
				 (uint32_t)c->profiling_wall_enabled << PATH_WALL |
				 (uint32_t)c->profiling_mutex_enabled << PATH_MUTEX |
				 (uint32_t)c->profiling_memory_enabled << PATH_MEMORY);
}

int wanted_types(const struct hall_options *o, uint32_t *types, char *why, size_t size)
{
	*types = o->types ? o->types : configured(o->config);
	if (o->config->profiling_memory_mapped && *types & 1u << PATH_MEMORY)
		*types |= 1u << PATH_MAPPED;
	if (allocs_wanted(o))
		*types |= 1u << PATH_ALLOCS | 1u << PATH_HEAP;
	if (*types || o->source)
		return 0;
	snprintf(why, size, "profiling.cpu.enabled: false: no profiler is left to run: enable one");
	return EXIT_USAGE;
}

uint32_t wanted_wakers(const struct config *c)
{
	return (c->profiling_off_cpu_waker ? 1u << PATH_OFF_CPU | 1u << PATH_WALL : 0) |
	       (uint32_t)c->profiling_mutex_holder << PATH_MUTEX;
}

int wanted_check(const struct config *c, char *why, size_t size)
{
	const struct hall_options o = {.config = c, .keeps = true};
	uint32_t types;
	if (!c->profiling_enabled)
		return 0;
	int status = wanted_types(&o, &types, why, size);
	if (status)
		return status;
	struct filter *filter = selection_filter(&o, why, size);
	int error = filter ? deliver_check(c, why, size) : -errno;
	filter_free(filter);
	return !error ? 0 : error == -EINVAL ? EXIT_USAGE : EXIT_FAILED;
}
