// SPDX-License-Identifier: Apache-2.0
// Programs in a directory of the fake /proc, and processes that map them.
#pragma once
#include "process_fake.h"

#include <elf.h>

#define VADDR 0x400000ull

static char files[300]; // a directory in the fake /proc for the programs

static inline const char *file(const char *name)
{
	static char path[2][400];
	static int turn;
	turn = !turn;
	snprintf(path[turn], sizeof(path[turn]), "%s/%s", files, name);
	return path[turn];
}

// A program of SIZE bytes whose code, all of it, lies at VADDR. ID 0: no build-id.
static inline void write_elf(const char *name, uint8_t id, size_t size, uint64_t vaddr)
{
	struct {
		Elf64_Ehdr e;
		Elf64_Phdr p[2];
		Elf64_Nhdr n;
		char gnu[4];
		uint8_t id[20];
	} image = {
	    .e = {.e_ident = {0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB, EV_CURRENT},
		.e_type = ET_EXEC,
		.e_machine = EM_X86_64,
		.e_version = 1,
		.e_phoff = sizeof(Elf64_Ehdr),
		.e_ehsize = sizeof(Elf64_Ehdr),
		.e_phentsize = sizeof(Elf64_Phdr),
		.e_phnum = id ? 2 : 1},
	    .p = {{.p_type = PT_LOAD,
		      .p_flags = PF_R | PF_X,
		      .p_vaddr = vaddr,
		      .p_filesz = size,
		      .p_memsz = size},
		{.p_type = PT_NOTE,
		    .p_offset = offsetof(__typeof__(image), n),
		    .p_filesz = 36,
		    .p_align = 4}},
	    .n = {4, 20, NT_GNU_BUILD_ID},
	    .gnu = "GNU",
	};
	memset(image.id, id, sizeof(image.id));
	char *bytes = calloc(1, size);
	memcpy(bytes, &image, sizeof(image));
	FILE *f = fopen(file(name), "w");
	assert_non_null(f);
	assert_int_equal(fwrite(bytes, 1, size, f), size);
	fclose(f);
	free(bytes);
}

// The same file with another byte, at OFFSET.
static inline void write_forged(const char *name, uint8_t id, size_t size, off_t offset)
{
	write_elf(name, id, size, VADDR);
	FILE *f = fopen(file(name), "r+");
	assert_non_null(f);
	assert_int_equal(fseek(f, offset, SEEK_SET), 0);
	assert_int_equal(fputc('!', f), '!');
	fclose(f);
}

static inline unsigned long inode_of(const char *name)
{
	struct stat st;
	assert_int_equal(stat(file(name), &st), 0);
	return st.st_ino;
}

// A process that maps NAME at 0x10000; what it maps is FLAGS ("" or " (deleted)") and INODE (0: its
// own).
static inline void add_process(
    uint32_t pid, const char *name, const char *flags, unsigned long inode, uint32_t mnt_ns)
{
	char maps[600];
	snprintf(maps, sizeof(maps), "10000-20000 r-xp 00000000 08:01 %lu %s%s\n",
	    inode ? inode : inode_of(name), file(name), flags);
	fakeproc_add(pid, 1, "app", 700, maps);
	fake_mount_ns(pid, mnt_ns);
}

static inline struct place place_in(uint32_t pid, uint32_t mnt_ns)
{
	struct record_sample r = sample(pid, 1, 700, "app", clock_now());
	r.mnt_ns = mnt_ns;
	return process_place(table, process_of(table, &r), 0x10040);
}

// As place_in, where memory may end before there is a process.
static inline struct place place_if_any(uint32_t pid)
{
	struct record_sample r = sample(pid, 1, 700, "app", clock_now());
	struct process *p = process_of(table, &r);
	return p ? process_place(table, p, 0x10040) : (struct place){0};
}

// PID begins another program, which maps PATH at 0x10000; BUILD_ID (20 bytes, or NULL) and INODE
// (or 0) as the kernel's event tells them.
static inline void begins_anew(
    uint32_t pid, const char *path, const uint8_t *build_id, unsigned long inode)
{
	execed(pid, "app", clock_now());
	mapped(pid, 0x10000, 0x10000, 0, path, build_id, inode, clock_now());
}

static inline struct binary *binary_in(uint32_t pid, uint32_t mnt_ns)
{
	struct place place = place_in(pid, mnt_ns);
	assert_true(place.kind == PLACE_FILE || place.kind == PLACE_OFFSET);
	return binary_by_id(table, place.owner);
}

static inline int setup_files(void **state)
{
	int error = setup(state);
	snprintf(files, sizeof(files), "%s/files", fakeproc_root);
	return error || mkdir(files, 0755);
}
