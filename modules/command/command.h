// SPDX-License-Identifier: Apache-2.0
// What a user types: one function per verb, each given its own arguments (argv[0] is the verb).
// They return the exit status: 0 done, 1 failed, 2 wrong usage, 3 not permitted.
#pragma once

enum { EXIT_DONE = 0, EXIT_FAILED = 1, EXIT_USAGE = 2, EXIT_FORBIDDEN = 3 };

int command_run(int argc, char **argv);
int command_record(int argc, char **argv);
int command_top(int argc, char **argv);
int command_convert(int argc, char **argv);
int command_check(int argc, char **argv);
int command_config(int argc, char **argv);
int command_version(int argc, char **argv);
int command_help(int argc, char **argv);
