/* SPDX-License-Identifier: BSD-3-Clause */
/* A relay when things go wrong: drivers that err, resets and failures at any moment. */
#include "dev/intelvf/relay_test.h"

/* Addresses in no window: the packet is bad, as without a relay, and the ring goes on. */
static void bad_addresses(void **state)
{
	drv.running = false;
	settle();
	put(0, 0x123456789000, WHOLE | 60, 60 << TXD_PAYLEN_SHIFT);
	put(1, GUEST_RAM_AT + GUEST_RAM_SIZE - 59, WHOLE | 60, 60 << TXD_PAYLEN_SHIFT);
	put(2, GUEST_DATA, WHOLE | 60, 60 << TXD_PAYLEN_SHIFT);
	tail(3);
	settle();
	assert_int_equal(guest_stats(&g).bad_tx_desc, 2);
	assert_int_equal(drv.n_seen, 1);
	assert_int_equal(guest_line_read(&g, IXGBEVF_PAGE_TX + TDH), 3);
	assert_int_equal(guest_tx_desc(&g, 1)->hi >> 32 & TXD_STAT_DD, 1);

	rx_again(ADV);
	guest_rx_desc(&g, 0)->lo = GUEST_ROM_AT;
	guest_rx_desc(&g, 1)->lo = BUFFER(1);
	guest_line_write(&g, IXGBEVF_PAGE_RX + RDT, 2);
	settle();
	push(0);
	push(1);
	settle();
	assert_int_equal(g.stats.drop[DROP_BAD_BUFFER], 1);
	assert_int_equal(guest_rx_desc(&g, 0)->hi & (RXD_STAT_DD | RXD_ERR_RXE),
			 RXD_STAT_DD | RXD_ERR_RXE);
	assert_true(is_frame(guest_va(&g, BUFFER(1)), 1, size_of(1)));
	assert_int_equal(g.vf->counters.relay_stops, 0);
}

static void bad_tails(void **state)
{
	drv.running = false;
	settle();
	put(0, GUEST_DATA, WHOLE | 60, 60 << TXD_PAYLEN_SHIFT);
	tail(N);
	settle();
	tail(UINT32_MAX);
	settle();
	guest_line_write(&g, IXGBEVF_PAGE_RX + RDT, 0x10000);
	settle();
	assert_int_equal(drv.n_seen, 0);
	assert_int_equal(guest_stats(&g).bad_tx_desc, 2);
	assert_int_equal(guest_stats(&g).bad_rx_desc, 1);
	tail(1);
	settle();
	assert_int_equal(drv.n_seen, 1);
}

static void endless_packet(void **state)
{
	drv.running = false;
	for (unsigned int i = 0; i < N - 1; i++)
		put(i, GUEST_DATA, DATA | 60, 60 << TXD_PAYLEN_SHIFT);
	tail(N - 1);
	settle();
	assert_int_equal(guest_stats(&g).bad_tx_desc, 1);
	/* The other ring does not mind. */
	push(0);
	settle();
	assert_true(is_frame(guest_va(&g, BUFFER(0)), 0, size_of(0)));
}

static void restart(void)
{
	drv.running = false;
	guest_write(&g, VFCTRL, VFCTRL_RST);
	while (client.n > 0)
		answer_one();
	assert_false(intelvf_is_relayed(g.dev));
	up();
	drv.n_send = 100;
	post_frames();
	settle();
	assert_true(push(0));
	settle();
	assert_int_equal(drv.n_cleaned, 100);
	assert_int_equal(drv.n_received, 1);
}

/* A reset at every moment. Nothing new is asked for afterwards, and the next driver finds a clean VF. */
static void reset_in_flight(void **state)
{
	for (unsigned int moment = 0; moment < 150; moment++) {
		unsigned int n_sent, n = 0;

		client.order = orders[moment % ARRAY_SIZE(orders)];
		drv.n_send += 100;
		post_frames();
		for (unsigned int i = 0; i < moment; i++) {
			if (i % 16 == 0)
				n += push(n);
			step();
		}
		drv.running = false;
		guest_write(&g, VFCTRL, VFCTRL_RST);
		n_sent = client.n_sent;
		assert_int_equal(g.vf->endpoint.running, 0);
		while (client.n > 0) {
			answer_one();
			assert_int_equal(work(), 0);
		}
		assert_int_equal(client.n_sent, n_sent);
		assert_false(intelvf_is_relayed(g.dev));
		up();
	}
	restart();
}

/* The guest disables its rings and enables them before the answers have come: nothing that was read for
 * the old ones may end up in the new frames. */
static void quick_restart(void **state)
{
	for (unsigned int moment = 2; moment < 60; moment++) {
		client.order = ANY_ORDER;
		drv.n_send = 200;
		post_frames();
		for (unsigned int i = 0; i < moment; i++)
			step();
		drv.running = false;
		guest_write(&g, VFCTRL, VFCTRL_RST);
		answer_writes(); /* before its memory is used for something else */
		up();
		drv.n_send = 200;
		post_frames();
		settle();
		assert_int_equal(drv.n_cleaned, 200);
		assert_true(push(0));
		settle();
		assert_int_equal(drv.n_received, 1);
		drv.running = false;
		guest_write(&g, VFCTRL, VFCTRL_RST);
		assert_false(intelvf_is_relayed(g.dev));
		up();
	}
}

/* Each message in turn fails: its ring stops, and only that; disabling brings it back. */
static void failures(void **state)
{
	static const int errors[] = { -EFAULT, -ETIMEDOUT, -EPROTO };

	for (unsigned int i = 1; i < 120; i++) {
		uint64_t stops = g.vf->counters.relay_stops;

		client.n_answers = 0;
		client.fail_at = i;
		client.error = errors[i % ARRAY_SIZE(errors)];
		drv.n_send = 60;
		post_frames();
		for (unsigned int n = 0, tries = 0; n < 40 && tries < 1000; tries++) {
			n += push(n);
			step();
		}
		settle();
		client.fail_at = 0;
		assert_int_equal(g.vf->counters.relay_stops, stops + (client.n_answers >= i));
		assert_true(drv.n_cleaned == 60 || drv.n_received == 40);
		assert_int_equal(client.n, 0);
		restart();
		drv.running = false;
		guest_write(&g, VFCTRL, VFCTRL_RST);
		settle();
		up();
	}
	assert_true(g.vf->counters.relay_stops > 50);
}

/* The client is gone: all answers are errors, nothing can be asked, then comes the reset. */
static void client_leaves(void **state)
{
	drv.n_send = 100;
	post_frames();
	for (unsigned int i = 0; i < 20; i++)
		step();
	assert_true(client.n > 0);
	client.refuse = -ENOTCONN;
	while (client.n > 0) {
		client.fail_at = client.n_answers + 1;
		client.error = -ECONNRESET;
		answer_one();
	}
	g.vf->ops->reset(g.vf);
	assert_false(intelvf_is_relayed(g.dev));
	assert_int_equal(g.vf->counters.relay_stops, 0);
	client.refuse = 0;
	g.vf->bus_master = true;
	restart();
}

/* Whoever is too busy is asked again, although no answer is awaited. */
static void busy_client(void **state)
{
	settle();
	client.refuse = -EBUSY;
	drv.n_send = 10;
	post_frames();
	for (unsigned int i = 0; i < 20; i++)
		step();
	assert_int_equal(client.n, 0);
	assert_int_equal(drv.n_cleaned, 0);
	client.refuse = 0;
	settle();
	assert_int_equal(drv.n_cleaned, 10);
}

static void small_messages(void **state)
{
	client.size_max = 700;
	client.order = ANY_ORDER;
	drv.n_send = 200;
	post_frames();
	settle();
	for (unsigned int n = 0; n < 40; n++)
		assert_true(push(n));
	settle();
	assert_int_equal(drv.n_cleaned, 200);
	assert_int_equal(drv.n_received, 40);
	/* Below that, it is no use. */
	restart();
	client.size_max = 100;
	drv.n_send = 110;
	post_frames();
	settle();
	assert_int_equal(g.vf->counters.relay_stops, 1);
}

/* The ring's memory goes while messages are out. */
static void ring_memory_goes(void **state)
{
	drv.n_send = 100;
	post_frames();
	for (unsigned int i = 0; i < 10; i++)
		step();
	drv.running = false;
	assert_int_equal(mem_unmap(g.mem, GUEST_RAM_AT, GUEST_RAM_SIZE), 0);
	settle();
	assert_true(g.vf->counters.relay_stops >= 1);
	assert_int_equal(client.n, 0);
}

/* Bus mastering is taken away: no message goes out any more. */
static void no_bus_master(void **state)
{
	unsigned int n_sent;

	drv.n_send = 100;
	post_frames();
	for (unsigned int i = 0; i < 10; i++)
		step();
	drv.running = false;
	g.vf->bus_master = false;
	n_sent = client.n_sent;
	settle();
	assert_int_equal(client.n_sent, n_sent);
	assert_false(intelvf_is_relayed(g.dev));
	assert_int_equal(g.vf->endpoint.running, 0);
}

/* A ring in a hole, or not a ring: counted, and there is no message. */
static void bad_rings(void **state)
{
	static const struct {
		uint64_t base;
		uint32_t size;
	} rings[] = {
		{ GUEST_RAM_AT + 64, 1024 }, { GUEST_RAM_AT, 1000 },
		{ GUEST_RAM_AT, 0 },         { GUEST_RAM_AT + GUEST_RAM_SIZE - 128, 256 },
		{ GUEST_ROM_AT, 1024 },      { 0x5000, 1024 },
	};

	settle();
	drv.running = false;
	for (unsigned int i = 0; i < ARRAY_SIZE(rings); i++) {
		uint64_t bad;
		unsigned int n_sent = client.n_sent;

		guest_line_write(&g, IXGBEVF_PAGE_TX + TXDCTL, 0);
		guest_read(&g, VFSTATUS);
		bad = guest_stats(&g).bad_tx_desc;
		guest_line_write(&g, IXGBEVF_PAGE_TX + TDBAL, (uint32_t)rings[i].base);
		guest_line_write(&g, IXGBEVF_PAGE_TX + TDBAH, (uint32_t)(rings[i].base >> 32));
		guest_line_write(&g, IXGBEVF_PAGE_TX + TDLEN, rings[i].size);
		guest_line_write(&g, IXGBEVF_PAGE_TX + TXDCTL, TXDCTL_ENABLE);
		guest_read(&g, VFSTATUS);
		settle();
		assert_int_equal(guest_stats(&g).bad_tx_desc, bad + 1);
		assert_int_equal(client.n_sent, n_sent);
	}
	/* Other base registers are another ring, without a disable in between. */
	guest_tx_up(&g, N);
	put(0, GUEST_DATA, WHOLE | 60, 60 << TXD_PAYLEN_SHIFT);
	tail(1);
	settle();
	assert_int_equal(drv.n_seen, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(bad_addresses),    CASE(bad_tails),     CASE(endless_packet),
		CASE(reset_in_flight),  CASE(quick_restart), CASE(failures),
		CASE(client_leaves),    CASE(busy_client),   CASE(small_messages),
		CASE(ring_memory_goes), CASE(no_bus_master), CASE(bad_rings),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
