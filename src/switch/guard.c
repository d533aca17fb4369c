/* SPDX-License-Identifier: BSD-3-Clause */
#include "switch/guard.h"
#include "switch/policy.h"

#define PORT_DHCP_SERVER  67  /* RFC 2131, 4.1 */
#define PORT_DHCP6_SERVER 547 /* RFC 8415, 7.2 */

/* RFC 792; RFC 1256, 3 */
#define ICMP_REDIRECT             5
#define ICMP_ROUTER_ADVERTISEMENT 9
/* RFC 4861, 4.2 and 4.5 */
#define ICMP6_ROUTER_ADVERTISEMENT 134
#define ICMP6_REDIRECT             137

static bool is_from_dhcp_server(const struct flow *flow)
{
	return (flow->flags & FLOW_L4) != 0 && flow->proto == IP_PROTO_UDP &&
	       flow->sport == htobe16((flow->flags & FLOW_IPV4) != 0 ? PORT_DHCP_SERVER
								     : PORT_DHCP6_SERVER);
}

static bool is_from_router(const struct flow *flow)
{
	uint8_t type = (uint8_t)(be16toh(flow->sport) >> 8);

	if ((flow->flags & FLOW_L4) == 0)
		return false;
	if (flow->proto == IP_PROTO_ICMPV6 && (flow->flags & FLOW_IPV6) != 0)
		return type == ICMP6_ROUTER_ADVERTISEMENT || type == ICMP6_REDIRECT;
	return flow->proto == IP_PROTO_ICMP && (flow->flags & FLOW_IPV4) != 0 &&
	       (type == ICMP_ROUTER_ADVERTISEMENT || type == ICMP_REDIRECT);
}

static enum drop_reason judge(const struct guard *guard, const struct flow *flow)
{
	if ((flow->flags & FLOW_IP) == 0)
		return DROP_NONE;
	/* RFC 7113, 2.2: what hides its L4 header could be anything. A later fragment needs no look, since the first
	 * one shows what it belongs to. */
	if ((flow->flags & FLOW_OBSCURE) != 0)
		return DROP_OBSCURE;
	if (guard->dhcp && is_from_dhcp_server(flow))
		return DROP_DHCP_GUARD;
	if (guard->router && is_from_router(flow))
		return DROP_ROUTER_GUARD;
	return DROP_NONE;
}

uint32_t guard_out(struct inspect *inspect, const struct guard *guard, uint32_t frames)
{
	for_each_frame(i, frames)
	{
		enum drop_reason reason = judge(guard, inspect_flow(inspect, i));

		if (reason != DROP_NONE)
			frames = inspect_drop(inspect, frames, i, reason);
	}
	return frames;
}
