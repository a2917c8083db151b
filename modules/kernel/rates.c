// SPDX-License-Identifier: Apache-2.0
// The rates that the programs sample by, in a page that they share with us.
#include "private.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <sys/mman.h>

#include "../../bpf/rates.h"
#include "telegen.skel.h"

void rates_choose(struct kernel *k)
{
	k->bpf->rodata->governed = k->options.governed;
	bpf_map__set_autocreate(k->bpf->maps.rates, k->options.governed);
}

int rates_open(struct kernel *k)
{
	if (!k->options.governed)
		return 0;
	void *p = mmap(
	    NULL, k->page, PROT_READ | PROT_WRITE, MAP_SHARED, bpf_map__fd(k->bpf->maps.rates), 0);
	if (p == MAP_FAILED)
		return -errno;
	k->rates = p;
	k->rates->every = 1;
	return 0;
}

void rates_close(struct kernel *k)
{
	if (k->rates)
		munmap(k->rates, k->page);
	k->rates = NULL;
}

void kernel_set_rates(struct kernel *k, uint32_t every)
{
	if (k->rates)
		__atomic_store_n(&k->rates->every, every, __ATOMIC_RELAXED);
}
