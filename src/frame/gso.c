/* SPDX-License-Identifier: BSD-3-Clause */
#include "frame/gso.h"
#include "frame/csum.h"

#define TCP_SEQ   4
#define TCP_FLAGS 13
#define UDP_SIZE  4
#define UDP_HDR   8
#define TCP_FIN   0x01
#define TCP_PSH   0x08
#define TCP_CWR   0x80

static uint64_t csum_of_size(uint32_t size)
{
	return htobe32(size);
}

/* Moves (seg_idx, seg_offset) on to the next byte that exists. */
static const uint8_t *seg_at(const struct gso *gso, unsigned int idx, uint32_t *size)
{
	const struct frame *f = gso->f;

	*size = idx == 0 ? f->seg_size : f->more[idx - 1].size;
	return idx == 0 ? f->va : f->more[idx - 1].va;
}

/* Whether the L4 header ends where the frame's headers do. */
static bool l4_fits(const struct frame *f, const uint8_t *l4)
{
	uint32_t size = (f->flags & FRAME_USO) != 0 ? UDP_HDR : (l4[12] >> 4) * 4;

	return size == (uint32_t)f->hdr_size - f->csum_start;
}

/* Adds what counts for L4's checksum to the seed in its field. */
static void seed_add(const struct frame *f, uint8_t *l4, uint64_t sum)
{
	uint16_t seed;

	memcpy(&seed, l4 + f->csum_offset, sizeof(seed));
	seed = csum_fold(seed + sum);
	memcpy(l4 + f->csum_offset, &seed, sizeof(seed));
}

bool gso_start(struct gso *gso, struct frame *f)
{
	uint32_t skip = f->hdr_size + f->body - ETH_ADDRS_SIZE;
	uint8_t *l4 = gso->hdr + f->csum_start;
	uint32_t size;

	memset(gso, 0, offsetof(struct gso, hdr));
	gso->f = f;
	gso->n_ids = 1;
	gso->payload = f->size - f->hdr_size;
	frame_read(f, f->body, gso->hdr + ETH_ADDRS_SIZE, f->hdr_size - ETH_ADDRS_SIZE);
	/* What was decided on, not what the sender may have put there since. */
	memcpy(gso->hdr, f->header, FRAME_SIZE_MIN);
	size = gso->payload < f->mss ? gso->payload : f->mss;
	if (f->hdr_size - f->l3_start + size > UINT16_MAX || /* IP's length field */
	    gso->hdr[f->l3_start] >> 4 != ((f->flags & FRAME_TSO4) != 0 ? 4 : 6) ||
	    !l4_fits(f, l4)) {
		f->drop = DROP_BAD_OFFLOAD;
		return false;
	}
	/* The snapshot counts, whatever was there before: it passes whole only if this holds of it. */
	if (!frame_tso_is_plain(f, gso->hdr + f->l3_start))
		f->flags |= FRAME_TUNNEL;
	while (seg_at(gso, gso->seg_idx, &size), skip >= size) {
		skip -= size;
		gso->seg_idx++;
	}
	gso->seg_offset = skip;
	/* Take the whole frame's L4 length out again: each piece adds its own. */
	if ((f->flags & FRAME_SEED_SIZE) != 0)
		seed_add(f, l4, (uint16_t)~csum_fold(csum_of_size(f->size - f->csum_start)));
	return true;
}

uint32_t gso_pieces(const struct gso *gso)
{
	return (gso->payload + gso->f->mss - 1) / gso->f->mss;
}

static void piece_tcp(const struct gso *gso, uint8_t *tcp, bool last)
{
	store_be32(tcp + TCP_SEQ, load_be32(tcp + TCP_SEQ) + gso->offset);
	/* 82599 datasheet 7.2.4.4: FIN and PSH belong to the last piece; RFC 3168 6.1.2: CWR to the
	 * first. */
	if (!last)
		tcp[TCP_FLAGS] &= (uint8_t) ~(TCP_FIN | TCP_PSH);
	if (gso->offset > 0)
		tcp[TCP_FLAGS] &= (uint8_t)~TCP_CWR;
}

static void piece_header(const struct gso *gso, uint8_t *hdr, uint32_t size)
{
	const struct frame *f = gso->f;
	uint8_t *ip = hdr + f->l3_start, *l4 = hdr + f->csum_start;
	uint32_t l4_size = f->hdr_size - f->csum_start + size;

	memcpy(hdr, gso->hdr, f->hdr_size);
	if ((f->flags & FRAME_TSO4) != 0) {
		store_be16(ip + 2, (uint16_t)(f->hdr_size - f->l3_start + size));
		store_be16(ip + 4, (uint16_t)(load_be16(ip + 4) + gso->n_done));
	} else {
		store_be16(ip + 4, (uint16_t)(f->hdr_size - f->l3_start - 40 + size));
	}
	if ((f->flags & FRAME_USO) != 0)
		store_be16(l4 + UDP_SIZE, (uint16_t)l4_size);
	else
		piece_tcp(gso, l4, gso->offset + size == gso->payload);
	seed_add(f, l4, csum_of_size(l4_size));
}

bool gso_next(struct gso *gso, struct frame *out, struct gso_piece *piece)
{
	const struct frame *f = gso->f;
	uint32_t left = gso->payload - gso->offset;
	uint32_t size = left < f->mss ? left : f->mss;

	if (left == 0)
		return false;
	piece_header(gso, piece->hdr, size);
	*out = *f;
	out->va = piece->hdr;
	out->seg_size = f->hdr_size;
	out->size = f->hdr_size + size;
	out->more = piece->seg;
	out->n_segs = 1;
	out->body = ETH_ADDRS_SIZE;
	out->flags &= (uint16_t) ~(FRAME_TSO | FRAME_USO | FRAME_SEED_SIZE | FRAME_TUNNEL);
	for (uint32_t todo = size; todo > 0;) {
		uint32_t seg_size, n;
		const uint8_t *va = seg_at(gso, gso->seg_idx, &seg_size);

		n = seg_size - gso->seg_offset < todo ? seg_size - gso->seg_offset : todo;
		if (n > 0)
			piece->seg[out->n_segs++ - 1] = (struct seg){ va + gso->seg_offset, n };
		gso->seg_offset += n;
		todo -= n;
		if (gso->seg_offset == seg_size) {
			gso->seg_idx++;
			gso->seg_offset = 0;
		}
	}
	gso->offset += size;
	gso->n_done += gso->n_ids;
	return true;
}
