/* SPDX-License-Identifier: BSD-3-Clause */
/* A test-and-set lock for what several workers may write, taken once a burst. */
#ifndef SOFTIOV_BASE_SPINLOCK_H
#define SOFTIOV_BASE_SPINLOCK_H

#include <stdatomic.h>
#include <stdbool.h>

struct spinlock {
	atomic_uint held;
};

static inline void cpu_relax(void)
{
#if defined(__x86_64__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ volatile("yield");
#endif
}

static inline void spin_lock(struct spinlock *l)
{
	while (atomic_exchange_explicit(&l->held, 1, memory_order_acquire) != 0)
		while (atomic_load_explicit(&l->held, memory_order_relaxed) != 0)
			cpu_relax();
}

/* True: the lock is the caller's now. */
static inline bool spin_trylock(struct spinlock *l)
{
	return atomic_exchange_explicit(&l->held, 1, memory_order_acquire) == 0;
}

/* A moment ago; for what can do without being sure that it is free. */
static inline bool spin_is_held(struct spinlock *l)
{
	return atomic_load_explicit(&l->held, memory_order_acquire) != 0;
}

static inline void spin_unlock(struct spinlock *l)
{
	atomic_store_explicit(&l->held, 0, memory_order_release);
}

#endif
