/* SPDX-License-Identifier: BSD-3-Clause */
/* Frames of all kinds through a relay. */
#include "dev/intelvf/relay_test.h"

static void sends(void **state)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(orders); i++) {
		client.order = orders[i];
		drv.tx_mangles = true;
		drv.n_send += 1000;
		post_frames();
		settle();
		assert_int_equal(drv.n_seen, drv.n_send);
		assert_int_equal(drv.n_cleaned, drv.n_send);
		assert_int_equal(guest_line_read(&g, IXGBEVF_PAGE_TX + TDH), drv.n_send % N);
	}
	/* The ring's last round is as the driver left it: nothing was written late. */
	for (unsigned int n = drv.n_send - N; n < drv.n_send; n++)
		assert_int_equal(guest_tx_desc(&g, n % N)->lo, ~0ull);
	assert_true(g.n_irqs[1] > 0);
	assert_true(guest_stats(&g).irqs > 0);
	assert_int_equal(guest_line_read(&g, VFGPTC), 3000);
	assert_int_equal(guest_stats(&g).bad_tx_desc, 0);
	assert_true(client.n_max <= VF_DMA_QUEUED / 2);
	assert_int_equal(g.vf->counters.relays, 1);
}

static void receives(void **state)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < ARRAY_SIZE(orders); i++) {
		client.order = orders[i];
		for (unsigned int k = 0; k < 500; k++) {
			n += push(n);
			for (unsigned int s = any(8); s > 0; s--)
				step();
			if (k % 40 == 39)
				settle();
		}
		settle();
		assert_int_equal(drv.n_received, n);
	}
	assert_int_equal(guest_line_read(&g, IXGBEVF_PAGE_RX + RDH), n % N);
	assert_int_equal(guest_line_read(&g, VFGPRC), n);
	assert_int_equal(g.stats.rx_frames, n);
	assert_true(g.n_irqs[0] > 0);
	assert_int_equal(guest_stats(&g).bad_rx_desc, 0);
	assert_int_equal(g.vf->endpoint.running, 1);
}

/* More than the guest has posted waits for nobody: the switch is told, and what came is right. */
static void receives_too_much(void **state)
{
	settle();
	drv.running = false;
	for (unsigned int n = 0; n < 100; n++)
		push(n);
	assert_int_equal(g.stats.rx_frames, N - 1);
	assert_int_equal(g.stats.drop[DROP_NO_BUFFER], 100 - (N - 1));
	settle();
	drv.running = true;
	driver_looks();
	assert_int_equal(drv.n_received, N - 1);
}

static void both_ways(void **state)
{
	unsigned int n = 0;

	client.order = ANY_ORDER;
	drv.n_send = 2000;
	post_frames();
	while (drv.n_cleaned < drv.n_send) {
		if (n - drv.n_received < N / 2)
			n += push(n);
		assert_true(step());
	}
	settle();
	assert_int_equal(drv.n_received, n);
	assert_int_equal(drv.n_cleaned, 2000);
	assert_true(client.n_max <= VF_DMA_QUEUED);
}

/* A large send: a context, and pieces of which one is longer than a message may be. */
static void large_send(void **state)
{
	static const uint32_t pieces[] = { 54, 16384, 1, 40000, 9000 };
	const uint32_t size = 54 + 16384 + 1 + 40000 + 9000;
	static uint8_t bytes[65536 + 4096];
	uint64_t iova = GUEST_DATA;
	const struct frame *f;

	drv.running = false;
	client.size_max = 20000;
	client.order = ANY_ORDER;
	for (uint32_t i = 0; i < size; i++)
		*(uint8_t *)guest_va(&g, GUEST_DATA + i) = byte_of(3, i);
	put_context(0, 1);
	for (unsigned int i = 0; i < ARRAY_SIZE(pieces); i++) {
		bool last = i + 1 == ARRAY_SIZE(pieces);

		put(1 + i, iova,
		    DATA | TXD_CMD_TSE | pieces[i] | (last ? TXD_CMD_EOP | TXD_CMD_RS : 0),
		    (size - 54) << TXD_PAYLEN_SHIFT | TXD_IDX | TXD_POPTS_TXSM);
		iova += pieces[i];
	}
	tail(4);
	settle();
	assert_int_equal(drv.n_seen, 0);
	tail(6);
	assert_int_equal(pull_next(), 1);
	f = &g.burst.frame[0];
	assert_int_equal(f->size, size);
	assert_int_equal(f->n_segs, 5);
	assert_int_equal(f->mss, 1448);
	assert_true((f->flags & FRAME_TSO4) != 0);
	copy_frame(f, bytes);
	for (uint32_t i = 0; i < size; i++)
		assert_int_equal(bytes[i], byte_of(3, i));
	guest_done(&g);
	settle();
	for (unsigned int i = 0; i < 6; i++)
		assert_int_equal(guest_tx_desc(&g, i)->hi >> 32 & TXD_STAT_DD, i == 5);
	assert_int_equal(guest_line_read(&g, IXGBEVF_PAGE_TX + TDH), 6);
	assert_int_equal(guest_stats(&g).bad_tx_desc, 0);
}

/* A driver that asks for a report on every eighth packet only. */
static void seldom_reports(void **state)
{
	drv.running = false;
	for (unsigned int i = 0; i < 32; i++)
		put(i, GUEST_DATA, DATA | TXD_CMD_EOP | 60 | (i % 8 == 7 ? TXD_CMD_RS : 0),
		    60 << TXD_PAYLEN_SHIFT);
	tail(20);
	settle();
	for (unsigned int i = 0; i < 32; i++)
		assert_int_equal(guest_tx_desc(&g, i)->hi >> 32 & TXD_STAT_DD, i == 7 || i == 15);
	assert_int_equal(guest_line_read(&g, IXGBEVF_PAGE_TX + TDH), 20);
	g.n_irqs[1] = 0;
	tail(22);
	settle();
	assert_int_equal(g.n_irqs[1], 0);
	tail(32);
	settle();
	assert_int_equal(guest_tx_desc(&g, 23)->hi >> 32 & TXD_STAT_DD, 1);
	assert_true(g.n_irqs[1] > 0);
}

static void head_write_back(void **state)
{
	const uint64_t word = GUEST_RAM_AT + 0x1f004;

	drv.running = false;
	guest_line_write(&g, IXGBEVF_PAGE_TX + TDWBAL, (uint32_t)word | TDWBAL_HEAD_WB_EN);
	guest_line_write(&g, IXGBEVF_PAGE_TX + TDWBAH, 0);
	for (unsigned int i = 0; i < 10; i++)
		put(i, GUEST_DATA, WHOLE | 60, 60 << TXD_PAYLEN_SHIFT);
	tail(10);
	settle();
	assert_int_equal(*(uint32_t *)guest_va(&g, word), 10);
	assert_int_equal(guest_tx_desc(&g, 9)->hi >> 32 & TXD_STAT_DD, 0);
	assert_true(g.n_irqs[1] > 0);
	/* An address that is nowhere is counted, and sending goes on. */
	guest_line_write(&g, IXGBEVF_PAGE_TX + TDWBAH, 0x77);
	for (unsigned int i = 10; i < 12; i++)
		put(i, GUEST_DATA, WHOLE | 60, 60 << TXD_PAYLEN_SHIFT);
	tail(12);
	settle();
	assert_int_equal(drv.n_seen, 12);
	assert_true(guest_stats(&g).bad_tx_desc > 0);
}

/* Small buffers, so that a frame fills several; both descriptor formats. */
static void long_frames(void **state)
{
	static const uint32_t formats[] = { SRRCTL_DESCTYPE_ADV, SRRCTL_DESCTYPE_LEGACY };
	uint8_t bytes[1500];

	for (unsigned int i = 0; i < ARRAY_SIZE(formats); i++) {
		bool legacy = formats[i] == SRRCTL_DESCTYPE_LEGACY;
		struct frame f;

		settle();
		drv.running = false;
		guest_write(&g, VFCTRL, VFCTRL_RST);
		settle();
		up();
		drv.running = false;
		rx_again(formats[i] | 1);
		guest_rx_post(&g, 0, 10, N);
		settle();
		client.order = LAST_COMES_FIRST;
		make(bytes, 9, sizeof(bytes));
		f = guest_frame(bytes, sizeof(bytes), GUEST_MAC, 0x88b5);
		guest_push(&g, &f, 1, 0);
		settle();
		assert_memory_equal(guest_va(&g, BUFFER(0)), bytes, 1024);
		assert_memory_equal(guest_va(&g, BUFFER(1)), bytes + 1024, 476);
		if (legacy) {
			assert_int_equal(guest_rx_desc(&g, 0)->lo, BUFFER(0));
			assert_int_equal(guest_rx_desc(&g, 0)->hi, 1024 | 1ull << 32);
			assert_int_equal(guest_rx_desc(&g, 1)->hi, 476 | 3ull << 32);
		} else {
			assert_int_equal(guest_rx_desc(&g, 0)->hi, 1ull | 1024ull << 32);
			assert_int_equal(guest_rx_desc(&g, 1)->hi, 3ull | 476ull << 32);
		}
		assert_int_equal(guest_rx_desc(&g, 2)->hi, 0);
	}
}

/* Header buffers are carried as well; a frame that ends there leaves its packet buffer alone. */
static void header_buffers(void **state)
{
	static const uint32_t sizes[] = { 60, 128, 1500 };
	uint8_t bytes[1500];

	drv.running = false;
	rx_again(SRRCTL_DESCTYPE_ALWAYS | 0x200 | 2);
	for (unsigned int i = 0; i < 8; i++) {
		*guest_rx_desc(&g, i) = (struct guest_desc){ BUFFER(i), GUEST_DATA + 256ull * i };
		memset(guest_va(&g, BUFFER(i)), 0xee, 2048);
	}
	guest_rx_desc(&g, 3)->hi = GUEST_ROM_AT;
	guest_rx_tail(&g, 8);
	settle();
	for (unsigned int i = 0; i < 5; i++) {
		uint32_t size = sizes[i % 3], in_header = size < 128 ? size : 128;
		struct frame f;

		make(bytes, i, size);
		f = guest_frame(bytes, size, GUEST_MAC, 0x88b5);
		guest_push(&g, &f, 1, 0);
		settle();
		if (i == 3) {
			assert_int_equal(guest_rx_desc(&g, i)->hi & RXD_ERR_RXE, RXD_ERR_RXE);
			continue;
		}
		assert_int_equal(guest_rx_desc(&g, i)->lo, in_header << RXD_HDR_LEN_SHIFT);
		assert_int_equal(guest_rx_desc(&g, i)->hi, 3 | (uint64_t)(size - in_header) << 32);
		assert_memory_equal(guest_va(&g, GUEST_DATA + 256ull * i), bytes, in_header);
		assert_memory_equal(guest_va(&g, BUFFER(i)), bytes + in_header, size - in_header);
		if (size == in_header)
			assert_int_equal(*(uint8_t *)guest_va(&g, BUFFER(i)), 0xee);
	}
}

/* Jumbo frames: what is on its way to a client that does not read yet stays within a socket's room. */
static void jumbo_frames(void **state)
{
	struct vf_policy policy = g.vf->policy;
	uint32_t reply[VFMBMEM_WORDS];
	static uint8_t bytes[9000];
	struct frame f;

	drv.running = false;
	policy.max_frame = sizeof(bytes);
	g.vf->ops->set_policy(g.vf, &policy);
	assert_true(guest_mbox(&g, 1, (const uint32_t[]){ 5, sizeof(bytes) + FCS_SIZE }, 2, reply));
	rx_again(SRRCTL_DESCTYPE_ADV | 10);
	for (unsigned int i = 0; i < 32; i++)
		*guest_rx_desc(&g, i) = (struct guest_desc){ GUEST_DATA + 10240ull * i, 0 };
	guest_line_write(&g, IXGBEVF_PAGE_RX + RDT, 32);
	settle();
	make(bytes, 7, sizeof(bytes));
	f = guest_frame(bytes, sizeof(bytes), GUEST_MAC, 0x88b5);
	for (unsigned int i = 0; i < 32; i++)
		guest_push(&g, &f, 1, 0);
	settle();
	for (unsigned int i = 0; i < 32; i++) {
		assert_int_equal(guest_rx_desc(&g, i)->hi, 3ull | 9000ull << 32);
		assert_memory_equal(guest_va(&g, GUEST_DATA + 10240ull * i), bytes, sizeof(bytes));
	}
	assert_true(client.write_size_max > 32768 && client.write_size_max <= 65536);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(sends),           CASE(receives),    CASE(receives_too_much),
		CASE(both_ways),       CASE(large_send),  CASE(seldom_reports),
		CASE(head_write_back), CASE(long_frames), CASE(header_buffers),
		CASE(jumbo_frames),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
