/* SPDX-License-Identifier: BSD-3-Clause */
/* Mirrors: what taps show goes to a port, too.
 *
 * Mirrored frames pass no policies and no taps, so there is no loop. They wait until the burst has been delivered,
 * and then lie where they lay for their first receivers; only truncated and encapsulated ones are copied. A
 * destination that is too slow loses them, as every receiver does, and nobody waits for it.
 */
#ifndef SOFTIOV_SWITCH_MIRROR_H
#define SOFTIOV_SWITCH_MIRROR_H

#include "switch/switch.h"

#define MIRROR_BATCH    8
#define MIRROR_SIZE_MAX 9728 /* bytes of a frame that is copied */

enum mirror_drops {
	MIRROR_DROPS_NO,
	MIRROR_DROPS_TOO,
	MIRROR_DROPS_ONLY
};

enum mirror_tunnel {
	MIRROR_PLAIN,
	MIRROR_GRE,   /* RFC 1701 and RFC 7637, 3.2: protocol 0x6558, an Ethernet frame */
	MIRROR_ERSPAN /* draft-foschiano-erspan-03, 4.2: type II */
};

struct mirror_config {
	uint16_t to_port;
	bool from, to; /* what the port of the tap sends; what it is sent */
	enum mirror_drops drops;
	uint16_t vlan;    /* that they leave in, instead of their own; 0: their own */
	uint32_t snaplen; /* bytes; 0: all */
	enum mirror_tunnel tunnel;
	uint8_t next_hop[6], source_mac[6];
	bool v6;
	uint8_t source_ip[16], collector_ip[16]; /* IPv4: the first 4 bytes */
	uint16_t session;                        /* ERSPAN */
	uint32_t
		size_max; /* bytes that a packet to the collector may have, with its Ethernet header */
	const struct tap_filter *filter; /* NULL: all frames */
};

struct mirror;

/* NULL without memory. No worker may see its taps any more when it is freed. */
struct mirror *mirror_new(const struct mirror_config *config);
void mirror_free(struct mirror *mirror);
/* A tap of it, for one port; its `gone` frees it, or mirror_free. NULL without memory. */
struct tap *mirror_tap(struct mirror *mirror);
/* What it wraps leaves from another address from now on. Workers may go on meanwhile. */
void mirror_move(struct mirror *mirror, uint64_t source_mac, uint32_t size_max);
bool mirror_owns(const struct mirror *mirror, const struct tap *tap);

struct mirror_stats {
	uint64_t frames, bytes; /* handed to the destination, which counts what it does not take */
};
void mirror_stats(const struct mirror *mirror, struct mirror_stats *sum);

/* --- workers --- */

/* Pushes what a burst left. */
void mirrors_flush(struct forwarder *fw);

#endif
