// SPDX-License-Identifier: Apache-2.0
// kallsyms in a memory file: lines, aliases, and a pass against a search through all lines.
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <sys/mman.h>

#include "../../modules/symbol/kernel.c"

static int file_of(const char *text)
{
	int fd = memfd_create("kallsyms", MFD_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	return fd;
}

struct got {
	int times;
	uint64_t start, end;
	char name[128];
};

static void keep(void *arg, uint32_t index, const struct elf_symbol *symbol)
{
	struct got *g = (struct got *)arg + index;
	g->times++;
	g->start = symbol->start;
	g->end = symbol->end;
	snprintf(g->name, sizeof(g->name), "%s", symbol->name ? symbol->name : "");
}

static int ask(const char *text, const uint64_t *addresses, uint32_t count, struct got *got)
{
	int fd = file_of(text), result;
	memset(got, 0, count * sizeof(*got));
	struct kernel_pass *k = kernel_pass_new(fd, addresses, count, keep, got);
	result = k ? 1 : -errno;
	for (int i = 0; k && result == 1 && i < 100000; i++)
		result = kernel_pass_step(k, 0);
	kernel_pass_free(k);
	close(fd);
	return result;
}

static void lines(void **state)
{
	(void)state;
	struct kernel_line l;
	const char *good = "ffffffff81000000 T _stext", *module = "ffffffffc0000010 t go\t[nf_nat]";
	assert_true(kernel_line(good, strlen(good), &l));
	assert_true(l.address == 0xffffffff81000000 && l.type == 'T');
	assert_string_equal(l.name, "_stext");
	assert_string_equal(l.module, "");
	assert_true(kernel_line(module, strlen(module), &l));
	assert_string_equal(l.name, "go");
	assert_string_equal(l.module, "nf_nat");
	static const char *const bad[] = {"", " ", "x", "ffff T", "ffff T ", "ffff  name",
	    "ffff Tname x", "ffffffffffffffff0 T f", "fg T f", "ff T f\t[", "ff T f\t[]",
	    "ff T f\tmod", "ff T \t[m]"};
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		assert_false(kernel_line(bad[i], strlen(bad[i]), &l));
	char longest[700];
	memset(longest, 'a', sizeof(longest));
	memcpy(longest, "ff T ", 5);
	assert_false(kernel_line(longest, sizeof(longest), &l));
	assert_true(kernel_line(longest, 500, &l));
}

static void aliases_are_chosen_as_perf_does(void **state)
{
	(void)state;
	assert_true(kernel_better('T', "f", 'W', "longer"));	// not weak
	assert_true(kernel_better('T', "f", 't', "longer"));	// global
	assert_true(kernel_better('t', "f", 't', "__longer"));	// underscores
	assert_true(kernel_better('t', "longer", 't', "f"));	// longer
	assert_true(kernel_better('t', "sys_x", 't', "SyS_x")); // no wrapper
	assert_true(kernel_better('t', "a", 't', "b") && !kernel_better('t', "b", 't', "a"));
}

static void what_a_pass_finds(void **state)
{
	(void)state;
	static const char text[] = "0000000000000000 A fixed_percpu_data\n"
				   "ffff1000 T _stext\n"
				   "ffff1000 T first\n"
				   "ffff1000 T __pi_first\n"
				   "ffff10f0 t __pfx_second\n"
				   "ffff1100 t second\n"
				   "ffff1100 W weak_second\n"
				   "ffff1200 t __cfi_third\n"
				   "ffff1210 d data\n"
				   "garbage\n"
				   "ffff1300 T third\n"
				   "ffff2000 T _etext\n"
				   "ffff5000 T _sinittext\n"
				   "ffff5010 t early_setup\n"
				   "ffff8000 t last_of_a\t[a]\n"
				   "ffff7000 t first_of_a\t[a]\n"
				   "ffffa000 t trampoline\t[__builtin__ftrace]\n"
				   "ffff9000 t bpf_prog_0123456789abcdef_x\t[bpf]\n"
				   "ffffc000 t bpf_prog_fedcba9876543210_y\t[bpf]\n"
				   "fffffff0 t torn";
	static const struct {
		uint64_t address;
		const char *name;
		uint64_t start, end;
	} want[] = {
	    {0x800, "", 0, 0xffff1000},
	    {0xffff1000, "first", 0xffff1000, 0xffff1100},
	    {0xffff10ff, "first", 0xffff1000, 0xffff1100},
	    {0xffff1100, "second", 0xffff1100, 0xffff1300},
	    {0xffff12ff, "second", 0xffff1100, 0xffff1300},
	    {0xffff1300, "third", 0xffff1300, 0xffff2000},
	    {0xffff1fff, "third", 0xffff1300, 0xffff2000},
	    {0xffff2000, "", 0xffff2000, 0xffff5000},
	    {0xffff5020, "", 0xffff5010, 0xffff7000},
	    {0xffff7fff, "first_of_a [a]", 0xffff7000, 0xffff8000},
	    {0xffff8001, "last_of_a [a]", 0xffff8000, 0xffff9000},
	    {0xffff9000, "bpf_prog_0123456789abcdef_x [bpf]", 0xffff9000, 0xffffa000},
	    {0xffffafff, "trampoline [__builtin__ftrace]", 0xffffa000, 0xffffb000},
	    {0xffffb000, "", 0xffffb000, 0xffffc000},
	    {0xffffcfff, "bpf_prog_fedcba9876543210_y [bpf]", 0xffffc000, 0x10000c000},
	    {0x10000c000, "", 0x10000c000, UINT64_MAX},
	};
	enum { N = sizeof(want) / sizeof(*want) };
	uint64_t addresses[N];
	struct got got[N];
	for (int i = 0; i < N; i++)
		addresses[i] = want[i].address;
	assert_int_equal(ask(text, addresses, N, got), 0);
	for (int i = 0; i < N; i++) {
		assert_int_equal(got[i].times, 1);
		assert_string_equal(got[i].name, want[i].name);
		assert_int_equal(got[i].start, want[i].start);
		assert_int_equal(got[i].end, want[i].end);
	}
}

// Random vmlinux in order, modules not; the truth by looking through all of them.
static void same_as_looking_through_all(void **state)
{
	(void)state;
	enum { SYMBOLS = 3000, ADDRESSES = 200 };
	static uint64_t at[SYMBOLS], addresses[ADDRESSES];
	static struct got got[ADDRESSES];
	uint64_t seed = 5, address = 0x1000;
	struct text t = TEXT(ACCOUNT_BASE);
	for (int i = 0; i < SYMBOLS; i++) {
		seed = hash_mix(seed + 1);
		address += 16 + seed % 200;
		at[i] = address;
	}
	for (int i = 0; i < 2000; i++)
		text_printf(&t, "%016llx t v%d\n", (unsigned long long)at[i], i);
	for (int block = 9; block >= 0; block--) // modules, the highest first
		for (int i = 2000 + block * 100; i < 2100 + block * 100; i++)
			text_printf(
			    &t, "%016llx t v%d\t[m%d]\n", (unsigned long long)at[i], i, block);
	for (int i = 0; i < ADDRESSES; i++)
		addresses[i] = at[0] + (uint64_t)i * (at[SYMBOLS - 1] - at[0]) / ADDRESSES;
	assert_int_equal(ask(t.at, addresses, ADDRESSES, got), 0);
	for (int i = 0; i < ADDRESSES; i++) {
		int s = SYMBOLS - 1;
		while (at[s] > addresses[i])
			s--;
		char name[64];
		snprintf(name, sizeof(name), s < 2000 ? "v%d" : "v%d [m%d]", s, (s - 2000) / 100);
		assert_string_equal(got[i].name, name);
		assert_int_equal(got[i].start, at[s]);
		assert_int_equal(got[i].end, s + 1 < SYMBOLS ? at[s + 1] : at[s] + MODULE_END);
	}
	text_free(&t);
}

static void the_rest_is_not_read_when_all_is_found(void **state)
{
	(void)state;
	struct text t = TEXT(ACCOUNT_BASE);
	text_puts(&t, "1000 T _stext\n1000 T a\n2000 T b\n3000 T c\n");
	for (int i = 0; i < 20000; i++)
		text_printf(&t, "%x T f%d\n", 0x4000 + i * 16, i);
	int fd = file_of(t.at);
	uint64_t address = 0x2010;
	struct got got = {0};
	struct kernel_pass *k = kernel_pass_new(fd, &address, 1, keep, &got);
	assert_int_equal(kernel_pass_step(k, NS_PER_S), 0);
	assert_string_equal(got.name, "b");
	assert_true(k->offset <= CHUNK);
	kernel_pass_free(k);
	close(fd);
	text_free(&t);
}

static void hidden_addresses(void **state)
{
	(void)state;
	uint64_t address = 0xffff1000;
	struct got got;
	assert_int_equal(
	    ask("0000000000000000 T _stext\n0000000000000000 t f\n", &address, 1, &got), -EPERM);
	assert_int_equal(got.times, 0);
	assert_int_equal(ask("", &address, 1, &got), 0);
	assert_string_equal(got.name, "");
	struct text t = TEXT(ACCOUNT_BASE);
	for (int i = 0; i < 100000; i++)
		text_puts(&t, "0000000000000000 t some_function\n");
	assert_int_equal(ask(t.at, &address, 1, &got), -EPERM);
	text_free(&t);
}

static void a_line_without_end(void **state)
{
	(void)state;
	struct text t = TEXT(ACCOUNT_BASE);
	text_puts(&t, "1000 T a\n");
	for (int i = 0; i < 5000; i++)
		text_puts(&t, "xxxxxxxxxxxxxxxx");
	text_puts(&t, "\n2000 T b\n3000 T c\n");
	uint64_t addresses[] = {0x1001, 0x2001};
	struct got got[2];
	assert_int_equal(ask(t.at, addresses, 2, got), 0);
	assert_string_equal(got[0].name, "a");
	assert_string_equal(got[1].name, "b");
	text_free(&t);
}

static void every_allocation_may_fail(void **state)
{
	(void)state;
	uint64_t addresses[] = {0x1001, 0x2001, 0x3001};
	static const char *const names[] = {"a", "b", "c"};
	struct got got[3];
	for (uint64_t n = 1;; n++) {
		mem_fail_at(n);
		int result = ask("1000 T a\n2000 T b\n3000 T c\n", addresses, 3, got);
		bool all_asked = mem_fail_seen() < n;
		mem_fail_at(0);
		assert_true(result == 0 || result == -ENOMEM);
		for (int i = 0; i < 3; i++) // never the neighbour's name
			assert_true(!got[i].name[0] || !strcmp(got[i].name, names[i]));
		assert_int_equal(mem_used(ACCOUNT_SYMBOL), 0);
		if (all_asked)
			break;
	}
	assert_string_equal(got[2].name, "c");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(lines),
	    cmocka_unit_test(aliases_are_chosen_as_perf_does),
	    cmocka_unit_test(what_a_pass_finds),
	    cmocka_unit_test(same_as_looking_through_all),
	    cmocka_unit_test(the_rest_is_not_read_when_all_is_found),
	    cmocka_unit_test(hidden_addresses),
	    cmocka_unit_test(a_line_without_end),
	    cmocka_unit_test(every_allocation_may_fail),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
