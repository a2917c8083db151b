// SPDX-License-Identifier: Apache-2.0
// Configuration: one row per option in options.def makes the file key, the environment variable,
// the flag, the default, the limits, the help, the man page and `telegen config`. File <
// environment < flags.
//
//   key profiling.cpu.sample_rate    TELEGEN_PROFILING_CPU_SAMPLE_RATE
//   --profiling.cpu.sample_rate=49
#pragma once
#include <stddef.h>
#include <stdbool.h>
#include <stdint.h>

struct text;

// NULL-terminated list of strings (NULL where empty).
struct config_list {
	char **items;
	uint32_t count;
};

// Every option by its key with '.' as '_': profiling.cpu.sample_rate is profiling_cpu_sample_rate.
// BOOL: bool; INT, BYTES, SHARE (millionths of a core), DURATION (ns): uint64_t; TEXT: char * (never NULL); CHOICE: int (index);
// LIST: struct config_list, numbers as text too; MAP: struct config_list of "name=value".
struct config {
#define OPTION_BOOL(field, ...) bool field;
#define OPTION_INT(field, ...) uint64_t field;
#define OPTION_BYTES(field, ...) uint64_t field;
#define OPTION_SHARE(field, ...) uint64_t field;
#define OPTION_DURATION(field, ...) uint64_t field;
#define OPTION_TEXT(field, ...) char *field;
#define OPTION_CHOICE(field, ...) int field;
#define OPTION_LIST(field, ...) struct config_list field;
#define OPTION_MAP(field, ...) struct config_list field;
#include "options.def"
};

// profiling.output_format, log.format; log.level is an enum log_level.
enum { CONFIG_OUTPUT_PPROF, CONFIG_OUTPUT_FOLDED, CONFIG_OUTPUT_JSON };
enum { CONFIG_LOG_TEXT, CONFIG_LOG_JSON };
enum { CONFIG_GZIP, CONFIG_NO_COMPRESSION };

struct config_source {		  // each may be NULL
	const char *file;	  // path of a regular file of at most 1 MiB
	char *const *environment; // TELEGEN_... are taken, unknown ones are warned of
	char *const *flags;	  // "--key=value" or "--key", "value"; NULL-terminated
};
// Reads all sources. NULL with errno EINVAL and WHY = a line per problem, parted by '\n' ("config:
// telegen.yaml:3: profiling.cpu.sample_rate: 0 is not in 1..1000"), without the program's name; or
// ENOMEM. WARNINGS gets, in the same form, sections that telegen leaves alone, options without
// effect in this version, unknown variables. WHY and WARNINGS may be NULL.
struct config *config_load(
    const struct config_source *source, struct text *warnings, struct text *why);
void config_free(struct config *c);
// How many arguments the flag ARG takes of a command line: 1 (--key=value, --profiling.enabled), 2
// (--key value); 0: it is no option.
int config_flag(const char *arg);
// YAML that config_load reads back to the same values; only the values of headers and passwords in
// URLs are left out, for they are secrets (the names of headers stand in a comment).
int config_print(const struct config *c, struct text *out);
// The flags, for --help; a man page (telegen.yaml(5), mdoc) and a commented default file. 0 or
// -ENOMEM.
int config_help(struct text *out);
int config_man(struct text *out);
int config_example(struct text *out);
