// SPDX-License-Identifier: Apache-2.0
// pprof in: feeding, the phases, and what every part of it needs.
#include "import.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BYTES_MAX (UINT32_MAX / 4) // positions are 32 bits

struct import_job *import_new(enum account account, uint64_t bytes_max)
{
	struct import_job *j = mem_alloc(ACCOUNT_EXPORT, sizeof(*j));
	if (!j)
		return NULL;
	j->account = account;
	j->bytes_max = bytes_max < BYTES_MAX ? bytes_max : BYTES_MAX;
	j->raw = j->frames = TEXT(ACCOUNT_EXPORT);
	j->mappings =
	    (struct import_items){.size = sizeof(struct import_mapping), .what = "mapping"};
	j->functions =
	    (struct import_items){.size = sizeof(struct import_function), .what = "function"};
	j->locations =
	    (struct import_items){.size = sizeof(struct import_location), .what = "location"};
	return j;
}

void import_free(struct import_job *j)
{
	if (!j)
		return;
	wire_gunzip_free(j->gunzip);
	text_free(&j->raw);
	text_free(&j->frames);
	mem_free(j->strings);
	mem_free(j->mappings.items);
	mem_free(j->functions.items);
	mem_free(j->locations.items);
	profile_free(j->p);
	mem_free(j);
}

const char *import_why(const struct import_job *j)
{
	return j->why;
}

int import_fail(struct import_job *j, int error, const char *format, ...)
{
	if (j->error)
		return j->error;
	j->error = error;
	if (error == -ENOMEM) {
		text_copy(j->why, sizeof(j->why), "not enough memory to read the profile");
		return error;
	}
	bool read = j->phase > IMPORT_FEED && error == -EBADMSG;
	int n = snprintf(j->why, sizeof(j->why), "%s", read ? "not a pprof profile: " : "");
	va_list args;
	va_start(args, format);
	vsnprintf(j->why + n, sizeof(j->why) - (size_t)n, format, args);
	va_end(args);
	return error;
}

// The fields that a profile may begin with, by number: texts and messages, numbers.
#define FIELDS_OF_BYTES (0x7e | 1 << PROFILE_PERIOD_TYPE | 1 << PROFILE_COMMENT)
#define FIELDS_OF_NUMBERS 0xf780 // 7 to 10, 12 to 15

// What is no profile is known by its first byte more often than not, before all of it is taken in.
static int check_begin(struct import_job *j, uint8_t tag)
{
	uint32_t fields = (tag & 7) == 2 ? FIELDS_OF_BYTES : (tag & 7) == 0 ? FIELDS_OF_NUMBERS : 0;
	if (tag < 0x80 && fields >> (tag >> 3) & 1)
		return 0;
	return import_fail(
	    j, -EBADMSG, "not a pprof profile: none begins with the byte 0x%02x", tag);
}

// Grown by a quarter at a time: doubled, a profile of half of the memory that there is would not
// fit.
static int reserve(struct text *t, size_t more)
{
	size_t need = t->len + more + 1, cap = t->cap + t->cap / 4;
	if (need <= t->cap)
		return 0;
	cap = cap < need ? need : cap;
	char *at = mem_resize(t->account, t->at, cap);
	if (!at)
		return -ENOMEM;
	t->at = at;
	t->cap = cap;
	return 0;
}

static int take(void *arg, const void *bytes, size_t n)
{
	struct import_job *j = arg;
	int error = n && !j->raw.len ? check_begin(j, *(const uint8_t *)bytes) : 0;
	if (error)
		return error;
	if (j->raw.len + n > j->bytes_max)
		return -EFBIG;
	error = reserve(&j->raw, n);
	return error ? error : text_add(&j->raw, bytes, n);
}

static int feed(struct import_job *j, const void *bytes, size_t n)
{
	int error = j->gunzip ? wire_gunzip_feed(j->gunzip, bytes, n) : take(j, bytes, n);
	if (error == -EFBIG)
		return import_fail(
		    j, error, "the profile is larger than %" PRIu64 " bytes", j->bytes_max);
	return error ? import_fail(j, error, "its gzip data is damaged") : 0;
}

// Feeds the head, which says how the rest is to be read.
static int begin(struct import_job *j)
{
	if (j->head_length == 2 && j->head[0] == 0x1f && j->head[1] == 0x8b) { // RFC 1952
		j->gunzip = wire_gunzip_new(&(struct wire_sink){take, j}, j->bytes_max);
		if (!j->gunzip)
			return import_fail(j, -ENOMEM, "%s", "");
	}
	return feed(j, j->head, j->head_length);
}

int import_feed(struct import_job *j, const void *bytes, size_t n)
{
	const uint8_t *at = bytes;
	if (j->error)
		return j->error;
	for (; n && j->head_length < sizeof(j->head); n--)
		j->head[j->head_length++] = *at++;
	if (!n || j->raw.len || j->gunzip)
		return n ? feed(j, at, n) : 0;
	int error = begin(j);
	return error ? error : feed(j, at, n);
}

static int fed(struct import_job *j)
{
	// Two bytes or fewer were fed: they are still in `head`.
	int error = j->raw.len || j->gunzip ? 0 : begin(j);
	if (!error && j->gunzip && wire_gunzip_finish(j->gunzip) < 0)
		return import_fail(j, -EBADMSG, "its gzip data is cut off: the file is not whole");
	wire_gunzip_free(j->gunzip);
	j->gunzip = NULL;
	if (!error && !j->raw.len)
		return import_fail(j, -EBADMSG, "it is empty");
	char *at = error ? NULL : mem_resize(j->raw.account, j->raw.at, j->raw.len + 1);
	if (at) { // what it had beyond is for the tables
		j->raw.at = at;
		j->raw.cap = j->raw.len + 1;
	}
	return error;
}

void *import_find(const struct import_items *t, uint64_t id)
{
	char *items = t->items;
	if (id && id <= t->count && *(uint64_t *)(items + (id - 1) * t->size) == id)
		return items + (id - 1) * t->size; // almost every writer numbers from 1
	for (uint32_t low = 0, high = t->count; low < high;) {
		uint32_t middle = low + (high - low) / 2;
		uint64_t there = *(uint64_t *)(items + (size_t)middle * t->size);
		if (there == id)
			return items + (size_t)middle * t->size;
		if (there < id)
			low = middle + 1;
		else
			high = middle;
	}
	return NULL;
}

static int by_id(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
	return x < y ? -1 : x > y;
}

// Writers that number from 1 in order, ours among them, leave nothing to sort.
static int sort(struct import_job *j, struct import_items *t)
{
	if (t->unsorted)
		qsort(t->items, t->count, t->size, by_id);
	for (uint32_t i = 0; i < t->count; i++) {
		const uint64_t *id = (void *)((char *)t->items + (size_t)i * t->size);
		const uint64_t *before = (void *)((const char *)id - t->size);
		if (!*id)
			return import_fail(j, -EBADMSG, "a %s has no id", t->what);
		if (i && *before == *id)
			return import_fail(
			    j, -EBADMSG, "%s %" PRIu64 " is there twice", t->what, *id);
	}
	return 0;
}

int import_name(struct import_job *j, uint64_t index, const char *owner, uint32_t *name)
{
	if (index >= j->string_count)
		return import_fail(
		    j, -EBADMSG, "a %s names string %" PRIu64 ", which is not there", owner, index);
	struct import_string *s = &j->strings[index];
	if (!s->name && s->length) {
		const char *at = j->raw.at + s->at;
		s->name = names_add(profile_names(j->p), at, s->length);
		if (!s->name && *at)
			return import_fail(j, -ENOMEM, "%s", "");
	}
	*name = s->name;
	return 0;
}

// Field by field of the top level through EACH, from J's position on. 1: more.
static int walk(struct import_job *j, struct slice *slice,
    int (*each)(struct import_job *j, const struct wire_field *f))
{
	struct wire_field f;
	int got, error;
	if (!j->at.at)
		j->at = import_raw(j, 0, (uint32_t)j->raw.len);
	while ((got = wire_next(&j->at, &f)) == 1) {
		if ((error = each (j, &f)))
			return error;
		if (slice_over(slice, 2 + (f.number == PROFILE_SAMPLE ? 10 : 0)))
			return 1;
	}
	if (got < 0)
		return import_fail(
		    j, got, "damaged at byte %zu", (size_t)(j->at.at - (uint8_t *)j->raw.at));
	j->at.at = NULL;
	return 0;
}

static int count(struct import_job *j, const struct wire_field *f)
{
	if (f->number <= PROFILE_STRING_TABLE && f->type != 2)
		return import_fail(j, -EBADMSG, "field %u is not of its type", f->number);
	j->string_count += f->number == PROFILE_STRING_TABLE;
	j->mappings.count += f->number == PROFILE_MAPPING;
	j->functions.count += f->number == PROFILE_FUNCTION;
	j->locations.count += f->number == PROFILE_LOCATION;
	return 0;
}

static int allocate(struct import_job *j)
{
	struct import_items *all[] = {&j->mappings, &j->functions, &j->locations};
	for (int i = 0; i < 3; i++)
		if (!(all[i]->items =
			    mem_alloc(ACCOUNT_EXPORT, (size_t)all[i]->count * all[i]->size)))
			return import_fail(j, -ENOMEM, "%s", "");
	j->strings = mem_alloc(ACCOUNT_EXPORT, j->string_count * sizeof(*j->strings));
	return j->strings ? 0 : import_fail(j, -ENOMEM, "%s", "");
}

static int sample(struct import_job *j, const struct wire_field *f)
{
	if (f->number != PROFILE_SAMPLE)
		return 0;
	j->next++;
	return import_sample(j, f->bytes);
}

static int each_item(struct import_job *j, struct slice *slice, uint32_t items,
    int (*each)(struct import_job *j, uint32_t i))
{
	while (j->next < items) {
		int error = each (j, j->next++);
		if (error)
			return error;
		if (slice_over(slice, 4))
			return 1;
	}
	j->next = 0;
	return 0;
}

static int run_phase(struct import_job *j, struct slice *slice)
{
	int error;
	switch (j->phase) {
	case IMPORT_FEED:
		return fed(j);
	case IMPORT_COUNT:
		error = walk(j, slice, count);
		return error ? error : allocate(j);
	case IMPORT_KEEP:
		return walk(j, slice, import_keep);
	case IMPORT_SORT:
		if (sort(j, &j->mappings) || sort(j, &j->functions) || sort(j, &j->locations))
			return j->error;
		return import_start_profile(j);
	case IMPORT_MAPPINGS:
		return each_item(j, slice, j->mappings.count, import_mapping);
	case IMPORT_LOCATIONS:
		return each_item(j, slice, j->locations.count, import_location);
	case IMPORT_SAMPLES:
		return walk(j, slice, sample);
	case IMPORT_DONE:
		break;
	}
	return 0;
}

int import_step(struct import_job *j, uint64_t budget_ns)
{
	struct slice slice = slice_begin(budget_ns);
	for (; !j->error && j->phase < IMPORT_DONE; j->phase++)
		if (run_phase(j, &slice) == 1)
			return 1;
	return j->error;
}

struct profile *import_take(struct import_job *j)
{
	struct profile *p = j->phase == IMPORT_DONE && !j->error ? j->p : NULL;
	if (!p)
		return errno = EINVAL, NULL;
	j->p = NULL;
	profile_seal(p);
	return p;
}
