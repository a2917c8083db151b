// SPDX-License-Identifier: Apache-2.0
// telegen: a whole-node continuous profiler. main knows the verbs; the rooms are built in
// modules/command/hall.c, and what happens to a sample is told in modules/path/.
#include "modules/base/base.h"
#include "modules/command/command.h"

#include <malloc.h>
#include <stdio.h>
#include <string.h>

static const struct {
	const char *name;
	int (*run)(int argc, char **argv);
} verbs[] = {
    {"run", command_run},	  {"record", command_record}, {"top", command_top},
    {"convert", command_convert}, {"check", command_check},   {"config", command_config},
    {"version", command_version}, {"help", command_help},
};

int main(int argc, char **argv)
{
	static char run[] = "run";
	char *only_run[] = {run, NULL};
	// Large blocks go back to the kernel when they are freed; what counts here is what is resident.
	mallopt(M_MMAP_THRESHOLD, 64 << 10);
	mallopt(M_TRIM_THRESHOLD, 64 << 10);
	if (argc < 2)
		return command_run(1, only_run);
	const char *verb = argv[1];
	if (!strcmp(verb, "-h") || !strcmp(verb, "--help"))
		return command_help(argc - 1, argv + 1);
	if (!strcmp(verb, "--version"))
		return command_version(argc - 1, argv + 1);
	for (size_t i = 0; i < sizeof(verbs) / sizeof(*verbs); i++)
		if (!strcmp(verb, verbs[i].name))
			return verbs[i].run(argc - 1, argv + 1);
	if (*verb == '-') { // options of run
		argv[0] = run;
		return command_run(argc, argv);
	}
	log_error("%s: no such command: run record top convert check config version help", verb);
	return EXIT_USAGE;
}
