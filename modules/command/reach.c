// SPDX-License-Identifier: Apache-2.0
#include "reach.h"
#include "../base/base.h"
#include "../proc/proc.h"

#include <errno.h>
#include <linux/capability.h>
#include <stdbool.h>
#include <sys/syscall.h>
#include <unistd.h>

#define LOOKS_MAX 256 // some 10 us each

struct reach {
	uint32_t looked, refused;
};

// A process's root asks for the same permission as its mappings do (PTRACE_MODE_READ, proc(5)).
static void look(struct reach *r, struct proc *proc, uint32_t pid)
{
	struct proc_stat stat;
	// Our own child is to become a command yet, and can be read then.
	if (proc_stat(proc, pid, &stat) < 0 || stat.kernel_thread ||
	    stat.ppid == (uint32_t)getpid())
		return;
	int fd = proc_root_open(proc, pid);
	if (fd >= 0)
		close(fd);
	bool refused = fd == -EACCES || fd == -EPERM;
	r->looked += fd >= 0 || refused; // else it has ended by now
	r->refused += refused;
}

static bool may_trace(void)
{
	struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {0};
	return syscall(SYS_capget, &head, data) == 0 &&
	       data[CAP_TO_INDEX(CAP_SYS_PTRACE)].effective & CAP_TO_MASK(CAP_SYS_PTRACE);
}

void reach_say(struct proc *proc, const uint32_t *pids, uint32_t count)
{
	struct reach r = {0};
	struct proc_scan *scan = count ? NULL : proc_scan_new(proc);
	uint32_t pid;
	for (uint32_t i = 0; i < count; i++)
		look(&r, proc, pids[i]);
	while (scan && r.looked < LOOKS_MAX && proc_scan_next(scan, &pid) == 1)
		look(&r, proc, pid);
	proc_scan_free(scan);
	if (may_trace()) {
		// Some are shut to everyone (a hardened init); when most are it is us.
		if (r.refused > r.looked / 2)
			log_warn("the user code of %u of %u processes stays unnamed, their files "
				 "may not be read: `telegen check` tells why",
			    r.refused, r.looked);
	} else if (r.refused) {
		log_warn("the user code of %u of %u processes stays unnamed, their files may not "
			 "be read: needs CAP_SYS_PTRACE, `telegen check` tells more",
		    r.refused, r.looked);
	}
}
