// SPDX-License-Identifier: Apache-2.0
// The life of the path and its clockwork: when the ring is drained and when windows close.
#include "private.h"

#include <errno.h>
#include <string.h>
#include <sys/auxv.h>

#define DRAIN_MIN_NS (10 * NS_PER_MS)
#define DRAIN_MAX_NS (200 * NS_PER_MS)
#define DRAIN_BITE 2
#define DRAIN_TURN_NS (200 * NS_PER_US)	 // a slice may run in the same turn
#define RING_BYTES (256u << 10)		 // as the kernel room has it
#define UNWIND_LOOK_NS (100 * NS_PER_MS) // what rests or waits in the tables goes on
#define UNWIND_BITE_NS (50 * NS_PER_US)
#define WAKE_REST_NS (5 * NS_PER_MS)
#define WAKE_DUE_NS (WAKE_REST_NS - 2 * NS_PER_MS) // epoll counts in milliseconds
#define CLOSE_NS (200 * NS_PER_MS) // for emptying the ring before a window closes, at most
#define CPU_RESCAN_NS (60 * NS_PER_S)

struct path *path_new(const struct path_options *options)
{
	struct path *p = mem_alloc(ACCOUNT_PATH, sizeof(*p));
	if (!p)
		return NULL;
	p->options = *options;
	if (!p->options.types)
		p->options.types = 1u << PATH_CPU;
	p->kernel_functions = MAP(ACCOUNT_PATH);
	for (int t = 0; t < PATH_TYPE_COUNT; t++)
		filling_maps(&p->current[t]);
	const void *random = (const void *)getauxval(AT_RANDOM); // 16 bytes from the kernel
	if (random)
		memcpy(&p->seed, random, sizeof(p->seed));
	struct process_options po = {
	    .proc = options->proc,
	    .pinned_max = options->pinned_max,
	    .grace_ns = 3 * options->collection_ns,
	    .resources = options->resources,
	    .offline = options->offline,
	    .on_new = learn_process,
	    .on_mapping = learn_mapping,
	    .is_loading = take_is_loading,
	    .on_busy = learn_busy,
	    .arg = p,
	};
	p->processes = processes_new(&po);
	if (!p->processes || stack_open(p) < 0 || off_open(p) < 0 || alloc_open(p) < 0 ||
	    take_window_new(p, clock_now()) < 0) {
		path_free(p);
		return errno = ENOMEM, NULL;
	}
	p->drain_ns = DRAIN_MIN_NS; // the first samples are waited for
	return p;
}

void path_free_jobs(struct path *p)
{
	if (!p)
		return;
	// A window that the history is taking borrows the sealed profile: that is brought to its
	// end.
	while (p->keeping && history_step(p->options.history, NS_PER_S) > 0)
		;
	p->keeping = false;
	slice_free(p->scan_slice);
	slice_free(p->ship_slice);
	slice_free(p->replay_slice);
	slice_free(p->finish_slice);
	slice_free(p->read_slice);
	look_free(p);
	govern_free(p);
	round_free(p);
	slice_free(p->unwind_slice);
	timer_free(p->drain_timer);
	timer_free(p->window_timer);
	timer_free(p->cpu_timer);
	watch_free(p->wake);
	path_rest(p, false);
	naming_free(&p->naming);
	profile_merge_free(p->merge);
	p->scan_slice = p->ship_slice = p->replay_slice = p->finish_slice = p->read_slice = NULL;
	p->unwind_slice = NULL;
	p->drain_timer = p->window_timer = p->cpu_timer = NULL;
	p->wake = NULL;
	p->merge = NULL;
}

void path_free(struct path *p)
{
	if (!p)
		return;
	path_free_jobs(p);
	take_window_free(p);
	profile_free(p->sealed);
	profile_free(p->classified);
	for (int t = 0; t < PATH_TYPE_COUNT; t++) {
		profile_free(p->waiting[t]);
		profile_free(p->upload[t]);
	}
	shares_free(p->shares);
	blocked_free(p->blocked);
	live_free(p->live);
	mem_free(p->stack);
	map_clear(&p->kernel_functions);
	processes_free(p->processes);
	mem_free(p);
}

void path_set_symbol(struct path *p, struct symbol *s)
{
	p->symbol = s;
}

void path_set_unwind(struct path *p, struct unwind *u)
{
	p->unwind = u;
}

void path_set_heap(struct path *p, struct heap *h)
{
	p->heap = h;
}

void path_leave_out(struct path *p, uint32_t types)
{
	p->options.types &= ~types;
	for (int t = 0; t < PATH_TYPE_COUNT; t++) {
		if (!(types & 1u << t))
			continue;
		profile_free(p->current[t].profile);
		p->current[t].profile = NULL;
	}
}

struct processes *path_processes(struct path *p)
{
	return p->processes;
}

// Most records cost a few microseconds, the first of a new program a few hundred.
bool path_drain(struct path *p)
{
	uint64_t end = clock_now() + DRAIN_TURN_NS;
	int n;
	do {
		n = kernel_drain(p->kernel, DRAIN_BITE);
	} while (n >= DRAIN_BITE && clock_now() < end);
	return n >= DRAIN_BITE;
}

// While it lasts what wakes us is told at its end, when the drain timer is due.
void path_rest(struct path *p, bool on)
{
	if (!on && !p->resting)
		return;
	p->resting = on;
	p->rested_ns = clock_now();
	loop_rest(p->options.loop, on ? WAKE_REST_NS : 0);
}

// The fuller the ring was, the sooner the next time; in MOST_NS at the latest.
static void drain(struct path *p, uint64_t most_ns)
{
	uint64_t began = clock_now();
	if (p->look_wanted) // what comes after close_at waits
		return;
	bool more = p->more = path_drain(p);
	p->drained_ns = clock_now();
	if (p->squeeze && p->blocked) {
		shares_clear(p->shares);
		blocked_shrink(p->blocked, p->squeeze);
	}
	p->squeeze = 0;
	if (p->close_soon && (!more || kernel_drained(p->kernel) >= p->close_soon ||
				 began >= p->close_soon + CLOSE_NS))
		ship_close(p);
	if (!more && p->close_at && began >= p->close_at + SETTLE_NS)
		ship_drained(p);
	ship_close_if_wanted(p);
	if (p->unwind && !p->unwind_slice && clock_now() - p->unwind_ns >= UNWIND_LOOK_NS) {
		p->unwind_ns = clock_now();
		if (unwind_step(p->unwind, UNWIND_BITE_NS)) // mostly there is nothing
			path_unwind_busy(p);
	}
	if (more) {
		timer_set(p->drain_timer, 1, 0); // after other events had their turn
		return;
	}
	uint64_t use = p->drained_bytes * 100 / RING_BYTES, side = kernel_ring_use(p->kernel);
	use = side > use ? side : use;
	p->drained_bytes = 0;
	if (use > 40)
		p->drain_ns /= 2;
	else if (use < 10)
		p->drain_ns += p->drain_ns / 4;
	p->drain_ns = p->drain_ns < DRAIN_MIN_NS   ? DRAIN_MIN_NS
		      : p->drain_ns > DRAIN_MAX_NS ? DRAIN_MAX_NS
						   : p->drain_ns;
	if (kernel_young(p->kernel) && most_ns > WAKE_REST_NS)
		most_ns = WAKE_REST_NS;
	path_rest(p, most_ns == WAKE_REST_NS);
	uint64_t next = p->close_at ? SETTLE_NS : p->drain_ns;
	timer_set(p->drain_timer, next < most_ns ? next : most_ns, 0);
}

static void on_drain(void *arg)
{
	drain(arg, DRAIN_MAX_NS);
}

// A walk missed something: what is in the rings is taken now, and once more when what is too young
// has settled. Or a program or library was mapped, which is too young as yet. Until then nothing
// wakes us, so that a storm of programs does so 200 times a second at most:
//
//   event  event  event                    event ...
//   |wake  |      |          5 ms     drain|      |          5 ms     drain|
static void on_wake(void *arg, int events)
{
	struct path *p = arg;
	(void)events;
	bool sample = kernel_woken(p->kernel);
	uint64_t now = clock_now();
	if (p->more)
		return; // the next turn goes on
	if (p->resting && now < p->rested_ns + WAKE_DUE_NS)
		return; // something else woke the loop meanwhile
	if (p->resting) {
		drain(p, DRAIN_MAX_NS);
	} else if (sample && now - p->drained_ns >= WAKE_REST_NS) {
		drain(p, WAKE_REST_NS);
	} else {
		path_rest(p, true);
		timer_set(p->drain_timer, WAKE_REST_NS, 0);
	}
}

static void on_window(void *arg)
{
	ship_close(arg);
}

static void on_cpus(void *arg)
{
	struct path *p = arg;
	int error = kernel_rescan_cpus(p->kernel);
	if (error)
		log_seldom(
		    LOG_LEVEL_WARN, "CPU hotplug: %s: a CPU is not profiled", strerror(-error));
}

int path_start(struct path *p, struct kernel *k)
{
	struct loop *loop = p->options.loop;
	p->kernel = k;
	p->window_began = clock_now();
	p->window_wall = clock_wall();
	p->upload_due = clock_now() + p->options.upload_ns;
	p->scan_slice = loop_slice(loop, learn_scan_step, NULL, p);
	p->window_timer =
	    loop_timer(loop, p->options.collection_ns, p->options.collection_ns, on_window, p);
	if (!p->scan_slice || !p->window_timer)
		return -ENOMEM;
	if (round_open(p) < 0)
		return -ENOMEM;
	if (k) {
		p->drain_timer = loop_timer(loop, DRAIN_MIN_NS, 0, on_drain, p);
		p->cpu_timer = loop_timer(loop, CPU_RESCAN_NS, CPU_RESCAN_NS, on_cpus, p);
		p->wake = loop_watch(loop, kernel_wake_fd(k), LOOP_READ, on_wake, p);
		if (!p->drain_timer || !p->cpu_timer || !p->wake || look_open(p) < 0 ||
		    govern_open(p) < 0)
			return -ENOMEM;
	}
	return 0;
}

void path_totals(const struct path *p, struct path_totals *totals)
{
	*totals = p->totals;
}

bool path_scanned(const struct path *p)
{
	return p->scanned;
}

void path_tape(struct path *p, struct tape_writer *tape)
{
	p->tape = tape;
	tape_put_meta(p);
}
