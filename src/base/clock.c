/* SPDX-License-Identifier: BSD-3-Clause */
#include <stdatomic.h>

#include "base/clock.h"

uint64_t clock_hz(void)
{
	static _Atomic uint64_t hz;
	struct timespec pause = { .tv_nsec = 10000000 };
	uint64_t t0, t1, c0, c1;

	if (hz != 0)
		return hz;
	t0 = clock_ns();
	c0 = clock_cycles();
	nanosleep(&pause, NULL);
	t1 = clock_ns();
	c1 = clock_cycles();
	hz = (uint64_t)((double)(c1 - c0) * 1e9 / (double)(t1 - t0));
	return hz;
}
