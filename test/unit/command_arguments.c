// SPDX-License-Identifier: Apache-2.0
// What users type. What is wrong gets one line that names the option, the value and the way out,
// and exit 2.
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "../../modules/command/arguments.c"
#include "../../modules/command/values.c"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#define RECORD "ptFdosax"
#define ALL "ptFdosbnxfa2"

static char said[4096]; // on stderr, by the last parse
static struct arguments got;
static char *words[300];

static int parse_words(const char *takes, int count)
{
	int saved = dup(2), to = memfd_create("stderr", MFD_CLOEXEC);
	dup2(to, 2);
	int status = arguments_parse(&got, count, words, takes);
	dup2(saved, 2);
	ssize_t n = pread(to, said, sizeof(said) - 1, 0);
	said[n > 0 ? n : 0] = 0;
	close(saved);
	close(to);
	return status;
}

// Arguments parted by blanks; '' is the empty one.
static int parse(const char *takes, const char *line)
{
	static char copy[4096];
	int count = 0;
	char *save, verb[] = "record";
	text_copy(copy, sizeof(copy), line);
	words[count++] = verb;
	for (char *w = strtok_r(copy, " ", &save); w; w = strtok_r(NULL, " ", &save))
		words[count++] = strcmp(w, "''") ? w : w + 2;
	return parse_words(takes, count);
}

// LINE is refused with one line that holds every one of the words in HINTS.
static void refused(const char *line, const char *hints)
{
	char copy[512], *save;
	assert_int_equal(parse(ALL, line), EXIT_USAGE);
	text_copy(copy, sizeof(copy), hints);
	for (char *w = strtok_r(copy, " ", &save); w; w = strtok_r(NULL, " ", &save))
		if (!strstr(said, w))
			fail_msg("%s: \"%s\" does not say %s", line, said, w);
	assert_ptr_equal(strstr(said, "telegen: error: record: "), said);
	assert_ptr_equal(strchr(said, '\n'), said + strlen(said) - 1);
}

static void taken(const char *line)
{
	int status = parse(ALL, line);
	if (status)
		fail_msg("%s: %s", line, said);
	assert_string_equal(said, "");
}

static void every_option_in_every_form(void **state)
{
	(void)state;
	char line[128];
	taken("");
	assert_int_equal(got.duration_ns, 0);
	static const char *const durations[] = {
	    "-d 10s", "-d10s", "--duration 10s", "--duration=10s", "-d 10", "-d=10s", "-d 10000ms"};
	for (size_t i = 0; i < sizeof(durations) / sizeof(*durations); i++) {
		taken(durations[i]);
		assert_int_equal(got.duration_ns, 10 * NS_PER_S);
	}
	taken("-d 2m");
	assert_int_equal(got.duration_ns, 120 * NS_PER_S);
	taken("-d 1000h");
	assert_int_equal(got.duration_ns, 3600000 * NS_PER_S);
	taken("-d 1ms");
	assert_int_equal(got.duration_ns, NS_PER_MS);
	taken("-o x.folded --source y.rec --base z.pb.gz --config c.yaml -n 7 -t cpu,cpu in out");
	assert_string_equal(got.output, "x.folded");
	assert_string_equal(got.source, "y.rec");
	assert_string_equal(got.base, "z.pb.gz");
	assert_string_equal(got.config_file, "c.yaml");
	assert_int_equal(got.count, 7);
	assert_int_equal(got.rest_count, 2);
	assert_string_equal(got.rest[1], "out");
	assert_int_equal(got.types, 1u << PATH_CPU);
	taken("-t offcpu,memory -t wall");
	assert_int_equal(got.types, 1u << PATH_OFF_CPU | 1u << PATH_MEMORY | 1u << PATH_WALL);
	taken("--leaks 30s -p 1");
	assert_true(got.alloc);
	assert_string_equal(got.leaks, "30s");
	assert_string_equal(got.flags[0], "--profiling.alloc.leak_age");
	assert_string_equal(got.flags[1], "30s");
	taken("-t memory --mapped");
	assert_true(got.mapped);
	assert_int_equal(got.flag_count, 1);
	assert_string_equal(got.flags[0], "--profiling.memory.mapped=true");
	taken("-t memory,heap --alloc -p 1");
	assert_true(got.alloc && !got.leaks);
	assert_int_equal(parse("T", "-t mutex"), 0);
	assert_int_equal(got.types, 1u << PATH_MUTEX);
	taken("-o - -c c -");
	assert_string_equal(got.output, "-");
	assert_string_equal(got.rest[0], "-");
	taken("--comm one --comm=two --container abc --cgroup /x");
	assert_string_equal(got.comms[0], "one");
	assert_string_equal(got.comms[1], "two");
	assert_null(got.comms[2]);
	assert_string_equal(got.containers[0], "abc");
	assert_string_equal(got.cgroups[0], "/x");
	taken("--comm a,b --comm=c --container abcdef01,abcdef02 --cgroup /a,b,/c/d,");
	assert_string_equal(got.comms[0], "a");
	assert_string_equal(got.comms[1], "b");
	assert_string_equal(got.comms[2], "c");
	assert_null(got.comms[3]);
	assert_string_equal(got.containers[1], "abcdef02");
	assert_string_equal(got.cgroups[0], "/a,b"); // only a slash begins another
	assert_string_equal(got.cgroups[1], "/c/d,");
	assert_null(got.cgroups[2]);
	taken("--man");
	assert_string_equal(got.form, "--man");
	snprintf(line, sizeof(line), "-p %d,%d --pid=%d", getpid(), getppid(), getpid());
	taken(line);
	assert_int_equal(got.pid_count, 2); // named again it is the same
	assert_int_equal(got.pids[1], getppid());
	taken("--all");
	assert_true(got.all);
	taken("-d 1s -h");
	assert_true(got.help);
	taken("--help");
	assert_true(got.help);
}

static void a_command_takes_the_rest(void **state)
{
	(void)state;
	taken("-d 5s -- prog -o x -- -Q");
	assert_string_equal(got.command[0], "prog");
	assert_string_equal(got.command[3], "--");
	assert_string_equal(got.command[4], "-Q");
	assert_null(got.output);
	refused("--", "-- command sleep");
	assert_int_equal(parse("d", "-- prog"), EXIT_USAGE);
}

static void flags_of_the_configuration_pass_through(void **state)
{
	(void)state;
	taken("-F 49 --memory_limit=32MB --listen 127.0.0.1:0 --profiling.exclude_kernel "
	      "--log.levle=info -d 1s");
	const char *flags[] = {"--profiling.cpu.sample_rate", "49", "--memory_limit=32MB",
	    "--listen", "127.0.0.1:0", "--profiling.exclude_kernel", "--log.levle=info"};
	assert_int_equal(got.flag_count, 7);
	for (int i = 0; i < 7; i++)
		assert_string_equal(got.flags[i], flags[i]);
	assert_null(got.flags[7]);
	assert_int_equal(got.duration_ns, NS_PER_S);
	refused("--memory_limit", "--memory_limit value");
	refused("--listen", "--listen value");
}

static void bad_values_are_named(void **state)
{
	(void)state;
	refused("-d 10x", "-d 10x 10s");
	refused("-d 0", "-d 0 10s");
	refused("-d -1s", "-d -1s 10s");
	refused("-d ''", "-d \"\" 10s");
	refused("-d 1.5s", "-d 1.5s 10s");
	refused("-d 1001h", "-d 1001h 1000h");
	refused("-d 99999999999999999999s", "-d 99999999999999999999s 1000h");
	refused("-d 18446744073709551615h", "-d 18446744073709551615h 1000h");
	refused("--duration=soon", "--duration soon 10s");
	refused("-F 0", "-F 0 1..1000");
	refused("-F 1001", "-F 1001 1..1000");
	refused("-F fast", "-F fast 1..1000");
	refused("--frequency ''", "--frequency \"\" 1..1000");
	refused("-t sound", "-t sound cpu");
	refused("-t cpu,", "-t cpu, offcpu,");
	refused("--leaks 0 -p 1", "--leaks 0 duration");
	refused("--leaks soon -p 1", "--leaks soon duration");
	refused("--alloc", "--alloc which -p");
	refused("--alloc --comm x", "--alloc which -p");
	refused("--alloc --source x.rec", "--alloc recording");
	refused("--mapped --source x.rec", "--mapped recording");
	refused("--profiling.alloc.pids=1", "--profiling.alloc.pids: agent --alloc -p");
	refused("--alloc -p 1 --profiling.alloc.pids 1", "--profiling.alloc.pids: agent");
	refused("--profiling.alloc.process_names=x", "--profiling.alloc.process_names: --alloc");
	refused("-p 1 --alloc --profiling.alloc.time_limit=5s", "time_limit: agent end");
	taken("-p 1 --alloc --profiling.alloc.sample_bytes=5k");
	assert_int_equal(parse("p", "--profiling.alloc.pids=1"), EXIT_USAGE); // top
	assert_null(strstr(said, "--alloc"));
	assert_int_equal(parse("s", "--profiling.alloc.pids=1"), 0); // run
	refused("-t ''", "-t \"\" cpu");
	refused("-t cpu,off", "-t cpu,off memory");
	assert_int_equal(parse("T", "-t cpu,offcpu"), EXIT_USAGE);
	assert_non_null(strstr(said, "-t: cpu,offcpu: one type at a time"));
	refused("-n 0", "-n 0 above");
	refused("-n many", "-n many above");
	refused("-p 0", "-p 0 process");
	refused("-p banana", "-p banana process");
	refused("-p 1,", "-p \"\" process");
	refused("-p ''", "-p \"\" process");
	refused("-p 99999999999", "-p 99999999999 process");
	refused("-p 4194304", "-p 4194304 no such ps");
	refused("--comm ''", "--comm empty");
	refused("--container=", "--container empty");
	refused("--comm ,", "--comm , missing");
	refused("--comm a,", "--comm a, missing");
	refused("--comm ,a", "--comm ,a missing");
	refused("--container a,,b", "--container a,,b missing");
	refused("--all=yes", "--all=yes such");
	refused("--help=yes", "--help=yes such");
	refused("-hx", "-hx such");
	refused("--cgroup ''", "--cgroup empty");
	refused("-o ''", "-o empty");
	refused("--source=", "--source empty");
	refused("--config ''", "--config empty");
}

static void what_is_not_there_is_told(void **state)
{
	(void)state;
	refused("-Q", "-Q such help");
	refused("--no-such-thing 1", "--no-such-thing such help");
	refused("--commm x", "--commm such nearest --comm");
	refused("--containr=x", "--containr=x such nearest --container");
	refused("one two three", "three expected -- command");
	// What looks like an option of the configuration is told about by who knows those.
	assert_int_equal(parse(ALL, "--memory_limt=48MB"), 0);
	assert_int_equal(got.flag_count, 1);
	assert_int_equal(parse("d!", "--duraton=1s"), EXIT_USAGE);
	assert_non_null(strstr(said, "--duration"));
	assert_int_equal(parse("b2", "one two three"), EXIT_USAGE);
	assert_non_null(strstr(said, "help"));
	refused("''  '' ''", "\"\" expected");
	static const char *const lonely[] = {"-p", "--comm", "--container", "--cgroup", "-t", "-F",
	    "-d", "-o", "--source", "--base", "-n", "-c", "--config"};
	for (size_t i = 0; i < sizeof(lonely) / sizeof(*lonely); i++) {
		char hints[64];
		snprintf(hints, sizeof(hints), "%s value", lonely[i]);
		refused(lonely[i], hints);
	}
	// Each only where it means something.
	static const char *const none[] = {"-p 1", "--comm x", "--all", "-t cpu", "-F 9", "-d 1s",
	    "-o x", "--source x", "--base x", "-n 1", "file", "-- x"};
	for (size_t i = 0; i < sizeof(none) / sizeof(*none); i++)
		assert_int_equal(parse("", none[i]), EXIT_USAGE);
}

static void selections_do_not_mix(void **state)
{
	(void)state;
	char line[128];
	refused("--all --comm x", "--all selection leave");
	refused("--comm x -- prog", "--comm command leave");
	snprintf(line, sizeof(line), "-p %d --container abcdef01", getpid());
	refused(line, "--container -p leave");
	snprintf(line, sizeof(line), "--all -p %d", getpid());
	refused(line, "--all leave");
	refused("--all -- prog", "--all leave");
	refused("--source x.rec --comm a", "x.rec recording leave");
	refused("--source x.rec --all", "x.rec recording leave");
	refused("--source x.rec -- prog", "x.rec recording leave");
	refused("--source x.rec -F 99", "-F recording leave");
	refused("--source x.rec -d 1s", "-d recording leave");
	// A rate of what has none.
	refused("-F 99 -t offcpu", "-F cpu wall add leave");
	refused("-t memory,heap -F 99", "-F cpu wall add leave");
	snprintf(line, sizeof(line), "--alloc -F 99 -p %d", getpid()); // of memory unless told
	refused(line, "-F cpu wall add leave");
	taken("-F 99 -t offcpu,wall");
	taken("-F 99 -t memory,cpu");
	taken("--comm x --cgroup /y --container abcdef01");
	snprintf(line, sizeof(line), "-p %d -- prog", getpid());
	taken(line);
}

static void a_cgroup_is_named_by_its_directory_too(void **state)
{
	(void)state;
	static const char *const names[][2] = {
	    {"/system.slice", "/system.slice"},
	    {"/", "/"},
	    {"/sys/fs/cgroupx/a", "/sys/fs/cgroupx/a"},
	    {"/sys/fs/cgroup", "/"},
	    {"/sys/fs/cgroup/", "/"},
	    {"/sys/fs/cgroup/no-such/a,b", "/no-such/a,b"},
	    {"/sys/fs/cgroup//no-such/", "/no-such/"},
	};
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		char path[64];
		text_copy(path, sizeof(path), names[i][0]);
		assert_string_equal(cgroup_name(path, "/sys/fs/cgroup"), names[i][1]);
		assert_string_equal(path, names[i][0]);
	}
	// What is no cgroup v2 has a directory for each controller.
	char folder[] = "/tmp/arguments_XXXXXX", path[128];
	assert_non_null(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/memory", folder);
	assert_int_equal(mkdir(path, 0700), 0);
	static const char *const v1[][2] = {{"/memory/a/b", "/a/b"}, {"/memory//a", "/a"},
	    {"/memory", "/"}, {"/memory/", "/"}, {"/a/b", "/a/b"}, {"", "/"}};
	for (size_t i = 0; i < sizeof(v1) / sizeof(*v1); i++) {
		snprintf(path, sizeof(path), "%s%s", folder, v1[i][0]);
		assert_string_equal(cgroup_name(path, folder), v1[i][1]);
	}
	snprintf(path, sizeof(path), "%s/memory", folder);
	rmdir(path), rmdir(folder);
}

// What may be typed is told: every option that is taken, and no other.
static void help_tells_what_is_taken(void **state)
{
	(void)state;
	static const char *const all[] = {
	    "p", "t", "F", "d", "i", "o", "s", "b", "n", "f", "", "!"};
	for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++) {
		struct text t = TEXT(ACCOUNT_COMMAND);
		arguments_help(all[i], &t);
		for (const struct option *o = options; o < options + OPTION_COUNT; o++) {
			char line[64], spelt[32];
			snprintf(spelt, sizeof(spelt), "  %s%s", o->names[0], o->value ? " " : "");
			snprintf(line, sizeof(line), "%s %s", o->names[0], o->value ? "x" : "");
			bool told = strstr(t.at, o->names[1] ? o->names[1] : spelt);
			bool is_taken_so =
			    parse(all[i], line) == 0 || !strstr(said, "no such option");
			if (told != is_taken_so)
				fail_msg("%s of \"%s\": told %d, taken %d", o->names[0], all[i],
				    told, is_taken_so);
		}
		assert_int_equal(strstr(t.at, "--OPTION=VALUE") != NULL, all[i][0] != '!');
		text_free(&t);
	}
	assert_int_equal(parse("!", "--memory_limit=32MB"), EXIT_USAGE);
	assert_int_equal(parse("!", "--config x"), EXIT_USAGE);
	assert_int_equal(mem_used(ACCOUNT_COMMAND), 0);
}

static void *wait_on(void *arg)
{
	int *pipes = arg;
	char byte = 0;
	pid_t id = (pid_t)syscall(SYS_gettid);
	assert_int_equal(write(pipes[1], &id, sizeof(id)), sizeof(id));
	assert_true(read(pipes[2], &byte, 1) >= 0);
	return NULL;
}

static void a_thread_is_no_process(void **state)
{
	(void)state;
	int pipes[4];
	pid_t id;
	char line[64], hints[64];
	pthread_t thread;
	assert_int_equal(pipe(pipes), 0);
	assert_int_equal(pipe(pipes + 2), 0);
	assert_int_equal(pthread_create(&thread, NULL, wait_on, pipes), 0);
	assert_int_equal(read(pipes[0], &id, sizeof(id)), sizeof(id));
	snprintf(line, sizeof(line), "-p %d", id);
	snprintf(hints, sizeof(hints), "-p %d thread %d", id, getpid());
	refused(line, hints);
	close(pipes[3]);
	pthread_join(thread, NULL);
	close(pipes[0]), close(pipes[1]), close(pipes[2]);
}

static void there_are_bounds(void **state)
{
	(void)state;
	static char name[] = "--comm=x", flag[] = "--memory_limit=32MB", verb[] = "record";
	words[0] = verb;
	for (int i = 1; i < 300; i++)
		words[i] = name;
	assert_int_equal(parse_words(ALL, 65), 0);
	assert_int_equal(parse_words(ALL, 66), EXIT_USAGE);
	assert_non_null(strstr(said, "64"));
	for (int i = 1; i < 300; i++)
		words[i] = flag;
	assert_int_equal(parse_words(ALL, 129), 0);
	assert_null(got.flags[128]);
	assert_int_equal(parse_words(ALL, 130), EXIT_USAGE);
	char many[1024] = "-p ";
	pid_t children[65];
	for (int i = 0; i < 65; i++) {
		if ((children[i] = fork()) == 0) {
			pause();
			_exit(0);
		}
		sprintf(many + strlen(many), "%s%d", i ? "," : "", (int)children[i]);
	}
	refused(many, "-p most 64 process");
	for (int i = 0; i < 65; i++) {
		kill(children[i], SIGKILL);
		waitpid(children[i], NULL, 0);
	}
	sprintf(many, "-p %d,4194304,%d", getpid(), getpid());
	refused(many, "-p: 4194304: such");
}

static void the_configuration_says_what_is_wrong(void **state)
{
	(void)state;
	int saved = dup(2), to = memfd_create("stderr", MFD_CLOEXEC);
	taken("--profiling.cpu.sample_rate=0 --log.levle=info --config /nonexistent.yaml");
	dup2(to, 2);
	struct config *c = arguments_config(&got);
	dup2(saved, 2);
	assert_null(c);
	said[pread(to, said, sizeof(said) - 1, 0)] = 0;
	assert_non_null(strstr(said, "0 is not in 1..1000"));
	assert_non_null(strstr(said, "log.level"));
	assert_non_null(strstr(said, "/nonexistent.yaml"));
	taken("--listen=nowhere --log.level=info");
	dup2(to, 2);
	c = arguments_config(&got);
	dup2(saved, 2);
	assert_null(c);
	said[pread(to, said, sizeof(said) - 1, 0)] = 0;
	assert_non_null(strstr(said, "config: listen: nowhere: not an address: write 127.0.0.1:"));
	taken("--listen=");
	c = arguments_config(&got);
	assert_non_null(c); // none
	config_free(c);
	taken("-F 49");
	c = arguments_config(&got);
	assert_non_null(c);
	assert_int_equal(c->profiling_cpu_sample_rate, 49);
	config_free(c);
	for (uint64_t nth = 1; nth < 1000; nth++) {
		dup2(to, 2);
		mem_fail_at(nth);
		c = arguments_config(&got);
		bool over = mem_fail_seen() < nth;
		mem_fail_at(0);
		dup2(saved, 2);
		config_free(c);
		if (over)
			break;
		assert_true(!c || nth > 1);
	}
	close(saved);
	close(to);
	assert_int_equal(mem_used(ACCOUNT_COMMAND) + mem_used(ACCOUNT_CONFIG), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(every_option_in_every_form),
	    cmocka_unit_test(a_command_takes_the_rest),
	    cmocka_unit_test(flags_of_the_configuration_pass_through),
	    cmocka_unit_test(bad_values_are_named),
	    cmocka_unit_test(what_is_not_there_is_told),
	    cmocka_unit_test(selections_do_not_mix),
	    cmocka_unit_test(a_cgroup_is_named_by_its_directory_too),
	    cmocka_unit_test(help_tells_what_is_taken),
	    cmocka_unit_test(a_thread_is_no_process),
	    cmocka_unit_test(there_are_bounds),
	    cmocka_unit_test(the_configuration_says_what_is_wrong),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
