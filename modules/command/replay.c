// SPDX-License-Identifier: Apache-2.0
// A recording through the whole path, and windows into one profile.
#include "replay.h"
#include "limit.h"
#include "hall.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static struct profile *merged_profile(struct merged *m, enum path_type type)
{
	if (!m->profiles[type])
		m->profiles[type] =
		    profile_new(ACCOUNT_COMMAND, profile_type_find(path_type_name(type)));
	return m->profiles[type];
}

int merged_open(struct merged *m, uint32_t types)
{
	*m = (struct merged){.left_out = false};
	for (int t = 0; t < PATH_TYPE_COUNT; t++)
		if (types & 1u << t && !merged_profile(m, t)) {
			merged_free(m);
			return -ENOMEM;
		}
	return 0;
}

void merged_free(struct merged *m)
{
	for (int t = 0; t < PATH_TYPE_COUNT; t++) {
		profile_free(m->profiles[t]);
		m->profiles[t] = NULL;
	}
}

int merged_add(struct merged *m, enum path_type type, const struct profile *window)
{
	const struct profile_type *t = profile_type_find(path_type_name(type));
	if (t->state) { // the newest takes the place of all before
		profile_free(m->profiles[type]);
		m->profiles[type] = NULL;
	}
	struct profile *into = merged_profile(m, type);
	if (!into)
		return -ENOMEM;
	struct profile_merge *merge = profile_merge_new(into, window, 1, NULL, NULL);
	if (merge) {
		while (profile_merge_step(merge, 100 * NS_PER_MS) > 0)
			;
		profile_merge_free(merge);
		return 0;
	}
	int64_t totals[PROFILE_VALUES_MAX];
	profile_totals(window, totals);
	profile_add_lost(into, "[lost: memory_limit]", totals);
	profile_header(into)->duration_ns += profile_header_of(window)->duration_ns;
	m->left_out = true;
	return 0;
}

bool merged_incomplete(const struct merged *m)
{
	bool lost = m->left_out;
	for (int t = 0; t < PATH_TYPE_COUNT; t++)
		lost = lost || (m->profiles[t] && profile_sample(m->profiles[t], 0)->values[0]);
	return lost;
}

struct replay {
	struct hall hall;
	struct merged merged;
	uint32_t windows;
	int result; // of path_replay
};

static void on_window(void *arg, enum path_type type, const struct profile *p)
{
	struct replay *r = arg;
	if (merged_add(&r->merged, type, p) < 0)
		r->merged.left_out = true;
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
	for (int t = 0; t < PATH_TYPE_COUNT; t++) {
		struct profile *p = r->merged.profiles[t];
		if (p)
			profile_header(p)->comments = profile_add_name(p, text);
	}
}

static void on_replayed(void *arg, int result)
{
	struct replay *r = arg;
	r->result = result;
	replay_say(&r->hall, result);
	mark(r);
	loop_stop(r->hall.loop);
}

// The one of TYPES, or the first where that is 0: taken out of M. NULL after a line on stderr.
static struct profile *choose(struct merged *m, const char *path, uint32_t types)
{
	struct profile *chosen = NULL;
	struct text held = TEXT(ACCOUNT_COMMAND);
	uint32_t count = 0;
	for (int t = 0; t < PATH_TYPE_COUNT; t++) {
		if (!m->profiles[t])
			continue;
		text_printf(&held, "%s%s", count++ ? ", " : "", path_type_name(t));
		if (!chosen && (!types || types & 1u << t)) {
			chosen = m->profiles[t];
			m->profiles[t] = NULL;
		}
	}
	if (!chosen)
		log_error("%s: the recording holds %s: choose with -t", path, held.at);
	else if (!types && count > 1)
		log_info("%s: holds %s: the first is shown, choose with -t", path, held.at);
	text_free(&held);
	return chosen;
}

struct profile *replay_profile(const char *path, const struct config *config, uint32_t types)
{
	char why[512];
	struct profile *chosen = NULL;
	struct replay r = {.windows = 0};
	struct hall_options ho = {
	    .config = config, .source = path, .on_window = on_window, .arg = &r};
	int status = hall_open(&r.hall, &ho, why, sizeof(why));
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
		chosen = choose(&r.merged, path, types);
	merged_free(&r.merged);
	return chosen;
}
