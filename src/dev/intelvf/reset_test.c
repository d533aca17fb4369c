/* SPDX-License-Identifier: BSD-3-Clause */
/* Resets, and disabling queues under traffic: when the trapped access returns, nobody uses them. */
#include <pthread.h>
#include <sched.h>

#include "dev/intelvf/guest_test.h"

#define N 64

static void up(void)
{
	guest_mbox_up(&g, MBOX_API_13);
	guest_irqs_up(&g);
	guest_rx_up(&g, N, SRRCTL_DESCTYPE_ADV | 2, RXDCTL_VME);
	guest_rx_post(&g, 0, N - 1, N);
	guest_tx_up(&g, N);
}

static void put(unsigned int idx)
{
	*guest_tx_desc(&g, idx) =
		(struct guest_desc){ GUEST_DATA, 60ull << (32 + TXD_PAYLEN_SHIFT) | TXD_CMD_DEXT |
							 TXD_DTYP_DATA | TXD_CMD_EOP | TXD_CMD_RS |
							 60 };
}

static struct frame frame(void)
{
	static uint8_t bytes[60];

	return guest_frame(bytes, sizeof(bytes), GUEST_MAC, 0x88b5);
}

/* State and what each kind of reset makes of it. */
static void software_reset(void **state)
{
	struct frame f = frame();

	up();
	guest_push(&g, &f, 1, 0);
	put(0);
	guest_line_write(&g, IXGBEVF_PAGE_TX + TDT, 1);
	assert_int_equal(guest_pull(&g), 1);
	guest_done(&g);
	assert_int_equal(g.state, VF_ACTIVE);
	assert_int_equal(g.vf->endpoint.running, 1);
	guest_write(&g, VFCTRL, VFCTRL_RST);
	assert_int_equal(g.state, VF_ATTACHED);
	assert_int_equal(g.vf->endpoint.running, 0);
	assert_int_equal(g.vf->counters.resets, 1);
	assert_string_equal(g.vf->ops->api(g.vf), "");
	assert_int_equal(guest_line_read(&g, IXGBEVF_PAGE_RX + RXDCTL), 0);
	assert_int_equal(guest_line_read(&g, IXGBEVF_PAGE_TX + TXDCTL), 0);
	assert_int_equal(guest_line_read(&g, IXGBEVF_PAGE_RX + RDH), 0);
	assert_int_equal(guest_line_read(&g, IXGBEVF_PAGE_TX + TDT), 0);
	assert_int_equal(guest_read(&g, VTEIMS), 0);
	/* Up again in the very rings, without a pull between: everything starts at 0. */
	up();
	put(0);
	put(1);
	guest_line_write(&g, IXGBEVF_PAGE_TX + TDT, 2);
	assert_int_equal(guest_pull(&g), 2);
	guest_done(&g);
	guest_push(&g, &f, 1, 0);
	assert_int_equal((uint32_t)guest_rx_desc(&g, 0)->hi, RXD_STAT_DD | RXD_STAT_EOP);
	assert_int_equal(g.stats.drop[DROP_DOWN], 0);
}

static void power_on_reset(void **state)
{
	up();
	g.vf->ops->reset(g.vf);
	assert_int_equal(g.state, VF_ATTACHED);
	assert_int_equal(g.vf->endpoint.running, 0);
	assert_int_equal(g.dev->st->mbox.cts, 0);
	/* Twice, and without anything before it. */
	g.vf->ops->reset(g.vf);
	assert_int_equal(g.vf->counters.resets, 2);
	up();
	assert_int_equal(g.vf->endpoint.running, 1);
}

static void reset_between_pull_and_done(void **state)
{
	up();
	put(0);
	guest_line_write(&g, IXGBEVF_PAGE_TX + TDT, 1);
	assert_int_equal(guest_pull(&g), 1);
	/* With a worker, the reset would wait for done; it must not matter either way. */
	guest_write(&g, VFCTRL, VFCTRL_RST);
	guest_done(&g);
	assert_int_equal(guest_pull(&g), 0);
	assert_int_equal(guest_line_read(&g, IXGBEVF_PAGE_TX + TDH), 0);
}

/* The facts' hazard: ENABLE is cleared by the mapping, and the next trapped access of any kind waits. */
static void disabled_queues_are_waited_for(void **state)
{
	unsigned int before;

	up();
	put(0);
	guest_line_write(&g, IXGBEVF_PAGE_TX + TDT, 1);
	assert_int_equal(guest_pull(&g), 1);
	guest_done(&g);
	before = g.n_quiesces;
	guest_read(&g, VFSTATUS);
	assert_int_equal(g.n_quiesces, before);
	guest_line_write(&g, IXGBEVF_PAGE_TX + TXDCTL, 0);
	guest_read(&g, VFSTATUS);
	assert_int_equal(g.n_quiesces, before + 1);
	/* Once the worker has seen it there is nothing to wait for. */
	assert_int_equal(guest_pull(&g), 0);
	guest_read(&g, VFSTATUS);
	assert_int_equal(g.n_quiesces, before + 1);
	/* By a write as well, also one that does the disabling itself. */
	guest_line_write(&g, IXGBEVF_PAGE_TX + TXDCTL, TXDCTL_ENABLE);
	guest_pull(&g);
	guest_write(&g, IXGBEVF_PAGE_TX + TXDCTL, 0);
	assert_int_equal(g.n_quiesces, before + 2);
}

/* Disabled and enabled again before the worker looks: the ring starts where TDH says. */
static void reenabled_unseen(void **state)
{
	up();
	for (unsigned int i = 0; i < 5; i++)
		put(i);
	guest_line_write(&g, IXGBEVF_PAGE_TX + TDT, 5);
	assert_int_equal(guest_pull(&g), 5);
	guest_done(&g);
	guest_line_write(&g, IXGBEVF_PAGE_TX + TXDCTL, 0);
	guest_read(&g, VFSTATUS);
	guest_tx_up(&g, N);
	put(0);
	put(1);
	guest_line_write(&g, IXGBEVF_PAGE_TX + TDT, 2);
	assert_int_equal(guest_pull(&g), 2);
	guest_done(&g);
}

/* ---- with a real worker ---- */

static atomic_uint rounds;
static atomic_bool quit;
static uint64_t sent, received;

static void *worker(void *arg)
{
	static uint8_t bytes[BURST_MAX][1514];
	struct frame f[BURST_MAX];

	for (unsigned int i = 0; i < BURST_MAX; i++)
		f[i] = guest_frame(bytes[i], 60 + i * 40, GUEST_MAC, 0x88b5);
	while (!atomic_load(&quit)) {
		unsigned int n = guest_pull(&g);

		for (unsigned int i = 0; i < n; i++)
			sent += g.burst.frame[i].va[0] == 0x5a;
		if (n > 0)
			guest_done(&g);
		guest_push(&g, f, BURST_MAX, 0);
		atomic_fetch_add(&rounds, 1);
		sched_yield(); /* whoever waits for it may want this processor */
	}
	received = g.stats.rx_frames;
	return arg;
}

static void wait_a_round(struct guest *guest)
{
	unsigned int from = atomic_load(&rounds);

	while (atomic_load(&rounds) == from)
		sched_yield();
}

static uint64_t desc_hi(struct guest_desc *d)
{
	return __atomic_load_n(&d->hi, __ATOMIC_ACQUIRE);
}

/* Traffic until something went both ways. */
static void some_traffic(void)
{
	for (unsigned int i = 0; i < N - 1; i++)
		put(i);
	guest_line_write(&g, IXGBEVF_PAGE_TX + TDT, N - 1);
	while ((desc_hi(guest_tx_desc(&g, 3)) >> 32 & TXD_STAT_DD) == 0 ||
	       (desc_hi(guest_rx_desc(&g, 3)) & RXD_STAT_DD) == 0)
		sched_yield();
}

enum how {
	BY_REGISTER_READ,
	BY_MAILBOX,
	BY_RESET,
	BY_POWER_ON,
	N_HOWS
};

static void disable(enum how how)
{
	if (how == BY_POWER_ON) {
		g.vf->ops->reset(g.vf);
		return;
	}
	if (how != BY_RESET) {
		guest_line_write(&g, IXGBEVF_PAGE_RX + RXDCTL, 0);
		guest_line_write(&g, IXGBEVF_PAGE_TX + TXDCTL, 0);
	}
	if (how == BY_REGISTER_READ)
		guest_read(&g, VFSTATUS);
	else if (how == BY_MAILBOX)
		guest_write(&g, VFMBMEM, 1);
	else
		guest_write(&g, VFCTRL, VFCTRL_RST);
}

#define ROUNDS 400ul

/* The driver frees its memory behind the trapped access; whoever writes or reads it then is seen, here
 * by a pattern and by the thread sanitizer. */
static void nothing_is_touched_after_a_disable(void **state)
{
	const size_t size = GUEST_DATA + 4096 - GUEST_RAM_AT;
	pthread_t thread;

	atomic_store(&quit, false);
	g.on_quiesce = wait_a_round;
	pthread_create(&thread, NULL, worker, NULL);
	for (unsigned int round = 0; round < ROUNDS; round++) {
		memset(g.ram, 0x5a, size);
		up();
		some_traffic();
		disable(round % N_HOWS);
		memset(g.ram, 0xa5, size);
		wait_a_round(&g);
		wait_a_round(&g);
		for (size_t i = 0; i < size; i++)
			if (g.ram[i] != 0xa5)
				fail_msg("round %u: byte %#zx was written", round, i);
	}
	atomic_store(&quit, true);
	pthread_join(thread, NULL);
	assert_true(sent > ROUNDS * 3);
	assert_true(received > ROUNDS * 3);
}

/* Several workers push at once, each frame arrives once and whole. */
#define PUSHERS 3
#define PUSHES  3000

static void *pusher(void *arg)
{
	struct endpoint_stats stats = { 0 };
	uint8_t bytes[60];
	uint64_t done = 0;

	while (done < PUSHES) {
		struct frame f = guest_frame(bytes, sizeof(bytes), GUEST_MAC, 0x88b5);
		const struct frame *ptr = &f;

		memset(bytes + 14, *(const uint8_t *)arg, sizeof(bytes) - 14);
		g.vf->endpoint.ops->push(&g.vf->endpoint, &ptr, 1, 0, &stats);
		if (stats.rx_frames == done)
			sched_yield(); /* the ring is full: let the guest run */
		done = stats.rx_frames;
	}
	return NULL;
}

static void pushes_from_several_workers(void **state)
{
	unsigned int count[PUSHERS + 1] = { 0 }, next = 0;
	pthread_t thread[PUSHERS];
	uint8_t fill[PUSHERS];

	up();
	for (unsigned int i = 0; i < PUSHERS; i++) {
		fill[i] = (uint8_t)(i + 1);
		pthread_create(&thread[i], NULL, pusher, &fill[i]);
	}
	for (unsigned int n = 0; n < PUSHERS * PUSHES; n++) {
		uint8_t *buf = guest_va(&g, GUEST_BUFS + 2048ull * next);

		while ((desc_hi(guest_rx_desc(&g, next)) & RXD_STAT_DD) == 0)
			sched_yield();
		assert_in_range(buf[14], 1, PUSHERS);
		for (unsigned int i = 15; i < 60; i++)
			assert_int_equal(buf[i], buf[14]);
		count[buf[14]]++;
		guest_rx_post(&g, (next + N - 1) % N, next, N);
		next = (next + 1) % N;
	}
	for (unsigned int i = 0; i < PUSHERS; i++) {
		pthread_join(thread[i], NULL);
		assert_int_equal(count[i + 1], PUSHES);
	}
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, start, stop)
	const struct CMUnitTest tests[] = {
		TEST(software_reset),
		TEST(power_on_reset),
		TEST(reset_between_pull_and_done),
		TEST(disabled_queues_are_waited_for),
		TEST(reenabled_unseen),
		TEST(nothing_is_touched_after_a_disable),
		TEST(pushes_from_several_workers),
	};

	return cmocka_run_group_tests_name("ixgbevf resets", tests, NULL, NULL);
}
