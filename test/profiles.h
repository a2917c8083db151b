// SPDX-License-Identifier: Apache-2.0
// Profiles for tests of what reads and writes them: a seeded one of a node, and one line of text
// for each sample.
#pragma once
#include "../modules/export/export.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

// SAMPLES of different (stack, subject), 8 files, kernel and JIT code, unnamed frames, labels, a
// loss.
static inline struct profile *profiles_node(uint32_t samples, uint64_t seed)
{
	struct profile *p = profile_new(ACCOUNT_PROFILE, profile_type_find("cpu"));
	struct profile_header *h = profile_header(p);
	h->time_ns = 1700000000000000000ull;
	h->duration_ns = 60 * NS_PER_S;
	h->period = 10101010;
	char name[80];
	uint32_t mappings[8];
	for (uint32_t i = 0; i < 8; i++) {
		snprintf(name, sizeof(name), "/usr/lib/libsome%u.so", i);
		struct profile_mapping m = {
		    .key = i, .start = 0x1000, .limit = 0x100000, .offset = 0x1000};
		m.file = profile_add_name(p, name);
		snprintf(name, sizeof(name), "%040x", i + 1);
		m.build_id = profile_add_name(p, name);
		mappings[i] = profile_add_mapping(p, &m);
	}
	for (uint32_t i = 0; i < samples; i++) {
		uint32_t frames[64], depth = 5 + (uint32_t)(seed = hash_mix(seed + 1)) % 40;
		for (uint32_t k = 0; k < depth; k++) {
			// Callers near the root are few, leaves are many.
			uint32_t n = (uint32_t)(hash_mix(seed + k) %
						((depth - k) > 20 ? 10 : 2000 / (1 + k)));
			if (k == depth - 1)
				n = 0;
			struct profile_frame f = {.address = 0x2000 + n * 16,
			    .owner = n % 8,
			    .place = 2,
			    .mapping = mappings[n % 8]};
			if (n % 11 == 5)
				f = (struct profile_frame){.address = 0xffffffff81000000 + n * 16,
				    .place = 1,
				    .kind = FRAME_KERNEL};
			if (n % 11 == 7)
				f = (struct profile_frame){.address = 0x7f0000000000 + n * 16,
				    .owner = 77,
				    .place = 5,
				    .kind = FRAME_JIT};
			frames[k] = profile_add_frame(p, &f);
			if (profile_frame(p, frames[k])->name || n % 100 == 99)
				continue;
			snprintf(name, sizeof(name), "some::function_number_%u(int)", n);
			char mangled[64];
			snprintf(mangled, sizeof(mangled), "_ZN4some%uEi", n);
			profile_set_frame_name(p, frames[k], name, n % 2 ? mangled : NULL);
		}
		struct profile_subject s = {.pid = 1 + (uint32_t)(seed >> 40) % 200};
		s.tid = s.pid + (uint32_t)(seed >> 50) % 3;
		snprintf(name, sizeof(name), "process-%u", s.pid % 50);
		s.process = s.comm = profile_add_name(p, name);
		if (s.tid != s.pid)
			s.comm = profile_add_name(p, "worker");
		snprintf(name, sizeof(name), "%064x", s.pid % 9);
		s.container = s.pid % 3 ? profile_add_name(p, name) : 0;
		if (s.pid % 5 == 0) {
			struct profile_label l[2] = {{.key = profile_add_name(p, "trace"),
							 .str = profile_add_name(p, "abc")},
			    {.key = profile_add_name(p, "bytes"),
				.num = s.pid,
				.num_unit = profile_add_name(p, "bytes")}};
			s.labels = profile_add_labels(p, l, 2);
		}
		profile_add(p, profile_add_stack(p, frames, depth), profile_add_subject(p, &s),
		    (int64_t[]){1, 10101010});
	}
	profile_add_lost(p, "[lost: ring full]", (int64_t[]){7, 70707070});
	profile_seal(p);
	return p;
}

static inline int profiles_compare_(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

// All that a sample says, a line each, sorted; to be freed.
static inline char *profiles_dump(const struct profile *p)
{
	uint32_t count = profile_sample_count(p), lines = 0;
	char **line = calloc(count, sizeof(*line));
	size_t total = 1;
	for (uint32_t i = 0; i < count; i++) {
		const struct profile_sample *s = profile_sample(p, i);
		const struct profile_subject *who = profile_subject(p, s->subject);
		int64_t any = 0;
		for (uint32_t v = 0; v < profile_header_of(p)->value_count; v++)
			any |= s->values[v];
		if (!any)
			continue;
		uint32_t n;
		size_t size = 0;
		FILE *f = open_memstream(&line[lines++], &size);
		fprintf(f, "%u %u %s %s %s", who->pid, who->tid, profile_name(p, who->comm),
		    profile_name(p, who->process), profile_name(p, who->container));
		const struct profile_label *l = profile_labels(p, who->labels, &n);
		for (uint32_t k = 0; k < n; k++)
			fprintf(f, " %s=%s%" PRId64 "%s", profile_name(p, l[k].key),
			    profile_name(p, l[k].str), l[k].num, profile_name(p, l[k].num_unit));
		const uint32_t *frames = profile_stack(p, s->stack, &n);
		for (uint32_t k = 0; k < n; k++) {
			const struct profile_frame *x = profile_frame(p, frames[k]);
			const struct profile_mapping *m = profile_mapping(p, x->mapping);
			fprintf(f, "|%s %s %u %" PRIx64 " %s %s", profile_name(p, x->name),
			    profile_name(p, x->system_name), x->kind, x->address,
			    m ? profile_name(p, m->file) : "",
			    m ? profile_name(p, m->build_id) : "");
		}
		for (uint32_t v = 0; v < profile_header_of(p)->value_count; v++)
			fprintf(f, " %" PRId64, s->values[v]);
		fclose(f);
		total += size + 1;
	}
	qsort(line, lines, sizeof(*line), profiles_compare_);
	char *all = calloc(1, total), *at = all;
	for (uint32_t i = 0; i < lines; i++) {
		at += sprintf(at, "%s\n", line[i]);
		free(line[i]);
	}
	free(line);
	return all;
}

// Nanoseconds that this thread ran: how long a step is, however busy the machine.
static inline uint64_t profiles_ran(void)
{
	struct timespec t;
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
}

static inline int profiles_take(void *arg, const void *bytes, size_t n)
{
	return text_add(arg, bytes, n);
}

// P in FORMAT into T: what export_all says.
static inline int profiles_export(
    const struct profile *p, const struct profile *base, enum export_format format, struct text *t)
{
	struct wire_sink sink = {profiles_take, t};
	return export_all(p, base, format, "a \"title\"", &sink);
}

// Reads pprof BYTES back; NULL: WHY says why.
static inline struct profile *profiles_import(const void *bytes, size_t n, char why[200])
{
	struct import_job *j = import_new(ACCOUNT_PROFILE, 64 << 20);
	int error = j ? import_feed(j, bytes, n) : -12;
	while (!error && (error = import_step(j, UINT64_MAX)) == 1)
		error = 0;
	struct profile *p = error ? NULL : import_take(j);
	text_copy(why, 200, j ? import_why(j) : "no memory");
	import_free(j);
	return p;
}
