/* SPDX-License-Identifier: BSD-3-Clause */
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "capture/ring.h"

struct numbered {
	struct ring_head head;
	uint64_t number;
	uint8_t fill[];
};

static struct ring ring;

static int setup(void **state)
{
	return ring_init(&ring);
}

static int teardown(void **state)
{
	ring_fini(&ring);
	return 0;
}

static bool push(uint64_t number, uint32_t size)
{
	struct numbered *r = ring_reserve(&ring, size);

	if (r == NULL)
		return false;
	r->number = number;
	ring_push(&ring, r);
	return true;
}

static uint64_t pop(void)
{
	const struct numbered *r = ring_peek(&ring);
	uint64_t number;

	if (r == NULL)
		return UINT64_MAX;
	number = r->number;
	ring_pop(&ring, r);
	return number;
}

static void test_full(void **state)
{
	uint64_t n = 0;

	assert_int_equal(pop(), UINT64_MAX);
	while (push(n, 4096))
		n++;
	assert_int_equal(n, RING_SIZE / 4096);
	assert_false(push(n, 16));
	assert_int_equal(pop(), 0);
	assert_true(push(n, 16));
	for (uint64_t i = 1; i <= n; i++)
		assert_int_equal(pop(), i);
	assert_int_equal(pop(), UINT64_MAX);
}

/* Records never lie across the ring's end, whatever their sizes. */
static void test_wraps(void **state)
{
	uint64_t in = 0, out = 0;

	for (uint32_t round = 0; round < 200000; round++) {
		uint32_t size = 16 + round * 2654435761u % 70000 / 8 * 8;
		const struct numbered *r;

		while (!push(in, size))
			assert_int_equal(pop(), out++);
		in++;
		r = ring_peek(&ring);
		assert_true((const uint8_t *)r + r->head.size <= ring.bytes + RING_SIZE);
	}
	while (out < in)
		assert_int_equal(pop(), out++);
	assert_int_equal(pop(), UINT64_MAX);
}

#define N_THREADED 300000u

static void *produce(void *arg)
{
	for (uint64_t i = 0; i < N_THREADED;)
		if (push(i, 16 + (uint32_t)(i % 500) * 8))
			i++;
		else
			sched_yield();
	return NULL;
}

static void test_threads(void **state)
{
	pthread_t thread;

	assert_int_equal(pthread_create(&thread, NULL, produce, NULL), 0);
	for (uint64_t i = 0; i < N_THREADED;) {
		uint64_t got = pop();

		if (got == UINT64_MAX) {
			sched_yield();
			continue;
		}
		assert_int_equal(got, i);
		i++;
	}
	pthread_join(thread, NULL);
	assert_int_equal(pop(), UINT64_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_full, setup, teardown),
		cmocka_unit_test_setup_teardown(test_wraps, setup, teardown),
		cmocka_unit_test_setup_teardown(test_threads, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
