// SPDX-License-Identifier: Apache-2.0
// Kernel stacks in and around the loading of a program, with a kernel that names functions.
#include "path_sim.h"

#define kernel_classify classify_of_fake
static int classify_of_fake(struct kernel *k, struct map *m, const uint64_t *addresses,
    uint32_t count, uint64_t (*class_of)(const char *name));
#include "../../modules/path/loading.c"

// A function is its number times 0x100; a return address into it lies behind its first byte.
enum { ENTRY_SYSCALL = 1, DO_SYSCALL, SYS_EXECVE, BPRM_EXECVE, LOAD_ELF, ELF_LOAD, START_THREAD };
enum { ASM_EXC = 8, SYS_READ, FORKED, LOAD_SCRIPT, LOAD_CACHE, UNKNOWN, ARM_ENTRY, LOAD_FLAT };
static const char *const functions[] = {
    [ENTRY_SYSCALL] = "entry_SYSCALL_64_after_hwframe",
    [DO_SYSCALL] = "do_syscall_64",
    [SYS_EXECVE] = "__x64_sys_execve",
    [BPRM_EXECVE] = "bprm_execve",
    [LOAD_ELF] = "load_elf_binary",
    [ELF_LOAD] = "elf_load",
    [START_THREAD] = "start_thread_common.constprop.0",
    [ASM_EXC] = "asm_exc_page_fault",
    [SYS_READ] = "__x64_sys_read",
    [FORKED] = "ret_from_fork_asm",
    [LOAD_SCRIPT] = "load_script",
    [LOAD_CACHE] = "load_elf_phdrs",
    [UNKNOWN] = NULL,
    [ARM_ENTRY] = "el0t_64_sync",
    [LOAD_FLAT] = "load_flat_binary",
};

static int asked, asked_most, failing;

static int classify_of_fake(struct kernel *k, struct map *m, const uint64_t *addresses,
    uint32_t count, uint64_t (*class_of)(const char *name))
{
	(void)k;
	asked += (int)count;
	asked_most = (int)count > asked_most ? (int)count : asked_most;
	assert_true(count <= KERNEL_NAMES_MAX);
	for (uint32_t i = 0; i < count && !failing; i++) {
		uint64_t f = addresses[i] >> 8;
		const char *name =
		    f < sizeof(functions) / sizeof(*functions) ? functions[f] : "other";
		map_put(m, addresses[i], name ? class_of(name) : 0);
	}
	return failing;
}

static struct path path;

static int loads(bool cut, const uint8_t *frames, uint32_t n)
{
	static struct {
		struct record_sample r;
		uint64_t frames[KERNEL_FRAMES_MAX];
	} s;
	s.r.kernel_frames = (uint16_t)n;
	s.r.kernel_cut = cut;
	for (uint32_t i = 0; i < n; i++)
		s.r.frames[i] = (uint64_t)frames[i] << 8 | (i > 0);
	return take_is_loading(&path, &s.r);
}
#define LOADS(...) loads(false, (uint8_t[]){__VA_ARGS__}, sizeof((uint8_t[]){__VA_ARGS__}))

static int begin(void **state)
{
	(void)state;
	path = (struct path){.kernel = (struct kernel *)1, .kernel_functions = MAP(ACCOUNT_PATH)};
	asked = asked_most = failing = 0;
	return 0;
}

static int end(void **state)
{
	(void)state;
	map_clear(&path.kernel_functions);
	return mem_used(ACCOUNT_PATH) != 0;
}

static void stacks(void **state)
{
	(void)state;
#define EXECVE BPRM_EXECVE, SYS_EXECVE, DO_SYSCALL, ENTRY_SYSCALL
	assert_int_equal(LOADS(ELF_LOAD, LOAD_ELF, EXECVE), 1);
	assert_int_equal(LOADS(200, 201, 202, ELF_LOAD, LOAD_ELF, EXECVE), 1);
	assert_int_equal(LOADS(200, LOAD_FLAT, BPRM_EXECVE, ARM_ENTRY), 1);
	assert_int_equal(LOADS(200, LOAD_ELF, BPRM_EXECVE, FORKED), 1);
	// The registers become the new program's at its end.
	assert_true(LOADS(LOAD_ELF, EXECVE) < 0);
	assert_true(LOADS(START_THREAD, LOAD_ELF, EXECVE) < 0);
	assert_true(LOADS(201, START_THREAD, LOAD_ELF, EXECVE) < 0);
	assert_int_equal(LOADS(200, EXECVE), 0);
	assert_int_equal(LOADS(LOAD_SCRIPT, EXECVE), 0);
	assert_int_equal(LOADS(200, LOAD_CACHE, EXECVE), 0);
	assert_int_equal(LOADS(200, ASM_EXC), 0);
	assert_int_equal(LOADS(SYS_READ, DO_SYSCALL, ENTRY_SYSCALL), 0);
	// The unwinder stopped on its way: the loader may be what is missing.
	assert_true(LOADS(200, 201) < 0);
	assert_true(LOADS(UNKNOWN, UNKNOWN) < 0);
	assert_true(loads(true, (uint8_t[]){200, ASM_EXC}, 2) < 0);
	assert_true(loads(false, NULL, 0) < 0);
}

static void each_address_is_asked_once(void **state)
{
	(void)state;
	uint8_t deep[100];
	for (uint32_t i = 0; i < sizeof(deep); i++)
		deep[i] = (uint8_t)(100 + i);
	deep[99] = ENTRY_SYSCALL;
	assert_int_equal(loads(false, deep, sizeof(deep)), 0);
	assert_int_equal(asked, KERNEL_NAMES_MAX); // those near the root are enough
	assert_int_equal(loads(false, deep, sizeof(deep)), 0);
	assert_int_equal(asked, KERNEL_NAMES_MAX);
	for (uint64_t i = 0; i < 2 * FUNCTIONS_MAX; i++) {
		struct {
			struct record_sample r;
			uint64_t frames[2];
		} s = {.r.kernel_frames = 2};
		s.r.frames[0] = 0x100000 + i;
		s.r.frames[1] = ENTRY_SYSCALL << 8 | 1;
		assert_int_equal(take_is_loading(&path, &s.r), 0);
		assert_true(path.kernel_functions.count <= FUNCTIONS_MAX + KERNEL_NAMES_MAX);
	}
}

static void a_kernel_that_does_not_tell(void **state)
{
	(void)state;
	failing = -EOPNOTSUPP;
	assert_int_equal(LOADS(ELF_LOAD, LOAD_ELF, EXECVE), -EOPNOTSUPP);
	failing = 0;
	for (uint64_t nth = 1; nth < 4; nth++) {
		mem_fail_at(nth);
		int got = LOADS(ELF_LOAD, LOAD_ELF, EXECVE);
		assert_true(got == 1 || got == -ENOMEM);
		mem_fail_at(0);
	}
	assert_int_equal(LOADS(ELF_LOAD, LOAD_ELF, EXECVE), 1);
	path.kernel = NULL;
	assert_true(LOADS(ELF_LOAD, LOAD_ELF, EXECVE) < 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(stacks, begin, end),
	    cmocka_unit_test_setup_teardown(each_address_is_asked_once, begin, end),
	    cmocka_unit_test_setup_teardown(a_kernel_that_does_not_tell, begin, end),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
