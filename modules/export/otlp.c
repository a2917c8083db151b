// SPDX-License-Identifier: Apache-2.0
// OTLP profiles out: ExportProfilesServiceRequest
// (https://github.com/open-telemetry/opentelemetry-proto). No body is ever in memory: which samples
// go into it is found by measuring them and what they add to the dictionary, then it is written,
// with the length of every message known before its first byte.
//
//   look at the profile -> gather -> parts -> dictionary -> close -> forget -> gather ...
#include "otlp.h"

#include <errno.h>
#include <string.h>

#define SCOPE "telegen.profiler"
#define HEAD_MAX 6	// bytes of a message's tag and length
#define WAIT UINT32_MAX // a phase: ask again in another slice

struct sample {
	bool previous;
	uint32_t stack, count, attributes[256]; // indexes
	int64_t value;
};

static uint64_t nth(const void *arg, uint32_t i)
{
	return ((const uint32_t *)arg)[i];
}

static uint64_t only_value(const void *arg, uint32_t i)
{
	(void)i;
	return (uint64_t)((const struct sample *)arg)->value;
}

static void fill_sample(struct wire_out *o, const void *arg)
{
	const struct sample *s = arg;
	wire_varint(o, OTLP_SAMPLE_STACK, s->stack);
	if (s->previous)
		wire_packed(o, OLD_SAMPLE_VALUES, 1, only_value, s);
	wire_packed(o, s->previous ? OLD_SAMPLE_ATTRIBUTES : OTLP_SAMPLE_ATTRIBUTES, s->count, nth,
	    s->attributes);
	if (!s->previous)
		wire_packed(o, OTLP_SAMPLE_VALUES, 1, only_value, s);
}

static void put_sample(struct wire_out *o, const void *arg)
{
	wire_message(o, OTLP_SAMPLES, fill_sample, arg);
}

static void fill_pair(struct wire_out *o, const void *arg)
{
	wire_varint(o, VALUE_TYPE_TYPE, ((const uint32_t *)arg)[0]);
	wire_varint(o, VALUE_TYPE_UNIT, ((const uint32_t *)arg)[1]);
}

// A Profile but for its samples. ARG: the job and the value.
static void put_header(struct wire_out *o, const void *arg)
{
	const struct otlp_job *j = ((const struct otlp_item *)arg)->j;
	const struct otlp_value *v = &j->values[((const struct otlp_item *)arg)->item];
	const struct profile_header *h = profile_header_of(j->r.p);
	const uint32_t *at = j->tables[OTLP_STRINGS].at;
	wire_message(o, OTLP_SAMPLE_TYPE, fill_pair, (uint32_t[]){at[v->type], at[v->unit]});
	wire_fixed64(o, OTLP_TIME, h->time_ns);
	wire_varint(o, OTLP_DURATION, h->duration_ns);
	wire_message(
	    o, OTLP_PERIOD_TYPE, fill_pair, (uint32_t[]){at[v->period_type], at[v->period_unit]});
	wire_varint(o, OTLP_PERIOD, (uint64_t)v->period);
}

static void fill_scope(struct wire_out *o, const void *arg)
{
	const char *version = arg;
	wire_bytes(o, SCOPE_NAME, SCOPE, strlen(SCOPE));
	if (*version)
		wire_bytes(o, SCOPE_VERSION, version, strlen(version));
}

static void put_scope(struct wire_out *o, const void *arg)
{
	const char *version = ((const struct otlp_job *)arg)->r.options.version;
	wire_message(o, SCOPE_PROFILES_SCOPE, fill_scope, version ? version : "");
}

static void fill_attribute(struct wire_out *o, const void *arg)
{
	const struct otlp_item *e = arg;
	const char *key = otlp_string_get(e->j, e->j->attributes[e->item].key);
	wire_bytes(o, KEY_VALUE_KEY, key, strlen(key));
	wire_message(o, KEY_VALUE_VALUE, otlp_fill_value, e);
}

// Receivers differ in how they take references into the dictionary here: all take strings.
static void fill_resource(struct wire_out *o, const void *arg)
{
	const struct otlp_job *j = arg;
	for (uint32_t i = 0; i < j->resource.count; i++)
		wire_message(o, RESOURCE_ATTRIBUTES, fill_attribute,
		    &(struct otlp_item){j, j->resource.ids[i]});
	wire_varint(o, RESOURCE_DROPPED_ATTRIBUTES, j->resource.dropped);
}

static void put_resource(struct wire_out *o, const void *arg)
{
	wire_message(o, RESOURCE_PROFILES_RESOURCE, fill_resource, arg);
}

static uint64_t body_bytes(const struct otlp_job *j)
{
	return j->body.parts + HEAD_MAX + j->body.dictionary;
}

static void open_part(struct otlp_job *j, uint32_t group)
{
	struct otlp_body *b = &j->body;
	if (!otlp_grow(j, &j->parts, &j->part_cap, b->part_count, sizeof(*j->parts)))
		return;
	otlp_resource_attributes(
	    j, profile_subject(j->r.p, j->groups[group].subject), &j->resource);
	j->parts[b->part_count++] =
	    (struct otlp_part){.group = group, .from = j->taken, .to = j->taken};
	b->parts += 2 * HEAD_MAX + wire_size(j->measure, put_resource, j) +
		    wire_size(j->measure, put_scope, j);
}

// The size of value V of the sample that was taken, and of its Profile where it is the first.
static void measure_value(struct otlp_job *j, uint32_t v, const struct sample *s)
{
	struct otlp_part *part = &j->parts[j->body.part_count - 1];
	const struct otlp_value *x = &j->values[v];
	uint64_t before = part->bytes[v];
	if (!before) {
		otlp_enter(j, OTLP_STRINGS, x->type);
		otlp_enter(j, OTLP_STRINGS, x->unit);
		otlp_enter(j, OTLP_STRINGS, x->period_type);
		otlp_enter(j, OTLP_STRINGS, x->period_unit);
		if (j->error)
			return;
		part->bytes[v] = wire_size(j->measure, put_header, &(struct otlp_item){j, v});
		j->body.parts += HEAD_MAX;
	}
	part->bytes[v] += wire_size(j->measure, put_sample, s);
	j->body.parts += part->bytes[v] - before;
}

// The sample of S but for its value; all that it refers to is in the dictionary (ENTER: is put
// there).
static void make_sample(
    struct otlp_job *j, const struct profile_sample *s, bool enter, struct sample *to)
{
	struct otlp_list list;
	otlp_sample_attributes(j, profile_subject(j->r.p, s->subject), &list);
	uint32_t stack = j->stack_of[s->stack];
	to->previous = j->r.options.previous;
	to->stack = enter ? otlp_enter(j, OTLP_STACKS, stack) : j->tables[OTLP_STACKS].at[stack];
	to->count = list.count;
	for (uint32_t i = 0; i < list.count; i++)
		to->attributes[i] = enter ? otlp_enter(j, OTLP_ATTRIBUTES, list.ids[i])
					  : j->tables[OTLP_ATTRIBUTES].at[list.ids[i]];
}

static void begin_sample(struct otlp_job *j)
{
	struct otlp_body *b = &j->body;
	for (enum otlp_table_id id = OTLP_MAPPINGS; id < OTLP_TABLES; id++)
		b->counts[id] = j->tables[id].count;
	if (b->part_count)
		b->part = j->parts[b->part_count - 1];
	j->before = *b;
	j->frame = 0;
	j->taking = true;
	const struct profile_sample *s = profile_sample(j->r.p, j->order[j->taken]);
	uint32_t group = j->group_of[s->subject];
	if (!b->part_count || b->part.group != group)
		open_part(j, group);
}

static void take_back(struct otlp_job *j)
{
	j->body = j->before;
	for (enum otlp_table_id id = OTLP_MAPPINGS; id < OTLP_TABLES; id++)
		otlp_table_cut(&j->tables[id], j->body.counts[id]);
	if (j->body.part_count)
		j->parts[j->body.part_count - 1] = j->body.part;
	j->taking = false;
}

// Takes the next sample into the body, or some of the frames of its stack. 0: the body is full.
static uint32_t gather(struct otlp_job *j)
{
	enum { FRAMES = 64 };
	if (j->taken == j->order_count)
		return 0;
	if (!j->taking)
		begin_sample(j);
	const struct profile_sample *s = profile_sample(j->r.p, j->order[j->taken]);
	uint32_t count, from = j->frame, stack = j->stack_of[s->stack];
	const uint32_t *frames = profile_stack(j->r.p, stack, &count);
	if (j->tables[OTLP_STACKS].at[stack])
		count = 0;
	for (; !j->error && j->frame < count && j->frame - from < FRAMES; j->frame++)
		otlp_enter(j, OTLP_LOCATIONS, j->location_of[frames[j->frame]]);
	bool fits = body_bytes(j) < j->r.options.bytes_max;
	if (j->error || (fits && j->frame < count))
		return 8 + 8 * (j->frame - from);
	uint64_t weight;
	const int64_t *values = otlp_sample_values(j, s, &weight);
	struct sample sample;
	if (fits)
		make_sample(j, s, true, &sample);
	for (uint32_t v = 0; fits && v < profile_header_of(j->r.p)->value_count; v++) {
		if (j->error || !j->values[v].sent || !values[v])
			continue;
		sample.value = values[v];
		measure_value(j, v, &sample);
	}
	if (j->error)
		return 1;
	fits = fits && body_bytes(j) < j->r.options.bytes_max;
	if (!fits) {
		take_back(j);
		if (j->body.part_count)
			return 0;
		j->r.left_out += weight; // too large for any
		j->taken++;
		return 16;
	}
	j->taking = false;
	j->body.samples += weight;
	j->parts[j->body.part_count - 1].to = ++j->taken;
	return 16 + 8 * (j->frame - from);
}

static uint32_t open_body(struct otlp_job *j)
{
	if (!j->body.part_count || j->next++)
		return 0;
	j->error = request_open(&j->r);
	j->r.facts.samples = j->body.samples;
	return 1;
}

// The head of a part, up to its first Profile.
static void put_part(struct otlp_job *j, const struct otlp_part *part)
{
	struct wire_out *o = j->r.out;
	otlp_resource_attributes(
	    j, profile_subject(j->r.p, j->groups[part->group].subject), &j->resource);
	if (j->error)
		return;
	uint64_t scope = wire_size(o, put_scope, j);
	for (uint32_t v = 0; v < PROFILE_VALUES_MAX; v++)
		if (part->bytes[v])
			scope += wire_message_size(SCOPE_PROFILES_PROFILES, part->bytes[v]);
	wire_head(o, REQUEST_RESOURCE_PROFILES,
	    wire_size(o, put_resource, j) +
		wire_message_size(RESOURCE_PROFILES_SCOPE_PROFILES, scope));
	put_resource(o, j);
	wire_head(o, RESOURCE_PROFILES_SCOPE_PROFILES, scope);
	put_scope(o, j);
}

// Sample NEXT of `order` in the Profile of `value`.
static void put_next_sample(struct otlp_job *j)
{
	const struct profile_sample *s = profile_sample(j->r.p, j->order[j->next++]);
	uint64_t weight;
	const int64_t *values = otlp_sample_values(j, s, &weight);
	if (!values[j->value])
		return;
	struct sample sample;
	make_sample(j, s, false, &sample);
	sample.value = values[j->value];
	put_sample(j->r.out, &sample);
}

static uint32_t put_parts(struct otlp_job *j)
{
	if (j->part == j->body.part_count)
		return 0;
	const struct otlp_part *part = &j->parts[j->part];
	if (j->place == IN_BODY) {
		put_part(j, part);
		j->value = 0;
		j->place = IN_PART;
		return 32;
	}
	if (j->place == IN_PROFILE && j->next < part->to) {
		put_next_sample(j);
		return 8;
	}
	if (j->place == IN_PROFILE)
		j->value++;
	while (j->value < PROFILE_VALUES_MAX && !part->bytes[j->value])
		j->value++;
	if (j->value == PROFILE_VALUES_MAX) {
		j->part++;
		j->place = IN_BODY;
		return 1;
	}
	wire_head(j->r.out, SCOPE_PROFILES_PROFILES, part->bytes[j->value]);
	put_header(j->r.out, &(struct otlp_item){j, j->value});
	j->next = part->from;
	j->place = IN_PROFILE;
	return 8;
}

static uint32_t put_dictionary_head(struct otlp_job *j)
{
	if (j->body.part_count)
		wire_head(j->r.out, REQUEST_DICTIONARY, j->body.dictionary);
	j->part = OTLP_MAPPINGS;
	return 0;
}

// Element NEXT of table `part`.
static uint32_t put_dictionary(struct otlp_job *j)
{
	if (!j->body.part_count)
		return 0;
	while (j->part < OTLP_TABLES && j->next == j->tables[j->part].count) {
		j->part++;
		j->next = 0;
	}
	if (j->part == OTLP_TABLES)
		return 0;
	uint32_t item = j->tables[j->part].list[j->next++], depth = 0;
	otlp_put_element(j->r.out, j, j->part, item);
	if (j->part == OTLP_STACKS)
		profile_stack(j->r.p, item, &depth);
	return 4 + depth / 2;
}

// Asked again in another slice until the body is where it goes.
static uint32_t close_body(struct otlp_job *j)
{
	int more = j->r.open ? request_close(&j->r) : 0;
	if (more < 0)
		j->error = more;
	return more == 1 ? WAIT : 0;
}

static uint32_t forget_body(struct otlp_job *j)
{
	enum { ITEMS = 256 };
	for (enum otlp_table_id id = OTLP_MAPPINGS; id < OTLP_TABLES; id++) {
		struct otlp_table *t = &j->tables[id];
		if (t->count > 1) {
			otlp_table_cut(t, t->count > ITEMS ? t->count - ITEMS : 1);
			return 32;
		}
	}
	j->body = (struct otlp_body){.dictionary = 2 * (OTLP_TABLES - 1)};
	j->part = 0;
	j->place = IN_BODY;
	return 0;
}

static uint32_t (*const phases[])(struct otlp_job *) = {
    otlp_look_frames,
    otlp_look_functions,
    otlp_look_mappings,
    otlp_look_locations,
    otlp_look_stacks,
    otlp_look_subjects,
    otlp_join_samples,
    otlp_count_samples,
    otlp_order_samples,
    forget_body, // of each body from here on
    gather,
    open_body,
    put_parts,
    put_dictionary_head,
    put_dictionary,
    close_body,
};
enum { FIRST_OF_BODY = 9, PHASES = sizeof(phases) / sizeof(*phases) };

static int step(struct requests *r, struct slice *slice)
{
	struct otlp_job *j = (struct otlp_job *)r;
	while (j->phase < PHASES) {
		uint32_t work = phases[j->phase](j);
		if (!j->error && r->out)
			j->error = wire_out_error(r->out);
		if (j->error)
			return j->error;
		if (!work) {
			j->next = 0;
			if (++j->phase == PHASES && j->taken < j->order_count)
				j->phase = FIRST_OF_BODY;
		} else if (work == WAIT || slice_over(slice, work)) {
			return 1;
		}
	}
	return 0;
}

// ITEMS of SIZE, and one more.
static void *items(struct otlp_job *j, uint32_t count, size_t size)
{
	void *p = mem_alloc(ACCOUNT_EXPORT, (count + 1ull) * size);
	if (!p)
		j->error = -ENOMEM;
	return p;
}

static void make_tables(struct otlp_job *j)
{
	const struct profile *p = j->r.p;
	uint32_t frames = profile_frame_count(p), stacks = profile_stack_count(p);
	j->mappings = items(j, j->base.jit_mapping, sizeof(*j->mappings));
	j->location_of = items(j, frames, sizeof(*j->location_of));
	j->stack_of = items(j, stacks, sizeof(*j->stack_of));
	j->group_of = items(j, profile_subject_count(p), sizeof(*j->group_of));
	j->order = items(j, profile_sample_count(p), sizeof(*j->order));
	const uint32_t room[OTLP_TABLES] = {[OTLP_MAPPINGS] = j->base.jit_mapping,
	    [OTLP_LOCATIONS] = frames,
	    [OTLP_STRINGS] = j->names,
	    [OTLP_STACKS] = stacks};
	for (enum otlp_table_id id = OTLP_MAPPINGS; id < OTLP_TABLES; id++) {
		otlp_table_room(j, id, room[id]);
		j->tables[id].count = 1; // the empty one
	}
}

static int start(struct requests *r)
{
	static const char *const words[WORD_COUNT] = {
#define X(id, s) [WORD_##id] = s,
	    OTLP_WORDS(X)
#undef X
	};
	struct otlp_job *j = (struct otlp_job *)r;
	memset(&j->base, 0, sizeof(*j) - offsetof(struct otlp_job, base));
	j->base.job.p = r->p;
	j->names = profile_name_count(r->p);
	j->seed = hash_mix(clock_wall() ^ clock_now() ^ (uintptr_t)j);
	j->seen = j->shared = j->twin_ids = j->mended = j->attribute_ids = MAP(ACCOUNT_EXPORT);
	j->text = TEXT(ACCOUNT_EXPORT);
	j->error = pprof_tables_new(&j->base);
	if (!j->error && !(j->more = names_new(ACCOUNT_EXPORT)))
		j->error = -ENOMEM;
	j->measure = wire_out_new(&(struct wire_sink){0});
	if (!j->measure)
		j->error = -ENOMEM;
	if (j->error)
		return j->error;
	make_tables(j);
	if (j->error)
		return j->error;
	for (uint32_t i = 0; i < WORD_COUNT; i++)
		j->words[i] = otlp_text(j, words[i]);
	// What runs JIT code is not known; a mark is no code.
	for (enum frame_kind kind = FRAME_NATIVE; kind <= FRAME_KERNEL; kind++)
		j->frame_types[kind] = otlp_attribute(
		    j, &(struct otlp_attribute){.key = j->words[WORD_FRAME_TYPE],
			   .str = j->words[kind == FRAME_KERNEL ? WORD_KERNEL : WORD_NATIVE]});
	otlp_choose_values(j);
	return j->error;
}

static void stop(struct requests *r)
{
	struct otlp_job *j = (struct otlp_job *)r;
	struct map *maps[] = {&j->seen, &j->shared, &j->twin_ids, &j->mended, &j->attribute_ids};
	void *const blocks[] = {j->mappings, j->location_of, j->stack_of, j->twins, j->groups,
	    j->group_of, j->order, j->attributes, j->parts};
	pprof_tables_free(&j->base);
	wire_out_free(j->measure);
	names_free(j->more);
	text_free(&j->text);
	for (size_t i = 0; i < sizeof(maps) / sizeof(*maps); i++)
		map_clear(maps[i]);
	for (size_t i = 0; i < sizeof(blocks) / sizeof(*blocks); i++)
		mem_free(blocks[i]);
	for (enum otlp_table_id id = OTLP_MAPPINGS; id < OTLP_TABLES; id++) {
		mem_free(j->tables[id].at);
		mem_free(j->tables[id].list);
	}
}

const struct request_encoder otlp_requests = {
    .size = sizeof(struct otlp_job),
    .content_type = "application/x-protobuf",
    .start = start,
    .step = step,
    .stop = stop,
};
