/* SPDX-License-Identifier: BSD-3-Clause */
/* Random buffers and frames, looped back from the transmit ring to the receive ring, against a model
 * that knows nothing of rings: a list of frames and a list of posted sizes. Fixed seeds, a second. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/clock.h"
#include "dev/virtio_net/test_net.h"

#define V1       (1ull << VIRTIO_F_VERSION_1)
#define MRG      (1ull << VIRTIO_NET_F_MRG_RXBUF)
#define INDIRECT (1ull << VIRTIO_RING_F_INDIRECT_DESC)
#define EVENT    (1ull << VIRTIO_RING_F_EVENT_IDX)
#define SLOT     4096u /* guest memory of a buffer chain */
#define HDR      12u
#define SLOTS    64u

/* What the guest posted to receive, oldest first. */
struct posted {
	uint64_t iova[4];
	uint32_t size[4];
	unsigned int n;
	uint16_t head;
	uint32_t total;
	bool bad;
};

/* What the guest sent, oldest first. */
struct sent {
	uint8_t bytes[SLOT];
	uint32_t size; /* 0: a bad chain, of which nothing comes */
	uint16_t head;
};

struct model {
	uint64_t features;
	struct posted posted[SLOTS];
	unsigned int posted_in, posted_out;
	struct sent sent[SLOTS];
	unsigned int sent_in, sent_out, sent_back;
	uint64_t rx_frames, drops, bad_tx, bad_rx;
	uint64_t rx_memory, tx_memory;
};

static struct model m;
static uint64_t seed;

static uint32_t rnd(uint32_t below)
{
	seed = seed * 6364136223846793005ull + 1442695040888963407ull;
	return (uint32_t)(seed >> 33) % below;
}

/* Cuts `total` into up to `max` pieces in the slot at `iova`. */
static unsigned int cut(uint64_t iova, uint32_t total, unsigned int max, uint64_t *at,
			uint32_t *size)
{
	unsigned int n = 0;

	while (total > 0 && n < max) {
		uint32_t piece = n + 1 == max || rnd(2) ? total : 1 + rnd(total);

		at[n] = iova;
		size[n++] = piece;
		iova += piece;
		total -= piece;
	}
	return n;
}

static uint16_t offer(struct test_net *t, unsigned int ring, const uint64_t *iova,
		      const uint32_t *size, unsigned int n, uint16_t flags)
{
	struct guest_ring *r = &t->guest.ring[ring];
	uint64_t used = t->guest.used;
	uint16_t head;

	if ((m.features & INDIRECT) != 0 && rnd(3) == 0) {
		/* Tables round and round in memory of their own. */
		t->guest.used = TEST_MEM_SIZE / 2 + (ring * SLOTS + r->avail_idx % SLOTS) * 128;
		head = guest_chain_indirect(&t->guest, r, iova, size, n, rnd(n), flags);
		t->guest.used = used;
	} else {
		head = guest_chain(r, iova, size, n, flags);
	}
	return head;
}

/* Descriptors are taken round and round, so no more may be in use than the ring has: 4 a chain. */
static bool has_room(const struct guest_ring *r)
{
	return (uint16_t)(r->packed ? r->n_offered - r->n_collected : r->avail_idx - r->seen) <
	       TEST_RING_SIZE / 4;
}

static void post_some(struct test_net *t)
{
	struct guest_ring *r = &t->guest.ring[VIRTIO_NET_RX];

	while (has_room(r) && rnd(8) != 0) {
		struct posted *p = &m.posted[m.posted_in % SLOTS];
		uint64_t iova = m.rx_memory + (m.posted_in % SLOTS) * SLOT;

		/* A buffer too small for any frame would end it all where buffers do not merge. */
		if ((m.features & MRG) != 0)
			p->total = 1 + rnd(rnd(2) ? 300 : 2000);
		else
			p->total = rnd(10) == 0 ? 1 + rnd(HDR - 1) : 1600 + rnd(400);
		p->n = cut(iova, p->total, 4, p->iova, p->size);
		p->bad = rnd(10) == 0;
		if (p->bad)
			p->iova[rnd(p->n)] = rnd(2) ? 0 : UINT64_MAX - 5;
		p->head = offer(t, VIRTIO_NET_RX, p->iova, p->size, p->n, VRING_DESC_F_WRITE);
		m.posted_in++;
	}
}

static void send_some(struct test_net *t)
{
	struct guest_ring *r = &t->guest.ring[VIRTIO_NET_TX];

	while (has_room(r) && rnd(8) != 0) {
		struct sent *s = &m.sent[m.sent_in % SLOTS];
		uint64_t iova = m.tx_memory + (m.sent_in % SLOTS) * SLOT, at[4];
		uint32_t total = HDR + 14 + rnd(rnd(2) ? 100 : 1500), size[4];
		uint8_t *va = guest_va(&t->guest, iova);
		bool bad = rnd(10) == 0;
		unsigned int n;

		memset(va, 0, HDR);
		for (uint32_t i = HDR; i < total; i++)
			va[i] = (uint8_t)rnd(256);
		va[HDR + 12] = 0x12; /* no VLAN tag */
		memcpy(s->bytes, va + HDR, total - HDR);
		n = cut(iova, total, 4, at, size);
		if (bad)
			at[rnd(n)] = 77;
		s->head = offer(t, VIRTIO_NET_TX, at, size, n, 0);
		s->size = bad ? 0 : total - HDR;
		m.sent_in++;
	}
}

static void used_is(struct test_net *t, unsigned int ring, uint16_t head, uint32_t size)
{
	uint32_t got_head, got_size;

	assert_true(guest_collect(&t->guest.ring[ring], &got_head, &got_size));
	assert_int_equal(got_head, head);
	assert_int_equal(got_size, size);
}

static const struct posted *posted_at(unsigned int i)
{
	return i < m.posted_in ? &m.posted[i % SLOTS] : NULL;
}

/* Gives back chains [m.posted_out, end) empty. */
static void expect_empty(struct test_net *t, unsigned int end)
{
	while (m.posted_out < end)
		used_is(t, VIRTIO_NET_RX, m.posted[m.posted_out++ % SLOTS].head, 0);
}

/* The bytes of a frame with its header in chains [from, ...), `num` of them. */
static void expect_bytes(struct test_net *t, const struct sent *s, unsigned int num)
{
	uint8_t want[HDR + SLOT] = { 0 };
	uint32_t left = HDR + s->size, done = 0;

	want[10] = (uint8_t)num;
	want[11] = (uint8_t)(num >> 8);
	memcpy(want + HDR, s->bytes, s->size);
	while (num-- > 0) {
		const struct posted *p = posted_at(m.posted_out++);
		uint32_t n = p->total < left ? p->total : left;

		used_is(t, VIRTIO_NET_RX, p->head, n);
		left -= n;
		for (unsigned int i = 0; n > 0; i++) {
			uint32_t piece = p->size[i] < n ? p->size[i] : n;

			assert_memory_equal(guest_va(&t->guest, p->iova[i]), want + done, piece);
			done += piece;
			n -= piece;
		}
	}
	assert_int_equal(left, 0);
}

/* What becomes of one frame: the receive half of the model. */
static void expect_frame(struct test_net *t, const struct sent *s)
{
	unsigned int max = (m.features & MRG) != 0 ? 256 : 1;
	unsigned int at = m.posted_out;
	uint32_t room = 0;

	while (room < HDR + s->size) {
		const struct posted *p = posted_at(at);
		bool first = at == m.posted_out;

		if (at - m.posted_out == max || p == NULL) {
			m.drops++;
			return;
		}
		at++;
		if (p->bad || (first && p->total < HDR)) {
			m.bad_rx++;
			expect_empty(t, at);
			if (first)
				continue;
			m.drops++;
			return;
		}
		room += p->total;
	}
	expect_bytes(t, s, at - m.posted_out);
	m.rx_frames++;
}

static void loop_back(struct test_net *t)
{
	const struct frame *good[BURST_MAX];
	unsigned int n, n_good = 0;

	t->burst.n = t->burst.n_segs = 0;
	n = t->net.pair[0].txq.ops->pull(&t->net.pair[0].txq, &t->burst);
	for (unsigned int i = 0; i < n; i++) {
		struct frame *f = &t->burst.frame[i];

		assert_true(frame_parse(f));
		f->vid = 0;
		good[n_good++] = f;
	}
	t->net.endpoint.ops->push(&t->net.endpoint, good, n_good, 0, t->stats);
	if (n > 0)
		t->net.pair[0].txq.ops->done(&t->net.pair[0].txq);
	while (m.sent_out < m.sent_in) {
		const struct sent *s = &m.sent[m.sent_out++ % SLOTS];

		used_is(t, VIRTIO_NET_TX, s->head, 0);
		if (s->size == 0)
			m.bad_tx++;
		else
			expect_frame(t, s);
	}
}

static void run(struct test_net *t, uint64_t features, uint64_t from)
{
	uint32_t head, size;

	memset(&m, 0, sizeof(m));
	seed = from;
	m.features = features;
	test_start(t, features, (uint16_t)rnd(65536));
	t->guest.ring[VIRTIO_NET_RX].next = (uint16_t)rnd(TEST_RING_SIZE);
	m.rx_memory = guest_alloc(&t->guest, SLOTS * SLOT, 0);
	m.tx_memory = guest_alloc(&t->guest, SLOTS * SLOT, 0);
	assert_true(t->guest.used <= TEST_MEM_SIZE / 2 + 4096 * 8);
	for (unsigned int i = 0; i < 300; i++) {
		post_some(t);
		send_some(t);
		loop_back(t);
		assert_false(guest_collect(&t->guest.ring[VIRTIO_NET_RX], &head, &size));
		assert_int_equal(t->stats->rx_frames, m.rx_frames);
		assert_int_equal(t->stats->bad_rx_desc, m.bad_rx);
		assert_int_equal(t->stats->bad_tx_desc, m.bad_tx);
		assert_int_equal(t->stats->drop[DROP_NO_BUFFER] + t->stats->drop[DROP_BAD_BUFFER] +
					 t->stats->drop[DROP_TOO_LONG],
				 m.drops);
	}
	if (m.rx_frames <= 100 || m.drops == 0 || m.bad_rx == 0 || m.bad_tx == 0)
		fail_msg("seed %lu: %lu received, %lu dropped, %lu and %lu bad", from, m.rx_frames,
			 m.drops, m.bad_rx, m.bad_tx);
}

static void test_against_model(void **state)
{
	static const uint64_t features[] = {
		V1, V1 | MRG, V1 | INDIRECT, V1 | MRG | INDIRECT, V1 | MRG | INDIRECT | EVENT,
	};
	uint64_t until = clock_ns() + 1000000000ull;

	for (uint64_t from = 1; clock_ns() < until || from < 100; from++)
		run(*state, features[from % ARRAY_SIZE(features)], from);
}

int main(void)
{
	const struct CMUnitTest tests[] = { with_both(test_against_model) };

	return cmocka_run_group_tests(tests, test_setup, test_teardown);
}
