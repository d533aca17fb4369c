/* SPDX-License-Identifier: BSD-3-Clause */
#include <string.h>

#include "switch/tap.h"

/* All that the sender gave. */
static uint32_t raw_size(const struct frame *f)
{
	uint32_t size = f->seg_size;

	for (unsigned int i = 0; i + 1 < f->n_segs; i++)
		size += f->more[i].size;
	return size;
}

uint32_t tap_size(const struct tap_sight *sight)
{
	if (tap_is_raw(sight->frame))
		return raw_size(sight->frame);
	return sight->frame->size + (sight->tagged ? 4 : 0);
}

void tap_read(const struct tap_sight *sight, uint8_t *to, uint32_t size)
{
	const struct frame *f = sight->frame;
	uint8_t head[FRAME_SIZE_MIN + 4];
	uint32_t n = ETH_ADDRS_SIZE;

	if (tap_is_raw(f)) {
		frame_read(f, 0, to, size);
		return;
	}
	memcpy(head, f->mac, ETH_ADDRS_SIZE);
	if (sight->tagged) {
		store_be16(head + n, ETH_TYPE_VLAN);
		store_be16(head + n + 2, f->tci);
		n += 4;
	}
	store_be16(head + n, f->ethertype);
	n += 2;
	memcpy(to, head, n < size ? n : size);
	if (size > n)
		frame_read(f, f->body + 2u, to + n, size - n);
}
