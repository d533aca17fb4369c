/* SPDX-License-Identifier: BSD-3-Clause */
/* For the guard of the hot path: guests whose rings are filled ahead, so that a run of the data path has
 * nothing in it but the data path. A side is one guest with one device; each burst it sends the same
 * frames and has as many buffers posted. */
#ifndef SOFTIOV_TESTS_PERF_GUARD_H
#define SOFTIOV_TESTS_PERF_GUARD_H

#include "frame/queue.h"

#define FRAME_SIZE_MOST 1518

struct side {
	struct endpoint *endpoint;
	uint64_t mac;
	/* Makes n frames like `bytes`, but for GUARD_FLOW, ready to be pulled. With `csum` they ask for an L4 checksum. */
	void (*send)(struct side *side, const uint8_t *bytes, uint32_t size, unsigned int n,
		     bool csum);
	/* Posts n receive buffers. */
	void (*post)(struct side *side, unsigned int n);
	/* Takes what came in: true if it was n frames that equal `bytes` (but for the L4 checksum, if
	 * `csum`: then it must be right), in order. */
	bool (*collect)(struct side *side, const uint8_t *bytes, uint32_t size, unsigned int n,
			bool csum);
};

/* Each aborts if it cannot be made. They live until the process ends. */
struct side *side_new_vf(uint64_t mac);
/* The same which verifies checksums. */
struct side *side_new_vf_verify(uint64_t mac);
/* Four receive queues. */
struct side *side_new_vf4(uint64_t mac);
struct side *side_new_virtio(uint64_t mac); /* split rings */
struct side *side_new_packed(uint64_t mac);

/* The frames: Ethernet, IPv4, TCP. The first byte of the source port is the number of the frame in its burst,
 * so that each is a flow of its own. */
#define GUARD_FLOW        34
#define GUARD_CSUM_START  34
#define GUARD_CSUM_OFFSET 6

/* What collect() checks of one received frame. */
bool guard_frame_good(const uint8_t *got, const uint8_t *want, uint32_t size, bool csum);
void guard_must(bool good, const char *what);

#endif
