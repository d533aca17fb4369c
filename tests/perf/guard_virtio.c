/* SPDX-License-Identifier: BSD-3-Clause */
/* A guest with a virtio-net device, as Linux's driver leaves the rings: header and frame in one buffer,
 * mergeable receive buffers, event index. */
#include <stdlib.h>

#include "dev/virtio_net/virtio_net.h"
#include "frame/csum.h"
#include "guard.h"

#define RING_SIZE 128u
#define BUF_SIZE  2048u
#define HDR_SIZE  12u
#define IOVA      0x40000000ull

struct ring_memory {
	struct vring_desc desc[RING_SIZE];
	uint16_t avail[3 + RING_SIZE] __attribute__((aligned(CACHE_LINE)));
	uint8_t used[6 + 8 * RING_SIZE] __attribute__((aligned(CACHE_LINE)));
	uint8_t buf[RING_SIZE][BUF_SIZE] __attribute__((aligned(CACHE_LINE)));
};

/* The guest's memory. */
struct ram {
	struct ring_memory ring[VIRTIO_NET_N_RINGS];
} __attribute__((aligned(4096)));

struct virtio_side {
	struct side side;
	struct virtio_net net;
	struct ram *ram;
	bool packed;
	uint16_t at[VIRTIO_NET_N_RINGS]; /* what was offered */
	uint16_t rx_seen;
};

/* The descriptors of a packed ring, whose event structures lie where the other's avail and used do. */
static struct vring_packed_desc *slot_of(struct ring_memory *r)
{
	return (struct vring_packed_desc *)(void *)r->desc;
}

/* The two flags of lap `at / RING_SIZE`, available or used. */
static uint16_t lap_flags(uint16_t at, bool used)
{
	bool wrap = at / RING_SIZE % 2 == 0;

	return (uint16_t)(wrap << VRING_PACKED_DESC_F_AVAIL | (wrap == used)
								      << VRING_PACKED_DESC_F_USED);
}

static struct vring_avail *avail_of(struct ring_memory *r)
{
	return (struct vring_avail *)(void *)r->avail;
}

static struct vring_used *used_of(struct ring_memory *r)
{
	return (struct vring_used *)(void *)r->used;
}

static uint64_t iova_of(const struct virtio_side *s, const void *va)
{
	return IOVA + (uint64_t)((const uint8_t *)va - (const uint8_t *)s->ram);
}

/* Offers the next buffer of a ring; returns it. */
static uint8_t *offer(struct virtio_side *s, unsigned int ring, uint32_t size, uint16_t flags)
{
	struct ring_memory *r = &s->ram->ring[ring];
	uint16_t at = s->at[ring]++, i = at % RING_SIZE;

	if (s->packed) {
		slot_of(r)[i] = (struct vring_packed_desc){ iova_of(s, r->buf[i]), size, i,
							    flags | lap_flags(at, false) };
		return r->buf[i];
	}
	r->desc[i] = (struct vring_desc){ iova_of(s, r->buf[i]), size, flags, 0 };
	avail_of(r)->ring[i] = i;
	return r->buf[i];
}

static void show(struct virtio_side *s, unsigned int ring)
{
	struct ring_memory *r = &s->ram->ring[ring];

	if (s->packed) {
		((struct vring_packed_desc_event *)(void *)r->avail)->flags =
			VRING_PACKED_EVENT_FLAG_DISABLE;
		return;
	}
	/* used_event, half a ring ahead: the guest polls and wants no interrupt. */
	avail_of(r)->ring[RING_SIZE] = (uint16_t)(s->at[ring] + RING_SIZE / 2);
	__atomic_store_n(&avail_of(r)->idx, s->at[ring], __ATOMIC_RELEASE);
}

static void virtio_send(struct side *side, const uint8_t *bytes, uint32_t size, unsigned int n,
			bool csum)
{
	struct virtio_side *s = container_of(side, struct virtio_side, side);
	struct virtio_net_hdr_v1 hdr = { 0 };

	if (csum) {
		hdr.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
		hdr.csum_start = htole16(GUARD_CSUM_START);
		hdr.csum_offset = htole16(GUARD_CSUM_OFFSET);
	}
	for (unsigned int i = 0; i < n; i++) {
		uint8_t *buf = offer(s, VIRTIO_NET_TX, HDR_SIZE + size, 0);

		memcpy(buf, &hdr, HDR_SIZE);
		memcpy(buf + HDR_SIZE, bytes, size);
	}
	show(s, VIRTIO_NET_TX);
}

static void virtio_post(struct side *side, unsigned int n)
{
	struct virtio_side *s = container_of(side, struct virtio_side, side);

	for (unsigned int i = 0; i < n; i++)
		offer(s, VIRTIO_NET_RX, BUF_SIZE, VRING_DESC_F_WRITE);
	show(s, VIRTIO_NET_RX);
}

static bool virtio_collect(struct side *side, const uint8_t *bytes, uint32_t size, unsigned int n,
			   bool csum)
{
	struct virtio_side *s = container_of(side, struct virtio_side, side);
	struct ring_memory *r = &s->ram->ring[VIRTIO_NET_RX];
	bool good = (uint16_t)(used_of(r)->idx - s->rx_seen) == n;

	for (unsigned int i = 0; good && i < n; i++) {
		const struct vring_used_elem *e = &used_of(r)->ring[s->rx_seen++ % RING_SIZE];

		good = e->id < RING_SIZE && e->len == HDR_SIZE + size &&
		       guard_frame_good(r->buf[e->id] + HDR_SIZE, bytes, size, csum);
	}
	return good;
}

static bool packed_collect(struct side *side, const uint8_t *bytes, uint32_t size, unsigned int n,
			   bool csum)
{
	struct virtio_side *s = container_of(side, struct virtio_side, side);
	struct ring_memory *r = &s->ram->ring[VIRTIO_NET_RX];
	bool good = true;

	for (unsigned int i = 0; good && i < n; i++, s->rx_seen++) {
		const struct vring_packed_desc *d = &slot_of(r)[s->rx_seen % RING_SIZE];

		good = d->flags == lap_flags(s->rx_seen, true) && d->id < RING_SIZE &&
		       d->len == HDR_SIZE + size &&
		       guard_frame_good(r->buf[d->id] + HDR_SIZE, bytes, size, csum);
	}
	return good && slot_of(r)[s->rx_seen % RING_SIZE].flags != lap_flags(s->rx_seen, true);
}

static struct side *side_new(uint64_t mac, bool packed)
{
	struct virtio_side *s =
		aligned_alloc(CACHE_LINE, (sizeof(*s) + CACHE_LINE - 1) / CACHE_LINE * CACHE_LINE);
	struct ram *ram = aligned_alloc(4096, sizeof(*ram));
	struct mem_window window = {
		.iova = IOVA, .size = sizeof(*ram), .va = (void *)ram, .prot = MEM_READ | MEM_WRITE
	};
	struct virtio_net_setup setup = { .features = VIRTIO_NET_DEVICE_FEATURES &
						      ~(1ull << VIRTIO_F_RING_PACKED),
					  .mem = mem_table_new(&window, 1) };

	if (s == NULL || ram == NULL || setup.mem == NULL)
		abort();
	if (packed)
		setup.features |= 1ull << VIRTIO_F_RING_PACKED;
	memset(s, 0, sizeof(*s));
	s->packed = packed;
	memset(ram, 0, sizeof(*ram));
	s->ram = ram;
	virtio_net_init(&s->net, endpoint_stats_new(), 1);
	for (unsigned int i = 0; i < VIRTIO_NET_N_RINGS; i++) {
		struct ring_memory *r = &ram->ring[i];

		setup.ring[i] = (struct virtio_ring_setup){ .desc = r->desc,
							    .avail = avail_of(r),
							    .used = used_of(r),
							    .used_iova = iova_of(s, r->used),
							    .size = RING_SIZE,
							    .avail_idx = packed ? 0x8000 : 0 };
	}
	guard_must(virtio_net_start(&s->net, &setup) == 0, "virtio_net_start");
	virtio_net_set_max_frame(&s->net, FRAME_SIZE_MOST);
	s->side = (struct side){ .endpoint = &s->net.endpoint,
				 .mac = mac,
				 .send = virtio_send,
				 .post = virtio_post,
				 .collect = packed ? packed_collect : virtio_collect };
	return &s->side;
}

struct side *side_new_virtio(uint64_t mac)
{
	return side_new(mac, false);
}

struct side *side_new_packed(uint64_t mac)
{
	return side_new(mac, true);
}
