// SPDX-License-Identifier: Apache-2.0
// Place -> name. There is one resolver in the whole agent, handed to everyone who needs names; who
// is given none makes its own. It holds no symbol tables: a bounded cache of function ranges that
// were hit, and streaming lookups in slices for what was not.
//
//   cache: (kind, owner) -> sorted ranges [start, end) -> name id; at most cache_size functions,
//   least recently used owners go first. "No symbol here" is a range too.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../process/process.h"

struct symbol;
struct symbol_job;
struct proc;

struct symbol_options {
	struct processes *processes;
	struct proc *proc;
	uint32_t cache_size; // functions
	bool demangle, kernel, go, debug_files;
	// Extra patterns, NULL-terminated; {pid} is the process's own pid.
	const char *const *perf_map_paths;
	// Names up to 16 kernel addresses at once by asking the kernel (NAME NULL: it knows none;
	// MODULE "" for the kernel's own); COUNT 0 only tells whether that is possible. 0 or
	// -errno. NULL: /proc/kallsyms is read.
	int (*ask_kernel)(void *arg, const uint64_t *addresses, uint32_t count,
	    void (*named)(void *arg, uint32_t index, uint64_t start, uint64_t end, const char *name,
		const char *module),
	    void *named_arg);
	void *ask_arg;
	bool offline;		     // a replay: answers come by symbol_teach only
	uint32_t perf_map_bytes_max; // 0: default 32 MiB; of a longer map the last ones are read
};

struct symbol_answer {
	uint64_t start, end; // range that the name holds for, in the place's addresses
	// Demangled; never empty: "[libfoo.so+0x1234]", "[anon]", "[jit]", "[kernel]".
	const char *name;
	const char *system_name; // mangled, or NULL where equal to name
	bool named;		 // false: `name` is a stand-in
};

// Logs "created shared symbol resolver for all profilers". NULL + errno.
struct symbol *symbol_new(const struct symbol_options *options);
void symbol_free(struct symbol *s);
uint64_t symbol_shrink(void *s, uint64_t need); // for budget

// Asks for the names of PLACES (copied), in slices. FOUND is called exactly once per place, in any
// order, with its index; ANSWER is valid during the call only. NULL + errno.
struct symbol_job *symbol_ask(struct symbol *s, const struct place *places, uint32_t count,
    void (*found)(void *arg, uint32_t index, const struct symbol_answer *answer), void *arg);
// 1: more to do, 0: all answered. Trouble with a file is an answer without a name, never an error.
int symbol_step(struct symbol_job *job, uint64_t budget_ns);
void symbol_job_free(struct symbol_job *job); // also in the middle

// Puts an answer into the cache (a replay's facts).
int symbol_teach(struct symbol *s, const struct place *place, const struct symbol_answer *answer);

// Demangles C++, Rust and D into BUFFER (SIZE from 8 on, "..." at the end of what was cut), bounded
// in time; returns NAME itself where it is none of these.
const char *symbol_demangle(const char *name, char *buffer, size_t size);
