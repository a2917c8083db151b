// SPDX-License-Identifier: Apache-2.0
// Who wakes threads, where that is asked for, see bpf/wake.bpf.h.
//
// An interrupt wakes in place of whatever thread it interrupted. The kernel's frames tell:
//
//   [0] try_to_wake_up ... hrtimer_interrupt ... asm_sysvec_apic_timer_interrupt ...   an interrupt
//   [0] try_to_wake_up ... pipe_write ... entry_SYSCALL_64                             a thread
//
// Softirqs are served when an interrupt returns, or when a thread lets them come again. Then often
// what they do is that thread's own work: who sends to a socket of the same machine carries the
// packet to its receiver, by the queue of packets that no device received. What else a thread finds
// there (timers, devices) is not.
//
//   [0] try_to_wake_up ... process_backlog   net_rx_action ... __local_bh_enable_ip ... entry_...
//
// Names are those of x86-64 and arm64 from Linux 5.17 on.
#include "private.h"

#include <bpf/libbpf.h>
#include <errno.h>
#include <string.h>

#include "../../bpf/look.h"
#include "telegen.skel.h"

#define FUNCTIONS_MAX 4096 // addresses that are remembered

enum function { OTHER, ENTRY, INTERRUPT, SOFTIRQ, BACKLOG, ALLOWS, FUNCTIONS };

void wake_choose(struct kernel *k)
{
	struct telegen_bpf *b = k->bpf;
	const struct kernel_options *o = &k->options;
	if (k->wakes && !k->names) { // an interrupt could not be told from a thread
		k->wakes = false;
		text_copy(k->wakes_why, sizeof(k->wakes_why),
		    "this kernel cannot be asked for its functions: needs Linux 5.14");
	}
	bpf_program__set_autoload(b->progs.off_waking, k->wakes);
	b->rodata->wake_locks_only = o->off_cpu_wakers == KERNEL_WAKERS_OF_LOCKS;
	// Looks take stacks too.
	b->rodata->wake_stacks = 2 * b->rodata->gate_stacks;
}

int wake_attach(struct kernel *k)
{
	if (!k->wakes || k->off_level == OFF_NONE)
		return 0;
	k->wake_link = bpf_program__attach(k->bpf->progs.off_waking);
	return k->wake_link ? 0 : -errno;
}

void wake_stop(struct kernel *k)
{
	bpf_link__destroy(k->wake_link);
	k->wake_link = NULL;
}

const char *kernel_wakers_why(const struct kernel *k)
{
	return *k->wakes_why ? k->wakes_why : NULL;
}

// What begins with NAME; the first that fits. The compiler makes parts: do_softirq.part.0.
static uint64_t function_of(const char *name)
{
	static const struct {
		const char *name;
		enum function is;
	} known[] = {
	    {"asm_sysvec_", INTERRUPT},
	    {"asm_common_interrupt", INTERRUPT},
	    {"asm_spurious_interrupt", INTERRUPT},
	    {"asm_exc_nmi", INTERRUPT},
	    {"fred_extint", INTERRUPT},
	    {"el1h_64_irq", INTERRUPT},
	    {"el1h_64_fiq", INTERRUPT},
	    {"el0t_64_irq", INTERRUPT},
	    {"el0t_64_fiq", INTERRUPT},
	    {"el0t_32_irq", INTERRUPT},
	    {"el0t_32_fiq", INTERRUPT},
	    {"handle_softirqs", SOFTIRQ},
	    {"__do_softirq", SOFTIRQ},
	    {"process_backlog", BACKLOG},
	    {"__local_bh_enable_ip", ALLOWS},
	    {"do_softirq", ALLOWS},
	    {"entry_", ENTRY},
	    {"asm_", ENTRY},
	    {"ret_from_fork", ENTRY},
	    {"el0", ENTRY},
	};
	for (size_t i = 0; i < sizeof(known) / sizeof(*known); i++)
		if (!strncmp(name, known[i].name, strlen(known[i].name)))
			return known[i].is;
	return OTHER;
}

// Learns what the frames of R are; mostly all are known. 0 or -errno.
static int learn(struct kernel *k, const struct record_sample *r)
{
	uint64_t unknown[KERNEL_NAMES_MAX], is;
	uint32_t count = 0;
	int error = 0;
	if (k->functions.count > FUNCTIONS_MAX)
		map_clear(&k->functions);
	for (uint32_t i = 0; i < r->kernel_frames && !error; i++) {
		// A return address lies behind its call; of the leaf it does not matter.
		if (!map_get(&k->functions, r->frames[i] - 1, &is))
			unknown[count++] = r->frames[i] - 1;
		if (count == KERNEL_NAMES_MAX || (count && i + 1 == r->kernel_frames)) {
			error = kernel_classify(k, &k->functions, unknown, count, function_of);
			count = 0;
		}
	}
	return error;
}

enum waker_kind wake_kind(struct kernel *k, const struct record_sample *r)
{
	uint32_t seen[FUNCTIONS] = {0};
	uint64_t is = OTHER;
	if (learn(k, r))
		return WAKER_NONE;
	for (uint32_t i = 0; i < r->kernel_frames; i++) {
		if (!map_get(&k->functions, r->frames[i] - 1, &is))
			return WAKER_NONE;
		seen[is]++;
	}
	if (seen[INTERRUPT])
		return WAKER_INTERRUPT;
	if (is != ENTRY || r->kernel_cut) // the root is missing
		return WAKER_NONE;
	bool own = !seen[SOFTIRQ] || (seen[BACKLOG] && seen[ALLOWS]);
	return own ? WAKER_THREAD : WAKER_INTERRUPT;
}
