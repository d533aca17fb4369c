/* SPDX-License-Identifier: BSD-3-Clause */
/* Receive rings: placement, write-back, filters, and guests that post nonsense. */
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "dev/intelvf/rx_test.h"

static int start_x540(void **state)
{
	guest_start(&g, "x540");
	up(MBOX_API_13, ADV | 2, RXDCTL_VME);
	return 0;
}

static void frames_arrive(void **state)
{
	static const uint32_t sizes[] = { 14, 60, 64, 65, 1514 };
	struct frame f[5];

	for (unsigned int i = 0; i < 5; i++)
		f[i] = frame(i, sizes[i]);
	guest_push(&g, f, 5, 0);
	for (unsigned int i = 0; i < 5; i++) {
		assert_int_equal(status_of(i), RXD_STAT_DD | RXD_STAT_EOP);
		assert_int_equal(size_of(i), sizes[i]);
		assert_int_equal(guest_rx_desc(&g, i)->lo, 0);
		assert_memory_equal(buf_of(i), data[i], sizes[i]);
	}
	assert_int_equal(status_of(5), 0);
	assert_int_equal(g.stats.rx_frames, 5);
	assert_int_equal(g.stats.rx_bytes, 14 + 60 + 64 + 65 + 1514);
	assert_int_equal(g.stats.irqs, 1);
	assert_int_equal(g.n_irqs[0], 1);
	/* Head and statistics are told with the next trapped access. */
	guest_read(&g, VFSTATUS);
	assert_int_equal(guest_line_read(&g, IXGBEVF_PAGE_RX + RDH), 5);
	assert_int_equal(guest_line_read(&g, VFGPRC), 5);
	assert_int_equal(guest_line_read(&g, VFGORC_LSB), 1717 + 5 * 4);
	assert_int_equal(guest_line_read(&g, VFMPRC), 0);

	/* Or when control looks, for a driver that makes none. */
	assert_int_equal(push1(&f[0], 0), 1);
	assert_int_equal(guest_line_read(&g, VFGPRC), 5);
	g.vf->ops->refresh(g.vf);
	assert_int_equal(guest_line_read(&g, VFGPRC), 6);
	assert_int_equal(guest_line_read(&g, IXGBEVF_PAGE_RX + RDH), 6);
}

/* Round the ring several times with a driver that refills behind. */
static void wrap(void **state)
{
	unsigned int next = 0;

	for (unsigned int step = 1; step <= BURST_MAX; step++) {
		struct frame f[BURST_MAX];

		for (unsigned int i = 0; i < step; i++)
			f[i] = frame(i, 60 + i + step);
		guest_push(&g, f, step, 0);
		for (unsigned int i = 0; i < step; i++) {
			assert_int_equal(status_of(next), RXD_STAT_DD | RXD_STAT_EOP);
			assert_int_equal(size_of(next), 60 + i + step);
			assert_memory_equal(buf_of(next), data[i], 60 + i + step);
			/* Give it back, one behind the tail. */
			guest_rx_post(&g, (next + N - 1) % N, next, N);
			next = (next + 1) % N;
		}
	}
	assert_int_equal(g.stats.rx_frames, BURST_MAX * (BURST_MAX + 1) / 2);
}

static void no_buffers(void **state)
{
	struct frame f[BURST_MAX];

	for (unsigned int i = 0; i < BURST_MAX; i++)
		f[i] = frame(i, 60);
	guest_push(&g, f, BURST_MAX, 0);
	guest_push(&g, f, BURST_MAX, 0);
	assert_int_equal(g.stats.rx_frames, N - 1);
	assert_int_equal(g.stats.drop[DROP_NO_BUFFER], 2 * BURST_MAX - (N - 1));
	/* Empty: the head is told at once. */
	assert_int_equal(guest_line_read(&g, IXGBEVF_PAGE_RX + RDH), N - 1);
	g.n_irqs[0] = 0;
	assert_int_equal(push1(f, 0), 0);
	assert_int_equal(g.n_irqs[0], 0);
	assert_int_equal(status_of(N - 1), 0);
	guest_rx_post(&g, N - 1, 0, N);
	assert_int_equal(push1(f, 0), 1);
	assert_int_equal(status_of(N - 1), RXD_STAT_DD | RXD_STAT_EOP);
}

/* A frame over several buffers, which lie apart. */
static void several_descriptors(void **state)
{
	static const struct {
		uint32_t size, kib;
		unsigned int n;
	} cases[] = { { 1024, 1, 1 },  { 1025, 1, 2 }, { 1514, 1, 2 }, { 2048, 1, 2 },
		      { 2049, 1, 3 },  { 9014, 1, 9 }, { 9014, 3, 3 }, { 9014, 2, 5 },
		      { 9014, 16, 1 }, { 9216, 3, 3 }, { 9217, 3, 4 } };
	unsigned int idx = 0;

	set_policy(false, false, 9720);
	assert_int_equal(ask(5, 9724, 0), 0xa0000005);
	for (unsigned int i = 0; i < ARRAY_SIZE(cases); i++) {
		struct frame f = frame(1, cases[i].size);
		uint32_t done = 0, buf_size = cases[i].kib << 10;

		guest_line_write(&g, IXGBEVF_PAGE_RX + SRRCTL, ADV | cases[i].kib);
		if (cases[i].n == 1) /* a buffer that reaches over its neighbours */
			guest_rx_desc(&g, idx)->lo = GUEST_DATA;
		if (cases[i].kib == 3)
			for (unsigned int k = 0; k < cases[i].n; k++)
				guest_rx_desc(&g, (idx + k) % N)->lo = GUEST_DATA + 4096ull * k;
		uint64_t at[16];

		for (unsigned int k = 0; k < cases[i].n; k++)
			at[k] = guest_rx_desc(&g, (idx + k) % N)->lo;
		assert_int_equal(push1(&f, 0), 1);
		for (unsigned int k = 0; k < cases[i].n; k++) {
			bool last = k + 1 == cases[i].n;
			uint32_t size = last ? cases[i].size - done : buf_size;

			assert_int_equal(status_of(idx), RXD_STAT_DD | (last ? RXD_STAT_EOP : 0));
			assert_int_equal(size_of(idx), size);
			assert_memory_equal(guest_va(&g, at[k]), data[1] + done, size);
			done += size;
			guest_rx_post(&g, (idx + N - 1) % N, idx, N);
			idx = (idx + 1) % N;
		}
		assert_int_equal(status_of(idx) & RXD_STAT_DD, 0);
	}
}

/* Not enough buffers for all of a frame: none is used, and a shorter one still fits. */
static void half_a_frame_is_none(void **state)
{
	struct frame f = frame(0, 1514), small = frame(1, 60);

	guest_line_write(&g, IXGBEVF_PAGE_RX + SRRCTL, ADV | 1);
	guest_line_write(&g, IXGBEVF_PAGE_RX + RDT, 1);
	assert_int_equal(push1(&f, 0), 0);
	assert_int_equal(g.stats.drop[DROP_NO_BUFFER], 1);
	assert_int_equal(status_of(0), 0);
	assert_int_equal(push1(&small, 0), 1);
}

static void legacy_descriptors(void **state)
{
	struct frame f = frame(0, 60);
	uint64_t addr;

	guest_line_write(&g, IXGBEVF_PAGE_RX + RXDCTL, 0);
	guest_read(&g, VFSTATUS);
	guest_rx_up(&g, N, 2, RXDCTL_VME);
	guest_rx_post(&g, 0, N - 1, N);
	addr = guest_rx_desc(&g, 0)->lo;
	set_policy(false, true, 1514);
	ask(1u << 16 | 4, 9, 0);
	f.vid = 9;
	f.tci = 0xe009;
	f.flags = FRAME_TAGGED | FRAME_L4_VALID;
	assert_int_equal(push1(&f, 0), 1);
	/* DS 7.1.5: address kept; length 15:0, status 39:32, errors 47:40, tag 63:48. */
	assert_int_equal(guest_rx_desc(&g, 0)->lo, addr);
	assert_int_equal(
		guest_rx_desc(&g, 0)->hi,
		0xe009ull << 48 |
			(uint64_t)(RXD_STAT_DD | RXD_STAT_EOP | RXD_STAT_VP | RXD_STAT_L4CS) << 32 |
			60);
	guest_rx_desc(&g, 1)->lo = 0;
	f.vid = 0;
	assert_int_equal(push1(&f, 0), 0);
	assert_int_equal(guest_rx_desc(&g, 1)->hi >> 32 & 0xffff, 0x2003);
}

static void tags(void **state)
{
	struct frame f = frame(0, 60);

	set_policy(false, true, 1514);
	ask(1u << 16 | 4, 5, 0);
	f.tci = 0x6005;
	f.vid = 5;
	f.flags = FRAME_TAGGED;
	/* Beside the frame with VME, in it without, none in the untagged VLAN. */
	assert_int_equal(push1(&f, 0), 1);
	assert_int_equal(status_of(0), RXD_STAT_DD | RXD_STAT_EOP | RXD_STAT_VP);
	assert_int_equal(tag_of(0), 0x6005);
	assert_int_equal(size_of(0), 60);
	assert_int_equal(push1(&f, 5), 1);
	assert_int_equal(status_of(1), RXD_STAT_DD | RXD_STAT_EOP);
	assert_int_equal(tag_of(1), 0);
	assert_int_equal(size_of(1), 60);
	guest_line_write(&g, IXGBEVF_PAGE_RX + RXDCTL, RXDCTL_ENABLE);
	assert_int_equal(push1(&f, 0), 1);
	assert_int_equal(status_of(2), RXD_STAT_DD | RXD_STAT_EOP);
	assert_int_equal(tag_of(2), 0);
	assert_int_equal(size_of(2), 64);
	assert_memory_equal(buf_of(2), data[0], 12);
	assert_memory_equal(buf_of(2) + 12, ((uint8_t[]){ 0x81, 0, 0x60, 5 }), 4);
	assert_memory_equal(buf_of(2) + 16, data[0] + 12, 48);
	assert_int_equal(push1(&f, 5), 1);
	assert_int_equal(size_of(3), 60);
	/* A tag that makes the frame need a second buffer. */
	f = frame(0, 1022);
	f.vid = 5;
	f.tci = 5;
	guest_line_write(&g, IXGBEVF_PAGE_RX + SRRCTL, ADV | 1);
	assert_int_equal(push1(&f, 0), 1);
	assert_int_equal(size_of(4), 1024);
	assert_int_equal(size_of(5), 2);
	assert_int_equal(status_of(4), RXD_STAT_DD);
}

/* VLAN filter: tagged frames only in VLANs that the driver asked for, untagged ones always. */
static void vlan_filter(void **state)
{
	struct frame f = frame(0, 60);
	static const struct {
		uint16_t vid, untagged;
		bool wanted;
	} cases[] = { { 0, 0, true },     { 9, 0, true },   { 10, 0, false },  { 10, 10, true },
		      { 4095, 0, false }, { 0, 10, false }, { 4094, 0, true }, { 9, 10, true } };

	set_policy(false, true, 1514);
	ask(1u << 16 | 4, 9, 0);
	ask(1u << 16 | 4, 4094, 0);
	for (unsigned int i = 0; i < ARRAY_SIZE(cases); i++) {
		uint64_t before = g.stats.drop[DROP_FILTERED];

		f.vid = f.tci = cases[i].vid;
		assert_int_equal(push1(&f, cases[i].untagged), cases[i].wanted);
		assert_int_equal(g.stats.drop[DROP_FILTERED] - before, !cases[i].wanted);
	}
	ask(4, 9, 0);
	f.vid = 9;
	assert_int_equal(push1(&f, 0), 0);
	f.vid = 4094;
	set_policy(false, false, 1514);
	assert_int_equal(push1(&f, 0), 0);
}

/* 01:00:5e:00:xx:yy; filter type 0 hashes the last twelve bits of the address. */
static uint64_t mc(uint8_t x, uint8_t y)
{
	return 0x5e0001ull | (uint64_t)x << 32 | (uint64_t)y << 40;
}

static unsigned int wants(uint64_t mac)
{
	struct frame f = guest_frame(data[0], 60, mac, 0x88b5);
	unsigned int n = push1(&f, 0);

	guest_rx_post(&g, 0, 1, N);
	guest_line_write(&g, IXGBEVF_PAGE_RX + RDT, (g.dev->st->rx[0].ring.head + N - 1) % N);
	for (unsigned int i = 0; i < N; i++)
		guest_rx_desc(&g, i)->lo = GUEST_BUFS + 2048ull * i;
	return n;
}

static void address_filters(void **state)
{
	const uint64_t other = 0x010203040502ull, added = 0x020203040502ull;

	assert_int_equal(wants(GUEST_MAC), 1);
	assert_int_equal(wants(MAC_BROADCAST), 1);
	assert_int_equal(wants(other), 0);
	assert_int_equal(wants(mc(0x12, 0x34)), 0);
	/* One hash: (0x12 >> 4) | 0x34 << 4. Its neighbours stay out. */
	ask(1u << 16 | 3, 0x341, 0);
	assert_int_equal(wants(mc(0x12, 0x34)), 1);
	assert_int_equal(wants(mc(0x1f, 0x34)), 1);
	assert_int_equal(wants(mc(0x22, 0x34)), 0);
	assert_int_equal(wants(mc(0x12, 0x35)), 0);
	/* Without multicast at all; and with it again: the table is still there. */
	ask(0xc, 0, 0);
	assert_int_equal(wants(mc(0x12, 0x34)), 0);
	ask(0xc, 1, 0);
	assert_int_equal(wants(mc(0x12, 0x34)), 1);
	/* All groups only with trust. */
	ask(0xc, 2, 0);
	assert_int_equal(wants(mc(0, 1)), 0);
	set_policy(true, false, 1514);
	ask(0xc, 2, 0);
	assert_int_equal(wants(mc(0, 1)), 1);
	assert_int_equal(wants(other), 0);
	ask(1u << 16 | 6, 0x03040502, 0x0202);
	assert_int_equal(wants(added), 1);
	assert_int_equal(wants(other), 0);
	ask(0xc, 3, 0);
	assert_int_equal(wants(other), 1);
	assert_int_equal(wants(mc(9, 9)), 1);
	ask(0xc, 1, 0);
	ask(6, 0, 0);
	assert_int_equal(wants(added), 0);
	/* A changed address. */
	ask(2, 0x03040502, 0x0102);
	assert_int_equal(wants(other), 1);
	assert_int_equal(wants(GUEST_MAC), 0);
	guest_read(&g, VFSTATUS);
	assert_int_equal(guest_line_read(&g, VFMPRC), 5);
}

/* Frames longer than SET_LPE said, the policy says; on the X540 also RXDCTL. */
static void too_long(void **state)
{
	static const struct {
		uint32_t max_frame, lpe, rlpml, size;
		bool tagged, x540, fits;
	} cases[] = {
		{ 1514, 1518, 0, 1514, false, false, true },
		{ 1514, 1518, 0, 1515, false, false, false },
		{ 1514, 1518, 0, 1514, true, false, true }, /* a tag does not count */
		{ 9014, 1518, 0, 1515, false, false, false },
		{ 9014, 9018, 0, 9014, false, false, true },
		{ 1514, 9018, 0, 9014, false, false, false }, /* lowered afterwards */
		{ 1514, 100, 0, 1514, false, false, true },   /* a VF cannot lower MAXFRS */
		{ 1514, 100, 0, 1515, false, false, false },
		{ 1514, 1518, 200, 1000, false, false, true }, /* not on the 82599 */
		{ 1514, 1518, 200, 196, false, true, true },
		{ 1514, 1518, 200, 197, false, true, false },
		{ 1514, 1518, 200, 192, true, true, true },
		{ 1514, 1518, 200, 193, true, true, false }, /* here the tag counts */
	};

	for (unsigned int i = 0; i < ARRAY_SIZE(cases); i++) {
		struct frame f = frame(0, cases[i].size);

		g.dev->has_rlpml = cases[i].x540;
		set_policy(false, true, 9720);
		ask(1u << 16 | 4, 5, 0);
		assert_int_equal(ask(5, cases[i].lpe, 0), 0xa0000005);
		set_policy(false, true, cases[i].max_frame);
		guest_line_write(&g, IXGBEVF_PAGE_RX + RXDCTL,
				 RXDCTL_ENABLE | RXDCTL_VME | RXDCTL_RLPML_EN | cases[i].rlpml);
		f.vid = cases[i].tagged ? 5 : 0;
		if (push1(&f, 0) != cases[i].fits)
			fail_msg("case %u", i);
		assert_int_equal(g.stats.drop[DROP_TOO_LONG], !cases[i].fits);
		memset(&g.stats, 0, sizeof(g.stats));
	}
}

static void x540_has_rlpml(void **state)
{
	struct frame f = frame(0, 300);

	assert_true(g.dev->has_rlpml);
	guest_line_write(&g, IXGBEVF_PAGE_RX + RXDCTL, RXDCTL_ENABLE | RXDCTL_RLPML_EN | 200);
	assert_int_equal(push1(&f, 0), 0);
	guest_line_write(&g, IXGBEVF_PAGE_RX + RXDCTL, RXDCTL_ENABLE | 200);
	assert_int_equal(push1(&f, 0), 1);
}

/* Buffers outside the guest's memory come back as bad packets, the others are used. */
static void bad_buffers(void **state)
{
	static const uint64_t cases[] = {
		0,
		UINT64_MAX,
		GUEST_RAM_AT + GUEST_RAM_SIZE - 2047, /* ends one byte too late */
		GUEST_ROM_AT,                         /* not to be written */
		GUEST_MSG_AT,                         /* by message only */
		GUEST_RAM_AT - 1,
	};
	struct frame f = frame(0, 60);

	for (unsigned int i = 0; i < ARRAY_SIZE(cases); i++) {
		guest_rx_desc(&g, 2 * i)->lo = cases[i];
		assert_int_equal(push1(&f, 0), 0);
		assert_int_equal(status_of(2 * i), RXD_STAT_DD | RXD_STAT_EOP | RXD_ERR_RXE);
		assert_int_not_equal(size_of(2 * i), 0);
		assert_int_equal(push1(&f, 0), 1);
		assert_int_equal(status_of(2 * i + 1), RXD_STAT_DD | RXD_STAT_EOP);
		assert_int_equal(g.stats.drop[DROP_BAD_BUFFER], i + 1);
		assert_int_equal(g.stats.bad_rx_desc, i + 1);
	}
	/* In the middle of a long frame, and of a burst. */
	guest_line_write(&g, IXGBEVF_PAGE_RX + SRRCTL, ADV | 1);
	guest_rx_desc(&g, 13)->lo = 0;
	f = frame(0, 1514);
	struct frame burst[3] = { f, f, frame(1, 60) };

	guest_push(&g, burst, 3, 0);
	assert_int_equal(status_of(12), RXD_STAT_DD);
	assert_int_equal(status_of(13), RXD_STAT_DD | RXD_STAT_EOP | RXD_ERR_RXE);
	assert_int_equal(status_of(14), RXD_STAT_DD);
	assert_int_equal(status_of(15), RXD_STAT_DD | RXD_STAT_EOP);
	assert_int_equal(status_of(16), RXD_STAT_DD | RXD_STAT_EOP);
	assert_memory_equal(buf_of(14), data[0], 1024);
	assert_memory_equal(buf_of(16), data[1], 60);
}

static void tails_beyond_the_ring(void **state)
{
	struct frame f = frame(0, 60);

	guest_line_write(&g, IXGBEVF_PAGE_RX + RDT, N + 1);
	assert_int_equal(push1(&f, 0), 0);
	assert_int_equal(push1(&f, 0), 0);
	assert_int_equal(g.stats.bad_rx_desc, 1);
	guest_line_write(&g, IXGBEVF_PAGE_RX + RDT, 0xffffffff);
	assert_int_equal(push1(&f, 0), 0);
	assert_int_equal(g.stats.bad_rx_desc, 2);
	guest_line_write(&g, IXGBEVF_PAGE_RX + RDT, 1);
	assert_int_equal(push1(&f, 0), 1);
}

/* At its end: the ring but for one descriptor, as a full ring always is. */
static void tail_at_the_end(void **state)
{
	struct frame f = frame(0, 60);

	guest_line_write(&g, IXGBEVF_PAGE_RX + RDT, N);
	for (unsigned int i = 0; i < N - 1; i++)
		assert_int_equal(push1(&f, 0), 1);
	assert_int_equal(push1(&f, 0), 0);
	assert_int_equal(g.stats.bad_rx_desc, 0);
	guest_rx_desc(&g, N - 1)->lo = GUEST_DATA;
	guest_line_write(&g, IXGBEVF_PAGE_RX + RDT, 0);
	assert_int_equal(push1(&f, 0), 1);
	assert_int_equal(push1(&f, 0), 0);
}

static void bad_rings(void **state)
{
	static const struct {
		uint64_t base;
		uint32_t size, head, srrctl;
		bool good;
	} cases[] = {
		{ GUEST_RX_RING, N * 16, 0, ADV | 2, true },
		{ GUEST_RX_RING + 8, N * 16, 0, ADV | 2, false },
		{ GUEST_RX_RING, 0, 0, ADV | 2, false },
		{ GUEST_RX_RING, 127, 0, ADV | 2, false },
		{ GUEST_RX_RING, 0x00100000, 0, ADV | 2, false },
		{ GUEST_RX_RING, N * 16, N, ADV | 2, false },
		{ GUEST_RX_RING, N * 16, N - 1, ADV | 2, true },
		{ GUEST_RX_RING, N * 16, 0, ADV, false },        /* no buffer size */
		{ GUEST_RX_RING, N * 16, 0, 0x04000002, false }, /* header split */
		{ GUEST_RX_RING, N * 16, 0, 0x0a000002, false },
		{ GUEST_RAM_AT + GUEST_RAM_SIZE, N * 16, 0, ADV | 2, false },
		{ GUEST_RAM_AT + GUEST_RAM_SIZE - 128, 256, 0, ADV | 2, false },
		{ GUEST_ROM_AT, 128, 0, ADV | 2, false },
		{ GUEST_MSG_AT, 128, 0, ADV | 2, false },
		{ UINT64_MAX - 127, 256, 0, ADV | 2, false },
	};
	struct frame f = frame(0, 60);

	for (unsigned int i = 0; i < ARRAY_SIZE(cases); i++) {
		uint32_t n = cases[i].size / 16;
		uint64_t before;

		guest_line_write(&g, IXGBEVF_PAGE_RX + RXDCTL, 0);
		guest_read(&g, VFSTATUS);
		assert_int_equal(g.vf->endpoint.running, 0);
		guest_rx_up(&g, N, cases[i].srrctl, 0);
		guest_line_write(&g, IXGBEVF_PAGE_RX + RXDCTL, 0);
		guest_read(&g, VFSTATUS);
		guest_rx_post(&g, 0, N - 1, N);
		guest_rx_desc(&g, N - 1)->lo = GUEST_DATA;
		guest_line_write(&g, IXGBEVF_PAGE_RX + RDBAL, (uint32_t)cases[i].base);
		guest_line_write(&g, IXGBEVF_PAGE_RX + RDBAH, (uint32_t)(cases[i].base >> 32));
		guest_line_write(&g, IXGBEVF_PAGE_RX + RDLEN, cases[i].size);
		guest_line_write(&g, IXGBEVF_PAGE_RX + RDH, cases[i].head);
		if (n > 0)
			guest_line_write(&g, IXGBEVF_PAGE_RX + RDT, (cases[i].head + 1) % n);
		before = guest_stats(&g).bad_rx_desc;
		guest_line_write(&g, IXGBEVF_PAGE_RX + RXDCTL, RXDCTL_ENABLE);
		guest_read(&g, VFSTATUS);
		if (g.vf->endpoint.running != cases[i].good)
			fail_msg("case %u", i);
		memset(&g.stats, 0, sizeof(g.stats));
		for (unsigned int k = 0; k < 2; k++)
			guest_push(&g, &f, 1, 0);
		assert_int_equal(g.stats.rx_frames, cases[i].good);
		assert_int_equal(g.stats.drop[DROP_DOWN], cases[i].good ? 0 : 2);
		assert_int_equal(guest_stats(&g).bad_rx_desc, before + !cases[i].good);
		assert_int_equal(guest_line_read(&g, IXGBEVF_PAGE_RX + RXDCTL), RXDCTL_ENABLE);
	}
}

/* Base or length that change while the queue is enabled are a new ring. */
static void ring_moves(void **state)
{
	struct frame f = frame(0, 60);
	struct guest_desc *other = guest_va(&g, GUEST_TX_RING);

	assert_int_equal(push1(&f, 0), 1);
	other[0] = (struct guest_desc){ GUEST_DATA, 0 };
	guest_line_write(&g, IXGBEVF_PAGE_RX + RDH, 0);
	guest_line_write(&g, IXGBEVF_PAGE_RX + RDT, 1);
	guest_line_write(&g, IXGBEVF_PAGE_RX + RDBAL, (uint32_t)GUEST_TX_RING);
	assert_int_equal(push1(&f, 0), 1);
	assert_int_equal((uint32_t)other[0].hi, RXD_STAT_DD | RXD_STAT_EOP);
	assert_memory_equal(guest_va(&g, GUEST_DATA), data[0], 60);
	guest_line_write(&g, IXGBEVF_PAGE_RX + RDLEN, 100);
	assert_int_equal(push1(&f, 0), 0);
	assert_int_equal(g.vf->endpoint.running, 0);
	guest_line_write(&g, IXGBEVF_PAGE_RX + RDLEN, N * 16);
	guest_line_write(&g, IXGBEVF_PAGE_RX + RDBAL, (uint32_t)GUEST_RX_RING);
	guest_line_write(&g, IXGBEVF_PAGE_RX + RDT, N - 1);
	assert_int_equal(push1(&f, 0), 1);
	assert_int_equal(g.vf->endpoint.running, 1);
}

/* endpoint.running, and frames while it is 0. */
static void running(void **state)
{
	const struct endpoint *ep = &g.vf->endpoint;
	struct vf_policy policy = g.vf->policy;
	struct frame f = frame(0, 60);

	assert_int_equal(ep->running, 1);
	policy.link_up = false;
	g.vf->ops->set_policy(g.vf, &policy);
	assert_int_equal(ep->running, 0);
	assert_int_equal(push1(&f, 0), 0);
	policy.link_up = true;
	g.vf->ops->set_policy(g.vf, &policy);
	assert_int_equal(ep->running, 1);
	g.vf->bus_master = false;
	guest_read(&g, VFSTATUS);
	assert_int_equal(ep->running, 0);
	assert_int_equal(push1(&f, 0), 0);
	g.vf->bus_master = true;
	guest_read(&g, VFSTATUS);
	assert_int_equal(ep->running, 1);
	/* Disabled by mapping: a push finds out, or a trap. Enabled: the same. */
	guest_line_write(&g, IXGBEVF_PAGE_RX + RXDCTL, 0);
	assert_int_equal(push1(&f, 0), 0);
	assert_int_equal(ep->running, 0);
	guest_line_write(&g, IXGBEVF_PAGE_RX + RXDCTL, RXDCTL_ENABLE);
	assert_int_equal(push1(&f, 0), 1);
	assert_int_equal(ep->running, 1);
	guest_write(&g, VFCTRL, VFCTRL_RST);
	assert_int_equal(ep->running, 0);
	guest_line_write(&g, IXGBEVF_PAGE_RX + RXDCTL, RXDCTL_ENABLE);
	guest_read(&g, VFSTATUS);
	assert_int_equal(ep->running, 0);
	assert_int_equal(g.stats.drop[DROP_DOWN], 3);
}

/* Memory goes while the ring is up: DMA_UNMAP in traffic. */
static void memory_goes(void **state)
{
	struct frame f = frame(0, 60);

	assert_int_equal(push1(&f, 0), 1);
	assert_int_equal(mem_unmap(g.mem, GUEST_RAM_AT, GUEST_RAM_SIZE), 0);
	assert_int_equal(push1(&f, 0), 0);
	assert_int_equal(g.vf->endpoint.running, 0);
	assert_int_equal(guest_stats(&g).bad_rx_desc, 1);
	assert_int_equal(push1(&f, 0), 0);
	assert_int_equal(guest_stats(&g).bad_rx_desc, 1);
}

/* SRRCTL rewritten under way. */
static void buffer_size_goes(void **state)
{
	struct frame f = frame(0, 60);

	guest_line_write(&g, IXGBEVF_PAGE_RX + SRRCTL, ADV);
	assert_int_equal(push1(&f, 0), 0);
	assert_int_equal(g.stats.drop[DROP_NO_BUFFER], 1);
	guest_line_write(&g, IXGBEVF_PAGE_RX + SRRCTL, ADV | 2);
	assert_int_equal(push1(&f, 0), 1);
}

/* --- several workers --- */

#define PUSHERS     2
#define PUSH_ENOUGH 5000
#define PUSH_FRAMES 8

struct pusher {
	pthread_t thread;
	unsigned int idx;
	uint64_t n_pushed;
	struct endpoint_stats stats;
};

static _Atomic unsigned int n_pushing;

/* A worker that sends numbered frames to the guest; what finds no buffer is lost. */
static void *push_main(void *arg)
{
	uint8_t own[PUSH_FRAMES][64] = { 0 };
	const struct frame *ptr[PUSH_FRAMES];
	struct frame f[PUSH_FRAMES];
	struct pusher *p = arg;
	uint32_t seq = 0;

	worker_self = p->idx;
	for (unsigned int i = 0; i < PUSH_FRAMES; i++) {
		f[i] = guest_frame(own[i], 64, GUEST_MAC, 0x88b5);
		own[i][16] = (uint8_t)p->idx;
		ptr[i] = &f[i];
	}
	while (p->stats.rx_frames < PUSH_ENOUGH) {
		uint64_t before = p->stats.rx_frames;

		for (unsigned int i = 0; i < PUSH_FRAMES; i++)
			store_be32(own[i] + 20, ++seq);
		g.vf->endpoint.ops->push(&g.vf->endpoint, ptr, PUSH_FRAMES, 0, &p->stats);
		p->n_pushed += PUSH_FRAMES;
		if (p->stats.rx_frames == before)
			sched_yield(); /* the ring is full: let the guest run */
	}
	atomic_fetch_sub(&n_pushing, 1);
	return NULL;
}

/* Two workers write one ring while the guest takes frames out: each is whole, none comes twice, and
 * those of one worker stay in order. */
static void two_workers(void **state)
{
	struct pusher pusher[PUSHERS] = { 0 };
	uint32_t last[PUSHERS] = { 0 };
	uint64_t got[PUSHERS] = { 0 };
	unsigned int idx = 0;

	atomic_store(&n_pushing, PUSHERS);
	for (unsigned int i = 0; i < PUSHERS; i++) {
		pusher[i].idx = i;
		assert_int_equal(pthread_create(&pusher[i].thread, NULL, push_main, &pusher[i]), 0);
	}
	for (;;) {
		bool pushing = atomic_load(&n_pushing) > 0;
		const uint8_t *buf = buf_of(idx);
		uint32_t seq;

		if ((__atomic_load_n(&guest_rx_desc(&g, idx)->hi, __ATOMIC_ACQUIRE) &
		     RXD_STAT_DD) == 0) {
			if (!pushing)
				break;
			sched_yield();
			continue;
		}
		assert_int_equal(size_of(idx), 64);
		assert_true(buf[16] < PUSHERS);
		seq = load_be32(buf + 20);
		assert_true(seq > last[buf[16]]);
		last[buf[16]] = seq;
		got[buf[16]]++;
		/* The one slot that was free takes a buffer, and this one becomes it. */
		guest_rx_post(&g, (idx + N - 1) % N, idx, N);
		idx = (idx + 1) % N;
	}
	for (unsigned int i = 0; i < PUSHERS; i++) {
		const struct endpoint_stats *s = &pusher[i].stats;

		pthread_join(pusher[i].thread, NULL);
		assert_int_equal(s->rx_frames, got[i]);
		assert_int_equal(s->rx_frames + s->drop[DROP_NO_BUFFER], pusher[i].n_pushed);
		assert_true(got[i] >= PUSH_ENOUGH);
	}
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, start, stop)
	const struct CMUnitTest tests[] = {
		TEST(frames_arrive),
		TEST(wrap),
		TEST(no_buffers),
		TEST(several_descriptors),
		TEST(half_a_frame_is_none),
		TEST(legacy_descriptors),
		TEST(tags),
		TEST(vlan_filter),
		TEST(address_filters),
		TEST(too_long),
		cmocka_unit_test_setup_teardown(x540_has_rlpml, start_x540, stop),
		TEST(bad_buffers),
		TEST(tails_beyond_the_ring),
		TEST(tail_at_the_end),
		TEST(bad_rings),
		TEST(ring_moves),
		TEST(running),
		TEST(memory_goes),
		TEST(buffer_size_goes),
		TEST(two_workers),
	};

	return cmocka_run_group_tests_name("ixgbevf receive", tests, NULL, NULL);
}
