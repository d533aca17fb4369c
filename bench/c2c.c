/* SPDX-License-Identifier: BSD-3-Clause */
/* c2c CPU CPU: how long a cache line takes from one core to another and back, in ns.
 *
 * Prints the median of some short runs. A hypervisor may place two virtual cores on one core complex
 * now and on two a second later, so the benchmark tags each of its blocks with this. */
#include <err.h>
#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"

#define RUNS  9
#define TURNS 4000
#define APART 256 /* the two words must not share a line, nor a pair of lines */

struct words {
	uint64_t ping __attribute__((aligned(APART)));
	uint64_t pong __attribute__((aligned(APART)));
};

static struct words words;
static int cpu[2];

static void pin(int to)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(to, &set);
	if (sched_setaffinity(0, sizeof(set), &set) < 0)
		err(1, "processor %d", to);
}

static void *answer(void *arg)
{
	pin(cpu[1]);
	for (uint64_t i = 1; i <= (uint64_t)RUNS * TURNS; i++) {
		while (__atomic_load_n(&words.ping, __ATOMIC_ACQUIRE) != i)
			;
		__atomic_store_n(&words.pong, i, __ATOMIC_RELEASE);
	}
	return arg;
}

static int compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

int main(int argc, char **argv)
{
	uint64_t took[RUNS], turn = 0;
	pthread_t thread;

	if (argc != 3)
		errx(2, "usage: c2c CPU CPU");
	cpu[0] = atoi(argv[1]);
	cpu[1] = atoi(argv[2]);
	pin(cpu[0]);
	if (pthread_create(&thread, NULL, answer, NULL) != 0)
		return 1;
	for (unsigned int run = 0; run < RUNS; run++) {
		uint64_t from = clock_ns();

		for (unsigned int i = 0; i < TURNS; i++) {
			__atomic_store_n(&words.ping, ++turn, __ATOMIC_RELEASE);
			while (__atomic_load_n(&words.pong, __ATOMIC_ACQUIRE) != turn)
				;
		}
		took[run] = clock_ns() - from;
	}
	pthread_join(thread, NULL);
	qsort(took, RUNS, sizeof(took[0]), compare);
	printf("%llu\n", (unsigned long long)(took[RUNS / 2] / TURNS));
	return 0;
}
