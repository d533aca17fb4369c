/* SPDX-License-Identifier: BSD-3-Clause */
/* VLAN modes: from a port's fields to what the switch goes by. The modes are those of Hyper-V's
 * Set-VMNetworkAdapterVlan: untagged, access and trunk by `vlan` and `trunk`, and the private ones. */
#include <errno.h>

#include "daemon/runtime.h"
#include "model/object.h"

#define TCI_PRIORITY 0xf000 /* 802.1Q, 9.6: PCP and DEI */

static unsigned int n_vlans(const struct vlan_set *set)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < ARRAY_SIZE(set->word); i++)
		n += (unsigned int)__builtin_popcountll(set->word[i]);
	return n;
}

int vport_vlans_check(const json_t *config, struct refusal *why)
{
	const char *mode = obj_str(config, "private-vlan");
	const char *text = obj_str(config, "secondary-vlans");
	struct vlan_set secondary;
	unsigned int n;

	obj_vlans(config, "secondary-vlans", &secondary);
	n = n_vlans(&secondary);
	if (strcmp(mode, "none") == 0) {
		if (n == 0)
			return 0;
		return refuse(
			why, -EINVAL, "secondary-vlans", text,
			"only private VLANs have secondary ones; set private-vlan to isolated, community or "
			"promiscuous, or secondary-vlans to none");
	}
	if (obj_uint(config, "vlan") == 0)
		return refuse(why, -EINVAL, "vlan", "0",
			      "a private VLAN needs its primary VLAN here (private-vlan is %s)",
			      mode);
	if (!obj_is(config, "trunk", "none"))
		return refuse(
			why, -EINVAL, "trunk", obj_str(config, "trunk"),
			"a vport with a private VLAN is no trunk; set trunk or private-vlan to none");
	if (vlan_set_has(&secondary, (uint16_t)obj_uint(config, "vlan")))
		return refuse(why, -EINVAL, "secondary-vlans", text,
			      "%u is the primary VLAN (vlan); it cannot be a secondary one as well",
			      (unsigned int)obj_uint(config, "vlan"));
	if (n == 0)
		return refuse(why, -EINVAL, "secondary-vlans", text,
			      "private-vlan %s needs a secondary VLAN here", mode);
	if (n > 1 && strcmp(mode, "promiscuous") != 0)
		return refuse(
			why, -EINVAL, "secondary-vlans", text,
			"private-vlan %s is in one secondary VLAN; only promiscuous has several",
			mode);
	return 0;
}

/* NDIS_SWITCH_PORT_PVLAN_MODE has which mode sends and receives in which VLANs. */
static void private_vlans(struct port_config *p, const json_t *config)
{
	struct vlan_set secondary;

	obj_vlans(config, "secondary-vlans", &secondary);
	p->private_vlan = true;
	p->send_vid = p->pvid;
	memset(p->vlans, 0, sizeof(p->vlans));
	if (!obj_is(config, "private-vlan", "isolated"))
		memcpy(p->vlans, secondary.word, sizeof(p->vlans));
	if (obj_is(config, "private-vlan", "promiscuous"))
		return;
	for (uint16_t v = 1; v < N_VLANS; v++)
		if (vlan_set_has(&secondary, v))
			p->send_vid = v;
}

void port_vlans(struct rt_port *port, const json_t *config)
{
	struct port_config *p = &port->sw->port[port->idx];
	struct vlan_set vlans;

	obj_vlans(config, "trunk", &vlans);
	p->pvid = (uint16_t)obj_uint(config, "vlan");
	memcpy(p->vlans, vlans.word, sizeof(p->vlans));
	p->trunk = n_vlans(&vlans) > 0;
	p->private_vlan = false;
	port->sw->changed = true;
	if (port->kind != PORT_OF_VPORT)
		return;
	p->tci_clear = obj_bool(config, "ieee-priority-tag") ? 0 : TCI_PRIORITY;
	if (!obj_is(config, "private-vlan", "none"))
		private_vlans(p, config);
}
