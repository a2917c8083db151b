// SPDX-License-Identifier: Apache-2.0
// Exceptions: thrown through frames that clean up, caught, thrown on, and from within a handler.
//   throws [SECONDS]: with SECONDS it burns CPU time in burn(), called by a destructor that runs
//   while the stack is unwound: main, catches, passes, ~Cleaner, burn; else it is done once.
#include <cstdlib>
#include <ctime>
#include <stdexcept>
#include <string>

#ifdef __clang__
#define FUNCTION __attribute__((noinline, used))
#else
#define FUNCTION __attribute__((noinline, noclone, used))
#endif

static volatile unsigned long result;
static double burn_seconds;

static double now()
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}
FUNCTION void burn()
{
	double end = now() + burn_seconds;
	do {
		for (int i = burn_seconds > 0 ? 1000000 : 3; i; i--)
			result = result * 6364136223846793005ul + 1;
	} while (burn_seconds > 0 && now() < end);
}

struct Cleaner {
	std::string name;
	explicit Cleaner(const char *s) : name(s)
	{
		result = result + 1;
	}
	FUNCTION ~Cleaner()
	{
		burn();
		result = result + name.size();
	}
};

FUNCTION void throws(int n)
{
	if (n > 0)
		throw std::runtime_error("thrown");
	result = result + 1;
}
FUNCTION void passes(int n)
{
	Cleaner cleaner("one that is cleaned up");
	throws(n);
	result = result + 1;
}
FUNCTION int catches(int n)
{
	try {
		passes(n);
	} catch (const std::logic_error &e) {
		return 1;
	} catch (const std::runtime_error &e) {
		result = result + std::string(e.what()).size();
		return 2;
	}
	return 3;
}
FUNCTION int throws_on(int n)
{
	try {
		catches(n);
		throws(n);
	} catch (const std::runtime_error &) {
		result = result + 1;
		throw;
	}
	return 0;
}

int main(int argc, char **argv)
{
	if (argc > 1)
		burn_seconds = atof(argv[1]);
	result = result + (unsigned long)catches(argc);
	if (argc > 1)
		return 0;
	try {
		throws_on(argc);
	} catch (...) {
		result = result + 1;
	}
	return 0;
}
