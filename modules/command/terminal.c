// SPDX-License-Identifier: Apache-2.0
#include "terminal.h"

#include <stdbool.h>
#include <string.h>
#include <sys/ioctl.h>

void terminal_size(int fd, int *lines, int *columns)
{
	struct winsize w;
	bool known = ioctl(fd, TIOCGWINSZ, &w) == 0;
	*lines = known && w.ws_row ? w.ws_row : 40;
	*columns = known && w.ws_col ? w.ws_col : 100;
}

void terminal_fit(char *line, int columns)
{
	char *to = line;
	for (const char *part = line; *part; part += *part == '\t') {
		size_t n = strcspn(part, "\t");
		if (to - line + (long)n > columns)
			break;
		memmove(to, part, n);
		to += n;
		part += n;
	}
	*to = 0;
}
