/* SPDX-License-Identifier: BSD-3-Clause */
/* A frame: a packet that still lies where its sender put it (guest memory, or an uplink's mbuf).
 *
 * The sender's queue fills in where the bytes are and which offloads they ask for; the switch takes
 * a snapshot of the addresses, decides, and the receiver's queue copies the bytes, once, into its
 * own buffers. Complications:
 *  1. The sender can change its memory at any time. Whatever a decision rests on is therefore in
 *     the frame itself (`mac`, `vid`, `ethertype`, lengths), copied once, and the copy to the
 *     receiver takes these bytes from here, not from the sender's memory again.
 *  2. A VLAN tag can be in the bytes or beside them (VLAN insertion asked by descriptor). After
 *     frame_parse it is always beside: `tci` and FRAME_TAGGED, and `body` says where, in the
 *     sender's bytes, what follows the addresses and the tag begins.
 *  3. Offsets (`csum_start`, `l3_start`, `hdr_size`) count from the first of the sender's bytes until
 *     frame_parse, and from the first byte of the untagged frame after it.
 */
#ifndef SOFTIOV_FRAME_FRAME_H
#define SOFTIOV_FRAME_FRAME_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bits.h"

#define BURST_MAX  32  /* frames a visit to a transmit queue yields at most */
#define BURST_SEGS 256 /* segments beyond the first of each frame, for the whole burst */
#define FRAME_SEGS \
	40 /* segments a frame may have: 82599 datasheet 7.2.1.1, "up to 40 descriptors" */
#define FRAME_SIZE_MIN 14           /* an Ethernet header */
#define FRAME_SIZE_MAX (256 * 1024) /* the largest large-send frame */

#define ETH_ADDRS_SIZE 12
#define ETH_TYPE_VLAN  0x8100
#define ETH_TYPE_IPV4  0x0800
#define ETH_TYPE_IPV6  0x86dd

enum frame_flag {
	FRAME_TAGGED = 1 << 0, /* tci is valid; before frame_parse: the sender asks to insert it */
	FRAME_L4_CSUM =
		1 << 1, /* to do: sum from csum_start to the end, store at csum_start + csum_offset.
				   The field holds the pseudo-header's sum (virtio 5.1.6.2; 82599
				   datasheet 7.2.5.2 asks drivers for the same). */
	FRAME_IP4_CSUM = 1 << 2, /* to do: IPv4 header checksum; header at l3_start */
	FRAME_TSO4 = 1 << 3,     /* to do: TCP over IPv4 in pieces of `mss`; implies both sums */
	FRAME_TSO6 = 1 << 4,     /* the same over IPv6 */
	FRAME_L4_VALID = 1 << 5, /* the L4 checksum is known to be right (set by whoever knows) */
	FRAME_SCTP_CRC = 1 << 6, /* with FRAME_L4_CSUM: CRC32c instead of the Internet checksum */
	FRAME_SEED_SIZE =
		1 << 7, /* with FRAME_TSO: the pseudo-header's sum in the bytes includes the L4
				     length of the whole frame (virtio) or not (82599: 7.2.5.2) */
	FRAME_TUNNEL = 1 << 8, /* with FRAME_TSO, set by frame_parse: there is more than IP between
				   l3_start and csum_start, so no receiver can take it whole */
	FRAME_USO = 1 << 9,    /* with FRAME_TSO: UDP, and each piece a datagram */
	FRAME_MIRRORED =
		1 << 10, /* for whoever it is pushed to, whichever addresses and VLANs they have */
};
#define FRAME_TSO  (FRAME_TSO4 | FRAME_TSO6)
#define FRAME_WORK (FRAME_L4_CSUM | FRAME_IP4_CSUM | FRAME_TSO) /* what a plain copy cannot do */

struct seg {
	const uint8_t *va;
	uint32_t size;
};

/* Why a frame went nowhere. Every exit of the data path has one and a counter with this name.
 * DROP_NONE is no drop. Names: drop_reason_name(). */
enum drop_reason {
	DROP_NONE,
	DROP_RUNT,        /* shorter than an Ethernet header */
	DROP_TOO_LONG,    /* longer than the receiver takes */
	DROP_BAD_OFFLOAD, /* checksum or segmentation request that does not fit the frame */
	DROP_SPOOFED_MAC, /* source address is not the vport's */
	DROP_BAD_SOURCE,  /* source address is a group address */
	DROP_VLAN,        /* sender may not send in this VLAN */
	DROP_NO_ROUTE, /* nobody is to get it: to a reserved address, to the ingress port itself, or
			     no other port is in the VLAN */
	DROP_FILTERED, /* the receiver's own address and VLAN filters do not want it */
	DROP_NO_BUFFER,    /* the receiver has posted no buffer */
	DROP_DOWN,         /* the receiver's queue is not enabled, or its link is down */
	DROP_BAD_BUFFER,   /* the receiver posted a buffer outside its memory */
	DROP_UPLINK,       /* the uplink's transmit queue took no more */
	DROP_OBSCURE,      /* its headers do not say what it is, and a policy has to know */
	DROP_DHCP_GUARD,   /* sent as a DHCP server, by a vport that may be none */
	DROP_ROUTER_GUARD, /* the same of a router */
	DROP_POLICED,      /* above the rate that the receiver may have */
	DROP_ACL,          /* a rule of an access control list denies it */
	DROP_SPOOFED_ARP,  /* says that its sender has an address that its vport has not */
	DROP_SPOOFED_ND,   /* the same in IPv6's words */
	DROP_STORM, /* above the rate of frames to all, many or unknown receivers that its sender may have */
	DROP_MAC_LIMIT,   /* its sender uses more addresses than it may */
	DROP_SPOOFED_IP,  /* comes from an address that its vport has not */
	DROP_CONNECTIONS, /* a rule would let it open a connection, and the table of them is full */
	DROP_EXTENSION,   /* an extension says so */
	DROP_THROTTLED,   /* above the rate of the policy that it is classified by */
	DROP_N
};
const char *drop_reason_name(enum drop_reason reason);

struct frame {
	const uint8_t *va;      /* first segment */
	uint32_t seg_size;      /* of the first segment */
	uint32_t size;          /* sum of all segments. After frame_parse: of the untagged frame */
	const struct seg *more; /* segments after the first, n_segs - 1 of them */
	union {
		/* These four at once: frame_has_form(). */
		uint64_t form;
		struct {
			uint16_t n_segs; /* >= 1 */
			uint16_t flags;  /* enum frame_flag */
			uint16_t
				body; /* set by frame_parse: offset, in the sender's bytes, of what follows
					    addresses and tag: 12 or 16 */
			uint16_t
				vid; /* set by the switch: the VLAN that it is in; 0 = untagged domain */
		};
	};
	uint16_t tci;      /* VLAN tag, host order */
	uint16_t mss;      /* TSO: payload bytes in each piece */
	uint16_t hdr_size; /* TSO: bytes of all headers, untagged */
	uint16_t csum_start;
	uint16_t csum_offset;
	uint16_t l3_start; /* FRAME_IP4_CSUM, FRAME_TSO */
	/* Set by frame_parse. */
	uint16_t ethertype; /* of the untagged frame, host order; a length below 1536 */
	uint8_t drop;       /* enum drop_reason */
	uint8_t pad;
	union {
		uint8_t mac[ETH_ADDRS_SIZE]; /* destination, source: the snapshot */
		uint8_t header
			[16]; /* the untagged frame's, FRAME_SIZE_MIN bytes; behind them anything */
	};
} __attribute__((aligned(8)));

/* The usual frame: it lies in `n_segs` segments, has no tag inside, is in VLAN `vid`, and has none of some flags. */
struct frame_form {
	uint64_t mask, want;
};

static inline struct frame_form frame_form(uint16_t n_segs, uint16_t vid, uint16_t without_flags)
{
	struct frame mask = {
		.n_segs = UINT16_MAX, .flags = without_flags, .body = UINT16_MAX, .vid = UINT16_MAX
	};
	struct frame want = { .n_segs = n_segs, .body = ETH_ADDRS_SIZE, .vid = vid };

	return (struct frame_form){ mask.form, want.form };
}

static inline bool frame_has_form(const struct frame *f, struct frame_form form)
{
	return (f->form & form.mask) == form.want;
}

static inline uint64_t mac_load(const uint8_t *mac)
{
	uint32_t lo;
	uint16_t hi;

	memcpy(&lo, mac, sizeof(lo));
	memcpy(&hi, mac + 4, sizeof(hi));
	return lo | (uint64_t)hi << 32;
}

static inline void mac_store(uint8_t *mac, uint64_t v)
{
	memcpy(mac, &v, 4);
	mac[4] = (uint8_t)(v >> 32);
	mac[5] = (uint8_t)(v >> 40);
}

/* MACs as numbers are in memory order: the first byte is the lowest, so the group bit is bit 0. */
#define MAC_GROUP     1ull
#define MAC_BROADCAST 0xffffffffffffull

/* Takes the snapshot: addresses, tag, ethertype, body; checks size and the offload fields against
 * the frame. Sets f->drop and returns false for what cannot be a frame. */
bool frame_parse_slow(struct frame *f);
bool frame_parse_offloads(struct frame *f);
/* Whether the L4 header of a large send is right behind the IP header `ip`, and the one that is named there. */
bool frame_tso_is_plain(const struct frame *f, const uint8_t ip[20]);
/* With the addresses as numbers, from registers: reading them back from f->mac so soon would wait for
 * the stores, which are not cut where the addresses are. */
static inline bool frame_parse_macs(struct frame *f, uint64_t *dest, uint64_t *source)
{
	uint64_t lo, hi;

	if (unlikely(f->seg_size < sizeof(lo) + sizeof(hi) || f->size > FRAME_SIZE_MAX ||
		     (f->flags & FRAME_TAGGED) != 0))
		goto slow;
	memcpy(&lo, f->va, sizeof(lo));
	memcpy(&hi, f->va + sizeof(lo), sizeof(hi));
	lo = le64toh(lo);
	hi = le64toh(hi);
	f->ethertype = __builtin_bswap16((uint16_t)(hi >> 32));
	if (unlikely(f->ethertype == ETH_TYPE_VLAN))
		goto slow;
	*dest = lo & 0xffffffffffff;
	*source = lo >> 48 | (hi & 0xffffffff) << 16;
	memcpy(f->header, &(uint64_t){ htole64(lo) }, sizeof(lo));
	memcpy(f->header + sizeof(lo), &(uint64_t){ htole64(hi) }, sizeof(hi));
	f->body = ETH_ADDRS_SIZE;
	f->tci = 0;
	f->drop = DROP_NONE;
	return likely((f->flags & FRAME_WORK) == 0) || frame_parse_offloads(f);
slow:
	if (!frame_parse_slow(f))
		return false;
	*dest = mac_load(f->mac);
	*source = mac_load(f->mac + 6);
	return true;
}

static inline bool frame_parse(struct frame *f)
{
	uint64_t dest, source;

	return frame_parse_macs(f, &dest, &source);
}

/* Copies `size` bytes from `offset` of the sender's bytes. The caller has checked that they are
 * inside the frame. */
void frame_read(const struct frame *f, uint32_t offset, void *dst, uint32_t size);

#endif
