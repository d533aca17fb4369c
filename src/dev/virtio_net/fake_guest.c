/* SPDX-License-Identifier: BSD-3-Clause */
#include <assert.h>

#include "dev/virtio_net/fake_guest.h"

#define WRAP 0x8000u

static struct vring_packed_desc *slot_at(const struct guest_ring *r, uint16_t pos)
{
	return (struct vring_packed_desc *)(void *)r->desc + (pos & ~WRAP);
}

static uint16_t pos_next(const struct guest_ring *r, uint16_t pos, unsigned int n)
{
	for (; n > 0; n--)
		pos = (pos & ~WRAP) + 1 == r->size ? (uint16_t)((pos & WRAP) ^ WRAP)
						   : (uint16_t)(pos + 1);
	return pos;
}

uint16_t guest_slot_flags(uint16_t pos, bool used)
{
	bool wrap = (pos & WRAP) != 0;

	return (uint16_t)(wrap << VRING_PACKED_DESC_F_AVAIL | (wrap == used)
								      << VRING_PACKED_DESC_F_USED);
}

static void place_rings(struct guest *g, uint32_t ring_size)
{
	for (unsigned int i = 0; i < g->n_rings; i++) {
		struct guest_ring *r = &g->ring[i];

		r->size = ring_size;
		r->desc = guest_va(g, guest_alloc(g, ring_size * sizeof(struct vring_desc), 0));
		r->avail = guest_va(g, guest_alloc(g, 6 + ring_size * 2, 0));
		r->used = guest_va(g, guest_alloc(g, 6 + ring_size * sizeof(struct vring_used_elem),
						  0));
	}
}

void guest_init(struct guest *g, void *va, uint64_t size, uint64_t iova, uint32_t ring_size,
		unsigned int n_pairs)
{
	memset(g, 0, sizeof(*g));
	g->va = va;
	g->size = size;
	g->iova = iova;
	g->n_rings = n_pairs * VIRTIO_NET_N_RINGS;
	place_rings(g, ring_size);
}

void guest_reset(struct guest *g, uint16_t idx)
{
	uint32_t ring_size = g->ring[0].size;
	bool packed = g->packed;

	guest_init(g, g->va, g->size, g->iova, ring_size, g->n_rings / VIRTIO_NET_N_RINGS);
	g->packed = packed;
	for (unsigned int i = 0; packed && i < g->n_rings; i++) {
		struct guest_ring *r = &g->ring[i];
		uint16_t at = pos_next(r, WRAP, idx);

		r->packed = true;
		r->avail_idx = at;
		r->seen = at;
		/* As the laps before have left it. */
		for (uint32_t k = 0; k < ring_size; k++)
			slot_at(r, k)->flags = guest_slot_flags(
				(uint16_t)((at & WRAP) ^ (k < (at & ~WRAP) ? 0 : WRAP)), true);
	}
	for (unsigned int i = 0; !packed && i < g->n_rings; i++) {
		struct guest_ring *r = &g->ring[i];

		r->avail_idx = idx;
		r->seen = idx;
		r->avail->idx = idx;
		r->used->idx = idx;
	}
}

uint64_t guest_alloc(struct guest *g, uint64_t size, unsigned int skew)
{
	uint64_t at = ((g->used + 15) & ~15ull) + skew;

	assert(at + size <= g->size);
	g->used = at + size;
	memset(g->va + at, 0, size);
	return g->iova + at;
}

void *guest_va(const struct guest *g, uint64_t iova)
{
	assert(iova - g->iova < g->size);
	return g->va + (iova - g->iova);
}

void guest_setup(const struct guest *g, struct virtio_ring_setup setup[VIRTIO_NET_RINGS_MAX])
{
	for (unsigned int i = 0; i < g->n_rings; i++) {
		const struct guest_ring *r = &g->ring[i];

		setup[i] = (struct virtio_ring_setup){
			.desc = r->desc,
			.avail = r->avail,
			.used = r->used,
			.used_iova = g->iova + (uint64_t)((uint8_t *)r->used - g->va),
			.size = r->size,
			.avail_idx = r->packed ? r->seen : r->used->idx,
			.used_idx = r->packed ? r->seen : r->used->idx,
		};
	}
}

void guest_set_desc(struct guest_ring *r, uint16_t at, uint64_t iova, uint32_t size, uint16_t flags,
		    uint16_t next)
{
	r->desc[at % r->size] = (struct vring_desc){ iova, size, flags, next };
}

/* The slots from avail_idx on become a chain; the first one's flags last (virtio 1.2, 2.8.21.1). */
static uint16_t packed_chain(struct guest_ring *r, uint16_t id, const uint64_t *iova,
			     const uint32_t *size, unsigned int n, uint16_t flags)
{
	uint16_t first = r->avail_idx, pos = first, first_flags = 0;

	for (unsigned int i = 0; i < n; i++, pos = pos_next(r, pos, 1)) {
		uint16_t f = (uint16_t)(flags | guest_slot_flags(pos, false) |
					(i + 1 < n ? VRING_DESC_F_NEXT : 0));
		struct vring_packed_desc *d = slot_at(r, pos);

		if (i == 0)
			first_flags = f;
		else
			d->flags = f;
		d->addr = iova[i];
		d->len = size[i];
		d->id = i + 1 < n ? 0x5555 : id;
	}
	assert((uint16_t)(r->n_offered - r->n_collected) < ARRAY_SIZE(r->out));
	r->out[r->n_offered % ARRAY_SIZE(r->out)].id = id;
	r->out[r->n_offered++ % ARRAY_SIZE(r->out)].n_slots = (uint16_t)n;
	__atomic_store_n(&slot_at(r, first)->flags, first_flags, __ATOMIC_RELEASE);
	r->avail_idx = pos;
	return id;
}

void guest_single(struct guest_ring *r, uint16_t i, uint64_t iova, uint32_t size, uint16_t flags)
{
	if (r->packed) {
		packed_chain(r, i, &iova, &size, 1, flags);
		return;
	}
	guest_set_desc(r, i, iova, size, flags, 0);
	guest_offer(r, i);
}

/* Ids that are no slots. */
static uint16_t next_id(const struct guest_ring *r)
{
	return (uint16_t)(r->n_offered * 257 + 0x8001);
}

uint16_t guest_chain(struct guest_ring *r, const uint64_t *iova, const uint32_t *size,
		     unsigned int n, uint16_t flags)
{
	uint16_t head = (uint16_t)(r->next % r->size);

	if (r->packed)
		return packed_chain(r, next_id(r), iova, size, n, flags);
	for (unsigned int i = 0; i < n; i++) {
		uint16_t at = (uint16_t)(r->next++ % r->size);

		guest_set_desc(r, at, iova[i], size[i], flags | (i + 1 < n ? VRING_DESC_F_NEXT : 0),
			       (uint16_t)(r->next % r->size));
	}
	guest_offer(r, head);
	return head;
}

static uint16_t packed_indirect(struct guest *g, struct guest_ring *r, const uint64_t *iova,
				const uint32_t *size, unsigned int n, unsigned int n_direct,
				uint16_t flags)
{
	uint32_t n_table = n - n_direct, sizes[64];
	uint64_t table = guest_alloc(g, n_table * sizeof(struct vring_packed_desc), 8), iovas[64];
	uint16_t last, id;

	assert(n_direct < ARRAY_SIZE(sizes));
	for (unsigned int i = 0; i < n_table; i++) {
		struct vring_packed_desc d = { iova[n_direct + i], size[n_direct + i], 0x7777,
					       flags };

		memcpy((uint8_t *)guest_va(g, table) + i * sizeof(d), &d, sizeof(d));
	}
	memcpy(iovas, iova, n_direct * sizeof(*iova));
	memcpy(sizes, size, n_direct * sizeof(*size));
	iovas[n_direct] = table;
	sizes[n_direct] = n_table * (uint32_t)sizeof(struct vring_packed_desc);
	last = pos_next(r, r->avail_idx, n_direct);
	id = packed_chain(r, next_id(r), iovas, sizes, n_direct + 1, flags);
	/* The worker does not run meanwhile. */
	slot_at(r, last)->flags = (uint16_t)(VRING_DESC_F_INDIRECT | guest_slot_flags(last, false));
	return id;
}

uint16_t guest_chain_indirect(struct guest *g, struct guest_ring *r, const uint64_t *iova,
			      const uint32_t *size, unsigned int n, unsigned int n_direct,
			      uint16_t flags)
{
	uint32_t n_table = n - n_direct;
	uint64_t table;
	uint16_t head = (uint16_t)(r->next % r->size);

	if (r->packed)
		return packed_indirect(g, r, iova, size, n, n_direct, flags);
	table = guest_alloc(g, n_table * sizeof(struct vring_desc), 8);
	for (unsigned int i = 0; i < n_direct; i++) {
		uint16_t at = r->next++;

		guest_set_desc(r, at, iova[i], size[i], flags | VRING_DESC_F_NEXT,
			       (uint16_t)(r->next % r->size));
	}
	for (unsigned int i = 0; i < n_table; i++) {
		struct vring_desc d = { iova[n_direct + i], size[n_direct + i],
					flags | (i + 1 < n_table ? VRING_DESC_F_NEXT : 0),
					(uint16_t)(i + 1) };

		memcpy((uint8_t *)guest_va(g, table) + i * sizeof(d), &d, sizeof(d));
	}
	guest_set_desc(r, r->next++, table, n_table * sizeof(struct vring_desc),
		       VRING_DESC_F_INDIRECT, 0);
	guest_offer(r, head);
	return head;
}

void guest_offer(struct guest_ring *r, uint16_t head)
{
	r->avail->ring[r->avail_idx % r->size] = head;
	__atomic_store_n(&r->avail->idx, ++r->avail_idx, __ATOMIC_RELEASE);
}

bool guest_collect(struct guest_ring *r, uint32_t *head, uint32_t *size)
{
	if (r->packed) {
		const struct vring_packed_desc *d = slot_at(r, r->seen);
		unsigned int i = r->n_collected % ARRAY_SIZE(r->out);

		if (guest_n_used(r) == 0)
			return false;
		*head = d->id;
		*size = d->len;
		assert(d->id == r->out[i].id);
		r->n_collected++;
		r->seen = pos_next(r, r->seen, r->out[i].n_slots);
		return true;
	}
	if (__atomic_load_n(&r->used->idx, __ATOMIC_ACQUIRE) == r->seen)
		return false;
	*head = r->used->ring[r->seen % r->size].id;
	*size = r->used->ring[r->seen % r->size].len;
	r->seen++;
	return true;
}

unsigned int guest_n_used(const struct guest_ring *r)
{
	uint16_t pos = r->seen, i = r->n_collected, flags;

	if (!r->packed)
		return (uint16_t)(__atomic_load_n(&r->used->idx, __ATOMIC_ACQUIRE) - r->seen);
	for (; i != r->n_offered; i++) {
		flags = __atomic_load_n(&slot_at(r, pos)->flags, __ATOMIC_ACQUIRE);
		if (flags != guest_slot_flags(pos, true))
			break;
		pos = pos_next(r, pos, r->out[i % ARRAY_SIZE(r->out)].n_slots);
	}
	return (uint16_t)(i - r->n_collected);
}

uint32_t guest_used_size(const struct guest_ring *r, unsigned int i)
{
	uint16_t pos = r->seen;

	if (!r->packed)
		return r->used->ring[(r->seen + i) % r->size].len;
	for (unsigned int k = 0; k < i; k++)
		pos = pos_next(r, pos, r->out[(r->n_collected + k) % ARRAY_SIZE(r->out)].n_slots);
	return slot_at(r, pos)->len;
}
