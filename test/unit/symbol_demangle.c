// SPDX-License-Identifier: Apache-2.0
// Names of C++, Rust and D, clones, and names that were made to explode.
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>

#include "../../modules/base/base.h"
#include "../../modules/symbol/demangle.c"
#include "../../modules/symbol/demangle_d.c"

static void names(void **state)
{
	(void)state;
	static const char *const table[][2] = {
	    {"main", "main"},
	    {"", ""},
	    {"_Z", "_Z"},
	    {"_ZN3foo3barEv", "foo::bar()"},
	    {"_ZNSt6vectorIiSaIiEE9push_backEOi",
		"std::vector<int, std::allocator<int> >::push_back(int&&)"},
	    {"_ZN3foo3barEv.cold", "foo::bar() [clone .cold]"},
	    {"_ZN3foo3barEv.llvm.123456", "foo::bar()"},
	    {"helper.llvm.123456", "helper"},
	    {"helper.__uniq.77", "helper"},
	    {"helper.__uniq.77.llvm.9", "helper"},
	    {"helper.llvm.", "helper.llvm."},
	    {".llvm.1", ".llvm.1"},
	    {"helper.part.0", "helper.part.0"},
	    {"helper.constprop.0.isra.1", "helper.constprop.0.isra.1"},
	    {"_ZN4core3fmt9Formatter9write_str17h0123456789abcdefE",
		"core::fmt::Formatter::write_str"},
	    {"_ZN60_$LT$alloc..string..String$u20$as$u20$core..fmt..Display$GT$"
	     "3fmt17h0123456789abcdefE",
		"<alloc::string::String as core::fmt::Display>::fmt"},
	    {"_RNvC6_123foo3bar", "123foo::bar"},
	    {"_RNvNtC5alloc3vec3new", "alloc::vec::new"},
	    {"_RNvC4coreu7caf_dma", "core::caf\xc3\xa9"},
	    {"_Dmain", "D main"},
	    {"_D8demangle4testFaZv", "demangle.test(char)"},
	    {"_D8demangle4testFHAiHbaZv", "demangle.test(char[bool][int[]])"},
	    {"_D8demangle4test6__ctorMFZC8demangle4test", "demangle.test.this()"},
	    {"_D3foo3barFiZ3bazMFNaNbZv", "foo.bar(int).baz()"},
	    {"_D4core8internal5array8equality__T8__equalsTaTaZQoFNaNbNiNeMxAaMxQeZb",
		"core.internal.array.equality.__equals!(char, char).__equals(const(char[]), "
		"const(char[]))"},
	    {"_D8demangle9__T4testZv", "demangle.test!()"},
	    {"_D8demangle17__T4testVii42ZQkFZv", "_D8demangle17__T4testVii42ZQkFZv"},
	    {"_D8demangle3fooi", "demangle.foo"},
	    {"_DYNAMIC", "_DYNAMIC"},
	    {"_D3", "_D3"},
	    {"_D3foo", "_D3foo"},
	    {"_D99foo", "_D99foo"},
	};
	char buffer[512];
	for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++)
		assert_string_equal(
		    symbol_demangle(table[i][0], buffer, sizeof(buffer)), table[i][1]);
}

// A name that stands for 2^N of output: each level holds the one inside it twice.
static void doubled(char *name, size_t size, int levels, const char *begin)
{
	static const char digits[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ";
	size_t n = (size_t)snprintf(name, size, "%s1aI", begin);
	for (int i = 1; i < levels; i++)
		n += (size_t)snprintf(name + n, size - n, "S0_I");
	n += (size_t)snprintf(name + n, size - n, "iiE");
	for (int i = 1; i < levels; i++)
		if (i < 36)
			n += (size_t)snprintf(name + n, size - n, "S%c_E", digits[i]);
		else
			n += (size_t)snprintf(
			    name + n, size - n, "S%c%c_E", digits[i / 36], digits[i % 36]);
}

// The same in D: tuples of two, both a reference to the tuple before.
static void doubled_d(char *name, size_t size)
{
	size_t last = 0, n = (size_t)snprintf(name, size, "_D1aF");
	last = n;
	n += (size_t)snprintf(name + n, size - n, "B2ii");
	for (int i = 0; i < 40; i++) {
		size_t start = n, back = start + 2 - last;
		n += (size_t)snprintf(name + n, size - n, "B2Q%c", (char)('a' + back));
		back = n - last;
		n += (size_t)snprintf(name + n, size - n, "Q%c", (char)('a' + back));
		last = start;
	}
	snprintf(name + n, size - n, "Zv");
}

// And in Rust; positions there count from after "_R", in base 62, less one.
static void doubled_rust(char *name, size_t size)
{
	static const char digits[] =
	    "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
	size_t n = (size_t)snprintf(name, size, "_RINvC1a1b"), last = n - 2;
	n += (size_t)snprintf(name + n, size - n, "TuuE");
	for (int i = 0; i < 60; i++) {
		size_t at = last - 1;
		char ref[8] = {'B', digits[at % 62], '_'};
		if (at >= 62)
			snprintf(ref, sizeof(ref), "B%c%c_", digits[at / 62 - 0], digits[at % 62]);
		last = n - 2;
		n += (size_t)snprintf(name + n, size - n, "T%s%sE", ref, ref);
	}
	snprintf(name + n, size - n, "E");
}

static void names_made_to_explode(void **state)
{
	(void)state;
	char name[2000], buffer[512];
	uint64_t before = clock_now();
	doubled(name, sizeof(name), 60, "_Z1fIJiEEv"); // endless output
	const char *got = symbol_demangle(name, buffer, sizeof(buffer));
	assert_ptr_equal(got, buffer);
	assert_int_equal(strlen(got), sizeof(buffer) - 1);
	assert_string_equal(got + sizeof(buffer) - 4, "...");
	doubled(name, sizeof(name), 60, "_Z1fIJiEEvDp"); // endless steps without output
	assert_ptr_equal(symbol_demangle(name, buffer, sizeof(buffer)), name);
	doubled_d(name, sizeof(name));
	got = symbol_demangle(name, buffer, sizeof(buffer));
	assert_string_equal(got + sizeof(buffer) - 4, "...");
	doubled_rust(name, sizeof(name));
	got = symbol_demangle(name, buffer, sizeof(buffer));
	assert_string_equal(got + sizeof(buffer) - 4, "...");
	memset(name, 'P', sizeof(name)); // deep
	memcpy(name, "_Z1f", 4);
	name[1000] = 'i';
	name[1001] = 0;
	symbol_demangle(name, buffer, sizeof(buffer));
	memset(name, 'P', 1999);
	memcpy(name, "_D1af", 4);
	name[1999] = 0;
	assert_ptr_equal(symbol_demangle(name, buffer, sizeof(buffer)), name);
	assert_true(clock_now() - before < NS_PER_S);
	// The signal's handler is gone, and no timer is left that would use it.
	struct sigaction action;
	sigaction(SIGVTALRM, NULL, &action);
	assert_true(action.sa_handler == SIG_DFL);
	for (uint64_t until = clock_now() + 20 * NS_PER_MS; clock_now() < until;)
		;
}

static void nothing_is_allocated_and_nothing_leaks(void **state)
{
	(void)state;
	char name[2000], small[16];
	uint64_t before = mem_total();
	doubled(name, sizeof(name), 60, "_Z1fIJiEEv");
	for (int i = 0; i < 50; i++) {
		symbol_demangle(name, small, sizeof(small));
		assert_string_equal(small, "void f<int>(...");
		// Cut within a punycode identifier, which libiberty keeps in a heap block.
		symbol_demangle(
		    "_RNvC4coreu30abcdefghijklmnopqrstuvwxyz_dma", small, sizeof(small));
		symbol_demangle(
		    "_RINvC4coreu30abcdefghijklmnopqrstuvwxyz_dmauuuE", small, sizeof(small));
	}
	assert_int_equal(mem_total(), before);
	assert_ptr_equal(symbol_demangle("_ZN3foo3barEv", small, 4),
	    (char *)symbol_demangle("_ZN3foo3barEv", small, 4));
	char longest[3000];
	memset(longest, 'a', sizeof(longest));
	longest[sizeof(longest) - 1] = 0;
	assert_ptr_equal(symbol_demangle(longest, small, sizeof(small)), longest);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(names),
	    cmocka_unit_test(names_made_to_explode),
	    cmocka_unit_test(nothing_is_allocated_and_nothing_leaks),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
