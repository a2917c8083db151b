// SPDX-License-Identifier: Apache-2.0
// Jobs, with the doors of process and elf faked here: every binary's functions are 0x100 long and
// named after it, with nothing between 0x80 and 0xff in every second one. /proc is a directory,
// proc is real.
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "proc_fake.h"

#include "../../modules/symbol/answer.c"
#include "../../modules/symbol/debug.c"
#include "../../modules/symbol/resolve.c"
#include "../../modules/symbol/source.c"

#include "../../modules/proc/proc.h"

static struct {
	struct binary binary;
	struct process process;
	int lookups, opens, beside, fd_error, step_error;
	bool gone, separate, has_debug;
} fake;

struct binary *binary_by_id(struct processes *t, uint32_t id)
{
	(void)t;
	fake.binary.id = id;
	return fake.gone ? NULL : &fake.binary;
}

int binary_fd(struct processes *t, struct binary *b)
{
	(void)t, (void)b;
	fake.opens++;
	return fake.fd_error ? fake.fd_error : STDERR_FILENO;
}

int binary_open_beside(struct processes *t, const struct binary *b, const char *path)
{
	(void)t, (void)b;
	fake.beside++;
	return fake.has_debug && !strcmp(path, "/debug/second")
		   ? open("/dev/null", O_RDONLY | O_CLOEXEC)
		   : -ENOENT;
}

struct process *process_by_id(struct processes *t, uint32_t id)
{
	(void)t, (void)id;
	return fake.gone ? NULL : &fake.process;
}

struct elf_lookup {
	const uint64_t *addresses;
	uint32_t count, at;
	void (*found)(void *arg, uint32_t index, const struct elf_symbol *symbol);
	void *arg;
};

struct elf_lookup *elf_lookup_new(int fd, const uint64_t *addresses, uint32_t count,
    const struct elf_lookup_options *options,
    void (*found)(void *arg, uint32_t index, const struct elf_symbol *symbol), void *arg)
{
	(void)fd;
	struct elf_lookup *l = mem_alloc(ACCOUNT_ELF, sizeof(*l));
	if (l)
		*l = (struct elf_lookup){addresses, count, 0, found, arg};
	for (uint32_t i = 1; i < count; i++)
		assert_true(addresses[i - 1] <= addresses[i]);
	fake.lookups++;
	fake.separate = options->separate && options->debug_fd >= 0;
	return l;
}

int elf_lookup_step(struct elf_lookup *l, uint64_t budget_ns)
{
	(void)budget_ns;
	if (l->at == l->count)
		return 0;
	if (fake.step_error && l->at == l->count / 2)
		return fake.step_error;
	uint64_t address = l->addresses[l->at], start = address & ~0xffull;
	char name[32];
	snprintf(name, sizeof(name), "_ZN3lib2f%xEv", (unsigned)(start >> 8) % 10);
	struct elf_symbol symbol = {start, start + 0x100, name};
	if ((start >> 8) % 2)
		symbol = address - start < 0x80
			     ? (struct elf_symbol){start, start + 0x80, name}
			     : (struct elf_symbol){start + 0x80, start + 0x100, NULL};
	l->found(l->arg, l->at++, &symbol);
	return 1;
}

void elf_lookup_free(struct elf_lookup *l)
{
	mem_free(l);
}

int elf_lookup_memory(const void *image, size_t size, const uint64_t *addresses, uint32_t count,
    void (*found)(void *arg, uint32_t index, const struct elf_symbol *symbol), void *arg)
{
	assert_non_null(image);
	assert_true(size > 64);
	fake.lookups++;
	for (uint32_t i = 0; i < count; i++) {
		struct elf_symbol symbol = {0x800, 0x900, "__vdso_clock_gettime"};
		if (addresses[i] >= 0x900)
			symbol = (struct elf_symbol){0x900, 0x2000, NULL};
		found(arg, i, &symbol);
	}
	return 0;
}

int elf_debug_paths(
    int fd, const char *path, int (*each)(void *arg, const char *candidate), void *arg)
{
	(void)fd, (void)path;
	return each (arg, "/debug/first") || each (arg, "/debug/second");
}

static int matched;
bool elf_debug_matches(int fd, int debug_fd)
{
	(void)fd, (void)debug_fd;
	matched++;
	return true;
}

static struct proc *proc;
static uint64_t now = 1000 * NS_PER_S;

static int begin(void **state)
{
	if (fake_begin(state) < 0)
		return -1;
	proc = proc_new(fake_root);
	clock_fake(&now, NULL);
	return proc ? 0 : -1;
}

static int end(void **state)
{
	proc_free(proc);
	clock_fake(NULL, NULL);
	return fake_end(state);
}

static int reset(void **state)
{
	(void)state;
	if (fake.process.root_fd > 0)
		close(fake.process.root_fd);
	memset(&fake, 0, sizeof(fake));
	fake.binary.path = "/usr/lib/libfoo.so";
	fake.process = (struct process){.pid = 4711, .ns_pid = 7, .euid = geteuid()};
	fake.process.root_fd = open(fake_root, O_PATH | O_DIRECTORY | O_CLOEXEC);
	fake_puts("kallsyms", "ffff0000 T _stext\nffff0000 T first\nffff0100 t __x64_sys_read\n"
			      "ffff0200 T _etext\nffff9000 t go\t[nf_nat]\n");
	unlink(fake_path("tmp/perf-7.map"));
	return 0;
}

static struct symbol *resolver(uint32_t size, bool offline)
{
	struct symbol_options options = {.proc = proc,
	    .cache_size = size,
	    .demangle = true,
	    .kernel = true,
	    .debug_files = true,
	    .offline = offline};
	return symbol_new(&options);
}

#define ASKED_MAX 5000
static struct got {
	int times;
	bool named;
	uint64_t start, end;
	char name[64], system[64];
} got[ASKED_MAX];

static void keep(void *arg, uint32_t index, const struct symbol_answer *answer)
{
	assert_ptr_equal(arg, got);
	struct got *g = &got[index];
	g->times++;
	g->named = answer->named;
	g->start = answer->start;
	g->end = answer->end;
	snprintf(g->name, sizeof(g->name), "%s", answer->name);
	snprintf(
	    g->system, sizeof(g->system), "%s", answer->system_name ? answer->system_name : "");
	assert_true(answer->name[0] != 0);
}

static int ask(struct symbol *s, const struct place *places, uint32_t count)
{
	memset(got, 0, sizeof(got));
	struct symbol_job *job = symbol_ask(s, places, count, keep, got);
	if (!job)
		return -errno;
	while (symbol_step(job, 0) == 1)
		;
	symbol_job_free(job);
	for (uint32_t i = 0; i < count; i++)
		assert_int_equal(got[i].times, 1);
	return 0;
}

static void a_place_of_every_kind(void **state)
{
	(void)state;
	struct symbol *s = resolver(1000, false);
	fake_puts("tmp/perf-7.map", "7000 100 JS:*fib\n");
	static const struct {
		struct place place;
		const char *name, *system;
	} want[] = {
	    {{0xffff0110, 9, PLACE_KERNEL}, "sys_read", "__x64_sys_read"},
	    {{0xffff9010, 0, PLACE_KERNEL}, "go [nf_nat]", ""},
	    {{0xffff0300, 0, PLACE_KERNEL}, "[kernel]", ""},
	    {{0x1234, 3, PLACE_FILE}, "lib::f8()", "_ZN3lib2f8Ev"},
	    {{0x11f0, 3, PLACE_FILE}, "[libfoo.so+0x11f0]", ""},
	    {{0x11f8, 3, PLACE_OFFSET}, "[libfoo.so+0x11f8]", ""},
	    {{0x7010, 5, PLACE_ANON}, "JS:*fib", ""},
	    {{0x9010, 5, PLACE_ANON}, "[jit]", ""},
	    {{0x810, 1, PLACE_VDSO}, "__vdso_clock_gettime", ""},
	    {{0x910, 2, PLACE_VDSO}, "[vdso]", ""},
	    {{0x10, 5, PLACE_UNMAPPED}, "[unmapped]", ""},
	    {{0x10, 5, PLACE_NONE}, "[unknown]", ""},
	    {{0x10, 5, 77}, "[unknown]", ""},
	};
	enum { N = sizeof(want) / sizeof(*want) };
	struct place places[N];
	for (int i = 0; i < N; i++)
		places[i] = want[i].place;
	for (int again = 0; again < 2; again++) {
		uint64_t unnamed = count_get(COUNT_FRAMES_UNNAMED),
			 asked = count_get(COUNT_FRAMES_ASKED);
		uint64_t cached = count_get(COUNT_FRAMES_CACHED),
			 reads = count_get(COUNT_KALLSYMS_READS);
		assert_int_equal(ask(s, places, N), 0);
		for (int i = 0; i < N; i++) {
			assert_string_equal(got[i].name, want[i].name);
			assert_string_equal(got[i].system, want[i].system);
			assert_int_equal(got[i].named, want[i].name[0] != '[');
			uint64_t a = want[i].place.address;
			assert_true(got[i].start <= a && a < got[i].end);
		}
		assert_int_equal(count_get(COUNT_FRAMES_ASKED) - asked, N);
		assert_int_equal(count_get(COUNT_FRAMES_UNNAMED) - unnamed, 8);
		assert_int_equal(count_get(COUNT_FRAMES_CACHED) - cached, again ? 9 : 0);
		assert_int_equal(count_get(COUNT_KALLSYMS_READS) - reads, again ? 0 : 1);
		assert_int_equal(fake.lookups, 2); // the file and the vdso, once
		assert_int_equal(fake.opens, 1);
	}
	fake.gone = true;
	places[0] = (struct place){0x99999, 77, PLACE_FILE};
	places[1] = (struct place){0x99999, 78, PLACE_ANON};
	assert_int_equal(ask(s, places, 2), 0);
	assert_string_equal(got[0].name, "[file]");
	assert_string_equal(got[1].name, "[anon]");
	symbol_free(s);
	assert_int_equal(mem_used(ACCOUNT_SYMBOL), 0);
}

static void each_of_many_is_answered_once_and_rightly(void **state)
{
	(void)state;
	for (uint32_t size = 16; size < 100000; size *= 16) {
		struct symbol *s = resolver(size, false);
		static struct place places[ASKED_MAX];
		uint64_t seed = size;
		for (int round = 0; round < 3; round++) {
			for (uint32_t i = 0; i < ASKED_MAX; i++) {
				seed = hash_mix(seed + 1);
				places[i] = (struct place){
				    seed % 0x40000, 1 + (seed >> 20) % 7, PLACE_FILE};
			}
			assert_int_equal(ask(s, places, ASKED_MAX), 0);
			for (uint32_t i = 0; i < ASKED_MAX; i++) {
				uint64_t start = places[i].address & ~0xffull;
				bool gap = (start >> 8) % 2 && places[i].address - start >= 0x80;
				char name[32];
				snprintf(name, sizeof(name),
				    gap ? "[libfoo.so+0x%x]" : "lib::f%x()",
				    gap ? (unsigned)places[i].address
					: (unsigned)(start >> 8) % 10);
				assert_string_equal(got[i].name, name);
			}
			assert_true(count_get(COUNT_SYMBOL_CACHE) <= size);
		}
		if (size > 10000) { // all fits: no lookup is made any more
			int before = fake.lookups;
			ask(s, places, ASKED_MAX);
			assert_int_equal(fake.lookups, before);
		}
		symbol_free(s);
	}
	assert_int_equal(mem_used(ACCOUNT_SYMBOL), 0);
}

static void files_that_cannot_be_read(void **state)
{
	(void)state;
	struct symbol *s = resolver(1000, false);
	struct place places[] = {{0x200, 1, PLACE_FILE}, {0x400, 1, PLACE_FILE}};
	fake.fd_error = -ENOENT;
	ask(s, places, 2);
	assert_string_equal(got[0].name, "[libfoo.so+0x200]");
	ask(s, places, 2);
	assert_int_equal(fake.opens, 1); // left in peace
	now += 61 * NS_PER_S;
	fake.fd_error = 0;
	fake.step_error = -EBADMSG; // half of it
	ask(s, places, 2);
	assert_string_equal(got[0].name, "lib::f2()");
	assert_string_equal(got[1].name, "[libfoo.so+0x400]");
	now += 61 * NS_PER_S;
	fake.step_error = 0;
	ask(s, places, 2);
	assert_string_equal(got[1].name, "lib::f4()");
	symbol_free(s);
}

static void separate_debug_files(void **state)
{
	(void)state;
	struct symbol *s = resolver(1000, false);
	struct place place = {0x200, 1, PLACE_FILE};
	ask(s, &place, 1);
	assert_false(fake.separate);
	assert_int_equal(fake.beside, 2);
	place.address = 0x400; // that there is none is known
	ask(s, &place, 1);
	assert_int_equal(fake.beside, 2);
	fake.has_debug = true;
	place.owner = 2;
	matched = 0;
	ask(s, &place, 1);
	assert_true(fake.separate);
	assert_int_equal(matched, 1);
	place.address = 0x200; // the same file is not checked again
	ask(s, &place, 1);
	assert_true(fake.separate);
	assert_int_equal(matched, 1);
	symbol_free(s);
	assert_int_equal(mem_used(ACCOUNT_SYMBOL), 0);
}

static int asked, ask_error;
static int ask_the_kernel(void *arg, const uint64_t *addresses, uint32_t count,
    void (*named)(void *arg, uint32_t index, uint64_t start, uint64_t end, const char *name,
	const char *module),
    void *named_arg)
{
	assert_null(arg);
	assert_true(count <= 16);
	asked += count > 0;
	for (uint32_t i = 0; i < count && !ask_error; i++) {
		uint64_t start = addresses[i] & ~0xfull;
		named(named_arg, i, start, start + 16, start % 32 ? "__x64_sys_one" : NULL,
		    start % 64 == 16 ? "mod" : "");
	}
	return count ? ask_error : 0;
}

static void the_kernel_is_asked_where_it_can_be(void **state)
{
	(void)state;
	struct symbol_options options = {
	    .proc = proc, .cache_size = 1000, .kernel = true, .ask_kernel = ask_the_kernel};
	fake_puts("kallsyms", "00000000 T _stext\n00000000 t f\n"); // hidden: it does not matter
	struct symbol *s = symbol_new(&options);
	struct place places[40];
	uint64_t reads = count_get(COUNT_KALLSYMS_READS);
	for (uint64_t i = 0; i < 40; i++)
		places[i] = (struct place){0xffff0005 + i * 16, 0, PLACE_KERNEL};
	asked = 0;
	ask_error = -EIO;
	ask(s, places, 40);
	assert_string_equal(got[1].name, "[kernel]");
	ask_error = 0;
	for (int again = 0; again < 2; again++) {
		ask(s, places, 40);
		for (int i = 0; i < 40; i++)
			assert_string_equal(got[i].name, i % 4 == 1   ? "sys_one [mod]"
							 : i % 4 == 3 ? "sys_one"
								      : "[kernel]");
	}
	assert_int_equal(asked, 1 + 3 + 1); // 40 by 16, then from the cache but for the module's
	assert_int_equal(count_get(COUNT_KALLSYMS_READS), reads);
	symbol_free(s);
	assert_int_equal(mem_used(ACCOUNT_SYMBOL), 0);
}

static void unknown_kernel_addresses_are_read_for_once_a_minute(void **state)
{
	(void)state;
	struct symbol *s = resolver(1000, false);
	struct place places[] = {{0xffff0300, 0, PLACE_KERNEL}, {0xffff0010, 0, PLACE_KERNEL}};
	uint64_t reads = count_get(COUNT_KALLSYMS_READS);
	ask(s, places, 1);
	ask(s, places, 1);
	assert_int_equal(count_get(COUNT_KALLSYMS_READS) - reads, 1);
	now += 30 * NS_PER_S;
	ask(s, places, 2); // a new one is read for at once
	assert_string_equal(got[1].name, "first");
	assert_int_equal(count_get(COUNT_KALLSYMS_READS) - reads, 2);
	now += 31 * NS_PER_S; // a module was loaded there
	fake_puts("kallsyms", "ffff0000 T _stext\nffff0200 T _etext\nffff0300 t late\t[mod]\n");
	ask(s, places, 1);
	assert_string_equal(got[0].name, "late [mod]");
	assert_int_equal(count_get(COUNT_KALLSYMS_READS) - reads, 3);
	symbol_free(s);
}

// Names of modules hold for a minute, also those that no read for another address came across.
static void modules_come_and_go(void **state)
{
	(void)state;
	struct symbol *s = resolver(1000, false);
	struct place places[] = {{0xffff0010, 0, PLACE_KERNEL}, {0xffff9010, 0, PLACE_KERNEL},
	    {0xffff0110, 0, PLACE_KERNEL}};
	uint64_t reads = count_get(COUNT_KALLSYMS_READS);
	ask(s, places, 2);
	assert_string_equal(got[1].name, "go [nf_nat]");
	fake_puts("kallsyms", "ffff0000 T _stext\nffff0000 T first\nffff0100 t __x64_sys_read\n"
			      "ffff0200 T _etext\nffff9000 t other\t[nf_conntrack]\n");
	now += 59 * NS_PER_S;
	ask(s, places, 2);
	assert_string_equal(got[1].name, "go [nf_nat]"); // a minute at most
	assert_int_equal(count_get(COUNT_KALLSYMS_READS) - reads, 1);
	now += 2 * NS_PER_S;
	ask(s, places + 2, 1);
	ask(s, places, 2);
	assert_string_equal(got[0].name, "first");
	assert_string_equal(got[1].name, "other [nf_conntrack]");
	assert_int_equal(count_get(COUNT_KALLSYMS_READS) - reads, 3); // vmlinux stays
	symbol_free(s);
	assert_int_equal(mem_used(ACCOUNT_SYMBOL), 0);
}

static void a_kernel_that_hides(void **state)
{
	(void)state;
	struct place place = {0xffff0110, 0, PLACE_KERNEL};
	fake_puts("kallsyms", "00000000 T _stext\n00000000 t f\n");
	struct symbol *s = resolver(1000, false);
	ask(s, &place, 1);
	assert_string_equal(got[0].name, "[kernel]");
	assert_true(s->kernel_hidden);
	uint64_t reads = count_get(COUNT_KALLSYMS_READS);
	ask(s, &place, 1);
	assert_int_equal(count_get(COUNT_KALLSYMS_READS), reads);
	fake_puts("kallsyms", "ffff0000 T _stext\nffff0100 t f\nffff0200 T _etext\n");
	now += 61 * NS_PER_S;
	ask(s, &place, 1);
	assert_string_equal(got[0].name, "f");
	assert_false(s->kernel_hidden);
	symbol_free(s);
	unlink(fake_path("kallsyms"));
	s = resolver(1000, false);
	ask(s, &place, 1);
	assert_string_equal(got[0].name, "[kernel]");
	assert_true(s->kernel_hidden);
	symbol_free(s);
}

static void jit_code_that_changes(void **state)
{
	(void)state;
	struct symbol *s = resolver(1000, false);
	struct place places[] = {
	    {0x7010, 5, PLACE_ANON}, {0x8010, 5, PLACE_ANON}, {0x9010, 5, PLACE_ANON}};
	ask(s, places, 3);
	assert_string_equal(got[0].name, "[anon]");
	now += 11 * NS_PER_S;
	fake_puts("tmp/perf-7.map", "7000 100 old\n8000 100 steady\n");
	ask(s, places, 3);
	assert_string_equal(got[0].name, "old");
	assert_string_equal(got[2].name, "[jit]");
	// The map says more now: what the cache knew of these addresses is not answered.
	fake_puts("tmp/perf-7.map", "7000 100 old\n8000 100 steady\n7000 20 new\n9000 20 late\n");
	ask(s, places, 3);
	assert_string_equal(got[0].name, "new");
	assert_string_equal(got[1].name, "steady");
	assert_string_equal(got[2].name, "late");
	// When it is gone, and the process too, what was known is answered.
	unlink(fake_path("tmp/perf-7.map"));
	ask(s, places, 3);
	assert_string_equal(got[0].name, "new");
	fake.gone = true;
	now += 11 * NS_PER_S;
	ask(s, places, 3);
	assert_string_equal(got[2].name, "late");
	symbol_free(s);
	assert_int_equal(mem_used(ACCOUNT_SYMBOL), 0);
}

static void a_replay_answers_what_it_was_taught(void **state)
{
	(void)state;
	struct symbol *s = resolver(16, true);
	for (uint64_t i = 0; i < 1000; i++) {
		struct place place = {i * 16 + 5, i % 2 ? 3 : 0, i % 2 ? PLACE_FILE : PLACE_KERNEL};
		char name[32];
		snprintf(name, sizeof(name), "taught%u", (unsigned)i);
		struct symbol_answer answer = {i * 16, i * 16 + 16, name, "_Z", i % 10 != 0};
		assert_int_equal(symbol_teach(s, &place, &answer), 0);
	}
	assert_int_equal(symbol_shrink(s, UINT64_MAX), 0);
	now += 1000 * NS_PER_S;
	for (uint64_t i = 0; i < 1000; i++) {
		struct place place = {i * 16 + 9, i % 2 ? 3 : 0, i % 2 ? PLACE_FILE : PLACE_KERNEL};
		ask(s, &place, 1);
		char name[32];
		snprintf(name, sizeof(name), "taught%u", (unsigned)i);
		assert_string_equal(got[0].name, i % 10 ? name : "[kernel]");
		assert_string_equal(got[0].system, i % 10 ? "_Z" : "");
	}
	struct place place = {0x999999, 3, PLACE_FILE};
	ask(s, &place, 1);
	assert_string_equal(got[0].name, "[libfoo.so+0x999999]");
	assert_int_equal(fake.lookups + fake.opens, 0);
	symbol_free(s);
	assert_int_equal(mem_used(ACCOUNT_SYMBOL), 0);
}

static void names_that_cannot_be_shown_as_they_are(void **state)
{
	(void)state;
	char name[SHOWN_MAX], longest[1000];
	clean(name, "a\nb\x7f\x01");
	assert_string_equal(name, "a?b??");
	clean(name, "caf\xc3\xa9");
	assert_string_equal(name, "caf\xc3\xa9");
	clean(name, "caf\xe9!");
	assert_string_equal(name, "caf?!");
	memset(longest, 'x', sizeof(longest));
	longest[sizeof(longest) - 1] = 0;
	memcpy(longest + SHOWN_MAX - 5, "\xc3\xa9", 2); // cut within the letter
	clean(name, longest);
	assert_int_equal(strlen(name), SHOWN_MAX - 2);
	assert_string_equal(name + SHOWN_MAX - 5, "...");
	clean(name, "");
	assert_string_equal(name, "");
	struct symbol *s = resolver(100, false);
	fake.binary.path = "/tmp/evil\n\x1b[31m.so";
	struct place place = {0x180, 1, PLACE_FILE};
	ask(s, &place, 1);
	assert_string_equal(got[0].name, "[evil??[31m.so+0x180]");
	symbol_free(s);
}

// Many that nothing can name: they too are answered in slices.
static void what_has_no_source_is_answered_in_slices(void **state)
{
	(void)state;
	static struct place places[ASKED_MAX];
	struct symbol *s = resolver(1000, false);
	for (uint32_t i = 0; i < ASKED_MAX; i++)
		places[i] = (struct place){i * 16, 1, PLACE_FILE};
	fake.fd_error = -ENOENT;
	memset(got, 0, sizeof(got));
	struct symbol_job *job = symbol_ask(s, places, ASKED_MAX, keep, got);
	uint32_t answered = 0, before;
	int more = 1;
	while (more) {
		before = answered;
		more = symbol_step(job, 0);
		for (answered = before; answered < ASKED_MAX && got[answered].times;)
			answered++;
		assert_true(answered - before <= 64);
	}
	assert_int_equal(answered, ASKED_MAX);
	symbol_job_free(job);
	symbol_free(s);
	assert_int_equal(mem_used(ACCOUNT_SYMBOL), 0);
}

static void a_job_may_be_dropped_at_any_step(void **state)
{
	(void)state;
	struct symbol *s = resolver(1000, false);
	fake_puts("tmp/perf-7.map", "7000 100 JS:*fib\n");
	struct place places[] = {{0xffff0110, 0, PLACE_KERNEL}, {0x1234, 3, PLACE_FILE},
	    {0x1500, 3, PLACE_FILE}, {0x7010, 5, PLACE_ANON}, {0x810, 1, PLACE_VDSO}};
	int descriptors = fake_open_descriptors();
	for (int steps = 0, left = 1; left; steps++) {
		struct symbol_job *job = symbol_ask(s, places, 5, keep, got);
		for (int i = 0; i < steps && left; i++)
			left = symbol_step(job, 0);
		symbol_job_free(job);
		cache_shrink(s->cache, UINT64_MAX);
		left = steps < 60;
	}
	assert_int_equal(fake_open_descriptors(), descriptors);
	symbol_free(s);
	assert_int_equal(mem_used(ACCOUNT_SYMBOL), 0);
	assert_int_equal(mem_used(ACCOUNT_ELF), 0);
}

static void every_allocation_may_fail(void **state)
{
	(void)state;
	fake_puts("tmp/perf-7.map", "7000 100 JS:*fib\n");
	struct place places[] = {{0xffff0110, 0, PLACE_KERNEL}, {0x1234, 3, PLACE_FILE},
	    {0x2500, 4, PLACE_FILE}, {0x7010, 5, PLACE_ANON}, {0x810, 1, PLACE_VDSO}};
	static const char *const names[] = {
	    "sys_read", "lib::f8()", "lib::f7()", "JS:*fib", "__vdso_clock_gettime"};
	fake.has_debug = true;
	int descriptors = fake_open_descriptors();
	for (uint64_t n = 1;; n++) {
		mem_fail_at(n);
		struct symbol *s = resolver(1000, false);
		int result = s ? ask(s, places, 5) : -ENOMEM;
		for (int i = 0; s && !result && i < 5; i++)
			assert_true(!got[i].named || !strcmp(got[i].name, names[i]));
		if (s)
			result = ask(s, places, 5);
		bool all_asked = mem_fail_seen() < n;
		mem_fail_at(0);
		if (s && !ask(s, places, 5) && all_asked)
			for (int i = 0; i < 5; i++)
				assert_string_equal(got[i].name, names[i]);
		symbol_free(s);
		assert_int_equal(mem_used(ACCOUNT_SYMBOL), 0);
		if (all_asked)
			break;
	}
	assert_int_equal(fake_open_descriptors(), descriptors);
}

int main(void)
{
	log_set_level(LOG_LEVEL_ERROR);
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup(a_place_of_every_kind, reset),
	    cmocka_unit_test_setup(each_of_many_is_answered_once_and_rightly, reset),
	    cmocka_unit_test_setup(files_that_cannot_be_read, reset),
	    cmocka_unit_test_setup(separate_debug_files, reset),
	    cmocka_unit_test_setup(the_kernel_is_asked_where_it_can_be, reset),
	    cmocka_unit_test_setup(unknown_kernel_addresses_are_read_for_once_a_minute, reset),
	    cmocka_unit_test_setup(modules_come_and_go, reset),
	    cmocka_unit_test_setup(a_kernel_that_hides, reset),
	    cmocka_unit_test_setup(jit_code_that_changes, reset),
	    cmocka_unit_test_setup(a_replay_answers_what_it_was_taught, reset),
	    cmocka_unit_test_setup(names_that_cannot_be_shown_as_they_are, reset),
	    cmocka_unit_test_setup(what_has_no_source_is_answered_in_slices, reset),
	    cmocka_unit_test_setup(a_job_may_be_dropped_at_any_step, reset),
	    cmocka_unit_test_setup(every_allocation_may_fail, reset),
	};
	return cmocka_run_group_tests(tests, begin, end);
}
