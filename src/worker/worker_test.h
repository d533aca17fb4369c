/* SPDX-License-Identifier: BSD-3-Clause */
/* For the tests of workers: devices whose guests send, and which check how they are called. */
#ifndef SOFTIOV_WORKER_WORKER_TEST_H
#define SOFTIOV_WORKER_WORKER_TEST_H

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
#define PATIENCE_NS 60000000000ull /* on a machine that is busy with something else */

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

static inline unsigned int source_pull(struct txq *txq, struct burst *burst)
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

static inline void source_done(struct txq *txq)
{
	struct source *s = container_of(txq, struct source, txq);

	if (atomic_load(&s->gone) || atomic_fetch_sub(&s->inside, 1) != 1)
		atomic_fetch_add(&s->errors, 1);
	atomic_fetch_add(&s->done, 1);
}

static const struct txq_ops source_ops = { .pull = source_pull, .done = source_done };

static inline void device_push(struct endpoint *ep, const struct frame *const frame[],
			       unsigned int n, uint16_t untagged_vid, struct endpoint_stats *stats)
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
static inline int setup(void **state)
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

static inline int teardown(void **state)
{
	for (unsigned int i = 0; i < N_EPS; i++)
		free(devices[i].ep.stats);
	free(devices);
	switch_fini(&sw);
	return 0;
}

static inline unsigned int errors(void)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < N_EPS; i++)
		for (unsigned int q = 0; q < N_TXQ; q++)
			n += atomic_load(&devices[i].source[q].errors);
	return n;
}

static inline void supply_all(unsigned int device, int supply)
{
	for (unsigned int q = 0; q < N_TXQ; q++)
		atomic_store(&devices[device].source[q].supply, supply);
}

static inline void gone_all(unsigned int device, bool gone)
{
	for (unsigned int q = 0; q < N_TXQ; q++)
		atomic_store(&devices[device].source[q].gone, gone);
}

/* Up to two CPUs that this process may use; one, given twice, is as good. */
static inline struct workers *start(unsigned int n, unsigned int idle_us)
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

static inline bool reaches(_Atomic uint64_t *counter, uint64_t value)
{
	uint64_t end = clock_ns() + PATIENCE_NS;

	while (atomic_load(counter) < value) {
		if (clock_ns() > end)
			return false;
		usleep(200);
	}
	return true;
}

#define TEST(x) cmocka_unit_test_setup_teardown(x, setup, teardown)

#endif
