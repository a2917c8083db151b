// SPDX-License-Identifier: Apache-2.0
// The format is the kernel's tools/perf/Documentation/jit-interface.txt, "START SIZE name", as the
// runtimes really write it: with and without 0x, in any case and order, again and again for the
// same addresses. A later line speaks of newer code, so it wins. Nothing of the file is kept: a
// pass remembers for each address the line that last covered it, and reads that line again at the
// end.
#include "perfmap.h"

#include "../base/base.h"
#include "perfmap_file.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#define CHUNK 65536u
#define PATH_SIZE 256
#define NAME_READ 2048 // of a line, at the end
// Addresses that lines cover, in one pass: a map where every line covers everything ends there.
#define COVER_MAX (16u << 20)

struct hit {
	uint64_t start, end; // of the line that covers the address; end 0: none does
	uint64_t line;	     // its offset in the file
	uint64_t low, high;  // the gap around the address where none does
	bool interpreted;
};

struct perfmap {
	struct perfmap_options o;
	int fd;
	uint32_t pid;
	uint64_t limit;	     // read so far
	uint64_t known;	     // lines before were seen by an earlier pass
	uint64_t at;	     // file offset of buffer[0]
	uint64_t tail_start; // 0, or where a pass over the tail only began
	uint32_t have, pos;
	uint64_t good, bad, covered;
	uint32_t answered;
	bool skipping, openj9, announced, read_all;
	struct map_seen seen;
	struct hit *hits;
	char path[PATH_SIZE];
	char buffer[CHUNK];
};

// Is the file the one that was read before? Then its lines up to there are known, and where no
// address is new only the rest is read.
static void start_at(struct perfmap *m, uint64_t size)
{
	if (perfmap_continues(m->fd, &m->o.seen, &m->seen, size)) {
		m->known = m->o.seen.offset;
		if (!m->o.fresh)
			m->at = m->tail_start = m->known;
	}
	m->limit = size;
	// Of too many lines the last are read: a name from the first may be that of older code.
	if (size - m->at > m->o.bytes_max) {
		log_seldom(LOG_LEVEL_WARN,
		    "%s of process %u: of %llu bytes only the last %llu are read", m->path, m->pid,
		    (unsigned long long)size, (unsigned long long)m->o.bytes_max);
		count_add(COUNT_JIT_BAD, 1);
		m->at = size - m->o.bytes_max;
		m->skipping = true; // what is left of a line
		if (m->at > m->known)
			m->o.changed(m->o.arg, 0, UINT64_MAX);
	}
	m->seen.offset = m->at;
	m->announced = m->o.seen.ino != 0; // told at the first reading
}

struct perfmap *perfmap_new(const struct perfmap_options *options)
{
	char path[PATH_SIZE];
	struct map_seen now;
	uint64_t size;
	uint32_t pid = options->process->pid;
	// First, because an allocation may make the process table drop the process.
	int fd = perfmap_open(options->process, options->paths, path, sizeof(path), &now, &size);
	if (fd < 0)
		return errno = -fd, NULL;
	struct perfmap *m = mem_alloc(ACCOUNT_SYMBOL, sizeof(*m));
	struct hit *hits = mem_alloc(ACCOUNT_SYMBOL, options->count * sizeof(*hits));
	if (!m || !hits) {
		close(fd);
		mem_free(m);
		mem_free(hits);
		return errno = ENOMEM, NULL;
	}
	m->o = *options;
	m->o.process = NULL;
	m->pid = pid;
	m->fd = fd;
	m->seen = now;
	m->hits = hits;
	memcpy(m->path, path, sizeof(path));
	for (uint32_t i = 0; i < options->count; i++)
		hits[i].high = UINT64_MAX;
	start_at(m, size);
	return m;
}

void perfmap_free(void *map)
{
	struct perfmap *m = map;
	if (!m)
		return;
	close(m->fd);
	mem_free(m->hits);
	mem_free(m);
}

struct map_seen perfmap_seen(const struct perfmap *m)
{
	return m->seen;
}

// The lowest of our addresses that is not below ADDRESS.
static uint32_t first_from(const struct perfmap *m, uint64_t address)
{
	uint32_t low = 0, high = m->o.count;
	while (low < high) {
		uint32_t mid = low + (high - low) / 2;
		if (m->o.addresses[mid] >= address)
			high = mid;
		else
			low = mid + 1;
	}
	return low;
}

// The newer line [start, end) takes its part away from older ones that cover our addresses beside
// it. What an older line covers beyond the nearest address, it covers at that address too.
static void trim_neighbours(
    struct perfmap *m, uint32_t from, uint32_t to, uint64_t start, uint64_t end)
{
	for (uint32_t i = from; i-- > 0 && m->hits[i].end > start; m->covered++)
		m->hits[i].end = start;
	for (uint32_t i = to; i < m->o.count && m->hits[i].end && m->hits[i].start < end;
	     i++, m->covered++)
		m->hits[i].start = end;
}

static void take_entry(struct perfmap *m, const struct perfmap_entry *e, uint64_t line)
{
	uint32_t from = first_from(m, e->start), to = from;
	for (; to < m->o.count && m->o.addresses[to] < e->end; to++) {
		struct hit *h = &m->hits[to];
		uint64_t at = m->o.addresses[to];
		if (!e->interpreted)
			*h = (struct hit){e->start, e->end, line, h->low, h->high, false};
		else if (!h->end || h->interpreted)
			*h = (struct hit){at, at + 1, line, h->low, h->high, true};
	}
	m->covered += to - from;
	if (from && e->start < m->hits[from - 1].high)
		m->hits[from - 1].high = e->start;
	if (to < m->o.count && e->end > m->hits[to].low)
		m->hits[to].low = e->end;
	if (!e->interpreted)
		trim_neighbours(m, from, to, e->start, e->end);
}

static void take_line(struct perfmap *m, const char *line, size_t n, uint64_t offset)
{
	struct perfmap_entry e;
	bool blank = !n || (n == 1 && *line == '\r'), sense = perfmap_line(line, n, &e);
	if (offset >= m->known) {
		m->good += sense;
		m->bad += !sense && !blank;
	}
	if (!sense)
		return;
	m->openj9 |= e.openj9;
	if (offset >= m->known && !e.interpreted)
		m->o.changed(m->o.arg, e.start, e.end);
	take_entry(m, &e, offset);
}

// Moves what is left of the buffer to its front and reads on. False at the end of the map.
static bool read_on(struct perfmap *m)
{
	m->at += m->pos;
	m->have -= m->pos;
	memmove(m->buffer, m->buffer + m->pos, m->have);
	m->pos = 0;
	if (m->have == CHUNK) { // no line is so long
		m->bad += !m->skipping;
		m->skipping = true;
		m->at += m->have;
		m->have = 0;
	}
	uint64_t from = m->at + m->have, want = CHUNK - m->have;
	if (from >= m->limit || m->covered > COVER_MAX)
		return false;
	want = m->limit - from < want ? m->limit - from : want;
	ssize_t n = pread(m->fd, m->buffer + m->have, want, (off_t)from);
	if (n <= 0)
		return n < 0 && errno == EINTR;
	m->have += (uint32_t)n;
	return true;
}

static void announce(struct perfmap *m)
{
	if (m->announced)
		return;
	m->announced = true;
	if (m->openj9)
		log_info("Loading JIT perf-map for OpenJ9 Java process: %s", m->path);
	else
		log_info("Loading JIT perf-map for process %u: %s", m->pid, m->path);
}

static void all_read(struct perfmap *m)
{
	announce(m);
	m->read_all = true;
	m->seen.tail = perfmap_tail(m->fd, m->seen.offset);
	count_add(COUNT_JIT_SYMBOLS, m->good);
	count_add(COUNT_JIT_BAD, m->bad);
	if (!m->o.seen.ino)
		log_info(
		    "Found %llu JIT symbols for process %u", (unsigned long long)m->good, m->pid);
	// The gaps: what ends below an address ends below those above it too.
	for (uint32_t i = 1; i < m->o.count; i++)
		if (m->hits[i - 1].low > m->hits[i].low)
			m->hits[i].low = m->hits[i - 1].low;
	for (uint32_t i = m->o.count; i-- > 1;)
		if (m->hits[i].high < m->hits[i - 1].high)
			m->hits[i - 1].high = m->hits[i].high;
}

// Takes the lines of the buffer until the deadline; false when it has passed.
static bool take_lines(struct perfmap *m, uint64_t deadline)
{
	uint64_t mark = m->covered;
	for (uint32_t lines = 0;; lines++) {
		char *line = m->buffer + m->pos;
		char *newline = memchr(line, '\n', m->have - m->pos);
		if (!newline || m->covered > COVER_MAX)
			return true;
		if (!m->skipping)
			take_line(m, line, (size_t)(newline - line), m->at + m->pos);
		m->skipping = false;
		m->pos += (uint32_t)(newline - line) + 1;
		m->seen.offset = m->at + m->pos;
		if (lines % 128 == 127 || m->covered - mark > 4096) {
			mark = m->covered;
			if (clock_now() >= deadline)
				return false;
		}
	}
}

static void answer(struct perfmap *m, uint32_t i)
{
	const struct hit *h = &m->hits[i];
	struct elf_symbol symbol = {.start = h->start, .end = h->end};
	char name[512], line[NAME_READ];
	struct perfmap_entry e;
	if (m->covered > COVER_MAX) {
		symbol = (struct elf_symbol){0}; // later lines were not read
	} else if (!h->end) {
		// A pass over the tail knows nothing of the gaps between earlier lines.
		if (!m->tail_start) {
			symbol.start = h->low;
			symbol.end = h->high;
		}
	} else {
		ssize_t n = pread(m->fd, line, sizeof(line), (off_t)h->line);
		const char *newline = n > 0 ? memchr(line, '\n', (size_t)n) : NULL;
		size_t len = newline ? (size_t)(newline - line) : n > 0 ? (size_t)n : 0;
		// The file may have been written anew since: another line names another function.
		if (perfmap_line(line, len, &e) && e.start <= m->o.addresses[i] &&
		    e.end > m->o.addresses[i] && e.start <= h->start && e.end >= h->end) {
			perfmap_name(&e, name, sizeof(name));
			symbol.name = name;
		} else {
			symbol = (struct elf_symbol){0};
		}
	}
	m->o.found(m->o.arg, i, &symbol);
}

int perfmap_step(void *map, uint64_t budget_ns)
{
	struct perfmap *m = map;
	uint64_t deadline = clock_now() + budget_ns;
	while (!m->read_all) {
		if (!take_lines(m, deadline))
			return 1;
		if (m->good)
			announce(m);
		if (!read_on(m))
			all_read(m);
		if (clock_now() >= deadline)
			return 1;
	}
	while (m->answered < m->o.count) {
		answer(m, m->answered++);
		if (m->answered % 16 == 0 && clock_now() >= deadline)
			return 1;
	}
	return 0;
}
