/* SPDX-License-Identifier: BSD-3-Clause */
/* Blocks of a capture file as draft-ietf-opsawg-pcapng describes them (its sections are named at each function), written
 * in this machine's byte order. Each function appends one whole block to a buffer that has room for it. */
#ifndef SOFTIOV_CAPTURE_PCAPNG_H
#define SOFTIOV_CAPTURE_PCAPNG_H

#include <stdint.h>

#include "frame/frame.h"

/* Room that any block needs at most, beside a packet's bytes. */
#define PCAPNG_BLOCK_MAX 2048

#define PCAPNG_TEXT_MAX 512 /* longer texts are cut */

enum pcapng_block {
	PCAPNG_INTERFACE = 1,
	PCAPNG_STATISTICS = 5,
	PCAPNG_PACKET = 6,
	PCAPNG_SECTION = 0x0a0d0d0a,
};

enum pcapng_direction {
	PCAPNG_INBOUND = 1,
	PCAPNG_OUTBOUND = 2
};

struct pcapng_out {
	uint8_t *bytes;
	uint32_t size;
};

struct pcapng_packet {
	uint32_t interface;
	uint64_t time_ns; /* since 1970 */
	uint32_t size;    /* on the wire */
	const uint8_t *bytes;
	uint32_t captured; /* of them */
	enum pcapng_direction direction;
	bool has_queue;
	uint32_t queue;
	const char *comment; /* NULL: none */
};

void pcapng_section(struct pcapng_out *out, const char *application);
/* `filter` may be NULL. */
void pcapng_interface(struct pcapng_out *out, const char *name, const char *description,
		      const char *filter, uint32_t snaplen);
void pcapng_packet(struct pcapng_out *out, const struct pcapng_packet *packet);
/* `accepted` by the filter, and of these `dropped` for lack of room. */
void pcapng_statistics(struct pcapng_out *out, uint32_t interface, uint64_t time_ns,
		       uint64_t accepted, uint64_t dropped);

#endif
