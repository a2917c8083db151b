// SPDX-License-Identifier: Apache-2.0
// Numbers with units. Sizes count in powers of 1024 whatever the spelling (48m, 48MB, 48MiB are the
// same). Durations are written as Go's time.ParseDuration takes them: 1m30s, 500ms, 1.5h.
#include "option.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>

static const struct {
	char letter;
	unsigned shift;
} size_units[] = {{'t', 40}, {'g', 30}, {'m', 20}, {'k', 10}};

static const struct {
	const char *name;
	uint64_t ns;
} duration_units[] = {
    {"h", 3600 * NS_PER_S},
    {"m", 60 * NS_PER_S},
    {"s", NS_PER_S},
    {"ms", NS_PER_MS},
    {"us", NS_PER_US},
    {"\xc2\xb5s", NS_PER_US}, // micro sign
    {"\xce\xbcs", NS_PER_US}, // Greek mu
    {"ns", 1},
};
#define DURATION_UNITS (sizeof(duration_units) / sizeof(*duration_units))

int size_parse(const char *s, uint64_t *bytes)
{
	size_t digits = strspn(s, "0123456789");
	uint64_t n;
	int error = text_number(s, digits, 10, &n);
	if (error)
		return error;
	const char *unit = s + digits + strspn(s + digits, " ");
	unsigned shift = 0;
	for (size_t i = 0; i < sizeof(size_units) / sizeof(*size_units); i++)
		if (tolower((unsigned char)*unit) == size_units[i].letter)
			shift = size_units[i].shift;
	if (shift)
		unit++;
	if (shift && *unit == 'i')
		unit++;
	if (*unit == 'b' || *unit == 'B')
		unit++;
	if (*unit)
		return -EINVAL;
	if (n > UINT64_MAX >> shift)
		return -ERANGE;
	*bytes = n << shift;
	return 0;
}

void size_print(uint64_t bytes, struct text *t)
{
	for (size_t i = 0; i < sizeof(size_units) / sizeof(*size_units); i++) {
		unsigned shift = size_units[i].shift;
		if (!bytes || bytes & ((1ull << shift) - 1))
			continue;
		text_printf(t, "%" PRIu64 "%cB", bytes >> shift, toupper(size_units[i].letter));
		return;
	}
	text_printf(t, "%" PRIu64, bytes);
}

// The fraction ".25" of UNIT ns; moves *S behind it. What is smaller than 1 ns is cut off.
static uint64_t fraction(const char **s, uint64_t unit)
{
	uint64_t ns = 0;
	for (; **s >= '0' && **s <= '9'; (*s)++) {
		uint64_t digit = (uint64_t)(**s - '0');
		ns += digit * unit / 10;
		unit /= 10;
	}
	return ns;
}

// "2%", "0.5%": digits behind the fourth are cut off.
int share_parse(const char *s, uint64_t *millionths)
{
	size_t digits = strspn(s, "0123456789");
	const char *rest = s + digits;
	uint64_t n, parts = 0;
	int error = text_number(s, digits, 10, &n);
	if (error)
		return error;
	if (*rest == '.') {
		rest++;
		for (uint64_t part = 1000; *rest >= '0' && *rest <= '9'; rest++, part /= 10)
			parts += (uint64_t)(*rest - '0') * part;
	}
	if (strcmp(rest, "%") && (n || parts || *rest))
		return -EINVAL;
	if (n > 1000000)
		return -ERANGE;
	*millionths = n * 10000 + parts;
	return 0;
}

void share_print(uint64_t millionths, struct text *t)
{
	uint64_t parts = millionths % 10000;
	int width = 4;
	text_printf(t, "%" PRIu64, millionths / 10000);
	while (parts && parts % 10 == 0) {
		parts /= 10;
		width--;
	}
	if (parts)
		text_printf(t, ".%0*" PRIu64, width, parts);
	text_puts(t, "%");
}

int duration_parse(const char *s, uint64_t *ns)
{
	uint64_t sum = 0;
	if (!strcmp(s, "0")) {
		*ns = 0;
		return 0;
	}
	do {
		size_t digits = strspn(s, "0123456789");
		const char *point = s[digits] == '.' ? s + digits + 1 : NULL;
		const char *unit = point ? point + strspn(point, "0123456789") : s + digits;
		size_t length = strcspn(unit, "0123456789"), i = 0;
		uint64_t n;
		int error = text_number(s, digits, 10, &n);
		if (error)
			return error;
		while (i < DURATION_UNITS && (strlen(duration_units[i].name) != length ||
						 strncmp(duration_units[i].name, unit, length)))
			i++;
		if (i == DURATION_UNITS)
			return -EINVAL;
		uint64_t part = point ? fraction(&point, duration_units[i].ns) : 0;
		if (__builtin_mul_overflow(n, duration_units[i].ns, &n) ||
		    __builtin_add_overflow(sum, n, &sum) || __builtin_add_overflow(sum, part, &sum))
			return -ERANGE;
		s = unit + length;
	} while (*s);
	*ns = sum;
	return 0;
}

void duration_print(uint64_t ns, struct text *t)
{
	if (!ns)
		text_puts(t, "0s");
	for (size_t i = 0; i < DURATION_UNITS; i++) {
		uint64_t n = ns / duration_units[i].ns;
		if (!n)
			continue;
		text_printf(t, "%" PRIu64 "%s", n, duration_units[i].name);
		ns -= n * duration_units[i].ns;
	}
}
