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
 *  4. A bucket that is full means that nobody sends, whatever the readings are. Then nobody is refused, and what anybody
 *     was behind is over: so errors of the readings, which workers move without a lock, end by themselves, and so does the
 *     claim of one whose worker was held up while the others went on like that.
 *
 * Several queues may be of one member (those of a vport; the vports of the default flow): they take turns.
 *
 * A link may have classes of traffic. Then they divide it in the same way, and each class is divided between the
 * members that are active in it. Strict classes come first, the highest number before the others (802.1Q, 8.6.8.1);
 * those with parts divide what strict ones leave (802.1Q, 8.6.8.3). Whose frames are next is known only when they are taken
 * from their queue, so a queue is taken to be of the class that most bytes of its last burst were of, and all of a burst is
 * charged there: a few frames of a better class at its end get a burst no better turn, and no other member is charged for
 * it. What it was ahead by in another class, it still is when it comes back. One that had no frames lately may show them,
 * but one only while strict classes have some.
 *
 * Control builds one for all members and replaces it as a whole; it may be freed after the workers' next quiescent
 * point.
 */
#ifndef SOFTIOV_SWITCH_SHARE_H
#define SOFTIOV_SWITCH_SHARE_H

#include "base/bits.h"
#include "switch/bucket.h"

#define SHARE_WHOLE   (1u << 20) /* all of the link */
#define SHARE_CLASSES 8

struct share;

/* What is divided: a link between its classes, a class between its members. */
struct share_clock {
	_Atomic uint64_t now;
	_Atomic uint64_t
		idle; /* what it was when the link's bucket was full last: nobody is behind that */
	_Atomic uint64_t active; /* sum of the parts of those who are */
};

struct share_part {
	uint64_t part;             /* of SHARE_WHOLE, not 0 */
	_Atomic uint64_t had;      /* the reading up to which it has had its part */
	_Atomic uint32_t n_active; /* of its queues, or its members */
};

/* In one class. */
struct share_member {
	struct share *share;
	struct share_part in;
} __attribute__((aligned(CACHE_LINE)));

struct share_class {
	struct share_part in; /* of the link */
	struct share_clock clock __attribute__((aligned(CACHE_LINE)));
	uint8_t before; /* mask of classes that are served before this one */
	bool strict;
};

struct share {
	uint64_t epoch; /* its number: queues know by it of which one they are active members */
	unsigned int n_classes;
	uint8_t strict; /* mask of classes */
	struct bucket gate;
	struct share_clock clock __attribute__((aligned(CACHE_LINE)));
	struct share_class class[SHARE_CLASSES];
	struct share_member member[]; /* a row of n_classes for each */
};

/* What the classes of a link get; n 1: there are none. */
struct share_classes {
	unsigned int n;
	uint8_t strict;               /* mask */
	uint64_t part[SHARE_CLASSES]; /* of the others, of SHARE_WHOLE; not 0 */
};

/* A link of `rate` bit/s, with room for members: their parts are to be set by share_set. NULL without memory. free()
 * it. */
struct share *share_new(uint64_t rate, const struct share_classes *classes, unsigned int n_members,
			uint64_t now_ns);
/* The part of member `idx`, in each class. Returns the member. */
struct share_member *share_set(struct share *s, unsigned int idx, uint64_t part);

/* What a queue must remember; zeroed at first. */
struct share_queue {
	uint64_t active;  /* epoch in which it has been counted as active; 0: it is not */
	uint8_t in_class; /* in which */
};

/* What a queue sent to the link. */
struct share_load {
	uint64_t bytes[SHARE_CLASSES];
};

/* Bytes that the queue of member m, its row's first, may send now; 0 or less: none. */
int64_t share_bytes(const struct share_member *m, const struct share_queue *q, uint64_t now_ns);
/* After how many nanoseconds to ask again. */
uint64_t share_wait(const struct share_member *m, const struct share_queue *q, uint64_t now_ns);
/* Its queue sent so much to the link, nothing if it had nothing for it. */
void share_sent(struct share_member *m, struct share_queue *q, const struct share_load *load,
		uint64_t now_ns);
/* Its queue has nothing to send, or may not for another reason. */
void share_leave(struct share_member *m, struct share_queue *q);

#endif
