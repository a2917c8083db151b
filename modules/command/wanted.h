// SPDX-License-Identifier: Apache-2.0
// What a configuration wants, as far as it can be told without doing it.
#pragma once
#include "hall.h"

// 1 << enum path_type of what is to be profiled; 0, or an exit status with a line in WHY.
int wanted_types(const struct hall_options *o, uint32_t *types, char *why, size_t size);
// Of which of them it is told who ended a wait.
uint32_t wanted_wakers(const struct config *c);
// Whether `telegen run` would refuse C for its values: 0, or the exit status and the line that it
// has for it. What else it may lack (a port, a directory) is not looked at.
int wanted_check(const struct config *c, char *why, size_t size);
