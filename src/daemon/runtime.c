/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "daemon/runtime.h"
#include "model/object.h"
#include "model/refs.h"
#include "model/text.h"

/* --- switches --- */

struct rt_switch *runtime_switch(struct runtime *rt, const char *name)
{
	struct rt_switch *sw;

	LIST_FOREACH(sw, &rt->switches, next)
		if (!sw->removed && strcmp(sw->name, name) == 0)
			return sw;
	return NULL;
}

struct rt_port *runtime_port(struct runtime *rt, enum port_kind kind, const char *name)
{
	struct rt_port *port;

	LIST_FOREACH(port, &rt->ports, next)
		if (port->kind == kind && !port->removed && strcmp(port->name, name) == 0)
			return port;
	return NULL;
}

bool ports_named(const json_t *obj)
{
	return obj_has(obj, "vport") || obj_has(obj, "uplink");
}

bool port_is_named(const json_t *obj, const struct rt_port *port)
{
	const char *field = port->kind == PORT_OF_UPLINK ? "uplink" : "vport";

	return obj_has(obj, field) && refs_have(obj_str(obj, field), port->name);
}

int ports_on_switch(struct runtime *rt, const json_t *obj, const char *field, enum port_kind kind,
		    struct refusal *why)
{
	const char *refs = obj_has(obj, field) ? obj_str(obj, field) : NULL;
	char name[REF_SIZE];

	while (refs_next(&refs, name)) {
		const struct rt_port *port = runtime_port(rt, kind, name);

		if (port != NULL && strcmp(port->sw->name, obj_str(obj, "switch")) != 0)
			return refuse(why, -EINVAL, field, name,
				      "it is on the switch '%s', and '%s' on '%s'", port->sw->name,
				      obj_name(obj), obj_str(obj, "switch"));
	}
	return 0;
}

static void switch_config(struct rt_switch *sw, const json_t *config)
{
	json_incref((json_t *)config);
	json_decref(sw->config);
	sw->config = (json_t *)config;
	sw->name = obj_name(config);
}

static void switch_follow(struct runtime *rt, struct rt_switch *sw)
{
	if (sw->live == sw->config)
		return;
	json_decref(sw->live);
	sw->live = json_incref(sw->config);
	fdb_set_limit(sw->sw.learned, (uint32_t)obj_uint(sw->config, "fdb-limit"));
	vfu_lock(rt->vfu);
	sw->controller.any_filters = obj_is(sw->config, "filters", "any");
	vfu_unlock(rt->vfu);
}

static int switch_add(struct runtime *rt, const json_t *config, struct refusal *why)
{
	struct rt_switch *sw = calloc(1, sizeof(*sw));
	int ret;

	if (sw == NULL)
		return refuse(why, -ENOMEM, NULL, NULL, "out of memory");
	ret = qos_check_switch(rt, sw, config, why);
	if (ret == 0) {
		ret = switch_init(&sw->sw, (uint32_t)obj_uint(config, "fdb-limit"));
		if (ret < 0)
			refuse(why, ret, NULL, NULL, "out of memory");
	}
	if (ret < 0) {
		free(sw);
		return ret;
	}
	switch_config(sw, config);
	switch_follow(rt, sw);
	LIST_INSERT_HEAD(&rt->switches, sw, next);
	return 0;
}

static int switch_set(struct runtime *rt, struct rt_switch *sw, const json_t *config,
		      struct refusal *why)
{
	int ret = 0;

	if (obj_changed(sw->config, config, "vfs"))
		ret = vfs_fit(rt, sw, (unsigned int)obj_uint(config, "vfs"), why);
	if (ret == 0)
		ret = qos_check_switch(rt, sw, config, why);
	if (ret < 0)
		return ret;
	switch_config(sw, config);
	sw->changed = true;
	return 0;
}

static void switch_free(struct runtime *rt, struct rt_switch *sw)
{
	LIST_REMOVE(sw, next);
	worker_quiesce(rt->workers);
	switch_fini(&sw->sw);
	policies_free(sw->retired);
	qos_policies_free(sw);
	free(sw->share);
	free(sw->intake);
	json_decref(sw->divided);
	json_decref(sw->config);
	json_decref(sw->live);
	free(sw);
}

/* --- publishing --- */

/* Has the workers go by published[]. */
static void publish(struct runtime *rt, struct rt_switch *sw)
{
	struct switch_snapshot *old;
	unsigned int n = 0;
	int ret = 0;

	for (unsigned int i = 0; i < SWITCH_PORTS_MAX; i++)
		if (sw->published[i].used)
			n = i + 1;
	do {
		if (ret < 0) {
			log_err("switch", "'%s': waiting for memory to take over a change",
				sw->name);
			sleep(1);
		}
		old = switch_publish(&sw->sw, sw->published, n, &ret);
	} while (ret < 0);
	worker_quiesce(rt->workers);
	switch_snapshot_free(old);
}

void runtime_publish(struct runtime *rt, struct rt_switch *sw)
{
	switch_follow(rt, sw);
	ports_follow(rt, sw);
	acls_build(rt, sw);
	memcpy(sw->published, sw->port, sizeof(sw->published));
	publish(rt, sw);
	sw->changed = false;
	policies_free(sw->retired);
	sw->retired = NULL;
	acls_built(rt, sw);
}

/* What the port `now` has no longer. Whether that is anything that a snapshot shows. */
static bool withdraw_port(struct port_config *published, const struct port_config *now)
{
	bool any = (published->used && !now->used) || published->tap != now->tap;

	published->used &= now->used;
	published->tap = now->tap;
	for (unsigned int slot = 0; slot < PORT_ENDPOINTS; slot++) {
		if (published->endpoint[slot] == NULL ||
		    published->endpoint[slot] == now->endpoint[slot])
			continue;
		published->endpoint[slot] = NULL;
		any = true;
	}
	return any;
}

void runtime_withdraw(struct runtime *rt, struct rt_switch *sw)
{
	bool any = false;

	for (unsigned int i = 0; i < SWITCH_PORTS_MAX; i++)
		any |= withdraw_port(&sw->published[i], &sw->port[i]);
	if (any)
		publish(rt, sw);
	else
		worker_quiesce(rt->workers); /* a tap behind others may have gone */
}

static void publish_changed(struct runtime *rt)
{
	struct rt_switch *sw;

	LIST_FOREACH(sw, &rt->switches, next)
		if (sw->changed)
			runtime_publish(rt, sw);
}

static void extensions_settle(struct runtime *rt)
{
	extensions_follow(rt);
	publish_changed(rt);
	extensions_tidy(rt);
}

void runtime_make_room(struct runtime *rt)
{
	struct rt_port *port, *next;
	struct rt_switch *sw, *next_sw;

	mirrors_free_removed(rt); /* they refer to ports */
	LIST_FOREACH(sw, &rt->switches, next)
		if (sw->changed)
			runtime_withdraw(rt, sw);
	for (port = LIST_FIRST(&rt->ports); port != NULL; port = next) {
		next = LIST_NEXT(port, next);
		if (port->removed)
			port_free(rt, port);
	}
	/* The ports of a removed switch were removed before it. */
	for (sw = LIST_FIRST(&rt->switches); sw != NULL; sw = next_sw) {
		next_sw = LIST_NEXT(sw, next);
		if (sw->removed)
			switch_free(rt, sw);
	}
}

static void settled(void *ctx, bool committed)
{
	struct runtime *rt = ctx;

	rt->started = true;
	runtime_make_room(rt);
	vports_settle(rt, committed);
	captures_follow(rt);
	qos_policies_follow(rt);
	qos_settled(rt);
	mirrors_follow(rt);
	extensions_settle(rt);
	qos_policies_tidy(rt);
}

/* --- the changes of objects --- */

/* A removed port that this object describes exactly: the removal is being undone. */
static bool revive(struct runtime *rt, enum port_kind kind, const json_t *config)
{
	struct rt_port *port;

	LIST_FOREACH(port, &rt->ports, next) {
		if (port->kind != kind || !port->removed || !json_equal(port->config, config))
			continue;
		port_open(port);
		return true;
	}
	return false;
}

static bool revive_switch(struct runtime *rt, const json_t *config)
{
	struct rt_switch *sw;

	LIST_FOREACH(sw, &rt->switches, next) {
		if (!sw->removed || !json_equal(sw->config, config))
			continue;
		sw->removed = false;
		return true;
	}
	return false;
}

static bool is_in_the_way(const struct rt_port *port, enum port_kind kind, const json_t *config)
{
	return port->removed && port->kind == kind &&
	       (strcmp(port->name, obj_name(config)) == 0 ||
		(kind == PORT_OF_UPLINK && !obj_changed(port->config, config, "device")));
}

/* An object that is removed and added in one transaction: the old one has to leave its sockets or its
 * interface to the new one now. Others that are removed stay until nothing can undo that. */
static void free_namesakes(struct runtime *rt, enum port_kind kind, const json_t *config)
{
	struct rt_port *port, *next;

	for (port = LIST_FIRST(&rt->ports); port != NULL; port = next) {
		next = LIST_NEXT(port, next);
		if (!is_in_the_way(port, kind, config))
			continue;
		mirrors_free_removed(rt); /* they refer to ports */
		if (port->sw->changed)
			runtime_withdraw(rt, port->sw);
		port_free(rt, port);
	}
}

static int change_port(struct runtime *rt, enum port_kind kind, const json_t *old_obj,
		       const json_t *new_obj, struct refusal *why)
{
	struct rt_port *port =
		runtime_port(rt, kind, obj_name(old_obj != NULL ? old_obj : new_obj));

	if (new_obj == NULL) {
		if (port != NULL)
			port_remove(port);
		return 0;
	}
	/* One that is there without an old object could not be undone, and is tried again. */
	if (port == NULL) {
		if (revive(rt, kind, new_obj))
			return 0;
		free_namesakes(rt, kind, new_obj);
		return kind == PORT_OF_VPORT ? vport_add(rt, new_obj, why)
					     : uplink_add(rt, new_obj, why);
	}
	return kind == PORT_OF_VPORT ? vport_set(rt, port, new_obj, why)
				     : uplink_set(rt, port, new_obj, why);
}

static int change(void *ctx, const struct object_type *type, const json_t *old_obj,
		  const json_t *new_obj, struct refusal *why)
{
	struct runtime *rt = ctx;
	struct rt_switch *sw;

	if (strcmp(type->name, "vport") == 0)
		return change_port(rt, PORT_OF_VPORT, old_obj, new_obj, why);
	if (strcmp(type->name, "uplink") == 0)
		return change_port(rt, PORT_OF_UPLINK, old_obj, new_obj, why);
	if (strcmp(type->name, "acl") == 0)
		return acl_change(rt, old_obj, new_obj, why);
	if (strcmp(type->name, "qos-policy") == 0)
		return qos_policy_change(rt, old_obj, new_obj, why);
	if (strcmp(type->name, "mirror") == 0)
		return mirror_change(rt, old_obj, new_obj, why);
	if (strcmp(type->name, "extension") == 0)
		return extension_change(rt, old_obj, new_obj, why);
	if (strcmp(type->name, "switch") != 0)
		return 0;
	sw = runtime_switch(rt, obj_name(old_obj != NULL ? old_obj : new_obj));
	if (new_obj == NULL) {
		if (sw != NULL)
			sw->removed = true;
		return 0;
	}
	if (sw != NULL)
		return switch_set(rt, sw, new_obj, why);
	return revive_switch(rt, new_obj) ? 0 : switch_add(rt, new_obj, why);
}

static int agree(void *ctx, struct refusal *why)
{
	int ret = qos_agree(ctx, why);

	return ret == 0 ? vports_agree(ctx, why) : ret;
}

static int verb(void *ctx, const struct object_type *type, const struct verb *verb,
		const char *name, const json_t *params, json_t **result, struct refusal *why)
{
	if (strcmp(type->name, "host") == 0 && strcmp(verb->name, "check") == 0) {
		*result = host_check(ctx);
		return 0;
	}
	if (strcmp(type->name, "trace") == 0)
		return trace_verb(ctx, verb, name, params, result, why);
	if (strcmp(type->name, "capture") == 0)
		return captures_verb(ctx, verb, name, params, result, why);
	if (strcmp(type->name, "meter") == 0)
		return meters_reset(ctx, name, why);
	if (strcmp(type->name, "extension") == 0) {
		int ret = extension_reload(ctx, name, why);

		extensions_settle(ctx);
		return ret;
	}
	return refuse(why, -ENOSYS, NULL, NULL, "the daemon has no %s %s", type->name, verb->name);
}

void runtime_backend(struct runtime *rt, struct backend *backend)
{
	*backend = (struct backend){
		.ctx = rt,
		.change = change,
		.agree = agree,
		.settled = settled,
		.status = status_fill,
		.list = status_list,
		.verb = verb,
		.stream = captures_stream,
	};
}

/* --- what happens below --- */

void runtime_wake(struct runtime *rt)
{
	uint64_t one = 1;

	/* Fails only when the counter is full, and then control is awake. */
	if (write(rt->wake_fd, &one, sizeof(one)) < 0)
		return;
}

/* Whether another vport of the switch has this address by its configuration. */
static bool is_anothers(const struct runtime *rt, const struct rt_port *port, uint64_t mac)
{
	const struct rt_port *other;
	uint8_t bytes[6];

	LIST_FOREACH(other, &rt->ports, next) {
		if (other == port || other->sw != port->sw || other->removed ||
		    other->kind != PORT_OF_VPORT)
			continue;
		obj_mac(other->config, "mac", bytes);
		if (mac_load(bytes) == mac)
			return true;
	}
	return false;
}

/* The addresses that the guest uses now, into the switch's table: but for those of other vports, which
 * also a trusted guest must not take away. */
static void refresh_macs(struct runtime *rt, struct rt_port *port, const struct vfdev_info *info)
{
	struct port_config *p = &port->sw->port[port->idx];
	uint64_t mac[PORT_MACS_MAX], own;
	unsigned int n = 0;
	uint8_t bytes[6];

	obj_mac(port->config, "mac", bytes);
	own = mac_load(bytes);
	for (unsigned int i = 0; i < info->n_macs; i++)
		if (info->mac[i] == own || !is_anothers(rt, port, info->mac[i]))
			mac[n++] = info->mac[i];
	if (n == 0)
		mac[n++] = own;
	if (n == p->n_macs && memcmp(mac, p->mac, n * sizeof(mac[0])) == 0)
		return;
	p->n_macs = n;
	memcpy(p->mac, mac, n * sizeof(mac[0]));
	port->sw->changed = true;
}

static const char *vf_event(enum vf_state state)
{
	static const char *const text[] = {
		[VF_DETACHED] = "the VM has left the VF",
		[VF_ATTACHED] = "a VM is attached to the VF, its driver does not run",
		[VF_ACTIVE] = "the VF's driver runs in the VM",
	};

	return text[state];
}

static void look_at_vport(struct runtime *rt, struct rt_port *port)
{
	const char *path = vport_path(port);
	struct vfdev_info info;

	if (port->vf != NULL) {
		vfdev_info(port->vf, &info);
		refresh_macs(rt, port, &info);
		if (info.state != port->vf_state)
			events_add(rt->events, info.state == VF_DETACHED ? "detached" : "attached",
				   "vport", port->name, "%s", vf_event(info.state));
		port->vf_state = info.state;
	}
	if (strcmp(path, port->path) != 0) {
		events_add(rt->events, "path", "vport", port->name, "the path is now %s", path);
		port->path = path;
	}
}

void runtime_changed(struct runtime *rt)
{
	struct rt_port *port;
	uint64_t n;

	if (read(rt->wake_fd, &n, sizeof(n)) < 0)
		return;
	LIST_FOREACH(port, &rt->ports, next)
		if (port->kind == PORT_OF_VPORT && !port->removed)
			look_at_vport(rt, port);
	captures_look(rt);
	publish_changed(rt);
}

static void tick_rate(struct rt_port *port, uint64_t elapsed_ns)
{
	struct endpoint_stats now;
	struct rate *r = &port->rate;
	double per_s = 1e9 / (double)elapsed_ns;

	port_stats(port, &now);
	r->rx_fps = (uint64_t)((double)(now.rx_frames - r->last.rx_frames) * per_s);
	r->tx_fps = (uint64_t)((double)(now.tx_frames - r->last.tx_frames) * per_s);
	r->rx_bps = (uint64_t)((double)(now.rx_bytes - r->last.rx_bytes) * 8 * per_s);
	r->tx_bps = (uint64_t)((double)(now.tx_bytes - r->last.tx_bytes) * 8 * per_s);
	r->last = now;
}

static void tick_vport(struct runtime *rt, struct rt_port *port)
{
	vport_retry(rt, port);
	if (port->vf != NULL)
		vfdev_refresh(port->vf);
	look_at_vport(rt, port);
}

static void tick_workers(struct runtime *rt, uint64_t elapsed_ns)
{
	unsigned int n_moved;

	for (unsigned int i = 0; i < workers_count(rt->workers); i++) {
		struct worker_stats now, *last = &rt->worker_last[i], *gain = &rt->worker_gain[i];

		worker_stats(rt->workers, i, &now);
		gain->cycles_busy = now.cycles_busy - last->cycles_busy;
		gain->frames = now.frames - last->frames;
		*last = now;
	}
	rt->worker_gain_ns = elapsed_ns;
	n_moved = workers_tick(rt->workers);
	if (n_moved > 0)
		log_debug("workers", "%u queues moved", n_moved);
}

void runtime_tick(struct runtime *rt)
{
	uint64_t now_ns = clock_ns(), elapsed_ns = now_ns - rt->tick_ns;
	struct rt_switch *sw;
	struct rt_port *port;

	if (elapsed_ns == 0)
		return;
	rt->tick_ns = now_ns;
	LIST_FOREACH(port, &rt->ports, next) {
		if (port->removed)
			continue;
		tick_rate(port, elapsed_ns);
		meters_tick(port, elapsed_ns);
		if (port->kind == PORT_OF_UPLINK)
			uplink_tick(rt, port);
		else
			tick_vport(rt, port);
	}
	tick_workers(rt, elapsed_ns);
	LIST_FOREACH(sw, &rt->switches, next)
		fdb_age(sw->sw.learned, (uint32_t)(now_ns / 1000000000),
			(uint32_t)obj_uint(sw->config, "fdb-age"));
	qos_follow(rt);
	extensions_retry(rt);
	extensions_settle(rt);
}

/* --- life --- */

static void *vfu_main(void *arg)
{
	struct runtime *rt = arg;

	pthread_setname_np(pthread_self(), "device-io");
	if (vfu_loop_run(rt->vfu) < 0)
		log_err("vfu", "the vfio-user loop ended: VFs no longer answer");
	return NULL;
}

static int make_dir(const char *dir, const char *sub, struct err *err)
{
	char path[300];

	text_put(path, sizeof(path), "%s%s", dir, sub);
	if (mkdir(path, 0755) < 0 && errno != EEXIST)
		return err_set(err, -errno, "cannot make the folder '%s': %s", path,
			       strerror(errno));
	return 0;
}

static int start_threads(struct runtime *rt, struct err *err)
{
	const struct options *o = rt->options;
	struct worker_options wo = { .n_cpus = o->n_cpus,
				     .idle_us = o->idle_us,
				     .thread_start = uplink_thread_start };
	unsigned int bad_cpu = 0;
	int ret;

	memcpy(wo.cpu, o->cpu, sizeof(wo.cpu));
	ret = workers_start(&rt->workers, &wo, &bad_cpu);
	if (ret < 0)
		return err_set(err, ret,
			       "cannot start a worker on processor %u: %s (see --workers)", bad_cpu,
			       strerror(-ret));
	rt->vfu = vfu_loop_new();
	if (rt->vfu == NULL)
		return err_set(err, -errno, "cannot make the vfio-user loop: %s", strerror(errno));
	ret = -pthread_create(&rt->vfu_thread, NULL, vfu_main, rt);
	if (ret < 0) {
		vfu_loop_free(rt->vfu);
		rt->vfu = NULL;
		return err_set(err, ret, "cannot start the device I/O thread: %s", strerror(-ret));
	}
	return 0;
}

int runtime_start(struct runtime *rt, const struct options *options, struct events *events,
		  struct err *err)
{
	int ret;

	memset(rt, 0, sizeof(*rt));
	rt->events = events;
	LIST_INIT(&rt->switches);
	LIST_INIT(&rt->ports);
	LIST_INIT(&rt->mirrors);
	LIST_INIT(&rt->extensions);
	TAILQ_INIT(&rt->captures);
	rt->started_ns = clock_ns();
	rt->tick_ns = rt->started_ns;
	rt->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (rt->wake_fd < 0)
		return err_set(err, -errno, "cannot make an eventfd: %s", strerror(errno));
	rt->options = options;
	ret = make_dir(options->run_dir, "", err);
	if (ret == 0)
		ret = make_dir(options->run_dir, "/vf", err);
	if (ret == 0)
		ret = make_dir(options->run_dir, "/syn", err);
	if (ret == 0)
		ret = start_threads(rt, err);
	if (ret < 0)
		runtime_stop(rt);
	return ret;
}

void runtime_stop(struct runtime *rt)
{
	struct rt_port *port;
	struct rt_switch *sw;

	captures_free(rt);
	mirrors_free(rt);
	LIST_FOREACH(port, &rt->ports, next)
		if (!port->removed)
			port_remove(port);
	LIST_FOREACH(sw, &rt->switches, next)
		sw->removed = true;
	runtime_make_room(rt);
	extensions_free(rt);
	if (rt->vfu != NULL) {
		vfu_loop_stop(rt->vfu);
		pthread_join(rt->vfu_thread, NULL);
		vfu_loop_free(rt->vfu);
	}
	workers_stop(rt->workers);
	close(rt->wake_fd);
	memset(rt, 0, sizeof(*rt));
}
