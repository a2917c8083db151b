// SPDX-License-Identifier: Apache-2.0
// Programs that run inside another one: which runtime it is, and what it was told to run. The
// options that take the next argument as their value are those of the runtimes' own manuals.
#include "gather.h"
#include "../base/base.h"

#include <ctype.h>
#include <string.h>

static const struct {
	const char *language, *name, *vendor;
	// Names of executables: this, or this with a version behind it.
	const char *executables[3];
	const char *valued[12]; // options whose value is the next argument
	const char *inside[4];	// options whose value is the program: there is no name
	const char *module;	// option whose value is a module
} runtimes[] = {
    [RUNTIME_JAVA] = {"java", "HotSpot", "Oracle", {"java"},
	{"-cp", "-classpath", "--class-path", "-p", "--module-path", "--upgrade-module-path",
	    "--add-modules", "--add-opens", "--add-exports", "--add-reads", "--limit-modules"},
	{0}, "-m"},
    [RUNTIME_PYTHON] = {"python", "CPython", "Python Software Foundation", {"python", "pypy"},
	{"-W", "-X", "--check-hash-based-pycs"}, {"-c"}, "-m"},
    [RUNTIME_NODE] = {"node", "Node.js", "Node.js Foundation", {"node", "nodejs"},
	{"-r", "--require", "--import", "--loader", "--experimental-loader", "-C", "--conditions",
	    "--env-file", "--title"},
	{"-e", "--eval", "-p", "--print"}, NULL},
    [RUNTIME_RUBY] = {"ruby", "Ruby", "Ruby Core Team", {"ruby"}, {"-I", "-r", "-C", "-E", "-W"},
	{"-e"}, NULL},
};
#define COUNT_OF(array) (sizeof(array) / sizeof(*(array)))

enum runtime runtime_of_executable(const char *name)
{
	for (unsigned r = RUNTIME_NONE + 1; r < COUNT_OF(runtimes); r++)
		for (size_t i = 0; i < 3 && runtimes[r].executables[i]; i++) {
			size_t n = strlen(runtimes[r].executables[i]);
			if (!strncmp(name, runtimes[r].executables[i], n) &&
			    (!name[n] || isdigit((unsigned char)name[n])))
				return (enum runtime)r;
		}
	return RUNTIME_NONE;
}

// OpenJ9's libjvm.so only leads to its libj9vm29.so.
enum jvm runtime_jvm(const char *path)
{
	static const struct {
		const char *begins;
		enum jvm jvm;
	} libraries[] = {{"libj9vm", JVM_OPENJ9}, {"libgraal", JVM_GRAAL},
	    {"libjvmcicompiler", JVM_GRAAL}, {"libjvm.so", JVM_HOTSPOT}};
	const char *name = gather_base_name(path);
	for (size_t i = 0; i < COUNT_OF(libraries); i++)
		if (!strncmp(name, libraries[i].begins, strlen(libraries[i].begins)))
			return libraries[i].jvm;
	return JVM_NONE;
}

static bool is_one_of(const char *s, const char *const *list, size_t n)
{
	for (size_t i = 0; i < n && list[i]; i++)
		if (!strcmp(s, list[i]))
			return true;
	return false;
}

static void found(struct arguments *a, const char *from)
{
	a->over = true;
	a->found = strlen(from) <= FACT_MAX && *from;
	if (a->found)
		text_copy(a->program, sizeof(a->program), from);
}

static void found_archive(struct arguments *a, const char *path)
{
	found(a, gather_base_name(path));
	size_t n = strlen(a->program);
	if (n > 4 && !strcmp(a->program + n - 4, ".jar"))
		a->program[n - 4] = 0;
}

// "org.example.Main", or "module/org.example.Main".
static void found_class(struct arguments *a, const char *name)
{
	name = gather_base_name(name);
	const char *dot = strrchr(name, '.');
	found(a, dot ? dot + 1 : name);
}

static void option(struct arguments *a, const char *s)
{
	const char *module = runtimes[a->runtime].module;
	bool java = a->runtime == RUNTIME_JAVA;
	if (java && !strcmp(s, "-jar"))
		a->next_is_archive = true;
	else if (module && (!strcmp(s, module) || (java && !strcmp(s, "--module"))))
		a->next_is_module = true;
	else if (is_one_of(s, runtimes[a->runtime].valued, COUNT_OF(runtimes[0].valued)))
		a->takes_value = true;
	else if (is_one_of(s, runtimes[a->runtime].inside, COUNT_OF(runtimes[0].inside)) ||
		 !strcmp(s, "-"))
		a->over = true;
}

void runtime_argument(struct arguments *a, const char *s)
{
	if (!a->seen++ || a->over || a->runtime == RUNTIME_NONE)
		return; // the first is the runtime's own name
	bool java = a->runtime == RUNTIME_JAVA;
	if (a->takes_value) {
		a->takes_value = false;
	} else if (!s) {
		// An option has its value in it, and no name of a program is that long.
		a->over = a->next_is_archive || a->next_is_module;
	} else if (a->next_is_archive && *s != '-') { // -jar tells how, options may follow it
		found_archive(a, s);
	} else if (a->next_is_module) {
		if (java)
			found_class(a, s);
		else
			found(a, s);
	} else if (*s == '-') {
		option(a, s);
	} else if (!java) {
		found(a, gather_base_name(s));
	} else if (*s != '@') { // a file with more arguments
		found_class(a, s);
	}
}

static size_t digits(const char *s)
{
	return strspn(s, "0123456789");
}

size_t runtime_version(const char *name, size_t *at)
{
	for (const char *s = name; *s; s += digits(s) ? digits(s) : 1) {
		size_t n = digits(s), parts = n > 0;
		while (parts && parts < 3 && s[n] == '.' && digits(s + n + 1)) {
			n += 1 + digits(s + n + 1);
			parts++;
		}
		if (parts < 3)
			continue;
		if (s[n] == '-') {
			size_t more = 0;
			while (isalnum((unsigned char)s[n + 1 + more]) || s[n + 1 + more] == '.' ||
			       s[n + 1 + more] == '-')
				more++;
			n += more ? 1 + more : 0;
		}
		*at = (size_t)(s - name);
		return n;
	}
	return 0;
}

static void tell(struct gathered *g, enum fact fact, const char *s)
{
	gather_set(g, fact, s, strlen(s));
}

void runtime_tell(struct gathered *g, enum runtime runtime, enum jvm jvm, const char *name)
{
	const char *called = runtimes[runtime].name, *vendor = runtimes[runtime].vendor;
	if (runtime == RUNTIME_NONE)
		return;
	if (runtime == RUNTIME_JAVA && jvm == JVM_OPENJ9) {
		called = "OpenJ9";
		vendor = "IBM";
	} else if (runtime == RUNTIME_JAVA && jvm == JVM_GRAAL) {
		called = "GraalVM";
	}
	bool pypy = runtime == RUNTIME_PYTHON && !strncmp(name, "pypy", 4);
	tell(g, FACT_LANGUAGE, runtimes[runtime].language);
	tell(g, FACT_RUNTIME_NAME, pypy ? "PyPy" : called);
	tell(g, FACT_RUNTIME_VENDOR, vendor);
	// python3.11 is of 3.11; pypy3 runs programs of Python 3, and is of no such version itself.
	const char *version = name + strcspn(name, "0123456789");
	size_t n = strspn(version, "0123456789.");
	if (runtime == RUNTIME_PYTHON && !pypy && memchr(version, '.', n) && !version[n])
		gather_set(g, FACT_RUNTIME_VERSION, version, n);
}
