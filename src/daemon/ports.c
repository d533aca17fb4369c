/* SPDX-License-Identifier: BSD-3-Clause */
/* Ports, and vports with their VF and synthetic. */
#include <assert.h>
#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "daemon/runtime.h"
#include "model/object.h"
#include "model/pins.h"
#include "model/text.h"

static void on_changed(void *arg)
{
	runtime_wake(arg);
}

static void on_vhost_state(void *arg, enum vhost_state state)
{
	runtime_wake(arg);
}

static void on_vhost_quiesce(void *arg)
{
	struct runtime *rt = arg;

	worker_quiesce(rt->workers);
}

static const struct vhost_upcalls vhost_upcalls = { on_vhost_state, on_vhost_quiesce };

static const char *const kind_words[] = { "vport", "uplink" };

/* --- what vports and uplinks share --- */

void port_config_set(struct rt_port *port, const json_t *config)
{
	json_incref((json_t *)config);
	json_decref(port->config);
	port->config = (json_t *)config;
	port->name = obj_name(config);
}

static unsigned int port_free_idx(const struct rt_switch *sw)
{
	unsigned int idx = 0;

	while (idx < SWITCH_PORTS_MAX && sw->owner[idx] != NULL)
		idx++;
	return idx;
}

struct rt_port *port_new(struct runtime *rt, enum port_kind kind, const json_t *config,
			 struct refusal *why)
{
	static uint64_t serials;
	struct rt_switch *sw = runtime_switch(rt, obj_str(config, "switch"));
	struct rt_port *port;
	unsigned int idx = port_free_idx(sw);

	if (idx == SWITCH_PORTS_MAX) {
		runtime_make_room(rt);
		idx = port_free_idx(sw);
	}
	if (idx == SWITCH_PORTS_MAX) {
		refuse(why, -ENOSPC, "switch", sw->name, "the switch is full: it has %d ports",
		       SWITCH_PORTS_MAX);
		return NULL;
	}
	port = calloc(1, sizeof(*port));
	if (port != NULL)
		port->stats = endpoint_stats_new();
	if (port != NULL)
		port->arbiter = qos_arbiter_new();
	if (port == NULL || port->stats == NULL || port->arbiter == NULL) {
		if (port != NULL) {
			free(port->stats);
			free(port->arbiter);
		}
		free(port);
		refuse(why, -ENOMEM, NULL, NULL, "out of memory");
		return NULL;
	}
	port->kind = kind;
	port->serial = ++serials;
	port->sw = sw;
	port->idx = idx;
	port->path = "none";
	port_config_set(port, config);
	memset(&sw->port[idx], 0, sizeof(sw->port[idx]));
	sw->owner[idx] = port;
	sw->port[idx].stats = port->stats;
	port_vlans(port, config);
	LIST_INSERT_HEAD(&rt->ports, port, next);
	return port;
}

void port_open(struct rt_port *port)
{
	port->removed = false;
	port->sw->port[port->idx].used = true;
	port->sw->changed = true;
	port->sw->extended = true; /* some extension may send frames there */
}

enum queue_kind port_queue_kind(const struct rt_port *port, unsigned int slot)
{
	static const enum queue_kind kinds[PORT_ENDPOINTS] = {
		[PORT_VF] = QUEUE_VF, [PORT_SYNTHETIC] = QUEUE_SYNTHETIC
	};

	return port->kind == PORT_OF_UPLINK ? QUEUE_UPLINK : kinds[slot];
}

/* What does not depend on this host's workers must not fail on another: a pin to a worker that is not
 * there is only said. */
static void queue_pin(struct runtime *rt, struct rt_port *port, const struct txq *txq,
		      unsigned int worker)
{
	int ret = workers_pin(rt->workers, txq, worker);

	if (ret == -EINVAL) {
		workers_pin(rt->workers, txq, WORKER_AUTO);
		log_warn(kind_words[port->kind],
			 "'%s': a queue is pinned to worker %u, which is not there (%u workers)",
			 port->name, worker, workers_count(rt->workers));
		events_add(rt->events, "warning", kind_words[port->kind], port->name,
			   "a queue is pinned to worker %u, which is not there", worker);
	} else if (ret < 0) {
		log_err(kind_words[port->kind], "'%s': cannot pin a queue: %s", port->name,
			strerror(-ret));
	}
}

/* The port's queues follow its pins. */
static void port_pins(struct runtime *rt, struct rt_port *port)
{
	struct pins pins;

	static_assert(PIN_QUEUES == ENDPOINT_QUEUES_MAX && PIN_WORKERS == WORKERS_MAX,
		      "the model and the data path have the same limits");
	obj_pins(port->config, "pins", &pins);
	for (unsigned int slot = 0; slot < PORT_ENDPOINTS; slot++) {
		const struct endpoint *ep = port->sw->port[port->idx].endpoint[slot];
		enum queue_kind kind = port_queue_kind(port, slot);

		for (unsigned int q = 0; ep != NULL && q < ep->n_txq; q++)
			queue_pin(rt, port, ep->txq[q],
				  pins.pinned[kind][q] ? pins.worker[kind][q] : WORKER_AUTO);
	}
}

void port_leave(struct runtime *rt, struct rt_port *port, unsigned int slot)
{
	struct endpoint *ep = port->sw->port[port->idx].endpoint[slot];
	struct endpoint_stats sum;

	if (ep == NULL)
		return;
	port->sw->port[port->idx].endpoint[slot] = NULL;
	port->sw->changed = true;
	workers_del(rt->workers, ep);
	runtime_withdraw(rt, port->sw);
	port->sw->divide = true; /* its queues may have been active */
	endpoint_stats_sum(ep, &sum);
	endpoint_stats_add(&port->gone, &sum);
}

int port_join(struct runtime *rt, struct rt_port *port, unsigned int slot, struct endpoint *ep)
{
	int ret;

	port->sw->port[port->idx].endpoint[slot] = ep;
	port->sw->changed = true;
	ret = workers_add(rt->workers, ep, &port->sw->sw, (uint16_t)port->idx);
	if (ret < 0)
		return ret;
	qos_join(rt, port, ep);
	port_pins(rt, port);
	return 0;
}

void port_remove(struct rt_port *port)
{
	port->removed = true;
	port->sw->port[port->idx].used = false;
	port->sw->changed = true;
}

/* The addresses of a vport whose guest has set none. */
static void own_mac_alone(struct rt_port *port, const json_t *config)
{
	struct port_config *p = &port->sw->port[port->idx];
	uint8_t mac[6];

	obj_mac(config, "mac", mac);
	p->mac[0] = mac_load(mac);
	p->n_macs = 1;
}

/* What its guest has set goes with it. */
static void vf_drop(struct runtime *rt, struct rt_port *port)
{
	if (port->vf == NULL)
		return;
	if (port->live != NULL)
		own_mac_alone(port, port->live);
	port_leave(rt, port, PORT_VF);
	vfdev_free(port->vf);
	port->vf = NULL;
	port->vf_state = VF_DETACHED;
}

static void syn_drop(struct runtime *rt, struct rt_port *port)
{
	if (port->syn == NULL)
		return;
	port_leave(rt, port, PORT_SYNTHETIC);
	vhost_free(port->syn);
	port->syn = NULL;
}

void port_free(struct runtime *rt, struct rt_port *port)
{
	log_debug(kind_words[port->kind], "'%s' is gone", port->name);
	vf_drop(rt, port);
	syn_drop(rt, port);
	if (port->uplink != NULL) {
		port_leave(rt, port, PORT_UPLINK);
		uplink_close(port->uplink);
	}
	port_acls_free(port);
	taps_leave(port);
	fdb_flush(port->sw->sw.learned, (uint16_t)port->idx);
	fdb_set_port_limit(port->sw->sw.learned, (uint16_t)port->idx, 0);
	policy_retire(port);
	LIST_REMOVE(port, next);
	port->sw->owner[port->idx] = NULL;
	free(port->stats);
	free(port->arbiter);
	json_decref(port->config);
	json_decref(port->live);
	free(port);
}

void port_stats(const struct rt_port *port, struct endpoint_stats *sum)
{
	const struct port_config *p = &port->sw->port[port->idx];
	struct endpoint own = { .stats = port->stats }, *part[1 + PORT_ENDPOINTS] = { &own };

	memcpy(part + 1, p->endpoint, sizeof(p->endpoint));
	*sum = port->gone;
	for (unsigned int i = 0; i < ARRAY_SIZE(part); i++) {
		struct endpoint_stats one;

		if (part[i] == NULL)
			continue;
		endpoint_stats_sum(part[i], &one);
		endpoint_stats_add(sum, &one);
	}
}

/* --- vports --- */

static bool is_running(struct endpoint *ep)
{
	return ep != NULL && atomic_load(&ep->running) != 0;
}

const char *vport_path(const struct rt_port *port)
{
	if (port->vf != NULL && is_running(vfdev_endpoint(port->vf)))
		return "vf";
	return port->syn != NULL && is_running(vhost_endpoint(port->syn)) ? "synthetic" : "none";
}

static uint32_t max_frame(const json_t *config)
{
	return (uint32_t)obj_uint(config, "mtu") + FRAME_SIZE_MIN;
}

static bool link_wanted(const json_t *config)
{
	return !obj_is(config, "link", "down");
}

/* 0: the controller's highest. */
static uint32_t speed_mbit(const json_t *config)
{
	return obj_is(config, "speed", "100mbit")   ? 100
	       : obj_is(config, "speed", "1gbit")   ? 1000
	       : obj_is(config, "speed", "2.5gbit") ? 2500
	       : obj_is(config, "speed", "5gbit")   ? 5000
	       : obj_is(config, "speed", "10gbit")  ? 10000
						    : 0;
}

static int access_of(const json_t *config, struct vfu_access *access, struct refusal *why)
{
	const char *owner = obj_str(config, "owner");
	struct passwd *user;

	*access = (struct vfu_access){ .mode = 0600, .uid = (uid_t)-1, .gid = (gid_t)-1 };
	if (owner[0] == '\0')
		return 0;
	user = getpwnam(owner);
	if (user == NULL)
		return refuse_value(why, "owner", owner,
				    "a user of this host (getent passwd lists them)");
	access->uid = user->pw_uid;
	return 0;
}

static void policy_of(const struct rt_port *port, const json_t *config, struct vf_policy *policy)
{
	const struct port_config *p = &port->sw->port[port->idx];
	uint8_t mac[6];

	obj_mac(config, "mac", mac);
	*policy = (struct vf_policy){
		.mac = mac_load(mac),
		.pvid = p->pvid,
		.trunk = p->trunk,
		.trusted = obj_bool(config, "trust"),
		.link_up = link_wanted(config),
		.verify_checksums = obj_bool(config, "verify-checksums"),
		.speed_mbit = speed_mbit(config),
		.max_frame = max_frame(config),
	};
	memcpy(policy->vlans, p->vlans, sizeof(policy->vlans));
}

/* What the switch itself enforces. */
static void vport_rules(struct rt_port *port, const json_t *config)
{
	struct port_config *p = &port->sw->port[port->idx];

	p->spoofing = obj_bool(config, "mac-spoofing");
	p->learns = p->spoofing;
	p->unknown_unicast = p->spoofing || obj_bool(config, "trust");
	p->storm = obj_uint(config, "storm-limit") > 0 ? &port->storm : NULL;
	port_vlans(port, config);
}

/* Above so many VFs a pool is larger than that of any controller here: then it is only the sum that counts. */
#define POOL_OF_CONTROLLERS 64

/* One that goes when the transaction settles does not: its place is free for another one already now, so that
 * who has it loses it only when nothing can refuse the change any more. */
static bool vf_stays(const struct rt_port *port)
{
	return !port->removed && port->vf != NULL && obj_bool(port->config, "iov");
}

/* `model` NULL: of all. Those that the transaction has given away go if it is undone: then they are not to be counted. */
static unsigned int n_vfs(const struct runtime *rt, const struct rt_switch *sw, const char *model,
			  bool new_too)
{
	const struct rt_port *port;
	unsigned int n = 0;

	LIST_FOREACH(port, &rt->ports, next)
		n += port->sw == sw && vf_stays(port) && (new_too || !port->vf_new) &&
		     (model == NULL || obj_is(port->config, "model", model));
	return n;
}

static unsigned int vf_free_idx(const struct runtime *rt, const struct rt_switch *sw,
				unsigned int pool)
{
	bool used[SWITCH_PORTS_MAX] = { false };
	const struct rt_port *port;
	unsigned int idx = 0;

	LIST_FOREACH(port, &rt->ports, next)
		if (port->sw == sw && vf_stays(port))
			used[port->vf_idx] = true;
	while (idx < pool && used[idx])
		idx++;
	return idx;
}

int vfs_fit(const struct runtime *rt, const struct rt_switch *sw, unsigned int pool,
	    struct refusal *why)
{
	unsigned int in_use = n_vfs(rt, sw, NULL, false);
	const struct vf_model *model;
	char text[24];

	text_put(text, sizeof(text), "%u", pool);
	if (pool < in_use)
		return refuse_value(why, "vfs", text, "at least %u, since so many VFs are in use",
				    in_use);
	for (unsigned int i = 0; (model = vf_model_at(i)) != NULL; i++) {
		unsigned int n = n_vfs(rt, sw, model->name, false);

		if (pool > POOL_OF_CONTROLLERS || n <= model->n_vfs)
			continue;
		return refuse_value(why, "vfs", text,
				    "more than %u, since %u VFs of the %s are in use, which has %u",
				    POOL_OF_CONTROLLERS, n, model->name, model->n_vfs);
	}
	return 0;
}

/* The pool's first free index, or `vf_reason` why there is none for this model. */
static bool vf_find(const struct runtime *rt, struct rt_port *port, const struct vf_model *model,
		    unsigned int *idx)
{
	struct rt_switch *sw = port->sw;
	unsigned int pool = (unsigned int)obj_uint(sw->config, "vfs");
	unsigned int n = n_vfs(rt, sw, model->name, true);

	port->vf_reason[0] = '\0';
	*idx = vf_free_idx(rt, sw, pool);
	/* In a pool that was made smaller, a place may be free though it is full. */
	if (*idx == pool || n_vfs(rt, sw, NULL, true) >= pool)
		text_put(port->vf_reason, sizeof(port->vf_reason),
			 "no VF left: %u of %u in use (softiov switch set %s vfs N)", pool, pool,
			 sw->name);
	else if (pool <= POOL_OF_CONTROLLERS && n >= model->n_vfs)
		text_put(
			port->vf_reason, sizeof(port->vf_reason),
			"no VF left: the %s has %u, and %u are in use (softiov switch set %s vfs %u, or "
			"more, lifts that)",
			model->name, model->n_vfs, n, sw->name, POOL_OF_CONTROLLERS + 1);
	return port->vf_reason[0] == '\0';
}

static bool socket_path(const struct runtime *rt, const char *kind, const char *name, char *path,
			size_t size)
{
	return snprintf(path, size, "%s/%s/%s.sock", rt->options->run_dir, kind, name) < (int)size;
}

/* Without one that is free it goes on without (vports_agree). */
static int vf_take(struct runtime *rt, struct rt_port *port, struct refusal *why)
{
	const json_t *config = port->config;
	struct vfdev_options o = { .model = vf_model_find(obj_str(config, "model")),
				   .loop = rt->vfu,
				   .workers = rt->workers,
				   .controller = &port->sw->controller,
				   .changed = on_changed,
				   .arg = rt };
	unsigned int idx;
	struct err err = { 0 };
	char path[108];
	int ret;

	if (!vf_find(rt, port, o.model, &idx))
		return 0;
	ret = access_of(config, &o.access, why);
	if (ret < 0)
		return ret;
	if (!socket_path(rt, "vf", port->name, path, sizeof(path)))
		return refuse(why, -ENAMETOOLONG, NULL, NULL,
			      "the path of its socket would be too long");
	policy_of(port, config, &o.policy);
	o.path = path;
	o.n_queues = (unsigned int)obj_uint(config, "queues");
	o.trap = obj_is(config, "doorbell", "trap");
	/* PCIe 5.0, 7.9.3: an EUI-64 made from the MAC, as network adapters do. */
	o.serial = o.policy.mac;
	ret = vfdev_new(&port->vf, &o, &err);
	if (ret < 0)
		return refuse_err(why, NULL, NULL, &err);
	port->vf_idx = idx;
	ret = port_join(rt, port, PORT_VF, vfdev_endpoint(port->vf));
	if (ret < 0) {
		vf_drop(rt, port);
		return refuse(why, ret, NULL, NULL, "out of memory");
	}
	port->lacks_vf = false;
	port->vf_new = true;
	return 0;
}

static int syn_take(struct runtime *rt, struct rt_port *port, struct refusal *why)
{
	const json_t *config = port->config;
	struct vhost_config c = { .n_queues = (unsigned int)obj_uint(config, "queues"),
				  .link_up = link_wanted(config),
				  .max_frame = max_frame(config),
				  .upcalls = &vhost_upcalls,
				  .arg = rt };
	struct err err = { 0 };
	struct vfu_access access;
	int ret = access_of(config, &access, why);

	if (ret < 0)
		return ret;
	if (!socket_path(rt, "syn", port->name, port->syn_path, sizeof(port->syn_path)))
		return refuse(why, -ENAMETOOLONG, NULL, NULL,
			      "the path of its socket would be too long");
	c.path = port->syn_path;
	c.mode = access.mode;
	c.uid = access.uid;
	c.gid = access.gid;
	ret = vhost_new(&port->syn, &c, &err);
	if (ret < 0)
		return refuse_err(why, NULL, NULL, &err);
	ret = port_join(rt, port, PORT_SYNTHETIC, vhost_endpoint(port->syn));
	return ret < 0 ? refuse(why, ret, NULL, NULL, "out of memory") : 0;
}

/* The others wait until all changes are made (vports_agree, vports_settle): they can do without. */
static bool needs_vf(const struct rt_port *port)
{
	return obj_bool(port->config, "iov") && !obj_bool(port->config, "synthetic");
}

int vport_add(struct runtime *rt, const json_t *config, struct refusal *why)
{
	struct rt_port *port = port_new(rt, PORT_OF_VPORT, config, why);
	int ret;

	if (port == NULL)
		return why->code;
	vport_rules(port, config);
	ret = qos_check(rt, port, config, why);
	if (ret == 0)
		ret = policy_update(rt, port, config, why);
	if (ret == 0 && needs_vf(port))
		ret = vf_take(rt, port, why);
	if (ret == 0 && obj_bool(config, "synthetic"))
		ret = syn_take(rt, port, why);
	if (ret < 0)
		port_free(rt, port);
	else
		port_open(port);
	return ret;
}

static int socket_give(const char *path, const struct vfu_access *access, struct refusal *why)
{
	if (lchown(path, access->uid, (gid_t)-1) < 0)
		return refuse(why, -errno, "owner", NULL, "the socket %s cannot be given away: %s",
			      path, strerror(errno));
	return 0;
}

/* Makes the sockets the new owner's. Who is connected stays so. */
static int sockets_give(struct rt_port *port, const json_t *config, struct refusal *why)
{
	struct vfu_access access;
	int ret = access_of(config, &access, why);

	if (access.uid == (uid_t)-1)
		access.uid = geteuid();
	if (ret == 0 && port->vf != NULL)
		ret = socket_give(vfdev_path(port->vf), &access, why);
	if (ret == 0 && port->syn != NULL)
		ret = socket_give(port->syn_path, &access, why);
	return ret;
}

/* What is wanted and not there yet comes now. What is no longer wanted goes when the transaction has
 * settled (vports_settle): a VM would not come back to a VF that was gone for a moment. */
static int vport_adapters(struct runtime *rt, struct rt_port *port, const json_t *was,
			  struct refusal *why)
{
	bool had_vf = port->vf != NULL, had_syn = port->syn != NULL;
	bool given = obj_changed(was, port->config, "owner");
	int ret = 0;

	if (given)
		ret = sockets_give(port, port->config, why);
	if (ret == 0 && !had_vf && needs_vf(port))
		ret = vf_take(rt, port, why);
	if (ret == 0 && !had_syn && obj_bool(port->config, "synthetic"))
		ret = syn_take(rt, port, why);
	if (ret == 0)
		ret = policy_update(rt, port, port->config, why);
	if (ret == 0)
		return 0;
	if (!had_vf)
		vf_drop(rt, port);
	if (!had_syn)
		syn_drop(rt, port);
	if (given) {
		struct refusal undo = REFUSAL_INIT;

		if (sockets_give(port, was, &undo) < 0)
			log_err("vport", "'%s' could not be put back as it was: %s", port->name,
				undo.text);
	}
	return ret;
}

/* Before its adapters are taken: they are made as this says. */
static void vport_become(struct rt_port *port, const json_t *config)
{
	vport_rules(port, config);
	port_config_set(port, config);
}

int vport_set(struct runtime *rt, struct rt_port *port, const json_t *config, struct refusal *why)
{
	int ret = qos_check(rt, port, config, why);
	json_t *was;

	if (ret < 0)
		return ret;
	was = json_incref(port->config);
	vport_become(port, config);
	ret = vport_adapters(rt, port, was, why);
	if (ret < 0)
		vport_become(port, was);
	json_decref(was);
	if (!obj_bool(port->config, "iov")) {
		port->vf_reason[0] = '\0';
		port->lacks_vf = false;
	}
	return ret;
}

static bool waits_for_vf(const struct rt_port *port, bool synthetic)
{
	return port->kind == PORT_OF_VPORT && !port->removed && port->vf == NULL &&
	       obj_bool(port->config, "iov") && obj_bool(port->config, "synthetic") == synthetic;
}

/* Whether the transaction asks for it. What a vport once had to do without, or lost, must not keep it from other
 * changes. */
static bool asks_for_vf(const struct rt_port *port)
{
	return obj_changed(port->live, port->config, "iov") ||
	       obj_changed(port->live, port->config, "synthetic");
}

static int agree_on_vfs(struct runtime *rt, bool synthetic, struct refusal *why)
{
	struct rt_port *port;

	LIST_FOREACH(port, &rt->ports, next) {
		int ret;

		if (!waits_for_vf(port, synthetic) || !asks_for_vf(port))
			continue;
		ret = vf_take(rt, port, why);
		if (ret == 0 && port->vf == NULL && !synthetic)
			ret = refuse(why, -ENOSPC, "iov", "on",
				     "%s; or allow a synthetic (synthetic on)", port->vf_reason);
		if (ret < 0) {
			refusal_about(why, "vport", port->name);
			return ret;
		}
	}
	return 0;
}

int vports_agree(struct runtime *rt, struct refusal *why)
{
	int ret = agree_on_vfs(rt, false, why);

	return ret == 0 ? agree_on_vfs(rt, true, why) : ret;
}

/* Of a refused change also the VFs that it gave away: their places may be others' again, and they are as that
 * change said. */
static void vports_drop(struct runtime *rt, bool committed)
{
	struct rt_port *port;

	LIST_FOREACH(port, &rt->ports, next) {
		if (port->kind != PORT_OF_VPORT || port->removed)
			continue;
		if (!obj_bool(port->config, "iov") || (port->vf_new && !committed))
			vf_drop(rt, port);
		port->vf_new = false;
		if (!obj_bool(port->config, "synthetic"))
			syn_drop(rt, port);
	}
}

/* That it has none is said once, but for one whose synthetic serves while the pool is empty. */
static void vf_try(struct runtime *rt, struct rt_port *port)
{
	struct refusal why = REFUSAL_INIT;
	bool failed = vf_take(rt, port, &why) < 0;

	if (failed)
		text_put(port->vf_reason, sizeof(port->vf_reason), "%.255s", why.text);
	port->vf_new = false;
	if (port->vf != NULL || port->lacks_vf || (!failed && !needs_vf(port)))
		return;
	port->lacks_vf = true;
	log_warn("vport", "'%s' has no VF: %s", port->name, port->vf_reason);
	events_add(rt->events, "warning", "vport", port->name, "has no VF: %s", port->vf_reason);
}

void vports_settle(struct runtime *rt, bool committed)
{
	static const bool synthetic[] = { false, true };
	struct rt_port *port;

	vports_drop(rt, committed);
	for (unsigned int i = 0; i < ARRAY_SIZE(synthetic); i++)
		LIST_FOREACH(port, &rt->ports, next)
			if (waits_for_vf(port, synthetic[i]))
				vf_try(rt, port);
}

void vport_retry(struct runtime *rt, struct rt_port *port)
{
	if (port->lacks_vf)
		vf_try(rt, port);
}

/* --- following --- */

/* As many frames at once as in a second. A change begins with a full bucket. */
static void storm_limit(struct rt_port *port)
{
	uint64_t limit = obj_uint(port->config, "storm-limit");

	if (obj_changed(port->live, port->config, "storm-limit"))
		bucket_set(&port->storm, limit * STORM_COST * 8, limit > 0 ? STORM_BURST(limit) : 0,
			   clock_ns() - 1000000000);
}

static void vf_follow(struct runtime *rt, struct rt_port *port)
{
	const json_t *config = port->config;
	struct vf_policy policy;

	policy_of(port, config, &policy);
	vfdev_set_policy(port->vf, &policy);
	if (!vfdev_set_trap(port->vf, obj_is(config, "doorbell", "trap")) &&
	    obj_changed(port->live, config, "doorbell"))
		events_add(rt->events, "warning", "vport", port->name,
			   "doorbell %s has effect when its VM is attached anew",
			   obj_str(config, "doorbell"));
}

/* The addresses follow from the guest's when a VF is there. */
static void vport_follow(struct runtime *rt, struct rt_port *port)
{
	const json_t *config = port->config;

	qos_update(rt, port);
	storm_limit(port);
	fdb_set_port_limit(port->sw->sw.learned, (uint16_t)port->idx,
			   (uint32_t)obj_uint(config, "mac-limit"));
	if (obj_changed(port->live, config, "mac"))
		own_mac_alone(port, config);
	if (port->vf != NULL)
		vf_follow(rt, port);
	if (port->syn != NULL) {
		vhost_set_link(port->syn, link_wanted(config));
		vhost_set_max_frame(port->syn, max_frame(config));
	}
}

void ports_follow(struct runtime *rt, struct rt_switch *sw)
{
	struct rt_port *port;

	LIST_FOREACH(port, &rt->ports, next) {
		if (port->sw != sw || port->removed || port->live == port->config)
			continue;
		if (port->kind == PORT_OF_VPORT)
			vport_follow(rt, port);
		if (port->live != NULL && obj_changed(port->live, port->config, "pins"))
			port_pins(rt, port);
		json_decref(port->live);
		port->live = json_incref(port->config);
	}
}
