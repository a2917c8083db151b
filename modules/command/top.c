// SPDX-License-Identifier: Apache-2.0
// telegen top: the hottest functions and processes of the last window, live.
#include "arguments.h"
#include "command.h"
#include "hall.h"
#include "targets.h"
#include "terminal.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define WINDOW_NS (2 * NS_PER_S)
#define NARROW 40 // columns, below which a name gets the place of the second figure

// Totals by key: a function's name in the profile, or a process.
struct row {
	uint64_t key;
	int64_t self, total;
	uint32_t name, pid, last_sample;
};
struct rows {
	struct row *at;
	uint32_t count, cap;
	struct map index; // key -> row
};

struct top {
	struct hall hall;
	struct targets targets; // of -p
	uint64_t left;		// windows still to show; 0: no end
	bool terminal, color, failed;
};

static struct row *row_of(struct rows *rows, uint64_t key)
{
	uint64_t i;
	if (map_get(&rows->index, key, &i))
		return &rows->at[i];
	if (rows->count == rows->cap) {
		uint32_t cap = rows->cap ? rows->cap * 2 : 256;
		struct row *at = mem_resize(ACCOUNT_COMMAND, rows->at, cap * sizeof(*at));
		if (!at)
			return NULL;
		rows->at = at;
		rows->cap = cap;
	}
	if (map_put(&rows->index, key, rows->count) < 0)
		return NULL;
	struct row *r = &rows->at[rows->count++];
	*r = (struct row){.key = key, .last_sample = UINT32_MAX};
	return r;
}

static void rows_free(struct rows *rows)
{
	mem_free(rows->at);
	map_clear(&rows->index);
}

static int by_self(const void *a, const void *b)
{
	const struct row *x = a, *y = b;
	return x->self != y->self ? (x->self < y->self ? 1 : -1)
				  : (x->total < y->total) - (x->total > y->total);
}

// False where memory ended: then the table would lie.
static bool add_sample(const struct profile *p, uint32_t index, uint32_t v, struct rows *functions,
    struct rows *processes)
{
	const struct profile_sample *s = profile_sample(p, index);
	const struct profile_subject *who = profile_subject(p, s->subject);
	uint32_t n;
	const uint32_t *frames = profile_stack(p, s->stack, &n);
	if (!s->values[v])
		return true;
	for (uint32_t i = 0; i < n; i++) {
		const struct profile_frame *f = profile_frame(p, frames[i]);
		struct row *r = row_of(functions, f->name);
		if (!r)
			return false;
		r->name = f->name;
		r->self += i == 0 ? s->values[v] : 0;
		if (r->last_sample != index) // recursion counts once
			r->total += s->values[v];
		r->last_sample = index;
	}
	struct row *r = row_of(processes, who ? who->pid : 0);
	if (!r)
		return false;
	r->name = who ? who->process : 0;
	r->pid = who ? who->pid : 0;
	r->self += s->values[v];
	return true;
}

// At most COLUMNS characters of a name that anybody may have given: what a terminal would take for
// a command, and what is no UTF-8, is shown as '?'.
static void put_name(const char *s, int columns)
{
	bool utf8 = text_utf8_valid(s, strlen(s));
	for (; *s && columns > 0; s++) {
		unsigned char c = (unsigned char)*s;
		bool continues = utf8 && (c & 0xc0) == 0x80;
		bool control = c < ' ' || c == 127 || (c > 127 && !utf8) ||
			       (c == 0xc2 && (unsigned char)s[1] < 0xa0); // C1
		columns -= !continues;
		putchar(control ? '?' : c);
		s += control && c == 0xc2 && utf8;
	}
	for (; utf8 && ((unsigned char)*s & 0xc0) == 0x80; s++) // the rest of the last one
		putchar(*s);
	putchar('\n');
}

static void print_processes(
    const struct profile *p, struct rows *rows, double one, int most, int columns)
{
	qsort(rows->at, rows->count, sizeof(*rows->at), by_self);
	for (int i = 0; i < (int)rows->count && i < most; i++) {
		const struct row *r = &rows->at[i];
		printf("%7.1f  ", one > 0 ? (double)r->self / one : 0);
		if (columns >= NARROW)
			printf("%8u  ", r->pid);
		put_name(profile_name(p, r->name), columns - (columns >= NARROW ? 20 : 10));
	}
}

static void print_functions(
    const struct profile *p, struct rows *rows, int64_t total, int most, int columns)
{
	double share = total ? 100.0 / (double)total : 0;
	qsort(rows->at, rows->count, sizeof(*rows->at), by_self);
	for (int i = 0; i < (int)rows->count && i < most; i++) {
		const struct row *r = &rows->at[i];
		printf("%7.1f  ", (double)r->self * share);
		if (columns >= NARROW)
			printf("%7.1f  ", (double)r->total * share);
		put_name(profile_name(p, r->name), columns - (columns >= NARROW ? 19 : 10));
	}
}

// The first line behind the name, as much of it as fits.
// How much of a type's value is one whole of something, and what that is.
static const struct measure {
	const char *unit, *one_name, *share;
	double total, row; // divide what a second has
} measures[] = {
    {"nanoseconds", "threads", "TIME %", 1e9, 1e7},
    {"bytes", "MB/s", "MB/s", 1e6, 1e6},
    {"bytes", "MB", "MB", 1e6, 1e6}, // of what is as it is, not of a second
    {NULL, "cores", "CPU %", 1e9, 1e7},
};

static const struct measure *measure_of(const struct profile_header *h)
{
	int i = h->type->state							    ? 2
		: !strcmp(h->type->name, "cpu")					    ? 3
		: !strcmp(h->type->values[h->default_value].unit, measures[1].unit) ? 1
										    : 0;
	return &measures[i];
}

// What its values are divided by, beside the measure.
static double seconds_of(const struct profile_header *h)
{
	return h->type->state ? 1 : (double)h->duration_ns / 1e9;
}

static void print_summary(
    const struct top *t, const struct profile *p, const int64_t *values, int columns)
{
	char line[256], span[32] = "", events[64] = "";
	struct path_totals totals;
	const struct profile_header *h = profile_header_of(p);
	double seconds = seconds_of(h);
	const struct measure *m = measure_of(h);
	path_totals(t->hall.path, &totals);
	if (!h->type->state)
		snprintf(span, sizeof(span), " in %.1f s\t", seconds);
	if (!strcmp(h->type->values[0].unit, "count")) // wall has none
		snprintf(events, sizeof(events), ", %ld %s\t", values[0], h->type->values[0].type);
	snprintf(line, sizeof(line), "  %s %.2f %s\t%s%s; %lu lost so far\t  memory %.1f MB",
	    h->type->name, seconds > 0 ? (double)values[h->default_value] / m->total / seconds : 0,
	    m->one_name, span, events, totals.lost, (double)mem_total() / 1e6);
	terminal_fit(line, columns);
	puts(line);
}

static void print(
    const struct top *t, const struct profile *p, struct rows *functions, struct rows *processes)
{
	int lines, columns;
	int64_t values[PROFILE_VALUES_MAX];
	const struct profile_header *h = profile_header_of(p);
	const char *bold = t->color ? "\033[1m" : "", *plain = t->color ? "\033[0m" : "";
	double seconds = seconds_of(h);
	terminal_size(STDOUT_FILENO, &lines, &columns);
	profile_totals(p, values);
	int64_t total = values[h->default_value];
	if (t->terminal)
		fputs("\033[H\033[2J", stdout);
	printf("%stelegen top%s", bold, plain);
	print_summary(t, p, values, columns - (int)strlen("telegen top"));
	int most = lines > 10 ? (lines - 7) / 3 : 1;
	bool wide = columns >= NARROW;
	const struct measure *m = measure_of(h);
	printf("\n%s%7s  %s%s%s\n", bold, m->share, wide ? "     PID  " : "", "PROCESS", plain);
	print_processes(p, processes, m->row * seconds, most, columns);
	printf("\n%s%7s  %s%s%s\n", bold, "SELF %", wide ? "TOTAL %  " : "", "FUNCTION", plain);
	print_functions(p, functions, total, lines > 10 ? lines - 8 - most : 1, columns);
	putchar('\n');
	fflush(stdout);
}

static void on_window(void *arg, enum path_type type, const struct profile *p)
{
	struct top *t = arg;
	(void)type; // the one that was asked for
	struct rows functions = {.index = MAP(ACCOUNT_COMMAND)},
		    processes = {.index = MAP(ACCOUNT_COMMAND)};
	uint32_t v = profile_header_of(p)->default_value;
	bool ok = true;
	for (uint32_t i = 0; ok && i < profile_sample_count(p); i++)
		ok = add_sample(p, i, v, &functions, &processes);
	errno = 0;
	if (ok)
		print(t, p, &functions, &processes);
	int error = !ok || !ferror(stdout) ? 0 : errno ? errno : EIO;
	rows_free(&functions);
	rows_free(&processes);
	if (!ok)
		log_error("top: memory_limit: no memory for the table: raise memory_limit");
	else if (error && error != EPIPE) // who reads the pipe may have seen enough
		log_error("top: standard output: %s", strerror(error));
	t->failed = !ok || (error && error != EPIPE);
	if (!ok || error || (t->left && !--t->left))
		loop_stop(t->hall.loop);
}

static void on_signal(void *arg, int signo)
{
	struct top *t = arg;
	(void)signo;
	loop_stop(t->hall.loop);
}

static void on_shown(void *arg)
{
	struct top *t = arg;
	loop_stop(t->hall.loop);
}

// What they did since the last table is shown, then it is over.
static void on_targets(void *arg)
{
	struct top *t = arg;
	path_finish(t->hall.path, on_shown, t);
}

static int show(struct top *t, const struct hall_options *ho)
{
	char why[512];
	struct watch *interrupt = NULL, *terminate = NULL;
	int status = targets_open(&t->targets, "top", ho->pids, ho->pid_count);
	if (status)
		return status;
	status = hall_open(&t->hall, ho, why, sizeof(why));
	if (!status) {
		interrupt = loop_signal(t->hall.loop, SIGINT, on_signal, t);
		terminate = loop_signal(t->hall.loop, SIGTERM, on_signal, t);
		bool ok = interrupt && terminate &&
			  targets_watch(&t->targets, t->hall.loop, on_targets, t) == 0;
		snprintf(why, sizeof(why), "signals: no memory within memory_limit: raise it");
		status = ok ? hall_start(&t->hall, NULL, NULL, why, sizeof(why)) : EXIT_FAILED;
	}
	if (status)
		log_error("top: %s", why);
	else
		loop_run(t->hall.loop);
	status = status || !t->failed ? status : EXIT_FAILED;
	if (!status && !hall_matched(&t->hall)) {
		hall_say_unmatched(&t->hall, "top");
		status = EXIT_FAILED;
	}
	watch_free(interrupt);
	watch_free(terminate);
	targets_close(&t->targets);
	return status;
}

int command_top(int argc, char **argv)
{
	struct arguments a;
	int status = command_arguments(&a, argc, argv);
	if (status || a.help)
		return status;
	struct config *config = arguments_config(&a);
	if (!config)
		return EXIT_USAGE;
	struct top t = {.left = a.count, .terminal = isatty(STDOUT_FILENO)};
	const char *no_color = getenv("NO_COLOR");
	t.color = t.terminal && !(no_color && *no_color);
	struct hall_options ho = {
	    .config = config,
	    .pids = a.pids,
	    .pid_count = a.pid_count,
	    .comms = *a.comms ? a.comms : NULL,
	    .containers = *a.containers ? a.containers : NULL,
	    .cgroups = *a.cgroups ? a.cgroups : NULL,
	    .all = a.all,
	    .types = a.types ? a.types : 1u << PATH_CPU,
	    .window_ns = a.duration_ns ? a.duration_ns : WINDOW_NS,
	    .on_window = on_window,
	    .arg = &t,
	};
	status = show(&t, &ho);
	hall_close(&t.hall);
	config_free(config);
	return status;
}
