// SPDX-License-Identifier: Apache-2.0
// One point of a metric: NumberDataPoint or HistogramDataPoint (opentelemetry.proto.metrics.v1).
#include "metrics.h"

#include <string.h>

enum { POINT_START = 2, POINT_TIME = 3, NUMBER_AS_INT = 6, NUMBER_ATTRIBUTES = POINT_ATTRIBUTES };
enum {
	HISTOGRAM_COUNT = 4,
	HISTOGRAM_SUM = 5,
	HISTOGRAM_BUCKETS = 6,
	HISTOGRAM_BOUNDS = 7,
	HISTOGRAM_ATTRIBUTES = 9,
	HISTOGRAM_MIN = 11,
	HISTOGRAM_MAX = 12,
};

static void put_attributes(struct wire_out *o, uint32_t field, const struct point *p)
{
	struct wire_in in = series_attributes(p->set, p->series);
	struct wire_field f;
	while (wire_next(&in, &f) == 1)
		wire_bytes(o, field, f.bytes.at, (size_t)(f.bytes.end - f.bytes.at));
}

static uint64_t nth_bucket(const void *arg, uint32_t i)
{
	return ((const uint64_t *)arg)[i];
}

static uint64_t nth_bound(const void *arg, uint32_t i)
{
	uint64_t bits;
	memcpy(&bits, (const double *)arg + i, sizeof(bits));
	return bits;
}

void point_fill(struct wire_out *o, const void *arg)
{
	const struct point *p = arg;
	const struct series *s = p->series;
	wire_fixed64(o, POINT_START, s->start_ns);
	wire_fixed64(o, POINT_TIME, p->set->time_ns);
	if (p->metric->kind != METRIC_DISTRIBUTION) {
		wire_fixed64(o, NUMBER_AS_INT,
		    (uint64_t)(p->metric->kind == METRIC_COUNT ? s->count : s->value));
		put_attributes(o, NUMBER_ATTRIBUTES, p);
		return;
	}
	wire_fixed64(o, HISTOGRAM_COUNT, s->observed);
	if (s->observed)
		wire_double(o, HISTOGRAM_SUM, s->sum);
	wire_packed_fixed64(
	    o, HISTOGRAM_BUCKETS, p->set->bound_count + 1, nth_bucket, series_buckets(s));
	wire_packed_fixed64(o, HISTOGRAM_BOUNDS, p->set->bound_count, nth_bound, p->set->bounds);
	put_attributes(o, HISTOGRAM_ATTRIBUTES, p);
	if (s->observed) {
		wire_double(o, HISTOGRAM_MIN, s->min);
		wire_double(o, HISTOGRAM_MAX, s->max);
	}
}
