// SPDX-License-Identifier: Apache-2.0
// Separate and packed symbols, real files, allocations that fail, and files that are cut, torn or
// lying.
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <dlfcn.h>
#include <fcntl.h>
#include <link.h>
#include <lzma.h>
#include <stdlib.h>
#include <sys/auxv.h>
#include <sys/syscall.h>

#include "../../modules/elf/lookup.c"
#include "elf_answers.h"

// Every read of the room, in place of libc's: how much was read.
static uint64_t bytes_read;
ssize_t pread(int fd, void *to, size_t n, off_t at)
{
	ssize_t got = syscall(SYS_pread64, fd, to, n, at);
	bytes_read += got > 0 ? (uint64_t)got : 0;
	return got;
}
ssize_t pread64(int fd, void *to, size_t n, off_t at) __attribute__((alias("pread")));

static struct image other;
static uint8_t table[1 << 12];
static const struct go_functions go = {
    .count = 2, .at = {0, 0x10, 0x20}, .names = {"main.main", "main.%2e"}};

static void put_build_id(struct image *to, uint8_t id)
{
	uint8_t note[24] = {
	    4, 0, 0, 0, 8, 0, 0, 0, NT_GNU_BUILD_ID, 0, 0, 0, 'G', 'N', 'U', 0, id, 1, 2};
	unsigned s = image_section(to, ".note.gnu.build-id",
	    (Elf64_Shdr){.sh_type = SHT_NOTE, .sh_flags = SHF_ALLOC}, note, sizeof(note));
	to->segments[to->segment_count++] = (Elf64_Phdr){.p_type = PT_NOTE,
	    .p_offset = to->sections[s].sh_offset,
	    .p_filesz = sizeof(note),
	    .p_align = 4};
}

// M stripped, with a debug file OTHER; CRC names it by a debuglink instead of by a build-id.
static int make_debug(bool crc, uint8_t id)
{
	image_begin(&other);
	other.segments[0].p_filesz = 0; // its bytes stayed with the program
	image_header_of(&other, 0);
	other.sections[1].sh_type = SHT_NOBITS;
	if (!crc)
		put_build_id(&other, id);
	image_function(&other, "from_debug", T + 0x100, 0x10);
	image_table(&other, SHT_SYMTAB);
	image_end(&other);
	image_begin(&m);
	if (!crc)
		put_build_id(&m, 1);
	uint8_t link[16] = "x.debug";
	put32(link + 8, lzma_crc32(other.at, other.size, 0));
	if (crc)
		image_section(
		    &m, ".gnu_debuglink", (Elf64_Shdr){.sh_type = SHT_PROGBITS}, link, 12);
	image_function(&m, "from_dynsym", T + 0x100, 0x10);
	image_table(&m, SHT_DYNSYM);
	image_end(&m);
	return image_fd(&other, other.size);
}

static void separate_debug_files(void **state)
{
	(void)state;
	static const struct {
		bool crc, separate;
		uint8_t id;
		bool damaged, moved;
		const char *name;
	} cases[] = {
	    {false, true, 1, false, false, "from_debug"},
	    {true, true, 0, false, false, "from_debug"},
	    {false, true, 2, false, false, "from_dynsym"},
	    {true, true, 0, true, false, "from_dynsym"},
	    {false, false, 1, false, false, "from_dynsym"},
	    {false, true, 1, false, true, "from_dynsym"},
	};
	const uint64_t address = T + 0x108;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		int debug = make_debug(cases[i].crc, cases[i].id);
		if (cases[i].damaged)
			assert_int_equal(pwrite(debug, "x", 1, (off_t)other.size - 1), 1);
		if (cases[i].moved) { // prelinked since
			uint64_t vaddr = T + 0x100000;
			assert_int_equal(
			    pwrite(debug, &vaddr, 8, 64 + offsetof(Elf64_Phdr, p_vaddr)), 8);
		}
		const struct elf_lookup_options options = {
		    .separate = cases[i].separate, .debug_fd = debug};
		int fd = image_fd(&m, m.size);
		ask_fd(fd, &address, 1, &options, 0);
		assert_int_equal(a.result, 0);
		assert_string_equal(a.of[0].name, cases[i].name);
		close(fd), close(debug);
	}
	// A debug file that is no ELF file at all.
	make_debug(true, 0);
	int debug = memfd_create("text", 0), fd = image_fd(&m, m.size);
	assert_int_equal(write(debug, "hello", 5), 5);
	ask_fd(
	    fd, &address, 1, &(struct elf_lookup_options){.separate = true, .debug_fd = debug}, 0);
	assert_string_equal(a.of[0].name, "from_dynsym");
	close(fd), close(debug);
}

// A debug file as large as they come, to be known by the CRC of all its bytes, or a table in it
// that claims most of it: no step reads more than a little.
static void huge_debug_files(void **state)
{
	(void)state;
	static const struct {
		uint64_t size;
		bool table;
		const char *name;
	} cases[] = {{60 << 20, false, "from_debug"}, {500 << 20, false, "from_dynsym"},
	    {500 << 20, true, "from_dynsym"}};
	const uint64_t address = T + 0x108;
	static const uint8_t zeros[1 << 16];
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		int debug = make_debug(!cases[i].table, 1);
		assert_int_equal(ftruncate(debug, (off_t)cases[i].size), 0);
		uint32_t crc = lzma_crc32(other.at, other.size, 0);
		for (uint64_t at = other.size, n; !cases[i].table && at < cases[i].size; at += n) {
			n = cases[i].size - at < sizeof(zeros) ? cases[i].size - at : sizeof(zeros);
			crc = lzma_crc32(zeros, n, crc);
		}
		for (unsigned k = 1; k < image_header(&m)->e_shnum; k++) {
			uint8_t *content = m.at + image_header_of(&m, k)->sh_offset;
			if (image_header_of(&m, k)->sh_size == 12)
				put32(content + 8, crc);
		}
		for (unsigned k = 1; k < image_header(&other)->e_shnum; k++) {
			Elf64_Shdr *h = image_header_of(&other, k);
			if (cases[i].table && h->sh_type == SHT_SYMTAB)
				h->sh_offset = 1 << 20, h->sh_size = 255 << 20;
		}
		assert_int_equal(pwrite(debug, other.at, other.size, 0), (ssize_t)other.size);
		int fd = image_fd(&m, m.size), r = 1;
		bytes_read = 0;
		assert_true(elf_debug_matches(fd, debug) == (cases[i].table || i == 0));
		assert_true(bytes_read < 64 << 10);
		memset(&a, 0, sizeof(a));
		struct elf_lookup *l = elf_lookup_new(fd, &address, 1,
		    &(struct elf_lookup_options){.separate = true, .debug_fd = debug},
		    answers_found, &a);
		while (r == 1) {
			bytes_read = 0;
			r = elf_lookup_step(l, 0);
			assert_true(bytes_read < 128 << 10);
		}
		elf_lookup_free(l);
		assert_int_equal(r, 0);
		assert_string_equal(a.of[0].name, cases[i].name);
		close(fd), close(debug);
	}
}

// Everything at once: Go, .dynsym and .gnu_debugdata. Answers to three addresses.
static const uint64_t three[] = {T + 0x108, T + 0x208, T + 0x1008};
static const char *const three_names[] = {"from_dynsym", "from_mini", "main.main"};
static void make_all(uint64_t more)
{
	static uint8_t packed[1 << 17];
	size_t packed_size = 0;
	image_begin(&other);
	other.sections[1].sh_type = SHT_NOBITS;
	image_function(&other, "from_mini", T + 0x200, 0x10);
	image_table(&other, SHT_SYMTAB);
	image_put(&other, NULL, 0);
	other.size += more;
	image_end(&other);
	assert_int_equal(lzma_easy_buffer_encode(0, LZMA_CHECK_CRC32, NULL, other.at, other.size,
			     packed, &packed_size, sizeof(packed)),
	    LZMA_OK);
	image_begin(&m);
	size_t size = image_pclntab(table, 0xf0, &go, T + 0x1000, T + 0x1000);
	image_data_section(&m, ".gopclntab", 0x40000, table, size);
	image_section(
	    &m, ".gnu_debugdata", (Elf64_Shdr){.sh_type = SHT_PROGBITS}, packed, packed_size);
	image_function(&m, "from_dynsym", T + 0x100, 0x10);
	image_table(&m, SHT_DYNSYM);
	image_end(&m);
}

// What was answered is right or nothing.
static void never_wrong(void)
{
	for (unsigned i = 0; i < 3; i++)
		assert_true(!a.of[i].calls || !strcmp(a.of[i].name, three_names[i]));
}

static void every_allocation_may_fail(void **state)
{
	(void)state;
	const struct elf_lookup_options options = {.go = true, .debug_fd = -1};
	make_all(70000);
	int fd = image_fd(&m, m.size);
	mem_fail_at(0);
	ask_fd(fd, three, 3, &options, 0);
	uint64_t asked = mem_fail_seen();
	assert_true(a.count == 3 && !a.result && asked > 8);
	never_wrong();
	for (uint64_t n = 1; n <= asked; n++) {
		mem_fail_at(n);
		ask_fd(fd, three, 3, &options, UINT64_MAX);
		assert_true(mem_fail_seen() >= n);
		mem_fail_at(0);
		assert_int_equal(a.result, -ENOMEM);
		assert_true(a.count < 3);
		never_wrong();
	}
	close(fd);
}

static void cut_anywhere(void **state)
{
	(void)state;
	const struct elf_lookup_options options = {.go = true, .debug_fd = -1};
	make_all(0);
	int fd = image_fd(&m, m.size);
	size_t size = image_header(&m)->e_shoff + image_header(&m)->e_shnum * sizeof(Elf64_Shdr);
	while (size-- > 0) {
		assert_int_equal(ftruncate(fd, (off_t)size), 0);
		if (size % 7 && size > 256)
			continue;
		ask_fd(fd, three, 3, &options, UINT64_MAX);
		assert_int_equal(a.result, -EBADMSG); // the table of sections is the last thing
		never_wrong();
	}
	close(fd);
	make_all(0); // sections that lie beyond the end, one at a time
	for (unsigned i = 1; i < image_header(&m)->e_shnum; i++) {
		Elf64_Shdr *h = image_header_of(&m, i), keep = *h;
		h->sh_offset = m.size - 1;
		fd = image_fd(&m, m.size);
		ask_fd(fd, three, 3, &options, UINT64_MAX);
		close(fd);
		for (unsigned k = 0; k < 3; k++)
			assert_true(!a.of[k].calls || !strcmp(a.of[k].name, "?") ||
				    !strcmp(a.of[k].name, three_names[k]));
		*h = keep;
	}
}

// Bytes changed at random: whatever comes out, it comes to an end inside its memory.
static void torn_anywhere(void **state)
{
	(void)state;
	const struct elf_lookup_options options = {.go = true, .debug_fd = -1};
	uint64_t seed = 7;
	make_all(0);
	static uint8_t good[sizeof(m.at)];
	memcpy(good, m.at, m.size);
	int fd = image_fd(&m, m.size);
	for (unsigned i = 0; i < 4000; i++) {
		size_t at[4];
		for (unsigned k = 0; k < 4; k++) {
			seed = hash_mix(seed + 1);
			at[k] = (seed >> 8) % m.size;
			uint8_t byte = (uint8_t)(seed & 1 ? 0xff : seed >> 56);
			assert_int_equal(pwrite(fd, &byte, 1, (off_t)at[k]), 1);
		}
		ask_fd(fd, three, 3, &options, UINT64_MAX);
		assert_true(a.count <= 3 && a.result <= 0);
		for (unsigned k = 0; k < 3; k++)
			assert_true(
			    !a.of[k].calls || (a.of[k].calls == 1 && a.of[k].start <= three[k] &&
						  three[k] < a.of[k].end));
		for (unsigned k = 0; k < 4; k++)
			assert_int_equal(pwrite(fd, good + at[k], 1, (off_t)at[k]), 1);
	}
	close(fd);
}

static void what_is_no_file(void **state)
{
	(void)state;
	const struct elf_lookup_options options = {.debug_fd = -1};
	int pipes[2], dir = open("/", O_RDONLY);
	assert_int_equal(pipe(pipes), 0);
	assert_int_equal(ask_fd(pipes[0], three, 3, &options, 0)->result, -EINVAL);
	assert_int_equal(ask_fd(dir, three, 3, &options, 0)->result, -EINVAL);
	close(pipes[0]), close(pipes[1]), close(dir);
	const uint64_t unsorted[] = {2, 1};
	errno = 0;
	assert_null(elf_lookup_new(0, unsorted, 2, &options, answers_found, &a));
	assert_int_equal(errno, EINVAL);
	image_begin(&m);
	image_end(&m);
	image_header(&m)->e_ident[EI_CLASS] = ELFCLASS32;
	int fd = image_fd(&m, m.size);
	assert_int_equal(ask_fd(fd, three, 3, &options, 0)->result, -ENOTSUP);
	assert_int_equal(ask_fd(fd, three, 0, &options, 0)->count, 0);
	close(fd);
}

static int own_base(struct dl_phdr_info *info, size_t size, void *arg)
{
	(void)size;
	*(uintptr_t *)arg = info->dlpi_addr;
	return 1;
}

static int ascending(const void *x, const void *y)
{
	const uint64_t *p = x, *q = y;
	return (*p > *q) - (*p < *q);
}

static void real_files(void **state)
{
	(void)state;
	const struct elf_lookup_options options = {.go = true, .debug_fd = -1};
	uintptr_t base;
	dl_iterate_phdr(own_base, &base);
	uint64_t own[] = {(uintptr_t)real_files + 1 - base, (uintptr_t)elf_lookup_step - base};
	qsort(own, 2, sizeof(*own), ascending);
	int fd = open("/proc/self/exe", O_RDONLY);
	ask_fd(fd, own, 2, &options, 100 * NS_PER_US);
	close(fd);
	if (a.result == 0 && strcmp(a.of[0].name, "?")) { // not stripped
		bool first = own[0] == (uintptr_t)elf_lookup_step - base;
		assert_string_equal(a.of[first].name, "real_files");
		assert_string_equal(a.of[!first].name, "elf_lookup_step");
	}
	// libc's exported functions start where the dynamic linker says they do.
	static const char *const names[] = {
	    "malloc", "printf", "qsort", "getenv", "strtol", "open"};
	uint64_t addresses[6];
	Dl_info info;
	void *libc = dladdr(dlsym(RTLD_DEFAULT, "gnu_get_libc_version"), &info)
			 ? dlopen(info.dli_fname, RTLD_LAZY | RTLD_NOLOAD)
			 : NULL;
	if (!libc)
		skip();
	for (unsigned i = 0; i < 6; i++) {
		void *p = dlsym(libc, names[i]);
		addresses[i] = (uintptr_t)p - (uintptr_t)info.dli_fbase;
	}
	qsort(addresses, 6, sizeof(*addresses), ascending);
	dlclose(libc);
	fd = open(info.dli_fname, O_RDONLY);
	ask_fd(fd, addresses, 6, &options, UINT64_MAX);
	close(fd);
	assert_int_equal(a.result, 0);
	for (unsigned i = 0; i < 6; i++) {
		assert_int_equal(a.of[i].start, addresses[i]);
		assert_string_not_equal(a.of[i].name, "?");
	}
}

static void an_image_in_memory(void **state)
{
	(void)state;
	image_begin(&m);
	image_function(&m, "__vdso_time", T + 0x100, 0x10);
	image_symbol(&m, "time", T + 0x100, 0x10, STB_WEAK, STT_FUNC);
	image_table(&m, SHT_DYNSYM);
	image_end(&m);
	const uint64_t address = T + 0x10f;
	memset(&a, 0, sizeof(a));
	assert_int_equal(elf_lookup_memory(m.at, m.size, &address, 1, answers_found, &a), 0);
	assert_string_equal(a.of[0].name, "__vdso_time");
	assert_int_equal(
	    elf_lookup_memory(m.at, MEMORY_MAX + 1, &address, 1, answers_found, &a), -EBADMSG);
	assert_int_equal(elf_lookup_memory(m.at, 100, &address, 1, answers_found, &a), -EBADMSG);
	// The real one: its symbols by our own reading of the header are hard to know; it has some.
	const uint8_t *vdso = (const uint8_t *)getauxval(AT_SYSINFO_EHDR);
	if (!vdso)
		skip();
	uint64_t addresses[ANSWERS_MAX];
	unsigned named = 0;
	for (unsigned i = 0; i < ANSWERS_MAX; i++)
		addresses[i] = 64 * i;
	memset(&a, 0, sizeof(a));
	// Two pages are always mapped; a longer image only loses what it keeps behind them.
	if (elf_lookup_memory(vdso, 8192, addresses, ANSWERS_MAX, answers_found, &a) == -EBADMSG)
		skip();
	for (unsigned i = 0; i < ANSWERS_MAX; i++)
		named += !strncmp(a.of[i].name, "__vdso_", 7);
	assert_true(a.count == ANSWERS_MAX && named > 0);
	assert_int_equal(mem_used(ACCOUNT_ELF), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(separate_debug_files),
	    cmocka_unit_test(huge_debug_files),
	    cmocka_unit_test(every_allocation_may_fail),
	    cmocka_unit_test(cut_anywhere),
	    cmocka_unit_test(torn_anywhere),
	    cmocka_unit_test(what_is_no_file),
	    cmocka_unit_test(real_files),
	    cmocka_unit_test(an_image_in_memory),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
