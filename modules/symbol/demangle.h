// SPDX-License-Identifier: Apache-2.0
// What the demanglers share with each other.
#pragma once
#include <stdbool.h>
#include <stddef.h>

// D's, see https://dlang.org/spec/abi.html#name_mangling. Writes at most SIZE bytes, "..." at the
// end of what was cut. False where NAME is none of D's.
bool demangle_d(const char *name, char *out, size_t size);
