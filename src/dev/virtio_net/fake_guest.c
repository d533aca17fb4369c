/* SPDX-License-Identifier: BSD-3-Clause */
#include <assert.h>

#include "dev/virtio_net/fake_guest.h"

static void place_rings(struct guest *g, uint32_t ring_size)
{
	for (unsigned int i = 0; i < VIRTIO_NET_N_RINGS; i++) {
		struct guest_ring *r = &g->ring[i];

		r->size = ring_size;
		r->desc = guest_va(g, guest_alloc(g, ring_size * sizeof(struct vring_desc), 0));
		r->avail = guest_va(g, guest_alloc(g, 6 + ring_size * 2, 0));
		r->used = guest_va(g, guest_alloc(g, 6 + ring_size * sizeof(struct vring_used_elem),
						  0));
	}
}

void guest_init(struct guest *g, void *va, uint64_t size, uint64_t iova, uint32_t ring_size)
{
	memset(g, 0, sizeof(*g));
	g->va = va;
	g->size = size;
	g->iova = iova;
	place_rings(g, ring_size);
}

void guest_reset(struct guest *g, uint16_t idx)
{
	uint32_t ring_size = g->ring[0].size;

	guest_init(g, g->va, g->size, g->iova, ring_size);
	for (unsigned int i = 0; i < VIRTIO_NET_N_RINGS; i++) {
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

void guest_setup(const struct guest *g, struct virtio_ring_setup setup[VIRTIO_NET_N_RINGS])
{
	for (unsigned int i = 0; i < VIRTIO_NET_N_RINGS; i++) {
		const struct guest_ring *r = &g->ring[i];

		setup[i] = (struct virtio_ring_setup){
			.desc = r->desc,
			.avail = r->avail,
			.used = r->used,
			.used_iova = g->iova + (uint64_t)((uint8_t *)r->used - g->va),
			.size = r->size,
			.avail_idx = r->used->idx,
			.used_idx = r->used->idx,
		};
	}
}

void guest_set_desc(struct guest_ring *r, uint16_t at, uint64_t iova, uint32_t size, uint16_t flags,
		    uint16_t next)
{
	r->desc[at % r->size] = (struct vring_desc){ iova, size, flags, next };
}

uint16_t guest_chain(struct guest_ring *r, const uint64_t *iova, const uint32_t *size,
		     unsigned int n, uint16_t flags)
{
	uint16_t head = (uint16_t)(r->next % r->size);

	for (unsigned int i = 0; i < n; i++) {
		uint16_t at = (uint16_t)(r->next++ % r->size);

		guest_set_desc(r, at, iova[i], size[i], flags | (i + 1 < n ? VRING_DESC_F_NEXT : 0),
			       (uint16_t)(r->next % r->size));
	}
	guest_offer(r, head);
	return head;
}

uint16_t guest_chain_indirect(struct guest *g, struct guest_ring *r, const uint64_t *iova,
			      const uint32_t *size, unsigned int n, unsigned int n_direct,
			      uint16_t flags)
{
	uint32_t n_table = n - n_direct;
	uint64_t table = guest_alloc(g, n_table * sizeof(struct vring_desc), 8);
	uint16_t head = (uint16_t)(r->next % r->size);

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
	if (__atomic_load_n(&r->used->idx, __ATOMIC_ACQUIRE) == r->seen)
		return false;
	*head = r->used->ring[r->seen % r->size].id;
	*size = r->used->ring[r->seen % r->size].len;
	r->seen++;
	return true;
}
