// SPDX-License-Identifier: Apache-2.0
// Configuration: one row per option in options.def makes the file key, the environment variable, the flag, the
// default, the limits, the help, the man page and `telegen config`. File < environment < flags.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct text;

// NULL-terminated list of strings.
struct config_list {
	char **items;
	uint32_t count;
};

// Every option by its key with '.' as '_': profiling.cpu.sample_rate is profiling_cpu_sample_rate. BOOL: bool;
// INT, BYTES, DURATION (ns): uint64_t; TEXT: char * (never NULL); CHOICE: int (index); LIST: struct config_list;
// INTS: struct config_list of numbers as text.
struct config {
#define OPTION_BOOL(field, ...) bool field;
#define OPTION_INT(field, ...) uint64_t field;
#define OPTION_BYTES(field, ...) uint64_t field;
#define OPTION_DURATION(field, ...) uint64_t field;
#define OPTION_TEXT(field, ...) char *field;
#define OPTION_CHOICE(field, ...) int field;
#define OPTION_LIST(field, ...) struct config_list field;
#define OPTION_MAP(field, ...) struct config_list field;
#include "options.def"
};

struct config_source { // each may be NULL
	const char *file;	    // path; must be readable where given
	char *const *environment;   // TELEGEN_... variables are taken, unknown ones are errors
	char *const *flags;	    // "--key=value" or "--key", "value"; NULL-terminated
};
// Reads all sources. NULL with WHY = one line per problem ("config: profiling.cpu.sample_rate: 0 is not in
// 1..1000"), without the program's name. WARNINGS (may be NULL) gets sections of the Go agent that telegen does not do.
struct config *config_load(const struct config_source *source, struct text *warnings, struct text *why);
void config_free(struct config *c);
// YAML that config_load reads back to the same values.
int config_print(const struct config *c, struct text *out);
// The flags, for --help; a man page (telegen.yaml(5), mdoc) and a commented default file.
int config_help(struct text *out);
int config_man(struct text *out);
int config_example(struct text *out);
