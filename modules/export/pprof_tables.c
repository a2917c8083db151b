// SPDX-License-Identifier: Apache-2.0
// What the pprof writer has to know of all frames before it writes the first mapping and function.
#include "pprof.h"

#include <errno.h>
#include <string.h>

const char *const pprof_extra[EXTRA_COUNT] = {
#define X(id, s) [EXTRA_##id] = s,
    PPROF_EXTRA(X)
#undef X
#define X(id, label, attribute) [EXTRA_WHOSE + WHOSE_##id] = label,
	WHOSE(X)
#undef X
};

bool pprof_made_up(const char *file, uint64_t start, uint64_t limit)
{
	return (start == KALLSYMS_START && limit == KALLSYMS_LIMIT &&
		   !strcmp(file, pprof_extra[EXTRA_KALLSYMS])) ||
	       (start == JIT_START && limit == JIT_LIMIT && !strcmp(file, pprof_extra[EXTRA_JIT]));
}

uint32_t pprof_mapping_of(const struct pprof_job *j, const struct profile_frame *f)
{
	if (f->mapping)
		return f->mapping;
	return f->kind == FRAME_KERNEL ? j->kernel_mapping
	       : f->kind == FRAME_JIT  ? j->jit_mapping
				       : 0;
}

int pprof_tables_new(struct pprof_job *j)
{
	const struct profile *p = j->job.p;
	uint32_t mappings = profile_mapping_count(p), frames = profile_frame_count(p);
	j->names = profile_name_count(p);
	whose_keys_of(p, &j->whose);
	j->functions = MAP(ACCOUNT_EXPORT);
	j->kernel_mapping = mappings + 1;
	j->jit_mapping = mappings + 2;
	j->facts = mem_alloc(ACCOUNT_EXPORT, (mappings + 3ull) * sizeof(*j->facts));
	j->function_of = mem_alloc(ACCOUNT_EXPORT, (frames + 1ull) * sizeof(*j->function_of));
	return j->facts && j->function_of ? 0 : -ENOMEM;
}

void pprof_tables_free(struct pprof_job *j)
{
	mem_free(j->facts);
	mem_free(j->function_of);
	mem_free(j->function);
	map_clear(&j->functions);
}

// Functions are told apart by name and system name, as readers do.
static int function_of(struct pprof_job *j, const struct profile_frame *f, uint32_t *id)
{
	uint64_t key = (uint64_t)f->name << 32 | f->system_name, have;
	if (map_get(&j->functions, key, &have)) {
		*id = (uint32_t)have;
		return 0;
	}
	if (!export_grow(&j->function, &j->function_cap, j->function_count, sizeof(*j->function)) ||
	    map_put(&j->functions, key, j->function_count + 1) < 0)
		return -ENOMEM;
	*id = ++j->function_count;
	j->function[*id - 1] = (struct function){*id, f->name, f->system_name};
	return 0;
}

// The resolver's stand-ins, "[libfoo.so+0x12]" or "[anon]", are shown but are no symbols: a server
// that has the file may do better, and reads only mappings that do not claim to be done.
static bool is_symbol(const struct profile *p, const struct profile_frame *f)
{
	return f->name && *profile_name(p, f->name) != '[';
}

int pprof_count_frame(struct pprof_job *j, uint32_t id)
{
	const struct profile_frame *f = profile_frame(j->job.p, id);
	struct mapping_facts *m = &j->facts[pprof_mapping_of(j, f)];
	if (!m->any || f->address < m->min)
		m->min = f->address;
	if (!m->any || f->address > m->max)
		m->max = f->address;
	m->any = true;
	m->unnamed |= !is_symbol(j->job.p, f);
	return f->name ? function_of(j, f, &j->function_of[id]) : 0;
}

void pprof_number_mappings(struct pprof_job *j)
{
	uint32_t id = 0;
	for (uint32_t i = 1; i <= j->jit_mapping; i++)
		if (i < j->kernel_mapping || j->facts[i].any)
			j->facts[i].id = ++id;
}

bool pprof_mapping(const struct pprof_job *j, uint32_t id, struct profile_mapping *m)
{
	const struct mapping_facts *facts = &j->facts[id];
	const struct profile_mapping *have = profile_mapping(j->job.p, id);
	*m = (struct profile_mapping){0};
	if (have) {
		*m = *have;
		// A location must lie in its mapping; what says otherwise is widened.
		if (facts->any && facts->min < m->start) {
			uint64_t lower = m->start - facts->min;
			m->offset = m->offset > lower ? m->offset - lower : 0;
			m->start = facts->min;
		}
		if (facts->any && facts->max >= m->limit)
			m->limit = facts->max == UINT64_MAX ? UINT64_MAX : facts->max + 1;
	} else if (!facts->any) {
		return false;
	} else if (id == j->kernel_mapping) {
		m->start = KALLSYMS_START;
		m->limit = KALLSYMS_LIMIT;
		m->file = j->names + EXTRA_KALLSYMS;
	} else {
		m->start = JIT_START;
		m->limit = JIT_LIMIT;
		m->file = j->names + EXTRA_JIT;
	}
	return true;
}
