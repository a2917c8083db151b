// SPDX-License-Identifier: Apache-2.0
// Log lines on stderr, text or JSON: "telegen: LEVEL: message". One write per line, without
// allocation; errno is kept. What is not printable in a message becomes "?", so that a name from
// outside cannot forge a line. A reader who has stopped reading costs a line 10 ms at most, then it
// is dropped (COUNT_LOG_DROPPED).
#pragma once
#include <stdbool.h>

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARN, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

void log_set_level(enum log_level level);
void log_set_json(bool json);
void log_line(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));
// Like log_line, at most once a minute per call site; says how many it kept back.
#define log_seldom(level, ...)                                                                     \
	do {                                                                                       \
		static struct log_site site_;                                                      \
		if (log_site_open(&site_, level))                                                  \
			log_line(level, __VA_ARGS__);                                              \
	} while (0)
struct log_site {
	unsigned long long next_ns;
	unsigned long held;
};
bool log_site_open(struct log_site *site, enum log_level level);

#define log_error(...) log_line(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warn(...) log_line(LOG_LEVEL_WARN, __VA_ARGS__)
#define log_info(...) log_line(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...) log_line(LOG_LEVEL_DEBUG, __VA_ARGS__)
