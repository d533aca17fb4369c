/* SPDX-License-Identifier: BSD-3-Clause */
/* The rules of vports: from objects to what workers go by, and what they count.
 *
 * A rule has a place among its vport's counters. It keeps it, and its counters, as long as it is for the same frames:
 * what else changes of it, or of other rules, disturbs nothing. A place that was left is given away when no worker
 * counts there any more.
 *
 * Rules are only noted when objects change. The classifiers are built once for all changes, when the switch is
 * published.
 */
#ifndef SOFTIOV_DAEMON_ACL_H
#define SOFTIOV_DAEMON_ACL_H

#include <jansson.h>

#include "model/refusal.h"
#include "switch/acl.h"

struct runtime;
struct rt_switch;
struct rt_port;

/* Of a rule that meters, since its reset. */
struct rt_meter {
	struct acl_counter start; /* what was counted before */
	uint64_t start_ns;
	uint64_t last_bytes;       /* at the last tick */
	uint64_t bps_min, bps_max; /* of the intervals between ticks; min > max: there was none */
};

struct rt_acl {
	json_t *config; /* NULL: the place is free */
	struct acl_rule rule;
	struct rt_meter meter;
};

struct rt_acls {
	json_t *places; /* {name: place}; NULL: there was never a rule */
	json_t *left;   /* the same of rules that went since the last publishing */
	unsigned int n, n_free, n_chunks;
	struct rt_acl *acl;          /* [n_chunks * ACL_COUNTERS], n of them in use, left or free */
	unsigned int *free;          /* places [n_free] */
	struct acl_counters **chunk; /* [n_chunks] */
	uint32_t last_serial;        /* of the rule that came last */
	bool changed;
	bool slow; /* the classifier is the linear one */
};

int acl_change(struct runtime *rt, const json_t *old_obj, const json_t *new_obj,
	       struct refusal *why);
void acl_fill(struct runtime *rt, const json_t *obj, json_t *out);
/* Before the switch is published, and after: nobody uses what was before. */
void acls_build(struct runtime *rt, struct rt_switch *sw);
void acls_built(struct runtime *rt, struct rt_switch *sw);
/* The rule of this place; NULL: there is none that holds. */
struct rt_acl *acl_at(const struct rt_acls *acls, unsigned int place);
/* No worker sees the port. */
void port_acls_free(struct rt_port *port);

/* meter.c */
void meter_start(struct rt_acl *acl);
void meters_tick(struct rt_port *port, uint64_t elapsed_ns);
void meters_list(struct runtime *rt, json_t *array);
/* meter.reset; name NULL: all. */
int meters_reset(struct runtime *rt, const char *name, struct refusal *why);

#endif
