/* SPDX-License-Identifier: BSD-3-Clause */
/* What the fuzz targets share: how bytes become choices, and frames.
 *
 * An input is a program in a small language: an operation is one byte and what it takes from the bytes behind
 * it. Whatever is not there reads as 0, so every input is a program, also one that was cut. */
#ifndef SOFTIOV_TESTS_FUZZ_FUZZ_H
#define SOFTIOV_TESTS_FUZZ_FUZZ_H

#include <stdio.h>
#include <stdlib.h>

#include "frame/frame.h"

/* An invariant of ours was broken: the input is a finding. */
#define FUZZ_CHECK(good)                                                                         \
	do {                                                                                     \
		if (unlikely(!(good))) {                                                         \
			(void)fprintf(stderr, "%s:%d: broken: %s\n", __FILE__, __LINE__, #good); \
			abort();                                                                 \
		}                                                                                \
	} while (0)

struct input {
	const uint8_t *at, *end;
};

static inline uint64_t in_bytes(struct input *in, unsigned int n)
{
	uint64_t v = 0;

	for (unsigned int i = 0; i < n && in->at < in->end; i++)
		v |= (uint64_t)*in->at++ << 8 * i;
	return v;
}

static inline uint8_t in8(struct input *in)
{
	return (uint8_t)in_bytes(in, 1);
}

static inline uint16_t in16(struct input *in)
{
	return (uint16_t)in_bytes(in, 2);
}

static inline uint32_t in32(struct input *in)
{
	return (uint32_t)in_bytes(in, 4);
}

static inline uint32_t in_below(struct input *in, uint32_t n)
{
	return in8(in) % n;
}

/* The guests' addresses. */
#define MAC_FUZZED  0x010000000002ull
#define MAC_VF      0x020000000002ull
#define MAC_VIRTIO  0x030000000002ull
#define MAC_APART   0x040000000002ull /* in a VLAN of its own */
#define MAC_FOREIGN 0x050000000002ull /* nobody's */
#define VLAN_SHARED 5
#define VLAN_APART  7

#define FUZZ_FRAME_MAX 0x4000u

/* A frame, and where its headers end. */
struct made_frame {
	uint32_t size;
	uint16_t l2, l3, l4; /* sizes of headers, with tags */
	uint8_t proto;
	bool ip6;
};

/* Writes a frame, as the input asks, of at most `room` bytes (FUZZ_FRAME_MAX will do). */
struct made_frame frame_make(struct input *in, uint8_t *bytes, uint32_t room, uint64_t source);
struct virtio_net_hdr_v1;
/* What a driver asks for it in the header: bit 0 of `how` its checksum, bit 1 a large send. */
void frame_offloads(const struct made_frame *f, uint8_t how, struct input *in,
		    struct virtio_net_hdr_v1 *hdr);

/* One input; the target's. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#endif
