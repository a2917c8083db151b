// SPDX-License-Identifier: Apache-2.0
// gorows FILE: the rows of FILE, one a line: address, kind, cfa, fp, how.
// gorows -b FILE...: only figures: rows and time, and bytes as they are encoded for the kernel.
#include "../../modules/base/base.h"
#include "../../modules/unwind/block.h"
#include "../../modules/elf/elf.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct figures {
	uint64_t rows, bytes, most, windows, ns, longest, peak;
};

static void print_rows(const struct rows *r, uint64_t start)
{
	for (uint32_t i = 0; i < r->count; i++) {
		const struct rule *rule = &r->rules[r->row[i].rule];
		printf("%" PRIx64 " %u %d %d %x\n", start + r->row[i].at, rule->kind, rule->cfa,
		    rule->fp, rule->how);
	}
}

static int count(const struct rows *r, struct figures *f)
{
	struct block *blocks;
	uint32_t dictionary, n;
	int err = blocks_encode(r, &blocks, &dictionary, &n);
	if (err)
		return err;
	uint64_t bytes = (uint64_t)(dictionary + n) * BLOCK_BYTES;
	f->rows += r->count;
	f->bytes += bytes;
	if (bytes > f->most)
		f->most = bytes;
	f->windows++;

	mem_free(blocks);
	return 0;
}

static int window(struct source *s, uint64_t start, bool bench, struct figures *f)
{
	uint64_t before = mem_total();
	struct rows_job *job = rows_job_new(s, start);
	int r = job ? 1 : -ENOMEM;
	while (r == 1) {
		uint64_t begin = clock_cpu();
		r = rows_job_step(job, NS_PER_MS);
		uint64_t took = clock_cpu() - begin;
		f->ns += took;
		f->longest = took > f->longest ? took : f->longest;
		if (mem_total() - before > f->peak)
			f->peak = mem_total() - before;
	}
	if (!r && bench)
		r = count(rows_job_rows(job), f);
	else if (!r)
		print_rows(rows_job_rows(job), start);
	rows_job_free(job);
	return r;
}

static int file(const char *path, bool bench)
{
	struct elf_frames frames;
	struct figures f = {};
	int fd = open(path, O_RDONLY | O_CLOEXEC), r = fd < 0 ? -errno : 0;
	struct source *s = NULL;
	if (!r)
		r = elf_frames(fd, NULL, 0, &frames);
	if (!r && !(s = rows_source_new(fd, NULL, 0, -1)))
		r = -errno;
	for (uint64_t at = r ? 0 : frames.low; !r && at < frames.high; at += WINDOW_BYTES)
		r = window(s, at, bench, &f);
	rows_source_free(s);
	close(fd);
	if (!r && mem_used(ACCOUNT_UNWIND) + mem_used(ACCOUNT_ELF))
		r = -ENOTEMPTY;
	if (r)
		fprintf(stderr, "gorows: %s: %s\n", path, strerror(-r));
	else if (bench)
		printf("%s: %" PRIu64 " rows in %" PRIu64 " windows, %" PRIu64
		       " bytes (%.2f a row, %" PRIu64 " a window at most); %.1f ms, %.1f per "
		       "100,000 rows, longest step %.2f; %" PRIu64 " KiB while at it\n",
		    path, f.rows, f.windows, f.bytes, f.rows ? (double)f.bytes / f.rows : 0, f.most,
		    f.ns / 1e6, f.rows ? f.ns / 10.0 / f.rows : 0, f.longest / 1e6, f.peak >> 10);
	return r;
}

int main(int argc, char **argv)
{
	bool bench = argc > 1 && !strcmp(argv[1], "-b");
	int failed = 0;
	for (int i = 1 + bench; i < argc; i++)
		failed |= file(argv[i], bench);
	return failed != 0 || argc < 2 + bench;
}
