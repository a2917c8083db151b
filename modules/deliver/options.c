// SPDX-License-Identifier: Apache-2.0
// What an encoder is told.
#include "private.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define BODY_MAX (15u << 18) // 3.75 MiB
#define BODY_MIN (64u << 10)

// Bounds of a histogram grow (OTLP, HistogramDataPoint).
static int read_bounds(
    const struct config_list *list, const char *key, double **bounds, char *why, size_t size)
{
	*bounds = mem_alloc(ACCOUNT_DELIVER, (list->count + 1) * sizeof(**bounds));
	if (!*bounds) {
		snprintf(why, size, "%s: not enough memory", key);
		return -ENOMEM;
	}
	for (uint32_t i = 0; i < list->count; i++) {
		(*bounds)[i] = strtod(list->items[i], NULL);
		if (!i || (*bounds)[i] > (*bounds)[i - 1])
			continue;
		snprintf(why, size, "%s: %s is not above %s; sort them", key, list->items[i],
		    list->items[i - 1]);
		return -EINVAL;
	}
	return 0;
}

static int read_histograms(struct destination *d, char *why, size_t size)
{
	const struct config *c = d->deliver->options.config;
	int error = read_bounds(&c->profiling_metrics_export_histogram_buckets,
	    "profiling.metrics_export.histogram_buckets", &d->seconds, why, size);
	return error
		   ? error
		   : read_bounds(&c->profiling_metrics_export_memory_histogram_buckets,
			 "profiling.metrics_export.memory_histogram_buckets", &d->bytes, why, size);
}

// Several bodies find room in the spool; packed they are smaller still.
static uint32_t body_max(uint64_t spool_max)
{
	uint64_t most = spool_max / 4;
	return most > BODY_MAX ? BODY_MAX : most < BODY_MIN ? BODY_MIN : (uint32_t)most;
}

int destination_requests(struct destination *d, char *why, size_t size)
{
	const struct deliver *all = d->deliver;
	const struct config *c = all->options.config;
	int error = d->receiver.kind == REQUESTS_METRICS ? read_histograms(d, why, size) : 0;
	if (error)
		return error;
	const struct requests_options options = {
	    .kind = d->receiver.kind,
	    .gzip = d->receiver.gzip,
	    .bytes_max = body_max(d->spool_max),
	    .previous = c->profile_export_otlp_version == 1,
	    .go = c->compatibility == 1,
	    .records = (uint32_t)c->profiling_log_export_batch_size,
	    .stack_traces = c->profiling_log_export_include_stack_trace,
	    .process_attributes = c->profiling_metrics_export_include_process_attributes,
	    .stack_attributes = c->profiling_metrics_export_include_stack_attributes,
	    .seconds = d->seconds,
	    .bytes = d->bytes,
	    .seconds_count = c->profiling_metrics_export_histogram_buckets.count,
	    .bytes_count = c->profiling_metrics_export_memory_histogram_buckets.count,
	    .service = all->node.service,
	    .version = all->options.version ? all->options.version : "",
	    .host = all->node.host,
	    .resource = (const char *const *)all->node.resource,
	};
	const struct requests_out out = destination_out(d);
	d->requests = requests_new(&options, &out);
	if (d->requests)
		return 0;
	error = -errno;
	snprintf(why, size, "%s: not enough memory", d->receiver.key);
	return error;
}
