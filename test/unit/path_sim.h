// SPDX-License-Identifier: Apache-2.0
// The whole path on a fake clock, a fake /proc (plain files) and made-up kernel records: no kernel,
// no root. What comes out of it is summed up, and where `dumps` is set also written down, window by
// window.
#pragma once
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "fakeproc.h"
#include "profiles.h"
#include "../../modules/path/private.h"

#define TICK 10000000ull
#define PERIOD 10101010ull
#define WINDOW (10 * NS_PER_S)

static uint64_t now = 1000 * NS_PER_S, wall = 1700000000 * NS_PER_S;

static struct sim {
	struct loop *loop;
	struct proc *proc;
	struct symbol *symbol;
	struct path *path;
	struct path_options options; // what a test wants different
	struct tape_writer *tape;
	int64_t samples, nanoseconds; // of cpu in all windows
	int64_t totals[PATH_TYPE_COUNT][PROFILE_VALUES_MAX];
	int windows;
	uint64_t fed;
	uint64_t every;	      // samples bear so many ticks; 0: one
	char wanted_name[64]; // counted by name of the leaf
	int64_t named;
	bool dumps;
	struct text dump;
} sim;

static inline void sim_on_window(void *arg, enum path_type type, const struct profile *p)
{
	int64_t totals[PROFILE_VALUES_MAX];
	(void)arg;
	profile_totals(p, totals);
	for (uint32_t v = 0; v < profile_header_of(p)->value_count; v++)
		sim.totals[type][v] += totals[v];
	if (type == PATH_CPU) {
		sim.samples += totals[0];
		sim.nanoseconds += totals[1];
		sim.windows++;
	}
	for (uint32_t i = 0; i < profile_sample_count(p); i++) {
		const struct profile_sample *s = profile_sample(p, i);
		uint32_t n;
		const uint32_t *frames = profile_stack(p, s->stack, &n);
		assert_true(n > 0);
		if (!strcmp(profile_name(p, profile_frame(p, frames[0])->name), sim.wanted_name))
			sim.named += type == PATH_CPU ? s->values[0] : 0;
	}
	if (!sim.dumps)
		return;
	const struct profile_header *h = profile_header_of(p);
	char *lines = profiles_dump(p);
	text_printf(&sim.dump, "window %s %lu %lu period %ld\n%s", path_type_name(type), h->time_ns,
	    h->duration_ns, (long)h->period, lines);
	free(lines);
}

// Takes `options`, `dumps` and `wanted_name` from what sim was. False where memory ended before
// there was a path.
static inline bool sim_make(void)
{
	struct sim fresh = {.options = sim.options, .dumps = sim.dumps, .dump = TEXT(ACCOUNT_BASE)};
	memcpy(fresh.wanted_name, sim.wanted_name, sizeof(fresh.wanted_name));
	sim = fresh;
	clock_fake(&now, &wall);
	sim.loop = loop_new();
	sim.proc = proc_new(fakeproc_root);
	struct path_options po = sim.options;
	po.loop = sim.loop;
	po.proc = sim.proc;
	po.collection_ns = WINDOW;
	po.upload_ns = po.upload_ns ? po.upload_ns : 6 * WINDOW;
	po.period_ns = PERIOD;
	po.on_window = sim_on_window;
	sim.path = sim.loop && sim.proc ? path_new(&po) : NULL;
	struct symbol_options so = {.processes = sim.path ? path_processes(sim.path) : NULL,
	    .proc = sim.proc,
	    .cache_size = 1000,
	    .demangle = true,
	    .kernel = true,
	    .go = true,
	    .offline = po.offline};
	sim.symbol = sim.path ? symbol_new(&so) : NULL;
	if (!sim.symbol)
		return false;
	path_set_symbol(sim.path, sim.symbol);
	return true;
}

static inline bool sim_open(void)
{
	return sim_make() && path_start(sim.path, NULL) == 0;
}

static inline bool sim_busy(void)
{
	return sim.path->sealed || sim.path->ship_slice || sim.path->scan_slice ||
	       sim.path->finish_slice || sim.path->round.slice;
}

static inline void sim_turns(void)
{
	for (int i = 0; i < 20000 && sim_busy(); i++)
		loop_turn(sim.loop);
}

static inline void sim_ship(void)
{
	now += WINDOW;
	wall += WINDOW;
	for (int i = 0; i < 50; i++) {
		path_flush(sim.path);
		sim_turns();
		bool left = false;
		for (int t = 0; t < PATH_TYPE_COUNT; t++) {
			int64_t totals[PROFILE_VALUES_MAX] = {0};
			if (sim.path->current[t].profile)
				profile_totals(sim.path->current[t].profile, totals);
			left = left || totals[0];
		}
		if (!left)
			return;
	}
}

static inline void sim_close(void)
{
	path_free_jobs(sim.path);
	symbol_free(sim.symbol);
	path_free(sim.path);
	proc_free(sim.proc);
	loop_free(sim.loop);
	clock_fake(NULL, NULL);
}

// Starts the path that sim_make made; onto a tape in FD, unless it is -1. What path_start said.
static inline int sim_start(int fd)
{
	if (fd >= 0) {
		sim.tape = tape_writer_new(dup(fd));
		path_tape(sim.path, sim.tape);
	}
	return path_start(sim.path, NULL);
}

static inline void sim_on_replayed(void *arg, int result)
{
	*(int *)arg = result;
}

// Ends what is recorded onto FD and replays it, offline and with what else `options` says: the
// windows are the same. sim is what came out, closed.
static inline void sim_replays_the_same(int fd)
{
	int result = 1;
	struct text dump = sim.dump;
	assert_int_equal(tape_writer_close(sim.tape), 0);
	sim.dump = TEXT(ACCOUNT_BASE);
	sim_close();
	lseek(fd, 0, SEEK_SET);
	sim.options.offline = true;
	assert_true(sim_make());
	struct tape_reader *r = tape_reader_new(fd);
	assert_non_null(r);
	assert_int_equal(path_replay(sim.path, r, sim_on_replayed, &result), 0);
	for (int i = 0; i < 20000 && result > 0; i++)
		loop_turn(sim.loop);
	assert_int_equal(result, 0);
	assert_string_equal(sim.dump.at, dump.at);
	sim_close();
	tape_reader_free(r);
	text_free(&dump);
}

static inline void sim_count(void *arg)
{
	++*(int *)arg;
}

// Ends the capture, which says so once, within so many turns of the loop.
static inline void sim_finish(int turns)
{
	int over = 0;
	path_finish(sim.path, sim_count, &over);
	for (int i = 0; i < turns && !over; i++)
		loop_turn(sim.loop);
	assert_int_equal(over, 1);
}

static inline void sim_nothing_left(void)
{
	assert_int_equal(
	    mem_used(ACCOUNT_PATH) + mem_used(ACCOUNT_PROFILE) + mem_used(ACCOUNT_PROCESS), 0);
}

// END: why the walk over the user stack ended; NEED: what it missed, at the last frame.
static inline void feed_walk(uint32_t pid, uint32_t ppid, uint64_t ticks, const char *comm,
    const uint64_t *user, uint16_t count, uint8_t end, uint8_t need)
{
	struct {
		struct record_sample r;
		uint64_t frames[16];
	} s = {.r = {.head = {.kind = RECORD_SAMPLE, .time_ns = now},
		   .start_ns = ticks * TICK,
		   .value = PERIOD * (sim.every ? sim.every : 1),
		   .pid = pid,
		   .tid = pid,
		   .ppid = ppid,
		   .exec_pages = 1,
		   .mnt_ns = 1,
		   .user_frames = count,
		   .kernel_frames = 1,
		   .walk_end = end,
		   .need = need,
		   .need_at = (uint16_t)(need ? count - 1 : 0)}};
	s.r.head.size = (uint32_t)sizeof(s.r) + 8u * (1u + count);
	text_copy(s.r.comm, COMM_LEN, comm);
	text_copy(s.r.process_comm, COMM_LEN, comm);
	s.frames[0] = 0xffffffff81000010;
	memcpy(s.frames + 1, user, 8u * count);
	sim.fed += sim.every ? sim.every : 1;
	path_record(sim.path, &s.r.head);
}

static inline void feed_stack(uint32_t pid, uint32_t ppid, uint64_t ticks, const char *comm,
    const uint64_t *user, uint16_t count)
{
	feed_walk(pid, ppid, ticks, comm, user, count, WALK_END_COMPLETE, 0);
}

static inline void feed_sample(
    uint32_t pid, uint32_t ppid, uint64_t ticks, const char *comm, uint64_t leaf)
{
	uint64_t frames[] = {leaf, leaf + 0x100, leaf + 0x200};
	feed_stack(pid, ppid, ticks, comm, frames, 3);
}

static inline void feed_exec(uint32_t pid, const char *comm)
{
	struct record_task r = {.head = {.kind = RECORD_EXEC, .size = sizeof(r), .time_ns = now},
	    .pid = pid,
	    .tid = pid};
	text_copy(r.comm, COMM_LEN, comm);
	path_record(sim.path, &r.head);
	struct {
		struct record_mmap m;
		char path[40];
	} m = {.m = {.head = {.kind = RECORD_MMAP, .size = sizeof(m), .time_ns = now},
		   .start = 0x400000,
		   .length = 0x100000,
		   .pid = pid,
		   .inode = 5}};
	m.m.path_len = (uint16_t)snprintf(m.m.path, sizeof(m.path), "/gone/%s", comm);
	path_record(sim.path, &m.m.head);
}

static inline void feed_exit(uint32_t pid, uint64_t ticks)
{
	struct record_task r = {.head = {.kind = RECORD_EXIT, .size = sizeof(r), .time_ns = now},
	    .pid = pid,
	    .tid = pid,
	    .start_ns = ticks * TICK};
	path_record(sim.path, &r.head);
}

static inline void totals_match(void)
{
	struct path_totals t;
	path_totals(sim.path, &t);
	assert_int_equal(sim.samples, sim.fed);
	assert_int_equal(sim.nanoseconds, sim.fed * PERIOD);
	assert_int_equal(t.delivered + t.lost + t.filtered, sim.fed);
}

static inline int sim_setup(void **state)
{
	(void)state;
	memset(&sim, 0, sizeof(sim));
	fakeproc_open();
	char path[128];
	snprintf(path, sizeof(path), "%s/kallsyms", fakeproc_root);
	FILE *f = fopen(path, "w");
	fputs("ffffffff81000000 T _stext\nffffffff81000000 T do_work\nffffffff81000100 T other\n"
	      "ffffffff82000000 T _etext\n",
	    f);
	fclose(f);
	strcpy(sim.wanted_name, "do_work");
	return 0;
}

static inline int sim_teardown(void **state)
{
	(void)state;
	text_free(&sim.dump);
	fakeproc_close();
	return 0;
}
