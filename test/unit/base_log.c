// SPDX-License-Identifier: Apache-2.0
// Lines on stderr, which here is a pipe that the test reads, or does not.
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <fcntl.h>
#include <cmocka.h>

#include "../../modules/base/log.c"

static int real_stderr = -1, pipe_end[2];
static uint64_t now = 1000 * NS_PER_S, wall = 1700000000 * NS_PER_S;

static int setup(void **state)
{
	(void)state;
	real_stderr = dup(STDERR_FILENO);
	if (real_stderr < 0 || pipe2(pipe_end, O_CLOEXEC) < 0 ||
	    dup2(pipe_end[1], STDERR_FILENO) < 0)
		return -1;
	fcntl(pipe_end[0], F_SETFL, O_NONBLOCK);
	clock_fake(&now, &wall);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	dup2(real_stderr, STDERR_FILENO);
	close(real_stderr);
	close(pipe_end[0]);
	close(pipe_end[1]);
	clock_fake(NULL, NULL);
	log_set_level(LOG_LEVEL_INFO);
	log_set_json(false);
	return 0;
}

static const char *told(void)
{
	static char buffer[65536 * 2];
	ssize_t n = read(pipe_end[0], buffer, sizeof(buffer) - 1);
	buffer[n < 0 ? 0 : n] = 0;
	return buffer;
}

static void lines_by_level(void **state)
{
	(void)state;
	log_error("broken: %d", 5);
	assert_string_equal(told(), "telegen: error: broken: 5\n");
	log_warn("odd");
	assert_string_equal(told(), "telegen: warning: odd\n");
	log_info("created shared symbol resolver for all profilers");
	assert_string_equal(told(), "telegen: created shared symbol resolver for all profilers\n");
	log_debug("detail");
	assert_string_equal(told(), "");
	log_set_level(LOG_LEVEL_DEBUG);
	log_debug("detail");
	assert_string_equal(told(), "telegen: debug: detail\n");
	log_set_level(LOG_LEVEL_ERROR);
	log_warn("odd");
	assert_string_equal(told(), "");
}

static void json_lines(void **state)
{
	(void)state;
	log_set_json(true);
	log_warn("say \"%s\" <%s>", "hi\\", "caf\xc3");
	assert_string_equal(told(),
	    "{\"time\":\"2023-11-14T22:13:20Z\",\"level\":\"warning\","
	    "\"message\":\"say \\\"hi\\\\\\\" \\u003ccaf\xef\xbf\xbd>\"}\n");
	// Whatever was in it, a line is whole, and below what a pipe takes at once.
	char worst[5000];
	memset(worst, '<', sizeof(worst) - 1);
	worst[sizeof(worst) - 1] = 0;
	log_info("%s", worst);
	const char *line = told();
	size_t n = strlen(line);
	assert_true(n > 3000 && n < PIPE_BUF);
	assert_string_equal(line + n - 3, "\"}\n");
	assert_ptr_equal(strchr(line, '\n'), line + n - 1);
	assert_int_equal(mem_used(ACCOUNT_BASE), 0);
}

static void json_needs_no_memory(void **state)
{
	(void)state;
	log_set_json(true);
	mem_fail_at(1);
	log_error("memory_limit: reached");
	assert_int_equal(mem_fail_seen(), 0);
	mem_fail_at(0);
	assert_non_null(strstr(told(), "memory_limit: reached"));
}

static void names_forge_no_lines(void **state)
{
	(void)state;
	log_info("process %s", "a\ntelegen: error: all is lost\x1b[2J\x7f");
	assert_string_equal(told(), "telegen: process a?telegen: error: all is lost?[2J?\n");
	char long_one[5000];
	memset(long_one, 'x', sizeof(long_one) - 1);
	long_one[sizeof(long_one) - 1] = 0;
	log_info("%s", long_one);
	const char *line = told();
	assert_true(strlen(line) > 600 && strlen(line) < 700);
	assert_int_equal(line[strlen(line) - 1], '\n');
}

static void errno_is_kept(void **state)
{
	(void)state;
	errno = ENOTDIR;
	log_info("x");
	assert_int_equal(errno, ENOTDIR);
	close(STDERR_FILENO);
	log_info("nobody hears this");
	assert_int_equal(errno, ENOTDIR);
	dup2(pipe_end[1], STDERR_FILENO);
}

static void a_reader_who_stopped_stops_nobody(void **state)
{
	(void)state;
	uint64_t dropped = count_get(COUNT_LOG_DROPPED);
	struct timespec a, b;
	clock_gettime(CLOCK_MONOTONIC, &a);
	char line[500];
	memset(line, 'x', sizeof(line) - 1);
	line[sizeof(line) - 1] = 0;
	for (int i = 0; i < 140; i++) // a pipe holds 64 KiB
		log_info("%s", line);
	clock_gettime(CLOCK_MONOTONIC, &b);
	assert_true(count_get(COUNT_LOG_DROPPED) > dropped);
	assert_true(b.tv_sec - a.tv_sec < 5);
	told();
	log_info("again");
	assert_string_equal(told(), "telegen: again\n");
}

static void say(enum log_level level)
{
	log_seldom(level, "often");
}

static void seldom(void **state)
{
	(void)state;
	for (int i = 0; i < 1000; i++)
		say(LOG_LEVEL_WARN);
	assert_string_equal(told(), "telegen: warning: often\n");
	now += 61 * NS_PER_S;
	say(LOG_LEVEL_WARN);
	assert_string_equal(told(),
	    "telegen: warning: 999 more lines like the next one were held back\n"
	    "telegen: warning: often\n");
	now += 61 * NS_PER_S;
	say(LOG_LEVEL_WARN);
	assert_string_equal(told(), "telegen: warning: often\n");
	now += 61 * NS_PER_S;
	for (int i = 0; i < 3; i++)
		say(LOG_LEVEL_DEBUG); // not shown, so not held back either
	say(LOG_LEVEL_WARN);
	assert_string_equal(told(), "telegen: warning: often\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(lines_by_level, setup, teardown),
	    cmocka_unit_test_setup_teardown(json_lines, setup, teardown),
	    cmocka_unit_test_setup_teardown(json_needs_no_memory, setup, teardown),
	    cmocka_unit_test_setup_teardown(names_forge_no_lines, setup, teardown),
	    cmocka_unit_test_setup_teardown(errno_is_kept, setup, teardown),
	    cmocka_unit_test_setup_teardown(a_reader_who_stopped_stops_nobody, setup, teardown),
	    cmocka_unit_test_setup_teardown(seldom, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
