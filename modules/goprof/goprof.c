// SPDX-License-Identifier: Apache-2.0
// Programs, marks, and the life of a reading: find the variables in the file, read them in the
// process, then list after list.
#include "private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MARKS_MAX (2u << 20)
#define PROGRAMS_MAX 1024
#define VERSION_MAX 32

// By name, and where there are no names by who loads it (found in programs of 1.15 to 1.26).
static const struct elf_variable variables[] = {
    [VARIABLE_HEAP] = {"runtime.mbuckets", {"runtime.mProf_FlushLocked"}},
    [VARIABLE_MUTEX] = {"runtime.xbuckets",
	{"runtime.mutexProfileInternal", "runtime.MutexProfile"}},
    [VARIABLE_BLOCK] = {"runtime.bbuckets",
	{"runtime.blockProfileInternal", "runtime.BlockProfile"}},
    [VARIABLE_HEAP_RATE] = {"runtime.MemProfileRate", {"runtime.allocmcache"}},
    [VARIABLE_MUTEX_RATE] = {"runtime.mutexprofilerate", {"sync.event", "runtime.mutexevent"}},
    [VARIABLE_BLOCK_RATE] = {"runtime.blockprofilerate",
	{"runtime.blockevent", "runtime.blocksampled"}},
    [VARIABLE_VERSION] = {"runtime.buildVersion"},
};

// The counter that Go's cputicks reads.
static uint64_t ticks_now(void)
{
#if defined(__x86_64__)
	return __builtin_ia32_rdtsc();
#elif defined(__aarch64__)
	uint64_t ticks;
	__asm__ volatile("mrs %0, cntvct_el0" : "=r"(ticks));
	return ticks;
#else
	return 0;
#endif
}

double goprof_ns_per_tick(const struct goprof *g)
{
	uint64_t ticks = ticks_now() - g->ticks, ns = clock_now() - g->ticks_ns;
	return ticks && ns ? (double)ns / (double)ticks : 0;
}

struct goprof *goprof_new(const struct goprof_options *options)
{
	struct goprof *g = mem_alloc(ACCOUNT_GOPROF, sizeof(*g));
	if (!g)
		return NULL;
	g->options = *options;
	if (!g->options.marks_max)
		g->options.marks_max = MARKS_MAX;
	g->programs = g->processes = MAP(ACCOUNT_GOPROF);
	g->target.memory = -1;
	g->ticks_ns = clock_now();
	g->ticks = ticks_now();
	return g;
}

int goprof_grow(struct goprof *g, struct mark **at, uint32_t *cap, uint32_t count)
{
	if (count <= *cap)
		return 0;
	uint32_t want = *cap * 2 > count ? *cap * 2 : count < 16 ? 16 : count;
	uint64_t more = (uint64_t)(want - *cap) * sizeof(**at);
	if (g->marks_bytes + more > g->options.marks_max)
		return -ENOMEM;
	struct mark *moved = mem_resize(ACCOUNT_GOPROF, *at, want * sizeof(**at));
	if (!moved)
		return -ENOMEM;
	*at = moved;
	*cap = want;
	g->marks_bytes += more;
	return 0;
}

static void shrink(struct goprof *g, struct mark **at, uint32_t *cap)
{
	g->marks_bytes -= (uint64_t)*cap * sizeof(**at);
	mem_free(*at);
	*at = NULL;
	*cap = 0;
}

static void marks_clear(struct goprof *g, struct process_marks *p)
{
	for (int l = 0; l < GOPROF_LISTS; l++) {
		shrink(g, &p->lists[l].marks, &p->lists[l].cap);
		p->lists[l] = (struct marked){0};
	}
}

struct process_marks *goprof_marks(struct goprof *g)
{
	uint64_t have;
	struct process_marks *p;
	if (map_get(&g->processes, g->target.process, &have)) {
		p = (struct process_marks *)(uintptr_t)have;
	} else {
		p = mem_alloc(ACCOUNT_GOPROF, sizeof(*p));
		if (!p || map_put(&g->processes, g->target.process, (uintptr_t)p)) {
			mem_free(p);
			return errno = ENOMEM, NULL;
		}
		p->binary = g->target.binary;
		p->bias = g->target.bias;
	}
	if (p->binary != g->target.binary || p->bias != g->target.bias) { // another program now
		marks_clear(g, p);
		p->binary = g->target.binary;
		p->bias = g->target.bias;
	}
	return p;
}

void goprof_sweep(struct goprof *g, bool (*alive)(void *arg, uint32_t process), void *arg)
{
	struct map_slot s;
	for (uint32_t i = 0; map_next(&g->processes, &i, &s);) {
		struct process_marks *p = (struct process_marks *)(uintptr_t)s.value;
		if (alive(arg, (uint32_t)s.key))
			continue;
		marks_clear(g, p);
		mem_free(p);
		map_remove(&g->processes, s.key);
		i--;
	}
}

static bool nobody(void *arg, uint32_t process)
{
	(void)arg;
	(void)process;
	return false;
}

void goprof_free(struct goprof *g)
{
	struct map_slot s;
	if (!g)
		return;
	goprof_end(g);
	goprof_sweep(g, nobody, NULL);
	map_clear(&g->processes);
	for (uint32_t i = 0; map_next(&g->programs, &i, &s);)
		mem_free((void *)(uintptr_t)s.value);
	map_clear(&g->programs);
	mem_free(g);
}

enum goprof_kind goprof_kind(const struct goprof *g, uint32_t binary)
{
	uint64_t have;
	return map_get(&g->programs, binary, &have)
		   ? ((const struct program *)(uintptr_t)have)->kind
		   : GOPROF_UNKNOWN;
}

// What is known of a program is only kept to save looking again.
static void remember(struct goprof *g)
{
	struct map_slot s;
	if (g->programs.count >= PROGRAMS_MAX) {
		for (uint32_t i = 0; map_next(&g->programs, &i, &s);)
			mem_free((void *)(uintptr_t)s.value);
		map_clear(&g->programs);
	}
	struct program *p = mem_alloc(ACCOUNT_GOPROF, sizeof(*p));
	if (!p)
		return;
	*p = g->program;
	if (map_put(&g->programs, g->target.binary, (uintptr_t)p))
		mem_free(p);
}

int goprof_begin(struct goprof *g, const struct goprof_target *target)
{
	struct elf_frames frames;
	uint64_t have;
	int error = 0;
	goprof_end(g);
	g->target = *target;
	g->memory.fd = target->memory;
	memory_forget(&g->memory);
	g->rates = (struct goprof_rates){0};
	if (map_get(&g->programs, target->binary, &have)) {
		g->program = *(const struct program *)(uintptr_t)have;
		return 0;
	}
	g->program = (struct program){.kind = GOPROF_NONE};
	if (elf_frames(target->program, NULL, 0, &frames) || !frames.go) {
		remember(g);
		return 0;
	}
	memcpy(g->wanted, variables, sizeof(g->wanted));
	g->find = elf_find_new(target->program, g->wanted, VARIABLE_COUNT);
	if (!g->find) {
		error = -errno;
		goprof_end(g);
	}
	return error;
}

void goprof_end(struct goprof *g)
{
	elf_find_free(g->find);
	g->find = NULL;
	g->walk = (struct walk){0};
	if (g->target.memory >= 0)
		close(g->target.memory);
	g->target.memory = -1;
	g->opened = false;
	g->error = 0;
}

static int find_variables(struct goprof *g, uint64_t budget_ns)
{
	int more = elf_find_step(g->find, budget_ns);
	if (more > 0)
		return 1;
	for (int v = 0; v < VARIABLE_COUNT; v++)
		g->program.at[v] = g->wanted[v].address;
	g->program.minor = elf_find_minor(g->find);
	elf_find_free(g->find);
	g->find = NULL;
	if (more == -ENOMEM) // the next time
		return more;
	bool readable = g->program.at[VARIABLE_HEAP] && g->program.at[VARIABLE_HEAP_RATE];
	g->program.kind = readable ? GOPROF_READABLE : GOPROF_HIDDEN;
	remember(g);
	return 0;
}

static uint64_t word(struct goprof *g, enum variable v)
{
	uint64_t value = 0;
	uint64_t at = g->program.at[v];
	return at && !memory_read(&g->memory, at + g->target.bias, &value, NULL, sizeof(value))
		   ? value
		   : 0;
}

// A string is where its bytes are, and how many: "go1.22.3". Without it the file tells it roughly;
// of another form it is taken for a new one.
static uint32_t minor_version(struct goprof *g)
{
	struct {
		uint64_t bytes, length;
	} string;
	char text[VERSION_MAX + 1] = "";
	uint64_t at = g->program.at[VARIABLE_VERSION];
	if (!at && g->program.minor)
		return g->program.minor;
	if (!at || memory_read(&g->memory, at + g->target.bias, &string, NULL, sizeof(string)) ||
	    string.length < 5 || string.length > VERSION_MAX ||
	    memory_read(&g->memory, string.bytes, text, NULL, string.length) ||
	    memcmp(text, "go1.", 4))
		return UINT32_MAX;
	return (uint32_t)strtoul(text + 4, NULL, 10);
}

static int open_process(struct goprof *g)
{
	uint64_t head;
	uint64_t at = g->program.at[VARIABLE_HEAP] + g->target.bias;
	if (memory_read(&g->memory, at, &head, NULL, sizeof(head)))
		return -EFAULT;
	g->rates = (struct goprof_rates){word(g, VARIABLE_HEAP_RATE), word(g, VARIABLE_MUTEX_RATE),
	    word(g, VARIABLE_BLOCK_RATE)};
	g->minor = minor_version(g);
	g->opened = true;
	list_begin(g, 0);
	return 1;
}

// Without a rate nothing is sampled. What lies in the list of the heap then was allocated before
// the program said so, perhaps before its main: nobody would know the rest from nothing.
static bool is_kept(const struct goprof *g, enum goprof_list list)
{
	return g->options.lists & 1u << list && (list != GOPROF_HEAP || g->rates.heap);
}

int goprof_step(struct goprof *g, uint64_t budget_ns,
    void (*told)(void *arg, const struct goprof_sample *sample), void *arg)
{
	uint64_t deadline = clock_now() + budget_ns;
	int more = 1;
	if (g->find) {
		more = find_variables(g, budget_ns);
		if (more)
			return more;
	}
	if (g->program.kind != GOPROF_READABLE)
		return -ENOENT;
	if (!g->opened)
		more = open_process(g);
	while (more > 0) {
		enum goprof_list list = g->walk.list;
		if (list == GOPROF_LISTS)
			return g->error;
		more = is_kept(g, list) ? list_step(g, deadline, told, arg) : 0;
		if (more < 0)
			g->error = more;
		if (more <= 0)
			list_begin(g, list + 1);
		if (clock_now() >= deadline)
			return 1;
		more = 1;
	}
	return more;
}

const struct goprof_rates *goprof_rates(const struct goprof *g)
{
	return &g->rates;
}
