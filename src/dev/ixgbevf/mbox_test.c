/* SPDX-License-Identifier: BSD-3-Clause */
/* The mailbox: every message at every API version, in both of the drivers' styles, and nonsense. */
#include "dev/intelvf/mbox_test.h"
#include "dev/intelvf/guest_test.h"

#define SUCCESS 0x80000000u
#define FAILURE 0x40000000u
#define CTS     0x20000000u

#define MAC2_LO 0x33221102u /* 02:11:22:33:44:55 */
#define MAC2_HI 0x00005544u
#define MAC2    0x554433221102ull

static const enum mbox_api apis[] = { MBOX_API_10, MBOX_API_11, MBOX_API_12, MBOX_API_13,
				      MBOX_API_14, MBOX_API_15, MBOX_API_16, MBOX_API_17 };

static void set_policy(void (*change)(struct vf_policy *))
{
	struct vf_policy policy = g.vf->policy;

	change(&policy);
	g.vf->ops->set_policy(g.vf, &policy);
}

static void trust(struct vf_policy *p)
{
	p->trusted = true;
}

static void distrust(struct vf_policy *p)
{
	p->trusted = false;
}

static void link_down(struct vf_policy *p)
{
	p->link_up = false;
}

static void make_trunk(struct vf_policy *p)
{
	p->trunk = true;
	memset(p->vlans, 0, sizeof(p->vlans));
	bitmap_set(p->vlans, 7);
	bitmap_set(p->vlans, 4094);
}

static void untrunk(struct vf_policy *p)
{
	p->trunk = false;
}

static void other_mac(struct vf_policy *p)
{
	p->mac = MAC2;
}

static void set_pvid(struct vf_policy *p)
{
	p->pvid = 5;
}

static void jumbo(struct vf_policy *p)
{
	p->max_frame = 9014;
}

/* Sends a request, expects a reply; returns its word 0. */
static uint32_t ask(int style, const uint32_t *msg, unsigned int n, uint32_t *reply)
{
	assert_true(guest_mbox(&g, style, msg, n, reply));
	assert_int_equal(g.dev->st->mbox.state, MBOX_IDLE);
	return reply[0];
}

static uint32_t ask1(uint32_t op, uint32_t arg)
{
	uint32_t reply[16];

	return ask(1, (const uint32_t[]){ op, arg, 0 }, 3, reply);
}

static void reset_tells_the_address(void **state)
{
	uint32_t reply[16];

	for (int style = 1; style <= 2; style++) {
		assert_int_equal(ask(style, (const uint32_t[]){ 1 }, 1, reply), 0x80000001);
		assert_int_equal(reply[1], 0x44332202);
		assert_int_equal(reply[2], 0x6655);
		assert_int_equal(reply[3], 0);
		assert_int_equal(g.state, VF_ACTIVE);
		assert_string_equal(g.vf->ops->api(g.vf), "1.0");
	}
}

static void no_mac(struct vf_policy *p)
{
	p->mac = 0;
}

static void reset_without_address_is_refused(void **state)
{
	uint32_t reply[16];

	set_policy(no_mac);
	assert_int_equal(ask(1, (const uint32_t[]){ 1 }, 1, reply), 0x40000001);
	/* It is reset nevertheless, and may go on. */
	assert_int_equal(ask1(8, MBOX_API_17), 8 | SUCCESS | CTS);
}

static void nothing_before_reset(void **state)
{
	uint32_t reply[16];

	for (uint32_t op = 0; op < 0x120; op++) {
		if (op == 1)
			continue;
		assert_int_equal(ask(1 + (int)(op & 1), (const uint32_t[]){ op, 4 }, 2, reply),
				 op | FAILURE);
	}
	assert_int_equal(g.state, 0);
	assert_int_equal(g.vf->counters.mbox_refused, 0x11f);
	assert_string_equal(g.vf->ops->api(g.vf), "");
}

static void negotiation(void **state)
{
	static const char *const names[] = { "1.0", NULL,  "1.1", "1.2", "1.3",
					     "1.4", "1.5", "1.6", "1.7" };
	static const uint32_t refused[] = { 1, 9, 10, 0xff, 0x10000, 0xffffffff };

	guest_mbox_up(&g, MBOX_API_13);
	for (unsigned int i = 0; i < ARRAY_SIZE(refused); i++) {
		assert_int_equal(ask1(8, refused[i]), 8 | FAILURE | CTS);
		assert_string_equal(g.vf->ops->api(g.vf), "1.3");
	}
	for (unsigned int i = 0; i < ARRAY_SIZE(apis); i++) {
		assert_int_equal(ask1(8, apis[i]), 8 | SUCCESS | CTS);
		assert_string_equal(g.vf->ops->api(g.vf), names[apis[i]]);
	}
	/* RESET takes it back. */
	assert_int_equal(ask1(1, 0), 1 | SUCCESS);
	assert_string_equal(g.vf->ops->api(g.vf), "1.0");
}

/* Which operation is granted from which version on (0xff: never), with word 1 as here. */
static void operations_by_version(void **state)
{
	static const struct {
		uint32_t op, arg;
		uint8_t since;
	} cases[] = {
		{ 0x03, 0, MBOX_API_10 }, { 0x04, 0, MBOX_API_10 }, { 0x05, 1518, MBOX_API_10 },
		{ 0x06, 0, MBOX_API_10 }, { 0x09, 0, MBOX_API_11 }, { 0x0a, 0, MBOX_API_12 },
		{ 0x0b, 0, MBOX_API_12 }, { 0x0c, 1, MBOX_API_12 }, { 0x0c, 3, MBOX_API_13 },
		{ 0x0d, 0, 0xff },        { 0x0e, 0, 0xff },        { 0x10, 0, MBOX_API_12 },
		{ 0x11, 0, MBOX_API_16 }, { 0x12, 1, MBOX_API_17 }, { 0x00, 0, 0xff },
		{ 0x07, 0, 0xff },        { 0x0f, 0, 0xff },        { 0x13, 0, 0xff },
		{ 0x100, 0, 0xff },       { 0xffff, 0, 0xff },
	};

	for (unsigned int a = 0; a < ARRAY_SIZE(apis); a++) {
		guest_mbox_up(&g, apis[a]);
		for (unsigned int i = 0; i < ARRAY_SIZE(cases); i++) {
			uint32_t want = apis[a] >= cases[i].since ? SUCCESS : FAILURE;
			uint32_t msg[2] = { cases[i].op, cases[i].arg }, reply[16];

			for (int style = 1; style <= 2; style++)
				if (ask(style, msg, 2, reply) != (cases[i].op | want | CTS))
					fail_msg("op %#x at API %d: %#x", cases[i].op, apis[a],
						 reply[0]);
		}
	}
}

static void set_mac(void **state)
{
	static const struct {
		bool trusted;
		uint32_t lo, hi;
		bool granted;
	} cases[] = {
		{ false, 0x44332202, 0x6655, true }, /* its own */
		{ false, MAC2_LO, MAC2_HI, false },
		{ true, MAC2_LO, MAC2_HI, true },
		{ true, MAC2_LO, MAC2_HI | 0xdead0000, true }, /* what lies beyond is nobody's */
		{ true, 0, 0, false },
		{ true, 0xffffffff, 0xffff, false },
		{ true, 0x00000001, 0, false }, /* a group */
		{ true, 0x44332202, 0x6655, true },
	};
	uint32_t reply[16];
	uint64_t macs[4];

	guest_mbox_up(&g, MBOX_API_15);
	for (unsigned int i = 0; i < ARRAY_SIZE(cases); i++) {
		const uint32_t msg[] = { 2, cases[i].lo, cases[i].hi };

		set_policy(cases[i].trusted ? trust : distrust);
		assert_int_equal(ask(2, msg, 3, reply),
				 2 | CTS | (cases[i].granted ? SUCCESS : FAILURE));
	}
	assert_int_equal(g.n_macs_changed, 2);
	assert_int_equal(g.vf->ops->macs(g.vf, macs, 4), 1);
	assert_int_equal(macs[0], GUEST_MAC);
}

/* A changed address lives through the driver's resets, not through a power cycle. */
static void changed_mac_lasts_until_power_on(void **state)
{
	uint32_t reply[16];
	uint64_t mac;

	set_policy(trust);
	guest_mbox_up(&g, MBOX_API_13);
	ask(1, (const uint32_t[]){ 2, MAC2_LO, MAC2_HI }, 3, reply);
	guest_write(&g, VFCTRL, VFCTRL_RST);
	ask(1, (const uint32_t[]){ 1 }, 1, reply);
	assert_int_equal(reply[1], MAC2_LO);
	g.vf->ops->reset(g.vf);
	g.vf->ops->macs(g.vf, &mac, 1);
	assert_int_equal(mac, GUEST_MAC);
	ask(1, (const uint32_t[]){ 1 }, 1, reply);
	assert_int_equal(reply[1], 0x44332202);
}

static unsigned int bits_set(const uint64_t *map)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < 64; i++)
		n += (unsigned int)__builtin_popcountll(map[i]);
	return n;
}

static void set_multicast(void **state)
{
	const struct intelvf_state *st = g.dev->st;
	uint32_t msg[16], reply[16];

	guest_mbox_up(&g, MBOX_API_10);
	assert_int_equal(st->xcast, XCAST_NONE);
	/* 3 entries; only 12 bits of each count. */
	msg[0] = 3u << 16 | 3;
	msg[1] = 0xffff0000;
	msg[2] = 0x0041;
	assert_int_equal(ask(1, msg, 16, reply), msg[0] | SUCCESS | CTS);
	assert_int_equal(bits_set(st->mta), 3);
	assert_true(bitmap_test(st->mta, 0) && bitmap_test(st->mta, 0xfff) &&
		    bitmap_test(st->mta, 0x41));
	assert_int_equal(st->xcast, XCAST_MULTI);
	/* More than fit: the 30 that lie in the buffer. */
	msg[0] = 255u << 16 | 3;
	for (unsigned int i = 1; i < 16; i++)
		msg[i] = 2 * i | (2 * i + 1) << 16;
	assert_int_equal(ask(2, msg, 16, reply), msg[0] | SUCCESS | CTS);
	assert_int_equal(bits_set(st->mta), 30);
	/* The list replaces the old one. */
	msg[0] = 3;
	ask(1, msg, 1, reply);
	assert_int_equal(bits_set(st->mta), 0);
}

static void set_vlan(void **state)
{
	static const struct {
		uint32_t info, vid;
		bool granted;
	} cases[] = {
		{ 1, 0, true },     { 0, 0, true },  { 1, 7, true },
		{ 1, 8, false },    { 1, 1, false }, { 255, 4094, true },
		{ 1, 4095, false }, { 0, 8, true },  { 1, 0x10007, true }, /* 12 bits count */
		{ 0, 4094, true },
	};
	const struct intelvf_state *st = g.dev->st;
	uint32_t reply[16];

	guest_mbox_up(&g, MBOX_API_13);
	assert_int_equal(ask1(1u << 16 | 4, 7), (1u << 16 | 4) | FAILURE | CTS);
	set_policy(make_trunk);
	for (unsigned int i = 0; i < ARRAY_SIZE(cases); i++) {
		const uint32_t msg[] = { cases[i].info << 16 | 4, cases[i].vid };

		assert_int_equal(ask(1, msg, 2, reply),
				 msg[0] | CTS | (cases[i].granted ? SUCCESS : FAILURE));
	}
	assert_int_equal(bits_set(st->vlan_on), 1);
	assert_true(bitmap_test(st->vlan_on, 7));
	/* Taken away by the policy, and given back. */
	set_policy(untrunk);
	assert_int_equal(bits_set(st->vlan_on), 0);
	set_policy(make_trunk);
	assert_true(bitmap_test(st->vlan_on, 7));
	/* RESET forgets. */
	ask1(1, 0);
	set_policy(make_trunk);
	assert_int_equal(bits_set(st->vlan_on), 0);
}

static void set_lpe(void **state)
{
	static const struct {
		bool jumbo;
		uint32_t size;
		bool granted;
	} cases[] = {
		{ false, 1518, true }, { false, 1519, false }, { false, 68, true },
		{ false, 67, false },  { false, 0, false },    { false, 0xffffffff, false },
		{ true, 9018, true },  { true, 9019, false },  { true, 0x80000000, false },
	};

	guest_mbox_up(&g, MBOX_API_13);
	for (unsigned int i = 0; i < ARRAY_SIZE(cases); i++) {
		if (cases[i].jumbo)
			set_policy(jumbo);
		assert_int_equal(ask1(5, cases[i].size),
				 5 | CTS | (cases[i].granted ? SUCCESS : FAILURE));
	}
	assert_int_equal(g.dev->st->lpe, 9018);
	ask1(1, 0);
	assert_int_equal(g.dev->st->lpe, 1518);
}

static void set_macvlan(void **state)
{
	uint32_t reply[16], msg[3] = { 1u << 16 | 6, MAC2_LO, MAC2_HI };
	uint64_t macs[INTELVF_MACVLANS + 8];

	guest_mbox_up(&g, MBOX_API_13);
	assert_int_equal(ask(1, msg, 3, reply), msg[0] | FAILURE | CTS);
	set_policy(trust);
	for (unsigned int i = 0; i < INTELVF_MACVLANS + 2; i++) {
		msg[0] = (i + 1) << 16 | 6;
		msg[2] = i;
		assert_int_equal(ask(2, msg, 3, reply),
				 msg[0] | CTS | (i < INTELVF_MACVLANS ? SUCCESS : FAILURE));
	}
	assert_int_equal(g.vf->ops->macs(g.vf, macs, ARRAY_SIZE(macs)), INTELVF_MACVLANS + 1);
	assert_int_equal(macs[2], MAC2_LO | 1ull << 32);
	assert_int_equal(g.vf->ops->macs(g.vf, macs, 2), 2);
	assert_int_equal(g.vf->ops->macs(g.vf, macs, 0), 0);
	/* Bad addresses leave the list alone; index 1 starts a new one; 0 empties it. */
	msg[0] = 1u << 16 | 6;
	msg[1] = 1;
	assert_int_equal(ask(1, msg, 3, reply), msg[0] | FAILURE | CTS);
	assert_int_equal(g.dev->st->n_macs, INTELVF_MACVLANS);
	msg[1] = MAC2_LO;
	ask(1, msg, 3, reply);
	assert_int_equal(g.dev->st->n_macs, 1);
	g.n_macs_changed = 0;
	assert_int_equal(ask1(6, 0), 6 | SUCCESS | CTS);
	assert_int_equal(g.dev->st->n_macs, 0);
	assert_int_equal(g.n_macs_changed, 1);
	/* Nothing to empty: nobody is bothered. */
	ask1(6, 0);
	assert_int_equal(g.n_macs_changed, 1);
}

static void answers(void **state)
{
	static const struct {
		uint32_t mbit, word, links;
	} speeds[] = {
		{ 100, 0x08, VFLINKS_100M },  { 1000, 0x20, VFLINKS_1G },
		{ 10000, 0x80, VFLINKS_10G }, { 0, 0x80, VFLINKS_10G },
		{ 40000, 0x80, VFLINKS_10G }, { 2500, 0x20, VFLINKS_1G },
		{ 5000, 0x20, VFLINKS_1G },
	};
	uint32_t reply[16];

	guest_mbox_up(&g, MBOX_API_17);
	ask(2, (const uint32_t[]){ 9, 0, 0, 0, 0 }, 5, reply);
	assert_int_equal(reply[1], 2);
	assert_int_equal(reply[2], 2);
	assert_int_equal(reply[3], 0);
	assert_int_equal(reply[4], 0);
	set_policy(set_pvid);
	ask(2, (const uint32_t[]){ 9 }, 1, reply);
	assert_int_equal(reply[3], 1);
	ask(2, (const uint32_t[]){ 0x12, 0xffffffff }, 2, reply);
	assert_int_equal(reply[1], 0);
	ask(2, (const uint32_t[]){ 0x11, 0, 0 }, 3, reply);
	assert_int_equal(reply[1], 0x80);
	assert_int_equal(reply[2], 1);
	for (unsigned int i = 0; i < ARRAY_SIZE(speeds); i++) {
		struct vf_policy policy = g.vf->policy;

		policy.speed_mbit = speeds[i].mbit;
		g.vf->ops->set_policy(g.vf, &policy);
		guest_mbox_up(&g, MBOX_API_17);
		ask(2, (const uint32_t[]){ 0x11, 0, 0 }, 3, reply);
		assert_int_equal(reply[1], speeds[i].word);
		assert_int_equal(guest_read(&g, VFLINKS), VFLINKS_UP | speeds[i].links);
	}
	set_policy(link_down);
	ask(2, (const uint32_t[]){ 0x11, 0, 0 }, 3, reply);
	assert_int_equal(reply[2], 0);
	ask(2, (const uint32_t[]){ 0x10, 0 }, 2, reply);
	assert_int_equal(reply[1], 1);
}

/* The pool's table and key: what frames are spread by. */
static void rss_of_the_pool(void **state)
{
	static const struct {
		unsigned int asked, n_queues, in_turn;
	} cases[] = { { 1, 2, 2 }, { 2, 2, 2 }, { 3, 3, 2 }, { 4, 4, 4 },
		      { 7, 7, 4 }, { 8, 8, 8 }, { 99, 8, 8 } };
	uint32_t reply[16], key[16];

	for (unsigned int c = 0; c < ARRAY_SIZE(cases); c++) {
		guest_stop(&g);
		guest_start_queues(&g, "82599", cases[c].asked);
		guest_mbox_up(&g, MBOX_API_12);
		ask(1, (const uint32_t[]){ 9 }, 1, reply);
		assert_int_equal(reply[1], cases[c].n_queues);
		assert_int_equal(reply[2], cases[c].n_queues);
		assert_int_equal(g.vf->endpoint.n_txq, cases[c].n_queues);
		ask(1, (const uint32_t[]){ 0x0a }, 1, reply);
		for (unsigned int i = 0; i < 128; i++)
			assert_int_equal(reply[1 + i / 16] >> 2 * (i % 16) & 3,
					 i % cases[c].in_turn & 3);
		assert_int_equal(reply[9], 0);
		ask(1, (const uint32_t[]){ 0x0b }, 1, key);
		assert_memory_equal(key + 1, g.dev->st->rss.key, RSS_KEY_SIZE);
		/* A reset of the VF does not change the PF's key. */
		guest_write(&g, VFCTRL, VFCTRL_RST);
		guest_mbox_up(&g, MBOX_API_12);
		ask(1, (const uint32_t[]){ 0x0b }, 1, reply);
		assert_memory_equal(reply + 1, key + 1, RSS_KEY_SIZE);
		/* The registers of later controllers are not there. */
		for (uint32_t at = VFMRQC; at < VFRETA + 64; at += 4) {
			guest_write(&g, at, 0xffffffff);
			assert_int_equal(guest_read(&g, at), 0);
		}
	}
}

static void xcast_modes(void **state)
{
	static const struct {
		bool trusted;
		uint32_t mode, want; /* 0xff: refused */
	} cases[] = {
		{ false, 0, 0 }, { false, 1, 1 }, { false, 2, 1 },   { false, 3, 1 },
		{ true, 2, 2 },  { true, 3, 3 },  { true, 4, 0xff }, { true, 0xffffffff, 0xff },
		{ true, 0, 0 },
	};
	uint32_t reply[16], last = 0;

	guest_mbox_up(&g, MBOX_API_13);
	for (unsigned int i = 0; i < ARRAY_SIZE(cases); i++) {
		bool granted = cases[i].want != 0xff;

		set_policy(cases[i].trusted ? trust : distrust);
		assert_int_equal(ask(1, (const uint32_t[]){ 0xc, cases[i].mode }, 2, reply),
				 0xc | CTS | (granted ? SUCCESS : FAILURE));
		if (granted)
			last = cases[i].want;
		if (granted)
			assert_int_equal(reply[1], last);
		assert_int_equal(g.dev->st->xcast, last);
	}
}

/* Waits for a message without asking for one: style 1 by the words, style 2 by PFSTS. */
static uint32_t fetch(int style)
{
	uint32_t word;

	if (style == 2 && (guest_read(&g, VFMAILBOX) & VFMAILBOX_PFSTS) == 0)
		return 0;
	if (style == 1)
		guest_write(&g, VFMAILBOX, VFMAILBOX_VFU);
	word = guest_read(&g, VFMBMEM);
	guest_write(&g, VFMAILBOX, VFMAILBOX_ACK);
	return word;
}

static void link_change_is_told(void **state)
{
	for (int style = 1; style <= 2; style++) {
		guest_mbox_up(&g, style == 1 ? MBOX_API_14 : MBOX_API_17);
		guest_irqs_up(&g);
		set_policy(link_down);
		assert_int_equal(g.n_irqs[2], 1);
		assert_int_equal(fetch(style), 0x100 | CTS);
		assert_int_equal(guest_read(&g, VFLINKS), 0);
		/* The word stays, so that old drivers go on seeing CTS; nothing new comes. */
		assert_int_equal(guest_read(&g, VFMBMEM), 0x100 | CTS);
		assert_int_equal(g.dev->st->mbox.state, MBOX_IDLE);
		set_policy(link_down);
		assert_int_equal(g.n_irqs[2], 1);
		g.vf->policy.link_up = true;
	}
}

/* ixgbevf does not fetch the message when it finds the link down: what comes next is told all the same. */
static void link_change_is_told_when_the_last_was_not_read(void **state)
{
	guest_mbox_up(&g, MBOX_API_17);
	guest_irqs_up(&g);
	for (unsigned int i = 1; i <= 4; i++) {
		struct vf_policy policy = g.vf->policy;

		policy.link_up = !policy.link_up;
		g.vf->ops->set_policy(g.vf, &policy);
		assert_int_equal(g.n_irqs[2], i);
		guest_write(&g, VTEIMS, 1u << 2);
	}
	assert_int_equal(fetch(2), 0x100 | CTS);
	assert_int_equal(fetch(2), 0);
}

/* The control message waits for the buffer: while the VF writes, and while a reply is unread. */
static void notification_waits(void **state)
{
	uint32_t reply[16];

	guest_mbox_up(&g, MBOX_API_17);
	guest_write(&g, VFMAILBOX, VFMAILBOX_VFU);
	guest_write(&g, VFMBMEM, 0x12);
	set_policy(link_down);
	assert_int_equal(guest_read(&g, VFMBMEM), 0x12);
	guest_write(&g, VFMAILBOX, VFMAILBOX_VFU | VFMAILBOX_REQ);
	assert_int_equal(guest_read(&g, VFMAILBOX), VFMAILBOX_VFU | VFMAILBOX_PFACK);
	guest_write(&g, VFMAILBOX, 0);
	assert_int_equal(guest_read(&g, VFMAILBOX), VFMAILBOX_PFSTS);
	assert_int_equal(guest_read(&g, VFMBMEM), 0x12 | SUCCESS | CTS);
	assert_int_equal(guest_read(&g, VFMAILBOX), 0);
	guest_write(&g, VFMAILBOX, VFMAILBOX_ACK);
	assert_int_equal(fetch(2), 0x100 | CTS);
	assert_int_equal(fetch(2), 0);
	/* A reply that nobody fetches is given up after a while. */
	guest_write(&g, VFMBMEM, 0x5);
	guest_write(&g, VFMAILBOX, VFMAILBOX_REQ);
	g.vf->policy.link_up = true;
	set_policy(link_down);
	guest_read(&g, VFMAILBOX);
	assert_int_equal(guest_read(&g, VFMBMEM), 0x5 | FAILURE | CTS);
	g.dev->st->mbox.posted_ns -= 200000000;
	assert_int_equal(guest_read(&g, VFMAILBOX), VFMAILBOX_PFSTS);
	assert_int_equal(guest_read(&g, VFMBMEM), 0x100 | CTS);
	assert_true(guest_mbox(&g, 2, (const uint32_t[]){ 9 }, 1, reply));
}

/* A new address: the driver loses CTS, is refused, and starts again with RESET. */
static void restart_is_demanded(void **state)
{
	uint32_t reply[16];

	guest_mbox_up(&g, MBOX_API_17);
	guest_irqs_up(&g);
	set_policy(other_mac);
	assert_int_equal(g.n_macs_changed, 1);
	assert_int_equal(g.n_irqs[2], 1);
	assert_int_equal(fetch(2), 0x100);
	assert_int_equal(fetch(2), FAILURE);
	/* Once only. */
	assert_int_equal(fetch(2), 0);
	assert_int_equal(ask(2, (const uint32_t[]){ 9 }, 1, reply), 9 | FAILURE);
	assert_int_equal(ask(1, (const uint32_t[]){ 1 }, 1, reply), 1 | SUCCESS);
	assert_int_equal(reply[1], MAC2_LO);
	assert_int_equal(ask1(8, MBOX_API_17), 8 | SUCCESS | CTS);
}

static void trust_is_withdrawn(void **state)
{
	uint32_t reply[16];
	uint64_t macs[4];

	set_policy(trust);
	guest_mbox_up(&g, MBOX_API_13);
	ask(1, (const uint32_t[]){ 2, MAC2_LO, MAC2_HI }, 3, reply);
	ask(1, (const uint32_t[]){ 1u << 16 | 6, 0x22, 1 }, 3, reply);
	ask1(0xc, 3);
	g.n_macs_changed = 0;
	set_policy(distrust);
	assert_int_equal(g.n_macs_changed, 1);
	assert_int_equal(g.vf->ops->macs(g.vf, macs, 4), 1);
	assert_int_equal(macs[0], GUEST_MAC);
	assert_int_equal(g.dev->st->xcast, XCAST_MULTI);
	assert_int_equal(g.dev->st->mbox.cts, 0);
	/* Nothing was got by trust the second time: no restart. */
	set_policy(trust);
	guest_mbox_up(&g, MBOX_API_13);
	set_policy(distrust);
	assert_int_equal(g.dev->st->mbox.cts, 1);
}

static void read_to_clear(void **state)
{
	assert_int_equal(guest_read(&g, VFMAILBOX), VFMAILBOX_RSTD);
	assert_int_equal(guest_read(&g, VFMAILBOX), 0);
	guest_write(&g, VFMAILBOX, 0xb0 | VFMAILBOX_PFU);
	assert_int_equal(guest_read(&g, VFMAILBOX), 0);
	guest_write(&g, VFMAILBOX, VFMAILBOX_VFU);
	assert_int_equal(guest_read(&g, VFMAILBOX), VFMAILBOX_VFU);
	guest_write(&g, VFMAILBOX, 0);
	assert_int_equal(guest_read(&g, VFMAILBOX), 0);
	guest_write(&g, VFCTRL, VFCTRL_RST);
	assert_int_equal(guest_read(&g, VFMAILBOX), VFMAILBOX_RSTD);
	assert_int_equal(guest_read(&g, VFMAILBOX), 0);
}

/* Some drivers write without taking the buffer. */
static void without_lock(void **state)
{
	guest_mbox_up(&g, MBOX_API_10);
	guest_write(&g, VFMBMEM, 8);
	guest_write(&g, VFMBMEM + 4, MBOX_API_11);
	guest_write(&g, VFMAILBOX, VFMAILBOX_REQ);
	assert_int_equal(guest_read(&g, VFMAILBOX), VFMAILBOX_PFSTS | VFMAILBOX_PFACK);
	assert_int_equal(guest_read(&g, VFMBMEM), 8 | SUCCESS | CTS);
}

/* An answer sent back, a request behind another, one while the reply is held. */
static void odd_sequences(void **state)
{
	guest_mbox_up(&g, MBOX_API_17);
	guest_write(&g, VFMBMEM, 9 | SUCCESS);
	guest_write(&g, VFMAILBOX, VFMAILBOX_REQ);
	assert_int_equal(guest_read(&g, VFMAILBOX), VFMAILBOX_PFACK);
	guest_write(&g, VFMBMEM, 9 | SUCCESS);
	guest_write(&g, VFMAILBOX, VFMAILBOX_REQ | VFMAILBOX_VFU);
	assert_int_equal(guest_read(&g, VFMAILBOX), VFMAILBOX_PFACK | VFMAILBOX_VFU);
	guest_write(&g, VFMBMEM, 9);
	guest_write(&g, VFMAILBOX, VFMAILBOX_REQ | VFMAILBOX_VFU);
	guest_write(&g, VFMBMEM, 0x10);
	guest_write(&g, VFMAILBOX, VFMAILBOX_REQ | VFMAILBOX_VFU | VFMAILBOX_ACK);
	/* ACK and VFU while the reply is held change nothing. */
	guest_write(&g, VFMAILBOX, VFMAILBOX_ACK | VFMAILBOX_VFU);
	guest_write(&g, VFMAILBOX, VFMAILBOX_VFU);
	assert_int_equal(g.dev->st->mbox.state, MBOX_REPLY_HELD);
	guest_write(&g, VFMAILBOX, 0);
	assert_int_equal(guest_read(&g, VFMBMEM), 0x10 | SUCCESS | CTS);
	/* Taken by a VF that then lets go without a word. */
	guest_write(&g, VFMAILBOX, VFMAILBOX_VFU);
	guest_write(&g, VFMAILBOX, 0);
	assert_int_equal(g.dev->st->mbox.state, MBOX_IDLE);
	/* A reset under way: the held reply is gone. */
	guest_write(&g, VFMBMEM, 9);
	guest_write(&g, VFMAILBOX, VFMAILBOX_REQ | VFMAILBOX_VFU);
	guest_write(&g, VFCTRL, VFCTRL_RST);
	guest_write(&g, VFMAILBOX, 0);
	assert_int_equal(guest_read(&g, VFMAILBOX), VFMAILBOX_RSTD);
}

static uint32_t seed = 1;

static uint32_t rnd(void)
{
	seed = seed * 1664525u + 1013904223u;
	return seed >> 8;
}

/* Any words, any signals, at any moment; invariants of the state hold throughout. */
static void storm(void **state)
{
	static const uint32_t words[] = { 0, 1, 4, 7, 68, 1518, 0xffff, 0xffffffff, 0x80000000 };

	set_policy(make_trunk);
	for (unsigned int i = 0; i < 200000; i++) {
		const struct intelvf_state *st = g.dev->st;
		uint32_t r = rnd();

		if (r % 8 == 0)
			guest_write(&g, VFMBMEM, (r >> 4 & 0xff0000) | (rnd() & 0x1f));
		else if (r % 8 < 3)
			guest_write(&g, VFMBMEM + 4 * (r >> 4 & 0xf),
				    words[rnd() % ARRAY_SIZE(words)]);
		else if (r % 8 < 6)
			guest_write(&g, VFMAILBOX, r >> 4);
		else
			guest_read(&g, VFMAILBOX);
		if (r % 997 == 0)
			set_policy(r & 0x1000 ? trust : distrust);
		if (r % 4999 == 0)
			guest_write(&g, VFCTRL, VFCTRL_RST);
		assert_true(st->mbox.state < MBOX_STATES);
		assert_true(st->mbox.api <= MBOX_API_17 && st->mbox.api != MBOX_API_20);
		assert_true(st->n_macs <= INTELVF_MACVLANS && st->xcast <= XCAST_PROMISC);
		assert_int_equal(st->lpe, 1518);
		assert_int_equal(st->mac & MAC_GROUP, 0);
		assert_true(st->mbox.reply_words <= VFMBMEM_WORDS);
		if (!g.vf->policy.trusted)
			assert_true(st->mac == GUEST_MAC && st->n_macs == 0);
	}
	/* And then it works as ever. */
	guest_write(&g, VFCTRL, VFCTRL_RST);
	guest_mbox_up(&g, MBOX_API_17);
}

static void every_opcode_with_every_length(void **state)
{
	for (uint32_t op = 0; op <= 0xffff; op++) {
		if (op % 64 == 0) /* the last few may have been RESET */
			guest_mbox_up(&g, apis[op / 64 % ARRAY_SIZE(apis)]);
		check_every_length(&g, op);
	}
	guest_mbox_up(&g, MBOX_API_17);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, start, stop)
	const struct CMUnitTest tests[] = {
		TEST(reset_tells_the_address),
		TEST(reset_without_address_is_refused),
		TEST(nothing_before_reset),
		TEST(negotiation),
		TEST(operations_by_version),
		TEST(set_mac),
		TEST(changed_mac_lasts_until_power_on),
		TEST(set_multicast),
		TEST(set_vlan),
		TEST(set_lpe),
		TEST(set_macvlan),
		TEST(answers),
		TEST(rss_of_the_pool),
		TEST(xcast_modes),
		TEST(link_change_is_told),
		TEST(link_change_is_told_when_the_last_was_not_read),
		TEST(notification_waits),
		TEST(restart_is_demanded),
		TEST(trust_is_withdrawn),
		TEST(read_to_clear),
		TEST(without_lock),
		TEST(odd_sequences),
		TEST(every_opcode_with_every_length),
		TEST(storm),
	};

	return cmocka_run_group_tests_name("ixgbevf mailbox", tests, NULL, NULL);
}
