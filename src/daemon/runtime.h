/* SPDX-License-Identifier: BSD-3-Clause */
/* The running switch: what the configuration's objects are in this process.
 *
 * It implements src/api/backend.h: management tells it each change of an object, it makes switches,
 * ports, VFs, synthetics and uplinks follow, and fills in status. Changes are collected in the
 * switches' port tables and published once, when a transaction settles. What is no part of those, but set in
 * what is there already (rates, what a VF may do, a link's state), follows at the same time (`live`).
 *
 * What is to be removed (switches, ports, a vport's VF or synthetic) is kept until the transaction has
 * settled, since a transaction can still be undone and a VM's connection would not survive that. It
 * goes earlier only where something new needs its place.
 *
 * Threads: control calls everything here. Device I/O and rte_vhost's threads only run the upcalls,
 * which note what happened and wake control (runtime_wake).
 */
#ifndef SOFTIOV_DAEMON_RUNTIME_H
#define SOFTIOV_DAEMON_RUNTIME_H

#include <jansson.h>
#include <pthread.h>
#include <sys/queue.h>

#include "api/backend.h"
#include "api/event.h"
#include "daemon/acl.h"
#include "daemon/options.h"
#include "daemon/vfdev.h"
#include "model/pins.h"
#include "switch/switch.h"
#include "uplink/uplink.h"
#include "vfu/vfu.h"
#include "vhost/vhost.h"
#include "worker/worker.h"

/* Counters at the last tick and what they gained in it. */
struct rate {
	struct endpoint_stats last;
	uint64_t rx_bps, tx_bps, rx_fps, tx_fps;
};

/* A policy of classification. */
struct rt_qos {
	LIST_ENTRY(rt_qos) next;
	json_t *config;
	struct qos_state *state;
	uint64_t throttle; /* that workers go by */
	uint8_t traffic_class;
	bool asks;    /* for another minimum, in this transaction */
	bool removed; /* to be freed when the transaction has settled */
};
LIST_HEAD(rt_qos_list, rt_qos);

struct rt_switch {
	LIST_ENTRY(rt_switch) next;
	const char *name; /* in config */
	uint64_t serial;  /* no other port ever has it */
	json_t *config;   /* as it is to be */
	json_t *live;     /* as workers and devices have it; NULL: not yet */
	struct vswitch sw;
	struct port_config port[SWITCH_PORTS_MAX];      /* as it is to be */
	struct port_config published[SWITCH_PORTS_MAX]; /* as workers have it */
	struct rt_port
		*owner[SWITCH_PORTS_MAX]; /* of port[]; removed ones keep theirs until they go */
	struct vf_controller controller;  /* whose VFs they are */
	struct port_policy *retired; /* no longer in port[], but perhaps in what is published */
	bool changed;           /* port[] is to be published, when no transaction is under way */
	bool extended;          /* its ports' extensions are others than their policies have */
	struct share *share;    /* how the uplinks' link is divided; NULL: it is not */
	struct intake *intake;  /* and what comes in by it; likewise */
	json_t *divided;        /* what that follows from */
	bool asks;              /* for another default-min, in this transaction */
	bool divide;            /* it is to be divided anew, whatever it follows from */
	struct rt_qos_list qos; /* policies of classification, by their names */
	bool qos_changed;       /* they are others than its ports' policies have */
	bool removed;           /* to be freed when the transaction settles */
};

enum qos_way {
	QOS_TX, /* what vports send to uplinks */
	QOS_RX, /* what comes in by them */
	QOS_WAYS
};

enum port_kind {
	PORT_OF_VPORT,
	PORT_OF_UPLINK
};

/* A port of a switch: a vport or an uplink. */
struct rt_port {
	LIST_ENTRY(rt_port) next;
	enum port_kind kind;
	uint64_t serial;  /* no other port ever has it */
	const char *name; /* in config */
	json_t *config;   /* as it is to be */
	json_t *live;     /* as workers and devices have it; NULL: not yet */
	struct rt_switch *sw;
	unsigned int idx; /* in sw->port[] */
	bool removed;     /* to be freed when the transaction settles */
	struct endpoint_stats *stats;
	struct endpoint_stats gone; /* what endpoints counted that the port has no longer */
	struct rate rate;
	struct port_policy *policy;
	bool shared; /* an uplink, whose link is divided */
	struct uplink_shares shares;
	bool asks_classes; /* for other ones, in this transaction */
	struct arbiter *arbiter;
	bool policed; /* a vport, of a switch that divides what comes in */
	/* For another minimum of a direction, in this transaction; an uplink: to carry something else. */
	bool asks[QOS_WAYS];
	struct bucket storm;
	/* vport */
	struct rt_acls acls;
	struct acl *acl;      /* of them; NULL: there are none */
	struct conns *conns;  /* of stateful ones; NULL: there are none */
	unsigned int n_conns; /* for so many */
	struct vfdev *vf;
	unsigned int vf_idx; /* in the switch's pool */
	char vf_reason[256]; /* why there is no VF; empty if there is one, or none is wanted */
	bool vf_new;         /* taken in this transaction */
	bool lacks_vf; /* and that was said: there is no adapter instead, or the VF could not be made */
	struct vhost *syn;
	char syn_path[108];
	const char *path; /* last seen, for events */
	enum vf_state vf_state;
	/* uplink */
	struct uplink *uplink; /* NULL: the new one of a lost interface does not open */
	bool link_up;          /* last seen */
	char lost[300];        /* what became of its device; empty: nothing */
};

LIST_HEAD(rt_switches, rt_switch);
LIST_HEAD(rt_ports, rt_port);
TAILQ_HEAD(rt_captures, rt_capture);
LIST_HEAD(rt_mirrors, rt_mirror);
LIST_HEAD(rt_extensions, rt_extension);

struct runtime {
	const struct options *options;
	struct events *events;
	struct workers *workers;
	struct vfu_loop *vfu;
	pthread_t vfu_thread;
	int wake_fd; /* eventfd: something changed below control */
	struct rt_switches switches;
	struct rt_ports ports;
	struct rt_mirrors mirrors;
	struct rt_extensions extensions;
	struct rt_captures captures; /* the last ones that ended, too; oldest first */
	unsigned int n_captures;     /* ever started */
	bool started;                /* what was stored runs */
	uint64_t started_ns;
	uint64_t tick_ns;
	struct worker_stats worker_last[WORKERS_MAX];
	struct worker_stats worker_gain[WORKERS_MAX];
	uint64_t worker_gain_ns;
};

/* Starts workers and device I/O. DPDK's environment is up already. */
int runtime_start(struct runtime *rt, const struct options *options, struct events *events,
		  struct err *err);
/* Everything that mgmt_stop has not removed, then the threads. runtime_start calls it where it fails. */
void runtime_stop(struct runtime *rt);

/* The calls that management makes; ctx is rt. */
void runtime_backend(struct runtime *rt, struct backend *backend);

/* Any thread: control shall look what changed (runtime_changed). One eventfd write. */
void runtime_wake(struct runtime *rt);
/* Control, after wake_fd became readable. */
void runtime_changed(struct runtime *rt);
/* Control, once a second: rates, ageing, links, placement of queues. */
void runtime_tick(struct runtime *rt);

/* --- between the daemon's files --- */

struct rt_switch *runtime_switch(struct runtime *rt, const char *name);
/* Publishes the switch's port table and waits until no worker holds the one before; also for memory,
 * since what follows is often that something in the one before is freed. Not within a transaction, which may yet be
 * refused. */
void runtime_publish(struct runtime *rt, struct rt_switch *sw);
/* The same of nothing but what the table has no longer: ports, endpoints, taps. What it has anew, and policies, stay
 * unpublished. */
void runtime_withdraw(struct runtime *rt, struct rt_switch *sw);
/* Frees the ports and switches that are to be removed when the transaction settles, now. */
void runtime_make_room(struct runtime *rt);
/* The port of this kind that is not removed. */
struct rt_port *runtime_port(struct runtime *rt, enum port_kind kind, const char *name);
/* Whether the object names ports, in its fields `vport` and `uplink`; and whether this one is among them. */
bool ports_named(const json_t *obj);
bool port_is_named(const json_t *obj, const struct rt_port *port);
/* Whether those that the field names and that run are on the object's own switch. 0 or -EINVAL. */
int ports_on_switch(struct runtime *rt, const json_t *obj, const char *field, enum port_kind kind,
		    struct refusal *why);

/* ports.c: a port of the config's switch, without endpoints; workers see it from port_open on. NULL with `why`. */
struct rt_port *port_new(struct runtime *rt, enum port_kind kind, const json_t *config,
			 struct refusal *why);
/* The port is to be as this says. */
void port_config_set(struct rt_port *port, const json_t *config);
/* Gives it an endpoint, whose queues are served from now on. 0 or a negative errno: port_leave is to be called also then. */
int port_join(struct runtime *rt, struct rt_port *port, unsigned int slot, struct endpoint *ep);
/* Takes its endpoint out of the switch and the workers. What that belongs to may then be freed; what it counted stays with
 * the port. */
void port_leave(struct runtime *rt, struct rt_port *port, unsigned int slot);

/* ports.c, uplinks.c: one vport or uplink. 0, or a negative errno with `why`. */
int vport_add(struct runtime *rt, const json_t *config, struct refusal *why);
int vport_set(struct runtime *rt, struct rt_port *port, const json_t *config, struct refusal *why);
int uplink_add(struct runtime *rt, const json_t *config, struct refusal *why);
int uplink_set(struct runtime *rt, struct rt_port *port, const json_t *config, struct refusal *why);
/* Looks whether its device is there, and takes the one that has come in its place. The switch is to be published then. */
void uplink_tick(struct runtime *rt, struct rt_port *port);
/* Puts the port into the switch's table. Not before it is whole: making room for it publishes its switch, and it
 * may yet be refused. */
void port_open(struct rt_port *port);
/* Takes it out of the table; port_free frees it after publishing. */
void port_remove(struct rt_port *port);
void port_free(struct runtime *rt, struct rt_port *port);
/* What was there before the change becomes as the configuration says. The switch is to be published then. */
void ports_follow(struct runtime *rt, struct rt_switch *sw);
/* Gives VFs to vports that ask for one in this transaction. Those that others give up with it count as free, and both are
 * there until it settles. 0, or a negative errno with `why`: one that has nothing else gets none. */
int vports_agree(struct runtime *rt, struct refusal *why);
/* Refuses a pool's size that would not have the VFs that are in use, of all models or of one. */
int vfs_fit(const struct runtime *rt, const struct rt_switch *sw, unsigned int pool,
	    struct refusal *why);
/* A transaction has ended. Frees VFs and synthetics that their vports do not want any more, and gives VFs that are free to
 * vports that wait for one, first to those that have no other adapter. The switches are to be published then. */
void vports_settle(struct runtime *rt, bool committed);
/* Tries again to make a VF that could not be made. Likewise. */
void vport_retry(struct runtime *rt, struct rt_port *port);
/* What the queues of the port's endpoint in this slot are called. */
enum queue_kind port_queue_kind(const struct rt_port *port, unsigned int slot);
/* Which adapter carries the traffic: "vf", "synthetic" or "none". */
const char *vport_path(const struct rt_port *port);
/* The port's counters: its endpoints', also those that it had, and its own. */
void port_stats(const struct rt_port *port, struct endpoint_stats *sum);

/* vlan.c: the mode that the port's fields say. */
void port_vlans(struct rt_port *port, const json_t *config);

/* policy.c: what the port enforces. 0, or a negative errno with `why`, and nothing has changed. */
int policy_update(struct runtime *rt, struct rt_port *port, const json_t *config,
		  struct refusal *why);
/* The same when the change it goes by can no longer be refused: waits for memory. */
void policy_follow(struct runtime *rt, struct rt_port *port);
/* What goes to the uplink is counted for its vports' shares, or no more (NULL). False without memory. */
bool policy_share(struct runtime *rt, struct rt_port *uplink, const struct uplink_shares *shares);
/* What uplinks bring to the vport is policed, or no more. False without memory. */
bool policy_police(struct runtime *rt, struct rt_port *vport, bool policed);
/* Takes it away, to be freed with the next publishing. */
void policy_retire(struct rt_port *port);
void policies_free(struct port_policy *policy);

/* taps.c: whether the port has a tap of this owner; give it one, to be published; take them from all ports:
 * no worker sees them when it returns; and take all from a port that no worker sees. */
typedef bool tap_owned_fn(const void *owner, const struct tap *tap);
bool taps_any(const struct rt_port *port, tap_owned_fn *owned, const void *owner);
void taps_add(struct rt_port *port, struct tap *tap);
void taps_remove(struct runtime *rt, tap_owned_fn *owned, const void *owner);
void taps_leave(struct rt_port *port);

/* mirror.c */
int mirror_change(struct runtime *rt, const json_t *old_obj, const json_t *new_obj,
		  struct refusal *why);
/* Ports that have come are looked at by the mirrors that want them. The switches are to be published then. */
void mirrors_follow(struct runtime *rt);
void mirrors_free_removed(struct runtime *rt);
/* The uplink has another device: those to collectors send from its address. */
void mirrors_reopen(struct runtime *rt, const struct rt_port *uplink);
void mirror_status(struct runtime *rt, const json_t *obj, json_t *out);
void mirrors_free(struct runtime *rt);

/* extension.c */
int extension_change(struct runtime *rt, const json_t *old_obj, const json_t *new_obj,
		     struct refusal *why);
/* Those that the port's policy shall have. */
void extensions_of(struct runtime *rt, const struct rt_port *port,
		   struct extensions list[EXTENSION_HOOKS]);
/* Gives ports their policies anew where extensions have changed. The switches are to be published then. */
void extensions_follow(struct runtime *rt);
/* Frees those that went; the switches have been published. */
void extensions_tidy(struct runtime *rt);
/* Tries those again that failed, or one with a new program in its file; to be followed then. */
void extensions_retry(struct runtime *rt);
int extension_reload(struct runtime *rt, const char *name, struct refusal *why);
void extension_status(struct runtime *rt, const json_t *obj, json_t *out);
/* No switch is left. */
void extensions_free(struct runtime *rt);

/* capture.c */
int captures_verb(struct runtime *rt, const struct verb *verb, const char *name,
		  const json_t *params, json_t **result, struct refusal *why);
void captures_stream(void *ctx, const char *name, int fd);
/* Ports that have come are taken into the captures that want them. The switches are to be published then. */
void captures_follow(struct runtime *rt);
/* What has ended is put away. */
void captures_look(struct runtime *rt);
void captures_list(struct runtime *rt, json_t *array);
/* Ends all, at once. */
void captures_free(struct runtime *rt);

/* qos.c: how much the port may send and receive. */
struct arbiter *qos_arbiter_new(void); /* free() it; NULL without memory */
int qos_check(const struct runtime *rt, struct rt_port *port, const json_t *config,
	      struct refusal *why);
int qos_check_switch(const struct runtime *rt, struct rt_switch *sw, const json_t *config,
		     struct refusal *why);
int qos_check_uplink(const struct runtime *rt, struct rt_port *port, const json_t *config,
		     struct refusal *why);
/* Whether what the objects of a transaction ask for fits together. */
int qos_agree(struct runtime *rt, struct refusal *why);
/* A transaction has ended. */
void qos_settled(struct runtime *rt);
/* Divides uplinks' links anew where something has changed: a switch's `divide`, or a link's speed. */
void qos_follow(struct runtime *rt);
/* A vport's rates, which were checked, are to hold from now on. */
void qos_update(struct runtime *rt, struct rt_port *port);
/* The endpoint, whose queues workers serve from now on, follows them. */
void qos_join(struct runtime *rt, const struct rt_port *port, const struct endpoint *ep);

/* qospolicy.c */
int qos_policy_change(struct runtime *rt, const json_t *old_obj, const json_t *new_obj,
		      struct refusal *why);
/* Those for what the port sends: free() it; NULL: there are none. 0 or -ENOMEM. */
int qos_policies_of(const struct rt_port *port, struct qos **qos);
/* Numbers the classes of those that have a part of the link, and what each gets. */
void qos_policies_divide(const struct rt_switch *sw, struct share_classes *classes);
/* Whether the switch's policies and classes of traffic can be together. 0, or a negative errno with `why`. */
int qos_policies_agree(const struct runtime *rt, const struct rt_switch *sw, struct refusal *why);
/* Ports follow the policies that have changed. The switches are to be published then. */
void qos_policies_follow(struct runtime *rt);
/* After that: nobody uses those that have gone. */
void qos_policies_tidy(struct runtime *rt);
void qos_policies_free(struct rt_switch *sw);
void qos_policy_fill(struct runtime *rt, const json_t *obj, json_t *out);

/* dcb.c: the uplink of the switch, but for `skip`, that has classes of traffic; NULL: none. */
struct rt_port *uplink_with_classes(const struct runtime *rt, const struct rt_switch *sw,
				    const struct rt_port *skip);
/* The uplink's device follows. `was`: what holds there now, or NULL. */
int dcb_set_device(const struct rt_port *uplink, const json_t *was, const json_t *config,
		   struct refusal *why);
/* Likewise, and in this transaction it asks for what dcb_agree looks at. */
int dcb_change(const struct runtime *rt, struct rt_port *uplink, const json_t *was,
	       const json_t *config, struct refusal *why);
/* Whether the switch has them once. */
int dcb_agree(const struct runtime *rt, const struct rt_switch *sw, struct refusal *why);
/* False: no uplink has classes. */
bool dcb_divide(const struct runtime *rt, const struct rt_switch *sw, struct share_classes *classes,
		uint8_t of_priority[SHARE_CLASSES]);

/* trace.c */
int trace_verb(struct runtime *rt, const struct verb *verb, const char *name, const json_t *params,
	       json_t **result, struct refusal *why);

/* status.c */
void status_fill(void *ctx, const struct object_type *type, const json_t *obj, json_t *out);
void status_list(void *ctx, const struct object_type *type, json_t *array);

/* host.c */
json_t *host_show(const struct runtime *rt);
json_t *host_check(const struct runtime *rt);

#endif
