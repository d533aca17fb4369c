/* SPDX-License-Identifier: BSD-3-Clause */
/* A relay beside memory that is mapped, and beside workers. */
#include <pthread.h>
#include <sched.h>

#include "dev/intelvf/relay_test.h"

/* --- mixed memory --- */

#define FAR_AT 0x200000000ull

static int mixed_memory(void **state)
{
	no_memory_of_ours(state);
	guest_stop(&g);
	guest_start(&g, "82599");
	return 0;
}

static struct vf_upcalls mixed_upcalls;

static int far_message(uint64_t *iova)
{
	assert_true(*iova >= FAR_AT && *iova < FAR_AT + 0x80000);
	*iova = *iova - FAR_AT + GUEST_DATA;
	return 0;
}

static int far_read(void *arg, uint64_t iova, void *buf, size_t size, vf_dma_done *done,
		    void *done_arg)
{
	far_message(&iova);
	return up_read(arg, iova, buf, size, done, done_arg);
}

static int far_write(void *arg, uint64_t iova, const void *buf, size_t size, vf_dma_done *done,
		     void *done_arg)
{
	far_message(&iova);
	return up_write(arg, iova, buf, size, done, done_arg);
}

/* Rings in mapped memory, and FAR_AT another name for GUEST_DATA which only messages know. */
static void make_far(void)
{
	mixed_upcalls = *g.vf->upcalls;
	mixed_upcalls.dma_read = far_read;
	mixed_upcalls.dma_write = far_write;
	mixed_upcalls.kick = up_kick;
	g.vf->upcalls = &mixed_upcalls;
	assert_int_equal(mem_map(g.mem, FAR_AT, 0x80000, -1, 0, MEM_READ | MEM_WRITE), 0);
	up();
	drv.running = false;
}

/* A ring that workers serve in place meets a buffer that needs messages. It goes on from there, with the
 * context that was set before; then all of the VF is relayed. */
static void far_transmit_buffer(void **state)
{
	make_far();
	put_context(0, 1);
	put(1, GUEST_DATA, WHOLE | 60, 60 << TXD_PAYLEN_SHIFT);
	tail(2);
	settle();
	assert_int_equal(drv.n_seen, 1);
	assert_false(intelvf_is_relayed(g.dev));
	assert_int_equal(client.n_sent, 0);

	memset(g.n_irqs, 0, sizeof(g.n_irqs));
	make(guest_va(&g, GUEST_DATA), 5, 200);
	put(2, FAR_AT, DATA | TXD_CMD_VLE | 100, 200 << TXD_PAYLEN_SHIFT | TXD_IDX);
	put(3, GUEST_DATA + 100, WHOLE | 100, 0);
	put(4, FAR_AT, WHOLE | 200, 200 << TXD_PAYLEN_SHIFT);
	tail(5);
	assert_int_equal(pull_next(), 1);
	assert_true(intelvf_is_relayed(g.dev));
	assert_int_equal(g.burst.frame[0].size, 200);
	assert_int_equal(g.burst.frame[0].tci, 77);
	guest_done(&g);
	assert_int_equal(pull_next(), 1);
	assert_true(is_frame(g.burst.frame[0].va, 5, 200));
	guest_done(&g);
	settle();
	/* In case a frame was received in place, and its worker found the relay to tell. */
	assert_int_equal(g.n_irqs[0], 1);
	assert_int_equal(client.n_sent, 2); /* what has a pointer needs no message */
	assert_int_equal(guest_line_read(&g, IXGBEVF_PAGE_TX + TDH), 5);
	assert_int_equal(guest_tx_desc(&g, 3)->hi >> 32 & TXD_STAT_DD, 1);
	assert_int_equal(guest_tx_desc(&g, 4)->hi >> 32 & TXD_STAT_DD, 1);
	assert_int_equal(guest_stats(&g).bad_tx_desc, 0);
}

static void far_receive_buffer(void **state)
{
	make_far();
	guest_rx_desc(&g, 2)->lo = FAR_AT + 4096;
	for (unsigned int n = 0; n < 2; n++)
		push(n);
	assert_int_equal(client.n_sent, 0);
	assert_false(intelvf_is_relayed(g.dev));
	push(2);
	assert_int_equal(g.stats.drop[DROP_NO_BUFFER], 1);
	settle();
	assert_true(intelvf_is_relayed(g.dev));
	for (unsigned int n = 2; n < 5; n++)
		push(n);
	settle();
	assert_int_equal(client.n_sent, 1);
	for (unsigned int n = 0; n < 5; n++) {
		uint64_t at = n == 2 ? GUEST_DATA + 4096 : BUFFER(n);

		assert_true(is_frame(guest_va(&g, at), n, size_of(n)));
		assert_int_equal(guest_rx_desc(&g, n)->hi & 3, 3);
	}
	assert_int_equal(guest_rx_desc(&g, 5)->hi, 0);
	assert_int_equal(guest_stats(&g).bad_rx_desc, 0);
}

static struct {
	bool on;
	unsigned int n_batches;
} keen;

/* Worker and guest, whenever a batch is back. */
static void keen_irq(void *arg, unsigned int vector)
{
	if (!keen.on || ++keen.n_batches == 1000)
		return;
	tail((guest_line_read(&g, IXGBEVF_PAGE_TX + TDH) + N - 1) % N);
	for (unsigned int i = 0; i < 4 && guest_pull(&g) > 0; i++)
		guest_done(&g);
}

/* A ring in which there is always more to do does not keep device I/O, which is for all VFs. */
static void keen_guest(void **state)
{
	make_far();
	mixed_upcalls.irq = keen_irq;
	guest_irqs_up(&g);
	for (unsigned int i = 0; i < N; i++)
		put(i, GUEST_DATA, WHOLE | 64, 64 << TXD_PAYLEN_SHIFT);
	put(0, FAR_AT, WHOLE | 64, 64 << TXD_PAYLEN_SHIFT);
	tail(1);
	settle();
	assert_true(intelvf_is_relayed(g.dev));
	put(0, GUEST_DATA, WHOLE | 64, 64 << TXD_PAYLEN_SHIFT);
	tail(0);
	guest_read(&g, VFSTATUS);
	for (unsigned int i = 0; i < 4 && guest_pull(&g) > 0; i++)
		guest_done(&g);
	client.kicked = false;
	keen.on = true;
	guest_read(&g, VFSTATUS);
	keen.on = false;
	assert_in_range(keen.n_batches, 1, 10);
	assert_true(client.kicked); /* and goes on afterwards */
	settle();
	assert_int_equal(guest_line_read(&g, IXGBEVF_PAGE_TX + TDH),
			 guest_line_read(&g, IXGBEVF_PAGE_TX + TDT));
}

/* With the last ring the relay goes, and mapped memory is used in place again. */
static void back_to_pointers(void **state)
{
	unsigned int n_sent;

	make_far();
	put(0, FAR_AT, WHOLE | 60, 60 << TXD_PAYLEN_SHIFT);
	tail(1);
	settle();
	assert_true(intelvf_is_relayed(g.dev));
	guest_line_write(&g, IXGBEVF_PAGE_TX + TXDCTL, 0);
	guest_read(&g, VFSTATUS);
	assert_true(intelvf_is_relayed(g.dev));
	guest_line_write(&g, IXGBEVF_PAGE_RX + RXDCTL, 0);
	guest_read(&g, VFSTATUS);
	assert_false(intelvf_is_relayed(g.dev));
	n_sent = client.n_sent;
	up();
	drv.n_send = 100;
	post_frames();
	for (unsigned int i = 0; i < 100; i++) {
		work();
		clean_frames();
		post_frames();
	}
	push(0);
	take_frames();
	assert_int_equal(drv.n_cleaned, 100);
	assert_int_equal(drv.n_received, 1);
	assert_int_equal(client.n_sent, n_sent);
	assert_int_equal(guest_line_read(&g, VFGPRC), 0); /* not shown before 64 */
	guest_read(&g, VFSTATUS);
	assert_int_equal(guest_line_read(&g, VFGPRC), 1);
}

/* --- workers --- */

/* An answer that completes a packet comes when its worker has gone to sleep. */
static void wakes_worker(void **state)
{
	struct doorbell d = { 0 };

	put(0, GUEST_DATA, WHOLE | 60, 60 << TXD_PAYLEN_SHIFT);
	tail(1);
	guest_read(&g, VFSTATUS);
	while (client.n > 0 && client.wait[0].iova != GUEST_DATA)
		answer_one();
	assert_int_equal(guest_pull(&g), 0);
	atomic_store(&g.vf->endpoint.txq[0]->doorbell, &d);
	assert_int_equal(client.n, 1);
	answer_one();
	assert_int_equal(atomic_load(&d.state), DOORBELL_RUNG);
	atomic_store(&g.vf->endpoint.txq[0]->doorbell, NULL);
	assert_int_equal(guest_pull(&g), 1);
	guest_done(&g);
}

static struct {
	pthread_t thread;
	atomic_bool stop;
	atomic_uint rounds; /* quiescent points */
	unsigned int n_sent, n_wrong;
} other;

static void wait_for_other(struct guest *guest)
{
	unsigned int was = atomic_load(&other.rounds);

	/* The round that runs now may have seen the old, the one after it has not. */
	while (atomic_load(&other.rounds) - was < 2 && !atomic_load(&other.stop))
		sched_yield();
}

/* A worker, all the time: it sends on what it gets and receives as much as there is room for. */
static void *other_main(void *arg)
{
	static struct burst burst;
	struct txq *txq = g.vf->endpoint.txq[0];
	struct endpoint_stats stats = { 0 };
	uint8_t bytes[600], out[2048];

	worker_self = 1;
	memset(bytes, 0x5a, sizeof(bytes));
	while (!atomic_load(&other.stop)) {
		struct frame f = guest_frame(bytes, sizeof(bytes), GUEST_MAC, 0x88b5);
		const struct frame *frames[] = { &f, &f, &f };

		burst.n = burst.n_segs = 0;
		txq->ops->pull(txq, &burst);
		for (unsigned int i = 0; i < burst.n; i++) {
			copy_frame(&burst.frame[i], out);
			for (uint32_t at = FRAME_SIZE_MIN; at < burst.frame[i].size; at++)
				other.n_wrong += out[at] != 0xa5;
		}
		other.n_sent += burst.n;
		if (burst.n > 0)
			txq->ops->done(txq);
		g.vf->endpoint.ops->push(&g.vf->endpoint, frames, ARRAY_SIZE(frames), 0, &stats);
		atomic_fetch_add(&other.rounds, 1);
		sched_yield();
	}
	return NULL;
}

/* What it is about shows under ThreadSanitizer; without it, whether both sides go on for ever. */
static void with_a_worker(void **state)
{
	unsigned int posted = 0, n_resets = 0;

	drv.running = false;
	memset(guest_va(&g, GUEST_DATA), 0xa5, 2048ul * N);
	memset(&other, 0, sizeof(other));
	g.on_quiesce = wait_for_other;
	client.order = ANY_ORDER;
	assert_int_equal(pthread_create(&other.thread, NULL, other_main, NULL), 0);
	for (unsigned int i = 0; n_resets < 30; i++) {
		if (__atomic_exchange_n(&client.kicked, false, __ATOMIC_SEQ_CST))
			g.vf->ops->kicked(g.vf);
		if (client.n > 0)
			answer_one();
		else
			sched_yield();
		/* What the driver would do, without asking for what became of it. */
		put(posted % N, GUEST_DATA + 2048ull * (posted % N), WHOLE | 1000,
		    1000 << TXD_PAYLEN_SHIFT);
		posted++;
		tail(posted % N);
		guest_line_write(&g, IXGBEVF_PAGE_RX + RDT, (i / 8) % N);
		if (i % 500 == 499) {
			guest_write(&g, VFCTRL, VFCTRL_RST);
			answer_writes();
			up();
			drv.running = false;
			posted = 0;
			n_resets++;
		}
	}
	atomic_store(&other.stop, true);
	pthread_join(other.thread, NULL);
	g.on_quiesce = NULL;
	assert_int_equal(other.n_wrong, 0);
	assert_true(other.n_sent > 0);
	assert_int_equal(g.vf->counters.relay_stops, 0);
}

#define MIXED(f) cmocka_unit_test_setup_teardown(f, mixed_memory, stop)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(wakes_worker),        CASE(with_a_worker), MIXED(far_transmit_buffer),
		MIXED(far_receive_buffer), MIXED(keen_guest),   MIXED(back_to_pointers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
