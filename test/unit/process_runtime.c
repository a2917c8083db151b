// SPDX-License-Identifier: Apache-2.0
// Command lines of runtimes, and what program they run; versions in names.
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "../../modules/process/runtime.c"

#define LONG "\1" // stands for an argument that is too long to be had

static void the_program_is_found_among_the_options(void **state)
{
	(void)state;
	static const struct {
		const char *program; // NULL: none
		enum runtime runtime;
		const char *arguments[10];
	} cases[] = {
	    {"app-1.2", RUNTIME_JAVA, {"java", "-Xmx1g", "-jar", "/opt/app-1.2.jar", "-x", "y"}},
	    {"app", RUNTIME_JAVA, {"java", "-jar", "-Dx=y", "app"}},
	    {"Main", RUNTIME_JAVA, {"java", "-cp", "a.jar:b.jar", "org.example.Main", "x.jar"}},
	    {"Main", RUNTIME_JAVA, {"java", "--class-path", LONG, "Main"}},
	    {"Main", RUNTIME_JAVA, {"java", LONG, "@file", "org.Main"}},
	    {"Main", RUNTIME_JAVA, {"java", "-p", "mods", "-m", "mod.ule/org.example.Main"}},
	    {"ule", RUNTIME_JAVA, {"java", "--module", "mod.ule"}},
	    {NULL, RUNTIME_JAVA, {"java", "-jar", LONG, "x"}},
	    {NULL, RUNTIME_JAVA, {"java", "-jar"}},
	    {NULL, RUNTIME_JAVA, {"java"}},
	    {NULL, RUNTIME_JAVA, {"java", ""}},
	    {"app.py", RUNTIME_PYTHON, {"python3", "-u", "/srv/app.py", "other.py"}},
	    {"app.py", RUNTIME_PYTHON, {"python3", "-X", "dev", "-W", "x.py", "app.py"}},
	    {"gunicorn", RUNTIME_PYTHON, {"python3", "/usr/bin/gunicorn", "conf.py"}},
	    {"http.server", RUNTIME_PYTHON, {"python3", "-m", "http.server", "80"}},
	    {NULL, RUNTIME_PYTHON, {"python3", "-c", "import x", "x.py"}},
	    {NULL, RUNTIME_PYTHON, {"python3", "-", "x.py"}},
	    {"server.js", RUNTIME_NODE, {"node", "--inspect", "-r", "dd.js", "/app/server.js"}},
	    {"index.mjs", RUNTIME_NODE, {"node", "--import", "./otel.mjs", "index.mjs"}},
	    {NULL, RUNTIME_NODE, {"node", "-e", "1", "x.js"}},
	    {"puma", RUNTIME_RUBY, {"ruby", "-I", "lib", "/usr/bin/puma"}},
	    {NULL, RUNTIME_NONE, {"bash", "script"}},
	    {NULL, RUNTIME_PYTHON, {0}},
	    {NULL, RUNTIME_PYTHON, {LONG, LONG}},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct arguments a = {.runtime = cases[i].runtime};
		for (int k = 0; k < 10 && cases[i].arguments[k]; k++) {
			const char *s = cases[i].arguments[k];
			runtime_argument(&a, !strcmp(s, LONG) ? NULL : s);
		}
		print_message("%zu\n", i);
		assert_int_equal(a.found, cases[i].program != NULL);
		if (a.found)
			assert_string_equal(a.program, cases[i].program);
	}
}

static void a_name_that_is_too_long_is_none(void **state)
{
	(void)state;
	char name[FACT_MAX + 2];
	memset(name, 'x', sizeof(name));
	name[FACT_MAX + 1] = 0;
	struct arguments a = {.runtime = RUNTIME_PYTHON};
	runtime_argument(&a, "python");
	runtime_argument(&a, name);
	assert_false(a.found);
	assert_true(a.over);
}

static void executables_are_known_by_whole_names(void **state)
{
	(void)state;
	assert_int_equal(runtime_of_executable("java"), RUNTIME_JAVA);
	assert_int_equal(runtime_of_executable("python3.11"), RUNTIME_PYTHON);
	assert_int_equal(runtime_of_executable("pypy3"), RUNTIME_PYTHON);
	assert_int_equal(runtime_of_executable("node"), RUNTIME_NODE);
	assert_int_equal(runtime_of_executable("nodejs"), RUNTIME_NODE);
	assert_int_equal(runtime_of_executable("ruby2.7"), RUNTIME_RUBY);
	assert_int_equal(runtime_of_executable("node_exporter"), RUNTIME_NONE);
	assert_int_equal(runtime_of_executable("javac"), RUNTIME_NONE);
	assert_int_equal(runtime_of_executable("mypython"), RUNTIME_NONE);
	assert_int_equal(runtime_of_executable(""), RUNTIME_NONE);
	assert_int_equal(runtime_jvm("/opt/lib/server/libjvm.so"), JVM_HOTSPOT);
	assert_int_equal(runtime_jvm("/opt/lib/default/libj9vm29.so"), JVM_OPENJ9);
	assert_int_equal(runtime_jvm("libjvmcicompiler.so"), JVM_GRAAL);
	assert_int_equal(runtime_jvm("/lib/libjvm.so.d/libc.so.6"), JVM_NONE);
}

static void versions_have_three_parts(void **state)
{
	(void)state;
	static const struct {
		const char *name, *version;
	} cases[] = {
	    {"app-1.2.3", "1.2.3"},
	    {"app-v1.2.3-SNAPSHOT", "1.2.3-SNAPSHOT"},
	    {"app-1.2.3-rc.1-x", "1.2.3-rc.1-x"},
	    {"app-1.2", NULL},
	    {"1.2.x-10.20.30", "10.20.30"},
	    {"1.2.3.4", "1.2.3"},
	    {"1.2.3-", "1.2.3"},
	    {"python3.11", NULL},
	    {"1..2.3", NULL},
	    {"", NULL},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		size_t at = 0, n = runtime_version(cases[i].name, &at);
		assert_int_equal(n, cases[i].version ? strlen(cases[i].version) : 0);
		if (n)
			assert_memory_equal(cases[i].name + at, cases[i].version, n);
	}
}

static void runtimes_are_told(void **state)
{
	(void)state;
	static const struct {
		enum runtime runtime;
		enum jvm jvm;
		const char *executable, *language, *name, *vendor, *version;
	} cases[] = {
	    {RUNTIME_JAVA, JVM_NONE, "java", "java", "HotSpot", "Oracle", ""},
	    {RUNTIME_JAVA, JVM_OPENJ9, "java", "java", "OpenJ9", "IBM", ""},
	    {RUNTIME_JAVA, JVM_GRAAL, "java", "java", "GraalVM", "Oracle", ""},
	    {RUNTIME_PYTHON, JVM_NONE, "python3.11", "python", "CPython",
		"Python Software Foundation", "3.11"},
	    {RUNTIME_PYTHON, JVM_NONE, "python3", "python", "CPython", "Python Software Foundation",
		""},
	    {RUNTIME_PYTHON, JVM_NONE, "pypy3.9", "python", "PyPy", "Python Software Foundation",
		""},
	    {RUNTIME_NODE, JVM_HOTSPOT, "node18", "node", "Node.js", "Node.js Foundation", ""},
	    {RUNTIME_NONE, JVM_NONE, "bash", "", "", "", ""},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct gathered g = {0};
		runtime_tell(&g, cases[i].runtime, cases[i].jvm, cases[i].executable);
		assert_string_equal(g.at[FACT_LANGUAGE], cases[i].language);
		assert_string_equal(g.at[FACT_RUNTIME_NAME], cases[i].name);
		assert_string_equal(g.at[FACT_RUNTIME_VENDOR], cases[i].vendor);
		assert_string_equal(g.at[FACT_RUNTIME_VERSION], cases[i].version);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(the_program_is_found_among_the_options),
	    cmocka_unit_test(a_name_that_is_too_long_is_none),
	    cmocka_unit_test(executables_are_known_by_whole_names),
	    cmocka_unit_test(versions_have_three_parts),
	    cmocka_unit_test(runtimes_are_told),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
