// SPDX-License-Identifier: Apache-2.0
// What a profile of ours is called in OTLP, and the attributes of its samples, mappings and
// resources (OpenTelemetry's semantic conventions).
#include "otlp.h"

#include <stdio.h>
#include <string.h>

// OTLP has one value a sample, so each value of ours is a Profile of its own, where a reader makes
// something of it:
//
//   ours             sample_type           period_type        period
//   cpu              samples/count         cpu/nanoseconds    ours; readers multiply by it
//   cpu, no period   cpu/nanoseconds       cpu/nanoseconds    1
//   offcpu           off_cpu/nanoseconds   (empty)            none: what readers know it by
//   others           each of their values  NAME/unit          ours, else 1
//   foreign          each of their values  theirs, or that    theirs, else 1
//                                          of the value
//
// NAME is our name of the type ("wall", "mutex", "heap"): Pyroscope calls what it stores by the
// period type, and pprof's period types of several of ours are the same. It refuses what has no
// period.
static struct otlp_value value_of(struct otlp_job *j, uint32_t v)
{
	const struct profile_header *h = profile_header_of(j->r.p);
	const char *name = h->type ? h->type->name : "";
	struct otlp_value x = {
	    .sent = true,
	    .type = otlp_string(j, h->value_types[v]),
	    .unit = otlp_string(j, h->value_units[v]),
	    .period_type = otlp_string(j, h->period_type),
	    .period_unit = otlp_string(j, h->period_unit),
	    .period = h->period > 0 ? h->period : 1,
	};
	if (!strcmp(name, "cpu")) {
		x.sent = v == (h->period > 0 ? 0 : 1);
	} else if (!strcmp(name, "offcpu")) {
		x.sent = v == 1;
		x.period_type = x.period_unit = 0;
		x.period = 0;
	} else {
		if (*name)
			x.period_type = otlp_text(j, name);
		else if (!x.period_type)
			x.period_type = x.type;
		if (!x.period_unit)
			x.period_unit = x.unit;
	}
	return x;
}

void otlp_choose_values(struct otlp_job *j)
{
	for (uint32_t v = 0; v < profile_header_of(j->r.p)->value_count; v++)
		j->values[v] = value_of(j, v);
}

// The first of a key counts: they must differ.
static void add(struct otlp_job *j, struct otlp_list *list, const struct otlp_attribute *a)
{
	if (!a->key || (!a->number && !a->str))
		return;
	for (uint32_t i = 0; i < list->count; i++)
		if (j->attributes[list->ids[i]].key == a->key)
			return;
	if (list->count == sizeof(list->ids) / sizeof(*list->ids)) {
		list->dropped++;
		return;
	}
	uint32_t id = otlp_attribute(j, a);
	if (id)
		list->ids[list->count++] = id;
}

static void add_string(
    struct otlp_job *j, struct otlp_list *list, enum otlp_word key, uint32_t string)
{
	add(j, list, &(struct otlp_attribute){.key = j->words[key], .str = string});
}

static void add_number(struct otlp_job *j, struct otlp_list *list, enum otlp_word key, uint32_t num)
{
	if (num)
		add(j, list,
		    &(struct otlp_attribute){.key = j->words[key], .number = 1, .num = num});
}

static void add_labels(struct otlp_job *j, struct otlp_list *list, uint32_t set)
{
	uint32_t count;
	const struct profile_label *l = profile_labels(j->r.p, set, &count);
	for (uint32_t i = 0; i < count; i++)
		add(j, list,
		    &(struct otlp_attribute){.key = otlp_string(j, l[i].key),
			.str = otlp_string(j, l[i].str),
			.unit = l[i].str ? 0 : otlp_string(j, l[i].num_unit),
			.number = !l[i].str,
			.num = l[i].str ? 0 : l[i].num});
}

// Labels keep the names that they have in pprof.
void otlp_sample_attributes(
    struct otlp_job *j, const struct profile_subject *s, struct otlp_list *list)
{
	list->count = list->dropped = 0;
	add_number(j, list, WORD_THREAD_ID, s->tid);
	add_string(j, list, WORD_THREAD_NAME, otlp_string(j, s->comm));
	add_labels(j, list, s->labels);
}

static uint32_t unknown_service(struct otlp_job *j, const char *comm)
{
	char name[REQUEST_SERVICE_MAX];
	request_unknown_service(name, comm);
	return otlp_text(j, name);
}

// What the process says of itself comes before what is said of all, and that before what is made up
// here.
void otlp_resource_attributes(
    struct otlp_job *j, const struct profile_subject *s, struct otlp_list *list)
{
	const struct requests_options *o = &j->r.options;
	bool nobody = !s->pid && !s->resource && !s->container && !otlp_process_name(s);
	list->count = list->dropped = 0;
	add_number(j, list, WORD_PID, s->pid);
	add_labels(j, list, s->resource);
	if (nobody) // losses are the agent's
		add_string(j, list, WORD_SERVICE, otlp_text(j, o->service ? o->service : ""));
	for (const char *const *pair = o->resource; pair && pair[0] && pair[1]; pair += 2)
		add(j, list,
		    &(struct otlp_attribute){
			.key = otlp_text(j, pair[0]), .str = otlp_text(j, pair[1])});
	add_string(j, list, WORD_EXECUTABLE, otlp_string(j, otlp_process_name(s)));
	add_string(j, list, WORD_CONTAINER_ID, otlp_string(j, s->container));
	add_string(j, list, WORD_HOST, otlp_text(j, o->host ? o->host : ""));
	add_string(
	    j, list, WORD_SERVICE, unknown_service(j, profile_name(j->r.p, otlp_process_name(s))));
}

// A GNU build-id is hex; Go's own has slashes.
uint32_t otlp_build_id(struct otlp_job *j, uint32_t name)
{
	const char *s = profile_name(j->r.p, name);
	size_t n = strlen(s);
	bool gnu = n >= 8 && n % 2 == 0 && strspn(s, "0123456789abcdef") == n;
	if (!gnu && !strchr(s, '/'))
		return 0;
	return otlp_attribute(
	    j, &(struct otlp_attribute){
		   .key = j->words[gnu ? WORD_GNU_ID : WORD_GO_ID], .str = otlp_string(j, name)});
}
