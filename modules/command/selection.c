// SPDX-License-Identifier: Apache-2.0
#include "selection.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static bool selects(const struct hall_options *o)
{
	return o->all || o->pid_count || o->containers || o->comms || o->cgroups;
}

// The configuration's own selection; *PIDS is the caller's.
static int configured(const struct config *c, struct filter_options *fo, uint32_t **pids)
{
	const struct config_list *list = &c->profiling_target_pids;
	uint32_t *p = *pids = mem_alloc(ACCOUNT_COMMAND, (list->count + 1) * sizeof(*p));
	if (!p)
		return -ENOMEM;
	if (c->profiling_target_pid)
		p[fo->pid_count++] = (uint32_t)c->profiling_target_pid;
	for (uint32_t i = 0; i < list->count; i++) {
		uint64_t pid = 0;
		if (text_number(list->items[i], strlen(list->items[i]), 10, &pid) == 0)
			p[fo->pid_count++] = (uint32_t)pid;
	}
	fo->pids = p;
	fo->container_ids = (const char *const *)c->profiling_target_container_ids.items;
	fo->names = (const char *const *)c->profiling_target_process_names.items;
	fo->executables = (const char *const *)c->profiling_target_executables.items;
	return 0;
}

struct filter *selection_filter(const struct hall_options *o, char *why, size_t size)
{
	uint32_t *pids = NULL;
	struct filter_options fo = {
	    .pids = o->pids,
	    .pid_count = o->pid_count,
	    .container_ids = o->containers,
	    .names = o->comms,
	    .cgroups = o->cgroups,
	};
	int error = selects(o) ? 0 : configured(o->config, &fo, &pids);
	snprintf(why, size, "selection: %s", strerror(ENOMEM));
	struct filter *f = error ? NULL : filter_new(&fo, why, size);
	error = f ? 0 : error ? -error : errno;
	mem_free(pids);
	return f ? f : (errno = error, NULL);
}

static void add_list(struct text *out, const char *name, const char *const *list)
{
	if (!list || !*list)
		return;
	text_printf(out, "%s%s ", out->len ? " or " : "", name);
	for (const char *const *item = list; *item; item++)
		text_printf(out, "%s%s", item == list ? "" : ",", *item);
}

void selection_describe(const struct hall_options *o, struct text *out)
{
	const struct config *c = o->config;
	if (selects(o)) {
		add_list(out, "--comm", o->comms);
		add_list(out, "--container", o->containers);
		add_list(out, "--cgroup", o->cgroups);
		return;
	}
	if (c->profiling_target_pid)
		text_printf(out, "profiling.target_pid %lu", c->profiling_target_pid);
	const struct {
		const char *name;
		const struct config_list *list;
	} lists[] = {
	    {"profiling.target_pids", &c->profiling_target_pids},
	    {"profiling.target_container_ids", &c->profiling_target_container_ids},
	    {"profiling.target_process_names", &c->profiling_target_process_names},
	    {"profiling.target_executables", &c->profiling_target_executables},
	};
	for (size_t i = 0; i < sizeof(lists) / sizeof(*lists); i++)
		add_list(out, lists[i].name, (const char *const *)lists[i].list->items);
}
