// SPDX-License-Identifier: Apache-2.0
// What a capture becomes: files, a line that says how it went.
#include "record.h"
#include "allocs.h"
#include "arguments.h"
#include "command.h"
#include "leaks.h"
#include "limit.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#define TAPE_WORTH 1024 // bytes of a recording below which it holds nothing

bool record_is_tape(const char *path)
{
	size_t n = strlen(path);
	return n > 4 && !strcmp(path + n - 4, ".rec");
}

static void say_killed(const char *command, int signo)
{
	const char *name = sigabbrev_np(signo); // of real-time signals none has one
	if (name)
		log_warn("record: %s was killed by SIG%s", command, name);
	else
		log_warn("record: %s was killed by signal %d", command, signo);
}

// That the command failed is told and not passed on: the capture may be good, and 1, 2 and 3 would
// be taken for what they mean of ours.
static void say_child(const struct record_run *r)
{
	int wait_status;
	pid_t got = r->child ? waitpid(r->child, &wait_status, WNOHANG) : 0;
	if (r->child && !got)
		log_info(
		    "record: %s goes on as process %d", r->arguments->command[0], (int)r->child);
	else if (got > 0 && WIFSIGNALED(wait_status))
		say_killed(r->arguments->command[0], WTERMSIG(wait_status));
	else if (got > 0 && WEXITSTATUS(wait_status))
		log_warn("record: %s exited with %d", r->arguments->command[0],
		    WEXITSTATUS(wait_status));
}

static int close_tape(struct record_run *r)
{
	int error = tape_writer_close(r->hall.tape);
	r->hall.tape = NULL;
	// What came before the trouble is worth having, if there is any.
	off_t size = lseek(r->file.fd, 0, SEEK_END);
	bool none = error && size < TAPE_WORTH;
	int placed = file_sink_close(&r->file, none ? error : 0);
	if (!error && !placed)
		return 0;
	log_error("%s: %s: %s; choose another place with -o", r->output,
	    strerror(error ? -error : -placed),
	    none || placed ? "nothing was kept of it"
			   : "the recording is cut, what came before is kept");
	return EXIT_FAILED;
}

// Where the profile of TYPE goes: several go to files of their own, out.pb.gz to out.cpu.pb.gz.
static void output_of(
    const struct record_run *r, enum path_type type, bool several, char *path, size_t size)
{
	const char *dot = strrchr(r->output, '.');
	if (!several || !dot) {
		text_copy(path, size, r->output);
		return;
	}
	if (!strcmp(dot, ".gz") && dot - r->output > 3 && !strncmp(dot - 3, ".pb", 3))
		dot -= 3;
	snprintf(
	    path, size, "%.*s.%s%s", (int)(dot - r->output), r->output, path_type_name(type), dot);
}

// Writes what was collected; STACKS gets how many there are, WROTE the files.
static int write_profiles(struct record_run *r, char *stacks, size_t size, struct text *wrote)
{
	uint32_t count = 0, held = 0, asked = r->arguments->types, beside;
	int status = 0;
	if (merged_incomplete(&r->merged))
		log_warn("record: memory_limit: samples without memory are [lost: ...]: "
			 "raise memory_limit");
	for (int t = 0; t < PATH_TYPE_COUNT; t++)
		held |= r->merged.profiles[t] ? 1u << t : 0;
	asked = asked ? asked : held;
	beside = held & path_types_beside(asked) & ~asked;
	held &= asked;
	// What comes beside may be there or not: it does not change how the others are called.
	bool several = held & (held - 1);
	held |= strcmp(r->output, "-") ? beside : 0;
	for (int t = 0; t < PATH_TYPE_COUNT && !status; t++) {
		char path[4096];
		struct profile *p = r->merged.profiles[t];
		if (!(held & 1u << t))
			continue;
		output_of(r, t, several || beside & 1u << t, path, sizeof(path));
		profile_seal(p);
		count += profile_stack_count(p) - 1;
		status = write_profile(p, NULL, path, "telegen record", true);
		text_printf(wrote, "%s%s", wrote->len ? ", " : "",
		    strcmp(path, "-") ? path : "standard output");
	}
	snprintf(stacks, size, "%u stacks; ", count);
	return status;
}

static void say_result(
    const struct record_run *r, const struct path_totals *t, const char *stacks, const char *wrote)
{
	char peak[32], size[32], cpu[96] = "", off[64] = "", memory[64] = "", allocs[64] = "";
	// What the kernel counted was last looked at when a window closed.
	uint64_t seen = t->delivered + t->lost,
		 taken = t->taken > t->filtered + seen ? t->taken - t->filtered : seen;
	if (t->off_cpu_ns)
		snprintf(off, sizeof(off), "%.1f s off the CPU; ", (double)t->off_cpu_ns / 1e9);
	if (t->memory_bytes)
		snprintf(memory, sizeof(memory), "%s became resident; ",
		    human_bytes(t->memory_bytes, size, sizeof(size)));
	if (r->arguments->alloc)
		snprintf(allocs, sizeof(allocs), "about %s allocated; ",
		    human_bytes(t->alloc_bytes, size, sizeof(size)));
	if (r->hall.period_ns || taken)
		snprintf(cpu, sizeof(cpu), "%lu samples taken, %lu delivered, %lu lost, ", taken,
		    t->delivered, t->lost);
	log_info("record: %sin %.1f s; %s%s%s%smemory peak %s; wrote %s", cpu,
	    (double)(r->end_ns - r->began_ns) / 1e9, off, memory, allocs, stacks,
	    human_bytes(mem_peak(), peak, sizeof(peak)), wrote);
}

static int write_leaks(const struct record_run *r)
{
	struct text t = TEXT(ACCOUNT_COMMAND);
	const struct profile *heap = r->merged.profiles[PATH_HEAP];
	int status = EXIT_DONE;
	if (heap) {
		t.error = leaks_put(heap, r->arguments->leaks, &t);
		status = write_text(&t);
	}
	text_free(&t);
	return status;
}

int record_result(struct record_run *r)
{
	struct path_totals t;
	struct text wrote = TEXT(ACCOUNT_COMMAND);
	char stacks[32] = "";
	path_totals(r->hall.path, &t);
	int status = record_is_tape(r->output) ? close_tape(r)
					       : write_profiles(r, stacks, sizeof(stacks), &wrote);
	if (status == -ENOMEM) {
		limit_say(r->hall.options.config, sink_name(r->output), "writing it", 0);
		status = EXIT_FAILED;
	}
	say_child(r);
	if (!status)
		say_result(r, &t, stacks, wrote.len ? wrote.at : r->output);
	text_free(&wrote);
	if (status)
		return status;
	if (r->abandoned) {
		log_error(
		    "record: interrupted again: what was not yet named is left out of the file");
		return EXIT_FAILED;
	}
	if (r->arguments->leaks)
		status = write_leaks(r);
	allocs_say(&r->hall);
	if (!t.delivered && !t.off_cpu_ns && !t.memory_bytes && !t.alloc_bytes && !t.told)
		log_warn("record: no sample was delivered: what is selected %s%s",
		    r->hall.period_ns ? "used no CPU" : "told nothing of that type",
		    t.lost ? ", or all of it was lost" : "");
	return status;
}
