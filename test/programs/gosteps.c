// SPDX-License-Identifier: Apache-2.0
// gosteps [-q] [-o] [-m STEPS] SYMBOLS PROGRAM ARGUMENT...: goes through test/programs/goshapes.go
// from main.begin to main.end by single steps, and keeps a list of return addresses by calls,
// returns and signals alone. Our walk must come to this list at every step (three times at an
// address), and where the program says what Go's own runtime finds, to that.
//   SYMBOLS: what `go tool nm -size` prints   -q: arm64, run by qemu-aarch64
//   -o: Go before 1.21, where a change of stacks hides the function that asked for it
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/personality.h>
#include <sys/ptrace.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../truth/ours.h"

#define LIST_MAX 2000
#define SET_ASIDE 64
#define LOOKS 3 // at an address

#define SYMBOLS_MAX 100000
static struct symbol {
	uint64_t start, end;
	char name[96];
} symbols[SYMBOLS_MAX];
static size_t symbol_count;

// Return addresses, the innermost last; what a signal interrupted is among them.
struct list {
	uint32_t count;
	uint64_t pc[LIST_MAX];
};
static struct list list, aside[SET_ASIDE];
static uint32_t aside_count;
static bool known; // the list is
static uint64_t interrupted[16], signals;

static struct {
	uint64_t steps, looks, equal, left, changing, skipped, adopted, callers, cut, different;
} sum;
static bool qemu, before_121;
static struct target *target;
static struct ours *ours;

static void die(const char *what)
{
	fprintf(stderr, "gosteps: %s: %s\n", what, strerror(errno));
	exit(2);
}

// ---- symbols

static int by_start(const void *a, const void *b)
{
	const struct symbol *x = a, *y = b;
	return (x->start > y->start) - (x->start < y->start);
}

static void read_symbols(const char *path)
{
	FILE *f = fopen(path, "re");
	char line[4096], kind;
	while (f && symbol_count < SYMBOLS_MAX && fgets(line, sizeof(line), f)) {
		struct symbol *to = &symbols[symbol_count];
		if (sscanf(line, " %" SCNx64 " %" SCNu64 " %c %95s", &to->start, &to->end, &kind,
			to->name) != 4)
			continue;
		to->end += to->start;
		symbol_count++;
	}
	if (!f || !symbol_count)
		die(path);
	fclose(f);
	qsort(symbols, symbol_count, sizeof(*symbols), by_start);
}

static const struct symbol *symbol_at(uint64_t pc)
{
	static const struct symbol none = {.name = "?"};
	size_t low = 0, high = symbol_count;
	while (low < high) {
		size_t middle = (low + high) / 2;
		if (symbols[middle].start <= pc)
			low = middle + 1;
		else
			high = middle;
	}
	return low && pc < symbols[low - 1].end ? &symbols[low - 1] : &none;
}

static uint64_t address_of(const char *name)
{
	size_t length = strlen(name);
	for (size_t i = 0; i < symbol_count; i++) {
		const char *s = symbols[i].name;
		if (!strncmp(s, name, length) && (!s[length] || !strcmp(s + length, ".abi0")))
			return symbols[i].start;
	}
	errno = ENOENT;
	die(name);
	return 0;
}

static bool is(const struct symbol *s, const char *const *names)
{
	char name[sizeof(s->name)];
	snprintf(name, sizeof(name), "%s", s->name);
	char *abi = strstr(name, ".abi");
	if (abi && abi != name)
		*abi = 0;
	for (; *names; names++)
		if (!strcmp(name, *names))
			return true;
	return false;
}

static const char *const gogo[] = {"gogo", "runtime.gogo", NULL};
static const char *const leaves[] = {
    "gogo", "runtime.gogo", "runtime.mcall", "runtime.morestack", NULL};
static const char *const put_in[] = {
    "runtime.asyncPreempt", "runtime.sigpanic0", "runtime.sigpanic", NULL};
static const char *const from_c[] = {"crosscall2", NULL};
static const char *const changes[] = {
    "runtime.doSigPreempt", "runtime.(*sigctxt).preparePanic", NULL};
static const char *const hides[] = {
    "runtime.systemstack", "runtime.asmcgocall", "runtime.sigfwd", NULL};

// ---- machine

static uint64_t reg_pc(void)
{
	return target->reg[target_pc(target)];
}
static uint64_t reg_sp(void)
{
	return target->reg[target_sp(target)];
}

static uint64_t word(uint64_t at)
{
	uint64_t w;
	return target_read(target, at, &w, sizeof(w)) ? 0 : w;
}

enum what { OTHER, CALL, RETURN, SIGRETURN };
static enum what instruction(uint64_t pc)
{
	enum { SIZE = 1 << 18 };
	static struct {
		uint64_t pc;
		uint8_t b[4];
	} cache[SIZE];
	if (cache[pc % SIZE].pc != pc && !target_read(target, pc, cache[pc % SIZE].b, 4))
		cache[pc % SIZE].pc = pc;
	const uint8_t *b = cache[pc % SIZE].b;
	uint32_t w;
	memcpy(&w, b, sizeof(w));
	if (target->machine == 183) { // EM_AARCH64
		return w >> 26 == 0x25 || (w & 0xfffffc1f) == 0xd63f0000 ? CALL
		       : (w & 0xfffffc1f) == 0xd65f0000			 ? RETURN
		       : w == 0xd4000001 && target->reg[8] == 139	 ? SIGRETURN
									 : OTHER;
	}
	if (b[0] == 0x0f && b[1] == 0x05 && target->reg[0] == 15)
		return SIGRETURN;
	const uint8_t *at = b[0] >= 0x40 && b[0] < 0x50 ? b + 1 : b;
	if (at[0] == 0xe8 || (at[0] == 0xff && (at[1] >> 3 & 7) == 2))
		return CALL;
	return b[0] == 0xc3 || (b[0] == 0xf3 && b[1] == 0xc3) ? RETURN : OTHER;
}

// ---- the list

static void push(uint64_t pc)
{
	if (list.count < LIST_MAX)
		list.pc[list.count++] = pc;
	else
		known = false;
}

static void set_aside(void)
{
	if (aside_count == SET_ASIDE)
		memmove(aside, aside + 1, sizeof(*aside) * --aside_count);
	aside[aside_count++] = list;
	list.count = 0;
}

// gogo has jumped to PC: what was set aside there goes on, or a function where a panic ends; or a
// goroutine starts.
static void resume(uint64_t pc, const struct stack *walk)
{
	const struct symbol *s = symbol_at(pc);
	known = true;
	for (uint32_t i = aside_count; i-- > 0;) {
		const struct list *a = &aside[i];
		bool same = a->count && a->pc[a->count - 1] == pc && walk->count == a->count;
		for (uint32_t k = 0; same && k + 1 < a->count; k++)
			same = walk->pc[a->count - 1 - k] == a->pc[k];
		if (!same)
			continue;
		list = *a;
		list.count--;
		memmove(aside + i, aside + i + 1, sizeof(*aside) * (--aside_count - i));
		return;
	}
	if (pc == s->start) {
		list.count = 0;
		push(address_of("runtime.goexit") + (qemu ? 4 : 1));
		if (symbol_at(list.pc[0])->name[0] != '?')
			return;
	}
	const struct list *last = aside_count ? &aside[aside_count - 1] : NULL;
	for (uint32_t k = last ? last->count : 0; k-- > 0;)
		if (symbol_at(last->pc[k] - 1) == s) {
			list = *last;
			list.count = k;
			return;
		}
	known = false;
}

static void follow(enum what did, uint64_t pc, uint64_t sp)
{
	const struct symbol *from = symbol_at(pc);
	uint64_t to = reg_pc();
	if (did == CALL && (qemu ? to != pc + 4 : reg_sp() == sp - 8)) {
		if (is(from, leaves))
			set_aside();
		push(qemu ? pc + 4 : word(reg_sp()));
	} else if (did == RETURN) {
		if (list.count && list.pc[list.count - 1] == to)
			list.count--;
		else
			known = false;
	} else if (did == SIGRETURN && signals) {
		uint64_t back = interrupted[--signals];
		while (list.count && list.pc[list.count - 1] != back)
			list.count--;
		if (list.count && back == to)
			list.count--;
		// Where the handler has put a call in, it is made.
		if (!list.count && back != to)
			known = false;
	}
}

// ---- looks

static void differs(const struct stack *w, const char *what)
{
	if (sum.different++ >= 5)
		return;
	printf(
	    "# %s at %" PRIx64 " %s, end: %s\n", what, reg_pc(), symbol_at(reg_pc())->name, w->end);
	for (uint32_t i = 0, k = list.count; i < 12 && (i < w->count || k); i++) {
		uint64_t ours_pc = i < w->count ? w->pc[i] : 0;
		uint64_t truth = i == 0 ? reg_pc() : k ? list.pc[--k] : 0;
		printf("#   %" PRIx64 " %-36s %" PRIx64 " %s\n", ours_pc, symbol_at(ours_pc)->name,
		    truth, symbol_at(truth)->name);
	}
}

// The program goes on where it was preempted, at any instruction, and not behind a call; the walk
// looks for a row one byte before.
static bool was_preempted(void)
{
	bool was = is(symbol_at(reg_pc()), put_in);
	for (uint32_t k = 0; k < list.count && !was; k++)
		was = is(symbol_at(list.pc[k]), put_in);
	return was;
}

// What is known not to be had: arm64's caller of a function that asks for more stack, and who asks
// Go 1.15 for the time.
static bool is_cut(const struct stack *w)
{
	static const char *const times[] = {"runtime.nanotime1", "runtime.walltime1", NULL};
	static const char *const asks[] = {"runtime.morestack", "runtime.morestack_noctxt",
	    "runtime.mcall", "gogo", "runtime.gogo", NULL};
	// It writes over the return address that it saved and does not need.
	static const char *const spoils[] = {"internal/chacha8rand.block", NULL};
	if (qemu && is(symbol_at(reg_pc()), spoils))
		return true;
	bool lost = qemu && !strcmp(w->end, "register of a caller");
	for (uint32_t i = 0; lost && i < w->count; i++)
		if (is(symbol_at(w->pc[i]), asks))
			return true;
	return before_121 && !strcmp(w->end, "stack does not grow") && w->count &&
	       is(symbol_at(w->pc[w->count - 1]), times);
}

static void judge(const struct stack *w)
{
	uint32_t k = list.count, i = 1;
	bool same = w->count && w->complete, skipped = false;
	for (; same && i < w->count; i++) {
		// The handler of a signal has put a call in before it returns.
		if (signals && w->exact[i] && is(symbol_at(w->pc[i]), put_in) &&
		    !(k && list.pc[k - 1] == w->pc[i]))
			continue;
		if (k && w->pc[i] != list.pc[k - 1] && before_121 &&
		    is(symbol_at(w->pc[i - 1]), hides)) {
			skipped = true;
			k--;
		}
		same = k && w->pc[i] == list.pc[--k];
	}
	if (same && !k)
		skipped ? sum.skipped++ : sum.equal++;
	else if ((signals && is(symbol_at(reg_pc()), changes)) || was_preempted())
		sum.changing++;
	else if (w->count == 1 && w->complete && is(symbol_at(reg_pc()), leaves))
		sum.left++;
	else if (is_cut(w))
		sum.cut++;
	else
		differs(w, "our walk (left) and the calls made (right)");
}

// What runtime.Callers found, from the caller of main.look on; it leaves out what the compiler
// made, and tells another address of a fault.
static void compare_callers(const struct stack *w)
{
	uint64_t at = address_of("main.seen"), count = word(at), k = 2, more = 0;
	for (uint32_t i = 2; i < w->count; i++) {
		if (is(symbol_at(w->pc[i]), put_in) || is(symbol_at(w->pc[i]), from_c))
			return;
		if (k <= count && w->pc[i] == word(at + 8 * k))
			k++;
		else
			more++;
	}
	if (count > 2 && count < 200 && k > count && more <= 3)
		sum.callers++;
	else
		differs(w, "runtime.Callers differs");
}

static bool often_enough(uint64_t pc)
{
	enum { SIZE = 1 << 20 };
	static struct {
		uint64_t pc;
		uint32_t count;
	} seen[SIZE];
	uint64_t i = (pc * 0x9e3779b97f4a7c15u >> 40) % SIZE;
	while (seen[i].pc && seen[i].pc != pc)
		i = (i + 1) % SIZE;
	seen[i].pc = pc;
	return seen[i].count++ >= LOOKS;
}

static void look(bool switched)
{
	static struct stack w;
	uint64_t pc = reg_pc();
	bool callers = !strcmp(symbol_at(pc)->name, "main.here") && pc == symbol_at(pc)->start;
	if (often_enough(pc) && known && !switched && !callers)
		return;
	if (!sum.looks || (target->pid && sum.looks % 100 == 0)) {
		if (target->pid)
			target_maps(target);
		ours_maps(ours, target);
	}
	sum.looks++;
	ours_walk(ours, target, &w);
	if (switched)
		resume(pc, &w);
	if (!known && w.complete) { // a stack that began on another thread
		list.count = 0;
		for (uint32_t i = w.count; i-- > 1;)
			push(w.pc[i]);
		known = true;
		sum.adopted++;
	} else if (!known) {
		is_cut(&w) ? (void)sum.cut++ : differs(&w, "not complete");
	} else {
		judge(&w);
	}
	if (callers)
		compare_callers(&w);
}

// ---- steps

static pid_t run_to_begin(char **argv, uint64_t address)
{
	int status;
	pid_t pid = fork();
	if (pid == 0) {
		personality(ADDR_NO_RANDOMIZE);
		ptrace(PTRACE_TRACEME, 0, NULL, NULL);
		execvp(*argv, argv);
		_exit(127);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid || !WIFSTOPPED(status))
		die(*argv);
	ptrace(PTRACE_SETOPTIONS, pid, NULL, PTRACE_O_EXITKILL);
	long there = ptrace(PTRACE_PEEKTEXT, pid, (void *)address, NULL);
	ptrace(PTRACE_POKETEXT, pid, (void *)address, (void *)((there & ~255l) | 0xcc));
	for (int signal = 0;; signal = WSTOPSIG(status)) {
		ptrace(PTRACE_CONT, pid, NULL, (void *)(long)signal);
		if (waitpid(pid, &status, 0) != pid || !WIFSTOPPED(status))
			die("it ends before main.begin");
		if (WSTOPSIG(status) == SIGTRAP)
			break;
	}
	struct user_regs_struct r;
	ptrace(PTRACE_POKETEXT, pid, (void *)address, (void *)there);
	ptrace(PTRACE_GETREGS, pid, NULL, &r);
	r.rip = address;
	ptrace(PTRACE_SETREGS, pid, NULL, &r);
	target = target_of_process(pid);
	if (!target || target_registers(target, pid))
		die("it cannot be read");
	return pid;
}

// One step: 1 it has ended.
static int step(pid_t pid, bool *handled)
{
	int status, signal = 0;
	*handled = false;
	if (qemu)
		return qemu_step(target);
	for (;;) {
		ptrace(PTRACE_SINGLESTEP, pid, NULL, (void *)(long)signal);
		if (waitpid(pid, &status, 0) != pid || !WIFSTOPPED(status))
			return 1;
		if (WSTOPSIG(status) == SIGTRAP)
			break;
		signal = WSTOPSIG(status);
		*handled = true;
	}
	return target_registers(target, pid) ? 1 : 0;
}

static void go_through(pid_t pid, uint64_t steps, uint64_t end)
{
	static const char *const handlers[] = {"runtime.sigtramp", "runtime.cgoSigtramp", NULL};
	while (sum.steps++ < steps && reg_pc() != end) {
		uint64_t pc = reg_pc(), sp = reg_sp();
		enum what did = instruction(pc);
		bool handled, was_gogo = is(symbol_at(pc), gogo);
		if (step(pid, &handled))
			return; // main.end came on another thread
		const struct symbol *s = symbol_at(reg_pc());
		if ((handled || qemu) && reg_pc() == s->start && is(s, handlers) && signals < 16) {
			push(interrupted[signals++] = pc);
			push(qemu ? target->reg[30] : word(reg_sp()));
		} else {
			follow(did, pc, sp);
		}
		look(was_gogo && !handled && !is(s, gogo));
	}
}

int main(int argc, char **argv)
{
	uint64_t steps = 100000000;
	int c;
	while ((c = getopt(argc, argv, "+qom:")) != -1) {
		qemu |= c == 'q';
		before_121 |= c == 'o';
		steps = c == 'm' ? strtoull(optarg, NULL, 10) : steps;
	}
	if (argc - optind < 2)
		return 2;
	read_symbols(argv[optind]);
	uint64_t begin = address_of("main.begin"), end = address_of("main.end");
	pid_t pid = 0;
	if (qemu) {
		target = target_of_qemu(argv + optind + 1);
		if (!target || qemu_run_to(target, begin))
			die("qemu-aarch64");
	} else {
		pid = run_to_begin(argv + optind + 1, begin);
	}
	ours = ours_new();
	look(false);
	go_through(pid, steps, end);
	printf("# %" PRIu64 " steps, %" PRIu64 " looks: %" PRIu64 " equal, %" PRIu64
	       " as runtime.Callers, %" PRIu64 " on a stack just left, %" PRIu64
	       " changed by a handler, %" PRIu64 " with a function hidden, %" PRIu64
	       " cut as known, %" PRIu64 " not followed, %" PRIu64 " different\n",
	    sum.steps, sum.looks, sum.equal, sum.callers, sum.left, sum.changing, sum.skipped,
	    sum.cut, sum.adopted, sum.different);
	if (pid)
		kill(pid, SIGKILL);
	return sum.different || (!sum.callers && !qemu) ||
	       (sum.equal + sum.skipped) * 10 < sum.looks * 9;
}
