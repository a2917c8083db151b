// SPDX-License-Identifier: Apache-2.0
// A process table on a fake /proc, and the records that feed it. Start times are in ticks; clocks
// are fake where a test says so.
#pragma once
#include "fakeproc.h"
#include "../../modules/process/private.h"
#include "../../modules/proc/proc.h"
#include "../../bpf/record.h"

#include <dirent.h>
#include <errno.h>

#define TICK 10000000ull

static struct processes *table;
static struct proc *proc;
static int announced, busy_calls, mapped_calls;
static uint32_t mapped_binary;
static struct process_mapping mapped_last;
static int loading; // what the kernel part of samples says

static void on_new(void *arg, struct process *p)
{
	(void)arg;
	announced++;
	p->wanted = true;
}

static void on_mapping(void *arg, const struct process *p, const struct process_mapping *m)
{
	(void)arg;
	(void)p;
	mapped_calls++;
	mapped_binary = m->binary;
	mapped_last = *m;
}

static int on_loading(void *arg, const struct record_sample *r)
{
	(void)arg;
	(void)r;
	return loading;
}

static void on_busy(void *arg)
{
	(void)arg;
	busy_calls++;
}

static struct process_options options_now = {
    .processes_max = 100, .binaries_max = 8, .pinned_max = 8};

static inline int setup(void **state)
{
	(void)state;
	fakeproc_open();
	proc = proc_new(fakeproc_root);
	struct process_options o = options_now;
	o.proc = proc;
	o.grace_ns = NS_PER_S;
	o.on_new = on_new;
	o.on_mapping = on_mapping;
	o.on_busy = on_busy;
	o.is_loading = on_loading;
	table = processes_new(&o);
	announced = busy_calls = mapped_calls = loading = 0;
	return !table;
}

static inline int teardown(void **state)
{
	(void)state;
	processes_free(table);
	proc_free(proc);
	fakeproc_close();
	clock_fake(NULL, NULL);
	return mem_used(ACCOUNT_PROCESS) || mem_used(ACCOUNT_PROC);
}

static inline struct record_sample sample(
    uint32_t pid, uint32_t ppid, uint64_t ticks, const char *comm, uint64_t now)
{
	struct record_sample r = {.head = {.kind = RECORD_SAMPLE, .time_ns = now},
	    .pid = pid,
	    .tid = pid,
	    .ppid = ppid,
	    .start_ns = ticks * TICK + 5,
	    .exec_pages = 3,
	    .mnt_ns = 1,
	    .user_frames = 1};
	strcpy(r.comm, comm);
	strcpy(r.process_comm, comm);
	return r;
}

static inline struct process *sampled(
    uint32_t pid, uint32_t ppid, uint64_t ticks, const char *comm, uint64_t now)
{
	struct record_sample r = sample(pid, ppid, ticks, comm, now);
	return process_of(table, &r);
}

static inline void execed(uint32_t pid, const char *comm, uint64_t now)
{
	struct record_task r = {
	    .head = {.kind = RECORD_EXEC, .time_ns = now}, .pid = pid, .tid = pid};
	strcpy(r.comm, comm);
	process_execed(table, &r);
}

static inline void exited(uint32_t pid, uint64_t ticks, uint64_t now)
{
	struct record_task r = {.head = {.kind = RECORD_EXIT, .time_ns = now},
	    .pid = pid,
	    .tid = pid,
	    .start_ns = ticks * TICK + 5};
	process_exited(table, &r);
}

static inline void mapped(uint32_t pid, uint64_t start, uint64_t length, uint64_t offset,
    const char *path, const uint8_t *build_id, uint64_t inode, uint64_t now)
{
	struct {
		struct record_mmap m;
		char path[256];
	} r = {.m = {.head = {.kind = RECORD_MMAP, .time_ns = now},
		   .pid = pid,
		   .start = start,
		   .length = length,
		   .offset = offset,
		   .path_len = (uint16_t)strlen(path),
		   .inode = inode}};
	if (build_id) {
		memcpy(r.m.build_id, build_id, 20);
		r.m.build_id_len = 20;
	}
	strcpy(r.m.path, path);
	process_mapped(table, &r.m);
}

static inline int descriptors(void)
{
	DIR *d = opendir("/proc/self/fd");
	int n = 0;
	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

// A symbolic link PID/NAME -> TARGET.
static inline void fake_link(unsigned pid, const char *name, const char *target)
{
	char path[256];
	snprintf(path, sizeof(path), "%s/%u/%s", fakeproc_root, pid, name);
	for (char *s = path + strlen(fakeproc_root) + 1; (s = strchr(s, '/')); s++) {
		*s = 0;
		mkdir(path, 0755);
		*s = '/';
	}
	unlink(path);
	assert_int_equal(symlink(target, path), 0);
}

static inline void fake_mount_ns(unsigned pid, unsigned inode)
{
	char target[32];
	snprintf(target, sizeof(target), "mnt:[%u]", inode);
	fake_link(pid, "ns/mnt", target);
}
