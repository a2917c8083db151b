// SPDX-License-Identifier: Apache-2.0
#include "filter.h"
#include "../base/base.h"

#include <errno.h>
#include <string.h>

// Bounds that keep one answer under a fraction of a millisecond, whatever path or name a process
// gives itself.
#define ITEMS_MAX 1024
#define ITEM_LENGTH_MAX 255
#define CGROUP_LENGTH_MAX 4095
#define COMM_LENGTH 15 // the kernel cuts longer ones
#define ID_LENGTH_MIN 8
#define ID_LENGTH_MAX 64

enum list { LIST_CONTAINERS, LIST_NAMES, LIST_EXECUTABLES, LIST_CGROUPS, LIST_COUNT };

struct items {
	char **at;
	uint32_t count;
};

struct filter {
	uint32_t *pids;
	uint32_t pid_count;
	struct items lists[LIST_COUNT];
	bool matched;
};

// What is wrong with ITEM, as the end of a sentence; NULL where nothing is. Cuts it into the form
// that is compared.
static const char *bad_container(char *item)
{
	size_t n = strlen(item);
	if (n < ID_LENGTH_MIN || n > ID_LENGTH_MAX)
		return "is not 8 to 64 hexadecimal digits";
	for (char *s = item; *s; s++) {
		if (*s >= 'A' && *s <= 'F')
			*s = (char)(*s - 'A' + 'a');
		if (!strchr("0123456789abcdef", *s))
			return "is not 8 to 64 hexadecimal digits";
	}
	return NULL;
}

static const char *bad_glob(char *item)
{
	return strlen(item) > ITEM_LENGTH_MAX ? "is longer than 255 bytes" : NULL;
}

static const char *bad_name(char *item)
{
	if (strlen(item) > COMM_LENGTH && !strpbrk(item, "*?"))
		item[COMM_LENGTH] = 0;
	return bad_glob(item);
}

static const char *bad_cgroup(char *item)
{
	size_t n = strlen(item);
	if (item[0] != '/')
		return "does not begin with a slash";
	if (n > CGROUP_LENGTH_MAX)
		return "is longer than 4095 bytes";
	while (n > 1 && item[n - 1] == '/')
		item[--n] = 0;
	return NULL;
}

static const struct {
	const char *what;
	const char *(*bad)(char *item);
} kinds[LIST_COUNT] = {
    [LIST_CONTAINERS] = {"container", bad_container},
    [LIST_NAMES] = {"process name", bad_name},
    [LIST_EXECUTABLES] = {"executable", bad_glob},
    [LIST_CGROUPS] = {"cgroup", bad_cgroup},
};

static int too_many(const char *what, struct text *why)
{
	text_printf(why, "%ss: more than %d", what, ITEMS_MAX);
	return -EINVAL;
}

static int copy_list(struct items *items, enum list list, const char *const *from, struct text *why)
{
	uint32_t n = 0;
	while (from && n <= ITEMS_MAX && from[n])
		n++;
	if (n > ITEMS_MAX)
		return too_many(kinds[list].what, why);
	if (!n)
		return 0;
	items->at = mem_alloc(ACCOUNT_FILTER, n * sizeof(*items->at));
	if (!items->at)
		return -ENOMEM;
	for (; items->count < n; items->count++) {
		const char *item = from[items->count];
		char *copy = items->at[items->count] = mem_strdup(ACCOUNT_FILTER, item);
		if (!copy)
			return -ENOMEM;
		const char *bad = *copy ? kinds[list].bad(copy) : "is empty";
		if (!bad)
			continue;
		items->count++;
		text_printf(why, "%s \"%.80s\" %s", kinds[list].what, item, bad);
		return -EINVAL;
	}
	return 0;
}

static int copy_pids(struct filter *f, const struct filter_options *options, struct text *why)
{
	if (options->pid_count > ITEMS_MAX)
		return too_many("pid", why);
	if (!options->pid_count)
		return 0;
	f->pids = mem_alloc(ACCOUNT_FILTER, options->pid_count * sizeof(*f->pids));
	if (!f->pids)
		return -ENOMEM;
	for (; f->pid_count < options->pid_count; f->pid_count++) {
		f->pids[f->pid_count] = options->pids[f->pid_count];
		if (f->pids[f->pid_count])
			continue;
		text_puts(why, "pid 0 is no process");
		return -EINVAL;
	}
	return 0;
}

struct filter *filter_new(const struct filter_options *options, char *why, unsigned long why_size)
{
	const char *const *const from[LIST_COUNT] = {
	    [LIST_CONTAINERS] = options->container_ids,
	    [LIST_NAMES] = options->names,
	    [LIST_EXECUTABLES] = options->executables,
	    [LIST_CGROUPS] = options->cgroups,
	};
	struct text said = TEXT(ACCOUNT_FILTER);
	int error = -ENOMEM;
	struct filter *f = mem_alloc(ACCOUNT_FILTER, sizeof(*f));
	if (!f)
		goto fail;
	error = copy_pids(f, options, &said);
	for (int i = 0; i < LIST_COUNT && !error; i++)
		error = copy_list(&f->lists[i], (enum list)i, from[i], &said);
	if (!error)
		return f;
fail:
	text_copy(why, why_size, said.at ? said.at : strerror(-error));
	text_free(&said);
	filter_free(f);
	errno = -error;
	return NULL;
}

void filter_free(struct filter *f)
{
	if (!f)
		return;
	for (int i = 0; i < LIST_COUNT; i++) {
		for (uint32_t j = 0; j < f->lists[i].count; j++)
			mem_free(f->lists[i].at[j]);
		mem_free(f->lists[i].at);
	}
	mem_free(f->pids);
	mem_free(f);
}

bool filter_asks(const struct filter *f)
{
	bool asks = f->pid_count;
	for (int i = 0; i < LIST_COUNT; i++)
		asks |= f->lists[i].count > 0;
	return asks;
}

// Goes back to the last * alone: an earlier one can only have taken less, which the last one makes
// up for. So the cost is the product of the lengths at worst.
static bool glob(const char *pattern, const char *s)
{
	const char *star = NULL, *resume = NULL;
	while (*s) {
		if (*pattern == '*') {
			star = ++pattern;
			resume = s;
		} else if (*pattern && (*pattern == '?' || *pattern == *s)) {
			pattern++;
			s++;
		} else if (star) {
			pattern = star;
			s = ++resume;
		} else {
			return false;
		}
	}
	return !pattern[strspn(pattern, "*")];
}

static bool takes_executable(const char *pattern, const char *path)
{
	const char *base = strrchr(path, '/');
	return glob(pattern, strchr(pattern, '/') || !base ? path : base + 1);
}

static bool takes_cgroup(const char *top, const char *path)
{
	size_t n = strlen(top);
	return !strncmp(top, path, n) && (!path[n] || path[n] == '/' || top[n - 1] == '/');
}

static bool takes(enum list list, const char *item, const struct filter_subject *s)
{
	switch (list) {
	case LIST_CONTAINERS:
		return !strncmp(item, s->container, strlen(item));
	case LIST_NAMES:
		return glob(item, s->comm);
	case LIST_EXECUTABLES:
		return *s->executable && takes_executable(item, s->executable);
	default:
		return takes_cgroup(item, s->cgroup);
	}
}

static bool is_listed(const struct filter *f, const struct filter_subject *s)
{
	for (uint32_t i = 0; i < f->pid_count; i++)
		if (f->pids[i] == s->pid)
			return true;
	for (int i = 0; i < LIST_COUNT; i++)
		for (uint32_t j = 0; j < f->lists[i].count; j++)
			if (takes((enum list)i, f->lists[i].at[j], s))
				return true;
	return false;
}

bool filter_wants(const struct filter *f, const struct filter_subject *s)
{
	bool listed = is_listed(f, s);
	if (listed)
		((struct filter *)f)->matched = true; // all that asking changes
	return listed || !filter_asks(f);
}

bool filter_matched(const struct filter *f)
{
	return f->matched;
}

bool filter_needs_executable(const struct filter *f)
{
	return f->lists[LIST_EXECUTABLES].count;
}

bool filter_needs_cgroup(const struct filter *f)
{
	return f->lists[LIST_CGROUPS].count || f->lists[LIST_CONTAINERS].count;
}
