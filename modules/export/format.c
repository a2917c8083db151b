// SPDX-License-Identifier: Apache-2.0
// Formats by the name of a file.
#include "export.h"

#include <errno.h>
#include <string.h>

static const struct {
	const char *suffix;
	enum export_format format;
} suffixes[] = {
    {".pb.gz", EXPORT_PPROF},
    {".pprof", EXPORT_PPROF},
    {".folded", EXPORT_FOLDED},
    {".collapsed", EXPORT_FOLDED},
    {".txt", EXPORT_FOLDED},
    {".json", EXPORT_SPEEDSCOPE},
    {".html", EXPORT_HTML},
};

int export_format_of(const char *path, enum export_format *format)
{
	size_t n = strlen(path);
	for (size_t i = 0; i < sizeof(suffixes) / sizeof(*suffixes); i++) {
		size_t m = strlen(suffixes[i].suffix);
		if (n < m || strcmp(path + n - m, suffixes[i].suffix))
			continue;
		*format = suffixes[i].format;
		return 0;
	}
	return -EINVAL;
}

static const struct {
	const char *suffix, *content_type;
} formats[] = {
    [EXPORT_PPROF] = {"pb.gz", "application/octet-stream"},
    [EXPORT_FOLDED] = {"folded", "text/plain; charset=utf-8"},
    [EXPORT_SPEEDSCOPE] = {"speedscope.json", "application/json"},
    [EXPORT_HTML] = {"html", "text/html; charset=utf-8"},
    [EXPORT_FLAME] = {"flame.json", "application/json"},
};

const char *export_suffix(enum export_format format)
{
	return formats[format].suffix;
}

const char *export_content_type(enum export_format format)
{
	return formats[format].content_type;
}
