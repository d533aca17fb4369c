/* SPDX-License-Identifier: BSD-3-Clause */
/* What the guest sends: its transmit ring becomes a burst of frames that lie in its own buffers. */
#include <errno.h>

#include "dev/virtio_net/ring.h"

#define TCP_MIN_SIZE    20
#define TCP_OFFSET_BYTE 12
#define TCP_CSUM_OFFSET 16

/* The offset of the IP header, behind one or two VLAN tags or none. */
static uint16_t l3_offset(const struct frame *f)
{
	uint16_t at = ETH_ADDRS_SIZE;
	uint8_t type[2];

	for (unsigned int tags = 0; tags < 2; tags++, at += 4) {
		frame_read(f, at, type, sizeof(type));
		if (load_be16(type) != ETH_TYPE_VLAN && load_be16(type) != 0x88a8)
			break;
	}
	return at + 2;
}

/* virtio 1.2, 5.1.6.2. hdr_len is a hint that the device must not rely on (5.1.6.2.2), so the size
 * of the headers comes from the headers. The frame's own bytes are checked again, on a snapshot,
 * by whoever cuts or passes the frame; here it is only about offsets inside the frame. */
static bool take_tso(const struct virtio_net *net, struct frame *f,
		     const struct virtio_net_hdr_v1 *hdr)
{
	uint8_t offset;

	switch (hdr->gso_type & ~VIRTIO_NET_HDR_GSO_ECN) {
	case VIRTIO_NET_HDR_GSO_TCPV4:
		if ((net->features & 1ull << VIRTIO_NET_F_HOST_TSO4) == 0)
			return false;
		f->flags |= FRAME_TSO4 | FRAME_SEED_SIZE;
		break;
	case VIRTIO_NET_HDR_GSO_TCPV6:
		if ((net->features & 1ull << VIRTIO_NET_F_HOST_TSO6) == 0)
			return false;
		f->flags |= FRAME_TSO6 | FRAME_SEED_SIZE;
		break;
	default:
		return false;
	}
	if ((f->flags & FRAME_L4_CSUM) == 0 || f->csum_offset != TCP_CSUM_OFFSET ||
	    f->csum_start < FRAME_SIZE_MIN || (uint32_t)f->csum_start + TCP_MIN_SIZE > f->size)
		return false;
	f->mss = le16toh(hdr->gso_size);
	f->l3_start = l3_offset(f);
	frame_read(f, f->csum_start + TCP_OFFSET_BYTE, &offset, 1);
	f->hdr_size = (uint16_t)(f->csum_start + (offset >> 4) * 4);
	return f->mss > 0 && f->l3_start < f->csum_start;
}

/* The offloads that the header asks for. Flags other than NEEDS_CSUM say nothing here: whether a
 * checksum is right is not known from a guest's word. */
static bool take_offloads(const struct virtio_net *net, struct frame *f,
			  const struct virtio_net_hdr_v1 *hdr)
{
	if ((hdr->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) != 0) {
		if ((net->features & 1ull << VIRTIO_NET_F_CSUM) == 0)
			return false;
		f->flags |= FRAME_L4_CSUM;
		f->csum_start = le16toh(hdr->csum_start);
		f->csum_offset = le16toh(hdr->csum_offset);
	}
	return hdr->gso_type == VIRTIO_NET_HDR_GSO_NONE || take_tso(net, f, hdr);
}

/* Appends the frame in burst->frame[burst->n] unless its header asks for what cannot be. */
static void add_frame(struct virtio_net *net, struct burst *burst,
		      const struct virtio_net_hdr_v1 *hdr)
{
	struct frame *f = &burst->frame[burst->n];

	f->flags = 0;
	if (unlikely((hdr->flags | hdr->gso_type) != 0) && !take_offloads(net, f, hdr)) {
		endpoint_stats_self(&net->endpoint)->drop[DROP_BAD_OFFLOAD]++;
		return;
	}
	burst->n_segs += f->n_segs - 1u;
	burst->n++;
}

/* Takes the header off the front of a chain's buffers; returns how many of them it used up. */
static unsigned int split_header(struct seg_out *va, void *hdr, uint32_t hdr_size)
{
	uint8_t *to = hdr;
	unsigned int i = 0;

	while (hdr_size > 0) {
		uint32_t n = va[i].size < hdr_size ? va[i].size : hdr_size;

		memcpy(to, va[i].va, n);
		to += n;
		hdr_size -= n;
		va[i].va += n;
		va[i].size -= n;
		if (va[i].size == 0)
			i++;
	}
	return i;
}

/* Any chain. 0; -EINVAL if it is bad; -ENOSPC if this burst has no segments left for it. */
static int take_chain(struct virtio_net *net, struct virtio_ring *ring, uint16_t head,
		      struct burst *burst)
{
	struct frame *f = &burst->frame[burst->n];
	struct virtio_net_hdr_v1 hdr = { 0 };
	struct seg *more = &burst->seg[burst->n_segs];
	struct seg_out va[CHAIN_DESCS];
	uint64_t iova[CHAIN_DESCS], size = 0;
	unsigned int first, n_segs;
	int n = chain_walk(net, ring, head, MEM_READ, va, iova, CHAIN_DESCS);

	if (n < 0)
		return -EINVAL;
	for (int i = 0; i < n; i++)
		size += va[i].size;
	if (size <= net->hdr_size || size - net->hdr_size > (uint32_t)FRAME_SIZE_MAX)
		return -EINVAL;
	first = split_header(va, &hdr, net->hdr_size);
	n_segs = (unsigned int)n - first;
	if (n_segs > FRAME_SEGS)
		return -EINVAL;
	if (n_segs - 1 > BURST_SEGS - burst->n_segs)
		return -ENOSPC;
	f->va = va[first].va;
	f->seg_size = va[first].size;
	f->size = (uint32_t)size - net->hdr_size;
	f->more = more;
	f->n_segs = (uint16_t)n_segs;
	for (unsigned int i = 1; i < n_segs; i++)
		more[i - 1] = (struct seg){ va[first + i].va, va[first + i].size };
	add_frame(net, burst, &hdr);
	return 0;
}

/* Header and frame in one buffer, where the header asks for something. */
static void take_buffer(struct virtio_net *net, struct burst *burst, const uint8_t *va)
{
	struct virtio_net_hdr_v1 hdr;

	memcpy(&hdr, va, offsetof(struct virtio_net_hdr_v1, num_buffers));
	add_frame(net, burst, &hdr);
}

static void tx_done(struct txq *txq)
{
	struct virtio_net *net = container_of(txq, struct virtio_net, txq);

	ring_publish(net, &net->tx, endpoint_stats_self(&net->endpoint));
}

/* Gives back what the guest sent into a cable that is not plugged in. */
static void tx_discard(struct virtio_net *net, struct virtio_ring *ring, uint32_t n)
{
	struct endpoint_stats *stats = endpoint_stats_self(&net->endpoint);

	for (uint32_t i = 0; i < n; i++) {
		uint16_t head = ring_head(ring, ring->avail_idx);

		if (head >= ring->size) {
			ring_break(ring, &stats->bad_tx_desc);
			break;
		}
		ring_set_used(ring, ring->used_idx++, head, 0);
		ring->avail_idx++;
		stats->drop[DROP_DOWN]++;
	}
	tx_done(&net->txq);
}

static unsigned int tx_pull(struct txq *txq, struct burst *burst)
{
	struct virtio_net *net = container_of(txq, struct virtio_net, txq);
	struct virtio_ring *ring = &net->tx;
	struct endpoint_stats *stats = endpoint_stats_self(&net->endpoint);
	uint16_t head[BURST_MAX];
	uint8_t *va[BURST_MAX];
	uint32_t size[BURST_MAX];
	struct used_slots slots;
	struct mem_cursor cursor;
	unsigned int n_frames;
	uint16_t used_idx;
	uint32_t hdr_size, n, i;

	if (!ring_runs(ring))
		return 0;
	/* Only now: they belong to the run that was just seen. */
	hdr_size = net->hdr_size;
	slots = used_slots(ring);
	n = ring_avail(ring, &stats->bad_tx_desc);
	if (n == 0)
		return 0;
	if (n > BURST_MAX)
		n = BURST_MAX;
	if (unlikely(atomic_load_explicit(&ring->enabled, memory_order_relaxed) == 0 ||
		     atomic_load_explicit(&net->link_up, memory_order_relaxed) == 0)) {
		tx_discard(net, ring, n);
		return 0;
	}

	/* Three passes, so that the cache misses of 32 packets overlap: descriptors and buffers were
	 * last written by the guest's core. */
	for (i = 0; i < n; i++) {
		head[i] = ring_head(ring, (uint16_t)(ring->avail_idx + i));
		if (unlikely(head[i] >= ring->size)) {
			ring_break(ring, &stats->bad_tx_desc);
			n = i;
			break;
		}
		__builtin_prefetch(&ring->desc[head[i]]);
	}
	used_idx = ring->used_idx;
	cursor = mem_cursor(net->mem, &ring->hint, MEM_READ);
	for (i = 0; i < n; i++) {
		struct desc d = desc_load(&ring->desc[head[i]]);

		va[i] = NULL;
		size[i] = d.size;
		if (likely(d.flags == 0 && d.size > hdr_size &&
			   d.size - hdr_size <= FRAME_SIZE_MAX))
			va[i] = mem_cursor_at(&cursor, d.iova, d.size);
		if (likely(va[i] != NULL)) {
			__builtin_prefetch(va[i]);
			__builtin_prefetch(va[i] + CACHE_LINE);
		}
		used_set(slots, (uint16_t)(used_idx + i), head[i], 0);
	}
	n_frames = burst->n;
	for (i = 0; i < n; i++) {
		struct frame *f = &burst->frame[n_frames];
		uint16_t work = 1;
		int ret = 0;

		if (likely(va[i] != NULL)) {
			f->va = va[i] + hdr_size;
			f->seg_size = size[i] - hdr_size;
			f->size = size[i] - hdr_size;
			f->n_segs = 1;
			f->flags = 0;
			memcpy(&work, va[i], sizeof(work)); /* flags and gso_type */
		}
		if (likely(work == 0)) {
			n_frames++;
			continue;
		}
		burst->n = n_frames;
		if (va[i] != NULL)
			take_buffer(net, burst, va[i]);
		else
			ret = take_chain(net, ring, head[i], burst);
		n_frames = burst->n;
		if (unlikely(ret == -ENOSPC))
			break;
		if (unlikely(ret < 0))
			stats->bad_tx_desc++;
	}
	burst->n = n_frames;
	ring->avail_idx += (uint16_t)i;
	ring->used_idx += (uint16_t)i;
	if (unlikely(burst->n == 0))
		tx_done(txq);
	return burst->n;
}

const struct txq_ops virtio_net_txq_ops = { .pull = tx_pull, .done = tx_done };
