/* SPDX-License-Identifier: BSD-3-Clause */
/* What comes in by uplinks, divided between those it is for while it is more than the link carries.
 *
 * It cannot wait, as what VMs send does (switch/share.h): the frames have come, in one queue for all. So they are
 * policed. Each member has a part of the link, and passes at least that. What others leave of theirs goes to those who
 * want more, in proportion to their parts: every 20 ms one of the workers looks at what came for each meanwhile, and says
 * how much it may have from now on (max-min fairness; Bertsekas and Gallager, "Data Networks", 6.5.2).
 *
 * Control builds one for all members and replaces it as a whole; it may be freed after the workers' next quiescent
 * point.
 */
#ifndef SOFTIOV_SWITCH_INTAKE_H
#define SOFTIOV_SWITCH_INTAKE_H

#include "base/bits.h"
#include "switch/bucket.h"

#define INTAKE_WHOLE (1u << 20) /* all of the link */

struct intake;

struct intake_member {
	struct intake *intake;
	uint64_t part;           /* of INTAKE_WHOLE */
	_Atomic bool more;       /* it has some of what others leave */
	_Atomic uint64_t wanted; /* bytes that came for it */
	struct bucket cap;       /* what it may have */
	/* The divider's. */
	uint64_t seen;  /* of wanted */
	uint64_t want;  /* bytes since the last division */
	uint64_t given; /* of the next one */
	bool content;   /* it wants no more than that */
} __attribute__((aligned(CACHE_LINE)));

struct intake {
	uint64_t rate;      /* bit/s */
	struct bucket link; /* all that passes */
	_Atomic uint64_t divided_ns;
	atomic_flag dividing;
	unsigned int n_members;
	struct intake_member member[];
};

/* A link of `rate` bit/s, with room for members: their parts are to be set by intake_set. NULL without memory. free() it. */
struct intake *intake_new(uint64_t rate, unsigned int n_members, uint64_t now_ns);
/* The part of member `idx`, not 0. Returns the member. */
struct intake_member *intake_set(struct intake *in, unsigned int idx, uint64_t part,
				 uint64_t now_ns);

/* Of the set of frames with these sizes those that pass. Workers. */
uint32_t intake_police(struct intake_member *m, const uint32_t size[], uint32_t frames,
		       uint64_t now_ns);

#endif
