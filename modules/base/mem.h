// SPDX-License-Identifier: Apache-2.0
// Accounted memory: every byte belongs to a room, one limit holds over all of them.
//
//   mem_alloc ---> used[account] += size ---> total <= limit ? block : squeeze, then NULL + ENOMEM
//
// Memory that is not malloc's (BPF maps, mmaps) is charged by hand with mem_charge. What the
// libraries allocate (libbpf, libelf, libev, libyaml, zlib, liblzma, libc itself) comes through the
// linker's --wrap and lands in ACCOUNT_LIBRARY. Every allocation may fail; callers keep going
// without the one thing it was for.
#pragma once
#include <stddef.h>
#include <stdint.h>

#define ACCOUNTS(X)                                                                                \
	X(BASE, "base") X(LOOP, "loop") X(KERNEL, "kernel") X(MAPS, "bpf_maps") X(ELF, "elf")      \
	X(WIRE, "wire") X(NET, "net") X(PROC, "proc") X(CONFIG, "config") X(PROCESS, "process")    \
	X(LABEL, "label") X(FILTER, "filter") X(UNWIND, "unwind") X(SYMBOL, "symbol")              \
	X(GOPROF, "goprof") X(HEAP, "heap")                                                        \
	X(PROFILE, "profile") X(EXPORT, "export") X(SPOOL, "spool") X(DELIVER, "deliver") \
	X(SERVE, "serve") X(PATH, "path")  \
	X(COMMAND, "command") X(LIBRARY, "library")

enum account {
#define X(id, name) ACCOUNT_##id,
	ACCOUNTS(X)
#undef X
	ACCOUNT_COUNT
};

// Zeroed memory of SIZE bytes, charged to ACCOUNT. NULL and ENOMEM when the limit (after squeezing)
// or malloc refuses. Freed with mem_free.
void *mem_alloc(enum account account, size_t size);
// As realloc, keeping the account of P (ACCOUNT where P is NULL). New bytes are not zeroed. On
// failure P is untouched and NULL is returned.
void *mem_resize(enum account account, void *p, size_t size);
char *mem_strdup(enum account account, const char *s);
void mem_free(void *p);

// Charges (or with a negative DELTA gives back) memory that malloc does not know. -ENOMEM when the
// limit refuses it, then nothing was charged.
int mem_charge(enum account account, int64_t delta);

uint64_t mem_used(enum account account);
uint64_t mem_total(void);
uint64_t mem_peak(void);
const char *mem_account_name(enum account account);

// The limit in bytes (0: none). SQUEEZE is asked for NEED bytes before an allocation is refused and
// returns what it freed; it is never called from inside itself. It may run inside any allocation, so
// what it frees must never be in somebody's hands across one.
void mem_limit(uint64_t bytes);
uint64_t mem_limit_get(void);
void mem_squeeze(void); // asks it for what is above the limit now
void mem_trim(void);	// what malloc keeps of freed memory goes back to the kernel
void mem_on_squeeze(uint64_t (*squeeze)(void *arg, uint64_t need), void *arg);

// For tests: the Nth allocation from now fails (0: never). mem_fail_seen counts allocations asked.
void mem_fail_at(uint64_t nth);
uint64_t mem_fail_seen(void);
