// SPDX-License-Identifier: Apache-2.0
// JSON out: strings with everything escaped that must be (and </ so that it may stand in a script).
#pragma once
#include "text.h"

// Adds S[0..n) as a JSON string with quotes; invalid UTF-8 becomes U+FFFD.
int json_string(struct text *t, const char *s, size_t n);
