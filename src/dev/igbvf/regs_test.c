/* SPDX-License-Identifier: BSD-3-Clause */
/* The register table against its own rules, and what of the shared engine depends on the family: where
 * things lie, statistics, tags, lengths, errors. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/clock.h"
#include "dev/igbvf/igbvf.h"
#include "dev/intelvf/fake_guest.h"

#define N  64
#define RX (IGBVF_PAGE_RX + IGBVF_LINE_AT)
#define TX (IGBVF_PAGE_TX + IGBVF_LINE_AT)

static struct guest g;
static uint8_t bytes[9216];

static int start(void **state)
{
	guest_start(&g, "82576");
	return 0;
}

static int stop(void **state)
{
	guest_stop(&g);
	return 0;
}

static uint32_t ask(uint32_t op, uint32_t w1, uint32_t w2)
{
	uint32_t reply[VFMBMEM_WORDS];

	assert_true(guest_mbox(&g, 1, (const uint32_t[]){ op, w1, w2 }, 3, reply));
	return reply[0];
}

static void up(void)
{
	assert_int_equal(ask(OP_RESET, 0, 0), 0x80000001);
	guest_irqs_up(&g);
	guest_rx_up(&g, N, SRRCTL_DESCTYPE_ADV | 2, 0);
	guest_tx_up(&g, N);
	guest_rx_post(&g, 0, N - 1, N);
}

static uint32_t offset_of(const struct reg *r, unsigned int n)
{
	return r->offset + n * r->stride;
}

static bool is_special(const struct reg *r)
{
	return r->read != NULL || r->write != NULL;
}

static void rows(void **state)
{
	static bool seen[INTELVF_BAR_SIZE / 4];

	memset(seen, 0, sizeof(seen));
	for (unsigned int i = 0; i < igbvf_regs.n; i++) {
		const struct reg *r = &igbvf_regs.row[i];

		assert_true(r->count > 0 && (r->count == 1 || r->stride >= 4));
		for (unsigned int n = 0; n < r->count; n++) {
			uint32_t offset = offset_of(r, n), want;

			if (offset % 4 != 0 || offset >= INTELVF_BAR_SIZE || seen[offset / 4])
				fail_msg("%s[%u] at %#x", r->name, n, offset);
			seen[offset / 4] = true;
			assert_int_equal(r->access == REG_MEM, offset >= IGBVF_PAGE_RX);
			assert_int_equal(r->reset & ~r->mask, 0);
			if (is_special(r))
				continue;
			if (guest_read(&g, offset) != r->reset)
				fail_msg("%s[%u]", r->name, n);
			guest_write(&g, offset, 0xffffffff);
			want = r->access == REG_RO ? r->reset : r->mask;
			if (guest_read(&g, offset) != want)
				fail_msg("%s[%u]: %#x", r->name, n, guest_read(&g, offset));
		}
	}
	guest_write(&g, CTRL, CTRL_RST);
	for (unsigned int i = 0; i < igbvf_regs.n; i++) {
		const struct reg *r = &igbvf_regs.row[i];

		for (unsigned int n = 0; n < r->count && !is_special(r); n++)
			if (r->offset != VMBMEM && guest_read(&g, offset_of(r, n)) != r->reset)
				fail_msg("%s[%u] after a reset", r->name, n);
	}
}

/* What a trapped write to the queue pages keeps: of a register its bits, of a hole all. */
static uint32_t mask_at(uint32_t offset)
{
	for (unsigned int i = 0; i < igbvf_regs.n; i++)
		for (unsigned int n = 0; n < igbvf_regs.row[i].count; n++)
			if (offset_of(&igbvf_regs.row[i], n) == offset)
				return igbvf_regs.row[i].mask;
	return UINT32_MAX;
}

static void holes(void **state)
{
	static const uint32_t offsets[] = { 0x4,   0x10,   0x7fc,  0x840, 0xc44,
					    0xf20, 0x1584, 0x168c, 0x1ffc };

	for (unsigned int i = 0; i < ARRAY_SIZE(offsets); i++) {
		guest_write(&g, offsets[i], 0x12345678);
		assert_int_equal(guest_read(&g, offsets[i]), 0);
	}
	/* The queue pages are memory throughout, by trap and by mapping. */
	for (uint32_t offset = IGBVF_PAGE_RX; offset < INTELVF_BAR_SIZE; offset += 4) {
		guest_write(&g, offset, offset);
		assert_int_equal(guest_line_read(&g, offset), offset & mask_at(offset));
	}
}

static void link_and_status(void **state)
{
	static const struct {
		bool up;
		uint32_t mbit, status;
	} cases[] = {
		{ false, 1000, 0x01 }, { true, 0, 0x83 },     { true, 100, 0x43 },
		{ true, 1000, 0x83 },  { true, 10000, 0x83 },
	};
	struct vf_policy policy = g.vf->policy;

	for (unsigned int i = 0; i < ARRAY_SIZE(cases); i++) {
		policy.link_up = cases[i].up;
		policy.speed_mbit = cases[i].mbit;
		g.vf->ops->set_policy(g.vf, &policy);
		assert_int_equal(guest_read(&g, STATUS), cases[i].status);
		guest_write(&g, STATUS, ~cases[i].status);
		assert_int_equal(guest_read(&g, STATUS), cases[i].status);
	}
}

static void interrupts(void **state)
{
	guest_write(&g, IVAR0, 0x81828180);
	guest_write(&g, IVAR_MISC, 0x82);
	guest_write(&g, EIMS, 7);
	guest_write(&g, EIAC, 7);
	guest_write(&g, EIAM, 7);
	assert_true(intr_raise_rx(g.dev, 0));
	assert_true(intr_raise_tx(g.dev, 0));
	assert_true(intr_raise_rx(g.dev, 1));
	assert_false(intr_raise_tx(g.dev, 1)); /* vector 1, masked by its last message */
	for (unsigned int i = 0; i < 3; i++)
		assert_int_equal(g.n_irqs[i], 1);
	assert_int_equal(guest_read(&g, EIMS), 0);
	assert_int_equal(guest_read(&g, EICR), 2);
	assert_int_equal(guest_read(&g, EICR), 0);
	guest_write(&g, EICS, 4);
	guest_write(&g, EIMS, 4);
	assert_int_equal(g.n_irqs[2], 2);
	guest_write(&g, EIMS, 7);
	guest_write(&g, EIMC, 3);
	assert_int_equal(guest_read(&g, EIMS), 4);
}

/* igbvf's 20 000 a second is 196. */
static void moderation(void **state)
{
	guest_write(&g, EITR + 4, 196 | EITR_CNT_IGNR | 3);
	assert_int_equal(guest_read(&g, EITR + 4), 196);
	assert_int_equal(g.dev->itr_cycles[1], 49 * (clock_hz() / 1000000));
	assert_int_equal(g.dev->itr_cycles[0], 0);
	guest_write(&g, CTRL, CTRL_RST);
	assert_int_equal(guest_read(&g, EITR + 4), 0);
	assert_int_equal(g.dev->itr_cycles[1], 0);
}

static void statistics(void **state)
{
	struct frame f[3];

	up();
	f[0] = guest_frame(bytes, 60, GUEST_MAC, 0x88b5);
	guest_push(&g, f, 1, 0);
	f[0] = guest_frame(bytes, 100, MAC_BROADCAST, 0x88b5);
	guest_push(&g, f, 1, 0);
	assert_int_equal(guest_read(&g, VFGPRC), 2);
	assert_int_equal(guest_read(&g, VFGORC), 168);
	assert_int_equal(guest_read(&g, VFMPRC), 0);
	*guest_tx_desc(&g, 0) =
		(struct guest_desc){ GUEST_DATA, 60 | TXD_DTYP_DATA | TXD_CMD_DEXT | TXD_CMD_EOP |
							 60ull << (32 + TXD_PAYLEN_SHIFT) };
	guest_tx_tail(&g, 1);
	assert_int_equal(guest_pull(&g), 1);
	guest_done(&g);
	assert_int_equal(guest_pull(&g), 0);
	assert_int_equal(guest_read(&g, VFGPTC), 1);
	assert_int_equal(guest_read(&g, VFGOTC), 64);
	assert_int_equal(guest_line_read(&g, TX + TDH), 1);
	assert_int_equal(guest_line_read(&g, RX + RDH), 2);
	/* They are in no line. */
	assert_int_equal(guest_line_read(&g, RX + 0x1c), 0);
	assert_int_equal(guest_line_read(&g, TX + 0x1c), 0);
	/* A reset leaves them alone. */
	guest_write(&g, CTRL, CTRL_RST);
	assert_int_equal(guest_read(&g, VFGPRC), 2);
}

/* Both queues' lines, 0x100 apart, are what the workers look at. */
static void second_queue_sends(void **state)
{
	struct txq *txq = g.vf->endpoint.txq[1];

	assert_int_equal(g.vf->endpoint.n_txq, 2);
	up();
	guest_line_write(&g, TX + IGBVF_QUEUE_STEP + TDBAL, (uint32_t)GUEST_TX_RING + 0x1000);
	guest_line_write(&g, TX + IGBVF_QUEUE_STEP + TDLEN, N * DESC_SIZE);
	guest_line_write(&g, TX + IGBVF_QUEUE_STEP + TXDCTL, TXDCTL_ENABLE);
	guest_tx_desc(&g, 256)->lo = GUEST_DATA;
	guest_tx_desc(&g, 256)->hi = 60 | TXD_DTYP_DATA | TXD_CMD_DEXT | TXD_CMD_EOP | TXD_CMD_RS |
				     60ull << (32 + TXD_PAYLEN_SHIFT);
	guest_line_write(&g, TX + IGBVF_QUEUE_STEP + TDT, 1);
	g.burst.n = g.burst.n_segs = 0;
	assert_int_equal(txq->ops->pull(txq, &g.burst), 1);
	txq->ops->done(txq);
	assert_int_equal(guest_tx_desc(&g, 256)->hi >> 32, TXD_STAT_DD);
}

/* RLPML counts the tag, and the tag is always beside the frame; no byte beyond that length is written. */
static void lengths_and_tags(void **state)
{
	static const struct {
		uint32_t size;
		uint16_t vid;
		uint64_t frames;
	} cases[] = { { 1514, 0, 1 }, { 1515, 0, 0 }, { 1514, 5, 1 }, { 1515, 5, 0 } };
	struct vf_policy policy = g.vf->policy;

	policy.trunk = true;
	bitmap_set(policy.vlans, 5);
	g.vf->ops->set_policy(g.vf, &policy);
	up();
	assert_int_equal(ask(OP_SET_VLAN | 1u << 16, 5, 0), 0xa0010004);
	/* As igbvf asks, whose buffers are no longer: the last one here ends with the guest's memory. */
	assert_int_equal(ask(OP_SET_LPE, 1522, 0), 0xa0000005);
	for (unsigned int i = 0; i < ARRAY_SIZE(cases); i++) {
		struct frame f = guest_frame(bytes, cases[i].size, GUEST_MAC, 0x88b5);
		unsigned int at = (unsigned int)guest_line_read(&g, RX + RDH);

		guest_rx_desc(&g, at)->lo = GUEST_RAM_AT + GUEST_RAM_SIZE - 1522;
		f.vid = cases[i].vid;
		f.tci = cases[i].vid;
		memset(&g.stats, 0, sizeof(g.stats));
		guest_push(&g, &f, 1, 0);
		guest_read(&g, STATUS);
		if (g.stats.rx_frames != cases[i].frames)
			fail_msg("case %u", i);
		if (g.stats.rx_frames == 0) {
			assert_int_equal(g.stats.drop[DROP_TOO_LONG], 1);
			continue;
		}
		assert_int_equal(guest_rx_desc(&g, at)->hi,
				 3u | (cases[i].vid != 0 ? RXD_STAT_VP : 0) |
					 (uint64_t)cases[i].size << 32 |
					 (uint64_t)cases[i].vid << 48);
	}
	/* One that does not fit is a bad one, and says so where igbvf looks. */
	guest_rx_desc(&g, 2)->lo = GUEST_RAM_AT + GUEST_RAM_SIZE - 1521;
	struct frame f = guest_frame(bytes, 60, GUEST_MAC, 0x88b5);
	guest_push(&g, &f, 1, 0);
	assert_int_equal((uint32_t)guest_rx_desc(&g, 2)->hi, 0x80000003);
	/* No length at all: nothing gets through, and nothing breaks. */
	assert_int_equal(ask(OP_SET_LPE, 0, 0), 0xa0000005);
	memset(&g.stats, 0, sizeof(g.stats));
	guest_push(&g, &f, 1, 0);
	assert_int_equal(g.stats.drop[DROP_TOO_LONG], 1);
}

static void models(void **state)
{
	static const struct {
		const char *name;
		uint16_t device;
		unsigned int n_queues;
	} cases[] = { { "82576", 0x10ca, 2 }, { "I350", 0x1520, 1 } };

	for (unsigned int i = 0; i < ARRAY_SIZE(cases); i++) {
		const struct vf_model *m = vf_model_find(cases[i].name);

		assert_non_null(m);
		assert_int_equal(m->device, cases[i].device);
		assert_int_equal(m->speed_max_mbit, 1000);
		for (unsigned int wanted = 1; wanted <= 8; wanted++)
			assert_int_equal(vf_model_queues(m, wanted), cases[i].n_queues);
	}
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, start, stop)
	const struct CMUnitTest tests[] = {
		TEST(rows),
		TEST(holes),
		TEST(link_and_status),
		TEST(interrupts),
		TEST(moderation),
		TEST(statistics),
		TEST(second_queue_sends),
		TEST(lengths_and_tags),
		TEST(models),
	};

	return cmocka_run_group_tests_name("igbvf registers", tests, NULL, NULL);
}
