/* SPDX-License-Identifier: BSD-3-Clause */
/* Segmentation of large-send frames (TCP, and UDP into datagrams) for receivers that cannot take them
 * whole.
 *
 * Each piece is a frame of its own: a patched copy of the headers in `struct gso` and slices of the
 * sender's payload, still uncopied, with FRAME_L4_CSUM (and FRAME_IP4_CSUM) set, so that the one copy
 * computes the sums. Pieces live in the `struct gso` and are valid until the next gso_next. */
#ifndef SOFTIOV_FRAME_GSO_H
#define SOFTIOV_FRAME_GSO_H

#include "frame/frame.h"

#define GSO_HDR_MAX \
	192 /* Ethernet + IP + TCP with all options, untagged; more is DROP_BAD_OFFLOAD */

/* Pieces of one frame; more is DROP_BAD_OFFLOAD. Room for 64 KiB at the smallest MSS that Linux
 * sends with (TCP_MIN_SND_MSS, 48, in 6.12); without a limit, a guest that asks for pieces of one byte
 * would keep its worker from everybody else for a second with each burst. */
#define GSO_PIECES_MAX 2048

struct gso_piece {
	uint8_t hdr[GSO_HDR_MAX];
	struct seg seg[FRAME_SEGS + 1]; /* headers that are pinned (flow.h) are a segment more */
};

struct gso {
	const struct frame *f;
	uint32_t offset;        /* payload bytes done */
	uint32_t payload;       /* payload bytes in all */
	uint32_t n_done, n_ids; /* IP's identifications used up, and those of one piece */
	unsigned int seg_idx;   /* where in the sender's segments `offset` lies */
	uint32_t seg_offset;
	uint8_t hdr[GSO_HDR_MAX]; /* snapshot of the headers, taken once */
};

/* False (and f->drop set) if the headers are not what f->flags say. */
bool gso_start(struct gso *gso, struct frame *f);
/* Pieces that gso_next will yield in all. */
uint32_t gso_pieces(const struct gso *gso);
/* Makes the next piece in `out`, using `piece` for its memory: of up to FRAME_SEGS + 2 segments, as its
 * headers are one. False at the end. */
bool gso_next(struct gso *gso, struct frame *out, struct gso_piece *piece);

#endif
