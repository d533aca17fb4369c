/* SPDX-License-Identifier: BSD-3-Clause */
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/cpu.h"

#if defined(__x86_64__)
#define PORTABLE_NAME "sse4.2"
#else
#define PORTABLE_NAME "portable"
#endif

static const char *const names[CPU_LEVELS] = { PORTABLE_NAME, "avx2" };

const char *cpu_level_name(enum cpu_level level)
{
	return names[level];
}

bool cpu_level_parse(const char *name, enum cpu_level *level)
{
	for (unsigned int i = 0; i < CPU_LEVELS; i++) {
		if (strcmp(name, names[i]) == 0) {
			*level = (enum cpu_level)i;
			return true;
		}
	}
	return false;
}

enum cpu_level cpu_level_max(void)
{
#if defined(__x86_64__)
	/* The compiler's run-time asks the system (XGETBV) as well. */
	if (__builtin_cpu_supports("avx2"))
		return CPU_AVX2;
#endif
	return CPU_PORTABLE;
}

enum cpu_level cpu_level(void)
{
	static atomic_uint found; /* level + 1 */
	unsigned int known = atomic_load_explicit(&found, memory_order_relaxed);
	enum cpu_level level, wanted;
	const char *env;

	if (known != 0)
		return (enum cpu_level)(known - 1);
	level = cpu_level_max();
	env = getenv("SOFTIOV_CPU");
	if (env != NULL && cpu_level_parse(env, &wanted) && wanted < level)
		level = wanted;
	atomic_store_explicit(&found, level + 1, memory_order_relaxed);
	return level;
}
