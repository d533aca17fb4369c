/* SPDX-License-Identifier: BSD-3-Clause */
#include "frame/copy.h"
#include "frame/csum.h"

#define SUM_NOTHING  UINT32_MAX
#define IP_PROTO_TCP 6
#define IP_PROTO_UDP 17

/* Where the next byte goes, and the sum of those from `sum_from` on: summing while copying spares
 * reading back what is on its way to memory. */
struct writer {
	const struct seg_out *out;
	unsigned int idx;
	uint32_t offset;
	uint32_t at, sum_from; /* of the whole frame */
	uint64_t sum;
};

static uint16_t swap16(uint16_t v)
{
	return __builtin_bswap16(v);
}

/* RFC 1071 section 2(B): a piece at an odd offset counts with its bytes swapped. */
static uint64_t sum_piece(uint16_t part, bool odd)
{
	return odd ? swap16(part) : part;
}

static void put_piece(struct writer *w, uint8_t *dst, const uint8_t *src, uint32_t size)
{
	uint32_t plain = 0;

	if (w->at < w->sum_from) {
		plain = w->sum_from - w->at < size ? w->sum_from - w->at : size;
		memcpy(dst, src, plain);
	}
	if (plain < size) {
		bool odd = (w->at + plain - w->sum_from) & 1;
		uint64_t part = csum_copy(dst + plain, src + plain, size - plain, 0);

		w->sum += sum_piece(csum_fold(part), odd);
	}
	w->at += size;
}

static void put(struct writer *w, const uint8_t *src, uint32_t size)
{
	while (size > 0) {
		const struct seg_out *o = &w->out[w->idx];
		uint32_t n = o->size - w->offset < size ? o->size - w->offset : size;

		put_piece(w, o->va + w->offset, src, n);
		src += n;
		size -= n;
		w->offset += n;
		if (w->offset == o->size) {
			w->idx++;
			w->offset = 0;
		}
	}
}

/* The sender's bytes from behind the ethertype to the end. */
static void put_body(struct writer *w, const struct frame *f)
{
	uint32_t skip = f->body + 2u;
	uint32_t left = f->size - FRAME_SIZE_MIN;
	const uint8_t *va = f->va;
	uint32_t size = f->seg_size;

	for (unsigned int i = 0; left > 0; i++) {
		if (skip >= size) {
			skip -= size;
		} else {
			uint32_t n = size - skip < left ? size - skip : left;

			put(w, va + skip, n);
			left -= n;
			skip = 0;
		}
		if (left > 0) {
			va = f->more[i].va;
			size = f->more[i].size;
		}
	}
}

/* Calls of `each` for the written bytes [offset, offset + size), piece by piece. */
struct reader {
	const struct seg_out *out;
	unsigned int idx;
	uint32_t offset;
};

static struct reader reader_at(const struct seg_out *out, uint32_t offset)
{
	struct reader r = { out, 0, offset };

	/* An empty range may begin at the end. */
	while (r.offset > 0 && r.offset >= r.out[r.idx].size)
		r.offset -= r.out[r.idx++].size;
	return r;
}

/* The next contiguous piece, at most `size` bytes. */
static uint32_t reader_next(struct reader *r, uint32_t size, uint8_t **va)
{
	const struct seg_out *o = &r->out[r->idx];
	uint32_t n = o->size - r->offset < size ? o->size - r->offset : size;

	*va = o->va + r->offset;
	r->idx++;
	r->offset = 0;
	return n;
}

static void bytes_get(const struct seg_out *out, uint32_t offset, uint8_t *dst, uint32_t size)
{
	struct reader r = reader_at(out, offset);
	uint8_t *va;

	for (uint32_t n; size > 0; size -= n, dst += n) {
		n = reader_next(&r, size, &va);
		memcpy(dst, va, n);
	}
}

static void bytes_set(const struct seg_out *out, uint32_t offset, const uint8_t *src, uint32_t size)
{
	struct reader r = reader_at(out, offset);
	uint8_t *va;

	for (uint32_t n; size > 0; size -= n, src += n) {
		n = reader_next(&r, size, &va);
		memcpy(va, src, n);
	}
}

/* The folded sum of the written bytes [offset, offset + size). */
static uint16_t sum_range(const struct seg_out *out, uint32_t offset, uint32_t size)
{
	struct reader r = reader_at(out, offset);
	bool odd = false;
	uint64_t sum = 0;
	uint8_t *va;

	for (uint32_t n; size > 0; size -= n) {
		n = reader_next(&r, size, &va);
		sum += sum_piece(csum_fold(csum_add(va, n, 0)), odd);
		odd ^= n & 1;
	}
	return csum_fold(sum);
}

static uint32_t crc_range(const struct seg_out *out, uint32_t offset, uint32_t size, uint32_t crc)
{
	struct reader r = reader_at(out, offset);
	uint8_t *va;

	for (uint32_t n; size > 0; size -= n) {
		n = reader_next(&r, size, &va);
		crc = crc32c_add(va, n, crc);
	}
	return crc;
}

static void finish_crc32c(const struct seg_out *out, uint32_t start, uint32_t end, uint32_t at)
{
	static const uint8_t zero[4];
	uint32_t crc;

	/* RFC 9260 section 6.8: the field counts as zero. */
	bytes_set(out, at, zero, sizeof(zero));
	crc = htole32(~crc_range(out, start, end - start, ~0u));
	bytes_set(out, at, (const uint8_t *)&crc, sizeof(crc));
}

/* Whether the L4 sum can be taken on the way: it is one, and no byte in it is changed afterwards. */
static bool sums_while_copying(const struct frame *f)
{
	return (f->flags & (FRAME_L4_CSUM | FRAME_SCTP_CRC)) == FRAME_L4_CSUM &&
	       ((f->flags & FRAME_IP4_CSUM) == 0 || f->l3_start + 12 <= f->csum_start);
}

/* `shift` is 4 where a tag was written before the L3 header. What the writer has not summed is read
 * back from the receiver's copy; frame_parse has checked the offsets against the size. */
static void finish_csums(const struct frame *f, const struct seg_out *out, uint32_t shift,
			 const struct writer *w)
{
	uint32_t end = f->size + shift;
	uint16_t sum;

	if ((f->flags & FRAME_IP4_CSUM) != 0) {
		uint32_t l3 = f->l3_start + shift;
		uint8_t version_ihl;
		uint32_t hdr_size;

		bytes_get(out, l3, &version_ihl, 1);
		hdr_size = (version_ihl & 0xfu) * 4;
		if (hdr_size >= 20 && hdr_size <= end - l3) {
			bytes_set(out, l3 + 10, (const uint8_t[2]){ 0, 0 }, 2);
			sum = (uint16_t)~sum_range(out, l3, hdr_size);
			bytes_set(out, l3 + 10, (const uint8_t *)&sum, 2);
		}
	}
	if ((f->flags & FRAME_L4_CSUM) != 0) {
		uint32_t start = f->csum_start + shift;

		if ((f->flags & FRAME_SCTP_CRC) != 0) {
			finish_crc32c(out, start, end, start + f->csum_offset);
			return;
		}
		sum = w->sum_from != SUM_NOTHING ? csum_fold(w->sum)
						 : sum_range(out, start, end - start);
		sum = (uint16_t)~sum;
		/* 0 means "no checksum" to UDP (RFC 768); for the others 0xffff is the same number. */
		if (sum == 0)
			sum = 0xffff;
		bytes_set(out, start + f->csum_offset, (const uint8_t *)&sum, 2);
	}
}

/* A whole large-send frame goes to a receiver that expects virtio's seed (virtio 1.2, 5.1.6.2): with
 * the TCP length of the whole frame in it. */
static void finish_seed(const struct frame *f, const struct seg_out *out, uint32_t shift)
{
	uint32_t at = f->csum_start + shift + f->csum_offset;
	uint16_t seed;

	bytes_get(out, at, (uint8_t *)&seed, 2);
	seed = csum_fold((uint64_t)seed + htobe32(f->size - f->csum_start));
	bytes_set(out, at, (const uint8_t *)&seed, 2);
}

/* The most frequent of the slow cases: a guest's TCP or UDP in one piece, whose checksum it left to
 * the device. */
static void copy_flat(const struct frame *f, uint8_t *va)
{
	uint32_t start = f->csum_start;
	uint16_t sum;

	copy_bytes(va, f->va, start);
	sum = (uint16_t)~csum_fold(csum_copy(va + start, f->va + start, f->size - start, 0));
	sum = sum == 0 ? 0xffff : sum; /* as in finish_csums */
	memcpy(va + start + f->csum_offset, &sum, sizeof(sum));
	memcpy(va, f->header, FRAME_SIZE_MIN);
}

unsigned int frame_copy_slow(const struct frame *f, const struct seg_out *out, unsigned int n_out,
			     unsigned int copy_flags)
{
	struct writer w = { .out = out, .sum_from = SUM_NOTHING };
	uint8_t tag[4];
	uint32_t shift = (copy_flags & COPY_TAG) != 0 ? 4 : 0;

	if (copy_flags == COPY_CSUM && f->n_segs == 1 && n_out == 1 && f->body == ETH_ADDRS_SIZE &&
	    (f->flags & (FRAME_WORK | FRAME_SCTP_CRC)) == FRAME_L4_CSUM) {
		copy_flat(f, out->va);
		return 1;
	}
	if ((copy_flags & COPY_CSUM) != 0 && sums_while_copying(f))
		w.sum_from = f->csum_start + shift;
	put(&w, f->mac, ETH_ADDRS_SIZE);
	if ((copy_flags & COPY_TAG) != 0) {
		store_be16(tag, ETH_TYPE_VLAN);
		store_be16(tag + 2, f->tci);
		put(&w, tag, sizeof(tag));
	}
	put(&w, f->header + ETH_ADDRS_SIZE, FRAME_SIZE_MIN - ETH_ADDRS_SIZE);
	put_body(&w, f);
	if ((copy_flags & COPY_CSUM) != 0)
		finish_csums(f, out, shift, &w);
	else if ((f->flags & FRAME_TSO) != 0 && (f->flags & FRAME_SEED_SIZE) == 0)
		finish_seed(f, out, shift);
	return w.offset > 0 ? w.idx + 1 : w.idx;
}

/* The L4 header at `start`, of a packet that goes on to `end`; `seed` is the pseudo-header's sum but for length
 * and protocol. */
static unsigned int verify_l4(const struct seg_out *out, uint8_t packet, uint32_t start,
			      uint32_t end, uint64_t seed)
{
	static const uint8_t zero[4];
	uint32_t size = end - start, crc;
	uint8_t head[12];
	uint16_t sum;
	bool good;

	if (size < ((packet & PACKET_UDP) != 0 ? 8 : (packet & PACKET_TCP) != 0 ? 20 : 12))
		return 0;
	if ((packet & PACKET_SCTP) != 0) {
		/* RFC 9260 section 6.8: the field counts as zero. */
		bytes_get(out, start, head, sizeof(head));
		crc = crc32c_add(zero, sizeof(zero), crc32c_add(head, 8, ~0u));
		crc = htole32(~crc_range(out, start + 12, size - 12, crc));
		good = memcmp(&crc, head + 8, sizeof(crc)) == 0;
		return VERIFY_L4 | (good ? 0 : VERIFY_L4_BAD);
	}
	if ((packet & PACKET_UDP) != 0) {
		bytes_get(out, start, head, 8);
		if (load_be16(head + 6) == 0 || load_be16(head + 4) < 8 ||
		    load_be16(head + 4) > size)
			return 0;
		size = load_be16(head + 4);
	}
	seed += htobe32(size);
	seed += htobe32((packet & PACKET_UDP) != 0 ? IP_PROTO_UDP : IP_PROTO_TCP);
	sum = csum_fold(seed + sum_range(out, start, size));
	return VERIFY_L4 | (sum == 0xffff ? 0 : VERIFY_L4_BAD);
}

unsigned int frame_verify(const struct frame *f, const struct rss_result *r,
			  const struct seg_out *out, unsigned int copy_flags, unsigned int known)
{
	uint32_t shift = (copy_flags & COPY_TAG) != 0 ? 4 : 0;
	uint32_t l3 = FRAME_SIZE_MIN + shift, l4 = l3 + r->l3_size, end;
	unsigned int found = 0;
	uint64_t seed;
	uint8_t ip[40];

	if ((r->packet & PACKET_IPV4) != 0) {
		bytes_get(out, l3, ip, 20);
		found = VERIFY_IP4;
		if (sum_range(out, l3, r->l3_size) != 0xffff)
			found |= VERIFY_IP4_BAD;
		seed = csum_add(ip + 12, 8, 0);
		end = l3 + load_be16(ip + 2);
	} else if ((r->packet & PACKET_IPV6) != 0) {
		bytes_get(out, l3, ip, 40);
		seed = csum_add(ip + 8, 32, 0);
		end = l3 + 40 + load_be16(ip + 4);
	} else {
		return 0;
	}
	if ((r->packet & PACKET_L4) == 0 || known != 0)
		return found | known;
	if ((r->packet & PACKET_ELSEWHERE) != 0 || end > f->size + shift || end < l4)
		return found;
	return found | verify_l4(out, r->packet, l4, end, seed);
}
