/* SPDX-License-Identifier: BSD-3-Clause */
/* A guest's side of two split rings, for tests: lays the rings out in a piece of memory and offers
 * and collects buffers as a driver would, or as a driver never should. */
#ifndef SOFTIOV_DEV_VIRTIO_NET_FAKE_GUEST_H
#define SOFTIOV_DEV_VIRTIO_NET_FAKE_GUEST_H

#include "dev/virtio_net/virtio_net.h"

struct guest_ring {
	struct vring_desc *desc;
	struct vring_avail *avail;
	struct vring_used *used;
	uint32_t size;
	uint16_t avail_idx;
	uint16_t seen; /* used entries collected */
	uint16_t next; /* the next free descriptor, round and round */
};

struct guest {
	uint8_t *va;
	uint64_t iova;
	uint64_t size;
	uint64_t used; /* bytes handed out by guest_alloc */
	struct guest_ring ring[VIRTIO_NET_N_RINGS];
};

/* [va, va + size) is the guest's memory from iova on; both rings are put into it. */
void guest_init(struct guest *g, void *va, uint64_t size, uint64_t iova, uint32_t ring_size);
/* Both rings empty again, their indices at `idx`, and nothing allocated but the rings. */
void guest_reset(struct guest *g, uint16_t idx);
/* `size` bytes of zeroes, 16-byte aligned plus `skew`. */
uint64_t guest_alloc(struct guest *g, uint64_t size, unsigned int skew);
void *guest_va(const struct guest *g, uint64_t iova);
/* The rings as the device is told of them. */
void guest_setup(const struct guest *g, struct virtio_ring_setup setup[VIRTIO_NET_N_RINGS]);

void guest_set_desc(struct guest_ring *r, uint16_t at, uint64_t iova, uint32_t size, uint16_t flags,
		    uint16_t next);
/* Offers a chain of n buffers in descriptors of the ring; returns its head. */
uint16_t guest_chain(struct guest_ring *r, const uint64_t *iova, const uint32_t *size,
		     unsigned int n, uint16_t flags);
/* The same with the last n - n_direct buffers in an indirect table. */
uint16_t guest_chain_indirect(struct guest *g, struct guest_ring *r, const uint64_t *iova,
			      const uint32_t *size, unsigned int n, unsigned int n_direct,
			      uint16_t flags);
/* Puts `head` into the avail ring and moves its index. */
void guest_offer(struct guest_ring *r, uint16_t head);
/* The next used entry, if there is one. */
bool guest_collect(struct guest_ring *r, uint32_t *head, uint32_t *size);

#endif
