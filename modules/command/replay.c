// SPDX-License-Identifier: Apache-2.0
// A recording through the whole path, and windows into one profile.
#include "replay.h"
#include "limit.h"
#include "hall.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

int merged_open(struct merged *m)
{
	*m = (struct merged){.profile = profile_new(ACCOUNT_COMMAND, profile_type_find("cpu"))};
	return m->profile ? 0 : -ENOMEM;
}

void merged_add(struct merged *m, const struct profile *window)
{
	struct profile_merge *merge = profile_merge_new(m->profile, window, 1, NULL, NULL);
	if (merge) {
		while (profile_merge_step(merge, 100 * NS_PER_MS) > 0)
			;
		profile_merge_free(merge);
		return;
	}
	int64_t totals[PROFILE_VALUES_MAX];
	profile_totals(window, totals);
	profile_add_lost(m->profile, "[lost: memory_limit]", totals);
	profile_header(m->profile)->duration_ns += profile_header_of(window)->duration_ns;
	m->left_out = true;
}

bool merged_incomplete(const struct merged *m)
{
	return m->left_out || profile_sample(m->profile, 0)->values[0];
}

struct replay {
	struct hall hall;
	struct merged merged;
	uint32_t windows;
	int result; // of path_replay
};

static void on_window(void *arg, const struct profile *p)
{
	struct replay *r = arg;
	merged_add(&r->merged, p);
	r->windows++;
}

// Up to what time H's recording could be read: "2026-11-23T10:15:00Z".
static const char *read_to(const struct hall *h, char text[32])
{
	time_t seconds = (time_t)(path_replayed_to(h->path) / NS_PER_S);
	struct tm tm;
	if (!seconds || !gmtime_r(&seconds, &tm) || !strftime(text, 32, "%Y-%m-%dT%H:%M:%SZ", &tm))
		text_copy(text, 32, "its beginning");
	return text;
}

void replay_say(const struct hall *h, int result)
{
	char at[32];
	const char *path = h->options.source;
	unsigned long records = tape_reader_frames(h->source);
	if (result == -ENODATA)
		log_warn(
		    "%s: the recording was cut short after %lu record%s (at %s); what is there "
		    "is shown",
		    path, records, records == 1 ? "" : "s", read_to(h, at));
	else if (result == -EBADMSG)
		log_warn("%s: the recording is damaged after %lu record%s (at %s); what is before "
			 "is shown",
		    path, records, records == 1 ? "" : "s", read_to(h, at));
	else if (result == -EPROTONOSUPPORT)
		log_error("%s: a recording of another version of telegen: use that one", path);
	else if (result < 0)
		log_error("%s: %s: what came before is kept", path, strerror(-result));
}

// Who looks at what comes of a recording that broke off is told there too.
static void mark(struct replay *r)
{
	char at[32], text[128];
	if (r->result != -ENODATA && r->result != -EBADMSG)
		return;
	snprintf(text, sizeof(text), "The recording %s at %s: what came before is shown",
	    r->result == -ENODATA ? "was cut short" : "is damaged", read_to(&r->hall, at));
	profile_header(r->merged.profile)->comments = profile_add_name(r->merged.profile, text);
}

static void on_replayed(void *arg, int result)
{
	struct replay *r = arg;
	r->result = result;
	replay_say(&r->hall, result);
	mark(r);
	loop_stop(r->hall.loop);
}

struct profile *replay_profile(const char *path, const struct config *config)
{
	char why[512];
	struct replay r = {.windows = 0};
	struct hall_options ho = {
	    .config = config, .source = path, .on_window = on_window, .arg = &r};
	int status = hall_open(&r.hall, &ho, why, sizeof(why));
	if (!status && merged_open(&r.merged) < 0) {
		status = -1;
		snprintf(why, sizeof(why), "%s: no memory within memory_limit: raise it", path);
	}
	if (!status)
		status = hall_start(&r.hall, on_replayed, &r, why, sizeof(why));
	if (status)
		log_error("%s", why);
	else
		loop_run(r.hall.loop);
	hall_close(&r.hall);
	limit_hold(config); // the hall had a budget of its own
	bool whole = !status && !merged_incomplete(&r.merged);
	if (!status && !whole)
		limit_say(config, path, "replaying it", 0);
	else if (!status && !r.windows)
		log_error("%s: the recording holds no sample", path);
	if (whole && r.windows)
		return r.merged.profile;
	profile_free(r.merged.profile);
	return NULL;
}
