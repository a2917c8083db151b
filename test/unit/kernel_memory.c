// SPDX-License-Identifier: Apache-2.0
// Samples of memory that becomes resident, against a child that touches so many pages. Needs root.
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <errno.h>
#include <signal.h>
#include <unistd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <cmocka.h>

#include "../../modules/base/base.h"
#include "../../modules/kernel/kernel.h"

#define BYTES (128ul << 20)
#define PERIOD (1ul << 20)

static uint32_t child;
static uint64_t bytes, from, samples, elsewhere, in_touch;

static __attribute__((noinline)) void touch(char *p)
{
	for (size_t i = 0; i < BYTES; i += 4096)
		((volatile char *)p)[i] = 1;
}

static void on_record(void *arg, const struct record *record)
{
	const struct record_sample *s = (const void *)record;
	(void)arg;
	if (record->kind != RECORD_SAMPLE || s->pid != child)
		return;
	assert_int_equal(s->source, SOURCE_MEMORY);
	if (s->object < from || s->object >= from + BYTES) {
		elsewhere++;
		return;
	}
	samples++;
	bytes += s->value;
	const u64 *leaf = s->frames + s->kernel_frames;
	in_touch += s->user_frames && *leaf - (uintptr_t)touch < 256;
}

static void what_is_touched_is_told(void **state)
{
	(void)state;
	char why[512] = "";
	struct kernel_options o = {
	    .max_depth = 127, .memory_period = PERIOD, .on_record = on_record};
	char *p = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_true(p != MAP_FAILED);
	madvise(p, BYTES, MADV_NOHUGEPAGE);
	from = (uintptr_t)p;
	struct kernel *k = kernel_new(&o, why, sizeof(why));
	if (!k && (errno == EPERM || errno == EACCES))
		skip();
	if (!k || kernel_start(k, why, sizeof(why)))
		fail_msg("%s", why);
	assert_null(kernel_memory_why(k));
	assert_null(kernel_off_cpu_why(k)); // not asked for
	int go[2];
	assert_int_equal(pipe(go), 0);
	pid_t pid = fork();
	if (!pid) {
		char c;
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		(void)!read(go[0], &c, 1);
		touch(p);
		_exit(0);
	}
	child = (uint32_t)pid;
	assert_int_equal(write(go[1], "", 1), 1);
	int status;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	while (kernel_drain(k, 64) == 64)
		;
	print_message("%lu MiB touched, %lu told in %lu samples, %lu elsewhere\n", BYTES >> 20,
	    bytes >> 20, samples, elsewhere);
	// A period may be left on each CPU, and others' faults count towards it.
	assert_in_range(bytes, BYTES * 85 / 100, BYTES * 115 / 100);
	assert_int_equal(bytes, samples * PERIOD);
	assert_int_equal(in_touch, samples);
	kernel_free(k);
	munmap(p, BYTES);
	close(go[0]);
	close(go[1]);
	assert_int_equal(mem_used(ACCOUNT_MAPS), 0);
	assert_int_equal(mem_used(ACCOUNT_KERNEL), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(what_is_touched_is_told),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
