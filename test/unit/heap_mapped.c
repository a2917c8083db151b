// SPDX-License-Identifier: Apache-2.0
// Files that a process maps, which is this one, and their debug files.
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "elf_image.h"
#include "../../modules/heap/mapped.c"

static struct proc *proc;
static uint32_t me;

static void paths_are_cut_to_names(void **state)
{
	char path[MAPPED_PATH + 1];
	struct mapped m;
	(void)state;
	mapped_set(&m, &(struct proc_map){.start = 1, .end = 2, .offset = 3, .path = "/a/b.so"});
	assert_string_equal(mapped_name(&m), "b.so");
	assert_int_equal(m.start + m.end + m.offset, 6);
	mapped_set(&m, &(struct proc_map){.path = "plain"});
	assert_string_equal(mapped_name(&m), "plain");
	memset(path, 'x', MAPPED_PATH);
	path[MAPPED_PATH] = 0;
	mapped_set(&m, &(struct proc_map){.path = path});
	assert_string_equal(m.path, "");
	assert_string_equal(mapped_name(&m), "a file");
}

static int on_map(void *arg, const struct proc_map *map)
{
	struct mapped *m = arg;
	if (!map->executable || !map->inode)
		return 0;
	mapped_set(m, map);
	return 1;
}

static void mapped_files_are_opened(void **state)
{
	struct mapped m;
	struct stat st;
	(void)state;
	assert_true(proc_maps(proc, me, on_map, &m) > 0);
	int fd = mapped_open(proc, me, &m);
	assert_true(fd >= 0);
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(st.st_ino, m.inode);
	close(fd);
	m.start += 4096;
	fd = mapped_open(proc, me, &m);
	assert_true(fd == -ENOENT || fd >= 0); // without the right to map_files it goes by the path
	if (fd >= 0)
		close(fd);
}

// An image with a build-id that ends in LAST, and a link to debug.file.
static void write_image(const char *path, uint8_t last)
{
	static struct image m;
	struct {
		Elf64_Nhdr h;
		char name[4];
		uint8_t id[8];
	} note = {{4, 8, NT_GNU_BUILD_ID}, "GNU", {1, 2, 3, 4, 5, 6, 7, last}};
	struct {
		char name[12];
		uint32_t crc;
	} link = {"debug.file", 0};
	image_begin(&m);
	image_section(
	    &m, ".gnu_debuglink", (Elf64_Shdr){.sh_type = SHT_PROGBITS}, &link, sizeof(link));
	size_t at = image_put(&m, &note, sizeof(note));
	m.segments[m.segment_count++] = (Elf64_Phdr){.p_type = PT_NOTE,
	    .p_offset = at,
	    .p_vaddr = at,
	    .p_filesz = sizeof(note),
	    .p_memsz = sizeof(note),
	    .p_align = 4};
	image_end(&m);
	FILE *f = fopen(path, "w");
	assert_non_null(f);
	assert_int_equal(fwrite(m.at, m.size, 1, f), 1);
	assert_int_equal(fclose(f), 0);
}

static void debug_files_go_by_build_id(void **state)
{
	char dir[] = "/tmp/mappedXXXXXX", file[64], debug[64];
	struct mapped m = {0};
	(void)state;
	assert_non_null(mkdtemp(dir));
	snprintf(file, sizeof(file), "%s/file", dir);
	snprintf(debug, sizeof(debug), "%s/debug.file", dir);
	text_copy(m.path, sizeof(m.path), file);
	write_image(file, 8);
	int fd = open(file, O_RDONLY), found;
	assert_true(fd >= 0);
	assert_int_equal(mapped_debug_open(proc, me, fd, &m), -ENOENT); // there is none
	write_image(debug, 9);
	assert_int_equal(mapped_debug_open(proc, me, fd, &m), -ENOENT); // of another file
	write_image(debug, 8);
	found = mapped_debug_open(proc, me, fd, &m);
	assert_true(found >= 0);
	close(found);
	assert_true(mapped_debug_open(proc, 0x3fffff, fd, &m) >= 3); // beneath our own root
	close(fd);
	fd = open("/dev/null", O_RDONLY);
	assert_true(mapped_debug_open(proc, me, fd, &m) < 0);
	close(fd);
	unlink(file);
	unlink(debug);
	rmdir(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(paths_are_cut_to_names),
	    cmocka_unit_test(mapped_files_are_opened),
	    cmocka_unit_test(debug_files_go_by_build_id),
	};
	proc = proc_new("/proc");
	me = (uint32_t)getpid();
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	proc_free(proc);
	return failed;
}
