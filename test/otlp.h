// SPDX-License-Identifier: Apache-2.0
// Reads bodies of OTLP profiles as strictly as the strictest receiver: every rule that one of them
// has is checked, every index followed. What it says of the samples is a line each.
#pragma once
#include "profiles.h"

#define MUST_OTLP(condition)                                                                       \
	do {                                                                                       \
		if (!(condition)) {                                                                \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);            \
			abort();                                                                   \
		}                                                                                  \
	} while (0)

struct otlp_reader {
	bool previous; // field numbers of 1.9
	bool brief;    // no lines: they can be long
	struct otlp_reader_table {
		struct wire_in *at;
		bool *used;
		uint32_t count;
	} tables[8];
	// What was read, of all bodies:
	struct text lines; // KEY \t VALUE \n
	int64_t totals[4]; // of samples/count, off_cpu, other counts, others
	uint32_t resources, profiles, samples, bodies;
	char *resource; // of the part that is read
};

static inline void otlp_print(struct text *t, struct wire_in s)
{
	text_add(t, s.at, (size_t)(s.end - s.at));
}

static inline uint32_t otlp_use(struct otlp_reader *r, uint32_t table, uint64_t index)
{
	MUST_OTLP(index < r->tables[table].count);
	r->tables[table].used[index] = true;
	return (uint32_t)index;
}
static inline struct wire_in otlp_item(struct otlp_reader *r, uint32_t table, uint64_t index)
{
	return r->tables[table].at[otlp_use(r, table, index)];
}

// The fields of a message: the numbers, and the last of each that is bytes. WHICH: the allowed
// ones.
struct otlp_fields {
	uint64_t number[12];
	struct wire_in bytes[12];
	uint32_t seen[12];
};
static inline struct otlp_fields otlp_fields(struct wire_in in, const char *which)
{
	struct otlp_fields f = {0};
	struct wire_field x;
	int got;
	for (uint32_t n = 0; (got = wire_next(&in, &x)) == 1; f.seen[n]++) {
		n = x.number;
		MUST_OTLP(n < 12 && n <= strlen(which) && which[n - 1] != '.');
		MUST_OTLP(x.type == (which[n - 1] == 'v' ? 0 : which[n - 1] == 'f' ? 1 : 2));
		MUST_OTLP(which[n - 1] == 'R' || !f.seen[n]);
		f.number[n] = x.value;
		f.bytes[n] = x.bytes;
	}
	MUST_OTLP(!got);
	return f;
}

static inline int otlp_compare(const void *a, const void *b)
{
	const struct wire_in *x = a, *y = b;
	size_t n = (size_t)(x->end - x->at), m = (size_t)(y->end - y->at);
	int order = memcmp(x->at, y->at, n < m ? n : m);
	return order ? order : n < m ? -1 : n > m;
}
static inline void otlp_must_differ(const struct wire_in *all, uint32_t count)
{
	struct wire_in *sorted = calloc(count + 1, sizeof(*sorted));
	memcpy(sorted, all, count * sizeof(*all));
	qsort(sorted, count, sizeof(*sorted), otlp_compare);
	for (uint32_t i = 1; i < count; i++)
		MUST_OTLP(otlp_compare(&sorted[i - 1], &sorted[i]));
	free(sorted);
}

static inline void otlp_any(struct text *t, struct wire_in in)
{
	struct otlp_fields f = otlp_fields(in, "B.v");
	MUST_OTLP(f.seen[1] + f.seen[3] == 1);
	if (f.seen[1])
		otlp_print(t, f.bytes[1]);
	else
		text_printf(t, "#%" PRId64, (int64_t)f.number[3]);
}

// A packed list of attributes: " key=value" each.
static inline void read_otlp_attributes(struct otlp_reader *r, struct text *t, struct wire_in list)
{
	struct wire_in keys[256];
	uint64_t index;
	uint32_t count = 0;
	while (wire_next_varint(&list, &index) == 1) {
		MUST_OTLP(index && count < 256);
		struct otlp_fields f = otlp_fields(otlp_item(r, 6, index), "vBv");
		keys[count++] = otlp_item(r, 5, f.number[1]);
		MUST_OTLP(f.number[1] && f.seen[2]);
		text_puts(t, " ");
		otlp_print(t, keys[count - 1]);
		text_puts(t, "=");
		otlp_any(t, f.bytes[2]);
		otlp_print(t, otlp_item(r, 5, f.number[3]));
	}
	otlp_must_differ(keys, count);
}

static inline void read_otlp_location(struct otlp_reader *r, struct text *t, uint64_t index)
{
	struct otlp_fields l = otlp_fields(otlp_item(r, 2, index), "vvBB");
	text_puts(t, "|");
	if (l.seen[3]) {
		struct otlp_fields line = otlp_fields(l.bytes[3], "v");
		MUST_OTLP(line.number[1]);
		struct otlp_fields f = otlp_fields(otlp_item(r, 3, line.number[1]), "vv");
		otlp_print(t, otlp_item(r, 5, f.number[1]));
		text_puts(t, " ");
		otlp_print(t, otlp_item(r, 5, f.number[2]));
	} else {
		text_puts(t, " ");
	}
	read_otlp_attributes(r, t, l.bytes[4]);
	text_printf(t, " %" PRIx64, l.number[2]);
	struct otlp_fields m = otlp_fields(otlp_item(r, 1, l.number[1]), "vvvvB");
	if (l.number[1]) {
		MUST_OTLP(m.number[1] <= l.number[2] && m.number[1] < m.number[2]);
		MUST_OTLP(l.number[2] < m.number[2] || l.number[2] == UINT64_MAX);
	}
	text_puts(t, " ");
	otlp_print(t, otlp_item(r, 5, m.number[4]));
	read_otlp_attributes(r, t, m.bytes[5]);
}

static inline struct wire_in otlp_sample(
    struct otlp_reader *r, const char *type, struct wire_in in, int64_t *total)
{
	struct otlp_fields s = otlp_fields(in, r->previous ? "vBB" : "vB.B");
	struct wire_in values = s.bytes[r->previous ? 2 : 4], stack = {0};
	uint64_t value, more;
	size_t before = r->lines.len;
	MUST_OTLP(wire_next_varint(&values, &value) == 1 && value);
	MUST_OTLP(wire_next_varint(&values, &more) == 0);
	text_printf(&r->lines, "%s %s", type, r->resource);
	read_otlp_attributes(r, &r->lines, s.bytes[r->previous ? 3 : 2]);
	if (otlp_use(r, 7, s.number[1]))
		stack = otlp_fields(otlp_item(r, 7, s.number[1]), "B").bytes[1];
	while (wire_next_varint(&stack, &more) == 1)
		read_otlp_location(r, &r->lines, more);
	struct wire_in key = {(void *)before, (void *)r->lines.len}; // offsets: it moves
	text_printf(&r->lines, "\t%" PRId64 "\n", (int64_t)value);
	*total = (int64_t)((uint64_t)*total + value);
	r->samples++;
	return key;
}

static inline void otlp_type(struct otlp_reader *r, struct text *t, struct wire_in in)
{
	struct otlp_fields f = otlp_fields(in, "vv");
	otlp_print(t, otlp_item(r, 5, f.number[1]));
	text_puts(t, "/");
	otlp_print(t, otlp_item(r, 5, f.number[2]));
}

static inline void otlp_profile(struct otlp_reader *r, struct wire_in in)
{
	struct otlp_fields p = otlp_fields(in, "BRfvBv");
	struct text type = TEXT(ACCOUNT_BASE);
	struct wire_field f;
	MUST_OTLP(p.seen[1] && p.seen[2] && p.seen[5]);
	otlp_type(r, &type, p.bytes[1]);
	uint32_t kind = !strcmp(type.at, "samples/count")	  ? 0
			: !strcmp(type.at, "off_cpu/nanoseconds") ? 1
			: strstr(type.at, "/count")		  ? 2
								  : 3;
	text_puts(&type, ":");
	otlp_type(r, &type, p.bytes[5]);
	MUST_OTLP(kind != 1 || !p.number[6] || strcmp(type.at, "off_cpu/nanoseconds:/"));
	struct wire_in *keys = calloc(p.seen[2], sizeof(*keys));
	uint32_t count = 0;
	while (wire_next(&in, &f) == 1)
		if (f.number == 2)
			keys[count++] = otlp_sample(r, type.at, f.bytes, &r->totals[kind]);
	for (uint32_t i = 0; !r->brief && i < count; i++) {
		keys[i].at = (uint8_t *)r->lines.at + (size_t)keys[i].at;
		keys[i].end = (uint8_t *)r->lines.at + (size_t)keys[i].end;
	}
	if (!r->brief)
		otlp_must_differ(keys, count);
	free(keys);
	text_free(&type);
	r->profiles++;
}

static inline void otlp_part(struct otlp_reader *r, struct wire_in in)
{
	struct otlp_fields part = otlp_fields(in, "BB");
	struct text t = TEXT(ACCOUNT_BASE);
	struct wire_in keys[300], at = part.bytes[1];
	struct wire_field f;
	uint32_t count = 0;
	MUST_OTLP(part.seen[1] && part.seen[2]);
	otlp_fields(at, "Rv");
	for (; wire_next(&at, &f) == 1 && f.number == 1; count++) {
		struct otlp_fields a = otlp_fields(f.bytes, "BB");
		MUST_OTLP(a.seen[1] && a.seen[2] && a.bytes[1].at != a.bytes[1].end);
		keys[count] = a.bytes[1];
		otlp_print(&t, a.bytes[1]);
		text_puts(&t, "=");
		otlp_any(&t, a.bytes[2]);
		text_puts(&t, ",");
	}
	MUST_OTLP(strstr(t.at, "service.name=") && text_utf8_valid(t.at, t.len));
	otlp_must_differ(keys, count);
	r->resource = t.at;
	struct otlp_fields scope = otlp_fields(part.bytes[2], "BR");
	MUST_OTLP(scope.seen[1] && scope.seen[2]);
	MUST_OTLP(otlp_fields(scope.bytes[1], "BB").seen[1]);
	for (at = part.bytes[2]; wire_next(&at, &f) == 1;)
		if (f.number == 2)
			otlp_profile(r, f.bytes);
	r->resources++;
	text_free(&t);
}

static inline void otlp_read(struct otlp_reader *r, const void *bytes, size_t n)
{
	const struct wire_in body = {bytes, (const uint8_t *)bytes + n};
	struct wire_in in = body, dictionary = otlp_fields(body, "RB").bytes[2];
	struct wire_field f;
	otlp_fields(dictionary, "RRRRRRR");
	while (wire_next(&dictionary, &f) == 1) {
		struct otlp_reader_table *t = &r->tables[f.number];
		t->at = realloc(t->at, (t->count + 1) * sizeof(*t->at));
		t->at[t->count++] = f.bytes;
	}
	for (uint32_t k = 1; k < 8; k++) {
		struct otlp_reader_table *t = &r->tables[k];
		MUST_OTLP(t->count && t->at[0].at == t->at[0].end);
		otlp_must_differ(t->at, t->count);
		t->used = calloc(t->count, sizeof(bool));
		for (uint32_t i = 0; k == 5 && i < t->count; i++)
			MUST_OTLP(text_utf8_valid(
			    (const char *)t->at[i].at, (size_t)(t->at[i].end - t->at[i].at)));
	}
	while (wire_next(&in, &f) == 1)
		if (f.number == 1)
			otlp_part(r, f.bytes);
	for (uint32_t k = 1; k < 8; k++) {
		struct otlp_reader_table *t = &r->tables[k];
		for (uint32_t i = 1; i < t->count; i++)
			MUST_OTLP(t->used[i]);
		free(t->at);
		free(t->used);
		*t = (struct otlp_reader_table){0};
	}
	r->bodies++;
}

// Where requests go in tests: each body is read as it ends.
struct otlp_receiver {
	struct otlp_reader reader;
	struct text body;
	uint64_t samples, largest, last;
	uint64_t untold; // of what was left out
	uint32_t wait; // `end` says 1 that often
	uint32_t waited;
	int refuse; // what writes say after a few bytes
};
static inline int otlp_begin(void *arg)
{
	text_reset(&((struct otlp_receiver *)arg)->body);
	return 0;
}
static inline int otlp_write(void *arg, const void *bytes, size_t n)
{
	struct otlp_receiver *x = arg;
	if (x->refuse && x->body.len > 100)
		return x->refuse;
	return text_add(&x->body, bytes, n);
}
static inline int otlp_end(void *arg, const struct requests_facts *facts)
{
	struct otlp_receiver *x = arg;
	if (x->waited++ < x->wait)
		return 1;
	x->waited = 0;
	x->samples += facts->samples;
	x->last = x->body.len;
	if (x->body.len > x->largest)
		x->largest = x->body.len;
	otlp_read(&x->reader, x->body.at, x->body.len);
	return 0;
}
// All of P as OPTIONS say, in slices of BUDGET: what the last step said.
static inline int otlp_send(struct otlp_receiver *x, const struct requests_options *options,
    const struct profile *p, uint64_t budget, uint64_t *left_out)
{
	x->body = TEXT(ACCOUNT_BASE);
	x->reader.lines = TEXT(ACCOUNT_BASE);
	x->reader.lines.error = x->reader.brief ? -ECANCELED : 0; // nothing is added then
	x->reader.previous = options->previous;
	struct requests_out out = {otlp_begin, otlp_write, otlp_end, x};
	struct requests *r = requests_new(options, &out);
	if (!r)
		return -errno;
	int result = requests_put(r, p);
	for (result = result ? result : 1; result == 1;)
		result = requests_step(r, budget);
	*left_out = requests_left_out(r);
	x->untold = requests_untold(r);
	requests_free(r);
	return result;
}
static inline void otlp_receiver_free(struct otlp_receiver *x)
{
	text_free(&x->body);
	text_free(&x->reader.lines);
}
