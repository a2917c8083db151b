// SPDX-License-Identifier: Apache-2.0
// telegen check, config, version, help.
#include "arguments.h"
#include "command.h"
#include "../base/base.h"
#include "../kernel/kernel.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static int put(const struct text *t)
{
	if (t->error) {
		log_error("memory: %s", strerror(-t->error));
		return EXIT_FAILED;
	}
	if (t->len)
		fwrite(t->at, 1, t->len, stdout);
	if (fflush(stdout) == 0 || errno == EPIPE)
		return EXIT_DONE;
	log_error("standard output: %s", strerror(errno));
	return EXIT_FAILED;
}

int command_check(int argc, char **argv)
{
	struct arguments a;
	int status = arguments_parse(&a, argc, argv, "");
	if (status)
		return status;
	struct text t = TEXT(ACCOUNT_COMMAND);
	bool possible = kernel_check(&t) == 0;
	text_printf(&t, "%s\n", possible ? "CPU profiles of the whole node are possible here."
					  : "CPU profiles are not possible here; `telegen run --source FILE.rec` shows a recording.");
	status = put(&t);
	text_free(&t);
	return status ? status : possible ? EXIT_DONE : EXIT_FORBIDDEN;
}

int command_config(int argc, char **argv)
{
	struct arguments a;
	struct text t = TEXT(ACCOUNT_COMMAND);
	const char *form = "";
	// --defaults, --man and --example need no configuration; all others are options.
	if (argc == 2 && (!strcmp(argv[1], "--defaults") || !strcmp(argv[1], "--man") || !strcmp(argv[1], "--example"))) {
		form = argv[1];
		argc = 1;
	}
	int status = arguments_parse(&a, argc, argv, "");
	if (status)
		return status;
	if (!strcmp(form, "--man")) {
		config_man(&t);
	} else if (!strcmp(form, "--example")) {
		config_example(&t);
	} else {
		struct config_source none = {0};
		struct config *c = *form ? config_load(&none, NULL, NULL) : arguments_config(&a);
		if (!c)
			return EXIT_USAGE;
		config_print(c, &t);
		config_free(c);
	}
	status = put(&t);
	text_free(&t);
	return status;
}

int command_version(int argc, char **argv)
{
	(void)argc;
	(void)argv;
	printf("telegen %s\n", TELEGEN_VERSION);
	return fflush(stdout) ? EXIT_FAILED : EXIT_DONE;
}

int command_help(int argc, char **argv)
{
	(void)argc;
	(void)argv;
	struct text t = TEXT(ACCOUNT_COMMAND);
	text_puts(&t,
	    "telegen: a continuous profiler for every process of a Linux node\n\n"
	    "  telegen [run] [--source FILE.rec]   the agent; flame page at http://127.0.0.1:19090/\n"
	    "  telegen record [selection] [-F HZ] [-d 10s] [-o FILE] [-- COMMAND...]\n"
	    "                                      one capture; .pb.gz .html .folded .json by suffix, .rec to replay\n"
	    "  telegen top [selection] [-d 2s] [-n COUNT]\n"
	    "                                      hottest functions and processes, live\n"
	    "  telegen convert IN [--base OTHER] -o OUT\n"
	    "                                      between formats; with --base a differential flame graph\n"
	    "  telegen check                       what this machine permits, what is missing, what to do\n"
	    "  telegen config [--defaults|--example|--man]\n"
	    "                                      the effective configuration, as YAML that can be read back\n"
	    "  telegen version\n\n"
	    "selection: -p PID[,PID...], --comm NAME, --container ID, --cgroup PATH, --all (the default)\n"
	    "-t cpu     what to profile; -F HZ samples a second (99); -d how long: 10s 500ms 2m 1h\n"
	    "--config FILE  configuration (/etc/telegen/telegen.yaml where it is there)\n\n"
	    "Every option of the configuration may stand on the command line, and in the environment as\n"
	    "TELEGEN_PROFILING_CPU_SAMPLE_RATE and so on:\n\n");
	config_help(&t);
	text_puts(&t, "\nExit status: 0 done, 1 failed, 2 wrong usage, 3 not permitted.\n");
	int status = put(&t);
	text_free(&t);
	return status;
}
