// SPDX-License-Identifier: Apache-2.0
// Facts of an ELF file (this room is the only one that knows libelf). Knows no pids. Files are
// hostile: read with pread, never mapped, every count and offset checked, work bounded; a file that
// is not what it claims gives -EBADMSG (COUNT_ELF_BAD), never a crash, a hang or a wrong name.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ELF_BUILD_ID_MAX 32
#define ELF_EXEC_MAX 8
#define ELF_NAME_MAX 4096 // longest symbol name read, bytes; longer ones are cut

// What is needed the moment a mapping is first seen: a handful of preads, no allocation.
struct elf_facts {
	uint8_t build_id[ELF_BUILD_ID_MAX]; // GNU build-id, from PT_NOTE
	uint8_t build_id_len;		    // 0: none
	uint8_t exec_count;
	bool is_64;
	uint16_t machine; // e_machine
	struct elf_exec { // PT_LOAD with PF_X
		uint64_t offset, size, vaddr;
	} exec[ELF_EXEC_MAX];
};
int elf_facts(int fd, struct elf_facts *facts);
// Link-time address of FILE_OFFSET (the executable PT_LOAD that holds it), or -ENOENT.
int elf_vaddr(const struct elf_facts *facts, uint64_t file_offset, uint64_t *vaddr);

// A checksum of a sample of FD's SIZE bytes: the tables that names and unwind rows come from, and
// pages all over it. SECRET says which: who does not know it cannot make a file with the same sum
// that differs in more than a small part. 0, -EBADMSG (it is shorter) or -errno. No allocation, at
// most some seventy preads.
struct elf_secret {
	uint64_t place, point; // random
};
int elf_sample(int fd, uint64_t size, const struct elf_secret *secret, uint64_t *sum);

// A function found (or the proof that there is none): the range [start, end) of link-time addresses
// that the answer holds for.
struct elf_symbol {
	uint64_t start, end;
	const char *name; // NULL: no symbol covers the range
};

// A lookup of many addresses in one file at once, in slices:
//   ADDRESSES sorted ascending, borrowed until elf_lookup_free. FOUND is called once per address,
//   in any order, with its index; SYMBOL is valid during the call only.
// Sources in order: Go's pclntab; .symtab; the separate debug file DEBUG_FD (-1: none; borrowed),
// used where the file has no .symtab; .gnu_debugdata; .dynsym; section names ([plt]).
// One streaming pass over a symbol table per lookup, memory in proportion to COUNT.
struct elf_lookup;
struct elf_lookup_options {
	bool go;       // read pclntab
	bool separate; // use debug_fd
	int debug_fd;
};
struct elf_lookup *elf_lookup_new(int fd, const uint64_t *addresses, uint32_t count,
    const struct elf_lookup_options *options,
    void (*found)(void *arg, uint32_t index, const struct elf_symbol *symbol), void *arg);
// 1: more to do; 0: every address was answered; -errno: the rest of the file cannot be read (what
// was not answered has no name). BUDGET in ns.
int elf_lookup_step(struct elf_lookup *l, uint64_t budget_ns);
void elf_lookup_free(struct elf_lookup *l);

// Calls EACH with the absolute paths where the separate debug file may be (by build-id, then by
// .gnu_debuglink next to PATH, in .debug/, under /usr/lib/debug) until it returns non-zero: what it
// returned last, 0 or -errno.
int elf_debug_paths(
    int fd, const char *path, int (*each)(void *arg, const char *candidate), void *arg);
// May the two files belong together? By equal build-ids, or without them a .gnu_debuglink, whose
// CRC32 a lookup compares in its slices before it uses the file (up to 64 MiB).
bool elf_debug_matches(int fd, int debug_fd);
// Do they, with that CRC32 compared? In slices of BUDGET ns; CHECK begins as zeros. 1 more, 0 they
// do, -EBADMSG they do not, -errno.
struct elf_debug_check {
	bool begun, by_crc;
	uint32_t wanted, crc;
	uint64_t at;
};
int elf_debug_check(struct elf_debug_check *check, int fd, int debug_fd, uint64_t budget_ns);

// The same in an ELF image in memory (the vdso), at once: up to 64 KiB.
int elf_lookup_memory(const void *image, size_t size, const uint64_t *addresses, uint32_t count,
    void (*found)(void *arg, uint32_t index, const struct elf_symbol *symbol), void *arg);

// Functions by name: NAMES ends in NULL, names of 127 bytes at most; borrowed as FD is until
// elf_seek_free. FOUND gets each one that FD defines in .dynsym or .symtab, perhaps twice: the
// index of its name, its link-time address and where it lies in the file (0: not in this one, as in
// a separate debug file).
struct elf_seek;
struct elf_seek *elf_seek_new(int fd, const char *const *names,
    void (*found)(void *arg, uint32_t name, uint64_t vaddr, uint64_t offset), void *arg);
int elf_seek_step(struct elf_seek *s, uint64_t budget_ns); // 1 more to do, 0 done, -errno
uint64_t elf_seek_functions(const struct elf_seek *s);	   // seen so far; 0: no names are there
void elf_seek_free(struct elf_seek *s);

// Where a file says how to come from a frame to its caller: parts that lie inside the file.
struct elf_part {
	uint64_t offset, size, vaddr; // in the file; size 0: not there
};
struct elf_frames {
	uint16_t machine;
	bool is_64;		 // false: nothing else is known
	bool go;		 // elf_go_new may have rows
	bool debug_frame_zipped; // debug_frame is compressed (SHF_COMPRESSED)
	uint8_t exec_count;
	// Of eh_frame that only its header knows the size is what is left of the segment.
	struct elf_part eh_frame_hdr, eh_frame, debug_frame;
	struct elf_part exec[ELF_EXEC_MAX]; // executable segments
	uint64_t low, high; // executable code lies in [low, high), link-time addresses
};
// FD, or where it is -1 the IMAGE in memory. 0 or -errno as elf_facts.
int elf_frames(int fd, const void *image, size_t size, struct elf_frames *frames);

// Where variables of a Go program lie: by their names in .symtab, or where that was stripped (of
// x86-64 programs) by the functions that load them and no other variable. In slices.
struct elf_variable {
	const char *name;
	const char *in[2]; // functions, NULL: none; the first that there is decides
	uint64_t address;  // link-time; 0: not there
};
struct elf_find;
// WANTED (borrowed, at most 8) is filled until elf_find_free; FD is borrowed for the call. NULL +
// errno.
struct elf_find *elf_find_new(int fd, struct elf_variable *wanted, uint32_t count);
int elf_find_step(struct elf_find *f, uint64_t budget_ns); // 1 more, 0 done, -errno
// Once that is done: no version below 1.MINOR wrote the file's table of functions; 0: not known.
uint32_t elf_find_minor(const struct elf_find *f);
void elf_find_free(struct elf_find *f);

struct elf_go_function { // all of Go's are in its pclntab, stripped or not
	uint64_t start, end;
	const char *name;   // its first 63 bytes if it may be assembly, else NULL
	bool top, switches; // marked (since Go 1.17): a stack's first; sets sp to what is not told
};
struct elf_go *elf_go_new(int fd); // FD is borrowed; NULL + errno
void elf_go_free(struct elf_go *g);
// 1 more to do; 0 found, the table covers [*START, *END); -ENOENT there is none; -errno.
int elf_go_find(struct elf_go *g, uint64_t budget_ns, uint64_t *start, uint64_t *end);
// The first that ends behind ADDRESS, valid until the next call. 1, 0 none, -errno.
int elf_go_function(struct elf_go *g, uint64_t address, struct elf_go_function *f);
// Of it, from its start on: up to *END sp lies DEPTH bytes lower than at entry. 1, 0, -errno.
int elf_go_depth(struct elf_go *g, uint64_t *end, int32_t *depth);
