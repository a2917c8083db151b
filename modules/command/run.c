// SPDX-License-Identifier: Apache-2.0
// telegen run: the agent. Profiles until SIGINT or SIGTERM, then ships what is left.
#include "arguments.h"
#include "command.h"
#include "hall.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

struct run {
	struct hall hall;
	const struct arguments *arguments;
	struct config *config;
	bool ending;
};

static void on_finished(void *arg)
{
	struct run *r = arg;
	loop_stop(r->hall.loop);
}

static void on_end(void *arg, int signo)
{
	struct run *r = arg;
	if (r->ending) // asked twice: at once
		loop_stop(r->hall.loop);
	log_info("%s: shipping what is left", signo == SIGINT ? "interrupted" : "terminated");
	if (!r->ending && !r->hall.source)
		path_finish(r->hall.path, on_finished, r);
	else
		loop_stop(r->hall.loop);
	r->ending = true;
}

// Reads the configuration again. What can change at run time so far is the log; the rest is named.
static void on_reload(void *arg, int signo)
{
	struct run *r = arg;
	struct text keys = TEXT(ACCOUNT_COMMAND);
	(void)signo;
	struct config *fresh = arguments_config(r->arguments);
	if (!fresh) {
		log_warn("SIGHUP: the new configuration is not used, the old one stays in force");
		return;
	}
	config_needs_restart(r->config, fresh, &keys);
	if (keys.len)
		log_warn("SIGHUP: needs a restart to take effect: %s", keys.at);
	else
		log_info("SIGHUP: configuration read");
	text_free(&keys);
	config_free(fresh);
}

static void on_replayed(void *arg, int result)
{
	struct run *r = arg;
	if (result < 0)
		log_warn("%s: the recording is cut: shown as far as it goes", r->hall.options.source);
	log_info("recording replayed; the endpoint stays until it is stopped");
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
	signal(SIGPIPE, SIG_IGN);
	if (status)
		log_error("signals: no memory");
	else
		status = hall_start(&r->hall, on_replayed, r, why, sizeof(why));
	if (status)
		log_error("%s", why);
	else
		loop_run(loop);
	for (int i = 0; i < 3; i++)
		watch_free(watches[i]);
	return status;
}

static void on_window(void *arg, const struct profile *p)
{
	struct run *r = arg;
	(void)p;
	if (r->hall.serve)
		serve_window_added(r->hall.serve);
}

int command_run(int argc, char **argv)
{
	struct arguments a;
	char why[512];
	int status = arguments_parse(&a, argc, argv, "s");
	if (status)
		return status;
	if (a.help)
		return command_help(1, argv);
	struct run r = {.arguments = &a, .config = arguments_config(&a)};
	if (!r.config)
		return EXIT_USAGE;
	if (!r.config->profiling_enabled) {
		log_info("profiling.enabled: false: nothing to do");
		config_free(r.config);
		return EXIT_DONE;
	}
	struct hall_options ho = {.config = r.config, .source = a.source, .keeps = true,
	    .on_window = on_window, .arg = &r};
	status = hall_open(&r.hall, &ho, why, sizeof(why));
	if (status)
		log_error("%s", why);
	else
		status = serve_until_stopped(&r);
	hall_close(&r.hall);
	config_free(r.config);
	return status;
}
