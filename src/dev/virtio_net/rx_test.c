/* SPDX-License-Identifier: BSD-3-Clause */
/* The receive ring: buffers of all shapes, what the header tells, large sends whole and cut. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "dev/virtio_net/test_net.h"
#include "frame/csum.h"

#define V1       (1ull << VIRTIO_F_VERSION_1)
#define MRG      (1ull << VIRTIO_NET_F_MRG_RXBUF)
#define INDIRECT (1ull << VIRTIO_RING_F_INDIRECT_DESC)
#define GCSUM    (1ull << VIRTIO_NET_F_GUEST_CSUM)
#define GTSO4    (1ull << VIRTIO_NET_F_GUEST_TSO4)
#define GTSO6    (1ull << VIRTIO_NET_F_GUEST_TSO6)
#define GUSO4    (1ull << VIRTIO_NET_F_GUEST_USO4)
#define GUSO6    (1ull << VIRTIO_NET_F_GUEST_USO6)
#define GECN     (1ull << VIRTIO_NET_F_GUEST_ECN)

/* Chains offered to the device, in order: what it should write to. */
struct posted {
	unsigned int n;
	struct {
		uint64_t iova[12];
		uint32_t size[12];
		unsigned int n_buffers;
	} chain[TEST_RING_SIZE];
};

static struct posted posted;
static uint8_t bytes[TEST_FRAME_MAX], got[TEST_FRAME_MAX];

static void post(struct test_net *t, const uint32_t *size, unsigned int n, bool indirect)
{
	struct guest_ring *r = &t->guest.ring[VIRTIO_NET_RX];

	posted.chain[posted.n].n_buffers = n;
	for (unsigned int i = 0; i < n; i++) {
		posted.chain[posted.n].iova[i] = guest_alloc(&t->guest, size[i], (i * 3) % 7);
		posted.chain[posted.n].size[i] = size[i];
		memset(guest_va(&t->guest, posted.chain[posted.n].iova[i]), 0xee, size[i]);
	}
	if (indirect)
		guest_chain_indirect(&t->guest, r, posted.chain[posted.n].iova, size, n, 0,
				     VRING_DESC_F_WRITE);
	else
		guest_chain(r, posted.chain[posted.n].iova, size, n, VRING_DESC_F_WRITE);
	posted.n++;
}

static void start(struct test_net *t, uint64_t features)
{
	test_start(t, features, 0);
	posted.n = 0;
}

/* The bytes that the device put into chain `at`. */
static void read_chain(struct test_net *t, unsigned int at, uint8_t *to, uint32_t size)
{
	for (unsigned int i = 0; size > 0; i++) {
		uint32_t n;

		assert_true(i < posted.chain[at].n_buffers);
		n = posted.chain[at].size[i] < size ? posted.chain[at].size[i] : size;
		memcpy(to, guest_va(&t->guest, posted.chain[at].iova[i]), n);
		to += n;
		size -= n;
	}
}

/* The next frame that the guest got, into got[]; 0 if none. chain: the next one to be used. */
static uint32_t collect(struct test_net *t, struct virtio_net_hdr_v1 *hdr, unsigned int *chain)
{
	uint32_t head, size, total, hdr_size = t->net.hdr_size;
	static uint8_t first[TEST_FRAME_MAX];
	unsigned int n = 1;

	memset(hdr, 0, sizeof(*hdr));
	if (!guest_collect(&t->guest.ring[VIRTIO_NET_RX], &head, &size))
		return 0;
	assert_true(size >= hdr_size);
	read_chain(t, (*chain)++, first, size);
	memcpy(hdr, first, hdr_size);
	memcpy(got, first + hdr_size, size - hdr_size);
	total = size - hdr_size;
	if (hdr_size == 12)
		n = hdr->num_buffers;
	assert_true(n >= 1);
	for (unsigned int i = 1; i < n; i++) {
		assert_true(guest_collect(&t->guest.ring[VIRTIO_NET_RX], &head, &size));
		read_chain(t, (*chain)++, got + total, size);
		total += size;
	}
	return total;
}

static void push(struct test_net *t, struct frame *const frame[], unsigned int n, uint16_t untagged)
{
	t->net.endpoint.ops->push(&t->net.endpoint, (const struct frame *const *)frame, n, untagged,
				  t->stats);
}

static struct frame frame_of(const uint8_t *va, uint32_t size)
{
	struct frame f = { .va = va, .seg_size = size, .size = size, .n_segs = 1 };

	return f;
}

static void fill(uint32_t size, uint8_t seed)
{
	for (uint32_t i = 0; i < size; i++)
		bytes[i] = (uint8_t)(seed + i * 7 + (i >> 8));
	store_be16(bytes + ETH_ADDRS_SIZE, 0x1234);
}

/* --- buffers --- */

struct shape {
	const char *name;
	uint64_t features;
	uint32_t chain[4][5]; /* buffer sizes of each chain; 0 ends */
	bool indirect;
	uint32_t size; /* of the frame */
	enum drop_reason drop;
	unsigned int n_used; /* chains given back */
	uint32_t used[4];    /* their sizes */
	unsigned int bad;
};

/* clang-format off */
static const struct shape shapes[] = {
	{ "one buffer", V1 | MRG, { { 2048 } }, false, 100, DROP_NONE, 1, { 112 }, 0 },
	{ "one that fits exactly", V1 | MRG, { { 112 } }, false, 100, DROP_NONE, 1, { 112 }, 0 },
	{ "one byte too few", V1 | MRG, { { 111 }, { 100 } }, false, 100, DROP_NONE, 2, { 111, 1 }, 0 },
	{ "three merged", V1 | MRG, { { 50 }, { 50 }, { 50 } }, false, 100, DROP_NONE, 3, { 50, 50, 12 }, 0 },
	{ "header alone in the first", V1 | MRG, { { 12 }, { 100 } }, false, 100, DROP_NONE, 2, { 12, 100 }, 0 },
	{ "not enough", V1 | MRG, { { 50 }, { 50 } }, false, 100, DROP_NO_BUFFER, 0, { 0 }, 0 },
	{ "none", V1 | MRG, { { 0 } }, false, 100, DROP_NO_BUFFER, 0, { 0 }, 0 },
	{ "chain", V1, { { 12, 50, 50 } }, false, 100, DROP_NONE, 1, { 112 }, 0 },
	{ "chain with a split header", V1, { { 5, 10, 97 } }, false, 100, DROP_NONE, 1, { 112 }, 0 },
	{ "chain in a table", V1 | INDIRECT, { { 12, 50, 50 } }, true, 100, DROP_NONE, 1, { 112 }, 0 },
	{ "merged chains", V1 | MRG, { { 20, 20 }, { 30, 10, 20 }, { 100 } }, false, 100, DROP_NONE, 3, { 40, 60, 12 }, 0 },
	{ "merged tables", V1 | MRG | INDIRECT, { { 20, 20 }, { 60, 40 } }, true, 100, DROP_NONE, 2, { 40, 72 }, 0 },
	{ "table, not agreed", V1 | MRG, { { 200 }, { 200 } }, true, 100, DROP_BAD_BUFFER, 2, { 0, 0 }, 2 },
	{ "too small, not merging", V1, { { 111 }, { 2048 } }, false, 100, DROP_TOO_LONG, 0, { 0 }, 0 },
	{ "legacy", 0, { { 10, 100 } }, false, 100, DROP_NONE, 1, { 110 }, 0 },
	{ "legacy, one buffer", 0, { { 2048 } }, false, 100, DROP_NONE, 1, { 110 }, 0 },
	{ "first below the header", V1 | MRG, { { 11 }, { 2048 } }, false, 100, DROP_NONE, 2, { 0, 112 }, 1 },
	{ "more than the receiver's limit", V1 | MRG, { { 16384 } }, false, 9015, DROP_TOO_LONG, 0, { 0 }, 0 },
	{ "the limit", V1 | MRG, { { 16384 } }, false, 9014, DROP_NONE, 1, { 9026 }, 0 },
};
/* clang-format on */

static void test_shapes(void **state)
{
	struct test_net *t = *state;

	for (size_t c = 0; c < ARRAY_SIZE(shapes); c++) {
		const struct shape *s = &shapes[c];
		struct virtio_net_hdr_v1 hdr;
		struct frame f = frame_of(bytes, s->size);
		uint32_t head, size;
		unsigned int chain = 0, n = 0;

		start(t, s->features);
		for (unsigned int i = 0; i < 4 && s->chain[i][0] > 0; i++) {
			for (n = 0; n < 5 && s->chain[i][n] > 0; n++)
				;
			post(t, s->chain[i], n, s->indirect);
		}
		fill(s->size, (uint8_t)c);
		assert_true(frame_parse(&f));
		push(t, (struct frame *[]){ &f }, 1, 0);
		if (guest_n_used(&t->guest.ring[VIRTIO_NET_RX]) != s->n_used ||
		    t->stats->bad_rx_desc != s->bad || t->stats->rx_frames != !s->drop ||
		    (s->drop != 0 && t->stats->drop[s->drop] != 1))
			fail_msg("%s: %u used, %lu bad, %lu received", s->name,
				 guest_n_used(&t->guest.ring[VIRTIO_NET_RX]), t->stats->bad_rx_desc,
				 t->stats->rx_frames);
		for (unsigned int i = 0; i < s->n_used; i++)
			assert_int_equal(guest_used_size(&t->guest.ring[VIRTIO_NET_RX], i),
					 s->used[i]);
		/* Bad chains come first. */
		for (unsigned int i = 0; i < s->bad; i++, chain++)
			assert_true(guest_collect(&t->guest.ring[VIRTIO_NET_RX], &head, &size));
		if (s->drop == DROP_NONE) {
			assert_int_equal(collect(t, &hdr, &chain), s->size);
			assert_memory_equal(got, bytes, s->size);
			assert_int_equal(t->stats->rx_bytes, s->size);
			assert_int_equal(hdr.flags | hdr.gso_type, 0);
		}
		assert_int_equal(chain, s->n_used);
	}
}

/* A bad chain in the middle of a frame: all of the frame's chains go back empty, in order, and the
 * next frame finds the next chain. */
static void test_bad_in_the_middle(void **state)
{
	struct test_net *t = *state;
	struct guest_ring *r = &t->guest.ring[VIRTIO_NET_RX];
	struct frame f = frame_of(bytes, 100);
	struct virtio_net_hdr_v1 hdr;
	uint32_t head, size;
	unsigned int chain = 3;

	start(t, V1 | MRG);
	post(t, (const uint32_t[]){ 50 }, 1, false);
	post(t, (const uint32_t[]){ 50 }, 1, false);
	post(t, (const uint32_t[]){ 50 }, 1, false);
	post(t, (const uint32_t[]){ 500 }, 1, false);
	/* Readable; a packed slot has its flags where a split descriptor has `next`. */
	*(t->packed ? &r->desc[1].next : &r->desc[1].flags) &= (uint16_t)~VRING_DESC_F_WRITE;
	r->desc[2].addr = 4; /* nowhere: not reached by the first frame */
	fill(100, 9);
	assert_true(frame_parse(&f));
	push(t, (struct frame *[]){ &f, &f }, 2, 0);
	assert_int_equal(t->stats->drop[DROP_BAD_BUFFER], 1);
	assert_int_equal(t->stats->rx_frames, 1);
	assert_int_equal(t->stats->bad_rx_desc, 2);
	for (uint32_t i = 0; i < 3; i++) {
		assert_true(guest_collect(r, &head, &size));
		assert_true(t->packed || head == i);
		assert_int_equal(size, 0);
	}
	assert_int_equal(collect(t, &hdr, &chain), 100);
	assert_memory_equal(got, bytes, 100);
	assert_int_equal(t->net.pair[0].rx.avail_idx & 0x7fff, 4);
	assert_int_equal(t->net.pair[0].rx.used_idx & 0x7fff, 4);
}

static void test_empty_buffers(void **state)
{
	struct test_net *t = *state;
	struct frame f = frame_of(bytes, 100);
	struct virtio_net_hdr_v1 hdr;
	unsigned int chain = 1;
	uint32_t id, size;

	start(t, V1 | MRG);
	post(t, (const uint32_t[]){ 0, 0, 0 }, 3, false);
	post(t, (const uint32_t[]){ 0, 200, 0 }, 3, false);
	fill(100, 9);
	assert_true(frame_parse(&f));
	push(t, (struct frame *[]){ &f }, 1, 0);
	assert_int_equal(t->stats->bad_rx_desc, 1);
	assert_int_equal(t->stats->rx_frames, 1);
	assert_true(guest_collect(&t->guest.ring[VIRTIO_NET_RX], &id, &size));
	assert_int_equal(size, 0);
	assert_int_equal(collect(t, &hdr, &chain), 100);
	assert_memory_equal(got, bytes, 100);
}

/* A ring full of bad chains costs each frame a few of them, and not all at once. */
static void test_bad_ring(void **state)
{
	struct test_net *t = *state;
	struct guest_ring *r = &t->guest.ring[VIRTIO_NET_RX];
	struct frame f = frame_of(bytes, 100);
	uint32_t head, size;

	start(t, V1 | MRG);
	for (unsigned int i = 0; i < TEST_RING_SIZE; i++) {
		post(t, (const uint32_t[]){ 50 }, 1, false);
		r->desc[i].addr = 4; /* nowhere */
	}
	fill(100, 9);
	assert_true(frame_parse(&f));
	for (unsigned int n = 8; n <= TEST_RING_SIZE; n += 8) {
		push(t, (struct frame *[]){ &f }, 1, 0);
		assert_int_equal(t->stats->drop[DROP_BAD_BUFFER], n / 8);
		assert_int_equal(t->stats->bad_rx_desc, n);
	}
	push(t, (struct frame *[]){ &f }, 1, 0);
	assert_int_equal(t->stats->drop[DROP_NO_BUFFER], 1);
	for (uint32_t i = 0; i < TEST_RING_SIZE; i++)
		assert_true(guest_collect(r, &head, &size));
}

static void test_broken(void **state)
{
	struct test_net *t = *state;
	struct frame f = frame_of(bytes, 100);

	fill(100, 1);
	assert_true(frame_parse(&f));
	/* A head beyond the ring behind a good one. */
	start(t, V1 | MRG);
	post(t, (const uint32_t[]){ 500 }, 1, false);
	guest_offer(&t->guest.ring[VIRTIO_NET_RX], TEST_RING_SIZE);
	push(t, (struct frame *[]){ &f, &f, &f }, 3, 0);
	assert_int_equal(t->stats->rx_frames, 1);
	assert_int_equal(t->stats->drop[DROP_DOWN], 2);
	assert_int_equal(t->stats->bad_rx_desc, 1);
	assert_int_equal(atomic_load(&t->net.pair[0].rx.state), RING_BROKEN);
	assert_int_equal(t->guest.ring[VIRTIO_NET_RX].used->idx, 1);
	/* Too many entries. */
	start(t, V1 | MRG);
	t->guest.ring[VIRTIO_NET_RX].avail->idx = TEST_RING_SIZE + 1;
	push(t, (struct frame *[]){ &f, &f }, 2, 0);
	assert_int_equal(t->stats->rx_frames, 0);
	assert_int_equal(t->stats->bad_rx_desc, 1);
	assert_int_equal(t->stats->drop[DROP_DOWN] + t->stats->drop[DROP_NO_BUFFER], 2);
	assert_int_equal(atomic_load(&t->net.pair[0].rx.state), RING_BROKEN);
}

static void test_down(void **state)
{
	struct test_net *t = *state;
	struct frame f = frame_of(bytes, 100);

	fill(100, 1);
	assert_true(frame_parse(&f));
	for (unsigned int why = 0; why < 3; why++) {
		start(t, V1 | MRG);
		post(t, (const uint32_t[]){ 500 }, 1, false);
		if (why == 0)
			virtio_net_set_link(&t->net, false);
		else if (why == 1)
			virtio_net_enable(&t->net, VIRTIO_NET_RX, false);
		else
			virtio_net_stop(&t->net);
		push(t, (struct frame *[]){ &f, &f }, 2, 0);
		assert_int_equal(t->stats->drop[DROP_DOWN], 2);
		assert_int_equal(guest_n_used(&t->guest.ring[VIRTIO_NET_RX]), 0);
		assert_int_equal(atomic_load(&t->net.endpoint.running), why == 0);
	}
}

/* One push of 32, simple and not, with buffers that suit and do not: order and interrupts. */
static void test_mixed_burst(void **state)
{
	struct test_net *t = *state;
	struct frame f[TEST_RING_SIZE], *p[TEST_RING_SIZE];
	struct virtio_net_hdr_v1 hdr;
	unsigned int chain = 0, n = 0;

	start(t, V1 | MRG);
	test_irqs(t, VIRTIO_NET_RX);
	for (unsigned int i = 0; i < TEST_RING_SIZE; i++)
		post(t, (const uint32_t[]){ i % 5 == 3 ? 90 : 300 }, 1, false);
	fill(4096, 3);
	for (unsigned int i = 0; i < ARRAY_SIZE(f); i++) {
		f[i] = frame_of(bytes + i, 60 + i * 11);
		if (!frame_parse(&f[i]))
			fail();
		p[i] = &f[i];
	}
	push(t, p, ARRAY_SIZE(f), 0);
	assert_int_equal(test_irqs(t, VIRTIO_NET_RX), 1);
	assert_int_equal(t->stats->irqs, 1);
	for (uint32_t size; (size = collect(t, &hdr, &chain)) != 0; n++) {
		assert_int_equal(size, f[n].size);
		assert_memory_equal(got, bytes + n, size);
	}
	assert_int_equal(n, t->stats->rx_frames);
	assert_int_equal(n + t->stats->drop[DROP_NO_BUFFER], ARRAY_SIZE(f));
	assert_true(n > 10);
}

/* --- what the header tells --- */

struct told {
	const char *name;
	uint64_t features;
	uint16_t flags;    /* of the frame */
	bool tag;          /* the receiver wants a tag */
	uint8_t hdr_flags; /* expected */
	bool computed;     /* the L4 checksum in the bytes is final */
};

/* clang-format off */
static const struct told tolds[] = {
	{ "nothing", V1 | GCSUM, 0, false, 0, false },
	{ "valid", V1 | GCSUM, FRAME_L4_VALID, false, VIRTIO_NET_HDR_F_DATA_VALID, false },
	{ "valid, tagged", V1 | GCSUM, FRAME_L4_VALID, true, VIRTIO_NET_HDR_F_DATA_VALID, false },
	{ "valid, not agreed", V1, FRAME_L4_VALID, false, 0, false },
	{ "needs", V1 | GCSUM, FRAME_L4_CSUM, false, VIRTIO_NET_HDR_F_NEEDS_CSUM, false },
	{ "needs, tagged", V1 | GCSUM, FRAME_L4_CSUM, true, VIRTIO_NET_HDR_F_NEEDS_CSUM, false },
	{ "needs, not agreed", V1, FRAME_L4_CSUM, false, 0, true },
	{ "needs, not agreed, tagged", V1, FRAME_L4_CSUM, true, 0, true },
	{ "needs ip too", V1 | GCSUM, FRAME_L4_CSUM | FRAME_IP4_CSUM, false, VIRTIO_NET_HDR_F_NEEDS_CSUM, false },
	{ "needs ip too, not agreed", V1, FRAME_L4_CSUM | FRAME_IP4_CSUM, true, 0, true },
};
/* clang-format on */

static void test_checksums(void **state)
{
	struct test_net *t = *state;

	for (size_t c = 0; c < ARRAY_SIZE(tolds) * 2; c++) {
		const struct told *told = &tolds[c / 2];
		uint32_t size = test_tcp(bytes, TEST_IP4, 0, 301, 0x10), shift = told->tag ? 4 : 0;
		struct frame f = frame_of(bytes, size);
		struct virtio_net_hdr_v1 hdr;
		unsigned int chain = 0;

		start(t, told->features | (c % 2 == 0 ? 0 : MRG));
		post(t, (const uint32_t[]){ 1500 }, 1, false);
		if ((told->flags & FRAME_IP4_CSUM) != 0)
			memset(bytes + 24, 0, 2);
		f.flags = told->flags;
		f.csum_start = 34;
		f.csum_offset = 16;
		f.l3_start = 14;
		if (!frame_parse(&f))
			fail_msg("%s", told->name);
		f.vid = 5;
		f.tci = 0x6005;
		push(t, (struct frame *[]){ &f }, 1, told->tag ? 0 : 5);
		if (collect(t, &hdr, &chain) != size + shift || hdr.flags != told->hdr_flags)
			fail_msg("%s: flags %u", told->name, hdr.flags);
		assert_int_equal(t->stats->rx_bytes, size);
		assert_memory_equal(got, bytes, 12);
		if (told->tag)
			assert_int_equal(load_be32(got + 12), 0x81006005);
		/* The IP header's sum is right in any case. */
		assert_int_equal(csum_fold(csum_add(got + 14 + shift, 20, 0)), 0xffff);
		assert_memory_equal(got + 54 + shift, bytes + 54, size - 54);
		assert_int_equal(test_l4_sum(got, TEST_IP4, 14 + shift, size + shift) == 0,
				 told->computed);
		if (hdr.flags == VIRTIO_NET_HDR_F_NEEDS_CSUM) {
			uint16_t sum;

			assert_int_equal(hdr.csum_start, 34 + shift);
			assert_int_equal(hdr.csum_offset, 16);
			/* What the guest would do with it. */
			sum = (uint16_t)~csum_fold(csum_add(got + hdr.csum_start, size - 34, 0));
			memcpy(got + hdr.csum_start + hdr.csum_offset, &sum, 2);
			assert_int_equal(test_l4_sum(got, TEST_IP4, 14 + shift, size + shift), 0);
		}
	}
}

/* SCTP's CRC has no words in the header: it is computed whatever was agreed, and said to be right where it is
 * the first L4 header's and the guest wants to know. */
static void test_sctp(void **state)
{
	static const struct {
		const char *name;
		uint64_t features;
		uint16_t ethertype, start;
		uint8_t first; /* of the IP header */
		uint8_t flags;
	} cases[] = {
		{ "IPv4", V1 | GCSUM, ETH_TYPE_IPV4, 34, 0x45, VIRTIO_NET_HDR_F_DATA_VALID },
		{ "IPv4, options", V1 | GCSUM, ETH_TYPE_IPV4, 38, 0x46,
		  VIRTIO_NET_HDR_F_DATA_VALID },
		{ "IPv4, inner", V1 | GCSUM, ETH_TYPE_IPV4, 62, 0x45, 0 },
		{ "IPv6", V1 | GCSUM, ETH_TYPE_IPV6, 54, 0x60, VIRTIO_NET_HDR_F_DATA_VALID },
		{ "IPv6, behind extensions", V1 | GCSUM, ETH_TYPE_IPV6, 62, 0x60, 0 },
		{ "no IP", V1 | GCSUM, 0x88b5, 34, 0x45, 0 },
		{ "not agreed to", V1, ETH_TYPE_IPV4, 34, 0x45, 0 },
	};
	struct test_net *t = *state;

	for (size_t c = 0; c < ARRAY_SIZE(cases); c++) {
		struct frame f = frame_of(bytes, 100);
		uint16_t field = cases[c].start + 8;
		struct virtio_net_hdr_v1 hdr;
		unsigned int chain = 0;

		start(t, cases[c].features);
		post(t, (const uint32_t[]){ 1500 }, 1, false);
		fill(100, 5);
		store_be16(bytes + ETH_ADDRS_SIZE, cases[c].ethertype);
		bytes[FRAME_SIZE_MIN] = cases[c].first;
		memset(bytes + field, 0, 4);
		f.flags = FRAME_L4_CSUM | FRAME_SCTP_CRC;
		f.csum_start = cases[c].start;
		f.csum_offset = 8;
		assert_true(frame_parse(&f));
		push(t, (struct frame *[]){ &f }, 1, 0);
		assert_int_equal(collect(t, &hdr, &chain), 100);
		if (hdr.flags != cases[c].flags)
			fail_msg("%s: flags %u", cases[c].name, hdr.flags);
		assert_int_not_equal(load_be32(got + field), 0);
	}
}

/* --- large sends --- */

struct large {
	const char *name;
	uint64_t features;
	enum test_ip ip;
	uint32_t payload;
	uint16_t mss;
	uint8_t tcp_flags; /* UDP: it is UDP */
	bool vf; /* as a VF's driver leaves it: no lengths, no sums, no length in the seed */
	bool tag;
	uint8_t gso_type; /* of the first piece */
	unsigned int n;   /* frames that the guest gets */
};

#define T4  VIRTIO_NET_HDR_GSO_TCPV4
#define T6  VIRTIO_NET_HDR_GSO_TCPV6
#define E   VIRTIO_NET_HDR_GSO_ECN
#define CWR 0x90
#define ACK 0x10
#define FIN 0x19
#define U   VIRTIO_NET_HDR_GSO_UDP_L4
#define UDP 0

/* clang-format off */
static const struct large larges[] = {
	{ "whole 4", V1 | MRG | GCSUM | GTSO4, TEST_IP4, 60000, 1448, ACK, false, false, T4, 1 },
	{ "whole 6", V1 | MRG | GCSUM | GTSO6, TEST_IP6, 60000, 1428, ACK, false, false, T6, 1 },
	{ "whole 4, tagged", V1 | MRG | GCSUM | GTSO4, TEST_IP4, 60000, 1448, ACK, false, true, T4, 1 },
	{ "whole 4 of a vf", V1 | MRG | GCSUM | GTSO4, TEST_IP4, 60000, 1448, FIN, true, false, T4, 1 },
	{ "whole 6 of a vf, tagged", V1 | MRG | GCSUM | GTSO6, TEST_IP6, 60000, 1428, ACK, true, true, T6, 1 },
	{ "no larger than the mss", V1 | MRG | GCSUM | GTSO4, TEST_IP4, 1448, 1448, ACK, false, false, 0, 1 },
	{ "one byte larger", V1 | MRG | GCSUM | GTSO4, TEST_IP4, 1449, 1448, ACK, false, false, T4, 1 },
	{ "larger than an ip header can say", V1 | MRG | GCSUM | GTSO4, TEST_IP4, 66000, 1448, ACK, true, false, T4, 2 },
	{ "other protocol agreed", V1 | MRG | GCSUM | GTSO6, TEST_IP4, 5000, 1448, ACK, false, false, 0, 4 },
	{ "none agreed", V1 | MRG | GCSUM, TEST_IP6, 5000, 1428, FIN, true, false, 0, 4 },
	{ "no checksums either", V1 | MRG, TEST_IP4, 5000, 1448, FIN, false, true, 0, 4 },
	{ "ecn, agreed", V1 | MRG | GCSUM | GTSO4 | GECN, TEST_IP4, 5000, 1448, CWR, false, false, T4 | E, 1 },
	{ "udp 4", V1 | MRG | GCSUM | GUSO4, TEST_IP4, 60000, 1472, UDP, false, false, U, 1 },
	{ "udp 6", V1 | MRG | GCSUM | GUSO6, TEST_IP6, 60000, 1452, UDP, false, false, U, 1 },
	{ "udp 4, tagged", V1 | MRG | GCSUM | GUSO4, TEST_IP4, 60000, 1472, UDP, false, true, U, 1 },
	{ "udp 4 of a vf", V1 | MRG | GCSUM | GUSO4, TEST_IP4, 60000, 1472, UDP, true, false, U, 1 },
	{ "udp 6 of a vf, tagged", V1 | MRG | GCSUM | GUSO6, TEST_IP6, 60000, 1452, UDP, true, true, U, 1 },
	{ "one datagram", V1 | MRG | GCSUM | GUSO4, TEST_IP4, 1472, 1472, UDP, false, false, 0, 1 },
	{ "a datagram and a byte", V1 | MRG | GCSUM | GUSO4, TEST_IP4, 1473, 1472, UDP, false, false, U, 1 },
	{ "more datagrams than an ip header can say", V1 | MRG | GCSUM | GUSO4, TEST_IP4, 66000, 1472, UDP, true, false, U, 2 },
	{ "64 datagrams", V1 | MRG | GCSUM | GUSO4, TEST_IP4, 6400, 100, UDP, false, false, U, 1 },
	{ "65 datagrams", V1 | MRG | GCSUM | GUSO4, TEST_IP4, 6500, 100, UDP, false, false, U, 2 },
	{ "udp, tcp agreed", V1 | MRG | GCSUM | GTSO4 | GTSO6 | GUSO6, TEST_IP4, 5000, 1472, UDP, false, false, 0, 4 },
	{ "tcp, udp agreed", V1 | MRG | GCSUM | GUSO4 | GUSO6, TEST_IP4, 5000, 1448, ACK, false, false, 0, 4 },
	{ "udp, none agreed", V1 | MRG | GCSUM, TEST_IP6, 5000, 1452, UDP, true, true, 0, 4 },
	{ "udp, no checksums either", V1 | MRG, TEST_IP4, 5000, 1472, UDP, false, false, 0, 4 },
	{ "ecn, not agreed", V1 | MRG | GCSUM | GTSO4, TEST_IP4, 5000, 1448, CWR, false, false, 0, 4 },
};
/* clang-format on */

static void forget_what_hardware_fills_in(struct frame *f, enum test_ip ip)
{
	uint8_t *l3 = bytes + 14, *l4 = l3 + (ip == TEST_IP4 ? 20 : 40);
	uint32_t l4_size = f->size - (uint32_t)(l4 - bytes);
	uint16_t seed;

	memcpy(&seed, l4 + f->csum_offset, 2);
	seed = csum_fold(seed + (uint64_t)(uint16_t)~csum_fold(htobe32(l4_size)));
	memcpy(l4 + f->csum_offset, &seed, 2);
	memset(ip == TEST_IP4 ? l3 + 2 : l3 + 4, 0, 2);
	if (ip == TEST_IP4)
		memset(l3 + 10, 0, 2);
	f->flags &= (uint16_t)~FRAME_SEED_SIZE;
}

/* One frame that the guest got: its headers are those of a frame of this size, and the checksum is
 * right, once the guest has finished it. */
static void check_piece(const struct virtio_net_hdr_v1 *hdr, enum test_ip ip, uint32_t size,
			uint32_t shift)
{
	uint8_t *l3 = got + 14 + shift;
	uint32_t l3_size = size - 14 - shift;
	uint16_t sum;

	if (ip == TEST_IP4) {
		assert_int_equal(load_be16(l3 + 2), l3_size);
		assert_int_equal(csum_fold(csum_add(l3, 20, 0)), 0xffff);
	} else {
		assert_int_equal(load_be16(l3 + 4), l3_size - 40);
	}
	if (hdr->flags == VIRTIO_NET_HDR_F_NEEDS_CSUM) {
		sum = (uint16_t)~csum_fold(
			csum_add(got + hdr->csum_start, size - hdr->csum_start, 0));
		memcpy(got + hdr->csum_start + hdr->csum_offset, &sum, 2);
	}
	assert_int_equal(test_l4_sum(got, ip, 14 + shift, size), 0);
}

static void test_large_sends(void **state)
{
	struct test_net *t = *state;

	for (size_t c = 0; c < ARRAY_SIZE(larges); c++) {
		const struct large *l = &larges[c];
		bool udp = l->tcp_flags == UDP;
		uint32_t size = udp ? test_udp(bytes, l->ip, 0, l->payload)
				    : test_tcp(bytes, l->ip, 0, l->payload, l->tcp_flags);
		uint32_t shift = l->tag ? 4 : 0, hdr_size = size - l->payload, done = 0;
		struct frame f = frame_of(bytes, size);
		struct virtio_net_hdr_v1 hdr;
		unsigned int chain = 0, n = 0;

		start(t, l->features);
		for (unsigned int i = 0; i < TEST_RING_SIZE; i++)
			post(t, (const uint32_t[]){ 5000 }, 1, false);
		f.flags = FRAME_SEED_SIZE | FRAME_L4_CSUM | (udp ? FRAME_USO : 0) |
			  (l->ip == TEST_IP4 ? FRAME_TSO4 : FRAME_TSO6);
		f.csum_offset = udp ? 6 : 16;
		if (l->vf)
			forget_what_hardware_fills_in(&f, l->ip);
		f.mss = l->mss;
		f.csum_start = (uint16_t)(hdr_size - (udp ? 8 : 20));
		f.l3_start = 14;
		f.hdr_size = (uint16_t)hdr_size;
		if (!frame_parse(&f))
			fail_msg("%s", l->name);
		f.vid = 7;
		f.tci = 7;
		push(t, (struct frame *[]){ &f }, 1, l->tag ? 0 : 7);
		assert_int_equal(t->stats->rx_frames, 1);
		assert_int_equal(t->stats->rx_bytes, size);
		for (uint32_t piece; (piece = collect(t, &hdr, &chain)) != 0; n++) {
			const uint8_t *l4 = got + f.csum_start + shift;
			uint32_t payload = piece - hdr_size - shift;
			bool last = done + payload == l->payload;

			assert_true(last || payload % l->mss == 0);
			if (n == 0 && hdr.gso_type != l->gso_type)
				fail_msg("%s: type %u", l->name, hdr.gso_type);
			if (hdr.gso_type != 0) {
				assert_int_equal(hdr.gso_size, l->mss);
				assert_int_equal(hdr.hdr_len, hdr_size + shift);
				assert_true(payload > l->mss);
				assert_int_equal(hdr.flags, VIRTIO_NET_HDR_F_NEEDS_CSUM);
			}
			if (hdr.flags != 0)
				assert_int_equal(hdr.csum_start, f.csum_start + shift);
			if (udp) {
				assert_int_equal(load_be16(l4 + 4), 8 + payload);
			} else {
				assert_int_equal(load_be32(l4 + 4), 0xfffffff0 + done);
				assert_int_equal(l4[13] & 0x09, last ? l->tcp_flags & 0x09 : 0);
				assert_int_equal(l4[13] & 0x80,
						 done == 0 ? l->tcp_flags & 0x80 : 0);
			}
			if (l->ip == TEST_IP4)
				assert_int_equal(load_be16(got + 18 + shift),
						 (uint16_t)(load_be16(bytes + 18) + done / l->mss));
			assert_memory_equal(got + hdr_size + shift, bytes + hdr_size + done,
					    payload);
			check_piece(&hdr, l->ip, piece, shift);
			done += payload;
		}
		if (n != l->n || done != l->payload)
			fail_msg("%s: %u frames, %u bytes", l->name, n, done);
	}
}

static void test_caps(void **state)
{
	struct test_net *t = *state;
	static const struct {
		uint64_t features;
		unsigned int caps;
	} cases[] = {
		{ V1, 0 },
		{ V1 | GTSO4 | GTSO6, 0 }, /* 5.1.3.1: both need GUEST_CSUM */
		{ V1 | GCSUM, 0 },
		{ V1 | GCSUM | GTSO4, ENDPOINT_TSO4 },
		{ V1 | GCSUM | GTSO6, ENDPOINT_TSO6 },
		{ V1 | GCSUM | GTSO4 | GTSO6, ENDPOINT_TSO4 | ENDPOINT_TSO6 },
		{ V1 | GUSO4 | GUSO6, 0 },
		{ V1 | GCSUM | GUSO4, ENDPOINT_USO4 },
		{ V1 | GCSUM | GUSO6 | GTSO4, ENDPOINT_USO6 | ENDPOINT_TSO4 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		start(t, cases[i].features);
		assert_int_equal(atomic_load(&t->net.endpoint.caps), cases[i].caps);
	}
}

/* --- dirty log --- */

static bool logged(const struct test_net *t, const void *va)
{
	uint64_t page = (t->guest.iova + (uint64_t)((const uint8_t *)va - t->guest.va)) >> 12;

	return (t->log[page / 8] & 1u << (page % 8)) != 0;
}

static void test_dirty_log(void **state)
{
	struct test_net *t = *state;
	struct frame small = frame_of(bytes, 100), big = frame_of(bytes, 6000);
	struct guest_ring *r = &t->guest.ring[VIRTIO_NET_RX];
	uint8_t *far;
	unsigned int n = 0;

	t->log_on = true;
	start(t, V1 | MRG);
	t->log_on = false;
	guest_alloc(&t->guest, 8192, 0);
	for (unsigned int i = 0; i < 3; i++)
		post(t, (const uint32_t[]){ 6000 }, 1, false);
	fill(6000, 1);
	assert_true(frame_parse(&small));
	assert_true(frame_parse(&big));
	push(t, (struct frame *[]){ &small }, 1, 0);
	assert_true(logged(t, guest_va(&t->guest, posted.chain[0].iova[0])));
	assert_true(logged(t, r->used));
	/* A page of the third buffer, which has none of the others' bytes. */
	far = (uint8_t *)guest_va(&t->guest, posted.chain[2].iova[0]) + 4096;
	assert_false(logged(t, far));
	push(t, (struct frame *[]){ &big, &small }, 2, 0); /* the first in two buffers */
	for (uint32_t i = 0; i < 6000; i++)
		assert_true(logged(t, (uint8_t *)guest_va(&t->guest, posted.chain[1].iova[0]) + i));
	assert_true(logged(t, guest_va(&t->guest, posted.chain[2].iova[0])));
	assert_false(logged(t, far));
	for (size_t i = 0; i < sizeof(t->log); i++)
		n += (unsigned int)__builtin_popcount(t->log[i]);
	assert_in_range(n, 4, 8);

	/* A log that is too short is not overrun. */
	memset(t->log, 0, sizeof(t->log));
	dirty_log_mark(&(struct dirty_log){ t->log, 2 }, 15 * 4096, 10 * 4096);
	assert_int_equal(t->log[1], 0x80);
	assert_int_equal(t->log[2], 0);
	dirty_log_mark(&(struct dirty_log){ t->log, 2 }, UINT64_MAX - 5, 100);
	dirty_log_mark(&(struct dirty_log){ t->log, 2 }, 4096, 0);
	assert_int_equal(t->log[0], 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		with_both(test_shapes),        with_both(test_bad_in_the_middle),
		with_both(test_empty_buffers), with_both(test_bad_ring),
		cmocka_unit_test(test_broken), with_both(test_down),
		with_both(test_mixed_burst),   with_both(test_checksums),
		with_both(test_sctp),          with_both(test_large_sends),
		with_both(test_caps),          cmocka_unit_test(test_dirty_log),
	};

	return cmocka_run_group_tests(tests, test_setup, test_teardown);
}
