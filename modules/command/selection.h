// SPDX-License-Identifier: Apache-2.0
// Who is captured: what the command line selects, else what the configuration does.
#pragma once
#include "hall.h"

// The filter of it, NULL + errno (EINVAL: WHY says what is wrong).
struct filter *selection_filter(const struct hall_options *o, char *why, size_t size);
// Adds the selection as the user wrote it: "--comm foo,bar or --cgroup /x".
void selection_describe(const struct hall_options *o, struct text *out);
