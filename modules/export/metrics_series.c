// SPDX-License-Identifier: Apache-2.0
// The series of the metrics. Attributes are compared as the bytes that are sent, so that no text in
// them can pass for another field. What is new and finds no place is added up in one series that
// says so (opentelemetry.io/docs/specs/otel/metrics/sdk, cardinality limits).
#include "metrics.h"

#include <errno.h>
#include <string.h>

static bool is_distributed(const struct series_set *set)
{
	for (uint32_t i = 0; i < set->type.metric_count; i++)
		if (set->type.metrics[i].kind == METRIC_DISTRIBUTION)
			return true;
	return false;
}

static size_t buckets_size(const struct series_set *set)
{
	return is_distributed(set) ? (set->bound_count + 1ull) * sizeof(uint64_t) : 0;
}

// What S has in front of its attributes depends on its set alone.
static char *attributes_at(const struct series_set *set, const struct series *s)
{
	return (char *)s->block + buckets_size(set);
}

static int series_make(
    struct series_set *set, struct series *s, const void *attributes, size_t length)
{
	size_t size = buckets_size(set) + length;
	void *block = mem_alloc(ACCOUNT_EXPORT, size ? size : 1);
	if (!block)
		return -ENOMEM;
	*s = (struct series){.block = block, .attributes_length = (uint32_t)length};
	memcpy(attributes_at(set, s), attributes, length);
	return 0;
}

int series_set_init(struct series_set *set, const struct agent_type *type, bool state,
    const double *bounds, uint32_t count)
{
	struct attributes a;
	*set = (struct series_set){.type = *type,
	    .state = state,
	    .bounds = bounds,
	    .bound_count = count,
	    .by_hash = MAP(ACCOUNT_EXPORT),
	    .owner_by_hash = MAP(ACCOUNT_EXPORT)};
	int error = attributes_new(&a);
	if (error)
		return error;
	attribute_text(&a, POINT_ATTRIBUTES, "profile.type", type->name);
	attribute_true(&a, POINT_ATTRIBUTES, "otel.metric.overflow");
	error = a.text.error;
	if (!error)
		error = series_make(set, &set->overflow, a.text.at, a.text.len);
	attributes_free(&a);
	if (!error)
		text_copy(set->name, sizeof(set->name), type->name);
	return error;
}

void series_set_free(struct series_set *set)
{
	for (uint32_t i = 0; i < set->series_count; i++)
		mem_free(set->series[i].block);
	for (uint32_t i = 0; i < set->owner_count; i++)
		mem_free(set->owners[i].bytes);
	mem_free(set->series);
	mem_free(set->owners);
	mem_free(set->overflow.block);
	map_clear(&set->by_hash);
	map_clear(&set->owner_by_hash);
	*set = (struct series_set){0};
}

// The clock of the wall may have been set back: a stream does not end before it began. One that
// begins anew has counted nothing yet, or its receiver would count what was told once more.
static void begin_one(struct series_set *set, struct series *s, uint64_t start_ns)
{
	bool anew = s->start_ns >= set->time_ns;
	s->fresh = 0;
	s->idle++;
	if (anew || set->state)
		s->count = s->value = 0;
	if (!anew)
		return;
	s->start_ns = start_ns;
	s->observed = 0;
	s->sum = 0;
	memset(s->block, 0, buckets_size(set));
}

void series_begin(struct series_set *set, uint64_t start_ns, uint64_t end_ns)
{
	set->time_ns = end_ns;
	for (uint32_t i = 0; i < set->series_count; i++)
		if (set->series[i].block)
			begin_one(set, &set->series[i], start_ns);
	begin_one(set, &set->overflow, start_ns);
}

// A place in an array of COUNT of CAP elements of SIZE bytes that holds at most MAX: its index, or
// -1.
static int64_t grow(void *array, uint32_t *count, uint32_t *cap, size_t size, uint32_t max)
{
	if (*count == max || !export_grow(array, cap, *count, size))
		return -1;
	return (*count)++;
}

static int64_t free_series(struct series_set *set)
{
	if (set->by_hash.count < set->series_count)
		for (; set->series_free < set->series_count; set->series_free++)
			if (!set->series[set->series_free].block)
				return set->series_free;
	int64_t at = grow(
	    &set->series, &set->series_count, &set->series_cap, sizeof(*set->series), SERIES_MAX);
	if (at >= 0)
		set->series[at] = (struct series){0};
	return at;
}

static int64_t free_owner(struct series_set *set)
{
	if (set->owner_by_hash.count < set->owner_count)
		for (uint32_t i = 0; i < set->owner_count; i++)
			if (!set->owners[i].bytes)
				return i;
	int64_t at = grow(
	    &set->owners, &set->owner_count, &set->owner_cap, sizeof(*set->owners), SERIES_MAX);
	if (at >= 0)
		set->owners[at] = (struct owner){0};
	return at;
}

// Index, or -1 where there is no place.
static int64_t find_owner(struct series_set *set, const struct text *bytes)
{
	uint64_t hash = hash_bytes(bytes->at, bytes->len, 0), have;
	if (map_get(&set->owner_by_hash, hash, &have)) {
		const struct owner *o = &set->owners[have];
		return o->length == bytes->len && !memcmp(o->bytes, bytes->at, bytes->len)
			   ? (int64_t)have
			   : -1;
	}
	int64_t at = free_owner(set);
	char *copy = at < 0 ? NULL : mem_alloc(ACCOUNT_EXPORT, bytes->len + 1);
	if (!copy || map_put(&set->owner_by_hash, hash, (uint64_t)at) < 0) {
		mem_free(copy);
		return -1;
	}
	memcpy(copy, bytes->at, bytes->len);
	set->owners[at] = (struct owner){copy, hash, (uint32_t)bytes->len, 0};
	return at;
}

static struct series *overflow(struct series_set *set, uint64_t start_ns)
{
	if (!set->overflow.start_ns)
		set->overflow.start_ns = start_ns;
	count_add(COUNT_METRICS_OVERFLOW, 1);
	return &set->overflow;
}

struct series *series_find(struct series_set *set, const struct text *owner,
    const struct text *attributes, uint64_t start_ns)
{
	if (owner->error || attributes->error)
		return overflow(set, start_ns);
	uint64_t hash = hash_bytes(owner->at, owner->len, 0), have;
	hash = hash_bytes(attributes->at, attributes->len, hash);
	if (map_get(&set->by_hash, hash, &have)) {
		struct series *s = &set->series[have];
		const struct owner *o = &set->owners[s->owner];
		bool same = s->attributes_length == attributes->len && o->length == owner->len &&
			    !memcmp(attributes_at(set, s), attributes->at, attributes->len) &&
			    !memcmp(o->bytes, owner->at, owner->len);
		return same ? s : overflow(set, start_ns);
	}
	int64_t whose = find_owner(set, owner), at = whose < 0 ? -1 : free_series(set);
	if (at < 0 || map_put(&set->by_hash, hash, (uint64_t)at) < 0)
		return overflow(set, start_ns);
	struct series *s = &set->series[at];
	if (series_make(set, s, attributes->at, attributes->len)) {
		map_remove(&set->by_hash, hash);
		return overflow(set, start_ns);
	}
	s->hash = hash;
	s->start_ns = start_ns;
	s->owner = (uint32_t)whose;
	return s;
}

void series_add(const struct series_set *set, struct series *s, int64_t count, int64_t value,
    double observation)
{
	uint32_t bucket = 0;
	s->idle = 0;
	// A sum that would pass what the wire holds stays where it is.
	if (__builtin_add_overflow(s->count, count, &s->count))
		s->count = INT64_MAX;
	if (__builtin_add_overflow(s->value, value, &s->value))
		s->value = INT64_MAX;
	if (!buckets_size(set))
		return;
	while (bucket < set->bound_count && observation > set->bounds[bucket])
		bucket++;
	((uint64_t *)s->block)[bucket]++;
	s->min = !s->observed || observation < s->min ? observation : s->min;
	s->max = !s->observed || observation > s->max ? observation : s->max;
	s->sum += observation;
	s->observed++;
}

void series_chain(struct series_set *set)
{
	for (uint32_t i = 0; i < set->owner_count; i++)
		set->owners[i].series = 0;
	for (uint32_t i = set->series_count; i-- > 0;) {
		struct series *s = &set->series[i];
		if (!s->block)
			continue;
		s->next = set->owners[s->owner].series;
		set->owners[s->owner].series = i + 1;
	}
}

void series_expire(struct series_set *set)
{
	set->series_free = 0;
	for (uint32_t i = 0; i < set->series_count; i++) {
		struct series *s = &set->series[i];
		if (!s->block || s->idle < SERIES_IDLE_MAX)
			continue;
		map_remove(&set->by_hash, s->hash);
		mem_free(s->block);
		*s = (struct series){0};
	}
	series_chain(set);
	for (uint32_t i = 0; i < set->owner_count; i++) {
		struct owner *o = &set->owners[i];
		if (!o->bytes || o->series)
			continue;
		map_remove(&set->owner_by_hash, o->hash);
		mem_free(o->bytes);
		*o = (struct owner){0};
	}
}

const struct series *series_at(const struct series_set *set, uint32_t index)
{
	return index == SERIES_NONE ? &set->overflow : &set->series[index];
}

const uint64_t *series_buckets(const struct series *s)
{
	return s->block;
}

struct wire_in series_attributes(const struct series_set *set, const struct series *s)
{
	const uint8_t *at = (const uint8_t *)attributes_at(set, s);
	return (struct wire_in){at, at + s->attributes_length};
}
