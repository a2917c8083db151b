// SPDX-License-Identifier: Apache-2.0
// telegen record: one capture, into one file.
#include "arguments.h"
#include "command.h"
#include "record.h"
#include "limit.h"
#include "sink.h"
#include "terminal.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define AGAIN_NS NS_PER_S // `timeout` sends its signal twice within a moment: that is no impatience
#define DEFAULT_DURATION (10 * NS_PER_S)
#define DEFAULT_OUTPUT "profile.pb.gz"

static void on_finished(void *arg)
{
	struct record_run *r = arg;
	loop_stop(r->hall.loop);
}

static void end(struct record_run *r)
{
	if (r->ending)
		return;
	r->ending = true;
	r->end_ns = clock_now();
	path_finish(r->hall.path, on_finished, r);
}

static void on_deadline(void *arg)
{
	end(arg);
}

static void on_signal(void *arg, int signo)
{
	struct record_run *r = arg;
	(void)signo;
	if (r->ending && clock_now() - r->end_ns >= AGAIN_NS) {
		r->abandoned = true;
		loop_stop(r->hall.loop);
	}
	end(r);
}

static void on_child(void *arg, int events)
{
	struct record_run *r = arg;
	(void)events;
	watch_set(r->child_watch, 0);
	r->child_ended = true;
	end(r);
}

static void on_targets(void *arg)
{
	end(arg);
}

static void on_replayed(void *arg, int result)
{
	struct record_run *r = arg;
	replay_say(&r->hall, result);
	r->end_ns = clock_now();
	loop_stop(r->hall.loop);
}

// LINE in place of the one before.
static void show(const char *line)
{
	int lines, columns;
	terminal_size(STDERR_FILENO, &lines, &columns);
	fprintf(stderr, "\r%*s\r%s", columns > 80 ? 79 : columns - 1, "", line);
}

static void on_progress(void *arg)
{
	struct record_run *r = arg;
	struct path_totals t;
	uint64_t now = clock_now(), due = r->arguments->duration_ns;
	char line[160], left[32] = "";
	int lines, columns;
	terminal_size(STDERR_FILENO, &lines, &columns);
	path_totals(r->hall.path, &t);
	if (r->ending)
		text_copy(left, sizeof(left), ", naming what was taken");
	else if (due && r->began_ns + due > now)
		snprintf(
		    left, sizeof(left), ", %.0f s left", (double)(r->began_ns + due - now) / 1e9);
	snprintf(line, sizeof(line), "%.0f s\t, %lu samples\t, %lu lost\t%s",
	    (double)(now - r->began_ns) / 1e9, t.delivered, t.lost, left);
	terminal_fit(line, columns - 1);
	show(line);
}

static void on_window(void *arg, enum path_type type, const struct profile *p)
{
	struct record_run *r = arg;
	if (merged_add(&r->merged, type, p) < 0)
		r->merged.left_out = true;
}

// What was recorded so far survives us; where it cannot be written there is no point in going on.
static void on_tape_window(void *arg, enum path_type type, const struct profile *p)
{
	struct record_run *r = arg;
	(void)type;
	(void)p;
	if (tape_flush(r->hall.tape) < 0)
		end(r);
}

static void hold_signals(int how)
{
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	sigprocmask(how, &set, NULL);
}

// In the child: waits for the byte, then becomes the program. The end of the gate without a byte
// says that there is no capture.
static void become(int gate, char **command)
{
	char byte;
	if (read(gate, &byte, 1) != 1)
		_exit(127);
	signal(SIGPIPE, SIG_DFL);
	signal(SIGXFSZ, SIG_DFL);
	hold_signals(SIG_UNBLOCK);
	execvp(command[0], command);
	int error = errno;
	ssize_t told = write(gate, &error, sizeof(error));
	_exit(told == sizeof(error) ? 127 : 126);
}

static int spawn(struct record_run *r)
{
	int gate[2];
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, gate) < 0)
		return -errno;
	pid_t pid = fork();
	if (pid == 0) {
		close(gate[0]);
		become(gate[1], r->arguments->command);
	}
	int error = pid < 0 ? -errno : 0;
	close(gate[1]);
	r->gate = gate[0];
	if (error)
		return error;
	r->child = pid;
	r->child_fd = (int)syscall(SYS_pidfd_open, pid, 0);
	return r->child_fd < 0 ? -errno : 0;
}

// Why the command could not be begun, 0 where it was.
static int exec_error(const struct record_run *r)
{
	int error;
	return r->child && recv(r->gate, &error, sizeof(error), MSG_DONTWAIT) == sizeof(error)
		   ? error
		   : 0;
}

static int watch_all(struct record_run *r)
{
	struct loop *loop = r->hall.loop;
	r->interrupt = loop_signal(loop, SIGINT, on_signal, r);
	r->terminate = loop_signal(loop, SIGTERM, on_signal, r);
	bool ok = r->interrupt && r->terminate;
	struct sigaction hangup;
	// Under nohup a closed session does not end the capture; else it does, and what there is is
	// kept.
	if (sigaction(SIGHUP, NULL, &hangup) == 0 && hangup.sa_handler != SIG_IGN) {
		r->hangup = loop_signal(loop, SIGHUP, on_signal, r);
		ok = ok && r->hangup;
	}
	if (r->child) {
		r->child_watch = loop_watch(loop, r->child_fd, LOOP_READ, on_child, r);
		ok = ok && r->child_watch;
	}
	ok = ok && targets_watch(&r->targets, loop, on_targets, r) == 0;
	if (r->arguments->duration_ns && !r->hall.source) {
		r->deadline = loop_timer(loop, r->arguments->duration_ns, 0, on_deadline, r);
		ok = ok && r->deadline;
	}
	if (r->terminal && !r->hall.source)
		r->progress = loop_timer(loop, NS_PER_S, NS_PER_S, on_progress, r);
	return ok ? 0 : -ENOMEM;
}

static int capture(struct record_run *r)
{
	char why[512];
	int error = watch_all(r);
	hold_signals(SIG_UNBLOCK);
	int status = error ? EXIT_FAILED : hall_start(&r->hall, on_replayed, r, why, sizeof(why));
	if (status) {
		log_error("record: %s", error ? strerror(-error) : why);
		return status;
	}
	r->began_ns = clock_now();
	if (r->deadline) // what the start took, as the look for allocators, is not the capture's
		timer_set(r->deadline, r->arguments->duration_ns, 0);
	if (r->hall.tape && !tape_flush(r->hall.tape))
		file_sink_place(&r->file);
	if (r->child && write(r->gate, "g", 1) != 1) {
		log_error("record: %s: %s", r->arguments->command[0], strerror(errno));
		return EXIT_FAILED;
	}
	loop_run(r->hall.loop);
	if (r->progress)
		show("");
	return 0;
}

// What the capture writes to, or collects in.
static int open_output(struct record_run *r, struct hall_options *ho)
{
	int error;
	if (!record_is_tape(r->output)) {
		ho->on_window = on_window;
		ho->labels = true;
		error = merged_open(&r->merged, r->arguments->source ? 0 : r->types & SEEN_TYPES);
	} else if (!(error = file_sink_open(&r->file, r->output, 0600))) {
		ho->on_window = on_tape_window;
		int fd = fcntl(r->file.fd, F_DUPFD_CLOEXEC, 0);
		ho->tape = fd < 0 ? NULL : tape_writer_new(fd);
		error = ho->tape ? 0 : -errno;
	}
	if (!error)
		return 0;
	log_error("record: %s: %s", r->output, strerror(-error));
	return EXIT_FAILED;
}

static int run(struct record_run *r, struct config *config)
{
	const struct arguments *a = r->arguments;
	char why[512];
	uint32_t pids[SELECTED_MAX + 1];
	memcpy(pids, a->pids, a->pid_count * sizeof(*pids));
	struct hall_options ho = {
	    .config = config,
	    .pids = pids,
	    .pid_count = a->pid_count,
	    .comms = *a->comms ? a->comms : NULL,
	    .containers = *a->containers ? a->containers : NULL,
	    .cgroups = *a->cgroups ? a->cgroups : NULL,
	    .all = a->all,
	    .alloc = a->alloc,
	    .types = a->source ? 0 : path_types_beside(r->types),
	    .source = a->source,
	    .arg = r,
	};
	hold_signals(SIG_BLOCK); // until they are watched: a file that was begun is not left behind
	int status = a->command ? 0 : targets_open(&r->targets, "record", a->pids, a->pid_count);
	if (status)
		return status;
	if (a->command) {
		int error = spawn(r);
		if (error) {
			log_error("record: %s: %s", a->command[0], strerror(-error));
			return EXIT_FAILED;
		}
		pids[ho.pid_count++] = ho.child = (uint32_t)r->child;
	}
	status = open_output(r, &ho);
	if (status)
		return status;
	status = hall_open(&r->hall, &ho, why, sizeof(why));
	if (status) {
		log_error("record: %s", why);
		return status;
	}
	status = capture(r);
	int error = status ? 0 : exec_error(r);
	if (error) {
		log_error("record: %s: %s: nothing was captured", a->command[0], strerror(error));
		return EXIT_FAILED;
	}
	if (!status && !hall_matched(&r->hall)) {
		hall_say_unmatched(&r->hall, "record");
		return EXIT_FAILED;
	}
	return status ? status : record_result(r);
}

static int check_output(const char *output, const char *source)
{
	enum export_format format;
	if (file_sink_is_directory(output)) {
		log_error("record: -o: %s: a directory: name a file in it", output);
		return EXIT_USAGE;
	}
	if (record_is_tape(output) && source) {
		log_error(
		    "record: -o: %s: what comes from a recording is one already: copy it", output);
		return EXIT_USAGE;
	}
	if (strcmp(output, "-") && !record_is_tape(output) &&
	    export_format_of(output, &format) < 0) {
		log_error("record: -o: %s: the suffix says the format: .pb.gz .html .folded .json, "
			  "or .rec "
			  "to replay",
		    output);
		return EXIT_USAGE;
	}
	return 0;
}

// Can every file be made that is to be?
static int check_files(const struct record_run *r)
{
	bool several = r->types & (r->types - 1) && !record_is_tape(r->output);
	for (int t = 0; t < PATH_TYPE_COUNT; t++) {
		char path[4096];
		if (!(r->types & 1u << t))
			continue;
		record_output_of(r, (enum path_type)t, several, path, sizeof(path));
		int error = file_sink_check(path);
		if (!error)
			continue;
		log_error("record: -o: %s: %s: choose another place", path, strerror(-error));
		return EXIT_FAILED;
	}
	return 0;
}

int command_record(int argc, char **argv)
{
	struct arguments a;
	int status = command_arguments(&a, argc, argv);
	if (status || a.help)
		return status;
	struct record_run r = {.arguments = &a,
	    .output = a.output ? a.output : DEFAULT_OUTPUT,
	    .types = a.types		   ? a.types
		     : a.alloc || a.mapped ? 1u << PATH_MEMORY
					   : 1u << PATH_CPU,
	    .child_fd = -1,
	    .gate = -1,
	    .terminal = isatty(STDERR_FILENO)};
	if ((status = check_output(r.output, a.source)) || (status = check_files(&r)))
		return status;
	if (!strcmp(r.output, "-") && r.types & (r.types - 1)) {
		log_error(
		    "record: -o: -: standard output takes one type at a time: leave out all but "
		    "one of -t");
		return EXIT_USAGE;
	}
	if (a.alloc && !(path_types_beside(1u << PATH_MEMORY) & r.types)) {
		log_error("record: %s: it is for -t memory: add memory to -t",
		    a.leaks ? "--leaks" : "--alloc");
		return EXIT_USAGE;
	}
	if (a.mapped && !((1u << PATH_MEMORY | 1u << PATH_MAPPED) & r.types)) {
		log_error("record: --mapped: it is for -t memory: add memory to -t");
		return EXIT_USAGE;
	}
	if (a.leaks && (record_is_tape(r.output) || !strcmp(r.output, "-"))) {
		log_error("record: --leaks: not with -o %s: a profile is needed, and standard "
			  "output is for the report: name another file",
		    r.output);
		return EXIT_USAGE;
	}
	if (!a.duration_ns && !a.command)
		a.duration_ns = DEFAULT_DURATION;
	struct config *config = arguments_config(&a);
	if (!config)
		return EXIT_USAGE;
	if (a.leaks && a.duration_ns && config->profiling_alloc_leak_age >= a.duration_ns) {
		log_error("record: --leaks: %s: nothing that is seen to begin gets so old in a "
			  "capture of %gs: make it longer with -d",
		    a.leaks, (double)a.duration_ns / 1e9);
		config_free(config);
		return EXIT_USAGE;
	}
	status = run(&r, config);
	hold_signals(
	    SIG_BLOCK); // all is written: one that comes late must not make a failure of it
	timer_free(r.deadline);
	timer_free(r.progress);
	watch_free(r.child_watch);
	watch_free(r.interrupt);
	watch_free(r.terminate);
	watch_free(r.hangup);
	targets_close(&r.targets);
	if (r.gate >= 0)
		close(r.gate);
	if (r.child_fd >= 0)
		close(r.child_fd);
	hall_close(&r.hall);
	file_sink_close(&r.file, -ECANCELED); // where it is still open nothing came of it
	merged_free(&r.merged);
	config_free(config);
	return status;
}
