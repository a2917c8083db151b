// SPDX-License-Identifier: Apache-2.0
// What each type of profile measures, as pprof's readers (go tool pprof, Pyroscope, Parca) expect
// it: the value types and units of Go's own profiles where Go has that profile. No '-' in a type
// (Pyroscope refuses it).
#include "profile.h"

#include <string.h>

static const struct profile_type types[] = {
    {"cpu", 2, {{"samples", "count"}, {"cpu", "nanoseconds"}}, {"cpu", "nanoseconds"}, 1},
    {"offcpu", 2, {{"contentions", "count"}, {"off_cpu", "nanoseconds"}},
	{"off_cpu", "nanoseconds"}, 1},
    {"wall", 1, {{"wall", "nanoseconds"}}, {"wall", "nanoseconds"}, 0},
    {"mutex", 2, {{"contentions", "count"}, {"delay", "nanoseconds"}}, {"contentions", "count"}, 1},
    {"memory", 2, {{"faults", "count"}, {"resident", "bytes"}}, {"space", "bytes"}, 1},
    {"allocs", 2, {{"alloc_objects", "count"}, {"alloc_space", "bytes"}}, {"space", "bytes"}, 1},
    {"heap", 2, {{"inuse_objects", "count"}, {"inuse_space", "bytes"}}, {"space", "bytes"}, 1,
	true},
    {"goblock", 2, {{"contentions", "count"}, {"delay", "nanoseconds"}}, {"contentions", "count"},
	1},
    {"mapped", 2, {{"growths", "count"}, {"mapped", "bytes"}}, {"space", "bytes"}, 1},
};
#define TYPE_COUNT (sizeof(types) / sizeof(*types))

const struct profile_type *profile_type_find(const char *name)
{
	for (size_t i = 0; i < TYPE_COUNT; i++)
		if (!strcmp(types[i].name, name))
			return &types[i];
	return NULL;
}

const struct profile_type *profile_type_match(const struct profile_unit *values, uint32_t count)
{
	for (size_t i = 0; i < TYPE_COUNT; i++) {
		uint32_t v = 0;
		while (v < count && v < types[i].value_count &&
		       !strcmp(types[i].values[v].type, values[v].type) &&
		       !strcmp(types[i].values[v].unit, values[v].unit))
			v++;
		if (v == count && v == types[i].value_count)
			return &types[i];
	}
	return NULL;
}
