// SPDX-License-Identifier: Apache-2.0
// On a busy node a newcomer waits behind all that runs, several times as long as starting takes.
// Until sampling has begun we come first, where we may; what the user wants us to be we are again
// then.
#pragma once
#include <stdbool.h>

struct loop;
struct timer;
struct hurry {
	struct timer *timer;
	int nice; // as we were started, while `on`
	bool on;
};
void hurry_begin(struct hurry *h);
// Ends it in a moment: 0 or -ENOMEM. H must stay until hurry_end.
int hurry_ends(struct hurry *h, struct loop *loop);
void hurry_end(struct hurry *h); // now; more than once is fine
