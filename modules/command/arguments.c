// SPDX-License-Identifier: Apache-2.0
#include "arguments.h"
#include "command.h"
#include "values.h"
#include "../base/base.h"
#include "../net/net.h"
#include "../path/path.h"

#include <errno.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#define DEFAULT_FILE "/etc/telegen/telegen.yaml"

enum option_id {
	PIDS,
	COMM,
	CONTAINER,
	CGROUP,
	ALL,
	TYPES,
	ONE_TYPE,
	RATE,
	DURATION,
	OUTPUT,
	SOURCE,
	BASE,
	COUNT,
	FORM,
	ALLOC,
	LEAKS,
	WAKER,
	MAPPED,
	CONFIG,
	HELP
};
// Every option of the commands, one row: what is read, and what --help says.
static const struct option {
	enum option_id id;
	char letter; // of `takes`; 0: every command takes it; '!': but those with ! do not
	const char *names[2];
	const char *value; // what follows it; NULL: nothing
	const char *help;
} options[] = {
    {PIDS, 'p', {"-p", "--pid"}, "PID[,PID...]",
	"these processes and what they start; the end of the last of them ends it"},
    {COMM, 'p', {"--comm"}, "NAME[,NAME...]",
	"processes by name, as `ps -o comm` shows it; * and ? as in a shell"},
    {CONTAINER, 'p', {"--container"}, "ID[,ID...]",
	"containers, by their id or at least its first 8 digits"},
    {CGROUP, 'p', {"--cgroup"}, "PATH[,PATH...]",
	"cgroups and all below them: /system.slice, or /sys/fs/cgroup/system.slice"},
    {ALL, 'p', {"--all"}, NULL, "every process of the node, as without a selection"},
    {TYPES, 't', {"-t", "--type"}, "TYPE[,TYPE...]",
	"what to profile: cpu, offcpu, wall, mutex, memory, allocs, heap, goblock, mapped (cpu)"},
    {ONE_TYPE, 'T', {"-t", "--type"}, "TYPE",
	"one of cpu, offcpu, wall, mutex, memory, allocs, heap, goblock, mapped (cpu)"},
    {ALLOC, 'a', {"--alloc"}, NULL,
	"with -t memory: probe the allocators (and Java) of PID or COMMAND, at about 1 us a call"},
    {LEAKS, 'a', {"--leaks"}, "TIME",
	"as --alloc; at the end tell what has been in use for longer than TIME"},
    {WAKER, 'w', {"--waker"}, NULL,
	"with -t offcpu, wall, mutex: also who woke each thread, and who held each lock"},
    {MAPPED, 'a', {"--mapped"}, NULL,
	"with -t memory: also what lets a process write more memory than ever, touched or not"},
    {RATE, 'F', {"-F", "--frequency"}, "HZ",
	"samples a second and CPU of cpu and wall, 1 to 1000 (99)"},
    {DURATION, 'd', {"-d", "--duration"}, "TIME",
	"how long: 10s, 500ms, 2m, 1h (10s, or as long as COMMAND)"},
    {DURATION, 'i', {"-d", "--duration"}, "TIME", "time that each table covers: 500ms, 1m (2s)"},
    {COUNT, 'n', {"-n", "--count"}, "COUNT", "tables to show (no end)"},
    {OUTPUT, 'o', {"-o", "--output"}, "FILE",
	"where to write; - is folded stacks on standard output"},
    {SOURCE, 's', {"--source"}, "FILE.rec", "replay a recording in place of this machine"},
    {BASE, 'b', {"--base"}, "OTHER", "show the difference to this profile; .html or .folded"},
    {FORM, 'f', {"--defaults"}, NULL, "without file, environment and flags"},
    {FORM, 'f', {"--example"}, NULL, "a commented file to start from"},
    {FORM, 'f', {"--man"}, NULL, "the source of telegen.yaml(5)"},
    {CONFIG, '!', {"-c", "--config"}, "FILE",
	"read this configuration (" DEFAULT_FILE " where it is there)"},
    {HELP, 0, {"-h", "--help"}, NULL, "this text"},
};
#define OPTION_COUNT (sizeof(options) / sizeof(*options))

static bool is_taken(const struct option *o, const char *takes)
{
	return !o->letter || (strchr(takes, o->letter) != NULL) == (o->letter != '!');
}

void arguments_help(const char *takes, struct text *out)
{
	char names[64];
	for (const struct option *o = options; o < options + OPTION_COUNT; o++) {
		if (!is_taken(o, takes))
			continue;
		snprintf(names, sizeof(names), "%s%s%s%s%s", o->names[0], o->names[1] ? ", " : "",
		    o->names[1] ? o->names[1] : "", o->value ? " " : "", o->value ? o->value : "");
		text_printf(out, "  %-28s%s\n", names, o->help);
	}
	if (!strchr(takes, '!'))
		text_printf(out, "  %-28s%s\n", "--OPTION=VALUE",
		    "any option of the configuration (`telegen config --help`)");
}

static int set_path(const char **to, const char *verb, const char *option, const char *value)
{
	if (!*value)
		return value_wrong(verb, option, "\"\"", "must not be empty");
	*to = value;
	return 0;
}

static int take(
    struct arguments *a, enum option_id id, const char *verb, const char *option, char *value)
{
	switch (id) {
	case PIDS:
		return value_pids(a, verb, option, value);
	case COMM:
		return value_names(a->comms, verb, option, value, 0);
	case CONTAINER:
		return value_names(a->containers, verb, option, value, 0);
	case CGROUP:
		return value_cgroups(a->cgroups, verb, option, value);
	case ALL:
		a->all = true;
		return 0;
	case TYPES:
		return value_types(a, verb, option, value);
	case ONE_TYPE:
		return value_one_type(a, verb, option, value);
	case RATE:
		return value_rate(a, verb, option, value);
	case DURATION:
		return value_duration(value, &a->duration_ns) == 0
			   ? 0
			   : value_wrong(verb, option, *value ? value : "\"\"",
				 "not a duration such as 10s, 500ms or 2m, at most 1000h");
	case COUNT:
		return text_number(value, strlen(value), 10, &a->count) == 0 && a->count
			   ? 0
			   : value_wrong(
				 verb, option, *value ? value : "\"\"", "not a number above 0");
	case OUTPUT:
		return set_path(&a->output, verb, option, value);
	case SOURCE:
		return set_path(&a->source, verb, option, value);
	case BASE:
		return set_path(&a->base, verb, option, value);
	case ALLOC:
		a->alloc = true;
		return 0;
	case LEAKS:
		return value_leaks(a, verb, option, value);
	case WAKER:
		a->waker = true;
		value_flag(a, verb, "--profiling.off_cpu.waker=true");
		return value_flag(a, verb, "--profiling.mutex.holder=true");
	case MAPPED:
		a->mapped = true;
		return value_flag(a, verb, "--profiling.memory.mapped=true");
	case FORM:
		a->form = option;
		return 0;
	case CONFIG:
		return set_path(&a->config_file, verb, option, value);
	case HELP:
		a->help = true;
		return 0;
	}
	return 0;
}

// The option that ARG is (or NULL), the name it is called by, and its value where that is in ARG
// itself ("--x=v", "-xv"), else NULL.
static const struct option *match(char *arg, const char *takes, const char **name, char **value)
{
	for (const struct option *o = options; o < options + OPTION_COUNT; o++) {
		if (!is_taken(o, takes))
			continue;
		for (int k = 0; k < 2 && o->names[k]; k++) {
			size_t n = strlen(o->names[k]);
			bool is_long = o->names[k][1] == '-';
			if (strncmp(arg, o->names[k], n) || (is_long && arg[n] && arg[n] != '=') ||
			    (!o->value && arg[n]))
				continue;
			*name = o->names[k];
			*value = arg[n] ? arg + n + (arg[n] == '=') : NULL;
			return o;
		}
	}
	return NULL;
}

// The long name of an option that the command takes which ARG may be meant for, or NULL.
static const char *nearest(const char *arg, const char *takes)
{
	char name[32];
	const char *found = NULL;
	unsigned least = 3;
	text_copy(
	    name, strcspn(arg, "=") < sizeof(name) ? strcspn(arg, "=") + 1 : sizeof(name), arg);
	for (const struct option *o = options; o < options + OPTION_COUNT; o++) {
		const char *candidate = o->names[1] ? o->names[1] : o->names[0];
		unsigned distance = is_taken(o, takes) && candidate[1] == '-' && name[1] == '-'
					? text_distance(name, candidate, least)
					: least;
		if (distance < least) {
			least = distance;
			found = candidate;
		}
	}
	return found;
}

static int unknown(const char *verb, const char *arg, const char *takes)
{
	char hint[128];
	bool option = *arg == '-' && arg[1];
	const char *meant = option ? nearest(arg, takes) : NULL;
	if (meant)
		snprintf(hint, sizeof(hint), "no such option; the nearest is %s", meant);
	else if (!option && *arg && strchr(takes, 'x'))
		snprintf(hint, sizeof(hint),
		    "not expected here: a command stands behind --, as in `telegen %.16s -- sleep "
		    "10`",
		    verb);
	else
		snprintf(hint, sizeof(hint), "%s: see `telegen %.16s --help`",
		    option ? "no such option" : "not expected here", verb);
	return value_wrong(verb, *arg ? arg : "\"\"", NULL, hint);
}

// A flag of the configuration, whose value may be the next argument; unknown ones that look like
// one are left to config_load, which tells the nearest key.
static int take_flag(
    struct arguments *a, const char *takes, const char *verb, char **argv, int *at, int argc)
{
	const char *arg = argv[*at];
	int n = config_flag(arg);
	if (n <= 0 && (!strpbrk(arg, ".=") || nearest(arg, takes)))
		return unknown(verb, arg, takes);
	int status = value_flag(a, verb, arg);
	if (status || n != 2)
		return status;
	if (++*at == argc)
		return value_wrong(verb, arg, NULL, "a value must follow");
	return value_flag(a, verb, argv[*at]);
}

static int take_argument(struct arguments *a, const char *takes, char **argv, int *at, int argc)
{
	const char *verb = argv[0], *name;
	char *arg = argv[*at], *value;
	const struct option *o = match(arg, takes, &name, &value);
	if (o && o->value && !value && ++*at == argc)
		return value_wrong(verb, name, NULL, "a value must follow");
	if (o)
		return take(a, o->id, verb, name, value || !o->value ? value : argv[*at]);
	if (arg[0] == '-' && arg[1] == '-' && arg[2] && !strchr(takes, '!'))
		return take_flag(a, takes, verb, argv, at, argc);
	if ((arg[0] == '-' && arg[1]) || !strchr(takes, '2') || a->rest_count == 2)
		return unknown(verb, arg, takes);
	a->rest[a->rest_count++] = arg;
	return 0;
}

// Selections are ways to say the same: several of one way are all taken, two ways are a mistake.
static int check_selection(const struct arguments *a, const char *verb)
{
	const char *first = a->pid_count     ? "-p"
			    : a->command     ? "a command"
			    : *a->comms	     ? "--comm"
			    : *a->containers ? "--container"
			    : *a->cgroups    ? "--cgroup"
					     : NULL;
	bool by_pid = a->pid_count || a->command;
	bool by_name = *a->comms || *a->containers || *a->cgroups;
	const char *alloc = a->leaks ? "--leaks" : "--alloc";
	char hint[128];
	if (a->all && first)
		return value_wrong(
		    verb, "--all", NULL, "not together with a selection: leave one out");
	if (by_pid && by_name) {
		snprintf(hint, sizeof(hint), "not together with %s: leave one out", first);
		return value_wrong(verb,
		    *a->comms	     ? "--comm"
		    : *a->containers ? "--container"
				     : "--cgroup",
		    NULL, hint);
	}
	if (a->alloc && a->source)
		return value_wrong(
		    verb, alloc, NULL, "a recording holds what it holds: leave it out");
	if (a->alloc && !by_pid)
		return value_wrong(verb, alloc, NULL,
		    "of which process? Name it with -p, or write a command behind --");
	if (a->waker && a->source)
		return value_wrong(
		    verb, "--waker", NULL, "a recording holds what it holds: leave it out");
	if (a->waker && !(a->types & (1u << PATH_OFF_CPU | 1u << PATH_WALL | 1u << PATH_MUTEX)))
		return value_wrong(
		    verb, "--waker", NULL, "of which waits? With -t offcpu, wall or mutex");
	if (a->mapped && a->source)
		return value_wrong(
		    verb, "--mapped", NULL, "a recording holds what it holds: leave it out");
	if (a->source && (first || a->all))
		return value_wrong(verb, a->source, NULL,
		    "a recording holds what it holds: leave the selection out");
	return 0;
}

#define TICKING ((1u << PATH_CPU) | (1u << PATH_WALL))

// The options of probes on allocators of which a capture makes nothing: which processes are probed,
// and for how long, is the agent's to be told so.
static int check_allocs(const struct arguments *a, const char *verb, const char *takes)
{
	static const char *const agents[] = {"--profiling.alloc.pids",
	    "--profiling.alloc.process_names", "--profiling.alloc.time_limit"};
	char name[64];
	bool captures = strchr(takes, 'p'), can = strchr(takes, 'a');
	for (int i = 0; captures && i < a->flag_count; i++) {
		size_t n = strcspn(a->flags[i], "=");
		text_copy(name, n < sizeof(name) ? n + 1 : sizeof(name), a->flags[i]);
		for (size_t k = 0; k < sizeof(agents) / sizeof(*agents); k++)
			if (!strcmp(name, agents[k]))
				return value_wrong(verb, name, NULL,
				    can ? "that is for the agent (telegen run): a capture takes "
					  "--alloc "
					  "-p PID, until its end"
					: "that is for the agent (telegen run): leave it out");
	}
	return 0;
}

// What would change nothing is a mistake.
static int check_use(const struct arguments *a, const char *verb, const char *takes)
{
	bool memory = a->alloc || a->mapped;
	uint32_t types = a->types ? a->types : 1u << (memory ? PATH_MEMORY : PATH_CPU);
	if (a->source && (a->rate || a->duration_ns))
		return value_wrong(verb, a->rate ? "-F" : "-d", NULL,
		    "a recording holds what it holds: leave it out");
	if (a->rate && !(types & TICKING))
		return value_wrong(verb, "-F", NULL,
		    "only -t cpu and wall have a rate: add one of them, or leave it out");
	return check_allocs(a, verb, takes);
}

int arguments_parse(struct arguments *a, int argc, char **argv, const char *takes)
{
	*a = (struct arguments){0};
	for (int at = 1; at < argc; at++) {
		if (!strcmp(argv[at], "--") && strchr(takes, 'x')) {
			if (at + 1 == argc)
				return value_wrong(
				    argv[0], "--", NULL, "a command must follow, e.g. -- sleep 10");
			a->command = argv + at + 1;
			break;
		}
		int status = take_argument(a, takes, argv, &at, argc);
		if (status)
			return status;
	}
	int status = check_selection(a, argv[0]);
	return status ? status : check_use(a, argv[0], takes);
}

static void say_lines(const struct text *t, void (*say)(const char *))
{
	char line[1024];
	for (const char *at = t->at; at && *at;) {
		size_t n = strcspn(at, "\n");
		text_copy(line, n + 1 < sizeof(line) ? n + 1 : sizeof(line), at);
		say(line);
		at += n + (at[n] == '\n');
	}
}

static void say_error(const char *line)
{
	log_error("%s", line);
}

static void say_warning(const char *line)
{
	log_warn("%s", line);
}

struct config *arguments_config(const struct arguments *a)
{
	struct text why = TEXT(ACCOUNT_COMMAND), warnings = TEXT(ACCOUNT_COMMAND);
	struct config_source source = {
	    .file = a->config_file		      ? a->config_file
		    : access(DEFAULT_FILE, F_OK) == 0 ? DEFAULT_FILE
						      : NULL,
	    .environment = environ,
	    .flags = (char *const *)a->flags,
	};
	struct config *c = config_load(&source, &warnings, &why);
	char wrong[256];
	if (c && *c->listen && http_address_check(c->listen, wrong, sizeof(wrong)) < 0) {
		text_printf(&why, "config: %s", wrong);
		config_free(c);
		c = NULL;
	}
	if (c) {
		log_set_level((enum log_level)c->log_level);
		log_set_json(c->log_format == CONFIG_LOG_JSON);
		say_lines(&warnings, say_warning);
	} else if (why.len) {
		say_lines(&why, say_error);
	} else {
		log_error("config: %s", strerror(errno));
	}
	text_free(&why);
	text_free(&warnings);
	return c;
}
