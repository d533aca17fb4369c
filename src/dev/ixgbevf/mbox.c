/* SPDX-License-Identifier: BSD-3-Clause */
/* The messages that the PF of an 82599 or X540 answers. See intelvf/mbox.h. */
#include "dev/intelvf/mbox.h"
#include "dev/ixgbevf/ixgbevf.h"

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

/* NOLINTBEGIN(readability-non-const-parameter): handlers share one type; some only read */

/* INFO 0 empties the list, 1 empties it and adds, more adds. */
static bool op_set_macvlan(struct intelvf *dev, uint32_t *msg)
{
	uint32_t info = MSG_INFO(msg[0]);

	if (info == 0) {
		pf_clear_macs(dev);
		return true;
	}
	return pf_add_mac(dev, info == 1 ? 0 : dev->st->n_macs, mbox_mac(msg + 1));
}

static bool op_api_negotiate(struct intelvf *dev, uint32_t *msg)
{
	if (msg[1] > MBOX_API_17 || msg[1] == MBOX_API_20)
		return false;
	dev->st->mbox.api = msg[1];
	return true;
}

static bool op_get_queues(struct intelvf *dev, uint32_t *msg)
{
	msg[1] = dev->st->n_queues; /* transmit */
	msg[2] = dev->st->n_queues; /* receive */
	/* A port VLAN that the guest does not see: it then leaves stripping on. */
	msg[3] = dev->vf.policy.pvid != 0 && !dev->vf.policy.trunk;
	msg[4] = 0; /* default queue */
	return true;
}

static bool op_update_xcast(struct intelvf *dev, uint32_t *msg)
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
static bool op_get_link_state(struct intelvf *dev, uint32_t *msg)
{
	msg[1] = 1;
	return true;
}

/* The pool's redirection table, two bits an entry; and its key, as its bytes lie in memory. */
static bool op_get_reta(struct intelvf *dev, uint32_t *msg)
{
	const uint8_t *reta = dev->st->rss.reta;

	for (unsigned int i = 0; i < RETA_ENTRIES / 16; i++) {
		msg[1 + i] = 0;
		for (unsigned int j = 0; j < 16; j++)
			msg[1 + i] |= (reta[16 * i + j] & 3u) << 2 * j;
	}
	return true;
}

static bool op_get_rss_key(struct intelvf *dev, uint32_t *msg)
{
	for (unsigned int i = 0; i < RSS_KEY_SIZE / 4; i++)
		msg[1 + i] = rss_key_word(dev, i);
	return true;
}

/* Speeds as IXGBE_LINK_SPEED_* of DPDK 26.11 (ixgbe_type.h). */
static uint32_t speed_word(uint32_t mbit)
{
	switch (mbit) {
	case 100:
		return 0x08;
	case 1000:
		return 0x20;
	case 2500:
		return 0x400;
	case 5000:
		return 0x800;
	default:
		return 0x80;
	}
}

static bool op_get_pf_link_state(struct intelvf *dev, uint32_t *msg)
{
	msg[1] = speed_word(vf_speed_mbit(&dev->vf));
	msg[2] = dev->vf.policy.link_up;
	return true;
}

static bool op_features(struct intelvf *dev, uint32_t *msg)
{
	msg[1] = 0; /* bit 0 would be IPsec */
	return true;
}

static bool op_refuse(struct intelvf *dev, uint32_t *msg)
{
	return false;
}

/* NOLINTEND(readability-non-const-parameter) */

/* clang-format off */
static const struct mbox_op ops[] = {
	[OP_SET_MAC_ADDR]       = { "SET_MAC_ADDR",       pf_set_mac,           MBOX_API_10 },
	[OP_SET_MULTICAST]      = { "SET_MULTICAST",      pf_set_multicast,     MBOX_API_10 },
	[OP_SET_VLAN]           = { "SET_VLAN",           pf_set_vlan,          MBOX_API_10 },
	[OP_SET_LPE]            = { "SET_LPE",            pf_set_lpe,           MBOX_API_10 },
	[OP_SET_MACVLAN]        = { "SET_MACVLAN",        op_set_macvlan,       MBOX_API_10 },
	[OP_API_NEGOTIATE]      = { "API_NEGOTIATE",      op_api_negotiate,     MBOX_API_10 },
	[OP_GET_QUEUES]         = { "GET_QUEUES",         op_get_queues,        MBOX_API_11 },
	[OP_GET_RETA]           = { "GET_RETA",           op_get_reta,          MBOX_API_12 },
	[OP_GET_RSS_KEY]        = { "GET_RSS_KEY",        op_get_rss_key,       MBOX_API_12 },
	[OP_UPDATE_XCAST_MODE]  = { "UPDATE_XCAST_MODE",  op_update_xcast,      MBOX_API_12 },
	[OP_IPSEC_ADD]          = { "IPSEC_ADD",          op_refuse,            MBOX_API_14 },
	[OP_IPSEC_DEL]          = { "IPSEC_DEL",          op_refuse,            MBOX_API_14 },
	[OP_GET_LINK_STATE]     = { "GET_LINK_STATE",     op_get_link_state,    MBOX_API_12 },
	[OP_GET_PF_LINK_STATE]  = { "GET_PF_LINK_STATE",  op_get_pf_link_state, MBOX_API_16 },
	[OP_FEATURES_NEGOTIATE] = { "FEATURES_NEGOTIATE", op_features,          MBOX_API_17 },
};
/* clang-format on */

const struct mbox_table ixgbevf_messages = { ops, ARRAY_SIZE(ops) };

const char *ixgbevf_api_name(const struct intelvf *dev)
{
	static const char *const names[] = {
		[MBOX_API_10] = "1.0", [MBOX_API_20] = "2.0", [MBOX_API_11] = "1.1",
		[MBOX_API_12] = "1.2", [MBOX_API_13] = "1.3", [MBOX_API_14] = "1.4",
		[MBOX_API_15] = "1.5", [MBOX_API_16] = "1.6", [MBOX_API_17] = "1.7",
	};

	return dev->st->mbox.cts ? names[dev->st->mbox.api] : "";
}
