// SPDX-License-Identifier: Apache-2.0
// The walker's tables (bpf/tables.bpf.h): two arrays that stay mapped, and two hashes of pages.
//
//   windows, process_slots     mapped while the kernel room lives
//   row_pages, mapping_pages   a page is an element: made and let go by one system call each
//
// No call waits for the walks that run: that can take seconds on a busy machine, and does where
// maps lie in a map. The kernel frees an element when no walk can have it any more.
#include "private.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/bpf.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "telegen.skel.h"

#define BUCKET_BYTES 16u // of a hash; it has a power of two of them
#define MAPPINGS_PART 4	 // of unwind.memory that mappings may take
// Where all pages are there from the start: so much is for windows, slots and what user space keeps
// of them; of the rest, in eighths, pages. Two are left for building.
#define OTHERS_BYTES (320u << 10)
#define ROWS_EIGHTHS 5
#define MAPPINGS_EIGHTHS 1
#define CACHED_PAGES 6 // that the kernel keeps for whoever makes or lets go one

static uint64_t page_bytes(enum page_kind kind)
{
	return PAGE_BLOCKS(kind) * BLOCK_BYTES + PAGE_OVERHEAD;
}

// Does the kernel let a perf event's program have a hash whose elements come and go (6.1)? It is
// refused before the program is looked at.
static bool pages_may_come(void)
{
	LIBBPF_OPTS(bpf_map_create_opts, options, .map_flags = BPF_F_NO_PREALLOC);
	int map = bpf_map_create(BPF_MAP_TYPE_HASH, "telegen_probe", 4, BLOCK_BYTES, 1, &options);
	const struct bpf_insn program[] = {
	    {.code = BPF_LD | BPF_DW | BPF_IMM,
		.dst_reg = 1,
		.src_reg = BPF_PSEUDO_MAP_FD,
		.imm = map},
	    {},
	    {.code = BPF_ALU64 | BPF_MOV | BPF_K},
	    {.code = BPF_JMP | BPF_EXIT},
	};
	int fd = map < 0 ? -1
			 : bpf_prog_load(BPF_PROG_TYPE_PERF_EVENT, NULL, "GPL", program,
			       sizeof(program) / sizeof(*program), NULL);
	if (map >= 0)
		close(map);
	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

static struct bpf_map *map_of(const struct kernel *k, enum page_kind kind)
{
	return kind == PAGE_ROWS ? k->bpf->maps.row_pages : k->bpf->maps.mapping_pages;
}

static uint32_t pages_wanted(const struct kernel *k, enum page_kind kind)
{
	uint64_t bytes = k->options.unwind_memory;
	if (bytes > TABLES_MAX)
		bytes = TABLES_MAX;
	if (k->tables.fixed)
		bytes = (bytes > OTHERS_BYTES ? bytes - OTHERS_BYTES : 0) / 8 *
			(kind == PAGE_ROWS ? ROWS_EIGHTHS : MAPPINGS_EIGHTHS);
	else if (kind == PAGE_MAPPINGS)
		bytes /= MAPPINGS_PART;
	bytes /= page_bytes(kind);
	return bytes ? (uint32_t)bytes : 1;
}

void table_sizes(struct kernel *k)
{
	struct telegen_bpf *b = k->bpf;
	bool wanted = k->options.unwind_memory > 0;
	b->rodata->use_tables = wanted;
	k->tables.fixed = !wanted || k->options.no_loop || !pages_may_come();
	for (enum page_kind i = 0; i < PAGE_KINDS; i++) {
		bpf_map__set_max_entries(map_of(k, i), pages_wanted(k, i));
		if (!k->tables.fixed)
			bpf_map__set_map_flags(map_of(k, i), BPF_F_NO_PREALLOC);
	}
	if (wanted)
		return;
	bpf_map__set_max_entries(b->maps.windows, 1);
	bpf_map__set_max_entries(b->maps.process_slots, 1);
	bpf_map__set_max_entries(b->maps.recent_rows, 1);
}

// A hash without its elements, which fdinfo of many kernels tells as if all were there; and what
// the kernel's allocator keeps ready: one for each CPU that could be, and more where they are used.
static uint64_t pages_cost(const struct kernel *k, enum page_kind kind)
{
	uint64_t buckets = 1, pages = pages_wanted(k, kind);
	while (buckets < pages)
		buckets *= 2;
	if (!k->tables.fixed)
		pages = k->possible + CACHED_PAGES;
	return buckets * BUCKET_BYTES + pages * page_bytes(kind);
}

uint64_t table_cost(const struct kernel *k, const struct bpf_map *map)
{
	for (enum page_kind i = 0; i < PAGE_KINDS; i++)
		if (map == map_of(k, i))
			return pages_cost(k, i);
	return map_cost(bpf_map__fd(map));
}

static int charge(struct kernel *k, enum page_kind kind, int sign)
{
	int64_t bytes = k->tables.fixed ? 0 : sign * (int64_t)page_bytes(kind);
	int error = mem_charge(ACCOUNT_MAPS, bytes);
	if (!error)
		k->map_bytes += (uint64_t)bytes;
	return error;
}

static int put_page(
    void *arg, enum page_kind kind, uint32_t page, const struct block *blocks, uint32_t count)
{
	struct kernel *k = arg;
	if (!count || count > PAGE_BLOCKS(kind))
		return -EINVAL;
	int error = charge(k, kind, 1);
	if (error)
		return error;
	struct block value[ROW_PAGE_BLOCKS] = {};
	memcpy(value, blocks, count * sizeof(*value));
	if (bpf_map_update_elem(bpf_map__fd(map_of(k, kind)), &page, value, BPF_NOEXIST)) {
		error = errno == E2BIG ? -ENOSPC : -errno;
		charge(k, kind, -1);
	}
	return error;
}

static void drop_page(void *arg, enum page_kind kind, uint32_t page)
{
	struct kernel *k = arg;
	if (bpf_map_delete_elem(bpf_map__fd(map_of(k, kind)), &page))
		log_warn("page %u of unwind tables: not taken out: %s", page, strerror(errno));
	else
		charge(k, kind, -1);
}

static void *map_array(const struct kernel *k, const struct bpf_map *map, size_t bytes)
{
	size_t size = (bytes + k->page - 1) / k->page * k->page;
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, bpf_map__fd(map), 0);
	return p == MAP_FAILED ? NULL : p;
}

static void unmap_array(const struct kernel *k, void *p, size_t bytes)
{
	if (p)
		munmap(p, (bytes + k->page - 1) / k->page * k->page);
}

#define WINDOWS_BYTES (WINDOWS_MAX * sizeof(struct window))
#define PROCESSES_BYTES (PROCESS_SLOTS * sizeof(struct process_slot))

int table_open(struct kernel *k)
{
	struct tables *t = &k->tables;
	if (!k->options.unwind_memory)
		return 0;
	t->windows = map_array(k, k->bpf->maps.windows, WINDOWS_BYTES);
	if (t->windows)
		t->processes = map_array(k, k->bpf->maps.process_slots, PROCESSES_BYTES);
	return t->processes ? 0 : -errno;
}

void table_close(struct kernel *k)
{
	struct tables *t = &k->tables;
	unmap_array(k, t->windows, WINDOWS_BYTES);
	unmap_array(k, t->processes, PROCESSES_BYTES);
	*t = (struct tables){};
}

int kernel_tables(struct kernel *k, struct kernel_tables *tables)
{
	const struct tables *t = &k->tables;
	if (!t->processes)
		return -EOPNOTSUPP;
	*tables = (struct kernel_tables){.windows = t->windows,
	    .processes = t->processes,
	    .fixed_bytes = map_cost(bpf_map__fd(k->bpf->maps.windows)) +
			   map_cost(bpf_map__fd(k->bpf->maps.process_slots)),
	    .put = put_page,
	    .drop = drop_page,
	    .arg = k};
	for (enum page_kind i = 0; i < PAGE_KINDS; i++) {
		tables->fixed_bytes += pages_cost(k, i);
		tables->page_bytes[i] = t->fixed ? 0 : page_bytes(i);
		tables->pages_max[i] = pages_wanted(k, i);
	}
	return 0;
}
