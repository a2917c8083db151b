// SPDX-License-Identifier: Apache-2.0
// The configuration from all its sources, its messages word by word, and that what is printed reads
// back.
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "../../modules/config/load.c"

#include <ctype.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static char path[64];
static struct text why, warnings;

static int setup(void **state)
{
	(void)state;
	strcpy(path, "/tmp/telegen-config-XXXXXX");
	int fd = mkstemp(path);
	why = warnings = TEXT(ACCOUNT_CONFIG);
	return fd < 0 || close(fd);
}

static int teardown(void **state)
{
	(void)state;
	text_free(&why);
	text_free(&warnings);
	return unlink(path) || mem_used(ACCOUNT_CONFIG) || mem_used(ACCOUNT_LIBRARY);
}

static void put_bytes(const char *bytes, size_t n)
{
	int fd = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, bytes, n), (ssize_t)n);
	close(fd);
}

static struct config *load(const char *yaml, char *const *environment, char *const *flags)
{
	struct config_source source = {.environment = environment, .flags = flags};
	if (yaml) {
		put_bytes(yaml, strlen(yaml));
		source.file = path;
	}
	text_reset(&why);
	text_reset(&warnings);
	return config_load(&source, &warnings, &why);
}

static struct config *load_fine(const char *yaml)
{
	struct config *c = load(yaml, NULL, NULL);
	if (!c)
		fail_msg("%s", why.at);
	return c;
}

// The lines of WHY, with the file's name taken out.
static void assert_problems(const char *yaml, const char *expected)
{
	struct text got = TEXT(ACCOUNT_CONFIG);
	struct config *c = load(yaml, NULL, NULL);
	assert_null(c);
	assert_int_equal(errno, EINVAL);
	for (const char *s = why.at, *hit; s; s = hit ? hit + strlen(path) : NULL) {
		hit = strstr(s, path);
		text_add(&got, s, hit ? (size_t)(hit - s) : strlen(s));
		text_puts(&got, hit ? "FILE" : "");
	}
	assert_string_equal(got.at, expected);
	text_free(&got);
}

static void defaults(void **state)
{
	(void)state;
	struct config *c = load(NULL, NULL, NULL);
	assert_non_null(c);
	assert_int_equal(c->memory_limit, 48 << 20);
	assert_string_equal(c->listen, "127.0.0.1:19090");
	assert_string_equal(c->output_directory, "");
	assert_int_equal(c->output_max_size, 100 << 20);
	assert_int_equal(c->log_level, LOG_LEVEL_INFO);
	assert_int_equal(c->log_format, CONFIG_LOG_TEXT);
	assert_true(c->profiling_enabled && c->profiling_cpu_enabled && !c->profiling_wall_enabled);
	assert_int_equal(c->profiling_cpu_sample_rate, 99);
	assert_int_equal(c->profiling_cpu_max_stack_depth, 127);
	assert_int_equal(c->profiling_collection_interval, 10 * NS_PER_S);
	assert_int_equal(c->profiling_upload_interval, 60 * NS_PER_S);
	assert_int_equal(c->profiling_output_format, CONFIG_OUTPUT_PPROF);
	assert_int_equal(c->profiling_target_pids.count, 0);
	assert_null(c->profiling_target_pids.items);
	assert_int_equal(c->profiling_metrics_export_histogram_buckets.count, 14);
	assert_int_equal(warnings.len, 0);
	config_free(c);
	config_free(NULL);
	c = load_fine("");
	config_free(c);
	c = load_fine("# nothing\nprofiling:\n  cpu:\n  target_pids:\n");
	config_free(c);
}

static void the_table_is_sound(void **state)
{
	(void)state;
	for (const struct option *o = options; o < options + option_count; o++) {
		assert_true(strlen(o->key) < KEY_MAX - 16);
		assert_false(option_is_section(o->key));
		assert_true(
		    isupper((unsigned char)*o->help) && o->help[strlen(o->help) - 1] != '.');
		for (const struct option *p = o + 1; p < options + option_count; p++) {
			assert_string_not_equal(o->key, p->key);
			// '.' and '_' are one in the environment.
			size_t i = 0;
			while (
			    o->key[i] && (o->key[i] == p->key[i] ||
					     (strchr("._", o->key[i]) && strchr("._", p->key[i]))))
				i++;
			assert_true(o->key[i] || p->key[i]);
		}
	}
}

static void file_then_environment_then_flags(void **state)
{
	(void)state;
	const char *yaml = "profiling:\n  cpu:\n    sample_rate: 11\n    max_stack_depth: 12\nlog: "
			   "{level: DEBUG}\n";
	char *environment[] = {"HOME=/", "TELEGEN_PROFILING_CPU_SAMPLE_RATE=21",
	    "TELEGEN_PROFILING_TARGET_PIDS=1, 2", "TELEGEN_LISTEN=[::1]:1",
	    "TELEGEN_OUTPUT_DIRECTORY=/var/a b", "TELEGENX=1", "TELEGEN_NOVALUE", NULL};
	char *flags[] = {"--profiling.cpu.sample_rate=31", "--listen", "",
	    "--profiling.exclude_kernel", "--profiling.cpu.enabled=False",
	    "--profiling.target_labels", "app=web,tier==x", NULL};
	struct config *c = load(yaml, environment, flags);
	if (!c)
		fail_msg("%s", why.at);
	assert_int_equal(c->profiling_cpu_sample_rate, 31);
	assert_int_equal(c->profiling_cpu_max_stack_depth, 12);
	assert_int_equal(c->log_level, LOG_LEVEL_DEBUG);
	assert_int_equal(c->profiling_target_pids.count, 2);
	assert_string_equal(c->profiling_target_pids.items[1], "2");
	assert_null(c->profiling_target_pids.items[2]);
	assert_string_equal(c->listen, "");
	assert_string_equal(c->output_directory, "/var/a b");
	assert_true(c->profiling_exclude_kernel);
	assert_false(c->profiling_cpu_enabled);
	assert_string_equal(c->profiling_target_labels.items[1], "tier==x");
	config_free(c);
	c = load(yaml, environment, NULL);
	assert_int_equal(c->profiling_cpu_sample_rate, 21);
	config_free(c);
}

static void every_problem_is_told(void **state)
{
	(void)state;
	assert_problems("profiling:\n  cpu:\n    sample_rate: 0\n    rate: 5\n    enabled: maybe\n"
			"  target_pids: [1, x]\n  symbols: 5\n  upload_interval: 10\n  nothing: 1\n"
			"profilling: {}\nmemory_limit: 1k\n",
	    "config: FILE:3: profiling.cpu.sample_rate: 0 is not in 1..1000\n"
	    "config: FILE:4: profiling.cpu.rate: no such option; the nearest is "
	    "profiling.cpu.sample_rate\n"
	    "config: FILE:5: profiling.cpu.enabled: maybe is not true or false\n"
	    "config: FILE:6: profiling.target_pids: x is not a whole number\n"
	    "config: FILE:7: profiling.symbols: is a section, not an option\n"
	    "config: FILE:8: profiling.upload_interval: 10 is not a duration such as 10s, 500ms or "
	    "1m30s\n"
	    "config: FILE:9: profiling.nothing: no such option; the nearest is profiling.mutex\n"
	    "config: FILE:10: profilling: no such option; the nearest is profiling\n"
	    "config: FILE:11: memory_limit: 1k is not in 16MB..1TB");
}

static void problems_of_values(void **state)
{
	(void)state;
	static const char *const rows[][2] = {
	    {"profiling: {cpu: {sample_rate: -5}}",
		"profiling.cpu.sample_rate: -5 is not in 1..1000"},
	    {"profiling: {cpu: {sample_rate: 9.5}}",
		"profiling.cpu.sample_rate: 9.5 is not a whole number"},
	    {"profiling: {cpu: {sample_rate: 99999999999999999999}}",
		"profiling.cpu.sample_rate: 99999999999999999999 is not in 1..1000"},
	    {"profiling: {cpu: {sample_rate: \"\"}}",
		"profiling.cpu.sample_rate: an empty value is not a whole number"},
	    {"profiling: {cpu: {sample_rate: [9]}}",
		"profiling.cpu.sample_rate: takes one value, not a list or a section"},
	    {"profiling: {collection_interval: 5ms}",
		"profiling.collection_interval: 5ms is not in 1s..1h"},
	    {"profiling: {collection_interval: 5m}",
		"profiling.upload_interval: 1m is shorter than profiling.collection_interval, 5m"},
	    {"profiling: {exclude_user: true, exclude_kernel: true}",
		"profiling.exclude_user: true together with profiling.exclude_kernel leaves no "
		"frames"},
	    {"profiling: {output_format: xml}",
		"profiling.output_format: xml is not one of pprof, folded, json"},
	    {"profiling: {target_pids: \"1,\"}",
		"profiling.target_pids: an empty value stands in the list"},
	    {"profiling: {target_pids: \"1,,2\"}",
		"profiling.target_pids: an empty value stands in the list"},
	    {"profiling: {target_pids: [0]}", "profiling.target_pids: 0 is not in 1..4194304"},
	    {"profiling: {target_pids: [[1]]}",
		"profiling.target_pids: takes one value, not a list or a section"},
	    {"profiling: {target_pids: {a: b}}",
		"profiling.target_pids: takes one value, not a list or a section"},
	    {"profiling: {target_labels: app}", "profiling.target_labels: app is not NAME=VALUE"},
	    {"profiling: {target_labels: {\"\": b}}",
		"profiling.target_labels: =b is not NAME=VALUE"},
	    {"profiling: {target_labels: {a=b: c}}",
		"profiling.target_labels: a name with = in it"},
	    {"profiling: {metrics_export: {histogram_buckets: [1, 1e, 2]}}",
		"profiling.metrics_export.histogram_buckets: 1e is not a number"},
	    {"profiling: {enabled: true, enabled: false}", "profiling.enabled: given twice"},
	    {"profiling: 5", "profiling: is a section, not an option"},
	    {"output: {directory: \"a\\0b\"}", "output.directory: has a NUL byte in it"},
	    {"output: {directory: \"a\\nb\", max_size: \"4\\nM\"}",
		"output.max_size: 4?M is not a size such as 48MB"},
	    {"output: {directry: x}",
		"output.directry: no such option; the nearest is output.directory"},
	    {"lgo: 5\nlogs: {}", ": no such option; the nearest is log"}, // logs is the Go agent's
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct config *c = load(rows[i][0], NULL, NULL);
		if (i == sizeof(rows) / sizeof(*rows) - 1) {
			assert_non_null(
			    c); // two edits away from a name of three letters is another name
			config_free(c);
			continue;
		}
		assert_null(c);
		if (!strstr(why.at, rows[i][1]) || strchr(why.at, '\n'))
			fail_msg("%s:\n%s", rows[i][0], why.at);
	}
}

static void problems_of_files(void **state)
{
	(void)state;
	assert_problems("- 1\n", "config: FILE:1: not a mapping of keys to values");
	assert_problems("log: {}\n---\nlog: {}\n", "config: FILE:2: more than one document");
	assert_problems("log:\n  level: &a info\n  format: *a\n",
	    "config: FILE:3: log.format: aliases are not taken");
	assert_problems("log:\n\tlevel: info\n",
	    "config: FILE:2: not YAML: while scanning for the next token: "
	    "found character that cannot start any token");
	assert_problems(
	    "a:\n  b: \xff\xfe\n", "config: FILE:2: not YAML: invalid leading UTF-8 octet");
	assert_problems(
	    "a: [[[[[[[[[[[[[[[[[[[[[]", "config: FILE:1: nested deeper than 16 levels");
	assert_problems("? [a]\n: 1\nprofiling: {? {a: b} : 1}\n",
	    "config: FILE:1: takes one value, not a list or a section\n"
	    "config: FILE:3: profiling: takes one value, not a list or a section");
	struct config_source source = {.file = "/nowhere/telegen.yaml"};
	assert_null(config_load(&source, NULL, &why));
	source.file = "/tmp";
	assert_null(config_load(&source, NULL, NULL));
	text_reset(&why);
	source.file = path;
	assert_int_equal(unlink(path), 0);
	assert_int_equal(mkfifo(path, 0600), 0);
	assert_null(config_load(&source, NULL, &why)); // and does not wait for a writer
	assert_non_null(strstr(why.at, ": is not a regular file"));
}

static void large_files_end_soon(void **state)
{
	(void)state;
	static char big[(1 << 20) + 1];
	memset(big, '#', sizeof(big));
	put_bytes(big, sizeof(big));
	struct config_source source = {.file = path};
	assert_null(config_load(&source, NULL, &why));
	assert_non_null(strstr(why.at, "is larger than 1 MiB"));
	// Unknown keys, more than are told; each nearly one of ours.
	static const char *const lines[] = {"profile: 1\n", "profilinx: 1\n", "? &a [1]\n: *a\n",
	    "[[[[[[[[", "log: {level: info}\n", "memory_limit: 50MB\n", "a: {b: {c: {d: 1}}}\n"};
	for (size_t i = 0; i < sizeof(lines) / sizeof(*lines); i++) {
		size_t n = strlen(lines[i]), fit = (1 << 20) / n;
		for (size_t k = 0; k < fit; k++)
			memcpy(big + k * n, lines[i], n);
		put_bytes(big, fit * n);
		text_reset(&why);
		text_reset(&warnings);
		uint64_t began = clock_now();
		struct config *c = config_load(&source, &warnings, &why);
		assert_in_range(clock_now() - began, 0, 5 * NS_PER_S);
		assert_true(why.len < 32768 && warnings.len < 8192 && !c);
		assert_true(why.len > 0);
		config_free(c);
	}
	struct text list = TEXT(ACCOUNT_CONFIG);
	text_puts(&list, "profiling: {target_pids: [");
	for (int i = 0; i < 2000; i++)
		text_puts(&list, "1,");
	text_puts(&list, "1]}");
	assert_problems(list.at, "config: FILE:1: a list of more than 1024 items");
	text_free(&list);
}

static void a_file_of_the_go_agent_is_accepted(void **state)
{
	(void)state;
	struct config *c = load_fine(
	    "agent:\n  service_name: x\n  log_level: INFO\nebpf: {a: &x [1], b: *x}\n"
	    "logs: {enabled: true}\nchannel_buffer_len: 50\nprofiling:\n  enabled: true\n"
	    "  cpu: {enabled: true, sample_rate: 99, max_stack_depth: 127}\n"
	    "  off_cpu:\n    enabled: true\n    min_block_time_ns: 1000000\n"
	    "  memory: {enabled: false, min_alloc_size: 1024}\n  target_pid: 0\n"
	    "  target_pids: []\n  target_labels: {}\n  target_namespaces: [default]\n"
	    "  output_format: pprof\n  aggregate_stacks: true\n"
	    "  log_export:\n    flush_interval: 5s\n    compression: \"\"\n    headers:\n      X-Scope-OrgID: a\n");
	assert_non_null(
	    strstr(warnings.at, ": left alone, for telegen only profiles: agent, ebpf, logs, "
				"channel_buffer_len\n"));
	assert_non_null(strstr(warnings.at,
	    "\nconfig: accepted but without effect in this version: profiling.target_namespaces, "
	    "profiling.log_export.flush_interval"));
	assert_int_equal(c->profiling_log_export_compression, CONFIG_NO_COMPRESSION);
	assert_string_equal(c->profiling_log_export_headers.items[0], "X-Scope-OrgID=a");
	config_free(c);
}

static void flags_and_variables_name_the_nearest(void **state)
{
	(void)state;
	char *environment[] = {"TELEGEN_LISTN=1", "TELEGEN_LOG_LEVEL=loud", "TELEGEN_ABC\x01=1",
	    "TELEGEN_X=\xff", NULL};
	char *flags[] = {"--log.levl=warn", "--x", "run", "--profiling.cpu.sample_rate", "0",
	    "--log.level", NULL};
	assert_null(load(NULL, environment, flags));
	assert_string_equal(why.at,
	    "config: TELEGEN_LOG_LEVEL: log.level: loud is not one of error, warn, info, debug\n"
	    "config: --log.levl: no such option; the nearest is --log.level\n"
	    "config: --x: no such option; telegen --help lists all\n"
	    "config: run: flags begin with --\n"
	    "config: --profiling.cpu.sample_rate: 0 is not in 1..1000\n"
	    "config: --log.level: no value behind it");
	assert_string_equal(warnings.at,
	    "config: TELEGEN_LISTN: no such option; the nearest is TELEGEN_LISTEN\n"
	    "config: TELEGEN_ABC?: no such option\nconfig: TELEGEN_X: no such option");
	char *not_utf8[] = {"TELEGEN_LISTEN=\xff", NULL};
	assert_null(load(NULL, not_utf8, NULL));
	assert_string_equal(why.at, "config: TELEGEN_LISTEN: listen: ? is not valid UTF-8");
	assert_int_equal(config_flag("--log.level"), 2);
	assert_int_equal(config_flag("--log.level=info"), 1);
	assert_int_equal(config_flag("--profiling.enabled"), 1);
	assert_int_equal(config_flag("--log"), 0);
	assert_int_equal(config_flag("--"), 0);
	assert_int_equal(config_flag("-F"), 0);
	assert_int_equal(config_flag(""), 0);
}

static void an_endpoint_enables_unless_it_is_said_not_to(void **state)
{
	(void)state;
	struct config *c = load_fine("profile_export:\n  otlp: {endpoint: h}\n");
	assert_true(c->profile_export_otlp_enabled && !c->profile_export_parca_enabled);
	config_free(c);
	c = load("profile_export: {otlp: {endpoint: h, enabled: false}, parca: {enabled: true}}",
	    NULL, NULL);
	assert_true(!c->profile_export_otlp_enabled && c->profile_export_parca_enabled);
	assert_string_equal(warnings.at,
	    "config: profile_export.otlp.enabled: false: nothing goes to its endpoint");
	config_free(c);
	char *flags[] = {"--profile_export.pyroscope.enabled=false", NULL};
	char *environment[] = {"TELEGEN_PROFILE_EXPORT_PYROSCOPE_ENDPOINT=h", NULL};
	c = load(NULL, environment, flags);
	assert_false(c->profile_export_pyroscope_enabled);
	config_free(c);
}

static bool do_all(const struct config_source *source, const struct config *standard)
{
	struct text out = TEXT(ACCOUNT_CONFIG);
	struct config *c = config_load(source, &warnings, &why);
	assert_true(c || errno == ENOMEM);
	bool whole = c && !config_print(c, &out) && !config_help(&out) && !config_man(&out) &&
		     !config_example(&out);
	assert_true(!c || c->profiling_target_pids.count == 3);
	assert_true(!c || !option_equal(option_find("log.level"), c, standard));
	config_free(c);
	text_free(&out);
	text_free(&why);
	text_free(&warnings);
	return whole;
}

static void every_allocation_may_fail(void **state)
{
	(void)state;
	const char *yaml = "agent: {}\nlog: {level: warn}\nprofiling:\n  target_pids: [1, 2, 3]\n"
			   "  target_labels: {a: b}\n  cpu: {sample_rate: 7}\n";
	put_bytes(yaml, strlen(yaml));
	char *environment[] = {"TELEGEN_X=1", "TELEGEN_OUTPUT_DIRECTORY=/x", NULL};
	char *flags[] = {"--profiling.target_process_names=a,b", NULL};
	struct config_source source = {.file = path, .environment = environment, .flags = flags};
	struct config *standard = config_standard();
	uint64_t before = mem_used(ACCOUNT_CONFIG), n = 1;
	unsigned refused = 0;
	for (;; n++) {
		mem_fail_at(n);
		refused += !do_all(&source, standard);
		assert_int_equal(mem_used(ACCOUNT_CONFIG), before);
		if (mem_fail_seen() < n)
			break;
	}
	mem_fail_at(0);
	assert_true(refused > 100 && n > 100);
	// libyaml's own blocks, which only the limit refuses.
	uint64_t base = mem_total();
	for (n = 64; mem_limit(base + n), !do_all(&source, standard); n += n / 64 + 8) {
		assert_int_equal(mem_used(ACCOUNT_CONFIG), before);
		assert_int_equal(mem_used(ACCOUNT_LIBRARY), 0);
	}
	mem_limit(0);
	assert_true(n > 16384);
	config_free(standard);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(defaults),
	    TEST(the_table_is_sound),
	    TEST(file_then_environment_then_flags),
	    TEST(every_problem_is_told),
	    TEST(problems_of_values),
	    TEST(problems_of_files),
	    TEST(large_files_end_soon),
	    TEST(a_file_of_the_go_agent_is_accepted),
	    TEST(flags_and_variables_name_the_nearest),
	    TEST(an_endpoint_enables_unless_it_is_said_not_to),
	    TEST(every_allocation_may_fail),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
