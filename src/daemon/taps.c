/* SPDX-License-Identifier: BSD-3-Clause */
/* Which taps a port has. Workers walk the list meanwhile. */
#include "daemon/runtime.h"

bool taps_any(const struct rt_port *port, tap_owned_fn *owned, const void *owner)
{
	for_each_tap(tap, port->sw->port[port->idx].tap) if (owned(owner, tap)) return true;
	return false;
}

void taps_add(struct rt_port *port, struct tap *tap)
{
	struct port_config *p = &port->sw->port[port->idx];

	atomic_store(&tap->next, p->tap);
	p->tap = tap;
	port->sw->changed = true;
}

void taps_leave(struct rt_port *port)
{
	struct port_config *p = &port->sw->port[port->idx];
	struct tap *tap = p->tap;

	p->tap = NULL;
	while (tap != NULL) {
		struct tap *next = atomic_load(&tap->next);

		if (tap->gone != NULL)
			tap->gone(tap);
		tap = next;
	}
}

void taps_remove(struct runtime *rt, tap_owned_fn *owned, const void *owner)
{
	struct rt_switch *sw;
	struct rt_port *port;
	bool any = false;

	LIST_FOREACH(port, &rt->ports, next) {
		struct port_config *p = &port->sw->port[port->idx];
		struct tap *before = NULL;

		for_each_tap(tap, p->tap)
		{
			if (!owned(owner, tap)) {
				before = tap;
				continue;
			}
			if (before != NULL)
				atomic_store(&before->next, atomic_load(&tap->next));
			else
				p->tap = atomic_load(&tap->next);
			port->sw->changed = any = true;
		}
	}
	LIST_FOREACH(sw, &rt->switches, next)
		if (any && sw->changed)
			runtime_withdraw(rt, sw);
}
