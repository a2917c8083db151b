// SPDX-License-Identifier: Apache-2.0
// telegen run: the agent. Profiles until SIGINT or SIGTERM, then ships what is left.
#include "arguments.h"
#include "command.h"
#include "hall.h"
#include "replay.h"
#include "wanted.h"

#include <signal.h>
#include <stdio.h>

struct run {
	struct hall hall;
	const struct arguments *arguments;
	struct config *config, *fresh; // in force; read by SIGHUP and about to be
	struct deliver *waiting;       // for receivers, in memory, between two lives of the rooms
	struct heap_times heap_times;  // since when processes are probed, likewise
	uint64_t told_ns;	       // when we were told to end
	bool ending;
};

// All of the end takes 5 s at most: naming and encoding the last profiles, sending them, and the
// kernel's taking down of the BPF programs. Receivers get the rest, but never nothing.
#define END_NS (5 * NS_PER_S - 500 * NS_PER_MS)
#define LEAST_DELIVER_NS NS_PER_S
#define REST_NS NS_PER_S // nothing is sampled meanwhile

static void on_delivered(void *arg)
{
	struct run *r = arg;
	loop_stop(r->hall.loop);
}

static void on_rested(void *arg);

static uint64_t deliver_ns(const struct run *r)
{
	uint64_t gone = clock_now() - r->told_ns;
	return gone + LEAST_DELIVER_NS < END_NS ? END_NS - gone : LEAST_DELIVER_NS;
}

// The next life sends what this one has not; where there is none it is now or never.
static void on_finished(void *arg)
{
	struct run *r = arg;
	if (r->hall.deliver && r->fresh)
		deliver_rest(r->hall.deliver, REST_NS, on_rested, r);
	else if (r->hall.deliver)
		deliver_finish(r->hall.deliver, deliver_ns(r), on_delivered, r);
	else
		loop_stop(r->hall.loop);
}

static void on_rested(void *arg)
{
	struct run *r = arg;
	if (r->fresh)
		on_delivered(r);
	else // we were told to end meanwhile
		on_finished(r);
}

static void end(struct run *r)
{
	if (r->hall.serve)
		serve_leave(r->hall.serve, r->fresh ? "the configuration was read again: ask again"
						    : "telegen was told to end");
	if (r->hall.source) // nothing to ship
		loop_stop(r->hall.loop);
	else if (!r->ending)
		path_finish(r->hall.path, on_finished, r);
	r->ending = true;
}

static void on_end(void *arg, int signo)
{
	struct run *r = arg;
	const char *what = signo == SIGINT ? "interrupted" : "terminated";
	if (r->ending && !r->fresh) {
		log_warn("%s again: what was not shipped yet is left out", what);
		loop_stop(r->hall.loop);
		return;
	}
	// Where a new configuration was about to begin, it does not.
	config_free(r->fresh);
	r->fresh = NULL;
	log_info("%s: shipping what is left", what);
	r->told_ns = clock_now();
	end(r);
}

// A new configuration takes effect as a whole: what was sampled is shipped, then the rooms are
// built again. The windows in memory stay, and what waits for receivers. Of several that are read
// meanwhile the last counts.
static void on_reload(void *arg, int signo)
{
	struct run *r = arg;
	const char *stays = r->fresh ? "the one read before" : "the old one";
	(void)signo;
	if (r->ending && !r->fresh)
		return;
	struct config *fresh = arguments_config(r->arguments);
	if (!fresh) {
		log_warn("SIGHUP: the new configuration is not used, %s stays in force", stays);
		return;
	}
	if (!fresh->profiling_enabled) {
		log_warn("SIGHUP: profiling.enabled: false: not used, %s stays in force; stop "
			 "the agent instead",
		    stays);
		config_free(fresh);
		return;
	}
	char why[512];
	if (wanted_check(fresh, why, sizeof(why))) {
		log_warn("SIGHUP: %s: not used, %s stays in force", why, stays);
		config_free(fresh);
		return;
	}
	log_info("SIGHUP: configuration read");
	config_free(r->fresh);
	r->fresh = fresh;
	end(r);
}

static void on_replayed(void *arg, int result)
{
	struct run *r = arg;
	replay_say(&r->hall, result);
	log_info("recording replayed, for the endpoint only, no receiver and no directory; the "
		 "endpoint stays until it is stopped");
}

// While nobody watches for a signal it waits: a reload until there is one who can, an end between
// two lives of the rooms.
static void hold_signal(int signo, bool hold)
{
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, signo);
	sigprocmask(hold ? SIG_BLOCK : SIG_UNBLOCK, &set, NULL);
}

static void hold_signals(bool hold)
{
	hold_signal(SIGHUP, hold);
	hold_signal(SIGINT, hold);
	hold_signal(SIGTERM, hold);
}

static int serve_until_stopped(struct run *r)
{
	char why[512];
	struct loop *loop = r->hall.loop;
	struct watch *watches[] = {
	    loop_signal(loop, SIGINT, on_end, r),
	    loop_signal(loop, SIGTERM, on_end, r),
	    loop_signal(loop, SIGHUP, on_reload, r),
	};
	int status = watches[0] && watches[1] && watches[2] ? 0 : EXIT_FAILED;
	snprintf(why, sizeof(why), "signals: no memory within memory_limit: raise it");
	if (!status)
		status = hall_start(&r->hall, on_replayed, r, why, sizeof(why));
	if (status) {
		log_error("%s", why);
	} else {
		hold_signals(false);
		loop_run(loop);
		hold_signals(true);
	}
	for (int i = 0; i < 3; i++)
		watch_free(watches[i]);
	return status;
}

static void on_window(void *arg, enum path_type type, const struct profile *p)
{
	struct run *r = arg;
	(void)type;
	(void)p;
	if (r->hall.serve)
		serve_window_added(r->hall.serve);
}

static int open_with(struct run *r, const struct config *config, struct history *history)
{
	char why[512];
	struct hall_options ho = {.config = config,
	    .source = r->arguments->source,
	    .keeps = true,
	    .history = history,
	    .deliver = r->waiting,
	    .heap_times = &r->heap_times,
	    .on_window = on_window,
	    .arg = r};
	r->waiting = NULL;
	int status = hall_open(&r->hall, &ho, why, sizeof(why));
	if (status)
		log_error("%s", why);
	return status;
}

// One life of the rooms; *HISTORY is handed on to the next.
static int live(struct run *r, struct history **history)
{
	int status = open_with(r, r->config, *history);
	if (!status)
		status = serve_until_stopped(r);
	*history = hall_take_history(&r->hall);
	if (r->arguments->source) { // the next life replays it all again
		history_free(*history);
		*history = NULL;
	}
	if (r->fresh || status) // another life follows
		r->waiting = hall_take_deliver(&r->hall);
	if (r->hall.heap)
		heap_times(r->hall.heap, &r->heap_times);
	else if (!status)
		r->heap_times.count = 0;
	hall_close(&r->hall);
	r->ending = false;
	return status;
}

static int run(struct run *r)
{
	struct history *history = NULL;
	struct config *before = NULL;
	int status;
	do {
		status = live(r, &history);
		if (status &&
		    before) { // the new configuration does not start: back to the one that did
			log_warn("SIGHUP: the new configuration does not start, the old one is in "
				 "force again");
			config_free(r->config);
			r->config = before;
			before = NULL;
			status = live(r, &history);
		}
		if (r->fresh) {
			config_free(before);
			before = r->config;
			r->config = r->fresh;
			r->fresh = NULL;
			continue;
		}
		break;
	} while (true);
	deliver_free(r->waiting);
	config_free(before);
	history_free(history);
	return status;
}

int command_run(int argc, char **argv)
{
	struct arguments a;
	int status = command_arguments(&a, argc, argv);
	if (status || a.help)
		return status;
	struct run r = {.arguments = &a, .config = arguments_config(&a)};
	if (!r.config)
		return EXIT_USAGE;
	hold_signal(SIGHUP, true);
	if (!r.config->profiling_enabled)
		log_info("profiling.enabled: false: nothing to do");
	else
		status = run(&r);
	config_free(r.config);
	return status;
}
