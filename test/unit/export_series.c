// SPDX-License-Identifier: Apache-2.0
// Series for Pyroscope and Parca: what comes back of a body is the profile, to the sample, under
// labels that the receivers take; their limits; memory and sinks that fail.
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "profiles.h"

#include "../../modules/export/series.c"

#include "../../modules/export/pprof.h"

#define BODIES_MAX 64

struct bodies { // what a receiver got
	struct text body[BODIES_MAX];
	struct requests_facts facts[BODIES_MAX];
	uint32_t count;
	bool open;
	uint32_t again; // how often the end of a body says "again"
	int fail_begin, fail_end;
};

static int begin(void *arg)
{
	struct bodies *b = arg;
	assert_false(b->open);
	assert_true(b->count < BODIES_MAX);
	if (b->fail_begin)
		return b->fail_begin;
	b->open = true;
	b->body[b->count] = TEXT(ACCOUNT_BASE);
	return 0;
}

static int take_body(void *arg, const void *bytes, size_t n)
{
	struct bodies *b = arg;
	assert_true(b->open);
	return text_add(&b->body[b->count], bytes, n);
}

static int end(void *arg, const struct requests_facts *f)
{
	struct bodies *b = arg;
	if (b->fail_end)
		return b->fail_end;
	if (b->again) {
		b->again--;
		return 1;
	}
	b->facts[b->count++] = *f;
	b->open = false;
	return 0;
}

static void free_bodies(struct bodies *b)
{
	for (uint32_t i = 0; i < b->count + b->open; i++)
		text_free(&b->body[i]);
	*b = (struct bodies){0};
}

static const char *const given[] = {
    "deployment.environment", "test", "k8s.cluster.name", "east", NULL};

static struct requests_options options(enum requests_kind kind)
{
	return (struct requests_options){.kind = kind,
	    .service = "telegen",
	    .version = "1",
	    .host = "node-1",
	    .resource = given};
}

// Encodes P in steps of BUDGET: what the last said.
static int encode(const struct profile *p, const struct requests_options *o, struct bodies *b,
    uint64_t budget, uint64_t *left_out)
{
	struct requests_out out = {begin, take_body, end, b};
	struct requests *r = requests_new(o, &out);
	if (!r)
		return -errno;
	int more = requests_put(r, p);
	if (!more)
		while ((more = requests_step(r, budget)) == 1)
			;
	*left_out = requests_left_out(r);
	requests_free(r);
	return more;
}

struct series { // as it was read
	char labels[30][2][2100];
	uint32_t count;
	struct profile *p;
	uint64_t raw; // bytes of pprof before compression
	char id[64];
};

static void copy_field(char *to, size_t size, const struct wire_field *f)
{
	size_t n = (size_t)(f->bytes.end - f->bytes.at);
	assert_true(n < size);
	memcpy(to, f->bytes.at, n);
	to[n] = 0;
}

static const char *label(const struct series *s, const char *name)
{
	for (uint32_t i = 0; i < s->count; i++)
		if (!strcmp(s->labels[i][0], name))
			return s->labels[i][1];
	return NULL;
}

static void read_label(struct wire_in in, struct series *s)
{
	struct wire_field f;
	assert_true(s->count < 28);
	while (wire_next(&in, &f) == 1)
		copy_field(s->labels[s->count][f.number == 2], 2100, &f);
	const char *name = s->labels[s->count][0], *value = s->labels[s->count][1];
	assert_true(strlen(value) && strlen(value) <= 2048 && strlen(name) <= 1024);
	assert_true(text_utf8_valid(value, strlen(value)));
	assert_true(*name < '0' || *name > '9');
	assert_int_equal(
	    strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_"),
	    strlen(name));
	assert_null(label(s, name)); // each once
	s->count++;
}

static void read_raw(struct wire_in in, struct series *s)
{
	struct wire_field f;
	while (wire_next(&in, &f) == 1) {
		if (f.number == 2) {
			copy_field(s->id, sizeof(s->id), &f);
			continue;
		}
		char why[200];
		size_t n = (size_t)(f.bytes.end - f.bytes.at);
		assert_null(s->p); // one a series here
		s->p = profiles_import(f.bytes.at, n, why);
		assert_string_equal(why, "");
		for (uint32_t i = 0; i < 4; i++)
			s->raw |= (uint64_t)f.bytes.at[n - 4 + i] << 8 * i;
	}
}

static void read_series(struct wire_in in, bool parca, struct series *s)
{
	struct wire_field f, set;
	*s = (struct series){0};
	while (wire_next(&in, &f) == 1) {
		if (f.number == 2)
			read_raw(f.bytes, s);
		else if (!parca)
			read_label(f.bytes, s);
		else
			while (wire_next(&f.bytes, &set) == 1)
				read_label(set.bytes, s);
	}
	assert_non_null(label(s, "__name__"));
	assert_non_null(label(s, "service_name"));
	assert_string_equal(label(s, "deployment_environment"), "test");
}

// Calls SEEN with each series of all bodies.
static uint32_t each_series(
    const struct bodies *b, bool parca, void (*seen)(void *arg, const struct series *s), void *arg)
{
	static struct series s;
	uint32_t count = 0;
	for (uint32_t i = 0; i < b->count; i++) {
		struct wire_in in = {
		    (uint8_t *)b->body[i].at, (uint8_t *)b->body[i].at + b->body[i].len};
		struct wire_field f;
		bool normalized = false;
		int more;
		while ((more = wire_next(&in, &f)) == 1) {
			if (parca && f.number == 3) {
				normalized = f.value == 1;
				continue;
			}
			assert_int_equal(f.number, parca ? 2 : 1);
			read_series(f.bytes, parca, &s);
			seen(arg, &s);
			profile_free(s.p);
			count++;
		}
		assert_int_equal(more, 0);
		assert_int_equal(normalized, parca);
	}
	return count;
}

static void check_clean(void)
{
	assert_int_equal(mem_used(ACCOUNT_EXPORT) + mem_used(ACCOUNT_WIRE) +
			     mem_used(ACCOUNT_PROFILE) + mem_used(ACCOUNT_BASE),
	    0);
}

struct sum {
	bool parca, nameless;
	struct profile *all; // merged again
	uint64_t samples_max, raw_max, own;
	int64_t totals[PROFILE_VALUES_MAX];
	char ids[512][64];
	uint32_t count;
	uint64_t time, duration;
};

static void add_up(void *arg, const struct series *s)
{
	struct sum *sum = arg;
	int64_t totals[PROFILE_VALUES_MAX];
	if (!sum->all)
		sum->all = profile_new_like(ACCOUNT_PROFILE, s->p);
	struct profile_merge *m = profile_merge_new(sum->all, s->p, 1, NULL, NULL);
	assert_non_null(m);
	profile_merge_step(m, UINT64_MAX);
	profile_merge_free(m);
	profile_totals(s->p, totals);
	for (uint32_t v = 0; v < profile_header_of(s->p)->value_count; v++)
		sum->totals[v] += totals[v];
	uint32_t pid = 0;
	for (uint32_t i = 0; i < profile_sample_count(s->p); i++) {
		const struct profile_sample *x = profile_sample(s->p, i);
		const struct profile_subject *who = profile_subject(s->p, x->subject);
		if (export_is_zero(s->p, x))
			continue;
		// Pids are kept apart from the agent's own, and from each other at Parca.
		if (!pid)
			pid = who->pid;
		assert_true(!pid == !who->pid);
		assert_string_equal(
		    label(s, "service_name"), who->pid ? label(s, "service_name") : "telegen");
		if (!who->pid)
			sum->own += (uint64_t)x->values[0];
		else if (!sum->nameless)
			assert_string_equal(label(s, "comm"),
			    profile_name(s->p, who->process ? who->process : who->comm));
		if (sum->parca && who->pid) {
			char text[16];
			snprintf(text, sizeof(text), "%u", who->pid);
			assert_string_equal(label(s, "pid"), text);
		}
	}
	if (profile_sample_count(s->p) - 1 > sum->samples_max)
		sum->samples_max = profile_sample_count(s->p) - 1;
	if (s->raw > sum->raw_max)
		sum->raw_max = s->raw;
	assert_string_equal(label(s, "node"), "node-1");
	assert_int_equal(strlen(s->id), sum->parca ? 0 : 36);
	for (uint32_t i = 0; !sum->parca && i < sum->count; i++)
		assert_string_not_equal(sum->ids[i], s->id);
	assert_true(sum->count < 512);
	text_copy(sum->ids[sum->count++], 64, s->id);
	sum->time = profile_header_of(s->p)->time_ns;
	sum->duration = profile_header_of(s->p)->duration_ns;
}

static void comes_back_whole(void **state)
{
	(void)state;
	static const enum requests_kind kinds[] = {REQUESTS_PYROSCOPE, REQUESTS_PARCA};
	for (int k = 0; k < 2; k++) {
		static struct sum sum;
		struct profile *p = profiles_node(3000, 1);
		struct bodies b = {.again = 3};
		struct requests_options o = options(kinds[k]);
		uint64_t left_out = 99;
		int64_t totals[PROFILE_VALUES_MAX];
		assert_int_equal(encode(p, &o, &b, UINT64_MAX, &left_out), 0);
		assert_int_equal(left_out, 0);
		assert_int_equal(b.count, 1);
		sum = (struct sum){.parca = k};
		uint32_t count = each_series(&b, k, add_up, &sum);
		// Of 200 pids of 50 names, in 6 containers and none.
		assert_true(k ? count == 201 : count > 100 && count < 200);
		profile_totals(p, totals);
		assert_int_equal(sum.totals[0], totals[0]);
		assert_int_equal(sum.totals[1], totals[1]);
		assert_int_equal(b.facts[0].samples, totals[0]);
		assert_int_equal(b.facts[0].time_ns, profile_header_of(p)->time_ns);
		assert_string_equal(b.facts[0].type, "cpu");
		assert_int_equal(sum.own, 7);
		assert_int_equal(sum.time, profile_header_of(p)->time_ns);
		assert_int_equal(sum.duration, profile_header_of(p)->duration_ns);
		char *was = profiles_dump(p), *is = profiles_dump(sum.all);
		assert_string_equal(was, is);
		free(was);
		free(is);
		profile_free(sum.all);
		free_bodies(&b);
		profile_free(p);
		check_clean();
	}
}

static void slices_are_short(void **state)
{
	(void)state;
	struct profile *p = profiles_node(20000, 2);
	for (int k = 0; k < 2; k++) {
		struct bodies b = {0};
		struct requests_options o = options(k ? REQUESTS_PARCA : REQUESTS_PYROSCOPE);
		struct requests_out out = {begin, take_body, end, &b};
		struct requests *r = requests_new(&o, &out);
		uint64_t longest = 0, all = 0, steps = 0;
		assert_int_equal(requests_put(r, p), 0);
		for (int more = 1; more == 1; steps++) {
			uint64_t before = profiles_ran();
			more = requests_step(r, 200000);
			assert_true(more >= 0);
			uint64_t took = profiles_ran() - before;
			all += took;
			longest = took > longest ? took : longest;
		}
		print_message("%s: %" PRIu64 " us in %" PRIu64 " steps, the longest %" PRIu64
			      " us\n",
		    k ? "parca" : "pyroscope", all / 1000, steps, longest / 1000);
		assert_true(steps > 20);
		assert_true(longest < 20 * NS_PER_MS); // sanitizers are slow
		requests_free(r);
		free_bodies(&b);
	}
	profile_free(p);
	check_clean();
}

// A profile of one process with what CHANGE makes of its subject.
static struct profile *one(
    const char *type, uint32_t pid, const char *comm, const char *const *resource)
{
	struct profile *p = profile_new(ACCOUNT_PROFILE, profile_type_find(type));
	struct profile_label set[PROFILE_LABELS_MAX];
	uint32_t count = 0;
	for (; resource && resource[0]; resource += 2)
		set[count++] = (struct profile_label){.key = profile_add_name(p, resource[0]),
		    .str = profile_add_name(p, resource[1])};
	struct profile_subject s = {.pid = pid,
	    .tid = pid,
	    .comm = profile_add_name(p, comm),
	    .process = profile_add_name(p, comm),
	    .resource = count ? profile_add_labels(p, set, count) : 0};
	uint32_t frame = profile_add_frame(
	    p, &(struct profile_frame){.address = 0x1000, .name = profile_add_name(p, "main")});
	int64_t values[PROFILE_VALUES_MAX] = {3, 30};
	profile_header(p)->time_ns = 5 * NS_PER_S;
	profile_header(p)->duration_ns = NS_PER_S;
	profile_header(p)->period = 1000;
	profile_add(p, profile_add_stack(p, &frame, 1), profile_add_subject(p, &s), values);
	profile_seal(p);
	return p;
}

static void keep(void *arg, const struct series *s)
{
	struct series *to = arg;
	struct profile *had = to->p;
	profile_free(had);
	*to = *s;
	// A copy that outlives the walk.
	to->p = profile_new_like(ACCOUNT_PROFILE, s->p);
	struct profile_merge *m = profile_merge_new(to->p, s->p, 1, NULL, NULL);
	profile_merge_step(m, UINT64_MAX);
	profile_merge_free(m);
}

// The only series that P makes.
static void only(struct profile *p, enum requests_kind kind, struct series *s)
{
	struct bodies b = {0};
	struct requests_options o = options(kind);
	uint64_t left_out;
	*s = (struct series){0};
	assert_int_equal(encode(p, &o, &b, UINT64_MAX, &left_out), 0);
	assert_int_equal(each_series(&b, kind == REQUESTS_PARCA, keep, s), 1);
	free_bodies(&b);
	profile_free(p);
}

static void is_label(const struct series *s, const char *name, const char *value)
{
	const char *has = label(s, name);
	if (!value && has)
		fail_msg("%s: %s", name, has);
	else if (value && !has)
		fail_msg("no label %s", name);
	else if (value)
		assert_string_equal(has, value);
}

static void labels_tell_whose_it_is(void **state)
{
	(void)state;
	static struct series s;
	static char long_value[5000], bad[] = "caf\xc3";
	memset(long_value, 'x', sizeof(long_value) - 1);
	memcpy(long_value + 2047, "\xc3\xa9", 2); // a character that the cut would part
	const char *const resource[] = {"service.name", "shop", "service.namespace", "eu",
	    "k8s.namespace.name", "prod", "k8s.pod.name", "shop-1", "k8s.container.name", "web",
	    "k8s.node.name", "kube-7", "process.executable.path", "/bin/shop", "process.pid", "77",
	    "process.command_line", "shop --secret", "host.long", long_value, "host.bad", bad,
	    "__name__", "evil", "7up/Größe", "y", "deployment.environment", "test", "empty", "",
	    NULL};
	for (int k = 0; k < 2; k++) {
		only(
		    one("cpu", 77, "shopd", resource), k ? REQUESTS_PARCA : REQUESTS_PYROSCOPE, &s);
		is_label(&s, "__name__", k ? "parca_agent" : "process_cpu");
		is_label(&s, "__delta__", k ? NULL : "false");
		is_label(&s, "service_name", "shop");
		is_label(&s, "service_namespace", "eu");
		is_label(&s, "namespace", "prod");
		is_label(&s, "k8s_namespace_name", "prod");
		is_label(&s, "pod", "shop-1");
		is_label(&s, "container", "web");
		is_label(&s, "node", k ? "node-1" : "kube-7");
		is_label(&s, "pid", k ? "77" : NULL);
		is_label(&s, "comm", "shopd");
		is_label(&s, "process_executable_path", "/bin/shop");
		is_label(&s, "process_command_line", NULL);
		is_label(&s, "process_pid", NULL);
		is_label(&s, "host_bad", "caf\xef\xbf\xbd");
		assert_int_equal(strlen(label(&s, "host_long")), 2047);
		is_label(&s, "_7up_Gr____e", "y");
		is_label(&s, "k8s_cluster_name", "east");
		// The series says it: its samples do not again.
		for (uint32_t i = 0; i < profile_subject_count(s.p); i++) {
			assert_int_equal(profile_subject(s.p, i + 1)->labels, 0);
			assert_int_equal(profile_subject(s.p, i + 1)->resource, 0);
		}
		is_label(&s, "empty", NULL);
		profile_free(s.p);
	}
	only(one("cpu", 5, "b\xffsh", NULL), REQUESTS_PYROSCOPE, &s);
	is_label(&s, "service_name", "unknown_service:b\xef\xbf\xbdsh");
	is_label(&s, "comm", "b\xef\xbf\xbdsh");
	is_label(&s, "node", "node-1");
	profile_free(s.p);
	for (int k = 0; k < 2; k++) { // the workers of the kernel are one service
		only(one("cpu", 9, "kworker/u8:3", NULL), k ? REQUESTS_PARCA : REQUESTS_PYROSCOPE,
		    &s);
		is_label(&s, "service_name", "unknown_service:kworker");
		is_label(&s, "comm", "kworker/u8:3");
		profile_free(s.p);
	}
	only(one("cpu", 9, "/x/y", NULL), REQUESTS_PYROSCOPE, &s);
	is_label(&s, "service_name", "unknown_service:/x/y");
	profile_free(s.p);
	only(one("cpu", 0, "", NULL), REQUESTS_PARCA, &s);
	is_label(&s, "service_name", "telegen");
	is_label(&s, "pid", NULL);
	profile_free(s.p);
	check_clean();
}

// Pyroscope makes a series of each value of a label of samples; Parca does not.
static void addresses_of_locks_make_no_series(void **state)
{
	(void)state;
	static const enum requests_kind kinds[] = {REQUESTS_PYROSCOPE, REQUESTS_PARCA};
	static struct series s;
	for (int k = 0; k < 2; k++) {
		struct profile *p = profile_new(ACCOUNT_PROFILE, profile_type_find("mutex"));
		uint32_t frame = profile_add_mark(p, "f"), seen = 0;
		for (uint32_t i = 0; i < 5; i++) {
			char address[16];
			snprintf(address, sizeof(address), "0x%x", i);
			const struct profile_label l[] = {{.key = profile_add_name(p, "lockClass"),
							      .str = profile_add_name(p, "mutex")},
			    {.key = profile_add_name(p, "lockAddress"),
				.str = profile_add_name(p, address)}};
			struct profile_subject who = {.pid = 7,
			    .tid = 7,
			    .comm = profile_add_name(p, "shop"),
			    .labels = profile_add_labels(p, l, 2)};
			profile_add(p, profile_add_stack(p, &frame, 1),
			    profile_add_subject(p, &who), (int64_t[]){1, 10});
		}
		profile_seal(p);
		only(p, kinds[k], &s);
		for (uint32_t i = 0; i < profile_sample_count(s.p); i++) {
			const struct profile_sample *x = profile_sample(s.p, i);
			uint32_t count;
			if (!x->values[0])
				continue;
			profile_labels(s.p, profile_subject(s.p, x->subject)->labels, &count);
			assert_int_equal(count, k ? 2 : 1);
			seen++;
		}
		assert_int_equal(seen, k ? 5 : 1);
		profile_free(s.p);
		check_clean();
	}
}

static void labels_have_a_limit(void **state)
{
	(void)state;
	static struct series s;
	static char names[60][24];
	const char *resource[122] = {0};
	for (int i = 0; i < 60; i++) {
		snprintf(names[i], sizeof(names[i]), "some.key%d", i);
		resource[2 * i] = names[i];
		resource[2 * i + 1] = "v";
	}
	only(one("cpu", 5, "sh", resource), REQUESTS_PYROSCOPE, &s);
	assert_int_equal(s.count, 28);
	is_label(&s, "service_name", "unknown_service:sh");
	is_label(&s, "some_key0", "v");
	profile_free(s.p);
	check_clean();
}

static void types_are_those_that_are_known(void **state)
{
	(void)state;
	static const struct {
		const char *type, *pyroscope, *parca;
	} rows[] = {
	    {"cpu", "process_cpu:samples:count:cpu:nanoseconds",
		"parca_agent:samples:count:cpu:nanoseconds:delta"},
	    {"offcpu", "off_cpu:off_cpu:nanoseconds:off_cpu:nanoseconds",
		"parca_agent:wallclock:nanoseconds:samples:count:delta"},
	    {"wall", "wall:wall:nanoseconds:wall:nanoseconds",
		"wall:wall:nanoseconds:wall:nanoseconds:delta"},
	    {"mutex", "mutex:delay:nanoseconds:contentions:count",
		"mutex:delay:nanoseconds:contentions:count:delta"},
	    {"memory", "page_faults:resident:bytes:space:bytes",
		"page_faults:resident:bytes:space:bytes:delta"},
	    {"allocs", "memory:alloc_space:bytes:space:bytes",
		"memory:alloc_space:bytes:space:bytes:delta"},
	    {"heap", "memory:inuse_space:bytes:space:bytes",
		"memory:inuse_space:bytes:space:bytes"},
	    {"goblock", "block:delay:nanoseconds:contentions:count",
		"block:delay:nanoseconds:contentions:count:delta"},
	};
	static struct series s;
	for (size_t i = 0; i < 2 * sizeof(rows) / sizeof(*rows); i++) {
		bool parca = i % 2, found = false;
		const char *type = rows[i / 2].type,
			   *want = parca ? rows[i / 2].parca : rows[i / 2].pyroscope;
		only(one(type, 5, "sh", NULL), parca ? REQUESTS_PARCA : REQUESTS_PYROSCOPE, &s);
		const struct profile_header *h = profile_header_of(s.p);
		for (uint32_t v = 0; v < h->value_count; v++) {
			char id[200];
			snprintf(id, sizeof(id), "%s:%s:%s:%s:%s%s", label(&s, "__name__"),
			    profile_name(s.p, h->value_types[v]),
			    profile_name(s.p, h->value_units[v]), profile_name(s.p, h->period_type),
			    profile_name(s.p, h->period_unit),
			    parca && h->duration_ns ? ":delta" : "");
			found |= !strcmp(id, want);
		}
		if (!found)
			fail_msg("%s: no %s", type, want);
		int64_t totals[PROFILE_VALUES_MAX];
		profile_totals(s.p, totals);
		assert_int_equal(totals[0], 3);
		profile_free(s.p);
	}
	check_clean();
}

static void same_labels_are_one_series(void **state)
{
	(void)state;
	static struct series s;
	struct profile *p = profile_new(ACCOUNT_PROFILE, profile_type_find("cpu"));
	uint32_t frame = profile_add_mark(p, "f"), stack = profile_add_stack(p, &frame, 1);
	// They differ in their command line, in the order of their attributes, and in what has no
	// label.
	for (uint32_t pid = 1; pid <= 6; pid++) {
		char line[32];
		snprintf(line, sizeof(line), "sh -c %u", pid);
		struct profile_label set[] = {
		    {.key = profile_add_name(p, "service.name"), .str = profile_add_name(p, "a")},
		    {.key = profile_add_name(p, "host.arch"), .str = profile_add_name(p, "b")},
		    {.key = profile_add_name(p, "process.command_line"),
			.str = profile_add_name(p, line)}};
		if (pid % 2) {
			struct profile_label first = set[0];
			set[0] = set[1];
			set[1] = first;
		}
		struct profile_subject who = {.pid = pid,
		    .process = profile_add_name(p, "sh"),
		    .resource = profile_add_labels(p, set, 3)};
		profile_add(p, stack, profile_add_subject(p, &who), (int64_t[]){1, 10});
	}
	profile_seal(p);
	only(p, REQUESTS_PYROSCOPE, &s);
	is_label(&s, "host_arch", "b");
	int64_t totals[PROFILE_VALUES_MAX];
	profile_totals(s.p, totals);
	assert_int_equal(totals[0], 6);
	assert_int_equal(profile_sample_count(s.p), 7); // by pid still
	profile_free(s.p);
	check_clean();
}

// One process with COUNT stacks of DEPTH frames, whose names are NAME bytes that compress well
// where they are PLAIN.
static struct profile *large(uint32_t count, uint32_t depth, uint32_t name, bool plain)
{
	struct profile *p = profile_new(ACCOUNT_PROFILE, profile_type_find("cpu"));
	static uint32_t frames[PROFILE_STACK_MAX];
	char *text = calloc(1, name + 32);
	profile_header(p)->time_ns = 5 * NS_PER_S;
	struct profile_subject s = {.pid = 9, .process = profile_add_name(p, "big")};
	uint32_t subject = profile_add_subject(p, &s);
	for (uint32_t i = 0; i < count; i++) {
		for (uint32_t k = 0; k < depth; k++) {
			uint32_t n = k ? k : 100000 + i;
			memset(text, 'n', name);
			for (uint32_t c = 0; c < name && !plain; c++)
				text[c] = (char)('a' + hash_mix((uint64_t)n << 32 | c) % 26);
			sprintf(text + name, "%u", n);
			struct profile_frame f = {.address = n * 16, .place = 1};
			frames[k] = profile_add_frame(p, &f);
			if (!profile_frame(p, frames[k])->name)
				profile_set_frame_name(p, frames[k], text, NULL);
		}
		profile_add(p, profile_add_stack(p, frames, depth), subject, (int64_t[]){2, 20});
	}
	free(text);
	profile_seal(p);
	return p;
}

struct split {
	uint32_t samples_max, depth_max, parts;
	uint64_t raw_max, last_time;
	int64_t total;
};

static void look_split(void *arg, const struct series *s)
{
	struct split *x = arg;
	int64_t totals[PROFILE_VALUES_MAX];
	uint32_t depth;
	profile_totals(s->p, totals);
	x->total += totals[0];
	x->parts++;
	if (profile_sample_count(s->p) - 1 > x->samples_max)
		x->samples_max = profile_sample_count(s->p) - 1;
	x->raw_max = s->raw > x->raw_max ? s->raw : x->raw_max;
	for (uint32_t i = 1; i <= profile_stack_count(s->p); i++) {
		profile_stack(s->p, i, &depth);
		x->depth_max = depth > x->depth_max ? depth : x->depth_max;
	}
	// Two parts of one series are never of the same millisecond.
	assert_true(profile_header_of(s->p)->time_ns / NS_PER_MS > x->last_time);
	x->last_time = profile_header_of(s->p)->time_ns / NS_PER_MS;
}

// Who has no name and no resource is still not the agent.
static void nobody_is_nobody_else(void **state)
{
	(void)state;
	for (int k = 0; k < 2; k++) {
		static struct sum sum;
		struct profile *p = profile_new(ACCOUNT_PROFILE, profile_type_find("cpu"));
		uint32_t frame = profile_add_mark(p, "f"), stack = profile_add_stack(p, &frame, 1);
		profile_add(p, stack, profile_add_subject(p, &(struct profile_subject){.pid = 5}),
		    (int64_t[]){1, 10});
		profile_add_lost(p, "[lost: ring full]", (int64_t[]){4, 40});
		profile_seal(p);
		struct bodies b = {0};
		struct requests_options o = options(k ? REQUESTS_PARCA : REQUESTS_PYROSCOPE);
		uint64_t left_out;
		assert_int_equal(encode(p, &o, &b, UINT64_MAX, &left_out), 0);
		sum = (struct sum){.parca = k, .nameless = true};
		assert_int_equal(each_series(&b, k, add_up, &sum), 2);
		assert_int_equal(sum.own, 4);
		profile_free(sum.all);
		free_bodies(&b);
		profile_free(p);
	}
	check_clean();
}

static void large_series_are_split(void **state)
{
	(void)state;
	struct requests_options o = options(REQUESTS_PYROSCOPE);
	static const struct {
		uint32_t count, depth, name, bytes_max, parts, bodies, left_out;
		bool plain;
	} rows[] = {
	    {40000, 3, 0, 0, 3, 1, 0}, // samples
	    {3000, 3, 3000, 0, 3, 2, 0},
	    {3000, 3, 3000, 0, 3, 1, 0, true}, // bytes, which the strings are
	    {900, 3, 3000, 300000, 8, 8, 0},   // of a body
	    {5, 3, 3000, 1000, 0, 0, 10},      // not even one
	    {50, 2500, 0, 0, 1, 1, 0},	       // depth
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct profile *p =
		    large(rows[i].count, rows[i].depth, rows[i].name, rows[i].plain);
		struct bodies b = {0};
		struct split x = {0};
		uint64_t left_out, delivered = 0;
		o.bytes_max = rows[i].bytes_max;
		assert_int_equal(encode(p, &o, &b, 1000000, &left_out), 0);
		each_series(&b, false, look_split, &x);
		for (uint32_t k = 0; k < b.count; k++) {
			delivered += b.facts[k].samples;
			assert_true(
			    b.body[k].len <= (o.bytes_max ? o.bytes_max : REQUEST_BYTES_MAX));
		}
		print_message("%u stacks: %u parts of %u samples, %" PRIu64 " bytes, %u bodies\n",
		    rows[i].count, x.parts, x.samples_max, x.raw_max, b.count);
		assert_true(x.parts >= rows[i].parts && b.count >= rows[i].bodies);
		assert_true(x.samples_max <= 16000 && x.raw_max <= 4 << 20 && x.depth_max <= 1000);
		assert_int_equal(left_out, rows[i].left_out);
		assert_int_equal(delivered + left_out, 2 * rows[i].count);
		assert_int_equal(x.total, delivered);
		free_bodies(&b);
		profile_free(p);
	}
	check_clean();
}

static void a_failing_sink_ends_it(void **state)
{
	(void)state;
	struct profile *p = profiles_node(500, 3);
	int64_t totals[PROFILE_VALUES_MAX];
	profile_totals(p, totals);
	for (int i = 0; i < 2; i++) {
		struct bodies b = {.fail_begin = i ? 0 : -ENOSPC, .fail_end = i ? -EIO : 0};
		struct requests_options o = options(REQUESTS_PYROSCOPE);
		uint64_t left_out = 0;
		assert_int_equal(encode(p, &o, &b, 1000, &left_out), i ? -EIO : -ENOSPC);
		assert_int_equal(left_out, totals[0]);
		free_bodies(&b);
	}
	profile_free(p);
	check_clean();
}

static void add_total(void *arg, const struct series *s)
{
	int64_t totals[PROFILE_VALUES_MAX];
	profile_totals(s->p, totals);
	*(int64_t *)arg += totals[0];
}

// Whatever finds no memory: what comes out and what was left out are the whole.
static void memory_that_fails(void **state)
{
	(void)state;
	struct profile *p = profiles_node(40, 4);
	int64_t totals[PROFILE_VALUES_MAX];
	profile_totals(p, totals);
	uint64_t n = 1, whole = 0;
	for (;; n += n < 400 ? 1 : 17) {
		struct bodies b = {0};
		struct requests_options o = options(n % 2 ? REQUESTS_PARCA : REQUESTS_PYROSCOPE);
		struct requests_out out = {begin, take_body, end, &b};
		uint64_t left_out = 0, delivered = 0;
		mem_fail_at(n);
		struct requests *r = requests_new(&o, &out);
		int more = r ? requests_put(r, p) : -ENOMEM;
		while (more >= 0 && (more = requests_step(r, 100000)) == 1)
			;
		bool failed = mem_fail_seen() >= n;
		mem_fail_at(0);
		if (r)
			left_out = requests_left_out(r);
		requests_free(r);
		int64_t total = 0;
		for (uint32_t i = 0; i < b.count; i++)
			delivered += b.facts[i].samples;
		each_series(&b, n % 2, add_total, &total);
		assert_true(more == 0 || more == -ENOMEM);
		if (r)
			assert_int_equal(delivered + left_out, totals[0]);
		assert_int_equal(total, delivered);
		whole += more == 0;
		free_bodies(&b);
		if (!failed)
			break;
	}
	assert_true(n > 100 && whole > 100);
	profile_free(p);
	check_clean();
}

static void a_profile_may_follow(void **state)
{
	(void)state;
	struct bodies b = {0};
	struct requests_options o = options(REQUESTS_PYROSCOPE);
	struct requests_out out = {begin, take_body, end, &b};
	struct requests *r = requests_new(&o, &out);
	struct profile *p = profiles_node(300, 5),
		       *none = profile_new(ACCOUNT_PROFILE, profile_type_find("heap"));
	profile_seal(none);
	assert_int_equal(requests_put(r, p), 0);
	assert_int_equal(requests_step(r, 0), 1); // given up in the middle
	for (int i = 0; i < 3; i++) {
		assert_int_equal(requests_put(r, i == 1 ? none : p), 0);
		while (requests_step(r, 100000) == 1)
			;
		assert_int_equal(requests_left_out(r), 0);
	}
	assert_int_equal(b.count, 2); // nothing makes no body
	requests_free(r);
	free_bodies(&b);
	profile_free(p);
	profile_free(none);
	assert_string_equal(requests_content_type(REQUESTS_PYROSCOPE), "application/proto");
	check_clean();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(comes_back_whole),
	    cmocka_unit_test(slices_are_short),
	    cmocka_unit_test(labels_tell_whose_it_is),
	    cmocka_unit_test(labels_have_a_limit),
	    cmocka_unit_test(addresses_of_locks_make_no_series),
	    cmocka_unit_test(types_are_those_that_are_known),
	    cmocka_unit_test(same_labels_are_one_series),
	    cmocka_unit_test(nobody_is_nobody_else),
	    cmocka_unit_test(large_series_are_split),
	    cmocka_unit_test(a_failing_sink_ends_it),
	    cmocka_unit_test(memory_that_fails),
	    cmocka_unit_test(a_profile_may_follow),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
