// SPDX-License-Identifier: Apache-2.0
// Stacks of every shape that a C program makes, one case each:
//   stacks [-b SECONDS] CASE... [-x COMMAND...]
// Without -b each case's innermost function runs a few instructions (to be single-stepped), with it
// all the CPU time of a case is spent in burn(), below main and case_CASE, so many seconds each.
// -x executes another program in the end. Without a CASE: all of them in turn, once.
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#ifdef __GLIBC__
#include <ucontext.h>
#endif

#ifdef __clang__
#define FUNCTION __attribute__((noinline, used))
#else
#define FUNCTION __attribute__((noinline, noclone, used))
#endif

static volatile unsigned long result;
static double burn_seconds;

static double now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

FUNCTION void burn(void)
{
	double end = now() + burn_seconds;
	do {
		for (int i = burn_seconds > 0 ? 1000000 : 3; i; i--)
			result = result * 6364136223846793005ul + 1;
	} while (burn_seconds > 0 && now() < end);
}

// The write after each call keeps compilers from making a loop or a jump of it.
FUNCTION int inner(int a, int b, int c)
{
	int local[8];
	for (int i = 0; i < 8; i++)
		local[i] = a * i + b;
	if (c > 1)
		burn();
	result += (unsigned long)local[c & 7];
	return local[b & 7] + c;
}
FUNCTION int middle(int a, int b, int c, int d, int e, int f, int g, int h)
{
	int sum = inner(a + h, b + g, c + f);
	result += (unsigned long)(sum + d * e * a * b * c * f * g * h);
	return sum;
}
FUNCTION void case_plain(void)
{
	result += (unsigned long)middle(1, 2, 3, 4, 5, 6, 7, (int)result);
}

// Deeper than any default bound.
FUNCTION void dive(int depth)
{
	if (depth > 1)
		dive(depth - 1);
	else
		burn();
	result += (unsigned long)depth;
}
FUNCTION void case_deep(void)
{
	dive(500);
	result++;
}

// A frame of more than 1 MiB: the offset of its CFA does not fit 16 bits.
FUNCTION void case_huge(void)
{
	volatile char huge[(1 << 20) + 4321];
	huge[0] = huge[sizeof(huge) - 1] = 1;
	burn();
	result += (unsigned long)(huge[0] + huge[sizeof(huge) - 1]);
}

// Leaves that use the stack below the stack pointer.
FUNCTION int red_zone(int n)
{
	volatile int local[12];
	for (int i = 0; i < 12; i++)
		local[i] = n + i;
	return local[n & 7] + local[11];
}
FUNCTION int variadic(int n, ...)
{
	va_list ap;
	int sum = 0;
	double real = 0;
	va_start(ap, n);
	for (int i = 0; i < n; i++) {
		sum += va_arg(ap, int);
		real += va_arg(ap, double);
	}
	va_end(ap);
	return sum + (int)real;
}
FUNCTION void case_leaf(void)
{
	result += (unsigned long)red_zone(3);
	result += (unsigned long)variadic(4, 1, 1.0, 2, 2.0, 3, 3.0, 4, 4.0);
	burn();
	result++;
}

// At -O2 a jump: case_tail is called from where hop was.
FUNCTION void landed(int n)
{
	burn();
	result += (unsigned long)n;
}
FUNCTION void hop(int n)
{
	result++;
	landed(n + 1);
}
FUNCTION void case_tail(void)
{
	hop(1);
	result++;
}

// The call is the last instruction: the return address lies beyond the function.
static jmp_buf out;
FUNCTION __attribute__((noreturn)) void leave(int n)
{
	burn();
	longjmp(out, n);
}
FUNCTION __attribute__((noreturn)) void ends_in_a_call(int n)
{
	result++;
	leave(n + 1);
}
FUNCTION void case_noreturn(void)
{
	if (!setjmp(out))
		ends_in_a_call(1);
	result++;
}

// Realigned stacks, of a size that only the run knows.
FUNCTION int realigned(int n)
{
	_Alignas(64) volatile char local[128];
	char *more = __builtin_alloca((size_t)n);
	memset(more, n, (size_t)n);
	local[0] = more[n / 2];
	burn();
	result += (unsigned long)(local[0] + more[n - 1]);
	return n;
}
FUNCTION void case_realign(void)
{
	result += (unsigned long)realigned(100 + (int)(result & 63));
}

// Called back by the C library.
FUNCTION int compare(const void *a, const void *b)
{
	static int calls;
	if (!calls++)
		burn();
	result++;
	return *(const int *)a - *(const int *)b;
}
FUNCTION void case_callback(void)
{
	int v[] = {3, 1, 2};
	qsort(v, 3, sizeof(*v), compare);
	result += (unsigned long)v[0];
}

FUNCTION void handler(int number)
{
	burn();
	result += (unsigned long)number;
}
FUNCTION void probe(int number)
{
	result += (unsigned long)number;
}
static void handle(int number, int flags)
{
	struct sigaction action = {.sa_flags = flags};
	action.sa_handler = number == SIGUSR2 ? probe : handler;
	sigaction(number, &action, NULL);
}
FUNCTION void raised(int number)
{
	raise(number);
	result++;
}
FUNCTION void case_signal(void)
{
	handle(SIGUSR1, 0);
	raised(SIGUSR1);
	result++;
}
FUNCTION void case_altsignal(void)
{
	static char stack[1 << 16];
	stack_t alternate = {.ss_sp = stack, .ss_size = sizeof(stack)};
	sigaltstack(&alternate, NULL);
	handle(SIGUSR1, SA_ONSTACK);
	raised(SIGUSR1);
	result++;
}
FUNCTION void nests(int number)
{
	raised(SIGUSR1);
	result += (unsigned long)number;
}
FUNCTION void case_nested(void)
{
	struct sigaction action = {.sa_flags = 0};
	handle(SIGUSR1, 0);
	action.sa_handler = nests;
	sigaction(SIGHUP, &action, NULL);
	raised(SIGHUP);
	result++;
}
// A fault, not a call: what was interrupted is any instruction.
static sigjmp_buf fault;
FUNCTION void faulted(int number)
{
	burn();
	result += (unsigned long)number;
	siglongjmp(fault, 1);
}
FUNCTION void faults(volatile int *where)
{
	*where = 1;
	result++;
}
FUNCTION void case_fault(void)
{
	struct sigaction action = {.sa_flags = 0};
	action.sa_handler = faulted;
	sigaction(SIGSEGV, &action, NULL);
	if (!sigsetjmp(fault, 1))
		faults((volatile int *)8);
	result++;
}

// The child runs on its parent's stack.
FUNCTION void case_vfork(void)
{
	pid_t pid = vfork();
	if (pid == 0) {
		burn();
		_exit(0);
	}
	waitpid(pid, NULL, 0);
	result++;
}

#ifdef __GLIBC__
static ucontext_t of_main, of_coroutine;
FUNCTION void yields(int n)
{
	burn();
	swapcontext(&of_coroutine, &of_main);
	result += (unsigned long)n;
}
FUNCTION void coroutine(int n)
{
	for (int i = 0; i < n; i++)
		yields(i);
}
FUNCTION void case_coroutine(void)
{
	static char stack[1 << 16];
	getcontext(&of_coroutine);
	of_coroutine.uc_stack.ss_sp = stack;
	of_coroutine.uc_stack.ss_size = sizeof(stack);
	of_coroutine.uc_link = &of_main;
	makecontext(&of_coroutine, (void (*)(void))coroutine, 1, 2);
	double whole = burn_seconds;
	burn_seconds /= 2;
	for (int i = 0; i < 3; i++)
		swapcontext(&of_main, &of_coroutine);
	burn_seconds = whole;
	result++;
}
#endif

FUNCTION void *thread_main(void *arg)
{
	case_plain();
	result++;
	return arg;
}
FUNCTION void case_thread(void)
{
	pthread_t thread;
	if (!pthread_create(&thread, NULL, thread_main, NULL))
		pthread_join(thread, NULL);
	result++;
}

#ifdef __x86_64__
// Code that nothing describes: by hand, with a frame pointer and without one.
void undescribed_with_frame(void (*f)(void));
void undescribed(void (*f)(void));
__asm__(".pushsection .text\n"
	".type undescribed_with_frame,@function\nundescribed_with_frame:\n"
	"	push %rbp\n	mov %rsp, %rbp\n	sub $32, %rsp\n	call *%rdi\n"
	"	leave\n	ret\n"
	".size undescribed_with_frame, . - undescribed_with_frame\n"
	"	.skip 64, 0x90\n"
	".type undescribed,@function\nundescribed:\n"
	"	sub $40, %rsp\n	call *%rdi\n	add $40, %rsp\n	ret\n"
	".size undescribed, . - undescribed\n"
	"	.skip 64, 0x90\n"
	".popsection\n");
FUNCTION void case_frameasm(void)
{
	undescribed_with_frame(burn);
	result++;
}
FUNCTION void case_bareasm(void)
{
	undescribed(burn);
	result++;
}
#endif

static const struct {
	const char *name;
	void (*run)(void);
} cases[] = {
#define CASE(name)                                                                                 \
	{                                                                                          \
#name, case_##name                                                                 \
	}
    CASE(plain),
    CASE(deep),
    CASE(huge),
    CASE(leaf),
    CASE(tail),
    CASE(noreturn),
    CASE(realign),
    CASE(callback),
    CASE(signal),
    CASE(altsignal),
    CASE(nested),
    CASE(fault),
    CASE(vfork),
#ifdef __GLIBC__
    CASE(coroutine),
#endif
    CASE(thread),
#ifdef __x86_64__
    CASE(frameasm),
    CASE(bareasm),
#endif
};
#define CASES (sizeof(cases) / sizeof(*cases))

static int run(const char *name)
{
	for (size_t i = 0; i < CASES; i++)
		if (!strcmp(cases[i].name, name)) {
			cases[i].run();
			return 0;
		}
	fprintf(stderr, "stacks: no case %s\n", name);
	return 2;
}

int main(int argc, char **argv)
{
	int i = 1, rc = 0;
	handle(SIGUSR2, 0); // for whoever wants to interrupt us anywhere
	if (i + 1 < argc && !strcmp(argv[i], "-b")) {
		burn_seconds = atof(argv[i + 1]);
		i += 2;
	}
	for (size_t c = 0; i >= argc && c < CASES; c++)
		cases[c].run();
	for (; i < argc && !rc; i++) {
		if (!strcmp(argv[i], "-x")) {
			execv(argv[i + 1], argv + i + 1);
			rc = 1;
		} else {
			rc = run(argv[i]);
		}
	}
	return rc;
}
