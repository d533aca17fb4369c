/* SPDX-License-Identifier: BSD-3-Clause */
/* Several receive queues: who gets which frame, and what the descriptor says of it. */
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "dev/intelvf/fake_guest.h"
#include "dev/ixgbevf/ixgbevf.h"

#define N       64 /* descriptors of each ring */
#define FLOWS   32
#define RING(q) (GUEST_RX_RING + (uint64_t)(q)*N * DESC_SIZE)
#define BUFS(q) (GUEST_BUFS + (uint64_t)(q)*N * 1024)
#define LINE(q) (IXGBEVF_PAGE_RX + (q)*IXGBEVF_QUEUE_STEP)

static struct guest g;
static uint8_t bytes[FLOWS][128];
static unsigned int next[INTELVF_QUEUES_MAX]; /* descriptor that is looked at next */

static void queue_up(unsigned int q)
{
	for (unsigned int i = 0; i < N; i++)
		*((struct guest_desc *)guest_va(&g, RING(q)) + i) =
			(struct guest_desc){ BUFS(q) + 1024ull * i, 0 };
	guest_line_write(&g, LINE(q) + RDBAL, (uint32_t)RING(q));
	guest_line_write(&g, LINE(q) + RDBAH, (uint32_t)(RING(q) >> 32));
	guest_line_write(&g, LINE(q) + RDLEN, N * DESC_SIZE);
	guest_line_write(&g, LINE(q) + RDH, 0);
	guest_line_write(&g, LINE(q) + SRRCTL, SRRCTL_DESCTYPE_ADV | 1);
	guest_line_write(&g, LINE(q) + RXDCTL, RXDCTL_ENABLE);
	guest_line_write(&g, LINE(q) + RDT, N - 1);
	next[q] = 0;
}

static void start(const char *model, unsigned int n_queues, unsigned int n_up)
{
	guest_start_queues(&g, model, n_queues);
	guest_mbox_up(&g, MBOX_API_13);
	/* Even queues: vector 0, odd ones: 1. */
	for (unsigned int i = 0; i < 4; i++)
		guest_write(&g, VTIVAR + 4 * i, 0x00810080);
	guest_write(&g, VTEIMS, 3);
	memset(g.n_irqs, 0, sizeof(g.n_irqs));
	for (unsigned int q = 0; q < n_up; q++)
		queue_up(q);
	guest_read(&g, VFSTATUS);
}

/* A TCP packet over IPv4 (even flows) or IPv6 (odd flows), `seq` in its last bytes. */
static struct frame packet(unsigned int flow, uint32_t seq, uint8_t proto)
{
	uint8_t *b = bytes[flow], *l3 = b + FRAME_SIZE_MIN;
	bool six = flow % 2 == 1;

	memset(b, 0, sizeof(bytes[flow]));
	l3[0] = six ? 0x60 : 0x45;
	l3[six ? 6 : 9] = proto;
	l3[six ? 8 : 12] = 10;
	l3[six ? 39 : 19] = (uint8_t)flow;
	store_be16(l3 + (six ? 40 : 20), (uint16_t)(1000 + flow));
	store_be32(b + 96, seq);
	return guest_frame(b, 100, GUEST_MAC, six ? ETH_TYPE_IPV6 : ETH_TYPE_IPV4);
}

struct got {
	unsigned int queue;
	uint64_t lo, hi;
	uint32_t seq;
};

/* The next frame of queue q; false: none. */
static bool take(unsigned int q, struct got *got)
{
	const struct guest_desc *d = (struct guest_desc *)guest_va(&g, RING(q)) + next[q];

	if ((d->hi & RXD_STAT_DD) == 0)
		return false;
	*got = (struct got){ .queue = q, .lo = d->lo, .hi = d->hi };
	got->seq = load_be32((uint8_t *)guest_va(&g, BUFS(q) + 1024ull * next[q]) + 96);
	next[q]++;
	return true;
}

/* The frame that was pushed alone. */
static struct got push1(const struct frame *f)
{
	struct got got = { .queue = 99 };

	guest_push(&g, f, 1, 0);
	for (unsigned int q = 0; q < INTELVF_QUEUES_MAX; q++)
		if (next[q] < N && guest_line_read(&g, LINE(q) + RXDCTL) != 0 && take(q, &got))
			return got;
	return got;
}

static uint32_t rss_of(const struct frame *f, uint32_t types, struct rss_result *r)
{
	struct rss_key key;

	rss_key_set(&key, g.dev->st->rss.key);
	rss_burst(&key, types, &f, 1, r);
	return r->hash;
}

/* 82599: the pool's table cut to as many bits as RQPL says. */
static void pool_queues(void **state)
{
	static const struct {
		unsigned int n_queues, rqpl, n_used;
	} cases[] = { { 2, 0, 1 }, { 2, 1, 2 }, { 4, 1, 2 }, { 4, 2, 4 },
		      { 8, 2, 4 }, { 8, 3, 8 }, { 8, 7, 8 } };
	const uint32_t types = RSS_BIT(RSS_IPV4) | RSS_BIT(RSS_TCP_IPV4) | RSS_BIT(RSS_IPV6) |
			       RSS_BIT(RSS_TCP_IPV6);

	for (unsigned int c = 0; c < ARRAY_SIZE(cases); c++) {
		uint32_t seen = 0;

		start("82599", cases[c].n_queues, cases[c].n_queues);
		/* A random one may bring all to few queues. */
		memcpy(g.dev->st->rss.key, "a key of forty bytes that is good enough", 40);
		guest_write(&g, VFPSRTYPE, cases[c].rqpl << VFPSRTYPE_RQPL_SHIFT);
		for (unsigned int i = 0; i < FLOWS; i++) {
			struct frame f = packet(i, i, i % 4 < 2 ? 6 : 17);
			struct push_report report = { 0 };
			const struct frame_note *note;
			struct got got;
			struct rss_result r;
			uint32_t hash = rss_of(&f, types, &r);

			g.stats.report = &report;
			got = push1(&f);
			g.stats.report = NULL;
			assert_int_equal(got.seq, i);
			seen |= 1u << got.queue;
			if (cases[c].rqpl == 0) {
				assert_int_equal(got.lo >> 32, 0);
				assert_int_equal(got.lo & 0xf, 0);
				continue;
			}
			assert_int_equal(got.queue, hash % 128 % cases[c].n_used);
			note = frame_notes_find(&report.queued, &f);
			assert_non_null(note);
			assert_int_equal(note->what, got.queue);
			assert_int_equal(got.lo >> 32, hash);
			/* DS 7.1.6.2: 1 TCP/IPv4, 2 IPv4, 3 TCP/IPv6, 5 IPv6. */
			assert_int_equal(got.lo & 0xf, i % 4 == 0   ? 1
						       : i % 4 == 1 ? 3
						       : i % 4 == 2 ? 2
								    : 5);
			assert_int_equal(got.lo & 0xfff0,
					 (i % 2 ? RXD_PKT_IPV6 : RXD_PKT_IPV4) |
						 (i % 4 < 2 ? RXD_PKT_TCP : RXD_PKT_UDP));
		}
		assert_int_equal(seen, (1u << cases[c].n_used) - 1);
		guest_stop(&g);
	}
}

/* What is no IP has no hash and goes to queue 0. */
static void no_hash(void **state)
{
	struct frame f;
	struct got got;

	start("82599", 4, 4);
	guest_write(&g, VFPSRTYPE, 2u << VFPSRTYPE_RQPL_SHIFT);
	f = guest_frame(bytes[0], 100, GUEST_MAC, 0x0806);
	got = push1(&f);
	assert_int_equal(got.queue, 0);
	assert_int_equal(got.lo, 0);
	f = guest_frame(bytes[0], 100, MAC_BROADCAST, 0x0806);
	assert_int_equal(push1(&f).queue, 0);
	guest_stop(&g);
}

/* The X550's own registers. */
static void own_registers(void **state)
{
	static const uint8_t map[] = { 3, 1, 2, 0 }; /* what VFRETA is filled with, in turn */
	static const struct {
		uint32_t mrqc;
		uint8_t type[4]; /* of TCP over IPv4, over IPv6, UDP over IPv4, over IPv6 */
	} cases[] = {
		{ 0x00330001, { 1, 3, 2, 5 } }, /* as Linux 6.12 sets it */
		{ 0x00f30001, { 1, 3, 7, 8 } }, { 0x01ff0001, { 1, 3, 7, 8 } },
		{ 0x00010001, { 1, 0, 0, 0 } }, { 0x00020001, { 2, 0, 2, 0 } },
		{ 0x00100001, { 0, 5, 0, 5 } }, { 0x00200001, { 0, 3, 0, 0 } },
		{ 0x00400001, { 0, 0, 7, 0 } }, { 0x00800001, { 0, 0, 0, 8 } },
		{ 0x00000001, { 0, 0, 0, 0 } }, { 0x00330000, { 0, 0, 0, 0 } },
	};

	start("x550", 4, 4);
	for (uint32_t i = 0; i < 10; i++)
		guest_write(&g, VFRSSRK + 4 * i, 0x9e3779b9 * (i + 1));
	for (uint32_t i = 0; i < 16; i++)
		guest_write(&g, VFRETA + 4 * i, 0x00020103);
	for (uint32_t i = 0; i < 10; i++)
		assert_int_equal(guest_read(&g, VFRSSRK + 4 * i), (uint32_t)(0x9e3779b9 * (i + 1)));
	assert_int_equal(g.dev->st->rss.key[0], 0xb9);
	assert_int_equal(guest_read(&g, VFRETA + 60), 0x00020103);
	for (unsigned int c = 0; c < ARRAY_SIZE(cases); c++) {
		guest_write(&g, VFMRQC, cases[c].mrqc);
		assert_int_equal(guest_read(&g, VFMRQC), cases[c].mrqc);
		for (unsigned int i = 0; i < 4; i++) {
			struct frame f = packet(i, 7, i < 2 ? 6 : 17);
			struct got got = push1(&f);
			struct rss_result r;

			rss_of(&f, g.dev->spread != NULL ? g.dev->spread->types : 0, &r);
			assert_int_equal(got.seq, 7);
			assert_int_equal(got.lo & 0xf, cases[c].type[i]);
			assert_int_equal(got.lo >> 32, r.hash);
			assert_int_equal(got.queue, cases[c].type[i] != 0 ? map[r.hash % 4] : 0);
		}
	}
	/* A reset takes all of it back. */
	guest_write(&g, VFMRQC, 0x00330001);
	guest_write(&g, VFCTRL, VFCTRL_RST);
	assert_null(g.dev->spread);
	for (uint32_t at = VFMRQC; at < VFRETA + 64; at += 4)
		assert_int_equal(guest_read(&g, at), 0);
	guest_stop(&g);
}

/* Bursts of all flows: each frame once, the frames of a flow in order, one interrupt a vector. */
static void bursts_keep_order(void **state)
{
	/* The key is a random one, and may bring all to one queue. */
	const unsigned int rounds = 3, n = (N - 1) / rounds;
	uint32_t last[FLOWS] = { 0 }, n_got = 0, seq = 0;
	unsigned int queue_of[FLOWS];

	srand(1);
	start("82599", 4, 4);
	guest_write(&g, VFPSRTYPE, 2u << VFPSRTYPE_RQPL_SHIFT);
	memset(queue_of, 0xff, sizeof(queue_of));
	for (unsigned int round = 0; round < rounds; round++) {
		struct frame f[BURST_MAX];
		uint8_t copy[BURST_MAX][100];
		unsigned int n_used = 0;
		struct got got;

		memset(g.n_irqs, 0, sizeof(g.n_irqs));
		for (unsigned int i = 0; i < n; i++) {
			unsigned int flow = (unsigned int)rand() % FLOWS;

			packet(flow, ++seq << 8 | flow, 6);
			memcpy(copy[i], bytes[flow], sizeof(copy[i]));
			f[i] = guest_frame(copy[i], sizeof(copy[i]), GUEST_MAC,
					   flow % 2 ? ETH_TYPE_IPV6 : ETH_TYPE_IPV4);
		}
		guest_push(&g, f, n, 0);
		for (unsigned int q = 0; q < 4; q++) {
			unsigned int before = n_got;

			while (take(q, &got)) {
				unsigned int flow = got.seq & 0xff;

				assert_true(got.seq >> 8 > last[flow]);
				last[flow] = got.seq >> 8;
				if (queue_of[flow] < 4)
					assert_int_equal(queue_of[flow], q);
				queue_of[flow] = q;
				n_got++;
			}
			n_used += n_got > before;
		}
		/* One a queue that got something. */
		assert_int_equal(g.n_irqs[0] + g.n_irqs[1], n_used);
	}
	assert_int_equal(n_got, rounds * n);
	assert_int_equal(g.stats.rx_frames, rounds * n);
	/* The statistics are the sum of the queues'. */
	guest_read(&g, VFSTATUS);
	assert_int_equal(guest_line_read(&g, VFGPRC), rounds * n);
	assert_int_equal(guest_line_read(&g, VFGORC_LSB), rounds * n * 104);
	guest_stop(&g);
}

/* DS 8.3.5.7: counters wrap, 32 bits or 36; neither reading nor a reset of the VF clears them. */
static void statistics_wrap(void **state)
{
	struct frame f;

	start("82599", 4, 4);
	guest_write(&g, VFPSRTYPE, 2u << VFPSRTYPE_RQPL_SHIFT);
	g.dev->st->rx_sums.frames = 0xfffffffeull;
	g.dev->st->rx_sums.bytes = 0xfffffffe0ull;
	for (unsigned int i = 0; i < 4; i++) {
		f = packet(i, i, 6);
		push1(&f);
	}
	for (unsigned int i = 0; i < 2; i++) {
		guest_read(&g, VFSTATUS);
		assert_int_equal(guest_line_read(&g, VFGPRC), 2);
		assert_int_equal(guest_line_read(&g, VFGORC_LSB), 4 * 104 - 0x20);
		assert_int_equal(guest_line_read(&g, VFGORC_MSB), 0);
		assert_int_equal(guest_line_read(&g, VFMPRC), 0);
	}
	g.dev->st->rx_sums.bytes = 0x7ffffff00ull;
	f = packet(0, 0, 6);
	for (unsigned int i = 0; i < 3; i++)
		push1(&f);
	guest_read(&g, VFSTATUS);
	assert_int_equal(guest_line_read(&g, VFGORC_MSB), 8);
	guest_write(&g, VFCTRL, VFCTRL_RST);
	assert_int_equal(guest_line_read(&g, VFGPRC), 5);
	assert_int_equal(guest_line_read(&g, VFGORC_LSB), 3 * 104 - 0x100);
	assert_int_equal(guest_line_read(&g, VFGORC_MSB), 8);
	guest_stop(&g);
}

/* A queue that is not there, is off or is full costs its own frames only. */
static void queues_that_are_not_up(void **state)
{
	unsigned int n_here = 0, n_lost = 0;

	start("82599", 4, 2);
	guest_write(&g, VFPSRTYPE, 2u << VFPSRTYPE_RQPL_SHIFT);
	for (unsigned int i = 0; i < FLOWS; i++) {
		struct frame f = packet(i, i, 6);
		uint64_t down = g.stats.drop[DROP_DOWN];

		if (push1(&f).queue < 2)
			n_here++;
		else
			n_lost += (unsigned int)(g.stats.drop[DROP_DOWN] - down);
	}
	assert_int_equal(n_here + n_lost, FLOWS);
	assert_true(n_here > 0 && n_lost > 0);
	guest_stop(&g);
	/* An X550's table may name any number. */
	start("x550", 2, 2);
	for (uint32_t i = 0; i < 16; i++)
		guest_write(&g, VFRETA + 4 * i, 0xffffffff);
	assert_int_equal(guest_read(&g, VFRETA), 0x3f3f3f3f);
	guest_write(&g, VFMRQC, 0x00330001);
	for (unsigned int i = 0; i < FLOWS; i++) {
		struct frame f = packet(i, i, 6);

		assert_int_equal(push1(&f).queue, 99);
	}
	assert_int_equal(g.stats.drop[DROP_DOWN], FLOWS);
	guest_stop(&g);
}

/* A new table waits for the workers before the memory of the last one is used again. */
static void tables_are_replaced_whole(void **state)
{
	const struct rx_spread *first;

	start("x550", 2, 2);
	guest_write(&g, VFMRQC, 0x00330001);
	first = g.dev->spread;
	assert_non_null(first);
	g.n_quiesces = 0;
	guest_write(&g, VFRETA, 0x01010101);
	assert_ptr_not_equal(g.dev->spread, first);
	assert_int_equal(first->reta[0], 0);
	assert_int_equal(g.dev->spread->reta[0], 1);
	assert_int_equal(g.n_quiesces, 1);
	guest_write(&g, VFRETA, 0);
	assert_ptr_equal(g.dev->spread, first);
	guest_write(&g, VFMRQC, 0);
	assert_null(g.dev->spread);
	assert_int_equal(g.n_quiesces, 3);
	guest_stop(&g);
}

static atomic_uint rounds;
static atomic_bool quit;
static uint64_t n_received;

/* A worker: bursts of all flows, a quiescent point after each. */
static void *worker(void *arg)
{
	static uint8_t own[BURST_MAX][100];
	struct endpoint_stats stats = { 0 };
	const struct frame *ptr[BURST_MAX];
	struct frame f[BURST_MAX];

	worker_self = 0;
	for (unsigned int i = 0; i < BURST_MAX; i++) {
		packet(i % FLOWS, i, 6);
		memcpy(own[i], bytes[i % FLOWS], sizeof(own[i]));
		f[i] = guest_frame(own[i], sizeof(own[i]), GUEST_MAC,
				   i % 2 ? ETH_TYPE_IPV6 : ETH_TYPE_IPV4);
		ptr[i] = &f[i];
	}
	while (!atomic_load(&quit)) {
		g.vf->endpoint.ops->push(&g.vf->endpoint, ptr, BURST_MAX, 0, &stats);
		atomic_fetch_add(&rounds, 1);
		sched_yield(); /* whoever waits for it may want this processor */
	}
	n_received = stats.rx_frames;
	return NULL;
}

/* Until the worker has passed a quiescent point that began after the call. */
static void wait_a_round(struct guest *guest)
{
	unsigned int from = atomic_load(&rounds);

	while (atomic_load(&rounds) - from < 2)
		sched_yield();
}

/* Tables, keys, queues and resets change under traffic. Behind the trapped access that took the queues
 * down nothing is written any more. */
static void changes_under_traffic(void **state)
{
	const size_t size = GUEST_DATA - GUEST_RAM_AT;
	pthread_t thread;

	srand(2);
	start("x550", 4, 0);
	g.on_quiesce = wait_a_round;
	atomic_store(&quit, false);
	pthread_create(&thread, NULL, worker, NULL);
	for (unsigned int round = 0; round < 200; round++) {
		if (round % 2 == 0)
			guest_mbox_up(&g, MBOX_API_13);
		for (unsigned int q = 0; q < 4; q++)
			queue_up(q);
		guest_write(&g, VFMRQC, 0x00330001);
		for (unsigned int i = 0; i < 6; i++) {
			guest_write(&g, VFRETA + 4 * ((unsigned int)rand() % 16), (uint32_t)rand());
			guest_write(&g, VFRSSRK + 4 * ((unsigned int)rand() % 10),
				    (uint32_t)rand());
		}
		wait_a_round(&g);
		if (round % 2 == 0) {
			for (unsigned int q = 0; q < 4; q++)
				guest_line_write(&g, LINE(q) + RXDCTL, 0);
			guest_read(&g, VFSTATUS);
		} else {
			guest_write(&g, VFCTRL, VFCTRL_RST);
		}
		memset(g.ram, 0xa5, size);
		wait_a_round(&g);
		for (size_t i = 0; i < size; i++)
			if (g.ram[i] != 0xa5)
				fail_msg("round %u: byte %#zx was written", round, i);
	}
	atomic_store(&quit, true);
	pthread_join(thread, NULL);
	assert_true(n_received > 1000);
	guest_stop(&g);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pool_queues),
		cmocka_unit_test(no_hash),
		cmocka_unit_test(own_registers),
		cmocka_unit_test(bursts_keep_order),
		cmocka_unit_test(statistics_wrap),
		cmocka_unit_test(queues_that_are_not_up),
		cmocka_unit_test(tables_are_replaced_whole),
		cmocka_unit_test(changes_under_traffic),
	};

	return cmocka_run_group_tests_name("several receive queues", tests, NULL, NULL);
}
