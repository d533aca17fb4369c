/* SPDX-License-Identifier: BSD-3-Clause */
/* The synthetic's device model: a virtio-net device's rings (virtio 1.2, 2.7, 2.8 and 5.1.6), from the
 * device's side, without any transport. Whoever speaks to the guest's machine (src/vhost) negotiates
 * the features and hands in plain ring pointers and a table of guest memory; this serves them as an
 * endpoint of the switch.
 *
 * Complications:
 *  1. Rings and descriptors are shared with the guest, who can change them at any time. Every index
 *     and descriptor is read once, checked, and then only the copy is used. Every address goes
 *     through mem_at.
 *  2. A bad chain is the guest's loss: it gets the chain back with length 0, counted in
 *     bad_tx_desc or bad_rx_desc. A ring whose indices make no sense (more entries than it
 *     has, a head beyond its end) is broken: counted once, and left alone until the next start.
 *  3. The workers poll, so the guest's kicks are switched off while a ring runs. The device's
 *     interrupts follow the guest's wish (flags or event index), once for each push or done.
 *  4. Buffers are taken and given back strictly in order (VIRTIO_F_IN_ORDER costs nothing). So the
 *     used index alone says where a ring stands, and a new process can go on from it (see
 *     src/vhost/vhost.h). A packed ring has no such index; it is read from the ring itself
 *     (packed_resume).
 *  5. Split or packed is decided when a ring starts, and looked at once for a burst.
 *  6. With several pairs of queues (VIRTIO_NET_F_MQ) the guest chooses by which one it sends. What it
 *     receives is spread by RSS over the first pairs that are enabled: the driver uses those (5.1.6.5.5),
 *     so a flow keeps its order and its queue. Queues are not chosen by where the guest sends a flow,
 *     as the specification suggests: that would take a hash for each frame sent, too, and a shared
 *     table. With one pair enabled nothing is hashed.
 *
 * Threads: control (one thread at a time) calls init, start, stop, set_*; workers call the
 * endpoint's functions. start may be called only when no worker can hold anything of the last run,
 * that is after stop and a quiescent point of every worker.
 */
#ifndef SOFTIOV_DEV_VIRTIO_NET_H
#define SOFTIOV_DEV_VIRTIO_NET_H

#include <linux/virtio_config.h>
#include <linux/virtio_net.h>
#include <linux/virtio_ring.h>

#include "frame/queue.h"
#include "frame/rss.h"
#include "mem/dirty.h"
#include "mem/mem.h"

/* Linux 6.2 and later, <linux/virtio_net.h>; virtio 1.3, 5.1.3 and 5.1.6. */
#ifndef VIRTIO_NET_F_HOST_USO
#define VIRTIO_NET_F_GUEST_USO4   54
#define VIRTIO_NET_F_GUEST_USO6   55
#define VIRTIO_NET_F_HOST_USO     56
#define VIRTIO_NET_HDR_GSO_UDP_L4 5
#endif

/* Bits of <linux/virtio_*.h> that this device serves, as vhost-user and virtio number them. */
#define VIRTIO_NET_DEVICE_FEATURES                                                                 \
	(1ull << VIRTIO_F_VERSION_1 | 1ull << VIRTIO_F_ANY_LAYOUT | 1ull << VIRTIO_F_RING_PACKED | \
	 1ull << VIRTIO_F_IN_ORDER | 1ull << VIRTIO_RING_F_INDIRECT_DESC |                         \
	 1ull << VIRTIO_RING_F_EVENT_IDX | 1ull << VIRTIO_NET_F_MRG_RXBUF |                        \
	 1ull << VIRTIO_NET_F_CSUM | 1ull << VIRTIO_NET_F_GUEST_CSUM |                             \
	 1ull << VIRTIO_NET_F_HOST_TSO4 | 1ull << VIRTIO_NET_F_HOST_TSO6 |                         \
	 1ull << VIRTIO_NET_F_HOST_ECN | 1ull << VIRTIO_NET_F_GUEST_TSO4 |                         \
	 1ull << VIRTIO_NET_F_GUEST_TSO6 | 1ull << VIRTIO_NET_F_GUEST_ECN |                        \
	 1ull << VIRTIO_NET_F_HOST_USO | 1ull << VIRTIO_NET_F_GUEST_USO4 |                         \
	 1ull << VIRTIO_NET_F_GUEST_USO6)

#define VIRTIO_RING_SIZE_MAX 32768 /* virtio 1.2, 2.7 */

/* Ring 2n is receiveq(n+1), 2n + 1 transmitq(n+1) (5.1.2). */
enum virtio_net_ring {
	VIRTIO_NET_RX,
	VIRTIO_NET_TX,
	VIRTIO_NET_N_RINGS /* of a pair */
};
#define VIRTIO_NET_PAIRS_MAX ENDPOINT_QUEUES_MAX
#define VIRTIO_NET_RINGS_MAX (VIRTIO_NET_PAIRS_MAX * VIRTIO_NET_N_RINGS)

enum virtio_ring_state {
	RING_STOPPED,
	RING_RUNNING,
	RING_BROKEN, /* the guest's indices made no sense; until the next start */
};

/* A chain on its way back to the guest. */
struct virtio_served {
	uint32_t size; /* bytes written to it */
	uint16_t id;   /* split: its head; packed: what the driver called it */
	uint16_t n_slots;
};

struct virtio_ring {
	/* Constant while the ring runs. The parts as a split ring has them, or a packed one. */
	union {
		struct vring_desc *desc;
		struct vring_packed_desc *slot;
	};
	union {
		struct vring_avail *avail;
		struct vring_packed_desc_event *driver_event;
	};
	union {
		struct vring_used *used;
		struct vring_packed_desc_event *device_event;
	};
	const struct virtio_ring_ops *ops;
	uint64_t used_iova; /* of what is written when buffers go back, for the dirty log */
	uint32_t size;      /* entries; split: a power of 2 */
	uint16_t mask;      /* split: size - 1 */
	bool packed;
	bool event_idx;
	bool indirect;
	/* The worker's own; for receive under the ring's lock. A position in a packed ring is that of a
	 * slot, with the wrap counter in bit 15, as vhost-user writes it. */
	bool call_next;     /* nothing was told yet since start: interrupt at the next chance */
	uint16_t avail_idx; /* the next entry of the avail ring to take */
	uint16_t used_idx;  /* the next entry of the used ring to fill */
	uint16_t published; /* what the guest knows of used_idx */
	uint32_t hint;      /* for mem_at: buffers, and indirect tables */
	uint32_t table_hint;
	/* Shared with control. */
	atomic_uint state;   /* enum virtio_ring_state */
	atomic_uint enabled; /* 0: transmit discards, receive takes nothing */
	atomic_int call_fd;  /* eventfd, or -1 */
	/* Packed, the worker's own: from used_idx on, not shown to the guest yet. */
	unsigned int n_served;
	struct virtio_served served[BURST_MAX];
};

struct virtio_pair {
	struct txq txq __attribute__((aligned(CACHE_LINE)));
	struct virtio_ring tx;
	struct spinlock rx_lock __attribute__((aligned(CACHE_LINE)));
	struct virtio_ring rx;
	struct ahead ahead; /* for the next push that is spread */
};

struct virtio_net {
	struct endpoint endpoint; /* n_txq: pairs of queues */
	/* Constant while a ring runs. */
	uint64_t features;
	uint32_t hdr_size;     /* of struct virtio_net_hdr in this negotiation: 10 or 12 */
	uint32_t merge_max;    /* chains that a received frame may fill */
	uint8_t l4_valid_flag; /* virtio_net_hdr.flags for FRAME_L4_VALID */
	const struct mem_table *mem;
	struct dirty_log log;
	/* Policy: any thread writes, workers read. */
	atomic_uint link_up;
	atomic_uint max_frame; /* largest untagged frame, Ethernet header included, FCS not */
	atomic_uint n_rx;      /* pairs that received frames are spread over; 0: none receives */

	struct rss_key key; /* random, constant */
	struct virtio_pair pair[VIRTIO_NET_PAIRS_MAX];
};

struct virtio_ring_setup {
	void *desc;         /* descriptor area; NULL: this ring does not run */
	void *avail;        /* driver area */
	void *used;         /* device area */
	uint64_t used_iova; /* split: of `used` */
	uint32_t size;
	uint16_t avail_idx, used_idx; /* where to go on; packed: slot and wrap counter */
};

struct virtio_net_setup {
	uint64_t features;           /* negotiated */
	const struct mem_table *mem; /* the caller's, until stop and quiescence */
	struct dirty_log log;        /* bits NULL without migration */
	struct virtio_ring_setup ring[VIRTIO_NET_RINGS_MAX];
};

/* Stopped, enabled, link up, no call fds. n_pairs: 1 to VIRTIO_NET_PAIRS_MAX, for its life. stats: see
 * struct endpoint. */
void virtio_net_init(struct virtio_net *net, struct endpoint_stats *stats, unsigned int n_pairs);

/* Starts the rings that setup gives. -EINVAL: a split ring's size no power of 2, a size above
 * VIRTIO_RING_SIZE_MAX, a ring part misaligned (2.7, 2.8) or not within one window of the memory
 * table; nothing runs then. */
int virtio_net_start(struct virtio_net *net, const struct virtio_net_setup *setup);
/* Workers leave the rings at their next boundary, and the positions are right after that. A pause is
 * a stop with a start to come within moments (another memory table, say): endpoint.running stays,
 * so that the switch does not look for another path meanwhile. */
void virtio_net_pause(struct virtio_net *net);
void virtio_net_stop(struct virtio_net *net);

static inline struct virtio_ring *virtio_net_ring(struct virtio_net *net, unsigned int idx)
{
	struct virtio_pair *pair = &net->pair[idx / VIRTIO_NET_N_RINGS];

	return idx % VIRTIO_NET_N_RINGS == VIRTIO_NET_RX ? &pair->rx : &pair->tx;
}

static inline unsigned int virtio_net_n_rings(const struct virtio_net *net)
{
	return net->endpoint.n_txq * VIRTIO_NET_N_RINGS;
}

/* A ring that is not enabled still runs (vhost-user, "Ring states"). */
void virtio_net_enable(struct virtio_net *net, unsigned int ring, bool enable);
/* Sets the eventfd for interrupts (-1: none) and returns the one before, which a worker may still
 * use until its next quiescent point. */
int virtio_net_set_call(struct virtio_net *net, unsigned int ring, int fd);
/* Without link, what the guest sends is discarded and nothing is delivered: DROP_DOWN. */
void virtio_net_set_link(struct virtio_net *net, bool up);
void virtio_net_set_max_frame(struct virtio_net *net, uint32_t max_frame);

#endif
