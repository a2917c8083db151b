// SPDX-License-Identifier: Apache-2.0
// pprof in: samples and their labels.
#include "import.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

struct sample {
	uint32_t depth; // frames met, also those that the stack has no room for
	uint32_t value_count;
	int64_t values[PROFILE_VALUES_MAX];
	struct profile_subject subject;
	struct profile_label labels[PROFILE_LABELS_MAX];
	uint32_t label_count;
};

static int add_location(struct import_job *j, struct sample *s, uint64_t id)
{
	const struct import_location *l = import_find(&j->locations, id);
	if (!l)
		return import_fail(j, -EBADMSG,
		    "sample %u names location %" PRIu64 ", which is not there", j->next, id);
	const uint32_t *frames = (const uint32_t *)(const void *)j->frames.at + l->first;
	for (uint32_t i = 0; i < l->count; i++, s->depth++)
		if (s->depth < PROFILE_STACK_MAX)
			j->stack[s->depth] = frames[i];
	return 0;
}

static int add_value(struct import_job *j, struct sample *s, uint64_t value)
{
	(void)j;
	if (s->value_count < PROFILE_VALUES_MAX)
		s->values[s->value_count] = (int64_t)value;
	s->value_count++;
	return 0;
}

// A list of numbers is packed or one by one.
static int each_number(struct import_job *j, struct sample *s, const struct wire_field *f,
    int (*each)(struct import_job *j, struct sample *s, uint64_t value))
{
	struct wire_in in = f->bytes;
	uint64_t value;
	int got, error = 0;
	if (f->type == 0)
		return each (j, s, f->value);
	while (!error && (got = wire_next_varint(&in, &value)) == 1)
		error = each (j, s, value);
	if (!error && (got < 0 || f->type != 2))
		return import_fail(j, -EBADMSG, "sample %u is damaged", j->next);
	return error;
}

// The label of a subject that KEY stands for, EXTRA_COUNT: none of them.
static enum pprof_extra_string role_of(const struct import_job *j, uint64_t key)
{
	static const enum pprof_extra_string roles[] = {
	    EXTRA_PID, EXTRA_TID, EXTRA_COMM, EXTRA_PROCESS, EXTRA_CONTAINER};
	const struct import_string *s = &j->strings[key];
	for (size_t i = 0; i < sizeof(roles) / sizeof(*roles); i++) {
		const char *text = pprof_extra[roles[i]];
		if (s->length == strlen(text) && !memcmp(j->raw.at + s->at, text, s->length))
			return roles[i];
	}
	return EXTRA_COUNT;
}

static uint32_t *field_of(struct profile_subject *s, enum pprof_extra_string role)
{
	return role == EXTRA_PID       ? &s->pid
	       : role == EXTRA_TID     ? &s->tid
	       : role == EXTRA_COMM    ? &s->comm
	       : role == EXTRA_PROCESS ? &s->process
				       : &s->container;
}

static int add_label(struct import_job *j, struct sample *s, struct wire_in in)
{
	struct wire_field f;
	uint64_t v[LABEL_NUM_UNIT + 1] = {0};
	int got;
	while ((got = wire_next(&in, &f)) == 1)
		if (f.number <= LABEL_NUM_UNIT && f.type == 0)
			v[f.number] = f.value;
	struct profile_label l = {.num = (int64_t)v[LABEL_NUM]};
	if (got < 0)
		return import_fail(j, got, "a label of sample %u is damaged", j->next);
	if (import_name(j, v[LABEL_KEY], "label", &l.key) ||
	    import_name(j, v[LABEL_STR], "label", &l.str) ||
	    import_name(j, v[LABEL_NUM_UNIT], "label", &l.num_unit))
		return j->error;
	enum pprof_extra_string role = role_of(j, v[LABEL_KEY]);
	if (role != EXTRA_COUNT) {
		bool number = role == EXTRA_PID || role == EXTRA_TID;
		uint32_t *to = field_of(&s->subject, role);
		bool fits =
		    number ? !l.str && !l.num_unit && l.num > 0 && l.num <= UINT32_MAX : l.str;
		if (fits && !*to) {
			*to = number ? (uint32_t)l.num : l.str;
			return 0;
		}
	}
	if (s->label_count == PROFILE_LABELS_MAX)
		return import_fail(
		    j, -EBADMSG, "sample %u has more than %d labels", j->next, PROFILE_LABELS_MAX);
	s->labels[s->label_count++] = l;
	return 0;
}

// What does not fit into memory any more goes to "[lost: store full]", so that totals hold.
static void add(struct import_job *j, struct sample *s)
{
	bool ok = true;
	if (s->depth > PROFILE_STACK_MAX) {
		s->depth = PROFILE_STACK_MAX;
		j->stack[s->depth - 1] = profile_add_mark(j->p, "[truncated: too deep]");
	}
	if (s->label_count) {
		s->subject.labels = profile_add_labels(j->p, s->labels, s->label_count);
		ok = s->subject.labels;
	}
	if (!s->subject.process) // written only where it differs from the thread's name
		s->subject.process = s->subject.comm;
	uint32_t stack = profile_add_stack(j->p, j->stack, s->depth);
	profile_add(j->p, stack, ok ? profile_add_subject(j->p, &s->subject) : 0, s->values);
}

int import_sample(struct import_job *j, struct wire_in in)
{
	struct sample s;
	s.depth = s.value_count = s.label_count = 0;
	s.subject = (struct profile_subject){0};
	struct wire_field f;
	int got, error = 0;
	while (!error && (got = wire_next(&in, &f)) == 1) {
		if (f.number == SAMPLE_LOCATION_ID)
			error = each_number(j, &s, &f, add_location);
		else if (f.number == SAMPLE_VALUE)
			error = each_number(j, &s, &f, add_value);
		else if (f.number == SAMPLE_LABEL && f.type == 2)
			error = add_label(j, &s, f.bytes);
	}
	if (error)
		return error;
	if (got < 0)
		return import_fail(j, got, "sample %u is damaged", j->next);
	if (s.value_count != j->type_count)
		return import_fail(j, -EBADMSG, "sample %u has %u values, not %u", j->next,
		    s.value_count, j->type_count);
	add(j, &s);
	return 0;
}
