/* SPDX-License-Identifier: BSD-3-Clause */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/clock.h"
#include "switch/fdb.h"

#define MAC(n) (0x020000000000ull | (uint64_t)(n))

/* Addresses whose key falls into bucket (or slot) 0 of a table of this mask. */
static uint64_t colliding(uint32_t mask, uint64_t high_bits, unsigned int nth)
{
	for (uint64_t mac = 1;; mac++)
		if ((fdb_hash(high_bits | mac) & mask) == 0 && nth-- == 0)
			return mac;
}

static void test_static(void **state)
{
	for (unsigned int n = 0; n < 600; n += n < 10 ? 1 : 97) {
		struct fdb_static *fdb = fdb_static_new(n);

		assert_non_null(fdb);
		assert_int_equal(fdb_static_find(fdb, 0), FDB_NONE); /* an empty slot is no MAC 0 */
		assert_int_equal(fdb_static_find(fdb, 0xffffffffffff), FDB_NONE);
		for (unsigned int i = 0; i < n; i++)
			assert_true(fdb_static_add(fdb, MAC(i), (uint16_t)i));
		for (unsigned int i = 0; i < n; i++) {
			assert_false(fdb_static_add(fdb, MAC(i), 9));
			assert_int_equal(fdb_static_find(fdb, MAC(i)), i);
		}
		for (unsigned int i = n; i < n + 1000; i++)
			assert_int_equal(fdb_static_find(fdb, MAC(i)), FDB_NONE);
		assert_int_equal(fdb_static_find(fdb, 0), FDB_NONE);
		free(fdb);
	}
}

/* All in one slot's chain, which also runs over the end of the table. */
static void test_static_collisions(void **state)
{
	enum {
		N = 12
	};
	struct fdb_static *fdb = fdb_static_new(N);
	uint64_t mac[N + 1];

	for (unsigned int i = 0; i <= N; i++)
		mac[i] = colliding(fdb->mask, 0, i);
	for (unsigned int i = 0; i < N; i++)
		assert_true(fdb_static_add(fdb, mac[i], (uint16_t)(511 - i)));
	for (unsigned int i = 0; i < N; i++)
		assert_int_equal(fdb_static_find(fdb, mac[i]), 511 - i);
	assert_int_equal(fdb_static_find(fdb, mac[N]), FDB_NONE);
	free(fdb);

	fdb = fdb_static_new(4);
	assert_int_equal(fdb->mask, 15);
	for (uint64_t m = 1, n = 0; n < 4; m++)
		if ((fdb_hash(m) & 15) == 15)
			mac[n++] = m;
	for (unsigned int i = 0; i < 4; i++)
		assert_true(fdb_static_add(fdb, mac[i], (uint16_t)i));
	for (unsigned int i = 0; i < 4; i++)
		assert_int_equal(fdb_static_find(fdb, mac[i]), i);
	free(fdb);
}

static void test_learn(void **state)
{
	struct fdb *fdb = fdb_new(1024, 100);

	assert_int_equal(fdb_find(fdb, MAC(1), 5), FDB_NONE);
	fdb_learn(fdb, MAC(1), 5, 7, 10);
	assert_int_equal(fdb_find(fdb, MAC(1), 5), 7);
	assert_int_equal(fdb_find(fdb, MAC(1), 6), FDB_NONE); /* another VLAN is another address */
	assert_int_equal(fdb_find(fdb, MAC(1), 0), FDB_NONE);
	fdb_learn(fdb, MAC(1), 6, 8, 10);
	fdb_learn(fdb, MAC(1), 4095, FDB_PORTS - 1, 10);
	assert_int_equal(fdb_find(fdb, MAC(1), 5), 7);
	assert_int_equal(fdb_find(fdb, MAC(1), 6), 8);
	assert_int_equal(fdb_find(fdb, MAC(1), 4095), FDB_PORTS - 1);
	assert_int_equal(fdb_count(fdb), 3);
	/* It moves to another port. */
	fdb_learn(fdb, MAC(1), 5, 8, 10);
	assert_int_equal(fdb_find(fdb, MAC(1), 5), 8);
	assert_int_equal(fdb_count(fdb), 3);
	assert_int_equal(fdb_count_of(fdb, 7), 0);
	assert_int_equal(fdb_count_of(fdb, 8), 2);
	/* Heard again and again: nothing more. */
	for (uint32_t t = 0; t < 100; t++)
		fdb_learn(fdb, MAC(1), 5, 8, t);
	assert_int_equal(fdb_count(fdb), 3);
	assert_int_equal(fdb_refused(fdb), 0);
	fdb_free(fdb);
	fdb_free(NULL);
}

/* The MAC 0 in VLAN 0 is an address like another and no empty place. */
static void test_learn_zero(void **state)
{
	struct fdb *fdb = fdb_new(16, 100);

	assert_int_equal(fdb_find(fdb, 0, 0), FDB_NONE);
	for (uint32_t t = 0; t < 50; t++)
		fdb_learn(fdb, 0, 0, 3, t);
	assert_int_equal(fdb_count(fdb), 1);
	assert_int_equal(fdb_count_of(fdb, 3), 1);
	assert_int_equal(fdb_find(fdb, 0, 0), 3);
	fdb_flush(fdb, 3);
	assert_int_equal(fdb_count(fdb), 0);
	assert_int_equal(fdb_find(fdb, 0, 0), FDB_NONE);
	fdb_free(fdb);
}

static void test_limit(void **state)
{
	struct fdb *fdb = fdb_new(4096, 10);

	for (unsigned int i = 0; i < 30; i++)
		fdb_learn(fdb, MAC(i), 1, 1, 5);
	assert_int_equal(fdb_count_of(fdb, 1), 10);
	assert_int_equal(fdb_refused(fdb), 20);
	/* Another port has its own. */
	fdb_learn(fdb, MAC(100), 1, 2, 5);
	assert_int_equal(fdb_count_of(fdb, 2), 1);
	/* An address that is known is heard again at the limit, but none moves there. */
	fdb_learn(fdb, MAC(0), 1, 1, 6);
	fdb_learn(fdb, MAC(100), 1, 1, 6);
	assert_int_equal(fdb_find(fdb, MAC(100), 1), 2);
	assert_int_equal(fdb_refused(fdb), 21);
	fdb_set_limit(fdb, 11);
	fdb_learn(fdb, MAC(100), 1, 1, 6);
	assert_int_equal(fdb_find(fdb, MAC(100), 1), 1);
	assert_int_equal(fdb_count_of(fdb, 2), 0);
	fdb_set_limit(fdb, 0);
	fdb_learn(fdb, MAC(101), 1, 3, 6);
	assert_int_equal(fdb_count_of(fdb, 3), 0);
	assert_int_equal(fdb_count(fdb), 11);
	fdb_free(fdb);
}

/* One bucket of four: the oldest gives way, but never to one as old. */
static void test_replacement(void **state)
{
	struct fdb *fdb = fdb_new(4, 100);

	for (unsigned int i = 0; i < 4; i++)
		fdb_learn(fdb, MAC(i), 0, (uint16_t)i, 10 + i);
	fdb_learn(fdb, MAC(4), 0, 4, 20); /* in the place of MAC(0) */
	assert_int_equal(fdb_find(fdb, MAC(0), 0), FDB_NONE);
	assert_int_equal(fdb_count_of(fdb, 0), 0);
	for (unsigned int i = 1; i <= 4; i++)
		assert_int_equal(fdb_find(fdb, MAC(i), 0), i);
	fdb_learn(fdb, MAC(1), 0, 1, 21); /* heard again: now MAC(2) is the oldest */
	fdb_learn(fdb, MAC(5), 0, 5, 21);
	assert_int_equal(fdb_find(fdb, MAC(1), 0), 1);
	assert_int_equal(fdb_find(fdb, MAC(2), 0), FDB_NONE);
	assert_int_equal(fdb_count(fdb), 4);
	for (unsigned int i = 3; i <= 5; i++)
		fdb_learn(fdb, MAC(i), 0, (uint16_t)i, 21);
	fdb_learn(fdb, MAC(6), 0, 6, 21);
	assert_int_equal(fdb_find(fdb, MAC(6), 0), FDB_NONE);
	assert_int_equal(fdb_refused(fdb), 1);
	assert_int_equal(fdb_count(fdb), 4);
	fdb_free(fdb);
}

static void test_age_and_flush(void **state)
{
	struct fdb *fdb = fdb_new(1024, 1000);

	for (unsigned int i = 0; i < 20; i++)
		fdb_learn(fdb, MAC(i), 1, (uint16_t)(i % 2), 100 + i);
	fdb_age(fdb, 1000, 0); /* never */
	assert_int_equal(fdb_count(fdb), 20);
	fdb_age(fdb, 50, 300); /* younger than age_s in all */
	assert_int_equal(fdb_count(fdb), 20);
	fdb_age(fdb, 410, 300); /* 110 stays */
	assert_int_equal(fdb_count(fdb), 10);
	assert_int_equal(fdb_find(fdb, MAC(9), 1), FDB_NONE);
	assert_int_equal(fdb_find(fdb, MAC(10), 1), 0);
	assert_int_equal(fdb_count_of(fdb, 0), 5);
	assert_int_equal(fdb_count_of(fdb, 1), 5);
	fdb_learn(fdb, MAC(10), 1, 0, 500);
	fdb_age(fdb, 800, 300);
	assert_int_equal(fdb_count(fdb), 1);
	fdb_learn(fdb, MAC(1), 1, 1, 800);
	fdb_flush(fdb, 0);
	assert_int_equal(fdb_find(fdb, MAC(10), 1), FDB_NONE);
	assert_int_equal(fdb_find(fdb, MAC(1), 1), 1);
	fdb_flush(fdb, 1);
	fdb_flush(fdb, 1);
	assert_int_equal(fdb_count(fdb), 0);
	fdb_free(fdb);
}

/* Counts against a recount, under random learning, ageing and flushing in a table that is too small. */
static void test_counts(void **state)
{
	enum {
		MACS = 200,
		PORTS = 5
	};
	struct fdb *fdb = fdb_new(64, 20);

	srand(20);
	for (uint32_t t = 1; t < 3000; t++) {
		uint32_t n_of[PORTS] = { 0 }, n = 0;

		fdb_learn(fdb, MAC(rand() % MACS), (uint16_t)(rand() % 2),
			  (uint16_t)(rand() % PORTS), t / 3);
		if (t % 50 == 0)
			fdb_age(fdb, t / 3, 10);
		if (t % 77 == 0)
			fdb_flush(fdb, (uint16_t)(rand() % PORTS));
		for (unsigned int i = 0; i < 2 * MACS; i++) {
			uint16_t port = fdb_find(fdb, MAC(i / 2), i % 2);

			if (port == FDB_NONE)
				continue;
			n_of[port]++;
			n++;
		}
		assert_int_equal(fdb_count(fdb), n);
		for (uint16_t p = 0; p < PORTS; p++) {
			assert_int_equal(fdb_count_of(fdb, p), n_of[p]);
			assert_true(n_of[p] <= 20);
		}
	}
	assert_true(fdb_refused(fdb) > 0);
	fdb_free(fdb);
}

/* Readers beside a writer: an address is unknown or on one of its own two ports, never elsewhere. */
struct race {
	struct fdb *fdb;
	atomic_bool stop;
	_Atomic uint64_t hits, wrong;
};
#define RACE_MACS 8

static void *race_reader(void *arg)
{
	struct race *r = arg;

	for (unsigned int i = 0; !atomic_load(&r->stop); i = (i + 1) % RACE_MACS) {
		uint16_t port = fdb_find(r->fdb, MAC(i), 3);

		if (port == FDB_NONE)
			continue;
		atomic_fetch_add(&r->hits, 1);
		if (port / 2 != i)
			atomic_fetch_add(&r->wrong, 1);
	}
	return NULL;
}

static void *race_writer(void *arg)
{
	struct race *r = arg;

	for (uint32_t t = 1; !atomic_load(&r->stop); t++) {
		unsigned int i = t * 7 % RACE_MACS;

		fdb_learn(r->fdb, MAC(i), 3, (uint16_t)(2 * i + t / 100 % 2), t);
		(void)fdb_count_of(r->fdb, 1);
	}
	return NULL;
}

static void test_concurrent(void **state)
{
	struct race r = { .fdb = fdb_new(4, 100) };
	struct timespec moment = { .tv_nsec = 1000000 };
	uint64_t end = clock_ns() + 300000000;
	pthread_t thread[3];
	uint32_t sum = 0;

	for (unsigned int i = 0; i < 3; i++)
		assert_int_equal(
			pthread_create(&thread[i], NULL, i < 2 ? race_reader : race_writer, &r), 0);
	/* At least 300 ms, and until the readers have seen something. */
	while (clock_ns() < end || atomic_load(&r.hits) == 0) {
		fdb_flush(r.fdb, 4);
		nanosleep(&moment, NULL);
	}
	atomic_store(&r.stop, true);
	for (unsigned int i = 0; i < 3; i++)
		pthread_join(thread[i], NULL);
	assert_int_equal(r.wrong, 0);
	for (uint16_t p = 0; p < 2 * RACE_MACS; p++)
		sum += fdb_count_of(r.fdb, p);
	assert_int_equal(fdb_count(r.fdb), sum);
	fdb_free(r.fdb);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_static),        cmocka_unit_test(test_static_collisions),
		cmocka_unit_test(test_learn),         cmocka_unit_test(test_learn_zero),
		cmocka_unit_test(test_limit),         cmocka_unit_test(test_replacement),
		cmocka_unit_test(test_age_and_flush), cmocka_unit_test(test_counts),
		cmocka_unit_test(test_concurrent),
	};

	return cmocka_run_group_tests_name("fdb", tests, NULL, NULL);
}
