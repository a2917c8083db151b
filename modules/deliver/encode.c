// SPDX-License-Identifier: Apache-2.0
// A profile's way into the spool of one receiver. Every sample of it is counted once: in a body
// that waits, or under the cause why it does not.
#include "private.h"

#include <errno.h>
#include <string.h>

static const char *const cause_helps[] = {
#define X(id, label, help) help,
    CAUSES(X)
#undef X
};

enum cause cause_of(int error)
{
	switch (error) {
	case -ENOMEM:
		return CAUSE_MEMORY;
	case -EFBIG:
		return CAUSE_TOO_LARGE;
	case -ENOSPC:
		return CAUSE_SPOOL_FULL;
	case -EBADMSG:
		return CAUSE_DAMAGED;
	default:
		return CAUSE_DISK;
	}
}

// The body that is open finds no place; the encoder goes on with the next.
static int lose(struct destination *d, int error)
{
	spool_abort(d->spool);
	d->lost = true;
	d->lost_by = cause_of(error);
	TELL(d, lost_site, LOG_LEVEL_WARN, "%s: a request was dropped: %s (%s)", d->receiver.name,
	    cause_helps[d->lost_by], strerror(-error));
	return 0;
}

static int body_begin(void *arg)
{
	struct destination *d = arg;
	d->lost = false;
	int error = spool_begin(d->spool);
	return error ? lose(d, error) : 0;
}

static int body_write(void *arg, const void *bytes, size_t n)
{
	struct destination *d = arg;
	int error = d->lost ? 0 : spool_write(d->spool, bytes, n);
	return error ? lose(d, error) : 0;
}

static int body_end(void *arg, const struct requests_facts *f)
{
	struct destination *d = arg;
	struct spool_facts facts = {.samples = f->samples, .time_ns = f->time_ns};
	text_copy(facts.type, sizeof(facts.type), f->type);
	int error = d->lost ? 0 : spool_end(d->spool, &facts);
	if (error == 1)
		return 1;
	if (error)
		lose(d, error);
	d->placed += f->samples;
	d->figures.taken += f->samples;
	if (d->lost)
		drop(d, d->lost_by, f->samples);
	d->lost = false;
	destination_send(d);
	return 0;
}

// The profile is through, or given up with ERROR: what came into no body is told.
static void encoded(struct destination *d, int error)
{
	uint64_t left = requests_left_out(d->requests), untold = requests_untold(d->requests);
	spool_abort(d->spool);
	if (error && d->samples > d->placed + left)
		left = d->samples - d->placed;
	d->figures.taken += left;
	drop(d, CAUSE_UNTOLD, untold);
	left -= untold;
	drop(d, error == -ENOMEM ? CAUSE_MEMORY : error ? CAUSE_ENCODING : CAUSE_TOO_LARGE, left);
	if (left || error)
		TELL(d, lost_site, LOG_LEVEL_WARN, "%s: %lu samples were dropped: %s",
		    d->receiver.name, left,
		    error ? strerror(-error) : "no request had room for them");
}

int destination_encode(struct destination *d, const struct profile *p, uint64_t budget_ns)
{
	int more = 0;
	if (!d->encoding) {
		d->placed = 0;
		d->samples = d->deliver->samples;
		more = requests_put(d->requests, p);
		d->encoding = more == 0;
	}
	if (more == 0)
		more = requests_step(d->requests, budget_ns);
	if (more == 1)
		return 1;
	d->encoding = false;
	encoded(d, more);
	return 0;
}

struct requests_out destination_out(struct destination *d)
{
	return (struct requests_out){body_begin, body_write, body_end, d};
}
