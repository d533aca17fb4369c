/* SPDX-License-Identifier: BSD-3-Clause */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/doorbell.h"

#define LONG_US 20000000u
#define LONG_NS (LONG_US * 1000ull)

static void test_times_out(void **state)
{
	struct doorbell d = { 0 };
	uint64_t from = clock_ns();

	doorbell_clear(&d);
	doorbell_sleep(&d, 2000);
	assert_true(clock_ns() - from >= 1900000);
}

/* Rung between the look and the sleep, once or often: no sleep. After a clear it sleeps again. */
static void test_rung_before(void **state)
{
	struct doorbell d = { 0 };
	uint64_t from = clock_ns();

	for (unsigned int rings = 1; rings < 4; rings++) {
		assert_int_equal(doorbell_clear(&d), rings > 1);
		assert_false(doorbell_clear(&d));
		for (unsigned int i = 0; i < rings; i++)
			doorbell_ring(&d);
		doorbell_sleep(&d, LONG_US);
		doorbell_sleep(&d, LONG_US);
	}
	assert_true(clock_ns() - from < LONG_NS);
	from = clock_ns();
	assert_true(doorbell_clear(&d));
	doorbell_sleep(&d, 2000);
	assert_true(clock_ns() - from >= 1900000);
	assert_false(doorbell_clear(&d)); /* it timed out */
}

struct pair {
	struct doorbell bell[2];
	_Atomic unsigned int work[2];
	_Atomic unsigned int n_lost; /* sleeps that nobody ended */
};

#define TURNS 20000

static void turns(struct pair *p, unsigned int self)
{
	uint64_t from;

	for (unsigned int n = 0; n < TURNS; n++) {
		for (;;) {
			doorbell_clear(&p->bell[self]);
			if (atomic_load(&p->work[self]) > n)
				break;
			from = clock_ns();
			doorbell_sleep(&p->bell[self], LONG_US);
			if (clock_ns() - from >= LONG_NS)
				atomic_fetch_add(&p->n_lost, 1);
		}
		atomic_fetch_add(&p->work[!self], 1);
		doorbell_ring(&p->bell[!self]);
	}
}

static void *turns_main(void *arg)
{
	turns(arg, 1);
	return NULL;
}

/* Two threads hand work to each other; a ring that got lost would cost a whole sleep. */
static void test_no_ring_is_lost(void **state)
{
	static struct pair p;
	pthread_t thread;

	p.work[0] = 1;
	assert_int_equal(pthread_create(&thread, NULL, turns_main, &p), 0);
	turns(&p, 0);
	pthread_join(thread, NULL);
	assert_int_equal(p.work[1], TURNS);
	assert_int_equal(p.n_lost, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_times_out),
		cmocka_unit_test(test_rung_before),
		cmocka_unit_test(test_no_ring_is_lost),
	};

	return cmocka_run_group_tests_name("doorbell", tests, NULL, NULL);
}
