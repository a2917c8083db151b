// SPDX-License-Identifier: Apache-2.0
// The walker's tables in plain memory, a walker that looks into them, processes and files that a
// test makes up, and rows that say whose they are.
//
// What is published lies in pages that are there, and no page is written twice.
#pragma once
#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <cmocka.h>

#include "../../modules/unwind/private.h"

#define FAKE_PAGES (1u << 16) // more than are there at a time
#define FAKE_FILES 400
#define FAKE_PROCESSES 9000
#define FAKE_MAPPINGS 4
#define FAKE_ROWS_A_SLICE 4000

static uint64_t fake_now = 1000 * NS_PER_S;

static struct fake {
	struct window windows[WINDOWS_MAX];
	struct process_slot slots[PROCESS_SLOTS];
	struct fake_page {
		uint32_t number;
		struct block *blocks;
	} page[PAGE_KINDS][FAKE_PAGES]; // by hash of the number
	struct file *owner[WINDOWS_MAX];
	uint32_t puts, drops, writes, pages[PAGE_KINDS]; // writes: of mappings
	int put_error;
	struct kernel_tables tables;
	struct unwind *u;
	int told;
	uint64_t most; // bytes of all, the most there ever were
} fake;

// Where page NUMBER is, or would be: the first free place.
static inline struct fake_page *fake_place(enum page_kind kind, uint32_t number)
{
	uint32_t i = number % FAKE_PAGES;
	while (fake.page[kind][i].blocks && fake.page[kind][i].number != number)
		i = (i + 1) % FAKE_PAGES;
	return &fake.page[kind][i];
}

static inline struct block *fake_block(enum page_kind kind, uint32_t first, uint32_t block)
{
	uint32_t page = PAGE_OF_BLOCK(kind, block);
	assert_int_equal(page, block / PAGE_BLOCKS(kind));
	struct fake_page *p = fake_place(kind, first + page);
	assert_non_null(p->blocks);
	return p->blocks + block % PAGE_BLOCKS(kind);
}

// All that is published lies in pages that are there.
static inline void fake_look(void)
{
	uint32_t pages[PAGE_KINDS] = {0};
	for (uint32_t i = 0; i < WINDOWS_MAX; i++) {
		uint64_t place = fake.windows[i].place;
		uint32_t blocks = PLACE_INDEX(place) + PLACE_RULES(place) + PLACE_ROWS(place);
		for (uint32_t k = 0; k < blocks; k += ROW_PAGE_BLOCKS, pages[PAGE_ROWS]++)
			fake_block(PAGE_ROWS, PLACE_PAGE(place), k);
	}
	for (uint32_t i = 0; i < PROCESS_SLOTS; i++) {
		uint64_t place = fake.slots[i].place;
		uint32_t blocks = (PLACE_MAPPINGS(place) + 3) / 4;
		for (uint32_t k = 0; k < blocks; k += MAPPING_PAGE_BLOCKS, pages[PAGE_MAPPINGS]++)
			fake_block(PAGE_MAPPINGS, PLACE_PAGE(place), k);
	}
	for (enum page_kind i = 0; i < PAGE_KINDS; i++) {
		assert_true(pages[i] <= fake.pages[i]);
		assert_true(fake.pages[i] <= fake.tables.pages_max[i]);
	}
	uint64_t bytes =
	    fake.tables.fixed_bytes + mem_used(ACCOUNT_MAPS) + mem_used(ACCOUNT_UNWIND);
	fake.most = bytes > fake.most ? bytes : fake.most;
}

static inline int fake_put(
    void *arg, enum page_kind kind, uint32_t page, const struct block *blocks, uint32_t count)
{
	(void)arg;
	struct fake_page *p = fake_place(kind, page);
	assert_in_range(count, 1, PAGE_BLOCKS(kind));
	if (fake.put_error)
		return fake.put_error;
	if (p->blocks)
		return -EEXIST;
	assert_true(fake.pages[kind] < fake.tables.pages_max[kind]);
	p->blocks = calloc(PAGE_BLOCKS(kind), sizeof(*blocks));
	int error = mem_charge(ACCOUNT_MAPS, (int64_t)fake.tables.page_bytes[kind]);
	if (error) {
		free(p->blocks);
		p->blocks = NULL;
		return error;
	}
	p->number = page;
	memcpy(p->blocks, blocks, count * sizeof(*blocks));
	fake.pages[kind]++;
	fake.puts++;
	fake.writes += kind == PAGE_MAPPINGS;
	return 0;
}

static inline void fake_drop(void *arg, enum page_kind kind, uint32_t page)
{
	(void)arg;
	struct fake_page *p = fake_place(kind, page), moved;
	assert_non_null(p->blocks);
	free(p->blocks);
	p->blocks = NULL;
	// Those behind it may have their place before it now.
	for (uint32_t i = (uint32_t)(p - fake.page[kind]);;) {
		i = (i + 1) % FAKE_PAGES;
		moved = fake.page[kind][i];
		if (!moved.blocks)
			break;
		fake.page[kind][i].blocks = NULL;
		*fake_place(kind, moved.number) = moved;
	}
	mem_charge(ACCOUNT_MAPS, -(int64_t)fake.tables.page_bytes[kind]);
	fake.pages[kind]--;
	fake.drops++;
}

static inline void world_clear(void);

static inline void fake_reset(uint64_t memory)
{
	world_clear();
	memset(&fake, 0, sizeof(fake));
	fake.tables = (struct kernel_tables){.windows = fake.windows,
	    .processes = fake.slots,
	    .fixed_bytes = sizeof(fake.windows) + sizeof(fake.slots),
	    .page_bytes = {2048, 512},
	    .pages_max = {(uint32_t)(memory / 2048), (uint32_t)(memory / 4 / 512)},
	    .put = fake_put,
	    .drop = fake_drop};
	clock_fake(&fake_now, NULL);
}

// ---- who runs, and what is mapped --------------------------------------------------------------
struct fake_file {
	struct binary b;
	uint32_t rows; // of each window; 0: the file describes nothing
	bool wide;     // each row with a rule of its own number above 254: six bytes a row
	int error;     // that rows_job_step gives in the end
	int fd_error;  // that binary_fd gives
};
static struct fake_world {
	struct process process[FAKE_PROCESSES]; // by pid
	struct process_mapping mapping[FAKE_PROCESSES][FAKE_MAPPINGS];
	struct process_mapping *many; // of the process `many_pid`
	uint32_t many_pid, many_count;
	uint32_t count[FAKE_PROCESSES];
	struct fake_file file[FAKE_FILES]; // by id
	uint32_t opens, sources, jobs, asked;
} world;

static inline void world_clear(void)
{
	for (uint32_t i = 1; i < FAKE_FILES; i++)
		if (world.file[i].b.fd > 0)
			close(world.file[i].b.fd);
	memset(&world, 0, sizeof(world));
}

// A file with code of MIBS windows from link-time address LOW on, at file offset OFFSET.
static inline struct fake_file *world_file(
    uint32_t id, uint64_t low, uint64_t offset, uint32_t mibs)
{
	struct fake_file *f = &world.file[id];
	if (f->b.fd <= 0)
		f->b.fd = memfd_create("fake", MFD_CLOEXEC);
	assert_int_equal(pwrite(f->b.fd, &id, sizeof(id), 0), sizeof(id));
	f->b.id = id;
	f->b.path = "/fake";
	f->b.facts = (struct elf_facts){.is_64 = true, .exec_count = 1};
	f->b.facts.exec[0] = (struct elf_exec){offset, (uint64_t)mibs << WINDOW_SHIFT, low};
	f->rows = 1000;
	return f;
}

// PID maps file ID, whole, at START, as its Nth mapping; KNOWN: somebody looked at the file before.
static inline void world_map(uint32_t pid, uint32_t n, uint32_t id, uint64_t start, bool known)
{
	const struct elf_exec *x = &world.file[id].b.facts.exec[0];
	world.process[pid] = (struct process){.id = pid + 100000, .pid = pid};
	world.mapping[pid][n] = (struct process_mapping){.start = start,
	    .end = start + ((x->size + 4095) & ~4095ull),
	    .offset = x->offset & ~4095ull,
	    .kind = PLACE_FILE,
	    .binary = known ? id : 0,
	    .path = id};
	if (world.count[pid] <= n)
		world.count[pid] = n + 1;
}

struct process *process_by_pid(struct processes *t, uint32_t pid)
{
	(void)t;
	return pid < FAKE_PROCESSES && world.process[pid].pid ? &world.process[pid] : NULL;
}

const struct process_mapping *process_mappings(
    struct processes *t, struct process *p, uint32_t *count)
{
	(void)t;
	bool many = world.many && p->pid == world.many_pid;
	*count = many ? world.many_count : world.count[p->pid];
	return many ? world.many : world.mapping[p->pid];
}

uint32_t process_mapping_guess(const struct processes *t, const struct process_mapping *m)
{
	(void)t;
	return m->binary;
}

uint32_t process_mapping_binary(struct processes *t, struct process *p, uint64_t address)
{
	(void)t;
	world.asked++;
	for (uint32_t i = 0; i < world.count[p->pid]; i++) {
		struct process_mapping *m = &world.mapping[p->pid][i];
		if (m->start <= address && address < m->end && m->kind == PLACE_FILE)
			return m->binary = m->path;
	}
	return 0;
}

struct binary *binary_by_id(struct processes *t, uint32_t id)
{
	(void)t;
	return id < FAKE_FILES && world.file[id].b.id ? &world.file[id].b : NULL;
}

int binary_fd(struct processes *t, struct binary *b)
{
	(void)t;
	world.opens++;
	return world.file[b->id].fd_error ? world.file[b->id].fd_error : b->fd;
}

int binary_open_beside(struct processes *t, const struct binary *b, const char *path)
{
	(void)t, (void)b, (void)path;
	return -ENOENT;
}

// ---- rows: a rule's cfa is the id of the file, its fp the window's number from the file's low
// ------
struct source {
	uint32_t id; // 0: the vdso
};
struct rows_job {
	struct rows rows;
	uint64_t index; // of the window
	uint32_t id, total;
};

struct source *rows_source_new(int fd, const void *image, size_t size, int debug_fd)
{
	(void)debug_fd;
	uint32_t id = 0;
	assert_true(fd >= 0 || (image && size > 64));
	if (fd >= 0)
		assert_int_equal(pread(fd, &id, sizeof(id), 0), sizeof(id));
	if (id && !world.file[id].rows)
		return errno = ENODATA, NULL;
	struct source *s = mem_alloc(ACCOUNT_UNWIND, sizeof(*s));
	if (s)
		s->id = id;
	world.sources++;
	return s;
}

void rows_source_free(struct source *s)
{
	mem_free(s);
}

struct rows_job *rows_job_new(struct source *source, uint64_t start)
{
	uint64_t low = source->id ? world.file[source->id].b.facts.exec[0].vaddr : start;
	struct rows_job *j = mem_alloc(ACCOUNT_UNWIND, sizeof(*j));
	if (!j)
		return NULL;
	assert_int_equal(start % WINDOW_BYTES, 0);
	world.jobs++;
	*j = (struct rows_job){.id = source->id,
	    .index = (start - (low & ~(uint64_t)(WINDOW_BYTES - 1))) >> WINDOW_SHIFT,
	    .total = source->id ? world.file[source->id].rows : 20};
	return j;
}

// Rows as they come: so many a slice, in an array that doubles.
int rows_job_step(struct rows_job *job, uint64_t budget_ns)
{
	struct rows *r = &job->rows;
	assert_true(budget_ns > 0);
	fake_look();
	fake_now += 50 * NS_PER_US;
	for (uint32_t n = 0; n < FAKE_ROWS_A_SLICE && r->count < job->total; n++) {
		struct rule rule = {.kind = (uint8_t)(RULE_SP + r->count % 2),
		    .cfa = (int32_t)job->id,
		    .fp = (int16_t)job->index};
		if (job->id && world.file[job->id].wide)
			rule.cfa = (int32_t)(r->count % 2000);
		uint32_t at = (uint32_t)((uint64_t)r->count * WINDOW_BYTES / job->total);
		int error = rows_add(r, at, &rule);
		if (error)
			return error;
	}
	fake_look();
	return r->count < job->total ? 1 : job->id ? world.file[job->id].error : 0;
}

const struct rows *rows_job_rows(const struct rows_job *job)
{
	return &job->rows;
}

void rows_job_free(struct rows_job *job)
{
	if (!job)
		return;
	rows_clear(&job->rows);
	mem_free(job);
}

// ---- the walker
// -----------------------------------------------------------------------------------
enum { NO_PROCESS = 100, NO_MAPPING, UNKNOWN, ANON, PLAIN };

// What the walker makes of ADDRESS: one of the above, or the window's state; with rows, whose.
static inline int fake_walk(uint32_t pid, uint32_t mm_id, uint64_t address, struct rule *rule)
{
	uint32_t first = process_hash(pid, mm_id);
	const struct process_slot *slot = NULL;
	for (uint32_t i = 0; i < PROCESS_PROBES && !slot; i++) {
		const struct process_slot *s = &fake.slots[(first + i) % PROCESS_SLOTS];
		if (s->place && s->pid == pid && s->mm_id == mm_id)
			slot = s;
	}
	if (!slot)
		return NO_PROCESS;
	static struct mapping m[MAPPINGS_PER_PROCESS];
	uint32_t n = 0, count = PLACE_MAPPINGS(slot->place);
	for (uint32_t i = 0; i < count; i++) {
		m[i] = ((const struct mapping *)fake_block(PAGE_MAPPINGS, PLACE_PAGE(slot->place),
		    i / MAPPINGS_PER_BLOCK))[i % MAPPINGS_PER_BLOCK];
		assert_true(!i || MAPPING_PAGE(&m[i - 1]) + m[i - 1].pages <= MAPPING_PAGE(&m[i]));
	}
	while (n < count && (address >> 12) - MAPPING_PAGE(&m[n]) >= m[n].pages)
		n++;
	if (n == count)
		return NO_MAPPING;
	if (MAPPING_KIND(&m[n]) != MAPPING_FILE)
		return MAPPING_KIND(&m[n]) == MAPPING_ANON ? ANON : PLAIN;
	if (MAPPING_WINDOW(&m[n]) == WINDOW_UNKNOWN)
		return UNKNOWN;
	uint64_t at =
	    (((address >> 12) - MAPPING_PAGE(&m[n]) + m[n].file_page) << 12) | (address & 4095);
	struct window *w = &fake.windows[MAPPING_WINDOW(&m[n]) + (at >> WINDOW_SHIFT)];
	if (PLACE_STATE(w->place) == WINDOW_ROWS) {
		w->used = (uint32_t)(fake_now / NS_PER_S);
		static struct block blocks[REGION_BLOCKS];
		uint32_t rules = PLACE_RULES(w->place), rows = PLACE_ROWS(w->place);
		for (uint32_t i = 0; i < rules + rows; i++)
			blocks[i] =
			    *fake_block(PAGE_ROWS, PLACE_PAGE(w->place), PLACE_INDEX(w->place) + i);
		*rule = blocks_find(blocks, rules, rows, (uint32_t)at & (WINDOW_BYTES - 1));
	}
	return (int)PLACE_STATE(w->place);
}

static inline void fake_need(uint32_t pid, uint32_t mm_id, uint8_t need, uint64_t address)
{
	uint64_t words[sizeof(struct record_sample) / 8 + 3];
	struct record_sample *r = (struct record_sample *)words;
	*r = (struct record_sample){.head.time_ns = fake_now,
	    .pid = pid,
	    .mm_id = mm_id,
	    .need = need,
	    .need_at = 1,
	    .kernel_frames = 1,
	    .user_frames = 2};
	r->frames[0] = ~0ull;
	r->frames[1] = 0x1000;
	r->frames[2] = address + 1; // a return address
	unwind_need(fake.u, &world.process[pid], r);
}

// A sample of PID at ADDRESS: what it found, and asks for what it missed.
static inline int fake_sample(uint32_t pid, uint32_t mm_id, uint64_t address, struct rule *rule)
{
	int found = fake_walk(pid, mm_id, address, rule);
	if (found == NO_PROCESS)
		fake_need(pid, mm_id, NEED_PROCESS, address);
	else if (found == NO_MAPPING)
		fake_need(pid, mm_id, NEED_MAPPING, address);
	else if (found == UNKNOWN || found == WINDOW_ASK || found == WINDOW_FULL)
		fake_need(pid, mm_id, NEED_WINDOW, address);
	return found;
}

// Steps until there is nothing to do now.
static inline void fake_steps(void)
{
	int n = 0;
	while (unwind_step(fake.u, NS_PER_MS)) {
		fake_look();
		assert_true(++n < 100000);
	}
	fake_look();
}

static inline void fake_pass(uint64_t ns)
{
	fake_look();
	fake_now += ns;
	fake_steps();
}

static inline void fake_busy(void *arg)
{
	(void)arg;
	fake.told++;
}

static inline struct unwind *fake_unwind(uint64_t memory)
{
	fake_reset(memory);
	struct unwind_options options = {
	    .tables = &fake.tables, .memory = memory, .on_busy = fake_busy};
	return fake.u = unwind_new(&options);
}

static inline void fake_end(void)
{
	unwind_free(fake.u);
	fake.u = NULL;
	for (uint32_t i = 0; i < WINDOWS_MAX; i++)
		assert_int_equal(fake.windows[i].place, 0);
	for (uint32_t i = 0; i < PROCESS_SLOTS; i++)
		assert_int_equal(fake.slots[i].place, 0);
	assert_int_equal(fake.puts, fake.drops);
	assert_int_equal(mem_used(ACCOUNT_UNWIND), 0);
	assert_int_equal(mem_used(ACCOUNT_MAPS), 0);
	world_clear();
	clock_fake(NULL, NULL);
}
