// SPDX-License-Identifier: Apache-2.0
// The encoder of OTLP profiles; private to this room.
//
//   profile   -> bodies, one after the other
//   body       = part, part, ... dictionary (rebuilt for what the parts refer to)
//   part       = the samples of one resource: ResourceProfiles { resource, ScopeProfiles { Profile of each value } }
//   dictionary = tables of what differs; element 0 of each is empty and means "not set"
#pragma once
#include "otlp_items.h"
#include "requests.h"

struct otlp_job {
	struct requests r;
	// From here on all is of one profile.
	struct pprof_job base; // functions, and the mappings of frames, as the pprof writer has them
	int error;
	uint32_t phase, next; // what is being done, its next item
	uint64_t seed;
	struct wire_out *measure; // measures only
	struct map seen;	  // hash -> first item like that
	struct otlp_mapping *mappings; // as in `base`
	uint32_t *location_of, *stack_of; // frame, stack -> the first that is written alike
	struct map shared; // stacks that others are alike
	uint32_t frame_types[FRAME_MARK + 1]; // attributes
	struct map twin_ids; // stack << 32 | subject -> twin + 1
	struct otlp_twin *twins;
	uint32_t twin_count, twin_cap;
	struct otlp_group *groups;
	uint32_t group_count, group_cap;
	uint32_t *group_of; // subject -> group
	uint32_t *order;    // samples, by group
	uint32_t order_count;
	uint32_t names;	    // of the profile
	struct names *more; // strings that are no names of the profile
	struct map mended;  // names that are not UTF-8 -> strings
	struct text text;
	uint32_t words[WORD_COUNT]; // strings
	struct otlp_value values[PROFILE_VALUES_MAX];
	struct otlp_attribute *attributes; // [1..]
	uint32_t attribute_count, attribute_cap;
	struct map attribute_ids;
	// The body that is being made.
	struct otlp_table tables[OTLP_TABLES];
	struct otlp_part *parts;
	uint32_t part_cap;
	struct otlp_body body, before; // before the sample that is being taken
	struct otlp_list resource;     // of the last part
	uint32_t taken;		       // of `order`, by this body and those before it
	uint32_t frame;		       // of the stack of the sample that is being taken
	bool taking;
	enum otlp_place { IN_BODY, IN_PART, IN_PROFILE } place; // of what is written next
	uint32_t part, value; // that are being written
};

// Strings: 0 is "", and what found no memory (then `error` is set).
uint32_t otlp_string(struct otlp_job *j, uint32_t name);
uint32_t otlp_text(struct otlp_job *j, const char *s);
const char *otlp_string_get(const struct otlp_job *j, uint32_t string);
uint32_t otlp_attribute(struct otlp_job *j, const struct otlp_attribute *a);
// ITEM of a table: room for it and all before it; its index, put into the dictionary where it is not there yet.
void otlp_table_room(struct otlp_job *j, enum otlp_table_id id, uint32_t item);
uint32_t otlp_enter(struct otlp_job *j, enum otlp_table_id id, uint32_t item);
void otlp_table_cut(struct otlp_table *t, uint32_t count);
void otlp_put_element(struct wire_out *o, const struct otlp_job *j, enum otlp_table_id id, uint32_t item);
// The AnyValue of an attribute.
struct otlp_item {
	const struct otlp_job *j;
	uint32_t item;
};
void otlp_fill_value(struct wire_out *o, const void *item);
// The first item that SAME calls equal to ITEM, which is remembered where it is the first; 0: no memory.
uint32_t otlp_first_like(struct otlp_job *j, struct map *seen, uint64_t hash, uint32_t item,
    bool (*same)(const struct otlp_job *j, uint32_t a, uint32_t b));
// As export_grow, with `error`.
bool otlp_grow(struct otlp_job *j, void *items, uint32_t *cap, uint32_t count, size_t size);

// The phases before the first body: each looks at one item, NEXT, and says what work that was; 0: there was none left.
uint32_t otlp_look_frames(struct otlp_job *j);
uint32_t otlp_look_functions(struct otlp_job *j);
uint32_t otlp_look_mappings(struct otlp_job *j);
uint32_t otlp_look_locations(struct otlp_job *j);
uint32_t otlp_look_stacks(struct otlp_job *j);
uint32_t otlp_look_subjects(struct otlp_job *j);
uint32_t otlp_join_samples(struct otlp_job *j);
uint32_t otlp_count_samples(struct otlp_job *j);
uint32_t otlp_order_samples(struct otlp_job *j);
struct otlp_location otlp_location(const struct otlp_job *j, uint32_t frame);
static inline uint32_t otlp_process_name(const struct profile_subject *s)
{
	return s->process ? s->process : s->comm;
}
// The values and the weight of S and all that are one with it.
const int64_t *otlp_sample_values(const struct otlp_job *j, const struct profile_sample *s, uint64_t *weight);

void otlp_choose_values(struct otlp_job *j); // fills `values`
void otlp_sample_attributes(struct otlp_job *j, const struct profile_subject *s, struct otlp_list *list);
void otlp_resource_attributes(struct otlp_job *j, const struct profile_subject *s, struct otlp_list *list);
uint32_t otlp_build_id(struct otlp_job *j, uint32_t name); // attribute, 0: none
