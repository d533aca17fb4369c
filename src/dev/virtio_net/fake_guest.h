/* SPDX-License-Identifier: BSD-3-Clause */
/* A guest's side of pairs of rings, split or packed, for tests: lays the rings out in a piece of memory and offers
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
	/* Packed: avail_idx and seen are positions with the wrap counter in bit 15; what was offered and
	 * is not collected yet, oldest first. */
	bool packed;
	uint16_t n_offered, n_collected;
	struct {
		uint16_t id, n_slots;
	} out[64];
};

struct guest {
	uint8_t *va;
	uint64_t iova;
	uint64_t size;
	uint64_t used; /* bytes handed out by guest_alloc */
	bool packed;   /* all rings; takes effect with guest_reset */
	unsigned int n_rings;
	struct guest_ring ring[VIRTIO_NET_RINGS_MAX];
};

/* [va, va + size) is the guest's memory from iova on; the rings are put into it. */
void guest_init(struct guest *g, void *va, uint64_t size, uint64_t iova, uint32_t ring_size,
		unsigned int n_pairs);
/* All rings empty again, their indices at `idx`, and nothing allocated but the rings. Packed: in the slot
 * and the lap where the idx-th is. */
void guest_reset(struct guest *g, uint16_t idx);
/* `size` bytes of zeroes, 16-byte aligned plus `skew`. */
uint64_t guest_alloc(struct guest *g, uint64_t size, unsigned int skew);
void *guest_va(const struct guest *g, uint64_t iova);
/* The rings as the device is told of them. */
void guest_setup(const struct guest *g, struct virtio_ring_setup setup[VIRTIO_NET_RINGS_MAX]);

void guest_set_desc(struct guest_ring *r, uint16_t at, uint64_t iova, uint32_t size, uint16_t flags,
		    uint16_t next);
/* Offers one buffer in descriptor `i`, or, packed, with `i` as its id. */
void guest_single(struct guest_ring *r, uint16_t i, uint64_t iova, uint32_t size, uint16_t flags);
/* Offers a chain of n buffers in descriptors of the ring; returns its head, or its id. */
uint16_t guest_chain(struct guest_ring *r, const uint64_t *iova, const uint32_t *size,
		     unsigned int n, uint16_t flags);
/* The same with the last n - n_direct buffers in an indirect table. */
uint16_t guest_chain_indirect(struct guest *g, struct guest_ring *r, const uint64_t *iova,
			      const uint32_t *size, unsigned int n, unsigned int n_direct,
			      uint16_t flags);
/* Split: puts `head` into the avail ring and moves its index. */
void guest_offer(struct guest_ring *r, uint16_t head);
/* The next used entry, if there is one. */
bool guest_collect(struct guest_ring *r, uint32_t *head, uint32_t *size);
/* Chains that came back and were not collected yet, and their sizes. */
unsigned int guest_n_used(const struct guest_ring *r);
uint32_t guest_used_size(const struct guest_ring *r, unsigned int i);
/* Packed: a slot's flags in the lap of position `pos`. */
uint16_t guest_slot_flags(uint16_t pos, bool used);

#endif
