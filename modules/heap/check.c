// SPDX-License-Identifier: Apache-2.0
// Which Java machines that run here could be probed.
#include "heap.h"
#include "allocator.h"
#include "mapped.h"

#include "../base/base.h"
#include "../proc/proc.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define CHECK_NS (2 * NS_PER_S)
#define LIBRARIES_MAX 16 // files, each of which is looked through once
#define NAMED_MAX 4	 // processes in a line

struct library {
	struct mapped at;
	bool names;
};
struct check {
	struct proc *proc;
	uint64_t end;
	uint32_t count, machines, without;
	struct library libraries[LIBRARIES_MAX];
	char named[160];
};

static int on_map(void *arg, const struct proc_map *m)
{
	struct mapped *to = arg;
	if (!m->executable || !m->inode)
		return 0;
	mapped_set(to, m);
	return !strcmp(mapped_name(to), "libjvm.so");
}

static bool search(const struct check *c, int fd, int names, struct allocator *a)
{
	struct allocator_search *s = allocator_search_new(fd, names, a);
	int more = s ? 1 : -1;
	while (more > 0 && clock_now() < c->end)
		more = allocator_search_step(s, NS_PER_MS);
	allocator_search_free(s);
	return !more;
}

// False: nothing is known of it.
static bool look_through(const struct check *c, uint32_t pid, struct library *l)
{
	struct allocator a;
	int fd = mapped_open(c->proc, pid, &l->at);
	bool known = fd >= 0 && search(c, fd, fd, &a) && a.jvm;
	int debug = known && !a.names ? mapped_debug_open(c->proc, pid, fd, &l->at) : -1;
	if (debug >= 0) {
		known = search(c, fd, debug, &a);
		close(debug);
	}
	if (fd >= 0)
		close(fd);
	l->names = known && a.names;
	return known;
}

static const struct library *library(struct check *c, uint32_t pid, const struct mapped *at)
{
	for (uint32_t i = 0; i < c->count; i++) {
		const struct mapped *m = &c->libraries[i].at;
		if (m->inode == at->inode && m->major == at->major && m->minor == at->minor)
			return &c->libraries[i];
	}
	if (c->count == LIBRARIES_MAX)
		return NULL;
	struct library *l = &c->libraries[c->count];
	l->at = *at;
	if (!look_through(c, pid, l))
		return NULL;
	c->count++;
	return l;
}

static void look_at(struct check *c, uint32_t pid)
{
	struct mapped at = {0};
	struct proc_stat stat;
	if (proc_maps(c->proc, pid, on_map, &at) < 0 || strcmp(mapped_name(&at), "libjvm.so"))
		return;
	const struct library *l = library(c, pid, &at);
	if (!l || proc_stat(c->proc, pid, &stat))
		return;
	c->machines++;
	if (l->names || c->without++ >= NAMED_MAX)
		return;
	size_t n = strlen(c->named);
	snprintf(c->named + n, sizeof(c->named) - n, "%s%.15s (%u)", n ? ", " : "", stat.comm, pid);
}

void heap_check(struct proc *proc, struct text *out)
{
	struct check *c = mem_alloc(ACCOUNT_HEAP, sizeof(*c));
	struct proc_scan *scan = c ? proc_scan_new(proc) : NULL;
	uint32_t pid;
	if (!scan) {
		mem_free(c);
		return;
	}
	c->proc = proc;
	c->end = clock_now() + CHECK_NS;
	while (clock_now() < c->end && proc_scan_next(scan, &pid) == 1)
		look_at(c, pid);
	proc_scan_free(scan);
	if (c->without) {
		text_printf(out,
		    "no   what Java allocates (--alloc): %u of %u Java machines: ", c->without,
		    c->machines);
		text_printf(out, HEAP_NO_JAVA ": %s", c->named);
		if (c->without > NAMED_MAX)
			text_printf(out, " and %u more", c->without - NAMED_MAX);
		text_puts(out, "\n");
	} else if (c->machines) {
		text_printf(
		    out, "yes  what Java allocates (--alloc), in %u Java machines\n", c->machines);
	}
	mem_free(c);
}
