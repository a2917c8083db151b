// SPDX-License-Identifier: Apache-2.0
// Our walker beside elfutils' unwinder at the same stops of the same processes:
//   walktruth step [-m STEPS] [-i] -- PROGRAM ARGUMENT...    single-steps it, its threads and
//   vforked
//       children; each address once. -i: sends SIGUSR2 at each address of the program itself, and
//       looks at each step of the handler
//   walktruth random [-n STOPS] [-p PID | -- PROGRAM ARGUMENT...]   stops any thread of it and of
//   its
//       descendants at random
//   walktruth freeze -s SYMBOL [-k N] [-c COMMENT] -- PROGRAM ARGUMENT...   writes the Nth stop in
//       SYMBOL (or at an address, hexadecimal) as test/frozen.h draws it
// -q: PROGRAM is arm64, static, run by qemu-aarch64. -t TITLE: in what is printed. Exit status 0:
// whatever differs has a reason.
#include <dirent.h>
#include <elf.h>
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/personality.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "compare.h"
#include "freeze.h"

static struct {
	uint64_t steps, stops, nth;
	bool inject, qemu, frozen;
	pid_t pid;
	const char *symbol, *comment, *title;
	char **argv;
} options = {.steps = 3000000, .stops = 500, .nth = 1, .comment = "captured"};

static struct tally tally;

// One process under examination.
struct subject {
	struct target *t;
	struct theirs *u;
	pid_t pid;
};

static void die(const char *what)
{
	fprintf(stderr, "walktruth: %s: %s\n", what, strerror(errno));
	exit(2);
}

// ---- addresses seen

static uint64_t *seen;
static uint64_t seen_size, seen_count;

static bool first_time(uint64_t key)
{
	if (seen_count * 2 >= seen_size) {
		uint64_t *old = seen, old_size = seen_size;
		seen_size = seen_size ? seen_size * 2 : 1 << 14;
		seen_count = 0;
		if (!(seen = calloc(seen_size, sizeof(*seen))))
			abort();
		for (uint64_t i = 0; i < old_size; i++)
			if (old[i])
				first_time(old[i]);
		free(old);
	}
	uint64_t at = key * 0x9e3779b97f4a7c15u >> 20;
	while (seen[at % seen_size] && seen[at % seen_size] != key)
		at++;
	if (seen[at % seen_size] == key)
		return false;
	seen[at % seen_size] = key;
	seen_count++;
	return true;
}

// ---- a look

static void subject_close(struct subject *s)
{
	theirs_free(s->u);
	target_free(s->t);
	memset(s, 0, sizeof(*s));
}

static int subject_open(struct subject *s, struct target *t, pid_t pid)
{
	s->t = t;
	s->pid = pid;
	s->u = t ? theirs_new(t) : NULL;
	if (s->u)
		return 0;
	subject_close(s); // it ended meanwhile
	return -1;
}

static void learn(struct ours *o, struct subject *s)
{
	if ((!s->t->pid || target_maps(s->t) == 1) && theirs_maps(s->u))
		fprintf(stderr, "walktruth: the other unwinder refuses the mappings\n");
	if (ours_maps(o, s->t))
		fprintf(stderr, "walktruth: mappings do not fit\n");
}

// Looks at the stop; true when the run is over (it was frozen).
static bool look(
    struct ours *o, struct subject *s, const struct stack *interrupted, struct stack *keep)
{
	static uint64_t hits;
	if (s->t->pid)
		learn(o, s);
	if (!options.frozen) {
		compare(&tally, o, s->u, s->t, interrupted, keep);
		return false;
	}
	struct place at;
	uint64_t pc = s->t->reg[target_pc(s->t)];
	theirs_name(s->u, pc, &at);
	if ((strcmp(at.symbol, options.symbol) && strtoull(options.symbol, NULL, 16) != pc) ||
	    ++hits < options.nth)
		return false;
	compare(&tally, o, s->u, s->t, NULL, NULL);
	return freeze(stdout, options.comment, o, s->u, s->t) == 0;
}

// ---- single steps

static pid_t spawn(bool traced)
{
	pid_t pid = fork();
	if (pid < 0)
		die("fork");
	if (pid)
		return pid;
	personality(ADDR_NO_RANDOMIZE);
	if (traced)
		ptrace(PTRACE_TRACEME, 0, NULL, NULL);
	if (freopen("/dev/null", "r", stdin) && freopen("/dev/null", "w", stdout))
		execvp(*options.argv, options.argv);
	_exit(127);
}

static bool in_program(const struct target *t, uint64_t pc)
{
	const struct area *m = target_map(t, pc), *first = t->maps;
	while (first < t->maps + t->map_count && first->path[0] != '/')
		first++;
	return m && first < t->maps + t->map_count && !strcmp(m->path, first->path);
}

// True once the process has a handler for SIGUSR2.
static bool has_handler(pid_t pid)
{
	static bool has;
	char path[64], line[256];
	unsigned long mask = 0;
	if (has)
		return true;
	snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	FILE *f = fopen(path, "re");
	while (f && fgets(line, sizeof(line), f))
		sscanf(line, "SigCgt: %lx", &mask);
	if (f)
		fclose(f);
	return has = mask >> (SIGUSR2 - 1) & 1;
}

static struct {
	pid_t tid; // in the handler of the signal that was sent; 0 none
	uint64_t pc, sp, steps;
	struct stack stack; // before it was sent
} sent;

// What to step on with: a signal to send.
static int examine(struct ours *o, struct subject *s, pid_t tid, bool *over)
{
	if (target_registers(s->t, tid))
		return 0;
	uint64_t pc = s->t->reg[target_pc(s->t)], sp = s->t->reg[target_sp(s->t)];
	if (sent.tid == tid && sent.steps++ == 0 && sent.sp - sp < 512) {
		sent.tid = 0; // the signal is blocked: it comes some time later
	} else if (sent.tid == tid) {
		if (pc != sent.pc || sp != sent.sp) {
			*over = look(o, s, &sent.stack, NULL);
			return 0;
		}
		sent.tid = 0;
		return 0;
	}
	if (!options.frozen && !first_time(pc))
		return 0;
	// Another thread may be in the handler: it is compared with what was before it.
	*over = look(o, s, NULL, sent.tid ? NULL : &sent.stack);
	if (!options.inject || sent.tid || tid != s->pid || !in_program(s->t, pc) ||
	    !has_handler(s->pid))
		return 0;
	sent.tid = tid;
	sent.pc = pc;
	sent.sp = sp;
	sent.steps = 0;
	return SIGUSR2;
}

static void step_process(struct ours *o)
{
	struct subject s;
	int status;
	pid_t pid = spawn(true), known[256] = {pid};
	uint32_t known_count = 1;
	if (waitpid(pid, &status, 0) != pid || !WIFSTOPPED(status))
		die(*options.argv);
	ptrace(PTRACE_SETOPTIONS, pid, NULL,
	    PTRACE_O_EXITKILL | PTRACE_O_TRACECLONE | PTRACE_O_TRACEVFORK);
	if (subject_open(&s, target_of_process(pid), pid))
		die("the other unwinder");
	ptrace(PTRACE_SINGLESTEP, pid, NULL, NULL);
	bool over = false;
	for (uint64_t i = 0; i < options.steps && !over; i++) {
		int signal = 0;
		uint32_t k = 0;
		pid_t tid = waitpid(-1, &status, __WALL);
		if (tid < 0 || (tid == pid && !WIFSTOPPED(status)))
			break;
		if (!WIFSTOPPED(status))
			continue;
		while (k < known_count && known[k] != tid)
			k++;
		if (k == known_count && known_count < 256)
			known[known_count++] = tid;
		else if (WSTOPSIG(status) != SIGTRAP)
			signal = WSTOPSIG(status);
		else if (!(status >> 16))
			signal = examine(o, &s, tid, &over);
		ptrace(PTRACE_SINGLESTEP, tid, NULL, (void *)(long)signal);
	}
	for (uint32_t k = 0; k < known_count; k++)
		kill(known[k], SIGKILL);
	subject_close(&s);
	while (waitpid(-1, &status, __WALL) > 0)
		;
}

static void step_qemu(struct ours *o)
{
	struct subject s;
	if (subject_open(&s, target_of_qemu(options.argv), 0))
		die("qemu-aarch64");
	learn(o, &s);
	// A step is slow, and what comes before main is long.
	if (qemu_run_to(s.t, theirs_symbol(s.u, s.t->reg[32], "main")))
		die("qemu-aarch64: main");
	for (uint64_t i = 0; i < options.steps; i++) {
		if ((options.frozen || first_time(s.t->reg[32])) && look(o, &s, NULL, NULL))
			break;
		if (qemu_step(s.t))
			break;
	}
	subject_close(&s);
}

// ---- random stops

#define SUBJECTS 256
static struct subject subjects[SUBJECTS];

// Parent, state of a thread; 0 or -1.
static int stat_of(const char *path, pid_t *parent, char *state)
{
	char line[512];
	FILE *f = fopen(path, "re");
	if (!f)
		return -1;
	size_t n = fread(line, 1, sizeof(line) - 1, f);
	fclose(f);
	line[n] = 0;
	const char *p = strrchr(line, ')');
	return p && sscanf(p, ") %c %d", state, parent) == 2 ? 0 : -1;
}

static uint32_t descendants(pid_t root, pid_t *to, uint32_t cap)
{
	uint32_t count = 1;
	to[0] = root;
	for (uint32_t i = 0; i < count; i++) {
		char path[300];
		snprintf(path, sizeof(path), "/proc/%d/task", (int)to[i]);
		DIR *d = opendir(path);
		for (struct dirent *e; d && (e = readdir(d));) {
			snprintf(path, sizeof(path), "/proc/%d/task/%d/children", (int)to[i],
			    atoi(e->d_name));
			FILE *f = fopen(path, "re");
			while (f && count < cap && fscanf(f, "%d", &to[count]) == 1)
				count++;
			if (f)
				fclose(f);
		}
		if (d)
			closedir(d);
	}
	return count;
}

// A thread to stop, rather a running one; 0: none.
static pid_t choose(pid_t root, pid_t *process)
{
	pid_t pids[SUBJECTS], chosen = 0;
	uint32_t count = descendants(root, pids, SUBJECTS), weight = 0;
	for (uint32_t i = 0; i < count; i++) {
		char path[300];
		snprintf(path, sizeof(path), "/proc/%d/task", (int)pids[i]);
		DIR *d = opendir(path);
		for (struct dirent *e; d && (e = readdir(d));) {
			char state;
			pid_t parent, tid = atoi(e->d_name);
			snprintf(
			    path, sizeof(path), "/proc/%d/task/%d/stat", (int)pids[i], (int)tid);
			if (!tid || stat_of(path, &parent, &state) || !strchr("RS", state))
				continue;
			uint32_t w = state == 'R' ? 50 : 1;
			weight += w;
			if ((uint32_t)rand() % weight < w) {
				chosen = tid;
				*process = pids[i];
			}
		}
		if (d)
			closedir(d);
	}
	return chosen;
}

static struct subject *subject_of(pid_t pid)
{
	struct subject *free_one = NULL;
	for (int i = 0; i < SUBJECTS; i++) {
		if (subjects[i].pid == pid)
			return subjects + i;
		if (subjects[i].pid && kill(subjects[i].pid, 0))
			subject_close(subjects + i);
		if (!subjects[i].pid)
			free_one = subjects + i;
	}
	if (!free_one || subject_open(free_one, target_of_process(pid), pid))
		return NULL;
	return free_one;
}

// True once TID stands still. Signals that come before go on to it.
static bool stopped(pid_t tid)
{
	int status;
	for (int i = 0; i < 2000; i++) {
		if (waitpid(tid, &status, __WALL | WNOHANG) != tid)
			nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
		else if (!WIFSTOPPED(status))
			return false;
		else if (status >> 16 == PTRACE_EVENT_STOP)
			return true;
		else
			ptrace(PTRACE_CONT, tid, NULL, (void *)(long)WSTOPSIG(status));
	}
	return false;
}

static void random_stops(struct ours *o)
{
	pid_t root = options.pid ? options.pid : spawn(false), process = 0;
	srand(1);
	for (uint64_t tries = 0; tally.stops < options.stops && tries < options.stops * 20;
	     tries++) {
		nanosleep(&(struct timespec){.tv_nsec = rand() % 3000000}, NULL);
		int status;
		pid_t told = options.pid ? 0 : waitpid(root, &status, WNOHANG);
		if (told == root && WIFSTOPPED(status)) // too late for whoever waited for it
			ptrace(PTRACE_DETACH, root, NULL, NULL);
		else if (told) // a short one, once more; -1: it ended while it was to stop
			root = spawn(false);
		pid_t tid = choose(root, &process);
		if (!tid || ptrace(PTRACE_SEIZE, tid, NULL, NULL))
			continue;
		ptrace(PTRACE_INTERRUPT, tid, NULL, NULL);
		struct subject *s = stopped(tid) ? subject_of(process) : NULL;
		// A process that has just executed another program has other memory.
		if (s && !target_registers(s->t, tid)) {
			uint64_t word;
			if (target_read(s->t, s->t->reg[target_sp(s->t)], &word, 8))
				subject_close(s);
			else
				look(o, s, NULL, NULL);
		}
		ptrace(PTRACE_DETACH, tid, NULL, NULL);
	}
	if (!options.pid) {
		kill(root, SIGTERM);
		nanosleep(&(struct timespec){.tv_nsec = 100000000}, NULL);
		kill(root, SIGKILL);
	}
	for (int i = 0; i < SUBJECTS; i++)
		subject_close(subjects + i);
}

static int parse(int argc, char **argv)
{
	int c;
	while ((c = getopt(argc, argv, "+m:n:is:k:c:p:qt:")) != -1) {
		switch (c) {
		case 'm':
			options.steps = strtoull(optarg, NULL, 10);
			break;
		case 'n':
			options.stops = strtoull(optarg, NULL, 10);
			break;
		case 'k':
			options.nth = strtoull(optarg, NULL, 10);
			break;
		case 'p':
			options.pid = atoi(optarg);
			break;
		case 'i':
			options.inject = true;
			break;
		case 'q':
			options.qemu = true;
			break;
		case 's':
			options.symbol = optarg;
			break;
		case 'c':
			options.comment = optarg;
			break;
		case 't':
			options.title = optarg;
			break;
		default:
			return -1;
		}
	}
	options.argv = argv + optind;
	return options.pid || argv[optind] ? 0 : -1;
}

int main(int argc, char **argv)
{
	const char *mode = argc > 1 ? argv[1] : "";
	options.frozen = !strcmp(mode, "freeze");
	if (argc < 3 || parse(argc - 1, argv + 1) || (options.frozen && !options.symbol)) {
		fprintf(
		    stderr, "walktruth step|random|freeze [-inmkpqsct] -- PROGRAM ARGUMENT...\n");
		return 2;
	}
	struct ours *o = ours_new();
	if (!strcmp(mode, "random"))
		random_stops(o);
	else if (options.qemu)
		step_qemu(o);
	else
		step_process(o);
	if (options.frozen) {
		if (tally.unexplained)
			fprintf(stderr, "walktruth: the other unwinder does not agree\n");
		ours_free(o);
		return tally.stops ? 0 : 1;
	}
	bool good = tally_print(&tally, options.title ? options.title : *options.argv);
	struct ours_figures f;
	ours_figures(o, &f);
	printf("#   files %" PRIu64 ", windows %" PRIu64 ", rows %" PRIu64 ", blocks %" PRIu64
	       " (%.2f bytes a row), failed %" PRIu64 "\n",
	    f.files, f.windows, f.rows, f.blocks,
	    f.rows ? 64.0 * (double)f.blocks / (double)f.rows : 0, f.failed);
	ours_free(o);
	return !good;
}
