// SPDX-License-Identifier: Apache-2.0
// The pprof reader: what other writers may do (any order, any ids, unpacked lists, inlined lines),
// what is wrong said in one line, damage everywhere, memory that fails.
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "profiles.h"

#include "../../modules/export/import.c"

// A small protobuf writer of its own: the one under test is not to vouch for itself.
static struct text file;

static void put_varint(struct text *t, uint64_t v)
{
	for (; v >= 0x80; v >>= 7)
		text_printf(t, "%c", (int)(v & 0x7f) | 0x80);
	char c = (char)v;
	text_add(t, &c, 1);
}

static void put_number(struct text *t, uint32_t field, uint64_t v)
{
	put_varint(t, field << 3);
	put_varint(t, v);
}

static void put_bytes(struct text *t, uint32_t field, const void *at, size_t n)
{
	put_varint(t, field << 3 | 2);
	put_varint(t, n);
	text_add(t, at, n);
}

// A message of numbers: (field, value) pairs, ended by 0.
static struct text message(const uint64_t *pairs)
{
	struct text t = TEXT(ACCOUNT_BASE);
	for (; *pairs; pairs += 2)
		put_number(&t, (uint32_t)pairs[0], pairs[1]);
	return t;
}

static void put_message(uint32_t field, struct text m)
{
	put_bytes(&file, field, m.at ? m.at : "", m.len);
	text_free(&m);
}
#define PUT(field, ...) put_message(field, message((uint64_t[]){__VA_ARGS__, 0}))

static void put_strings(const char *const *s)
{
	for (; *s; s++)
		put_bytes(&file, PROFILE_STRING_TABLE, *s, strlen(*s));
}

static struct profile *read_file(char why[200])
{
	struct profile *p = profiles_import(file.at ? file.at : "", file.len, why);
	text_free(&file);
	file = TEXT(ACCOUNT_BASE);
	return p;
}

static void any_writer_is_understood(void **state)
{
	(void)state;
	char why[200];
	// Samples first, strings last; wild ids out of order; locations one by one; two lines in a
	// location.
	struct text label = message((uint64_t[]){LABEL_KEY, 5, LABEL_NUM, 42, 0}),
		    other = message((uint64_t[]){LABEL_KEY, 6, LABEL_STR, 7, 0}),
		    sample = message((uint64_t[]){
			SAMPLE_LOCATION_ID, 900, SAMPLE_LOCATION_ID, 7, SAMPLE_VALUE, 3, 0});
	put_bytes(&sample, SAMPLE_LABEL, label.at, label.len);
	put_bytes(&sample, SAMPLE_LABEL, other.at, other.len);
	put_number(&sample, 99, 5); // unknown fields are passed over
	text_free(&label);
	text_free(&other);
	put_message(PROFILE_SAMPLE, sample);
	PUT(PROFILE_FUNCTION, FUNCTION_ID, UINT64_MAX, FUNCTION_NAME, 3);
	PUT(PROFILE_FUNCTION, FUNCTION_ID, 10, FUNCTION_NAME, 4, FUNCTION_SYSTEM_NAME, 2);
	struct text line = message((uint64_t[]){LINE_FUNCTION_ID, UINT64_MAX, 2, 17, 0}),
		    outer = message((uint64_t[]){LINE_FUNCTION_ID, 10, 0}),
		    location = message((uint64_t[]){
			LOCATION_ID, 900, LOCATION_ADDRESS, 0x1234, LOCATION_MAPPING_ID, 3, 0});
	put_bytes(&location, LOCATION_LINE, line.at, line.len);
	put_bytes(&location, LOCATION_LINE, outer.at, outer.len);
	text_free(&line);
	text_free(&outer);
	put_message(PROFILE_LOCATION, location);
	PUT(PROFILE_LOCATION, LOCATION_ID, 7, LOCATION_ADDRESS, 0x99);
	PUT(PROFILE_MAPPING, MAPPING_ID, 3, MAPPING_MEMORY_START, 0x1000, MAPPING_FILENAME, 8);
	PUT(PROFILE_SAMPLE_TYPE, VALUE_TYPE_TYPE, 1, VALUE_TYPE_UNIT, 2);
	put_strings((const char *[]){
	    "", "wobbles", "count", "inlined", "outer", "pid", "color", "red", "/bin/x", NULL});
	struct profile *p = read_file(why);
	assert_string_equal(why, "");
	char *dump = profiles_dump(p);
	assert_string_equal(dump,
	    "42 0    color=red0|inlined  0 1234 /bin/x |outer count 0 1234 /bin/x |  0 99   3\n");
	free(dump);
	assert_null(profile_header_of(p)->type);
	profile_free(p);
}

static const char *const names[] = {"", "samples", "count", "f", NULL};

// Each row is added to a sound beginning; then WHY begins with what it says.
// Every byte that no field of the format begins with ends it at once; the others go on.
static void what_is_no_profile_is_not_taken_in(void)
{
	static const char begin[] =
	    "\x0a\x12\x1a\x22\x2a\x32\x38\x40\x48\x50\x5a\x60\x68\x6a\x70\x78";
	for (int byte = 0; byte < 256; byte++) {
		struct import_job *j = import_new(ACCOUNT_PROFILE, 1000);
		uint8_t bytes[100] = {(uint8_t)byte};
		bool may = byte && strchr(begin, byte);
		assert_int_equal(import_feed(j, bytes, sizeof(bytes)), may ? 0 : -EBADMSG);
		assert_int_equal(j->raw.len, may ? sizeof(bytes) : 0);
		import_free(j);
	}
	// Nor what is packed so: a gigabyte of nothing is a megabyte.
	struct wire_sink sink = {profiles_take, &file};
	struct wire_gzip *z = wire_gzip_new(&sink);
	uint8_t zeros[4096] = {0};
	sink = wire_gzip_sink(z);
	for (int i = 0; i < 1000; i++)
		sink.write(sink.arg, zeros, sizeof(zeros));
	assert_int_equal(wire_gzip_finish(z), 0);
	wire_gzip_free(z);
	struct import_job *j = import_new(ACCOUNT_PROFILE, 1 << 30);
	assert_int_equal(import_feed(j, file.at, file.len), -EBADMSG);
	assert_string_equal(import_why(j), "not a pprof profile: none begins with the byte 0x00");
	assert_int_equal(j->raw.len, 0);
	import_free(j);
	text_reset(&file);
}

static void wrong_files_say_why(void **state)
{
	(void)state;
	char why[200];
	static const struct {
		uint32_t field;
		uint64_t pairs[7];
		const char *why;
	} rows[] = {
	    {PROFILE_SAMPLE, {SAMPLE_LOCATION_ID, 77, SAMPLE_VALUE, 1},
		"not a pprof profile: sample 1 names location 77, which is not there"},
	    {PROFILE_SAMPLE, {SAMPLE_LOCATION_ID, 1},
		"not a pprof profile: sample 1 has 0 values, not 1"},
	    {PROFILE_SAMPLE, {SAMPLE_VALUE, 1, SAMPLE_VALUE, 1},
		"not a pprof profile: sample 1 has 2 values, not 1"},
	    {PROFILE_LOCATION, {LOCATION_ID, 2, LOCATION_MAPPING_ID, 5},
		"not a pprof profile: location 2 names mapping 5, which is not there"},
	    {PROFILE_LOCATION, {LOCATION_ID, 1}, "not a pprof profile: location 1 is there twice"},
	    {PROFILE_LOCATION, {LOCATION_ADDRESS, 1}, "not a pprof profile: a location has no id"},
	    {PROFILE_FUNCTION, {FUNCTION_ID, 1, FUNCTION_NAME, 100},
		"not a pprof profile: function 1 names a string that is not there"},
	    {PROFILE_MAPPING, {MAPPING_ID, 1, MAPPING_FILENAME, 100},
		"not a pprof profile: a mapping names string 100, which is not there"},
	    {PROFILE_SAMPLE_TYPE, {VALUE_TYPE_TYPE, 100},
		"not a pprof profile: a sample type names string 100, which is not there"},
	    {PROFILE_SAMPLE_TYPE, {VALUE_TYPE_TYPE, 1}, ""},
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		bool good = !*rows[i].why;
		if (!good)
			PUT(PROFILE_SAMPLE_TYPE, VALUE_TYPE_TYPE, 1, VALUE_TYPE_UNIT, 2);
		PUT(PROFILE_LOCATION, LOCATION_ID, 1, LOCATION_ADDRESS, 5);
		put_strings(names);
		put_message(rows[i].field, message(rows[i].pairs));
		struct profile *p = read_file(why);
		assert_string_equal(why, rows[i].why);
		assert_int_equal(!p, !good);
		profile_free(p);
	}
	put_strings((const char *[]){"x", NULL});
	read_file(why);
	assert_string_equal(why, "not a pprof profile: its first string is not empty");
	read_file(why);
	assert_string_equal(why, "it is empty");
	text_puts(&file, "\x1f\x8b rubbish");
	read_file(why);
	assert_string_equal(why, "its gzip data is damaged");
	text_puts(&file, "\x1f\x8b");
	read_file(why);
	assert_string_equal(why, "its gzip data is cut off: the file is not whole");
	text_puts(&file, "#!/bin/sh\necho hello\n");
	read_file(why);
	assert_string_equal(why, "not a pprof profile: none begins with the byte 0x23");
	what_is_no_profile_is_not_taken_in();
	put_number(&file, PROFILE_TIME_NANOS, 5);
	put_number(&file, PROFILE_TIME_NANOS, 6);
	read_file(why);
	assert_string_equal(why, "not a pprof profile: it is two profiles, one behind the other");
	for (int i = 0; i < 5; i++)
		PUT(PROFILE_SAMPLE_TYPE, VALUE_TYPE_TYPE, 0);
	read_file(why);
	assert_string_equal(why,
	    "not a pprof profile: it has more than 4 sample types, which is all that can be read");
	struct import_job *j = import_new(ACCOUNT_PROFILE, 10);
	assert_int_equal(import_feed(j, "\n2345678901", 11), -EFBIG);
	assert_string_equal(import_why(j), "the profile is larger than 10 bytes");
	assert_null(import_take(j));
	import_free(j);
}

// Code that was made at run time is told from a file's by what holds it, also where that has a
// name.
static void kinds_come_back(void **state)
{
	(void)state;
	static const struct {
		const char *file;
		enum frame_kind kind;
	} rows[] = {{"[memfd:v8]", FRAME_JIT}, {"/bin/memfd:", FRAME_NATIVE},
	    {"[kernel.kallsyms]", FRAME_KERNEL}, {"/tmp/perf-7.map", FRAME_JIT},
	    {"/lib/modules/6.1/x.ko", FRAME_KERNEL}, {"[vdso]", FRAME_NATIVE}};
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct profile *p = profile_new(ACCOUNT_PROFILE, profile_type_find("cpu"));
		struct profile_mapping m = {.start = 1, .limit = 100};
		struct profile_frame f = {.address = 50, .kind = rows[i].kind};
		char why[200];
		m.file = profile_add_name(p, rows[i].file);
		f.mapping = profile_add_mapping(p, &m);
		uint32_t frame = profile_add_frame(p, &f);
		struct profile_subject who = {.pid = 1};
		profile_add(p, profile_add_stack(p, &frame, 1), profile_add_subject(p, &who),
		    (int64_t[]){1, 10});
		profile_seal(p);
		struct text t = TEXT(ACCOUNT_BASE);
		assert_int_equal(profiles_export(p, NULL, EXPORT_PPROF, &t), 0);
		struct profile *q = profiles_import(t.at, t.len, why);
		const struct profile_sample *s = profile_sample(q, profile_sample_count(q) - 1);
		uint32_t depth;
		assert_int_equal(
		    profile_frame(q, *profile_stack(q, s->stack, &depth))->kind, rows[i].kind);
		text_free(&t);
		profile_free(p);
		profile_free(q);
	}
}

static void deep_stacks_are_cut(void **state)
{
	(void)state;
	char why[200];
	struct text sample = TEXT(ACCOUNT_BASE);
	for (int i = 0; i < 5000; i++)
		put_number(&sample, SAMPLE_LOCATION_ID, 1);
	put_number(&sample, SAMPLE_VALUE, 9);
	PUT(PROFILE_SAMPLE_TYPE, VALUE_TYPE_TYPE, 1, VALUE_TYPE_UNIT, 2);
	PUT(PROFILE_LOCATION, LOCATION_ID, 1, LOCATION_ADDRESS, 5);
	put_strings(names);
	put_message(PROFILE_SAMPLE, sample);
	struct profile *p = read_file(why);
	uint32_t count;
	const uint32_t *frames = profile_stack(p, profile_sample(p, 1)->stack, &count);
	assert_int_equal(count, PROFILE_STACK_MAX);
	assert_int_equal(profile_frame(p, frames[0])->address, 5);
	assert_string_equal(
	    profile_name(p, profile_frame(p, frames[count - 1])->name), "[truncated: too deep]");
	assert_int_equal(profile_sample(p, 1)->values[0], 9);
	profile_free(p);
}

static void damage_is_survived(void **state)
{
	(void)state;
	struct profile *p = profiles_node(40, 9);
	struct text t = TEXT(ACCOUNT_BASE), raw = TEXT(ACCOUNT_BASE);
	char why[200];
	profiles_export(p, NULL, EXPORT_PPROF, &t);
	struct wire_gunzip *z = wire_gunzip_new(&(struct wire_sink){profiles_take, &raw}, 1 << 24);
	wire_gunzip_feed(z, t.at, t.len);
	wire_gunzip_free(z);
	for (size_t cut = 0; cut < raw.len; cut += 7)
		profile_free(profiles_import(raw.at, cut, why));
	uint64_t seed = 1;
	for (int i = 0; i < 3000; i++) {
		seed = hash_mix(seed + 1);
		size_t at = seed % raw.len;
		char was = raw.at[at];
		raw.at[at] = (char)(seed >> 40);
		struct profile *q = profiles_import(raw.at, raw.len, why);
		assert_int_equal(!q, *why != 0);
		profile_free(q);
		raw.at[at] = was;
	}
	text_free(&t);
	text_free(&raw);
	profile_free(p);
	assert_int_equal(mem_used(ACCOUNT_EXPORT) + mem_used(ACCOUNT_PROFILE), 0);
}

static void memory_fails(void **state)
{
	(void)state;
	struct profile *p = profiles_node(400, 5);
	struct text t = TEXT(ACCOUNT_BASE);
	char why[200];
	int64_t was[PROFILE_VALUES_MAX], totals[PROFILE_VALUES_MAX];
	uint64_t n = 1, asked, refused = 0, lossy = 0;
	profile_totals(p, was);
	profiles_export(p, NULL, EXPORT_PPROF, &t);
	do {
		mem_fail_at(n);
		struct profile *q = profiles_import(t.at, t.len, why);
		asked = mem_fail_seen();
		mem_fail_at(0);
		if (!q) {
			assert_true(!strcmp(why, "not enough memory to read the profile") ||
				    !strcmp(why, "no memory"));
			refused++;
		} else {
			profile_totals(q, totals);
			assert_int_equal(totals[0], was[0]);
			lossy += profile_sample(q, 0)->values[0] != 0;
		}
		profile_free(q);
	} while (asked >= n++);
	assert_true(refused > 10 && lossy > 0);
	text_free(&t);
	profile_free(p);
	assert_int_equal(
	    mem_used(ACCOUNT_EXPORT) + mem_used(ACCOUNT_WIRE) + mem_used(ACCOUNT_PROFILE), 0);
}

// What is unpacked takes little more than its size, and none more once the tables are made.
static void what_is_fed_is_kept_tightly(void **state)
{
	(void)state;
	struct profile *p = profiles_node(10000, 6);
	struct text t = TEXT(ACCOUNT_BASE);
	profiles_export(p, NULL, EXPORT_PPROF, &t);
	struct import_job *j = import_new(ACCOUNT_PROFILE, 64 << 20);
	for (size_t at = 0; at < t.len; at += 256) {
		assert_int_equal(import_feed(j, t.at + at, t.len - at < 256 ? t.len - at : 256), 0);
		assert_true(j->raw.cap <= j->raw.len + j->raw.len / 4 + 4096);
	}
	assert_true(j->raw.len > 100000);
	while (import_step(j, 0) == 1 && j->phase < IMPORT_KEEP)
		;
	assert_int_equal(j->raw.cap, j->raw.len + 1);
	import_free(j);
	text_free(&t);
	profile_free(p);
}

static void slices_are_short(void **state)
{
	(void)state;
	struct profile *p = profiles_node(10000, 6);
	struct text t = TEXT(ACCOUNT_BASE);
	profiles_export(p, NULL, EXPORT_PPROF, &t);
	struct import_job *j = import_new(ACCOUNT_PROFILE, 64 << 20);
	uint64_t longest = 0, whole = profiles_ran();
	for (size_t at = 0; at < t.len; at += 256)
		assert_int_equal(import_feed(j, t.at + at, t.len - at < 256 ? t.len - at : 256), 0);
	uint32_t steps = 0;
	for (int more = 1; more; steps++) {
		uint64_t start = profiles_ran();
		more = import_step(j, 100 * NS_PER_US);
		uint64_t took = profiles_ran() - start;
		longest = took > longest ? took : longest;
		assert_true(more >= 0);
	}
	print_message("10,000 samples read in %.1f ms, %u steps, longest %.2f ms, %lu KiB beside "
		      "the profile\n",
	    (double)(profiles_ran() - whole) / 1e6, steps, (double)longest / 1e6,
	    mem_used(ACCOUNT_EXPORT) / 1024);
	assert_true(steps > 10);
	import_free(j);
	text_free(&t);
	profile_free(p);
}

int main(void)
{
	file = TEXT(ACCOUNT_BASE);
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(any_writer_is_understood),
	    cmocka_unit_test(wrong_files_say_why),
	    cmocka_unit_test(kinds_come_back),
	    cmocka_unit_test(deep_stacks_are_cut),
	    cmocka_unit_test(damage_is_survived),
	    cmocka_unit_test(memory_fails),
	    cmocka_unit_test(what_is_fed_is_kept_tightly),
	    cmocka_unit_test(slices_are_short),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
