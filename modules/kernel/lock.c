// SPDX-License-Identifier: Apache-2.0
// Waits for the kernel's own locks, see bpf/lock.bpf.h.
#include "private.h"

#include <bpf/libbpf.h>
#include <errno.h>

#include "telegen.skel.h"

void locks_stop(struct kernel *k)
{
	bpf_link__destroy(k->lock_begins);
	bpf_link__destroy(k->lock_ends);
	bpf_link__destroy(k->lock_leaves);
	k->lock_begins = k->lock_ends = k->lock_leaves = NULL;
}

// The end first: of a wait whose beginning is seen the end is seen too.
int locks_attach(struct kernel *k)
{
	if (!k->locks)
		return 0;
	k->lock_leaves = bpf_program__attach(k->bpf->progs.lock_leaves);
	if (k->lock_leaves)
		k->lock_ends = bpf_program__attach(k->bpf->progs.lock_ends);
	if (k->lock_ends)
		k->lock_begins = bpf_program__attach(k->bpf->progs.lock_begins);
	int error = k->lock_begins ? 0 : -errno;
	if (error)
		locks_stop(k);
	return error;
}

const char *kernel_locks_why(const struct kernel *k)
{
	return *k->locks_why ? k->locks_why : NULL;
}
