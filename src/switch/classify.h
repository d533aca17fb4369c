/* SPDX-License-Identifier: BSD-3-Clause */
/* Classifiers: which rule of many is for a frame.
 *
 * A classifier is built from rules of one kind of frames and never changes. There are two: linear_new() here, which
 * compares one rule after the other and shows what is right, and acl_rte_new() of src/acl, which is fast.
 */
#ifndef SOFTIOV_SWITCH_CLASSIFY_H
#define SOFTIOV_SWITCH_CLASSIFY_H

#include "base/prefix.h"
#include "frame/flow.h"

enum classify_kind {
	CLASSIFY_MAC,  /* by struct frame: MAC addresses alone */
	CLASSIFY_IPV4, /* by struct flow */
	CLASSIFY_IPV6, /* likewise */
};

#define CLASSIFY_PROTOCOL_ANY 256

struct classify_ports {
	uint16_t from, to; /* 0 to 65535: any */
};

struct classify_rule {
	struct prefix source, dest; /* of the kind, or ANY */
	uint16_t protocol;          /* CLASSIFY_PROTOCOL_ANY: any */
	struct classify_ports sport, dport;
	uint32_t id; /* from 1 on; of all that match, the rule with the lowest one is found */
};

struct classifier {
	/* found[i] gets the id for key[i], a struct frame or struct flow; 0: no rule matches. n is at most BURST_MAX. */
	void (*find)(const struct classifier *c, const void *const key[], uint32_t found[],
		     unsigned int n);
	void (*free)(struct classifier *c);
};

static inline void classifier_free(struct classifier *c)
{
	if (c != NULL)
		c->free(c);
}

/* NULL: no memory. rule[0..n), n > 0. */
typedef struct classifier *classifier_build(enum classify_kind kind,
					    const struct classify_rule *rule, unsigned int n);
classifier_build linear_new;

#endif
