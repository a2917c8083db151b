// SPDX-License-Identifier: Apache-2.0
// A recording through the whole path, and windows into one profile.
#include "replay.h"
#include "hall.h"

#include <errno.h>
#include <string.h>

int merge_window(struct profile **result, const struct profile *p)
{
	if (!*result) {
		*result = profile_new_like(ACCOUNT_COMMAND, p);
		if (*result)
			profile_header(*result)->time_ns = profile_header_of(p)->time_ns;
	}
	struct profile_merge *m = *result ? profile_merge_new(*result, p, 1, NULL, NULL) : NULL;
	if (!m)
		return -ENOMEM;
	int more;
	while ((more = profile_merge_step(m, 100 * NS_PER_MS)) > 0)
		;
	profile_merge_free(m);
	struct profile_header *h = profile_header(*result);
	h->duration_ns = profile_header_of(p)->time_ns + profile_header_of(p)->duration_ns - h->time_ns;
	return more;
}

struct replay {
	struct hall hall;
	struct profile *result;
	int error;
};

static void on_window(void *arg, const struct profile *p)
{
	struct replay *r = arg;
	int error = merge_window(&r->result, p);
	r->error = r->error ? r->error : error;
}

static void on_replayed(void *arg, int result)
{
	struct replay *r = arg;
	if (result < 0)
		log_warn("%s: the recording is cut: what came before is kept", r->hall.options.source);
	loop_stop(r->hall.loop);
}

struct profile *replay_profile(const char *path, const struct config *config)
{
	char why[512];
	struct replay r = {.error = 0};
	struct hall_options ho = {.config = config, .source = path, .on_window = on_window, .arg = &r};
	int status = hall_open(&r.hall, &ho, why, sizeof(why));
	if (!status)
		status = hall_start(&r.hall, on_replayed, &r, why, sizeof(why));
	if (status)
		log_error("%s", why);
	else
		loop_run(r.hall.loop);
	hall_close(&r.hall);
	if (!status && r.error)
		log_error("%s: memory_limit: no memory for the whole of it: raise memory_limit", path);
	else if (!status && !r.result)
		log_error("%s: the recording holds no window", path);
	if (!status && !r.error && r.result)
		return r.result;
	profile_free(r.result);
	return NULL;
}
