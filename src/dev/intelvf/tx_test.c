/* SPDX-License-Identifier: BSD-3-Clause */
/* Transmit rings: every form of descriptor, and those no driver would write. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "dev/intelvf/fake_guest.h"
#include "dev/ixgbevf/ixgbevf.h"

#define N 64 /* descriptors */

/* Data descriptors: command bits with DEXT and type; what a Linux driver sets always. */
#define DATA  (TXD_CMD_DEXT | TXD_DTYP_DATA)
#define WHOLE (DATA | TXD_CMD_EOP | TXD_CMD_RS | 0x02000000)

static struct guest g;

static int start(void **state)
{
	guest_start(&g, "82599");
	guest_mbox_up(&g, MBOX_API_13);
	guest_tx_up(&g, N);
	guest_irqs_up(&g);
	return 0;
}

static int stop(void **state)
{
	guest_stop(&g);
	return 0;
}

static void put(unsigned int idx, uint64_t iova, uint32_t cmd, uint32_t status)
{
	*guest_tx_desc(&g, idx) = (struct guest_desc){ iova, (uint64_t)status << 32 | cmd };
}

static void put_whole(unsigned int idx, uint32_t size)
{
	put(idx, GUEST_DATA + 2048ull * idx, WHOLE | size, size << TXD_PAYLEN_SHIFT);
}

static void put_context(unsigned int idx, uint32_t vlan_macip, uint32_t tucmd, uint32_t mss_l4len)
{
	*guest_tx_desc(&g, idx) = (struct guest_desc){
		vlan_macip,
		(uint64_t)mss_l4len << 32 | TXD_CMD_DEXT | TXD_DTYP_CTXT | tucmd,
	};
}

static void tail(uint32_t idx)
{
	guest_line_write(&g, IXGBEVF_PAGE_TX + TDT, idx);
}

static bool is_done(unsigned int idx)
{
	return (guest_tx_desc(&g, idx)->hi >> 32 & TXD_STAT_DD) != 0;
}

static uint64_t bad(void)
{
	return guest_stats(&g).bad_tx_desc;
}

/* The whole way of one burst. */
static unsigned int run(void)
{
	unsigned int n = guest_pull(&g);

	if (n > 0)
		guest_done(&g);
	return n;
}

static void plain_frames(void **state)
{
	uint32_t hint = 0;

	put_whole(0, 60);
	put_whole(1, 1514);
	put(2, GUEST_DATA + 4096, WHOLE | 64, 64 << TXD_PAYLEN_SHIFT | TXD_CC);
	tail(3);
	assert_int_equal(guest_pull(&g), 3);
	for (unsigned int i = 0; i < 3; i++) {
		static const uint32_t sizes[] = { 60, 1514, 64 };
		const struct frame *f = &g.burst.frame[i];

		assert_int_equal(f->size, sizes[i]);
		assert_int_equal(f->seg_size, sizes[i]);
		assert_int_equal(f->n_segs, 1);
		assert_int_equal(f->flags, 0);
		assert_ptr_equal(f->va, mem_at(mem_table(g.mem), &hint, GUEST_DATA + 2048ull * i, 1,
					       MEM_READ));
	}
	/* Nothing is given back before done. */
	assert_false(is_done(0));
	assert_int_equal(g.n_irqs[1], 0);
	guest_done(&g);
	assert_true(is_done(0) && is_done(1) && is_done(2));
	assert_int_equal(g.n_irqs[1], 1);
	assert_int_equal(guest_stats(&g).irqs, 1);
	assert_int_equal(guest_pull(&g), 0);
	assert_int_equal(guest_line_read(&g, IXGBEVF_PAGE_TX + TDH), 3);
	assert_int_equal(guest_line_read(&g, VFGPTC), 3);
	assert_int_equal(guest_line_read(&g, VFGOTC_LSB), 60 + 1514 + 64 + 3 * 4);
}

/* A driver that keeps the ring filled sees statistics and head, too, if late. */
static void never_empty(void **state)
{
	for (unsigned int i = 0; i < N; i++)
		put_whole(i, 60);
	for (unsigned int sent = 0; sent < 5 * N; sent += BURST_MAX) {
		uint32_t shown = guest_line_read(&g, VFGPTC);

		assert_true(shown <= sent && sent < shown + N);
		assert_int_equal(guest_line_read(&g, IXGBEVF_PAGE_TX + TDH), shown % N);
		tail((sent + N - 1) % N);
		assert_int_equal(run(), BURST_MAX);
		for (unsigned int i = sent; i < sent + BURST_MAX; i++)
			put_whole(i % N, 60);
	}
}

/* DD only where RS asked, and no interrupt where nothing did. */
static void reports(void **state)
{
	put(0, GUEST_DATA, (WHOLE & ~TXD_CMD_RS) | 60, 60 << TXD_PAYLEN_SHIFT);
	tail(1);
	assert_int_equal(run(), 1);
	assert_false(is_done(0));
	assert_int_equal(g.n_irqs[1], 0);
	put(1, GUEST_DATA, (WHOLE & ~TXD_CMD_RS) | 60, 60 << TXD_PAYLEN_SHIFT);
	put_whole(2, 60);
	tail(3);
	assert_int_equal(run(), 2);
	assert_false(is_done(1));
	assert_true(is_done(2));
	assert_int_equal(g.n_irqs[1], 1);
}

static void head_write_back(void **state)
{
	uint32_t *word = guest_va(&g, GUEST_DATA + 0x4000);
	uint64_t before;

	guest_line_write(&g, IXGBEVF_PAGE_TX + TDWBAL, (uint32_t)(GUEST_DATA + 0x4000) | 1);
	put_whole(0, 60);
	put_whole(1, 60);
	tail(2);
	*word = 77;
	assert_int_equal(guest_pull(&g), 2);
	assert_int_equal(*word, 77);
	guest_done(&g);
	assert_int_equal(*word, 2);
	assert_false(is_done(0) || is_done(1));
	/* Not without RS. */
	put(2, GUEST_DATA, (WHOLE & ~TXD_CMD_RS) | 60, 60 << TXD_PAYLEN_SHIFT);
	tail(3);
	assert_int_equal(run(), 1);
	assert_int_equal(*word, 2);
	/* To nowhere. */
	before = bad();
	guest_line_write(&g, IXGBEVF_PAGE_TX + TDWBAH, 0x1234);
	put_whole(3, 60);
	tail(4);
	assert_int_equal(run(), 1);
	assert_int_equal(bad(), before + 1);
	assert_int_equal(*word, 2);
}

static void several_segments(void **state)
{
	static const uint32_t sizes[] = { 14, 20, 1000, 1 };
	uint32_t sum = 1035;

	for (unsigned int i = 0; i < 4; i++)
		put(i, GUEST_DATA + 0x1000ull * i, (i == 3 ? WHOLE : DATA) | sizes[i],
		    i == 0 ? sum << TXD_PAYLEN_SHIFT : 0);
	put_whole(4, 60);
	tail(5);
	assert_int_equal(guest_pull(&g), 2);
	assert_int_equal(g.burst.frame[0].n_segs, 4);
	assert_int_equal(g.burst.frame[0].size, sum);
	assert_int_equal(g.burst.frame[0].seg_size, 14);
	for (unsigned int i = 0; i < 3; i++)
		assert_int_equal(g.burst.frame[0].more[i].size, sizes[i + 1]);
	assert_int_equal(g.burst.n_segs, 3);
	guest_done(&g);
	assert_false(is_done(0) || is_done(1) || is_done(2));
	assert_true(is_done(3) && is_done(4));
	assert_int_equal(bad(), 0);
}

/* The end of a packet is not posted yet: it waits, and what is before it goes. */
static void half_a_packet_waits(void **state)
{
	put_whole(0, 60);
	put(1, GUEST_DATA, DATA | 30, 60 << TXD_PAYLEN_SHIFT);
	tail(2);
	assert_int_equal(run(), 1);
	assert_int_equal(run(), 0);
	put(2, GUEST_DATA + 30, WHOLE | 30, 0);
	tail(3);
	assert_int_equal(run(), 1);
	assert_true(is_done(2));
	assert_int_equal(bad(), 0);
}

/* Context and data descriptor, and the frame they make. */
static void offloads(void **state)
{
	static const struct {
		uint32_t vlan_macip, tucmd, mss_l4len, cmd, popts;
		uint16_t flags, csum_start, csum_offset, l3_start, hdr_size, mss, tci;
	} cases[] = {
		/* TCP and UDP sums over IPv4, SCTP over IPv6 */
		{ 14 << 9 | 20, TXC_TUCMD_IPV4 | TXC_TUCMD_L4T_TCP, 0, 0,
		  TXD_POPTS_TXSM | TXD_POPTS_IXSM, FRAME_L4_CSUM | FRAME_IP4_CSUM, 34, 16, 14, 0, 0,
		  0 },
		{ 14 << 9 | 20, TXC_TUCMD_IPV4 | TXC_TUCMD_L4T_UDP, 0, 0, TXD_POPTS_TXSM,
		  FRAME_L4_CSUM, 34, 6, 14, 0, 0, 0 },
		{ 14 << 9 | 40, TXC_TUCMD_L4T_SCTP, 0, 0, TXD_POPTS_TXSM,
		  FRAME_L4_CSUM | FRAME_SCTP_CRC, 54, 8, 14, 0, 0, 0 },
		/* IXSM over IPv6 asks for nothing */
		{ 14 << 9 | 40, TXC_TUCMD_L4T_TCP, 0, 0, TXD_POPTS_IXSM, 0, 54, 0, 14, 0, 0, 0 },
		/* a tag, with and without a sum behind it */
		{ 0xa00bu << 16 | 14 << 9, 0, 0, TXD_CMD_VLE, 0, FRAME_TAGGED, 14, 0, 14, 0, 0,
		  0xa00b },
		{ 0x0005u << 16 | 14 << 9 | 20, TXC_TUCMD_IPV4 | TXC_TUCMD_L4T_TCP, 0, TXD_CMD_VLE,
		  TXD_POPTS_TXSM, FRAME_TAGGED | FRAME_L4_CSUM, 34, 16, 14, 0, 0, 5 },
		/* large send */
		{ 14 << 9 | 20, TXC_TUCMD_IPV4 | TXC_TUCMD_L4T_TCP, 1448u << 16 | 32 << 8,
		  TXD_CMD_TSE, TXD_POPTS_TXSM | TXD_POPTS_IXSM,
		  FRAME_TSO4 | FRAME_L4_CSUM | FRAME_IP4_CSUM, 34, 16, 14, 66, 1448, 0 },
		{ 14 << 9 | 40, TXC_TUCMD_L4T_TCP, 1428u << 16 | 20 << 8, TXD_CMD_TSE,
		  TXD_POPTS_TXSM, FRAME_TSO6 | FRAME_L4_CSUM, 54, 16, 14, 74, 1428, 0 },
		/* the same of UDP */
		{ 14 << 9 | 20, TXC_TUCMD_IPV4 | TXC_TUCMD_L4T_UDP, 1472u << 16 | 8 << 8,
		  TXD_CMD_TSE, TXD_POPTS_TXSM | TXD_POPTS_IXSM,
		  FRAME_USO | FRAME_TSO4 | FRAME_L4_CSUM | FRAME_IP4_CSUM, 34, 6, 14, 42, 1472, 0 },
		{ 14 << 9 | 40, TXC_TUCMD_L4T_UDP, 1452u << 16 | 8 << 8, TXD_CMD_TSE,
		  TXD_POPTS_TXSM, FRAME_USO | FRAME_TSO6 | FRAME_L4_CSUM, 54, 6, 14, 62, 1452, 0 },
		/* a tag in the bytes: offsets are the driver's, frame_parse moves them */
		{ 18 << 9 | 20, TXC_TUCMD_IPV4 | TXC_TUCMD_L4T_TCP, 0, 0, TXD_POPTS_TXSM,
		  FRAME_L4_CSUM, 38, 16, 18, 0, 0, 0 },
	};
	unsigned int idx = 0;

	for (unsigned int slot = 0; slot < 2; slot++) {
		for (unsigned int i = 0; i < ARRAY_SIZE(cases); i++) {
			const struct frame *f = &g.burst.frame[0];
			uint32_t size = 8000;
			uint32_t paylen =
				size - ((cases[i].cmd & TXD_CMD_TSE) != 0 ? cases[i].hdr_size : 0u);

			put_context(idx, cases[i].vlan_macip, cases[i].tucmd,
				    cases[i].mss_l4len | slot << 4);
			put(idx + 1, GUEST_DATA, WHOLE | cases[i].cmd | size,
			    paylen << TXD_PAYLEN_SHIFT | cases[i].popts | TXD_CC | slot << 4);
			idx = (idx + 2) % N;
			tail(idx);
			assert_int_equal(guest_pull(&g), 1);
			if (f->flags != cases[i].flags || f->size != size ||
			    f->csum_start != cases[i].csum_start ||
			    f->l3_start != cases[i].l3_start)
				fail_msg("case %u: flags %#x start %u l3 %u", i, f->flags,
					 f->csum_start, f->l3_start);
			if ((f->flags & FRAME_L4_CSUM) != 0)
				assert_int_equal(f->csum_offset, cases[i].csum_offset);
			if ((f->flags & FRAME_TSO) != 0) {
				assert_int_equal(f->hdr_size, cases[i].hdr_size);
				assert_int_equal(f->mss, cases[i].mss);
			}
			if ((f->flags & FRAME_TAGGED) != 0)
				assert_int_equal(f->tci, cases[i].tci);
			guest_done(&g);
		}
	}
	assert_int_equal(bad(), 0);
}

/* The two contexts of a queue are remembered side by side, and between packets. */
static void context_slots(void **state)
{
	put_context(0, 1u << 16 | 14 << 9, 0, 0);
	put_context(1, 2u << 16 | 14 << 9, 0, TXC_IDX);
	for (unsigned int i = 0; i < 4; i++)
		put(2 + i, GUEST_DATA, WHOLE | TXD_CMD_VLE | 60,
		    60 << TXD_PAYLEN_SHIFT | (i & 1) << 4);
	tail(6);
	assert_int_equal(guest_pull(&g), 4);
	for (unsigned int i = 0; i < 4; i++)
		assert_int_equal(g.burst.frame[i].tci, 1 + (i & 1));
	guest_done(&g);
	/* Not over a disable. */
	guest_line_write(&g, IXGBEVF_PAGE_TX + TXDCTL, 0);
	guest_read(&g, VFSTATUS);
	guest_tx_up(&g, N);
	put(0, GUEST_DATA, WHOLE | TXD_CMD_VLE | 60, 60 << TXD_PAYLEN_SHIFT);
	tail(1);
	assert_int_equal(run(), 0);
	assert_int_equal(bad(), 1);
}

static void legacy(void **state)
{
	const uint32_t cmd = TXD_CMD_EOP | TXD_CMD_RS;

	put(0, GUEST_DATA, cmd | 60, 0);
	put(1, GUEST_DATA, cmd | TXD_CMD_VLE | 60, 0x6007u << 16);
	put(2, GUEST_DATA, cmd | TXD_CMD_IC | 50 << 16 | 60, 34 << 8);
	put(3, GUEST_DATA, 30, 0);
	put(4, GUEST_DATA + 100, cmd | 34, 0);
	put(5, GUEST_DATA, cmd | TXD_CMD_IC | 33 << 16 | 60, 34 << 8); /* CSO before CSS */
	tail(6);
	assert_int_equal(guest_pull(&g), 4);
	assert_int_equal(g.burst.frame[0].flags, 0);
	assert_int_equal(g.burst.frame[1].flags, FRAME_TAGGED);
	assert_int_equal(g.burst.frame[1].tci, 0x6007);
	assert_int_equal(g.burst.frame[2].flags, FRAME_L4_CSUM);
	assert_int_equal(g.burst.frame[2].csum_start, 34);
	assert_int_equal(g.burst.frame[2].csum_offset, 16);
	assert_int_equal(g.burst.frame[3].n_segs, 2);
	assert_int_equal(g.burst.frame[3].size, 64);
	guest_done(&g);
	assert_true(is_done(0) && is_done(1) && is_done(2) && is_done(4) && is_done(5));
	assert_false(is_done(3));
	assert_int_equal(bad(), 1);
}

/* Each of these is one packet: swallowed, counted once, reported like a good one, and the frame behind
 * it goes. */
static void bad_packets(void **state)
{
	static const struct {
		uint64_t iova;
		uint32_t cmd, status;
	} cases[] = {
		{ 0, WHOLE | 60, 60 << TXD_PAYLEN_SHIFT },                    /* no such memory */
		{ UINT64_MAX - 10, WHOLE | 60, 60 << TXD_PAYLEN_SHIFT },      /* wraps */
		{ GUEST_RAM_AT + GUEST_RAM_SIZE - 59, WHOLE | 60, 60 << 14 }, /* one too far */
		{ GUEST_MSG_AT, WHOLE | 60, 60 << TXD_PAYLEN_SHIFT },         /* by message only */
		{ GUEST_DATA, WHOLE, 0 },                                     /* no bytes */
		{ GUEST_DATA, WHOLE | 60, 59 << TXD_PAYLEN_SHIFT },           /* PAYLEN */
		{ GUEST_DATA, WHOLE | 60, 0x3ffffu << TXD_PAYLEN_SHIFT },
		{ GUEST_DATA, (WHOLE & ~TXD_DTYP) | 60, 60 << TXD_PAYLEN_SHIFT }, /* type 0 */
		{ GUEST_DATA, (WHOLE & ~TXD_DTYP) | 0x00100000 | 60, 60 << TXD_PAYLEN_SHIFT },
		{ GUEST_DATA, WHOLE | TXD_DTYP | 60, 60 << TXD_PAYLEN_SHIFT }, /* type 15 */
		{ GUEST_DATA, WHOLE | TXD_CMD_VLE | 60,
		  60 << TXD_PAYLEN_SHIFT }, /* no context yet */
		{ GUEST_DATA, WHOLE | TXD_CMD_TSE | 60, 60 << TXD_PAYLEN_SHIFT },
		{ GUEST_DATA, WHOLE | 60, 60 << TXD_PAYLEN_SHIFT | TXD_POPTS_TXSM | TXD_IDX },
		{ GUEST_DATA, WHOLE | 60, 60 << TXD_PAYLEN_SHIFT | TXD_POPTS_IPSEC },
	};
	unsigned int idx = 0;

	for (unsigned int i = 0; i < ARRAY_SIZE(cases); i++) {
		uint64_t before = bad();

		put(idx, cases[i].iova, cases[i].cmd, cases[i].status);
		put_whole(idx + 1, 100);
		tail((idx + 2) % N);
		assert_int_equal(guest_pull(&g), 1);
		assert_int_equal(g.burst.frame[0].size, 100);
		guest_done(&g);
		assert_int_equal(bad(), before + 1);
		assert_true(is_done(idx) && is_done(idx + 1));
		idx = (idx + 2) % N;
	}
	/* Alone in the ring: pull yields nothing, and gives it back all the same. */
	put(idx, 0, WHOLE | 60, 60 << TXD_PAYLEN_SHIFT);
	tail(idx + 1);
	g.n_irqs[1] = 0;
	assert_int_equal(guest_pull(&g), 0);
	assert_true(is_done(idx));
	assert_int_equal(g.n_irqs[1], 1);
}

static void bad_contexts(void **state)
{
	static const struct {
		uint32_t macip, tucmd, mss_l4len, cmd, status;
	} cases[] = {
		/* reserved L4 type */
		{ 14 << 9 | 20, TXC_TUCMD_L4T, 0, 0, 60 << TXD_PAYLEN_SHIFT | TXD_POPTS_TXSM },
		/* large send of SCTP; a PAYLEN that counts the headers; headers beyond the packet */
		{ 14 << 9 | 20, TXC_TUCMD_IPV4 | TXC_TUCMD_L4T_SCTP, 100u << 16 | 12 << 8,
		  TXD_CMD_TSE, 14 << TXD_PAYLEN_SHIFT | TXD_POPTS_TXSM },
		{ 14 << 9 | 20, TXC_TUCMD_IPV4, 100u << 16 | 8 << 8, TXD_CMD_TSE,
		  60 << TXD_PAYLEN_SHIFT | TXD_POPTS_TXSM },
		{ 14 << 9 | 20, TXC_TUCMD_IPV4 | TXC_TUCMD_L4T_TCP, 100u << 16 | 20 << 8,
		  TXD_CMD_TSE, 60 << TXD_PAYLEN_SHIFT | TXD_POPTS_TXSM },
		{ 127 << 9 | 511, TXC_TUCMD_IPV4 | TXC_TUCMD_L4T_TCP, 100u << 16 | 255 << 8,
		  TXD_CMD_TSE, 0 },
	};

	for (unsigned int i = 0; i < ARRAY_SIZE(cases); i++) {
		put_context(3 * i, cases[i].macip, cases[i].tucmd, cases[i].mss_l4len);
		put(3 * i + 1, GUEST_DATA, WHOLE | cases[i].cmd | 60, cases[i].status);
		put_whole(3 * i + 2, 99);
		tail(3 * i + 3);
		assert_int_equal(guest_pull(&g), 1);
		assert_int_equal(g.burst.frame[0].size, 99);
		guest_done(&g);
		assert_int_equal(bad(), i + 1);
	}
}

/* What passes the ring and is for frame_parse to refuse never leaves the frame. */
static void offsets_at_their_extremes(void **state)
{
	static const uint32_t macips[] = { 0, 0x1ff, 0x7f << 9, 0xffff, 14 << 9, 18 << 9 | 1 };
	unsigned int idx = 0;

	for (unsigned int i = 0; i < ARRAY_SIZE(macips); i++) {
		for (uint32_t tucmd = 0; tucmd < 8; tucmd++) {
			static const uint32_t msss[] = { 0, 0xffff0000, 0x0001ff00, 0xffffff00 };

			for (unsigned int m = 0; m < ARRAY_SIZE(msss); m++) {
				uint32_t hdr = (macips[i] >> 9) + (macips[i] & 0x1ff) +
					       (msss[m] >> 8 & 0xff);

				put_context(idx, macips[i], tucmd << 10, msss[m]);
				put(idx + 1, GUEST_DATA,
				    WHOLE | (tucmd & 4 ? TXD_CMD_TSE : 0) | 1500,
				    ((1500 - (tucmd & 4 ? hdr : 0)) << TXD_PAYLEN_SHIFT) |
					    TXD_POPTS_TXSM | TXD_POPTS_IXSM);
				idx = (idx + 2) % N;
				tail(idx);
				if (guest_pull(&g) == 0)
					continue;
				if (frame_parse(&g.burst.frame[0])) {
					const struct frame *f = &g.burst.frame[0];

					if ((f->flags & FRAME_L4_CSUM) != 0)
						assert_true(f->csum_start + f->csum_offset + 2u <=
							    f->size);
					if ((f->flags & FRAME_TSO) != 0)
						assert_true(f->hdr_size < f->size && f->mss > 0);
				}
				guest_done(&g);
			}
		}
	}
}

static void formats_do_not_mix(void **state)
{
	put(0, GUEST_DATA, DATA | 30, 60 << TXD_PAYLEN_SHIFT);
	put(1, GUEST_DATA, TXD_CMD_EOP | TXD_CMD_RS | 30, 0);
	put(2, GUEST_DATA, 30, 0);
	put(3, GUEST_DATA, WHOLE | 30, 0);
	put(4, GUEST_DATA, DATA | 30, 60 << TXD_PAYLEN_SHIFT);
	put_context(5, 14 << 9, 0, 0);
	put(6, GUEST_DATA, WHOLE | 30, 0);
	put_whole(7, 60);
	tail(8);
	assert_int_equal(run(), 1);
	assert_int_equal(bad(), 3);
	assert_true(is_done(1) && is_done(3) && is_done(6) && is_done(7));
}

static void forty_descriptors_and_no_more(void **state)
{
	for (unsigned int n = FRAME_SEGS; n <= FRAME_SEGS + 1; n++) {
		for (unsigned int i = 0; i < n; i++)
			put(i, GUEST_DATA + 10ull * i, (i + 1 == n ? WHOLE : DATA) | 10,
			    i == 0 ? 10 * n << TXD_PAYLEN_SHIFT : 0);
		put_whole(n, 60);
		tail(n + 1);
		assert_int_equal(run(), n == FRAME_SEGS ? 2 : 1);
		assert_int_equal(bad(), n - FRAME_SEGS);
		guest_line_write(&g, IXGBEVF_PAGE_TX + TXDCTL, 0);
		guest_read(&g, VFSTATUS);
		guest_pull(&g);
		guest_tx_up(&g, N);
	}
}

/* Many long packets: a burst ends where its segments do, and none is lost. */
static void burst_of_long_packets(void **state)
{
	unsigned int total = 0, idx = 0;

	guest_line_write(&g, IXGBEVF_PAGE_TX + TXDCTL, 0);
	guest_read(&g, VFSTATUS);
	guest_tx_up(&g, 1024);
	for (unsigned int p = 0; p < 25; p++)
		for (unsigned int i = 0; i < FRAME_SEGS; i++, idx++)
			put(idx, GUEST_DATA + i, (i == FRAME_SEGS - 1 ? WHOLE : DATA) | 2,
			    i == 0 ? 2 * FRAME_SEGS << TXD_PAYLEN_SHIFT : 0);
	tail(idx);
	for (unsigned int i = 0; i < 10; i++) {
		unsigned int n = guest_pull(&g);

		assert_true(g.burst.n_segs <= BURST_SEGS);
		for (unsigned int k = 0; k < n; k++)
			assert_int_equal(g.burst.frame[k].size, 2 * FRAME_SEGS);
		total += n;
		if (n > 0)
			guest_done(&g);
	}
	assert_int_equal(total, 25);
	assert_int_equal(bad(), 0);
	for (unsigned int p = 0; p < 25; p++)
		assert_true(is_done(FRAME_SEGS * p + FRAME_SEGS - 1));
}

static void more_than_a_burst(void **state)
{
	for (unsigned int i = 0; i < N - 1; i++)
		put_whole(i, 60 + i);
	tail(N - 1);
	assert_int_equal(run(), BURST_MAX);
	assert_true(is_done(BURST_MAX - 1));
	assert_false(is_done(BURST_MAX));
	assert_int_equal(run(), N - 1 - BURST_MAX);
	assert_int_equal(run(), 0);
}

/* Round the ring many times, in steps of 1 to 40. */
static void wrap(void **state)
{
	unsigned int idx = 0, sent = 0, got = 0;

	for (unsigned int step = 1; step <= 40; step++) {
		for (unsigned int i = 0; i < step; i++, sent++) {
			put_whole(idx, 60 + sent % 1000);
			idx = (idx + 1) % N;
		}
		tail(idx);
		for (unsigned int n = guest_pull(&g); n > 0; n = guest_pull(&g)) {
			for (unsigned int i = 0; i < n; i++, got++)
				assert_int_equal(g.burst.frame[i].size, 60 + got % 1000);
			guest_done(&g);
		}
		assert_int_equal(got, sent);
		assert_int_equal(guest_line_read(&g, IXGBEVF_PAGE_TX + TDH), idx);
	}
}

/* No EOP, neither in what is posted nor by any that could follow. */
static void a_packet_without_end_stops_the_queue(void **state)
{
	for (unsigned int i = 0; i < N - 1; i++)
		put(i, GUEST_DATA, DATA | 10, 400 << TXD_PAYLEN_SHIFT);
	tail(FRAME_SEGS);
	assert_int_equal(run(), 0);
	assert_int_equal(bad(), 0);
	tail(FRAME_SEGS + 1);
	assert_int_equal(run(), 0);
	assert_int_equal(bad(), 1);
	put_whole(FRAME_SEGS + 1, 60);
	tail(FRAME_SEGS + 2);
	assert_int_equal(run(), 0);
	assert_int_equal(bad(), 1);
	/* Enabled anew it runs again. */
	guest_line_write(&g, IXGBEVF_PAGE_TX + TXDCTL, 0);
	guest_read(&g, VFSTATUS);
	guest_tx_up(&g, N);
	put_whole(0, 60);
	tail(1);
	assert_int_equal(run(), 1);
	/* A small ring that is full of pieces. */
	guest_line_write(&g, IXGBEVF_PAGE_TX + TXDCTL, 0);
	guest_read(&g, VFSTATUS);
	guest_tx_up(&g, 8);
	for (unsigned int i = 0; i < 8; i++)
		put(i, GUEST_DATA, DATA | 10, 70 << TXD_PAYLEN_SHIFT);
	tail(6);
	assert_int_equal(run(), 0);
	assert_int_equal(bad(), 1);
	tail(7);
	assert_int_equal(run(), 0);
	assert_int_equal(bad(), 2);
}

/* Nothing but contexts costs one pull no more than its budget. */
static void contexts_without_end(void **state)
{
	guest_line_write(&g, IXGBEVF_PAGE_TX + TXDCTL, 0);
	guest_read(&g, VFSTATUS);
	guest_tx_up(&g, 2048);
	for (unsigned int i = 0; i < 2000; i++)
		put_context(i, 14 << 9, 0, 0);
	put(2000, GUEST_DATA, WHOLE | 60, 60 << TXD_PAYLEN_SHIFT);
	tail(2001);
	for (unsigned int i = 0; i < 7; i++)
		assert_int_equal(run(), 0);
	assert_int_equal(run(), 1);
	assert_int_equal(bad(), 0);
}

static void tails_beyond_the_ring(void **state)
{
	put_whole(0, 60);
	tail(N);
	assert_int_equal(run(), 0);
	assert_int_equal(run(), 0);
	assert_int_equal(bad(), 1);
	tail(0xffffffff);
	assert_int_equal(run(), 0);
	assert_int_equal(bad(), 2);
	tail(1);
	assert_int_equal(run(), 1);
	assert_int_equal(bad(), 2);
}

/* Rings that are none. Each is counted once, and off until it is enabled anew or described anew. */
static void bad_rings(void **state)
{
	static const struct {
		uint64_t base;
		uint32_t size, head;
		bool good;
	} cases[] = {
		{ GUEST_TX_RING, N * 16, 0, true },
		{ GUEST_TX_RING + 64, N * 16, 0, false },
		{ GUEST_TX_RING, 0, 0, false },
		{ GUEST_TX_RING, 64, 0, false },
		{ GUEST_TX_RING, 128, 0, true },
		{ GUEST_TX_RING, 0x100000, 0, false },
		{ GUEST_TX_RING, 0xffffff80, 0, false },
		{ GUEST_TX_RING, N * 16, N, false },
		{ GUEST_TX_RING, N * 16, 0xffffffff, false },
		{ GUEST_RAM_AT + GUEST_RAM_SIZE - 128, 128, 0, true },
		{ GUEST_RAM_AT + GUEST_RAM_SIZE - 128, 256, 0, false },
		{ 0, N * 16, 0, false },
		{ ~0xffull, N * 16, 0, false },
		{ GUEST_ROM_AT, 128, 0, false },
		{ GUEST_MSG_AT, 128, 0, false },
	};

	for (unsigned int i = 0; i < ARRAY_SIZE(cases); i++) {
		struct guest_desc desc = { GUEST_DATA,
					   60ull << (32 + TXD_PAYLEN_SHIFT) | WHOLE | 60 };
		uint64_t before = bad();

		guest_line_write(&g, IXGBEVF_PAGE_TX + TXDCTL, 0);
		guest_read(&g, VFSTATUS);
		guest_pull(&g);
		guest_tx_up(&g, 0);
		guest_line_write(&g, IXGBEVF_PAGE_TX + TDBAL, (uint32_t)cases[i].base);
		guest_line_write(&g, IXGBEVF_PAGE_TX + TDBAH, (uint32_t)(cases[i].base >> 32));
		guest_line_write(&g, IXGBEVF_PAGE_TX + TDLEN, cases[i].size);
		guest_line_write(&g, IXGBEVF_PAGE_TX + TDH, cases[i].head);
		if (cases[i].good)
			memcpy(guest_va(&g, cases[i].base), &desc, sizeof(desc));
		tail(1);
		for (unsigned int k = 0; k < 3; k++)
			assert_int_equal(run(), cases[i].good && k == 0);
		if (bad() != before + !cases[i].good)
			fail_msg("case %u", i);
		/* The guest sees what it wrote. */
		assert_int_equal(guest_line_read(&g, IXGBEVF_PAGE_TX + TXDCTL), TXDCTL_ENABLE);
	}
}

/* The memory below a running ring goes: DMA_UNMAP in traffic. */
static void ring_memory_goes(void **state)
{
	put_whole(0, 60);
	put_whole(1, 60);
	tail(1);
	assert_int_equal(run(), 1);
	assert_int_equal(mem_unmap(g.mem, GUEST_RAM_AT, GUEST_RAM_SIZE), 0);
	tail(2);
	assert_int_equal(run(), 0);
	assert_int_equal(bad(), 1);
	assert_int_equal(run(), 0);
	assert_int_equal(bad(), 1);
}

static void when_it_may_not(void **state)
{
	struct vf_policy policy = g.vf->policy;

	put_whole(0, 60);
	tail(1);
	g.vf->bus_master = false;
	assert_int_equal(run(), 0);
	g.vf->bus_master = true;
	/* Link down: taken, dropped, given back. */
	policy.link_up = false;
	g.vf->ops->set_policy(g.vf, &policy);
	assert_int_equal(run(), 0);
	assert_true(is_done(0));
	assert_int_equal(guest_stats(&g).drop[DROP_DOWN], 1);
	/* Before the mailbox RESET nothing is sent. */
	guest_write(&g, VFCTRL, VFCTRL_RST);
	guest_tx_up(&g, N);
	put_whole(0, 60);
	tail(1);
	assert_int_equal(run(), 0);
	assert_false(is_done(0));
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, start, stop)
	const struct CMUnitTest tests[] = {
		TEST(plain_frames),
		TEST(never_empty),
		TEST(reports),
		TEST(head_write_back),
		TEST(several_segments),
		TEST(half_a_packet_waits),
		TEST(offloads),
		TEST(context_slots),
		TEST(legacy),
		TEST(bad_packets),
		TEST(bad_contexts),
		TEST(offsets_at_their_extremes),
		TEST(formats_do_not_mix),
		TEST(forty_descriptors_and_no_more),
		TEST(burst_of_long_packets),
		TEST(more_than_a_burst),
		TEST(wrap),
		TEST(a_packet_without_end_stops_the_queue),
		TEST(contexts_without_end),
		TEST(tails_beyond_the_ring),
		TEST(bad_rings),
		TEST(ring_memory_goes),
		TEST(when_it_may_not),
	};

	return cmocka_run_group_tests_name("ixgbevf transmit", tests, NULL, NULL);
}
