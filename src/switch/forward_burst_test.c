/* SPDX-License-Identifier: BSD-3-Clause */
/* How frames get there: paths, order, counters, large sends, as many ports as there can be. */
#include "switch/forward_test.h"

/* --- paths --- */

static void test_down_and_paths(void **state)
{
	burst_reset();
	burst_add(MAC_OF(1), MAC_OF(0), -1, -1, 1);
	burst_add(MAC_OF(1), MAC_OF(0), -1, -1, 2);
	forward(0);
	assert_int_equal(VF(1)->n, 2); /* both run: the VF */
	assert_int_equal(SYN(1)->n, 0);
	atomic_store(&VF(1)->ep.running, 0);
	forward(0);
	assert_int_equal(VF(1)->n, 0);
	assert_int_equal(SYN(1)->n, 2);
	assert_int_equal(port[1].stats->drop[DROP_DOWN], 0);
	atomic_store(&SYN(1)->ep.running, 0);
	forward(0);
	assert_int_equal(SYN(1)->n, 0);
	assert_int_equal(port[1].stats->drop[DROP_DOWN], 2);
	atomic_store(&VF(1)->ep.running, 1);
	port[1].endpoint[PORT_VF] = NULL;
	publish();
	forward(0);
	assert_int_equal(port[1].stats->drop[DROP_DOWN], 4);
	atomic_store(&SYN(1)->ep.running, 1);
	forward(0);
	assert_int_equal(SYN(1)->n, 2);
	assert_int_equal(drops_all(0), 0); /* the receiver's fault is not the sender's */
}

/* --- bursts --- */

static void test_order(void **state)
{
	unsigned int seen = 0;

	/* Every receiver gets its frames in the sender's order, in one push. */
	burst_reset();
	for (unsigned int i = 0; i < BURST_MAX; i++)
		burst_add(i % 3 == 0   ? BC
			  : i % 3 == 1 ? MAC_OF(1)
				       : MAC_OF(3),
			  MAC_OF(0), -1, -1, (uint8_t)i);
	forward(0);
	for (unsigned int p = 1; p <= 3; p += 2) {
		assert_int_equal(VF(p)->n_pushes, 1);
		for (unsigned int i = 0, at = 0; i < BURST_MAX; i++)
			if (i % 3 == 0 || i % 3 == (p == 1 ? 1u : 2u))
				assert_int_equal(VF(p)->got[at++].mark, i);
	}
	assert_int_equal(VF(1)->n, 22);
	assert_int_equal(VF(3)->n, 21);
	assert_int_equal(VF(UP1)->n, 11);
	/* Frames that are dropped in between leave no gap and take nobody's place. */
	burst_reset();
	for (unsigned int i = 0; i < BURST_MAX; i++)
		burst_add(MAC_OF(1), i % 2 ? MAC_OF(0) : MAC_UNKNOWN, -1, -1, (uint8_t)i);
	forward(0);
	assert_int_equal(VF(1)->n, BURST_MAX / 2);
	for (unsigned int i = 1; i < BURST_MAX; i += 2)
		assert_int_equal(VF(1)->got[seen++].mark, i);
	burst_reset();
	forward(0);
	assert_int_equal(VF(1)->n, 0);
}

static void test_counters(void **state)
{
	struct endpoint_stats sum;
	struct frame *f;

	worker_self = 3;
	burst_reset();
	burst_add(MAC_OF(1), MAC_OF(0), -1, -1, 1);     /* 64 */
	burst_add(MAC_OF(4), MAC_OF(0), 0, -1, 1);      /* 64 without its tag */
	burst_bytes(bytes_of[0], 13);                   /* runt */
	f = burst_add(MAC_OF(1), MAC_OF(0), -1, -1, 1); /* bad offload */
	f->flags = FRAME_L4_CSUM;
	f->csum_start = 63;
	burst_add(MAC_OF(1), MAC_OF(2), -1, -1, 1); /* spoofed */
	burst_add(MAC_OF(1), BC, -1, -1, 1);        /* bad source */
	burst_add(MAC_OF(1), MAC_OF(0), 7, -1, 1);  /* VLAN */
	burst_add(MAC_OF(0), MAC_OF(0), -1, -1, 1); /* no route */
	f = burst_add(MAC_OF(1), MAC_OF(0), -1, -1, 1);
	f->size = FRAME_SIZE_MAX + 1;
	forward(0);
	worker_self = 0;
	endpoint_stats_sum(&VF(0)->ep, &sum);
	assert_int_equal(sum.tx_frames, 9);
	assert_int_equal(sum.drop[DROP_RUNT], 1);
	assert_int_equal(sum.drop[DROP_BAD_OFFLOAD], 1);
	assert_int_equal(sum.drop[DROP_SPOOFED_MAC], 1);
	assert_int_equal(sum.drop[DROP_BAD_SOURCE], 1);
	assert_int_equal(sum.drop[DROP_VLAN], 1);
	assert_int_equal(sum.drop[DROP_NO_ROUTE], 1);
	assert_int_equal(sum.drop[DROP_TOO_LONG], 1);
	assert_int_equal(sum.drop[DROP_NONE], 0);
	assert_int_equal(sum.tx_bytes, 7 * 64 + 13 + FRAME_SIZE_MAX + 1);
	assert_int_equal(VF(0)->ep.stats[3].tx_frames, 9);
	assert_int_equal(VF(1)->n + VF(4)->n, 2);
	/* A queue whose port has left the switch. */
	port[0].used = false;
	publish();
	burst_reset();
	burst_add(MAC_OF(1), MAC_OF(0), -1, -1, 1);
	forward(0);
	assert_int_equal(VF(1)->n, 0);
	assert_null(fw->receiver); /* the last one may be gone by now */
	assert_int_equal(drops_of(0, DROP_DOWN), 1);
	switch_forward(fw, sw.snapshot, N_PORTS, &VF(0)->ep, &burst);
	assert_int_equal(drops_of(0, DROP_DOWN), 2);
	endpoint_stats_sum(&VF(0)->ep, &sum);
	assert_int_equal(sum.tx_frames, 11);
}

/* --- large sends --- */

static uint8_t large[FRAME_SIZE_MAX];

/* TCP in `size` bytes of frame; `tunnel` puts 8 bytes between IP's header and TCP's. */
static struct frame *burst_large(uint64_t dest, bool v6, uint32_t size, uint16_t mss, bool tunnel)
{
	uint16_t l4 = (uint16_t)(14 + (v6 ? 40 : 20) + (tunnel ? 8 : 0));
	struct frame *f;

	memset(large, 0x33, sizeof(large));
	mac_store(large, dest);
	mac_store(large + 6, MAC_OF(0));
	store_be16(large + 12, v6 ? ETH_TYPE_IPV6 : ETH_TYPE_IPV4);
	large[14] = v6 ? 0x60 : 0x45;
	large[v6 ? 20 : 23] = 6;
	large[l4 + 12] = 0x50;
	f = burst_bytes(large, size);
	f->flags = v6 ? FRAME_TSO6 : FRAME_TSO4;
	f->l3_start = 14;
	f->csum_start = l4;
	f->hdr_size = (uint16_t)(l4 + 20);
	f->mss = mss;
	return f;
}

static void test_large_sends(void **state)
{
	enum {
		T4 = ENDPOINT_TSO4,
		T6 = ENDPOINT_TSO6
	};
	/* clang-format off */
	static const struct {
		bool v6, tunnel;
		unsigned int caps;
		uint32_t size;
		unsigned int n; /* frames that arrive; 1 = whole */
	} cases[] = {
		{ false, false, 0, 54 + 5000, 5 },
		{ false, false, T6, 54 + 5000, 5 },
		{ false, false, T4, 54 + 5000, 1 },
		{ true, false, 0, 74 + 5000, 5 },
		{ true, false, T4, 74 + 5000, 5 },
		{ true, false, T6, 74 + 5000, 1 },
		{ false, true, T4 | T6, 62 + 5000, 5 },
		{ true, true, T4 | T6, 82 + 5000, 5 },
		{ false, false, T4, 65535 + 14, 1 },
		{ false, false, T4, 65535 + 15, 66 },
		{ true, false, T6, 65535 + 15, 66 },
		{ false, false, 0, 54 + 32 * 1000, 32 },  /* exactly a burst of pieces */
		{ false, false, 0, 54 + 32 * 1000 + 1, 33 },
		{ false, false, 0, 54 + 999, 1 },
	};
	/* clang-format on */
	for (unsigned int i = 0; i < ARRAY_SIZE(cases); i++) {
		bool whole = cases[i].caps != 0 && cases[i].n == 1;
		const struct fake *to = VF(1);

		atomic_store(&VF(1)->ep.caps, cases[i].caps);
		burst_reset();
		burst_add(MAC_OF(1), MAC_OF(0), -1, -1, 0xa1);
		burst_large(MAC_OF(1), cases[i].v6, cases[i].size, 1000, cases[i].tunnel);
		burst_add(MAC_OF(1), MAC_OF(0), -1, -1, 0xa2);
		forward(0);
		if (to->n != cases[i].n + 2)
			fail_msg("case %u: %u frames", i, to->n);
		/* Order is kept around it, and nothing is pushed by halves. */
		assert_int_equal(to->got[0].mark, 0xa1);
		assert_int_equal(to->got[to->n - 1].mark, 0xa2);
		assert_int_equal(to->n_pushes, (to->n + BURST_MAX - 1) / BURST_MAX);
		for (unsigned int k = 1; k + 1 < to->n; k++) {
			assert_int_equal((to->got[k].flags & FRAME_TSO) != 0, whole);
			assert_true((to->got[k].flags & FRAME_L4_CSUM) != 0);
			assert_int_equal(to->got[k].mark, 0x33);
			if (whole)
				assert_int_equal(to->got[k].size, cases[i].size);
		}
	}
	assert_int_equal(drops_all(0), 0);
}

/* Each of several ports may have to cut it, so there is a limit for all together; a single one has its own. */
static void test_large_sends_flooded(void **state)
{
	/* Six ports: 1365 pieces for each. */
	burst_reset();
	burst_large(BC, false, 1365 * 48, 48, false);
	forward(0);
	assert_int_equal(drops_of(0, DROP_BAD_OFFLOAD), 1);
	assert_int_equal(VF(4)->n, 0);
	burst_reset();
	burst_large(BC, false, 1364 * 48, 48, false);
	forward(0);
	assert_int_equal(VF(4)->n, 1363); /* without the headers */
	/* Three: 2730, in two frames. */
	burst_reset();
	burst_large(MAC_UNKNOWN, false, 60000, 40, false);
	burst_large(MAC_UNKNOWN, false, 60000, 40, false);
	forward(0);
	assert_int_equal(drops_of(0, DROP_BAD_OFFLOAD), 2);
	assert_int_equal(VF(4)->n, 1499);
	port[4].unknown_unicast = port[UP2].unknown_unicast = false;
	publish();
	burst_reset();
	burst_large(MAC_UNKNOWN, false, 54 + 1000 * 60, 60, false);
	forward(0);
	assert_int_equal(VF(UP1)->n, 1000);
	assert_int_equal(drops_of(0, DROP_BAD_OFFLOAD), 2);
}

/* One sender's burst to receivers of both kinds, and headers that cannot be cut. */
static void test_large_sends_mixed(void **state)
{
	atomic_store(&VF(1)->ep.caps, ENDPOINT_TSO4);
	burst_reset();
	burst_large(BC, false, 54 + 2500, 1000, false);
	forward(0);
	assert_int_equal(VF(1)->n, 1);
	assert_int_equal(VF(3)->n, 3);
	assert_int_equal(VF(4)->n, 3);
	assert_int_equal(VF(4)->got[2].tci, 1);
	assert_int_equal(VF(4)->got[2].size, 54 + 500 + 4);

	burst_reset();
	burst_large(MAC_OF(3), false, 54 + 2500, 1000, false);
	large[34 + 12] = 0x60; /* TCP's header is longer than hdr_size says */
	burst_add(MAC_OF(3), MAC_OF(0), -1, -1, 0xa2);
	forward(0);
	assert_int_equal(VF(3)->n, 1);
	assert_int_equal(VF(3)->ep.stats->drop[DROP_BAD_OFFLOAD], 1);
}

/* --- as many ports as there can be --- */

static void test_all_ports(void **state)
{
	struct port_config *many = calloc(SWITCH_PORTS_MAX, sizeof(*many));
	struct fake *fakes = calloc(SWITCH_PORTS_MAX, sizeof(*fakes));
	struct switch_snapshot *s;
	int ret;

	for (unsigned int i = 0; i < SWITCH_PORTS_MAX; i++) {
		fake_init(&fakes[i]);
		many[i] = (struct port_config){ .used = true, .n_macs = 1 };
		many[i].mac[0] = 0x10000000002ull + ((uint64_t)i << 16);
		many[i].endpoint[0] = &fakes[i].ep;
	}
	s = switch_publish(&sw, many, SWITCH_PORTS_MAX, &ret);
	assert_int_equal(ret, 0);
	switch_snapshot_free(s);
	for (unsigned int round = 0; round < 3; round++) {
		unsigned int in = round * (SWITCH_PORTS_MAX - 1) / 2;

		burst_reset();
		for (unsigned int i = 0; i < BURST_MAX; i++)
			burst_add(BC, many[in].mac[0], -1, -1, (uint8_t)i);
		for (unsigned int i = 0; i < SWITCH_PORTS_MAX; i++)
			fakes[i].n = fakes[i].n_pushes = 0;
		switch_forward(fw, sw.snapshot, (uint16_t)in, &fakes[in].ep, &burst);
		for (unsigned int i = 0; i < SWITCH_PORTS_MAX; i++) {
			assert_int_equal(fakes[i].n, i == in ? 0 : BURST_MAX);
			assert_int_equal(fakes[i].n_pushes, i != in);
			for (unsigned int k = 0; k < fakes[i].n; k++)
				assert_int_equal(fakes[i].got[k].mark, k);
		}
	}
	for (unsigned int i = 0; i < SWITCH_PORTS_MAX; i++)
		free(fakes[i].ep.stats);
	free(fakes);
	free(many);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_down_and_paths),
		TEST(test_order),
		TEST(test_counters),
		TEST(test_large_sends),
		TEST(test_large_sends_flooded),
		TEST(test_large_sends_mixed),
		TEST(test_all_ports),
	};

	return cmocka_run_group_tests_name("forward_burst", tests, NULL, NULL);
}
