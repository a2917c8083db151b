// SPDX-License-Identifier: Apache-2.0
// pprof in: strings, mappings, functions and locations.
#include "import.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

// The fields of IN that are numbers, by field number below N (the last one of a kind counts).
static int numbers(
    struct import_job *j, struct wire_in in, const char *what, uint64_t *values, uint32_t n)
{
	struct wire_field f;
	int got;
	memset(values, 0, n * sizeof(*values));
	while ((got = wire_next(&in, &f)) == 1)
		if (f.number < n && f.type == 0)
			values[f.number] = f.value;
	return got ? import_fail(j, got, "a %s is damaged", what) : 0;
}

static void *next_item(struct import_items *t, uint64_t id)
{
	char *item = (char *)t->items + (size_t)t->filled * t->size;
	if (t->filled && *(uint64_t *)(item - t->size) >= id)
		t->unsorted = true;
	t->filled++;
	*(uint64_t *)item = id;
	return item;
}

// A mapping or location is read once everything that it names is known.
static int keep_span(struct import_job *j, const struct wire_in *in, struct import_items *t)
{
	_Static_assert(MAPPING_ID == 1 && LOCATION_ID == 1, "both begin with their id");
	uint64_t v[2];
	int error = numbers(j, *in, t->what, v, 2);
	if (error)
		return error;
	struct import_span *span = next_item(t, v[1]);
	span->at = (uint32_t)(in->at - (const uint8_t *)j->raw.at);
	span->length = (uint32_t)(in->end - in->at);
	return 0;
}

static int keep_function(struct import_job *j, const struct wire_in *in)
{
	uint64_t v[FUNCTION_SYSTEM_NAME + 1];
	int error = numbers(j, *in, "function", v, FUNCTION_SYSTEM_NAME + 1);
	if (error)
		return error;
	if (v[FUNCTION_NAME] >= j->string_count || v[FUNCTION_SYSTEM_NAME] >= j->string_count)
		return import_fail(j, -EBADMSG,
		    "function %" PRIu64 " names a string that is not there", v[FUNCTION_ID]);
	struct import_function *f = next_item(&j->functions, v[FUNCTION_ID]);
	f->name = (uint32_t)(v[FUNCTION_NAME] ? v[FUNCTION_NAME] : v[FUNCTION_SYSTEM_NAME]);
	f->system_name = f->name == v[FUNCTION_SYSTEM_NAME] ? 0 : (uint32_t)v[FUNCTION_SYSTEM_NAME];
	return 0;
}

static int keep_string(struct import_job *j, const struct wire_in *in)
{
	uint32_t length = (uint32_t)(in->end - in->at);
	if (!j->strings_filled && length)
		return import_fail(j, -EBADMSG, "its first string is not empty");
	j->strings[j->strings_filled++] =
	    (struct import_string){(uint32_t)(in->at - (const uint8_t *)j->raw.at), length, 0};
	return 0;
}

static int keep_type(struct import_job *j, const struct wire_in *in)
{
	if (j->type_count == PROFILE_VALUES_MAX)
		return import_fail(j, -EBADMSG,
		    "it has more than %d sample types, which is all that can be read",
		    PROFILE_VALUES_MAX);
	j->types[j->type_count++] = *in;
	return 0;
}

// The first of the comments, which is one number or a packed list of them.
static void keep_comment(struct import_job *j, const struct wire_field *f)
{
	struct wire_in in = f->bytes;
	if (!j->comment && f->type == 0)
		j->comment = f->value;
	else if (!j->comment && f->type == 2 && wire_next_varint(&in, &j->comment) != 1)
		j->comment = 0;
}

int import_keep(struct import_job *j, const struct wire_field *f)
{
	const struct wire_in *in = &f->bytes;
	switch (f->number) {
	case PROFILE_SAMPLE_TYPE:
		return keep_type(j, in);
	case PROFILE_MAPPING:
		return keep_span(j, in, &j->mappings);
	case PROFILE_LOCATION:
		return keep_span(j, in, &j->locations);
	case PROFILE_FUNCTION:
		return keep_function(j, in);
	case PROFILE_STRING_TABLE:
		return keep_string(j, in);
	case PROFILE_TIME_NANOS:
		if (j->time)
			return import_fail(j, -EBADMSG, "it is two profiles, one behind the other");
		j->time = f->value;
		return 0;
	case PROFILE_DURATION_NANOS:
		j->duration = f->value;
		return 0;
	case PROFILE_PERIOD_TYPE:
		j->period_type = *in;
		return 0;
	case PROFILE_PERIOD:
		j->period = f->value;
		return 0;
	case PROFILE_COMMENT:
		keep_comment(j, f);
		return 0;
	case PROFILE_DEFAULT_SAMPLE_TYPE:
		j->default_type = f->value;
		return 0;
	default: // regular expressions and an address for humans: nothing that samples depend on
		return 0;
	}
}

// A string of the file as text of its own, for profile_new: it must not be moved by later names.
static int string_copy(struct import_job *j, uint64_t index, char *to, size_t size)
{
	if (index >= j->string_count)
		return import_fail(j, -EBADMSG,
		    "a sample type names string %" PRIu64 ", which is not there", index);
	const struct import_string *s = &j->strings[index];
	size_t n = s->length < size ? s->length : size - 1;
	memcpy(to, j->raw.at + s->at, n);
	to[n] = 0;
	return 0;
}

static int value_type(
    struct import_job *j, struct wire_in in, char text[2][128], struct profile_unit *unit)
{
	uint64_t v[VALUE_TYPE_UNIT + 1];
	if (numbers(j, in, "sample type", v, VALUE_TYPE_UNIT + 1) ||
	    string_copy(j, v[VALUE_TYPE_TYPE], text[0], sizeof(text[0])) ||
	    string_copy(j, v[VALUE_TYPE_UNIT], text[1], sizeof(text[1])))
		return j->error;
	*unit = (struct profile_unit){text[0], text[1]};
	return 0;
}

int import_start_profile(struct import_job *j)
{
	char text[PROFILE_VALUES_MAX + 1][2][128], shown[128];
	struct profile_type type = {.value_count = j->type_count};
	if (!j->type_count)
		return import_fail(j, -EBADMSG, "it has no sample types");
	for (uint32_t i = 0; i < j->type_count; i++)
		if (value_type(j, j->types[i], text[i], &type.values[i]))
			return j->error;
	if (value_type(j, j->period_type, text[PROFILE_VALUES_MAX], &type.period) ||
	    string_copy(j, j->default_type, shown, sizeof(shown)))
		return j->error;
	type.default_value = j->type_count - 1; // the format's rule where no default is given
	for (uint32_t i = 0; i < j->type_count; i++)
		if (*shown && !strcmp(shown, type.values[i].type))
			type.default_value = i;
	j->p = profile_new(j->account, &type);
	if (!j->p)
		return import_fail(j, -ENOMEM, "%s", "");
	struct profile_header *h = profile_header(j->p);
	h->type = profile_type_match(type.values, type.value_count);
	h->time_ns = j->time;
	h->duration_ns = j->duration;
	h->period = (int64_t)j->period;
	return import_name(j, j->comment, "comment", &h->comments);
}

// By the conventions of perf and of our own writer.
static enum frame_kind kind_of_file(const char *file)
{
	const char *slash = strrchr(file, '/'), *base = slash ? slash + 1 : file;
	size_t n = strlen(base);
	if (!strncmp(base, "[kernel", 7) || !strncmp(base, "vmlinux", 7) ||
	    (n > 3 && !strcmp(base + n - 3, ".ko")) || strstr(base, ".ko."))
		return FRAME_KERNEL;
	if (!strcmp(file, pprof_extra[EXTRA_JIT]) || !strncmp(file, "/tmp/perf-", 10) ||
	    !strncmp(file, "[memfd:", 7))
		return FRAME_JIT;
	return FRAME_NATIVE;
}

int import_mapping(struct import_job *j, uint32_t i)
{
	struct import_mapping *item = (struct import_mapping *)j->mappings.items + i;
	uint64_t v[MAPPING_BUILD_ID + 1];
	if (numbers(j, import_raw(j, item->span.at, item->span.length), "mapping", v,
		MAPPING_BUILD_ID + 1))
		return j->error;
	struct profile_mapping m = {.start = v[MAPPING_MEMORY_START],
	    .limit = v[MAPPING_MEMORY_LIMIT],
	    .offset = v[MAPPING_FILE_OFFSET]};
	if (import_name(j, v[MAPPING_FILENAME], "mapping", &m.file) ||
	    import_name(j, v[MAPPING_BUILD_ID], "mapping", &m.build_id))
		return j->error;
	const char *file = profile_name(j->p, m.file);
	item->kind = kind_of_file(file);
	if (pprof_made_up(file, m.start, m.limit))
		return 0;
	item->mapping = profile_add_mapping(j->p, &m);
	return item->mapping ? 0 : import_fail(j, -ENOMEM, "%s", "");
}

static int add_frame(struct import_job *j, struct import_location *l, const struct profile_frame *f)
{
	uint32_t id = profile_add_frame(j->p, f);
	if (!id || text_add(&j->frames, &id, sizeof(id)))
		return import_fail(j, -ENOMEM, "%s", "");
	l->count++;
	return 0;
}

// Each line of a location is a function inlined into the next one: a frame of its own.
static int add_line(
    struct import_job *j, struct import_location *l, struct profile_frame f, struct wire_in line)
{
	uint64_t v[LINE_FUNCTION_ID + 1];
	if (numbers(j, line, "line", v, LINE_FUNCTION_ID + 1))
		return j->error;
	const struct import_function *function = import_find(&j->functions, v[LINE_FUNCTION_ID]);
	if (!function)
		return import_fail(j, -EBADMSG,
		    "location %" PRIu64 " names function %" PRIu64 ", which is not there",
		    l->span.id, v[LINE_FUNCTION_ID]);
	if (import_name(j, function->name, "function", &f.name) ||
	    import_name(j, function->system_name, "function", &f.system_name))
		return j->error;
	if (!f.address && !f.mapping && *profile_name(j->p, f.name) == '[')
		f.kind = FRAME_MARK;
	return add_frame(j, l, &f);
}

int import_location(struct import_job *j, uint32_t i)
{
	struct import_location *l = (struct import_location *)j->locations.items + i;
	struct wire_in in = import_raw(j, l->span.at, l->span.length);
	uint64_t v[LOCATION_ADDRESS + 1];
	if (numbers(j, in, "location", v, LOCATION_ADDRESS + 1))
		return j->error;
	struct profile_frame f = {.address = v[LOCATION_ADDRESS]};
	if (v[LOCATION_MAPPING_ID]) {
		const struct import_mapping *m = import_find(&j->mappings, v[LOCATION_MAPPING_ID]);
		if (!m)
			return import_fail(j, -EBADMSG,
			    "location %" PRIu64 " names mapping %" PRIu64 ", which is not there",
			    l->span.id, v[LOCATION_MAPPING_ID]);
		f.mapping = m->mapping;
		f.kind = m->kind;
	}
	l->first = (uint32_t)(j->frames.len / sizeof(uint32_t));
	struct wire_field field;
	while (wire_next(&in, &field) == 1)
		if (field.number == LOCATION_LINE && field.type == 2 &&
		    add_line(j, l, f, field.bytes))
			return j->error;
	return l->count ? 0 : add_frame(j, l, &f);
}
