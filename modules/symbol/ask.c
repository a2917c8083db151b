// SPDX-License-Identifier: Apache-2.0
// Kernel addresses named by the kernel itself, a few at a time, where it can be asked: about a
// microsecond each, while a pass over kallsyms costs tens of milliseconds.
#include "private.h"

#include <stdio.h>

#define ASK_MAX 16 // symbol_options.ask_kernel takes no more

struct asking {
	struct symbol_job *job;
	uint32_t at, from; // next address to ask for; first of those being asked for
};

bool ask_possible(const struct symbol *s)
{
	return s->options.ask_kernel &&
	       s->options.ask_kernel(s->options.ask_arg, NULL, 0, NULL, NULL) == 0;
}

static void named(
    void *arg, uint32_t index, uint64_t start, uint64_t end, const char *name, const char *module)
{
	struct asking *a = arg;
	if (index >= a->at - a->from)
		return;
	struct item *item = &a->job->items[a->job->from + a->from + index];
	struct elf_symbol symbol = {.start = start, .end = end};
	char whole[SHOWN_MAX];
	if (name) {
		snprintf(whole, sizeof(whole), *module ? "%s [%s]" : "%s", name, module);
		symbol.name = whole;
	}
	if (item->kind != ITEM_ANSWERED)
		answer_symbol(a->job, item, &symbol);
	// Modules, and BPF programs more so, come and go: others may lie there the next time. To
	// ask again costs less than a wrong name.
	struct owner *o =
	    name && *module ? cache_owner(a->job->s->cache, PLACE_KERNEL, 0, false) : NULL;
	if (o)
		cache_cut(a->job->s->cache, o, start, end);
}

void *ask_new(struct symbol_job *job)
{
	struct asking *a = mem_alloc(ACCOUNT_SYMBOL, sizeof(*a));
	if (a)
		a->job = job;
	return a;
}

int ask_step(void *state, uint64_t budget_ns)
{
	struct asking *a = state;
	struct symbol *s = a->job->s;
	uint64_t deadline = clock_now() + budget_ns;
	while (a->at < a->job->misses) {
		uint32_t n = a->job->misses - a->at;
		a->from = a->at;
		a->at += n < ASK_MAX ? n : ASK_MAX;
		int error = s->options.ask_kernel(
		    s->options.ask_arg, &a->job->addresses[a->from], a->at - a->from, named, a);
		// What it did not answer shows as [kernel] in this window. Where it can no longer
		// be asked, the next window reads kallsyms.
		if (error)
			return 0;
		if (clock_now() >= deadline && a->at < a->job->misses)
			return 1;
	}
	return 0;
}

void ask_free(void *state)
{
	mem_free(state);
}
