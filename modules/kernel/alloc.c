// SPDX-License-Identifier: Apache-2.0
// Probes on allocators: links of many uprobes in one file for one process (uprobe_multi,
// Linux 6.6), whose return is probed only when the entry wants it (sessions, 6.13) or always. A
// link lives as long as its descriptor: whatever ends us takes the probes off.
#include "private.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../../bpf/alloc.h"
#include "../../bpf/walk.h"
#include "telegen.skel.h"

// As linux/bpf.h has them since 6.6 and 6.13.
enum { UPROBE_MULTI = 48, UPROBE_SESSION = 57 };
enum { MULTI_RETURN = 1 };
// union bpf_attr of BPF_LINK_CREATE, as far as it goes.
struct link_create {
	uint32_t program, target, attach_type, flags;
	uint64_t path, offsets, counters, cookies;
	uint32_t count, multi_flags, pid, pad;
};

#define NEEDS_MULTI "this kernel lacks uprobe_multi links: needs Linux 6.6"

// Not by the C library's call: it sets errno, which an errand would change under us.
static int create(const struct link_create *create)
{
#if defined(__x86_64__)
	long fd;
	__asm__ volatile("syscall"
			 : "=a"(fd)
			 : "a"(SYS_bpf), "D"(BPF_LINK_CREATE), "S"(create), "d"(sizeof(*create))
			 : "rcx", "r11", "memory");
#elif defined(__aarch64__)
	register long call __asm__("x8") = SYS_bpf, fd __asm__("x0") = BPF_LINK_CREATE;
	register const void *at __asm__("x1") = create;
	register long size __asm__("x2") = sizeof(*create);
	__asm__ volatile("svc 0" : "+r"(fd) : "r"(call), "r"(at), "r"(size) : "memory");
#endif
	return (int)fd;
}

// A kernel that knows TYPE looks for the file; one that does not refuses before.
static bool knows(uint32_t type)
{
	struct bpf_insn nothing[] = {
	    {.code = BPF_ALU64 | BPF_MOV | BPF_K}, {.code = BPF_JMP | BPF_EXIT}};
	LIBBPF_OPTS(
	    bpf_prog_load_opts, options, .expected_attach_type = (enum bpf_attach_type)type);
	int program =
	    bpf_prog_load(BPF_PROG_TYPE_KPROBE, "check", "Dual BSD/GPL", nothing, 2, &options);
	uint64_t offset = 0;
	struct link_create c = {.program = (uint32_t)program,
	    .attach_type = type,
	    .path = (uintptr_t) "/",
	    .offsets = (uintptr_t)&offset,
	    .count = 1};
	if (program < 0)
		return false;
	int link = create(&c);
	if (link >= 0)
		close(link);
	close(program);
	return link == -EBADF; // a directory is no file to probe
}

enum alloc_level alloc_level(void)
{
	return knows(UPROBE_SESSION) ? ALLOC_SESSIONS
	       : knows(UPROBE_MULTI) ? ALLOC_PAIRS
				     : ALLOC_NONE;
}

void alloc_choose(struct kernel *k)
{
	struct telegen_bpf *b = k->bpf;
	bool any = k->alloc_level != ALLOC_NONE;
	struct bpf_map *maps[] = {b->maps.alloc_calls, b->maps.alloc_live, b->maps.alloc_left,
	    b->maps.alloc_scratches, b->maps.java_threads};
	for (size_t i = 0; i < sizeof(maps) / sizeof(*maps); i++)
		bpf_map__set_autocreate(maps[i], any);
	bpf_program__set_autoload(b->progs.alloc_probe, any);
	if (!any)
		return;
	bpf_program__set_expected_attach_type(b->progs.alloc_probe,
	    (enum bpf_attach_type)(
		k->alloc_level == ALLOC_SESSIONS ? UPROBE_SESSION : UPROBE_MULTI));
	b->rodata->alloc_session = k->alloc_level == ALLOC_SESSIONS;
	b->rodata->alloc_period_ln2 = (uint64_t)((double)k->options.alloc_period * M_LN2);
	for (uint32_t i = 0; i <= 1 << ALLOC_LOG_BITS; i++)
		b->rodata->alloc_log[i] = (uint32_t)(log2(1 + (double)i / (1 << ALLOC_LOG_BITS)) *
						     (1 << ALLOC_LOG_SHIFT));
	bpf_map__set_max_entries(b->maps.alloc_live, k->options.alloc_live);
	bpf_map__set_max_entries(b->maps.alloc_left, k->cpu_count);
	b->rodata->alloc_spares = k->cpu_count;
	bpf_map__set_max_entries(b->maps.alloc_scratches, k->cpu_count + ALLOC_SPARE);
	bpf_map__set_value_size(
	    b->maps.alloc_scratches, (uint32_t)SCRATCH_SIZE(k->options.max_depth));
}

// Each CPU's countdown begins somewhere, as it would be found at any time.
int alloc_begin(struct kernel *k)
{
	for (uint32_t cpu = 0; k->alloc_level != ALLOC_NONE && cpu < k->cpu_count; cpu++) {
		uint32_t random;
		if (getrandom(&random, sizeof(random), GRND_NONBLOCK) != sizeof(random))
			random = (uint32_t)hash_mix(clock_now() + cpu);
		int64_t left = 1 + (int64_t)(-log((random + 1.0) / 4294967296.0) *
					     (double)k->options.alloc_period);
		if (bpf_map_update_elem(bpf_map__fd(k->bpf->maps.alloc_left), &cpu, &left, BPF_ANY))
			return -errno;
	}
	return 0;
}

const char *kernel_alloc_why(const struct kernel *k)
{
	return *k->alloc_why ? k->alloc_why : NULL;
}

void alloc_lacks_links(struct kernel *k)
{
	text_copy(k->alloc_why, sizeof(k->alloc_why), NEEDS_MULTI);
}

int kernel_probe(struct kernel *k, uint32_t pid, int fd, const struct kernel_probe *probes,
    uint32_t count, int links[KERNEL_PROBE_LINKS])
{
	uint64_t offsets[KERNEL_PROBES_MAX], cookies[KERNEL_PROBES_MAX];
	char path[64];
	for (int i = 0; i < KERNEL_PROBE_LINKS; i++)
		links[i] = -1;
	if (k->alloc_level == ALLOC_NONE)
		return -EOPNOTSUPP;
	if (!count || count > KERNEL_PROBES_MAX)
		return -EINVAL;
	bool returns = false;
	for (uint32_t i = 0; i < count; i++) {
		returns = returns || !ALLOC_IS_JAVA(probes[i].kind & 0xff);
		offsets[i] = probes[i].offset;
		cookies[i] = ALLOC_COOKIE(pid, probes[i].kind);
	}
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	bool session = k->alloc_level == ALLOC_SESSIONS;
	struct link_create c = {.program = (uint32_t)bpf_program__fd(k->bpf->progs.alloc_probe),
	    .attach_type = session ? UPROBE_SESSION : UPROBE_MULTI,
	    .path = (uintptr_t)path,
	    .offsets = (uintptr_t)offsets,
	    .cookies = (uintptr_t)cookies,
	    .count = count,
	    .pid = pid};
	// The return first: an entry without one would be taken for a call that goes on.
	if (!session && returns) {
		c.multi_flags = MULTI_RETURN;
		int link = create(&c);
		if (link < 0)
			return link;
		links[1] = link;
		c.multi_flags = 0;
	}
	links[0] = create(&c);
	if (links[0] >= 0)
		return 0;
	int error = links[0];
	kernel_unprobe(links);
	return error;
}

void kernel_unprobe(int links[KERNEL_PROBE_LINKS])
{
	for (int i = 0; i < KERNEL_PROBE_LINKS; i++) {
		int link = links[i];
		links[i] = -1; // before, for whoever is killed meanwhile
		if (link >= 0)
			close(link);
	}
}

struct block_key { // struct alloc_block of bpf/alloc.bpf.h
	uint64_t address;
	uint32_t pid, pad;
};

bool kernel_block_lives(struct kernel *k, uint32_t pid, uint64_t address)
{
	struct block_key key = {.address = address, .pid = pid};
	uint32_t value;
	return !bpf_map_lookup_elem(bpf_map__fd(k->bpf->maps.alloc_live), &key, &value);
}

void kernel_block_forget(struct kernel *k, uint32_t pid, uint64_t address)
{
	struct block_key key = {.address = address, .pid = pid};
	bpf_map_delete_elem(bpf_map__fd(k->bpf->maps.alloc_live), &key);
}

struct call { // struct alloc_call of bpf/alloc.bpf.h
	uint64_t function, sp, size, out;
	uint32_t pid;
	uint16_t sampled, kind;
};

struct java_thread { // as in bpf/java.bpf.h
	uint64_t address;
	uint32_t pid, pad;
};

static void forget_threads(const struct bpf_map *map, uint32_t pid)
{
	int fd = bpf_map__fd(map);
	struct java_thread key, before;
	bool any = !bpf_map_get_next_key(fd, NULL, &key);
	for (uint32_t i = 0; any && i < bpf_map__max_entries(map); i++) {
		before = key;
		any = !bpf_map_get_next_key(fd, &before, &key);
		if (before.pid == pid)
			bpf_map_delete_elem(fd, &before);
	}
}

void kernel_calls_forget(struct kernel *k, uint32_t pid)
{
	int fd = bpf_map__fd(k->bpf->maps.alloc_calls);
	uint32_t thread, before;
	struct call call;
	bool any = !bpf_map_get_next_key(fd, NULL, &thread);
	for (uint32_t i = 0; any && i < bpf_map__max_entries(k->bpf->maps.alloc_calls); i++) {
		before = thread;
		any = !bpf_map_get_next_key(fd, &before, &thread);
		if (!bpf_map_lookup_elem(fd, &before, &call) && call.pid == pid)
			bpf_map_delete_elem(fd, &before);
	}
	forget_threads(k->bpf->maps.java_threads, pid);
}
