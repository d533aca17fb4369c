/* SPDX-License-Identifier: BSD-3-Clause */
/* Who may send next: what a NIC's transmit arbiter decides between its queues.
 *
 * A worker asks before it looks at a transmit queue of a vport that has limits, and says afterwards what it
 * took. A queue that may not be served is left alone: its frames wait in the guest's ring, the switch
 * buffers nothing, and the guest's own stack feels that the link is as slow as it shall be.
 *
 * What the VM receives cannot wait like that: the frames lie in rings of senders that have others to send
 * to. So that is policed: what exceeds the rate, or its part of what uplinks bring (switch/intake.h), is dropped where it
 * would enter the vport.
 *
 * Its part of the uplinks' link (switch/share.h) it gets in the same way: a vport that has had it waits, with all
 * that it sends, as long as others want theirs.
 *
 * One for each port, for all queues of its adapters, whatever workers serve them. It lives as long as the
 * port does, outside of snapshots; control changes its rates while workers use it.
 */
#ifndef SOFTIOV_SWITCH_ARBITER_H
#define SOFTIOV_SWITCH_ARBITER_H

#include "frame/queue.h"
#include "switch/intake.h"
#include "switch/share.h"

struct arbiter {
	struct bucket tx;                      /* what the VM sends */
	struct bucket rx;                      /* what it receives */
	_Atomic(struct share_member *) member; /* of the uplinks' link; NULL: that is not divided */
	_Atomic(struct intake_member *) intake; /* of what comes in by them; likewise */
	/* Frames that waited for the transmit bucket, and that were not let in. */
	_Atomic uint64_t waited_frames, waited_bytes;
	_Atomic uint64_t policed_frames, policed_bytes;
} __attribute__((aligned(CACHE_LINE)));

/* What the frame is on the link, headers of a large send's pieces included: a limit must not depend on who cuts. */
static inline uint32_t frame_wire_size(const struct frame *f)
{
	if (likely((f->flags & FRAME_TSO) == 0) || f->mss == 0 || f->size <= f->hdr_size)
		return f->size;
	return f->size + (f->size - f->hdr_size - 1) / f->mss * f->hdr_size;
}

/* What is known of a queue. */
struct arbiter_queue {
	uint32_t mean_size; /* of the frames that it had last */
	bool waited;        /* it was refused at the last visit */
	struct share_queue share;
};

/* Frames that the queue may be served with now, BURST_MAX at most, if they are as long as its last ones. */
unsigned int arbiter_room(const struct arbiter *a, struct arbiter_queue *q, uint64_t now_ns);
/* After how many nanoseconds to ask again, if that was none. */
uint64_t arbiter_wait(const struct arbiter *a, const struct arbiter_queue *q, uint64_t now_ns);
/* The queue was served with these frames, perhaps none, of which `uplink` went to uplinks. */
void arbiter_served(struct arbiter *a, struct arbiter_queue *q, const struct burst *burst,
		    const struct share_load *uplink, uint64_t now_ns);

struct inspect;
struct port_policy;
/* Policies' stages (policy.h). */
void share_count(struct inspect *inspect, const struct port_policy *uplink, uint32_t frames);
uint32_t police_in(struct inspect *inspect, struct arbiter *a, uint32_t frames);

#endif
