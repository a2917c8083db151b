// SPDX-License-Identifier: Apache-2.0
// Debug files lie under /usr/lib/debug/.build-id by build-id, or where .gnu_debuglink says: a file
// name, padded to 4, and the CRC32 of the file (GDB manual, "Separate Debug Files").
#include "debuglink.h"
#include "facts.h"

#include "../base/base.h"

#include <errno.h>
#include <limits.h>
#include <lzma.h>
#include <stdio.h>
#include <string.h>

#define DEBUG_ROOT "/usr/lib/debug"
#define CHECKED_MAX (64ull << 20) // a larger file is not read for its CRC
#define PIECE (16u << 10)

// A name with a directory in it could lead anywhere.
static bool plain_name(const char *name)
{
	return name[0] && !strchr(name, '/') && strcmp(name, ".") && strcmp(name, "..");
}

#define LINK_SIZE (NAME_MAX + 2) // a name that is too long is seen, not cut
static int read_link(const struct elf_file *f, char name[LINK_SIZE], uint32_t *crc)
{
	const struct section *s = &f->debuglink;
	if (!s->size)
		return -ENOENT;
	int len = view_string(&f->view, s->offset, s->offset + s->size, name, LINK_SIZE);
	if (len < 0)
		return len;
	uint64_t at = ((uint64_t)len + 4) & ~3ull;
	if (len > NAME_MAX || !plain_name(name) || at + sizeof(*crc) > s->size)
		return -EBADMSG;
	return view_read(&f->view, s->offset + at, crc, sizeof(*crc));
}

static int open_fd(struct elf_file *f, int fd)
{
	struct view view;
	int err = view_file(&view, fd);
	return err ? err : file_open(f, &view);
}

static int by_build_id(
    const struct elf_facts *facts, int (*each)(void *arg, const char *candidate), void *arg)
{
	char path[sizeof(DEBUG_ROOT) + 32 + 2 * ELF_BUILD_ID_MAX] = DEBUG_ROOT "/.build-id/";
	if (facts->build_id_len < 2)
		return 0;
	char *to = path + strlen(path);
	for (unsigned i = 0; i < facts->build_id_len; i++)
		to += sprintf(to, i == 1 ? "/%02x" : "%02x", facts->build_id[i]);
	strcpy(to, ".debug");
	return each (arg, path);
}

int elf_debug_paths(
    int fd, const char *path, int (*each)(void *arg, const char *candidate), void *arg)
{
	static const char *const places[][2] = {{"", ""}, {"", ".debug/"}, {DEBUG_ROOT, ""}};
	struct elf_facts facts;
	struct elf_file f;
	char name[LINK_SIZE], candidate[PATH_MAX];
	uint32_t crc;
	int err = elf_facts(fd, &facts);
	if (err)
		return err;
	int r = by_build_id(&facts, each, arg);
	if (r)
		return r;
	err = open_fd(&f, fd);
	if (err)
		return err;
	err = read_link(&f, name, &crc);
	file_close(&f);
	const char *slash = strrchr(path, '/');
	if (err || path[0] != '/')
		return err == -ENOENT ? 0 : err;
	for (size_t i = 0; !r && i < sizeof(places) / sizeof(*places); i++) {
		int n = snprintf(candidate, sizeof(candidate), "%s%.*s%s%s", places[i][0],
		    (int)(slash - path + 1), path, places[i][1], name);
		if (n > 0 && (size_t)n < sizeof(candidate) && strcmp(candidate, path))
			r = each (arg, candidate);
	}
	return r;
}

// The build-id of a debug file by its section: its program headers may be copies of the program's,
// whose offsets mean nothing there.
static int debug_facts(int fd, struct elf_facts *facts)
{
	struct elf_file f;
	int err = elf_facts(fd, facts);
	if (err)
		return err;
	err = open_fd(&f, fd);
	if (err)
		return err;
	facts->build_id_len = 0;
	if (f.build_id.size)
		err = facts_notes(&f.view, f.build_id.offset, f.build_id.size, 4, facts);
	file_close(&f);
	return err;
}

bool debuglink_fits(int fd, int debug_fd, bool *by_crc, uint32_t *crc)
{
	struct elf_facts a, b;
	struct view view;
	struct elf_file f;
	char name[LINK_SIZE];
	*by_crc = false;
	if (elf_facts(fd, &a) || debug_facts(debug_fd, &b) || !a.is_64 || !b.is_64 ||
	    a.machine != b.machine)
		return false;
	// Prelinking moves a program and leaves its debug file behind.
	for (unsigned i = 0; i < a.exec_count && i < b.exec_count; i++)
		if (a.exec[i].vaddr != b.exec[i].vaddr)
			return false;
	if (a.build_id_len && b.build_id_len)
		return a.build_id_len == b.build_id_len &&
		       !memcmp(a.build_id, b.build_id, a.build_id_len);
	if (view_file(&view, debug_fd) || view.size > CHECKED_MAX || open_fd(&f, fd))
		return false;
	*by_crc = !read_link(&f, name, crc);
	file_close(&f);
	return *by_crc;
}

bool elf_debug_matches(int fd, int debug_fd)
{
	bool by_crc;
	uint32_t crc;
	return debuglink_fits(fd, debug_fd, &by_crc, &crc);
}

int debuglink_crc(const struct view *view, uint64_t *at, uint32_t *crc, uint64_t deadline)
{
	uint8_t piece[PIECE];
	while (*at < view->size) {
		size_t n = view->size - *at < PIECE ? view->size - *at : PIECE;
		int err = view_read(view, *at, piece, n);
		if (err)
			return err;
		*crc = lzma_crc32(piece, n, *crc);
		*at += n;
		if (clock_now() >= deadline)
			return 1;
	}
	return 0;
}

int elf_debug_check(struct elf_debug_check *c, int fd, int debug_fd, uint64_t budget_ns)
{
	uint64_t deadline = clock_now() + budget_ns;
	struct view view;
	if (!c->begun && !debuglink_fits(fd, debug_fd, &c->by_crc, &c->wanted))
		return -EBADMSG;
	c->begun = true;
	if (!c->by_crc)
		return 0;
	int r = view_file(&view, debug_fd);
	if (!r)
		r = debuglink_crc(&view, &c->at, &c->crc, deadline);
	return r ? r : c->crc == c->wanted ? 0 : -EBADMSG;
}
