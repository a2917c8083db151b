// SPDX-License-Identifier: Apache-2.0
// telegen record: a capture that goes on (record.c), and what is made of it (result.c).
#pragma once
#include "hall.h"
#include "replay.h"
#include "sink.h"
#include "targets.h"

#include <sys/types.h>

struct arguments;

struct record_run {
	struct hall hall;
	const struct arguments *arguments;
	const char *output;
	struct merged merged;	// all windows
	uint32_t types;		// 1 << enum path_type
	struct file_sink file;	// of a recording
	struct targets targets; // of -p, where no command says how long
	pid_t child;		// 0: none
	int child_fd;		// pidfd
	int gate; // a byte through it lets the child exec; it answers with what failed
	uint64_t began_ns, end_ns;
	struct timer *deadline, *progress;
	struct watch *child_watch, *interrupt, *terminate, *hangup;
	bool ending, abandoned, terminal, child_ended;
};

// Types that are seen from outside; the others are there where a program tells them, or probes do.
#define SEEN_TYPES (((1u << PATH_TYPE_COUNT) - 1) & ~PATH_TOLD_TYPES)

// Whether PATH names a recording, by its suffix.
bool record_is_tape(const char *path);
// Where the profile of TYPE goes: SEVERAL go to files of their own, out.pb.gz to out.cpu.pb.gz.
void record_output_of(
    const struct record_run *r, enum path_type type, bool several, char *path, size_t size);
// What was captured into its files; says how it went. An exit status.
int record_result(struct record_run *r);
