// SPDX-License-Identifier: Apache-2.0
// Paths that a profiled process names are looked up beneath that process's own root, by openat2(2),
// or where there is none (before 5.6, or a seccomp filter that does not know it) component by
// component.
#include "local.h"
#include "../base/base.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#define EAGAIN_TRIES 4 // something was renamed while the kernel walked over a ".."
#define LINKS_MAX 40   // as the kernel's MAXSYMLINKS
#define DEPTH_MAX 64
#define NAMES_BYTES 4096 // read at once of a directory
#define NAMES_READS 16

static bool openat2_missing; // only tests set it, to force the walk

// The walk keeps a descriptor of every directory on the way down, so that ".." goes back to the one
// it came from, even where somebody moves directories about meanwhile, and stops at the root.
//
//   at[0] = root   at[1] = usr   at[2] = lib ... at[depth]       rest: "x86/libfoo.so"
struct walk {
	int at[DEPTH_MAX];
	int depth, links;
	char rest[PATH_MAX];
};

static void go_back(struct walk *w, int depth)
{
	while (w->depth > depth)
		close(w->at[w->depth--]);
}

// Puts the target of the symlink FD before the rest of the path.
static int follow(struct walk *w, int fd)
{
	struct statfs fs;
	if (fstatfs(fd, &fs))
		return -errno;
	// Links of procfs lead where no path does (RESOLVE_NO_MAGICLINKS).
	if (fs.f_type == PROC_SUPER_MAGIC || ++w->links > LINKS_MAX)
		return -ELOOP;
	char target[PATH_MAX];
	ssize_t n = readlinkat(fd, "", target, sizeof(target));
	if (n < 0)
		return -errno;
	size_t rest = strlen(w->rest);
	if (!n)
		return -ENOENT;
	if ((size_t)n + rest >= sizeof(w->rest))
		return -ENAMETOOLONG;
	memmove(w->rest + n, w->rest, rest + 1); // it begins with the slash behind the link's name
	memcpy(w->rest, target, (size_t)n);
	if (target[0] == '/')
		go_back(w, 0);
	return 0;
}

// Takes the next component off the rest. False where there is none.
static bool next_component(struct walk *w, char name[static NAME_MAX + 1], int *error)
{
	char *from = w->rest + strspn(w->rest, "/");
	size_t n = strcspn(from, "/");
	*error = n > NAME_MAX ? -ENAMETOOLONG : 0;
	if (!n || *error)
		return false;
	memcpy(name, from, n);
	name[n] = 0;
	memmove(w->rest, from + n, strlen(from + n) + 1);
	return true;
}

// One component further down. 0 or -errno.
static int descend(struct walk *w, const char *name)
{
	if (!strcmp(name, "."))
		return 0;
	if (!strcmp(name, "..")) {
		go_back(w, w->depth ? w->depth - 1 : 0);
		return 0;
	}
	if (w->depth + 1 >= DEPTH_MAX)
		return -ENAMETOOLONG;
	int fd = openat(w->at[w->depth], name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	struct stat st;
	int error = fstat(fd, &st) ? -errno : 0;
	if (!error && !S_ISLNK(st.st_mode) && !S_ISDIR(st.st_mode) && w->rest[0])
		error = -ENOTDIR;
	if (!error && !S_ISLNK(st.st_mode)) {
		w->at[++w->depth] = fd;
		return 0;
	}
	if (!error)
		error = follow(w, fd);
	close(fd);
	return error;
}

static int walk(int root_fd, const char *path)
{
	struct walk w;
	char name[NAME_MAX + 1];
	int error = 0;
	w.depth = w.links = 0;
	w.at[0] = root_fd;
	if (!path[0])
		return -ENOENT;
	if (strlen(path) >= sizeof(w.rest))
		return -ENAMETOOLONG;
	text_copy(w.rest, sizeof(w.rest), path);
	while (!error && next_component(&w, name, &error))
		error = descend(&w, name);
	int fd = -1;
	if (!error) {
		fd = fcntl(w.at[w.depth], F_DUPFD_CLOEXEC, 0);
		error = fd < 0 ? -errno : 0;
	}
	go_back(&w, 0);
	return error ? error : fd;
}

int local_path_beneath(int root_fd, const char *path)
{
	struct open_how how = {
	    .flags = O_PATH | O_CLOEXEC,
	    .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS,
	};
	int fd = -1;
	errno = ENOSYS;
	for (int i = 0; !openat2_missing && i < EAGAIN_TRIES; i++) {
		fd = (int)syscall(SYS_openat2, root_fd, path, &how, sizeof(how));
		if (fd >= 0 || errno != EAGAIN)
			break;
	}
	if (fd < 0 && (errno == ENOSYS || errno == EPERM))
		return walk(root_fd, path);
	return fd < 0 ? -errno : fd;
}

int proc_place_beneath(int root_fd, const char *path)
{
	return local_path_beneath(root_fd, path);
}

int proc_open_beneath(int root_fd, const char *path)
{
	int place = local_path_beneath(root_fd, path);
	return place < 0 ? place : local_reopen(place);
}

int proc_list_beneath(
    int root_fd, const char *path, int (*each)(void *arg, const char *name), void *arg)
{
	_Alignas(struct dirent64) char entries[NAMES_BYTES];
	int place = local_path_beneath(root_fd, path), n = 0;
	if (place < 0)
		return place;
	int fd = openat(place, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC),
	    error = fd < 0 ? -errno : 0;
	close(place);
	for (int reads = 0; !error && reads < NAMES_READS; reads++) {
		n = (int)syscall(SYS_getdents64, fd, entries, sizeof(entries));
		if (n <= 0) {
			error = n < 0 ? -errno : 0;
			break;
		}
		for (int at = 0; at < n;) {
			const struct dirent64 *entry = (const void *)(entries + at);
			at += entry->d_reclen;
			if (each (arg, entry->d_name)) {
				reads = NAMES_READS;
				break;
			}
		}
	}
	if (fd >= 0)
		close(fd);
	return error;
}
