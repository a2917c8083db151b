// SPDX-License-Identifier: Apache-2.0
// One receiver:
//
//   profile -> bodies -> spool -> one request at a time -> sent
//                          ^                            '-> refused: dropped, told
//                          '-- let go, waits for the timer <- no answer, or "not now"
#include "private.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define SOON_NS 1 // in another turn of the loop
#define BUSY_NS NS_PER_S
#define COPY_NS NS_PER_S // from memory to files
#define BROKEN_MAX 5 // tries: half a minute, where none failed before

static void on_drop(void *arg, const struct spool_facts *f)
{
	struct destination *d = arg;
	if (!d->spool) // one of those that it takes over
		d->figures.taken += f->samples;
	drop(d, CAUSE_SPOOL_FULL, f->samples);
	TELL(d, full, LOG_LEVEL_WARN,
	    "%s: the spool is full: the oldest profiles were dropped (%s, %lu samples)",
	    d->receiver.name, f->type, f->samples);
}

static void arm(struct destination *d, uint64_t ns)
{
	d->armed = true;
	d->due_ns = clock_now() + ns;
	timer_set(d->timer, ns, 0);
}

uint64_t destination_retry_seconds(const struct destination *d)
{
	uint64_t now = clock_now();
	return d->armed && d->tries && d->due_ns > now ? (d->due_ns - now + NS_PER_S - 1) / NS_PER_S
						       : 0;
}

// "; again in 1 h", where the receiver said so.
static void tell_wait(char *text, size_t size, uint64_t ns)
{
	uint64_t s = (ns + NS_PER_S / 2) / NS_PER_S;
	if (s < 60)
		snprintf(text, size, "; again in %lu s", s);
	else if (s < 3600)
		snprintf(text, size, "; again in %lu min", (s + 30) / 60);
	else
		snprintf(text, size, "; again in %lu h", (s + 1800) / 3600);
}

// Of OTLP's two ports one may stand where the other is meant; net's words tell it.
static const char *other_port(const struct destination *d, const struct http_result *r)
{
	if (!r->error || !r->why || d->receiver.kind == REQUESTS_PYROSCOPE ||
	    d->receiver.kind == REQUESTS_PARCA)
		return "";
	if (d->receiver.grpc && strstr(r->why, "does not speak HTTP/2"))
		return "; is that the port of HTTP? 4317 is gRPC's, 4318 HTTP's";
	if (d->receiver.grpc || !strstr(r->why, "its answer is no HTTP/1.1"))
		return "";
	return d->receiver.kind == REQUESTS_OTLP
		   ? "; is that the port of gRPC? set protocol: grpc"
		   : "; is that the port of gRPC? 4317 is gRPC's, 4318 HTTP's";
}

// A request at which the receiver breaks off each time would hold up all behind it: after some
// tries it goes behind them. That may still be an outage, of what stands before the receiver; but
// where others were taken until its turn came again, it is the request: true, and it is to be
// dropped.
static bool breaks_it(
    struct destination *d, const struct spool_entry *e, const struct http_result *r)
{
	d->broken = r->error && r->reached ? d->broken + 1 : 0;
	return d->broken >= BROKEN_MAX && e->note && e->note <= d->delivered;
}

// True where another one is the oldest now.
static bool put_behind(struct destination *d)
{
	if (d->broken < BROKEN_MAX || spool_count(d->spool) < 2)
		return false;
	log_info("%s: a request had no answer %u times: the others go before it", d->receiver.name,
	    d->broken);
	d->broken = 0;
	spool_put_behind(d->spool, d->delivered + 1);
	return true;
}

// No answer: an outage is told when it begins, and each minute.
static void again_later(struct destination *d, const struct http_result *r, const char *text)
{
	uint64_t now = clock_now();
	uint64_t wait = answer_backoff(++d->tries, r->retry_after_ns, hash_mix(now ^ (uintptr_t)d));
	spool_let_go(d->spool);
	if (put_behind(d))
		wait = BUSY_NS;
	d->figures.retries++;
	bool ends = d->deliver->finishing && (d->in_files || now + wait >= d->deliver->deadline);
	char when[32] = "";
	if (r->retry_after_ns && !ends)
		tell_wait(when, sizeof(when), wait);
	bool grpc = d->receiver.grpc && r->grpc_status >= 0;
	if (r->error)
		TELL(d, again, LOG_LEVEL_WARN, "%s: %s: %s%s; %u requests wait", d->receiver.name,
		    d->receiver.shown.at, *text ? text : strerror(-r->error), other_port(d, r),
		    spool_count(d->spool));
	else
		TELL(d, again, LOG_LEVEL_WARN, "%s: %s answers %s%d%s%s; %u requests wait%s",
		    d->receiver.name, d->receiver.shown.at, grpc ? "gRPC status " : "",
		    grpc ? r->grpc_status : r->status, *text ? ": " : "", text,
		    spool_count(d->spool), when);
	if (ends)
		d->gave_up = true;
	else
		arm(d, wait);
}

static const char *way_out(const struct destination *d, const struct http_result *r)
{
	bool grpc = d->receiver.grpc;
	if (d->receiver.kind == REQUESTS_OTLP &&
	    (r->status == 404 || (grpc && r->grpc_status == 12))) // UNIMPLEMENTED
		return "; a Collector takes profiles, at /v1development/profiles, with "
		       "--feature-gates="
		       "service.profilesSupport and a pipeline of profiles";
	if (r->status >= 300 && r->status < 400)
		return "; redirects are not followed: name the place itself as endpoint";
	if (r->status >= 200 && r->status < 300 && answer_is_page(r))
		return "; that is a web page: is endpoint the receiver itself?";
	if (r->status == 401 || r->status == 403 ||
	    (grpc && (r->grpc_status == 7 || r->grpc_status == 16)))
		return "; see token_file, user and headers";
	return "";
}

static void give_up(struct destination *d, enum cause cause, const struct spool_entry *e)
{
	drop(d, cause, e->facts.samples);
	spool_remove(d->spool);
	d->tries = d->broken = 0;
	arm(d, SOON_NS);
}

static void unreadable(struct destination *d, const struct spool_entry *e)
{
	TELL(d, lost_site, LOG_LEVEL_ERROR,
	    "%s: a request in the spool cannot be read, and is dropped: %s", d->receiver.name,
	    strerror(-d->read_error));
	give_up(d, cause_of(d->read_error), e);
}

static void refused(struct destination *d, enum cause cause, const struct spool_entry *e,
    const struct http_result *r, const char *text)
{
	bool grpc = d->receiver.grpc && r->grpc_status >= 0;
	TELL(d, refused, LOG_LEVEL_WARN,
	    "%s: %s refuses a request of %lu bytes, which is dropped: %s%d%s%s%s", d->receiver.name,
	    d->receiver.shown.at, e->size, grpc ? "gRPC status " : "",
	    grpc ? r->grpc_status : r->status, *text ? ": " : "", text, way_out(d, r));
	give_up(d, cause, e);
}

static void unanswered(struct destination *d, const struct spool_entry *e, const char *text)
{
	TELL(d, refused, LOG_LEVEL_WARN,
	    "%s: %s breaks off at a request of %lu bytes, and takes others: it is dropped: %s",
	    d->receiver.name, d->receiver.shown.at, e->size, text);
	give_up(d, CAUSE_UNANSWERED, e);
}

static void sent(struct destination *d, const struct spool_entry *e, const struct http_result *r)
{
	char text[200];
	uint64_t samples = e->facts.samples;
	uint64_t rejected = answer_rejected(d->receiver.kind, r, samples, text, sizeof(text));
	if (*text)
		TELL(d, partial, LOG_LEVEL_WARN, "%s: %s took a request%s: %s", d->receiver.name,
		    d->receiver.shown.at, rejected ? " in part, the rest is dropped" : "", text);
	if (d->tries)
		log_info("%s: %s answers again; %u requests wait", d->receiver.name,
		    d->receiver.shown.at, spool_count(d->spool) - 1);
	d->figures.sent += samples - rejected;
	d->figures.rejected += rejected;
	d->figures.sent_bytes += e->size;
	d->delivered++;
	d->tries = d->broken = 0;
	spool_remove(d->spool);
	arm(d, SOON_NS);
}

// Refused for its token, which may have changed meanwhile: true where there is another to try.
static bool token_changed(struct destination *d, const struct http_result *r)
{
	char why[300];
	uint64_t before = d->receiver.token;
	if ((r->status != 401 && r->grpc_status != 16) || !*d->receiver.token_file)
		return false;
	struct http_client *fresh = receiver_connect(
	    &d->receiver, d->deliver->options.loop, d->deliver->agent, why, sizeof(why));
	if (!fresh) {
		TELL(d, refused, LOG_LEVEL_WARN, "%s", why);
		return false;
	}
	if (d->receiver.token == before) {
		http_client_free(fresh);
		return false;
	}
	d->fresh = fresh; // the old one is still in its call
	d->figures.retries++;
	spool_let_go(d->spool);
	arm(d, SOON_NS);
	return true;
}

static void on_done(void *arg, const struct http_result *r)
{
	struct destination *d = arg;
	char text[200];
	const struct spool_entry *e = spool_oldest(d->spool);
	d->sending = false;
	d->figures.requests++;
	answer_text(d->receiver.kind, r, text, sizeof(text));
	enum verdict verdict = answer_judge(d->receiver.kind, d->receiver.grpc, r);
	if (d->read_error)
		unreadable(d, e);
	else if (verdict == VERDICT_SENT)
		sent(d, e, r);
	else if (verdict == VERDICT_AGAIN && breaks_it(d, e, r))
		unanswered(d, e, text);
	else if (verdict == VERDICT_AGAIN)
		again_later(d, r, text);
	else if (!token_changed(d, r))
		refused(
		    d, verdict == VERDICT_TOO_LARGE ? CAUSE_TOO_LARGE : CAUSE_REFUSED, e, r, text);
	deliver_look(d->deliver);
}

static int64_t read_body(void *arg, uint64_t at, void *bytes, size_t size)
{
	struct destination *d = arg;
	int64_t n = spool_read(d->spool, at, bytes, size);
	d->read_error = n < 0 ? (int)n : 0;
	return n;
}

void destination_send(struct destination *d)
{
	uint8_t magic[2] = {0};
	if (d->sending || d->armed || d->left || d->deliver->resting)
		return;
	const struct spool_entry *e = spool_oldest(d->spool);
	if (!e)
		return;
	// What an earlier run left may be packed otherwise than the configuration says now. No
	// message begins like gzip.
	int64_t n = read_body(d, 0, magic, e->size < 2 ? (size_t)e->size : 2);
	if (n < 0) {
		unreadable(d, e);
		return;
	}
	const struct http_post post = {
	    .content_type = requests_content_type(d->receiver.kind),
	    .content_encoding = magic[0] == 0x1f && magic[1] == 0x8b ? "gzip" : NULL,
	    .size = e->size,
	    .read = read_body,
	    .done = on_done,
	    .arg = d,
	};
	d->sending = true;
	int error = http_client_post(d->client, &post);
	if (!error)
		return;
	d->sending = false;
	spool_let_go(d->spool);
	arm(d, BUSY_NS);
}

static void on_timer(void *arg)
{
	struct destination *d = arg;
	d->armed = false;
	if (d->fresh) {
		http_client_free(d->client);
		d->client = d->fresh;
		d->fresh = NULL;
	}
	destination_send(d);
	deliver_look(d->deliver);
}

static int open_spool(struct destination *d, char *why, size_t size)
{
	const struct config *c = d->deliver->options.config;
	struct text path = TEXT(ACCOUNT_DELIVER);
	char reason[300] = "not enough memory";
	d->in_files = *c->output_directory;
	text_printf(&path, "%s/spool-%s", c->output_directory, d->receiver.name);
	struct spool_options options = {.directory = d->in_files ? path.at : NULL,
	    .bytes_max = d->spool_max,
	    .on_drop = on_drop,
	    .arg = d};
	if (d->in_files && mkdir(c->output_directory, 0750) < 0 && errno != EEXIST) {
		snprintf(why, size,
		    "output.directory: %s: %s; name a directory that can be written to",
		    c->output_directory, strerror(errno));
		text_free(&path);
		return -EIO;
	}
	if (!path.error)
		d->spool = spool_new(&options, reason, sizeof(reason));
	int error = path.error ? path.error : d->spool ? 0 : -errno;
	text_free(&path);
	if (error) {
		snprintf(why, size, "%s: %s", d->in_files ? "output.directory" : d->receiver.key,
		    reason);
		return error == -EINVAL ? -EIO : error;
	}
	d->figures.taken += spool_samples(d->spool);
	if (spool_count(d->spool))
		log_info("%s: %u requests of before wait in %s/spool-%s", d->receiver.name,
		    spool_count(d->spool), c->output_directory, d->receiver.name);
	if (spool_damaged(d->spool))
		log_warn("%s: %lu files of %s/spool-%s were damaged, and are removed",
		    d->receiver.name, spool_damaged(d->spool), c->output_directory,
		    d->receiver.name);
	return 0;
}

int destination_check(struct destination *d, char *why, size_t size)
{
	const struct deliver *all = d->deliver;
	d->client = receiver_connect(&d->receiver, all->options.loop, all->agent, why, size);
	return d->client ? destination_requests(d, why, size) : -errno;
}

int destination_open(struct destination *d, char *why, size_t size)
{
	struct deliver *all = d->deliver;
	int error = destination_check(d, why, size);
	if (!error)
		error = open_spool(d, why, size);
	if (error)
		return error;
	d->armed = true;
	d->timer = loop_timer(all->options.loop, SOON_NS, 0, on_timer, d);
	if (!d->timer)
		snprintf(why, size, "%s: not enough memory", d->receiver.key);
	return d->timer ? 0 : -ENOMEM;
}

// All but the spool and the figures.
static void let_go(struct destination *d)
{
	timer_free(d->timer);
	http_client_free(d->client); // it may be reading
	http_client_free(d->fresh);
	requests_free(d->requests);
	mem_free(d->seconds);
	mem_free(d->bytes);
	receiver_close(&d->receiver);
	d->timer = NULL;
	d->client = d->fresh = NULL;
	d->requests = NULL;
	d->seconds = d->bytes = NULL;
	d->sending = d->armed = false;
}

void destination_close(struct destination *d)
{
	if (d->spool)
		destination_leave(d);
	let_go(d);
	spool_free(d->spool);
}

void destination_retire(struct destination *d)
{
	let_go(d);
	spool_let_go(d->spool);
	spool_abort(d->spool); // a body that was being written: its samples are not taken yet
	if (!d->in_files)
		return;
	d->figures.taken -= spool_samples(d->spool); // who opens the files takes them again
	spool_free(d->spool);
	d->spool = NULL;
}

static int copy_body(struct spool *to, struct spool *from, const struct spool_entry *e)
{
	uint8_t piece[4096];
	int64_t n;
	int error = spool_begin(to);
	if (error)
		return error;
	for (uint64_t at = 0; (n = spool_read(from, at, piece, sizeof(piece))) > 0 && !error;
	     at += (uint64_t)n)
		error = spool_write(to, piece, (size_t)n);
	if (error || n < 0) {
		spool_abort(to);
		return error ? error : (int)n;
	}
	while ((error = spool_end(to, &e->facts)) == 1)
		;
	return error;
}

// output.directory is new: what waits goes from memory to files, the oldest first. Nothing is
// sampled meanwhile, so a slow disk does not get all of it: the rest stays where it was.
static void copy_spool(struct destination *d, struct spool *from)
{
	uint64_t until = clock_now() + COPY_NS;
	const struct spool_entry *e;
	int error = 0;
	while (!error && clock_now() < until && (e = spool_oldest(from))) {
		error = e->size < d->spool_max ? copy_body(d->spool, from, e) : -EFBIG;
		if (!error)
			spool_remove(from);
	}
	spool_let_go(from);
	if (error)
		log_warn("%s: what waits does not go from memory to files: %s", d->receiver.name,
		    strerror(-error));
}

void destination_go_on(struct destination *d, struct destination *before)
{
	const struct spool_options options = {
	    .bytes_max = d->spool_max, .on_drop = on_drop, .arg = d};
	if (before->spool && !d->in_files) {
		spool_free(d->spool); // nothing is in it yet
		d->spool = before->spool;
		before->spool = NULL;
		spool_go_on(d->spool, &options);
	} else if (before->spool) {
		copy_spool(d, before->spool);
		destination_leave(before);
	}
	d->figures.taken += before->figures.taken;
	d->figures.sent += before->figures.sent;
	d->figures.rejected += before->figures.rejected;
	for (int cause = 0; cause < CAUSE_COUNT; cause++)
		drop(d, cause, before->figures.dropped[cause]);
	d->figures.requests += before->figures.requests;
	d->figures.retries += before->figures.retries;
	d->figures.sent_bytes += before->figures.sent_bytes;
	d->delivered += before->delivered; // what was put behind refers to it
}

void destination_finish(struct destination *d)
{
	if (d->armed)
		arm(d, SOON_NS);
	else
		destination_send(d);
}

bool destination_is_over(const struct destination *d)
{
	return !d->sending && (d->gave_up || (!d->armed && !spool_count(d->spool)));
}

void destination_leave(struct destination *d)
{
	uint32_t requests = spool_count(d->spool);
	uint64_t samples = spool_samples(d->spool);
	if (d->left)
		return;
	d->left = true;
	if (d->in_files && requests)
		log_info("%s: %u requests wait in %s/spool-%s for the next start", d->receiver.name,
		    requests, d->deliver->options.config->output_directory, d->receiver.name);
	if (d->in_files || !requests)
		return;
	http_client_free(d->client); // it may be reading
	d->client = NULL;
	drop(d, CAUSE_SHUTDOWN, samples);
	while (spool_oldest(d->spool))
		spool_remove(d->spool);
	log_warn("%s: %u requests with %lu samples %s", d->receiver.name, requests, samples,
	    d->deliver->options.config // not retired
		? "were not sent in time, and are dropped; with output.directory they would wait "
		  "there"
		: "are dropped: the new configuration does not send them from memory");
}
