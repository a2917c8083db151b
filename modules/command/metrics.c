// SPDX-License-Identifier: Apache-2.0
// What /metrics says of the rooms that the hall has built.
#include "hall.h"

// What the walker's tables cost and hold, a row each.
static void unwind_metrics(const struct unwind *u, struct text *t)
{
	struct unwind_figures f;
	unwind_figures(u, &f);
	const struct {
		const char *name, *kind, *help;
		uint64_t value;
	} rows[] = {
#define GAUGE(field, text) {.name = #field, .kind = "gauge", .help = text, .value = f.field}
#define COUNTER(field, text)                                                                       \
	{                                                                                          \
		.name = #field "_total", .kind = "counter", .help = text, .value = f.field         \
	}
	    GAUGE(bytes, "memory of the unwind tables, within unwind.memory"),
	    GAUGE(pages, "pages of unwind tables"),
	    GAUGE(windows, "MiBs of code whose unwind rows are loaded"),
	    GAUGE(rows, "unwind rows loaded"),
	    GAUGE(row_bytes, "bytes of the unwind rows loaded"),
	    GAUGE(processes, "processes whose mappings the walker has"),
	    COUNTER(built_rows, "unwind rows built"),
	    {"build_nanoseconds_total", "counter", "CPU time of building unwind rows", f.build_ns},
	    COUNTER(loads, "MiBs of code whose unwind rows were loaded"),
	    COUNTER(evicted, "of these, dropped to make room"),
	    COUNTER(refused, "of these, not loaded: unwind.memory was full"),
	    COUNTER(failed, "of these, not to be had from their files"),
#undef COUNTER
#undef GAUGE
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++)
		text_printf(t,
		    "# HELP telegen_unwind_%s %s\n# TYPE telegen_unwind_%s %s\n"
		    "telegen_unwind_%s %lu\n",
		    rows[i].name, rows[i].help, rows[i].name, rows[i].kind, rows[i].name,
		    rows[i].value);
}

void hall_metrics(void *arg, struct text *t)
{
	struct hall *h = arg;
	struct path_totals totals;
	uint64_t counters[KERNEL_COUNTER_COUNT], runs;
	path_totals(h->path, &totals);
	text_printf(t,
	    "# HELP telegen_samples_delivered_total samples in profiles under their stacks\n"
	    "# TYPE telegen_samples_delivered_total counter\n"
	    "telegen_samples_delivered_total{type=\"cpu\"} %lu\n"
	    "# HELP telegen_samples_lost_total samples that profiles show as lost, by cause\n"
	    "# TYPE telegen_samples_lost_total counter\n"
	    "telegen_samples_lost_total{type=\"cpu\"} %lu\n"
	    "# HELP telegen_off_cpu_nanoseconds_total time off the CPU in profiles, all threads'\n"
	    "# TYPE telegen_off_cpu_nanoseconds_total counter\n"
	    "telegen_off_cpu_nanoseconds_total %lu\n"
	    "# HELP telegen_memory_resident_bytes_total bytes that became resident, in profiles\n"
	    "# TYPE telegen_memory_resident_bytes_total counter\n"
	    "telegen_memory_resident_bytes_total %lu\n"
	    "# HELP telegen_memory_mapped_bytes_total bytes by which mapped memory grew, in profiles\n"
	    "# TYPE telegen_memory_mapped_bytes_total counter\n"
	    "telegen_memory_mapped_bytes_total %lu\n"
	    "# HELP telegen_memory_allocated_bytes_total bytes that probed allocators handed out, "
	    "estimated\n"
	    "# TYPE telegen_memory_allocated_bytes_total counter\n"
	    "telegen_memory_allocated_bytes_total %lu\n",
	    totals.delivered, totals.lost, totals.off_cpu_ns, totals.memory_bytes,
	    totals.mapped_bytes, totals.alloc_bytes);
	if (h->deliver)
		deliver_metrics(h->deliver, t);
	if (!h->kernel || kernel_counters(h->kernel, counters) < 0)
		return;
	text_puts(t, "# HELP telegen_kernel_total what the BPF programs counted\n"
		     "# TYPE telegen_kernel_total counter\n");
	for (int i = 0; i < KERNEL_COUNTER_COUNT; i++)
		text_printf(t, "telegen_kernel_total{event=\"%s\"} %lu\n",
		    kernel_counter_label((enum kernel_counter)i), counters[i]);
	text_printf(t,
	    "# HELP telegen_bpf_map_bytes memory of BPF maps\n# TYPE telegen_bpf_map_bytes gauge\n"
	    "telegen_bpf_map_bytes %lu\n",
	    kernel_map_bytes(h->kernel));
	struct path_rates rates;
	if (path_rates(h->path, &rates))
		text_printf(t,
		    "# HELP telegen_cpu_limit_ratio cpu_limit, of a core\n"
		    "# TYPE telegen_cpu_limit_ratio gauge\n"
		    "telegen_cpu_limit_ratio %g\n"
		    "# HELP telegen_cpu_use_ratio CPU of the agent and its BPF programs, of a "
		    "core, in the last 10 s\n"
		    "# TYPE telegen_cpu_use_ratio gauge\n"
		    "telegen_cpu_use_ratio %g\n"
		    "# HELP telegen_rates_divisor by what cpu_limit has divided the rates\n"
		    "# TYPE telegen_rates_divisor gauge\n"
		    "telegen_rates_divisor %u\n",
		    rates.limit / 1e6, rates.use / 1e6, rates.every);
	uint64_t ns = kernel_run_time(h->kernel, &runs);
	text_printf(t,
	    "# HELP telegen_bpf_run_nanoseconds_total run time of BPF programs; 0 unless "
	    "kernel.bpf_stats_enabled is 1\n# TYPE telegen_bpf_run_nanoseconds_total counter\n"
	    "telegen_bpf_run_nanoseconds_total %lu\n",
	    ns);
	text_printf(t,
	    "# HELP telegen_cpus CPUs that are profiled\n# TYPE telegen_cpus gauge\n"
	    "telegen_cpus %u\n",
	    kernel_cpus(h->kernel));
	if (h->unwind)
		unwind_metrics(h->unwind, t);
}
