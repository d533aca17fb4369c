/* SPDX-License-Identifier: BSD-3-Clause */
/* Policies of classification: from objects to what workers go by (src/switch/qos.h), and what they count.
 *
 * A switch has a list of them, in the order of their names; each vport gets those that may be for what it sends. Ones
 * that were removed stay in the list until the transaction has settled: their removal may be undone, and workers may
 * count there. */
#include <errno.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "daemon/runtime.h"
#include "model/object.h"
#include "model/qos.h"
#include "model/text.h"
#include "model/units.h"

#define POLICIES_MAX 64 /* of a switch: they are compared with each frame one after the other */

static struct rt_switch *switch_of(struct runtime *rt, const json_t *obj)
{
	const char *name = obj_name(obj);
	char text[136];

	text_put(text, sizeof(text), "%.*s", (int)(strchr(name, '/') - name), name);
	return runtime_switch(rt, text);
}

static struct rt_qos *find(const struct rt_switch *sw, const char *name)
{
	struct rt_qos *q;

	LIST_FOREACH(q, &sw->qos, next)
		if (strcmp(obj_name(q->config), name) == 0)
			return q;
	return NULL;
}

/* --- what is refused --- */

int qos_policies_agree(const struct runtime *rt, const struct rt_switch *sw, struct refusal *why)
{
	const struct rt_port *uplink = uplink_with_classes(rt, sw, NULL);
	const struct rt_qos *q, *with = NULL, *asking = NULL;
	unsigned int sum = 0, n = 0;

	LIST_FOREACH(q, &sw->qos, next) {
		unsigned int weight = (unsigned int)obj_uint(q->config, "min-weight");

		if (q->removed || weight == 0)
			continue;
		sum += weight;
		n++;
		with = q;
		if (q->asks)
			asking = q;
	}
	if (asking == NULL && (with == NULL || uplink == NULL || !uplink->asks_classes))
		return 0;
	if (asking == NULL) {
		refusal_about(why, "uplink", uplink->name);
		return refuse(
			why, -EINVAL, "prio-tc", obj_str(uplink->config, "prio-tc"),
			"qos-policy '%s' divides the link already (min-weight); give it a set-priority instead",
			obj_name(with->config));
	}
	refusal_about(why, "qos-policy", obj_name(asking->config));
	if (uplink != NULL)
		return refuse(
			why, -EINVAL, "min-weight", NULL,
			"uplink '%s' has classes of traffic (prio-tc), which divide the link; give the frames a "
			"class by set-priority, and min-weight 0",
			uplink->name);
	if (sum > 100)
		return refuse(
			why, -EINVAL, "min-weight", NULL,
			"the min-weights of the switch's policies would add up to %u %%, which is more than there is",
			sum);
	return n < SHARE_CLASSES ? 0
				 : refuse(why, -ENOSPC, "min-weight", NULL,
					  "%d policies of a switch may have one, and so many have",
					  SHARE_CLASSES - 1);
}

static int check(struct runtime *rt, const struct rt_switch *sw, const json_t *config,
		 struct refusal *why)
{
	uint64_t throttle = obj_uint(config, "throttle");
	const struct rt_port *vport = NULL;
	unsigned int n = 0;
	const struct rt_qos *q;
	char *rate;

	if (obj_has(config, "vport"))
		vport = runtime_port(rt, PORT_OF_VPORT, obj_str(config, "vport"));
	if (vport != NULL && vport->sw != sw)
		return refuse(why, -EINVAL, "vport", vport->name,
			      "it is on switch '%s', not on '%s', whose policy this is",
			      vport->sw->name, sw->name);
	if (throttle != 0 && throttle < BUCKET_RATE_MIN) {
		rate = units_format(UNITS_RATE, throttle);
		refuse_value(why, "throttle", rate, "0 for none, or a rate of at least %dkbit",
			     BUCKET_RATE_MIN / 1000);
		free(rate);
		return why->code;
	}
	LIST_FOREACH(q, &sw->qos, next)
		n += !q->removed && strcmp(obj_name(q->config), obj_name(config)) != 0;
	if (n >= POLICIES_MAX)
		return refuse(why, -ENOSPC, NULL, NULL, "a switch has %d policies at most",
			      POLICIES_MAX);
	return 0;
}

/* --- changes --- */

static void insert(struct rt_switch *sw, struct rt_qos *q)
{
	struct rt_qos *at = LIST_FIRST(&sw->qos), *next;

	if (at == NULL || strcmp(obj_name(q->config), obj_name(at->config)) < 0) {
		LIST_INSERT_HEAD(&sw->qos, q, next);
		return;
	}
	while ((next = LIST_NEXT(at, next)) != NULL &&
	       strcmp(obj_name(next->config), obj_name(q->config)) < 0)
		at = next;
	LIST_INSERT_AFTER(at, q, next);
}

static struct rt_qos *add(struct rt_switch *sw, const json_t *config)
{
	struct rt_qos *q = calloc(1, sizeof(*q));

	if (q != NULL)
		q->state = qos_state_new();
	if (q == NULL || q->state == NULL) {
		free(q);
		return NULL;
	}
	q->config = json_incref((json_t *)config);
	insert(sw, q);
	return q;
}

int qos_policy_change(struct runtime *rt, const json_t *old_obj, const json_t *new_obj,
		      struct refusal *why)
{
	const json_t *obj = old_obj != NULL ? old_obj : new_obj;
	struct rt_switch *sw = switch_of(rt, obj);
	struct rt_qos *q;
	int ret;

	if (sw == NULL)
		return new_obj == NULL
			       ? 0
			       : refuse(why, -ENOENT, NULL, NULL, "its switch does not run");
	q = find(sw, obj_name(obj));
	if (new_obj == NULL) {
		if (q != NULL)
			q->removed = true;
	} else {
		ret = check(rt, sw, new_obj, why);
		if (ret < 0)
			return ret;
		if (q == NULL)
			q = add(sw, new_obj);
		if (q == NULL)
			return refuse(why, -ENOMEM, NULL, NULL, "out of memory");
		q->asks |= rt->started && (q->removed || old_obj == NULL ||
					   obj_changed(old_obj, new_obj, "min-weight"));
		json_incref((json_t *)new_obj);
		json_decref(q->config);
		q->config = (json_t *)new_obj;
		q->removed = false;
	}
	sw->qos_changed = sw->changed = true;
	return 0;
}

/* --- what workers go by --- */

static struct classify_ports ports_of(const struct ports *ports)
{
	return (struct classify_ports){ ports->from, ports->to };
}

static void rule_of(const struct rt_qos *q, struct qos_rule *rule)
{
	struct qos_words w;

	qos_policy_read(q->config, &w);
	*rule = (struct qos_rule){
		.rest = w.rest,
		.sender = obj_has(q->config, "vport"),
		.source = w.source,
		.dest = w.dest,
		.protocol = (uint16_t)w.protocol,
		.sport = ports_of(&w.sport),
		.dport = ports_of(&w.dport),
		.port = ports_of(&w.port),
		.dscp = (int8_t)w.dscp,
		.priority = (int8_t)w.priority,
		.set_dscp = (int8_t)w.set_dscp,
		.set_priority = (int8_t)w.set_priority,
		.traffic_class = q->traffic_class,
		.precedence = (uint8_t)obj_uint(q->config, "precedence"),
		.state = q->state,
	};
}

int qos_policies_of(const struct rt_port *port, struct qos **qos)
{
	struct qos_rule rule[POLICIES_MAX];
	const struct rt_qos *q;
	unsigned int n = 0;

	*qos = NULL;
	if (port->kind != PORT_OF_VPORT)
		return 0;
	LIST_FOREACH(q, &port->sw->qos, next) {
		if (q->removed || (obj_has(q->config, "vport") &&
				   strcmp(obj_str(q->config, "vport"), port->name) != 0))
			continue;
		rule_of(q, &rule[n++]);
	}
	if (n == 0)
		return 0;
	*qos = qos_new(rule, n);
	return *qos == NULL ? -ENOMEM : 0;
}

void qos_policies_divide(const struct rt_switch *sw, struct share_classes *classes)
{
	uint64_t left = 100;
	struct rt_qos *q;

	*classes = (struct share_classes){ .n = 1 };
	LIST_FOREACH(q, &sw->qos, next) {
		uint64_t weight = q->removed ? 0 : obj_uint(q->config, "min-weight");

		/* Some may not have been there when `agree` was asked: they waited for their vport. */
		if (weight > left || classes->n == SHARE_CLASSES) {
			if (sw->qos_changed)
				log_warn("qos-policy",
					 "'%s': no room for its min-weight: it has none",
					 obj_name(q->config));
			weight = 0;
		}
		q->traffic_class = weight > 0 ? (uint8_t)classes->n++ : 0;
		if (weight > 0)
			classes->part[q->traffic_class] = weight * SHARE_WHOLE / 100;
		left -= weight;
	}
	classes->part[0] = left > 0 ? left * SHARE_WHOLE / 100 : 1;
}

static void throttles_follow(struct rt_switch *sw)
{
	struct rt_qos *q;

	LIST_FOREACH(q, &sw->qos, next) {
		uint64_t throttle = obj_uint(q->config, "throttle");

		if (throttle == q->throttle)
			continue;
		bucket_set(&q->state->throttle, throttle, 0, clock_ns());
		q->throttle = throttle;
	}
}

void qos_policies_follow(struct runtime *rt)
{
	struct share_classes classes;
	struct rt_switch *sw;
	struct rt_port *port;

	LIST_FOREACH(sw, &rt->switches, next) {
		if (!sw->qos_changed)
			continue;
		throttles_follow(sw);
		qos_policies_divide(sw, &classes);
	}
	LIST_FOREACH(port, &rt->ports, next) {
		if (port->removed || port->kind != PORT_OF_VPORT || !port->sw->qos_changed)
			continue;
		policy_follow(rt, port);
	}
	LIST_FOREACH(sw, &rt->switches, next)
		sw->qos_changed = false;
}

static void policy_free(struct rt_qos *q)
{
	json_decref(q->config);
	free(q->state);
	free(q);
}

void qos_policies_tidy(struct runtime *rt)
{
	struct rt_switch *sw;
	struct rt_qos *q, *next;

	LIST_FOREACH(sw, &rt->switches, next)
		for (q = LIST_FIRST(&sw->qos); q != NULL; q = next) {
			next = LIST_NEXT(q, next);
			q->asks = false;
			if (!q->removed)
				continue;
			LIST_REMOVE(q, next);
			policy_free(q);
		}
}

void qos_policies_free(struct rt_switch *sw)
{
	struct rt_qos *q;

	while ((q = LIST_FIRST(&sw->qos)) != NULL) {
		LIST_REMOVE(q, next);
		policy_free(q);
	}
}

/* --- status --- */

void qos_policy_fill(struct runtime *rt, const json_t *obj, json_t *out)
{
	const struct rt_switch *sw = switch_of(rt, obj);
	const struct rt_qos *q = sw != NULL ? find(sw, obj_name(obj)) : NULL;
	struct qos_counter sum;

	if (q == NULL)
		return;
	qos_count(q->state, &sum);
	json_object_set_new(out, "frames", json_integer((json_int_t)sum.frames));
	json_object_set_new(out, "bytes", json_integer((json_int_t)sum.bytes));
	json_object_set_new(out, "throttled", json_integer((json_int_t)sum.throttled));
}
