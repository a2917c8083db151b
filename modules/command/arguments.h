// SPDX-License-Identifier: Apache-2.0
// Arguments that record and top share: who is captured, how, how long; and configuration flags
// among them.
#pragma once
#include "../config/config.h"
#include <stdbool.h>
#include <stdint.h>

struct text;
#define SELECTED_MAX 64

struct arguments {
	uint32_t pids[SELECTED_MAX];
	uint32_t pid_count;
	const char *comms[SELECTED_MAX + 1], *containers[SELECTED_MAX + 1],
	    *cgroups[SELECTED_MAX + 1];
	bool all;
	uint32_t types;	      // -t: 1 << enum path_type; 0: not given
	uint64_t duration_ns; // 0: not given
	bool rate;	      // -F was given
	uint64_t count;	      // -n
	bool alloc, waker, mapped;
	const char *leaks; // TIME of --leaks, NULL: not given
	const char *output, *source, *base, *config_file;
	const char *form;    // of config: "--defaults", "--example", "--man", or NULL
	char **command;	     // after --; NULL: none
	const char *rest[2]; // arguments without a dash
	int rest_count;
	const char *flags[2 * SELECTED_MAX + 1]; // for config_load
	int flag_count;
	bool help;
};

// Which of the options above a command takes, by letter: p(id, comm, container, cgroup, all), t, T
// (one type), F, d, i (d as an interval), o, s(ource), b(ase), n, f(orm), a(lloc, leaks, mapped), w(aker), x (a
// command after --), 2 (two plain arguments at most); and ! for one without configuration, that
// takes neither --config nor flags. Comma lists are cut up in ARGV itself. 0, or EXIT_USAGE after
// one line on stderr that names the thing, the value and the way out.
int arguments_parse(struct arguments *a, int argc, char **argv, const char *takes);
// A line for each option that TAKES stands for.
void arguments_help(const char *takes, struct text *out);
// Reads the configuration with the flags that were found; says what is wrong on stderr. NULL on
// failure.
struct config *arguments_config(const struct arguments *a);
