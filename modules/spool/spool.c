// SPDX-License-Identifier: Apache-2.0
#include "private.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

static bool in_files(const struct spool *s)
{
	return s->options.directory;
}

static void body_free(struct body *b)
{
	if (b)
		spool_memory_free(b);
	mem_free(b);
}

static void shrink_to_fit(struct spool *s)
{
	while (s->room > s->options.bytes_max && spool_drop(s))
		;
}

struct spool *spool_new(const struct spool_options *options, char *why, size_t why_size)
{
	struct spool *s = mem_alloc(ACCOUNT_SPOOL, sizeof(*s));
	int error = s ? 0 : -ENOMEM;
	if (s) {
		*s = (struct spool){.options = *options,
		    .next_id = 1,
		    .directory = -1,
		    .file = -1,
		    .reading = -1,
		    .sync.fd = -1};
		if (options->directory &&
		    !(s->options.directory = mem_strdup(ACCOUNT_SPOOL, options->directory)))
			error = -ENOMEM;
	}
	if (error)
		snprintf(why, why_size, "spool: not enough memory");
	else if (in_files(s))
		error = files_open(s, why, why_size);
	if (error) {
		spool_free(s);
		return errno = -error, NULL;
	}
	shrink_to_fit(s);
	return s;
}

void spool_go_on(struct spool *s, const struct spool_options *options)
{
	assert(!in_files(s) && !options->directory && !s->writing);
	s->options = *options;
	shrink_to_fit(s);
}

void spool_free(struct spool *s)
{
	if (!s)
		return;
	spool_abort(s);
	for (struct body *b = s->first, *next; b; b = next) {
		next = b->next;
		body_free(b);
	}
	files_close(s);
	mem_free((char *)s->options.directory);
	mem_free(s);
}

void spool_append(struct spool *s, struct body *b)
{
	b->next = NULL;
	*(s->last ? &s->last->next : &s->first) = b;
	s->last = b;
	s->count++;
	s->room += b->room;
	s->samples += b->entry.facts.samples;
}

// Takes the body out of the queue that comes after BEFORE (NULL: the first).
static struct body *take_out(struct spool *s, struct body *before)
{
	struct body **link = before ? &before->next : &s->first, *b = *link;
	*link = b->next;
	if (s->last == b)
		s->last = before;
	s->count--;
	s->room -= b->room;
	s->samples -= b->entry.facts.samples;
	return b;
}

static void remove_after(struct spool *s, struct body *before)
{
	struct body *b = take_out(s, before);
	if (in_files(s))
		files_remove(s, b);
	body_free(b);
}

bool spool_drop(struct spool *s)
{
	struct body *before = s->held ? s->first : NULL;
	struct body *b = before ? before->next : s->first;
	if (!b)
		return false;
	struct spool_facts facts = b->entry.facts;
	remove_after(s, before);
	if (s->options.on_drop)
		s->options.on_drop(s->options.arg, &facts);
	return true;
}

uint64_t spool_shrink(void *arg, uint64_t need)
{
	struct spool *s = arg;
	uint64_t before = s->room;
	if (in_files(s))
		return 0;
	while (before - s->room < need && spool_drop(s))
		;
	return before - s->room;
}

int spool_begin(struct spool *s)
{
	assert(!s->writing);
	struct body *b = mem_alloc(ACCOUNT_SPOOL, sizeof(*b));
	if (!b)
		return -ENOMEM;
	b->entry.id = s->next_id++;
	b->room = sizeof(*b);
	s->writing = b;
	int error = in_files(s) ? files_begin(s) : 0;
	if (error)
		spool_abort(s);
	return error;
}

// Room for what the body being written takes with N bytes more: the oldest go for it.
static int make_room(struct spool *s, size_t n)
{
	uint64_t wanted = in_files(s) ? files_room(s->writing->entry.size + n)
				      : spool_memory_room(s->writing, n);
	if (wanted > s->options.bytes_max)
		return -EFBIG;
	while (s->room + wanted > s->options.bytes_max)
		if (!spool_drop(s))
			return -ENOSPC;
	return 0;
}

int spool_write(struct spool *s, const void *bytes, size_t n)
{
	int error = s->writing ? make_room(s, n) : -EINVAL;
	if (error)
		return error;
	return in_files(s) ? files_write(s, bytes, n) : spool_memory_write(s, bytes, n);
}

void spool_abort(struct spool *s)
{
	if (s->writing && in_files(s))
		files_abort(s);
	body_free(s->writing);
	s->writing = NULL;
}

int spool_end(struct spool *s, const struct spool_facts *f)
{
	struct body *b = s->writing;
	int error = b ? 0 : -EINVAL;
	if (!error) {
		b->entry.facts = *f;
		b->entry.facts.type[sizeof(f->type) - 1] = 0;
		if (in_files(s))
			error = files_end(s);
		else
			spool_memory_end(s);
	}
	if (error == 1)
		return 1;
	if (error) {
		spool_abort(s);
		return error;
	}
	s->writing = NULL;
	spool_append(s, b);
	return 0;
}

uint32_t spool_count(const struct spool *s)
{
	return s->count;
}

uint64_t spool_bytes(const struct spool *s)
{
	return s->room;
}

uint64_t spool_samples(const struct spool *s)
{
	return s->samples;
}

uint64_t spool_damaged(const struct spool *s)
{
	return s->damaged;
}

const struct spool_entry *spool_oldest(struct spool *s)
{
	if (!s->first)
		return NULL;
	s->held = true;
	return &s->first->entry;
}

int64_t spool_read(struct spool *s, uint64_t at, void *bytes, size_t size)
{
	if (!s->first || !s->held)
		return -EINVAL;
	if (at >= s->first->entry.size)
		return 0;
	return in_files(s) ? files_read(s, s->first, at, bytes, size)
			   : spool_memory_read(s->first, at, bytes, size);
}

void spool_let_go(struct spool *s)
{
	s->held = false;
	files_let_go(s);
}

void spool_put_behind(struct spool *s, uint64_t note)
{
	spool_let_go(s);
	if (!s->first)
		return;
	struct body *b = take_out(s, NULL);
	b->entry.note = note;
	spool_append(s, b);
}

void spool_remove(struct spool *s)
{
	spool_let_go(s);
	if (s->first)
		remove_after(s, NULL);
}
