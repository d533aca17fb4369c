/* SPDX-License-Identifier: BSD-3-Clause */
#include "world.h"
#include "frame/copy.h"
#include "frame/ip.h"

static struct world world;

/* --- invariants --- */

static uint64_t sum_drops(const struct endpoint_stats *stats)
{
	uint64_t n = 0;

	for (unsigned int i = 0; i < DROP_N; i++)
		n += stats->drop[i];
	return n;
}

/* By where its counters are, and not by what it does. */
static uint64_t drops_of(struct world *w, unsigned int port)
{
	struct endpoint *ep = w->port[port].endpoint[0];

	return sum_drops(endpoint_stats_self(ep)) + sum_drops(&w->port[port].stats[worker_self]);
}

static bool in_vlan(const struct port_config *port, uint16_t vid)
{
	return vid == port->pvid || (port->trunk && bitmap_test(port->vlans, vid));
}

static bool has_mac(const struct port_config *port, const uint8_t *mac)
{
	for (unsigned int i = 0; i < port->n_macs; i++)
		if (port->mac[i] == mac_load(mac))
			return true;
	return false;
}

/* Looks at what will be delivered, and in its own simple way: IPv4 that is no later fragment, IPv6 without extensions. */
static void check_guards(const struct guard *guard, const struct frame *f)
{
	uint32_t at = f->body + 2u, end = f->size + f->body - ETH_ADDRS_SIZE, size;
	bool v6 = f->ethertype == ETH_TYPE_IPV6;
	uint8_t ip[40], l4[4], proto;

	if (!guard_any(guard) || (!v6 && f->ethertype != ETH_TYPE_IPV4) || at + 40 + 4 > end)
		return;
	frame_read(f, at, ip, sizeof(ip));
	size = v6 ? 40 : (ip[0] & 0xfu) * 4;
	if (at + size + 4 > end || (!v6 && (load_be16(ip + 6) & IP4_FRAGMENT_OFFSET) != 0))
		return;
	frame_read(f, at + size, l4, sizeof(l4));
	proto = v6 ? ip[6] : ip[9];
	FUZZ_CHECK(ip[0] >> 4 == (v6 ? 6 : 4));
	if (guard->dhcp && proto == IP_PROTO_UDP) {
		FUZZ_CHECK(load_be16(l4) != (v6 ? 547 : 67) &&
			   load_be16(l4 + 2) != (v6 ? 546 : 68));
	} else if (guard->router && proto == (v6 ? IP_PROTO_ICMPV6 : IP_PROTO_ICMP)) {
		FUZZ_CHECK(l4[0] != (v6 ? 134 : 9) && l4[0] != (v6 ? 137 : 5));
	}
	if (guard->n_addresses > 0 && !v6)
		FUZZ_CHECK(ip[12] == 10 || ip[12] == 0);
}

/* `n_segs_max`: gso.h; of a frame that is pinned there is one more than its sender gave, of a piece of it two. */
static void check_frame(const struct world *w, const struct port_config *to, const struct frame *f,
			unsigned int n_segs_max)
{
	const struct port_config *from = &w->port[w->from];
	uint64_t size = f->seg_size;

	FUZZ_CHECK(to != from);
	FUZZ_CHECK(in_vlan(from, f->vid) && in_vlan(to, f->vid));
	FUZZ_CHECK(has_mac(from, f->mac + 6));
	FUZZ_CHECK((f->mac[0] & 1) != 0 || to->unknown_unicast || has_mac(to, f->mac));
	/* A second tag never leaves without the first. */
	FUZZ_CHECK(f->vid != to->pvid || f->ethertype != ETH_TYPE_VLAN);
	FUZZ_CHECK(f->n_segs >= 1 && f->n_segs <= n_segs_max);
	for (unsigned int i = 1; i < f->n_segs; i++)
		size += f->more[i - 1].size;
	FUZZ_CHECK(size + ETH_ADDRS_SIZE == (uint64_t)f->size + f->body);
	if (w->from == PORT_FUZZED)
		check_guards(&w->policy.guard, f);
}

/* Between the switch and each receiver. */
static void push(struct endpoint *ep, const struct frame *const frame[], unsigned int n,
		 uint16_t untagged_vid, struct endpoint_stats *stats)
{
	struct world *w = &world;
	uint64_t before = stats->rx_frames + sum_drops(stats);
	unsigned int to = 0;

	while (w->port[to].endpoint[0] != ep)
		to++;
	FUZZ_CHECK(n > 0 && n <= BURST_MAX && untagged_vid == w->port[to].pvid);
	for (unsigned int i = 0; i < n; i++) {
		uintptr_t at = (uintptr_t)frame[i] - (uintptr_t)w->burst.frame;

		check_frame(w, &w->port[to], frame[i],
			    FRAME_SEGS + (at < sizeof(w->burst.frame) ? 1 : 2));
		if (at < sizeof(w->burst.frame))
			w->seen[at / sizeof(struct frame)] = true;
	}
	w->n_pushed += n;
	w->ops[to]->push(ep, frame, n, untagged_vid, stats);
	FUZZ_CHECK(stats->rx_frames + sum_drops(stats) == before + n);
}

static const struct endpoint_ops push_ops = { .push = push };

/* What is pulled lies in windows of the sender: each byte is read, so that ASan and the fences see it. */
static void check_pulled(const struct burst *burst)
{
	FUZZ_CHECK(burst->n <= BURST_MAX && burst->n_segs <= BURST_SEGS);
	for (unsigned int i = 0; i < burst->n; i++) {
		const struct frame *f = &burst->frame[i];
		uint64_t size = f->seg_size;

		FUZZ_CHECK(f->n_segs >= 1 && f->n_segs <= FRAME_SEGS + 1); /* gso.h */
		for (unsigned int s = 1; s < f->n_segs; s++)
			size += f->more[s - 1].size;
		FUZZ_CHECK(size == f->size && f->seg_size > 0);
	}
}

void world_serve_kept(struct world *w, unsigned int port, unsigned int q)
{
	struct endpoint *ep = w->port[port].endpoint[0];
	struct endpoint_stats *stats = endpoint_stats_self(ep);
	uint64_t before[PORTS], sent = stats->tx_frames, own, others = 0;
	uint64_t pushed = w->n_pushed;
	unsigned int n, unseen = 0, unseen_plain = 0;
	bool whole = true;

	w->burst.n = w->burst.n_segs = 0;
	w->from = port;
	n = ep->txq[q]->ops->pull(ep->txq[q], &w->burst);
	FUZZ_CHECK(n == w->burst.n);
	if (n == 0)
		return;
	check_pulled(&w->burst);
	for (unsigned int i = 0; i < n; i++)
		w->seen[i] = false;
	for (unsigned int i = 0; i < PORTS; i++)
		before[i] = drops_of(w, i);
	switch_forward(w->fw, atomic_load(&w->sw.snapshot), (uint16_t)port, ep, &w->burst);
	own = drops_of(w, port) - before[port];
	for (unsigned int i = 0; i < PORTS; i++)
		others += drops_of(w, i) - before[i];
	for (unsigned int i = 0; i < n; i++) {
		unseen += !w->seen[i];
		unseen_plain += !w->seen[i] && (w->burst.frame[i].flags & FRAME_TSO) == 0;
		whole = whole && (w->burst.frame[i].flags & FRAME_TSO) == 0;
	}
	FUZZ_CHECK(stats->tx_frames == sent + n);
	FUZZ_CHECK(own <= unseen && unseen_plain <= others);
	FUZZ_CHECK(!whole || w->n_pushed != pushed || unseen == n);
	ep->txq[q]->ops->done(ep->txq[q]);
}

void world_drain(struct world *w)
{
	uint8_t buf[VF_BUF_SIZE];

	while (vf_guest_receive(&w->vf, buf) != 0)
		;
	while (net_guest_receive(&w->net, buf) != 0)
		;
}

void world_serve(struct world *w, unsigned int port, unsigned int q)
{
	world_serve_kept(w, port, q);
	world_drain(w);
}

/* --- receivers that are no devices --- */

static void gather(const struct frame *f, uint8_t *bytes)
{
	uint32_t at = ETH_ADDRS_SIZE;

	memcpy(bytes, f->mac, ETH_ADDRS_SIZE);
	frame_read(f, f->body, bytes + at, f->size - at);
	store_be16(bytes + at, f->ethertype);
}

/* As an uplink: into a piece of memory as long as the frame. */
static void outside_push(struct endpoint *ep, const struct frame *const frame[], unsigned int n,
			 uint16_t untagged_vid, struct endpoint_stats *stats)
{
	for (unsigned int i = 0; i < n; i++) {
		const struct frame *f = frame[i];
		unsigned int flags = COPY_CSUM | (f->vid != untagged_vid ? COPY_TAG : 0);
		struct seg_out out = { .size = frame_copy_size(f, flags) };

		FUZZ_CHECK((f->flags & FRAME_TSO) == 0);
		out.va = malloc(out.size);
		FUZZ_CHECK(out.va != NULL);
		frame_copy(f, &out, 1, flags);
		if ((flags & COPY_TAG) == 0 && (f->flags & FRAME_WORK) == 0) {
			uint8_t *want = malloc(out.size);

			FUZZ_CHECK(want != NULL);
			gather(f, want);
			FUZZ_CHECK(memcmp(want, out.va, out.size) == 0);
			free(want);
		}
		free(out.va);
		stats->rx_frames++;
		stats->rx_bytes += f->size;
	}
}

static void apart_push(struct endpoint *ep, const struct frame *const frame[], unsigned int n,
		       uint16_t untagged_vid, struct endpoint_stats *stats)
{
	/* Only who is in its VLAN gets here (check_frame); a plain switch lets it through. */
	stats->rx_frames += n;
}

static const struct endpoint_ops outside_ops = { .push = outside_push };
static const struct endpoint_ops apart_ops = { .push = apart_push };

/* --- the honest guests --- */

void world_plain_frame(uint8_t *bytes, uint64_t dest, uint64_t source)
{
	static uint8_t n;

	n++;
	for (uint32_t i = 0; i < WORLD_FRAME_SIZE; i++)
		bytes[i] = (uint8_t)(n + i);
	mac_store(bytes, dest);
	mac_store(bytes + 6, source);
	store_be16(bytes + ETH_ADDRS_SIZE, 0x88b5); /* IEEE 802, local experiments */
}

void world_net_has(struct world *w, const uint8_t *bytes)
{
	uint8_t buf[NET_BUF_SIZE];

	FUZZ_CHECK(net_guest_receive(&w->net, buf) == WORLD_FRAME_SIZE);
	FUZZ_CHECK(memcmp(buf, bytes, WORLD_FRAME_SIZE) == 0);
	FUZZ_CHECK(net_guest_receive(&w->net, buf) == 0);
}

void world_check(struct world *w)
{
	static const struct virtio_net_hdr_v1 plain;
	uint8_t bytes[WORLD_FRAME_SIZE], buf[VF_BUF_SIZE];

	world_drain(w);
	world_plain_frame(bytes, MAC_VIRTIO, MAC_VF);
	vf_guest_send(&w->vf, bytes, sizeof(bytes));
	world_serve_kept(w, PORT_HONEST_VF, 0);
	world_net_has(w, bytes);
	world_plain_frame(bytes, MAC_VF, MAC_VIRTIO);
	net_guest_send(&w->net, &plain, bytes, sizeof(bytes));
	world_serve_kept(w, PORT_HONEST_NET, 0);
	FUZZ_CHECK(vf_guest_receive(&w->vf, buf) == sizeof(bytes));
	FUZZ_CHECK(memcmp(buf, bytes, sizeof(bytes)) == 0);
	vf_guest_check_canaries(&w->vf);
}

/* By virtio, with whatever its header can ask for; or by the VF. */
void world_honest_sends(struct world *w, struct input *in)
{
	uint8_t bytes[NET_BUF_SIZE - NET_HDR];
	uint8_t how = in8(in);
	struct made_frame f;

	if ((how & 0x80) != 0) {
		f = frame_make(in, bytes, sizeof(bytes), MAC_VF);
		if (f.size == 0)
			return;
		vf_guest_send(&w->vf, bytes, f.size);
		world_serve(w, PORT_HONEST_VF, 0);
	} else {
		struct virtio_net_hdr_v1 hdr = { 0 };

		f = frame_make(in, bytes, sizeof(bytes), MAC_VIRTIO);
		frame_offloads(&f, (uint8_t)how, in, &hdr);
		if ((how & 4) != 0)
			hdr.flags |= VIRTIO_NET_HDR_F_DATA_VALID;
		net_guest_send(&w->net, &hdr, bytes, f.size);
		world_serve(w, PORT_HONEST_NET, 0);
	}
	world_drain(w);
}

/* --- life --- */

static void publish(struct world *w)
{
	struct switch_snapshot *old;
	int ret = 0;

	old = switch_publish(&w->sw, w->port, PORTS, &ret);
	FUZZ_CHECK(ret == 0);
	switch_snapshot_free(old);
}

static void add_port(struct world *w, unsigned int port, struct endpoint *ep, uint64_t mac)
{
	struct port_config *p = &w->port[port];

	p->used = true;
	p->n_macs = 1;
	p->mac[0] = mac;
	p->endpoint[0] = ep;
	p->stats = endpoint_stats_new();
	FUZZ_CHECK(p->stats != NULL);
	if (ep == NULL)
		return;
	w->ops[port] = ep->ops;
	ep->ops = &push_ops;
}

static void plain_endpoint(struct endpoint *ep, const struct endpoint_ops *ops)
{
	ep->ops = ops;
	ep->stats = endpoint_stats_new();
	FUZZ_CHECK(ep->stats != NULL);
	atomic_store(&ep->running, 1);
}

static const struct vf_policy honest_policy = {
	.mac = MAC_VF, .link_up = true, .speed_mbit = 10000, .max_frame = 1514
};

static void build(struct world *w)
{
	worker_self = 0;
	w->fw = forwarder_new();
	FUZZ_CHECK(w->fw != NULL && switch_init(&w->sw, 16) == 0 && mem_guard_init() == 0);
	log_set_level(LOG_LEVEL_ERR);
	vf_guest_new(&w->vf, "82599", 2, &honest_policy);
	net_guest_new(&w->net);
	plain_endpoint(&w->apart, &apart_ops);
	plain_endpoint(&w->outside, &outside_ops);
	add_port(w, PORT_FUZZED, NULL, MAC_FUZZED);
	add_port(w, PORT_HONEST_VF, &w->vf.vf->endpoint, MAC_VF);
	add_port(w, PORT_HONEST_NET, &w->net.net.endpoint, MAC_VIRTIO);
	add_port(w, PORT_APART, &w->apart, MAC_APART);
	add_port(w, PORT_OUTSIDE, &w->outside, 0);
	w->port[PORT_HONEST_NET].trunk = true;
	bitmap_set(w->port[PORT_HONEST_NET].vlans, VLAN_SHARED);
	w->port[PORT_APART].pvid = VLAN_APART;
	w->port[PORT_OUTSIDE].uplink = true;
	w->port[PORT_OUTSIDE].unknown_unicast = true;
	w->port[PORT_OUTSIDE].n_macs = 0;
	w->port[PORT_OUTSIDE].trunk = true;
	memset(w->port[PORT_OUTSIDE].vlans, 0xff, sizeof(w->port[0].vlans));
}

struct world *world_start(struct endpoint *ep)
{
	struct world *w = &world;

	if (w->fw == NULL)
		build(w);
	vf_guest_restart(&w->vf, &honest_policy);
	vf_guest_up(&w->vf);
	net_guest_up(&w->net);
	w->ops[PORT_FUZZED] = ep->ops;
	ep->ops = &push_ops;
	w->port[PORT_FUZZED].endpoint[0] = ep;
	w->n_pushed = 0;
	bucket_set(&w->storm, BUCKET_RATE_MIN, STORM_BURST(5), 0);
	world_guards(w, 0);
	return w;
}

void world_guards(struct world *w, uint8_t how)
{
	static const struct prefix address[] = { { PREFIX_IPV4, 8, { 10 } },
						 { PREFIX_IPV6, 8, { 0xfd } } };
	struct port_config *p = &w->port[PORT_FUZZED];
	struct guard *guard = &w->policy.guard;

	guard->dhcp = (how & 1) != 0;
	guard->router = (how & 2) != 0;
	guard->n_addresses = (how & 4) != 0 ? ARRAY_SIZE(address) : 0;
	memcpy(guard->address, address, sizeof(address));
	p->policy_out = policy_has_out(&w->policy) ? &w->policy : NULL;
	p->storm = (how & 8) != 0 ? &w->storm : NULL;
	publish(w);
}

/* Addresses of others are no guest's to take, as the daemon sees to (runtime.c, refresh_macs). */
void world_policy(struct world *w, const struct vf_policy *policy, const uint64_t *macs,
		  unsigned int n_macs)
{
	struct port_config *p = &w->port[PORT_FUZZED];

	p->pvid = policy->pvid;
	p->trunk = policy->trunk;
	p->unknown_unicast = policy->trusted;
	memcpy(p->vlans, policy->vlans, sizeof(p->vlans));
	p->n_macs = 0;
	for (unsigned int i = 0; i < n_macs; i++)
		if (macs[i] != MAC_VF && macs[i] != MAC_VIRTIO && macs[i] != MAC_APART)
			p->mac[p->n_macs++] = macs[i];
	if (p->n_macs == 0)
		p->mac[p->n_macs++] = policy->mac;
	publish(w);
}
