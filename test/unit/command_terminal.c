// SPDX-License-Identifier: Apache-2.0
// Lines are cut between their parts.
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "../../modules/command/terminal.c"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static const char *fit(const char *text, int columns)
{
	static char line[64];
	snprintf(line, sizeof(line), "%s", text);
	terminal_fit(line, columns);
	return line;
}

static void what_does_not_fit_is_left_out(void **state)
{
	(void)state;
	assert_string_equal(fit("3 s\t, 293 samples\t, 0 lost", 80), "3 s, 293 samples, 0 lost");
	assert_string_equal(fit("3 s\t, 293 samples\t, 0 lost", 24), "3 s, 293 samples, 0 lost");
	assert_string_equal(fit("3 s\t, 293 samples\t, 0 lost", 23), "3 s, 293 samples");
	assert_string_equal(fit("3 s\t, 293 samples\t, 0", 15), "3 s"); // nothing behind it either
	assert_string_equal(fit("3 s\t, 293 samples\t, 0", 2), "");
	assert_string_equal(fit("3 s\t\tx\t", 4), "3 sx");
	assert_string_equal(fit("", 0), "");
	assert_string_equal(fit("3 s", -8), "");
}

static void a_terminal_says_how_wide_it_is(void **state)
{
	(void)state;
	int lines, columns, fd = posix_openpt(O_RDWR | O_NOCTTY);
	struct winsize w = {.ws_row = 10, .ws_col = 20};
	if (fd < 0)
		skip();
	assert_int_equal(ioctl(fd, TIOCSWINSZ, &w), 0);
	terminal_size(fd, &lines, &columns);
	assert_int_equal(lines, 10);
	assert_int_equal(columns, 20);
	w = (struct winsize){0};
	assert_int_equal(ioctl(fd, TIOCSWINSZ, &w), 0);
	terminal_size(fd, &lines, &columns);
	assert_int_equal(lines, 40);
	assert_int_equal(columns, 100);
	close(fd);
	terminal_size(-1, &lines, &columns);
	assert_int_equal(columns, 100);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(what_does_not_fit_is_left_out),
	    cmocka_unit_test(a_terminal_says_how_wide_it_is),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
