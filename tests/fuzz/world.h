/* SPDX-License-Identifier: BSD-3-Clause */
/* A switch with the guest that is fuzzed and others that are not, and what must hold whatever the former does:
 *
 *  1. Each frame that is pulled lies in the sender's memory, and ends as dropped and counted or is pushed.
 *  2. Each frame that is pushed to a receiver is counted there, as received or by one drop reason.
 *  3. Only those receive a frame whom it is for: by address, by the sender's VLANs and by the receiver's. A
 *     plain frame arrives byte for byte.
 *  4. With guards on, nobody receives from the fuzzed guest what they stop, as it lies in what is delivered.
 *  5. Afterwards the others still pass frames to each other, and, once its driver begins anew, with the
 *     fuzzed guest.
 *
 * Ports: 0 is the fuzzed guest's; an honest VF (82599) and an honest synthetic adapter; a port in a VLAN of
 * its own; an uplink, which gets what nobody else is known to have. */
#ifndef SOFTIOV_TESTS_FUZZ_WORLD_H
#define SOFTIOV_TESTS_FUZZ_WORLD_H

#include "net_guest.h"
#include "switch/switch.h"
#include "vf_guest.h"

enum world_port {
	PORT_FUZZED,
	PORT_HONEST_VF,
	PORT_HONEST_NET,
	PORT_APART,
	PORT_OUTSIDE,
	PORTS
};

struct world {
	struct vswitch sw;
	struct forwarder *fw;
	struct port_config port[PORTS];
	const struct endpoint_ops *ops[PORTS]; /* the real ones */
	struct vf_guest vf;
	struct net_guest net;
	struct endpoint apart, outside;
	struct port_policy policy; /* of the fuzzed port */
	struct bucket storm;
	struct burst burst;
	/* Of the burst under way: */
	unsigned int from;
	bool seen[BURST_MAX]; /* was pushed somewhere */
	bool in_push;
	uint64_t n_pushed; /* since the input's start */
};

/* Brings the honest guests up; `ep` is the fuzzed guest's. Call once for each input; the world stays. */
struct world *world_start(struct endpoint *ep);
/* What the fuzzed port may do, from now on. */
void world_policy(struct world *w, const struct vf_policy *policy, const uint64_t *macs,
		  unsigned int n_macs);
/* Bits: 1 DHCP guard, 2 router guard, 4 it has one address of each family, 8 it may send few frames to all. */
void world_guards(struct world *w, uint8_t how);
/* A worker's visit to a queue of a port, which need not have frames; the honest guests take what has come, or
 * keep it. */
void world_serve_kept(struct world *w, unsigned int port, unsigned int q);
void world_serve(struct world *w, unsigned int port, unsigned int q);
/* An honest guest sends a frame as the input asks. */
void world_honest_sends(struct world *w, struct input *in);
/* The honest guests take what has come. */
void world_drain(struct world *w);
/* The honest guests pass frames to each other. */
void world_check(struct world *w);
/* Frames that honest guests send, and those in the test of the fuzzed guest's good will; size 60. */
void world_plain_frame(uint8_t *bytes, uint64_t dest, uint64_t source);
#define WORLD_FRAME_SIZE 60u
/* The honest synthetic adapter has got exactly this frame, last. */
void world_net_has(struct world *w, const uint8_t *bytes);

#endif
