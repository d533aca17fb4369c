/* SPDX-License-Identifier: BSD-3-Clause */
/* What a worker does: forwarding, quiescence, sleep, limits. */
#include <pthread.h>

#include "worker/worker_test.h"

static void test_forwards_and_counts(void **state)
{
	struct workers *workers = start(2, 500);
	uint64_t frames = 0, rounds = 0, pulls = 0;
	struct endpoint_stats sum;
	struct worker_stats stats;

	for (unsigned int q = 0; q < N_TXQ; q++)
		atomic_store(&devices[0].source[q].supply, 1000 + (int)q);
	assert_int_equal(workers_add(workers, &devices[0].ep, &sw, 0), 0);
	assert_true(reaches(&devices[1].received, 3003));
	workers_del(workers, &devices[0].ep); /* now the last round is counted, too */
	for (unsigned int i = 0; i < 2; i++) {
		worker_stats(workers, i, &stats);
		assert_int_equal(stats.n_queues, 0);
		assert_true(stats.frames == 0 || stats.cycles_busy > 0);
		frames += stats.frames;
		rounds += stats.rounds_busy;
	}
	for (unsigned int q = 0; q < N_TXQ; q++) {
		assert_int_equal(devices[0].source[q].pulls, devices[0].source[q].done);
		pulls += devices[0].source[q].pulls;
	}
	assert_int_equal(frames, 3003);
	assert_true(rounds > 0 && rounds <= pulls);
	assert_int_equal(devices[1].received, 3003);
	workers_stop(workers);
	endpoint_stats_sum(&devices[0].ep, &sum);
	assert_int_equal(sum.tx_frames, 3003);
	assert_int_equal(sum.tx_bytes, 3003 * 64);
	endpoint_stats_sum(&devices[1].ep, &sum);
	assert_int_equal(sum.rx_frames, 3003);
	assert_int_equal(errors(), 0);
}

/* A new snapshot is used, and the old one may be freed once quiesce has returned. */
static void test_snapshots_in_traffic(void **state)
{
	struct workers *workers = start(1, 100);
	struct port_config port[2];
	int ret;

	memcpy(port, sw.snapshot->port, sizeof(port));
	supply_all(0, -1);
	assert_int_equal(workers_add(workers, &devices[0].ep, &sw, 0), 0);
	for (unsigned int round = 0; round < 200; round++) {
		struct switch_snapshot *old;

		port[1].endpoint[0] = round % 2 ? &devices[1].ep : &devices[2].ep;
		old = switch_publish(&sw, port, 2, &ret);
		assert_int_equal(ret, 0);
		worker_quiesce(workers);
		memset(old->port, 0xee, sizeof(port)); /* whoever still reads it comes to grief */
		switch_snapshot_free(old);
		if (round % 50 < 2)
			assert_true(reaches(&devices[1 + (round + 1) % 2].received,
					    devices[1 + (round + 1) % 2].received + 1));
	}
	workers_stop(workers);
	assert_int_equal(errors(), 0);
}

/* If it waited, the worker would begin another sleep for each time. */
static void test_quiesce_does_not_wait_for_sleepers(void **state)
{
	struct workers *workers = start(1, 5000);
	struct worker_stats before, after;
	const unsigned int times = 1000;

	do {
		usleep(1000);
		worker_stats(workers, 0, &before);
	} while (before.sleeps < 200);
	/* Another try if something else had the processor meanwhile. */
	for (unsigned int try = 0; try < 10; try++) {
		worker_stats(workers, 0, &before);
		for (unsigned int i = 0; i < times; i++)
			worker_quiesce(workers);
		worker_stats(workers, 0, &after);
		if (after.sleeps - before.sleeps < times / 2)
			break;
	}
	assert_true(after.sleeps - before.sleeps < times / 2);
	assert_int_equal(after.frames, 0);
	assert_int_equal(after.rounds_busy, 0);
	workers_stop(workers);
}

static atomic_bool quiesced;

static void *quiesce_main(void *arg)
{
	worker_quiesce(arg);
	atomic_store(&quiesced, true);
	return NULL;
}

static void test_quiesce_waits_for_busy(void **state)
{
	struct workers *workers = start(1, 100);
	struct source *s = &devices[0].source[0];
	uint64_t end = clock_ns() + PATIENCE_NS;
	pthread_t thread;

	supply_all(0, -1);
	assert_int_equal(workers_add(workers, &devices[0].ep, &sw, 0), 0);
	atomic_store(&s->hold, true); /* not before: workers_add waits for the worker itself */
	while (!atomic_load(&s->held) && clock_ns() < end)
		usleep(100);
	assert_true(atomic_load(&s->held));
	atomic_store(&quiesced, false);
	assert_int_equal(pthread_create(&thread, NULL, quiesce_main, workers), 0);
	usleep(50000);
	assert_false(atomic_load(&quiesced)); /* the worker still holds what it saw */
	atomic_store(&s->hold, false);
	pthread_join(thread, NULL);
	/* And one that always finds frames does not keep anybody waiting. */
	for (unsigned int i = 0; i < 100; i++)
		worker_quiesce(workers);
	workers_stop(workers);
	assert_int_equal(errors(), 0);
}

/* Several threads may wait at the same time. */
static void test_quiesce_in_parallel(void **state)
{
	struct workers *workers = start(2, 100);
	pthread_t thread[4];

	supply_all(0, -1);
	assert_int_equal(workers_add(workers, &devices[0].ep, &sw, 0), 0);
	for (unsigned int round = 0; round < 20; round++) {
		for (unsigned int i = 0; i < 4; i++)
			assert_int_equal(pthread_create(&thread[i], NULL, quiesce_main, workers),
					 0);
		for (unsigned int i = 0; i < 4; i++)
			pthread_join(thread[i], NULL);
	}
	workers_stop(workers);
}

static void test_idle_sleeps_and_wakes(void **state)
{
	struct workers *workers = start(1, 1000);
	struct worker_stats stats;
	uint64_t end = clock_ns() + PATIENCE_NS;

	assert_int_equal(workers_add(workers, &devices[0].ep, &sw, 0), 0);
	do {
		usleep(1000);
		worker_stats(workers, 0, &stats);
	} while (stats.sleeps < 20 && clock_ns() < end);
	assert_true(stats.sleeps >= 20);
	supply_all(0, 1);
	assert_true(reaches(&devices[1].received, N_TXQ));
	workers_stop(workers);
	assert_int_equal(devices[1].received, N_TXQ);
}

/* Beside a queue that is never empty, others that come to life after a long time are served as well. */
static void test_cold_queues(void **state)
{
	struct workers *workers = start(1, 5000);
	struct source *busy = &devices[0].source[0];
	uint64_t pulls;

	for (unsigned int i = 0; i < N_EPS; i++)
		if (i != 1)
			assert_int_equal(workers_add(workers, &devices[i].ep, &sw, 0), 0);
	atomic_store(&busy->supply, -1);
	for (unsigned int round = 0; round < 10; round++) {
		/* Long enough for all others to count as cold. */
		pulls = atomic_load(&busy->pulls) + 2000;
		assert_true(reaches(&busy->pulls, pulls));
		for (unsigned int i = 2; i < N_EPS; i++)
			for (unsigned int q = 0; q < N_TXQ; q++) {
				struct source *s = &devices[i].source[q];
				uint64_t pulled = atomic_load(&s->pulled);

				atomic_store(&s->supply, 5);
				assert_true(reaches(&s->pulled, pulled + 5));
			}
	}
	workers_stop(workers);
	assert_int_equal(devices[1].disorder, 0);
	assert_int_equal(errors(), 0);
}

/* --- limits --- */

static struct arbiter arbiter;

/* Beside one that may send what it can, a limited queue gets its rate: no more since then, and all that waited once
 * it may again. */
static void test_limited(void **state)
{
	struct workers *workers = start(1, 5000);
	struct source *limited = &devices[2].source[0];
	uint64_t since = clock_ns(), most;

	memset(&arbiter, 0, sizeof(arbiter));
	bucket_set(&arbiter.tx, 80000, 1000, since);
	supply_all(0, -1);
	assert_int_equal(workers_add(workers, &devices[0].ep, &sw, 0), 0);
	assert_int_equal(workers_add(workers, &devices[2].ep, &sw, 0), 0);
	workers_limit(workers, &devices[2].ep, &arbiter);
	atomic_store(&limited->supply, -1);
	assert_true(reaches(&devices[0].source[0].pulled, 20000));
	assert_true(reaches(&limited->pulled, 20));
	/* The other order would let it send a little more meanwhile. Overdrawn by a visit's frames at most. */
	atomic_store(&limited->supply, 0);
	worker_quiesce(workers);
	most = (clock_ns() - since) * 10 / 1000000 + 1000;
	assert_true(limited->pulled * 64 <= most + 4ul * 64);
	assert_true(arbiter.waited_frames > 0 && arbiter.waited_frames <= limited->pulled);
	assert_int_equal(arbiter.waited_bytes, arbiter.waited_frames * 64);
	workers_limit(workers, &devices[2].ep, NULL);
	atomic_store(&limited->supply, 10000);
	assert_true(reaches(&limited->pulled, 10000));
	workers_stop(workers);
	assert_int_equal(devices[1].disorder, 0);
	assert_int_equal(errors(), 0);
}

/* A worker all of whose queues wait sleeps until their turn: it looks at each about once a millisecond. */
static void test_waits_asleep(void **state)
{
	struct workers *workers = start(1, 5000);
	uint64_t since, looks = 0;

	memset(&arbiter, 0, sizeof(arbiter));
	assert_int_equal(workers_add(workers, &devices[2].ep, &sw, 0), 0);
	workers_limit(workers, &devices[2].ep, &arbiter);
	bucket_set(&arbiter.tx, BUCKET_RATE_MIN, 0, clock_ns());
	bucket_take(&arbiter.tx, 1000000, clock_ns());
	/* All have been refused. */
	for (unsigned int q = 0; q < N_TXQ; q++)
		assert_true(reaches(&devices[2].source[q].looks, devices[2].source[q].looks + 2));
	supply_all(2, -1);
	since = clock_ns();
	for (unsigned int q = 0; q < N_TXQ; q++)
		looks -= devices[2].source[q].looks;
	usleep(200000);
	for (unsigned int q = 0; q < N_TXQ; q++)
		looks += devices[2].source[q].looks;
	assert_true(looks <= N_TXQ * ((clock_ns() - since) / 1000000 + 2));
	assert_int_equal(devices[1].received, 0);
	/* It is woken like any other sleeper, and its queues have their turn when there are tokens again. */
	bucket_set(&arbiter.tx, 0, 0, clock_ns());
	assert_true(reaches(&devices[1].received, 1000));
	workers_stop(workers);
	assert_int_equal(errors(), 0);
}

static bool share_evenly(uint64_t pulled[N_TXQ])
{
	uint64_t sum = 0;

	for (unsigned int q = 0; q < N_TXQ; q++) {
		pulled[q] = devices[2].source[q].pulled - pulled[q];
		sum += pulled[q];
	}
	for (unsigned int q = 0; q < N_TXQ; q++)
		if (pulled[q] * N_TXQ <= sum * 3 / 4 || pulled[q] * N_TXQ >= sum * 5 / 4)
			return false;
	return true;
}

/* Queues that share a bucket take turns. A worker that has to wait for a processor finds the bucket full each time, and
 * all its queues due: so the best of several looks. */
static void test_shared_bucket(void **state)
{
	struct workers *workers = start(1, 5000);
	bool even = false;

	memset(&arbiter, 0, sizeof(arbiter));
	bucket_set(&arbiter.tx, 4000000, 0, clock_ns());
	assert_int_equal(workers_add(workers, &devices[2].ep, &sw, 0), 0);
	workers_limit(workers, &devices[2].ep, &arbiter);
	supply_all(2, -1);
	for (unsigned int look = 0; look < 4 && !even; look++) {
		uint64_t pulled[N_TXQ];

		for (unsigned int q = 0; q < N_TXQ; q++)
			pulled[q] = devices[2].source[q].pulled;
		assert_true(reaches(&devices[1].received, devices[1].received + 3000));
		even = share_evenly(pulled);
	}
	workers_stop(workers);
	assert_true(even);
	assert_int_equal(errors(), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_forwards_and_counts),
		TEST(test_snapshots_in_traffic),
		TEST(test_quiesce_does_not_wait_for_sleepers),
		TEST(test_quiesce_waits_for_busy),
		TEST(test_quiesce_in_parallel),
		TEST(test_idle_sleeps_and_wakes),
		TEST(test_cold_queues),
		TEST(test_limited),
		TEST(test_waits_asleep),
		TEST(test_shared_bucket),
	};

	return cmocka_run_group_tests_name("loop", tests, NULL, NULL);
}
