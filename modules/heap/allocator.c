// SPDX-License-Identifier: Apache-2.0
// The names that allocators go by. C++'s operators are probed only where they belong to an
// allocator that does not call its own malloc for them; libstdc++'s and libc++'s do.
#include "allocator.h"
#include "entry.h"

#include "../../bpf/alloc.h"
#include "../base/base.h"
#include "../elf/elf.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum {
	SELDOM = 1,   // few programs call it
	OPERATOR = 2, // of C++
	OWNER = 4,    // a mark of an allocator whose operators are its own; not probed
	HOTSPOT = 8,
	MACHINE = 16, // the mark of a Java machine; not probed
};

#define C_NAMES(X, prefix)                                                                         \
	X(prefix "malloc", MALLOC, 0)                                                              \
	X(prefix "calloc", CALLOC, 0)                                                              \
	X(prefix "realloc", REALLOC, 0)                                                            \
	X(prefix "free", FREE, 0)                                                                  \
	X(prefix "memalign", ALIGNED, SELDOM)                                                      \
	X(prefix "aligned_alloc", ALIGNED, SELDOM)                                                 \
	X(prefix "posix_memalign", POSIX, SELDOM)                                                  \
	X(prefix "valloc", NEW, SELDOM)                                                            \
	X(prefix "pvalloc", NEW, SELDOM)                                                           \
	X(prefix "cfree", FREE, SELDOM)                                                            \
	X(prefix "free_sized", FREE, SELDOM)                                                       \
	X(prefix "free_aligned_sized", FREE, SELDOM)                                               \
	X(prefix "mallocx", NEW, SELDOM)                                                           \
	X(prefix "rallocx", REALLOC, SELDOM)                                                       \
	X(prefix "dallocx", FREE, SELDOM)                                                          \
	X(prefix "sdallocx", FREE, SELDOM)

// As HotSpot 17, 14, 10 and 8u262 on have them; the mangled names tell the arguments.
#define TRACER(X, name, length, kind, sizes)                                                       \
	X("_ZN11AllocTracer" length name "EP5KlassPP12HeapWordImpl" sizes "P10JavaThread", kind,   \
	    HOTSPOT)                                                                               \
	X("_ZN11AllocTracer" length name "EP5KlassPP12HeapWordImpl" sizes "P6Thread", kind,        \
	    HOTSPOT)                                                                               \
	X("_ZN11AllocTracer" length name "EP5KlassP8HeapWord" sizes "P6Thread", kind, HOTSPOT)

#define HOTSPOT_NAMES(X)                                                                           \
	TRACER(X, "send_allocation_in_new_tlab", "27", JAVA_TLAB, "mm")                            \
	TRACER(X, "send_allocation_outside_tlab", "28", JAVA_OUTSIDE, "m")                         \
	X("_ZN11AllocTracer33send_allocation_in_new_tlab_eventE11KlassHandleP8HeapWordmmP6Thread", \
	    JAVA_TLAB, HOTSPOT)                                                                    \
	X("_ZN11AllocTracer34send_allocation_outside_tlab_eventE11KlassHandleP8HeapWordmP6Thread", \
	    JAVA_OUTSIDE, HOTSPOT)                                                                 \
	X("_ZN10JavaThread4exitEbNS_8ExitTypeE", JAVA_END, HOTSPOT)

#define NAMES(X)                                                                                   \
	C_NAMES(X, "")                                                                             \
	C_NAMES(X, "je_")                                                                          \
	C_NAMES(X, "_rjem_")                                                                       \
	C_NAMES(X, "_rjem_je_")                                                                    \
	C_NAMES(X, "tc_")                                                                          \
	C_NAMES(X, "mi_")                                                                          \
	X("_Znwm", NEW, OPERATOR)                                                                  \
	X("_Znam", NEW, OPERATOR)                                                                  \
	X("_ZnwmRKSt9nothrow_t", NEW, OPERATOR)                                                    \
	X("_ZnamRKSt9nothrow_t", NEW, OPERATOR)                                                    \
	X("_ZnwmSt11align_val_t", NEW, OPERATOR)                                                   \
	X("_ZnamSt11align_val_t", NEW, OPERATOR)                                                   \
	X("_ZnwmSt11align_val_tRKSt9nothrow_t", NEW, OPERATOR)                                     \
	X("_ZnamSt11align_val_tRKSt9nothrow_t", NEW, OPERATOR)                                     \
	X("_ZdlPv", FREE, OPERATOR)                                                                \
	X("_ZdaPv", FREE, OPERATOR)                                                                \
	X("_ZdlPvm", FREE, OPERATOR)                                                               \
	X("_ZdaPvm", FREE, OPERATOR)                                                               \
	X("_ZdlPvRKSt9nothrow_t", FREE, OPERATOR)                                                  \
	X("_ZdaPvRKSt9nothrow_t", FREE, OPERATOR)                                                  \
	X("_ZdlPvSt11align_val_t", FREE, OPERATOR)                                                 \
	X("_ZdaPvSt11align_val_t", FREE, OPERATOR)                                                 \
	X("_ZdlPvmSt11align_val_t", FREE, OPERATOR)                                                \
	X("_ZdaPvmSt11align_val_t", FREE, OPERATOR)                                                \
	X("_ZdlPvSt11align_val_tRKSt9nothrow_t", FREE, OPERATOR)                                   \
	X("_ZdaPvSt11align_val_tRKSt9nothrow_t", FREE, OPERATOR)                                   \
	X("tc_new", NEW, OPERATOR | OWNER)                                                         \
	X("mallctl", MALLOC, OWNER)                                                                \
	X("je_mallctl", MALLOC, OWNER)                                                             \
	X("mi_new", NEW, OPERATOR | OWNER)                                                         \
	X("TCMallocInternalNew", NEW, OPERATOR | OWNER)                                            \
	X("JNI_CreateJavaVM", MALLOC, MACHINE)                                                     \
	HOTSPOT_NAMES(X)

static const char *const names[] = {
#define X(name, kind, flags) name,
    NAMES(X)
#undef X
	NULL,
};
static const struct {
	uint8_t kind, flags;
} functions[] = {
#define X(name, kind, flags) {ALLOC_##kind, flags},
    NAMES(X)
#undef X
};
#define COUNT (sizeof(functions) / sizeof(*functions))

struct allocator_search {
	struct allocator *to;
	struct elf_seek *seek;
	struct elf_find *find; // of HotSpot's tables, after the functions
	struct elf_variable tables;
	struct elf_facts facts; // of FD
	int fd, names;
	uint64_t offsets[COUNT]; // where each one lies in the file, 0: not there
};

static void on_found(void *arg, uint32_t name, uint64_t vaddr, uint64_t offset)
{
	struct allocator_search *s = arg;
	(void)offset; // in the file of names, which may hold no code
	for (uint8_t i = 0; i < s->facts.exec_count; i++) {
		const struct elf_exec *x = &s->facts.exec[i];
		if (vaddr >= x->vaddr && vaddr - x->vaddr < x->size)
			s->offsets[name] = vaddr - x->vaddr + x->offset;
	}
}

struct allocator_search *allocator_search_new(int fd, int names_fd, struct allocator *a)
{
	struct allocator_search *s = mem_alloc(ACCOUNT_HEAP, sizeof(*s));
	struct elf_frames frames;
	*a = (struct allocator){.count = 0};
	if (!s)
		return NULL;
	s->to = a;
	s->fd = fd;
	s->names = names_fd;
	s->tables.name = "gHotSpotVMStructs";
	int error = elf_facts(fd, &s->facts);
	a->go = !error && !elf_frames(fd, NULL, 0, &frames) && frames.go;
	s->seek = error ? NULL : elf_seek_new(names_fd, names, on_found, s);
	if (s->seek)
		return s;
	error = error ? -error : errno;
	mem_free(s);
	return errno = error, NULL;
}

void allocator_search_free(struct allocator_search *s)
{
	if (!s)
		return;
	elf_seek_free(s->seek);
	elf_find_free(s->find);
	mem_free(s);
}

uint64_t allocator_search_functions(const struct allocator_search *s)
{
	return elf_seek_functions(s->seek);
}

static unsigned arguments(uint32_t kind)
{
	return kind == ALLOC_JAVA_TLAB							? 5
	       : kind == ALLOC_JAVA_OUTSIDE						? 4
	       : kind == ALLOC_POSIX							? 3
	       : kind == ALLOC_CALLOC || kind == ALLOC_REALLOC || kind == ALLOC_ALIGNED ? 2
											: 1;
}

// A probe at function I, unless another name of it has one.
static void add(struct allocator_search *s, size_t i)
{
	struct allocator *a = s->to;
	uint8_t code[ENTRY_BYTES];
	char bytes[64];
	ssize_t n = pread(s->fd, code, sizeof(code), (off_t)s->offsets[i]);
	int at = entry_offset(s->facts.machine, code, n > 0 ? (size_t)n : 0,
	    arguments(functions[i].kind), bytes, sizeof(bytes));
	if (at < 0 && functions[i].flags & HOTSPOT)
		at = 0; // it is called once a TLAB
	if (at < 0 && functions[i].flags & SELDOM) {
		snprintf(a->without, sizeof(a->without),
		    "%s is not probed, which would cost each call 13 us (%s)", names[i], bytes);
		return;
	}
	if (at < 0) {
		snprintf(a->why, sizeof(a->why),
		    "%s begins with instructions that a probe would cost 13 us each call (%s)",
		    names[i], bytes);
		return;
	}
	struct kernel_probe probe = {s->offsets[i] + (uint64_t)at, functions[i].kind};
	for (uint32_t p = 0; p < a->count; p++)
		if (a->probes[p].offset == probe.offset)
			return;
	if (a->count < KERNEL_PROBES_MAX)
		a->probes[a->count++] = probe;
	else
		snprintf(
		    a->why, sizeof(a->why), "it has more than %d functions", KERNEL_PROBES_MAX);
}

static void choose(struct allocator_search *s)
{
	struct allocator *a = s->to;
	bool owner = false, gives = false, takes = false;
	for (size_t i = 0; i < COUNT; i++)
		owner = owner || (s->offsets[i] && functions[i].flags & OWNER);
	for (size_t i = 0; i < COUNT; i++) {
		if (!s->offsets[i] || functions[i].flags & OWNER ||
		    (functions[i].flags & OPERATOR && !owner) ||
		    functions[i].flags & (HOTSPOT | MACHINE))
			continue;
		gives = gives || functions[i].kind == ALLOC_MALLOC;
		takes = takes || functions[i].kind == ALLOC_FREE;
		add(s, i);
	}
	a->has = gives && takes;
	if (!a->has || *a->why)
		a->count = 0;
}

// Of a Java machine these instead.
static void choose_java(struct allocator_search *s)
{
	struct allocator *a = s->to;
	uint32_t kinds = 0;
	for (size_t i = 0; i < COUNT; i++) {
		a->jvm = a->jvm || (s->offsets[i] && functions[i].flags & MACHINE);
		if (s->offsets[i] && functions[i].flags & HOTSPOT)
			kinds |= 1u << functions[i].kind;
	}
	a->names = kinds & 1u << ALLOC_JAVA_TLAB && kinds & 1u << ALLOC_JAVA_OUTSIDE;
	if (a->names)
		*a->why = *a->without = 0; // of functions that make no allocator
	for (size_t i = 0; a->names && i < COUNT; i++)
		if (s->offsets[i] && functions[i].flags & HOTSPOT)
			add(s, i);
}

// 1: HotSpot's tables are to be found as well.
static int found_functions(struct allocator_search *s)
{
	choose(s);
	if (!s->to->has)
		choose_java(s);
	if (!s->to->names)
		return 0;
	s->find = elf_find_new(s->names, &s->tables, 1);
	return s->find ? 1 : errno == ENOMEM ? -ENOMEM : 0;
}

int allocator_search_step(struct allocator_search *s, uint64_t budget_ns)
{
	int more = s->find ? elf_find_step(s->find, budget_ns) : elf_seek_step(s->seek, budget_ns);
	if (!s->find)
		return more ? more : found_functions(s);
	s->to->tables = s->tables.address;
	return more == -ENOMEM || more > 0 ? more : 0;
}
