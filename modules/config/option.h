// SPDX-License-Identifier: Apache-2.0
// The table of options.def as data, and the reading and writing of single values.
#pragma once
#include "config.h"
#include "../base/base.h"

enum option_type {
	OPTION_IS_BOOL,
	OPTION_IS_INT,
	OPTION_IS_BYTES,
	OPTION_IS_SHARE,
	OPTION_IS_DURATION,
	OPTION_IS_TEXT,
	OPTION_IS_CHOICE,
	OPTION_IS_LIST,
	OPTION_IS_MAP,
};

enum { LATER = 1, NUMBERS = 2, DECIMALS = 4, SECRET = 8 }; // marks, see options.def

struct option {
	const char *key, *standard, *choices, *help; // standard: the default, as text
	uint64_t min, max;
	uint16_t at; // in struct config
	uint8_t type, marks;
};

#define OPTIONS_MAX 256
extern const struct option options[];
extern const size_t option_count;

const struct option *option_find(const char *key);
bool option_is_section(const char *key); // "profiling.cpu"
#define KEY_MAX 128
// The key most like NAME, at most LIMIT edits away: among what stands directly in the section
// PARENT ("": the top; sections too), or where PARENT is NULL among all whole keys. False where
// there is none.
bool option_nearest(const char *parent, const char *name, unsigned limit, char nearest[KEY_MAX]);
bool option_equal(const struct option *o, const struct config *a, const struct config *b);

// Reads VALUE into its field. 0; -ENOMEM; -EINVAL with the reason added to WHY: "0 is not
// in 1..1000".
int option_set(const struct option *o, struct config *c, const char *value, struct text *why);
// The same for a LIST or MAP; takes over what LIST holds where it succeeds.
int option_set_list(
    const struct option *o, struct config *c, struct config_list *list, struct text *why);
void option_clear(const struct option *o, struct config *c);

#define ITEMS_MAX 1024 // in a list
#define VALUE_MAX 4096 // bytes of a value or an item, with its NUL
int list_add(struct config_list *list, const char *s, size_t n); // 0, -ENOMEM, -E2BIG
void list_free(struct config_list *list);

// Numbers with units (unit.c). 0; -EINVAL: no such thing; -ERANGE: larger than 64 bits.
int size_parse(const char *s, uint64_t *bytes);
int duration_parse(const char *s, uint64_t *ns);
int share_parse(const char *s, uint64_t *millionths);
void size_print(uint64_t bytes, struct text *t);
void share_print(uint64_t millionths, struct text *t);
void duration_print(uint64_t ns, struct text *t);
void option_print_number(const struct option *o, uint64_t value, struct text *t);

// Adds S as part of a message: one line, printable, at most MOST bytes.
void text_add_quoted(struct text *t, const char *s, size_t most);
#define QUOTED_MAX 80

// The value of O in C as YAML on one line (print.c).
void option_print(const struct option *o, const struct config *c, struct text *t);
// A config of nothing but defaults; NULL and ENOMEM.
struct config *config_standard(void);

// What is read into where (load.c).
struct load {
	struct config *config;
	struct text *why, *warnings;
	uint32_t problems;
	uint32_t said; // of which receivers it was said whether they are enabled, a bit each
	int error;     // -ENOMEM
};
#define PROBLEMS_MAX 100
// Adds a line "config: WHERE: KEY: WHAT" (or "config: WHERE:LINE: ..." where LINE is not 0; KEY may
// be NULL).
__attribute__((format(printf, 5, 6))) void load_problem(
    struct load *l, const char *where, long line, const char *key, const char *what, ...);
__attribute__((format(printf, 3, 4))) void load_warning(
    struct load *l, const char *where, const char *what, ...);
// Sets O from VALUE, or tells the problem.
void load_value(
    struct load *l, const char *where, long line, const struct option *o, const char *value);

void load_file(struct load *l, const char *path);
void load_yaml(struct load *l, const char *name, const char *bytes, size_t n);
void load_environment(struct load *l, char *const *environment);
void load_flags(struct load *l, char *const *flags);
