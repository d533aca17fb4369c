/* SPDX-License-Identifier: BSD-3-Clause */
/* The messages that the PF of an 82576 or I350 answers, as Linux 6.12's igb does (igb_main.c,
 * igb_rcv_msg_from_vf). There are no versions of the protocol. See intelvf/mbox.h. */
#include "dev/igbvf/igbvf.h"

/* MSG_INFO of SET_MAC_ADDR */
#define MAC_OWN        0x00
#define MAC_FILTER_CLR 0x01
#define MAC_FILTER_ADD 0x02

/* MSG_INFO of SET_PROMISC: DPDK's driver asks so. */
#define PROMISC_UNICAST   0x01
#define PROMISC_MULTICAST 0x02

#define MC_ENTRIES_MAX 30
#define RLPML_MAX      0x3fff /* VMOLR.RLPML */

/* NOLINTBEGIN(readability-non-const-parameter): handlers share one type; some only read */

/* Who may have filters may also clear them: igb looks at trust first, for both. */
static bool op_set_mac(struct intelvf *dev, uint32_t *msg)
{
	switch (MSG_INFO(msg[0])) {
	case MAC_OWN:
		return pf_set_mac(dev, msg);
	case MAC_FILTER_CLR:
		if (!dev->vf.policy.trusted)
			return false;
		pf_clear_macs(dev);
		return true;
	case MAC_FILTER_ADD:
		return pf_add_mac(dev, dev->st->n_macs, mbox_mac(msg + 1));
	default:
		return false;
	}
}

static void set_xcast(struct intelvf *dev, enum xcast_mode mode)
{
	__atomic_store_n(&dev->st->xcast, mode, __ATOMIC_RELAXED);
}

/* A driver with more groups than fit says so by a number above 30 (DPDK sets bit 7) and gets all of them
 * (igb_restore_vf_multicasts), if it is trusted with that here, until it asks for SET_PROMISC or a reset. */
static bool op_set_multicast(struct intelvf *dev, uint32_t *msg)
{
	bool overflow = MSG_INFO(msg[0]) > MC_ENTRIES_MAX;

	if (!pf_set_multicast(dev, msg))
		return false;
	if (overflow && dev->vf.policy.trusted)
		set_xcast(dev, XCAST_ALLMULTI);
	return true;
}

/* igb leaves MSG_INFO in its refusal, where drivers look for the bare opcode (e1000_set_vfta_vf), and so go
 * on with a VLAN that they do not have. They are told better here. */
static bool op_set_vlan(struct intelvf *dev, uint32_t *msg)
{
	bool granted = pf_set_vlan(dev, msg);

	if (!granted)
		msg[0] = OP_SET_VLAN;
	return granted;
}

/* RLPML counts the VLAN tag. igb takes any length; policy is held against each frame. */
static bool op_set_lpe(struct intelvf *dev, uint32_t *msg)
{
	__atomic_store_n(&dev->st->lpe, msg[1] & RLPML_MAX, __ATOMIC_RELAXED);
	return true;
}

/* igb grants multicast and refuses unicast, whoever asks; here promiscuity is a matter of trust. */
static bool op_set_promisc(struct intelvf *dev, uint32_t *msg)
{
	uint32_t info = MSG_INFO(msg[0]);

	if ((info & ~(uint32_t)(PROMISC_UNICAST | PROMISC_MULTICAST)) != 0 ||
	    (info != 0 && !dev->vf.policy.trusted))
		return false;
	if ((info & PROMISC_UNICAST) != 0)
		set_xcast(dev, XCAST_PROMISC);
	else if ((info & PROMISC_MULTICAST) != 0)
		set_xcast(dev, XCAST_ALLMULTI);
	else
		set_xcast(dev, XCAST_MULTI); /* by the hashes that were sent last */
	return true;
}

/* NOLINTEND(readability-non-const-parameter) */

/* clang-format off */
static const struct mbox_op ops[] = {
	[OP_SET_MAC_ADDR]  = { "SET_MAC_ADDR",  op_set_mac,       MBOX_API_10 },
	[OP_SET_MULTICAST] = { "SET_MULTICAST", op_set_multicast, MBOX_API_10 },
	[OP_SET_VLAN]      = { "SET_VLAN",      op_set_vlan,      MBOX_API_10 },
	[OP_SET_LPE]       = { "SET_LPE",       op_set_lpe,       MBOX_API_10 },
	[OP_SET_PROMISC]   = { "SET_PROMISC",   op_set_promisc,   MBOX_API_10 },
};
/* clang-format on */

const struct mbox_table igbvf_messages = { ops, ARRAY_SIZE(ops) };
