// SPDX-License-Identifier: Apache-2.0
// Which functions of a file hand memory out and take it back.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../kernel/kernel.h"

// Of a Java machine without them.
#define HEAP_NO_JAVA                                                                               \
	"what Java allocates is not seen: libjvm.so has no symbols: install the debug symbols "    \
	"of this JDK (openjdk-17-dbg, java-17-openjdk-debuginfo or the like)"

// Of processes in which nothing is probed.
#define HEAP_GO "a Go program, which does not use malloc: -t heap reads Go's own profile"
#define HEAP_NO_NAMES "statically linked and stripped: its allocator has no name: keep .symtab"
#define HEAP_NO_ALLOCATOR                                                                          \
	"none of its files defines malloc and free: a runtime with a heap of its own (Go, Java)?"

struct allocator {
	struct kernel_probe probes[KERNEL_PROBES_MAX];
	uint32_t count;
	bool has;   // it defines one at all, probed or not
	bool go;    // the file is a Go program
	bool jvm;   // it defines a Java machine
	bool names; // the names of the functions that HotSpot allocates by are there
	// Link-time address of HotSpot's tables of itself; 0: not found.
	uint64_t tables;
	// One line each, "" for none: why none of it is probed; which lesser functions are not.
	char why[160], without[160];
};

// Looks through FD, in slices, for functions of allocators; those found are in A when it is done.
// Names are those of the file NAMES (FD itself, or its separate debug file). Both are borrowed.
// NULL + errno: ENOMEM, or the file is none that can be read.
struct allocator_search;
struct allocator_search *allocator_search_new(int fd, int names, struct allocator *a);
int allocator_search_step(struct allocator_search *s, uint64_t budget_ns); // 1 more, 0 done, -errno
uint64_t allocator_search_functions(const struct allocator_search *s); // 0: the file has no names
void allocator_search_free(struct allocator_search *s);
