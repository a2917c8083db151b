// SPDX-License-Identifier: Apache-2.0
// Functions and depths of the stack out of Go's pclntab: all versions, lies, memory.
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "../../modules/elf/gorows.c"
#include "go_image.h"

static struct image m;
static uint8_t table[1 << 15];
static size_t table_size;
static uint64_t code_start, code_end;

static const struct go_code few[] = {
    {"runtime.goexit", 5, {{16, 0}}},
    {"main.f", 0, {{5, 0}, {4, 8}, {100, 1 << 20}, {3, 8}, {4, 0}}, .size = 128},
    {"syscall.rawVforkSyscall", 6, {{20, 0}, {12, -8}}},
    {"c_code", 4, {{GO_NONE, 0}}, .size = 16},
    {"main.a_name_that_is_so_long_that_nobody_would_want_to_read_it_up_to_its_end", 4, {{8, 0}}},
};
#define FEW (sizeof(few) / sizeof(*few))

static int find(struct elf_go *g)
{
	int r;
	while ((r = elf_go_find(g, 0, &code_start, &code_end)) == 1)
		;
	return r;
}

// The image (as it is, up to M.size) as a file.
static struct elf_go *open_image(int *fd)
{
	*fd = image_fd(&m, m.size);
	assert_true(*fd >= 0);
	return elf_go_new(*fd);
}

static void done(struct elf_go *g, int fd)
{
	elf_go_free(g);
	close(fd);
	assert_int_equal(mem_used(ACCOUNT_ELF), 0);
}

static void expect(
    struct elf_go *g, const struct elf_go_function *f, const struct go_code *c, uint8_t version)
{
	uint64_t at = f->start, end;
	int32_t depth;
	assert_int_equal(f->end - f->start, go_size(c));
	bool flags = version != 0xfb,
	     may_be_assembly = version < 0xf0 || version > 0xf1 || c->flags & 4;
	assert_int_equal(f->top, flags && c->flags & 1);
	assert_int_equal(f->switches, flags && c->flags & 2);
	if (may_be_assembly) {
		assert_int_equal(strncmp(f->name, c->name, NAME_SIZE - 1), 0);
		assert_true(strlen(f->name) < NAME_SIZE);
	} else {
		assert_null(f->name);
	}
	for (unsigned i = 0; i < GO_DEPTHS && c->depths[i].size && c->depths[i].size != GO_NONE;
	     i++) {
		assert_int_equal(elf_go_depth(g, &end, &depth), 1);
		at += c->depths[i].size;
		assert_int_equal(end, at);
		assert_int_equal(depth, c->depths[i].depth);
	}
	assert_int_equal(elf_go_depth(g, &end, &depth), 0);
	assert_int_equal(elf_go_depth(g, &end, &depth), 0);
}

static void all_versions(void **state)
{
	(void)state;
	for (unsigned v = 0; v < sizeof(go_versions); v++)
		for (unsigned quantum = 1; quantum <= 4; quantum += 3) {
			struct go_code some[FEW];
			memcpy(some, few, sizeof(few));
			for (unsigned i = 0; i < FEW; i++)
				for (unsigned k = 0; k < GO_DEPTHS; k++)
					if (quantum == 4 && some[i].depths[k].size != GO_NONE)
						some[i].depths[k].size &= ~3u;
			table_size = go_table(table, go_versions[v], some, FEW, quantum);
			go_image(&m, some, FEW, table, table_size);
			image_end(&m);
			int fd;
			struct elf_go *g = open_image(&fd);
			assert_non_null(g);
			assert_int_equal(find(g), 0);
			assert_int_equal(find(g), 0);
			assert_int_equal(code_start, GO_TEXT);
			struct elf_go_function f;
			uint64_t at = 0;
			for (unsigned i = 0; i < FEW; i++) {
				assert_int_equal(elf_go_function(g, at, &f), 1);
				expect(g, &f, &some[i], go_versions[v]);
				at = f.end;
			}
			assert_int_equal(at, code_end);
			assert_int_equal(elf_go_function(g, at, &f), 0);
			// By an address, the last first; its depths left unread.
			for (unsigned i = FEW; i-- > 0; at = f.start) {
				assert_int_equal(elf_go_function(g, at - 1, &f), 1);
				assert_int_equal(f.end, at);
			}
			expect(g, &f, &some[0], go_versions[v]);
			done(g, fd);
		}
}

// More than is read at once of each part of the table.
static void many(void **state)
{
	(void)state;
	static struct go_code code[300];
	static char names[300][24];
	for (unsigned i = 0; i < 300; i++) {
		snprintf(names[i], sizeof(names[i]), "a.long.name.%u", i * 7919);
		code[i] =
		    (struct go_code){names[i], 4, {{3, 0}, {2, (int32_t)(8 * i + 16)}, {3, 8}}};
	}
	for (unsigned v = 0; v < sizeof(go_versions); v++) {
		int fd;
		struct elf_go_function f;
		table_size = go_table(table, go_versions[v], code, 300, 1);
		assert_true(table_size > 2 * PIECE && table_size < sizeof(table));
		go_image(&m, code, 300, table, table_size);
		image_end(&m);
		struct elf_go *g = open_image(&fd);
		assert_int_equal(find(g), 0);
		uint64_t at = GO_TEXT;
		for (unsigned i = 0; i < 300; i++, at = f.end) {
			assert_int_equal(elf_go_function(g, at, &f), 1);
			expect(g, &f, &code[i], go_versions[v]);
		}
		for (unsigned i = 0; i < 300; i++) {
			unsigned k = i * 73 % 300;
			assert_int_equal(elf_go_function(g, GO_TEXT + 8 * k + i % 8, &f), 1);
			expect(g, &f, &code[k], go_versions[v]);
		}
		done(g, fd);
	}
}

// What comes of the table when it is walked through: 0 all is well, or the error.
static int walk(void)
{
	int fd, r;
	struct elf_go_function f;
	uint64_t end, at = 0;
	int32_t depth;
	struct elf_go *g = open_image(&fd);
	assert_non_null(g);
	r = find(g);
	while (r == 0 && (r = elf_go_function(g, at, &f)) == 1) {
		assert_true(f.start < f.end && f.start >= at);
		at = f.start;
		while ((r = elf_go_depth(g, &end, &depth)) == 1) {
			assert_true(end > at && end <= f.end);
			at = end;
		}
		at = f.end;
		if (r)
			break;
	}
	done(g, fd);
	return r;
}

static uint64_t record_of(unsigned function)
{
	uint64_t functab;
	uint32_t record;
	memcpy(&functab, table + 64, 8);
	memcpy(&record, table + functab + 8 * function + 4, 4);
	return functab + record;
}

static void lies(void **state)
{
	(void)state;
	static const uint8_t endless[] = {2, 0, 2, 0, 0},
			     too_long[] = {0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 1};
	static const uint8_t one[] = {2, 1};
	for (int lie = 0; lie < 9; lie++) {
		uint64_t functab, at;
		table_size = go_table(table, 0xf1, few, FEW, 1);
		memcpy(&functab, table + 64, 8);
		switch (lie) {
		case 0:
			break;
		case 1:
			put32(table + record_of(1), 3);
			break; // another's entry
		case 2:
			put32(table + record_of(1) + 16, 1u << 30);
			break; // depths outside
		case 3:
			put32(table + record_of(3) + 4, 1u << 30);
			break; // name outside
		case 4:
			put32(table + functab + 8 * 2 + 4, 1u << 30);
			break; // record outside
		case 5:
			put32(table + functab + 8 * 2, 16);
			break; // not in order, which is seen at once
		case 6:
		case 7:
			at = table_size;
			memcpy(table + at, lie == 6 ? endless : too_long, 5 + 2 * (lie == 7));
			table_size += 8;
			memcpy(&functab, table + 56, 8); // pctab
			put32(table + record_of(1) + 16, (uint32_t)(at - functab));
			break;
		case 8: // to the table's end, and not ended
			memcpy(&functab, table + 56, 8);
			memcpy(table + table_size, one, 2);
			put32(table + record_of(1) + 16, (uint32_t)(table_size - functab));
			table_size += 2;
			break;
		}
		go_image(&m, few, FEW, table, table_size);
		image_end(&m);
		assert_int_equal(walk(), lie == 5 ? -ENOENT : lie ? -EBADMSG : 0);
	}
}

// Where pclntab_check does not look.
static void not_in_order(void **state)
{
	(void)state;
	static struct go_code code[300];
	for (unsigned i = 0; i < 300; i++)
		code[i] = (struct go_code){"f", 0, {{8, 0}}};
	for (int back = 0; back < 2; back++) {
		uint64_t functab;
		table_size = go_table(table, 0xf1, code, 300, 1);
		memcpy(&functab, table + 64, 8);
		put32(table + functab + 8 * 150, back ? 8 * 100 : 8 * 149);
		put32(table + record_of(150), back ? 8 * 100 : 8 * 149);
		go_image(&m, code, 300, table, table_size);
		image_end(&m);
		assert_int_equal(walk(), -EBADMSG);
	}
}

static void too_many_depths(void **state)
{
	(void)state;
	// All of a large file is one function whose depth changes at every byte.
	enum { SIZE = DEPTHS_MAX + 100 };
	struct go_code f = {"main.f", 0, {{1, 0}}, .size = TEXT_SIZE - GO_CODE};
	table_size = go_table(table, 0xf1, &f, 1, 1);
	static uint8_t file[1 << 20];
	uint64_t pctab;
	memcpy(&pctab, table + 56, 8);
	put32(table + record_of(0) + 16, (uint32_t)(table_size - pctab));
	go_image(&m, &f, 1, table, table_size);
	Elf64_Phdr *text = &m.segments[0], *data = &m.segments[1];
	text->p_filesz = text->p_memsz = 1 << 19;
	text->p_vaddr = data->p_vaddr + 0x100000;
	data->p_filesz = data->p_memsz = table_size + 2 * SIZE + 8;
	m.sections[m.section_count - 1].sh_size = data->p_filesz;
	m.sections[1].sh_addr = text->p_vaddr;
	put64(m.at + data->p_offset + 24, text->p_vaddr);
	uint64_t functab;
	memcpy(&functab, table + 64, 8);
	put32(m.at + data->p_offset + functab + 8, SIZE + 10); // the code's end
	image_end(&m);
	memcpy(file, m.at, m.size);
	size_t at = data->p_offset + table_size;
	// What lay behind the table is put at the end.
	size_t end = at + 2 * SIZE + 8;
	memcpy(file + end, m.at + at, m.size - at);
	Elf64_Ehdr *e = (Elf64_Ehdr *)file;
	e->e_shoff += end - at;
	Elf64_Shdr *s = (Elf64_Shdr *)(file + e->e_shoff);
	s[e->e_shstrndx].sh_offset += end - at;
	for (unsigned i = 0; i < SIZE; i++)
		file[at + 2 * i] = 2, file[at + 2 * i + 1] = 1;
	file[at + 2 * SIZE] = 0;
	int fd = memfd_create("large", MFD_CLOEXEC), r;
	assert_int_equal(write(fd, file, sizeof(file)), sizeof(file));
	struct elf_go *g = elf_go_new(fd);
	assert_non_null(g);
	assert_int_equal(find(g), 0);
	struct elf_go_function f0;
	assert_int_equal(elf_go_function(g, 0, &f0), 1);
	uint64_t to;
	int32_t depth;
	unsigned n = 0;
	while ((r = elf_go_depth(g, &to, &depth)) == 1)
		n++;
	assert_int_equal(r, -EBADMSG);
	assert_int_equal(n, DEPTHS_MAX);
	done(g, fd);
}

static void none(void **state)
{
	(void)state;
	int fd;
	errno = 0;
	assert_null(elf_go_new(9999));
	assert_int_equal(errno, EBADF);
	elf_go_free(NULL);
	image_begin(&m);
	image_end(&m);
	struct elf_go *g = open_image(&fd);
	assert_int_equal(find(g), -ENOENT);
	assert_int_equal(find(g), -ENOENT);
	done(g, fd);
	memset(m.at, 'x', 64);
	g = open_image(&fd);
	assert_null(g);
	assert_int_equal(errno, EBADMSG);
	done(g, fd);
	// A file that shrinks under way.
	table_size = go_table(table, 0xf1, few, FEW, 1);
	go_image(&m, few, FEW, table, table_size);
	image_end(&m);
	g = open_image(&fd);
	assert_int_equal(find(g), 0);
	assert_int_equal(ftruncate(fd, 100), 0);
	struct elf_go_function f;
	assert_int_equal(elf_go_function(g, 0, &f), -EBADMSG);
	done(g, fd);
}

static void memory_fails(void **state)
{
	(void)state;
	table_size = go_table(table, 0xf1, few, FEW, 1);
	go_image(&m, few, FEW, table, table_size);
	image_end(&m);
	int fd = image_fd(&m, m.size);
	struct elf_go *g = NULL;
	unsigned n = 0;
	while (!g) {
		mem_fail_at(++n);
		g = elf_go_new(fd);
		mem_fail_at(0);
		if (!g)
			assert_int_equal(mem_used(ACCOUNT_ELF), 0);
		assert_true(n < 100);
	}
	assert_true(n > 3);
	done(g, fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(all_versions),
	    cmocka_unit_test(many),
	    cmocka_unit_test(lies),
	    cmocka_unit_test(not_in_order),
	    cmocka_unit_test(too_many_depths),
	    cmocka_unit_test(none),
	    cmocka_unit_test(memory_fails),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
