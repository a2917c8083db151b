// SPDX-License-Identifier: Apache-2.0
// What each encoder makes of one profile: bytes, and the CPU time for it, each the least of five.
//   export FILE.pb.gz [GO]    GO: logs and metrics as the Go agent writes them
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/base.h"
#include "export/export.h"

#define TURNS 5

static uint64_t bytes, bodies;

static uint64_t cpu_now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
}

static int on_begin(void *arg)
{
	(void)arg;
	bodies++;
	return 0;
}

static int on_write(void *arg, const void *at, size_t n)
{
	(void)arg;
	(void)at;
	bytes += n;
	return 0;
}

static int on_end(void *arg, const struct requests_facts *f)
{
	(void)arg;
	(void)f;
	return 0;
}

static struct profile *read_profile(const char *path)
{
	static char buffer[65536];
	struct import_job *job = import_new(ACCOUNT_EXPORT, 1ull << 30);
	FILE *f = fopen(path, "rb");
	int error = job && f ? 0 : -errno;
	size_t n;
	while (!error && (n = fread(buffer, 1, sizeof(buffer), f)) > 0)
		error = import_feed(job, buffer, n);
	while (!error && (error = import_step(job, NS_PER_S)) == 1)
		error = 0;
	struct profile *p = error ? NULL : import_take(job);
	if (!p)
		fprintf(stderr, "%s: %s\n", path, strerror(-error));
	import_free(job);
	if (f)
		fclose(f);
	return p;
}

static void row(const char *name, uint64_t samples, uint64_t ns, uint64_t peak)
{
	printf("%s\t%lu\t%lu\t%lu\t%.2f\t%lu\n", name, samples, bodies, bytes,
	    (double)ns / 1e6 * 10000 / (double)samples, peak / 1024);
}

static void request(
    const char *name, const struct profile *p, enum requests_kind kind, bool gzip, bool go)
{
	static const double bounds[] = {0.001, 0.01, 0.1, 1, 10};
	struct requests_options o = {.kind = kind,
	    .gzip = gzip,
	    .go = go,
	    .stack_traces = true,
	    .process_attributes = true,
	    .stack_attributes = true,
	    .seconds = bounds,
	    .seconds_count = 5,
	    .bytes = bounds,
	    .bytes_count = 5,
	    .service = "telegen",
	    .version = "bench",
	    .host = "node1"};
	struct requests_out out = {.begin = on_begin, .write = on_write, .end = on_end};
	uint64_t least = UINT64_MAX, peak = 0;
	int error = 0;
	for (int turn = 0; turn < TURNS && !error; turn++) {
		struct requests *r = requests_new(&o, &out);
		uint64_t start = cpu_now(), before = mem_used(ACCOUNT_EXPORT);
		bytes = bodies = 0;
		error = r ? requests_put(r, p) : -ENOMEM;
		while (!error && (error = requests_step(r, NS_PER_MS)) == 1) {
			uint64_t used = mem_used(ACCOUNT_EXPORT) - before;
			peak = used > peak ? used : peak;
			error = 0;
		}
		uint64_t ns = cpu_now() - start;
		least = ns < least ? ns : least;
		requests_free(r);
	}
	if (error)
		fprintf(stderr, "%s: %s\n", name, strerror(-error));
	else
		row(name, profile_sample_count(p), least, peak);
}

static void pprof(const struct profile *p)
{
	struct wire_sink sink = {.write = on_write};
	uint64_t least = UINT64_MAX;
	for (int turn = 0; turn < TURNS; turn++) {
		uint64_t start = cpu_now();
		bytes = 0;
		bodies = 1;
		if (export_all(p, NULL, EXPORT_PPROF, "bench", &sink))
			return;
		least = cpu_now() - start < least ? cpu_now() - start : least;
	}
	row("pprof", profile_sample_count(p), least, 0);
}

int main(int argc, char **argv)
{
	struct profile *p = argc > 1 ? read_profile(argv[1]) : NULL;
	if (!p)
		return 1;
	pprof(p);
	request("otlp, gzip", p, REQUESTS_OTLP, true, false);
	request("otlp", p, REQUESTS_OTLP, false, false);
	request("pyroscope", p, REQUESTS_PYROSCOPE, false, false);
	request("parca", p, REQUESTS_PARCA, false, false);
	request("logs, gzip", p, REQUESTS_LOGS, true, false);
	request("logs", p, REQUESTS_LOGS, false, false);
	request("logs as the Go agent, gzip", p, REQUESTS_LOGS, true, true);
	request("logs as the Go agent", p, REQUESTS_LOGS, false, true);
	request("metrics, gzip", p, REQUESTS_METRICS, true, false);
	profile_free(p);
	return 0;
}
