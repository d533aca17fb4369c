/* SPDX-License-Identifier: BSD-3-Clause */
/* Frames that ask the device for work: an L4 checksum, a VLAN tag, or to be cut into TCP segments
 * (large send); and the check of what the receiver gets for them.
 *
 * Descriptors are written once, so what slot n asks for is settled by n: the wishes of a set take turns.
 * A frame is Ethernet, perhaps a tag, IPv4 or IPv6, UDP or TCP, a stamp, and bytes that follow from it.
 * From a receiver's point of view:
 *  1. All headers are known in advance but the L4 checksum, which is recomputed; a virtio receiver may get
 *     it unfinished, then the pseudo-header's sum and the place that the header names are checked.
 *  2. Segments of a large send come in order, without a gap, each with the next sequence number and
 *     IPv4 identification, all of one size but the last, PSH and FIN in the last only. A receiver that
 *     agreed to take them whole gets one, or two if the header's length has no room for one.
 *  3. Frames of a flow come in order and without a gap, and everything that was received is overwritten.
 */
#ifndef SOFTIOV_BENCH_OFFLOAD_H
#define SOFTIOV_BENCH_OFFLOAD_H

#include "bench/port.h"
#include "bench/traffic.h"

#define OFFLOAD_SIZE_MOST 65536 /* of a large send */
#define OFFLOAD_SLOT_SIZE (OFFLOAD_SIZE_MOST + 192)
#define OFFLOAD_MSS       1428   /* with all headers and a tag not above 1518 bytes */
#define OFFLOAD_TCI       0xa007 /* VLAN 7, priority 5 */
#define OFFLOAD_VID       7
#define PORT_NUMBERS      256 /* senders that a receiver tells apart */

enum offload {
	OFFLOAD_NONE,
	OFFLOAD_CSUM,
	OFFLOAD_TSO,
	OFFLOAD_VLAN,
	OFFLOAD_MIX,
	OFFLOAD_N,
};
extern const char *const offload_names[OFFLOAD_N];

enum tag {
	TAG_NONE,
	TAG_INSERT, /* asked for by descriptor, where the device can; otherwise in the bytes */
	TAG_INSIDE,
};

struct wish {
	bool v6, tcp, csum, tso;
	enum tag tag;
};

/* What slot `idx` asks for. */
const struct wish *offload_wish(enum offload set, uint32_t idx);
bool offload_has_tags(enum offload set);

/* Sizes count all bytes on the wire, with the tag. Less than headers and stamp need is not possible:
 * then the frame has as many as these. */
struct offload_frame {
	const struct wish *wish;
	uint16_t from, to, flow;
	uint32_t seq; /* within the flow */
	uint32_t size;
};
/* Bytes of the frame in the sender's slot, and what its descriptor says. */
uint32_t offload_request(const struct offload_frame *o, const struct port *p, struct tx_request *r);
/* Writes the frame as the port's device wants it from its driver. */
void offload_build(uint8_t *frame, const struct offload_frame *o, const struct port *p);
/* Most buffers that one frame of the set takes of a receive ring. */
uint32_t offload_buffers(enum offload set, uint32_t size);

/* A flow at its receiver. `at` is the next payload byte of a large send that has begun. */
struct offload_flow {
	uint32_t next;
	uint32_t at;
	uint32_t n_pieces;
	struct stamp stamp; /* of the frame that has begun */
};
struct offload_flows {
	struct offload_flow flow[FLOWS_MAX];
};

/* A receiver: puts buffers together until a frame ends. */
struct offload_rx {
	enum offload set;
	uint16_t self;
	struct offload_flows *const *flows; /* by sender's number, PORT_NUMBERS of them */
	struct verdict *verdict;
	uint32_t size; /* of what is there of the frame */
	struct rx_note note;
	uint8_t frame[OFFLOAD_SLOT_SIZE];
};

/* Takes the i-th frame (or part of one) of the port's last rx_take and overwrites it. Returns how many
 * frames, as they were sent, ended with it: 0 or 1, or 2 if the end of the one before is missing. */
uint32_t offload_take(struct offload_rx *rx, struct port *p, uint32_t i,
		      const struct port_frame *frame);

#endif
