// SPDX-License-Identifier: Apache-2.0
#include "log.h"
#include "clock.h"
#include "count.h"
#include "json.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define WAIT_MS 10
// Even where each byte becomes an escape of six, a line stays below PIPE_BUF: a pipe that has any
// room takes it whole.
#define MESSAGE_MAX 640

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
	struct pollfd p = {.fd = STDERR_FILENO, .events = POLLOUT};
	if (poll(&p, 1, WAIT_MS) == 0) {
		count_add(COUNT_LOG_DROPPED, 1);
		return;
	}
	// A log that cannot be written has nowhere else to be told.
	while (n) {
		ssize_t w = write(STDERR_FILENO, line, n);
		if (w < 0 && errno == EINTR)
			continue;
		if (w <= 0)
			return;
		line += w;
		n -= (size_t)w;
	}
}

static size_t as_text(char *line, size_t size, enum log_level level, const char *message)
{
	const char *tag = level == LOG_LEVEL_INFO ? "" : level_names[level];
	return (size_t)snprintf(line, size, "telegen: %s%s%s\n", tag, *tag ? ": " : "", message);
}

static size_t as_object(char *line, size_t size, enum log_level level, const char *message)
{
	time_t now = (time_t)(clock_wall() / NS_PER_S);
	struct tm tm;
	char when[32] = "";
	// A text over LINE, which is large enough: it is never resized.
	struct text t = {.at = line, .cap = size, .account = ACCOUNT_BASE};
	gmtime_r(&now, &tm);
	strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%SZ", &tm);
	text_printf(&t, "{\"time\":\"%s\",\"level\":\"%s\",\"message\":", when, level_names[level]);
	json_string(&t, message, strlen(message));
	text_add(&t, "}\n", 2);
	return t.len;
}

void log_line(enum log_level level, const char *format, ...)
{
	char message[MESSAGE_MAX] = "", line[PIPE_BUF];
	int error = errno;
	if (level > threshold)
		return;
	va_list args;
	va_start(args, format);
	vsnprintf(message, sizeof(message), format, args);
	va_end(args);
	for (char *c = message; *c; c++)
		if ((unsigned char)*c < 0x20 || *c == 0x7f)
			*c = '?';
	put(line, as_json ? as_object(line, sizeof(line), level, message)
			  : as_text(line, sizeof(line), level, message));
	errno = error;
}

bool log_site_open(struct log_site *site, enum log_level level)
{
	unsigned long long now = clock_now();
	if (level > threshold)
		return false;
	if (now < site->next_ns) {
		site->held++;
		return false;
	}
	if (site->held)
		log_line(level, "%lu more lines like the next one were held back", site->held);
	site->held = 0;
	site->next_ns = now + 60 * NS_PER_S;
	return true;
}
