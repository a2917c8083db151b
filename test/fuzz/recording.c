// SPDX-License-Identifier: Apache-2.0
// Recordings of any content go through the whole path: it ends, within memory, and every sample
// that it took is in a window. Checksums are made right first, so that the fuzzer comes behind
// them.
#include "../../modules/path/replay.c"
#include "tapes.h"

static int64_t samples;
static int result;

static void on_window(void *arg, enum path_type type, const struct profile *p)
{
	int64_t totals[PROFILE_VALUES_MAX];
	(void)arg;
	profile_totals(p, totals);
	samples += type == PATH_CPU ? totals[0] : 0;
}

static void on_replayed(void *arg, int error)
{
	(void)arg;
	result = error;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct tape_reader *r = tape_reader_new(tape_of(data, size));
	if (!r)
		return 0;
	log_set_level(LOG_LEVEL_ERROR);
	mem_limit(64 << 20);
	samples = 0, result = 1;
	struct loop *loop = loop_new();
	struct proc *proc = proc_new("/nonexistent");
	struct path_options po = {
	    .loop = loop, .proc = proc, .offline = true, .on_window = on_window};
	struct path *p = path_new(&po);
	struct symbol_options so = {
	    .processes = path_processes(p), .cache_size = 1000, .offline = true};
	struct symbol *s = symbol_new(&so);
	path_set_symbol(p, s);
	MUST(!path_replay(p, r, on_replayed, NULL));
	for (int turns = 0; result == 1 && turns < 100000; turns++)
		loop_turn(loop);
	MUST(result == 0 || result == -ENODATA || result == -EBADMSG || result == -EPROTONOSUPPORT);
	struct path_totals t;
	path_totals(p, &t);
	// Without a CPU profile its ticks are in the wall clock's alone.
	MUST(!(p->options.types & 1u << PATH_CPU) || (uint64_t)samples == t.delivered + t.lost);
	path_free_jobs(p);
	symbol_free(s);
	path_free(p);
	tape_reader_free(r);
	proc_free(proc);
	loop_free(loop);
	for (int i = 0; i < ACCOUNT_COUNT; i++)
		MUST(i == ACCOUNT_LIBRARY || mem_used((enum account)i) == 0);
	return 0;
}
