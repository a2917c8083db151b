// SPDX-License-Identifier: Apache-2.0
// The life of a profile, and reading it.
#include "store.h"

#include <errno.h>
#include <string.h>

#define MARK_STORE_FULL "[lost: store full]"
#define NAME_NO_MEMORY "[unnamed: memory]"

// A name that must be there: 0 or -ENOMEM ("" is 0 by right).
static int must_name(struct profile *p, const char *s, uint32_t *id)
{
	*id = profile_add_name(p, s);
	return !*id && *s ? -ENOMEM : 0;
}

static int fill_header(struct profile *p, const struct profile_type *type)
{
	struct profile_header *h = &p->header;
	*h = (struct profile_header){
	    .type = type, .value_count = type->value_count, .default_value = type->default_value};
	for (uint32_t i = 0; i < type->value_count; i++)
		if (must_name(p, type->values[i].type, &h->value_types[i]) < 0 ||
		    must_name(p, type->values[i].unit, &h->value_units[i]) < 0)
			return -ENOMEM;
	if (must_name(p, type->period.type, &h->period_type) < 0 ||
	    must_name(p, type->period.unit, &h->period_unit) < 0)
		return -ENOMEM;
	return 0;
}

// The lost sample exists from the start: it must take values when there is no memory for anything.
static int make_lost_sample(struct profile *p)
{
	static const int64_t nothing[PROFILE_VALUES_MAX];
	if (must_name(p, NAME_NO_MEMORY, &p->unnamed) < 0)
		return -ENOMEM;
	uint32_t frame = profile_add_mark(p, MARK_STORE_FULL);
	uint32_t stack = frame ? profile_add_stack(p, &frame, 1) : 0;
	uint32_t nobody = profile_add_subject(p, &(struct profile_subject){0});
	if (!stack || !nobody || table_reserve(&p->samples) < 0)
		return -ENOMEM;
	return store_add(p, stack, nobody, nothing);
}

struct profile *profile_new(enum account account, const struct profile_type *type)
{
	if (!type->value_count || type->value_count > PROFILE_VALUES_MAX)
		return errno = EINVAL, NULL;
	struct profile *p = mem_alloc(account, sizeof(*p));
	if (!p)
		return NULL;
	p->account = account;
	p->seed = hash_mix(clock_wall() ^ clock_now() ^ (uintptr_t)p);
	table_init(&p->mappings, account, sizeof(struct profile_mapping), 6);
	table_init(&p->frames, account, sizeof(struct profile_frame), 8);
	table_init(&p->stacks, account, sizeof(struct run), 9);
	table_init(&p->subjects, account, sizeof(struct profile_subject), 7);
	table_init(&p->label_sets, account, sizeof(struct run), 6);
	table_init(&p->samples, account,
	    sizeof(struct profile_sample) + type->value_count * sizeof(int64_t), 8);
	p->stack_frames =
	    (struct chunks){.account = account, .item_size = sizeof(uint32_t), .shift = 12};
	p->labels = (struct chunks){
	    .account = account, .item_size = sizeof(struct profile_label), .shift = 7};
	_Static_assert(PROFILE_STACK_MAX == 1 << 12, "a stack fits a chunk");
	_Static_assert(PROFILE_LABELS_MAX == 1 << 7, "a label set fits a chunk");
	p->names = names_new(account);
	if (!p->names || fill_header(p, type) < 0 || make_lost_sample(p) < 0) {
		profile_free(p);
		return errno = ENOMEM, NULL;
	}
	return p;
}

struct profile *profile_new_like(enum account account, const struct profile *another)
{
	const struct profile_header *from = &another->header;
	struct profile_type type = {
	    .value_count = from->value_count,
	    .period = {profile_name(another, from->period_type),
		profile_name(another, from->period_unit)},
	    .default_value = from->default_value,
	};
	for (uint32_t i = 0; i < type.value_count; i++)
		type.values[i] = (struct profile_unit){profile_name(another, from->value_types[i]),
		    profile_name(another, from->value_units[i])};
	struct profile *p = profile_new(account, &type);
	if (!p)
		return NULL;
	p->header.type = from->type;
	p->header.period = from->period;
	return p;
}

void profile_free(struct profile *p)
{
	if (!p)
		return;
	table_free(&p->mappings);
	table_free(&p->frames);
	table_free(&p->stacks);
	table_free(&p->subjects);
	table_free(&p->label_sets);
	table_free(&p->samples);
	chunks_free(&p->stack_frames);
	chunks_free(&p->labels);
	names_free(p->names);
	mem_free(p);
}

void profile_seal(struct profile *p)
{
	p->sealed = true;
	table_free_index(&p->mappings);
	table_free_index(&p->frames);
	table_free_index(&p->stacks);
	table_free_index(&p->subjects);
	table_free_index(&p->label_sets);
	table_free_index(&p->samples);
}

struct profile_header *profile_header(struct profile *p)
{
	return &p->header;
}

const struct profile_header *profile_header_of(const struct profile *p)
{
	return &p->header;
}

struct names *profile_names(struct profile *p)
{
	return p->names;
}

const char *profile_name(const struct profile *p, uint32_t name)
{
	return names_get(p->names, name);
}

uint32_t profile_find_name(const struct profile *p, const char *s)
{
	return names_find(p->names, s, strlen(s));
}

size_t profile_bytes(const struct profile *p)
{
	return sizeof(*p) + table_bytes(&p->mappings) + table_bytes(&p->frames) +
	       table_bytes(&p->stacks) + table_bytes(&p->subjects) + table_bytes(&p->label_sets) +
	       table_bytes(&p->samples) + chunks_bytes(&p->stack_frames) +
	       chunks_bytes(&p->labels) + names_bytes(p->names);
}

uint32_t profile_name_count(const struct profile *p)
{
	return names_count(p->names);
}

uint32_t profile_mapping_count(const struct profile *p)
{
	return table_count(&p->mappings);
}

uint32_t profile_frame_count(const struct profile *p)
{
	return table_count(&p->frames);
}

uint32_t profile_stack_count(const struct profile *p)
{
	return table_count(&p->stacks);
}

uint32_t profile_subject_count(const struct profile *p)
{
	return table_count(&p->subjects);
}

uint32_t profile_sample_count(const struct profile *p)
{
	return table_count(&p->samples);
}

static const void *item(const struct table *t, uint32_t id)
{
	return id && id <= table_count(t) ? table_item(t, id) : NULL;
}

const struct profile_mapping *profile_mapping(const struct profile *p, uint32_t id)
{
	return item(&p->mappings, id);
}

const struct profile_frame *profile_frame(const struct profile *p, uint32_t id)
{
	return item(&p->frames, id);
}

const struct profile_subject *profile_subject(const struct profile *p, uint32_t id)
{
	return item(&p->subjects, id);
}

const struct profile_sample *profile_sample(const struct profile *p, uint32_t index)
{
	return item(&p->samples, index + 1);
}

const uint32_t *profile_stack(const struct profile *p, uint32_t id, uint32_t *count)
{
	const struct run *r = item(&p->stacks, id);
	*count = r ? r->count : 0;
	return *count ? chunks_at(&p->stack_frames, r->at) : NULL;
}

const struct profile_label *profile_labels(const struct profile *p, uint32_t id, uint32_t *count)
{
	const struct run *r = item(&p->label_sets, id);
	*count = r ? r->count : 0;
	return *count ? chunks_at(&p->labels, r->at) : NULL;
}

void profile_totals(const struct profile *p, int64_t totals[PROFILE_VALUES_MAX])
{
	memset(totals, 0, PROFILE_VALUES_MAX * sizeof(*totals));
	for (uint32_t id = 1; id <= table_count(&p->samples); id++) {
		const struct profile_sample *s = table_item(&p->samples, id);
		for (uint32_t v = 0; v < p->header.value_count; v++)
			if (__builtin_add_overflow(totals[v], s->values[v], &totals[v]))
				totals[v] = s->values[v] < 0 ? INT64_MIN : INT64_MAX;
	}
}
