// SPDX-License-Identifier: Apache-2.0
// The file: YAML by libyaml's events, so that nothing is built that a hostile file could make
// large. Bounds: 1 MiB, 16 levels, 1024 items, 100 problems; aliases are refused where telegen
// reads (they could only repeat) and cost nothing where it does not.
#include "option.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <yaml.h>

#define FILE_MAX (1u << 20)
#define DEPTH_MAX 16
#define LEFT_TOLD 40 // names of sections left alone that are told
#define LEFT_MAX 256 // and that there may be

// Top-level keys of the Go agent's files that look like ours and are others.
static const char *const neighbours[] = {"logs"};

struct reader {
	struct load *l;
	const char *name; // of the file
	yaml_parser_t parser;
	yaml_event_t event; // the current one, where HAVE
	bool have, stop;
	bool seen[OPTIONS_MAX];
	struct text left;
	uint32_t left_count;
};

static long line_of(const struct reader *r)
{
	return (long)r->event.start_mark.line + 1;
}

static void stop(struct reader *r, long line, const char *what)
{
	if (!r->stop)
		load_problem(r->l, r->name, line, NULL, "%s", what);
	r->stop = true;
}

static void yaml_problem(struct reader *r)
{
	const yaml_parser_t *p = &r->parser;
	long line = (long)p->problem_mark.line + 1;
	r->stop = true;
	if (p->error == YAML_MEMORY_ERROR) {
		r->l->error = -ENOMEM;
		return;
	}
	// What the bytes are (not UTF-8, a control character) is told without a line.
	if (p->error == YAML_READER_ERROR) {
		const char *at = (const char *)p->input.string.start;
		const char *end = at + p->problem_offset;
		for (line = 1; at < end && (at = memchr(at, '\n', (size_t)(end - at))); at++)
			line++;
	}
	load_problem(r->l, r->name, line, NULL, "not YAML: %s%s%s", p->context ? p->context : "",
	    p->context ? ": " : "", p->problem ? p->problem : "unknown");
}

// Goes to the next event; false at an error, after which nothing more is read.
static bool next(struct reader *r)
{
	if (r->have)
		yaml_event_delete(&r->event);
	r->have = false;
	if (r->stop || r->l->error || r->l->problems >= PROBLEMS_MAX)
		return false;
	r->have = yaml_parser_parse(&r->parser, &r->event);
	if (!r->have)
		yaml_problem(r);
	return r->have;
}

// Passes over the node that begins with the current event.
static void skip(struct reader *r)
{
	int depth = 0;
	do {
		yaml_event_type_t type = r->event.type;
		depth += type == YAML_MAPPING_START_EVENT || type == YAML_SEQUENCE_START_EVENT;
		depth -= type == YAML_MAPPING_END_EVENT || type == YAML_SEQUENCE_END_EVENT;
		if (depth > DEPTH_MAX)
			stop(r, line_of(r), "nested deeper than 16 levels");
	} while (depth && next(r));
}

static bool is_null(const yaml_event_t *e)
{
	static const char *const words[] = {"", "~", "null", "Null", "NULL"};
	if (e->type != YAML_SCALAR_EVENT || e->data.scalar.style != YAML_PLAIN_SCALAR_STYLE)
		return false;
	for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++)
		if (!strcmp((const char *)e->data.scalar.value, words[i]))
			return true;
	return false;
}

// The current scalar; NULL with the problem told where it is none.
static const char *scalar(struct reader *r, const char *key)
{
	const char *problem = NULL;
	if (r->event.type == YAML_ALIAS_EVENT)
		problem = "aliases are not taken";
	else if (r->event.type != YAML_SCALAR_EVENT)
		problem = "takes one value, not a list or a section";
	else if (strlen((const char *)r->event.data.scalar.value) != r->event.data.scalar.length)
		problem = "has a NUL byte in it";
	if (!problem)
		return (const char *)r->event.data.scalar.value;
	load_problem(r->l, r->name, line_of(r), key, "%s", problem);
	skip(r);
	return NULL;
}

static void add_item(struct reader *r, struct config_list *list, const char *s, size_t n)
{
	int error = list_add(list, s, n);
	if (error == -ENOMEM)
		r->l->error = error;
	else if (error)
		stop(r, line_of(r), "a list of more than 1024 items");
}

// A pair of a mapping as the item "name=value".
static void add_pair(struct reader *r, const struct option *o, struct config_list *list)
{
	struct text item = TEXT(ACCOUNT_CONFIG);
	const char *name = scalar(r, o->key);
	if (name && strchr(name, '='))
		load_problem(r->l, r->name, line_of(r), o->key, "a name with = in it");
	if (name)
		text_printf(&item, "%s=", name);
	if (!next(r))
		goto done;
	const char *value = is_null(&r->event) ? "" : scalar(r, o->key);
	if (value)
		text_puts(&item, value);
	if (item.error)
		r->l->error = -ENOMEM;
	else if (name && value)
		add_item(r, list, item.at, item.len);
done:
	text_free(&item);
}

static void read_list(struct reader *r, const struct option *o, long line)
{
	struct config_list list = {0};
	struct text why = TEXT(ACCOUNT_CONFIG);
	uint32_t before = r->l->problems;
	bool map = r->event.type == YAML_MAPPING_START_EVENT;
	while (next(r) && r->event.type != YAML_MAPPING_END_EVENT &&
	       r->event.type != YAML_SEQUENCE_END_EVENT) {
		if (map) {
			add_pair(r, o, &list);
			continue;
		}
		const char *item = scalar(r, o->key);
		if (item)
			add_item(r, &list, item, strlen(item));
	}
	int error =
	    r->have && r->l->problems == before ? option_set_list(o, r->l->config, &list, &why) : 0;
	if (error == -EINVAL && !why.error)
		load_problem(r->l, r->name, line, o->key, "%s", why.at);
	else if (error)
		r->l->error = -ENOMEM;
	text_free(&why);
	list_free(&list);
}

static void read_option(struct reader *r, const struct option *o, long line)
{
	bool map = r->event.type == YAML_MAPPING_START_EVENT && o->type == OPTION_IS_MAP;
	bool list = r->event.type == YAML_SEQUENCE_START_EVENT &&
		    (o->type == OPTION_IS_LIST || o->type == OPTION_IS_MAP);
	if (r->seen[o - options])
		load_problem(r->l, r->name, line, o->key, "given twice");
	r->seen[o - options] = true;
	if (map || list) {
		read_list(r, o, line);
	} else if (!is_null(&r->event)) { // a key with nothing behind it keeps its default
		const char *value = scalar(r, o->key);
		if (value)
			load_value(r->l, r->name, line, o, value);
	}
}

// A top-level key that is not ours: most likely a section of the Go agent, which did more than
// profile.
static void leave_alone(struct reader *r, const char *key, long line)
{
	char nearest[KEY_MAX];
	bool other = false;
	for (size_t i = 0; i < sizeof(neighbours) / sizeof(*neighbours); i++)
		other |= !strcmp(key, neighbours[i]);
	if (!other && option_nearest("", key, strlen(key) > 4 ? 2 : 1, nearest)) {
		load_problem(
		    r->l, r->name, line, key, "no such option; the nearest is %s", nearest);
		return;
	}
	if (++r->left_count > LEFT_MAX)
		stop(r, line, "more than 256 top-level keys that telegen does not know");
	if (r->left_count > LEFT_TOLD)
		return;
	text_puts(&r->left, r->left.len ? ", " : "");
	text_add_quoted(&r->left, key, QUOTED_MAX);
}

static void read_section(struct reader *r, const char *section);

static void read_pair(
    struct reader *r, const char *section, const char *name, const char *key, long line)
{
	const struct option *o = option_find(key);
	char nearest[KEY_MAX];
	if (o) {
		read_option(r, o, line);
		return;
	}
	if (option_is_section(key)) {
		if (r->event.type == YAML_MAPPING_START_EVENT) {
			read_section(r, key);
			return;
		}
		if (!is_null(&r->event))
			load_problem(r->l, r->name, line, key, "is a section, not an option");
	} else if (!*section) {
		leave_alone(r, name, line);
	} else if (option_nearest(section, name, KEY_MAX, nearest)) {
		load_problem(
		    r->l, r->name, line, key, "no such option; the nearest is %s", nearest);
	} else {
		load_problem(r->l, r->name, line, key, "no such option");
	}
	skip(r);
}

// The pairs of a mapping up to its end; SECTION is "" or e.g. "profiling.cpu", so the depth is that
// of our keys.
static void read_section(struct reader *r, const char *section)
{
	while (next(r) && r->event.type != YAML_MAPPING_END_EVENT) {
		struct text key = TEXT(ACCOUNT_CONFIG);
		long line = line_of(r);
		const char *name = scalar(r, *section ? section : NULL);
		size_t above = strlen(section) + (*section != 0);
		if (name)
			text_printf(&key, "%s%s%s", section, *section ? "." : "", name);
		bool named = name && *name;
		if (key.error)
			r->l->error = -ENOMEM;
		if (name && !named)
			load_problem(r->l, r->name, line, NULL, "an empty key");
		if (next(r) && named)
			read_pair(r, section, key.at + above, key.at, line);
		else if (r->have)
			skip(r);
		text_free(&key);
	}
}

static void read_document(struct reader *r)
{
	if (!next(r) || !next(r) || r->event.type == YAML_STREAM_END_EVENT || !next(r))
		return;
	if (r->event.type == YAML_MAPPING_START_EVENT) {
		read_section(r, "");
	} else if (!is_null(&r->event)) {
		stop(r, line_of(r), "not a mapping of keys to values");
	}
	if (next(r) && next(r) && r->event.type != YAML_STREAM_END_EVENT)
		stop(r, line_of(r), "more than one document");
}

void load_yaml(struct load *l, const char *name, const char *bytes, size_t n)
{
	struct reader r = {.l = l, .name = name, .left = TEXT(ACCOUNT_CONFIG)};
	if (!yaml_parser_initialize(&r.parser)) {
		l->error = -ENOMEM;
		return;
	}
	yaml_parser_set_encoding(&r.parser, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(&r.parser, (const unsigned char *)bytes, n);
	read_document(&r);
	if (r.have)
		yaml_event_delete(&r.event);
	yaml_parser_delete(&r.parser);
	if (r.left.error)
		l->error = -ENOMEM;
	else if (r.left_count)
		load_warning(l, name, "left alone, for telegen only profiles: %s%s", r.left.at,
		    r.left_count > LEFT_TOLD ? ", and more" : "");
	text_free(&r.left);
}

// Up to ROOM bytes of FD.
static int read_bytes(int fd, char *to, size_t room, size_t *have)
{
	ssize_t n;
	*have = 0;
	while (*have < room && (n = pread(fd, to + *have, room - *have, (off_t)*have)) != 0) {
		if (n < 0 && errno != EINTR)
			return -errno;
		*have += n > 0 ? (size_t)n : 0;
	}
	return 0;
}

void load_file(struct load *l, const char *path)
{
	char *bytes = NULL;
	struct stat st;
	size_t n = 0;
	// Non-blocking, for PATH may be a FIFO; what is not a regular file is refused.
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0 || fstat(fd, &st) < 0) {
		load_problem(l, path, 0, NULL, "cannot be read: %s", strerror(errno));
		goto done;
	}
	if (!S_ISREG(st.st_mode) || st.st_size > FILE_MAX) {
		load_problem(l, path, 0, NULL, "%s",
		    S_ISREG(st.st_mode) ? "is larger than 1 MiB" : "is not a regular file");
		goto done;
	}
	size_t room = (size_t)st.st_size + 1; // one more: it may grow while it is read
	bytes = mem_alloc(ACCOUNT_CONFIG, room);
	if (!bytes) {
		l->error = -ENOMEM;
		goto done;
	}
	int error = read_bytes(fd, bytes, room, &n);
	if (error)
		load_problem(l, path, 0, NULL, "cannot be read: %s", strerror(-error));
	else if (n == room)
		load_problem(l, path, 0, NULL, "is being written; try again");
	else
		load_yaml(l, path, bytes, n);
done:
	mem_free(bytes);
	if (fd >= 0)
		close(fd);
}
