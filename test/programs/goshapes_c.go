// SPDX-License-Identifier: Apache-2.0
// What goshapes.go does when it is built with C: calls there, and from there back, twice over.
package main

/*
#include <stdint.h>
#include <stdlib.h>
extern uint64_t goBack(uint64_t);
static __attribute__((noinline)) uint64_t c_burn(uint64_t n)
{
	for (int i = 0; i < 300; i++)
		n = n * 6364136223846793005u + 5;
	return n;
}
static int c_compare(const void *a, const void *b)
{
	uint64_t x = c_burn(*(const uint64_t *)a), y = c_burn(*(const uint64_t *)b);
	return (x > y) - (x < y);
}
static __attribute__((noinline)) uint64_t c_calls(uint64_t n)
{
	uint64_t list[9] = {n, 5, 2, 8, 1, 9, 3, n, 4};
	qsort(list, 9, 8, c_compare);
	return list[0] + goBack(n) + c_burn(n);
}
*/
import "C"

//export goBack
func goBack(n C.uint64_t) C.uint64_t {
	look()
	x := deep(40, uint64(n)) + uint64(len(make([]byte, int(n%9)*5000)))
	if n > 100 {
		x += uint64(C.c_calls(n / 100))
	}
	return C.uint64_t(x)
}

func init() { extra = func(n int) { sink += uint64(C.c_calls(C.uint64_t(200 + n))) } }
