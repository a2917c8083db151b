// SPDX-License-Identifier: Apache-2.0
#include "limit.h"
#include "../base/base.h"
#include "../budget/budget.h"
#include "../config/config.h"

#define STEP_MB 16ul // what is asked for is a multiple of it

void limit_hold(const struct config *config)
{
	struct budget *b = budget_new(config->memory_limit, "/sys/fs/cgroup", "/proc/self/cgroup");
	uint64_t limit = b ? budget_limit(b) : config->memory_limit;
	budget_free(b);
	mem_limit(limit);
}

void limit_say(const struct config *config, const char *name, const char *done, uint64_t need)
{
	uint64_t limit = mem_limit_get();
	if (limit < config->memory_limit) {
		log_error("%s: %s takes more than %lu MB, 3/4 of the cgroup's own limit: raise "
			  "that limit",
		    name, done, limit >> 20);
		return;
	}
	bool known = need > limit;
	if (!known)
		need = 2 * limit;
	log_error("%s: %s takes more than memory_limit, %lu MB: raise it: --memory_limit=%luMB%s",
	    name, done, limit >> 20, (((need - 1) >> 20) + STEP_MB) / STEP_MB * STEP_MB,
	    known ? "" : " or more");
}
