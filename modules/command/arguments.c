// SPDX-License-Identifier: Apache-2.0
#include "arguments.h"
#include "command.h"
#include "../base/base.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define DEFAULT_FILE "/etc/telegen/telegen.yaml"

static int usage(const char *verb, const char *thing, const char *value, const char *way_out)
{
	log_error("%s: %s: %s%s%s", verb, thing, value ? value : "", value ? ": " : "", way_out);
	return EXIT_USAGE;
}

// "10s", "500ms", "2m", "1h"; a plain number is seconds.
static int parse_duration(const char *s, uint64_t *ns)
{
	uint64_t n, unit = NS_PER_S;
	size_t digits = strspn(s, "0123456789");
	const char *suffix = s + digits;
	if (text_number(s, digits, 10, &n) < 0 || n > 1000000000)
		return -EINVAL;
	if (!strcmp(suffix, "ms"))
		unit = NS_PER_MS;
	else if (!strcmp(suffix, "m"))
		unit = 60 * NS_PER_S;
	else if (!strcmp(suffix, "h"))
		unit = 3600 * NS_PER_S;
	else if (*suffix && strcmp(suffix, "s"))
		return -EINVAL;
	*ns = n * unit;
	return n ? 0 : -EINVAL;
}

// Comma list of process ids.
static int add_pids(struct arguments *a, const char *verb, const char *list)
{
	for (const char *at = list;; at++) {
		size_t n = strcspn(at, ",");
		uint64_t pid;
		char path[32];
		if (text_number(at, n, 10, &pid) < 0 || !pid || pid > 4194304)
			return usage(verb, "-p", list, "not a process id, or several with commas");
		snprintf(path, sizeof(path), "/proc/%lu", pid);
		if (access(path, F_OK) < 0)
			return usage(verb, "-p", list, "no such process; see `ps`");
		if (a->pid_count == SELECTED_MAX)
			return usage(verb, "-p", list, "at most 64 process ids");
		a->pids[a->pid_count++] = (uint32_t)pid;
		at += n;
		if (!*at)
			return 0;
	}
}

static int add_name(const char **list, const char *verb, const char *option, const char *value)
{
	int n = 0;
	while (list[n])
		n++;
	if (!*value)
		return usage(verb, option, "\"\"", "must not be empty");
	if (n == SELECTED_MAX)
		return usage(verb, option, value, "at most 64 of these");
	list[n] = value;
	return 0;
}

static int add_types(struct arguments *a, const char *verb, const char *list)
{
	(void)a;
	for (const char *at = list; *at;) {
		size_t n = strcspn(at, ",");
		if (n != 3 || strncmp(at, "cpu", 3))
			return usage(verb, "-t", list, "this version takes cpu only");
		at += n + (at[n] == ',');
	}
	return *list ? 0 : usage(verb, "-t", "\"\"", "takes cpu");
}

static int add_flag(struct arguments *a, const char *flag)
{
	if (a->flag_count == 2 * SELECTED_MAX)
		return usage("arguments", flag, NULL, "too many options");
	a->flags[a->flag_count++] = flag;
	return 0;
}

static int add_rate(struct arguments *a, const char *verb, const char *value)
{
	uint64_t hz;
	if (text_number(value, strlen(value), 10, &hz) < 0 || hz < 1 || hz > 1000)
		return usage(verb, "-F", value, "samples a second, 1..1000");
	int status = add_flag(a, "--profiling.cpu.sample_rate");
	return status ? status : add_flag(a, value);
}

struct option {
	char letter;	   // of `takes`
	const char *names[2];
};
static const struct option options[] = {
    {'p', {"-p", "--pid"}},    {'p', {"--comm"}},   {'p', {"--container"}}, {'p', {"--cgroup"}},
    {'t', {"-t", "--type"}},   {'F', {"-F", "--frequency"}}, {'d', {"-d", "--duration"}},
    {'o', {"-o", "--output"}}, {'s', {"--source"}}, {'b', {"--base"}},	    {'n', {"-n", "--count"}},
    {'c', {"--config", "-c"}},
};

static int take(struct arguments *a, const char *verb, const char *name, const char *value)
{
	char letter = name[1] == '-' ? name[2] : name[1];
	if (!strcmp(name, "--comm"))
		return add_name(a->comms, verb, name, value);
	if (!strcmp(name, "--container"))
		return add_name(a->containers, verb, name, value);
	if (!strcmp(name, "--cgroup"))
		return add_name(a->cgroups, verb, name, value);
	if (!strcmp(name, "--source"))
		a->source = value;
	else if (!strcmp(name, "--base"))
		a->base = value;
	else if (letter == 'p')
		return add_pids(a, verb, value);
	else if (letter == 't')
		return add_types(a, verb, value);
	else if (letter == 'F' || letter == 'f')
		return add_rate(a, verb, value);
	else if (letter == 'd')
		return parse_duration(value, &a->duration_ns)
		    ? usage(verb, name, value, "a duration such as 10s, 500ms or 2m")
		    : 0;
	else if (letter == 'o')
		a->output = value;
	else if (letter == 'n' || !strcmp(name, "--count"))
		return text_number(value, strlen(value), 10, &a->count) || !a->count
		    ? usage(verb, name, value, "a number above 0")
		    : 0;
	else
		a->config_file = value;
	return 0;
}

// The option that ARG is, with its value inside ("--x=v", "-dv") or in the next argument.
static const char *match(const char *arg, const char *takes, const char **value)
{
	for (size_t i = 0; i < sizeof(options) / sizeof(*options); i++) {
		if (options[i].letter != 'c' && !strchr(takes, options[i].letter))
			continue;
		for (int k = 0; k < 2 && options[i].names[k]; k++) {
			const char *name = options[i].names[k];
			size_t n = strlen(name);
			if (strncmp(arg, name, n))
				continue;
			if (!arg[n])
				return *value = NULL, name;
			if (name[1] == '-' ? arg[n] == '=' : true)
				return *value = arg + n + (arg[n] == '='), name;
		}
	}
	return NULL;
}

int arguments_parse(struct arguments *a, int argc, char **argv, const char *takes)
{
	const char *verb = argv[0];
	*a = (struct arguments){0};
	for (int i = 1; i < argc; i++) {
		const char *arg = argv[i], *value, *name;
		int status = 0, n;
		if (!strcmp(arg, "--") && strchr(takes, 'x')) {
			if (i + 1 == argc)
				return usage(verb, "--", NULL, "a command must follow, e.g. -- sleep 10");
			a->command = argv + i + 1;
			break;
		}
		if (!strcmp(arg, "-h") || !strcmp(arg, "--help")) {
			a->help = true;
		} else if (!strcmp(arg, "--all") && strchr(takes, 'p')) {
			a->all = true;
		} else if ((name = match(arg, takes, &value))) {
			if (!value && ++i == argc)
				return usage(verb, name, NULL, "a value must follow");
			status = take(a, verb, name, value ? value : argv[i]);
		} else if (arg[0] == '-' && arg[1] == '-' && (n = config_flag(arg)) > 0) {
			status = add_flag(a, arg);
			if (!status && n == 2 && i + 1 < argc)
				status = add_flag(a, argv[++i]);
		} else if (arg[0] == '-' && arg[1]) {
			// config_load knows the nearest key
			if (arg[1] == '-' && strchr(arg, '.'))
				status = add_flag(a, arg);
			else
				return usage(verb, arg, NULL, "no such option: see `telegen --help`");
		} else if (strchr(takes, '2') && a->rest_count < 2) {
			a->rest[a->rest_count++] = arg;
		} else {
			return usage(verb, arg, NULL, "not expected here: see `telegen --help`");
		}
		if (status)
			return status;
	}
	bool selects = a->pid_count || *a->comms || *a->containers || *a->cgroups || a->command;
	if (a->all && selects)
		return usage(verb, "--all", NULL, "not together with a selection: leave one out");
	return 0;
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
	    .file = a->config_file ? a->config_file : access(DEFAULT_FILE, F_OK) == 0 ? DEFAULT_FILE : NULL,
	    .environment = environ,
	    .flags = (char *const *)a->flags,
	};
	struct config *c = config_load(&source, &warnings, &why);
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
