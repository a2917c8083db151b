// SPDX-License-Identifier: Apache-2.0
// The table of commands, and the help that is made of it and of the table of options.
#include "command.h"
#include "arguments.h"
#include "sink.h"
#include "../base/base.h"

#include <string.h>

const struct command commands[] = {
    {"run", command_run, "s", "[--source FILE.rec] [--OPTION=VALUE...]",
	"the agent: profiles until it is stopped; what telegen does without a command",
	"It serves the flame page, pprof, metrics and health on `listen`, http://127.0.0.1:19090/\n"
	"unless told, and writes profiles to `output.directory` where that is set. SIGHUP reads\n"
	"the configuration again.\n"},
    {"record", command_record, "ptFdosawx",
	"[SELECTION] [-t TYPE,...] [--alloc] [--mapped] [--waker] [-F HZ] [-d TIME] [-o FILE] [--source FILE.rec | -- "
	"COMMAND...]",
	"one capture, into one file",
	"The suffix of FILE says the format: .pb.gz (pprof), .html (a flame graph in one file),\n"
	".folded, .json (speedscope), .rec (a recording, for --source); profile.pb.gz unless "
	"told.\n"
	"Several types are as many files: -t cpu,offcpu -o x.html writes x.cpu.html and\n"
	"x.offcpu.html; a recording holds all of them. What Go programs tell of themselves comes\n"
	"beside: allocs and heap with memory (x.allocs.html, x.heap.html), goblock with mutex;\n"
	"and so does what --mapped asks for (x.mapped.html).\n"
	"A type that the kernel does not permit, or that no program tells of, has no file.\n"
	"A COMMAND is profiled with all that it starts, until it ends; that it failed is told, "
	"and\n"
	"the exit status is telegen's own.\n"},
    {"top", command_top, "pTFin", "[SELECTION] [-t TYPE] [-F HZ] [-d TIME] [-n COUNT]",
	"hottest functions and processes, live", NULL},
    {"convert", command_convert, "bTo2", "IN [-t TYPE] [--base OTHER] -o OUT",
	"between formats; with --base a differential flame graph",
	"IN and OTHER are pprof or recordings, - is standard input. The suffix of OUT says the\n"
	"format: .pb.gz .html .folded .json. -t chooses of a recording that holds several "
	"types.\n"
	"Large profiles take a larger --memory_limit.\n"},
    {"check", command_check, "!", "", "what this machine permits, what is missing, what to do",
	"Exit status 3 where CPU profiles are not possible.\n"},
    {"config", command_config, "f", "[--defaults|--example|--man|--OPTION=VALUE...]",
	"the effective configuration, as YAML that can be read back",
	"The file goes before the environment (TELEGEN_PROFILING_CPU_SAMPLE_RATE=49), that before\n"
	"flags (--profiling.cpu.sample_rate=49). The options are:\n"},
    {"version", command_version, "!", "", "the version", NULL},
    {"help", command_help, "!2", "[COMMAND]", "this, or the options of COMMAND", NULL},
    {0},
};

static const struct command *find(const char *name)
{
	for (const struct command *c = commands; c->name; c++)
		if (!strcmp(c->name, name))
			return c;
	return NULL;
}

const struct command *command_find(const char *name)
{
	const struct command *found = find(name);
	struct text all = TEXT(ACCOUNT_COMMAND);
	if (found)
		return found;
	for (const struct command *c = commands; c->name; c++)
		text_printf(&all, "%s%s", c == commands ? "" : " ", c->name);
	log_error("%s: no such command: %s", *name ? name : "\"\"", all.at ? all.at : "");
	text_free(&all);
	return NULL;
}

static void put_all(struct text *t)
{
	text_puts(t, "telegen: a continuous profiler for every process of a Linux node\n\n");
	for (const struct command *c = commands; c->name; c++)
		text_printf(t, "  telegen %s%s%s\n        %s\n", c == commands ? "[run]" : c->name,
		    *c->usage ? " " : "", c->usage, c->what);
	text_puts(t,
	    "\nSELECTION: -p PID[,PID...] --comm NAME[,NAME...] --container ID[,ID...] --cgroup\n"
	    "PATH[,PATH...], or --all, the default. `telegen help COMMAND` tells all options of "
	    "one.\n"
	    "\nEvery option of the configuration may stand in /etc/telegen/telegen.yaml, in the\n"
	    "environment (TELEGEN_PROFILING_CPU_SAMPLE_RATE=49), and on the command line:\n\n");
	config_help(t);
	text_puts(t, "\nExit status: 0 done, 1 failed, 2 wrong usage, 3 not permitted.\n");
}

static void put_one(const struct command *c, struct text *t)
{
	text_printf(t, "telegen %s%s%s\n\n%c%s.\n", c->name, *c->usage ? " " : "", c->usage,
	    c->what[0] - 'a' + 'A', c->what + 1);
	text_printf(t, "%s\n", strcmp(c->name, "config") && c->more ? c->more : "");
	arguments_help(c->takes, t);
	if (strcmp(c->name, "config"))
		return;
	text_printf(t, "\n%s\n", c->more);
	config_help(t);
}

static int say(const struct command *c)
{
	struct text t = TEXT(ACCOUNT_COMMAND);
	if (c)
		put_one(c, &t);
	else
		put_all(&t);
	int status = write_text(&t);
	text_free(&t);
	return status;
}

int command_arguments(struct arguments *a, int argc, char **argv)
{
	const struct command *c = find(argv[0]);
	int status = arguments_parse(a, argc, argv, c->takes);
	return status || !a->help ? status : say(c);
}

int command_help(int argc, char **argv)
{
	struct arguments a;
	int status = arguments_parse(&a, argc, argv, "!2");
	if (status)
		return status;
	if (a.rest_count > 1) {
		log_error("help: %s: one command at a time", a.rest[1]);
		return EXIT_USAGE;
	}
	const struct command *c = a.rest_count ? command_find(a.rest[0]) : NULL;
	return a.rest_count && !c ? EXIT_USAGE : say(c);
}
