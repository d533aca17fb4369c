/* SPDX-License-Identifier: BSD-3-Clause */
/* Several pairs of rings: who is served by which. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "dev/virtio_net/test_net.h"

#define FEATURES   (1ull << VIRTIO_F_VERSION_1 | 1ull << VIRTIO_NET_F_MQ)
#define HDR        12u
#define FRAME_SIZE 64u
#define BUFFER     512u
#define N_FRAMES   (TEST_RING_SIZE * 3) /* more than a burst */

static uint8_t bytes[N_FRAMES][FRAME_SIZE];
static struct frame frames[N_FRAMES];
static const struct frame *frame[N_FRAMES];

static struct guest_ring *ring_of(struct test_net *t, unsigned int pair, enum virtio_net_ring way)
{
	return &t->guest.ring[pair * VIRTIO_NET_N_RINGS + way];
}

static void start(struct test_net *t)
{
	static const uint8_t key[RSS_KEY_SIZE] = {
		/* any */
		0x6d, 0x5a, 0x56, 0xda, 0x25, 0x5b, 0x0e, 0xc2, 0x41, 0x67, 0x25, 0x3d, 0x43, 0xa3,
		0x8f, 0xb0, 0xd0, 0xca, 0x2b, 0xcb, 0xae, 0x7b, 0x30, 0xb4, 0x77, 0xcb, 0x2d, 0xa3,
		0x80, 0x30, 0xf2, 0x0c, 0x6a, 0x42, 0xb7, 0x3b, 0xbe, 0xac, 0x01, 0xfa
	};

	test_start(t, FEATURES, 0);
	rss_key_set(&t->net.key, key);
	for (unsigned int pair = 0; pair < TEST_PAIRS; pair++)
		for (unsigned int i = 0; i < TEST_RING_SIZE; i++) {
			uint64_t iova = guest_alloc(&t->guest, BUFFER, 0);
			const uint32_t size = BUFFER;

			guest_chain(ring_of(t, pair, VIRTIO_NET_RX), &iova, &size, 1,
				    VRING_DESC_F_WRITE);
		}
}

/* UDP: n_flows of them in turn. Or, with none, what is no IP. */
static void make_frames(unsigned int n, unsigned int n_flows)
{
	static const uint8_t macs[] = { 2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2 };

	memset(bytes, 0, sizeof(bytes));
	for (unsigned int i = 0; i < n; i++) {
		uint8_t *b = bytes[i];

		memcpy(b, macs, sizeof(macs));
		store_be16(b + 12, n_flows > 0 ? ETH_TYPE_IPV4 : 0x88b5);
		b[14] = 0x45;
		b[23] = 17;
		if (n_flows > 0)
			store_be16(b + 34, (uint16_t)(1000 + i % n_flows));
		b[FRAME_SIZE - 1] = (uint8_t)i;
		frames[i] = (struct frame){
			.va = b, .seg_size = FRAME_SIZE, .size = FRAME_SIZE, .n_segs = 1
		};
		assert_true(frame_parse(&frames[i]));
		frame[i] = &frames[i];
	}
}

static void push(struct test_net *t, unsigned int n)
{
	t->net.endpoint.ops->push(&t->net.endpoint, frame, n, 0, t->stats);
}

/* Takes what is in a receive ring: numbers, ascending. */
static unsigned int collect(struct test_net *t, unsigned int pair, uint8_t number[N_FRAMES])
{
	struct guest_ring *r = ring_of(t, pair, VIRTIO_NET_RX);
	uint32_t head, size;
	unsigned int n = 0;
	uint64_t iova;

	while (guest_collect(r, &head, &size)) {
		assert_int_equal(size, HDR + FRAME_SIZE);
		/* The buffers of a pair were allocated in a row, and are used in order. */
		iova = r->packed ? 0 : r->desc[head].addr;
		number[n] =
			r->packed ? 0
				  : *((uint8_t *)guest_va(&t->guest, iova) + HDR + FRAME_SIZE - 1);
		assert_true(r->packed || n == 0 || number[n] > number[n - 1]);
		n++;
	}
	return n;
}

/* As many as are enabled without a gap, since drivers use the first. */
static void test_active(void **state)
{
	static const struct {
		uint8_t enabled; /* receive rings, bits */
		unsigned int n_rx;
	} cases[] = { { 0xf, 4 }, { 0x7, 3 }, { 0x3, 2 }, { 0x1, 1 }, { 0x0, 0 },
		      { 0xe, 0 }, { 0xd, 1 }, { 0xb, 2 }, { 0x9, 1 } };
	struct test_net *t = *state;

	start(t);
	assert_int_equal(t->net.endpoint.n_txq, TEST_PAIRS);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		for (unsigned int pair = 0; pair < TEST_PAIRS; pair++)
			virtio_net_enable(&t->net, pair * VIRTIO_NET_N_RINGS + VIRTIO_NET_RX,
					  (cases[i].enabled >> pair & 1) != 0);
		assert_int_equal(atomic_load(&t->net.n_rx), cases[i].n_rx);
		assert_int_equal(atomic_load(&t->net.endpoint.running), cases[i].n_rx > 0);
	}
	virtio_net_stop(&t->net);
	assert_int_equal(atomic_load(&t->net.n_rx), 0);
}

/* Each frame once, by the pair that its hash says, in order; one interrupt for each pair. */
static void test_spread(void **state)
{
	struct test_net *t = *state;

	for (unsigned int n_rx = 1; n_rx <= TEST_PAIRS; n_rx++) {
		unsigned int want[TEST_PAIRS] = { 0 }, n_frames = TEST_RING_SIZE, used = 0;
		struct push_report report = { 0 };
		struct rss_result rss[N_FRAMES];

		start(t);
		for (unsigned int pair = n_rx; pair < TEST_PAIRS; pair++)
			virtio_net_enable(&t->net, pair * VIRTIO_NET_N_RINGS + VIRTIO_NET_RX,
					  false);
		make_frames(n_frames, 5);
		t->stats->report = &report;
		push(t, n_frames);
		t->stats->report = NULL;
		rss_burst(&t->net.key, RSS_ALL, frame, n_frames, rss);
		for (unsigned int i = 0; i < n_frames; i++) {
			unsigned int pair = (uint64_t)rss[i].hash * n_rx >> 32;
			const struct frame_note *note = frame_notes_find(&report.queued, frame[i]);

			want[pair]++;
			assert_true(n_rx == 1 ? note == NULL : note != NULL && note->what == pair);
		}
		for (unsigned int pair = 0; pair < TEST_PAIRS; pair++) {
			uint8_t number[N_FRAMES];

			assert_int_equal(collect(t, pair, number), want[pair]);
			used += want[pair] > 0;
			assert_int_equal(test_irqs(t, pair * VIRTIO_NET_N_RINGS + VIRTIO_NET_RX),
					 want[pair] > 0);
		}
		assert_true(n_rx == 1 ? used == 1 : used > 1); /* this key, these flows */
		assert_int_equal(t->stats->rx_frames, n_frames);
	}
}

/* No hash: the first pair. */
static void test_no_ip(void **state)
{
	struct test_net *t = *state;
	uint8_t number[N_FRAMES];

	start(t);
	make_frames(TEST_RING_SIZE, 0);
	push(t, TEST_RING_SIZE);
	assert_int_equal(collect(t, 0, number), TEST_RING_SIZE);
	for (unsigned int pair = 1; pair < TEST_PAIRS; pair++)
		assert_int_equal(collect(t, pair, number), 0);
}

/* A pair whose buffers are all used loses its frames, and no other's. */
static void test_full(void **state)
{
	struct test_net *t = *state;
	uint64_t n = 0;

	start(t);
	make_frames(N_FRAMES, 1);
	push(t, N_FRAMES);
	assert_int_equal(t->stats->rx_frames, TEST_RING_SIZE);
	assert_int_equal(t->stats->drop[DROP_NO_BUFFER], N_FRAMES - TEST_RING_SIZE);
	make_frames(TEST_RING_SIZE, TEST_RING_SIZE);
	push(t, TEST_RING_SIZE);
	for (unsigned int pair = 0; pair < TEST_PAIRS; pair++) {
		uint8_t number[N_FRAMES];

		n += collect(t, pair, number);
	}
	assert_int_equal(n, t->stats->rx_frames);
	assert_true(n > TEST_RING_SIZE);
}

/* A ring that is broken, or stops just now, loses what would go there. */
static void test_broken(void **state)
{
	struct test_net *t = *state;
	uint8_t number[N_FRAMES];

	start(t);
	atomic_store(&t->net.pair[0].rx.state, RING_BROKEN);
	make_frames(TEST_RING_SIZE, 0);
	push(t, TEST_RING_SIZE);
	assert_int_equal(t->stats->drop[DROP_DOWN], TEST_RING_SIZE);
	assert_int_equal(collect(t, 0, number), 0);
}

/* Each transmit ring is a queue of its own. */
static void test_transmit(void **state)
{
	struct test_net *t = *state;
	uint32_t head, size = HDR + FRAME_SIZE, back;

	start(t);
	for (unsigned int pair = 0; pair < TEST_PAIRS; pair++) {
		uint64_t iova = guest_alloc(&t->guest, size, 0);

		*((uint8_t *)guest_va(&t->guest, iova) + HDR) = (uint8_t)(2 * pair);
		guest_chain(ring_of(t, pair, VIRTIO_NET_TX), &iova, &size, 1, 0);
	}
	for (unsigned int i = TEST_PAIRS; i-- > 0;) {
		struct txq *txq = t->net.endpoint.txq[i];

		assert_int_equal(txq->idx, i);
		t->burst.n = t->burst.n_segs = 0;
		assert_int_equal(txq->ops->pull(txq, &t->burst), 1);
		assert_int_equal(*t->burst.frame[0].va, 2 * i);
		txq->ops->done(txq);
		for (unsigned int pair = 0; pair < TEST_PAIRS; pair++)
			assert_int_equal(guest_n_used(ring_of(t, pair, VIRTIO_NET_TX)), pair == i);
		assert_true(guest_collect(ring_of(t, i, VIRTIO_NET_TX), &head, &back));
		t->burst.n = t->burst.n_segs = 0;
		assert_int_equal(txq->ops->pull(txq, &t->burst), 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		with_both(test_active), with_both(test_spread), with_both(test_no_ip),
		with_both(test_full),   with_both(test_broken), with_both(test_transmit),
	};

	return cmocka_run_group_tests(tests, test_setup_pairs, test_teardown);
}
