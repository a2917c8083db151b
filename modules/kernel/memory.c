// SPDX-License-Identifier: Apache-2.0
// What becomes resident beside the page that a fault is for, see bpf/memory.bpf.h: pages of files
// around it, and huge pages. The hook for these runs whenever the kernel allocates a page, which is
// 60 ns for nothing while nobody gets a huge one. The kernel counts those that it hands out
// (thp_fault_alloc in /proc/vmstat):
//
//   start | attached ... none for QUIET_NS | let go, looked at each LOOK_NS ... one came | attached
//   ...
//
// So those of the first LOOK_NS of a time of huge pages may stay unseen, which is counted.
#include "private.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "telegen.skel.h"

#define LOOK_NS NS_PER_S
#define QUIET_NS (30 * NS_PER_S)
#define VMSTAT "/proc/vmstat"
#define SIZES "/sys/kernel/mm/transparent_hugepage"

// Huge pages that faults brought since the machine started, of all processes. False: this kernel
// has none.
static bool handed_out(uint64_t *pages)
{
	char line[128];
	bool found = false;
	FILE *f = fopen(VMSTAT, "re");
	while (f && !found && fgets(line, sizeof(line), f))
		found = sscanf(line, "thp_fault_alloc %lu", pages) == 1;
	if (f)
		fclose(f);
	return found;
}

static bool says(const char *path, char *text, size_t size)
{
	FILE *f = fopen(path, "re");
	bool got = f && fgets(text, (int)size, f);
	if (f)
		fclose(f);
	return got;
}

// Bytes of a huge page; 0: this kernel has none.
static uint64_t huge_bytes(void)
{
	char text[32];
	uint64_t huge = 0;
	if (says(SIZES "/hpage_pmd_size", text, sizeof(text)))
		text_number(text, strcspn(text, "\n"), 10, &huge);
	return huge;
}

// Pages of a size between that are handed out (6.8) have no part in that number: is there one that
// may be?
static bool has_sizes_between(uint64_t huge)
{
	char path[512], text[128];
	bool found = false;
	DIR *sizes = huge ? opendir(SIZES) : NULL;
	struct dirent *entry;
	while (sizes && !found && (entry = readdir(sizes))) {
		unsigned long kilobytes;
		if (sscanf(entry->d_name, "hugepages-%lukB", &kilobytes) != 1 ||
		    kilobytes << 10 == huge)
			continue;
		snprintf(path, sizeof(path), SIZES "/%s/enabled", entry->d_name);
		found = says(path, text, sizeof(text)) && !strstr(text, "[never]");
	}
	if (sizes)
		closedir(sizes);
	return found;
}

void memory_choose(struct kernel *k)
{
	struct telegen_bpf *b = k->bpf;
	uint64_t pages = k->options.memory_period / k->page;
	// percpu_counter_batch of lib/percpu_counter.c; a thread may have been on a few CPUs.
	int64_t batch = k->cpu_count > 16 ? 2 * k->cpu_count : 32;
	b->rodata->memory_sample_bytes = (pages ? pages : 1) * k->page;
	b->rodata->memory_page = k->page;
	b->rodata->memory_unsure = 4 * batch;
	bpf_program__set_autoload(b->progs.memory_tick, k->memory);
	bpf_program__set_autoload(b->progs.memory_huge, k->beyond);
	bpf_program__set_autoload(b->progs.memory_around, k->beyond);
	bpf_map__set_autocreate(b->maps.arounds, k->beyond);
}

static void let_go(void **link)
{
	bpf_link__destroy(*link);
	*link = NULL;
}

static void follow_huge(struct kernel *k)
{
	k->huge.link = bpf_program__attach(k->bpf->progs.memory_huge);
	if (!k->huge.link)
		log_seldom(LOG_LEVEL_WARN,
		    "huge pages: tracepoint mm_page_alloc: %s: they count as small ones",
		    strerror(errno));
}

void memory_attach(struct kernel *k)
{
	if (!k->beyond)
		return;
	k->around_link = bpf_program__attach(k->bpf->progs.memory_around);
	if (!k->around_link)
		log_debug("tracepoint mm_filemap_map_pages: %s: of a file the page that is touched "
			  "counts, "
			  "not those around it",
		    strerror(errno));
	uint64_t bytes = huge_bytes();
	k->huge = (struct huge){
	    .changed_ns = clock_now(), .between = has_sizes_between(bytes), .bytes = bytes};
	k->huge.looked_ns = k->huge.changed_ns;
	k->huge.can = handed_out(&k->huge.seen) || k->huge.between;
	if (k->huge.can)
		follow_huge(k);
}

void memory_stop(struct kernel *k)
{
	let_go(&k->around_link);
	let_go(&k->huge.link);
	k->huge.can = false;
}

void memory_look(struct kernel *k, uint64_t now)
{
	struct huge *h = &k->huge;
	uint64_t pages;
	if (!h->can || h->between || k->options.memory_huge_stays || now < h->looked_ns + LOOK_NS)
		return;
	h->looked_ns = now;
	if (!handed_out(&pages))
		return;
	if (pages != h->seen) {
		h->changed_ns = now;
		if (!h->link) {
			count_add(COUNT_HUGE_UNSEEN, pages - h->seen);
			h->unseen += pages - h->seen;
			follow_huge(k);
		}
	} else if (h->link && now >= h->changed_ns + QUIET_NS) {
		let_go(&h->link);
	}
	h->seen = pages;
}

uint64_t kernel_huge_unseen(const struct kernel *k, uint64_t *bytes)
{
	*bytes = k->huge.unseen * k->huge.bytes;
	return k->huge.unseen;
}

const char *kernel_memory_why(const struct kernel *k)
{
	return *k->memory_why ? k->memory_why : NULL;
}
