/* SPDX-License-Identifier: BSD-3-Clause */
#include "frame/flow.h"

unsigned int flow_pin(struct frame *f, uint8_t *bytes, struct seg *more)
{
	uint32_t inside = f->size + f->body - ETH_ADDRS_SIZE; /* with a tag */
	uint32_t size = inside < FLOW_PIN_SIZE ? inside : FLOW_PIN_SIZE, left = size;
	unsigned int n = 0, n_old = f->n_segs;
	struct seg seg = { f->va, f->seg_size };

	if (frame_is_plain(f))
		return flow_pin_plain(f, bytes, more);
	frame_read(f, 0, bytes, size);
	for (unsigned int i = 0; i < n_old; i++) {
		uint32_t skip = left < seg.size ? left : seg.size;

		left -= skip;
		if (seg.size > skip)
			more[n++] = (struct seg){ seg.va + skip, seg.size - skip };
		if (i + 1 < n_old)
			seg = f->more[i];
	}
	f->va = bytes;
	f->seg_size = size;
	f->more = more;
	f->n_segs = (uint16_t)(n + 1);
	return n;
}

unsigned int flow_pin_rest(struct frame *f, uint8_t *bytes, struct seg *more)
{
	struct seg rest;
	uint32_t size;

	/* Others were pinned at once. */
	if (f->seg_size != FLOW_PIN_QUICK || f->n_segs == 1 || f->body != ETH_ADDRS_SIZE)
		return 0;
	rest = f->more[0];
	size = FLOW_PIN_SIZE - FLOW_PIN_QUICK;
	if (rest.size < size)
		size = rest.size;
	memcpy(bytes + FLOW_PIN_QUICK, rest.va, size);
	f->seg_size += size;
	*more = (struct seg){ rest.va + size, rest.size - size };
	f->more = more;
	f->n_segs = rest.size > size ? 2 : 1;
	return f->n_segs - 1u;
}

/* The L4 header at `at`. */
static void parse_l4(struct flow *flow, uint32_t at)
{
	/* What says where it goes or what it is, and TCP's flags. */
	uint32_t need = flow->proto == IP_PROTO_TCP                                      ? 20
			: flow->proto == IP_PROTO_UDP || flow->proto == IP_PROTO_SCTP    ? 8
			: flow->proto == IP_PROTO_ICMP || flow->proto == IP_PROTO_ICMPV6 ? 4
											 : 0;
	const uint8_t *l4 = flow->header + at;

	flow->l4 = (uint16_t)at;
	if (need == 0)
		return;
	if (at + need > flow->size) {
		flow->flags |= FLOW_OBSCURE;
		return;
	}
	flow->flags |= FLOW_L4;
	if (need == 4) {
		flow->sport = htobe16((uint16_t)(l4[0] << 8));
		flow->dport = htobe16((uint16_t)(l4[1] << 8));
		return;
	}
	memcpy(&flow->sport, l4, sizeof(flow->sport));
	memcpy(&flow->dport, l4 + 2, sizeof(flow->dport));
	if (flow->proto == IP_PROTO_TCP)
		flow->tcp = l4[13];
}

/* What is behind the packet in its frame is padding, and no header. A large send says 0, or less than it is. */
static void end_at(struct flow *flow, uint32_t end)
{
	if (end < flow->size)
		flow->size = (uint16_t)end;
}

static void parse_ip4(struct flow *flow)
{
	const uint8_t *ip = flow->header + FRAME_SIZE_MIN;
	uint16_t fragment;
	uint32_t size;

	if (FRAME_SIZE_MIN + 20 > flow->size || ip[0] >> 4 != 4) {
		flow->flags |= FLOW_OBSCURE;
		return;
	}
	size = (ip[0] & 0xfu) * 4;
	if (size < 20 || FRAME_SIZE_MIN + size > flow->size) {
		flow->flags |= FLOW_OBSCURE;
		return;
	}
	if (load_be16(ip + 2) >= size)
		end_at(flow, FRAME_SIZE_MIN + load_be16(ip + 2));
	flow->tos = ip[1];
	flow->proto = ip[9];
	memcpy(flow->source, ip + 12, 4);
	memcpy(flow->dest, ip + 16, 4);
	fragment = load_be16(ip + 6);
	if ((fragment & IP4_FRAGMENT_OFFSET) != 0) {
		flow->flags |= FLOW_LATER;
		/* RFC 3128: one that would write over the first one's TCP flags. */
		if (flow->proto == IP_PROTO_TCP && (fragment & IP4_FRAGMENT_OFFSET) == 1)
			flow->flags |= FLOW_OBSCURE;
		return;
	}
	if ((fragment & IP4_FRAGMENT) != 0)
		flow->flags |= FLOW_FIRST;
	parse_l4(flow, FRAME_SIZE_MIN + size);
}

static void parse_ip6(struct flow *flow)
{
	const uint8_t *ip = flow->header + FRAME_SIZE_MIN;
	uint32_t at = FRAME_SIZE_MIN + 40;

	if (at > flow->size || ip[0] >> 4 != 6) {
		flow->flags |= FLOW_OBSCURE;
		return;
	}
	if (load_be16(ip + 4) > 0)
		end_at(flow, at + load_be16(ip + 4));
	flow->tos = (uint8_t)(ip[0] << 4 | ip[1] >> 4);
	flow->proto = ip[6];
	memcpy(flow->source, ip + 8, 16);
	memcpy(flow->dest, ip + 24, 16);
	for (unsigned int i = 0; ip6_is_extension(flow->proto); i++) {
		const uint8_t *ext = flow->header + at;

		if (i == IP_EXT_HEADERS_MAX || at + 8 > flow->size) {
			flow->flags |= FLOW_OBSCURE;
			return;
		}
		if (flow->proto == IP_PROTO_FRAGMENT) {
			uint16_t fragment = load_be16(ext + 2);

			if ((fragment & IP6_FRAGMENT_OFFSET) != 0) {
				flow->proto = ext[0];
				flow->flags |= FLOW_LATER;
				return;
			}
			if ((fragment & 1) != 0)
				flow->flags |= FLOW_FIRST;
		}
		at += ip6_extension_size(flow->proto, ext);
		flow->proto = ext[0];
	}
	parse_l4(flow, at);
}

/* Behind what anybody judges of the L4 header; 0: nobody can say. */
static uint32_t judged_end(const struct flow *flow)
{
	if (flow->l4 == 0 || flow->proto == IP_PROTO_ICMP || flow->proto == IP_PROTO_ICMPV6)
		return 0;
	return flow->l4 + (flow->proto == IP_PROTO_TCP ? 20u : 8u);
}

static uint16_t checksum_offset(const struct flow *flow)
{
	switch (flow->proto) {
	case IP_PROTO_TCP:
		return 16;
	case IP_PROTO_UDP:
		return 6;
	case IP_PROTO_SCTP:
		return 8;
	case IP_PROTO_ICMPV6:
		return 2;
	default:
		return UINT16_MAX;
	}
}

/* Offloads write into headers after they were judged: checksums, and the lengths and numbers of the pieces of a large
 * send. So they must be asked for where these are, or behind all that is judged (in a tunnel). */
static bool offloads_fit(const struct frame *f, const struct flow *flow)
{
	uint32_t end = judged_end(flow);
	bool l4_here = f->csum_start == flow->l4 && flow->l4 != 0 &&
		       f->csum_offset == checksum_offset(flow);

	if ((f->flags & FRAME_TSO) != 0)
		return (f->l3_start == flow->l3 && l4_here) || (end != 0 && f->l3_start >= end);
	if ((f->flags & FRAME_IP4_CSUM) != 0 &&
	    !((flow->flags & FLOW_IPV4) != 0 && f->l3_start == flow->l3) &&
	    (end == 0 || f->l3_start < end))
		return false;
	return (f->flags & FRAME_L4_CSUM) == 0 || l4_here ||
	       (end != 0 && f->csum_start + f->csum_offset >= end);
}

void flow_parse(const struct frame *f, struct flow *flow)
{
	uint32_t tag = f->body - ETH_ADDRS_SIZE;

	memset(flow, 0, sizeof(*flow));
	flow->ethertype = f->ethertype;
	flow->size = (uint16_t)(f->seg_size - tag);
	flow->header = f->va + tag;
	if (f->ethertype == ETH_TYPE_IPV4) {
		flow->flags = FLOW_IPV4;
		flow->l3 = FRAME_SIZE_MIN;
		parse_ip4(flow);
	} else if (f->ethertype == ETH_TYPE_IPV6) {
		flow->flags = FLOW_IPV6;
		flow->l3 = FRAME_SIZE_MIN;
		parse_ip6(flow);
	}
	if (unlikely((f->flags & FRAME_WORK) != 0) && !offloads_fit(f, flow))
		flow->flags |= FLOW_OBSCURE;
}
