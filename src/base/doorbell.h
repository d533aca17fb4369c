/* SPDX-License-Identifier: BSD-3-Clause */
/* Wakes a thread that polls and now and then sleeps.
 *
 * The sleeper clears the doorbell, looks for work, and sleeps if there was none. Whoever makes work
 * rings afterwards. Either the sleeper's look comes after the work, or its sleep sees the ring: no work
 * waits for the end of a sleep. Ringing a thread that is awake costs an atomic operation and no
 * system call, and nothing at all if it has been rung already.
 */
#ifndef SOFTIOV_BASE_DOORBELL_H
#define SOFTIOV_BASE_DOORBELL_H

#include <stdatomic.h>
#include <stdbool.h>

enum doorbell_state {
	DOORBELL_QUIET,
	DOORBELL_RUNG,
	DOORBELL_ASLEEP,
};

/* Zeroed: quiet. */
struct doorbell {
	atomic_uint state; /* enum doorbell_state; a futex */
};

/* The sleeper only. Before it looks for work. Returns whether it was rung since the last time. */
static inline bool doorbell_clear(struct doorbell *d)
{
	return atomic_load_explicit(&d->state, memory_order_relaxed) != DOORBELL_QUIET &&
	       atomic_exchange(&d->state, DOORBELL_QUIET) == DOORBELL_RUNG;
}

/* The sleeper only, one thread. Returns after `us` microseconds, when it is rung, or at once if it has
 * been since it was cleared. */
void doorbell_sleep(struct doorbell *d, unsigned int us);

/* Any thread. */
void doorbell_ring(struct doorbell *d);

#endif
