/* SPDX-License-Identifier: BSD-3-Clause */
/* Receive, one queue: frames are filtered as the VF's driver asked and copied into its posted buffers.
 *
 * The guest owns descriptors [head, tail): it wrote buffer addresses there before it moved RDT. We
 * fill buffers in order and hand each descriptor back by a write-back with DD. Whatever else is written
 * back, DD's half goes last with release order, since drivers poll that word (length or DD) and then
 * read the rest without asking again.
 *
 * A push holds the queue's lock throughout; see ring.c for why that is also what makes disabling safe.
 *
 * This is a header for its speed only: push.c compiles it for frames that nobody has looked into, spread.c for
 * those of which hash and type are known. Each calls rx_open and rx_run at one place, so that all of it becomes
 * one function, and the common case pays nothing for the other. */
#ifndef SOFTIOV_DEV_INTELVF_RX_QUEUE_H
#define SOFTIOV_DEV_INTELVF_RX_QUEUE_H

#include "dev/intelvf/intelvf.h"
#include "dev/intelvf/relay.h"
#include "frame/copy.h"

struct rx_desc {
	uint64_t lo, hi;
};

/* What stays the same for a whole push. */
struct rx_burst {
	struct intelvf *dev;
	unsigned int q;
	const struct mem_table *table;
	struct ring_state *ring;
	struct rx_desc *desc;
	uint32_t *buf_hint;
	uint32_t buf_size;
	/* Buffers translated and prefetched at the start; the ring's head is at buf[buf_next]. */
	uint32_t n_buf, buf_next;
	uint8_t *buf[BURST_MAX];
	uint32_t avail; /* descriptors that the guest has posted and we have not used */
	uint32_t lpe;   /* longest frame, with FCS, without tag */
	uint32_t rlpml; /* longest frame, with FCS and tag */
	bool strip;     /* tags go beside the frame */
	bool legacy;    /* descriptor format */
	bool plain;     /* the other one, without header buffers, and nothing is verified */
	bool verifies;  /* checksums of all frames, not only what is known of some */
	bool split_always;
	uint32_t hdr_size;
	uint16_t untagged_vid;
};

static inline bool filter_bit(const uint64_t *map, unsigned int bit)
{
	return (__atomic_load_n(&map[bit / 64], __ATOMIC_RELAXED) >> (bit % 64)) & 1;
}

static inline bool is_listed(const struct intelvf_state *st, uint64_t mac)
{
	uint32_t n = __atomic_load_n(&st->n_macs, __ATOMIC_ACQUIRE);

	for (uint32_t i = 0; i < n; i++)
		if (__atomic_load_n(&st->macs[i], __ATOMIC_RELAXED) == mac)
			return true;
	return false;
}

/* DS 7.1.1.2: filter type 0 hashes bits 47:36 of the address. */
static inline unsigned int mta_hash(uint64_t mac)
{
	return (unsigned int)(mac >> 36) & 0xfff;
}

static inline bool wants_slow(const struct intelvf_state *st, uint64_t dest)
{
	uint32_t xcast = __atomic_load_n(&st->xcast, __ATOMIC_RELAXED);

	if (dest == MAC_BROADCAST)
		return true;
	if ((dest & MAC_GROUP) != 0)
		return xcast >= XCAST_ALLMULTI ||
		       (xcast == XCAST_MULTI && filter_bit(st->mta, mta_hash(dest)));
	return xcast >= XCAST_PROMISC || is_listed(st, dest);
}

/* DROP_NONE: the VF's own filters want the frame. */
static inline enum drop_reason filter(const struct rx_burst *b, const struct frame *f)
{
	const struct intelvf_state *st = b->dev->st;
	uint64_t dest = mac_load(f->mac);
	bool tagged = f->vid != b->untagged_vid;
	uint32_t size = f->size + FCS_SIZE;

	if (unlikely(dest != __atomic_load_n(&st->mac, __ATOMIC_RELAXED) && !wants_slow(st, dest) &&
		     (f->flags & FRAME_MIRRORED) == 0))
		return DROP_FILTERED;
	if (unlikely(tagged && !filter_bit(st->vlan_on, f->vid & 0xfff) &&
		     (f->flags & FRAME_MIRRORED) == 0))
		return DROP_FILTERED;
	if (unlikely(size > b->lpe || size + (tagged ? 4 : 0) > b->rlpml))
		return DROP_TOO_LONG;
	return DROP_NONE;
}

/* Whether the first L4 header's checksum in the frame as it was written is right. A sender may ask to
 * fill in a checksum of an inner header; the driver would take our word for the outer one. */
static inline bool l4_is_good(const struct frame *f, const struct seg_out *out, unsigned int n_out,
			      bool tag_inside)
{
	uint32_t l3 = FRAME_SIZE_MIN + (tag_inside ? 4 : 0);
	uint32_t start = f->csum_start + (tag_inside ? 4u : 0u);
	uint8_t version_ihl;

	if ((f->flags & FRAME_L4_VALID) != 0)
		return true;
	if ((f->flags & FRAME_L4_CSUM) == 0)
		return false;
	/* 1 KiB is the smallest buffer. A header's own may end before L3. */
	version_ihl = n_out == 1 || l3 < out[0].size ? out[0].va[l3] : out[1].va[l3 - out[0].size];
	if (f->ethertype == ETH_TYPE_IPV4)
		return start == l3 + (version_ihl & 0xfu) * 4;
	return f->ethertype == ETH_TYPE_IPV6 && start == l3 + 40;
}

static inline uint32_t verified_status(const struct rx_burst *b, const struct frame *f,
				       const struct rss_result *r, const struct seg_out *out,
				       bool tag_inside, bool l4_known)
{
	unsigned int found =
		frame_verify(f, r, out, tag_inside ? COPY_TAG : 0, l4_known ? VERIFY_L4 : 0);
	uint32_t status = 0;

	if ((found & VERIFY_IP4) != 0)
		status |= RXD_STAT_IPCS;
	if ((found & VERIFY_IP4_BAD) != 0)
		status |= b->dev->family->rxd_ipe;
	/* 82598EB datasheet, 3.5.2.4: UDPCS is set with L4CS for UDP. */
	if ((found & VERIFY_L4) != 0)
		status |= RXD_STAT_L4CS | ((r->packet & PACKET_UDP) != 0 ? RXD_STAT_UDPCS : 0);
	if ((found & VERIFY_L4_BAD) != 0)
		status |= b->dev->family->rxd_l4e;
	return status;
}

static inline __attribute__((always_inline)) uint32_t
status_of(const struct rx_burst *b, const struct frame *f, const struct rss_result *r,
	  const struct seg_out *out, unsigned int n_out, bool tag_beside, bool tag_inside)
{
	uint32_t status = RXD_STAT_DD | RXD_STAT_EOP;

	if (tag_beside)
		status |= RXD_STAT_VP;
	if (unlikely((f->flags & (FRAME_L4_VALID | FRAME_L4_CSUM | FRAME_IP4_CSUM)) != 0)) {
		if (l4_is_good(f, out, n_out, tag_inside))
			status |= RXD_STAT_L4CS;
		if ((f->flags & FRAME_IP4_CSUM) != 0)
			status |= RXD_STAT_IPCS;
	}
	if (r != NULL && unlikely(b->verifies))
		status |= verified_status(b, f, r, out, tag_inside, (status & RXD_STAT_L4CS) != 0);
	return status;
}

/* Hands one descriptor back. Two 8-byte stores and not one of 16: only the former are promised to
 * become visible whole and in order on every x86-64, and they cost the same. */
static inline void write_back_advanced(struct rx_desc *d, uint64_t packet_info,
				       uint32_t status_error, uint32_t size, uint16_t tci)
{
	__atomic_store_n(&d->lo, htole64(packet_info), __ATOMIC_RELAXED);
	/* After the frame's bytes: the driver reads them once it sees DD. */
	__atomic_store_n(&d->hi, htole64(status_error | (uint64_t)size << 32 | (uint64_t)tci << 48),
			 __ATOMIC_RELEASE);
}

/* The same in the format that the driver chose. */
static inline void write_back(const struct rx_burst *b, struct rx_desc *d, uint64_t packet_info,
			      uint32_t status_error, uint32_t size, uint16_t tci)
{
	/* DS 7.1.5: the address stays; length, no fragment checksum, status, errors, tag. */
	uint64_t error = status_error >> RXD_LEGACY_ERR_SHIFT;
	uint64_t hi = size | (uint64_t)(status_error & 0xff) << 32 | error << 40 |
		      (uint64_t)tci << 48;

	if (likely(!b->legacy))
		write_back_advanced(d, packet_info, status_error, size, tci);
	else
		__atomic_store_n(&d->hi, htole64(hi), __ATOMIC_RELEASE);
}

static inline uint32_t next_idx(const struct ring_state *ring, uint32_t idx)
{
	return ++idx == ring->n_desc ? 0 : idx;
}

/* DS 7.1.6.2: hash, type of the hash, type of the packet. */
static inline __attribute__((always_inline)) uint64_t packet_info(const struct frame *f,
								  const struct rss_result *r)
{
	static const uint8_t rss_type[RSS_TYPES] = {
		[RSS_NONE] = 0,        [RSS_TCP_IPV4] = 1, [RSS_IPV4] = 2,
		[RSS_TCP_IPV6] = 3,    [RSS_IPV6_EX] = 4,  [RSS_IPV6] = 5,
		[RSS_TCP_IPV6_EX] = 6, [RSS_UDP_IPV4] = 7, [RSS_UDP_IPV6] = 8,
		[RSS_UDP_IPV6_EX] = 9,
	};
	uint8_t packet;

	_Static_assert(PACKET_IPV4 << RXD_PKT_SHIFT == RXD_PKT_IPV4 &&
			       PACKET_SCTP << RXD_PKT_SHIFT == RXD_PKT_SCTP,
		       "one order of bits");
	if (r != NULL)
		return rss_type[r->type] | (r->packet & PACKET_TYPES) << RXD_PKT_SHIFT |
		       (uint64_t)r->hash << 32;
	packet = rss_packet_plain(f);
	if (unlikely(packet == 0))
		packet = rss_packet_slow(f);
	return (uint32_t)packet << RXD_PKT_SHIFT;
}

/* The last plain IPv4 frame's, for the next one with the same header size and protocol: packet types must cost next
 * to nothing, since few drivers look at them. */
struct info_memo {
	uint32_t type, proto;
	uint64_t info;
};

/* Frames of which rss_packet_plain needs no more than the first bytes; they have no tag inside. */
#define INFO_SIZE_MIN (FRAME_SIZE_MIN + 4 + 28)
static inline __attribute__((always_inline)) uint64_t packet_info_quick(struct info_memo *memo,
									const struct frame *f)
{
	const uint8_t *at = f->va + ETH_ADDRS_SIZE;
	uint32_t type, proto;

	/* Type, version and header size; fragment, protocol. Not TOS and TTL. */
	memcpy(&type, at, sizeof(type));
	memcpy(&proto, at + 2 + 6, sizeof(proto));
	type &= htobe32(0xffffff00);
	proto &= htobe32(0x3fff00ff);
	if (unlikely(((type ^ memo->type) | (proto ^ memo->proto)) != 0)) {
		uint64_t info = packet_info(f, NULL);

		if ((rss_packet_plain(f) & PACKET_IPV4) != 0)
			*memo = (struct info_memo){ type, proto, info };
		return info;
	}
	return memo->info;
}

static inline uint8_t *translate(const struct rx_burst *b, uint32_t idx)
{
	uint64_t iova = le64toh(__atomic_load_n(&b->desc[idx].lo, __ATOMIC_RELAXED));

	return mem_at(b->table, b->buf_hint, iova, b->buf_size, MEM_WRITE);
}

/* The buffer of descriptor `idx`, the n-th behind the head. */
static inline uint8_t *buffer_at(const struct rx_burst *b, uint32_t n, uint32_t idx)
{
	if (likely(b->buf_next + n < b->n_buf))
		return b->buf[b->buf_next + n];
	return translate(b, idx);
}

static inline void consume(struct rx_burst *b, uint32_t n)
{
	b->avail -= n;
	b->buf_next += n;
}

/* A buffer is not in the guest's memory: the n descriptors up to its own go back as one bad packet, so that
 * the ring goes on behind it. If messages reach it, the relay takes them up instead. */
static inline enum drop_reason return_bad(struct rx_burst *b, uint32_t n, uint64_t iova,
					  uint32_t size)
{
	struct ring_state *ring = b->ring;

	if (relay_wanted(b->dev, b->table, iova, size, MEM_WRITE))
		return DROP_NO_BUFFER;
	for (uint32_t i = 0; i < n; i++) {
		bool last = i + 1 == n;

		write_back(b, &b->desc[ring->head], 0,
			   RXD_STAT_DD | (last ? RXD_STAT_EOP | b->dev->family->rxd_err : 0),
			   last ? FRAME_SIZE_MIN : b->buf_size, 0);
		ring->head = next_idx(ring, ring->head);
	}
	consume(b, n);
	return DROP_BAD_BUFFER;
}

static inline uint64_t desc_iova(const struct rx_burst *b, uint32_t idx)
{
	return le64toh(__atomic_load_n(&b->desc[idx].lo, __ATOMIC_RELAXED));
}

/* DS 7.1.6.1: the header buffer's address; bit 0 is DD's place. */
static inline uint64_t header_iova(const struct rx_burst *b)
{
	return le64toh(__atomic_load_n(&b->desc[b->ring->head].hi, __ATOMIC_RELAXED)) & ~1ull;
}

/* Where a frame's bytes go: its header buffer, if it has one, and the buffers behind. */
struct rx_place {
	struct seg_out out[1 + INTELVF_RX_SEGS];
	uint32_t n_out, n_desc;
	uint32_t in_header; /* bytes */
	uint64_t info;      /* for the first descriptor, */
	uint32_t error;     /* and the last */
};

/* Bytes of the headers after which PSRTYPE has the frame split; 0: it does not, or they cannot be told. */
static inline uint32_t header_size(const struct rx_burst *b, const struct frame *f,
				   const struct rss_result *r, bool tag_inside)
{
	static const struct rss_key no_key;
	const struct intelvf_family *family = b->dev->family;
	uint32_t psrtype =
		__atomic_load_n(&b->dev->st->image[family->psrtype / 4], __ATOMIC_RELAXED);
	struct rss_result own;
	uint32_t size, in_l4;
	uint8_t data_offset;

	if (r == NULL) {
		rss_burst(&no_key, 0, &f, 1, &own);
		r = &own;
	}
	size = FRAME_SIZE_MIN + r->l3_size;
	in_l4 = size + f->body - ETH_ADDRS_SIZE;
	switch (family->split(psrtype, r->packet)) {
	case SPLIT_L2:
		size = FRAME_SIZE_MIN;
		break;
	case SPLIT_L3:
		break;
	case SPLIT_L4:
		if ((r->packet & PACKET_UDP) != 0) {
			size += 8;
		} else if (size + 20 <= f->size) {
			frame_read(f, in_l4 + 12, &data_offset, 1);
			size += (data_offset >> 4) * 4u;
		} else {
			return 0;
		}
		break;
	default:
		return 0;
	}
	return size > f->size ? 0 : size + (tag_inside ? 4 : 0);
}

/* What goes into the header buffer: DS 7.1.10, in the words of the 82575EB manual's (324632) table 33. */
static inline void split_header(const struct rx_burst *b, const struct frame *f,
				const struct rss_result *r, uint32_t size, bool tag_inside,
				struct rx_place *p)
{
	uint32_t header = header_size(b, f, r, tag_inside), filled;

	p->in_header = 0;
	p->info = 0;
	p->error = 0;
	if (b->hdr_size == 0)
		return;
	filled = !b->split_always ? 0 : size < b->hdr_size ? size : b->hdr_size;
	if (header == 0 || header > RXD_HDR_LEN_MAX || (b->split_always && size <= b->hdr_size)) {
		p->in_header = filled;
		p->info = (uint64_t)filled << RXD_HDR_LEN_SHIFT;
		return;
	}
	p->info = RXD_SPH | (uint64_t)header << RXD_HDR_LEN_SHIFT;
	if (header <= b->hdr_size) {
		p->in_header = header;
	} else {
		p->in_header = filled;
		p->error = RXD_ERR_HBO;
	}
}

/* DROP_NONE, or why there is no place for the frame, of which split_header has been told. */
static inline enum drop_reason find_place(struct rx_burst *b, uint32_t size, struct rx_place *p)
{
	uint32_t idx = b->ring->head;

	p->n_out = p->n_desc = 0;
	if (b->avail == 0)
		return DROP_NO_BUFFER;
	if (p->in_header > 0) {
		uint8_t *va = mem_at(b->table, b->buf_hint, header_iova(b), b->hdr_size, MEM_WRITE);

		if (va == NULL)
			return return_bad(b, 1, header_iova(b), b->hdr_size);
		p->out[p->n_out++] = (struct seg_out){ va, p->in_header };
		p->n_desc = size == p->in_header;
	}
	for (uint32_t room = p->in_header; room < size; room += b->buf_size, p->n_desc++) {
		uint8_t *va;

		if (p->n_desc == b->avail)
			return DROP_NO_BUFFER;
		if (p->n_desc == INTELVF_RX_SEGS)
			return DROP_TOO_LONG;
		va = buffer_at(b, p->n_desc, idx);
		if (va == NULL)
			return return_bad(b, p->n_desc + 1, desc_iova(b, idx), b->buf_size);
		p->out[p->n_out++] = (struct seg_out){ va, b->buf_size };
		idx = next_idx(b->ring, idx);
	}
	return DROP_NONE;
}

/* A frame that fills several buffers. */
static inline enum drop_reason put_long(struct rx_burst *b, const struct frame *f,
					const struct rss_result *r, uint32_t size, bool tag_beside,
					bool tag_inside)
{
	struct ring_state *ring = b->ring;
	struct rx_place p;
	enum drop_reason reason;
	uint32_t left, end;
	uint64_t info = packet_info(f, r);

	split_header(b, f, r, size, tag_inside, &p);
	reason = find_place(b, size, &p);
	if (reason != DROP_NONE)
		return reason;
	left = size - p.in_header;
	frame_copy_slow(f, p.out, p.n_out, COPY_CSUM | (tag_inside ? COPY_TAG : 0));
	end = status_of(b, f, r, p.out, p.n_out, tag_beside, tag_inside) | p.error;
	for (uint32_t i = 0; i < p.n_desc; i++) {
		bool last = i + 1 == p.n_desc;

		write_back(b, &b->desc[ring->head], info | (i == 0 ? p.info : 0),
			   last ? end : RXD_STAT_DD, last ? left : b->buf_size,
			   last && tag_beside ? f->tci : 0);
		left -= last ? 0 : b->buf_size;
		ring->head = next_idx(ring, ring->head);
	}
	consume(b, p.n_desc);
	return DROP_NONE;
}

static inline enum drop_reason put(struct rx_burst *b, const struct frame *f,
				   const struct rss_result *r)
{
	struct ring_state *ring = b->ring;
	bool tagged = f->vid != b->untagged_vid;
	bool tag_inside = tagged && !b->strip;
	bool tag_beside = tagged && b->strip;
	uint32_t size = f->size + (tag_inside ? 4 : 0);
	uint32_t status;
	struct seg_out out;

	if (unlikely(size > b->buf_size || b->hdr_size > 0))
		return put_long(b, f, r, size, tag_beside, tag_inside);
	if (unlikely(b->avail == 0))
		return DROP_NO_BUFFER;
	out = (struct seg_out){ buffer_at(b, 0, ring->head), b->buf_size };
	if (unlikely(out.va == NULL))
		return return_bad(b, 1, desc_iova(b, ring->head), b->buf_size);
	frame_copy(f, &out, 1, COPY_CSUM | (tag_inside ? COPY_TAG : 0));
	status = status_of(b, f, r, &out, 1, tag_beside, tag_inside);
	write_back(b, &b->desc[ring->head], packet_info(f, r), status, size,
		   tag_beside ? f->tci : 0);
	ring->head = next_idx(ring, ring->head);
	consume(b, 1);
	return DROP_NONE;
}

/* Reads the line's variable part; the ring is ready. */
static inline void burst_init(struct rx_burst *b, struct intelvf *dev, unsigned int q,
			      bool verifies, struct endpoint_stats *stats)
{
	struct rx_line *line = rx_line(dev, q);
	struct ring_state *ring = &dev->st->rx[q].ring;
	/* Acquire: the descriptors behind it were written before the tail. */
	uint32_t tail = shared_load_acquire(&line->rdt);
	uint32_t srrctl = shared_load(rx_srrctl(dev, line));
	uint32_t rxdctl = shared_load(&line->rxdctl) | dev->rxdctl_set;
	uint32_t size_max;

	b->dev = dev;
	b->q = q;
	b->buf_next = 0;
	b->ring = ring;
	b->buf_hint = &dev->rxq[q].buf_hint;
	b->buf_size = (srrctl & dev->bsizepacket) << 10;
	b->legacy = (srrctl & SRRCTL_DESCTYPE) == SRRCTL_DESCTYPE_LEGACY;
	b->hdr_size = srrctl_hdr_size(srrctl);
	b->split_always = (srrctl & SRRCTL_DESCTYPE) == SRRCTL_DESCTYPE_ALWAYS;
	b->verifies = verifies;
	b->plain = !b->legacy && b->hdr_size == 0 && !verifies;
	b->strip = (rxdctl & RXDCTL_VME) != 0;
	b->lpe = __atomic_load_n(&dev->st->lpe, __ATOMIC_RELAXED);
	b->rlpml = dev->lpe_has_tag ? b->lpe : UINT32_MAX;
	size_max = __atomic_load_n(&dev->size_max, __ATOMIC_RELAXED);
	if (size_max < b->lpe)
		b->lpe = size_max;
	if (dev->has_rlpml && (rxdctl & RXDCTL_RLPML_EN) != 0)
		b->rlpml = rxdctl & RXDCTL_RLPML;
	/* No frame will fill more of a buffer; igbvf's are in fact no longer. */
	if (b->rlpml < b->buf_size)
		b->buf_size = b->rlpml;
	if (likely(tail < ring->n_desc))
		ring->tail = tail;
	else if (tail == ring->n_desc)
		ring->tail = tail - 1; /* "the whole ring": igbvf of iPXE 1.21 */
	else
		ring_bad_tail(ring, tail, &stats->bad_rx_desc);
	b->avail = ring->tail >= ring->head ? ring->tail - ring->head
					    : ring->n_desc - ring->head + ring->tail;
	/* The guest changed SRRCTL under way: no buffers until it makes sense again. */
	if (unlikely(b->buf_size == 0))
		b->avail = 0;
}

/* The guest's CPU wrote the descriptors last, and may have the buffers in its cache: ask for all that
 * this push will probably use at once, instead of waiting for each in turn. */
static inline void look_ahead(struct rx_burst *b, unsigned int n)
{
	struct mem_cursor cursor = mem_cursor(b->table, b->buf_hint, MEM_WRITE);
	const uint32_t n_desc = b->ring->n_desc, buf_size = b->buf_size;
	uint32_t idx = b->ring->head;

	if (n > b->avail)
		n = b->avail;
	if (n > BURST_MAX)
		n = BURST_MAX;
	for (unsigned int i = 0; i < n; i += CACHE_LINE / DESC_SIZE)
		__builtin_prefetch(&b->desc[idx] + i, 1);
	for (unsigned int i = 0; i < n; i++) {
		uint64_t iova = le64toh(__atomic_load_n(&b->desc[idx].lo, __ATOMIC_RELAXED));

		b->buf[i] = mem_cursor_at(&cursor, iova, buf_size);
		__builtin_prefetch(b->buf[i], 1);
		if (++idx == n_desc)
			idx = 0;
	}
	b->n_buf = n;
}

/* What a push adds to the counters in the end. */
struct rx_sums {
	uint64_t frames, bytes, group;
};

/* The fast path: one frame of `n_segs` segments, one buffer, to the VF's own address, as long as there is nothing else
 * to it. Nothing that the guest shares is read, so all but its memory can stay in registers. Returns the frames
 * done. */
static inline __attribute__((always_inline)) unsigned int
push_simple(struct rx_burst *b, const struct frame *const frame[], const struct rss_result *rss,
	    unsigned int n, struct rx_sums *sums, const uint16_t n_segs)
{
	const uint64_t mac = __atomic_load_n(&b->dev->st->mac, __ATOMIC_RELAXED);
	uint32_t size_max = b->lpe < b->rlpml ? b->lpe : b->rlpml;
	const uint32_t n_desc = b->ring->n_desc;
	/* Long frames may have taken more than was looked up ahead. */
	uint32_t n_ahead = b->buf_next < b->n_buf ? b->n_buf - b->buf_next : 0;
	uint8_t *const *buf = &b->buf[n_ahead > 0 ? b->buf_next : 0];
	const struct frame_form usual =
		frame_form(n_segs, b->untagged_vid, FRAME_WORK | FRAME_L4_VALID);
	struct rx_desc *desc = b->desc;
	uint32_t idx = b->ring->head;
	struct info_memo memo = { 0 };
	uint64_t bytes = 0;
	unsigned int i;

	size_max = size_max < FCS_SIZE ? 0 : size_max - FCS_SIZE;
	if (size_max > b->buf_size)
		size_max = b->buf_size;
	if (size_max < INFO_SIZE_MIN)
		return 0;
	if (n > n_ahead)
		n = n_ahead;
	for (i = 0; i < n; i++) {
		const struct frame *f = frame[i];
		const uint32_t size = f->size;
		uint8_t *va = buf[i];

		if (unlikely(va == NULL || mac_load(f->mac) != mac || !frame_has_form(f, usual) ||
			     size - INFO_SIZE_MIN > size_max - INFO_SIZE_MIN ||
			     (n_segs == 2 && f->seg_size < INFO_SIZE_MIN)))
			break;
		if (n_segs == 1)
			frame_copy_plain(f, va);
		else
			frame_copy_two(f, va);
		write_back_advanced(&desc[idx],
				    rss != NULL ? packet_info(f, &rss[i])
						: packet_info_quick(&memo, f),
				    RXD_STAT_DD | RXD_STAT_EOP, size, 0);
		if (++idx == n_desc)
			idx = 0;
		bytes += size;
	}
	b->ring->head = idx;
	b->avail -= i;
	b->buf_next += i;
	sums->frames += i;
	sums->bytes += bytes;
	return i;
}

/* Any frame. */
static inline void push_one(struct rx_burst *b, const struct frame *f, const struct rss_result *r,
			    struct rx_sums *sums, struct endpoint_stats *stats)
{
	enum drop_reason reason = filter(b, f);

	if (likely(reason == DROP_NONE))
		reason = put(b, f, r);
	if (unlikely(reason != DROP_NONE)) {
		endpoint_drop(stats, &f, 1, reason);
		stats->bad_rx_desc += reason == DROP_BAD_BUFFER;
		return;
	}
	sums->frames++;
	sums->bytes += f->size;
	sums->group += (f->mac[0] & 1) != 0 && mac_load(f->mac) != MAC_BROADCAST;
}

/* ring_rx_ready for the ring that is as it was at the last push. */
static inline bool rx_is_ready(struct intelvf *dev, unsigned int q, const struct mem_table *table,
			       uint8_t **desc)
{
	struct ring_state *ring = &dev->st->rx[q].ring;
	const struct rx_line *line = rx_line(dev, q);

	if (likely((shared_load_acquire(&line->rxdctl) & RXDCTL_ENABLE) != 0 &&
		   intelvf_may_dma(dev) && ring->status == RING_ON &&
		   shared_load(&line->rdbal) == (uint32_t)ring->base &&
		   shared_load(&line->rdbah) == ring->base >> 32 &&
		   shared_load(&line->rdlen) == ring->size)) {
		*desc = mem_at(table, &dev->rxq[q].ring_hint, ring->base, ring->size,
			       MEM_READ | MEM_WRITE);
		if (likely(*desc != NULL))
			return true;
	}
	return ring_rx_ready(dev, q, table, desc);
}

/* Makes queue q, whose lock is held, ready for n frames and fetches what they will be written to. False: the queue
 * is down, and the lock is given back. `verifies` needs what rx_run is told of them. */
static inline bool rx_open(struct rx_burst *b, struct intelvf *dev, unsigned int q, unsigned int n,
			   uint16_t untagged_vid, bool verifies, struct endpoint_stats *stats)
{
	uint8_t *desc;

	b->untagged_vid = untagged_vid;
	b->table = ring_table(dev);
	if (unlikely(__atomic_load_n(&dev->link_up, __ATOMIC_RELAXED) == 0 ||
		     !rx_is_ready(dev, q, b->table, &desc))) {
		spin_unlock(&dev->rxq[q].lock);
		return false;
	}
	b->desc = (struct rx_desc *)(void *)desc;
	burst_init(b, dev, q, verifies, stats);
	look_ahead(b, n);
	return true;
}

/* Writes the frames and gives the queue back. `rss`: what is known of each, or NULL. */
static inline void rx_run(struct rx_burst *b, const struct frame *const frame[],
			  const struct rss_result *rss, unsigned int n, struct ahead *ahead,
			  struct endpoint_stats *stats)
{
	struct intelvf *dev = b->dev;
	struct rx_sums sums = { 0 };
	uint32_t head = b->ring->head;

	for (unsigned int i = 0; i < n;) {
		const struct rss_result *r = rss != NULL ? rss + i : NULL;
		bool simple = b->plain && (frame[i]->flags & FRAME_WORK) == 0;

		if (likely(simple && frame[i]->n_segs == 1))
			i += push_simple(b, frame + i, r, n - i, &sums, 1);
		else if (unlikely(simple && frame[i]->n_segs == 2))
			i += push_simple(b, frame + i, r, n - i, &sums, 2); /* pinned */
		if (i < n) {
			push_one(b, frame[i], rss != NULL ? &rss[i] : NULL, &sums, stats);
			i++;
		}
	}
	b->ring->frames += sums.frames;
	b->ring->bytes += sums.bytes + sums.frames * FCS_SIZE;
	b->ring->group_frames += sums.group;
	ahead_set(ahead, rx_line(dev, b->q), rx_line(dev, b->q), &b->desc[b->ring->head],
		  &b->desc[b->ring->head] + CACHE_LINE / DESC_SIZE);
	if (b->avail == 0 || ring_is_behind(b->ring))
		ring_rx_show(dev, b->q);
	head ^= b->ring->head; /* not 0: descriptors went back */
	spin_unlock(&dev->rxq[b->q].lock);
	stats->rx_frames += sums.frames;
	stats->rx_bytes += sums.bytes;
	if (head != 0)
		stats->irqs += intr_rx(dev, b->q);
}

#endif
