// SPDX-License-Identifier: Apache-2.0
// Where debug files are looked for, and links that lead astray.
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "../../modules/elf/debuglink.c"
#include "elf_image.h"

static struct image m;
static char found[8][PATH_MAX];
static unsigned found_count, stop_at;

static int each (void *arg, const char *candidate)
{
	(void)arg;
	text_copy(found[found_count], sizeof(found[0]), candidate);
	return ++found_count == stop_at ? 42 : 0;
}

static void make(bool build_id, const void *link, size_t size)
{
	uint8_t note[24] = {4, 0, 0, 0, 8, 0, 0, 0, NT_GNU_BUILD_ID, 0, 0, 0, 'G', 'N', 'U', 0,
	    0xab, 0xcd, 0xef, 1, 2, 3, 4, 5};
	image_begin(&m);
	if (build_id) {
		size_t at = image_put(&m, note, sizeof(note));
		m.segments[m.segment_count++] = (Elf64_Phdr){
		    .p_type = PT_NOTE, .p_offset = at, .p_filesz = sizeof(note), .p_align = 4};
	}
	if (link)
		image_section(
		    &m, ".gnu_debuglink", (Elf64_Shdr){.sh_type = SHT_PROGBITS}, link, size);
	image_end(&m);
}

static int paths(const char *path)
{
	found_count = 0;
	int fd = image_fd(&m, m.size);
	int r = elf_debug_paths(fd, path, each, NULL);
	close(fd);
	assert_int_equal(mem_used(ACCOUNT_ELF), 0);
	return r;
}

static void the_candidates(void **state)
{
	(void)state;
	make(true, "libx.debug\0\0crc!", 16);
	assert_int_equal(paths("/usr/lib/libx.so"), 0);
	assert_int_equal(found_count, 4);
	assert_string_equal(found[0], "/usr/lib/debug/.build-id/ab/cdef0102030405.debug");
	assert_string_equal(found[1], "/usr/lib/libx.debug");
	assert_string_equal(found[2], "/usr/lib/.debug/libx.debug");
	assert_string_equal(found[3], "/usr/lib/debug/usr/lib/libx.debug");
	stop_at = 2;
	assert_int_equal(paths("/usr/lib/libx.so"), 42);
	assert_int_equal(found_count, 2);
	stop_at = 0;
	make(false, "x\0\0\0crc!", 8); // the file itself is no candidate
	assert_int_equal(paths("/x"), 0);
	assert_int_equal(found_count, 2);
	assert_string_equal(found[0], "/.debug/x");
	assert_int_equal(paths("relative/x"), 0);
	assert_int_equal(found_count, 0);
	make(false, NULL, 0);
	assert_int_equal(paths("/usr/bin/x"), 0);
	assert_int_equal(found_count, 0);
	assert_int_equal(elf_debug_paths(-1, "/x", each, NULL), -EBADF);
}

static void links_that_lie(void **state)
{
	(void)state;
	static const struct {
		const char *link;
		size_t size;
	} lies[] = {
	    {"../../etc/x\0crc!", 16},
	    {"/etc/passwd\0crc!", 16},
	    {"..\0\0crc!", 8},
	    {".\0\0\0crc!", 8},
	    {"\0\0\0\0crc!", 8},
	    {"abcdefgh", 8},
	    {"abc\0", 4},
	    {"abc\0crc", 7},
	    {"a", 1},
	};
	for (size_t i = 0; i < sizeof(lies) / sizeof(*lies); i++) {
		make(false, lies[i].link, lies[i].size);
		assert_int_equal(paths("/usr/bin/x"), -EBADMSG);
		assert_int_equal(found_count, 0);
	}
	char longer[400] = {};
	memset(longer, 'y', NAME_MAX);
	make(false, longer, sizeof(longer));
	assert_int_equal(paths("/usr/bin/x"), 0);
	assert_int_equal(found_count, 3);
	memset(longer, 'y', NAME_MAX + 1);
	make(false, longer, sizeof(longer));
	assert_int_equal(paths("/usr/bin/x"), -EBADMSG);
	// A path that leaves no room for the name.
	static char deep[PATH_MAX + 100];
	memset(deep, '/', PATH_MAX);
	make(false, "abc\0crc!", 8);
	assert_int_equal(paths(deep), 0);
	assert_int_equal(found_count, 0);
}

static void the_checksum_in_slices(void **state)
{
	(void)state;
	static uint8_t bytes[5 * PIECE + 3];
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)hash_mix(i);
	struct view v;
	view_memory(&v, bytes, sizeof(bytes));
	uint64_t at = 0;
	uint32_t crc = 0;
	unsigned steps = 1;
	while (debuglink_crc(&v, &at, &crc, 0) == 1)
		steps++;
	assert_int_equal(crc, lzma_crc32(bytes, sizeof(bytes), 0));
	assert_int_equal(steps, 7);
	// The check value of CRC-32/ISO-HDLC.
	view_memory(&v, "123456789", 9);
	at = crc = 0;
	assert_int_equal(debuglink_crc(&v, &at, &crc, UINT64_MAX), 0);
	assert_int_equal(crc, 0xcbf43926);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(the_candidates),
	    cmocka_unit_test(links_that_lie),
	    cmocka_unit_test(the_checksum_in_slices),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
