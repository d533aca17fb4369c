/* SPDX-License-Identifier: BSD-3-Clause */
/* The workers' half: one burst, from the port it came in by to those it goes out by.
 *
 * Frames are first sorted into groups, one for each receiving port, and then each group is pushed at
 * once: the receiver's ring, tables and interrupt are touched once a burst (the scheme of VALE,
 * "VALE, a Switched Ethernet for Virtual Machines", CoNEXT 2012, section 3.3). */
#include <stdlib.h>

#include "base/clock.h"
#include "switch/mirror.h"
#include "switch/see.h"
#include "switch/switch.h"

/* 01-80-C2-00-00-0x as mac_load gives it */
#define MAC_RESERVED      0x00000000c28001ull
#define MAC_RESERVED_MASK 0xf0ffffffffffull

/* Pieces that the large sends of a burst may become for all ports, where they go to several: as many as a burst of
 * other frames does in a switch of 256 ports. Each port may have to cut them, so what one can bear (GSO_PIECES_MAX), so
 * often, would stop a worker for long. */
#define FLOOD_PIECES_MAX 8192u

struct forwarder *forwarder_new(void)
{
	struct forwarder *fw =
		aligned_alloc(CACHE_LINE, (sizeof(*fw) + CACHE_LINE - 1) / CACHE_LINE * CACHE_LINE);

	if (fw != NULL)
		memset(fw, 0, sizeof(*fw));
	return fw;
}

static inline bool vlan_member(const struct port_config *port, uint16_t vid)
{
	return port->pvid == vid || (port->trunk && bitmap_test(port->vlans, vid));
}

/* Whether a port gets frames of this VLAN. One with a second tag inside leaves with its first, or not
 * at all: without it the receiver would take the inner tag for the frame's VLAN, which is how a
 * guest would reach VLANs that are closed to it. */
static inline bool may_leave(const struct port_config *out, const struct frame *f)
{
	if (likely(out->pvid == f->vid))
		return likely(f->ethertype != ETH_TYPE_VLAN);
	if (out->private_vlan && f->ethertype == ETH_TYPE_VLAN)
		return false;
	return (out->trunk || out->private_vlan) && bitmap_test(out->vlans, f->vid);
}

static bool source_allowed_slow(const struct port_config *in, uint64_t source)
{
	if (in->spoofing)
		return true;
	for (unsigned int i = 1; i < in->n_macs; i++)
		if (in->mac[i] == source)
			return true;
	return false;
}

static __attribute__((noinline)) bool classify_tagged(const struct port_config *in, struct frame *f)
{
	uint16_t vid = f->tci & 0xfff;

	f->tci &= (uint16_t)~in->tci_clear; /* else priority bits stay (802.1Q 6.9.1) */
	if (vid == 0) {
		f->vid = in->send_vid;
		f->tci |= in->send_vid;
		return true;
	}
	f->vid = vid;
	return in->trunk && vlan_member(in, vid);
}

/* Puts the frame into its VLAN. False: it may not be there. */
static inline bool classify_vlan(const struct port_config *in, struct frame *f)
{
	if (unlikely(f->tci != 0))
		return classify_tagged(in, f);
	f->vid = f->tci = in->send_vid;
	return true;
}

static inline void group_add(struct forwarder *fw, uint16_t port, const struct frame *f)
{
	unsigned int g = fw->group_of[port];

	/* group_of is never cleared: an entry counts only if its group names the port. */
	if (unlikely(g >= fw->n_groups || fw->group_port[g] != port)) {
		g = fw->n_groups++;
		fw->group_of[port] = (uint16_t)g;
		fw->group_port[g] = port;
		fw->group_n[g] = 0;
	}
	fw->group[g][fw->group_n[g]++] = f;
}

static __attribute__((noinline)) bool storm_allows(struct bucket *storm)
{
	return bucket_police(storm, &(uint32_t){ STORM_COST }, 1, clock_ns()) != 0;
}

static enum drop_reason flood(struct forwarder *fw, const struct switch_snapshot *s,
			      uint16_t in_port, const struct frame *f, bool unicast)
{
	bool from_uplink = s->port[in_port].uplink;
	unsigned int n = 0, n_pieces;
	uint16_t to[SWITCH_PORTS_MAX];

	if (unlikely(s->port[in_port].storm != NULL) && !storm_allows(s->port[in_port].storm))
		return DROP_STORM;
	for (unsigned int i = 0; i < s->n_ports; i++) {
		const struct port_config *p = &s->port[i];

		if (!p->used || i == in_port || (from_uplink && p->uplink) ||
		    (unicast && !p->unknown_unicast) || !may_leave(p, f))
			continue;
		to[n++] = (uint16_t)i;
	}
	if (unlikely((f->flags & FRAME_TSO) != 0 && n > 1)) {
		n_pieces = (f->size / f->mss + 1) * n;
		if (n_pieces > fw->flood_left)
			return DROP_BAD_OFFLOAD;
		fw->flood_left -= n_pieces;
	}
	for (unsigned int i = 0; i < n; i++)
		group_add(fw, to[i], f);
	return n > 0 ? DROP_NONE : DROP_NO_ROUTE;
}

static inline uint16_t learned_vid(const struct switch_snapshot *s, uint16_t vid)
{
	return likely(s->learned_vid == NULL) ? vid : s->learned_vid[vid];
}

/* The last frame of this burst that went to one known port: the next one often goes there as well. */
struct last_way {
	uint64_t dest; /* a group address: none yet */
	uint16_t vid;
	uint16_t group;
};

/* Ingress checks. Anything but DROP_NONE: the frame goes nowhere. */
static inline __attribute__((always_inline)) enum drop_reason
admit(const struct port_config *in, struct frame *f, uint64_t *dest, uint64_t *source)
{
	if (unlikely(!frame_parse_macs(f, dest, source))) {
		if (f->drop == DROP_NONE)
			__builtin_unreachable();
		return f->drop;
	}
	if (unlikely((*source & MAC_GROUP) != 0))
		return DROP_BAD_SOURCE;
	if (unlikely(!in->uplink && *source != in->mac[0] && !source_allowed_slow(in, *source)))
		return DROP_SPOOFED_MAC;
	if (unlikely(!classify_vlan(in, f)))
		return DROP_VLAN;
	return DROP_NONE;
}

/* Where the address was heard, or FDB_NONE: also where that says nothing, since nothing goes from uplink to uplink. */
static uint16_t heard_at(const struct switch_snapshot *s, const struct port_config *in,
			 const struct frame *f, uint64_t dest)
{
	uint16_t out = fdb_find(s->learned, dest, learned_vid(s, f->vid));

	/* A learned port may have gone since, and another one have got its number. */
	if (out == FDB_NONE || out >= s->n_ports || !s->port[out].used || !s->port[out].learns)
		return FDB_NONE;
	return in->uplink && s->port[out].uplink ? FDB_NONE : out;
}

/* False: a vport has more addresses behind it than it may. */
static bool learn(const struct switch_snapshot *s, const struct port_config *in, uint16_t in_port,
		  const struct frame *f, uint64_t source, uint32_t now_s)
{
	return fdb_static_find(s->macs, source) != FDB_NONE ||
	       fdb_learn(s->learned, source, learned_vid(s, f->vid), in_port, now_s) || in->uplink;
}

/* The forwarding decision, likewise. */
static inline __attribute__((always_inline)) enum drop_reason
route(struct forwarder *fw, const struct switch_snapshot *s, const struct port_config *in,
      struct frame *f, uint64_t dest, uint64_t source, struct last_way *last)
{
	const uint16_t in_port = (uint16_t)(in - s->port);
	uint16_t out;

	if (in->learns && !learn(s, in, in_port, f, source, fw->now_s))
		return DROP_MAC_LIMIT;
	if (unlikely((dest & MAC_GROUP) != 0)) {
		if ((dest & MAC_RESERVED_MASK) == MAC_RESERVED)
			return DROP_NO_ROUTE;
		return flood(fw, s, in_port, f, false);
	}
	if (likely(dest == last->dest && f->vid == last->vid && f->ethertype != ETH_TYPE_VLAN)) {
		fw->group[last->group][fw->group_n[last->group]++] = f;
		return DROP_NONE;
	}
	out = fdb_static_find(s->macs, dest);
	if (unlikely(out == FDB_NONE)) {
		out = heard_at(s, in, f, dest);
		if (out == FDB_NONE)
			return flood(fw, s, in_port, f, true);
	}
	if (unlikely(out == in_port))
		return DROP_NO_ROUTE;
	if (unlikely(!may_leave(&s->port[out], f)))
		return DROP_VLAN;
	group_add(fw, out, f);
	*last = (struct last_way){ dest, f->vid, fw->group_of[out] };
	return DROP_NONE;
}

/* Whether an extension can send it there: past addresses, but not past VLANs and that port's policies. */
static enum drop_reason may_redirect(const struct switch_snapshot *s, const struct port_config *in,
				     const struct frame *f, uint16_t to)
{
	if (to >= s->n_ports || !s->port[to].used || in == &s->port[to] ||
	    (in->uplink && s->port[to].uplink))
		return DROP_NO_ROUTE;
	return may_leave(&s->port[to], f) ? DROP_NONE : DROP_VLAN;
}

static void redirect(struct forwarder *fw, uint16_t to, struct frame *f)
{
	f->flags |= FRAME_MIRRORED;
	group_add(fw, to, f);
}

/* At ingress: instead of route(). */
static enum drop_reason route_by_extension(struct forwarder *fw, const struct switch_snapshot *s,
					   const struct port_config *in, struct frame *f,
					   uint16_t to)
{
	enum drop_reason reason;

	if (in->learns &&
	    !learn(s, in, (uint16_t)(in - s->port), f, mac_load(f->mac + 6), fw->now_s))
		return DROP_MAC_LIMIT;
	reason = may_redirect(s, in, f, to);
	if (reason == DROP_NONE)
		redirect(fw, to, f);
	return reason;
}

/* At egress: frame i of the burst does not get to the port that it was about to get to. Where it goes instead, it goes
 * once, from however many ports, and with the others that go there: when all else has been delivered. */
static enum drop_reason move(struct forwarder *fw, unsigned int i)
{
	const struct switch_snapshot *s = fw->snapshot;
	uint16_t to = fw->inspect.to[i];
	enum drop_reason reason =
		may_redirect(s, &s->port[fw->in_port], &fw->inspect.burst->frame[i], to);

	if (reason != DROP_NONE)
		return reason;
	if (fw->moved[to] == 0)
		fw->moved_to[fw->n_moved++] = to;
	fw->moved[to] |= 1u << i;
	return DROP_NONE;
}

/* Makes groups of what was moved. Returns whether there are any. */
static __attribute__((noinline)) bool regroup(struct forwarder *fw)
{
	fw->n_groups = 0;
	fw->inspect.redirected = ~0u; /* none of it once more */
	while (fw->n_moved > 0) {
		uint16_t to = fw->moved_to[--fw->n_moved];

		for_each_frame(i, fw->moved[to]) redirect(fw, to, &fw->inspect.burst->frame[i]);
		fw->moved[to] = 0;
	}
	return fw->n_groups > 0;
}

static inline __attribute__((always_inline)) enum drop_reason
admit_and_route(struct forwarder *fw, const struct switch_snapshot *s, const struct port_config *in,
		struct frame *f, struct last_way *last)
{
	uint64_t dest = 0, source = 0;
	enum drop_reason reason = admit(in, f, &dest, &source);

	if (unlikely(reason != DROP_NONE))
		return reason;
	return route(fw, s, in, f, dest, source, last);
}

static struct endpoint *running_endpoint(const struct port_config *port)
{
	for (unsigned int i = 0; i < PORT_ENDPOINTS; i++) {
		struct endpoint *ep = port->endpoint[i];

		if (ep != NULL && atomic_load_explicit(&ep->running, memory_order_acquire) != 0)
			return ep;
	}
	return NULL;
}

/* Whether the receiver takes this large-send frame whole. */
static bool takes_whole(const struct frame *f, unsigned int caps)
{
	bool v4 = (f->flags & FRAME_TSO4) != 0;
	unsigned int need = (f->flags & FRAME_USO) == 0 ? (v4 ? ENDPOINT_TSO4 : ENDPOINT_TSO6)
							: (v4 ? ENDPOINT_USO4 : ENDPOINT_USO6);

	/* What IP's length field can say, behind an Ethernet header. */
	return (f->flags & FRAME_TUNNEL) == 0 && (caps & need) != 0 &&
	       f->size <= 65535 + FRAME_SIZE_MIN;
}

/* What was noted of pieces, from note `first` on, is said of the frames that they are of: of each once. */
static void join_notes(const struct forwarder *fw, struct frame_notes *notes, unsigned int first)
{
	unsigned int n = notes->n;

	notes->n = first;
	for (unsigned int i = first; i < n; i++) {
		struct frame_note note = notes->note[i];

		for (unsigned int k = 0; k < BURST_MAX; k++)
			if (note.frame == &fw->gso_frame[k])
				note.frame = fw->gso_of[k];
		if (frame_notes_find(notes, note.frame) == NULL)
			notes->note[notes->n++] = note;
	}
}

static void push_pieces(struct forwarder *fw, struct endpoint *ep, unsigned int n, uint16_t pvid)
{
	struct endpoint_stats *stats = endpoint_stats_self(ep);
	struct push_report *report = stats->report;
	unsigned int n_lost, n_queued;

	if (likely(report == NULL)) {
		ep->ops->push(ep, fw->gso_ptr, n, pvid, stats);
		return;
	}
	n_lost = report->lost.n;
	n_queued = report->queued.n;
	ep->ops->push(ep, fw->gso_ptr, n, pvid, stats);
	join_notes(fw, &report->lost, n_lost);
	join_notes(fw, &report->queued, n_queued);
}

/* Pushes a group in which large-send frames have to be cut; order is kept. */
static void push_cut(struct forwarder *fw, struct endpoint *ep, const struct frame *const *frame,
		     unsigned int n, uint16_t pvid)
{
	struct endpoint_stats *stats = endpoint_stats_self(ep);
	unsigned int caps = atomic_load_explicit(&ep->caps, memory_order_relaxed);
	unsigned int n_out = 0;

	for (unsigned int i = 0; i < n; i++) {
		struct frame whole = *frame[i];

		if ((whole.flags & FRAME_TSO) == 0 || takes_whole(&whole, caps)) {
			fw->gso_ptr[n_out++] = frame[i];
		} else if (!gso_start(&fw->gso, &whole)) {
			endpoint_drop(stats, &frame[i], 1, whole.drop);
		} else {
			while (gso_next(&fw->gso, &fw->gso_frame[n_out], &fw->gso_piece[n_out])) {
				fw->gso_ptr[n_out] = &fw->gso_frame[n_out];
				fw->gso_of[n_out] = frame[i];
				if (++n_out < BURST_MAX)
					continue;
				push_pieces(fw, ep, n_out, pvid);
				n_out = 0;
			}
		}
		if (n_out == BURST_MAX) {
			push_pieces(fw, ep, n_out, pvid);
			n_out = 0;
		}
	}
	if (n_out > 0)
		push_pieces(fw, ep, n_out, pvid);
}

void switch_push(struct forwarder *fw, struct endpoint *ep, const struct frame *const *frame,
		 unsigned int n, uint16_t pvid, unsigned int flags)
{
	if (unlikely((flags & FRAME_TSO) != 0))
		push_cut(fw, ep, frame, n, pvid);
	else
		ep->ops->push(ep, frame, n, pvid, endpoint_stats_self(ep));
}

void switch_push_mirrored(struct forwarder *fw, uint16_t to, const struct frame *const frame[],
			  unsigned int n, unsigned int flags)
{
	const struct port_config *port;
	struct endpoint *ep;

	/* Its mirror is about to go, too. */
	if (to >= fw->snapshot->n_ports || !fw->snapshot->port[to].used)
		return;
	port = &fw->snapshot->port[to];
	ep = running_endpoint(port);
	if (ep == NULL)
		port->stats[worker_self].drop[DROP_DOWN] += n;
	else
		switch_push(fw, ep, frame, n, 0, flags);
}

/* Takes those frames out of the group that the port's policies do not let in. Returns how many are left. */
static __attribute__((noinline)) unsigned int group_in(struct forwarder *fw,
						       const struct port_config *port,
						       const struct frame **frame, unsigned int n,
						       struct endpoint *ep, uint32_t to_see)
{
	struct endpoint_stats *stats = endpoint_stats_self(ep);
	struct inspect *inspect = &fw->inspect;
	uint32_t frames = frames_of(inspect->burst, frame, n), gone;
	unsigned int n_left = 0;

	gone = frames & ~policy_in(inspect, port->policy_in, frames);
	if (likely(gone == 0))
		return n;
	for_each_frame(i, gone)
	{
		if (inspect->reason[i] == DROP_NONE)
			inspect->reason[i] = (uint8_t)move(fw, i);
		if (inspect->reason[i] == DROP_NONE)
			continue;
		stats->drop[inspect->reason[i]]++;
		if (unlikely((to_see >> i & 1) != 0))
			see_dropped(fw, port, &inspect->burst->frame[i], TAP_IN, see_slot(port, ep),
				    inspect->reason[i], see_dropped_by(inspect, i));
	}
	for (unsigned int i = 0; i < n; i++)
		if ((gone >> (frame[i] - inspect->burst->frame) & 1) == 0)
			frame[n_left++] = frame[i];
	return n_left;
}

/* Nobody is there to take the group. */
static __attribute__((noinline)) void deliver_nowhere(struct forwarder *fw,
						      const struct port_config *port,
						      const struct frame **frame, unsigned int n,
						      uint32_t to_see)
{
	port->stats[worker_self].drop[DROP_DOWN] += n;
	for_each_frame(i, see_places(fw, frame, n, to_see))
		see_dropped(fw, port, frame[i], TAP_IN, PORT_ENDPOINTS, DROP_DOWN, NULL);
}

/* For a port that gets several VLANs untagged: frames of all of them as if they were in its own. */
static __attribute__((noinline)) void into_pvid(struct forwarder *fw,
						const struct port_config *port,
						const struct frame **frame, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++) {
		struct frame *f = &fw->in_pvid[i];

		if (frame[i]->vid == port->pvid)
			continue;
		*f = *frame[i];
		f->vid = port->pvid;
		f->tci = (uint16_t)((f->tci & 0xf000) | port->pvid);
		frame[i] = f;
	}
}

/* 802.1Q, 6.9: a tag that is in no VLAN and has a priority. */
static __attribute__((noinline)) void with_priority_tag(struct forwarder *fw,
							const struct port_config *port,
							const struct frame **frame, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++) {
		struct frame *f = &fw->in_pvid[i];

		if (frame[i]->vid != port->pvid || frame[i]->tci < TCI_PRIORITY_1)
			continue;
		*f = *frame[i];
		f->vid = VID_OF_PRIORITY_TAG;
		f->tci &= 0xf000;
		frame[i] = f;
	}
}

static inline void deliver(struct forwarder *fw, const struct port_config *port,
			   const struct frame **frame, unsigned int n, unsigned int flags)
{
	struct endpoint *ep = running_endpoint(port);
	uint32_t to_see = 0;

	if (unlikely(port->tap != NULL))
		to_see = see_ask_group(fw, port, frame, n, flags);
	if (unlikely(ep == NULL)) {
		deliver_nowhere(fw, port, frame, n, to_see);
		return;
	}
	if (unlikely(port->policy_in != NULL)) {
		n = group_in(fw, port, frame, n, ep, to_see);
		if (n == 0)
			return;
	}
	if (unlikely(to_see != 0))
		to_see = see_places(fw, frame, n, to_see);
	if (unlikely(port->private_vlan))
		into_pvid(fw, port, frame, n);
	if (unlikely(port->priority_tag))
		with_priority_tag(fw, port, frame, n);
	fw->receiver = ep;
	if (unlikely(to_see != 0))
		see_push(fw, port, ep, frame, n, to_see, flags);
	else
		switch_push(fw, ep, frame, n, port->pvid, flags);
}

/* The same as decide() where there are policies or taps, in three rounds: each looks at all frames. */
static __attribute__((noinline)) unsigned int
decide_with_policy(struct forwarder *fw, const struct switch_snapshot *s, uint16_t in_port,
		   struct endpoint *ep, struct burst *burst, struct endpoint_stats *stats)
{
	const struct port_config *in = &s->port[in_port];
	struct last_way last = { .dest = MAC_BROADCAST };
	uint8_t *reason = fw->inspect.reason;
	uint32_t admitted = 0, passed;
	uint64_t source, dest;
	unsigned int flags = 0;

	for (unsigned int i = 0; i < burst->n; i++) {
		reason[i] = (uint8_t)admit(in, &burst->frame[i], &dest, &source);
		stats->tx_bytes += burst->frame[i].size;
		flags |= burst->frame[i].flags;
		if (likely(reason[i] == DROP_NONE))
			admitted |= 1u << i;
	}
	passed = admitted;
	if (in->policy_out != NULL)
		passed = policy_out(&fw->inspect, in->policy_out, admitted);
	for_each_frame(i, passed)
	{
		struct frame *f = &burst->frame[i];

		if (unlikely((fw->inspect.redirected >> i & 1) != 0))
			reason[i] = (uint8_t)route_by_extension(fw, s, in, f, fw->inspect.to[i]);
		else
			reason[i] = (uint8_t)route(fw, s, in, f, mac_load(f->mac),
						   mac_load(f->mac + 6), &last);
	}
	for (unsigned int i = 0; i < burst->n; i++)
		if (unlikely(reason[i] != DROP_NONE))
			stats->drop[reason[i]]++;
	if (fw->to_see != 0)
		see_burst(fw, in, ep);
	return flags;
}

/* Not inlined: the compiler would look `in` up again for each frame. */
static __attribute__((noinline)) unsigned int
decide(struct forwarder *fw, const struct switch_snapshot *s, const struct port_config *in,
       struct burst *burst, struct endpoint_stats *stats)
{
	struct last_way last = { .dest = MAC_BROADCAST };
	unsigned int flags = 0;
	uint64_t bytes = 0;

	for (unsigned int i = 0; i < burst->n; i++) {
		struct frame *f = &burst->frame[i];
		enum drop_reason reason = admit_and_route(fw, s, in, f, &last);

		bytes += f->size;
		flags |= f->flags;
		if (unlikely(reason != DROP_NONE))
			stats->drop[reason]++;
	}
	stats->tx_bytes += bytes;
	return flags;
}

void switch_forward(struct forwarder *fw, const struct switch_snapshot *s, uint16_t in_port,
		    struct endpoint *in, struct burst *burst)
{
	struct endpoint_stats *stats = endpoint_stats_self(in);
	const struct port_config *port = &s->port[in_port];
	unsigned int flags;

	stats->tx_frames += burst->n;
	fw->receiver = NULL;
	/* The port left the switch after the worker took up its queue. */
	if (unlikely(in_port >= s->n_ports || !port->used)) {
		stats->drop[DROP_DOWN] += burst->n;
		return;
	}
	fw->snapshot = s;
	fw->in_port = in_port;
	fw->mirrors = NULL;
	fw->n_groups = 0;
	fw->flood_left = FLOOD_PIECES_MAX;
	inspect_start(&fw->inspect, burst);
	fw->inspect.from_uplink = port->uplink;
	fw->inspect.now_s = fw->now_s;
	fw->asked.filter = NULL;
	fw->seen_ns = 0;
	fw->to_see = 0;
	if (unlikely(port->tap != NULL))
		fw->to_see = see_ask_burst(fw, port);
	if (likely(port->policy_out == NULL && fw->to_see == 0))
		flags = decide(fw, s, port, burst, stats);
	else
		flags = decide_with_policy(fw, s, in_port, in, burst, stats);
	do {
		for (unsigned int g = 0; g < fw->n_groups; g++)
			deliver(fw, &s->port[fw->group_port[g]], fw->group[g], fw->group_n[g],
				flags);
	} while (unlikely(fw->n_moved > 0) && regroup(fw));
	if (unlikely(fw->mirrors != NULL))
		mirrors_flush(fw);
}

/* --- trace --- */

/* A policy without what remembers frames. */
static struct port_policy without_limits(const struct port_policy *policy)
{
	struct port_policy p = *policy;

	p.police = NULL;
	return p;
}

static void trace_end(struct forwarder *fw, const struct port_config *port, const struct frame *f,
		      struct trace_end *end)
{
	const struct endpoint *ep = running_endpoint(port);

	end->slot = ep != NULL ? (uint8_t)see_slot(port, ep) : PORT_ENDPOINTS;
	end->reason = ep != NULL ? DROP_NONE : DROP_DOWN;
	end->tagged = f->vid != port->pvid && !port->private_vlan;
	if (ep != NULL && port->policy_in != NULL) {
		struct port_policy policy = without_limits(port->policy_in);

		fw->inspect.by[0] = NULL;
		if (policy_in(&fw->inspect, &policy, 1) == 0) {
			end->redirected = fw->inspect.reason[0] == DROP_NONE;
			end->reason = end->redirected ? move(fw, 0) : fw->inspect.reason[0];
		}
		end->by = fw->inspect.by[0];
	}
}

static void trace_groups(struct forwarder *fw, const struct switch_snapshot *s,
			 const struct frame *f, struct trace *trace)
{
	for (unsigned int g = 0; g < fw->n_groups; g++) {
		struct trace_end *end = &trace->to[trace->n++];

		end->port = fw->group_port[g];
		trace_end(fw, &s->port[end->port], f, end);
	}
}

static void trace_frame(struct forwarder *fw, const struct switch_snapshot *s, uint16_t in_port,
			struct frame *f, struct trace *trace)
{
	const struct port_config *in = &s->port[in_port];
	struct last_way last = { .dest = MAC_BROADCAST };
	uint64_t dest = 0, source = 0;
	uint32_t passed;

	trace->stage = TRACE_ADMIT;
	trace->reason = admit(in, f, &dest, &source);
	if (trace->reason != DROP_NONE)
		return;
	trace->stage = TRACE_POLICY;
	if (in->policy_out != NULL) {
		struct port_policy policy = without_limits(in->policy_out);

		fw->inspect.by[0] = NULL;
		passed = policy_out(&fw->inspect, &policy, 1);
		trace->by = fw->inspect.by[0];
		trace->redirected = fw->inspect.redirected != 0;
		if (passed == 0) {
			trace->reason = fw->inspect.reason[0];
			return;
		}
	}
	trace->stage = TRACE_ROUTE;
	trace->reason = trace->redirected ? route_by_extension(fw, s, in, f, fw->inspect.to[0])
					  : route(fw, s, in, f, dest, source, &last);
	if (trace->reason != DROP_NONE)
		return;
	trace->stage = TRACE_ARRIVED;
	trace->flooded = last.dest == MAC_BROADCAST && !trace->redirected;
	trace->n_routed = fw->n_groups;
	trace_groups(fw, s, f, trace);
	if (regroup(fw))
		trace_groups(fw, s, f, trace);
}

bool switch_trace(struct forwarder *fw, const struct switch_snapshot *snapshot, uint16_t in_port,
		  struct burst *burst, struct trace *trace)
{
	size_t size = sizeof(*snapshot) + snapshot->n_ports * sizeof(snapshot->port[0]);
	struct switch_snapshot *s = malloc(size);

	if (s == NULL)
		return false;
	memcpy(s, snapshot, size);
	s->port[in_port].learns = false;
	s->port[in_port].storm = NULL;
	fw->snapshot = s;
	fw->in_port = in_port;
	fw->n_groups = 0;
	fw->flood_left = FLOOD_PIECES_MAX;
	inspect_start(&fw->inspect, burst);
	fw->inspect.dry = true;
	fw->inspect.now_s = (uint32_t)(clock_ns() / 1000000000);
	trace_frame(fw, s, in_port, &burst->frame[0], trace);
	fw->inspect.dry = false;
	free(s);
	return true;
}
