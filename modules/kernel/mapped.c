// SPDX-License-Identifier: Apache-2.0
// Growth of what processes may write, where that is asked for, see bpf/mapped.bpf.h.
#include "private.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "telegen.skel.h"

#define LEAST_PAGES 17 // of a sample: a prime number, see sampling_memory_bytes of modules/command

void mapped_choose(struct kernel *k)
{
	struct telegen_bpf *b = k->bpf;
	b->rodata->mapped_sample = (uint64_t)LEAST_PAGES * k->page;
	bpf_program__set_autoload(b->progs.memory_mapped, k->mapped);
	bpf_program__set_autoload(b->progs.mapped_before, k->mapped);
	bpf_map__set_autocreate(b->maps.marks, k->mapped);
}

// Marks of the processes that are there. Where it cannot be, each is made when its process maps
// something for the first time.
static int look_before(struct kernel *k)
{
	char nothing[64];
	struct bpf_link *link = bpf_program__attach_iter(k->bpf->progs.mapped_before, NULL);
	int fd = link ? bpf_iter_create(bpf_link__fd(link)) : -1, error = fd < 0 ? -errno : 0;
	while (!error && (read(fd, nothing, sizeof(nothing)) < 0))
		error = errno == EAGAIN || errno == EINTR ? 0 : -errno;
	if (fd >= 0)
		close(fd);
	bpf_link__destroy(link);
	return error;
}

int mapped_attach(struct kernel *k)
{
	if (!k->mapped)
		return 0;
	k->mapped_link = bpf_program__attach(k->bpf->progs.memory_mapped);
	if (!k->mapped_link)
		return -errno;
	int error = look_before(k);
	if (error)
		log_warn(
		    "mapped: processes that are there are followed from their next growth on: %s",
		    strerror(-error));
	return 0;
}

void mapped_stop(struct kernel *k)
{
	bpf_link__destroy(k->mapped_link);
	k->mapped_link = NULL;
}

const char *kernel_mapped_why(const struct kernel *k)
{
	return *k->mapped_why ? k->mapped_why : NULL;
}
