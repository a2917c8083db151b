// SPDX-License-Identifier: Apache-2.0
// What a user types: one function per command, each given its own arguments (argv[0] is the
// command's name). They return the exit status: 0 done, 1 failed, 2 wrong usage, 3 not permitted.
#pragma once

enum { EXIT_DONE = 0, EXIT_FAILED = 1, EXIT_USAGE = 2, EXIT_FORBIDDEN = 3 };

struct command {
	const char *name;
	int (*run)(int argc, char **argv);
	const char *takes; // its options, by letter: see arguments.h
	const char *usage; // what may stand behind its name
	const char *what;  // one line
	const char *more;  // and lines for its own help, each ended with \n; NULL: none
};
extern const char command_agent_version[]; // "0.1"
extern const struct command commands[];		      // ends with one without a name
const struct command *command_find(const char *name); // NULL + a line on stderr

int command_run(int argc, char **argv);
int command_record(int argc, char **argv);
int command_top(int argc, char **argv);
int command_convert(int argc, char **argv);
int command_check(int argc, char **argv);
int command_config(int argc, char **argv);
int command_version(int argc, char **argv);
int command_help(int argc, char **argv);

// Reads what the command argv[0] takes; where help is asked for, prints it. 0 or an exit status.
struct arguments;
int command_arguments(struct arguments *a, int argc, char **argv);
