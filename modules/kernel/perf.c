// SPDX-License-Identifier: Apache-2.0
// perf events: the sampling clock and the side channel of mapping events. Layouts:
// perf_event_open(2).
#include "private.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/perf_event.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static int event_open(struct perf_event_attr *attr, uint32_t cpu)
{
	attr->size = sizeof(*attr);
	long fd = syscall(SYS_perf_event_open, attr, -1, (int)cpu, -1, PERF_FLAG_FD_CLOEXEC);
	return fd < 0 ? -errno : (int)fd;
}

// "0-3,5" from /sys/devices/system/cpu/FILE: sets ONLINE[cpu]; returns the highest cpu + 1 (0:
// unreadable).
uint32_t perf_cpu_list(const char *file, uint8_t *online, uint32_t max)
{
	char text[4096]; // sysfs gives a page at most
	int fd = open(file, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
	if (fd >= 0)
		close(fd);
	if (n <= 0)
		return 0;
	text[n] = 0;
	uint32_t top = 0;
	for (char *at = text; *at >= '0' && *at <= '9';) {
		unsigned long from = strtoul(at, &at, 10), to = from;
		if (*at == '-')
			to = strtoul(at + 1, &at, 10);
		for (unsigned long c = from; c <= to && c < max; c++) {
			if (online)
				online[c] = 1;
			if (c + 1 > top)
				top = (uint32_t)c + 1;
		}
		at += *at == ',';
	}
	return top;
}

// Hardware cycles tick by frequency, so a sample stands for the period on average only; the clock
// ticks exactly.
static int open_tick(struct kernel *k, uint32_t cpu)
{
	struct perf_event_attr clock = {
	    .type = PERF_TYPE_SOFTWARE,
	    .config = PERF_COUNT_SW_CPU_CLOCK,
	    .sample_period = k->options.cpu_period_ns,
	    .exclude_idle = 1,
	    .disabled = 1,
	};
	struct perf_event_attr cycles = {
	    .type = PERF_TYPE_HARDWARE,
	    .config = PERF_COUNT_HW_CPU_CYCLES,
	    .sample_freq = NS_PER_S / k->options.cpu_period_ns,
	    .freq = 1,
	    .exclude_idle = 1,
	    .disabled = 1,
	};
	int fd = k->options.cycles ? event_open(&cycles, cpu) : -1;
	if (fd < 0 && k->options.cycles) {
		log_warn(
		    "profiling.cpu.event: cycles: %s: this machine has no counter: the clock ticks",
		    strerror(-fd));
		k->options.cycles = false;
	}
	return fd >= 0 ? fd : event_open(&clock, cpu);
}

static int open_memory(const struct kernel *k, uint32_t cpu)
{
	uint64_t faults = k->options.memory_period / k->page;
	struct perf_event_attr attr = {
	    .type = PERF_TYPE_SOFTWARE,
	    .config = PERF_COUNT_SW_PAGE_FAULTS,
	    .sample_period = faults ? faults : 1,
	    .sample_type = PERF_SAMPLE_ADDR,
	    .disabled = 1,
	};
	return event_open(&attr, cpu);
}

int perf_try_memory(const struct kernel *k)
{
	int fd = open_memory(k, 0);
	if (fd >= 0)
		close(fd);
	return fd < 0 && fd != -ENODEV ? fd : 0; // CPU 0 may be offline
}

static int open_side(struct kernel *k, uint32_t cpu)
{
	struct perf_event_attr attr = {
	    .type = PERF_TYPE_SOFTWARE,
	    .config = PERF_COUNT_SW_DUMMY,
	    .mmap = 1,
	    .mmap2 = 1,
	    .comm = 1,
	    .comm_exec = 1,
	    .build_id = !k->no_build_id,
	    .sample_id_all = 1,
	    .sample_type = PERF_SAMPLE_TID | PERF_SAMPLE_TIME,
	    .read_format = PERF_FORMAT_TOTAL_TIME_ENABLED,
	    .use_clockid = 1,
	    .clockid = CLOCK_MONOTONIC,
	    .watermark = 1,
	    // Each event wakes: until it is handed up, walks go by what was mapped before. Whoever
	    // is woken rests before he waits again.
	    .wakeup_watermark = 1,
	    .disabled = 1,
	};
	int fd = event_open(&attr, cpu);
	if (fd == -EINVAL && attr.build_id) { // before 5.12
		k->no_build_id = true;
		attr.build_id = 0;
		fd = event_open(&attr, cpu);
	}
	return fd;
}

int perf_open_cpu(struct kernel *k, uint32_t cpu)
{
	struct cpu *c = &k->cpus[cpu];
	size_t size = k->page + k->side_bytes;
	int error = 0;
	c->tick_fd = k->options.cpu_period_ns ? open_tick(k, cpu) : -1;
	if (k->options.cpu_period_ns && c->tick_fd < 0) {
		error = c->tick_fd;
		c->tick_fd = -1;
		return error;
	}
	c->memory_fd = k->memory ? open_memory(k, cpu) : -1;
	c->side_fd = open_side(k, cpu);
	if (k->memory && c->memory_fd < 0) {
		error = c->memory_fd;
		goto fail;
	}
	if (c->side_fd < 0) {
		error = c->side_fd;
		goto fail;
	}
	error = mem_charge(ACCOUNT_MAPS, (int64_t)size);
	if (error)
		goto fail;
	void *side = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, c->side_fd, 0);
	if (side == MAP_FAILED) {
		error = -errno;
		mem_charge(ACCOUNT_MAPS, -(int64_t)size);
		goto fail;
	}
	c->side = side;
	c->tail = 0;
	struct epoll_event event = {.events = EPOLLIN, .data.u32 = WAKE_MAPPING};
	if (epoll_ctl(k->wake_fd, EPOLL_CTL_ADD, c->side_fd, &event) < 0) {
		error = -errno;
		goto fail;
	}
	return 0;
fail:
	perf_close_cpu(k, cpu);
	return error;
}

void perf_close_cpu(struct kernel *k, uint32_t cpu)
{
	struct cpu *c = &k->cpus[cpu];
	if (c->side) {
		munmap(c->side, k->page + k->side_bytes);
		mem_charge(ACCOUNT_MAPS, -(int64_t)(k->page + k->side_bytes));
	}
	if (c->side_fd >= 0)
		close(c->side_fd);
	if (c->tick_fd >= 0)
		close(c->tick_fd);
	if (c->memory_fd >= 0)
		close(c->memory_fd);
	*c = (struct cpu){.tick_fd = -1, .side_fd = -1, .memory_fd = -1};
}

int perf_enable(struct kernel *k, uint32_t cpu, bool on)
{
	unsigned long what = on ? PERF_EVENT_IOC_ENABLE : PERF_EVENT_IOC_DISABLE;
	const struct cpu *c = &k->cpus[cpu];
	int error = 0;
	if (c->side_fd >= 0 && ioctl(c->side_fd, what, 0) < 0)
		error = -errno;
	if (c->tick_fd >= 0 && ioctl(c->tick_fd, what, 0) < 0)
		error = -errno;
	if (c->memory_fd >= 0 && ioctl(c->memory_fd, what, 0) < 0)
		error = -errno;
	return error;
}

bool perf_alive(struct kernel *k, uint32_t cpu)
{
	struct cpu *c = &k->cpus[cpu];
	uint64_t value[2]; // count, time enabled
	if (read(c->side_fd, value, sizeof(value)) != sizeof(value))
		return false;
	// An event that lost its CPU stands still for ever.
	bool alive = value[1] > c->enabled_ns;
	c->enabled_ns = value[1];
	return alive;
}

static uint64_t head_of(const struct cpu *c)
{
	const struct perf_event_mmap_page *page = c->side;
	return __atomic_load_n(&page->data_head, __ATOMIC_ACQUIRE);
}

bool perf_ring_left(const struct kernel *k)
{
	for (uint32_t i = 0; i < k->cpu_count; i++)
		if (k->cpus[i].side && head_of(&k->cpus[i]) != k->cpus[i].tail)
			return true;
	return false;
}

unsigned perf_ring_use(const struct kernel *k)
{
	unsigned most = 0;
	for (uint32_t i = 0; i < k->cpu_count; i++) {
		if (!k->cpus[i].side)
			continue;
		unsigned use =
		    (unsigned)((head_of(&k->cpus[i]) - k->cpus[i].tail) * 100 / k->side_bytes);
		if (use > most)
			most = use;
	}
	return most;
}

// Copies N bytes of the ring at POSITION, over its end where they wrap.
static void copy_out(
    const struct kernel *k, const struct cpu *c, uint64_t position, void *to, size_t n)
{
	const uint8_t *data = (const uint8_t *)c->side + k->page;
	size_t at = position % k->side_bytes, first = k->side_bytes - at;
	if (first > n)
		first = n;
	memcpy(to, data + at, first);
	memcpy((uint8_t *)to + first, data, n - first);
}

// With sample_id_all every record ends in {u32 pid, tid; u64 time}.
struct id_tail {
	uint32_t pid, tid;
	uint64_t time;
};

// Time of the next record of C, UINT64_MAX where there is none.
static uint64_t next_time(const struct kernel *k, const struct cpu *c, struct perf_event_header *h)
{
	uint64_t left = head_of(c) - c->tail;
	if (left < sizeof(*h))
		return UINT64_MAX;
	copy_out(k, c, c->tail, h, sizeof(*h));
	if (h->size < sizeof(*h) + sizeof(struct id_tail) || h->size > left)
		return 0; // nonsense: take it at once, to get past it
	struct id_tail id;
	copy_out(k, c, c->tail + h->size - sizeof(id), &id, sizeof(id));
	return id.time;
}

struct mmap2 { // PERF_RECORD_MMAP2, without its header
	uint32_t pid, tid;
	uint64_t start, length, offset;
	union {
		struct {
			uint32_t major, minor;
			uint64_t inode, generation;
		};
		struct {
			uint8_t build_id_size, reserved1;
			uint16_t reserved2;
			uint8_t build_id[20];
		};
	};
	uint32_t prot, flags;
	char path[];
};

static void hand_mmap(
    struct kernel *k, const struct perf_event_header *h, const struct mmap2 *m, uint64_t time)
{
	size_t room = h->size - sizeof(*h) - sizeof(*m) - sizeof(struct id_tail);
	size_t length = strnlen(m->path, room);
	size_t size = (sizeof(struct record_mmap) + length + 1 + 7) & ~7ull;
	struct {
		struct record_mmap r;
		char path[MMAP_PATH_MAX + 16];
	} out;
	if (length >= MMAP_PATH_MAX) {
		count_add(COUNT_RECORDS_BAD, 1);
		return;
	}
	memset(&out, 0, size);
	out.r = (struct record_mmap){
	    .head = {.kind = RECORD_MMAP, .size = (uint32_t)size, .time_ns = time},
	    .pid = m->pid,
	    .start = m->start,
	    .length = m->length,
	    .offset = m->offset,
	    .path_len = (uint16_t)length,
	};
	if (h->misc & PERF_RECORD_MISC_MMAP_BUILD_ID) {
		out.r.build_id_len = m->build_id_size <= BUILD_ID_MAX ? m->build_id_size : 0;
		memcpy(out.r.build_id, m->build_id, out.r.build_id_len);
	} else {
		out.r.dev_major = m->major;
		out.r.dev_minor = m->minor;
		out.r.inode = m->inode;
	}
	memcpy(out.r.path, m->path, length);
	k->options.on_record(k->options.arg, &out.r.head);
}

// PERF_RECORD_COMM is {u32 pid, tid; char comm[]}.
static void hand_exec(struct kernel *k, const uint8_t *body, size_t size, uint64_t time)
{
	struct record_task r = {
	    .head = {.kind = RECORD_EXEC, .size = sizeof(r), .time_ns = time},
	};
	memcpy(&r.pid, body, 4);
	memcpy(&r.tid, body + 4, 4);
	memcpy(r.comm, body + 8, size - 8 < sizeof(r.comm) ? size - 8 : sizeof(r.comm));
	r.comm[COMM_LEN - 1] = 0;
	k->options.on_record(k->options.arg, &r.head);
}

static void hand_up(
    struct kernel *k, const struct perf_event_header *h, const uint8_t *body, uint64_t time)
{
	size_t size = h->size - sizeof(*h) - sizeof(struct id_tail); // of the body
	if (h->type == PERF_RECORD_LOST && size >= 16) {	     // {u64 id, lost}
		uint64_t lost;
		memcpy(&lost, body + 8, sizeof(lost));
		count_add(COUNT_MMAP_LOST, lost);
	} else if (k->foreign) {
		return;
	} else if (h->type == PERF_RECORD_MMAP2 && size >= sizeof(struct mmap2)) {
		hand_mmap(k, h, (const struct mmap2 *)body, time);
	} else if (h->type == PERF_RECORD_COMM && (h->misc & PERF_RECORD_MISC_COMM_EXEC) &&
		   size >= 8) {
		hand_exec(k, body, size, time);
	}
}

static void take_one(
    struct kernel *k, struct cpu *c, const struct perf_event_header *h, uint64_t time)
{
	uint64_t left = head_of(c) - c->tail;
	if (h->size < sizeof(*h) + sizeof(struct id_tail) || h->size > left) {
		count_add(COUNT_RECORDS_BAD, 1); // the ring cannot be followed from here on
		count_add(COUNT_MMAP_LOST, 1);
		c->tail += left;
	} else {
		if (h->size > EVENT_MAX) {
			count_add(COUNT_RECORDS_BAD, 1);
		} else {
			copy_out(k, c, c->tail, k->event, h->size);
			hand_up(k, h, k->event + sizeof(*h), time);
		}
		c->tail += h->size;
	}
	struct perf_event_mmap_page *page = c->side;
	__atomic_store_n(&page->data_tail, c->tail, __ATOMIC_RELEASE);
}

void perf_drain(struct kernel *k, uint64_t until)
{
	// On many CPUs a look is not for nothing: what happened before the last one was there then.
	if (until < k->side_next && until <= k->side_looked)
		return;
	while (k->left > 0) {
		struct perf_event_header h, best_header = {0};
		uint64_t best = UINT64_MAX;
		struct cpu *from = NULL;
		k->side_looked = clock_now();
		for (uint32_t i = 0; i < k->cpu_count; i++) {
			uint64_t t = k->cpus[i].side ? next_time(k, &k->cpus[i], &h) : UINT64_MAX;
			if (t < best) {
				best = t;
				from = &k->cpus[i];
				best_header = h;
			}
		}
		k->side_next = best;
		if (!from || best > until)
			return;
		take_one(k, from, &best_header, best);
		k->left--;
	}
}
