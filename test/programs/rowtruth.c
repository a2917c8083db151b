// SPDX-License-Identifier: Apache-2.0
// rowtruth [-l] [-m] [-d] [-b] FILE [DEBUGFILE]: all rows of FILE, compared with what libdw says:
// at every address where either begins a new row both are computed, with the same registers and the
// same memory, and must come to the same CFA, and to the same places for the return address and the
// frame pointer. Prints a line of figures; exit 1 where they differ.
//   -l: as if the file had no .eh_frame_hdr   -d: .debug_frame instead of .eh_frame
//   -m: as an image in memory                 -b: only the figures, nothing is compared
#include "../../modules/base/base.h"
#include "../../modules/elf/elf.h"
#include "../../modules/unwind/rows.h"

#include <dwarf.h>
#include <elfutils/libdw.h>
#include <errno.h>
#include <fcntl.h>
#include <gelf.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static struct {
	bool arm;
	unsigned sp, fp, ra;
	uint64_t regs[33];
} machine;

static Elf *elf;
static bool go;

static struct {
	uint64_t compared, different, unsupported, lost, gaps;
	uint64_t rows, rules, windows, signals, ns, longest, peak;
} sum;

static uint64_t memory(uint64_t address)
{
	uint64_t x = address * 0x9e3779b97f4a7c15u;
	return x ^ x >> 29;
}

// A place: in memory at `at`, or what `kind` says.
struct place {
	enum { SAME, LOST, MEMORY, REGISTER, UNKNOWN } kind;
	uint64_t at;
};

static bool evaluate(const Dwarf_Op *op, size_t n, uint64_t pc, uint64_t cfa, uint64_t *result)
{
	uint64_t stack[16] = {};
	unsigned top = 0;
	for (size_t i = 0; i < n; i++, op++) {
		if (top > 14)
			return false;
		uint64_t *a = top > 1 ? &stack[top - 2] : NULL, *b = top ? &stack[top - 1] : NULL;
		if (op->atom >= DW_OP_breg0 && op->atom <= DW_OP_breg31) {
			unsigned reg = op->atom - DW_OP_breg0;
			bool is_pc = !machine.arm && reg == 16;
			stack[top++] = (is_pc ? pc : machine.regs[reg]) + op->number;
		} else if (op->atom == DW_OP_bregx && op->number < 32) {
			stack[top++] = machine.regs[op->number] + op->number2;
		} else if (op->atom == DW_OP_call_frame_cfa) {
			stack[top++] = cfa;
		} else if (op->atom >= DW_OP_lit0 && op->atom <= DW_OP_lit31) {
			stack[top++] = op->atom - DW_OP_lit0;
		} else if (op->atom == DW_OP_plus_uconst && b) {
			*b += op->number;
		} else if (op->atom == DW_OP_deref && b) {
			*b = memory(*b);
		} else if (a) {
			if (op->atom == DW_OP_plus)
				*a += *b;
			else if (op->atom == DW_OP_mul)
				*a *= *b;
			else if (op->atom == DW_OP_and)
				*a &= *b;
			else if (op->atom == DW_OP_shl)
				*a <<= *b & 63;
			else if (op->atom == DW_OP_ge)
				*a = (int64_t)*a >= (int64_t)*b;
			else
				return false;
			top--;
		} else {
			return false;
		}
	}
	*result = top ? stack[top - 1] : 0;
	return top; // a register's expression begins with the CFA on the stack
}

static struct place place_by_libdw(Dwarf_Frame *frame, unsigned reg, uint64_t pc, uint64_t cfa)
{
	Dwarf_Op mem[3], *ops;
	size_t n;
	struct place p = {.kind = UNKNOWN};
	if (dwarf_frame_register(frame, (int)reg, mem, &ops, &n))
		return p;
	if (!n)
		return (struct place){.kind = ops ? LOST : SAME};
	if (ops[0].atom == DW_OP_regx)
		return (struct place){REGISTER, ops[0].number};
	if (ops[0].atom >= DW_OP_reg0 && ops[0].atom <= DW_OP_reg31)
		return (struct place){REGISTER, ops[0].atom - DW_OP_reg0};
	if (ops[n - 1].atom == DW_OP_stack_value)
		return p;
	if (evaluate(ops, n, pc, cfa, &p.at))
		p.kind = MEMORY;
	return p;
}

static bool cfa_by_rule(const struct rule *r, uint64_t pc, uint64_t *cfa)
{
	uint64_t sp = machine.regs[machine.sp], fp = machine.regs[machine.fp];
	switch (r->kind) {
	case RULE_SP:
		*cfa = sp + (uint64_t)(int64_t)r->cfa;
		return true;
	case RULE_FP:
		*cfa = fp + (uint64_t)(int64_t)r->cfa;
		return true;
	case RULE_PLT:
		*cfa = sp + 8 + ((pc & 15) >= (uint64_t)r->cfa ? 8 : 0);
		return true;
	case RULE_SP_DEREF:
	case RULE_FP_DEREF:
		*cfa = memory((r->kind == RULE_SP_DEREF ? sp : fp) + (uint64_t)(r->cfa >> 8)) +
		       (uint64_t)((int8_t)r->cfa * 8);
		return true;
	case RULE_REGISTER:
		*cfa = machine.regs[r->cfa & 31] + (uint64_t)(int64_t)(r->cfa >> 8);
		return true;
	default:
		return false;
	}
}

static struct place fp_by_rule(const struct rule *r, uint64_t cfa)
{
	switch (r->how & 15) {
	case HOW_FP_SAME:
		return (struct place){.kind = SAME};
	case HOW_FP_AT_CFA:
		return (struct place){MEMORY, cfa + (uint64_t)(r->fp * 8)};
	case HOW_FP_AT_FP:
		return (struct place){MEMORY, machine.regs[machine.fp] + (uint64_t)(r->fp * 8)};
	default:
		return (struct place){.kind = LOST};
	}
}

static struct place ra_by_rule(const struct rule *r, uint64_t cfa, struct place fp)
{
	if (!machine.arm && HOW_RA_REGISTER(r->how))
		return (struct place){REGISTER, HOW_RA_REGISTER(r->how)};
	if (!machine.arm)
		return (struct place){MEMORY, cfa - 8};
	switch (r->how & 0xf0) {
	case HOW_RA_IN_LR:
		return (struct place){.kind = SAME};
	case HOW_RA_PAIR:
		return (struct place){MEMORY, fp.at + 8};
	default:
		return (struct place){MEMORY, cfa + (uint64_t)(r->fp * 8)};
	}
}

// Are these N bytes in FILE's code at link-time address AT?
static bool code_is(uint64_t at, const uint8_t *bytes, size_t n)
{
	GElf_Phdr p;
	for (int i = 0; gelf_getphdr(elf, i, &p); i++) {
		if (p.p_type != PT_LOAD || at < p.p_vaddr || at - p.p_vaddr >= p.p_filesz)
			continue;
		int64_t offset = (int64_t)(p.p_offset + (at - p.p_vaddr));
		Elf_Data *d = elf_getdata_rawchunk(elf, offset, n, ELF_T_BYTE);
		return d && d->d_size == n && !memcmp(d->d_buf, bytes, n);
	}
	return false;
}

// glibc's trampoline below makecontext's functions describes itself as if somebody had called it.
static bool is_trampoline(uint64_t at)
{
	static const uint8_t x86[] = {
	    0xf3, 0x0f, 0x1e, 0xfa, // endbr64, where it is built with that
	    0x48, 0x89, 0xdc,	    // mov %rbx, %rsp
	    0x48, 0x8b, 0x3c, 0x24, // mov (%rsp), %rdi
	    0x48, 0x85, 0xff,	    // test %rdi, %rdi
	};
	static const uint8_t arm[] = {
	    0x1f, 0x20, 0x03, 0xd5, // nop
	    0xe0, 0x03, 0x13, 0xaa, // mov x0, x19
	};
	if (machine.arm)
		return code_is(at, arm, sizeof(arm));
	return code_is(at, x86, sizeof(x86)) || code_is(at, x86 + 4, sizeof(x86) - 4);
}

// True where RULE says of PC what FRAME does, which begins at FROM.
static bool agrees(
    const struct rule *r, Dwarf_Frame *frame, uint64_t from, uint64_t pc, bool signal)
{
	Dwarf_Op *ops;
	size_t n;
	uint64_t cfa, truth;
	struct place ra = place_by_libdw(frame, machine.ra, pc, 0);
	if (r->kind == RULE_SIGNAL)
		return signal;
	// Returned to, so that its row begins a byte before it.
	if (r->kind == RULE_STOP)
		return ra.kind == LOST || is_trampoline(from) || is_trampoline(pc + 1);
	if (r->kind == RULE_UNSUPPORTED) {
		if (getenv("VERBOSE"))
			printf("# unsupported at %" PRIx64 "\n", pc);
		sum.unsupported++;
		return true;
	}
	if (dwarf_frame_cfa(frame, &ops, &n) || !evaluate(ops, n, pc, 0, &truth) ||
	    !cfa_by_rule(r, pc, &cfa) || cfa != truth)
		return false;
	struct place fp = place_by_libdw(frame, machine.fp, pc, cfa), own_fp = fp_by_rule(r, cfa);
	struct place own_ra = ra_by_rule(r, cfa, own_fp);
	ra = place_by_libdw(frame, machine.ra, pc, cfa);
	if (own_fp.kind == LOST)
		sum.lost++;
	else if (fp.kind != own_fp.kind || fp.at != own_fp.at)
		return false;
	return ra.kind == own_ra.kind && ra.at == own_ra.at;
}

// Compares the window at START up to END, with rows R. PC goes on in the next window. OTHER: the
// file's .debug_frame where CFI is its .eh_frame, or NULL.
static void compare(
    const struct rows *r, uint64_t start, uint64_t end, Dwarf_CFI *cfi, Dwarf_CFI *other)
{
	uint64_t pc = start, described = 0; // end of what libdw described last
	uint32_t i = 0;
	while (pc < end) {
		while (i + 1 < r->count && start + r->row[i + 1].at <= pc)
			i++;
		bool any = r->count && start + r->row[i].at <= pc;
		struct rule rule = any ? r->rules[r->row[i].rule] : (struct rule){};
		uint64_t next = i + 1 < r->count ? start + r->row[i + 1].at : end;
		if (any == false && r->count)
			next = start + r->row[0].at;
		Dwarf_Frame *frame = NULL;
		Dwarf_Addr from, to;
		bool signal, same = true;
		if (dwarf_cfi_addrframe(cfi, pc, &frame) &&
		    (!other || dwarf_cfi_addrframe(other, pc, &frame))) {
			sum.gaps++;
			// Known by its code: where threads start, and what signals return to. Go's
			// own code is described elsewhere.
			same = rule.kind == RULE_NONE || rule.kind == RULE_SIGNAL ||
			       rule.kind == RULE_STOP || go || pc - described < 16;
			next = pc + 1;
		} else {
			dwarf_frame_info(frame, &from, &to, &signal);
			described = to;
			sum.compared++;
			same = agrees(&rule, frame, from, pc, signal);
			if (to < next)
				next = to;
		}
		free(frame);
		if (!same && sum.different++ < 20)
			printf("# %" PRIx64 ": kind %u cfa %d fp %d how %x up to %" PRIx64
			       " differs\n",
			    pc, rule.kind, rule.cfa, rule.fp, rule.how, next);
		pc = next;
	}
}

static int build(
    struct source *source, uint64_t start, uint64_t end, Dwarf_CFI *cfi, Dwarf_CFI *other)
{
	uint64_t before = mem_total();
	struct rows_job *job = rows_job_new(source, start);
	int r;
	do {
		uint64_t begin = clock_cpu();
		r = rows_job_step(job, NS_PER_MS);
		uint64_t took = clock_cpu() - begin;
		sum.ns += took;
		if (took > sum.longest)
			sum.longest = took;
		if (mem_total() - before > sum.peak)
			sum.peak = mem_total() - before;
	} while (r == 1);
	if (r < 0)
		return fprintf(stderr, "rowtruth: %s\n", strerror(-r)), r;
	const struct rows *rows = rows_job_rows(job);
	sum.windows++;
	sum.rows += rows->count;
	for (uint32_t i = 0; i < rows->count; i++)
		sum.signals += rows->rules[rows->row[i].rule].kind == RULE_SIGNAL;
	if (rows->rule_count > sum.rules)
		sum.rules = rows->rule_count;
	if (cfi)
		compare(rows, start, end, cfi, other);
	rows_job_free(job);
	return 0;
}

// A copy of FD whose program headers know no .eh_frame_hdr.
static int without_table(int fd)
{
	struct stat st;
	Elf64_Ehdr e;
	int copy = memfd_create("copy", MFD_CLOEXEC);
	if (fstat(fd, &st) || copy < 0 || pread(fd, &e, sizeof(e), 0) != sizeof(e))
		return -1;
	for (off_t at = 0; at < st.st_size;) {
		char piece[1 << 16];
		ssize_t n = pread(fd, piece, sizeof(piece), at);
		if (n <= 0 || write(copy, piece, (size_t)n) != n)
			return -1;
		at += n;
	}
	for (unsigned i = 0; i < e.e_phnum; i++) {
		off_t at = (off_t)(e.e_phoff + i * sizeof(Elf64_Phdr));
		Elf64_Phdr p;
		if (pread(copy, &p, sizeof(p), at) != sizeof(p))
			return -1;
		if (p.p_type == PT_GNU_EH_FRAME)
			p.p_type = PT_NULL;
		if (pwrite(copy, &p, sizeof(p), at) != sizeof(p))
			return -1;
	}
	return copy;
}

static struct source *open_source(int fd, int debug_fd, bool linear, bool image)
{
	if (linear)
		fd = without_table(fd);
	if (!image)
		return rows_source_new(fd, NULL, 0, debug_fd);
	struct stat st;
	fstat(fd, &st);
	void *bytes = malloc((size_t)st.st_size);
	if (!bytes || pread(fd, bytes, (size_t)st.st_size, 0) != st.st_size)
		return NULL;
	return rows_source_new(-1, bytes, (size_t)st.st_size, debug_fd);
}

static void know_machine(const GElf_Ehdr *e)
{
	machine.arm = e->e_machine == EM_AARCH64;
	machine.sp = machine.arm ? 31 : 7;
	machine.fp = machine.arm ? 29 : 6;
	machine.ra = machine.arm ? 30 : 16;
	for (unsigned i = 0; i < 33; i++)
		machine.regs[i] = memory(i + 1) & ~7ull;
}

static void find_code(const GElf_Ehdr *e, uint64_t *low, uint64_t *high)
{
	*low = UINT64_MAX;
	*high = 0;
	for (size_t i = 0; i < e->e_phnum; i++) {
		GElf_Phdr p;
		if (!gelf_getphdr(elf, (int)i, &p) || p.p_type != PT_LOAD || !(p.p_flags & PF_X))
			continue;
		*low = p.p_vaddr < *low ? p.p_vaddr : *low;
		*high = p.p_vaddr + p.p_filesz > *high ? p.p_vaddr + p.p_filesz : *high;
	}
}

static void print(const char *path)
{
	const char *name = strrchr(path, '/');
	double ms = (double)sum.ns / 1e6;
	printf("%s: %" PRIu64 " rows in %" PRIu64 " windows, at most %" PRIu64
	       " rules in one; %.1f ms (%.0f rows/ms), "
	       "longest step %.2f ms, %" PRIu64 " KiB at most; %" PRIu64 " compared, %" PRIu64
	       " different; %" PRIu64 " signal, %" PRIu64 " unsupported, %" PRIu64 " fp lost\n",
	    name ? name + 1 : path, sum.rows, sum.windows, sum.rules, ms, (double)sum.rows / ms,
	    (double)sum.longest / 1e6, sum.peak >> 10, sum.compared, sum.different, sum.signals,
	    sum.unsupported, sum.lost);
}

int main(int argc, char **argv)
{
	bool linear = false, debug = false, image = false, bench = false;
	int opt;
	while ((opt = getopt(argc, argv, "ldmb")) != -1)
		*(opt == 'l' ? &linear : opt == 'd' ? &debug : opt == 'm' ? &image : &bench) = true;
	if (optind >= argc)
		return 2;
	const char *path = argv[optind], *separate = argv[optind + 1];
	int fd = open(path, O_RDONLY), debug_fd = separate ? open(separate, O_RDONLY) : -1;
	elf_version(EV_CURRENT);
	elf = elf_begin(fd, ELF_C_READ_MMAP, NULL);
	GElf_Ehdr ehdr;
	if (!elf || !gelf_getehdr(elf, &ehdr))
		return fprintf(stderr, "rowtruth: cannot read %s\n", path), 2;
	know_machine(&ehdr);
	struct elf_frames facts;
	go = elf_frames(fd, NULL, 0, &facts) == 0 && facts.go;
	uint64_t low, high, begin = clock_cpu();
	find_code(&ehdr, &low, &high);
	struct source *source = open_source(fd, debug_fd, linear, image);
	sum.ns += clock_cpu() - begin;
	if (!source)
		return fprintf(stderr, "rowtruth: %s: %s\n", path, strerror(errno)), 2;
	Dwarf *dwarf = bench ? NULL : dwarf_begin(separate ? debug_fd : fd, DWARF_C_READ);
	Dwarf_CFI *other = !dwarf || go ? NULL : dwarf_getcfi(dwarf);
	Dwarf_CFI *cfi = bench ? NULL : debug ? other : dwarf_getcfi_elf(elf);
	if (!bench && !cfi)
		return fprintf(stderr, "rowtruth: %s: %s\n", path, dwarf_errmsg(-1)), 2;
	for (uint64_t at = low & ~(WINDOW_BYTES - 1ull); at < high; at += WINDOW_BYTES)
		if (build(source, at, at + WINDOW_BYTES < high ? at + WINDOW_BYTES : high, cfi,
			debug ? NULL : other))
			return 1;
	rows_source_free(source);
	print(path);
	if (mem_used(ACCOUNT_UNWIND))
		return printf("# %" PRIu64 " bytes leaked\n", mem_used(ACCOUNT_UNWIND)), 1;
	return sum.different || (!bench && !sum.compared);
}
