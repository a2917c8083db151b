// SPDX-License-Identifier: Apache-2.0
// telegen check, config, version, help.
#include "arguments.h"
#include "command.h"
#include "../base/base.h"
#include "../kernel/kernel.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

static int put(const struct text *t)
{
	signal(SIGPIPE, SIG_IGN); // who reads the pipe may have seen enough
	if (t->error) {
		log_error("memory: %s", strerror(-t->error));
		return EXIT_FAILED;
	}
	bool whole = fwrite(t->at, 1, t->len, stdout) == t->len;
	if ((fflush(stdout) == 0 && whole) || errno == EPIPE)
		return EXIT_DONE;
	log_error("standard output: %s", strerror(errno));
	return EXIT_FAILED;
}

// For verbs without any option.
static int parse_none(struct arguments *a, int argc, char **argv)
{
	int status = arguments_parse(a, argc, argv, "");
	if (status || (!a->flag_count && !a->config_file))
		return status;
	log_error("%s: %s: this command takes no option", argv[0],
	    a->flag_count ? a->flags[0] : a->config_file);
	return EXIT_USAGE;
}

int command_check(int argc, char **argv)
{
	struct arguments a;
	int status = parse_none(&a, argc, argv);
	if (status)
		return status;
	if (a.help)
		return command_help(1, argv);
	struct text t = TEXT(ACCOUNT_COMMAND);
	bool possible = kernel_check(&t) == 0;
	text_printf(&t, "%s\n",
	    possible ? "CPU profiles of the whole node are possible here."
		     : "CPU profiles are not possible here; `telegen run --source FILE.rec` shows "
		       "a recording.");
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
	if (argc == 2 && (!strcmp(argv[1], "--defaults") || !strcmp(argv[1], "--man") ||
			     !strcmp(argv[1], "--example"))) {
		form = argv[1];
		argc = 1;
	}
	int status = arguments_parse(&a, argc, argv, "");
	if (status)
		return status;
	if (a.help)
		return command_help(1, argv);
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
	struct arguments a;
	int status = parse_none(&a, argc, argv);
	if (status)
		return status;
	if (a.help)
		return command_help(1, argv);
	struct text t = TEXT(ACCOUNT_COMMAND);
	text_printf(&t, "telegen %s\n", TELEGEN_VERSION);
	status = put(&t);
	text_free(&t);
	return status;
}

int command_help(int argc, char **argv)
{
	(void)argc;
	(void)argv;
	struct text t = TEXT(ACCOUNT_COMMAND);
	text_puts(&t,
	    "telegen: a continuous profiler for every process of a Linux node\n\n"
	    "  telegen [run] [--source FILE.rec]   the agent; flame page at "
	    "http://127.0.0.1:19090/\n"
	    "  telegen record [selection] [-F HZ] [-d 10s] [-o FILE] [-- COMMAND...]\n"
	    "                                      one capture; .pb.gz .html .folded .json by "
	    "suffix, .rec to replay\n"
	    "  telegen top [selection] [-d 2s] [-n COUNT]\n"
	    "                                      hottest functions and processes, live\n"
	    "  telegen convert IN [--base OTHER] -o OUT\n"
	    "                                      between formats; with --base a differential "
	    "flame graph\n"
	    "  telegen check                       what this machine permits, what is missing, "
	    "what to do\n"
	    "  telegen config [--defaults|--example|--man]\n"
	    "                                      the effective configuration, as YAML that can "
	    "be read back\n"
	    "  telegen version\n\n"
	    "selection: -p PID[,PID...], --comm NAME, --container ID, --cgroup PATH, --all (the "
	    "default)\n"
	    "-t cpu     what to profile; -F HZ samples a second (99); -d how long: 10s 500ms 2m "
	    "1h\n"
	    "--config FILE  configuration (/etc/telegen/telegen.yaml where it is there)\n\n"
	    "Every option of the configuration may stand on the command line, and in the "
	    "environment as\n"
	    "TELEGEN_PROFILING_CPU_SAMPLE_RATE and so on:\n\n");
	config_help(&t);
	text_puts(&t, "\nExit status: 0 done, 1 failed, 2 wrong usage, 3 not permitted.\n");
	int status = put(&t);
	text_free(&t);
	return status;
}
