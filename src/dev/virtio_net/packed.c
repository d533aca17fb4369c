/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>

#include "dev/virtio_net/packed.h"

static struct ring_look packed_look(struct virtio_ring *ring, uint64_t *bad)
{
	return (struct ring_look){ ring->avail_idx, 0 };
}

/* Slots a chain may have before the ring counts as broken: far above what drivers use and CHAIN_DESCS
 * takes, and few enough that a burst of bad chains is soon walked. */
#define CHAIN_SLOTS_MAX 256

/* The buffers of a chain so far. */
struct walk {
	const struct virtio_net *net;
	struct virtio_ring *ring;
	uint32_t prot;
	struct seg_out *va;
	uint64_t *iova;
	unsigned int n, max, n_descs;
};

static int walk_buffer(struct walk *w, const struct desc *d)
{
	uint16_t want_write = w->prot == MEM_WRITE ? VRING_DESC_F_WRITE : 0;

	if (w->n_descs++ == CHAIN_DESCS || (d->flags & VRING_DESC_F_WRITE) != want_write)
		return -EINVAL;
	if (d->size == 0)
		return 0;
	if (w->n == w->max)
		return -ENOSPC;
	w->va[w->n].va = mem_at(w->net->mem, &w->ring->hint, d->iova, d->size, w->prot);
	if (w->va[w->n].va == NULL)
		return -EINVAL;
	w->va[w->n].size = d->size;
	w->iova[w->n++] = d->iova;
	return 0;
}

/* 2.8.7: a table's length says how many descriptors it has, and of their flags only WRITE counts. */
static int walk_table(struct walk *w, const struct desc *d)
{
	const uint8_t *table;
	int ret = 0;

	if (!w->ring->indirect || (d->flags & VRING_DESC_F_NEXT) != 0 ||
	    d->size % sizeof(struct vring_packed_desc) != 0)
		return -EINVAL;
	table = mem_at(w->net->mem, &w->ring->table_hint, d->iova, d->size, MEM_READ);
	if (table == NULL)
		return -EINVAL;
	for (uint32_t i = 0; i < d->size / sizeof(struct vring_packed_desc) && ret == 0; i++) {
		struct desc in = table_load(table, i);

		/* The last 4 bytes are id and flags, where a split one has flags and next. */
		in.flags = in.next;
		ret = walk_buffer(w, &in);
	}
	return ret;
}

/* A chain ends at the first slot without NEXT, and that one has the id (2.8.6). It has to be found for a
 * bad chain too, since the driver waits for it. */
int packed_next(const struct virtio_net *net, struct virtio_ring *ring, struct ring_look *look,
		uint32_t prot, const struct ring_buffers *to, struct virtio_served *chain,
		uint64_t *bad)
{
	struct walk w = { .net = net,
			  .ring = ring,
			  .prot = prot,
			  .va = to->va,
			  .iova = to->iova,
			  .max = to->max };
	struct packed_at at = packed_at(look->at);
	uint64_t word = packed_word(ring->slot, at.idx);
	uint32_t n_slots = 1;
	int ret = 0;

	if ((word_flags(word) & PACKED_BOTH) != at.avail)
		return -EAGAIN;
	for (;; n_slots++) {
		struct desc d = { packed_iova(ring->slot, at.idx), word_size(word),
				  (uint16_t)word_flags(word), word_id(word) };

		/* No driver has more than all. */
		if (look->n + n_slots > ring->size || n_slots > CHAIN_SLOTS_MAX) {
			ring_break(ring, bad);
			return -EPIPE;
		}
		if (ret == 0)
			ret = (d.flags & VRING_DESC_F_INDIRECT) != 0 ? walk_table(&w, &d)
								     : walk_buffer(&w, &d);
		packed_step(&at, ring->size);
		if ((d.flags & VRING_DESC_F_NEXT) == 0)
			break;
		word = packed_word(ring->slot, at.idx);
	}
	look->at = packed_pos(at);
	look->n += (uint16_t)n_slots;
	*chain = (struct virtio_served){ 0, word_id(word), (uint16_t)n_slots };
	if (ret < 0)
		return ret;
	return w.n > 0 ? (int)w.n : -EINVAL;
}

/* Makes the chain at used_idx used. Only its first slot counts for the driver (2.8.6), but the others'
 * flags are turned as well, before, while they are still ours: so each slot of the ring tells by its
 * USED flag whether we have passed it in this lap, which is what packed_resume goes by. */
static void give_chain(const struct virtio_net *net, struct virtio_ring *ring, struct packed_at at,
		       const struct virtio_served *chain)
{
	uint16_t flags = at.avail == PACKED_AVAIL ? PACKED_BOTH : 0;
	uint64_t word = (uint64_t)flags << 48 | (uint64_t)chain->id << 32 | chain->size;
	uint64_t *first = (void *)&ring->slot[at.idx];
	uint32_t idx = at.idx;

	for (unsigned int i = 1; unlikely(i < chain->n_slots); i++) {
		packed_step(&at, ring->size);
		flags = at.avail == PACKED_AVAIL ? PACKED_BOTH : 0;
		__atomic_store_n(&ring->slot[at.idx].flags, htole16(flags), __ATOMIC_RELAXED);
	}
	/* Release: the guest reads the flags first, then the buffers. */
	__atomic_store_n(&first[1], htole64(word), __ATOMIC_RELEASE);
	if (unlikely(net->log.bits != NULL)) {
		for (unsigned int i = 0; i < chain->n_slots; i++, idx = (idx + 1) % ring->size)
			dirty_log_mark(&net->log,
				       ring->used_iova +
					       (uint64_t)idx * sizeof(struct vring_packed_desc),
				       sizeof(struct vring_packed_desc));
	}
}

static void flush_slow(const struct virtio_net *net, struct virtio_ring *ring, unsigned int from)
{
	uint16_t pos = ring->used_idx;

	for (unsigned int i = from; i < ring->n_served; i++) {
		const struct virtio_served *chain = &ring->served[i];

		give_chain(net, ring, packed_at(pos), chain);
		pos = packed_move(pos, chain->n_slots, ring->size);
	}
	ring->used_idx = pos;
}

/* In the ring's order, so that a daemon that dies in between leaves what packed_resume understands.
 * Here chains of one slot, without a dirty log: a word read, two fields of it changed, and written. */
void packed_flush(const struct virtio_net *net, struct virtio_ring *ring)
{
	struct packed_at at = packed_at(ring->used_idx);
	uint64_t used = at.avail == PACKED_AVAIL ? PACKED_BOTH : 0;
	uint64_t change = (used ^ 1) << 48; /* n_slots, where a slot has its flags */
	uint64_t *first = (void *)ring->slot, *end = first + 2 * (size_t)ring->size;
	uint64_t *slot = first + 2 * (size_t)at.idx;
	const unsigned int n = likely(net->log.bits == NULL) ? ring->n_served : 0;
	unsigned int i;

	for (i = 0; i < n; i++) {
		const struct virtio_served *chain = &ring->served[i];
		uint64_t word = (uint64_t)chain->n_slots << 48 | (uint64_t)chain->id << 32 |
				chain->size;

		if (unlikely(word >> 48 != 1))
			break;
		/* Release: the guest reads the flags first, then the buffers. */
		__atomic_store_n(&slot[1], htole64(word ^ change), __ATOMIC_RELEASE);
		slot += 2;
		if (unlikely(slot == end)) {
			slot = first;
			change ^= (uint64_t)PACKED_BOTH << 48;
		}
	}
	ring->used_idx = packed_move(ring->used_idx, i, ring->size);
	if (unlikely(i < ring->n_served))
		flush_slow(net, ring, i);
	ring->n_served = 0;
}

/* The first one last: a driver that sees it expects the others (5.1.6.4.2). */
static void packed_give(const struct virtio_net *net, struct virtio_ring *ring,
			const struct virtio_served *chain, unsigned int n)
{
	uint32_t n_slots = 0;

	packed_flush(net, ring);
	for (unsigned int i = 0; i < n; i++)
		n_slots += chain[i].n_slots;
	ring->avail_idx = packed_move(ring->used_idx, n_slots, ring->size);
	for (unsigned int i = n; i-- > 0;) {
		n_slots -= chain[i].n_slots;
		give_chain(net, ring, packed_at(packed_move(ring->used_idx, n_slots, ring->size)),
			   &chain[i]);
	}
	ring->used_idx = ring->avail_idx;
}

/* 2.8.10 and 2.8.14: whether the guest wants to hear of what was used since `old`. */
static bool packed_wants_call(struct virtio_ring *ring, uint16_t old)
{
	uint16_t new = ring->used_idx &PACKED_IDX, from = old &PACKED_IDX, event;
	uint32_t word;

	if (ring->call_next) {
		ring->call_next = false;
		return true;
	}
	/* off_wrap and flags in one load, so that they belong together. */
	word = le32toh(__atomic_load_n((uint32_t *)(void *)ring->driver_event, __ATOMIC_RELAXED));
	if (word >> 16 == VRING_PACKED_EVENT_FLAG_DISABLE)
		return false;
	if (word >> 16 != VRING_PACKED_EVENT_FLAG_DESC || !ring->event_idx)
		return true;
	/* As numbers that rise over the end of the ring, in the lap of used_idx. */
	event = word & PACKED_IDX;
	if (((word ^ ring->used_idx) & PACKED_WRAP) != 0)
		event = (uint16_t)(event - ring->size);
	if (((old ^ ring->used_idx) & PACKED_WRAP) != 0)
		from = (uint16_t)(from - ring->size);
	return vring_need_event(event, new, from) != 0;
}

void packed_publish(const struct virtio_net *net, struct virtio_ring *ring,
		    struct endpoint_stats *stats)
{
	uint16_t old = ring->published;

	packed_flush(net, ring);
	if (old == ring->used_idx)
		return;
	ring->published = ring->used_idx;
	/* As in ring_publish: flags first, then what the guest asks for; the guest the other way. */
	atomic_thread_fence(memory_order_seq_cst);
	if (packed_wants_call(ring, old))
		ring_call(ring, stats);
}

/* Whether we passed slot idx when its USED flag was last turned to `used`. */
static bool slot_used(const struct vring_packed_desc *slot, uint32_t idx)
{
	return (word_flags(packed_word(slot, idx)) & PACKED_USED) != 0;
}

/* A slot that we passed in this lap has the lap's wrap counter as its USED flag, and keeps it when the
 * driver makes it available for the next lap; a slot that we have not passed has the other. So the
 * flag changes once in the ring, where we are. A device that leaves the rest of a chain alone (2.8.6
 * allows it), from which a guest has come here, leaves another picture: then `pos` is believed. */
uint16_t packed_resume(const struct vring_packed_desc *slot, uint32_t size, uint16_t pos)
{
	uint32_t at = pos & PACKED_IDX, idx = 1, n_changes = 0;
	bool wrap = (pos & PACKED_WRAP) != 0;
	bool first = slot_used(slot, 0), last = slot_used(slot, size - 1);

	if (at < size && slot_used(slot, at) == !wrap &&
	    (at > 0 ? slot_used(slot, at - 1) == wrap : last == !wrap))
		return pos;
	for (uint32_t i = size; --i > 0;) {
		if (slot_used(slot, i) != slot_used(slot, i - 1)) {
			idx = i;
			n_changes++;
		}
	}
	if (n_changes == 0)
		return (uint16_t)(first ? 0 : PACKED_WRAP);
	if (n_changes > 1 && at < size)
		return pos;
	return (uint16_t)(idx | (first ? PACKED_WRAP : 0));
}

const struct virtio_ring_ops ring_packed_ops = {
	.look = packed_look,
	.next = packed_next,
	.give = packed_give,
	.publish = packed_publish,
};
