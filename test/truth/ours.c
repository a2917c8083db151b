// SPDX-License-Identifier: Apache-2.0
#include "ours.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../../modules/base/base.h"
#include "../../modules/elf/elf.h"
#include "../walker.h"

#define PAGE 4096u
#define MM_ID 7
#define EXECS 512

struct file {
	char path[256];
	uint64_t inode;
	int fd;
	void *image; // the vdso
	struct elf_facts facts;
	struct source *source; // NULL: frame pointers are all there is
	uint64_t low;	       // of its first window
	uint32_t window, windows;
	bool code; // an ELF file of this machine
};

struct ours {
	struct tables *tables;
	struct rows_job *jobs[WINDOWS_MAX]; // done ones: they hold the rows
	struct file *of[WINDOWS_MAX];
	struct file **files;
	uint32_t file_count, next_window;
	struct ours_figures figures;
	struct rows restorer;
	uint32_t restorer_window;
	struct mapping map[EXECS]; // of the process that was looked at last
	uint32_t map_count;
	struct published {
		pid_t pid;
		uint64_t hash;
	} published[PROCESS_SLOTS];
	uint32_t published_count;
};

struct ours *ours_new(void)
{
	struct ours *o = calloc(1, sizeof(*o));
	if (!o || !(o->tables = calloc(1, sizeof(*o->tables))))
		abort();
	return o;
}

void ours_free(struct ours *o)
{
	if (!o)
		return;
	for (uint32_t i = 0; i < o->next_window; i++)
		rows_job_free(o->jobs[i]);
	for (uint32_t i = 0; i < o->file_count; i++) {
		rows_source_free(o->files[i]->source);
		free(o->files[i]->image);
		if (o->files[i]->fd >= 0)
			close(o->files[i]->fd);
		free(o->files[i]);
	}
	free(o->files);
	rows_clear(&o->restorer);
	tables_free(o->tables);
	free(o);
}

const char *ours_label(enum walk_end end)
{
	static const char *const labels[] = {[WALK_END_NONE] = "none",
#define X(id, label, text) [WALK_END_##id] = label,
	    WALK_ENDS(X)
#undef X
	};
	return end < WALK_END_COUNT ? labels[end] : "?";
}

static void describe(struct ours *o, struct file *f, size_t image_size)
{
	struct elf_frames frames;
	int rc = elf_frames(f->fd, f->image, image_size, &frames);
	if (rc)
		return;
	f->code = true;
	f->low = frames.low & ~(uint64_t)(WINDOW_BYTES - 1);
	f->source = rows_source_new(f->fd, f->image, image_size, -1);
	if (!f->source && errno != ENODATA)
		fprintf(stderr, "walktruth: %s: %s\n", f->path, strerror(errno));
	f->windows = (uint32_t)((frames.high - f->low + WINDOW_BYTES - 1) >> WINDOW_SHIFT);
	if (o->next_window + f->windows > WINDOWS_MAX) {
		fprintf(stderr, "walktruth: too many windows\n");
		exit(1);
	}
	f->window = o->next_window;
	for (uint32_t i = 0; i < f->windows; i++) {
		o->of[f->window + i] = f;
		if (!f->source)
			tables_state(o->tables, f->window + i, WINDOW_FRAME);
	}
	o->next_window += f->windows;
	o->figures.files++;
}

static struct file *file_of(struct ours *o, struct target *t, const struct area *m)
{
	for (uint32_t i = 0; i < o->file_count; i++)
		if (o->files[i]->inode == m->inode && !strcmp(o->files[i]->path, m->path))
			return o->files[i];
	struct file *f = calloc(1, sizeof(*f));
	o->files = realloc(o->files, (o->file_count + 1) * sizeof(*o->files));
	if (!f || !o->files)
		abort();
	o->files[o->file_count++] = f;
	strcpy(f->path, m->path);
	f->inode = m->inode;
	f->fd = -1;
	size_t size = m->end - m->start;
	if (!strcmp(m->path, "[vdso]")) {
		f->image = malloc(size);
		if (!f->image || target_read(t, m->start, f->image, size))
			return f;
	} else {
		f->fd = open(m->path, O_RDONLY | O_CLOEXEC);
		if (f->fd < 0 || elf_facts(f->fd, &f->facts))
			return f;
	}
	describe(o, f, size);
	return f;
}

// Link-time address of the start of M, which may lie below its segment's own offset.
static int vaddr_of(const struct file *f, const struct area *m, uint64_t *vaddr)
{
	if (f->image) {
		*vaddr = 0;
		return 0;
	}
	for (uint32_t i = 0; i < f->facts.exec_count; i++) {
		const struct elf_exec *e = f->facts.exec + i;
		uint64_t low = e->offset & ~(uint64_t)(PAGE - 1);
		if (m->offset >= low && m->offset < e->offset + e->size) {
			*vaddr = e->vaddr - e->offset + m->offset;
			return 0;
		}
	}
	return -1;
}

// Rows for qemu's way back from a signal, as a kernel's vdso has them.
static uint32_t restorer_window(struct ours *o)
{
	o->restorer_window = o->next_window++;
	rows_add(&o->restorer, 0, &(struct rule){.kind = RULE_NONE});
	rows_add(&o->restorer, PAGE - 1, &(struct rule){.kind = RULE_SIGNAL});
	rows_add(&o->restorer, PAGE + 8, &(struct rule){.kind = RULE_NONE});
	tables_rows(o->tables, o->restorer_window, &o->restorer);
	return o->restorer_window;
}

static void add_mapping(struct ours *o, struct target *t, const struct area *m)
{
	struct mapping *to = o->map + o->map_count++;
	uint32_t kind = MAPPING_ANON, window = 0, file_page = 0;
	if (!strcmp(m->path, QEMU_RESTORER)) {
		kind = MAPPING_FILE;
		window = restorer_window(o);
	}
	if (m->path[0] && (m->inode || !strcmp(m->path, "[vdso]"))) {
		const struct file *f = file_of(o, t, m);
		uint64_t vaddr;
		kind = MAPPING_PLAIN;
		if (f->code && !vaddr_of(f, m, &vaddr) && vaddr >= f->low) {
			kind = MAPPING_FILE;
			window = f->window;
			file_page = (uint32_t)((vaddr - f->low) / PAGE);
		}
	}
	to->start = MAPPING_START(m->start / PAGE, kind, window);
	to->pages = (uint32_t)((m->end - m->start) / PAGE);
	to->file_page = file_page;
}

int ours_maps(struct ours *o, struct target *t)
{
	o->map_count = 0;
	for (uint32_t i = 0; i < t->map_count && o->map_count < EXECS; i++)
		if (t->maps[i].exec)
			add_mapping(o, t, t->maps + i);
	struct published *p = o->published;
	while (p < o->published + o->published_count && p->pid != t->pid)
		p++;
	if (p == o->published + PROCESS_SLOTS)
		return -1;
	if (p == o->published + o->published_count)
		o->published_count++;
	else if (p->hash == t->maps_hash)
		return 0;
	*p = (struct published){.pid = t->pid, .hash = t->maps_hash};
	return tables_process(
	    o->tables, t->pid ? (uint32_t)t->pid : 1, MM_ID, o->map, o->map_count);
}

int ours_mapping(struct ours *o, const struct target *t, uint64_t pc, struct mapping *m)
{
	(void)t;
	for (uint32_t i = 0; i < o->map_count; i++)
		if (pc / PAGE - MAPPING_PAGE(o->map + i) < o->map[i].pages) {
			*m = o->map[i];
			return 0;
		}
	return -1;
}

static bool locate(const struct ours *o, uint64_t pc, uint32_t *window, uint32_t *at)
{
	for (uint32_t i = 0; i < o->map_count; i++) {
		const struct mapping *m = o->map + i;
		if (pc / PAGE - MAPPING_PAGE(m) >= m->pages || MAPPING_KIND(m) != MAPPING_FILE)
			continue;
		uint64_t in = pc - MAPPING_PAGE(m) * PAGE + (uint64_t)m->file_page * PAGE;
		*window = MAPPING_WINDOW(m) + (uint32_t)(in >> WINDOW_SHIFT);
		*at = (uint32_t)(in & (WINDOW_BYTES - 1));
		return *window < o->next_window;
	}
	return false;
}

const struct rows *ours_rows(
    struct ours *o, const struct target *t, uint64_t pc, uint32_t *window, uint32_t *at)
{
	(void)t;
	if (!locate(o, pc, window, at))
		return NULL;
	if (o->restorer.count && *window == o->restorer_window)
		return &o->restorer;
	if (!o->jobs[*window])
		return NULL;
	return rows_job_rows(o->jobs[*window]);
}

// The rows of one window, in one go. True when something was loaded.
static bool load(struct ours *o, uint64_t pc)
{
	uint32_t window, at;
	if (!locate(o, pc, &window, &at) || o->tables->windows[window].place)
		return false;
	const struct file *f = o->of[window];
	uint64_t start = f->low + ((uint64_t)(window - f->window) << WINDOW_SHIFT);
	struct rows_job *job = rows_job_new(f->source, start);
	int rc = job ? 1 : -errno;
	while (rc == 1)
		rc = rows_job_step(job, 1000000);
	const struct rows *rows = rc ? NULL : rows_job_rows(job);
	if (!rows || tables_rows(o->tables, window, rows)) {
		fprintf(stderr, "walktruth: %s: no rows for %lx: %s\n", f->path,
		    (unsigned long)start, strerror(-rc));
		tables_state(o->tables, window, WINDOW_FRAME);
		o->figures.failed++;
		rows_job_free(job);
		return true;
	}
	o->jobs[window] = job;
	uint64_t place = o->tables->windows[window].place;
	o->figures.windows++;
	o->figures.rows += rows->count;
	o->figures.blocks += PLACE_RULES(place) + PLACE_ROWS(place);
	return true;
}

static int read_target(void *arg, uint64_t address, void *to, size_t size)
{
	struct target *t = arg;
	if (target_read(t, address, to, size))
		return -1;
	for (size_t i = 0; t->on_read && i + 8 <= size; i += 8) {
		uint64_t word;
		memcpy(&word, (char *)to + i, 8);
		t->on_read(t->on_read_arg, address + i, word);
	}
	return 0;
}

enum walk_end ours_walk(struct ours *o, struct target *t, struct stack *s)
{
	struct walker_input in = {
	    .tables = o->tables,
	    .arm64 = t->machine == EM_AARCH64,
	    .pid = t->pid ? (uint32_t)t->pid : 1,
	    .mm_id = MM_ID,
	    .frames_max = STACK_MAX,
	    .read = read_target,
	    .arg = t,
	};
	struct walked w;
	memcpy(in.reg, t->reg, sizeof(in.reg));
	for (int i = 0; i < 10000; i++) {
		walker_walk(&in, &w);
		if (!w.need_window || w.need_at >= w.count)
			break;
		uint64_t pc = w.pc[w.need_at];
		if (!load(o, pc - (w.need_at && !w.exact[w.need_at])) && !load(o, pc))
			break;
	}
	s->count = w.count;
	memcpy(s->pc, w.pc, w.count * sizeof(*w.pc));
	memcpy(s->exact, w.exact, w.count * sizeof(*w.exact));
	s->end = ours_label(w.end);
	s->complete = w.end == WALK_END_COMPLETE;
	return w.end;
}

void ours_figures(const struct ours *o, struct ours_figures *f)
{
	*f = o->figures;
}
