// SPDX-License-Identifier: Apache-2.0
// Sleeps until it is ended.
#include <unistd.h>

int main(void)
{
	for (;;)
		pause();
}
