// SPDX-License-Identifier: Apache-2.0
// /proc under a root that tests can fake, and files opened beneath a process's own root. Everything
// read here is hostile input: bounded, never trusted. ints are 0 or -errno unless said.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct proc;

struct proc *proc_new(const char *root); // normally "/proc"; NULL + errno
void proc_free(struct proc *p);

// All pids, a few at a time. proc_scan_next: 1 and *PID, 0 at the end, -errno.
struct proc_scan;
struct proc_scan *proc_scan_new(struct proc *p);
int proc_scan_next(struct proc_scan *s, uint32_t *pid);
void proc_scan_free(struct proc_scan *s);

struct proc_stat {
	uint64_t start_ticks; // field 22, USER_HZ (100 a second) since boot
	uint32_t ppid;
	bool kernel_thread;
	bool exiting; // its first thread is ending or has ended
	char comm[16];
};
int proc_stat(struct proc *p, uint32_t pid, struct proc_stat *stat);

// Process id as the process itself sees it (last number of NSpid:/NStgid:), and effective uid.
int proc_status(struct proc *p, uint32_t pid, uint32_t *ns_pid, uint32_t *euid);
int proc_mount_ns(struct proc *p, uint32_t pid, uint32_t *inode);
int proc_net_ns(struct proc *p, uint32_t pid, uint32_t *inode);

struct proc_map {
	uint64_t start, end, offset, inode;
	uint32_t dev_major, dev_minor;
	bool executable;
	const char *path; // unescaped, "" for none; without " (deleted)" where `deleted`
	bool deleted;
};
// Calls EACH for every line that can be read, in order; a non-zero return of EACH ends it. Returns
// the lines given (bad ones counted in COUNT_MAPS_BAD and skipped), or -errno. Keeps 8 KiB, on the
// stack. A line costs about a microsecond and a process may have 65530 and more: where that
// matters, the same in slices.
int proc_maps(
    struct proc *p, uint32_t pid, int (*each)(void *arg, const struct proc_map *map), void *arg);
struct proc_maps_job;
struct proc_maps_job *proc_maps_new(struct proc *p, uint32_t pid); // NULL + errno
// 1: call again; 0: the end, or EACH ended it; -errno.
int proc_maps_step(struct proc_maps_job *job, uint64_t budget_ns,
    int (*each)(void *arg, const struct proc_map *map), void *arg);
void proc_maps_free(struct proc_maps_job *job);

// The path of the process in the cgroup tree into PATH: the v2 line's, or where memory is a v1
// controller that one's (else name=systemd's, else the longest); "/" only where all are.
int proc_cgroup(struct proc *p, uint32_t pid, char *path, size_t size);
// Where exe points to, without the kernel's " (deleted)"; -ENAMETOOLONG where it does not fit.
int proc_exe(struct proc *p, uint32_t pid, char *path, size_t size);
// Arguments joined by spaces, at most SIZE-1 bytes.
int proc_cmdline(struct proc *p, uint32_t pid, char *line, size_t size);

// Calls EACH in order for every argument, every "NAME=VALUE" of the environment that the program
// began with, or the directory in its own file system that each mount shows (mountinfo's field 4,
// as it is written there) until it returns non-zero. Of the first 64 KiB (mounts: 256 KiB); an
// argument of more than 4 KiB is NULL, others of that size are left out. 0 or -errno.
int proc_arguments(
    struct proc *p, uint32_t pid, int (*each)(void *arg, const char *argument), void *arg);
int proc_environment(
    struct proc *p, uint32_t pid, int (*each)(void *arg, const char *variable), void *arg);
int proc_mounts(struct proc *p, uint32_t pid, int (*each)(void *arg, const char *root), void *arg);

// An O_PATH descriptor of the process's root directory, or -errno.
int proc_root_open(struct proc *p, uint32_t pid);
// Opens PATH beneath ROOT_FD (openat2, RESOLVE_IN_ROOT, no magic links), read only, non-blocking. A
// descriptor or -errno; -EINVAL for what is not a regular file, which is never opened at all. Where
// the kernel has no openat2 every component is opened by itself with O_NOFOLLOW.
int proc_open_beneath(int root_fd, const char *path);
// Calls EACH for every name in the directory PATH beneath ROOT_FD, of the first 64 KiB of them, until
// it returns non-zero. 0 or -errno.
int proc_list_beneath(
    int root_fd, const char *path, int (*each)(void *arg, const char *name), void *arg);
// Opens the mapped file itself through map_files/START-END, or exe; works for deleted files.
int proc_map_file_open(struct proc *p, uint32_t pid, uint64_t start, uint64_t end);
// Both in two steps: a place is a descriptor that can only be looked at (fstat), whatever is there;
// proc_reopen closes it and gives one to read, or -errno, as above.
int proc_map_file_place(struct proc *p, uint32_t pid, uint64_t start, uint64_t end);
int proc_place_beneath(int root_fd, const char *path);
int proc_reopen(int place);
int proc_exe_open(struct proc *p, uint32_t pid);
// The memory of the process, to be read with pread at its addresses.
int proc_memory_open(struct proc *p, uint32_t pid);
// A file directly below the /proc root, e.g. "kallsyms".
int proc_file_open(struct proc *p, const char *name);
