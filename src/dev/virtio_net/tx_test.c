/* SPDX-License-Identifier: BSD-3-Clause */
/* The transmit ring: chain forms, offloads, interrupts, and what no driver would do. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cmocka.h>

#include "dev/virtio_net/test_net.h"

static unsigned int pull(struct test_net *t)
{
	t->burst.n = 0;
	t->burst.n_segs = 0;
	return t->net.pair[0].txq.ops->pull(&t->net.pair[0].txq, &t->burst);
}

static void done(struct test_net *t)
{
	t->net.pair[0].txq.ops->done(&t->net.pair[0].txq);
}

/* Writes header and frame into buffers of the given sizes and offers them. n_direct < 0: all in the
 * ring's table. */
static void send_split(struct test_net *t, const void *bytes, const uint32_t *size, unsigned int n,
		       int n_direct)
{
	struct guest_ring *r = &t->guest.ring[VIRTIO_NET_TX];
	const uint8_t *from = bytes;
	uint64_t iova[CHAIN_DESCS + 4];

	for (unsigned int i = 0; i < n; i++) {
		iova[i] = guest_alloc(&t->guest, size[i], i % 5);
		memcpy(guest_va(&t->guest, iova[i]), from, size[i]);
		from += size[i];
	}
	if (n_direct < 0)
		guest_chain(r, iova, size, n, 0);
	else
		guest_chain_indirect(&t->guest, r, iova, size, n, (unsigned int)n_direct, 0);
}

static void fill(uint8_t *bytes, uint32_t size, uint8_t seed)
{
	for (uint32_t i = 0; i < size; i++)
		bytes[i] = (uint8_t)(seed + i * 7);
}

static void assert_one_back(struct test_net *t)
{
	uint32_t head, size;

	assert_true(guest_collect(&t->guest.ring[VIRTIO_NET_TX], &head, &size));
	assert_int_equal(size, 0);
}

/* --- chain forms --- */

struct form {
	const char *name;
	uint64_t features;
	uint32_t split[10]; /* buffer sizes: a header of hdr_size and 100 bytes, all told */
	int n_direct;
	unsigned int n_segs; /* 0: the chain is bad */
};

#define V1       (1ull << VIRTIO_F_VERSION_1)
#define INDIRECT (1ull << VIRTIO_RING_F_INDIRECT_DESC)

static const struct form forms[] = {
	{ "one buffer", V1, { 112 }, -1, 1 },
	{ "header apart", V1, { 12, 100 }, -1, 1 },
	{ "header apart, two", V1, { 12, 40, 60 }, -1, 2 },
	{ "header inside first", V1, { 13, 99 }, -1, 2 },
	{ "header split", V1, { 5, 7, 100 }, -1, 1 },
	{ "header split to bytes", V1, { 1, 1, 1, 1, 1, 1, 1, 5, 100 }, -1, 1 },
	{ "header split into data", V1, { 5, 57, 50 }, -1, 2 },
	{ "empty buffers", V1, { 0, 12, 0, 50, 0, 50, 0 }, -1, 2 },
	{ "legacy header", 0, { 110 }, -1, 1 },
	{ "legacy header apart", 0, { 10, 100 }, -1, 1 },
	{ "legacy, mergeable", 1ull << VIRTIO_NET_F_MRG_RXBUF, { 12, 100 }, -1, 1 },
	{ "indirect, one", V1 | INDIRECT, { 112 }, 0, 1 },
	{ "indirect, many", V1 | INDIRECT, { 12, 20, 30, 50 }, 0, 3 },
	{ "direct, then indirect", V1 | INDIRECT, { 12, 20, 30, 50 }, 2, 3 },
	{ "indirect, not agreed", V1, { 112 }, 0, 0 },
	{ "header only", V1, { 12 }, -1, 0 },
	{ "half a header", V1, { 6 }, -1, 0 },
	{ "nothing", V1, { 0 }, -1, 0 },
	{ "one byte of frame", V1, { 13 }, -1, 1 },
};

static void test_forms(void **state)
{
	struct test_net *t = *state;
	uint8_t bytes[12 + 100], read[100];

	for (size_t c = 0; c < ARRAY_SIZE(forms); c++) {
		const struct form *form = &forms[c];
		uint32_t hdr_size = form->features != 0 ? 12 : 10, total = 0;
		unsigned int n = 0;

		for (unsigned int i = 0; i < ARRAY_SIZE(form->split); i++) {
			total += form->split[i];
			if (form->split[i] > 0)
				n = i + 1;
		}
		test_start(t, form->features, 0);
		assert_int_equal(t->net.hdr_size, hdr_size);
		fill(bytes, sizeof(bytes), (uint8_t)c);
		memset(bytes, 0, hdr_size);
		send_split(t, bytes, form->split, n > 0 ? n : 1, form->n_direct);
		if (form->n_segs == 0) {
			assert_int_equal(pull(t), 0);
			assert_int_equal(t->stats->bad_tx_desc, 1);
		} else {
			struct frame *f = &t->burst.frame[0];

			if (pull(t) != 1 || f->n_segs != form->n_segs)
				fail_msg("%s: %u frames, %u segments", form->name, t->burst.n,
					 f->n_segs);
			assert_int_equal(f->size, total - hdr_size);
			assert_int_equal(t->burst.n_segs, form->n_segs - 1);
			assert_int_equal(f->flags, 0);
			frame_read(f, 0, read, f->size);
			assert_memory_equal(read, bytes + hdr_size, f->size);
			/* Not before the frame was served. */
			assert_int_equal(guest_n_used(&t->guest.ring[VIRTIO_NET_TX]), 0);
			done(t);
		}
		assert_one_back(t);
	}
}

/* --- chains that break the rules --- */

struct raw {
	uint64_t iova; /* within the guest; INSIDE_TABLE + n: the n-th indirect table */
	uint32_t size;
	uint16_t flags;
	uint16_t next;
};

#define N      VRING_DESC_F_NEXT
#define W      VRING_DESC_F_WRITE
#define I      VRING_DESC_F_INDIRECT
#define TABLE  0xabcd0000ull /* replaced by the address of the indirect table */
#define INNER  0xabca0000ull /* by that of its third entry */
#define BUFFER 0xabce0000ull /* replaced by the address of a good buffer */
#define END    0xabcf0000ull /* replaced by the last 8 bytes of guest memory */

struct bad {
	const char *name;
	struct raw ring[4];
	struct raw table[3];
};

/* clang-format off */
static const struct bad bads[] = {
	{ "loop to itself", { { BUFFER, 64, N, 0 } }, { { 0 } } },
	{ "loop of two", { { BUFFER, 64, N, 1 }, { BUFFER, 64, N, 0 } }, { { 0 } } },
	{ "loop of empty ones", { { BUFFER, 0, N, 1 }, { BUFFER, 0, N, 0 } }, { { 0 } } },
	{ "next is the ring's size", { { BUFFER, 64, N, 16 } }, { { 0 } } },
	{ "next is 65535", { { BUFFER, 64, N, 0xffff } }, { { 0 } } },
	{ "address 0", { { 0, 64, 0, 0 } }, { { 0 } } },
	{ "address at the top", { { UINT64_MAX, 64, 0, 0 } }, { { 0 } } },
	{ "runs out of memory", { { END, 64, 0, 0 } }, { { 0 } } },
	{ "size 4 GiB", { { BUFFER, UINT32_MAX, 0, 0 } }, { { 0 } } },
	{ "second outside", { { BUFFER, 64, N, 1 }, { 16, 64, 0, 0 } }, { { 0 } } },
	{ "writable", { { BUFFER, 64, W, 0 } }, { { 0 } } },
	{ "second writable", { { BUFFER, 64, N, 1 }, { BUFFER, 64, W, 0 } }, { { 0 } } },
	{ "table with next", { { TABLE, 16, I | N, 1 }, { BUFFER, 64, 0, 0 } }, { { BUFFER, 64, 0, 0 } } },
	{ "table of 15 bytes", { { TABLE, 15, I, 0 } }, { { BUFFER, 64, 0, 0 } } },
	{ "table of 24 bytes", { { TABLE, 24, I, 0 } }, { { BUFFER, 64, 0, 0 } } },
	{ "table of nothing", { { TABLE, 0, I, 0 } }, { { BUFFER, 64, 0, 0 } } },
	{ "table outside", { { 32, 16, I, 0 } }, { { BUFFER, 64, 0, 0 } } },
	{ "table half outside", { { END, 16, I, 0 } }, { { BUFFER, 64, 0, 0 } } },
	{ "next beyond the table", { { TABLE, 16, I, 0 } }, { { BUFFER, 64, N, 1 } } },
	{ "loop in the table", { { TABLE, 32, I, 0 } }, { { BUFFER, 64, N, 1 }, { BUFFER, 64, N, 0 } } },
	{ "table in a table", { { TABLE, 32, I, 0 } }, { { TABLE, 32, I, 0 } } },
	{ "table in a table, late", { { TABLE, 32, I, 0 } }, { { BUFFER, 64, N, 1 }, { TABLE, 16, I, 0 } } },
	{ "table in a table, good else", { { TABLE, 16, I, 0 } }, { { INNER, 16, I, 0 }, { 0 }, { BUFFER, 64, 0, 0 } } },
	{ "table's buffer outside", { { TABLE, 16, I, 0 } }, { { 8, 64, 0, 0 } } },
};
/* clang-format on */

static uint64_t replace(struct test_net *t, uint64_t iova, uint64_t table, uint64_t buffer)
{
	if (iova == TABLE)
		return table;
	if (iova == INNER)
		return table + 2 * sizeof(struct vring_desc);
	if (iova == BUFFER)
		return buffer;
	return iova == END ? t->guest.iova + t->guest.size - 8 : iova;
}

static void test_bad_chains(void **state)
{
	struct test_net *t = *state;
	const uint8_t good[112] = { 0 };

	for (size_t c = 0; c < ARRAY_SIZE(bads); c++) {
		struct guest_ring *r = &t->guest.ring[VIRTIO_NET_TX];
		uint64_t buffer, table;
		struct vring_desc *in;

		test_start(t, V1 | INDIRECT, 0);
		buffer = guest_alloc(&t->guest, 64, 0);
		table = guest_alloc(&t->guest, 48, 0);
		in = guest_va(&t->guest, table);
		for (unsigned int i = 0; i < 3; i++) {
			const struct raw *d = &bads[c].table[i];

			in[i] = (struct vring_desc){ replace(t, d->iova, table, buffer), d->size,
						     d->flags, d->next };
		}
		for (uint16_t i = 0; i < 4; i++) {
			const struct raw *d = &bads[c].ring[i];

			guest_set_desc(r, i, replace(t, d->iova, table, buffer), d->size, d->flags,
				       d->next);
		}
		guest_offer(r, 0);
		r->next = 4;
		send_split(t, good, (const uint32_t[]){ 112 }, 1, -1);
		if (pull(t) != 1 || t->stats->bad_tx_desc != 1)
			fail_msg("%s: %u frames, %lu bad", bads[c].name, t->burst.n,
				 t->stats->bad_tx_desc);
		done(t);
		assert_one_back(t);
		assert_one_back(t);
		assert_true(ring_runs(&t->net.pair[0].tx));
	}
}

/* A frame's segments are bounded, and a burst's: what has no room waits for the next one. */
static void test_many_segments(void **state)
{
	struct test_net *t = *state;
	uint8_t bytes[12 + 200] = { 0 };
	uint32_t size[64];
	unsigned int n = 0;

	for (unsigned int i = 0; i < ARRAY_SIZE(size); i++)
		size[i] = i == 0 ? 12 : 3;
	test_start(t, V1 | INDIRECT, 0);
	send_split(t, bytes, size, 1 + FRAME_SEGS, 0);
	assert_int_equal(pull(t), 1);
	assert_int_equal(t->burst.frame[0].n_segs, FRAME_SEGS);
	done(t);
	size[0] = 13;
	send_split(t, bytes, size, 1 + FRAME_SEGS, 0);
	assert_int_equal(pull(t), 0);
	assert_int_equal(t->stats->bad_tx_desc, 1);
	assert_one_back(t);
	assert_one_back(t);

	size[0] = 12;
	for (unsigned int i = 0; i < 15; i++)
		send_split(t, bytes, size, 1 + FRAME_SEGS, 0);
	for (unsigned int want[] = { 6, 6, 3, 0 }, i = 0; i < 4; i++) {
		assert_int_equal(pull(t), want[i]);
		assert_true(t->burst.n_segs <= BURST_SEGS);
		n += t->burst.n;
		if (t->burst.n > 0)
			done(t);
	}
	assert_int_equal(n, 15);
	for (unsigned int i = 0; i < 15; i++)
		assert_one_back(t);
}

/* --- indices --- */

static void test_broken_indices(void **state)
{
	struct test_net *t = *state;
	struct guest_ring *r = &t->guest.ring[VIRTIO_NET_TX];
	const uint8_t good[112] = { 0 };

	/* More entries than the ring has. */
	test_start(t, V1, 0);
	r->avail->idx = (uint16_t)(r->size + 1);
	assert_int_equal(pull(t), 0);
	assert_int_equal(atomic_load(&t->net.pair[0].tx.state), RING_BROKEN);
	assert_int_equal(t->stats->bad_tx_desc, 1);
	assert_int_equal(pull(t), 0);
	assert_int_equal(t->stats->bad_tx_desc, 1); /* counted once */
	assert_int_equal(r->used->idx, 0);

	/* An index that went back. */
	test_start(t, V1, 7);
	r->avail->idx = 6;
	assert_int_equal(pull(t), 0);
	assert_int_equal(atomic_load(&t->net.pair[0].tx.state), RING_BROKEN);

	/* A head beyond the ring, after good ones: these are still served. */
	test_start(t, V1, 0);
	for (unsigned int i = 0; i < 3; i++)
		send_split(t, good, (const uint32_t[]){ 112 }, 1, -1);
	guest_offer(r, (uint16_t)r->size);
	send_split(t, good, (const uint32_t[]){ 112 }, 1, -1);
	assert_int_equal(pull(t), 3);
	done(t);
	assert_int_equal(atomic_load(&t->net.pair[0].tx.state), RING_BROKEN);
	assert_int_equal(pull(t), 0);
	assert_int_equal(r->used->idx, 3);
	/* The receive ring has its own indices and goes on. */
	assert_true(ring_runs(&t->net.pair[0].rx));

	/* A start mends it. */
	test_start(t, V1, 0);
	send_split(t, good, (const uint32_t[]){ 112 }, 1, -1);
	assert_int_equal(pull(t), 1);
	done(t);
}

static void test_wrap(void **state)
{
	struct test_net *t = *state;
	uint8_t bytes[112] = { 0 };
	unsigned int in = 0, out = 0;
	uint64_t used;

	test_start(t, V1, 65530);
	used = t->guest.used;
	for (unsigned int round = 0; round < 20; round++) {
		uint8_t got[4];

		t->guest.used = used;
		for (unsigned int i = 0; i < 7; i++, in++) {
			memcpy(bytes + 12, &in, sizeof(in));
			send_split(t, bytes, (const uint32_t[]){ 112 }, 1, -1);
		}
		assert_int_equal(pull(t), 7);
		for (unsigned int i = 0; i < 7; i++, out++) {
			frame_read(&t->burst.frame[i], 0, got, sizeof(got));
			assert_memory_equal(got, &out, sizeof(out));
		}
		done(t);
		for (unsigned int i = 0; i < 7; i++)
			assert_one_back(t);
	}
	if (!t->packed)
		assert_int_equal(t->guest.ring[VIRTIO_NET_TX].used->idx, (uint16_t)(65530 + 140));
}

/* --- offloads --- */

#define CSUM  (1ull << VIRTIO_NET_F_CSUM)
#define TSO4  (1ull << VIRTIO_NET_F_HOST_TSO4)
#define TSO6  (1ull << VIRTIO_NET_F_HOST_TSO6)
#define NEEDS VIRTIO_NET_HDR_F_NEEDS_CSUM
#define TCPV4 VIRTIO_NET_HDR_GSO_TCPV4
#define TCPV6 VIRTIO_NET_HDR_GSO_TCPV6
#define ECN   VIRTIO_NET_HDR_GSO_ECN
#define BOTH  (CSUM | TSO4 | TSO6)
#define DONE4 (FRAME_L4_CSUM | FRAME_TSO4 | FRAME_SEED_SIZE)
#define DONE6 (FRAME_L4_CSUM | FRAME_TSO6 | FRAME_SEED_SIZE)
#define USO   (1ull << VIRTIO_NET_F_HOST_USO)
#define UDPL4 VIRTIO_NET_HDR_GSO_UDP_L4

struct offload {
	const char *name;
	uint64_t features;
	enum test_ip ip;
	unsigned int n_tags;
	struct {
		uint8_t flags, gso_type;
		uint16_t hdr_len, gso_size, csum_start, csum_offset;
	} hdr;
	bool good;
	uint16_t flags, l3_start, hdr_size;
};

/* clang-format off */
static const struct offload offloads[] = {
	{ "nothing", CSUM, TEST_IP4, 0, { 0, 0, 0, 0, 0, 0 }, true, 0, 0, 0 },
	{ "data valid says nothing", CSUM, TEST_IP4, 0, { 2, 0, 0, 0, 0, 0 }, true, 0, 0, 0 },
	{ "checksum", CSUM, TEST_IP4, 0, { NEEDS, 0, 0, 0, 34, 16 }, true, FRAME_L4_CSUM, 0, 0 },
	{ "checksum, not agreed", 0, TEST_IP4, 0, { NEEDS, 0, 0, 0, 34, 16 }, false, 0, 0, 0 },
	{ "tso4", BOTH, TEST_IP4, 0, { NEEDS, TCPV4, 54, 1448, 34, 16 }, true, DONE4, 14, 54 },
	{ "hdr_len is a lie", BOTH, TEST_IP4, 0, { NEEDS, TCPV4, 9999, 1448, 34, 16 }, true, DONE4, 14, 54 },
	{ "tso4 with ecn", BOTH, TEST_IP4, 0, { NEEDS, TCPV4 | ECN, 54, 1448, 34, 16 }, true, DONE4, 14, 54 },
	{ "tso4 in a vlan", BOTH, TEST_IP4, 1, { NEEDS, TCPV4, 58, 1448, 38, 16 }, true, DONE4, 18, 58 },
	{ "tso4 in two", BOTH, TEST_IP4, 2, { NEEDS, TCPV4, 62, 1448, 42, 16 }, true, DONE4, 22, 62 },
	{ "tso6", BOTH, TEST_IP6, 0, { NEEDS, TCPV6, 74, 1428, 54, 16 }, true, DONE6, 14, 74 },
	{ "tso4, not agreed", CSUM | TSO6, TEST_IP4, 0, { NEEDS, TCPV4, 54, 1448, 34, 16 }, false, 0, 0, 0 },
	{ "tso6, not agreed", CSUM | TSO4, TEST_IP6, 0, { NEEDS, TCPV6, 74, 1428, 54, 16 }, false, 0, 0, 0 },
	{ "no checksum with it", BOTH, TEST_IP4, 0, { 0, TCPV4, 54, 1448, 34, 16 }, false, 0, 0, 0 },
	{ "mss 0", BOTH, TEST_IP4, 0, { NEEDS, TCPV4, 54, 0, 34, 16 }, false, 0, 0, 0 },
	{ "mss 65535", BOTH, TEST_IP4, 0, { NEEDS, TCPV4, 54, 65535, 34, 16 }, true, DONE4, 14, 54 },
	{ "udp's checksum", BOTH, TEST_IP4, 0, { NEEDS, TCPV4, 54, 1448, 34, 6 }, false, 0, 0, 0 },
	{ "start in ethernet", BOTH, TEST_IP4, 0, { NEEDS, TCPV4, 54, 1448, 13, 16 }, false, 0, 0, 0 },
	{ "start at ip", BOTH, TEST_IP4, 0, { NEEDS, TCPV4, 54, 1448, 14, 16 }, false, 0, 0, 0 },
	{ "start at the end", BOTH, TEST_IP4, 0, { NEEDS, TCPV4, 54, 1448, 3000, 16 }, false, 0, 0, 0 },
	{ "start 65535", BOTH, TEST_IP4, 0, { NEEDS, TCPV4, 54, 1448, 65535, 16 }, false, 0, 0, 0 },
	{ "udp", BOTH, TEST_IP4, 0, { NEEDS, VIRTIO_NET_HDR_GSO_UDP, 42, 1448, 34, 6 }, false, 0, 0, 0 },
	{ "uso4", CSUM | USO, TEST_IP4, 0, { NEEDS, UDPL4, 42, 1472, 34, 6 }, true, DONE4 | FRAME_USO, 14, 42 },
	{ "uso6", CSUM | USO, TEST_IP6, 0, { NEEDS, UDPL4, 62, 1452, 54, 6 }, true, DONE6 | FRAME_USO, 14, 62 },
	{ "uso4 in a vlan", CSUM | USO, TEST_IP4, 1, { NEEDS, UDPL4, 0, 1472, 38, 6 }, true, DONE4 | FRAME_USO, 18, 46 },
	{ "uso, not agreed", BOTH, TEST_IP4, 0, { NEEDS, UDPL4, 42, 1472, 34, 6 }, false, 0, 0, 0 },
	{ "uso with ecn", BOTH | USO, TEST_IP4, 0, { NEEDS, UDPL4 | ECN, 42, 1472, 34, 6 }, false, 0, 0, 0 },
	{ "uso, no checksum with it", BOTH | USO, TEST_IP4, 0, { 0, UDPL4, 42, 1472, 34, 6 }, false, 0, 0, 0 },
	{ "uso, tcp's checksum", BOTH | USO, TEST_IP4, 0, { NEEDS, UDPL4, 42, 1472, 34, 16 }, false, 0, 0, 0 },
	{ "uso, size 0", BOTH | USO, TEST_IP4, 0, { NEEDS, UDPL4, 42, 0, 34, 6 }, false, 0, 0, 0 },
	{ "uso, start at ip", BOTH | USO, TEST_IP4, 0, { NEEDS, UDPL4, 42, 1472, 14, 6 }, false, 0, 0, 0 },
	{ "uso, start 65535", BOTH | USO, TEST_IP4, 0, { NEEDS, UDPL4, 42, 1472, 65535, 6 }, false, 0, 0, 0 },
	{ "type 0x7f", BOTH, TEST_IP4, 0, { NEEDS, 0x7f, 54, 1448, 34, 16 }, false, 0, 0, 0 },
	{ "ecn alone", BOTH, TEST_IP4, 0, { NEEDS, ECN, 54, 1448, 34, 16 }, false, 0, 0, 0 },
};
/* clang-format on */

static void test_offloads(void **state)
{
	struct test_net *t = *state;
	uint8_t bytes[12 + TEST_FRAME_MAX];

	/* In one buffer (the fast path) and header apart (the slow one). */
	for (size_t c = 0; c < ARRAY_SIZE(offloads) * 2; c++) {
		const struct offload *o = &offloads[c / 2];
		const struct frame *f = &t->burst.frame[0];
		uint32_t size = o->hdr.gso_type == UDPL4
					? test_udp(bytes + 12, o->ip, o->n_tags, 2900)
					: test_tcp(bytes + 12, o->ip, o->n_tags, 2900, 0x10);
		const uint32_t one[] = { 12 + size }, two[] = { 12, size };

		test_start(t, V1 | o->features, 0);
		memset(bytes, 0, 12);
		memcpy(bytes, &o->hdr, sizeof(o->hdr));
		send_split(t, bytes, c % 2 == 0 ? one : two, 1 + c % 2, -1);
		if (pull(t) != o->good || t->stats->drop[DROP_BAD_OFFLOAD] != !o->good)
			fail_msg("%s: %u frames, %lu bad", o->name, t->burst.n,
				 t->stats->drop[DROP_BAD_OFFLOAD]);
		if (o->good) {
			if (f->flags != o->flags)
				fail_msg("%s: flags %#x", o->name, f->flags);
			if ((f->flags & FRAME_L4_CSUM) != 0) {
				assert_int_equal(f->csum_start, o->hdr.csum_start);
				assert_int_equal(f->csum_offset, o->hdr.csum_offset);
			}
			if ((f->flags & FRAME_TSO) != 0) {
				assert_int_equal(f->mss, o->hdr.gso_size);
				assert_int_equal(f->l3_start, o->l3_start);
				assert_int_equal(f->hdr_size, o->hdr_size);
				assert_true(frame_parse(&t->burst.frame[0]));
			}
			done(t);
		}
		assert_int_equal(t->stats->bad_tx_desc, 0);
		assert_one_back(t);
	}
}

/* --- interrupts and kicks --- */

static void test_flag_interrupts(void **state)
{
	struct test_net *t = *state;
	struct guest_ring *r = &t->guest.ring[VIRTIO_NET_TX];
	const uint8_t good[112] = { 0 };
	static const struct {
		uint16_t flags;
		unsigned int n_irqs;
	} steps[] = {
		{ VRING_AVAIL_F_NO_INTERRUPT, 1 }, /* the first after a start, whatever it says */
		{ VRING_AVAIL_F_NO_INTERRUPT, 0 }, { 0, 1 }, { 0, 1 },
		{ VRING_AVAIL_F_NO_INTERRUPT, 0 },
	};

	test_start(t, V1, 0);
	assert_int_equal(r->used->flags, VRING_USED_F_NO_NOTIFY);
	for (size_t i = 0; i < ARRAY_SIZE(steps); i++) {
		r->avail->flags = steps[i].flags;
		send_split(t, good, (const uint32_t[]){ 112 }, 1, -1);
		send_split(t, good, (const uint32_t[]){ 112 }, 1, -1);
		assert_int_equal(pull(t), 2);
		done(t);
		assert_int_equal(test_irqs(t, VIRTIO_NET_TX), steps[i].n_irqs);
	}
	assert_int_equal(t->stats->irqs, 3);
}

static void test_event_interrupts(void **state)
{
	struct test_net *t = *state;
	struct guest_ring *r = &t->guest.ring[VIRTIO_NET_TX];
	const uint8_t good[112] = { 0 };
	/* From `start`, n frames are done; the guest wants to hear when its used index passes event. */
	static const struct {
		uint16_t start, event, n;
		bool irq;
	} cases[] = {
		{ 0, 0, 1, true },          { 0, 1, 1, false },        { 0, 1, 2, true },
		{ 0, 2, 2, false },         { 0, 0xffff, 3, false },   { 10, 9, 3, false },
		{ 10, 10, 3, true },        { 10, 12, 3, true },       { 10, 13, 3, false },
		{ 65534, 65535, 1, false }, { 65534, 65535, 2, true }, { 65534, 0, 2, false },
		{ 65534, 0, 3, true },      { 65535, 65535, 1, true }, { 65535, 0, 1, false },
	};

	for (size_t c = 0; c < ARRAY_SIZE(cases); c++) {
		uint16_t avail_event;

		test_start(t, V1 | 1ull << VIRTIO_RING_F_EVENT_IDX, cases[c].start);
		/* Kicks are off: avail_event is one that was passed already. */
		memcpy(&avail_event, &r->used->ring[r->size], 2);
		assert_int_equal(avail_event, (uint16_t)(cases[c].start - 1));
		assert_int_equal(r->used->flags, 0);
		t->net.pair[0].tx.call_next = false; /* that is tested above */
		r->avail->ring[r->size] = cases[c].event;
		r->avail->flags = VRING_AVAIL_F_NO_INTERRUPT; /* 2.7.7.2: not looked at */
		for (unsigned int i = 0; i < cases[c].n; i++)
			send_split(t, good, (const uint32_t[]){ 112 }, 1, -1);
		assert_int_equal(pull(t), cases[c].n);
		done(t);
		if (test_irqs(t, VIRTIO_NET_TX) != cases[c].irq)
			fail_msg("case %zu", c);
	}
}

static void test_no_eventfd(void **state)
{
	struct test_net *t = *state;
	const uint8_t good[112] = { 0 };

	test_start(t, V1, 0);
	assert_int_equal(virtio_net_set_call(&t->net, VIRTIO_NET_TX, -1), t->call[VIRTIO_NET_TX]);
	send_split(t, good, (const uint32_t[]){ 112 }, 1, -1);
	assert_int_equal(pull(t), 1);
	done(t);
	assert_int_equal(t->stats->irqs, 0);
}

/* --- states --- */

static void test_discard(void **state)
{
	struct test_net *t = *state;
	const uint8_t good[112] = { 0 };

	for (unsigned int why = 0; why < 2; why++) {
		test_start(t, V1, 0);
		if (why == 0)
			virtio_net_set_link(&t->net, false);
		else
			virtio_net_enable(&t->net, VIRTIO_NET_TX, false);
		for (unsigned int i = 0; i < 5; i++)
			send_split(t, good, (const uint32_t[]){ 112 }, 1, -1);
		assert_int_equal(pull(t), 0);
		assert_int_equal(t->stats->drop[DROP_DOWN], 5);
		for (unsigned int i = 0; i < 5; i++)
			assert_one_back(t);
		if (t->packed)
			continue;
		guest_offer(&t->guest.ring[VIRTIO_NET_TX], 16);
		assert_int_equal(pull(t), 0);
		assert_int_equal(atomic_load(&t->net.pair[0].tx.state), RING_BROKEN);
	}
}

static void test_stop(void **state)
{
	struct test_net *t = *state;
	const uint8_t good[112] = { 0 };

	test_start(t, V1, 0);
	assert_int_equal(atomic_load(&t->net.endpoint.running), 1);
	send_split(t, good, (const uint32_t[]){ 112 }, 1, -1);
	/* Stopped in the middle of a burst: the burst ends in order. */
	assert_int_equal(pull(t), 1);
	virtio_net_pause(&t->net);
	assert_int_equal(atomic_load(&t->net.endpoint.running), 1);
	done(t);
	assert_one_back(t);
	send_split(t, good, (const uint32_t[]){ 112 }, 1, -1);
	assert_int_equal(pull(t), 0);
	virtio_net_stop(&t->net);
	assert_int_equal(atomic_load(&t->net.endpoint.running), 0);
	assert_int_equal(t->net.pair[0].tx.avail_idx & 0x7fff, 1);
	assert_int_equal(t->net.pair[0].tx.used_idx & 0x7fff, 1);
}

static void test_unsound_setups(void **state)
{
	struct test_net *t = *state;
	struct virtio_net_setup good = { .features = V1, .mem = t->mem }, s;

	test_start(t, V1, 0);
	virtio_net_stop(&t->net);
	guest_setup(&t->guest, good.ring);
	assert_int_equal(virtio_net_start(&t->net, &good), 0);
	virtio_net_stop(&t->net);
	for (unsigned int c = 0; c < 14; c++) {
		uint8_t *end = t->guest.va + t->guest.size;
		struct virtio_ring_setup *r;

		s = good;
		r = &s.ring[c % 2];
		switch (c / 2) {
		case 0:
			r->size = 0;
			break;
		case 1:
			r->size = 15;
			break;
		case 2:
			r->size = 65536;
			break;
		case 3:
			r->desc = (void *)((uint8_t *)r->desc + 8);
			break;
		case 4:
			r->desc = (void *)(end - 16 * 15);
			break;
		case 5:
			r->avail = (void *)(end - (6 + 16 * 2) + 2);
			break;
		case 6:
			r->used = (void *)(t->guest.va - 16);
			break;
		}
		assert_int_equal(virtio_net_start(&t->net, &s), -EINVAL);
		assert_int_equal(atomic_load(&t->net.pair[0].rx.state), RING_STOPPED);
		assert_int_equal(atomic_load(&t->net.pair[0].tx.state), RING_STOPPED);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		with_both(test_forms),
		cmocka_unit_test(test_bad_chains),
		with_both(test_many_segments),
		cmocka_unit_test(test_broken_indices),
		with_both(test_wrap),
		with_both(test_offloads),
		cmocka_unit_test(test_flag_interrupts),
		cmocka_unit_test(test_event_interrupts),
		with_both(test_no_eventfd),
		with_both(test_discard),
		with_both(test_stop),
		cmocka_unit_test(test_unsound_setups),
	};

	return cmocka_run_group_tests(tests, test_setup, test_teardown);
}
