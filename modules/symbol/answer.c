// SPDX-License-Identifier: Apache-2.0
// What a place is called: the function's name made fit to be shown, or a stand-in that says what is
// known.
#include "private.h"

#include <stdio.h>
#include <string.h>

struct shown {
	char name[SHOWN_MAX], system[SHOWN_MAX];
	bool differs;
};

// Copies FROM with "..." for what is too long, '?' for control characters and for bytes that make
// no UTF-8: names come from files that anyone may write.
static void clean(char *to, const char *from)
{
	size_t n = strnlen(from, SHOWN_MAX);
	bool cut = n == SHOWN_MAX;
	if (cut)
		for (n = SHOWN_MAX - 4; n && ((unsigned char)from[n] & 0xc0) == 0x80;)
			n--;
	bool utf8 = text_utf8_valid(from, n);
	for (size_t i = 0; i < n; i++) {
		unsigned char c = (unsigned char)from[i];
		to[i] = c < ' ' || c == 127 || (c > 127 && !utf8) ? '?' : from[i];
	}
	memcpy(to + n, cut ? "..." : "", cut ? 4 : 1);
}

// A system call's entry shows as the call; "[module]" stays behind the name.
static void show_kernel(const struct symbol *s, const char *raw, char *name)
{
	static const char *const entries[] = {"__x64_sys_", "__arm64_sys_"};
	const char *module = strstr(raw, " [");
	size_t n = module ? (size_t)(module - raw) : strlen(raw);
	char plain[SHOWN_MAX], buffer[SHOWN_MAX], whole[SHOWN_MAX * 2];
	n = n < sizeof(plain) ? n : sizeof(plain) - 1;
	memcpy(plain, raw, n);
	plain[n] = 0;
	const char *shown =
	    s->options.demangle ? symbol_demangle(plain, buffer, sizeof(buffer)) : plain;
	for (size_t i = 0; i < sizeof(entries) / sizeof(*entries); i++)
		if (!strncmp(shown, entries[i], strlen(entries[i])))
			shown += strlen(entries[i]) - 4;
	if (!module)
		module = "";
	snprintf(
	    whole, sizeof(whole), "%.*s%s", (int)(SHOWN_MAX - 1 - strlen(module)), shown, module);
	clean(name, whole);
}

static void show(const struct symbol *s, uint32_t kind, const char *raw, struct shown *shown)
{
	char buffer[SHOWN_MAX];
	clean(shown->system, raw);
	if (kind == PLACE_KERNEL)
		show_kernel(s, raw, shown->name);
	else if (kind != PLACE_ANON && s->options.demangle)
		clean(shown->name, symbol_demangle(raw, buffer, sizeof(buffer)));
	else
		memcpy(shown->name, shown->system, sizeof(shown->name));
	if (!shown->name[0])
		memcpy(shown->name, shown->system, sizeof(shown->name));
	shown->differs = strcmp(shown->name, shown->system) != 0;
}

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');
	return slash ? slash + 1 : path;
}

static void stand_in(const struct symbol_job *job, const struct item *item, char *name)
{
	struct symbol *s = job->s;
	static const char *const fixed[] = {[PLACE_NONE] = "[unknown]",
	    [PLACE_KERNEL] = "[kernel]",
	    [PLACE_FILE] = "[file]",
	    [PLACE_OFFSET] = "[file]",
	    [PLACE_VDSO] = "[vdso]",
	    [PLACE_ANON] = "[anon]",
	    [PLACE_UNMAPPED] = "[unmapped]"};
	uint32_t kind = item->kind < sizeof(fixed) / sizeof(*fixed) ? item->kind : PLACE_NONE;
	const char *text = fixed[kind];
	char place[SHOWN_MAX];
	if (kind == PLACE_ANON) {
		struct owner *o = cache_owner(s->cache, kind, item->owner, false);
		bool has_map = job->source.state || (o && o->seen.ino);
		text = has_map ? "[jit]" : text;
	} else if (kind == PLACE_FILE || kind == PLACE_OFFSET) {
		struct binary *b = binary_by_id(s->options.processes, item->owner);
		if (b && b->path && *base_name(b->path)) {
			snprintf(place, sizeof(place), "[%.255s+0x%llx]", base_name(b->path),
			    (unsigned long long)item->address);
			text = place;
		}
	}
	clean(name, text);
}

static void give(struct symbol_job *job, struct item *item, const struct symbol_answer *answer)
{
	item->kind = ITEM_ANSWERED;
	if (!answer->named)
		count_add(COUNT_FRAMES_UNNAMED, 1);
	job->found(job->arg, item->index, answer);
}

void answer_unnamed(struct symbol_job *job, struct item *item)
{
	char name[SHOWN_MAX];
	stand_in(job, item, name);
	struct symbol_answer answer = {
	    .start = item->address, .end = item->address + 1, .name = name};
	give(job, item, &answer);
}

void answer_cached(
    struct symbol_job *job, struct item *item, struct owner *o, const struct range *r)
{
	if (!r->name) {
		answer_unnamed(job, item);
		return;
	}
	struct symbol_answer answer = {.start = r->start,
	    .end = r->start + r->len,
	    .name = o->bytes + r->name,
	    .system_name = r->system ? o->bytes + r->system : NULL,
	    .named = true};
	// The listener may allocate, and so make this cache shrink.
	cache_pin(job->s->cache, o);
	give(job, item, &answer);
	cache_pin(job->s->cache, NULL);
}

void answer_symbol(struct symbol_job *job, struct item *item, const struct elf_symbol *symbol)
{
	struct symbol *s = job->s;
	struct shown shown;
	bool named = symbol->name && *symbol->name;
	if (named)
		show(s, item->kind, symbol->name, &shown);
	struct owner *o = cache_owner(s->cache, item->kind, item->owner, true);
	// Without memory the answer is given all the same, and looked up again the next time.
	if (o && item->address >= symbol->start && item->address < symbol->end)
		cache_put(s->cache, o, item->address, symbol->start, symbol->end,
		    named ? shown.name : NULL, named && shown.differs ? shown.system : NULL);
	if (!named) {
		answer_unnamed(job, item);
		return;
	}
	struct symbol_answer answer = {.start = symbol->start,
	    .end = symbol->end,
	    .name = shown.name,
	    .system_name = shown.differs ? shown.system : NULL,
	    .named = true};
	give(job, item, &answer);
}
