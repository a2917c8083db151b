// SPDX-License-Identifier: Apache-2.0
// Delivery against a receiver and an encoder of our own, on a fake clock: whatever the receiver
// does, every sample that was taken is sent, waits, or is counted under a cause.
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <unistd.h>

#include "profiles.h"
#include "../../modules/deliver/destination.c"
#include "../../modules/deliver/deliver.c"

// The encoder: a profile becomes `bodies` bodies of `size` bytes.
static struct {
	uint32_t bodies, size, left, untold, fail_at; // fail_at: the body that fails, from 1
	int error;
} encoder;
struct requests {
	struct requests_out out;
	struct requests_options options;
	const struct profile *p;
	uint32_t body;
	uint64_t left, placed, samples;
	bool ending;
};

struct requests *requests_new(
    const struct requests_options *options, const struct requests_out *out)
{
	struct requests *r = mem_alloc(ACCOUNT_EXPORT, sizeof(*r));
	if (r)
		*r = (struct requests){.out = *out, .options = *options};
	return r;
}

void requests_free(struct requests *r)
{
	mem_free(r);
}

const char *requests_content_type(enum requests_kind kind)
{
	return kind == REQUESTS_PYROSCOPE ? "application/proto" : "application/x-protobuf";
}

int requests_put(struct requests *r, const struct profile *p)
{
	int64_t totals[PROFILE_VALUES_MAX];
	profile_totals(p, totals);
	r->p = p;
	r->samples = (uint64_t)totals[0];
	r->body = 0;
	r->left = r->placed = 0;
	r->ending = false;
	return 0;
}

static int put_body(struct requests *r)
{
	char bytes[512];
	int error = r->out.begin(r->out.arg);
	memset(bytes, r->options.gzip ? 0x1f : 0x0a, sizeof(bytes));
	bytes[1] = r->options.gzip ? (char)0x8b : 1;
	for (uint32_t at = 0; at < encoder.size && !error; at += sizeof(bytes))
		error = r->out.write(r->out.arg, bytes,
		    encoder.size - at < sizeof(bytes) ? encoder.size - at : sizeof(bytes));
	return error;
}

int requests_step(struct requests *r, uint64_t budget_ns)
{
	(void)budget_ns;
	uint64_t rest = r->samples - r->placed - encoder.left;
	struct requests_facts f = {
	    .samples = rest / (encoder.bodies - r->body), .time_ns = 1, .type = "cpu"};
	if (r->body + 1 == encoder.fail_at) {
		r->out.begin(r->out.arg); // in its middle
		return encoder.error;
	}
	int error = r->ending ? 0 : put_body(r);
	r->ending = true;
	if (!error)
		error = r->out.end(r->out.arg, &f);
	if (error)
		return error;
	r->ending = false;
	r->placed += f.samples;
	if (++r->body < encoder.bodies)
		return 1;
	r->left = encoder.left;
	return 0;
}

uint64_t requests_left_out(const struct requests *r)
{
	return r->left;
}

uint64_t requests_untold(const struct requests *r)
{
	return r->left ? encoder.untold : 0;
}

// The receiver, one for each name in the URL.
enum mode { TAKES, DOWN, ANSWERS, HANGS, RESETS, RESETS_SEVEN };
static struct {
	enum mode mode;
	struct http_result result; // of ANSWERS
	uint64_t samples, bodies, posts, gzip, clients;
	char url[200], headers[600], agent[100], proxy[100];
} peers[3];
struct http_client {
	uint32_t peer;
	const struct http_post *post;
	struct http_post copy;
	bool busy;
	char headers[600];
};
static uint64_t now = 1000 * NS_PER_S, wall = 1700000000 * NS_PER_S;
static struct http_client *clients[8];

struct http_client *http_client_new(
    struct loop *loop, const struct http_client_options *o, char *why, size_t why_size)
{
	(void)loop;
	struct http_client *c = mem_alloc(ACCOUNT_NET, sizeof(*c));
	if (!c) {
		snprintf(why, why_size, "no memory");
		return NULL;
	}
	c->peer = strstr(o->url, "two") ? 1 : strstr(o->url, "three") ? 2 : 0;
	text_copy(peers[c->peer].url, sizeof(peers->url), o->url);
	text_copy(peers[c->peer].agent, sizeof(peers->agent), o->user_agent);
	text_copy(peers[c->peer].proxy, sizeof(peers->proxy), o->proxy ? o->proxy : "(env)");
	for (const char *const *h = o->headers; h && *h; h++) {
		strcat(c->headers, *h);
		strcat(c->headers, "|");
	}
	text_copy(peers[c->peer].headers, sizeof(peers->headers), c->headers);
	for (size_t i = 0; i < 8; i++)
		if (!clients[i]) {
			clients[i] = c;
			peers[c->peer].clients++;
			return c;
		}
	abort();
}

void http_client_free(struct http_client *c)
{
	for (size_t i = 0; c && i < 8; i++)
		if (clients[i] == c)
			clients[i] = NULL;
	mem_free(c);
}

int http_client_post(struct http_client *c, const struct http_post *post)
{
	assert_false(c->busy);
	c->copy = *post;
	c->busy = true;
	return 0;
}

static void answer(struct http_client *c, const struct http_result *r)
{
	struct http_post post = c->copy;
	c->busy = false;
	peers[c->peer].posts++;
	post.done(post.arg, r);
}

// Reads the body, all of it or its first half: what a receiver would have seen of it.
static int64_t read_post(struct http_client *c, bool half)
{
	char bytes[3000];
	uint64_t at = 0, end = half ? c->copy.size / 2 : c->copy.size;
	while (at < end) {
		int64_t n = c->copy.read(c->copy.arg, at, bytes, sizeof(bytes));
		if (n < 0)
			return n;
		assert_true(n > 0);
		at += (uint64_t)n;
	}
	return (int64_t)at;
}

static void serve(struct http_client *c)
{
	struct http_result r = {.grpc_status = -1, .status = 200, .why = ""};
	struct destination *d = c->copy.arg;
	int64_t n;
	switch (peers[c->peer].mode) {
	case HANGS:
		return;
	case DOWN:
		r = (struct http_result){
		    .error = -ECONNREFUSED, .grpc_status = -1, .why = "refused"};
		break;
	case RESETS_SEVEN: // at the body of seven samples
		if (spool_oldest(d->spool)->facts.samples != 7)
			goto takes;
		// fall through
	case RESETS:
		read_post(c, true);
		r = (struct http_result){
		    .error = -ECONNRESET, .reached = true, .grpc_status = -1, .why = "reset"};
		break;
	case ANSWERS:
		read_post(c, false);
		r = peers[c->peer].result;
		break;
	default:
	takes:
		n = read_post(c, false);
		if (n < 0) {
			r = (struct http_result){.error = (int)n, .grpc_status = -1, .why = "read"};
			break;
		}
		assert_int_equal(n, c->copy.size);
		r.grpc_status = d->receiver.grpc ? 0 : -1;
		peers[c->peer].bodies++;
		peers[c->peer].samples += spool_oldest(d->spool)->facts.samples;
		peers[c->peer].gzip +=
		    c->copy.content_encoding && !strcmp(c->copy.content_encoding, "gzip");
	}
	answer(c, &r);
}

static struct loop *loop;
static struct budget *budget;
static struct config *config;
static struct deliver *deliver;
static char why[400], place[64];
static bool logs;

static void law(void)
{
	for (uint32_t i = 0; i < deliver->count; i++) {
		const struct destination *d = &deliver->destinations[i];
		uint64_t sum = d->figures.sent + d->figures.rejected + spool_samples(d->spool);
		for (int cause = 0; cause < CAUSE_COUNT; cause++)
			sum += d->figures.dropped[cause];
		assert_int_equal(sum, d->figures.taken);
	}
}

// Turns of the loop, and what the receivers do, over TIME.
static void pass(uint64_t time)
{
	uint64_t end = now + time;
	do {
		for (int i = 0; i < 8; i++) {
			loop_turn(loop);
			for (size_t k = 0; k < 8; k++)
				if (clients[k] && clients[k]->busy)
					serve(clients[k]);
		}
		now += 100 * NS_PER_MS;
		law();
	} while (now < end);
}

static bool open_with(const char *const *flags)
{
	struct text problems = TEXT(ACCOUNT_COMMAND);
	struct config_source source = {.flags = (char *const *)flags};
	config = config_load(&source, NULL, &problems);
	if (!config)
		fail_msg("%s", problems.at);
	text_free(&problems);
	struct deliver_options o = {
	    .loop = loop, .budget = budget, .config = config, .version = "1.2"};
	*why = 0;
	deliver = deliver_new(&o, why, sizeof(why));
	return deliver;
}

static void close_it(void)
{
	deliver_free(deliver);
	config_free(config);
	deliver = NULL;
	config = NULL;
}

static int setup(void **state)
{
	(void)state;
	log_set_level(logs ? LOG_LEVEL_INFO : LOG_LEVEL_ERROR);
	memset(peers, 0, sizeof(peers));
	encoder.bodies = 1;
	encoder.size = 3000;
	encoder.left = encoder.untold = encoder.fail_at = 0;
	unsetenv("OTEL_SERVICE_NAME");
	unsetenv("OTEL_RESOURCE_ATTRIBUTES");
	strcpy(place, "/tmp/telegen-deliver-XXXXXX");
	clock_fake(&now, &wall);
	loop = loop_new();
	budget = budget_new(48 << 20, "/nonexistent", "/nonexistent");
	return mkdtemp(place) && loop && budget ? 0 : -1;
}

static int teardown(void **state)
{
	char command[100];
	(void)state;
	close_it();
	loop_free(loop);
	budget_free(budget);
	clock_fake(NULL, NULL);
	snprintf(command, sizeof(command), "rm -rf %s", place);
	assert_int_equal(mem_used(ACCOUNT_DELIVER) + mem_used(ACCOUNT_SPOOL) +
			     mem_used(ACCOUNT_CONFIG) + mem_used(ACCOUNT_EXPORT) +
			     mem_used(ACCOUNT_NET),
	    0);
	return system(command);
}

// A window of SAMPLES comes and is encoded.
static void window(uint64_t samples)
{
	struct profile *p = profile_new(ACCOUNT_PROFILE, profile_type_find("cpu"));
	uint32_t frame = profile_add_mark(p, "[x]");
	struct profile_subject s = {.pid = 1};
	profile_add(p, profile_add_stack(p, &frame, 1), profile_add_subject(p, &s),
	    (int64_t[]){(int64_t)samples, (int64_t)samples * 10});
	profile_seal(p);
	deliver_put(deliver, p);
	for (int i = 0; deliver_step(deliver, 100000); i++)
		assert_true(i < 100000);
	profile_free(p);
	law();
}

static const struct figures *figures(uint32_t i)
{
	return &deliver->destinations[i].figures;
}

#define ONE "--profile_export.otlp.endpoint=http://one"
#define TWO "--profile_export.pyroscope.endpoint=http://two:4040"
#define LOGS_TWO "--profiling.log_export.enabled=true", "--profiling.log_export.endpoint=http://two"
#define FLAGS(...) ((const char *const[]){__VA_ARGS__, NULL})

static void what_is_taken_is_sent(void **state)
{
	(void)state;
	assert_false(open_with(FLAGS("--listen=")));
	assert_int_equal(errno, 0); // no receiver is no error
	close_it();
	assert_true(open_with(FLAGS(ONE, TWO, "--profiling.log_export.enabled=true",
	    "--profiling.log_export.endpoint=three:1/x",
	    "--profiling.log_export.compression=none")));
	assert_string_equal(peers[0].url, "http://one/v1development/profiles");
	assert_string_equal(peers[1].url, "http://two:4040/push.v1.PusherService/Push");
	assert_string_equal(peers[2].url, "http://three:1/x");
	assert_string_equal(peers[0].agent, "telegen/1.2");
	assert_string_equal(peers[0].proxy, "(env)");
	encoder.bodies = 3;
	for (int i = 0; i < 10; i++) {
		window(100);
		pass(NS_PER_S);
	}
	for (uint32_t i = 0; i < 3; i++) {
		assert_int_equal(figures(i)->taken, 1000);
		assert_int_equal(figures(i)->sent, 1000);
		assert_int_equal(peers[i].samples, 1000);
		assert_int_equal(peers[i].bodies, 30);
	}
	assert_int_equal(peers[0].gzip, 30);
	assert_int_equal(peers[2].gzip, 0);
	close_it();
}

static void an_outage_loses_nothing_that_fits(void **state)
{
	(void)state;
	for (int in_files = 0; in_files < 2; in_files++) {
		char output[100];
		memset(peers, 0, sizeof(peers));
		snprintf(output, sizeof(output), "--output.directory=%s", in_files ? place : "");
		assert_true(open_with(FLAGS(ONE, TWO, output)));
		peers[0].mode = DOWN;
		uint64_t start = now;
		for (uint64_t n = 1; n <= 1000; n++) { // windows, a receiver down
			window(n);
			pass(n % 10 == 0 ? NS_PER_S : 0);
		}
		assert_int_equal(figures(0)->sent, 0);
		assert_int_equal(figures(1)->sent, 500500); // the other one does not care
		assert_int_equal(spool_samples(deliver->destinations[0].spool), 500500);
		// 1 s doubles to 60 s, half of it more or less.
		uint64_t minutes = (now - start) / (60 * NS_PER_S);
		assert_in_range(peers[0].posts, minutes / 2 + 3, 2 * minutes + 14);
		peers[0].mode = TAKES;
		pass(200 * NS_PER_S);
		assert_int_equal(figures(0)->sent, 500500);
		assert_int_equal(peers[0].samples, 500500);
		close_it();
	}
}

static void an_outage_that_is_too_long_drops_the_oldest(void **state)
{
	(void)state;
	char output[100];
	snprintf(output, sizeof(output), "--output.directory=%s", place);
	encoder.size = 30000;
	for (int in_files = 0; in_files < 2; in_files++) {
		memset(peers, 0, sizeof(peers));
		assert_true(open_with(
		    FLAGS(ONE, "--output.max_size=1M", in_files ? output : "--output.directory=")));
		peers[0].mode = DOWN;
		for (uint64_t n = 1; n <= 1000; n++) {
			window(1);
			pass(n % 50 == 0 ? NS_PER_S : 0);
		}
		uint64_t waits = spool_samples(deliver->destinations[0].spool);
		assert_in_range(waits, in_files ? 10 : 150, in_files ? 17 : 210);
		assert_int_equal(figures(0)->dropped[CAUSE_SPOOL_FULL], 1000 - waits);
		if (!in_files) { // memory is asked back
			uint64_t asked = spool_shrink(deliver->destinations[0].spool, 100000);
			assert_true(asked >= 100000);
			law();
			waits = spool_samples(deliver->destinations[0].spool);
		}
		peers[0].mode = TAKES;
		pass(200 * NS_PER_S); // the next try may be 90 s off
		assert_int_equal(peers[0].samples, waits);
		close_it();
	}
}

// What is answered, and what becomes of the body.
static void each_answer_means_one_thing(void **state)
{
	(void)state;
	const struct {
		bool grpc;
		int status, grpc_status;
		uint64_t retry_after_s;
		int cause; // -1: again, -2: sent
	} cases[] = {
	    {false, 200, -1, 0, -2},
	    {false, 202, -1, 0, -2},
	    {false, 429, -1, 0, -1},
	    {false, 429, -1, 7, -1},
	    {false, 502, -1, 0, -1},
	    {false, 503, -1, 0, -1},
	    {false, 503, -1, 100000, -1},
	    {false, 504, -1, 0, -1},
	    {false, 400, -1, 0, CAUSE_REFUSED},
	    {false, 401, -1, 0, CAUSE_REFUSED},
	    {false, 404, -1, 0, CAUSE_REFUSED},
	    {false, 408, -1, 0, CAUSE_REFUSED},
	    {false, 413, -1, 0, CAUSE_TOO_LARGE},
	    {false, 500, -1, 0, CAUSE_REFUSED},
	    {false, 302, -1, 0, CAUSE_REFUSED},
	    {true, 200, 0, 0, -2},
	    {true, 200, 14, 0, -1},
	    {true, 200, 8, 3, -1},
	    {true, 200, 8, 0, CAUSE_TOO_LARGE},
	    {true, 200, 2, 0, CAUSE_REFUSED}, // 200 without a status of gRPC too
	    {true, 200, 12, 0, CAUSE_REFUSED},
	    {true, 200, 3, 0, CAUSE_REFUSED},
	    {true, 200, 1, 0, -1},
	    {true, 200, 4, 0, -1},
	    {true, 200, 15, 0, -1},
	    {true, 503, -1, 0, -1},
	    {true, 200, -1, 0, CAUSE_REFUSED},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		memset(peers, 0, sizeof(peers));
		assert_true(open_with(FLAGS(
		    ONE, cases[i].grpc ? "--profile_export.otlp.protocol=grpc" : "--listen=")));
		peers[0].mode = ANSWERS;
		peers[0].result = (struct http_result){.status = cases[i].status,
		    .grpc_status = cases[i].grpc_status,
		    .retry_after_ns = cases[i].retry_after_s * NS_PER_S,
		    .body = "no\nwith lines",
		    .size = 13,
		    .why = ""};
		window(50);
		pass(200 * NS_PER_MS);
		assert_int_equal(peers[0].posts, 1);
		if (cases[i].cause >= 0)
			assert_int_equal(figures(0)->dropped[cases[i].cause], 50);
		else
			assert_int_equal(figures(0)->sent, cases[i].cause == -2 ? 50 : 0);
		assert_int_equal(figures(0)->retries, cases[i].cause == -1);
		peers[0].mode = TAKES;
		uint64_t least = cases[i].retry_after_s > 3600 ? 3600 : cases[i].retry_after_s;
		if (cases[i].cause == -1 && least > 1) {
			pass(least * NS_PER_S - NS_PER_S);
			assert_int_equal(peers[0].posts, 1);
			pass(least * NS_PER_S / 9 + 2 * NS_PER_S);
		} else {
			pass(2 * NS_PER_S);
		}
		assert_int_equal(figures(0)->sent, cases[i].cause < 0 ? 50 : 0);
		assert_int_equal(peers[0].posts, cases[i].cause == -1 ? 2 : 1);
		close_it();
	}
}

static int real_stderr, told_fd;
static void listen_to_log(void)
{
	char path[100];
	snprintf(path, sizeof(path), "%s/log", place);
	fflush(stderr);
	real_stderr = dup(STDERR_FILENO);
	told_fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
	assert_true(real_stderr >= 0 && told_fd >= 0);
	dup2(told_fd, STDERR_FILENO);
	log_set_level(LOG_LEVEL_WARN);
}

static const char *what_was_told(void)
{
	static char told[4000];
	log_set_level(LOG_LEVEL_ERROR);
	dup2(real_stderr, STDERR_FILENO);
	ssize_t n = pread(told_fd, told, sizeof(told) - 1, 0);
	told[n > 0 ? n : 0] = 0;
	close(real_stderr);
	close(told_fd);
	return told;
}

static void metric_is(const char *line)
{
	struct text t = TEXT(ACCOUNT_COMMAND);
	deliver_metrics(deliver, &t);
	if (!strstr(t.at, line))
		fail_msg("no %s in %s", line, t.at);
	text_free(&t);
}

// Who asks for time is told of in the log, and in the metrics.
static void the_next_try_is_told(void **state)
{
	(void)state;
	static const struct {
		uint64_t retry_after_s;
		const char *told;
	} cases[] = {{4, "again in 4 s"}, {600, " min\n"}, {3600, "again in 1 h\n"},
	    {100000, "again in 1 h\n"}, {0, NULL}};
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		assert_true(open_with(FLAGS(ONE)));
		metric_is("telegen_export_retry_seconds{destination=\"otlp\"} 0\n");
		peers[0].mode = ANSWERS;
		peers[0].result = (struct http_result){.status = 429,
		    .grpc_status = -1,
		    .retry_after_ns = cases[i].retry_after_s * NS_PER_S,
		    .why = ""};
		listen_to_log();
		window(50);
		pass(200 * NS_PER_MS);
		const char *told = what_was_told();
		assert_non_null(strstr(told, "answers 429; 1 requests wait"));
		if (cases[i].told)
			assert_non_null(strstr(told, cases[i].told));
		else
			assert_null(strstr(told, "again"));
		uint64_t left = destination_retry_seconds(&deliver->destinations[0]);
		uint64_t least = cases[i].retry_after_s < 3600 ? cases[i].retry_after_s : 3600;
		assert_true(left >= least && left <= least + least / 10 + 2);
		char line[100];
		snprintf(line, sizeof(line),
		    "telegen_export_retry_seconds{destination=\"otlp\"} %lu\n", left);
		metric_is(line);
		peers[0].mode = TAKES;
		pass((left + 1) * NS_PER_S);
		metric_is("telegen_export_retry_seconds{destination=\"otlp\"} 0\n");
		close_it();
	}
}

// Both of OTLP's protocols at the other's port; logs and metrics have HTTP alone.
static void the_wrong_port_is_told(void **state)
{
	(void)state;
	static const struct {
		const char *first, *second, *why, *told;
	} cases[] = {
	    {ONE, "--listen=", "one: its answer is no HTTP/1.1",
		"is no HTTP/1.1; is that the port of gRPC? set protocol: grpc; 1 requests wait"},
	    {ONE, "--profile_export.otlp.protocol=grpc",
		"it does not speak HTTP/2, or not by its rules",
		"rules; is that the port of HTTP? 4317 is gRPC's, 4318 HTTP's; 1 requests wait"},
	    {"--profiling.log_export.enabled=true", "--profiling.log_export.endpoint=http://one",
		"its answer is no HTTP/1.1", "port of gRPC? 4317 is gRPC's, 4318 HTTP's; 1 req"},
	    {ONE, "--listen=", "it closed the connection", "connection; 1 requests wait"},
	    {"--profile_export.pyroscope.enabled=true",
		"--profile_export.pyroscope.endpoint=http://one", "its answer is no HTTP/1.1",
		"is no HTTP/1.1; 1 requests wait"},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		assert_true(open_with(FLAGS(cases[i].first, cases[i].second)));
		peers[0].mode = ANSWERS;
		peers[0].result =
		    (struct http_result){.error = -EPROTO, .grpc_status = -1, .why = cases[i].why};
		listen_to_log();
		window(50);
		pass(200 * NS_PER_MS);
		const char *told = what_was_told();
		if (!strstr(told, cases[i].told))
			fail_msg("no %s in %s", cases[i].told, told);
		close_it();
	}
}

static void pyroscope_that_starts_is_asked_again(void **state)
{
	(void)state;
	static const char starting[] = "{\"code\":\"unknown\",\"message\":\"rpc error: code = "
				       "Unavailable desc = service is unavailable\"}",
			  broken[] = "{\"code\":\"unknown\",\"message\":\"rpc error: code = "
				     "InvalidArgument desc = Unavailable\"}";
	struct http_result r = {.status = 500, .grpc_status = -1, .body = starting, .why = ""};
	r.size = sizeof(starting) - 1;
	assert_int_equal(answer_judge(REQUESTS_PYROSCOPE, false, &r), VERDICT_AGAIN);
	assert_int_equal(answer_judge(REQUESTS_OTLP, false, &r), VERDICT_REFUSED);
	r.size = 50; // its end is not read
	assert_int_equal(answer_judge(REQUESTS_PYROSCOPE, false, &r), VERDICT_REFUSED);
	r.body = broken;
	r.size = sizeof(broken) - 1;
	assert_int_equal(answer_judge(REQUESTS_PYROSCOPE, false, &r), VERDICT_REFUSED);
	r.body = NULL;
	r.size = 0;
	assert_int_equal(answer_judge(REQUESTS_PYROSCOPE, false, &r), VERDICT_REFUSED);
}

// A login on the way says 200 as well.
static void a_web_page_is_no_receiver(void **state)
{
	(void)state;
	static const char *const pages[] = {"<html>log in</html>", "\r\n <!DOCTYPE html>"};
	for (size_t i = 0; i < 2; i++) {
		memset(peers, 0, sizeof(peers));
		assert_true(open_with(FLAGS(ONE)));
		peers[0].mode = ANSWERS;
		peers[0].result = (struct http_result){.status = 200,
		    .grpc_status = -1,
		    .body = pages[i],
		    .size = strlen(pages[i]),
		    .why = ""};
		window(50);
		pass(NS_PER_S);
		assert_int_equal(figures(0)->sent, 0);
		assert_int_equal(figures(0)->dropped[CAUSE_REFUSED], 50);
		close_it();
	}
}

static void what_a_receiver_rejects_is_told_apart(void **state)
{
	(void)state;
	// partial_success {1: 7, 2: "bad"}
	static const uint8_t body[] = {0x0a, 7, 0x08, 7, 0x12, 3, 'b', 'a', 'd'};
	static const uint8_t warning[] = {0x0a, 5, 0x12, 3, 'b', 'a', 'd'};
	assert_true(open_with(FLAGS(ONE, "--profiling.log_export.enabled=true",
	    "--profiling.log_export.endpoint=http://two")));
	for (int i = 0; i < 2; i++) {
		peers[i].mode = ANSWERS;
		peers[i].result = (struct http_result){.status = 200,
		    .grpc_status = -1,
		    .body = body,
		    .size = sizeof(body),
		    .why = ""};
	}
	window(50);
	pass(NS_PER_S);
	assert_int_equal(figures(0)->rejected, 50); // which they were it does not say
	assert_int_equal(figures(1)->rejected, 50);
	assert_int_equal(figures(1)->sent, 0);
	peers[0].result.body = warning;
	peers[0].result.size = sizeof(warning);
	peers[1].result.size = 3; // garbage is no rejection
	window(50);
	pass(NS_PER_S);
	assert_int_equal(figures(0)->sent, 50);
	assert_int_equal(figures(1)->sent, 50);
	assert_int_equal(figures(0)->retries + figures(1)->retries, 0);
	close_it();
}

static void a_reset_a_black_hole_and_a_slow_receiver_hold_nobody_else(void **state)
{
	(void)state;
	assert_true(open_with(FLAGS(ONE, TWO)));
	peers[0].mode = RESETS;
	for (int i = 0; i < 20; i++) {
		window(5);
		pass(NS_PER_S);
	}
	assert_int_equal(peers[1].samples, 100);
	assert_true(peers[0].posts > 2);
	peers[0].mode = HANGS;
	pass(70 * NS_PER_S);
	for (int i = 0; i < 20; i++) {
		window(5);
		pass(NS_PER_S);
	}
	assert_int_equal(peers[1].samples, 200);
	assert_int_equal(spool_samples(deliver->destinations[0].spool), 200);
	peers[0].mode = TAKES;
	pass(10 * NS_PER_S);
	assert_int_equal(peers[0].samples, 200);
	close_it();
}

static void again_with(const char *const *flags);
static void rest(uint64_t most);

static void what_breaks_its_receiver_goes_behind(void **state)
{
	(void)state;
	char output[100];
	snprintf(output, sizeof(output), "--output.directory=%s", place);
	for (int in_files = 0; in_files < 2; in_files++) {
		memset(peers, 0, sizeof(peers));
		assert_true(open_with(FLAGS(ONE, in_files ? output : "--output.directory=")));
		peers[0].mode = RESETS_SEVEN;
		window(7);
		pass(200 * NS_PER_S); // alone it is tried again for ever
		assert_int_equal(spool_samples(deliver->destinations[0].spool), 7);
		for (int i = 0; i < 20; i++)
			window(10);
		pass(100 * NS_PER_S);
		assert_int_equal(figures(0)->sent, 200);
		pass(200 * NS_PER_S); // the others were taken: it is no outage
		assert_int_equal(figures(0)->dropped[CAUSE_UNANSWERED], 7);
		assert_int_equal(spool_count(deliver->destinations[0].spool), 0);
		metric_is("_dropped_samples_total{destination=\"otlp\",cause=\"unanswered\"} 7\n");
		window(7); // what comes before and behind is delivered
		window(10);
		window(7);
		window(10);
		pass(600 * NS_PER_S);
		assert_int_equal(figures(0)->sent, 220);
		assert_int_equal(figures(0)->dropped[CAUSE_UNANSWERED], 21);
		close_it();
	}
}

static void an_outage_that_takes_connections_drops_nothing(void **state)
{
	(void)state;
	assert_true(open_with(FLAGS(ONE)));
	peers[0].mode = TAKES;
	window(10);
	pass(NS_PER_S);
	peers[0].mode = RESETS;
	for (int i = 0; i < 60; i++) {
		window(10);
		pass(60 * NS_PER_S);
	}
	assert_true(peers[0].posts < 150);
	assert_int_equal(spool_samples(deliver->destinations[0].spool), 600);
	rest(NS_PER_S);
	again_with(FLAGS(ONE)); // what was put behind stays so
	assert_int_equal(figures(0)->taken, 610);
	pass(600 * NS_PER_S);
	peers[0].mode = TAKES;
	pass(100 * NS_PER_S);
	assert_int_equal(figures(0)->sent, 610);
	assert_int_equal(peers[0].samples, 610);
	close_it();
}

static void encoders_that_fail_are_counted(void **state)
{
	(void)state;
	assert_true(open_with(FLAGS(ONE)));
	encoder.bodies = 4;
	encoder.left = 8;
	encoder.untold = 3; // of them
	window(100);
	assert_int_equal(figures(0)->dropped[CAUSE_TOO_LARGE], 5);
	assert_int_equal(figures(0)->dropped[CAUSE_UNTOLD], 3);
	encoder.left = encoder.untold = 0;
	encoder.fail_at = 3;
	encoder.error = -ENOMEM;
	window(100);
	assert_int_equal(figures(0)->dropped[CAUSE_MEMORY], 50);
	encoder.error = -EIO;
	window(100);
	assert_int_equal(figures(0)->dropped[CAUSE_ENCODING], 50);
	encoder.fail_at = 0;
	pass(NS_PER_S);
	assert_int_equal(figures(0)->sent, 92 + 50 + 50);
	// A body larger than all the room; the others of that profile find theirs.
	encoder.bodies = 1;
	encoder.size = 7 << 20;
	window(100);
	assert_int_equal(figures(0)->dropped[CAUSE_TOO_LARGE], 105);
	close_it();
}

static void a_restart_goes_on_with_the_files(void **state)
{
	(void)state;
	char output[100], path[200];
	snprintf(output, sizeof(output), "--output.directory=%s", place);
	assert_true(open_with(FLAGS(ONE, output)));
	peers[0].mode = DOWN;
	for (int i = 0; i < 20; i++)
		window(10);
	pass(NS_PER_S);
	close_it();
	snprintf(path, sizeof(path), "%s/spool-otlp/%020d.spool", place, 3);
	assert_int_equal(truncate(path, 1000), 0);
	snprintf(path, sizeof(path), "%s/spool-otlp/%020d.spool", place, 5);
	FILE *f = fopen(path, "r+");
	fseek(f, 2000, SEEK_SET);
	fputc('!', f);
	fclose(f);
	// Now without compression: what is packed stays told as packed.
	assert_true(open_with(FLAGS(ONE, output, "--profile_export.otlp.compression=none")));
	assert_int_equal(figures(0)->taken, 190);
	assert_int_equal(spool_damaged(deliver->destinations[0].spool), 1);
	peers[0].mode = TAKES;
	window(10);
	pass(NS_PER_S);
	pass(20 * NS_PER_S);
	assert_int_equal(figures(0)->dropped[CAUSE_DAMAGED], 10);
	assert_int_equal(figures(0)->sent, 190);
	assert_int_equal(peers[0].samples, 190); // none twice, the damaged one not at all
	assert_int_equal(peers[0].gzip, 18);
	close_it();
	assert_true(open_with(FLAGS(ONE, output)));
	assert_int_equal(figures(0)->taken, 0);
	close_it();
}

// A receiver that is no longer configured leaves its files: they are told, and take of the room.
static void what_waits_for_nobody_is_told_and_counted(void **state)
{
	(void)state;
	char output[100], wanted[300];
	snprintf(output, sizeof(output), "--output.directory=%s", place);
	encoder.size = 30000; // 32 KiB of a disk
	assert_true(open_with(FLAGS(ONE, TWO, output, "--output.max_size=1M")));
	assert_int_equal(deliver_left(config), 0);
	assert_int_equal(deliver->destinations[0].spool_max, 256 << 10);
	peers[0].mode = DOWN;
	for (int i = 0; i < 6; i++)
		window(10);
	pass(NS_PER_S);
	close_it();
	for (int receivers = 0; receivers < 2; receivers++) {
		listen_to_log();
		assert_int_equal(
		    open_with(FLAGS(receivers ? TWO : "--listen=", output, "--output.max_size=1M")),
		    receivers);
		const char *told = what_was_told();
		snprintf(wanted, sizeof(wanted),
		    "warning: otlp: 6 requests (196608 bytes) of before wait in %s/spool-otlp for "
		    "a "
		    "receiver that is not configured: configure it, or remove them\n",
		    place);
		if (!strstr(told, wanted))
			fail_msg("no %s in %s", wanted, told);
		assert_int_equal(deliver_left(config), 6 << 15);
		if (receivers)
			assert_int_equal(
			    deliver->destinations[0].spool_max, (512 << 10) - (6 << 15));
		close_it();
	}
	peers[0].mode = TAKES;
	assert_true(open_with(FLAGS(ONE, output, "--output.max_size=1M")));
	assert_int_equal(deliver_left(config), 0);
	pass(NS_PER_S);
	assert_int_equal(figures(0)->sent, 60);
	close_it();
}

// What deliver_new refuses for its values, deliver_check does with the same line, and touches
// nothing.
static void what_run_refuses_is_known_before(void **state)
{
	(void)state;
	char output[100], line[400];
	snprintf(output, sizeof(output), "--output.directory=%s/new", place);
	const struct {
		const char *const *flags;
		bool refused;
	} rows[] = {
	    {FLAGS("--profile_export.otlp.endpoint=ftp://one"), true},
	    {FLAGS(ONE, "--profile_export.otlp.headers=a=${env:TELEGEN_NO_SUCH}"), true},
	    {FLAGS(ONE, "--profile_export.otlp.token_file=/nonexistent"), true},
	    {FLAGS(ONE, "--profile_export.otlp.user=me"), true},
	    {FLAGS(ONE, "--profile_export.otlp.tls_cert_file=/dev/null"), true},
	    {FLAGS("--profiling.metrics_export.enabled=true",
		 "--profiling.metrics_export.histogram_buckets=2,1"),
		true},
	    {FLAGS(ONE, output), false},
	    {FLAGS("--listen="), false},
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		open_with(rows[i].flags);
		text_copy(line, sizeof(line), why);
		deliver_free(deliver);
		deliver = NULL;
		uint64_t used = mem_total();
		assert_int_equal(
		    deliver_check(config, why, sizeof(why)), rows[i].refused ? -EINVAL : 0);
		if (rows[i].refused)
			assert_string_equal(why, line);
		assert_int_equal(mem_total(), used);
		close_it();
	}
}

static void a_full_disk_drops_the_oldest(void **state)
{
	(void)state;
	char output[100];
	snprintf(output, sizeof(output), "--output.directory=%s", place);
	if (mount("none", place, "tmpfs", 0, "size=300k") < 0)
		skip();
	assert_true(open_with(FLAGS(ONE, output)));
	peers[0].mode = DOWN;
	encoder.size = 20000;
	for (int i = 0; i < 50; i++)
		window(10);
	uint64_t waits = spool_samples(deliver->destinations[0].spool);
	assert_in_range(waits, 80, 150);
	assert_int_equal(figures(0)->dropped[CAUSE_SPOOL_FULL], 500 - waits);
	encoder.size = 400000;
	window(10); // larger than the disk
	law();
	peers[0].mode = TAKES;
	encoder.size = 100;
	window(10);
	pass(70 * NS_PER_S);
	assert_int_equal(figures(0)->taken, 520);
	assert_int_equal(spool_count(deliver->destinations[0].spool), 0);
	close_it();
	assert_int_equal(umount(place), 0);
}

static void over(void *arg)
{
	++*(int *)arg;
}

static void an_end_is_short_and_tells_what_is_left(void **state)
{
	(void)state;
	char output[100];
	snprintf(output, sizeof(output), "--output.directory=%s", place);
	for (int k = 0; k < 4; k++) { // in memory and in files; answers and not
		bool in_files = k & 1, answers = k & 2;
		int done = 0;
		memset(peers, 0, sizeof(peers));
		assert_true(open_with(FLAGS(ONE, TWO, in_files ? output : "--output.directory=")));
		peers[0].mode = DOWN;
		for (int i = 0; i < 5; i++)
			window(10);
		pass(40 * NS_PER_S);
		peers[0].mode = answers ? TAKES : HANGS;
		uint64_t began = now;
		deliver_finish(deliver, 5 * NS_PER_S, over, &done);
		assert_int_equal(done, 0);
		while (!done)
			pass(0);
		assert_true(now - began <= 5 * NS_PER_S + 300 * NS_PER_MS);
		assert_true(answers ? now - began < NS_PER_S : true);
		assert_int_equal(figures(0)->sent, answers ? 50 : 0);
		assert_int_equal(figures(0)->dropped[CAUSE_SHUTDOWN], answers || in_files ? 0 : 50);
		pass(10 * NS_PER_S);
		assert_int_equal(done, 1);
		close_it();
		if (in_files && !answers) { // they were there for the next start
			peers[0].mode = TAKES;
			assert_true(open_with(FLAGS(ONE, output)));
			pass(NS_PER_S);
			assert_int_equal(figures(0)->sent, 50);
			close_it();
		}
	}
}

static void half_a_letter_is_not_told(void **state)
{
	(void)state;
	struct http_result r = {.status = 400, .grpc_status = -1, .why = ""};
	char text[9];
	r.body = "abcd\xe2\x82\xac\xe2\x82\xac"; // "abcd" and two signs of 3 bytes
	for (size_t size = 5; size < sizeof(text) + 1; size++) {
		r.size = 10;
		answer_text(REQUESTS_PYROSCOPE, &r, text, size);
		assert_string_equal(text, size < 8 ? "abcd" : "abcd\xe2\x82\xac");
	}
	r.size = 7; // a whole one is
	answer_text(REQUESTS_PYROSCOPE, &r, text, 8);
	assert_string_equal(text, "abcd\xe2\x82\xac");
}

static void a_token_that_changed_is_read_again(void **state)
{
	(void)state;
	char token[100], flag[200];
	snprintf(token, sizeof(token), "%s/token", place);
	snprintf(flag, sizeof(flag), "--profile_export.otlp.token_file=%s", token);
	FILE *f = fopen(token, "w");
	fputs("first\n", f);
	fclose(f);
	assert_true(open_with(FLAGS(ONE, flag)));
	assert_string_equal(peers[0].headers, "Authorization: Bearer first|");
	f = fopen(token, "w");
	fputs("second\n", f);
	fclose(f);
	peers[0].mode = ANSWERS;
	peers[0].result = (struct http_result){.status = 401, .grpc_status = -1, .why = ""};
	window(10);
	now++;
	loop_turn(loop);
	serve(clients[0]);
	assert_string_equal(peers[0].headers, "Authorization: Bearer second|");
	assert_int_equal(figures(0)->dropped[CAUSE_REFUSED], 0);
	peers[0].mode = TAKES;
	pass(NS_PER_S);
	assert_int_equal(figures(0)->sent, 10);
	peers[0].mode = ANSWERS; // refused for good, where it is the same
	window(10);
	pass(NS_PER_S);
	assert_int_equal(figures(0)->dropped[CAUSE_REFUSED], 10);
	close_it();
}

// The rooms are built again, with FLAGS.
static struct deliver *retired;
static void again_with(const char *const *flags)
{
	struct config *before = config;
	retired = deliver_retire(deliver);
	loop_free(loop);
	budget_free(budget);
	loop = loop_new();
	budget = budget_new(48 << 20, "/nonexistent", "/nonexistent");
	config_free(before);
	open_with(flags);
	deliver_go_on(deliver, retired);
	if (deliver)
		law();
}

static void rest(uint64_t most)
{
	int done = 0;
	uint64_t began = now;
	deliver_rest(deliver, NS_PER_S, over, &done);
	assert_int_equal(done, 0);
	while (!done)
		pass(0);
	assert_true(now - began <= most);
}

static void a_new_configuration_goes_on_with_what_waits(void **state)
{
	(void)state;
	char output[100];
	snprintf(output, sizeof(output), "--output.directory=%s", place);
	assert_true(open_with(FLAGS(ONE, TWO)));
	peers[0].mode = DOWN;
	for (int i = 0; i < 5; i++)
		window(10);
	pass(NS_PER_S);
	rest(300 * NS_PER_MS); // nothing is under way
	uint64_t posts = peers[0].posts, samples = peers[1].samples;
	window(10); // the last
	pass(70 * NS_PER_S);
	assert_int_equal(peers[0].posts, posts); // no request begins
	assert_int_equal(peers[1].samples, samples);
	again_with(FLAGS(ONE, TWO));
	assert_int_equal(figures(0)->taken, 60);
	assert_int_equal(spool_samples(deliver->destinations[0].spool), 60);
	pass(NS_PER_S);
	assert_int_equal(figures(1)->sent, 60);
	assert_int_equal(peers[1].samples, 60); // each once
	peers[0].mode = HANGS; // a request under way is waited for, and not for long
	pass(70 * NS_PER_S);
	rest(NS_PER_S + 300 * NS_PER_MS);
	again_with(FLAGS(ONE)); // the other is no more
	peers[0].mode = TAKES;
	pass(NS_PER_S);
	assert_int_equal(figures(0)->sent, 60);
	assert_int_equal(figures(0)->taken, 60);
	peers[0].mode = DOWN;
	window(10);
	pass(NS_PER_S);
	again_with(FLAGS(ONE, output)); // what waits goes from memory to files
	assert_int_equal(figures(0)->dropped[CAUSE_SHUTDOWN], 0);
	assert_int_equal(spool_samples(deliver->destinations[0].spool), 10);
	window(10);
	pass(NS_PER_S);
	again_with(FLAGS(ONE, output)); // what is in files is not counted twice
	assert_int_equal(figures(0)->taken, 80);
	peers[0].mode = TAKES;
	pass(70 * NS_PER_S);
	assert_int_equal(figures(0)->sent, 80);
	again_with(FLAGS("--listen="));
	assert_null(deliver);
	close_it();
}

static void what_does_not_go_to_files_is_dropped_and_told(void **state)
{
	(void)state;
	char output[100];
	snprintf(output, sizeof(output), "--output.directory=%s", place);
	assert_true(open_with(FLAGS(ONE)));
	peers[0].mode = DOWN;
	window(10);
	encoder.size = 600 << 10; // above half of max_size
	window(10);
	pass(NS_PER_S);
	assert_int_equal(spool_samples(deliver->destinations[0].spool), 20);
	again_with(FLAGS(ONE, output, "--output.max_size=1MB"));
	assert_int_equal(spool_samples(deliver->destinations[0].spool), 10);
	assert_int_equal(figures(0)->dropped[CAUSE_SHUTDOWN], 10);
	encoder.size = 0;
	peers[0].mode = TAKES;
	pass(70 * NS_PER_S);
	assert_int_equal(figures(0)->sent, 10);
	close_it();
}

static void what_waits_fits_the_new_configuration(void **state)
{
	(void)state;
	encoder.size = 200 << 10;
	assert_true(open_with(FLAGS(ONE)));
	peers[0].mode = DOWN;
	for (int i = 0; i < 20; i++)
		window(10);
	assert_int_equal(spool_samples(deliver->destinations[0].spool), 200);
	again_with(FLAGS(ONE, TWO, LOGS_TWO)); // a third of the room
	const struct destination *d = &deliver->destinations[0];
	assert_true(spool_bytes(d->spool) <= d->spool_max && spool_count(d->spool) > 5);
	assert_true(figures(0)->dropped[CAUSE_SPOOL_FULL] > 0);
	spool_shrink(d->spool, 1); // it is the new budget's
	law();
	int done = 0; // an end after all
	peers[0].mode = TAKES;
	uint64_t left = spool_samples(d->spool);
	deliver_rest(deliver, NS_PER_S, over, &done);
	while (!done)
		pass(0);
	assert_int_equal(figures(0)->sent, 0);
	deliver_finish(deliver, 5 * NS_PER_S, over, &done);
	while (done < 2)
		pass(0);
	assert_int_equal(figures(0)->sent, left);
	close_it();
}

static void each_allocation_may_fail(void **state)
{
	(void)state;
	bool failed = true;
	for (uint64_t n = 1; failed; n++) {
		static const char *const flags[] = {
		    ONE, TWO, "--profile_export.otlp.headers=a=b", "--resource=a=b", NULL};
		struct config_source source = {.flags = (char *const *)flags};
		config = config_load(&source, NULL, NULL);
		struct deliver_options o = {.loop = loop, .budget = budget, .config = config};
		mem_fail_at(n);
		deliver = deliver_new(&o, why, sizeof(why));
		int error = errno;
		failed = mem_fail_seen() >= n;
		mem_fail_at(0);
		if (!deliver) {
			assert_int_equal(error, ENOMEM);
			if (!strstr(why, "memory"))
				fail_msg("allocation %lu: %s", n, why);
		}
		close_it();
	}
	failed = true;
	for (uint64_t n = 1; failed; n++) {
		static const char *const flags[] = {ONE, TWO, LOGS_TWO, NULL};
		struct config_source source = {.flags = (char *const *)flags};
		config = config_load(&source, NULL, NULL);
		mem_fail_at(n);
		int error = deliver_check(config, why, sizeof(why));
		failed = mem_fail_seen() >= n;
		mem_fail_at(0);
		assert_true(error == (failed ? -ENOMEM : 0) || !error);
		if (error && !strstr(why, "memory"))
			fail_msg("allocation %lu: %s", n, why);
		config_free(config);
		config = NULL;
	}
	for (uint64_t n = 1; n < 60; n++) { // and while it runs
		memset(peers, 0, sizeof(peers));
		assert_true(open_with(FLAGS(ONE, TWO)));
		int done = 0;
		struct profile *p = profiles_node(20, 1);
		profile_seal(p);
		mem_fail_at(n);
		deliver_put(deliver, p);
		while (deliver_step(deliver, 100000))
			;
		pass(NS_PER_S);
		deliver_finish(deliver, NS_PER_S, over, &done);
		pass(2 * NS_PER_S);
		mem_fail_at(0);
		law();
		assert_int_equal(done, 1);
		assert_true(figures(0)->taken > 0);
		profile_free(p);
		close_it();
	}
}

static void metrics_tell_the_law(void **state)
{
	(void)state;
	struct text t = TEXT(ACCOUNT_COMMAND);
	assert_true(open_with(FLAGS(ONE, TWO)));
	peers[0].mode = DOWN;
	window(10);
	pass(NS_PER_S);
	deliver_metrics(deliver, &t);
	assert_non_null(
	    strstr(t.at, "telegen_export_taken_samples_total{destination=\"otlp\"} 10\n"));
	assert_non_null(strstr(t.at, "telegen_export_waiting_samples{destination=\"otlp\"} 10\n"));
	assert_non_null(
	    strstr(t.at, "telegen_export_sent_samples_total{destination=\"pyroscope\"} 10\n"));
	assert_non_null(strstr(t.at,
	    "telegen_export_dropped_samples_total{destination=\"otlp\",cause=\"spool_full\"} 0\n"));
	assert_non_null(
	    strstr(t.at, "telegen_export_spool_limit_bytes{destination=\"otlp\"} 3145728\n"));
	text_free(&t);
	close_it();
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
int main(int argc, char **argv)
{
	logs = argc > 1 && argv[1];
	const struct CMUnitTest tests[] = {
	    TEST(what_is_taken_is_sent),
	    TEST(an_outage_loses_nothing_that_fits),
	    TEST(an_outage_that_is_too_long_drops_the_oldest),
	    TEST(each_answer_means_one_thing),
	    TEST(pyroscope_that_starts_is_asked_again),
	    TEST(the_next_try_is_told),
	    TEST(the_wrong_port_is_told),
	    TEST(a_web_page_is_no_receiver),
	    TEST(what_a_receiver_rejects_is_told_apart),
	    TEST(a_reset_a_black_hole_and_a_slow_receiver_hold_nobody_else),
	    TEST(what_breaks_its_receiver_goes_behind),
	    TEST(an_outage_that_takes_connections_drops_nothing),
	    TEST(encoders_that_fail_are_counted),
	    TEST(a_restart_goes_on_with_the_files),
	    TEST(what_waits_for_nobody_is_told_and_counted),
	    TEST(what_run_refuses_is_known_before),
	    TEST(a_full_disk_drops_the_oldest),
	    TEST(an_end_is_short_and_tells_what_is_left),
	    TEST(half_a_letter_is_not_told),
	    TEST(a_token_that_changed_is_read_again),
	    TEST(a_new_configuration_goes_on_with_what_waits),
	    TEST(what_does_not_go_to_files_is_dropped_and_told),
	    TEST(what_waits_fits_the_new_configuration),
	    TEST(each_allocation_may_fail),
	    TEST(metrics_tell_the_law),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
