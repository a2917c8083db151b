// SPDX-License-Identifier: Apache-2.0
// Metrics: names, attributes and buckets as the contract of the Go agent says them; sums over many
// windows; series that find no place, that end, whose names hold what separates others' keys;
// limits; memory and sinks that fail.
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "export_bodies.h"

#include "../../modules/export/metrics.c"

// A point as it was read.
struct read_point {
	char *resource, *attributes, name[64], unit[8];
	bool histogram, monotonic;
	uint64_t start, end, count, buckets[20], bucket_count;
	int64_t number;
	double sum, min, max, bounds[20];
};
struct read_points {
	struct read_point *at;
	uint32_t count, cap;
};

static void read_point(struct read_point *p, struct wire_in in)
{
	struct wire_field f;
	p->attributes = attributes_of(in, p->histogram ? 9 : 7);
	while (wire_next(&in, &f) == 1) {
		if (f.number == 2)
			p->start = f.value;
		else if (f.number == 3)
			p->end = f.value;
		else if (f.number == 4)
			p->count = f.value;
		else if (f.number == 6 && !p->histogram)
			p->number = (int64_t)f.value;
		else if (f.number == 5)
			p->sum = as_double(f.value);
		else if (f.number == 11 || f.number == 12)
			*(f.number == 11 ? &p->min : &p->max) = as_double(f.value);
		for (uint32_t i = 0; f.type == 2 && f.number < 8 && f.number >= 6 && p->histogram &&
				     f.bytes.at < f.bytes.end;
		     i++, f.bytes.at += 8) {
			uint64_t bits;
			memcpy(&bits, f.bytes.at, 8);
			if (f.number == 6)
				p->buckets[p->bucket_count++] = bits;
			else
				p->bounds[i] = as_double(bits);
		}
	}
}

static void copy_text(char *to, size_t size, struct wire_in in)
{
	snprintf(to, size, "%.*s", (int)(in.end - in.at), (const char *)in.at);
}

static struct read_points *read_all(const struct bodies *b, uint32_t from)
{
	struct read_points *all = calloc(1, sizeof(*all));
	struct wire_field rm, metric, point;
	for (uint32_t i = from; i < b->count; i++)
		for (struct wire_in body = bodies_in(b, i); next_field(&body, 1, &rm);) {
			struct wire_in scope = field_in(rm.bytes, 2);
			for (struct wire_in in = scope; next_field(&in, 2, &metric);) {
				struct wire_in sum = field_in(metric.bytes, 7),
					       data = sum.at ? sum : field_in(metric.bytes, 9);
				assert_int_equal(field_number(data, 2), 2); // cumulative
				for (struct wire_in list = data; next_field(&list, 1, &point);) {
					if (all->count == all->cap) {
						all->cap = all->cap ? all->cap * 2 : 16;
						all->at =
						    realloc(all->at, all->cap * sizeof(*all->at));
					}
					struct read_point *p = &all->at[all->count++];
					*p = (struct read_point){0};
					p->histogram = !sum.at;
					p->monotonic = field_number(data, 3);
					p->resource = attributes_of(field_in(rm.bytes, 1), 1);
					copy_text(
					    p->name, sizeof(p->name), field_in(metric.bytes, 1));
					copy_text(
					    p->unit, sizeof(p->unit), field_in(metric.bytes, 3));
					assert_true(field_in(metric.bytes, 2).at != NULL);
					read_point(p, point.bytes);
				}
			}
		}
	return all;
}

static void points_free(struct read_points *all)
{
	for (uint32_t i = 0; i < all->count; i++) {
		free(all->at[i].resource);
		free(all->at[i].attributes);
	}
	free(all->at);
	free(all);
}

// The only point of NAME whose attributes hold PART, or NULL.
static const struct read_point *find(
    const struct read_points *all, const char *name, const char *part)
{
	const struct read_point *found = NULL;
	for (uint32_t i = 0; i < all->count; i++)
		if (!strcmp(all->at[i].name, name) && strstr(all->at[i].attributes, part)) {
			assert_null(found);
			found = &all->at[i];
		}
	return found;
}

static int64_t sum_of(const struct read_points *all, const char *name)
{
	int64_t sum = 0;
	for (uint32_t i = 0; i < all->count; i++)
		if (!strcmp(all->at[i].name, name))
			sum += all->at[i].histogram ? (int64_t)all->at[i].count : all->at[i].number;
	return sum;
}

static const struct requests_options usual = {.kind = REQUESTS_METRICS,
    .process_attributes = true,
    .stack_attributes = true,
    .service = "telegen",
    .version = "3.0",
    .host = "host-1"};
static const char *const shop[] = {"service.name", "shop", "service.version", "2.3.4",
    "k8s.pod.name", "shop-1", "process.executable.path", "/app/shop", "container.id", "ffff", NULL};
static const char *const frames_f[] = {"k:idle", "f|g", NULL};

static void a_point_is_as_the_contract_says(void **state)
{
	(void)state;
	struct bodies b = {0};
	struct requests *r = bodies_new(&b, &usual);
	struct profile *p = one_sample("cpu", &(struct sample_of){.pid = 70,
						  .tid = 71,
						  .comm = "worker",
						  .process = "shop",
						  .container = CONTAINER,
						  .resource = shop,
						  .frames = frames_f,
						  .values = {3, 30303030}});
	assert_int_equal(bodies_put(r, p), 0);
	assert_int_equal(b.count, 1);
	assert_int_equal(b.samples[0], 3);
	struct read_points *all = read_all(&b, 0);
	assert_int_equal(all->count, 2);
	const struct read_point *n = find(all, "profiler.cpu.samples", ""),
				*h = find(all, "profiler.cpu.duration_seconds", "");
	assert_string_equal(n->attributes,
	    "profile.type=cpu;app.name=shop;process.pid=#70;process.executable.name=shop;"
	    "container.id=" CONTAINER ";code.function=idle;");
	assert_string_equal(n->resource,
	    "service.name=shop;service.version=2.3.4;telemetry.sdk.name=telegen;telemetry.sdk."
	    "language=native;"
	    "telemetry.sdk.version=3.0;host.name=host-1;k8s.pod.name=shop-1;");
	assert_string_equal(h->attributes, n->attributes);
	assert_true(n->monotonic && !n->histogram && n->number == 3 && !strcmp(n->unit, "1"));
	assert_true(n->start == WINDOW_NS && n->end == WINDOW_NS + 60 * NS_PER_S);
	assert_true(h->histogram && !h->monotonic && !strcmp(h->unit, "s") && h->count == 1);
	assert_true(h->start == n->start && h->end == n->end);
	assert_true(h->sum == 0.03030303 && h->min == h->sum && h->max == h->sum);
	assert_int_equal(h->bucket_count, 15);
	assert_true(h->bounds[0] == 0.001 && h->bounds[13] == 60);
	for (uint32_t i = 0; i < 15; i++)
		assert_int_equal(h->buckets[i], i == 4); // (0.025, 0.05]
	struct wire_in scope = field_in(field_in(field_in(bodies_in(&b, 0), 1), 2), 1);
	char *name = strndup((const char *)field_in(scope, 1).at, 44);
	assert_string_equal(name, "github.com/mirastacklabs-ai/telegen/profiler");
	free(name);
	points_free(all);
	requests_free(r);
	bodies_free(&b);
	// As the agent: of its own service, frames and names of threads.
	struct requests_options go = usual;
	go.go = true;
	r = bodies_new(&b, &go);
	assert_int_equal(bodies_put(r, p), 0);
	all = read_all(&b, 0);
	n = find(all, "profiler.cpu.samples", "");
	assert_string_equal(n->attributes,
	    "profile.type=cpu;app.name=shop;process.pid=#70;process.executable.name=worker;"
	    "container.id=001122334455;code.function=f|g;");
	assert_string_equal(n->resource,
	    "service.name=telegen;service.version=3.0;telemetry.sdk.name=telegen;"
	    "telemetry.sdk.language=go;telemetry.sdk.version=3.0;host.name=host-1;");
	points_free(all);
	requests_free(r);
	bodies_free(&b);
	profile_free(p);
	all_is_free();
}

static void types_have_their_metrics(void **state)
{
	(void)state;
	static const char *const labels[] = {"reason", "io", "allocationType", "malloc", NULL};
	static const struct {
		const char *type, *count, *value, *distribution, *unit, *attributes;
		double observed;
	} rows[] = {
	    {"offcpu", "profiler.offcpu.samples", NULL, "profiler.offcpu.duration_seconds", "s",
		"profile.type=off-cpu;app.name=a;process.pid=#1;process.executable.name=a;block."
		"reason=io;",
		2.5},
	    {"mutex", "profiler.mutex.contentions", NULL, "profiler.mutex.wait_time_seconds", "s",
		"profile.type=mutex;app.name=a;process.pid=#1;process.executable.name=a;", 2.5},
	    {"memory", "profiler.memory.allocations", "profiler.memory.allocation_bytes",
		"profiler.memory.allocation_size_bytes", "By", "profile.type=memory;", 2.5e9},
	    {"allocs", "profiler.memory.allocations", "profiler.memory.allocation_bytes",
		"profiler.memory.allocation_size_bytes", "By",
		"profile.type=allocs;app.name=a;process.pid=#1;process.executable.name=a;"
		"allocation.type=malloc;",
		2.5e9},
	    {"heap", "profiler.memory.allocations", "profiler.memory.allocation_bytes", NULL, "By",
		"profile.type=heap;", 0},
	    {"goblock", NULL, NULL, NULL, NULL, NULL, 0},
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct bodies b = {0};
		struct requests *r = bodies_new(&b, &usual);
		struct sample_of s = {
		    .pid = 1, .comm = "a", .labels = labels, .values = {2, 2500000000}};
		struct profile *p = one_sample(rows[i].type, &s);
		assert_int_equal(bodies_put(r, p), 0);
		assert_int_equal(b.count, rows[i].count != NULL);
		assert_int_equal(bodies_samples(&b), rows[i].count ? 2 : 0);
		struct read_points *all = read_all(&b, 0);
		assert_int_equal(
		    all->count, !!rows[i].count + !!rows[i].value + !!rows[i].distribution);
		if (rows[i].count)
			assert_int_equal(find(all, rows[i].count, rows[i].attributes)->number, 2);
		if (rows[i].value)
			assert_int_equal(
			    find(all, rows[i].value, rows[i].attributes)->number, 2500000000);
		const struct read_point *d =
		    rows[i].distribution ? find(all, rows[i].distribution, rows[i].attributes)
					 : NULL;
		if (d) {
			assert_true(d->sum == rows[i].observed);
			assert_string_equal(d->unit, rows[i].unit);
			assert_int_equal(d->bucket_count, rows[i].value ? 12 : 15);
		}
		points_free(all);
		requests_free(r);
		profile_free(p);
		bodies_free(&b);
	}
	all_is_free();
}

static void sums_go_over_windows(void **state)
{
	(void)state;
	// By window: values of the processes 1, 2 and 3; 0: not seen.
	static const int64_t windows[4][3] = {{5, 0, 1}, {7, 2, 0}, {0, 3, 0}, {1, 1, 1}};
	static const char *const pids[] = {"pid=#1;", "pid=#2;", "pid=#3;"};
	struct bodies b = {0};
	struct requests *r = bodies_new(&b, &usual);
	int64_t sums[3] = {0};
	uint64_t starts[3] = {0};
	for (uint32_t w = 0; w < 4; w++) {
		struct profile *p = profile_of("cpu", w);
		uint64_t here = 0;
		for (uint32_t i = 0; i < 3; i++) {
			struct sample_of s = {
			    .pid = i + 1, .values = {windows[w][i], windows[w][i] * 1000000000}};
			if (!windows[w][i])
				continue;
			add_sample_of(p, &s);
			starts[i] = starts[i] ? starts[i] : WINDOW_NS + w * 60 * NS_PER_S;
			sums[i] += windows[w][i];
			here += (uint64_t)windows[w][i];
		}
		profile_seal(p);
		// Another type in between changes nothing.
		struct profile *other =
		    one_sample("mutex", &(struct sample_of){.pid = 1, .values = {1, 1}});
		assert_int_equal(bodies_put(r, other), 0);
		assert_int_equal(bodies_put(r, p), 0);
		assert_int_equal(b.count, 2 * w + 2);
		assert_int_equal(b.samples[2 * w + 1], here);
		struct read_points *all = read_all(&b, 2 * w + 1);
		for (uint32_t i = 0; i < 3; i++) {
			const struct read_point *n = find(all, "profiler.cpu.samples", pids[i]),
						*h = find(
						    all, "profiler.cpu.duration_seconds", pids[i]);
			assert_int_equal(
			    n != NULL, starts[i] != 0); // also where it was not seen now
			if (!n)
				continue;
			assert_int_equal(n->number, sums[i]);
			assert_true(n->start == starts[i] && h->start == starts[i]);
			assert_true(n->end == WINDOW_NS + (w + 1) * 60 * NS_PER_S);
			assert_true(h->sum == (double)sums[i]);
		}
		points_free(all);
		profile_free(p);
		profile_free(other);
	}
	struct read_points *all = read_all(&b, 7);
	const struct read_point *h = find(all, "profiler.cpu.duration_seconds", "pid=#1;");
	assert_true(h->count == 3 && h->min == 1 && h->max == 7);
	assert_int_equal(h->buckets[8], 1);  // 1 s lies in (0.5, 1]
	assert_int_equal(h->buckets[10], 1); // 5 s in (2.5, 5]
	assert_int_equal(h->buckets[11], 1);
	points_free(all);
	requests_free(r);
	bodies_free(&b);
	all_is_free();
}

static void what_is_alive_is_no_sum(void **state)
{
	(void)state;
	struct bodies b = {0};
	struct requests *r = bodies_new(&b, &usual);
	static const int64_t windows[] = {50, 20, 0};
	for (uint32_t w = 0; w < 3; w++) {
		struct profile *p = profile_of("heap", w);
		profile_header(p)->duration_ns = 0;
		if (windows[w])
			add_sample_of(p, &(struct sample_of){.pid = 1, .values = {1, windows[w]}});
		profile_seal(p);
		assert_int_equal(bodies_put(r, p), 0);
		struct read_points *all = read_all(&b, w);
		const struct read_point *n = find(all, "profiler.memory.allocation_bytes", "");
		assert_int_equal(n->number, windows[w]);
		assert_true(!n->monotonic && n->start < n->end && n->start == WINDOW_NS - 1);
		points_free(all);
		profile_free(p);
	}
	requests_free(r);
	bodies_free(&b);
	all_is_free();
}

static void names_do_not_run_together(void **state)
{
	(void)state;
	static const char *const a[] = {"x|y", NULL}, *const c[] = {"x", NULL},
				 *const bad[] = {"\xff", NULL};
	struct profile *p = profile_of("cpu", 0);
	add_sample_of(p, &(struct sample_of){.frames = a, .comm = "p", .values = {1, 1}});
	add_sample_of(p, &(struct sample_of){.frames = c, .comm = "p", .values = {2, 1}});
	add_sample_of(p, &(struct sample_of){.frames = bad, .comm = "p", .values = {4, 1}});
	profile_seal(p);
	struct bodies b = {0};
	struct requests *r = bodies_new(&b, &usual);
	assert_int_equal(bodies_put(r, p), 0);
	struct read_points *all = read_all(&b, 0);
	assert_int_equal(find(all, "profiler.cpu.samples", "function=x|y;")->number, 1);
	assert_int_equal(find(all, "profiler.cpu.samples", "function=x;")->number, 2);
	assert_int_equal(find(all, "profiler.cpu.samples", "function=\uFFFD;")->number, 4);
	points_free(all);
	requests_free(r);
	bodies_free(&b);
	profile_free(p);
	all_is_free();
}

static void options_choose_attributes_and_buckets(void **state)
{
	(void)state;
	static const double bounds[] = {1, 2};
	struct requests_options o = {
	    .kind = REQUESTS_METRICS, .seconds = bounds, .seconds_count = 2};
	struct profile *p = profile_of("cpu", 0);
	const char *frames[2] = {NULL, NULL}, *names[] = {"a", "b", "c", "d"};
	static const int64_t ns[] = {1000000000, 1000000001, 2000000000, 3000000000};
	for (uint32_t i = 0; i < 4; i++) {
		frames[0] = names[i];
		add_sample_of(
		    p, &(struct sample_of){
			   .pid = i, .comm = "p", .frames = frames, .values = {1, ns[i]}});
	}
	profile_seal(p);
	struct bodies b = {0};
	struct requests *r = bodies_new(&b, &o);
	assert_int_equal(bodies_put(r, p), 0);
	struct read_points *all = read_all(&b, 0);
	const struct read_point *h = find(all, "profiler.cpu.duration_seconds", "");
	assert_string_equal(
	    h->attributes, "profile.type=cpu;app.name=p;process.executable.name=p;");
	assert_int_equal(h->bucket_count, 3);
	assert_true(
	    h->buckets[0] == 1 && h->buckets[1] == 2 && h->buckets[2] == 1 && h->count == 4);
	points_free(all);
	requests_free(r);
	bodies_free(&b);
	profile_free(p);
	all_is_free();
}

static struct profile *many(uint32_t first, uint32_t count, uint32_t window)
{
	struct profile *p = profile_of("cpu", window);
	for (uint32_t i = 0; i < count; i++)
		add_sample_of(p, &(struct sample_of){.pid = first + i, .values = {1, 1000}});
	profile_seal(p);
	return p;
}

static void what_finds_no_place_is_added_up(void **state)
{
	(void)state;
	struct bodies b = {0};
	struct requests *r = bodies_new(&b, &usual);
	uint64_t before = count_get(COUNT_METRICS_OVERFLOW);
	for (uint32_t w = 0; w < 2; w++) {
		struct profile *p = many(1, 5000, w);
		assert_int_equal(bodies_put(r, p), 0);
		profile_free(p);
	}
	assert_int_equal(count_get(COUNT_METRICS_OVERFLOW) - before, 2 * (5000 - SERIES_MAX));
	assert_int_equal(bodies_samples(&b), 10000);
	uint32_t second = b.count / 2;
	struct read_points *all = read_all(&b, second);
	assert_int_equal(all->count, 2 * (SERIES_MAX + 1));
	const struct read_point *n = find(all, "profiler.cpu.samples", "overflow");
	assert_string_equal(n->attributes, "profile.type=cpu;otel.metric.overflow=!1;");
	assert_int_equal(n->number, 2 * (5000 - SERIES_MAX));
	assert_true(n->start == WINDOW_NS);
	assert_int_equal(sum_of(all, "profiler.cpu.samples"), 10000);
	assert_int_equal(sum_of(all, "profiler.cpu.duration_seconds"), 10000);
	points_free(all);
	requests_free(r);
	bodies_free(&b);
	all_is_free();
}

static void series_end(void **state)
{
	(void)state;
	struct bodies b = {0};
	struct requests *r = bodies_new(&b, &usual);
	struct profile *p = many(1, 400, 0);
	assert_int_equal(bodies_put(r, p), 0);
	profile_free(p);
	for (uint32_t w = 1; w <= SERIES_IDLE_MAX + 1; w++) {
		p = many(1, 10, w);
		bodies_free(&b);
		assert_int_equal(bodies_put(r, p), 0);
		struct read_points *all = read_all(&b, 0);
		assert_int_equal(all->count, w <= SERIES_IDLE_MAX ? 800 : 20);
		points_free(all);
		profile_free(p);
	}
	// There is place again; who comes back begins anew.
	uint64_t before = count_get(COUNT_METRICS_OVERFLOW);
	p = many(1, 4096, 50);
	bodies_free(&b);
	assert_int_equal(bodies_put(r, p), 0);
	assert_int_equal(count_get(COUNT_METRICS_OVERFLOW), before);
	struct read_points *all = read_all(&b, 0);
	assert_int_equal(
	    find(all, "profiler.cpu.samples", "pid=#10;")->number, SERIES_IDLE_MAX + 3);
	assert_int_equal(find(all, "profiler.cpu.samples", "pid=#11;")->number, 1);
	assert_true(
	    find(all, "profiler.cpu.samples", "pid=#11;")->start == WINDOW_NS + 50 * 60 * NS_PER_S);
	points_free(all);
	profile_free(p);
	requests_free(r);
	bodies_free(&b);
	all_is_free();
}

static void a_clock_set_back_begins_anew(void **state)
{
	(void)state;
	struct bodies b = {0};
	struct requests *r = bodies_new(&b, &usual);
	for (uint32_t w = 9; w; w -= 8) {
		struct profile *p = many(1, 1, w);
		assert_int_equal(bodies_put(r, p), 0);
		profile_free(p);
		if (w == 1)
			break;
	}
	struct read_points *all = read_all(&b, 1);
	assert_true(all->count == 2 && all->at[0].start < all->at[0].end && all->at[0].number == 1);
	assert_true(all->at[1].histogram && all->at[1].count == 1 && all->at[1].buckets[0] == 1);
	points_free(all);
	requests_free(r);
	bodies_free(&b);
	all_is_free();
}

static void totals_hold_over_requests(void **state)
{
	(void)state;
	struct profile *p = profiles_node(3000, 1);
	int64_t totals[PROFILE_VALUES_MAX];
	profile_totals(p, totals);
	for (uint32_t i = 0; i < 3; i++) {
		struct requests_options o = usual;
		struct bodies b = {.wait = i};
		o.bytes_max = i ? i * 50000 : 0;
		struct requests *r = bodies_new(&b, &o);
		assert_int_equal(bodies_put(r, p), 0);
		assert_int_equal(requests_left_out(r), 0);
		assert_int_equal(bodies_samples(&b), totals[0]);
		for (uint32_t k = 0; k < b.count && i; k++)
			assert_true(b.body[k].len <= o.bytes_max);
		assert_true(i ? b.count > 5 : b.count == 1);
		struct read_points *all = read_all(&b, 0);
		assert_int_equal(sum_of(all, "profiler.cpu.samples"), totals[0]);
		assert_int_equal(
		    sum_of(all, "profiler.cpu.duration_seconds"), profile_sample_count(p) - 1);
		points_free(all);
		requests_free(r);
		bodies_free(&b);
	}
	profile_free(p);
	all_is_free();
}

static void what_is_too_large_is_left_out(void **state)
{
	(void)state;
	char *name = malloc(5001);
	memset(name, 'x', 5000);
	name[5000] = 0;
	const char *large[] = {name, NULL};
	struct profile *p = profile_of("cpu", 0);
	add_sample_of(p, &(struct sample_of){.pid = 1, .frames = large, .values = {3, 30}});
	add_sample_of(p, &(struct sample_of){.pid = 2, .values = {4, 40}});
	profile_seal(p);
	struct bodies b = {0};
	struct requests_options o = usual;
	o.bytes_max = 3000;
	struct requests *r = bodies_new(&b, &o);
	assert_int_equal(bodies_put(r, p), 0);
	assert_int_equal(requests_left_out(r), 3);
	assert_int_equal(bodies_samples(&b), 4);
	requests_free(r);
	bodies_free(&b);
	profile_free(p);
	free(name);
	all_is_free();
}

static void owners_are_kept_apart(void **state)
{
	(void)state;
	static const char *const other[] = {"k8s.pod.name", "other-1", "process.pid", "9", NULL};
	struct profile *p = profile_of("cpu", 0);
	for (uint32_t i = 0; i < 30; i++)
		add_sample_of(p, &(struct sample_of){.pid = i % 10,
				     .tid = i,
				     .comm = "p",
				     .resource = i % 3 == 0   ? shop
						 : i % 3 == 1 ? other
							      : NULL,
				     .values = {1, 1}});
	profile_seal(p);
	struct bodies b = {0};
	struct requests_options o = usual;
	o.process_attributes = false;
	struct requests *r = bodies_new(&b, &o);
	assert_int_equal(bodies_put(r, p), 0);
	uint32_t owners = 0;
	struct wire_field rm;
	for (struct wire_in body = bodies_in(&b, 0); next_field(&body, 1, &rm);)
		owners++;
	assert_int_equal(owners, 3);
	struct read_points *all = read_all(&b, 0);
	assert_int_equal(all->count, 6);
	for (uint32_t i = 0; i < all->count; i++)
		assert_int_equal(
		    all->at[i].histogram ? (int64_t)all->at[i].count : all->at[i].number, 10);
	assert_non_null(strstr(all->at[2].resource, "k8s.pod.name=other-1;"));
	assert_null(strstr(all->at[2].resource, "process."));
	assert_string_equal(
	    all->at[2].attributes, "profile.type=cpu;app.name=p;process.executable.name=p;");
	points_free(all);
	requests_free(r);
	bodies_free(&b);
	profile_free(p);
	all_is_free();
}

static void steps_are_short(void **state)
{
	(void)state;
	struct profile *p = profiles_node(20000, 2);
	struct bodies b = {0};
	struct requests *r = bodies_new(&b, &usual);
	uint32_t longer, steps = bodies_put_in_steps(r, p, &longer);
	assert_true(steps > 50);
	assert_true(longer < steps / 50 + 2);
	requests_free(r);
	bodies_free(&b);
	profile_free(p);
}

static void all_210_are_there(const struct bodies *b)
{
	struct read_points *all = read_all(b, 0);
	assert_int_equal(sum_of(all, "profiler.cpu.samples"), 210);
	points_free(all);
}

static void memory_may_fail(void **state)
{
	(void)state;
	struct profile *p = profile_of("cpu", 0);
	for (uint32_t i = 0; i < 70; i++)
		add_sample_of(p, &(struct sample_of){.pid = i + 1,
				     .comm = i % 2 ? "bad\xff" : "good",
				     .frames = frames_f,
				     .resource = i % 7 ? shop : NULL,
				     .values = {3, 30}});
	profile_seal(p);
	bodies_without_memory(&usual, p, 210, all_210_are_there);
	profile_free(p);
	all_is_free();
}

static void sinks_may_fail(void **state)
{
	(void)state;
	bodies_with_failing_sinks(&usual);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_point_is_as_the_contract_says),
	    cmocka_unit_test(types_have_their_metrics),
	    cmocka_unit_test(sums_go_over_windows),
	    cmocka_unit_test(what_is_alive_is_no_sum),
	    cmocka_unit_test(names_do_not_run_together),
	    cmocka_unit_test(options_choose_attributes_and_buckets),
	    cmocka_unit_test(what_finds_no_place_is_added_up),
	    cmocka_unit_test(series_end),
	    cmocka_unit_test(a_clock_set_back_begins_anew),
	    cmocka_unit_test(totals_hold_over_requests),
	    cmocka_unit_test(what_is_too_large_is_left_out),
	    cmocka_unit_test(owners_are_kept_apart),
	    cmocka_unit_test(steps_are_short),
	    cmocka_unit_test(memory_may_fail),
	    cmocka_unit_test(sinks_may_fail),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
