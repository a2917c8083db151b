// SPDX-License-Identifier: Apache-2.0
// What the tests of logs and metrics share: profiles with owners, a receiver of bodies, a reader of
// JSON.
#pragma once
#include "profiles.h"

#define CONTAINER "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"

#define BODIES_MAX 512
struct bodies {
	struct text body[BODIES_MAX];
	uint64_t samples[BODIES_MAX];
	uint32_t count;
	uint32_t calls, fail_at; // of any kind
	uint32_t wait;		 // how often `end` asks to be called again
	uint32_t waited;
	bool open;
};

static inline int bodies_called(struct bodies *b)
{
	return b->fail_at && ++b->calls >= b->fail_at ? -ENOSPC : 0;
}

static inline int bodies_begin(void *arg)
{
	struct bodies *b = arg;
	assert_false(b->open);
	assert_true(b->count < BODIES_MAX);
	b->body[b->count] = TEXT(ACCOUNT_BASE);
	b->open = true;
	return bodies_called(b);
}

static inline int bodies_write(void *arg, const void *bytes, size_t n)
{
	struct bodies *b = arg;
	assert_true(b->open);
	char *more = realloc(b->body[b->count].at, b->body[b->count].len + n + 1);
	assert_non_null(more);
	b->body[b->count].at = more;
	memcpy(more + b->body[b->count].len, bytes, n);
	b->body[b->count].len += n;
	return bodies_called(b);
}

static inline int bodies_end(void *arg, const struct requests_facts *f)
{
	struct bodies *b = arg;
	int error = bodies_called(b);
	if (error || b->waited++ < b->wait)
		return error ? error : 1;
	b->waited = 0;
	b->samples[b->count++] = f->samples;
	b->open = false;
	return 0;
}

static inline void bodies_free(struct bodies *b)
{
	for (uint32_t i = 0; i < b->count + b->open; i++)
		free(b->body[i].at);
	*b = (struct bodies){0};
}

static inline struct requests *bodies_new(struct bodies *b, const struct requests_options *options)
{
	struct requests_out out = {bodies_begin, bodies_write, bodies_end, b};
	struct requests_options o = *options;
	o.service = o.service ? o.service : "";
	o.version = o.version ? o.version : "";
	o.host = o.host ? o.host : "";
	return requests_new(&o, &out);
}

static inline int bodies_put(struct requests *r, const struct profile *p)
{
	int error = requests_put(r, p);
	while (!error && (error = requests_step(r, UINT64_MAX)) == 1)
		error = 0;
	return error;
}

// Puts P in steps of 100 us: how many there were, and how many of them ran more than 3 ms.
static inline uint32_t bodies_put_in_steps(
    struct requests *r, const struct profile *p, uint32_t *longer)
{
	uint32_t steps = 0;
	int more;
	*longer = 0;
	assert_int_equal(requests_put(r, p), 0);
	do {
		uint64_t before = profiles_ran();
		more = requests_step(r, 100000);
		*longer += profiles_ran() - before > 3 * NS_PER_MS;
		steps++;
	} while (more == 1);
	assert_int_equal(more, 0);
	return steps;
}

static inline uint64_t bodies_samples(const struct bodies *b)
{
	uint64_t sum = 0;
	for (uint32_t i = 0; i < b->count; i++)
		sum += b->samples[i];
	return sum;
}

// ---- protobuf

static inline struct wire_in bodies_in(const struct bodies *b, uint32_t i)
{
	return (struct wire_in){
	    (uint8_t *)b->body[i].at, (uint8_t *)b->body[i].at + b->body[i].len};
}

// The next field NUMBER of IN: false at the end.
static inline bool next_field(struct wire_in *in, uint32_t number, struct wire_field *f)
{
	int got;
	while ((got = wire_next(in, f)) == 1)
		if (f->number == number)
			return true;
	assert_int_equal(got, 0);
	return false;
}

static inline struct wire_in field_in(struct wire_in in, uint32_t number)
{
	struct wire_field f;
	return next_field(&in, number, &f) ? f.bytes : (struct wire_in){0};
}

static inline uint64_t field_number(struct wire_in in, uint32_t number)
{
	struct wire_field f;
	return next_field(&in, number, &f) ? f.value : 0;
}

static inline double as_double(uint64_t bits)
{
	double d;
	memcpy(&d, &bits, sizeof(d));
	return d;
}

// The attributes under NUMBER as "key=value;...", numbers as "key=#7", truths as "key=!1"; to be
// freed.
static inline char *attributes_of(struct wire_in in, uint32_t number)
{
	char *all = NULL;
	size_t size = 0;
	FILE *f = open_memstream(&all, &size);
	struct wire_field x, value;
	while (next_field(&in, number, &x)) {
		struct wire_in key = field_in(x.bytes, 1), v = field_in(x.bytes, 2);
		assert_int_equal(wire_next(&v, &value), 1);
		assert_true(text_utf8_valid((const char *)key.at, (size_t)(key.end - key.at)));
		fprintf(f, "%.*s=", (int)(key.end - key.at), (const char *)key.at);
		if (value.number == 1) {
			const char *at = (const char *)value.bytes.at;
			size_t n = (size_t)(value.bytes.end - value.bytes.at);
			assert_true(n > 0 && text_utf8_valid(at, n));
			fprintf(f, "%.*s;", (int)n, at);
		} else {
			assert_true(value.number == 2 || value.number == 3);
			fprintf(f, "%c%" PRId64 ";", value.number == 2 ? '!' : '#',
			    (int64_t)value.value);
		}
	}
	fclose(f);
	return all;
}

// ---- profiles

static inline uint32_t label_set(struct profile *p, const char *const *pairs)
{
	struct profile_label l[32];
	uint32_t n = 0;
	for (; pairs && pairs[0]; pairs += 2)
		l[n++] = (struct profile_label){
		    .key = profile_add_name(p, pairs[0]), .str = profile_add_name(p, pairs[1])};
	return n ? profile_add_labels(p, l, n) : 0;
}

struct sample_of {
	uint32_t pid, tid;
	const char *comm, *process, *container;
	const char *const *labels, *const *resource;
	const char *const *frames; // leaf first; "k:..." the kernel's, "j:..." JIT code, "m:..." a
				   // mark, "" unnamed
	int64_t values[2];
};

static inline void add_sample_of(struct profile *p, const struct sample_of *s)
{
	uint32_t frames[64], n = 0;
	for (const char *const *name = s->frames; name && *name; name++) {
		char kind = (*name)[0] && (*name)[1] == ':' && strchr("kjm", **name) ? **name : 0;
		struct profile_frame f = {.address = 0x1000 + n};
		f.name = profile_add_name(p, *name + (kind ? 2 : 0));
		f.kind = kind == 'k'   ? FRAME_KERNEL
			 : kind == 'j' ? FRAME_JIT
			 : kind == 'm' ? FRAME_MARK
				       : FRAME_NATIVE;
		if (!kind) {
			struct profile_mapping m = {.start = 0x1000,
			    .limit = 0x2000,
			    .file = profile_add_name(p, "/bin/app")};
			f.mapping = profile_add_mapping(p, &m);
		}
		frames[n++] = profile_add_frame(p, &f);
	}
	struct profile_subject who = {.pid = s->pid,
	    .tid = s->tid,
	    .comm = profile_add_name(p, s->comm ? s->comm : ""),
	    .process = profile_add_name(p, s->process ? s->process : ""),
	    .container = profile_add_name(p, s->container ? s->container : ""),
	    .labels = label_set(p, s->labels),
	    .resource = label_set(p, s->resource)};
	profile_add(p, profile_add_stack(p, frames, n), profile_add_subject(p, &who), s->values);
}

#define WINDOW_NS 1700000000000000000ull
static inline struct profile *profile_of(const char *type, uint32_t window)
{
	struct profile *p = profile_new(ACCOUNT_PROFILE, profile_type_find(type));
	struct profile_header *h = profile_header(p);
	h->time_ns = WINDOW_NS + window * 60 * NS_PER_S;
	h->duration_ns = 60 * NS_PER_S;
	h->period = 10101010;
	return p;
}

static inline struct profile *one_sample(const char *type, const struct sample_of *s)
{
	struct profile *p = profile_of(type, 0);
	add_sample_of(p, s);
	profile_seal(p);
	return p;
}

static inline void all_is_free(void)
{
	assert_int_equal(
	    mem_used(ACCOUNT_EXPORT) + mem_used(ACCOUNT_WIRE) + mem_used(ACCOUNT_PROFILE), 0);
}

// ---- what may fail

// Puts P (SAMPLES in it) with each allocation failing in turn: no sample is lost without being
// counted (CHECK, if any, sees what was written), and the next profile is not harmed.
static inline void bodies_without_memory(const struct requests_options *options,
    const struct profile *p, uint64_t samples, void (*check)(const struct bodies *))
{
	for (uint64_t n = 1;; n++) {
		struct bodies b = {0};
		mem_fail_at(n);
		struct requests *r = bodies_new(&b, options);
		int error = r ? bodies_put(r, p) : -ENOMEM;
		bool reached = mem_fail_seen() >= n;
		mem_fail_at(0);
		assert_true(error == 0 || error == -ENOMEM);
		if (!error)
			assert_int_equal(bodies_samples(&b) + requests_left_out(r), samples);
		if (!error && check)
			check(&b);
		uint64_t before = bodies_samples(&b);
		if (r && !b.open) {
			assert_int_equal(bodies_put(r, p), 0);
			assert_int_equal(bodies_samples(&b) - before, samples);
		}
		requests_free(r);
		bodies_free(&b);
		if (!reached) {
			assert_true(n > 10);
			return;
		}
	}
}

// Each call of the sink fails in turn: the error is passed on, and all is freed.
static inline void bodies_with_failing_sinks(const struct requests_options *options)
{
	struct profile *p = profiles_node(20, 3);
	uint32_t fail_at = 1;
	for (int error = -1; error; fail_at++) {
		struct bodies b = {.fail_at = fail_at};
		struct requests *r = bodies_new(&b, options);
		error = bodies_put(r, p);
		assert_true(!error || error == -ENOSPC);
		requests_free(r);
		bodies_free(&b);
	}
	assert_true(fail_at > 20);
	profile_free(p);
	all_is_free();
}

// ---- JSON: a reader that takes nothing but JSON

static inline const char *json_skip(const char *s);
static inline const char *json_text_end(const char *s)
{
	if (!s || *s++ != '"')
		return NULL;
	for (; *s != '"'; s++) {
		if ((unsigned char)*s < ' ')
			return NULL;
		if (*s == '\\' && !strchr("\"\\/bfnrtu", *++s))
			return NULL;
		if (s[-1] == '\\' && *s == 'u' && strspn(s + 1, "0123456789abcdefABCDEF") < 4)
			return NULL;
	}
	return s + 1;
}

static inline const char *json_list(const char *s, char end, bool keys)
{
	if (*s == end)
		return s + 1;
	for (;;) {
		if (keys && (!(s = json_text_end(s)) || *s++ != ':'))
			return NULL;
		s = json_skip(s);
		if (!s || (*s != ',' && *s != end))
			return NULL;
		if (*s++ == end)
			return s;
	}
}

// The end of the value that begins at S, NULL where it is none.
static inline const char *json_skip(const char *s)
{
	if (*s == '"')
		return json_text_end(s);
	if (*s == '{' || *s == '[')
		return json_list(s + 1, *s == '{' ? '}' : ']', *s == '{');
	if (!strncmp(s, "true", 4))
		return s + 4;
	size_t n = strspn(s, "-0123456789");
	return n ? s + n : NULL;
}
