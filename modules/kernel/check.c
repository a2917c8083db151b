// SPDX-License-Identifier: Apache-2.0
// telegen check: what this kernel lets us do, found out by trying it, never by its version.
#include "private.h"

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/btf.h>
#include <linux/capability.h>
#include <linux/perf_event.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#define LOCKED_MOST (16 << 20) // bytes of locked memory: with more no map of ours is refused
#define ROOTS_MAX 512	       // processes whose root is tried

struct probe {
	const char *feature;
	int (*try)(void);		   // 0, or -errno
	bool needed;			   // for CPU profiles
	const char *missing;		   // what goes without it, and what to do
	void (*explain)(struct text *out); // the same, where that is not always the same
	bool events; // not permitted where CPU clock events are not: they say why
};

static bool may(unsigned capability)
{
	struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {0};
	return syscall(SYS_capget, &head, data) == 0 &&
	       data[CAP_TO_INDEX(capability)].effective & CAP_TO_MASK(capability);
}

static int try_btf(void)
{
	return access("/sys/kernel/btf/vmlinux", R_OK) ? -errno : 0;
}

static int try_helper(enum bpf_prog_type type, enum bpf_func_id helper)
{
	return kernel_has_helper(type, helper) ? 0 : -ENOSYS;
}

static int try_loop(void)
{
	return try_helper(BPF_PROG_TYPE_PERF_EVENT, BPF_FUNC_loop);
}

static int try_ring(void)
{
	int fd = bpf_map_create(BPF_MAP_TYPE_RINGBUF, "check", 0, 0, 4096, NULL);
	if (fd < 0)
		return -errno;
	close(fd);
	return 0;
}

// Of a kernel that we may ask.
static bool lacks_loop(void)
{
	return try_ring() == 0 && try_loop();
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

// Debian's kernels had a level that CAP_PERFMON does not pass.
static void explain_clock(struct text *out)
{
	if (may(CAP_PERFMON) && !may(CAP_SYS_ADMIN))
		text_puts(out, "no samples: CAP_PERFMON is there, but this kernel wants "
			       "CAP_SYS_ADMIN where kernel.perf_event_paranoid is above 2: set it "
			       "to 2 (or a seccomp filter refuses perf_event_open)");
	else
		text_puts(out, "no samples: run as root or with CAP_PERFMON "
			       "(kernel.perf_event_paranoid above 2 needs it)");
}

// Maps count as locked memory before 5.11: is one that is larger than the limit refused?
static bool is_lock_limited(void)
{
	struct rlimit limit = {RLIM_INFINITY, RLIM_INFINITY};
	getrlimit(RLIMIT_MEMLOCK, &limit);
	if (!may(CAP_BPF) || limit.rlim_cur > LOCKED_MOST)
		return false;
	int fd = bpf_map_create(BPF_MAP_TYPE_ARRAY, "check", sizeof(uint32_t), 4096,
	    (uint32_t)(limit.rlim_cur / 4096) + 1, NULL);
	if (fd < 0)
		return fd == -EPERM;
	close(fd);
	return false;
}

#define LOCKED_LIMIT                                                                               \
	"CAP_BPF is there, but before Linux 5.11 maps are locked memory, which is limited: give "  \
	"CAP_SYS_RESOURCE, or LimitMEMLOCK=infinity (ulimit -l unlimited)"

static void explain_ring(struct text *out)
{
	text_puts(out, is_lock_limited() ? LOCKED_LIMIT : "needs Linux 5.8 and root, or CAP_BPF");
}

static void explain_programs(struct text *out)
{
	if (is_lock_limited())
		text_puts(out, LOCKED_LIMIT);
	else
		text_puts(out, "needs root, or CAP_BPF and CAP_PERFMON (CAP_SYS_ADMIN in older "
			       "container engines)");
}

static int try_cycles(void)
{
	return try_event(PERF_TYPE_HARDWARE, PERF_COUNT_HW_CPU_CYCLES);
}

static int try_faults(void)
{
	int error = try_event(PERF_TYPE_SOFTWARE, PERF_COUNT_SW_PAGE_FAULTS);
	return !error && lacks_loop() ? -EOPNOTSUPP : error;
}

static void ignore(void *arg, const struct record *r)
{
	(void)arg;
	(void)r;
}

static int try_programs(void)
{
	char why[256];
	struct kernel_options o = {.cpu_period_ns = NS_PER_S,
	    .max_depth = 127,
	    .unwind_memory = 1 << 20,
	    .on_record = ignore};
	struct kernel *k = kernel_new(&o, why, sizeof(why));
	int error = k ? kernel_start(k, why, sizeof(why)) : -errno;
	kernel_free(k);
	return error;
}

// LEVEL: how much of it. The kernel is asked by loading it, for nothing else tells; without loops
// there is none, and loading what walks then takes the verifier of 5.10 long.
static int try_off(enum off_level level, enum kernel_wakers wakers)
{
	if (lacks_loop())
		return -EOPNOTSUPP;
	struct kernel_options o = {.max_depth = 127,
	    .unwind_memory = 1 << 20,
	    .off_cpu = true,
	    .off_cpu_wakers = wakers,
	    .on_record = ignore};
	char why[256];
	struct kernel *k = kernel_new(&o, why, sizeof(why));
	if (!k)
		return -errno;
	int error = kernel_start(k, why, sizeof(why));
	if (!error && (kernel_off_cpu_why(k) || k->off_level < level || kernel_wakers_why(k)))
		error = -EOPNOTSUPP;
	kernel_free(k);
	return error;
}

static int try_locks(void)
{
	if (lacks_loop())
		return -EOPNOTSUPP;
	struct kernel_options o = {.max_depth = 127, .locks = true, .on_record = ignore};
	char why[256];
	struct kernel *k = kernel_new(&o, why, sizeof(why));
	if (!k)
		return -errno;
	int error = kernel_start(k, why, sizeof(why));
	if (!error && kernel_locks_why(k))
		error = -EOPNOTSUPP;
	kernel_free(k);
	return error;
}

static void explain_locks(struct text *out)
{
	text_puts(out, lacks_loop()
			   ? "no lock profiles: they need Linux 5.17 (bpf_loop), and 5.19 for these"
			   : "lock profiles show user locks only: needs Linux 5.19");
}

static int try_off_cpu(void)
{
	return try_off(OFF_TIMES, KERNEL_WAKERS_NONE);
}

static int try_looks(void)
{
	return try_off(OFF_LOOKS, KERNEL_WAKERS_NONE);
}

static int try_wakers(void)
{
	return try_off(OFF_TIMES, KERNEL_WAKERS_ALL);
}

static int try_mapped(void)
{
	if (lacks_loop())
		return -EOPNOTSUPP;
	struct kernel_options o = {.max_depth = 127, .mapped = true, .on_record = ignore};
	char why[256];
	struct kernel *k = kernel_new(&o, why, sizeof(why));
	if (!k)
		return -errno;
	int error = kernel_start(k, why, sizeof(why));
	if (!error && kernel_mapped_why(k))
		error = -EOPNOTSUPP;
	kernel_free(k);
	return error;
}

static int try_probes(void)
{
	return alloc_level() == ALLOC_NONE ? -EOPNOTSUPP : 0;
}

static int try_around(void)
{
	struct btf *kernel = btf__load_vmlinux_btf();
	int id = kernel ? btf__find_by_name_kind(
			      kernel, "btf_trace_mm_filemap_map_pages", BTF_KIND_TYPEDEF)
			: -errno;
	btf__free(kernel);
	return id < 0 ? -EOPNOTSUPP : 0;
}

static int try_kallsyms(void)
{
	// BPF is asked for names where it can be.
	if (try_helper(BPF_PROG_TYPE_SYSCALL, BPF_FUNC_snprintf) == 0)
		return 0;
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

struct roots {
	unsigned looked, refused, first; // processes; the first one that is refused
	int error;
};

// Which roots of other processes are shut: one that is may be an exception (a hardened init).
static struct roots look_at_roots(void)
{
	struct roots r = {0};
	char path[64];
	struct dirent *entry;
	DIR *proc = opendir("/proc");
	while (proc && r.looked < ROOTS_MAX && (entry = readdir(proc))) {
		uint64_t pid;
		if (text_number(entry->d_name, strlen(entry->d_name), 10, &pid))
			continue;
		snprintf(path, sizeof(path), "/proc/%lu/root", pid);
		int fd = open(path, O_PATH | O_CLOEXEC);
		if (fd >= 0)
			close(fd);
		r.looked += fd >= 0 || errno == EACCES || errno == EPERM;
		if (fd >= 0 || (errno != EACCES && errno != EPERM)) // else it has ended by now
			continue;
		r.error = -errno;
		r.first = r.refused++ ? r.first : (unsigned)pid;
	}
	if (proc)
		closedir(proc);
	return r;
}

static int try_other_roots(void)
{
	return look_at_roots().error;
}

// The initial user namespace has this number on every kernel (include/linux/proc_ns.h).
static bool is_in_first_user_namespace(void)
{
	char name[64] = "";
	return readlink("/proc/self/ns/user", name, sizeof(name) - 1) < 0 ||
	       !strcmp(name, "user:[4026531837]");
}

static void explain_roots(struct text *out)
{
	struct roots r = look_at_roots();
	char label[128] = "";
	text_printf(out, "files of process %u", r.first);
	if (r.refused > 1)
		text_printf(out, " and %u more", r.refused - 1);
	text_puts(out, " stay unnamed: ");
	if (!may(CAP_SYS_PTRACE)) {
		text_puts(out, "needs CAP_SYS_PTRACE");
		return;
	}
	text_puts(out, "CAP_SYS_PTRACE is there, but ");
	if (!is_in_first_user_namespace()) {
		text_puts(out, "in a user namespace that does not reach them: run in the host's "
			       "(no rootless engine, no user remapping)");
		return;
	}
	int fd = open("/proc/self/attr/current", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? 0 : read(fd, label, sizeof(label) - 1);
	label[n > 0 ? strcspn(label, "\n") : 0] = 0;
	if (fd >= 0)
		close(fd);
	text_printf(out,
	    "a security module refuses%s%s: AppArmor (of a container: --security-opt "
	    "apparmor=unconfined), SELinux (--security-opt label=disable) or a Landlock sandbox "
	    "around telegen",
	    *label ? " what runs as " : "", label);
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

static int try_task_registers(void)
{
	return try_helper(BPF_PROG_TYPE_PERF_EVENT, BPF_FUNC_task_pt_regs);
}

static const struct probe probes[] = {
    {"kernel type information (BTF)", try_btf, true,
	"BPF programs cannot be fitted to this kernel: it needs CONFIG_DEBUG_INFO_BTF"},
    {"CPU clock events", try_clock, true, NULL, explain_clock},
    {"BPF ring buffer", try_ring, true, NULL, explain_ring},
    {"BPF programs of the CPU profiler", try_programs, true, NULL, explain_programs,
	.events = true},
    {"user stacks walked in one program (bpf_loop)", try_loop, false,
	"programs that call each other walk them, fewer frames deep"},
    {"user registers of a task (bpf_task_pt_regs)", try_task_registers, false,
	"they are looked for at the end of the kernel stack"},
    {"off-CPU profiles", try_off_cpu, false,
	"no off-CPU, wall and lock profiles: they need Linux 5.17 (bpf_loop, task storage in "
	"tracepoints)",
	.events = true},
    {"stacks of blocked threads", try_looks, false,
	"taken only where a thread leaves its CPU, so more time bears no stack: needs Linux 5.18",
	.events = true},
    {"who wakes blocked threads, where it is asked for", try_wakers, false,
	"no stacks of wakers and of holders of locks: as for off-CPU profiles", .events = true},
    {"waits for the kernel's own locks", try_locks, false, NULL, explain_locks, .events = true},
    {"page fault events, for memory profiles", try_faults, false,
	"no memory profiles: they need Linux 5.17 (bpf_loop)", .events = true},
    {"pages of files that come with the one that is touched", try_around, false,
	"memory profiles do not count them: needs Linux 6.11"},
    {"growth of mapped memory, where it is asked for", try_mapped, false,
	"no profiles of it: they need Linux 5.17 (bpf_loop) with CONFIG_TRACING", .events = true},
    {"probes on allocators (uprobe_multi), where they are asked for", try_probes, false,
	"no profiles of allocations and heaps: they need Linux 6.6 and CAP_BPF with CAP_PERFMON"},
    {"hardware cycle counter", try_cycles, false,
	"none here (a virtual machine?): the CPU clock is used, which does not see code with "
	"interrupts off",
	.events = true},
    {"names of kernel functions", try_kallsyms, false,
	"kernel frames are [kernel]: before Linux 5.14 /proc/kallsyms must show addresses: set "
	"kernel.kptr_restrict=0, or run with CAP_SYSLOG"},
    {"mapped files of deleted paths (map_files)", try_map_files, false,
	"programs that were replaced on disk stay unnamed: needs CAP_SYS_ADMIN or "
	"CAP_CHECKPOINT_RESTORE"},
    {"roots of other processes", try_other_roots, false, NULL, explain_roots},
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
		if (!error) {
			text_printf(out, "yes  %s\n", p->feature);
		} else {
			bool denied = p->events && error == -EACCES && try_clock() == error;
			text_printf(out, "no   %s: %s: ", p->feature, strerror(-error));
			if (p->explain && !denied)
				p->explain(out);
			text_printf(out, "%s\n",
			    denied	 ? "as for CPU clock events"
			    : p->explain ? ""
					 : p->missing);
		}
		if (error && p->needed && !result)
			result = error;
	}
	return out->error ? out->error : result;
}
