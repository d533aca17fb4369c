/* SPDX-License-Identifier: BSD-3-Clause */
/* A link that is divided: who may send to it while more want to than it carries.
 *
 * Each member has a part of the link. The link has a bucket, and while that has tokens, members are served whose
 * deficit is not overdrawn, as a NIC's arbiter serves its queues by weighted deficits. Deficits are kept as in
 * fair queueing (Golestani, "A Self-Clocked Fair Queueing Scheme", INFOCOM 1994): the link has a clock, and each
 * member the reading of that clock up to which it has had its part.
 *
 *  1. A member that is active (it has frames for the link) and sends n bytes moves its own reading by n / part,
 *     and the link's clock by n / (parts of all active ones). It may send while its reading is not ahead.
 *     So what members are behind and ahead adds up to nothing: there is always one that may send, nobody waits for one
 *     that does not want to, and who wants gets what others leave, in proportion to the parts.
 *  2. Who comes to be active starts from the link's clock: nothing is saved up.
 *  3. Who has no more frames leaves what it was behind to the others.
 *  4. A bucket that is full means that nobody sends, whatever the readings are. Then nobody is refused: so errors of
 *     the readings, which workers move without a lock, end by themselves.
 *
 * Several queues may be of one member (those of a vport; the vports of the default flow): they take turns.
 *
 * Control builds one for all members and replaces it as a whole; it may be freed after the workers' next quiescent
 * point.
 */
#ifndef SOFTIOV_SWITCH_SHARE_H
#define SOFTIOV_SWITCH_SHARE_H

#include "base/bits.h"
#include "switch/bucket.h"

#define SHARE_WHOLE (1u << 20) /* all of the link */

struct share;

struct share_member {
	struct share *share;
	uint64_t part;             /* of SHARE_WHOLE, not 0 */
	_Atomic uint64_t had;      /* the reading up to which it has had its part */
	_Atomic uint32_t n_active; /* of its queues */
} __attribute__((aligned(CACHE_LINE)));

struct share {
	uint64_t epoch; /* its number: queues know by it of which one they are active members */
	struct bucket gate;
	_Atomic uint64_t clock __attribute__((aligned(CACHE_LINE)));
	_Atomic uint64_t active; /* sum of the parts of those who are */
	struct share_member member[];
};

/* A link of `rate` bit/s, with room for members: their parts are to be set by the caller. NULL without memory. free()
 * it. */
struct share *share_new(uint64_t rate, unsigned int n_members, uint64_t now_ns);

/* What a queue must remember; zeroed at first. */
struct share_queue {
	uint64_t active; /* epoch in which it has been counted as active; 0: it is not */
};

/* Bytes that the member may send now; 0 or less: none. */
int64_t share_bytes(const struct share_member *m, uint64_t now_ns);
/* After how many nanoseconds to ask again. */
uint64_t share_wait(const struct share_member *m, uint64_t now_ns);
/* Its queue sent so many bytes to the link, 0 if it had nothing for it. */
void share_sent(struct share_member *m, struct share_queue *q, uint64_t bytes, uint64_t now_ns);
/* Its queue has nothing to send, or may not for another reason. */
void share_leave(struct share_member *m, struct share_queue *q);

#endif
