/* SPDX-License-Identifier: BSD-3-Clause */
/* What comes in by uplinks, divided between those it is for while it is more than the link carries.
 *
 * It cannot wait, as what VMs send does (switch/share.h): the frames have come, in one queue for all. So they are
 * policed. Every 20 ms one of the workers looks at what came for each member meanwhile, and gives out what the link carries
 * until the next time:
 *
 *  1. Each has its part of it, which nobody takes from it.
 *  2. What some leave of their parts is for all who want more, in proportion to their parts, as far as they want it (max-min
 *     fairness; Bertsekas and Gallager, "Data Networks", 6.5.2). It may be taken as long as the link has some.
 *  3. If nobody wants more than there is, each may have all of it, as long as the link has some.
 *
 * Workers take without a lock. What several take at once beyond what there is, is missing the next time.
 *
 * Control builds one for all members and replaces it as a whole; it may be freed after the workers' next quiescent
 * point.
 */
#ifndef SOFTIOV_SWITCH_INTAKE_H
#define SOFTIOV_SWITCH_INTAKE_H

#include "base/bits.h"
#include "switch/share.h"

struct intake;

/* Amounts are in bytes << INTAKE_SHIFT. */
#define INTAKE_SHIFT 8

struct intake_member {
	struct intake *intake;
	uint64_t part;           /* of SHARE_WHOLE */
	_Atomic int64_t own;     /* left of its part */
	_Atomic int64_t more;    /* left of what it may have besides */
	_Atomic uint64_t wanted; /* bytes that came for it */
	/* The divider's. */
	uint64_t seen; /* of wanted */
	double want;   /* since the last time */
	double given;  /* by its part */
	bool content;  /* it wants no more than its share */
} __attribute__((aligned(CACHE_LINE)));

struct intake {
	uint64_t rate;        /* bit/s */
	_Atomic int64_t left; /* of what the link carries */
	_Atomic uint64_t divided_ns;
	atomic_flag dividing;
	unsigned int n_members;
	struct intake_member member[];
};

/* A link of `rate` bit/s, with room for members: their parts are to be set by intake_set. What was taken of `old`, if that is
 * not NULL, is missing. NULL without memory. free() it. */
struct intake *intake_new(uint64_t rate, unsigned int n_members, const struct intake *old,
			  uint64_t now_ns);
/* The part of member `idx`, not 0. Returns the member. */
struct intake_member *intake_set(struct intake *in, unsigned int idx, uint64_t part);

/* Of a set of frames (bit i: the one with size[i]) those that pass. Workers. */
uint32_t intake_police(struct intake_member *m, const uint32_t size[], uint32_t frames,
		       uint64_t now_ns);

#endif
