/* SPDX-License-Identifier: BSD-3-Clause */
/* A VM with a synthetic adapter, whose memory is one piece of heap, so that ASan sees a byte too many, and a
 * driver with split rings that does all well. */
#ifndef SOFTIOV_TESTS_FUZZ_NET_GUEST_H
#define SOFTIOV_TESTS_FUZZ_NET_GUEST_H

#include "dev/virtio_net/virtio_net.h"
#include "fuzz.h"

#define NET_RING     64u
#define NET_BUF_SIZE 2048u
#define NET_HDR      12u
#define NET_IOVA     0x40000000ull

/* Of split rings the parts have these names; of packed ones the slots lie in `desc`, and the two event
 * structures where the others begin. */
struct net_ring_memory {
	struct vring_desc desc[NET_RING];
	uint16_t avail[3 + NET_RING] __attribute__((aligned(CACHE_LINE)));
	uint8_t used[6 + 8 * NET_RING] __attribute__((aligned(CACHE_LINE)));
	uint8_t buf[NET_RING][NET_BUF_SIZE] __attribute__((aligned(CACHE_LINE)));
};

struct net_ram {
	struct net_ring_memory ring[2]; /* receive, transmit */
};

struct net_guest {
	struct virtio_net net;
	struct net_ram *ram;
	uint8_t *odd; /* a second window, of an odd size */
	struct mem_table *mem;
	uint16_t at[2], seen[2]; /* the driver's: offered, collected */
};

#define NET_ODD_IOVA 0x50000000ull
#define NET_ODD_SIZE 0x1235u

void net_guest_new(struct net_guest *g);
void net_guest_free(struct net_guest *g);
uint64_t net_guest_iova(const struct net_guest *g, const void *va);
/* The rings' places for virtio_net_start. */
void net_guest_rings(const struct net_guest *g, struct virtio_net_setup *setup);

/* --- the driver --- */

/* Empty memory, empty rings, all buffers posted, split rings with all that the device offers else. */
void net_guest_up(struct net_guest *g);
void net_guest_send(struct net_guest *g, const struct virtio_net_hdr_v1 *hdr, const uint8_t *bytes,
		    uint32_t size);
/* As vf_guest_receive; the size is that of the frame, of which at most NET_BUF_SIZE bytes are in buf. */
uint32_t net_guest_receive(struct net_guest *g, uint8_t *buf);

#endif
