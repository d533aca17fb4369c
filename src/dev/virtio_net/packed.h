/* SPDX-License-Identifier: BSD-3-Clause */
/* The packed ring from the device's side (virtio 1.2, 2.8): inside src/dev/virtio_net only.
 *
 * One ring of slots. The driver makes a slot available and the device makes it used by two bits of its
 * flags, whose meaning turns over with each lap (the wrap counter, 2.8.1). What the device changes of a
 * slot (length, id, flags) is one aligned word, written at once, so a slot is never half used. */
#ifndef SOFTIOV_DEV_VIRTIO_NET_PACKED_H
#define SOFTIOV_DEV_VIRTIO_NET_PACKED_H

#include "dev/virtio_net/ring.h"

#define PACKED_AVAIL (1u << VRING_PACKED_DESC_F_AVAIL)
#define PACKED_USED  (1u << VRING_PACKED_DESC_F_USED)
#define PACKED_BOTH  (PACKED_AVAIL | PACKED_USED)

#define PACKED_WRAP 0x8000u /* in a position */
#define PACKED_IDX  0x7fffu

/* A position, taken apart for a loop. */
struct packed_at {
	uint32_t idx;
	uint32_t avail; /* the two flags of a slot that is available in this lap */
};

static inline struct packed_at packed_at(uint16_t pos)
{
	return (struct packed_at){ pos & PACKED_IDX,
				   (pos & PACKED_WRAP) != 0 ? PACKED_AVAIL : PACKED_USED };
}

static inline uint16_t packed_pos(struct packed_at at)
{
	return (uint16_t)(at.idx | (at.avail == PACKED_AVAIL ? PACKED_WRAP : 0));
}

static inline void packed_step(struct packed_at *at, uint32_t size)
{
	if (unlikely(++at->idx == size)) {
		at->idx = 0;
		at->avail ^= PACKED_BOTH;
	}
}

/* n may be above a small ring's size: a guest can have its slots taken again and again in one visit. */
static inline uint16_t packed_move(uint16_t pos, uint32_t n, uint32_t size)
{
	uint32_t idx = (pos & PACKED_IDX) + n, wrap = pos & PACKED_WRAP;

	while (unlikely(idx >= size)) {
		idx -= size;
		wrap ^= PACKED_WRAP;
	}
	return (uint16_t)(idx | wrap);
}

/* The word with length, id and flags. Acquire: the driver wrote the rest of the slot, and the slots of
 * the chain behind it, before the flags (2.8.21.1). */
static inline uint64_t packed_word(const struct vring_packed_desc *slot, uint32_t idx)
{
	const uint64_t *word = (const void *)&slot[idx];

	return le64toh(__atomic_load_n(&word[1], __ATOMIC_ACQUIRE));
}

static inline uint64_t packed_iova(const struct vring_packed_desc *slot, uint32_t idx)
{
	const uint64_t *word = (const void *)&slot[idx];

	return le64toh(__atomic_load_n(&word[0], __ATOMIC_RELAXED));
}

static inline uint32_t word_size(uint64_t word)
{
	return (uint32_t)word;
}

static inline uint16_t word_id(uint64_t word)
{
	return (uint16_t)(word >> 32);
}

static inline uint32_t word_flags(uint64_t word)
{
	return (uint32_t)(word >> 48);
}

/* Whether a slot with these flags is available and, but for `want`, a plain buffer of its own. */
static inline bool packed_is_plain(uint32_t flags, struct packed_at at, uint32_t want)
{
	const uint32_t mask = PACKED_BOTH | VRING_DESC_F_NEXT | VRING_DESC_F_WRITE |
			      VRING_DESC_F_INDIRECT;

	return (flags & mask) == (at.avail | want);
}

/* Appends to what goes back at the next publish. At most BURST_MAX until then. */
static inline void packed_serve(struct virtio_ring *ring, struct virtio_served chain)
{
	ring->served[ring->n_served++] = chain;
}

/* Writes what was served to the ring: the guest sees it, but gets no interrupt. */
void packed_flush(const struct virtio_net *net, struct virtio_ring *ring);

/* ring_packed_ops.next and .publish */
int packed_next(const struct virtio_net *net, struct virtio_ring *ring, struct ring_look *look,
		uint32_t prot, const struct ring_buffers *to, struct virtio_served *chain,
		uint64_t *bad);
void packed_publish(const struct virtio_net *net, struct virtio_ring *ring,
		    struct endpoint_stats *stats);

/* Where a ring stands that was left at `pos`, or, if that cannot be, where its slots say: QEMU keeps no
 * position of a packed ring whose back end died (QEMU 11.1, hw/virtio/virtio.c). */
uint16_t packed_resume(const struct vring_packed_desc *slot, uint32_t size, uint16_t pos);

/* As ring_ahead. */
static inline void packed_ahead(const struct virtio_ring *ring, struct ahead *ahead)
{
	const struct vring_packed_desc *slot = &ring->slot[ring->avail_idx & PACKED_IDX];

	ahead_set(ahead, slot, slot, slot, slot + CACHE_LINE / sizeof(*slot));
}

#endif
