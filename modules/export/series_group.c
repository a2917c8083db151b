// SPDX-License-Identifier: Apache-2.0
// Which series a subject is of. Two are of one series where their labels are the same. Labels are
// made for each different (resource, process, container), which are few; all other subjects are
// found by these ids.
#include "series.h"

#include <errno.h>
#include <string.h>

struct ids {
	uint32_t resource, process, container, pid;
};

static struct ids ids_of(const struct series_job *j, uint32_t subject)
{
	const struct profile_subject *s = profile_subject(j->r.p, subject);
	if (!s->pid)
		return (struct ids){0};
	return (struct ids){s->resource, s->process ? s->process : s->comm, s->container,
	    series_is_parca(j) ? s->pid : 1};
}

static uint64_t hash_of(const struct series_job *j, const struct series_labels *l)
{
	uint64_t hash = j->seed;
	for (uint32_t i = 0; i < l->count; i++) {
		const char *name = l->text.at + l->at[i].name, *value = l->text.at + l->at[i].value;
		hash = hash_bytes(name, strlen(name) + 1, hash);
		hash = hash_bytes(value, strlen(value) + 1, hash);
	}
	return hash;
}

static bool same_labels(const struct series_labels *a, const struct series_labels *b)
{
	bool same = a->count == b->count;
	for (uint32_t i = 0; same && i < a->count; i++)
		same = !strcmp(a->text.at + a->at[i].name, b->text.at + b->at[i].name) &&
		       !strcmp(a->text.at + a->at[i].value, b->text.at + b->at[i].value);
	return same;
}

static uint64_t next_of(uint64_t hash)
{
	hash = hash_mix(hash + 1);
	return hash == MAP_NONE ? 0 : hash;
}

// The group of the labels that SUBJECT has.
static int by_labels(struct series_job *j, uint32_t subject, uint32_t *group)
{
	uint64_t have;
	int error = series_labels_of(j, subject, &j->labels);
	if (error)
		return error;
	uint64_t hash = next_of(hash_of(j, &j->labels));
	for (; map_get(&j->labelled, hash, &have); hash = next_of(hash)) {
		error = series_labels_of(j, j->groups[have].subject, &j->others);
		if (error)
			return error;
		if (same_labels(&j->labels, &j->others)) {
			*group = (uint32_t)have;
			return 0;
		}
	}
	if (!export_grow(&j->groups, &j->group_cap, j->group_count, sizeof(*j->groups)) ||
	    map_put(&j->labelled, hash, j->group_count) < 0)
		return -ENOMEM;
	j->groups[j->group_count] = (struct series_group){.subject = subject};
	*group = j->group_count++;
	return 0;
}

void series_group_of(struct series_job *j, uint32_t subject)
{
	struct ids ids = ids_of(j, subject);
	uint64_t have, hash = next_of(hash_bytes(&ids, sizeof(ids), j->seed));
	for (; map_get(&j->whose, hash, &have); hash = next_of(hash)) {
		struct ids his = ids_of(j, (uint32_t)have);
		if (!memcmp(&ids, &his, sizeof(ids))) {
			j->group_of[subject] = j->group_of[have];
			return;
		}
	}
	uint32_t group = 0;
	if (by_labels(j, subject, &group) < 0)
		return;
	j->group_of[subject] = group + 1;
	map_put(&j->whose, hash, subject); // without memory the next of them makes its labels again
}
