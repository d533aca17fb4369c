/* SPDX-License-Identifier: BSD-3-Clause */
#include "frame/frame.h"
#include "frame/gso.h"
#include "frame/ip.h"

void frame_read(const struct frame *f, uint32_t offset, void *dst, uint32_t size)
{
	const struct seg first = { f->va, f->seg_size };
	const struct seg *seg = &first;
	unsigned int next = 0;
	uint8_t *to = dst;

	while (size > 0) {
		if (offset >= seg->size) {
			offset -= seg->size;
		} else {
			uint32_t n = seg->size - offset < size ? seg->size - offset : size;

			memcpy(to, seg->va + offset, n);
			to += n;
			size -= n;
			offset = 0;
		}
		if (size > 0)
			seg = &f->more[next++];
	}
}

static bool refuse(struct frame *f, enum drop_reason reason)
{
	f->drop = (uint8_t)reason;
	return false;
}

bool frame_tso_is_plain(const struct frame *f, const uint8_t ip[20])
{
	uint8_t l4 = (f->flags & FRAME_USO) != 0 ? IP_PROTO_UDP : IP_PROTO_TCP;
	int size = f->csum_start - f->l3_start;

	if ((f->flags & FRAME_TSO4) != 0)
		return ip[9] == l4 && size == (ip[0] & 0xf) * 4;
	return ip[6] == l4 && size == 40;
}

bool frame_parse_offloads(struct frame *f)
{
	uint32_t field = (f->flags & FRAME_SCTP_CRC) != 0 ? 4 : 2;

	if ((f->flags & FRAME_TSO) != 0) {
		bool uso = (f->flags & FRAME_USO) != 0;

		f->flags |= FRAME_L4_CSUM | ((f->flags & FRAME_TSO4) != 0 ? FRAME_IP4_CSUM : 0);
		f->csum_offset = uso ? 6 : 16;
		if (f->n_segs > FRAME_SEGS || f->hdr_size > GSO_HDR_MAX || f->hdr_size >= f->size ||
		    f->size - f->hdr_size > (uint32_t)f->mss * GSO_PIECES_MAX ||
		    f->l3_start + ((f->flags & FRAME_TSO4) != 0 ? 20 : 40) > f->csum_start ||
		    f->csum_start + (uso ? 8 : 20) > f->hdr_size)
			return refuse(f, DROP_BAD_OFFLOAD);
	}
	if ((f->flags & FRAME_L4_CSUM) != 0 &&
	    (f->csum_start < FRAME_SIZE_MIN ||
	     (uint32_t)f->csum_start + f->csum_offset + field > f->size))
		return refuse(f, DROP_BAD_OFFLOAD);
	if ((f->flags & (FRAME_IP4_CSUM | FRAME_TSO)) != 0 &&
	    (f->l3_start < FRAME_SIZE_MIN || (uint32_t)f->l3_start + 20 > f->size))
		return refuse(f, DROP_BAD_OFFLOAD);
	if ((f->flags & FRAME_TSO) != 0) {
		uint8_t ip[20];

		frame_read(f, f->l3_start + f->body - ETH_ADDRS_SIZE, ip, sizeof(ip));
		if (!frame_tso_is_plain(f, ip))
			f->flags |= FRAME_TUNNEL;
	}
	return true;
}

bool frame_parse_slow(struct frame *f)
{
	uint8_t head[ETH_ADDRS_SIZE + 6];

	f->drop = DROP_NONE;
	if (f->size < FRAME_SIZE_MIN)
		return refuse(f, DROP_RUNT);
	if (f->size > FRAME_SIZE_MAX)
		return refuse(f, DROP_TOO_LONG);
	frame_read(f, 0, head, FRAME_SIZE_MIN);
	memcpy(f->mac, head, ETH_ADDRS_SIZE);
	f->body = ETH_ADDRS_SIZE;
	f->ethertype = load_be16(head + ETH_ADDRS_SIZE);
	if ((f->flags & FRAME_TAGGED) == 0)
		f->tci = 0;
	if ((f->flags & FRAME_TAGGED) == 0 && f->ethertype == ETH_TYPE_VLAN) {
		if (f->size < FRAME_SIZE_MIN + 4)
			return refuse(f, DROP_RUNT);
		frame_read(f, ETH_ADDRS_SIZE, head + ETH_ADDRS_SIZE, 6);
		/* The ethertype is read again with the rest: what counts is this one reading. */
		f->tci = load_be16(head + ETH_ADDRS_SIZE + 2);
		f->ethertype = load_be16(head + ETH_ADDRS_SIZE + 4);
		f->flags |= FRAME_TAGGED;
		f->body += 4;
		f->size -= 4;
		if ((f->flags & FRAME_WORK) != 0) {
			if ((f->flags & FRAME_L4_CSUM) != 0 && f->csum_start < FRAME_SIZE_MIN + 4)
				return refuse(f, DROP_BAD_OFFLOAD);
			if ((f->flags & (FRAME_IP4_CSUM | FRAME_TSO)) != 0 &&
			    f->l3_start < FRAME_SIZE_MIN + 4)
				return refuse(f, DROP_BAD_OFFLOAD);
			f->csum_start -= 4;
			f->l3_start -= 4;
			f->hdr_size -= 4;
		}
	}
	store_be16(f->header + ETH_ADDRS_SIZE, f->ethertype);
	return (f->flags & FRAME_WORK) == 0 || frame_parse_offloads(f);
}

const char *drop_reason_name(enum drop_reason reason)
{
	static const char *const names[] = {
		[DROP_NONE] = "none",
		[DROP_RUNT] = "runt",
		[DROP_TOO_LONG] = "too-long",
		[DROP_BAD_OFFLOAD] = "bad-offload",
		[DROP_SPOOFED_MAC] = "spoofed-mac",
		[DROP_BAD_SOURCE] = "bad-source",
		[DROP_VLAN] = "vlan",
		[DROP_NO_ROUTE] = "no-route",
		[DROP_FILTERED] = "filtered",
		[DROP_NO_BUFFER] = "no-buffer",
		[DROP_DOWN] = "down",
		[DROP_BAD_BUFFER] = "bad-buffer",
		[DROP_UPLINK] = "uplink-full",
		[DROP_OBSCURE] = "obscure-headers",
		[DROP_DHCP_GUARD] = "dhcp-guard",
		[DROP_ROUTER_GUARD] = "router-guard",
		[DROP_POLICED] = "policed",
		[DROP_ACL] = "acl",
		[DROP_SPOOFED_ARP] = "spoofed-arp",
		[DROP_SPOOFED_ND] = "spoofed-nd",
		[DROP_SPOOFED_IP] = "spoofed-ip",
		[DROP_STORM] = "storm",
		[DROP_MAC_LIMIT] = "mac-limit",
		[DROP_CONNECTIONS] = "connections-full",
		[DROP_EXTENSION] = "extension",
		[DROP_THROTTLED] = "throttled",
	};

	_Static_assert(ARRAY_SIZE(names) == DROP_N, "every drop reason has a name");
	return names[reason];
}
