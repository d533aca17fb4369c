/* SPDX-License-Identifier: BSD-3-Clause */
#include "switch/guard.h"
#include "switch/policy.h"

/* RFC 2131, 4.1; RFC 8415, 7.2 */
#define PORT_DHCP_SERVER  67
#define PORT_DHCP_CLIENT  68
#define PORT_DHCP6_CLIENT 546
#define PORT_DHCP6_SERVER 547

#define IP_PROTO_IGMP 2

/* RFC 792; RFC 1256, 3 */
#define ICMP_REDIRECT             5
#define ICMP_ROUTER_ADVERTISEMENT 9
/* RFC 4861, 4.1 to 4.5; RFC 2710, 3; RFC 3810, 5 */
#define ICMP6_MLD_REPORT           131
#define ICMP6_MLD_DONE             132
#define ICMP6_ROUTER_SOLICITATION  133
#define ICMP6_ROUTER_ADVERTISEMENT 134
#define ICMP6_SOLICITATION         135
#define ICMP6_ADVERTISEMENT        136
#define ICMP6_REDIRECT             137
#define ICMP6_MLD2_REPORT          143

#define ND_SOURCE_ADDRESS 1 /* RFC 4861, 4.6.1 */
#define ND_TARGET_ADDRESS 2

static const uint8_t zero[16];

/* --- which kind of frame it is --- */

/* Headers that would be IP's or ARP's to some receivers, behind what others stop at: a second tag, or SNAP
 * (CERT/CC, VU#855201: CVE-2021-27853, -27854, -27861, -27862). */
static bool is_wrapped(const struct flow *flow)
{
	static const uint16_t tags[] = { ETH_TYPE_VLAN, 0x88a8, 0x9100, 0x9200 };

	for (unsigned int i = 0; i < ARRAY_SIZE(tags); i++)
		if (flow->ethertype == tags[i])
			return true;
	return flow->ethertype < 0x600 && flow->size >= FRAME_SIZE_MIN + 2 &&
	       flow->header[FRAME_SIZE_MIN] == 0xaa && flow->header[FRAME_SIZE_MIN + 1] == 0xaa;
}

static bool is_udp(const struct flow *flow, uint16_t sport, uint16_t dport)
{
	return (flow->flags & FLOW_L4) != 0 && flow->proto == IP_PROTO_UDP &&
	       (flow->sport == htobe16(sport) || flow->dport == htobe16(dport));
}

/* A server may send from any port, a client may not listen on any: so what goes to clients counts. What comes from a
 * server's port counts as well: that is what a server or relay sends to a relay. */
static bool is_from_dhcp_server(const struct flow *flow)
{
	if ((flow->flags & FLOW_IPV4) != 0)
		return is_udp(flow, PORT_DHCP_SERVER, PORT_DHCP_CLIENT);
	return is_udp(flow, PORT_DHCP6_SERVER, PORT_DHCP6_CLIENT);
}

/* The type, or -1. */
static int icmp_type(const struct flow *flow, uint8_t proto, uint8_t ip)
{
	if ((flow->flags & FLOW_L4) == 0 || flow->proto != proto || (flow->flags & ip) == 0)
		return -1;
	return be16toh(flow->sport) >> 8;
}

static bool is_from_router(const struct flow *flow)
{
	int v4 = icmp_type(flow, IP_PROTO_ICMP, FLOW_IPV4);
	int v6 = icmp_type(flow, IP_PROTO_ICMPV6, FLOW_IPV6);

	return v4 == ICMP_ROUTER_ADVERTISEMENT || v4 == ICMP_REDIRECT ||
	       v6 == ICMP6_ROUTER_ADVERTISEMENT || v6 == ICMP6_REDIRECT;
}

/* --- whose addresses it has --- */

static bool prefix_has(const struct prefix *prefix, enum prefix_kind kind, const uint8_t *addr)
{
	unsigned int whole = prefix->bits / 8, rest = prefix->bits % 8;

	if (prefix->kind != kind || memcmp(prefix->addr, addr, whole) != 0)
		return false;
	return rest == 0 || (prefix->addr[whole] ^ addr[whole]) >> (8 - rest) == 0;
}

static bool is_listed(const struct guard *guard, enum prefix_kind kind, const uint8_t *addr)
{
	for (unsigned int i = 0; i < guard->n_addresses; i++)
		if (prefix_has(&guard->address[i], kind, addr))
			return true;
	return false;
}

/* RFC 4291, appendix A: the link-local address that a MAC address makes. */
static bool is_link_local_of(const uint8_t addr[16], const uint8_t mac[6])
{
	const uint8_t made[16] = { 0xfe,       0x80,   0,      0,    0,    0,      0,      0,
				   mac[0] ^ 2, mac[1], mac[2], 0xff, 0xfe, mac[3], mac[4], mac[5] };

	return memcmp(addr, made, sizeof(made)) == 0;
}

static bool has_ip6(const struct guard *guard, const uint8_t *addr, const uint8_t mac[6])
{
	return is_listed(guard, PREFIX_IPV6, addr) || is_link_local_of(addr, mac);
}

/* --- what it says about addresses --- */

/* RFC 826. The sender's addresses are what others learn; 0 is a probe's (RFC 5227, 2.1.1). */
static enum drop_reason judge_arp(const struct guard *guard, const struct flow *flow,
				  const uint8_t mac[6])
{
	static const uint8_t ethernet_ip4[] = { 0, 1, 8, 0, 6, 4 };
	const uint8_t *arp = flow->header + FRAME_SIZE_MIN;

	if (flow->size < FRAME_SIZE_MIN + 28 ||
	    memcmp(arp, ethernet_ip4, sizeof(ethernet_ip4)) != 0)
		return DROP_OBSCURE;
	if (memcmp(arp + 8, mac, 6) != 0)
		return DROP_SPOOFED_ARP;
	if (memcmp(arp + 14, zero, 4) != 0 && !is_listed(guard, PREFIX_IPV4, arp + 14))
		return DROP_SPOOFED_ARP;
	return DROP_NONE;
}

/* RFC 4861, 4.6: options from `at`; the one of this type, if it is there, must have this MAC address. */
static enum drop_reason judge_nd_options(const struct flow *flow, uint32_t at, uint8_t type,
					 const uint8_t mac[6])
{
	while (at < flow->size) {
		const uint8_t *option = flow->header + at;

		if (at + 8 > flow->size || option[1] == 0)
			return DROP_OBSCURE;
		if (option[0] == type && memcmp(option + 2, mac, 6) != 0)
			return DROP_SPOOFED_ND;
		at += option[1] * 8u;
	}
	/* Options go on behind what is pinned, or behind the end. */
	return at == flow->size && flow->size < FLOW_PIN_SIZE - 4 ? DROP_NONE : DROP_OBSCURE;
}

/* RFC 4861, 7: who solicits tells its own MAC address, who advertises that of the target. A solicitation from nowhere
 * claims the target (RFC 4862, 5.4.3). Messages in fragments are nothing (RFC 6980, 5). */
static enum drop_reason judge_nd(const struct guard *guard, const struct flow *flow,
				 const uint8_t mac[6])
{
	int type = icmp_type(flow, IP_PROTO_ICMPV6, FLOW_IPV6);
	bool has_target = type == ICMP6_SOLICITATION || type == ICMP6_ADVERTISEMENT;
	const uint8_t *target = flow->header + flow->l4 + 8;
	bool claims = type == ICMP6_ADVERTISEMENT || memcmp(flow->source, zero, 16) == 0;
	uint32_t options = flow->l4 + (has_target ? 24u : 8u);

	if (!has_target && type != ICMP6_ROUTER_SOLICITATION)
		return DROP_NONE;
	if ((flow->flags & FLOW_FIRST) != 0 || options > flow->size)
		return DROP_OBSCURE;
	if (has_target && claims && !has_ip6(guard, target, mac))
		return DROP_SPOOFED_ND;
	return judge_nd_options(flow, options,
				type == ICMP6_ADVERTISEMENT ? ND_TARGET_ADDRESS : ND_SOURCE_ADDRESS,
				mac);
}

/* Who has no address yet: DHCP (RFC 2131, 4.1) and IGMP (RFC 3376, 4.2.13); duplicate address detection (RFC 4862,
 * 5.4.2) and the MLD that comes before it (RFC 3590, 4; RFC 3810, 5.2.13). */
static bool may_have_no_address(const struct flow *flow)
{
	int type = icmp_type(flow, IP_PROTO_ICMPV6, FLOW_IPV6);

	if ((flow->flags & FLOW_IPV4) != 0)
		return flow->proto == IP_PROTO_IGMP ||
		       ((flow->flags & FLOW_L4) != 0 && flow->proto == IP_PROTO_UDP &&
			flow->dport == htobe16(PORT_DHCP_SERVER));
	return type == ICMP6_SOLICITATION || type == ICMP6_ROUTER_SOLICITATION ||
	       type == ICMP6_MLD_REPORT || type == ICMP6_MLD_DONE || type == ICMP6_MLD2_REPORT;
}

static enum drop_reason judge_addresses(const struct guard *guard, const struct flow *flow,
					const uint8_t mac[6])
{
	bool v4 = (flow->flags & FLOW_IPV4) != 0;

	if (flow->ethertype == ETH_TYPE_ARP)
		return judge_arp(guard, flow, mac);
	if ((flow->flags & FLOW_IP) == 0)
		return DROP_NONE;
	if (memcmp(flow->source, zero, v4 ? 4 : 16) == 0) {
		if (!may_have_no_address(flow))
			return DROP_SPOOFED_IP;
	} else if (v4 ? !is_listed(guard, PREFIX_IPV4, flow->source)
		      : !has_ip6(guard, flow->source, mac)) {
		return DROP_SPOOFED_IP;
	}
	return judge_nd(guard, flow, mac);
}

static enum drop_reason judge(const struct guard *guard, const struct flow *flow,
			      const uint8_t mac[6])
{
	/* RFC 7113, 2.2: what hides its L4 header could be anything. A later fragment needs no look, since the first
	 * one shows what it belongs to. */
	if ((flow->flags & FLOW_OBSCURE) != 0 || is_wrapped(flow))
		return DROP_OBSCURE;
	if (guard->dhcp && is_from_dhcp_server(flow))
		return DROP_DHCP_GUARD;
	if (guard->router && is_from_router(flow))
		return DROP_ROUTER_GUARD;
	return guard->n_addresses > 0 ? judge_addresses(guard, flow, mac) : DROP_NONE;
}

uint32_t guard_out(struct inspect *inspect, const struct guard *guard, uint32_t frames)
{
	for_each_frame(i, frames)
	{
		const struct flow *flow = inspect_flow(inspect, i);
		enum drop_reason reason = judge(guard, flow, inspect->burst->frame[i].mac + 6);

		if (reason != DROP_NONE)
			frames = inspect_drop(inspect, frames, i, reason);
	}
	return frames;
}
