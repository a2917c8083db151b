// SPDX-License-Identifier: Apache-2.0
// telegen check: what this kernel lets us do, found out by trying it, never by its version.
#include "private.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/perf_event.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

struct probe {
	const char *feature;
	int (*try)(void);    // 0, or -errno
	bool needed;	     // for CPU profiles
	const char *missing; // what goes without it, and what to do
};

static int try_btf(void)
{
	return access("/sys/kernel/btf/vmlinux", R_OK) ? -errno : 0;
}

static int try_event(uint32_t type, uint64_t config)
{
	struct perf_event_attr attr = {.size = sizeof(attr),
	    .type = type,
	    .config = config,
	    .sample_period = 1000000000,
	    .disabled = 1};
	long fd = syscall(SYS_perf_event_open, &attr, -1, 0, -1, PERF_FLAG_FD_CLOEXEC);
	if (fd < 0)
		return -errno;
	close((int)fd);
	return 0;
}

static int try_clock(void)
{
	return try_event(PERF_TYPE_SOFTWARE, PERF_COUNT_SW_CPU_CLOCK);
}

static int try_cycles(void)
{
	return try_event(PERF_TYPE_HARDWARE, PERF_COUNT_HW_CPU_CYCLES);
}

static int try_ring(void)
{
	int fd = bpf_map_create(BPF_MAP_TYPE_RINGBUF, "check", 0, 0, 4096, NULL);
	if (fd < 0)
		return -errno;
	close(fd);
	return 0;
}

static void ignore(void *arg, const struct record *r)
{
	(void)arg;
	(void)r;
}

static int try_programs(void)
{
	char why[256];
	struct kernel_options o = {
	    .cpu_period_ns = NS_PER_S, .max_depth = 127, .on_record = ignore};
	struct kernel *k = kernel_new(&o, why, sizeof(why));
	int error = k ? kernel_start(k, why, sizeof(why)) : -errno;
	kernel_free(k);
	return error;
}

static int try_kallsyms(void)
{
	char line[128];
	FILE *f = fopen("/proc/kallsyms", "re");
	bool shown =
	    f && fgets(line, sizeof(line), f) && strncmp(line, "0000000000000000", 16) != 0;
	// The first symbol may really lie at 0 (per-CPU data): some line tells.
	for (int i = 0; f && !shown && i < 5000 && fgets(line, sizeof(line), f); i++)
		shown = strncmp(line, "0000000000000000", 16) != 0;
	if (f)
		fclose(f);
	return shown ? 0 : -EPERM;
}

static int try_map_files(void)
{
	unsigned long from, to;
	char line[256], path[96];
	FILE *f = fopen("/proc/self/maps", "re");
	bool got = f && fgets(line, sizeof(line), f) && sscanf(line, "%lx-%lx", &from, &to) == 2;
	if (f)
		fclose(f);
	if (!got)
		return -ENOENT;
	snprintf(path, sizeof(path), "/proc/self/map_files/%lx-%lx", from, to);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	close(fd);
	return 0;
}

static int try_other_roots(void)
{
	int fd = open("/proc/1/root", O_PATH | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	close(fd);
	return 0;
}

static int try_pids(void)
{
	return kernel_pids_are_foreign() ? -ENOTSUP : 0;
}

static int try_statistics(void)
{
	char c = '0';
	int fd = open("/proc/sys/kernel/bpf_stats_enabled", O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	ssize_t n = read(fd, &c, 1);
	close(fd);
	return n == 1 && c == '1' ? 0 : -ENODATA;
}

static const struct probe probes[] = {
    {"kernel type information (BTF)", try_btf, true,
	"BPF programs cannot be fitted to this kernel: it needs CONFIG_DEBUG_INFO_BTF"},
    {"CPU clock events", try_clock, true,
	"no samples: run as root or with CAP_PERFMON (kernel.perf_event_paranoid above 2 needs "
	"it)"},
    {"BPF ring buffer", try_ring, true, "needs Linux 5.8 and root, or CAP_BPF"},
    {"BPF programs of the CPU profiler", try_programs, true,
	"needs root, or CAP_BPF and CAP_PERFMON (CAP_SYS_ADMIN in older container engines)"},
    {"hardware cycle counter", try_cycles, false,
	"none here (a virtual machine?): the CPU clock is used, which does not see code with "
	"interrupts off"},
    {"kernel symbols (/proc/kallsyms)", try_kallsyms, false,
	"kernel frames are [kernel]: set kernel.kptr_restrict=0, or run with CAP_SYSLOG"},
    {"mapped files of deleted paths (map_files)", try_map_files, false,
	"programs that were replaced on disk stay unnamed: needs CAP_SYS_ADMIN or "
	"CAP_CHECKPOINT_RESTORE"},
    {"roots of other processes", try_other_roots, false,
	"files of other users' processes stay unnamed: needs CAP_SYS_PTRACE and the host's pid "
	"namespace"},
    {"the host's pid namespace", try_pids, false,
	"user code of processes stays unnamed: needs hostPID: true or --pid=host"},
    {"BPF run time statistics", try_statistics, false,
	"telegen_bpf_run_nanoseconds_total stays 0: set kernel.bpf_stats_enabled=1 to measure"},
};

int kernel_check(struct text *out)
{
	int result = 0;
	for (size_t i = 0; i < sizeof(probes) / sizeof(*probes); i++) {
		const struct probe *p = &probes[i];
		int error = p->try();
		if (!error)
			text_printf(out, "yes  %s\n", p->feature);
		else
			text_printf(
			    out, "no   %s: %s: %s\n", p->feature, strerror(-error), p->missing);
		if (error && p->needed && !result)
			result = error;
	}
	return out->error ? out->error : result;
}
