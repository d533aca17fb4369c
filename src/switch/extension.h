/* SPDX-License-Identifier: BSD-3-Clause */
/* Extensions: programs of others that decide about frames (docs/extensions.md).
 *
 * At ingress a program sees what a port sends, before the port's own policies; at egress what a port is about to get,
 * after its rules: the places that Hyper-V's extensible switch has for them (Microsoft, "Overview of Port Policies":
 * ACLs and QoS are enforced between the ingress and the egress data path).
 *
 * A frame is sent elsewhere once at most, so that there are no loops. At ingress that replaces forwarding. At egress it takes
 * the frame from one port, and the rest of the burst is delivered before it gets to the other (forward.c).
 *
 * A program gets a copy of the frame's headers and never the sender's memory. What it is given, and its counters, lie in a
 * slot for each worker.
 */
#ifndef SOFTIOV_SWITCH_EXTENSION_H
#define SOFTIOV_SWITCH_EXTENSION_H

#include <stdbool.h>

#include "frame/queue.h"
#include "softiov/extension.h"

#define EXTENSIONS_MAX 16 /* of a port, at a hook */
#define EXTENSION_NAME 64

enum extension_hook {
	EXTENSION_INGRESS,
	EXTENSION_EGRESS,
	EXTENSION_HOOKS
};

enum extension_target {
	EXTENSION_TO_VPORT,
	EXTENSION_TO_UPLINK,
	EXTENSION_TARGETS
};

struct extension_counts {
	uint64_t seen, passed, dropped, redirected;
	uint64_t own[SOFTIOV_COUNTERS];
};

/* Returns one of SOFTIOV_DROP and so on, or anything. */
typedef uint64_t extension_run(const void *program, struct softiov_frame *frame);

struct extension {
	char name[EXTENSION_NAME];
	extension_run *run; /* NULL: there is no program, and all frames are dropped */
	const void *program;
	struct extension_slot {
		struct softiov_frame frame; /* what is behind the headers stays 0 */
		uint64_t seen, passed, dropped, redirected;
	} __attribute__((aligned(CACHE_LINE))) slot[STATS_SLOTS];
};

/* Those of a port at a hook, in their order. */
struct extensions {
	unsigned int n;
	bool uplink; /* the port is one */
	struct {
		struct extension *extension;
		uint16_t to[EXTENSION_TARGETS]; /* ports, or one of these: */
#define EXTENSION_NOWHERE UINT16_MAX
#define EXTENSION_HERE    (UINT16_MAX - 1) /* that which the frame is about to get to: it goes on */
	} at[EXTENSIONS_MAX];
};

/* Control. NULL: no memory; free() it. */
struct extension *extension_new(const char *name, extension_run *run, const void *program);
void extension_counts(const struct extension *extension, struct extension_counts *sum);

/* The stage. The first that does not let a frame pass has decided: inspect->by names it. One that it sends to port
 * inspect->to stays at ingress, marked in inspect->redirected; at egress it leaves with DROP_NONE as its reason. */
struct inspect;
uint32_t extensions_run(struct inspect *inspect, const struct extensions *list,
			enum extension_hook hook, uint32_t frames);

#endif
