/* SPDX-License-Identifier: BSD-3-Clause */
/* Policies: what a port enforces beyond forwarding.
 *
 * A frame passes them twice: when it leaves the sender's port (out, as its VM sees it), before anybody asks where
 * it goes, and for each receiver when it enters that one's port (in). So it makes no difference by which path
 * it comes or goes. The order is policy_out's and policy_in's (policy.c), which is Hyper-V's: extensions, guards,
 * ACLs, classification, meters; in, extensions come after ACLs.
 *
 * Each policy is a stage: a function that takes a set of the burst's frames and returns those that go on; the
 * others have their reason (inspect_drop), which is DROP_NONE if an extension sends them elsewhere. Sets are masks:
 * bit i is burst->frame[i]. A port without policies costs one branch a burst.
 *
 * Control builds a struct port_policy, and never changes it once it is in a snapshot. What stages count lies
 * in memory that outlives it.
 */
#ifndef SOFTIOV_SWITCH_POLICY_H
#define SOFTIOV_SWITCH_POLICY_H

#include "base/clock.h"
#include "frame/flow.h"
#include "frame/queue.h"
#include "switch/acl.h"
#include "switch/arbiter.h"
#include "switch/extension.h"
#include "switch/guard.h"
#include "switch/qos.h"

/* Of an uplink whose link is divided: into which classes. */
struct uplink_shares {
	bool by_priority; /* the classes of these, else those that qos_out gave */
	uint8_t class_of[SHARE_CLASSES];
};

struct port_policy {
	struct port_policy *next; /* of its owner */
	struct guard guard;
	struct arbiter *police;   /* whose limits for receiving hold; NULL: none */
	const struct acl *acl;    /* NULL: no rules */
	struct qos *qos;          /* goes with this policy; NULL: no policies of classification */
	struct acl *dead_acl;     /* of its owner: goes with this policy */
	struct conns *dead_conns; /* likewise */
	bool shared;              /* an uplink, whose link is divided: what goes there is counted */
	struct uplink_shares shares;
	struct extensions extensions[EXTENSION_HOOKS];
};

/* What stages know of a burst. A worker's scratch memory. */
struct inspect {
	struct burst *burst;
	uint32_t pinned;     /* the frames that begin in header[] */
	uint32_t parsed;     /* those whose flow[] is there */
	uint32_t redirected; /* those that an extension has sent to port to[] */
	uint32_t now_s;      /* coarse */
	bool from_uplink;    /* the burst is from one */
	bool dry;            /* only looks: no connection is to be remembered (switch_trace) */
	uint32_t taken;      /* those that a port has let in: they count no more (intake.h) */
	uint64_t now_ns;     /* when somebody first asked; 0: nobody did */
	unsigned int n_segs;
	uint32_t classified; /* those whose traffic_class[] is there */
	struct share_load
		uplink; /* that went where the link is divided; who asks for it sets it to 0 before */
	uint8_t reason[BURST_MAX]; /* enum drop_reason, of those that did not get on */
	uint8_t traffic_class[BURST_MAX];
	uint16_t to[BURST_MAX];
	const struct extension *by[BURST_MAX]; /* that dropped or redirected it */
	struct flow flow[BURST_MAX];
	struct acl_memo memo[ACL_MEMOS];
	struct seg seg[BURST_SEGS + 2 * BURST_MAX];
	uint8_t header[BURST_MAX][FLOW_PIN_SIZE] __attribute__((aligned(CACHE_LINE)));
};

static inline void inspect_start(struct inspect *inspect, struct burst *burst)
{
	inspect->burst = burst;
	inspect->pinned = 0;
	inspect->parsed = 0;
	inspect->redirected = 0;
	inspect->taken = 0;
	inspect->now_ns = 0;
	inspect->n_segs = 0;
	inspect->classified = 0;
}

/* The time of the burst. */
static inline uint64_t inspect_now(struct inspect *inspect)
{
	if (inspect->now_ns == 0)
		inspect->now_ns = clock_ns();
	return inspect->now_ns;
}

/* From now on the first headers of frame i are delivered as they are now, FLOW_PIN_QUICK bytes at least. */
static inline void inspect_pin_quick(struct inspect *inspect, unsigned int i)
{
	struct frame *f = &inspect->burst->frame[i];
	struct seg *more = &inspect->seg[inspect->n_segs];

	if ((inspect->pinned >> i & 1) != 0)
		return;
	inspect->pinned |= 1u << i;
	if (unlikely(!frame_is_plain(f))) {
		inspect->n_segs += flow_pin(f, inspect->header[i], more);
		if (f->body != ETH_ADDRS_SIZE)
			return;
	} else {
		inspect->n_segs += flow_pin_plain(f, inspect->header[i], more);
	}
	/* The guest may have changed these since they were decided on. */
	memcpy(inspect->header[i], f->header, FRAME_SIZE_MIN);
}

/* The same of FLOW_PIN_SIZE bytes. */
static inline void inspect_pin(struct inspect *inspect, unsigned int i)
{
	inspect_pin_quick(inspect, i);
	inspect->n_segs += flow_pin_rest(&inspect->burst->frame[i], inspect->header[i],
					 &inspect->seg[inspect->n_segs]);
}

/* The headers of frame i, pinned. */
static inline const struct flow *inspect_flow(struct inspect *inspect, unsigned int i)
{
	if ((inspect->parsed >> i & 1) == 0) {
		inspect_pin(inspect, i);
		flow_parse(&inspect->burst->frame[i], &inspect->flow[i]);
		inspect->parsed |= 1u << i;
	}
	return &inspect->flow[i];
}

/* Frame i does not go on. Returns `frames` without it. */
static inline uint32_t inspect_drop(struct inspect *inspect, uint32_t frames, unsigned int i,
				    enum drop_reason reason)
{
	inspect->reason[i] = (uint8_t)reason;
	return frames & ~(1u << i);
}

/* NOLINTBEGIN(bugprone-macro-parentheses): `i` is declared here */
/* `i` takes the index of each frame of the set in turn; the set may lose frames meanwhile. */
#define for_each_frame(i, frames)              \
	for (uint32_t left_ = (frames), i = 0; \
	     left_ != 0 && ((i = (uint32_t)__builtin_ctz(left_)), true); left_ &= left_ - 1)
/* NOLINTEND(bugprone-macro-parentheses) */

/* A group as a set. Each of its frames is there once. */
static inline uint32_t frames_of(const struct burst *burst, const struct frame *const *frame,
				 unsigned int n)
{
	uint32_t frames = 0;

	if (n == burst->n)
		return n == BURST_MAX ? ~0u : (1u << n) - 1;
	for (unsigned int i = 0; i < n; i++)
		frames |= 1u << (frame[i] - burst->frame);
	return frames;
}

/* The stages that frames pass when they leave their sender's port, and when they enter a receiver's. */
uint32_t policy_out(struct inspect *inspect, const struct port_policy *policy, uint32_t frames);
uint32_t policy_in(struct inspect *inspect, const struct port_policy *policy, uint32_t frames);

/* Whether there is any stage at all for frames from this port, and to it. */
bool policy_has_out(const struct port_policy *policy);
bool policy_has_in(const struct port_policy *policy);

#endif
