/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <unistd.h>

#include "dev/virtio_net/ring.h"

/* Where a chain's descriptors are read from: the ring's table, or an indirect one. */
struct table {
	const uint8_t *va;
	uint32_t n;
	bool indirect;
};

/* 2.7.5.3.1: no indirect table inside another; none that goes on with NEXT; full of descriptors. */
static bool table_enter(const struct virtio_net *net, struct virtio_ring *ring, struct table *t,
			const struct desc *d)
{
	if (!ring->indirect || t->indirect || (d->flags & VRING_DESC_F_NEXT) != 0 ||
	    d->size % sizeof(struct vring_desc) != 0)
		return false;
	t->va = mem_at(net->mem, &ring->table_hint, d->iova, d->size, MEM_READ);
	t->n = d->size / sizeof(struct vring_desc);
	t->indirect = true;
	return t->va != NULL;
}

int chain_walk(const struct virtio_net *net, struct virtio_ring *ring, uint16_t head, uint32_t prot,
	       struct seg_out *va, uint64_t *iova, unsigned int max)
{
	uint16_t want_write = prot == MEM_WRITE ? VRING_DESC_F_WRITE : 0;
	struct table t = { (const uint8_t *)ring->desc, ring->size, false };
	uint16_t idx = head;
	unsigned int n = 0;

	for (unsigned int visited = 0; visited < CHAIN_DESCS + 1; visited++) {
		struct desc d;

		if (idx >= t.n)
			return -EINVAL;
		d = table_load(t.va, idx);
		if ((d.flags & VRING_DESC_F_INDIRECT) != 0) {
			if (!table_enter(net, ring, &t, &d))
				return -EINVAL;
			idx = 0;
			continue;
		}
		if ((d.flags & VRING_DESC_F_WRITE) != want_write)
			return -EINVAL;
		if (d.size > 0) {
			if (n == max)
				return -ENOSPC;
			va[n].va = mem_at(net->mem, &ring->hint, d.iova, d.size, prot);
			if (va[n].va == NULL)
				return -EINVAL;
			va[n].size = d.size;
			iova[n++] = d.iova;
		}
		if ((d.flags & VRING_DESC_F_NEXT) == 0)
			return n > 0 ? (int)n : -EINVAL;
		idx = d.next;
	}
	return -EINVAL;
}

static struct ring_look split_look(struct virtio_ring *ring, uint64_t *bad)
{
	uint16_t n = (uint16_t)ring_avail(ring, bad);

	return (struct ring_look){ ring->avail_idx, n };
}

static int split_next(const struct virtio_net *net, struct virtio_ring *ring,
		      struct ring_look *look, uint32_t prot, const struct ring_buffers *to,
		      struct virtio_served *chain, uint64_t *bad)
{
	if (look->n == 0)
		return -EAGAIN;
	*chain = (struct virtio_served){ 0, ring_head(ring, look->at), 1 };
	if (chain->id >= ring->size) {
		ring_break(ring, bad);
		return -EPIPE;
	}
	look->at++;
	look->n--;
	return chain_walk(net, ring, chain->id, prot, to->va, to->iova, to->max);
}

static void split_give(const struct virtio_net *net, struct virtio_ring *ring,
		       const struct virtio_served *chain, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++)
		ring_set_used(ring, ring->used_idx++, chain[i].id, chain[i].size);
	ring->avail_idx += (uint16_t)n;
}

void ring_call(struct virtio_ring *ring, struct endpoint_stats *stats)
{
	int fd = atomic_load_explicit(&ring->call_fd, memory_order_acquire);

	if (fd >= 0 && write(fd, &(uint64_t){ 1 }, sizeof(uint64_t)) > 0)
		stats->irqs++;
}

/* 2.7.7.2 and 2.7.10: whether the guest wants to hear of what was used since `old`. */
static bool ring_wants_call(struct virtio_ring *ring, uint16_t old)
{
	uint16_t event;

	if (ring->call_next) {
		ring->call_next = false;
		return true;
	}
	if (!ring->event_idx)
		return (le16toh(__atomic_load_n(&ring->avail->flags, __ATOMIC_RELAXED)) &
			VRING_AVAIL_F_NO_INTERRUPT) == 0;
	/* used_event is the word behind the avail ring's last entry. */
	event = le16toh(__atomic_load_n(&ring->avail->ring[ring->size], __ATOMIC_RELAXED));
	return vring_need_event(event, ring->published, old) != 0;
}

static void log_used(const struct virtio_net *net, const struct virtio_ring *ring, uint16_t old)
{
	for (uint16_t at = old; at != ring->used_idx; at++)
		dirty_log_mark(&net->log,
			       ring->used_iova + offsetof(struct vring_used, ring) +
				       (uint64_t)(at & ring->mask) * sizeof(struct vring_used_elem),
			       sizeof(struct vring_used_elem));
	dirty_log_mark(&net->log, ring->used_iova, offsetof(struct vring_used, ring));
}

void ring_publish(const struct virtio_net *net, struct virtio_ring *ring,
		  struct endpoint_stats *stats)
{
	uint16_t old = ring->published;

	if (old == ring->used_idx)
		return;
	/* Release: the guest reads the index first, then entries and buffers (2.7.8.2). */
	__atomic_store_n(&ring->used->idx, htole16(ring->used_idx), __ATOMIC_RELEASE);
	ring->published = ring->used_idx;
	if (unlikely(net->log.bits != NULL))
		log_used(net, ring, old);
	/* A guest that goes to sleep first asks for an interrupt (flags or used_event), then looks at
	 * used->idx once more. We first move used->idx, then look whether it asks. A full barrier on
	 * either side, so that one of the two always sees what the other wrote. */
	atomic_thread_fence(memory_order_seq_cst);
	if (ring_wants_call(ring, old))
		ring_call(ring, stats);
}

const struct virtio_ring_ops ring_split_ops = {
	.look = split_look,
	.next = split_next,
	.give = split_give,
	.publish = ring_publish,
};
