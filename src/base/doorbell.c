/* SPDX-License-Identifier: BSD-3-Clause */
#include <linux/futex.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/doorbell.h"

void doorbell_sleep(struct doorbell *d, unsigned int us)
{
	struct timespec t = { .tv_sec = us / 1000000, .tv_nsec = (long)(us % 1000000) * 1000 };
	unsigned int quiet = DOORBELL_QUIET;

	if (atomic_compare_exchange_strong(&d->state, &quiet, DOORBELL_ASLEEP))
		syscall(SYS_futex, &d->state, FUTEX_WAIT_PRIVATE, DOORBELL_ASLEEP, &t, NULL, 0);
}

void doorbell_ring(struct doorbell *d)
{
	if (atomic_load(&d->state) != DOORBELL_RUNG &&
	    atomic_exchange(&d->state, DOORBELL_RUNG) == DOORBELL_ASLEEP)
		syscall(SYS_futex, &d->state, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}
