// SPDX-License-Identifier: Apache-2.0
#include "arguments.h"
#include "command.h"
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
#define DURATION_MAX (1000 * 3600 * NS_PER_S)
#define PID_MAX 4194304 // of 64-bit Linux

static int usage(const char *verb, const char *thing, const char *value, const char *way_out)
{
	log_error("%s: %s: %s%s%s", verb, thing, value ? value : "", value ? ": " : "", way_out);
	return EXIT_USAGE;
}

// "10s", "500ms", "2m", "1h"; a plain number is seconds.
static int parse_duration(const char *s, uint64_t *ns)
{
	static const struct {
		const char *suffix;
		uint64_t ns;
	} units[] = {{"", NS_PER_S}, {"s", NS_PER_S}, {"ms", NS_PER_MS}, {"m", 60 * NS_PER_S},
	    {"h", 3600 * NS_PER_S}};
	uint64_t n;
	size_t digits = strspn(s, "0123456789");
	if (text_number(s, digits, 10, &n) < 0 || !n)
		return -EINVAL;
	for (size_t i = 0; i < sizeof(units) / sizeof(*units); i++)
		if (!strcmp(s + digits, units[i].suffix))
			return __builtin_mul_overflow(n, units[i].ns, ns) || *ns > DURATION_MAX
				   ? -ERANGE
				   : 0;
	return -EINVAL;
}

// The process that the thread ID belongs to, which is ID itself for a process; 0: there is none.
static uint64_t process_of_thread(uint64_t id)
{
	char path[40], line[128];
	uint64_t process = 0;
	snprintf(path, sizeof(path), "/proc/%lu/status", id);
	FILE *f = fopen(path, "re");
	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "Tgid: %lu", &process) == 1)
			break;
	if (f)
		fclose(f);
	return process;
}

// Comma list of process ids.
static int add_pids(struct arguments *a, const char *verb, const char *option, const char *list)
{
	char hint[64];
	for (const char *at = list;; at++) {
		size_t n = strcspn(at, ",");
		uint64_t pid;
		if (text_number(at, n, 10, &pid) < 0 || !pid || pid > PID_MAX)
			return usage(verb, option, *list ? list : "\"\"",
			    "not a process id, or several with commas");
		uint64_t process = process_of_thread(pid);
		if (!process)
			return usage(verb, option, list, "no such process: see `ps`");
		snprintf(hint, sizeof(hint), "%lu is a thread: its process is %lu", pid, process);
		if (process != pid)
			return usage(verb, option, list, hint);
		if (a->pid_count == SELECTED_MAX)
			return usage(verb, option, list, "at most 64 process ids");
		a->pids[a->pid_count++] = (uint32_t)pid;
		at += n;
		if (!*at)
			return 0;
	}
}

// Adds the items of a comma list, which is cut up where it stands; BEGINS, where it is not 0, is
// what every item begins with, so that other commas are part of one.
static int add_names(
    const char **list, const char *verb, const char *option, char *value, char begins)
{
	int n = 0;
	while (list[n])
		n++;
	if (!*value)
		return usage(verb, option, "\"\"", "must not be empty");
	if (!begins && (*value == ',' || value[strlen(value) - 1] == ',' || strstr(value, ",,")))
		return usage(verb, option, value, "a name is missing beside a comma");
	for (char *next; value; value = next) {
		for (next = strchr(value, ','); begins && next && next[1] != begins;)
			next = strchr(next + 1, ',');
		if (n == SELECTED_MAX)
			return usage(verb, option, value, "at most 64 of these");
		list[n++] = value;
		if (next)
			*next++ = 0;
	}
	return 0;
}

// A cgroup as the kernel names it in /proc/PID/cgroup, out of the path of its directory below
// MOUNT, /sys/fs/cgroup: without that, and on cgroup v1 without the controller that comes next.
static char *cgroup_name(char *path, const char *mount)
{
	static char root[] = "/";
	struct statfs fs;
	struct stat st;
	size_t n = strlen(mount);
	if (strncmp(path, mount, n) || (path[n] && path[n] != '/'))
		return path;
	char *name = path + n + strspn(path + n, "/"), *end = name + strcspn(name, "/");
	char after = *end;
	*end = 0; // what is not there is no controller
	bool controller =
	    statfs(mount, &fs) == 0 && fs.f_type != CGROUP2_SUPER_MAGIC && stat(path, &st) == 0;
	*end = after;
	if (controller)
		name = end + strspn(end, "/");
	return *name ? name - 1 : root;
}

static int add_cgroups(const char **list, const char *verb, const char *option, char *value)
{
	int n = 0;
	while (list[n])
		n++;
	int status = add_names(list, verb, option, value, '/');
	for (; !status && list[n]; n++)
		list[n] = cgroup_name((char *)list[n], "/sys/fs/cgroup");
	return status;
}

static int add_types(struct arguments *a, const char *verb, const char *option, const char *list)
{
	for (const char *at = list;; at++) {
		size_t n = strcspn(at, ",");
		int t = 0;
		while (t < PATH_TYPE_COUNT &&
		       (strlen(path_type_name(t)) != n || strncmp(at, path_type_name(t), n) != 0))
			t++;
		if (t == PATH_TYPE_COUNT)
			return usage(verb, option, *list ? list : "\"\"",
			    "not of cpu, offcpu, wall, mutex, memory, allocs, heap and goblock, "
			    "with "
			    "commas between them");
		a->types |= 1u << t;
		at += n;
		if (!*at)
			return 0;
	}
}

static int add_one_type(
    struct arguments *a, const char *verb, const char *option, const char *value)
{
	int status = add_types(a, verb, option, value);
	return status || !(a->types & (a->types - 1))
		   ? status
		   : usage(verb, option, value, "one type at a time");
}

static int add_flag(struct arguments *a, const char *verb, const char *flag)
{
	if (a->flag_count == 2 * SELECTED_MAX)
		return usage(
		    verb, flag, NULL, "more than 64 configuration options: use --config FILE");
	a->flags[a->flag_count++] = flag;
	return 0;
}

static int add_rate(struct arguments *a, const char *verb, const char *option, const char *value)
{
	uint64_t hz;
	if (text_number(value, strlen(value), 10, &hz) < 0 || hz < 1 || hz > 1000)
		return usage(
		    verb, option, *value ? value : "\"\"", "not in 1..1000 samples a second");
	int status = add_flag(a, verb, "--profiling.cpu.sample_rate");
	return status ? status : add_flag(a, verb, value);
}

static int add_leaks(struct arguments *a, const char *verb, const char *option, const char *value)
{
	uint64_t ns;
	if (parse_duration(value, &ns) < 0 || !ns)
		return usage(verb, option, *value ? value : "\"\"",
		    "not a duration such as 10s, 500ms or 2m, at most 1000h");
	a->alloc = true;
	a->leaks = value;
	int status = add_flag(a, verb, "--profiling.alloc.leak_age");
	return status ? status : add_flag(a, verb, value);
}

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
	"what to profile: cpu, offcpu, wall, mutex, memory, allocs, heap, goblock (cpu)"},
    {ONE_TYPE, 'T', {"-t", "--type"}, "TYPE",
	"one of cpu, offcpu, wall, mutex, memory, allocs, heap, goblock (cpu)"},
    {ALLOC, 'a', {"--alloc"}, NULL,
	"with -t memory: probe the allocators of PID or COMMAND, at about 1 us a call"},
    {LEAKS, 'a', {"--leaks"}, "TIME",
	"as --alloc; at the end tell what has been in use for longer than TIME"},
    {RATE, 'F', {"-F", "--frequency"}, "HZ", "samples a second and CPU, 1 to 1000 (99)"},
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
		return usage(verb, option, "\"\"", "must not be empty");
	*to = value;
	return 0;
}

static int take(
    struct arguments *a, enum option_id id, const char *verb, const char *option, char *value)
{
	switch (id) {
	case PIDS:
		return add_pids(a, verb, option, value);
	case COMM:
		return add_names(a->comms, verb, option, value, 0);
	case CONTAINER:
		return add_names(a->containers, verb, option, value, 0);
	case CGROUP:
		return add_cgroups(a->cgroups, verb, option, value);
	case ALL:
		a->all = true;
		return 0;
	case TYPES:
		return add_types(a, verb, option, value);
	case ONE_TYPE:
		return add_one_type(a, verb, option, value);
	case RATE:
		return add_rate(a, verb, option, value);
	case DURATION:
		return parse_duration(value, &a->duration_ns) == 0
			   ? 0
			   : usage(verb, option, *value ? value : "\"\"",
				 "not a duration such as 10s, 500ms or 2m, at most 1000h");
	case COUNT:
		return text_number(value, strlen(value), 10, &a->count) == 0 && a->count
			   ? 0
			   : usage(verb, option, *value ? value : "\"\"", "not a number above 0");
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
		return add_leaks(a, verb, option, value);
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
	return usage(verb, *arg ? arg : "\"\"", NULL, hint);
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
	int status = add_flag(a, verb, arg);
	if (status || n != 2)
		return status;
	if (++*at == argc)
		return usage(verb, arg, NULL, "a value must follow");
	return add_flag(a, verb, argv[*at]);
}

static int take_argument(struct arguments *a, const char *takes, char **argv, int *at, int argc)
{
	const char *verb = argv[0], *name;
	char *arg = argv[*at], *value;
	const struct option *o = match(arg, takes, &name, &value);
	if (o && o->value && !value && ++*at == argc)
		return usage(verb, name, NULL, "a value must follow");
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
	char hint[128];
	if (a->all && first)
		return usage(verb, "--all", NULL, "not together with a selection: leave one out");
	if (by_pid && by_name) {
		snprintf(hint, sizeof(hint), "not together with %s: leave one out", first);
		return usage(verb,
		    *a->comms	     ? "--comm"
		    : *a->containers ? "--container"
				     : "--cgroup",
		    NULL, hint);
	}
	if (a->alloc && a->source)
		return usage(
		    verb, "--alloc", NULL, "a recording holds what it holds: leave it out");
	if (a->alloc && !by_pid)
		return usage(verb, "--alloc", NULL,
		    "of which process? Name it with -p, or write a command behind --");
	if (a->source && (first || a->all))
		return usage(verb, a->source, NULL,
		    "a recording holds what it holds: leave the selection out");
	return 0;
}

int arguments_parse(struct arguments *a, int argc, char **argv, const char *takes)
{
	*a = (struct arguments){0};
	for (int at = 1; at < argc; at++) {
		if (!strcmp(argv[at], "--") && strchr(takes, 'x')) {
			if (at + 1 == argc)
				return usage(
				    argv[0], "--", NULL, "a command must follow, e.g. -- sleep 10");
			a->command = argv + at + 1;
			break;
		}
		int status = take_argument(a, takes, argv, &at, argc);
		if (status)
			return status;
	}
	return check_selection(a, argv[0]);
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
