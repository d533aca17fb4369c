/* SPDX-License-Identifier: BSD-3-Clause */
/* Uplinks: ports with a device of DPDK's. */
#include <errno.h>

#include "base/log.h"
#include "daemon/runtime.h"
#include "model/object.h"
#include "model/text.h"

static int open_device(struct uplink **uplink, const json_t *config, struct err *err)
{
	static const char *const words[] = { "auto", "af-packet", "af-xdp", "ethdev" };
	enum uplink_driver driver = UPLINK_AUTO;

	for (unsigned int i = 0; i < ARRAY_SIZE(words); i++)
		if (obj_is(config, "driver", words[i]))
			driver = (enum uplink_driver)i;
	return uplink_open(uplink, obj_name(config), obj_str(config, "device"), driver, err);
}

int uplink_add(struct runtime *rt, const json_t *config, struct refusal *why)
{
	struct rt_port *port = port_new(rt, PORT_OF_UPLINK, config, why);
	struct err err = { 0 };
	int ret;

	if (port == NULL)
		return why->code;
	port->sw->port[port->idx].uplink = true;
	port->sw->port[port->idx].unknown_unicast = true;
	ret = open_device(&port->uplink, config, &err);
	if (ret < 0)
		refuse_err(why, "device", obj_str(config, "device"), &err);
	else
		ret = qos_check_uplink(rt, port, config, why);
	if (ret == 0)
		ret = dcb_change(rt, port, NULL, config, why);
	if (ret == 0)
		ret = policy_update(rt, port, config, why);
	if (ret == 0)
		ret = port_join(rt, port, PORT_UPLINK, uplink_endpoint(port->uplink));
	if (ret < 0)
		port_free(rt, port);
	else
		port_open(port);
	return ret;
}

int uplink_set(struct runtime *rt, struct rt_port *port, const json_t *config, struct refusal *why)
{
	int ret = qos_check_uplink(rt, port, config, why);

	if (ret == 0)
		ret = dcb_change(rt, port, port->config, config, why);
	if (ret < 0)
		return ret;
	port_vlans(port, config);
	port_config_set(port, config);
	return 0;
}

/* --- an interface that goes and comes --- */

static void close_device(struct runtime *rt, struct rt_port *port)
{
	port_leave(rt, port, PORT_UPLINK);
	uplink_close(port->uplink);
	port->uplink = NULL;
}

/* Takes the interface that has the name now. The lost one goes first: there may be memory for one alone. */
static int reopen(struct runtime *rt, struct rt_port *port, struct refusal *why)
{
	struct refusal no_pfc = REFUSAL_INIT;
	char line[REFUSAL_LINE_SIZE];
	struct err err = { 0 };

	close_device(rt, port);
	if (open_device(&port->uplink, port->config, &err) < 0)
		return refuse_err(why, NULL, NULL, &err);
	if (port_join(rt, port, PORT_UPLINK, uplink_endpoint(port->uplink)) < 0) {
		close_device(rt, port);
		return refuse(why, -ENOMEM, NULL, NULL, "out of memory");
	}
	if (dcb_set_device(port, NULL, port->config, &no_pfc) < 0)
		events_add(rt->events, "warning", "uplink", port->name, "%s",
			   refusal_line(&no_pfc, line, sizeof(line)));
	mirrors_reopen(rt, port);
	return 0;
}

static void say_problem(struct runtime *rt, struct rt_port *port, const char *reason)
{
	if (strcmp(port->lost, reason) == 0)
		return;
	text_put(port->lost, sizeof(port->lost), "%.299s", reason);
	log_warn("uplink", "'%s': %s", port->name, port->lost);
	events_add(rt->events, "warning", "uplink", port->name, "%s", port->lost);
}

static void come_back(struct runtime *rt, struct rt_port *port)
{
	const char *device = obj_str(port->config, "device");
	struct refusal why = REFUSAL_INIT;
	char line[REFUSAL_LINE_SIZE];

	if (reopen(rt, port, &why) < 0) {
		say_problem(rt, port, refusal_line(&why, line, sizeof(line)));
		return;
	}
	port->lost[0] = '\0';
	log_info("uplink", "'%s' runs again, by the new interface '%s'", port->name, device);
	events_add(rt->events, "changed", "uplink", port->name,
		   "runs again, by the new interface '%s'", device);
}

/* It is lost, and comes back when another one has its name. */
static void follow_lost(struct runtime *rt, struct rt_port *port, const char *device)
{
	char line[300];

	if (if_nametoindex(device) != 0) {
		come_back(rt, port);
		return;
	}
	text_put(
		line, sizeof(line),
		"the network interface '%.200s' is gone; the uplink comes back with the next one of this name",
		device);
	say_problem(rt, port, line);
}

static void follow_interface(struct runtime *rt, struct rt_port *port)
{
	const char *device = obj_str(port->config, "device");
	char line[300], name[IF_NAMESIZE];

	switch (port->uplink != NULL ? uplink_look(port->uplink, name) : UPLINK_LOST) {
	case UPLINK_LOST:
		follow_lost(rt, port, device);
		break;
	case UPLINK_RENAMED:
		text_put(
			line, sizeof(line),
			"the network interface '%.200s' is called '%s' now; the uplink goes on with it, until softiovd starts again",
			device, name);
		say_problem(rt, port, line);
		break;
	case UPLINK_THERE:
		if (port->lost[0] == '\0')
			break;
		port->lost[0] = '\0';
		log_info("uplink", "'%s': the network interface '%s' has its name again",
			 port->name, device);
		events_add(rt->events, "changed", "uplink", port->name,
			   "the network interface '%s' has its name again", device);
		break;
	}
}

void uplink_tick(struct runtime *rt, struct rt_port *port)
{
	struct uplink_info info;

	follow_interface(rt, port);
	uplink_info(port->uplink, &info);
	if (info.link_up != port->link_up)
		events_add(rt->events, "link", "uplink", port->name, "the link is %s",
			   info.link_up ? "up" : "down");
	port->link_up = info.link_up;
}
