// SPDX-License-Identifier: Apache-2.0
#include "hurry.h"

#include "../base/base.h"
#include "../loop/loop.h"

#include <errno.h>
#include <string.h>
#include <sys/resource.h>

#define HURRY_NICE -20
#define HURRY_NS (100 * NS_PER_MS) // after sampling began

void hurry_begin(struct hurry *h)
{
	errno = 0;
	h->nice = getpriority(PRIO_PROCESS, 0);
	h->on = !errno && setpriority(PRIO_PROCESS, 0, HURRY_NICE) == 0;
}

static void on_timer(void *arg)
{
	hurry_end(arg);
}

int hurry_ends(struct hurry *h, struct loop *loop)
{
	if (!h->on)
		return 0;
	h->timer = loop_timer(loop, HURRY_NS, 0, on_timer, h);
	return h->timer ? 0 : -ENOMEM;
}

void hurry_end(struct hurry *h)
{
	if (h->on && setpriority(PRIO_PROCESS, 0, h->nice) < 0)
		log_error("back to nice %d: %s", h->nice, strerror(errno));
	h->on = false;
	timer_free(h->timer);
	h->timer = NULL;
}
