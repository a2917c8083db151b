// SPDX-License-Identifier: Apache-2.0
// telegen: a whole-node continuous profiler. main knows the commands; the rooms are built in
// modules/command/hall.c, and what happens to a sample is told in modules/path/.
#include "modules/base/base.h"
#include "modules/command/command.h"

#include <fcntl.h>
#include <malloc.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

// Where one of the first three descriptors is closed the next file to be opened would take its
// place, and our lines or a profile would go into that. What stands there instead refuses them.
static void fill_descriptors(void)
{
	int fd;
	while ((fd = open("/dev/null", O_RDONLY)) >= 0 && fd <= STDERR_FILENO)
		;
	if (fd >= 0)
		close(fd);
}

int main(int argc, char **argv)
{
	static char run[] = "run", help[] = "help", version[] = "version";
	char *only_run[] = {run, NULL};
	fill_descriptors();
	// Large blocks go back to the kernel when they are freed; what counts here is what is
	// resident.
	mallopt(M_MMAP_THRESHOLD, 64 << 10);
	mallopt(M_TRIM_THRESHOLD, 64 << 10);
	// A reader that is gone and a file at its limit are errors of a write, not our end.
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN);
	if (argc < 2)
		return command_run(1, only_run);
	if (!strcmp(argv[1], "-h") || !strcmp(argv[1], "--help"))
		argv[1] = help;
	if (!strcmp(argv[1], "--version"))
		argv[1] = version;
	if (*argv[1] == '-') { // options of run
		argv[0] = run;
		return command_run(argc, argv);
	}
	const struct command *command = command_find(argv[1]);
	return command ? command->run(argc - 1, argv + 1) : EXIT_USAGE;
}
