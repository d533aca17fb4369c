/* SPDX-License-Identifier: BSD-3-Clause */
/* Which queues each worker serves: coming, going and moving in full traffic. */
#include <errno.h>

#include "worker/worker_test.h"

static atomic_uint n_started;

static void count_start(void)
{
	atomic_fetch_add(&n_started, 1);
}

static void test_start_stop(void **state)
{
	struct worker_options options = { .n_cpus = 2,
					  .idle_us = 100,
					  .thread_start = count_start };
	struct workers *workers;
	unsigned int bad = 77;
	cpu_set_t may;

	assert_int_equal(sched_getaffinity(0, sizeof(may), &may), 0);
	while (!CPU_ISSET(options.cpu[0], &may))
		options.cpu[0]++;
	options.cpu[1] = options.cpu[0];
	for (unsigned int i = 0; i < 20; i++) {
		atomic_store(&n_started, 0);
		assert_int_equal(workers_start(&workers, &options, &bad), 0);
		workers_stop(workers);
		assert_int_equal(n_started, 2);
	}
	workers_stop(NULL);
	worker_quiesce(NULL);
	/* The second CPU is none: the first worker is stopped again. */
	options.cpu[1] = CPU_SETSIZE - 1;
	assert_int_equal(workers_start(&workers, &options, &bad), -EINVAL);
	assert_int_equal(bad, CPU_SETSIZE - 1);
	options.cpu[1] = 100000;
	assert_int_equal(workers_start(&workers, &options, &bad), -EINVAL);
	assert_int_equal(bad, 100000);
	options.n_cpus = 0;
	assert_int_equal(workers_start(&workers, &options, &bad), -EINVAL);
	options.n_cpus = WORKERS_MAX + 1;
	assert_int_equal(workers_start(&workers, &options, &bad), -EINVAL);
}

/* Queues go to the worker that has the fewest. */
static void test_placement(void **state)
{
	struct workers *workers = start(2, 100);
	struct queue_stats one, other;
	struct worker_stats a, b;

	/* Two endpoints a port: the second one's queues go where the first one's are. */
	for (unsigned int i = 0; i < N_EPS; i++) {
		assert_int_equal(workers_add(workers, &devices[i].ep, &sw, (uint16_t)(i / 2)), 0);
		worker_stats(workers, 0, &a);
		worker_stats(workers, 1, &b);
		assert_int_equal(a.n_queues + b.n_queues, (i + 1) * N_TXQ);
		if (i % 2 == 0)
			continue;
		assert_true(a.n_queues - b.n_queues <= 2 || b.n_queues - a.n_queues <= 2);
		for (unsigned int q = 0; q < N_TXQ; q++) {
			struct txq *const *txq = devices[i].ep.txq;

			assert_int_equal(workers_queue(workers, txq[q], &one), 0);
			assert_int_equal(workers_queue(workers, devices[i - 1].ep.txq[q], &other),
					 0);
			assert_int_equal(one.worker, other.worker);
		}
	}
	for (unsigned int i = 0; i < N_EPS; i++) {
		workers_del(workers, &devices[i].ep);
		workers_del(workers, &devices[i].ep); /* unknown by now */
		worker_stats(workers, 0, &a);
		worker_stats(workers, 1, &b);
		assert_int_equal(a.n_queues + b.n_queues, (N_EPS - 1 - i) * N_TXQ);
	}
	workers_stop(workers);
}

/* After workers_del nobody touches the queues, however busy they are. */
static void test_add_del_in_traffic(void **state)
{
	struct workers *workers = start(2, 100);

	supply_all(0, -1);
	assert_int_equal(workers_add(workers, &devices[0].ep, &sw, 0), 0);
	for (unsigned int round = 0; round < 60; round++) {
		unsigned int i = 2 + round % (N_EPS - 2);
		uint64_t before = atomic_load(&devices[i].source[0].pulled);

		gone_all(i, false);
		supply_all(i, -1);
		assert_int_equal(workers_add(workers, &devices[i].ep, &sw, 0), 0);
		assert_true(reaches(&devices[i].source[0].pulled, before + 1));
		workers_del(workers, &devices[i].ep);
		gone_all(i, true);
		for (unsigned int q = 0; q < N_TXQ; q++) {
			assert_int_equal(devices[i].source[q].inside, 0);
			assert_int_equal(devices[i].source[q].pulls, devices[i].source[q].done);
		}
	}
	/* The other one was served all the while, and stopping in full traffic is clean. */
	assert_true(reaches(&devices[0].source[0].pulled,
			    atomic_load(&devices[0].source[0].pulled) + 1));
	workers_stop(workers);
	assert_int_equal(devices[0].source[0].pulls, devices[0].source[0].done);
	assert_int_equal(errors(), 0);
}

/* --- moving --- */

/* What the queue and the workers counted is the same, to the cycle. */
static void check_costs(struct workers *workers, const struct endpoint *ep)
{
	uint64_t cycles = 0, frames = 0, busy = 0, forwarded = 0;
	struct queue_stats queue;
	struct worker_stats w;

	for (unsigned int q = 0; q < ep->n_txq; q++) {
		assert_int_equal(workers_queue(workers, ep->txq[q], &queue), 0);
		assert_int_equal(queue.frames,
				 container_of(ep->txq[q], struct source, txq)->pulled);
		cycles += queue.cycles;
		frames += queue.frames;
	}
	for (unsigned int i = 0; i < workers_count(workers); i++) {
		worker_stats(workers, i, &w);
		busy += w.cycles_busy;
		forwarded += w.frames;
	}
	assert_int_equal(cycles, busy);
	assert_int_equal(frames, forwarded);
}

/* Queues are moved back and forth in full traffic: nothing is lost, doubled or out of order, and no
 * queue is served by two. */
static void test_move_in_traffic(void **state)
{
	struct workers *workers = start(2, 100);
	struct device *d = &devices[0];
	uint64_t pulled = 0, moves = 0;
	struct queue_stats stats;

	supply_all(0, -1);
	assert_int_equal(workers_add(workers, &d->ep, &sw, 0), 0);
	for (unsigned int round = 0; round < 600; round++) {
		unsigned int q = round % N_TXQ, to = round / N_TXQ % 2;
		uint64_t before = atomic_load(&d->source[q].pulled);

		assert_int_equal(workers_queue(workers, d->ep.txq[q], &stats), 0);
		moves += stats.worker != to;
		assert_int_equal(workers_pin(workers, d->ep.txq[q], to), 0);
		if (round % 40 < 2)
			assert_true(reaches(&d->source[q].pulled, before + 100));
	}
	assert_true(moves >= 590);
	for (unsigned int q = 0; q < N_TXQ; q++) {
		assert_int_equal(workers_queue(workers, d->ep.txq[q], &stats), 0);
		assert_int_equal(stats.worker, 1);
		assert_true(stats.pinned);
		moves -= stats.moves;
	}
	assert_int_equal(moves, 0);
	supply_all(0, 0);
	worker_quiesce(workers);
	worker_quiesce(workers);
	check_costs(workers, &d->ep);
	workers_stop(workers);
	for (unsigned int q = 0; q < N_TXQ; q++) {
		assert_int_equal(d->source[q].pulls, d->source[q].done);
		assert_int_equal(d->source[q].pulled, devices[1].next[q]);
		pulled += d->source[q].pulled;
	}
	assert_int_equal(pulled, devices[1].received);
	assert_int_equal(devices[1].disorder, 0);
	assert_int_equal(errors(), 0);
}

static void test_pins(void **state)
{
	struct workers *workers = start(2, 100);
	const struct txq *txq = &devices[0].source[0].txq;
	struct queue_stats stats;

	assert_int_equal(workers_pin(workers, txq, 0), -ENOENT);
	assert_int_equal(workers_queue(workers, txq, &stats), -ENOENT);
	assert_int_equal(workers_add(workers, &devices[0].ep, &sw, 0), 0);
	assert_int_equal(workers_pin(workers, txq, 2), -EINVAL);
	for (unsigned int worker = 0; worker < 2; worker++) {
		assert_int_equal(workers_pin(workers, txq, worker), 0);
		assert_int_equal(workers_pin(workers, txq, worker), 0); /* no move */
		assert_int_equal(workers_queue(workers, txq, &stats), 0);
		assert_int_equal(stats.worker, worker);
		assert_true(stats.pinned);
		assert_int_equal(workers_pin(workers, txq, WORKER_AUTO), 0);
		assert_int_equal(workers_queue(workers, txq, &stats), 0);
		assert_int_equal(stats.worker, worker);
		assert_false(stats.pinned);
		assert_int_equal(stats.moves, worker);
	}
	workers_del(workers, &devices[0].ep);
	assert_int_equal(workers_pin(workers, txq, 0), -ENOENT);
	workers_stop(workers);
}

static unsigned int n_on(struct workers *workers, unsigned int worker)
{
	struct worker_stats stats;

	worker_stats(workers, worker, &stats);
	return stats.n_queues;
}

/* The doorbell follows the queue, and what is rung for is served. */
static void test_doorbells(void **state)
{
	struct workers *workers = start(2, 5000);
	struct txq *txq = devices[0].ep.txq[0];
	struct doorbell *first;

	txq_wake(txq); /* nobody serves it: nothing happens */
	assert_int_equal(workers_add(workers, &devices[0].ep, &sw, 0), 0);
	assert_int_equal(workers_pin(workers, txq, 0), 0);
	first = atomic_load(&txq->doorbell);
	assert_non_null(first);
	assert_int_equal(workers_pin(workers, txq, 1), 0);
	assert_non_null(atomic_load(&txq->doorbell));
	assert_ptr_not_equal(atomic_load(&txq->doorbell), first);
	for (unsigned int i = 1; i <= 100; i++) {
		atomic_store(&devices[0].source[0].supply, 1);
		txq_wake(txq);
		assert_true(reaches(&devices[1].received, i));
	}
	workers_del(workers, &devices[0].ep);
	assert_null(atomic_load(&txq->doorbell));
	workers_stop(workers);
	assert_int_equal(errors(), 0);
}

/* Three busy queues on one worker, and the other idle: one of them goes there. A pinned one
 * stays.
 * (That no queue goes back and forth is shown in balance_test: here the load is what the machine is.) */
static void test_balances(void **state)
{
	struct workers *workers = start(2, 100);
	struct device *d = &devices[0];
	uint64_t end = clock_ns() + PATIENCE_NS;
	struct queue_stats stats;
	unsigned int n_moved = 0;

	assert_int_equal(workers_add(workers, &d->ep, &sw, 0), 0);
	for (unsigned int q = 0; q < N_TXQ; q++) {
		d->source[q].cost = 2000;
		assert_int_equal(workers_pin(workers, d->ep.txq[q], 0), 0);
	}
	supply_all(0, -1);
	for (unsigned int i = 0; i < 10; i++) {
		usleep(20000);
		assert_int_equal(workers_tick(workers), 0);
	}
	assert_int_equal(n_on(workers, 1), 0);
	for (unsigned int q = 1; q < N_TXQ; q++)
		assert_int_equal(workers_pin(workers, d->ep.txq[q], WORKER_AUTO), 0);
	while (n_moved == 0 && clock_ns() < end) {
		usleep(20000);
		n_moved = workers_tick(workers);
	}
	/* One is enough, unless its load was measured too low. */
	assert_true(n_moved == 1 || n_moved == 2);
	assert_int_equal(n_on(workers, 1), n_moved);
	do {
		usleep(20000);
		workers_tick(workers);
		assert_int_equal(workers_queue(workers, d->ep.txq[0], &stats), 0);
		assert_int_equal(stats.worker, 0);
		assert_true(stats.load >= 0 && stats.load <= 1);
	} while ((stats.load < 0.05 || stats.frames_per_s == 0) && clock_ns() < end);
	assert_true(stats.load >= 0.05);
	assert_true(stats.frames_per_s > 0);
	workers_stop(workers);
	assert_int_equal(devices[1].disorder, 0);
	assert_int_equal(errors(), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_start_stop),      TEST(test_placement), TEST(test_add_del_in_traffic),
		TEST(test_move_in_traffic), TEST(test_pins),      TEST(test_doorbells),
		TEST(test_balances),
	};

	return cmocka_run_group_tests_name("control", tests, NULL, NULL);
}
