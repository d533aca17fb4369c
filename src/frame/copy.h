/* SPDX-License-Identifier: BSD-3-Clause */
/* The one copy: from the sender's segments to the receiver's, with what has to be done on the way. */
#ifndef SOFTIOV_FRAME_COPY_H
#define SOFTIOV_FRAME_COPY_H

#include "frame/rss.h"

struct seg_out {
	uint8_t *va;
	uint32_t size;
};

enum copy_flag {
	COPY_TAG =
		1 << 0, /* write the tag (f->tci) into the bytes; without it the tag is left out */
	COPY_CSUM =
		1 << 1, /* compute the checksums that f->flags ask for; without it the fields are
			       copied as they are, and the receiver must be told */
};

/* Bytes that frame_copy will write. */
static inline uint32_t frame_copy_size(const struct frame *f, unsigned int copy_flags)
{
	return f->size + ((copy_flags & COPY_TAG) != 0 ? 4 : 0);
}

/* Copies the parsed frame f into out[0..n_out), which must hold frame_copy_size() bytes in all.
 * No TSO: see gso.h. Fills out[] front to back; returns the number of out segments touched. The last
 * one holds what is left over. */
unsigned int frame_copy_slow(const struct frame *f, const struct seg_out *out, unsigned int n_out,
			     unsigned int copy_flags);

/* What a receiver that looks at each checksum finds. */
enum verify_flag {
	VERIFY_IP4 = 1 << 0, /* there is an IPv4 header checksum */
	VERIFY_IP4_BAD = 1 << 1,
	VERIFY_L4 = 1 << 2, /* there is a TCP, UDP or SCTP checksum that can be checked */
	VERIFY_L4_BAD = 1 << 3,
};

/* Checks f as frame_copy has written it to out[], `packet` and `l3_size` of which are in *r. No L4 checksum is
 * checked of fragments, of UDP without one (0), of packets whose lengths do not fit, and where the addresses
 * that count are in a routing header or home address option. Bytes behind the packet (padding) do not count.
 * `known`: VERIFY_L4 if that checksum is known to be good. Somebody may be writing to the bytes: then the answer
 * may be wrong, and no more. */
unsigned int frame_verify(const struct frame *f, const struct rss_result *r,
			  const struct seg_out *out, unsigned int copy_flags, unsigned int known);

/* memcpy for frames: small sizes inline, no call. */
static inline void copy_bytes(uint8_t *dst, const uint8_t *src, uint32_t size)
{
	if (likely(size <= 64 && size >= 32)) {
		typedef uint64_t v2 __attribute__((vector_size(16), aligned(1), may_alias));
		v2 a = *(const v2 *)src, b = *(const v2 *)(src + 16);
		v2 c = *(const v2 *)(src + size - 32), d = *(const v2 *)(src + size - 16);

		*(v2 *)dst = a;
		*(v2 *)(dst + 16) = b;
		*(v2 *)(dst + size - 32) = c;
		*(v2 *)(dst + size - 16) = d;
		return;
	}
	memcpy(dst, src, size);
}

/* Whether it lies in one segment, with no tag inside it. */
static inline bool frame_is_plain(const struct frame *f)
{
	return f->n_segs == 1 && f->body == ETH_ADDRS_SIZE;
}

/* A plain one of which nothing is to be computed. */
static inline void frame_copy_plain(const struct frame *f, uint8_t *va)
{
	copy_bytes(va, f->va, f->size);
	/* What was decided on, not what the sender may have put there since: with another ethertype the frame
	 * would have a VLAN tag that nobody checked. */
	memcpy(va, f->header, FRAME_SIZE_MIN);
}

/* The same of one in two segments: a pinned one (flow.h), or a piece of a large send. */
static inline void frame_copy_two(const struct frame *f, uint8_t *va)
{
	uint32_t first = f->seg_size;

	copy_bytes(va, f->va, first);
	memcpy(va + first, f->more[0].va, f->size - first);
	memcpy(va, f->header, FRAME_SIZE_MIN);
}

/* The fast path inline: one segment in, one out, nothing to do on the way. */
static inline void frame_copy(const struct frame *f, const struct seg_out *out, unsigned int n_out,
			      unsigned int copy_flags)
{
	if (likely(frame_is_plain(f) && n_out == 1 && (copy_flags & COPY_TAG) == 0 &&
		   (f->flags & (FRAME_L4_CSUM | FRAME_IP4_CSUM)) == 0)) {
		frame_copy_plain(f, out->va);
		return;
	}
	frame_copy_slow(f, out, n_out, copy_flags);
}

#endif
