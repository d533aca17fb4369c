/* SPDX-License-Identifier: BSD-3-Clause */
/* VLAN modes: from a port's fields to what the switch goes by. The modes are those of Hyper-V's
 * Set-VMNetworkAdapterVlan: untagged, access and trunk by `vlan` and `trunk`, and the private ones. */
#include "daemon/runtime.h"
#include "model/object.h"
#include "model/vlans.h"

#define TCI_PRIORITY 0xf000 /* 802.1Q, 9.6: PCP and DEI */

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
	p->trunk = vlans_count(&vlans) > 0;
	p->private_vlan = false;
	port->sw->changed = true;
	if (port->kind != PORT_OF_VPORT) {
		p->priority_tag = obj_bool(config, "priority-tag");
		return;
	}
	p->tci_clear = obj_bool(config, "ieee-priority-tag") ? 0 : TCI_PRIORITY;
	if (!obj_is(config, "private-vlan", "none"))
		private_vlans(p, config);
}
