/* SPDX-License-Identifier: BSD-3-Clause */
/* The status fields of the object model, from the running state. */
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "daemon/runtime.h"
#include "model/config.h"
#include "model/object.h"
#include "model/text.h"

static void put_uint(json_t *out, const char *field, uint64_t v)
{
	json_object_set_new(out, field, json_integer((json_int_t)v));
}

static void put_str(json_t *out, const char *field, const char *v)
{
	json_object_set_new(out, field, json_string(v));
}

static void put_mac(json_t *out, const char *field, uint64_t mac)
{
	char text[18];
	uint8_t m[6];

	mac_store(m, mac);
	text_put(text, sizeof(text), "%02x:%02x:%02x:%02x:%02x:%02x", m[0], m[1], m[2], m[3], m[4],
		 m[5]);
	put_str(out, field, text);
}

static void put_stats(json_t *out, const struct endpoint_stats *s)
{
	json_t *reasons = json_object();
	uint64_t drops = 0;

	for (unsigned int i = DROP_NONE + 1; i < DROP_N; i++) {
		drops += s->drop[i];
		if (s->drop[i] > 0)
			put_uint(reasons, drop_reason_name(i), s->drop[i]);
	}
	put_uint(out, "rx-frames", s->rx_frames);
	put_uint(out, "rx-bytes", s->rx_bytes);
	put_uint(out, "tx-frames", s->tx_frames);
	put_uint(out, "tx-bytes", s->tx_bytes);
	put_uint(out, "drops", drops);
	json_object_set_new(out, "drop-reasons", reasons);
}

static void put_rates(json_t *out, const struct rate *r)
{
	put_uint(out, "rx-rate", r->rx_bps);
	put_uint(out, "tx-rate", r->tx_bps);
	put_uint(out, "rx-fps", r->rx_fps);
	put_uint(out, "tx-fps", r->tx_fps);
}

/* An uplink's receiver is the network outside: what it counts as sent by "the guest" came in. */
static void swap_directions(struct endpoint_stats *s, struct rate *r)
{
	struct endpoint_stats was = *s;
	struct rate rate = *r;

	s->rx_frames = was.tx_frames;
	s->rx_bytes = was.tx_bytes;
	s->tx_frames = was.rx_frames;
	s->tx_bytes = was.rx_bytes;
	r->rx_bps = rate.tx_bps;
	r->tx_bps = rate.rx_bps;
	r->rx_fps = rate.tx_fps;
	r->tx_fps = rate.rx_fps;
}

static void fill_switch(struct runtime *rt, const json_t *obj, json_t *out)
{
	struct rt_switch *sw = runtime_switch(rt, obj_name(obj));
	struct endpoint_stats sum = { 0 }, one;
	uint64_t n_vports = 0, n_vfs = 0;
	struct rt_port *port;

	if (sw == NULL)
		return;
	LIST_FOREACH(port, &rt->ports, next) {
		if (port->sw != sw || port->removed)
			continue;
		port_stats(port, &one);
		endpoint_stats_add(&sum, &one);
		n_vports += port->kind == PORT_OF_VPORT;
		n_vfs += port->vf != NULL;
	}
	put_uint(out, "vports", n_vports);
	put_uint(out, "vfs-in-use", n_vfs);
	put_uint(out, "fdb-entries", n_vports + fdb_count(sw->sw.learned));
	put_stats(out, &sum);
}

static const char *vf_state_word(enum vf_state state)
{
	static const char *const words[] = {
		[VF_DETACHED] = "listening",
		[VF_ATTACHED] = "attached",
		[VF_ACTIVE] = "active",
	};

	return words[state];
}

static const char *syn_state_word(const struct rt_port *port)
{
	static const char *const words[] = {
		[VHOST_DETACHED] = "listening",
		[VHOST_CONNECTED] = "connected",
		[VHOST_RUNNING] = "active",
	};

	return port->syn == NULL ? "off" : words[vhost_state(port->syn)];
}

static json_t *syn_features(const struct rt_port *port)
{
	json_t *names = json_array();
	struct vhost_info info;
	const char *name;

	vhost_get_info(port->syn, &info);
	for (unsigned int i = 0; (name = vhost_feature_name(info.features, i)) != NULL; i++)
		json_array_append_new(names, json_string(name));
	return names;
}

static unsigned int n_queues(const struct rt_port *port)
{
	struct endpoint *const *ep = port->sw->port[port->idx].endpoint;
	struct vhost_info info;

	if (ep[PORT_VF] != NULL && atomic_load(&ep[PORT_VF]->running) != 0)
		return ep[PORT_VF]->n_txq;
	if (port->syn == NULL)
		return 0;
	vhost_get_info(port->syn, &info);
	return info.n_queues;
}

static void fill_vport(struct runtime *rt, const json_t *obj, json_t *out)
{
	struct rt_port *port = runtime_port(rt, PORT_OF_VPORT, obj_name(obj));
	struct endpoint_stats sum;
	struct vfdev_info info;
	json_t *reasons = json_array();

	if (port == NULL) {
		json_decref(reasons);
		return;
	}
	if (port->lacks_vf && port->syn == NULL)
		put_str(out, "problem", port->vf_reason);
	put_str(out, "path", vport_path(port));
	put_mac(out, "guest-mac", port->sw->port[port->idx].mac[0]);
	if (port->vf_reason[0] != '\0')
		json_array_append_new(reasons, json_string(port->vf_reason));
	else if (!obj_bool(obj, "iov"))
		json_array_append_new(reasons,
				      json_string("iov is off (softiov vport set NAME iov on)"));
	if (port->vf != NULL) {
		vfdev_info(port->vf, &info);
		put_uint(out, "vf", port->vf_idx);
		put_str(out, "vf-state", vf_state_word(info.state));
		put_str(out, "vf-api", info.api);
		put_str(out, "vf-socket", vfdev_path(port->vf));
	}
	json_object_set_new(out, "reasons", reasons);
	put_str(out, "syn-state", syn_state_word(port));
	if (port->syn != NULL) {
		put_str(out, "syn-socket", port->syn_path);
		json_object_set_new(out, "syn-features", syn_features(port));
	}
	if (port->conns != NULL)
		put_uint(out, "connections",
			 conns_count(port->conns, (uint32_t)(clock_ns() / 1000000000)));
	put_uint(out, "queues-in-use", n_queues(port));
	put_uint(out, "fdb-entries", fdb_count_of(port->sw->sw.learned, (uint16_t)port->idx));
	port_stats(port, &sum);
	put_rates(out, &port->rate);
	put_stats(out, &sum);
	put_uint(out, "tx-waited-frames", atomic_load(&port->arbiter->waited_frames));
	put_uint(out, "tx-waited-bytes", atomic_load(&port->arbiter->waited_bytes));
	put_uint(out, "rx-policed-frames", atomic_load(&port->arbiter->policed_frames));
	put_uint(out, "rx-policed-bytes", atomic_load(&port->arbiter->policed_bytes));
}

static void fill_uplink(struct runtime *rt, const json_t *obj, json_t *out)
{
	struct rt_port *port = runtime_port(rt, PORT_OF_UPLINK, obj_name(obj));
	struct endpoint_stats sum;
	struct uplink_info info;
	struct rate rate;

	if (port == NULL)
		return;
	if (port->lost[0] != '\0')
		put_str(out, "problem", port->lost);
	uplink_info(port->uplink, &info);
	put_str(out, "link", info.link_up ? "up" : "down");
	if (info.speed_bps > 0)
		put_uint(out, "speed", info.speed_bps);
	if (info.driver != NULL) {
		put_mac(out, "mac", info.mac);
		put_str(out, "driver-in-use", info.driver);
	}
	put_uint(out, "fdb-entries", fdb_count_of(port->sw->sw.learned, (uint16_t)port->idx));
	port_stats(port, &sum);
	rate = port->rate;
	swap_directions(&sum, &rate);
	put_rates(out, &rate);
	put_stats(out, &sum);
}

void status_fill(void *ctx, const struct object_type *type, const json_t *obj, json_t *out)
{
	if (strcmp(type->name, "switch") == 0)
		fill_switch(ctx, obj, out);
	else if (strcmp(type->name, "vport") == 0)
		fill_vport(ctx, obj, out);
	else if (strcmp(type->name, "uplink") == 0)
		fill_uplink(ctx, obj, out);
	else if (strcmp(type->name, "acl") == 0)
		acl_fill(ctx, obj, out);
	else if (strcmp(type->name, "qos-policy") == 0)
		qos_policy_fill(ctx, obj, out);
	else if (strcmp(type->name, "mirror") == 0)
		mirror_status(ctx, obj, out);
	else if (strcmp(type->name, "extension") == 0)
		extension_status(ctx, obj, out);
}

static json_t *show_vf(struct rt_port *port)
{
	json_t *out = json_object();
	struct endpoint_stats sum;
	struct vfdev_info info;
	char name[160], pci_id[16];

	vfdev_info(port->vf, &info);
	endpoint_stats_sum(vfdev_endpoint(port->vf), &sum);
	text_put(name, sizeof(name), "%s/%u", port->sw->name, port->vf_idx);
	text_put(pci_id, sizeof(pci_id), "%04x:%04x", info.model->vendor, info.model->device);
	put_str(out, "name", name);
	put_str(out, "switch", port->sw->name);
	put_uint(out, "index", port->vf_idx);
	put_str(out, "vport", port->name);
	put_str(out, "model", info.model->name);
	put_str(out, "pci-id", pci_id);
	put_str(out, "state", vf_state_word(info.state));
	put_str(out, "api", info.api);
	put_str(out, "link", info.link_up ? "up" : "down");
	put_str(out, "doorbell", info.trap ? "trap" : "mapped");
	put_uint(out, "msix-vectors", info.model->n_vectors);
	put_str(out, "socket", vfdev_path(port->vf));
	put_uint(out, "messages", info.counters.mbox_messages);
	put_uint(out, "irqs", info.vfu.n_irqs);
	put_uint(out, "traps", info.counters.traps);
	put_uint(out, "dma-messages", info.vfu.n_dma_requests);
	put_uint(out, "dma-failed", info.vfu.n_dma_failed);
	put_uint(out, "bad-descriptors", sum.bad_tx_desc + sum.bad_rx_desc);
	return out;
}

/* Those that vports hold, by switch and index. What is free shows in the switch's vfs-in-use. */
static void list_vfs(struct runtime *rt, json_t *array)
{
	struct rt_port *port, *of_idx[SWITCH_PORTS_MAX];
	struct rt_switch *sw;

	LIST_FOREACH(sw, &rt->switches, next) {
		memset(of_idx, 0, sizeof(of_idx));
		LIST_FOREACH(port, &rt->ports, next) {
			if (port->sw == sw && port->vf != NULL && !port->removed)
				of_idx[port->vf_idx] = port;
		}
		for (unsigned int i = 0; i < SWITCH_PORTS_MAX; i++)
			if (of_idx[i] != NULL)
				json_array_append_new(array, show_vf(of_idx[i]));
	}
}

static void list_workers(struct runtime *rt, json_t *array)
{
	for (unsigned int i = 0; i < workers_count(rt->workers); i++) {
		const struct worker_stats *gain = &rt->worker_gain[i];
		double seconds = (double)rt->worker_gain_ns / 1e9;
		json_t *out = json_object();
		struct worker_stats s;
		char name[16];

		worker_stats(rt->workers, i, &s);
		text_put(name, sizeof(name), "%u", i);
		put_str(out, "name", name);
		put_uint(out, "cpu", s.cpu);
		put_uint(out, "queues", s.n_queues);
		put_uint(out, "frames", s.frames);
		put_uint(out, "busy-cycles", s.cycles_busy);
		put_uint(out, "sleeps", s.sleeps);
		if (seconds > 0) {
			json_object_set_new(out, "busy",
					    json_real(100.0 * (double)gain->cycles_busy /
						      (seconds * (double)clock_hz())));
			put_uint(out, "frames-per-second",
				 (uint64_t)((double)gain->frames / seconds));
		}
		if (gain->frames > 0)
			json_object_set_new(
				out, "cycles-per-frame",
				json_real((double)gain->cycles_busy / (double)gain->frames));
		json_array_append_new(array, out);
	}
}

static json_t *show_queue(struct runtime *rt, const struct rt_port *port, unsigned int slot,
			  const struct txq *txq)
{
	const char *kind = queue_kinds[port_queue_kind(port, slot)];
	json_t *out;
	struct queue_stats s;
	char name[160];

	if (workers_queue(rt->workers, txq, &s) < 0)
		return NULL;
	out = json_object();
	text_put(name, sizeof(name), "%s/%s-%u", port->name, kind, txq->idx);
	put_str(out, "name", name);
	put_str(out, "switch", port->sw->name);
	put_str(out, "port", port->name);
	put_str(out, "kind", kind);
	put_uint(out, "queue", txq->idx);
	put_uint(out, "worker", s.worker);
	json_object_set_new(out, "pinned", json_boolean(s.pinned));
	json_object_set_new(out, "load", json_real(100.0 * s.load));
	put_uint(out, "frames-per-second", s.frames_per_s);
	put_uint(out, "moves", s.moves);
	put_uint(out, "frames", s.frames);
	put_uint(out, "busy-cycles", s.cycles);
	return out;
}

/* In the order of their names. */
static void list_queues(struct runtime *rt, json_t *array)
{
	json_t *by_name = json_object();
	const struct rt_port *port;
	const char **names;

	LIST_FOREACH(port, &rt->ports, next) {
		struct endpoint *const *ep = port->sw->port[port->idx].endpoint;

		for (unsigned int slot = 0; slot < PORT_ENDPOINTS && !port->removed; slot++)
			for (unsigned int q = 0; ep[slot] != NULL && q < ep[slot]->n_txq; q++) {
				json_t *out = show_queue(rt, port, slot, ep[slot]->txq[q]);

				if (out != NULL)
					json_object_set_new(by_name, obj_name(out), out);
			}
	}
	names = config_names(by_name);
	for (const char **name = names; *name != NULL; name++)
		json_array_append(array, json_object_get(by_name, *name));
	free(names);
	json_decref(by_name);
}

void status_list(void *ctx, const struct object_type *type, json_t *array)
{
	if (strcmp(type->name, "vf") == 0)
		list_vfs(ctx, array);
	else if (strcmp(type->name, "worker") == 0)
		list_workers(ctx, array);
	else if (strcmp(type->name, "queue") == 0)
		list_queues(ctx, array);
	else if (strcmp(type->name, "capture") == 0)
		captures_list(ctx, array);
	else if (strcmp(type->name, "meter") == 0)
		meters_list(ctx, array);
	else if (strcmp(type->name, "host") == 0)
		json_array_append_new(array, host_show(ctx));
}
