// SPDX-License-Identifier: Apache-2.0
// libiberty's demanglers for C++ and Rust, kept within time and memory. A mangled name may refer
// back to its own parts, so a few hundred bytes can stand for 2^50 of output or, in C++ pack
// expansions, for as many steps without any. Both end by a jump out of libiberty: from the callback
// when the output is full, from a timer's signal when the time is up.
//
// The jump is sound because libiberty's callback variants keep everything on the stack. One thing
// is not: a punycode identifier of Rust, which is printed from a heap block. So no jump is made
// while the text given to the callback lies in the heap, and Rust, which prints at every step, has
// no timer.
//
// libiberty's D demangler allocates without bounds and ends the process when it cannot: D is our
// own (demangle_d.c).
#include "demangle.h"

#include "symbol.h"

#include <errno.h>
#include <libiberty/demangle.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

#define INPUT_MAX 2048
// A shorter name has no room for the doublings that take longer than this.
#define TIMED_FROM 100
#define TIME_NS 3000000

extern const char __executable_start[], _end[]; // the linker's: all that is not heap or stack

struct sink {
	sigjmp_buf back;
	char *out;
	size_t size, len;
	const char *name;
	bool full;
	volatile sig_atomic_t timed; // the timer may jump
};
enum { JUMP_FULL = 1, JUMP_TIME };

static void take(const char *text, size_t n, void *arg)
{
	struct sink *s = arg;
	size_t room = s->size - 1 - s->len, take_n = n < room ? n : room;
	if (take_n) // TEXT may be NULL
		memcpy(s->out + s->len, text, take_n);
	s->len += take_n;
	s->full |= n > room;
	uintptr_t at = (uintptr_t)text;
	bool in_name = at >= (uintptr_t)s->name && at < (uintptr_t)s->name + INPUT_MAX;
	bool in_image = at >= (uintptr_t)__executable_start && at < (uintptr_t)_end;
	if (s->full && (s->timed || in_name || in_image))
		siglongjmp(s->back, JUMP_FULL);
}

static void time_up(int signal, siginfo_t *info, void *context)
{
	(void)signal;
	(void)context;
	struct sink *s = info->si_code == SI_TIMER ? info->si_value.sival_ptr : NULL;
	if (s && s->timed)
		siglongjmp(s->back, JUMP_TIME);
}

static int rust(struct sink *s)
{
	int jump = sigsetjmp(s->back, 0);
	return jump ? jump : rust_demangle_callback(s->name, DMGL_PARAMS, take, s) ? 0 : -EINVAL;
}

// The name must not be so long that the timer is needed.
static int cxx_untimed(struct sink *s)
{
	int jump = sigsetjmp(s->back, 1);
	if (jump)
		return jump;
	s->timed = 1;
	return cplus_demangle_v3_callback(s->name, DMGL_PARAMS | DMGL_ANSI, take, s) ? 0 : -EINVAL;
}

static int cxx(struct sink *s)
{
	struct sigaction action = {.sa_sigaction = time_up, .sa_flags = SA_SIGINFO}, before;
	struct sigevent event = {
	    .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGVTALRM, .sigev_value.sival_ptr = s};
	struct itimerspec time = {.it_value.tv_nsec = TIME_NS};
	timer_t timer;
	if (strlen(s->name) < TIMED_FROM) {
		int result = cxx_untimed(s);
		s->timed = 0;
		return result;
	}
	if (sigaction(SIGVTALRM, &action, &before) < 0)
		return -errno;
	// Our own CPU time: a busy machine must not cost names.
	int result = timer_create(CLOCK_THREAD_CPUTIME_ID, &event, &timer) < 0 ? -errno : 0;
	if (!result) {
		if (timer_settime(timer, 0, &time, NULL) < 0)
			result = -errno;
		else
			result = cxx_untimed(s);
		s->timed = 0; // a signal that is still on its way finds nothing to end
		timer_delete(timer);
	}
	sigaction(SIGVTALRM, &before, NULL);
	return result;
}

// What the linker or LTO numbered anew in every build: ".llvm.1234", ".__uniq.1234". Other clones
// (.cold, .part.0, .isra.0) are different code and keep their mark.
static size_t without_numbers(const char *name, size_t n)
{
	static const char *const marks[] = {".llvm.", ".__uniq."};
	for (size_t digits = n, i = 0; i < 2; i++, digits = n) {
		while (digits && name[digits - 1] >= '0' && name[digits - 1] <= '9')
			digits--;
		size_t len = strlen(marks[i]);
		if (digits < n && digits > len && !memcmp(name + digits - len, marks[i], len))
			n = digits - len;
	}
	return n;
}

const char *symbol_demangle(const char *name, char *buffer, size_t size)
{
	char plain[INPUT_MAX];
	size_t n = strnlen(name, INPUT_MAX), kept;
	if (n == INPUT_MAX || size < 8)
		return name;
	kept = without_numbers(name, n);
	memcpy(plain, name, kept);
	plain[kept] = 0;
	struct sink s = {.out = buffer, .size = size, .name = plain};
	int result = -EINVAL;
	if (plain[0] == '_' && plain[1] == 'D' && demangle_d(plain, buffer, size))
		return buffer;
	if (!strncmp(plain, "_R", 2) || !strncmp(plain, "_ZN", 3))
		result = rust(&s);
	if (result < 0 && !strncmp(plain, "_Z", 2)) {
		s.len = 0;
		result = cxx(&s);
	}
	if (result == JUMP_FULL || (!result && s.full)) {
		memcpy(buffer + size - 4, "...", 4);
		return buffer;
	}
	if (!result && s.len) {
		buffer[s.len] = 0;
		return buffer;
	}
	if (kept == n || kept >= size)
		return name;
	memcpy(buffer, plain, kept + 1);
	return buffer;
}
