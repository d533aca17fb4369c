/* SPDX-License-Identifier: BSD-3-Clause */
/* The mailbox between VF and PF, and the PF's side of the conversation.
 *
 * Registers: DS 8.3.5.1.5 (VFMAILBOX), 8.3.5.1.6 (VFMBMEM), procedure DS 7.10.2.9.1. The messages are
 * not Intel's document but its drivers': names, numbers and what a PF answers are those of Linux 6.12's
 * ixgbevf (mbx.h, vf.c, mbx.c) and ixgbe (ixgbe_sriov.c).
 *
 * Two ways of locking are in use:
 *  1. Up to API 1.4: write VFU, read it back, write the words, write REQ (which lets go of VFU), poll
 *     for PFACK, poll for PFSTS, take VFU, read the words, write ACK.
 *  2. From API 1.5: write VFU, write the words, write VFU | REQ, poll for PFACK with VFU still set, let
 *     go, poll for PFSTS, read the words without VFU, write ACK. Written values carry the driver's
 *     remembered copies of the read-to-clear bits, which are no business of ours.
 * Both start with style 1 for RESET and API_NEGOTIATE, whatever is negotiated afterwards.
 *
 * The words stay in the buffer after they were read. Drivers of style 1 look into word 0 again and
 * again to see CTS, so each reply and control message carries it while the VF is clear to send.
 */
#include "base/clock.h"
#include "base/log.h"
#include "dev/ixgbevf/ixgbevf.h"

#define AREA "ixgbevf"

#define MSG_SUCCESS 0x80000000u
#define MSG_FAILURE 0x40000000u
#define MSG_CTS     0x20000000u
#define MSG_OP      0x0000ffffu
#define MSG_INFO(w) ((w) >> 16 & 0xff)

#define OP_RESET              0x01
#define OP_SET_MAC_ADDR       0x02
#define OP_SET_MULTICAST      0x03
#define OP_SET_VLAN           0x04
#define OP_SET_LPE            0x05
#define OP_SET_MACVLAN        0x06
#define OP_API_NEGOTIATE      0x08
#define OP_GET_QUEUES         0x09
#define OP_GET_RETA           0x0a
#define OP_GET_RSS_KEY        0x0b
#define OP_UPDATE_XCAST_MODE  0x0c
#define OP_IPSEC_ADD          0x0d
#define OP_IPSEC_DEL          0x0e
#define OP_GET_LINK_STATE     0x10
#define OP_GET_PF_LINK_STATE  0x11
#define OP_FEATURES_NEGOTIATE 0x12
#define PF_CONTROL_MSG        0x0100

#define MC_FILTER_TYPE 0 /* the hash takes bits 47:36 of an address */
#define MC_ENTRIES_MAX 30
#define FETCH_NS       100000000ull
#define LPE_MIN        68 /* ETH_MIN_MTU: what Linux's PF takes at least */

static const char *const state_names[] = {
	[MBOX_IDLE] = "idle",
	[MBOX_VF_OWNS] = "vf-owns",
	[MBOX_REPLY_HELD] = "reply-held",
	[MBOX_POSTED] = "posted",
};
_Static_assert(ARRAY_SIZE(state_names) == MBOX_STATES, "every state has a name");

static void mbox_set_state(struct ixgbevf *dev, enum mbox_state state)
{
	struct mbox_data *m = &dev->st->mbox;

	if (m->state == state)
		return;
	if (log_wants(LOG_LEVEL_DEBUG) && log_limit_pass(&dev->limit_mbox, AREA))
		log_debug(AREA, "mailbox %s -> %s", state_names[m->state], state_names[state]);
	m->state = state;
}

/* ---- what a PF does with a request ---- */

/* A handler gets the 16 words of the request and turns them into the reply's; word 0 is completed by
 * the caller. False: refused. */
typedef bool handler_fn(struct ixgbevf *dev, uint32_t *msg);

/* NOLINTBEGIN(readability-non-const-parameter): handlers share one type; some only read */

static uint64_t mac_of(const uint32_t *words)
{
	/* The six bytes lie in two words in memory order. */
	return htole32(words[0]) | (uint64_t)(htole32(words[1]) & 0xffff) << 32;
}

static bool is_unicast(uint64_t mac)
{
	return mac != 0 && (mac & MAC_GROUP) == 0;
}

static void macs_changed(struct ixgbevf *dev)
{
	dev->vf.upcalls->macs_changed(dev->vf.arg);
}

static bool op_reset(struct ixgbevf *dev, uint32_t *msg)
{
	struct ixgbevf_state *st = dev->st;

	ixgbevf_clear_filters(dev);
	memset(msg, 0, VFMBMEM_WORDS * sizeof(*msg));
	msg[0] = OP_RESET;
	msg[1] = le32toh((uint32_t)st->mac);
	msg[2] = le32toh((uint32_t)(st->mac >> 32));
	msg[3] = MC_FILTER_TYPE;
	st->mbox.api = MBOX_API_10;
	st->mbox.cts = 1;
	ixgbevf_set_active(dev, true);
	/* Without an address the driver makes one up (Linux 6.12), as with an unconfigured PF. */
	return st->mac != 0;
}

static bool op_set_mac(struct ixgbevf *dev, uint32_t *msg)
{
	uint64_t mac = mac_of(msg + 1);

	if (!is_unicast(mac) || (mac != dev->vf.policy.mac && !dev->vf.policy.trusted))
		return false;
	if (mac != dev->st->mac) {
		__atomic_store_n(&dev->st->mac, mac, __ATOMIC_RELAXED);
		macs_changed(dev);
	}
	return true;
}

static bool op_set_multicast(struct ixgbevf *dev, uint32_t *msg)
{
	struct ixgbevf_state *st = dev->st;
	uint32_t n = MSG_INFO(msg[0]);
	uint64_t mta[ARRAY_SIZE(st->mta)] = { 0 };

	/* The list replaces the last one. Hashes are 16-bit halves of the words from 1 on. */
	if (n > MC_ENTRIES_MAX)
		n = MC_ENTRIES_MAX;
	for (uint32_t i = 0; i < n; i++)
		bitmap_set(mta, msg[1 + i / 2] >> 16 * (i & 1) & 0xfff);
	for (unsigned int i = 0; i < ARRAY_SIZE(mta); i++)
		__atomic_store_n(&st->mta[i], mta[i], __ATOMIC_RELAXED);
	/* As VMOLR.ROMPE is set by Linux's PF: drivers before API 1.2 have no other way to ask. */
	if (st->xcast < XCAST_MULTI)
		__atomic_store_n(&st->xcast, XCAST_MULTI, __ATOMIC_RELAXED);
	return true;
}

static bool op_set_vlan(struct ixgbevf *dev, uint32_t *msg)
{
	const struct vf_policy *policy = &dev->vf.policy;
	unsigned int vid = msg[1] & 0xfff;
	bool add = MSG_INFO(msg[0]) != 0;

	/* VLAN 0 is priority tags: always there, never to be removed. */
	if (vid == 0)
		return true;
	if (add && (!policy->trunk || !bitmap_test(policy->vlans, vid)))
		return false;
	if (add)
		bitmap_set(dev->st->vlan_asked, vid);
	else
		bitmap_clear(dev->st->vlan_asked, vid);
	ixgbevf_update_vlans(dev);
	return true;
}

static bool op_set_lpe(struct ixgbevf *dev, uint32_t *msg)
{
	uint32_t size = msg[1];

	if (size < LPE_MIN || size > IXGBEVF_FRAME_MAX ||
	    size > dev->vf.policy.max_frame + FCS_SIZE)
		return false;
	__atomic_store_n(&dev->st->lpe, size, __ATOMIC_RELAXED);
	return true;
}

/* INFO 0 empties the list, 1 empties it and adds, more adds. */
static bool op_set_macvlan(struct ixgbevf *dev, uint32_t *msg)
{
	struct ixgbevf_state *st = dev->st;
	uint32_t info = MSG_INFO(msg[0]);
	uint64_t mac = mac_of(msg + 1);
	uint32_t n = info <= 1 ? 0 : st->n_macs;

	if (info > 0 && (!dev->vf.policy.trusted || !is_unicast(mac) || n == IXGBEVF_MACVLANS))
		return false;
	if (info > 0)
		__atomic_store_n(&st->macs[n++], mac, __ATOMIC_RELAXED);
	if (n == 0 && st->n_macs == 0)
		return true;
	__atomic_store_n(&st->n_macs, n, __ATOMIC_RELEASE);
	macs_changed(dev);
	return true;
}

static bool op_api_negotiate(struct ixgbevf *dev, uint32_t *msg)
{
	if (msg[1] > MBOX_API_17 || msg[1] == MBOX_API_20)
		return false;
	dev->st->mbox.api = msg[1];
	return true;
}

static bool op_get_queues(struct ixgbevf *dev, uint32_t *msg)
{
	msg[1] = dev->st->n_queues; /* transmit */
	msg[2] = dev->st->n_queues; /* receive */
	/* A port VLAN that the guest does not see: it then leaves stripping on. */
	msg[3] = dev->vf.policy.pvid != 0 && !dev->vf.policy.trunk;
	msg[4] = 0; /* default queue */
	return true;
}

static bool op_update_xcast(struct ixgbevf *dev, uint32_t *msg)
{
	uint32_t mode = msg[1];

	if (mode > XCAST_PROMISC || (mode == XCAST_PROMISC && dev->st->mbox.api < MBOX_API_13))
		return false;
	/* As Linux's PF: the mode is lowered, and the reply says so, which drivers take better than
	 * to be refused and to be left without multicast. */
	if (mode > XCAST_MULTI && !dev->vf.policy.trusted)
		mode = XCAST_MULTI;
	__atomic_store_n(&dev->st->xcast, mode, __ATOMIC_RELAXED);
	msg[1] = mode;
	return true;
}

/* "Is this VF enabled by its administrator?" It is while it is there at all. Whether its cable is
 * plugged is told by VFLINKS, which the guest can see change without being restarted. */
static bool op_get_link_state(struct ixgbevf *dev, uint32_t *msg)
{
	msg[1] = 1;
	return true;
}

/* Speeds as IXGBE_LINK_SPEED_* of ixgbevf/defines.h. */
static bool op_get_pf_link_state(struct ixgbevf *dev, uint32_t *msg)
{
	const struct vf_policy *policy = &dev->vf.policy;

	msg[1] = policy->speed_mbit == 100 ? 0x08 : policy->speed_mbit == 1000 ? 0x20 : 0x80;
	msg[2] = policy->link_up;
	return true;
}

static bool op_features(struct ixgbevf *dev, uint32_t *msg)
{
	msg[1] = 0; /* bit 0 would be IPsec */
	return true;
}

static bool op_refuse(struct ixgbevf *dev, uint32_t *msg)
{
	return false;
}

/* NOLINTEND(readability-non-const-parameter) */

struct mbox_op {
	const char *name;
	handler_fn *handler;
	enum mbox_api since; /* refused below */
};

/* clang-format off */
static const struct mbox_op ops[] = {
	[OP_SET_MAC_ADDR]       = { "SET_MAC_ADDR",       op_set_mac,           MBOX_API_10 },
	[OP_SET_MULTICAST]      = { "SET_MULTICAST",      op_set_multicast,     MBOX_API_10 },
	[OP_SET_VLAN]           = { "SET_VLAN",           op_set_vlan,          MBOX_API_10 },
	[OP_SET_LPE]            = { "SET_LPE",            op_set_lpe,           MBOX_API_10 },
	[OP_SET_MACVLAN]        = { "SET_MACVLAN",        op_set_macvlan,       MBOX_API_10 },
	[OP_API_NEGOTIATE]      = { "API_NEGOTIATE",      op_api_negotiate,     MBOX_API_10 },
	[OP_GET_QUEUES]         = { "GET_QUEUES",         op_get_queues,        MBOX_API_11 },
	/* One queue: there is nothing to distribute, and no key. */
	[OP_GET_RETA]           = { "GET_RETA",           op_refuse,            MBOX_API_12 },
	[OP_GET_RSS_KEY]        = { "GET_RSS_KEY",        op_refuse,            MBOX_API_12 },
	[OP_UPDATE_XCAST_MODE]  = { "UPDATE_XCAST_MODE",  op_update_xcast,      MBOX_API_12 },
	[OP_IPSEC_ADD]          = { "IPSEC_ADD",          op_refuse,            MBOX_API_14 },
	[OP_IPSEC_DEL]          = { "IPSEC_DEL",          op_refuse,            MBOX_API_14 },
	[OP_GET_LINK_STATE]     = { "GET_LINK_STATE",     op_get_link_state,    MBOX_API_12 },
	[OP_GET_PF_LINK_STATE]  = { "GET_PF_LINK_STATE",  op_get_pf_link_state, MBOX_API_16 },
	[OP_FEATURES_NEGOTIATE] = { "FEATURES_NEGOTIATE", op_features,          MBOX_API_17 },
};
/* clang-format on */

/* Carries out the request in msg and leaves the reply there. Returns its length in words; 0 is no
 * reply. */
static uint32_t serve(struct ixgbevf *dev, uint32_t *msg)
{
	struct mbox_data *m = &dev->st->mbox;
	uint32_t op = msg[0] & MSG_OP;
	const struct mbox_op *o;
	bool granted;

	dev->vf.counters.mbox_messages++;
	/* An answer of ours, sent back: nothing to do. */
	if ((msg[0] & (MSG_SUCCESS | MSG_FAILURE)) != 0) {
		dev->vf.counters.mbox_refused++;
		return 0;
	}
	if (msg[0] == OP_RESET) {
		granted = op_reset(dev, msg);
		/* Exactly this word: drivers compare it whole, so no CTS here. */
		msg[0] = OP_RESET | (granted ? MSG_SUCCESS : MSG_FAILURE);
		return 4;
	}
	if (!m->cts) {
		msg[0] |= MSG_FAILURE;
		dev->vf.counters.mbox_refused++;
		return 1;
	}
	o = op < ARRAY_SIZE(ops) && ops[op].handler != NULL ? &ops[op] : NULL;
	granted = o != NULL && m->api >= o->since && o->handler(dev, msg);
	if (!granted) {
		dev->vf.counters.mbox_refused++;
		if (log_wants(LOG_LEVEL_DEBUG) && log_limit_pass(&dev->limit_mbox, AREA))
			log_debug(AREA, "mailbox %s (%#x) refused at API %s",
				  o != NULL ? o->name : "unknown", msg[0], mbox_api_name(dev));
	}
	msg[0] |= MSG_CTS | (granted ? MSG_SUCCESS : MSG_FAILURE);
	return VFMBMEM_WORDS;
}

/* ---- the buffer and its signals ---- */

static void signal_vf(struct ixgbevf *dev, uint32_t bits)
{
	dev->st->mbox.signals |= bits;
	intr_mbox(dev);
}

/* The PF writes into the buffer; the caller knows that it is free. */
static void post(struct ixgbevf *dev, const uint32_t *words, uint32_t n)
{
	memcpy(regs_word(dev, VFMBMEM), words, n * sizeof(*words));
	dev->st->mbox.posted_ns = clock_ns();
	mbox_set_state(dev, MBOX_POSTED);
	signal_vf(dev, VFMAILBOX_PFSTS);
}

static void post_ping(struct ixgbevf *dev)
{
	struct mbox_data *m = &dev->st->mbox;
	uint32_t word = PF_CONTROL_MSG | (m->cts ? MSG_CTS : 0);

	m->ping = 0;
	post(dev, &word, 1);
}

/* Sends a control message that is due, if it overwrites nothing that the VF still wants. Old drivers
 * do not fetch the replies to some requests; so what was not fetched for a while is not waited for. */
static void ping_if_free(struct ixgbevf *dev)
{
	struct mbox_data *m = &dev->st->mbox;

	if (m->ping && (m->state == MBOX_IDLE ||
			(m->state == MBOX_POSTED && clock_ns() - m->posted_ns > FETCH_NS)))
		post_ping(dev);
}

/* The VF let go of the buffer: what waited for that goes now. */
static void buffer_free(struct ixgbevf *dev)
{
	struct mbox_data *m = &dev->st->mbox;
	uint32_t n = m->reply_words;

	mbox_set_state(dev, MBOX_IDLE);
	m->reply_words = 0;
	if (n > 0)
		post(dev, m->reply, n);
	else
		ping_if_free(dev);
}

static void request(struct ixgbevf *dev, bool keeps_buffer)
{
	struct mbox_data *m = &dev->st->mbox;
	uint32_t msg[VFMBMEM_WORDS];

	memcpy(msg, regs_word(dev, VFMBMEM), sizeof(msg));
	m->reply_words = serve(dev, msg);
	memcpy(m->reply, msg, sizeof(msg));
	signal_vf(dev, VFMAILBOX_PFACK);
	if (keeps_buffer)
		mbox_set_state(dev, m->reply_words > 0 ? MBOX_REPLY_HELD : MBOX_VF_OWNS);
	else
		buffer_free(dev);
}

/* The VF has read what was posted. */
static void acknowledged(struct ixgbevf *dev, bool keeps_buffer)
{
	struct mbox_data *m = &dev->st->mbox;
	const uint32_t lost = MSG_FAILURE;

	if (keeps_buffer) {
		if (m->state != MBOX_REPLY_HELD)
			mbox_set_state(dev, MBOX_VF_OWNS);
		return;
	}
	buffer_free(dev);
	/* A driver that reads without being clear to send has missed that it must reset: a refusal
	 * without CTS is what makes it (ixgbe_rcv_ack_from_vf; ixgbevf_check_mac_link_vf). Not if
	 * it has just read a refusal. */
	if (!m->cts && m->state == MBOX_IDLE && (*regs_word(dev, VFMBMEM) & MSG_FAILURE) == 0)
		post(dev, &lost, 1);
}

uint32_t mbox_read(struct ixgbevf *dev, unsigned int n)
{
	struct mbox_data *m = &dev->st->mbox;
	uint32_t value;

	ping_if_free(dev);
	value = m->signals;
	m->signals = 0; /* DS 8.3.5.1.5: all three are cleared by reading */
	if (m->state == MBOX_VF_OWNS || m->state == MBOX_REPLY_HELD)
		value |= VFMAILBOX_VFU;
	return value;
}

void mbox_write(struct ixgbevf *dev, unsigned int n, uint32_t value)
{
	struct mbox_data *m = &dev->st->mbox;
	bool vfu = (value & VFMAILBOX_VFU) != 0;

	if ((value & VFMAILBOX_REQ) != 0) {
		request(dev, vfu);
	} else if ((value & VFMAILBOX_ACK) != 0) {
		acknowledged(dev, vfu);
	} else if (vfu) {
		if (m->state != MBOX_REPLY_HELD)
			mbox_set_state(dev, MBOX_VF_OWNS);
	} else if (m->state == MBOX_VF_OWNS || m->state == MBOX_REPLY_HELD) {
		buffer_free(dev);
	}
}

void mbox_notify(struct ixgbevf *dev, bool restart)
{
	struct mbox_data *m = &dev->st->mbox;

	if (!m->cts)
		return; /* it will ask for everything when it resets the VF */
	if (restart)
		m->cts = 0;
	m->ping = 1;
	ping_if_free(dev);
}

void mbox_reset(struct ixgbevf *dev, bool power_on)
{
	struct mbox_data *m = &dev->st->mbox;

	mbox_set_state(dev, MBOX_IDLE);
	m->api = MBOX_API_10;
	m->cts = 0;
	m->ping = 0;
	m->reply_words = 0;
	/* "The PF is ready": drivers wait until they have read RSTD once and then not again. */
	m->signals = VFMAILBOX_RSTD;
	if (power_on)
		memset(regs_word(dev, VFMBMEM), 0, VFMBMEM_WORDS * sizeof(uint32_t));
}

const char *mbox_api_name(const struct ixgbevf *dev)
{
	static const char *const names[] = {
		[MBOX_API_10] = "1.0", [MBOX_API_20] = "2.0", [MBOX_API_11] = "1.1",
		[MBOX_API_12] = "1.2", [MBOX_API_13] = "1.3", [MBOX_API_14] = "1.4",
		[MBOX_API_15] = "1.5", [MBOX_API_16] = "1.6", [MBOX_API_17] = "1.7",
	};

	return dev->st->mbox.cts ? names[dev->st->mbox.api] : "";
}
