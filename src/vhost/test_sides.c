/* SPDX-License-Identifier: BSD-3-Clause */
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>

#include <rte_eal.h>

#include "base/log.h"
#include "vhost/test_sides.h"

struct side sides[2];
char folder[TEST_FOLDER_SIZE];

/* --- the worker --- */

static _Atomic(struct endpoint *) endpoints[2];
static atomic_uint epoch;
static atomic_bool worker_stop;

static void forward_queue(struct txq *txq, struct endpoint *to, struct burst *burst)
{
	const struct frame *good[BURST_MAX];
	unsigned int n = 0;

	burst->n = burst->n_segs = 0;
	if (txq->ops->pull(txq, burst) == 0)
		return;
	for (unsigned int i = 0; i < burst->n; i++)
		if (frame_parse(&burst->frame[i])) {
			burst->frame[i].vid = 0;
			good[n++] = &burst->frame[i];
		}
	if (to != NULL && n > 0)
		to->ops->push(to, good, n, 0, endpoint_stats_self(to));
	txq->ops->done(txq);
}

static void forward(const struct endpoint *from, struct endpoint *to, struct burst *burst)
{
	for (unsigned int i = 0; i < from->n_txq; i++)
		forward_queue(from->txq[i], to, burst);
}

static void *worker_main(void *arg)
{
	static struct burst burst;

	while (!atomic_load(&worker_stop)) {
		struct endpoint *a = atomic_load(&endpoints[0]), *b = atomic_load(&endpoints[1]);

		if (a != NULL)
			forward(a, b, &burst);
		if (b != NULL)
			forward(b, a, &burst);
		atomic_fetch_add(&epoch, 1);
		sched_yield();
	}
	return arg;
}

void quiesce(void *arg)
{
	unsigned int from = atomic_load(&epoch);

	while (atomic_load(&epoch) - from < 2)
		sched_yield();
	assert_non_null(arg);
}

/* --- the synthetics --- */

static void state_changed(void *arg, enum vhost_state state)
{
	struct side *s = arg;
	unsigned int n = atomic_load(&s->n_states);

	if (n < ARRAY_SIZE(s->states))
		s->states[n] = state;
	atomic_store(&s->n_states, n + 1);
}

const struct vhost_upcalls side_upcalls = { state_changed, quiesce };

void side_listen(struct side *s)
{
	struct vhost_config config = { .path = s->path,
				       .mode = 0600,
				       .uid = (uid_t)-1,
				       .gid = (gid_t)-1,
				       .n_queues = s->n_pairs,
				       .max_frame = 1514,
				       .link_up = true,
				       .upcalls = &side_upcalls,
				       .arg = s };
	struct err err = { 0 };

	if (vhost_new(&s->vhost, &config, &err) < 0)
		fail_msg("%s", err.text);
	atomic_store(&endpoints[s - sides], vhost_endpoint(s->vhost));
}

void side_close(struct side *s)
{
	atomic_store(&endpoints[s - sides], NULL);
	quiesce(s);
	vhost_free(s->vhost);
	s->vhost = NULL;
}

/* --- the guests --- */

static void post(struct side *s, uint32_t i)
{
	assert_false(s->posted[i]);
	s->posted[i] = true;
	guest_single(&s->front.guest.ring[VIRTIO_NET_RX], (uint16_t)i, s->rx_iova + i * BUFFER,
		     BUFFER, VRING_DESC_F_WRITE);
}

void driver_reset(struct side *s, uint16_t idx)
{
	struct guest *g = &s->front.guest;

	g->packed = s->packed;
	guest_reset(g, idx);
	s->tx_iova = guest_alloc(g, FRONT_RING_SIZE * BUFFER, 0);
	s->rx_iova = guest_alloc(g, FRONT_RING_SIZE * BUFFER, 0);
	memset(s->posted, 0, sizeof(s->posted));
	s->n_sent = s->n_done = 0;
	for (uint16_t i = 0; i < FRONT_RING_SIZE; i++)
		post(s, i);
}

bool driver_send(struct side *s, uint32_t seq)
{
	struct guest_ring *r = &s->front.guest.ring[VIRTIO_NET_TX];
	uint16_t i = s->n_sent % FRONT_RING_SIZE;
	uint32_t head, size;
	uint8_t *va;

	while (guest_collect(r, &head, &size)) {
		/* In order, each once. */
		assert_int_equal(head, s->n_done % FRONT_RING_SIZE);
		s->n_done++;
	}
	if ((uint16_t)(s->n_sent - s->n_done) >= FRONT_RING_SIZE / 2)
		return false;
	va = guest_va(&s->front.guest, s->tx_iova + i * BUFFER);
	memset(va, 0, HDR_SIZE + FRAME_SIZE);
	va[HDR_SIZE] = 2;
	va[HDR_SIZE + 6] = 2;
	memcpy(va + HDR_SIZE + 14, &seq, sizeof(seq));
	memset(va + HDR_SIZE + 18, (int)(seq & 0xff), FRAME_SIZE - 18);
	guest_single(r, i, s->tx_iova + i * BUFFER, HDR_SIZE + FRAME_SIZE, 0);
	s->n_sent++;
	return true;
}

void driver_receive(struct side *s)
{
	uint32_t head, size, seq;

	while (guest_collect(&s->front.guest.ring[VIRTIO_NET_RX], &head, &size)) {
		uint8_t want[FRAME_SIZE - 18], *va;

		assert_true(head < FRONT_RING_SIZE && s->posted[head]);
		assert_int_equal(size, HDR_SIZE + FRAME_SIZE);
		va = guest_va(&s->front.guest, s->rx_iova + head * BUFFER);
		memcpy(&seq, va + HDR_SIZE + 14, sizeof(seq));
		memset(want, (int)(seq & 0xff), sizeof(want));
		assert_memory_equal(va + HDR_SIZE + 18, want, sizeof(want));
		assert_true(seq >= s->next_seq);
		s->n_skipped += seq - s->next_seq;
		s->next_seq = seq + 1;
		s->n_received++;
		s->posted[head] = false;
		post(s, head);
	}
}

void driver_drain(struct side *s)
{
	uint32_t head, size;

	while (guest_collect(&s->front.guest.ring[VIRTIO_NET_RX], &head, &size)) {
		s->posted[head] = false;
		post(s, head);
	}
}

/* Sends `n` frames from one to the other and waits until all are there. */
static void exchange(struct side *from, struct side *to, uint32_t n)
{
	uint64_t until = clock_ns() + WAIT_MS * 1000000ull;
	uint32_t seq = to->next_seq, end = seq + n;

	while (to->next_seq != end && clock_ns() < until) {
		if (seq != end && driver_send(from, seq))
			seq++;
		driver_receive(to);
	}
	assert_int_equal(to->next_seq, end);
}

void both_ways(uint32_t n)
{
	exchange(&sides[0], &sides[1], n);
	exchange(&sides[1], &sides[0], n);
	assert_int_equal(sides[0].n_skipped + sides[1].n_skipped, 0);
}

void side_run(struct side *s, uint64_t features)
{
	assert_int_equal(front_connect(&s->front, s->path), 0);
	if (s->packed)
		features |= 1ull << VIRTIO_F_RING_PACKED;
	assert_int_equal(front_start(&s->front, features), 0);
	wait_for(vhost_state(s->vhost) == VHOST_RUNNING);
}

void guard_on(void)
{
	assert_int_equal(mem_guard_init(), 0);
}

static int setup_sides(void **state, unsigned int n_pairs)
{
	for (unsigned int i = 0; i < 2; i++) {
		struct side *s = &sides[i];

		memset(s, 0, sizeof(*s));
		snprintf(s->path, sizeof(s->path), "%s/%c.sock", folder, 'a' + (int)i);
		s->n_pairs = n_pairs;
		front_init(&s->front, n_pairs);
		side_listen(s);
		driver_reset(s, 0);
	}
	return state == NULL;
}

int setup(void **state)
{
	return setup_sides(state, 1);
}

int setup_pairs(void **state)
{
	return setup_sides(state, SIDE_PAIRS);
}

int setup_packed(void **state)
{
	int ret = setup(state);

	for (unsigned int i = 0; i < 2; i++) {
		sides[i].packed = true;
		driver_reset(&sides[i], 0);
	}
	return ret;
}

int teardown(void **state)
{
	for (unsigned int i = 0; i < 2; i++) {
		if (sides[i].vhost != NULL)
			side_close(&sides[i]);
		front_fini(&sides[i].front);
	}
	return state == NULL;
}

static int eal_start(void)
{
	char cpu[16];
	cpu_set_t cpus;
	char *argv[] = { (char *)"test",
			 (char *)"--no-huge",
			 (char *)"-m",
			 (char *)"64",
			 (char *)"--no-pci",
			 (char *)"--no-shconf",
			 (char *)"--no-telemetry",
			 (char *)"-l",
			 cpu,
			 NULL };

	if (sched_getaffinity(0, sizeof(cpus), &cpus) < 0)
		return -1;
	for (int i = 0; i < CPU_SETSIZE; i++)
		if (CPU_ISSET(i, &cpus)) {
			snprintf(cpu, sizeof(cpu), "%d", i);
			break;
		}
	if (rte_eal_init((int)ARRAY_SIZE(argv) - 1, argv) < 0 || vhost_init(false) < 0)
		return -1;
	/* EAL ties this thread to one core; the worker is to have another if there is one. */
	return sched_setaffinity(0, sizeof(cpus), &cpus);
}

int run_sides(const struct CMUnitTest *tests, size_t n)
{
	pthread_t worker;
	int ret;

	if (!test_folder_make(folder) || eal_start() < 0 ||
	    pthread_create(&worker, NULL, worker_main, NULL) != 0)
		return 1;
	log_set_level(LOG_LEVEL_ERR);
	ret = _cmocka_run_group_tests("vhost", tests, n, NULL, NULL);
	atomic_store(&worker_stop, true);
	pthread_join(worker, NULL);
	rmdir(folder);
	return ret;
}
