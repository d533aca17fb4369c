/* SPDX-License-Identifier: BSD-3-Clause */
/* Classes of traffic of an uplink (802.1Q, 37: enhanced transmission selection; 36: priority-based flow control).
 *
 * The link of a switch is divided as one (qos.c), so one of its uplinks says how. */
#include <errno.h>

#include "daemon/runtime.h"
#include "model/object.h"
#include "model/qos.h"

struct rt_port *uplink_with_classes(const struct runtime *rt, const struct rt_switch *sw,
				    const struct rt_port *skip)
{
	struct rt_port *port;

	LIST_FOREACH(port, &rt->ports, next)
		if (port != skip && port->sw == sw && port->kind == PORT_OF_UPLINK &&
		    !port->removed && uplink_has_classes(port->config))
			return port;
	return NULL;
}

int dcb_set_device(const struct rt_port *uplink, const json_t *was, const json_t *config,
		   struct refusal *why)
{
	struct uplink_classes old = { 0 }, new;
	struct err err = { 0 };

	if (was != NULL)
		uplink_classes_read(was, &old);
	uplink_classes_read(config, &new);
	/* One that has none is set when it comes. */
	if (uplink->uplink != NULL && uplink_set_pfc(uplink->uplink, old.pfc, new.pfc, &err) < 0)
		return refuse_err(why, "prio-pfc", obj_str(config, "prio-pfc"), &err);
	return 0;
}

int dcb_change(const struct runtime *rt, struct rt_port *uplink, const json_t *was,
	       const json_t *config, struct refusal *why)
{
	int ret = dcb_set_device(uplink, was, config, why);

	if (ret == 0)
		uplink->asks_classes |= rt->started && obj_changed(was, config, "prio-tc");
	return ret;
}

int dcb_agree(const struct runtime *rt, const struct rt_switch *sw, struct refusal *why)
{
	struct rt_port *uplink = uplink_with_classes(rt, sw, NULL);
	struct rt_port *other = uplink != NULL ? uplink_with_classes(rt, sw, uplink) : NULL;
	struct rt_port *asking = uplink != NULL && uplink->asks_classes ? uplink : other;

	if (other == NULL || !asking->asks_classes)
		return 0;
	refusal_about(why, "uplink", asking->name);
	return refuse(
		why, -EINVAL, "prio-tc", obj_str(asking->config, "prio-tc"),
		"the uplinks of a switch are divided as one, and uplink '%s' says how; set it there",
		asking == uplink ? other->name : uplink->name);
}

bool dcb_divide(const struct runtime *rt, const struct rt_switch *sw, struct share_classes *classes,
		uint8_t of_priority[SHARE_CLASSES])
{
	const struct rt_port *uplink = uplink_with_classes(rt, sw, NULL);
	struct uplink_classes c;

	if (uplink == NULL)
		return false;
	uplink_classes_read(uplink->config, &c);
	*classes = (struct share_classes){ .n = SHARE_CLASSES };
	for (unsigned int i = 0; i < SHARE_CLASSES; i++) {
		of_priority[i] = c.of_priority[i];
		classes->strict |= (uint8_t)(!c.ets[i] << i);
		/* One with 0 % gets what the others leave. */
		classes->part[i] = c.percent[i] > 0 ? (uint64_t)c.percent[i] * SHARE_WHOLE / 100
						    : 1;
	}
	return true;
}
