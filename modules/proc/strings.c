// SPDX-License-Identifier: Apache-2.0
// Files of one process that are lists: arguments and environment, each ended by a NUL, and mounts,
// a line each. Formats: proc(5).
#include "local.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#define STRINGS_LIMIT (64u << 10)
#define MOUNTS_LIMIT (256u << 10)

struct listing {
	const char *name; // of the file
	char mark;	  // ends an entry
	uint64_t limit;
	bool tells_long; // EACH gets NULL for what cannot be had whole
	// What EACH is to get of ENTRY, or NULL: nothing.
	const char *(*part)(char *entry);
};

static int list(struct proc *p, uint32_t pid, const struct listing *of,
    int (*each)(void *arg, const char *entry), void *arg)
{
	int fd = local_open(p, pid, of->name), error, stop = 0;
	struct lines lines;
	char *entry;
	size_t len;
	if (fd < 0)
		return fd;
	lines_start(&lines, fd, of->limit);
	lines.mark = of->mark;
	do {
		const char *part = NULL;
		error = lines_next(&lines, &entry, &len);
		if (error == 1)
			part = of->part ? of->part(entry) : entry;
		if (part || (error == -EBADMSG && of->tells_long))
			stop = each (arg, part);
	} while (!stop && (error == 1 || error == -EBADMSG));
	close(fd);
	return error > 0 || error == -EBADMSG || error == -EFBIG ? 0 : error;
}

int proc_arguments(
    struct proc *p, uint32_t pid, int (*each)(void *arg, const char *argument), void *arg)
{
	static const struct listing arguments = {
	    .name = "cmdline", .limit = STRINGS_LIMIT, .tells_long = true};
	return list(p, pid, &arguments, each, arg);
}

int proc_environment(
    struct proc *p, uint32_t pid, int (*each)(void *arg, const char *variable), void *arg)
{
	static const struct listing environment = {.name = "environ", .limit = STRINGS_LIMIT};
	return list(p, pid, &environment, each, arg);
}

// "36 35 98:0 /root /mount/point rw,noatime - ext3 /dev/sda rw": the fourth.
static const char *mount_root(char *line)
{
	char *field = line;
	for (int i = 0; i < 3 && field; i++)
		if ((field = strchr(field, ' ')))
			field++;
	char *end = field ? strchr(field, ' ') : NULL;
	if (!end || *field != '/')
		return NULL;
	*end = 0;
	return field;
}

int proc_mounts(struct proc *p, uint32_t pid, int (*each)(void *arg, const char *root), void *arg)
{
	static const struct listing mounts = {
	    .name = "mountinfo", .mark = '\n', .limit = MOUNTS_LIMIT, .part = mount_root};
	return list(p, pid, &mounts, each, arg);
}
