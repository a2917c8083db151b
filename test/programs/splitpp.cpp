// SPDX-License-Identifier: Apache-2.0
// Truth: of the CPU time, demangled,
//   70 %  shop::Till<int>::work70(unsigned long)
//   20 %  unsigned long shop::work20<shop::Coin>(unsigned long)
//   10 %  shop::(anonymous namespace)::work10(unsigned long)
// called by turn by shop::Till<int>::turn(), called by main. splitpp [SECONDS], else until it is
// ended.
#include <chrono>
#include <cstdlib>

namespace shop
{
constexpr int unit = 13000; // iterations, each waiting for the one before

struct Coin {
	static constexpr unsigned long factor = 6364136223846793005ul;
};

template <class T> __attribute__((noinline)) unsigned long work20(unsigned long x)
{
	for (int i = 0; i < 2 * unit; i++)
		x = x * T::factor + 1;
	return x;
}

namespace
{
__attribute__((noinline)) unsigned long work10(unsigned long x)
{
	for (int i = 0; i < unit; i++)
		x = x * Coin::factor + 3;
	return x;
}
} // namespace

template <class T> class Till
{
      public:
	__attribute__((noinline)) void turn();

      private:
	__attribute__((noinline)) unsigned long work70(unsigned long x);
	volatile unsigned long sum = 1;
};

template <class T> unsigned long Till<T>::work70(unsigned long x)
{
	for (int i = 0; i < 7 * unit; i++)
		x = x * Coin::factor + 5;
	return x;
}

template <class T> void Till<T>::turn()
{
	sum = work70(sum);
	sum = work20<Coin>(sum);
	sum = work10(sum);
}
template class Till<int>; // seen from elsewhere, so that no compiler makes a clone of another name
} // namespace shop

int main(int argc, char **argv)
{
	using clock = std::chrono::steady_clock;
	auto end = clock::now() + std::chrono::seconds(argc > 1 ? std::atoi(argv[1]) : 1000000000);
	shop::Till<int> till;
	while (clock::now() < end)
		till.turn();
}
