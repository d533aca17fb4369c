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
};

struct rss_key {
	/* For each word of input: the 64 bits of the key from that word's first bit on, as they are and
	 * in mirror writing. */
	uint64_t window[RSS_WORDS], mirror[RSS_WORDS];
};

struct rss_result {
	uint32_t hash;  /* 0 with RSS_NONE */
	uint8_t type;   /* enum rss_type */
	uint8_t packet; /* enum rss_packet */
	uint16_t
		l4_off; /* of the L4 header in the untagged frame; 0 without one of PACKET_TCP to _SCTP */
};

void rss_key_set(struct rss_key *key, const uint8_t bytes[RSS_KEY_SIZE]);

/* Looks into n frames, n <= BURST_MAX, after frame_parse. `types`: RSS_BIT of those that are wanted;
 * 0 asks for packet and l4_off only. */
typedef void rss_burst_fn(const struct rss_key *key, uint32_t types,
			  const struct frame *const frame[], unsigned int n,
			  struct rss_result *result);
rss_burst_fn rss_burst;

/* Its variants, for tests; the second is NULL where the CPU cannot run it. */
rss_burst_fn rss_burst_portable;
rss_burst_fn *rss_burst_clmul(void);

#endif
