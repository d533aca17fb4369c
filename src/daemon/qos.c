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

/* What the switch's uplinks carry; 0: there is none that says. */
static uint64_t link_rate(const struct runtime *rt, const struct rt_switch *sw)
{
	const struct rt_port *port;
	uint64_t rate = 0;

	LIST_FOREACH(port, &rt->ports, next)
		if (port->sw == sw && port->kind == PORT_OF_UPLINK && !port->removed &&
		    port->uplink != NULL)
			rate += rate_of(port);
	return rate;
}

/* All that is promised of a direction, by min-tx or min-rx. */
static uint64_t minima(const struct runtime *rt, const struct rt_switch *sw, const char *field)
{
	bool sends = strcmp(field, "min-tx") == 0;
	uint64_t sum = sends ? obj_uint(sw->config, "default-min") : 0;
	const struct rt_port *port;

	LIST_FOREACH(port, &rt->ports, next)
		if (is_vport_of(port, sw))
			sum += obj_uint(port->config, field);
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

/* `min`: min-tx or min-rx. */
static int agree(const struct runtime *rt, const struct rt_switch *sw, const char *min,
		 struct refusal *why)
{
	bool sends = strcmp(min, "min-tx") == 0;
	const json_t *config = sends && sw->asks ? sw->config : NULL;
	const char *type = "switch", *field = "default-min";
	uint64_t sum = minima(rt, sw, min), link = link_rate(rt, sw);
	const struct rt_port *port;
	char *value, *needed, *all;

	LIST_FOREACH(port, &rt->ports, next) {
		if (port->sw != sw || port->removed || !port->asks)
			continue;
		config = port->config;
		type = port->kind == PORT_OF_UPLINK ? "uplink" : "vport";
		field = port->kind == PORT_OF_UPLINK ? "max-rate" : min;
	}
	if (config == NULL || link == 0 || sum <= link)
		return 0;
	value = units_format(UNITS_RATE, obj_uint(config, field));
	needed = units_format(UNITS_RATE, sum);
	all = units_format(UNITS_RATE, link);
	refusal_about(why, type, obj_name(config));
	if (field == min && obj_uint(config, field) > link)
		refuse_value(why, field, value,
			     "at most %s, which is all that the switch's uplinks carry", all);
	else
		refuse(why, -EINVAL, field, value,
		       "the minima of the switch would add up to %s, and its uplinks carry %s",
		       needed, all);
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
			ret = agree(rt, sw, "min-tx", why);
			if (ret == 0)
				ret = agree(rt, sw, "min-rx", why);
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
	static const char *const rates[] = { "max-tx", "max-rx", "min-tx", "min-rx" };
	static const struct {
		const char *min, *max, *weight;
	} ways[] = { { "min-tx", "max-tx", "weight" }, { "min-rx", "max-rx", "weight-rx" } };

	for (unsigned int i = 0; i < ARRAY_SIZE(rates); i++)
		if (rate_check(config, rates[i], why) < 0)
			return why->code;
	for (unsigned int i = 0; i < ARRAY_SIZE(ways); i++) {
		uint64_t min = obj_uint(config, ways[i].min), max = obj_uint(config, ways[i].max);

		if (min != 0 && obj_uint(config, ways[i].weight) != 0)
			return refuse(
				why, -EINVAL, ways[i].weight, NULL,
				"a vport has a minimum in bits a second (%s) or a weight, not both",
				ways[i].min);
		if (max != 0 && min > max)
			return refuse(why, -EINVAL, ways[i].min, NULL, "the minimum is above %s",
				      ways[i].max);
		port->asks |= asks(rt, port->config, config, ways[i].min);
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
		port->asks |= asks(rt, port->config, config, "max-rate");
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
	uint64_t rate; /* of the link; 0: it is not divided */
	const char *min, *weight;
	unsigned int n_own;       /* who have one of their own; all others are the default flow */
	uint64_t default_min;     /* which has this, or a weight */
	uint64_t minima, weights; /* sums, the default flow's included */
};

/* What is to be divided. */
struct division {
	uint64_t link; /* its rate; 0: nothing is */
	struct parts tx, rx;
	struct share_classes classes;
	struct uplink_shares shares;
};

static bool has_own(const struct parts *parts, const struct rt_port *port)
{
	return obj_uint(port->config, parts->min) != 0 ||
	       obj_uint(port->config, parts->weight) != 0;
}

static void parts_of(const struct runtime *rt, const struct rt_switch *sw, struct parts *parts)
{
	const struct rt_port *port;

	parts->minima = parts->default_min;
	if (parts->default_min == 0)
		parts->weights = obj_uint(sw->config, "default-weight");
	LIST_FOREACH(port, &rt->ports, next) {
		if (!is_vport_of(port, sw) || !has_own(parts, port))
			continue;
		parts->n_own++;
		parts->minima += obj_uint(port->config, parts->min);
		parts->weights += obj_uint(port->config, parts->weight);
	}
}

static void division_of(const struct runtime *rt, const struct rt_switch *sw, struct division *d)
{
	const struct rt_port *port;
	bool wanted;

	*d = (struct division){ .tx = { .min = "min-tx",
					.weight = "weight",
					.default_min = obj_uint(sw->config, "default-min") },
				.rx = { .min = "min-rx", .weight = "weight-rx" } };
	d->shares.by_priority = dcb_divide(rt, sw, &d->classes, d->shares.class_of);
	if (!d->shares.by_priority)
		qos_policies_divide(sw, &d->classes);
	parts_of(rt, sw, &d->tx);
	parts_of(rt, sw, &d->rx);
	wanted = d->tx.n_own > 0 || d->tx.default_min != 0 || d->classes.n > 1;
	LIST_FOREACH(port, &rt->ports, next)
		if (port->sw == sw && port->kind == PORT_OF_UPLINK && !port->removed)
			wanted |= obj_uint(port->config, "max-rate") != 0;
	if (wanted)
		d->link = d->tx.rate = link_rate(rt, sw);
	if (d->rx.n_own > 0)
		d->link = d->rx.rate = link_rate(rt, sw);
}

static uint64_t part_of(const struct parts *parts, uint64_t min, uint64_t weight)
{
	double left = parts->minima < parts->rate ? (double)(parts->rate - parts->minima) : 0;
	double rate = min != 0 ? (double)min : left * (double)weight / (double)parts->weights;
	uint64_t part = (uint64_t)(rate / (double)parts->rate * SHARE_WHOLE);

	return part > 0 ? part : 1;
}

static uint64_t part_of_port(const struct parts *parts, const struct rt_port *port)
{
	return part_of(parts, obj_uint(port->config, parts->min),
		       obj_uint(port->config, parts->weight));
}

static uint64_t part_of_default(const struct parts *parts, const struct rt_switch *sw)
{
	return part_of(parts, parts->default_min, obj_uint(sw->config, "default-weight"));
}

static void members_set(struct runtime *rt, struct rt_switch *sw, const struct division *d)
{
	struct share *share = sw->share;
	struct rt_port *port;
	unsigned int n = 1;

	if (share != NULL)
		share_set(share, 0, part_of_default(&d->tx, sw));
	LIST_FOREACH(port, &rt->ports, next) {
		struct share_member *m = share != NULL ? &share->member[0] : NULL;

		if (!is_vport_of(port, sw))
			continue;
		if (share != NULL && has_own(&d->tx, port))
			m = share_set(share, n++, part_of_port(&d->tx, port));
		atomic_store_explicit(&port->arbiter->member, m, memory_order_release);
		join_all(rt, port);
	}
}

/* What comes in. */
static void divide_intake(struct runtime *rt, struct rt_switch *sw, const struct parts *parts)
{
	struct intake *old = sw->intake, *in = NULL;
	uint64_t now_ns = clock_ns();
	struct rt_port *port;
	unsigned int n = 1;

	if (old == NULL && parts->rate == 0)
		return;
	if (parts->rate != 0) {
		in = intake_new(parts->rate, 1 + parts->n_own, now_ns);
		if (in == NULL) {
			log_err("switch", "'%s': no memory to divide what comes in anew", sw->name);
			sw->divide = true;
			return;
		}
		intake_set(in, 0, part_of_default(parts, sw), now_ns);
	}
	sw->intake = in;
	LIST_FOREACH(port, &rt->ports, next) {
		struct intake_member *m = in != NULL ? &in->member[0] : NULL;

		if (port->sw != sw || port->kind != PORT_OF_VPORT)
			continue;
		if (port->removed)
			m = NULL;
		else if (in != NULL && has_own(parts, port))
			m = intake_set(in, n++, part_of_port(parts, port), now_ns);
		atomic_store_explicit(&port->arbiter->intake, m, memory_order_release);
		if (!port->removed && !policy_police(rt, port, in != NULL))
			sw->divide = true;
	}
	worker_quiesce(rt->workers);
	free(old);
}

static void divide(struct runtime *rt, struct rt_switch *sw, const struct division *d)
{
	struct share *old = sw->share, *share = NULL;
	struct rt_port *port;

	if (old == NULL && d->tx.rate == 0)
		return;
	if (d->tx.rate != 0) {
		share = share_new(d->tx.rate, &d->classes, 1 + d->tx.n_own, clock_ns());
		if (share == NULL) {
			log_err("switch", "'%s': no memory to divide its link anew", sw->name);
			sw->divide = true;
			return;
		}
	}
	sw->share = share;
	members_set(rt, sw, d);
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

	LIST_FOREACH(sw, &rt->switches, next) {
		division_of(rt, sw, &d);
		if (!sw->divide && d.link == sw->divided_rate)
			continue;
		sw->divide = false;
		sw->divided_rate = d.link;
		divide(rt, sw, &d);
		divide_intake(rt, sw, &d.rx);
	}
}

void qos_settled(struct runtime *rt)
{
	struct rt_switch *sw;
	struct rt_port *port;

	LIST_FOREACH(sw, &rt->switches, next)
		sw->asks = false;
	LIST_FOREACH(port, &rt->ports, next)
		port->asks = port->asks_classes = false;
	qos_follow(rt);
}
