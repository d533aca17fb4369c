/* SPDX-License-Identifier: BSD-3-Clause */
/* Which of a function's variants this CPU runs. The binary itself is for any x86-64-v2 (or arm64)
 * machine; what is compiled for more is called only at the level that needs it.
 *
 * A function gets variants where a measurement says that they pay, and not elsewhere: the C library
 * chooses its own memcpy, which the copies of frames use. Each has a portable twin, and a test that
 * compares the two. There is none for AVX-512: see frame/csum_x86.c. */
#ifndef SOFTIOV_BASE_CPU_H
#define SOFTIOV_BASE_CPU_H

#include <stdbool.h>

enum cpu_level {      /* each includes those before it */
	CPU_PORTABLE, /* what the compiler was told: x86-64-v2, arm64 */
	CPU_AVX2,
	CPU_LEVELS
};

/* The level in use, found at the first call: what the CPU has and the system keeps across context
 * switches, or less if the environment's SOFTIOV_CPU names a lower one. Any thread. */
enum cpu_level cpu_level(void);
/* What this CPU could do, whatever the environment says. */
enum cpu_level cpu_level_max(void);

/* As SOFTIOV_CPU and `host show` write it: sse4.2 (elsewhere: portable), avx2. */
const char *cpu_level_name(enum cpu_level level);
/* False: no level has this name. */
bool cpu_level_parse(const char *name, enum cpu_level *level);

#endif
