/* SPDX-License-Identifier: BSD-3-Clause */
/* Access control lists of a port, and its meters.
 *
 * A rule is for frames in one direction, `in` to the VM or `out` from it, and allows, denies or meters. Of the rules
 * that allow and deny, the first that matches decides; without one the frame goes on. Meters only count: the first
 * that matches, what was let through. The order, which is Hyper-V's (acl.c, compare()):
 *
 *  1. Rules with a weight (extended ones), the highest weight first: "Larger weight values apply first, and once an ACL
 *     entry applies to a packet, other entries are no longer relevant for that packet" (Microsoft,
 *     Add-VMNetworkAdapterExtendedAcl, -Weight). Of the same weight: the most specific, then deny before allow.
 *  2. Basic rules (weight 0), the most specific first: "the longest match rule decides" (Microsoft,
 *     Add-VMNetworkAdapterAcl). A MAC address before IP prefixes; by the remote address first, then by the local one.
 *
 * A stateful rule allows and remembers connections (conn.h). A frame in the other direction that answers one is let through
 * unless a rule with a higher weight denies it.
 *
 * A later fragment has no ports. One that a rule with ports would allow, but for them, is let through, and one that
 * such a rule would deny is not denied by it: without the first fragment, which is judged by its ports, it is nothing.
 */
#ifndef SOFTIOV_SWITCH_ACL_H
#define SOFTIOV_SWITCH_ACL_H

#include "frame/queue.h"
#include "switch/classify.h"
#include "switch/conn.h"

enum acl_direction {
	ACL_IN,
	ACL_OUT,
	ACL_DIRECTIONS
};

enum acl_action {
	ACL_ALLOW,
	ACL_DENY,
	ACL_METER
};

/* What rules count, in memory that outlives struct acl. A worker has its own ones of all rules in a row. */
struct acl_counter {
	uint64_t frames, bytes;
};
#define ACL_COUNTERS 64
struct acl_counters {
	struct acl_counter of[STATS_SLOTS][ACL_COUNTERS];
};

struct acl_rule {
	enum acl_direction direction;
	enum acl_action action;
	uint32_t weight;
	struct prefix remote, local;
	uint16_t protocol; /* CLASSIFY_PROTOCOL_ANY: any */
	struct classify_ports remote_port, local_port;
	struct acl_counter *counter; /* its place in of[0] */
	bool stateful;               /* of one that allows, with a weight */
	struct conn_rule conn;       /* what its connections know of it */
};

/* A worker's memory of what it found for a flow not long ago: of frames that need no parsing, memo_key(). */
#define ACL_MEMOS 1024
struct acl_memo {
	uint64_t addrs, rest; /* of the header */
	uint64_t list;        /* the serial number of the list of rules; 0: empty */
	uint32_t found;
};

struct acl;
struct inspect;

/* Control. The rules in any order; NULL: no memory. `conns` outlives it and is there if a rule is stateful. */
struct acl *acl_new(const struct acl_rule *rule, unsigned int n, classifier_build *build,
		    struct conns *conns);
/* Accepts NULL. */
void acl_free(struct acl *acl);
void acl_count(const struct acl_counter *counter, struct acl_counter *sum);

/* The stages. What a list has no rules for costs nothing: ask first. */
bool acl_has_filter(const struct acl *acl, enum acl_direction direction);
bool acl_has_meter(const struct acl *acl, enum acl_direction direction);
uint32_t acl_filter(struct inspect *inspect, const struct acl *acl, enum acl_direction direction,
		    uint32_t frames);
void acl_meter(struct inspect *inspect, const struct acl *acl, enum acl_direction direction,
	       uint32_t frames);

#endif
