/* SPDX-License-Identifier: BSD-3-Clause */
/* Receive side scaling: the Toeplitz hash of a frame's addresses and ports.
 *
 * What is hashed for which type is Microsoft's definition ("RSS Hashing Types", Windows driver
 * documentation), which Intel's controllers (82599 datasheet, 7.1.2.8) and virtio (1.2, 5.1.6.4.3)
 * follow. Fragments have no ports. Of a packet with IPv6 extension headers, the _EX types hash the
 * home address (destination option 201, RFC 6275 6.3) in place of the source and the address of
 * a type 2 routing header (RFC 6275 6.4) in place of the destination, where there are such.
 *
 * Threads: all of this is stateless. The headers are copied out of the sender's memory once, so that
 * hash, type and packet agree with each other, whatever the sender does meanwhile.
 */
#ifndef SOFTIOV_FRAME_RSS_H
#define SOFTIOV_FRAME_RSS_H

#include <string.h>

#include "frame/frame.h"

#define RSS_KEY_SIZE 40
#define RSS_WORDS    9 /* two IPv6 addresses and two ports */

/* What a hash was made of. The order is virtio's (VIRTIO_NET_HASH_REPORT_*, 5.1.6.4.4); RSS_BIT makes
 * its hash types (VIRTIO_NET_HASH_TYPE_*, 5.1.6.4.3.1) of them. */
enum rss_type {
	RSS_NONE,
	RSS_IPV4,
	RSS_TCP_IPV4,
	RSS_UDP_IPV4,
	RSS_IPV6,
	RSS_TCP_IPV6,
	RSS_UDP_IPV6,
	RSS_IPV6_EX,
	RSS_TCP_IPV6_EX,
	RSS_UDP_IPV6_EX,
	RSS_TYPES
};
#define RSS_BIT(type) (1u << ((type)-1))
#define RSS_ALL       (RSS_BIT(RSS_TYPES) - 1)

/* Which headers there are. The order is that of the packet type in receive descriptors of the 82599
 * (datasheet 7.1.6.2). */
enum rss_packet {
	PACKET_IPV4 = 1 << 0,
	PACKET_IPV4_OPTIONS = 1 << 1, /* with PACKET_IPV4 */
	PACKET_IPV6 = 1 << 2,
	PACKET_IPV6_EXT = 1 << 3, /* with PACKET_IPV6 */
	PACKET_TCP = 1 << 4,
	PACKET_UDP = 1 << 5,
	PACKET_SCTP = 1 << 6,
	/* With PACKET_IPV6_EXT: the addresses in the IP header are not those that L4 checksums count. Not in
	 * descriptors. */
	PACKET_ELSEWHERE = 1 << 7,
};
#define PACKET_TYPES 0x7f /* without that one */
#define PACKET_L4    (PACKET_TCP | PACKET_UDP | PACKET_SCTP)

struct rss_key {
	/* For each word of input: the 64 bits of the key from that word's first bit on. */
	uint64_t window[RSS_WORDS];
};

struct rss_result {
	uint8_t type;   /* enum rss_type */
	uint8_t packet; /* enum rss_packet */
	uint16_t
		l3_size; /* of IP's headers, up to the L4 header or that of a fragment; 0: not IP */
	uint32_t hash;   /* 0 with RSS_NONE */
};

void rss_key_set(struct rss_key *key, const uint8_t bytes[RSS_KEY_SIZE]);

/* Looks into n frames, n <= BURST_MAX, after frame_parse. `types`: RSS_BIT of those that are wanted;
 * 0 asks for packet and l3_size only. */
typedef void rss_burst_fn(const struct rss_key *key, uint32_t types,
			  const struct frame *const frame[], unsigned int n,
			  struct rss_result *result);
rss_burst_fn rss_burst;

extern const uint8_t rss_l4_packet[256];

/* `packet` of the common cases, IPv4 without options and no fragment, and IPv6 without extension headers, with
 * all that can be hashed in the first piece. 0: it takes a closer look. */
static inline __attribute__((always_inline)) uint8_t rss_packet_plain(const struct frame *f)
{
	const uint8_t *l3 = f->va + f->body + 2;
	uint64_t first;

	/* frame_parse has seen that addresses and type are in the frame, not in which pieces. */
	if (unlikely(f->seg_size < FRAME_SIZE_MIN + 4 + 28))
		return 0;
	if (likely(f->ethertype == ETH_TYPE_IPV4)) {
		memcpy(&first, l3, sizeof(first));
		/* Version and header size, and what makes a fragment. */
		if (unlikely((first & htobe64(0xff00000000003fff)) != htobe64(0x45ull << 56)))
			return 0;
		return PACKET_IPV4 | rss_l4_packet[l3[9]];
	}
	if (f->ethertype == ETH_TYPE_IPV6 && f->seg_size >= f->body + 2u + 44 && l3[0] >> 4 == 6) {
		uint8_t l4 = rss_l4_packet[l3[6]];

		return l4 != 0 ? PACKET_IPV6 | l4 : 0;
	}
	return 0;
}
/* The same of any frame, without PACKET_ELSEWHERE. */
uint8_t rss_packet_slow(const struct frame *f);

/* Its variants, for tests; the second is NULL where the CPU cannot run it. */
rss_burst_fn rss_burst_portable;
rss_burst_fn *rss_burst_clmul(void);

#endif
