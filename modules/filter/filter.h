// SPDX-License-Identifier: Apache-2.0
// Who is wanted. Asked once per process; the answer is also compiled down into a BPF table by the
// path.
#pragma once
#include <stdbool.h>
#include <stdint.h>

struct filter;

struct filter_options { // lists are NULL-terminated or NULL; empty lists ask for nothing
	const uint32_t *pids;
	uint32_t pid_count;
	const char *const *container_ids; // prefixes of at least 8 hex digits
	const char *const *names;	  // comm, exact or with * and ?
	const char *const *executables;	  // path or base name, exact or with * and ?
	const char *const *cgroups;	  // path in the cgroup tree and everything below it
};
struct filter_subject {
	uint32_t pid;
	const char *comm, *executable, *cgroup, *container; // "" where not known
};
// NULL + errno; EINVAL with WHY.
struct filter *filter_new(const struct filter_options *options, char *why, unsigned long why_size);
void filter_free(struct filter *f);
bool filter_asks(const struct filter *f); // false: everything is wanted
// A process is wanted when any of the lists takes it (or when none asks).
bool filter_wants(const struct filter *f, const struct filter_subject *s);
bool filter_matched(const struct filter *f); // whether any of the lists has taken anybody so far
bool filter_needs_executable(const struct filter *f);
bool filter_needs_cgroup(const struct filter *f);
