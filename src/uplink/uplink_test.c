/* SPDX-License-Identifier: BSD-3-Clause */
/* Uplinks over DPDK's ring device without arguments: what is sent on it comes back on it. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <rte_ethdev.h>
#include <rte_mbuf.h>
#include <rte_mempool.h>

#include "uplink/uplink.h"

#define PVID      7
#define MAX_FRAME 1514 /* of an MTU of 1500 */

static struct endpoint_stats pushed; /* what push counts */
static struct burst burst;
static uint8_t bytes[4096];

static struct uplink *open_ok(const char *device)
{
	struct uplink *u = NULL;
	struct err err = { 0 };

	if (uplink_open(&u, "test", device, UPLINK_AUTO, &err) < 0)
		fail_msg("%s", err.text);
	memset(&pushed, 0, sizeof(pushed));
	return u;
}

/* An IPv4 frame of `size` bytes as the switch hands it to an uplink. */
static struct frame frame_of(uint32_t size, uint16_t vid)
{
	struct frame f = { .va = bytes, .seg_size = size, .size = size, .n_segs = 1 };

	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)i;
	bytes[0] = 2;
	bytes[6] = 2;
	store_be16(bytes + ETH_ADDRS_SIZE, ETH_TYPE_IPV4);
	assert_true(frame_parse(&f));
	f.vid = vid;
	f.tci = vid;
	return f;
}

static void push_one(struct uplink *u, const struct frame *f)
{
	struct endpoint *ep = uplink_endpoint(u);

	ep->ops->push(ep, &f, 1, PVID, &pushed);
}

static unsigned int pull(struct uplink *u)
{
	struct txq *txq = uplink_endpoint(u)->txq[0];

	burst.n = burst.n_segs = 0;
	return txq->ops->pull(txq, &burst);
}

static void done(struct uplink *u)
{
	struct txq *txq = uplink_endpoint(u)->txq[0];

	txq->ops->done(txq);
}

static uint64_t dropped_of_pulled(struct uplink *u, enum drop_reason reason)
{
	struct endpoint_stats sum;

	endpoint_stats_sum(uplink_endpoint(u), &sum);
	return sum.drop[reason];
}

static void test_frames_pass(void **state)
{
	static const struct {
		const char *label;
		uint32_t size;
		uint16_t vid;
		bool tagged, arrives;
	} cases[] = {
		{ "short", 60, PVID, false, true },
		{ "header alone", FRAME_SIZE_MIN, PVID, false, true },
		{ "longest", MAX_FRAME, PVID, false, true },
		{ "too long by one", MAX_FRAME + 1, PVID, false, false },
		{ "tagged", 60, 9, true, true },
		{ "tagged, longest", MAX_FRAME, 9, true, true },
		{ "tagged, too long", MAX_FRAME + 1, 9, true, false },
	};
	struct uplink *u = open_ok("net_ring0");

	for (unsigned int i = 0; i < ARRAY_SIZE(cases); i++) {
		struct frame f = frame_of(cases[i].size, cases[i].vid);
		uint64_t too_long = pushed.drop[DROP_TOO_LONG], got = pushed.rx_frames;
		const struct frame *in = &burst.frame[0];

		push_one(u, &f);
		if (pull(u) != cases[i].arrives)
			fail_msg("%s: %u frames", cases[i].label, burst.n);
		assert_int_equal(pushed.rx_frames - got, cases[i].arrives);
		assert_int_equal(pushed.drop[DROP_TOO_LONG] - too_long, !cases[i].arrives);
		if (!cases[i].arrives)
			continue;
		assert_int_equal(in->size, cases[i].size + (cases[i].tagged ? 4 : 0));
		assert_int_equal(in->n_segs, 1);
		if (cases[i].tagged) {
			assert_int_equal(load_be16(in->va + 12), ETH_TYPE_VLAN);
			assert_int_equal(load_be16(in->va + 14), cases[i].vid);
			assert_memory_equal(in->va + 16, bytes + 12, cases[i].size - 12);
		} else {
			assert_memory_equal(in->va, bytes, cases[i].size);
		}
		done(u);
	}
	assert_int_equal(pull(u), 0);
	uplink_close(u);
}

/* Frames that nobody fetches: the device's queue, then the pool, is at its end; all are counted, and
 * when they have been fetched there is room again. */
static void test_full(void **state)
{
	struct uplink *u = open_ok("net_ring0");
	struct frame f = frame_of(60, PVID);
	unsigned int n_sent = 0, n_came = 0;

	for (; n_sent < 20000; n_sent++)
		push_one(u, &f);
	assert_int_equal(pushed.rx_frames + pushed.drop[DROP_UPLINK], n_sent);
	assert_in_range(pushed.rx_frames, BURST_MAX, 16384);
	assert_int_equal(pushed.rx_bytes, pushed.rx_frames * 60);
	while (pull(u) > 0) {
		n_came += burst.n;
		done(u);
	}
	assert_int_equal(n_came, pushed.rx_frames);
	push_one(u, &f);
	assert_int_equal(pull(u), 1);
	done(u);
	uplink_close(u);
}

static struct rte_mbuf *piece(struct rte_mempool *pool, unsigned int n)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(pool);

	assert_non_null(m);
	memset(rte_pktmbuf_append(m, 20), (int)n, 20);
	return m;
}

/* A frame of several pieces, put into the ring as another port would. */
static void inject(struct rte_mempool *pool, unsigned int n_segs, uint16_t ol_flags, uint16_t tci)
{
	struct rte_mbuf *first = piece(pool, 0);
	uint16_t port_id;

	assert_int_equal(rte_eth_dev_get_port_by_name("net_ring0", &port_id), 0);
	for (unsigned int i = 1; i < n_segs; i++)
		assert_int_equal(rte_pktmbuf_chain(first, piece(pool, i)), 0);
	first->ol_flags = ol_flags;
	first->vlan_tci = tci;
	assert_int_equal(rte_eth_tx_burst(port_id, 0, &first, 1), 1);
}

static void test_pieces(void **state)
{
	struct uplink *u = open_ok("net_ring0");
	struct rte_mempool *pool = rte_pktmbuf_pool_create("test", 2047, 0, 0, 2048, SOCKET_ID_ANY);
	const struct frame *in = &burst.frame[0];

	assert_non_null(pool);
	inject(pool, FRAME_SEGS, RTE_MBUF_F_RX_VLAN_STRIPPED, 0x2009);
	assert_int_equal(pull(u), 1);
	assert_int_equal(in->n_segs, FRAME_SEGS);
	assert_int_equal(in->size, FRAME_SEGS * 20);
	for (unsigned int i = 1; i < FRAME_SEGS; i++)
		assert_int_equal(in->more[i - 1].va[19], i);
	assert_int_equal(in->flags, FRAME_TAGGED);
	assert_int_equal(in->tci, 0x2009);
	done(u);

	/* Too many pieces, alone and among others. */
	inject(pool, FRAME_SEGS + 1, 0, 0);
	assert_int_equal(pull(u), 0);
	inject(pool, 1, RTE_MBUF_F_RX_L4_CKSUM_GOOD, 0);
	inject(pool, FRAME_SEGS + 1, 0, 0);
	inject(pool, 2, 0, 0);
	assert_int_equal(pull(u), 2);
	assert_int_equal(burst.frame[0].flags, FRAME_L4_VALID);
	assert_int_equal(burst.frame[1].n_segs, 2);
	done(u);
	assert_int_equal(dropped_of_pulled(u, DROP_TOO_LONG), 2);

	/* More pieces in a burst than it has room for. */
	for (unsigned int i = 0; i < BURST_MAX; i++)
		inject(pool, FRAME_SEGS, 0, 0);
	assert_in_range(pull(u), 1, BURST_SEGS / (FRAME_SEGS - 1));
	assert_in_range(burst.n_segs, FRAME_SEGS, BURST_SEGS);
	assert_int_equal(dropped_of_pulled(u, DROP_TOO_LONG), 2 + BURST_MAX - burst.n);
	done(u);
	/* Nothing was kept. */
	assert_int_equal(rte_mempool_in_use_count(pool), 0);
	uplink_close(u);
	rte_mempool_free(pool);
}

static void test_refusals(void **state)
{
	static const struct {
		const char *device;
		enum uplink_driver driver;
		int error; /* 0: some negative errno */
		const char *text;
	} cases[] = {
		{ "net_ring0", UPLINK_AUTO, -EBUSY, "'net_ring0' is another uplink's already" },
		{ "net_ring0", UPLINK_ETHDEV, -EBUSY, "'net_ring0' is another uplink's already" },
		{ "no-such-device", UPLINK_AUTO, 0, "DPDK cannot open 'no-such-device'" },
		{ "no-such-if", UPLINK_AF_PACKET, -ENODEV, "no network interface 'no-such-if'" },
		{ "no-such-if", UPLINK_AF_XDP, -ENODEV, "no network interface 'no-such-if'" },
		/* A device of DPDK's, but for cryptography. */
		{ "crypto_null", UPLINK_ETHDEV, 0, "'crypto_null'" },
	};
	struct uplink *u = open_ok("net_ring0");
	struct frame f = frame_of(60, PVID);

	for (unsigned int i = 0; i < ARRAY_SIZE(cases); i++) {
		struct uplink *other = NULL;
		struct err err = { 0 };
		int ret = uplink_open(&other, "other", cases[i].device, cases[i].driver, &err);

		assert_true(ret < 0);
		assert_null(other);
		if (cases[i].error != 0)
			assert_int_equal(ret, cases[i].error);
		if (strstr(err.text, cases[i].text) == NULL)
			fail_msg("%s: %s", cases[i].device, err.text);
		/* The one that is open goes on as if nothing had been. */
		push_one(u, &f);
		assert_int_equal(pull(u), 1);
		done(u);
	}
	uplink_close(u);
	/* And its device is free again. */
	u = open_ok("net_ring0");
	uplink_close(u);
}

static void test_info(void **state)
{
	struct uplink *u = open_ok("net_ring0");
	struct uplink_info info;

	uplink_info(u, &info);
	assert_string_equal(info.driver, "net_ring");
	assert_int_equal(info.max_frame, MAX_FRAME);
	assert_true(info.link_up);
	assert_int_equal(atomic_load(&uplink_endpoint(u)->running), 1);
	uplink_close(u);
	uplink_close(NULL);
}

/* --- flow control: a device that has it is played here --- */

static bool plays;                 /* else DPDK answers */
static unsigned int paused, fails; /* masks of priorities */

int __real_rte_eth_dev_get_dcb_info(uint16_t port, struct rte_eth_dcb_info *info);
int __wrap_rte_eth_dev_get_dcb_info(uint16_t port, struct rte_eth_dcb_info *info);
int __real_rte_eth_dev_flow_ctrl_get(uint16_t port, struct rte_eth_fc_conf *conf);
int __wrap_rte_eth_dev_flow_ctrl_get(uint16_t port, struct rte_eth_fc_conf *conf);
int __real_rte_eth_dev_priority_flow_ctrl_set(uint16_t port, struct rte_eth_pfc_conf *conf);
int __wrap_rte_eth_dev_priority_flow_ctrl_set(uint16_t port, struct rte_eth_pfc_conf *conf);

int __wrap_rte_eth_dev_get_dcb_info(uint16_t port, struct rte_eth_dcb_info *info)
{
	return plays ? 0 : __real_rte_eth_dev_get_dcb_info(port, info);
}

int __wrap_rte_eth_dev_flow_ctrl_get(uint16_t port, struct rte_eth_fc_conf *conf)
{
	if (!plays)
		return __real_rte_eth_dev_flow_ctrl_get(port, conf);
	*conf = (struct rte_eth_fc_conf){ .high_water = 128, .low_water = 64 };
	return 0;
}

int __wrap_rte_eth_dev_priority_flow_ctrl_set(uint16_t port, struct rte_eth_pfc_conf *conf)
{
	if (!plays)
		return __real_rte_eth_dev_priority_flow_ctrl_set(port, conf);
	if ((fails >> conf->priority & 1) != 0)
		return -EIO;
	/* What ixgbe's driver asks for (DPDK 22.11, ixgbe_dcb_pfc_enable). */
	assert_int_equal(conf->fc.high_water, 128);
	assert_int_equal(conf->fc.low_water, 64);
	assert_int_not_equal(conf->fc.pause_time, 0);
	if (conf->fc.mode == RTE_ETH_FC_FULL)
		paused |= 1u << conf->priority;
	else
		paused &= ~(1u << conf->priority);
	return 0;
}

static void test_pfc(void **state)
{
	struct uplink *u = open_ok("net_ring0");
	struct err err = { 0 };

	plays = false;
	assert_int_equal(uplink_set_pfc(u, 0, 0, &err), 0);
	assert_int_equal(uplink_set_pfc(u, 0, 0x08, &err), -ENOTSUP);
	assert_string_equal(err.text,
			    "its device (driver net_ring) has no priority-based flow control");
	plays = true;
	assert_int_equal(uplink_set_pfc(u, 0, 0x18, &err), 0);
	assert_int_equal(paused, 0x18);
	assert_int_equal(uplink_set_pfc(u, 0x18, 0x82, &err), 0);
	assert_int_equal(paused, 0x82);
	/* All or nothing. */
	fails = 0x40;
	assert_int_equal(uplink_set_pfc(u, 0x82, 0x71, &err), -EIO);
	assert_int_equal(paused, 0x82);
	plays = false;
	uplink_close(u);
}

static int start(void **state)
{
	cpu_set_t before, after;

	sched_getaffinity(0, sizeof(before), &before);
	if (uplink_eal_init("uplink_test", false) < 0)
		return -1;
	/* DPDK has not tied this thread, and those it makes, to one processor. */
	sched_getaffinity(0, sizeof(after), &after);
	return CPU_EQUAL(&before, &after) ? 0 : -1;
}

static int stop(void **state)
{
	uplink_eal_fini();
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_frames_pass), cmocka_unit_test(test_full),
		cmocka_unit_test(test_pieces),      cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_info),        cmocka_unit_test(test_pfc),
	};

	return cmocka_run_group_tests_name("uplink", tests, start, stop);
}
