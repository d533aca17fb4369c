/* SPDX-License-Identifier: BSD-3-Clause */
/* The split ring from the device's side (virtio 1.2, 2.7): inside src/dev/virtio_net only. */
#ifndef SOFTIOV_DEV_VIRTIO_NET_RING_H
#define SOFTIOV_DEV_VIRTIO_NET_RING_H

#include "dev/virtio_net/virtio_net.h"
#include "frame/copy.h"

/* Descriptors a chain may have: a frame's segments, and two for a header of its own. It bounds the
 * walk, so a chain that loops ends here as well. */
#define CHAIN_DESCS (FRAME_SEGS + 2)

/* A descriptor in our own memory. */
struct desc {
	uint64_t iova;
	uint32_t size;
	uint16_t flags;
	uint16_t next;
};

/* Reads a descriptor of the ring's own (aligned) table once: two loads, never repeated. */
static inline struct desc desc_load(const struct vring_desc *d)
{
	const uint64_t *word = (const void *)d;
	uint64_t lo = le64toh(__atomic_load_n(&word[0], __ATOMIC_RELAXED));
	uint64_t hi = le64toh(__atomic_load_n(&word[1], __ATOMIC_RELAXED));

	return (struct desc){ lo, (uint32_t)hi, (uint16_t)(hi >> 32), (uint16_t)(hi >> 48) };
}

/* Walks the chain that starts at `head` and fills va[] and iova[] with its non-empty buffers, which
 * must all allow `prot` (MEM_READ: device-readable, MEM_WRITE: device-writable). Returns their
 * number, at least 1; -EINVAL for a chain that breaks a rule of 2.7.5, -ENOSPC for one with more
 * than `max` buffers. */
int chain_walk(const struct virtio_net *net, struct virtio_ring *ring, uint16_t head, uint32_t prot,
	       struct seg_out *va, uint64_t *iova, unsigned int max);

static inline bool ring_runs(const struct virtio_ring *ring)
{
	return atomic_load_explicit(&ring->state, memory_order_acquire) == RING_RUNNING;
}

/* Only from running to broken, counted once: control may have stopped the ring meanwhile. */
static inline void ring_break(struct virtio_ring *ring, uint64_t *bad)
{
	unsigned int running = RING_RUNNING;

	if (atomic_compare_exchange_strong(&ring->state, &running, RING_BROKEN))
		(*bad)++;
}

/* Entries that the guest has made available and we have not taken. Acquire: the guest wrote entries
 * and descriptors before it moved the index (2.7.13.3), so they are read after it. */
static inline uint32_t ring_avail(struct virtio_ring *ring, uint64_t *bad)
{
	uint16_t idx = le16toh(__atomic_load_n(&ring->avail->idx, __ATOMIC_ACQUIRE));
	uint16_t n = (uint16_t)(idx - ring->avail_idx);

	if (unlikely(n > ring->size)) {
		ring_break(ring, bad);
		return 0;
	}
	return n;
}

/* Entry `at` (not masked) of the avail ring: a head to check against ring->size. */
static inline uint16_t ring_head(const struct virtio_ring *ring, uint16_t at)
{
	return le16toh(__atomic_load_n(&ring->avail->ring[at & ring->mask], __ATOMIC_RELAXED));
}

/* ring_set_used for a loop: what it needs of the ring, as values that stay in registers. */
struct used_slots {
	struct vring_used_elem *elem;
	uint16_t mask;
};

static inline struct used_slots used_slots(const struct virtio_ring *ring)
{
	return (struct used_slots){ ring->used->ring, ring->mask };
}

static inline void used_set(struct used_slots slots, uint16_t at, uint16_t head, uint32_t size)
{
	uint64_t elem = htole64((uint64_t)size << 32 | head);

	memcpy(&slots.elem[at & slots.mask], &elem, sizeof(elem));
}

/* Fills an entry of the used ring; the guest does not see it before ring_publish. */
static inline void ring_set_used(struct virtio_ring *ring, uint16_t at, uint16_t head,
				 uint32_t size)
{
	used_set(used_slots(ring), at, head, size);
}

/* Shows the guest all used entries up to used_idx and interrupts it if it wants that. */
void ring_publish(const struct virtio_net *net, struct virtio_ring *ring,
		  struct endpoint_stats *stats);

/* tx.c and rx.c */
extern const struct txq_ops virtio_net_txq_ops;
extern const struct endpoint_ops virtio_net_endpoint_ops;

#endif
