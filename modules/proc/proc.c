// SPDX-License-Identifier: Apache-2.0
// The files of one process: stat, status, ns, exe, cmdline, cgroup. Formats: proc(5).
#include "local.h"
#include "../base/base.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define DELETED " (deleted)"
#define PF_EXITING 0x00000004 // include/linux/sched.h
#define PF_KTHREAD 0x00200000
// Supplementary groups come before the ids in status and may be 65536 numbers.
#define STATUS_LIMIT (1u << 20)
#define CGROUP_LIMIT (128u << 10)

struct proc *proc_new(const char *root)
{
	struct proc *p = mem_alloc(ACCOUNT_PROC, sizeof(*p));
	if (!p)
		return NULL;
	p->root = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (p->root >= 0)
		return p;
	int error = errno;
	mem_free(p);
	errno = error;
	return NULL;
}

void proc_free(struct proc *p)
{
	if (!p)
		return;
	close(p->root);
	mem_free(p);
}

static void name_below(char *to, size_t size, uint32_t pid, const char *name)
{
	if (pid)
		snprintf(to, size, "%u/%s", pid, name);
	else
		text_copy(to, size, name);
}

int local_open(const struct proc *p, uint32_t pid, const char *name)
{
	char below[64];
	name_below(below, sizeof(below), pid, name);
	int fd = openat(p->root, below, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_NOFOLLOW | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

int local_reopen(int fd)
{
	struct stat st;
	char name[32];
	int result = -EINVAL;
	if (fstat(fd, &st))
		result = -errno;
	else if (S_ISREG(st.st_mode)) {
		snprintf(name, sizeof(name), "/proc/self/fd/%d", fd);
		result = open(name, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
		if (result < 0)
			result = -errno;
	}
	close(fd);
	return result;
}

bool local_says_deleted(const char *path, size_t len)
{
	size_t n = strlen(DELETED);
	return len > n && !strcmp(path + len - n, DELETED);
}

bool local_cut_deleted(struct proc *p, uint32_t pid, char *path, size_t len, uint64_t inode)
{
	int root = path[0] == '/' && inode ? proc_root_open(p, pid) : -1;
	int fd = root >= 0 ? local_path_beneath(root, path) : -1;
	struct stat st;
	bool exists = fd >= 0 && !fstat(fd, &st) && st.st_ino == inode;
	if (fd >= 0)
		close(fd);
	if (root >= 0)
		close(root);
	if (!exists)
		path[len - strlen(DELETED)] = 0;
	return !exists;
}

// As much of PID/NAME as fits, NUL-terminated; the bytes or -errno.
static ssize_t read_start(struct proc *p, uint32_t pid, const char *name, char *to, size_t size)
{
	int fd = local_open(p, pid, name);
	if (fd < 0)
		return fd;
	size_t len = 0;
	ssize_t n = 1;
	while (len < size - 1 && n) {
		n = pread(fd, to + len, size - 1 - len, (off_t)len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			break;
		len += (size_t)n;
	}
	int error = errno;
	close(fd);
	to[len] = 0;
	return n < 0 ? -error : (ssize_t)len;
}

// The number that stands at *S, which is moved behind it and the blanks after it.
static int next_number(char **s, uint64_t *value)
{
	size_t n = strspn(*s, "0123456789");
	int error = text_number(*s, n, 10, value);
	*s += n;
	*s += strspn(*s, " \t");
	return error;
}

// PID (COMM) STATE PPID ... The name may hold blanks and parentheses, so it ends at the last one;
// 22 fields are asked.
int proc_stat(struct proc *p, uint32_t pid, struct proc_stat *stat)
{
	char line[2048];
	ssize_t len = read_start(p, pid, "stat", line, sizeof(line));
	if (len < 0)
		return (int)len;
	char *name = memchr(line, '(', (size_t)len), *end = memrchr(line, ')', (size_t)len);
	if (!name || !end || end < name || line + len - end < 5 || end[1] != ' ' || end[3] != ' ')
		return -EBADMSG;
	*stat = (struct proc_stat){0};
	*end = 0;
	text_copy(stat->comm, sizeof(stat->comm), name + 1);
	char *s = end + 4; // behind the state's letter: field 4
	for (int field = 4; field <= 22; field++) {
		uint64_t value;
		if (*s == '-')
			s++; // tty's process group and the priorities may be negative; they are not
			     // asked
		if (next_number(&s, &value))
			return -EBADMSG;
		if (field == 4) {
			stat->ppid = (uint32_t)value;
		} else if (field == 9) {
			stat->kernel_thread = value & PF_KTHREAD;
			stat->exiting = value & PF_EXITING;
		} else if (field == 22) {
			stat->start_ticks = value;
		}
	}
	return 0;
}

// The INDEXth number after "NAME:" (-1: the last), or -EBADMSG.
static int status_number(char *line, const char *name, int index, uint32_t *value)
{
	size_t n = strlen(name);
	if (strncmp(line, name, n))
		return -EBADMSG;
	char *s = line + n;
	s += strspn(s, " \t");
	uint64_t number = 0;
	int i = 0;
	for (; *s && (index < 0 || i <= index); i++)
		if (next_number(&s, &number) || number > UINT32_MAX)
			return -EBADMSG;
	if (!i || i <= index)
		return -EBADMSG;
	*value = (uint32_t)number;
	return 0;
}

int proc_status(struct proc *p, uint32_t pid, uint32_t *ns_pid, uint32_t *euid)
{
	int fd = local_open(p, pid, "status");
	if (fd < 0)
		return fd;
	struct lines lines;
	lines_start(&lines, fd, STATUS_LIMIT);
	char *line;
	size_t len;
	uint32_t inside;
	bool has_uid = false;
	*ns_pid = pid; // kernels without NSpid (before 4.1) have it nowhere
	int error;
	while ((error = lines_next(&lines, &line, &len)) == 1 || error == -EBADMSG) {
		if (error != 1)
			continue;
		if (!status_number(line, "Uid:", 1, euid))
			has_uid = true;
		else if ((!status_number(line, "NStgid:", -1, &inside) ||
			     !status_number(line, "NSpid:", -1, &inside)) &&
			 inside)
			*ns_pid = inside;
	}
	close(fd);
	return error ? error : has_uid ? 0 : -EBADMSG;
}

// The inode behind PID/ns/KIND, which reads "KIND:[INODE]"; kinds have three letters.
static int read_ns(struct proc *p, uint32_t pid, const char *kind, uint32_t *inode)
{
	char name[32], target[64];
	name_below(name, sizeof(name), pid, "ns/");
	snprintf(name + strlen(name), sizeof(name) - strlen(name), "%s", kind);
	ssize_t n = readlinkat(p->root, name, target, sizeof(target));
	if (n < 0)
		return -errno;
	uint64_t value;
	if (n < 7 || memcmp(target, kind, 3) || memcmp(target + 3, ":[", 2) ||
	    target[n - 1] != ']' || text_number(target + 5, (size_t)n - 6, 10, &value) ||
	    value > UINT32_MAX)
		return -EBADMSG;
	*inode = (uint32_t)value;
	return 0;
}

int proc_mount_ns(struct proc *p, uint32_t pid, uint32_t *inode)
{
	return read_ns(p, pid, "mnt", inode);
}

int proc_net_ns(struct proc *p, uint32_t pid, uint32_t *inode)
{
	return read_ns(p, pid, "net", inode);
}

int proc_exe(struct proc *p, uint32_t pid, char *path, size_t size)
{
	char name[32];
	name_below(name, sizeof(name), pid, "exe");
	ssize_t n = readlinkat(p->root, name, path, size);
	if (n < 0)
		return -errno;
	if ((size_t)n >= size)
		return -ENAMETOOLONG;
	path[n] = 0;
	struct stat st;
	if (local_says_deleted(path, (size_t)n))
		local_cut_deleted(
		    p, pid, path, (size_t)n, fstatat(p->root, name, &st, 0) ? 0 : st.st_ino);
	return 0;
}

int proc_cmdline(struct proc *p, uint32_t pid, char *line, size_t size)
{
	ssize_t n = read_start(p, pid, "cmdline", line, size);
	if (n < 0)
		return (int)n;
	while (n && !line[n - 1])
		n--;
	for (ssize_t i = 0; i < n; i++)
		if (!line[i])
			line[i] = ' ';
	return 0;
}

// True where CONTROLLERS ("cpu,cpuacct", "name=systemd") hold NAME.
static bool has_controller(const char *controllers, const char *name)
{
	size_t n = strlen(name);
	for (const char *s = controllers; s; s = strchr(s, ',')) {
		s += *s == ',';
		if (!strncmp(s, name, n) && (!s[n] || s[n] == ','))
			return true;
	}
	return false;
}

// How well a line of PID/cgroup tells where the process belongs: "ID:CONTROLLERS:PATH", v2 is
// "0::PATH". Where memory is still a v1 controller, the v2 tree beside it controls nothing and
// container runtimes may leave it out.
static int cgroup_rank(const char *controllers, const char *path)
{
	if (!strcmp(path, "/"))
		return 0;
	if (has_controller(controllers, "memory"))
		return 4;
	return !*controllers ? 3 : has_controller(controllers, "name=systemd") ? 2 : 1;
}

int proc_cgroup(struct proc *p, uint32_t pid, char *path, size_t size)
{
	int fd = local_open(p, pid, "cgroup");
	if (fd < 0)
		return fd;
	struct lines lines;
	lines_start(&lines, fd, CGROUP_LIMIT);
	char *line;
	size_t len, best_len = 0;
	int best = -1, error;
	while ((error = lines_next(&lines, &line, &len)) == 1 || error == -EBADMSG) {
		char *controllers = error == 1 ? strchr(line, ':') : NULL;
		char *at = controllers ? strchr(controllers + 1, ':') : NULL;
		if (!at || at[1] != '/')
			continue;
		*at++ = 0;
		size_t n = len - (size_t)(at - line);
		if (local_says_deleted(at, n))
			at[n -= strlen(DELETED)] =
			    0; // a cgroup that is gone while its last process dies
		int rank = cgroup_rank(controllers + 1, at);
		if (n >= size || rank < best || (rank == best && n <= best_len))
			continue;
		best = rank;
		best_len = text_copy(path, size, at);
	}
	close(fd);
	return error ? error : best < 0 ? -EBADMSG : 0;
}

int proc_root_open(struct proc *p, uint32_t pid)
{
	char name[32];
	name_below(name, sizeof(name), pid, "root");
	int fd = openat(p->root, name, O_PATH | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

static int place_of_link(struct proc *p, uint32_t pid, const char *name)
{
	char below[80];
	name_below(below, sizeof(below), pid, name);
	int place = openat(p->root, below, O_PATH | O_CLOEXEC);
	return place < 0 ? -errno : place;
}

static int open_link(struct proc *p, uint32_t pid, const char *name)
{
	int place = place_of_link(p, pid, name);
	return place < 0 ? place : local_reopen(place);
}

int proc_map_file_place(struct proc *p, uint32_t pid, uint64_t start, uint64_t end)
{
	char name[64];
	snprintf(name, sizeof(name), "map_files/%llx-%llx", (unsigned long long)start,
	    (unsigned long long)end);
	return place_of_link(p, pid, name);
}

int proc_map_file_open(struct proc *p, uint32_t pid, uint64_t start, uint64_t end)
{
	int place = proc_map_file_place(p, pid, start, end);
	return place < 0 ? place : local_reopen(place);
}

int proc_reopen(int place)
{
	return local_reopen(place);
}

int proc_exe_open(struct proc *p, uint32_t pid)
{
	return open_link(p, pid, "exe");
}

int proc_memory_open(struct proc *p, uint32_t pid)
{
	return local_open(p, pid, "mem");
}

int proc_file_open(struct proc *p, const char *name)
{
	return open_link(p, 0, name);
}
