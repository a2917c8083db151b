// SPDX-License-Identifier: Apache-2.0
// config_load: defaults, file, environment, flags, then what must fit together; every problem is
// told, not only the first.
#include "option.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

// Lines are parted, not ended, by '\n': one line can be logged as it is.
static void line_begin(struct text *t)
{
	text_puts(t, t->len ? "\nconfig: " : "config: ");
}

void load_problem(
    struct load *l, const char *where, long line, const char *key, const char *what, ...)
{
	char message[512];
	if (l->problems++ >= PROBLEMS_MAX)
		return;
	va_list args;
	va_start(args, what);
	vsnprintf(message, sizeof(message), what, args);
	va_end(args);
	line_begin(l->why);
	if (where) {
		text_add_quoted(l->why, where, PATH_MAX);
		if (line)
			text_printf(l->why, ":%ld", line);
		text_puts(l->why, ": ");
	}
	if (key) {
		text_add_quoted(l->why, key, QUOTED_MAX);
		text_puts(l->why, ": ");
	}
	text_puts(l->why, message);
	if (l->problems == PROBLEMS_MAX) {
		line_begin(l->why);
		text_puts(l->why, "too many problems, the rest is not told");
	}
}

void load_warning(struct load *l, const char *where, const char *what, ...)
{
	char message[4096];
	va_list args;
	va_start(args, what);
	vsnprintf(message, sizeof(message), what, args);
	va_end(args);
	line_begin(l->warnings);
	if (where) {
		text_add_quoted(l->warnings, where, PATH_MAX);
		text_puts(l->warnings, ": ");
	}
	text_puts(l->warnings, message);
}

// An endpoint enables its receiver, where nothing was said of that.
static const struct {
	const char *key;
	size_t enabled, endpoint;
} receivers[] = {
#define RECEIVER(name)                                                                             \
	{                                                                                          \
		"profile_export." #name ".enabled",                                                \
		    offsetof(struct config, profile_export_##name##_enabled),                      \
		    offsetof(struct config, profile_export_##name##_endpoint)                      \
	}
    RECEIVER(otlp),
    RECEIVER(pyroscope),
    RECEIVER(parca),
};
#define RECEIVERS (sizeof(receivers) / sizeof(*receivers))

void load_value(
    struct load *l, const char *where, long line, const struct option *o, const char *value)
{
	struct text reason = TEXT(ACCOUNT_CONFIG);
	int error = option_set(o, l->config, value, &reason);
	// A flag's name is its key.
	const char *key = where && !strncmp(where, "--", 2) ? NULL : o->key;
	if (error == -ENOMEM || reason.error)
		l->error = -ENOMEM;
	else if (error)
		load_problem(l, where, line, key, "%s", reason.at);
	for (size_t i = 0; where && i < RECEIVERS; i++)
		if (!strcmp(o->key, receivers[i].key))
			l->said |= 1u << i;
	text_free(&reason);
}

static void enable_receivers(struct load *l)
{
	for (size_t i = 0; i < RECEIVERS; i++) {
		char *c = (char *)l->config;
		bool *enabled = (void *)(c + receivers[i].enabled);
		if (!**(char **)(void *)(c + receivers[i].endpoint) || *enabled)
			continue;
		if (l->said & 1u << i)
			load_warning(
			    l, NULL, "%s: false: nothing goes to its endpoint", receivers[i].key);
		else
			*enabled = true;
	}
}

static void set_standards(struct load *l)
{
	for (const struct option *o = options; o < options + option_count; o++)
		load_value(l, NULL, 0, o, o->standard);
}

static void check_together(struct load *l)
{
	const struct config *c = l->config;
	if (c->profiling_upload_interval < c->profiling_collection_interval) {
		struct text t = TEXT(ACCOUNT_CONFIG);
		duration_print(c->profiling_upload_interval, &t);
		text_puts(&t, " is shorter than profiling.collection_interval, ");
		duration_print(c->profiling_collection_interval, &t);
		load_problem(l, NULL, 0, "profiling.upload_interval", "%s", t.at ? t.at : "");
		text_free(&t);
	}
	if (c->profiling_exclude_kernel && c->profiling_exclude_user)
		load_problem(l, NULL, 0, "profiling.exclude_user",
		    "true together with profiling.exclude_kernel leaves no frames");
}

struct config *config_standard(void)
{
	struct text unread = TEXT(ACCOUNT_CONFIG);
	struct load l = {.why = &unread, .warnings = &unread};
	l.config = mem_alloc(ACCOUNT_CONFIG, sizeof(*l.config));
	if (!l.config)
		return NULL;
	set_standards(&l);
	assert(!l.problems); // options.def has a default that its own row refuses
	text_free(&unread);
	if (!l.error)
		return l.config;
	config_free(l.config);
	return errno = ENOMEM, NULL;
}

// Names what was asked for and does not exist yet: what is not at its default.
static void warn_later(struct load *l)
{
	struct config *standard = config_standard();
	struct text keys = TEXT(ACCOUNT_CONFIG);
	if (!standard) {
		l->error = -ENOMEM;
		return;
	}
	for (const struct option *o = options; o < options + option_count; o++) {
		if (!(o->marks & LATER) || option_equal(o, l->config, standard))
			continue;
		text_puts(&keys, keys.len ? ", " : "");
		text_puts(&keys, o->key);
	}
	if (keys.error)
		l->error = -ENOMEM;
	else if (keys.len)
		load_warning(l, NULL, "accepted but without effect in this version: %s", keys.at);
	config_free(standard);
	text_free(&keys);
}

struct config *config_load(
    const struct config_source *source, struct text *warnings, struct text *why)
{
	struct text unread[2] = {TEXT(ACCOUNT_CONFIG), TEXT(ACCOUNT_CONFIG)};
	struct load l = {
	    .why = why ? why : &unread[0], .warnings = warnings ? warnings : &unread[1]};
	l.config = config_standard();
	l.error = l.config ? 0 : -ENOMEM;
	if (!l.error && source->file)
		load_file(&l, source->file);
	if (!l.error && source->environment)
		load_environment(&l, source->environment);
	if (!l.error && source->flags)
		load_flags(&l, source->flags);
	if (!l.error && !l.problems)
		enable_receivers(&l);
	if (!l.error && !l.problems)
		check_together(&l);
	if (!l.error && !l.problems)
		warn_later(&l);
	if (l.error) {
		line_begin(l.why);
		text_puts(l.why, "out of memory");
	}
	text_free(&unread[0]);
	text_free(&unread[1]);
	if (!l.error && !l.problems)
		return l.config;
	config_free(l.config);
	return errno = l.error ? ENOMEM : EINVAL, NULL;
}

void config_free(struct config *c)
{
	if (!c)
		return;
	for (const struct option *o = options; o < options + option_count; o++)
		option_clear(o, c);
	mem_free(c);
}
