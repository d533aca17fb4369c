/* SPDX-License-Identifier: BSD-3-Clause */
/* The switch: ports, what may pass between them, and the forwarding of a burst.
 *
 * Control describes ports with struct port_config and publishes them all at once as a snapshot
 * (struct switch_snapshot), which nobody changes any more. Workers read the snapshot that is
 * current when they pick up a burst. A snapshot and the endpoints that it names may be freed after
 * the workers' next quiescent point.
 *
 * Forwarding rules:
 *  1. A vport's own addresses are known (static); addresses behind uplinks are learned, and so are those
 *     behind vports that may send from any (mac-spoofing).
 *  2. Frames never go from uplink to uplink: two uplinks into one network make no loop, and the
 *     host is no bridge by accident.
 *  3. Unknown unicast goes to the uplinks and to vports that may have foreign addresses behind
 *     them (mac-spoofing or trust on). A vport's device filters further.
 *  4. 802.1Q, 8.6.3: the reserved group addresses 01-80-C2-00-00-00 to -0F are not forwarded.
 *  5. VLANs: an access port (no trunk) sends and receives untagged in its pvid and nothing else. A
 *     trunk port also sends and receives tagged in its list; its pvid is the native VLAN. A frame
 *     with two tags never leaves without the outer one.
 *  6. Private VLANs (RFC 5517; NDIS_SWITCH_PORT_PVLAN_MODE): what promiscuous ports send is in the primary
 *     VLAN, what the others send is in their secondary one. All get the primary VLAN; community ports
 *     their own secondary one, promiscuous ports all of theirs, everything untagged. On uplinks these are
 *     VLANs like others. An address is learned in the primary VLAN, for its secondaries as well (802.1Q's
 *     shared learning), since the two directions of a conversation have different VLANs.
 */
#ifndef SOFTIOV_SWITCH_SWITCH_H
#define SOFTIOV_SWITCH_SWITCH_H

#include "frame/gso.h"
#include "frame/queue.h"
#include "switch/bucket.h"
#include "switch/fdb.h"
#include "switch/policy.h"
#include "switch/tap.h"

#define SWITCH_PORTS_MAX 512
#define PORT_MACS_MAX    17 /* its own, and 16 that a trusted guest adds */
#define PORT_ENDPOINTS   2
/* Of a frame: buckets count "bytes", and their slowest rate is 125 of them. The last frame may overdraw. */
#define STORM_COST          1000ull
#define STORM_BURST(frames) ((frames)*STORM_COST - STORM_COST / 2)

enum port_endpoint {
	PORT_VF = 0,
	PORT_SYNTHETIC = 1,
	PORT_UPLINK = 0
};

#define TCI_PRIORITY_1 0x2000
/* Of a frame that has a tag for its priority alone. No port is in it, so none takes the tag away: 802.1Q, 9.6 reserves
 * it. */
#define VID_OF_PRIORITY_TAG 0xfff

struct port_config {
	bool used;
	bool uplink;
	bool spoofing;        /* any source address is good */
	bool learns;          /* what frames come from; switch_publish sets it for uplinks */
	bool unknown_unicast; /* gets unicast to addresses that nobody has */
	bool trunk;
	bool private_vlan; /* gets `vlans` untagged, sends untagged only */
	bool priority_tag; /* gets priorities of untagged frames in a tag of VLAN 0 */
	uint16_t
		pvid; /* of frames that leave without a tag, and of those that come without one, but: */
	uint16_t send_vid;  /* with private_vlan: of those that come; else switch_publish sets it */
	uint16_t tci_clear; /* bits of tags that come which do not count: the priority's, or 0 */
	unsigned int n_macs;
	uint64_t mac[PORT_MACS_MAX];
	uint64_t vlans[4096 /
		       64]; /* with trunk: tagged; with private_vlan: what it gets beside pvid */
	/* In the order of preference: the first that runs receives. NULL: none. */
	struct endpoint *endpoint[PORT_ENDPOINTS];
	struct endpoint_stats *stats; /* [STATS_SLOTS]: drops that no endpoint can count */
	/* What frames from the port, and to it, must pass; NULL: nothing. */
	const struct port_policy *policy_out, *policy_in;
	/* What frames to nobody in particular cost the sender (STORM_COST); NULL: nothing. */
	struct bucket *storm;
	struct tap *tap; /* who looks at them; NULL: nobody */
};

struct switch_snapshot {
	struct fdb_static *macs;
	struct fdb *learned;
	uint16_t *
		learned_vid; /* [4096]: in which VLAN addresses are learned; NULL: in the frame's */
	unsigned int n_ports;
	struct port_config port[];
};

struct vswitch {
	_Atomic(struct switch_snapshot *) snapshot;
	struct fdb *learned;
};

/* --- control --- */

int switch_init(struct vswitch *sw, uint32_t fdb_limit);
/* Waits for nobody: the caller has seen to it that no worker uses the switch. */
void switch_fini(struct vswitch *sw);
/* Builds and publishes a snapshot of port[0..n), n <= SWITCH_PORTS_MAX. The old one is returned for switch_snapshot_free
 * after quiescence; NULL (and *ret = -ENOMEM) if it could not be built. */
struct switch_snapshot *switch_publish(struct vswitch *sw, const struct port_config *port,
				       unsigned int n, int *ret);
void switch_snapshot_free(struct switch_snapshot *snapshot);

/* --- workers --- */

/* A worker's scratch memory for forwarding; big, so not on the stack. */
struct forwarder {
	uint32_t now_s; /* coarse clock for learning; the worker keeps it */
	uint16_t queue; /* of the endpoint, that the burst came by; the worker says it */
	struct endpoint
		*receiver; /* the last one that frames were pushed to, in this burst; or NULL */
	const struct switch_snapshot *snapshot;
	uint32_t to_see;  /* of the burst, at its port: what taps may want */
	uint64_t seen_ns; /* CLOCK_REALTIME of the burst, for captures; 0: none has asked */
	/* What the filter of the first tap said of it there: it may want `may`. */
	struct {
		const struct tap_filter *filter;
		uint32_t may;
	} asked;
	struct mirror_batch *mirrors; /* to be pushed when the burst has been delivered */
	unsigned int n_groups;
	uint16_t group_port[SWITCH_PORTS_MAX];
	uint16_t group_of[SWITCH_PORTS_MAX];
	uint16_t group_n[SWITCH_PORTS_MAX];
	unsigned int flood_left; /* pieces of large sends to several ports, in this burst */
	/* What extensions send elsewhere when it is about to get to a port: for each of moved_to[0..n_moved) the frames of the
	 * burst. All others have none. */
	unsigned int n_moved;
	uint16_t in_port; /* the burst's */
	uint16_t moved_to[SWITCH_PORTS_MAX];
	uint32_t moved[SWITCH_PORTS_MAX];
	const struct frame *group[SWITCH_PORTS_MAX][BURST_MAX];
	struct gso gso;
	struct frame gso_frame[BURST_MAX];
	struct gso_piece gso_piece[BURST_MAX];
	const struct frame *gso_ptr[BURST_MAX];
	const struct frame *gso_of[BURST_MAX]; /* gso_frame[]'s wholes */
	struct frame in_pvid[BURST_MAX];       /* as they are for a port with a private VLAN */
	struct inspect inspect;
};

struct forwarder *forwarder_new(void); /* free() it */

/* Forwards a burst that was pulled from `in`, an endpoint of port `in_port`. Every frame ends
 * delivered and counted, or dropped and counted. */
void switch_forward(struct forwarder *fw, const struct switch_snapshot *snapshot, uint16_t in_port,
		    struct endpoint *in, struct burst *burst);

/* Pushes frames of a group to a receiver of it, large sends cut if it wants them so. `flags`: of all of them. */
void switch_push(struct forwarder *fw, struct endpoint *ep, const struct frame *const *frame,
		 unsigned int n, uint16_t pvid, unsigned int flags);

/* Pushes to a port what a mirror has seen: past its policies, in the VLANs that the frames are in. */
void switch_push_mirrored(struct forwarder *fw, uint16_t to, const struct frame *const frame[],
			  unsigned int n, unsigned int flags);

/* --- control: what would become of a frame --- */

enum trace_stage {
	TRACE_ADMIT,  /* size, addresses, VLAN */
	TRACE_POLICY, /* of the port that it comes from */
	TRACE_ROUTE,
	TRACE_ARRIVED, /* at the ports in to[] */
};

struct trace {
	enum trace_stage stage;     /* as far as it got */
	enum drop_reason reason;    /* why no further */
	bool flooded;               /* nobody is known to have its destination address */
	bool redirected;            /* by extension `by` */
	const struct extension *by; /* that dropped it, or said where it goes; or NULL */
	unsigned int
		n_routed; /* so many of to[] are its way; the others, where extensions send it from there */
	unsigned int n;
	struct trace_end {
		uint16_t port;
		uint8_t slot; /* of its endpoint; PORT_ENDPOINTS: none runs */
		enum drop_reason
			reason;  /* why the port's policies do not let it in, or DROP_DOWN */
		bool tagged;     /* it gets there with a tag */
		bool redirected; /* `by` sends it elsewhere; `reason` says why it cannot go there */
		const struct extension *by; /* that does not let it in */
	} to[2 * SWITCH_PORTS_MAX];
};

/* What switch_forward would decide about burst->frame[0], by the same functions; it is not sent, and nothing is learned.
 * Limits of rate are left out. Rules count it for the calling thread. False: no memory. */
bool switch_trace(struct forwarder *fw, const struct switch_snapshot *snapshot, uint16_t in_port,
		  struct burst *burst, struct trace *trace);

#endif
