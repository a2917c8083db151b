// SPDX-License-Identifier: Apache-2.0
// A part of a series: some samples of the profile as a profile of their own, in gzipped pprof.
#include "series.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>

static int take(void *arg, const void *bytes, size_t n)
{
	struct series_job *j = arg;
	if (j->pprof.len + n > j->r.options.bytes_max)
		return -EFBIG;
	return text_add(&j->pprof, bytes, n);
}

// RFC 9562, version 4.
static void make_id(char id[static 37])
{
	static const char digits[] = "0123456789abcdef",
			  form[] = "xxxxxxxx-xxxx-4xxx-vxxx-xxxxxxxxxxxx";
	uint8_t random[sizeof(form)];
	// Only before the machine has gathered randomness; the clock tells profiles apart too.
	if (getrandom(random, sizeof(random), GRND_NONBLOCK) != sizeof(random))
		for (size_t i = 0; i < sizeof(random); i++)
			random[i] = (uint8_t)hash_mix(clock_wall() + i);
	for (size_t i = 0; i < sizeof(form); i++)
		id[i] = form[i] == 'x'	 ? digits[random[i] % 16]
			: form[i] == 'v' ? digits[8 + random[i] % 4]
					 : form[i];
}

// A type or unit whose name receivers could not read (Pyroscope: no '-'; Parca: part of a metric's
// name).
static int mend_name(struct profile *p, uint32_t *id)
{
	char name[SERIES_NAME_MAX];
	size_t n = text_copy(name, sizeof(name), profile_name(p, *id));
	for (size_t i = 0; i < n; i++)
		if (!((name[i] >= 'a' && name[i] <= 'z') || (name[i] >= 'A' && name[i] <= 'Z') ||
			(name[i] >= '0' && name[i] <= '9')))
			name[i] = '_';
	uint32_t mended = profile_add_name(p, name);
	if (!mended && n)
		return -ENOMEM;
	*id = mended;
	return 0;
}

// Parca has one page for off-CPU time: that of its own agent's type.
static int name_wallclock(struct profile *p)
{
	struct profile_header *h = profile_header(p);
	h->value_types[1] = profile_add_name(p, "wallclock");
	h->period_type = profile_add_name(p, "samples");
	h->period_unit = profile_add_name(p, "count");
	h->period = 1;
	return h->value_types[1] && h->period_type && h->period_unit ? 0 : -ENOMEM;
}

static int mend_header(struct series_job *j, struct profile *p)
{
	struct profile_header *h = profile_header(p);
	const struct profile_type *type = h->type;
	int error = 0;
	if (series_is_parca(j)) {
		if (type && type->state) // what has a duration is taken for a difference
			h->duration_ns = 0;
		if (type && !strcmp(type->name, "offcpu"))
			error = name_wallclock(p);
	} else {
		// Of two with the same labels and milliseconds one is taken for the other's copy.
		h->time_ns += j->part * NS_PER_MS;
	}
	for (uint32_t v = 0; v < h->value_count && !error; v++) {
		error = mend_name(p, &h->value_types[v]);
		if (!error)
			error = mend_name(p, &h->value_units[v]);
	}
	if (!error)
		error = mend_name(p, &h->period_type);
	return error ? error : mend_name(p, &h->period_unit);
}

int series_part_new(struct series_job *j)
{
	make_id(j->id);
	text_reset(&j->pprof);
	j->profile = profile_new_like(ACCOUNT_EXPORT, j->r.p);
	j->merge = j->profile ? profile_merge_new(j->profile, j->r.p, 1, NULL, NULL) : NULL;
	if (!j->merge)
		return -ENOMEM;
	profile_merge_without_resources(j->merge); // the series' labels tell them
	if (!series_is_parca(j)) // Pyroscope makes a series of each value of a label
		profile_merge_without(j->merge, "lockAddress");
	profile_merge_only(
	    j->merge, j->order + j->from, j->count, series_is_parca(j) ? 0 : SERIES_DEPTH_MAX);
	return 0;
}

static int begin_pprof(struct series_job *j)
{
	struct wire_sink sink = {take, j};
	int error = mend_header(j, j->profile);
	if (error)
		return error;
	profile_merge_free(j->merge);
	j->merge = NULL;
	profile_seal(j->profile);
	j->job = export_new(j->profile, NULL, EXPORT_PPROF, "", &sink);
	return j->job ? 1 : -errno;
}

// gzip ends with the length of what it holds (RFC 1952, ISIZE).
static uint32_t unpacked(const struct text *t)
{
	uint32_t size = 0;
	for (size_t i = 0; i < 4 && i < t->len; i++)
		size = size << 8 | (uint8_t)t->at[t->len - 1 - i];
	return size;
}

int series_part_step(struct series_job *j, uint64_t budget_ns)
{
	if (j->merge)
		return profile_merge_step(j->merge, budget_ns) ? 1 : begin_pprof(j);
	int more = export_step(j->job, budget_ns);
	return more ? more : unpacked(&j->pprof) > SERIES_PPROF_MAX ? -EFBIG : 0;
}

void series_part_free(struct series_job *j)
{
	export_job_free(j->job);
	profile_merge_free(j->merge);
	profile_free(j->profile);
	j->job = NULL;
	j->merge = NULL;
	j->profile = NULL;
}
