// SPDX-License-Identifier: Apache-2.0
// Logs: every record as the contract of the Go agent says it; totals over requests; bodies that
// stay under their limits; bad text; slices; memory and sinks that fail.
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "export_bodies.h"

#include "../../modules/export/logs.c"

static const char *const shop[] = {"service.name", "shop", "service.version", "2.3.4",
    "k8s.pod.name", "shop-7d4b9c6f5d-x2x4z", "k8s.namespace.name", "sales", "k8s.container.name",
    "web", "process.runtime.name", "go", "process.executable.path", "/app/shop",
    "process.command_line", "shop -v", NULL};
static const char *const stack[] = {
    "k:do_idle", "k:entry", "std::map<a::b>::at(c::d)", "main", "", NULL};
static const struct sample_of cpu_sample = {.pid = 70,
    .tid = 71,
    .comm = "worker",
    .process = "shop",
    .container = CONTAINER,
    .resource = shop,
    .frames = stack,
    .values = {3, 30303030}};
static const char *const node[] = {"k8s.node.name", "node-7", "cloud.region", "north", NULL};

// The text of record N (counted over all bodies) and its fields.
static struct wire_in record(const struct bodies *b, uint32_t n)
{
	struct wire_field rl, sl, record;
	for (uint32_t i = 0; i < b->count; i++)
		for (struct wire_in body = bodies_in(b, i); next_field(&body, 1, &rl);)
			for (struct wire_in in = rl.bytes; next_field(&in, 2, &sl);)
				for (struct wire_in list = sl.bytes; next_field(&list, 2, &record);)
					if (!n--)
						return record.bytes;
	return (struct wire_in){0};
}

static char *json_of(struct wire_in record)
{
	struct wire_in text = field_in(field_in(record, 5), 1);
	return strndup((const char *)text.at, (size_t)(text.end - text.at));
}

static void is_body(const struct bodies *b, uint32_t n, const char *want)
{
	char *have = json_of(record(b, n));
	const char *end = json_skip(have);
	assert_string_equal(have, want);
	assert_true(end && !*end);
	free(have);
}

static void has_in_body(const struct bodies *b, uint32_t n, const char *want)
{
	char *have = json_of(record(b, n));
	if (!strstr(have, want))
		fail_msg("no %s in %s", want, have);
	free(have);
}

static void has_attribute(const struct bodies *b, uint32_t n, const char *want)
{
	char *have = attributes_of(record(b, n), 6);
	if (!strstr(have, want))
		fail_msg("no %s in %s", want, have);
	free(have);
}

static struct bodies encoded(const char *type, const struct sample_of *s, struct requests_options o)
{
	struct bodies b = {0};
	struct profile *p = one_sample(type, s);
	o.kind = REQUESTS_LOGS;
	struct requests *r = bodies_new(&b, &o);
	assert_int_equal(bodies_put(r, p), 0);
	assert_int_equal(requests_left_out(r), 0);
	requests_free(r);
	profile_free(p);
	all_is_free();
	return b;
}

static void a_record_is_as_the_contract_says(void **state)
{
	(void)state;
	uint64_t monotonic = 1, wall = 1800000000000000000ull;
	clock_fake(&monotonic, &wall);
	struct bodies b = encoded("cpu", &cpu_sample,
	    (struct requests_options){.service = "telegen",
		.version = "3.0",
		.host = "host-1",
		.resource = node,
		.stack_traces = true});
	clock_fake(NULL, NULL);
	assert_int_equal(b.count, 1);
	assert_int_equal(b.samples[0], 3);
	struct wire_in r = record(&b, 0);
	assert_true(field_number(r, 1) == WINDOW_NS + 60 * NS_PER_S);
	assert_int_equal(field_number(r, 2), 9);
	assert_memory_equal(field_in(r, 3).at, "INFO", 4);
	assert_true(field_number(r, 11) == wall);
	char *attributes = attributes_of(r, 6);
	assert_string_equal(attributes,
	    "profile.type=cpu;profile.event_type=ebpf.CPUSample;profile.source=ebpf;"
	    "profile.resolution_status=resolved;app.name=shop;host.name=host-1;k8s.deployment.name="
	    "shop;"
	    "k8s.pod.name=shop-7d4b9c6f5d-x2x4z;k8s.node.name=node-7;k8s.namespace.name=sales;"
	    "thread.name=worker;thread.id=#71;code.function=do_idle;profile.stack_depth=#5;"
	    "profile.sample_weight=#3;profile.duration_ns=#30303030;profile.total_samples=#3;"
	    "process.pid=#70;thread.tid=#71;process.executable.name=shop;container.id=" CONTAINER
	    ";"
	    "telegen.signal.category=Profiling Metrics;telegen.signal.subcategory=CPU Samples;"
	    "telegen.source.module=internal/profiler;telegen.bpf.component=bpf/profiler/"
	    "cpu_profiler.c;"
	    "telegen.collector.type=ebpf;");
	free(attributes);
	is_body(&b, 0,
	    "{\"timestamp\":\"2023-11-14T22:14:20Z\",\"eventType\":\"ebpf.CPUSample\","
	    "\"serviceName\":\"shop\","
	    "\"serviceVersion\":\"2.3.4\",\"profileType\":\"cpu\",\"profileSource\":\"ebpf\","
	    "\"k8s_pod_name\":\"shop-7d4b9c6f5d-x2x4z\",\"k8s_namespace\":\"sales\","
	    "\"k8s_container_name\":\"web\",\"k8s_node_name\":\"node-7\",\"k8s_deployment\":"
	    "\"shop\","
	    "\"hostname\":\"host-1\",\"appName\":\"shop\",\"threadName\":\"worker\",\"threadId\":"
	    "71,"
	    "\"topFunction\":\"do_idle\",\"topMethod\":\"do_idle\","
	    "\"stackPath\":\"do_idle <- entry <- at(c::d) <- main <- "
	    "[app+0x1004]\",\"stackDepth\":5,"
	    "\"stackFrames\":["
	    "{\"function\":\"do_idle\",\"class\":\"[kernel.kallsyms]\",\"method\":\"do_idle\","
	    "\"address\":4096,"
	    "\"module\":\"[kernel.kallsyms]\",\"isKernel\":true},"
	    "{\"function\":\"entry\",\"depth\":1,\"class\":\"[kernel.kallsyms]\",\"method\":"
	    "\"entry\","
	    "\"address\":4097,\"module\":\"[kernel.kallsyms]\",\"isKernel\":true},"
	    "{\"function\":\"std::map<a::b>::at(c::d)\",\"depth\":2,\"class\":\"/bin/app\","
	    "\"method\":\"at(c::d)\",\"address\":4098,\"module\":\"/bin/app\"},"
	    "{\"function\":\"main\",\"depth\":3,\"class\":\"/bin/"
	    "app\",\"method\":\"main\",\"address\":4099,"
	    "\"module\":\"/bin/app\"},"
	    "{\"function\":\"[app+0x1004]\",\"depth\":4,\"class\":\"/bin/"
	    "app\",\"method\":\"[app+0x1004]\","
	    "\"address\":4100,\"module\":\"/bin/app\"}],"
	    "\"resolutionStatus\":\"resolved\",\"sampleWeight\":3,\"durationNs\":30303030,"
	    "\"totalSamples\":3,"
	    "\"pid\":70,\"tid\":71,\"comm\":\"worker\",\"containerId\":\"" CONTAINER "\","
	    "\"kernelFrames\":2,\"userFrames\":3,\"appBinary\":\"shop\",\"appVersion\":\"2.3.4\","
	    "\"language\":\"go\",\"process.runtime.name\":\"go\",\"process.runtime.vendor\":"
	    "\"Google\","
	    "\"process.executable.name\":\"shop\",\"process.executable.path\":\"/app/shop\","
	    "\"process.command_line\":\"shop -v\"}");
	struct wire_in rl = field_in(bodies_in(&b, 0), 1), scope = field_in(field_in(rl, 2), 1);
	char *resource = attributes_of(field_in(rl, 1), 1);
	assert_string_equal(resource,
	    "service.name=shop;service.version=2.3.4;service.namespace=sales;telemetry.sdk.name="
	    "telegen;"
	    "telemetry.sdk.language=native;telemetry.sdk.version=3.0;k8s.namespace.name=sales;"
	    "k8s.pod.name=shop-7d4b9c6f5d-x2x4z;k8s.container.name=web;k8s.node.name=node-7;"
	    "process.runtime.name=go;process.executable.path=/app/shop;process.command_line=shop "
	    "-v;"
	    "cloud.region=north;");
	free(resource);
	assert_memory_equal(field_in(scope, 1).at, "telegen.profiler", 16);
	assert_memory_equal(field_in(scope, 2).at, "3.0", 3);
	bodies_free(&b);
}

static void compatibility_brings_back_what_is_listed(void **state)
{
	(void)state;
	struct bodies b = encoded("cpu", &cpu_sample,
	    (struct requests_options){.go = true,
		.service = "telegen",
		.host = "host-1",
		.resource = node,
		.stack_traces = true});
	has_attribute(&b, 0, "thread.id=#70;code.function=std::map<a::b>::at(c::d);");
	has_attribute(&b, 0, "process.pid=#70;thread.tid=#71;process.executable.name=worker;");
	has_attribute(&b, 0, "k8s.pod.name=shop-7d4b9c6f5d-x2x4z;"); // a bug that stays mended
	has_in_body(&b, 0, "\"serviceName\":\"telegen\"");
	has_in_body(
	    &b, 0, "\"threadId\":70,\"topFunction\":\"std::map\\u003ca::b\\u003e::at(c::d)\"");
	has_in_body(&b, 0,
	    "\"stackPath\":\"at(c::d) \\u003c- main \\u003c- [unresolved] 0x1004 \\u003c- do_idle "
	    "\\u003c- entry\"");
	has_in_body(&b, 0,
	    "\"method\":\"entry\",\"address\":4097,\"module\":\"[kernel.kallsyms]\",\"isKernel\":"
	    "true}]");
	char *resource = attributes_of(field_in(field_in(bodies_in(&b, 0), 1), 1), 1);
	assert_string_equal(resource,
	    "service.name=telegen;service.version=2.3.4;telemetry.sdk.name=telegen;"
	    "telemetry.sdk.language=native;k8s.node.name=node-7;cloud.region=north;");
	free(resource);
	bodies_free(&b);
	// Off the CPU the agent has them the other way round.
	b = encoded("offcpu", &cpu_sample, (struct requests_options){.go = true});
	has_attribute(&b, 0, "thread.id=#71;");
	has_attribute(&b, 0, "process.pid=#71;thread.tid=#70;");
	has_in_body(&b, 0, "\"pid\":71,\"tid\":70,");
	bodies_free(&b);
}

static void types_have_their_names_and_values(void **state)
{
	(void)state;
	static const char *const labels[] = {"reason", "io", "lockAddress", "0xabc", "lockClass",
	    "sync.Mutex", "allocationType", "malloc", "age", "5-60 s", NULL};
	static const struct {
		const char *type, *attributes, *body, *end;
	} rows[] = {
	    {"offcpu",
		"profile.type=off-cpu;profile.event_type=ebpf.OffCPUSample;|profile.sample_weight=#"
		"900;"
		"profile.duration_ns=#900;profile.total_samples=#2;|profile.block_reason=io;|"
		"subcategory=Off-CPU Time;|offcpu_profiler.c",
		"\"sampleWeight\":900,\"durationNs\":900,\"totalSamples\":2,\"pid\":1",
		"\"blockReason\":\"io\""},
	    {"wall",
		"profile.type=wall;profile.event_type=ebpf.WallSample;|profile.sample_weight=#2;"
		"profile.duration_ns=#2;profile.total_samples=#1;|subcategory=CPU "
		"Samples;|cpu_profiler.c",
		"\"sampleWeight\":2,\"durationNs\":2,\"totalSamples\":1,", ""},
	    {"mutex",
		"profile.type=mutex;profile.event_type=ebpf.MutexSample;|profile.sample_weight=#"
		"900;|"
		"subcategory=Mutex Contention;|mutex_profiler.c",
		"\"lockAddress\":\"0xabc\",\"lockClass\":\"sync.Mutex\"", ""},
	    {"goblock",
		"profile.type=block;profile.event_type=ebpf.BlockSample;|profile.sample_weight=#"
		"900;|"
		"profile.block_reason=block;|subcategory=Mutex Contention;",
		"\"blockReason\":\"block\"", ""},
	    {"memory",
		"profile.type=memory;profile.event_type=ebpf.AllocationSample;|profile.sample_"
		"weight=#900;"
		"profile.total_samples=#2;|subcategory=Memory Allocations;|alloc_profiler.c",
		"\"sampleWeight\":900,\"totalSamples\":2,\"allocationSize\":900,", ""},
	    {"allocs", "profile.type=allocs;profile.event_type=ebpf.AllocsSample;|",
		"\"allocationSize\":900,", "\"allocationType\":\"malloc\""},
	    {"heap", "profile.type=heap;profile.event_type=ebpf.HeapSample;|",
		"\"allocationSize\":900,", "\"age\":\"5-60 s\"}"},
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct sample_of s = {.pid = 1, .labels = labels, .values = {2, 900}};
		struct bodies b = encoded(rows[i].type, &s, (struct requests_options){0});
		char *want = strdup(rows[i].attributes), *rest = want;
		for (char *part; (part = strsep(&rest, "|"));)
			has_attribute(&b, 0, part);
		free(want);
		has_attribute(&b, 0, "profile.resolution_status=unresolved;");
		has_in_body(&b, 0, rows[i].body);
		has_in_body(&b, 0, rows[i].end);
		bodies_free(&b);
	}
	// Without a label the reason is still said.
	struct bodies b =
	    encoded("offcpu", &(struct sample_of){.values = {1, 2}}, (struct requests_options){0});
	has_attribute(&b, 0, "profile.block_reason=unknown;");
	bodies_free(&b);
}

static void bad_text_is_made_good(void **state)
{
	(void)state;
	static const char *const frames[] = {"a\xff\"b\\c\n\x01<&>\u2028\u00e4\u20ac", "j:x", NULL};
	static const char *const resource[] = {
	    "service.name", "s\xc3(", "k8s.pod.name", "\xe2\x28\xa1", NULL};
	struct sample_of s = {.pid = 1,
	    .comm = "\xf0\x9f\x92",
	    .frames = frames,
	    .resource = resource,
	    .values = {1, 2}};
	for (int go = 0; go < 2; go++) {
		struct bodies b = encoded("cpu", &s,
		    (struct requests_options){.go = go, .stack_traces = true, .version = "1\xff"});
		has_in_body(&b, 0,
		    go ? "\"topFunction\":"
			 "\"a\uFFFD\\\"b\\\\c\\u000a\\u0001\\u003c\\u0026\\u003e\\u2028\u00e4\u20ac"
			 "\""
		       : "\"topFunction\":\"a\uFFFD\\\"b\\\\c\\u000a\\u0001<&>"
			 "\u2028\u00e4\u20ac\"");
		has_in_body(&b, 0, "\"comm\":\"\uFFFD\uFFFD\uFFFD\"");
		has_in_body(&b, 0, "\"k8s_pod_name\":\"\uFFFD(\uFFFD\"");
		has_in_body(&b, 0, "\"module\":\"[jit]\"");
		has_attribute(&b, 0, "thread.name=\uFFFD\uFFFD\uFFFD;");
		has_attribute(&b, 0, "k8s.pod.name=\uFFFD(\uFFFD;");
		char *json = json_of(record(&b, 0));
		const char *end = json_skip(json);
		assert_true(end && !*end && text_utf8_valid(json, strlen(json)));
		free(json);
		bodies_free(&b);
	}
}

static void short_names(void **state)
{
	(void)state;
	static const char *const rows[][2] = {{"main", "main"}, {"std::x<a::b>::run", "run"},
	    {"net/http.(*conn).serve", "http.(*conn).serve"}, {"a::b(c::d)", "b(c::d)"},
	    {"<T as core::Trait>::go", "go"}, {"(anonymous namespace)::f", "f"},
	    {"ns::A::operator<(ns::B)", "operator<(ns::B)"}, {"x->y::z", "z"}, {"a::", "a::"},
	    {"", ""}, {"a/", "a/"}, {"Function:~f /home/x.js:3", "Function:~f /home/x.js:3"},
	    {"py::f:/home/x.py", "f:/home/x.py"}, {"/", "/"}, {">>::a", "a"}, {"o", "o"},
	    {"github.com/a/b.F[go.shape.int]", "b.F[go.shape.int]"}};
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++)
		assert_string_equal(sample_short(rows[i][0]), rows[i][1]);
}

static void deployments(void **state)
{
	(void)state;
	static const char *const rows[][3] = {{"shop-7d4b9c6f5d-x2x4z", "shop", "shop"},
	    {"a-b-7d4b9c6f5d-x2x4z", "a-b", "a-b"}, {"db-0", "", "db"},
	    {"kube-proxy-x2x4z", "", "kube"}, {"one", "", ""}, {"a-b", "", ""}, {"-", "", ""},
	    {"a-b-c", "", "a"}};
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++)
		for (int go = 0; go < 2; go++) {
			const char *pairs[] = {"k8s.pod.name", rows[i][0], NULL};
			struct sample_of s = {.resource = pairs, .values = {1, 1}};
			struct bodies b = encoded("cpu", &s, (struct requests_options){.go = go});
			char want[100];
			snprintf(want, sizeof(want), "\"k8s_deployment\":\"%s\"", rows[i][1 + go]);
			char *json = json_of(record(&b, 0));
			if (*rows[i][1 + go])
				assert_non_null(strstr(json, want));
			else
				assert_null(strstr(json, "k8s_deployment"));
			free(json);
			bodies_free(&b);
		}
}

static void times_are_in_utc_without_needless_digits(void **state)
{
	(void)state;
	static const struct {
		uint64_t ns;
		const char *want;
	} rows[] = {{0, "\"1970-01-01T00:00:00Z\""}, {1500000000, "\"1970-01-01T00:00:01.5Z\""},
	    {1700000000123456789, "\"2023-11-14T22:13:20.123456789Z\""},
	    {1700000000000000010, "\"2023-11-14T22:13:20.00000001Z\""}};
	setenv("TZ", "Asia/Tokyo", 1);
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct bodies b = {0};
		struct profile *p = profile_of("cpu", 0);
		profile_header(p)->time_ns = rows[i].ns;
		profile_header(p)->duration_ns = 0;
		add_sample_of(p, &(struct sample_of){.values = {1, 1}});
		profile_seal(p);
		struct requests *r =
		    bodies_new(&b, &(struct requests_options){.kind = REQUESTS_LOGS});
		assert_int_equal(bodies_put(r, p), 0);
		has_in_body(&b, 0, rows[i].want);
		requests_free(r);
		profile_free(p);
		bodies_free(&b);
	}
	unsetenv("TZ");
}

// Over all bodies: records; samples in them. Each has at most RECORDS, and JSON for a body.
static uint32_t count_records(const struct bodies *b, uint32_t records, uint64_t *samples)
{
	uint32_t all = 0;
	*samples = 0;
	for (uint32_t i = 0; i < b->count; i++) {
		uint32_t here = 0;
		struct wire_field rl, sl, x, a;
		for (struct wire_in body = bodies_in(b, i); next_field(&body, 1, &rl);)
			for (struct wire_in in = rl.bytes; next_field(&in, 2, &sl);)
				for (struct wire_in list = sl.bytes; next_field(&list, 2, &x);
				     here++) {
					char *json = json_of(x.bytes);
					const char *end = json_skip(json);
					assert_true(end && !*end);
					free(json);
					for (struct wire_in at = x.bytes; next_field(&at, 6, &a);) {
						struct wire_in key = field_in(a.bytes, 1);
						if (key.end - key.at == 21 &&
						    !memcmp(key.at, "profile.total_samples", 21))
							*samples +=
							    field_number(field_in(a.bytes, 2), 3);
					}
				}
		assert_true(here && here <= records);
		all += here;
	}
	return all;
}

static void totals_hold_over_requests(void **state)
{
	(void)state;
	struct profile *p = profiles_node(3000, 1);
	int64_t totals[PROFILE_VALUES_MAX];
	uint64_t samples;
	profile_totals(p, totals);
	static const struct requests_options rows[] = {{.records = 50}, {0}, {.records = 1000000},
	    {.bytes_max = 20000, .records = 100000}, {.go = true, .records = 7}, {.gzip = true},
	    {.bytes_max = 100000, .stack_traces = true}};
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct requests_options o = rows[i];
		struct bodies b = {.wait = i % 3};
		o.kind = REQUESTS_LOGS;
		struct requests *r = bodies_new(&b, &o);
		assert_int_equal(bodies_put(r, p), 0);
		assert_int_equal(requests_left_out(r), 0);
		assert_int_equal(bodies_samples(&b), totals[0]);
		for (uint32_t k = 0; k < b.count && o.gzip; k++) {
			struct text plain = TEXT(ACCOUNT_BASE);
			struct wire_gunzip *z =
			    wire_gunzip_new(&(struct wire_sink){profiles_take, &plain}, 1 << 28);
			assert_int_equal(wire_gunzip_feed(z, b.body[k].at, b.body[k].len), 0);
			assert_int_equal(wire_gunzip_finish(z), 0);
			wire_gunzip_free(z);
			free(b.body[k].at);
			b.body[k].at = memcpy(malloc(plain.len), plain.at, plain.len);
			b.body[k].len = plain.len;
			text_free(&plain);
		}
		for (uint32_t k = 0; k < b.count && o.bytes_max; k++)
			assert_true(b.body[k].len <= o.bytes_max);
		assert_true(!o.bytes_max || b.count > 10);
		uint32_t records = count_records(&b, o.records ? o.records : 100, &samples);
		assert_int_equal(samples, totals[0]);
		assert_int_equal(
		    records, profile_sample_count(p) - 1); // less the mark that nothing lies under
		requests_free(r);
		bodies_free(&b);
	}
	profile_free(p);
	all_is_free();
}

static void what_is_too_large_is_left_out(void **state)
{
	(void)state;
	struct profile *p = profile_of("cpu", 0);
	char *name = malloc(5001);
	memset(name, 'x', 5000);
	name[5000] = 0;
	const char *large[] = {name, NULL}, *small[] = {"a", NULL};
	add_sample_of(p, &(struct sample_of){.pid = 1, .frames = small, .values = {2, 20}});
	add_sample_of(p, &(struct sample_of){.pid = 2, .frames = large, .values = {3, 30}});
	add_sample_of(p, &(struct sample_of){.pid = 3, .frames = small, .values = {4, 40}});
	profile_seal(p);
	struct bodies b = {0};
	struct requests *r =
	    bodies_new(&b, &(struct requests_options){.kind = REQUESTS_LOGS, .bytes_max = 5000});
	for (int again = 0; again < 2; again++) {
		assert_int_equal(bodies_put(r, p), 0);
		assert_int_equal(requests_left_out(r), 3);
		assert_int_equal(bodies_samples(&b), 6 * (again + 1));
	}
	requests_free(r);
	bodies_free(&b);
	// A deep stack is cut rather than lost.
	r = bodies_new(&b, &(struct requests_options){
			       .kind = REQUESTS_LOGS, .bytes_max = 30000, .stack_traces = true});
	profile_free(p);
	p = profile_of("cpu", 0);
	uint32_t frames[PROFILE_STACK_MAX];
	for (uint32_t i = 0; i < PROFILE_STACK_MAX; i++)
		frames[i] = profile_add_frame(p, &(struct profile_frame){.address = i + 1,
						     .name = profile_add_name(p, "some_function")});
	struct profile_subject who = {.pid = 1};
	profile_add(p, profile_add_stack(p, frames, PROFILE_STACK_MAX),
	    profile_add_subject(p, &who), (int64_t[]){5, 50});
	profile_seal(p);
	assert_int_equal(bodies_put(r, p), 0);
	assert_int_equal(requests_left_out(r), 0);
	has_in_body(&b, 0, "\"stackDepth\":4096,");
	requests_free(r);
	bodies_free(&b);
	profile_free(p);
	free(name);
	all_is_free();
}

static void each_owner_has_its_resource(void **state)
{
	(void)state;
	struct profile *p = profile_of("cpu", 0);
	const char *frames[] = {"f", NULL}, *other[] = {"service.name", "other", NULL};
	for (uint32_t i = 0; i < 30; i++)
		add_sample_of(p, &(struct sample_of){.pid = i + 1,
				     .frames = frames,
				     .resource = i % 3 == 0   ? shop
						 : i % 3 == 1 ? other
							      : NULL,
				     .values = {1, 1}});
	profile_seal(p);
	for (int go = 0; go < 2; go++) {
		struct bodies b = {0};
		struct requests *r = bodies_new(
		    &b, &(struct requests_options){
			    .kind = REQUESTS_LOGS, .records = 15, .service = "telegen", .go = go});
		assert_int_equal(bodies_put(r, p), 0);
		assert_int_equal(b.count, 2);
		char *seen = NULL;
		size_t size = 0;
		FILE *f = open_memstream(&seen, &size);
		struct wire_field rl, x;
		for (uint32_t i = 0; i < b.count; i++)
			for (struct wire_in body = bodies_in(&b, i); next_field(&body, 1, &rl);) {
				char *resource = attributes_of(field_in(rl.bytes, 1), 1);
				uint32_t n = 0;
				for (struct wire_in list = field_in(rl.bytes, 2);
				     next_field(&list, 2, &x);)
					n++;
				fprintf(f, "%.*s %u;", (int)strcspn(resource, ";"), resource, n);
				free(resource);
			}
		fclose(f);
		assert_string_equal(
		    seen, go ? "service.name=telegen 15;service.name=telegen 15;"
			     : "service.name=shop 10;service.name=other 5;service.name=other 5;"
			       "service.name=telegen 10;");
		free(seen);
		requests_free(r);
		bodies_free(&b);
	}
	profile_free(p);
	all_is_free();
}

static void steps_are_short(void **state)
{
	(void)state;
	struct profile *p = profiles_node(3000, 2);
	struct bodies b = {0};
	struct requests *r =
	    bodies_new(&b, &(struct requests_options){.kind = REQUESTS_LOGS, .stack_traces = true});
	uint32_t longer, steps = bodies_put_in_steps(r, p, &longer);
	assert_true(steps > 200);
	assert_true(longer < steps / 50 + 1); // one or two where the machine is busy
	requests_free(r);
	bodies_free(&b);
	profile_free(p);
}

static void memory_may_fail(void **state)
{
	(void)state;
	struct profile *p = profile_of("cpu", 0);
	for (uint32_t i = 0; i < 70; i++) {
		struct sample_of s = cpu_sample;
		s.pid = i + 1;
		s.comm = i % 2 ? "bad\xff" : "good";
		s.resource = i % 7 ? shop : NULL;
		add_sample_of(p, &s);
	}
	profile_seal(p);
	for (int gzip = 0; gzip < 2; gzip++)
		bodies_without_memory(
		    &(struct requests_options){
			.kind = REQUESTS_LOGS, .records = 40, .gzip = gzip, .stack_traces = true},
		    p, 210, NULL);
	profile_free(p);
	all_is_free();
}

static void sinks_may_fail(void **state)
{
	(void)state;
	bodies_with_failing_sinks(&(struct requests_options){.kind = REQUESTS_LOGS, .records = 8});
}

static void foreign_and_empty_profiles(void **state)
{
	(void)state;
	struct profile *p = profile_of("cpu", 0);
	profile_seal(p);
	struct bodies b = {0};
	struct requests *r = bodies_new(&b, &(struct requests_options){.kind = REQUESTS_LOGS});
	assert_string_equal(requests_content_type(REQUESTS_LOGS), "application/x-protobuf");
	assert_int_equal(bodies_put(r, p), 0);
	assert_int_equal(b.count, 0);
	profile_free(p);
	p = profile_of("cpu", 0);
	add_sample_of(p, &(struct sample_of){.values = {0, 7}});
	profile_header(p)->type = NULL;
	profile_header(p)->value_types[1] = profile_add_name(p, "strange");
	profile_header(p)->value_units[1] = profile_add_name(p, "bytes");
	profile_seal(p);
	assert_int_equal(bodies_put(r, p), 0);
	has_attribute(&b, 0, "profile.type=strange;profile.event_type=ebpf.Sample;");
	has_in_body(&b, 0, "\"sampleWeight\":7,\"allocationSize\":7}");
	// A profile that is freed in the middle.
	assert_int_equal(requests_put(r, p), 0);
	requests_step(r, 0);
	requests_free(r);
	profile_free(p);
	bodies_free(&b);
	all_is_free();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_record_is_as_the_contract_says),
	    cmocka_unit_test(compatibility_brings_back_what_is_listed),
	    cmocka_unit_test(types_have_their_names_and_values),
	    cmocka_unit_test(bad_text_is_made_good),
	    cmocka_unit_test(short_names),
	    cmocka_unit_test(deployments),
	    cmocka_unit_test(times_are_in_utc_without_needless_digits),
	    cmocka_unit_test(totals_hold_over_requests),
	    cmocka_unit_test(what_is_too_large_is_left_out),
	    cmocka_unit_test(each_owner_has_its_resource),
	    cmocka_unit_test(steps_are_short),
	    cmocka_unit_test(memory_may_fail),
	    cmocka_unit_test(sinks_may_fail),
	    cmocka_unit_test(foreign_and_empty_profiles),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
