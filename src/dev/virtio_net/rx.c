/* SPDX-License-Identifier: BSD-3-Clause */
/* What the guest receives: frames are copied from where they lie straight into its buffers. */
#include <errno.h>

#include "dev/virtio_net/packed.h"
#include "frame/gso.h"

/* Buffers, and thus chains, that one frame may fill: 64 KiB in pieces of 256 bytes. */
#define RX_BUFFERS_MAX 256

/* Bad chains that are given back for one frame; the next one goes on. */
#define RX_BAD_MAX 8

#define IP_SIZE_MAX    65535 /* what an IP header can say: RFC 791 3.1, RFC 8200 3 */
#define TCP_FLAGS_BYTE 13
#define TCP_CWR        0x80

/* Receive buffers that were looked at ahead, so that their cache misses overlap. slot[at] is the
 * ring's next available entry. Only chains of one plain descriptor have a va. */
struct rx_ahead {
	unsigned int at, n;
	struct rx_slot {
		uint8_t *va;
		uint64_t iova;
		uint32_t size;
		uint16_t id; /* split: head */
	} slot[BURST_MAX];
};

/* Linux refuses a frame with more datagrams in it: UDP_MAX_SEGMENTS, 64 up to 6.10, then 128
 * (virtio_net_hdr_to_skb). */
#define UDP_PIECES_MAX 64

/* What is hashed: addresses, and the ports of TCP and UDP. */
#define RSS_TYPES_PLAIN                                                                          \
	(RSS_BIT(RSS_IPV4) | RSS_BIT(RSS_TCP_IPV4) | RSS_BIT(RSS_UDP_IPV4) | RSS_BIT(RSS_IPV6) | \
	 RSS_BIT(RSS_TCP_IPV6) | RSS_BIT(RSS_UDP_IPV6))

/* One push. */
struct rx_pass {
	struct virtio_net *net;
	struct virtio_ring *ring;
	struct endpoint_stats *stats;
	uint32_t max_frame;
	uint16_t untagged_vid;
	unsigned int n_taken; /* chains taken by the slow path for the present frame */
};

/* Chains gathered for one frame. */
struct rx_buffers {
	unsigned int n_chains;
	unsigned int n;
	uint64_t size;
	struct ring_look look; /* behind the chains so far */
	struct virtio_served chain[RX_BUFFERS_MAX];
	uint64_t chain_size[RX_BUFFERS_MAX];
	struct seg_out va[RX_BUFFERS_MAX];
	uint64_t iova[RX_BUFFERS_MAX];
};

static void look_ahead(struct rx_pass *p, struct rx_ahead *ahead, unsigned int want)
{
	struct virtio_ring *ring = p->ring;
	struct mem_cursor cursor = mem_cursor(p->net->mem, &ring->hint, MEM_WRITE);
	uint32_t n = ring_avail(ring, &p->stats->bad_rx_desc);
	unsigned int i;

	if (n > want)
		n = want;
	ahead->at = 0;
	for (i = 0; i < n; i++) {
		uint16_t head = ring_head(ring, (uint16_t)(ring->avail_idx + i));

		if (unlikely(head >= ring->size))
			break; /* the slow path will come to it and break the ring */
		ahead->slot[i].id = head;
		__builtin_prefetch(&ring->desc[head]);
	}
	ahead->n = i;
	n = i;
	for (i = 0; i < n; i++) {
		struct rx_slot *slot = &ahead->slot[i];
		struct desc d = desc_load(&ring->desc[slot->id]);
		uint8_t *va = NULL;

		if (likely(d.flags == VRING_DESC_F_WRITE))
			va = mem_cursor_at(&cursor, d.iova, d.size);
		slot->va = va;
		slot->iova = d.iova;
		slot->size = d.size;
		if (likely(va != NULL)) {
			__builtin_prefetch(va, 1);
			__builtin_prefetch(va + CACHE_LINE, 1);
		}
	}
}

static void look_ahead_packed(struct rx_pass *p, struct rx_ahead *ahead, unsigned int want)
{
	struct virtio_ring *ring = p->ring;
	const struct vring_packed_desc *in = ring->slot;
	struct mem_cursor cursor = mem_cursor(p->net->mem, &ring->hint, MEM_WRITE);
	struct packed_at at = packed_at(ring->avail_idx);
	const uint32_t size = ring->size;
	unsigned int i;

	if (ring->n_served > 0)
		packed_flush(p->net, ring);
	if (want > BURST_MAX)
		want = BURST_MAX;
	for (i = 0; i < want; i++) {
		struct rx_slot *slot = &ahead->slot[i];
		uint64_t word = packed_word(in, at.idx);
		uint8_t *va;

		if (unlikely(!packed_is_plain(word_flags(word), at, VRING_DESC_F_WRITE)))
			break; /* where the next one begins is for the slow path to find */
		slot->id = word_id(word);
		slot->size = word_size(word);
		slot->iova = packed_iova(in, at.idx);
		va = mem_cursor_at(&cursor, slot->iova, slot->size);
		slot->va = va;
		if (likely(va != NULL)) {
			__builtin_prefetch(va, 1);
			__builtin_prefetch(va + CACHE_LINE, 1);
		}
		packed_step(&at, size);
	}
	ahead->at = 0;
	ahead->n = i;
}

/* Takes the chains gathered so far. `used` bytes were written to them, front to back. */
static void take_chains(struct rx_pass *p, struct rx_buffers *b, uint64_t used)
{
	for (unsigned int i = 0; i < b->n_chains; i++) {
		uint64_t n = used < b->chain_size[i] ? used : b->chain_size[i];

		b->chain[i].size = (uint32_t)n;
		used -= n;
	}
	p->ring->ops->give(p->net, p->ring, b->chain, b->n_chains);
	p->n_taken += b->n_chains;
}

static void log_buffers(const struct virtio_net *net, const struct rx_buffers *b, uint64_t used)
{
	for (unsigned int i = 0; i < b->n && used > 0; i++) {
		uint64_t n = used < b->va[i].size ? used : b->va[i].size;

		dirty_log_mark(&net->log, b->iova[i], n);
		used -= n;
	}
}

/* Adds the next chain. DROP_NONE, or why there is none. */
static enum drop_reason gather_chain(struct rx_pass *p, struct rx_buffers *b)
{
	const struct ring_buffers to = { b->va + b->n, b->iova + b->n, RX_BUFFERS_MAX - b->n };
	uint64_t size = 0;
	int n = p->ring->ops->next(p->net, p->ring, &b->look, MEM_WRITE, &to,
				   &b->chain[b->n_chains], &p->stats->bad_rx_desc);

	if (n == -EAGAIN)
		return DROP_NO_BUFFER;
	if (n == -EPIPE)
		return DROP_DOWN;
	if (n == -ENOSPC && b->n > 0)
		return DROP_TOO_LONG;
	for (int i = 0; i < n; i++)
		size += b->va[b->n + (unsigned int)i].size;
	b->chain_size[b->n_chains] = size;
	b->n_chains++;
	/* 5.1.6.3.1: the first buffer holds at least the header. */
	if (n < 0 || (b->n_chains == 1 && size < p->net->hdr_size)) {
		p->stats->bad_rx_desc++;
		take_chains(p, b, 0);
		return DROP_BAD_BUFFER;
	}
	b->n += (unsigned int)n;
	b->size += size;
	return DROP_NONE;
}

/* Gathers chains for `need` bytes, without taking them. Bad chains go back at once; where one is
 * met after good ones, those go with it, since chains are used in order. */
static enum drop_reason gather(struct rx_pass *p, struct rx_buffers *b, uint64_t need)
{
	enum drop_reason none = DROP_NO_BUFFER;
	unsigned int n_bad = 0;

	b->look = p->ring->ops->look(p->ring, &p->stats->bad_rx_desc);
	b->n_chains = 0;
	b->n = 0;
	b->size = 0;
	while (b->size < need) {
		enum drop_reason drop;

		if (b->n_chains >= p->net->merge_max)
			return DROP_TOO_LONG;
		drop = gather_chain(p, b);
		if (drop == DROP_NO_BUFFER)
			return none;
		if (drop == DROP_BAD_BUFFER && b->n_chains == 1 && ++n_bad < RX_BAD_MAX) {
			b->n_chains = 0;
			none = DROP_BAD_BUFFER;
		} else if (drop != DROP_NONE) {
			return drop;
		}
	}
	return DROP_NONE;
}

/* Copies f, behind the header, into as many chains as it takes. hdr->num_buffers is filled in. */
static enum drop_reason deliver(struct rx_pass *p, const struct frame *f,
				struct virtio_net_hdr_v1 *hdr, unsigned int copy_flags)
{
	uint64_t need = (uint64_t)p->net->hdr_size + frame_copy_size(f, copy_flags);
	const uint8_t *from = (const uint8_t *)hdr;
	uint32_t left = p->net->hdr_size;
	struct seg_out out[RX_BUFFERS_MAX];
	struct rx_buffers b;
	unsigned int i = 0;
	enum drop_reason drop = gather(p, &b, need);

	if (drop != DROP_NONE)
		return drop;
	hdr->num_buffers = htole16((uint16_t)b.n_chains);
	memcpy(out, b.va, b.n * sizeof(out[0]));
	while (left > 0) {
		/* NOLINTNEXTLINE(clang-analyzer-core.UndefinedBinaryOperatorResult): gather filled it */
		uint32_t n = out[i].size < left ? out[i].size : left;

		memcpy(out[i].va, from, n);
		from += n;
		left -= n;
		out[i].va += n;
		out[i].size -= n;
		if (out[i].size == 0)
			i++;
	}
	frame_copy(f, out + i, b.n - i, copy_flags);
	take_chains(p, &b, need);
	if (unlikely(p->net->log.bits != NULL))
		log_buffers(p->net, &b, need);
	return DROP_NONE;
}

/* Whether the checksum that the sender asked for is the first L4 header's: of an inner one the guest would
 * take our word for the outer. */
static bool is_first_l4(const struct frame *f)
{
	uint8_t version_ihl;

	if (f->ethertype != ETH_TYPE_IPV4)
		return f->ethertype == ETH_TYPE_IPV6 && f->csum_start == FRAME_SIZE_MIN + 40;
	frame_read(f, f->body + 2u, &version_ihl, 1);
	return f->csum_start == FRAME_SIZE_MIN + (version_ihl & 0xf) * 4;
}

/* A frame that is no large send. Its checksum is left to the guest if the guest agreed (5.1.6.4);
 * an IPv4 header's or SCTP's never is, for the header has no words for them. */
static enum drop_reason deliver_plain(struct rx_pass *p, const struct frame *f, uint8_t gso_type,
				      uint16_t mss)
{
	bool tag = f->vid != p->untagged_vid;
	uint16_t shift = tag ? 4 : 0;
	struct virtio_net_hdr_v1 hdr = { .gso_type = gso_type };
	struct frame left = *f;

	if ((f->flags & (FRAME_L4_CSUM | FRAME_SCTP_CRC)) == FRAME_L4_CSUM &&
	    (p->net->features & 1ull << VIRTIO_NET_F_GUEST_CSUM) != 0) {
		hdr.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
		hdr.csum_start = htole16(f->csum_start + shift);
		hdr.csum_offset = htole16(f->csum_offset);
		left.flags &= (uint16_t)~FRAME_L4_CSUM;
	} else if ((f->flags & FRAME_L4_VALID) != 0 ||
		   ((f->flags & FRAME_SCTP_CRC) != 0 && is_first_l4(f))) {
		hdr.flags = p->net->l4_valid_flag;
	}
	if (gso_type != VIRTIO_NET_HDR_GSO_NONE) {
		hdr.gso_size = htole16(mss);
		hdr.hdr_len = htole16(f->hdr_size + shift);
	}
	return deliver(p, &left, &hdr, COPY_CSUM | (tag ? COPY_TAG : 0));
}

/* The virtio_net_hdr.gso_type for a whole large send, or GSO_NONE if this guest did not agree to
 * that, so that it must be cut. */
static uint8_t whole_type(const struct virtio_net *net, const struct gso *gso)
{
	const struct frame *f = gso->f;
	bool v4 = (f->flags & FRAME_TSO4) != 0, uso = (f->flags & FRAME_USO) != 0;
	uint64_t need = 1ull << VIRTIO_NET_F_GUEST_CSUM;
	uint8_t type;

	if (uso) {
		need |= 1ull << (v4 ? VIRTIO_NET_F_GUEST_USO4 : VIRTIO_NET_F_GUEST_USO6);
		type = VIRTIO_NET_HDR_GSO_UDP_L4;
	} else {
		need |= 1ull << (v4 ? VIRTIO_NET_F_GUEST_TSO4 : VIRTIO_NET_F_GUEST_TSO6);
		type = v4 ? VIRTIO_NET_HDR_GSO_TCPV4 : VIRTIO_NET_HDR_GSO_TCPV6;
	}
	/* 5.1.6.4.1: a segment with CWR only with the ECN bit, and that only to who knows it. */
	if (!uso && (gso->hdr[f->csum_start + TCP_FLAGS_BYTE] & TCP_CWR) != 0) {
		need |= 1ull << VIRTIO_NET_F_GUEST_ECN;
		type |= VIRTIO_NET_HDR_GSO_ECN;
	}
	if ((net->features & need) != need || (f->flags & FRAME_TUNNEL) != 0)
		return VIRTIO_NET_HDR_GSO_NONE;
	return type;
}

/* A large send. Whole, it is one piece (or few, where it is larger than an IP header can say) whose
 * headers gso_next has made right: a VF's driver leaves the lengths to the hardware (82599
 * datasheet, 7.2.4), and a guest expects them. */
static enum drop_reason deliver_tso(struct rx_pass *p, const struct frame *f)
{
	struct frame whole = *f, piece;
	struct gso_piece memory;
	uint8_t type, piece_type;
	struct gso gso;

	if (!gso_start(&gso, &whole))
		return whole.drop;
	type = whole_type(p->net, &gso);
	if (type != VIRTIO_NET_HDR_GSO_NONE) {
		uint32_t max = IP_SIZE_MAX - (f->hdr_size - f->l3_start);

		gso.n_ids = max / f->mss;
		if ((f->flags & FRAME_USO) != 0 && gso.n_ids > UDP_PIECES_MAX)
			gso.n_ids = UDP_PIECES_MAX;
		if (gso.n_ids == 0)
			gso.n_ids = 1; /* gso_start has seen that it fits */
		whole.mss = (uint16_t)(gso.n_ids * f->mss);
	}
	while (gso_next(&gso, &piece, &memory)) {
		enum drop_reason drop;

		piece_type = piece.size - f->hdr_size > f->mss ? type : VIRTIO_NET_HDR_GSO_NONE;
		drop = deliver_plain(p, &piece, piece_type, f->mss);
		if (drop != DROP_NONE)
			return drop;
	}
	return DROP_NONE;
}

/* Anything that the fast path leaves. */
static void push_slow(struct rx_pass *p, const struct frame *f)
{
	bool tso = (f->flags & FRAME_TSO) != 0;
	uint32_t wire_size = tso ? (uint32_t)f->hdr_size + f->mss : f->size;
	enum drop_reason drop;

	p->n_taken = 0;
	if (!ring_runs(p->ring))
		drop = DROP_DOWN;
	else if (wire_size > p->max_frame && f->size > p->max_frame)
		drop = DROP_TOO_LONG;
	else
		drop = tso ? deliver_tso(p, f) : deliver_plain(p, f, VIRTIO_NET_HDR_GSO_NONE, 0);
	if (drop != DROP_NONE) {
		endpoint_drop(p->stats, &f, 1, drop);
		return;
	}
	p->stats->rx_frames++;
	p->stats->rx_bytes += f->size;
}

/* The header of a frame without work, in two stores. */
static inline void put_plain_header(uint8_t *va, uint32_t hdr_size, uint8_t flags)
{
	uint64_t lo = htole64(flags);
	uint32_t hi = htole32(1u << 16); /* csum_offset 0, num_buffers 1 */

	memcpy(va, &lo, sizeof(lo));
	/* Two sizes that are known: of one that is not, gcc makes 31 instructions. */
	if (likely(hdr_size == 12))
		memcpy(va + sizeof(lo), &hi, 4);
	else
		memcpy(va + sizeof(lo), &hi, 2);
}

/* The fast path: one frame, one buffer, as long as both are simple. What guests share is written
 * through `va` and `used` only, so all else can stay in the CPU's registers. Frames of `n_segs` segments; returns
 * those done.
 * `packed` is known where this is called, so each kind of ring has its own code. */
static inline __attribute__((always_inline)) unsigned int
push_simple(struct rx_pass *p, struct rx_ahead *ahead, const struct frame *const frame[],
	    unsigned int n, const bool packed, const uint16_t n_segs)
{
	struct virtio_ring *ring = p->ring;
	const uint32_t hdr_size = p->net->hdr_size, max_frame = p->max_frame;
	const uint8_t l4_valid_flag = p->net->l4_valid_flag;
	const struct rx_slot *slot = &ahead->slot[ahead->at];
	const struct frame_form usual = frame_form(n_segs, p->untagged_vid, FRAME_WORK);
	const bool logged = p->net->log.bits != NULL;
	const struct used_slots slots = used_slots(ring); /* split */
	struct virtio_served *served = packed ? &ring->served[ring->n_served] : NULL;
	uint16_t used_idx = ring->used_idx;
	uint64_t size = 0;
	unsigned int i;

	if (n > ahead->n - ahead->at)
		n = ahead->n - ahead->at;
	for (i = 0; i < n; i++, slot++) {
		/* NOLINTNEXTLINE(clang-analyzer-core.uninitialized.Assign): spread filled n of them */
		const struct frame *f = frame[i];
		uint32_t f_size = f->size;
		uint8_t flags = (f->flags & FRAME_L4_VALID) != 0 ? l4_valid_flag : 0;

		if (unlikely(slot->va == NULL || !frame_has_form(f, usual) || f_size > max_frame ||
			     f_size + hdr_size > slot->size))
			break;
		if (n_segs == 1)
			frame_copy_plain(f, slot->va + hdr_size);
		else
			frame_copy_two(f, slot->va + hdr_size);
		put_plain_header(slot->va, hdr_size, flags);
		if (packed)
			served[i] = (struct virtio_served){ f_size + hdr_size, slot->id, 1 };
		else
			used_set(slots, used_idx++, slot->id, f_size + hdr_size);
		size += f_size;
		if (unlikely(logged))
			dirty_log_mark(&p->net->log, slot->iova, f_size + hdr_size);
	}
	ahead->at += i;
	if (packed) {
		ring->n_served += i;
		ring->avail_idx = packed_move(ring->avail_idx, i, ring->size);
	} else {
		ring->used_idx = used_idx;
		ring->avail_idx += (uint16_t)i;
	}
	p->stats->rx_frames += i;
	p->stats->rx_bytes += size;
	return i;
}

/* The same of pinned ones, apart from it. */
static __attribute__((noinline)) unsigned int push_pinned(struct rx_pass *p, struct rx_ahead *ahead,
							  const struct frame *const frame[],
							  unsigned int n, bool packed)
{
	return packed ? push_simple(p, ahead, frame, n, true, 2)
		      : push_simple(p, ahead, frame, n, false, 2);
}

static inline __attribute__((always_inline)) void
push_frames(struct rx_pass *p, const struct frame *const frame[], unsigned int n, const bool packed)
{
	struct rx_ahead ahead;

	ahead.at = ahead.n = 0;
	for (unsigned int i = 0; i < n;) {
		if (ahead.at == ahead.n && packed)
			look_ahead_packed(p, &ahead, n - i);
		else if (ahead.at == ahead.n)
			look_ahead(p, &ahead, n - i);
		/* NOLINTNEXTLINE(clang-analyzer-core.NullDereference): spread filled n of them */
		if (likely(frame[i]->n_segs != 2))
			i += push_simple(p, &ahead, frame + i, n - i, packed, 1);
		else
			i += push_pinned(p, &ahead, frame + i, n - i, packed);
		/* Out of slots, or at something that is not simple; with no slot at all, the slow path
		 * says what is wrong. */
		if (i == n || (ahead.at == ahead.n && ahead.n > 0))
			continue;
		/* NOLINTNEXTLINE(clang-analyzer-core.CallAndMessage): the same */
		push_slow(p, frame[i++]);
		ahead.at += p->n_taken;
		if (ahead.at > ahead.n)
			ahead.at = ahead.n = 0;
	}
}

static void push_pair(struct virtio_net *net, struct virtio_pair *pair, struct ahead *ahead,
		      const struct frame *const frame[], unsigned int n, uint16_t untagged_vid,
		      struct endpoint_stats *stats)
{
	struct virtio_ring *ring = &pair->rx;
	struct rx_pass p = {
		.net = net, .ring = ring, .stats = stats, .untagged_vid = untagged_vid
	};

	p.max_frame = atomic_load_explicit(&net->max_frame, memory_order_relaxed);
	if (!ring_runs(ring) || atomic_load_explicit(&ring->enabled, memory_order_relaxed) == 0 ||
	    atomic_load_explicit(&net->link_up, memory_order_relaxed) == 0) {
		endpoint_drop(stats, frame, n, DROP_DOWN);
		return;
	}
	spin_lock(&pair->rx_lock);
	if (ring->packed) {
		push_frames(&p, frame, n, true);
		packed_publish(net, ring, stats);
		packed_ahead(ring, ahead);
	} else {
		push_frames(&p, frame, n, false);
		ring_publish(net, ring, stats);
		ring_ahead(ring, ahead);
	}
	spin_unlock(&pair->rx_lock);
}

/* By pair; what has no hash goes to the first. The frames of a pair keep their order, and so do those of
 * a flow, since its hash is always the same. */
static void spread(struct virtio_net *net, unsigned int n_rx, const struct frame *const frame[],
		   unsigned int n, uint16_t untagged_vid, struct endpoint_stats *stats)
{
	const struct frame *sorted[VIRTIO_NET_PAIRS_MAX][BURST_MAX];
	unsigned int n_sorted[VIRTIO_NET_PAIRS_MAX] = { 0 };
	struct rss_result rss[BURST_MAX];

	rss_burst(&net->key, RSS_TYPES_PLAIN, frame, n, rss);
	for (unsigned int i = 0; i < n; i++) {
		unsigned int q = (unsigned int)((uint64_t)rss[i].hash * n_rx >> 32);

		if (n_sorted[q] == 0)
			ahead_prefetch(&net->pair[q].ahead);
		sorted[q][n_sorted[q]++] = frame[i];
	}
	for (unsigned int q = 0; q < n_rx; q++) {
		if (n_sorted[q] == 0)
			continue;
		endpoint_queue(stats, sorted[q], n_sorted[q], q);
		push_pair(net, &net->pair[q], &net->pair[q].ahead, sorted[q], n_sorted[q],
			  untagged_vid, stats);
	}
}

static void rx_push(struct endpoint *ep, const struct frame *const frame[], unsigned int n,
		    uint16_t untagged_vid, struct endpoint_stats *stats)
{
	struct virtio_net *net = container_of(ep, struct virtio_net, endpoint);
	unsigned int n_rx = atomic_load_explicit(&net->n_rx, memory_order_relaxed);

	if (likely(n_rx <= 1)) {
		push_pair(net, &net->pair[0], &ep->ahead, frame, n, untagged_vid, stats);
		return;
	}
	for (unsigned int i = 0; i < n; i += BURST_MAX)
		spread(net, n_rx, frame + i, n - i < BURST_MAX ? n - i : BURST_MAX, untagged_vid,
		       stats);
}

const struct endpoint_ops virtio_net_endpoint_ops = { .push = rx_push };
