// SPDX-License-Identifier: Apache-2.0
// What a capture of several types becomes: which files, under which names, and what is said of
// those that there are none of.
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

// Of the capture, as the rooms below would tell it.
#define hall_left_out fake_left_out
#define path_untold fake_untold
#define path_totals(p, t) fake_totals(p, t)
#include "../../modules/command/result.c"
#undef hall_left_out
#undef path_untold
#undef path_totals

#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static uint32_t refused; // 1 << type: by the kernel
static bool met;	 // a program that might have told
static char folder[] = "/tmp/telegen-result-XXXXXX", output[128], said[4096];
static struct arguments arguments;
static struct config config;
static struct record_run run;

const char *fake_left_out(const struct hall *h, enum path_type type)
{
	(void)h;
	return refused & 1u << type ? "needs Linux 5.17" : NULL;
}

bool fake_untold(const struct path *p, enum path_type type, char *why, size_t size)
{
	(void)p;
	(void)type;
	text_copy(why, size, "nobody told");
	return met;
}

void fake_totals(const struct path *p, struct path_totals *t)
{
	(void)p;
	*t = (struct path_totals){.taken = 1, .delivered = 1};
}

// A capture of TYPES into NAME that was asked for ASKED (0: without -t) and got profiles of GOT.
static void begin(const char *name, uint32_t asked, uint32_t types, uint32_t got)
{
	snprintf(output, sizeof(output), "%s/%s", folder, name);
	refused = 0;
	met = false;
	arguments = (struct arguments){.types = asked};
	run = (struct record_run){.arguments = &arguments, .output = output, .types = types};
	run.hall.options.config = &config;
	assert_int_equal(merged_open(&run.merged, got), 0);
}

static int finish(void)
{
	int saved = dup(2), to = memfd_create("stderr", MFD_CLOEXEC);
	dup2(to, 2);
	int status = record_result(&run);
	dup2(saved, 2);
	ssize_t n = pread(to, said, sizeof(said) - 1, 0);
	said[n > 0 ? n : 0] = 0;
	close(saved);
	close(to);
	merged_free(&run.merged);
	assert_int_equal(mem_used(ACCOUNT_COMMAND), 0);
	return status;
}

static bool takes(const char *name) // there, and taken away
{
	char path[160];
	snprintf(path, sizeof(path), "%s/%s", folder, name);
	return unlink(path) == 0;
}

static void says(const char *words)
{
	if (!strstr(said, words))
		fail_msg("\"%s\" is not in: %s", words, said);
}

static void says_last(const char *words)
{
	size_t n = strlen(words), all = strlen(said);
	if (all <= n || strncmp(said + all - 1 - n, words, n) != 0)
		fail_msg("\"%s\" does not end: %s", words, said);
}

#define CPU (1u << PATH_CPU)
#define OFF (1u << PATH_OFF_CPU)
#define MEMORY (1u << PATH_MEMORY)
#define HEAP (1u << PATH_HEAP)

static void each_type_has_its_file(void **state)
{
	(void)state;
	begin("x.folded", CPU | OFF, CPU | OFF, CPU | OFF);
	assert_int_equal(finish(), EXIT_DONE);
	assert_true(takes("x.cpu.folded") && takes("x.offcpu.folded"));
	assert_null(strstr(said, ", not "));
	begin("x.folded", MEMORY, MEMORY, MEMORY | HEAP); // the heap comes beside
	assert_int_equal(finish(), EXIT_DONE);
	assert_true(takes("x.folded") && takes("x.heap.folded"));
}

static void what_the_kernel_refuses_has_none(void **state)
{
	(void)state;
	begin("x.folded", CPU | OFF, CPU | OFF, CPU | OFF);
	refused = OFF;
	assert_int_equal(finish(), EXIT_DONE);
	assert_true(takes("x.cpu.folded")); // the name does not depend on it
	assert_false(takes("x.offcpu.folded") || takes("x.folded"));
	says("telegen: warning: record: offcpu: ");
	says("x.offcpu.folded was not written: needs Linux 5.17\n");
	says("x.cpu.folded, not ");
	says_last("x.offcpu.folded");
}

static void what_nobody_told_has_none(void **state)
{
	(void)state;
	static char program[] = "./program", *command[] = {program, NULL};
	begin("x.folded", CPU | HEAP, CPU | HEAP, CPU);
	assert_int_equal(finish(), EXIT_DONE);
	assert_true(takes("x.cpu.folded") && !takes("x.heap.folded"));
	says("telegen: warning: record: heap: ");
	says_last("x.heap.folded");
	begin("x.folded", HEAP, HEAP, 0);
	arguments.command = command;
	run.child_ended = true;
	assert_int_equal(finish(), EXIT_FAILED);
	assert_false(takes("x.folded"));
	says("telegen: error: record: heap: ");
	says_last("x.folded was not written: nobody told: ./program had ended by then");
	begin("x.folded", HEAP, HEAP, 0);
	met = run.child_ended = true; // then that is why
	assert_int_equal(finish(), EXIT_FAILED);
	says_last("x.folded was not written: nobody told");
}

static void what_a_recording_does_not_hold(void **state)
{
	(void)state;
	begin("x.folded", CPU | HEAP, CPU | HEAP, CPU);
	arguments.source = "y.rec";
	assert_int_equal(finish(), EXIT_DONE);
	assert_true(takes("x.cpu.folded"));
	says("x.heap.folded was not written: the recording holds none\n");
	begin("x.folded", 0, CPU, 0);
	arguments.source = "y.rec";
	assert_int_equal(finish(), EXIT_FAILED);
	says_last("telegen: error: y.rec: the recording holds no sample");
	assert_false(takes("x.folded"));
}

// A file that cannot be written keeps no other from being written, and the last line tells both.
static void one_that_cannot_be_written(void **state)
{
	(void)state;
	char blocked[160];
	begin("x.folded", CPU | OFF | MEMORY, CPU | OFF | MEMORY, CPU | OFF | MEMORY);
	snprintf(blocked, sizeof(blocked), "%s/x.offcpu.folded", folder);
	assert_int_equal(mkdir(blocked, 0700), 0);
	assert_int_equal(finish(), EXIT_FAILED);
	assert_true(takes("x.cpu.folded") && takes("x.memory.folded"));
	assert_int_equal(rmdir(blocked), 0);
	says("x.offcpu.folded: Is a directory");
	says("; wrote ");
	says("x.memory.folded, not ");
	says_last("x.offcpu.folded");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(each_type_has_its_file),
	    cmocka_unit_test(what_the_kernel_refuses_has_none),
	    cmocka_unit_test(what_nobody_told_has_none),
	    cmocka_unit_test(what_a_recording_does_not_hold),
	    cmocka_unit_test(one_that_cannot_be_written),
	};
	if (!mkdtemp(folder))
		return 1;
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	rmdir(folder); // where something is left a test has told
	return failed;
}
