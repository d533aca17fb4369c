/* SPDX-License-Identifier: BSD-3-Clause */
/* Records from one worker to a capture's writer: a bounded ring with one producer and one consumer. A producer that
 * finds no room goes on without: it never waits. */
#ifndef SOFTIOV_CAPTURE_RING_H
#define SOFTIOV_CAPTURE_RING_H

#include <stdatomic.h>
#include <stdint.h>

#include "base/bits.h"

#define RING_SIZE 4194304u /* bytes */

/* What a record begins with. */
struct ring_head {
	uint32_t size; /* of the record with this, a multiple of 8 */
	uint32_t skip; /* not 0: no record, only what is left of the ring's end */
};

struct ring {
	uint8_t *bytes; /* [RING_SIZE], aligned to 8 */
	/* Bytes ever written and read. */
	_Atomic uint64_t written __attribute__((aligned(CACHE_LINE)));
	uint64_t read_seen; /* the producer's last look at `read` */
	_Atomic uint64_t read __attribute__((aligned(CACHE_LINE)));
};

/* 0 or -ENOMEM. Memory is taken as it is used. */
int ring_init(struct ring *ring);
void ring_fini(struct ring *ring);

/* Producer: room for a record of `size` bytes (a multiple of 8, at most RING_SIZE / 2), its ring_head filled in; NULL:
 * there is none. ring_push has it seen. */
void *ring_reserve(struct ring *ring, uint32_t size);
void ring_push(struct ring *ring, const void *record);

/* Consumer: the oldest record, or NULL. It stays until ring_pop. */
const void *ring_peek(struct ring *ring);
void ring_pop(struct ring *ring, const void *record);

#endif
