// SPDX-License-Identifier: Apache-2.0
#include "log.h"
#include "clock.h"
#include "json.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static enum log_level threshold = LOG_LEVEL_INFO;
static bool as_json;

void log_set_level(enum log_level level)
{
	threshold = level;
}

void log_set_json(bool json)
{
	as_json = json;
}

static const char *const level_names[] = {"error", "warning", "info", "debug"};

static void put(const char *line, size_t n)
{
	// A log that cannot be written has nowhere else to be told.
	for (ssize_t w; n && (w = write(STDERR_FILENO, line, n)) > 0; line += w, n -= (size_t)w)
		;
}

void log_line(enum log_level level, const char *format, ...)
{
	char message[1024], line[2600];
	if (level > threshold)
		return;
	va_list args;
	va_start(args, format);
	vsnprintf(message, sizeof(message), format, args);
	va_end(args);
	int n = 0;
	if (!as_json) {
		const char *tag = level == LOG_LEVEL_INFO ? "" : level_names[level];
		n = snprintf(line, sizeof(line), "telegen: %s%s%s\n", tag, *tag ? ": " : "", message);
	} else {
		struct text t = TEXT(ACCOUNT_BASE);
		time_t now = (time_t)(clock_wall() / NS_PER_S);
		struct tm tm;
		char when[32];
		gmtime_r(&now, &tm);
		strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%SZ", &tm);
		if (json_string(&t, message, strlen(message)) == 0)
			n = snprintf(line, sizeof(line), "{\"time\":\"%s\",\"level\":\"%s\",\"message\":%s}\n",
			    when, level_names[level], t.at);
		text_free(&t);
	}
	if (n > 0)
		put(line, (size_t)n < sizeof(line) ? (size_t)n : sizeof(line) - 1);
}

bool log_site_open(struct log_site *site)
{
	unsigned long long now = clock_now();
	if (now < site->next_ns) {
		site->held++;
		return false;
	}
	if (site->held)
		log_line(LOG_LEVEL_INFO, "%lu more lines like the next one were held back", site->held);
	site->held = 0;
	site->next_ns = now + 60 * NS_PER_S;
	return true;
}
