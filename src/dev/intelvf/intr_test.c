/* SPDX-License-Identifier: BSD-3-Clause */
/* Interrupt causes, masks, routing; and the race between a worker and the driver. */
#include <pthread.h>
#include <sched.h>

#include "base/clock.h"
#include "dev/intelvf/guest_test.h"

/* What one event does, for each setting of mask, auto-clear and auto-mask. */
static void one_event(void **state)
{
	static const struct {
		uint32_t eims, eiac, eiam;
		unsigned int sent;
		uint32_t eicr_after, eims_after;
	} cases[] = {
		{ 0, 0, 0, 0, 1, 0 }, { 1, 0, 0, 1, 1, 1 }, { 1, 1, 0, 1, 0, 1 },
		{ 1, 0, 1, 1, 1, 0 }, { 1, 1, 1, 1, 0, 0 }, { 0, 1, 1, 0, 1, 0 },
		{ 6, 7, 7, 0, 1, 6 }, { 7, 6, 6, 1, 1, 7 }, { 7, 7, 7, 1, 0, 6 },
	};

	guest_write(&g, VTIVAR, 0x80);
	for (unsigned int i = 0; i < ARRAY_SIZE(cases); i++) {
		guest_write(&g, VTEIMC, 7);
		guest_read(&g, VTEICR);
		g.n_irqs[0] = 0;
		guest_write(&g, VTEIAC, cases[i].eiac);
		guest_write(&g, VTEIAM, cases[i].eiam);
		guest_write(&g, VTEIMS, cases[i].eims);
		assert_int_equal(intr_rx(g.dev, 0), cases[i].sent);
		assert_int_equal(g.n_irqs[0], cases[i].sent);
		assert_int_equal(guest_read(&g, VTEIMS), cases[i].eims_after);
		assert_int_equal(guest_read(&g, VTEICR), cases[i].eicr_after);
		assert_int_equal(guest_read(&g, VTEICR), 0);
	}
}

/* VTIVAR's bytes: receive and transmit of an even queue, then of the odd one. */
static void routing(void **state)
{
	static const struct {
		uint32_t ivar;
		unsigned int q;
		bool tx;
		int vector; /* -1: none */
	} cases[] = {
		{ 0x80, 0, false, 0 },       { 0x81, 0, false, 1 },
		{ 0x82, 0, false, 2 },       { 0x83, 0, false, -1 },
		{ 0x01, 0, false, -1 },      { 0x8100, 0, true, 1 },
		{ 0x8100, 0, false, -1 },    { 0x820000, 1, false, 2 },
		{ 0x81000000, 1, true, 1 },  { 0x00828180, 1, true, -1 },
		{ 0xffffff80, 0, false, 0 }, { 0xff, 0, false, -1 },
	};

	guest_write(&g, VTEIMS, 7);
	for (unsigned int i = 0; i < ARRAY_SIZE(cases); i++) {
		memset(g.n_irqs, 0, sizeof(g.n_irqs));
		guest_write(&g, VTIVAR, cases[i].ivar);
		if (cases[i].tx)
			intr_tx(g.dev, cases[i].q);
		else
			intr_rx(g.dev, cases[i].q);
		for (int v = 0; v < INTELVF_VECTORS; v++)
			assert_int_equal(g.n_irqs[v], v == cases[i].vector);
	}
	/* The other queues' registers. */
	for (unsigned int q = 0; q < INTELVF_QUEUES_MAX; q++) {
		memset(g.n_irqs, 0, sizeof(g.n_irqs));
		for (unsigned int n = 0; n < 4; n++)
			guest_write(&g, VTIVAR + 4 * n, 0);
		guest_write(&g, VTIVAR + 4 * (q / 2), q % 2 == 0 ? 0x8182 : 0x81820000);
		intr_rx(g.dev, q);
		intr_tx(g.dev, q);
		assert_int_equal(g.n_irqs[2], 1);
		assert_int_equal(g.n_irqs[1], 1);
	}
	guest_write(&g, VTIVAR_MISC, 0x81);
	intr_mbox(g.dev);
	assert_int_equal(g.n_irqs[1], 2);
	guest_write(&g, VTIVAR_MISC, 0x01);
	intr_mbox(g.dev);
	assert_int_equal(g.n_irqs[1], 2);
}

static void registers(void **state)
{
	guest_write(&g, VTEIMS, 0xffffffff);
	assert_int_equal(guest_read(&g, VTEIMS), 7);
	guest_write(&g, VTEIMC, 2);
	assert_int_equal(guest_read(&g, VTEIMS), 5);
	assert_int_equal(guest_read(&g, VTEIMC), 0);
	guest_write(&g, VTEIMS, 2);
	assert_int_equal(guest_read(&g, VTEIMS), 7);
	/* By software: VTEICS sets causes and sends; VTEICR is cleared by ones and by reading. */
	guest_write(&g, VTEICS, 0xfffffffb);
	assert_int_equal(g.n_irqs[0], 1);
	assert_int_equal(g.n_irqs[1], 1);
	assert_int_equal(g.n_irqs[2], 0);
	guest_write(&g, VTEICR, 1);
	assert_int_equal(guest_read(&g, VTEICR), 2);
	assert_int_equal(guest_read(&g, VTEICR), 0);
}

static void send(unsigned int n)
{
	for (unsigned int i = 0; i < n; i++)
		*guest_tx_desc(&g, i) =
			(struct guest_desc){ GUEST_DATA, 64u | TXD_DTYP_DATA | TXD_CMD_DEXT |
								 TXD_CMD_EOP | TXD_CMD_RS |
								 64ull << (32 + TXD_PAYLEN_SHIFT) };
	guest_tx_tail(&g, n);
}

/* What is asked for behind a doorbell comes after the doorbell's frames. */
static void software_interrupt_behind_frames(void **state)
{
	struct doorbell bell = { 0 };

	guest_mbox_up(&g, MBOX_API_14);
	guest_tx_up(&g, 8);
	guest_irqs_up(&g);
	guest_write(&g, VTIVAR, 0x0080); /* no interrupt of the transmit ring's own */
	atomic_store(&g.dev->txq[0].txq.doorbell, &bell);
	send(2);
	guest_write(&g, VTEICS, 2);
	assert_int_equal(g.n_irqs[1], 0);
	assert_true(doorbell_clear(&bell));
	/* Any trap wakes the worker as long as there is something for it. */
	guest_read(&g, GUEST_STATUS);
	assert_true(doorbell_clear(&bell));
	assert_int_equal(guest_pull(&g), 2);
	assert_int_equal(g.n_irqs[1], 0);
	guest_done(&g);
	assert_int_equal(g.n_irqs[1], 1);
	/* Done, but the head is not shown yet: the next look tells. */
	guest_write(&g, VTEICR, 7);
	guest_write(&g, VTEICS, 2);
	assert_int_equal(g.n_irqs[1], 1);
	assert_int_equal(guest_pull(&g), 0);
	assert_int_equal(g.n_irqs[1], 2);
	guest_write(&g, VTEICS, 2);
	assert_int_equal(g.n_irqs[1], 3);
	assert_true(doorbell_clear(&bell));
	guest_read(&g, GUEST_STATUS);
	assert_false(doorbell_clear(&bell));
}

/* It is not lost where the frames never go, and not kept where they cannot. */
static void software_interrupt_without_ring(void **state)
{
	guest_mbox_up(&g, MBOX_API_14);
	guest_tx_up(&g, 8);
	guest_irqs_up(&g);
	send(2);
	guest_write(&g, VTEICS, 2);
	assert_int_equal(g.n_irqs[1], 0);
	guest_line_write(&g, INTELVF_PAGE + INTELVF_PAGE + TXDCTL, 0);
	guest_read(&g, GUEST_STATUS);
	assert_int_equal(g.n_irqs[1], 1);
	guest_tx_up(&g, 8);
	guest_tx_tail(&g, 100); /* beyond the ring: nobody serves that */
	guest_write(&g, VTEICR, 7);
	guest_write(&g, VTEICS, 2);
	assert_int_equal(g.n_irqs[1], 2);
	g.vf->bus_master = false;
	guest_tx_tail(&g, 2);
	guest_write(&g, VTEICS, 2); /* no message, as ever without it, but no debt either */
	g.vf->bus_master = true;
	assert_int_equal(guest_pull(&g), 2);
	guest_done(&g);
	assert_int_equal(g.dev->eics_due, 0);
}

/* An event under the mask fires when the mask goes, once. */
static void pending_fires_on_unmask(void **state)
{
	guest_write(&g, VTIVAR, 0x80);
	guest_write(&g, VTEIAC, 7);
	guest_write(&g, VTEIAM, 7);
	intr_rx(g.dev, 0);
	intr_rx(g.dev, 0);
	assert_int_equal(g.n_irqs[0], 0);
	guest_write(&g, VTEIMS, 6);
	assert_int_equal(g.n_irqs[0], 0);
	guest_write(&g, VTEIMS, 1);
	assert_int_equal(g.n_irqs[0], 1);
	guest_write(&g, VTEIMS, 1);
	assert_int_equal(g.n_irqs[0], 1);
}

static void without_bus_master(void **state)
{
	guest_write(&g, VTIVAR, 0x80);
	guest_write(&g, VTEIAC, 7);
	guest_write(&g, VTEIMS, 1);
	g.vf->bus_master = false;
	intr_rx(g.dev, 0);
	assert_int_equal(g.n_irqs[0], 0);
	g.vf->bus_master = true;
	guest_write(&g, VTEIMC, 1);
	guest_write(&g, VTEIMS, 1);
	assert_int_equal(g.n_irqs[0], 1);
}

static void moderation_is_kept(void **state)
{
	guest_write(&g, VTEITR + 4, 0x80000ff8 | 7);
	assert_int_equal(guest_read(&g, VTEITR + 4), 0xff8);
	assert_int_equal(g.dev->itr_cycles[1], 1022 * (clock_hz() / 1000000));
	assert_int_equal(g.dev->itr_cycles[0], 0);
	guest_write(&g, VFCTRL, VFCTRL_RST);
	assert_int_equal(guest_read(&g, VTEITR + 4), 0);
	assert_int_equal(g.dev->itr_cycles[1], 0);
}

/* Time: the vector's next message is due now. */
static void let_time_pass(unsigned int vector)
{
	g.dev->itr_due[vector] = clock_cycles();
}

static void moderation(void **state)
{
	guest_write(&g, VTIVAR, 0x8180);
	guest_write(&g, VTEIAC, 1);
	guest_write(&g, VTEIAM, 1);
	guest_write(&g, VTEIMS, 3);
	guest_write(&g, VTEITR, 0xff8);
	/* The first one goes at once, the next waits with its cause and mask untouched. */
	assert_true(intr_rx(g.dev, 0));
	assert_int_equal(g.n_irqs[0], 1);
	guest_write(&g, VTEIMS, 1);
	for (unsigned int i = 0; i < 5; i++)
		assert_false(intr_rx(g.dev, 0));
	assert_int_equal(g.n_irqs[0], 1);
	assert_int_equal(guest_read(&g, VTEIMS), 3);
	assert_int_equal(intr_release(g.dev), 0);
	/* The other vector is not moderated. */
	assert_true(intr_tx(g.dev, 0));
	assert_true(intr_tx(g.dev, 0));
	let_time_pass(0);
	assert_int_equal(intr_release(g.dev), 1);
	assert_int_equal(g.n_irqs[0], 2);
	assert_int_equal(guest_read(&g, VTEIMS), 2);
	let_time_pass(0);
	assert_int_equal(intr_release(g.dev), 0);
	/* A driver that has looked by itself meanwhile gets no message. */
	guest_write(&g, VTEIMS, 1);
	intr_rx(g.dev, 0);
	assert_int_equal(g.n_irqs[0], 3);
	guest_write(&g, VTEIMS, 1);
	intr_rx(g.dev, 0);
	guest_read(&g, VTEICR);
	let_time_pass(0);
	assert_int_equal(intr_release(g.dev), 0);
	assert_int_equal(g.n_irqs[0], 3);
	/* Nor does one that has masked; it gets it when it unmasks. */
	intr_rx(g.dev, 0);
	guest_write(&g, VTEIMS, 1);
	intr_rx(g.dev, 0);
	guest_write(&g, VTEIMC, 1);
	let_time_pass(0);
	assert_int_equal(intr_release(g.dev), 0);
	g.n_irqs[0] = 0;
	guest_write(&g, VTEIMS, 1);
	assert_int_equal(g.n_irqs[0], 1);
	/* Without CNT_WDIS the time begins anew, with it it goes on. */
	guest_write(&g, VTEIMS, 1);
	guest_write(&g, VTEITR, VTEITR_CNT_WDIS | 0xff8);
	assert_false(intr_rx(g.dev, 0));
	guest_write(&g, VTEITR, 0xff8);
	assert_int_equal(intr_release(g.dev), 1);
	/* Off: at once again. */
	guest_write(&g, VTEITR, 0);
	g.n_irqs[0] = 0;
	for (unsigned int i = 0; i < 3; i++) {
		guest_write(&g, VTEIMS, 1);
		assert_true(intr_rx(g.dev, 0));
	}
	assert_int_equal(g.n_irqs[0], 3);
}

/* A worker that finds nothing to send releases what was held. */
static void a_pull_releases(void **state)
{
	guest_mbox_up(&g, MBOX_API_13);
	guest_irqs_up(&g);
	guest_write(&g, VTEITR, 0xff8);
	intr_rx(g.dev, 0);
	intr_rx(g.dev, 0);
	assert_int_equal(g.n_irqs[0], 1);
	assert_int_equal(guest_pull(&g), 0);
	assert_int_equal(g.n_irqs[0], 1);
	let_time_pass(0);
	assert_int_equal(guest_pull(&g), 0);
	assert_int_equal(g.n_irqs[0], 2);
	assert_int_equal(guest_stats(&g).irqs, 1);
}

/* A worker raises as fast as it can; the driver, woken by the message, looks and unmasks again. If an
 * event can get lost between the two, this stops. */
#define RACE_EVENTS 30000

static atomic_uint produced, seen;

/* The other may want this processor. */
static void relax(unsigned int spin)
{
	if (spin % 64 == 63)
		sched_yield();
	else
		cpu_relax();
}

static void *worker(void *arg)
{
	for (unsigned int i = 1; i <= RACE_EVENTS; i++) {
		unsigned int ahead = i < RACE_EVENTS ? 4 : 0;

		atomic_store(&produced, i);
		intr_rx(g.dev, 0);
		intr_release(g.dev);
		/* Never more than a few ahead, so that the end is not where it gets lost. */
		for (unsigned int spin = 0; i - atomic_load(&seen) > ahead && spin < 100000000;
		     spin++) {
			intr_release(g.dev);
			relax(spin);
		}
		if (i - atomic_load(&seen) > ahead)
			return NULL; /* lost */
	}
	return arg;
}

static void run_race(void)
{
	unsigned int handled = 0;
	pthread_t thread;
	void *result;

	guest_write(&g, VTIVAR, 0x80);
	guest_write(&g, VTEIAC, 1);
	guest_write(&g, VTEIAM, 1);
	guest_write(&g, VTEIMS, 1);
	atomic_store(&produced, 0);
	atomic_store(&seen, 0);
	pthread_create(&thread, NULL, worker, &g);
	for (unsigned int spin = 0; atomic_load(&seen) < RACE_EVENTS && spin < 1000000000; spin++) {
		unsigned int sent = __atomic_load_n(&g.n_irqs[0], __ATOMIC_SEQ_CST);

		if (sent == handled) {
			relax(spin);
			continue;
		}
		spin = 0;
		/* Auto-masked: one message at a time. */
		assert_int_equal(sent, handled + 1);
		handled = sent;
		atomic_store(&seen, atomic_load(&produced));
		guest_write(&g, VTEIMS, 1);
	}
	pthread_join(thread, &result);
	assert_non_null(result);
	assert_int_equal(atomic_load(&seen), RACE_EVENTS);
}

static void no_event_is_lost(void **state)
{
	run_race();
}

static void no_event_is_lost_by_moderation(void **state)
{
	guest_write(&g, VTEITR, 1 << VTEITR_SHIFT);
	run_race();
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, start, stop)
	const struct CMUnitTest tests[] = {
		TEST(one_event),
		TEST(routing),
		TEST(registers),
		TEST(software_interrupt_behind_frames),
		TEST(software_interrupt_without_ring),
		TEST(pending_fires_on_unmask),
		TEST(without_bus_master),
		TEST(moderation_is_kept),
		TEST(no_event_is_lost),
		TEST(moderation),
		TEST(a_pull_releases),
		TEST(no_event_is_lost_by_moderation),
	};

	return cmocka_run_group_tests_name("ixgbevf interrupts", tests, NULL, NULL);
}
