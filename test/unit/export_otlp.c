// SPDX-License-Identifier: Apache-2.0
// OTLP profiles: every body keeps the rules of all receivers (test/otlp.h) and all of them together
// say what the profile says, however small the bodies and the slices are; types, resources, memory
// and sinks that fail.
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "../../modules/export/otlp.c"
#include "otlp.h"

static const struct requests_options plain = {.service = "agent", .version = "1.2", .host = ""};

static int compare_lines(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

// Lines KEY \t VALUE sorted, those of one key summed; T is freed.
static char *sums(struct text *t)
{
	char **line = calloc(t->len + 1, sizeof(*line)), *save = NULL;
	struct text out = TEXT(ACCOUNT_BASE);
	uint32_t count = 0;
	for (char *s = strtok_r(t->at, "\n", &save); s; s = strtok_r(NULL, "\n", &save))
		line[count++] = s;
	qsort(line, count, sizeof(*line), compare_lines);
	for (uint32_t i = 0; i < count;) {
		size_t key = strcspn(line[i], "\t") + 1;
		int64_t sum = 0;
		uint32_t k = i;
		for (; k < count && !strncmp(line[k], line[i], key); k++)
			sum += strtoll(line[k] + key, NULL, 10);
		text_add(&out, line[i], key);
		text_printf(&out, "%" PRId64 "\n", sum);
		i = k;
	}
	free(line);
	text_free(t);
	return out.at;
}

static const char *word(const struct profile *p, uint32_t name)
{
	return profile_name(p, name);
}

// What bodies of P, of profiles_node, must say.
static char *expected(const struct profile *p)
{
	struct text t = TEXT(ACCOUNT_BASE);
	for (uint32_t i = 0; i < profile_sample_count(p); i++) {
		const struct profile_sample *s = profile_sample(p, i);
		const struct profile_subject *who = profile_subject(p, s->subject);
		const char *process = word(p, who->process), *container = word(p, who->container);
		uint32_t n;
		if (!s->values[0])
			continue;
		text_puts(&t, "samples/count:cpu/nanoseconds ");
		if (who->pid)
			text_printf(
			    &t, "process.pid=#%u,process.executable.name=%s,", who->pid, process);
		if (*container)
			text_printf(&t, "container.id=%s,", container);
		text_printf(&t,
		    who->pid ? "service.name=unknown_service:%s," : "service.name=agent,", process);
		if (who->tid)
			text_printf(
			    &t, " thread.id=#%u thread.name=%s", who->tid, word(p, who->comm));
		const struct profile_label *l = profile_labels(p, who->labels, &n);
		for (uint32_t k = 0; k < n; k++)
			if (l[k].str)
				text_printf(&t, " %s=%s", word(p, l[k].key), word(p, l[k].str));
			else
				text_printf(&t, " %s=#%" PRId64 "%s", word(p, l[k].key), l[k].num,
				    word(p, l[k].num_unit));
		const uint32_t *frames = profile_stack(p, s->stack, &n);
		for (uint32_t k = 0; k < n; k++) {
			static const char *const type[] = {
			    " profile.frame.type=native", " profile.frame.type=kernel", "", ""};
			static const char *const file[] = {"", "[kernel.kallsyms]", "[jit]", ""};
			const struct profile_frame *f = profile_frame(p, frames[k]);
			const struct profile_mapping *m = profile_mapping(p, f->mapping);
			text_printf(&t, "|%s %s%s %" PRIx64 " %s", word(p, f->name),
			    word(p, f->system_name), type[f->kind], f->address,
			    m ? word(p, m->file) : file[f->kind]);
			if (m)
				text_printf(&t, " process.executable.build_id.gnu=%s",
				    word(p, m->build_id));
		}
		text_printf(&t, "\t%" PRId64 "\n", s->values[0]);
	}
	return sums(&t);
}

static void bodies_say_what_the_profile_says(void **state)
{
	(void)state;
	struct profile *p = profiles_node(3000, 1);
	char *want = expected(p);
	int64_t totals[PROFILE_VALUES_MAX];
	profile_totals(p, totals);
	static const struct {
		uint32_t bytes_max, wait;
		bool previous;
		uint64_t budget;
	} rows[] = {{0, 0, false, UINT64_MAX}, {0, 3, true, 0}, {40000, 0, false, 0},
	    {40000, 2, true, UINT64_MAX}, {6000, 1, false, 20000}};
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct otlp_receiver x = {.wait = rows[i].wait};
		struct requests_options o = plain;
		uint64_t left_out;
		o.bytes_max = rows[i].bytes_max;
		o.previous = rows[i].previous;
		assert_int_equal(otlp_send(&x, &o, p, rows[i].budget, &left_out), 0);
		assert_int_equal(left_out, 0);
		assert_int_equal(x.samples, totals[0]);
		assert_int_equal(x.reader.totals[0], totals[0]);
		assert_true(x.largest < (o.bytes_max ? o.bytes_max : REQUEST_BYTES_MAX));
		if (o.bytes_max) { // they are well filled
			assert_true(x.reader.bodies > 5 && x.largest > o.bytes_max * 8 / 10);
			assert_true(x.reader.profiles >= 201);
		} else {
			assert_int_equal(x.reader.bodies, 1);
			assert_int_equal(x.reader.resources, 201);
			assert_int_equal(x.reader.profiles, 201); // 200 processes and the agent
		}
		char *got = sums(&x.reader.lines);
		assert_string_equal(got, want);
		mem_free(got);
		otlp_receiver_free(&x);
	}
	mem_free(want);
	profile_free(p);
	assert_int_equal(
	    mem_used(ACCOUNT_EXPORT) + mem_used(ACCOUNT_WIRE) + mem_used(ACCOUNT_PROFILE), 0);
}

// Sends P in one body and gives its sorted lines.
static char *said(const struct profile *p, const struct requests_options *o, uint64_t samples)
{
	struct otlp_receiver x = {0};
	uint64_t left_out;
	assert_int_equal(otlp_send(&x, o, p, UINT64_MAX, &left_out), 0);
	assert_int_equal(left_out, 0);
	assert_int_equal(x.samples, samples);
	char *lines = sums(&x.reader.lines);
	otlp_receiver_free(&x);
	return lines;
}

static uint32_t frame(struct profile *p, const char *name, uint32_t owner)
{
	return profile_add_frame(p, &(struct profile_frame){.address = 0x1234,
					.owner = owner,
					.kind = FRAME_JIT,
					.name = profile_add_name(p, name)});
}

static void each_value_is_a_profile_that_readers_know(void **state)
{
	(void)state;
	static const struct {
		const char *type;
		int64_t period, values[2];
		uint64_t samples;
		const char *want[2];
	} rows[] = {
	    {"cpu", 10101010, {2, 20202020}, 2, {"samples/count:cpu/nanoseconds\t2\n"}},
	    {"cpu", 0, {2, 20202020}, 2, {"cpu/nanoseconds:cpu/nanoseconds\t20202020\n"}},
	    {"offcpu", 1, {3, 555}, 3, {"off_cpu/nanoseconds:/\t555\n"}},
	    {"wall", 5000, {10000}, 1, {"wall/nanoseconds:wall/nanoseconds\t10000\n"}},
	    {"mutex", 1, {3, 9}, 3,
		{"contentions/count:mutex/count\t3\n", "delay/nanoseconds:mutex/count\t9\n"}},
	    {"goblock", 0, {3, 9}, 3,
		{"contentions/count:goblock/count\t3\n", "delay/nanoseconds:goblock/count\t9\n"}},
	    {"memory", 1, {4, 4096}, 4,
		{"faults/count:memory/bytes\t4\n", "resident/bytes:memory/bytes\t4096\n"}},
	    {"allocs", 512, {4, 0}, 4, {"alloc_objects/count:allocs/bytes\t4\n"}},
	    {"heap", 512, {0, 4096}, 0, {"inuse_space/bytes:heap/bytes\t4096\n"}},
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct profile *p = profile_new(ACCOUNT_PROFILE, profile_type_find(rows[i].type));
		profile_header(p)->period = rows[i].period;
		profile_header(p)->time_ns = 5;
		profile_add_lost(p, "[lost: x]", rows[i].values);
		profile_seal(p);
		char *got = said(p, &plain, rows[i].samples), want[300] = "";
		for (int v = 0; v < 2 && rows[i].want[v]; v++) {
			const char *line = rows[i].want[v];
			snprintf(want + strlen(want), sizeof(want) - strlen(want),
			    "%.*s service.name=agent,|[lost: x]  0 %s", (int)strcspn(line, "\t"),
			    line, line + strcspn(line, "\t"));
		}
		assert_string_equal(got, want);
		mem_free(got);
		profile_free(p);
	}
	// Foreign: by its own period type, else by that of the value.
	for (int typed = 0; typed < 2; typed++) {
		struct profile_type type = {.value_count = 2,
		    .values = {{"a", "count"}, {"b", "bytes"}},
		    .period = {typed ? "x" : "", typed ? "y" : ""}};
		struct profile *p = profile_new(ACCOUNT_PROFILE, &type);
		profile_header(p)->type = NULL;
		profile_add_lost(p, "[lost: x]", (int64_t[]){1, -2});
		profile_seal(p);
		char *got = said(p, &plain, 1);
		assert_non_null(strstr(got, typed ? "a/count:x/y " : "a/count:a/count "));
		assert_non_null(strstr(got, typed ? "b/bytes:x/y " : "b/bytes:b/bytes "));
		assert_non_null(strstr(got, "\t-2\n"));
		mem_free(got);
		profile_free(p);
	}
}

static uint32_t label_set(struct profile *p, const char *const *words)
{
	struct profile_label l[8] = {0};
	uint32_t n = 0;
	for (; words[0]; words += 2, n++) {
		l[n].key = profile_add_name(p, words[0]);
		if (*words[1] == '#')
			l[n].num = atoi(words[1] + 1);
		else
			l[n].str = profile_add_name(p, words[1]);
	}
	return profile_add_labels(p, l, n);
}

static void resources_are_processes(void **state)
{
	(void)state;
	struct profile *p = profile_new(ACCOUNT_PROFILE, profile_type_find("wall"));
	struct profile_subject s[] = {
	    {.pid = 7, .tid = 8},
	    {.pid = 7, .tid = 8},
	    {.pid = 9},
	};
	s[0].process = s[1].process = profile_add_name(p, "shop");
	s[0].comm = s[1].comm = profile_add_name(p, "worker");
	s[2].comm = profile_add_name(p, "kworker/0:1");
	s[1].container = profile_add_name(p, "c0ffee");
	s[1].resource = label_set(p, (const char *const[]){"service.name", "cart", "shard", "#5",
					 "host.name", "inside", NULL});
	s[1].labels = label_set(p, (const char *const[]){"reason", "futex", "reason", "again",
				       "thread.id", "other", "zero", "#0", NULL});
	uint32_t f = frame(p, "run", 0), stack = profile_add_stack(p, &f, 1);
	for (int i = 0; i < 3; i++)
		profile_add(p, stack, profile_add_subject(p, &s[i]), (int64_t[]){i + 1});
	profile_add_lost(p, "[lost: ring full]", (int64_t[]){100});
	profile_seal(p);
	struct requests_options o = plain;
	o.host = "node-1";
	o.resource = (const char *const[]){
	    "env", "prod", "shard", "9", "process.pid", "1", "", "x", "bad", "\xff", NULL};
	char *got = said(p, &o, 4);
#define W "wall/nanoseconds:wall/nanoseconds "
	assert_string_equal(got,
	    W "process.pid=#7,env=prod,shard=9,bad=\xef\xbf\xbd,process.executable.name=shop,"
	      "host.name=node-1,service.name=unknown_service:shop, thread.id=#8 thread.name=worker"
	      "|run  1234 [jit]\t1\n" //
	    W "process.pid=#7,service.name=cart,shard=#5,host.name=inside,env=prod,"
	      "bad=\xef\xbf\xbd,process.executable.name=shop,container.id=c0ffee,"
	      " thread.id=#8 thread.name=worker reason=futex zero=#0|run  1234 [jit]\t2\n" //
	    W "process.pid=#9,env=prod,shard=9,bad=\xef\xbf\xbd,"
	      "process.executable.name=kworker/0:1,host.name=node-1,"
	      "service.name=unknown_service:kworker, thread.name=kworker/0:1"
	      "|run  1234 [jit]\t3\n" //
	    W "service.name=agent,env=prod,shard=9,process.pid=1,bad=\xef\xbf\xbd,"
	      "host.name=node-1,|[lost: ring full]  0 \t100\n");
	mem_free(got);
	profile_free(p);
}

// What differs for us but not in what is written is in a dictionary once, and its samples are one.
static void nothing_is_told_twice(void **state)
{
	(void)state;
	struct profile *p = profile_new(ACCOUNT_PROFILE, profile_type_find("offcpu"));
	struct profile_subject who = {.pid = 1, .comm = profile_add_name(p, "\xc3(")};
	uint32_t subject = profile_add_subject(p, &who);
	for (uint32_t i = 0; i < 4; i++) {
		struct profile_mapping m = {.key = i, .file = profile_add_name(p, "/bin/a")};
		struct profile_frame f = {.address = 0x10,
		    .owner = i,
		    .place = 2,
		    .mapping = profile_add_mapping(p, &m),
		    .name = profile_add_name(p, i % 2 ? "\xff" : "\xfe")};
		uint32_t frames[] = {
		    frame(p, i % 2 ? "\xff" : "\xfe", i), profile_add_frame(p, &f)};
		uint32_t stack = profile_add_stack(p, frames, 2);
		profile_add(p, stack, subject, (int64_t[]){1, i == 3 ? INT64_MAX : 10});
		who.tid = 5;
		profile_add(p, stack, profile_add_subject(p, &who), (int64_t[]){1, 1});
	}
	profile_add(p, profile_add_stack(p, NULL, 0), subject, (int64_t[]){1, 7});
	uint32_t frame = profile_add_mark(p, "x"), two[2] = {frame, frame};
	profile_set_frame_name(p, frame, "", NULL);
	profile_add(p, profile_add_stack(p, two, 2), subject, (int64_t[]){1, 8});
	profile_add(p, profile_add_stack(p, two, 1), subject, (int64_t[]){1, 0}); // nothing to tell
	profile_seal(p);
	struct otlp_receiver x = {0};
	uint64_t left_out;
	assert_int_equal(otlp_send(&x, &plain, p, 0, &left_out), 0);
	assert_int_equal(left_out, 1);
	assert_int_equal(x.untold, 1);
	assert_int_equal(x.samples, 10);
	assert_int_equal(x.reader.samples, 4);
	char *got = sums(&x.reader.lines);
#define HEAD                                                                                       \
	"off_cpu/nanoseconds:/ "                                                                   \
	"process.pid=#1,process.executable.name=\xef\xbf\xbd(,service.name=unknown_service:"       \
	"\xef\xbf\xbd(,"
#define STACK "|\xef\xbf\xbd  1234 [jit]|\xef\xbf\xbd  profile.frame.type=native 10 /bin/a"
	assert_string_equal(got,
	    HEAD " thread.id=#5 thread.name=\xef\xbf\xbd(" STACK "\t4\n" //
	    HEAD " thread.name=\xef\xbf\xbd(\t7\n"			 //
	    HEAD " thread.name=\xef\xbf\xbd(|  0 |  0 \t8\n"		 //
	    HEAD " thread.name=\xef\xbf\xbd(" STACK "\t9223372036854775807\n");
	mem_free(got);
	otlp_receiver_free(&x);
	profile_free(p);
}

static void build_ids_say_whose_they_are(void **state)
{
	(void)state;
	static const struct {
		const char *id, *want;
	} rows[] = {
	    {"00112233445566778899aabbccddeeff00112233",
		" process.executable.build_id.gnu=00112233445566778899aabbccddeeff00112233"},
	    {"abc/def/ghi", " process.executable.build_id.go=abc/def/ghi"},
	    {"", ""},
	    {"0011223", ""},
	    {"a guess", ""},
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct profile *p = profile_new(ACCOUNT_PROFILE, profile_type_find("wall"));
		struct profile_mapping m = {.start = UINT64_MAX,
		    .limit = UINT64_MAX,
		    .file = profile_add_name(p, "f"),
		    .build_id = profile_add_name(p, rows[i].id)};
		struct profile_frame f = {
		    .address = UINT64_MAX, .mapping = profile_add_mapping(p, &m)};
		uint32_t at = profile_add_frame(p, &f);
		profile_add(p, profile_add_stack(p, &at, 1), 1, (int64_t[]){1});
		profile_seal(p);
		char *got = said(p, &plain, 1), want[300];
		snprintf(want, sizeof(want),
		    W "service.name=agent,|  profile.frame.type=native ffffffffffffffff f%s\t1\n",
		    rows[i].want);
		assert_string_equal(got, want);
		mem_free(got);
		profile_free(p);
	}
}

// A sample that no body holds is left out, and so is all that was not sent when a body failed.
static void what_finds_no_place_is_counted(void **state)
{
	(void)state;
	struct profile *p = profile_new(ACCOUNT_PROFILE, profile_type_find("cpu"));
	profile_header(p)->period = 1;
	uint32_t deep[PROFILE_STACK_MAX];
	char name[40];
	for (uint32_t i = 0; i < PROFILE_STACK_MAX; i++) {
		snprintf(name, sizeof(name), "function_%u", i);
		deep[i] = frame(p, name, i);
	}
	for (uint32_t i = 0; i < 50; i++) {
		uint32_t n = i == 10 || i == 49 ? PROFILE_STACK_MAX - i : 5;
		profile_add(
		    p, profile_add_stack(p, deep + (n == 5 ? i : 0), n), 1, (int64_t[]){i + 1, 1});
	}
	profile_seal(p);
	struct requests_options o = plain;
	uint64_t left_out;
	o.bytes_max = 2000;
	struct otlp_receiver x = {0};
	assert_int_equal(otlp_send(&x, &o, p, 0, &left_out), 0);
	assert_int_equal(left_out, 11 + 50);
	assert_int_equal(x.samples, 50 * 51 / 2 - 11 - 50);
	assert_true(x.reader.bodies > 1 && x.largest < 2000);
	otlp_receiver_free(&x);
	o.bytes_max = 20; // nothing fits, no body is begun
	x = (struct otlp_receiver){0};
	assert_int_equal(otlp_send(&x, &o, p, 0, &left_out), 0);
	assert_int_equal(left_out, 50 * 51 / 2);
	assert_int_equal(x.reader.bodies, 0);
	otlp_receiver_free(&x);
	o.bytes_max = 2000;
	x = (struct otlp_receiver){.refuse = -ENOSPC};
	assert_int_equal(otlp_send(&x, &o, p, 0, &left_out), -ENOSPC);
	assert_int_equal(left_out, 50 * 51 / 2);
	otlp_receiver_free(&x);
	profile_free(p);
}

static int none(void *arg)
{
	(void)arg;
	return 0;
}
static int swallow(void *arg, const void *bytes, size_t n)
{
	(void)arg, (void)bytes, (void)n;
	return 0;
}
static int add_up(void *arg, const struct requests_facts *f)
{
	*(uint64_t *)arg += f->samples;
	return 0;
}

static void memory_may_run_out_anywhere(void **state)
{
	(void)state;
	struct profile *p = profiles_node(60, 3);
	struct profile_header *h = profile_header(p);
	h->comments = 0;
	struct requests_options o = plain;
	o.bytes_max = 3000;
	o.gzip = true;
	int result = -ENOMEM;
	uint32_t n = 1;
	for (; result && n < 2000; n++) {
		uint64_t sent = 0;
		struct requests_out out = {none, swallow, add_up, &sent};
		mem_fail_at(n);
		struct requests *r = requests_new(&o, &out);
		result = r ? requests_put(r, p) : -errno;
		while (r && !result && (result = requests_step(r, 0)) == 1)
			result = 0;
		uint64_t left_out = r ? requests_left_out(r) : 0;
		mem_fail_at(0);
		if (r)
			assert_int_equal(sent + left_out, 67);
		assert_true(result == 0 || result == -ENOMEM);
		requests_free(r);
		assert_int_equal(mem_used(ACCOUNT_EXPORT) + mem_used(ACCOUNT_WIRE), 0);
	}
	assert_true(n > 40 && n < 2000);
	profile_free(p);
}

// One after the other, and one that was not done when the next came.
static void it_is_used_again(void **state)
{
	(void)state;
	struct profile *p = profiles_node(300, 4), *q = profiles_node(200, 5);
	uint64_t sent = 0;
	struct requests_out out = {none, swallow, add_up, &sent};
	struct requests *r = requests_new(&plain, &out);
	assert_int_equal(requests_put(r, p), 0);
	for (int i = 0; i < 20; i++)
		assert_int_equal(requests_step(r, 0), 1);
	for (int i = 0; i < 2; i++) {
		sent = 0;
		assert_int_equal(requests_put(r, q), 0);
		while (requests_step(r, 100000) == 1)
			;
		assert_int_equal(sent, 207);
	}
	assert_string_equal(requests_content_type(REQUESTS_OTLP), "application/x-protobuf");
	assert_int_equal(requests_put(r, p), 0);
	requests_free(r);
	profile_free(p);
	profile_free(q);
	assert_int_equal(mem_used(ACCOUNT_EXPORT) + mem_used(ACCOUNT_WIRE), 0);
}

static void slices_are_short(void **state)
{
	(void)state;
	struct profile *p = profiles_node(20000, 6);
	uint64_t sent = 0, longest = 0, total = 0;
	uint32_t late = 0;
	struct requests_out out = {none, swallow, add_up, &sent};
	struct requests *r = requests_new(&plain, &out);
	uint64_t before = profiles_ran();
	assert_int_equal(requests_put(r, p), 0);
	assert_true(profiles_ran() - before < 5 * NS_PER_MS);
	for (int more = 1; more == 1;) {
		before = profiles_ran();
		more = requests_step(r, 200 * NS_PER_US);
		uint64_t ran = profiles_ran() - before;
		total += ran;
		late += ran > NS_PER_MS;
		if (ran > longest)
			longest = ran;
	}
	printf("20000 samples: %llu us in all, longest slice %llu us, %u over 1 ms\n",
	    (unsigned long long)total / 1000, (unsigned long long)longest / 1000, late);
	assert_true(late < 3 && sent == 20007);
	requests_free(r);
	profile_free(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(bodies_say_what_the_profile_says),
	    cmocka_unit_test(each_value_is_a_profile_that_readers_know),
	    cmocka_unit_test(resources_are_processes),
	    cmocka_unit_test(nothing_is_told_twice),
	    cmocka_unit_test(build_ids_say_whose_they_are),
	    cmocka_unit_test(what_finds_no_place_is_counted),
	    cmocka_unit_test(memory_may_run_out_anywhere),
	    cmocka_unit_test(it_is_used_again),
	    cmocka_unit_test(slices_are_short),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
