// SPDX-License-Identifier: Apache-2.0
#include "compare.h"

#include <elf.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

struct pair {
	struct ours *o;
	struct theirs *u;
	struct target *t;
	const struct stack *ours, *theirs, *interrupted;
	enum walk_end end;
	uint32_t same; // frames that are equal from the leaf on
};

static void text_frame(const struct pair *p, uint64_t pc, uint32_t i, char *to, size_t size)
{
	struct place at;
	theirs_name(p->u, pc - (i ? 1 : 0), &at);
	snprintf(to, size, "%s!%s+%" PRIx64, at.file, at.symbol, at.offset + (i ? 1 : 0));
}

// The frames around the place where they part.
static void text_stack(const struct pair *p, const struct stack *s, char *to, size_t size)
{
	uint32_t from = p->same > 4 ? p->same - 4 : 0, done = 0;
	size_t used = (size_t)snprintf(to, size, "%u frames (%s):", s->count, s->end);
	for (uint32_t i = from; i < s->count && done < 9; i++, done++) {
		char one[200];
		text_frame(p, s->pc[i], i, one, sizeof(one));
		if (used + strlen(one) + 24 > size)
			break;
		used += (size_t)snprintf(to + used, size - used, " %s%u %" PRIx64 " %s",
		    i == p->same ? ">> " : "", i, s->pc[i], one);
	}
}

static void count_reason(struct tally *tally, const char *name, const struct pair *p)
{
	struct reason *r = tally->reasons;
	while (*r->name && strcmp(r->name, name))
		r++;
	if (r == tally->reasons + REASONS - 1)
		return;
	if (!*r->name) {
		char ours[960], theirs[960];
		snprintf(r->name, sizeof(r->name), "%s", name);
		text_stack(p, p->ours, ours, sizeof(ours));
		text_stack(p, p->theirs, theirs, sizeof(theirs));
		snprintf(r->example, sizeof(r->example), "ours %s\n#     theirs %s", ours, theirs);
	}
	r->count++;
}

static bool is_code(const struct pair *p, uint64_t pc)
{
	const struct area *m = target_map(p->t, pc);
	return m && m->exec;
}

static bool described(const struct pair *p, uint32_t frame)
{
	return theirs_describes(p->u, p->ours->pc[frame] - (frame && !p->ours->exact[frame]));
}

static bool named(const struct pair *p, uint32_t frame, const char *const *names)
{
	struct place at;
	theirs_name(p->u, p->ours->pc[frame] - (frame && !p->ours->exact[frame]), &at);
	while (*names && strcmp(at.symbol, *names))
		names++;
	return *names;
}

// A frame with all registers: the innermost, or one that a signal interrupted.
static bool has_all(const struct pair *p, uint32_t frame)
{
	return frame == 0 || (frame < p->ours->count && p->ours->exact[frame]);
}

static bool bytes_at(const struct pair *p, uint64_t address, const void *bytes, size_t size)
{
	uint8_t there[16];
	return !target_read(p->t, address, there, size) && !memcmp(bytes, there, size);
}

// Is FRAME in code of SIZE bytes that begins with these COUNT?
static bool starts_near(
    const struct pair *p, uint32_t frame, const char *bytes, size_t count, uint64_t size)
{
	uint64_t i = 0;
	while (i < size && !bytes_at(p, p->ours->pc[frame] - i, bytes, count))
		i++;
	return i < size;
}

// glibc's first function of a coroutine, to whose first address makecontext has it return:
// mov %rbx, %rsp; mov (%rsp), %rdi. Its rows do not say that nobody called it.
static bool is_coroutine(const struct pair *p, uint32_t frame)
{
	struct place at;
	theirs_name(p->u, p->ours->pc[frame], &at);
	return starts_near(p, frame, "\x48\x89\xdc\x48\x8b\x3c\x24", 7, 26) ||
	       !strcmp(at.symbol, "__start_context") || !strcmp(at.symbol, "__startcontext");
}

// The way back from a handler: musl's mov $15, %rax; syscall, qemu's mov x8, #139; svc #0. At the
// first instruction or the second.
static bool is_restorer(const struct pair *p, uint32_t frame)
{
	static const char qemu[] = "\x68\x11\x80\xd2\x01\x00\x00\xd4";
	static const char code[] = "\x48\xc7\xc0\x0f\x00\x00\x00\x0f\x05";
	uint64_t pc = p->ours->pc[frame];
	if (p->t->machine == EM_AARCH64)
		return bytes_at(p, pc, qemu, 8) || bytes_at(p, pc - 4, qemu, 8);
	return bytes_at(p, pc, code, 9) || bytes_at(p, pc - 7, code, 9);
}

// Nobody called the last frame of ours: its file says so, or it is where the file is entered, or a
// thread begins in code of which nothing is said.
static bool is_start(const struct pair *p)
{
	static const char *const names[] = {"__clone", "clone", "__clone3", "start", NULL};
	// In their last instructions the stack pointer is already that of the catcher.
	static const char *const thrower[] = {"_Unwind_RaiseException", "_Unwind_Resume",
	    "_Unwind_Resume_or_Rethrow", "_Unwind_ForcedUnwind", NULL};
	uint32_t last = p->ours->count - 1;
	if (!p->ours->count)
		return false;
	uint64_t pc = p->ours->pc[last], entry = theirs_entry(p->u, pc);
	if (theirs_starts(p->u, pc - !has_all(p, last)) || pc - entry < 64)
		return true;
	if (described(p, last))
		return is_coroutine(p, last) || (last == 1 && named(p, 0, thrower));
	// glibc's clone in the child, some instructions before it says that it was not called.
	for (int i = 0; i < 32; i++)
		if (theirs_starts(p->u, pc + (uint64_t)i))
			return true;
	// musl's clone in the child, up to the return address: xor %ebp, %ebp; pop %rdi; call *%r9.
	return is_coroutine(p, last) || named(p, last, names) ||
	       starts_near(p, last, "\x31\xed\x5f\x41\xff\xd1", 6, 7);
}

static bool continues_as_interrupted(const struct pair *p, uint32_t from)
{
	const struct stack *o = p->ours, *i = p->interrupted;
	return i && i->count && o->count - from == i->count &&
	       !memcmp(o->pc + from, i->pc, i->count * sizeof(*i->pc));
}

// Why they may differ, case by case; NULL: there is no reason why.
static const char *explain(const struct pair *p)
{
	static const char *const switches[] = {
	    "swapcontext", "__swapcontext", "setcontext", "__setcontext", NULL};
	const struct stack *o = p->ours, *t = p->theirs;
	static const char *const jumps[] = {"__longjmp", NULL}, *const huge[] = {"case_huge", NULL};
	bool ours_ends = p->same == o->count, theirs_ends = p->same == t->count;
	uint32_t last = p->same - 1; // the innermost frame whose caller they do not agree on
	if (!p->same)
		return NULL;
	// What came before the signal was compared when it was sent.
	if (!described(p, last) && is_restorer(p, last) && continues_as_interrupted(p, p->same))
		return "libdw does not know musl's way back from a signal";
	if (p->t->machine == EM_AARCH64 && !described(p, last) && is_restorer(p, last) &&
	    p->end == WALK_END_COMPLETE)
		return "libdw does not know qemu's way back from a signal";
	if (p->t->machine == EM_AARCH64 && named(p, last, huge) && ours_ends &&
	    p->end == WALK_END_UNSUPPORTED)
		return "arm64: a rule holds frames of up to 256 KiB";
	// Its registers are part of the old frame, part of the new one, and encrypted in between.
	if (p->t->machine == EM_AARCH64 && has_all(p, last) && named(p, last, jumps))
		return "arm64: longjmp describes no frame while it loads the registers";
	// PLT, _init, _fini: libdw takes lr, ours the frame pointer, which is the caller's.
	if (p->t->machine == EM_AARCH64 && last == 0 && !described(p, 0) && !theirs_ends &&
	    t->pc[1] == p->t->reg[30])
		return "arm64: in code without rows the frame pointer skips the caller";
	// Between the change of the stack pointer and the return, glibc's rows are those of the
	// stack that was left.
	for (uint32_t i = 0; i <= last; i++)
		if (has_all(p, i) && named(p, i, switches))
			return "glibc's swapcontext and setcontext describe the wrong stack";
	// It needs a register that only the innermost frame still has: rbx of the dynamic linker's
	// _dl_runtime_resolve, for one. libdw carries all registers from frame to frame.
	if (ours_ends && p->end == WALK_END_REGISTER && !has_all(p, last))
		return "the caller's frame is told by a register that we do not carry along";
	// longjmp and the last steps of throwing.
	if (ours_ends && p->end == WALK_END_UNSUPPORTED && has_all(p, last))
		return "the return address is in a register";
	if (is_coroutine(p, last))
		return ours_ends && p->end == WALK_END_COMPLETE
			   ? "libdw goes on from the start of a coroutine"
			   : NULL;
	// Neither can go on from there; ours has put the address down before it found out.
	if (p->end == WALK_END_NOT_CODE && o->count == p->same + 1 && !is_code(p, o->pc[p->same]) &&
	    (theirs_ends || !is_code(p, t->pc[p->same])))
		return "what should be a caller is no code: both stop";
	if (described(p, last))
		return NULL;
	// libdw gives up where there is no FDE. We go on by frame pointer, or by the row before a
	// gap of few bytes.
	if (theirs_ends && p->end == WALK_END_COMPLETE)
		return "libdw stops at code without rows, ours came to the start of the thread";
	// Java's compiled code keeps other things in the frame pointer, and libdw takes the word
	// behind wherever it points to for a caller, be it a 0.
	if (ours_ends && (p->end == WALK_END_COMPLETE || p->end == WALK_END_JIT) &&
	    !is_code(p, t->pc[p->same]))
		return "libdw goes on into data from code without rows";
	if (p->end == WALK_END_NO_ROWS)
		return "code without rows: both guess, and ours says so";
	return NULL;
}

static void unexplained(struct tally *tally, const struct pair *p, uint32_t frame, const char *what)
{
	char text[240];
	struct place at = {.file = "?", .symbol = "?"};
	if (frame < p->ours->count)
		theirs_name(p->u, p->ours->pc[frame] - (frame > 0), &at);
	snprintf(text, sizeof(text), "UNEXPLAINED, %s at %.60s!%.60s, ours ends: %s", what, at.file,
	    at.symbol, p->ours->end);
	count_reason(tally, text, p);
	tally->unexplained++;
}

void compare(struct tally *tally, struct ours *o, struct theirs *u, struct target *t,
    const struct stack *interrupted, struct stack *keep)
{
	static struct stack ours, theirs;
	struct pair p = {
	    .o = o, .u = u, .t = t, .ours = &ours, .theirs = &theirs, .interrupted = interrupted};
	p.end = ours_walk(o, t, &ours);
	theirs_walk(u, &theirs);
	tally->stops++;
	tally->complete += ours.complete;
	tally->ends[p.end]++;
	while (p.same < ours.count && p.same < theirs.count && ours.pc[p.same] == theirs.pc[p.same])
		p.same++;
	bool ours_ends = p.same == ours.count, theirs_ends = p.same == theirs.count;
	if (keep)
		keep->count = 0;
	if (ours.complete && !is_start(&p))
		unexplained(tally, &p, ours.count - 1, "claims to be complete");
	if (ours_ends && theirs_ends) {
		tally->equal++;
		if (keep)
			*keep = ours;
		return;
	}
	if (theirs_ends)
		tally->ours_longer++;
	else if (ours_ends)
		tally->theirs_longer++;
	else
		tally->different++;
	const char *why = explain(&p);
	if (why)
		count_reason(tally, why, &p);
	else
		unexplained(tally, &p, p.same - 1,
		    theirs_ends ? "ours longer"
		    : ours_ends ? "theirs longer"
				: "different");
	if (keep && why)
		*keep = ours;
}

bool tally_print(const struct tally *tally, const char *subject)
{
	printf("# %s: %" PRIu64 " stops, %" PRIu64 " equal, %" PRIu64 " ours longer, %" PRIu64
	       " theirs longer, %" PRIu64 " different; %" PRIu64 " complete; %" PRIu64
	       " unexplained\n",
	    subject, tally->stops, tally->equal, tally->ours_longer, tally->theirs_longer,
	    tally->different, tally->complete, tally->unexplained);
	for (int i = 0; i < WALK_END_COUNT; i++)
		if (i != WALK_END_COMPLETE && tally->ends[i])
			printf("#   ends %s: %" PRIu64 "\n", ours_label(i), tally->ends[i]);
	for (const struct reason *r = tally->reasons; *r->name; r++)
		printf("#   %s: %" PRIu64 "\n#     %s\n", r->name, r->count, r->example);
	return !tally->unexplained && tally->stops;
}
