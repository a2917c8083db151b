// SPDX-License-Identifier: Apache-2.0
// From the FDEs of a window to its rows.
//
//   covered                         the next FDE
//      |--------- gap --------------|== row = row = row ==|
//
// What lies before `covered` is told. A gap shorter than 16 bytes is padding and keeps the last
// row. Of FDEs that overlap the first has its way.
#include "frames.h"
#include "go.h"

#include "../base/base.h"
#include "../wire/wire.h"

#include <errno.h>

#define GAP_MIN 16
#define A_LOOK 256 // rows between two looks at the clock, some 20 us
#define CHECK_NS 50000
#define SCAN_PIECE (32u << 10)	   // code searched at once, some 50 us
#define PROGRAMS_MAX (16ull << 20) // bytes of programs run for a window; the densest seen has 0.5 M

struct rows_job {
	struct source *source;
	uint64_t start, end, covered;
	bool opened, ended;
	struct frames frames;
	struct run run;
	bool running, early;	 // early: its first row begins a byte before it
	uint64_t scan, scan_end; // of a gap: code that is still to be searched
	uint64_t programs;	 // bytes run
	struct rows rows;
	struct wire_gunzip *gunzip; // a compressed .debug_frame
	struct bytes zipped;
	uint64_t zipped_at;
	uint8_t *unzipped;
	uint64_t unzipped_size, unzipped_at;
};

struct rows_job *rows_job_new(struct source *source, uint64_t start)
{
	struct rows_job *job = mem_alloc(ACCOUNT_UNWIND, sizeof(*job));
	if (!job)
		return NULL;
	job->source = source;
	job->start = job->covered = start;
	job->end = start <= UINT64_MAX - WINDOW_BYTES ? start + WINDOW_BYTES : UINT64_MAX;
	return job;
}

void rows_job_free(struct rows_job *job)
{
	if (!job)
		return;
	frames_close(&job->frames);
	bytes_close(&job->zipped);
	wire_gunzip_free(job->gunzip);
	mem_free(job->unzipped);
	rows_clear(&job->rows);
	mem_free(job);
}

const struct rows *rows_job_rows(const struct rows_job *job)
{
	return &job->rows;
}

static int add(struct rows_job *job, uint64_t at, enum rule_kind kind)
{
	return rows_add(
	    &job->rows, (uint32_t)(at - job->start), &(struct rule){.kind = (uint8_t)kind});
}

// Up to TO nothing describes what is there: its rows are made by scan_gap.
static int begin_gap(struct rows_job *job, uint64_t to)
{
	const struct elf_frames *elf = &job->source->elf;
	if (to > job->end)
		to = job->end;
	if (to <= job->covered || to - job->covered < GAP_MIN)
		return 1;
	int r = 0;
	if (job->covered < elf->low || job->covered >= elf->high)
		r = add(job, job->covered, RULE_NONE);
	job->scan = job->covered > elf->low ? job->covered : elf->low;
	job->scan_end = to < elf->high ? to : elf->high;
	if (!r && job->scan < job->scan_end)
		r = add(job, job->scan, job->source->gap);
	job->covered = to;
	return r ? r : 1;
}

static int find_go(struct rows_job *job)
{
	struct source *s = job->source;
	if (!s->go)
		s->go = go_new(s);
	int r = s->go ? go_find(s->go, 0, &s->go_start, &s->go_end) : -errno;
	if (r == 1)
		return -EAGAIN;
	if (r == -ENOMEM)
		return r;
	s->go_sought = true;
	if (r) {
		go_free(s->go);
		s->go = NULL;
		return 1;
	}
	s->gap = rows_source_gap(s);
	return 1;
}

// The row of landmark L at AT begins a byte early if that is returned to without a call, since it
// is looked for as a return address is: one byte before.
static int add_landmark(struct rows_job *job, uint64_t at, const struct landmark *l, uint64_t limit)
{
	// The gap's own row is there.
	uint64_t last = job->start + job->rows.row[job->rows.count - 1].at;
	int r = add(job, at - (l->returned && at > last), l->kind);
	job->scan = limit - at > l->span ? at + l->span : limit;
	if (r == 0 && job->scan < job->scan_end)
		r = add(job, job->scan, job->source->gap);
	return r;
}

static int scan_code(struct rows_job *job, uint64_t limit)
{
	const struct landmark *what, *entered = job->source->entered;
	uint64_t at, end = limit, entry = job->source->entry;
	if (end - job->scan > SCAN_PIECE)
		end = job->scan + SCAN_PIECE;
	int r = rows_source_landmark(job->source, job->scan, end, &at, &what);
	if (r < 0)
		return r;
	if (entered && entry >= job->scan && entry < end && (r == 0 || entry < at)) {
		at = entry;
		what = entered;
		r = 1;
	}
	if (r)
		return add_landmark(job, at, what, limit);
	job->scan = end < limit ? end - LANDMARK_MAX + 1 : end;
	return 0;
}

// A piece of the gap, after which it is time to look at the clock.
static int scan_gap(struct rows_job *job)
{
	const struct source *s = job->source;
	uint64_t limit = job->scan_end;
	int r;
	if (s->go && job->scan >= s->go_start && job->scan < s->go_end) {
		if (limit > s->go_end)
			limit = s->go_end;
		r = go_add(s->go, &job->rows, job->start, &job->scan, limit);
		if (r == 0 && job->scan == s->go_end && job->scan < job->scan_end)
			r = add(job, job->scan, s->gap);
	} else {
		if (s->go && job->scan < s->go_start && limit > s->go_start)
			limit = s->go_start;
		r = scan_code(job, limit);
	}
	if (r == 0 && job->scan >= job->scan_end && job->scan_end < job->covered)
		r = add(job, job->scan_end, RULE_NONE);
	return r ? r : -EAGAIN;
}

// One row. What of it is told already or is not of this window is left out.
static int add_row(struct rows_job *job)
{
	uint64_t from, to;
	struct rule rule;
	job->running = run_next(&job->run, &from, &to, &rule);
	if (!job->running)
		return 1;
	if (from == job->run.fde.begin)
		from -= job->early;
	if (from < job->covered)
		from = job->covered;
	if (to > job->end)
		to = job->end;
	if (from >= to)
		return job->running = to < job->end, 1;
	int r = rows_add(&job->rows, (uint32_t)(from - job->start), &rule);
	job->covered = to;
	return r ? r : 1;
}

// Is this where glibc has a coroutine begin? Nobody called that, though its rows do not say so:
// they are one. 1, 0, -errno.
static int is_coroutine(const struct rows_job *job, const struct fde *fde)
{
	const struct machine *m = job->source->machine;
	const uint8_t *at = fde->program.at;
	int r = 0;
	while (at < fde->program.end && !*at) // DW_CFA_nop
		at++;
	for (unsigned i = 0; i < m->landmark_count && at == fde->program.end && r == 0; i++)
		if (m->landmark[i].kind == RULE_STOP && m->landmark[i].returned &&
		    m->landmark[i].span == fde->end - fde->begin)
			r = rows_source_is(job->source, fde->begin, &m->landmark[i]);
	return r;
}

static int next_fde(struct rows_job *job)
{
	struct fde fde;
	const struct cie *cie;
	int r = frames_next(&job->frames, &fde, &cie);
	if (r <= 0)
		return r;
	if (fde.end <= job->covered)
		return 1;
	job->programs += (uint64_t)(fde.program.end - fde.program.at);
	if (job->programs > PROGRAMS_MAX)
		return -EBADMSG;
	int coroutine = is_coroutine(job, &fde);
	if (coroutine < 0)
		return coroutine;
	run_begin(&job->run, job->source->machine, cie, &fde);
	if (coroutine)
		job->run.state.ra.where = WHERE_UNDEFINED;
	job->running = true;
	// As in scan_code.
	job->early = (cie->signal || coroutine) && fde.begin;
	return begin_gap(job, fde.begin - job->early);
}

static int keep_unzipped(void *arg, const void *bytes, size_t n)
{
	struct rows_job *job = arg;
	if (n > job->unzipped_size - job->unzipped_at)
		return -EBADMSG;
	memcpy(job->unzipped + job->unzipped_at, bytes, n);
	job->unzipped_at += n;
	return 0;
}

static const struct source_part *zipped_part(const struct rows_job *job)
{
	for (unsigned i = 0; i < job->source->part_count; i++)
		if (job->source->part[i].unzipped)
			return &job->source->part[i];
	return NULL;
}

// A piece of the compressed part: 1 more, 0 all of it is there, -errno.
static int unzip(struct rows_job *job, const struct source_part *part)
{
	enum { PIECE = 4096 }; // some 0.1 ms
	if (!job->unzipped) {
		struct wire_sink sink = {keep_unzipped, job};
		job->unzipped_size = part->unzipped;
		job->unzipped = mem_alloc(ACCOUNT_UNWIND, part->unzipped);
		job->gunzip = job->unzipped ? wire_gunzip_new(&sink, part->unzipped) : NULL;
		if (!job->gunzip)
			return -ENOMEM;
		bytes_open(&job->zipped, part->fd, part->image, part->offset, part->size);
	}
	uint64_t left = part->size - job->zipped_at;
	uint32_t n = left < PIECE ? (uint32_t)left : PIECE;
	const uint8_t *bytes = bytes_get(&job->zipped, job->zipped_at, n);
	if (!bytes)
		return job->zipped.error;
	int err = wire_gunzip_feed(job->gunzip, bytes, n);
	job->zipped_at += n;
	if (err || job->zipped_at < part->size)
		return err ? err : 1;
	err = wire_gunzip_finish(job->gunzip);
	bytes_close(&job->zipped);
	wire_gunzip_free(job->gunzip);
	job->gunzip = NULL;
	return err ? err : job->unzipped_at == job->unzipped_size ? 0 : -EBADMSG;
}

static int open_frames(struct rows_job *job)
{
	const struct source_part *zipped = zipped_part(job);
	if (zipped) {
		int r = unzip(job, zipped);
		if (r < 0 && r != -ENOMEM && job->source->part_count > 1)
			job->source->part_count--; // .eh_frame is as sound as before
		else if (r)
			return r;
	}
	job->opened = true;
	int err = frames_open(&job->frames, job->source, job->start, job->end, job->unzipped);
	return err ? err : 1;
}

// A piece of the debug file is read.
static int check_debug(struct rows_job *job)
{
	int r = rows_source_check(job->source, CHECK_NS);
	return r < 0 ? r : -EAGAIN;
}

// 1 more, 0 done, -EAGAIN more and enough for now, -errno.
static int one(struct rows_job *job)
{
	if (job->source->elf.go && !job->source->go_sought)
		return find_go(job);
	if (job->source->unchecked)
		return check_debug(job);
	if (!job->opened)
		return open_frames(job);
	if (job->scan < job->scan_end)
		return scan_gap(job);
	if (job->running)
		return add_row(job);
	if (job->ended)
		return 0;
	int r = next_fde(job);
	if (r)
		return r;
	job->ended = true;
	return begin_gap(job, job->end);
}

int rows_job_step(struct rows_job *job, uint64_t budget_ns)
{
	uint64_t deadline = clock_now() + budget_ns;
	int r;
	do {
		r = 1;
		for (unsigned i = 0; i < A_LOOK && r == 1; i++)
			r = one(job);
		if (r == -EAGAIN)
			r = 1;
	} while (r == 1 && clock_now() < deadline);
	return r;
}
