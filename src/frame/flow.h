/* SPDX-License-Identifier: BSD-3-Clause */
/* What policies go by: a frame's headers, read once.
 *
 * A guest can change its memory at any time, so a header that was judged must be the header that is
 * delivered. flow_pin() copies the frame's first bytes to memory of our own and has the frame begin
 * there; flow_parse() reads those. Frames of which nothing but addresses and tag matters are not pinned
 * (frame.h).
 */
#ifndef SOFTIOV_FRAME_FLOW_H
#define SOFTIOV_FRAME_FLOW_H

#include <string.h>

#include "frame/copy.h"
#include "frame/ip.h"

/* Ethernet, tag, IPv6, 60 bytes of extension headers, TCP with all its options. */
#define FLOW_PIN_SIZE 192
/* Ethernet, IPv4, TCP: enough of most frames. */
#define FLOW_PIN_QUICK 64

enum flow_flag {
	FLOW_IPV4 = 1 << 0,
	FLOW_IPV6 = 1 << 1,
	FLOW_L4 = 1 << 2,    /* proto's header is there: ports, or ICMP's type and code */
	FLOW_FIRST = 1 << 3, /* a fragment, the first one */
	FLOW_LATER = 1 << 4, /* a fragment, another one: it has no L4 header */
	/* IP headers that contradict themselves, hide the L4 header behind what is pinned, or a first fragment that
	 * leaves it to the next one (RFC 1858, 3; RFC 7112): nobody can say what it carries. */
	/* Or offloads that would change them afterwards. */
	FLOW_OBSCURE = 1 << 5,
};
#define FLOW_IP (FLOW_IPV4 | FLOW_IPV6)

/* Numbers are in network order, as classifiers compare them. */
struct flow {
	uint8_t flags; /* enum flow_flag */
	uint8_t proto; /* with FLOW_IP: the L4 protocol */
	uint8_t tos;   /* DSCP and ECN */
	uint8_t tcp;   /* with FLOW_L4 of TCP: its flags */
	uint16_t sport,
		dport; /* TCP, UDP, SCTP; of ICMP: type and code, each in the high byte of its number */
	uint8_t source[16], dest[16]; /* IPv4: the first 4 bytes, the others 0 */
	uint16_t l3, l4;    /* where the headers begin, as frame_parse counts; 0: not there */
	uint16_t size;      /* pinned bytes of the untagged frame; of IP, without padding */
	uint16_t ethertype; /* host order, as in the frame */
	const uint8_t *
		header; /* where byte 0 of the untagged frame would be: valid from byte 14 to `size` */
};

/* Has f, after frame_parse, begin with `bytes` [FLOW_PIN_SIZE], its own first bytes: of a plain frame FLOW_PIN_QUICK of
 * them, until flow_pin_rest. `more` has room for f->n_segs + 1 segments; both must live as long as f. Returns the
 * segments used. */
unsigned int flow_pin(struct frame *f, uint8_t *bytes, struct seg *more);
unsigned int flow_pin_rest(struct frame *f, uint8_t *bytes, struct seg *more);

/* flow_pin of a plain frame (frame_is_plain). */
static inline unsigned int flow_pin_plain(struct frame *f, uint8_t *bytes, struct seg *more)
{
	const uint8_t *va = f->va;
	uint32_t size = f->size;

	f->va = bytes;
	if (size <= FLOW_PIN_QUICK) {
		copy_bytes(bytes, va, size);
		return 0;
	}
	memcpy(bytes, va, FLOW_PIN_QUICK);
	*more = (struct seg){ va + FLOW_PIN_QUICK, size - FLOW_PIN_QUICK };
	f->seg_size = FLOW_PIN_QUICK;
	f->more = more;
	f->n_segs = 2;
	return 1;
}

/* Reads the headers of f, which is pinned. */
void flow_parse(const struct frame *f, struct flow *flow);

#endif
