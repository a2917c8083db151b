// SPDX-License-Identifier: Apache-2.0
// The dictionary of a body: what its samples refer to, each once, measured as it comes in.
#include "otlp.h"

#include <errno.h>
#include <string.h>

void otlp_table_room(struct otlp_job *j, enum otlp_table_id id, uint32_t item)
{
	struct otlp_table *t = &j->tables[id];
	if (item < t->cap)
		return;
	uint64_t cap = item < t->cap * 2ull ? t->cap * 2ull : item + 1ull;
	uint32_t *list = mem_resize(ACCOUNT_EXPORT, t->list, cap * sizeof(*list));
	if (list)
		t->list = list;
	uint32_t *at = list ? mem_resize(ACCOUNT_EXPORT, t->at, cap * sizeof(*at)) : NULL;
	if (!at) {
		j->error = -ENOMEM;
		return;
	}
	memset(at + t->cap, 0, (cap - t->cap) * sizeof(*at));
	list[0] = 0;
	t->at = at;
	t->cap = (uint32_t)cap;
}

static uint32_t index_of(const struct otlp_job *j, enum otlp_table_id id, uint32_t item)
{
	return j->tables[id].at[item];
}

static uint64_t nth(const void *arg, uint32_t i)
{
	return ((const uint32_t *)arg)[i];
}

static void fill_mapping(struct wire_out *o, const void *arg)
{
	const struct otlp_item *e = arg;
	const struct otlp_mapping *m = &e->j->mappings[e->item];
	uint32_t build_id = index_of(e->j, OTLP_ATTRIBUTES, m->build_id);
	wire_varint(o, OTLP_MAPPING_START, m->start);
	wire_varint(o, OTLP_MAPPING_LIMIT, m->limit);
	wire_varint(o, OTLP_MAPPING_OFFSET, m->offset);
	wire_varint(o, OTLP_MAPPING_FILE, index_of(e->j, OTLP_STRINGS, m->file));
	wire_packed(o, OTLP_MAPPING_ATTRIBUTES, build_id != 0, nth, &build_id);
}

static void fill_line(struct wire_out *o, const void *arg)
{
	wire_varint(o, OTLP_LINE_FUNCTION, *(const uint32_t *)arg);
}

static void fill_location(struct wire_out *o, const void *arg)
{
	const struct otlp_item *e = arg;
	struct otlp_location l = otlp_location(e->j, e->item);
	uint32_t function = index_of(e->j, OTLP_FUNCTIONS, l.function),
		 type = index_of(e->j, OTLP_ATTRIBUTES, l.type);
	wire_varint(o, OTLP_LOCATION_MAPPING, index_of(e->j, OTLP_MAPPINGS, l.mapping));
	wire_varint(o, OTLP_LOCATION_ADDRESS, l.address);
	if (function)
		wire_message(o, OTLP_LOCATION_LINES, fill_line, &function);
	wire_packed(o, OTLP_LOCATION_ATTRIBUTES, type != 0, nth, &type);
}

static void fill_function(struct wire_out *o, const void *arg)
{
	const struct otlp_item *e = arg;
	const struct function *f = &e->j->base.function[e->item - 1];
	wire_varint(o, OTLP_FUNCTION_NAME, index_of(e->j, OTLP_STRINGS, f->name));
	wire_varint(o, OTLP_FUNCTION_SYSTEM_NAME, index_of(e->j, OTLP_STRINGS, f->system_name));
}

static void fill_attribute(struct wire_out *o, const void *arg)
{
	const struct otlp_item *e = arg;
	const struct otlp_attribute *a = &e->j->attributes[e->item];
	wire_varint(o, ATTRIBUTE_KEY, index_of(e->j, OTLP_STRINGS, a->key));
	wire_message(o, ATTRIBUTE_VALUE, otlp_fill_value, e);
	wire_varint(o, ATTRIBUTE_UNIT, index_of(e->j, OTLP_STRINGS, a->unit));
}

static uint64_t nth_location(const void *arg, uint32_t i)
{
	const struct otlp_item *e = arg;
	uint32_t count;
	const uint32_t *frames = profile_stack(e->j->r.p, e->item, &count);
	return index_of(e->j, OTLP_LOCATIONS, e->j->location_of[frames[i]]);
}

static void fill_stack(struct wire_out *o, const void *arg)
{
	const struct otlp_item *e = arg;
	uint32_t count;
	profile_stack(e->j->r.p, e->item, &count);
	wire_packed(o, STACK_LOCATIONS, count, nth_location, e);
}

void otlp_put_element(
    struct wire_out *o, const struct otlp_job *j, enum otlp_table_id id, uint32_t item)
{
	static void (*const fills[OTLP_TABLES])(struct wire_out * o, const void *arg) = {
	    [OTLP_MAPPINGS] = fill_mapping,
	    [OTLP_LOCATIONS] = fill_location,
	    [OTLP_FUNCTIONS] = fill_function,
	    [OTLP_ATTRIBUTES] = fill_attribute,
	    [OTLP_STACKS] = fill_stack,
	};
	if (!item) {
		wire_bytes(o, id, "", 0);
	} else if (id == OTLP_STRINGS) {
		const char *s = otlp_string_get(j, item);
		wire_bytes(o, id, s, strlen(s));
	} else {
		wire_message(o, id, fills[id], &(struct otlp_item){j, item});
	}
}

struct element {
	const struct otlp_job *j;
	enum otlp_table_id id;
	uint32_t item;
};
static void put_element(struct wire_out *o, const void *arg)
{
	const struct element *e = arg;
	otlp_put_element(o, e->j, e->id, e->item);
}

// What ITEM refers to comes before it. The locations of a stack came already, one by one.
static void enter_parts(struct otlp_job *j, enum otlp_table_id id, uint32_t item)
{
	if (id == OTLP_MAPPINGS) {
		otlp_enter(j, OTLP_STRINGS, j->mappings[item].file);
		otlp_enter(j, OTLP_ATTRIBUTES, j->mappings[item].build_id);
	} else if (id == OTLP_LOCATIONS) {
		struct otlp_location l = otlp_location(j, item);
		otlp_enter(j, OTLP_MAPPINGS, l.mapping);
		otlp_enter(j, OTLP_FUNCTIONS, l.function);
		otlp_enter(j, OTLP_ATTRIBUTES, l.type);
	} else if (id == OTLP_FUNCTIONS) {
		otlp_enter(j, OTLP_STRINGS, j->base.function[item - 1].name);
		otlp_enter(j, OTLP_STRINGS, j->base.function[item - 1].system_name);
	} else if (id == OTLP_ATTRIBUTES) {
		otlp_enter(j, OTLP_STRINGS, j->attributes[item].key);
		otlp_enter(j, OTLP_STRINGS, j->attributes[item].unit);
	}
}

uint32_t otlp_enter(struct otlp_job *j, enum otlp_table_id id, uint32_t item)
{
	struct otlp_table *t = &j->tables[id];
	otlp_table_room(j, id, item);
	if (j->error || !item || t->at[item])
		return j->error ? 0 : t->at[item];
	enter_parts(j, id, item);
	if (j->error)
		return 0;
	t->at[item] = t->count;
	t->list[t->count++] = item;
	j->body.dictionary += wire_size(j->measure, put_element, &(struct element){j, id, item});
	return t->at[item];
}

void otlp_table_cut(struct otlp_table *t, uint32_t count)
{
	while (t->count > count)
		t->at[t->list[--t->count]] = 0;
}
