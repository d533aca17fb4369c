/* SPDX-License-Identifier: BSD-3-Clause */
/* What is the packed ring's own: chains that break its rules, laps, events, and finding out where a ring
 * stands. What it shares with the split ring is tested with both in the other tests. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "dev/virtio_net/packed.h"
#include "dev/virtio_net/test_net.h"

#define V1       (1ull << VIRTIO_F_VERSION_1)
#define MRG      (1ull << VIRTIO_NET_F_MRG_RXBUF)
#define INDIRECT (1ull << VIRTIO_RING_F_INDIRECT_DESC)
#define EVENT    (1ull << VIRTIO_RING_F_EVENT_IDX)
#define N        VRING_DESC_F_NEXT
#define W        VRING_DESC_F_WRITE
#define I        VRING_DESC_F_INDIRECT
#define BUFFER   0xabce0000ull /* replaced by the address of a good buffer */
#define TABLE    0xabcd0000ull /* by that of a table of four entries */
#define END      0xabcf0000ull /* by that of the last 8 bytes of guest memory */
#define WRAP     0x8000u

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

static struct vring_packed_desc *slots(struct test_net *t, unsigned int ring)
{
	return (struct vring_packed_desc *)(void *)t->guest.ring[ring].desc;
}

static void send_good(struct test_net *t)
{
	uint64_t iova = guest_alloc(&t->guest, 112, 0);

	guest_chain(&t->guest.ring[VIRTIO_NET_TX], &iova, (const uint32_t[]){ 112 }, 1, 0);
}

/* --- bad chains --- */

struct raw {
	uint64_t iova;
	uint32_t size;
	uint16_t flags;
};

struct bad {
	const char *name;
	struct raw slot[4];
	unsigned int n_slots;
	struct raw table[4];
	unsigned int n_frames; /* 1: it is unusual and good */
};

/* clang-format off */
static const struct bad bads[] = {
	{ "address 0", { { 0, 64, 0 } }, 1, { { 0 } }, 0 },
	{ "address at the top", { { UINT64_MAX, 64, 0 } }, 1, { { 0 } }, 0 },
	{ "runs out of memory", { { END, 64, 0 } }, 1, { { 0 } }, 0 },
	{ "size 4 GiB", { { BUFFER, UINT32_MAX, 0 } }, 1, { { 0 } }, 0 },
	{ "size 0", { { BUFFER, 0, 0 } }, 1, { { 0 } }, 0 },
	{ "second outside", { { BUFFER, 64, N }, { 16, 64, 0 } }, 2, { { 0 } }, 0 },
	{ "first outside, rest good", { { 16, 64, N }, { BUFFER, 64, N }, { BUFFER, 64, 0 } }, 3, { { 0 } }, 0 },
	{ "writable", { { BUFFER, 64, W } }, 1, { { 0 } }, 0 },
	{ "second writable", { { BUFFER, 64, N }, { BUFFER, 64, W } }, 2, { { 0 } }, 0 },
	{ "all empty", { { BUFFER, 0, N }, { BUFFER, 0, N }, { BUFFER, 0, 0 } }, 3, { { 0 } }, 0 },
	{ "empty between", { { BUFFER, 12, N }, { BUFFER, 0, N }, { BUFFER, 52, 0 } }, 3, { { 0 } }, 1 },
	{ "flags of no meaning", { { BUFFER, 64, 0x7878 & ~(N | W | I) } }, 1, { { 0 } }, 1 },
	{ "table with next", { { TABLE, 16, I | N }, { BUFFER, 64, 0 } }, 2, { { BUFFER, 64, 0 } }, 0 },
	{ "table behind a buffer", { { BUFFER, 12, N }, { TABLE, 16, I } }, 2, { { BUFFER, 64, 0 } }, 1 },
	{ "table of 15 bytes", { { TABLE, 15, I } }, 1, { { BUFFER, 64, 0 } }, 0 },
	{ "table of 24 bytes", { { TABLE, 24, I } }, 1, { { BUFFER, 64, 0 } }, 0 },
	{ "table of nothing", { { TABLE, 0, I } }, 1, { { BUFFER, 64, 0 } }, 0 },
	{ "table of 4 GiB", { { TABLE, UINT32_MAX & ~15u, I } }, 1, { { BUFFER, 64, 0 } }, 0 },
	{ "table outside", { { 32, 16, I } }, 1, { { BUFFER, 64, 0 } }, 0 },
	{ "table half outside", { { END, 16, I } }, 1, { { BUFFER, 64, 0 } }, 0 },
	{ "table's buffer outside", { { TABLE, 32, I } }, 1, { { BUFFER, 64, 0 }, { 8, 64, 0 } }, 0 },
	{ "table's buffer writable", { { TABLE, 16, I } }, 1, { { BUFFER, 64, W } }, 0 },
	{ "next in a table counts for nothing", { { TABLE, 16, I } }, 1, { { BUFFER, 64, N } }, 1 },
	{ "nor does a table in a table", { { TABLE, 32, I } }, 1, { { BUFFER, 64, I }, { BUFFER, 32, 0 } }, 1 },
	{ "one table after another", { { TABLE, 16, I }, { BUFFER, 64, 0 } }, 1, { { BUFFER, 64, 0 } }, 1 },
};
/* clang-format on */

static uint64_t replace(struct test_net *t, uint64_t iova, uint64_t table, uint64_t buffer)
{
	if (iova == TABLE)
		return table;
	if (iova == BUFFER)
		return buffer;
	return iova == END ? t->guest.iova + t->guest.size - 8 : iova;
}

/* Each at several places, the ring's end among them, with a good frame behind it. */
static void test_bad_chains(void **state)
{
	struct test_net *t = *state;

	for (size_t c = 0; c < ARRAY_SIZE(bads) * 4; c++) {
		const struct bad *b = &bads[c / 4];
		struct guest_ring *r = &t->guest.ring[VIRTIO_NET_TX];
		uint64_t iova[4] = { 0 }, buffer, table;
		struct vring_packed_desc *in;
		uint32_t size[4], id;
		uint16_t first;

		test_start(t, V1 | INDIRECT, (uint16_t)(13 + c % 4));
		buffer = guest_alloc(&t->guest, 64, 0);
		table = guest_alloc(&t->guest, 64, 0);
		in = guest_va(&t->guest, table);
		for (unsigned int i = 0; i < 4; i++) {
			in[i] = (struct vring_packed_desc){
				replace(t, b->table[i].iova, table, buffer), b->table[i].size,
				0xffff, b->table[i].flags
			};
			iova[i] = replace(t, b->slot[i].iova, table, buffer);
			size[i] = b->slot[i].size;
		}
		first = r->avail_idx;
		guest_chain(r, iova, size, b->n_slots, 0);
		for (uint16_t i = 0, at = first; i < b->n_slots; i++) {
			slots(t, VIRTIO_NET_TX)[at & ~WRAP].flags |= b->slot[i].flags;
			at = packed_move(at, 1, r->size);
		}
		send_good(t);
		if (pull(t) != 1 + b->n_frames || t->stats->bad_tx_desc != 1 - b->n_frames)
			fail_msg("%s: %u frames, %lu bad", b->name, t->burst.n,
				 t->stats->bad_tx_desc);
		done(t);
		for (unsigned int i = 0; i < 2; i++)
			assert_true(guest_collect(r, &id, size));
		assert_int_equal(t->net.pair[0].tx.used_idx, r->seen);
		assert_true(ring_runs(&t->net.pair[0].tx));
	}
}

/* A chain longer than any frame, and one without end. */
static void test_long_chains(void **state)
{
	struct test_net *t = *state;
	struct guest_ring *r = &t->guest.ring[VIRTIO_NET_TX];
	uint32_t size[CHAIN_DESCS + 20], id;
	uint64_t iova[CHAIN_DESCS + 20];

	test_start(t, V1 | INDIRECT, 5);
	for (unsigned int i = 0; i < ARRAY_SIZE(size); i++) {
		iova[i] = guest_alloc(&t->guest, 4, 0);
		size[i] = 4;
	}
	guest_chain_indirect(&t->guest, r, iova, size, ARRAY_SIZE(size), 0, 0);
	guest_chain(r, iova, size, 14, 0);
	assert_int_equal(pull(t), 1);
	assert_int_equal(t->stats->bad_tx_desc, 1);
	assert_int_equal(t->burst.frame[0].n_segs, 11);
	done(t);
	assert_true(guest_collect(r, &id, size) && guest_collect(r, &id, size));

	send_good(t);
	for (unsigned int i = 0; i < TEST_RING_SIZE; i++)
		slots(t, VIRTIO_NET_TX)[i].flags |= VRING_DESC_F_NEXT;
	assert_int_equal(pull(t), 0);
	assert_int_equal(atomic_load(&t->net.pair[0].tx.state), RING_BROKEN);
	assert_int_equal(t->stats->bad_tx_desc, 2);
	assert_int_equal(pull(t), 0);
	assert_int_equal(t->stats->bad_tx_desc, 2);
	assert_int_equal(guest_n_used(r), 0);
	assert_true(ring_runs(&t->net.pair[0].rx));
}

/* Receive: the same, and it is the ring that is down. */
static void test_long_receive_chains(void **state)
{
	struct test_net *t = *state;
	struct frame f = { .va = t->guest.va, .seg_size = 60, .size = 60, .n_segs = 1 };
	const struct frame *p = &f;

	assert_true(frame_parse(&f));
	/* Without end; and one over the end, with another in the next lap that goes on to its start. */
	for (unsigned int how = 0; how < 2; how++) {
		struct vring_packed_desc *d = slots(t, VIRTIO_NET_RX);
		uint64_t iova;

		test_start(t, V1 | MRG, 5);
		iova = guest_alloc(&t->guest, 1, 0);
		for (unsigned int i = 0; i < TEST_RING_SIZE; i++)
			d[i] = (struct vring_packed_desc){
				iova, 1, 0, guest_slot_flags(i < 5 ? 0 : WRAP, false) | N | W
			};
		if (how == 1) {
			d[2].flags &= (uint16_t)~N;
			d[10].flags &= (uint16_t)~N;
			d[5].len = 12;
		}
		t->net.endpoint.ops->push(&t->net.endpoint, &p, 1, 0, t->stats);
		assert_int_equal(atomic_load(&t->net.pair[0].rx.state), RING_BROKEN);
		assert_int_equal(t->stats->drop[DROP_DOWN], 1);
		assert_int_equal(t->net.pair[0].rx.used_idx, WRAP | 5);
	}
}

/* No driver's chain is so long, in whatever ring: it ends there, and with it the time that it costs. */
static void test_endless_chain(void **state)
{
	struct test_net *t = *state;
	struct virtio_net_setup s = { .features = V1 | 1ull << VIRTIO_F_RING_PACKED,
				      .mem = t->mem };
	struct vring_packed_desc *slot = (void *)(t->guest.va + TEST_MEM_SIZE / 2);

	for (unsigned int n = 256; n <= 257; n++) {
		test_start(t, V1, 0);
		virtio_net_stop(&t->net);
		guest_setup(&t->guest, s.ring);
		memset(slot, 0, 1024 * sizeof(*slot));
		for (unsigned int i = 0; i < n; i++)
			slot[i].flags = PACKED_AVAIL | (i < n - 1 ? N : 0);
		s.ring[VIRTIO_NET_TX] = (struct virtio_ring_setup){
			.desc = slot,
			.avail = s.ring[VIRTIO_NET_TX].avail,
			.used = s.ring[VIRTIO_NET_TX].used,
			.size = 1024,
			.avail_idx = WRAP,
			.used_idx = WRAP,
		};
		assert_int_equal(virtio_net_start(&t->net, &s), 0);
		assert_int_equal(pull(t), 0);
		assert_int_equal(atomic_load(&t->net.pair[0].tx.state),
				 n <= 256 ? RING_RUNNING : RING_BROKEN);
		assert_int_equal(t->stats->bad_tx_desc, 1);
	}
}

/* In a ring smaller than a burst, slots may be made available again while they are taken. */
static void test_small_rings(void **state)
{
	assert_non_null(*state);
	for (uint32_t size = 1; size < 40; size++) {
		for (uint32_t start = 0; start < 2 * size; start++) {
			struct packed_at at = { start % size,
						start < size ? PACKED_AVAIL : PACKED_USED };
			uint16_t pos = packed_pos(at);

			for (uint32_t n = 0; n <= 4 * BURST_MAX; n++) {
				assert_int_equal(packed_move(pos, n, size), packed_pos(at));
				packed_step(&at, size);
			}
		}
	}
}

/* A slot is available by both flags, in its lap. */
static void test_laps(void **state)
{
	static const struct {
		uint16_t flags;
		bool first_lap, second_lap;
	} cases[] = {
		{ 0, false, false },
		{ PACKED_AVAIL, true, false },
		{ PACKED_USED, false, true },
		{ PACKED_BOTH, false, false },
	};
	struct test_net *t = *state;

	for (size_t c = 0; c < ARRAY_SIZE(cases) * 2; c++) {
		bool second = c % 2 != 0;
		const bool good = second ? cases[c / 2].second_lap : cases[c / 2].first_lap;

		test_start(t, V1, second ? TEST_RING_SIZE : 0);
		send_good(t);
		slots(t, VIRTIO_NET_TX)[0].flags = cases[c / 2].flags;
		assert_int_equal(pull(t), good);
		assert_int_equal(t->stats->bad_tx_desc, 0);
		if (good)
			done(t);
		assert_int_equal(t->net.pair[0].tx.used_idx,
				 packed_move(second ? 0 : WRAP, good, 16));
	}
}

/* More than fits into a burst, round after round. */
static void test_rounds(void **state)
{
	struct test_net *t = *state;
	struct guest_ring *r = &t->guest.ring[VIRTIO_NET_TX];
	uint32_t id, size;
	uint64_t used;

	test_start(t, V1, 0);
	used = t->guest.used;
	for (unsigned int round = 0; round < 40; round++) {
		unsigned int n = round % TEST_RING_SIZE + 1;

		t->guest.used = used;
		for (unsigned int i = 0; i < n; i++)
			send_good(t);
		assert_int_equal(pull(t), n);
		assert_int_equal(guest_n_used(r), 0);
		done(t);
		for (unsigned int i = 0; i < n; i++)
			assert_true(guest_collect(r, &id, &size));
		assert_false(guest_collect(r, &id, &size));
		assert_int_equal(packed_resume(t->net.pair[0].tx.slot, TEST_RING_SIZE, 0x1234),
				 t->net.pair[0].tx.used_idx);
	}
}

/* --- interrupts and kicks --- */

static struct vring_packed_desc_event *event_of(void *area)
{
	return area;
}

static void test_events(void **state)
{
	/* From the start-th slot of all laps n are used; the guest wants to hear of the event-th. */
	static const struct {
		uint64_t features;
		uint16_t flags, start, event, n;
		bool irq;
	} cases[] = {
		{ V1, VRING_PACKED_EVENT_FLAG_ENABLE, 0, 0, 2, true },
		{ V1, VRING_PACKED_EVENT_FLAG_DISABLE, 0, 0, 2, false },
		{ V1, VRING_PACKED_EVENT_FLAG_DESC, 0, 9, 2, true }, /* not agreed: as enabled */
		{ V1 | EVENT, VRING_PACKED_EVENT_FLAG_ENABLE, 0, 9, 2, true },
		{ V1 | EVENT, VRING_PACKED_EVENT_FLAG_DISABLE, 0, 0, 2, false },
		{ V1 | EVENT, VRING_PACKED_EVENT_FLAG_DESC, 0, 0, 1, true },
		{ V1 | EVENT, VRING_PACKED_EVENT_FLAG_DESC, 0, 1, 1, false },
		{ V1 | EVENT, VRING_PACKED_EVENT_FLAG_DESC, 0, 1, 2, true },
		{ V1 | EVENT, VRING_PACKED_EVENT_FLAG_DESC, 5, 4, 3, false },
		{ V1 | EVENT, VRING_PACKED_EVENT_FLAG_DESC, 5, 5, 3, true },
		{ V1 | EVENT, VRING_PACKED_EVENT_FLAG_DESC, 5, 7, 3, true },
		{ V1 | EVENT, VRING_PACKED_EVENT_FLAG_DESC, 5, 8, 3, false },
		{ V1 | EVENT, VRING_PACKED_EVENT_FLAG_DESC, 14, 13, 4, false },
		{ V1 | EVENT, VRING_PACKED_EVENT_FLAG_DESC, 14, 15, 4, true },
		{ V1 | EVENT, VRING_PACKED_EVENT_FLAG_DESC, 14, 16, 4, true },
		{ V1 | EVENT, VRING_PACKED_EVENT_FLAG_DESC, 14, 17, 4, true },
		{ V1 | EVENT, VRING_PACKED_EVENT_FLAG_DESC, 14, 18, 4, false },
		{ V1 | EVENT, VRING_PACKED_EVENT_FLAG_DESC, 14, 16, 2, false },
		{ V1 | EVENT, VRING_PACKED_EVENT_FLAG_DESC, 30, 32, 3, true },
		{ V1 | EVENT, VRING_PACKED_EVENT_FLAG_DESC, 30, 33, 3, false },
		{ V1 | EVENT, VRING_PACKED_EVENT_FLAG_DESC, 3, 9, 16, true },
		{ V1 | EVENT, VRING_PACKED_EVENT_FLAG_DESC, 3, 19, 16, false },
	};
	struct test_net *t = *state;

	for (size_t c = 0; c < ARRAY_SIZE(cases); c++) {
		struct guest_ring *r = &t->guest.ring[VIRTIO_NET_TX];
		struct vring_packed_desc_event *event = event_of(r->avail);

		test_start(t, cases[c].features, cases[c].start);
		assert_int_equal(event_of(r->used)->flags, VRING_PACKED_EVENT_FLAG_DISABLE);
		t->net.pair[0].tx.call_next = false; /* that is tested with both kinds */
		event->flags = cases[c].flags;
		event->off_wrap = (uint16_t)(cases[c].event % TEST_RING_SIZE |
					     (cases[c].event / TEST_RING_SIZE % 2 ? 0 : WRAP));
		for (unsigned int i = 0; i < cases[c].n; i++)
			send_good(t);
		assert_int_equal(pull(t), cases[c].n);
		done(t);
		if (test_irqs(t, VIRTIO_NET_TX) != cases[c].irq)
			fail_msg("case %zu", c);
	}
}

/* --- where it stands --- */

static void test_resume(void **state)
{
	/* USED flags of 8 slots, first slot first; where the client says; what it is. */
	static const struct {
		const char *name, *used;
		uint16_t said, is;
	} cases[] = {
		{ "never used", "00000000", WRAP, WRAP },
		{ "never used, nothing said", "00000000", 0, WRAP },
		{ "as said", "11100000", WRAP | 3, WRAP | 3 },
		{ "as said in the second lap", "00011111", 3, 3 },
		{ "the lap's last slot", "11111110", WRAP | 7, WRAP | 7 },
		{ "the lap's end", "11111111", 0, 0 },
		{ "the second lap's end", "00000000", WRAP, WRAP },
		{ "client knows of no use", "11100000", WRAP, WRAP | 3 },
		{ "nor of the second lap", "00000111", WRAP, 5 },
		{ "client is behind", "11111000", WRAP | 2, WRAP | 5 },
		{ "client is ahead", "11111000", WRAP | 7, WRAP | 5 },
		{ "client is a lap behind", "00111111", WRAP | 5, 2 },
		{ "client is one behind", "00011111", 2, 3 },
		{ "beyond the end", "11000000", 8, WRAP | 2 },
		{ "far beyond the end", "00111111", WRAP | 0x7fff, 2 },
		{ "wrong lap", "11100000", 3, WRAP | 3 },
		{ "a foreign device's chain", "11001000", WRAP | 5, WRAP | 5 },
		{ "at such a chain's end", "11010000", WRAP | 5, WRAP | 5 },
		{ "and beyond the end", "11010000", 8, WRAP | 2 },
		{ "one slot: first lap", "0", WRAP, WRAP },
		{ "one slot: second lap", "1", WRAP, 0 },
	};
	assert_non_null(*state);

	for (size_t c = 0; c < ARRAY_SIZE(cases); c++) {
		uint32_t size = (uint32_t)strlen(cases[c].used);
		/* What the driver has made available since has the other AVAIL flag. */
		for (unsigned int avail = 0; avail < 2; avail++) {
			struct vring_packed_desc slot[8] = { 0 };
			uint16_t is;

			for (uint32_t i = 0; i < size; i++)
				slot[i].flags =
					(uint16_t)((cases[c].used[i] == '1' ? PACKED_USED : 0) |
						   ((cases[c].used[i] == '1') != avail
							    ? PACKED_AVAIL
							    : 0));
			is = packed_resume(slot, size, cases[c].said);
			if (is != cases[c].is)
				fail_msg("%s: %#x", cases[c].name, is);
		}
	}
}

/* A new process goes on with what a ring's memory says, in the middle of chains of all lengths. */
static void test_restart(void **state)
{
	struct test_net *t = *state;
	struct guest_ring *r = &t->guest.ring[VIRTIO_NET_TX];
	struct virtio_net_setup setup = { .features = V1 | 1ull << VIRTIO_F_RING_PACKED,
					  .mem = t->mem };
	uint64_t iova[4], used;
	uint32_t size[4], id;

	test_start(t, V1, 0);
	for (unsigned int i = 0; i < 4; i++) {
		iova[i] = guest_alloc(&t->guest, 64, 0);
		size[i] = 64;
	}
	used = t->guest.used;
	for (unsigned int round = 0; round < 100; round++) {
		t->guest.used = used;
		for (unsigned int i = 0; i < 3; i++)
			guest_chain(r, iova, size, 1 + (round + i) % 4, 0);
		assert_int_equal(pull(t), 3);
		done(t);
		assert_int_equal(guest_n_used(r), 3);
		/* Some go on with one that was offered, or collected, or not. */
		if (round % 3 != 0)
			for (unsigned int i = 0; i < 3; i++)
				assert_true(guest_collect(r, &id, size + 3));
		size[3] = 64;
		if (round % 3 == 1)
			guest_chain(r, iova, size, 1 + round % 4, 0);
		virtio_net_stop(&t->net);
		guest_setup(&t->guest, setup.ring);
		setup.ring[VIRTIO_NET_TX].avail_idx = WRAP; /* as QEMU says after a loss */
		assert_int_equal(virtio_net_start(&t->net, &setup), 0);
		assert_int_equal(pull(t), round % 3 == 1);
		if (round % 3 == 1)
			done(t);
		while (guest_collect(r, &id, size + 3))
			;
		size[3] = 64;
		assert_int_equal(r->n_offered, r->n_collected);
	}
}

static void test_unsound_setups(void **state)
{
	struct test_net *t = *state;
	struct virtio_net_setup good = { .features = V1 | 1ull << VIRTIO_F_RING_PACKED,
					 .mem = t->mem },
				s;

	test_start(t, V1, 0);
	virtio_net_stop(&t->net);
	guest_setup(&t->guest, good.ring);
	good.ring[0].size = 15; /* any size will do */
	assert_int_equal(virtio_net_start(&t->net, &good), 0);
	virtio_net_stop(&t->net);
	for (unsigned int c = 0; c < 16; c++) {
		uint8_t *end = t->guest.va + t->guest.size;
		struct virtio_ring_setup *r;

		s = good;
		r = &s.ring[c % 2];
		switch (c / 2) {
		case 0:
			r->size = 0;
			break;
		case 1:
			r->size = 32769;
			break;
		case 2:
			r->desc = (uint8_t *)r->desc + 8;
			break;
		case 3:
			r->desc = end - 16 * 14;
			break;
		case 4:
			r->avail = end - 2;
			break;
		case 5:
			r->avail = (uint8_t *)r->avail + 2;
			break;
		case 6:
			r->used = t->guest.va - 4;
			break;
		case 7:
			r->used = (uint8_t *)r->used + 2;
			break;
		}
		assert_int_equal(virtio_net_start(&t->net, &s), -EINVAL);
		assert_int_equal(atomic_load(&t->net.pair[0].rx.state), RING_STOPPED);
		assert_int_equal(atomic_load(&t->net.pair[0].tx.state), RING_STOPPED);
	}
}

/* What the device writes in guest memory is in the log: slots, its event structure, buffers. */
static void test_dirty_log(void **state)
{
	struct test_net *t = *state;
	const struct guest_ring *r = &t->guest.ring[VIRTIO_NET_TX];
	uint64_t page = (TEST_IOVA + (uint64_t)((uint8_t *)r->desc - t->guest.va)) / 4096;
	uint64_t event = (TEST_IOVA + (uint64_t)((uint8_t *)r->used - t->guest.va)) / 4096;

	t->log_on = true;
	test_start(t, V1, 0);
	t->log_on = false;
	assert_true((t->log[event / 8] & 1u << event % 8) != 0);
	memset(t->log, 0, sizeof(t->log));
	send_good(t);
	assert_int_equal(pull(t), 1);
	assert_int_equal(t->log[page / 8] & 1u << page % 8, 0);
	done(t);
	assert_true((t->log[page / 8] & 1u << page % 8) != 0);
	assert_int_equal(guest_n_used(r), 1);
}

/* Any bits in the ring, at any time: nothing is touched but guest memory, and the next start works. */
static void test_noise(void **state)
{
	struct test_net *t = *state;
	uint64_t seed = 1;

	for (unsigned int round = 0; round < 3000; round++) {
		struct vring_packed_desc *d;

		if (round % 50 == 0)
			test_start(t, V1 | MRG | INDIRECT | EVENT, (uint16_t)round);
		for (unsigned int i = 0; i < 2 * TEST_RING_SIZE; i++) {
			seed = seed * 6364136223846793005ull + 1442695040888963407ull;
			d = &slots(t, i / TEST_RING_SIZE)[i % TEST_RING_SIZE];
			d->flags = (uint16_t)(seed >> 33);
			d->id = (uint16_t)(seed >> 17);
			d->len = seed >> 40 & 1 ? (uint32_t)(seed >> 50) : (uint32_t)seed;
			/* Often inside, at times the ring itself as a table or a buffer. */
			d->addr = seed >> 41 & 3 ? TEST_IOVA + (seed >> 20) % TEST_MEM_SIZE : seed;
		}
		if (pull(t) > 0) {
			const struct frame *good[BURST_MAX];
			unsigned int n = 0;

			for (unsigned int i = 0; i < t->burst.n; i++) {
				t->burst.frame[i].vid = 0;
				if (frame_parse(&t->burst.frame[i]))
					good[n++] = &t->burst.frame[i];
			}
			t->net.endpoint.ops->push(&t->net.endpoint, good, n, 0, t->stats);
			done(t);
		}
	}
	assert_true(t->net.pair[0].tx.used_idx == t->net.pair[0].tx.avail_idx);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		with_packed(test_bad_chains),
		with_packed(test_long_chains),
		with_packed(test_long_receive_chains),
		with_packed(test_endless_chain),
		cmocka_unit_test(test_small_rings),
		with_packed(test_laps),
		with_packed(test_rounds),
		with_packed(test_events),
		cmocka_unit_test(test_resume),
		with_packed(test_restart),
		with_packed(test_unsound_setups),
		with_packed(test_dirty_log),
		with_packed(test_noise),
	};

	return cmocka_run_group_tests(tests, test_setup, test_teardown);
}
