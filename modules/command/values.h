// SPDX-License-Identifier: Apache-2.0
// Values of options, one function for each kind: what is read goes into the arguments. VERB and
// OPTION are for messages. Each is 0 or EXIT_USAGE after a line on stderr that names the option,
// the value and the way out.
#pragma once
#include <stdint.h>

struct arguments;

// Says what is wrong with THING: EXIT_USAGE. VALUE may be NULL.
int value_wrong(const char *verb, const char *thing, const char *value, const char *way_out);
// "10s", "500ms", "2m", "1h"; a plain number is seconds. 0 or -EINVAL.
int value_duration(const char *s, uint64_t *ns);
int value_pids(struct arguments *a, const char *verb, const char *option, const char *list);
int value_names(const char **list, const char *verb, const char *option, char *value, char begins);
int value_cgroups(const char **list, const char *verb, const char *option, char *value);
int value_types(struct arguments *a, const char *verb, const char *option, const char *list);
int value_one_type(struct arguments *a, const char *verb, const char *option, const char *value);
// An option of the configuration, as it stands on the command line.
int value_flag(struct arguments *a, const char *verb, const char *flag);
int value_rate(struct arguments *a, const char *verb, const char *option, const char *value);
int value_leaks(struct arguments *a, const char *verb, const char *option, const char *value);
