/* SPDX-License-Identifier: BSD-3-Clause */
#include "switch/qos.h"

#include <stdlib.h>

#include "base/clock.h"
#include "switch/policy.h"

/* --- control --- */

static bool any_ports(const struct classify_ports *ports)
{
	return ports->from == 0 && ports->to == 65535;
}

static bool has_ports(const struct qos_rule *rule)
{
	return !any_ports(&rule->sport) || !any_ports(&rule->dport) || !any_ports(&rule->port);
}

static bool is_of_ip(const struct qos_rule *rule)
{
	return rule->source.kind != PREFIX_ANY || rule->dest.kind != PREFIX_ANY ||
	       rule->protocol != CLASSIFY_PROTOCOL_ANY || has_ports(rule) || rule->dscp != QOS_ANY;
}

static unsigned int specific(const struct prefix *prefix)
{
	return prefix->kind == PREFIX_ANY ? 0 : prefix->bits + 1u;
}

static unsigned int n_ports(const struct qos_rule *rule)
{
	return (unsigned int)(rule->sport.to - rule->sport.from) +
	       (unsigned int)(rule->dport.to - rule->dport.from) +
	       (unsigned int)(rule->port.to - rule->port.from);
}

static int higher_first(unsigned int a, unsigned int b)
{
	return (a < b) - (a > b);
}

static int compare(const struct qos_rule *a, const struct qos_rule *b)
{
	int order = higher_first(b->rest, a->rest);

	if (order == 0)
		order = higher_first(a->precedence, b->precedence);
	if (order == 0)
		order = higher_first(a->sender, b->sender);
	if (order == 0)
		order = higher_first(specific(&a->dest), specific(&b->dest));
	if (order == 0)
		order = higher_first(specific(&a->source), specific(&b->source));
	if (order == 0)
		order = higher_first(n_ports(b), n_ports(a));
	if (order == 0)
		order = higher_first(a->protocol != CLASSIFY_PROTOCOL_ANY,
				     b->protocol != CLASSIFY_PROTOCOL_ANY);
	if (order == 0)
		order = higher_first(a->dscp != QOS_ANY, b->dscp != QOS_ANY);
	return order != 0 ? order : higher_first(a->priority != QOS_ANY, b->priority != QOS_ANY);
}

struct qos *qos_new(const struct qos_rule *rule, unsigned int n)
{
	struct qos *qos = calloc(1, sizeof(*qos) + n * sizeof(*rule));

	if (qos == NULL)
		return NULL;
	/* Few, and which of two alike comes first shall not change: so by insertion. */
	for (unsigned int i = 0; i < n; i++) {
		unsigned int at = qos->n++;

		for (; at > 0 && compare(&rule[i], &qos->rule[at - 1]) < 0; at--)
			qos->rule[at] = qos->rule[at - 1];
		qos->rule[at] = rule[i];
		qos->rule[at].of_ip = is_of_ip(&rule[i]);
		qos->rule[at].of_ports = has_ports(&rule[i]);
		qos->looks_at_ip |= qos->rule[at].of_ip || rule[i].set_dscp != QOS_ANY;
	}
	return qos;
}

struct qos_state *qos_state_new(void)
{
	struct qos_state *state = aligned_alloc(CACHE_LINE, sizeof(*state));

	if (state != NULL)
		memset(state, 0, sizeof(*state));
	return state;
}

void qos_count(const struct qos_state *state, struct qos_counter *sum)
{
	*sum = (struct qos_counter){ 0 };
	for (unsigned int i = 0; i < STATS_SLOTS; i++) {
		sum->frames += state->of[i].frames;
		sum->bytes += state->of[i].bytes;
		sum->throttled += state->of[i].throttled;
	}
}

/* --- workers: conditions --- */

static bool in_range(const struct classify_ports *ports, uint16_t port)
{
	return port >= ports->from && port <= ports->to;
}

/* Later fragments have no ports, and are not for rules that ask for some. */
static bool ports_match(const struct qos_rule *rule, const struct flow *flow)
{
	uint16_t sport = be16toh(flow->sport), dport = be16toh(flow->dport);

	if (!rule->of_ports)
		return true;
	return (flow->flags & FLOW_L4) != 0 &&
	       (flow->proto == IP_PROTO_TCP || flow->proto == IP_PROTO_UDP ||
		flow->proto == IP_PROTO_SCTP) &&
	       in_range(&rule->sport, sport) && in_range(&rule->dport, dport) &&
	       (in_range(&rule->port, sport) || in_range(&rule->port, dport));
}

static bool address_matches(const struct prefix *prefix, const struct flow *flow,
			    const uint8_t *address)
{
	unsigned int bytes = prefix->bits / 8, bits = prefix->bits % 8;

	if (prefix->kind == PREFIX_ANY)
		return true;
	return (flow->flags & (prefix->kind == PREFIX_IPV4 ? FLOW_IPV4 : FLOW_IPV6)) != 0 &&
	       memcmp(prefix->addr, address, bytes) == 0 &&
	       (bits == 0 || ((prefix->addr[bytes] ^ address[bytes]) >> (8 - bits)) == 0);
}

static bool ip_matches(const struct qos_rule *rule, const struct flow *flow)
{
	return (flow->flags & FLOW_IP) != 0 &&
	       (rule->dscp == QOS_ANY || rule->dscp == flow->tos >> 2) &&
	       (rule->protocol == CLASSIFY_PROTOCOL_ANY || rule->protocol == flow->proto) &&
	       address_matches(&rule->dest, flow, flow->dest) &&
	       address_matches(&rule->source, flow, flow->source) && ports_match(rule, flow);
}

/* NULL: no rule is for it. */
static const struct qos_rule *find(const struct qos *qos, const struct frame *f,
				   const struct flow *flow)
{
	for (unsigned int i = 0; i < qos->n; i++) {
		const struct qos_rule *rule = &qos->rule[i];

		if ((rule->priority == QOS_ANY || rule->priority == f->tci >> 13) &&
		    (!rule->of_ip || (flow != NULL && ip_matches(rule, flow))))
			return rule;
	}
	return NULL;
}

/* --- workers: what is done --- */

/* RFC 1624, 3: the checksum of a header of which one word has changed. */
static uint16_t checksum_after(uint16_t checksum, uint16_t was, uint16_t is)
{
	uint32_t sum = (uint16_t)~checksum + (uint32_t)(uint16_t)~was + is;

	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

/* RFC 2474, 3: the upper six bits of IPv4's TOS and IPv6's traffic class; the others are ECN's (RFC 3168). */
static void set_dscp(struct inspect *inspect, unsigned int i, int8_t dscp)
{
	struct flow *flow = &inspect->flow[i];
	/* As flow_parse found them, in the worker's own memory. */
	uint8_t *ip = inspect->header[i] + (flow->header - inspect->header[i]) + flow->l3;
	uint8_t tos = (uint8_t)(dscp << 2 | (flow->tos & 3));

	if ((flow->flags & FLOW_IPV4) != 0) {
		uint16_t was = load_be16(ip);

		ip[1] = tos;
		store_be16(ip + 10, checksum_after(load_be16(ip + 10), was, load_be16(ip)));
	} else if ((flow->flags & FLOW_IPV6) != 0) {
		ip[0] = (uint8_t)((ip[0] & 0xf0) | tos >> 4);
		ip[1] = (uint8_t)((ip[1] & 0x0f) | tos << 4);
	}
	flow->tos = tos;
}

static bool is_above(struct qos_state *state, uint32_t size)
{
	return bucket_limits(&state->throttle) &&
	       bucket_police(&state->throttle, &size, 1, clock_ns()) == 0;
}

static enum drop_reason apply(struct inspect *inspect, const struct qos_rule *rule, unsigned int i)
{
	struct frame *f = &inspect->burst->frame[i];
	struct qos_counter *c = &rule->state->of[worker_self];

	c->frames++;
	c->bytes += f->size;
	if (!inspect->dry && is_above(rule->state, frame_wire_size(f))) {
		c->throttled++;
		return DROP_THROTTLED;
	}
	if (rule->set_dscp != QOS_ANY)
		set_dscp(inspect, i, rule->set_dscp);
	if (rule->set_priority != QOS_ANY)
		f->tci = (uint16_t)((f->tci & 0x1fff) | rule->set_priority << 13);
	inspect->traffic_class[i] = rule->traffic_class;
	return DROP_NONE;
}

uint32_t qos_out(struct inspect *inspect, const struct qos *qos, uint32_t frames)
{
	for_each_frame(i, frames)
	{
		const struct flow *flow = qos->looks_at_ip ? inspect_flow(inspect, i) : NULL;
		const struct qos_rule *rule;
		enum drop_reason reason;

		inspect->traffic_class[i] = 0;
		if (flow != NULL && (flow->flags & FLOW_OBSCURE) != 0) {
			frames = inspect_drop(inspect, frames, i, DROP_OBSCURE);
			continue;
		}
		rule = find(qos, &inspect->burst->frame[i], flow);
		reason = rule != NULL ? apply(inspect, rule, i) : DROP_NONE;
		if (reason != DROP_NONE)
			frames = inspect_drop(inspect, frames, i, reason);
	}
	inspect->classified |= frames;
	return frames;
}
