/* SPDX-License-Identifier: BSD-3-Clause */
/* What the guest sends: its transmit ring becomes a burst of frames that lie in its own buffers. */
#include <errno.h>

#include "dev/virtio_net/packed.h"

#define TCP_MIN_SIZE    20
#define TCP_OFFSET_BYTE 12
#define TCP_CSUM_OFFSET 16
#define UDP_SIZE        8
#define UDP_CSUM_OFFSET 6

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

/* Whether the checksum that the header asks for is that of an L4 header with these sizes, in the frame. */
static bool has_l4(const struct frame *f, uint16_t csum_offset, uint32_t size)
{
	return (f->flags & FRAME_L4_CSUM) != 0 && f->csum_offset == csum_offset &&
	       f->csum_start >= FRAME_SIZE_MIN && f->csum_start + size <= f->size;
}

/* virtio 1.3, 5.1.6.2: UDP in datagrams of gso_size bytes each. The type does not say which IP it is. */
static bool take_uso(const struct virtio_net *net, struct frame *f,
		     const struct virtio_net_hdr_v1 *hdr)
{
	uint8_t version;

	if ((net->features & 1ull << VIRTIO_NET_F_HOST_USO) == 0 ||
	    !has_l4(f, UDP_CSUM_OFFSET, UDP_SIZE))
		return false;
	f->mss = le16toh(hdr->gso_size);
	f->l3_start = l3_offset(f);
	f->hdr_size = (uint16_t)(f->csum_start + UDP_SIZE);
	if (f->mss == 0 || f->l3_start >= f->csum_start)
		return false;
	frame_read(f, f->l3_start, &version, 1);
	f->flags |= (version >> 4 == 4 ? FRAME_TSO4 : FRAME_TSO6) | FRAME_USO | FRAME_SEED_SIZE;
	return true;
}

/* virtio 1.2, 5.1.6.2. hdr_len is a hint that the device must not rely on (5.1.6.2.2), so the size
 * of the headers comes from the headers. The frame's own bytes are checked again, on a snapshot,
 * by whoever cuts or passes the frame; here it is only about offsets inside the frame. */
static bool take_tso(const struct virtio_net *net, struct frame *f,
		     const struct virtio_net_hdr_v1 *hdr)
{
	uint8_t offset;

	if (hdr->gso_type == VIRTIO_NET_HDR_GSO_UDP_L4)
		return take_uso(net, f, hdr);
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
	if (!has_l4(f, TCP_CSUM_OFFSET, TCP_MIN_SIZE))
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

/* Any chain, n buffers (or an error that ended the walk). 0; -EINVAL if it is bad; -ENOSPC if this
 * burst has no segments left for it. */
static int take_buffers(struct virtio_net *net, struct burst *burst, struct seg_out *va, int n)
{
	struct frame *f = &burst->frame[burst->n];
	struct virtio_net_hdr_v1 hdr = { 0 };
	struct seg *more = &burst->seg[burst->n_segs];
	unsigned int first, n_segs;
	uint64_t size = 0;

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

static int take_chain(struct virtio_net *net, struct virtio_ring *ring, uint16_t head,
		      struct burst *burst)
{
	struct seg_out va[CHAIN_DESCS];
	uint64_t iova[CHAIN_DESCS];
	int n = chain_walk(net, ring, head, MEM_READ, va, iova, CHAIN_DESCS);

	return take_buffers(net, burst, va, n);
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
	struct virtio_net *net = container_of(txq->endpoint, struct virtio_net, endpoint);
	struct virtio_ring *ring = &container_of(txq, struct virtio_pair, txq)->tx;

	if (ring->packed)
		packed_publish(net, ring, endpoint_stats_self(&net->endpoint));
	else
		ring_publish(net, ring, endpoint_stats_self(&net->endpoint));
}

/* Gives back what the guest sent into a cable that is not plugged in. */
static void tx_discard(struct virtio_net *net, struct virtio_pair *pair, uint32_t n)
{
	struct virtio_ring *ring = &pair->tx;
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
	tx_done(&pair->txq);
}

/* --- packed --- */

static void discard_packed(struct virtio_net *net, struct virtio_pair *pair)
{
	struct virtio_ring *ring = &pair->tx;
	struct endpoint_stats *stats = endpoint_stats_self(&net->endpoint);
	struct ring_look look = ring->ops->look(ring, &stats->bad_tx_desc);
	struct seg_out va[CHAIN_DESCS];
	uint64_t iova[CHAIN_DESCS];
	const struct ring_buffers to = { va, iova, CHAIN_DESCS };
	struct virtio_served chain;

	while (ring->n_served < BURST_MAX) {
		int n = packed_next(net, ring, &look, MEM_READ, &to, &chain, &stats->bad_tx_desc);

		if (n == -EAGAIN || n == -EPIPE)
			break;
		packed_serve(ring, chain);
		stats->drop[DROP_DOWN]++;
	}
	ring->avail_idx = look.at;
	tx_done(&pair->txq);
}

/* Slots in a row that are a frame each, with its header in the same buffer. */
struct plain_run {
	unsigned int n;
	uint8_t *va[BURST_MAX];
	uint32_t size[BURST_MAX];
};

/* Takes them; as in pull_split, their cache misses overlap. */
static void take_run(const struct virtio_net *net, struct virtio_ring *ring,
		     const struct burst *burst, struct plain_run *run)
{
	const struct vring_packed_desc *slot = ring->slot;
	const uint32_t hdr_size = net->hdr_size, size = ring->size;
	struct virtio_served *served = &ring->served[ring->n_served];
	const unsigned int max = BURST_MAX - burst->held_back - ring->n_served;
	struct mem_cursor cursor = mem_cursor(net->mem, &ring->hint, MEM_READ);
	struct packed_at at = packed_at(ring->avail_idx);
	unsigned int i;

	for (i = 0; i < max; i++) {
		uint64_t word = packed_word(slot, at.idx);
		uint32_t n = word_size(word);
		uint8_t *va;

		if (unlikely(!packed_is_plain(word_flags(word), at, 0) || n <= hdr_size ||
			     n - hdr_size > FRAME_SIZE_MAX))
			break;
		va = mem_cursor_at(&cursor, packed_iova(slot, at.idx), n);
		if (unlikely(va == NULL))
			break;
		__builtin_prefetch(va);
		__builtin_prefetch(va + CACHE_LINE);
		run->va[i] = va;
		run->size[i] = n - hdr_size;
		served[i] = (struct virtio_served){ 0, word_id(word), 1 };
		packed_step(&at, size);
	}
	run->n = i;
	ring->n_served += i;
	ring->avail_idx = packed_pos(at);
}

static void run_to_frames(struct virtio_net *net, struct burst *burst, const struct plain_run *run)
{
	const uint32_t hdr_size = net->hdr_size;
	unsigned int n_frames = burst->n;

	for (unsigned int i = 0; i < run->n; i++) {
		struct frame *f = &burst->frame[n_frames];
		uint16_t work;

		f->va = run->va[i] + hdr_size;
		f->seg_size = run->size[i];
		f->size = run->size[i];
		f->n_segs = 1;
		f->flags = 0;
		memcpy(&work, run->va[i], sizeof(work)); /* flags and gso_type */
		if (likely(work == 0)) {
			n_frames++;
			continue;
		}
		burst->n = n_frames;
		take_buffer(net, burst, run->va[i]);
		n_frames = burst->n;
	}
	burst->n = n_frames;
}

/* Any chain. False at the end of the burst. */
static bool take_packed_chain(struct virtio_net *net, struct virtio_ring *ring, struct burst *burst,
			      struct endpoint_stats *stats)
{
	struct ring_look look = { ring->avail_idx, 0 };
	struct seg_out va[CHAIN_DESCS];
	uint64_t iova[CHAIN_DESCS];
	const struct ring_buffers to = { va, iova, CHAIN_DESCS };
	struct virtio_served chain;
	int ret = packed_next(net, ring, &look, MEM_READ, &to, &chain, &stats->bad_tx_desc);

	if (ret == -EAGAIN || ret == -EPIPE)
		return false;
	ret = take_buffers(net, burst, va, ret);
	if (ret == -ENOSPC)
		return false;
	if (ret < 0)
		stats->bad_tx_desc++;
	packed_serve(ring, chain);
	ring->avail_idx = look.at;
	return true;
}

static unsigned int pull_packed(struct virtio_net *net, struct virtio_pair *pair,
				struct burst *burst)
{
	struct virtio_ring *ring = &pair->tx;
	struct endpoint_stats *stats = endpoint_stats_self(&net->endpoint);
	struct plain_run run;

	if (unlikely(atomic_load_explicit(&ring->enabled, memory_order_relaxed) == 0 ||
		     atomic_load_explicit(&net->link_up, memory_order_relaxed) == 0)) {
		discard_packed(net, pair);
		return 0;
	}
	do {
		take_run(net, ring, burst, &run);
		run_to_frames(net, burst, &run);
	} while (ring->n_served + burst->held_back < BURST_MAX &&
		 take_packed_chain(net, ring, burst, stats));
	if (unlikely(burst->n == 0 && ring->n_served > 0))
		tx_done(&pair->txq);
	return burst->n;
}

/* --- split --- */

static unsigned int tx_pull(struct txq *txq, struct burst *burst)
{
	struct virtio_net *net = container_of(txq->endpoint, struct virtio_net, endpoint);
	struct virtio_pair *pair = container_of(txq, struct virtio_pair, txq);
	struct virtio_ring *ring = &pair->tx;
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
	if (ring->packed) {
		pull_packed(net, pair, burst);
		packed_ahead(ring, &txq->ahead);
		return burst->n;
	}
	/* Only now: they belong to the run that was just seen. */
	hdr_size = net->hdr_size;
	slots = used_slots(ring);
	n = ring_avail(ring, &stats->bad_tx_desc);
	if (n == 0)
		return 0;
	if (n > BURST_MAX - burst->held_back)
		n = BURST_MAX - burst->held_back;
	if (unlikely(atomic_load_explicit(&ring->enabled, memory_order_relaxed) == 0 ||
		     atomic_load_explicit(&net->link_up, memory_order_relaxed) == 0)) {
		tx_discard(net, pair, n);
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
	ring_ahead(ring, &txq->ahead);
	if (unlikely(burst->n == 0))
		tx_done(txq);
	return burst->n;
}

const struct txq_ops virtio_net_txq_ops = { .pull = tx_pull, .done = tx_done };
