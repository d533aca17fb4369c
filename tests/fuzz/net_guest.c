/* SPDX-License-Identifier: BSD-3-Clause */
#include "net_guest.h"

static struct vring_avail *avail_of(struct net_ring_memory *r)
{
	return (struct vring_avail *)(void *)r->avail;
}

static struct vring_used *used_of(struct net_ring_memory *r)
{
	return (struct vring_used *)(void *)r->used;
}

uint64_t net_guest_iova(const struct net_guest *g, const void *va)
{
	return NET_IOVA + (uint64_t)((const uint8_t *)va - (const uint8_t *)g->ram);
}

void net_guest_new(struct net_guest *g)
{
	struct mem_window window[2] = {
		{ .iova = NET_IOVA, .size = sizeof(*g->ram), .prot = MEM_READ | MEM_WRITE },
		{ .iova = NET_ODD_IOVA, .size = NET_ODD_SIZE, .prot = MEM_READ | MEM_WRITE },
	};

	memset(g, 0, sizeof(*g));
	g->ram = aligned_alloc(CACHE_LINE, sizeof(*g->ram));
	g->odd = malloc(NET_ODD_SIZE);
	window[0].va = (void *)g->ram;
	window[1].va = g->odd;
	g->mem = mem_table_new(window, ARRAY_SIZE(window));
	FUZZ_CHECK(g->ram != NULL && g->odd != NULL && g->mem != NULL);
	memset(g->ram, 0, sizeof(*g->ram));
	memset(g->odd, 0, NET_ODD_SIZE);
	virtio_net_init(&g->net, endpoint_stats_new(), 1);
	FUZZ_CHECK(g->net.endpoint.stats != NULL);
}

void net_guest_free(struct net_guest *g)
{
	virtio_net_stop(&g->net);
	free(g->net.endpoint.stats);
	mem_table_free(g->mem);
	free(g->odd);
	free(g->ram);
}

void net_guest_rings(const struct net_guest *g, struct virtio_net_setup *setup)
{
	setup->mem = g->mem;
	for (unsigned int i = 0; i < 2; i++) {
		struct net_ring_memory *r = &g->ram->ring[i];

		setup->ring[i] =
			(struct virtio_ring_setup){ .desc = r->desc,
						    .avail = r->avail,
						    .used = r->used,
						    .used_iova = net_guest_iova(g, r->used),
						    .size = NET_RING };
	}
}

static uint8_t *offer(struct net_guest *g, unsigned int ring, uint32_t size, uint16_t flags)
{
	struct net_ring_memory *r = &g->ram->ring[ring];
	uint16_t at = g->at[ring]++, i = at % NET_RING;

	r->desc[i] = (struct vring_desc){ net_guest_iova(g, r->buf[i]), size, flags, 0 };
	avail_of(r)->ring[i] = i;
	__atomic_store_n(&avail_of(r)->idx, g->at[ring], __ATOMIC_RELEASE);
	return r->buf[i];
}

void net_guest_up(struct net_guest *g)
{
	struct virtio_net_setup setup = { .features = VIRTIO_NET_DEVICE_FEATURES &
						      ~(1ull << VIRTIO_F_RING_PACKED) };

	virtio_net_stop(&g->net);
	memset(g->ram, 0, sizeof(*g->ram));
	memset(g->at, 0, sizeof(g->at));
	memset(g->seen, 0, sizeof(g->seen));
	net_guest_rings(g, &setup);
	FUZZ_CHECK(virtio_net_start(&g->net, &setup) == 0);
	virtio_net_set_link(&g->net, true);
	virtio_net_set_max_frame(&g->net, 1514);
	virtio_net_enable(&g->net, 0, true);
	virtio_net_enable(&g->net, 1, true);
	for (unsigned int i = 0; i < NET_RING; i++)
		offer(g, 0, NET_BUF_SIZE, VRING_DESC_F_WRITE);
}

void net_guest_send(struct net_guest *g, const struct virtio_net_hdr_v1 *hdr, const uint8_t *bytes,
		    uint32_t size)
{
	uint8_t *buf = offer(g, 1, NET_HDR + size, 0);

	FUZZ_CHECK(NET_HDR + size <= NET_BUF_SIZE);
	memcpy(buf, hdr, NET_HDR);
	memcpy(buf + NET_HDR, bytes, size);
}

/* A frame may fill several buffers; one after the other is posted again. */
uint32_t net_guest_receive(struct net_guest *g, uint8_t *buf)
{
	struct net_ring_memory *r = &g->ram->ring[0];
	struct virtio_net_hdr_v1 hdr = { .num_buffers = 1 };
	uint32_t total = 0;

	if (g->seen[0] == used_of(r)->idx)
		return 0;
	for (unsigned int i = 0; i < hdr.num_buffers; i++) {
		const struct vring_used_elem *e = &used_of(r)->ring[g->seen[0]++ % NET_RING];

		FUZZ_CHECK((uint16_t)(used_of(r)->idx - g->seen[0]) < NET_RING);
		FUZZ_CHECK(e->id < NET_RING && e->len > 0 && e->len <= NET_BUF_SIZE);
		if (i == 0) {
			FUZZ_CHECK(e->len > NET_HDR);
			memcpy(&hdr, r->buf[e->id], NET_HDR);
			FUZZ_CHECK(hdr.num_buffers > 0 && hdr.num_buffers <= NET_RING);
			memcpy(buf, r->buf[e->id] + NET_HDR, e->len - NET_HDR);
			total = e->len - NET_HDR;
		} else {
			total += e->len;
		}
		/* Buffers come back in the order in which they were offered. */
		FUZZ_CHECK(e->id == g->at[0] % NET_RING);
		offer(g, 0, NET_BUF_SIZE, VRING_DESC_F_WRITE);
	}
	return total;
}
