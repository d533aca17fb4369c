/* SPDX-License-Identifier: BSD-3-Clause */
/* `trace`: what switch_trace finds, in words. */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "daemon/runtime.h"
#include "frame/ip.h"
#include "model/object.h"
#include "model/packet.h"
#include "model/text.h"

/* A trace under way. */
struct telling {
	struct runtime *rt;
	struct rt_switch *sw;
	const struct rt_port *from;
	FILE *out;
};

static const char *kind_of(const struct rt_port *port)
{
	return port->kind == PORT_OF_UPLINK ? "uplink" : "vport";
}

/* --- the frame --- */

static void tell_address(FILE *out, const struct flow *flow, const uint8_t *address, uint16_t port)
{
	bool v6 = (flow->flags & FLOW_IPV6) != 0;
	bool ports = (flow->flags & FLOW_L4) != 0 && flow->proto != IP_PROTO_ICMP &&
		     flow->proto != IP_PROTO_ICMPV6;
	char text[INET6_ADDRSTRLEN];

	inet_ntop(v6 ? AF_INET6 : AF_INET, address, text, sizeof(text));
	if (ports)
		emit(out, v6 ? "[%s]:%u" : "%s:%u", text, be16toh(port));
	else
		emit(out, "%s", text);
}

static void tell_frame(FILE *out, const struct frame *f, const struct flow *flow)
{
	const uint8_t *m = f->mac;

	emit(out,
	     "frame: %u bytes, %02x:%02x:%02x:%02x:%02x:%02x > %02x:%02x:%02x:%02x:%02x:%02x, type 0x%04x",
	     f->size, m[6], m[7], m[8], m[9], m[10], m[11], m[0], m[1], m[2], m[3], m[4], m[5],
	     f->ethertype);
	if ((flow->flags & FLOW_IP) != 0) {
		emit(out, ", protocol %u, ", flow->proto);
		tell_address(out, flow, flow->source, flow->sport);
		emit(out, " > ");
		tell_address(out, flow, flow->dest, flow->dport);
	}
	if ((flow->flags & FLOW_OBSCURE) != 0)
		emit(out, ", headers that do not say what it is");
	emit(out, "\n");
}

/* --- rules --- */

static struct acl_counter *mine(const struct acl_rule *rule)
{
	return &rule->counter[(size_t)worker_self * ACL_COUNTERS];
}

/* Which of the port's rules have counted the frame; what they counted is taken back. */
static void tell_rules(struct telling *t, const struct rt_port *port, enum acl_direction direction)
{
	static const char *const words[] = { "allows", "denies", "meters" };
	bool any = false, decided = false;

	for (unsigned int i = 0; i < port->acls.n; i++) {
		const struct rt_acl *acl = &port->acls.acl[i];

		if (acl->config == NULL)
			continue;
		any |= acl->rule.action != ACL_METER && acl->rule.direction == direction;
		if (mine(&acl->rule)->frames == 0)
			continue;
		*mine(&acl->rule) = (struct acl_counter){ 0 };
		decided |= acl->rule.action != ACL_METER;
		/* One for the other direction has let its connection be opened. */
		emit(t->out, "  rule %s %s it%s\n", obj_name(acl->config), words[acl->rule.action],
		     acl->rule.direction == direction ? "" : ", since it answers");
	}
	if (any && !decided)
		emit(t->out, "  rules: none decides\n");
}

/* The policy that has counted the frame; what it counted is taken back. */
static void tell_qos(struct telling *t)
{
	struct rt_qos *q;

	LIST_FOREACH(q, &t->sw->qos, next) {
		struct qos_counter *mine_of = &q->state->of[worker_self];
		const char *dscp = obj_str(q->config, "set-dscp");
		const char *priority = obj_str(q->config, "set-priority");

		if (mine_of->frames == 0)
			continue;
		*mine_of = (struct qos_counter){ 0 };
		emit(t->out, "  qos-policy %s is for it:", obj_name(q->config));
		if (strcmp(dscp, "none") != 0)
			emit(t->out, " DSCP %s", dscp);
		if (strcmp(priority, "none") != 0)
			emit(t->out, " priority %s", priority);
		if (obj_uint(q->config, "min-weight") != 0)
			emit(t->out, " min-weight %u",
			     (unsigned int)obj_uint(q->config, "min-weight"));
		if (obj_uint(q->config, "throttle") != 0)
			emit(t->out, " throttle");
		emit(t->out, "\n");
		return;
	}
	if (t->sw->port[t->from->idx].policy_out != NULL &&
	    t->sw->port[t->from->idx].policy_out->qos != NULL)
		emit(t->out, "  qos-policies: none is for it\n");
}

/* --- stages --- */

static void tell_drop(FILE *out, enum drop_reason reason)
{
	emit(out, "  => dropped: %s\n", drop_reason_name(reason));
}

/* What the extensions of a port say: `by` has decided, or all let the frame pass. */
static void tell_extensions(FILE *out, const struct port_policy *policy, enum extension_hook hook,
			    const struct extension *by, const char *verdict)
{
	if (policy == NULL || policy->extensions[hook].n == 0)
		return;
	if (by != NULL)
		emit(out, "  extension %s %s it\n", by->name, verdict);
	else
		emit(out, "  extensions: let it pass\n");
}

static void tell_out(struct telling *t, const struct frame *f, const struct trace *trace)
{
	const struct port_config *p = &t->sw->port[t->from->idx];

	emit(t->out, "from %s %s of switch %s:\n", kind_of(t->from), t->from->name, t->sw->name);
	if (trace->stage == TRACE_ADMIT) {
		tell_drop(t->out, trace->reason);
		return;
	}
	emit(t->out, "  source address: %s\n",
	     t->from->kind == PORT_OF_UPLINK     ? "any"
	     : mac_load(f->mac + 6) == p->mac[0] ? "the vport's"
	     : p->spoofing                       ? "another one, which mac-spoofing allows"
						 : "one that the VM has added");
	if (f->vid == 0)
		emit(t->out, "  VLAN: none\n");
	else
		emit(t->out, "  VLAN: %u, %s\n", f->vid,
		     f->vid == p->pvid ? "the port's own" : "tagged, which its trunk has");
	tell_extensions(t->out, p->policy_out, EXTENSION_INGRESS, trace->by,
			trace->redirected ? "redirects" : "drops");
	if (trace->stage == TRACE_POLICY && trace->reason == DROP_EXTENSION) {
		tell_drop(t->out, trace->reason);
		return;
	}
	if (p->policy_out != NULL && guard_any(&p->policy_out->guard) &&
	    (trace->stage > TRACE_POLICY || trace->reason == DROP_ACL))
		emit(t->out, "  guards: let it pass\n");
	tell_rules(t, t->from, ACL_OUT);
	if (trace->stage > TRACE_POLICY)
		tell_qos(t);
	if (trace->stage == TRACE_POLICY)
		tell_drop(t->out, trace->reason);
}

static void tell_way(struct telling *t, const struct frame *f, const struct trace *trace)
{
	bool group = (mac_load(f->mac) & MAC_GROUP) != 0;

	emit(t->out, "way:\n");
	if (trace->stage == TRACE_ROUTE) {
		tell_drop(t->out, trace->reason);
		return;
	}
	emit(t->out, "  %s: to %u %s\n",
	     trace->redirected ? "where the extension says"
	     : !trace->flooded ? "the destination address is known"
	     : group           ? "a group address"
			       : "nobody is known to have the destination address",
	     trace->n_routed, trace->n_routed == 1 ? "port" : "ports");
}

/* A port that a flooded frame gets to, and that another port's extension sends it to, is there twice. */
static bool was_told(const struct trace *trace, unsigned int end)
{
	for (unsigned int i = 0; i < end; i++)
		if (trace->to[i].port == trace->to[end].port)
			return true;
	return false;
}

static void tell_in(struct telling *t, const struct frame *f, const struct trace *trace,
		    unsigned int i)
{
	static const char *const paths[] = { "its VF", "its synthetic adapter", "nothing" };
	const struct trace_end *end = &trace->to[i];
	const struct rt_port *port = t->sw->owner[end->port];
	const struct port_config *p = &t->sw->port[end->port];
	unsigned int priority = f->tci >> 13;

	/* Behind those that it is routed to: an extension of another port has sent it here. */
	emit(t->out, "%sto %s %s:\n", i >= trace->n_routed ? "instead " : "", kind_of(port),
	     port->name);
	if (was_told(trace, i))
		emit(t->out, "  rules: as above\n");
	else
		tell_rules(t, port, ACL_IN);
	if (end->reason == DROP_NONE || end->by != NULL)
		tell_extensions(t->out, t->sw->port[end->port].policy_in, EXTENSION_EGRESS, end->by,
				end->redirected ? "redirects" : "drops");
	if (end->reason != DROP_NONE) {
		tell_drop(t->out, end->reason);
		return;
	}
	if (end->redirected) {
		emit(t->out, "  => not delivered here\n");
		return;
	}
	emit(t->out, "  => delivered%s%s", port->kind == PORT_OF_UPLINK ? "" : " to ",
	     port->kind == PORT_OF_UPLINK ? "" : paths[end->slot]);
	if (end->tagged)
		emit(t->out, ", tagged with VLAN %u", f->vid);
	else
		emit_text(t->out, p->priority_tag && priority != 0 ? ", tagged with no VLAN"
								   : ", untagged");
	if (priority != 0 && (end->tagged || p->priority_tag))
		emit(t->out, " and priority %u", priority);
	if (p->policy_in != NULL && p->policy_in->shares.by_priority)
		emit(t->out, ", in traffic class %u", p->policy_in->shares.class_of[priority]);
	emit(t->out, "\n");
}

static void tell(struct telling *t, struct inspect *inspect, const struct trace *trace)
{
	const struct frame *f = &inspect->burst->frame[0];

	if (trace->stage > TRACE_ADMIT || f->drop == DROP_NONE)
		tell_frame(t->out, f, inspect_flow(inspect, 0));
	else
		emit(t->out, "frame: not one\n");
	tell_out(t, f, trace);
	if (trace->stage < TRACE_ROUTE)
		return;
	tell_way(t, f, trace);
	for (unsigned int i = 0; i < trace->n; i++)
		tell_in(t, f, trace, i);
}

/* --- the verb --- */

static bool mac_of(void *arg, const char *name, uint8_t mac[6])
{
	const struct rt_port *port = runtime_port(arg, PORT_OF_VPORT, name);

	if (port != NULL)
		mac_store(mac, port->sw->port[port->idx].mac[0]);
	return port != NULL;
}

struct scratch {
	struct burst burst;
	struct trace trace;
	uint8_t bytes[PACKET_SIZE_MAX];
};

static int trace(struct telling *t, const json_t *params, struct refusal *why)
{
	struct packet_names names = { .mac_of = mac_of, .arg = t->rt };
	struct scratch *s = calloc(1, sizeof(*s));
	struct forwarder *fw = forwarder_new();
	int size = -ENOMEM;

	if (s == NULL || fw == NULL) {
		refuse(why, -ENOMEM, NULL, NULL, "out of memory");
		goto out;
	}
	if (t->from->kind == PORT_OF_VPORT)
		mac_store(names.from, t->sw->port[t->from->idx].mac[0]);
	else
		memcpy(names.from, "\x02\x00\x00\xff\xff\xff", sizeof(names.from));
	size = packet_parse(obj_str(params, "frame"), &names, s->bytes, why);
	if (size < 0)
		goto out;
	s->burst.n = 1;
	s->burst.frame[0] = (struct frame){
		.va = s->bytes, .seg_size = (uint32_t)size, .size = (uint32_t)size, .n_segs = 1
	};
	if (switch_trace(fw, atomic_load(&t->sw->sw.snapshot), (uint16_t)t->from->idx, &s->burst,
			 &s->trace))
		tell(t, &fw->inspect, &s->trace);
	else
		size = refuse(why, -ENOMEM, NULL, NULL, "out of memory");
out:
	free(s);
	free(fw);
	return size < 0 ? size : 0;
}

int trace_verb(struct runtime *rt, const struct verb *verb, const char *name, const json_t *params,
	       json_t **result, struct refusal *why)
{
	struct telling t = {
		.rt = rt,
		.from = runtime_port(
			rt, strcmp(verb->name, "uplink") == 0 ? PORT_OF_UPLINK : PORT_OF_VPORT,
			name),
	};
	char *text;
	size_t size;
	int ret;

	if (t.from == NULL)
		return refuse(why, -ENOENT, NULL, NULL,
			      "there is no such %s that runs (softiov %s show lists them)",
			      verb->name, verb->name);
	t.sw = t.from->sw;
	t.out = text_open(&text, &size);
	ret = trace(&t, params, why);
	text_close(t.out);
	if (ret == 0)
		*result = json_string(text);
	free(text);
	return ret;
}
