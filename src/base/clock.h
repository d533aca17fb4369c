/* SPDX-License-Identifier: BSD-3-Clause */
/* Time. clock_ns is for timers and rates; clock_cycles is what the data path counts with. */
#ifndef SOFTIOV_BASE_CLOCK_H
#define SOFTIOV_BASE_CLOCK_H

#include <stdint.h>
#include <time.h>

static inline uint64_t clock_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* The CPU's constant-rate counter: TSC on x86, the generic timer on arm64. */
static inline uint64_t clock_cycles(void)
{
#if defined(__x86_64__)
	return __builtin_ia32_rdtsc();
#elif defined(__aarch64__)
	uint64_t v;

	__asm__ volatile("mrs %0, cntvct_el0" : "=r"(v));
	return v;
#else
	return clock_ns();
#endif
}

/* Cycles in a second, measured once against CLOCK_MONOTONIC at the first call (takes 10 ms). */
uint64_t clock_hz(void);

#endif
