/* SPDX-License-Identifier: BSD-3-Clause */
/* Rates: from configuration to the ports' arbiters (src/switch/arbiter.h), and the division of the uplinks' link
 * between the vports of a switch (src/switch/share.h). */
#include <errno.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "daemon/runtime.h"
#include "model/object.h"
#include "model/units.h"

struct arbiter *qos_arbiter_new(void)
{
	struct arbiter *a = aligned_alloc(CACHE_LINE, sizeof(*a));

	if (a != NULL)
		memset(a, 0, sizeof(*a));
	return a;
}

/* A direction's words. */
static const struct {
	const char *min, *max, *weight, *verb;
} ways[QOS_WAYS] = { [QOS_TX] = { "min-tx", "max-tx", "weight", "sending" },
		     [QOS_RX] = { "min-rx", "max-rx", "weight-rx", "receiving" } };

static bool is_vport_of(const struct rt_port *port, const struct rt_switch *sw)
{
	return port->sw == sw && port->kind == PORT_OF_VPORT && !port->removed;
}

/* --- what is refused --- */

static int rate_check(const json_t *config, const char *field, struct refusal *why)
{
	uint64_t rate = obj_uint(config, field);
	char *value;
	int ret;

	if (rate == 0 || rate >= BUCKET_RATE_MIN)
		return 0;
	value = units_format(UNITS_RATE, rate);
	ret = refuse_value(why, field, value, "0 for none, or a rate of at least %dkbit",
			   BUCKET_RATE_MIN / 1000);
	free(value);
	return ret;
}

/* What the uplink carries; 0: it does not say. */
static uint64_t rate_of(const struct rt_port *uplink)
{
	uint64_t rate = obj_uint(uplink->config, "max-rate");
	struct uplink_info info;

	if (rate != 0)
		return rate;
	uplink_info(uplink->uplink, &info);
	return info.speed_bps;
}

/* What the switch's uplinks carry; 0: there is none that says. One that is down carries nothing, unless all are: then it
 * is what they will. */
static uint64_t link_rate(const struct runtime *rt, const struct rt_switch *sw)
{
	uint64_t of_all = 0, of_those_up = 0;
	const struct rt_port *port;
	bool any_up = false;

	LIST_FOREACH(port, &rt->ports, next) {
		struct uplink_info info;
		uint64_t rate;

		if (port->sw != sw || port->kind != PORT_OF_UPLINK || port->removed)
			continue;
		uplink_info(port->uplink, &info);
		rate = rate_of(port);
		of_all += rate;
		of_those_up += info.link_up ? rate : 0;
		any_up |= info.link_up;
	}
	return any_up ? of_those_up : of_all;
}

/* What the default flow is promised: there is a minimum of it for sending only. */
static uint64_t default_min(const struct rt_switch *sw, enum qos_way way)
{
	return way == QOS_TX ? obj_uint(sw->config, "default-min") : 0;
}

/* All that is promised. */
static uint64_t minima(const struct runtime *rt, const struct rt_switch *sw, enum qos_way way)
{
	uint64_t sum = default_min(sw, way);
	const struct rt_port *port;

	LIST_FOREACH(port, &rt->ports, next)
		if (is_vport_of(port, sw))
			sum += obj_uint(port->config, ways[way].min);
	return sum;
}

/* Whether the object asks for something that has to fit. What fitted once must not keep it from running, or from other
 * changes: links come and go. */
static bool asks(const struct runtime *rt, const json_t *was, const json_t *config,
		 const char *field)
{
	return rt->started && obj_uint(config, field) != 0 &&
	       (was == config || obj_changed(was, config, field));
}

static int agree(const struct runtime *rt, const struct rt_switch *sw, enum qos_way way,
		 struct refusal *why)
{
	const json_t *config = way == QOS_TX && sw->asks ? sw->config : NULL;
	const char *type = "switch", *field = "default-min";
	uint64_t sum = minima(rt, sw, way), link = link_rate(rt, sw);
	const struct rt_port *port;
	char *value, *needed, *all;

	LIST_FOREACH(port, &rt->ports, next) {
		if (port->sw != sw || port->removed || !port->asks[way])
			continue;
		config = port->config;
		type = port->kind == PORT_OF_UPLINK ? "uplink" : "vport";
		field = port->kind == PORT_OF_UPLINK ? "max-rate" : ways[way].min;
	}
	if (config == NULL || link == 0 || sum <= link)
		return 0;
	value = units_format(UNITS_RATE, obj_uint(config, field));
	needed = units_format(UNITS_RATE, sum);
	all = units_format(UNITS_RATE, link);
	refusal_about(why, type, obj_name(config));
	if (field == ways[way].min && obj_uint(config, field) > link)
		refuse_value(why, field, value,
			     "at most %s, which is all that the switch's uplinks carry", all);
	else
		refuse(why, -EINVAL, field, value,
		       "the minima for %s of the switch would add up to %s, and its uplinks carry "
		       "%s",
		       ways[way].verb, needed, all);
	free(value);
	free(needed);
	free(all);
	return why->code;
}

int qos_agree(struct runtime *rt, struct refusal *why)
{
	const struct rt_switch *sw;
	int ret = 0;

	LIST_FOREACH(sw, &rt->switches, next)
		if (ret == 0 && !sw->removed) {
			ret = agree(rt, sw, QOS_TX, why);
			if (ret == 0)
				ret = agree(rt, sw, QOS_RX, why);
			if (ret == 0)
				ret = dcb_agree(rt, sw, why);
			if (ret == 0)
				ret = qos_policies_agree(rt, sw, why);
		}
	return ret;
}

int qos_check(const struct runtime *rt, struct rt_port *port, const json_t *config,
	      struct refusal *why)
{
	for (enum qos_way way = 0; way < QOS_WAYS; way++) {
		const char *min_field = ways[way].min, *max_field = ways[way].max;
		uint64_t min = obj_uint(config, min_field), max = obj_uint(config, max_field);

		if (rate_check(config, max_field, why) < 0 ||
		    rate_check(config, min_field, why) < 0)
			return why->code;
		if (min != 0 && obj_uint(config, ways[way].weight) != 0)
			return refuse(
				why, -EINVAL, ways[way].weight, NULL,
				"a vport has a minimum in bits a second (%s) or a weight, not both",
				min_field);
		if (max != 0 && min > max)
			return refuse(why, -EINVAL, min_field, NULL, "the minimum is above %s",
				      max_field);
		port->asks[way] |= asks(rt, port->config, config, min_field);
	}
	return 0;
}

int qos_check_switch(const struct runtime *rt, struct rt_switch *sw, const json_t *config,
		     struct refusal *why)
{
	if (rate_check(config, "default-min", why) < 0)
		return why->code;
	sw->asks |= asks(rt, sw->config, config, "default-min");
	return 0;
}

int qos_check_uplink(const struct runtime *rt, struct rt_port *port, const json_t *config,
		     struct refusal *why)
{
	if (rate_check(config, "max-rate", why) < 0)
		return why->code;
	/* One more uplink makes nothing worse. */
	if (port->config != config)
		port->asks[QOS_TX] = port->asks[QOS_RX] |=
			asks(rt, port->config, config, "max-rate");
	return 0;
}

/* --- a vport's own rates --- */

void qos_join(struct runtime *rt, const struct rt_port *port, const struct endpoint *ep)
{
	struct arbiter *a = port->arbiter;
	bool limits = bucket_limits(&a->tx) || atomic_load(&a->member) != NULL;

	workers_limit(rt->workers, ep, limits ? a : NULL);
}

static void join_all(struct runtime *rt, const struct rt_port *port)
{
	for (unsigned int slot = 0; slot < PORT_ENDPOINTS; slot++) {
		const struct endpoint *ep = port->sw->port[port->idx].endpoint[slot];

		if (ep != NULL)
			qos_join(rt, port, ep);
	}
}

void qos_update(struct runtime *rt, struct rt_port *port)
{
	const json_t *was = port->live, *config = port->config;
	uint64_t burst = obj_uint(config, "burst"), now_ns = clock_ns();
	bool new_burst = obj_changed(was, config, "burst");

	if (new_burst || obj_changed(was, config, "max-tx"))
		bucket_set(&port->arbiter->tx, obj_uint(config, "max-tx"), burst, now_ns);
	if (new_burst || obj_changed(was, config, "max-rx"))
		bucket_set(&port->arbiter->rx, obj_uint(config, "max-rx"), burst, now_ns);
	join_all(rt, port);
}

/* --- the division of the link --- */

/* Parts of the link in a direction. Minima come first, weights divide what these leave. */
struct parts {
	enum qos_way way;
	uint64_t rate;            /* of the link; 0: it is not divided */
	unsigned int n_own;       /* who have one of their own; all others are the default flow */
	uint64_t default_min;     /* which has this, or a weight */
	uint64_t minima, weights; /* sums, the default flow's included */
};

/* What is to be divided. */
struct division {
	struct parts way[QOS_WAYS];
	struct share_classes classes;
	struct uplink_shares shares;
};

static bool has_own(const struct parts *parts, const struct rt_port *port)
{
	return obj_uint(port->config, ways[parts->way].min) != 0 ||
	       obj_uint(port->config, ways[parts->way].weight) != 0;
}

static void parts_of(const struct runtime *rt, const struct rt_switch *sw, enum qos_way way,
		     struct parts *parts)
{
	const struct rt_port *port;

	*parts = (struct parts){ .way = way, .default_min = default_min(sw, way) };
	parts->minima = minima(rt, sw, way);
	if (parts->default_min == 0)
		parts->weights = obj_uint(sw->config, "default-weight");
	LIST_FOREACH(port, &rt->ports, next) {
		if (!is_vport_of(port, sw) || !has_own(parts, port))
			continue;
		parts->n_own++;
		parts->weights += obj_uint(port->config, ways[way].weight);
	}
}

static void division_of(const struct runtime *rt, const struct rt_switch *sw, struct division *d)
{
	struct parts *tx = &d->way[QOS_TX], *rx = &d->way[QOS_RX];
	const struct rt_port *port;
	bool wanted;

	d->classes = (struct share_classes){ 0 };
	d->shares = (struct uplink_shares){ 0 };
	d->shares.by_priority = dcb_divide(rt, sw, &d->classes, d->shares.class_of);
	if (!d->shares.by_priority)
		qos_policies_divide(sw, &d->classes);
	parts_of(rt, sw, QOS_TX, tx);
	parts_of(rt, sw, QOS_RX, rx);
	wanted = tx->n_own > 0 || tx->default_min != 0 || d->classes.n > 1;
	LIST_FOREACH(port, &rt->ports, next)
		if (port->sw == sw && port->kind == PORT_OF_UPLINK && !port->removed)
			wanted |= obj_uint(port->config, "max-rate") != 0;
	if (wanted)
		tx->rate = link_rate(rt, sw);
	if (rx->n_own > 0)
		rx->rate = link_rate(rt, sw);
}

/* All that the division follows from; NULL: nothing is divided. */
static json_t *describe(const struct runtime *rt, const struct rt_switch *sw,
			const struct division *d)
{
	const struct parts *tx = &d->way[QOS_TX], *rx = &d->way[QOS_RX];
	const struct rt_port *port;
	json_t *classes, *ports;

	if (tx->rate == 0 && rx->rate == 0)
		return NULL;
	classes = json_array();
	ports = json_array();
	for (unsigned int c = 0; c < SHARE_CLASSES; c++)
		json_array_append_new(classes, json_pack("[I, i]", (json_int_t)d->classes.part[c],
							 d->shares.class_of[c]));
	/* One of the same name that takes another's place is another one: so it is told by its serial number. */
	LIST_FOREACH(port, &rt->ports, next)
		if (is_vport_of(port, sw))
			json_array_append_new(
				ports, json_pack("[s, I, I, I, I, I]", port->name,
						 (json_int_t)port->serial,
						 (json_int_t)obj_uint(port->config, "min-tx"),
						 (json_int_t)obj_uint(port->config, "weight"),
						 (json_int_t)obj_uint(port->config, "min-rx"),
						 (json_int_t)obj_uint(port->config, "weight-rx")));
		else if (port->sw == sw && !port->removed)
			json_array_append_new(ports, json_string(port->name));
	return json_pack("[I, I, I, I, i, i, b, o, o]", (json_int_t)tx->rate, (json_int_t)rx->rate,
			 (json_int_t)tx->default_min,
			 (json_int_t)obj_uint(sw->config, "default-weight"), (int)d->classes.n,
			 d->classes.strict, d->shares.by_priority, classes, ports);
}

/* Of SHARE_WHOLE. Minima that are more than the link carries are kept in proportion. */
static uint64_t part_of(const struct parts *parts, uint64_t min, uint64_t weight)
{
	uint64_t whole = parts->minima > parts->rate ? parts->minima : parts->rate;
	double left = (double)(whole - parts->minima);
	double rate = min != 0 ? (double)min : left * (double)weight / (double)parts->weights;
	uint64_t part = (uint64_t)(rate / (double)whole * SHARE_WHOLE);

	return part > 0 ? part : 1;
}

static uint64_t part_of_port(const struct parts *parts, const struct rt_port *port)
{
	return part_of(parts, obj_uint(port->config, ways[parts->way].min),
		       obj_uint(port->config, ways[parts->way].weight));
}

static uint64_t part_of_default(const struct parts *parts, const struct rt_switch *sw)
{
	return part_of(parts, parts->default_min, obj_uint(sw->config, "default-weight"));
}

static void members_set(struct runtime *rt, struct rt_switch *sw, const struct parts *parts)
{
	struct share *share = sw->share;
	struct rt_port *port;
	unsigned int n = 1;

	if (share != NULL)
		share_set(share, 0, part_of_default(parts, sw));
	LIST_FOREACH(port, &rt->ports, next) {
		struct share_member *m = share != NULL ? &share->member[0] : NULL;

		if (!is_vport_of(port, sw))
			continue;
		if (share != NULL && has_own(parts, port))
			m = share_set(share, n++, part_of_port(parts, port));
		atomic_store_explicit(&port->arbiter->member, m, memory_order_release);
		join_all(rt, port);
	}
}

/* The members: the default flow, and those with parts of their own in the order of the ports. */
static void receivers_set(struct runtime *rt, struct rt_switch *sw, const struct parts *parts)
{
	struct intake *in = sw->intake;
	struct rt_port *port;
	unsigned int n = 1;

	if (in != NULL)
		intake_set(in, 0, part_of_default(parts, sw));
	LIST_FOREACH(port, &rt->ports, next)
		if (in != NULL && is_vport_of(port, sw) && has_own(parts, port))
			intake_set(in, n++, part_of_port(parts, port));
	/* From here on workers may divide it. */
	n = 1;
	LIST_FOREACH(port, &rt->ports, next) {
		struct intake_member *m = NULL;

		if (port->sw != sw || port->kind != PORT_OF_VPORT)
			continue;
		if (in != NULL && !port->removed)
			m = &in->member[has_own(parts, port) ? n++ : 0];
		atomic_store_explicit(&port->arbiter->intake, m, memory_order_release);
		if (!port->removed && !policy_police(rt, port, in != NULL))
			sw->divide = true;
	}
}

/* What comes in. */
static void divide_intake(struct runtime *rt, struct rt_switch *sw, const struct parts *parts)
{
	struct intake *old = sw->intake, *in = NULL;

	if (parts->rate != 0) {
		in = intake_new(parts->rate, 1 + parts->n_own, old, clock_ns());
		if (in == NULL) {
			log_err("switch", "'%s': no memory to divide what comes in anew", sw->name);
			sw->divide = true;
			return;
		}
	}
	sw->intake = in;
	receivers_set(rt, sw, parts);
	if (old == NULL)
		return;
	worker_quiesce(rt->workers);
	free(old);
}

static void divide(struct runtime *rt, struct rt_switch *sw, const struct division *d)
{
	const struct parts *tx = &d->way[QOS_TX];
	struct share *old = sw->share, *share = NULL;
	struct rt_port *port;

	if (old == NULL && tx->rate == 0)
		return;
	if (tx->rate != 0) {
		share = share_new(tx->rate, &d->classes, 1 + tx->n_own, clock_ns());
		if (share == NULL) {
			log_err("switch", "'%s': no memory to divide its link anew", sw->name);
			sw->divide = true;
			return;
		}
	}
	sw->share = share;
	members_set(rt, sw, tx);
	LIST_FOREACH(port, &rt->ports, next)
		if (port->sw == sw && port->kind == PORT_OF_UPLINK && !port->removed &&
		    !policy_share(rt, port, share != NULL ? &d->shares : NULL))
			sw->divide = true;
	/* Removed vports' queues may still be served. */
	LIST_FOREACH(port, &rt->ports, next)
		if (port->sw == sw && port->removed)
			atomic_store_explicit(&port->arbiter->member, NULL, memory_order_release);
	worker_quiesce(rt->workers);
	free(old);
}

void qos_follow(struct runtime *rt)
{
	struct rt_switch *sw;
	struct division d;
	json_t *divided;

	LIST_FOREACH(sw, &rt->switches, next) {
		division_of(rt, sw, &d);
		divided = describe(rt, sw, &d);
		if (!sw->divide && (divided == sw->divided || json_equal(divided, sw->divided))) {
			json_decref(divided);
			continue;
		}
		json_decref(sw->divided);
		sw->divided = divided;
		sw->divide = false;
		divide(rt, sw, &d);
		divide_intake(rt, sw, &d.way[QOS_RX]);
	}
}

void qos_settled(struct runtime *rt)
{
	struct rt_switch *sw;
	struct rt_port *port;

	LIST_FOREACH(sw, &rt->switches, next)
		sw->asks = false;
	LIST_FOREACH(port, &rt->ports, next)
		port->asks[QOS_TX] = port->asks[QOS_RX] = port->asks_classes = false;
	qos_follow(rt);
}
