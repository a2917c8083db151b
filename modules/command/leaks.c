// SPDX-License-Identifier: Apache-2.0
// What has been in use for long, as text: the places with most bytes first.
#include "leaks.h"
#include "sink.h"
#include "../base/base.h"
#include "../profile/profile.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define PLACES_MAX 20
#define FRAMES_SHOWN 24

struct place {
	uint32_t stack, pid;
	int64_t objects, bytes;
};

// Is it one that the path told as old (path/alloc.c)?
static const char *age_of(const struct profile *p, const struct profile_subject *s)
{
	uint32_t count = 0;
	const struct profile_label *l = s->labels ? profile_labels(p, s->labels, &count) : NULL;
	for (uint32_t i = 0; i < count; i++)
		if (!strcmp(profile_name(p, l[i].key), "age"))
			return profile_name(p, l[i].str);
	return "";
}

static int by_stack(const void *a, const void *b)
{
	const struct place *x = a, *y = b;
	if (x->stack != y->stack)
		return x->stack < y->stack ? -1 : 1;
	return x->pid < y->pid ? -1 : x->pid > y->pid;
}

static int by_bytes(const void *a, const void *b)
{
	const struct place *x = a, *y = b;
	return x->bytes > y->bytes ? -1 : x->bytes < y->bytes ? 1 : by_stack(a, b);
}

static void put_place(const struct profile *p, const struct place *at, bool pids, struct text *out)
{
	char size[32];
	uint32_t count;
	const uint32_t *frames = profile_stack(p, at->stack, &count);
	text_printf(out, "\n%s in %ld blocks", human_bytes((uint64_t)at->bytes, size, sizeof(size)),
	    (long)at->objects);
	if (pids)
		text_printf(out, " of process %u", at->pid);
	text_puts(out, "\n");
	for (uint32_t i = 0; i < count && i < FRAMES_SHOWN; i++)
		text_printf(out, "    %s\n", profile_name(p, profile_frame(p, frames[i])->name));
	if (count > FRAMES_SHOWN)
		text_printf(out, "    ... %u more\n", count - FRAMES_SHOWN);
}

// Sums up equal places, which lie side by side; how many there are.
static uint32_t join(struct place *places, uint32_t count)
{
	uint32_t n = 0;
	for (uint32_t i = 0; i < count; i++) {
		if (n && !by_stack(&places[n - 1], &places[i])) {
			places[n - 1].objects += places[i].objects;
			places[n - 1].bytes += places[i].bytes;
		} else {
			places[n++] = places[i];
		}
	}
	return n;
}

int leaks_put(const struct profile *p, const char *age, struct text *out)
{
	uint32_t all = profile_sample_count(p), count = 0;
	struct place *places = mem_alloc(ACCOUNT_COMMAND, (all + 1) * sizeof(*places)), sum = {0};
	char size[32];
	bool pids = false;
	if (!places)
		return -ENOMEM;
	for (uint32_t i = 0; i < all; i++) {
		const struct profile_sample *s = profile_sample(p, i);
		const struct profile_subject *who = profile_subject(p, s->subject);
		if (strncmp(age_of(p, who), ">=", 2) != 0)
			continue;
		places[count++] = (struct place){s->stack, who->pid, s->values[0], s->values[1]};
		sum.objects += s->values[0];
		sum.bytes += s->values[1];
		pids = pids || who->pid != places[0].pid;
	}
	qsort(places, count, sizeof(*places), by_stack);
	count = join(places, count);
	qsort(places, count, sizeof(*places), by_bytes);
	text_printf(out,
	    "in use for %s or longer, since the capture began: %s in %ld blocks, from %u place%s",
	    age, human_bytes((uint64_t)sum.bytes, size, sizeof(size)), (long)sum.objects, count,
	    count == 1 ? "" : "s");
	text_printf(out, count > PLACES_MAX ? ", the largest %d:\n" : "\n", PLACES_MAX);
	for (uint32_t i = 0; i < count && i < PLACES_MAX; i++)
		put_place(p, &places[i], pids, out);
	mem_free(places);
	return out->error;
}
