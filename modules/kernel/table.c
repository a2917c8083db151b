// SPDX-License-Identifier: Apache-2.0
// The walker's tables (bpf/tables.bpf.h): two arrays that stay mapped, and chunks.
//
//   windows, process_slots  mapped while the kernel room lives
//   chunks                  outer array of descriptors; a chunk is made, put in, taken out again
//
// A chunk is mapped for each write only: what stays mapped counts as resident memory, and one write
// through a mapping costs a fifth of the system call for as many elements.
#include "private.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "telegen.skel.h"

#define CHUNK_BYTES ((size_t)CHUNK_BLOCKS * BLOCK_BYTES)

static uint32_t chunks_wanted(const struct kernel *k)
{
	uint64_t n = (k->options.unwind_memory + CHUNK_BYTES - 1) / CHUNK_BYTES;
	return !n ? 1 : n < CHUNKS_MAX ? (uint32_t)n : CHUNKS_MAX;
}

void table_sizes(struct kernel *k)
{
	struct telegen_bpf *b = k->bpf;
	bool wanted = k->options.unwind_memory > 0;
	b->rodata->use_tables = wanted;
	bpf_map__set_max_entries(b->maps.chunks, chunks_wanted(k));
	if (wanted)
		return;
	bpf_map__set_max_entries(b->maps.windows, 1);
	bpf_map__set_max_entries(b->maps.process_slots, 1);
}

// As bpf/tables.bpf.h declares it, or the outer map refuses it.
static int make_chunk(void)
{
	LIBBPF_OPTS(bpf_map_create_opts, options, .map_flags = BPF_F_MMAPABLE);
	int fd = bpf_map_create(BPF_MAP_TYPE_ARRAY, "telegen_chunk", sizeof(uint32_t), BLOCK_BYTES,
	    CHUNK_BLOCKS, &options);
	return fd < 0 ? -errno : fd;
}

static int open_chunk(void *arg, uint32_t chunk)
{
	struct kernel *k = arg;
	struct tables *t = &k->tables;
	if (chunk >= t->chunks_max || t->fds[chunk] >= 0)
		return -EINVAL;
	int error = mem_charge(ACCOUNT_MAPS, (int64_t)t->chunk_bytes);
	if (error)
		return error;
	int fd = make_chunk();
	error = fd < 0 ? fd : 0;
	if (!error && bpf_map_update_elem(bpf_map__fd(k->bpf->maps.chunks), &chunk, &fd, BPF_ANY))
		error = -errno;
	if (error) {
		if (fd >= 0)
			close(fd);
		mem_charge(ACCOUNT_MAPS, -(int64_t)t->chunk_bytes);
		return error;
	}
	t->fds[chunk] = fd;
	k->map_bytes += t->chunk_bytes;
	return 0;
}

static void close_chunk(void *arg, uint32_t chunk)
{
	struct kernel *k = arg;
	struct tables *t = &k->tables;
	if (chunk >= t->chunks_max || t->fds[chunk] < 0)
		return;
	if (bpf_map_delete_elem(bpf_map__fd(k->bpf->maps.chunks), &chunk))
		log_warn("chunk %u of unwind tables: not taken out: %s", chunk, strerror(errno));
	close(t->fds[chunk]);
	t->fds[chunk] = -1;
	k->map_bytes -= t->chunk_bytes;
	mem_charge(ACCOUNT_MAPS, -(int64_t)t->chunk_bytes);
}

static int write_chunk(
    void *arg, uint32_t chunk, uint32_t first, const struct block *blocks, uint32_t count)
{
	struct kernel *k = arg;
	struct tables *t = &k->tables;
	if (chunk >= t->chunks_max || t->fds[chunk] < 0 || first > CHUNK_BLOCKS ||
	    count > CHUNK_BLOCKS - first)
		return -EINVAL;
	size_t from = (size_t)first * BLOCK_BYTES, bytes = (size_t)count * BLOCK_BYTES;
	size_t start = from / k->page * k->page;
	uint8_t *p = mmap(NULL, from + bytes - start, PROT_READ | PROT_WRITE, MAP_SHARED,
	    t->fds[chunk], (off_t)start);
	if (p == MAP_FAILED)
		return -errno;
	memcpy(p + (from - start), blocks, bytes);
	munmap(p, from + bytes - start);
	return 0;
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
	t->chunks_max = chunks_wanted(k);
	t->fds = mem_alloc(ACCOUNT_KERNEL, t->chunks_max * sizeof(*t->fds));
	if (!t->fds)
		return -ENOMEM;
	memset(t->fds, 0xff, t->chunks_max * sizeof(*t->fds));
	// One is made and let go, only to know what it costs.
	int fd = make_chunk();
	if (fd < 0)
		return fd;
	t->chunk_bytes = map_cost(fd);
	close(fd);
	if (t->chunk_bytes < CHUNK_BYTES)
		t->chunk_bytes = CHUNK_BYTES;
	t->windows = map_array(k, k->bpf->maps.windows, WINDOWS_BYTES);
	if (t->windows)
		t->processes = map_array(k, k->bpf->maps.process_slots, PROCESSES_BYTES);
	return t->processes ? 0 : -errno;
}

void table_close(struct kernel *k)
{
	struct tables *t = &k->tables;
	for (uint32_t i = 0; t->fds && i < t->chunks_max; i++)
		close_chunk(k, i);
	unmap_array(k, t->windows, WINDOWS_BYTES);
	unmap_array(k, t->processes, PROCESSES_BYTES);
	mem_free(t->fds);
	*t = (struct tables){};
}

int kernel_tables(struct kernel *k, struct kernel_tables *tables)
{
	const struct tables *t = &k->tables;
	const struct bpf_map *fixed[] = {
	    k->bpf->maps.windows, k->bpf->maps.process_slots, k->bpf->maps.chunks};
	if (!t->processes)
		return -EOPNOTSUPP;
	*tables = (struct kernel_tables){.windows = t->windows,
	    .processes = t->processes,
	    .chunk_bytes = t->chunk_bytes,
	    .chunks_max = t->chunks_max,
	    .open = open_chunk,
	    .close = close_chunk,
	    .write = write_chunk,
	    .arg = k};
	for (size_t i = 0; i < sizeof(fixed) / sizeof(*fixed); i++)
		tables->fixed_bytes += map_cost(bpf_map__fd(fixed[i]));
	return 0;
}
