// SPDX-License-Identifier: Apache-2.0
#include "private.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define MEMORY_SHARE 8 // of memory_limit, for all receivers
#define DISK_SHARE 2   // of output.max_size; the other half is the directory's
#define SHRINK_RANK 5

// What an earlier run left for R.
static uint64_t left_for(const struct receiver *r, const struct config *c, uint32_t *requests)
{
	struct text path = TEXT(ACCOUNT_DELIVER);
	text_printf(&path, "%s/spool-%s", c->output_directory, r->name);
	uint64_t bytes = path.error ? 0 : spool_left(path.at, requests);
	text_free(&path);
	return bytes;
}

uint64_t deliver_left(const struct config *c)
{
	struct receiver r;
	uint64_t bytes = 0;
	uint32_t requests;
	for (int i = 0; i < RECEIVER_COUNT && *c->output_directory; i++) {
		receiver_of(&r, c, (enum receiver_id)i);
		bytes += r.enabled ? 0 : left_for(&r, c, &requests);
	}
	return bytes;
}

static void tell_left(const struct config *c)
{
	struct receiver r;
	for (int i = 0; i < RECEIVER_COUNT && *c->output_directory; i++) {
		uint32_t requests = 0;
		receiver_of(&r, c, (enum receiver_id)i);
		uint64_t bytes = r.enabled ? 0 : left_for(&r, c, &requests);
		if (requests)
			log_warn("%s: %u requests (%lu bytes) of before wait in %s/spool-%s for a "
				 "receiver that is not configured: configure it, or remove them",
			    r.name, requests, bytes, c->output_directory, r.name);
	}
}

// What waits for nobody takes of it too, but for the last quarter.
static uint64_t share_of(const struct deliver *d, uint32_t receivers)
{
	const struct config *c = d->options.config;
	uint64_t all = *c->output_directory ? c->output_max_size / DISK_SHARE
					    : budget_limit(d->options.budget) / MEMORY_SHARE;
	uint64_t left = deliver_left(c), most = all - all / 4;
	return (all - (left < most ? left : most)) / receivers;
}

static void offer_spool(struct deliver *d, struct destination *at)
{
	if (!at->in_files)
		budget_add(d->options.budget, SHRINK_RANK, "spool", spool_shrink, at->spool);
}

static void forget_spool(struct deliver *d, struct destination *at)
{
	if (d->options.budget && at->spool)
		budget_remove(d->options.budget, at->spool);
}

static int open_destination(
    struct deliver *d, const struct receiver *r, uint64_t share, char *why, size_t size)
{
	struct destination *new = &d->destinations[d->count++];
	*new = (struct destination){.deliver = d, .receiver = *r, .spool_max = share};
	snprintf(why, size, "%s: not enough memory", r->key);
	int error = receiver_open(&new->receiver, why, size);
	if (!error)
		error = destination_open(new, why, size);
	if (error)
		return error;
	offer_spool(d, new);
	log_info("%s: profiles go to %s", new->receiver.name, new->receiver.shown.at);
	return 0;
}

static int open_all(struct deliver *d, char *why, size_t size)
{
	struct receiver receivers[RECEIVER_COUNT];
	uint32_t enabled = 0;
	for (int i = 0; i < RECEIVER_COUNT; i++) {
		receiver_of(&receivers[enabled], d->options.config, (enum receiver_id)i);
		enabled += receivers[enabled].enabled;
	}
	tell_left(d->options.config);
	if (!enabled)
		return 0;
	snprintf(why, size, "profile_export: not enough memory");
	d->destinations = mem_alloc(ACCOUNT_DELIVER, enabled * sizeof(*d->destinations));
	int error = d->destinations ? node_open(&d->node, d->options.config) : -ENOMEM;
	uint64_t share = share_of(d, enabled);
	for (uint32_t i = 0; i < enabled && !error; i++)
		error = open_destination(d, &receivers[i], share, why, size);
	return error;
}

static int check_one(struct deliver *d, enum receiver_id id, char *why, size_t size)
{
	struct destination one = {.deliver = d};
	receiver_of(&one.receiver, d->options.config, id);
	if (!one.receiver.enabled)
		return 0;
	snprintf(why, size, "%s: not enough memory", one.receiver.key);
	int error = receiver_open(&one.receiver, why, size);
	if (!error)
		error = destination_check(&one, why, size);
	destination_close(&one);
	return error;
}

int deliver_check(const struct config *c, char *why, size_t size)
{
	struct deliver d = {.options = {.loop = loop_new(), .config = c}};
	snprintf(why, size, "profile_export: not enough memory");
	int error = d.options.loop ? node_open(&d.node, c) : -ENOMEM;
	for (int i = 0; i < RECEIVER_COUNT && !error; i++)
		error = check_one(&d, (enum receiver_id)i, why, size);
	node_close(&d.node);
	loop_free(d.options.loop);
	return error;
}

struct deliver *deliver_new(const struct deliver_options *options, char *why, size_t why_size)
{
	struct deliver *d = mem_alloc(ACCOUNT_DELIVER, sizeof(*d));
	int error = d ? 0 : -ENOMEM;
	if (!d)
		snprintf(why, why_size, "profile_export: not enough memory");
	if (!error) {
		d->options = *options;
		snprintf(d->agent, sizeof(d->agent), "telegen/%s",
		    options->version ? options->version : "0");
		error = open_all(d, why, why_size);
	}
	if (!error && d->count)
		return d;
	deliver_free(d);
	return errno = -error, NULL;
}

void deliver_free(struct deliver *d)
{
	if (!d)
		return;
	timer_free(d->end);
	for (uint32_t i = 0; i < d->count; i++) {
		forget_spool(d, &d->destinations[i]);
		destination_close(&d->destinations[i]);
	}
	mem_free(d->destinations);
	node_close(&d->node);
	mem_free(d);
}

// As the encoders count: the first value of a sample that is a count, or 1 for each that is not
// zero.
static uint64_t samples_of(const struct profile *p)
{
	const struct profile_header *h = profile_header_of(p);
	uint32_t count = 0;
	uint64_t samples = 0;
	while (count < h->value_count && strcmp(profile_name(p, h->value_units[count]), "count"))
		count++;
	for (uint32_t i = 0; i < profile_sample_count(p); i++) {
		const struct profile_sample *s = profile_sample(p, i);
		bool zero = true;
		for (uint32_t v = 0; v < h->value_count; v++)
			zero = zero && !s->values[v];
		samples += count < h->value_count ? (uint64_t)s->values[count] : !zero;
	}
	return samples;
}

void deliver_put(struct deliver *d, const struct profile *p)
{
	d->p = p;
	d->samples = samples_of(p);
	d->at = 0;
}

int deliver_step(struct deliver *d, uint64_t budget_ns)
{
	uint64_t end = clock_now() + budget_ns;
	while (d->at < d->count) {
		uint64_t now = clock_now();
		if (destination_encode(&d->destinations[d->at], d->p, now < end ? end - now : 0))
			return 1;
		d->at++;
		if (d->at < d->count && clock_now() >= end)
			return 1;
	}
	d->p = NULL;
	return 0;
}

static void on_end(void *arg)
{
	struct deliver *d = arg;
	void (*done)(void *arg) = d->done;
	if (!done)
		return;
	d->done = NULL;
	for (uint32_t i = 0; i < d->count && d->finishing; i++)
		destination_leave(&d->destinations[i]);
	done(d->arg);
}

void deliver_look(struct deliver *d)
{
	if (!d->done || !d->end)
		return;
	for (uint32_t i = 0; i < d->count; i++)
		if (d->resting ? d->destinations[i].sending
			       : !destination_is_over(&d->destinations[i]))
			return;
	timer_set(d->end, 1, 0);
}

static bool end_within(struct deliver *d, uint64_t timeout_ns, void (*done)(void *arg), void *arg)
{
	d->deadline = clock_now() + timeout_ns;
	d->done = done;
	d->arg = arg;
	timer_free(d->end); // of deliver_rest
	d->end = loop_timer(d->options.loop, timeout_ns, 0, on_end, d);
	if (!d->end) // no memory to wait
		on_end(d);
	return d->end;
}

void deliver_finish(struct deliver *d, uint64_t timeout_ns, void (*done)(void *arg), void *arg)
{
	d->finishing = true;
	d->resting = false;
	if (!end_within(d, timeout_ns, done, arg))
		return;
	for (uint32_t i = 0; i < d->count; i++)
		destination_finish(&d->destinations[i]);
	deliver_look(d);
}

void deliver_rest(struct deliver *d, uint64_t timeout_ns, void (*done)(void *arg), void *arg)
{
	d->resting = true;
	if (end_within(d, timeout_ns, done, arg))
		deliver_look(d);
}

struct deliver *deliver_retire(struct deliver *d)
{
	if (!d)
		return NULL;
	timer_free(d->end);
	d->end = NULL;
	for (uint32_t i = 0; i < d->count; i++) {
		forget_spool(d, &d->destinations[i]);
		destination_retire(&d->destinations[i]);
	}
	node_close(&d->node);
	d->options = (struct deliver_options){NULL};
	d->p = NULL;
	return d;
}

static struct destination *find(struct deliver *d, const char *name)
{
	for (uint32_t i = 0; d && i < d->count; i++)
		if (!strcmp(d->destinations[i].receiver.name, name))
			return &d->destinations[i];
	return NULL;
}

void deliver_go_on(struct deliver *d, struct deliver *before)
{
	for (uint32_t i = 0; before && i < before->count; i++) {
		struct destination *old = &before->destinations[i],
				   *new = find(d, old->receiver.name);
		if (!new)
			continue;
		forget_spool(d, new);
		destination_go_on(new, old);
		offer_spool(d, new);
	}
	deliver_free(before);
}
