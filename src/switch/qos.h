/* SPDX-License-Identifier: BSD-3-Clause */
/* Classification: what a vport sends is marked, throttled, or given a class by policies of its switch.
 *
 * The first policy whose conditions a frame meets decides, and only that one, in the order of compare() in qos.c: "A
 * higher priority policy will trump a lower priority policy" (Microsoft, New-NetQosPolicy, -Precedence).
 *
 * Marks are written into the pinned headers and the tag beside them, never into the sender's memory. What a rule
 * throttles is dropped: what a queue holds is known only when it is taken from it.
 */
#ifndef SOFTIOV_SWITCH_QOS_H
#define SOFTIOV_SWITCH_QOS_H

#include "frame/queue.h"
#include "switch/bucket.h"
#include "switch/classify.h"

#define QOS_ANY (-1)

/* A worker's. */
struct qos_counter {
	uint64_t frames, bytes; /* that it decided on */
	uint64_t throttled;     /* frames of them */
} __attribute__((aligned(CACHE_LINE)));

/* What workers change, in memory that outlives rules: those of one policy in several vports' lists have the same. */
struct qos_state {
	struct bucket throttle;
	struct qos_counter of[STATS_SLOTS];
} __attribute__((aligned(CACHE_LINE)));

struct qos_rule {
	/* conditions */
	bool rest;   /* none: what no other rule is for */
	bool sender; /* it is for this vport alone */
	struct prefix source, dest;
	uint16_t protocol;                        /* CLASSIFY_PROTOCOL_ANY: any */
	struct classify_ports sport, dport, port; /* `port`: either of the two */
	int8_t dscp, priority;                    /* QOS_ANY */
	bool of_ip, of_ports;                     /* there is one of these; qos_new sets them */
	/* what is done */
	int8_t set_dscp, set_priority; /* QOS_ANY: left as it is */
	uint8_t traffic_class; /* below SHARE_CLASSES; 0: that of what no policy gives another one */
	uint8_t precedence;
	struct qos_state *state;
};

struct qos {
	bool looks_at_ip; /* frames have to be read */
	unsigned int n;
	struct qos_rule rule[]; /* in their order */
};

/* Control. The rules in any order; of those that compare as the same, the first decides. NULL: no memory. free() it. */
struct qos *qos_new(const struct qos_rule *rule, unsigned int n);
struct qos_state *qos_state_new(void); /* free() it; NULL without memory */
void qos_count(const struct qos_state *state, struct qos_counter *sum);

struct inspect;
/* The stage. */
uint32_t qos_out(struct inspect *inspect, const struct qos *qos, uint32_t frames);

#endif
