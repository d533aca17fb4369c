/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "worker/worker.h"

#define N_EPS       6
#define N_TXQ       3
#define QUEUE_AT    14 /* in a frame: the number of its queue, and its own in that queue */
#define SEQ_AT      16
#define MAC_A       0x1102ull
#define MAC_B       0x2202ull
#define PATIENCE_NS 20000000000ull /* on a machine that is busy with something else */

/* A device whose guest sends frames for ever, and which checks how it is called. */
struct source {
	struct txq txq;
	atomic_int supply;  /* frames left to give; < 0: without end */
	atomic_bool gone;   /* must not be pulled any more */
	atomic_bool hold;   /* pull waits here while it is set */
	atomic_bool held;   /* it does */
	atomic_uint inside; /* pulls without their done */
	atomic_uint errors;
	_Atomic uint64_t pulled, pulls, done;
	_Atomic uint64_t looks; /* pulls in vain included */
	/* No atomics: one worker at a time, and the next one sees what the one before did. */
	uint32_t seq;
	uint8_t bytes[4][64];
	unsigned int cost; /* rounds of idling in each pull: how expensive this queue is */
};

struct device {
	struct endpoint ep;
	struct source source[N_TXQ];
	_Atomic uint64_t received;
	_Atomic uint64_t disorder; /* frames that were not the next one of their queue */
	_Atomic uint32_t next[N_EPS * N_TXQ];
};

static struct device *devices;
static struct vswitch sw;
static uint8_t frame_bytes[64];

static unsigned int source_pull(struct txq *txq, struct burst *burst)
{
	struct source *s = container_of(txq, struct source, txq);
	int supply = atomic_load(&s->supply);
	int room = 4 < BURST_MAX - (int)burst->held_back ? 4 : BURST_MAX - (int)burst->held_back;

	atomic_fetch_add(&s->looks, 1);
	if (atomic_load(&s->gone) || burst->n != 0 || burst->n_segs != 0)
		atomic_fetch_add(&s->errors, 1);
	while (atomic_load(&s->hold)) {
		atomic_store(&s->held, true);
		usleep(100);
	}
	if (supply == 0 || room == 0)
		return 0;
	if (atomic_fetch_add(&s->inside, 1) != 0)
		atomic_fetch_add(&s->errors, 1);
	burst->n = (unsigned int)(supply < 0 || supply > room ? room : supply);
	for (unsigned int i = 0; i < s->cost; i++)
		cpu_relax();
	for (unsigned int i = 0; i < burst->n; i++) {
		store_be32(s->bytes[i] + SEQ_AT, s->seq++);
		burst->frame[i] = (struct frame){
			.va = s->bytes[i], .seg_size = 64, .size = 64, .n_segs = 1
		};
	}
	if (supply > 0)
		atomic_fetch_sub(&s->supply, (int)burst->n);
	atomic_fetch_add(&s->pulls, 1);
	atomic_fetch_add(&s->pulled, burst->n);
	return burst->n;
}

static void source_done(struct txq *txq)
{
	struct source *s = container_of(txq, struct source, txq);

	if (atomic_load(&s->gone) || atomic_fetch_sub(&s->inside, 1) != 1)
		atomic_fetch_add(&s->errors, 1);
	atomic_fetch_add(&s->done, 1);
}

static const struct txq_ops source_ops = { .pull = source_pull, .done = source_done };

static void device_push(struct endpoint *ep, const struct frame *const frame[], unsigned int n,
			uint16_t untagged_vid, struct endpoint_stats *stats)
{
	struct device *d = container_of(ep, struct device, ep);

	for (unsigned int i = 0; i < n; i++) {
		const uint8_t *bytes = frame[i]->va;
		_Atomic uint32_t *next = &d->next[bytes[QUEUE_AT]];
		uint32_t seq = load_be32(bytes + SEQ_AT);

		if (atomic_exchange(next, seq + 1) != seq)
			atomic_fetch_add(&d->disorder, 1);
	}
	atomic_fetch_add(&d->received, n);
	stats->rx_frames += n;
}

static const struct endpoint_ops device_ops = { .push = device_push };

/* Device 0 is port 0 and sends to device 1, port 1; the others send as port 0 as well. */
static int setup(void **state)
{
	struct port_config port[2] = { 0 };
	int ret;

	devices = calloc(N_EPS, sizeof(*devices));
	mac_store(frame_bytes, MAC_B);
	mac_store(frame_bytes + 6, MAC_A);
	store_be16(frame_bytes + 12, 0x88b5);
	for (unsigned int i = 0; i < N_EPS; i++) {
		struct endpoint *ep = &devices[i].ep;

		ep->ops = &device_ops;
		ep->stats = endpoint_stats_new();
		ep->n_txq = N_TXQ;
		atomic_store(&ep->running, 1);
		for (unsigned int q = 0; q < N_TXQ; q++) {
			struct source *s = &devices[i].source[q];

			s->txq = (struct txq){ .ops = &source_ops, .endpoint = ep, .idx = q };
			ep->txq[q] = &s->txq;
			for (unsigned int f = 0; f < ARRAY_SIZE(s->bytes); f++) {
				memcpy(s->bytes[f], frame_bytes, sizeof(frame_bytes));
				s->bytes[f][QUEUE_AT] = (uint8_t)(i * N_TXQ + q);
			}
		}
	}
	for (unsigned int i = 0; i < 2; i++) {
		port[i].used = true;
		port[i].n_macs = 1;
		port[i].mac[0] = i == 0 ? MAC_A : MAC_B;
		port[i].endpoint[0] = &devices[i].ep;
		port[i].stats = devices[i].ep.stats;
	}
	assert_int_equal(switch_init(&sw, 10), 0);
	switch_snapshot_free(switch_publish(&sw, port, 2, &ret));
	return ret;
}

static int teardown(void **state)
{
	for (unsigned int i = 0; i < N_EPS; i++)
		free(devices[i].ep.stats);
	free(devices);
	switch_fini(&sw);
	return 0;
}

static unsigned int errors(void)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < N_EPS; i++)
		for (unsigned int q = 0; q < N_TXQ; q++)
			n += atomic_load(&devices[i].source[q].errors);
	return n;
}

static void supply_all(unsigned int device, int supply)
{
	for (unsigned int q = 0; q < N_TXQ; q++)
		atomic_store(&devices[device].source[q].supply, supply);
}

static void gone_all(unsigned int device, bool gone)
{
	for (unsigned int q = 0; q < N_TXQ; q++)
		atomic_store(&devices[device].source[q].gone, gone);
}

/* Up to two CPUs that this process may use; one, given twice, is as good. */
static struct workers *start(unsigned int n, unsigned int idle_us)
{
	struct worker_options options = { .n_cpus = n, .idle_us = idle_us };
	struct workers *workers = NULL;
	unsigned int bad = 0, k = 0;
	cpu_set_t may;

	assert_int_equal(sched_getaffinity(0, sizeof(may), &may), 0);
	for (unsigned int cpu = 0; k < n; cpu = (cpu + 1) % CPU_SETSIZE)
		if (CPU_ISSET(cpu, &may))
			options.cpu[k++] = cpu;
	assert_int_equal(workers_start(&workers, &options, &bad), 0);
	assert_int_equal(workers_count(workers), n);
	return workers;
}

static bool reaches(_Atomic uint64_t *counter, uint64_t value)
{
	uint64_t end = clock_ns() + PATIENCE_NS;

	while (atomic_load(counter) < value) {
		if (clock_ns() > end)
			return false;
		usleep(200);
	}
	return true;
}

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
#define TEST(x) cmocka_unit_test_setup_teardown(x, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_start_stop),
		TEST(test_forwards_and_counts),
		TEST(test_placement),
		TEST(test_add_del_in_traffic),
		TEST(test_snapshots_in_traffic),
		TEST(test_quiesce_does_not_wait_for_sleepers),
		TEST(test_quiesce_waits_for_busy),
		TEST(test_quiesce_in_parallel),
		TEST(test_idle_sleeps_and_wakes),
		TEST(test_move_in_traffic),
		TEST(test_pins),
		TEST(test_doorbells),
		TEST(test_cold_queues),
		TEST(test_balances),
		TEST(test_limited),
		TEST(test_waits_asleep),
		TEST(test_shared_bucket),
	};

	return cmocka_run_group_tests_name("worker", tests, NULL, NULL);
}
