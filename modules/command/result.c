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

void record_output_of(
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

// What became of a capture, by names of files.
struct outcome {
	struct text wrote, unwritten;
	uint32_t stacks;
	int status;
};

static void list(struct text *to, const char *path)
{
	text_printf(to, "%s%s", to->len ? ", " : "", sink_name(path));
}

// Why there is nothing of TYPE, which was asked for.
static void why_missing(const struct record_run *r, enum path_type type, char *why, size_t size)
{
	const char *left_out = r->arguments->source ? NULL : hall_left_out(&r->hall, type);
	if (r->arguments->source || left_out) {
		text_copy(why, size, left_out ? left_out : "the recording holds none");
	} else if (!path_untold(r->hall.path, type, why, size) && r->child_ended) {
		size_t n = strlen(why);
		snprintf(why + n, size - n, ": %s had ended by then", r->arguments->command[0]);
	}
}

static void say_missing(
    const struct record_run *r, enum path_type type, const char *path, enum log_level level)
{
	char why[512];
	why_missing(r, type, why, sizeof(why));
	log_line(level, "record: %s: %s was not written: %s", path_type_name(type), sink_name(path),
	    why);
}

static void write_one(
    struct record_run *r, enum path_type type, const char *path, struct outcome *o)
{
	struct profile *p = r->merged.profiles[type];
	profile_seal(p);
	int status = write_profile(p, NULL, path, "telegen record", true);
	if (status == -ENOMEM)
		limit_say(r->hall.options.config, sink_name(path), "writing it", 0);
	else if (!status)
		o->stacks += profile_stack_count(p) - 1;
	list(status ? &o->unwritten : &o->wrote, path);
	if (status)
		o->status = EXIT_FAILED;
}

// TYPES would have come beside the others, if the programs that were named had told of them.
static void say_beside(const struct record_run *r, uint32_t types)
{
	char why[512];
	bool named = r->arguments->pid_count || r->child;
	types &= PATH_TOLD_TYPES & ~(1u << PATH_ALLOCS); // which come as heap does
	for (int t = 0; t < PATH_TYPE_COUNT && named; t++)
		if (types & 1u << t &&
		    path_untold(r->hall.path, (enum path_type)t, why, sizeof(why)))
			log_info("record: %s: %s", path_type_name((enum path_type)t), why);
}

// What the kernel refused has a profile all the same, which is empty.
static uint32_t held_types(const struct record_run *r)
{
	uint32_t held = 0;
	for (int t = 0; t < PATH_TYPE_COUNT; t++)
		if (r->merged.profiles[t] &&
		    (r->arguments->source || !hall_left_out(&r->hall, (enum path_type)t)))
			held |= 1u << t;
	return held;
}

// Writes what was collected, as much of it as can be.
static void write_profiles(struct record_run *r, struct outcome *o)
{
	uint32_t held = held_types(r), asked = r->arguments->types;
	uint32_t missing = (r->arguments->source ? asked : r->types) & ~held;
	if (merged_incomplete(&r->merged))
		log_warn("record: memory_limit: samples without memory are [lost: ...]: "
			 "raise memory_limit");
	asked = asked ? asked : held | missing;
	// What comes beside may be there or not: it does not change how the others are called, nor
	// does what is missing.
	bool several = asked & (asked - 1);
	uint32_t mapped =
	    asked & 1u << PATH_MEMORY ? 1u << PATH_MAPPED : 0; // where it was asked for
	uint32_t beside =
	    strcmp(r->output, "-") ? held & (path_types_beside(asked) | mapped) & ~asked : 0;
	for (int t = 0; t < PATH_TYPE_COUNT; t++) {
		char path[4096];
		uint32_t type = 1u << t;
		record_output_of(r, t, several || beside & type, path, sizeof(path));
		if (missing & type) {
			say_missing(r, (enum path_type)t, path,
			    held & asked ? LOG_LEVEL_WARN : LOG_LEVEL_ERROR);
			list(&o->unwritten, path);
		} else if (held & (asked | beside) & type) {
			write_one(r, (enum path_type)t, path, o);
		}
	}
	say_beside(r, path_types_beside(asked) & ~asked & ~held);
	if (!held && !missing)
		log_error("%s: the recording holds no sample", r->arguments->source);
	if (!o->wrote.len)
		o->status = EXIT_FAILED;
}

static void say_result(
    const struct record_run *r, const struct path_totals *t, const struct outcome *o)
{
	char peak[32], size[32], cpu[96] = "", off[64] = "", memory[64] = "", allocs[64] = "";
	char mapped[64] = "", stacks[32] = "";
	// What the kernel counted was last looked at when a window closed.
	uint64_t seen = t->delivered + t->lost,
		 taken = t->taken > t->filtered + seen ? t->taken - t->filtered : seen;
	if (t->off_cpu_ns)
		snprintf(off, sizeof(off), "%.1f s off the CPU; ", (double)t->off_cpu_ns / 1e9);
	if (t->memory_bytes)
		snprintf(memory, sizeof(memory), "%s became resident; ",
		    human_bytes(t->memory_bytes, size, sizeof(size)));
	if (t->mapped_bytes)
		snprintf(mapped, sizeof(mapped), "%s mapped; ",
		    human_bytes(t->mapped_bytes, size, sizeof(size)));
	if (r->arguments->alloc)
		snprintf(allocs, sizeof(allocs), "about %s allocated; ",
		    human_bytes(t->alloc_bytes, size, sizeof(size)));
	if (r->hall.period_ns || taken)
		snprintf(cpu, sizeof(cpu), "%lu samples taken, %lu delivered, %lu lost, ", taken,
		    t->delivered, t->lost);
	if (!record_is_tape(r->output))
		snprintf(stacks, sizeof(stacks), "%u stacks; ", o->stacks);
	log_line(o->status ? LOG_LEVEL_ERROR : LOG_LEVEL_INFO,
	    "record: %sin %.1f s; %s%s%s%s%smemory peak %s; wrote %s%s%s", cpu,
	    (double)(r->end_ns - r->began_ns) / 1e9, off, memory, mapped, allocs, stacks,
	    human_bytes(mem_peak(), peak, sizeof(peak)), o->wrote.len ? o->wrote.at : "nothing",
	    o->unwritten.len ? ", not " : "", o->unwritten.len ? o->unwritten.at : "");
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

static void warn_of_nothing(const struct record_run *r, const struct path_totals *t)
{
	char why[512] = "what is selected used no CPU";
	if (t->delivered || t->off_cpu_ns || t->memory_bytes || t->mapped_bytes || t->alloc_bytes ||
	    t->told)
		return;
	if (!r->hall.period_ns)
		text_copy(why, sizeof(why), "what is selected told nothing of that type");
	if (!(r->types & SEEN_TYPES)) // of a recording, nobody else has said it
		why_missing(r, (enum path_type)__builtin_ctz(r->types), why, sizeof(why));
	log_warn(
	    "record: no sample was delivered: %s%s", why, t->lost ? ", or all of it was lost" : "");
}

int record_result(struct record_run *r)
{
	struct path_totals t;
	struct outcome o = {.wrote = TEXT(ACCOUNT_COMMAND), .unwritten = TEXT(ACCOUNT_COMMAND)};
	bool several;
	path_totals(r->hall.path, &t);
	if (!record_is_tape(r->output))
		write_profiles(r, &o);
	else if (!(o.status = close_tape(r)))
		list(&o.wrote, r->output);
	say_child(r);
	// Of one file the line that says what is wrong with it says all.
	several = o.wrote.len || strchr(o.unwritten.at ? o.unwritten.at : "", ',');
	if (several)
		say_result(r, &t, &o);
	text_free(&o.wrote);
	text_free(&o.unwritten);
	if (!o.status && r->abandoned) {
		log_error(
		    "record: interrupted again: what was not yet named is left out of the file");
		o.status = EXIT_FAILED;
	} else if (r->arguments->leaks && write_leaks(r)) {
		o.status = EXIT_FAILED;
	}
	allocs_say(&r->hall);
	if (!o.status)
		warn_of_nothing(r, &t);
	return o.status;
}
