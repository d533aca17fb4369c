/* SPDX-License-Identifier: BSD-3-Clause */
/* The PF behind the mailbox, as far as it answers alike for both families. */
#include "base/log.h"
#include "dev/intelvf/mbox.h"

#define AREA "intelvf"

#define MC_FILTER_TYPE 0 /* the hash takes bits 47:36 of an address */
#define MC_ENTRIES_MAX 30
#define LPE_MIN        68 /* ETH_MIN_MTU: what Linux's PF takes at least */

/* NOLINTBEGIN(readability-non-const-parameter): handlers share one type; some only read */

static bool is_unicast(uint64_t mac)
{
	return mac != 0 && (mac & MAC_GROUP) == 0;
}

static void macs_changed(struct intelvf *dev)
{
	dev->vf.upcalls->macs_changed(dev->vf.arg);
}

static bool reset(struct intelvf *dev, uint32_t *msg)
{
	struct intelvf_state *st = dev->st;

	intelvf_clear_filters(dev);
	memset(msg, 0, VFMBMEM_WORDS * sizeof(*msg));
	msg[0] = OP_RESET;
	msg[1] = le32toh((uint32_t)st->mac);
	msg[2] = le32toh((uint32_t)(st->mac >> 32));
	msg[3] = MC_FILTER_TYPE;
	st->mbox.api = MBOX_API_10;
	st->mbox.cts = 1;
	intelvf_set_active(dev, true);
	/* Without an address the driver makes one up (Linux 6.12), as with an unconfigured PF. */
	return st->mac != 0;
}

/* --- what the VFs of one controller share --- */

static void refused(struct intelvf *dev, const char *what, unsigned int n)
{
	if (log_limit_pass(&dev->limit_mbox, AREA))
		log_warn(
			AREA,
			"a VF's driver got no %s filter: all %u of an %s are in use (softiov switch set "
			"NAME filters any)",
			what, n, dev->vf.model->name);
}

/* A controller's MAC filters are for all its VFs, and each VF's own address takes one. */
static bool has_mac_filter(struct intelvf *dev, uint32_t n_kept)
{
	const struct vf_controller *c = dev->vf.controller;
	unsigned int n = n_kept + 1;
	struct vf *vf;

	if (c == NULL || c->any_filters)
		return true;
	LIST_FOREACH(vf, &c->vfs, entry)
		if (vf->model == dev->vf.model)
			n += 1 + (vf == &dev->vf ? 0 : intelvf_of(vf)->st->n_macs);
	if (n <= dev->vf.model->n_macs)
		return true;
	refused(dev, "MAC", dev->vf.model->n_macs);
	return false;
}

/* One VLAN filter serves all VFs that are in its VLAN. */
static bool has_vlan_filter(struct intelvf *dev, unsigned int vid)
{
	const struct vf_controller *c = dev->vf.controller;
	uint64_t used[4096 / 64] = { 0 };
	unsigned int n = 0;
	struct vf *vf;

	if (c == NULL || c->any_filters)
		return true;
	bitmap_set(used, vid);
	LIST_FOREACH(vf, &c->vfs, entry)
		for (unsigned int i = 0; vf->model == dev->vf.model && i < ARRAY_SIZE(used); i++)
			used[i] |= intelvf_of(vf)->st->vlan_asked[i];
	for (unsigned int i = 0; i < ARRAY_SIZE(used); i++)
		n += (unsigned int)__builtin_popcountll(used[i]);
	if (n <= dev->vf.model->n_vlans)
		return true;
	refused(dev, "VLAN", dev->vf.model->n_vlans);
	return false;
}

bool pf_set_mac(struct intelvf *dev, uint32_t *msg)
{
	uint64_t mac = mbox_mac(msg + 1);

	if (!is_unicast(mac) || (mac != dev->vf.policy.mac && !dev->vf.policy.trusted))
		return false;
	if (mac != dev->st->mac) {
		__atomic_store_n(&dev->st->mac, mac, __ATOMIC_RELAXED);
		macs_changed(dev);
	}
	return true;
}

bool pf_set_multicast(struct intelvf *dev, uint32_t *msg)
{
	struct intelvf_state *st = dev->st;
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

bool pf_set_vlan(struct intelvf *dev, uint32_t *msg)
{
	const struct vf_policy *policy = &dev->vf.policy;
	unsigned int vid = msg[1] & 0xfff;
	bool add = MSG_INFO(msg[0]) != 0;

	/* VLAN 0 is priority tags: always there, never to be removed. */
	if (vid == 0)
		return true;
	if (add &&
	    (!policy->trunk || !bitmap_test(policy->vlans, vid) || !has_vlan_filter(dev, vid)))
		return false;
	if (add)
		bitmap_set(dev->st->vlan_asked, vid);
	else
		bitmap_clear(dev->st->vlan_asked, vid);
	intelvf_update_vlans(dev);
	return true;
}

/* DS 8.2.3.22.13: MAXFRS is one register for the port. A PF driver raises it for a VF and never lowers it, so
 * no VF receives less than what is usual: iPXE 1.21 (intelxvf.c) asks for a size without the FCS. */
bool pf_set_lpe(struct intelvf *dev, uint32_t *msg)
{
	uint32_t size = msg[1];

	if (size < LPE_MIN || size > INTELVF_FRAME_MAX ||
	    size > dev->vf.policy.max_frame + FCS_SIZE)
		return false;
	__atomic_store_n(&dev->st->lpe, size > LPE_RESET ? size : LPE_RESET, __ATOMIC_RELAXED);
	return true;
}

/* NOLINTEND(readability-non-const-parameter) */

static void set_n_macs(struct intelvf *dev, uint32_t n)
{
	if (n == 0 && dev->st->n_macs == 0)
		return;
	__atomic_store_n(&dev->st->n_macs, n, __ATOMIC_RELEASE);
	macs_changed(dev);
}

void pf_clear_macs(struct intelvf *dev)
{
	set_n_macs(dev, 0);
}

bool pf_add_mac(struct intelvf *dev, uint32_t n_kept, uint64_t mac)
{
	if (!dev->vf.policy.trusted || !is_unicast(mac) || n_kept == INTELVF_MACVLANS ||
	    !has_mac_filter(dev, n_kept))
		return false;
	__atomic_store_n(&dev->st->macs[n_kept], mac, __ATOMIC_RELAXED);
	set_n_macs(dev, n_kept + 1);
	return true;
}

uint32_t pf_serve(struct intelvf *dev, uint32_t *msg)
{
	struct mbox_data *m = &dev->st->mbox;
	uint32_t op = msg[0] & MSG_OP;
	const struct mbox_table *table = dev->family->messages;
	const struct mbox_op *o = NULL;
	bool granted;

	dev->vf.counters.mbox_messages++;
	/* An answer of ours, sent back: nothing to do. */
	if ((msg[0] & (MSG_SUCCESS | MSG_FAILURE)) != 0) {
		dev->vf.counters.mbox_refused++;
		return 0;
	}
	if (msg[0] == OP_RESET) {
		granted = reset(dev, msg);
		/* Exactly this word: drivers compare it whole, so no CTS here. */
		msg[0] = OP_RESET | (granted ? MSG_SUCCESS : MSG_FAILURE);
		return dev->family->reset_words;
	}
	if (!m->cts) {
		msg[0] |= MSG_FAILURE;
		dev->vf.counters.mbox_refused++;
		return 1;
	}
	if (op < table->n && table->op[op].handler != NULL)
		o = &table->op[op];
	granted = o != NULL && m->api >= o->since && o->handler(dev, msg);
	if (!granted) {
		dev->vf.counters.mbox_refused++;
		if (log_wants(LOG_LEVEL_DEBUG) && log_limit_pass(&dev->limit_mbox, AREA))
			log_debug(AREA, "mailbox %s (%#x) refused at API %s",
				  o != NULL ? o->name : "unknown", msg[0],
				  dev->family->api_name(dev));
	}
	msg[0] |= MSG_CTS | (granted ? MSG_SUCCESS : MSG_FAILURE);
	return VFMBMEM_WORDS;
}
