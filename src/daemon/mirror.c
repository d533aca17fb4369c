/* SPDX-License-Identifier: BSD-3-Clause */
/* Mirrors: from their configuration to taps at the ports that they look at (src/switch/mirror.h). */
#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>

#include "bpf/filter.h"
#include "daemon/runtime.h"
#include "model/object.h"
#include "switch/mirror.h"

struct rt_mirror {
	LIST_ENTRY(rt_mirror) next;
	json_t *config;
	struct mirror *mirror;
	struct bpf_filter *filter;
	const struct rt_port *to;
	bool removed; /* to be freed when the transaction settles */
};

static bool owned(const void *owner, const struct tap *tap)
{
	return mirror_owns(owner, tap);
}

/* Whether it looks at the port: at the named ones, or at all but where its frames go. */
static bool covers(const struct rt_mirror *m, const struct rt_port *port)
{
	if (m->removed || port->removed || port == m->to ||
	    strcmp(obj_str(m->config, "switch"), port->sw->name) != 0)
		return false;
	return !ports_named(m->config) || port_is_named(m->config, port);
}

void mirrors_follow(struct runtime *rt)
{
	struct rt_mirror *m;
	struct rt_port *port;

	LIST_FOREACH(m, &rt->mirrors, next) {
		LIST_FOREACH(port, &rt->ports, next) {
			struct tap *tap;

			if (!covers(m, port) || taps_any(port, owned, m->mirror))
				continue;
			tap = mirror_tap(m->mirror);
			if (tap != NULL)
				taps_add(port, tap);
			else
				events_add(rt->events, "warning", "mirror", obj_name(m->config),
					   "no memory to look at '%s'", port->name);
		}
	}
}

/* The port that frames go to, and what it must be. */
static const struct rt_port *find_target(struct runtime *rt, const json_t *config,
					 struct refusal *why)
{
	bool to_vport = obj_has(config, "to-vport"), to_uplink = obj_has(config, "to-uplink");
	const char *field = to_vport ? "to-vport" : "to-uplink";
	const struct rt_port *to = NULL;

	if (to_vport == to_uplink) {
		refuse(why, -EINVAL, to_vport ? "to-uplink" : "to-vport", NULL,
		       "say where the frames go: to-vport NAME or to-uplink NAME, %s",
		       to_vport ? "not both" : "one of them");
		return NULL;
	}
	to = runtime_port(rt, to_vport ? PORT_OF_VPORT : PORT_OF_UPLINK, obj_str(config, field));
	if (to == NULL)
		refuse(why, -ENOENT, field, obj_str(config, field), "it does not run");
	else if (strcmp(to->sw->name, obj_str(config, "switch")) != 0)
		refuse(why, -EINVAL, field, obj_str(config, field),
		       "it is on the switch '%s', and the mirror on '%s'", to->sw->name,
		       obj_str(config, "switch"));
	else if (port_is_named(config, to))
		refuse(why, -ELOOP, field, obj_str(config, field),
		       "a port's frames cannot be mirrored to itself; name another one");
	else
		return to;
	return NULL;
}

static int address(const json_t *config, const char *field, uint8_t ip[16], bool *v6,
		   struct refusal *why)
{
	const char *text = obj_has(config, field) ? obj_str(config, field) : "";

	if (text[0] == '\0')
		return refuse(why, -EINVAL, field, NULL, "a collector needs it: an IP address");
	*v6 = strchr(text, ':') != NULL;
	if (inet_pton(*v6 ? AF_INET6 : AF_INET, text, ip) != 1)
		return refuse_value(why, field, text, "an IP address, as 192.0.2.1 or 2001:db8::1");
	return 0;
}

/* Where encapsulated frames go. */
static int tunnel_of(const json_t *config, const struct rt_mirror *m, struct mirror_config *c,
		     struct refusal *why)
{
	struct uplink_info info;
	bool from_v6 = false;
	int ret;

	if (!obj_has(config, "collector"))
		return 0;
	if (m->to->kind != PORT_OF_UPLINK)
		return refuse(why, -EINVAL, "collector", obj_str(config, "collector"),
			      "a collector is reached by an uplink (to-uplink NAME)");
	if (!obj_has(config, "next-hop"))
		return refuse(
			why, -EINVAL, "next-hop", NULL,
			"a collector needs it: the MAC address of the collector, or of the router to it");
	ret = address(config, "collector", c->collector_ip, &c->v6, why);
	if (ret == 0)
		ret = address(config, "source", c->source_ip, &from_v6, why);
	if (ret == 0 && c->v6 != from_v6)
		ret = refuse(why, -EINVAL, "source", obj_str(config, "source"),
			     "it is an IPv%c address, and the collector's is IPv%c",
			     from_v6 ? '6' : '4', c->v6 ? '6' : '4');
	if (ret < 0)
		return ret;
	c->tunnel = obj_is(config, "encapsulation", "gre") ? MIRROR_GRE : MIRROR_ERSPAN;
	c->session = (uint16_t)obj_uint(config, "session");
	obj_mac(config, "next-hop", c->next_hop);
	uplink_info(m->to->uplink, &info);
	if (info.driver == NULL)
		return refuse(why, -ENODEV, "to-uplink", m->to->name, "it has no device now: %s",
			      m->to->lost);
	mac_store(c->source_mac, info.mac);
	c->size_max = info.max_frame;
	return 0;
}

/* All of it but its taps. */
static int build(struct runtime *rt, const json_t *config, struct rt_mirror *m, struct refusal *why)
{
	static const char *const drops[] = { "no", "too", "only" };
	const char *filter = obj_str(config, "filter");
	struct mirror_config c = { .from = !obj_is(config, "direction", "in"),
				   .to = !obj_is(config, "direction", "out"),
				   .vlan = (uint16_t)obj_uint(config, "vlan"),
				   .snaplen = (uint32_t)obj_uint(config, "snaplen") };
	struct err err = { 0 };
	int ret;

	m->to = find_target(rt, config, why);
	if (m->to == NULL)
		return why->code;
	ret = ports_on_switch(rt, config, "vport", PORT_OF_VPORT, why);
	if (ret == 0)
		ret = ports_on_switch(rt, config, "uplink", PORT_OF_UPLINK, why);
	if (ret == 0)
		ret = tunnel_of(config, m, &c, why);
	if (ret < 0)
		return ret;
	if (c.vlan != 0 && m->to->kind != PORT_OF_UPLINK)
		return refuse(why, -EINVAL, "vlan", NULL,
			      "frames to a vport keep their VLANs; it is for to-uplink");
	if (c.vlan == 0 && c.tunnel == MIRROR_PLAIN && m->to->kind == PORT_OF_UPLINK &&
	    !obj_is(config, "drops", "no"))
		return refuse(
			why, -EINVAL, "drops", obj_str(config, "drops"),
			"what was dropped would leave in VLANs that its sender may not be in; give the "
			"mirror a `vlan` of its own, or a `collector`");
	if (filter[0] != '\0' && bpf_filter_new(&m->filter, filter, &err) < 0)
		return refuse_err(why, "filter", NULL, &err);
	c.to_port = (uint16_t)m->to->idx;
	for (unsigned int i = 0; i < ARRAY_SIZE(drops); i++)
		if (obj_is(config, "drops", drops[i]))
			c.drops = (enum mirror_drops)i;
	c.filter = m->filter != NULL ? &m->filter->tap : NULL;
	m->mirror = mirror_new(&c);
	if (m->mirror == NULL)
		return refuse(why, -ENOMEM, NULL, NULL, "out of memory");
	m->config = json_incref((json_t *)config);
	return 0;
}

static void mirror_gone(struct runtime *rt, struct rt_mirror *m)
{
	if (m->mirror != NULL)
		taps_remove(rt, owned, m->mirror);
	mirror_free(m->mirror);
	bpf_filter_free(m->filter);
	json_decref(m->config);
	free(m);
}

static struct rt_mirror *find(struct runtime *rt, const char *name)
{
	struct rt_mirror *m;

	LIST_FOREACH(m, &rt->mirrors, next)
		if (!m->removed && strcmp(obj_name(m->config), name) == 0)
			return m;
	return NULL;
}

/* A removed one that this object describes exactly: the removal is being undone. */
static bool revive(struct runtime *rt, const json_t *config)
{
	struct rt_mirror *m;

	LIST_FOREACH(m, &rt->mirrors, next) {
		if (!m->removed || !json_equal(m->config, config))
			continue;
		m->removed = false;
		return true;
	}
	return false;
}

int mirror_change(struct runtime *rt, const json_t *old_obj, const json_t *new_obj,
		  struct refusal *why)
{
	/* Also one that could not be undone, and is tried again. */
	struct rt_mirror *old = find(rt, obj_name(old_obj != NULL ? old_obj : new_obj)), *m;
	int ret;

	if (new_obj != NULL && !revive(rt, new_obj)) {
		m = calloc(1, sizeof(*m));
		if (m == NULL)
			return refuse(why, -ENOMEM, NULL, NULL, "out of memory");
		ret = build(rt, new_obj, m, why);
		if (ret < 0) {
			mirror_gone(rt, m);
			return ret;
		}
		LIST_INSERT_HEAD(&rt->mirrors, m, next);
	}
	if (old != NULL)
		old->removed = true;
	return 0;
}

void mirrors_reopen(struct runtime *rt, const struct rt_port *uplink)
{
	struct uplink_info info;
	struct rt_mirror *m;

	uplink_info(uplink->uplink, &info);
	LIST_FOREACH(m, &rt->mirrors, next)
		if (m->to == uplink)
			mirror_move(m->mirror, info.mac, info.max_frame);
}

void mirrors_free_removed(struct runtime *rt)
{
	struct rt_mirror *m, *next;

	for (m = LIST_FIRST(&rt->mirrors); m != NULL; m = next) {
		next = LIST_NEXT(m, next);
		if (!m->removed)
			continue;
		LIST_REMOVE(m, next);
		mirror_gone(rt, m);
	}
}

void mirror_status(struct runtime *rt, const json_t *obj, json_t *out)
{
	const struct rt_mirror *m = find(rt, obj_name(obj));
	struct mirror_stats s;

	if (m == NULL)
		return;
	mirror_stats(m->mirror, &s);
	json_object_set_new(out, "frames", json_integer((json_int_t)s.frames));
	json_object_set_new(out, "bytes", json_integer((json_int_t)s.bytes));
}

void mirrors_free(struct runtime *rt)
{
	struct rt_mirror *m;

	while ((m = LIST_FIRST(&rt->mirrors)) != NULL) {
		LIST_REMOVE(m, next);
		mirror_gone(rt, m);
	}
}
