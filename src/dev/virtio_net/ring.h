/* SPDX-License-Identifier: BSD-3-Clause */
/* Rings from the device's side: what both kinds share, and the split ring (virtio 1.2, 2.7). The packed
 * one is in packed.h. Inside src/dev/virtio_net only. */
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
	uint16_t next; /* packed: the buffer's id */
};

/* Chains that were looked at and not taken. */
struct ring_look {
	uint16_t at; /* of the next one; as avail_idx */
	uint16_t n;  /* split: entries left; packed: slots looked at */
};

/* Room for the buffers of a chain. */
struct ring_buffers {
	struct seg_out *va;
	uint64_t *iova;
	unsigned int max;
};

/* What the slow paths and the ends of bursts need of either kind. */
struct virtio_ring_ops {
	/* A look that begins with the next chain. */
	struct ring_look (*look)(struct virtio_ring *ring, uint64_t *bad);
	/* Fills `to` with the next chain's non-empty buffers, which must all allow `prot`
	 * (MEM_READ: device-readable, MEM_WRITE: device-writable), and `chain` with what its return
	 * takes. Their number, at least 1; -EAGAIN: no chain; -EPIPE: the ring is broken now. With
	 * `chain` filled in: -EINVAL, it breaks a rule of 2.7.5 or 2.8; -ENOSPC, more than `to`
	 * buffers. */
	int (*next)(const struct virtio_net *net, struct virtio_ring *ring, struct ring_look *look,
		    uint32_t prot, const struct ring_buffers *to, struct virtio_served *chain,
		    uint64_t *bad);
	/* Takes the next n chains and gives them back, for one frame: the guest sees none of them
	 * before all are written. */
	void (*give)(const struct virtio_net *net, struct virtio_ring *ring,
		     const struct virtio_served *chain, unsigned int n);
	/* Shows the guest all that went back and interrupts it if it wants that. */
	void (*publish)(const struct virtio_net *net, struct virtio_ring *ring,
			struct endpoint_stats *stats);
};

extern const struct virtio_ring_ops ring_split_ops;
extern const struct virtio_ring_ops ring_packed_ops;

/* Reads a descriptor of the ring's own (aligned) table once: two loads, never repeated. */
static inline struct desc desc_load(const struct vring_desc *d)
{
	const uint64_t *word = (const void *)d;
	uint64_t lo = le64toh(__atomic_load_n(&word[0], __ATOMIC_RELAXED));
	uint64_t hi = le64toh(__atomic_load_n(&word[1], __ATOMIC_RELAXED));

	return (struct desc){ lo, (uint32_t)hi, (uint16_t)(hi >> 32), (uint16_t)(hi >> 48) };
}

/* A descriptor of an indirect table, which may lie at any address (2.7.5.3 asks for no alignment), so
 * no atomic load; the barrier keeps the compiler from going back to shared memory for what it has
 * read. */
static inline struct desc table_load(const uint8_t *table, uint32_t idx)
{
	struct vring_desc d;

	memcpy(&d, table + (size_t)idx * sizeof(d), sizeof(d));
	__asm__ volatile("" ::: "memory");
	return (struct desc){ le64toh(d.addr), le32toh(d.len), le16toh(d.flags), le16toh(d.next) };
}

/* Split: walks the chain that starts at `head`, as ops->next does, with its results but -EAGAIN and
 * -EPIPE. */
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

/* Interrupts the guest. */
void ring_call(struct virtio_ring *ring, struct endpoint_stats *stats);

/* --- split --- */

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

/* What the next visit to the ring begins with. */
static inline void ring_ahead(const struct virtio_ring *ring, struct ahead *ahead)
{
	ahead_set(ahead, &ring->avail->idx, &ring->avail->ring[ring->avail_idx & ring->mask],
		  &ring->used->ring[ring->used_idx & ring->mask], NULL);
}

/* Fills an entry of the used ring; the guest does not see it before ring_publish. */
static inline void ring_set_used(struct virtio_ring *ring, uint16_t at, uint16_t head,
				 uint32_t size)
{
	used_set(used_slots(ring), at, head, size);
}

/* ring_split_ops.publish */
void ring_publish(const struct virtio_net *net, struct virtio_ring *ring,
		  struct endpoint_stats *stats);

/* tx.c and rx.c */
extern const struct txq_ops virtio_net_txq_ops;
extern const struct endpoint_ops virtio_net_endpoint_ops;

#endif
