// SPDX-License-Identifier: Apache-2.0
#include "values.h"
#include "arguments.h"
#include "command.h"
#include "../base/base.h"
#include "../path/path.h"

#include <errno.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#define DURATION_MAX (1000 * 3600 * NS_PER_S)
#define PID_MAX 4194304 // of 64-bit Linux

int value_wrong(const char *verb, const char *thing, const char *value, const char *way_out)
{
	log_error("%s: %s: %s%s%s", verb, thing, value ? value : "", value ? ": " : "", way_out);
	return EXIT_USAGE;
}

// "10s", "500ms", "2m", "1h"; a plain number is seconds.
int value_duration(const char *s, uint64_t *ns)
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

// Comma list of process ids. A complaint names the one that is wrong: after a long list there would
// be no room for it in the line.
int value_pids(struct arguments *a, const char *verb, const char *option, const char *list)
{
	char hint[64], one[64];
	for (const char *at = list;; at++) {
		size_t n = strcspn(at, ",");
		uint64_t pid;
		snprintf(one, sizeof(one), "%.*s", (int)(n < sizeof(one) ? n : sizeof(one)), at);
		if (text_number(at, n, 10, &pid) < 0 || !pid || pid > PID_MAX)
			return value_wrong(verb, option, *one ? one : "\"\"",
			    "not a process id, or several with commas");
		uint64_t process = process_of_thread(pid);
		if (!process)
			return value_wrong(verb, option, one, "no such process: see `ps`");
		snprintf(hint, sizeof(hint), "%lu is a thread: its process is %lu", pid, process);
		if (process != pid)
			return value_wrong(verb, option, one, hint);
		uint32_t i = 0;
		while (i < a->pid_count && a->pids[i] != pid)
			i++;
		if (i == SELECTED_MAX)
			return value_wrong(verb, option, one, "at most 64 process ids");
		a->pids[i] = (uint32_t)pid;
		a->pid_count += i == a->pid_count; // named once more it is the same
		at += n;
		if (!*at)
			return 0;
	}
}

// Adds the items of a comma list, which is cut up where it stands; BEGINS, where it is not 0, is
// what every item begins with, so that other commas are part of one.
int value_names(const char **list, const char *verb, const char *option, char *value, char begins)
{
	int n = 0;
	while (list[n])
		n++;
	if (!*value)
		return value_wrong(verb, option, "\"\"", "must not be empty");
	if (!begins && (*value == ',' || value[strlen(value) - 1] == ',' || strstr(value, ",,")))
		return value_wrong(verb, option, value, "a name is missing beside a comma");
	for (char *next; value; value = next) {
		for (next = strchr(value, ','); begins && next && next[1] != begins;)
			next = strchr(next + 1, ',');
		if (n == SELECTED_MAX)
			return value_wrong(verb, option, value, "at most 64 of these");
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

int value_cgroups(const char **list, const char *verb, const char *option, char *value)
{
	int n = 0;
	while (list[n])
		n++;
	int status = value_names(list, verb, option, value, '/');
	for (; !status && list[n]; n++)
		list[n] = cgroup_name((char *)list[n], "/sys/fs/cgroup");
	return status;
}

int value_types(struct arguments *a, const char *verb, const char *option, const char *list)
{
	for (const char *at = list;; at++) {
		size_t n = strcspn(at, ",");
		int t = 0;
		while (t < PATH_TYPE_COUNT &&
		       (strlen(path_type_name(t)) != n || strncmp(at, path_type_name(t), n) != 0))
			t++;
		if (t == PATH_TYPE_COUNT)
			return value_wrong(verb, option, *list ? list : "\"\"",
			    "not of cpu, offcpu, wall, mutex, memory, allocs, heap, goblock and "
			    "mapped, with commas between them");
		a->types |= 1u << t;
		at += n;
		if (!*at)
			return 0;
	}
}

int value_one_type(struct arguments *a, const char *verb, const char *option, const char *value)
{
	int status = value_types(a, verb, option, value);
	return status || !(a->types & (a->types - 1))
		   ? status
		   : value_wrong(verb, option, value, "one type at a time");
}

int value_flag(struct arguments *a, const char *verb, const char *flag)
{
	if (a->flag_count == 2 * SELECTED_MAX)
		return value_wrong(
		    verb, flag, NULL, "more than 64 configuration options: use --config FILE");
	a->flags[a->flag_count++] = flag;
	return 0;
}

int value_rate(struct arguments *a, const char *verb, const char *option, const char *value)
{
	uint64_t hz;
	if (text_number(value, strlen(value), 10, &hz) < 0 || hz < 1 || hz > 1000)
		return value_wrong(
		    verb, option, *value ? value : "\"\"", "not in 1..1000 samples a second");
	a->rate = true;
	int status = value_flag(a, verb, "--profiling.cpu.sample_rate");
	return status ? status : value_flag(a, verb, value);
}

int value_leaks(struct arguments *a, const char *verb, const char *option, const char *value)
{
	uint64_t ns;
	if (value_duration(value, &ns) < 0 || !ns)
		return value_wrong(verb, option, *value ? value : "\"\"",
		    "not a duration such as 10s, 500ms or 2m, at most 1000h");
	a->alloc = true;
	a->leaks = value;
	int status = value_flag(a, verb, "--profiling.alloc.leak_age");
	return status ? status : value_flag(a, verb, value);
}
