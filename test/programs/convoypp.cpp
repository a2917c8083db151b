// SPDX-License-Identifier: Apache-2.0
// convoy.c with std::mutex.
#include "truth.h"

#include <mutex>
#include <thread>
#include <vector>

static std::mutex mutex;

NOINLINE void cpp_locks()
{
	mutex.lock();
	__asm__ volatile("");
}

NOINLINE void cpp_holds()
{
	sleep_ns(3000000);
	__asm__ volatile("");
}

static void run(uint64_t until)
{
	truth_begin("cppconvoy");
	while (clock_ns(CLOCK_MONOTONIC) < until) {
		MEASURE(cpp_locks);
		MEASURE(cpp_holds);
		mutex.unlock();
		sleep_ns(2000000);
	}
	truth_end();
}

int main(int argc, char **argv)
{
	uint64_t until =
	    clock_ns(CLOCK_MONOTONIC) + (uint64_t)((argc > 1 ? atof(argv[1]) : 1.0) * 1e9);
	std::vector<std::thread> threads;
	for (int i = 0; i < 8; i++)
		threads.emplace_back(run, until);
	for (auto &t : threads)
		t.join();
}
