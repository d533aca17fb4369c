/* SPDX-License-Identifier: BSD-3-Clause */
/* Numbers of the protocols that are looked into. IANA, "Protocol Numbers" and "IEEE 802 Numbers". */
#ifndef SOFTIOV_FRAME_IP_H
#define SOFTIOV_FRAME_IP_H

#include <stdbool.h>
#include <stdint.h>

#define ETH_TYPE_ARP 0x0806

#define IP_PROTO_HOPOPTS  0
#define IP_PROTO_ICMP     1
#define IP_PROTO_TCP      6
#define IP_PROTO_UDP      17
#define IP_PROTO_ROUTING  43
#define IP_PROTO_FRAGMENT 44
#define IP_PROTO_AH       51
#define IP_PROTO_ICMPV6   58
#define IP_PROTO_DSTOPTS  60
#define IP_PROTO_SCTP     132

#define IP4_FRAGMENT        0x3fff /* more fragments, or an offset */
#define IP4_FRAGMENT_OFFSET 0x1fff
#define IP6_FRAGMENT_OFFSET 0xfff8 /* RFC 8200, 4.5 */
#define IP_EXT_HEADERS_MAX  8

/* Whether an IPv6 header of this type is an extension, with another header behind it. */
static inline bool ip6_is_extension(uint8_t proto)
{
	return proto == IP_PROTO_HOPOPTS || proto == IP_PROTO_ROUTING || proto == IP_PROTO_AH ||
	       proto == IP_PROTO_DSTOPTS || proto == IP_PROTO_FRAGMENT;
}

/* Bytes of the extension header at `ext`, of which two are there. RFC 8200, 4: in units of 8 bytes after the first;
 * 4.5: a fragment header has 8; RFC 4302, 2.2: AH's unit is 4, after two of them. */
static inline uint32_t ip6_extension_size(uint8_t proto, const uint8_t *ext)
{
	if (proto == IP_PROTO_FRAGMENT)
		return 8;
	return proto == IP_PROTO_AH ? (ext[1] + 2u) * 4 : (ext[1] + 1u) * 8;
}

#endif
