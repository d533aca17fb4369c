/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <sys/random.h>

#include "dev/virtio_net/packed.h"

#define HDR_SIZE_LEGACY 10 /* struct virtio_net_hdr without num_buffers */

/* Chains for one frame where buffers merge. Receive's own bound is lower or equal. */
#define MERGE_MAX 256

_Static_assert(sizeof(struct virtio_net_hdr_v1) == 12, "virtio 1.2, 5.1.6");
_Static_assert(sizeof(struct vring_desc) == 16, "virtio 1.2, 2.7.5");
_Static_assert(sizeof(struct vring_used_elem) == 8, "virtio 1.2, 2.7.8");
_Static_assert(sizeof(struct vring_packed_desc) == 16, "virtio 1.2, 2.8.13");
_Static_assert(offsetof(struct vring_packed_desc, len) == 8, "virtio 1.2, 2.8.13");
_Static_assert(sizeof(struct vring_packed_desc_event) == 4, "virtio 1.2, 2.8.14");

static void ring_init(struct virtio_ring *ring)
{
	atomic_init(&ring->state, RING_STOPPED);
	atomic_init(&ring->enabled, 1);
	atomic_init(&ring->call_fd, -1);
}

void virtio_net_init(struct virtio_net *net, struct endpoint_stats *stats, unsigned int n_pairs)
{
	uint8_t key[RSS_KEY_SIZE];

	memset(net, 0, sizeof(*net));
	if (getrandom(key, sizeof(key), GRND_NONBLOCK) < 0)
		memset(key, 0x6d, sizeof(key)); /* no entropy yet: it spreads well enough */
	rss_key_set(&net->key, key);
	net->endpoint.ops = &virtio_net_endpoint_ops;
	net->endpoint.stats = stats;
	net->endpoint.n_txq = n_pairs;
	for (unsigned int i = 0; i < n_pairs; i++) {
		struct virtio_pair *pair = &net->pair[i];

		net->endpoint.txq[i] = &pair->txq;
		pair->txq.ops = &virtio_net_txq_ops;
		pair->txq.endpoint = &net->endpoint;
		pair->txq.idx = i;
		ring_init(&pair->tx);
		ring_init(&pair->rx);
	}
	net->mem = &mem_table_empty;
	atomic_init(&net->link_up, 1);
	atomic_init(&net->max_frame, FRAME_SIZE_MIN + 1500);
}

/* Whether [va, va + size) is guest memory that stays mapped as long as the table; *iova is where. */
static bool find_guest_memory(const struct mem_table *mem, const void *va, uint64_t size,
			      unsigned int align, uint64_t *iova)
{
	if ((uintptr_t)va % align != 0)
		return false;
	for (uint32_t i = 0; i < mem->n_windows; i++) {
		const struct mem_window *w = &mem->window[i];
		uint64_t offset = (uint64_t)((uintptr_t)va - (uintptr_t)w->va);

		if (w->va != NULL && offset < w->size && size <= w->size - offset) {
			*iova = w->iova + offset;
			return true;
		}
	}
	return false;
}

static bool is_guest_memory(const struct mem_table *mem, const void *va, uint64_t size,
			    unsigned int align)
{
	uint64_t iova;

	return find_guest_memory(mem, va, size, align, &iova);
}

/* Sizes and alignments: virtio 1.2, 2.7 and 2.8.10. The event words behind avail and used are always
 * counted: drivers reserve them whatever is negotiated (2.7.6, 2.7.8). */
static bool ring_is_sound(const struct mem_table *mem, const struct virtio_ring_setup *s,
			  bool packed)
{
	if (packed)
		return s->size > 0 && s->size <= VIRTIO_RING_SIZE_MAX &&
		       is_guest_memory(mem, s->desc, s->size * sizeof(struct vring_packed_desc),
				       16) &&
		       is_guest_memory(mem, s->avail, sizeof(struct vring_packed_desc_event), 4) &&
		       is_guest_memory(mem, s->used, sizeof(struct vring_packed_desc_event), 4);
	return is_pow2(s->size) && s->size <= VIRTIO_RING_SIZE_MAX &&
	       is_guest_memory(mem, s->desc, s->size * sizeof(struct vring_desc), 16) &&
	       is_guest_memory(mem, s->avail, 6 + s->size * 2, 2) &&
	       is_guest_memory(mem, s->used, 6 + s->size * sizeof(struct vring_used_elem), 4);
}

/* The workers poll. With the flag the guest never kicks; with the event index, only when its index
 * passes avail_event, once in 65536 entries (2.7.7, 2.7.10). */
static void ring_mute(struct virtio_ring *ring)
{
	uint16_t past = htole16((uint16_t)(ring->avail_idx - 1));

	if (ring->event_idx)
		memcpy(&ring->used->ring[ring->size], &past, sizeof(past));
	else
		__atomic_store_n(&ring->used->flags, htole16(VRING_USED_F_NO_NOTIFY),
				 __ATOMIC_RELAXED);
}

/* 2.8.14: the device's own event structure says that it wants no kicks. */
static void packed_start(struct virtio_ring *ring, const struct virtio_net_setup *setup,
			 const struct virtio_ring_setup *s)
{
	uint64_t iova;

	ring->avail_idx = packed_resume(ring->slot, s->size, s->avail_idx);
	ring->used_idx = ring->published = ring->avail_idx;
	__atomic_store_n((uint32_t *)(void *)ring->device_event,
			 htole32((uint32_t)VRING_PACKED_EVENT_FLAG_DISABLE << 16),
			 __ATOMIC_RELAXED);
	if (find_guest_memory(setup->mem, s->used, sizeof(*ring->device_event), 4, &iova))
		dirty_log_mark(&setup->log, iova, sizeof(*ring->device_event));
	find_guest_memory(setup->mem, s->desc, 1, 16, &ring->used_iova);
}

static void ring_start(struct virtio_ring *ring, const struct virtio_net_setup *setup,
		       const struct virtio_ring_setup *s)
{
	uint64_t features = setup->features;

	ring->desc = s->desc;
	ring->avail = s->avail;
	ring->used = s->used;
	ring->used_iova = s->used_iova;
	ring->size = s->size;
	ring->mask = (uint16_t)(s->size - 1);
	ring->packed = (features & 1ull << VIRTIO_F_RING_PACKED) != 0;
	ring->ops = ring->packed ? &ring_packed_ops : &ring_split_ops;
	ring->event_idx = (features & 1ull << VIRTIO_RING_F_EVENT_IDX) != 0;
	ring->indirect = (features & 1ull << VIRTIO_RING_F_INDIRECT_DESC) != 0;
	ring->avail_idx = s->avail_idx;
	ring->used_idx = s->used_idx;
	ring->published = s->used_idx;
	ring->call_next = true;
	ring->n_served = 0;
	if (ring->packed)
		packed_start(ring, setup, s);
	else
		ring_mute(ring);
	atomic_store_explicit(&ring->state, RING_RUNNING, memory_order_release);
}

static void update_endpoint(struct virtio_net *net)
{
	static const struct {
		unsigned int bit, cap;
	} whole[] = {
		{ VIRTIO_NET_F_GUEST_TSO4, ENDPOINT_TSO4 },
		{ VIRTIO_NET_F_GUEST_TSO6, ENDPOINT_TSO6 },
		{ VIRTIO_NET_F_GUEST_USO4, ENDPOINT_USO4 },
		{ VIRTIO_NET_F_GUEST_USO6, ENDPOINT_USO6 },
	};
	bool csum = (net->features & 1ull << VIRTIO_NET_F_GUEST_CSUM) != 0;
	unsigned int caps = 0;
	unsigned int n_rx = 0;

	while (n_rx < net->endpoint.n_txq &&
	       atomic_load(&net->pair[n_rx].rx.state) == RING_RUNNING &&
	       atomic_load(&net->pair[n_rx].rx.enabled) != 0)
		n_rx++;
	atomic_store(&net->n_rx, n_rx);
	for (size_t i = 0; i < ARRAY_SIZE(whole); i++)
		if (csum && (net->features & 1ull << whole[i].bit) != 0)
			caps |= whole[i].cap;
	atomic_store(&net->endpoint.caps, caps);
	atomic_store(&net->endpoint.running, n_rx > 0);
}

int virtio_net_start(struct virtio_net *net, const struct virtio_net_setup *setup)
{
	uint64_t f = setup->features;
	bool merges = (f & 1ull << VIRTIO_NET_F_MRG_RXBUF) != 0;

	for (unsigned int i = 0; i < virtio_net_n_rings(net); i++)
		if (setup->ring[i].desc != NULL &&
		    !ring_is_sound(setup->mem, &setup->ring[i],
				   (f & 1ull << VIRTIO_F_RING_PACKED) != 0))
			return -EINVAL;
	net->features = f;
	/* 5.1.6: num_buffers is there with either feature. */
	net->hdr_size = merges || (f & 1ull << VIRTIO_F_VERSION_1) != 0
				? sizeof(struct virtio_net_hdr_v1)
				: HDR_SIZE_LEGACY;
	net->merge_max = merges ? MERGE_MAX : 1;
	net->l4_valid_flag =
		(f & 1ull << VIRTIO_NET_F_GUEST_CSUM) != 0 ? VIRTIO_NET_HDR_F_DATA_VALID : 0;
	net->mem = setup->mem;
	net->log = setup->log;
	for (unsigned int i = 0; i < virtio_net_n_rings(net); i++)
		if (setup->ring[i].desc != NULL)
			ring_start(virtio_net_ring(net, i), setup, &setup->ring[i]);
	update_endpoint(net);
	return 0;
}

void virtio_net_pause(struct virtio_net *net)
{
	for (unsigned int i = 0; i < virtio_net_n_rings(net); i++)
		atomic_store(&virtio_net_ring(net, i)->state, RING_STOPPED);
}

void virtio_net_stop(struct virtio_net *net)
{
	virtio_net_pause(net);
	update_endpoint(net);
}

void virtio_net_enable(struct virtio_net *net, unsigned int ring, bool enable)
{
	atomic_store(&virtio_net_ring(net, ring)->enabled, enable);
	update_endpoint(net);
}

int virtio_net_set_call(struct virtio_net *net, unsigned int ring, int fd)
{
	return atomic_exchange(&virtio_net_ring(net, ring)->call_fd, fd);
}

void virtio_net_set_link(struct virtio_net *net, bool up)
{
	atomic_store(&net->link_up, up);
}

void virtio_net_set_max_frame(struct virtio_net *net, uint32_t max_frame)
{
	atomic_store(&net->max_frame, max_frame);
}
