/* SPDX-License-Identifier: BSD-3-Clause */
/* For the tests of this folder: slow and plain twins of what the data path does. */
#ifndef SOFTIOV_FRAME_TESTREF_H
#define SOFTIOV_FRAME_TESTREF_H

#include <stdlib.h>
#include <string.h>

#include "frame/frame.h"

static inline uint32_t ref_random(uint32_t below)
{
	return (uint32_t)rand() % below;
}

static inline void ref_fill(uint8_t *bytes, uint32_t size)
{
	for (uint32_t i = 0; i < size; i++)
		bytes[i] = (uint8_t)(rand() >> 4);
}

/* RFC 1071, word by word in network order, the carry brought round at once. */
static inline uint16_t ref_sum(const uint8_t *bytes, uint32_t size, uint16_t sum)
{
	for (uint32_t i = 0; i < size; i++) {
		uint32_t next = sum + (i % 2 == 0 ? (uint32_t)bytes[i] << 8 : bytes[i]);

		sum = (uint16_t)(next > 0xffff ? next - 0xffff : next);
	}
	return sum;
}

static inline uint32_t ref_crc32c(const uint8_t *bytes, uint32_t size, uint32_t crc)
{
	for (uint32_t i = 0; i < 8 * size; i++) {
		uint32_t bit = (crc ^ (uint32_t)(bytes[i / 8] >> (i % 8))) & 1;

		crc = crc >> 1 ^ (bit ? 0x82f63b78 : 0);
	}
	return crc;
}

/* A frame in pieces, each in memory of its own size, so that a sanitizer sees every overrun. */
struct ref_frame {
	struct frame f;
	struct seg more[FRAME_SEGS];
	uint8_t *piece[FRAME_SEGS];
	uint32_t piece_size[FRAME_SEGS];
};

/* Cuts bytes into n_segs pieces; empty ones may be among them, but for the first. */
static inline void ref_cut(struct ref_frame *r, const uint8_t *bytes, uint32_t size,
			   unsigned int n_segs)
{
	uint32_t done = 0;

	memset(r, 0, sizeof(*r));
	for (unsigned int i = 0; i < n_segs; i++) {
		uint32_t left = size - done, n = left;

		if (i + 1 < n_segs && left > 0)
			n = ref_random(3) == 0 ? ref_random(left + 1)
					       : ref_random(left < 40 ? left + 1 : 40);
		if (i == 0 && n == 0)
			n = size < 1 ? size : 1;
		r->piece[i] = malloc(n > 0 ? n : 1);
		r->piece_size[i] = n;
		memcpy(r->piece[i], bytes + done, n);
		if (i > 0)
			r->more[i - 1] = (struct seg){ r->piece[i], n };
		done += n;
	}
	r->f.va = r->piece[0];
	r->f.seg_size = r->piece_size[0];
	r->f.more = r->more;
	r->f.n_segs = (uint16_t)n_segs;
	r->f.size = size;
}

/* What a hostile sender does between the decision and the copy. */
static inline void ref_overwrite(struct ref_frame *r, uint32_t size)
{
	for (unsigned int i = 0; i < FRAME_SEGS && r->piece[i] != NULL && size > 0; i++) {
		uint32_t n = r->piece_size[i] < size ? r->piece_size[i] : size;

		memset(r->piece[i], 0xee, n);
		size -= n;
	}
}

static inline void ref_free(struct ref_frame *r)
{
	for (unsigned int i = 0; i < FRAME_SEGS; i++)
		free(r->piece[i]);
}

#endif
