/* SPDX-License-Identifier: BSD-3-Clause */
/* The PF of the gigabit family: each message, with and without trust, and nonsense. How the mailbox itself
 * works is tested with the other family. */
#include "dev/intelvf/mbox_test.h"
#include "dev/igbvf/igbvf.h"

#define MAC2_LO 0x33221102u /* 02:11:22:33:44:55 */
#define MAC2_HI 0x00005544u
#define MAC2    0x554433221102ull

static struct guest g;

static uint32_t ask(uint32_t op, uint32_t w1, uint32_t w2)
{
	uint32_t reply[VFMBMEM_WORDS];

	assert_true(guest_mbox(&g, 1, (const uint32_t[]){ op, w1, w2 }, 3, reply));
	assert_int_equal(g.dev->st->mbox.state, MBOX_IDLE);
	return reply[0];
}

static int start(void **state)
{
	guest_start(&g, "i350");
	assert_int_equal(ask(OP_RESET, 0, 0), 0x80000001);
	return 0;
}

static int stop(void **state)
{
	guest_stop(&g);
	return 0;
}

static void trust(bool trusted)
{
	struct vf_policy policy = g.vf->policy;

	policy.trusted = trusted;
	g.vf->ops->set_policy(g.vf, &policy);
	/* The VF has to begin anew when something was withdrawn. */
	assert_int_equal(ask(OP_RESET, 0, 0), 0x80000001);
}

static void reset_tells_the_address(void **state)
{
	uint32_t reply[VFMBMEM_WORDS];

	assert_true(guest_mbox(&g, 1, (const uint32_t[]){ OP_RESET }, 1, reply));
	assert_int_equal(reply[0], 0x80000001);
	assert_int_equal(reply[1], 0x44332202);
	assert_int_equal(reply[2], 0x6655);
	assert_int_equal(g.state, VF_ACTIVE);
	guest_write(&g, CTRL, CTRL_RST);
	assert_int_equal(g.state, VF_ATTACHED);
	assert_int_equal(guest_read(&g, V2PMAILBOX), VFMAILBOX_RSTD);
	/* Not clear to send: refused, and without CTS. */
	assert_int_equal(ask(OP_SET_LPE, 1522, 0), 0x40000005);
}

static void own_address(void **state)
{
	assert_int_equal(ask(OP_SET_MAC_ADDR, 0x44332202, 0x6655), 0xa0000002);
	assert_int_equal(ask(OP_SET_MAC_ADDR, MAC2_LO, MAC2_HI), 0x60000002);
	assert_int_equal(g.dev->st->mac, GUEST_MAC);
	trust(true);
	assert_int_equal(ask(OP_SET_MAC_ADDR, MAC2_LO, MAC2_HI), 0xa0000002);
	assert_int_equal(g.dev->st->mac, MAC2);
	assert_int_equal(ask(OP_SET_MAC_ADDR, 0x00000001, 1), 0x60000002); /* a group */
	assert_int_equal(ask(OP_SET_MAC_ADDR, 0, 0), 0x60000002);
}

/* The driver compares whole words, MSG_INFO included, to see whether a filter was refused. */
static void filters(void **state)
{
	uint64_t macs[VF_MACS_MAX];

	assert_int_equal(ask(OP_SET_MAC_ADDR | 1u << 16, 0, 0), 0x60010002);
	assert_int_equal(ask(OP_SET_MAC_ADDR | 2u << 16, MAC2_LO, MAC2_HI), 0x60020002);
	trust(true);
	assert_int_equal(ask(OP_SET_MAC_ADDR | 1u << 16, 0, 0), 0xa0010002);
	for (uint32_t i = 0; i < INTELVF_MACVLANS; i++)
		assert_int_equal(ask(OP_SET_MAC_ADDR | 2u << 16, MAC2_LO, i), 0xa0020002);
	assert_int_equal(ask(OP_SET_MAC_ADDR | 2u << 16, MAC2_LO, 99), 0x60020002); /* full */
	assert_int_equal(ask(OP_SET_MAC_ADDR | 3u << 16, MAC2_LO, 99), 0x60030002);
	assert_int_equal(g.vf->ops->macs(g.vf, macs, VF_MACS_MAX), 1 + INTELVF_MACVLANS);
	assert_int_equal(macs[2], MAC2_LO | 1ull << 32);
	assert_int_equal(ask(OP_SET_MAC_ADDR | 1u << 16, 0, 0), 0xa0010002);
	assert_int_equal(ask(OP_SET_MAC_ADDR | 2u << 16, 1, 0), 0x60020002); /* a group */
	assert_int_equal(g.vf->ops->macs(g.vf, macs, VF_MACS_MAX), 1);
}

static void groups(void **state)
{
	assert_int_equal(g.dev->st->xcast, XCAST_NONE);
	assert_int_equal(ask(OP_SET_MULTICAST | 2u << 16, 0x0fff0123, 0), 0xa0020003);
	assert_int_equal(g.dev->st->xcast, XCAST_MULTI);
	assert_true(bitmap_test(g.dev->st->mta, 0x123) && bitmap_test(g.dev->st->mta, 0xfff));
	assert_int_equal(ask(OP_SET_MULTICAST, 0, 0), 0xa0000003);
	assert_false(bitmap_test(g.dev->st->mta, 0x123));
	/* More than fit (DPDK sets bit 7): all, where that is allowed. */
	assert_int_equal(ask(OP_SET_MULTICAST | 0x9eu << 16, 0, 0), 0xa09e0003);
	assert_int_equal(g.dev->st->xcast, XCAST_MULTI);
	trust(true);
	assert_int_equal(ask(OP_SET_MULTICAST | 30u << 16, 0, 0), 0xa01e0003);
	assert_int_equal(g.dev->st->xcast, XCAST_MULTI);
	assert_int_equal(ask(OP_SET_MULTICAST | 0x9eu << 16, 0, 0), 0xa09e0003);
	assert_int_equal(g.dev->st->xcast, XCAST_ALLMULTI);
}

static void promiscuity(void **state)
{
	static const struct {
		uint32_t info, reply[2]; /* without trust, with */
		enum xcast_mode mode;
	} cases[] = {
		{ 0, { 0xa0000006, 0xa0000006 }, XCAST_MULTI },
		{ 1, { 0x60010006, 0xa0010006 }, XCAST_PROMISC },
		{ 2, { 0x60020006, 0xa0020006 }, XCAST_ALLMULTI },
		{ 3, { 0x60030006, 0xa0030006 }, XCAST_PROMISC },
		{ 0, { 0xa0000006, 0xa0000006 }, XCAST_MULTI },
		{ 4, { 0x60040006, 0x60040006 }, XCAST_MULTI },
	};

	for (unsigned int trusted = 0; trusted < 2; trusted++) {
		trust(trusted != 0);
		for (unsigned int i = 0; i < ARRAY_SIZE(cases); i++) {
			assert_int_equal(ask(OP_SET_PROMISC | cases[i].info << 16, 0, 0),
					 cases[i].reply[trusted]);
			assert_int_equal(g.dev->st->xcast, trusted ? cases[i].mode : XCAST_MULTI);
		}
	}
	/* What trust gave goes with it. */
	ask(OP_SET_PROMISC | 3u << 16, 0, 0);
	trust(false);
	assert_true(g.dev->st->xcast <= XCAST_MULTI);
}

static void vlans(void **state)
{
	struct vf_policy policy = g.vf->policy;

	/* Refusals are the bare opcode, which is what drivers look for. */
	assert_int_equal(ask(OP_SET_VLAN | 1u << 16, 7, 0), 0x60000004);
	assert_int_equal(ask(OP_SET_VLAN | 1u << 16, 0, 0), 0xa0010004);
	policy.trunk = true;
	bitmap_set(policy.vlans, 7);
	g.vf->ops->set_policy(g.vf, &policy);
	assert_int_equal(ask(OP_SET_VLAN | 1u << 16, 7, 0), 0xa0010004);
	assert_true(bitmap_test(g.dev->st->vlan_on, 7));
	assert_int_equal(ask(OP_SET_VLAN | 1u << 16, 8, 0), 0x60000004);
	assert_int_equal(ask(OP_SET_VLAN, 7, 0), 0xa0000004);
	assert_false(bitmap_test(g.dev->st->vlan_on, 7));
}

static void lengths(void **state)
{
	static const uint32_t cases[][2] = {
		{ 0, 0 },           { 68, 68 },    { 1522, 1522 },        { 9238, 9238 },
		{ 0x3fff, 0x3fff }, { 0x4000, 0 }, { 0xffffffff, 0x3fff }
	};

	for (unsigned int i = 0; i < ARRAY_SIZE(cases); i++) {
		assert_int_equal(ask(OP_SET_LPE, cases[i][0], 0), 0xa0000005);
		assert_int_equal(g.dev->st->lpe, cases[i][1]);
	}
}

/* Every opcode that is none, and a few words to go with it. */
static void unknown(void **state)
{
	static const uint32_t words[] = { 0, 7, 8, 9, 0x0c, 0x10, 0x12, 0x100, 0xffff, 0x00ff0008 };
	uint64_t refused = g.vf->counters.mbox_refused;

	for (unsigned int i = 0; i < ARRAY_SIZE(words); i++)
		assert_int_equal(ask(words[i], 0xffffffff, 0xffffffff), words[i] | 0x60000000);
	assert_int_equal(g.vf->counters.mbox_refused - refused, ARRAY_SIZE(words));
	assert_string_equal(g.vf->ops->api(g.vf), "1.0");
}

/* A change of the link is a message with CTS, and an interrupt of the mailbox's vector. */
static void link_change(void **state)
{
	struct vf_policy policy = g.vf->policy;

	guest_irqs_up(&g);
	guest_read(&g, V2PMAILBOX);
	policy.link_up = false;
	g.vf->ops->set_policy(g.vf, &policy);
	assert_int_equal(g.n_irqs[2], 1);
	assert_int_equal(guest_read(&g, V2PMAILBOX), VFMAILBOX_PFSTS);
	assert_int_equal(guest_read(&g, VMBMEM), PF_CONTROL_MSG | MSG_CTS);
}

static void every_opcode_with_every_length(void **state)
{
	for (uint32_t op = 0; op <= 0xffff; op++)
		check_every_length(&g, op);
	assert_int_equal(ask(OP_RESET, 0, 0), 0x80000001);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, start, stop)
	const struct CMUnitTest tests[] = {
		TEST(reset_tells_the_address),
		TEST(own_address),
		TEST(filters),
		TEST(groups),
		TEST(promiscuity),
		TEST(vlans),
		TEST(lengths),
		TEST(unknown),
		TEST(every_opcode_with_every_length),
		TEST(link_change),
	};

	return cmocka_run_group_tests_name("igbvf mailbox", tests, NULL, NULL);
}
