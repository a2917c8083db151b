// SPDX-License-Identifier: Apache-2.0
// telegen record: one capture, into one file.
#include "arguments.h"
#include "command.h"
#include "hall.h"
#include "replay.h"
#include "sink.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define DEFAULT_DURATION (10 * NS_PER_S)
#define DEFAULT_OUTPUT "profile.pb.gz"

struct record_run {
	struct hall hall;
	const struct arguments *arguments;
	struct profile *result; // all windows merged
	pid_t child;	 // 0: none
	int child_fd;	 // pidfd
	int start_fd;	 // closing it lets the child exec
	uint64_t began_ns, end_ns;
	struct timer *deadline, *progress;
	struct watch *child_watch, *interrupt, *terminate;
	bool ending, terminal, unmerged;
};

static bool is_tape(const char *path)
{
	size_t n = strlen(path);
	return n > 4 && !strcmp(path + n - 4, ".rec");
}

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
	if (r->ending) // asked twice: at once
		loop_stop(r->hall.loop);
	end(r);
}

static void on_child(void *arg, int events)
{
	struct record_run *r = arg;
	(void)events;
	watch_set(r->child_watch, 0);
	end(r);
}

static void on_replayed(void *arg, int result)
{
	struct record_run *r = arg;
	if (result < 0)
		log_warn("%s: the recording is cut: what came before is kept", r->hall.options.source);
	r->end_ns = clock_now();
	loop_stop(r->hall.loop);
}

static void on_progress(void *arg)
{
	struct record_run *r = arg;
	struct path_totals t;
	uint64_t now = clock_now(), due = r->arguments->duration_ns;
	path_totals(r->hall.path, &t);
	char left[32] = "";
	if (due && r->began_ns + due > now)
		snprintf(left, sizeof(left), ", %.0f s left", (double)(r->began_ns + due - now) / 1e9);
	fprintf(stderr, "\r%.0f s, %lu samples, %lu lost%s   ", (double)(now - r->began_ns) / 1e9,
	    t.delivered, t.lost, left);
}

static void on_window(void *arg, const struct profile *p)
{
	struct record_run *r = arg;
	if (merge_window(&r->result, p) < 0)
		r->unmerged = true;
}

// Starts the command; it waits for `start_fd` to be closed before it becomes the program.
static int spawn(struct record_run *r)
{
	int gate[2];
	if (pipe2(gate, O_CLOEXEC) < 0)
		return -errno;
	pid_t pid = fork();
	if (pid < 0) {
		int error = -errno;
		close(gate[0]);
		close(gate[1]);
		return error;
	}
	if (pid == 0) {
		char byte;
		close(gate[1]);
		// 1 byte: go; the end of the pipe without one: the capture failed to start
		if (read(gate[0], &byte, 1) != 1)
			_exit(127);
		execvp(r->arguments->command[0], r->arguments->command);
		fprintf(stderr, "telegen: error: record: %s: %s\n", r->arguments->command[0], strerror(errno));
		_exit(127);
	}
	close(gate[0]);
	r->child = pid;
	r->start_fd = gate[1];
	r->child_fd = (int)syscall(SYS_pidfd_open, pid, 0);
	return r->child_fd < 0 ? -errno : 0;
}

static int watch_all(struct record_run *r)
{
	struct loop *loop = r->hall.loop;
	r->interrupt = loop_signal(loop, SIGINT, on_signal, r);
	r->terminate = loop_signal(loop, SIGTERM, on_signal, r);
	bool ok = r->interrupt && r->terminate;
	if (r->child) {
		r->child_watch = loop_watch(loop, r->child_fd, LOOP_READ, on_child, r);
		ok = ok && r->child_watch;
	}
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
	int status = error ? EXIT_FAILED : hall_start(&r->hall, on_replayed, r, why, sizeof(why));
	if (status) {
		log_error("record: %s", error ? strerror(-error) : why);
		return status;
	}
	r->began_ns = clock_now();
	if (r->child && write(r->start_fd, "g", 1) != 1)
		log_warn("record: %s: it ended before it began", r->arguments->command[0]);
	loop_run(r->hall.loop);
	if (r->progress)
		fprintf(stderr, "\r%*s\r", 60, "");
	return 0;
}

static void say_child(const struct record_run *r)
{
	int wait_status;
	pid_t got = r->child ? waitpid(r->child, &wait_status, WNOHANG) : 0;
	if (r->child && !got)
		log_info("record: %s goes on as process %d", r->arguments->command[0], (int)r->child);
	else if (got > 0 && WIFSIGNALED(wait_status))
		log_info("record: %s was ended by signal %d", r->arguments->command[0], WTERMSIG(wait_status));
	else if (got > 0 && WEXITSTATUS(wait_status))
		log_info("record: %s ended with status %d", r->arguments->command[0], WEXITSTATUS(wait_status));
}

static int write_result(struct record_run *r, const char *output)
{
	struct path_totals t;
	char size[32];
	int status = 0;
	path_totals(r->hall.path, &t);
	if (r->unmerged)
		log_warn("record: memory_limit: not every window found memory: raise memory_limit or shorten -d");
	if (is_tape(output)) {
		int error = tape_writer_close(r->hall.tape);
		r->hall.tape = NULL;
		if (error) {
			log_error("%s: %s: the recording is cut", output, strerror(-error));
			status = EXIT_FAILED;
		}
	} else if (!r->result) {
		log_error("record: no window was closed: nothing to write");
		return EXIT_FAILED;
	} else {
		profile_seal(r->result);
		status = write_profile(r->result, NULL, output, "telegen record");
	}
	say_child(r);
	if (!status)
		log_info("record: %lu samples taken, %lu delivered, %lu lost, in %.1f s; %u stacks; memory peak %s; "
			 "wrote %s", t.taken ? t.taken - t.filtered : t.delivered + t.lost, t.delivered, t.lost,
		    (double)(r->end_ns - r->began_ns) / 1e9, r->result ? profile_stack_count(r->result) : 0,
		    human_bytes(mem_peak(), size, sizeof(size)), output);
	if (!status && !t.delivered)
		log_warn("record: no sample was delivered: was anything running? see `telegen check`");
	return status;
}

static int run(struct record_run *r, struct config *config, const char *output)
{
	const struct arguments *a = r->arguments;
	char why[512];
	uint32_t pids[SELECTED_MAX + 1];
	uint32_t count = a->pid_count;
	memcpy(pids, a->pids, count * sizeof(*pids));
	if (a->command) {
		int error = spawn(r);
		if (error) {
			log_error("record: %s: %s", a->command[0], strerror(-error));
			return EXIT_FAILED;
		}
		pids[count++] = (uint32_t)r->child;
	}
	struct hall_options ho = {
	    .config = config,
	    .pids = pids,
	    .pid_count = count,
	    .comms = *a->comms ? a->comms : NULL,
	    .containers = *a->containers ? a->containers : NULL,
	    .cgroups = *a->cgroups ? a->cgroups : NULL,
	    .source = a->source,
	    .tape_to = is_tape(output) ? output : NULL,
	    .on_window = on_window,
	    .arg = r,
	};
	int status = hall_open(&r->hall, &ho, why, sizeof(why));
	if (status) {
		log_error("record: %s", why);
		return status;
	}
	status = capture(r);
	return status ? status : write_result(r, output);
}

static int check_output(const char *output)
{
	enum export_format format;
	if (!strcmp(output, "-") || is_tape(output) || export_format_of(output, &format) == 0)
		return 0;
	log_error("record: -o: %s: the suffix says the format: .pb.gz .html .folded .json, or .rec to replay", output);
	return EXIT_USAGE;
}

int command_record(int argc, char **argv)
{
	struct arguments a;
	int status = arguments_parse(&a, argc, argv, "ptFdosx");
	if (status)
		return status;
	if (a.help)
		return command_help(1, argv);
	const char *output = a.output ? a.output : DEFAULT_OUTPUT;
	if ((status = check_output(output)))
		return status;
	if (!a.duration_ns && !a.command)
		a.duration_ns = DEFAULT_DURATION;
	struct config *config = arguments_config(&a);
	if (!config)
		return EXIT_USAGE;
	struct record_run r = {.arguments = &a, .child_fd = -1, .start_fd = -1, .terminal = isatty(STDERR_FILENO)};
	signal(SIGPIPE, SIG_IGN);
	status = run(&r, config, output);
	if (r.start_fd >= 0)
		close(r.start_fd);
	timer_free(r.deadline);
	timer_free(r.progress);
	watch_free(r.child_watch);
	watch_free(r.interrupt);
	watch_free(r.terminate);
	if (r.child_fd >= 0)
		close(r.child_fd);
	hall_close(&r.hall);
	profile_free(r.result);
	config_free(config);
	return status;
}
